//! The loop itself.
//! Everything else in this workspace is called from here, or calls back into what is called from here.
//!
//! ```text
//!   block_on(main)
//!     └─ tick, tick, tick …                     until main has its output; then what is left is dropped
//!          1. inbox     what other threads asked for
//!          2. run       polls, first come, first served, at most a budget
//!          3. turn      events and timers; sleeps if no task is ready
//! ```
//!
//! Not here: tasks (`windlass_executor`), readiness and time (`windlass_reactor`).
//! Next: `executor/src/executor.rs`, who runs next; `reactor/src/reactor.rs`, one turn.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::panic::Location;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, Instant};

use windlass_executor::{BlockingPool, blocking_pool};
use windlass_executor::{
    Closed, Enter, Executor, JoinHandle, Leftovers, LoopId, Nested, Remote, RemoteHandle, Stop, TaskInfo,
};
use windlass_reactor::{Poller, Reactor, Unparker, Wait};

use crate::debug::{Debugger, Settings};
use crate::histogram::Histograms;
use crate::watch::{Stopwatch, Watch};

/// Polls in a row before sockets and timers get their turn, at most. To ask the kernel is a system call, a short poll is a
/// hundred instructions (`cargo bench --bench sides -- --only yield_1`): 1,024 of them make the call no part of the work.
const POLL_BUDGET: u32 = 1_024;
/// How many of them a loop that has waited begins with: nobody knows yet how long they take.
const POLLS_AT_FIRST: u32 = 64;
/// How long a row of polls may take before sockets and timers get their turn: half of the millisecond that epoll counts in.
const POLL_TIME_MAX_NS: u64 = 500_000;
/// Parts of a row of at most [`POLLS_AT_FIRST`], between which the clock is looked at.
const PARTS: u32 = 8;

/// An event loop: one thread, its tasks, its sockets and its timers.
///
/// It runs only inside [`block_on`](Loop::block_on), or when [`tick`](Loop::tick) and its like turn it. Dropping it drops its
/// tasks on this thread, with the loop entered.
/// Wakers of its tasks may be used for ever, from anywhere: when it is gone they do nothing.
/// A process that was forked without `exec` must not touch the loops of its parent, nor drop them or their sockets: the kernel
/// takes both for one. [`std::process::Command`] does `exec`.
///
/// ```
/// let crank = windlass::Loop::new()?;
/// let answer = crank.block_on(async {
///     let task = windlass::spawn(async { 6 * 7 });
///     task.await.unwrap()
/// });
/// assert_eq!(answer, 42);
/// # std::io::Result::Ok(())
/// ```
pub struct Loop {
    shared: Rc<Shared>,
    poll_budget: u32,
}

/// What `metrics()` reaches from inside.
struct Shared {
    executor: Executor,
    reactor: Reactor,
    unparker: Unparker,
    ticks: Cell<u64>,
    /// Polls allowed in the next tick: fewer than the budget if the last ones took long.
    polls_allowed: Cell<u32>,
    on_tick: RefCell<Option<TickHook>>,
    watch: Option<Rc<Watch>>,
    /// The sums when the hook was last called: what happens between two ticks counts with the second.
    told: Cell<Tick>,
}

type TickHook = Box<dyn FnMut(&Tick)>;

/// What one turn of the loop did.
///
/// ```
/// let crank = windlass::Loop::new().unwrap();
/// crank.on_tick(|tick| println!("{} polls, waited {:?}", tick.polls, tick.waited));
/// crank.block_on(windlass::time::sleep(std::time::Duration::from_millis(1)));
/// ```
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Tick {
    /// Polls of tasks, the main future's included.
    pub polls: u64,
    /// Wake-ups of tasks.
    pub wakes: u64,
    /// How many of the wake-ups came from other threads.
    pub remote_wakes: u64,
    /// Wake-ups for tasks that had ended.
    pub stale_wakes: u64,
    /// Wake-ups that made no difference, since their task was in line already or had been woken in its poll before.
    pub redundant_wakes: u64,
    /// How often a task had to give way, having completed 128 operations in one poll.
    pub forced_yields: u64,
    /// Tasks spawned.
    pub spawned: u64,
    /// Outputs of the type `Result` that were dropped, because their tasks' handles were. Counted in debug mode, else zero.
    pub unseen_results: u64,
    /// Events from the kernel.
    pub events: u64,
    /// Events for sources that were gone.
    pub stale_events: u64,
    /// Timers that fired.
    pub timers: u64,
    /// Timers set, those of time-outs that were over within their turn included. One that is reset is not set again.
    pub timers_set: u64,
    /// Timers dropped before they fired.
    pub timers_cancelled: u64,
    /// Waits for the kernel: turns that found no task ready.
    pub parks: u64,
    /// Time between the waits while the loop ran: polls, and what it takes to find out whom to poll. On the loop's clock,
    /// as `waited`.
    pub busy: Duration,
    /// Time spent waiting in the kernel.
    pub waited: Duration,
    /// System calls: the loop's own, and those of its sockets.
    pub syscalls: u64,
    /// How many of those found nothing to do (`EAGAIN`).
    pub would_block: u64,
}

