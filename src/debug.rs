//! Who holds up the loop.
//! One task that computes, or calls something that blocks, keeps all others waiting, and nothing in their behaviour says
//! who it was. In debug mode the loop does, twice: a thread beside it while it is stuck, and itself when it goes on.
//!
//! ```text
//!     the loop     ──┤ poll of `crank` ·········································├──► held the loop for 312 ms
//!     the watchdog ────────────── 100 ms: still? ──── 200 ms: still? ────────────────► holds the loop, for 100 ms so far
//! ```
//!
//! The watchdog sees whatever keeps the loop from its next wait: a poll, main's too; the drop of a task's future; and what
//! runs between polls: wakers and calls that are not ours, `on_tick`.
//!
//! It also names the tasks that were asleep when their loop ended, with what they waited for: a forgotten waker, a lock that
//! nobody gave back, a server that nobody stopped. A panic that nobody will see is reported in any mode. A `Result` that nobody
//! looked at is in this one, as the compiler's `must_use` does it: for each place that spawns such tasks once, be it `Ok` or
//! `Err`. All that the loop knows of an output is the name of its type: `spawn` takes any type, and to ask of any type
//! whether it is some `Result`, and which of the two, takes a specialisation that stable Rust has not got. (`Any` finds the
//! types that somebody has listed; an `Err` of another would then go by in silence.)
//!
//! Switched on by [`Builder::debug`](crate::Builder::debug), or for all loops of a process by `WINDLASS_DEBUG=1` in its
//! environment.
//! Not here: how the loop's own time is told apart (`watch`).   Next: `watch`.

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::fmt;
use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use windlass_executor::waits::WaitReason;
use windlass_executor::{TaskId, TaskView};

/// Longer than this nothing should hold the loop: asyncio's figure.
const SLOW_POLL: Duration = Duration::from_millis(100);
/// Reports in a second, at most: what more there is to say is only counted. More lines nobody reads.
const REPORTS_A_SECOND: u32 = 10;
/// How often the watchdog looks, at the least and at the most.
const LOOKS: [Duration; 2] = [Duration::from_millis(1), Duration::from_millis(50)];

/// How a loop in debug mode behaves.
///
/// ```
/// use std::time::Duration;
/// let settings = windlass::debug::Settings::new().slow_poll(Duration::from_millis(20));
/// let crank = windlass::Loop::builder().debug(settings).build()?;
/// # drop(crank);
/// # std::io::Result::Ok(())
/// ```
#[derive(Clone)]
pub struct Settings {
    slow_poll: Duration,
    hook: Option<Hook>,
}

type Hook = Arc<dyn Fn(&Report) + Send + Sync>;

impl Settings {
    /// 100 ms are slow, and reports go to stderr.
    ///
    /// ```
    /// # let _settings =
    /// windlass::debug::Settings::new();
    /// ```
    pub fn new() -> Self {
        Settings { slow_poll: SLOW_POLL, hook: None }
    }

    /// A poll of `least` or longer is reported, and whatever else holds the loop that long, while it does. The watchdog looks
    /// four times as often, but never more than every millisecond, nor less than every 50 ms.
    ///
    /// ```
    /// # let _settings =
    /// windlass::debug::Settings::new().slow_poll(std::time::Duration::from_millis(20));
    /// ```
    pub fn slow_poll(mut self, least: Duration) -> Self {
        self.slow_poll = least;
        self
    }

    /// Reports go to `hook`. It is called on the loop's thread, or on the watchdog's if the loop's is stuck.
    ///
    /// ```
    /// use std::sync::mpsc;
    /// let (say, hear) = mpsc::channel();
    /// let settings = windlass::debug::Settings::new().hook(move |report| say.send(report.to_string()).unwrap());
    /// let crank = windlass::Loop::builder().debug(settings).build()?;
    /// crank.block_on(async {
    ///     drop(windlass::spawn(std::future::pending::<()>()));
    ///     windlass::task::yield_now().await;
    /// });
    /// assert!(hear.recv().unwrap().contains("dropped at its loop's end"));
    /// # std::io::Result::Ok(())
    /// ```
    pub fn hook(mut self, hook: impl Fn(&Report) + Send + Sync + 'static) -> Self {
        self.hook = Some(Arc::new(hook));
        self
    }

