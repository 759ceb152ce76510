//! A task begins without being waited for.
//! A future does nothing until somebody polls it. A task is polled by the loop: it runs as soon as the one that spawned
//! it waits, whether or not anybody asks for its result, and also if its handle is dropped.
//!
//! ```text
//!   main   spawn API-1, spawn API-2 ── gather both ┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈ results, in the order of the handles
//!              └─ in line ─┐  └─ in line ─┐         ▲          ▲
//!   API-1                  fetching ┈┈┈┈┈┈│┈┈┈┈┈┈┈┈┈│┈┈┈┈┈┈┈┈┈┈┘ 1 s
//!   API-2                                 fetching ┈┘ 0.5 s
//! ```
//!
//! | asyncio | Windlass |
//! |---|---|
//! | `asyncio.create_task(coroutine)` | `windlass::spawn(future)` |
//! | `create_task(coroutine, name="API-1")` | `task::Builder::new().name("API-1").spawn(future)` |
//! | `await asyncio.gather(task1, task2)` | `task::gather([task1, task2]).await` |
//! | keep a reference, or the task may vanish | a task lives until it ends; dropping the handle detaches it |
//!
//! Run it: `cargo run --example task_creation`.   Next: `cancel_and_timeout`.

use std::{error::Error, time::Duration};

use windlass::{task, time::sleep};
use windlass_examples::say;

fn main() -> Result<(), Box<dyn Error>> {
    windlass::run(story())
}

/// Two tasks with names, and a third that nobody holds.
pub(crate) async fn story() -> Result<(), Box<dyn Error>> {
    let named = |name: &str| task::Builder::new().name(name);
    let first = named("API-1").spawn(fetch("https://api1.example", 1_000));
    let second = named("API-2").spawn(fetch("https://api2.example", 500));
    drop(named("log").spawn(async { say!("nobody waits for this, and it runs all the same") }));
    say!("three tasks are in line, none has begun");

    let results = task::gather([first, second]).await?;
    say!("results: {results:?}");
    Ok(())
}

async fn fetch(url: &str, ms: u64) -> String {
    let name = task::current().expect("this runs in a task").name;
    say!("{name}: fetching {url}");
    sleep(Duration::from_millis(ms)).await;
    say!("{name}: done with {url}");
    format!("data from {url}")
}
