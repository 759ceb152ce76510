//! Who carries the requests.
//!
//! ```text
//!     crawl ──► Engine::send ──► Answer: status, headers ──► chunk, chunk, … ──► took
//!        │          ├── on_windlass    this library's client on its loop
//!        │          └── on_tokio       reqwest on tokio's LocalRuntime
//!        └────► spawn, sleep, yield_now, elsewhere: tasks, time and threads of that loop
//! ```
//!
//! An engine sends one request and gives one answer. Redirects, retries, codings, slots and delays are the crawl's, so that
//! two engines differ in nothing else.
//! Next: `on_windlass`.

#[path = "../../src/tokio_failures.rs"]
mod failures;
pub(crate) mod on_tokio;
pub(crate) mod on_windlass;

use std::{net::IpAddr, os::unix::net::UnixStream, time::Duration};

use serde::Serialize;
use windlass::http::{Error, Url};

use crate::plan::Header;

pub(crate) trait Engine: 'static {
    type Answer: Answer;

    /// Sends a GET with `credentials`, besides the headers that all have, and waits for the head of the answer. Calls
    /// `connected` when it has a connection.
    ///
    /// # Errors
    /// Every failure under its own kind.
    async fn send(&self, url: &Url, credentials: &[Header], connected: &dyn Fn()) -> Result<Self::Answer, Error>;

    /// How many names are being looked up, as far as it tells.
    fn resolving(&self) -> usize;

    /// Runs `task` beside the others.
    fn spawn(task: impl Future<Output = ()> + 'static);

    /// Completes after `span`.
    async fn sleep(span: Duration);

    /// Completes when something can be read from `stream`, which does not block.
    async fn readable(stream: UnixStream);

    /// Lets the others have their turn.
    async fn yield_now();

    /// Does what takes long on another thread; the others go on.
    ///
    /// # Panics
    /// If `work` does, or no thread can be started for it.
    async fn elsewhere<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T;
}

pub(crate) trait Answer {
    fn status(&self) -> u16;

    /// The headers of this name, in their order.
    fn headers<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]>;

    /// The next piece of the body, as it came; none at its end.
    async fn chunk(&mut self) -> Result<Option<&[u8]>, Error>;

    /// The head as it came, and from where; none if the engine does not tell.
    fn received(&self) -> Option<(Vec<u8>, Option<IpAddr>)>;

    /// How long each phase took until now.
    fn took(&self) -> Took;
}

/// How long each phase of a fetch took, in milliseconds; none where the engine does not tell.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(crate) struct Took {
    pub(crate) queue: Option<f64>,
    pub(crate) dns: Option<f64>,
    pub(crate) connect: Option<f64>,
    pub(crate) tls: Option<f64>,
    pub(crate) first_byte: Option<f64>,
    pub(crate) body: Option<f64>,
}

pub(crate) fn ms(span: Duration) -> f64 {
    (span.as_secs_f64() * 1e6).round() / 1e3
}
