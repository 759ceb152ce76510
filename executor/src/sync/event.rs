//! Something has happened, and stays so.
//!
//! ```text
//!   wait, wait ──► in line ──► set: all of them go ──► wait: goes at once ──► clear ──► wait: in line
//! ```
//!
//! Those who waited when it was set go on, also if it is cleared before they are polled: they were told.
//! Not here: telling one of many (`notify`).   Next: `notify`.

use std::cell::Cell;
use std::fmt;

use super::until::until;
use super::wait_list::WaitList;
use crate::waits::{LazyId, ResourceKind};

/// A flag that tasks can wait for.
///
/// ```
/// # use windlass_executor::windlass;
/// use windlass::sync::Event;
/// # windlass_executor::doc(async {
/// let ready = std::rc::Rc::new(Event::new());
/// let waiting = windlass::spawn({ let ready = ready.clone(); async move { ready.wait().await } });
/// ready.set();
/// waiting.await.unwrap();
/// ready.wait().await; // at once: it is still set
/// # });
/// ```
pub struct Event {
    set: Cell<bool>,
    waiters: WaitList<()>,
    id: LazyId,
}

impl Event {
    /// An event that is not set.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// assert!(!windlass::sync::Event::new().is_set());
    /// ```
    pub const fn new() -> Self {
        Event { set: Cell::new(false), waiters: WaitList::new(), id: LazyId::new() }
    }

    /// Whether it is set.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// let event = windlass::sync::Event::new();
    /// event.set();
    /// assert!(event.is_set());
    /// ```
    #[inline]
    pub fn is_set(&self) -> bool {
        self.set.get()
    }

    /// Sets it and wakes all that wait, in the order in which they came.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// # windlass_executor::doc(async {
    /// let event = windlass::sync::Event::new();
    /// event.set();
    /// event.wait().await;
    /// # });
    /// ```
    #[inline]
    pub fn set(&self) {
        self.set.set(true);
        if !self.waiters.is_empty() {
            self.waiters.grant_while(|()| true);
        }
    }

    /// From now on who waits waits for the next [`set`](Event::set). Those who were woken by the last one go on.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// let event = windlass::sync::Event::new();
    /// event.set();
    /// event.clear();
    /// assert!(!event.is_set());
    /// ```
    #[inline]
    pub fn clear(&self) {
        self.set.set(false);
    }

    /// Completes when the event is set, or was while this waited.
    ///
    /// # Cancel
    /// Dropping it leaves the line; nothing is lost.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// # windlass_executor::doc(async {
    /// let event = std::rc::Rc::new(windlass::sync::Event::new());
    /// let waiting = windlass::spawn({ let event = event.clone(); async move { event.wait().await } });
    /// windlass::task::yield_now().await; // it waits now
    /// event.set();
    /// event.clear();
    /// waiting.await.unwrap();
    /// # });
    /// ```
    #[inline]
    pub async fn wait(&self) {
        until(&self.waiters, || self.set.get(), || self.id.note(ResourceKind::Event)).await;
    }

    #[cfg(test)]
    pub(super) fn entries(&self) -> usize {
        self.waiters.entries()
    }
}

impl Default for Event {
    fn default() -> Self {
        Event::new()
    }
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Event").field("set", &self.set.get()).field("waiting", &self.waiters.len()).finish()
    }
}
