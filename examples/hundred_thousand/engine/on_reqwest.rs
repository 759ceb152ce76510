//! Engine `reqwest`: the client that most programs on tokio use.
//!
//! ```text
//!     get ──► Slot ──► reqwest::Client ──► its own pool, hyper below ──► status, body chunks
//! ```
//!
//! It has no limit of connections to a host, only one of those that idle; the permits of `pool` give it one. Without TLS,
//! decoding or cookies, none of which this program asks anybody for.
//! Not here: the permits (`pool`).   Next: `wire`.

use std::{cell::Cell, io, os::unix::net::UnixStream, rc::Rc, time::Duration};

use reqwest::{
    Client, Response,
    header::{CONNECTION, HeaderValue},
};
use tokio::runtime::{Builder, LocalOptions};
use windlass::http::Error;

use super::{
    Carried, Engine, failures,
    on_hyper::{RESOLVER_PATIENCE, beside, interrupted},
    pool::Pool,
    timed_out,
};
use crate::{binding::Census, contract::Plan, faults::script, window};
use windlass_examples::latency::now_ns;

/// Requests by reqwest.
struct OnReqwest {
    pool: Pool<()>,
    client: Client,
    url: reqwest::Url,
    timeout: Duration,
    bytes_in: Cell<u64>,
}

/// Carries out `plan` on a runtime of its own.
///
/// # Errors
/// The runtime cannot be made, the URL cannot be sent, or connections are to carry a number of requests above one, which
/// reqwest cannot be told.
pub(crate) fn run(plan: &Plan, stop: UnixStream) -> io::Result<Carried> {
    let idle = match plan.settings.max_requests {
        None => usize::try_from(plan.settings.per_host).unwrap_or(usize::MAX),
        Some(1) => 0,
        Some(_) => return Err(io::Error::other("reqwest keeps connections or does not: --max-requests 1, or none")),
    };
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default())?;
    let mut client = Client::builder().pool_max_idle_per_host(idle).tcp_nodelay(true).no_proxy().timeout(plan.timeout);
    if idle == 0 {
        let close = (CONNECTION, HeaderValue::from_static("close")); // as `windlass` does
        client = client.default_headers([close].into_iter().collect());
    }
    let engine = Rc::new(OnReqwest {
        pool: Pool::new(plan.settings),
        client: client.build().map_err(io::Error::other)?,
        url: plan.url.parse().map_err(io::Error::other)?,
        timeout: plan.timeout,
        bytes_in: Cell::new(0),
    });
    let seen = runtime.block_on(window::drive(Rc::clone(&engine), plan, interrupted(stop)))?;
    runtime.shutdown_timeout(RESOLVER_PATIENCE);
    // It has a pool of its own, and does not tell of it.
    Ok(Carried { connections: None, ..engine.pool.counts.carried(seen, engine.bytes_in.get()) })
}

impl Engine for OnReqwest {
    async fn get(&self, number: Option<u64>, connected_ns: &Cell<Option<u64>>) -> Result<u16, Error> {
        match number {
            None => self.exchange(self.url.clone(), connected_ns, |_| {}).await,
            // Boxed, so that a future that has no number is no larger for it.
            Some(number) => Box::pin(self.exchange_scripted(number, connected_ns)).await,
        }
    }

    fn spawn(task: impl Future<Output = ()> + 'static) -> impl Future<Output = ()> {
        beside(task)
    }

    fn sleep(span: Duration) -> impl Future<Output = ()> {
        tokio::time::sleep(span)
    }

    fn census(&self) -> Census {
        self.pool.counts.census()
    }
}

impl OnReqwest {
    /// Holds what the answer to request `number` brings against the script.
    async fn exchange_scripted(&self, number: u64, connected_ns: &Cell<Option<u64>>) -> Result<u16, Error> {
        let mut url = self.url.clone();
        url.set_path(&number.to_string());
        let mut brought = Vec::new();
        let status = self.exchange(url, connected_ns, |piece| brought.extend_from_slice(piece)).await?;
        script::check(number, status, &brought)
    }

    /// Sends one request and takes the answer in; `take` is shown its body.
    async fn exchange(
        &self,
        url: reqwest::Url,
        connected_ns: &Cell<Option<u64>>,
        take: impl FnMut(&[u8]),
    ) -> Result<u16, Error> {
        let _slot = self.pool.slot().await;
        connected_ns.set(Some(now_ns()));
        let sent = self.client.get(url).send().await;
        let response = sent.map_err(|error| self.named(&error))?;
        let status = response.status().as_u16();
        self.read_to_the_end(response, take).await?;
        Ok(status)
    }

    /// Counts what comes of the body, and shows it to `take`; the heads reqwest keeps to itself.
    async fn read_to_the_end(&self, mut response: Response, mut take: impl FnMut(&[u8])) -> Result<(), Error> {
        while let Some(chunk) = response.chunk().await.map_err(|error| self.named(&error))? {
            self.bytes_in.set(self.bytes_in.get() + chunk.len() as u64);
            take(&chunk);
        }
        Ok(())
    }

    /// Puts reqwest's error under our name for it.
    fn named(&self, error: &reqwest::Error) -> Error {
        if error.is_timeout() { timed_out(self.timeout) } else { failures::of_reqwest(error) }
    }
}
