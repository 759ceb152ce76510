//! Which URLs are fetched at all.
//!
//! ```text
//!     a link ──► normal form ──► http(s)? ──► within the scope? ──► patterns? ──► depth? ──► the frontier, once
//!                  │                └────────────────┴────────────────┴─────────────┴──► skipped, counted by why
//!                  └ two spellings of one URL are one page
//! ```
//!
//! Not here: what robots.txt forbids (`crawl`), who comes first (`frontier`).   Next: `rules`.

use std::{borrow::Cow, collections::BTreeSet};

use clap::ValueEnum;
use regex::Regex;
use windlass::http::Url;

/// How far from the URLs that it began with a crawl may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Reach {
    /// The same host, on any port
    Host,
    /// The same registered domain: all of example.co.uk
    Domain,
    /// The same scheme, host and port, below the folder of the URL
    Prefix,
    /// Wherever links lead
    Any,
}

impl Reach {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Reach::Host => "host",
            Reach::Domain => "domain",
            Reach::Prefix => "prefix",
            Reach::Any => "any",
        }
    }
}

/// Why nothing came of a URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Skipped {
    Scope,
    Pattern,
    Depth,
    Robots,
    Nofollow,
    /// It was asked for, and its body left where it is.
    Type,
    Budget,
}

impl Skipped {
    pub(crate) const ALL: [Skipped; 7] = [
        Skipped::Scope,
        Skipped::Pattern,
        Skipped::Depth,
        Skipped::Robots,
        Skipped::Nofollow,
        Skipped::Type,
        Skipped::Budget,
    ];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Skipped::Scope => "scope",
            Skipped::Pattern => "pattern",
            Skipped::Depth => "depth",
            Skipped::Robots => "robots",
            Skipped::Nofollow => "nofollow",
            Skipped::Type => "type",
            Skipped::Budget => "budget",
        }
    }

    /// What is counted: links as often as they are met, where nobody looks whether they lead to the same page.
    pub(crate) fn unit(self) -> &'static str {
        match self {
            Skipped::Depth | Skipped::Nofollow => "link",
            Skipped::Scope | Skipped::Pattern | Skipped::Robots | Skipped::Type | Skipped::Budget => "URL",
        }
    }
}

/// What the flags let in.
#[derive(Debug)]
pub(crate) struct Scope {
    pub(crate) reach: Reach,
    pub(crate) begins: Vec<Url>,
    /// What the reach lets in: hosts, domains, or the beginnings of URLs.
    homes: BTreeSet<Box<str>>,
    include: Vec<Regex>,
    exclude: Vec<Regex>,
    types: Vec<MediaType>,
    max_depth: Option<u32>,
}

impl Scope {
    pub(crate) fn new(reach: Reach, begins: Vec<Url>, max_depth: Option<u32>) -> Self {
        let homes = begins.iter().map(|begin| match reach {
            Reach::Host => Cow::from(begin.host()),
            Reach::Domain => domain_of(begin.host()).into(),
            Reach::Prefix => format!("{}{}", begin.origin(), folder_of(begin.target())).into(),
            Reach::Any => "".into(),
        });
        let homes: BTreeSet<_> = homes.collect(); // of which there are far fewer, as a rule
        let homes = homes.into_iter().map(Box::from).collect();
        Self { homes, reach, begins, include: vec![], exclude: vec![], types: vec![], max_depth }
    }

    /// Of these only what a pattern of `include` matches, if there is any, and none of `exclude`.
    pub(crate) fn only(self, include: Vec<Regex>, exclude: Vec<Regex>) -> Self {
        Self { include, exclude, ..self }
    }

    /// Only bodies of these types, if there are any.
    pub(crate) fn of_types(self, types: Vec<MediaType>) -> Self {
        Self { types, ..self }
    }

    /// Whether a body is taken of which the head says this.
    pub(crate) fn takes(&self, content_type: Option<&str>) -> bool {
        let says = essence(content_type.unwrap_or_default());
        self.types.is_empty() || self.types.iter().any(|wanted| wanted.has(says))
    }

