//! What goes out: method, headers, body, in the order in which curl sends them.
//!
//! ```text
//!     GET / HTTP/1.1
//!     Host                       the caller's or the URL's
//!     Authorization              -u, or of the URL             not to another origin
//!     User-Agent, Accept         -A; what the caller does not say otherwise
//!     Accept-Encoding, Referer, Cookie
//!     the caller's own           -H, in their order            Authorization and Cookie not to another origin
//!     Content-Length, Content-Type, Expect
//! ```
//!
//! The library writes the request line and Host; all the rest is said here, header by header, so that the order is ours.
//! What goes out is therefore known to the byte, for -v and for `%{size_request}`.
//! Not here: where it goes (`transfer`), who carries it (`engine`).   Next: `transfer`.

use base64::prelude::{BASE64_STANDARD, Engine as _};
use windlass::http::Url;
use windlass::http::head::Version;

use crate::{
    data,
    failure::{Code, Failure},
    flags::Flags,
};

const USER_AGENT: &str = concat!("windlass/", env!("CARGO_PKG_VERSION"));
/// curl's list, in its order.
const CODINGS: &str = "deflate, gzip, br, zstd";
const FORM: &str = "application/x-www-form-urlencoded";
/// A longer body waits for the server's leave: curl's figure.
const EXPECT_ABOVE: usize = 1024 * 1024;

/// A name and what is behind its colon: a space, mostly, and the value.
pub(crate) type Header = (String, Vec<u8>);

/// What the flags ask for, the same for every URL.
#[derive(Debug)]
pub(crate) struct Asked {
    method: Option<String>,
    is_head: bool,
    pub(crate) version: Version,
    user: Option<String>,
    user_agent: String,
    codings: Option<&'static str>,
    referer: Option<String>,
    cookie: Option<String>,
    proxy_connection: Option<&'static str>,
    own: Vec<Own>,
    pub(crate) body: Option<Vec<u8>>,
}

/// A header of the caller's.
#[derive(Debug, PartialEq, Eq)]
enum Own {
    Said(Header),
    LeftOut(String),
}

/// What is asked of whom, at one stop on the way to an answer.
#[derive(Debug)]
pub(crate) struct Hop<'a> {
    pub(crate) url: &'a Url,
    /// Whether it is the origin that the caller named, and its host.
    pub(crate) is_first_origin: bool,
    pub(crate) is_first_host: bool,
    /// `user:password` of its URL.
    pub(crate) user: Option<&'a str>,
    /// What a redirect has made of it.
    pub(crate) becomes_get: bool,
    pub(crate) kept_cookies: Option<String>,
}

/// One request.
#[derive(Debug)]
pub(crate) struct Request<'a> {
    pub(crate) method: &'a str,
    pub(crate) url: &'a Url,
    pub(crate) version: Version,
    pub(crate) headers: Vec<Header>,
    pub(crate) body: Option<&'a [u8]>,
}

impl Asked {
    /// Reads what files the flags name.
    ///
    /// # Errors
    /// A file that cannot be read; data, when only a head is asked for.
    pub(crate) fn new(flags: &Flags) -> Result<Self, Failure> {
        if flags.head && !flags.get && !flags.data.0.is_empty() {
            return Err(Failure::new(Code::Usage, "a head (-I) is asked for without data (-d)"));
        }
        let mut own = Vec::new();
        for line in &flags.header {
            match line.strip_prefix('@') {
                Some(path) => {
                    let text = String::from_utf8_lossy(&data::read(path)?).into_owned();
                    own.extend(text.lines().filter_map(parse_header));
                }
                None => own.extend(parse_header(line)),
            }
        }
        let cookies: Vec<_> = flags.cookie.iter().filter(|cookie| cookie.contains('=')).map(String::as_str).collect();
        let body = if flags.get { None } else { data::gather(flags)? };
        Ok(Self {
            method: flags.request.clone(),
            is_head: flags.head,
            version: if flags.http10 { Version::Http10 } else { Version::Http11 },
            user: flags.user.clone(),
            user_agent: flags.user_agent.clone().unwrap_or_else(|| USER_AGENT.to_owned()),
            codings: flags.compressed.then_some(CODINGS),
            referer: flags.referer.clone().filter(|referer| !referer.is_empty()),
            cookie: (!cookies.is_empty()).then(|| cookies.join(";")),
            proxy_connection: flags.proxy.as_ref().is_some_and(|proxy| !proxy.is_empty()).then_some("Keep-Alive"),
            own,
            body,
        })
    }

