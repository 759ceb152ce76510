//! What the tables have of a page.
//!
//! ```text
//!     Key     host 0 level preference depth number     its place: bytes are in the queue's order
//!     Record  {"url":…,"depth":…,…}                    all else that a later run needs
//!     fingerprint                                      128 bits of its URL: that it was met
//! ```
//!
//! Not here: which table has what (`queue`).   Next: `queue`.

use std::{borrow::Cow, io, sync::Arc};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use windlass::http::Url;

use crate::{
    crawl::{Kind, Page},
    frontier::Rank,
};

/// A place in the queue: `host 0 level preference depth number`, so that bytes are in the queue's order.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key(Arc<[u8]>);

impl Key {
    /// Not in the queue yet: of this one nothing is asked.
    pub(crate) fn none() -> Self {
        Self(Arc::default())
    }

    pub(super) fn new(host: &str, rank: Rank, number: u64) -> Self {
        let mut bytes = Vec::with_capacity(host.len() + 1 + Self::BEHIND);
        bytes.extend_from_slice(host.as_bytes());
        bytes.push(0); // no host has one
        bytes.extend_from_slice(&rank.level.to_be_bytes());
        bytes.push(rank.preference);
        bytes.extend_from_slice(&rank.depth.to_be_bytes());
        bytes.extend_from_slice(&number.to_be_bytes());
        Self(bytes.into())
    }

    /// As this, with another number.
    pub(super) fn numbered(&self, number: u64) -> Self {
        Self([&self.0[..self.0.len() - 8], &number.to_be_bytes()].concat().into())
    }

    /// Whether host and rank are the same.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        self.0[..self.0.len() - 8] == other.0[..other.0.len() - 8]
    }

    /// Before whatever `host` has.
    pub(super) fn least_of(host: &[u8]) -> Self {
        Self([host, &[0; 1 + Self::BEHIND]].concat().into())
    }

    /// What comes behind the host and its 0.
    const BEHIND: usize = 4 + 1 + 4 + 8;

    pub(super) fn host(&self) -> &[u8] {
        &self.0[..self.0.len() - Self::BEHIND - 1]
    }

    pub(crate) fn rank(&self) -> Rank {
        let (level, rest) = self.behind().split_first_chunk().expect("a level");
        let (preference, rest) = rest.split_first().expect("a preference");
        let depth = rest.first_chunk().expect("a depth");
        Rank { level: u32::from_be_bytes(*level), preference: *preference, depth: u32::from_be_bytes(*depth) }
    }

    pub(super) fn number(&self) -> u64 {
        u64::from_be_bytes(*self.behind().last_chunk().expect("a number"))
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }

    fn behind(&self) -> &[u8] {
        &self.0[self.0.len() - Self::BEHIND..]
    }
}

impl From<&[u8]> for Key {
    fn from(bytes: &[u8]) -> Self {
        Self(bytes.into())
    }
}

/// A page, as the queue has it.
#[derive(Serialize, Deserialize)]
pub(super) struct Record<'a> {
    url: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<Cow<'a, str>>,
    depth: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent: Option<Cow<'a, str>>,
    hops: u32,
    kind: Kind,
}

impl<'a> Record<'a> {
    pub(super) fn of(page: &'a Page) -> Vec<u8> {
        let record = Self {
            url: page.url.as_str().into(),
            at: (page.at.as_str() != page.url.as_str()).then(|| page.at.as_str().into()),
            depth: page.depth,
            parent: page.parent.as_ref().map(|parent| parent.as_str().into()),
            hops: page.hops,
            kind: page.kind,
        };
        serde_json::to_vec(&record).expect("a record has only strings and numbers")
    }

    pub(super) fn read(key: Key, bytes: &[u8]) -> io::Result<Page> {
        let broken = |error: &dyn std::fmt::Display| {
            io::Error::new(
                io::ErrorKind::InvalidData,
                format!("the state of the crawl: a page in its queue is damaged: {error}"),
            )
        };
        let parse = |text: &str| Url::parse(text).map_err(|error| broken(&error));
        let record: Record<'_> = serde_json::from_slice(bytes).map_err(|error| broken(&error))?;
        let url = parse(&record.url)?;
        let at = record.at.as_deref().map_or_else(|| Ok(url.clone()), parse)?;
        let parent = record.parent.as_deref().map(parse).transpose()?;
        let Record { depth, hops, kind, .. } = record;
        Ok(Page { key, kind, asked: at.clone(), at, url, depth, parent, hops, attempts: 0 })
    }
}

/// By what a URL is known that was met: that two are taken for one, among a hundred million, has a chance of one in ten to
/// the twenty-second, and nobody can bring it about.
pub(super) fn fingerprint(page: &Page) -> u128 {
    let kind = match page.kind {
        Kind::Page => "",
        Kind::Sitemap => "sitemap ", // a page may be one, too
    };
    let hash = Sha256::new().chain_update(kind).chain_update(page.at.as_str()).finalize();
    u128::from_be_bytes(*hash.first_chunk().expect("a hash has 32 bytes"))
}
