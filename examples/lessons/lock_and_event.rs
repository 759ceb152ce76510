//! One after the other, and all at once.
//! A mutex lets one task at a time between a read and a write that belong together. An event lets all go as soon as
//! something has happened.
//!
//! ```text
//!   mutex   ├ read, wait, write ┤├ read, wait, write ┤├ …      five increments make 5
//!           without it: all five read 0, all five write 1
//!
//!   event   wait ┈┈┈┈┈┈┈┈┈┈┐
//!           wait ┈┈┈┈┈┈┈┈┈┈┼─ set ──► all three go on, in the order in which they came
//!           wait ┈┈┈┈┈┈┈┈┈┈┘
//! ```
//!
//! In one thread nothing interrupts a task between two awaits: there it needs no mutex. It needs one where it awaits in
//! the midst of a change.
//!
//! | asyncio | Windlass |
//! |---|---|
//! | `asyncio.Lock()` beside the value | `sync::Mutex::new(value)` around the value: no way past the lock |
//! | `async with self.lock:` | `let mut value = mutex.lock().await` |
//! | `asyncio.Event()`, `set()`, `await wait()` | `sync::Event::new()`, `set()`, `wait().await` |
//!
//! Run it: `cargo run --example lock_and_event`.   Next: `producer_consumer`.

use std::{error::Error, rc::Rc, time::Duration};

use windlass::{
    sync::{Event, Mutex},
    task::gather,
    time::sleep,
};
use windlass_examples::say;

fn main() -> Result<(), Box<dyn Error>> {
    windlass::run(story())
}

/// Five workers and a mutex, then three workers and an event.
pub(crate) async fn story() -> Result<(), Box<dyn Error>> {
    say!("== a mutex ==");
    let value = Rc::new(Mutex::new(0));
    increments(Rc::clone(&value)).await?;
    say!("in the end: {}", *value.lock().await);

    say!("== an event ==");
    let event = Rc::new(Event::new());
    let waiters = [0, 1, 2].map(|id| windlass::spawn(wait_for_it(id, Rc::clone(&event))));
    say!("the event will be in two seconds");
    sleep(Duration::from_secs(2)).await;
    event.set();
    gather(waiters).await?;
    Ok(())
}

pub(crate) async fn increments(value: Rc<Mutex<u32>>) -> Result<(), Box<dyn Error>> {
    gather((0..5).map(|id| windlass::spawn(increment(id, Rc::clone(&value))))).await?;
    Ok(())
}

async fn increment(id: u32, value: Rc<Mutex<u32>>) {
    let mut value = value.lock().await;
    let read = *value;
    say!("worker {id}: it is {read}");
    sleep(Duration::from_millis(100)).await; // others run meanwhile, and wait for the mutex
    *value = read + 1;
    say!("worker {id}: now it is {}", *value);
}

async fn wait_for_it(id: u32, event: Rc<Event>) {
    say!("worker {id}: waits for the event");
    event.wait().await;
    say!("worker {id}: it has happened, to work!");
}
