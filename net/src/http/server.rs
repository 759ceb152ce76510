//! A small server: enough to be loaded by examples, tests and benchmarks.
//!
//! ```text
//!   accept ──► a task per connection:
//!                read ──► every whole request in the buffer ──► handler ──► reply ──► write, all at once
//!                 ▲                                                                     │ keep-alive
//!                 └─────────────────────────────────────────────────────────────────────┘
//! ```
//!
//! It parses what it is sent with the same care as the client, answers pipelined requests in their order, and ends a
//! connection on which something is wrong with a 400. It has no routing, no TLS and no clock for a Date header (RFC 9110
//! 6.6.1 asks a server that has one to send it).
//! Not here: the bytes of heads and bodies (`request`, `body`); time-outs and a bound on connections, which a server in
//! the open needs.   Next: `request`.

use std::borrow::Cow;
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use windlass_reactor::time::sleep;

use super::body::{Decoder, write_chunk, write_last_chunk};
use super::head::{Fields, Version};
use super::read::poll_read;
use super::request::{Connection, Content, NO_HEADERS, RequestHead, write_reply_head};
use super::{Error, ErrorKind, Limits};
use crate::net::{TcpListener, TcpStream};

/// Replies to pipelined requests are sent together, until they are this long: what a caller does not read must not pile
/// up here.
const REPLIES_MAX: usize = 64 * 1024;

/// Serves HTTP/1.1 with a function from requests to replies.
///
/// A request may be as large as [`Limits::default`] allows, and is kept until it is whole. Nothing bounds how many
/// connections there are or how long one may idle: it is for examples, tests and benchmarks.
///
/// ```
/// # use windlass_net::windlass;
/// use windlass::http::{Client, Reply, Server, Url};
/// # windlass_reactor::doc_real(async {
/// let server = Server::bind("127.0.0.1:0".parse().unwrap())?;
/// let url = Url::parse(&format!("http://{}/a?b", server.local_addr()?)).unwrap();
/// windlass::spawn(server.run(|request| match request.target() {
///     "/a?b" => Reply::bytes(200, "found"),
///     _ => Reply::bytes(404, "not here"),
/// }));
/// let response = Client::new().get(&url).send().await.unwrap();
/// assert_eq!(response.status(), 200);
/// # std::io::Result::Ok(()) }).unwrap();
/// ```
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    limits: Limits,
}

/// A request, as the handler sees it. Its body has been read and dropped.
pub struct Incoming<'a> {
    head: &'a RequestHead,
    bytes: &'a [u8],
}

impl Incoming<'_> {
    /// The method.
    pub fn method(&self) -> &str {
        text(self.head.method(self.bytes))
    }

    /// What is asked for: a path and perhaps a query.
    pub fn target(&self) -> &str {
        text(self.head.target(self.bytes))
    }

    /// The headers.
    pub fn headers(&self) -> Fields<'_> {
        self.head.fields(self.bytes)
    }
}

/// Methods and targets are ASCII, or the head would not have been taken.
fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap_or_default()
}

impl fmt::Debug for Incoming<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Incoming").field("method", &self.method()).field("target", &self.target()).finish()
    }
}

/// What to answer.
///
/// ```
/// # use windlass_net::windlass;
/// use std::time::Duration;
/// use windlass::http::Reply;
/// let slow = Reply::bytes(200, "late").header("X-Mood", "sleepy").delay(Duration::from_millis(100));
/// let piecemeal = Reply::chunked(200, vec!["one".into(), "two".into()]);
/// println!("{slow:?}, {piecemeal:?}");
/// ```
#[derive(Clone, Debug)]
pub struct Reply {
    status: u16,
    headers: Vec<(String, String)>,
    body: Body,
    delay: Duration,
    close: bool,
}

