//! From an answer that points elsewhere to the one that was wanted.
//!
//! ```text
//!   send ──► one exchange ──► 200 ─────────────────────────────────────────────► Response, its url and history
//!               ▲      └────► 301, 302, 303, 307, 308 with a Location
//!               │                 │ too many? no place to go to? the caller says no?  ──► an error that says why
//!               │                 ▼
//!               └── the next URL, and the same request less
//!                     what was for the origin before: credentials, cookies, Host    (if scheme, host or port differ)
//!                     its body and what described it                                (if it becomes a GET)
//! ```
//!
//! By itself a client follows nothing: a redirect is an answer, and a crawler wants to see it. With [`Redirects::up_to`] it
//! does, and then whoever writes a `Location` decides where the next request goes. So what is meant for one origin does
//! not go to another, and what was once taken off the request stays off, also when a later redirect leads back. The
//! addresses of each hop are judged by the dialer as those of the first, and all of it has the time of one exchange.
//!
//! `Referer` is not sent: where somebody came from is nobody else's business, and no server needs it. Who does need it
//! sets it as any header; it is taken off where a redirect leads from https to http (RFC 9110 10.1.3).
//! Not here: what a relative reference means (`url`), cookies (`cookies`), trying again (`retry`).   Next: `retry`.

use std::fmt;
use std::future::poll_fn;
use std::mem;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use windlass_reactor::time::timeout;

#[cfg(feature = "cookies")]
use super::cookies::CookieJar;
#[cfg(feature = "_decode")]
use super::decode::Decoding;
#[cfg(feature = "retry")]
use super::retry::Retries;
use super::upload::Body;
use crate::http::client::connection::doing;
use crate::http::client::exchange::Request;
use crate::http::client::pool::Slot;
use crate::http::client::timeouts::{Deadlines, Phase};
use crate::http::wire::head::Fields;
use crate::http::{ClientBuilder, Error, ErrorKind, Response, Timeouts, Url};

/// A redirect's body is read if it is no longer than this, and in no longer than that, so that the connection can stay.
/// Most are a sentence and come with the head.
const DRAINED_MAX: usize = 64 * 1024;
const DRAINED_WITHIN: Duration = Duration::from_millis(100);

/// What describes a body, beside all that begins with `content-`, and goes with it (RFC 9110 15.4, 9530 3).
const OF_THE_BODY: [&str; 7] =
    ["transfer-encoding", "te", "trailer", "expect", "last-modified", "digest", "repr-digest"];
/// What is for one origin.
const OF_THE_ORIGIN: [&str; 5] = ["authorization", "cookie", "proxy-authorization", "www-authenticate", "host"];

/// What a client does when an answer points elsewhere.
///
/// | | default |
/// |---|---|
/// | redirects followed | none; a redirect is an answer |
/// | 301, 302 of a POST, 303 of anything but HEAD | becomes a GET without a body (RFC 9110 15.4.2-4) |
/// | 307, 308, and the rest of 301, 302 | sent again as it was; an error if its body cannot be |
/// | to another scheme, host or port | without `Authorization`, `Cookie`, `Proxy-Authorization`, `WWW-Authenticate`, `Host`, and what [`credential`](Redirects::credential) names, from then on |
/// | from https to http | an error, unless [`allow_downgrade`](Redirects::allow_downgrade) |
/// | to anything but http and https, or to user information | an error |
/// | no `Location` | an answer, not a redirect |
/// | an empty `Location`, or several that differ | an error |
///
/// ```
/// # use windlass_net::windlass;
/// use windlass::http::{Client, Redirects, Reply, Server, Url};
/// # windlass_reactor::doc_real(async {
/// let server = Server::bind("127.0.0.1:0".parse().unwrap())?;
/// let url = Url::parse(&format!("http://{}/old", server.local_addr()?)).unwrap();
/// windlass::spawn(server.run(|request| match request.target() {
///     "/old" => Reply::bytes(301, "").header("Location", "new"),
///     target => Reply::bytes(200, target.to_owned()),
/// }));
///
/// let client = Client::builder().redirects(Redirects::up_to(10)).build();
/// let response = client.get(&url).send().await.unwrap();
/// assert_eq!(response.url().target(), "/new");
/// assert_eq!(response.history()[0].status, 301);
/// # std::io::Result::Ok(()) }).unwrap();
/// ```
#[derive(Clone, Default)]
pub struct Redirects {
    max: Option<u32>,
    downgrades: Downgrades,
    credentials: Vec<String>,
    hook: Option<Rc<Hook>>,
}

