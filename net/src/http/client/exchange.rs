//! A request, and how it gets its answer.
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
//! A [`Hop`] is what is sent once: a redirect makes another one of it.
//! Not here: which connection (`pool`), what is said over it (`connection`), what the bytes mean (`head`, `body`).
//! Next: `connection`; for the answer, `response`.

use std::fmt;
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use super::Inner;
use super::connection::doing;
use super::dial::dial;
use super::pool::Slot;
use super::timeouts::{At, Deadlines, Phase};
use super::upload::{Body, Header};
use crate::http::extras::follow::{self, Extras, Redirects};
use crate::http::wire::head::Version;
use crate::http::wire::request::{Content, Ours, Said, Spacing, Start, check_head, check_method, write_head};
use crate::http::{Error, ErrorKind, Limits, Response, Timeouts, Url};

/// A request that is not sent yet.
///
/// What HTTP does not allow in it is refused by [`send`](Request::send), before a connection is touched.
///
/// ```
/// # use windlass_net::windlass;
/// use windlass::http::ErrorKind;
/// # windlass_net::doc_http(async |client, url| {
/// let request = client.post(url).header("Accept", "text/plain").body("hello");
/// assert_eq!(request.send().await?.status(), 200);
///
/// let refused = client.get(url).header("X", "two\r\nlines").send().await.unwrap_err();
/// assert_eq!(refused.kind(), ErrorKind::Other);
/// # Ok(()) });
/// ```
#[must_use = "a request does nothing until `send`"]
pub struct Request<'a> {
    pub(crate) client: &'a Rc<Inner>,
    pub(crate) method: &'a str,
    pub(crate) url: &'a Url,
    pub(crate) own: Option<Box<Own>>,
    pub(crate) on_connection: Option<&'a dyn Fn()>,
    pub(crate) is_timed: bool,
}

/// What few requests have.
#[derive(Default)]
pub(crate) struct Own {
    pub(crate) headers: Vec<Header>,
    pub(crate) body: Option<Body>,
    left_out: Vec<String>,
    spacing: Spacing,
    version: Version,
    pub(crate) coding: Coding,
    /// Boxed: of those who have anything of their own few have these, which are large.
    pub(crate) limits: Option<Box<Limits>>,
    pub(crate) timeouts: Option<Box<Timeouts>>,
    /// In place of the client's.
    pub(crate) extras: Option<Rc<Extras>>,
    /// What a setter could not make sense of.
    refused: Option<Error>,
}

/// What becomes of the transfer coding of the answer's body.
#[derive(Clone, Copy, Default, PartialEq)]
pub(crate) enum Coding {
    #[default]
    Undone,
    Kept,
}

/// One request as it goes out: a redirect changes it and sends it again.
pub(crate) struct Hop<'h> {
    pub(crate) method: &'h str,
    pub(crate) url: &'h Url,
    pub(crate) own: Option<&'h mut Own>,
    pub(crate) on_connection: Option<&'h dyn Fn()>,
}

impl<'a> Request<'a> {
    pub(crate) fn new(client: &'a Rc<Inner>, method: &'a str, url: &'a Url) -> Self {
        let own = if client.headers.is_empty() { None } else { Some(Box::default()) };
        Request { client, method, url, own, on_connection: None, is_timed: false }
    }

    /// Adds a header, after those before it.
    ///
    /// A Host, User-Agent or Accept takes the place of the client's; so does a header of a name that the client adds to
    /// every request. `Connection: close` is heeded, and so is `Expect: 100-continue`: see
    /// [`expect_continue`](Request::expect_continue).
    ///
    /// ```
    /// # windlass_net::doc_http(async |client, url| {
    /// let response = client.get(url).header("Accept", "text/html").header("X-Mine", "1").send().await?;
    /// let heard = response.text().await?;
    /// assert!(heard.contains("\r\nAccept: text/html\r\nX-Mine: 1\r\n"), "{heard}");
    /// # Ok(()) });
    /// ```
    pub fn header(mut self, name: impl Into<String>, value: impl Into<Vec<u8>>) -> Self {
        self.own().headers.push((name.into(), value.into()));
        self
    }

