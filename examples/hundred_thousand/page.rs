//! What it took, as a page of plots.
//!
//! ```text
//!     told, told, told ──► by engine: medians, least and most ──► bars, curves, tables ──► FILE.html
//! ```
//!
//! It holds what the report holds, drawn: throughput, latency, rounds, what held the work back, CPU and memory.
//! Not here: how a page is drawn (`windlass_examples::plots`), how medians come about (`report`).   Next: the loop itself,
//! `src/event_loop.rs`.

use std::{
    fmt::Display,
    fs::{self, File, OpenOptions},
    io,
    path::Path,
};

use windlass_examples::{
    figures::{median, percent, seconds, thousands},
    plots::{Bars, Curves, Layout, Length, Page, Row, Series, Stack},
};

use crate::{
    contract::{EngineName, HeldBack, Limit, Run, Settings, Told},
    report,
};

/// Those that hold work back, and by shares of one whole: of the run's time.
const HOLDERS: [Limit; 5] = [Limit::PerHost, Limit::Concurrency, Limit::Connect, Limit::BatchBarrier, Limit::Rate];

/// Writes the page to `path`.
///
/// # Errors
/// It cannot be written.
pub(crate) fn write(path: &Path, target: &str, settings: Settings, runs: &[Told]) -> io::Result<()> {
    fs::write(path, page(target, settings, runs)).map_err(|error| named(path, &error))
}

/// Whether a page can be written to `path`, as far as can be told before it is; what stands there stays.
///
/// # Errors
/// It cannot.
pub(crate) fn can_be_written(path: &Path) -> io::Result<()> {
    let tried = match fs::metadata(path) {
        Ok(there) if there.is_dir() => Err(io::ErrorKind::IsADirectory.into()),
        Ok(there) if there.is_file() => OpenOptions::new().append(true).open(path).map(drop),
        Ok(_) => Ok(()), // to open a pipe is to be heard at its other end
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            File::create_new(path).and_then(|_| fs::remove_file(path))
        }
        Err(error) => Err(error),
    };
    tried.map_err(|error| named(path, &error))
}

fn named(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("--report {}: {error}", path.display()))
}

/// One engine's whole rounds.
type Rounds<'a> = (EngineName, Vec<&'a Run>);

fn page(target: &str, settings: Settings, runs: &[Told]) -> String {
    let mut page = Page::new(&format!("{} GETs", thousands(settings.requests)));
    page.text(&format!("{target}: {}", in_words(settings)));
    let engines: Vec<Rounds<'_>> = report::whole_runs(runs).into_iter().collect();
    for (engine, why) in report::rows(runs).iter().filter_map(|(engine, row)| Some((engine, row.as_ref().err()?))) {
        page.text(&format!("{engine} is in none of the plots: {why}."));
    }
    if engines.is_empty() {
        page.text("No run was whole.");
        return page.finish();
    }
    page.heading("Throughput");
    page.bars(&Bars {
        title: "Requests a second: median, least and most",
        axis: "requests/s",
        of: &["requests/s"],
        layout: Layout::Apart,
        rows: rows(&engines, &[&|run| run.requests_per_s]),
    });
    if engines.iter().any(|(_, runs)| runs.len() > 1) {
        page.curves(&rounds(&engines));
    }
    page.heading("Latency");
    let from = if settings.rate.is_some() { "when it was to begin" } else { "entering the window" };
    for (title, of) in [
        (format!("A request, from {from} to its last byte"), latency as fn(&Run) -> _),
        ("The same, from having a connection".to_owned(), exchange),
    ] {
        page.bars(&Bars {
            title: &title,
            axis: "ms",
            of: &["p50", "p90", "p99", "p99.9"],
            layout: Layout::Apart,
            rows: rows(&engines, &[&|run| of(run)[0], &|run| of(run)[1], &|run| of(run)[2], &|run| of(run)[3]]),
        });
    }
    page.heading("What held the work back");
    let held_back = report::held_back(runs, settings);
    page.bars(&limits(&held_back));
    if settings.rate.is_none() && settings.faults.is_none() {
        little(&mut page, &held_back);
    }
    page.heading("What it took");
    page.bars(&Bars {
        title: "CPU time of the engine, a request",
        axis: "µs",
        of: &["user", "system"],
        layout: Layout::InLine,
        rows: rows(&engines, &[&|run| each_us(run, run.user_s), &|run| each_us(run, run.sys_s)]),
    });
    page.bars(&Bars {
        title: "The most memory the engine ever had",
        axis: "MB",
        of: &["resident"],
        layout: Layout::Apart,
        rows: rows(&engines, &[&|run| run.peak_rss_kb as f64 / 1e3]),
    });
    every_round(&mut page, runs);
    page.finish()
}

fn in_words(settings: Settings) -> String {
    let Settings { concurrency, per_host, batch, max_requests, rate, faults, .. } = settings;
    let mut words = format!("{} at once, {} connections", thousands(concurrency), thousands(per_host));
    let mut add = |what: Option<String>| words.extend(what.map(|what| format!(", {what}")));
    add(batch.map(|size| format!("in batches of {}", thousands(size))));
    add(max_requests.map(|most| format!("{} requests to a connection", thousands(most))));
    add(rate.map(|rate| format!("{rate} beginning each second")));
    add(faults.map(|script| format!("{} of a hundred answers faulty, by the script {}", script.per_cent, script.seed)));
    words
}