    /// What the environment says: `WINDLASS_DEBUG=1`.
    pub(crate) fn from_env() -> Option<Self> {
        (std::env::var_os("WINDLASS_DEBUG")? == "1").then(Self::new)
    }

    fn tell(&self, report: &Report) {
        match &self.hook {
            // Its panic has had its say in the panic hook; dropping what it panicked with may panic too.
            Some(hook) => {
                let told = catch_unwind(AssertUnwindSafe(|| hook(report)));
                catch_unwind(AssertUnwindSafe(|| drop(told))).unwrap_or_else(std::mem::forget);
            }
            // Where nobody reads stderr there is nobody to tell.
            None => drop(writeln!(io::stderr(), "windlass: {report}")),
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings").field("slow_poll", &self.slow_poll).finish_non_exhaustive()
    }
}

/// What a loop in debug mode has to say. At most ten a second, and each `StillBlocked` of a poll after twice the time of
/// the one before; so with the others that the watchdog tells.
///
/// ```
/// use windlass::debug::{Report, Settings};
/// let settings = Settings::new().hook(|report| match report {
///     Report::SlowPoll { task, took } => eprintln!("{} took {took:?}", task.name),
///     report => eprintln!("{report}"),
/// });
/// # drop(settings);
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Report {
    /// A poll took too long, and is over.
    SlowPoll {
        /// Whose poll it was.
        task: Task,
        /// From its beginning to its end, on the system's clock.
        took: Duration,
    },
    /// A poll takes too long: told by the watchdog, while the loop does nothing else.
    StillBlocked {
        /// Whose poll it is.
        task: Task,
        /// How long it has taken so far.
        since: Duration,
    },
    /// The drop of a task's future takes too long: told by the watchdog, as `StillBlocked`.
    StillDropping {
        /// Whose future it is.
        task: Task,
        /// How long it has taken so far.
        since: Duration,
    },
    /// Something between two polls takes too long: told by the watchdog, as `StillBlocked`.
    StillBetweenPolls {
        /// How long no task was polled, and the loop did not wait.
        since: Duration,
    },
    /// A task gave a `Result`, and its handle was dropped without it. Told once for each place that spawns; all are counted
    /// in [`Metrics`](crate::Metrics).
    UnseenResult {
        /// Whose it was.
        task: Task,
        /// The output's type, as [`std::any::type_name`] has it.
        output: &'static str,
    },
    /// The loop ended while the task slept.
    DroppedWaiting {
        /// Who slept.
        task: Task,
        /// What it waited for.
        waiting_for: WaitReason,
    },
    /// There was more to say than ten reports a second.
    LeftOut {
        /// How many were not told.
        reports: u64,
    },
}

/// The task that a [`Report`] speaks of.
///
/// ```
/// use windlass::debug::Task;
/// let line = |task: &Task| format!("{} {} {}", task.id, task.name, task.spawned_at);
/// # let _ = line;
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Task {
    /// Its number.
    pub id: TaskId,
    /// Its name, `Task-N` if it was given none.
    pub name: String,
    /// Where it was spawned.
    pub spawned_at: &'static Location<'static>,
}

impl Task {
    fn of(task: TaskView<'_>) -> Self {
        let mut name = String::new();
        task.append_name(&mut name);
        Task { id: task.id(), name, spawned_at: task.spawned_at() }
    }
}

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "task {} ({}), spawned at {},", self.id, self.name, self.spawned_at)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Report::SlowPoll { task, took } => write!(f, "{task} held the loop for {} ms", took.as_millis()),
            Report::StillBlocked { task, since } => {
                write!(f, "{task} holds the loop, for {} ms so far", since.as_millis())
            }
            Report::StillDropping { task, since } => {
                write!(f, "{task} holds the loop while it is dropped, for {} ms so far", since.as_millis())
            }
            Report::StillBetweenPolls { since } => {
                write!(f, "between two polls, a waker or a call holds the loop, for {} ms so far", since.as_millis())
            }
            Report::UnseenResult { task, output } => {
                let output = output.strip_prefix("core::result::").unwrap_or(output);
                write!(f, "{task} gave a {output} that nobody looked at")
            }
            Report::DroppedWaiting { task, waiting_for } => {
                write!(f, "{task} was dropped at its loop's end while it waited for {waiting_for}")
            }
            Report::LeftOut { reports } => write!(f, "{reports} more reports were left out"),
        }
    }
}

