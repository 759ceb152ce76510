//! Step 1: a busy poller.
//!
//! A future does nothing by itself. Somebody has to call its `poll`, and call it again as long as the answer is
//! `Pending`. The simplest somebody is a loop that never stops asking.
//!
//! ```text
//!                 ┌────── Pending: ask again at once ──────┐
//!                 ▼                                        │
//!     block_on ──poll──► the future ──"is my nap over?"──► │
//!                                                          └─ Ready(output) ──► back to the caller
//! ```
//!
//! It works, and it is the whole of what "running a future" means; the five steps after this one only change *when* the
//! poll comes. Here it comes all the time, so the thread burns a core to learn "not yet" a million times over.
//!
//! What it leaves out: waiting without work, more than one task, and everything the world has to offer except naps.
//!
//! Next: `step2_parking`, in which the one who finishes the nap says so.
#![forbid(unsafe_code)]

mod meter;

use meter::{Meter, show};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

const NAPS: u32 = 3;
const NAP: Duration = Duration::from_millis(20);

/// What the loop counts, and returns with the output.
struct Counts {
    polls: u64,
}

/// Runs `future` to its end on this thread and returns its output, with the number of polls that it took.
fn block_on<F: Future>(future: F) -> (F::Output, Counts) {
    let mut future = pin!(future);
    let mut counts = Counts { polls: 0 };
    // A waker that does nothing: nobody needs to wake a thread that never sleeps.
    let mut cx = Context::from_waker(Waker::noop());
    loop {
        counts.polls += 1;
        if let Poll::Ready(output) = future.as_mut().poll(&mut cx) {
            return (output, counts);
        }
    }
}

/// Completes when `wait` has passed, with how late that was noticed.
///
/// A helper thread sleeps for us. It stands for all that is slow and happens elsewhere; from step 4 on, no thread is
/// needed.
fn sleep(wait: Duration) -> impl Future<Output = Duration> {
    let deadline = Instant::now() + wait;
    let done = Arc::new(AtomicBool::new(false));
    let theirs = Arc::clone(&done);
    thread::spawn(move || {
        thread::sleep(wait);
        theirs.store(true, Ordering::Release);
    });
    poll_fn(move |_cx| match done.load(Ordering::Acquire) {
        true => Poll::Ready(deadline.elapsed()),
        false => Poll::Pending,
    })
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
    println!("Step 1: a busy poller");
    println!("One task takes {NAPS} naps of {NAP:?}; the loop asks \"is it over?\" without a pause until it is.\n");

    let meter = Meter::start();
    let (late, Counts { polls }) = block_on(naps());
    let cost = meter.stop();

    // The first poll starts the first nap; after that, only a poll that finds a nap over gets anywhere.
    let of_use = u64::from(NAPS) + 1;
    let wasted = polls - of_use;
    show!("polls", polls, "times the loop asked");
    show!("of use", of_use, "the first, and one at the end of each nap");
    show!("wasted", wasted, "the answer was \"not yet\"");
    cost.show();
    show!("late", late / NAPS, "per nap, from its end to the task going on");
    println!("\nGained: a future ran to its end. Next: step2_parking, which lets the thread sleep meanwhile.");

    assert!(wasted > of_use, "a busy poller asks in vain more often than not");
    assert!(cost.wall >= NAP * NAPS, "no nap ends early");
}
