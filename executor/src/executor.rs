//! What a turn is.
//! A woken task waits in line until the loop has time for it; then it is polled, and the poll says what becomes of it.
//!
//! ```text
//!   wake (this thread) ──► line ──────────────┐
//!   wake (elsewhere) ──► inbox ──► line ──────┴──► poll ──► ended? settle and forget
//!                                                    └────► pending? it sleeps until the next wake
//! ```
//!
//! Order is first come, first served; nobody is queued twice for one poll (I1, I2: `cell/table.rs`).
//! - **I3** No foreign code runs while the loop's state is borrowed.
//! - **I4** A wake-up for a number whose generation has passed is counted and does nothing.
//!
//! Many polls share one `catch_unwind`: the table knows in whose turn it was that something panicked. An unwind in nobody's
//! turn is our own bug, and goes on.
//! Not here: when to stop and look at sockets and timers (the facade's loop).   Next: `cell`, for what a task is.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::pending;
use std::panic::{AssertUnwindSafe, Location, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use crate::cell::{After, Enter, Polled, Pool, State, Table, TaskRef, Then, Typed, Woken, waker, with_current};
use crate::inbox::{self, Arc, Inbox, LoopId, Message, TooManyLoops};
use crate::instrument::{Instrument, Tell, Unwatched, Watch};
use crate::join::{self, JoinHandle};
#[cfg(test)]
use crate::key::GENERATION_BITS;
use crate::key::{Key, TASKS_MAX};
use crate::task::{TaskInfo, TaskState};
use crate::waits;
use crate::{budget, cancel, extras};

/// The tasks of one loop and the queue of those that are ready.
///
/// It has no clock and no sockets: whoever owns it decides when to [`run`](Executor::run) and when to sleep. Dropping
/// it drops its tasks.
///
/// ```
/// use std::cell::Cell;
/// use std::panic::Location;
/// use windlass_executor::{Executor, Stop};
/// let executor = Executor::new(|| {}).unwrap(); // nobody sleeps here, so nobody need be woken
/// let task = executor.spawn(async { 6 * 7 });
/// let _entered = executor.enter(Location::caller()).unwrap();
/// assert_eq!(executor.run(&Cell::new(10)), Stop::Idle);
/// assert!(task.is_finished());
/// ```
#[derive(Debug)]
pub struct Executor(Rc<Core>);

/// What wake-ups, spawns and leaf futures reach through the thread's current loop.
pub(crate) struct Core {
    table: Table,
    pub(crate) pool: Pool,
    last_id: Cell<u64>,
    /// Why the task that is being polled will sleep, as far as it has said.
    pub(crate) reason: Cell<u64>,
    pub(crate) operations_left: Cell<u32>,
    admission: Cell<Admission>,
    watched_by: RefCell<Option<Rc<dyn Instrument>>>,
    inbox: Arc<Inbox>,
    id: LoopId,
    /// A key of this loop, to compare others with.
    any_key: Key,
    entered_at: Cell<Option<&'static Location<'static>>>,
    root: Cell<Option<Key>>,
    blocking_out: Cell<u32>,
    counts: Cells,
    letters: RefCell<Vec<Message>>,
}

#[derive(Default)]
struct Cells {
    polls: Cell<u64>,
    root_polls: Cell<u64>,
    wakes: Cell<u64>,
    remote_wakes: Cell<u64>,
    stale_wakes: Cell<u64>,
    redundant_wakes: Cell<u64>,
    forced_yields: Cell<u64>,
}

/// Tasks as they stand, and who knows their ages.
pub(crate) struct Seen {
    tasks: Vec<(TaskInfo, TaskRef)>,
    watch: Option<Rc<dyn Instrument>>,
}

impl Seen {
    /// With their ages: when nobody looks at the loop.
    pub(crate) fn with_ages(self) -> impl Iterator<Item = TaskInfo> {
        self.tasks.into_iter().map(move |(mut info, task)| {
            info.age = self.watch.as_ref().and_then(|watch| watch.age_of(&task));
            info
        })
    }
}

/// What becomes of a fresh task.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Admission {
    Queued,
    /// It is queued, and the instrument is told.
    Watched,
    /// The loop closes.
    Refused,
}

