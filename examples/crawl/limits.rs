//! What can hold a crawl back, and what each of it would allow alone.
//!
//! ```text
//!     pages a second = pages under way / the time of one          Little 1961
//!
//!     slots, in all       concurrency      / the time of a page
//!     slots of each host  hosts × per_host / the time of a page
//!     rate                itself; hosts × the rate of one
//!     delay               hosts / delay
//!     the loop            1 / CPU time of a page
//! ```
//!
//! The least of them is what a crawl cannot exceed, whatever the others are; and if another one held it back for most of the
//! time, the pages were not where the slots were: few hosts with many pages, or a tree of links that is narrow at its top.
//! Not here: who finds out what holds it back (`frontier`, `crawl`).   Next: `report`.

use serde::Serialize;

use crate::frontier::Bounds;

/// What can hold a crawl back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Limit {
    Concurrency,
    PerHost,
    Rate,
    Delay,
    Dns,
    Connect,
    /// Whatever may be fetched is under way, or is to be tried again later.
    Server,
    /// A whole batch has ended that is not committed, or what is next is on the disk.
    Store,
    Loop,
}

impl Limit {
    pub(crate) const ALL: [Limit; 9] = [
        Limit::Concurrency,
        Limit::PerHost,
        Limit::Rate,
        Limit::Delay,
        Limit::Dns,
        Limit::Connect,
        Limit::Server,
        Limit::Store,
        Limit::Loop,
    ];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Limit::Concurrency => "concurrency",
            Limit::PerHost => "per_host",
            Limit::Rate => "rate",
            Limit::Delay => "delay",
            Limit::Dns => "dns",
            Limit::Connect => "connect",
            Limit::Server => "server",
            Limit::Store => "store",
            Limit::Loop => "loop",
        }
    }

    pub(crate) fn about(self) -> &'static str {
        match self {
            Limit::Concurrency => "all slots were taken",
            Limit::PerHost => "every host that had pages left had all its slots taken",
            Limit::Rate => "the rate was spent",
            Limit::Delay => "every host that had pages left was in its delay",
            Limit::Dns => "most of what was under way waited for a name to be looked up",
            Limit::Connect => "most of what was under way was connecting",
            Limit::Server => "nothing was left to begin: answers, or the time for another attempt, were awaited",
            Limit::Store => "what was found had to be written down first",
            Limit::Loop => "the loop's thread was busy (it is, beside the others)",
        }
    }
}

/// What the pages/s that a limit allows follow from.
#[derive(Debug, Clone)]
pub(crate) struct Given {
    pub(crate) bounds: Bounds,
    /// Seconds between two fetches, for each host that was met.
    pub(crate) delays_s: Vec<f64>,
    /// Seconds that a page takes, and CPU seconds of it.
    pub(crate) page_s: f64,
    pub(crate) cpu_s: f64,
}

impl Given {
    /// Pages a second, if there were no other limit; none if this one does not say.
    pub(crate) fn allows(&self, limit: Limit) -> Option<f64> {
        let hosts = self.delays_s.len() as f64;
        let per_s = match limit {
            Limit::Concurrency => self.bounds.concurrency as f64 / self.page_s,
            Limit::PerHost => hosts * self.bounds.per_host as f64 / self.page_s,
            Limit::Rate => {
                let of_hosts = self.bounds.host_rate.map(|rate| rate * hosts);
                self.bounds.rate.into_iter().chain(of_hosts).fold(f64::INFINITY, f64::min)
            }
            Limit::Delay => self.delays_s.iter().map(|delay_s| 1.0 / delay_s).sum(),
            Limit::Loop => 1.0 / self.cpu_s,
            Limit::Dns | Limit::Connect | Limit::Server | Limit::Store => return None,
        };
        Some(per_s).filter(|per_s| per_s.is_finite() && *per_s > 0.0) // before the first page nothing follows
    }

    /// The limit that allows least.
    pub(crate) fn least(&self) -> Option<(Limit, f64)> {
        let allowed = Limit::ALL.into_iter().filter_map(|limit| Some((limit, self.allows(limit)?)));
        allowed.min_by(|(_, one), (_, other)| one.total_cmp(other))
    }

    /// How many pages are under way where so many a second are fetched.
    pub(crate) fn in_flight(&self, pages_per_s: f64) -> f64 {
        pages_per_s * self.page_s
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Four hosts of eight slots each, a page in 20 ms, of which 0.2 ms are the loop's.
    fn given() -> Given {
        let bounds = Bounds { concurrency: 100, per_host: 8, delay: Duration::ZERO, rate: None, host_rate: None };
        Given { bounds, delays_s: vec![0.0; 4], page_s: 0.02, cpu_s: 0.000_2 }
    }

    #[test]
    fn limits_stand_in_their_order() {
        assert!(Limit::ALL.into_iter().enumerate().all(|(nth, limit)| limit as usize == nth));
    }

    #[test]
    fn slots_allow_as_many_pages_as_the_time_of_one_goes_into_them() {
        let given = given();
        assert_eq!(given.allows(Limit::Concurrency), Some(5_000.0));
        assert_eq!(given.allows(Limit::PerHost), Some(1_600.0));
        assert_eq!(given.allows(Limit::Loop), Some(5_000.0));
        assert_eq!(given.least(), Some((Limit::PerHost, 1_600.0)));
    }

    #[test]
    fn what_is_not_limited_allows_anything() {
        for limit in [Limit::Rate, Limit::Delay, Limit::Dns, Limit::Connect, Limit::Server, Limit::Store] {
            assert_eq!(given().allows(limit), None, "{limit:?}");
        }
    }

    #[test]
    fn of_two_rates_the_lesser_counts() {
        let mut given = given();
        given.bounds.host_rate = Some(50.0);
        assert_eq!(given.allows(Limit::Rate), Some(200.0));
        given.bounds.rate = Some(150.0);
        assert_eq!((given.allows(Limit::Rate), given.least()), (Some(150.0), Some((Limit::Rate, 150.0))));
    }

    #[test]
    fn each_host_has_its_own_delay_and_one_without_is_no_limit() {
        let mut given = given();
        given.delays_s = vec![0.5, 0.25, 2.0, 2.0];
        assert_eq!((given.allows(Limit::Delay), given.least()), (Some(7.0), Some((Limit::Delay, 7.0))));
        given.delays_s[3] = 0.0;
        assert_eq!(given.allows(Limit::Delay), None);
    }

    #[test]
    fn as_many_are_under_way_as_come_in_the_time_of_one() {
        assert_eq!(given().in_flight(1_600.0), 32.0);
    }
}
