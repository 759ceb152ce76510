//! This library's client on its loop.
//!
//! ```text
//!     Request ──► Client ──► pool ──► Response ──► Answer
//! ```
//!
//! The limits are curl's: what it takes, we take, as far as the parsers let us (README).
//! Not here: redirects, cookies and codings, which the client could see to, but not as curl does (`transfer`).
//! Next: `on_tokio`.

use std::{cell::Cell, fs, pin::pin, time::Duration};

use windlass::{
    http::{
        Client, Error, Limits, Proxy, Response, Timeouts, Tls,
        head::{Asked, ResponseHead},
    },
    net::dns::Overrides,
    time::timeout,
};

use super::{Answer, End, Engine, Head, Took};
use crate::{
    asked::Request,
    failure::{self, Awaited, Code, Failure},
    flags::Flags,
};

/// CURL_MAX_HTTP_HEADER: a line of a head, and since 8.3 all of it.
const LINE_MAX: usize = 100 * 1024;
const HEAD_MAX: usize = 300 * 1024;

#[derive(Debug)]
pub(crate) struct OnWindlass {
    client: Client,
    /// Until there is a connection.
    connect_max: Option<Duration>,
    is_raw: bool,
}

impl OnWindlass {
    /// A client as the flags ask for it.
    ///
    /// # Errors
    /// An entry of `--resolve`, a file of certificates or a proxy that makes no sense.
    pub(crate) fn new(flags: &Flags) -> Result<Self, Failure> {
        let mut overrides = Overrides::new();
        for entry in &flags.resolve {
            let parsed = overrides.parse(entry);
            parsed.map_err(|error| Failure::new(Code::SetoptSyntax, format!("--resolve {entry}: {error}")))?;
        }
        let mut client = Client::builder().limits(curls_limits()).overrides(overrides);
        if let Some(tls) = trust(flags)? {
            client = client.tls(tls);
        }
        if let Some(proxy) = proxy(flags)? {
            client = client.proxy(proxy);
        }
        let connect_max = flags.connect_timeout.filter(|limit| !limit.is_zero());
        Ok(Self { client: client.build(), connect_max, is_raw: flags.raw })
    }
}

/// How much curl takes of everything.
fn curls_limits() -> Limits {
    let mut limits = Limits::default();
    limits.head_max = HEAD_MAX;
    (limits.status_line_max, limits.line_max) = (LINE_MAX, LINE_MAX);
    (limits.interim_max, limits.chunk_ext_max, limits.trailer_max) = (usize::MAX, usize::MAX, HEAD_MAX);
    (limits.fields_max, limits.trailer_lines_max) = (usize::MAX, usize::MAX); // as many as there can be
    limits.body_max = u64::MAX;
    limits
}

/// Whom to trust; none if nobody will be asked for a certificate.
fn trust(flags: &Flags) -> Result<Option<Tls>, Failure> {
    if !flags.location && !flags.urls.iter().any(|url| url.to_ascii_lowercase().starts_with("https:")) {
        return Ok(None);
    }
    if flags.insecure {
        return Ok(Some(Tls::accept_invalid_certs()));
    }
    if let Some(path) = &flags.cacert {
        let unusable = |why: &dyn std::fmt::Display| Failure::new(Code::CaFile, format!("{}: {why}", path.display()));
        let pem = fs::read(path).map_err(|error| unusable(&error))?;
        return Tls::roots_from_pem(&pem).map(Some).map_err(|error| unusable(&error));
    }
    // Without authorities of the machine's, those that came with this program.
    Ok(Some(Tls::system_roots().unwrap_or_default()))
}

fn proxy(flags: &Flags) -> Result<Option<Proxy>, Failure> {
    let proxy = match flags.proxy.as_deref() {
        Some("") => Ok(None),
        Some(url) => Proxy::http(&with_curls_port(url)).map(Some),
        None => Proxy::from_env(),
    };
    proxy.map_err(|error| Failure::new(Code::ResolveProxy, error.to_string()))
}

/// Where a proxy's URL names no port, curl goes to 1080.
fn with_curls_port(url: &str) -> String {
    let (start, rest) = url.split_at(url.find("://").map_or(0, |at| at + 3));
    let (authority, rest) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let has_port = host.rsplit_once(']').map_or(host, |(_, behind)| behind).contains(':');
    format!("{start}{authority}{}{rest}", if has_port { "" } else { ":1080" })
}

impl Engine for OnWindlass {
    type Answer = Heard;

