//! A place for one waiter.
//! Where a side of a channel has one end, one waker is all that can wait there; it needs no list.
//!
//! ```text
//!   poll: not yet ──► register(waker) ──► look again ──► Pending          the other side: change, then wake()
//! ```
//!
//! Look again, because cloning the new waker and dropping the old one is foreign code, which may have done anything
//! meanwhile, also what is waited for. Every waker goes in and out by value: nothing is borrowed while it is touched (I3).
//! Next: `oneshot`; where many wait, `wait_list`.

use std::cell::Cell;
use std::task::Waker;

use crate::cell;
use crate::key::Key;

#[derive(Default)]
pub(crate) struct WakerSlot(Cell<Option<Waker>>);

impl WakerSlot {
    /// Sees to it that `waker` is who is woken. The caller then looks again at what it waits for.
    #[inline]
    pub(crate) fn register(&self, waker: &Waker) {
        match number(waker) {
            Some(ours) => drop(self.0.replace(Some(ours))),
            None => self.register_foreign(waker),
        }
    }

    #[cold]
    fn register_foreign(&self, waker: &Waker) {
        let before = self.0.take();
        if before.as_ref().is_some_and(|before| before.will_wake(waker)) {
            return self.0.set(before);
        }
        drop(before);
        let waker = waker.clone();
        drop(self.0.replace(Some(waker)));
    }

    #[inline]
    pub(crate) fn wake(&self) {
        if let Some(waker) = self.0.take() {
            waker.wake();
        }
    }

    /// Forgets who waits.
    #[inline]
    pub(crate) fn clear(&self) {
        drop(self.0.take());
    }
}

/// When this is dropped, who waits in there is forgotten.
pub(super) struct Forgotten<'a>(pub(super) &'a WakerSlot);

impl Drop for Forgotten<'_> {
    fn drop(&mut self) {
        self.0.clear();
    }
}

/// A clone of `waker`, if it is a loop's own: a number, and so no foreign code ran.
#[inline]
pub(super) fn number(waker: &Waker) -> Option<Waker> {
    let ours = cell::waker(Key::from_bits(waker.data().addr() as u64));
    ours.will_wake(waker).then_some(ours)
}
