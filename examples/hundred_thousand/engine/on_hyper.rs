//! Engine `tokio`: what a tokio user would write, done well.
//!
//! hyper's connection API on tokio's single-threaded `LocalRuntime`. Each connection is a task of hyper's own, which a
//! handle sends requests to.
//!
//! ```text
//!     get ──► Slot ──► SendRequest ─(channel)─► connection task ──► socket
//!              ▲                                      │
//!              └──────── status, body frames ◄────────┘
//! ```
//!
//! Done well: a pool of its own in place of the general client, requests put together from parts that are parsed once,
//! bodies counted and not collected, a request that was never sent given back and sent again.
//! Not here: the pool (`pool`).   Next: `on_sockets`.

use std::{
    cell::Cell,
    error::Error as _,
    io,
    os::unix::net::UnixStream,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::{
    Request, Uri,
    body::Incoming,
    client::conn::http1::{self, SendRequest},
    header::{ACCEPT, CONNECTION, HOST, HeaderValue, USER_AGENT},
};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    runtime::{Builder, LocalOptions},
    task::spawn_local,
    time::timeout,
};
use windlass::http::{Error, Url};

use super::{
    Carried, Engine, failures,
    pool::{Pool, Slot},
    timed_out,
};
use windlass_examples::latency::now_ns;

use crate::{binding::Census, contract::Plan, faults::script, window};

/// A handle to a connection: requests go in, replies come out.
type Connection = SendRequest<Empty<Bytes>>;

/// How long the end of a run waits for the runtime's threads: a name look-up that hangs must not keep the report back.
pub(super) const RESOLVER_PATIENCE: Duration = Duration::from_secs(1);

/// Requests by hyper.
struct OnHyper {
    pool: Pool<Connection>,
    url: Url,
    path: Uri,
    host: HeaderValue,
    timeout: Duration,
    bytes_in: Rc<Cell<u64>>,
}

/// Carries out `plan` on a runtime of its own.
///
/// # Errors
/// The runtime cannot be made, or the URL cannot be sent.
pub(crate) fn run(plan: &Plan, stop: UnixStream) -> io::Result<Carried> {
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default())?;
    let url = Url::parse(&plan.url).map_err(io::Error::other)?;
    let engine = Rc::new(OnHyper {
        pool: Pool::new(plan.settings),
        path: url.target().parse().map_err(io::Error::other)?,
        host: HeaderValue::from_str(url.host_header()).map_err(io::Error::other)?,
        url,
        timeout: plan.timeout,
        bytes_in: Rc::default(),
    });
    let seen = runtime.block_on(window::drive(Rc::clone(&engine), plan, interrupted(stop)))?;
    runtime.shutdown_timeout(RESOLVER_PATIENCE);
    Ok(engine.pool.counts.carried(seen, engine.bytes_in.get()))
}

/// Completes when something can be read from `stop`.
pub(super) async fn interrupted(stop: UnixStream) {
    let told = stop.set_nonblocking(true).and_then(|()| tokio::net::UnixStream::from_std(stop));
    let told = told.expect("a connected pair of sockets can be registered");
    told.readable().await.expect("the loop is running");
}

/// Runs `task` beside the others of tokio's loop.
pub(super) fn beside(task: impl Future<Output = ()> + 'static) -> impl Future<Output = ()> {
    let spawned = spawn_local(task);
    async { spawned.await.expect("a task of the window does not panic") }
}

impl Engine for OnHyper {
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

impl OnHyper {
    async fn exchange(&self, number: Option<u64>, connected_ns: &Cell<Option<u64>>) -> Result<u16, Error> {
        let slot = self.pool.slot().await;
        loop {
            let (mut connection, used) = self.connection(&slot).await?;
            connected_ns.set(Some(now_ns()));
            let mut request = self.request(number);
            if slot.is_last() {
                request.headers_mut().insert(CONNECTION, HeaderValue::from_static("close")); // as `windlass` does
            }
            let response = match connection.try_send_request(request).await {
                Ok(response) => response,
                // The server closed the connection just now and the request never left: the next one takes it.
                Err(error) if used && error.message().is_some() => {
                    slot.was_of_no_use();
                    self.pool.counts.count_retry();
                    continue;
                }
                Err(error) => return Err(named(&error.into_error())),
            };
            let status = response.status().as_u16();
            match number {
                None => read_to_the_end(response.into_body()).await?,
                // Boxed, so that a future that has no number is no larger for it.
                Some(number) => Box::pin(check(number, status, response.into_body())).await?,
            }
            slot.keep(connection);
            return Ok(status);
        }
    }

    /// An idle connection that can take a request, or a new one; true for the former.
    async fn connection(&self, slot: &Slot<'_, Connection>) -> Result<(Connection, bool), Error> {
        while let Some(mut connection) = slot.idle() {
            if connection.ready().await.is_ok() {
                return Ok((connection, true));
            }
            slot.was_of_no_use();
        }
        let stream = Counted {
            stream: slot.open(&self.url, |socket| socket.set_nodelay(true)).await?,
            bytes_in: Rc::clone(&self.bytes_in),
        };
        let (connection, served) = http1::handshake(TokioIo::new(stream)).await.map_err(|error| named(&error))?;
        spawn_local(async move {
            // Whoever waits for a reply hears of the error; on an idle connection it is the server's way to say goodbye.
            let _ = served.await;
        });
        Ok((connection, false))
    }

    fn request(&self, number: Option<u64>) -> Request<Empty<Bytes>> {
        let mut request = Request::new(Empty::new());
        *request.uri_mut() = match number {
            None => self.path.clone(),
            Some(number) => format!("/{number}").parse().expect("a number is a good target"),
        };
        let headers = request.headers_mut();
        headers.insert(HOST, self.host.clone());
        headers.insert(USER_AGENT, HeaderValue::from_static("windlass"));
        headers.insert(ACCEPT, HeaderValue::from_static("*/*"));
        request
    }
}

async fn read_to_the_end(mut body: Incoming) -> Result<(), Error> {
    while let Some(frame) = body.frame().await {
        frame.map_err(|error| named(&error))?;
    }
    Ok(())
}

/// Holds the answer to request `number` against the script.
async fn check(number: u64, status: u16, body: Incoming) -> Result<(), Error> {
    let brought = body.collect().await.map_err(|error| named(&error))?.to_bytes();
    script::check(number, status, &brought).map(drop)
}

/// Puts hyper's error under our name for it.
fn named(error: &hyper::Error) -> Error {
    let kind = failures::kind_of_hyper(error);
    match error.source() {
        Some(source) => Error::new(kind, format!("{error}: {source}")),
        None => Error::new(kind, error.to_string()),
    }
}

/// A socket that counts what comes in.
struct Counted {
    stream: TcpStream,
    bytes_in: Rc<Cell<u64>>,
}

impl AsyncRead for Counted {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buffer);
        let more = (buffer.filled().len() - before) as u64;
        self.bytes_in.set(self.bytes_in.get() + more);
        polled
    }
}

impl AsyncWrite for Counted {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, buffers)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