/// Sums of ticks, over the loop's life.
///
/// What dashboards know from tokio-metrics is here, too:
///
/// | tokio-metrics | here |
/// |---|---|
/// | `total_park_count` | `parks` |
/// | `total_polls_count` | `polls` |
/// | `total_busy_duration` | `busy` |
/// | `busy_ratio` | [`busy_ratio`](Metrics::busy_ratio) |
/// | `budget_forced_yield_count` | `forced_yields` |
/// | `io_driver_ready_count` | `events` |
/// | `num_remote_schedules` | `remote_wakes` |
/// | `live_tasks_count` | [`Gauges::alive`] |
/// | `total_local_queue_depth` | [`Gauges::ready`] |
/// | `blocking_threads_count`, `idle_blocking_threads_count` | [`Gauges::blocking`]: `threads`, `idle` |
/// | `blocking_queue_depth` | [`Gauges::blocking`]: `queued` |
/// | `mean_poll_duration` | [`Histograms::poll_time`], its mean |
/// | `poll_time_histogram` | [`Histograms::poll_time`] |
/// | `mean_scheduled_duration` (of tasks) | [`Histograms::scheduling_delay`], its mean |
///
/// There is no count of spurious polls: whether a poll that ended pending got on is known to its future alone. What can be
/// told is a wake-up that found its task awake (`redundant_wakes`), or gone (`stale_wakes`).
///
/// ```
/// let crank = windlass::Loop::new().unwrap();
/// crank.block_on(windlass::task::yield_now());
/// let metrics = crank.metrics();
/// assert_eq!((metrics.polls, metrics.wakes), (2, 1)); // the sums are reached directly
/// ```
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Metrics {
    /// Ticks so far.
    pub ticks: u64,
    /// What they did in all.
    pub sum: Tick,
}

impl Metrics {
    /// The share of its time that the loop was busy, between 0 and 1; 0 if it has not run.
    ///
    /// ```
    /// use std::time::Duration;
    /// let crank = windlass::Loop::builder().paused_clock().build()?;
    /// crank.block_on(windlass::time::sleep(Duration::from_secs(1)));
    /// assert_eq!(crank.metrics().busy_ratio(), 0.0); // on a paused clock nothing but waiting takes time
    /// # std::io::Result::Ok(())
    /// ```
    pub fn busy_ratio(&self) -> f64 {
        let (busy, waited) = (self.sum.busy.as_secs_f64(), self.sum.waited.as_secs_f64());
        if busy > 0.0 { busy / (busy + waited) } else { 0.0 }
    }
}

/// How things stand in a loop, at one moment; what was done so far is in [`Metrics`].
///
/// ```
/// let crank = windlass::Loop::new()?;
/// let task = crank.spawn(async {});
/// let gauges = crank.gauges();
/// assert_eq!((gauges.alive, gauges.ready, gauges.timers), (1, 1, 0));
/// # drop(task);
/// # std::io::Result::Ok(())
/// ```
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Gauges {
    /// Tasks that have not ended, the main future included.
    pub alive: usize,
    /// How many of them are in line for a poll: the depth of the run queue.
    pub ready: usize,
    /// Timers pending.
    pub timers: usize,
    /// Descriptors watched.
    pub sources: usize,
    /// Calls of this loop on the blocking pool that have not come back.
    pub blocking_calls: u32,
    /// The blocking pool, which all loops of the process share.
    pub blocking: BlockingPool,
}

impl std::ops::Deref for Metrics {
    type Target = Tick;
    fn deref(&self) -> &Tick {
        &self.sum
    }
}

impl Tick {
    /// Where the counters stand: the sum of all ticks so far.
    fn sum(shared: &Shared) -> Tick {
        let (tasks, world) = (shared.executor.counts(), shared.reactor.counts());
        Tick {
            polls: tasks.polls,
            wakes: tasks.wakes,
            remote_wakes: tasks.remote_wakes,
            stale_wakes: tasks.stale_wakes,
            redundant_wakes: tasks.redundant_wakes,
            forced_yields: tasks.forced_yields,
            spawned: tasks.spawned,
            unseen_results: shared.watch.as_ref().map_or(0, |watch| watch.unseen_results()),
            events: world.events,
            stale_events: world.stale_events,
            timers: world.timers_fired,
            timers_set: world.timers_set,
            timers_cancelled: world.timers_cancelled,
            parks: world.waits,
            busy: Duration::from_nanos(world.busy_ns),
            waited: Duration::from_nanos(world.waited_ns),
            syscalls: world.syscalls,
            would_block: world.would_block,
        }
    }

