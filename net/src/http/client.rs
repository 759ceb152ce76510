//! A request and its answer.
//!
//! ```text
//!   get(&url).send()
//!     acquire ──► connect, if need be ──► write ──► read until the head is there ──► Response
//!        ▲                                 │ the connection was gone before anything came:    │ chunk, bytes, drain
//!        │                                 └─ once more, on a new one                         ▼
//!        └──────────────────────────────────────────────── released at the last byte of the body
//! ```
//!
//! One timer covers all of it, from the wait for a connection to the last byte of the body (`timeouts`).
//! There is no task behind an exchange: dropping what waits for it closes its connection and lets the next in line go on.
//! Not here: which connection (`pool`), what is said over it (`connection`), what the bytes mean (`head`, `body`).
//! Next: `connection`, or `server` for the other side.

use std::fmt;
use std::future::poll_fn;
use std::net::IpAddr;
use std::ops::Range;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use super::connection::{Connection, doing};
use super::dial::{Dialing, dial};
use super::head::{Asked, Fields, Version};
use super::pool::{Pool, Settings, Slot, Stats};
use super::request::{Content, check_request};
use super::timeouts::{self, At, Deadlines, Phase};
use super::{Error, Limits, Timeouts, Url};
use crate::dns::{AddressPolicy, Overrides, Resolve};

/// An HTTP/1.1 client with a pool of connections. Clones share the pool.
///
/// Its connections belong to the loop in which they were opened.
///
/// ```
/// # use windlass_net::windlass;
/// use windlass::http::{Client, Reply, Server, Url};
/// # windlass_reactor::doc_real(async {
/// let server = Server::bind("127.0.0.1:0".parse().unwrap())?;
/// let url = Url::parse(&format!("http://{}/", server.local_addr()?)).unwrap();
/// windlass::spawn(server.run(|_request| Reply::bytes(200, "hello")));
///
/// let client = Client::new();
/// let response = client.get(&url).send().await.unwrap();
/// assert_eq!(response.status(), 200);
/// assert_eq!(response.bytes().await.unwrap(), b"hello");
/// # std::io::Result::Ok(()) }).unwrap();
/// ```
#[derive(Clone)]
pub struct Client {
    inner: Rc<Inner>,
}

struct Inner {
    pool: Rc<Pool>,
    dialing: Dialing,
    limits: Limits,
    timeouts: Timeouts,
    shared_timeouts: timeouts::Shared,
}

impl Client {
    /// A client with the defaults of [`ClientBuilder`].
    pub fn new() -> Client {
        ClientBuilder::default().build()
    }

    /// A client with settings of its own.
    pub fn builder() -> ClientBuilder {
        ClientBuilder::default()
    }

    /// A GET request.
    pub fn get<'a>(&'a self, url: &'a Url) -> Request<'a> {
        self.request("GET", url)
    }

    /// A HEAD request: the answer has no body, whatever its head says.
    pub fn head<'a>(&'a self, url: &'a Url) -> Request<'a> {
        self.request("HEAD", url)
    }

    /// A request with any method but CONNECT.
    pub fn request<'a>(&'a self, method: &'a str, url: &'a Url) -> Request<'a> {
        Request { client: &self.inner, method, url, own: None, timeouts: None, on_connection: None }
    }

    /// How the connections are doing.
    pub fn stats(&self) -> Stats {
        self.inner.pool.stats()
    }
}

impl Default for Client {
    fn default() -> Self {
        Client::new()
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("stats", &self.stats()).finish_non_exhaustive()
    }
}

/// Settings for a [`Client`].
///
/// | setting | default |
/// |---|---|
/// | `limit` | 100 connections in all |
/// | `limit_per_host` | none |
/// | `timeout`, `timeouts` | 5 minutes for an exchange; [`Timeouts::default`] for its phases |
/// | `idle_timeout` | 15 seconds |
/// | `max_lifetime`, `max_requests` | none |
/// | `limits` | [`Limits::default`] |
/// | `resolver` | the system's, with a [`Cache`](crate::dns::Cache) |
/// | `address_policy` | all addresses are allowed |
/// | `attempt_delay` | 250 ms (RFC 8305 8) |
///
/// The figures are aiohttp's.
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until `build`"]
pub struct ClientBuilder {
    limit: usize,
    limit_per_host: usize,
    timeouts: Timeouts,
    idle_timeout: Duration,
    max_lifetime: Option<Duration>,
    max_requests: u64,
    limits: Limits,
    dialing: Dialing,
}

