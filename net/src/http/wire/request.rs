//! What we ask, and what we hear when we are the server.
//!
//! ```text
//!   client                                      server
//!   write_request ── GET / HTTP/1.1 ──────────► RequestHead::parse
//!                    Host: example.com             │ framing, keep_alive
//!                    User-Agent, Accept            ▼
//!   ResponseHead  ◄── HTTP/1.1 200 OK ───────── write_reply_head
//! ```
//!
//! The two writers are the only way into the output buffer, and everything passes their checks: the caller's headers, the
//! method, and what we compute ourselves. A line end in a value is refused, never removed: whoever put it there wants to
//! write a second message (9110 5.5). The writers also own the framing: a body is announced exactly once, by them. If
//! they refuse, the buffer is as it was.
//!
//! Not here: bodies (`body::write_chunk`), Date, cookies, authentication. Next: the client that stands on these parts.

use super::head::{Fields, Framing, Version, decimal, elements, protocol};
use super::line::{FIELDS_MAX, Lines, complete, is_token, is_word};
use crate::http::{Error, ErrorKind, Limits, Url};
use std::mem::MaybeUninit;

/// For requests and replies that add no header of their own: names the types that an empty list leaves open.
///
/// ```
/// # use windlass_net::windlass;
/// assert!(windlass::http::request::NO_HEADERS.is_empty());
/// ```
pub const NO_HEADERS: &[(&str, &str)] = &[];

pub(crate) const USER_AGENT: &str = concat!("windlass/", env!("CARGO_PKG_VERSION"));

/// What body we are about to send, so that its framing can be announced.
///
/// ```
/// # use windlass_net::windlass;
/// use windlass::http::request::Content;
/// assert_ne!(Content::None, Content::Length(0)); // a GET, and a POST of nothing
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Content {
    /// No body. Where its absence could be doubted, `Content-Length: 0` says so.
    None,
    /// Exactly so many bytes.
    Length(u64),
    /// Chunks, as [`write_chunk`](crate::http::body::write_chunk) makes them.
    Chunked,
}

/// Appends the head of a request to `out`: request line, Host, User-Agent, Accept, the caller's headers in their order,
/// and the framing of `content`.
///
/// Host, User-Agent and Accept of the caller's replace ours; the Host then comes first all the same.
///
/// # Errors
/// Of kind [`Other`](ErrorKind::Other), with `out` unchanged: if the method is not a token or is CONNECT; if a name is not
/// a token or a value has CR, LF, NUL or another control character; if Host comes twice or is no authority; if
/// Content-Length comes twice or contradicts `content`; if Transfer-Encoding is given at all; if Expect is anything but
/// `100-continue`, or there is no body to wait with.
///
/// ```
/// # use windlass_net::windlass;
/// use windlass::http::Url;
/// use windlass::http::request::{Content, write_request};
/// let url = Url::parse("http://example.com:8080/a?b=c")?;
/// let mut out = Vec::new();
/// write_request(&mut out, "POST", &url, &[("X-Y", "z")], Content::Length(5))?;
/// let expected = format!(
///     "POST /a?b=c HTTP/1.1\r\nHost: example.com:8080\r\nUser-Agent: windlass/{}\r\nAccept: */*\r\nX-Y: z\r\n\
///      Content-Length: 5\r\n\r\n",
///     env!("CARGO_PKG_VERSION"),
/// );
/// assert_eq!(String::from_utf8_lossy(&out), expected);
/// assert!(write_request(&mut out, "GET", &url, &[("X", "a\r\nY: b")], Content::None).is_err());
/// # Ok::<(), windlass_net::http::Error>(())
/// ```
pub fn write_request<N: AsRef<[u8]>, V: AsRef<[u8]>>(
    out: &mut Vec<u8>,
    method: &str,
    url: &Url,
    headers: &[(N, V)],
    content: Content,
) -> Result<(), Error> {
    let ours = Ours { user_agent: USER_AGENT.as_bytes(), ..Ours::default() };
    write_head(out, &Start::of(method, url), ours, headers, content).map(drop)
}

/// What a head has besides target, values and the caller's lines, unless there is a body: room for most is made at once.
const OURS_LEN: usize = "GET  HTTP/1.1\r\nHost: \r\nUser-Agent: \r\nAccept: */*\r\n\r\n".len();

/// The first line of a request, and its Host.
pub(crate) struct Start<'a> {
    pub(crate) method: &'a str,
    pub(crate) target: &'a str,
    pub(crate) version: Version,
    pub(crate) host: &'a str,
}

impl<'a> Start<'a> {
    pub(crate) fn of(method: &'a str, url: &'a Url) -> Start<'a> {
        Start { method, target: url.target(), version: Version::Http11, host: url.host_header() }
    }
}

/// What we add where the caller says nothing.
#[derive(Clone, Copy, Default)]
pub(crate) struct Ours<'a> {
    pub(crate) user_agent: &'a [u8],
    pub(crate) content_type: Option<&'a str>,
    /// Headers of ours that are to be left out.
    pub(crate) left_out: &'a [String],
    pub(crate) spacing: Spacing,
}

