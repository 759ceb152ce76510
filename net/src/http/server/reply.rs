//! What is answered.
//!
//! ```text
//!   bytes, text, html, json, redirect, ...   Content-Length, and the bytes
//!   chunked                                  the chunks that are there
//!   stream ──► source ──► chunk ──► source   as they come; the next is asked for when this one has gone out
//! ```
//!
//! A source is asked only as fast as the peer reads, so a body may be of any size. If it fails, the body must not seem
//! whole: the connection is cut before its end.
//! Not here: the head's bytes (`request`), sending (`talk`).   Next: `talk`.

use std::borrow::Cow;
use std::cell::Cell;
use std::fmt;
use std::io;
use std::mem;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use crate::http::Error;
use crate::http::wire::body::{write_chunk, write_last_chunk};
use crate::http::wire::head::Version;
use crate::http::wire::request::{Connection, Content, write_reply_head};

/// A body of this length goes out from where it is: to copy it costs more than to send two pieces in one call.
const LARGE_BYTES: usize = 16 * 1024;

/// What to answer.
///
/// ```
/// # use windlass_net::windlass;
/// use std::time::Duration;
/// use windlass::http::Reply;
/// let slow = Reply::bytes(200, "late").header("X-Mood", "sleepy").delay(Duration::from_millis(100));
/// let piecemeal = Reply::chunked(200, vec!["one".into(), "two".into()]);
/// let busy = Reply::status(503).header("Retry-After", "120");
/// println!("{slow:?}, {piecemeal:?}, {busy:?}");
/// ```
#[derive(Clone, Debug)]
pub struct Reply {
    pub(super) status: u16,
    headers: Vec<(String, String)>,
    pub(super) body: Body,
    pub(super) delay: Duration,
    pub(super) close: bool,
}

#[derive(Clone)]
pub(super) enum Body {
    Whole(Cow<'static, [u8]>),
    Chunks(Vec<Cow<'static, [u8]>>),
    /// What gives it, until the first of the clones takes it; and how much that is, if it was said.
    Stream(Rc<Cell<Option<Box<dyn Source>>>>, Option<u64>),
}

/// What of a reply is sent behind what was written.
pub(super) enum Rest {
    Nothing,
    /// The body.
    Large(Cow<'static, [u8]>),
    /// What the source gives, framed like this.
    Stream(Content),
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Body::Whole(body) => write!(f, "{} bytes", body.len()),
            Body::Chunks(chunks) => write!(f, "{} chunks", chunks.len()),
            Body::Stream(..) => f.write_str("a stream"),
        }
    }
}

/// A piece, or the end.
pub(super) type Next<'a> = Pin<Box<dyn Future<Output = io::Result<Option<Chunk>>> + 'a>>;

pub(super) trait Source {
    fn next(&mut self) -> Next<'_>;
}

impl<F: AsyncFnMut() -> io::Result<Option<Chunk>>> Source for F {
    fn next(&mut self) -> Next<'_> {
        Box::pin(async { self().await })
    }
}

/// What of a request shapes the answer.
pub(super) struct Asker {
    pub(super) version: Version,
    /// HEAD wants no body.
    pub(super) head_only: bool,
    pub(super) keep: bool,
}

impl Reply {
    fn new(status: u16, body: Body) -> Self {
        Reply { status, headers: Vec::new(), body, delay: Duration::ZERO, close: false }
    }

    /// A reply with a Content-Length. A status that is not from 200 to 599 makes it a 500.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// let reply = windlass::http::Reply::bytes(200, vec![0; 1024]);
    /// # drop(reply);
    /// ```
    pub fn bytes(status: u16, body: impl Into<Chunk>) -> Self {
        Reply::new(status, Body::Whole(body.into().0))
    }

    /// A status and nothing else.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// let later = windlass::http::Reply::status(429).header("Retry-After", "5");
    /// # drop(later);
    /// ```
    pub fn status(status: u16) -> Self {
        Reply::bytes(status, "")
    }

    /// A plain text in UTF-8.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// let reply = windlass::http::Reply::text(200, "hello");
    /// # drop(reply);
    /// ```
    pub fn text(status: u16, text: impl Into<Chunk>) -> Self {
        Reply::bytes(status, text).header("Content-Type", "text/plain; charset=utf-8")
    }

    /// A page in UTF-8.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// let reply = windlass::http::Reply::html(200, "<a href='/next'>next</a>");
    /// # drop(reply);
    /// ```
    pub fn html(status: u16, page: impl Into<Chunk>) -> Self {
        Reply::bytes(status, page).header("Content-Type", "text/html; charset=utf-8")
    }

    /// A JSON text, which is taken as it is.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// let reply = windlass::http::Reply::json(200, r#"{"ok":true}"#);
    /// # drop(reply);
    /// ```
    pub fn json(status: u16, text: impl Into<Chunk>) -> Self {
        Reply::bytes(status, text).header("Content-Type", "application/json")
    }

    /// A redirect: 301, 302, 303, 307 or 308, with a Location as it is given (RFC 9110 10.2.2).
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// let reply = windlass::http::Reply::redirect(308, "/new");
    /// # drop(reply);
    /// ```
    pub fn redirect(status: u16, location: impl Into<String>) -> Self {
        Reply::status(status).header("Location", location)
    }

    /// A 404 that says so.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// let reply = windlass::http::Reply::not_found();
    /// # drop(reply);
    /// ```
    pub fn not_found() -> Self {
        Reply::text(404, "not found\n")
    }