/// Sums over an executor's life; differences of two give what happened in between.
///
/// ```
/// # let executor = windlass_executor::Executor::new(|| {}).unwrap();
/// let before = executor.counts();
/// drop(executor.spawn(async {}));
/// assert_eq!(executor.counts().spawned - before.spawned, 1);
/// ```
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Counts {
    /// Polls of tasks, the main future's included.
    pub polls: u64,
    /// Wake-ups that queued a task, or found it queued.
    pub wakes: u64,
    /// How many of the wake-ups came from outside the loop.
    pub remote_wakes: u64,
    /// Wake-ups for tasks that had ended.
    pub stale_wakes: u64,
    /// Wake-ups that made no difference: their task was in line already, or had been woken in its turn before.
    pub redundant_wakes: u64,
    /// How often a task had to give way because it had used up its budget of operations.
    pub forced_yields: u64,
    /// Tasks spawned, main futures included.
    pub spawned: u64,
}

/// Why [`Executor::run`] came back.
///
/// ```
/// # use std::cell::Cell;
/// # use windlass_executor::Stop;
/// # windlass_executor::doc_entered(|executor| {
/// let _detached = (executor.spawn(async {}), executor.spawn(async {}));
/// assert_eq!(executor.run(&Cell::new(1)), Stop::Budget);
/// assert_eq!(executor.run(&Cell::new(1)), Stop::Idle);
/// # });
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stop {
    /// No task is ready.
    Idle,
    /// The polls allowed are used up, and there are tasks ready.
    Budget,
    /// It is the main future's turn: poll it with [`Executor::poll_root`].
    Root,
}

/// The thread is in a loop already.
///
/// ```
/// # use std::panic::Location;
/// # let [executor, other] = [(), ()].map(|()| windlass_executor::Executor::new(|| {}).unwrap());
/// let entered = executor.enter(Location::caller()).unwrap();
/// let nested = other.enter(Location::caller()).unwrap_err();
/// assert!(nested.outer.line() < line!());
/// # drop(entered);
/// ```
#[derive(Debug)]
pub struct Nested {
    /// Where that one was entered.
    pub outer: &'static Location<'static>,
}

/// What waking a waker of ours does, on any thread.
#[inline]
pub(crate) fn wake(key: Key) {
    if with_current(|core| core.is_none_or(|core| core.wake(key))) {
        wake_further(key);
    }
}

/// What calls foreign code in a wake-up, an instrument or what unparks another loop: nobody looks at this one now (C4).
#[cold]
fn wake_further(key: Key) {
    let ours = |core: &&Core| core.any_key.same_loop(key);
    match with_current(|core| core.filter(ours).map(|core| core.tell_woken(key))) {
        Some(tell) => tell.into_iter().for_each(Tell::woken),
        None => inbox::wake(key),
    }
}

impl Core {
    /// Has the task dropped when its poll is over. False if it is not its poll that is under way.
    pub(crate) fn doom_current(&self, key: Key) -> bool {
        let current = self.table.turn.get() == key;
        if current {
            self.table.after.set(After::Drop);
        }
        current
    }

    /// Has the task asked to stop when its poll is over. False if it is not its poll that is under way.
    pub(crate) fn cancel_current(&self, key: Key) -> bool {
        let current = self.table.turn.get() == key;
        if current && self.table.after.get() != After::Drop {
            self.table.after.set(After::Cancel);
        }
        current
    }

    /// Whose turn it is.
    pub(crate) fn turn(&self) -> Key {
        self.table.turn.get()
    }

    /// The task that `key` names, for whoever knows its whole number.
    pub(crate) fn find(&self, key: Key, id: u64) -> Option<TaskRef> {
        self.table.find(key).filter(|task| task.id() == id)
    }

    /// The task whose turn it is.
    pub(crate) fn in_turn(&self) -> Option<TaskRef> {
        self.table.find(self.table.turn.get())
    }

    /// A wake-up on a thread that runs this loop. True if there is more to it: it is to be [told](Core::tell_woken), or is
    /// for another loop.
    #[inline]
    pub(crate) fn wake(&self, key: Key) -> bool {
        let woken = self.table.wake(key);
        if woken == Woken::Nobody {
            return self.is_of_another_loop(key);
        }
        self.counts.wakes.set(self.counts.wakes.get() + 1);
        if woken == Woken::Ready {
            self.counts.redundant_wakes.set(self.counts.redundant_wakes.get() + 1);
        }
        woken == Woken::Watched
    }

