//! Tasks that end together.
//! A task that spawns others and returns has lost sight of them: they may fail unseen, or run for ever. A group is a block
//! that no child outlives, and in which one failure is everybody's:
//!
//! ```text
//!   group ── body ──────────── awaits ─────────┐ waits for the children ──► Ok(value)
//!      ├──── child ────────────────────┐       │
//!      └──── child ── fails ──► all are asked to stop, the body too; when the last has ended ──► Err(all failures)
//!
//!   the task around it is cancelled ──► all are asked to stop; when the last has ended the cancellation goes on outwards
//!   exit(value) ──► all are asked to stop; when the last has ended ──► Ok(value)
//! ```
//!
//! The rules are those of Python's `asyncio.TaskGroup`. A failure is an `Err` or a panic; that a child was cancelled is none.
//! Who was ready when the first one failed still has its turn, and may fail, too; then all are asked, and from then on
//! nobody can be spawned any more. Where a failure and a cancellation from outside meet, the failures are returned, and
//! the cancellation is delivered again at the task's next suspension.
//!
//! The body stands in a scope, so that the group can end what it awaits, and the scope in a catch, so that what is asked
//! of the task reaches the group first (`cancel`).
//! Not here: the errors (`error`), sets whose members do not care for each other (`set`).   Next: `error`.

use std::any::Any;
use std::cell::{Cell, OnceCell, RefCell};
use std::fmt;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, Location, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use pin_project_lite::pin_project;
use slab::Slab;

use super::error::{BoxError, ErrorGroup};
use crate::cancel::{self, Cancelled, Canceller, catch, scope};
use crate::cell::TaskRef;
use crate::join::{self, JoinError, JoinHandle};
use crate::task::{self, TaskId, spawn_at};
use crate::waits::{self, WaitReason};

/// Runs `body`, which may spawn children in the group that it is given, and waits until all have ended.
///
/// When a child or the body fails, the other children and what the body awaits are asked to stop, as
/// [`JoinHandle::cancel`] does, after those that were ready had their turn; they may clean up, and are waited for. The
/// body runs in the calling task and may borrow; what it returns is an [`Outcome`].
///
/// # Errors
/// [`ErrorGroup`], with everything that failed.
///
/// # Panics
/// With what the body panicked with, after the children have ended.
///
/// # Cancel
/// A cancellation of the task is passed to the children and the body; when they have ended it goes on outwards, and
/// nothing is returned. If there were failures those are returned instead, and the cancellation is delivered once more.
/// Dropping the future aborts the children: they are dropped where they stand.
///
/// ```
/// # use windlass_executor::{group, yield_now};
/// # windlass_executor::doc(async {
/// let sum = group(async |g| {
///     let two = g.spawn(async { yield_now().await; Ok::<_, std::fmt::Error>(2) })?;
///     let three = g.spawn(async { Ok::<_, std::fmt::Error>(3) })?;
///     Ok::<_, Box<dyn std::error::Error + Send + Sync>>(two.await?? + three.await??)
/// });
/// assert_eq!(sum.await.unwrap(), 5);
/// # });
/// ```
pub async fn group<B, O>(body: B) -> Result<O::Value, ErrorGroup>
where
    B: AsyncFnOnce(TaskGroup<O::Value>) -> O,
    O: Outcome,
{
    let inner = Rc::new(Inner::new());
    let guard = AbortOnDrop(&inner);
    let (body, canceller) = scope(Caught::new(run(&inner, body)));
    inner.body.set(canceller).expect("a group has one body");

    let mut asked: Option<Cancelled> = None;
    let mut panicked = None;
    let mut value = None;
    match catch(body).await {
        Ok(Ok(Ok(Ok(returned)))) => value = Some(returned),
        Ok(Ok(Ok(Err(error)))) => asked = inner.body_failed(error),
        Ok(Ok(Err(panic))) => panicked = Some(panic),
        Ok(Err(_by_the_group)) => {}
        Err(cancelled) => asked = Some(cancelled),
    }
    if asked.is_some() || panicked.is_some() {
        inner.close(asked.clone().unwrap_or_else(|| Cancelled::because("the body of its group panicked")));
    }
    while !inner.is_empty() {
        let Err(cancelled) = catch(poll_fn(|cx| inner.poll_empty(cx))).await else { break };
        inner.close(cancelled.clone());
        asked = Some(match asked {
            Some(before) => cancel::wider(before, cancelled),
            None => cancelled,
        });
    }
    inner.stage.set(Stage::Over);
    drop(guard);

    if let Some(panic) = panicked {
        resume_unwind(panic);
    }
    match (ErrorGroup::of(inner.errors.take()), asked) {
        (Some(errors), asked) => {
            asked.into_iter().for_each(cancel::ask_again);
            Err(errors)
        }
        (None, Some(cancelled)) => match cancelled.propagate().await {},
        (None, None) => {
            Ok(inner.exit.take().or(value).expect("a body that failed left an error, one that was ended a value"))
        }
    }
}