    /// The request of a hop.
    pub(crate) fn request<'a>(&'a self, hop: &Hop<'a>) -> Request<'a> {
        let body = self.body.as_deref().filter(|_| !hop.becomes_get);
        let by_itself = match body {
            Some(_) => "POST",
            None if self.is_head => "HEAD",
            None => "GET",
        };
        let method = self.method.as_deref().unwrap_or(by_itself);
        let mut headers = Vec::new();
        let mut add = |name: &str, value: Option<&[u8]>| {
            if let Some(value) = value.filter(|_| !self.names(name)) {
                headers.push((name.to_owned(), [b" ", value].concat()));
            }
        };
        let user = self.user.as_deref().filter(|_| hop.is_first_origin).or(hop.user);
        let authorization = user.map(basic);
        add("Authorization", authorization.as_deref().map(str::as_bytes));
        add("User-Agent", Some(self.user_agent.as_bytes()).filter(|name| !name.is_empty()));
        add("Accept", Some(b"*/*"));
        add("Accept-Encoding", self.codings.map(str::as_bytes));
        add("Referer", self.referer.as_deref().map(str::as_bytes));
        add("Proxy-Connection", self.proxy_connection.filter(|_| hop.url.scheme() == "http").map(str::as_bytes));
        let cookies: Vec<_> = hop.kept_cookies.as_deref().into_iter().chain(self.cookie.as_deref()).collect();
        add("Cookie", (!cookies.is_empty()).then(|| cookies.join("; ")).as_deref().map(str::as_bytes));
        headers.extend(self.own.iter().filter_map(Own::said).filter(|(name, _)| self.may_go(name, hop)).cloned());
        let names = |name| self.names(name);
        match body {
            Some(body) => {
                if !names("Content-Length") {
                    headers.push(("Content-Length".to_owned(), format!(" {}", body.len()).into_bytes()));
                }
                if !names("Content-Type") {
                    headers.push(("Content-Type".to_owned(), format!(" {FORM}").into_bytes()));
                }
                if body.len() > EXPECT_ABOVE && self.version == Version::Http11 && !names("Expect") {
                    headers.push(("Expect".to_owned(), b" 100-continue".to_vec()));
                }
            }
            // The library says so in any case; said here, it is where it can be seen.
            None if matches!(method, "POST" | "PUT" | "PATCH") && !names("Content-Length") => {
                headers.push(("Content-Length".to_owned(), b" 0".to_vec()));
            }
            None => {}
        }
        Request { method, url: hop.url, version: self.version, headers, body }
    }

    /// Whether the caller says something of headers of this name, if only that they are to be left out.
    fn names(&self, name: &str) -> bool {
        self.own.iter().any(|own| own.name().eq_ignore_ascii_case(name))
    }

    /// What is for one origin does not go to another; nor does a Host to another host. Of several Hosts the first counts.
    fn may_go(&self, name: &str, hop: &Hop<'_>) -> bool {
        let is = |other: &str| name.eq_ignore_ascii_case(other);
        match () {
            () if is("host") => hop.is_first_host,
            () if is("authorization") || is("cookie") => hop.is_first_origin,
            () => true,
        }
    }
}

impl Own {
    fn name(&self) -> &str {
        match self {
            Own::Said((name, _)) | Own::LeftOut(name) => name,
        }
    }

    fn said(&self) -> Option<&Header> {
        match self {
            Own::Said(header) => Some(header),
            Own::LeftOut(_) => None,
        }
    }
}

