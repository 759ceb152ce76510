//! How a task ends, and who hears of it.
//! A task ends once: with its output, with a panic, or aborted. What it leaves waits in its cell for the join handle.
//!
//! ```text
//!   output ─┐                     ┌─ a handle:  stored, its waiter woken ──► JoinHandle::poll takes it, once
//!   panic  ─┼──► stage, settled ──┤
//!   abort  ─┘                     └─ no handle: dropped here; a panic that nobody will see is reported
//! ```
//!
//! Everything foreign that can panic while a task ends (the future's drop, the output's, a waker) is caught here, so
//! that one task's trouble is never another's.
//! Not here: cancellation that lets a task clean up (`cancel`); `abort` drops.   Next: `cancel`, or `executor` for who polls.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::cancel::{self, Cancelled};
use crate::cell::{Handle, State, TaskRef, Typed, waker, with_current};
use crate::extras;
use crate::group::handles::{self, AbortHandle, Shared};
use crate::group::set::Finished;
use crate::instrument::{self, Tell};
use crate::task::TaskId;
use crate::waits::{self, WaitReason};

/// Waits for a task and yields its output.
///
/// Dropping it detaches the task, which runs on. The output may be taken once.
///
/// # Errors
/// [`JoinError`] if the task panicked or was aborted, or if its loop ended first.
///
/// # Panics
/// When polled again after it yielded.
///
/// # Cancel
/// Dropping the future that awaits a `&mut JoinHandle` loses nothing: await it again.
///
/// ```
/// # use windlass_executor::windlass;
/// # windlass_executor::doc(async {
/// let task = windlass::spawn(async { 6 * 7 });
/// assert_eq!(task.await.unwrap(), 42);
/// # });
/// ```
pub struct JoinHandle<T: 'static> {
    task: Typed<T>,
}

