//! HTTP/1.1: a small client's and a small server's half of RFC 9112, strict in what it accepts.
//!
//! ```text
//!   extras/   redirects, cookies, codings, retries, TLS, proxies      what a client can do beyond one exchange
//!   client/   pool, connection, exchange      server/ connections, replies      who sends and reads, and when
//!   wire/     url, request, head, line, body                          what the bytes mean, on both sides
//! ```
//!
//! What is in `wire` owns no socket, awaits nothing and reads no clock, so every rule can be tested by handing it a slice,
//! whole or cut anywhere:
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
//! # What is supported
//!
//! | | by the client | by the server | RFC |
//! |---|---|---|---|
//! | versions | says 1.1, or 1.0 if asked to ([`Request::version`]); hears both | answers both | 9112 2.3, 9110 2.5 |
//! | methods | every token but CONNECT | every token but CONNECT | 9110 9 |
//! | targets | a path with its query; a whole URL, to a proxy | as well, and `*` of OPTIONS | 9112 3.2 |
//! | bodies | by length or in chunks, both ways; up to the end of the connection, as answers | by length or in chunks, both ways | 9112 6, 7 |
//! | trailers | received, and kept apart from the headers; none is sent | received and counted; none is sent | 9110 6.5 |
//! | persistent connections | kept in a pool, one exchange at a time on each | kept; pipelined requests are answered in their order | 9112 9.3 |
//! | `Expect: 100-continue` | sent if asked for, and waited for a second at most | answered before the body is read | 9110 10.1.1 |
//! | interim replies | passed over, and shown ([`Response::interim_bytes`]) | `100` | 9110 15.2 |
//! | redirects | 301, 302, 303, 307, 308 ([`Redirects`]) | as the handler replies | 9110 15.4 |
//! | content codings | gzip, deflate, br, zstd | as the handler replies | 9110 8.4 |
//! | ranges, conditions | headers of the caller's; 206 and 304 are answers like others | as the handler replies | 9110 13, 14 |
//! | authentication | Basic ([`Request::basic_auth`]); anything else is a header of the caller's | as the handler replies | 7617 |
//! | cookies | a jar that knows public suffixes | as the handler replies | 6265 |
//! | `https` | TLS 1.2 and 1.3, `http/1.1` by ALPN | | 9110 4.2.2, 8446, 7301 |
//! | not at all | caching, `Upgrade`, tunnels of the caller's, HTTP/2 | likewise, and TLS | |
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
//! | user information and zone ids in a URL, IPv4 written as anything but four decimal numbers | passing it on; with the feature `url` the last is read as an address | 9110 4.2.4, 6874 |
//! | a redirect to user information, to another scheme than http and https, from https to http; Locations that differ or are empty | going there, taking one of them | 9110 15.4, 10.2.2 |
//! | two content codings; one that ends too early, goes on behind its end or blows up beyond its limits | a part of the body, or all of the memory | 9110 8.4 |
//! | a certificate that webpki does not vouch for, a protocol that was not offered, an end of a body that TLS does not vouch for (feature `tls`) | a warning; taking a cut for the end | 9110 4.3.4, 7301 3.2, 9112 9.8 |
//! | a proxy's answer to CONNECT with bytes behind it (feature `proxy`) | taking them for the host's | 9110 9.3.6 |
//! | CONNECT of the caller's, `Upgrade` | there is no tunnel to be had | |
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
//! # Off unless asked for
//!
//! | | asked for by | feature |
//! |---|---|---|
//! | redirects | [`ClientBuilder::redirects`], [`Request::redirects`] | |
//! | content codings: gzip, deflate, br, zstd | `ClientBuilder::decode` | `decode`, or each by its name |
//! | cookies | `ClientBuilder::cookies` | `cookies` |
//! | an HTTP proxy | `ClientBuilder::proxy` | `proxy` |
//! | https | a URL | `tls` |
//! | trying again | `ClientBuilder::retries`, `Request::retries` | `retry` |
//! | URLs as browsers read them, names in other scripts | | `url` |
//! | `Referer` | a header of the caller's; the client sends none | |
//! | passwords from files (`.netrc`), from URLs | `Url::parse_with_credentials` for URLs; no file is read | |
//!
//! Next: [`head`], where a reply begins; then [`body`], [`request`], and the URL. Then `client` and its files, or `server`.

mod client;
mod echo;
mod error;
mod extras;
mod read;
mod server;
mod wire;

pub use client::exchange::Request;
pub use client::response::Response;
pub use client::stats::{Closed, Stats};
pub use client::timeouts::Timeouts;
pub use client::{Client, ClientBuilder};
pub(crate) use echo::echo;
pub use error::{Error, ErrorKind};
#[cfg(feature = "cookies")]
pub use extras::cookies::CookieJar;
#[cfg(feature = "_decode")]
pub use extras::decode;
pub use extras::follow::{Follow, Redirect, Redirected, Redirects};
#[cfg(feature = "proxy")]
pub use extras::proxy::Proxy;
#[cfg(feature = "retry")]
pub use extras::retry::Retries;
pub use extras::timings::Timings;
#[cfg(feature = "tls")]
pub use extras::tls::{CertificateError, Tls};
pub use extras::upload::Body;
pub use server::{Chunk, Incoming, Reply, Server, ServerStats};
pub use wire::url::{Credentials, Url};
pub use wire::{body, head, request};

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
/// | [`body_max`](Limits::body_max) | 10 MiB | of body bytes after chunked is undone, and again after a content coding is; a page larger than that is no page |
/// | [`ratio_max`](Limits::ratio_max) | 100 | of what a content coding is undone to, beyond the first MiB: a page is far from it, a bomb far beyond |
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
    /// Bytes of body, counted after the transfer coding is undone; and, where a content coding is undone, after that.
    pub body_max: u64,
    /// How many times its size a coded body may become.
    pub ratio_max: u64,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            head_max: 64 * 1024,
            status_line_max: 8 * 1024,
            line_max: 16 * 1024,
            fields_max: wire::line::FIELDS_MAX,
            interim_max: 16,
            chunk_ext_max: 16 * 1024,
            trailer_max: 16 * 1024,
            trailer_lines_max: body::TRAILER_LINES_MAX,
            body_max: 10 * 1024 * 1024,
            ratio_max: 100,
        }
    }
}
