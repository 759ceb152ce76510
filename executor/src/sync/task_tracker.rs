//! Knowing when all have ended, without keeping what they leave.
//! A server spawns a task for each connection and joins none; when it stops, it wants to know that the last is gone. A
//! set of their handles would grow with every task that ever ran. A count does not:
//!
//! ```text
//!   track, track, track ──► 3 ──► an end: 2 ──► 1 ──► 0, and closed: all who wait go
//! ```
//!
//! It has to be closed, because 0 may also mean that the next has not come yet. Closed it still takes more: what is
//! under way may need helpers to come to its end.
//! Not here: asking them to stop ([`CancellationToken`](super::CancellationToken)), and what they return
//! ([`JoinSet`](crate::JoinSet)).   Next: `oneshot`.

use std::cell::Cell;
use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use super::until::until;
use super::wait_list::WaitList;
use crate::waits::{LazyId, ResourceKind};
use crate::{JoinHandle, spawn};

/// Counts tasks, and tells when all have ended. A clone counts the same tasks; it stays on its thread.
///
/// ```
/// # use windlass_executor::windlass;
/// use windlass::sync::{CancellationToken, TaskTracker};
/// # windlass_executor::doc(async {
/// let (tracker, stop) = (TaskTracker::new(), CancellationToken::new());
/// for _ in 0..10 {
///     let stop = stop.clone();
///     drop(tracker.spawn(async move { stop.cancelled().await }));
/// }
/// stop.cancel();
/// tracker.close();
/// tracker.wait().await;
/// assert!(tracker.is_empty());
/// # });
/// ```
#[derive(Clone)]
pub struct TaskTracker {
    count: Rc<Count>,
}

struct Count {
    tracked: Cell<usize>,
    closed: Cell<bool>,
    waiters: WaitList<()>,
    id: LazyId,
}

impl Count {
    fn is_over(&self) -> bool {
        self.closed.get() && self.tracked.get() == 0
    }

    fn tell_if_over(&self) {
        if self.is_over() {
            self.waiters.grant_while(|()| true);
        }
    }
}

impl TaskTracker {
    /// One that is open, and tracks nothing.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// let tracker = windlass::sync::TaskTracker::new();
    /// assert!(tracker.is_empty() && !tracker.is_closed());
    /// ```
    pub fn new() -> Self {
        let (tracked, closed) = (Cell::new(0), Cell::new(false));
        TaskTracker { count: Rc::new(Count { tracked, closed, waiters: WaitList::new(), id: LazyId::new() }) }
    }

    /// Spawns a task, as [`spawn`](crate::spawn), that is tracked until its future has been dropped, in whatever way it
    /// ended.
    ///
    /// # Panics
    /// Outside a running loop.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// # windlass_executor::doc(async {
    /// let tracker = windlass::sync::TaskTracker::new();
    /// let task = tracker.spawn(async { 7 });
    /// assert_eq!(tracker.len(), 1);
    /// assert_eq!((task.await.unwrap(), tracker.len()), (7, 0));
    /// # });
    /// ```
    #[track_caller]
    pub fn spawn<F: Future<Output: 'static> + 'static>(&self, future: F) -> JoinHandle<F::Output> {
        spawn(self.track_future(future))
    }

    /// A future that does as `future` and is tracked until it is dropped: for who spawns otherwise, or not at all.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// # windlass_executor::doc(async {
    /// let tracker = windlass::sync::TaskTracker::new();
    /// let tracked = tracker.track_future(async { 7 });
    /// assert_eq!(tracker.len(), 1); // from now on, polled or not
    /// assert_eq!((tracked.await, tracker.len()), (7, 0));
    /// # });
    /// ```
    pub fn track_future<F: Future>(&self, future: F) -> TrackedFuture<F> {
        TrackedFuture { future, token: self.token() }
    }

    /// Counts as a task until it is dropped: for what is not a future.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// let tracker = windlass::sync::TaskTracker::new();
    /// let token = tracker.token();
    /// assert_eq!(tracker.len(), 1);
    /// drop(token);
    /// assert_eq!(tracker.len(), 0);
    /// ```
    pub fn token(&self) -> TaskTrackerToken {
        self.count.tracked.set(self.count.tracked.get() + 1);
        TaskTrackerToken { count: self.count.clone() }
    }

