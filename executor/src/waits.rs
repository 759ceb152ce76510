//! Why a task sleeps.
//! A leaf future that returns `Pending` says why in one word; whoever asks for all tasks can read it. It costs a store.
//!
//! ```text
//!   Sleep::poll ── note(Timer) ──► the loop's word ── the poll ends Pending ──► the task's word ──► all_tasks()
//! ```
//!
//! With several leaves in one task (a join, a select) the last one polled is the one that is told.
//! Next: `executor`, which moves the word; `task`, which shows it.

use std::fmt;

use crate::cell::with_current;
use crate::task::TaskId;

/// What a sleeping task waits for.
///
/// ```
/// use windlass_executor::waits::WaitReason;
/// # windlass_executor::doc(async {
/// let first = windlass_executor::spawn(std::future::pending::<()>());
/// let id = first.id();
/// let second = windlass_executor::spawn(first);
/// windlass_executor::yield_now().await;
/// let waiting = windlass_executor::all_tasks().into_iter().find(|task| task.id == second.id()).unwrap();
/// assert_eq!(waiting.waiting_for, WaitReason::Join { task: id });
/// # });
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum WaitReason {
    /// Something that did not say: a future from elsewhere.
    Unknown,
    /// The clock, in nanoseconds since the loop's epoch; what needs more than 60 bits (36 years) reads as their maximum.
    Timer {
        /// When it fires.
        deadline_ns: u64,
    },
    /// A source to have something to read.
    Readable {
        /// The source's index in the reactor.
        source: u32,
    },
    /// A source to have room to write.
    Writable {
        /// The source's index in the reactor.
        source: u32,
    },
    /// Another task to end.
    Join {
        /// Which one.
        task: TaskId,
    },
    /// Its next turn: it was woken, or yielded, or used up its budget.
    Yield,
    /// A call on the blocking pool.
    Blocking,
    /// A connection from a client's pool.
    Connection,
    /// The other end of a channel, or a lock: something in this process that another task holds.
    Resource,
}

const PAYLOAD_BITS: u32 = 60;
const PAYLOAD_MAX: u64 = (1 << PAYLOAD_BITS) - 1;
pub(crate) const UNKNOWN: u64 = 0;
pub(crate) const YIELD: u64 = 5 << PAYLOAD_BITS;

impl WaitReason {
    #[inline]
    fn pack(self) -> u64 {
        let (kind, payload) = match self {
            WaitReason::Unknown => (0, 0),
            WaitReason::Timer { deadline_ns } => (1, deadline_ns.min(PAYLOAD_MAX)),
            WaitReason::Readable { source } => (2, source as u64),
            WaitReason::Writable { source } => (3, source as u64),
            WaitReason::Join { task } => (4, task.0.min(PAYLOAD_MAX)),
            WaitReason::Yield => (5, 0),
            WaitReason::Blocking => (6, 0),
            WaitReason::Connection => (7, 0),
            WaitReason::Resource => (8, 0),
        };
        kind << PAYLOAD_BITS | payload
    }

    pub(crate) fn unpack(word: u64) -> Self {
        let payload = word & PAYLOAD_MAX;
        match word >> PAYLOAD_BITS {
            1 => WaitReason::Timer { deadline_ns: payload },
            2 => WaitReason::Readable { source: payload as u32 },
            3 => WaitReason::Writable { source: payload as u32 },
            4 => WaitReason::Join { task: TaskId(payload) },
            5 => WaitReason::Yield,
            6 => WaitReason::Blocking,
            7 => WaitReason::Connection,
            8 => WaitReason::Resource,
            _ => WaitReason::Unknown,
        }
    }
}

impl fmt::Display for WaitReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WaitReason::Unknown => write!(f, "something that did not say"),
            WaitReason::Timer { deadline_ns } => {
                write!(f, "timer at {:.3} s", std::time::Duration::from_nanos(*deadline_ns).as_secs_f64())
            }
            WaitReason::Readable { source } => write!(f, "source {source} to be readable"),
            WaitReason::Writable { source } => write!(f, "source {source} to be writable"),
            WaitReason::Join { task } => write!(f, "task {task} to end"),
            WaitReason::Yield => write!(f, "its next turn"),
            WaitReason::Blocking => write!(f, "a blocking call"),
            WaitReason::Connection => write!(f, "a connection from the pool"),
            WaitReason::Resource => write!(f, "another task"),
        }
    }
}

/// Says why the current task is about to return `Pending`. Outside a loop it says it to nobody.
///
/// ```
/// use std::{future::poll_fn, task::Poll};
/// use windlass_executor::waits::{self, WaitReason};
/// # windlass_executor::doc(async {
/// let locked = windlass_executor::spawn(poll_fn(|_| {
///     waits::note(WaitReason::Resource);
///     Poll::<()>::Pending
/// }));
/// windlass_executor::yield_now().await;
/// let task = windlass_executor::all_tasks().into_iter().find(|task| task.id == locked.id()).unwrap();
/// assert_eq!(task.waiting_for, WaitReason::Resource);
/// # });
/// ```
#[inline]
pub fn note(reason: WaitReason) {
    with_current(|core| {
        if let Some(core) = core {
            core.reason.set(reason.pack());
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_comes_back_as_it_went_into_the_word() {
        for reason in [
            WaitReason::Unknown,
            WaitReason::Timer { deadline_ns: 1_500_000_000 },
            WaitReason::Readable { source: u32::MAX },
            WaitReason::Writable { source: 7 },
            WaitReason::Join { task: TaskId(PAYLOAD_MAX) },
            WaitReason::Yield,
            WaitReason::Blocking,
            WaitReason::Connection,
            WaitReason::Resource,
        ] {
            assert_eq!(WaitReason::unpack(reason.pack()), reason);
        }
    }

    #[test]
    fn a_deadline_beyond_36_years_reads_as_the_longest_that_fits() {
        let never = WaitReason::Timer { deadline_ns: u64::MAX };
        assert_eq!(WaitReason::unpack(never.pack()), WaitReason::Timer { deadline_ns: PAYLOAD_MAX });
    }
}
