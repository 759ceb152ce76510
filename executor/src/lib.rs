//! # windlass-executor: who runs next
//!
//! The half of the [Windlass](https://docs.rs/windlass) event loop that knows no clock and no sockets: tasks, the queue
//! of those that are ready, wakers that are numbers, and what becomes of a task when it ends. It stands alone; whoever
//! owns an [`Executor`] decides when it runs and when it sleeps.
//!
//! ```text
//!   spawn ──► entry in a slab ──► queue ──► poll ──► pending: it sleeps, and has said why
//!                  ▲                 ▲         └───► ended: the join handle takes what it left
//!                  │ number          │ wake
//!                  └──── Waker: 12 bits loop, 26 bits generation, 26 bits index; Send + Sync, never dangling
//! ```
//!
//! Read in this order: [`executor`](Executor) (what a turn is), `cell/table` (who runs next), `cell` (a task's memory; the
//! one file with `unsafe`), `key` (the number), `inbox` (other threads), `join` (how tasks end), [`cancel`] (how they are
//! asked to) with `leftovers`, `task` (what a program sees of them), `waits` (why they sleep), `budget`, `blocking`, `group`
//! (many tasks as one), [`sync`] (what they share), [`remote`] (what other threads have of it); beside them `extras`,
//! `instrument` (who watches) and `task_local`.
//!
//! | type | `Send` | why |
//! |---|---|---|
//! | [`Waker`](std::task::Waker) of a task | yes, and `Sync` | it is a number |
//! | [`JoinHandle`], [`Wait`], [`AsCompleted`], [`Executor`], [`Enter`] | no | they count references without atomics |
//! | [`Remote`], [`LoopId`], [`AbortHandle`], [`JoinError`], [`ErrorGroup`], [`Blocking`] | yes | they hold nothing of the loop's own |
//! | [`RemoteHandle`], [`remote::Sender`], [`remote::Receiver`] | yes | they share a mutex, and nothing else |

#![doc(test(attr(deny(warnings))))] // an example is code that others copy

#[cfg(not(target_pointer_width = "64"))]
compile_error!("windlass needs a 64-bit target: a waker's number takes 64 bits");

mod blocking;
pub mod budget;
pub mod cancel;
mod cell;
mod executor;
mod extras;
mod group;
mod inbox;
mod instrument;
mod join;
mod key;
mod leftovers;
pub mod remote;
pub mod sync;
mod task;
mod task_local;
pub mod waits;

pub use blocking::{Blocking, BlockingPool, blocking_pool, spawn_blocking};
pub use cell::Enter;
pub use executor::{Counts, Executor, Nested, Stop};
pub use group::branches::{Join, Race, TryJoin, join, race, try_join};
pub use group::error::ErrorGroup;
pub use group::gather::{gather, gather_all, try_gather};
pub use group::handles::{AbortHandle, Shared};
pub use group::set::JoinSet;
pub use group::task_group::{Child, GroupClosed, NoValue, Outcome, TaskGroup, group};
pub use group::wait::{AsCompleted, Wait, Waited, When, as_completed, wait};
pub use inbox::{LoopId, TooManyLoops, post};
pub use instrument::{Instrument, Next, TaskView};
pub use join::{JoinError, JoinHandle, UnobservedPanic, set_unobserved_panic_hook};
pub use leftovers::Leftovers;
pub use remote::{Closed, Remote, RemoteHandle};
pub use task::{
    Builder, Dump, Spawner, TaskId, TaskInfo, TaskState, YieldNow, all_tasks, call_soon, current, current_loop, dump,
    set_name, spawn, yield_now,
};
pub use task_local::{LocalKey, LocalSlot, NotInScope, Scope as LocalScope};

/// What the examples call `windlass`: the names that a program has for what is here, where the facade cannot be reached.
#[doc(hidden)]
pub mod windlass {
    pub mod task {
        pub use crate::budget::{Unconstrained, consume_budget, poll_proceed, unconstrained};
        pub use crate::waits::{ResourceId, ResourceKind, WaitReason, note as note_wait_reason};
        pub use crate::*;
    }
    pub use crate::{BlockingPool, LoopId, cancel, current_loop, group, remote, spawn, sync, task_local};
}

/// Runs `main` on an executor of its own that parks its thread when idle: a loop with nothing around it, for examples
/// and tests. Tasks that are left when `main` ends are dropped.
#[doc(hidden)]
#[track_caller]
pub fn doc<F: Future>(main: F) -> F::Output {
    use std::task::Poll;
    let thread = std::thread::current();
    let executor = Executor::new(move || thread.unpark()).expect("fewer than 4,096 loops");
    let _entered = executor.enter(std::panic::Location::caller()).expect("not in a loop");
    let mut main = std::pin::pin!(main);
    executor.begin_root(std::panic::Location::caller());
    loop {
        executor.read_inbox();
        let polls_left = std::cell::Cell::new(u32::MAX);
        match executor.run(&polls_left) {
            Stop::Root => {
                if let Poll::Ready(output) = executor.poll_root(main.as_mut()) {
                    executor.end_root();
                    executor.drop_tasks();
                    return output;
                }
            }
            Stop::Budget => {}
            Stop::Idle => {
                if executor.park() {
                    std::thread::park();
                    executor.unparked();
                }
            }
        }
    }
}

/// Calls `f` with an executor that is entered and runs only when it is told to, for examples.
#[doc(hidden)]
#[track_caller]
pub fn doc_entered<R>(f: impl FnOnce(&Executor) -> R) -> R {
    let executor = Executor::new(|| {}).expect("fewer than 4,096 loops");
    let _entered = executor.enter(std::panic::Location::caller()).expect("not in a loop");
    f(&executor)
}

#[cfg(test)]
mod tests;
