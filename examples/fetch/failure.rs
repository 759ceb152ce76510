//! What went wrong, as curl counts it.
//!
//! ```text
//!     http::Error ──► where it happened: head or body ──► Failure: an exit code, and a line for people
//! ```
//!
//! The numbers are a contract that other people's scripts lean on: those of libcurl's error codes. curl tells some things
//! apart that are one kind for this library, so the place where an error came up counts as well.
//! Not here: which of several URLs decides (`main`).   Next: `engine`.

use std::{error::Error as _, fmt, io};

use windlass::http::{CertificateError, Error, ErrorKind};

use crate::engine::Head;

/// Exit codes, by curl's names for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Code {
    UnsupportedProtocol = 1,
    Usage = 2,
    Url = 3,
    ResolveProxy = 5,
    Resolve = 6,
    Connect = 7,
    WeirdReply = 8,
    Partial = 18,
    HttpReturned = 22,
    Write = 23,
    Read = 26,
    TimedOut = 28,
    Tls = 35,
    BadArgument = 43,
    TooManyRedirects = 47,
    SetoptSyntax = 49,
    GotNothing = 52,
    Send = 55,
    Receive = 56,
    Certificate = 60,
    Coding = 61,
    CaFile = 77,
    TooLarge = 100,
}

/// Why an URL was not fetched.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) code: Code,
    pub(crate) text: String,
    /// What had come of the head of an answer, if it was that which failed.
    pub(crate) head: Option<Box<Head>>,
}

impl Failure {
    pub(crate) fn new(code: Code, text: impl Into<String>) -> Self {
        Self { code, text: text.into(), head: None }
    }

    pub(crate) fn write(error: &io::Error) -> Self {
        Self::new(Code::Write, format!("write: {error}"))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "({}) {}", self.code as u8, self.text)
    }
}

/// What was awaited when it went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Awaited {
    Head,
    Body,
}

/// An error of this library's client, in curl's numbers.
pub(crate) fn of_client(error: &Error, awaited: Awaited) -> Failure {
    let text = error.to_string();
    let says = |words: &str| text.contains(words);
    let code = match (error.kind(), awaited) {
        (ErrorKind::Resolve, _) if says("proxy") => Code::ResolveProxy,
        (ErrorKind::Resolve, _) => Code::Resolve,
        (ErrorKind::Connect, _) if says("CONNECT") => Code::Receive,
        (ErrorKind::Connect, _) => Code::Connect,
        (ErrorKind::Tls, _) if error.source().is_some_and(|source| source.is::<CertificateError>()) => {
            Code::Certificate
        }
        (ErrorKind::Tls, _) => Code::Tls,
        (
            ErrorKind::TimeoutResolve | ErrorKind::TimeoutConnect | ErrorKind::TimeoutRead | ErrorKind::TimeoutTotal,
            _,
        ) => Code::TimedOut,
        (ErrorKind::Reset, _) if says("sending the request") => Code::Send,
        (ErrorKind::Truncated, Awaited::Head) if !has_status_line(error.heard()) => Code::GotNothing,
        (ErrorKind::Truncated, Awaited::Body) => Code::Partial,
        // To curl, a reply without a status line is of HTTP/0.9, which it was not told to speak.
        (ErrorKind::Protocol, Awaited::Head) if NO_STATUS_LINE.into_iter().any(says) => Code::UnsupportedProtocol,
        (ErrorKind::Protocol, Awaited::Head) if says(" coding") => Code::Coding,
        (ErrorKind::Protocol, Awaited::Head) => Code::WeirdReply,
        (ErrorKind::TooLarge, Awaited::Head) => Code::TooLarge,
        (ErrorKind::Redirect, _) => Code::TooManyRedirects,
        (ErrorKind::Status, _) => Code::HttpReturned,
        (ErrorKind::Other, Awaited::Head) => Code::BadArgument,
        _ => Code::Receive,
    };
    Failure::new(code, text)
}

