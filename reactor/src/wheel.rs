//! Who is woken when.
//!
//! Most timers are time-outs, and most time-outs are cancelled: thousands are set for one that fires. So setting and
//! cancelling must cost a handful of instructions, whatever else is pending, and only firing may cost more.
//!
//! A deadline is a number of nanoseconds, and the wheel reads it as eight digits and a rest:
//!
//! ```text
//!     bit 63                                                       16 15          0
//!       ┌─────────┬─────────┬─────────┬── · · ──┬─────────┬─────────┬─────────────┐
//!       │ level 7 │ level 6 │ level 5 │         │ level 1 │ level 0 │  16 bits    │
//!       └─────────┴─────────┴─────────┴── · · ──┴─────────┴─────────┴─────────────┘
//!         9 years   52 days   20 hours            4 ms      66 µs     <- how long a slot lasts
//!
//!     level = the highest digit in which the deadline differs from now
//!     slot  = that digit of the deadline              (64 slots a level, one bit each in a word)
//!
//!     slot ──► head ◄──► timer ◄──► tail    in order of insertion;   slot.earliest <= every deadline in it
//! ```
//!
//! A slot is only a place to wait: deadlines stay exact, to the nanosecond. What the digits give is an order: all of a
//! level comes before all of the next, and within a level the slots come in turn. The next deadline is therefore the
//! `earliest` of the first occupied slot of the lowest occupied level. When now moves on, the slots that it has passed
//! fire as a whole, however far it went; at most one slot is reached and not passed, and what is not due in it moves to
//! lower levels. A timer moves at most once per level in its life, and nobody wakes up just to move one.
//!
//! Eight levels hold every `u64`: nothing wraps around, no deadline is too far, and `u64::MAX` is never.
//!
//! A time-out is mostly over within the turn of the loop that it was set in. So it need not say when it is due, only in
//! how long: it waits in a list beside the levels, where it costs no clock and no slot, until [`date`](Wheel::date) is
//! told what time it is and gives all of them their deadlines.
//!
//! ```text
//!     insert_undated(duration) ──► undated ── date(now) ──► slot of now + duration
//!                                     └── cancelled before: never saw a clock
//! ```
//!
//! Now never goes back, no timer fires early, no deadline is skipped (I6). No waker is cloned, dropped or woken in here:
//! wakers come in and go out by value, so that their code runs when the caller's borrow of the wheel is over (I3).
//!
//! Not here: what time it is (`clock`), who waits and why (`timer`). Next: `timer`.
//!
//! Hierarchical wheels: Varghese & Lauck 1987, scheme 7.

use std::task::Waker;

/// The lowest bits of a deadline choose no slot: a level-0 slot lasts 2^16 ns, about 66 µs. Finer would not be noticed
/// (the kernel adds 50 µs of slack to a wait), and 16 leaves a multiple of [`DIGIT_BITS`] for the levels.
const GRAIN_BITS: u32 = 16;

/// A digit of a deadline has 6 bits, so that the 64 slots of a level have their occupied bits in one word.
const DIGIT_BITS: u32 = 6;

const SLOTS: usize = 1 << DIGIT_BITS;
const LEVELS: usize = ((u64::BITS - GRAIN_BITS) / DIGIT_BITS) as usize;
const _: () = assert!(GRAIN_BITS + LEVELS as u32 * DIGIT_BITS == u64::BITS, "every u64 has a place");

/// The place of timers without a deadline: one more slot, in a level of its own that no digit leads to.
const UNDATED: usize = LEVELS * SLOTS;

/// No timer: the end of a list. An index never gets there, see [`Wheel::insert`].
const NIL: u32 = u32::MAX;

/// Names one pending timer; stale once that has fired or is cancelled.
///
/// A stale key does nothing (I4). It could only be taken for another timer's if its entry had been given to exactly a
/// multiple of 2^32 timers in between.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct TimerKey {
    index: u32,
    generation: u32,
}

/// A timer whose deadline has passed. To be woken after the borrow of the wheel has ended (I3).
#[derive(Debug)]
pub(crate) struct Fired {
    /// The deadline that was asked for, in nanoseconds since the loop's epoch.
    pub(crate) deadline: u64,
    /// Whom to wake.
    pub(crate) waker: Waker,
}