impl Default for ClientBuilder {
    fn default() -> Self {
        ClientBuilder {
            limit: 100,
            limit_per_host: 0,
            timeouts: Timeouts::default(),
            idle_timeout: Duration::from_secs(15),
            max_lifetime: None,
            max_requests: 0,
            limits: Limits::default(),
            dialing: Dialing::default(),
        }
    }
}

impl ClientBuilder {
    /// Connections in all, open or being opened; 0 for no limit.
    pub fn limit(mut self, connections: usize) -> Self {
        self.limit = connections;
        self
    }

    /// Connections to one host and port; 0 for no limit.
    pub fn limit_per_host(mut self, connections: usize) -> Self {
        self.limit_per_host = connections;
        self
    }

    /// For one exchange, from the wait for a connection to the last byte of the body; none for no limit. Never less, and
    /// longer by what the tasks still do when it begins, as [`timeout`](windlass_reactor::time::timeout) is.
    pub fn timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.timeouts.total = timeout.into();
        self
    }

    /// How long it waits, and for what.
    pub fn timeouts(mut self, timeouts: Timeouts) -> Self {
        self.timeouts = timeouts;
        self
    }

    /// After this long without an exchange a connection is closed.
    pub fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.idle_timeout = timeout;
        self
    }

    /// A connection older than this carries no further exchange; none for no limit. A server that moves to another address
    /// is found there after that.
    pub fn max_lifetime(mut self, lifetime: impl Into<Option<Duration>>) -> Self {
        self.max_lifetime = lifetime.into();
        self
    }

    /// Exchanges that a connection carries before it is closed; 0 for no limit. With 1, an answer that a server sends too
    /// early can never be taken for another request's.
    pub fn max_requests(mut self, exchanges: u64) -> Self {
        self.max_requests = exchanges;
        self
    }

    /// How much of everything an answer may have.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Who knows the addresses of names. It is asked for each new connection, so it is the place for a
    /// [`Cache`](crate::dns::Cache), which is not put over it.
    pub fn resolver(mut self, resolver: impl Resolve + 'static) -> Self {
        self.dialing.resolver = Rc::new(resolver);
        self
    }

    /// `host` with `port` is at these addresses, as [`Overrides::add`] has it; the host `*` is every other one.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// # use std::net::Ipv4Addr;
    /// # use windlass::http::Client;
    /// let client = Client::builder().resolve("example.com", 80, [Ipv4Addr::LOCALHOST.into()]).build();
    /// # drop(client);
    /// ```
    pub fn resolve(mut self, host: &str, port: u16, addresses: impl Into<Vec<IpAddr>>) -> Self {
        self.dialing.overrides.add(host, port, addresses.into());
        self
    }

    /// All hosts that are somewhere else than their names say, in place of those before.
    pub fn overrides(mut self, overrides: Overrides) -> Self {
        self.dialing.overrides = overrides;
        self
    }

    /// Which addresses may be connected to, also of a redirect, a name or an override. A host that has only others is an
    /// error of kind [`Other`](super::ErrorKind::Other), whose source is a [`DeniedAddress`](crate::dns::DeniedAddress).
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// use windlass::http::{Client, Url};
    /// use windlass::net::dns::AddressPolicy;
    /// # windlass_reactor::doc_real(async {
    /// let crawler = Client::builder().address_policy(AddressPolicy::PublicOnly).build();
    /// let url = Url::parse("http://169.254.169.254/latest/meta-data/").unwrap();
    /// let error = crawler.get(&url).send().await.unwrap_err();
    /// assert!(error.to_string().ends_with("address policy: 169.254.169.254 is link-local (169.254.0.0/16)"));
    /// # });
    /// ```
    pub fn address_policy(mut self, policy: AddressPolicy) -> Self {
        self.dialing.policy = policy;
        self
    }

    /// How long one address of a host may take before the next is tried as well: 100 ms to 2 s; what is beyond that
    /// means the nearer of the two (RFC 8305 8).
    pub fn attempt_delay(mut self, delay: Duration) -> Self {
        self.dialing.set_attempt_delay(delay);
        self
    }

    /// Makes the client.
    pub fn build(self) -> Client {
        let ClientBuilder {
            limit,
            limit_per_host,
            timeouts,
            idle_timeout,
            max_lifetime,
            max_requests,
            limits,
            dialing,
        } = self;
        let pool = Pool::new(Settings { limit, limit_per_host, idle_timeout, max_lifetime, max_requests });
        Client { inner: Rc::new(Inner { pool, dialing, limits, timeouts, shared_timeouts: timeouts.share() }) }
    }
}