/// What is between the colon and the value of a caller's header.
#[derive(Clone, Copy, Default, PartialEq)]
pub(crate) enum Spacing {
    /// A space, if there is a value.
    #[default]
    One,
    /// Nothing but what the value begins with.
    Given,
}

/// As [`write_request`]; tells what the head says that matters to the exchange.
pub(crate) fn write_head<N: AsRef<[u8]>, V: AsRef<[u8]>>(
    out: &mut Vec<u8>,
    start: &Start<'_>,
    ours: Ours<'_>,
    headers: &[(N, V)],
    content: Content,
) -> Result<Said, Error> {
    let given = Given::of(start, ours, headers, content)?;
    let host = given.host.unwrap_or(start.host.as_bytes());
    let lines_len: usize = headers.iter().map(|(name, value)| name.as_ref().len() + value.as_ref().len() + 4).sum();
    out.reserve(OURS_LEN + start.target.len() + host.len() + ours.user_agent.len() + lines_len);
    push(out, &[start.method.as_bytes(), b" ", start.target.as_bytes()]);
    push(out, &[if start.version == Version::Http10 { b" HTTP/1.0" } else { b" HTTP/1.1" }]);
    push(out, &[b"\r\nHost: ", host, b"\r\n"]);
    if !given.user_agent {
        push_header(out, b"User-Agent", ours.user_agent);
    }
    if !given.accept {
        push(out, &[b"Accept: */*\r\n"]);
    }
    for (name, value) in headers {
        if name.as_ref().eq_ignore_ascii_case(b"host") {
            continue;
        }
        match ours.spacing {
            Spacing::One => push_header(out, name.as_ref(), value.as_ref()),
            Spacing::Given => push(out, &[name.as_ref(), b":", value.as_ref(), b"\r\n"]),
        }
    }
    match content {
        Content::None if !usually_has_content(start.method) => {}
        _ if given.length => {}
        Content::None => push_length(out, 0),
        Content::Length(n) => push_length(out, n),
        Content::Chunked => push(out, &[b"Transfer-Encoding: chunked\r\n"]),
    }
    if let Some(content_type) = ours.content_type.filter(|_| !given.content_type) {
        push_header(out, b"Content-Type", content_type.as_bytes());
    }
    push(out, &[b"\r\n"]);
    Ok(given.said)
}

/// Has a head that was just written, and does not say so, ask for the connection to end with its exchange (9112 9.6).
#[cold]
pub(crate) fn say_close(head: &mut Vec<u8>) {
    head.truncate(head.len() - b"\r\n".len());
    push(head, &[b"Connection: close\r\n\r\n"]);
}

/// 9110 8.6: a method that usually has content says so if it has none.
#[inline]
fn usually_has_content(method: &str) -> bool {
    matches!(method, "POST" | "PUT" | "PATCH")
}

/// Refuses what [`write_head`] would refuse: for a client that asks before it has a connection to write to.
pub(crate) fn check_head<N: AsRef<[u8]>, V: AsRef<[u8]>>(
    start: &Start<'_>,
    ours: Ours<'_>,
    headers: &[(N, V)],
    content: Content,
) -> Result<(), Error> {
    Given::of(start, ours, headers, content).map(drop)
}

/// What the head of a request says about the exchange.
#[derive(Clone, Copy, Default)]
pub(crate) struct Said {
    /// The connection is to end with it.
    pub(crate) close: bool,
    /// The body waits for the peer's leave (9110 10.1.1).
    pub(crate) expects: bool,
}

/// Which of the headers that we would write come from the caller, or are not to be there.
#[derive(Default)]
struct Given<'a> {
    host: Option<&'a [u8]>,
    user_agent: bool,
    accept: bool,
    content_type: bool,
    length: bool,
    said: Said,
}

impl<'a> Given<'a> {
    /// Checks all that will be written, and notes what replaces ours.
    fn of<N: AsRef<[u8]>, V: AsRef<[u8]>>(
        start: &Start<'_>,
        ours: Ours<'_>,
        headers: &'a [(N, V)],
        content: Content,
    ) -> Result<Given<'a>, Error> {
        check_method(start.method)?;
        let is_old = start.version == Version::Http10;
        if is_old && content == Content::Chunked {
            return Err(refuse("HTTP/1.0 knows no chunks: the length of the body must be known"));
        }
        check_value(ours.user_agent)?;
        let mut given = Given { said: Said { close: is_old, expects: false }, ..Given::default() };
        for name in ours.left_out {
            given.note_ours(name.as_bytes());
        }
        for (name, value) in headers {
            let (name, value) = (name.as_ref(), value.as_ref());
            check_header(name, value)?;
            let value = match ours.spacing {
                Spacing::One => value,
                Spacing::Given => value.trim_ascii(), // spaces and tabs: anything else was refused
            };
            let is = |ours: &[u8]| name.eq_ignore_ascii_case(ours);
            if is(b"host") {
                check_host(value)?;
                if given.host.replace(value).is_some() {
                    return Err(refuse("two host headers"));
                }
            } else if is(b"content-length") {
                let announced = match content {
                    Content::None => Some(0),
                    Content::Length(n) => Some(n),
                    Content::Chunked => None,
                };
                if given.length || announced.is_none() || decimal(value) != announced {
                    return Err(refuse("a content-length that is not the length of the body, or two of them"));
                }
                given.length = true;
            } else if is(b"transfer-encoding") {
                return Err(refuse("transfer-encoding is not the caller's to set"));
            } else if is(b"expect") {
                if content == Content::None || is_old || !value.eq_ignore_ascii_case(b"100-continue") {
                    return Err(refuse("expect is 100-continue, for a body over HTTP/1.1"));
                }
                given.said.expects = true;
            } else if is(b"connection") {
                given.said.close |= elements(value).any(|option| is_word(option, b"close"));
            }
            given.note_ours(name);
        }
        Ok(given)
    }

    /// The header called `name` is not ours to write.
    fn note_ours(&mut self, name: &[u8]) {
        let is = |ours: &[u8]| name.eq_ignore_ascii_case(ours);
        self.user_agent |= is(b"user-agent");
        self.accept |= is(b"accept");
        self.content_type |= is(b"content-type");
    }
}

