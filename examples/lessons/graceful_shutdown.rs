//! To end in good order.
//! A service has tasks without an end. When it is told to stop, each should finish what it holds; but not for ever:
//! there is a grace, and who has not managed by then is dropped, and named.
//!
//! ```text
//!            0 s      1 s      2 s  2.5 s      3 s       3.5 s
//!   worker   works ── works ── works ┈┤ cleans up ┤ ended
//!   stubborn begins ┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┤ would clean up for an hour ├ dropped
//!   main     waits ┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┤ shutdown(grace 1 s) ┈┈┈┈┈┈┈├ report
//!                                     └ all are asked, in the order in which they began
//! ```
//!
//! A task leaves the registry by itself when it ends, so the registry never grows with what is over. What the registry
//! does can be done by hand, and the story begins with that: ask each, wait for all until the grace is over, drop the
//! rest. The picture is of its last part.
//!
//! In between are two clerks, of whom none should be stopped in the midst of a customer. A request that arrives wherever
//! they wait is not what they need: they have a token, and look at it where they may stop.
//!
//! ```text
//!            0 s         1 s         2 s         3 s
//!   clerk 0  ┈┈┈┤ serves ───┤┈┈┈┤ serves ───┤ goes home
//!   clerk 1  ┈┈┈┈┈┈┤ serves ───┤┈┈┈┈┤ goes home
//!   main     ┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┤ token.cancel(), and tracker.wait() until both are gone
//! ```
//!
//! | asyncio | Windlass |
//! |---|---|
//! | a class with a set of tasks and `add_done_callback(tasks.discard)` | `shutdown::GracefulShutdown` |
//! | `register_task(asyncio.create_task(…))` | `service.spawn(name, future)` |
//! | `cancel()` for each, then `asyncio.wait(tasks, timeout=5)` | `cancel()`, `wait(tasks, When::AllCompleted).until(sleep(grace))` |
//! | the two together | `service.shutdown(grace).await` gives a report |
//! | an `asyncio.Event` that each worker looks at | `sync::CancellationToken`, and `run_until_cancelled` around a wait |
//! | a set of tasks, `asyncio.wait(tasks)` | `sync::TaskTracker`: counts who is here, keeps no handles and no outputs |
//! | `loop.add_signal_handler` | `service.shutdown_on_signal(grace).await`, with the feature `signal` |
//!
//! Run it: `cargo run --example graceful_shutdown`.   Next: `backpressure`.

use std::{error::Error, time::Duration};

use windlass::{
    cancel::catch,
    shutdown::GracefulShutdown,
    sync::{CancellationToken, TaskTracker},
    task::{When, wait},
    time::{sleep, timeout},
};
use windlass_examples::say;

fn main() -> Result<(), Box<dyn Error>> {
    windlass::run(story())
}

/// Three workers that clean up, one that does not come to an end, and a shutdown: by hand, by a token for those who stop
/// only where they look, then by a registry.
pub(crate) async fn story() -> Result<(), Box<dyn Error>> {
    say!("== by hand ==");
    let tasks = [windlass::spawn(worker(7)), windlass::spawn(stubborn())];
    sleep(Duration::from_millis(500)).await;
    for task in &tasks {
        task.cancel_because("closing time");
    }
    let waited = wait(tasks, When::AllCompleted).until(sleep(Duration::from_secs(1))).await;
    say!("{} ended in time, {} did not", waited.done.len(), waited.pending.len());
    for task in waited.pending {
        task.abort();
    }

    say!("== by a token ==");
    let (closing, clerks) = (CancellationToken::new(), TaskTracker::new());
    for id in 0..2 {
        clerks.spawn(clerk(id, closing.clone()));
    }
    sleep(Duration::from_secs(2)).await;
    say!("the door is closed, {} clerks are here", clerks.len());
    closing.cancel();
    clerks.close(); // nobody more will come, so that `wait` has an end
    timeout(Duration::from_secs(1), clerks.wait()).await?;

    say!("== by a registry ==");
    let service = GracefulShutdown::new();
    service.spawn("brief", async { say!("brief: has nothing to do, and leaves") });
    for id in 0..3 {
        service.spawn(format!("worker {id}"), worker(id));
    }
    service.spawn("stubborn", stubborn());

    sleep(Duration::from_millis(2_500)).await;
    say!("told to stop: {} tasks are here", service.len());
    let report = service.shutdown(Duration::from_secs(1)).await;
    say!("{report}");
    Ok(())
}

async fn worker(id: u32) {
    let work = async {
        loop {
            say!("worker {id}: works");
            sleep(Duration::from_secs(1)).await;
        }
    };
    let Err(cancelled) = catch(work).await;
    say!("worker {id}: cleans up");
    sleep(Duration::from_millis(500)).await;
    say!("worker {id}: ends");
    // The last line of a clean-up: whoever waits for this task is told that it was cancelled.
    match cancelled.propagate().await {}
}

/// Waits for customers until the door is closed, and never leaves one alone.
async fn clerk(id: u64, closing: CancellationToken) {
    while closing.run_until_cancelled(sleep(Duration::from_millis(300 * (id + 1)))).await.is_some() {
        say!("clerk {id}: serves a customer");
        sleep(Duration::from_secs(1)).await;
    }
    say!("clerk {id}: goes home");
}

async fn stubborn() {
    let _asked = catch(std::future::pending::<()>()).await;
    say!("stubborn: cleans up, and takes its time");
    sleep(Duration::from_secs(3600)).await;
    say!("stubborn: ends"); // nobody ever hears this
}
