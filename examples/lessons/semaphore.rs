//! At most three at a time.
//! Ten pages are to be fetched, and all ten tasks start at once; but who has no permit waits. So the work goes through
//! in rounds of three, in the order in which the tasks came.
//!
//! ```text
//!   0 s        1 s        2 s        3 s        4 s
//!   ├─ page 0 ─┼─ page 3 ─┼─ page 6 ─┼─ page 9 ─┤       ten pages of a second each:
//!   ├─ page 1 ─┼─ page 4 ─┼─ page 7 ─┤                  1 s without a bound, 10 s one by one,
//!   ├─ page 2 ─┼─ page 5 ─┼─ page 8 ─┤                  4 s three at a time
//! ```
//!
//! | asyncio | Windlass |
//! |---|---|
//! | `asyncio.Semaphore(3)` | `sync::Semaphore::new(3)` |
//! | `async with semaphore:` | `let permit = semaphore.acquire().await`, given back where `permit` is dropped |
//! | shared by every coroutine that sees it | shared in an `Rc`: one thread, no atomics |
//!
//! Run it: `cargo run --example semaphore`.   Next: `lock_and_event`.

use std::{error::Error, rc::Rc, time::Duration};

use windlass::{
    sync::Semaphore,
    task::gather,
    time::{Instant, sleep},
};
use windlass_examples::say;

fn main() -> Result<(), Box<dyn Error>> {
    windlass::run(story())
}

/// Ten fetches, three permits.
pub(crate) async fn story() -> Result<(), Box<dyn Error>> {
    let semaphore = Rc::new(Semaphore::new(3));
    fetch_all(Rc::clone(&semaphore)).await?;
    say!("{} permits, as before", semaphore.available_permits());
    Ok(())
}

pub(crate) async fn fetch_all(semaphore: Rc<Semaphore>) -> Result<(), Box<dyn Error>> {
    let began = Instant::now();
    let urls = (0..10).map(|page| format!("https://example.com/page{page}"));
    let results = gather(urls.map(|url| windlass::spawn(fetch(url, Rc::clone(&semaphore))))).await?;
    say!("{} pages in {:.1?}", results.len(), began.elapsed());
    say!("the last: {}", results[9]);
    Ok(())
}

async fn fetch(url: String, semaphore: Rc<Semaphore>) -> String {
    // Held until the end of this function, whatever way it ends: also if the task is cancelled.
    let _permit = semaphore.acquire().await.expect("nobody closes the semaphore");
    say!("fetching {url}");
    sleep(Duration::from_secs(1)).await; // the network
    say!("done     {url}");
    format!("data from {url}")
}
