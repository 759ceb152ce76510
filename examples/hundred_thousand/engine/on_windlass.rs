//! Engine `windlass`: this library's loop and its HTTP client.
//!
//! ```text
//!     get ──► Client ──► Response::drain ──► status
//!                └── its own pool: limit to the host, first come first served, time-out
//! ```
//!
//! All that the engines on tokio need modules for, the client brings along: the pool, the limit, the time-out and HTTP.
//! Left to do is to note when a request has its connection, which the client tells, and to fetch the loop's counters.
//! Not here: any of that; it is the library.   Next: `pool`, which is what tokio's side needs of its own.

use std::{cell::Cell, io, os::unix::net::UnixStream, rc::Rc, time::Duration};

use windlass::{
    Loop,
    http::{Client, Error, Limits, Redirects, Url},
    io::AsyncFd,
};
use windlass_examples::latency::now_ns;

use super::{Carried, Engine, Held, numbered};
use crate::{
    binding::Census,
    contract::{Connections, Plan, Turns},
    faults::script,
    window,
};

/// Requests by this library's client.
struct OnWindlass {
    client: Client,
    url: Url,
    /// Requests that have entered, and those of them that have a connection.
    asking: Cell<u64>,
    connected: Cell<u64>,
}

/// Carries out `plan` on a loop of its own.
///
/// # Errors
/// The loop cannot be made, or the URL cannot be sent.
pub(crate) fn run(plan: &Plan, stop: UnixStream) -> io::Result<Carried> {
    let event_loop = Loop::new()?;
    let mut limits = Limits::default();
    limits.body_max = u64::MAX; // bodies are counted, not kept
    let per_host = usize::try_from(plan.settings.per_host).unwrap_or(usize::MAX);
    let mut client = Client::builder()
        .limit(0)
        .limit_per_host(per_host)
        .max_requests(plan.settings.max_requests.unwrap_or(0))
        .timeout(plan.timeout)
        .limits(limits);
    if plan.settings.faults.is_some() {
        client = client.redirects(Redirects::up_to(10)); // one of the faults is a loop of them
    }
    let client = client.build();
    let url = Url::parse(&plan.url).map_err(io::Error::other)?;
    let engine = Rc::new(OnWindlass { client, url, asking: Cell::new(0), connected: Cell::new(0) });
    let before = event_loop.metrics();
    let seen = event_loop.block_on(window::drive(Rc::clone(&engine), plan, interrupted(stop)))?;
    let after = event_loop.metrics();
    let stats = engine.client.stats();
    Ok(Carried {
        seen,
        connections: Some(Connections { opened: stats.opened, reused: stats.reused }),
        in_flight_max: stats.in_use_max,
        retries: stats.retries,
        bytes_in: stats.bytes_in,
        turns: Some(Turns {
            ticks: after.ticks - before.ticks,
            polls: after.sum.polls - before.sum.polls,
            wakes: after.sum.wakes - before.sum.wakes,
            syscalls: after.sum.syscalls - before.sum.syscalls,
        }),
        would_block: Some(after.would_block - before.would_block),
    })
}

/// Completes when something can be read from `stop`.
async fn interrupted(stop: UnixStream) {
    let told = stop.set_nonblocking(true).and_then(|()| AsyncFd::new(stop));
    let told = told.expect("a connected pair of sockets can be watched");
    told.readable().await.expect("it is watched by this loop");
}

impl OnWindlass {
    /// Sends request `number`, and holds what it brings against the script.
    async fn get_scripted(&self, number: u64, has_connection: &dyn Fn()) -> Result<u16, Error> {
        let url = numbered(&self.url, number);
        let response = self.client.get(&url).on_connection(has_connection).send().await?;
        let status = response.status();
        script::check(number, status, &response.bytes().await?)
    }
}

impl Engine for OnWindlass {
    async fn get(&self, number: Option<u64>, connected_ns: &Cell<Option<u64>>) -> Result<u16, Error> {
        let _asking = Held::new(&self.asking);
        let held = Cell::new(None);
        let has_connection = || {
            connected_ns.set(Some(now_ns()));
            held.set(Some(Held::new(&self.connected)));
        };
        if let Some(number) = number {
            // Boxed, so that a future that has no number is no larger for it.
            return Box::pin(self.get_scripted(number, &has_connection)).await;
        }
        let response = self.client.get(&self.url).on_connection(&has_connection).send().await?;
        let status = response.status();
        response.drain().await?;
        Ok(status)
    }

    fn spawn(task: impl Future<Output = ()> + 'static) -> impl Future<Output = ()> {
        let spawned = windlass::spawn(task);
        async { spawned.await.expect("a task of the window does not panic") }
    }

    fn sleep(span: Duration) -> impl Future<Output = ()> {
        windlass::time::sleep(span)
    }

    fn census(&self) -> Census {
        let stats = self.client.stats();
        let connecting = self.asking.get().saturating_sub(self.connected.get() + stats.waiting);
        Census { waiting: stats.waiting, in_use: stats.in_use, connecting }
    }
}
