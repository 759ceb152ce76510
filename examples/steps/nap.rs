//! A nap that somebody else sleeps.
//!
//! Steps 2 and 3 need something to wait for: a helper thread sleeps, and then wakes whoever left a waker. Steps 4 and 6
//! use it once, for a wake that comes from another thread.
//!
//! ```text
//!     task:    poll ── done? no ──► leave my waker ── Pending          poll ── done? yes ──► Ready
//!     helper:  sleep ─────────────────────────────────► done, wake ────►
//! ```
//!
//! A thread for a nap is dear; this stands for all that is slow and happens elsewhere. Step 5 does it with one entry in
//! a wheel.

use std::future::{Future, poll_fn};
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

/// What the task and the helper thread share: whether the nap is over, and whom to tell.
#[derive(Default)]
struct Nap {
    done: bool,
    waker: Option<Waker>,
}

/// Completes when `wait` has passed, with how late that was noticed.
pub(crate) fn sleep(wait: Duration) -> impl Future<Output = Duration> {
    let deadline = Instant::now() + wait;
    let nap = Arc::new(Mutex::new(Nap::default()));
    let theirs = Arc::clone(&nap);
    thread::spawn(move || {
        thread::sleep(wait);
        let mut nap = theirs.lock().expect("nobody panics with the nap locked");
        nap.done = true;
        let waker = nap.waker.take();
        drop(nap); // first: whoever is woken may want the nap at once
        waker.map(Waker::wake)
    });
    poll_fn(move |cx| {
        let mut nap = nap.lock().expect("nobody panics with the nap locked");
        if nap.done {
            return Poll::Ready(deadline.elapsed());
        }
        // Under the lock that `done` was read under: the helper sees this waker, or we have seen its `done`.
        nap.waker = Some(cx.waker().clone());
        Poll::Pending
    })
}
