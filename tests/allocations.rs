//! What a task and a timer cost in allocations: one when the loop is cold, none when it is warm.
//! The counting allocator is the whole process's, so this file is a process of its own with one test in it: what runs
//! beside the test would count too.

#![allow(clippy::unwrap_used)] // tests may, and so may what they share

use std::alloc::System;
use std::future::pending;
use std::time::Duration;

use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use windlass::time::{Instant, sleep, timeout};
use windlass::{Loop, spawn};

#[global_allocator]
static COUNTING: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Allocations while `work` ran, growing in place included.
async fn allocations(work: impl AsyncFnOnce()) -> usize {
    let region = Region::new(COUNTING);
    work().await;
    let change = region.change();
    change.allocations + change.reallocations
}

async fn spawn_and_join() {
    assert_eq!(spawn(async { 7 }).await.unwrap(), 7);
}

/// Several at one time.
async fn spawn_a_batch() {
    let tasks: [_; 8] = std::array::from_fn(|number| spawn(async move { number }));
    for task in tasks {
        task.await.unwrap();
    }
}

async fn nap() {
    sleep(Duration::from_millis(1)).await;
}

async fn time_out_both_ways() {
    assert!(timeout(Duration::from_millis(1), pending::<()>()).await.is_err());
    assert!(timeout(Duration::from_millis(5), nap()).await.is_ok());
    let mut nap = sleep(Duration::from_millis(1));
    nap.reset(Instant::now() + Duration::from_millis(2));
    nap.await;
}

async fn abort() {
    let task = spawn(pending::<()>());
    task.abort();
    assert!(task.await.unwrap_err().is_cancelled());
}

/// The least of a few tries: what else the process does now and then is not ours.
async fn allocations_when_warm(work: impl AsyncFn()) -> usize {
    work().await;
    let mut least = usize::MAX;
    for _ in 0..3 {
        least = least.min(allocations(&work).await);
    }
    least
}

#[test]
fn a_warm_loop_allocates_nothing_and_a_cold_one_once_a_task() {
    let lp = Loop::builder().paused_clock().build().unwrap();
    lp.block_on(async {
        // The queue, the table of tasks and the pool grow as they must; a task of a size that was never seen costs one
        // allocation more.
        spawn_a_batch().await;
        let cold = allocations(async || {
            let large = [1u8; 600];
            assert_eq!(spawn(async move { large.len() }).await.unwrap(), 600);
        });
        let cold = cold.await;
        assert!(cold <= 2, "{cold} allocations for one cold task: its cell, and its size class's list");

        assert_eq!(allocations_when_warm(spawn_and_join).await, 0, "spawn and join");
        assert_eq!(allocations_when_warm(spawn_a_batch).await, 0, "several tasks at one time");
        assert_eq!(allocations_when_warm(abort).await, 0, "abort");
        assert_eq!(allocations_when_warm(nap).await, 0, "sleep");
        assert_eq!(allocations_when_warm(time_out_both_ways).await, 0, "time-outs and a reset");
    });
}
