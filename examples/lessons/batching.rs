//! Many small calls made one.
//! A database answers a question about five rows as fast as one about a single row. So twenty callers who know nothing
//! of each other put their items in, a batch goes out when there are five or when nothing has come for half a second,
//! and each caller gets its own value back.
//!
//! ```text
//!   submit(0) ─┐
//!   submit(1) ─┤                ┌─ batch of 5 ─ 0.5 s ─┬─ batch of 5 ─ 0.5 s ─┬─ …
//!     …        ├─► collected ──►│                      │                      │
//!   submit(20)─┘                └──► 5 callers go on   └──► 5 callers go on   └──► …
//! ```
//!
//! | asyncio | Windlass |
//! |---|---|
//! | a class with a queue of `(item, Future)` and a worker task | `flow::Batcher::new(flush, process)` |
//! | `batch_size=5, timeout=0.5` | `Flush::at_size(5).or_gap(500 ms)`; `or_deadline` bounds the wait of the first |
//! | `await processor.add_item(item)` | `batcher.submit(item).await` |
//! | `worker_task.cancel()` | `batcher.close().await`: what was submitted is processed |
//!
//! Run it: `cargo run --example batching`.   Next: `resilient_fetch`.

use std::{error::Error, io, ops::Range, time::Duration};

use windlass::{
    flow::{Batcher, Flush},
    task::try_gather,
    time::sleep,
};
use windlass_examples::say;

fn main() -> Result<(), Box<dyn Error>> {
    windlass::run(story())
}

/// Twenty items in four batches, then three that wait for company in vain.
pub(crate) async fn story() -> Result<(), Box<dyn Error>> {
    let flush = Flush::at_size(5).or_gap(Duration::from_millis(500));
    let batcher = Batcher::new(flush, process);

    say!("twenty callers, each with an item");
    submit_all(&batcher, 0..20).await?;
    say!("three more, and nobody after them");
    submit_all(&batcher, 20..23).await?;

    batcher.close().await;
    let stats = batcher.stats();
    say!("{} items in {} batches", stats.items, stats.batches);
    Ok(())
}

/// One task for each item; each gets the value that belongs to its item.
async fn submit_all(batcher: &Batcher<u32, String, io::Error>, items: Range<u32>) -> Result<(), Box<dyn Error>> {
    let callers = items.map(|item| {
        let batcher = batcher.clone();
        windlass::spawn(async move { batcher.submit(item).await })
    });
    let results = try_gather(callers).await??;
    say!("{} results, such as {:?}", results.len(), &results[..3]);
    Ok(())
}

/// One query for all of them; a value for each, in the order of the items. If it fails, all who are in it hear of it.
async fn process(items: Vec<u32>) -> Result<Vec<String>, io::Error> {
    say!("processing a batch of {}: {items:?}", items.len());
    sleep(Duration::from_millis(500)).await;
    Ok(items.iter().map(|item| format!("row {item}")).collect())
}
