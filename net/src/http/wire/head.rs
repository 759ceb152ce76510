//! What the peer says first, and what follows from it.
//!
//! A head is parsed where it lies. Nothing of it is copied or listed, so that nothing is allocated for it: the few headers
//! that mean something to us are looked at as they pass, and whoever wants others is shown the lines.
//!
//! ```text
//!   buf:  HTTP/1.1 200 OK␍␊Server: x␍␊Content-Length: 5␍␊␍␊hello
//!         └──────────────────── head ───────────────────┘
//!   Lines     httparse's reading of them, made strict: where the header lines lie
//!   Digest    three headers are looked at as they pass: Content-Length, Transfer-Encoding, Connection
//!   Framing   what body follows, and may we stay connected
//! ```
//!
//! The outcome is a function of the bytes alone and never of how they were cut (the tests cut them everywhere): sizes are
//! judged as they come, and the form when the whole head has come.
//!
//! Not here: the lines (`line`), the body itself (`body`), request heads (`request`). Next: `line`, then `body`.

use super::line::{FIELDS_MAX, Lines, complete, is_word};
use crate::http::{Error, ErrorKind, Limits};
use std::mem::MaybeUninit;

/// The head of a reply: status, headers, framing.
///
/// It borrows nothing. Where a method takes `buf`, it wants the bytes that [`parse`](ResponseHead::parse) saw, or a copy
/// of them that begins at the same byte; anything else gives wrong slices or a panic.
///
/// ```
/// # use windlass_net::windlass;
/// use windlass::http::Limits;
/// use windlass::http::head::{Asked, Framing, ResponseHead};
///
/// let buf = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 5\r\n\r\nhello";
/// let mut head = ResponseHead::new();
/// assert_eq!(head.parse(&buf[..20], &Limits::default())?, None); // not all there yet
/// let len = head.parse(buf, &Limits::default())?.expect("now it is");
///
/// assert_eq!(head.status(), 200);
/// assert_eq!(head.fields(buf).get("content-type"), Some(&b"text/html"[..]));
/// assert_eq!(head.framing(Asked::Body)?, Framing::Length(5));
/// assert_eq!(&buf[len..], b"hello");
/// # Ok::<(), windlass_net::http::Error>(())
/// ```
#[derive(Debug, Default)]
pub struct ResponseHead {
    lines: Lines,
    status: u16,
    version: Version,
    head_len: usize,
    interims: usize,
    interim_bytes: usize,
}

impl ResponseHead {
    /// An empty head.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// assert_eq!(windlass::http::head::ResponseHead::new().status(), 0);
    /// ```
    pub fn new() -> ResponseHead {
        ResponseHead::default()
    }

    /// Parses the head at the start of `buf`; `None` means that it is not complete.
    ///
    /// To go on, call again with the same bytes and more behind them: what was searched is not searched again. The number
    /// is the length of the head with its empty line. An interim reply is a head of its own: see
    /// [`is_interim`](ResponseHead::is_interim).
    ///
    /// # Errors
    /// [`Protocol`](ErrorKind::Protocol) at the first byte that does not begin like HTTP/1, and for a complete head that is
    /// malformed; [`TooLarge`](ErrorKind::TooLarge) as soon as a limit is passed, complete or not, and before the form is
    /// judged. After an error only [`clear`](ResponseHead::clear) helps.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// use windlass::http::{ErrorKind, Limits, head::ResponseHead};
    /// let error = ResponseHead::new().parse(b"SSH-2.0-OpenSSH", &Limits::default()).unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::Protocol);
    /// ```
    #[inline]
    pub fn parse(&mut self, buf: &[u8], limits: &Limits) -> Result<Option<usize>, Error> {
        if !begins_like_http1(buf) {
            return Err(protocol("reply head: it does not begin with HTTP/1."));
        }
        let head_max = limits.head_max.saturating_sub(self.interim_bytes);
        if !self.lines.may_be_complete(buf, head_max, limits)? {
            return Ok(None);
        }
        let read = self.read(buf, limits);
        self.lines.judge(read, buf, head_max, limits)
    }

    /// Forgets the reply.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// use windlass::http::{Limits, head::ResponseHead};
    /// let mut head = ResponseHead::new();
    /// head.parse(b"HTTP/1.1 204 \r\n\r\n", &Limits::default())?;
    /// head.clear();
    /// assert!(head.parse(b"HTTP/1.1 200 \r\n\r\n", &Limits::default())?.is_some());
    /// # Ok::<(), windlass_net::http::Error>(())
    /// ```
    pub fn clear(&mut self) {
        *self = ResponseHead::default();
    }

    /// Starts over behind an interim reply: the next [`parse`](ResponseHead::parse) wants the bytes after it.
    ///
    /// # Errors
    /// [`TooLarge`](ErrorKind::TooLarge) after [`Limits::interim_max`] of them. Their bytes count against
    /// [`Limits::head_max`] too.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// use windlass::http::{Limits, head::ResponseHead};
    /// let (buf, limits) = (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", Limits::default());
    /// let mut head = ResponseHead::new();
    /// let len = head.parse(buf, &limits)?.unwrap();
    /// assert!(head.is_interim());
    /// head.begin_next(&limits)?;
    /// head.parse(&buf[len..], &limits)?;
    /// assert_eq!(head.status(), 200);
    /// # Ok::<(), windlass_net::http::Error>(())
    /// ```
    pub fn begin_next(&mut self, limits: &Limits) -> Result<(), Error> {
        let interims = self.interims + 1;
        let interim_bytes = self.interim_bytes + self.head_len;
        self.clear();
        (self.interims, self.interim_bytes) = (interims, interim_bytes);
        if interims > limits.interim_max {
            return Err(too_large("reply head: too many interim replies"));
        }
        Ok(())
    }

