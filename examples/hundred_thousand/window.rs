//! Who asks next.
//!
//! A thousand tasks share one counter. Each takes the next number, sends its request, records how it went, and takes
//! another, until none is left: the window stays full however long single requests take.
//!
//! ```text
//!     next ──► task 1 ── enter ── get ── leave ─┐
//!      ▲       task 2 ── enter ── get ── leave ─┤
//!      │        ...                             │
//!      └──────────── while any are left ────────┘
//! ```
//!
//! A sliding window is one batch of everything. With `--batch` there are many, and between two of them a barrier, at
//! which all tasks of the one end before any of the next begins. With `--rate` a number has a time: who took it sleeps
//! until then, and who comes too late for it begins at once.
//! Every engine is driven by this one function, so that task counts, clocks and recording are the same for all.
//! Not here: how a request is sent (`engine`), what held the work back (`binding`).   Next: `schedule`.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    fmt::Display,
    future::poll_fn,
    io,
    pin::pin,
    rc::Rc,
    task::Poll,
    time::Duration,
};

use windlass::http::{Error, ErrorKind};
use windlass_examples::{
    latency::{Latency, now_ns},
    process::{self, CpuTime},
};

use crate::{
    binding::{Binding, Census},
    contract::{Endings, Pace, Plan, Settings, Word},
    engine::Engine,
    schedule::{Kept, Schedule},
};

/// What a run was like, seen from the window.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) entered: u64,
    /// In the window when the run was interrupted.
    pub(crate) unfinished: u64,
    pub(crate) ok: u64,
    pub(crate) failed: Failures,
    pub(crate) elapsed: Duration,
    pub(crate) spent: Spent,
    pub(crate) latency: Latency,
    pub(crate) exchange: Latency,
    /// The time that requests had a connection, all added up.
    pub(crate) connected_total_ns: u64,
    pub(crate) binding: Binding,
    pub(crate) pace: Option<Pace>,
    /// Kept where a server's script is to be held against them.
    pub(crate) endings: Endings,
    pub(crate) interrupted: bool,
}

/// CPU time that a run took.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spent {
    /// By this process.
    pub(crate) engine: CpuTime,
    /// By the embedded server's process, if there is one.
    pub(crate) server: Option<Duration>,
}

impl Spent {
    /// What both processes have spent so far.
    pub(crate) fn so_far(server: Option<u32>) -> io::Result<Self> {
        Ok(Self { engine: CpuTime::of_self()?, server: server.map(process::cpu_time_of).transpose()? })
    }

    pub(crate) fn since(self, earlier: Self) -> Self {
        let server = self.server.zip(earlier.server).map(|(now, then)| now.saturating_sub(then));
        Self { engine: self.engine.since(earlier.engine), server }
    }
}

/// Sends every request of the plan through `engine`, or as many as it can until `stop` completes.
///
/// # Errors
/// The kernel does not tell CPU times, or the embedded server has ended.
pub(crate) async fn drive<E: Engine>(engine: Rc<E>, plan: &Plan, stop: impl Future<Output = ()>) -> io::Result<Seen> {
    let spent_before = Spent::so_far(plan.server)?;
    let window = Rc::new(Window::new(plan));
    let work = async {
        while let Some(width) = window.open_batch() {
            let tasks: Vec<_> =
                (0..width).map(|_| E::spawn(ask_until_none_is_left(Rc::clone(&engine), Rc::clone(&window)))).collect();
            for task in tasks {
                task.await;
            }
        }
    };
    let interrupted = !completes_before(work, stop).await;
    let spent = Spent::so_far(plan.server)?.since(spent_before);
    Ok(window.close(spent, interrupted))
}

