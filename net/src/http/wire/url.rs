//! Where to go: an absolute `http` or `https` URL, or a refusal.
//!
//! ```text
//!     http://Example.com:80/a?b=c#d         given
//!     http://example.com/a?b=c#d            kept: one string, shared by all clones
//!            └─ host_header ┘└target┘└ fragment, which nobody is sent
//! ```
//!
//! One parser decides both where we connect and what we write into `Host`, so the two can never disagree. It is strict:
//! ASCII, no user information, no percent-encoding in the host, no zone id, and IPv4 only as four decimal numbers,
//! because the system's resolver would also take `127.1` and `0x7f.1` for an address. What it accepts it does
//! not change, but for the host's case and a default port.
//!
//! With the feature `url` the crate of that name reads first, by the rules that browsers follow (WHATWG): it encodes what
//! needs encoding, names in other scripts too, and writes `127.1` as the address that it is. What it makes of the text
//! must then pass here.
//!
//! In files of their own: relative references (`join`), user information (`credentials`), that crate (`whatwg`).
//! Next: `request`, which writes what is parsed here.

use std::fmt::Write;
use std::hash::{Hash, Hasher};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::{fmt, str::FromStr};

use crate::http::{Error, ErrorKind};

mod credentials;
mod join;
#[cfg(feature = "url")]
mod whatwg;

pub use credentials::Credentials;

const HTTP: Scheme = Scheme { prefix: "http://", port: 80 };
const HTTPS: Scheme = Scheme { prefix: "https://", port: 443 };
/// Longer URLs are refused. 9110 4.1 asks for at least 8,000 bytes; few servers take more than 8 KiB.
const URL_MAX: usize = 64 * 1024;
/// RFC 1035 2.3.4: 255 bytes on the wire are 253 characters of text.
const NAME_MAX: usize = 253;
/// RFC 1035 2.3.4.
const LABEL_MAX: usize = 63;

/// A scheme as it begins a URL's normal form, and its default port.
struct Scheme {
    prefix: &'static str,
    port: u16,
}

/// An absolute `http` or, with the feature `tls`, `https` URL that is safe to connect to and to write into a request.
///
/// A clone shares the text: it costs one count, no allocation. Two URLs are equal if their normal forms are: the host in
/// lower case, the default port left out, without the fragment.
///
/// ```
/// # use windlass_net::windlass;
/// use windlass::http::Url;
/// let url = Url::parse("HTTP://Example.com:8080/search?q=1#top")?;
/// assert_eq!(url.host(), "example.com");
/// assert_eq!(url.port(), 8080);
/// assert_eq!(url.target(), "/search?q=1");
/// assert_eq!(url.to_string(), "http://example.com:8080/search?q=1");
/// # Ok::<(), windlass_net::http::Error>(())
/// ```
#[derive(Clone)]
pub struct Url {
    /// The normal form, and behind it, if there is one, `#` and the fragment.
    text: Arc<str>,
    /// Where the scheme and its slashes end in `text`, and the host begins.
    host_at: u8,
    /// Where the host ends in `text`, brackets included.
    host_end: u32,
    /// Where the authority ends and the target begins.
    authority_end: u32,
    /// Where the target ends, and with it the normal form.
    target_end: u32,
    port: u16,
}

impl Url {
    /// The URL that `text` spells. With the feature `url` it is read as browsers read it: spaces and letters of other
    /// scripts are encoded, `\` is `/`, dot segments are resolved, and a host that is any spelling of an IPv4 address is that
    /// address. Without, what is not a URL as it stands is refused. Control characters are refused by both.
    ///
    /// # Errors
    /// Of kind [`Other`](ErrorKind::Other), with a text that says what is wrong and repeats nothing of the input,
    /// which may hold a password.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// use windlass::http::Url;
    /// let refused = Url::parse("http://user:secret@example.com/").unwrap_err();
    /// assert_eq!(refused.to_string(), "url: user information is refused");
    /// ```
    pub fn parse(text: &str) -> Result<Url, Error> {
        #[cfg(feature = "url")]
        return whatwg::parse(text);
        #[cfg(not(feature = "url"))]
        Url::parse_strictly(text)
    }

