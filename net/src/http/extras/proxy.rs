//! Somebody in between, whom the client asks to pass things on.
//!
//! ```text
//!   http://a.example/b    GET http://a.example/b ──────────────► proxy ──► a.example
//!   https://a.example/b   CONNECT a.example:443 ──► proxy: 200
//!                         TLS with a.example ══════ bytes ═════════════► a.example
//! ```
//!
//! A proxy reads what is plain, and passes on what is sealed without reading it. Its credentials go to it alone: with each
//! plain request, and with a CONNECT, whose tunnel they do not enter. They stand in no error and in no `Debug`.
//!
//! None is used unless the program asks for it. Variables of the environment count only if the program reads them
//! ([`Proxy::from_env`]), and never in a CGI program: there a client's header becomes a variable (CVE-2016-5386).
//!
//! A client's proxy is its own, as its pool is: which way a host is reached never changes, so connections that go different ways
//! cannot be mixed up. The proxy resolves the names; what the client thinks of addresses holds for the proxy's only.
//!
//! Not here: proxies to which one speaks TLS or SOCKS, which are refused.   Next: `dial`, which goes through them.

use std::fmt;
use std::future::poll_fn;
use std::net::IpAddr;
use std::sync::Arc;

use base64::prelude::{BASE64_STANDARD, Engine};

use crate::http::client::dial::{self, Dialing};
use crate::http::client::timeouts::At;
use crate::http::read::poll_read;
use crate::http::wire::head::ResponseHead;
use crate::http::{ClientBuilder, Error, ErrorKind, Limits, Url};
use crate::net::TcpStream;

/// Through whom a client reaches which hosts.
///
/// ```
/// # use windlass_net::windlass;
/// use windlass::http::{Client, Proxy};
/// let proxy = Proxy::http("http://user:secret@127.0.0.1:3128")?.except("localhost, example.com, 10.0.0.0/8");
/// assert!(!format!("{proxy:?}").contains("secret"));
/// let client = Client::builder().proxy(proxy).build();
/// # drop(client);
/// # Ok::<(), windlass_net::http::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Proxy {
    http: Option<Arc<Via>>,
    https: Option<Arc<Via>>,
    except: Vec<Exception>,
}

impl Proxy {
    /// The HTTP proxy at `url`, for all hosts. User and password in it, percent-encoded where need be, become Basic
    /// credentials (RFC 7617); without a port it is 80.
    ///
    /// # Errors
    /// Of kind [`Other`](ErrorKind::Other), if it is no `http` URL of a host; the text repeats nothing of it.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// use windlass::http::Proxy;
    /// assert!(Proxy::http("http://127.0.0.1:3128").is_ok());
    /// let refused = Proxy::http("socks5://user:secret@127.0.0.1").unwrap_err();
    /// assert_eq!(refused.to_string(), "proxy: only http:// proxies are supported");
    /// ```
    pub fn http(url: &str) -> Result<Proxy, Error> {
        let via = Some(Arc::new(Via::parse(url)?));
        Ok(Proxy { http: via.clone(), https: via, except: Vec::new() })
    }

    /// What the environment says, as curl reads it: `http_proxy`; `https_proxy` or `HTTPS_PROXY`; `all_proxy` or
    /// `ALL_PROXY` for both; `no_proxy` or `NO_PROXY` as in [`except`](Proxy::except). None in a CGI program
    /// (`REQUEST_METHOD` is set), and none if no proxy is named.
    ///
    /// # Errors
    /// As [`http`](Proxy::http), for a proxy that is named without being one.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// use windlass::http::{Client, Proxy};
    /// let mut client = Client::builder();
    /// if let Ok(Some(proxy)) = Proxy::from_env() {
    ///     client = client.proxy(proxy);
    /// }
    /// # drop(client);
    /// ```
    pub fn from_env() -> Result<Option<Proxy>, Error> {
        Proxy::from_variables(|name| std::env::var(name).ok())
    }

