//! A loop, seen from another thread.
//! What may cross is a closure that is `Send`; the future it makes need not be. What comes back is the task's outcome, or
//! values one by one.
//!
//! ```text
//!   thread                                             the loop's thread
//!   spawn_with(make) ──► inbox ──────────────────────► make() ──► a task
//!   RemoteHandle: join(), .await ◄── mutex, waker ◄─── its outcome, when it ends
//!   Sender: send ──► mutex, queue ── waker ──────────► Receiver: recv
//! ```
//!
//! This is the one place besides the blocking pool where tasks and threads share memory, and so it has locks; what tasks
//! of one loop share among themselves is in [`sync`](crate::sync), and has none. Nothing foreign runs under these locks.
//! Next: `remote/handle`, an outcome on its way; `remote/channel`; `inbox`, which carries the closure.

use std::fmt;
use std::panic::Location;
use std::pin::pin;
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread, ThreadId};

#[cfg(loom)]
use loom::sync::{Mutex, MutexGuard};
#[cfg(not(loom))]
use std::sync::{Mutex, MutexGuard};

use crate::cell::with_current;
use crate::executor::Executor;
use crate::inbox::{LoopId, post};
use crate::join::quietly;

mod channel;
mod handle;
#[cfg(all(test, loom))]
mod loom_models;
#[cfg(test)]
mod tests;

pub use crate::sync::mpsc::{SendError, TryRecvError, TrySendError};
pub use channel::{Receiver, Sender, channel};
pub use handle::RemoteHandle;

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
    /// Where the loop is.
    thread: ThreadId,
}

/// The loop is gone.
///
/// ```
/// # use windlass_executor::{Closed, Executor, Remote};
/// let remote = Remote::new(&Executor::new(|| {}).unwrap()); // which is dropped right here
/// assert_eq!(remote.spawn_with(|| async {}).unwrap_err(), Closed);
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
        Remote { id: executor.id(), thread: thread::current().id() } // an executor never leaves its thread
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

    /// Spawns, on the loop's thread, the future that `make` makes there. A loop that is between two runs does it when it
    /// runs again. Dropping the handle detaches the task.
    ///
    /// # Errors
    /// [`Closed`] if the loop is gone.
    ///
    /// ```
    /// # use windlass_executor::{Executor, Remote};
    /// let executor = Executor::new(|| {}).unwrap();
    /// let remote = Remote::new(&executor);
    /// let spawned = std::thread::spawn(move || remote.spawn_with(|| async { "on the loop's thread" })).join().unwrap();
    /// drop(executor); // which never ran
    /// assert!(spawned.unwrap().join().unwrap_err().is_cancelled());
    /// assert!(remote.spawn_with(|| async {}).is_err());
    /// ```
    #[track_caller]
    pub fn spawn_with<F, M>(&self, make: M) -> Result<RemoteHandle<F::Output>, Closed>
    where
        M: FnOnce() -> F + Send + 'static,
        F: Future<Output: Send + 'static> + 'static,
    {
        let (handle, promise) = handle::new(self.thread, Location::caller());
        post(self.id, Box::new(move || promise.begin(make))).map_err(|_gone| Closed)?;
        Ok(handle)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Foreign calls run outside the locks, so poison would mean nothing.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whoever's waker it is, a panic in it is not the caller's: he would lose what he has just done.
fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        quietly(|| waker.wake());
    }
}

/// Polls `future` on this thread, which sleeps in between.
#[track_caller]
fn block_on<F: Future>(caller: &str, future: F) -> F::Output {
    let in_loop = with_current(|core| core.is_some());
    assert!(!in_loop, "{caller} called inside a running loop, which would stop for it: await instead");
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        thread::park(); // which may end for nothing, and is not entered after a wake
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}