/// A row for each engine, a length for each figure: the median of its rounds, the least and the most.
fn rows(engines: &[Rounds<'_>], figures: &[&dyn Fn(&Run) -> f64]) -> Vec<Row> {
    let row = |(engine, runs): &Rounds<'_>| {
        let length = |figure: &&dyn Fn(&Run) -> f64| {
            let values: Vec<_> = runs.iter().map(|run| figure(run)).collect();
            let least = values.iter().copied().fold(f64::INFINITY, f64::min);
            let most = values.iter().copied().fold(0.0, f64::max);
            Length { middle: median(&values), spread: (values.len() > 1).then_some((least, most)) }
        };
        Row { name: engine.to_string(), lengths: figures.iter().map(length).collect() }
    };
    engines.iter().map(row).collect()
}

fn rounds(engines: &[Rounds<'_>]) -> Curves<'static> {
    let series = |(engine, runs): &Rounds<'_>| {
        let points = runs.iter().map(|run| (f64::from(run.round), run.requests_per_s)).collect();
        Series { name: engine.to_string(), points }
    };
    let series = engines.iter().map(series).collect();
    Curves { title: "Round by round", x: "round", y: "requests/s", stack: Stack::Lines, series }
}

fn latency(run: &Run) -> [f64; 4] {
    [run.latency_us.p50, run.latency_us.p90, run.latency_us.p99, run.latency_us.p999].map(|us| us as f64 / 1e3)
}

fn exchange(run: &Run) -> [f64; 4] {
    [run.exchange_us.p50, run.exchange_us.p90, run.exchange_us.p99, run.exchange_us.p999].map(|us| us as f64 / 1e3)
}

fn each_us(run: &Run, span_s: f64) -> f64 {
    span_s * 1e6 / run.requests.max(1) as f64
}

fn limits(engines: &[HeldBack]) -> Bars<'static> {
    let share = |row: &HeldBack, limit| Length::from(row.limits.get(&limit).copied().unwrap_or(0.0));
    let row =
        |row: &HeldBack| Row { name: row.engine.to_string(), lengths: HOLDERS.map(|limit| share(row, limit)).into() };
    Bars {
        title: "Of the run's time, the share in which each limit held it back",
        axis: "share",
        of: &["per_host", "concurrency", "connect", "batch_barrier", "rate"],
        layout: Layout::InLine,
        rows: engines.iter().map(row).collect(),
    }
}

fn little(page: &mut Page, engines: &[HeldBack]) {
    let row = |HeldBack { engine, little, in_flight_mean, latency_s, exchange_s, .. }: &HeldBack| {
        let spans = [little.latency_s, *latency_s, little.exchange_s, *exchange_s, little.elapsed_by_requests_s];
        let cells = [engine.to_string(), format!("{in_flight_mean:.1} of {}", thousands(little.connections))];
        cells.into_iter().chain(spans.map(seconds)).collect()
    };
    let rows: Vec<Vec<String>> = engines.iter().map(row).collect();
    let head = [
        "engine",
        "in flight",
        "latency by Little's law",
        "measured",
        "exchange by the law",
        "measured",
        "time / requests",
    ];
    page.table("What the settings say, and what was measured", &head, &rows);
}

fn every_round(page: &mut Page, runs: &[Told]) {
    let row = |Told { run, interrupted, .. }: &Told| {
        let differ = run.faults.as_ref().map_or_else(|| "-".to_owned(), |judged| thousands(judged.differ));
        let cells: [&dyn Display; 9] = [
            &run.engine,
            &run.round,
            &thousands(run.ok),
            &thousands(run.failures()),
            &differ,
            &seconds(run.elapsed_s),
            &thousands(run.requests_per_s as u64),
            &run.limits.get(&Limit::Loop).map_or_else(|| "-".to_owned(), |busy| percent(*busy)),
            if *interrupted { &"interrupted" } else { &"" },
        ];
        cells.map(ToString::to_string).into()
    };
    let rows: Vec<Vec<String>> = runs.iter().map(row).collect();
    let head = ["engine", "round", "ok", "failed", "differ from the script", "time", "requests/s", "its core busy", ""];
    page.table("Every round", &head, &rows);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_settings_that_were_chosen_are_named_and_no_others() {
        assert_eq!(in_words(Settings::DEFAULT), "1,000 at once, 100 connections");
        let settings = Settings { batch: Some(1000), max_requests: Some(7), ..Settings::DEFAULT };
        assert_eq!(
            in_words(settings),
            "1,000 at once, 100 connections, in batches of 1,000, 7 requests to a connection"
        );
    }

    #[test]
    fn a_page_without_a_whole_run_says_so() {
        assert!(page("http://127.0.0.1/", Settings::DEFAULT, &[]).contains("No run was whole."));
    }
}