/// What stays of the connection after a reply.
///
/// ```
/// # use windlass_net::windlass;
/// use windlass::http::request::Connection;
/// assert_ne!(Connection::Close, Connection::Implied);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Connection {
    /// As the version implies: HTTP/1.1 stays. No header is written.
    Implied,
    /// It stays, and an HTTP/1.0 client is told so.
    KeepAlive,
    /// It ends with this reply.
    Close,
    /// It ends with this reply, whose body nothing else delimits: for HTTP/1.0, which does not know chunks.
    Delimits,
}

/// Appends the head of a reply to `out`: status line, the caller's headers in their order, framing and connection.
///
/// The reply to HEAD is given the `content` that GET would have. There is no Date: the caller adds one if it has a clock.
///
/// # Errors
/// Of kind [`Other`](ErrorKind::Other), with `out` unchanged: if the status is not 200 to 599; if a header is malformed or
/// is Content-Length or Transfer-Encoding; if a 204 is to have a body (9110 15.3.5).
///
/// ```
/// # use windlass_net::windlass;
/// use windlass::http::request::{Connection, Content, NO_HEADERS, write_reply_head};
/// let mut out = Vec::new();
/// write_reply_head(&mut out, 200, NO_HEADERS, Content::Length(5), Connection::Close)?;
/// assert_eq!(out, b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\n");
/// # Ok::<(), windlass_net::http::Error>(())
/// ```
pub fn write_reply_head<N: AsRef<[u8]>, V: AsRef<[u8]>>(
    out: &mut Vec<u8>,
    status: u16,
    headers: &[(N, V)],
    content: Content,
    connection: Connection,
) -> Result<(), Error> {
    if !(200..600).contains(&status) {
        return Err(refuse("the status is not between 200 and 599"));
    }
    if status == 204 && content != Content::None {
        return Err(refuse("204 has no body"));
    }
    for (name, value) in headers {
        let (name, value) = (name.as_ref(), value.as_ref());
        check_header(name, value)?;
        if name.eq_ignore_ascii_case(b"content-length") || name.eq_ignore_ascii_case(b"transfer-encoding") {
            return Err(refuse("the framing of a reply is not the caller's to set"));
        }
    }
    push_status_line(out, status);
    for (name, value) in headers {
        push_header(out, name.as_ref(), value.as_ref());
    }
    match content {
        Content::Length(n) if connection == Connection::Implied => {
            push_length_and(out, n, 4); // nearly always
            return Ok(());
        }
        _ if connection == Connection::Delimits => {}
        Content::None if matches!(status, 204 | 304) => {}
        Content::None => push_length(out, 0),
        Content::Length(n) => push_length(out, n),
        Content::Chunked => push(out, &[b"Transfer-Encoding: chunked\r\n"]),
    }
    match connection {
        Connection::Implied => push(out, &[b"\r\n"]),
        Connection::KeepAlive => push(out, &[b"Connection: keep-alive\r\n\r\n"]),
        Connection::Close | Connection::Delimits => push(out, &[b"Connection: close\r\n\r\n"]),
    }
    Ok(())
}

/// The head of a request, as a server sees it: method, target, headers, framing.
///
/// It borrows nothing; where a method takes `buf`, it wants the bytes that [`parse`](RequestHead::parse) saw.
///
/// ```
/// # use windlass_net::windlass;
/// use windlass::http::Limits;
/// use windlass::http::head::Framing;
/// use windlass::http::request::RequestHead;
/// let buf = b"GET /x?y HTTP/1.1\r\nHost: a\r\n\r\n";
/// let mut head = RequestHead::new();
/// assert_eq!(head.parse(buf, &Limits::default())?, Some(buf.len()));
/// assert_eq!((head.method(buf), head.target(buf)), (&b"GET"[..], &b"/x?y"[..]));
/// assert_eq!(head.framing()?, Framing::None);
/// assert!(head.keep_alive());
/// # Ok::<(), windlass_net::http::Error>(())
/// ```
#[derive(Debug, Default)]
pub struct RequestHead {
    lines: Lines,
    /// 2 if an empty line came first.
    before: usize,
    method_len: usize,
    target_len: usize,
    version: Version,
}

