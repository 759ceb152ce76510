//! What tasks are called.
//! Few tasks have a name, so names live beside the tasks, in a table of the thread, and cost the others nothing.
//! Next: `task`, which asks for them.

use std::cell::RefCell;
use std::collections::HashMap;

use crate::cell::{Header, TaskRef};

thread_local! {
    /// By the address of the cell, which is the task's alone as long as it lives.
    static NAMES: RefCell<HashMap<*const Header, Box<str>>> = RefCell::default();
}

/// The name of a task, or `Task-N`.
pub(crate) fn name_of(task: &TaskRef) -> String {
    let header: *const Header = &raw const **task;
    let find = || NAMES.try_with(|names| names.borrow().get(&header).map(|name| name.to_string())).ok().flatten();
    task.named.get().then(find).flatten().unwrap_or_else(|| format!("Task-{}", task.id()))
}

/// Gives a task its name.
pub(crate) fn set_name(task: &TaskRef, name: Box<str>) {
    task.named.set(true);
    // A thread that is ending has no table any more: its tasks go by their numbers.
    let _ = NAMES.try_with(|names| names.borrow_mut().insert(&raw const **task, name));
}

/// The cell's memory is about to be another's.
#[cold]
pub(crate) fn forget(header: *const Header) {
    let _ = NAMES.try_with(|names| names.borrow_mut().remove(&header));
}
