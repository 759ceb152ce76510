//! What a crawl was like.
//!
//! ```text
//!     each page ──► a line of JSON, and ──► Tally ──► the report in words, or in JSON
//!     each look at the frontier: who holds the work back ──┘
//! ```
//!
//! Outcomes add up: every page that was fetched is counted once, under its class of status or under the error that ended it.
//! Not here: where lines and reports are written (`main`).   Next: `main`.

use std::{collections::BTreeMap, fmt::Write as _, time::Duration};

use serde::Serialize;
use windlass::http::{ErrorKind, Url};
use windlass_examples::{
    figures::thousands,
    latency::{Latency, Summary},
};

use crate::{
    crawl::{Outcome, Page},
    engine::Took,
    frontier::{Bounds, Moment},
    scope::Skipped,
};

/// What can hold a crawl back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Limit {
    Concurrency,
    PerHost,
    Rate,
    Delay,
    Connect,
    /// Whatever may be fetched is under way, or is to be tried again later.
    Server,
    Store,
    Loop,
}

impl Limit {
    const ALL: [Limit; 8] = [
        Limit::Concurrency,
        Limit::PerHost,
        Limit::Rate,
        Limit::Delay,
        Limit::Connect,
        Limit::Server,
        Limit::Store,
        Limit::Loop,
    ];

    fn as_str(self) -> &'static str {
        match self {
            Limit::Concurrency => "concurrency",
            Limit::PerHost => "per_host",
            Limit::Rate => "rate",
            Limit::Delay => "delay",
            Limit::Connect => "connect",
            Limit::Server => "server",
            Limit::Store => "store",
            Limit::Loop => "loop",
        }
    }

    fn about(self) -> &'static str {
        match self {
            Limit::Concurrency => "all slots were taken",
            Limit::PerHost => "every host that had pages left had all its slots taken",
            Limit::Rate => "the rate was spent",
            Limit::Delay => "every host that had pages left was in its delay",
            Limit::Connect => "most of what was under way was connecting",
            Limit::Server => "nothing was left to begin: answers, or the time for another attempt, were awaited",
            Limit::Store => "what was found had to be written down first",
            Limit::Loop => "the loop's thread was busy (it is, beside the others)",
        }
    }
}

/// A page, as the output has it.
#[derive(Debug, Serialize)]
pub(crate) struct Line<'a> {
    pub(crate) url: &'a str,
    pub(crate) final_url: &'a str,
    status: Option<u16>,
    #[serde(rename = "type")]
    content_type: Option<&'a str>,
    bytes_wire: u64,
    bytes_decoded: u64,
    depth: u32,
    parent: Option<&'a str>,
    ms: Took,
    error: Option<&'a str>,
}

impl<'a> Line<'a> {
    pub(crate) fn of(page: &'a Page, outcome: &'a Outcome) -> Self {
        Self {
            url: page.url.as_str(),
            final_url: page.asked.as_str(),
            status: outcome.status,
            content_type: outcome.content_type.as_deref(),
            bytes_wire: outcome.wire,
            bytes_decoded: outcome.decoded,
            depth: page.depth,
            parent: page.parent.as_ref().map(Url::as_str),
            ms: outcome.took,
            error: outcome.error.as_ref().map(|(kind, _)| kind.name()),
        }
    }
}

/// What has become of all pages so far.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) pages: u64,
    pub(crate) ok: u64,
    failed: BTreeMap<&'static str, u64>,
    /// The first failure of each kind, in words.
    first_failures: BTreeMap<&'static str, String>,
    classes: BTreeMap<u16, u64>,
    skipped: BTreeMap<&'static str, u64>,
    hosts: BTreeMap<Box<str>, Host>,
    pub(crate) robots: u64,
    pub(crate) sitemaps: u64,
    pub(crate) retries: u64,
    /// Pages that earlier runs of the same state have done.
    pub(crate) earlier: u64,
    /// Pages that were found and not fetched, since the crawl was stopped.
    pub(crate) left: u64,
    pub(crate) bytes_wire: u64,
    bytes_decoded: u64,
    latency: Latency,
    pub(crate) interrupted: bool,
    /// When somebody last looked, and what held the crawl back then.
    since: Moment,
    held_by: Option<Limit>,
    in_flight: usize,
    held: BTreeMap<Limit, Duration>,
    in_flight_s: f64,
}

