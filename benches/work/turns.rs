//! What a turn costs: a task lets the others go first.
//!
//! The yield is this file's own future, one wake of oneself and one `Pending`, the cheapest that every runtime
//! understands. (Tokio's own `yield_now` puts the task off until the driver has been polled, which costs an `epoll_wait` when
//! nobody else is ready.) A socket and a far timer are registered on every side: a loop with nothing to watch could leave
//! the kernel out of its turns, and no server could.
//!
//! Speed without order is no win: a runtime that runs a self-woken task again at once saves a cache miss and starves the
//! rest. [`turns_ahead`] says how far any task gets ahead of another.
//!
//! ```text
//!      fair:     0 1 2 0 1 2 0 1 2     ahead at most 1
//!      unfair:   0 0 0 0 1 1 1 1 2     ahead 4
//! ```
//!
//! Next: `channel`.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use super::RUNS;
use super::meter::{Cost, Meter};
use crate::runtimes::Runtime;

/// `tasks` tasks yield `rounds` times each.
pub(crate) fn yields<R: Runtime>(tasks: u64, rounds: u64) -> Cost {
    R::run(|runtime| async move {
        watch_something(&runtime);
        all_yield(&runtime, tasks, 10).await;
        let meter = Meter::start();
        all_yield(&runtime, tasks, rounds).await;
        meter.stop()
    })
}

/// How many turns any of 1,000 yielding tasks gets ahead of any other: 1 in fair order.
///
/// Looked at while all of them still run: a task counts from its first turn, and the log ends at the first task's last.
pub(crate) fn turns_ahead<R: Runtime>() -> u64 {
    const TASKS: usize = 1_000;
    const TURNS: u64 = 100;
    let log = Rc::new(RefCell::new(Vec::with_capacity(TASKS * TURNS as usize)));
    let seen = log.clone();
    R::run(|runtime| async move {
        watch_something(&runtime);
        let spawn = |task| {
            let seen = seen.clone();
            runtime.spawn(async move {
                for _ in 0..TURNS {
                    seen.borrow_mut().push(task);
                    yield_once().await;
                }
            })
        };
        let handles: Vec<_> = (0..TASKS).map(spawn).collect();
        for handle in handles {
            handle.await.expect(RUNS);
        }
    });
    let mut turns = vec![0; TASKS];
    let mut ahead = 0;
    for &task in log.borrow().iter() {
        turns[task] += 1;
        let least = turns.iter().min().expect("there are tasks");
        ahead = ahead.max(turns[task] - least);
        if turns[task] == TURNS {
            break;
        }
    }
    ahead
}

async fn all_yield<R: Runtime>(runtime: &R, tasks: u64, rounds: u64) {
    let spawn = |_| {
        runtime.spawn(async move {
            for _ in 0..rounds {
                yield_once().await;
            }
        })
    };
    let handles: Vec<_> = (0..tasks).map(spawn).collect();
    for handle in handles {
        handle.await.expect(RUNS);
    }
}

/// Keeps one socket and one timer registered for as long as the runtime lives.
pub(crate) fn watch_something<R: Runtime>(runtime: &R) {
    drop(runtime.spawn(async { R::silent_socket().await.expect("a port of the kernel's choice is free") }));
    drop(runtime.spawn(async {
        R::sleep(Duration::from_secs(3_600)).await;
    }));
}

/// Wakes its own task and is pending once.
pub(crate) fn yield_once() -> impl Future<Output = ()> {
    let mut yielded = false;
    poll_fn(move |context| {
        if yielded {
            return Poll::Ready(());
        }
        yielded = true;
        context.waker().wake_by_ref();
        Poll::Pending
    })
}