    /// Whether this is a 1xx reply, so that another head follows.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// use windlass::http::{Limits, head::ResponseHead};
    /// let mut head = ResponseHead::new();
    /// head.parse(b"HTTP/1.1 103 Early Hints\r\n\r\n", &Limits::default())?;
    /// assert!(head.is_interim());
    /// # Ok::<(), windlass_net::http::Error>(())
    /// ```
    pub fn is_interim(&self) -> bool {
        self.status / 100 == 1
    }

    /// The status code, 100 to 599.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// use windlass::http::{Limits, head::ResponseHead};
    /// let mut head = ResponseHead::new();
    /// head.parse(b"HTTP/1.1 404 Not Found\r\n\r\n", &Limits::default())?;
    /// assert_eq!(head.status(), 404);
    /// # Ok::<(), windlass_net::http::Error>(())
    /// ```
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The version that the peer speaks.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// use windlass::http::Limits;
    /// use windlass::http::head::{ResponseHead, Version};
    /// let mut head = ResponseHead::new();
    /// head.parse(b"HTTP/1.0 200 OK\r\n\r\n", &Limits::default())?;
    /// assert_eq!(head.version(), Version::Http10);
    /// # Ok::<(), windlass_net::http::Error>(())
    /// ```
    pub fn version(&self) -> Version {
        self.version
    }

    /// The length of the head in bytes, the empty line included.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// use windlass::http::{Limits, head::ResponseHead};
    /// let mut head = ResponseHead::new();
    /// head.parse(b"HTTP/1.1 200 OK\r\n\r\nbody", &Limits::default())?;
    /// assert_eq!(head.head_len(), 19);
    /// # Ok::<(), windlass_net::http::Error>(())
    /// ```
    pub fn head_len(&self) -> usize {
        self.head_len
    }

    /// The text after the status code, as bytes; often empty, and never to be decided by.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// use windlass::http::{Limits, head::ResponseHead};
    /// let buf = b"HTTP/1.1 200 All is well\r\n\r\n";
    /// let mut head = ResponseHead::new();
    /// head.parse(buf, &Limits::default())?;
    /// assert_eq!(head.reason(buf), b"All is well");
    /// # Ok::<(), windlass_net::http::Error>(())
    /// ```
    pub fn reason<'b>(&self, buf: &'b [u8]) -> &'b [u8] {
        // Not httparse's reason, which is empty if it is not ASCII.
        buf.get(REASON_START..self.lines.first_line_end).unwrap_or_default()
    }

    /// The headers, read from `buf`.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// use windlass::http::{Limits, head::ResponseHead};
    /// let buf = b"HTTP/1.1 200 OK\r\nA: 1\r\nB: 2\r\n\r\n";
    /// let mut head = ResponseHead::new();
    /// head.parse(buf, &Limits::default())?;
    /// assert_eq!(head.fields(buf).iter().count(), 2);
    /// # Ok::<(), windlass_net::http::Error>(())
    /// ```
    #[inline]
    pub fn fields<'b>(&self, buf: &'b [u8]) -> Fields<'b> {
        self.lines.fields(buf)
    }

    /// What body follows this head, by RFC 9112 6.3.
    ///
    /// # Errors
    /// [`Protocol`](ErrorKind::Protocol) if Content-Length and Transfer-Encoding leave any doubt. A reply that has no body
    /// by its status or by the request has none whatever they say.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// use windlass::http::Limits;
    /// use windlass::http::head::{Asked, Framing, ResponseHead};
    /// let mut head = ResponseHead::new();
    /// head.parse(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", &Limits::default())?;
    /// assert_eq!(head.framing(Asked::Body)?, Framing::Chunked);
    /// assert_eq!(head.framing(Asked::HeadOnly)?, Framing::None);
    /// # Ok::<(), windlass_net::http::Error>(())
    /// ```
    #[inline]
    pub fn framing(&self, asked: Asked) -> Result<Framing, Error> {
        if asked == Asked::HeadOnly || self.is_interim() || matches!(self.status, 204 | 304) {
            return Ok(Framing::None);
        }
        Ok(self.lines.digest.framing()?.unwrap_or(Framing::Close))
    }

    /// Whether the connection may carry another exchange once a body of this `framing` has been read.
    ///
    /// It may not after `Connection: close`, over HTTP/1.0 without `keep-alive`, behind a body that ends with the
    /// connection, or where the peer's idea of the framing is in doubt (Transfer-Encoding in HTTP/1.0, or beside a
    /// Content-Length in a reply without a body).
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// use windlass::http::Limits;
    /// use windlass::http::head::{Framing, ResponseHead};
    /// let mut head = ResponseHead::new();
    /// head.parse(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\n", &Limits::default())?;
    /// assert!(!head.keep_alive(Framing::Length(5)));
    /// # Ok::<(), windlass_net::http::Error>(())
    /// ```
    #[inline]
    pub fn keep_alive(&self, framing: Framing) -> bool {
        framing != Framing::Close && self.lines.digest.keep_alive(self.version)
    }

    /// Reads a head that seems to be complete; the error says what keeps it from being one.
    #[inline]
    fn read(&mut self, buf: &[u8], limits: &Limits) -> Result<usize, &'static str> {
        let mut slots = [MaybeUninit::uninit(); FIELDS_MAX];
        let slots = &mut slots[..limits.fields_max.min(FIELDS_MAX)];
        let mut reply = httparse::Response::new(&mut []);
        let parser = httparse::ParserConfig::default();
        self.head_len = complete(parser.parse_response_with_uninit_headers(&mut reply, buf, slots))?;
        self.lines.take(&buf[..self.head_len], reply.headers)?;
        self.version = Version::of(reply.version);
        self.status = match reply.code {
            Some(101) => return Err("reply head: 101, but no upgrade was asked for"),
            Some(code @ 100..=599) => code,
            _ => return Err("reply head: the status is not a number from 100 to 599"),
        };
        Ok(self.head_len)
    }
}