    async fn send(&self, request: &Request<'_>, left: Option<Duration>) -> Result<Heard, Failure> {
        let mut timeouts = Timeouts::none();
        timeouts.total = left;
        let connected = Cell::new(false);
        let connects = || connected.set(true);
        let mut asked = self.client.request(request.method, request.url).on_connection(&connects);
        asked = asked.version(request.version).timeouts(timeouts).timed().without("User-Agent").without("Accept");
        asked = asked.as_spaced();
        if self.is_raw {
            asked = asked.raw();
        }
        for (name, value) in &request.headers {
            asked = asked.header(name, value.clone());
        }
        if let Some(body) = request.body {
            asked = asked.body(body);
        }
        let mut sent = pin!(asked.send());
        let in_time = match self.connect_max {
            Some(limit) => timeout(limit, sent.as_mut()).await.ok(),
            None => None,
        };
        let response = match in_time {
            Some(done) => done,
            None if connected.get() || self.connect_max.is_none() => sent.await,
            None => {
                let text = format!("{}: timed out: connecting", request.url);
                return Err(Failure::new(Code::TimedOut, text));
            }
        };
        let response = response.map_err(|error| {
            let head = heard(error.heard()).map(Box::new);
            Failure { head, ..failure::of_client(&error, Awaited::Head) }
        })?;
        let headers = response.headers().iter().map(|(name, value)| (name.to_vec(), value.to_vec())).collect();
        let head = Head {
            status: response.status(),
            version: response.version(),
            headers,
            bytes: [response.interim_bytes(), response.head_bytes()].concat(),
            remote: response.remote_addr(),
            local: response.local_addr(),
        };
        Ok(Heard { head, response })
    }

    fn opened(&self) -> u64 {
        self.client.stats().opened
    }
}

#[derive(Debug)]
pub(crate) struct Heard {
    head: Head,
    response: Response,
}

impl Answer for Heard {
    fn head(&self) -> &Head {
        &self.head
    }

    async fn chunk(&mut self) -> Result<Option<&[u8]>, Failure> {
        self.response.chunk().await.map_err(|error| failure::of_client(&error, Awaited::Body))
    }

    fn end(&self) -> End {
        let timings = self.response.timings().expect("it was asked to take the time");
        End {
            trailers: self.response.trailers().as_bytes().to_vec(),
            took: Took {
                name: timings.queue + timings.dns,
                connect: timings.connect,
                handshake: timings.tls,
                first_byte: timings.first_byte,
            },
        }
    }
}

/// As many lines of a head, interim heads before it, as can be the beginning of one: curl writes a line when it has come,
/// and finds fault with a length at once, but with a coding at the end.
fn heard(bytes: &[u8]) -> Option<Head> {
    let limits = curls_limits();
    let can_be = |error: Error| error.to_string().contains(" coding");
    let (mut begin, mut last) = (0, None);
    for (at, _) in bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n') {
        let is_whole = bytes[begin..=at].ends_with(b"\r\n\r\n");
        let tried = [&bytes[begin..=at], if is_whole { b"" } else { b"\r\n" }].concat();
        let mut head = ResponseHead::new();
        if !head.parse(&tried, &limits).is_ok_and(|len| len.is_some())
            || !head.framing(Asked::Body).map_or_else(can_be, |_| true)
        {
            break;
        }
        last = Some(Head {
            status: head.status(),
            version: head.version(),
            headers: head.fields(&tried).iter().map(|(name, value)| (name.to_vec(), value.to_vec())).collect(),
            bytes: bytes[..=at].to_vec(),
            remote: None,
            local: None,
        });
        match is_whole {
            true if head.is_interim() => begin = at + 1,
            true => break,
            false => {}
        }
    }
    last
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_heard_of_a_head_ends_before_its_first_fault() {
        let told =
            |bytes: &str| heard(bytes.as_bytes()).map(|head| (head.status, head.headers.len(), head.bytes.len()));
        assert_eq!(told("HTTP/1.1 20"), None);
        assert_eq!(told("SSH-2.0\r\n"), None);
        assert_eq!(told("HTTP/1.1 200 OK\r\nA: b\r\nno colon\r\nC: d\r\n\r\n"), Some((200, 1, 23)));
        assert_eq!(told("HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n"), Some((200, 0, 17)));
        assert_eq!(told("HTTP/1.1 200 OK\r\nTransfer-Encoding: x\r\n\r\nabc\n"), Some((200, 1, 41)));
        assert_eq!(told("HTTP/1.1 100 C\r\nA: b\r\n\r\nHTTP/1.1 2"), Some((100, 1, 24)));
        assert_eq!(told("HTTP/1.1 100 C\r\n\r\nHTTP/1.1 404 N\r\nA"), Some((404, 0, 34)));
    }

    #[test]
    fn a_proxy_without_a_port_is_at_1080() {
        for (given, understood) in [
            ("a", "a:1080"),
            ("http://a/", "http://a:1080/"),
            ("http://u:p@a", "http://u:p@a:1080"),
            ("http://u:p@a:3128", "http://u:p@a:3128"),
            ("http://[::1]", "http://[::1]:1080"),
            ("http://[::1]:1", "http://[::1]:1"),
        ] {
            assert_eq!(with_curls_port(given), understood);
        }
    }
}
