//! To try again, within reason.
//! A call that fails may succeed if it is made once more: a peer was busy, or slow, or a packet lost. Three things keep
//! that from making matters worse: each attempt has its time, the pauses grow, and what will never succeed is not tried
//! again.
//!
//! ```text
//!   fast       ├ 200 ┤
//!   slow       ├ 503 ┤┈┈┈┈┈├── too long ──┤┈┈┈┈┈┈┈┈┈┈├ 200 ┤          ┈ the pause: 0.5 s, then 1 s, holding nothing
//!   very slow  ├── too long ──┤┈┈┈┈┈├── too long ──┤┈┈┈┈┈┈┈┈┈┈├── too long ──┤ given up
//!   gone       ├ 404 ┤ given up: it would be gone the next time, too
//! ```
//!
//! The pauses are exact here. In earnest one leaves the jitter on, which is the default, lest all who failed together
//! come back together; and shares a `RetryBudget`, so that retries stay a small part of what a peer in trouble has to
//! bear.
//!
//! | asyncio | Windlass |
//! |---|---|
//! | `for attempt in range(retries):` around `try` | `flow::Retry::new(attempts)…run(async \|attempt\| …)` |
//! | `async with asyncio.timeout(timeout):` in the loop | `.attempt_timeout(timeout)` |
//! | `await asyncio.sleep(1)` | `.backoff(Backoff::exponential(first, cap))` |
//! | `except TimeoutError` | `.retry_if(\|error\| …)`; an attempt that ran out of time is always retried |
//!
//! Run it: `cargo run --example resilient_fetch`.   Next: `steps/README.md`, to see how the loop below does it.

use std::{error::Error, time::Duration};

use windlass::{
    flow::{Attempt, Backoff, Jitter, Retry, RetryError},
    task::gather,
    time::{Instant, sleep},
};
use windlass_examples::say;

fn main() -> Result<(), Box<dyn Error>> {
    windlass::run(story())
}

/// Four peers, each in its own kind of trouble.
pub(crate) async fn story() -> Result<(), Box<dyn Error>> {
    let began = Instant::now();
    let urls = ["https://fast.example", "https://slow.example", "https://very-slow.example", "https://gone.example"];
    let results = gather(urls.map(|url| windlass::spawn(resilient_fetch(url)))).await?;
    say!("all is over after {:.1?}", began.elapsed());
    for (url, result) in urls.iter().zip(results) {
        match result {
            Ok(page) => say!("{url}: {page}"),
            Err(error) => say!("{url}: {:?} after {} attempts", error.kind(), error.attempts()),
        }
    }
    Ok(())
}

/// A status other than 200.
#[derive(Debug)]
pub(crate) struct Status(u16);

async fn resilient_fetch(url: &'static str) -> Result<String, RetryError<Status>> {
    Retry::new(3)
        .attempt_timeout(Duration::from_secs(1))
        .backoff(Backoff::exponential(Duration::from_millis(500), Duration::from_secs(8)).jitter(Jitter::None))
        .retry_if(|Status(code)| *code >= 500)
        .on_failure(move |failed| {
            let what = failed.error.map_or("no answer in time".into(), |Status(code)| format!("status {code}"));
            let then = failed.retry_in.map_or("giving up".into(), |pause| format!("once more in {pause:?}"));
            say!("    {url}: {what}, {then}");
        })
        .run(async |attempt| {
            say!("attempt {attempt}: {url}");
            fetch(url, attempt).await
        })
        .await
}

/// What the peers do, in place of a network.
async fn fetch(url: &str, attempt: Attempt) -> Result<String, Status> {
    let (seconds, code) = match (url, attempt.number) {
        ("https://slow.example", 1) => (0.5, 503),
        ("https://slow.example", 2) | ("https://very-slow.example", _) => (2.0, 200),
        ("https://gone.example", _) => (0.5, 404),
        _ => (0.5, 200),
    };
    sleep(Duration::from_secs_f64(seconds)).await;
    if code == 200 { Ok(format!("data from {url}")) } else { Err(Status(code)) }
}
