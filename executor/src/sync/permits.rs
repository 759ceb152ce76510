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
use std::task::{Context, Poll};

use super::wait_list::{WaitList, Waiter};
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

    /// Takes `wanted` if they are free and nobody waits.
    #[inline]
    pub(super) fn try_take(&self, wanted: usize) -> bool {
        let fits = self.fits(wanted);
        if fits {
            self.free.set(self.free.get() - wanted);
        }
        fits
    }

    /// Takes `wanted`, in turn. The wait is said to be for `kind`.
    #[inline]
    pub(super) fn take(&self, wanted: usize) -> Take<'_> {
        self.take_as(self.kind, wanted)
    }

    #[inline]
    pub(super) fn take_as(&self, kind: ResourceKind, wanted: usize) -> Take<'_> {
        Take { permits: self, wanted, kind, place: None }
    }

    /// Says that the current task is about to wait for `kind`, of whatever these are the permits of.
    #[inline]
    pub(super) fn note(&self, kind: ResourceKind) {
        self.id.note(kind);
    }

    /// Puts `count` back, or adds them; those who wait come first.
    #[inline]
    pub(super) fn give(&self, count: usize) {
        self.free.set(self.free.get().saturating_add(count)); // beyond any count that somebody could use up
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
            _ => self.serve(),
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

/// The future of [`Permits::take`]; whoever awaits it owns the permits then.
pub(super) struct Take<'a> {
    permits: &'a Permits,
    wanted: usize,
    kind: ResourceKind,
    place: Option<Waiter>,
}

impl Future for Take<'_> {
    type Output = Result<(), Closed>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Take { permits, wanted, kind, ref mut place } = *self.get_mut();
        let may_go = || permits.fits(wanted) || permits.closed.get();
        let note = || permits.id.note(kind);
        permits.waiters.poll_wait(place, cx, may_go, || Wish::Permits(wanted), note).map(|granted| match granted {
            Some(Wish::Permits(_)) => Ok(()),
            Some(Wish::Closed) => Err(Closed),
            None if permits.try_take(wanted) => Ok(()),
            None => Err(Closed),
        })
    }
}

impl Drop for Take<'_> {
    #[inline]
    fn drop(&mut self) {
        if let Some(waiter) = self.place.take() {
            self.permits.give_up(waiter);
        }
    }
}
