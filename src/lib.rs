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
//! | sockets, names, streams, HTTP | `net/src/` |
//! | what it tells of itself | `src/debug.rs`, `src/watch.rs` |
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
//! | [`net::TcpStream`] and the other sockets, [`io::AsyncFd`], `signal::Signal` | yes | yes | a key and a descriptor; used off their loop they give errors |
//! | [`time::Sleep`], [`time::Interval`] | yes | yes | a deadline and a key; polled off their loop they panic |
//! | [`task::Blocking`] | yes | yes | shares a mutex with the pool |
//! | [`Loop`], [`task::JoinHandle`], [`task::JoinSet`], [`task::TaskGroup`], [`http::Client`], [`io::DuplexStream`], all of [`sync`] and the patterns of [`flow`] | no | no | plain reference counts |

#![doc(test(attr(deny(warnings))))] // an example is code that others copy
#![forbid(unsafe_code)] // it all stands in executor/src/cell.rs

pub mod debug;
mod event_loop;
mod histogram;
mod watch;

pub use event_loop::{Builder, Gauges, Handle, Loop, Metrics, Tick, metrics};
pub use histogram::{Histogram, Histograms};
pub use windlass_executor::{BlockingPool, LoopId, cancel, current_loop, group, spawn, task_local};
pub use windlass_net::{flow, http, net};

/// Tasks: spawning, joining, looking at them.
pub mod task {
    pub use windlass_executor::budget::{Unconstrained, consume_budget, poll_proceed, unconstrained};
    pub use windlass_executor::waits::{ResourceId, ResourceKind, WaitReason, note as note_wait_reason};
    pub use windlass_executor::{
        AbortHandle, Blocking, Builder, Child, Closed, Dump, ErrorGroup, GroupClosed, JoinError, JoinHandle, JoinSet,
        LocalKey, LocalScope, NoValue, NotInScope, Outcome, Shared, Spawner, TaskGroup, TaskId, TaskInfo, TaskState,
        UnobservedPanic, YieldNow, all_tasks, current, dump, group, set_name, set_unobserved_panic_hook, spawn,
        spawn_blocking, yield_now,
    };
}

/// Coordination of tasks: permits, locks, events; channels and queues that hand values over.
pub use windlass_executor::sync;

/// Signals, as something to wait for. With the feature `signal`; without it Ctrl-C ends the process as ever.
#[cfg(feature = "signal")]
pub use windlass_net::signal;

/// Time on the loop's clock: sleeping, time-outs, intervals, and moving a paused clock.
pub use windlass_reactor::time;

/// Streams of any kind, and waiting on file descriptors of any kind.
pub mod io {
    pub use windlass_net::io::{BufReader, DuplexStream, Lines, copy, copy_bidirectional, duplex};
    pub use windlass_reactor::{AsyncFd, Direction, Readiness};
}
