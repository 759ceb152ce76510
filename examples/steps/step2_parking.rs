//! Step 2: parking.
//!
//! Step 1 asked a million times in vain. But whoever ends the nap knows the moment: let them tell us, and sleep until
//! then. That message is what a `Waker` is, and leaving it behind before saying `Pending` is a future's whole duty.
//!
//! ```text
//!     block_on ──poll──► the future ── Pending, my waker is in the nap ─┐
//!        ▲  park  ◄─────────────────────────────────────────────────────┘
//!        └──────── unpark ◄── waker.wake() ◄── helper thread: "the nap is over"
//! ```
//!
//! A wake may come before the thread has parked. Nothing is lost: `woken` remembers it, and so does `unpark`. The other
//! way round, `park` may return for no reason, so only `woken` decides whether to poll. The law behind both, from here
//! to the last step: *a spurious wake is always legal, a lost one never is.*
//!
//! What it leaves out: a thread that waits for one future can do nothing else. Two tasks would need two threads.
//!
//! Next: `step3_run_queue`, in which a wake names the task it is for.
#![forbid(unsafe_code)]

mod meter;
mod nap;

use meter::{Meter, show};
use nap::sleep;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

const NAPS: u32 = 3;
const NAP: Duration = Duration::from_millis(20);

/// What the loop counts, and returns with the output.
struct Counts {
    polls: u64,
    wakes: u64,
}

/// Wakes the thread that polls.
struct Parker {
    thread: Thread,
    woken: AtomicBool,
    wakes: AtomicU64,
}

impl Wake for Parker {
    fn wake(self: Arc<Self>) {
        self.wakes.fetch_add(1, Ordering::Relaxed);
        self.woken.store(true, Ordering::Release);
        self.thread.unpark();
    }
}

/// Runs `future` to its end on this thread, which sleeps whenever there is nothing to poll.
fn block_on<F: Future>(future: F) -> (F::Output, Counts) {
    let mut future = pin!(future);
    let parker = Arc::new(Parker { thread: thread::current(), woken: false.into(), wakes: 0.into() });
    let waker = Waker::from(Arc::clone(&parker));
    let mut polls = 0;
    loop {
        polls += 1;
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return (output, Counts { polls, wakes: parker.wakes.load(Ordering::Relaxed) });
        }
        while !parker.woken.swap(false, Ordering::Acquire) {
            thread::park();
        }
    }
}

/// The loop of step 1, for comparison.
fn block_on_busy<F: Future>(future: F) -> (F::Output, Counts) {
    let mut future = pin!(future);
    let mut counts = Counts { polls: 0, wakes: 0 };
    loop {
        counts.polls += 1;
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return (output, counts);
        }
    }
}

/// The task: nap after nap. Its output is how late it was told of them, all together.
async fn naps() -> Duration {
    let mut late = Duration::ZERO;
    for _ in 0..NAPS {
        late += sleep(NAP).await;
    }
    late
}

fn main() {
    println!("Step 2: parking");
    println!("The task of step 1 ({NAPS} naps of {NAP:?}), first asked all the time, then asked when it says so.\n");

    let meter = Meter::start();
    let (busy_late, busy) = block_on_busy(naps());
    let busy_cost = meter.stop();
    let meter = Meter::start();
    let (late, Counts { polls, wakes }) = block_on(naps());
    let cost = meter.stop();

    println!("  asked all the time:");
    show!("polls", busy.polls, "times the loop asked");
    busy_cost.show();
    show!("late", busy_late / NAPS, "per nap, from its end to the task going on");
    println!("  asked when woken:");
    show!("polls", polls, "after {wakes} wakes");
    cost.show();
    show!("late", late / NAPS, "per nap: the kernel has to wake the thread first");
    println!("\nGained: the CPU rests while the task naps. Next: step3_run_queue, many tasks on one thread.");

    assert!(polls <= wakes + 1, "polled once, and then once for a wake at most");
    assert!(polls < busy.polls, "asked only when there is news");
    assert!(cost.wall >= NAP * NAPS, "no nap ends early");
}
