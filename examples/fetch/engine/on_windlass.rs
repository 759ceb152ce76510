//! This library's client on its loop.
//!
//! ```text
//!     Request ──► Client ──► pool ──► Response ──► Answer
//! ```
//!
//! The limits are curl's: what it takes, we take, as far as the parsers let us (README).
//! Not here: redirects, cookies and codings, which the client could see to, but not as curl does (`transfer`).
//! Next: `on_tokio`.

use std::{fs, time::Duration};

use windlass::{
    http::{Client, Limits, Proxy, Response, Timeouts, Tls},
    net::dns::Overrides,
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
    timeouts: Timeouts,
    is_raw: bool,
}

impl OnWindlass {
    /// A client as the flags ask for it.
    ///
    /// # Errors
    /// An entry of `--resolve`, a file of certificates or a proxy that makes no sense.
    pub(crate) fn new(flags: &Flags) -> Result<Self, Failure> {
        let connect = flags.connect_timeout.filter(|limit| !limit.is_zero());
        let mut timeouts = Timeouts::none();
        (timeouts.resolve, timeouts.connect) = (connect, connect);
        let mut overrides = Overrides::new();
        for entry in &flags.resolve {
            let parsed = overrides.parse(entry);
            parsed.map_err(|error| Failure::new(Code::SetoptSyntax, format!("--resolve {entry}: {error}")))?;
        }
        let mut client = Client::builder().timeouts(timeouts).limits(curls_limits()).overrides(overrides);
        if let Some(tls) = trust(flags)? {
            client = client.tls(tls);
        }
        if let Some(proxy) = proxy(flags)? {
            client = client.proxy(proxy);
        }
        Ok(Self { client: client.build(), timeouts, is_raw: flags.raw })
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
    if flags.insecure {
        return Ok(Some(Tls::accept_invalid_certs()));
    }
    if let Some(path) = &flags.cacert {
        let unusable = |why: &dyn std::fmt::Display| Failure::new(Code::CaFile, format!("{}: {why}", path.display()));
        let pem = fs::read(path).map_err(|error| unusable(&error))?;
        return Tls::roots_from_pem(&pem).map(Some).map_err(|error| unusable(&error));
    }
    let may_be_sealed = flags.location || flags.urls.iter().any(|url| url.to_ascii_lowercase().starts_with("https:"));
    // Without authorities of the machine's, those that came with this program.
    Ok(may_be_sealed.then(|| Tls::system_roots().unwrap_or_default()))
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
        let mut timeouts = self.timeouts;
        timeouts.total = left;
        let mut asked = self.client.request(request.method, request.url);
        asked = asked.version(request.version).timeouts(timeouts).timed().without("User-Agent").without("Accept");
        if self.is_raw {
            asked = asked.raw();
        }
        for (name, value) in &request.headers {
            asked = asked.header(name, value.clone());
        }
        if let Some(body) = request.body {
            asked = asked.body(body);
        }
        let response = asked.send().await.map_err(|error| failure::of_client(&error, Awaited::Head))?;
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

#[cfg(test)]
mod tests {
    use super::*;

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