impl RequestHead {
    /// An empty head.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// let head = windlass::http::request::RequestHead::new();
    /// assert_eq!(head.method(b""), b"");
    /// ```
    pub fn new() -> RequestHead {
        RequestHead::default()
    }

    /// Parses the head at the start of `buf`; `None` means that it is not complete, and asks to be called again with the
    /// same bytes and more behind them. The number is the length of the head; one empty line before it is allowed and
    /// counts (9112 2.2).
    ///
    /// # Errors
    /// [`Protocol`](ErrorKind::Protocol) at a first byte that begins no method, and for a complete head that is malformed or
    /// lacks the one Host that HTTP/1.1 requires, or has one that names no host (9112 3.2); [`TooLarge`](ErrorKind::TooLarge) as soon as a limit is passed,
    /// complete or not, and before the form is judged.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// use windlass::http::{Limits, request::RequestHead};
    /// assert!(RequestHead::new().parse(b"GET / HTTP/1.1\r\n\r\n", &Limits::default()).is_err()); // no Host
    /// ```
    pub fn parse(&mut self, buf: &[u8], limits: &Limits) -> Result<Option<usize>, Error> {
        self.before = if buf.starts_with(b"\r\n") { 2 } else { 0 };
        // Offsets begin behind the empty line.
        let head = &buf[self.before..];
        match head {
            [] | [b'\r'] => return Ok(None), // an empty line may be under way, so nothing is counted yet
            [first, ..] if is_token(&[*first]) => {}
            _ => return Err(protocol("request head: it does not begin with a method")),
        }
        if !self.lines.may_be_complete(head, limits.head_max, limits)? {
            return Ok(None);
        }
        let read = self.read(head, limits);
        let end = self.lines.judge(read, head, limits.head_max, limits)?;
        Ok(end.map(|len| self.before + len))
    }

    /// Forgets the request.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// use windlass::http::{Limits, request::RequestHead};
    /// let mut head = RequestHead::new();
    /// for request in [b"GET /1 HTTP/1.1\r\nHost: a\r\n\r\n", b"GET /2 HTTP/1.1\r\nHost: a\r\n\r\n"] {
    ///     head.clear();
    ///     assert!(head.parse(request, &Limits::default())?.is_some());
    /// }
    /// # Ok::<(), windlass_net::http::Error>(())
    /// ```
    pub fn clear(&mut self) {
        *self = RequestHead::default();
    }

    /// The method, a token.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// use windlass::http::{Limits, request::RequestHead};
    /// let buf = b"BREW /pot HTTP/1.1\r\nHost: a\r\n\r\n";
    /// let mut head = RequestHead::new();
    /// head.parse(buf, &Limits::default())?;
    /// assert_eq!(head.method(buf), b"BREW");
    /// # Ok::<(), windlass_net::http::Error>(())
    /// ```
    pub fn method<'b>(&self, buf: &'b [u8]) -> &'b [u8] {
        &self.behind_empty_line(buf)[..self.method_len]
    }

    /// The target: path and query, an absolute `http` URL, or `*`; ASCII without spaces and controls.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// use windlass::http::{Limits, request::RequestHead};
    /// let buf = b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n";
    /// let mut head = RequestHead::new();
    /// head.parse(buf, &Limits::default())?;
    /// assert_eq!(head.target(buf), b"*");
    /// # Ok::<(), windlass_net::http::Error>(())
    /// ```
    pub fn target<'b>(&self, buf: &'b [u8]) -> &'b [u8] {
        let target_at = self.method_len + 1;
        &self.behind_empty_line(buf)[target_at..target_at + self.target_len]
    }

    /// The version that the client speaks.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// use windlass::http::{Limits, head::Version, request::RequestHead};
    /// let mut head = RequestHead::new();
    /// head.parse(b"GET / HTTP/1.0\r\n\r\n", &Limits::default())?;
    /// assert_eq!(head.version(), Version::Http10);
    /// # Ok::<(), windlass_net::http::Error>(())
    /// ```
    pub fn version(&self) -> Version {
        self.version
    }

    /// The headers, read from `buf`.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// use windlass::http::{Limits, request::RequestHead};
    /// let buf = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    /// let mut head = RequestHead::new();
    /// head.parse(buf, &Limits::default())?;
    /// assert_eq!(head.fields(buf).get("host"), Some(&b"a"[..]));
    /// # Ok::<(), windlass_net::http::Error>(())
    /// ```
    pub fn fields<'b>(&self, buf: &'b [u8]) -> Fields<'b> {
        self.lines.fields(self.behind_empty_line(buf))
    }

    /// What body follows this head. Never [`Framing::Close`]: a client that closes can hear no answer.
    ///
    /// # Errors
    /// [`Protocol`](ErrorKind::Protocol) if the length is in doubt (9112 6.3), which includes any Transfer-Encoding but
    /// one that ends in chunked, and any at all in HTTP/1.0. The connection must be closed.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// use windlass::http::{Limits, request::RequestHead};
    /// let mut head = RequestHead::new();
    /// let buf = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n";
    /// head.parse(buf, &Limits::default())?;
    /// assert!(head.framing().is_err());
    /// # Ok::<(), windlass_net::http::Error>(())
    /// ```
    pub fn framing(&self) -> Result<Framing, Error> {
        if self.version == Version::Http10 && self.lines.digest.has_coding() {
            return Err(protocol("framing: transfer-encoding in HTTP/1.0"));
        }
        match self.lines.digest.framing()? {
            Some(Framing::Close) => Err(protocol("framing: the last transfer coding is not chunked")),
            framing => Ok(framing.unwrap_or(Framing::None)),
        }
    }

    /// Whether the client wants the connection to stay.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// use windlass::http::{Limits, request::RequestHead};
    /// let mut head = RequestHead::new();
    /// head.parse(b"GET / HTTP/1.0\r\n\r\n", &Limits::default())?;
    /// assert!(!head.keep_alive());
    /// # Ok::<(), windlass_net::http::Error>(())
    /// ```
    pub fn keep_alive(&self) -> bool {
        self.lines.digest.keep_alive(self.version)
    }

    fn behind_empty_line<'b>(&self, buf: &'b [u8]) -> &'b [u8] {
        &buf[self.before..]
    }

    /// Reads a head that seems to be complete; the error says what keeps it from being one.
    #[inline]
    fn read(&mut self, head: &[u8], limits: &Limits) -> Result<usize, &'static str> {
        let mut slots = [MaybeUninit::uninit(); FIELDS_MAX];
        let slots = &mut slots[..limits.fields_max.min(FIELDS_MAX)];
        let mut request = httparse::Request::new(&mut []);
        let len = complete(request.parse_with_uninit_headers(head, slots))?;
        self.lines.take(&head[..len], request.headers)?;
        let (method, target) = (request.method.unwrap_or_default(), request.path.unwrap_or_default());
        if !is_target(target, method) {
            return Err("request head: the target is no path and no http url");
        }
        (self.method_len, self.target_len) = (method.len(), target.len());
        self.version = Version::of(request.version);
        let mut hosts = request.headers.iter().filter(|header| is_word(header.name.as_bytes(), b"host"));
        match (hosts.next(), hosts.next()) {
            (Some(host), None) if is_host(host.value) => Ok(len),
            (Some(_), None) => Err("request head: the host header names no host"),
            (None, _) if self.version == Version::Http10 => Ok(len),
            _ => Err("request head: not exactly one host header"),
        }
    }
}