    /// Leaves out a header that the client would add: User-Agent, Accept, a body's Content-Type, or one that it adds to every
    /// request. Host is always there, and so is what says how long the body is.
    ///
    /// ```
    /// # windlass_net::doc_http(async |client, url| {
    /// let heard = client.get(url).without("Accept").without("User-Agent").send().await?.text().await?;
    /// assert_eq!(heard, format!("GET / HTTP/1.1\r\nHost: {}\r\n\r\n", url.host_header()));
    /// # Ok(()) });
    /// ```
    pub fn without(mut self, name: impl Into<String>) -> Self {
        self.own().left_out.push(name.into());
        self
    }

    /// Has no space put between a header's colon and its value: the value begins where the colon ends, and brings along what
    /// space there is to be. For a peer that minds, and for who repeats somebody else's request byte for byte. Host and what
    /// the client writes itself have one all the same.
    ///
    /// ```
    /// # windlass_net::doc_http(async |client, url| {
    /// let heard = client.get(url).as_spaced().header("X", "y").header("Z", "  w").send().await?.text().await?;
    /// assert!(heard.contains("\r\nX:y\r\nZ:  w\r\n"), "{heard}");
    /// # Ok(()) });
    /// ```
    pub fn as_spaced(mut self) -> Self {
        self.own().spacing = Spacing::Given;
        self
    }

    /// Gives it a body: bytes, or whatever else a [`Body`] can be. One whose length is known is announced by it, any other
    /// is sent in chunks.
    ///
    /// ```
    /// # windlass_net::doc_http(async |client, url| {
    /// let heard = client.post(url).body("hello").send().await?.text().await?;
    /// assert!(heard.ends_with("\r\nContent-Length: 5\r\n\r\nhello"), "{heard}");
    /// # Ok(()) });
    /// ```
    pub fn body(mut self, body: impl Into<Body>) -> Self {
        self.own().body = Some(body.into());
        self
    }

    /// Waits with the body until the server asks for it (`Expect: 100-continue`), for a second at most: some servers do not
    /// know that. If it answers with something else, that is the answer, and the body stays where it is.
    ///
    /// ```
    /// # windlass_net::doc_http(async |client, url| {
    /// let response = client.post(url).expect_continue().body(vec![b'x'; 1_000_000]).send().await?;
    /// assert!(response.status() == 200 || response.status() == 417);
    /// # Ok(()) });
    /// ```
    pub fn expect_continue(self) -> Self {
        self.header("Expect", "100-continue")
    }

    /// Says that it is of this version: of HTTP/1.0 where a server chokes on 1.1. The connection ends with it then, and a
    /// body must have a length.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// use windlass::http::head::Version;
    /// # windlass_net::doc_http(async |client, url| {
    /// let heard = client.get(url).version(Version::Http10).send().await?.text().await?;
    /// assert!(heard.starts_with("GET / HTTP/1.0\r\n"), "{heard}");
    /// # Ok(()) });
    /// ```
    pub fn version(mut self, version: Version) -> Self {
        self.own().version = version;
        self
    }

    /// Asks for the answer's body as it comes over the wire, chunk sizes and trailers and all. Where it ends is found out
    /// all the same.
    ///
    /// ```
    /// # windlass_net::doc_http(async |client, url| {
    /// let chunked = url.with_query([("chunks", "1")])?; // a server that answers in chunks
    /// let body = client.get(&chunked).raw().send().await?.text().await?;
    /// assert!(body.ends_with("\r\n0\r\n\r\n"), "{body}");
    /// # Ok(()) });
    /// ```
    pub fn raw(mut self) -> Self {
        self.own().coding = Coding::Kept;
        self
    }