/// Where the reason begins: behind "HTTP/1.1 200 ".
const REASON_START: usize = 13;

/// Whether the request wants a body in the reply. A reply to HEAD never has one, whatever its headers announce.
///
/// ```
/// # use windlass_net::windlass;
/// use windlass::http::head::Asked;
/// assert_eq!(Asked::by("HEAD"), Asked::HeadOnly);
/// assert_eq!(Asked::by("GET"), Asked::Body);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Asked {
    /// Any method but HEAD.
    Body,
    /// HEAD.
    HeadOnly,
}

impl Asked {
    /// What a request with this method asks for. Methods are case-sensitive (9110 9.1).
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// use windlass::http::head::Asked;
    /// assert_eq!(Asked::by("head"), Asked::Body); // some other method
    /// ```
    pub fn by(method: &str) -> Asked {
        if method == "HEAD" { Asked::HeadOnly } else { Asked::Body }
    }
}

/// How the end of a body is known.
///
/// ```
/// # use windlass_net::windlass;
/// use windlass::http::head::Framing;
/// assert_ne!(Framing::None, Framing::Length(0)); // no body, and a body of no bytes
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Framing {
    /// There is no body.
    None,
    /// After so many bytes.
    Length(u64),
    /// After the chunk of size zero.
    Chunked,
    /// When the peer closes the connection.
    Close,
}

/// The HTTP version of a message.
///
/// ```
/// # use windlass_net::windlass;
/// use windlass::http::head::Version;
/// assert!(Version::Http10 < Version::Http11);
/// assert_eq!(Version::Http11.to_string(), "HTTP/1.1");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// HTTP/1.0: a connection carries one exchange unless both sides ask for more.
    Http10,
    /// HTTP/1.1: a connection stays unless one side closes it.
    #[default]
    Http11,
}

impl Version {
    #[inline]
    pub(crate) fn of(minor: Option<u8>) -> Version {
        if minor == Some(0) { Version::Http10 } else { Version::Http11 }
    }
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if *self == Version::Http10 { "HTTP/1.0" } else { "HTTP/1.1" })
    }
}

/// The headers or trailers of a message, in the order and the case in which they came, as bytes.
///
/// A name is a token; a value has no control characters but TAB, no space around it, and may hold bytes from 0x80 up.
///
/// ```
/// # use windlass_net::windlass;
/// use windlass::http::{Limits, head::ResponseHead};
/// let buf = b"HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nset-cookie: b=2\r\n\r\n";
/// let mut head = ResponseHead::new();
/// head.parse(buf, &Limits::default())?;
/// let cookies: Vec<_> = head.fields(buf).get_all("Set-Cookie").collect();
/// assert_eq!(cookies, [b"a=1", b"b=2"]);
/// # Ok::<(), windlass_net::http::Error>(())
/// ```
#[derive(Clone, Copy)]
pub struct Fields<'a> {
    /// As httparse has read them: each with a name, a colon and a line end.
    pub(crate) lines: &'a [u8],
}

