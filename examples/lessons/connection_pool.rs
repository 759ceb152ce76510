//! Fifteen requests over five connections.
//! To open a connection costs a round trip and more; to keep it costs nothing but a descriptor. So a client keeps them,
//! and opens no more than it may: who finds none free waits in line for the next that is.
//!
//! ```text
//!   15 requests ──► in line ──► 5 connections ══► server, which takes a second to answer
//!                                    │  ▲
//!                                    └──┘ kept: the next in line goes over the same one
//! ```
//!
//! The server runs on the same loop, so nothing here needs the network. By the system's clock a loop with sockets
//! sleeps in the kernel until one of them has something to tell or a deadline is due. By a paused clock it asks the
//! kernel, does not wait, and only if no socket has anything to tell and no task can run does the clock jump to the
//! next deadline. That is why this story, too, can be rehearsed in no time.
//!
//! | asyncio, aiohttp | Windlass |
//! |---|---|
//! | `TCPConnector(limit=10, limit_per_host=5)` | `http::Client::builder().limit(10).limit_per_host(5)` |
//! | a semaphore around each request | the limit itself: who waits for a connection waits in line |
//! | `async with session.get(url) as response:` | `client.get(&url).send().await` |
//!
//! Run it: `cargo run --example connection_pool`.   Next: `batching`.

use std::{error::Error, rc::Rc, time::Duration};

use windlass::{
    http::{self, Client, Reply, Server, Url},
    task::gather_all,
    time::{Instant, sleep},
};
use windlass_examples::say;

fn main() -> Result<(), Box<dyn Error>> {
    windlass::run(story())
}

/// A slow server, a client with a pool, and a look at the pool in each round.
pub(crate) async fn story() -> Result<(), Box<dyn Error>> {
    let server = Server::bind("127.0.0.1:0".parse()?)?;
    let url = Rc::new(Url::parse(&format!("http://{}/delay/1", server.local_addr()?))?);
    windlass::spawn(server.run(|_request| Reply::bytes(200, "slow but sure").delay(Duration::from_secs(1))));

    let client = Client::builder().limit(10).limit_per_host(5).build();
    let began = Instant::now();
    let requests: Vec<_> = (0..15).map(|_| windlass::spawn(fetch(client.clone(), Rc::clone(&url)))).collect();
    say!("{} requests, at most 5 connections to a host", requests.len());
    windlass::spawn(watch(client.clone()));

    let (mut succeeded, mut bytes) = (0, 0);
    for outcome in gather_all(requests).await {
        match outcome? {
            Ok(body) => (succeeded, bytes) = (succeeded + 1, bytes + body.len()),
            Err(error) => say!("{error}"),
        }
    }
    let stats = client.stats();
    say!("{succeeded} of 15 succeeded, {bytes} bytes, in {:.1?}", began.elapsed());
    say!("{} connections opened, {} requests went over a used one", stats.opened, stats.reused);
    Ok(())
}

/// How the pool is doing, in the midst of each second.
async fn watch(client: Client) {
    sleep(Duration::from_millis(500)).await;
    loop {
        let stats = client.stats();
        say!("{} requests are under way, {} wait in line", stats.in_use, stats.waiting);
        sleep(Duration::from_secs(1)).await;
    }
}

async fn fetch(client: Client, url: Rc<Url>) -> Result<Vec<u8>, http::Error> {
    client.get(&url).send().await?.bytes().await
}
