//! Where memory waits for its next task.
//! Every spawn needs memory and every end gives some back; so does every oneshot. What is given back is kept here, by size,
//! so that a warm loop allocates nothing (`tests/allocations.rs` counts).
//!
//! ```text
//!   spawn ──► take(104 bytes) ──► class 6: [mem][mem][mem] ◄── keep ◄── the last reference to a task, the last half
//! ```
//!
//! One pool a loop. What outlives its loop, by a join handle or a half, is freed; so is what the pool has when its loop goes.
//! Not here: what lies in the memory (`cell`).   Next: `executor`.

use std::alloc::Layout;
use std::cell::Cell;
use std::ptr::NonNull;

/// Classes of 16n + 8 bytes, the sizes that glibc's malloc hands out without waste; the largest is 1,016 bytes.
pub(super) const CLASSES: usize = 64;
/// Pieces kept per class: a burst of a million tasks does not hold its memory for ever, ten thousand at a time allocate
/// nothing.
pub(super) const KEPT: usize = 16 * 1024;

/// What one loop keeps, by class.
pub(crate) struct Pool(pub(super) [Kept; CLASSES]);

/// Pieces of one class, each with the address of the next in it.
#[derive(Default)]
pub(super) struct Kept {
    pub(super) first: Cell<Option<NonNull<Piece>>>,
    pub(super) count: Cell<usize>,
}

/// The beginning of memory that is nobody's: the next piece.
pub(super) struct Piece(pub(super) Option<NonNull<Piece>>);

impl Default for Pool {
    fn default() -> Self {
        Pool([const { Kept { first: Cell::new(None), count: Cell::new(0) } }; CLASSES])
    }
}

impl Pool {
    /// The class, and its first piece; none if there is no such class, or nothing in it.
    #[inline(always)]
    pub(super) fn first(&self, class: usize) -> Option<(&Kept, NonNull<Piece>)> {
        let kept = self.0.get(class)?;
        kept.first.get().map(|first| (kept, first))
    }
}

/// The layout that memory for a value of `layout` has: its class's, or its own if it has none.
pub(super) const fn rounded(layout: Layout) -> Layout {
    if class_of(layout) < CLASSES { layout_of(class_of(layout)) } else { layout }
}

/// The layout of a class.
pub(super) const fn layout_of(class: usize) -> Layout {
    match Layout::from_size_align(class * 16 + 8, 16) {
        Ok(layout) => layout,
        Err(_) => unreachable!(),
    }
}

/// The class of a layout; of one that has none, a number past the last.
pub(super) const fn class_of(layout: Layout) -> usize {
    if layout.align() <= 16 { layout.size().saturating_sub(8).div_ceil(16) } else { CLASSES }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_holds_what_it_is_asked_for_and_is_its_own_class() {
        for size in 1..=1016 {
            let layout = Layout::from_size_align(size, 8).unwrap();
            let rounded = rounded(layout);
            assert!(rounded.size() >= size && rounded.size() < size + 24, "{size} became {rounded:?}");
            assert_eq!(class_of(rounded), class_of(layout));
        }
    }

    #[test]
    fn what_is_too_large_or_too_aligned_goes_past_the_pool() {
        let large = Layout::from_size_align(1017, 8).unwrap();
        let aligned = Layout::from_size_align(64, 64).unwrap();
        assert_eq!(rounded(large), large);
        assert_eq!(rounded(aligned), aligned);
    }

    #[test]
    fn memory_that_was_kept_is_taken_again() {
        let layout = rounded(Layout::from_size_align(700, 8).unwrap());
        let (pool, class) = (Pool::default(), class_of(layout));
        let place = pool.take(layout, class);
        assert!(pool.keep(place.cast(), class));
        assert_eq!((pool.0[class].count.get(), pool.take(layout, class)), (1, place));
        assert!(pool.first(class).is_none());
        assert!(pool.keep(place.cast(), class)); // and freed with the pool
    }
}