impl<'a> Fields<'a> {
    /// The value of the first header called `name`; case does not matter.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// use windlass::http::{Limits, head::ResponseHead};
    /// let buf = b"HTTP/1.1 200 OK\r\nETag: \"x\"\r\n\r\n";
    /// let mut head = ResponseHead::new();
    /// head.parse(buf, &Limits::default())?;
    /// assert_eq!(head.fields(buf).get("etag"), Some(&b"\"x\""[..]));
    /// # Ok::<(), windlass_net::http::Error>(())
    /// ```
    pub fn get(&self, name: &str) -> Option<&'a [u8]> {
        self.get_all(name).next()
    }

    /// The values of all headers called `name`; case does not matter.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// use windlass::http::{Limits, head::ResponseHead};
    /// let buf = b"HTTP/1.1 200 OK\r\nVary: a\r\nVary: b\r\n\r\n";
    /// let mut head = ResponseHead::new();
    /// head.parse(buf, &Limits::default())?;
    /// assert_eq!(head.fields(buf).get_all("vary").count(), 2);
    /// # Ok::<(), windlass_net::http::Error>(())
    /// ```
    pub fn get_all<'n>(&self, name: &'n str) -> impl Iterator<Item = &'a [u8]> + use<'a, 'n> {
        self.iter().filter(|(have, _)| have.eq_ignore_ascii_case(name.as_bytes())).map(|(_, value)| value)
    }

    /// The lines as they came, each with its line end.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// use windlass::http::{Limits, head::ResponseHead};
    /// let buf = b"HTTP/1.1 200 OK\r\nA:  1\r\nb:2\r\n\r\n";
    /// let mut head = ResponseHead::new();
    /// head.parse(buf, &Limits::default())?;
    /// assert_eq!(head.fields(buf).as_bytes(), b"A:  1\r\nb:2\r\n");
    /// # Ok::<(), windlass_net::http::Error>(())
    /// ```
    pub fn as_bytes(&self) -> &'a [u8] {
        self.lines
    }

    /// Names and values, one pair for each line.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// use windlass::http::{Limits, head::ResponseHead};
    /// let buf = b"HTTP/1.1 200 OK\r\nA: 1\r\n\r\n";
    /// let mut head = ResponseHead::new();
    /// head.parse(buf, &Limits::default())?;
    /// assert_eq!(head.fields(buf).iter().next(), Some((&b"A"[..], &b"1"[..])));
    /// # Ok::<(), windlass_net::http::Error>(())
    /// ```
    pub fn iter(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
        self.lines.split_inclusive(|&byte| byte == b'\n').map(|line| {
            let name_len = line.iter().position(|&byte| byte == b':').expect("httparse saw a colon");
            (&line[..name_len], line[name_len + 1..].trim_ascii())
        })
    }
}

impl std::fmt::Debug for Fields<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = String::from_utf8_lossy;
        f.debug_map().entries(self.iter().map(|(name, value)| (text(name), text(value)))).finish()
    }
}

/// What Content-Length, Transfer-Encoding and Connection say, all their lines taken together.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Digest {
    length: Option<u64>,
    coding: Option<Coding>,
    /// What is wrong with these two.
    wrong: Option<&'static str>,
    close: bool,
    keep_alive: bool,
}

/// The last transfer coding of all lines together.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Coding {
    /// None has been named yet.
    Unnamed,
    Chunked,
    /// A known one whose end cannot be seen.
    Other,
}

impl Digest {
    /// Looks at a header. The length of its name is at hand and tells nearly all of them apart.
    #[inline(always)] // it is called in one place, which is there twice
    pub(crate) fn note(&mut self, name: &[u8], value: &[u8]) {
        match name.len() {
            10 if is_word(name, b"connection") => self.note_connection(value),
            14 if is_word(name, b"content-length") => self.note_length(value),
            17 if is_word(name, b"transfer-encoding") => self.note_coding(value),
            _ => {}
        }
    }

    /// What body is announced, before the rules that differ between requests and replies. `Close` is a coding whose end
    /// cannot be seen.
    ///
    /// # Errors
    /// If the two headers contradict themselves or each other (9112 6.3, rules 3 to 5).
    #[inline]
    pub(crate) fn framing(&self) -> Result<Option<Framing>, Error> {
        match (self.wrong, self.length, self.coding) {
            (Some(why), ..) => Err(protocol(why)),
            (None, Some(_), Some(_)) => Err(protocol("framing: both content-length and transfer-encoding")),
            (None, Some(n), None) => Ok(Some(Framing::Length(n))),
            (None, None, Some(Coding::Unnamed)) => Err(protocol("framing: transfer-encoding names no coding")),
            (None, None, Some(Coding::Chunked)) => Ok(Some(Framing::Chunked)),
            (None, None, Some(Coding::Other)) => Ok(Some(Framing::Close)),
            (None, None, None) => Ok(None),
        }
    }

    /// Whether the peer stays (9112 9.3) and is sure of where its message ends (9112 6.1).
    #[inline]
    pub(crate) fn keep_alive(&self, version: Version) -> bool {
        let in_doubt = self.coding.is_some() && (version == Version::Http10 || self.length.is_some());
        !self.close && (version == Version::Http11 || self.keep_alive) && !in_doubt
    }

    pub(crate) fn has_coding(&self) -> bool {
        self.coding.is_some()
    }

    #[inline]
    fn note_connection(&mut self, value: &[u8]) {
        if is_word(value, b"keep-alive") {
            self.keep_alive = true; // nearly always this and nothing else
            return;
        }
        for option in elements(value) {
            self.close |= is_word(option, b"close");
            self.keep_alive |= is_word(option, b"keep-alive");
        }
    }

    /// `5`, or `5, 5` from a proxy that merged two lines (9110 8.6); anything else is wrong.
    #[inline]
    fn note_length(&mut self, value: &[u8]) {
        if let (None, Some(n)) = (self.length, decimal(value)) {
            self.length = Some(n); // nearly always this and nothing else
            return;
        }
        for element in elements(value) {
            let n = decimal(element);
            if n.is_none() {
                self.wrong = Some("framing: content-length is not a number");
            } else if self.length.is_some() && self.length != n {
                self.wrong = Some("framing: content-lengths differ");
            }
            self.length = self.length.or(n).or(Some(0));
        }
    }

