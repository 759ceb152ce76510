//! A loop, seen from another thread.
//! What may cross is a closure that is `Send`; the future it makes need not be.
//! Next: `inbox`, which carries it.

use std::fmt;
use std::panic::Location;

use crate::cell::with_current;
use crate::executor::{Core, Executor};
use crate::inbox::{LoopId, post};
use crate::join;

/// Spawns tasks on a loop from any thread.
///
/// ```
/// use windlass_executor::{Executor, Remote};
/// fn may_go_anywhere<T: Copy + Send + Sync>(_: T) {}
/// may_go_anywhere(Remote::new(&Executor::new(|| {}).unwrap()));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Remote {
    id: LoopId,
}

/// The loop is gone.
///
/// ```
/// # use windlass_executor::{Closed, Executor, Remote};
/// let remote = Remote::new(&Executor::new(|| {}).unwrap()); // which is dropped right here
/// assert_eq!(remote.spawn_with(|| async {}), Err(Closed));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Closed;

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the loop is gone")
    }
}

impl std::error::Error for Closed {}

impl Remote {
    /// A way to `executor` from anywhere.
    ///
    /// ```
    /// # use windlass_executor::{Executor, Remote};
    /// let executor = Executor::new(|| {}).unwrap();
    /// assert!(Remote::new(&executor).spawn_with(|| async {}).is_ok());
    /// ```
    pub fn new(executor: &Executor) -> Self {
        Remote { id: executor.id() }
    }

    /// The loop it leads to.
    ///
    /// ```
    /// # use windlass_executor::{Executor, Remote};
    /// # let executor = Executor::new(|| {}).unwrap();
    /// assert_eq!(Remote::new(&executor).id(), executor.id());
    /// ```
    pub fn id(&self) -> LoopId {
        self.id
    }

    /// Spawns, on the loop's thread, the future that `make` makes there. It is detached; a loop that is between two
    /// runs does it when it runs again.
    ///
    /// # Errors
    /// [`Closed`] if the loop is gone.
    ///
    /// ```
    /// # use windlass_executor::{Executor, Remote};
    /// let executor = Executor::new(|| {}).unwrap();
    /// let remote = Remote::new(&executor);
    /// std::thread::spawn(move || remote.spawn_with(|| async { println!("on the loop's thread") }).unwrap()).join().unwrap();
    /// drop(executor);
    /// assert!(remote.spawn_with(|| async {}).is_err());
    /// ```
    #[track_caller]
    pub fn spawn_with<F, M>(&self, make: M) -> Result<(), Closed>
    where
        M: FnOnce() -> F + Send + 'static,
        F: Future<Output: 'static> + 'static,
    {
        let at = Location::caller();
        let call = move || {
            let future = make();
            let spawn =
                |core: Option<&Core>| core.expect("a loop reads its inbox while entered").spawn(future, None, at);
            join::admit(&with_current(spawn), Core::admit_to_current);
        };
        post(self.id, Box::new(call)).map_err(|_gone| Closed)
    }
}
