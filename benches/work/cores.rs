//! Who runs on which core.
//!
//! The side under test has the first core, whatever it talks to has the second: nothing migrates, and nobody waits for a core
//! that the other side holds. Cores are taken from those that this process may use, so a container's mask is kept to.
//!
//! ```text
//!      first core:  the loop under test           other core:  the echo server, the waking threads
//! ```
//!
//! Next: `spawn`.

use std::sync::OnceLock;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Which of the two cores that a measurement uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Core {
    /// Where the side under test runs.
    First,
    /// Where everything else runs.
    Other,
    /// Either, for a program of several threads whose figure is not what they cost.
    Any,
}

/// The cores this process was given, looked up before it gives any away.
fn cores() -> (usize, usize) {
    static CORES: OnceLock<(usize, usize)> = OnceLock::new();
    *CORES.get_or_init(|| {
        let mine = sched_getaffinity(None).unwrap_or_default();
        let mut usable = (0..CpuSet::MAX_CPU).filter(|&core| mine.is_set(core));
        let first = usable.next().unwrap_or(0);
        (first, usable.next().unwrap_or(first))
    })
}

/// Binds the calling thread, and those it starts from now on, to a core or both. `false` if the kernel refuses.
pub(crate) fn pin(core: Core) -> bool {
    let (first, other) = cores();
    let mut set = CpuSet::new();
    match core {
        Core::First => set.set(first),
        Core::Other => set.set(other),
        Core::Any => [first, other].into_iter().for_each(|core| set.set(core)),
    }
    sched_setaffinity(None, &set).is_ok()
}

/// Whether the two cores are two.
pub(crate) fn are_two() -> bool {
    let (first, other) = cores();
    first != other
}