/// Debug mode, from the inside.
pub(crate) struct Debugger {
    settings: Settings,
    second: Cell<u64>,
    told_in_it: Cell<u32>,
    left_out: Cell<u64>,
    /// Where tasks were spawned whose results nobody looked at, as far as it was told.
    unseen_at: RefCell<HashSet<&'static Location<'static>>>,
    polled: Arc<Polled>,
}

/// What the watchdog sees of the loop.
struct Polled {
    now: Mutex<Now>,
    ends: Condvar,
}

#[derive(Default)]
struct Now {
    /// What it does: a poll, or what is between polls, and the drops inside of that. Nothing while it waits.
    busy: Vec<Busy>,
    /// The polled task's name, in memory that is used again.
    name: String,
    loop_ended: bool,
}

struct Busy {
    with: With,
    began_ns: u64,
    /// When there is something to say of it.
    say_at_ns: u64,
}

enum With {
    Poll { id: TaskId, spawned_at: &'static Location<'static> },
    Drop(Task),
    NoTask,
}

impl Polled {
    fn now(&self) -> MutexGuard<'_, Now> {
        // Nothing foreign runs under the lock, so poison would mean nothing.
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Now {
    /// What is to be said of what is under way; the next time after twice as long.
    fn overdue(&mut self, now_ns: u64) -> Option<Report> {
        let busy = self.busy.last_mut().filter(|busy| busy.say_at_ns <= now_ns)?;
        let since_ns = now_ns - busy.began_ns;
        busy.say_at_ns = now_ns.saturating_add(since_ns);
        let since = Duration::from_nanos(since_ns);
        Some(match &busy.with {
            With::Poll { id, spawned_at } => {
                Report::StillBlocked { task: Task { id: *id, name: self.name.clone(), spawned_at }, since }
            }
            With::Drop(task) => Report::StillDropping { task: task.clone(), since },
            With::NoTask => Report::StillBetweenPolls { since },
        })
    }
}

impl Debugger {
    pub(crate) fn new(settings: Settings) -> Self {
        let polled = Polled { now: Mutex::default(), ends: Condvar::new() };
        let [second, left_out] = [const { Cell::new(0) }; 2];
        Debugger {
            settings,
            second,
            told_in_it: Cell::new(0),
            left_out,
            unseen_at: RefCell::default(),
            polled: Arc::new(polled),
        }
    }

    /// Starts the watchdog, whose clock counts from `epoch` as the loop's stopwatch does. It ends when the loop is dropped.
    pub(crate) fn start_watchdog(&self, epoch: Instant) -> io::Result<()> {
        let (polled, settings) = (self.polled.clone(), self.settings.clone());
        let [least, most] = LOOKS;
        let pause = (settings.slow_poll / 4).clamp(least, most);
        thread::Builder::new().name("windlass-watchdog".into()).spawn(move || {
            let mut now = polled.now();
            while !now.loop_ended {
                if let Some(report) = now.overdue(epoch.elapsed().as_nanos() as u64) {
                    drop(now);
                    settings.tell(&report); // foreign, so not under the lock
                    now = polled.now();
                    continue;
                }
                now = polled.ends.wait_timeout(now, pause).unwrap_or_else(PoisonError::into_inner).0;
            }
        })?;
        Ok(())
    }