    /// The URL that `text` spells, if it needs no reading between the lines.
    pub(crate) fn parse_strictly(text: &str) -> Result<Url, Error> {
        if text.len() > URL_MAX {
            return Err(refuse("longer than 65536 bytes"));
        }
        if !text.is_ascii() {
            return Err(refuse("only ASCII is supported without the feature `url`; encode it first"));
        }
        if text.bytes().any(|b| b <= b' ' || b == 0x7f) {
            return Err(refuse("a space or a control character; encode it first"));
        }
        let (scheme, rest) = split_scheme(text)?;
        let (rest, fragment) = rest.split_at(rest.find('#').unwrap_or(rest.len()));
        let (authority, target) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let (host, port) = split_authority(authority)?;
        let port = port.unwrap_or(scheme.port);

        let mut normal = String::with_capacity(scheme.prefix.len() + rest.len() + 1 + fragment.len());
        normal.push_str(scheme.prefix);
        push_normal_host(&mut normal, host)?;
        let host_end = normal.len() as u32; // at most URL_MAX
        if port != scheme.port {
            write!(normal, ":{port}").expect(TAKES_ALL);
        }
        let authority_end = normal.len() as u32;
        if !target.starts_with('/') {
            normal.push('/');
        }
        normal.push_str(target);
        let target_end = normal.len() as u32;
        normal.push_str(fragment);
        Ok(Url { text: normal.into(), host_at: scheme.prefix.len() as u8, host_end, authority_end, target_end, port })
    }

    /// `http` or `https`.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// use windlass::http::Url;
    /// assert_eq!(Url::parse("HTTP://example.com")?.scheme(), "http");
    /// # Ok::<(), windlass_net::http::Error>(())
    /// ```
    pub fn scheme(&self) -> &str {
        &self.text[..self.host_at as usize - "://".len()]
    }

    /// The host to resolve: a name in lower case, or an address without brackets.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// use windlass::http::Url;
    /// assert_eq!(Url::parse("http://[::1]:8080/")?.host(), "::1");
    /// # Ok::<(), windlass_net::http::Error>(())
    /// ```
    pub fn host(&self) -> &str {
        let host = &self.text[self.host_at as usize..self.host_end as usize];
        host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host)
    }

    /// The value of the `Host` header: brackets around an IPv6 address, the port if it is not the scheme's own.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// use windlass::http::Url;
    /// assert_eq!(Url::parse("http://[::1]:8080/")?.host_header(), "[::1]:8080");
    /// assert_eq!(Url::parse("http://Example.com:80/")?.host_header(), "example.com");
    /// # Ok::<(), windlass_net::http::Error>(())
    /// ```
    pub fn host_header(&self) -> &str {
        &self.text[self.host_at as usize..self.authority_end as usize]
    }

    /// Scheme, host and port, as they are spelled in the URL's normal form (RFC 6454 4): what a connection is for, and
    /// what credentials are bound to.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// use windlass::http::Url;
    /// assert_eq!(Url::parse("http://Example.com:80/a")?.origin(), "http://example.com");
    /// # Ok::<(), windlass_net::http::Error>(())
    /// ```
    pub fn origin(&self) -> &str {
        &self.text[..self.authority_end as usize]
    }

    /// The address, if the host is one and needs no resolver.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// use windlass::http::Url;
    /// assert_eq!(Url::parse("http://127.0.0.1/")?.ip(), Some("127.0.0.1".parse().unwrap()));
    /// assert_eq!(Url::parse("http://localhost/")?.ip(), None);
    /// # Ok::<(), windlass_net::http::Error>(())
    /// ```
    pub fn ip(&self) -> Option<IpAddr> {
        self.host().parse().ok()
    }

    /// The port to connect to; if the URL names none, 80, and 443 for `https`.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// use windlass::http::Url;
    /// assert_eq!(Url::parse("http://example.com")?.port(), 80);
    /// # Ok::<(), windlass_net::http::Error>(())
    /// ```
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What the request line asks for: path and query as they were given, at least `/`.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// use windlass::http::Url;
    /// assert_eq!(Url::parse("http://example.com?q=%0d%0a")?.target(), "/?q=%0d%0a");
    /// # Ok::<(), windlass_net::http::Error>(())
    /// ```
    pub fn target(&self) -> &str {
        &self.text[self.authority_end as usize..self.target_end as usize]
    }

    /// What stood behind `#`. It is for whoever shows the page: no server is sent it (RFC 9110 4.2.5), and two URLs that
    /// differ in nothing else are equal.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// use windlass::http::Url;
    /// let url = Url::parse("http://example.com/a#top")?;
    /// assert_eq!((url.fragment(), url.as_str()), (Some("top"), "http://example.com/a"));
    /// # Ok::<(), windlass_net::http::Error>(())
    /// ```
    pub fn fragment(&self) -> Option<&str> {
        self.text[self.target_end as usize..].strip_prefix('#')
    }

    /// Whether they are equal with their fragments; at once, if one is a clone of the other.
    #[inline]
    pub(crate) fn is_same(&self, other: &Url) -> bool {
        Arc::ptr_eq(&self.text, &other.text) || self.text == other.text
    }

    /// The whole URL in its normal form.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// use windlass::http::Url;
    /// assert_eq!(Url::parse("http://EXAMPLE.com")?.as_str(), "http://example.com/");
    /// # Ok::<(), windlass_net::http::Error>(())
    /// ```
    pub fn as_str(&self) -> &str {
        &self.text[..self.target_end as usize]
    }
}

