//! Why a task sleeps.
//! A leaf future that returns `Pending` says why in one word; whoever asks for all tasks can read it. It costs a store.
//!
//! ```text
//!   Sleep::poll ── note(Timer) ──► the loop's word ── the poll ends Pending ──► the task's word ──► all_tasks()
//! ```
//!
//! With several leaves in one task (a join, a select) the last one polled is the one that is told.
//! Next: `executor`, which moves the word; `task`, which shows it.

use std::cell::Cell;
use std::fmt;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::cell::with_current;
use crate::task::TaskId;

/// What a sleeping task waits for.
///
/// ```
/// # use windlass_executor::windlass;
/// use windlass::task::WaitReason;
/// # windlass_executor::doc(async {
/// let first = windlass::spawn(std::future::pending::<()>());
/// let id = first.id();
/// let second = windlass::spawn(first);
/// windlass::task::yield_now().await;
/// let waiting = windlass::task::all_tasks().into_iter().find(|task| task.id == second.id()).unwrap();
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
    /// Something of [`sync`](crate::sync) or [`remote`](crate::remote) that another is to give: a permit, a lock, an item.
    Resource {
        /// What is waited for, and of what.
        kind: ResourceKind,
        /// Which one.
        id: ResourceId,
    },
}

/// What a task can wait for at a primitive of [`sync`](crate::sync) or [`remote`](crate::remote).
///
/// ```
/// # use windlass_executor::windlass;
/// use windlass::task::{ResourceKind, WaitReason};
/// # windlass_executor::doc(async {
/// let semaphore = std::rc::Rc::new(windlass::sync::Semaphore::new(0));
/// let task = windlass::spawn(async move { semaphore.acquire().await.map(drop) });
/// windlass::task::yield_now().await;
/// let waiting = windlass::task::all_tasks().into_iter().find(|info| info.id == task.id()).unwrap();
/// assert!(matches!(waiting.waiting_for, WaitReason::Resource { kind: ResourceKind::Permit, .. }));
/// # });
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
#[repr(u8)]
pub enum ResourceKind {
    /// A permit of a semaphore.
    Permit,
    /// A mutex to be free.
    Lock,
    /// A lock for many readers to have no writer, in it or before us.
    ReadLock,
    /// A lock for many readers to be free.
    WriteLock,
    /// A notification.
    Notification,
    /// An event to be set.
    Event,
    /// A condition to be notified.
    Condition,
    /// The others at a barrier.
    Barrier,
    /// A cell's value, which another task is making.
    Value,
    /// An item of a queue.
    Item,
    /// Room in a queue.
    Room,
    /// The items of a queue to be done with.
    Done,
    /// A message of a channel.
    Message,
    /// Capacity of a channel.
    Capacity,
    /// The one message of a oneshot channel.
    Reply,
    /// A watched value to change.
    Change,
    /// The other end of a channel to go.
    Closed,
    /// The other end of a pipe in memory to write, or to make room.
    Pipe,
    /// A token to be cancelled.
    Cancellation,
    /// All tasks of a tracker to end.
    Tasks,
    /// A task that was spawned from elsewhere to end.
    RemoteTask,
    /// A message of a channel between threads.
    RemoteMessage,
    /// Capacity of a channel between threads.
    RemoteCapacity,
}

impl ResourceKind {
    const ALL: [ResourceKind; 23] = {
        use ResourceKind::*;
        [
            Permit,
            Lock,
            ReadLock,
            WriteLock,
            Notification,
            Event,
            Condition,
            Barrier,
            Value,
            Item,
            Room,
            Done,
            Message,
            Capacity,
            Reply,
            Change,
            Closed,
            Pipe,
            Cancellation,
            Tasks,
            RemoteTask,
            RemoteMessage,
            RemoteCapacity,
        ]
    };

