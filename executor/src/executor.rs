//! Who runs next.
//! A woken task waits here until the loop has time for it.
//!
//! ```text
//!   wake (this thread) ──► queue ──────────────┐
//!   wake (elsewhere) ──► inbox ──► queue ──────┴──► pop ──► poll ──► ended? settle and forget
//! ```
//!
//! Order is first come, first served; nobody is queued twice for one poll:
//! - **I1** A task is in the run queue iff its queued bit is set.
//! - **I2** The bit is cleared before the poll, never after.
//! - **I3** No foreign code runs while `sched` is borrowed. Every borrow below ends before such code is called.
//! - **I4** A wake-up for a number whose generation has passed is counted and does nothing.
//!
//! Many polls share one `catch_unwind`: `current` says whose poll it was that panicked. An unwind with nobody current
//! is our own bug, and goes on.
//! Not here: when to stop and look at sockets and timers (the facade's loop).   Next: `cell`, for what a poll is.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::pending;
use std::panic::{AssertUnwindSafe, Location, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use slab::Slab;

use crate::cell::{Enter, Polled, State, TaskRef, Typed, waker};
use crate::inbox::{self, Arc, Inbox, LoopId, Message, TooManyLoops};
use crate::join::{self, JoinHandle};
use crate::key::{Key, TASKS_MAX};
use crate::task::{TaskInfo, TaskState};
use crate::waits::{self, WaitReason};
use crate::{budget, names};

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
    sched: RefCell<Sched>,
    /// The task whose poll is under way, set only while foreign code runs.
    current: Cell<Key>,
    /// What is to become of that task when its poll is over.
    after: Cell<After>,
    /// Why the task that is being polled will sleep, as far as it has said.
    pub(crate) reason: Cell<u64>,
    operations_left: Cell<u32>,
    closing: Cell<bool>,
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

/// What is to become of a task when its poll is over and it has not ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum After {
    Sleep,
    /// It was woken during the poll.
    Queue,
    /// It was aborted during the poll.
    Drop,
}

#[derive(Default)]
struct Cells {
    polls: Cell<u64>,
    root_polls: Cell<u64>,
    wakes: Cell<u64>,
    remote_wakes: Cell<u64>,
    stale_wakes: Cell<u64>,
}

#[derive(Default)]
struct Sched {
    /// The tasks that have not ended, each at the index that its key names.
    tasks: Slab<TaskRef>,
    /// The front of the run queue, next one last: taking it is a `pop`.
    front: Vec<TaskRef>,
    /// The back of the run queue. It becomes the front, turned around, when that is used up.
    back: Vec<TaskRef>,
    last_id: u64,
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

impl Sched {
    /// Queues the task that `key` names, unless it is queued (I1). False if the key is stale (I4).
    #[inline]
    fn queue(&mut self, key: Key) -> bool {
        match self.tasks.get(key.index()) {
            Some(task) if task.key == key => {
                if !task.queued.replace(true) {
                    self.back.push(task.clone());
                }
                true
            }
            _ => false,
        }
    }

    fn is_idle(&self) -> bool {
        self.front.is_empty() && self.back.is_empty()
    }

    /// Forgets an ended task; its reference is handed out so that it is dropped after the borrow (I3).
    #[inline]
    fn retire(&mut self, task: &TaskRef) -> TaskRef {
        self.tasks.remove(task.key.index())
    }

    fn get(&self, key: Key) -> Option<&TaskRef> {
        self.tasks.get(key.index()).filter(|task| task.key == key)
    }
}

impl Core {
    /// True if `key` names a task of this loop.
    #[inline]
    pub(crate) fn owns(&self, key: Key) -> bool {
        self.any_key.same_loop(key)
    }

    /// True if `key` names the task whose poll is under way.
    #[inline]
    pub(crate) fn is_current(&self, key: Key) -> bool {
        self.current.get() == key
    }

    /// Has the task dropped when its poll is over. False if it is not its poll that is under way.
    pub(crate) fn doom_current(&self, key: Key) -> bool {
        let current = self.is_current(key);
        if current {
            self.after.set(After::Drop);
        }
        current
    }

