//! Engine `tokio-raw`: a hand-written GET over tokio's sockets.
//!
//! The same thin HTTP that this library's client has, on the other loop: one prebuilt request, one buffer that all
//! connections read into, one task for a request and none for a connection.
//!
//! ```text
//!     get ──► Slot ──► write the request ──► read into the shared buffer ──► Reply::feed ──► status
//!                                                  ▲                             │
//!                                                  └──────── until complete ─────┘
//! ```
//!
//! What is left between this and `windlass` is the loop; between this and `tokio`, the HTTP layer.
//! Not here: what the bytes mean (`wire`).   Next: `on_reqwest`.

use std::{
    cell::{Cell, RefCell},
    future::poll_fn,
    io,
    os::unix::net::UnixStream,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
    time::Duration,
};

use socket2::SockRef;
use tokio::{
    io::{AsyncRead, AsyncWriteExt, ReadBuf},
    net::TcpStream,
    runtime::{Builder, LocalOptions},
    time::timeout,
};
use windlass::http::{
    Error, ErrorKind, Url,
    request::{Content, write_request},
};

use super::{
    Carried, Engine, numbered,
    on_hyper::{RESOLVER_PATIENCE, beside, interrupted},
    pool::{Pool, Slot},
    timed_out,
    wire::Reply,
};
use windlass_examples::latency::now_ns;

use crate::{binding::Census, contract::Plan, faults::script, window};

/// How much one read takes at most: as much as this library's client reads at once.
const BUFFER: usize = 64 * 1024;

/// Requests by hand.
struct OnSockets {
    pool: Pool<Connection>,
    url: Url,
    requests: Requests,
    timeout: Duration,
    /// Borrowed only inside one poll, between a read and the parse of what it brought.
    buffer: RefCell<Vec<u8>>,
    bytes_in: Cell<u64>,
}

struct Connection {
    stream: TcpStream,
    reply: Reply,
}

/// Carries out `plan` on a runtime of its own.
///
/// # Errors
/// The runtime cannot be made, or the URL cannot be sent.
pub(crate) fn run(plan: &Plan, stop: UnixStream) -> io::Result<Carried> {
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default())?;
    let url = Url::parse(&plan.url).map_err(io::Error::other)?;
    let engine = Rc::new(OnSockets {
        pool: Pool::new(plan.settings),
        requests: Requests::of(&url).map_err(io::Error::other)?,
        url,
        timeout: plan.timeout,
        buffer: RefCell::new(vec![0; BUFFER]),
        bytes_in: Cell::new(0),
    });
    let seen = runtime.block_on(window::drive(Rc::clone(&engine), plan, interrupted(stop)))?;
    runtime.shutdown_timeout(RESOLVER_PATIENCE);
    Ok(engine.pool.counts.carried(seen, engine.bytes_in.get()))
}

impl Engine for OnSockets {
    async fn get(&self, number: Option<u64>, connected_ns: &Cell<Option<u64>>) -> Result<u16, Error> {
        match timeout(self.timeout, self.exchange(number, connected_ns)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(timed_out(self.timeout)),
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

impl OnSockets {
    async fn exchange(&self, number: Option<u64>, connected_ns: &Cell<Option<u64>>) -> Result<u16, Error> {
        let slot = self.pool.slot().await;
        let numbered = number.map(|number| Requests::of(&numbered(&self.url, number))).transpose()?;
        let requests = numbered.as_ref().unwrap_or(&self.requests);
        loop {
            let (mut connection, used) = self.connection(&slot).await?;
            let request = if slot.is_last() { &requests.last } else { &requests.other };
            connected_ns.set(Some(now_ns()));
            if number.is_some() {
                connection.reply.keep_body();
            }
            match self.ask(&mut connection, request).await {
                // The server closed the connection while it was idle: the next one takes the request.
                Err(_) if used && !connection.reply.begun() => {
                    slot.was_of_no_use();
                    self.pool.counts.count_retry();
                }
                Err(error) => return Err(error),
                Ok(status) => {
                    if let Some(number) = number {
                        script::check(number, status, connection.reply.body())?;
                    }
                    if connection.reply.keeps_alive() {
                        slot.keep(connection);
                    }
                    return Ok(status);
                }
            }
        }
    }

    /// An idle connection or a new one; true for the former.
    async fn connection(&self, slot: &Slot<'_, Connection>) -> Result<(Connection, bool), Error> {
        match slot.idle() {
            Some(connection) => Ok((connection, true)),
            None => {
                // The first request completes the handshake, as in this library's client: a packet less to a connection.
                let stream = slot.open(&self.url, |socket| SockRef::from(socket).set_tcp_quickack(false)).await?;
                Ok((Connection { stream, reply: Reply::new() }, false))
            }
        }
    }

    async fn ask(&self, connection: &mut Connection, request: &[u8]) -> Result<u16, Error> {
        connection.reply.begin();
        connection.stream.write_all(request).await.map_err(|error| named("write", error))?;
        poll_fn(|cx| self.poll_reply(cx, connection)).await?;
        Ok(connection.reply.status())
    }

    fn poll_reply(&self, cx: &mut Context<'_>, connection: &mut Connection) -> Poll<Result<(), Error>> {
        let Connection { stream, reply } = connection;
        while !reply.complete() {
            let mut bytes = self.buffer.borrow_mut();
            let mut buffer = ReadBuf::new(&mut bytes);
            let read = ready!(Pin::new(&mut *stream).poll_read(cx, &mut buffer));
            let came = buffer.filled();
            self.bytes_in.set(self.bytes_in.get() + came.len() as u64);
            match read {
                Err(error) => return Poll::Ready(Err(named("read", error))),
                Ok(()) if came.is_empty() => reply.end()?,
                Ok(()) => reply.feed(came)?,
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// The bytes of a GET.
pub(super) struct Requests {
    /// Over a connection that carries no other after it.
    pub(super) last: Vec<u8>,
    pub(super) other: Vec<u8>,
}

impl Requests {
    pub(super) fn of(url: &Url) -> Result<Self, Error> {
        Ok(Self { last: request(url, &[("Connection", "close")])?, other: request(url, &[])? })
    }
}

/// The bytes of a GET of `url`, as this library's client sends them.
///
/// # Errors
/// The URL cannot be sent.
fn request(url: &Url, headers: &[(&str, &str)]) -> Result<Vec<u8>, Error> {
    let mut request = Vec::new();
    write_request(&mut request, "GET", url, headers, Content::None)?;
    Ok(request)
}

fn named(doing: &'static str, error: io::Error) -> Error {
    let kind = match error.kind() {
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionAborted => {
            ErrorKind::Reset
        }
        _ => ErrorKind::Other,
    };
    Error::io(kind, doing, error)
}
