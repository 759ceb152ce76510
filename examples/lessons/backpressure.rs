//! A producer that waits for its consumer.
//! A queue hides that one side is slower than the other, until memory runs out. With two marks it does not: at the high
//! one the producer stops, at the low one it goes on. asyncio's queue has only a bound; whoever wants marks writes a
//! class around it, and easily one that prints "paused" and pauses nobody.
//!
//! ```text
//!   size  80 ┈┈┈┈╱╲┈┈┈┈┈┈┈┈╱╲┈┈┈┈┈┈   the producer pauses: its put waits
//!               ╱  ╲      ╱  ╲           1 ms an item comes in, 5 ms an item goes out
//!         20 ┈┈╱┈┈┈┈╲┈┈┈┈╱┈┈┈┈╲┈┈┈┈   the get that brings the size down here lets it go on
//! ```
//!
//! | asyncio | Windlass |
//! |---|---|
//! | a class around `asyncio.Queue(maxsize)` | `sync::BackpressureQueue::new(maxsize, high, low)` |
//! | `await queue.put(item)`, `await queue.get()` | `queue.put(item).await`, `queue.get().await` |
//! | a dict of counts | `queue.stats()` |
//!
//! Run it: `cargo run --example backpressure`.   Next: `semaphore`.

use std::{error::Error, time::Duration};

use windlass::{sync::BackpressureQueue, task::gather, time::sleep};
use windlass_examples::say;

/// Enough that the queue fills up and is worked off more than once.
const ITEMS: u32 = 300;

fn main() -> Result<(), Box<dyn Error>> {
    windlass::run(story())
}

/// A fast producer and a slow consumer.
pub(crate) async fn story() -> Result<(), Box<dyn Error>> {
    say!("{ITEMS} items: one a millisecond comes in, one in five goes out");
    let queue = BackpressureQueue::new(100, 80, 20);
    gather([windlass::spawn(produce(queue.clone())), windlass::spawn(consume(queue.clone()))]).await?;

    let stats = queue.stats();
    say!("{} produced, {} consumed, {} pauses", stats.produced, stats.consumed, stats.pauses);
    Ok(())
}

async fn produce(queue: BackpressureQueue<u32>) {
    for item in 0..ITEMS {
        let pausing = queue.stats().paused;
        // During a pause this waits, here and nowhere else: no flag to look at, no way to forget it.
        queue.put(item).await.expect("nobody shuts the queue down");
        match (pausing, queue.stats().paused) {
            (true, _) => say!("{} in the queue, the new one included: the producer goes on", queue.qsize()),
            (false, true) => say!("{} in the queue: the producer pauses", queue.qsize()),
            (false, false) => {}
        }
        sleep(Duration::from_millis(1)).await;
    }
    say!("the producer has nothing more");
}

async fn consume(queue: BackpressureQueue<u32>) {
    for expected in 0..ITEMS {
        let item = queue.get().await.expect("nobody shuts the queue down");
        assert_eq!(item, expected, "first in, first out");
        sleep(Duration::from_millis(5)).await;
    }
}
