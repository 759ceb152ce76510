//! One connection, and what is said over it.
//!
//! ```text
//!   begin ──► head ───┐
//!   body ───► piece ──┴─► request ──► poll_answer ──► the peer
//!
//!   the peer ──► bytes: │ head │ body, decoded │ body, as it came │ ◄── poll_piece
//!                                              └ at
//! ```
//!
//! The buffers and the list of headers stay from exchange to exchange, so that a warm connection allocates nothing. A peer
//! may answer before it has the whole request and not want the rest (RFC 9112 9.5): while a request cannot go out, and with
//! each further piece of its body, what comes in is read.
//! Not here: who has the connection (`pool`), how long it may take (`timeouts`).   Next: `pool`.

use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use windlass_executor::budget::poll_proceed;
use windlass_reactor::time::{Instant, Sleep, sleep};

use super::exchange::Request;
use super::stats::{Counters, Why, add};
use super::timeouts::{At, Deadlines, Phase};
use super::transport::Transport;
use crate::http::extras::own::Coding;
use crate::http::extras::upload::Body;
use crate::http::wire::body::{Decoder, Surplus, surplus};
use crate::http::wire::head::{Asked, Framing, ResponseHead};
use crate::http::wire::request::{Said, say_close};
use crate::http::{Error, ErrorKind, Limits, Url};

pub(crate) struct Connection {
    /// None before it is opened, and when it is closed: then the rest is memory for the next that is opened in its place.
    transport: Option<Transport>,
    /// The proxy that is spoken to, if it is one that reads along.
    #[cfg(feature = "proxy")]
    pub(crate) via: Option<std::sync::Arc<crate::http::extras::proxy::Via>>,
    counters: Rc<Counters>,
    /// What is asked for, in the words of an error: "get http://127.0.0.1/".
    doing: &'static str,
    pub(crate) url: Url,
    /// The request, whether it is a GET with nothing of the caller's in it, and how much of it has gone out.
    request: Vec<u8>,
    is_plain_get: bool,
    said: Said,
    asked: Asked,
    sent: usize,
    /// How much had gone out of what was in the buffer before: a body passes through it in pieces.
    sent_before: usize,
    /// A request has gone out in several writes: the next is not to wait until the peer has acknowledged the last.
    in_pieces: bool,
    /// How long the body still waits for leave to go out.
    patience: Option<Sleep>,
    /// The peer answered before it had all of the request.
    cut_short: bool,
    coding: Coding,
    /// How many bytes have come since the request began to go out.
    heard: usize,
    /// The reply as far as it has come, and how far it has been decoded.
    pub(crate) bytes: Vec<u8>,
    at: usize,
    /// The interim heads before the final one.
    pub(crate) interims: Vec<u8>,
    pub(crate) head: ResponseHead,
    /// Of the body behind this head.
    pub(crate) body: Decoder,
    /// What is left for the body, once the head is there.
    pub(crate) time: Option<Deadlines>,
    /// When the body has come, the connection can carry another exchange.
    may_stay: bool,
    pub(crate) idle_until: Instant,
    pub(crate) born: Instant,
    /// How many have begun.
    pub(crate) exchanges: u64,
}

/// How long a body waits for a `100 Continue` (RFC 9110 10.1.1 lets nobody wait for ever): as curl does.
const EXPECTED_MAX: Duration = Duration::from_secs(1);
const OPEN: &str = "who talks over a connection has opened it";
/// A buffer larger than this is not kept for the next exchange.
const KEPT_BYTES: usize = 16 * 1024;

impl Connection {
    /// One that is not open yet.
    #[cold]
    pub(crate) fn unopened(url: &Url, counters: Rc<Counters>) -> Box<Self> {
        Box::new(Connection {
            transport: None,
            #[cfg(feature = "proxy")]
            via: None,
            counters,
            doing: "request",
            url: url.clone(),
            request: Vec::new(),
            is_plain_get: false,
            said: Said::default(),
            asked: Asked::Body,
            sent: 0,
            sent_before: 0,
            in_pieces: false,
            patience: None,
            cut_short: false,
            coding: Coding::Undone,
            heard: 0,
            bytes: Vec::new(),
            at: 0,
            interims: Vec::new(),
            head: ResponseHead::new(),
            body: Decoder::new(Framing::None, &Limits::default()).expect("no body is within every limit"),
            time: None,
            may_stay: false,
            idle_until: Instant::FAR_FUTURE,
            born: Instant::FAR_FUTURE,
            exchanges: 0,
        })
    }

