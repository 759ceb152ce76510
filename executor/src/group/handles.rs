//! Other handles of a task than the one that takes its output.
//! A join handle is one, stays on its thread, and yields once. Whoever only wants to end the task, wants the output twice,
//! or wants to be called when it is over, has its own way:
//!
//! ```text
//!   JoinHandle ── abort_handle ──► AbortHandle   two numbers; goes anywhere; from elsewhere it writes to the loop
//!              ── shared ────────► Shared        many ask, each gets a clone
//!              ── on_done ───────► a call, in a turn after the task's last
//! ```
//!
//! Not here: how the end is told (`join`, the watchers).   Next: `set`.

use std::cell::OnceCell;
use std::fmt;
use std::panic::Location;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use crate::cancel::{self, Cancelled};
use crate::cell::{State, TaskRef, with_current};
use crate::executor;
use crate::inbox::{self, LoopId, post};
use crate::join::{self, JoinError, JoinHandle, Watcher};
use crate::key::Key;
use crate::task::{TaskId, TaskInfo, spawn_at};
use crate::waits::{self, WaitReason};

/// Ends a task, from any thread. It keeps nothing alive, and can never hit another task: the numbers in it are never used
/// again.
///
/// On the task's own thread, inside its loop, everything happens at once. From anywhere else it is written to the loop,
/// and `true` says that the loop was there to read it.
///
/// ```
/// # use windlass_executor::windlass;
/// # windlass_executor::doc(async {
/// let task = windlass::spawn(std::future::pending::<()>());
/// let end = task.abort_handle();
/// std::thread::spawn(move || assert!(end.abort())).join().unwrap();
/// assert!(task.await.unwrap_err().is_cancelled());
/// # });
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct AbortHandle {
    /// None if the task had ended.
    place: Option<(LoopId, Key)>,
    id: TaskId,
}

impl AbortHandle {
    pub(crate) fn new(task: &TaskRef) -> Self {
        // As long as the task lives its loop does, and nobody else has that loop's short number.
        let short = task.key.loop_id();
        let loop_id = || {
            let current = with_current(|core| core.map(|core| core.id()).filter(|id| id.short() == short));
            current.or_else(|| inbox::id_of(short))
        };
        let place = if has_ended(task) { None } else { loop_id().map(|id| (id, task.key)) };
        AbortHandle { place, id: TaskId(task.id()) }
    }

    /// As [`new`](AbortHandle::new), of a task of this loop that has not ended.
    pub(crate) fn of(task: &TaskRef, loop_id: LoopId) -> Self {
        let is_main = task.state.get() == State::Root;
        AbortHandle { place: (!is_main).then_some((loop_id, task.key)), id: TaskId(task.id()) }
    }

    /// The number of the task.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// # windlass_executor::doc(async {
    /// let task = windlass::spawn(async {});
    /// assert_eq!(task.abort_handle().id(), task.id());
    /// # });
    /// ```
    pub fn id(&self) -> TaskId {
        self.id
    }

    /// As [`JoinHandle::abort`]. False if the task had ended, or its loop is gone.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// # windlass_executor::doc(async {
    /// let task = windlass::spawn(std::future::pending::<()>());
    /// let end = task.abort_handle();
    /// assert!(end.abort());
    /// assert!(!end.abort()); // it has ended
    /// # });
    /// ```
    pub fn abort(&self) -> bool {
        self.reach(join::abort)
    }

    /// As [`JoinHandle::cancel`]. False if the task had ended, or its loop is gone.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// # windlass_executor::doc(async {
    /// let task = windlass::spawn(std::future::pending::<()>());
    /// assert!(task.abort_handle().cancel());
    /// assert!(task.await.unwrap_err().is_cancelled()); // nothing caught it
    /// # });
    /// ```
    pub fn cancel(&self) -> bool {
        self.reach(|task| cancel::request(task, Cancelled::new()))
    }

    /// As [`JoinHandle::cancel_because`]. False if the task had ended, or its loop is gone.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// # windlass_executor::doc(async {
    /// let task = windlass::spawn(std::future::pending::<()>());
    /// task.abort_handle().cancel_because("closing time");
    /// assert_eq!(task.await.unwrap_err().reason(), Some("closing time"));
    /// # });
    /// ```
    pub fn cancel_because(&self, reason: impl Into<Arc<str>>) -> bool {
        let reason = reason.into();
        self.reach(move |task| cancel::request(task, Cancelled::because(reason)))
    }

    fn reach(&self, end: impl FnOnce(&TaskRef) -> bool + Send + 'static) -> bool {
        let Some((loop_id, key)) = self.place else { return false };
        let id = self.id.0;
        let find = move || with_current(|core| Some(core.filter(|core| core.id() == loop_id)?.find(key, id)));
        match find() {
            Some(task) => task.is_some_and(|task| end(&task)),
            None => {
                let there = move || {
                    let _ended = find().flatten().is_some_and(|task| end(&task));
                };
                post(loop_id, Box::new(there)).is_ok()
            }
        }
    }
}

impl TaskInfo {
    /// What ends the task, whoever has its handle: from anywhere, and also when this snapshot is old. The main future of
    /// `block_on` belongs to who called that, and nobody ends it: all that is asked of it is false.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// # windlass_executor::doc(async {
    /// let _detached = windlass::task::Builder::new().name("poller").spawn(std::future::pending::<()>());
    /// for task in windlass::task::all_tasks().iter().filter(|task| task.name == "poller") {
    ///     task.abort_handle().cancel();
    /// }
    /// assert_eq!(windlass::task::all_tasks().len(), 1); // nothing caught it
    /// # });
    /// ```
    pub fn abort_handle(&self) -> AbortHandle {
        self.end
    }
}

