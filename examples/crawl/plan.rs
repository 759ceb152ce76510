//! What a crawl is asked to do, apart from how that was said.
//!
//! ```text
//!     flags ──► Plan ── scope, bounds, budgets, manners ──► crawl
//! ```
//!
//! Next: `scope`.

use std::{net::IpAddr, time::Duration};

use crate::{frontier::Bounds, scope::Scope};

#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) scope: Scope,
    pub(crate) bounds: Bounds,
    pub(crate) budget: Budget,
    pub(crate) manners: Manners,
    pub(crate) retries: Retries,
}

/// What ends a crawl before its links do.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Budget {
    /// Pages that are fetched, whatever comes of them.
    pub(crate) pages: Option<u64>,
    /// Bytes of bodies as they come over the wire; what is under way when they are spent is still taken in.
    pub(crate) bytes: Option<u64>,
    pub(crate) time: Option<Duration>,
}

/// How servers are asked.
#[derive(Debug, Clone)]
pub(crate) struct Manners {
    pub(crate) user_agent: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) timeout: Duration,
    /// Bytes of a page, decoded.
    pub(crate) max_size: u64,
    pub(crate) resolve: Vec<(String, u16, IpAddr)>,
    pub(crate) denies_private: bool,
    pub(crate) robots: Robots,
    /// Whether images, scripts and the like are fetched, too.
    pub(crate) resources: Resources,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Robots {
    Heeded,
    Ignored,
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