/// The forms of 9112 3.2, but for the one of CONNECT. httparse takes any UTF-8 without spaces and controls.
fn is_target(target: &str, method: &str) -> bool {
    let form = target.starts_with('/')
        || (target == "*" && method == "OPTIONS")
        || target.as_bytes().get(..7).is_some_and(|begin| begin.eq_ignore_ascii_case(b"http://"));
    form && target.is_ascii()
}

/// `uri-host [ ":" port ]` (9110 7.2), of which the host may be empty (3986 3.2.2).
fn is_host(value: &[u8]) -> bool {
    let before_digits = value.iter().rposition(|b| !b.is_ascii_digit());
    let host = before_digits.filter(|&at| value[at] == b':').map_or(value, |at| &value[..at]);
    match host {
        [b'[', ip6 @ .., b']'] => ip6.iter().all(|&b| b.is_ascii_hexdigit() || matches!(b, b':' | b'.')),
        name => name.iter().all(|&b| IN_A_NAME[usize::from(b)]),
    }
}

/// Whether a byte may be in a registered name (3986 3.2.2): a table, since it is asked of every byte of every request's.
static IN_A_NAME: [bool; 256] = {
    let (mut table, mut byte) = ([false; 256], 0_u8);
    while byte < 0x80 {
        let is_mark = matches!(byte, b'!' | b'$'..=b'.' | b';' | b'=' | b'_' | b'~'); // -._~ % and the sub-delims
        table[byte as usize] = byte.is_ascii_alphanumeric() || is_mark;
        byte += 1;
    }
    table
};

#[cold]
fn refuse(why: &str) -> Error {
    Error::new(ErrorKind::Other, format!("write head: {why}"))
}

#[inline]
fn check_method(method: &str) -> Result<(), Error> {
    if matches!(method, "GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE" | "OPTIONS") {
        return Ok(()); // nearly always one of these
    }
    if !is_token(method.as_bytes()) {
        return Err(refuse("the method is not a token"));
    }
    if method == "CONNECT" {
        return Err(refuse("CONNECT is not supported"));
    }
    Ok(())
}

fn check_header(name: &[u8], value: &[u8]) -> Result<(), Error> {
    if !is_token(name) {
        return Err(refuse("a header name is not a token"));
    }
    check_value(value)
}

fn check_value(value: &[u8]) -> Result<(), Error> {
    if !value.iter().all(|&b| b == b'\t' || (b >= b' ' && b != 0x7f)) {
        return Err(refuse("a control character in a header value"));
    }
    Ok(())
}

/// A Host that the caller sets is an authority, by the strict rules of our URLs: it goes out as it stands.
fn check_host(value: &[u8]) -> Result<(), Error> {
    let valid = std::str::from_utf8(value)
        .is_ok_and(|text| !text.contains(['/', '?', '#']) && Url::parse_strictly(&format!("http://{text}/")).is_ok());
    if valid { Ok(()) } else { Err(refuse("the host header is no authority")) }
}