    #[cold]
    pub(crate) fn tell_woken(&self, key: Key) -> Option<Tell> {
        self.tell(&self.table.find(key)?)
    }

    /// The instrument and what it is to be told of, to be used when nobody looks at the loop.
    fn tell(&self, task: &TaskRef) -> Option<Tell> {
        self.instrument().map(|instrument| Tell::new(instrument, task))
    }

    pub(crate) fn instrument(&self) -> Option<Rc<dyn Instrument>> {
        self.watched_by.borrow().clone()
    }

    /// Queues a fresh task whose spawn is told. None if the loop closes.
    #[cold]
    fn admit(&self, task: &TaskRef) -> Option<Tell> {
        let tell = if self.admission.get() == Admission::Watched { self.tell(task) } else { None };
        if tell.is_some() {
            self.table.insert(task);
        }
        tell
    }

    /// As `admit`, of the current loop.
    pub(crate) fn admit_to_current(task: &TaskRef) -> Option<Tell> {
        with_current(|core| core?.admit(task))
    }

    pub(crate) fn count_forced_yield(&self) {
        self.counts.forced_yields.set(self.counts.forced_yields.get() + 1);
    }

    /// Of a key that names nobody here. One of ours is counted: its task has ended.
    #[cold]
    fn is_of_another_loop(&self, key: Key) -> bool {
        let is_ours = self.any_key.same_loop(key);
        self.counts.stale_wakes.set(self.counts.stale_wakes.get() + is_ours as u64);
        !is_ours
    }

    /// The main future's place. The state is asked, too: by now the number may be a task's (its generation starts over).
    fn root(&self) -> Option<TaskRef> {
        self.table.find(self.root.get()?).filter(|task| task.state.get() == State::Root)
    }

    #[inline]
    pub(crate) fn take_operation(&self) -> bool {
        let left = self.operations_left.get();
        self.operations_left.set(left.saturating_sub(1));
        left > 0
    }

    /// Makes a task and queues it. While the loop closes or is watched it is not queued; [`join::admit`] sees to it, when
    /// nobody looks at the loop.
    #[inline]
    pub(crate) fn spawn<F>(
        &self,
        future: F,
        name: Option<Box<str>>,
        at: &'static Location<'static>,
    ) -> JoinHandle<F::Output>
    where
        F: Future<Output: 'static> + 'static,
    {
        let id = self.last_id.get() + 1;
        self.last_id.set(id);
        let key = self.key(self.table.vacant(), id);
        let handle = JoinHandle::new(Typed::new(future, &self.pool, id, key, at));
        if let Some(name) = name {
            extras::set_name(handle.task(), name);
        }
        if self.admission.get() == Admission::Queued {
            self.table.insert(handle.task());
        }
        handle
    }

    fn key(&self, index: usize, id: u64) -> Key {
        let key = Key::new(self.id.short(), index, id);
        key.unwrap_or_else(|| panic!("a loop can have {TASKS_MAX} tasks at one time, and has"))
    }

    /// Polls tasks until a reason to stop.
    #[inline(always)] // the loop of those that are not watched has a function to itself
    fn run_caught<W: Watch>(&self, polls_left: &Cell<u32>, watch: &W) -> Stop {
        loop {
            match catch_unwind(AssertUnwindSafe(|| self.run_many(polls_left, watch))) {
                Ok(stop) => return stop,
                Err(panic) => self.unwound(panic),
            }
        }
    }

    #[cold]
    #[inline(never)]
    fn run_watched(&self, polls_left: &Cell<u32>) -> Stop {
        let watch = self.instrument().expect("a loop is watched by somebody");
        self.run_caught(polls_left, &watch)
    }