async fn ask_until_none_is_left<E: Engine>(engine: Rc<E>, window: Rc<Window>) {
    let mut free_ns = now_ns();
    while let Some(number) = window.take() {
        let entered_ns = match &window.schedule {
            None => {
                window.enter(free_ns, &*engine);
                free_ns
            }
            Some(schedule) => {
                let due_ns = schedule.due_ns(number);
                // Boxed, so that a task that need not wait is no larger for it.
                Box::pin(wait_until_due(&window, &*engine, due_ns, free_ns)).await;
                due_ns
            }
        };
        let connected_ns = Cell::new(None);
        let outcome = engine.get(window.settings.faults.map(|_| number), &connected_ns).await;
        let left_ns = now_ns();
        window.leave(number, Times { entered_ns, connected_ns: connected_ns.get(), left_ns }, outcome);
        free_ns = left_ns; // the next request enters at once: one reading of the clock serves both
    }
    window.look(free_ns, &*engine);
}

/// Has a request enter that is due at `due_ns` and had a place in the window from `free_ns` on.
async fn wait_until_due<E: Engine>(window: &Window, engine: &E, due_ns: u64, free_ns: u64) {
    window.look(free_ns, engine);
    if due_ns > free_ns {
        E::sleep(Duration::from_nanos(due_ns - free_ns)).await;
    }
    let began_ns = now_ns();
    window.enter(began_ns, engine);
    if let Some(kept) = &mut window.state.borrow_mut().kept {
        kept.note(due_ns, free_ns, began_ns);
    }
}

/// Polls both, `work` first; true if `work` completed. What did not complete is dropped by the caller's return.
async fn completes_before(work: impl Future<Output = ()>, stop: impl Future<Output = ()>) -> bool {
    let (mut work, mut stop) = (pin!(work), pin!(stop));
    poll_fn(
        |cx| {
            if work.as_mut().poll(cx).is_ready() { Poll::Ready(true) } else { stop.as_mut().poll(cx).map(|()| false) }
        },
    )
    .await
}

/// When a request got where, by [`now_ns`].
#[derive(Debug, Clone, Copy)]
struct Times {
    entered_ns: u64,
    connected_ns: Option<u64>,
    left_ns: u64,
}

impl Times {
    fn connected_for_ns(self) -> Option<u64> {
        self.connected_ns.map(|connected_ns| self.left_ns.saturating_sub(connected_ns))
    }
}

/// The counter that the tasks share, and what they have recorded. No borrow is held while a request is under way.
struct Window {
    settings: Settings,
    schedule: Option<Schedule>,
    progress_every: u64,
    started_ns: u64,
    state: RefCell<State>,
}

struct State {
    /// Numbers that somebody has, and those of them whose requests have begun.
    taken: u64,
    entered: u64,
    batch_end: u64,
    left: u64,
    ok: u64,
    failed: Failures,
    latency: Latency,
    exchange: Latency,
    connected_total_ns: u64,
    binding: Binding,
    kept: Option<Kept>,
    endings: Endings,
}

impl Window {
    fn new(plan: &Plan) -> Self {
        let started_ns = now_ns();
        let schedule = plan.settings.rate.map(|per_second| Schedule::new(per_second, started_ns));
        let state = State {
            taken: 0,
            entered: 0,
            batch_end: 0,
            left: 0,
            ok: 0,
            failed: Failures::default(),
            latency: Latency::new(),
            exchange: Latency::new(),
            connected_total_ns: 0,
            binding: Binding::new(plan.settings, started_ns),
            kept: schedule.map(Kept::new),
            endings: Endings::new(),
        };
        let Plan { settings, progress_every, .. } = *plan;
        Self { settings, schedule, progress_every, started_ns, state: RefCell::new(state) }
    }

    /// Lets the next batch begin and says how many tasks it takes; `None` when all requests have been sent.
    fn open_batch(&self) -> Option<u64> {
        let mut state = self.state.borrow_mut();
        let rest = self.settings.requests - state.taken;
        let size = self.settings.batch.unwrap_or(rest).min(rest);
        state.batch_end = state.taken + size;
        (size > 0).then_some(size.min(self.settings.concurrency))
    }

    /// Takes the next number of the batch; none if there is none.
    fn take(&self) -> Option<u64> {
        let mut state = self.state.borrow_mut();
        let number = state.taken;
        (number < state.batch_end).then(|| {
            state.taken += 1;
            number
        })
    }

