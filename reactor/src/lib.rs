//! # windlass-reactor: what the kernel and the clock say
//!
//! The half of the [Windlass](https://docs.rs/windlass) event loop that waits: for sources (anything with a file
//! descriptor) to become ready, and for time to pass. It wakes tasks through [`std::task::Waker`] and knows of the
//! executor only its budget, its wait reasons and its inbox.
//!
//! ```text
//!            ┌────────── turn(wait) ──────────┐
//!   epoll ──►│ events ──► sources ──┐         │
//!            │                      ├─► wakers, called when every borrow has ended (I3)
//!   clock ──►│ now ─────► wheel ────┘         │
//!            └────────────────────────────────┘
//! ```
//!
//! Read in this order: [`reactor`](Reactor) (one turn), `sources` (who waits for what), `async_fd` (try, wait, try
//! again), `wheel` (who is woken when), `clock` (real or paused), `timer` and `interval` (the futures), `scope` (time-outs that let
//! clean up), `call` (functions at a time).
//!
//! | type | `Send` | why |
//! |---|---|---|
//! | [`AsyncFd`] | yes | it holds a key, not a reference; used off its loop it gives errors, dropped there it tells it |
//! | [`Sleep`](time::Sleep), [`Interval`](time::Interval) | yes | they too; polled off their loop they panic, dropped there they tell it |
//! | [`Timeout`](time::Timeout) | if its future is | |
//! | [`Reactor`], [`Enter`] | no | they count references without atomics |

#![doc(test(attr(deny(warnings))))] // an example is code that others copy
#![forbid(unsafe_code)] // it all stands in executor/src/cell.rs

mod async_fd;
mod call;
mod clock;
mod interval;
mod reactor;
mod scope;
mod sources;
mod timer;
mod wheel;

pub use async_fd::{AsyncFd, Readiness};
pub use reactor::{Counts, Enter, Poller, Reactor, Unparker, Wait, count_syscalls};
pub use sources::Direction;

/// Time on the loop's clock: sleeping, time-outs, intervals, and moving a paused clock.
pub mod time {
    pub use crate::call::{call_at, call_later};
    pub use crate::clock::{Instant, advance, pause, resume};
    pub use crate::interval::{Interval, MissedTickBehavior, interval, interval_at};
    pub use crate::scope::{Deadline, scope, wait_for};
    pub use crate::timer::{Elapsed, Sleep, Timeout, sleep, sleep_until, timeout, timeout_at};
}

/// What the examples call `windlass`: the names that a program has for what is here and below.
#[doc(hidden)]
pub mod windlass {
    pub use crate as io;
    pub use crate::time;
    pub use windlass_executor::windlass::*;
}

/// Runs `main` on a reactor with a paused clock and no executor but a loop that polls: for examples and tests here,
/// where the facade cannot be reached.
#[doc(hidden)]
#[track_caller]
pub fn doc<F: Future>(main: F) -> F::Output {
    run(main, clock::Clock::paused())
}

/// As [`doc`], with the real clock.
#[doc(hidden)]
#[track_caller]
pub fn doc_real<F: Future>(main: F) -> F::Output {
    run(main, clock::Clock::real())
}

/// As [`doc`], with the two ends of a socket: ours is watched, theirs blocks.
#[doc(hidden)]
#[track_caller]
pub fn doc_pair(
    main: impl AsyncFnOnce(AsyncFd<std::os::unix::net::UnixStream>, std::os::unix::net::UnixStream) -> std::io::Result<()>,
) {
    let outcome = doc(async {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        main(AsyncFd::new(ours)?, theirs).await
    });
    outcome.expect("an example succeeds");
}

/// Calls `f` with a reactor that turns only when it is told to, in an entered loop without tasks, for examples.
#[doc(hidden)]
#[track_caller]
pub fn doc_reactor(f: impl FnOnce(&Reactor) -> std::io::Result<()>) {
    let (poller, unparker) = Poller::new().expect("descriptors for epoll and its waker");
    let executor = windlass_executor::Executor::new(move || unparker.unpark()).expect("fewer than 4,096 loops");
    let _entered = executor.enter(std::panic::Location::caller()).expect("not in a loop");
    f(&Reactor::new(poller, executor.id())).expect("an example succeeds");
}

#[track_caller]
fn run<F: Future>(main: F, clock: clock::Clock) -> F::Output {
    use std::cell::Cell;
    use std::panic::Location;
    use std::task::Poll;
    use windlass_executor::{Executor, Stop};

    let (poller, unparker) = Poller::new().expect("descriptors for epoll and its waker");
    let executor = Executor::new(move || unparker.unpark()).expect("fewer than 4,095 loops");
    let reactor = Reactor::with_clock(poller, executor.id(), clock);
    let _executor = executor.enter(Location::caller()).expect("not in a loop");
    let _reactor = reactor.enter();
    let mut main = std::pin::pin!(main);
    executor.begin_root(Location::caller());
    loop {
        executor.read_inbox();
        let wait = match executor.run(&Cell::new(64)) {
            Stop::Root => match executor.poll_root(main.as_mut()) {
                Poll::Ready(output) => {
                    executor.end_root();
                    executor.drop_tasks();
                    return output;
                }
                Poll::Pending => Wait::No,
            },
            Stop::Budget => Wait::No,
            Stop::Idle if !executor.park() => Wait::No,
            Stop::Idle if executor.blocking_out() > 0 => Wait::HoldClock,
            Stop::Idle => Wait::Yes,
        };
        reactor.turn(wait).expect("epoll works");
        executor.unparked();
    }
}

#[cfg(test)]
mod tests;
