//! What every runtime is asked to do.
//!
//! Each workload is a function of the runtime and a count. It builds the loop, warms it, and measures from inside the root
//! task, so that neither start-up nor tear-down is in the figure. Both bench targets call these functions and no others.
//!
//! ```text
//!      Runtime::run ─► set up ─► warm up ─► ┌ Meter::start ... n operations ... stop ┐ ─► drop
//!                                           └──────────────── Cost ──────────────────┘
//! ```
//!
//! Read in this order: `spawn`, `turns`, `channel`, `timers`, `memory`, `sync`, `echo`, `wakes`, `crawl`.
//!
//! Not here: how often, pinned to what, against which floor (`harness`).   Next: `spawn`.

pub(crate) mod channel;
pub(crate) mod cores;
pub(crate) mod crawl;
pub(crate) mod echo;
pub(crate) mod memory;
pub(crate) mod meter;
pub(crate) mod spawn;
pub(crate) mod sync;
pub(crate) mod timers;
pub(crate) mod turns;
pub(crate) mod wakes;

/// Why joining gives an output: what `expect` says.
pub(crate) const RUNS: &str = "no task of a workload panics or is aborted";

/// Random enough for phases and deadlines, the same for every side, and free of dependencies: xorshift64 (Marsaglia 2003).
pub(crate) struct Random(u64);

impl Random {
    /// The same seed in every process: all sides draw the same numbers.
    pub(crate) fn new() -> Random {
        Random(0x9e37_79b9_7f4a_7c15)
    }

    /// A number below `bound`.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

/// The value that `share` of `sorted` lies below; zero if there is none.
pub(crate) fn quantile(sorted: &[f64], share: f64) -> f64 {
    let place = (sorted.len() as f64 * share) as usize;
    sorted.get(place.min(sorted.len().saturating_sub(1))).copied().unwrap_or_default()
}