    /// Limits of its own, instead of the client's.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// use windlass::http::{ErrorKind, Limits};
    /// # windlass_net::doc_http(async |client, url| {
    /// let mut limits = Limits::default();
    /// limits.body_max = 3;
    /// let error = client.get(url).limits(limits).send().await.unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::TooLarge);
    /// # Ok(()) });
    /// ```
    pub fn limits(mut self, limits: Limits) -> Self {
        self.own().limits = Some(Box::new(limits));
        self
    }

    /// A time-out of its own, for the whole exchange.
    ///
    /// ```
    /// # windlass_net::doc_http(async |client, url| {
    /// let response = client.get(url).timeout(std::time::Duration::from_secs(3)).send().await?;
    /// assert_eq!(response.status(), 200);
    /// # Ok(()) });
    /// ```
    pub fn timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        let client = self.client;
        let mut timeouts = *self.own().timeouts.as_deref().unwrap_or(&client.timeouts);
        timeouts.total = timeout.into();
        self.timeouts(timeouts)
    }

    /// Time-outs of its own, instead of the client's.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// use windlass::http::Timeouts;
    /// # windlass_net::doc_http(async |client, url| {
    /// let response = client.get(url).timeouts(Timeouts::none()).send().await?;
    /// assert_eq!(response.status(), 200);
    /// # Ok(()) });
    /// ```
    pub fn timeouts(mut self, timeouts: Timeouts) -> Self {
        self.own().timeouts = Some(Box::new(timeouts));
        self
    }

    /// What becomes of a redirect, instead of the client's setting.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// # windlass_net::doc_http(async |client, url| {
    /// use windlass::http::Redirects;
    /// let response = client.get(url).redirects(Redirects::up_to(3)).send().await?;
    /// # drop(response);
    /// # Ok(()) });
    /// ```
    pub fn redirects(mut self, redirects: Redirects) -> Self {
        self.extras().redirects = redirects;
        self
    }

    pub(crate) fn extras(&mut self) -> &mut Extras {
        let client = self.client.extras.as_ref();
        Rc::make_mut(self.own().extras.get_or_insert_with(|| client.cloned().unwrap_or_default()))
    }

    /// Takes the time of each phase: see [`Response::timings`].
    ///
    /// ```
    /// # windlass_net::doc_http(async |client, url| {
    /// let mut response = client.get(url).timed().send().await?;
    /// while response.chunk().await?.is_some() {}
    /// println!("{:?}", response.timings().expect("they were asked for").first_byte);
    /// # Ok(()) });
    /// ```
    pub fn timed(mut self) -> Self {
        self.is_timed = true;
        self
    }

    /// Calls `hook` when the request has its connection, pooled or new, and is about to go out on it: what is before that
    /// is waiting, what is after it is the exchange. Called again if the request is sent once more.
    ///
    /// ```
    /// # windlass_net::doc_http(async |client, url| {
    /// let times = std::cell::Cell::new(0);
    /// client.get(url).on_connection(&|| times.set(times.get() + 1)).send().await?;
    /// assert_eq!(times.get(), 1);
    /// # Ok(()) });
    /// ```
    pub fn on_connection(mut self, hook: &'a dyn Fn()) -> Self {
        self.on_connection = Some(hook);
        self
    }

    pub(crate) fn own(&mut self) -> &mut Own {
        self.own.get_or_insert_default()
    }

    /// Has `send` refuse it.
    pub(crate) fn refused(mut self, error: Error) -> Self {
        self.own().refused.get_or_insert(error);
        self
    }

    /// Sends it and waits for the head of the answer.
    ///
    /// It is sent once more, on a new connection, if the one it went out on had carried an exchange before and ended
    /// without a byte of an answer, and if that does no harm: if no byte of it had gone out, or its method does the same
    /// when done twice (RFC 9110 9.2.2); and if its body can be had again, which that of a stream cannot.
    ///
    /// # Errors
    /// Whatever goes wrong, each with its [`ErrorKind`]. A status of 400 or more is none: it is an answer.
    ///
    /// # Cancel
    /// Dropping it closes the connection, if it had one.
    ///
    /// ```
    /// # windlass_net::doc_http(async |client, url| {
    /// assert_eq!(client.get(url).send().await?.status(), 200);
    /// # Ok(()) });
    /// ```
    pub async fn send(mut self) -> Result<Response, Error> {
        let extras = self.own.as_ref().and_then(|own| own.extras.as_ref()).or(self.client.extras.as_ref());
        if let Some(extras) = extras.cloned() {
            return Box::pin(follow::send(self, extras)).await; // boxed, so that the others' future is no larger for it
        }
        let mut time = Deadlines::new(self.client.shared_timeouts.clone());
        if let Some(own) = &mut self.own {
            own.settle(self.client, &mut time);
        }
        if self.is_timed {
            time.measure();
        }
        let Request { client, method, url, own, on_connection, .. } = &mut self;
        let mut hop = Hop { method, url, own: own.as_deref_mut(), on_connection: *on_connection };
        let slot = client.send_once(&mut hop, &mut time).await?;
        time.mark(Phase::Body);
        Ok(Response::new(slot, time))
    }
}

