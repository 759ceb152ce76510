//! Who waits for which source.
//! A source is something with a file descriptor that the kernel watches for us. It is ready or not in each direction,
//! and futures wait for either.
//!
//! ```text
//!   token = (index, generation) ──► Source ─┬─ Read:  ready?  latest, waiters
//!                                           └─ Write: ready?  latest, waiters
//! ```
//!
//! The kernel tells only changes (edge-triggered), so a direction stays ready until an operation finds that it is not.
//! Hang-up and error wake both directions: whoever waits there must learn of it.
//! An event for a source that is gone, or whose entry is another's by now, is counted and ignored (I4).
//!
//! Nothing here wakes, clones or drops a waker: they come in and go out by value (I3).
//! Next: `reactor`, which feeds events in; `async_fd`, which waits.

use std::task::Waker;

use slab::Slab;

/// Which way bytes go.
///
/// ```
/// # use windlass_reactor::windlass;
/// # windlass_reactor::doc_pair(async |ours, _theirs| {
/// use windlass::io::Direction;
/// assert!(ours.is_ready(Direction::Write)? && !ours.is_ready(Direction::Read)?);
/// # Ok(()) });
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Direction {
    /// From the source to us.
    Read,
    /// From us to the source.
    Write,
}

/// Names a registered source; in a mio token's 64 bits: index and generation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct SourceKey {
    index: u32,
    generation: u32,
}

impl SourceKey {
    pub(crate) fn index(self) -> u32 {
        self.index
    }

    pub(crate) fn to_token(self) -> mio::Token {
        mio::Token((self.index as usize) << 32 | self.generation as usize)
    }

    pub(crate) fn from_token(token: mio::Token) -> Self {
        SourceKey { index: (token.0 >> 32) as u32, generation: token.0 as u32 }
    }
}

/// What an event says.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Happened {
    pub(crate) readable: bool,
    pub(crate) writable: bool,
    /// The peer has ended its side, or both sides, or there is an error: reading will say which.
    pub(crate) read_closed: bool,
    /// Writing will fail.
    pub(crate) write_closed: bool,
    /// Urgent data came: a read ends in front of it, whatever follows.
    pub(crate) urgent: bool,
}

#[derive(Default)]
pub(crate) struct Side {
    pub(crate) ready: bool,
    /// An error or a hang-up was seen, and behind the data there is an end to be read; or urgent data, and there is more
    /// behind that: a short read does not mean drained.
    exceptional: bool,
    /// The last task that polled: `poll_` functions have one place to wait in.
    latest: Option<Waker>,
    /// Futures that wait, each by its own number.
    waiters: Vec<(u32, Waker)>,
}

struct Source {
    generation: u32,
    read: Side,
    write: Side,
    next_waiter: u32,
}

impl Source {
    fn side(&mut self, direction: Direction) -> &mut Side {
        match direction {
            Direction::Read => &mut self.read,
            Direction::Write => &mut self.write,
        }
    }
}

/// The loop's sources.
#[derive(Default)]
pub(crate) struct Sources {
    entries: Slab<Source>,
    generation: u32,
}

/// Wakers on their way out of a borrow.
pub(crate) type Wakers = Vec<Waker>;

impl Sources {
    /// A place for a source whose directions are as yet unknown, but for writing, which is worth a try.
    pub(crate) fn insert(&mut self) -> SourceKey {
        // Generations start at 1 and wrap: a number comes back to an index after 4 billion registrations at the least.
        self.generation = self.generation.wrapping_add(1).max(1);
        let write = Side { ready: true, ..Side::default() };
        let source = Source { generation: self.generation, read: Side::default(), write, next_waiter: 0 };
        let index = self.entries.insert(source);
        let index = u32::try_from(index).expect("fewer descriptors than 2^32");
        SourceKey { index, generation: self.generation }
    }

    /// Takes a source out; its wakers come back to be dropped, or woken so that they learn of it.
    pub(crate) fn remove(&mut self, key: SourceKey, wakers: &mut Wakers) {
        if self.get(key).is_some() {
            let mut source = self.entries.remove(key.index as usize);
            source.read.take(wakers);
            source.write.take(wakers);
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    #[inline]
    fn get(&mut self, key: SourceKey) -> Option<&mut Source> {
        self.entries.get_mut(key.index as usize).filter(|source| source.generation == key.generation)
    }

    /// One direction of a source. None if the key is stale.
    #[inline]
    pub(crate) fn side(&mut self, key: SourceKey, direction: Direction) -> Option<&mut Side> {
        self.get(key).map(|source| source.side(direction))
    }

    /// Enters what has happened; who must hear of it goes to `wakers`. False if the key is stale.
    #[inline]
    pub(crate) fn mark(&mut self, key: SourceKey, happened: Happened, wakers: &mut Wakers) -> bool {
        let Some(source) = self.get(key) else { return false };
        // A closed direction is ready: the operation will not block, it will tell.
        let Happened { readable, writable, read_closed, write_closed, urgent } = happened;
        if readable || read_closed || urgent {
            source.read.ready = true;
            source.read.exceptional |= read_closed || urgent;
            source.read.take(wakers);
        }
        if writable || write_closed {
            source.write.ready = true;
            source.write.exceptional |= write_closed;
            source.write.take(wakers);
        }
        true
    }

    /// As after 4 billion registrations: the next but one has the generation of the first.
    #[cfg(test)]
    pub(crate) fn start_generations_over(&mut self) {
        self.generation = u32::MAX - 1;
    }

    /// A number for one future's waiting on this source. None if the key is stale.
    pub(crate) fn waiter(&mut self, key: SourceKey) -> Option<u32> {
        let source = self.get(key)?;
        source.next_waiter = source.next_waiter.wrapping_add(1);
        Some(source.next_waiter)
    }
}

impl Side {
    #[inline]
    fn take(&mut self, wakers: &mut Wakers) {
        if let Some(latest) = self.latest.take() {
            wakers.push(latest);
        }
        if !self.waiters.is_empty() {
            self.take_waiters(wakers); // to drain nothing costs as much as all the rest
        }
    }

    #[cold]
    fn take_waiters(&mut self, wakers: &mut Wakers) {
        wakers.extend(self.waiters.drain(..).map(|(_, waker)| waker));
    }

    /// The operation would have blocked.
    pub(crate) fn clear(&mut self) {
        self.ready = false;
    }

    pub(crate) fn is_exceptional(&self) -> bool {
        self.exceptional
    }

    /// An operation did less than it was asked for: the buffer in the kernel is empty, or full, unless it is known that
    /// this need not be so.
    #[inline]
    pub(crate) fn drained(&mut self) {
        self.ready = self.exceptional;
    }

    /// Whoever polled last waits; the waker that waited comes back.
    #[inline]
    pub(crate) fn wait_latest(&mut self, waker: Waker) -> Option<Waker> {
        self.latest.replace(waker)
    }

    /// The future with this number waits; a waker it waited with comes back.
    pub(crate) fn wait(&mut self, waiter: u32, waker: Waker) -> Option<Waker> {
        match self.waiters.iter_mut().find(|(number, _)| *number == waiter) {
            Some((_, waiting)) => Some(std::mem::replace(waiting, waker)),
            None => {
                self.waiters.push((waiter, waker));
                None
            }
        }
    }

    /// The future with this number waits no more.
    pub(crate) fn forget(&mut self, waiter: u32) -> Option<Waker> {
        let place = self.waiters.iter().position(|(number, _)| *number == waiter)?;
        Some(self.waiters.remove(place).1)
    }
}