    /// A wake-up of the task whose poll is under way.
    #[inline]
    pub(crate) fn wake_current(&self) {
        if self.after.get() == After::Sleep {
            self.after.set(After::Queue);
        }
        self.counts.wakes.set(self.counts.wakes.get() + 1);
    }

    /// A wake-up on the loop's own thread.
    #[inline]
    pub(crate) fn wake(&self, key: Key) {
        let known = self.sched.borrow_mut().queue(key);
        let count = if known { &self.counts.wakes } else { &self.counts.stale_wakes };
        count.set(count.get() + 1);
    }

    #[inline]
    pub(crate) fn take_operation(&self) -> bool {
        let left = self.operations_left.get();
        self.operations_left.set(left.saturating_sub(1));
        left > 0
    }

    /// Makes a task and queues it. While the loop closes, the future is dropped instead and the handle says cancelled.
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
        let handle = {
            let mut sched = self.sched.borrow_mut();
            let sched = &mut *sched;
            sched.last_id += 1;
            let place = sched.tasks.vacant_entry();
            let key = self.key(place.key(), sched.last_id);
            let handle = JoinHandle::new(Typed::new(future, sched.last_id, key, at));
            if !self.closing.get() {
                handle.task().queued.set(true);
                sched.back.push(handle.task().clone());
                place.insert(handle.task().clone());
            }
            handle
        };
        if let Some(name) = name {
            names::set_name(handle.task(), name);
        }
        if self.closing.get() {
            join::abort(handle.task());
        }
        handle
    }

    fn key(&self, index: usize, id: u64) -> Key {
        let key = Key::new(self.id.short(), index, id);
        key.unwrap_or_else(|| panic!("a loop can have {TASKS_MAX} tasks at one time, and has"))
    }

    /// Polls tasks until a reason to stop. What they panic with unwinds from here, with `current` set.
    ///
    /// `front` is the head of the run queue, taken out of the scheduler so that taking the next task needs no borrow.
    fn run_many(&self, front: &mut Vec<TaskRef>, polls_left: &Cell<u32>) -> Stop {
        let mut left = polls_left.get();
        loop {
            if left == 0 {
                let idle = front.is_empty() && self.sched.borrow().back.is_empty();
                return if idle { Stop::Idle } else { Stop::Budget };
            }
            let Some(task) = self.pop(front) else { return Stop::Idle };
            left -= 1;
            polls_left.set(left); // now: the poll may panic
            task.queued.set(false); // before the poll: a wake-up during it must queue the task again (I2)
            self.begin_poll(&task);
            let polled = task.poll();
            match (polled, self.after.get()) {
                (Polled::Pending, After::Sleep) => self.end_poll(&task),
                (Polled::Pending, After::Queue) => {
                    self.end_poll(&task);
                    self.push(front, task);
                }
                (Polled::Pending, After::Drop) => {
                    join::abort(&task);
                    self.forget(&task);
                }
                (Polled::Ended, _) => {
                    join::settle(&task);
                    self.forget(&task);
                }
                (Polled::NotAlive, _) => {
                    left += 1;
                    polls_left.set(left);
                    self.current.set(Key::NONE);
                    if task.state.get() == State::Root {
                        task.polls.set(task.polls.get().wrapping_sub(1)); // it is still to be polled
                        return Stop::Root;
                    }
                    self.forget(&task); // aborted while it was queued
                }
            }
        }
    }

    /// The next in line: from the front, or from the back, which becomes the front, turned around.
    #[inline]
    fn pop(&self, front: &mut Vec<TaskRef>) -> Option<TaskRef> {
        if front.is_empty() {
            let back = &mut self.sched.borrow_mut().back;
            if back.len() == 1 {
                return back.pop();
            }
            std::mem::swap(front, back);
            front.reverse();
        }
        front.pop()
    }

    /// Queues a task that was woken during its poll. If nobody else waits, the end of the line is its head.
    #[inline]
    fn push(&self, front: &mut Vec<TaskRef>, task: TaskRef) {
        task.queued.set(true);
        let back = &mut self.sched.borrow_mut().back;
        if front.is_empty() && back.is_empty() { front.push(task) } else { back.push(task) }
    }

