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
use std::ops::Range;
use std::task::{Context, Poll};

use super::connection::Connection;
#[cfg(feature = "_decode")]
use super::decode::Decoding;
use super::follow::Redirected;
use super::head::{Fields, Version};
use super::pool::Slot;
use super::timeouts::{Deadlines, Phase};
use super::{Error, Url};

/// An answer: its head, and its body as it comes.
///
/// It holds its connection. When it is dropped the connection goes back to the pool, if the whole body has come; if not,
/// it is closed, since reading the rest could take for ever.
pub struct Response {
    pub(crate) slot: Slot,
    pub(crate) time: Deadlines,
    pub(crate) history: Vec<Redirected>,
    #[cfg(feature = "_decode")]
    pub(crate) decoding: Option<Box<Decoding>>,
}

impl Response {
    #[inline]
    pub(crate) fn new(slot: Slot, time: Deadlines) -> Response {
        Response {
            slot,
            time,
            history: Vec::new(),
            #[cfg(feature = "_decode")]
            decoding: None,
        }
    }

    pub(crate) fn connection(&self) -> &Connection {
        self.slot.connection.as_ref().expect("a response has its connection until it is dropped")
    }

    /// The status code, 200 to 599.
    pub fn status(&self) -> u16 {
        self.connection().head.status()
    }

    /// What was asked for in the end: where the redirects have led, with the fragment that they passed on.
    pub fn url(&self) -> &Url {
        &self.connection().url
    }

    /// The redirects that were followed on the way here, the first one first.
    pub fn history(&self) -> &[Redirected] {
        &self.history
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
        #[cfg(feature = "_decode")]
        if self.decoding.is_some() {
            let has_come = poll_fn(|cx| self.poll_decoded(cx)).await?;
            return Ok(self.decoding.as_ref().filter(|_| has_come).map(|decoding| decoding.piece()));
        }
        let piece = poll_fn(|cx| self.poll_piece(cx)).await?;
        Ok(piece.map(|piece| &self.connection().bytes[piece]))
    }

    /// Where in the connection's bytes the next piece of the body lies; none at its end.
    pub(crate) fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Range<usize>>, Error>> {
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

    /// Reads the body to its end and keeps nothing of it; gives its length as it came, without undoing a content coding.
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
