//! Waiting until what a mutex guards has changed.
//!
//! ```text
//!   wait(guard) ──► in line here, unlocked ──► notified ──► in line at the mutex ──► locked: look again
//!                            │                                     │
//!                            └─ dropped, though notified ──────────┴──► the next in line is notified
//! ```
//!
//! A notification says that it is worth looking, not that what is waited for is so: others may come first. Hence
//! `wait_while`. One that nobody waits for is lost, unlike with `notify`.   Next: `barrier`.

use std::fmt;
use std::future::poll_fn;

use super::mutex::{Mutex, MutexGuard};
use super::wait_list::{WaitList, Waiting};
use crate::waits::{LazyId, ResourceKind};

/// Lets tasks wait for a change of what a [`Mutex`] guards.
///
/// ```
/// # use windlass_executor::windlass;
/// use std::rc::Rc;
/// use windlass::sync::{Condition, Mutex};
/// # windlass_executor::doc(async {
/// let shared = Rc::new((Mutex::new(0), Condition::new()));
/// let counting = windlass::spawn({
///     let shared = shared.clone();
///     async move {
///         for _ in 0..3 {
///             *shared.0.lock().await += 1;
///             shared.1.notify_all();
///             windlass::task::yield_now().await;
///         }
///     }
/// });
/// let (count, changed) = &*shared;
/// let guard = changed.wait_while(count.lock().await, |count| *count < 3).await;
/// assert_eq!(*guard, 3);
/// # drop(guard);
/// # counting.await.unwrap();
/// # });
/// ```
pub struct Condition {
    waiters: WaitList<Told>,
    id: LazyId,
}

/// What a waiter has been told; a notification for one is somebody else's if it goes unheard.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Told {
    Nothing,
    One,
    All,
}

impl Condition {
    /// A condition that nobody waits for.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// let condition = windlass::sync::Condition::new();
    /// condition.notify_all(); // nobody hears it
    /// ```
    pub const fn new() -> Self {
        Condition { waiters: WaitList::new(), id: LazyId::new() }
    }

    /// Unlocks, waits until it is notified, and locks again. Nothing can happen between the first two.
    ///
    /// # Cancel
    /// Dropping it leaves the line, here or at the mutex, which is not locked again. If it had been notified, and not
    /// along with all, the next in line is.
    ///
    /// ```
    /// # use std::rc::Rc;
    /// # use windlass_executor::sync::{Condition, Mutex};
    /// # windlass_executor::doc(async {
    /// # let shared = Rc::new((Mutex::new(false), Condition::new()));
    /// # let other = shared.clone();
    /// # drop(windlass_executor::spawn(async move {
    /// #     *other.0.lock().await = true;
    /// #     other.1.notify_one();
    /// # }));
    /// # let (done, changed) = &*shared;
    /// let mut done = done.lock().await;
    /// while !*done {
    ///     done = changed.wait(done).await;
    /// }
    /// # });
    /// ```
    pub async fn wait<'a, T>(&self, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
        let mutex: &'a Mutex<T> = MutexGuard::mutex(&guard);
        let mut guard = Some(guard);
        let mut waiting = Waiting::new(&self.waiters, |left| drop(Heard { condition: self, told: left.payload }));
        let told = poll_fn(|cx| {
            let polled = waiting.poll(cx, || false, Told::Nothing, || self.id.note(ResourceKind::Condition));
            drop(guard.take()); // it is in line: whoever locks now is heard
            polled
        });
        let told = told.await.expect("nobody goes who was not told");
        let heard = Heard { condition: self, told };
        let guard = mutex.lock().await;
        heard.used();
        guard
    }

    /// [Waits](Condition::wait) for as long as `condition` says so; it is asked with the mutex locked, before anything
    /// else.
    ///
    /// # Cancel
    /// As [`wait`](Condition::wait).
    ///
    /// ```
    /// # use windlass_executor::sync::{Condition, Mutex};
    /// # windlass_executor::doc(async {
    /// let (mutex, changed) = (Mutex::new(1), Condition::new());
    /// let guard = changed.wait_while(mutex.lock().await, |value| *value == 0).await; // at once
    /// assert_eq!(*guard, 1);
    /// # });
    /// ```
    pub async fn wait_while<'a, T>(
        &self,
        mut guard: MutexGuard<'a, T>,
        mut condition: impl FnMut(&mut T) -> bool,
    ) -> MutexGuard<'a, T> {
        while condition(&mut guard) {
            guard = self.wait(guard).await;
        }
        guard
    }

    /// Notifies the one that waits longest, if anybody does.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// windlass::sync::Condition::new().notify_one();
    /// ```
    #[inline]
    pub fn notify_one(&self) {
        if let Some(granted) = self.waiters.grant_first(|told| *told = Told::One) {
            granted.wake();
        }
    }

    /// Notifies the `count` that wait longest, or all if they are fewer.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// windlass::sync::Condition::new().notify(2);
    /// ```
    pub fn notify(&self, mut count: usize) {
        self.waiters.grant_while(|told| {
            let more = count > 0;
            if more {
                count -= 1;
                *told = Told::One;
            }
            more
        });
    }

    /// Notifies all that wait.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// windlass::sync::Condition::new().notify_all();
    /// ```
    pub fn notify_all(&self) {
        self.waiters.grant_while(|told| {
            *told = Told::All;
            true
        });
    }

    #[cfg(test)]
    pub(super) fn entries(&self) -> usize {
        self.waiters.entries()
    }
}

impl Default for Condition {
    fn default() -> Self {
        Condition::new()
    }
}

impl fmt::Debug for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Condition").field("waiting", &self.waiters.len()).finish()
    }
}

/// A notification that was heard. Dropped before it was of use, it goes to the next in line.
struct Heard<'a> {
    condition: &'a Condition,
    told: Told,
}

impl Heard<'_> {
    fn used(mut self) {
        self.told = Told::Nothing;
    }
}

impl Drop for Heard<'_> {
    fn drop(&mut self) {
        if self.told == Told::One {
            self.condition.notify_one();
        }
    }
}
