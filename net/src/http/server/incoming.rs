//! What is asked, as a handler sees it.
//!
//! ```text
//!   GET http://a.example/path?query HTTP/1.1        method, target
//!       └ scheme  └ host   └ path └ query           the parts of the target, wherever they stand
//!   Host: b.example                                 the host only if the target has none (RFC 9112 3.2.2)
//! ```
//!
//! It borrows all of it from the connection's buffer, where the request lies whole; a body that came in chunks has been
//! put together there.
//! Not here: percent-decoding, forms, cookies.   Next: `reply`.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};

use crate::http::Limits;
use crate::http::wire::head::Fields;
use crate::http::wire::request::RequestHead;

/// A request, whole.
///
/// ```
/// # use windlass_net::windlass;
/// use windlass::http::{Client, Incoming, Reply, Server, Url};
///
/// fn shop(request: &Incoming<'_>) -> Reply {
///     match (request.method(), request.path()) {
///         ("GET" | "HEAD", "/") => Reply::html(200, "<h1>Apples</h1>"),
///         ("POST", "/order") => Reply::text(201, format!("{} bytes ordered", request.body().len())),
///         (_, "/" | "/order") => Reply::status(405).header("Allow", "GET, HEAD, POST"),
///         _ => Reply::not_found(),
///     }
/// }
///
/// # windlass_reactor::doc_real(async {
/// let server = Server::bind("127.0.0.1:0".parse().unwrap())?;
/// let url = Url::parse(&format!("http://{}/order?today", server.local_addr()?)).unwrap();
/// windlass::spawn(server.run(shop));
/// let response = Client::new().request("POST", &url).body("two").send().await.unwrap();
/// assert_eq!(response.bytes().await.unwrap(), b"3 bytes ordered");
/// # std::io::Result::Ok(()) }).unwrap();
/// ```
pub struct Incoming<'a> {
    pub(super) head: &'a RequestHead,
    pub(super) bytes: &'a [u8],
    pub(super) body: &'a [u8],
    pub(super) peer: &'a SocketAddr,
}

impl Incoming<'_> {
    /// The method, a token; upper and lower case differ (RFC 9110 9.1).
    ///
    /// ```
    /// # windlass_net::http::Incoming::doc(|request| {
    /// // GET http://a.example/b%20c?d=e HTTP/1.1
    /// assert_eq!(request.method(), "GET");
    /// # });
    /// ```
    pub fn method(&self) -> &str {
        text(self.head.method(self.bytes))
    }

    /// What is asked for, as it came: a path and perhaps a query, an absolute URL, or `*`.
    ///
    /// ```
    /// # windlass_net::http::Incoming::doc(|request| {
    /// // GET http://a.example/b%20c?d=e HTTP/1.1
    /// assert_eq!(request.target(), "http://a.example/b%20c?d=e");
    /// # });
    /// ```
    pub fn target(&self) -> &str {
        text(self.head.target(self.bytes))
    }

    /// The target without host and query, not decoded: `/a%20b`; `*` of `OPTIONS *`.
    ///
    /// ```
    /// # windlass_net::http::Incoming::doc(|request| {
    /// // GET http://a.example/b%20c?d=e HTTP/1.1
    /// assert_eq!(request.path(), "/b%20c");
    /// # });
    /// ```
    pub fn path(&self) -> &str {
        let path = self.parts().1;
        match path.split_once('?').map_or(path, |(path, _)| path) {
            "" => "/", // of an absolute one without a path
            path => path,
        }
    }

    /// What follows the first `?` of the target, not decoded.
    ///
    /// ```
    /// # windlass_net::http::Incoming::doc(|request| {
    /// // GET http://a.example/b%20c?d=e HTTP/1.1
    /// assert_eq!(request.query(), Some("d=e"));
    /// # });
    /// ```
    pub fn query(&self) -> Option<&str> {
        self.parts().1.split_once('?').map(|(_, query)| query)
    }

    /// Which host is asked, perhaps with a port: that of an absolute target, else the Host header. Empty if HTTP/1.0 does
    /// not say. It is as it came, and need not be a host at all: compare it with those that you serve.
    ///
    /// ```
    /// # windlass_net::http::Incoming::doc(|request| {
    /// // GET http://a.example/b%20c?d=e HTTP/1.1
    /// assert_eq!(request.host(), "a.example"); // whatever the header says
    /// # });
    /// ```
    pub fn host(&self) -> &str {
        self.parts().0.unwrap_or_else(|| self.headers().get("host").map_or("", text))
    }

    /// The headers. Look one up with [`get`](Fields::get).
    ///
    /// ```
    /// # windlass_net::http::Incoming::doc(|request| {
    /// // GET http://a.example/b%20c?d=e HTTP/1.1
    /// assert_eq!(request.headers().get("HOST"), Some(&b"b.example"[..]));
    /// # });
    /// ```
    pub fn headers(&self) -> Fields<'_> {
        self.head.fields(self.bytes)
    }

    /// The body, no longer than [`Limits::body_max`](crate::http::Limits::body_max); empty if there is none.
    ///
    /// ```
    /// # windlass_net::http::Incoming::doc(|request| {
    /// // GET http://a.example/b%20c?d=e HTTP/1.1
    /// assert_eq!(request.body(), b"");
    /// # });
    /// ```
    pub fn body(&self) -> &[u8] {
        self.body
    }

    /// Who asks.
    ///
    /// ```
    /// # windlass_net::http::Incoming::doc(|request| {
    /// // GET http://a.example/b%20c?d=e HTTP/1.1
    /// assert!(request.peer_addr().ip().is_loopback());
    /// # });
    /// ```
    pub fn peer_addr(&self) -> SocketAddr {
        *self.peer
    }

    /// Shows a request to an example.
    #[doc(hidden)]
    pub fn doc(look: impl FnOnce(&Incoming<'_>)) {
        let (bytes, mut head) =
            (b"GET http://a.example/b%20c?d=e HTTP/1.1\r\nHost: b.example\r\n\r\n", RequestHead::new());
        head.parse(bytes, &Limits::default()).expect("it is well formed");
        look(&Incoming { head: &head, bytes, body: b"", peer: &(Ipv4Addr::LOCALHOST, 80).into() });
    }

    /// The host in an absolute target, and what follows it.
    fn parts(&self) -> (Option<&str>, &str) {
        let target = self.target();
        match target.split_at_checked("http://".len()) {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http://") => {
                let (host, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
                (Some(host), path)
            }
            _ => (None, target),
        }
    }
}

/// Methods and targets are ASCII, or the head would not have been taken.
fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap_or_default()
}

impl fmt::Debug for Incoming<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Incoming").field("method", &self.method()).field("target", &self.target()).finish()
    }
}
