//! Where the processor's time goes.
//!
//! ```text
//!     the loop's thread  ├── fetch ──┼── parse ──┼── frontier ──┼── store ──┤   all of it: the kernel's count
//!                          the rest     decoding,   who is next,   what it is
//!                                       links       who may go     told, and says
//! ```
//!
//! The three that are timed run from end to end without waiting for anything, so the clock on the wall is read before and
//! after: two readings of some 25 ns each, where the thread's own clock takes a system call. If another process takes the
//! core away in between, that is counted with it. The rest is all that the loop, its sockets and the client need.
//! Not here: how long a page takes, waiting and all (`report`).   Next: `timeline`.

use std::{cell::Cell, time::Duration};

use nix::time::ClockId;
use windlass_examples::latency::now_ns;

/// What has been timed so far.
#[derive(Debug, Default)]
pub(crate) struct Cpu {
    /// Bodies: undoing their coding, finding their links.
    pub(crate) parse: Part,
    /// Links: whether they are to be fetched; and who is next.
    pub(crate) frontier: Part,
    /// Pages that are over: counting them, and telling the store, which has a thread of its own; what it hands over.
    pub(crate) store: Part,
}

/// One kind of work.
#[derive(Debug, Default)]
pub(crate) struct Part(Cell<u64>);

impl Part {
    /// Does the work, and counts its time.
    pub(crate) fn time<T>(&self, work: impl FnOnce() -> T) -> T {
        let began_ns = now_ns();
        let done = work();
        self.0.set(self.0.get() + (now_ns() - began_ns));
        done
    }

    pub(crate) fn spent(&self) -> Duration {
        Duration::from_nanos(self.0.get())
    }
}

/// What this thread has used; the loop's, where the loop asks: the embedded site has its own.
pub(crate) fn of_this_thread() -> Duration {
    ClockId::CLOCK_THREAD_CPUTIME_ID.now().expect("every kernel has this clock").into()
}