/// The body to its end. Where it was the group that ended it, its error says nothing.
async fn run<B, O>(inner: &Rc<Inner<O::Value>>, body: B) -> Result<O::Value, BoxError>
where
    B: AsyncFnOnce(TaskGroup<O::Value>) -> O,
    O: Outcome,
{
    let returned = body(TaskGroup { inner: inner.clone() }).await.into_result();
    returned.map_err(|error| match error.downcast::<Cancelled>() {
        Ok(cancelled) => match inner.body.get().expect("it is there before it runs").outwards(*cancelled) {
            Some(cancelled) => BoxError::from(cancelled),
            None => BoxError::from(ByTheGroup),
        },
        Err(error) => error,
    })
}

/// What a child or a body of a group may return: nothing, which is a success, or a `Result`.
///
/// ```
/// # use windlass_executor::windlass;
/// use windlass::task::Outcome;
/// assert!(().into_result().is_ok());
/// assert!(Err::<(), _>("no more oil").into_result().is_err());
/// ```
pub trait Outcome {
    /// What it gives if it does not fail.
    type Value;

    /// The value, or why there is none.
    ///
    /// # Errors
    /// What counts as a failure. [`Cancelled`] does not: it says that the task was asked to stop.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// assert_eq!(windlass::task::Outcome::into_result(Ok::<_, std::fmt::Error>(7)).unwrap(), 7);
    /// ```
    fn into_result(self) -> Result<Self::Value, Box<dyn std::error::Error + Send + Sync>>;
}

impl Outcome for () {
    type Value = ();

    fn into_result(self) -> Result<(), BoxError> {
        Ok(())
    }
}

impl<T, E: Into<BoxError>> Outcome for Result<T, E> {
    type Value = T;

    fn into_result(self) -> Result<T, BoxError> {
        self.map_err(Into::into)
    }
}

/// Where the children of a [`group`] are spawned. Cloned, it may be taken into a child, which then spawns siblings.
///
/// ```
/// # use windlass_executor::group;
/// # windlass_executor::doc(async {
/// group(async |g| {
///     let siblings = g.clone();
///     g.spawn(async move { siblings.spawn(async {}).map(drop) }).map(drop)
/// })
/// .await
/// .unwrap();
/// # });
/// ```
pub struct TaskGroup<T> {
    inner: Rc<Inner<T>>,
}