    #[inline]
    fn end_poll(&self, task: &TaskRef) {
        self.current.set(Key::NONE);
        task.reason.set(self.reason.get());
    }

    /// The task has ended.
    #[inline]
    fn forget(&self, task: &TaskRef) {
        self.current.set(Key::NONE);
        self.retire(task);
    }

    #[inline]
    fn begin_poll(&self, task: &TaskRef) {
        self.reason.set(waits::UNKNOWN);
        self.operations_left.set(budget::OPERATIONS_MAX);
        task.polls.set(task.polls.get().wrapping_add(1));
        self.after.set(After::Sleep);
        self.current.set(task.key);
    }

    #[inline]
    fn retire(&self, task: &TaskRef) {
        let retired = self.sched.borrow_mut().retire(task);
        drop(retired);
    }

    fn find(&self, key: Key) -> Option<TaskRef> {
        self.sched.borrow().get(key).cloned()
    }

    /// A poll panicked: the task ends with that, and the others go on.
    #[cold]
    fn unwound(&self, panic: Box<dyn Any + Send>) {
        let key = self.current.replace(Key::NONE);
        let Some(task) = self.find(key) else { resume_unwind(panic) };
        join::end_with_panic(&task, panic);
        self.retire(&task);
    }

    fn info(&self, task: &TaskRef) -> Option<TaskInfo> {
        let state = match task.state.get() {
            _ if self.current.get() == task.key => TaskState::Running,
            State::Alive | State::Root if task.queued.get() => TaskState::Ready,
            State::Alive | State::Root => TaskState::Waiting,
            State::Busy | State::Finished | State::Empty => return None,
        };
        Some(TaskInfo::new(task, state))
    }

    pub(crate) fn current_task(&self) -> Option<TaskInfo> {
        let sched = self.sched.borrow();
        self.info(sched.get(self.current.get())?)
    }

    pub(crate) fn all_tasks(&self) -> Vec<TaskInfo> {
        let sched = self.sched.borrow();
        let mut tasks: Vec<_> = sched.tasks.iter().filter_map(|(_, task)| self.info(task)).collect();
        tasks.sort_by_key(|task| task.id);
        tasks
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.closing.get()
    }

    pub(crate) fn blocking_began(&self) -> Arc<Inbox> {
        self.blocking_out.set(self.blocking_out.get() + 1);
        self.inbox.clone()
    }

    /// The `Enter` guard went.
    pub(crate) fn left(&self) {
        self.entered_at.set(None);
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
            sched: RefCell::default(),
            current: Cell::new(Key::NONE),
            after: Cell::new(After::Sleep),
            any_key: Key::new(inbox.id().short(), 0, 0).expect("index 0 has room"),
            reason: Cell::new(waits::UNKNOWN),
            operations_left: Cell::new(budget::OPERATIONS_MAX),
            closing: Cell::new(false),
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
    /// # let executor = windlass_executor::Executor::new(|| {}).unwrap();
    /// let entered = executor.enter(std::panic::Location::caller()).unwrap();
    /// let _task = windlass_executor::spawn(async {}); // finds the loop
    /// drop(entered);
    /// ```
    pub fn enter(&self, at: &'static Location<'static>) -> Result<Enter, Nested> {
        if let Some(outer) = crate::cell::with_current(|core| core.map(|core| core.entered_at.get())) {
            return Err(Nested { outer: outer.expect("a current loop was entered somewhere") });
        }
        self.0.entered_at.set(Some(at));
        Ok(Enter::new(self.0.clone()))
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
        self.0.spawn(future, None, Location::caller())
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
        let handle = self.0.spawn(pending::<()>(), Some("main".into()), at);
        let task = handle.task();
        task.state.set(State::Root);
        self.0.root.set(Some(task.key));
    }

    /// Polls the main future in its turn.
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
        let task = core.root.get().and_then(|key| core.find(key)).expect("a main future has begun and not ended");
        core.begin_poll(&task);
        core.counts.root_polls.set(core.counts.root_polls.get() + 1);
        let outcome = future.poll(&mut Context::from_waker(&waker(task.key)));
        core.end_poll(&task);
        if core.after.get() == After::Queue {
            core.sched.borrow_mut().queue(task.key);
        }
        outcome
    }

