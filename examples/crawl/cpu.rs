//! Where the processor's time goes.
//!
//! ```text
//!     the loop's thread  ├── fetch ──┼── parse ──┼── frontier ──┼── store ──┤   all of it: the kernel's count
//!                          the rest     decoding,   who is next,   what it is
//!                                       links       who may go     told, and says
//! ```
//!
//! The three that are timed run from end to end without waiting for anything, so the thread's own clock is read before and
//! after. That takes a system call, some hundred nanoseconds; so it is done for one call in seventeen, and the others
//! count as those did on average. The clock on the wall would be cheaper, and would count what other processes do
//! meanwhile. The rest is all that the loop, its sockets and the client need.
//! What the store's own thread uses is the kernel's count, too, and is added to `store` and to the whole in the report.
//! Not here: how long a page takes, waiting and all (`report`).   Next: `timeline`.

use std::{cell::Cell, time::Duration};

use nix::time::ClockId;

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

/// A prime, so that no rhythm of long and short calls falls in with it.
const ONE_IN: u64 = 17;

/// One kind of work.
#[derive(Debug, Default)]
pub(crate) struct Part {
    calls: Cell<u64>,
    timed: Cell<u64>,
    timed_ns: Cell<u64>,
}

impl Part {
    /// Does the work, and counts its time.
    pub(crate) fn time<T>(&self, work: impl FnOnce() -> T) -> T {
        let call = self.calls.replace(self.calls.get() + 1);
        if !call.is_multiple_of(ONE_IN) {
            return work();
        }
        let began = of_this_thread();
        let done = work();
        let span = of_this_thread() - began;
        self.timed.set(self.timed.get() + 1);
        self.timed_ns.set(self.timed_ns.get() + span.as_nanos() as u64); // less than five hundred years
        done
    }

    /// What all calls took, as far as those tell that were timed.
    pub(crate) fn spent(&self) -> Duration {
        let mean_ns = self.timed_ns.get() as f64 / self.timed.get().max(1) as f64;
        Duration::from_nanos((mean_ns * self.calls.get() as f64) as u64)
    }
}

/// What this thread has used; the loop's, where the loop asks: the embedded site has its own.
pub(crate) fn of_this_thread() -> Duration {
    ClockId::CLOCK_THREAD_CPUTIME_ID.now().expect("every kernel has this clock").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Uses about so much CPU time.
    fn burn(span: Duration) {
        let began = of_this_thread();
        while of_this_thread() - began < span {}
    }

    #[test]
    fn calls_that_are_not_timed_count_as_those_that_are() {
        let part = Part::default();
        for _ in 0..10 * ONE_IN {
            part.time(|| burn(Duration::from_micros(100)));
        }
        assert_eq!(part.timed.get(), 10);
        assert!(part.spent() >= Duration::from_micros(100) * 10 * ONE_IN as u32, "{:?}", part.spent());
    }

    #[test]
    fn what_waits_takes_no_time_of_the_processor() {
        let part = Part::default();
        let (told, hears) = std::sync::mpsc::channel();
        let other = std::thread::spawn(move || {
            burn(Duration::from_millis(50));
            told.send(()).unwrap();
        });
        part.time(|| hears.recv().unwrap());
        assert!(part.spent() < Duration::from_millis(25), "{:?}", part.spent());
        other.join().unwrap();
    }
}