#[derive(Clone, Debug)]
enum Body {
    Whole(Cow<'static, [u8]>),
    Chunks(Vec<Cow<'static, [u8]>>),
}

impl Reply {
    fn new(status: u16, body: Body) -> Self {
        Reply { status, headers: Vec::new(), body, delay: Duration::ZERO, close: false }
    }

    /// A reply with a Content-Length.
    pub fn bytes(status: u16, body: impl Into<Chunk>) -> Self {
        Reply::new(status, Body::Whole(body.into().0))
    }

    /// A reply in chunks, each as it is given; to HTTP/1.0, which does not know chunks, in one piece.
    pub fn chunked(status: u16, chunks: Vec<Chunk>) -> Self {
        Reply::new(status, Body::Chunks(chunks.into_iter().map(|chunk| chunk.0).collect()))
    }

    /// Adds a header. One that HTTP does not allow makes the reply a 500.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Waits before answering.
    pub fn delay(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// Closes the connection after it.
    pub fn close(mut self) -> Self {
        self.close = true;
        self
    }

    /// Appends the reply to `out`; the one to HEAD without its body.
    fn write(&self, out: &mut Vec<u8>, to: &Asker) -> Result<(), Error> {
        let len = |chunk: &Cow<'static, [u8]>| chunk.len() as u64;
        let content = match &self.body {
            _ if matches!(self.status, 204 | 304) => Content::None,
            Body::Whole(body) => Content::Length(len(body)),
            // It does not know chunks (RFC 9112 6.1).
            Body::Chunks(chunks) if to.version == Version::Http10 => Content::Length(chunks.iter().map(len).sum()),
            Body::Chunks(_) => Content::Chunked,
        };
        let connection = match (to.keep && !self.close, to.version) {
            (false, _) => Connection::Close,
            (true, Version::Http10) => Connection::KeepAlive,
            (true, Version::Http11) => Connection::Implied,
        };
        write_reply_head(out, self.status, &self.headers, content, connection)?;
        match &self.body {
            _ if to.head_only || content == Content::None => {}
            Body::Whole(body) => out.extend_from_slice(body),
            Body::Chunks(chunks) if content != Content::Chunked => {
                chunks.iter().for_each(|chunk| out.extend_from_slice(chunk));
            }
            Body::Chunks(chunks) => {
                chunks.iter().for_each(|chunk| write_chunk(out, chunk));
                write_last_chunk(out);
            }
        }
        Ok(())
    }
}

/// Bytes of a body: static, or the reply's own.
#[derive(Clone, Debug)]
pub struct Chunk(Cow<'static, [u8]>);

impl From<&'static str> for Chunk {
    fn from(text: &'static str) -> Self {
        Chunk(text.as_bytes().into())
    }
}

impl From<&'static [u8]> for Chunk {
    fn from(bytes: &'static [u8]) -> Self {
        Chunk(bytes.into())
    }
}

impl<const N: usize> From<&'static [u8; N]> for Chunk {
    fn from(bytes: &'static [u8; N]) -> Self {
        Chunk(bytes.as_slice().into())
    }
}

impl From<String> for Chunk {
    fn from(text: String) -> Self {
        Chunk(text.into_bytes().into())
    }
}

impl From<Vec<u8>> for Chunk {
    fn from(bytes: Vec<u8>) -> Self {
        Chunk(bytes.into())
    }
}

impl Server {
    /// Listens on `address`; port 0 lets the kernel choose one.
    ///
    /// # Errors
    /// If the address is taken or not ours.
    ///
    /// # Panics
    /// Outside a running loop.
    #[track_caller]
    pub fn bind(address: SocketAddr) -> io::Result<Server> {
        Ok(Server { listener: TcpListener::bind(address)?, limits: Limits::default() })
    }

    /// The address it listens on.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until accepting fails for good, each connection in a task of its own.
    ///
    /// # Errors
    /// What accepting failed with.
    ///
    /// # Cancel
    /// Dropping it closes the listener; connections that were taken in are served to their end.
    pub async fn run(self, handler: impl Fn(&Incoming<'_>) -> Reply + 'static) -> io::Result<()> {
        let (handler, limits) = (Rc::new(handler), Rc::new(self.limits));
        loop {
            let (stream, _peer) = self.listener.accept().await?;
            let (handler, limits) = (handler.clone(), limits.clone());
            drop(windlass_executor::spawn(async move {
                let (received, replies, head) = (Vec::new(), Vec::new(), RequestHead::new());
                let mut talk = Talk { stream, received, at: 0, replies, sent: 0, head, body: None };
                // A peer that is gone is no trouble of the server's.
                let _ = talk.serve(&*handler, &limits).await;
            }));
        }
    }
}

/// One connection.
struct Talk {
    stream: TcpStream,
    received: Vec<u8>,
    /// How much of that was answered.
    at: usize,
    replies: Vec<u8>,
    /// How much of those has gone out.
    sent: usize,
    head: RequestHead,
    /// The body under way of the request at the front: the length of its head, and how far it was read. What was read is
    /// not kept, and not read again.
    body: Option<(usize, Decoder)>,
}

/// What of a request shapes the answer.
struct Asker {
    version: Version,
    /// HEAD wants no body.
    head_only: bool,
    keep: bool,
}

/// What is to be done before the next request is answered.
enum Next {
    /// Send the replies, and read: there is no whole request.
    Read,
    /// Send the replies, which are many.
    Send,
    /// Send the replies, wait, and give this one.
    Wait(Box<(Reply, Asker)>),
    /// Send the replies. They were the last.
    End,
}

impl Talk {
    async fn serve(&mut self, handler: &dyn Fn(&Incoming<'_>) -> Reply, limits: &Limits) -> io::Result<()> {
        let _ = self.stream.set_nodelay(true); // slower without, not wrong
        loop {
            let mut next = self.answer(handler, limits);
            if let Next::Read = next {
                if poll_fn(|cx| self.poll_send_and_read(cx)).await? == 0 {
                    return Ok(());
                }
                continue;
            }
            poll_fn(|cx| self.poll_send(cx)).await?;
            if let Next::Wait(late) = &next {
                sleep(late.0.delay).await;
                if !self.reply(&late.0, &late.1) {
                    poll_fn(|cx| self.poll_send(cx)).await?;
                    next = Next::End;
                }
            }
            if let Next::End = next {
                return self.stream.shutdown(std::net::Shutdown::Write);
            }
        }
    }

    fn poll_send_and_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        ready!(self.poll_send(cx))?;
        poll_read(&self.stream, cx, &mut self.received)
    }

    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.sent < self.replies.len() {
            self.sent += ready!(self.stream.fd().poll_write_stream(cx, &self.replies[self.sent..]))?;
        }
        self.replies.clear();
        self.sent = 0;
        Poll::Ready(Ok(()))
    }