type Hook = dyn Fn(&Redirect<'_>) -> Follow;

#[derive(Clone, Copy, Default, PartialEq, Debug)]
enum Downgrades {
    #[default]
    Refused,
    Allowed,
}

/// A redirect that is about to be followed, as the hook of [`Redirects::ask`] is told.
///
/// ```
/// # use windlass_net::windlass;
/// use windlass::http::{Follow, Redirects};
/// let within_the_host = Redirects::up_to(10).ask(|redirect| match redirect.to.host() == redirect.from.host() {
///     true => Follow::Yes,
///     false => Follow::No,
/// });
/// # drop(within_the_host);
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub struct Redirect<'a> {
    /// 301, 302, 303, 307 or 308.
    pub status: u16,
    /// Who answered so.
    pub from: &'a Url,
    /// Where it points.
    pub to: &'a Url,
    /// Which it is in its chain, counted from 1.
    pub number: u32,
}

/// What becomes of a redirect.
///
/// ```
/// # use windlass_net::windlass;
/// assert_ne!(windlass::http::Follow::Yes, windlass::http::Follow::No);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Follow {
    /// It is followed.
    Yes,
    /// It is the answer.
    No,
    /// It is an error.
    Refuse,
}

/// An answer on the way to a [`Response`]: who pointed elsewhere, and how.
///
/// ```
/// # windlass_net::doc_http(async |client, url| {
/// for redirected in client.get(url).send().await?.history() {
///     println!("{} at {}", redirected.status, redirected.url);
/// }
/// # Ok(()) });
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Redirected {
    /// 301, 302, 303, 307 or 308.
    pub status: u16,
    /// What had been asked for.
    pub url: Url,
}

impl Redirects {
    /// None is followed.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// use windlass::http::{Client, Redirects};
    /// let client = Client::builder().redirects(Redirects::none()).build(); // as without
    /// # drop(client);
    /// ```
    pub fn none() -> Redirects {
        Redirects::default()
    }

    /// As many as `max` are followed, one after the other; one more is an error. Browsers and curl stop at 20 to 50; ten are
    /// more than any page needs.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// use windlass::http::{Client, Redirects};
    /// let client = Client::builder().redirects(Redirects::up_to(10)).build();
    /// # drop(client);
    /// ```
    pub fn up_to(max: u32) -> Redirects {
        Redirects { max: Some(max), ..Redirects::default() }
    }

    /// From https to http, too: from then on anybody on the way can read and change what is said.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// use windlass::http::Redirects;
    /// let redirects = Redirects::up_to(10).allow_downgrade();
    /// # drop(redirects);
    /// ```
    #[must_use]
    pub fn allow_downgrade(mut self) -> Redirects {
        self.downgrades = Downgrades::Allowed;
        self
    }

    /// Headers of this name are credentials, too, and meant for one origin.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// use windlass::http::Redirects;
    /// let redirects = Redirects::up_to(10).credential("X-Api-Key");
    /// # drop(redirects);
    /// ```
    #[must_use]
    pub fn credential(mut self, name: impl Into<String>) -> Redirects {
        self.credentials.push(name.into());
        self
    }

