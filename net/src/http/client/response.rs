//! What the peer answers: its head, and its body as it comes.
//!
//! ```text
//!   Response ──┬── status, headers            lines in the connection's buffer
//!              └── chunk, bytes, text, json ◄── poll_piece ◄── the connection, for as long as `timeouts` let it
//! ```
//!
//! Nobody reads ahead of the caller: what is not asked for stays in the kernel, and its sender waits.
//! Not here: how the answer was got (`exchange`), where its body ends (`body`).   Next: `pool`.

use std::fmt;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::ops::Range;
use std::task::{Context, Poll};

use super::connection::Connection;
use super::pool::Slot;
use super::timeouts::Deadlines;
#[cfg(feature = "_decode")]
use crate::http::extras::decode::Decoding;
use crate::http::extras::follow::Beyond;
use crate::http::wire::head::{Fields, Version, decimal};
use crate::http::{Error, ErrorKind, Url};

/// An answer: its head, and its body as it comes.
///
/// It holds its connection. When it is dropped the connection goes back to the pool, if the whole body has come; if not,
/// it is closed, since reading the rest could take for ever.
///
/// ```
/// # windlass_net::doc_http(async |client, url| {
/// let mut response = client.get(url).send().await?.error_for_status()?;
/// println!("{} {} from {:?}", response.version(), response.status(), response.remote_addr());
/// let mut len = 0;
/// while let Some(piece) = response.chunk().await? {
///     len += piece.len() as u64;
/// }
/// assert_eq!(Some(len), response.content_length());
/// # Ok(()) });
/// ```
pub struct Response {
    pub(crate) slot: Slot,
    /// Boxed, since few have any of it.
    pub(crate) beyond: Option<Box<Beyond>>,
}

impl Response {
    #[inline]
    pub(crate) fn new(mut slot: Slot, time: Deadlines) -> Response {
        slot.connection_mut().time = Some(time);
        Response { slot, beyond: None }
    }

    pub(crate) fn connection(&self) -> &Connection {
        self.slot.connection()
    }

    /// The status code, 200 to 599.
    ///
    /// ```
    /// # windlass_net::doc_http(async |client, url| {
    /// assert_eq!(client.get(url).send().await?.status(), 200);
    /// # Ok(()) });
    /// ```
    pub fn status(&self) -> u16 {
        self.connection().head.status()
    }

    /// The text after the status code, as bytes; often empty, and never to be decided by.
    ///
    /// ```
    /// # windlass_net::doc_http(async |client, url| {
    /// assert_eq!(client.get(url).send().await?.reason(), b"OK");
    /// # Ok(()) });
    /// ```
    pub fn reason(&self) -> &[u8] {
        let connection = self.connection();
        connection.head.reason(&connection.bytes)
    }

    /// The version that the server speaks.
    ///
    /// ```
    /// # windlass_net::doc_http(async |client, url| {
    /// assert_eq!(client.get(url).send().await?.version().to_string(), "HTTP/1.1");
    /// # Ok(()) });
    /// ```
    pub fn version(&self) -> Version {
        self.connection().head.version()
    }

    /// What was asked for in the end: where the redirects have led, with the fragment that they passed on.
    ///
    /// ```
    /// # windlass_net::doc_http(async |client, url| {
    /// assert_eq!(client.get(url).send().await?.url(), url);
    /// # Ok(()) });
    /// ```
    pub fn url(&self) -> &Url {
        &self.connection().url
    }

    /// Who answered: the other end of the connection, while there is one.
    ///
    /// ```
    /// # windlass_net::doc_http(async |client, url| {
    /// assert_eq!(client.get(url).send().await?.remote_addr().map(|from| from.ip()), url.ip());
    /// # Ok(()) });
    /// ```
    pub fn remote_addr(&self) -> Option<SocketAddr> {
        self.connection().transport().socket().peer_addr().ok()
    }