    /// From here on it is open.
    pub(crate) fn open(&mut self, transport: Transport) {
        self.transport = Some(transport);
        (self.born, self.exchanges, self.in_pieces) = (Instant::recent(), 0, false);
        add(&self.counters.opened, 1);
    }

    #[inline]
    pub(crate) fn is_open(&self) -> bool {
        self.transport.is_some()
    }

    /// Closes it; its place stays. No borrow may be live: who waits for it is woken (I3).
    pub(crate) fn shut(&mut self, why: Why) {
        self.counters.close(why);
        self.clear();
        self.patience = None;
        self.transport = None;
    }

    /// What it goes over, while it is open.
    #[inline]
    pub(crate) fn transport(&self) -> &Transport {
        self.transport.as_ref().expect(OPEN)
    }

    #[inline]
    pub(crate) fn transport_mut(&mut self) -> &mut Transport {
        self.transport.as_mut().expect(OPEN)
    }

    /// Begins an exchange: nothing of the request has gone out yet.
    ///
    /// # Errors
    /// As [`write_request`](crate::http::request::write_request).
    pub(crate) fn begin(&mut self, asked: &mut Request<'_>) -> Result<(), Error> {
        (self.sent, self.sent_before, self.cut_short, self.heard, self.may_stay) = (0, 0, false, 0, false);
        self.exchanges += 1;
        add(&self.counters.reused, u64::from(self.exchanges > 1));
        let (is_plain_get, is_last) = (asked.is_plain_get(), asked.client.settings.pool.is_last(self.exchanges));
        if is_plain_get && self.is_plain_get && self.said.close == is_last && self.url.is_same(asked.url) {
            return Ok(()); // the same as the last one
        }
        (self.doing, self.url, self.is_plain_get) = (doing(asked.method), asked.url.clone(), false);
        self.asked = Asked::by(asked.method);
        self.coding = asked.own.as_ref().map_or(Coding::Undone, |own| own.coding);
        self.request.clear();
        self.said = asked.write(&mut self.request)?;
        self.is_plain_get = is_plain_get; // not before: what was refused is not there to be sent again
        if is_last && !self.said.close {
            say_close(&mut self.request);
            self.said.close = true;
        }
        #[cfg(feature = "proxy")]
        if let Some(via) = &self.via {
            via.address(&mut self.request, asked.method, asked.url);
        }
        self.patience = self.said.expects.then(|| sleep(EXPECTED_MAX));
        if let Some(body) = asked.body_left()
            && !self.said.expects
        {
            body.fill_at_hand(&mut self.request); // one write, if it is short
        }
        Ok(())
    }

    /// Whether any of the request has gone out since [`begin`](Self::begin).
    pub(crate) fn has_sent(&self) -> bool {
        self.sent + self.sent_before > 0 || self.transport().has_begun()
    }

    /// How many bytes have come since [`begin`](Self::begin).
    #[inline]
    pub(crate) fn heard(&self) -> usize {
        self.heard
    }

    /// Whether the peer has not said a word since [`begin`](Self::begin): if the connection is gone, perhaps it was before.
    pub(crate) fn is_unheard(&self) -> bool {
        self.heard == 0
    }

    /// Sends the request and reads until the head of the answer is there. Says in `at` what it is at.
    ///
    /// # Errors
    /// If the connection ends before that, or the head is malformed or too large.
    pub(crate) fn poll_answer(
        &mut self,
        cx: &mut Context<'_>,
        asked: &mut Request<'_>,
        at: &At,
    ) -> Poll<Result<(), Error>> {
        ready!(self.poll_send(cx, asked, at))?;
        let limits = asked.bounds();
        while self.is_unheard() || !self.read_head(limits)? {
            at.set((if self.is_unheard() { Phase::FirstByte } else { Phase::Head }, self.heard));
            match ready!(self.poll_read(cx, |_, _| 0)) {
                Ok(0) => return Poll::Ready(Err(self.ended("the connection ended within the head"))),
                Ok(_) => {}
                Err(error) => return Poll::Ready(Err(self.broke("reading the head", error))),
            }
        }
        let framing = self.head.framing(self.asked)?;
        let is_whole = self.sent == self.request.len() && !asked.owes_body();
        self.may_stay = self.head.keep_alive(framing) && is_whole && !self.said.close;
        self.body = Decoder::new(framing, limits)?;
        self.at = self.head.head_len();
        Poll::Ready(Ok(()))
    }

