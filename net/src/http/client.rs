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
//! One time-out covers all of it, from the wait for a connection to the last byte of the body. It is one timer, set when
//! the exchange first has to wait, counted from the loop's next turn, and cancelled with the exchange.
//! There is no task behind an exchange: dropping what waits for it closes its connection and lets the next in line go on.
//! Not here: which connection (`pool`), what the bytes mean (`head`, `body`).

use std::cell::Cell;
use std::fmt;
use std::future::{Pending, pending, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::ops::Range;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use windlass_reactor::time::{self, Timeout};

use super::body::{Decoder, Surplus, surplus};
use super::head::{Asked, Fields, ResponseHead, Version};
use super::pool::{Connection, Pool, Settings, Slot, Stats};
use super::read::poll_read;
use super::request::{Content, check_request, usual_lines, write_request, write_usual_request};
use super::{Error, ErrorKind, Limits, Url};
use crate::net::TcpStream;
use crate::resolve::{Address, resolve};
use crate::tcp::TcpSocket;

/// An HTTP/1.1 client with a pool of connections. Clones share the pool.
///
/// Its connections belong to the loop in which they were opened.
///
/// ```
/// use windlass_net::http::{Client, Reply, Server, Url};
/// # windlass_reactor::doc_real(async {
/// let server = Server::bind("127.0.0.1:0".parse().unwrap())?;
/// let url = Url::parse(&format!("http://{}/", server.local_addr()?)).unwrap();
/// windlass_executor::spawn(server.run(|_request| Reply::bytes(200, "hello")));
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
    limits: Limits,
    timeout: Option<Duration>,
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
        Request {
            client: &self.inner,
            method,
            url,
            headers: Vec::new(),
            body: None,
            timeout: self.inner.timeout,
            on_connection: None,
        }
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
/// | `timeout` | 5 minutes for an exchange |
/// | `idle_timeout` | 15 seconds |
/// | `limits` | [`Limits::default`] |
///
/// The figures are aiohttp's.
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until `build`"]
pub struct ClientBuilder {
    limit: usize,
    limit_per_host: usize,
    timeout: Option<Duration>,
    idle_timeout: Duration,
    limits: Limits,
}

impl Default for ClientBuilder {
    fn default() -> Self {
        ClientBuilder {
            limit: 100,
            limit_per_host: 0,
            timeout: Some(Duration::from_secs(300)),
            idle_timeout: Duration::from_secs(15),
            limits: Limits::default(),
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
        self.timeout = timeout.into();
        self
    }

    /// After this long without an exchange a connection is closed.
    pub fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.idle_timeout = timeout;
        self
    }

    /// How much of everything an answer may have.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Makes the client.
    pub fn build(self) -> Client {
        let ClientBuilder { limit, limit_per_host, timeout, idle_timeout, limits } = self;
        let pool = Pool::new(Settings { limit, limit_per_host, idle_timeout });
        Client { inner: Rc::new(Inner { pool, limits, timeout }) }
    }
}

/// A request that is not sent yet.
#[must_use = "a request does nothing until `send`"]
pub struct Request<'a> {
    client: &'a Rc<Inner>,
    method: &'a str,
    url: &'a Url,
    headers: Vec<(String, Vec<u8>)>,
    body: Option<Vec<u8>>,
    timeout: Option<Duration>,
    on_connection: Option<&'a dyn Fn()>,
}

impl<'a> Request<'a> {
    /// Adds a header, after those before it. What HTTP does not allow in one is refused by [`send`](Request::send).
    pub fn header(mut self, name: impl Into<String>, value: impl Into<Vec<u8>>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Gives it a body.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = Some(body.into());
        self
    }

    /// A time-out of its own, for the whole exchange.
    pub fn timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.timeout = timeout.into();
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
    /// Whatever goes wrong, each with its [`ErrorKind`]. A status of 400 or more is none: it is an answer.
    ///
    /// # Cancel
    /// Dropping it closes the connection, if it had one.
    pub async fn send(self) -> Result<Response, Error> {
        let time = TimeOut::new(self.timeout);
        let mut response = Response { slot: None, at: 0, time, doing: doing(self.method), url: self.url.clone() };
        let stage = Cell::new("");
        let outcome = response.time.limit(&stage, pin!(self.exchange(&stage, &mut response.slot))).await;
        match outcome {
            Ok(head_len) => {
                response.at = head_len;
                Ok(response)
            }
            Err(error) => Err(error.during(format!("{} {}", response.doing, self.url))),
        }
    }