    /// Polls tasks until a reason to stop. What they panic with unwinds from here, in somebody's turn.
    #[inline(never)] // a loop of its own, so that it has the registers to itself
    fn run_many<W: Watch>(&self, polls_left: &Cell<u32>, watch: &W) -> Stop {
        let mut root = false;
        self.table.take_turns(polls_left, |task, key| {
            self.begin_poll(task);
            let watched = watch.poll_begins(task);
            let then = match task.poll(key) {
                Polled::Pending if self.table.after.get() == After::Sleep => Then::Sleep(self.reason.get()),
                Polled::Pending if self.table.after.get() == After::Queue => Then::Queue,
                Polled::Pending => self.after_turn(task),
                Polled::Ended => {
                    watch.ended(task);
                    join::settle(task);
                    Then::Forget
                }
                Polled::NotAlive => {
                    let then = self.turn_of_another_kind(task, polls_left);
                    root = then == Then::Stop;
                    then
                }
            };
            if watched { self.end_watched(task, then, watch) } else { then }
        });
        match () {
            _ if root => Stop::Root,
            _ if self.table.is_idle() => Stop::Idle,
            _ => Stop::Budget,
        }
    }

    /// Tells of a poll's end. Whoever hears of it may wake the task, or end it: it is still its turn.
    fn end_watched<W: Watch>(&self, task: &TaskRef, then: Then, watch: &W) -> Then {
        watch.poll_ends(task, then);
        match then {
            Then::Sleep(_) | Then::Queue if self.table.after.get() != After::Sleep => self.after_turn(task),
            then => then,
        }
    }

    /// A poll that did more than sleep or wake its task.
    #[cold]
    fn after_turn(&self, task: &TaskRef) -> Then {
        if self.table.after.get() == After::Cancel {
            self.table.after.set(After::Queue); // it may have been woken, too
            cancel::after_turn(task);
        }
        if self.table.after.get() == After::Drop {
            join::abort(task);
        }
        match task.state.get() {
            State::Alive | State::Requested => Then::Queue,
            _ => Then::Forget,
        }
    }

    /// The turn of a task that is not simply alive.
    #[cold]
    fn turn_of_another_kind(&self, task: &TaskRef, polls_left: &Cell<u32>) -> Then {
        if task.state.get() == State::Requested {
            return self.poll_requested(task);
        }
        task.polls.set(task.polls.get().wrapping_sub(1));
        if task.state.get() == State::Root {
            return Then::Stop; // its owner polls it
        }
        polls_left.set(polls_left.get() + 1);
        Then::Forget // aborted while it was queued
    }

    /// The turn of a task that was asked to stop: what no catch takes in it goes on outwards.
    fn poll_requested(&self, task: &TaskRef) -> Then {
        task.state.set(State::Alive);
        match task.poll(task.key) {
            Polled::Pending => {
                if self.table.after.get() != After::Cancel {
                    cancel::after_turn(task);
                }
                match self.table.after.get() {
                    After::Sleep => Then::Sleep(self.reason.get()),
                    After::Queue if task.state.get() == State::Alive => Then::Queue,
                    _ => self.after_turn(task),
                }
            }
            Polled::NotAlive => unreachable!("it was said to be alive just now"),
            Polled::Ended => {
                if let Some(watch) = self.instrument() {
                    watch.ended(task);
                }
                join::settle(task);
                Then::Forget
            }
        }
    }

    #[inline]
    fn begin_poll(&self, task: &TaskRef) {
        self.reason.set(waits::UNKNOWN);
        self.operations_left.set(budget::OPERATIONS_MAX);
        task.polls.set(task.polls.get().wrapping_add(1));
    }

    /// A poll panicked: the task ends with that, and the others go on.
    #[cold]
    fn unwound(&self, panic: Box<dyn Any + Send>) {
        let key = self.table.turn.replace(Key::NONE);
        let Some(task) = self.table.find(key) else { resume_unwind(panic) };
        join::end_with_panic(&task, panic);
        if let Some(watch) = self.instrument() {
            watch.poll_ends(&task, Then::Forget);
        }
        self.table.remove(key);
    }

    /// As it stands, without its age.
    pub(crate) fn info(&self, task: &TaskRef) -> Option<TaskInfo> {
        let state = match task.state.get() {
            _ if self.table.turn.get() == task.key => TaskState::Running,
            State::Alive | State::Requested | State::Root if task.is_queued() => TaskState::Ready,
            State::Alive | State::Requested | State::Root => TaskState::Waiting,
            State::Busy | State::Finished | State::Empty => return None,
        };
        Some(TaskInfo::new(task, state, self.id))
    }

    pub(crate) fn current_task(&self) -> Option<Seen> {
        let task = self.in_turn()?;
        Some(Seen { tasks: vec![(self.info(&task)?, task)], watch: self.instrument() })
    }