    /// A reply in chunks, each as it is given; to HTTP/1.0, which does not know chunks, in one piece.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// let reply = windlass::http::Reply::chunked(200, vec!["one".into(), "two".into()]);
    /// # drop(reply);
    /// ```
    pub fn chunked(status: u16, chunks: Vec<Chunk>) -> Self {
        Reply::new(status, Body::Chunks(chunks.into_iter().map(|chunk| chunk.0).collect()))
    }

    /// A reply whose body `source` gives piece by piece, until it says `None`; each piece is sent before the next is asked
    /// for, and becomes a chunk. To HTTP/1.0 they go without chunks, and the connection ends behind them.
    ///
    /// If it gives an error or panics, the connection is cut, so that what was sent cannot pass for the whole. To HEAD, and
    /// with a 204 or 304, it is not asked at all. A clone has the same source, which can be used up once: the second is cut.
    ///
    /// # Cancel
    /// It is dropped where it waits if the server's grace period is over. That the peer has gone is noticed when the next
    /// piece is sent, and not before.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// use windlass::http::{Client, Reply, Server, Url};
    /// # windlass_reactor::doc_real(async {
    /// let server = Server::bind("127.0.0.1:0".parse().unwrap())?;
    /// let url = Url::parse(&format!("http://{}/", server.local_addr()?)).unwrap();
    /// windlass::spawn(server.run(|_request| {
    ///     let mut left = 1_000;
    ///     Reply::stream(200, async move || {
    ///         windlass::task::yield_now().await; // or wait for something
    ///         left -= 1;
    ///         Ok((left >= 0).then(|| vec![b'x'; 10_000].into()))
    ///     })
    /// }));
    /// let response = Client::new().get(&url).send().await.unwrap();
    /// assert_eq!(response.drain().await.unwrap(), 10_000_000);
    /// # std::io::Result::Ok(()) }).unwrap();
    /// ```
    pub fn stream(status: u16, source: impl AsyncFnMut() -> io::Result<Option<Chunk>> + 'static) -> Self {
        Reply::new(status, Body::Stream(Rc::new(Cell::new(Some(Box::new(source)))), None))
    }

    /// Says how many bytes a [`stream`](Reply::stream) is going to give: a Content-Length instead of chunks. If it gives
    /// fewer or more, the connection is cut. Of no effect on other replies, whose length is known.
    ///
    /// ```
    /// # use windlass_net::http::Reply;
    /// let mut pieces = vec!["two".into(), "one".into()];
    /// let reply = Reply::stream(200, async move || Ok(pieces.pop())).length(6);
    /// # drop(reply);
    /// ```
    pub fn length(mut self, bytes: u64) -> Self {
        if let Body::Stream(_, length) = &mut self.body {
            *length = Some(bytes);
        }
        self
    }

    /// Adds a header. One that HTTP does not allow makes the reply a 500. So does one about the framing.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// let reply = windlass::http::Reply::status(503).header("Retry-After", "120");
    /// # drop(reply);
    /// ```
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Waits before answering.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// let reply = windlass::http::Reply::text(200, "late").delay(std::time::Duration::from_secs(1));
    /// # drop(reply);
    /// ```
    pub fn delay(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// Closes the connection after it.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// let reply = windlass::http::Reply::text(200, "good-bye").close();
    /// # drop(reply);
    /// ```
    pub fn close(mut self) -> Self {
        self.close = true;
        self
    }

    /// Whether it cannot be given at once.
    pub(super) fn is_late(&self) -> bool {
        !self.delay.is_zero() || matches!(self.body, Body::Stream(..))
    }

    /// Appends the reply to `out`, the one to HEAD without its body. What is not copied comes out, to be sent behind it.
    pub(super) fn write(&mut self, out: &mut Vec<u8>, to: &Asker) -> Result<Rest, Error> {
        let len = |chunk: &Cow<'static, [u8]>| chunk.len() as u64;
        let is_old = to.version == Version::Http10;
        let content = match &self.body {
            _ if matches!(self.status, 204 | 304) => Content::None,
            Body::Whole(body) => Content::Length(len(body)),
            Body::Stream(_, Some(length)) => Content::Length(*length),
            // It does not know chunks (RFC 9112 6.1).
            Body::Chunks(chunks) if is_old => Content::Length(chunks.iter().map(len).sum()),
            Body::Stream(..) | Body::Chunks(_) => Content::Chunked,
        };
        let connection = match (to.keep && !self.close, to.version) {
            _ if is_old && content == Content::Chunked => Connection::Delimits,
            (false, _) => Connection::Close,
            (true, Version::Http10) => Connection::KeepAlive,
            (true, Version::Http11) => Connection::Implied,
        };
        write_reply_head(out, self.status, &self.headers, content, connection)?;
        match &mut self.body {
            _ if to.head_only || content == Content::None => {}
            Body::Whole(body) if body.len() >= LARGE_BYTES => return Ok(Rest::Large(mem::take(body))),
            Body::Whole(body) => out.extend_from_slice(body),
            Body::Chunks(chunks) if is_old => chunks.iter().for_each(|chunk| out.extend_from_slice(chunk)),
            Body::Chunks(chunks) => {
                chunks.iter().for_each(|chunk| write_chunk(out, chunk));
                write_last_chunk(out);
            }
            Body::Stream(..) if connection == Connection::Delimits => return Ok(Rest::Stream(Content::None)),
            Body::Stream(..) => return Ok(Rest::Stream(content)),
        }
        Ok(Rest::Nothing)
    }
}

/// Bytes of a body: static, or the reply's own.
///
/// ```
/// # use windlass_net::windlass;
/// use windlass::http::Chunk;
/// let chunks: [Chunk; 3] = ["text".into(), b"bytes".into(), vec![0; 10].into()];
/// # drop(chunks);
/// ```
#[derive(Clone, Debug)]
pub struct Chunk(pub(super) Cow<'static, [u8]>);

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
