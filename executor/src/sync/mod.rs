//! Coordination of tasks: what several of them share, and how they wait for each other.
//!
//! ```text
//!   primitive:  a few plain counts  +  WaitList ──► who waits, first come, first served
//!                                         │ grant: written into the waiter's own entry, then it is woken
//!                                         ▼
//!                              polled: has it       dropped: passes it on
//! ```
//!
//! All are of one thread: no atomics, no locks underneath, `!Send`. Share them by reference or through [`Rc`](std::rc::Rc).
//! All work with any [`Waker`](std::task::Waker), not only with those of a loop, also with one whose clone, wake or drop
//! calls back into the same object. Within a loop a future that completes takes one unit of its task's
//! [budget](crate::budget); one that waits says for [what](crate::waits::WaitReason).
//!
//! A waker that panics as it is woken unwinds out of the call that wakes it. All else is as after the call: counts agree,
//! who was granted something has it, the others are woken. What the call would have returned is dropped on the way,
//! also a value just received, since nobody is left to take it.
//!
//! # Cancel
//! Whatever waits may be dropped at any time. It leaves its line at once; what it had been given and not yet used goes
//! to the next, in the same turn. Of what guards something:
//!
//! | dropped before it completed | what becomes of what it had been given |
//! |---|---|
//! | [`Semaphore::acquire`] and its kin | those behind it have the permits, as far as they suffice |
//! | [`Mutex::lock`], [`RwLock::read`], [`RwLock::write`] | the next in line has the lock |
//! | [`Notify::notified`] | the next in line is told, or it is stored; what all were told is not passed on |
//! | [`Condition::wait`] | the next in line is notified; the mutex is not locked again |
//! | [`Event::wait`] | nothing: it carries nothing |
//! | [`Barrier::wait`] | it has not come, unless all have |
//! | [`OnceCell::get_or_init`] | the next in line makes the value |
//! | [`CancellationToken::cancelled`], [`TaskTracker::wait`] | nothing: they carry nothing |
//! | [`CancellationToken::run_until_cancelled`] | its future is dropped with it |
//!
//! Of what is handed over:
//!
//! | dropped before it completed | what becomes of the value |
//! |---|---|
//! | [`oneshot::Receiver`] itself | dropped, and the sender is told; `&mut receiver` instead: nothing |
//! | [`mpsc::Sender::send`], [`Queue::put`] | dropped with the future, not sent; [`mpsc::Sender::reserve`] keeps it with the caller |
//! | [`mpsc::Receiver::recv`], [`recv_many`](mpsc::Receiver::recv_many) | it stays in the channel |
//! | [`Queue::get`] | it stays in the queue, for the next in line |
//! | [`broadcast::Receiver::recv`] | it counts as unread |
//! | [`watch::Receiver::changed`] | the change counts as unseen |
//! | `closed`, [`Queue::join`] | nothing: they carry no value |
//!
//! A future that is in line, or has been given something, and is neither polled nor dropped holds up those behind it. So
//! of two futures of one task that wait for the same thing, await both, or drop one.
//!
//! Read in this order: `wait_list` (who waits), `permits` (how many may), `semaphore`, `mutex`, `rwlock`, `until` (where all
//! go at once), `event`, `notify`, `condition`, `barrier`, `once_cell`, `cancellation_token`, `task_tracker`; then what hands
//! values over: `waker_slot` (where one waits), [`oneshot`], [`mpsc`], [`broadcast`], [`watch`], [`queue`], `backpressure`.

mod backpressure;
mod barrier;
pub mod broadcast;
mod cancellation_token;
mod condition;
mod error;
mod event;
pub mod mpsc;
mod mutex;
mod notify;
mod once_cell;
pub mod oneshot;
mod permits;
pub mod queue;
mod rwlock;
mod semaphore;
mod task_tracker;
mod until;
mod wait_list;
mod waker_slot;
pub mod watch;

pub use backpressure::{BackpressureQueue, BackpressureStats};
pub use barrier::{Barrier, BarrierWaitResult, BrokenBarrier};
pub use cancellation_token::{CancellationToken, DropGuard};
pub use condition::Condition;
pub use event::Event;
pub use mutex::{MappedMutexGuard, Mutex, MutexGuard, OwnedMutexGuard, TryLockError};
pub use notify::{Notified, Notify};
pub use once_cell::{OnceCell, SetError};
pub use queue::Queue;
pub use rwlock::{RwLock, RwLockReadGuard, RwLockWriteGuard};
pub use semaphore::{AcquireError, OwnedSemaphorePermit, Permit, Semaphore, SemaphorePermit, TryAcquireError};
pub use task_tracker::{TaskTracker, TaskTrackerToken, TrackedFuture};

#[cfg(test)]
mod hand_over_tests;
#[cfg(test)]
mod tests;