    /// From now on it is enough for [`wait`](TaskTracker::wait) that all have ended. More may still come. False if it
    /// was closed already.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// # windlass_executor::doc(async {
    /// let tracker = windlass::sync::TaskTracker::new();
    /// assert!(tracker.close() && !tracker.close());
    /// tracker.wait().await;
    /// # });
    /// ```
    pub fn close(&self) -> bool {
        let closes = !self.count.closed.replace(true);
        self.count.tell_if_over();
        closes
    }

    /// From now on who waits waits for the next [`close`](TaskTracker::close). False if it was open.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// let tracker = windlass::sync::TaskTracker::new();
    /// tracker.close();
    /// assert!(tracker.reopen() && !tracker.is_closed());
    /// ```
    pub fn reopen(&self) -> bool {
        self.count.closed.replace(false)
    }

    /// Whether it is closed.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// let tracker = windlass::sync::TaskTracker::new();
    /// tracker.close();
    /// assert!(tracker.is_closed());
    /// ```
    pub fn is_closed(&self) -> bool {
        self.count.closed.get()
    }

    /// Tasks, futures and tokens that are tracked.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// let tracker = windlass::sync::TaskTracker::new();
    /// let (_one, _other) = (tracker.token(), tracker.token());
    /// assert_eq!(tracker.len(), 2);
    /// ```
    pub fn len(&self) -> usize {
        self.count.tracked.get()
    }

    /// True if nothing is tracked.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// assert!(windlass::sync::TaskTracker::new().is_empty());
    /// ```
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Completes when it is closed and nothing is tracked, or both were true while this waited.
    ///
    /// # Cancel
    /// Dropping it leaves the line; nothing is lost.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// # windlass_executor::doc(async {
    /// let tracker = windlass::sync::TaskTracker::new();
    /// drop(tracker.spawn(async { windlass::task::yield_now().await }));
    /// tracker.close();
    /// tracker.wait().await;
    /// assert_eq!(tracker.len(), 0);
    /// # });
    /// ```
    pub async fn wait(&self) {
        let note = || self.count.id.note(ResourceKind::Tasks);
        until(&self.count.waiters, || self.count.is_over(), note).await;
    }

    /// Futures in line, or woken and not polled since.
    #[cfg(test)]
    pub(super) fn entries(&self) -> usize {
        self.count.waiters.entries()
    }
}

impl Default for TaskTracker {
    fn default() -> Self {
        TaskTracker::new()
    }
}

impl fmt::Debug for TaskTracker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskTracker").field("len", &self.len()).field("closed", &self.is_closed()).finish()
    }
}

/// Counts as a task of its tracker; so does each clone.
///
/// ```
/// # use windlass_executor::windlass;
/// let tracker = windlass::sync::TaskTracker::new();
/// let token = tracker.token();
/// let other = token.clone();
/// assert_eq!(other.task_tracker().len(), 2);
/// ```
#[must_use = "dropped, it is not tracked any more"]
pub struct TaskTrackerToken {
    count: Rc<Count>,
}

impl TaskTrackerToken {
    /// The tracker.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// let token = windlass::sync::TaskTracker::new().token();
    /// assert_eq!(token.task_tracker().len(), 1);
    /// ```
    pub fn task_tracker(&self) -> TaskTracker {
        TaskTracker { count: self.count.clone() }
    }
}

impl Clone for TaskTrackerToken {
    fn clone(&self) -> Self {
        self.task_tracker().token()
    }
}

impl Drop for TaskTrackerToken {
    fn drop(&mut self) {
        self.count.tracked.set(self.count.tracked.get() - 1);
        self.count.tell_if_over();
    }
}

impl fmt::Debug for TaskTrackerToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskTrackerToken").finish_non_exhaustive()
    }
}

pin_project! {
    /// The future of [`TaskTracker::track_future`].
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// # windlass_executor::doc(async {
    /// let tracker = windlass::sync::TaskTracker::new();
    /// drop(tracker.track_future(std::future::pending::<()>()));
    /// assert!(tracker.is_empty());
    /// # });
    /// ```
    #[derive(Debug)]
    #[must_use = "futures do nothing unless awaited"]
    pub struct TrackedFuture<F> {
        #[pin]
        future: F, // goes before its token: who waits finds nothing of it left
        token: TaskTrackerToken,
    }
}

impl<F: Future> Future for TrackedFuture<F> {
    type Output = F::Output;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        self.project().future.poll(cx)
    }
}
