//! An outcome on its way to another thread.
//! The task's own join handle stays where it is. When the task ends, what it leaves is taken there and put where a thread,
//! or a task of whatever runtime, waits for it.
//!
//! ```text
//!   Posted ──► Begun ──► Ended ──► Taken        each step under the lock, each wake after it
//!      └── asked to stop, or the loop ended ──► Ended
//! ```
//!
//! The loop's side is a promise: however it goes (the loop is dropped, the maker panics), dropping it keeps it.
//! Not here: the way of a request to stop (`group/handles`, `cancel`).   Next: `channel`.

use std::fmt;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::thread::{self, ThreadId};

use super::{Mutex, block_on, lock, wake};
use crate::cancel::{self, Cancelled};
use crate::cell::with_current;
use crate::executor::Core;
use crate::group::handles::AbortHandle;
use crate::join::{self, JoinError, JoinHandle, NEVER_BEGUN, Watcher};
use crate::task::TaskId;
use crate::waits::{self, ResourceId, ResourceKind, WaitReason};

/// Waits, from any thread, for a task that was spawned on a loop from elsewhere.
///
/// A thread [joins](RemoteHandle::join) it; a task awaits it, on whatever runtime. The outcome may be taken once.
/// Dropping the handle detaches the task.
///
/// # Errors
/// [`JoinError`] if the task panicked or was cancelled, or if its loop ended first.
///
/// # Panics
/// When polled again after it yielded.
///
/// # Cancel
/// Dropping the future that awaits a `&mut RemoteHandle` loses nothing: await it again.
///
/// ```
/// # windlass_executor::doc_entered(|executor| {
/// # let remote = windlass_executor::Remote::new(executor);
/// # let turn = || { executor.read_inbox(); executor.run(&std::cell::Cell::new(100)) };
/// let task = remote.spawn_with(|| async { 6 * 7 }).unwrap(); // on any thread
/// turn(); // the loop, on its own
/// let waits = std::thread::spawn(|| task.join()); // on a third
/// assert_eq!(waits.join().unwrap().unwrap(), 42);
/// # });
/// ```
pub struct RemoteHandle<T> {
    shared: Arc<Shared<T>>,
}

struct Shared<T> {
    state: Mutex<State<T>>,
    /// Where the loop is.
    home: ThreadId,
    spawned_at: &'static Location<'static>,
    id: ResourceId,
}

struct State<T> {
    stage: Stage<T>,
    waker: Option<Waker>,
    detached: bool,
}

enum Stage<T> {
    /// In the loop's inbox; perhaps it was asked to stop there.
    Posted(Option<Cancelled>),
    Begun(AbortHandle),
    Ended(Result<T, JoinError>),
    Taken,
}

impl<T> State<T> {
    fn take(&mut self) -> Option<Result<T, JoinError>> {
        match std::mem::replace(&mut self.stage, Stage::Taken) {
            Stage::Ended(outcome) => Some(outcome),
            other => {
                self.stage = other;
                None
            }
        }
    }

    fn is_over(&self) -> bool {
        matches!(self.stage, Stage::Ended(_) | Stage::Taken)
    }
}

/// Both ends: what waits, and what the loop of thread `home` owes it.
pub(super) fn new<T: Send + 'static>(
    home: ThreadId,
    spawned_at: &'static Location<'static>,
) -> (RemoteHandle<T>, Promise<T>) {
    let state = Mutex::new(State { stage: Stage::Posted(None), waker: None, detached: false });
    let shared = Arc::new(Shared { state, home, spawned_at, id: ResourceId::next_of_process() });
    (RemoteHandle { shared: shared.clone() }, Promise(shared))
}