impl Request<'_> {
    /// Its head, to the byte.
    pub(crate) fn head(&self) -> Vec<u8> {
        let is_host = |(name, _): &&Header| name.eq_ignore_ascii_case("host");
        let host = self
            .headers
            .iter()
            .find(is_host)
            .map_or(self.url.host_header().as_bytes(), |(_, value)| value.trim_ascii());
        let proxied = self.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("proxy-connection"));
        let target = if proxied { self.url.as_str() } else { self.url.target() };
        let mut head = format!("{} {target} {}\r\nHost: ", self.method, self.version).into_bytes();
        head.extend_from_slice(host);
        head.extend_from_slice(b"\r\n");
        for (name, value) in self.headers.iter().filter(|header| !is_host(header)) {
            head.extend_from_slice(name.as_bytes());
            head.push(b':');
            head.extend_from_slice(value);
            head.extend_from_slice(b"\r\n");
        }
        head.extend_from_slice(b"\r\n");
        head
    }
}

/// RFC 7617.
fn basic(user: &str) -> String {
    let user = if user.contains(':') { user.to_owned() } else { format!("{user}:") };
    format!("Basic {}", BASE64_STANDARD.encode(user))
}

/// `Name: value`, `Name:` or `Name;`. Anything else says nothing.
fn parse_header(line: &str) -> Option<Own> {
    if let Some((name, value)) = line.split_once(':') {
        let (is_empty, name) = (value.trim_ascii().is_empty(), name.to_owned());
        let own = || if is_empty { Own::LeftOut(name) } else { Own::Said((name, value.as_bytes().to_vec())) };
        return (!line.starts_with(':')).then(own);
    }
    let name = line.strip_suffix(';')?;
    Some(Own::Said((name.to_owned(), Vec::new())))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    /// The head that goes to `url`, its lines with bars between them.
    fn head(arguments: &[&str], change: impl FnOnce(&mut Hop<'_>)) -> String {
        let flags = Flags::try_parse_from(["fetch", "u"].iter().chain(arguments)).unwrap();
        let asked = Asked::new(&flags).unwrap();
        let url = Url::parse("http://a.example/x").unwrap();
        let mut hop = Hop {
            url: &url,
            is_first_origin: true,
            is_first_host: true,
            user: None,
            becomes_get: false,
            kept_cookies: None,
        };
        change(&mut hop);
        String::from_utf8(asked.request(&hop).head()).unwrap().replace("\r\n", "|")
    }

    const UA: &str = USER_AGENT;

    #[test]
    fn everything_has_its_place() {
        let arguments = "-u me:pw -e ref -b a=1 -H X-A:b -H Accept: -H X-E; -H Host:foo --compressed -d a=b";
        let arguments: Vec<_> = arguments.split(' ').collect();
        assert_eq!(
            head(&arguments, |_| ()),
            format!(
                "POST /x HTTP/1.1|Host: foo|Authorization: Basic bWU6cHc=|User-Agent: {UA}|\
                 Accept-Encoding: {CODINGS}|Referer: ref|Cookie: a=1|X-A:b|X-E:|\
                 Content-Length: 3|Content-Type: {FORM}||"
            )
        );
    }

    #[test]
    fn what_was_for_the_first_origin_stays_there() {
        let arguments = ["-u", "me:pw", "-H", "Cookie: c", "-H", "Host: foo", "-H", "X: y"];
        let elsewhere = head(&arguments, |hop| (hop.is_first_origin, hop.is_first_host) = (false, false));
        assert_eq!(elsewhere, format!("GET /x HTTP/1.1|Host: a.example|User-Agent: {UA}|Accept: */*|X: y||"));
    }

    #[test]
    fn a_redirect_takes_the_body_but_not_the_method_that_was_named() {
        let after = |arguments: &[&str]| head(arguments, |hop| hop.becomes_get = true);
        assert!(after(&["-d", "x"]).starts_with("GET /x HTTP/1.1|"));
        assert!(after(&["-d", "x", "-X", "PUT"]).starts_with("PUT /x HTTP/1.1|"));
        assert!(after(&["-d", "x", "-X", "PUT"]).ends_with("|Content-Length: 0||"));
    }

    #[test]
    fn a_header_without_a_colon_says_nothing() {
        assert_eq!(parse_header("nothing"), None);
        assert_eq!(parse_header("A: "), Some(Own::LeftOut("A".to_owned())));
        assert_eq!(parse_header("A;"), Some(Own::Said(("A".to_owned(), vec![]))));
        assert_eq!(parse_header(":b"), None);
        assert_eq!(parse_header("A:  b c "), Some(Own::Said(("A".to_owned(), b"  b c ".to_vec()))));
    }
}