    /// Asks `hook` about each that would be followed. It may use the client.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// use windlass::http::{Follow, Redirects};
    /// let redirects = Redirects::up_to(10).ask(|redirect| {
    ///     println!("{}. {} {} -> {}", redirect.number, redirect.status, redirect.from, redirect.to);
    ///     Follow::Yes
    /// });
    /// # drop(redirects);
    /// ```
    #[must_use]
    pub fn ask(mut self, hook: impl Fn(&Redirect<'_>) -> Follow + 'static) -> Redirects {
        self.hook = Some(Rc::new(hook));
        self
    }

    /// Where an answer of `from` leads; none if nowhere. Its redirect would be the one of this `number`.
    fn next(&self, status: u16, headers: Fields<'_>, from: &Url, number: u32) -> Result<Option<Url>, Error> {
        let Some(max) = self.max.filter(|_| matches!(status, 301 | 302 | 303 | 307 | 308)) else { return Ok(None) };
        let Some(to) = location(headers)? else { return Ok(None) };
        let joined = from.join(to);
        let to = joined.map_err(|error| refuse("the location leads nowhere").with_source(error))?.or_fragment_of(from);
        if number > max {
            return Err(Error::new(ErrorKind::Redirect, format!("redirect: more than {max}, the next to {to}")));
        }
        if is_downgrade(from, &to) && self.downgrades == Downgrades::Refused {
            return Err(refuse("from https to http"));
        }
        let redirect = Redirect { status, from, to: &to, number };
        match self.hook.as_ref().map_or(Follow::Yes, |hook| hook(&redirect)) {
            Follow::Yes => Ok(Some(to)),
            Follow::No => Ok(None),
            Follow::Refuse => Err(Error::new(ErrorKind::Redirect, format!("redirect: to {to}, which is not wanted"))),
        }
    }

    fn is_of_the_origin(&self, name: &str) -> bool {
        let marked = self.credentials.iter().map(String::as_str);
        OF_THE_ORIGIN.into_iter().chain(marked).any(|ours| ours.eq_ignore_ascii_case(name))
    }
}

impl fmt::Debug for Redirects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redirects")
            .field("max", &self.max)
            .field("downgrades", &self.downgrades)
            .finish_non_exhaustive()
    }
}

/// What all of an answer's Locations say; none if it has none.
fn location(headers: Fields<'_>) -> Result<Option<&str>, Error> {
    let mut locations = headers.get_all("location");
    let Some(location) = locations.next() else { return Ok(None) };
    if locations.any(|other| other != location) {
        return Err(refuse("several locations that differ"));
    }
    if location.is_empty() {
        return Err(refuse("the location is empty"));
    }
    std::str::from_utf8(location).map(Some).map_err(|_| refuse("the location is not UTF-8"))
}

fn is_downgrade(from: &Url, to: &Url) -> bool {
    from.scheme() == "https" && to.scheme() != "https"
}

fn refuse(why: &'static str) -> Error {
    Error::new(ErrorKind::Redirect, format!("redirect: {why}"))
}

/// What a client does beyond one exchange, or a request of its own accord.
#[derive(Clone, Debug, Default)]
pub(crate) struct Extras {
    pub(crate) redirects: Redirects,
    #[cfg(feature = "_decode")]
    pub(crate) decodes: bool,
    #[cfg(feature = "cookies")]
    pub(crate) cookies: Option<CookieJar>,
    #[cfg(feature = "retry")]
    pub(crate) retries: Option<Retries>,
}

impl ClientBuilder {
    /// What becomes of redirects; none is followed if nothing is said here.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// use windlass::http::{Client, Redirects};
    /// let client = Client::builder().redirects(Redirects::up_to(10)).build();
    /// # drop(client);
    /// ```
    pub fn redirects(mut self, redirects: Redirects) -> Self {
        self.extras().redirects = redirects;
        self
    }
}

impl Request<'_> {
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
}

impl Response {
    /// The redirects that were followed on the way here, the first one first.
    ///
    /// ```
    /// # windlass_net::doc_http(async |client, url| {
    /// assert!(client.get(url).send().await?.history().is_empty());
    /// # Ok(()) });
    /// ```
    pub fn history(&self) -> &[Redirected] {
        self.beyond.as_ref().map_or(&[], |beyond| &beyond.history)
    }
}