    fn from_variables(variable: impl Fn(&str) -> Option<String>) -> Result<Option<Proxy>, Error> {
        if variable("REQUEST_METHOD").is_some() {
            return Ok(None);
        }
        let first = |names: &[&str]| names.iter().filter_map(|name| variable(name)).find(|value| !value.is_empty());
        let via = |names: &[&str]| first(names).map(|value| Via::parse(&value).map(Arc::new)).transpose();
        // Not HTTP_PROXY: wherever variables are made of headers, `Proxy: ...` becomes that.
        let http = via(&["http_proxy", "all_proxy", "ALL_PROXY"])?;
        let https = via(&["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"])?;
        if http.is_none() && https.is_none() {
            return Ok(None);
        }
        let direct = first(&["no_proxy", "NO_PROXY"]).unwrap_or_default();
        Ok(Some(Proxy { http, https, except: Vec::new() }.except(&direct)))
    }

    /// The same, but hosts in `list` are reached without it: names, each with all names below it, addresses, or blocks of
    /// them (`10.0.0.0/8`), each with a port if it is for that alone; `*` is all. Commas or spaces separate.
    ///
    /// `ample.com` is no part of `example.com`. A name is not looked up to find out whether its address is in the list.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// let proxy = windlass::http::Proxy::http("http://127.0.0.1:3128")?.except("localhost, example.com, 10.0.0.0/8");
    /// # drop(proxy);
    /// # Ok::<(), windlass_net::http::Error>(())
    /// ```
    pub fn except(mut self, list: &str) -> Proxy {
        let entries = list.split([',', ' ']).filter(|entry| !entry.is_empty());
        self.except.extend(entries.filter_map(Exception::parse));
        self
    }

    /// Whom to ask for `url`; none if it is reached directly.
    pub(crate) fn via(&self, url: &Url) -> Option<&Arc<Via>> {
        let via = if url.scheme() == "https" { &self.https } else { &self.http };
        via.as_ref().filter(|_| !self.except.iter().any(|entry| entry.covers(url)))
    }
}

/// With the feature `proxy`.
impl ClientBuilder {
    /// Through whom it reaches which hosts; without this it reaches all of them itself, whatever the environment says.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// use windlass::http::{Client, Proxy};
    /// let client = Client::builder().proxy(Proxy::http("http://127.0.0.1:3128")?).build();
    /// # drop(client);
    /// # Ok::<(), windlass_net::http::Error>(())
    /// ```
    pub fn proxy(mut self, proxy: Proxy) -> Self {
        self.dialing.proxy = Some(proxy);
        self
    }
}

/// Connects to the host of `url`, or to the proxy for it; that reaches the host if the URL is of `https`.
pub(crate) async fn reach(url: &Url, dialing: &Dialing, at: &At) -> Result<TcpStream, Error> {
    let Some(via) = dialing.proxy.as_ref().and_then(|proxy| proxy.via(url)) else {
        return dial::reach(url.host(), url.port(), dialing, at).await;
    };
    let stream = dial::reach(via.url.host(), via.url.port(), dialing, at).await.map_err(|error| via.failed(error))?;
    // Boxed: it is rarer than a plain connection, and larger.
    if url.scheme() == "https" { Box::pin(via.tunnel(stream, url)).await } else { Ok(stream) }
}

/// The proxy that is asked for `url`, if it reads what it passes on. Not inlined, as a client without a proxy is not to grow.
#[inline(never)]
pub(crate) fn reader(url: &Url, dialing: &Dialing) -> Option<Arc<Via>> {
    dialing.proxy.as_ref()?.via(url).filter(|_| url.scheme() == "http").cloned()
}

/// One proxy: where it is, and what it wants to be told.
pub(crate) struct Via {
    url: Url,
    /// The value of `Proxy-Authorization`. Letters, digits and `+/=`: nothing that could end its line.
    authorization: Option<Box<str>>,
}

impl Via {
    fn parse(text: &str) -> Result<Via, Error> {
        let refuse = |why: &'static str| Error::new(ErrorKind::Other, format!("proxy: {why}"));
        let (scheme, rest) = text.split_once("://").unwrap_or(("http", text));
        if !scheme.eq_ignore_ascii_case("http") {
            return Err(refuse("only http:// proxies are supported"));
        }
        let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        if !matches!(path, "" | "/") {
            return Err(refuse("a proxy's URL has no path"));
        }
        let (user, host) = authority.rsplit_once('@').map_or((None, authority), |(user, host)| (Some(user), host));
        let url = Url::parse(&format!("http://{host}/"));
        let url = url.map_err(|why| Error::new(ErrorKind::Other, "proxy").with_source(why))?;
        let Some(user) = user else { return Ok(Via { url, authorization: None }) };
        let (user, password) = user.split_once(':').unwrap_or((user, ""));
        let (user, password) = percent_decoded(user)
            .zip(percent_decoded(password))
            .ok_or_else(|| refuse("a % in its user or password is not followed by two hexadecimal digits"))?;
        if user.contains(&b':') {
            return Err(refuse("a user has no colon (RFC 7617 2)"));
        }
        let credentials = BASE64_STANDARD.encode([&user[..], b":", &password].concat());
        Ok(Via { url, authorization: Some(format!("Basic {credentials}").into()) })
    }