impl<T: 'static> TaskGroup<T> {
    /// Makes a task of `future`, as [`spawn`](crate::spawn()), and a child of the group. If it fails the group does, and the
    /// handle yields [`NoValue`].
    ///
    /// # Errors
    /// [`GroupClosed`] once all were asked to stop, since something failed or [`exit`](TaskGroup::exit) was called, and when
    /// the group has ended; the future is dropped.
    ///
    /// # Panics
    /// Outside a running loop.
    ///
    /// ```
    /// # use windlass_executor::{GroupClosed, group};
    /// # windlass_executor::doc(async {
    /// let mut kept = None;
    /// group(async |g| { kept = Some(g.clone()); }).await.unwrap();
    /// let refused: Result<_, GroupClosed> = kept.unwrap().spawn(async {});
    /// assert!(refused.is_err());
    /// # });
    /// ```
    #[track_caller]
    pub fn spawn<F>(&self, future: F) -> Result<Child<F>, GroupClosed>
    where
        F: Future<Output: Outcome<Value: 'static>> + 'static,
    {
        self.spawn_at(future, None, Location::caller())
    }

    /// As [`spawn`](TaskGroup::spawn), with a name.
    ///
    /// # Errors
    /// As [`spawn`](TaskGroup::spawn).
    ///
    /// # Panics
    /// Outside a running loop.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// # use windlass_executor::group;
    /// # windlass_executor::doc(async {
    /// group(async |g| {
    ///     assert_eq!(g.spawn_named("crank", async {})?.name(), "crank");
    ///     Ok::<_, windlass::task::GroupClosed>(())
    /// })
    /// .await
    /// .unwrap();
    /// # });
    /// ```
    #[track_caller]
    pub fn spawn_named<F>(&self, name: impl Into<Box<str>>, future: F) -> Result<Child<F>, GroupClosed>
    where
        F: Future<Output: Outcome<Value: 'static>> + 'static,
    {
        self.spawn_at(future, Some(name.into()), Location::caller())
    }

    #[track_caller]
    fn spawn_at<F>(
        &self,
        future: F,
        name: Option<Box<str>>,
        at: &'static Location<'static>,
    ) -> Result<Child<F>, GroupClosed>
    where
        F: Future<Output: Outcome<Value: 'static>> + 'static,
    {
        if self.is_closed() {
            return Err(GroupClosed { private: () });
        }
        let slot = self.inner.children.borrow_mut().insert(None);
        let member = Member { group: Some(self.inner.clone()), slot };
        let child = spawn_at(ChildFuture { future: Caught::new(future), member }, name, at);
        if !child.is_finished() {
            self.inner.children.borrow_mut()[slot] = Some(child.task().clone());
        }
        Ok(child)
    }

    /// Ends the group early, and without an error: children and body are asked to stop, and [`group`] returns `value` when
    /// all have ended. If something fails while it ends, that is what it returns. False, and nothing else, if the group
    /// was ending already.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// # use windlass_executor::group;
    /// # windlass_executor::doc(async {
    /// let first = group(async |g| {
    ///     for name in ["quick", "slow"] {
    ///         let finish = g.clone();
    ///         g.spawn(async move { finish.exit(name); })?;
    ///     }
    ///     std::future::pending::<Result<&str, windlass::task::GroupClosed>>().await
    /// });
    /// assert_eq!(first.await.unwrap(), "quick");
    /// # });
    /// ```
    pub fn exit(&self, value: T) -> bool {
        if self.is_closed() {
            return false;
        }
        drop(self.inner.exit.replace(Some(value)));
        self.inner.close(Cancelled::because("its group was ended early"))
    }

    /// True once nobody can be spawned any more: all were asked to stop, or the group is over.
    ///
    /// ```
    /// # use windlass_executor::group;
    /// # windlass_executor::doc(async {
    /// group(async |g| {
    ///     assert!(!g.is_closed());
    ///     g.cancel();
    ///     assert!(g.is_closed());
    /// })
    /// .await
    /// .unwrap();
    /// # });
    /// ```
    pub fn is_closed(&self) -> bool {
        self.inner.stage.get() != Stage::Open
    }
}

impl TaskGroup<()> {
    /// As [`exit`](TaskGroup::exit), where there is no value to return.
    ///
    /// ```
    /// # use windlass_executor::group;
    /// # windlass_executor::doc(async {
    /// group(async |g| {
    ///     g.spawn(std::future::pending::<()>()).unwrap();
    ///     g.cancel();
    /// })
    /// .await
    /// .unwrap();
    /// # });
    /// ```
    pub fn cancel(&self) -> bool {
        self.exit(())
    }
}

impl<T> Clone for TaskGroup<T> {
    fn clone(&self) -> Self {
        TaskGroup { inner: self.inner.clone() }
    }
}

impl<T> fmt::Debug for TaskGroup<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let children = self.inner.children.borrow().len();
        f.debug_struct("TaskGroup").field("children", &children).field("stage", &self.inner.stage.get()).finish()
    }
}