/// What few answers have: a way that led to them, a coding that is undone.
pub(crate) struct Beyond {
    pub(crate) history: Vec<Redirected>,
    #[cfg(feature = "_decode")]
    pub(crate) decoding: Option<Decoding>,
}

/// A request, and what it takes to send it several times.
pub(crate) struct Call<'a> {
    pub(crate) request: Request<'a>,
    pub(crate) extras: Rc<Extras>,
    /// The body, while a redirect has made a GET of the request.
    pub(crate) set_aside: Option<Body>,
}

/// Sends a request as often as it takes.
pub(crate) async fn send(request: Request<'_>, extras: Rc<Extras>) -> Result<Response, Error> {
    let timeouts = request.own.as_ref().and_then(|own| own.timeouts.as_deref());
    let timeouts = *timeouts.unwrap_or(&request.client.settings.timeouts);
    let mut call = Call { request, extras, set_aside: None };
    call.ask_for_codings();
    #[cfg(feature = "retry")]
    if call.extras.retries.is_some() {
        return super::retry::send(call, timeouts).await;
    }
    call.follow(timeouts).await
}

impl Call<'_> {
    /// Says which codings will be undone, unless the caller says which to use; a part of a coded body is of no use.
    fn ask_for_codings(&mut self) {
        #[cfg(feature = "_decode")]
        if self.extras.decodes {
            let own = self.request.own();
            if !own.says("accept-encoding") && !own.says("range") {
                let names: Vec<_> = super::decode::Coding::ALL.iter().map(|coding| coding.name()).collect();
                own.headers.push(("Accept-Encoding".to_owned(), names.join(", ").into_bytes()));
            }
        }
    }

    /// Sends the request, and what the redirects make of it, all within `timeouts`.
    pub(crate) async fn follow(&mut self, timeouts: Timeouts) -> Result<Response, Error> {
        let mut time = Deadlines::new(timeouts.share());
        if self.request.is_timed {
            time.measure();
        }
        let (mut method, mut url) = (self.request.method, self.request.url.clone());
        let mut history = Vec::new();
        loop {
            let slot = self.send_once(method, &url, &mut time).await?;
            time.mark(Phase::Body);
            let answer = slot.connection();
            let (status, headers) = (answer.head.status(), answer.head.fields(&answer.bytes));
            let number = history.len() as u32 + 1; // of which there are few
            let next = self.extras.redirects.next(status, headers, &url, number);
            let next = next.map_err(|error| error.during(format!("{} {url}", doing(method))))?;
            let Some(next) = next else {
                let mut response = Response::new(slot, time);
                let beyond = Beyond {
                    history,
                    #[cfg(feature = "_decode")]
                    decoding: self.decoding(&response, method)?,
                };
                response.beyond = Some(Box::new(beyond));
                return Ok(response);
            };
            let_go(slot, &mut time).await?;
            if becomes_get(status, method) {
                method = "GET";
                let own = self.request.own();
                own.headers.retain(|(name, _)| !is_of_the_body(name));
                self.set_aside = own.body.take();
            } else if !self.request.own().body.as_mut().is_none_or(Body::rewind) {
                return Err(refuse("the body cannot be sent again").during(format!("{} {url}", doing(method))));
            }
            self.leave(&url, &next);
            history.push(Redirected { status, url: mem::replace(&mut url, next) });
            time.next_exchange();
        }
    }

    /// One exchange, with the cookies of the place.
    async fn send_once(&mut self, method: &str, url: &Url, time: &mut Deadlines) -> Result<Slot, Error> {
        #[cfg(feature = "cookies")]
        let lent = self.lend_cookies(url);
        let mut hop = Request { method, url, own: self.request.own.take(), ..self.request };
        let sent = hop.send_once(time).await;
        self.request.own = hop.own;
        #[cfg(feature = "cookies")]
        self.take_cookies(lent, url, sent.as_ref().ok());
        sent
    }

    /// Takes off what was for the origin of `from`, if `to` is of another. It is not put on again.
    fn leave(&mut self, from: &Url, to: &Url) {
        let own = self.request.own();
        if from.origin() != to.origin() {
            let redirects = &self.extras.redirects;
            own.headers.retain(|(name, _)| !redirects.is_of_the_origin(name));
        }
        if is_downgrade(from, to) {
            own.headers.retain(|(name, _)| !name.eq_ignore_ascii_case("referer"));
        }
    }

    /// The decoder of an answer's body, if it has a coding that is to be undone. HEAD has no body, 206 a part of one, and what
    /// is wanted as it comes over the wire has chunk sizes in it.
    #[cfg(feature = "_decode")]
    fn decoding(&mut self, response: &Response, method: &str) -> Result<Option<Decoding>, Error> {
        let is_raw = self.request.own().coding == super::own::Coding::Kept;
        if !self.extras.decodes || is_raw || method == "HEAD" || response.status() == 206 {
            return Ok(None);
        }
        let decoding = Decoding::of(response.headers(), self.request.bounds());
        decoding.map_err(|error| error.during(format!("{} {}", doing(method), response.url())))
    }
}

