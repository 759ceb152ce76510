#![doc = include_str!("../README.md")]
//!
//! # The loop
//!
//! ```text
//!        ┌─────────────────────────── one tick ───────────────────────────┐
//!        │  inbox ──► run queue ──► poll, poll, poll … (at most a budget) │
//!        │                 ▲                                              │
//!        │                 └── wake ◄── events, timers ◄── epoll_wait     │
//!        └────────────────────────────────────────────────────────────────┘
//! ```
//!
//! The whole of it is [`Loop::block_on`] in `src/event_loop.rs`: one screen. Below it are two halves that do not know of
//! each other's business: the executor (who runs next) and the reactor (what has happened, what is due).
//!
//! # Where to read on
//!
//! | to see | open |
//! |---|---|
//! | one turn of the crank | `src/event_loop.rs` |
//! | tasks, wakers, the run queue | `executor/src/executor.rs`, `executor/src/cell.rs` |
//! | sockets and timers becoming wake-ups | `reactor/src/reactor.rs`, `reactor/src/wheel.rs` |
//! | TCP, names, HTTP | `net/src/` |
//!
//! # Which types may cross threads
//!
//! Handles are structurally `Send` where they hold keys, and `!Send` where they count references; none is `Send` by
//! promise.
//!
//! | type | `Send` | `Sync` | why |
//! |---|---|---|---|
//! | [`Waker`](std::task::Waker) of a task | yes | yes | a number |
//! | [`Handle`], [`task::AbortHandle`], [`task::TaskId`], [`task::TaskInfo`], [`task::JoinError`], [`time::Instant`] | yes | yes | data |
//! | [`net::TcpStream`], [`net::TcpListener`], [`io::AsyncFd`] | yes | yes | a key and a descriptor; used off their loop they give errors |
//! | [`time::Sleep`], [`time::Interval`] | yes | yes | a deadline and a key; polled off their loop they panic |
//! | [`task::Blocking`] | yes | yes | shares a mutex with the pool |
//! | [`Loop`], [`task::JoinHandle`], [`task::JoinSet`], [`task::TaskGroup`], [`http::Client`] | no | no | plain reference counts |

#![doc(test(attr(deny(warnings))))] // an example is code that others copy
#![forbid(unsafe_code)] // it all stands in executor/src/cell.rs

mod event_loop;

pub use event_loop::{Builder, Handle, Loop, Metrics, Tick, metrics};
pub use windlass_executor::{cancel, group, spawn};
pub use windlass_net::{http, net};

/// Tasks: spawning, joining, looking at them.
pub mod task {
    pub use windlass_executor::budget::poll_proceed;
    pub use windlass_executor::waits::{WaitReason, note as note_wait_reason};
    pub use windlass_executor::{
        AbortHandle, Blocking, Builder, Child, Closed, ErrorGroup, GroupClosed, JoinError, JoinHandle, JoinSet,
        NoValue, Outcome, Shared, Spawner, TaskGroup, TaskId, TaskInfo, TaskState, UnobservedPanic, YieldNow,
        all_tasks, current, group, set_unobserved_panic_hook, spawn, spawn_blocking, yield_now,
    };
}

/// Time on the loop's clock: sleeping, time-outs, intervals, and moving a paused clock.
pub use windlass_reactor::time;

/// Waiting on file descriptors of any kind.
pub mod io {
    pub use windlass_reactor::{AsyncFd, Direction, Readiness};
}