    /// Our end of the connection, while there is one.
    ///
    /// ```
    /// # windlass_net::doc_http(async |client, url| {
    /// let from = client.get(url).send().await?.local_addr().unwrap();
    /// assert!(from.ip().is_loopback() && from.port() != url.port());
    /// # Ok(()) });
    /// ```
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.connection().transport().socket().local_addr().ok()
    }

    /// The headers as they came: order, case and duplicates.
    ///
    /// ```
    /// # windlass_net::doc_http(async |client, url| {
    /// let response = client.get(url).send().await?;
    /// for (name, value) in response.headers().iter() {
    ///     println!("{}: {}", name.escape_ascii(), value.escape_ascii());
    /// }
    /// # Ok(()) });
    /// ```
    pub fn headers(&self) -> Fields<'_> {
        let connection = self.connection();
        connection.head.fields(&connection.bytes)
    }

    /// The first header of this name, in any case.
    ///
    /// ```
    /// # windlass_net::doc_http(async |client, url| {
    /// assert_eq!(client.get(url).send().await?.header("retry-after"), None);
    /// # Ok(()) });
    /// ```
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        self.headers().get(name)
    }

    /// The length that the headers announce, if they do. For an answer to HEAD it is that of the body there would be.
    ///
    /// ```
    /// # windlass_net::doc_http(async |client, url| {
    /// let response = client.head(url).send().await?;
    /// assert!(response.content_length() > Some(20));
    /// assert!(response.bytes().await?.is_empty());
    /// # Ok(()) });
    /// ```
    pub fn content_length(&self) -> Option<u64> {
        decimal(self.header("content-length")?)
    }

    /// The bytes of the head as they came, from the status line to the empty line.
    ///
    /// ```
    /// # windlass_net::doc_http(async |client, url| {
    /// let response = client.get(url).send().await?;
    /// let head = response.head_bytes();
    /// assert!(head.starts_with(b"HTTP/1.1 200 OK\r\n") && head.ends_with(b"\r\n\r\n"));
    /// # Ok(()) });
    /// ```
    pub fn head_bytes(&self) -> &[u8] {
        let connection = self.connection();
        &connection.bytes[..connection.head.head_len()]
    }

    /// The bytes of the interim (1xx) heads that came before the head, one after the other; mostly there are none.
    ///
    /// ```
    /// # windlass_net::doc_http(async |client, url| {
    /// assert_eq!(client.get(url).send().await?.interim_bytes(), b"");
    /// # Ok(()) });
    /// ```
    pub fn interim_bytes(&self) -> &[u8] {
        &self.connection().interims
    }

    /// What came after a chunked body; empty until its end.
    ///
    /// ```
    /// # windlass_net::doc_http(async |client, url| {
    /// let mut response = client.get(url).send().await?;
    /// while response.chunk().await?.is_some() {}
    /// assert_eq!(response.trailers().get("digest"), None);
    /// # Ok(()) });
    /// ```
    pub fn trailers(&self) -> Fields<'_> {
        self.connection().body.trailers()
    }

    /// The answer, unless its status says that something went wrong.
    ///
    /// # Errors
    /// Of kind [`Status`](ErrorKind::Status) for a status of 400 or more. The connection is closed then, unless the whole
    /// body has come.
    ///
    /// ```
    /// # windlass_net::doc_http(async |client, url| {
    /// assert!(client.get(url).send().await?.error_for_status().is_ok());
    /// # Ok(()) });
    /// ```
    pub fn error_for_status(self) -> Result<Response, Error> {
        if self.status() < 400 {
            return Ok(self);
        }
        let what = format!("the status is {} {}", self.status(), self.reason().escape_ascii());
        Err(self.connection().explain(Error::new(ErrorKind::Status, what.trim_end().to_owned())))
    }

    /// The next piece of the body; none at its end.
    ///
    /// # Errors
    /// A body that ends too early, is too large, or is framed in a way that cannot be trusted; the exchange's time-out.
    ///
    /// # Cancel
    /// Dropping the future loses nothing: ask again.
    ///
    /// ```
    /// # windlass_net::doc_http(async |client, url| {
    /// let mut response = client.get(url).send().await?;
    /// while let Some(piece) = response.chunk().await? {
    ///     println!("{} bytes", piece.len());
    /// }
    /// # Ok(()) });
    /// ```
    pub async fn chunk(&mut self) -> Result<Option<&[u8]>, Error> {
        #[cfg(feature = "_decode")]
        if self.decoding().is_some() {
            let has_come = poll_fn(|cx| self.poll_decoded(cx)).await?;
            return Ok(self.decoding().filter(|_| has_come).map(Decoding::piece));
        }
        let piece = poll_fn(|cx| self.poll_piece(cx)).await?;
        Ok(piece.map(|piece| &self.connection().bytes[piece]))
    }

    /// Where in the connection's bytes the next piece of the body lies; none at its end.
    pub(crate) fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Range<usize>>, Error>> {
        let connection = self.slot.connection_mut();
        connection.poll_piece(cx).map_err(|error| connection.explain(error))
    }

    /// Shows what is left of the body to `take`, which calls nobody: it is shown some of it under a borrow (I3).
    async fn take_all(&mut self, mut take: impl FnMut(&[u8])) -> Result<(), Error> {
        let connection = self.slot.connection_mut();
        let taken = poll_fn(|cx| connection.poll_take(cx, &mut take)).await;
        taken.map_err(|error| connection.explain(error))
    }

    /// The whole body.
    ///
    /// # Errors
    /// As [`chunk`](Response::chunk).
    ///
    /// ```
    /// # windlass_net::doc_http(async |client, url| {
    /// assert!(client.get(url).send().await?.bytes().await?.starts_with(b"GET / HTTP/1.1\r\n"));
    /// # Ok(()) });
    /// ```
    pub async fn bytes(mut self) -> Result<Vec<u8>, Error> {
        let mut body = Vec::new();
        #[cfg(feature = "_decode")]
        if self.decoding().is_some() {
            while let Some(piece) = self.chunk().await? {
                body.extend_from_slice(piece);
            }
            return Ok(body);
        }
        self.take_all(|piece| body.extend_from_slice(piece)).await?;
        Ok(body)
    }

    /// Reads the body to its end and keeps nothing of it; gives its length as it came, without undoing a content coding.
    ///
    /// # Errors
    /// As [`chunk`](Response::chunk).
    ///
    /// ```
    /// # windlass_net::doc_http(async |client, url| {
    /// let response = client.get(url).send().await?;
    /// let length = response.content_length();
    /// assert_eq!(Some(response.drain().await?), length);
    /// # Ok(()) });
    /// ```
    pub async fn drain(mut self) -> Result<u64, Error> {
        let mut len = 0;
        self.take_all(|piece| len += piece.len() as u64).await?;
        Ok(len)
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Response").field("status", &self.status()).field("url", self.url()).finish_non_exhaustive()
    }
}
