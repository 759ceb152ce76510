//! The work, over a trait; and who does it.
//!
//! A comparison is as fair as its sources are alike, and they are most alike when there is only one. The work is
//! written once; an engine brings how it runs, spawns and sleeps, in the words its own users would choose.
//!
//! ```text
//!      naps::<E: Engine> ──► E::run ─ E::spawn ─ E::sleep
//!                               │
//!            ┌──────────────────┼─────────────────────┐
//!      windlass::Loop   tokio::LocalRuntime   tokio, current_thread
//! ```
//!
//! To choose an engine when the program runs is a `match` over the names, one line each: what stands below it never asks.
//!
//! Next: `choose`.

use std::{
    fmt::Debug,
    io,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};
use tokio::runtime::{Builder, LocalOptions, LocalRuntime, Runtime};
use windlass_examples::process::CpuTime;

use crate::flags::EngineName;

/// How long each task sleeps. No loop can be done sooner.
pub(crate) const NAP: Duration = Duration::from_millis(1);

/// What came of one round.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Told {
    /// Tasks that were joined.
    pub(crate) tasks: u64,
    /// The sum of what they gave, each its number.
    pub(crate) sum: u64,
    /// From before the first spawn to after the last join.
    pub(crate) elapsed_s: f64,
    /// CPU time of the process meanwhile.
    pub(crate) cpu_s: f64,
}

/// A single-threaded runtime, as far as the work needs one.
trait Engine: Sized {
    /// Why a task has no output.
    type Lost: Debug;

    /// Builds it.
    fn new() -> io::Result<Self>;

    /// Runs `root` to its end.
    fn run<F: Future>(self, root: F) -> F::Output;

    /// Spawns a task; within `run`.
    fn spawn<F>(future: F) -> impl Future<Output = Result<F::Output, Self::Lost>>
    where
        F: Future<Output: Send> + Send + 'static;

    /// Sleeps, as its users do.
    fn sleep(duration: Duration) -> impl Future<Output = ()> + Send + 'static;
}

/// Has `engine` do the work once, in this process, with `tasks` tasks.
///
/// # Errors
/// The engine cannot be built; or it is none of those in Rust.
pub(crate) fn run(engine: EngineName, tasks: u64) -> io::Result<Told> {
    match engine {
        EngineName::Windlass => naps::<windlass::Loop>(tasks),
        EngineName::TokioLocal => naps::<LocalRuntime>(tasks),
        EngineName::Tokio => naps::<Runtime>(tasks),
        EngineName::Asyncio | EngineName::Uvloop => Err(io::Error::other(format!("{engine} is not in this program"))),
    }
}

fn naps<E: Engine>(tasks: u64) -> io::Result<Told> {
    E::new()?.run(async {
        let (cpu, began) = (CpuTime::of_self()?, Instant::now());
        let nap = |number: u64| async move {
            E::sleep(NAP).await;
            number
        };
        let handles: Vec<_> = (0..tasks).map(|number| E::spawn(nap(number))).collect();
        let (mut joined, mut sum) = (0, 0);
        for handle in handles {
            sum += handle.await.expect("a nap does not panic");
            joined += 1;
        }
        let elapsed_s = began.elapsed().as_secs_f64();
        Ok(Told { tasks: joined, sum, elapsed_s, cpu_s: CpuTime::of_self()?.since(cpu).total_s() })
    })
}

impl Engine for windlass::Loop {
    type Lost = windlass::task::JoinError;

    fn new() -> io::Result<Self> {
        windlass::Loop::new()
    }

    fn run<F: Future>(self, root: F) -> F::Output {
        self.block_on(root)
    }

    fn spawn<F>(future: F) -> impl Future<Output = Result<F::Output, Self::Lost>>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        windlass::spawn(future)
    }

    fn sleep(duration: Duration) -> impl Future<Output = ()> + Send + 'static {
        windlass::time::sleep(duration)
    }
}

impl Engine for LocalRuntime {
    type Lost = tokio::task::JoinError;

    fn new() -> io::Result<Self> {
        Builder::new_current_thread().enable_all().build_local(LocalOptions::default())
    }

    fn run<F: Future>(self, root: F) -> F::Output {
        self.block_on(root)
    }

    fn spawn<F>(future: F) -> impl Future<Output = Result<F::Output, Self::Lost>>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        tokio::task::spawn_local(future)
    }

    fn sleep(duration: Duration) -> impl Future<Output = ()> + Send + 'static {
        tokio::time::sleep(duration)
    }
}

impl Engine for Runtime {
    type Lost = tokio::task::JoinError;

    fn new() -> io::Result<Self> {
        Builder::new_current_thread().enable_all().build()
    }

    fn run<F: Future>(self, root: F) -> F::Output {
        self.block_on(root)
    }

    fn spawn<F>(future: F) -> impl Future<Output = Result<F::Output, Self::Lost>>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        tokio::spawn(future)
    }

    fn sleep(duration: Duration) -> impl Future<Output = ()> + Send + 'static {
        tokio::time::sleep(duration)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_engine_does_the_same_work() {
        for engine in [EngineName::Windlass, EngineName::TokioLocal, EngineName::Tokio] {
            let told = run(engine, 100).unwrap();
            assert_eq!((told.tasks, told.sum), (100, 4950), "{engine}");
            assert!(told.elapsed_s >= NAP.as_secs_f64(), "{engine} woke early: {told:?}");
        }
    }

    #[test]
    fn an_engine_of_another_language_is_an_error() {
        assert!(run(EngineName::Uvloop, 1).is_err());
    }
}