    /// What is said before the number, and after it.
    fn words(self) -> (&'static str, &'static str) {
        match self {
            ResourceKind::Permit => ("permit of semaphore", ""),
            ResourceKind::Lock => ("lock of mutex", ""),
            ResourceKind::ReadLock => ("read lock of rwlock", ""),
            ResourceKind::WriteLock => ("write lock of rwlock", ""),
            ResourceKind::Notification => ("notification of notify", ""),
            ResourceKind::Event => ("event", " to be set"),
            ResourceKind::Condition => ("notification of condition", ""),
            ResourceKind::Barrier => ("the others at barrier", ""),
            ResourceKind::Value => ("value of cell", ""),
            ResourceKind::Item => ("item of queue", ""),
            ResourceKind::Room => ("room in queue", ""),
            ResourceKind::Done => ("queue", " to be done"),
            ResourceKind::Message => ("message of channel", ""),
            ResourceKind::Capacity => ("capacity of channel", ""),
            ResourceKind::Reply => ("reply of oneshot", ""),
            ResourceKind::Change => ("change of watch", ""),
            ResourceKind::Closed => ("channel", " to be closed"),
            ResourceKind::Pipe => ("the other end of pipe", ""),
            ResourceKind::Cancellation => ("cancellation of token", ""),
            ResourceKind::Tasks => ("tasks of tracker", ""),
            ResourceKind::RemoteTask => ("remote task", " to end"),
            ResourceKind::RemoteMessage => ("message of remote channel", ""),
            ResourceKind::RemoteCapacity => ("capacity of remote channel", ""),
        }
    }
}

/// The number of a lock, a queue, a channel: counted up on its thread, given out when something is first waited for. What
/// several threads share ([`remote`](crate::remote)) is counted by the process.
///
/// ```
/// # use windlass_executor::windlass;
/// # windlass_executor::doc(async {
/// use windlass::task::WaitReason;
/// let event = std::rc::Rc::new(windlass::sync::Event::new());
/// for _ in 0..2 {
///     let event = event.clone();
///     drop(windlass::spawn(async move { event.wait().await }));
/// }
/// windlass::task::yield_now().await;
/// let ids: Vec<_> = windlass::task::all_tasks().iter().filter_map(|task| match task.waiting_for {
///     WaitReason::Resource { id, .. } => Some(id),
///     _ => None,
/// }).collect();
/// assert_eq!(ids.len(), 2);
/// assert_eq!(ids[0], ids[1], "both wait for the same event");
/// # });
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ResourceId(u64);

impl ResourceId {
    /// For what several threads share: its kinds count by themselves, and are the same on every thread.
    pub(crate) fn next_of_process() -> Self {
        static LAST: AtomicU64 = AtomicU64::new(0);
        ResourceId(LAST.fetch_add(1, Ordering::Relaxed) + 1)
    }
}

impl fmt::Display for ResourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A resource's number, given out when it is first asked for: most are never waited for, and pay nothing.
///
/// It keeps what holds it on its thread, where the number means something.
///
/// ```
/// use windlass_executor::waits::LazyId;
/// let (first, second) = (LazyId::new(), LazyId::new());
/// assert_ne!(first.get(), second.get());
/// assert_eq!(first.get(), first.get());
/// ```
#[derive(Default, Debug)]
pub struct LazyId(Cell<u64>, PhantomData<*const ()>);

impl LazyId {
    /// For a resource that nobody has waited for.
    ///
    /// ```
    /// const ID: windlass_executor::waits::LazyId = windlass_executor::waits::LazyId::new();
    /// # let _ = ID;
    /// ```
    pub const fn new() -> Self {
        LazyId(Cell::new(0), PhantomData)
    }

    /// The number.
    ///
    /// ```
    /// let id = windlass_executor::waits::LazyId::new();
    /// assert!(id.get().to_string().parse::<u64>().is_ok());
    /// ```
    pub fn get(&self) -> ResourceId {
        thread_local! {
            static LAST: Cell<u64> = const { Cell::new(0) };
        }
        if self.0.get() == 0 {
            LAST.set(LAST.get() + 1);
            self.0.set(LAST.get());
        }
        ResourceId(self.0.get())
    }