    fn since(self, before: Tick) -> Tick {
        Tick {
            polls: self.polls - before.polls,
            wakes: self.wakes - before.wakes,
            remote_wakes: self.remote_wakes - before.remote_wakes,
            stale_wakes: self.stale_wakes - before.stale_wakes,
            redundant_wakes: self.redundant_wakes - before.redundant_wakes,
            forced_yields: self.forced_yields - before.forced_yields,
            spawned: self.spawned - before.spawned,
            unseen_results: self.unseen_results - before.unseen_results,
            events: self.events - before.events,
            stale_events: self.stale_events - before.stale_events,
            timers: self.timers - before.timers,
            timers_set: self.timers_set - before.timers_set,
            timers_cancelled: self.timers_cancelled - before.timers_cancelled,
            parks: self.parks - before.parks,
            busy: self.busy - before.busy,
            waited: self.waited - before.waited,
            syscalls: self.syscalls - before.syscalls,
            would_block: self.would_block - before.would_block,
        }
    }
}

impl Loop {
    /// A loop with the system's clock.
    ///
    /// # Errors
    /// If there is no descriptor left for epoll and its waker, or the process has 4,095 loops already.
    ///
    /// ```
    /// let crank = windlass::Loop::new()?;
    /// # drop(crank);
    /// # std::io::Result::Ok(())
    /// ```
    pub fn new() -> io::Result<Loop> {
        Builder::default().build()
    }

    /// A loop with settings of its own.
    ///
    /// ```
    /// let crank = windlass::Loop::builder().poll_budget(16).build()?;
    /// # drop(crank);
    /// # std::io::Result::Ok(())
    /// ```
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Runs `main` to its end, and with it all tasks. Those that are left then are dropped, on this thread and with the
    /// loop still entered, before this returns.
    ///
    /// A panic in `main` goes on from here, when that is done.
    ///
    /// # Panics
    /// Inside a running loop: a loop inside a loop would stop the outer one. The message names both places.
    ///
    /// ```
    /// # let crank = windlass::Loop::new().unwrap();
    /// let text = String::from("main may borrow");
    /// assert_eq!(crank.block_on(async { text.len() }), 15);
    /// ```
    #[track_caller]
    pub fn block_on<F: Future>(&self, main: F) -> F::Output {
        let running = Running(self.enter("block_on"));
        self.shared.executor.begin_root(Location::caller());
        let output = self.run(main);
        drop(running); // drops what is left
        output
    }

    /// Turns until `main` has its output, and drops `main`.
    fn run<F: Future>(&self, main: F) -> F::Output {
        let mut main = pin!(main);
        loop {
            if let Poll::Ready(output) = self.tick_main(main.as_mut()) {
                return output;
            }
        }
    }

    /// One turn of the crank.
    fn tick_main<F: Future>(&self, main: Pin<&mut F>) -> Poll<F::Output> {
        self.shared.executor.read_inbox();
        let output = self.run_tasks(main);
        match output {
            Poll::Pending => self.turn(self.may_wait()),
            Poll::Ready(_) => self.shared.reactor.count_busy(),
        }
        self.tell();
        output
    }

    /// Turns until `done` says so, which is asked before each look at sockets and timers.
    pub(crate) fn turn_until(&self, mut done: impl FnMut() -> bool) {
        let mut ended = false;
        while !ended {
            self.poll_tasks();
            ended = done();
            if ended {
                self.shared.reactor.count_busy();
            } else {
                self.turn(self.may_wait());
            }
            self.tell();
        }
    }

    /// Polls what is ready, as far as is allowed, where there is no main future.
    fn poll_tasks(&self) {
        let executor = &self.shared.executor;
        executor.read_inbox();
        self.poll_row(|polls_left| {
            executor.run(polls_left);
            true
        });
    }