/// The handle of a group's child: it yields the value, or [`NoValue`] if the child returned an error.
///
/// Dropping it changes nothing: the group waits for the child.
pub type Child<F> = JoinHandle<Result<<<F as Future>::Output as Outcome>::Value, NoValue>>;

/// A child of a group panicked or returned an error, which is among the group's unless it was [`Cancelled`].
///
/// ```
/// # use windlass_executor::windlass;
/// # use windlass_executor::{NoValue, group};
/// # windlass_executor::doc(async {
/// let mut child = None;
/// let failed = group(async |g| {
///     child = Some(g.spawn(async { Err::<(), _>("no more oil") })?);
///     Ok::<_, windlass::task::GroupClosed>(())
/// });
/// assert_eq!(failed.await.unwrap_err().errors()[0].to_string(), "no more oil");
/// let left: Result<(), NoValue> = child.unwrap().await.unwrap();
/// assert!(left.is_err());
/// # });
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NoValue {
    private: (),
}

impl fmt::Display for NoValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the child gave no value: what it failed with is the group's")
    }
}

impl std::error::Error for NoValue {}

/// The group is ending, or has ended, and takes no more children.
///
/// ```
/// # use windlass_executor::group;
/// # windlass_executor::doc(async {
/// group(async |g| {
///     g.cancel();
///     let refused = g.spawn(async {}).unwrap_err();
///     assert_eq!(refused.to_string(), "the group is ending: it takes no more tasks");
/// })
/// .await
/// .unwrap();
/// # });
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct GroupClosed {
    private: (),
}

impl fmt::Display for GroupClosed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the group is ending: it takes no more tasks")
    }
}

impl std::error::Error for GroupClosed {}

/// The body returned what the group itself had asked of it.
#[derive(Debug)]
struct ByTheGroup;

impl fmt::Display for ByTheGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ended by its group")
    }
}

impl std::error::Error for ByTheGroup {}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    Open,
    /// All were asked to stop.
    Closing,
    Over,
}

struct Inner<T> {
    stage: Cell<Stage>,
    /// Those that have not ended; none while one is being made.
    children: RefCell<Slab<Option<TaskRef>>>,
    body: OnceCell<Canceller>,
    errors: RefCell<Vec<BoxError>>,
    /// Asks all to stop when its turn comes.
    closer: Cell<Option<JoinHandle<()>>>,
    /// What the group returns if it was ended early.
    exit: Cell<Option<T>>,
    waiter: Cell<Option<Waker>>,
}

impl<T> Inner<T> {
    fn new() -> Self {
        Inner {
            stage: Cell::new(Stage::Open),
            children: RefCell::default(),
            body: OnceCell::new(),
            errors: RefCell::default(),
            closer: Cell::new(None),
            exit: Cell::new(None),
            waiter: Cell::new(None),
        }
    }

    fn is_empty(&self) -> bool {
        self.children.borrow().is_empty()
    }

    fn alive(&self) -> Vec<TaskRef> {
        self.children.borrow().iter().filter_map(|(_, child)| child.clone()).collect()
    }

    /// Asks everybody to stop, and takes nobody any more. False if that was done before.
    fn close(&self, why: Cancelled) -> bool {
        if self.stage.get() != Stage::Open {
            return false;
        }
        self.stage.set(Stage::Closing);
        let why = || why.reason().map_or_else(Cancelled::new, Cancelled::because);
        for child in self.alive() {
            cancel::request(&child, why()); // with nothing borrowed (I3)
        }
        if let Some(body) = self.body.get() {
            body.cancel(why());
        }
        true
    }

    /// Keeps what a child or the body failed with, unless it was only cancelled. True if it is the first.
    fn is_first_failure(&self, error: BoxError) -> bool {
        let consequence = error.downcast_ref().is_some_and(JoinError::is_cancelled) && self.stage.get() != Stage::Open;
        if error.is::<Cancelled>() || consequence {
            return false;
        }
        let mut errors = self.errors.borrow_mut();
        errors.push(error);
        errors.len() == 1
    }

    fn close_failed(&self) {
        self.close(Cancelled::because("a task of its group failed"));
    }

