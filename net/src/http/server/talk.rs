//! What is said over one connection.
//!
//! ```text
//!   read ──► take: a whole request? ── no ──► wait for more: 100 Continue, if it waits for that
//!    ▲          │ yes       └ cannot be read ──► refuse: 4xx or 5xx ──► end
//!    │          ▼
//!    │       handler ──► reply ──► written behind those before it
//!    │          │ async, late or streamed: those go out first; then wait, and send this one
//!    └──────────┴──► all are sent at once, when no whole request is left
//! ```
//!
//! Requests may come many at a time; they are answered one after the other. Nothing is read while a reply cannot be sent,
//! so whoever does not read is not heard either.
//!
//! A connection that ends with something unread is half closed first, and what comes is thrown away for a while: to close
//! it at once would reset it, and the peer's kernel may then lose the refusal that is on its way (RFC 9112 9.6).
//! Not here: when it has waited for too long (`tracker`).   Next: `reply`, `incoming`.

use std::borrow::Cow;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::net::Shutdown;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use windlass_executor::budget::poll_proceed;
use windlass_reactor::time::sleep;

use super::incoming::Incoming;
use super::reply::{Asker, Body, Reply, Rest, Source};
use super::tracker::{Guest, Phase};
use crate::http::read::poll_read;
use crate::http::wire::body::{Decoder, write_chunk, write_last_chunk};
use crate::http::wire::head::{Fields, Framing, Version};
use crate::http::wire::request::{Connection, Content, NO_HEADERS, RequestHead, write_reply_head};
use crate::http::{Error, ErrorKind, Limits};
use crate::net::TcpStream;

/// Replies to pipelined requests are sent together, until they are this long: what a caller does not read must not pile
/// up here.
const REPLIES_MAX: usize = 64 * 1024;
/// A buffer larger than this is not kept for the next request.
const KEPT_BYTES: usize = 16 * 1024;
/// So much is thrown away after the last reply: what one connection's receive window grows to by default on Linux.
const LINGER_BYTES: usize = 6 * 1024 * 1024;

/// What all connections of a server have in common.
pub(super) struct Shared {
    pub(super) handler: Handler,
    pub(super) limits: Limits,
    pub(super) requests_max: u64,
}

pub(super) enum Handler {
    Plain(Box<dyn Fn(&Incoming<'_>) -> Reply>),
    Async(Box<dyn AsyncHandler>),
}

pub(super) trait AsyncHandler {
    fn ask<'a>(&'a self, request: &'a Incoming<'a>) -> Pin<Box<dyn Future<Output = Reply> + 'a>>;
}

impl<F: AsyncFn(&Incoming<'_>) -> Reply> AsyncHandler for F {
    fn ask<'a>(&'a self, request: &'a Incoming<'a>) -> Pin<Box<dyn Future<Output = Reply> + 'a>> {
        Box::pin(async move { self(request).await })
    }
}

/// One connection.
pub(super) struct Talk {
    stream: TcpStream,
    guest: Guest,
    shared: Rc<Shared>,
    received: Vec<u8>,
    /// How much of that was answered.
    at: usize,
    replies: Vec<u8>,
    /// The body of the last of them, if it is a large one; it goes out from where it is.
    large: Cow<'static, [u8]>,
    /// How much of both has gone out.
    sent: usize,
    head: RequestHead,
    /// The body under way of the request at the front.
    body: Option<Arriving>,
    /// The last reply is out, and so much of what still comes will be thrown away.
    linger: Option<usize>,
    /// Something was refused, of which more may come.
    is_refused: bool,
}

/// A body of which not all has come. Places count from where its request begins.
struct Arriving {
    decoder: Decoder,
    /// Where the body is put together, and how far that has come.
    at: usize,
    end: usize,
    /// Up to here it was decoded.
    decoded: usize,
}

/// Where a request lies in what was received.
struct Whole {
    body: Range<usize>,
    end: usize,
}

/// What is to be done before the next request is answered.
enum Next {
    /// Send the replies, and read: there is no whole request.
    Read,
    /// Send the replies, which are many.
    Send,
    /// Send the replies, and have the handler think about this one.
    Ask(Whole),
    /// Send the replies, wait, and give this one.
    Late(Box<(Reply, Asker)>),
    /// Send the replies. They were the last.
    End,
    /// Close.
    Over,
}

impl Talk {
    pub(super) fn new(stream: TcpStream, guest: Guest, shared: Rc<Shared>) -> Talk {
        let (received, replies, head) = (Vec::new(), Vec::new(), RequestHead::new());
        Talk {
            stream,
            guest,
            shared,
            received,
            at: 0,
            replies,
            large: Cow::default(),
            sent: 0,
            head,
            body: None,
            linger: None,
            is_refused: false,
        }
    }