    /// Why `url` is not for fetching; none if it is.
    pub(crate) fn refuses(&self, url: &Url) -> Option<Skipped> {
        if !self.is_home(url) {
            return Some(Skipped::Scope);
        }
        let matches = |patterns: &[Regex]| patterns.iter().any(|pattern| pattern.is_match(url.as_str()));
        if matches(&self.exclude) || !(self.include.is_empty() || matches(&self.include)) {
            return Some(Skipped::Pattern);
        }
        None
    }

    /// Whether so many links away is too far.
    pub(crate) fn is_too_deep(&self, depth: u32) -> bool {
        self.max_depth.is_some_and(|max| depth > max)
    }

    /// Whether it may be that the reach lets something of this URL's host in.
    pub(crate) fn is_home_of(&self, url: &Url) -> bool {
        match self.reach {
            Reach::Prefix => self.begins.iter().any(|begin| begin.origin() == url.origin()),
            Reach::Host | Reach::Domain | Reach::Any => self.is_home(url),
        }
    }

    fn is_home(&self, url: &Url) -> bool {
        match self.reach {
            Reach::Host => self.homes.contains(url.host()),
            Reach::Domain => self.homes.contains(domain_of(url.host())),
            Reach::Prefix => {
                let path = folder_of(url.target());
                let mut folders = path.match_indices('/').map(|(at, _)| &path[..=at]);
                folders.any(|folder| self.homes.contains(&*format!("{}{folder}", url.origin())))
            }
            Reach::Any => true,
        }
    }
}

/// `type/subtype`, or `type/*` for all of a type.
#[derive(Debug, Clone)]
pub(crate) struct MediaType(String);

impl MediaType {
    /// # Errors
    /// It is neither.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        match text.split_once('/') {
            Some((kind, of)) if is_name(kind) && (is_name(of) || of == "*") => Ok(Self(text.to_ascii_lowercase())),
            _ => Err("it is neither type/subtype nor type/*".to_owned()),
        }
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    fn has(&self, essence: &str) -> bool {
        let essence = essence.to_ascii_lowercase();
        self.0.strip_suffix('*').map_or(essence == self.0, |kind| essence.starts_with(kind))
    }
}

/// A token of RFC 9110 5.6.2, without the `*` that no registered type has (RFC 6838 4.2).
fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'+-.^_`|~".contains(&byte))
}

/// `text/html` of `text/html; charset=utf-8`.
pub(crate) fn essence(content_type: &str) -> &str {
    content_type.split(';').next().unwrap_or_default().trim()
}

/// The name that somebody registered: `example.co.uk` of `www.example.co.uk`. An address, and a name without a dot, is
/// itself.
fn domain_of(host: &str) -> &str {
    let is_address = host.starts_with('[') || host.parse::<std::net::Ipv4Addr>().is_ok();
    if is_address { host } else { psl::domain_str(host).unwrap_or(host) }
}

/// `/a/` of `/a/b?c`.
fn folder_of(target: &str) -> &str {
    let path = target.split_once('?').map_or(target, |(path, _)| path);
    &path[..path.rfind('/').map_or(0, |at| at + 1)]
}

