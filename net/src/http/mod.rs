//! HTTP/1.1: a small client's and a small server's half of RFC 9112, strict in what it accepts.
//!
//! Half of the files here know bytes and nothing else: `url`, `request`, `head`, `line`, `body`. They own no socket, await
//! nothing and read no clock, so every rule can be tested by handing it a slice, whole or cut anywhere:
//!
//! ```text
//!   Url ──► request::write_request ──► bytes out                       (what we say)
//!                                        │
//!   bytes in ──► head::ResponseHead::parse ──► framing, keep_alive     (what the peer says first)
//!                     │ 1xx: begin_next            │
//!                     └──── again                  ▼
//!   bytes in ─────────────────────► body::Decoder::decode ──► body bytes, trailers, finished
//! ```
//!
//! A whole exchange, without a network:
//!
//! ```
//! # use windlass_net::windlass;
//! use windlass::http::body::Decoder;
//! use windlass::http::head::{Asked, ResponseHead};
//! use windlass::http::request::{Content, NO_HEADERS, write_request};
//! use windlass::http::{Limits, Url};
//!
//! let url = Url::parse("http://example.com/hello")?;
//! let mut sent = Vec::new();
//! write_request(&mut sent, "GET", &url, NO_HEADERS, Content::None)?;
//! assert!(sent.starts_with(b"GET /hello HTTP/1.1\r\nHost: example.com\r\n"));
//!
//! let received = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
//! let limits = Limits::default();
//! let mut head = ResponseHead::new();
//! let head_len = head.parse(received, &limits)?.expect("the whole head has arrived");
//! let mut decoder = Decoder::new(head.framing(Asked::Body)?, &limits)?;
//! let step = decoder.decode(&received[head_len..])?;
//! assert_eq!((step.data, step.finished), (&b"hello"[..], true));
//! # Ok::<(), windlass_net::http::Error>(())
//! ```
//!
//! # What is refused, and why
//!
//! Where RFC 9112 lets a recipient choose between repairing and refusing, this one refuses: a message that two
//! parties can read in two ways is how one user is handed another's answer.
//!
//! | refused | instead of | RFC |
//! |---|---|---|
//! | a line that ends in LF alone, a CR without LF, NUL in a head | taking LF for CRLF, CR for SP | 9112 2.2, 9110 5.5 |
//! | a folded header line (obs-fold) | joining the lines with a SP: **a deliberate deviation**, 9112 5.2 asks a user agent to repair it; no current server sends it, and a folded Content-Length is an attack | 9112 5.2 |
//! | space between header name and colon, or before the first header | removing it | 9112 5.1, 2.2 |
//! | a status line that is not `HTTP/1.0` or `HTTP/1.1` and a code of 100 to 599 | HTTP/0.9, `ICY` | 9112 4 |
//! | Content-Length that is not one decimal number, or several that differ | taking one of them | 9112 6.3, 9110 8.6 |
//! | Transfer-Encoding together with Content-Length | letting Transfer-Encoding win | 9112 6.1, 6.3 |
//! | chunked that is not last or comes twice, an unknown transfer coding | reading to the end of the connection | 9112 6.1, 7 |
//! | a chunk size of more than 16 digits, with a sign, a prefix or LF alone | guessing | 9112 7.1 |
//! | `101` to a request that asked for no upgrade, more than 16 interim replies | waiting | 9110 15.2 |
//! | user information and zone ids in a URL, IPv4 written as anything but four decimal numbers | passing it on | 9110 4.2.4, 6874 |
//! | `https`, CONNECT, `Upgrade` | there is no TLS and no tunnel here | |
//!
//! Read with care, not refused: an identical Content-Length repeated is one Content-Length (9110 8.6); a status line may
//! end after the code (9112 4 asks the *server* for the space); spaces may follow a chunk size (they count as extension);
//! Transfer-Encoding in an HTTP/1.0 reply is decoded and the connection closed (9112 6.1); a transfer coding other than
//! chunked is delivered coded, since we never ask for one.
//!
//! # Limits
//!
//! Whatever the peer can make longer has a bound, and no buffer is sized by a number that the peer sent. See [`Limits`].
//!
//! On these stand `connection` (what is said over one), `pool` (who has which), `client` (an exchange, and its time-out)
//! and `server`.
//! Next: [`head`], where a reply begins; then [`body`], [`request`], and the URL.

pub mod body;
mod client;
mod connection;
mod dial;
mod error;
pub mod head;
mod line;
mod pool;
mod read;
pub mod request;
mod server;
mod timeouts;
mod transport;
mod url;

#[cfg(test)]
mod corpus;
#[cfg(test)]
mod corpus_test;

pub use client::{Client, ClientBuilder, Request, Response};
pub use error::{Error, ErrorKind};
pub use pool::{Closed, Stats};
pub use server::{Chunk, Incoming, Reply, Server, ServerStats};
pub use timeouts::Timeouts;
pub use url::Url;

/// How much of everything a peer may send.
///
/// Sizes are in bytes and count what is on the wire. Each bound holds for the sum of all reads, never for one read,
/// so it makes no difference how the bytes were cut on their way.
///
/// | limit | default | where the value comes from |
/// |---|---|---|
/// | [`head_max`](Limits::head_max) | 64 KiB | four times what large cookies need; curl allows 300 KiB |
/// | [`status_line_max`](Limits::status_line_max) | 8 KiB | 9110 4.1 asks for 8,000 bytes of URI; for requests this is the request line |
/// | [`line_max`](Limits::line_max) | 16 KiB | twice the 8 KiB at which common servers stop |
/// | [`fields_max`](Limits::fields_max) | 100 | as hyper; the most that can be set |
/// | [`interim_max`](Limits::interim_max) | 16 | 100, 102 and a few 103; their bytes count against `head_max` |
/// | [`chunk_ext_max`](Limits::chunk_ext_max) | 16 KiB | for a whole body: nobody uses chunk extensions |
/// | [`trailer_max`](Limits::trailer_max) | 16 KiB | one head line's worth |
/// | [`trailer_lines_max`](Limits::trailer_lines_max) | 64 | the most that can be set |
/// | [`body_max`](Limits::body_max) | 10 MiB | of body bytes after chunked is undone; a page larger than that is no page |
///
/// ```
/// # use windlass_net::windlass;
/// use windlass::http::Limits;
/// let mut limits = Limits::default();
/// limits.body_max = u64::MAX; // a download, not a page
/// assert_eq!(limits.head_max, 65_536);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Bytes of a head, from the first byte to the empty line, interim replies before it included.
    pub head_max: usize,
    /// Bytes of the status line or the request line, without its CRLF.
    pub status_line_max: usize,
    /// Bytes of one header line, without its CRLF.
    pub line_max: usize,
    /// Header lines in one head; values above 100 mean 100.
    pub fields_max: usize,
    /// Interim (1xx) replies before the final one.
    pub interim_max: usize,
    /// Bytes of chunk extensions in a whole body.
    pub chunk_ext_max: usize,
    /// Bytes of trailers, line ends included.
    pub trailer_max: usize,
    /// Trailer lines; values above 64 mean 64.
    pub trailer_lines_max: usize,
    /// Bytes of body, counted after the transfer coding is undone.
    pub body_max: u64,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            head_max: 64 * 1024,
            status_line_max: 8 * 1024,
            line_max: 16 * 1024,
            fields_max: line::FIELDS_MAX,
            interim_max: 16,
            chunk_ext_max: 16 * 1024,
            trailer_max: 16 * 1024,
            trailer_lines_max: body::TRAILER_LINES_MAX,
            body_max: 10 * 1024 * 1024,
        }
    }
}