    /// Makes of a request for `url` whose head is all that `request` holds one for this proxy (RFC 9112 3.2.2): its target
    /// becomes the whole URL, and the proxy is told who asks.
    #[inline(never)]
    pub(crate) fn address(&self, request: &mut Vec<u8>, method: &str, url: &Url) {
        let target_at = method.len() + 1;
        request.splice(target_at..target_at, url.origin().bytes());
        if let Some(line) = self.authorization_line() {
            request.truncate(request.len() - "\r\n".len());
            request.extend_from_slice(line.as_bytes());
            request.extend_from_slice(b"\r\n");
        }
    }

    /// The same kind of error, and who failed.
    fn failed(&self, error: Error) -> Error {
        Error::new(error.kind(), self.to_string()).with_source(error)
    }

    fn authorization_line(&self) -> Option<String> {
        Some(format!("Proxy-Authorization: {}\r\n", self.authorization.as_ref()?))
    }

    /// Has the proxy at the other end of `stream` pass on bytes to the host of `url` and back (RFC 9110 9.3.6).
    ///
    /// # Errors
    /// Of kind [`Connect`](ErrorKind::Connect), if it answers anything but 2xx or ends the connection; as a head's, if its
    /// answer is malformed or too long; of kind [`Protocol`](ErrorKind::Protocol), if more comes than its answer: nobody
    /// has been spoken to who could have sent it.
    async fn tunnel(&self, mut stream: TcpStream, url: &Url) -> Result<TcpStream, Error> {
        let limits = &Limits::default();
        let failed = |why: &dyn fmt::Display| Error::new(ErrorKind::Connect, format!("{self}: {why}"));
        let host = url.host();
        let authority =
            if host.contains(':') { format!("[{host}]:{}", url.port()) } else { format!("{host}:{}", url.port()) };
        let authorization = self.authorization_line().unwrap_or_default();
        let request = format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n{authorization}\r\n");
        let io_failed = |error| Error::io(ErrorKind::Connect, self.to_string(), error);
        stream.write_all(request.as_bytes()).await.map_err(io_failed)?;
        let (mut head, mut bytes) = (ResponseHead::new(), Vec::new());
        loop {
            let parsed = head.parse(&bytes, limits).map_err(|error| self.failed(error))?;
            match parsed {
                Some(len) if head.is_interim() => {
                    head.begin_next(limits).map_err(|error| self.failed(error))?;
                    bytes.drain(..len);
                }
                Some(_) if head.status() == 407 => {
                    return Err(failed(&"it wants other credentials (it answers CONNECT with 407)"));
                }
                Some(_) if head.status() / 100 != 2 => {
                    return Err(failed(&format!("it answers CONNECT with {}", head.status())));
                }
                Some(len) if len < bytes.len() => {
                    let why = format!("{self}: more came than its answer to CONNECT");
                    return Err(Error::new(ErrorKind::Protocol, why));
                }
                Some(_) => return Ok(stream),
                None => {
                    if poll_fn(|cx| poll_read(&stream, cx, &mut bytes)).await.map_err(io_failed)? == 0 {
                        return Err(failed(&"it ended the connection before it answered CONNECT"));
                    }
                }
            }
        }
    }
}

impl fmt::Display for Via {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "proxy {}", self.url.host_header())
    }
}

impl fmt::Debug for Via {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Via").field("url", &self.url).finish_non_exhaustive()
    }
}

/// Hosts that are reached without a proxy.
#[derive(Clone, Debug)]
struct Exception {
    host: Host,
    port: Option<u16>,
}

#[derive(Clone, Debug)]
enum Host {
    All,
    /// A name and what is below it: lower case, no dot at either end.
    Name(Box<str>),
    /// A block of addresses, by its first so many bits.
    Block(IpAddr, u8),
}