    pub(crate) fn all_tasks(&self) -> Seen {
        let info = |task| Some((self.info(&task)?, task));
        let mut tasks: Vec<_> = self.table.all().into_iter().filter_map(info).collect();
        tasks.sort_by_key(|(task, _)| task.id);
        Seen { tasks, watch: self.instrument() }
    }

    /// The `Enter` guard went.
    pub(crate) fn left(&self) {
        self.entered_at.set(None);
    }

    pub(crate) fn id(&self) -> LoopId {
        self.id
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.admission.get() == Admission::Refused
    }

    pub(crate) fn blocking_began(&self) -> Arc<Inbox> {
        self.blocking_out.set(self.blocking_out.get() + 1);
        self.inbox.clone()
    }
}

impl fmt::Debug for Core {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Core").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Executor {
    /// An executor without tasks. `unpark` is called, from any thread, to wake the loop when it is parked.
    ///
    /// # Errors
    /// If the process has 4,095 loops already.
    ///
    /// ```
    /// use windlass_executor::Executor;
    /// let thread = std::thread::current();
    /// let executor = Executor::new(move || thread.unpark())?;
    /// assert!(executor.is_idle());
    /// # Ok::<(), windlass_executor::TooManyLoops>(())
    /// ```
    pub fn new(unpark: impl Fn() + Send + Sync + 'static) -> Result<Self, TooManyLoops> {
        let inbox = inbox::open(Box::new(unpark))?;
        Ok(Executor(Rc::new(Core {
            table: Table::default(),
            pool: Pool::default(),
            last_id: Cell::new(0),
            any_key: Key::new(inbox.id().short(), 0, 0).expect("index 0 has room"),
            reason: Cell::new(waits::UNKNOWN),
            operations_left: Cell::new(budget::OPERATIONS_MAX),
            admission: Cell::new(Admission::Queued),
            watched_by: RefCell::new(None),
            id: inbox.id(),
            inbox,
            entered_at: Cell::new(None),
            root: Cell::new(None),
            blocking_out: Cell::new(0),
            counts: Cells::default(),
            letters: RefCell::default(),
        })))
    }

    /// This loop's identity.
    ///
    /// ```
    /// # let executor = windlass_executor::Executor::new(|| {}).unwrap();
    /// assert_eq!(executor.id(), windlass_executor::Remote::new(&executor).id());
    /// ```
    pub fn id(&self) -> LoopId {
        self.0.id
    }

    /// Makes this the thread's current loop until the guard drops.
    ///
    /// # Errors
    /// If the thread is in a loop already.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// # let executor = windlass_executor::Executor::new(|| {}).unwrap();
    /// let entered = executor.enter(std::panic::Location::caller()).unwrap();
    /// let _task = windlass::spawn(async {}); // finds the loop
    /// drop(entered);
    /// ```
    pub fn enter(&self, at: &'static Location<'static>) -> Result<Enter, Nested> {
        if let Some(outer) = with_current(|core| core.map(|core| core.entered_at.get())) {
            return Err(Nested { outer: outer.expect("a current loop was entered somewhere") });
        }
        self.0.entered_at.set(Some(at));
        Ok(Enter::new(self.0.clone()))
    }

    /// Whether it is its thread's current loop.
    ///
    /// ```
    /// # let executor = windlass_executor::Executor::new(|| {}).unwrap();
    /// let entered = executor.enter(std::panic::Location::caller()).unwrap();
    /// assert!(executor.is_entered());
    /// drop(entered);
    /// assert!(!executor.is_entered());
    /// ```
    pub fn is_entered(&self) -> bool {
        self.0.entered_at.get().is_some()
    }

    /// Makes a task and queues it, as [`spawn`](crate::spawn) does from inside.
    ///
    /// ```
    /// # let executor = windlass_executor::Executor::new(|| {}).unwrap();
    /// let task = executor.spawn(async { 7 });
    /// assert!(!task.is_finished()); // it runs when the executor does
    /// ```
    #[track_caller]
    pub fn spawn<F: Future<Output: 'static> + 'static>(&self, future: F) -> JoinHandle<F::Output> {
        let handle = self.0.spawn(future, None, Location::caller());
        join::admit(&handle, |task| self.0.admit(task));
        handle
    }

