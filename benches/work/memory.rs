//! What a sleeping task weighs, and what it costs to be rid of it.
//!
//! A million tasks of one line, `sleep(d).await`, with their handles dropped: the resident memory before and after, divided
//! by a million. Then the root ends and the runtime is dropped with all of them still asleep. Two runtimes known to be fast
//! at that are so because they run no destructors; so each task carries a guard of no size whose destructor counts.
//!
//! Next: `echo`.

use std::cell::Cell;
use std::time::{Duration, Instant};

use super::RUNS;
use super::meter::{Cost, Meter, resident};
use crate::runtimes::Runtime;

/// What [`sleepers`] saw.
pub(crate) struct Memory {
    /// Resident bytes that came with the tasks.
    pub(crate) bytes: u64,
    /// From the first spawn until all are asleep.
    pub(crate) spawn: Cost,
    /// From the end of the root until the runtime is gone.
    pub(crate) drop: Duration,
    /// Destructors that ran in that time.
    pub(crate) dropped: u64,
}

thread_local! {
    static DROPPED: Cell<u64> = const { Cell::new(0) };
}

/// Adds nothing to its task's size.
struct Guard;

impl Drop for Guard {
    fn drop(&mut self) {
        DROPPED.set(DROPPED.get() + 1);
    }
}

/// Spawns `tasks` sleepers, weighs them, and drops them with their runtime.
pub(crate) fn sleepers<R: Runtime>(tasks: u64) -> Memory {
    let (bytes, spawn, end) = R::run(|runtime| async move {
        let before = resident();
        let meter = Meter::start();
        for number in 0..tasks {
            let hours = Duration::from_millis(3_600_000 + number % 1_000);
            let guard = Guard;
            drop(runtime.spawn(async move {
                let _guard = guard;
                R::sleep(hours).await;
            }));
        }
        // Spawned last and run last: once it has run, all of them sleep.
        runtime.spawn(async {}).await.expect(RUNS);
        let spawn = meter.stop();
        assert_eq!(DROPPED.get(), 0, "all of them sleep");
        (resident() - before, spawn, Instant::now())
    });
    Memory { bytes, spawn, drop: end.elapsed(), dropped: DROPPED.get() }
}