    /// Says that the current task is about to wait for `kind` of this resource.
    ///
    /// ```
    /// use windlass_executor::waits::{LazyId, ResourceKind};
    /// LazyId::new().note(ResourceKind::Pipe); // outside a loop it says it to nobody
    /// ```
    #[inline]
    pub fn note(&self, kind: ResourceKind) {
        note(WaitReason::Resource { kind, id: self.get() });
    }
}

const PAYLOAD_BITS: u32 = 60;
const PAYLOAD_MAX: u64 = (1 << PAYLOAD_BITS) - 1;
/// Of a resource's payload: 8 bits of kind above them. A thread that made a million a second would need 142 years.
const RESOURCE_ID_BITS: u32 = 52;
const RESOURCE_ID_MAX: u64 = (1 << RESOURCE_ID_BITS) - 1;
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
            WaitReason::Resource { kind, id } => (8, (kind as u64) << RESOURCE_ID_BITS | id.0 & RESOURCE_ID_MAX),
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
            8 => match ResourceKind::ALL.get((payload >> RESOURCE_ID_BITS) as usize) {
                Some(&kind) => WaitReason::Resource { kind, id: ResourceId(payload & RESOURCE_ID_MAX) },
                None => WaitReason::Unknown,
            },
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
            WaitReason::Resource { kind, id } => {
                let (before, after) = kind.words();
                write!(f, "{before} {id}{after}")
            }
        }
    }
}

/// Says why the current task is about to return `Pending`. Outside a loop it says it to nobody.
///
/// ```
/// use std::{future::poll_fn, task::Poll};
/// # use windlass_executor::windlass;
/// use windlass::task::{WaitReason, note_wait_reason};
/// # windlass_executor::doc(async {
/// let pooled = windlass::spawn(poll_fn(|_| {
///     note_wait_reason(WaitReason::Connection);
///     Poll::<()>::Pending
/// }));
/// windlass::task::yield_now().await;
/// let task = windlass::task::all_tasks().into_iter().find(|task| task.id == pooled.id()).unwrap();
/// assert_eq!(task.waiting_for, WaitReason::Connection);
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
        ] {
            assert_eq!(WaitReason::unpack(reason.pack()), reason);
        }
    }

    #[test]
    fn every_kind_of_resource_comes_back_with_its_number() {
        for (number, kind) in ResourceKind::ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, number, "the list is in the order of the kinds");
            for id in [ResourceId(1), ResourceId(RESOURCE_ID_MAX)] {
                let reason = WaitReason::Resource { kind, id };
                assert_eq!(WaitReason::unpack(reason.pack()), reason);
            }
        }
    }

    #[test]
    fn a_resource_is_told_by_what_it_gives_and_its_number() {
        let told = |kind| WaitReason::Resource { kind, id: ResourceId(7) }.to_string();
        assert_eq!(told(ResourceKind::Permit), "permit of semaphore 7");
        assert_eq!(told(ResourceKind::Item), "item of queue 7");
        assert_eq!(told(ResourceKind::Event), "event 7 to be set");
    }

    #[test]
    fn a_resource_has_a_number_once_it_is_asked_for_and_keeps_it() {
        let (first, second) = (LazyId::new(), LazyId::new());
        let number = second.get();
        assert!(first.get() > number, "numbers go by who is asked first");
        assert_eq!(second.get(), number);
    }

    #[test]
    fn a_deadline_beyond_36_years_reads_as_the_longest_that_fits() {
        let never = WaitReason::Timer { deadline_ns: u64::MAX };
        assert_eq!(WaitReason::unpack(never.pack()), WaitReason::Timer { deadline_ns: PAYLOAD_MAX });
    }
}