#[inline]
fn push(out: &mut Vec<u8>, parts: &[&[u8]]) {
    for part in parts {
        out.extend_from_slice(part);
    }
}

#[inline]
fn push_status_line(out: &mut Vec<u8>, status: u16) {
    if status == 200 {
        return push(out, &[b"HTTP/1.1 200 OK\r\n"]); // nearly always
    }
    let digits = [b'0' + (status / 100) as u8, b'0' + (status / 10 % 10) as u8, b'0' + (status % 10) as u8];
    push(out, &[b"HTTP/1.1 ", &digits, b" ", reason_of(status).as_bytes(), b"\r\n"]);
}

fn push_header(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    push(out, &[name, if value.is_empty() { b":" } else { &b": "[..] }, value, b"\r\n"]);
}

fn push_length(out: &mut Vec<u8>, n: u64) {
    push_length_and(out, n, 2);
}

/// The line is made by hand from its end, since every reply of the server has it and `format!` allocates. Behind it come
/// so many bytes of line ends: 4 with the empty line.
fn push_length_and(out: &mut Vec<u8>, n: u64, end_len: usize) {
    const NAME: &[u8; 16] = b"Content-Length: ";
    let mut line = *b"Content-Length: ....................\r\n\r\n"; // u64::MAX has 20 digits
    let (mut at, mut left) = (20, n);
    for digit in line[NAME.len()..NAME.len() + 20].iter_mut().rev() {
        *digit = b'0' + (left % 10) as u8;
        left /= 10;
        at -= 1;
        if left == 0 {
            break;
        }
    }
    line[at..at + NAME.len()].copy_from_slice(NAME);
    out.extend_from_slice(&line[at..NAME.len() + 20 + end_len]);
}

