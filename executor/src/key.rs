//! The number that stands for a task outside its loop.
//!
//! ```text
//!   63        52 51                     26 25                      0
//!   ┌───────────┬─────────────────────────┬────────────────────────┐
//!   │  loop 12  │      generation 26      │        index 26        │
//!   └───────────┴─────────────────────────┴────────────────────────┘
//! ```
//!
//! The generation is the low part of the task's id, which counts up for the loop's life: an index that is used again
//! gets another generation, and the old number then names nobody (I4). What happens when a field runs out:
//! - **loop**: the 4,096th loop at one time is refused by its builder; numbers of loops that are gone are used
//!   again, the one longest unused first.
//! - **index**: the 67,108,865th task alive at one time makes `spawn` panic and say so.
//! - **generation**: after 2^26 spawns it starts over. A waker kept that long, whose index is in use by the one task in
//!   67 million with its generation, wakes it once for nothing: spurious, which is legal.
//!
//! Next: `inbox`, where numbers from other threads arrive.

const INDEX_BITS: u32 = 26;
pub(crate) const GENERATION_BITS: u32 = 26;
const LOOP_BITS: u32 = 64 - INDEX_BITS - GENERATION_BITS;

/// Numbers for the loops of a process; 0 is no loop's, so one fewer may be alive at one time.
pub(crate) const LOOPS_MAX: usize = 1 << LOOP_BITS;
/// Tasks that may be alive at one time in a loop.
pub(crate) const TASKS_MAX: usize = 1 << INDEX_BITS;

/// Which task of which loop: what a waker carries. No loop has the number 0, so no key is all zeros.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub(crate) struct Key(u64);

impl Key {
    /// The key of the task with `id` at `index`; none when the index has no room in the number.
    #[inline]
    pub(crate) fn new(loop_id: u16, index: usize, id: u64) -> Option<Key> {
        debug_assert!((loop_id as usize) < LOOPS_MAX);
        let generation = id & ((1 << GENERATION_BITS) - 1);
        (index < TASKS_MAX)
            .then_some(Key((loop_id as u64) << (64 - LOOP_BITS) | generation << INDEX_BITS | index as u64))
    }

    #[inline]
    pub(crate) fn loop_id(self) -> u16 {
        (self.0 >> (64 - LOOP_BITS)) as u16
    }

    /// True if both are of one loop.
    #[inline]
    pub(crate) fn same_loop(self, other: Key) -> bool {
        (self.0 ^ other.0) >> (64 - LOOP_BITS) == 0
    }

    #[inline]
    pub(crate) fn index(self) -> usize {
        self.0 as usize & (TASKS_MAX - 1)
    }

    #[inline]
    pub(crate) fn generation(self) -> u32 {
        (self.0 >> INDEX_BITS) as u32 & ((1 << GENERATION_BITS) - 1)
    }

    /// A key that names no task.
    pub(crate) const NONE: Key = Key(0);

    #[inline]
    pub(crate) fn to_bits(self) -> u64 {
        self.0
    }

    #[inline]
    pub(crate) fn from_bits(bits: u64) -> Key {
        Key(bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_gives_back_what_went_in_at_every_limit() {
        for loop_id in [0, 1, LOOPS_MAX as u16 - 1] {
            for index in [0, 1, TASKS_MAX - 1] {
                for id in [0, 1, (1 << 26) - 1] {
                    let key = Key::from_bits(Key::new(loop_id, index, id).unwrap().to_bits());
                    assert_eq!((key.loop_id(), key.index(), key.generation() as u64), (loop_id, index, id));
                }
            }
        }
    }

    #[test]
    fn an_index_without_room_has_no_key() {
        assert!(Key::new(0, TASKS_MAX, 0).is_none());
    }

    #[test]
    fn the_generation_starts_over_after_67_million_spawns() {
        assert!(Key::new(3, 5, 7) == Key::new(3, 5, 7 + (1 << 26)));
        assert!(Key::new(3, 5, 7) != Key::new(3, 5, 8));
    }
}
