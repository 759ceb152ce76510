//! What a client tells of its connections.
//!
//! ```text
//!   connection ── opened, reused, bytes, closed and why ──┐
//!   exchange ── retries ──────────────────────────────────┼──► Stats ──► Client::stats
//!   pool ── in use, idle, waiting ────────────────────────┘
//! ```
//!
//! Whoever does a thing counts it, and nobody else does.
//! Not here: what comes of the figures (`pool` decides by its own).   Next: `pool`.

use std::cell::Cell;

/// How a client's connections are doing.
///
/// ```
/// # windlass_net::doc_http(async |client, url| {
/// let response = client.get(url).send().await?;
/// let stats = client.stats();
/// assert_eq!((stats.opened, stats.in_use, stats.idle), (1, 1, 0));
/// response.drain().await?; // at the end of the body the connection is free for another
/// let stats = client.stats();
/// assert_eq!((stats.opened, stats.in_use, stats.idle), (1, 0, 1));
/// # Ok(()) });
/// ```
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Stats {
    /// Connections opened so far.
    pub opened: u64,
    /// Exchanges that went over a connection that had carried one before.
    pub reused: u64,
    /// Connections that carry an exchange now, or are being opened for one.
    pub in_use: u64,
    /// The most that ever did.
    pub in_use_max: u64,
    /// Connections that wait for an exchange now.
    pub idle: u64,
    /// Exchanges that wait for a connection now.
    pub waiting: u64,
    /// Exchanges sent again because the connection had gone before they began.
    pub retries: u64,
    /// Bytes received: heads and bodies as they came over the wire.
    pub bytes_in: u64,
    /// Bytes sent.
    pub bytes_out: u64,
    /// Connections closed so far, by the reason why.
    pub closed: Closed,
}

/// Why connections were closed; in sum, all that were opened and are neither in use nor idle.
///
/// ```
/// # use windlass_net::windlass;
/// # windlass_net::doc_http(async |_, url| {
/// let client = windlass::http::Client::builder().max_requests(1).build();
/// client.get(url).send().await?.drain().await?;
/// let closed = client.stats().closed;
/// assert_eq!((closed.requests, closed.total()), (1, 1));
/// # Ok(()) });
/// ```
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Closed {
    /// The exchange did not come to its end: an error, a time-out, or dropped by its caller.
    pub unfinished: u64,
    /// The peer said that it would close, or the body ended with the connection.
    pub asked: u64,
    /// The peer closed it while it idled, or sent what nobody had asked for (RFC 9112 9.2).
    pub by_peer: u64,
    /// It idled for longer than `idle_timeout`, or when its loop ended.
    pub idle: u64,
    /// It was older than `max_lifetime`.
    pub lifetime: u64,
    /// It had carried `max_requests`.
    pub requests: u64,
    /// It idled, and its place was due to somebody who waited for another host.
    pub room: u64,
}

impl Closed {
    /// For whatever reason.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// assert_eq!(windlass::http::Client::new().stats().closed.total(), 0);
    /// ```
    pub fn total(&self) -> u64 {
        let Closed { unfinished, asked, by_peer, idle, lifetime, requests, room } = *self;
        unfinished + asked + by_peer + idle + lifetime + requests + room
    }
}

/// Why a connection is closed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Why {
    Unfinished,
    Asked,
    ByPeer,
    Idle,
    Lifetime,
    Requests,
    Room,
}

/// What is counted as it happens.
#[derive(Default)]
pub(crate) struct Counters {
    pub(crate) opened: Cell<u64>,
    pub(crate) reused: Cell<u64>,
    pub(crate) retries: Cell<u64>,
    pub(crate) bytes_in: Cell<u64>,
    pub(crate) bytes_out: Cell<u64>,
    pub(crate) closed: Cell<Closed>,
}

impl Counters {
    pub(crate) fn close(&self, why: Why) {
        let mut closed = self.closed.get();
        *match why {
            Why::Unfinished => &mut closed.unfinished,
            Why::Asked => &mut closed.asked,
            Why::ByPeer => &mut closed.by_peer,
            Why::Idle => &mut closed.idle,
            Why::Lifetime => &mut closed.lifetime,
            Why::Requests => &mut closed.requests,
            Why::Room => &mut closed.room,
        } += 1;
        self.closed.set(closed);
    }
}

#[inline]
pub(crate) fn add(counter: &Cell<u64>, n: u64) {
    counter.set(counter.get() + n);
}
