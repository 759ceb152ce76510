//! What a request brings along.
//!
//! ```text
//!   bytes ──────────┐
//!   file, stream ───┴── Body ──► poll_fill ──► the connection's buffer, a piece at a time ──► the peer
//!   (`streams`)          └── rewind: from its beginning, for a request that is sent again
//! ```
//!
//! Not here: how it is announced (`request`), who waits for whom (`connection`).   Next: `connection`.

use std::fmt;
use std::task::{Context, Poll};

use super::streams::Pulled;
use crate::http::Error;
use crate::http::wire::request::Content;

/// How much of a body is in the connection's buffer at one time: as much as is read at one time.
pub(crate) const PIECE_BYTES: usize = 64 * 1024;

/// The body of a request: bytes, a file, or a stream of pieces.
///
/// ```
/// # use windlass_net::windlass;
/// use windlass::http::Body;
/// assert_eq!(Body::from("text").length(), Some(4));
/// ```
pub struct Body {
    kind: Kind,
    /// What it is, if the caller does not say something else.
    content_type: Option<&'static str>,
}

enum Kind {
    /// All of it, and how much of that has been taken.
    Bytes(Vec<u8>, usize),
    Pulled(Pulled),
}

impl<B: Into<Vec<u8>>> From<B> for Body {
    fn from(bytes: B) -> Body {
        Body { kind: Kind::Bytes(bytes.into(), 0), content_type: None }
    }
}

impl Body {
    pub(crate) fn pulled(pulled: Pulled) -> Body {
        Body { kind: Kind::Pulled(pulled), content_type: None }
    }

    /// Its length in bytes, if that is known before it is sent.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// assert_eq!(windlass::http::Body::from(vec![0; 3]).length(), Some(3));
    /// ```
    pub fn length(&self) -> Option<u64> {
        match &self.kind {
            Kind::Bytes(bytes, _) => Some(bytes.len() as u64),
            Kind::Pulled(pulled) => pulled.length,
        }
    }

    /// The same body, of this type.
    pub(crate) fn of_type(self, content_type: &'static str) -> Body {
        Body { content_type: Some(content_type), ..self }
    }

    pub(crate) fn content_type(&self) -> Option<&'static str> {
        self.content_type
    }

    pub(crate) fn content(&self) -> Content {
        self.length().map_or(Content::Chunked, Content::Length)
    }

    /// Goes back to the beginning, so that it can be sent again. False if that cannot be done.
    pub(crate) fn rewind(&mut self) -> bool {
        match &mut self.kind {
            Kind::Bytes(_, taken) => {
                *taken = 0;
                true
            }
            Kind::Pulled(pulled) => pulled.rewind(),
        }
    }

    /// Whether all of it has been taken.
    #[inline]
    pub(crate) fn is_taken(&self) -> bool {
        match &self.kind {
            Kind::Bytes(bytes, taken) => *taken == bytes.len(),
            Kind::Pulled(pulled) => pulled.is_taken(),
        }
    }

    /// Whether the peer has been told to expect more than has been taken.
    pub(crate) fn is_owed(&self) -> bool {
        match &self.kind {
            Kind::Bytes(..) => !self.is_taken(),
            Kind::Pulled(pulled) => pulled.is_owed(),
        }
    }

    /// Appends bytes of which all are at hand: the next piece of them. Nothing of what has to be waited for.
    pub(crate) fn fill_at_hand(&mut self, out: &mut Vec<u8>) {
        if let Kind::Bytes(bytes, taken) = &mut self.kind {
            let piece = &bytes[*taken..bytes.len().min(*taken + PIECE_BYTES)];
            out.extend_from_slice(piece);
            *taken += piece.len();
        }
    }

    /// Appends the next piece, framed as it is to be sent. At the end it may append nothing.
    ///
    /// # Errors
    /// The source's own, and a length that is not the one announced.
    pub(crate) fn poll_fill(&mut self, cx: &mut Context<'_>, out: &mut Vec<u8>) -> Poll<Result<(), Error>> {
        if let Kind::Pulled(pulled) = &mut self.kind {
            return pulled.poll_fill(cx, out);
        }
        self.fill_at_hand(out);
        Poll::Ready(Ok(()))
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Body").field("length", &self.length()).finish_non_exhaustive()
    }
}
