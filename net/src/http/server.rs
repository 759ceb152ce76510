//! A small server: enough to be loaded by examples, tests and benchmarks, and to stand what they send it.
//!
//! ```text
//!   accept ──► a task per connection:
//!                read ──► every whole request in the buffer ──► handler ──► reply ──► write, all at once
//!                 ▲                                                                     │ keep-alive
//!                 └─────────────────────────────────────────────────────────────────────┘
//! ```
//!
//! It parses what it is sent with the same care as the client, answers pipelined requests in their order, and ends a
//! connection on which something is wrong. It is not for the open internet: it has no TLS, nothing bounds what one
//! address may take, and who needs routers, middleware, compression, files or HTTP/2 is better served elsewhere.
//!
//! | file | says |
//! |---|---|
//! | `talk` | what happens on one connection |
//! | `tracker` | who is connected, time-outs, the stop, figures |
//! | `incoming`, `reply` | what a handler gets, and gives |
//!
//! Not here: the bytes of heads and bodies (`request`, `body`); a Date header, which RFC 9110 6.6.1 asks of a server with
//! a clock: a handler whose callers look at it adds one.   Next: `talk`.

mod incoming;
mod reply;
mod talk;
mod tracker;

use std::convert::Infallible;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use windlass_executor::cancel::catch;
use windlass_executor::sync::CancellationToken;

use crate::http::Limits;
use crate::net::TcpListener;
use talk::{Handler, Shared, Talk};
use tracker::{Phase, Times, Tracker};

pub use incoming::Incoming;
pub use reply::{Chunk, Reply};
pub use tracker::ServerStats;

/// Serves HTTP/1.1 with a function from requests to replies, plain or async.
///
/// ```
/// # use windlass_net::windlass;
/// use windlass::http::{Client, Reply, Server, Url};
/// # windlass_reactor::doc_real(async {
/// let server = Server::bind("127.0.0.1:0".parse().unwrap())?;
/// let url = Url::parse(&format!("http://{}/a?b", server.local_addr()?)).unwrap();
/// windlass::spawn(server.run(|request| match request.path() {
///     "/a" => Reply::text(200, "found"),
///     _ => Reply::not_found(),
/// }));
/// let response = Client::new().get(&url).send().await.unwrap();
/// assert_eq!(response.status(), 200);
/// # std::io::Result::Ok(()) }).unwrap();
/// ```
///
/// # Limits
///
/// | setting | default | where the value comes from |
/// |---|---|---|
/// | [`limits`](Server::limits) | [`Limits::default`] | a request is kept until it is whole: a connection may hold a head and a body |
/// | [`head_timeout`](Server::head_timeout) | 30 s | a head is one packet; who takes longer holds the connection on purpose |
/// | [`body_timeout`](Server::body_timeout) | 5 min | Node's: 10 MiB over a line of 300 kbit/s |
/// | [`idle_timeout`](Server::idle_timeout) | 75 s | nginx's; longer than clients wait, so that they are the ones who close |
/// | [`write_timeout`](Server::write_timeout) | 60 s | nginx's: without a byte taken |
/// | [`connections_max`](Server::connections_max) | 32,768 | more than one address has ports for by Linux's default, 28,232 |
/// | [`requests_max`](Server::requests_max) | none | a connection does not grow with what was said over it |
/// | [`grace`](Server::grace) | 10 s | what supervisors commonly give before they kill |
///
/// Time-outs come late by up to a quarter of the shortest, and two seconds at most; none holds while a handler thinks.
///
/// # What is refused
///
/// | request | status | RFC |
/// |---|---|---|
/// | a head that is malformed, by [the rules for both sides](crate::http); no Host, two, or one that names no host; CONNECT | 400 | 9112 2.2, 3, 3.2, 5 |
/// | Content-Length beside Transfer-Encoding, or two that differ; chunked not last, twice, or in HTTP/1.0; a broken chunk | 400 | 9112 6.1, 6.3, 7.1 |
/// | a head or a body that is not whole in time | 408 | 9110 15.5.9 |
/// | a body, chunk extensions or trailers that are too long | 413 | 9110 15.5.14 |
/// | a request line that is too long | 414 | 9112 3, 9110 15.5.15 |
/// | a body that comes with an expectation other than `100-continue` | 417 | 9110 10.1.1 |
/// | header lines that are too long, or too many | 431 | 6585 5 |
/// | a transfer coding before chunked | 501 | 9112 6.1 |
/// | a version other than HTTP/1.0 and HTTP/1.1 | 505 | 9110 15.6.6 |
///
/// What was refused is the last that is heard of a connection. A handler that panics, or gives a reply that cannot be
/// written, is a 500, and the connection ends with it, too; all others go on.
pub struct Server {
    listener: TcpListener,
    tracker: Rc<Tracker>,
    limits: Limits,
    times: Times,
    connections_max: usize,
    requests_max: u64,
    grace: Duration,
    stop: CancellationToken,
}

