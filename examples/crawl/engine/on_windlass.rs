//! This library's client on its loop.
//!
//! ```text
//!     Client ──► pool ──► Response ──► Answer
//! ```
//!
//! The client's own limits of connections are off: who may have how many is the frontier's.
//! Next: `on_tokio`.

use std::{cell::Cell, net::IpAddr, os::unix::net::UnixStream, rc::Rc, time::Duration};

use windlass::{
    http::{Client, Error, Limits, Response, Timeouts, Url},
    io::AsyncFd,
    net::dns::{AddressPolicy, Cache, Overrides, Resolve, System},
    time::sleep,
};

use super::{Answer, Engine, Took, ms};
use crate::plan::{Header, Manners};

#[derive(Debug)]
pub(crate) struct OnWindlass {
    client: Client,
    resolving: Rc<Cell<usize>>,
}

/// A look-up under way, also one that is given up.
struct LookUp(Rc<Cell<usize>>);

impl LookUp {
    fn counted(count: &Rc<Cell<usize>>) -> Self {
        count.set(count.get() + 1);
        Self(count.clone())
    }
}

impl Drop for LookUp {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// The system's answers, kept; how many are waited for is counted.
fn resolver(resolving: &Rc<Cell<usize>>) -> impl Resolve + 'static {
    let (cache, resolving) = (Rc::new(Cache::new(System)), resolving.clone());
    move |host: String| {
        let (cache, waits) = (cache.clone(), LookUp::counted(&resolving));
        async move {
            let _waits = waits;
            cache.resolve(&host).await
        }
    }
}

impl OnWindlass {
    /// So many `connections` at once, those that idle included; 0 is no limit.
    pub(crate) fn new(manners: &Manners, connections: usize) -> Self {
        let mut timeouts = Timeouts::default();
        timeouts.total = Some(manners.timeout);
        let mut limits = Limits::default();
        limits.body_max = manners.max_size;
        let policy = if manners.denies_private { AddressPolicy::PublicOnly } else { AddressPolicy::AllowAll };
        let client = Client::builder().limit(connections).limit_per_host(0).timeouts(timeouts).limits(limits);
        let client = client.user_agent(manners.user_agent.clone()).address_policy(policy);
        let public = manners.headers.public().iter();
        let client = public.fold(client, |client, (name, value)| client.header(name, value.as_str()));
        let resolving = Rc::default();
        let client = client.resolver(resolver(&resolving)).overrides(overrides(manners));
        Self { client: client.build(), resolving }
    }
}

fn overrides(manners: &Manners) -> Overrides {
    let mut overrides = Overrides::new();
    for (host, port, address) in &manners.resolve {
        overrides.add(host, *port, vec![*address]);
    }
    overrides
}

impl Engine for OnWindlass {
    type Answer = Response;

    async fn send(&self, url: &Url, credentials: &[Header], connected: &dyn Fn()) -> Result<Response, Error> {
        let mut request = self.client.get(url).timed().on_connection(connected);
        for (name, value) in credentials {
            request = request.header(name.as_str(), value.as_str());
        }
        request.send().await
    }

    fn resolving(&self) -> usize {
        self.resolving.get()
    }

    fn spawn(task: impl Future<Output = ()> + 'static) {
        drop(windlass::spawn(task));
    }

    async fn sleep(span: Duration) {
        sleep(span).await;
    }

    async fn readable(stream: UnixStream) {
        let watched = AsyncFd::new(stream).expect("a connected pair of sockets can be watched");
        watched.readable().await.expect("it is watched by this loop");
    }

    async fn yield_now() {
        windlass::task::yield_now().await;
    }

    async fn elsewhere<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
        windlass::task::spawn_blocking(work).await.unwrap_or_else(|error| panic!("{error}"))
    }
}

impl Answer for Response {
    fn status(&self) -> u16 {
        Response::status(self)
    }

    fn headers<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        Response::headers(self).get_all(name)
    }

    async fn chunk(&mut self) -> Result<Option<&[u8]>, Error> {
        Response::chunk(self).await
    }

    fn received(&self) -> Option<(Vec<u8>, Option<IpAddr>)> {
        Some((self.head_bytes().to_vec(), self.remote_addr().map(|from| from.ip())))
    }

    fn took(&self) -> Took {
        let timings = self.timings().expect("it was asked to take the time");
        Took {
            queue: Some(ms(timings.queue)),
            dns: Some(ms(timings.dns)),
            connect: Some(ms(timings.connect)),
            tls: Some(ms(timings.tls)),
            first_byte: Some(ms(timings.first_byte)),
            body: Some(ms(timings.body)),
        }
    }
}