    /// # Errors
    /// Whatever ended the connection but an exchange.
    pub(super) async fn serve(&mut self) -> io::Result<()> {
        let _ = self.stream.set_nodelay(true); // slower without, not wrong
        let waker = poll_fn(|cx| Poll::Ready(cx.waker().clone())).await;
        self.guest.set_waker(waker);
        loop {
            let goes_on = match self.answer() {
                Next::Read => match poll_fn(|cx| self.poll_send_and_read(cx)).await {
                    Ok(0) => return Ok(()),
                    Ok(_) => true,
                    Err(error) if error.kind() == io::ErrorKind::TimedOut && self.is_awaited() => self.refuse(408),
                    Err(error) => return Err(error),
                },
                Next::Send => self.send().await.map(|()| true)?,
                // In boxes, lest every connection have room for them.
                Next::Ask(whole) => Box::pin(self.ask(whole)).await?,
                Next::Late(late) => Box::pin(self.give(late.0, late.1)).await?,
                Next::End => false,
                Next::Over => return Ok(()),
            };
            if !goes_on {
                self.half_close().await?;
            }
        }
    }

    /// Sends the replies, and reads.
    #[inline]
    fn poll_send_and_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if !self.is_sent() {
            ready!(self.poll_send(cx))?;
        }
        match poll_read(&self.stream, cx, &mut self.received) {
            Poll::Pending => self.guest.wait(self.awaited()),
            read => read,
        }
    }

    #[inline]
    fn awaited(&self) -> Phase {
        match (&self.linger, &self.body, self.received.is_empty()) {
            (Some(_), ..) => Phase::Linger,
            (None, Some(_), _) => Phase::Body,
            (None, None, true) => Phase::Idle,
            (None, None, false) => Phase::Head,
        }
    }

    async fn send(&mut self) -> io::Result<()> {
        poll_fn(|cx| self.poll_send(cx)).await
    }

    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.is_sent() {
            let replies = self.replies.get(self.sent..).unwrap_or_default();
            let polled = if self.large.is_empty() {
                self.stream.fd().poll_write_stream(cx, replies)
            } else {
                let large = &self.large[self.sent.saturating_sub(self.replies.len())..];
                self.stream.fd().poll_write_stream_vectored(cx, &[IoSlice::new(replies), IoSlice::new(large)])
            };
            match polled {
                Poll::Ready(written) => self.sent += written?,
                Poll::Pending => return self.guest.wait(Phase::Write),
            }
            self.guest.phase.set(Phase::Busy); // to wait again is to wait anew
        }
        forget(&mut self.replies);
        self.large = Cow::default();
        self.sent = 0;
        Poll::Ready(Ok(()))
    }

    #[inline]
    fn is_sent(&self) -> bool {
        self.sent == self.replies.len() + self.large.len()
    }

    /// Whether a part of a request has come.
    fn is_awaited(&self) -> bool {
        matches!(self.guest.phase.get(), Phase::Head | Phase::Body)
    }

    /// Answers every whole request that has come, as far as that can be done at once.
    fn answer(&mut self) -> Next {
        if self.linger.is_some() {
            return self.throw_away();
        }
        while self.at < self.received.len() {
            let whole = match self.take() {
                Ok(Some(whole)) => whole,
                Ok(None) => break,
                Err(status) => {
                    self.refuse(status);
                    return Next::End;
                }
            };
            let Handler::Plain(handler) = &self.shared.handler else { return Next::Ask(whole) };
            let incoming = self.incoming(&whole);
            let mut reply = catch_unwind(AssertUnwindSafe(|| handler(&incoming))).unwrap_or_else(|_| panicked());
            let to = self.leave(&whole);
            if reply.is_late() {
                return Next::Late(Box::new((reply, to)));
            }
            let written = reply.write(&mut self.replies, &to);
            let goes_on = self.goes_on(written.is_ok(), &reply, &to);
            if let Ok(Rest::Large(body)) = written {
                self.large = body;
            }
            if !goes_on {
                return Next::End;
            }
            if self.replies.len() >= REPLIES_MAX || !self.large.is_empty() {
                return Next::Send;
            }
        }
        if self.at == self.received.len() {
            forget(&mut self.received); // nearly always; draining all of it costs more
        } else {
            self.received.drain(..self.at);
        }
        self.at = 0;
        Next::Read
    }

    /// The request at the front, if all of it is there.
    ///
    /// # Errors
    /// The status with which to refuse what cannot be read.
    #[inline]
    fn take(&mut self) -> Result<Option<Whole>, u16> {
        let mut body = match self.body.take() {
            Some(under_way) => under_way,
            None => match self.begin()? {
                Some(begun) => begun,
                None => return Ok(None),
            },
        };
        if !body.read(&mut self.received[self.at..]).map_err(|error| status_of(&error))? {
            self.received.truncate(self.at + body.end);
            body.decoded = body.end;
            self.body = Some(body);
            return Ok(None);
        }
        Ok(Some(Whole { body: self.at + body.at..self.at + body.end, end: self.at + body.decoded }))
    }

    /// Reads the head of the request at the front. None if not all of it is there.
    #[inline]
    fn begin(&mut self) -> Result<Option<Arriving>, u16> {
        let (bytes, limits) = (&self.received[self.at..], &self.shared.limits);
        let parsed = self.head.parse(bytes, limits);
        let Some(head_len) = parsed.map_err(|error| status_of_head(&error, bytes, limits))? else { return Ok(None) };
        let framing = self.head.framing();
        if !matches!(framing, Ok(Framing::None | Framing::Length(_))) && is_coded(self.head.fields(bytes)) {
            return Err(501);
        }
        let decoder = framing.and_then(|framing| Decoder::new(framing, limits)).map_err(|error| status_of(&error))?;
        if !decoder.is_finished() && self.is_expected(head_len)? {
            self.replies.extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
        }
        Ok(Some(Arriving { decoder, at: head_len, end: head_len, decoded: head_len }))
    }

    /// Whether the caller waits to be told that it may send its body (RFC 9110 10.1.1), of which nothing has come.
    fn is_expected(&self, head_len: usize) -> Result<bool, u16> {
        let bytes = &self.received[self.at..];
        let mut expectations = self.head.fields(bytes).get_all("expect").peekable();
        if self.head.version() == Version::Http10 || expectations.peek().is_none() {
            return Ok(false);
        }
        let is_known = expectations.all(|expected| expected.eq_ignore_ascii_case(b"100-continue"));
        if is_known { Ok(bytes.len() == head_len) } else { Err(417) }
    }

    fn incoming(&self, whole: &Whole) -> Incoming<'_> {
        let body = &self.received[whole.body.clone()];
        Incoming { head: &self.head, bytes: &self.received[self.at..], body, peer: &self.guest.peer }
    }

    /// Is done with the request at the front.
    #[inline]
    fn leave(&mut self, whole: &Whole) -> Asker {
        let nth = self.guest.requests.get() + 1;
        self.guest.requests.set(nth);
        let keep = self.head.keep_alive() && nth < self.shared.requests_max && !self.guest.tracker.is_stopping();
        let head_only = self.head.method(&self.received[self.at..]) == b"HEAD";
        let to = Asker { version: self.head.version(), head_only, keep };
        self.head.clear();
        self.at = whole.end;
        to
    }

    /// Whether the connection goes on after a reply, which was written unless it could not be.
    fn goes_on(&mut self, is_written: bool, reply: &Reply, to: &Asker) -> bool {
        if !is_written {
            self.write_last(500);
        }
        is_written && to.keep && !reply.close
    }

    /// Has the handler think about a request, and gives its reply. False if the connection ends with it.
    async fn ask(&mut self, whole: Whole) -> io::Result<bool> {
        self.send().await?;
        self.guest.phase.set(Phase::Busy);
        let Handler::Async(handler) = &self.shared.handler else { unreachable!("a plain one has answered") };
        let incoming = self.incoming(&whole);
        let reply = caught(handler.ask(&incoming)).await.unwrap_or_else(panicked);
        let to = self.leave(&whole);
        self.give(reply, to).await
    }

    /// Gives a reply that may take its time. False if the connection ends with it.
    async fn give(&mut self, mut reply: Reply, mut to: Asker) -> io::Result<bool> {
        if reply.is_late() {
            self.send().await?;
            self.guest.phase.set(Phase::Busy);
        }
        if !reply.delay.is_zero() {
            sleep(reply.delay).await;
            to.keep &= !self.guest.tracker.is_stopping();
        }
        let written = reply.write(&mut self.replies, &to);
        let mut goes_on = self.goes_on(written.is_ok(), &reply, &to);
        match (written, &reply.body) {
            (Ok(Rest::Large(body)), _) => {
                self.large = body;
                self.send().await?; // nothing is written behind it
            }
            (Ok(Rest::Stream(framing)), Body::Stream(source, _)) => {
                goes_on &= framing != Content::None;
                if let Err(error) = self.stream(source.take(), framing).await {
                    let _ = self.stream.set_linger(Some(Duration::ZERO)); // reset, lest its end be taken for the body's
                    return Err(error);
                }
            }
            _ => {}
        }
        Ok(goes_on)
    }

    /// Sends what `source` gives; without any framing, if that is `None`.
    async fn stream(&mut self, source: Option<Box<dyn Source>>, framing: Content) -> io::Result<()> {
        let mut source = source.ok_or(io::ErrorKind::NotFound)?;
        let mut left = if let Content::Length(length) = framing { length } else { u64::MAX };
        loop {
            self.send().await?;
            let Some(piece) = caught(source.next()).await.ok_or(io::ErrorKind::Other)?? else { break };
            if piece.0.is_empty() {
                poll_fn(poll_proceed).await; // who gives nothing over and over holds up nobody else
            }
            left = left.checked_sub(piece.0.len() as u64).ok_or(io::ErrorKind::InvalidData)?;
            match framing {
                Content::Chunked => write_chunk(&mut self.replies, &piece.0),
                _ => self.replies.extend_from_slice(&piece.0),
            }
        }
        match framing {
            Content::Length(_) if left > 0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            Content::Chunked => write_last_chunk(&mut self.replies),
            _ => {}
        }
        Ok(())
    }

    /// Answers what cannot be read, and reads no further: the connection does not go on.
    #[cold]
    fn refuse(&mut self, status: u16) -> bool {
        let refused = &self.guest.tracker.refused;
        refused.set(refused.get() + 1);
        self.is_refused = true;
        self.write_last(status);
        false
    }

    fn write_last(&mut self, status: u16) {
        let written = write_reply_head(&mut self.replies, status, NO_HEADERS, Content::Length(0), Connection::Close);
        written.expect("a refusal is a head like any other");
    }

    async fn half_close(&mut self) -> io::Result<()> {
        self.send().await?;
        self.stream.shutdown(Shutdown::Write)?;
        let is_unread = self.is_refused || self.at < self.received.len();
        self.linger = Some(if is_unread { LINGER_BYTES } else { 0 });
        Ok(())
    }

    #[cold]
    fn throw_away(&mut self) -> Next {
        self.linger = self.linger.and_then(|left| left.checked_sub(self.received.len())).filter(|left| *left > 0);
        self.received.clear();
        if self.linger.is_some() { Next::Read } else { Next::Over }
    }
}

