//! What an operation cost: wall, CPU, memory.
//!
//! Wall is what a user waits, CPU is what the machine pays, and on a busy machine only the second is worth comparing. CPU is
//! the whole process (a runtime that keeps a helper thread pays for it), read from the kernel's own clock for it, which
//! counts nanoseconds where `getrusage` counts microseconds.
//!
//! Next: `spawn`.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// Runs from `start` to `stop`.
pub(crate) struct Meter {
    wall: Instant,
    cpu: Duration,
}

/// What lay between.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cost {
    pub(crate) wall: Duration,
    pub(crate) cpu: Duration,
}

impl Meter {
    pub(crate) fn start() -> Meter {
        let cpu = process_cpu();
        Meter { wall: Instant::now(), cpu }
    }

    pub(crate) fn stop(self) -> Cost {
        let wall = self.wall.elapsed();
        Cost { wall, cpu: process_cpu() - self.cpu }
    }
}

impl Cost {
    /// Wall nanoseconds an operation.
    pub(crate) fn wall_ns(self, operations: u64) -> f64 {
        self.wall.as_nanos() as f64 / operations as f64
    }

    /// CPU nanoseconds an operation.
    pub(crate) fn cpu_ns(self, operations: u64) -> f64 {
        self.cpu.as_nanos() as f64 / operations as f64
    }
}

fn process_cpu() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Resident bytes of this process, and the most they have been: `Rss` of smaps_rollup, which counts pages, where the line
/// in `status` may lag behind by a batch for each CPU.
pub(crate) fn resident() -> u64 {
    let rollup = std::fs::read_to_string("/proc/self/smaps_rollup").unwrap_or_default();
    let status = || std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    kilobytes(&rollup, "Rss:").or_else(|| kilobytes(&status(), "VmRSS:")).expect("Linux tells a process its RSS") * 1024
}

/// The most this process has had resident, in bytes.
pub(crate) fn resident_peak() -> u64 {
    peak_of("self").expect("Linux tells a process its peak RSS")
}

/// The same of another process, by its number; none if it has ended.
pub(crate) fn peak_of(process: &str) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    Some(kilobytes(&status, "VmHWM:")? * 1024)
}

fn kilobytes(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find(|line| line.starts_with(name))?;
    line.split_whitespace().nth(1)?.parse().ok()
}
