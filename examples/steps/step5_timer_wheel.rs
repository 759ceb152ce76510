//! Step 5: a timer wheel.
//!
//! A nap needs no helper thread and no socket. `epoll_wait` takes a time-out: let the next deadline be that time-out,
//! and the one sleep of the loop ends when a socket has news *or* when the first of the sleepers is due.
//!
//! ```text
//!     Loop::run ──► executor.poll_next ──► somebody was woken: polled, and again
//!          ▲                  └─ nobody ──► turn: epoll_wait, until the wheel's next deadline at the latest
//!          ├── wake ◄── the waker left at token 4 ◄──┤
//!          └── wake ◄── whoever is due by now ◄──────┘  wheel: [ 17 ms │ 18 ms │ 19 ms │ ... ]
//! ```
//!
//! The new piece is `wheel.rs`; read it first. The rest is a few lines: `sleep` leaves a waker in the wheel, `turn`
//! asks the wheel how long it may sleep, and afterwards who is due. No thread, no system call for a timer, no order to
//! maintain.
//!
//! What it leaves out: resolution finer than a millisecond, and tests that move the clock instead of waiting for it.
//! The real loop has a clock that can be paused.
//!
//! Next: `step6_number_wakers`, in which a waker is a number and the places of ended tasks are used again.
#![forbid(unsafe_code)]

mod echo;
mod executor;
mod meter;
mod reactor;
mod wheel;

use executor::Executor;
use meter::{Meter, show, threads};
use mio::Events;
use reactor::Reactor;
use std::cell::{Cell, RefCell};
use std::task::Waker;
use std::time::{Duration, Instant};
use std::{io, rc::Rc};
use wheel::{Wheel, sleep};

const SLEEPERS: u32 = 1000;
const TALKS: u32 = 20;

/// What the loop counts, and returns from `run`.
#[derive(Default)]
struct Counts {
    polls: u64,
    turns: u64,
    events: u64,
    timers: u64,
}

struct Loop {
    executor: Executor,
    reactor: Rc<Reactor>,
    wheel: RefCell<Wheel>,
}

impl Loop {
    fn new() -> io::Result<Rc<Loop>> {
        let (reactor, bell) = Reactor::new()?;
        let executor = Executor::new(move || bell.wake().expect("an eventfd takes any number of wakes"));
        let wheel = RefCell::new(Wheel::new());
        Ok(Rc::new(Loop { executor, reactor, wheel }))
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

    /// Nobody is ready: sleeps until the kernel has news or the next deadline has come.
    fn turn(&self, events: &mut Events, counts: &mut Counts) -> io::Result<()> {
        let deadline = self.wheel.borrow().next_deadline();
        let timeout = deadline.map(|at| at.saturating_duration_since(Instant::now()));
        counts.events += self.reactor.turn(events, timeout)?;
        counts.turns += 1;
        let due = self.wheel.borrow_mut().advance(Instant::now());
        counts.timers += due.len() as u64;
        due.into_iter().for_each(Waker::wake);
        Ok(())
    }
}

fn main() -> io::Result<()> {
    println!("Step 5: a timer wheel");
    println!(
        "{SLEEPERS} tasks nap for 1 to 200 ms each; every 5 ms somebody talks to an echo server; on one thread.\n"
    );

    let meter = Meter::start();
    let lp = Loop::new()?;
    let (asleep, late, census) = <(Rc<Cell<Duration>>, Rc<Cell<Duration>>, Rc<Cell<Option<u64>>>)>::default();
    for id in 0..SLEEPERS {
        let (lp_, asleep, total_late) = (Rc::clone(&lp), Rc::clone(&asleep), Rc::clone(&late));
        lp.executor.spawn(async move {
            let nap = Duration::from_millis(u64::from(1 + id % 200));
            let late = sleep(&lp_.wheel, nap).await;
            asleep.set(asleep.get() + nap);
            total_late.set(total_late.get() + late);
        });
    }
    let (addr, lp_, counted) = (echo::serve(&lp, TALKS.into())?, Rc::clone(&lp), Rc::clone(&census));
    lp.executor.spawn(async move {
        for _ in 0..TALKS {
            sleep(&lp_.wheel, Duration::from_millis(5)).await;
            echo::talk(&lp_, addr, 1).await.expect("the server answers");
        }
        counted.set(threads());
    });
    let Counts { polls, turns, events, timers } = lp.run()?;
    let cost = meter.stop();

    let (wakes, asleep) = (lp.executor.wakes(), asleep.get());
    show!("naps", u64::from(SLEEPERS), "together {asleep:.1?}");
    cost.show();
    show!("late", late.get() / SLEEPERS, "per nap: wheel and epoll count in ms");
    show!("turns", turns, "which brought {events} events and {timers} timers");
    show!("polls", polls, "after {wakes} wakes");
    show!("threads", census.get(), "step 3 has one more for each nap under way");
    println!(
        "\nGained: sockets and naps in one sleep of one thread. Next: step6_number_wakers, wakers that are numbers."
    );

    assert!(cost.wall < asleep, "the naps overlap");
    assert!(timers <= u64::from(SLEEPERS) + u64::from(TALKS), "one timer a nap");
    assert!(turns <= events + 1 + cost.wall.as_millis() as u64, "no idle turns");
    assert!(polls <= wakes, "no poll without a wake");
    assert_eq!(census.get().unwrap_or(1), 1, "one thread does it all");
    Ok(())
}