/// How the parser says that the first line is no status line.
const NO_STATUS_LINE: [&str; 3] = ["does not begin with HTTP/1.", "the version is not", "not three digits"];

/// Whether what was heard has all of a status line behind its interim heads.
fn has_status_line(heard: &[u8]) -> bool {
    let end = heard.windows(4).rposition(|four| four == b"\r\n\r\n");
    heard[end.map_or(0, |at| at + 4)..].contains(&b'\n')
}

/// An URL that cannot be gone to.
pub(crate) fn of_url(error: &Error, text: &str) -> Failure {
    let is_scheme = |text: &String| {
        !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
    };
    let scheme = text.split_once(':').map(|(scheme, _)| scheme.to_ascii_lowercase()).filter(is_scheme);
    match scheme.as_deref() {
        None | Some("http" | "https") => Failure::new(Code::Url, error.to_string()),
        Some(scheme) => Failure::new(Code::UnsupportedProtocol, format!("protocol \"{scheme}\" is not supported")),
    }
}

#[cfg(test)]
mod tests {
    use windlass::http::Limits;
    use windlass::http::body::Decoder;
    use windlass::http::head::{Asked, ResponseHead};

    use super::*;

    /// What curl would say of a reply, by the parsers' own words.
    fn judged(reply: &[u8]) -> Option<u8> {
        let limits = Limits::default();
        let mut head = ResponseHead::new();
        let framed = head.parse(reply, &limits).and_then(|len| Ok((len, head.framing(Asked::Body)?)));
        let (len, framing) = match framed {
            Ok((len, framing)) => (len.expect("a whole head"), framing),
            Err(error) => return Some(of_client(&error, Awaited::Head).code as u8),
        };
        let decoded = Decoder::new(framing, &limits).and_then(|mut decoder| {
            decoder.decode(&reply[len..])?;
            decoder.finish_at_eof()
        });
        decoded.err().map(|error| of_client(&error, Awaited::Body).code as u8)
    }

    #[test]
    fn a_malformed_reply_has_the_code_that_curl_has_for_it() {
        for (reply, code) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", None),
            ("SSH-2.0-OpenSSH\r\n", Some(1)),
            ("HTTP/1.1 20 OK\r\n\r\n", Some(1)),
            ("HTTP/1.1 200 OK\r\nno colon\r\n\r\n", Some(8)),
            ("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", Some(8)),
            ("HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", Some(8)),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: foo\r\n\r\n", Some(61)),
            ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nhi", Some(18)),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n", Some(18)),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\nhi\r\n", Some(56)),
        ] {
            assert_eq!(judged(reply.as_bytes()), code, "{reply:?}");
        }
    }

    #[test]
    fn an_interim_head_is_no_status_line() {
        let told = ["", "HTTP/1.1 20", "HTTP/1.1 100 C\r\n\r\nHTTP", "HTTP/1.1 200 OK\r\nA"];
        assert_eq!(told.map(|heard| has_status_line(heard.as_bytes())), [false, false, false, true]);
    }

    #[test]
    fn each_kind_has_a_code() {
        for (kind, head, body) in [
            (ErrorKind::Resolve, 6, 6),
            (ErrorKind::Connect, 7, 7),
            (ErrorKind::Tls, 35, 35),
            (ErrorKind::TimeoutTotal, 28, 28),
            (ErrorKind::TimeoutRead, 28, 28),
            (ErrorKind::Reset, 56, 56),
            (ErrorKind::Truncated, 52, 18),
            (ErrorKind::TooLarge, 100, 56),
            (ErrorKind::Other, 43, 56),
        ] {
            let error = Error::new(kind, "x");
            let codes = [Awaited::Head, Awaited::Body].map(|awaited| of_client(&error, awaited).code as u8);
            assert_eq!(codes, [head, body], "{}", kind.name());
        }
    }
}
