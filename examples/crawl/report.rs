//! What a crawl was like.
//!
//! ```text
//!     each page ──► a line of JSON, and ──► Tally ──► Report ──► in words, or in JSON ──► a page of plots
//!     each look at the frontier: who holds the work back ──┘
//! ```
//!
//! Outcomes add up: every page that was fetched is counted once, under its class of status or under the error that ended it.
//! Not here: what the limits would allow (`limits`), plots (`page`), where lines and reports are written (`main`).
//! Next: `hosts`.

use std::{
    collections::BTreeMap,
    fmt::{self, Write as _},
    iter,
    time::Duration,
};

use serde::Serialize;
use windlass::http::{ErrorKind, Url};
use windlass_examples::{
    figures::{counted, rate, thousands},
    latency::{Latency, Summary},
};

pub(crate) use crate::limits::Limit;
use crate::{
    cpu::{self, Cpu},
    crawl::{Outcome, Page},
    engine::Took,
    frontier::{Bounds, Moment},
    hosts::{Hosts, Others},
    limits::Given,
    scope::Skipped,
    timeline::{Step, Timeline},
};

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
    skipped: BTreeMap<Skipped, u64>,
    hosts: Hosts,
    pub(crate) robots: u64,
    /// Those that could not be had, so that nothing of their hosts is fetched; and why the first one could not.
    robots_failed: u64,
    first_robots_failure: Option<String>,
    pub(crate) sitemaps: u64,
    /// Sitemaps that were named, and are not there, or are none.
    pub(crate) sitemaps_failed: u64,
    pub(crate) retries: u64,
    /// Pages that earlier runs of the same state have done.
    pub(crate) earlier: u64,
    /// Pages that were found and not fetched, since the crawl was stopped.
    pub(crate) left: u64,
    pub(crate) bytes_wire: u64,
    bytes_decoded: u64,
    /// Of all pages together, those that failed, too.
    took: Duration,
    latency: Latency,
    phases: Phases,
    pub(crate) interrupted: bool,
    /// When somebody last looked, and how it was then.
    since: Moment,
    held_by: Option<Limit>,
    in_flight: usize,
    queued: usize,
    pages_noted: u64,
    held: BTreeMap<Limit, Duration>,
    in_flight_s: f64,
    pub(crate) timeline: Timeline,
    /// When somebody last read the clock of the loop's thread, and what it said.
    busy_since: Option<(Moment, Duration)>,
    /// CPU time of the store's thread, and of parse, frontier and store on the loop's.
    stores: Duration,
    cpu: [Duration; 3],
}

/// How long each phase took, by name.
#[derive(Debug, Default)]
struct Phases([Latency; Phases::NAMES.len()], [u64; Phases::NAMES.len()]);

impl Phases {
    const NAMES: [&str; 6] = ["queue", "dns", "connect", "tls", "first_byte", "body"];

    /// A page that went over a connection that was there already had no need of a name, a connection or a handshake: it
    /// does not count there.
    fn record(&mut self, took: &Took) {
        let needed = |span_ms: Option<f64>| span_ms.filter(|span_ms| *span_ms > 0.0);
        let spans = [took.queue, needed(took.dns), needed(took.connect), needed(took.tls), took.first_byte, took.body];
        for (nth, span_ms) in spans.into_iter().enumerate() {
            let Some(span_ms) = span_ms else { continue };
            self.0[nth].record((span_ms * 1e6) as u64);
            self.1[nth] += 1;
        }
    }

    /// Those that there were.
    fn told(&self) -> impl Iterator<Item = (&'static str, Phase)> {
        let all = Self::NAMES.into_iter().zip(self.0.iter().zip(self.1));
        all.filter(|(_, (_, pages))| *pages > 0)
            .map(|(name, (spans, pages))| (name, Phase { pages, spans: spans.summary() }))
    }
}

#[derive(Debug, Serialize)]
struct Phase {
    /// How many had it.
    pages: u64,
    #[serde(flatten)]
    spans: Summary,
}

impl Tally {
    /// For a crawl that goes on after so many pages.
    pub(crate) fn after(earlier: u64) -> Self {
        Self { earlier, ..Self::default() }
    }