impl<T: 'static> JoinHandle<T> {
    #[inline]
    pub(crate) fn new(task: Typed<T>) -> Self {
        task.0.handle.set(Handle::Alone);
        JoinHandle { task }
    }

    pub(crate) fn task(&self) -> &TaskRef {
        &self.task.0
    }

    /// What the task left, if it has ended and nobody has taken it.
    #[inline]
    pub(crate) fn take(&self) -> Option<Result<T, JoinError>> {
        self.task.take()
    }

    /// The number of the task, unique in its loop.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// # windlass_executor::doc(async {
    /// let task = windlass::spawn(async { windlass::task::current().unwrap().id });
    /// let id = task.id();
    /// assert_eq!(task.await.unwrap(), id);
    /// # });
    /// ```
    pub fn id(&self) -> TaskId {
        TaskId(self.task.0.id())
    }

    /// The name that the task was given, or `Task-N`.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// # windlass_executor::doc(async {
    /// let task = windlass::spawn(async {});
    /// assert_eq!(task.name(), format!("Task-{}", task.id()));
    /// # });
    /// ```
    pub fn name(&self) -> String {
        extras::name_of(&self.task.0)
    }

    /// Gives the task another name.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// # windlass_executor::doc(async {
    /// let task = windlass::spawn(async {});
    /// task.set_name("crank");
    /// assert_eq!(task.name(), "crank");
    /// # });
    /// ```
    pub fn set_name(&self, name: impl Into<Box<str>>) {
        extras::set_name(&self.task.0, name.into());
    }

    /// True once the task has ended, in whatever way.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// # windlass_executor::doc(async {
    /// let task = windlass::spawn(async {});
    /// assert!(!task.is_finished());
    /// windlass::task::yield_now().await;
    /// assert!(task.is_finished());
    /// # });
    /// ```
    pub fn is_finished(&self) -> bool {
        matches!(self.task.0.state.get(), State::Finished | State::Empty)
    }

    /// Drops the task's future now; its destructors run before this returns, and the handle yields a
    /// [cancelled](JoinError::is_cancelled) error. A task that aborts itself ends at its next suspension.
    /// False if the task had ended already.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// # windlass_executor::doc(async {
    /// let task = windlass::spawn(std::future::pending::<()>());
    /// assert!(task.abort());
    /// assert!(task.await.unwrap_err().is_cancelled());
    /// # });
    /// ```
    pub fn abort(&self) -> bool {
        abort(&self.task.0)
    }

    /// Asks the task to stop. The innermost [`catch`](crate::cancel::catch) around what it waits for takes that, and the
    /// code after it may clean up; where nothing catches, the task is dropped now. A task that cancels itself is asked at
    /// its next suspension; one that has not run yet never will. False if it had ended already.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// # windlass_executor::doc(async {
    /// let task = windlass::spawn(std::future::pending::<()>());
    /// assert!(task.cancel());
    /// assert!(task.await.unwrap_err().is_cancelled()); // nothing caught it
    /// # });
    /// ```
    pub fn cancel(&self) -> bool {
        cancel::request(&self.task.0, Cancelled::new())
    }

    /// As [`cancel`](JoinHandle::cancel), saying why.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// # windlass_executor::doc(async {
    /// let task = windlass::spawn(std::future::pending::<()>());
    /// task.cancel_because("closing time");
    /// assert!(task.await.unwrap_err().to_string().ends_with("was cancelled: closing time"));
    /// # });
    /// ```
    pub fn cancel_because(&self, reason: impl Into<Arc<str>>) -> bool {
        cancel::request(&self.task.0, Cancelled::because(reason))
    }

    /// What ends this task from anywhere.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// # windlass_executor::doc(async {
    /// let task = windlass::spawn(std::future::pending::<()>());
    /// let end = task.abort_handle();
    /// let _asked = windlass::spawn(async move { end.abort() });
    /// assert!(task.await.unwrap_err().is_cancelled());
    /// # });
    /// ```
    pub fn abort_handle(&self) -> AbortHandle {
        AbortHandle::new(&self.task.0)
    }

    /// A handle that can be cloned, and asked for the output any number of times.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// # windlass_executor::doc(async {
    /// let answer = windlass::spawn(async { 42 }).shared();
    /// let again = answer.clone();
    /// assert_eq!(answer.await.unwrap() + again.await.unwrap(), 84);
    /// # });
    /// ```
    pub fn shared(self) -> Shared<T>
    where
        T: Clone,
    {
        Shared::new(self)
    }

    /// Has `call` run when the task has ended, in whatever way: in a later turn of the loop, after the calls that were left
    /// before it. If the task has ended already it runs all the same. A panic in it is printed, and hurts nobody else. If
    /// it was the end of the loop that ended the task, it does not run. Outside a running loop, where there is no later
    /// turn, it runs at once.
    ///
    /// ```
    /// # use windlass_executor::{spawn, yield_now};
    /// # windlass_executor::doc(async {
    /// let (say, hear) = std::sync::mpsc::channel();
    /// let task = spawn(std::future::pending::<()>());
    /// task.on_done(move || say.send("over").unwrap());
    /// task.abort();
    /// assert!(hear.try_recv().is_err()); // not inside the abort
    /// yield_now().await;
    /// assert_eq!(hear.try_recv(), Ok("over"));
    /// # });
    /// ```
    #[track_caller]
    pub fn on_done(&self, call: impl FnOnce() + 'static) {
        handles::on_done(&self.task.0, call);
    }

    /// How often the task was asked to stop. Above zero for one that goes on regardless, and for one whose output came all
    /// the same.
    ///
    /// ```
    /// # use windlass_executor::{cancel::catch, spawn, yield_now};
    /// # windlass_executor::doc(async {
    /// let stubborn = spawn(async { drop(catch(std::future::pending::<()>()).await) });
    /// yield_now().await;
    /// stubborn.cancel();
    /// yield_now().await;
    /// assert_eq!((stubborn.is_finished(), stubborn.cancelling()), (true, 1));
    /// # });
    /// ```
    pub fn cancelling(&self) -> u32 {
        cancel::requests(&self.task.0).0
    }
}