#[derive(Debug, Default)]
struct Host {
    pages: u64,
    errors: u64,
    /// What its robots.txt asks for between two fetches.
    delay: Duration,
}

impl Tally {
    /// For a crawl that goes on after so many pages.
    pub(crate) fn after(earlier: u64) -> Self {
        Self { earlier, ..Self::default() }
    }

    pub(crate) fn page(&mut self, host: &str, outcome: &Outcome) {
        self.pages += 1;
        let of_host = self.hosts.entry(host.into()).or_default();
        of_host.pages += 1;
        self.bytes_decoded += outcome.decoded;
        if let Some(status) = outcome.status {
            *self.classes.entry(status / 100).or_default() += 1;
        }
        match &outcome.error {
            Some((kind, words)) => {
                of_host.errors += 1;
                *self.failed.entry(kind.name()).or_default() += 1;
                self.first_failures.entry(kind.name()).or_insert_with(|| words.clone());
            }
            None if outcome.status.is_some_and(|status| status >= 400) => {
                of_host.errors += 1;
                *self.failed.entry(ErrorKind::Status.name()).or_default() += 1;
            }
            None => {
                self.ok += 1;
                self.latency.record(outcome.total.as_nanos() as u64); // less than five hundred years
            }
        }
    }

    /// The host asks for so long between two fetches.
    pub(crate) fn asks_for(&mut self, host: &str, delay: Duration) {
        self.hosts.entry(host.into()).or_default().delay = delay;
    }

    pub(crate) fn skip(&mut self, why: Skipped, count: u64) {
        *self.skipped.entry(why.as_str()).or_default() += count;
    }

    /// Somebody looks: the time since the last look is put down to what held the crawl back then.
    pub(crate) fn note(&mut self, now: Moment, held_by: Limit, in_flight: usize) {
        let span = now.saturating_sub(self.since);
        if let Some(limit) = self.held_by {
            *self.held.entry(limit).or_default() += span;
        }
        self.in_flight_s += span.as_secs_f64() * self.in_flight as f64;
        (self.since, self.held_by, self.in_flight) = (now, Some(held_by), in_flight);
    }

    pub(crate) fn end(&mut self, now: Moment) {
        self.note(now, Limit::Server, 0);
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.since
    }

    pub(crate) fn failures(&self) -> u64 {
        self.failed.values().sum()
    }

    /// As the contract of `--json` has it.
    pub(crate) fn json(
        &self,
        engine: &str,
        busy: f64,
        bounds: Bounds,
        turns: Option<serde_json::Value>,
    ) -> serde_json::Value {
        let elapsed_s = self.elapsed().as_secs_f64();
        let of_kind = |kind: &ErrorKind| (kind.name(), self.failed.get(kind.name()).copied().unwrap_or(0));
        let class = |class: u16| (format!("{class}xx"), self.classes.get(&class).copied().unwrap_or(0));
        let skipped = |why: Skipped| (why.as_str(), self.skipped.get(why.as_str()).copied().unwrap_or(0));
        let hosts = self.hosts.iter().map(|(name, host)| {
            let delay_s = host.delay.max(bounds.delay).as_secs_f64();
            serde_json::json!({ "host": name, "pages": host.pages, "errors": host.errors, "delay_s": delay_s })
        });
        serde_json::json!({
            "program": "crawl",
            "version": env!("CARGO_PKG_VERSION"),
            "engine": engine,
            "pages": self.pages,
            "ok": self.ok,
            "failed": ErrorKind::ALL.iter().map(of_kind).collect::<BTreeMap<_, _>>(),
            "status": (2..=5).map(class).collect::<BTreeMap<_, _>>(),
            "skipped": Skipped::ALL.into_iter().map(skipped).collect::<BTreeMap<_, _>>(),
            "left": self.left,
            "earlier": self.earlier,
            "robots": self.robots,
            "sitemaps": self.sitemaps,
            "retries": self.retries,
            "interrupted": self.interrupted,
            "elapsed_s": elapsed_s,
            "pages_per_s": self.pages as f64 / elapsed_s.max(1e-9),
            "bytes_wire": self.bytes_wire,
            "bytes_decoded": self.bytes_decoded,
            "latency_us": self.latency.summary(),
            "in_flight_mean": self.in_flight_s / elapsed_s.max(1e-9),
            "limits": self.shares(busy).into_iter().map(|(limit, share)| (limit.as_str(), share)).collect::<BTreeMap<_, _>>(),
            "hosts": hosts.collect::<Vec<_>>(),
            "loop": turns,
        })
    }