/// The form in which a URL is compared: without its fragment, without a `?` that nothing follows, and with `%7e` as `~` and
/// `%c3` as `%C3` (RFC 3986 6.2.2). What the parser does anyway (case of the host, default port, dot segments) is done.
pub(crate) fn normal(url: &Url) -> Url {
    let text = url.as_str();
    let text = text.split_once('#').map_or(text, |(before, _)| before);
    let text = text.strip_suffix('?').unwrap_or(text);
    if text.len() == url.as_str().len() && !text.contains('%') {
        return url.clone(); // nearly always
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('%') {
        let (before, code) = rest.split_at(at);
        out.push_str(before);
        let digits = code.get(1..3).filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) => out.push(char::from(byte)),
            _ => out.extend(code[..digits.map_or(1, |_| 3)].chars().map(|char| char.to_ascii_uppercase())),
        }
        rest = &code[digits.map_or(1, |_| 3)..];
    }
    out.push_str(rest);
    if out == url.as_str() { url.clone() } else { Url::parse(&out).unwrap_or_else(|_| url.clone()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).expect("a URL")
    }

    fn scope(reach: Reach, begin: &str) -> Scope {
        Scope::new(reach, vec![url(begin)], Some(3))
    }

    #[test]
    fn each_reach_ends_where_it_says() {
        for (reach, inside, outside) in [
            (Reach::Host, "http://www.a.co.uk:81/x", "http://b.a.co.uk/docs/"),
            (Reach::Domain, "https://b.a.co.uk/x", "http://b.co.uk/docs/"),
            (Reach::Prefix, "http://www.a.co.uk/docs/x?y", "http://www.a.co.uk/docsx"),
            (Reach::Prefix, "http://www.a.co.uk/docs/", "https://www.a.co.uk/docs/x"),
        ] {
            let scope = scope(reach, "http://www.a.co.uk/docs/index.html");
            assert_eq!(scope.refuses(&url(inside)), None, "{reach:?} {inside}");
            assert_eq!(scope.refuses(&url(outside)), Some(Skipped::Scope), "{reach:?} {outside}");
        }
        assert_eq!(scope(Reach::Any, "http://a/").refuses(&url("https://b/")), None);
    }

    #[test]
    fn addresses_are_their_own_domain() {
        let scope = scope(Reach::Domain, "http://127.0.0.1/");
        assert_eq!(scope.refuses(&url("http://127.0.0.1:8080/")), None);
        assert_eq!(scope.refuses(&url("http://126.0.0.1/")), Some(Skipped::Scope));
    }

    #[test]
    fn what_is_excluded_is_out_though_it_is_included() {
        let (include, exclude) = (vec![Regex::new("/x").unwrap()], vec![Regex::new(r"\.zip$").unwrap()]);
        let scope = scope(Reach::Host, "http://a/").only(include, exclude);
        for (text, refused) in
            [("http://a/x", None), ("http://a/y", Some(Skipped::Pattern)), ("http://a/x.zip", Some(Skipped::Pattern))]
        {
            assert_eq!(scope.refuses(&url(text)), refused, "{text}");
        }
        assert_eq!([3, 4].map(|depth| scope.is_too_deep(depth)), [false, true]);
    }

    #[test]
    fn of_types_those_are_taken_that_are_named_or_all_if_none_is() {
        let of = |types: &[&str]| {
            let types = types.iter().map(|text| MediaType::parse(text).unwrap()).collect();
            scope(Reach::Host, "http://a/").of_types(types)
        };
        for (types, taken, left) in [
            (&["text/html"][..], &["Text/HTML ; charset=utf-8"][..], &["text/plain", "text/htmlx", ""][..]),
            (&["text/*", "image/PNG"], &["text/plain", "image/png"], &["image/gif", "texts/plain", "text"]),
            (&[], &["", "x/y"], &[]),
        ] {
            let scope = of(types);
            assert!(taken.iter().all(|says| scope.takes(Some(says))), "{types:?}");
            assert!(!left.iter().any(|says| scope.takes(Some(says))), "{types:?}");
            assert_eq!(scope.takes(None), types.is_empty());
        }
        for nonsense in
            ["html", "text/", "/html", "*/*", "text/a b", "text/h*", "te*t/html", "text/html; charset=utf-8"]
        {
            assert!(MediaType::parse(nonsense).is_err(), "{nonsense}");
        }
    }

    #[test]
    fn two_spellings_of_a_url_are_one() {
        let one = url("http://a/~b/%C3%A4?x=%2F");
        assert_eq!(normal(&one), one);
        for text in ["HTTP://A:80/%7eb/%c3%a4?x=%2f", "http://a/c/../~b/%c3%a4?x=%2f#part"] {
            assert_eq!(normal(&url(text)), one, "{text}");
        }
        assert_ne!(normal(&url("http://a/~b/%C3%A4?x=/")), one, "an encoded slash is not a slash");
        assert_eq!(normal(&url("http://a/b?")), url("http://a/b"));
        for text in ["http://a/x?d=10%+20", "http://a/%", "http://a/%4", "http://a/%%41%4g%", "http://a/?%\u{e4}%a"] {
            let (given, again) = (url(text), normal(&url(text)));
            assert_eq!(again.as_str(), given.as_str().replace("%41", "A"), "what is no escape stays as it is");
        }
    }
}