    /// Sends the request, or as much of it as the peer wants to have.
    fn poll_send(&mut self, cx: &mut Context<'_>, asked: &mut Request<'_>, at: &At) -> Poll<Result<(), Error>> {
        while !self.cut_short {
            let mut failed = None;
            if self.sent < self.request.len() {
                at.set((Phase::Send, self.sent_before + self.sent));
                let transport = self.transport.as_mut().expect(OPEN);
                match transport.poll_write(cx, &self.request[self.sent..]) {
                    Poll::Ready(Ok(n)) => {
                        self.sent += n;
                        add(&self.counters.bytes_out, n as u64);
                        if self.sent == self.request.len() && self.is_unheard() && asked.body_left().is_none() {
                            // An answer takes a while: to try to read would be in vain.
                            at.set((Phase::FirstByte, 0));
                            let answer = self.transport_mut().poll_readable(cx);
                            return answer.map_err(|error| self.broke("sending the request", error));
                        }
                        continue;
                    }
                    Poll::Ready(Err(error)) => failed = Some(error),
                    Poll::Pending => {}
                }
            } else if asked.body_left().is_none() {
                break;
            }
            ready!(self.poll_go_on(cx, asked, failed))?;
        }
        Poll::Ready(Ok(()))
    }

    /// What is in the buffer cannot go out just now, or has: fetches more of the body, and hears whether the peer wants it.
    #[cold]
    fn poll_go_on(
        &mut self,
        cx: &mut Context<'_>,
        asked: &mut Request<'_>,
        failed: Option<io::Error>,
    ) -> Poll<Result<(), Error>> {
        let mut filled = false;
        if !self.in_pieces {
            self.in_pieces = true;
            let _ = self.transport().socket().set_nodelay(true); // slower without, not wrong
        }
        if self.sent == self.request.len()
            && let Some(body) = asked.body_left()
        {
            filled = self.poll_fill(cx, body)?.is_ready();
            if filled && self.request.is_empty() {
                ready!(poll_proceed(cx)); // who gives nothing over and over holds up nobody else
            }
        }
        if failed.is_some() {
            self.transport().hear(); // perhaps it said why before it went, and so lately that the loop does not know
        }
        self.cut_short = match (failed, self.poll_read(cx, |_, _| 0)) {
            (Some(_), Poll::Ready(Ok(1..))) => true,
            (Some(error), _) | (None, Poll::Ready(Err(error))) => {
                return Poll::Ready(Err(self.broke("sending the request", error)));
            }
            (None, Poll::Ready(Ok(0))) => true,
            // Interim heads may be all, after which the peer still wants the rest of the request (RFC 9110 15.2). What is
            // wrong with them shows when the answer is read.
            (None, Poll::Ready(Ok(_))) => !matches!(self.read_head(asked.bounds()), Ok(false)),
            (None, Poll::Pending) if filled => false,
            (None, Poll::Pending) => return Poll::Pending,
        };
        Poll::Ready(Ok(()))
    }

    /// Fills the buffer with the next piece of the body, when it is time for it.
    fn poll_fill(&mut self, cx: &mut Context<'_>, body: &mut Body) -> Poll<Result<(), Error>> {
        if let Some(patience) = &mut self.patience {
            ready!(Pin::new(patience).poll(cx));
            self.patience = None;
        }
        self.sent_before += self.sent;
        self.sent = 0;
        self.request.clear();
        body.poll_fill(cx, &mut self.request)
    }

    /// Whether the final head is complete. Interim heads are taken out of the buffer.
    fn read_head(&mut self, limits: &Limits) -> Result<bool, Error> {
        while let Some(len) = self.head.parse(&self.bytes, limits)? {
            if !self.head.is_interim() {
                return Ok(true);
            }
            if self.head.status() == 100 {
                self.patience = None; // the peer wants the body
            }
            self.head.begin_next(limits)?;
            self.interims.extend(self.bytes.drain(..len));
        }
        Ok(false)
    }

    /// The same error, with what was asked for.
    #[cold]
    pub(crate) fn explain(&self, error: Error) -> Error {
        error.during(format!("{} {}", self.doing, self.url))
    }

    /// Where in `bytes` the next piece of the body lies; none at its end.
    ///
    /// # Errors
    /// A body that ends too early, is too large, or is framed in a way that cannot be trusted; its time is up.
    #[inline]
    pub(crate) fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Range<usize>>, Error>> {
        loop {
            let piece = self.decode()?;
            if piece.is_some() || self.body.is_finished() {
                return Poll::Ready(Ok(piece));
            }
            ready!(self.poll_more(cx, |_, _| 0))?;
        }
    }

