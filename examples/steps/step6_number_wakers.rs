//! Step 6: number wakers with recycled cells.
//!
//! A loop that has run a million tasks by the rules of step 5 keeps a million entries, and has made a million wakers,
//! each an allocation that counts who holds it. Yet all that a waker has to say is *which task*: a number will do.
//!
//! ```text
//!     waker: loop 0 │ generation 7 │ index 3          cells: [ 0 │ 1 │ 2 │ 3 │ ... ]
//!        └─ wake ──► inbox of loop 0 ──► generation 7 in cell 3? ──┘  yes: queued
//!                    gone: nothing            8: stale, ignored, counted
//! ```
//!
//! The new pieces are `number.rs` and `cells.rs`, which takes the place of `executor.rs` (read it beside that one). The
//! loop and all that stands on it stay as they were. Without unsafe code the number travels in a small `Arc`, which
//! goes with the cell from life to life as long as nobody holds on to it; `number.rs` says how the real crate does
//! without.
//!
//! What it leaves out is what the real files are for. Next: those of `READ_NEXT`, at the end of this one.
#![forbid(unsafe_code)]

mod cells;
mod echo;
mod meter;
mod nap;
mod number;
mod reactor;
mod waves;
mod wheel;

use cells::Executor;
use meter::{Meter, show};
use mio::Events;
use reactor::Reactor;
use std::cell::RefCell;
use std::task::Waker;
use std::time::Instant;
use std::{io, rc::Rc, thread};
use waves::{KEPT, TASKS, WAVES, waves};
use wheel::Wheel;

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
    println!("Step 6: number wakers with recycled cells");
    println!(
        "{WAVES} waves of {TASKS} short tasks; {KEPT} wakers of each outlive their tasks, and wake all the same.\n"
    );

    let meter = Meter::start();
    let lp = Loop::new()?;
    let kept = Rc::new(RefCell::new(Vec::new()));
    let addr = echo::serve(&lp, WAVES)?;
    lp.executor.spawn(waves(Rc::clone(&lp), addr, Rc::clone(&kept)));
    let counts = lp.run()?;
    let cost = meter.stop();
    let (cells, boxes, stale) = (lp.executor.cells(), lp.executor.boxes.get(), lp.executor.stale.get());
    let (polls, wakes) = (counts.polls, lp.executor.wakes());

    // The wakers of the last wave outlive even the loop, and may go to any thread.
    assert_eq!(Rc::strong_count(&lp), 1, "no task is left to hold the loop");
    drop(lp);
    let orphans = kept.take();
    let left = orphans.len() as u64;
    let elsewhere = thread::spawn(|| orphans.into_iter().for_each(Waker::wake));
    elsewhere.join().expect("to wake nobody does no harm");

    let tasks = WAVES * (TASKS + 1) + 2; // an echo for each wave, the server, and the waves themselves
    show!("tasks", tasks, "no more than {} at a time", TASKS + 3);
    cost.show();
    show!("polls", polls, "one for each task to begin with, and one after a wake");
    show!("cells", cells, "step 5 keeps one for each task, for ever");
    show!("boxes", boxes, "wakers made; step 5 makes one for each task");
    show!("stale", stale, "wakes for a task that had ended: nobody was polled");
    show!("orphans", left, "wakes for a loop that had ended, from another thread");
    println!("\nGained: wakers that hold nothing, cells used again. And this is how Windlass works. {READ_NEXT}");

    assert!(cells <= TASKS + 3, "no more cells than tasks at a time");
    assert_eq!(boxes, cells + WAVES * KEPT, "a box that nobody holds is used again");
    assert_eq!(stale, (WAVES - 1) * KEPT, "no stale wake reaches the next tenant");
    assert_eq!(left, KEPT, "the last wave left its wakers");
    assert!(polls >= tasks, "every task had its turn");
    assert!(polls <= wakes + tasks, "no other poll without a wake");
    Ok(())
}

const READ_NEXT: &str = "Read next:
  executor/src/cell.rs       the task cell, and the waker that is a number: the one file with unsafe code
  executor/src/executor.rs   the run queue, and who is polled next
  executor/src/inbox.rs      wakes from other threads
  reactor/src/wheel.rs       the timer wheel, with more levels
  reactor/src/reactor.rs     the poll, and the sources behind its tokens
  src/event_loop.rs          the loop itself";
