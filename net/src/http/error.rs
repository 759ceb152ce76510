//! What went wrong, in one word for programs and in one line for people.
//!
//! ```text
//!   Error ──► Box ──┬── kind     what a program decides by: ErrorKind::Connect
//!   (8 bytes)       ├── doing    what was asked for:        "get http://127.0.0.1:81/"
//!                   ├── what     what we were at:           "connect"
//!                   ├── source   what the system said:      "connection refused"
//!                   └── heard    what the peer had said:    "HTTP/1.1 200 OK\r\nno colon"
//! ```
//!
//! The struct is one pointer wide, so that a `Result` of a chunk or a head costs no more than its value on the way that
//! is taken a million times. The kinds are a contract: their names appear in the output of programs.
//!
//! Not here: which failure gets which kind; that is said where it happens. Next: `url`.

use std::borrow::Cow;
use std::{error, fmt, io};

/// A failed exchange: its [`kind`](Error::kind), and in [`Display`](fmt::Display) what was asked for, what we were doing
/// and why it failed.
///
/// The text is lower case, has no full stop and never contains user information of a URL. It ends with the text of the
/// [`source`](error::Error::source), which therefore needs no printing of its own.
///
/// ```
/// # use windlass_net::windlass;
/// use windlass::http::{ErrorKind, Url};
/// let error = Url::parse("http://user:secret@example.com/").unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::Other);
/// assert_eq!(error.to_string(), "url: user information is refused");
/// assert_eq!(size_of_val(&error), size_of::<usize>());
/// ```
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    doing: Option<Box<str>>,
    what: Cow<'static, str>,
    source: Option<Source>,
    heard: Vec<u8>,
}

enum Source {
    Io(io::Error),
    Other(Box<dyn error::Error + Send + Sync>),
}

impl Error {
    /// An error of `kind`; `what` says what we were doing and, if there is no source, why it failed.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// use windlass::http::{Error, ErrorKind};
    /// let error = Error::new(ErrorKind::Truncated, "body: connection closed 5 bytes early");
    /// assert_eq!(error.to_string(), "body: connection closed 5 bytes early");
    /// ```
    #[cold]
    pub fn new(kind: ErrorKind, what: impl Into<Cow<'static, str>>) -> Error {
        Error(Box::new(Inner { kind, doing: None, what: what.into(), source: None, heard: Vec::new() }))
    }

    /// An error of `kind` that the system reported while we were at `what`.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// use std::io;
    /// use windlass::http::{Error, ErrorKind};
    /// let refused = io::Error::from_raw_os_error(111); // ECONNREFUSED on Linux
    /// let error = Error::io(ErrorKind::Connect, "connect", refused).during("get http://127.0.0.1:81/");
    /// # #[cfg(target_os = "linux")]
    /// assert_eq!(error.to_string(), "get http://127.0.0.1:81/: connect: connection refused");
    /// ```
    #[cold]
    pub fn io(kind: ErrorKind, what: impl Into<Cow<'static, str>>, source: io::Error) -> Error {
        let source = Some(Source::Io(source));
        Error(Box::new(Inner { kind, doing: None, what: what.into(), source, heard: Vec::new() }))
    }

    /// The same error with its cause.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// use std::error::Error as _;
    /// use windlass::http::{Error, ErrorKind};
    /// let cause = "x".parse::<u16>().unwrap_err();
    /// let error = Error::new(ErrorKind::Resolve, "resolve").with_source(cause);
    /// assert_eq!(error.to_string(), "resolve: invalid digit found in string");
    /// assert!(error.source().is_some());
    /// ```
    #[must_use]
    #[cold]
    pub fn with_source(mut self, source: impl Into<Box<dyn error::Error + Send + Sync>>) -> Error {
        self.0.source = Some(Source::Other(source.into()));
        self
    }