/// The output lies in the task's cell, not in here.
impl<T: 'static> Unpin for JoinHandle<T> {}

impl<T: 'static> Future for JoinHandle<T> {
    type Output = Result<T, JoinError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let Some(output) = self.task.take() {
            return Poll::Ready(output);
        }
        assert!(self.task.0.state.get() != State::Empty, "a join handle was awaited again: it yields its output once");
        let waiting = self.task.0.joiner.take();
        let known = waiting.as_ref().is_some_and(|waiting| waiting.will_wake(cx.waker()));
        self.task.0.joiner.set(waiting);
        if !known {
            let waker = cx.waker().clone();
            drop(self.task.0.joiner.replace(Some(waker)));
            // Foreign code ran, and may have ended the task: then nobody is left to wake this waker.
            if let Some(output) = self.task.take() {
                return Poll::Ready(output);
            }
        }
        waits::note(WaitReason::Join { task: TaskId(self.task.0.id()) });
        Poll::Pending
    }
}

impl<T: 'static> Drop for JoinHandle<T> {
    #[inline]
    fn drop(&mut self) {
        let task = &self.task.0;
        task.handle.set(Handle::None);
        if task.has_joiner() || task.state.get() == State::Finished {
            drop_rest(task, self.task.take());
        }
    }
}

impl<T: 'static> fmt::Debug for JoinHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinHandle").field("id", &self.task.0.id()).finish_non_exhaustive()
    }
}

/// The handle went while somebody waited, or before the output was taken.
#[cold]
fn drop_rest<T>(task: &TaskRef, output: Option<Result<T, JoinError>>) {
    quietly(|| drop(task.joiner.take()));
    match output {
        Some(Err(error)) if error.is_panic() => {
            report(task, &error);
            quietly(|| drop(error));
        }
        output => {
            if let Some(Ok(_)) = output {
                instrument::output_goes(task);
            }
            quietly(|| drop(output));
        }
    }
}

/// Why a task gave no output.
///
/// ```
/// # use windlass_executor::windlass;
/// # windlass_executor::doc(async {
/// let crank = windlass::task::Builder::new().name("crank");
/// let error = crank.spawn(async { assert!(1 > 2, "it slipped") }).await.unwrap_err();
/// assert!(error.to_string().ends_with("(crank) panicked: it slipped"));
/// # });
/// ```
pub struct JoinError {
    id: TaskId,
    details: Option<Box<Details>>,
}

/// The name of a task that never was.
pub(crate) const NEVER_BEGUN: &str = "never begun";

struct Details {
    name: String,
    reason: Option<Arc<str>>,
    // In a mutex only so that the error is `Sync` and can travel in an `io::Error` or a `Box<dyn Error + Send + Sync>`.
    panic: Option<Mutex<Box<dyn Any + Send>>>,
}

impl JoinError {
    fn cancelled(task: &TaskRef) -> Self {
        let (_, reason) = cancel::requests(task);
        let details = || Box::new(Details { name: extras::name_of(task), reason, panic: None });
        JoinError { id: TaskId(task.id()), details: task.extras.get().then(details) }
    }

    /// Of a task that was posted to a loop and never became one.
    pub(crate) fn never_begun(reason: Option<Arc<str>>) -> Self {
        let details = Details { name: NEVER_BEGUN.into(), reason, panic: None };
        JoinError { id: TaskId(0), details: Some(Box::new(details)) }
    }

    pub(crate) fn panicked(id: TaskId, name: String, panic: Box<dyn Any + Send>) -> Self {
        JoinError { id, details: Some(Box::new(Details { name, reason: None, panic: Some(Mutex::new(panic)) })) }
    }

    /// The task it speaks of.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// # windlass_executor::doc(async {
    /// let task = windlass::spawn(std::future::pending::<()>());
    /// let id = task.id();
    /// task.abort();
    /// assert_eq!(task.await.unwrap_err().id(), id);
    /// # });
    /// ```
    pub fn id(&self) -> TaskId {
        self.id
    }