    /// Gives the main future a place in line: its first turn is queued. It ends with [`Executor::end_root`].
    ///
    /// ```
    /// # use std::cell::Cell;
    /// # use std::panic::Location;
    /// # use windlass_executor::Stop;
    /// # windlass_executor::doc_entered(|executor| {
    /// executor.begin_root(Location::caller());
    /// assert_eq!(executor.run(&Cell::new(10)), Stop::Root);
    /// # });
    /// ```
    pub fn begin_root(&self, at: &'static Location<'static>) {
        // A task like any other but for its future, which lives on the caller's stack.
        let handle = self.0.spawn(pending::<()>(), None, at);
        join::admit(&handle, |task| self.0.admit(task));
        let task = handle.task();
        task.state.set(State::Root);
        self.0.root.set(Some(task.key));
    }

    /// Polls the main future in its turn.
    ///
    /// # Panics
    /// If there is none, or inside another poll of this loop.
    ///
    /// ```
    /// # use std::cell::Cell;
    /// # use std::panic::Location;
    /// # use windlass_executor::Stop;
    /// # windlass_executor::doc_entered(|executor| {
    /// # executor.begin_root(Location::caller());
    /// # assert_eq!(executor.run(&Cell::new(10)), Stop::Root);
    /// let main = std::pin::pin!(async { 7 });
    /// assert_eq!(executor.poll_root(main), std::task::Poll::Ready(7));
    /// executor.end_root();
    /// # });
    /// ```
    pub fn poll_root<F: Future>(&self, future: Pin<&mut F>) -> Poll<F::Output> {
        let core = &self.0;
        assert!(core.turn() == Key::NONE, "main was polled inside a poll of its loop");
        let task = core.root().expect("a main future has begun and not ended");
        core.begin_poll(&task);
        core.counts.root_polls.set(core.counts.root_polls.get() + 1);
        core.table.begin_turn(task.key);
        let watch = core.instrument();
        if let Some(watch) = &watch {
            watch.root_poll_begins(&task);
        }
        let outcome = future.poll(&mut Context::from_waker(&waker(task.key)));
        core.table.end_turn(&task, core.reason.get());
        if let Some(watch) = &watch {
            watch.root_poll_ends(&task, outcome.is_ready());
        }
        cancel::after_turn(&task);
        outcome
    }

    /// Takes the main future's place out of the line.
    ///
    /// # Panics
    /// Inside a task's poll.
    ///
    /// ```
    /// # use std::panic::Location;
    /// # windlass_executor::doc_entered(|executor| {
    /// executor.begin_root(Location::caller());
    /// assert_eq!(executor.alive(), 1);
    /// executor.end_root();
    /// assert_eq!(executor.alive(), 0);
    /// # });
    /// ```
    pub fn end_root(&self) {
        let Some(task) = self.0.root() else { return };
        assert!([Key::NONE, task.key].contains(&self.0.turn()), "main was ended inside a task's poll");
        self.0.table.turn.set(Key::NONE); // if main panicked, it is still its turn
        task.state.set(State::Empty);
        self.0.table.remove(task.key);
    }

    /// Polls ready tasks, first come, first served, at most `polls_left` of them, which it counts down.
    /// The loop must be entered.
    ///
    /// # Panics
    /// Inside a poll of its own: who is in line there would lose their turns.
    ///
    /// ```
    /// # use std::cell::Cell;
    /// # use windlass_executor::Stop;
    /// # windlass_executor::doc_entered(|executor| {
    /// let _detached = executor.spawn(async {});
    /// let polls_left = Cell::new(10);
    /// assert_eq!(executor.run(&polls_left), Stop::Idle);
    /// assert_eq!(polls_left.get(), 9);
    /// # });
    /// ```
    #[inline]
    #[track_caller]
    pub fn run(&self, polls_left: &Cell<u32>) -> Stop {
        assert!(self.0.table.turn.get() == Key::NONE, "a loop was run inside a poll of its own");
        let before = polls_left.get();
        let stop = match self.0.admission.get() {
            Admission::Watched => self.0.run_watched(polls_left),
            _ => self.0.run_caught(polls_left, &Unwatched),
        };
        polls_left.set(polls_left.get().wrapping_add(1)); // the last one nobody had
        let polls = &self.0.counts.polls;
        polls.set(polls.get() + (before - polls_left.get()) as u64);
        stop
    }