    /// Leaves the connection in `answered` when the head of the answer is there, and gives the head's length. Says in
    /// `stage` what it is at.
    async fn exchange(&self, stage: &Cell<&'static str>, answered: &mut Option<Slot>) -> Result<usize, Error> {
        check_request(self.method, &self.headers, self.content())?;
        stage.set("waiting for a connection");
        let mut slot = self.client.pool.acquire(self.url.host_header()).await;
        loop {
            let fresh = slot.connection.is_none();
            if fresh {
                stage.set("connecting");
                // Boxed: it is rare, and its states are larger than all the others.
                slot.fill(Box::pin(connect(self.url)).await?, usual_lines(self.url));
            }
            if let Some(hook) = self.on_connection {
                hook();
            }
            self.write(slot.connection())?;
            stage.set("sending the request");
            let mut sending = Sending::default();
            match poll_fn(|cx| self.poll_answer(cx, &mut slot, &mut sending, stage)).await {
                Ok(head_len) => {
                    *answered = Some(slot);
                    return Ok(head_len);
                }
                Err(failed) if failed.unheard && !fresh && may_be_repeated(self.method) => {
                    slot.pool().count(|stats| stats.retries += 1);
                    slot.connection = None;
                }
                Err(failed) => return Err(failed.error),
            }
        }
    }

    /// Sends the request and reads the head of the answer; gives its length.
    fn poll_answer(
        &self,
        cx: &mut Context<'_>,
        slot: &mut Slot,
        sending: &mut Sending,
        stage: &Cell<&'static str>,
    ) -> Poll<Result<usize, Failed>> {
        if sending.sent == Sent::Not {
            sending.sent = ready!(poll_send(cx, slot, sending, &self.client.limits))?;
            stage.set("waiting for an answer");
        }
        loop {
            let heard = sending.heard > 0;
            if heard && let Some(head_len) = self.read_head(slot.connection())? {
                slot.connection().may_stay &= sending.sent == Sent::All;
                return Poll::Ready(Ok(head_len));
            }
            match ready!(poll_read_more(cx, slot)) {
                Ok(0) if heard => {
                    return Poll::Ready(Err(failed(ErrorKind::Truncated, "the connection ended within the head")));
                }
                Ok(0) => return Poll::Ready(Err(Failed::ended_before_answer())),
                Ok(n) => sending.heard += n,
                Err(error) if heard => return Poll::Ready(Err(read_failed("reading the head", error).into())),
                Err(error) => return Poll::Ready(Err(Failed::before_answer(error))),
            }
        }
    }

    /// Puts the request in the connection's buffer.
    fn write(&self, connection: &mut Connection) -> Result<(), Error> {
        let Connection { bytes, usual_lines, .. } = connection;
        bytes.clear();
        if self.headers.is_empty() && write_usual_request(bytes, self.method, self.url, self.content(), usual_lines) {
            return Ok(());
        }
        write_request(bytes, self.method, self.url, &self.headers, self.content())?;
        bytes.extend_from_slice(self.body.as_deref().unwrap_or_default());
        Ok(())
    }

    fn content(&self) -> Content {
        self.body.as_ref().map_or(Content::None, |body| Content::Length(body.len() as u64))
    }

    /// The length of the final head, if it is complete, having noted what follows from it. Interim heads are taken out of
    /// the buffer.
    fn read_head(&self, connection: &mut Connection) -> Result<Option<usize>, Error> {
        let limits = &self.client.limits;
        let Connection { bytes, head, .. } = connection;
        while let Some(len) = head.parse(bytes, limits)? {
            if !head.is_interim() {
                let framing = head.framing(Asked::by(self.method))?;
                connection.may_stay = head.keep_alive(framing);
                connection.body = Decoder::new(framing, limits)?;
                return Ok(Some(len));
            }
            head.begin_next(limits)?;
            bytes.drain(..len);
        }
        Ok(None)
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

/// The method's word in an error's text.
fn doing(method: &str) -> &'static str {
    match method {
        "GET" => "get",
        "HEAD" => "head",
        "POST" => "post",
        "PUT" => "put",
        "DELETE" => "delete",
        _ => "request",
    }
}

/// An exchange that got no head.
struct Failed {
    error: Error,
    /// Not a byte of an answer came, and the connection is gone: perhaps it was gone before we began.
    unheard: bool,
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Failed { error, unheard: false }
    }
}

impl Failed {
    fn before_answer(error: io::Error) -> Self {
        Failed { error: read_failed("the connection ended before an answer", error), unheard: true }
    }

    fn ended_before_answer() -> Self {
        Failed { error: Error::new(ErrorKind::Truncated, "the connection ended before an answer"), unheard: true }
    }
}

fn failed(kind: ErrorKind, what: &'static str) -> Failed {
    Error::new(kind, what).into()
}

