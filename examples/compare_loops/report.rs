//! Medians, spread, ratios.
//!
//! ```text
//!     told, told, told ──► median ± half of the rounds are as near ──► beside the first engine's
//! ```
//!
//! Not here: what is measured (`engine`).   Next: the loop itself, `src/event_loop.rs`.

use serde::Serialize;
use windlass_examples::figures::{counted, median, percent, seconds, spread, thousands};

use crate::{
    choose::{Fallback, Skipped},
    engine::{NAP, Told},
    flags::{EngineName, Flags},
};

/// What an article on uvloop promises for 10,000 tasks, in seconds: asyncio, uvloop.
const PROMISED_S: [(EngineName, f64); 2] = [(EngineName::Asyncio, 2.431), (EngineName::Uvloop, 0.847)];

/// The one JSON object of `--json`.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    program: &'static str,
    version: &'static str,
    tasks: u64,
    nap_s: f64,
    rounds: u32,
    /// The core that all of them ran on; none if nothing was pinned.
    core: Option<usize>,
    fallbacks: Vec<Fallback>,
    skipped: Vec<Skipped>,
    runs: Vec<Run>,
    comparison: Vec<Compared>,
    pub(crate) interrupted: bool,
}

/// One round of one engine.
#[derive(Debug, Serialize)]
struct Run {
    engine: EngineName,
    round: u32,
    #[serde(flatten)]
    told: Told,
    tasks_per_s: f64,
}

/// One engine beside the first.
#[derive(Debug, Serialize)]
struct Compared {
    engine: EngineName,
    rounds: usize,
    median_s: f64,
    /// The median distance from the median, as a share of it.
    spread: f64,
    tasks_per_s: f64,
    cpu_us_per_task: f64,
    /// Its median time by the first engine's: above 1, the first is faster.
    times_the_first: f64,
    /// What an article promises, for so many tasks.
    #[serde(skip_serializing_if = "Option::is_none")]
    promised_s: Option<f64>,
}

impl Report {
    /// Without a run as yet.
    pub(crate) fn new(flags: &Flags, core: Option<usize>, fallbacks: Vec<Fallback>, skipped: Vec<Skipped>) -> Report {
        Report {
            program: "compare_loops",
            version: env!("CARGO_PKG_VERSION"),
            tasks: flags.tasks,
            nap_s: NAP.as_secs_f64(),
            rounds: flags.rounds,
            core,
            fallbacks,
            skipped,
            runs: Vec::new(),
            comparison: Vec::new(),
            interrupted: false,
        }
    }

    /// One round more.
    pub(crate) fn add(&mut self, engine: EngineName, round: u32, told: Told) {
        self.runs.push(Run { engine, round, told, tasks_per_s: told.tasks as f64 / told.elapsed_s });
    }

    /// Puts the engines side by side, in the order in which they first ran.
    pub(crate) fn compare(&mut self) {
        let mut engines: Vec<EngineName> = Vec::new();
        for run in &self.runs {
            if !engines.contains(&run.engine) {
                engines.push(run.engine);
            }
        }
        let times_s = |engine| self.figures(engine, |told| told.elapsed_s);
        let first_s = engines.first().map_or(0.0, |&first| median(&times_s(first)));
        let beside = |&engine: &EngineName| {
            let (times_s, cpu_s) = (times_s(engine), self.figures(engine, |told| told.cpu_s));
            let median_s = median(&times_s);
            Compared {
                engine,
                rounds: times_s.len(),
                median_s,
                spread: spread(&times_s),
                tasks_per_s: self.tasks as f64 / median_s,
                cpu_us_per_task: median(&cpu_s) * 1e6 / self.tasks as f64,
                times_the_first: median_s / first_s,
                promised_s: promised(engine, self.tasks),
            }
        };
        self.comparison = engines.iter().map(beside).collect();
    }

    fn figures(&self, engine: EngineName, figure: impl Fn(&Told) -> f64) -> Vec<f64> {
        self.runs.iter().filter(|run| run.engine == engine).map(|run| figure(&run.told)).collect()
    }
}

