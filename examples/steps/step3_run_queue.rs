//! Step 3: a run queue with wakers.
//!
//! A thread that parks for one future could look after a hundred, if only it knew whom to poll when it is woken.
//! Polling everybody on every wake would be step 1 again, in small.
//!
//! ```text
//!     Loop::run ──► executor.poll_next ──► somebody was woken: polled, and again
//!          ▲                  └─ nobody ──► turn: park ◄── the bell ◄── wake ◄── a helper thread
//!          └────────────────────────────────────┘
//! ```
//!
//! The new piece is `executor.rs`; read it first: tasks in a table, wakers that carry an index, a queue of indices. The
//! loop is what is left of `block_on`: poll who is ready, and sleep when nobody is.
//!
//! What it leaves out: each nap still costs a thread that sleeps for us.
//!
//! Next: `step4_epoll`, in which the kernel tells us what helper threads tell us here.
#![forbid(unsafe_code)]

mod executor;
mod meter;
mod nap;

use executor::Executor;
use meter::{Meter, show, threads};
use nap::sleep;
use std::time::Duration;
use std::{cell::Cell, rc::Rc, thread};

const TASKS: u32 = 100;

/// What the loop counts, and returns from `run`.
#[derive(Default)]
struct Counts {
    polls: u64,
    turns: u64,
    polls_of_all: u64,
}

struct Loop {
    executor: Executor,
}

impl Loop {
    fn new() -> Rc<Loop> {
        let thread = thread::current();
        let executor = Executor::new(move || thread.unpark());
        Rc::new(Loop { executor })
    }

    /// Runs until every task has ended.
    fn run(&self) -> Counts {
        let mut counts = Counts::default();
        while self.executor.alive() > 0 {
            match self.executor.poll_next() {
                true => counts.polls += 1,
                false => self.turn(&mut counts),
            }
        }
        counts
    }

    /// Nobody is ready: sleeps until the bell rings.
    fn turn(&self, counts: &mut Counts) {
        thread::park();
        counts.turns += 1;
        counts.polls_of_all += self.executor.alive() as u64; // if the wake did not say whom to poll
    }
}

fn main() {
    println!("Step 3: a run queue with wakers");
    println!("{TASKS} tasks on one thread take two naps each, all at the same time.\n");

    let meter = Meter::start();
    let lp = Loop::new();
    let (next, late, census) = <(Rc<Cell<u32>>, Rc<Cell<Duration>>, Rc<Cell<Option<u64>>>)>::default();
    for id in 0..TASKS {
        let (next, total_late) = (Rc::clone(&next), Rc::clone(&late));
        lp.executor.spawn(async move {
            assert_eq!(next.replace(id + 1), id, "first spawned, first polled");
            for nap_ms in [10 + id % 10, 20 - id % 10] {
                let late = sleep(Duration::from_millis(nap_ms.into())).await;
                total_late.set(total_late.get() + late);
            }
        });
    }
    // Spawned last, so polled last: all others have begun their first nap by then.
    let counted = Rc::clone(&census);
    lp.executor.spawn(async move { counted.set(threads()) });
    let Counts { polls, turns, polls_of_all } = lp.run();
    let cost = meter.stop();

    let (wakes, naps) = (lp.executor.wakes(), 2 * TASKS);
    let asleep = Duration::from_millis(30) * TASKS;
    show!("naps", u64::from(naps), "together {asleep:.1?}, one by one as in step 2");
    cost.show();
    show!("late", late.get() / naps, "per nap, from its end to the task going on");
    show!("polls", polls, "after {wakes} wakes (to spawn is to wake)");
    show!("instead of", polls_of_all, "if each of {turns} turns polled everybody");
    show!("threads", census.get(), "one runs the tasks, the others only sleep");
    println!("\nGained: many tasks, each polled when there is news for it. Next: step4_epoll, without the helpers.");

    assert!(polls <= wakes, "no poll without a wake");
    assert!(cost.wall < asleep, "the naps overlap");
}
