//! What a crawl was like, as a page of plots.
//!
//! ```text
//!     Report::json ──┐
//!     Timeline ──────┼──► Page ──► FILE.html, at the end and after Ctrl-C
//!     settings ──────┘
//! ```
//!
//! The figures are those of `--json`, name by name, so that the two cannot say different things; only the curves over time
//! are nowhere else.
//! Not here: how plots are drawn (`windlass_examples::plots`).   Next: `show`.

use std::time::Duration;

use serde_json::Value;
use windlass_examples::{
    figures::{counted, rate},
    plots::{Bars, Curves, Layout, Length, Page, Row, Series, Stack},
};

use crate::{
    limits::Limit,
    timeline::{Step, Timeline},
};

/// Hosts in the table, those with most pages.
const HOSTS_MAX: usize = 500;

/// The whole page. `report` is what `--json` says; `settings` are names with values.
pub(crate) fn page(report: &Value, timeline: &Timeline, settings: &[(String, String)]) -> String {
    let mut page = Page::new("Report of a crawl");
    let elapsed_s = number(&report["elapsed_s"]);
    page.text(&format!(
        "{} in {elapsed_s:.2} s, {} a second, by {}{}.",
        counted(report["pages"].as_u64().unwrap_or_default(), "page"),
        rate(number(&report["pages_per_s"])),
        report["engine"].as_str().unwrap_or_default(),
        if report["interrupted"] == true { "; ended by Ctrl-C" } else { "" },
    ));
    outcomes(&mut page, report);
    over_time(&mut page, timeline, Duration::from_secs_f64(elapsed_s));
    spans(&mut page, report);
    limits(&mut page, report);
    cpu(&mut page, report);
    hosts(&mut page, report);
    page.heading("Settings");
    let rows: Vec<_> = settings.iter().map(|(name, value)| vec![name.clone(), value.clone()]).collect();
    page.table("As given, or as they are if nothing is said", &["setting", "value"], &rows);
    page.finish()
}

fn outcomes(page: &mut Page, report: &Value) {
    page.heading("Outcomes");
    let mut rows: Vec<Vec<String>> = Vec::new();
    let totals = [
        "pages",
        "ok",
        "left",
        "earlier",
        "robots",
        "robots_failed",
        "sitemaps",
        "sitemaps_failed",
        "retries",
        "bytes_wire",
        "bytes_decoded",
        "elapsed_s",
        "pages_per_s",
    ];
    let cell = |total: &Value| match total.as_f64() {
        Some(span) if !total.is_u64() => format!("{span:.3}"),
        _ => total.to_string(),
    };
    rows.extend(totals.map(|name| vec![name.to_owned(), cell(&report[name])]));
    for group in ["failed", "status", "skipped"] {
        let counted = pairs(&report[group]).filter(|(_, count)| *count != 0);
        rows.extend(counted.map(|(name, count)| vec![format!("{group}: {name}"), count.to_string()]));
    }
    page.table("What became of the pages", &["outcome", "count"], &rows);
}

fn over_time(page: &mut Page, timeline: &Timeline, end: Duration) {
    page.heading("Over time");
    let series = |name: &str, of: &dyn Fn(&Step) -> f64| {
        let points = timeline.steps(end).map(|(begin_s, length_s, step)| (begin_s, of(step) / length_s)).collect();
        Series { name: name.to_owned(), points }
    };
    let curves = |title, y, stack, series| Curves { title, x: "seconds", y, stack, series };
    page.curves(&curves("Throughput", "pages/s", Stack::Lines, vec![series("pages/s", &|step| step.pages)]));
    let in_flight = vec![series("in flight", &|step| step.in_flight_s)];
    page.curves(&curves("Fetches in flight", "fetches", Stack::Lines, in_flight));
    page.curves(&curves("Pages in line", "pages", Stack::Lines, vec![series("queued", &|step| step.queued_s)]));
    let held = Limit::ALL.into_iter().filter(|limit| *limit != Limit::Loop);
    let held = held.map(|limit| series(limit.as_str(), &|step| step.held_s[limit as usize])).collect();
    page.curves(&curves("What held it back", "share of the time", Stack::Areas, held));
    let busy = vec![series("busy", &|step| step.busy_s)];
    page.curves(&curves("The loop's thread", "share of its core", Stack::Lines, busy));
}

