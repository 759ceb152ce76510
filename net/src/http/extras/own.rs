//! What few requests have: more to say than a method, a URL and a header, or other bounds than the client's.
//!
//! ```text
//!   Request ── own: None ──────────────────────────────────────────────► a GET as any other, and nothing to look at
//!           └─ own: headers, body, version, limits, time-outs, extras ──► what is sent once, or by `follow`
//! ```
//!
//! The client's own headers are among them when the request is sent.
//! Not here: what is done with it (`exchange`, `wire/request`).   Next: `upload`, `follow`.

use std::rc::Rc;
use std::time::Duration;

use super::follow::Extras;
use super::upload::Body;
use crate::http::wire::head::Version;
use crate::http::wire::request::Spacing;
use crate::http::{Error, Limits, Request, Timeouts};

/// A header of the caller's.
pub(crate) type Header = (String, Vec<u8>);

/// What few requests have.
#[derive(Default)]
pub(crate) struct Own {
    pub(crate) headers: Vec<Header>,
    pub(crate) body: Option<Body>,
    pub(crate) left_out: Vec<String>,
    pub(crate) spacing: Spacing,
    pub(crate) version: Version,
    pub(crate) coding: Coding,
    /// Boxed: of those who have anything of their own few have these, which are large.
    pub(crate) limits: Option<Box<Limits>>,
    pub(crate) timeouts: Option<Box<Timeouts>>,
    /// In place of the client's.
    pub(crate) extras: Option<Rc<Extras>>,
    /// What a setter could not make sense of.
    pub(crate) refused: Option<Error>,
}

/// What becomes of the transfer coding of the answer's body.
#[derive(Clone, Copy, Default, PartialEq)]
pub(crate) enum Coding {
    #[default]
    Undone,
    Kept,
}

impl Request<'_> {
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
        let mut timeouts = *self.own().timeouts.as_deref().unwrap_or(&client.settings.timeouts);
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

    pub(crate) fn own(&mut self) -> &mut Own {
        self.own.get_or_insert_default()
    }

    /// Has `send` refuse it.
    pub(crate) fn refused(mut self, error: Error) -> Self {
        self.own().refused.get_or_insert(error);
        self
    }

    pub(crate) fn extras(&mut self) -> &mut Extras {
        let client = self.client.settings.extras.as_ref();
        Rc::make_mut(self.own().extras.get_or_insert_with(|| client.cloned().unwrap_or_default()))
    }

    /// Takes over the client's headers, where it says nothing of these names itself.
    pub(crate) fn take_defaults(&mut self) {
        let headers = &self.client.settings.headers;
        if !headers.is_empty() {
            let own = self.own.get_or_insert_default();
            let defaults: Vec<Header> = headers.iter().filter(|(name, _)| !own.says(name)).cloned().collect();
            own.headers.splice(0..0, defaults);
        }
    }
}

impl Own {
    /// Whether the caller said something of this header: a value, or that it is to be left out.
    pub(crate) fn says(&self, name: &str) -> bool {
        let mut said = self.left_out.iter().chain(self.headers.iter().map(|(name, _)| name));
        said.any(|said| said.eq_ignore_ascii_case(name))
    }
}
