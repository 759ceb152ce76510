//! What a run cost.
//!
//! Every step prints figures of its own run. Here they are taken and put in columns; what is counted (polls, wakes,
//! turns), each step counts itself.
//!
//! ```text
//!     Meter::start ──► the run ──► stop ──► Cost { wall, cpu } ──► show
//!          └─ the clock, and what the kernel has charged this thread so far
//! ```
//!
//! The CPU time is that of the calling thread alone, from `/proc/thread-self/schedstat`. Linux has it; elsewhere the
//! figure is "not available" rather than a guess.

use std::time::{Duration, Instant};
use std::{fs, thread};

/// Prints one figure: its name, its value, and a note on what it means.
macro_rules! show {
    ($name:literal, $value:expr, $($note:tt)+) => {
        println!("  {:<10}{:>13}   {}", $name, $crate::meter::Figure::text(&$value), format_args!($($note)+))
    };
}
pub(crate) use show;

/// Started before what is to be measured, on the thread that does it.
pub(crate) struct Meter {
    began: Instant,
    cpu: Option<Duration>,
}

/// What passed between `start` and `stop`.
pub(crate) struct Cost {
    pub(crate) wall: Duration,
    cpu: Option<Duration>,
}

impl Meter {
    pub(crate) fn start() -> Meter {
        let cpu = cpu_time();
        let began = Instant::now();
        Meter { began, cpu }
    }

    pub(crate) fn stop(self) -> Cost {
        let wall = self.began.elapsed();
        let cpu = cpu_time().zip(self.cpu).map(|(now, then)| now.saturating_sub(then));
        Cost { wall, cpu }
    }
}

impl Cost {
    pub(crate) fn show(&self) {
        let wall = self.wall.text();
        show!("CPU time", self.cpu, "of {wall} on the clock");
    }
}

/// What `show!` can print.
pub(crate) trait Figure {
    fn text(&self) -> String;
}

impl Figure for u64 {
    /// `1234567` as `1,234,567`, so that a reader sees its size at once.
    fn text(&self) -> String {
        match self / 1000 {
            0 => self.to_string(),
            thousands => format!("{},{:03}", thousands.text(), self % 1000),
        }
    }
}

impl Figure for Duration {
    fn text(&self) -> String {
        format!("{self:.1?}")
    }
}

impl<T: Figure> Figure for Option<T> {
    fn text(&self) -> String {
        self.as_ref().map_or("not available".to_owned(), T::text)
    }
}

/// How many threads this process has at the moment, `None` where the kernel does not tell.
#[allow(dead_code, reason = "steps 1 and 2 have too few threads to count them")]
pub(crate) fn threads() -> Option<u64> {
    Some(fs::read_dir("/proc/self/task").ok()?.count() as u64)
}

/// The calling thread's CPU time. The kernel brings its figure up to date when the thread leaves the CPU, and otherwise
/// only at its own tick, milliseconds apart; so we offer to leave (`yield_now`) before we read it.
fn cpu_time() -> Option<Duration> {
    thread::yield_now();
    let line = fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    let cpu_ns = line.split_whitespace().next()?.parse().ok()?;
    Some(Duration::from_nanos(cpu_ns))
}
