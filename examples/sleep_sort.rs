//! The joke that sorts by sleeping, and the clock that makes it fast.
//!
//! Each number gets a task that sleeps for as long as the number says; they wake in order. On a real clock that takes as
//! long as the largest number. On a paused clock nobody waits: when no task can run, the clock jumps to the next deadline.
//!
//! ```text
//!     real clock     |--1--|--2--|-----5-----|         5 ms of life
//!     paused clock   1,2,5                             hours of sleep in no time
//! ```
//!
//! Run it: `cargo run --example sleep_sort -- 5 1 2`.   Next: `watch_the_loop`.

use std::{
    cell::RefCell,
    io,
    rc::Rc,
    time::{Duration, Instant},
};

use clap::Parser;
use windlass::{Loop, time::sleep};

/// Sorts numbers by sleeping: on a real clock, where each is milliseconds, and on a paused one, where each is hours.
#[derive(Parser)]
#[command(name = "sleep_sort", version)]
struct Flags {
    /// What to sort.
    #[arg(value_name = "NUMBER", default_values_t = [30, 10, 50, 20, 40])]
    numbers: Vec<u64>,
}

fn main() -> io::Result<()> {
    let Flags { numbers } = Flags::parse();
    let millisecond = Duration::from_millis(1);
    let hour = Duration::from_secs(60 * 60);
    show("real clock, a millisecond each", &Loop::new()?, &numbers, millisecond);
    show("paused clock, an hour each", &Loop::builder().paused_clock().build()?, &numbers, hour);
    Ok(())
}

fn show(title: &str, event_loop: &Loop, numbers: &[u64], unit: Duration) {
    let started = Instant::now();
    let sorted = event_loop.block_on(sleep_sort(numbers, unit));
    println!("{title}: {sorted:?} after {:.1?}", started.elapsed());
}

/// The numbers in the order in which their tasks wake.
async fn sleep_sort(numbers: &[u64], unit: Duration) -> Vec<u64> {
    let woken = Rc::new(RefCell::new(Vec::new()));
    let sleepers: Vec<_> = numbers
        .iter()
        .map(|&number| {
            let woken = Rc::clone(&woken);
            let span = unit.saturating_mul(u32::try_from(number).unwrap_or(u32::MAX));
            windlass::spawn(async move {
                sleep(span).await;
                woken.borrow_mut().push(number);
            })
        })
        .collect();
    for sleeper in sleepers {
        sleeper.await.expect("nobody aborts a sleeper");
    }
    woken.take()
}