    /// The same error with what was asked for in front: `get http://127.0.0.1/`. The innermost caller's text stays.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// use windlass::http::{Error, ErrorKind};
    /// let error = Error::new(ErrorKind::TimeoutTotal, "no complete reply within 1s");
    /// let error = error.during("get http://127.0.0.1/").during("crawl");
    /// assert_eq!(error.to_string(), "get http://127.0.0.1/: no complete reply within 1s");
    /// ```
    #[must_use]
    #[cold]
    pub fn during(mut self, doing: impl Into<Box<str>>) -> Error {
        self.0.doing.get_or_insert_with(|| doing.into());
        self
    }

    /// What a program decides by.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// use windlass::http::{Error, ErrorKind};
    /// assert_eq!(Error::new(ErrorKind::Reset, "read").kind(), ErrorKind::Reset);
    /// ```
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// What the peer had said when a request failed that was waiting for the head of its answer, byte for byte: a head that
    /// was refused, or as much of one as had come, interim heads before it, and what came in the same breath. Nothing if
    /// it had not said a word, or if it failed later or elsewhere.
    ///
    /// ```
    /// # windlass_net::doc_http(async |client, url| {
    /// use windlass_net::http::Limits;
    /// let mut limits = Limits::default();
    /// limits.status_line_max = 4;
    /// let error = client.get(url).limits(limits).send().await.unwrap_err();
    /// assert!(error.heard().starts_with(b"HTTP/1.1 200 OK\r\n"));
    /// # Ok(()) });
    /// ```
    pub fn heard(&self) -> &[u8] {
        &self.0.heard
    }

    /// The same error with what the peer had said.
    pub(super) fn having_heard(mut self, heard: Vec<u8>) -> Error {
        self.0.heard = heard;
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(doing) = &self.0.doing {
            write!(f, "{doing}: ")?;
        }
        f.write_str(&self.0.what)?;
        match &self.0.source {
            None => Ok(()),
            Some(Source::Io(e)) => write!(f, ": {}", io_text(e)),
            Some(Source::Other(e)) => write!(f, ": {e}"),
        }
    }
}

/// "connection refused" where the system says "Connection refused (os error 111)"; its own words where std has none.
fn io_text(e: &io::Error) -> String {
    let kind = e.kind().to_string();
    if e.raw_os_error().is_some() && kind != "uncategorized error" { kind } else { e.to_string() }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error").field("kind", &self.0.kind).field("text", &self.to_string()).finish()
    }
}

impl error::Error for Error {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self.0.source.as_ref()? {
            Source::Io(e) => Some(e),
            Source::Other(e) => Some(&**e),
        }
    }
}

/// Why an exchange failed, for programs to decide by; [`name`](ErrorKind::name) is what they print.
///
/// More kinds may come, so a `match` needs a wildcard; the names that exist do not change.
///
/// ```
/// # use windlass_net::windlass;
/// use windlass::http::ErrorKind;
/// assert_eq!(ErrorKind::TimeoutTotal.name(), "timeout_total");
/// assert_eq!(ErrorKind::ALL.len(), 15);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The host name has no address, or the resolver failed.
    Resolve,
    /// No connection: refused, unreachable, or no descriptor left.
    Connect,
    /// The TLS handshake failed, or what came later is not what the peer sealed. If the certificate was refused, the
    /// source is a `CertificateError`.
    Tls,
    /// The resolver did not answer in time.
    TimeoutResolve,
    /// The connection was not made in time.
    TimeoutConnect,
    /// The peer was silent for too long.
    TimeoutRead,
    /// The exchange as a whole took too long.
    TimeoutTotal,
    /// The peer broke the connection off.
    Reset,
    /// The connection ended before the message did.
    Truncated,
    /// The peer's bytes are not HTTP/1.1, or can be read in two ways.
    Protocol,
    /// The message is longer than a limit allows.
    TooLarge,
    /// A redirect that cannot be followed: too many, a loop, or a bad target.
    Redirect,
    /// The status says failure, and the caller asked to treat that as an error.
    Status,
    /// The caller gave up.
    Cancelled,
    /// Anything else; first of all a request that was refused before a byte was sent.
    Other,
}

