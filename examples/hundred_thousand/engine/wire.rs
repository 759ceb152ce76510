//! A reply on its way in.
//!
//! What the bytes mean is told by the same code as in this library's client: [`ResponseHead`] and [`Decoder`] know bytes
//! and nothing else, so they serve on any loop. What is left is to keep an unfinished head and to count a body.
//!
//! ```text
//!     ... bytes ──► begin ──► feed ──► ResponseHead ── 1xx: again ──► Decoder ──► complete
//!                                 unfinished: kept                body: passed over
//! ```
//!
//! A head that came whole is parsed where it lies, in the buffer that all connections share.
//! Not here: reading (`on_sockets`).   Next: `on_epoll`.

use windlass::http::{
    Error, ErrorKind, Limits,
    body::{Decoder, Surplus, surplus},
    head::{Asked, ResponseHead},
};

/// The replies on one connection, one after the other. Their memory is used again.
#[derive(Debug)]
pub(crate) struct Reply {
    head: ResponseHead,
    /// What came of the head, if it has not come whole.
    unfinished: Vec<u8>,
    body: Option<Decoder>,
    /// What came of the body, if anybody wants it.
    kept: Option<Vec<u8>>,
    limits: Limits,
    begun: bool,
    keeps_alive: bool,
}

impl Reply {
    pub(crate) fn new() -> Self {
        let mut limits = Limits::default();
        limits.body_max = u64::MAX; // bodies are counted, not kept
        let (head, unfinished) = (ResponseHead::new(), Vec::new());
        Self { head, unfinished, body: None, kept: None, limits, begun: false, keeps_alive: false }
    }

    /// Forgets the last reply.
    pub(crate) fn begin(&mut self) {
        self.head.clear();
        self.unfinished.clear();
        self.body = None;
        self.begun = false;
    }

    /// Has the next body kept, and not passed over.
    pub(crate) fn keep_body(&mut self) {
        self.kept = Some(Vec::new());
    }

    /// The body, if it was to be kept.
    pub(crate) fn body(&self) -> &[u8] {
        self.kept.as_deref().unwrap_or_default()
    }

    /// Whether any byte has come.
    pub(crate) fn begun(&self) -> bool {
        self.begun
    }

    pub(crate) fn complete(&self) -> bool {
        self.body.as_ref().is_some_and(Decoder::is_finished)
    }

    pub(crate) fn status(&self) -> u16 {
        self.head.status()
    }

    /// Whether the connection may serve again.
    pub(crate) fn keeps_alive(&self) -> bool {
        self.keeps_alive
    }