fn read_failed(what: &'static str, error: io::Error) -> Error {
    let kind = match error.kind() {
        io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted | io::ErrorKind::BrokenPipe => {
            ErrorKind::Reset
        }
        _ => ErrorKind::Other,
    };
    Error::io(kind, what, error)
}

async fn connect(url: &Url) -> Result<TcpStream, Error> {
    let to: Address = match url.ip() {
        Some(ip) => (ip, url.port()).into(),
        None => (url.host(), url.port()).into(),
    };
    let addresses = resolve(to).await.map_err(|error| Error::io(ErrorKind::Resolve, "resolve", error))?;
    let mut last = None;
    for address in addresses {
        match connect_to(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = Some(Error::io(ErrorKind::Connect, format!("connect to {address}"), error)),
        }
    }
    Err(last.unwrap_or_else(|| Error::new(ErrorKind::Resolve, "resolve: the name has no address")))
}

async fn connect_to(address: SocketAddr) -> io::Result<TcpStream> {
    let socket = TcpSocket::new_for(address)?;
    socket.set_nodelay(true)?;
    socket.connect(address).await
}

/// How much of a request has gone out.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Sent {
    /// Not all of it, yet.
    #[default]
    Not,
    All,
    /// The peer answered before it had all of it, and may not want the rest (RFC 9112 9.5). Its answer, so far, is in
    /// the buffer.
    InPart,
}

/// An exchange up to the head of its answer.
#[derive(Default)]
struct Sending {
    sent: Sent,
    /// How many bytes have gone out, and how many were heard.
    at: usize,
    heard: usize,
    /// What was heard while there was still something to send.
    early: Vec<u8>,
}

/// Sends what is in the connection's buffer. What is heard meanwhile and is not dealt with is in the buffer then.
fn poll_send(
    cx: &mut Context<'_>,
    slot: &mut Slot,
    sending: &mut Sending,
    limits: &Limits,
) -> Poll<Result<Sent, Failed>> {
    let Connection { stream, bytes, head, .. } = slot.connection();
    let Sending { at, heard, early, .. } = sending;
    let sent = loop {
        if *at == bytes.len() {
            break Sent::All;
        }
        let refused = match stream.fd().poll_write_stream(cx, &bytes[*at..]) {
            Poll::Ready(Ok(n)) => {
                *at += n;
                continue;
            }
            Poll::Ready(Err(error)) => Some(error),
            Poll::Pending => None,
        };
        let before = early.len();
        let read = poll_read(stream, cx, early);
        *heard += early.len() - before;
        match (refused, read) {
            // Perhaps it said why before it went.
            (Some(_), Poll::Ready(Ok(1..))) => break Sent::InPart,
            (Some(error), _) | (None, Poll::Ready(Err(error))) if *heard == 0 => {
                return Poll::Ready(Err(Failed::before_answer(error)));
            }
            (Some(error), _) | (None, Poll::Ready(Err(error))) => {
                return Poll::Ready(Err(read_failed("sending the request", error).into()));
            }
            (None, Poll::Ready(Ok(0))) if *heard == 0 => return Poll::Ready(Err(Failed::ended_before_answer())),
            (None, Poll::Ready(Ok(1..))) if is_interim_so_far(head, early, limits) => {}
            (None, Poll::Ready(Ok(_))) => break Sent::InPart,
            (None, Poll::Pending) => return Poll::Pending,
        }
    };
    bytes.clear();
    bytes.append(early);
    slot.pool().count(|stats| {
        stats.bytes_out += *at as u64;
        stats.bytes_in += *heard as u64;
    });
    Poll::Ready(Ok(sent))
}

/// Whether what has come may be no more than interim heads, after which the peer still wants the rest of the request
/// (RFC 9110 15.2). Those that are complete are taken out; what is wrong with the others shows when the answer is read.
fn is_interim_so_far(head: &mut ResponseHead, early: &mut Vec<u8>, limits: &Limits) -> bool {
    loop {
        match head.parse(early, limits) {
            Ok(None) => return true,
            Ok(Some(len)) if head.is_interim() && head.begin_next(limits).is_ok() => drop(early.drain(..len)),
            _ => return false,
        }
    }
}

/// Appends what comes to the connection's buffer; 0 is the end of the stream.
fn poll_read_more(cx: &mut Context<'_>, slot: &mut Slot) -> Poll<io::Result<usize>> {
    let Connection { stream, bytes, .. } = slot.connection();
    let read = poll_read(stream, cx, bytes);
    if let Poll::Ready(Ok(n)) = read {
        slot.pool().count(|stats| stats.bytes_in += n as u64);
    }
    read
}

/// The time that is left for an exchange.
struct TimeOut {
    /// The time-out of no future: it goes along with several.
    limit: Option<Timeout<Pending<()>>>,
}