impl ErrorKind {
    /// Every kind, in the order in which programs print them.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// use windlass::http::ErrorKind;
    /// assert_eq!(ErrorKind::ALL[0], ErrorKind::Resolve);
    /// ```
    pub const ALL: [ErrorKind; 15] = [
        ErrorKind::Resolve,
        ErrorKind::Connect,
        ErrorKind::Tls,
        ErrorKind::TimeoutResolve,
        ErrorKind::TimeoutConnect,
        ErrorKind::TimeoutRead,
        ErrorKind::TimeoutTotal,
        ErrorKind::Reset,
        ErrorKind::Truncated,
        ErrorKind::Protocol,
        ErrorKind::TooLarge,
        ErrorKind::Redirect,
        ErrorKind::Status,
        ErrorKind::Cancelled,
        ErrorKind::Other,
    ];

    /// The name under which programs report this kind, in lower case with underscores.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// use windlass::http::ErrorKind;
    /// assert_eq!(ErrorKind::TooLarge.name(), "too_large");
    /// ```
    pub fn name(self) -> &'static str {
        match self {
            ErrorKind::Resolve => "resolve",
            ErrorKind::Connect => "connect",
            ErrorKind::Tls => "tls",
            ErrorKind::TimeoutResolve => "timeout_resolve",
            ErrorKind::TimeoutConnect => "timeout_connect",
            ErrorKind::TimeoutRead => "timeout_read",
            ErrorKind::TimeoutTotal => "timeout_total",
            ErrorKind::Reset => "reset",
            ErrorKind::Truncated => "truncated",
            ErrorKind::Protocol => "protocol",
            ErrorKind::TooLarge => "too_large",
            ErrorKind::Redirect => "redirect",
            ErrorKind::Status => "status",
            ErrorKind::Cancelled => "cancelled",
            ErrorKind::Other => "other",
        }
    }
}

/// Its name.
impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::error::Error as _;

    #[test]
    fn the_names_are_the_contract_in_its_order() {
        let names: Vec<_> = ErrorKind::ALL.iter().map(|kind| kind.name()).collect();
        assert_eq!(
            names.join(" "),
            "resolve connect tls timeout_resolve timeout_connect timeout_read timeout_total reset truncated protocol \
             too_large redirect status cancelled other"
        );
    }

    #[test]
    fn all_lists_every_kind_at_its_own_place() {
        for (place, kind) in ErrorKind::ALL.iter().enumerate() {
            assert_eq!(*kind as usize, place);
        }
    }

    #[test]
    fn an_error_is_one_pointer_and_so_is_an_empty_result() {
        assert_eq!(size_of::<Error>(), size_of::<usize>());
        assert_eq!(size_of::<Result<(), Error>>(), size_of::<usize>());
    }

    #[test]
    fn an_error_may_leave_the_thread() {
        fn assert_send_sync<T: Send + Sync + 'static>() {}
        assert_send_sync::<Error>();
    }

    #[test]
    fn the_text_says_what_was_asked_then_what_we_did_then_why() {
        let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
        let error = Error::io(ErrorKind::Connect, "connect", refused).during("get http://127.0.0.1:81/");
        assert_eq!(error.to_string(), "get http://127.0.0.1:81/: connect: connection refused");
    }

    #[test]
    fn a_system_error_that_std_cannot_name_keeps_the_systems_words() {
        let raw = io::Error::from_raw_os_error(71); // EPROTO, which has no io::ErrorKind
        let words = raw.to_string();
        assert_eq!(Error::io(ErrorKind::Other, "read", raw).to_string(), format!("read: {words}"));
    }

    #[test]
    fn the_source_is_there_to_be_asked() {
        let error = Error::io(ErrorKind::Reset, "read", io::ErrorKind::ConnectionReset.into());
        let source = error.source().unwrap().downcast_ref::<io::Error>().unwrap();
        assert_eq!(source.kind(), io::ErrorKind::ConnectionReset);
        assert!(Error::new(ErrorKind::Other, "x").source().is_none());
    }
}