impl<T> RemoteHandle<T> {
    /// Blocks this thread until the task has ended. A loop between two runs gets on when it runs again.
    ///
    /// # Errors
    /// [`JoinError`] if the task panicked or was cancelled, or if its loop ended first.
    ///
    /// # Panics
    /// Inside a running loop, whichever: await the handle there. On the thread of the task's loop if the task has not
    /// ended: it never would. And if the outcome was taken by awaiting.
    ///
    /// ```
    /// # windlass_executor::doc_entered(|executor| {
    /// # let remote = windlass_executor::Remote::new(executor);
    /// # let turn = || { executor.read_inbox(); executor.run(&std::cell::Cell::new(100)) };
    /// let task = remote.spawn_with(|| async { assert!(1 > 2, "it slipped") }).unwrap();
    /// turn();
    /// let waits = std::thread::spawn(|| task.join());
    /// assert!(waits.join().unwrap().unwrap_err().is_panic());
    /// # });
    /// ```
    #[track_caller]
    pub fn join(self) -> Result<T, JoinError> {
        let comes = self.is_finished() || self.shared.home != thread::current().id();
        assert!(comes, "join called on the thread of the loop that is to run the task, which would wait for itself");
        block_on("join", self)
    }

    /// True once the task has ended, in whatever way.
    ///
    /// ```
    /// # windlass_executor::doc_entered(|executor| {
    /// # let remote = windlass_executor::Remote::new(executor);
    /// # let turn = || { executor.read_inbox(); executor.run(&std::cell::Cell::new(100)) };
    /// let task = remote.spawn_with(|| async {}).unwrap();
    /// assert!(!task.is_finished());
    /// turn();
    /// assert!(task.is_finished());
    /// # });
    /// ```
    pub fn is_finished(&self) -> bool {
        lock(&self.shared.state).is_over()
    }

    /// Drops the task's future, as [`AbortHandle::abort`]: from outside the loop that is written to it, and has not
    /// happened when this returns. False if the task had ended.
    ///
    /// ```
    /// # windlass_executor::doc_entered(|executor| {
    /// # let remote = windlass_executor::Remote::new(executor);
    /// # let turn = || { executor.read_inbox(); executor.run(&std::cell::Cell::new(100)) };
    /// let task = remote.spawn_with(std::future::pending::<()>).unwrap();
    /// assert!(task.abort());
    /// turn();
    /// assert!(std::thread::spawn(|| task.join()).join().unwrap().unwrap_err().is_cancelled());
    /// # });
    /// ```
    pub fn abort(&self) -> bool {
        self.reach(Cancelled::new, |task| task.abort())
    }

    /// Asks the task to stop, as [`AbortHandle::cancel`]. One that has not begun never will. False if it had ended.
    ///
    /// ```
    /// # windlass_executor::doc_entered(|executor| {
    /// # let remote = windlass_executor::Remote::new(executor);
    /// # let turn = || { executor.read_inbox(); executor.run(&std::cell::Cell::new(100)) };
    /// let task = remote.spawn_with(|| async { unreachable!() }).unwrap();
    /// assert!(task.cancel());
    /// turn();
    /// assert!(!task.cancel());
    /// # });
    /// ```
    pub fn cancel(&self) -> bool {
        self.reach(Cancelled::new, |task| task.cancel())
    }

    /// As [`cancel`](RemoteHandle::cancel), saying why.
    ///
    /// ```
    /// # windlass_executor::doc_entered(|executor| {
    /// # let remote = windlass_executor::Remote::new(executor);
    /// # let turn = || { executor.read_inbox(); executor.run(&std::cell::Cell::new(100)) };
    /// let task = remote.spawn_with(std::future::pending::<()>).unwrap();
    /// turn();
    /// task.cancel_because("closing time");
    /// let waits = std::thread::spawn(|| task.join());
    /// turn();
    /// assert_eq!(waits.join().unwrap().unwrap_err().reason(), Some("closing time"));
    /// # });
    /// ```
    pub fn cancel_because(&self, reason: impl Into<Arc<str>>) -> bool {
        let reason = reason.into();
        self.reach(|| Cancelled::because(reason.clone()), |task| task.cancel_because(reason.clone()))
    }

    /// Leaves the request with the closure if that is still on its way, or else goes to the task.
    fn reach(&self, asked: impl Fn() -> Cancelled, ask: impl Fn(AbortHandle) -> bool) -> bool {
        let mut state = lock(&self.shared.state);
        let task = match &mut state.stage {
            Stage::Posted(before) => {
                before.get_or_insert_with(asked);
                return true;
            }
            Stage::Begun(task) => *task,
            Stage::Ended(_) | Stage::Taken => return false,
        };
        drop(state); // on the loop's thread the task may end right here
        ask(task)
    }
}

