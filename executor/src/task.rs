//! Tasks, as a program sees them.
//! Spawning, names, who is here and what each waits for.
//!
//! ```text
//!   spawn ──► Ready ──► Running ──► Waiting ──┐        Builder::name ──► TaskInfo: id, name, state, what it waits for
//!               ▲          └──► ended         │
//!               └────────── a wake ───────────┘
//! ```
//!
//! Next: `join`, for how they end.

use std::fmt;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_task::{LocalFutureObj, LocalSpawn, SpawnError};

use crate::cell::{TaskRef, with_current};
use crate::executor::{self, Core};
use crate::extras;
use crate::group::handles::AbortHandle;
use crate::inbox::LoopId;
use crate::join::{self, JoinHandle};
use crate::waits::WaitReason;

/// A task's number. The first task of a loop is 1; numbers are never used again in that loop.
///
/// ```
/// # use windlass_executor::windlass;
/// # windlass_executor::doc(async {
/// let (first, second) = (windlass::spawn(async {}), windlass::spawn(async {}));
/// assert!(first.id() < second.id());
/// # });
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct TaskId(pub(crate) u64);

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Makes a task of `future` in the thread's current loop. It runs when its turn comes, never inside this call.
///
/// The future need not be `Send`: it never leaves its thread, neither to run nor to be dropped. Dropping the handle
/// detaches the task.
/// While the loop is ending, the future is dropped at once and the handle yields a cancelled error.
///
/// # Panics
/// Outside a running loop.
///
/// ```
/// # use windlass_executor::windlass;
/// # windlass_executor::doc(async {
/// use std::rc::Rc;
/// let shared = Rc::new(20);
/// let task = windlass::spawn({ let shared = shared.clone(); async move { *shared + 1 } });
/// assert_eq!(task.await.unwrap() + *shared, 41);
/// # });
/// ```
#[inline]
#[track_caller]
pub fn spawn<F: Future<Output: 'static> + 'static>(future: F) -> JoinHandle<F::Output> {
    spawn_at(future, None, Location::caller())
}

#[inline]
#[track_caller]
pub(crate) fn spawn_at<F>(future: F, name: Option<Box<str>>, at: &'static Location<'static>) -> JoinHandle<F::Output>
where
    F: Future<Output: 'static> + 'static,
{
    let handle = with_current(|core| core.map(|core| core.spawn(future, name, at)))
        .expect("spawn called outside a running loop: call it inside run or block_on");
    join::admit(&handle, Core::admit_to_current);
    handle
}

/// Calls `f` in a task of its own when its turn comes, after what is ready already. The handle awaits what it returns, or
/// [cancels](JoinHandle::cancel) the call; dropping it does not.
///
/// # Panics
/// Outside a running loop. If `f` does, its task has panicked.
///
/// ```
/// # use windlass_executor::windlass;
/// # windlass_executor::doc(async {
/// let [sum, never] = [windlass::task::call_soon(|| 1 + 2), windlass::task::call_soon(|| unreachable!())];
/// assert!(never.cancel());
/// assert_eq!(sum.await.unwrap(), 3);
/// # });
/// ```
#[track_caller]
pub fn call_soon<R: 'static>(f: impl FnOnce() -> R + 'static) -> JoinHandle<R> {
    spawn(async move { f() })
}

/// Spawns a task with a name.
///
/// ```
/// # use windlass_executor::windlass;
/// # windlass_executor::doc(async {
/// let task = windlass::task::Builder::new().name("crank").spawn(async {});
/// assert_eq!(task.name(), "crank");
/// # });
/// ```
#[derive(Debug, Default)]
#[must_use = "a builder does nothing until `spawn`"]
pub struct Builder {
    name: Option<Box<str>>,
}

impl Builder {
    /// A task without a name of its own: it will be called `Task-N`.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// # windlass_executor::doc(async {
    /// let task = windlass::task::Builder::new().spawn(async {});
    /// assert!(task.name().starts_with("Task-"));
    /// # });
    /// ```
    pub fn new() -> Self {
        Self::default()
    }