    /// Takes in what has come.
    ///
    /// # Errors
    /// `Protocol` if it is not HTTP, `TooLarge` if the head has no end.
    pub(crate) fn feed(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.begun = true;
        let rest = match self.body {
            Some(_) => bytes,
            None => self.feed_head(bytes)?,
        };
        match &mut self.body {
            Some(body) => {
                let after = pass_over(body, rest, &mut self.kept)?;
                self.keeps_alive &= !body.is_finished() || surplus(after) != Surplus::Unasked;
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Takes in that the server has closed.
    ///
    /// # Errors
    /// `Truncated` unless closing is how this reply ends.
    pub(crate) fn end(&mut self) -> Result<(), Error> {
        match &mut self.body {
            Some(body) => body.finish_at_eof(),
            None if self.begun => Err(Error::new(ErrorKind::Truncated, "reply head: the connection ended in it")),
            None => Err(Error::new(ErrorKind::Truncated, "the connection ended before an answer")),
        }
    }

    /// Takes the head from `bytes`, with any interim heads before it, and yields what is behind; nothing if the head is
    /// not complete.
    fn feed_head<'a>(&mut self, bytes: &'a [u8]) -> Result<&'a [u8], Error> {
        let kept = self.unfinished.len();
        if kept > 0 {
            self.unfinished.extend_from_slice(bytes);
        }
        let mut begin = 0;
        loop {
            let all = if kept > 0 { &*self.unfinished } else { bytes };
            let Some(len) = self.head.parse(&all[begin..], &self.limits)? else {
                if kept > 0 {
                    self.unfinished.drain(..begin);
                } else {
                    self.unfinished.extend_from_slice(&bytes[begin..]);
                }
                return Ok(&[]);
            };
            begin += len;
            if self.head.is_interim() {
                self.head.begin_next(&self.limits)?;
                continue;
            }
            let framing = self.head.framing(Asked::Body)?;
            self.keeps_alive = self.head.keep_alive(framing);
            self.body = Some(Decoder::new(framing, &self.limits)?);
            self.unfinished.clear();
            return Ok(&bytes[begin - kept..]);
        }
    }
}

/// Decodes `bytes`, keeps the body if it is to be kept, and yields what lies behind it.
fn pass_over<'a>(body: &mut Decoder, mut bytes: &'a [u8], kept: &mut Option<Vec<u8>>) -> Result<&'a [u8], Error> {
    while !bytes.is_empty() && !body.is_finished() {
        let step = body.decode(bytes)?;
        if let Some(kept) = kept {
            kept.extend_from_slice(step.data);
        }
        bytes = &bytes[step.consumed..];
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LENGTH: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
    const CHUNKED: &[u8] = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    const AFTER_INTERIM: &[u8] = b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 201 Created\r\nContent-Length: 1\r\n\r\nx";

    /// Completeness, status and whether the connection stays, after `bytes` in `pieces`.
    fn outcome<'a>(reply: &mut Reply, pieces: impl IntoIterator<Item = &'a [u8]>) -> (bool, u16, bool) {
        reply.begin();
        for piece in pieces {
            reply.feed(piece).unwrap();
        }
        (reply.complete(), reply.status(), reply.keeps_alive())
    }

    #[test]
    fn it_does_not_matter_how_a_reply_was_cut() {
        let mut reply = Reply::new();
        for (bytes, status) in [(LENGTH, 200), (CHUNKED, 200), (AFTER_INTERIM, 201)] {
            assert_eq!(outcome(&mut reply, [bytes]), (true, status, true));
            assert_eq!(outcome(&mut reply, bytes.chunks(1)), (true, status, true), "byte by byte");
            for cut in 1..bytes.len() {
                let (first, second) = bytes.split_at(cut);
                assert_eq!(outcome(&mut reply, [first, second]), (true, status, true), "cut at {cut}");
            }
        }
    }

    #[test]
    fn a_reply_that_ends_early_is_truncated_wherever_that_is() {
        for bytes in [LENGTH, CHUNKED, AFTER_INTERIM] {
            for end in 0..bytes.len() {
                let mut reply = Reply::new();
                reply.feed(&bytes[..end]).unwrap();
                assert!(!reply.complete());
                assert_eq!(reply.end().unwrap_err().kind(), ErrorKind::Truncated, "after {end} bytes");
            }
        }
    }

    #[test]
    fn a_body_framed_by_the_connection_ends_with_it_and_the_connection_is_not_kept() {
        let mut reply = Reply::new();
        reply.feed(b"HTTP/1.1 200 OK\r\n\r\nhello").unwrap();
        assert!(!reply.complete());
        reply.end().unwrap();
        assert!(reply.complete() && !reply.keeps_alive());
    }

    #[test]
    fn a_body_that_is_to_be_kept_is_there_without_its_framing() {
        let mut reply = Reply::new();
        for bytes in [LENGTH, CHUNKED] {
            outcome(&mut reply, [bytes]);
            assert_eq!(reply.body(), b"");
            reply.keep_body();
            outcome(&mut reply, bytes.chunks(7));
            assert_eq!(reply.body(), b"hello");
            reply = Reply::new();
        }
    }

    #[test]
    fn bytes_that_nobody_asked_for_end_the_connection() {
        let mut reply = Reply::new();
        let unasked = [LENGTH, b"HTTP/1.1 200 OK\r\n"].concat();
        assert_eq!(outcome(&mut reply, [&*unasked]), (true, 200, false));
    }
}