impl Own {
    /// Takes over what the client has for every request; gives `time` its own time-outs.
    fn settle(&mut self, client: &Inner, time: &mut Deadlines) {
        self.take_defaults(client);
        if let Some(own) = &self.timeouts {
            *time = Deadlines::new(own.share());
        }
    }

    /// The client's headers, where the request says nothing of these names.
    pub(crate) fn take_defaults(&mut self, client: &Inner) {
        let defaults: Vec<Header> = client.headers.iter().filter(|(name, _)| !self.says(name)).cloned().collect();
        self.headers.splice(0..0, defaults);
    }

    /// Whether the caller said something of this header: a value, or that it is to be left out.
    pub(crate) fn says(&self, name: &str) -> bool {
        let mut said = self.left_out.iter().chain(self.headers.iter().map(|(name, _)| name));
        said.any(|said| said.eq_ignore_ascii_case(name))
    }
}

impl Inner {
    /// Sends a request and waits for the head of the answer, by what is left of its time: the connection, as it is then.
    ///
    /// # Errors
    /// As [`Request::send`].
    pub(crate) async fn send_once(self: &Rc<Self>, hop: &mut Hop<'_>, time: &mut Deadlines) -> Result<Slot, Error> {
        let at = At::new();
        let mut slot = None; // outlives the exchange: if the time is up, what came is still to be told
        let outcome = {
            let mut exchange = pin!(self.exchange(hop, &at, &mut slot));
            poll_fn(|cx| {
                let polled = exchange.as_mut().poll(cx);
                if polled.is_pending() { time.poll(cx, at.get()).map(Err) } else { polled }
            })
            .await
        };
        match outcome {
            Ok(()) => Ok(slot.expect("who has an answer has a slot")),
            Err(error) => {
                let heard = slot.as_ref().map(|slot| slot.connection().said_so_far());
                let error = error.having_heard(heard.unwrap_or_default());
                Err(error.during(format!("{} {}", doing(hop.method), hop.url)))
            }
        }
    }

    /// Leaves the connection in `slot`, when the head of the answer is there. Says in `at` what it is at.
    async fn exchange(self: &Rc<Self>, hop: &mut Hop<'_>, at: &At, slot: &mut Option<Slot>) -> Result<(), Error> {
        hop.check(self)?;
        let slot = slot.insert(self.pool.acquire(hop.url).await);
        loop {
            let fresh = !slot.connection().is_open();
            if fresh {
                slot.fill(dial(hop.url, &self.dialing, at).await?);
                #[cfg(feature = "proxy")]
                (slot.connection_mut().via = crate::http::extras::proxy::reader(hop.url, &self.dialing));
            }
            if let Some(hook) = hop.on_connection {
                hook();
            }
            let connection = slot.connection_mut();
            connection.begin(hop, self)?;
            match poll_fn(|cx| connection.poll_answer(cx, hop, self, at)).await {
                Err(error)
                    if !fresh
                        && connection.is_unheard()
                        && is_gone(&error)
                        && hop.may_repeat(connection.has_sent()) =>
                {
                    slot.empty_again();
                }
                outcome => return outcome,
            }
        }
    }
}

