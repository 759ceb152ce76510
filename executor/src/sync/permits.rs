//! How many may.
//! A semaphore, a mutex and a lock for many readers differ in what they guard; who may go in is the same count for all:
//!
//! ```text
//!   take(n) ──► nobody waits and n are free? ──► taken
//!                 └ no ──► in line ──► give(m): the head is served while its wish fits ──► granted
//! ```
//!
//! A wish that does not fit holds up those behind it, also smaller ones: else a big one could wait for ever.
//! Whatever changes the count or the head of the line serves the line, so that at rest its head never fits.
//! Not here: what the permits stand for.   Next: `semaphore`, `mutex`, `rwlock`.

use std::cell::Cell;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use super::wait_list::{WaitList, Waiter};
use crate::budget;
use crate::waits::{LazyId, ResourceKind};

/// Nobody will be given anything any more.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Closed;

/// A count of permits, and who waits for some.
pub(super) struct Permits {
    free: Cell<usize>,
    closed: Cell<bool>,
    waiters: WaitList<Wish>,
    id: LazyId,
    kind: ResourceKind,
}

/// A waiter's payload.
#[derive(Clone, Copy)]
enum Wish {
    Permits(usize),
    Closed,
}

impl Permits {
    pub(super) const fn new(kind: ResourceKind, free: usize) -> Self {
        let waiters = WaitList::new();
        Permits { free: Cell::new(free), closed: Cell::new(false), waiters, id: LazyId::new(), kind }
    }

    #[inline]
    pub(super) fn free(&self) -> usize {
        self.free.get()
    }

    #[inline]
    pub(super) fn is_closed(&self) -> bool {
        self.closed.get()
    }

    pub(super) fn waiting(&self) -> usize {
        self.waiters.len()
    }

    #[inline]
    fn fits(&self, wanted: usize) -> bool {
        wanted <= self.free.get() && (self.waiters.is_empty() || wanted == 0) && !self.closed.get()
    }

    /// For who has just seen that it fits.
    #[inline]
    fn take_fitting(&self, wanted: usize) {
        self.free.set(self.free.get() - wanted);
    }

    /// Takes `wanted` if they are free and nobody waits.
    #[inline]
    pub(super) fn try_take(&self, wanted: usize) -> bool {
        let fits = self.fits(wanted);
        if fits {
            self.take_fitting(wanted);
        }
        fits
    }

    /// Takes `wanted`, in turn.
    #[inline]
    pub(super) fn take(&self, wanted: usize) -> Take<Plain<'_>> {
        Take::new(Plain { permits: self, wanted })
    }

    /// Says that the current task is about to wait for `kind`, of whatever these are the permits of.
    #[inline]
    pub(super) fn note(&self, kind: ResourceKind) {
        self.id.note(kind);
    }

    /// Puts `count` back, or adds them; those who wait come first.
    #[inline]
    pub(super) fn give(&self, count: usize) {
        self.free.set(self.free.get() + count);
        if !self.waiters.is_empty() {
            self.serve();
        }
    }

    /// Takes up to `count` of those that are free, for good.
    pub(super) fn forget(&self, count: usize) -> usize {
        let forgotten = count.min(self.free.get());
        self.free.set(self.free.get() - forgotten);
        forgotten
    }

    /// Sends everybody home who waits, and who comes later.
    pub(super) fn close(&self) {
        self.closed.set(true);
        self.waiters.grant_while(|wish| {
            *wish = Wish::Closed;
            true
        });
    }

    /// For who has seen that it does not fit.
    #[inline(never)]
    fn poll_first(
        &self,
        wanted: usize,
        kind: ResourceKind,
        place: &mut Option<Waiter>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Closed>> {
        if self.closed.get() {
            return budget::poll_proceed(cx).map(|()| Err(Closed));
        }
        let may_go = || self.fits(wanted) || self.closed.get();
        let note = || self.note(kind);
        let polled = self.waiters.poll_first(place, cx, may_go, Wish::Permits(wanted), note);
        polled.map(|_| if self.try_take(wanted) { Ok(()) } else { Err(Closed) })
    }

    /// For who is in line, or has been granted what it wants.
    #[inline(never)]
    fn poll_again(
        &self,
        kind: ResourceKind,
        place: &mut Option<Waiter>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Closed>> {
        self.waiters.poll_again(place, cx, || self.note(kind)).map(|granted| match granted {
            Some(Wish::Permits(_)) => Ok(()),
            Some(Wish::Closed) | None => Err(Closed),
        })
    }

    #[inline(never)]
    fn serve(&self) {
        self.waiters.grant_while(|wish| match *wish {
            Wish::Permits(wanted) if wanted <= self.free.get() => {
                self.free.set(self.free.get() - wanted);
                true
            }
            _ => false,
        });
    }

    /// A waiter was dropped: what it was granted goes to the next, and those behind it may fit now.
    #[cold]
    fn give_up(&self, waiter: Waiter) {
        let left = self.waiters.remove(waiter);
        match left.payload {
            Wish::Permits(granted) if left.granted => self.give(granted),
            _ => self.give(0), // who is the head now may fit
        }
    }

    /// Futures that are in line, or have been granted permits and not been polled since.
    #[cfg(test)]
    pub(super) fn entries(&self) -> usize {
        self.waiters.entries()
    }
}

/// Permits that were taken; dropping them gives them back.
pub(super) struct Held<'a> {
    permits: &'a Permits,
    count: usize,
}

