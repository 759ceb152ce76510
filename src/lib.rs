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
//! | what other threads have of a loop | `executor/src/remote.rs` |
//! | what it tells of itself | `src/debug.rs`, `src/watch.rs` |
//! | what asyncio's and tokio's names are here, and what differs | [`asyncio`] |
//! | when to use it, and when tokio, asyncio or uvloop | [`choosing`] |
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
//! | [`remote::RemoteHandle`], [`remote::Sender`], [`remote::Receiver`] | yes | yes | share a mutex with the other end; what they carry must be `Send` |
//! | [`Loop`], [`task::JoinHandle`], [`task::JoinSet`], [`task::AsCompleted`], [`task::Wait`], [`task::TaskGroup`], [`http::Client`], [`io::DuplexStream`], all of [`sync`] and the patterns of [`flow`] | no | no | plain reference counts |

#![doc(test(attr(deny(warnings))))] // an example is code that others copy
#![forbid(unsafe_code)] // it all stands in executor/src/cell.rs

#[doc = include_str!("asyncio.md")]
#[cfg_attr(feature = "macros", doc = "[windlass-main]: macro@main")]
#[cfg_attr(not(feature = "macros"), doc = "[windlass-main]: https://docs.rs/windlass")]
#[cfg_attr(feature = "signal", doc = "[windlass-signal]: signal::signal()")]
#[cfg_attr(not(feature = "signal"), doc = "[windlass-signal]: https://docs.rs/windlass")]
#[cfg_attr(feature = "signal", doc = "[windlass-ctrl-c]: signal::ctrl_c()")]
#[cfg_attr(not(feature = "signal"), doc = "[windlass-ctrl-c]: https://docs.rs/windlass")]
pub mod asyncio {}
#[doc = include_str!("choosing.md")]
pub mod choosing {}
pub mod debug;
mod event_loop;
mod histogram;
mod run;
pub mod shutdown;
mod watch;

pub use event_loop::{Builder, Gauges, Handle, Loop, Metrics, Tick, metrics};
pub use histogram::{Histogram, Histograms};
pub use run::{RunError, RunErrorKind, Runner, run};
pub use windlass_executor::{BlockingPool, LoopId, cancel, current_loop, group, spawn, task_local};
pub use windlass_net::{flow, http, net};

/// Makes of an `async fn main` a program: [`run`] with what is in it. With the feature `macros`, which is on by default.
///
/// ```
/// #[windlass::main]
/// async fn main() -> Result<(), std::num::ParseIntError> {
///     let six = windlass::spawn(async { "6".parse::<u32>() }).await.unwrap()?;
///     println!("{}", six * 7);
///     Ok(())
/// }
/// ```
///
/// It must be `async`, have no arguments, and not be generic:
///
/// ```compile_fail
/// #[windlass::main] // needs an `async fn`
/// fn main() {}
/// ```
/// ```compile_fail
/// #[windlass::main] // nobody passes arguments to this function
/// async fn main(arguments: Vec<String>) {}
/// ```
#[cfg(feature = "macros")]
pub use windlass_macros::main;

/// Makes of an `async fn` a test: it runs as by [`run`], with Ctrl-C left alone. `#[windlass::test(paused)]` runs it on a
/// paused clock. With the feature `macros`, which is on by default.
///
/// ```
/// #[windlass::test(paused)]
/// async fn a_nap_takes_an_hour() {
///     use std::time::Duration;
///     use windlass::time::{Instant, sleep};
///     let start = Instant::now();
///     sleep(Duration::from_secs(3600)).await;
///     assert_eq!(start.elapsed(), Duration::from_secs(3600));
/// }
/// # fn main() {}
/// ```
///
/// ```compile_fail
/// #[windlass::test(slowly)] // takes nothing, or `paused`
/// async fn a_nap() {}
/// # fn main() {}
/// ```
#[cfg(feature = "macros")]
pub use windlass_macros::test;

/// What the attributes call.
#[cfg(feature = "macros")]
#[doc(hidden)]
pub mod __runners {
    pub use crate::run as main;
    pub use crate::run::{test, test_paused};
}

/// Tasks: spawning, joining, looking at them.
///
/// Many at once:
///
/// | to wait for | here | in asyncio | when one fails | when the wait is dropped |
/// |---|---|---|---|---|
/// | all, in their order | [`gather`](task::gather), [`try_gather`](task::try_gather) | `gather` | the wait ends, the others go on | all are aborted |
/// | all, whatever becomes of them | [`gather_all`](task::gather_all) | `gather(…, return_exceptions=True)` | it stands in its place | all are aborted |
/// | each as it ends | [`as_completed`](task::as_completed) | `as_completed` | it is yielded | all go on |
/// | some of them | [`wait`](task::wait()) with [`When`](task::When) | `wait` | as was asked | all go on |
/// | each, while more are added | [`JoinSet`](task::JoinSet) | | it is yielded | all are aborted |
/// | all or none | [`group`](task::group()) | `TaskGroup` | all are asked to stop | all are aborted |
/// | futures that are no tasks | [`join`](task::join()), [`try_join`](task::try_join()), [`race`](task::race()) | | `try_join` ends | all are dropped |
pub mod task {
    pub use windlass_executor::budget::{Unconstrained, consume_budget, poll_proceed, unconstrained};
    pub use windlass_executor::sync::{TaskTracker, TaskTrackerToken, TrackedFuture};
    pub use windlass_executor::waits::{ResourceId, ResourceKind, WaitReason, note as note_wait_reason};
    pub use windlass_executor::{
        AbortHandle, AsCompleted, Blocking, Builder, Child, Closed, Dump, ErrorGroup, GroupClosed, Join, JoinError,
        JoinHandle, JoinSet, LocalKey, LocalScope, NoValue, NotInScope, Outcome, Race, Shared, Spawner, TaskGroup,
        TaskId, TaskInfo, TaskState, TryJoin, UnobservedPanic, Wait, Waited, When, YieldNow, all_tasks, as_completed,
        call_soon, current, dump, gather, gather_all, group, join, race, set_name, set_unobserved_panic_hook, spawn,
        spawn_blocking, try_gather, try_join, wait, yield_now,
    };
}

/// Coordination of tasks: permits, locks, events; channels and queues that hand values over.
pub use windlass_executor::sync;

/// From other threads into a loop, and back: a channel, and the outcome of what a [`Handle`] has spawned.
///
/// | from | to | by |
/// |---|---|---|
/// | a thread | a task that is to begin | [`Handle::spawn`], [`spawn_with`](Handle::spawn_with) |
/// | that task | whoever waits for it, anywhere | [`RemoteHandle`](remote::RemoteHandle): `join` on a thread, `.await` in a task |
/// | threads, or tasks of other loops | a task | [`remote::channel`]: `blocking_send` or `send`, and `recv` |
/// | a task | a thread | the same: `send`, and `blocking_recv` |
/// | a task | a task of the same loop | [`sync`], without locks |
pub mod remote {
    pub use windlass_executor::Closed;
    pub use windlass_executor::remote::{
        Receiver, RemoteHandle, SendError, Sender, TryRecvError, TrySendError, channel,
    };
}

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