/// A task's output, for as many as ask: made by [`JoinHandle::shared`].
///
/// It is a future that may be awaited again and again, and cloned. When the last clone is dropped the task is detached.
///
/// # Errors
/// [`JoinError`] as a join handle's, shared.
///
/// # Cancel
/// Dropping one changes nothing for the task and for the other clones.
///
/// ```
/// # use windlass_executor::windlass;
/// # windlass_executor::doc(async {
/// let mut answer = windlass::spawn(async { 42 }).shared();
/// assert!(answer.result().is_none()); // not yet
/// assert_eq!((&mut answer).await.unwrap(), 42);
/// assert_eq!((&mut answer).await.unwrap(), 42);
/// assert_eq!(answer.result().unwrap().unwrap(), 42);
/// # });
/// ```
pub struct Shared<T: Clone + 'static> {
    state: Rc<SharedState<T>>,
    waiting: Option<(u64, Waker)>,
}

struct SharedState<T: 'static> {
    handle: JoinHandle<T>,
    output: OnceCell<Result<T, Arc<JoinError>>>,
}

impl<T: Clone + 'static> Shared<T> {
    pub(crate) fn new(handle: JoinHandle<T>) -> Self {
        Shared { state: Rc::new(SharedState { handle, output: OnceCell::new() }), waiting: None }
    }

    /// The number of the task.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// # windlass_executor::doc(async {
    /// let task = windlass::spawn(async {});
    /// let id = task.id();
    /// assert_eq!(task.shared().id(), id);
    /// # });
    /// ```
    pub fn id(&self) -> TaskId {
        self.state.handle.id()
    }

    /// What ends the task, for all.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// # windlass_executor::doc(async {
    /// let task = windlass::spawn(std::future::pending::<()>()).shared();
    /// task.abort_handle().abort();
    /// assert!(task.await.unwrap_err().is_cancelled());
    /// # });
    /// ```
    pub fn abort_handle(&self) -> AbortHandle {
        self.state.handle.abort_handle()
    }

    /// What the task gave; none if it has not ended.
    ///
    /// # Errors
    /// [`JoinError`] as a join handle's, shared.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// # windlass_executor::doc(async {
    /// let task = windlass::spawn(async { 42 }).shared();
    /// windlass::task::yield_now().await;
    /// assert_eq!(task.result().unwrap().unwrap(), 42);
    /// # });
    /// ```
    pub fn result(&self) -> Option<Result<T, Arc<JoinError>>> {
        let output = &self.state.output;
        if output.get().is_none()
            && let Some(left) = self.state.handle.take()
        {
            let set = output.set(left.map_err(Arc::new));
            assert!(set.is_ok(), "a task leaves one output");
        }
        output.get().cloned()
    }

    fn stop_waiting(&mut self) {
        if let Some((number, _)) = self.waiting.take() {
            join::unwatch(self.state.handle.task(), number);
        }
    }
}

impl<T: Clone + 'static> Future for Shared<T> {
    type Output = Result<T, Arc<JoinError>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let known = self.waiting.as_ref().is_some_and(|(_, waiting)| waiting.will_wake(cx.waker()));
        if !known && !self.state.handle.is_finished() {
            self.stop_waiting();
            let (waker, watcher) = (cx.waker().clone(), Watcher::Wake(cx.waker().clone()));
            let number = join::watch(self.state.handle.task(), watcher).ok();
            self.waiting = number.map(|number| (number, waker));
        }
        match self.result() {
            Some(output) => {
                self.stop_waiting();
                Poll::Ready(output)
            }
            None => {
                waits::note(WaitReason::Join { task: self.id() });
                Poll::Pending
            }
        }
    }
}

impl<T: Clone + 'static> Clone for Shared<T> {
    fn clone(&self) -> Self {
        Shared { state: self.state.clone(), waiting: None }
    }
}

impl<T: Clone + 'static> Drop for Shared<T> {
    fn drop(&mut self) {
        self.stop_waiting();
    }
}

/// The output lies behind a pointer.
impl<T: Clone + 'static> Unpin for Shared<T> {}

impl<T: Clone + 'static> fmt::Debug for Shared<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("id", &self.id()).finish_non_exhaustive()
    }
}

fn has_ended(task: &TaskRef) -> bool {
    matches!(task.state.get(), State::Finished | State::Empty)
}

/// Leaves a call for after the task's end.
#[track_caller]
pub(crate) fn on_done(task: &TaskRef, call: impl FnOnce() + 'static) {
    let at = Location::caller();
    let told = Watcher::Call(Box::new(move || make_later(Due(Some(call)), at)));
    if let Err(ended) = join::watch(task, told) {
        ended.tell();
    }
}

/// Makes the call in a small task of its own. What a loop drops at its end has nobody left to be told of it.
fn make_later<F: FnOnce() + 'static>(mut due: Due<F>, at: &'static Location<'static>) {
    match executor::is_closing() {
        Some(false) => drop(spawn_at(async move { drop(due) }, None, at)),
        Some(true) => drop(due.0.take()),
        None => drop(due),
    }
}

/// A call that is made when this goes: in its task's turn, or when somebody ends that task before.
struct Due<F: FnOnce()>(Option<F>);

impl<F: FnOnce()> Drop for Due<F> {
    fn drop(&mut self) {
        if let Some(call) = self.0.take() {
            join::quietly(call);
        }
    }
}
