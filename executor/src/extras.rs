//! What few tasks have.
//! A name, a cancellation under way, somebody who watches for the end: such things lie beside the tasks, in a table of the
//! thread, and cost the others nothing but a bit.
//! Next: `cancel`, which keeps most of it; `task`, which asks for names.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
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
    /// Who is told of its end, in this order.
    pub(crate) watchers: BTreeMap<u64, Watcher>,
    /// What runs after its end.
    pub(crate) calls: Vec<Box<dyn FnOnce()>>,
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