/// A request that is not sent yet.
#[must_use = "a request does nothing until `send`"]
pub struct Request<'a> {
    client: &'a Rc<Inner>,
    method: &'a str,
    url: &'a Url,
    own: Option<Box<Own>>,
    timeouts: Option<Box<Timeouts>>,
    on_connection: Option<&'a dyn Fn()>,
}

/// What few requests have: headers of the caller's, and a body.
#[derive(Default)]
struct Own {
    headers: Vec<(String, Vec<u8>)>,
    body: Option<Vec<u8>>,
}

static NOTHING: Own = Own { headers: Vec::new(), body: None };

impl<'a> Request<'a> {
    /// Adds a header, after those before it. What HTTP does not allow in one is refused by [`send`](Request::send).
    pub fn header(mut self, name: impl Into<String>, value: impl Into<Vec<u8>>) -> Self {
        self.own().headers.push((name.into(), value.into()));
        self
    }

    /// Gives it a body.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.own().body = Some(body.into());
        self
    }

    fn own(&mut self) -> &mut Own {
        self.own.get_or_insert_default()
    }

    /// A time-out of its own, for the whole exchange.
    pub fn timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.timeouts.get_or_insert_with(|| Box::new(self.client.timeouts)).total = timeout.into();
        self
    }

    /// Time-outs of its own, instead of the client's.
    pub fn timeouts(mut self, timeouts: Timeouts) -> Self {
        self.timeouts = Some(Box::new(timeouts));
        self
    }

    /// Calls `hook` when the request has its connection, pooled or new, and is about to go out on it: what is before that
    /// is waiting, what is after it is the exchange. Called again if the request is sent once more.
    pub fn on_connection(mut self, hook: &'a dyn Fn()) -> Self {
        self.on_connection = Some(hook);
        self
    }

    /// Sends it and waits for the head of the answer.
    ///
    /// A request that may be repeated (RFC 9110 9.2.2) is sent once more, on a new connection, if the one it went out on
    /// had carried an exchange before and ended without a byte of an answer.
    ///
    /// # Errors
    /// Whatever goes wrong, each with its [`ErrorKind`](super::ErrorKind). A status of 400 or more is none: it is an answer.
    ///
    /// # Cancel
    /// Dropping it closes the connection, if it had one.
    pub async fn send(self) -> Result<Response, Error> {
        let timeouts = self.timeouts.as_ref();
        let mut time = Deadlines::new(timeouts.map_or_else(|| self.client.shared_timeouts.clone(), |own| own.share()));
        let at = At::new();
        let mut exchange = pin!(self.exchange(&at));
        let slot = poll_fn(|cx| {
            let polled = exchange.as_mut().poll(cx);
            if polled.is_pending() { time.poll(cx, at.get()).map(Err) } else { polled }
        });
        match slot.await {
            Ok(slot) => Ok(Response { slot, time }),
            Err(error) => Err(error.during(format!("{} {}", doing(self.method), self.url))),
        }
    }

    /// Gives the connection when the head of the answer is there. Says in `at` what it is at.
    async fn exchange(&self, at: &At) -> Result<Slot, Error> {
        let Own { headers, body } = self.own.as_deref().unwrap_or(&NOTHING);
        check_request(self.method, headers, Content::of(body.as_deref()))?;
        let mut slot = self.client.pool.acquire(self.url.origin()).await;
        loop {
            let fresh = slot.connection.is_none();
            if fresh {
                // Boxed: it is rare, and its states are larger than all the others.
                slot.fill(Box::pin(dial(self.url, &self.client.dialing, at)).await?, self.url.clone());
            }
            if let Some(hook) = self.on_connection {
                hook();
            }
            let connection = slot.connection();
            connection.begin(self.method, self.url, headers, body.as_deref())?;
            let (asked, limits) = (Asked::by(self.method), &self.client.limits);
            match poll_fn(|cx| connection.poll_answer(cx, asked, limits, at)).await {
                Err(_) if connection.is_unheard() && !fresh && may_be_repeated(self.method) => {
                    slot.empty_again();
                }
                outcome => return outcome.map(|()| slot),
            }
        }
    }
}