impl<'a> Held<'a> {
    /// For whoever has just taken `count`.
    #[inline]
    pub(super) fn new(permits: &'a Permits, count: usize) -> Self {
        Held { permits, count }
    }

    /// Gives back all but `count`.
    #[inline]
    pub(super) fn keep(&mut self, count: usize) {
        let before = std::mem::replace(&mut self.count, count);
        self.permits.give(before - count);
    }
}

impl Drop for Held<'_> {
    #[inline]
    fn drop(&mut self) {
        self.permits.give(self.count);
    }
}

/// What permits are taken for. Each primitive has its own, so that one future serves them all without a layer between.
pub(super) trait Claim {
    type Output;

    fn permits(&self) -> &Permits;

    fn wanted(&self) -> usize;

    /// What is said of the wait.
    #[inline]
    fn kind(&self) -> ResourceKind {
        self.permits().kind
    }

    /// The permits are taken, and the output's to give back; or they never will be.
    fn output(self, taken: Result<(), Closed>) -> Self::Output;
}

/// Takes what a claim wants, in turn.
///
/// # Cancel
/// Dropping it leaves the line; what it had been granted goes to the next.
pub(super) struct Take<C: Claim> {
    /// None once it has completed.
    claim: Option<C>,
    place: Option<Waiter>,
}

impl<C: Claim> Take<C> {
    #[inline]
    pub(super) fn new(claim: C) -> Self {
        Take { claim: Some(claim), place: None }
    }
}

/// Nothing in it is pinned.
impl<C: Claim> Unpin for Take<C> {}

impl<C: Claim> Future for Take<C> {
    type Output = C::Output;

    #[inline(always)] // what need not wait is a few instructions, and the rest lies apart
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<C::Output> {
        let this = self.get_mut();
        let claim = this.claim.as_ref().expect(NOT_COMPLETED);
        let (permits, wanted) = (claim.permits(), claim.wanted());
        let taken = if this.place.is_some() {
            ready!(permits.poll_again(claim.kind(), &mut this.place, cx))
        } else if permits.fits(wanted) {
            if !budget::take() {
                return budget::used_up(cx);
            }
            permits.take_fitting(wanted);
            Ok(())
        } else {
            ready!(permits.poll_first(wanted, claim.kind(), &mut this.place, cx))
        };
        Poll::Ready(this.claim.take().expect(NOT_COMPLETED).output(taken))
    }
}

const NOT_COMPLETED: &str = "a future that has completed is not polled again";

impl<C: Claim> Drop for Take<C> {
    #[inline]
    fn drop(&mut self) {
        if let (Some(waiter), Some(claim)) = (self.place.take(), &self.claim) {
            claim.permits().give_up(waiter);
        }
    }
}

/// A claim to the permits themselves.
pub(super) struct Plain<'a> {
    permits: &'a Permits,
    wanted: usize,
}

impl Claim for Plain<'_> {
    type Output = Result<(), Closed>;

    #[inline]
    fn permits(&self) -> &Permits {
        self.permits
    }

    #[inline]
    fn wanted(&self) -> usize {
        self.wanted
    }

    #[inline]
    fn output(self, taken: Result<(), Closed>) -> Self::Output {
        taken
    }
}