impl PartialEq for Url {
    fn eq(&self, other: &Url) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Url {}

impl Hash for Url {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Url({})", self.as_str())
    }
}

impl FromStr for Url {
    type Err = Error;

    fn from_str(text: &str) -> Result<Url, Error> {
        Url::parse(text)
    }
}

#[cold]
fn refuse(why: &str) -> Error {
    Error::new(ErrorKind::Other, format!("url: {why}"))
}

fn split_scheme(text: &str) -> Result<(Scheme, &str), Error> {
    let not_absolute = || refuse("not absolute: it must begin with http:// or https://");
    let (scheme, rest) = text.split_once(':').ok_or_else(not_absolute)?;
    let known = [("http", HTTP), ("https", HTTPS)].into_iter().find(|(name, _)| scheme.eq_ignore_ascii_case(name));
    let ((name, scheme), rest) = known.zip(rest.strip_prefix("//")).ok_or_else(not_absolute)?;
    if name == "https" && !cfg!(feature = "tls") {
        return Err(refuse("https needs the feature `tls`, with which this program was not built"));
    }
    Ok((scheme, rest))
}

/// Host (brackets included) and port of `host[:port]`.
fn split_authority(authority: &str) -> Result<(&str, Option<u16>), Error> {
    if authority.contains('@') {
        return Err(refuse("user information is refused"));
    }
    let host_end = match authority.strip_prefix('[') {
        Some(inner) => inner.find(']').ok_or_else(|| refuse("a bracket is not closed"))? + 2,
        None => authority.find(':').unwrap_or(authority.len()),
    };
    let (host, port) = authority.split_at(host_end);
    if port.is_empty() || port == ":" {
        return Ok((host, None)); // 3986 3.2.3 allows an empty port
    }
    let digits = port.strip_prefix(':').unwrap_or("");
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(refuse("the port is not a number"));
    }
    let port = digits.parse().map_err(|_| refuse("the port is greater than 65535"))?;
    Ok((host, Some(port)))
}

/// Why writing a URL does not fail.
const TAKES_ALL: &str = "a string takes everything";

/// The one spelling of a host: names in lower case, IPv6 in brackets and as std writes it.
fn push_normal_host(out: &mut String, host: &str) -> Result<(), Error> {
    if let Some(inner) = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')) {
        if inner.contains('%') {
            return Err(refuse("zone ids are refused"));
        }
        let ip: Ipv6Addr = inner.parse().map_err(|_| refuse("not an IPv6 address in brackets"))?;
        write!(out, "[{ip}]").expect(TAKES_ALL);
        return Ok(());
    }
    let name = host.strip_suffix('.').unwrap_or(host);
    if name.is_empty() {
        return Err(refuse("no host"));
    }
    if name.len() > NAME_MAX {
        return Err(refuse("the host name is longer than 253 bytes"));
    }
    if !name.split('.').all(is_label) {
        return Err(refuse("the host is not a name"));
    }
    let last = name.rsplit('.').next().unwrap_or(name);
    if looks_numeric(last) && host.parse::<Ipv4Addr>().is_err() {
        return Err(refuse("the host is a number but not an IPv4 address of four decimal parts"));
    }
    let begin = out.len();
    out.push_str(host);
    out[begin..].make_ascii_lowercase();
    Ok(())
}

