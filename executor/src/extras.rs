//! What few tasks have.
//! A name, a cancellation under way, somebody who watches for the end: such things lie beside the tasks, in a table of the
//! thread, and cost the others nothing but a bit.
//! Next: `cancel`, which keeps most of it; `task`, which asks for names.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt::Write;
use std::hash::{BuildHasherDefault, Hasher};

use crate::cancel::Nodes;
use crate::cell::{Header, State, TaskRef};
use crate::join::Watcher;

/// What is kept for one task.
#[derive(Default)]
pub(crate) struct Extras {
    name: Option<Box<str>>,
    pub(crate) nodes: Nodes,
    pub(crate) watchers: Watchers,
}

/// Who is told of a task's end, in the order in which they came. Mostly there is one; some tasks are shared by thousands,
/// who leave in any order.
#[derive(Default)]
pub(crate) struct Watchers {
    /// In the order of their numbers. Who has left leaves a gap; no more than half are gaps.
    line: Vec<(u64, Option<Watcher>)>,
    gaps: usize,
}

impl Watchers {
    /// Adds one at the end. The number is for [`remove`](Watchers::remove).
    pub(crate) fn add(&mut self, watcher: Watcher) -> u64 {
        let number = self.line.last().map_or(0, |(last, _)| last + 1);
        if self.line.is_empty() {
            self.line.reserve_exact(1);
        }
        self.line.push((number, Some(watcher)));
        number
    }

    /// Takes one out, if it is there.
    pub(crate) fn remove(&mut self, number: u64) -> Option<Watcher> {
        let place = self.line.binary_search_by_key(&number, |(number, _)| *number).ok()?;
        let watcher = self.line[place].1.take()?;
        self.gaps += 1;
        if self.gaps * 2 > self.line.len() {
            self.line.retain(|(_, watcher)| watcher.is_some());
            self.gaps = 0;
        }
        Some(watcher)
    }

    /// All of them, in their order.
    pub(crate) fn into_all(self) -> impl Iterator<Item = Watcher> {
        self.line.into_iter().filter_map(|(_, watcher)| watcher)
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.line.len() - self.gaps
    }
}

thread_local! {
    /// By the address of the cell, which is the task's alone as long as it lives.
    static EXTRAS: RefCell<HashMap<*const Header, Extras, BuildHasherDefault<ByAddress>>> = RefCell::default();
}

/// Calls `f` with what is kept for `task`, made if it is not there. None if the thread is ending. `f` must call nothing
/// foreign (I3).
pub(crate) fn with<R>(task: &TaskRef, f: impl FnOnce(&mut Extras) -> R) -> Option<R> {
    task.extras.set(true);
    EXTRAS.try_with(|all| f(all.borrow_mut().entry(&raw const **task).or_default())).ok()
}

/// As [`with`], of a task for which something is kept.
pub(crate) fn look<R>(task: &TaskRef, f: impl FnOnce(&mut Extras) -> R) -> Option<R> {
    let there = task.extras.get();
    there.then(|| with(task, f)).flatten()
}

/// The name of a task: its own, `main` or `Task-N`.
pub(crate) fn name_of(task: &TaskRef) -> String {
    let mut name = String::new();
    append_name(task, &mut name);
    name
}

/// Appends the name of a task: its own, `main` or `Task-N`.
pub(crate) fn append_name(task: &TaskRef, text: &mut String) {
    let named = look(task, |extras| extras.name.as_deref().map(|name| text.push_str(name))).flatten();
    match task.state.get() {
        _ if named.is_some() => {}
        State::Root => text.push_str("main"), // it has no name of its own, so that it has no extras
        _ => write!(text, "Task-{}", task.id()).expect("a string takes what is written"),
    }
}

/// Gives the task its name.
pub(crate) fn set_name(task: &TaskRef, name: Box<str>) {
    // A thread that is ending has no table any more: its tasks go by their numbers.
    with(task, |extras| extras.name = Some(name));
}

/// The cell's memory is about to be another's.
#[cold]
pub(crate) fn forget(header: *const Header) {
    let forgotten = EXTRAS.try_with(|all| all.borrow_mut().remove(&header));
    drop(forgotten); // with nothing borrowed (I3)
}

/// Cells are apart by their size: the address, spread by a multiplication (Fibonacci hashing, Knuth vol. 3, 6.4), is hash
/// enough, and nobody chooses it.
#[derive(Default)]
struct ByAddress(u64);

impl Hasher for ByAddress {
    fn write(&mut self, _: &[u8]) {
        unreachable!("an address is hashed as a number");
    }

    fn write_usize(&mut self, address: usize) {
        self.0 = (address as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn finish(&self) -> u64 {
        self.0.rotate_left(32)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::rc::Rc;
    use std::task::Waker;

    use super::*;
    use crate::tests::Random;

    #[test]
    fn one_watcher_takes_no_more_than_its_place() {
        let mut watchers = Watchers::default();
        watchers.add(Watcher::Wake(Waker::noop().clone()));
        assert_eq!((watchers.line.capacity(), size_of_val(&watchers.line[0])), (1, 32));
    }

    /// The watchers are lists' slots here, so that each can be told from the others.
    #[test]
    fn whoever_leaves_in_whatever_order_the_others_stay_in_theirs() {
        let slot = |watcher| if let Watcher::List(_, slot) = watcher { slot } else { unreachable!("all are") };
        for seed in 1..=100 {
            println!("seed {seed}");
            let mut random = Random(seed);
            let (mut watchers, mut model, mut numbers) = (Watchers::default(), BTreeMap::new(), Vec::new());
            for next in 0..random.below(200) {
                let number = watchers.add(Watcher::List(Rc::default(), next));
                assert!(model.insert(number, next).is_none(), "two have one number");
                numbers.push(number);
                while random.below(2) == 0 {
                    let number = numbers[random.below(numbers.len())]; // who may be gone
                    assert_eq!(watchers.remove(number).map(slot), model.remove(&number));
                }
                assert_eq!(watchers.len(), model.len());
                assert!(watchers.line.len() <= 2 * model.len(), "who is gone takes no room");
            }
            assert!(watchers.into_all().map(slot).eq(model.into_values()));
        }
    }
}
