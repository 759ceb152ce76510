//! What a task costs: spawn it, run it, hear its answer.
//!
//! The task does nothing, so what is left is the runtime: the allocation, the queue, the join handle. In batches of 1,000
//! a loop may use the memory of the last batch again; with all of them first it cannot, and the allocator and the cache
//! show.
//!
//! Next: `turns`.

use std::hint::black_box;

use super::RUNS;
use super::meter::{Cost, Meter};
use crate::runtimes::Runtime;

/// Tasks spawned before the first of them is joined.
pub(crate) const BATCH: u64 = 1_000;

/// Spawns and joins `batches` times [`BATCH`] tasks.
pub(crate) fn in_batches<R: Runtime>(batches: u64) -> Cost {
    R::run(|runtime| async move {
        let mut handles = Vec::with_capacity(BATCH as usize);
        spawn_and_join(&runtime, BATCH, &mut handles).await;
        let meter = Meter::start();
        for _ in 0..batches {
            spawn_and_join(&runtime, BATCH, &mut handles).await;
        }
        meter.stop()
    })
}

/// Spawns `tasks` and joins them once all are there. The loop is cold, as it is when a program does this.
pub(crate) fn all_at_once<R: Runtime>(tasks: u64) -> Cost {
    R::run(|runtime| async move {
        let mut handles = Vec::with_capacity(tasks as usize);
        let meter = Meter::start();
        spawn_and_join(&runtime, tasks, &mut handles).await;
        meter.stop()
    })
}

async fn spawn_and_join<R: Runtime>(runtime: &R, tasks: u64, handles: &mut Vec<R::Join<u64>>) {
    let mut sum = 0;
    handles.extend((0..tasks).map(|number| runtime.spawn(async move { black_box(number) })));
    for handle in handles.drain(..) {
        sum += handle.await.expect(RUNS);
    }
    assert_eq!(sum, tasks * (tasks - 1) / 2, "every task ran once and gave its own answer");
}