impl Exception {
    /// None if it can match nothing.
    fn parse(entry: &str) -> Option<Exception> {
        if entry == "*" {
            return Some(Exception { host: Host::All, port: None });
        }
        let block = |text: &str| {
            let (ip, bits) = text.split_once('/').map_or((text, None), |(ip, bits)| (ip, Some(bits)));
            let ip: IpAddr = ip.trim_start_matches('[').trim_end_matches(']').parse().ok()?;
            let most = if ip.is_ipv4() { 32 } else { 128 };
            let bits = bits.map_or(Some(most), |bits| bits.parse().ok().filter(|bits| *bits <= most))?;
            Some(Host::Block(ip, bits))
        };
        if let Some(host) = block(entry) {
            return Some(Exception { host, port: None });
        }
        let (host, port) = match entry.rsplit_once(':') {
            Some((host, port)) => (host, Some(port.parse().ok()?)),
            None => (entry, None),
        };
        let name = host.trim_start_matches("*.").trim_matches('.').to_ascii_lowercase();
        let host = block(host).or((!name.is_empty() && !host.contains('/')).then(|| Host::Name(name.into())))?;
        Some(Exception { host, port })
    }

    fn covers(&self, url: &Url) -> bool {
        let covers_host = match &self.host {
            Host::All => true,
            Host::Name(name) => url.ip().is_none() && is_below(url.host().trim_end_matches('.'), name),
            Host::Block(block, bits) => {
                url.ip().is_some_and(|ip| first_bits(ip.to_canonical(), *bits) == first_bits(*block, *bits))
            }
        };
        covers_host && self.port.is_none_or(|port| port == url.port())
    }
}

