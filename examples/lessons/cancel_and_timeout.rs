//! To ask a task to stop.
//! Work that nobody waits for any more, or that takes too long, should end; but it may hold something that has to be
//! given back first. So it is asked, and not killed: the request arrives where the task waits, at the innermost
//! `catch`, and what comes after that may await what its clean-up needs.
//!
//! ```text
//!   task   work ── catch(sleep 10 s) ┈┈┈┈┐                      asked after 2 s, by whoever has the handle
//!                                        └─ cleans up ─ propagate ──► Err: was cancelled
//!
//!   wait_for(2 s) ── the same work ┈┈┈┈┈┈┐                      asked after 2 s, by the clock
//!                                        └─ cleans up ─ propagate ──► Err: the time was up, and nothing is left behind
//! ```
//!
//! Where nothing has to be given back, nobody need be asked: `timeout` drops its future on the spot, and costs less. So does
//! `race`, which runs several futures in one task, and drops the others as soon as one has its output.
//!
//! ```text
//!   race ─┬─ mirror 1 ┈┈┈┈┈┈┈┈┈┈┈┈┈┤ output, after 1 s
//!         └─ mirror 2 ┈┈┈┈┈┈┈┈┈┈┈┈┈┤ dropped where it stands
//! ```
//!
//! | asyncio | Windlass |
//! |---|---|
//! | `task.cancel()` | `task.cancel()`, or `cancel_because(reason)` |
//! | `try: await …` | `match catch(…).await` |
//! | `except CancelledError:`, at its end `raise` | `Err(cancelled)`, at its end `cancelled.propagate().await` |
//! | `await wait_for(coroutine, timeout=2)` | `wait_for(Duration::from_secs(2), future).await` |
//! | `wait(tasks, return_when=FIRST_COMPLETED)`, then `cancel()` for the rest | `race((future, future)).await` |
//!
//! Run it: `cargo run --example cancel_and_timeout`.   Next: `exceptions`.

use std::{error::Error, time::Duration};

use windlass::{
    cancel::catch,
    task::race,
    time::{sleep, wait_for},
};
use windlass_examples::say;

fn main() -> Result<(), Box<dyn Error>> {
    windlass::run(story())
}

/// Work that is cancelled, then work that runs out of time, then work that another was quicker with.
pub(crate) async fn story() -> Result<(), Box<dyn Error>> {
    say!("== cancelled ==");
    let task = windlass::spawn(long_work());
    sleep(Duration::from_secs(2)).await;
    task.cancel_because("nobody needs it");
    match task.await {
        Ok(result) => say!("it ended with {result}"),
        Err(error) if error.is_cancelled() => say!("it was cancelled"),
        Err(error) => return Err(error.into()),
    }

    say!("== out of time ==");
    match wait_for(Duration::from_secs(2), long_work()).await {
        Ok(result) => say!("it ended with {result}"),
        Err(elapsed) => say!("it did not end: {elapsed}"),
    }

    say!("== no longer needed ==");
    say!("the first answer: {}", race((ask("mirror 1", 1_000), ask("mirror 2", 3_000))).await);
    sleep(Duration::from_secs(5)).await; // mirror 2 says nothing in all this time
    say!("and no other");
    Ok(())
}

async fn long_work() -> &'static str {
    say!("work begins");
    let Err(cancelled) = catch(sleep(Duration::from_secs(10))).await else {
        say!("work is done");
        return "success";
    };
    say!("    {cancelled}");
    sleep(Duration::from_millis(250)).await; // a farewell to a peer, a file that is removed
    say!("    cleaned up");
    // Without this the task would have swallowed the request, and would end like any other.
    match cancelled.propagate().await {}
}

async fn ask(mirror: &str, ms: u64) -> &str {
    sleep(Duration::from_millis(ms)).await;
    say!("    {mirror} answers");
    mirror
}