/// RFC 9110 15.4.2 to 15.4.4, and what everybody does.
fn becomes_get(status: u16, method: &str) -> bool {
    match status {
        301 | 302 => method == "POST",
        303 => !matches!(method, "GET" | "HEAD"),
        _ => false,
    }
}

fn is_of_the_body(name: &str) -> bool {
    let is_content = name.get(..8).is_some_and(|begin| begin.eq_ignore_ascii_case("content-"));
    is_content || OF_THE_BODY.iter().any(|ours| ours.eq_ignore_ascii_case(name))
}

/// Reads the rest of an answer that nobody wants, if that is little and comes soon: then its connection can stay.
///
/// # Errors
/// If the time is up of the exchange that goes on elsewhere.
async fn let_go(mut slot: Slot, time: &mut Deadlines) -> Result<(), Error> {
    let mut read = 0;
    let drain = poll_fn(|cx| {
        loop {
            let connection = slot.connection_mut();
            match connection.poll_piece(cx) {
                Poll::Ready(Ok(Some(piece))) if read + piece.len() <= DRAINED_MAX => read += piece.len(),
                Poll::Ready(_) => return Poll::Ready(Ok(())),
                Poll::Pending => {
                    let timed_out = time.poll(cx, (Phase::Body, connection.heard()));
                    return timed_out.map(|error| Err(connection.explain(error)));
                }
            }
        }
    });
    timeout(DRAINED_WITHIN, drain).await.unwrap_or(Ok(()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Limits;
    use crate::http::head::ResponseHead;

    /// Where an answer of `from` with these lines leads, or why nowhere.
    fn led(redirects: &Redirects, from: &str, lines: &[u8]) -> Result<Option<Url>, String> {
        let buf = [b"HTTP/1.1 302 Found\r\n", lines, b"\r\n\r\n"].concat();
        let mut head = ResponseHead::new();
        assert!(head.parse(&buf, &Limits::default()).unwrap().is_some());
        redirects.next(302, head.fields(&buf), &Url::parse(from).unwrap(), 1).map_err(|error| {
            assert_eq!(error.kind(), ErrorKind::Redirect);
            error.to_string()
        })
    }

    #[test]
    fn a_location_is_read_as_a_link_on_the_page_that_was_asked_for() {
        let (redirects, from) = (Redirects::up_to(10), "http://a.com/b/c?d#e");
        for (lines, to, fragment) in [
            ("Location: http://b.com/x", "http://b.com/x", Some("e")),
            ("Location: /x", "http://a.com/x", Some("e")),
            ("Location: x", "http://a.com/b/x", Some("e")),
            ("Location: ../x?y#z", "http://a.com/x?y", Some("z")),
            ("Location: ?x", "http://a.com/b/c?x", Some("e")),
            ("Location: #x", "http://a.com/b/c?d", Some("x")),
            ("Location: //b.com", "http://b.com/", Some("e")),
            ("Location: x\r\nlocation: x", "http://a.com/b/x", Some("e")),
        ] {
            let led = led(&redirects, from, lines.as_bytes()).unwrap().expect(lines);
            assert_eq!((led.as_str(), led.fragment()), (to, fragment), "{lines}");
        }
        assert_eq!(led(&redirects, from, b"A: b"), Ok(None));
    }

    #[test]
    fn a_location_that_leads_nowhere_is_an_error_that_says_why_and_no_secret() {
        for (lines, why) in [
            (&b"Location:"[..], "the location is empty"),
            (b"Location: x\r\nLocation: y", "several locations that differ"),
            (b"Location: /\xff", "the location is not UTF-8"),
            (b"Location: file:///etc/passwd", "the location leads nowhere: url: not absolute"),
            (b"Location: ftp://a.com/", "the location leads nowhere: url: not absolute"),
            (b"Location: javascript:alert(1)", "the location leads nowhere: url: not absolute"),
            (b"Location: http://u:hunter2@a.com/", "the location leads nowhere: url: user information is refused"),
            (b"Location: //hunter2@a.com/", "the location leads nowhere: url: user information is refused"),
            (b"Location: http://[fe80::1%25hunter2]/", "the location leads nowhere: url: "),
            (b"Location: /x\ty", "the location leads nowhere: url: "),
        ] {
            let error =
                led(&Redirects::up_to(10), "http://a.com/", lines).expect_err(&lines.escape_ascii().to_string());
            assert!(error.starts_with(&format!("redirect: {why}")) && !error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    #[cfg(feature = "tls")]
    fn from_https_it_does_not_go_to_http_unless_that_is_allowed() {
        let (strict, lax) = (Redirects::up_to(10), Redirects::up_to(10).allow_downgrade());
        assert_eq!(
            led(&strict, "https://a.com/", b"Location: http://a.com/").unwrap_err(),
            "redirect: from https to http"
        );
        assert!(led(&lax, "https://a.com/", b"Location: http://a.com/").unwrap().is_some());
        for (from, to) in [("http", "https"), ("https", "https"), ("http", "http")] {
            let to = format!("Location: {to}://b.com/");
            assert!(led(&strict, &format!("{from}://a.com/"), to.as_bytes()).unwrap().is_some());
        }
        assert!(
            led(&strict, "https://a.com/", b"Location: //b.com/").unwrap().is_some_and(|to| to.scheme() == "https")
        );
    }

    #[test]
    fn only_five_statuses_lead_on() {
        let buf = b"HTTP/1.1 300 X\r\nLocation: /\r\n\r\n";
        let mut head = ResponseHead::new();
        head.parse(buf, &Limits::default()).unwrap();
        let from = Url::parse("http://a.com/").unwrap();
        let leads = |status| Redirects::up_to(1).next(status, head.fields(buf), &from, 1).unwrap().is_some();
        let leading: Vec<_> = (200..600).filter(|status| leads(*status)).collect();
        assert_eq!(leading, [301, 302, 303, 307, 308]);
    }

    #[test]
    fn a_redirect_keeps_the_method_or_makes_a_get_of_it() {
        let methods = ["GET", "HEAD", "POST", "PUT", "DELETE", "post"];
        let expected = [
            (301, [false, false, true, false, false, false]),
            (302, [false, false, true, false, false, false]),
            (303, [false, false, true, true, true, true]),
            (307, [false; 6]),
            (308, [false; 6]),
        ];
        for (status, become_get) in expected {
            assert_eq!(methods.map(|method| becomes_get(status, method)), become_get, "{status}");
        }
    }

    #[test]
    fn what_describes_a_body_is_known_by_its_name() {
        for name in
            ["Content-Type", "CONTENT-LENGTH", "content-x", "Transfer-Encoding", "te", "Trailer", "Expect", "Digest"]
        {
            assert!(is_of_the_body(name), "{name}");
        }
        for name in ["Accept", "Contents", "content", "Tea", "", "éééééééé"] {
            assert!(!is_of_the_body(name), "{name}");
        }
    }
}
