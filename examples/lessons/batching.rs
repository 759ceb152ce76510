//! Many small calls made one.
//! A database answers a question about five rows as fast as one about a single row. So twenty callers who know nothing
//! of each other put their items in, a batch goes out when there are five or when nothing has come for half a second,
//! and each caller gets its own value back. A caller who gives up is left out; a batch that fails tells all who are in it.
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
//! | `future.set_exception(e)` for each of the batch | `Err` from the function that processes it: all get it, shared |
//! | `worker_task.cancel()` | `batcher.close().await`: what was submitted is processed |
//!
//! Run it: `cargo run --example batching`.   Next: `resilient_fetch`.

use std::{error::Error, io, ops::Range, time::Duration};

use windlass::{
    flow::{BatchError, Batcher, Flush},
    task::{JoinHandle, gather_all, try_gather},
    time::{sleep, timeout},
};
use windlass_examples::say;

fn main() -> Result<(), Box<dyn Error>> {
    windlass::run(story())
}

/// Twenty items in four batches, three that wait for company in vain, a caller who gives up, and a batch that fails.
pub(crate) async fn story() -> Result<(), Box<dyn Error>> {
    let flush = Flush::at_size(5).or_gap(Duration::from_millis(500));
    let batcher = Batcher::new(flush, process);

    say!("twenty callers, each with an item");
    let results = try_gather(submit_all(&batcher, 0..20)).await??;
    say!("{} results, such as {:?}", results.len(), &results[..3]);

    say!("three more, and nobody after them");
    let results = try_gather(submit_all(&batcher, 20..23)).await??;
    say!("{} results: {results:?}", results.len());

    say!("four more; the first gives up, the last asks for what is not there");
    let impatient = timeout(Duration::from_millis(100), batcher.submit(23));
    let others = submit_all(&batcher, 24..27);
    say!("the first: {}", if impatient.await.is_err() { "no answer in time" } else { "an answer" });
    for (item, outcome) in (24..).zip(gather_all(others).await) {
        match outcome? {
            Ok(row) => say!("{item}: {row}"),
            Err(error) => say!("{item}: failed, {error}"),
        }
    }

    batcher.close().await;
    let stats = batcher.stats();
    say!("batches: {}, of which failed: {}", stats.batches, stats.failed);
    say!("items: {}, and left out: {}", stats.items, stats.skipped);
    Ok(())
}

type Rows = Batcher<u32, String, io::Error>;
type Row = Result<String, BatchError<io::Error>>;

/// One task for each item; each gets the value that belongs to its item.
fn submit_all(batcher: &Rows, items: Range<u32>) -> Vec<JoinHandle<Row>> {
    let submit = |item| {
        let batcher = batcher.clone();
        windlass::spawn(async move { batcher.submit(item).await })
    };
    items.map(submit).collect()
}

/// One query for all of them; a value for each, in the order of the items. If it fails, all who are in it hear of it.
async fn process(items: Vec<u32>) -> Result<Vec<String>, io::Error> {
    say!("processing a batch of {}: {items:?}", items.len());
    sleep(Duration::from_millis(500)).await;
    if items.contains(&26) {
        return Err(io::Error::other("there is no row 26"));
    }
    Ok(items.iter().map(|item| format!("row {item}")).collect())
}