    /// Takes the main future's place out of the line.
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
        self.0.current.set(Key::NONE);
        if let Some(task) = self.0.root.take().and_then(|key| self.0.find(key)) {
            task.state.set(State::Empty);
            self.0.retire(&task);
        }
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
        assert!(self.0.current.get() == Key::NONE, "a loop was run inside a poll of its own");
        let core = &*self.0;
        let before = polls_left.get();
        let mut front = std::mem::take(&mut core.sched.borrow_mut().front);
        let stop = loop {
            match catch_unwind(AssertUnwindSafe(|| core.run_many(&mut front, polls_left))) {
                Ok(stop) => break stop,
                Err(panic) => core.unwound(panic),
            }
        };
        core.sched.borrow_mut().front = front;
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
        self.0.sched.borrow().is_idle()
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
                        core.wake(key);
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
    /// # windlass_executor::doc_entered(|executor| {
    /// assert_eq!(executor.blocking_out(), 0);
    /// let call = windlass_executor::spawn_blocking(|| {});
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
    /// # use std::cell::Cell;
    /// # windlass_executor::doc_entered(|executor| {
    /// let task = executor.spawn(windlass_executor::yield_now());
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
            spawned: self.0.sched.borrow().last_id,
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
        let sched = self.0.sched.borrow();
        sched
            .tasks
            .iter()
            .filter(|(_, task)| matches!(task.state.get(), State::Alive | State::Root | State::Busy))
            .count()
    }

    /// Drops all tasks, in the order of their places. What they spawn meanwhile is refused: its handle says cancelled.
    ///
    /// ```
    /// # let executor = windlass_executor::Executor::new(|| {}).unwrap();
    /// let task = executor.spawn(std::future::pending::<()>());
    /// executor.drop_tasks();
    /// assert!(task.is_finished() && executor.alive() == 0);
    /// ```
    pub fn drop_tasks(&self) {
        let core = &self.0;
        core.closing.set(true);
        let places = core.sched.borrow().tasks.capacity();
        for index in 0..places {
            let task = core.sched.borrow_mut().tasks.try_remove(index);
            if let Some(task) = task
                && task.claim(State::Alive)
            {
                join::abort_claimed(&task);
            }
        }
        // Every task has ended: the references that go here drop nothing foreign.
        let ended = core.sched.take();
        core.sched.borrow_mut().last_id = ended.last_id;
        core.closing.set(false);
    }
}

impl Drop for Executor {
    fn drop(&mut self) {
        self.drop_tasks();
        self.0.closing.set(true);
        let letters = inbox::close(&self.0.inbox);
        for letter in letters {
            join::quietly(|| drop(letter)); // on the loop's thread, with no lock held
        }
    }
}

/// Whether the current loop refuses tasks; none if there is no current loop.
pub(crate) fn is_closing() -> Option<bool> {
    crate::cell::with_current(|core| core.map(Core::is_closing))
}

/// Notes that the current task yielded.
pub(crate) fn note_yield() {
    waits::note(WaitReason::Yield);
}

#[cfg(test)]
impl Executor {
    /// Asserts I1: the queue holds exactly the tasks whose bit is set, each once.
    pub(crate) fn assert_queue_agrees_with_the_bits(&self) {
        let sched = self.0.sched.borrow();
        let mut in_queue = std::collections::HashSet::new();
        for task in sched.front.iter().chain(&sched.back) {
            assert!(task.queued.get(), "task {} is in the queue without its bit", task.id());
            assert!(in_queue.insert(task.id()), "task {} is in the queue twice", task.id());
        }
        for (index, task) in &sched.tasks {
            assert_eq!(index, task.key.index(), "a task lies where its key says");
            assert_eq!(task.queued.get(), in_queue.contains(&task.id()), "task {} and its bit", task.id());
        }
    }
}
