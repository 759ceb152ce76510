//! All of them, or none.
//! Tasks that belong together should end together: a block that waits for its children, and in which one failure stops
//! the others. Nothing that was begun in it is left running when it is over, and no failure goes unseen.
//!
//! ```text
//!   group ─┬─ fetch 1 ──────────────┤ value          0.5 s
//!          ├─ fetch 2 ──────────────┤ value
//!          └─ fetch 3 ──────────────┤ value ──► Ok: all of them
//!
//!   group ─┬─ fetch 4 ────────┤ asked to stop, does                   0.3 s
//!          ├─ fetch 5 ────────┤ fails
//!          └─ fetch 6 ────────┤ asked to stop, cleans up ┤ fails in it    0.4 s ──► Err: both failures
//!
//!   that a child was asked to stop is no failure
//! ```
//!
//! | asyncio | Windlass |
//! |---|---|
//! | `async with asyncio.TaskGroup() as tg:` | `group(async \|g\| { … }).await` |
//! | `tg.create_task(coroutine)`, `task.result()` afterwards | `let child = g.spawn(future)?`, `child.await??` |
//! | `except* ValueError as eg:` | `Err(failures)`, and `failures.split::<FetchFailed>()` by type |
//! | `eg.exceptions` | `failures.errors()` |
//!
//! Run it: `cargo run --example task_group`.   Next: `graceful_shutdown`.

use std::{error::Error, fmt, time::Duration};

use windlass::{cancel::catch, group, task::ErrorGroup, time::sleep};
use windlass_examples::say;

fn main() -> Result<(), Box<dyn Error>> {
    windlass::run(story())
}

/// A group that succeeds, then one in which a child fails, and another while it cleans up.
pub(crate) async fn story() -> Result<(), Box<dyn Error>> {
    say!("== all succeed ==");
    let pages = group(async |g| {
        let (one, two, three) = (g.spawn(fetch(1))?, g.spawn(fetch(2))?, g.spawn(fetch(3))?);
        Ok::<_, Failure>([one.await??, two.await??, three.await??])
    });
    for page in pages.await? {
        say!("  {page}");
    }

    say!("== two fail ==");
    let sad = group(async |g| {
        for id in 4..=6 {
            g.spawn(fetch(id))?;
        }
        Ok::<_, Failure>("nobody gets this")
    });
    let Err(failures) = sad.await else { return Err("two of them should have failed".into()) };
    let (of_fetching, others) = failures.split::<FetchFailed>();
    for failure in of_fetching.iter().flat_map(ErrorGroup::errors) {
        say!("  failed: {failure}");
    }
    others.map_or(Ok(()), |others| Err(others.into()))
}

type Failure = Box<dyn Error + Send + Sync>;

#[derive(Debug)]
struct FetchFailed(&'static str);

impl fmt::Display for FetchFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl Error for FetchFailed {}

/// Takes half a second; number 5 fails after 0.3 s, and number 6 when it is asked to stop.
async fn fetch(id: u32) -> Result<String, FetchFailed> {
    say!("fetching {id}");
    if id == 5 {
        sleep(Duration::from_millis(300)).await;
        return Err(FetchFailed("no answer from 5"));
    }
    let Err(cancelled) = catch(sleep(Duration::from_millis(500))).await else {
        return Ok(format!("data from {id}"));
    };
    say!("{id} is asked to stop");
    if id == 6 {
        sleep(Duration::from_millis(100)).await;
        return Err(FetchFailed("the clean-up of 6"));
    }
    match cancelled.propagate().await {}
}
