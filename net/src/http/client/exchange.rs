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
//! A redirect makes another request of it (`follow`).
//! Not here: which connection (`pool`), what is said over it (`connection`), what the bytes mean (`head`, `body`).
//! Next: `connection`; for the answer, `response`.

use std::fmt;
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;

use super::Inner;
use super::connection::doing;
use super::dial::dial;
use super::pool::Slot;
use super::stats::{Why, add};
use super::timeouts::{At, Deadlines, Phase};
use crate::http::extras::follow;
use crate::http::extras::own::{Header, Own};
use crate::http::extras::upload::Body;
use crate::http::wire::request::{Content, Ours, Said, Start, check_head, write_head};
use crate::http::{Error, ErrorKind, Limits, Response, Url};

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

impl<'a> Request<'a> {
    pub(crate) fn new(client: &'a Rc<Inner>, method: &'a str, url: &'a Url) -> Self {
        Request { client, method, url, own: None, on_connection: None, is_timed: false }
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
        let extras = self.own.as_ref().and_then(|own| own.extras.as_ref()).or(self.client.settings.extras.as_ref());
        let extras = extras.cloned();
        if self.own.is_some() || extras.is_some() {
            self.take_defaults();
        }
        if let Some(extras) = extras {
            return Box::pin(follow::send(self, extras)).await; // boxed, so that the others' future is no larger for it
        }
        let mut time = self.deadlines();
        let slot = self.send_once(&mut time).await?;
        time.mark(Phase::Body);
        Ok(Response::new(slot, time))
    }

    fn deadlines(&self) -> Deadlines {
        let timeouts = self.own.as_ref().and_then(|own| own.timeouts.as_ref());
        let limits = timeouts.map_or_else(|| self.client.shared_timeouts.clone(), |own| own.share());
        let mut time = Deadlines::new(limits);
        if self.is_timed {
            time.measure();
        }
        time
    }

    /// Sends it once and waits for the head of the answer, by what is left of its time: the connection, as it is then.
    ///
    /// # Errors
    /// As [`Request::send`].
    pub(crate) async fn send_once(&mut self, time: &mut Deadlines) -> Result<Slot, Error> {
        let at = At::new((Phase::Queue, 0));
        let mut slot = None; // outlives the exchange: if the time is up, what came is still to be told
        let outcome = {
            let mut exchange = pin!(self.exchange(&at, &mut slot));
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
                Err(error.during(format!("{} {}", doing(self.method), self.url)))
            }
        }
    }

    /// Leaves the connection in `slot`, when the head of the answer is there. Says in `at` what it is at.
    async fn exchange(&mut self, at: &At, slot: &mut Option<Slot>) -> Result<(), Error> {
        self.check()?;
        let (client, url) = (self.client, self.url);
        let slot = slot.insert(client.pool.acquire(url).await);
        loop {
            let fresh = !slot.connection().is_open();
            if fresh {
                let transport = dial(url, &client.settings.dialing, at).await?;
                slot.connection_mut().open(transport);
                #[cfg(feature = "proxy")]
                (slot.connection_mut().via = crate::http::extras::proxy::reader(url, &client.settings.dialing));
            }
            if let Some(hook) = self.on_connection {
                hook();
            }
            let connection = slot.connection_mut();
            connection.begin(self)?;
            match poll_fn(|cx| connection.poll_answer(cx, self, at)).await {
                Err(error)
                    if !fresh
                        && connection.is_unheard()
                        && is_gone(&error)
                        && self.may_repeat(connection.has_sent()) =>
                {
                    add(&client.pool.counters.retries, 1);
                    connection.shut(Why::ByPeer);
                }
                outcome => return outcome,
            }
        }
    }

    /// What goes out. The client's headers are among its own, if it has anything of its own.
    fn headers(&self) -> &[Header] {
        self.own.as_ref().map_or(&self.client.settings.headers, |own| &own.headers)
    }

    /// Whether there is nothing of the caller's in it, and so nothing to be refused.
    #[inline]
    pub(crate) fn is_plain_get(&self) -> bool {
        self.own.is_none() && self.method == "GET" && self.client.is_sound
    }

    #[inline]
    pub(crate) fn bounds(&self) -> &Limits {
        self.own.as_ref().and_then(|own| own.limits.as_deref()).unwrap_or(&self.client.settings.limits)
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

    fn head(&self) -> (Start<'_>, Ours<'_>) {
        let mut start = Start::of(self.method, self.url);
        let mut ours = Ours { user_agent: &self.client.settings.user_agent, ..Ours::default() };
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
    fn check(&mut self) -> Result<(), Error> {
        if self.is_plain_get() {
            return Ok(()); // nearly always
        }
        self.check_all()
    }

    fn check_all(&mut self) -> Result<(), Error> {
        if let Some(refused) = self.own.as_mut().and_then(|own| own.refused.take()) {
            return Err(refused);
        }
        let (start, ours) = self.head();
        check_head(&start, ours, self.headers(), self.content())
    }

    /// Appends the head of the request.
    pub(crate) fn write(&self, out: &mut Vec<u8>) -> Result<Said, Error> {
        let (start, ours) = self.head();
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
