//! Step 4: epoll.
//!
//! Step 3 still paid a thread for each thing it waited for. But the kernel knows what its sockets are up to, and has a
//! call that sleeps until one of them has news: `epoll_wait`. It takes the place of `park`; all else stays as it was.
//!
//! ```text
//!     Loop::run ──► executor.poll_next ──► somebody was woken: polled, and again
//!          ▲                  └─ nobody ──► turn: epoll_wait ◄── the kernel: token 4 is readable
//!          └── wake ◄── the waker left at token 4 ◄──┘
//! ```
//!
//! The new piece is `reactor.rs`; read it first, and `echo.rs`, the tasks of this step, for how it looks from above.
//! The bell is now something that epoll can hear; one nap at the end shows that it does.
//!
//! What it leaves out: tasks that are ready all the time starve the sockets. The real loop counts its polls and looks
//! at the kernel every so often.
//!
//! Next: `step5_timer_wheel`, in which `epoll_wait` is told when to stop waiting.
#![forbid(unsafe_code)]

mod echo;
mod executor;
mod meter;
mod nap;
mod reactor;

use executor::Executor;
use meter::{Meter, show, threads};
use mio::Events;
use reactor::Reactor;
use std::time::Duration;
use std::{cell::Cell, io, rc::Rc};

const CLIENTS: u32 = 50;
const ROUNDS: u8 = 40;
const NAP: Duration = Duration::from_millis(1);

/// What the loop counts, and returns from `run`.
#[derive(Default)]
struct Counts {
    polls: u64,
    turns: u64,
    events: u64,
}

struct Loop {
    executor: Executor,
    reactor: Rc<Reactor>,
}

impl Loop {
    fn new() -> io::Result<Rc<Loop>> {
        let (reactor, bell) = Reactor::new()?;
        let executor = Executor::new(move || bell.wake().expect("an eventfd takes any number of wakes"));
        Ok(Rc::new(Loop { executor, reactor }))
    }

    /// Runs until every task has ended.
    fn run(&self) -> io::Result<Counts> {
        let mut counts = Counts::default();
        let mut events = Events::with_capacity(256);
        while self.executor.alive() > 0 {
            match self.executor.poll_next() {
                true => counts.polls += 1,
                false => self.turn(&mut events, &mut counts)?,
            }
        }
        Ok(counts)
    }

    /// Nobody is ready: sleeps until the kernel has news.
    fn turn(&self, events: &mut Events, counts: &mut Counts) -> io::Result<()> {
        counts.events += self.reactor.turn(events, None)?;
        counts.turns += 1;
        Ok(())
    }
}

fn main() -> io::Result<()> {
    println!("Step 4: epoll");
    println!("{CLIENTS} clients talk to an echo server, {ROUNDS} rounds each; one thread is both ends of it all.\n");

    let meter = Meter::start();
    let lp = Loop::new()?;
    let addr = echo::serve(&lp, CLIENTS.into())?;
    let (talks, census) = <(Rc<Cell<u32>>, Rc<Cell<Option<u64>>>)>::default();
    for _ in 0..CLIENTS {
        let (lp_, talks) = (Rc::clone(&lp), Rc::clone(&talks));
        lp.executor.spawn(async move {
            echo::talk(&lp_, addr, ROUNDS).await.expect("the server answers");
            talks.set(talks.get() + 1);
        });
    }
    // Spawned last, so polled last: all clients are under way by then.
    let counted = Rc::clone(&census);
    lp.executor.spawn(async move { counted.set(threads()) });
    let Counts { polls, turns, events } = lp.run()?;
    let (cost, wakes) = (meter.stop(), lp.executor.wakes());

    // A helper thread's wake: nobody talks any more, so only the bell can end the sleep of this run.
    lp.executor.spawn(async { _ = nap::sleep(NAP).await });
    lp.run()?;

    let meter = Meter::start();
    echo::with_threads(CLIENTS, ROUNDS)?;
    let threaded = meter.stop();

    let (rounds, ends) = (CLIENTS * u32::from(ROUNDS), 2 * CLIENTS);
    let (round, threaded) = (cost.wall / rounds, threaded.wall / rounds);
    show!("rounds", u64::from(rounds), "of {CLIENTS} talks at a time");
    show!("a round", round, "with blocking threads {threaded:.1?}");
    cost.show();
    show!("turns", turns, "which brought {events} events");
    show!("polls", polls, "after {wakes} wakes");
    show!("threads", census.get(), "with blocking calls {ends}, one for each end");
    println!("\nGained: the kernel tells us, and no helper is left. Next: step5_timer_wheel, naps without them.");

    assert_eq!(talks.get(), CLIENTS, "every talk came to its end");
    assert_eq!(census.get().unwrap_or(1), 1, "one thread does it all");
    assert!(polls <= wakes, "no poll without a wake");
    assert!(turns <= events, "no turn without news");
    Ok(())
}