    fn shares(&self, busy: f64) -> Vec<(Limit, f64)> {
        let elapsed_s = self.elapsed().as_secs_f64().max(1e-9);
        let share = |limit: Limit| match limit {
            Limit::Loop => busy,
            limit => self.held.get(&limit).map_or(0.0, |held| held.as_secs_f64() / elapsed_s),
        };
        Limit::ALL.into_iter().map(|limit| (limit, share(limit))).collect()
    }

    /// For people.
    pub(crate) fn words(&self, engine: &str, busy: f64, bounds: Bounds) -> String {
        let elapsed_s = self.elapsed().as_secs_f64();
        let per_s = self.pages as f64 / elapsed_s.max(1e-9);
        let mut out = String::new();
        let mut say = |line: String| _ = writeln!(out, "{line}");
        say(format!("{} pages in {elapsed_s:.2} s ({per_s:.0} pages/s), by {engine}", thousands(self.pages)));
        say(format!("  ok           {}", thousands(self.ok)));
        for (kind, count) in &self.failed {
            let first = self.first_failures.get(kind).map_or(String::new(), |first| format!("   first: {first}"));
            say(format!("  {kind:<12} {}{first}", thousands(*count)));
        }
        let classes: Vec<_> =
            self.classes.iter().map(|(class, count)| format!("{class}xx {}", thousands(*count))).collect();
        say(format!("  by status    {}", classes.join(", ")));
        let skipped: Vec<_> = self.skipped.iter().map(|(why, count)| format!("{why} {}", thousands(*count))).collect();
        if !skipped.is_empty() {
            say(format!("  not fetched  {}", skipped.join(", ")));
        }
        if self.left > 0 {
            say(format!("  left over    {}: the crawl was stopped", thousands(self.left)));
        }
        if self.earlier > 0 {
            say(format!("  earlier      {} pages, by the runs that this one went on with", thousands(self.earlier)));
        }
        let [retries, robots, sitemaps] = [self.retries, self.robots, self.sitemaps].map(thousands);
        say(format!("  asked again  {retries}; robots.txt {robots}; sitemaps {sitemaps}"));
        say(format!(
            "  bytes        {} on the wire, {} decoded",
            thousands(self.bytes_wire),
            thousands(self.bytes_decoded)
        ));
        let Summary { mean, p50, p90, p99, max, .. } = self.latency.summary();
        let ms = |us: u64| us as f64 / 1e3;
        say(format!(
            "  latency      mean {:.1} ms, p50 {:.1}, p90 {:.1}, p99 {:.1}, max {:.1}",
            mean / 1e3,
            ms(p50),
            ms(p90),
            ms(p99),
            ms(max)
        ));
        say("what held it back, by its share of the time".to_owned());
        for (limit, share) in self.shares(busy).into_iter().filter(|(_, share)| *share >= 0.001) {
            say(format!("  {:<12} {:>5.1} %   {}", limit.as_str(), share * 100.0, limit.about()));
        }
        say(self.littles_law(bounds, mean / 1e6));
        let mut hosts: Vec<_> = self.hosts.iter().collect();
        hosts.sort_by_key(|(_, host)| std::cmp::Reverse(host.pages));
        say(format!("hosts, {} in all; those with most pages", thousands(hosts.len() as u64)));
        for (name, host) in hosts.into_iter().take(10) {
            say(format!("  {:>9} pages  {:>7} errors  {name}", thousands(host.pages), thousands(host.errors)));
        }
        out
    }

    /// Pages a second = pages under way / the time of one (Little 1961).
    fn littles_law(&self, bounds: Bounds, mean_s: f64) -> String {
        let elapsed_s = self.elapsed().as_secs_f64().max(1e-9);
        let hosts = self.hosts.len() as f64;
        let slots = (bounds.concurrency as f64).min(hosts * bounds.per_host as f64);
        let by_slots = slots / mean_s.max(1e-9);
        let by_delay = if bounds.delay.is_zero() { f64::INFINITY } else { hosts / bounds.delay.as_secs_f64() };
        let at_most = by_slots.min(by_delay).min(bounds.rate.unwrap_or(f64::INFINITY));
        format!(
            "by Little's law {slots:.0} slots and {:.1} ms a page allow {at_most:.0} pages/s; on average {:.1} were under way",
            mean_s * 1e3,
            self.in_flight_s / elapsed_s,
        )
    }
}