    /// True if the task was aborted, or dropped with its loop.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// # windlass_executor::doc(async {
    /// let task = windlass::spawn(std::future::pending::<()>());
    /// task.abort();
    /// assert!(task.await.unwrap_err().is_cancelled());
    /// # });
    /// ```
    pub fn is_cancelled(&self) -> bool {
        !self.is_panic()
    }

    /// Why the task was cancelled, if whoever asked has said so.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// # windlass_executor::doc(async {
    /// let task = windlass::spawn(std::future::pending::<()>());
    /// task.cancel_because("closing time");
    /// assert_eq!(task.await.unwrap_err().reason(), Some("closing time"));
    /// # });
    /// ```
    pub fn reason(&self) -> Option<&str> {
        self.details.as_ref()?.reason.as_deref()
    }

    /// True if the task panicked.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// # windlass_executor::doc(async {
    /// let task = windlass::spawn(async { assert!(1 > 2) });
    /// assert!(task.await.unwrap_err().is_panic());
    /// # });
    /// ```
    pub fn is_panic(&self) -> bool {
        self.details.as_ref().is_some_and(|details| details.panic.is_some())
    }

    /// What the task panicked with.
    ///
    /// # Errors
    /// Gives the error back if it was no panic.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// # windlass_executor::doc(async {
    /// let task = windlass::spawn(std::future::pending::<()>());
    /// task.abort();
    /// let still = task.await.unwrap_err().try_into_panic().unwrap_err();
    /// assert!(still.is_cancelled());
    /// # });
    /// ```
    pub fn try_into_panic(mut self) -> Result<Box<dyn Any + Send>, JoinError> {
        match self.details.as_mut().and_then(|details| details.panic.take()) {
            Some(panic) => Ok(panic.into_inner().unwrap_or_else(PoisonError::into_inner)),
            None => Err(self),
        }
    }

    /// What the task panicked with, for [`std::panic::resume_unwind`].
    ///
    /// # Panics
    /// If it was no panic.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// # windlass_executor::doc(async {
    /// let task = windlass::spawn(async { assert!(1 > 2, "it slipped") });
    /// let panic = task.await.unwrap_err().into_panic();
    /// assert_eq!(panic.downcast_ref(), Some(&"it slipped"));
    /// # });
    /// ```
    #[track_caller]
    pub fn into_panic(self) -> Box<dyn Any + Send> {
        self.try_into_panic().expect("the task was cancelled, it did not panic")
    }

    fn message(&self) -> Option<String> {
        let panic = self.details.as_ref()?.panic.as_ref()?;
        let panic = panic.lock().unwrap_or_else(PoisonError::into_inner);
        let text = panic.downcast_ref::<&str>().map(|text| text.to_string());
        Some(text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".into()))
    }
}

impl fmt::Display for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.details {
            Some(details) => write!(f, "task {} ({})", self.id, details.name)?,
            None => write!(f, "task {}", self.id)?,
        }
        match self.message() {
            Some(message) => write!(f, " panicked: {message}"),
            None => write!(f, " was cancelled"),
        }?;
        self.reason().map_or(Ok(()), |reason| write!(f, ": {reason}"))
    }
}

impl fmt::Debug for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JoinError({self})")
    }
}

impl std::error::Error for JoinError {}

/// A panic that no join handle will ever see, as given to the hook of [`set_unobserved_panic_hook`].
///
/// ```
/// # use windlass_executor::windlass;
/// # windlass_executor::doc(async {
/// windlass::task::set_unobserved_panic_hook(Some(|panic| {
///     assert_eq!(panic.name, "crank");
///     assert!(panic.error.is_panic() && panic.spawned_at.file().ends_with(".rs"));
/// }));
/// let crank = windlass::task::Builder::new().name("crank");
/// drop(crank.spawn(async { assert!(1 > 2, "it slipped") }));
/// windlass::task::yield_now().await;
/// # });
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub struct UnobservedPanic<'a> {
    /// The task's name.
    pub name: &'a str,
    /// Where it was spawned.
    pub spawned_at: &'static Location<'static>,
    /// What it panicked with.
    pub error: &'a JoinError,
}

