//! What every task carries, whatever its future: one cache line.

use std::cell::Cell;
use std::panic::Location;
use std::task::Waker;

use super::VTable;
use crate::key::{GENERATION_BITS, Key};

/// What a cell holds, and who may look at it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum State {
    /// The future waits for its next poll.
    Alive,
    /// As alive, but the future is the main one and lives elsewhere: the loop's owner polls it.
    Root,
    /// Someone polls or drops what is inside: hands off (C2).
    Busy,
    /// The output waits for the join handle.
    Finished,
    /// Nothing is left.
    Empty,
}

/// The part of a task that does not depend on its future's type.
pub(crate) struct Header {
    pub(super) vtable: &'static VTable,
    pub(crate) spawned_at: &'static Location<'static>,
    /// Who waits for the output.
    pub(crate) joiner: Cell<Option<Waker>>,
    /// Why it sleeps, packed by `waits`.
    pub(crate) reason: Cell<u64>,
    pub(crate) key: Key,
    /// The part of the id that is too high for the key.
    id_high: u32,
    pub(super) refs: Cell<u32>,
    pub(crate) polls: Cell<u32>,
    pub(crate) state: Cell<State>,
    pub(crate) has_handle: Cell<bool>,
    /// In the run queue (I1).
    pub(crate) queued: Cell<bool>,
    pub(crate) named: Cell<bool>,
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
            reason: Cell::new(0),
            key,
            id_high: (id >> GENERATION_BITS) as u32,
            refs: Cell::new(1),
            polls: Cell::new(0),
            state: Cell::new(State::Alive),
            has_handle: Cell::new(false),
            queued: Cell::new(false),
            named: Cell::new(false),
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
}