impl fmt::Debug for Request<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request").field("method", &self.method).field("url", &self.url).finish_non_exhaustive()
    }
}

/// Methods that do the same when done twice (RFC 9110 9.2.2).
fn may_be_repeated(method: &str) -> bool {
    matches!(method, "GET" | "HEAD" | "OPTIONS" | "TRACE" | "PUT" | "DELETE")
}

/// An answer: its head, and its body as it comes.
///
/// It holds its connection. When it is dropped the connection goes back to the pool, if the whole body has come; if not,
/// it is closed, since reading the rest could take for ever.
pub struct Response {
    slot: Slot,
    time: Deadlines,
}

impl Response {
    fn connection(&self) -> &Connection {
        self.slot.connection.as_ref().expect("a response has its connection until it is dropped")
    }

    /// The status code, 200 to 599.
    pub fn status(&self) -> u16 {
        self.connection().head.status()
    }

    /// The version that the server speaks.
    pub fn version(&self) -> Version {
        self.connection().head.version()
    }

    /// The headers as they came: order, case and duplicates.
    pub fn headers(&self) -> Fields<'_> {
        let connection = self.connection();
        connection.head.fields(&connection.bytes)
    }

    /// The first header of this name, in any case.
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        self.headers().get(name)
    }

    /// What came after a chunked body; empty until its end.
    pub fn trailers(&self) -> Fields<'_> {
        self.connection().body.trailers()
    }

    /// The next piece of the body; none at its end.
    ///
    /// # Errors
    /// A body that ends too early, is too large, or is framed in a way that cannot be trusted; the exchange's time-out.
    ///
    /// # Cancel
    /// Dropping the future loses nothing: ask again.
    pub async fn chunk(&mut self) -> Result<Option<&[u8]>, Error> {
        let piece = poll_fn(|cx| self.poll_piece(cx)).await?;
        Ok(piece.map(|piece| &self.connection().bytes[piece]))
    }

    /// Where in the connection's bytes the next piece of the body lies; none at its end.
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Range<usize>>, Error>> {
        let mut polled = self.slot.connection().poll_piece(cx);
        if polled.is_pending() {
            let heard = self.connection().heard();
            polled = self.time.poll(cx, (Phase::Body, heard)).map(Err);
        }
        polled.map_err(|error| self.connection().explain(error))
    }

    /// The whole body.
    ///
    /// # Errors
    /// As [`chunk`](Response::chunk).
    pub async fn bytes(mut self) -> Result<Vec<u8>, Error> {
        let mut body = Vec::new();
        while let Some(piece) = self.chunk().await? {
            body.extend_from_slice(piece);
        }
        Ok(body)
    }

    /// Reads the body to its end and keeps nothing of it; gives its length.
    ///
    /// # Errors
    /// As [`chunk`](Response::chunk).
    pub async fn drain(mut self) -> Result<u64, Error> {
        let mut len = 0;
        while let Some(piece) = poll_fn(|cx| self.poll_piece(cx)).await? {
            len += piece.len() as u64;
        }
        Ok(len)
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Response")
            .field("status", &self.status())
            .field("url", &self.connection().url)
            .finish_non_exhaustive()
    }
}
