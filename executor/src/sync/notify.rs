//! Telling one that waits, or all of them, that there is something to look at.
//!
//! ```text
//!   notify_one ──► somebody in line? ──► the first of them goes
//!                    └ nobody ──► one permit is stored ──► notified: goes at once
//!   notify_waiters ──► all who asked before it go; nothing is stored
//! ```
//!
//! A notification carries nothing, and more than one to nobody are one. Who is told and dropped before it looks passes
//! it on.   Not here: what has happened.   Next: `condition`.

use std::cell::Cell;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::wait_list::{WaitList, Waiter};
use crate::waits::{LazyId, ResourceKind};

/// Tells waiting tasks to look again.
///
/// ```
/// # use windlass_executor::windlass;
/// use std::{cell::Cell, rc::Rc};
/// use windlass::sync::Notify;
/// # windlass_executor::doc(async {
/// let (basket, filled) = (Rc::new(Cell::new(0)), Rc::new(Notify::new()));
/// let eater = windlass::spawn({
///     let (basket, filled) = (basket.clone(), filled.clone());
///     async move {
///         filled.notified().await;
///         basket.take()
///     }
/// });
/// basket.set(3);
/// filled.notify_one();
/// assert_eq!(eater.await.unwrap(), 3);
/// # });
/// ```
pub struct Notify {
    stored: Cell<bool>,
    /// How often all were told: who asked before the last time has been, too.
    rounds: Cell<u64>,
    waiters: WaitList<Told>,
    id: LazyId,
}

/// What a waiter has been told, and so who is next if it goes unheard.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Told {
    Nothing,
    AsFirst,
    AsLast,
    AsAll,
}

impl Notify {
    /// One that has nothing stored.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// # windlass_executor::doc(async {
    /// let notify = windlass::sync::Notify::new();
    /// notify.notify_one();
    /// notify.notified().await;
    /// # });
    /// ```
    pub const fn new() -> Self {
        Notify { stored: Cell::new(false), rounds: Cell::new(0), waiters: WaitList::new(), id: LazyId::new() }
    }

    /// Tells the one that waits longest. If nobody waits, the next who asks is told at once; that is stored once, not
    /// counted.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// # windlass_executor::doc(async {
    /// let notify = windlass::sync::Notify::new();
    /// notify.notify_one();
    /// notify.notify_one(); // nobody has heard the first: they are one
    /// assert!(notify.notified().enable());
    /// # });
    /// ```
    #[inline]
    pub fn notify_one(&self) {
        if self.waiters.is_empty() {
            return self.stored.set(true);
        }
        self.tell_first();
    }

    #[inline(never)]
    fn tell_first(&self) {
        if let Some(granted) = self.waiters.grant_first(|told| *told = Told::AsFirst) {
            granted.wake();
        }
    }

    /// As [`notify_one`](Notify::notify_one), for who came last: what it has lately touched may still be warm.
    ///
    /// ```
    /// # use windlass_executor::sync::Notify;
    /// let notify = Notify::new();
    /// let (mut first, mut second) = (notify.notified(), notify.notified());
    /// assert!(!first.enable() && !second.enable());
    /// notify.notify_last();
    /// assert!(!first.enable() && second.enable());
    /// ```
    #[inline]
    pub fn notify_last(&self) {
        match self.waiters.grant_last(|told| *told = Told::AsLast) {
            Some(granted) => granted.wake(),
            None => self.stored.set(true),
        }
    }

    /// Tells all whose [`notified`](Notify::notified) was called before this, polled or not. Nothing is stored for
    /// those who come later.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// # windlass_executor::doc(async {
    /// let notify = windlass::sync::Notify::new();
    /// let before = notify.notified();
    /// notify.notify_waiters();
    /// before.await;
    /// assert!(!notify.notified().enable());
    /// # });
    /// ```
    pub fn notify_waiters(&self) {
        self.rounds.set(self.rounds.get().wrapping_add(1));
        self.waiters.grant_while(|told| {
            *told = Told::AsAll;
            true
        });
    }