/// Letters, digits and inner hyphens (RFC 1123 2.1), and underscores, which exist.
fn is_label(label: &str) -> bool {
    (1..=LABEL_MAX).contains(&label.len())
        && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        && !label.starts_with('-')
        && !label.ends_with('-')
}

/// Whether a resolver might take a host with this last label for an IPv4 address.
fn looks_numeric(label: &str) -> bool {
    let hex = label.strip_prefix("0x").or_else(|| label.strip_prefix("0X"));
    label.bytes().all(|b| b.is_ascii_digit()) || hex.is_some_and(|h| h.bytes().all(|b| b.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Url {
        Url::parse_strictly(text).unwrap_or_else(|e| panic!("{text}: {e}"))
    }

    fn why_refused(text: &str) -> String {
        let error = Url::parse_strictly(text).expect_err(text);
        assert_eq!(error.kind(), ErrorKind::Other);
        error.to_string()
    }

    #[test]
    fn path_and_query_are_kept_as_given() {
        for target in ["/", "/a/../b", "//b.com/x", "/%0d%0a", "/a?b=c&d=%20", "/?", "/a:80@b\\c|d\"<>"] {
            assert_eq!(parse(&format!("http://a.com{target}")).target(), target);
        }
    }

    #[test]
    fn an_empty_path_becomes_a_slash() {
        assert_eq!(parse("http://a.com").target(), "/");
        assert_eq!(parse("http://a.com?q").target(), "/?q");
        assert_eq!(parse("http://a.com#f").target(), "/");
    }

    #[test]
    fn the_host_header_is_the_authority_without_its_default_port() {
        for (text, header) in [
            ("http://EXAMPLE.com:80", "example.com"),
            ("http://example.com:8080", "example.com:8080"),
            ("http://example.com:", "example.com"),
            ("http://example.com:00080/", "example.com"),
            ("http://[::1]:80/", "[::1]"),
            ("http://[::1]:81/", "[::1]:81"),
            ("http://[2001:DB8:0::1]/", "[2001:db8::1]"),
            ("http://127.0.0.1:3000/", "127.0.0.1:3000"),
            ("http://a.com.:81/", "a.com.:81"),
        ] {
            assert_eq!(parse(text).host_header(), header, "{text}");
        }
    }

    #[test]
    fn the_host_is_what_a_resolver_wants() {
        assert_eq!(parse("http://[::1]:81/").host(), "::1");
        assert_eq!(parse("http://A_b.example:81/").host(), "a_b.example");
        assert_eq!(parse("http://[::1]:81/").ip(), Some("::1".parse().unwrap()));
    }

    #[test]
    fn a_space_a_control_or_a_foreign_letter_anywhere_is_refused() {
        for text in [
            "http://a.com/a b",
            "http://a.com/\r\nHost: evil",
            "http://a.com/\u{10d}\u{10a}",
            "http://a.com/\0",
            "http://a.com/\u{7f}",
            "http://a.com/x\t",
            " http://a.com/",
            "http://a.com/ ",
            "http://a.com\n/",
        ] {
            why_refused(text);
        }
    }

    #[test]
    fn the_authority_ends_where_the_rfc_says_and_nowhere_else() {
        assert_eq!(parse("http://a.com#@b.com/").host(), "a.com");
        assert_eq!(parse("http://a.com?@b.com/").host(), "a.com");
        assert_eq!(parse("http://a.com/@b.com/").host(), "a.com");
        assert_eq!(parse("http://a.com//b.com/x").host_header(), "a.com");
        for text in [
            "http://a.com%2f10.0.0.1/",
            "http://a.com\\@b.com/",
            "http://a.com\\b.com/",
            "http://a.com:80:81/",
            "http://a.com:+80/",
            "http://a.com:-1/",
            "http://a.com:65536/",
            "http://a.com:8o/",
            "http://[::1]x/",
            "http://[::1/",
            "http://::1/",
        ] {
            why_refused(text);
        }
    }

    #[test]
    fn user_information_is_refused_and_never_repeated() {
        for text in ["http://u:hunter2@h/", "http://hunter2@h/", "http://a.com:hunter2@b/", "http://hunter2:@[::1]/"] {
            assert!(!why_refused(text).contains("hunter2"));
        }
        assert!(!why_refused("http://hunter2 @h/").contains("hunter2"));
    }

    #[test]
    fn a_host_is_ascii_labels_of_bounded_length() {
        let label_63 = "a".repeat(63);
        parse(&format!("http://{label_63}.org/"));
        why_refused(&format!("http://{label_63}a.org/"));
        let name_253 = format!("{label_63}.{label_63}.{label_63}.{}", "b".repeat(61));
        parse(&format!("http://{name_253}/"));
        parse(&format!("http://{name_253}./"));
        why_refused(&format!("http://{name_253}b/"));
        for text in [
            "http://a\u{3002}com/",
            "http://faß.de/",
            "http://xn--example-.org/",
            "http://-a.org/",
            "http://a..org/",
            "http://.a.org/",
            "http://a.org../",
            "http://./",
            "http:///x",
            "http://:80/",
            "http://",
            "http://a,b/",
            "http://a!b/",
        ] {
            why_refused(text);
        }
    }

    #[test]
    fn zone_ids_are_refused() {
        for text in ["http://[fe80::1%25lo]/", "http://[::1%25.example.com]/", "http://[fe80::1%lo]/"] {
            assert_eq!(why_refused(text), "url: zone ids are refused");
        }
    }

    // What only a resolver would call an address is no host, as far as a parser can know.
    #[test]
    fn ipv4_is_four_decimal_numbers_or_nothing() {
        assert_eq!(parse("http://127.0.0.1/").ip(), Some("127.0.0.1".parse().unwrap()));
        for host in
            ["127.1", "0x7f.1", "2130706433", "0177.0.0.1", "127.0.0.1.", "256.1.1.1", "1.2.3.4.5", "0x7f000001"]
        {
            why_refused(&format!("http://{host}/"));
        }
        parse("http://1.2.3.4.example/");
        parse("http://0x7f.example/");
    }

    #[cfg(feature = "tls")]
    #[test]
    fn https_has_a_port_of_its_own_and_is_another_origin() {
        let url = parse("HTTPS://Example.com:443/a");
        assert_eq!((url.scheme(), url.host(), url.port(), url.target()), ("https", "example.com", 443, "/a"));
        assert_eq!((url.origin(), url.host_header()), ("https://example.com", "example.com"));
        assert_eq!(parse("https://a.com:80/").host_header(), "a.com:80");
        assert_eq!(parse("http://a.com:443/").origin(), "http://a.com:443");
        assert_ne!(url, parse("http://example.com:443/a"));
    }

    #[cfg(not(feature = "tls"))]
    #[test]
    fn without_tls_https_is_refused_and_told_why() {
        let why = "url: https needs the feature `tls`, with which this program was not built";
        assert_eq!(why_refused("https://a.com/"), why);
    }

    #[test]
    fn other_schemes_and_what_has_none_are_refused() {
        for text in [
            "",
            "a.com",
            "/x",
            "//a.com/",
            "ftp://a.com/",
            "http:/a.com",
            "https:/a.com",
            "http:a.com",
            "javascript:alert(1)",
        ] {
            let why = "url: not absolute: it must begin with http:// or https://";
            assert_eq!(why_refused(text), why, "{text}");
        }
    }

    #[test]
    fn a_very_long_url_is_refused() {
        why_refused(&format!("http://a.com/{}", "x".repeat(URL_MAX)));
    }

    #[test]
    fn parsing_the_display_gives_the_same_url() {
        for text in ["http://A.com:80/x?y#z", "http://[::FFFF:1.2.3.4]:9?", "http://a.com.", "http://127.0.0.1:0/"] {
            let url = parse(text);
            assert_eq!(parse(&url.to_string()), url);
        }
    }

    #[test]
    fn a_clone_shares_the_text_and_may_leave_the_thread() {
        fn assert_send_sync<T: Send + Sync>(_: &T) {}
        let url = parse("http://a.com/");
        assert_send_sync(&url);
        assert!(Arc::ptr_eq(&url.text, &url.clone().text));
    }
}