    /// True if no task is ready.
    ///
    /// ```
    /// # let executor = windlass_executor::Executor::new(|| {}).unwrap();
    /// assert!(executor.is_idle());
    /// let _task = executor.spawn(async {});
    /// assert!(!executor.is_idle());
    /// ```
    pub fn is_idle(&self) -> bool {
        self.0.table.is_idle()
    }

    /// Does what other threads asked for. The loop must be entered.
    ///
    /// ```
    /// # windlass_executor::doc_entered(|executor| {
    /// let remote = windlass_executor::Remote::new(executor);
    /// std::thread::spawn(move || remote.spawn_with(|| async {})).join().unwrap().unwrap();
    /// executor.read_inbox();
    /// assert_eq!(executor.alive(), 1);
    /// # });
    /// ```
    #[inline]
    pub fn read_inbox(&self) {
        if self.0.inbox.is_full() {
            self.read_letters();
        }
    }

    #[cold]
    fn read_letters(&self) {
        let core = &self.0;
        let mut letters = core.letters.take();
        // What comes meanwhile waits for the next time: a call that posts itself again must not keep the tasks waiting.
        if core.inbox.take(&mut letters) {
            for letter in letters.drain(..) {
                match letter {
                    Message::Wake(key) => {
                        core.counts.remote_wakes.set(core.counts.remote_wakes.get() + 1);
                        if core.wake(key) {
                            core.tell_woken(key).into_iter().for_each(Tell::woken);
                        }
                    }
                    // A call that panics is its sender's trouble; the panic hook has told.
                    Message::Call(call) => join::quietly(call),
                    Message::BlockingEnded => core.blocking_out.set(core.blocking_out.get() - 1),
                }
            }
        }
        core.letters.replace(letters);
    }

    /// Says that the loop is about to sleep, so that messages from now on unpark it. False if one is there already.
    ///
    /// ```
    /// # let executor = windlass_executor::Executor::new(|| {}).unwrap();
    /// assert!(executor.park()); // nobody has written: it may sleep
    /// executor.unparked();
    /// windlass_executor::post(executor.id(), Box::new(|| {})).ok();
    /// assert!(!executor.park());
    /// ```
    pub fn park(&self) -> bool {
        self.0.inbox.park()
    }

    /// Says that the loop is awake again.
    ///
    /// ```
    /// # let executor = windlass_executor::Executor::new(|| panic!("it is awake")).unwrap();
    /// assert!(executor.park());
    /// executor.unparked();
    /// windlass_executor::post(executor.id(), Box::new(|| {})).ok(); // no need to unpark it
    /// ```
    pub fn unparked(&self) {
        self.0.inbox.unparked();
    }

    /// How many calls on the blocking pool have not come back.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// # windlass_executor::doc_entered(|executor| {
    /// assert_eq!(executor.blocking_out(), 0);
    /// let call = windlass::task::spawn_blocking(|| {});
    /// assert_eq!(executor.blocking_out(), 1); // until the inbox was read after its end
    /// # drop(call);
    /// # });
    /// ```
    pub fn blocking_out(&self) -> u32 {
        self.0.blocking_out.get()
    }

    /// The sums so far.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// # use std::cell::Cell;
    /// # windlass_executor::doc_entered(|executor| {
    /// let task = executor.spawn(windlass::task::yield_now());
    /// executor.run(&Cell::new(10));
    /// assert_eq!((executor.counts().polls, executor.counts().wakes), (2, 1));
    /// # drop(task);
    /// # });
    /// ```
    pub fn counts(&self) -> Counts {
        let counts = &self.0.counts;
        Counts {
            polls: counts.polls.get() + counts.root_polls.get(),
            wakes: counts.wakes.get(),
            remote_wakes: counts.remote_wakes.get(),
            stale_wakes: counts.stale_wakes.get(),
            redundant_wakes: counts.redundant_wakes.get(),
            forced_yields: counts.forced_yields.get(),
            spawned: self.0.last_id.get(),
        }
    }

    /// How many tasks are alive, the main future included.
    ///
    /// ```
    /// # let executor = windlass_executor::Executor::new(|| {}).unwrap();
    /// let _detached = executor.spawn(std::future::pending::<()>());
    /// assert_eq!(executor.alive(), 1);
    /// ```
    pub fn alive(&self) -> usize {
        let alive =
            |task: &&TaskRef| matches!(task.state.get(), State::Alive | State::Requested | State::Root | State::Busy);
        self.0.table.all().iter().filter(alive).count()
    }