    pub(crate) fn poll_begins(&self, task: TaskView<'_>, now_ns: u64) {
        let mut now = self.polled.now();
        now.name.clear();
        task.append_name(&mut now.name);
        now.busy.clear();
        now.busy.push(self.busy(With::Poll { id: task.id(), spawned_at: task.spawned_at() }, now_ns));
    }

    fn busy(&self, with: With, now_ns: u64) -> Busy {
        Busy { with, began_ns: now_ns, say_at_ns: now_ns.saturating_add(self.slow_poll_ns()) }
    }

    /// The loop is awake, and polls nobody.
    pub(crate) fn is_between_polls(&self, now_ns: u64) {
        let mut now = self.polled.now();
        now.busy.clear();
        now.busy.push(self.busy(With::NoTask, now_ns));
    }

    /// As [`is_between_polls`](Self::is_between_polls), where it is not known whether that is known.
    pub(crate) fn is_awake(&self, now_ns: u64) {
        let mut now = self.polled.now();
        if now.busy.is_empty() {
            now.busy.push(self.busy(With::NoTask, now_ns));
        }
    }

    /// The loop is about to wait.
    pub(crate) fn waits(&self) {
        self.polled.now().busy.clear();
    }

    pub(crate) fn drop_begins(&self, task: TaskView<'_>, now_ns: u64) {
        let busy = self.busy(With::Drop(Task::of(task)), now_ns);
        self.polled.now().busy.push(busy);
    }

    pub(crate) fn drop_ends(&self) {
        self.polled.now().busy.pop();
    }

    pub(crate) fn drops_result(&self, task: TaskView<'_>, now_ns: u64) {
        if self.unseen_at.borrow_mut().insert(task.spawned_at()) {
            self.report(now_ns, || Report::UnseenResult { task: Task::of(task), output: task.output_type() });
        }
    }

    pub(crate) fn poll_ends(&self, task: TaskView<'_>, began_ns: u64, now_ns: u64) {
        self.is_between_polls(now_ns);
        let took_ns = now_ns.saturating_sub(began_ns);
        if took_ns >= self.slow_poll_ns() {
            let took = Duration::from_nanos(took_ns);
            self.report(now_ns, || Report::SlowPoll { task: Task::of(task), took });
        }
    }

    pub(crate) fn drops_waiting(&self, task: TaskView<'_>, now_ns: u64) {
        self.report(now_ns, || Report::DroppedWaiting { task: Task::of(task), waiting_for: task.waiting_for() });
    }

    /// Nothing is done any more, also if main panicked, and nothing more will be said.
    pub(crate) fn rest(&self) {
        self.waits();
        self.tell_left_out();
    }

    fn slow_poll_ns(&self) -> u64 {
        self.settings.slow_poll.as_nanos().try_into().unwrap_or(u64::MAX)
    }

    /// Tells, if not enough was told in this second.
    fn report(&self, now_ns: u64, report: impl FnOnce() -> Report) {
        if self.second.replace(now_ns / 1_000_000_000) != now_ns / 1_000_000_000 {
            self.told_in_it.set(0);
            self.tell_left_out();
        }
        if self.told_in_it.get() == REPORTS_A_SECOND {
            self.left_out.set(self.left_out.get() + 1);
            return;
        }
        self.told_in_it.set(self.told_in_it.get() + 1);
        self.settings.tell(&report());
    }

    fn tell_left_out(&self) {
        let reports = self.left_out.take();
        if reports > 0 {
            self.settings.tell(&Report::LeftOut { reports });
        }
    }

    /// What the watchdog would say now.
    #[cfg(test)]
    pub(crate) fn look(&self, now_ns: u64) -> Option<Report> {
        self.polled.now().overdue(now_ns)
    }
}

impl Drop for Debugger {
    fn drop(&mut self) {
        self.polled.now().loop_ended = true;
        self.polled.ends.notify_all();
    }
}
