//! Watching the tasks.
//! Debug mode and the histograms both want to know when a task came into line, when its poll began and when it ended.
//! This is what the executor tells, with the time put to it:
//!
//! ```text
//!     spawned, woken ──► ready at ─┐ scheduling delay
//!     poll begins ─────────────────┴──┐ poll time ──► too long? debug says so
//!     poll ends ──────────────────────┘
//! ```
//!
//! Time here is the system's, also where the loop's clock is paused: a poll that blocks blocks, whatever that says.
//! A loop that asked for neither has none of this, and is not slower for it.
//! Next: `debug`, `histogram`; the executor's `instrument`, which calls.

use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

use windlass_executor::{Instrument, Next, TaskView};

use crate::debug::Debugger;
use crate::histogram::Histograms;

/// What is known of the tasks of a loop that asked for it.
pub(crate) struct Watch {
    clock: Stopwatch,
    /// By the task's place.
    stamps: RefCell<Vec<Stamps>>,
    poll_began_ns: Cell<u64>,
    pub(crate) histograms: Option<RefCell<Histograms>>,
    debugger: Option<Debugger>,
    unseen_results: Cell<u64>,
}

#[derive(Clone, Copy, Default)]
struct Stamps {
    spawned_ns: u64,
    ready_ns: u64,
}

/// Where the time comes from.
pub(crate) enum Stopwatch {
    System(Instant),
    /// Moved by hand.
    #[cfg(test)]
    Hand(std::rc::Rc<Cell<u64>>),
}

impl Stopwatch {
    pub(crate) fn now_ns(&self) -> u64 {
        match self {
            Stopwatch::System(epoch) => epoch.elapsed().as_nanos() as u64,
            #[cfg(test)]
            Stopwatch::Hand(now) => now.get(),
        }
    }
}

impl Watch {
    pub(crate) fn new(clock: Stopwatch, histograms: Option<Histograms>, debugger: Option<Debugger>) -> Self {
        Watch {
            clock,
            stamps: RefCell::default(),
            poll_began_ns: Cell::new(0),
            histograms: histograms.map(RefCell::new),
            debugger,
            unseen_results: Cell::new(0),
        }
    }

    /// The loop is about to wait.
    pub(crate) fn waits(&self) {
        if let Some(debugger) = &self.debugger {
            debugger.waits();
        }
    }

    /// The loop is awake.
    pub(crate) fn is_awake(&self) {
        if let Some(debugger) = &self.debugger {
            debugger.is_awake(self.clock.now_ns());
        }
    }

    /// How many results nobody has looked at; counted in debug mode.
    pub(crate) fn unseen_results(&self) -> u64 {
        self.unseen_results.get()
    }

    /// The loop has ended its run.
    pub(crate) fn rest(&self) {
        if let Some(debugger) = &self.debugger {
            debugger.rest();
        }
    }

    fn stamp(&self, task: TaskView<'_>, f: impl FnOnce(&mut Stamps)) {
        let mut stamps = self.stamps.borrow_mut();
        if stamps.len() <= task.place() {
            stamps.resize(task.place() + 1, Stamps::default());
        }
        f(&mut stamps[task.place()]);
    }

    fn record(&self, f: impl FnOnce(&mut Histograms)) {
        if let Some(histograms) = &self.histograms {
            f(&mut histograms.borrow_mut());
        }
    }
}

impl Instrument for Watch {
    fn spawned(&self, task: TaskView<'_>) {
        let now = self.clock.now_ns();
        self.stamp(task, |stamps| *stamps = Stamps { spawned_ns: now, ready_ns: now });
    }

    fn woken(&self, task: TaskView<'_>) {
        let now = self.clock.now_ns();
        self.stamp(task, |stamps| stamps.ready_ns = now);
        if let Some(debugger) = &self.debugger {
            debugger.is_awake(now);
        }
    }

    fn poll_begins(&self, task: TaskView<'_>) {
        let now = self.clock.now_ns();
        self.poll_began_ns.set(now);
        let mut ready_ns = now;
        self.stamp(task, |stamps| ready_ns = stamps.ready_ns);
        self.record(|histograms| histograms.scheduling_delay.record(now.saturating_sub(ready_ns)));
        if let Some(debugger) = &self.debugger {
            debugger.poll_begins(task, now);
        }
    }

    fn poll_ends(&self, task: TaskView<'_>, next: Next) {
        let now = self.clock.now_ns();
        if next == Next::Ready {
            self.stamp(task, |stamps| stamps.ready_ns = now);
        }
        self.record(|histograms| histograms.poll_time.record(now.saturating_sub(self.poll_began_ns.get())));
        if let Some(debugger) = &self.debugger {
            debugger.poll_ends(task, self.poll_began_ns.get(), now);
        }
    }

    fn drops_output(&self, task: TaskView<'_>) {
        if let Some(debugger) =
            self.debugger.as_ref().filter(|_| task.output_type().starts_with("core::result::Result<"))
        {
            self.unseen_results.set(self.unseen_results.get() + 1);
            debugger.drops_result(task, self.clock.now_ns());
        }
    }

    fn drop_begins(&self, task: TaskView<'_>) {
        if let Some(debugger) = &self.debugger {
            debugger.drop_begins(task, self.clock.now_ns());
        }
    }

    fn drop_ends(&self, _: TaskView<'_>) {
        if let Some(debugger) = &self.debugger {
            debugger.drop_ends();
        }
    }

    fn drops_waiting(&self, task: TaskView<'_>) {
        if let Some(debugger) = &self.debugger {
            debugger.drops_waiting(task, self.clock.now_ns());
        }
    }

    fn age(&self, task: TaskView<'_>) -> Option<Duration> {
        let now = self.clock.now_ns();
        self.stamps.borrow().get(task.place()).map(|stamps| Duration::from_nanos(now.saturating_sub(stamps.spawned_ns)))
    }
}

#[cfg(test)]
mod tests;
