//! Who is still here when a loop is about to end.
//! Each is asked to stop, and may clean up; whoever owns the loop goes on turning it until all have, or until it has had
//! enough of that.
//!
//! ```text
//!   Executor::cancel_tasks ──► asked, in the order of their numbers ──► turn, turn … ──► any_alive? no: drop the loop
//! ```
//!
//! Not here: how long to wait (the facade's runner).   Next: `cancel`.

use std::fmt;
use std::sync::Arc;

use crate::cancel::{self, Cancelled};
use crate::cell::{State, TaskRef, with_current};
use crate::executor::{Core, Executor};
use crate::task::TaskInfo;

/// The tasks that were asked to stop by [`Executor::cancel_tasks`].
///
/// ```
/// # use std::cell::Cell;
/// # use windlass_executor::{cancel::catch, yield_now};
/// # windlass_executor::doc_entered(|executor| {
/// let _polite = executor.spawn(async {
///     let _asked = catch(std::future::pending::<()>()).await;
///     yield_now().await; // says good-bye
/// });
/// executor.run(&Cell::new(1));
/// let mut leftovers = executor.cancel_tasks("closing time");
/// assert!(leftovers.any_alive());
/// executor.run(&Cell::new(2));
/// assert!(!leftovers.any_alive());
/// # });
/// ```
pub struct Leftovers {
    tasks: Vec<TaskRef>,
}

impl Executor {
    /// Asks all tasks but the main future to stop, in the order of their numbers, and says why. The loop must be entered.
    ///
    /// ```
    /// # windlass_executor::doc_entered(|executor| {
    /// let task = executor.spawn(std::future::pending::<()>());
    /// executor.cancel_tasks("closing time");
    /// assert!(task.is_finished()); // it catches nothing
    /// # });
    /// ```
    pub fn cancel_tasks(&self, why: impl Into<Arc<str>>) -> Leftovers {
        let (mut tasks, why) = (self.tasks(), why.into());
        tasks.retain(|task| task.state.get() != State::Root);
        tasks.sort_by_key(|task| task.id());
        for task in &tasks {
            cancel::request(task, Cancelled::because(why.clone()));
        }
        tasks.reverse();
        Leftovers { tasks }
    }
}

impl Leftovers {
    /// Whether one of them has not ended. All calls together take as many steps as there are tasks.
    ///
    /// ```
    /// # windlass_executor::doc_entered(|executor| {
    /// assert!(!executor.cancel_tasks("closing time").any_alive()); // there were none
    /// # });
    /// ```
    pub fn any_alive(&mut self) -> bool {
        while self.tasks.last().is_some_and(|task| !is_alive(task)) {
            self.tasks.pop();
        }
        !self.tasks.is_empty()
    }

    /// Those that have not ended, in the order of their numbers. The loop must be entered.
    ///
    /// ```
    /// # windlass_executor::doc_entered(|executor| {
    /// assert!(executor.cancel_tasks("closing time").alive().is_empty());
    /// # });
    /// ```
    pub fn alive(&self) -> Vec<TaskInfo> {
        let alive = self.tasks.iter().rev().filter(|task| is_alive(task));
        with_current(|core: Option<&Core>| alive.filter_map(|task| core?.info(task)).collect())
    }
}

fn is_alive(task: &TaskRef) -> bool {
    matches!(task.state.get(), State::Alive | State::Requested | State::Busy)
}

impl fmt::Debug for Leftovers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.tasks).finish()
    }
}