impl Hop<'_> {
    pub(crate) fn headers(&self) -> &[Header] {
        self.own.as_ref().map_or(&[], |own| &own.headers)
    }

    /// Whether there is nothing of the caller's in it.
    #[inline]
    pub(crate) fn is_plain_get(&self) -> bool {
        self.own.is_none() && self.method == "GET"
    }

    #[inline]
    pub(crate) fn limits<'a>(&'a self, client: &'a Inner) -> &'a Limits {
        self.own.as_ref().and_then(|own| own.limits.as_deref()).unwrap_or(&client.limits)
    }

    pub(crate) fn content(&self) -> Content {
        self.own.as_ref().and_then(|own| own.body.as_ref()).map_or(Content::None, Body::content)
    }

    /// Its body, if it has one of which not all has been taken.
    #[inline]
    pub(crate) fn body_left(&mut self) -> Option<&mut Body> {
        self.own.as_mut()?.body.as_mut().filter(|body| !body.is_taken())
    }

    /// Whether some of the body that was announced has not been taken.
    #[inline]
    pub(crate) fn owes_body(&self) -> bool {
        self.own.as_ref().and_then(|own| own.body.as_ref()).is_some_and(Body::is_owed)
    }

    fn head<'a>(&'a self, client: &'a Inner) -> (Start<'a>, Ours<'a>) {
        let mut start = Start::of(self.method, self.url);
        let mut ours = Ours { user_agent: &client.user_agent, ..Ours::default() };
        if let Some(own) = &self.own {
            start.version = own.version;
            ours.content_type = own.body.as_ref().and_then(Body::content_type);
            ours.left_out = &own.left_out;
            ours.spacing = own.spacing;
        }
        (start, ours)
    }

    /// Refuses what must not be sent.
    #[inline]
    fn check(&mut self, client: &Inner) -> Result<(), Error> {
        if self.is_plain_get() {
            return Ok(()); // nearly always
        }
        self.check_all(client)
    }

    fn check_all(&mut self, client: &Inner) -> Result<(), Error> {
        let Some(own) = &mut self.own else { return check_method(self.method) };
        if let Some(refused) = own.refused.take() {
            return Err(refused);
        }
        let (start, ours) = self.head(client);
        check_head(&start, ours, self.headers(), self.content())
    }

    /// Appends the head of the request.
    pub(crate) fn write(&self, out: &mut Vec<u8>, client: &Inner) -> Result<Said, Error> {
        let (start, ours) = self.head(client);
        write_head(out, &start, ours, self.headers(), self.content())
    }

    /// Whether it does no harm to send it again, of which something `has_gone_out`, and can be done; if so, its body begins
    /// anew.
    fn may_repeat(&mut self, has_gone_out: bool) -> bool {
        (!has_gone_out || is_idempotent(self.method))
            && self.own.as_mut().and_then(|own| own.body.as_mut()).is_none_or(Body::rewind)
    }
}

/// The connection is no longer there, as far as it was the connection that failed.
fn is_gone(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Reset | ErrorKind::Truncated)
}

/// Methods that do the same when done twice (RFC 9110 9.2.2).
pub(crate) fn is_idempotent(method: &str) -> bool {
    matches!(method, "GET" | "HEAD" | "OPTIONS" | "TRACE" | "PUT" | "DELETE")
}

impl fmt::Debug for Request<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request").field("method", &self.method).field("url", &self.url).finish_non_exhaustive()
    }
}
