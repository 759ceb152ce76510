//! What a URL took, as it becomes known.
//!
//! ```text
//!     asks ──► hears ──► leaves (a redirect), asks, hears … ──► ends
//!              sizes and times are sums over all hops; the rest is the last one's
//! ```
//!
//! Not here: how it is said (`write_out`).   Next: `write_out`.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use windlass::http::{Url, head::Version};

use crate::{
    asked::Request,
    engine::{End, Head, Took},
    failure::Failure,
};

/// A URL with its fragment.
pub(crate) fn whole(url: &Url) -> String {
    url.fragment().map_or_else(|| url.to_string(), |fragment| format!("{url}#{fragment}"))
}

#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) began: Instant,
    /// As it was given, and which it is, counted from 0.
    pub(crate) url: String,
    pub(crate) number: usize,
    pub(crate) file: Option<String>,
    pub(crate) url_effective: String,
    pub(crate) scheme: &'static str,
    pub(crate) method: String,
    pub(crate) referer: Option<String>,
    pub(crate) status: u16,
    pub(crate) version: Option<Version>,
    pub(crate) headers: Vec<(Vec<u8>, Vec<u8>)>,
    pub(crate) remote: Option<SocketAddr>,
    pub(crate) local: Option<SocketAddr>,
    pub(crate) redirects: u64,
    pub(crate) redirect_url: Option<String>,
    pub(crate) connects: u64,
    pub(crate) size_download: u64,
    pub(crate) size_upload: u64,
    pub(crate) size_header: u64,
    pub(crate) size_request: u64,
    /// Of all hops.
    pub(crate) took: Took,
    /// When the last hop began.
    pub(crate) redirected: Duration,
    pub(crate) total: Duration,
    pub(crate) failure: Option<Failure>,
}

impl Report {
    pub(crate) fn new(number: usize, url: &str, file: Option<String>) -> Self {
        Self {
            began: Instant::now(),
            url: url.to_owned(),
            number,
            file,
            url_effective: url.to_owned(),
            scheme: "",
            method: "GET".to_owned(),
            referer: None,
            status: 0,
            version: None,
            headers: Vec::new(),
            remote: None,
            local: None,
            redirects: 0,
            redirect_url: None,
            connects: 0,
            size_download: 0,
            size_upload: 0,
            size_header: 0,
            size_request: 0,
            took: Took::default(),
            redirected: Duration::ZERO,
            total: Duration::ZERO,
            failure: None,
        }
    }

    pub(crate) fn asks(&mut self, request: &Request<'_>) {
        self.url_effective = whole(request.url);
        self.method = request.method.to_owned();
        let referer = request.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("referer"));
        self.referer = referer.map(|(_, value)| String::from_utf8_lossy(value.trim_ascii()).into_owned());
    }

    /// There was a connection to that server.
    pub(crate) fn reaches(&mut self, request: &Request<'_>) {
        self.scheme = if request.url.scheme() == "https" { "HTTPS" } else { "HTTP" };
        self.size_request += (request.head().len() + request.body.map_or(0, <[u8]>::len)) as u64;
        self.size_upload = request.body.map_or(0, <[u8]>::len) as u64;
    }

    pub(crate) fn hears(&mut self, head: &Head) {
        (self.status, self.version) = (head.status, Some(head.version));
        (self.remote, self.local) = (head.remote, head.local);
        self.headers.clone_from(&head.headers);
        self.size_header += head.bytes.len() as u64;
    }

    /// A redirect's answer is over.
    pub(crate) fn leaves(&mut self, end: &End) {
        self.redirects += 1;
        self.ends(end);
        self.redirected = self.began.elapsed();
    }

    /// The answer is over.
    pub(crate) fn ends(&mut self, end: &End) {
        self.took.name += end.took.name;
        self.took.connect += end.took.connect;
        self.took.handshake += end.took.handshake;
        self.took.first_byte += end.took.first_byte;
    }

    /// All is over.
    pub(crate) fn over(&mut self, failure: Option<Failure>) {
        self.total = self.began.elapsed();
        self.failure = failure;
    }
}