    /// Answers every whole request that has come, as far as that can be done at once.
    fn answer(&mut self, handler: &dyn Fn(&Incoming<'_>) -> Reply, limits: &Limits) -> Next {
        while self.at < self.received.len() {
            match self.front(handler, limits) {
                Ok(None) => break,
                Ok(Some((reply, to))) if !reply.delay.is_zero() => return Next::Wait(Box::new((reply, to))),
                Ok(Some((reply, to))) if !self.reply(&reply, &to) => return Next::End,
                Ok(Some(_)) if self.replies.len() >= REPLIES_MAX => return Next::Send,
                Ok(Some(_)) => {}
                Err(status) => {
                    self.refuse(status);
                    return Next::End;
                }
            }
        }
        if self.at == self.received.len() {
            self.received.clear(); // nearly always; draining all of it costs more
        } else {
            self.received.drain(..self.at);
        }
        self.at = 0;
        Next::Read
    }

    /// Puts the reply to those that are to be sent. False if the connection ends with it.
    fn reply(&mut self, reply: &Reply, to: &Asker) -> bool {
        let written = reply.write(&mut self.replies, to);
        if written.is_err() {
            self.refuse(500);
        }
        written.is_ok() && to.keep && !reply.close
    }

    /// Has the next request answered. None if not all of it is there.
    ///
    /// # Errors
    /// The status with which to refuse what cannot be read.
    #[inline]
    fn front(
        &mut self,
        handler: &dyn Fn(&Incoming<'_>) -> Reply,
        limits: &Limits,
    ) -> Result<Option<(Reply, Asker)>, u16> {
        let (head_len, mut decoder) = match self.body.take() {
            Some(under_way) => under_way,
            None => match self.begin(self.at, limits)? {
                Some(begun) => begun,
                None => return Ok(None),
            },
        };
        let body_at = self.at + head_len;
        let body = read_body(&mut decoder, &self.received[body_at..]);
        let Some(body_len) = body.map_err(|error| status_of(&error, 413))? else {
            self.received.truncate(body_at);
            self.body = Some((head_len, decoder));
            return Ok(None);
        };
        let incoming = Incoming { head: &self.head, bytes: &self.received[self.at..] };
        let reply = handler(&incoming);
        let head_only = self.head.method(incoming.bytes) == b"HEAD";
        let to = Asker { version: self.head.version(), head_only, keep: self.head.keep_alive() };
        self.head.clear();
        self.at = body_at + body_len;
        Ok(Some((reply, to)))
    }

    /// Reads the head of the request at `at`: its length, and what reads the body. None if not all of it is there.
    fn begin(&mut self, at: usize, limits: &Limits) -> Result<Option<(usize, Decoder)>, u16> {
        let parsed = self.head.parse(&self.received[at..], limits);
        let Some(head_len) = parsed.map_err(|error| status_of(&error, 431))? else { return Ok(None) };
        let framing = self.head.framing().map_err(|error| status_of(&error, 400))?;
        let decoder = Decoder::new(framing, limits).map_err(|error| status_of(&error, 413))?;
        Ok(Some((head_len, decoder)))
    }

    fn refuse(&mut self, status: u16) {
        let refused = write_reply_head(&mut self.replies, status, NO_HEADERS, Content::Length(0), Connection::Close);
        refused.expect("a refusal is a head like any other");
    }
}

/// 400, or `too_large` if it was that.
fn status_of(error: &Error, too_large: u16) -> u16 {
    if error.kind() == ErrorKind::TooLarge { too_large } else { 400 }
}

/// How many of `bytes` the body still has on the wire, if its end is among them; if not, all of them were read.
fn read_body(decoder: &mut Decoder, bytes: &[u8]) -> Result<Option<usize>, Error> {
    let mut at = 0;
    while !decoder.is_finished() {
        if at == bytes.len() {
            return Ok(None);
        }
        at += decoder.decode(&bytes[at..])?.consumed;
    }
    Ok(Some(at))
}