impl fmt::Display for UnobservedPanic<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, and nobody awaits it; spawned at {}", self.error, self.spawned_at)
    }
}

thread_local! {
    /// Hooks belong to a thread, as tasks do: a handle may be dropped when its loop is long gone.
    static HOOK: Cell<Option<fn(&UnobservedPanic<'_>)>> = const { Cell::new(None) };
}

/// Calls `hook` instead of printing to stderr when a task of this thread panics and nobody will see it; none prints
/// again.
///
/// ```
/// # use windlass_executor::windlass;
/// # windlass_executor::doc(async {
/// windlass::task::set_unobserved_panic_hook(Some(|panic| eprintln!("alarm: {panic}")));
/// drop(windlass::spawn(async { panic!("nobody awaits me") }));
/// windlass::task::yield_now().await;
/// # });
/// ```
pub fn set_unobserved_panic_hook(hook: Option<fn(&UnobservedPanic<'_>)>) {
    HOOK.set(hook);
}

fn report(task: &TaskRef, error: &JoinError) {
    tell_unobserved(&UnobservedPanic { name: &extras::name_of(task), spawned_at: task.spawned_at, error });
}

/// As for a task's own handle, of an outcome that went to another thread and that nobody took there.
pub(crate) fn drop_outcome<T>(outcome: Result<T, JoinError>, spawned_at: &'static Location<'static>) {
    if let Err(error) = &outcome
        && error.is_panic()
    {
        let name = error.details.as_ref().map_or("", |details| &details.name);
        tell_unobserved(&UnobservedPanic { name, spawned_at, error });
    }
    quietly(|| drop(outcome));
}

fn tell_unobserved(panic: &UnobservedPanic<'_>) {
    match HOOK.get() {
        Some(hook) => quietly(|| hook(panic)),
        None => quietly(|| eprintln!("windlass: {panic}")), // it panics if nobody reads stderr
    }
}

/// A claimed task holds its output: hand it on, or drop it if nobody will come for it. May call foreign code that panics.
#[inline(always)] // the hot end of every task
pub(crate) fn settle(task: &TaskRef) {
    if task.handle.get() != Handle::Alone {
        return settle_watched(task);
    }
    task.state.set(State::Finished);
    if let Some(waiting) = task.joiner.take() {
        waiting.wake();
    }
}

/// As [`settle`], of a task that is detached, or that others than its handle want to hear of.
#[inline(never)]
fn settle_watched(task: &TaskRef) {
    if task.handle.get() == Handle::None {
        quietly(|| task.end(None));
        task.state.set(State::Empty);
    } else {
        task.state.set(State::Finished);
        quietly(|| task.joiner.take().map_or((), Waker::wake));
    }
    let watchers = extras::look(task, |extras| std::mem::take(&mut extras.watchers)).unwrap_or_default();
    for watcher in watchers.into_all() {
        quietly(|| watcher.tell());
    }
}

/// Who is told of a task's end besides its handle.
pub(crate) enum Watcher {
    Wake(Waker),
    Call(Box<dyn FnOnce()>),
    /// Its slot goes to the end of a list.
    List(Rc<Finished>, usize),
}

impl Watcher {
    pub(crate) fn tell(self) {
        match self {
            Watcher::Wake(waiting) => waiting.wake(),
            Watcher::Call(call) => call(),
            Watcher::List(finished, slot) => finished.push(slot),
        }
    }
}

/// Has `watcher` told when the task ends, after those that came before; the number is for [`unwatch`]. Gives it back if
/// the task has ended.
pub(crate) fn watch(task: &TaskRef, watcher: Watcher) -> Result<u64, Watcher> {
    if matches!(task.state.get(), State::Finished | State::Empty) {
        return Err(watcher);
    }
    if task.handle.get() == Handle::Alone {
        task.handle.set(Handle::Watched);
    }
    Ok(extras::with(task, |extras| extras.watchers.add(watcher)).unwrap_or_default())
}

/// The watcher need not be told any more.
pub(crate) fn unwatch(task: &TaskRef, number: u64) {
    let watcher = extras::look(task, |extras| extras.watchers.remove(number));
    quietly(|| drop(watcher));
}

/// Ends a task whose poll panicked.
#[cold]
pub(crate) fn end_with_panic(task: &TaskRef, panic: Box<dyn Any + Send>) {
    let error = JoinError::panicked(TaskId(task.id()), extras::name_of(task), panic);
    // If the task had ended, it was the waker of its joiner that panicked.
    if task.state.get() != State::Busy {
        report(task, &error);
        return quietly(|| drop(error));
    }
    // The future goes first: the handle may be in it.
    quietly(|| task.end(None));
    if task.handle.get() == Handle::None {
        report(task, &error);
    }
    quietly(|| task.end(Some(error)));
    quietly(|| settle(task));
}

/// Sees to a fresh task that its loop did not queue: `watched` queues it and gives whom to tell, or the loop closes and
/// it ends.
#[inline]
pub(crate) fn admit<T>(handle: &JoinHandle<T>, watched: impl FnOnce(&TaskRef) -> Option<Tell>) {
    if handle.task().is_queued() {
        return;
    }
    match watched(handle.task()) {
        Some(tell) => tell.spawned(),
        None => {
            abort(handle.task());
        }
    }
}

/// Ends a task by dropping its future; a task in its own poll ends after it. False if it had ended.
pub(crate) fn abort(task: &TaskRef) -> bool {
    if task.claim_alive() {
        abort_claimed(task);
        waker(task.key).wake(); // so that the executor meets it, and forgets it
        return true;
    }
    // Under its own poll it cannot be dropped, but right after it.
    task.may_be_in_turn() && with_current(|core| core.is_some_and(|core| core.doom_current(task.key)))
}

thread_local! {
    /// How many drops of aborted futures are under way, one in another.
    static DROPS: Cell<usize> = const { Cell::new(0) };
    /// Claimed tasks whose futures the outermost of them drops when it is done.
    static LATER: RefCell<VecDeque<TaskRef>> = const { RefCell::new(VecDeque::new()) };
}

/// So many futures may each be dropped in the drop of the one before: what that takes fits on any stack.
const DROPS_MAX: usize = 32;

/// Ends a claimed task by dropping its future. That may abort others, whose futures may do so in turn: from a certain
/// depth on they wait in line, not on the stack, and are dropped before the outermost call returns.
pub(crate) fn abort_claimed(task: &TaskRef) {
    let depth = DROPS.get();
    let waits = depth == DROPS_MAX && LATER.try_with(|later| later.borrow_mut().push_back(task.clone())).is_ok();
    if waits {
        return;
    }
    DROPS.set(depth + 1);
    drop_claimed(task);
    while depth == 0
        && let Ok(Some(next)) = LATER.try_with(|later| later.borrow_mut().pop_front())
    {
        drop_claimed(&next);
    }
    DROPS.set(depth);
}

fn drop_claimed(task: &TaskRef) {
    let end = || catch_unwind(AssertUnwindSafe(|| task.end(Some(JoinError::cancelled(task)))));
    if let Err(panic) = instrument::while_dropped(task, end) {
        return end_with_panic(task, panic);
    }
    quietly(|| settle(task));
}

/// Runs foreign code whose panic is nobody's: the panic hook has printed it. Where dropping the payload panics too, and
/// dropping that payload again, the third is forgotten.
pub(crate) fn quietly(f: impl FnOnce()) {
    let caught = catch_unwind(AssertUnwindSafe(f));
    let again = caught.or_else(|panic| catch_unwind(AssertUnwindSafe(|| drop(panic))));
    let third = again.or_else(|panic| catch_unwind(AssertUnwindSafe(|| drop(panic))));
    third.unwrap_or_else(std::mem::forget);
}
