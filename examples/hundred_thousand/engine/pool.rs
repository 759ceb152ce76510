//! A hundred connections for a thousand requests.
//!
//! What both engines on tokio need, and what neither tokio nor hyper's connection API brings: a limit of connections to
//! the host, first come first served, and a place for those that are idle.
//!
//! ```text
//!     request ──► permit (FIFO) ──► Slot ──► idle connection, or a new one ──► exchange ──► back to idle
//!                    waiting           in_use                                     keep
//! ```
//!
//! Not here: what a connection is; the pool only keeps it.   Next: `on_hyper`.

use std::{
    cell::{Cell, RefCell},
    io,
    net::SocketAddr,
};

use tokio::{
    net::{TcpSocket, TcpStream, lookup_host},
    sync::{Semaphore, SemaphorePermit},
};

use windlass::http::{Error, ErrorKind, Url};

use super::{Carried, Held};
use crate::{
    binding::Census,
    contract::{Connections, Settings},
    window::Seen,
};

/// Connections of one kind to one host.
pub(crate) struct Pool<C> {
    permits: Semaphore,
    /// Each with the number of requests that it has carried.
    idle: RefCell<Vec<(C, u64)>>,
    max_requests: u64,
    pub(crate) counts: Counts,
}

/// What the report wants to know.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    waiting: Cell<u64>,
    in_use: Cell<u64>,
    in_use_max: Cell<u64>,
    connecting: Cell<u64>,
    opened: Cell<u64>,
    reused: Cell<u64>,
    retries: Cell<u64>,
}

impl Counts {
    pub(crate) fn census(&self) -> Census {
        Census { waiting: self.waiting.get(), in_use: self.in_use.get(), connecting: self.connecting.get() }
    }

    /// What a run brings back in which the window saw `seen`.
    pub(crate) fn carried(&self, seen: Seen, bytes_in: u64) -> Carried {
        Carried {
            seen,
            connections: Some(Connections { opened: self.opened.get(), reused: self.reused.get() }),
            in_flight_max: self.in_use_max.get(),
            retries: self.retries.get(),
            bytes_in,
            turns: None,
            would_block: None,
        }
    }

    pub(crate) fn count_retry(&self) {
        add(&self.retries, 1);
    }
}

impl<C> Pool<C> {
    pub(crate) fn new(settings: Settings) -> Self {
        let permits = usize::try_from(settings.per_host).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS);
        let max_requests = settings.max_requests.unwrap_or(u64::MAX);
        Self { permits: Semaphore::new(permits), idle: RefCell::default(), max_requests, counts: Counts::default() }
    }

    /// Waits for the right to use one of the host's connections.
    pub(crate) async fn slot(&self) -> Slot<'_, C> {
        let waiting = Held::new(&self.counts.waiting);
        let permit = self.permits.acquire().await.expect("nobody closes the semaphore");
        drop(waiting);
        let in_use = Held::new(&self.counts.in_use);
        self.counts.in_use_max.set(self.counts.in_use_max.get().max(self.counts.in_use.get()));
        Slot { pool: self, carried: Cell::new(0), _in_use: in_use, _permit: permit }
    }
}

/// The right to use one of the host's connections, until it is dropped.
pub(crate) struct Slot<'a, C> {
    pool: &'a Pool<C>,
    /// How many requests its connection has carried.
    carried: Cell<u64>,
    _in_use: Held<'a>,
    _permit: SemaphorePermit<'a>,
}

impl<C> Slot<'_, C> {
    /// The connection that was idle for the shortest time, if any is.
    pub(crate) fn idle(&self) -> Option<C> {
        let (connection, carried) = self.pool.idle.borrow_mut().pop()?;
        self.carried.set(carried);
        add(&self.pool.counts.reused, 1);
        Some(connection)
    }

    /// Takes back that an idle connection was of use: the server had closed it.
    pub(crate) fn was_of_no_use(&self) {
        self.pool.counts.reused.set(self.pool.counts.reused.get() - 1);
    }

    /// Connects to the host of `url`, over a socket that `prepare` has been shown.
    ///
    /// # Errors
    /// `resolve` and `connect`.
    pub(crate) async fn open(&self, url: &Url, prepare: Prepare) -> Result<TcpStream, Error> {
        let _connecting = Held::new(&self.pool.counts.connecting);
        self.carried.set(0);
        let stream = Box::pin(connect(url, prepare)).await?; // boxed: it is rare, and the others' tasks are no larger for it
        add(&self.pool.counts.opened, 1);
        Ok(stream)
    }

    /// Whether its connection carries no other request after the next.
    pub(crate) fn is_last(&self) -> bool {
        self.carried.get() + 1 >= self.pool.max_requests
    }

    /// Gives the connection to whoever comes next, unless it has carried its share.
    pub(crate) fn keep(&self, connection: C) {
        if !self.is_last() {
            self.pool.idle.borrow_mut().push((connection, self.carried.get() + 1));
        }
    }
}

/// Sets what an engine wants of a socket before it is connected.
pub(crate) type Prepare = fn(&TcpSocket) -> io::Result<()>;

async fn connect(url: &Url, prepare: Prepare) -> Result<TcpStream, Error> {
    let failed = |error| Error::io(ErrorKind::Connect, format!("connect to {}", url.origin()), error);
    if let Some(ip) = url.ip() {
        return connect_to(SocketAddr::new(ip, url.port()), prepare).await.map_err(failed);
    }
    let unresolved = |error| Error::io(ErrorKind::Resolve, format!("resolve {}", url.host()), error);
    let mut failure = io::Error::from(io::ErrorKind::NotFound);
    for address in lookup_host((url.host(), url.port())).await.map_err(unresolved)? {
        match connect_to(address, prepare).await {
            Ok(stream) => return Ok(stream),
            Err(error) => failure = error,
        }
    }
    Err(failed(failure))
}

async fn connect_to(address: SocketAddr, prepare: Prepare) -> io::Result<TcpStream> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    prepare(&socket)?;
    socket.connect(address).await
}

fn add(count: &Cell<u64>, more: u64) {
    count.set(count.get() + more);
}