    /// Shows what is left of the body to `take`, where possible in the buffer that all connections share. While `take` runs
    /// that buffer is borrowed (I3).
    ///
    /// # Errors
    /// As [`poll_piece`](Self::poll_piece).
    #[inline]
    pub(crate) fn poll_take(&mut self, cx: &mut Context<'_>, take: &mut impl FnMut(&[u8])) -> Poll<Result<(), Error>> {
        loop {
            while let Some(piece) = self.decode()? {
                take(&self.bytes[piece]);
            }
            if self.body.is_finished() {
                return Poll::Ready(Ok(()));
            }
            ready!(self.poll_take_more(cx, take))?;
        }
    }

    fn poll_take_more(&mut self, cx: &mut Context<'_>, take: &mut impl FnMut(&[u8])) -> Poll<Result<(), Error>> {
        let (coding, mut decoded) = (self.coding, Ok(()));
        ready!(self.poll_more(cx, |body, bytes| {
            let mut at = 0;
            while decoded.is_ok() && !body.is_finished() && at < bytes.len() {
                decoded = body.decode(&bytes[at..]).map(|step| {
                    take(if coding == Coding::Kept { &bytes[at..at + step.consumed] } else { step.data });
                    at += step.consumed;
                });
            }
            at
        }))?;
        Poll::Ready(decoded)
    }

    /// Reads more of the body; `take` as for [`poll_read`](Self::poll_read).
    fn poll_more(
        &mut self,
        cx: &mut Context<'_>,
        take: impl FnMut(&mut Decoder, &[u8]) -> usize,
    ) -> Poll<Result<(), Error>> {
        // What was decoded has been seen: only the head stays.
        self.at = self.head.head_len();
        self.bytes.truncate(self.at);
        let Poll::Ready(read) = self.poll_read(cx, take) else {
            let at = (Phase::Body, self.heard);
            return self.time.as_mut().map_or(Poll::Pending, |time| time.poll(cx, at).map(Err));
        };
        if read.map_err(|error| self.broke("reading the body", error))? == 0 {
            self.may_stay = false;
            self.body.finish_at_eof()?;
        }
        Poll::Ready(Ok(()))
    }

    /// The next piece of the body among the bytes that are there.
    #[inline]
    fn decode(&mut self) -> Result<Option<Range<usize>>, Error> {
        while !self.body.is_finished() && self.at < self.bytes.len() {
            let step = self.body.decode(&self.bytes[self.at..])?;
            let came_at = self.at;
            self.at += step.consumed;
            if self.coding == Coding::Kept {
                return Ok(Some(came_at..self.at));
            }
            if !step.data.is_empty() {
                let start = step.data.as_ptr().addr() - self.bytes.as_ptr().addr();
                return Ok(Some(start..start + step.data.len()));
            }
        }
        Ok(None)
    }

    /// Reads what comes. Where possible it is shown to `take`, which tells how much of it is done with; the rest is appended to
    /// what is there. 0 is the end of the stream.
    #[inline]
    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        mut take: impl FnMut(&mut Decoder, &[u8]) -> usize,
    ) -> Poll<io::Result<usize>> {
        let (transport, body) = (self.transport.as_mut().expect(OPEN), &mut self.body);
        let read = transport.poll_read_with(cx, &mut self.bytes, |bytes| take(body, bytes));
        if let Poll::Ready(Ok(n)) = read {
            self.heard += n;
            add(&self.counters.bytes_in, n as u64);
        }
        read
    }

    /// Why the connection ends with this exchange; none if it can carry another: the body is all there, and nothing follows.
    #[inline]
    pub(crate) fn ends(&mut self) -> Option<Why> {
        while let Ok(Some(_)) = self.decode() {}
        if self.may_stay && self.body.is_finished() {
            let is_unasked = surplus(&self.bytes[self.at..]) == Surplus::Unasked;
            return is_unasked.then_some(Why::ByPeer);
        }
        Some(if self.body.is_finished() && self.head.status() > 0 { Why::Asked } else { Why::Unfinished })
    }

    /// Forgets an exchange that is over. No borrow may be live: its timer's waker goes (I3).
    pub(crate) fn clear(&mut self) {
        self.time = None;
        self.idle_until = Instant::FAR_FUTURE;
        self.head.clear();
        self.interims = Vec::new();
        self.at = 0;
        self.bytes.clear();
        if self.bytes.capacity() > KEPT_BYTES {
            self.bytes = Vec::new();
        }
        if self.request.capacity() > KEPT_BYTES {
            (self.request, self.is_plain_get) = (Vec::new(), false);
        }
    }

    /// What the peer has said in this exchange, while there is no answer yet.
    #[cold]
    pub(crate) fn said_so_far(&self) -> Vec<u8> {
        [&self.interims[..], &self.bytes].concat()
    }

    fn ended(&self, within: &'static str) -> Error {
        Error::new(ErrorKind::Truncated, self.unless_unheard(within))
    }

    fn broke(&self, doing: &'static str, error: io::Error) -> Error {
        use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, InvalidData, UnexpectedEof};
        let kind = match error.kind() {
            ConnectionReset | ConnectionAborted | BrokenPipe => ErrorKind::Reset,
            UnexpectedEof => ErrorKind::Truncated, // an end that TLS does not vouch for
            InvalidData => ErrorKind::Tls,         // bytes that TLS does not vouch for
            _ => ErrorKind::Other,
        };
        Error::io(kind, self.unless_unheard(doing), error)
    }

    fn unless_unheard(&self, what: &'static str) -> &'static str {
        if self.is_unheard() { "the connection ended before an answer" } else { what }
    }
}

