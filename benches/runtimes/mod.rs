//! One trait, several runtimes.
//!
//! A comparison is as fair as its two sources are alike, and they are most alike when there is only one. Every workload is
//! written once, against this trait; what a side brings is how it spawns, sleeps and reads, in the words its own users
//! would choose.
//!
//! ```text
//!      work::*<R: Runtime> ──► R::run ─ spawn ─ sleep ─ timeout ─ connect ─ read ─ write_all
//!                                │
//!            ┌────────────────┬──┴──────────────────┬────────────────┐
//!      windlass::Loop   tokio::LocalRuntime   tokio::LocalSet   smol::LocalExecutor
//! ```
//!
//! Yielding and channels are not in the trait: those are plain futures (`work::turns`, `work::channel`) and the very same
//! on every side. What each library has for its tasks to coordinate with is in traits of its own (`sync`).
//!
//! Not here: what is measured (`work`), with which counts and floors (`harness::rows`).   Next: `work`.

mod smol;
pub(crate) mod sync;
mod tokio;
mod windlass;

use std::fmt::Debug;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

pub(crate) use self::smol::Smol;
pub(crate) use self::tokio::{LocalRuntime, LocalSet};
pub(crate) use self::windlass::Windlass;

/// A single-threaded runtime, as far as the workloads need one.
///
/// The value is what it takes to spawn: nothing where spawning is ambient, the executor where it is not.
pub(crate) trait Runtime: Clone + 'static {
    /// Why a task has no output; no task of a workload gives a reason.
    type Lost: Debug;
    /// What spawning gives; dropping it leaves the task running.
    type Join<T: 'static>: Future<Output = Result<T, Self::Lost>> + 'static;
    /// The time was up.
    type Late: Debug;
    /// A connected TCP stream.
    type Stream: 'static;

    /// Builds a runtime, runs `root` on it to its end, and drops the runtime with all that is left on it.
    fn run<F: Future>(root: impl FnOnce(Self) -> F) -> F::Output;

    /// Spawns a task that needs no `Send`.
    fn spawn<F>(&self, future: F) -> Self::Join<F::Output>
    where
        F: Future + 'static,
        F::Output: 'static;

    /// Sleeps; whatever type the runtime's own sleep has, unwrapped.
    fn sleep(duration: Duration) -> impl Future + 'static;

    /// Gives `future` so much time; the runtime's own time-out, unwrapped.
    fn timeout<F: Future>(duration: Duration, future: F) -> impl Future<Output = Result<F::Output, Self::Late>>;

    /// Connects, with `TCP_NODELAY` set.
    fn connect(address: SocketAddr) -> impl Future<Output = io::Result<Self::Stream>>;

    /// Reads what is there, at least a byte unless the peer is done.
    fn read(stream: &mut Self::Stream, buffer: &mut [u8]) -> impl Future<Output = io::Result<usize>>;

    /// Writes all of `bytes`.
    fn write_all(stream: &mut Self::Stream, bytes: &[u8]) -> impl Future<Output = io::Result<()>>;

    /// Listens on a port of the kernel's choice and waits for a connection that nobody makes: a socket that is registered
    /// and silent.
    fn silent_socket() -> impl Future<Output = io::Result<()>> + 'static;
}

/// One column of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Windlass,
    LocalRuntime,
    LocalSet,
    Smol,
    /// The primitives of the crate local-sync on `LocalRuntime`: no runtime either, for rows about primitives.
    LocalSync,
    /// A bare mio loop: no runtime at all, for the row that asks how late the kernel itself is.
    Mio,
}

impl Side {
    /// The sides that run every row.
    pub(crate) const RUNTIMES: &[Side] = &[Side::Windlass, Side::LocalRuntime, Side::LocalSet, Side::Smol];
    /// The same and the bare loop.
    pub(crate) const WITH_BARE_LOOP: &[Side] =
        &[Side::Windlass, Side::LocalRuntime, Side::LocalSet, Side::Smol, Side::Mio];
    /// All of them, as the table's columns.
    pub(crate) const ALL: &[Side] =
        &[Side::Windlass, Side::LocalRuntime, Side::LocalSet, Side::Smol, Side::LocalSync, Side::Mio];
    /// The side whose numbers the floors are about.
    pub(crate) const OURS: Side = Side::Windlass;
    /// The side that ratios are taken to.
    pub(crate) const BASELINE: Side = Side::LocalRuntime;

    pub(crate) fn name(self) -> &'static str {
        match self {
            Side::Windlass => "windlass",
            Side::LocalRuntime => "tokio-localrt",
            Side::LocalSet => "tokio-localset",
            Side::Smol => "smol",
            Side::LocalSync => "local-sync",
            Side::Mio => "mio",
        }
    }

    pub(crate) fn from_name(name: &str) -> Option<Side> {
        Side::ALL.iter().copied().find(|side| side.name() == name)
    }
}

/// Runs an expression with `$runtime` standing for the type that `$side` names.
///
/// Two sides are no runtimes, and panic: rows that have them ask for them by name.
macro_rules! with_runtime {
    ($side:expr, $runtime:ident => $body:expr) => {
        match $side {
            $crate::runtimes::Side::Windlass => {
                type $runtime = $crate::runtimes::Windlass;
                $body
            }
            $crate::runtimes::Side::LocalRuntime => {
                type $runtime = $crate::runtimes::LocalRuntime;
                $body
            }
            $crate::runtimes::Side::LocalSet => {
                type $runtime = $crate::runtimes::LocalSet;
                $body
            }
            $crate::runtimes::Side::Smol => {
                type $runtime = $crate::runtimes::Smol;
                $body
            }
            $crate::runtimes::Side::LocalSync => unreachable!("local-sync runs no tasks"),
            $crate::runtimes::Side::Mio => unreachable!("the bare loop runs no tasks"),
        }
    };
}
pub(crate) use with_runtime;
