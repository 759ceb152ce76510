//! Two tasks, one thread, the time of one.
//! A task that waits gives its thread to the others. So two tasks that mostly wait take together as long as the slower
//! one, and nobody needed a second thread for it.
//!
//! ```text
//!            0 s                0.5 s              1 s
//!   task 1   begins ┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈ done       1 s in all, not 1.5
//!   task 2   begins ┈┈┈┈┈┈┈┈┈┈┈┈ done
//! ```
//!
//! They begin in the order in which they were named and end by the clock; their results come in the order of their
//! names.
//!
//! | asyncio | Windlass |
//! |---|---|
//! | `asyncio.run(main())` | `windlass::run(main())` |
//! | `await asyncio.sleep(1)` | `sleep(Duration::from_secs(1)).await` |
//! | `await asyncio.gather(task1(), task2())` | `gather([spawn(task1()), spawn(task2())]).await` |
//! | `time.time()` | `time::Instant::now()`, on the loop's own clock |
//!
//! Run it: `cargo run --example event_loop_basics`.   Next: `inspect_loop`.

use std::{error::Error, time::Duration};

use windlass::{
    task::gather,
    time::{Instant, sleep},
};
use windlass_examples::say;

fn main() -> Result<(), Box<dyn Error>> {
    windlass::run(story())
}

/// Two tasks side by side, and how long they take together.
pub(crate) async fn story() -> Result<(), Box<dyn Error>> {
    let began = Instant::now();
    let results = gather([windlass::spawn(work(1, 1_000)), windlass::spawn(work(2, 500))]).await?;
    say!("results: {results:?}");
    say!("in all: {:.2?}", began.elapsed());
    Ok(())
}

async fn work(number: u32, ms: u64) -> String {
    say!("task {number} begins");
    sleep(Duration::from_millis(ms)).await;
    say!("task {number} is done");
    format!("result {number}")
}