    /// Calls the task `name`. Names need not be unique.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// # windlass_executor::doc(async {
    /// let named = |number: u32| windlass::task::Builder::new().name(format!("worker {number}"));
    /// assert_eq!(named(3).spawn(async {}).name(), "worker 3");
    /// # });
    /// ```
    pub fn name(mut self, name: impl Into<Box<str>>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// As [`spawn`].
    ///
    /// # Panics
    /// Outside a running loop.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// # windlass_executor::doc(async {
    /// let task = windlass::task::Builder::new().name("sum").spawn(async { 1 + 2 });
    /// assert_eq!(task.await.unwrap(), 3);
    /// # });
    /// ```
    #[track_caller]
    pub fn spawn<F: Future<Output: 'static> + 'static>(self, future: F) -> JoinHandle<F::Output> {
        spawn_at(future, self.name, Location::caller())
    }
}

/// Lets every other ready task run once before it completes.
///
/// ```
/// # use windlass_executor::windlass;
/// # windlass_executor::doc(async {
/// windlass::task::yield_now().await;
/// # });
/// ```
pub fn yield_now() -> YieldNow {
    YieldNow { yielded: false }
}

/// The future of [`yield_now`].
///
/// ```
/// # use windlass_executor::windlass;
/// # windlass_executor::doc(async {
/// let done = std::rc::Rc::new(std::cell::Cell::new(false));
/// let _other = windlass::spawn({ let done = done.clone(); async move { done.set(true) } });
/// windlass::task::yield_now().await;
/// assert!(done.get()); // it was ready, so it has run
/// # });
/// ```
#[derive(Debug)]
#[must_use = "futures do nothing unless awaited"]
pub struct YieldNow {
    yielded: bool,
}

impl Future for YieldNow {
    type Output = ();

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.yielded {
            return Poll::Ready(());
        }
        self.yielded = true;
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

/// What a task is doing.
///
/// ```
/// # use windlass_executor::windlass;
/// use windlass::task::TaskState;
/// # windlass_executor::doc(async {
/// let _asleep = windlass::spawn(std::future::pending::<()>());
/// windlass::task::yield_now().await;
/// let states: Vec<_> = windlass::task::all_tasks().iter().map(|task| task.state).collect();
/// assert_eq!(states, [TaskState::Running, TaskState::Waiting]);
/// # });
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum TaskState {
    /// It is being polled.
    Running,
    /// It waits for its turn.
    Ready,
    /// It sleeps.
    Waiting,
}

/// A task as it stood when it was asked about.
///
/// ```
/// # use windlass_executor::windlass;
/// # windlass_executor::doc(async {
/// let crank = windlass::task::Builder::new().name("crank");
/// let me = crank.spawn(async { windlass::task::current().unwrap() }).await.unwrap();
/// assert_eq!((me.name.as_str(), me.polls), ("crank", 1));
/// println!("{me}");
/// # });
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TaskInfo {
    /// Its number.
    pub id: TaskId,
    /// Its name, `Task-N` if it was given none.
    pub name: String,
    /// What it is doing.
    pub state: TaskState,
    /// What it waits for, or last waited for.
    pub waiting_for: WaitReason,
    /// Where it was spawned.
    pub spawned_at: &'static Location<'static>,
    /// How often it was polled; starts over at 2^32.
    pub polls: u32,
    /// How long ago it was spawned, where somebody counts: in a loop with histograms or in debug mode.
    pub age: Option<Duration>,
    pub(crate) end: AbortHandle,
}

impl TaskInfo {
    pub(crate) fn new(task: &TaskRef, state: TaskState, loop_id: LoopId) -> Self {
        TaskInfo {
            id: TaskId(task.id()),
            name: extras::name_of(task),
            state,
            waiting_for: WaitReason::unpack(task.reason()),
            spawned_at: task.spawned_at,
            polls: task.polls.get(),
            age: None,
            end: AbortHandle::of(task, loop_id),
        }
    }

    /// As [`Dump`] prints it.
    fn columns(&self) -> [String; 7] {
        let (state, waits_for) = match self.state {
            TaskState::Running => ("running", String::new()),
            TaskState::Ready => ("ready", String::new()),
            TaskState::Waiting => ("waiting", self.waiting_for.to_string()),
        };
        let age = self.age.map(|age| format!("{:.3} s", age.as_secs_f64())).unwrap_or_default();
        let [id, polls] = [self.id.0, self.polls as u64].map(|number| number.to_string());
        [id, self.name.clone(), state.into(), waits_for, polls, age, self.spawned_at.to_string()]
    }
}

impl fmt::Display for TaskInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: ", self.id, self.name)?;
        match self.state {
            TaskState::Running => write!(f, "running")?,
            TaskState::Ready => write!(f, "ready")?,
            TaskState::Waiting => write!(f, "waits for {}", self.waiting_for)?,
        }
        write!(f, "; {} polls, spawned at {}", self.polls, self.spawned_at)?;
        self.age.map_or(Ok(()), |age| write!(f, ", {:.3} s ago", age.as_secs_f64()))
    }
}

/// The task that is being polled; none outside one.
///
/// ```
/// # use windlass_executor::windlass;
/// assert!(windlass::task::current().is_none());
/// # windlass_executor::doc(async {
/// assert_eq!(windlass::task::current().unwrap().name, "main");
/// # });
/// ```
pub fn current() -> Option<TaskInfo> {
    with_current(|core| core?.current_task())?.with_ages().next()
}

