//! What every task carries, whatever its future: one cache line.
//! Next: `table`, which knows the tasks by their numbers.

use std::cell::Cell;
use std::panic::Location;
use std::ptr;
use std::task::Waker;

use super::VTable;
use crate::key::{GENERATION_BITS, Key};
use crate::waits;

/// What a cell holds, and who may look at it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum State {
    /// The future waits for its next poll.
    Alive,
    /// As alive, and asked to stop: its next turn shows whether it takes that.
    Requested,
    /// As alive, but the future is the main one and lives elsewhere: the loop's owner polls it.
    Root,
    /// Someone polls or drops what is inside: hands off (C2).
    Busy,
    /// The output waits for the join handle.
    Finished,
    /// Nothing is left.
    Empty,
}

/// Who wants to hear of a task's end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Handle {
    /// It is detached; watchers may be in `extras`.
    None,
    /// Its join handle, and nobody else.
    Alone,
    /// Its join handle, and watchers in `extras`.
    Watched,
}

/// What became of a poll. An ended task is left claimed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Polled {
    Pending,
    Ended,
    NotAlive,
}

/// What becomes of a task when its turn is over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Then {
    /// Until somebody wakes it; why, as `waits` packs it.
    Sleep(u64),
    Queue,
    Forget,
    /// It sleeps, and the turns end.
    Stop,
}

/// What happened to a task in its turn.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum After {
    #[default]
    Sleep,
    /// It was woken.
    Queue,
    /// It was asked to stop.
    Cancel,
    /// It was aborted.
    Drop,
}

/// Whether a task is in the run queue (I1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Queued {
    No,
    /// It is not, and an [`Instrument`](crate::Instrument) is told when it is woken.
    Watched,
    Yes,
}

/// What a wake-up found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Woken {
    /// Nobody: the number's task has ended, or is another loop's.
    Nobody,
    Asleep,
    /// As asleep, and the instrument is to be told.
    Watched,
    /// It was queued, or had been woken in its turn: it made no difference.
    Ready,
}

/// The part of a task that does not depend on its future's type.
pub(crate) struct Header {
    pub(super) vtable: &'static VTable,
    pub(crate) spawned_at: &'static Location<'static>,
    /// Who waits for the output.
    pub(crate) joiner: Cell<Option<Waker>>,
    /// In line: who is next. Out of it: why it sleeps, packed by `waits`; a number, not a pointer.
    pub(super) link: Cell<*const Header>,
    pub(crate) key: Key,
    /// The part of the id that is too high for the key.
    id_high: u32,
    pub(super) refs: Cell<u32>,
    pub(crate) polls: Cell<u32>,
    pub(crate) state: Cell<State>,
    pub(crate) handle: Cell<Handle>,
    pub(crate) queued: Cell<Queued>,
    /// Something is kept for it in `extras`.
    pub(crate) extras: Cell<bool>,
}

const _: () = assert!(size_of::<Header>() == 64, "a cache line: think before you add a field");

impl Header {
    /// The header of a fresh task, counted once.
    #[inline]
    pub(super) fn new(vtable: &'static VTable, id: u64, key: Key, spawned_at: &'static Location<'static>) -> Self {
        Header {
            vtable,
            spawned_at,
            joiner: Cell::new(None),
            link: Cell::new(ptr::null()),
            key,
            id_high: (id >> GENERATION_BITS) as u32,
            refs: Cell::new(1),
            polls: Cell::new(0),
            state: Cell::new(State::Alive),
            handle: Cell::new(Handle::None),
            queued: Cell::new(Queued::No),
            extras: Cell::new(false),
        }
    }

    /// Whether somebody waits for the output.
    #[inline]
    pub(crate) fn has_joiner(&self) -> bool {
        let waiting = self.joiner.take();
        let there = waiting.is_some();
        self.joiner.set(waiting);
        there
    }

    /// As `std::any::type_name` has it.
    pub(crate) fn output_type(&self) -> &'static str {
        (self.vtable.output_type)()
    }

    #[inline]
    pub(crate) fn is_queued(&self) -> bool {
        self.queued.get() == Queued::Yes
    }

    /// Why it sleeps, packed by `waits`. In line it waits for its next turn.
    pub(crate) fn reason(&self) -> u64 {
        if self.is_queued() { waits::YIELD } else { self.link.get().addr() as u64 }
    }

    /// The task's number in its loop; starts over after 2^58 tasks.
    pub(crate) fn id(&self) -> u64 {
        (self.id_high as u64) << GENERATION_BITS | self.key.generation() as u64
    }

    /// Makes the caller the only one who may touch what is inside, if it is in state `from` (C2).
    #[inline]
    pub(crate) fn claim(&self, from: State) -> bool {
        let free = self.state.get() == from;
        if free {
            self.state.set(State::Busy);
        }
        free
    }

    /// Whether its poll may be under way. Who has ended is in nobody's turn, though another may have its number by now.
    pub(crate) fn may_be_in_turn(&self) -> bool {
        matches!(self.state.get(), State::Busy | State::Root)
    }

    /// As [`claim`](Header::claim), of a future that waits.
    pub(crate) fn claim_alive(&self) -> bool {
        self.claim(State::Alive) || self.claim(State::Requested)
    }
}