impl TimeOut {
    fn new(timeout: Option<Duration>) -> Self {
        TimeOut { limit: timeout.map(|duration| time::timeout(duration, pending())) }
    }

    /// Waits for `future` as long as there is time. If there is not, the error tells the `stage` it was in.
    async fn limit<T>(
        &mut self,
        stage: &Cell<&'static str>,
        mut future: Pin<&mut impl Future<Output = Result<T, Error>>>,
    ) -> Result<T, Error> {
        poll_fn(|cx| {
            if let Poll::Ready(output) = future.as_mut().poll(cx) {
                return Poll::Ready(output);
            }
            match self.limit.as_mut().map(|limit| Pin::new(limit).poll(cx)) {
                Some(Poll::Ready(_elapsed)) => {
                    Poll::Ready(Err(Error::new(ErrorKind::TimeoutTotal, "timed out").with_source(While(stage.get()))))
                }
                _ => Poll::Pending,
            }
        })
        .await
    }
}

/// Where in `whole` its part `part` lies.
fn range_of(part: &[u8], whole: &[u8]) -> Range<usize> {
    let start = part.as_ptr().addr().wrapping_sub(whole.as_ptr().addr());
    if part.is_empty() { 0..0 } else { start..start + part.len() }
}

/// What was going on when the time was up.
#[derive(Debug)]
struct While(&'static str);

impl fmt::Display for While {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for While {}

/// An answer: its head, and its body as it comes.
///
/// It holds its connection. When it is dropped the connection goes back to the pool, if the whole body has come; if not,
/// it is closed, since reading the rest could take for ever.
pub struct Response {
    /// None before the answer, and once it was given back.
    slot: Option<Slot>,
    /// How far the connection's buffer has been decoded.
    at: usize,
    time: TimeOut,
    doing: &'static str,
    url: Url,
}

impl Response {
    fn connection(&self) -> &Connection {
        let slot = self.slot.as_ref().expect("a response holds its connection until it is dropped");
        slot.connection.as_ref().expect("a slot in an exchange has its connection")
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
        Ok(self.next_piece().await?.map(|piece| &self.connection().bytes[piece]))
    }

    /// Where in the buffer the next piece of the body lies.
    async fn next_piece(&mut self) -> Result<Option<Range<usize>>, Error> {
        self.advance().await.map_err(|error| error.during(format!("{} {}", self.doing, self.url)))
    }

    async fn advance(&mut self) -> Result<Option<Range<usize>>, Error> {
        while !self.connection().body.is_finished() {
            if let Some(piece) = self.decode()? {
                return Ok(Some(piece));
            }
            let slot = self.slot.as_mut().expect("a response holds its connection until it is dropped");
            let connection = slot.connection();
            if connection.body.is_finished() {
                break; // what was left was framing
            }
            // What was decoded has been seen: only the head stays.
            self.at = connection.head.head_len();
            connection.bytes.truncate(self.at);
            let stage = Cell::new("reading the body");
            let read = poll_fn(|cx| poll_read_more(cx, slot).map_err(|error| read_failed("reading the body", error)));
            if self.time.limit(&stage, pin!(read)).await? == 0 {
                slot.connection().may_stay = false;
                slot.connection().body.finish_at_eof()?;
            }
        }
        Ok(None)
    }

    /// The next piece of the body among the bytes that are there.
    fn decode(&mut self) -> Result<Option<Range<usize>>, Error> {
        let slot = self.slot.as_mut().expect("a response holds its connection until it is dropped");
        let Connection { bytes, body, .. } = slot.connection();
        while !body.is_finished() && self.at < bytes.len() {
            let step = body.decode(&bytes[self.at..])?;
            let piece = range_of(step.data, bytes);
            self.at += step.consumed;
            if !piece.is_empty() {
                return Ok(Some(piece));
            }
        }
        Ok(None)
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
        while let Some(piece) = self.next_piece().await? {
            len += piece.len() as u64;
        }
        Ok(len)
    }

    /// Whether the connection can carry another exchange: the body is all there, and nothing follows it.
    fn is_over(&mut self) -> bool {
        while !self.connection().body.is_finished() && matches!(self.decode(), Ok(Some(_))) {}
        let Connection { bytes, body, may_stay, .. } = self.connection();
        *may_stay && body.is_finished() && surplus(&bytes[self.at..]) != Surplus::Unasked
    }
}

impl Drop for Response {
    fn drop(&mut self) {
        if self.slot.is_some()
            && self.is_over()
            && let Some(slot) = self.slot.take()
        {
            slot.release();
        }
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Response").field("status", &self.status()).field("url", &self.url).finish_non_exhaustive()
    }
}