/// Whether `host` is `name` or a name below it, by whole labels.
fn is_below(host: &str, name: &str) -> bool {
    host.strip_suffix(name).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// The first bits of an address, and which kind it is: one kind is no part of the other.
fn first_bits(ip: IpAddr, bits: u8) -> (bool, u128) {
    let (is_v4, value, len) = match ip {
        IpAddr::V4(ip) => (true, ip.to_bits().into(), 32),
        IpAddr::V6(ip) => (false, ip.to_bits(), 128),
    };
    (is_v4, value.checked_shr(len - u32::from(bits).min(len)).unwrap_or(0))
}

/// The bytes that `text` stands for (RFC 3986 2.1); none if a `%` stands for nothing.
fn percent_decoded(text: &str) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let hex = |byte: Option<u8>| char::from(byte?).to_digit(16);
        match byte {
            b'%' => decoded.push((hex(rest.next())? * 16 + hex(rest.next())?) as u8),
            byte => decoded.push(byte),
        }
    }
    Some(decoded)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(variables: &[(&str, &str)]) -> Option<Proxy> {
        let find = |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| value.to_string());
        Proxy::from_variables(find).unwrap()
    }

    fn via_of(proxy: &Proxy, url: &str) -> Option<String> {
        proxy.via(&Url::parse(url).unwrap()).map(|via| via.url.host_header().to_owned())
    }

    fn is_direct(list: &str, url: &str) -> bool {
        via_of(&Proxy::http("http://p").unwrap().except(list), url).is_none()
    }

    #[test]
    fn an_exception_holds_for_a_name_and_whole_labels_below_it() {
        for url in ["http://example.com", "http://EXAMPLE.com.", "http://a.b.example.com:81"] {
            for list in ["example.com", ".example.com", "*.example.com", "x, Example.com.", "x example.com,", "*"] {
                assert!(is_direct(list, url), "{list}: {url}");
            }
            for list in ["ample.com", ".ample.com", "com.", "xample.com", "example.com:82", "a.example.com:81", "", ","]
            {
                assert_eq!(is_direct(list, url), list == "com.", "{list}: {url}");
            }
        }
        assert!(is_direct("example.com:81", "http://a.example.com:81/"));
        assert!(!is_direct("example.com:81", "http://a.example.com/"));
        assert!(!is_direct("b.example.com", "http://example.com"));
    }

    #[test]
    fn an_exception_for_addresses_holds_for_addresses_alone() {
        for (list, url) in [
            ("10.0.0.0/8", "http://10.255.0.1"),
            ("10.0.0.1", "http://10.0.0.1:81"),
            ("10.0.0.1:81", "http://10.0.0.1:81"),
            ("0.0.0.0/0", "http://10.0.0.1"),
            ("10.0.0.0/8", "http://[::ffff:10.0.0.1]"),
            ("fe80::/10", "http://[febf::1]"),
            ("::1", "http://[0:0::1]"),
            ("[::1]:81", "http://[::1]:81"),
            ("::/0", "http://[::1]"),
        ] {
            assert!(is_direct(list, url), "{list}: {url}");
        }
        for (list, url) in [
            ("10.0.0.0/8", "http://11.0.0.0"),
            ("10.0.0.0/33", "http://10.0.0.0"),
            ("10.0.0.0/x", "http://10.0.0.0"),
            ("0.0.0.0/0", "http://[::1]"),
            ("0.0.0.0/0", "http://a.example"),
            ("10.0.0.1", "http://10.0.0.1.example"),
            ("0.0.1", "http://10.0.0.1"),
            ("::/0", "http://1.2.3.4"),
            ("[::1]:82", "http://[::1]:81"),
        ] {
            assert!(!is_direct(list, url), "{list}: {url}");
        }
    }

    #[test]
    fn the_environment_names_a_proxy_for_each_scheme() {
        let proxy = from(&[("http_proxy", "a:1"), ("HTTPS_PROXY", "http://b:2/"), ("NO_PROXY", "ample.com")]).unwrap();
        assert_eq!(via_of(&proxy, "http://x.example").unwrap(), "a:1");
        assert_eq!(via_of(&proxy, "http://example.com").unwrap(), "a:1");
        assert_eq!(via_of(&proxy, "http://www.ample.com"), None);
        assert_eq!(proxy.https.as_ref().unwrap().url.host_header(), "b:2");
        let proxy = from(&[("ALL_PROXY", "c"), ("http_proxy", "")]).unwrap();
        assert_eq!(via_of(&proxy, "http://x.example").unwrap(), "c");
    }

    #[test]
    fn what_a_client_of_a_cgi_program_can_set_names_no_proxy() {
        assert!(from(&[("HTTP_PROXY", "http://evil")]).is_none());
        assert!(from(&[("http_proxy", "http://evil"), ("REQUEST_METHOD", "GET")]).is_none());
        assert!(from(&[]).is_none());
    }

    #[test]
    fn credentials_are_told_to_the_proxy_and_to_nobody_else() {
        let proxy = Proxy::http("http://us%65r:p%40ss%3Aw@p:3128").unwrap();
        let via = proxy.via(&Url::parse("http://a.example").unwrap()).unwrap();
        // printf 'user:p@ss:w' | base64
        assert_eq!(via.authorization_line().unwrap(), "Proxy-Authorization: Basic dXNlcjpwQHNzOnc=\r\n");
        for text in [format!("{proxy:?}"), format!("{via}"), format!("{via:?}")] {
            assert!(!text.contains("ss") && !text.contains("dXNl"), "{text}");
        }
        for text in [
            "http://u:hunter2@",
            "http://u:hunter2@a b",
            "http://u:hunter2@p:x",
            "http://u:hunter2%4@p",
            "http://u%3Ahunter2:@p",
            "https://u:hunter2@p",
            "http://u:hunter2@p/x",
            "http://u:hunter2/@p",
            "socks5://hunter2",
        ] {
            let error = Proxy::http(text).unwrap_err();
            assert!(error.kind() == ErrorKind::Other && !error.to_string().contains("hunter"), "{text}: {error}");
        }
    }

    #[test]
    fn a_request_through_a_proxy_names_the_whole_url() {
        let url = Url::parse("http://a.example:81/b?c").unwrap();
        for (proxy, line) in [("http://p", ""), ("http://u:p@p", "Proxy-Authorization: Basic dTpw\r\n")] {
            let mut request = b"GET /b?c HTTP/1.1\r\nHost: a.example:81\r\n\r\n".to_vec();
            Via::parse(proxy).unwrap().address(&mut request, "GET", &url);
            let expected = format!("GET http://a.example:81/b?c HTTP/1.1\r\nHost: a.example:81\r\n{line}\r\n");
            assert_eq!(String::from_utf8(request).unwrap(), expected);
        }
    }
}