    /// Has `run` poll, until the row has had its polls or its time, nobody is ready, or it says false.
    fn poll_row(&self, mut run: impl FnMut(&Cell<u32>) -> bool) {
        let Shared { executor, reactor, polls_allowed, .. } = &*self.shared;
        let allowed = polls_allowed.get();
        // A longer row is one whose pace is known.
        let parts = if allowed <= POLLS_AT_FIRST { PARTS } else { 1 };
        let mut left = allowed;
        loop {
            let part = left.min(allowed.div_ceil(parts));
            left -= part;
            if !run(&Cell::new(part)) || left == 0 || executor.is_idle() {
                return;
            }
            if reactor.since_turn_ns() >= POLL_TIME_MAX_NS {
                return polls_allowed.set(allowed - left); // the pace is that of those
            }
        }
    }

    /// One turn without waiting. True if more is ready.
    fn turn_without_waiting(&self) -> bool {
        // How much time went by between two of these says nothing about the pace of polls.
        self.shared.polls_allowed.set(self.poll_budget.min(POLLS_AT_FIRST));
        self.poll_tasks();
        self.turn(Wait::No);
        self.tell();
        self.may_wait() == Wait::No
    }

    /// The tick is over.
    fn tell(&self) {
        let shared = &*self.shared;
        shared.ticks.set(shared.ticks.get() + 1);
        if let Some(on_tick) = shared.on_tick.borrow_mut().as_mut() {
            let sum = Tick::sum(shared);
            on_tick(&sum.since(shared.told.replace(sum)));
        }
    }

    /// Polls what is ready, as far as is allowed.
    fn run_tasks<F: Future>(&self, mut main: Pin<&mut F>) -> Poll<F::Output> {
        let executor = &self.shared.executor;
        let mut output = Poll::Pending;
        self.poll_row(|polls_left| {
            while output.is_pending() && executor.run(polls_left) == Stop::Root {
                polls_left.set(polls_left.get().saturating_sub(1));
                output = executor.poll_root(main.as_mut());
            }
            output.is_pending()
        });
        output
    }

    /// Looks at sockets and timers; sleeps if there is nothing else to do.
    fn turn(&self, wait: Wait) {
        let Shared { executor, reactor, polls_allowed, watch, .. } = &*self.shared;
        let before_ns = reactor.turned_at_ns();
        if let (Some(watch), Wait::Yes | Wait::HoldClock) = (watch, wait) {
            watch.waits();
        }
        let awake = || watch.iter().for_each(|watch| watch.is_awake()); // before a waker that is not ours can block
        reactor.turn_and_tell(wait, awake).expect("epoll waits as long as its descriptor is open");
        if wait == Wait::No {
            // A row may be twice as long as the last, but no longer than its pace lets hope to take: so nobody waits for the
            // world for long.
            let (polls, took_ns) = (polls_allowed.get() as u64, reactor.turned_at_ns() - before_ns);
            let fit = (polls * POLL_TIME_MAX_NS).checked_div(took_ns).unwrap_or(u64::MAX);
            polls_allowed.set(fit.min(2 * polls).clamp(1, self.poll_budget as u64) as u32);
        } else {
            executor.unparked();
            polls_allowed.set(self.poll_budget.min(POLLS_AT_FIRST));
        }
    }

    /// Whether the turn may sleep: not while a task is ready or a message is there.
    fn may_wait(&self) -> Wait {
        let executor = &self.shared.executor;
        if !executor.is_idle() || !executor.park() {
            Wait::No
        } else if executor.blocking_out() > 0 {
            Wait::HoldClock
        } else {
            Wait::Yes
        }
    }