    pub(crate) fn page(&mut self, host: &str, outcome: &Outcome) {
        self.pages += 1;
        let of_host = self.hosts.of(host);
        of_host.pages += 1;
        self.bytes_decoded += outcome.decoded;
        self.took += outcome.total;
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
                self.phases.record(&outcome.took);
            }
        }
    }

    /// The host asks for so long between two fetches.
    pub(crate) fn asks_for(&mut self, host: &str, delay: Duration) {
        self.hosts.of(host).delay = delay;
    }

    /// A robots.txt could not be had.
    pub(crate) fn robots_failed(&mut self, why: String) {
        self.robots_failed += 1;
        self.first_robots_failure.get_or_insert(why);
    }

    pub(crate) fn skip(&mut self, why: Skipped, count: u64) {
        *self.skipped.entry(why).or_default() += count;
    }

    /// Somebody looks: the time since the last look is put down to what held the crawl back then.
    pub(crate) fn note(&mut self, now: Moment, held_by: Limit, in_flight: usize, queued: usize) {
        let span = now.saturating_sub(self.since);
        let span_s = span.as_secs_f64();
        let mut step = Step {
            pages: (self.pages - self.pages_noted) as f64,
            in_flight_s: span_s * self.in_flight as f64,
            queued_s: span_s * self.queued as f64,
            ..Step::default()
        };
        if let Some(limit) = self.held_by {
            *self.held.entry(limit).or_default() += span;
            step.held_s[limit as usize] = span_s;
        }
        self.in_flight_s += step.in_flight_s;
        self.timeline.add(self.since, now, &step);
        (self.since, self.held_by, self.in_flight, self.queued) = (now, Some(held_by), in_flight, queued);
        self.pages_noted = self.pages;
        self.note_busy(now);
    }

    /// Reads the clock of this thread, the loop's, once in a step: that takes a system call.
    fn note_busy(&mut self, now: Moment) {
        if self.busy_since.is_some_and(|(since, _)| now < since + self.timeline.step()) {
            return;
        }
        let spent = cpu::of_this_thread();
        if let Some((since, before)) = self.busy_since.replace((now, spent)) {
            let busy_s = (spent - before).as_secs_f64();
            self.timeline.add(since, now, &Step { busy_s, ..Step::default() });
        }
    }

    pub(crate) fn end(&mut self, now: Moment, cpu: &Cpu, stores: Duration) {
        self.note(now, Limit::Server, 0, 0);
        self.stores = stores;
        self.cpu = [&cpu.parse, &cpu.frontier, &cpu.store].map(|part| part.spent());
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.since
    }

    pub(crate) fn failures(&self) -> u64 {
        self.failed.values().sum()
    }

    /// Whose robots.txt asks for a longer delay has it; who has no row any more is taken for one that asked for none.
    fn delays_s(&self, delay: Duration) -> Vec<f64> {
        let known = self.hosts.known().map(|(_, host)| host.delay.max(delay));
        let others = iter::repeat_n(delay, self.hosts.others().hosts as usize);
        known.chain(others).map(|delay| delay.as_secs_f64()).collect()
    }
}

/// A crawl that is over, and what is known of it besides.
#[derive(Debug)]
pub(crate) struct Report<'a> {
    pub(crate) tally: &'a Tally,
    pub(crate) engine: &'static str,
    pub(crate) bounds: Bounds,
    /// CPU time of the loop's thread.
    pub(crate) spent: Duration,
    /// What the loop counted, if it counts.
    pub(crate) turns: Option<Turns>,
}

/// What the loop counted, and for how long it was held at a time: while one task is polled, all others wait.
#[derive(Debug, Serialize)]
pub(crate) struct Turns {
    pub(crate) ticks: u64,
    pub(crate) polls: u64,
    pub(crate) wakes: u64,
    pub(crate) syscalls: u64,
    pub(crate) poll_p99_us: f64,
    pub(crate) poll_max_us: f64,
}

