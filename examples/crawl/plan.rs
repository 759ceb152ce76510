//! What a crawl is asked to do, apart from how that was said.
//!
//! ```text
//!     flags ──► Plan ── scope, bounds, budgets, manners ──► crawl
//! ```
//!
//! Next: `scope`.

use std::{collections::BTreeSet, net::IpAddr, time::Duration};

use regex::Regex;
use windlass::http::Url;

use crate::{
    frontier::{Bounds, Rank},
    scope::Scope,
};

#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) scope: Scope,
    pub(crate) order: Order,
    pub(crate) bounds: Bounds,
    pub(crate) budget: Budget,
    pub(crate) manners: Manners,
    pub(crate) retries: Retries,
    /// Pages that have ended and may have to be fetched again after a kill, at most.
    pub(crate) batch: usize,
}

/// Who comes first.
#[derive(Debug)]
pub(crate) struct Order {
    pub(crate) levels: Levels,
    /// What the first of these patterns matches, then what the second does; then the rest.
    pub(crate) prefer: Vec<Regex>,
}

/// Whether all of one depth is over before any of the next begins: then no page is met first on a longer way than the
/// shortest, so that a limit of depth cuts nothing off that is within it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Levels {
    Mixed,
    Apart,
}

impl Order {
    pub(crate) fn rank(&self, url: &Url, depth: u32) -> Rank {
        let matched = self.prefer.iter().position(|pattern| pattern.is_match(url.as_str()));
        let preference = matched.unwrap_or(self.prefer.len()).min(u8::MAX.into()) as u8; // it fits
        Rank { level: if self.levels == Levels::Apart { depth } else { 0 }, preference, depth }
    }
}

/// What ends a crawl before its links do.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Budget {
    /// Pages that are fetched, whatever comes of them.
    pub(crate) pages: Option<u64>,
    /// Bytes of bodies as they come over the wire, those of redirects, sitemaps and robots.txt, too; what is under way when
    /// they are spent is still taken in.
    pub(crate) bytes: Option<u64>,
    pub(crate) time: Option<Duration>,
}

/// How servers are asked.
#[derive(Debug, Clone)]
pub(crate) struct Manners {
    pub(crate) user_agent: String,
    pub(crate) headers: Headers,
    pub(crate) timeout: Duration,
    /// Bytes of a page, decoded.
    pub(crate) max_size: u64,
    pub(crate) resolve: Vec<(String, u16, IpAddr)>,
    pub(crate) denies_private: bool,
    pub(crate) robots: Robots,
    pub(crate) sitemaps: Sitemaps,
    /// Whether images, scripts and the like are fetched, too.
    pub(crate) resources: Resources,
    pub(crate) archive: Archive,
}

/// What requests say besides. Credentials are for the origins of the URLs that were given, and for no others, wherever links
/// and redirects lead (as RFC 9110 15.4 has it for redirects); and no archive has them.
#[derive(Debug, Clone)]
pub(crate) struct Headers {
    credentials: Vec<Header>,
    /// All others.
    public: Vec<Header>,
    origins: BTreeSet<Box<str>>,
}

/// Name and value.
pub(crate) type Header = (String, String);

const CREDENTIALS: [&str; 3] = ["authorization", "cookie", "proxy-authorization"];

impl Headers {
    pub(crate) fn new(all: Vec<Header>, begins: &[Url]) -> Self {
        let is_credential = |name: &str| CREDENTIALS.iter().any(|credential| name.eq_ignore_ascii_case(credential));
        let (credentials, public) = all.into_iter().partition(|(name, _)| is_credential(name));
        let origins: BTreeSet<_> = begins.iter().map(Url::origin).collect();
        Self { credentials, public, origins: origins.into_iter().map(Box::from).collect() }
    }

    /// What a request to `url` says besides.
    pub(crate) fn credentials(&self, url: &Url) -> &[Header] {
        if self.origins.contains(url.origin()) { &self.credentials } else { &[] }
    }

    /// What all requests say, for everybody to see.
    pub(crate) fn public(&self) -> &[Header] {
        &self.public
    }
}

/// Whether what was sent and what came is kept, byte by byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Archive {
    Left,
    Kept,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Robots {
    Heeded,
    Ignored,
}

/// What is made of sitemaps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Sitemaps {
    Ignored,
    /// Those that a robots.txt names are followed, and these.
    Followed(Vec<Url>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Resources {
    Left,
    Fetched,
}

/// How often a page is tried, and how far apart.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Retries {
    pub(crate) attempts: u32,
    /// Before the second attempt; doubled before each further one.
    pub(crate) pause: Duration,
}

impl Retries {
    /// Before attempt `next`, counted from 1.
    pub(crate) fn pause_before(self, next: u32) -> Duration {
        self.pause.saturating_mul(1 << next.saturating_sub(2).min(16)).min(PAUSE_MAX)
    }
}

/// Nobody waits longer than this, whatever a Retry-After says: a page that is not to be had for a minute counts as failed.
pub(crate) const PAUSE_MAX: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_for_the_origins_that_were_given_and_for_no_others() {
        let url = |text: &str| Url::parse(text).expect("a URL");
        let said = ["AUTHORIZATION", "Cookie", "Accept", "proxy-authorization"];
        let all = said.map(|name| (name.to_owned(), "x".to_owned())).to_vec();
        let headers = Headers::new(all, &[url("http://a/b"), url("https://c:444/")]);
        let names = |at: &str| headers.credentials(&url(at)).iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
        for home in ["http://a/x", "http://a:80/", "https://c:444/y"] {
            assert_eq!(names(home), ["AUTHORIZATION", "Cookie", "proxy-authorization"], "{home}");
        }
        for elsewhere in ["https://a/", "http://a:81/", "http://x.a/", "https://c/", "http://c:444/"] {
            assert!(names(elsewhere).is_empty(), "{elsewhere}");
        }
        assert_eq!(headers.public(), [("Accept".to_owned(), "x".to_owned())]);
    }
}