fn spans(page: &mut Page, report: &Value) {
    page.heading("How long a page took");
    let percentiles = ["p50", "p90", "p99"];
    let row = |name: &str, spans: &Value| {
        let lengths = percentiles.map(|percentile| Length::from(number(&spans[percentile]) / 1e3));
        Row { name: name.to_owned(), lengths: lengths.to_vec() }
    };
    let phases = ["queue", "dns", "connect", "tls", "first_byte", "body"];
    let rows = phases.into_iter().filter(|name| report["phases_us"][name].is_object());
    let rows = rows.map(|name| row(name, &report["phases_us"][name]));
    let rows: Vec<_> = rows.chain([row("all of it", &report["latency_us"])]).collect();
    let bars = Bars { title: "Latency by phase", axis: "milliseconds", of: &percentiles, layout: Layout::Apart, rows };
    page.bars(&bars);
    page.text(
        "Names, connections and handshakes count for the pages that needed one. Medians of phases do not add up to the \
         median of all.",
    );
}

fn limits(page: &mut Page, report: &Value) {
    page.heading("What held it back");
    let row = |limit: Limit| {
        let name = limit.as_str();
        let allowed = report["allowed_per_s"][name].as_f64().map_or("-".to_owned(), |per_s| format!("{per_s:.2}"));
        let share = format!("{:.4}", number(&report["limits"][name]));
        vec![name.to_owned(), share, allowed, limit.about().to_owned()]
    };
    let head = ["limit", "share of the time", "pages/s that it would allow alone", "when"];
    page.table("Which limit, and how far it is", &head, &Limit::ALL.map(row));
    page.text(&format!(
        "The least of them is {}. By Little's law (in flight = rate × latency) {:.1} are in flight; measured were {:.1}, with \
         robots.txt, sitemaps and what was asked again.",
        report["least"].as_str().unwrap_or("none"),
        number(&report["in_flight_by_littles_law"]),
        number(&report["in_flight_mean"]),
    ));
}

fn cpu(page: &mut Page, report: &Value) {
    page.heading("CPU time");
    let parts = ["fetch", "parse", "frontier", "store"];
    let lengths = parts.map(|part| Length::from(number(&report["cpu_us_per_page"][part]))).to_vec();
    let rows = vec![Row { name: "a page".to_owned(), lengths }];
    page.bars(&Bars { title: "CPU time a page", axis: "microseconds", of: &parts, layout: Layout::InLine, rows });
}

fn hosts(page: &mut Page, report: &Value) {
    let mut hosts: Vec<&Value> = report["hosts"].as_array().into_iter().flatten().collect();
    hosts.sort_by_key(|host| std::cmp::Reverse(host["pages"].as_u64()));
    page.heading("Hosts");
    let row = |host: &&Value| {
        let name = host["host"].as_str().unwrap_or_default().to_owned();
        [name].into_iter().chain(["pages", "errors", "delay_s"].map(|of| host[of].to_string())).collect()
    };
    let rows: Vec<Vec<String>> = hosts.iter().take(HOSTS_MAX).map(row).collect();
    let others = &report["other_hosts"]["hosts"];
    let all = hosts.len() as u64 + others.as_u64().unwrap_or(0);
    let title = match rows.len() {
        shown if shown as u64 == all => format!("{all} in all"),
        shown => format!("{all} in all; the {shown} with most pages"),
    };
    page.table(&title, &["host", "pages", "errors", "delay_s"], &rows);
}

fn number(of: &Value) -> f64 {
    of.as_f64().unwrap_or(f64::NAN)
}

fn pairs(of: &Value) -> impl Iterator<Item = (&String, &Value)> {
    of.as_object().into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use html5gum::{Token, Tokenizer};

    use super::*;

    #[test]
    fn what_a_host_or_a_setting_is_called_stays_text() {
        const HOSTILE: &str = "</td><script src='//evil.test/'></script><img onerror=x \"&lt;";
        let report = serde_json::json!({
            "engine": HOSTILE,
            "hosts": [{ "host": HOSTILE, "pages": 1, "errors": 0, "delay_s": 0.5 }],
            "failed": { HOSTILE: 1 },
            "least": HOSTILE,
            "elapsed_s": 1.0,
        });
        let html = page(&report, &Timeline::default(), &[(HOSTILE.to_owned(), HOSTILE.to_owned())]);
        let mut met = 0;
        for token in Tokenizer::new(&html) {
            match token.unwrap_or_else(|never| match never {}) {
                Token::StartTag(tag) => assert!(*tag.name != b"script"[..] && *tag.name != b"img"[..], "{html}"),
                Token::String(text) => met += usize::from(String::from_utf8_lossy(&text).contains(HOSTILE)),
                _ => {}
            }
        }
        assert_eq!(met, 6, "engine, host, failure, least, name and value of a setting");
    }
}
