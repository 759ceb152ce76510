//! How long each phase of an exchange took, for who asks.
//!
//! ```text
//!   timed() ──► queue ──► dns ──► connect ──► tls ──► first_byte ──► body ──► timings()
//!                  └────────┴── a look at the clock where one begins ──┘
//! ```
//!
//! A phase begins where the exchange first waits for it, as for the time-outs: one that nothing waited for took no time.
//! Who does not ask has no clock looked at.
//! Not here: how long they may take (`timeouts`).   Next: `follow`.

use std::time::Duration;

use windlass_reactor::time::Instant;

use crate::http::client::timeouts::{Deadlines, Phase};
use crate::http::{Request, Response};

/// How long each phase of an exchange took, by the loop's clock. What did not happen took no time: a request that went
/// out on a pooled connection has no `dns`, no `connect` and no `tls`.
///
/// ```
/// # windlass_net::doc_http(async |client, url| {
/// use std::time::Duration;
/// client.get(url).send().await?.bytes().await?;
/// let mut response = client.get(url).timed().send().await?;
/// while response.chunk().await?.is_some() {}
/// let timings = response.timings().expect("they were asked for");
/// assert_eq!((timings.dns, timings.connect, timings.tls), (Duration::ZERO, Duration::ZERO, Duration::ZERO));
/// # Ok(()) });
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Timings {
    /// Waiting for a connection, or for leave to open one.
    pub queue: Duration,
    /// From a name to addresses.
    pub dns: Duration,
    /// From an address to a connection.
    pub connect: Duration,
    /// The TLS handshake.
    pub tls: Duration,
    /// From having a connection to the first byte of the answer: the request goes out in this time.
    pub first_byte: Duration,
    /// From there to the last byte of the body, and whatever the caller did until it asked.
    pub body: Duration,
}

/// The phase under way, and how long those before it took.
#[derive(Clone, Copy)]
pub(crate) struct Marks {
    timings: Timings,
    phase: Phase,
    since: Instant,
}

impl Marks {
    fn new() -> Marks {
        Marks { timings: Timings::default(), phase: Phase::Queue, since: Instant::now() }
    }

    fn until_now(mut self) -> Timings {
        self.enter(self.phase);
        self.timings
    }

    #[cold]
    fn enter(&mut self, phase: Phase) {
        let now = Instant::now();
        let timings = &mut self.timings;
        let took = match self.phase {
            Phase::Queue => &mut timings.queue,
            Phase::Resolve => &mut timings.dns,
            Phase::Connect => &mut timings.connect,
            Phase::Tls => &mut timings.tls,
            Phase::Send | Phase::FirstByte => &mut timings.first_byte,
            Phase::Head | Phase::Body => &mut timings.body,
        };
        *took += now.duration_since(self.since);
        (self.phase, self.since) = (phase, now);
    }
}

impl Request<'_> {
    /// Takes the time of each phase: see [`Response::timings`].
    ///
    /// ```
    /// # windlass_net::doc_http(async |client, url| {
    /// let mut response = client.get(url).timed().send().await?;
    /// while response.chunk().await?.is_some() {}
    /// println!("{:?}", response.timings().expect("they were asked for").first_byte);
    /// # Ok(()) });
    /// ```
    pub fn timed(mut self) -> Self {
        self.is_timed = true;
        self
    }
}

impl Response {
    /// How long each phase took, that under way up to now; none if nobody [asked](crate::http::Request::timed).
    ///
    /// ```
    /// # windlass_net::doc_http(async |client, url| {
    /// assert_eq!(client.get(url).send().await?.timings(), None);
    /// # Ok(()) });
    /// ```
    pub fn timings(&self) -> Option<Timings> {
        Some(self.connection().time.as_ref()?.late.as_ref()?.marks?.until_now())
    }
}

impl Deadlines {
    /// Takes the time of each phase from here on.
    pub(crate) fn measure(&mut self) {
        self.late.get_or_insert_default().marks = Some(Marks::new());
    }

    /// Notes that `phase` begins, for who asked how long each takes.
    #[inline]
    pub(crate) fn mark(&mut self, phase: Phase) {
        if let Some(marks) = self.late.as_mut().and_then(|late| late.marks.as_mut()) {
            marks.enter(phase);
        }
    }
}