impl Arriving {
    /// Puts the body together from `bytes`, which begin with the request. Whether it has come to its end.
    #[inline]
    fn read(&mut self, bytes: &mut [u8]) -> Result<bool, Error> {
        while !self.decoder.is_finished() {
            if self.decoded == bytes.len() {
                return Ok(false);
            }
            let step = self.decoder.decode(&bytes[self.decoded..])?;
            self.decoded += step.consumed;
            if !step.data.is_empty() {
                let (at, len) = (step.data.as_ptr().addr() - bytes.as_ptr().addr(), step.data.len());
                bytes.copy_within(at..at + len, self.end); // to where it is, unless it came in chunks
                self.end += len;
            }
        }
        Ok(true)
    }
}

/// Empties a buffer, and gives it back if it is a large one.
#[inline]
fn forget(buffer: &mut Vec<u8>) {
    buffer.clear();
    if buffer.capacity() > KEPT_BYTES {
        *buffer = Vec::new();
    }
}

/// None if it panicked.
async fn caught<T>(mut future: Pin<Box<dyn Future<Output = T> + '_>>) -> Option<T> {
    poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
        Ok(polled) => polled.map(Some),
        Err(_) => Poll::Ready(None),
    })
    .await
}

#[cold]
fn panicked() -> Reply {
    Reply::status(500).close()
}