    /// # Panics
    /// Inside a running loop; `caller` is what the message says was called.
    #[track_caller]
    fn enter(&self, caller: &str) -> Entered<'_> {
        let at = Location::caller();
        self.try_enter(at).unwrap_or_else(|Nested { outer }| panic!("{}", nested(caller, at, outer)))
    }

    pub(crate) fn try_enter(&self, at: &'static Location<'static>) -> Result<Entered<'_>, Nested> {
        let entered = self.shared.executor.enter(at)?;
        let reactor = self.shared.reactor.enter();
        self.shared.executor.unparked();
        if let Some(watch) = &self.shared.watch {
            watch.is_awake();
        }
        // A thread that is ending has no current loop any more.
        let _ = CURRENT.try_with(|current| current.set(Some(self.shared.clone())));
        Ok(Entered { shared: &self.shared, _reactor: reactor, _executor: entered })
    }

    /// Asks all tasks to stop.
    pub(crate) fn cancel_tasks(&self, why: &str) -> Leftovers {
        self.shared.executor.cancel_tasks(why)
    }

    /// One turn, for who drives the loop from outside: sleeps if no task is ready until one is, looks at sockets and timers,
    /// and polls what is ready then. If nothing will ever happen, that is for ever. Unlike [`block_on`](Loop::block_on) it
    /// drops nothing when it ends.
    ///
    /// # Panics
    /// Inside a running loop.
    ///
    /// ```
    /// let crank = windlass::Loop::new()?;
    /// let task = crank.spawn(windlass::time::sleep(std::time::Duration::from_millis(1)));
    /// while !task.is_finished() {
    ///     crank.tick();
    /// }
    /// # std::io::Result::Ok(())
    /// ```
    #[track_caller]
    pub fn tick(&self) {
        let _entered = self.enter("tick");
        self.shared.executor.read_inbox();
        self.turn(self.may_wait());
        self.poll_tasks();
        self.shared.reactor.count_busy();
        self.tell();
    }

    /// As [`tick`](Loop::tick), and never sleeps: for a program that has a loop of its own, between two of its frames. True
    /// if more is ready already. If not, [`next_deadline`](Loop::next_deadline) says how long there is nothing to do, unless
    /// the loop's descriptor becomes readable.
    ///
    /// # Panics
    /// Inside a running loop.
    ///
    /// ```
    /// let crank = windlass::Loop::new()?;
    /// let task = crank.spawn(windlass::task::yield_now());
    /// assert!(!crank.try_tick());
    /// assert!(task.is_finished());
    /// # std::io::Result::Ok(())
    /// ```
    #[track_caller]
    pub fn try_tick(&self) -> bool {
        let _entered = self.enter("try_tick");
        self.turn_without_waiting()
    }

    /// Turns, without sleeping, until no task is ready, nothing has happened and nothing is due. A paused clock stands.
    /// Tasks that wake themselves for ever keep it for ever.
    ///
    /// # Panics
    /// Inside a running loop.
    ///
    /// ```
    /// let crank = windlass::Loop::builder().paused_clock().build()?;
    /// let (quick, slow) = (crank.spawn(async {}), crank.spawn(std::future::pending::<()>()));
    /// crank.run_until_stalled();
    /// assert!(quick.is_finished() && !slow.is_finished());
    /// # std::io::Result::Ok(())
    /// ```
    #[track_caller]
    pub fn run_until_stalled(&self) {
        let _entered = self.enter("run_until_stalled");
        while self.turn_without_waiting() {}
    }

    /// Makes a task, which runs when the loop does.
    ///
    /// ```
    /// # let crank = windlass::Loop::new().unwrap();
    /// let task = crank.spawn(async { 6 * 7 });
    /// assert_eq!(crank.block_on(task).unwrap(), 42);
    /// ```
    #[track_caller]
    pub fn spawn<F: Future<Output: 'static> + 'static>(&self, future: F) -> JoinHandle<F::Output> {
        self.shared.executor.spawn(future)
    }

    /// Its identity: the [`current_loop`](crate::current_loop) of what it runs.
    ///
    /// ```
    /// let crank = windlass::Loop::new()?;
    /// assert_eq!(crank.block_on(async { windlass::current_loop() }), Some(crank.id()));
    /// # std::io::Result::Ok(())
    /// ```
    pub fn id(&self) -> LoopId {
        self.shared.executor.id()
    }

    /// Whether it runs: true inside its [`block_on`](Loop::block_on), and false between two.
    ///
    /// ```
    /// # let crank = windlass::Loop::new().unwrap();
    /// assert!(!crank.is_running());
    /// crank.block_on(async { assert!(crank.is_running()) });
    /// ```
    pub fn is_running(&self) -> bool {
        self.shared.executor.is_entered()
    }

    /// A way to this loop from other threads.
    ///
    /// ```
    /// # let crank = windlass::Loop::new().unwrap();
    /// let handle = crank.handle();
    /// drop(crank);
    /// assert!(handle.spawn(async {}).is_err());
    /// ```
    pub fn handle(&self) -> Handle {
        Handle { remote: Remote::new(&self.shared.executor) }
    }

    /// Sums of all ticks so far.
    ///
    /// ```
    /// let crank = windlass::Loop::new()?;
    /// crank.block_on(windlass::task::yield_now());
    /// assert_eq!(crank.metrics().polls, 2);
    /// # std::io::Result::Ok(())
    /// ```
    pub fn metrics(&self) -> Metrics {
        self.shared.metrics()
    }

    /// How things stand. Looks at each task.
    ///
    /// ```
    /// # let crank = windlass::Loop::new().unwrap();
    /// assert_eq!(crank.gauges().alive, 0);
    /// crank.block_on(async { assert_eq!(crank.gauges().alive, 1) }); // main
    /// ```
    pub fn gauges(&self) -> Gauges {
        let Shared { executor, reactor, .. } = &*self.shared;
        Gauges {
            alive: executor.alive(),
            ready: executor.ready(),
            timers: reactor.timers(),
            sources: reactor.sources(),
            blocking_calls: executor.blocking_out(),
            blocking: blocking_pool(),
        }
    }

    /// Its tasks that have not ended, in the order of their numbers: [`task::all_tasks`](crate::task::all_tasks) for who looks
    /// at the loop from outside, between two ticks. What ends one of them then
    /// ([`abort_handle`](crate::task::TaskInfo::abort_handle)) is done when the loop next turns, before anybody is polled.
    ///
    /// ```
    /// let crank = windlass::Loop::builder().paused_clock().build()?;
    /// let _detached = crank.spawn(std::future::pending::<()>());
    /// crank.run_until_stalled();
    /// for task in crank.all_tasks() {
    ///     println!("{task}"); // 1 Task-1: waits for something that did not say; 1 polls, spawned at …
    ///     task.abort_handle().cancel();
    /// }
    /// crank.run_until_stalled();
    /// assert!(crank.all_tasks().is_empty());
    /// # std::io::Result::Ok(())
    /// ```
    pub fn all_tasks(&self) -> Vec<TaskInfo> {
        self.shared.executor.all_tasks()
    }

    /// Poll times and scheduling delays so far. None unless [`Builder::histograms`] asked for them.
    ///
    /// ```
    /// assert!(windlass::Loop::new()?.histograms().is_none());
    /// # std::io::Result::Ok(())
    /// ```
    pub fn histograms(&self) -> Option<Histograms> {
        let histograms = self.shared.watch.as_ref()?.histograms.as_ref()?;
        Some(histograms.borrow().clone())
    }

    /// Calls `hook` after each tick with what it did. The hook must not call into the loop. There is one; the last set.
    ///
    /// ```
    /// let crank = windlass::Loop::new()?;
    /// crank.on_tick(|tick| println!("{} polls, waited {:?}", tick.polls, tick.waited));
    /// crank.block_on(windlass::task::yield_now());
    /// # std::io::Result::Ok(())
    /// ```
    pub fn on_tick(&self, hook: impl FnMut(&Tick) + 'static) {
        self.shared.told.set(Tick::sum(&self.shared));
        let before = self.shared.on_tick.replace(Some(Box::new(hook)));
        drop(before);
    }

    /// How long the loop may sleep before a timer is due, on its own clock. None if it has no timer.
    ///
    /// ```
    /// # let crank = windlass::Loop::new().unwrap();
    /// assert_eq!(crank.next_deadline(), None);
    /// ```
    pub fn next_deadline(&self) -> Option<Duration> {
        self.shared.reactor.next_deadline()
    }
}