/// For what still comes after the last reply: nginx's `lingering_timeout`.
const LINGER: Duration = Duration::from_secs(5);

impl Server {
    /// Listens on `address`; port 0 lets the kernel choose one.
    ///
    /// # Errors
    /// If the address is taken or not ours.
    ///
    /// # Panics
    /// Outside a running loop.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// # windlass_reactor::doc_real(async {
    /// use windlass::http::Server;
    /// let server = Server::bind("127.0.0.1:0".parse().unwrap())?;
    /// # drop(server);
    /// # std::io::Result::Ok(()) }).unwrap();
    /// ```
    #[track_caller]
    pub fn bind(address: SocketAddr) -> io::Result<Server> {
        let times = [75, 30, 300, 60].map(Duration::from_secs);
        Ok(Server {
            listener: TcpListener::bind(address)?,
            tracker: Tracker::new(),
            limits: Limits::default(),
            times: [times[0], times[1], times[2], times[3], LINGER],
            connections_max: 32_768,
            requests_max: u64::MAX,
            grace: Duration::from_secs(10),
            stop: CancellationToken::new(),
        })
    }

    /// The address it listens on.
    ///
    /// ```
    /// # windlass_reactor::doc_real(async {
    /// # use windlass_net::http::Server;
    /// let server = Server::bind("127.0.0.1:0".parse().unwrap())?;
    /// assert_ne!(server.local_addr()?.port(), 0);
    /// # std::io::Result::Ok(()) }).unwrap();
    /// ```
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// How it is doing, also while it runs.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// # windlass_reactor::doc_real(async {
    /// # use windlass_net::http::{Reply, Server};
    /// let server = Server::bind("127.0.0.1:0".parse().unwrap())?;
    /// let stats = server.stats();
    /// let serving = windlass::spawn(server.run(|_request| Reply::not_found()));
    /// assert_eq!(stats.open(), 0);
    /// # drop(serving);
    /// # std::io::Result::Ok(()) }).unwrap();
    /// ```
    pub fn stats(&self) -> ServerStats {
        ServerStats { tracker: Rc::clone(&self.tracker) }
    }

    /// How much of everything a request may have.
    ///
    /// ```
    /// # windlass_reactor::doc_real(async {
    /// # use windlass_net::http::{Limits, Server};
    /// let mut limits = Limits::default();
    /// limits.body_max = 1_000;
    /// let server = Server::bind("127.0.0.1:0".parse().unwrap())?.limits(limits);
    /// # drop(server);
    /// # std::io::Result::Ok(()) }).unwrap();
    /// ```
    pub fn limits(mut self, limits: Limits) -> Server {
        self.limits = limits;
        self
    }

    /// How long a head may take, from its first byte to its last, however the bytes trickle.
    ///
    /// ```
    /// # windlass_reactor::doc_real(async {
    /// # use windlass_net::http::Server;
    /// let server = Server::bind("127.0.0.1:0".parse().unwrap())?.head_timeout(std::time::Duration::from_secs(5));
    /// # drop(server);
    /// # std::io::Result::Ok(()) }).unwrap();
    /// ```
    pub fn head_timeout(mut self, timeout: Duration) -> Server {
        self.times[Phase::Head as usize] = timeout;
        self
    }

