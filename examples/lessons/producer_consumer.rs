//! Work that finds its workers.
//! Two producers put items into a queue, three consumers take them out; none knows the others. Three things end it
//! well: the producers are awaited, the queue is joined (every item taken *and* done with), and each consumer gets a
//! `None` that sends it home.
//!
//! ```text
//!   producer 0 ─┐                            ┌─► consumer 0
//!               ├─► put ─► [ queue ] ─► get ─┼─► consumer 1 ──► task_done
//!   producer 1 ─┘                            └─► consumer 2
//!
//!   producers awaited ──► queue.join() ──► None, None, None ──► consumers awaited
//! ```
//!
//! | asyncio | Windlass |
//! |---|---|
//! | `asyncio.Queue(maxsize=10)` | `sync::Queue::new(10)`; clones are handles to the same queue |
//! | `put`, `get`, `join` | the same |
//! | `finally: queue.task_done()` | `task_done` in a destructor |
//! | `None` among the items | the items' type says so: `Queue<Option<Item>>` |
//!
//! Run it: `cargo run --example producer_consumer`.   Next: `connection_pool`.

use std::{error::Error, time::Duration};

use windlass::{sync::Queue, task::gather, time::sleep};
use windlass_examples::say;

/// How long a producer rests after each of its items, in milliseconds.
const RESTS_MS: [[u64; 5]; 2] = [[130, 450, 250, 320, 110], [410, 170, 290, 360, 220]];
/// How long each of a producer's items is worked on.
const WORK_MS: [u64; 5] = [570, 240, 380, 510, 330];

struct Item {
    name: String,
    work: Duration,
}

fn main() -> Result<(), Box<dyn Error>> {
    windlass::run(story())
}

/// Two producers, three consumers, ten items.
pub(crate) async fn story() -> Result<(), Box<dyn Error>> {
    let queue = Queue::new(10);
    let producers = [0, 1].map(|id| windlass::spawn(produce(id, queue.clone())));
    let consumers = [0, 1, 2].map(|id| windlass::spawn(consume(id, queue.clone())));
    gather(producers).await?;
    say!("all is produced");
    queue.join().await;
    say!("all is consumed");
    for _ in 0..3 {
        queue.put(None).await?;
    }
    let items: u32 = gather(consumers).await?.iter().sum();
    say!("{items} items, and everybody has gone home");
    Ok(())
}

async fn produce(id: usize, queue: Queue<Option<Item>>) {
    for (number, work_ms) in WORK_MS.into_iter().enumerate() {
        let (name, work) = (format!("P{id}-item{number}"), Duration::from_millis(work_ms));
        say!("producer {id}: {name}");
        queue.put(Some(Item { name, work })).await.expect("nobody shuts the queue down");
        sleep(Duration::from_millis(RESTS_MS[id][number])).await;
    }
}

/// Works until it is sent home, and says how many items it has done.
async fn consume(id: u32, queue: Queue<Option<Item>>) -> u32 {
    let mut items = 0;
    loop {
        let item = queue.get().await.expect("nobody shuts the queue down");
        let _done = Done(&queue); // for the `None` too: `join` counts whatever was put
        let Some(Item { name, work }) = item else { return items };
        say!("    consumer {id}: begins {name}");
        sleep(work).await;
        say!("    consumer {id}: has done {name}");
        items += 1;
    }
}

/// Says that an item is done with, in whatever way: were that the last line of the work, a consumer that is cancelled in
/// the midst of it would leave `join` waiting for ever.
struct Done<'a>(&'a Queue<Option<Item>>);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.task_done().expect("once for each item");
    }
}