impl AsRawFd for Loop {
    /// A descriptor that is readable when a socket of the loop has an event or another thread has called: with
    /// [`next_deadline`](Loop::next_deadline), what another loop needs to know when this one wants to run.
    fn as_raw_fd(&self) -> RawFd {
        self.shared.reactor.as_raw_fd()
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        // Tasks are dropped with the loop entered, unless another one is: then their loop is not there for them.
        match self.try_enter(Location::caller()) {
            Ok(entered) => drop(Running(entered)),
            Err(Nested { .. }) => self.shared.executor.drop_tasks(),
        }
    }
}

impl Shared {
    /// Nobody runs the loop now: a message, also one that came too late, makes its descriptor readable.
    fn rest(&self) {
        if !self.executor.park() {
            self.unparker.unpark();
        }
    }

    fn metrics(&self) -> Metrics {
        Metrics { ticks: self.ticks.get(), sum: Tick::sum(self) }
    }
}

impl fmt::Debug for Loop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loop").field("executor", &self.shared.executor).finish_non_exhaustive()
    }
}

/// While this lives the loop is the thread's.
pub(crate) struct Entered<'a> {
    shared: &'a Shared,
    _reactor: windlass_reactor::Enter,
    _executor: Enter,
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        if let Some(watch) = &self.shared.watch {
            watch.rest();
        }
        self.shared.rest();
        let _ = CURRENT.try_with(|current| current.set(None));
    }
}

/// Dropping it, also by a panic in main, drops the tasks that are left, and then leaves the loop.
pub(crate) struct Running<'a>(pub(crate) Entered<'a>);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.shared.executor.end_root();
        self.0.shared.executor.drop_tasks();
    }
}

/// What a loop in a loop is told.
pub(crate) fn nested(caller: &str, at: &Location<'_>, outer: &Location<'_>) -> String {
    format!("{caller} at {at} called inside a running loop, which was begun at {outer}: await it there")
}

thread_local! {
    static CURRENT: Cell<Option<Rc<Shared>>> = const { Cell::new(None) };
}

