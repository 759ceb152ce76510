//! A page on its way.
//!
//! ```text
//!     Page ──► asked for: here ──► elsewhere ──► … ──► Outcome
//!     What ──► the frontier has it: a page, or the rules of a host, which come before all of its pages
//! ```
//!
//! Not here: who becomes one (`entry`), how it is asked for (`fetch`).   Next: `entry`.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use windlass::http::{Error, ErrorKind, Url};

use crate::{engine::Took, store::record::Key, warc::Exchange};

/// A page on its way.
#[derive(Debug)]
pub(crate) struct Page {
    /// Its place in the store.
    pub(crate) key: Key,
    pub(crate) kind: Kind,
    /// What was found, what is to be asked for, where redirects have led, and what was asked for last.
    pub(crate) url: Url,
    pub(crate) at: Url,
    pub(crate) asked: Url,
    /// Links from what was given; of a sitemap, how many indexes led to it.
    pub(crate) depth: u32,
    pub(crate) parent: Option<Url>,
    pub(crate) hops: u32,
    pub(crate) attempts: u32,
}

impl Page {
    pub(crate) fn new(kind: Kind, url: Url, depth: u32, parent: Option<Url>) -> Self {
        let (at, asked) = (url.clone(), url.clone());
        Self { key: Key::none(), kind, at, asked, url, depth, parent, hops: 0, attempts: 0 }
    }
}

/// What a URL is fetched for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Kind {
    Page,
    /// For what it names.
    Sitemap,
}

/// What the frontier holds.
#[derive(Debug)]
pub(super) enum What {
    Robots { url: Url, attempts: u32 },
    Page(Box<Page>),
}

/// What came of a page.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) status: Option<u16>,
    pub(crate) content_type: Option<String>,
    pub(crate) wire: u64,
    pub(crate) decoded: u64,
    pub(crate) took: Took,
    pub(crate) total: Duration,
    pub(crate) error: Option<(ErrorKind, String)>,
    /// For the archive, on the way to the store.
    pub(crate) exchange: Option<Box<Exchange>>,
}

impl Outcome {
    pub(super) fn failed(error: &Error) -> Box<Self> {
        Box::new(Self { error: Some((error.kind(), error.to_string())), ..Self::default() })
    }
}

/// Whom limits and delays are counted for: the host and its port.
pub(crate) fn host_of(url: &Url) -> &str {
    url.host_header()
}