    pub(crate) fn tasks(&self) -> Vec<TaskRef> {
        self.0.table.all()
    }

    /// As [`all_tasks`](crate::all_tasks), of this loop, whether or not it is entered.
    ///
    /// ```
    /// # let executor = windlass_executor::Executor::new(|| {}).unwrap();
    /// let task = executor.spawn(async {});
    /// assert_eq!(executor.all_tasks()[0].id, task.id());
    /// ```
    pub fn all_tasks(&self) -> Vec<TaskInfo> {
        self.0.all_tasks().with_ages().collect()
    }

    /// How many tasks are in line for a poll. Walks all tasks.
    ///
    /// ```
    /// # let executor = windlass_executor::Executor::new(|| {}).unwrap();
    /// let _detached = executor.spawn(async {});
    /// assert_eq!(executor.ready(), 1);
    /// ```
    pub fn ready(&self) -> usize {
        self.0.table.ready()
    }

    /// Has `instrument` told of every spawn, wake-up and poll from here on. Without one, which is how an executor begins,
    /// no turn does anything for it. There is one; the last set.
    ///
    /// ```
    /// # use std::cell::Cell;
    /// use std::rc::Rc;
    /// use windlass_executor::{Instrument, TaskView};
    /// #[derive(Default)]
    /// struct Spawns(Cell<u32>);
    /// impl Instrument for Spawns {
    ///     fn spawned(&self, _: TaskView<'_>) {
    ///         self.0.set(self.0.get() + 1);
    ///     }
    /// }
    /// # let executor = windlass_executor::Executor::new(|| {}).unwrap();
    /// let spawns = Rc::new(Spawns::default());
    /// executor.watch(spawns.clone());
    /// drop(executor.spawn(async {}));
    /// assert_eq!(spawns.0.get(), 1);
    /// ```
    pub fn watch(&self, instrument: Rc<dyn Instrument>) {
        let before = self.0.watched_by.replace(Some(instrument));
        drop(before); // with nothing borrowed (I3)
        if !self.0.is_closing() {
            self.0.admission.set(Admission::Watched);
        }
    }

    /// Drops all tasks, in the order of their places. What they spawn meanwhile is refused: its handle says cancelled.
    ///
    /// # Panics
    /// Inside a poll of this loop.
    ///
    /// ```
    /// # let executor = windlass_executor::Executor::new(|| {}).unwrap();
    /// let task = executor.spawn(std::future::pending::<()>());
    /// executor.drop_tasks();
    /// assert!(task.is_finished() && executor.alive() == 0);
    /// ```
    pub fn drop_tasks(&self) {
        let core = &self.0;
        let tasks = core.table.take();
        let before = core.admission.replace(Admission::Refused);
        let watch = core.instrument();
        for (_, task) in tasks {
            if let Some(watch) = &watch {
                watch.drops(&task);
            }
            if task.claim_alive() {
                join::abort_claimed(&task);
            }
        }
        core.admission.set(before);
    }
}

impl Drop for Executor {
    fn drop(&mut self) {
        self.0.table.turn.set(Key::NONE); // main panicked in its turn; nobody is in one now, the executor is ours alone
        self.drop_tasks();
        self.0.admission.set(Admission::Refused);
        let letters = inbox::close(&self.0.inbox);
        for letter in letters {
            join::quietly(|| drop(letter)); // on the loop's thread, with no lock held
        }
    }
}

/// Whether the current loop refuses tasks; none if there is no current loop.
pub(crate) fn is_closing() -> Option<bool> {
    with_current(|core| core.map(Core::is_closing))
}

#[cfg(test)]
impl Executor {
    /// Asserts I1: the queue holds exactly the tasks whose bit is set, each once.
    pub(crate) fn assert_queue_agrees_with_the_bits(&self) {
        self.0.table.assert_line_agrees_with_the_bits();
    }

    /// As after 67 million spawns: the next task has the generation of the first.
    pub(crate) fn start_generations_over(&self) {
        self.0.last_id.set(1 << GENERATION_BITS);
    }
}