/// The reason phrases of RFC 9110 15 that a small server has use for; others are empty, which is allowed.
fn reason_of(status: u16) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        204 => "No Content",
        206 => "Partial Content",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        410 => "Gone",
        411 => "Length Required",
        413 => "Content Too Large",
        414 => "URI Too Long",
        417 => "Expectation Failed",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url() -> Url {
        Url::parse("http://example.com/").unwrap()
    }

    fn written(method: &str, headers: &[(&str, &str)], content: Content) -> String {
        let mut out = Vec::new();
        write_request(&mut out, method, &url(), headers, content).unwrap();
        String::from_utf8(out).unwrap()
    }

    /// The refusal's text; checks that nothing was written.
    fn refused(method: &str, headers: &[(&str, &str)], content: Content) -> String {
        let mut out = b"before".to_vec();
        let error =
            write_request(&mut out, method, &url(), headers, content).expect_err(&format!("{method} {headers:?}"));
        assert_eq!((out.as_slice(), error.kind()), (&b"before"[..], ErrorKind::Other));
        error.to_string()
    }

    #[test]
    fn host_comes_first_then_user_agent_then_accept_then_the_callers() {
        assert_eq!(
            written("GET", &[("B", "2"), ("A", "1"), ("B", "3")], Content::None),
            format!(
                "GET / HTTP/1.1\r\nHost: example.com\r\nUser-Agent: {USER_AGENT}\r\nAccept: */*\r\n\
                 B: 2\r\nA: 1\r\nB: 3\r\n\r\n"
            )
        );
    }

    #[test]
    fn the_callers_user_agent_accept_and_host_replace_ours() {
        assert_eq!(
            written("GET", &[("accept", "x"), ("HOST", "h:81"), ("user-agent", "y")], Content::None),
            "GET / HTTP/1.1\r\nHost: h:81\r\naccept: x\r\nuser-agent: y\r\n\r\n"
        );
    }

    #[test]
    fn a_request_is_appended_and_a_server_reads_it_back() {
        let mut out = b"before".to_vec();
        let url = Url::parse("http://[::1]:81/x?y").unwrap();
        write_request(&mut out, "PUT", &url, &[("A", b"\xff\tz")], Content::Chunked).unwrap();
        let buf = &out[6..];
        let mut head = RequestHead::new();
        assert_eq!(head.parse(buf, &Limits::default()).unwrap(), Some(buf.len()));
        assert_eq!((head.method(buf), head.target(buf)), (&b"PUT"[..], &b"/x?y"[..]));
        assert_eq!(head.fields(buf).get("host"), Some(&b"[::1]:81"[..]));
        assert_eq!(head.fields(buf).get("a"), Some(&b"\xff\tz"[..]));
        assert_eq!(head.framing().unwrap(), Framing::Chunked);
    }

    #[test]
    fn a_control_character_in_a_value_is_refused_for_every_header() {
        for name in ["X", "Host", "Cookie", "Upgrade", "Content-Type", "User-Agent", "Accept", "Proxy-Authorization"] {
            for value in ["a\r\nX: y", "a\nb", "a\0b", "a\r", "\r\nX: y", "\x0b", "\x7f"] {
                assert!(refused("GET", &[(name, value)], Content::None).contains("control character"));
            }
        }
    }

    #[test]
    fn a_header_name_is_a_token() {
        for name in ["X: y", "", "X ", " X", "X\r\nY", "X\0", "Ä", "X:", "(X)", "a,b"] {
            assert!(refused("GET", &[(name, "v")], Content::None).contains("not a token"));
        }
    }

    #[test]
    fn a_method_is_a_token_and_not_connect() {
        for method in ["GET / HTTP/1.1\r\nX: y\r\n\r\nGET", "G ET", "", "GET\0", "GÄT", "GET:"] {
            assert!(refused(method, &[], Content::None).contains("not a token"));
        }
        assert!(refused("CONNECT", &[], Content::None).contains("not supported"));
        assert!(written("M-SEARCH", &[], Content::None).starts_with("M-SEARCH / "));
    }

    #[test]
    fn a_body_is_always_announced() {
        for method in ["GET", "POST", "DELETE"] {
            assert!(written(method, &[], Content::Length(5)).ends_with("\r\nContent-Length: 5\r\n\r\n"));
            assert!(written(method, &[], Content::Length(0)).ends_with("\r\nContent-Length: 0\r\n\r\n"));
            assert!(written(method, &[], Content::Chunked).ends_with("\r\nTransfer-Encoding: chunked\r\n\r\n"));
        }
    }

    #[test]
    fn the_absence_of_a_body_is_announced_where_one_is_expected() {
        for method in ["POST", "PUT", "PATCH"] {
            assert!(written(method, &[], Content::None).ends_with("\r\nContent-Length: 0\r\n\r\n"));
        }
        for method in ["GET", "HEAD", "DELETE", "OPTIONS"] {
            assert!(!written(method, &[], Content::None).contains("Content-Length"));
        }
    }

    #[test]
    fn the_caller_cannot_contradict_the_framing() {
        let five = Content::Length(5);
        for (headers, content) in [
            (&[("Content-Length", "5"), ("Content-Length", "6")][..], five),
            (&[("Content-Length", "5"), ("content-length", "5")], five),
            (&[("Content-Length", "+5")], five),
            (&[("Content-Length", "5, 5")], five),
            (&[("Content-Length", "6")], five),
            (&[("Content-Length", "")], five),
            (&[("Content-Length", "5")], Content::None),
            (&[("Content-Length", "5")], Content::Chunked),
            (&[("Transfer-Encoding", "chunked"), ("Content-Length", "5")], five),
            (&[("Transfer-Encoding", "chunked")], Content::Chunked),
            (&[("transfer-encoding", "gzip")], Content::None),
        ] {
            refused("POST", headers, content);
        }
        let own_place = written("POST", &[("content-length", "5"), ("Content-Type", "x")], five);
        assert!(own_place.ends_with("Accept: */*\r\ncontent-length: 5\r\nContent-Type: x\r\n\r\n"));
    }

    #[test]
    fn the_host_comes_once_and_is_an_authority() {
        for headers in [
            &[("Host", "a"), ("host", "a")][..],
            &[("Host", "")],
            &[("Host", "a/b")],
            &[("Host", "a b")],
            &[("Host", "u@a")],
            &[("Host", "a, b")],
            &[("Host", "a?")],
            &[("Host", "a:x")],
            &[("Host", "127.1")],
            &[("Host", "0x7f.1")],
            &[("Host", "a\\b")],
            &[("Host", "a%2eb")],
            &[("Host", "fa\u{df}.de")],
            &[("Host", " a")],
        ] {
            refused("GET", headers, Content::None);
        }
    }

    fn parse(buf: &[u8]) -> Result<(Framing, bool), ErrorKind> {
        let outcome = |feed: &mut dyn Iterator<Item = usize>| {
            let mut head = RequestHead::new();
            for end in feed {
                if let Some(len) = head.parse(&buf[..end], &Limits::default()).map_err(|e| e.kind())? {
                    assert!(len <= buf.len());
                    return Ok((head.framing().map_err(|e| e.kind())?, head.keep_alive()));
                }
            }
            Err(ErrorKind::Truncated)
        };
        let whole = outcome(&mut std::iter::once(buf.len()));
        assert_eq!(outcome(&mut (0..=buf.len())), whole, "byte by byte");
        for cut in 0..buf.len() {
            assert_eq!(outcome(&mut [cut, buf.len()].into_iter()), whole, "cut at {cut}");
        }
        whole
    }

    fn post(lines: &str) -> Result<(Framing, bool), ErrorKind> {
        parse(format!("POST / HTTP/1.1\r\nHost: a\r\n{lines}\r\n\r\n").as_bytes())
    }

    #[test]
    fn the_body_of_a_request_is_framed_beyond_doubt_or_refused() {
        assert_eq!(post("A: b"), Ok((Framing::None, true)));
        assert_eq!(post("Content-Length: 5"), Ok((Framing::Length(5), true)));
        assert_eq!(post("Transfer-Encoding: gzip, chunked"), Ok((Framing::Chunked, true)));
        for lines in [
            "Content-Length: 5\r\nTransfer-Encoding: chunked",
            "Transfer-Encoding: chunked\r\nContent-Length: 5",
            "Content-Length: 5\r\nContent-Length: 6",
            "Content-Length: +5",
            "Content-Length: 5\r\n 6",
            "Transfer-Encoding: gzip",
            "Transfer-Encoding: chunked, gzip",
            "Transfer-Encoding: xchunked",
            "Transfer-Encoding : chunked",
            "Transfer-Encoding:\u{b}chunked",
            "Transfer-Encoding: chunked\nA: b",
            "Host: a",
            "Host : b",
        ] {
            assert_eq!(post(lines), Err(ErrorKind::Protocol), "{lines:?}");
        }
        assert_eq!(parse(b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"), Err(ErrorKind::Protocol));
    }

    #[test]
    fn a_request_line_is_method_target_version() {
        for line in ["GET / HTTP/1.1", "GET http://a/x HTTP/1.1", "OPTIONS * HTTP/1.1", "M-X /?%20 HTTP/1.1"] {
            assert_eq!(parse(format!("{line}\r\nHost: a\r\n\r\n").as_bytes()), Ok((Framing::None, true)), "{line}");
        }
        for line in [
            "GET  / HTTP/1.1",
            " GET / HTTP/1.1",
            "GET /  HTTP/1.1",
            "GET / HTTP/1.1 ",
            "GET / HTTP/2.0",
            "GET / http/1.1",
            "GET /",
            "GET",
            "GET x HTTP/1.1",
            "GET * HTTP/1.1",
            "GET https://a/ HTTP/1.1",
            "CONNECT a:80 HTTP/1.1",
            "GET /ä HTTP/1.1",
            "GET /\x7f HTTP/1.1",
            "G(T / HTTP/1.1",
            "(",
        ] {
            assert_eq!(parse(format!("{line}\r\nHost: a\r\n\r\n").as_bytes()), Err(ErrorKind::Protocol), "{line}");
        }
    }

    #[test]
    fn one_empty_line_before_a_request_is_read_over_and_not_two() {
        let request = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
        let behind_one = format!("\r\n{request}").into_bytes();
        let mut head = RequestHead::new();
        assert_eq!(head.parse(&behind_one, &Limits::default()).unwrap(), Some(behind_one.len()));
        assert_eq!((head.target(&behind_one), head.fields(&behind_one).get("host")), (&b"/"[..], Some(&b"a"[..])));
        for before in ["\r\n\r\n", "\n", "\r", "\r\n\n", "\r\n "] {
            assert_eq!(parse(format!("{before}{request}").as_bytes()), Err(ErrorKind::Protocol), "{before:?}");
        }
    }

    #[test]
    fn http_1_1_needs_a_host_and_http_1_0_does_not() {
        assert_eq!(parse(b"GET / HTTP/1.1\r\n\r\n"), Err(ErrorKind::Protocol));
        assert_eq!(parse(b"GET / HTTP/1.0\r\n\r\n"), Ok((Framing::None, false)));
        assert_eq!(parse(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"), Ok((Framing::None, true)));
    }

    fn reply(status: u16, headers: &[(&str, &str)], content: Content, connection: Connection) -> Option<String> {
        let mut out = Vec::new();
        let written = write_reply_head(&mut out, status, headers, content, connection);
        assert_eq!(written.is_err(), out.is_empty());
        written.ok().map(|()| String::from_utf8(out).unwrap())
    }

    #[test]
    fn a_reply_announces_its_body_unless_it_can_have_none() {
        let implied = |status, content| reply(status, &[], content, Connection::Implied).unwrap();
        assert_eq!(implied(200, Content::None), "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        assert_eq!(implied(200, Content::Chunked), "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        assert_eq!(implied(204, Content::None), "HTTP/1.1 204 No Content\r\n\r\n");
        assert_eq!(implied(304, Content::None), "HTTP/1.1 304 Not Modified\r\n\r\n");
        assert_eq!(
            implied(299, Content::Length(u64::MAX)),
            "HTTP/1.1 299 \r\nContent-Length: 18446744073709551615\r\n\r\n"
        );
    }

    #[test]
    fn a_reply_that_would_confuse_a_client_is_refused() {
        for (status, headers, content) in [
            (100, &[][..], Content::None),
            (600, &[], Content::None),
            (204, &[], Content::Length(0)),
            (200, &[("Content-Length", "5")], Content::Length(5)),
            (200, &[("Transfer-Encoding", "chunked")], Content::Chunked),
            (200, &[("X", "a\r\nb")], Content::None),
            (200, &[("X ", "a")], Content::None),
        ] {
            assert_eq!(reply(status, headers, content, Connection::Implied), None);
        }
    }

    #[test]
    fn a_reply_says_what_becomes_of_the_connection() {
        let text = |connection| reply(404, &[("A", "b")], Content::Length(12), connection).unwrap();
        assert!(text(Connection::Implied).ends_with("\r\nA: b\r\nContent-Length: 12\r\n\r\n"));
        assert!(text(Connection::KeepAlive).ends_with("\r\nConnection: keep-alive\r\n\r\n"));
        assert!(text(Connection::Close).ends_with("\r\nConnection: close\r\n\r\n"));
    }
}