/// All pending timers of a loop.
///
/// Times are nanoseconds since the loop's epoch. It has no clock: now is what [`advance`](Wheel::advance) was last
/// told. Memory: 8 KiB, and 40 bytes for each timer of the largest number that was ever pending at once.
///
/// # Cancel
/// Dropping the wheel drops the wakers of all pending timers, which is foreign code: no borrow may be live (I3).
pub(crate) struct Wheel {
    now: u64,
    /// A bit for each slot that is not empty, a word for each level and one for the undated.
    occupied: [u64; LEVELS + 1],
    /// The slots of level 0, then those of level 1, and so on; at last that of the undated. Boxed, so that moving a loop
    /// does not move 8 KiB.
    slots: Box<[Slot; UNDATED + 1]>,
    entries: Vec<Entry>,
    /// The first of the vacant entries, which hang together by `next`.
    vacant: u32,
    /// How many timers were ever set, and how many of them are over. Their difference is pending.
    set: u64,
    over: u64,
}

/// A list of timers in order of insertion.
#[derive(Clone, Copy)]
struct Slot {
    /// No deadline in the slot is before this. Exact until a timer is cancelled: looking for the next one would cost a
    /// scan, while keeping the old one costs at most one idle wake-up, which then puts it right.
    earliest: u64,
    head: u32,
    tail: u32,
}

impl Slot {
    const EMPTY: Slot = Slot { earliest: u64::MAX, head: NIL, tail: NIL };
}

/// Room for a timer: 40 bytes.
struct Entry {
    /// While undated, the duration.
    deadline: u64,
    /// None while the entry is vacant.
    waker: Option<Waker>,
    prev: u32,
    next: u32,
    /// How many timers have had the entry before, so that their keys are known for stale.
    generation: u32,
    /// The index of its slot.
    place: u16,
}

impl Wheel {
    /// An empty wheel whose time is `now`.
    pub(crate) fn new(now: u64) -> Wheel {
        Wheel {
            now,
            occupied: [0; LEVELS + 1],
            slots: Box::new([Slot::EMPTY; UNDATED + 1]),
            entries: Vec::new(),
            vacant: NIL,
            set: 0,
            over: 0,
        }
    }

    /// Adds a timer that fires at the first [`advance`](Wheel::advance) to `deadline` or later; O(1).
    ///
    /// A deadline that has passed is legal and fires at the next advance. `u64::MAX` is never: it asks for no wake-up.
    ///
    /// # Panics
    /// With 2^32 - 1 timers pending, in 160 GiB.
    #[inline]
    pub(crate) fn insert(&mut self, deadline: u64, waker: Waker) -> TimerKey {
        self.insert_at(self.place(deadline), deadline, waker)
    }

    /// Adds a timer that fires `duration` after what the next [`date`](Wheel::date) is told, and until then does not
    /// count for [`next_deadline`](Wheel::next_deadline); O(1).
    ///
    /// # Panics
    /// As [`insert`](Wheel::insert).
    #[inline]
    pub(crate) fn insert_undated(&mut self, duration: u64, waker: Waker) -> TimerKey {
        self.insert_at(UNDATED, duration, waker)
    }

    /// Gives the undated timers their deadlines, counted from `now`; what is beyond `u64::MAX` is never. They take the
    /// place that insertion now would give them.
    #[inline]
    pub(crate) fn date(&mut self, now: u64) {
        let undated = std::mem::replace(&mut self.slots[UNDATED], Slot::EMPTY);
        self.occupied[LEVELS] = 0;
        let mut next = undated.head;
        while next != NIL {
            let index = next;
            let entry = &mut self.entries[index as usize];
            next = entry.next;
            entry.deadline = entry.deadline.saturating_add(now);
            self.move_to_place(index);
        }
    }

    #[inline(always)] // so that a place that is known costs nothing
    fn insert_at(&mut self, place: usize, deadline: u64, waker: Waker) -> TimerKey {
        let index = match self.vacant {
            NIL => self.grow(),
            vacant => vacant,
        };
        let entry = &mut self.entries[index as usize];
        self.vacant = entry.next;
        self.set += 1;
        entry.deadline = deadline;
        std::mem::forget(entry.waker.replace(waker)); // a vacant entry has none: there is nothing to drop
        let generation = entry.generation;
        self.append(place, index, deadline);
        TimerKey { index, generation }
    }