/// The method's word in an error's text.
pub(crate) fn doing(method: &str) -> &'static str {
    match method {
        "GET" => "get",
        "HEAD" => "head",
        "POST" => "post",
        "PUT" => "put",
        "DELETE" => "delete",
        _ => "request",
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use windlass_executor::join;

    use crate::http::extras::upload::PIECE_BYTES;
    use crate::http::{Client, ErrorKind, Reply, Server, Url};

    #[test]
    fn every_request_over_a_connection_is_the_one_that_was_asked_for() {
        let heard = windlass_reactor::doc_real(async {
            let server = Server::bind("127.0.0.1:0".parse().unwrap()).unwrap();
            let url = |path| Url::parse(&format!("http://{}/{path}", server.local_addr().unwrap())).unwrap();
            let (a, b) = (url("a"), url("b"));
            windlass_executor::spawn(server.run(|request| {
                let header = |name| String::from_utf8_lossy(request.headers().get(name).unwrap_or(b"-")).into_owned();
                let (method, target, length) = (request.method(), request.target(), header("content-length"));
                Reply::bytes(200, format!("{method} {target} {} {length}", header("x")))
            }));
            let client = Client::new();
            let mut heard = Vec::new();
            for request in [
                client.get(&a),
                client.get(&a),
                client.get(&b),
                client.get(&b).header("X", "y"),
                client.get(&b),
                client.request("DELETE", &b),
                client.get(&b),
                client.get(&b).body("z"),
                client.get(&b),
                client.get(&a.clone()),
            ] {
                heard.push(String::from_utf8(request.send().await.unwrap().bytes().await.unwrap()).unwrap());
            }
            assert_eq!(client.stats().opened, 1);
            heard
        });
        let expected = "GET /a - -|GET /a - -|GET /b - -|GET /b y -|GET /b - -|DELETE /b - -|GET /b - -|GET /b - 1|\
                        GET /b - -|GET /a - -";
        assert_eq!(heard.join("|"), expected);
    }

    #[test]
    fn only_a_request_in_several_writes_has_the_kernel_send_small_ones_at_once() {
        windlass_reactor::doc_real(async {
            let server = Server::bind("127.0.0.1:0".parse().unwrap()).unwrap();
            let url = Url::parse(&format!("http://{}/", server.local_addr().unwrap())).unwrap();
            windlass_executor::spawn(server.run(|_| Reply::text(200, "heard")));
            let client = Client::new();
            for (body, nodelay) in [(0, false), (1_000, false), (PIECE_BYTES + 1, true), (0, true)] {
                let response = client.post(&url).body(vec![b'x'; body]).send().await.unwrap();
                assert_eq!(response.connection().transport().socket().nodelay().unwrap(), nodelay, "{body} bytes");
                response.drain().await.unwrap();
            }
            assert_eq!(client.stats().opened, 1);
        });
    }

    #[test]
    fn what_is_refused_is_refused_once_more_where_its_connections_memory_is_used_again() {
        windlass_reactor::doc_real(async {
            let server = Server::bind("127.0.0.1:0".parse().unwrap()).unwrap();
            let url = Url::parse(&format!("http://{}/", server.local_addr().unwrap())).unwrap();
            windlass_executor::spawn(server.run(|_| Reply::text(200, "heard")));
            let client = Client::builder().limit(1).user_agent("two\r\nlines").timeout(Duration::from_secs(5)).build();
            let (first, second) = join((client.get(&url).send(), client.get(&url).send())).await;
            assert_eq!([first.unwrap_err().kind(), second.unwrap_err().kind()], [ErrorKind::Other; 2]);
        });
    }
}