impl<T> Future for RemoteHandle<T> {
    type Output = Result<T, JoinError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let waker = cx.waker().clone(); // foreign, so not under the lock
        let mut state = lock(&self.shared.state);
        if let Some(outcome) = state.take() {
            return Poll::Ready(outcome);
        }
        assert!(!state.is_over(), "a remote handle was awaited again: it yields its outcome once");
        let before = state.waker.replace(waker);
        drop(state);
        drop(before); // foreign, too
        waits::note(WaitReason::Resource { kind: ResourceKind::RemoteTask, id: self.shared.id });
        Poll::Pending
    }
}

impl<T> Drop for RemoteHandle<T> {
    fn drop(&mut self) {
        let mut state = lock(&self.shared.state);
        state.detached = true;
        let left = (state.take(), state.waker.take());
        drop(state);
        if let Some(outcome) = left.0 {
            join::drop_outcome(outcome, self.shared.spawned_at);
        }
    }
}

impl<T> fmt::Debug for RemoteHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteHandle").field("is_finished", &self.is_finished()).finish_non_exhaustive()
    }
}

/// What the loop's side owes to the handle, whatever becomes of it.
pub(super) struct Promise<T>(Arc<Shared<T>>);

impl<T: 'static> Promise<T> {
    /// Makes the task on the loop's thread, unless it was asked to stop already.
    pub(super) fn begin<F: Future<Output = T> + 'static>(self, make: impl FnOnce() -> F) {
        if matches!(lock(&self.0.state).stage, Stage::Posted(Some(_))) {
            return;
        }
        let future = match catch_unwind(AssertUnwindSafe(make)) {
            Ok(future) => future,
            Err(panic) => return self.keep(Err(JoinError::panicked(TaskId(0), NEVER_BEGUN.into(), panic))),
        };
        let spawn = |core: Option<&Core>| {
            core.expect("a loop reads its inbox while entered").spawn(future, None, self.0.spawned_at)
        };
        let task = with_current(spawn);
        join::admit(&task, Core::admit_to_current);
        self.follow(task);
    }

    /// Has the outcome sent when the task ends.
    fn follow(self, task: JoinHandle<T>) {
        let begun = Stage::Begun(task.abort_handle());
        let before = std::mem::replace(&mut lock(&self.0.state).stage, begun);
        let cell = task.task().clone();
        let told = Watcher::Call(Box::new(move || self.tell(task)));
        if let Err(ended) = join::watch(&cell, told) {
            ended.tell();
        }
        if let Stage::Posted(Some(asked)) = before {
            cancel::request(&cell, asked); // while the future was being made
        }
    }

    fn tell(self, task: JoinHandle<T>) {
        if !lock(&self.0.state).detached {
            self.keep(task.take().expect("a task that has ended leaves its outcome to its handle"));
        } // else the task's own handle, which goes here, sees to what nobody takes
    }

    fn keep(&self, outcome: Result<T, JoinError>) {
        let mut state = lock(&self.0.state);
        if state.detached {
            drop(state);
            return join::drop_outcome(outcome, self.0.spawned_at);
        }
        state.stage = Stage::Ended(outcome);
        let waker = state.waker.take();
        drop(state);
        wake(waker);
    }
}

impl<T> Drop for Promise<T> {
    fn drop(&mut self) {
        let mut state = lock(&self.0.state);
        let asked = match &mut state.stage {
            Stage::Posted(asked) => asked.take(),
            Stage::Begun(_) => None,
            Stage::Ended(_) | Stage::Taken => return,
        };
        let reason = match &asked {
            Some(asked) => asked.reason().map(Arc::from),
            None => Some("its loop ended first".into()),
        };
        state.stage = Stage::Ended(Err(JoinError::never_begun(reason)));
        let waker = state.waker.take();
        drop(state);
        wake(waker);
    }
}