fn promised(engine: EngineName, tasks: u64) -> Option<f64> {
    let of_engine = PROMISED_S.iter().find(|(named, _)| *named == engine);
    of_engine.filter(|_| tasks == 10_000).map(|(_, promised_s)| *promised_s)
}

/// What is said before the rounds.
pub(crate) fn heading(report: &Report) -> String {
    let core =
        report.core.map_or_else(|| "one core only: nothing is pinned".to_owned(), |core| format!("on core {core}"));
    format!(
        "{}, each of which sleeps {}, {} interleaved, a fresh process each, {core}",
        counted(report.tasks, "task"),
        seconds(report.nap_s),
        counted(report.rounds.into(), "round"),
    )
}

/// The engines side by side, for people.
pub(crate) fn comparison_in_words(report: &Report) -> String {
    let [first, ..] = report.comparison.as_slice() else {
        return "interrupted before the first round had ended\n".to_owned();
    };
    let mut words = format!(
        "engine           tasks      median    ±      tasks/s  CPU/task   x {:<12} promised\n",
        first.engine.to_string()
    );
    for one in &report.comparison {
        words += &format!(
            "{:<11} {:>10} {:>11} {:>4} {:>12} {:>9} {:>7.2}x {:>13}\n",
            one.engine,
            thousands(report.tasks),
            seconds(one.median_s),
            if one.rounds == 1 { "-".to_owned() } else { percent(one.spread) },
            thousands(one.tasks_per_s as u64),
            seconds(one.cpu_us_per_task / 1e6),
            one.times_the_first,
            one.promised_s.map_or_else(|| "-".to_owned(), seconds)
        );
    }
    if report.interrupted {
        words += "interrupted: these are the rounds that had ended\n";
    }
    words += &python_in_words(report);
    words += "it measures tasks and timers, no I/O: 1 ms is the least, and what is above it is what they cost\n";
    words
}

/// How asyncio and uvloop differ, and how an article says they do.
fn python_in_words(report: &Report) -> String {
    let of = |engine| report.comparison.iter().find(|one| one.engine == engine);
    let (Some(asyncio), Some(uvloop)) = (of(EngineName::Asyncio), of(EngineName::Uvloop)) else {
        return String::new();
    };
    let promised = match (asyncio.promised_s, uvloop.promised_s) {
        (Some(asyncio_s), Some(uvloop_s)) => format!("; an article promises {:.2}x", asyncio_s / uvloop_s),
        _ => String::new(),
    };
    format!("uvloop is {:.2}x as fast as asyncio here{promised}\n", asyncio.median_s / uvloop.median_s)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[test]
    fn every_column_stands_under_its_name_however_many_tasks_there_are() {
        for tasks in [10, 10_000_000] {
            let flags = Flags::parse_from(["compare_loops", "--tasks", &tasks.to_string()]);
            let mut report = Report::new(&flags, None, Vec::new(), Vec::new());
            let told = Told { tasks, sum: 0, elapsed_s: 0.5, cpu_s: 0.25 };
            report.add(EngineName::TokioLocal, 1, told);
            report.compare();
            let words = comparison_in_words(&report);
            let (head, row) = (words.lines().next().unwrap(), words.lines().nth(1).unwrap());
            for (name, cell) in [("tasks", thousands(tasks)), ("CPU/task", seconds(0.25 / tasks as f64))] {
                let end = |line: &str, text: &str| line[..line.find(text).unwrap() + text.len()].chars().count();
                assert_eq!(end(head, name), end(row, &cell), "{words}");
            }
        }
    }

    #[test]
    fn what_is_promised_is_promised_for_ten_thousand() {
        assert_eq!(promised(EngineName::Uvloop, 10_000), Some(0.847));
        assert_eq!(promised(EngineName::Uvloop, 100), None);
        assert_eq!(promised(EngineName::Windlass, 10_000), None);
    }
}