    /// Completes when it is told. It is in line from its first poll, or from [`enable`](Notified::enable).
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// # windlass_executor::doc(async {
    /// let notify = std::rc::Rc::new(windlass::sync::Notify::new());
    /// drop(windlass::spawn({ let notify = notify.clone(); async move { notify.notify_one() } }));
    /// notify.notified().await;
    /// # });
    /// ```
    #[inline]
    pub fn notified(&self) -> Notified<'_> {
        Notified { notify: self, round: self.rounds.get(), place: None }
    }

    /// Whether somebody who asked in `round` and is not in line has been told.
    #[inline]
    fn has_news_since(&self, round: u64) -> bool {
        self.stored.get() || round != self.rounds.get()
    }

    /// Takes what [there is](Self::has_news_since) to hear; what is stored stays if there was a round.
    #[inline]
    fn hear(&self, round: u64) -> Told {
        if round != self.rounds.get() {
            return Told::AsAll;
        }
        self.stored.set(false);
        Told::AsFirst
    }

    /// A waiter was dropped: what it was told and has not heard goes to the next.
    #[cold]
    fn give_up(&self, waiter: Waiter) {
        let left = self.waiters.remove(waiter);
        match left.payload {
            Told::AsFirst => self.notify_one(),
            Told::AsLast => self.notify_last(),
            Told::Nothing | Told::AsAll => {}
        }
    }

    #[cfg(test)]
    pub(super) fn entries(&self) -> usize {
        self.waiters.entries()
    }
}

impl Default for Notify {
    fn default() -> Self {
        Notify::new()
    }
}

impl fmt::Debug for Notify {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Notify").field("stored", &self.stored.get()).field("waiting", &self.waiters.len()).finish()
    }
}

/// The future of [`Notify::notified`].
///
/// # Cancel
/// Dropping it leaves the line. If it had been told by `notify_one` or `notify_last`, the next in line is, or it is
/// stored.
///
/// ```
/// # use windlass_executor::sync::Notify;
/// let notify = Notify::new();
/// let mut told = notify.notified();
/// told.enable();
/// notify.notify_one();
/// drop(told); // before it was polled
/// assert!(notify.notified().enable());
/// ```
#[derive(Debug)]
#[must_use = "a future does nothing until it is awaited"]
pub struct Notified<'a> {
    notify: &'a Notify,
    /// Of those of `notify`, when this was made.
    round: u64,
    place: Option<Waiter>,
}

impl Notified<'_> {
    /// Goes in line without waiting: from now on `notify_one` finds it. True if it has been told, and will complete at
    /// once.
    ///
    /// So that nothing is missed between a look and a wait: enable, look, then wait.
    ///
    /// ```
    /// # windlass_executor::doc(async {
    /// # use std::cell::Cell;
    /// # let (notify, done) = (windlass_executor::sync::Notify::new(), Cell::new(true));
    /// let mut notified = notify.notified();
    /// notified.enable();
    /// if !done.get() {
    ///     notified.await;
    /// }
    /// # });
    /// ```
    pub fn enable(&mut self) -> bool {
        let Notified { notify, round, ref mut place } = *self;
        let place = place.get_or_insert_with(|| match notify.has_news_since(round) {
            true => notify.waiters.push_granted(notify.hear(round)),
            false => notify.waiters.push(None, Told::Nothing),
        });
        notify.waiters.is_granted(place)
    }
}

impl Future for Notified<'_> {
    type Output = ();

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Notified { notify, round, ref mut place } = *self.get_mut();
        let may_go = || notify.has_news_since(round);
        let note = || notify.id.note(ResourceKind::Notification);
        notify.waiters.poll_wait(place, cx, may_go, Told::Nothing, note).map(|told| {
            if told.is_none() {
                notify.hear(round);
            }
        })
    }
}

impl Drop for Notified<'_> {
    #[inline]
    fn drop(&mut self) {
        if let Some(waiter) = self.place.take() {
            self.notify.give_up(waiter);
        }
    }
}