/// Calls `f`, which calls nothing foreign, with the loop that this thread runs. None if there is none, or the thread is
/// ending.
fn with_current<R>(f: impl FnOnce(&Shared) -> R) -> Option<R> {
    let shared = CURRENT.try_with(Cell::take).ok()??;
    let result = f(&shared);
    CURRENT.set(Some(shared));
    Some(result)
}

/// Sums of all ticks so far of the current loop, and of what the one under way has done.
///
/// # Panics
/// Outside a running loop.
///
/// ```
/// # windlass::Loop::new().unwrap().block_on(async {
/// windlass::task::yield_now().await;
/// println!("{} polls", windlass::metrics().polls);
/// # });
/// ```
#[track_caller]
pub fn metrics() -> Metrics {
    with_current(Shared::metrics).expect("metrics called outside a running loop")
}

/// Settings for a [`Loop`].
///
/// ```
/// use std::time::Duration;
/// let crank = windlass::Loop::builder().paused_clock().build()?;
/// crank.block_on(windlass::time::sleep(Duration::from_secs(3600))); // an hour in no time
/// # std::io::Result::Ok(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until `build`"]
pub struct Builder {
    paused: bool,
    poll_budget: u32,
    histograms: Option<Histograms>,
    debug: Option<Settings>,
}

impl Default for Builder {
    fn default() -> Self {
        Builder { paused: false, poll_budget: POLL_BUDGET, histograms: None, debug: None }
    }
}

impl Builder {
    /// The loop's clock stands still while anything can run, and jumps to the next deadline when nothing can.
    ///
    /// ```
    /// use std::time::Duration;
    /// use windlass::time::{Instant, advance};
    /// let crank = windlass::Loop::builder().paused_clock().build()?;
    /// crank.block_on(async {
    ///     let start = Instant::now();
    ///     advance(Duration::from_millis(5)).await;
    ///     assert_eq!(start.elapsed(), Duration::from_millis(5)); // and not a nanosecond more
    /// });
    /// # std::io::Result::Ok(())
    /// ```
    pub fn paused_clock(mut self) -> Self {
        self.paused = true;
        self
    }

    /// How many polls in a row there may be before sockets and timers get their turn, at most; 1,024 if not set. A loop that
    /// has waited begins with 64 and doubles them from row to row, as long as a row fits into 500 µs. Of a row of up
    /// to 64 each eighth ends with a look at the clock, and the row where it has had its time.
    ///
    /// # Panics
    /// If it is zero.
    ///
    /// ```
    /// let crank = windlass::Loop::builder().poll_budget(1).build()?;
    /// crank.block_on(windlass::task::yield_now());
    /// assert_eq!(crank.metrics().ticks, 2); // a look at the sockets between any two polls
    /// # std::io::Result::Ok(())
    /// ```
    #[track_caller]
    pub fn poll_budget(mut self, polls: u32) -> Self {
        assert!(polls > 0, "a loop that may not poll does nothing");
        self.poll_budget = polls;
        self
    }

    /// Counts how long polls take and how long tasks stand in line: [`Loop::histograms`]. It costs each poll three looks at
    /// the system's clock.
    ///
    /// ```
    /// let crank = windlass::Loop::builder().histograms().build()?;
    /// crank.block_on(async {});
    /// let polls = crank.histograms().unwrap().poll_time;
    /// println!("{} polls, the longest of {:?}", polls.count(), polls.max());
    /// # std::io::Result::Ok(())
    /// ```
    pub fn histograms(mut self) -> Self {
        self.histograms = Some(Histograms::default());
        self
    }

    /// Debug mode: slow polls are reported, also while they last, and so are the tasks that are asleep when the loop ends;
    /// see [`debug`](crate::debug). With `WINDLASS_DEBUG=1` in the environment of the process its loops are in debug mode
    /// without being asked.
    ///
    /// ```
    /// let crank = windlass::Loop::builder().debug(windlass::debug::Settings::new()).build()?;
    /// # drop(crank);
    /// # std::io::Result::Ok(())
    /// ```
    pub fn debug(mut self, settings: Settings) -> Self {
        self.debug = Some(settings);
        self
    }