    /// How long a body may take, from the end of its head.
    ///
    /// ```
    /// # windlass_reactor::doc_real(async {
    /// # use windlass_net::http::Server;
    /// let server = Server::bind("127.0.0.1:0".parse().unwrap())?.body_timeout(std::time::Duration::from_secs(5));
    /// # drop(server);
    /// # std::io::Result::Ok(()) }).unwrap();
    /// ```
    pub fn body_timeout(mut self, timeout: Duration) -> Server {
        self.times[Phase::Body as usize] = timeout;
        self
    }

    /// How long a connection may wait for a request to begin, the first one included. Then it is closed without a word.
    ///
    /// ```
    /// # windlass_reactor::doc_real(async {
    /// # use windlass_net::http::Server;
    /// let server = Server::bind("127.0.0.1:0".parse().unwrap())?.idle_timeout(std::time::Duration::from_secs(5));
    /// # drop(server);
    /// # std::io::Result::Ok(()) }).unwrap();
    /// ```
    pub fn idle_timeout(mut self, timeout: Duration) -> Server {
        self.times[Phase::Idle as usize] = timeout;
        self
    }

    /// How long a caller may take nothing of a reply that waits for it. Then the connection is cut.
    ///
    /// ```
    /// # windlass_reactor::doc_real(async {
    /// # use windlass_net::http::Server;
    /// let server = Server::bind("127.0.0.1:0".parse().unwrap())?.write_timeout(std::time::Duration::from_secs(5));
    /// # drop(server);
    /// # std::io::Result::Ok(()) }).unwrap();
    /// ```
    pub fn write_timeout(mut self, timeout: Duration) -> Server {
        self.times[Phase::Write as usize] = timeout;
        self
    }

    /// How many connections may be open; at least one. More wait until one has left, unaccepted, in the kernel's queue.
    ///
    /// ```
    /// # windlass_reactor::doc_real(async {
    /// # use windlass_net::http::Server;
    /// let server = Server::bind("127.0.0.1:0".parse().unwrap())?.connections_max(100);
    /// # drop(server);
    /// # std::io::Result::Ok(()) }).unwrap();
    /// ```
    pub fn connections_max(mut self, connections: usize) -> Server {
        self.connections_max = connections.max(1);
        self
    }

    /// How many requests are answered on a connection before it is closed; 0 is no bound.
    ///
    /// ```
    /// # windlass_reactor::doc_real(async {
    /// # use windlass_net::http::Server;
    /// let server = Server::bind("127.0.0.1:0".parse().unwrap())?.requests_max(1); // each on its own
    /// # drop(server);
    /// # std::io::Result::Ok(()) }).unwrap();
    /// ```
    pub fn requests_max(mut self, requests: u64) -> Server {
        self.requests_max = if requests == 0 { u64::MAX } else { requests };
        self
    }

    /// How long exchanges that are under way may take when the server stops.
    ///
    /// ```
    /// # windlass_reactor::doc_real(async {
    /// # use windlass_net::http::Server;
    /// let server = Server::bind("127.0.0.1:0".parse().unwrap())?.grace(std::time::Duration::from_secs(2));
    /// # drop(server);
    /// # std::io::Result::Ok(()) }).unwrap();
    /// ```
    pub fn grace(mut self, grace: Duration) -> Server {
        self.grace = grace;
        self
    }

    /// Stops when `token` is cancelled, as [`run`](Server::run) says.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// use windlass::{http::{Reply, Server}, sync::CancellationToken};
    /// # windlass_reactor::doc_real(async {
    /// let token = CancellationToken::new();
    /// let server = Server::bind("127.0.0.1:0".parse().unwrap())?.stop_when(token.clone());
    /// let serving = windlass::spawn(server.run(|_request| Reply::text(200, "hello")));
    /// token.cancel();
    /// serving.await.unwrap()?; // at once: nobody was there
    /// # std::io::Result::Ok(()) }).unwrap();
    /// ```
    pub fn stop_when(mut self, token: CancellationToken) -> Server {
        self.stop = token;
        self
    }