/// What a body is refused with, and its framing.
#[cold]
fn status_of(error: &Error) -> u16 {
    if error.kind() == ErrorKind::TooLarge { 413 } else { 400 }
}

/// What a head is refused with.
#[cold]
fn status_of_head(error: &Error, bytes: &[u8], limits: &Limits) -> u16 {
    let line = bytes.trim_ascii_start().split(|&byte| byte == b'\n').next().unwrap_or_default().trim_ascii_end();
    if error.kind() == ErrorKind::TooLarge {
        return if line.len() > limits.status_line_max { 414 } else { 431 };
    }
    let version = line.rsplit(|&byte| byte == b' ').next().and_then(|word| word.strip_prefix(b"HTTP/"));
    match version {
        Some([major, b'.', minor]) if major.is_ascii_digit() && minor.is_ascii_digit() => match (major, minor) {
            (b'1', b'0' | b'1') => 400,
            _ => 505,
        },
        _ => 400,
    }
}

/// Whether the body is coded in a way beside chunked, which ends it and comes once (RFC 9112 6.1, 6.3).
fn is_coded(fields: Fields<'_>) -> bool {
    let lines = fields.get_all("transfer-encoding").flat_map(|value| value.split(|&byte| byte == b','));
    let codings: Vec<_> = lines.map(<[u8]>::trim_ascii).filter(|coding| !coding.is_empty()).collect();
    let is_chunked = |coding: &&[u8]| coding.eq_ignore_ascii_case(b"chunked");
    codings
        .split_last()
        .is_some_and(|(last, rest)| is_chunked(last) && !rest.is_empty() && !rest.iter().any(is_chunked))
}