    /// A new vacant entry, the only one.
    #[cold]
    fn grow(&mut self) -> u32 {
        let index = self.entries.len();
        assert!(index < NIL as usize, "more than 2^32 - 1 timers pending");
        self.entries.push(Entry { deadline: 0, waker: None, prev: NIL, next: NIL, generation: 0, place: 0 });
        index as u32
    }

    /// Makes an entry vacant, and its keys stale. It is in no list any more, or its list is done with.
    #[inline]
    fn remove(&mut self, index: u32) -> Waker {
        let entry = &mut self.entries[index as usize];
        entry.generation = entry.generation.wrapping_add(1);
        entry.next = self.vacant;
        self.vacant = index;
        self.over += 1;
        entry.waker.take().expect("a pending timer has a waker")
    }

    /// Takes a timer out before it fires; O(1). `None` if it has fired or was cancelled before.
    ///
    /// The waker is the caller's to drop, after its borrow of the wheel has ended (I3).
    #[inline]
    pub(crate) fn cancel(&mut self, key: TimerKey) -> Option<Waker> {
        if !self.is_pending(key) {
            return None;
        }
        self.detach(key.index);
        Some(self.remove(key.index))
    }

    /// Gives a pending timer another deadline; O(1). False if it has fired or was cancelled before.
    pub(crate) fn reset(&mut self, key: TimerKey, deadline: u64) -> bool {
        let pending = self.is_pending(key);
        if pending {
            self.detach(key.index);
            self.entries[key.index as usize].deadline = deadline;
            self.move_to_place(key.index);
        }
        pending
    }

    /// Takes an entry out of its slot's list.
    #[inline]
    fn detach(&mut self, index: u32) {
        let Entry { prev, next, place, .. } = self.entries[index as usize];
        let slot = &mut self.slots[place as usize];
        match prev {
            NIL => slot.head = next,
            _ => self.entries[prev as usize].next = next,
        }
        match next {
            NIL => slot.tail = prev,
            _ => self.entries[next as usize].prev = prev,
        }
        if slot.head == NIL {
            slot.earliest = u64::MAX;
            self.occupied[place as usize / SLOTS] &= !(1 << (place as usize % SLOTS));
        }
    }

    /// The waker of a pending timer, to compare with that of the present poll. `None` if the key is stale.
    #[inline]
    pub(crate) fn waker(&self, key: TimerKey) -> Option<&Waker> {
        self.entries.get(key.index as usize).filter(|entry| entry.generation == key.generation)?.waker.as_ref()
    }

    /// Gives a pending timer another waker. The old one comes back, to be dropped after the borrow has ended (I3).
    ///
    /// # Errors
    /// The new waker comes back if the key is stale.
    #[inline]
    pub(crate) fn swap_waker(&mut self, key: TimerKey, waker: Waker) -> Result<Waker, Waker> {
        match self.entries.get_mut(key.index as usize) {
            Some(Entry { waker: Some(waiting), generation, .. }) if *generation == key.generation => {
                Ok(std::mem::replace(waiting, waker))
            }
            _ => Err(waker),
        }
    }

    /// Whether the timer has yet to fire.
    #[inline]
    pub(crate) fn is_pending(&self, key: TimerKey) -> bool {
        self.entries.get(key.index as usize).is_some_and(|entry| entry.generation == key.generation)
    }