    /// Asks all to stop, now; where the body was cancelled, gives that.
    fn body_failed(&self, error: BoxError) -> Option<Cancelled> {
        match error.downcast::<Cancelled>() {
            Ok(cancelled) => Some(*cancelled),
            Err(error) if error.is::<ByTheGroup>() => None,
            Err(error) => {
                self.is_first_failure(error);
                self.close_failed();
                None
            }
        }
    }

    fn poll_empty(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.is_empty() {
            return Poll::Ready(());
        }
        drop(self.waiter.replace(Some(cx.waker().clone())));
        let first = self.children.borrow().iter().find_map(|(_, child)| Some(TaskId(child.as_ref()?.id())));
        match first {
            Some(task) => waits::note(WaitReason::Join { task }),
            None if self.is_empty() => return Poll::Ready(()), // a waker's clone ended them
            None => {}
        }
        Poll::Pending
    }

    fn left(&self, slot: usize) {
        let child = self.children.borrow_mut().remove(slot);
        drop(child); // with nothing borrowed (I3)
        if self.is_empty()
            && let Some(waiting) = self.waiter.take()
        {
            waiting.wake();
        }
    }
}

/// A group that is dropped takes its children with it.
struct AbortOnDrop<'a, T>(&'a Inner<T>);

impl<T> Drop for AbortOnDrop<'_, T> {
    fn drop(&mut self) {
        self.0.stage.set(Stage::Over);
        if let Some(closer) = self.0.closer.take() {
            closer.abort();
        }
        for child in self.0.alive() {
            join::abort(&child);
        }
    }
}

/// Asks all to stop when its turn comes, or when whoever ends every task he finds ends that one.
struct CloseOnDrop<T>(Rc<Inner<T>>);

impl<T> Drop for CloseOnDrop<T> {
    fn drop(&mut self) {
        self.0.close_failed();
    }
}

/// A child's membership in its group.
struct Member<T> {
    group: Option<Rc<Inner<T>>>,
    slot: usize,
}

impl<T> Member<T> {
    fn leave(&mut self) -> Option<Rc<Inner<T>>> {
        let group = self.group.take()?;
        group.left(self.slot);
        Some(group)
    }
}

impl<T> Drop for Member<T> {
    fn drop(&mut self) {
        self.leave();
    }
}

pin_project! {
    struct ChildFuture<F, T> {
        #[pin]
        future: Caught<F>, // goes before its membership
        member: Member<T>,
    }
}

impl<F: Future<Output: Outcome>, T: 'static> Future for ChildFuture<F, T> {
    type Output = Result<<F::Output as Outcome>::Value, NoValue>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let polled = this.future.poll(cx).map_ok(Outcome::into_result);
        let error = match polled {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Ok(Ok(value))) => return Poll::Ready(Ok(value)),
            Poll::Ready(Ok(Err(error))) => error,
            Poll::Ready(Err(panic)) => {
                let me = task::current().expect("a child is polled in its turn");
                JoinError::panicked(me.id, me.name, panic).into()
            }
        };
        if let Some(group) = this.member.leave()
            && group.is_first_failure(error)
        {
            // Behind all that are ready: those may fail by themselves.
            let closing = CloseOnDrop(group.clone());
            group.closer.set(Some(task::call_soon(move || drop(closing))));
        }
        Poll::Ready(Err(NoValue { private: () }))
    }
}

pin_project! {
    /// A future whose panic is its output: that of its polls, and that of its drop when it has ended.
    struct Caught<F> {
        #[pin]
        future: Option<F>,
    }
}

impl<F> Caught<F> {
    fn new(future: F) -> Self {
        Caught { future: Some(future) }
    }
}

impl<F: Future> Future for Caught<F> {
    type Output = Result<F::Output, Box<dyn Any + Send>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut future = self.project().future;
        let polled = catch_unwind(AssertUnwindSafe(|| {
            let polled = future.as_mut().as_pin_mut().expect("it has not ended").poll(cx);
            if polled.is_ready() {
                future.set(None);
            }
            polled
        }));
        match polled {
            Ok(polled) => polled.map(Ok),
            Err(panic) => Poll::Ready(Err(panic)),
        }
    }
}