    /// A list of codings in the order in which they were applied; lines join (9112 6.1).
    fn note_coding(&mut self, value: &[u8]) {
        self.coding.get_or_insert(Coding::Unnamed);
        for element in elements(value).filter(|element| !element.is_empty()) {
            let is_chunked = is_word(element, b"chunked");
            if self.coding == Some(Coding::Chunked) {
                self.wrong = Some("framing: chunked is not the last transfer coding");
            } else if !is_chunked && !CODINGS.iter().any(|name| element.eq_ignore_ascii_case(name)) {
                self.wrong = Some("framing: unknown transfer coding");
            }
            self.coding = Some(if is_chunked { Coding::Chunked } else { Coding::Other });
        }
    }
}

/// The registered transfer codings besides chunked (9112 7.2); `identity` is gone since RFC 7230.
const CODINGS: [&[u8]; 5] = [b"gzip", b"x-gzip", b"deflate", b"compress", b"x-compress"];

/// The elements of a comma-separated list, without the spaces around them; empty ones too.
pub(crate) fn elements(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&b| b == b',').map(<[u8]>::trim_ascii)
}

/// 1*DIGIT that fits 64 bits.
pub(crate) fn decimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0u64, |n, b| {
        let digit = b.wrapping_sub(b'0');
        if digit > 9 { None } else { n.checked_mul(10)?.checked_add(u64::from(digit)) }
    })
}

/// Whether `buf` can still become a reply. Told at the first wrong byte: a server that does not speak HTTP may never
/// send an empty line.
#[inline]
fn begins_like_http1(buf: &[u8]) -> bool {
    const BEGIN: &[u8; 7] = b"HTTP/1.";
    match buf.first_chunk::<7>() {
        Some(begin) => begin == BEGIN,
        None => BEGIN.starts_with(buf),
    }
}

#[cold]
pub(crate) fn protocol(what: &'static str) -> Error {
    Error::new(ErrorKind::Protocol, what)
}

