//! Where task memory waits for its next task.
//! Every spawn needs memory and every end gives some back. A finished task's memory is kept here, by size, so that a
//! warm loop allocates nothing (`tests/allocations.rs` counts).
//!
//! ```text
//!   spawn ──► take(104 bytes) ──► class 6: [mem][mem][mem] ◄── keep ◄── the last reference to a finished task
//! ```
//!
//! One pool a thread, since tasks never leave theirs (I5).
//! Not here: what lies in the memory (`cell`).   Next: `executor`.

use std::alloc::Layout;
use std::cell::RefCell;

use crate::cell::Memory;

/// Classes of 16n + 8 bytes, the sizes that glibc's malloc hands out without waste; the largest is 1,016 bytes.
const CLASSES: usize = 64;
/// Pieces kept per class: a burst of a million tasks does not hold its memory for ever, ten thousand at a time allocate
/// nothing.
const KEPT: usize = 16 * 1024;

thread_local! {
    static POOL: RefCell<[Vec<Memory>; CLASSES]> = const { RefCell::new([const { Vec::new() }; CLASSES]) };
}

/// The layout that memory for a value of `layout` has: its class's, or its own if it has none.
pub(crate) const fn rounded(layout: Layout) -> Layout {
    let Some(class) = class_of(layout) else { return layout };
    match Layout::from_size_align(class * 16 + 8, 16) {
        Ok(layout) => layout,
        Err(_) => unreachable!(),
    }
}

/// Memory of a layout that is [`rounded`], recycled if there is any.
#[inline(always)] // the layout is known where it is called, and the class with it
pub(crate) fn take(layout: Layout) -> Memory {
    let recycled = class_of(layout).and_then(|class| POOL.try_with(|pool| pool.borrow_mut()[class].pop()).ok()?);
    recycled.unwrap_or_else(|| Memory::new(layout))
}

/// Keeps memory of a layout that is [`rounded`] for the next task, or frees it if there is enough, or the thread is
/// ending.
#[inline(always)] // as above
pub(crate) fn keep(memory: Memory, layout: Layout) {
    let Some(class) = class_of(layout) else { return };
    let _ = POOL.try_with(|pool| {
        let kept = &mut pool.borrow_mut()[class];
        if kept.len() < KEPT {
            kept.push(memory);
        }
    });
}

const fn class_of(layout: Layout) -> Option<usize> {
    let class = layout.size().saturating_sub(8).div_ceil(16);
    if class < CLASSES && layout.align() <= 16 { Some(class) } else { None }
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
        let kept = || POOL.with_borrow(|pool| pool[class_of(layout).unwrap()].len());
        keep(take(layout), layout);
        assert_eq!(kept(), 1);
        let again = take(layout);
        assert_eq!(kept(), 0);
        drop(again);
    }
}