/// The tasks of the current loop that have not ended, the current one included, in the order of their numbers.
///
/// # Panics
/// Outside a running loop.
///
/// ```
/// # use windlass_executor::windlass;
/// # windlass_executor::doc(async {
/// let _asleep = windlass::spawn(std::future::pending::<()>());
/// for task in windlass::task::all_tasks() {
///     println!("{task}");
/// }
/// # assert_eq!(windlass_executor::all_tasks().len(), 2);
/// # });
/// ```
#[track_caller]
pub fn all_tasks() -> Vec<TaskInfo> {
    let seen = with_current(|core| core.map(Core::all_tasks)).expect("all_tasks called outside a running loop");
    seen.with_ages().collect()
}

/// All tasks of the current loop, to be printed: a line for each.
///
/// # Panics
/// Outside a running loop.
///
/// ```
/// # use windlass_executor::windlass;
/// # windlass_executor::doc(async {
/// let _asleep = windlass::task::Builder::new().name("crank").spawn(std::future::pending::<()>());
/// windlass::task::yield_now().await;
/// println!("{}", windlass::task::dump());
/// // id  name   state    waits for                   polls  age  spawned at
/// // 1   main   running                              2           src/main.rs:3:5
/// // 2   crank  waiting  something that did not say  1           src/main.rs:4:17
/// # assert!(windlass_executor::dump().to_string().lines().nth(2).unwrap().contains("crank  waiting"));
/// # });
/// ```
#[track_caller]
pub fn dump() -> Dump {
    let seen = with_current(|core| core.map(Core::all_tasks)).expect("dump called outside a running loop");
    Dump { tasks: seen.with_ages().collect() }
}

/// The tasks of a loop as they stood when [`dump`] was called.
///
/// ```
/// # use windlass_executor::windlass;
/// # windlass_executor::doc(async {
/// let dump: windlass::task::Dump = windlass::task::dump();
/// assert_eq!(dump.to_string().lines().count(), 1 + dump.tasks.len());
/// # });
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Dump {
    /// In the order of their numbers.
    pub tasks: Vec<TaskInfo>,
}

impl fmt::Display for Dump {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let heads = ["id", "name", "state", "waits for", "polls", "age", "spawned at"].map(str::to_owned);
        let rows: Vec<_> = std::iter::once(heads).chain(self.tasks.iter().map(TaskInfo::columns)).collect();
        let wide = |n: usize| rows.iter().map(|row| row[n].chars().count()).max().unwrap_or(0);
        let widths: [_; 6] = std::array::from_fn(wide); // the last column may be as long as it likes
        for (n, row) in rows.iter().enumerate() {
            if n > 0 {
                writeln!(f)?;
            }
            for (text, width) in row.iter().zip(widths) {
                write!(f, "{text:width$}  ")?;
            }
            write!(f, "{}", row[widths.len()])?;
        }
        Ok(())
    }
}

/// Gives the task that is being polled another name.
///
/// # Panics
/// Outside a task.
///
/// ```
/// # use windlass_executor::windlass;
/// # windlass_executor::doc(async {
/// let task = windlass::spawn(async { windlass::task::set_name("crank") });
/// windlass::task::yield_now().await;
/// assert_eq!(task.name(), "crank");
/// # });
/// ```
#[track_caller]
pub fn set_name(name: impl Into<Box<str>>) {
    let name = name.into();
    let task = with_current(|core| core?.in_turn()).expect("set_name called outside a task");
    extras::set_name(&task, name);
}

/// The loop that this thread runs; none if it runs none.
///
/// ```
/// # use windlass_executor::windlass;
/// assert_eq!(windlass::current_loop(), None);
/// # windlass_executor::doc_entered(|executor| {
/// assert_eq!(windlass::current_loop(), Some(executor.id()));
/// # });
/// ```
pub fn current_loop() -> Option<LoopId> {
    with_current(|core| core.map(Core::id))
}

/// Spawns on the thread's current loop through [`futures_task::LocalSpawn`], for code that asks for that trait.
///
/// ```
/// # use windlass_executor::windlass;
/// use futures_task::LocalSpawn;
/// # windlass_executor::doc(async {
/// windlass::task::Spawner.spawn_local_obj(Box::new(async {}).into()).unwrap();
/// # });
/// assert!(windlass::task::Spawner.status_local().is_err());
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Spawner;

impl LocalSpawn for Spawner {
    /// # Errors
    /// `shutdown` outside a running loop, and while the loop is ending.
    #[track_caller]
    fn spawn_local_obj(&self, future: LocalFutureObj<'static, ()>) -> Result<(), SpawnError> {
        self.status_local()?;
        drop(spawn(future));
        Ok(())
    }

    fn status_local(&self) -> Result<(), SpawnError> {
        match executor::is_closing() {
            Some(false) => Ok(()),
            Some(true) | None => Err(SpawnError::shutdown()),
        }
    }
}