    /// Lets the request begin whose number has been taken.
    fn enter(&self, now_ns: u64, engine: &impl Engine) {
        let mut state = self.state.borrow_mut();
        state.entered += 1;
        state.look(now_ns, engine.census());
    }

    /// Looks at what holds the work back.
    fn look(&self, now_ns: u64, engine: &impl Engine) {
        self.state.borrow_mut().look(now_ns, engine.census());
    }

    /// Records how a request went.
    fn leave(&self, number: u64, times: Times, outcome: Result<u16, Error>) {
        let mut state = self.state.borrow_mut();
        if self.settings.faults.is_some() {
            state.keep_ending(number, &outcome);
        }
        state.left += 1;
        state.connected_total_ns += times.connected_for_ns().unwrap_or(0);
        match outcome {
            Ok(200..=299) => state.succeed(times),
            Ok(status) => state.failed.count(ErrorKind::Status, &format_args!("the server answered {status}")),
            Err(error) => state.failed.count(error.kind(), &error),
        }
        if state.left.is_multiple_of(self.progress_every) || state.left == self.settings.requests {
            let word = Word::Progress { done: state.left, elapsed_s: (times.left_ns - self.started_ns) as f64 / 1e9 };
            drop(state);
            word.say();
        }
    }

    fn close(&self, spent: Spent, interrupted: bool) -> Seen {
        let ended_ns = now_ns();
        let mut state = self.state.borrow_mut();
        let unfinished = state.entered - state.left;
        state.failed.cancel(unfinished);
        state.binding.end(ended_ns);
        Seen {
            entered: state.entered,
            unfinished,
            ok: state.ok,
            failed: std::mem::take(&mut state.failed),
            elapsed: Duration::from_nanos(ended_ns - self.started_ns),
            spent,
            latency: std::mem::take(&mut state.latency),
            exchange: std::mem::take(&mut state.exchange),
            connected_total_ns: state.connected_total_ns,
            binding: state.binding.clone(),
            pace: state.kept.as_ref().map(Kept::pace),
            endings: std::mem::take(&mut state.endings),
            interrupted,
        }
    }
}

impl State {
    fn look(&mut self, now_ns: u64, census: Census) {
        let (in_window, unsent) = (self.entered - self.left, self.batch_end - self.entered);
        self.binding.note(now_ns, census, in_window, unsent);
    }

    fn succeed(&mut self, times: Times) {
        self.ok += 1;
        self.latency.record(times.left_ns - times.entered_ns);
        if let Some(span_ns) = times.connected_for_ns() {
            self.exchange.record(span_ns);
        }
    }

    fn keep_ending(&mut self, number: u64, outcome: &Result<u16, Error>) {
        let ending = match outcome {
            Ok(200) => return,
            Ok(status) => status.to_string(),
            Err(error) => error.kind().name().to_owned(),
        };
        self.endings.insert(number, ending);
    }
}

/// How many failed of each kind, and how the first of them did.
#[derive(Debug, Default)]
pub(crate) struct Failures {
    by_kind: BTreeMap<ErrorKind, (u64, String)>,
}

impl Failures {
    pub(crate) fn count(&mut self, kind: ErrorKind, how: &dyn Display) {
        let (count, _) = self.by_kind.entry(kind).or_insert_with(|| (0, how.to_string()));
        *count += 1;
    }

    /// Counts those that were under way when the run was interrupted.
    pub(crate) fn cancel(&mut self, unfinished: u64) {
        for _ in 0..unfinished {
            self.count(ErrorKind::Cancelled, &"the run was interrupted before the reply was complete");
        }
    }

    /// Every kind's number, those of none included.
    pub(crate) fn counts(&self) -> BTreeMap<String, u64> {
        let count = |kind| self.by_kind.get(kind).map_or(0, |(count, _)| *count);
        ErrorKind::ALL.iter().map(|kind| (kind.name().to_owned(), count(kind))).collect()
    }

    /// The first failure of each kind that there was.
    pub(crate) fn firsts(&self) -> BTreeMap<String, String> {
        self.by_kind.iter().map(|(kind, (_, first))| (kind.name().to_owned(), first.clone())).collect()
    }
}