    /// How many timers are pending.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        (self.set - self.over) as usize
    }

    /// How many timers were ever set, and how many of them have fired or were cancelled.
    pub(crate) fn set_and_over(&self) -> (u64, u64) {
        (self.set, self.over)
    }

    /// Whether no timer is pending.
    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// When the loop must wake up: the earliest deadline. `None` if there is none, or none but `u64::MAX`.
    ///
    /// Never later than the earliest deadline (I6). It may be earlier, by the deadline of a timer that was cancelled;
    /// advancing to it puts that right, so each cancelled timer costs at most one idle wake-up. O(levels).
    #[inline]
    pub(crate) fn next_deadline(&self) -> Option<u64> {
        let level = self.occupied[..LEVELS].iter().position(|&bits| bits != 0)?;
        let slot = self.occupied[level].trailing_zeros() as usize;
        let earliest = self.slots[level * SLOTS + slot].earliest;
        (earliest != u64::MAX).then_some(earliest)
    }

    /// Moves on to `now` and appends to `fired` all timers whose deadline is not after it: in order of their deadlines,
    /// and of their insertion where those are equal (or of their dating, if they were undated).
    ///
    /// A `now` before the present one is taken for the present one: clocks that go back move nothing (I6).
    /// Costs what fires and what moves to another level, however far it goes.
    #[inline]
    pub(crate) fn advance(&mut self, now: u64, fired: &mut Vec<Fired>) {
        let before = self.now;
        self.now = now.max(before);
        // In this level now has moved to another slot; in the levels above it has not moved at all.
        let top = level(before ^ self.now);
        for below in 0..top {
            // The whole level lies behind us.
            self.drain_all(below, self.occupied[below], fired);
        }
        let reached = u64::MAX >> (SLOTS - 1 - digit(self.now, top));
        self.drain_all(top, self.occupied[top] & reached, fired);
    }

    fn drain_all(&mut self, level: usize, mut slots: u64, fired: &mut Vec<Fired>) {
        while slots != 0 {
            self.drain(level * SLOTS + slots.trailing_zeros() as usize, fired);
            slots &= slots - 1;
        }
    }

    /// Empties a slot that now has reached: what is due fires, the rest finds its place anew, on a lower level or, from
    /// level 0, here again.
    fn drain(&mut self, place: usize, fired: &mut Vec<Fired>) {
        let Slot { earliest, head, .. } = self.slots[place];
        if place < SLOTS && earliest > self.now {
            return; // Level 0 with nothing due: all of it would come back.
        }
        self.slots[place] = Slot::EMPTY;
        self.occupied[place / SLOTS] &= !(1 << (place % SLOTS));

        let first_fired = fired.len();
        let mut next = head;
        while next != NIL {
            let index = next;
            let entry = &self.entries[index as usize];
            next = entry.next;
            if entry.deadline <= self.now {
                let deadline = entry.deadline;
                fired.push(Fired { deadline, waker: self.remove(index) });
            } else {
                self.move_to_place(index);
            }
        }
        // A slot's list is in order of insertion, also after a move: equal deadlines have always shared a slot, and
        // left it together. The sort is stable, so it keeps that order.
        fired[first_fired..].sort_by_key(|timer| timer.deadline);
    }

    #[inline]
    fn move_to_place(&mut self, index: u32) {
        let deadline = self.entries[index as usize].deadline;
        self.append(self.place(deadline), index, deadline);
    }

    /// The slot where a deadline waits, seen from now. What has passed waits with what is due now.
    #[inline]
    fn place(&self, deadline: u64) -> usize {
        let deadline = deadline.max(self.now);
        let level = level(deadline ^ self.now);
        level * SLOTS + digit(deadline, level)
    }

    /// Ties an entry to the end of a slot's list.
    #[inline]
    fn append(&mut self, place: usize, index: u32, deadline: u64) {
        let slot = &mut self.slots[place];
        let prev = slot.tail;
        slot.earliest = slot.earliest.min(deadline);
        slot.tail = index;
        match prev {
            NIL => {
                slot.head = index;
                self.occupied[place / SLOTS] |= 1 << (place % SLOTS);
            }
            _ => self.entries[prev as usize].next = index,
        }
        let entry = &mut self.entries[index as usize];
        entry.prev = prev;
        entry.next = NIL;
        entry.place = place as u16;
    }
}

/// The level of the highest digit in which two times differ, given their exclusive or.
#[inline]
fn level(difference: u64) -> usize {
    (difference >> GRAIN_BITS | 1).ilog2() as usize / DIGIT_BITS as usize
}

/// The digit of a time that chooses its slot in `level`.
#[inline]
fn digit(time: u64, level: usize) -> usize {
    (time >> (GRAIN_BITS as usize + level * DIGIT_BITS as usize)) as usize % SLOTS
}

#[cfg(test)]
mod tests;