impl Report<'_> {
    /// As the contract of `--json` has it.
    pub(crate) fn json(&self) -> serde_json::Value {
        let tally = self.tally;
        let elapsed_s = tally.elapsed().as_secs_f64();
        let of_kind = |kind: &ErrorKind| (kind.name(), tally.failed.get(kind.name()).copied().unwrap_or(0));
        let class = |class: u16| (format!("{class}xx"), tally.classes.get(&class).copied().unwrap_or(0));
        let skipped = |why: Skipped| (why.as_str(), tally.skipped.get(&why).copied().unwrap_or(0));
        let hosts = tally.hosts.known().map(|(name, host)| {
            let delay_s = host.delay.max(self.bounds.delay).as_secs_f64();
            serde_json::json!({ "host": name, "pages": host.pages, "errors": host.errors, "delay_s": delay_s })
        });
        let Others { hosts: others, pages, errors } = tally.hosts.others();
        let others = serde_json::json!({ "hosts": others, "pages": pages, "errors": errors });
        let given = self.given();
        let allowed = |limit: Limit| (limit.as_str(), given.allows(limit));
        serde_json::json!({
            "program": "crawl",
            "version": env!("CARGO_PKG_VERSION"),
            "engine": self.engine,
            "pages": tally.pages,
            "ok": tally.ok,
            "failed": ErrorKind::ALL.iter().map(of_kind).collect::<BTreeMap<_, _>>(),
            "status": (2..=5).map(class).collect::<BTreeMap<_, _>>(),
            "skipped": Skipped::ALL.into_iter().map(skipped).collect::<BTreeMap<_, _>>(),
            "left": tally.left,
            "earlier": tally.earlier,
            "robots": tally.robots,
            "robots_failed": tally.robots_failed,
            "sitemaps": tally.sitemaps,
            "sitemaps_failed": tally.sitemaps_failed,
            "retries": tally.retries,
            "interrupted": tally.interrupted,
            "elapsed_s": elapsed_s,
            "pages_per_s": self.pages_per_s(),
            "bytes_wire": tally.bytes_wire,
            "bytes_decoded": tally.bytes_decoded,
            "latency_us": tally.latency.summary(),
            "phases_us": tally.phases.told().collect::<BTreeMap<_, _>>(),
            "in_flight_mean": self.in_flight_mean(),
            "in_flight_by_littles_law": given.in_flight(self.pages_per_s()),
            "limits": self.shares().into_iter().map(|(limit, share)| (limit.as_str(), share)).collect::<BTreeMap<_, _>>(),
            "allowed_per_s": Limit::ALL.into_iter().map(allowed).collect::<BTreeMap<_, _>>(),
            "least": given.least().map(|(limit, _)| limit),
            "cpu_us_per_page": self.cpu_us_per_page().into_iter().collect::<BTreeMap<_, _>>(),
            "hosts": hosts.collect::<Vec<_>>(),
            "other_hosts": others,
            "loop": self.turns,
        })
    }

    fn elapsed_s(&self) -> f64 {
        self.tally.elapsed().as_secs_f64().max(1e-9)
    }

    fn pages_per_s(&self) -> f64 {
        self.tally.pages as f64 / self.elapsed_s()
    }

    fn in_flight_mean(&self) -> f64 {
        self.tally.in_flight_s / self.elapsed_s()
    }

    fn shares(&self) -> Vec<(Limit, f64)> {
        let share = |limit: Limit| match limit {
            Limit::Loop => self.spent.as_secs_f64() / self.elapsed_s(),
            limit => self.tally.held.get(&limit).map_or(0.0, |held| held.as_secs_f64() / self.elapsed_s()),
        };
        Limit::ALL.into_iter().map(|limit| (limit, share(limit))).collect()
    }

    fn given(&self) -> Given {
        Given {
            bounds: self.bounds,
            delays_s: self.tally.delays_s(self.bounds.delay),
            page_s: self.tally.took.as_secs_f64() / self.tally.pages as f64,
            cpu_s: self.spent.as_secs_f64() / self.tally.pages as f64,
        }
    }

    /// What is not timed by itself is the fetch: the loop, its sockets, the client.
    fn cpu_us_per_page(&self) -> [(&'static str, f64); 5] {
        let [parse, frontier, store] = self.tally.cpu;
        let fetch = self.spent.saturating_sub(parse + frontier + store);
        let (store, total) = (store + self.tally.stores, self.spent + self.tally.stores);
        let a_page = |span: Duration| span.as_secs_f64() * 1e6 / self.tally.pages.max(1) as f64;
        let all = [("fetch", fetch), ("parse", parse), ("frontier", frontier), ("store", store), ("total", total)];
        all.map(|(name, span)| (name, a_page(span)))
    }

    /// For people.
    pub(crate) fn words(&self) -> String {
        let mut out = String::new();
        self.write_pages(&mut out).expect(TAKES_ALL);
        self.write_spans(&mut out).expect(TAKES_ALL);
        self.write_limits(&mut out).expect(TAKES_ALL);
        self.write_hosts(&mut out).expect(TAKES_ALL);
        out
    }

    fn write_pages(&self, out: &mut String) -> fmt::Result {
        let tally = self.tally;
        let (pages, elapsed_s, per_s) = (counted(tally.pages, "page"), self.elapsed_s(), self.pages_per_s());
        writeln!(out, "{pages} in {elapsed_s:.2} s ({} pages/s), by {}", rate(per_s), self.engine)?;
        writeln!(out, "  ok           {}", thousands(tally.ok))?;
        for (kind, count) in &tally.failed {
            let first = tally.first_failures.get(kind).map_or(String::new(), |first| format!("   first: {first}"));
            writeln!(out, "  {kind:<12} {}{first}", thousands(*count))?;
        }
        let classes: Vec<_> =
            tally.classes.iter().map(|(class, count)| format!("{class}xx {}", thousands(*count))).collect();
        if !classes.is_empty() {
            writeln!(out, "  by status    {}", classes.join(", "))?;
        }
        let skipped =
            tally.skipped.iter().map(|(why, count)| format!("{} {}", why.as_str(), counted(*count, why.unit())));
        let skipped: Vec<_> = skipped.collect();
        if !skipped.is_empty() {
            writeln!(out, "  not fetched  {}", skipped.join(", "))?;
        }
        if let Some(first) = &tally.first_robots_failure {
            let failed = thousands(tally.robots_failed);
            writeln!(out, "  robots.txt   {failed} could not be had: nothing is fetched there   first: {first}")?;
        }
        if tally.left > 0 {
            writeln!(out, "  left over    {}: the crawl was stopped", thousands(tally.left))?;
        }
        if tally.earlier > 0 {
            writeln!(out, "  earlier      {}, by the runs that this one goes on with", counted(tally.earlier, "page"))?;
        }
        let [retries, robots, sitemaps] = [tally.retries, tally.robots, tally.sitemaps].map(thousands);
        let failed = match tally.sitemaps_failed {
            0 => String::new(),
            failed => format!(", and {} that failed", thousands(failed)),
        };
        writeln!(out, "  asked again  {retries}; robots.txt {robots}; sitemaps {sitemaps}{failed}")?;
        let [wire, decoded] = [tally.bytes_wire, tally.bytes_decoded].map(thousands);
        writeln!(out, "  bytes        {wire} on the wire, {decoded} decoded")
    }

    fn write_spans(&self, out: &mut String) -> fmt::Result {
        let all = ("all of it", Phase { pages: self.tally.ok, spans: self.tally.latency.summary() });
        let all = Some(all).filter(|(_, all)| all.pages > 0); // of nothing there are no percentiles
        if all.is_some() {
            writeln!(out, "how long a page took that came, in ms")?;
            writeln!(out, "                   mean        p50        p90        p99        max      pages")?;
        }
        for (name, Phase { pages, spans }) in all.into_iter().chain(self.tally.phases.told()) {
            let ms = |us: u64| us as f64 / 1e3;
            let [p50, p90, p99, max] = [spans.p50, spans.p90, spans.p99, spans.max].map(ms);
            let (mean, pages) = (spans.mean / 1e3, thousands(pages));
            writeln!(out, "  {name:<12} {mean:>8.2} {p50:>10.2} {p90:>10.2} {p99:>10.2} {max:>10.2} {pages:>10}")?;
        }
        let parts = self.cpu_us_per_page().map(|(name, us)| format!("{name} {us:.1}"));
        writeln!(out, "CPU time a page, in µs: {}", parts.join(", "))?;
        let Some(Turns { poll_p99_us, poll_max_us, .. }) = self.turns else { return Ok(()) };
        writeln!(
            out,
            "others waited for one poll of a task {poll_max_us:.0} µs at most, 99 % less than {poll_p99_us:.0} µs"
        )
    }

    fn write_limits(&self, out: &mut String) -> fmt::Result {
        let given = self.given();
        writeln!(out, "what held it back, by its share of the time, and how many pages/s it would allow alone")?;
        for (limit, share) in self.shares() {
            let allowed = given.allows(limit).map_or("-".to_owned(), rate);
            let (name, share, about) = (limit.as_str(), share * 100.0, limit.about());
            writeln!(out, "  {name:<12} {share:>5.1} % {allowed:>10}   {about}")?;
        }
        if let Some((limit, per_s)) = given.least() {
            writeln!(out, "  least: {}, {} pages/s", limit.as_str(), rate(per_s))?;
        }
        writeln!(
            out,
            "by Little's law {} pages/s of {:.2} ms each are {:.1} under way; on average {:.1} were, with robots.txt, \
             sitemaps and what was asked again",
            rate(self.pages_per_s()),
            given.page_s * 1e3,
            given.in_flight(self.pages_per_s()),
            self.in_flight_mean(),
        )
    }

    fn write_hosts(&self, out: &mut String) -> fmt::Result {
        let mut hosts: Vec<_> = self.tally.hosts.known().collect();
        hosts.sort_by_key(|(_, host)| std::cmp::Reverse(host.pages));
        writeln!(out, "hosts, {} in all; those with most pages", thousands(self.tally.hosts.count()))?;
        for (name, host) in hosts.into_iter().take(10) {
            let (pages, errors) = (counted(host.pages, "page"), counted(host.errors, "error"));
            writeln!(out, "  {pages:>15}  {errors:>14}  {name}")?;
        }
        Ok(())
    }
}

/// Why writing a report does not fail.
const TAKES_ALL: &str = "a string takes everything";