#[cold]
pub(crate) fn too_large(what: &'static str) -> Error {
    Error::new(ErrorKind::TooLarge, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NGINX: &[u8] = b"HTTP/1.1 200 OK\r\nServer: nginx/1.24.0\r\nDate: Sun, 22 Nov 2026 18:27:48 GMT\r\n\
        Content-Type: text/html\r\nContent-Length: 615\r\nConnection: keep-alive\r\n\r\n";

    fn parsed(buf: &[u8]) -> ResponseHead {
        let mut head = ResponseHead::new();
        assert_eq!(head.parse(buf, &Limits::default()).unwrap(), Some(buf.len()), "{}", buf.escape_ascii());
        head
    }

    fn refused(buf: &[u8]) -> ErrorKind {
        ResponseHead::new().parse(buf, &Limits::default()).expect_err(&buf.escape_ascii().to_string()).kind()
    }

    fn with_fields(lines: &str) -> Vec<u8> {
        format!("HTTP/1.1 200 OK\r\n{lines}\r\n\r\n").into_bytes()
    }

    fn framing_of(lines: &str) -> Result<Framing, ErrorKind> {
        parsed(&with_fields(lines)).framing(Asked::Body).map_err(|e| e.kind())
    }

    #[test]
    fn a_usual_head_is_taken_apart() {
        let head = parsed(NGINX);
        assert_eq!((head.status(), head.version(), head.reason(NGINX)), (200, Version::Http11, &b"OK"[..]));
        let fields: Vec<_> = head.fields(NGINX).iter().collect();
        assert_eq!(fields.len(), 5);
        assert_eq!(fields[2], (&b"Content-Type"[..], &b"text/html"[..]));
        assert_eq!(head.framing(Asked::Body).unwrap(), Framing::Length(615));
        assert!(head.keep_alive(Framing::Length(615)));
    }

    #[test]
    fn the_headers_can_be_read_in_a_copy_of_the_head_as_well() {
        let head = parsed(NGINX);
        let copy = NGINX.to_vec();
        assert_eq!(head.fields(&copy).get("SERVER"), Some(&b"nginx/1.24.0"[..]));
    }

    #[test]
    fn the_status_line_is_strict() {
        for (line, reason) in [
            ("HTTP/1.1 200 OK", "OK"),
            ("HTTP/1.0 200 OK", "OK"),
            ("HTTP/1.1 200 ", ""),
            ("HTTP/1.1 200", ""),
            ("HTTP/1.1 599 a  b\t", "a  b\t"),
            ("HTTP/1.1 100 x", "x"),
        ] {
            let text = format!("{line}\r\n\r\n");
            assert_eq!(parsed(text.as_bytes()).reason(text.as_bytes()), reason.as_bytes());
            let text = format!("{line}\r\nA: b\r\n\r\n");
            assert_eq!(parsed(text.as_bytes()).reason(text.as_bytes()), reason.as_bytes());
        }
        for line in [
            "HTTP/1.1 99 x",
            "HTTP/1.1 099 x",
            "HTTP/1.1 600 x",
            "HTTP/1.1 1000 x",
            "HTTP/1.1 20 x",
            "HTTP/1.1 2OO x",
            "HTTP/1.1  200 x",
            "HTTP/1.1 +20 x",
            "HTTP/1.1\t200 x",
            "HTTP/1.1",
            "HTTP/1.1 ",
            "HTTP/1.2 200 x",
            "HTTP/1.10 200 x",
            "HTTP/2.0 200 x",
            "http/1.1 200 x",
            "ICY 200 OK",
            "<html>",
            "",
            " HTTP/1.1 200 OK",
            "HTTP/1.1 200\tOK",
            "HTTP/1.1 200 a\u{1}b",
            "HTTP/1.1 101 Switching Protocols",
        ] {
            assert_eq!(refused(format!("{line}\r\n\r\n").as_bytes()), ErrorKind::Protocol, "{line}");
        }
    }

    #[test]
    fn a_reason_that_is_not_ascii_is_kept_as_bytes() {
        let buf = b"HTTP/1.1 200 \xc3\xa4\xff\r\n\r\n";
        assert_eq!(parsed(buf).reason(buf), b"\xc3\xa4\xff");
    }

    #[test]
    fn a_peer_that_does_not_speak_http_is_told_apart_at_its_first_byte() {
        assert_eq!(refused(b"S"), ErrorKind::Protocol);
        assert_eq!(refused(b"HTTP/2"), ErrorKind::Protocol);
        assert_eq!(refused(b"\r"), ErrorKind::Protocol);
        assert_eq!(ResponseHead::new().parse(b"", &Limits::default()).unwrap(), None);
        assert_eq!(ResponseHead::new().parse(b"HTTP/1", &Limits::default()).unwrap(), None);
    }

    #[test]
    fn a_header_line_is_token_colon_value_crlf() {
        for lines in [
            "X : 1",
            " X: 1",
            "X\t: 1",
            ": 1",
            "X",
            "X: a\r\n b",
            "X: a\r\n\tb",
            "Content-Length: 5\r\n 5",
            "Content-Length:\r\n 5",
            "Transfer-Encoding: chunked\r\n ,x",
            "Connection: a\r\n b",
            "A: b\nC: d",
            "A: b\rC: d",
            "A: b\r\r\nC: d",
            "A: b\0c",
            "A\0: b",
            "A: b\u{b}c",
            "A: b\u{7f}c",
            "A(: b",
            "\u{e4}: b",
        ] {
            assert_eq!(refused(&with_fields(lines)), ErrorKind::Protocol, "{lines:?}");
        }
        assert_eq!(refused(b"HTTP/1.1 200 OK\n\n"), ErrorKind::Protocol);
        assert_eq!(refused(b"HTTP/1.1 200 OK\r\n\n"), ErrorKind::Protocol);
        assert_eq!(refused(b"HTTP/1.1 200 OK\r\nA: b\n\r\n"), ErrorKind::Protocol);
        assert_eq!(refused(b"HTTP/1.1 200 OK\rA: b\r\r\n\r\n"), ErrorKind::Protocol);
    }

    #[test]
    fn a_value_is_trimmed_and_keeps_what_it_may_hold() {
        let buf = b"HTTP/1.1 200 OK\r\nA: \t b \tc\xff\t \r\nB:\r\nC: \r\nD:x\r\n\r\n";
        let head = parsed(buf);
        let values: Vec<_> = head.fields(buf).iter().map(|(_, value)| value).collect();
        assert_eq!(values, [&b"b \tc\xff"[..], b"", b"", b"x"]);
    }

    #[test]
    fn a_content_length_is_one_decimal_number() {
        for (value, length) in [
            ("5", 5),
            (" \t5 ", 5),
            ("0", 0),
            ("005", 5),
            ("18446744073709551615", u64::MAX),
            ("5, 5", 5),
            ("5,5,5", 5),
        ] {
            assert_eq!(framing_of(&format!("Content-Length:{value}")), Ok(Framing::Length(length)), "{value:?}");
        }
        for value in [
            "+5",
            "-0",
            "-5",
            "0x5",
            "5 5",
            "5;",
            "18446744073709551616",
            "99999999999999999999999",
            "",
            " ",
            "٥",
            "5.0",
            "5,",
            ",5",
            "5, 6",
            "5,,5",
            "1e3",
        ] {
            assert_eq!(framing_of(&format!("Content-Length:{value}")), Err(ErrorKind::Protocol), "{value:?}");
        }
    }

    #[test]
    fn content_length_lines_must_agree() {
        assert_eq!(framing_of("Content-Length: 5\r\ncontent-length: 5"), Ok(Framing::Length(5)));
        assert_eq!(framing_of("Content-Length: 5\r\nContent-Length: 6"), Err(ErrorKind::Protocol));
        assert_eq!(framing_of("Content-Length: x\r\nContent-Length: 6"), Err(ErrorKind::Protocol));
    }

    #[test]
    fn content_length_beside_transfer_encoding_is_refused_in_either_order() {
        assert_eq!(framing_of("Transfer-Encoding: chunked\r\nContent-Length: 5"), Err(ErrorKind::Protocol));
        assert_eq!(framing_of("Content-Length: 5\r\nTransfer-Encoding: chunked"), Err(ErrorKind::Protocol));
        assert_eq!(framing_of("Content-Length: 5\r\nTransfer-Encoding: gzip"), Err(ErrorKind::Protocol));
    }

    #[test]
    fn chunked_comes_last_and_once_and_no_coding_is_unknown() {
        for (lines, framing) in [
            ("Transfer-Encoding: chunked", Framing::Chunked),
            ("transfer-encoding: Chunked", Framing::Chunked),
            ("Transfer-Encoding: , chunked ,", Framing::Chunked),
            ("Transfer-Encoding: gzip, chunked", Framing::Chunked),
            ("Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked", Framing::Chunked),
            ("Transfer-Encoding: gzip", Framing::Close),
            ("Transfer-Encoding: deflate, x-gzip", Framing::Close),
        ] {
            assert_eq!(framing_of(lines), Ok(framing), "{lines}");
        }
        for lines in [
            "Transfer-Encoding: chunked, gzip",
            "Transfer-Encoding: chunked, chunked",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
            "Transfer-Encoding: xchunked",
            "Transfer-Encoding: chunkedx",
            "Transfer-Encoding: chunked;q=1",
            "Transfer-Encoding: \"chunked\"",
            "Transfer-Encoding: chunked chunked",
            "Transfer-Encoding: identity",
            "Transfer-Encoding:",
            "Transfer-Encoding: ,",
        ] {
            assert_eq!(framing_of(lines), Err(ErrorKind::Protocol), "{lines}");
        }
        assert_eq!(refused(&with_fields("Transfer-Encoding: \u{b}chunked")), ErrorKind::Protocol);
    }

    #[test]
    fn without_any_framing_the_body_ends_with_the_connection() {
        assert_eq!(framing_of("A: b"), Ok(Framing::Close));
    }

    #[test]
    fn head_204_and_304_have_no_body_whatever_the_headers_say() {
        for lines in ["Content-Length: 5", "Transfer-Encoding: chunked", "Content-Length: x", "A: b"] {
            let head = parsed(&with_fields(lines));
            assert_eq!(head.framing(Asked::HeadOnly).unwrap(), Framing::None);
            for status in [204, 304] {
                let head = parsed(format!("HTTP/1.1 {status} x\r\n{lines}\r\n\r\n").as_bytes());
                assert_eq!(head.framing(Asked::Body).unwrap(), Framing::None);
                assert!(head.keep_alive(Framing::None));
            }
        }
    }

    #[test]
    fn who_says_close_is_not_kept() {
        let keep = |text: &str| parsed(text.as_bytes()).keep_alive(Framing::Length(0));
        for (lines, http11, http10) in [
            ("A: b", true, false),
            ("Connection: keep-alive", true, true),
            ("Connection: Keep-Alive", true, true),
            ("Connection: close", false, false),
            ("Connection: keep-alive, CLOSE", false, false),
            ("Connection: keep-alive\r\nConnection: Close", false, false),
            ("Connection: closed, x-close", true, false),
            ("Connection: upgrade,\tkeep-alive", true, true),
            ("Connection:", true, false),
        ] {
            assert_eq!(keep(&format!("HTTP/1.1 200 OK\r\n{lines}\r\n\r\n")), http11, "1.1 {lines}");
            assert_eq!(keep(&format!("HTTP/1.0 200 OK\r\n{lines}\r\n\r\n")), http10, "1.0 {lines}");
        }
        assert!(!parsed(NGINX).keep_alive(Framing::Close));
    }

    #[test]
    fn transfer_encoding_in_http_1_0_is_decoded_but_the_connection_goes() {
        let head = parsed(b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n");
        let framing = head.framing(Asked::Body).unwrap();
        assert_eq!(framing, Framing::Chunked);
        assert!(!head.keep_alive(framing));
    }

    #[test]
    fn contradictory_framing_without_a_body_costs_the_connection() {
        let head = parsed(b"HTTP/1.1 304 x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n");
        assert_eq!(head.framing(Asked::Body).unwrap(), Framing::None);
        assert!(!head.keep_alive(Framing::None));
    }

    #[test]
    fn interim_replies_are_skipped_sixteen_times_and_no_more() {
        let (interim, limits) = (b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n", Limits::default());
        let mut head = ResponseHead::new();
        for _ in 0..16 {
            head.parse(interim, &limits).unwrap();
            assert!(head.is_interim());
            head.begin_next(&limits).unwrap();
        }
        head.parse(interim, &limits).unwrap();
        assert_eq!(head.begin_next(&limits).unwrap_err().kind(), ErrorKind::TooLarge);
    }

    #[test]
    fn the_bytes_of_interim_replies_count_against_the_head() {
        let (interim, limits) = (with_size("HTTP/1.1 100 x\r\n", 40_000), Limits::default());
        let mut head = ResponseHead::new();
        head.parse(&interim, &limits).unwrap();
        head.begin_next(&limits).unwrap();
        assert_eq!(head.parse(&interim, &limits).unwrap_err().kind(), ErrorKind::TooLarge);
        head.clear();
        assert!(head.parse(&interim, &limits).unwrap().is_some());
    }

    /// A head of exactly `size` bytes whose lines are below their own limit.
    fn with_size(status_line: &str, size: usize) -> Vec<u8> {
        let mut head = status_line.as_bytes().to_vec();
        while head.len() + 2 < size {
            let left = size - 2 - head.len();
            let line = if left < 12_000 { left } else { 10_000 };
            head.extend_from_slice(b"a:");
            head.resize(head.len() + line - 4, b'x');
            head.extend_from_slice(b"\r\n");
        }
        head.extend_from_slice(b"\r\n");
        assert_eq!(head.len(), size);
        head
    }

    /// Feeds `buf` whole and byte by byte, which must agree.
    fn both_ways(buf: &[u8]) -> Result<Option<usize>, ErrorKind> {
        both_ways_within(buf, &Limits::default())
    }

    fn both_ways_within(buf: &[u8], limits: &Limits) -> Result<Option<usize>, ErrorKind> {
        let whole = ResponseHead::new().parse(buf, limits).map_err(|e| e.kind());
        let mut head = ResponseHead::new();
        let mut pieces = Ok(None);
        for end in 0..=buf.len() {
            pieces = head.parse(&buf[..end], limits).map_err(|e| e.kind());
            if pieces != Ok(None) {
                break;
            }
        }
        assert_eq!(whole, pieces, "{limits:?}: {}", buf.escape_ascii());
        whole
    }

    #[test]
    fn sizes_are_judged_before_the_form() {
        let long = "x".repeat(16_384);
        for lines in [format!("A : b\r\nB:{long}"), format!("A: b\nB:{long}"), format!("B:{long}\r\nA\0: b")] {
            assert_eq!(both_ways(&with_fields(&lines)), Err(ErrorKind::TooLarge));
        }
    }

    #[test]
    fn every_limit_is_passed_at_the_same_byte_however_the_head_is_cut() {
        for lines in ["A: b\r\nContent-Length: 5", "A : b\r\nC: d", "A: b\nC: d"] {
            let buf = with_fields(lines);
            for n in 0..buf.len() + 2 {
                let all = Limits::default();
                let head = both_ways_within(&buf, &Limits { head_max: n, ..all.clone() });
                assert_eq!(head == Err(ErrorKind::TooLarge), n < buf.len());
                let status_line = both_ways_within(&buf, &Limits { status_line_max: n, ..all.clone() });
                assert_eq!(status_line == Err(ErrorKind::TooLarge), n < 15);
                both_ways_within(&buf, &Limits { line_max: n, ..all.clone() }).ok();
                let fields = both_ways_within(&buf, &Limits { fields_max: n, ..all });
                assert_eq!(fields == Err(ErrorKind::TooLarge), n < 2);
            }
        }
    }

    #[test]
    fn a_head_asked_for_again_is_read_again_and_not_twice() {
        let mut head = parsed(NGINX);
        assert_eq!(head.parse(NGINX, &Limits::default()).unwrap(), Some(NGINX.len()));
        assert_eq!(head.fields(NGINX).iter().count(), 5);
        assert_eq!(head.framing(Asked::Body).unwrap(), Framing::Length(615));
    }

    #[test]
    fn a_head_of_64_kib_passes_and_one_byte_more_does_not() {
        let status_line = "HTTP/1.1 200 OK\r\n";
        assert_eq!(both_ways(&with_size(status_line, 65_536)), Ok(Some(65_536)));
        assert_eq!(both_ways(&with_size(status_line, 65_537)), Err(ErrorKind::TooLarge));
    }

    #[test]
    fn an_endless_head_fails_at_the_limit_though_it_has_no_end() {
        let mut buf = with_size("HTTP/1.1 200 OK\r\n", 65_530);
        buf.truncate(65_528);
        assert_eq!(both_ways(&buf), Ok(None));
        buf.extend_from_slice(b"a:bbbbbb");
        assert_eq!(both_ways(&buf), Err(ErrorKind::TooLarge));
    }

    #[test]
    fn a_line_of_16_kib_passes_and_one_byte_more_does_not() {
        let line = |len: usize| with_fields(&format!("a:{}", "x".repeat(len - 2)));
        assert!(both_ways(&line(16_384)).is_ok());
        assert_eq!(both_ways(&line(16_385)), Err(ErrorKind::TooLarge));
        let unfinished = |len: usize| format!("HTTP/1.1 200 OK\r\na:{}", "x".repeat(len - 2)).into_bytes();
        assert_eq!(both_ways(&unfinished(16_385)), Ok(None)); // its last byte might have been CR
        assert_eq!(both_ways(&unfinished(16_386)), Err(ErrorKind::TooLarge));
    }

    #[test]
    fn a_status_line_of_8_kib_passes_and_one_byte_more_does_not() {
        let line = |len: usize| format!("HTTP/1.1 200 {}\r\n\r\n", "x".repeat(len - 13)).into_bytes();
        assert!(both_ways(&line(8_192)).is_ok());
        assert_eq!(both_ways(&line(8_193)), Err(ErrorKind::TooLarge));
    }

    #[test]
    fn a_hundred_fields_pass_and_one_more_does_not() {
        let fields = |count: usize| format!("HTTP/1.1 200 OK\r\n{}\r\n", "a: b\r\n".repeat(count)).into_bytes();
        assert!(both_ways(&fields(100)).is_ok());
        assert_eq!(both_ways(&fields(101)), Err(ErrorKind::TooLarge));
        let mut few = Limits { fields_max: 2, ..Limits::default() };
        assert!(ResponseHead::new().parse(&fields(2), &few).is_ok());
        assert_eq!(ResponseHead::new().parse(&fields(3), &few).unwrap_err().kind(), ErrorKind::TooLarge);
        few.fields_max = 1_000; // means 100
        assert_eq!(ResponseHead::new().parse(&fields(101), &few).unwrap_err().kind(), ErrorKind::TooLarge);
    }
}