    /// Makes the loop.
    ///
    /// # Errors
    /// If there is no descriptor left for epoll and its waker, or the process has 4,095 loops already; in debug mode, if
    /// there can be no thread more.
    ///
    /// ```
    /// let crank = windlass::Loop::builder().build()?;
    /// # drop(crank);
    /// # std::io::Result::Ok(())
    /// ```
    pub fn build(self) -> io::Result<Loop> {
        let (poller, unparker) = Poller::new()?;
        let unpark = unparker.clone();
        let executor = Executor::new(move || unpark.unpark()).map_err(io::Error::other)?;
        let make = if self.paused { Reactor::paused } else { Reactor::new };
        let watch = self.watch()?;
        if let Some(watch) = &watch {
            executor.watch(watch.clone());
        }
        let shared = Shared {
            watch,
            reactor: make(poller, executor.id()),
            executor,
            unparker,
            ticks: Cell::default(),
            polls_allowed: Cell::new(self.poll_budget.min(POLLS_AT_FIRST)),
            on_tick: RefCell::default(),
            told: Cell::default(),
        };
        shared.rest();
        Ok(Loop { shared: Rc::new(shared), poll_budget: self.poll_budget })
    }

    /// Who watches the tasks, if somebody is to.
    fn watch(&self) -> io::Result<Option<Rc<Watch>>> {
        let debug = self.debug.clone().or_else(Settings::from_env);
        if debug.is_none() && self.histograms.is_none() {
            return Ok(None);
        }
        let epoch = Instant::now();
        let debugger = debug.map(Debugger::new);
        if let Some(debugger) = &debugger {
            debugger.start_watchdog(epoch)?;
        }
        Ok(Some(Rc::new(Watch::new(Stopwatch::System(epoch), self.histograms.clone(), debugger))))
    }
}

/// A loop, seen from any thread.
///
/// ```
/// let crank = windlass::Loop::new()?;
/// let handle = crank.handle();
/// let (stop, mut stopped) = windlass::remote::channel::<()>(1);
/// let thread = std::thread::spawn(move || {
///     let answer = handle.spawn(async { 6 * 7 }).unwrap().join();
///     drop(stop);
///     answer.unwrap()
/// });
/// crank.block_on(stopped.recv());
/// assert_eq!(thread.join().unwrap(), 42);
/// # std::io::Result::Ok(())
/// ```
#[derive(Clone, Debug)]
pub struct Handle {
    remote: Remote,
}

impl Handle {
    /// The loop that runs on this thread.
    ///
    /// # Panics
    /// Outside a running loop.
    ///
    /// ```
    /// windlass::Loop::new()?.block_on(async {
    ///     let here = windlass::Handle::current();
    ///     let called = windlass::task::spawn_blocking(move || here.spawn(async { println!("back on the loop") }));
    ///     called.await.unwrap().unwrap().await.unwrap();
    /// });
    /// # std::io::Result::Ok(())
    /// ```
    #[track_caller]
    pub fn current() -> Handle {
        Handle::try_current().expect("Handle::current called outside a running loop")
    }

    /// As [`current`](Handle::current); none outside a running loop.
    ///
    /// ```
    /// assert!(windlass::Handle::try_current().is_none());
    /// ```
    pub fn try_current() -> Option<Handle> {
        with_current(|shared| Handle { remote: Remote::new(&shared.executor) })
    }

    /// Spawns `future` on the loop's thread. A loop between two runs begins it when it runs again.
    ///
    /// What comes back waits for it from any thread: a thread joins it, a task awaits it. Dropping that detaches the task.
    ///
    /// # Errors
    /// [`Closed`] if the loop is gone.
    ///
    /// ```
    /// # let crank = windlass::Loop::new().unwrap();
    /// let handle = crank.handle();
    /// let task = std::thread::spawn(move || handle.spawn(async { "done" })).join().unwrap().unwrap();
    /// crank.block_on(async { assert_eq!(task.await.unwrap(), "done") });
    /// ```
    #[track_caller]
    pub fn spawn<F>(&self, future: F) -> Result<RemoteHandle<F::Output>, Closed>
    where
        F: Future<Output: Send + 'static> + Send + 'static,
    {
        self.remote.spawn_with(move || future)
    }

    /// As [`spawn`](Handle::spawn) for a future that is not `Send`: `make` is, and makes it over there.
    ///
    /// # Errors
    /// [`Closed`] if the loop is gone.
    ///
    /// ```
    /// use std::rc::Rc;
    /// # let crank = windlass::Loop::new().unwrap();
    /// let not_send = || async { println!("{}", Rc::new("made over there")) };
    /// drop(crank.handle().spawn_with(not_send)?);
    /// crank.block_on(windlass::task::yield_now());
    /// # Ok::<(), windlass::task::Closed>(())
    /// ```
    #[track_caller]
    pub fn spawn_with<F, M>(&self, make: M) -> Result<RemoteHandle<F::Output>, Closed>
    where
        M: FnOnce() -> F + Send + 'static,
        F: Future<Output: Send + 'static> + 'static,
    {
        self.remote.spawn_with(make)
    }
}