    /// Serves, each connection in a task of its own, until it is stopped or accepting fails for good.
    ///
    /// It stops when the token of [`stop_when`](Server::stop_when) or the task that this runs in is cancelled, as
    /// `GracefulShutdown` and Ctrl-C do. It accepts nobody any more; connections on which nothing is under way are closed,
    /// the others after the exchange that is, with `Connection: close`; what is left after [`grace`](Server::grace) is cut.
    /// Then this returns; if the task was cancelled, it passes that on instead.
    ///
    /// # Errors
    /// What accepting failed with. Connections that were taken in are served on.
    ///
    /// # Cancel
    /// Dropping it closes the listener; connections that were taken in are served to their end, but while it stops they are
    /// cut.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// use windlass::http::{Client, Reply, Server, Url};
    /// # windlass_reactor::doc_real(async {
    /// let server = Server::bind("127.0.0.1:0".parse().unwrap())?;
    /// let url = Url::parse(&format!("http://{}/", server.local_addr()?)).unwrap();
    /// let serving = windlass::spawn(server.run(|_request| Reply::text(200, "hello")));
    /// assert_eq!(Client::new().get(&url).send().await.unwrap().bytes().await.unwrap(), b"hello");
    /// serving.cancel(); // a graceful stop
    /// assert!(serving.await.unwrap_err().is_cancelled());
    /// # std::io::Result::Ok(()) }).unwrap();
    /// ```
    pub async fn run(self, handler: impl Fn(&Incoming<'_>) -> Reply + 'static) -> io::Result<()> {
        self.serve(Handler::Plain(Box::new(handler))).await
    }

    /// As [`run`](Server::run), with a handler that may wait. Requests on one connection are answered one after the other,
    /// those on others meanwhile.
    ///
    /// # Errors
    /// As `run`.
    ///
    /// # Cancel
    /// As `run`. That a caller has gone is noticed when it is answered, and not before: until then its handler goes on.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// use windlass::http::{Client, Reply, Server, Url};
    /// # windlass_reactor::doc_real(async {
    /// let server = Server::bind("127.0.0.1:0".parse().unwrap())?;
    /// let url = Url::parse(&format!("http://{}/", server.local_addr()?)).unwrap();
    /// windlass::spawn(server.run_async(async |request| {
    ///     windlass::task::yield_now().await; // or ask a database
    ///     Reply::text(200, format!("{} is ready", request.path()))
    /// }));
    /// assert_eq!(Client::new().get(&url).send().await.unwrap().bytes().await.unwrap(), b"/ is ready");
    /// # std::io::Result::Ok(()) }).unwrap();
    /// ```
    pub async fn run_async(self, handler: impl AsyncFn(&Incoming<'_>) -> Reply + 'static) -> io::Result<()> {
        self.serve(Handler::Async(Box::new(handler))).await
    }

    async fn serve(self, handler: Handler) -> io::Result<()> {
        let Server { listener, tracker, limits, times, connections_max, requests_max, grace, stop } = self;
        tracker.set_times(&times);
        let shared = Rc::new(Shared { handler, limits, requests_max });
        let accepting = async {
            loop {
                tracker.fewer_than(connections_max).await;
                let (stream, peer) = listener.accept().await?;
                let guest = tracker.add(peer);
                let tracked = Rc::clone(&guest);
                let shared = Rc::clone(&shared);
                tracked.set_task(windlass_executor::spawn(async move {
                    let mut talk = Talk::new(stream, guest, shared);
                    let _ = talk.serve().await; // a peer that is gone is no trouble of the server's
                }));
            }
        };
        let ended: Result<Option<io::Result<Infallible>>, _> = catch(stop.run_until_cancelled(accepting)).await;
        drop(listener);
        match ended {
            Ok(Some(failed)) => return failed.map(|never| match never {}),
            Ok(None) => tracker.stop(grace).await,
            Err(cancelled) => {
                tracker.stop(grace).await;
                match cancelled.propagate().await {}
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut server = f.debug_struct("Server");
        server.field("listener", &self.listener).field("stats", &self.stats()).finish_non_exhaustive()
    }
}
