//! What was promised, what must be, and what was.
//!
//! ```text
//!     step        limits       promised    floor  measured    (here)    over
//!     optimised   article           3 s  20.00 s   20.09 s    2.01 s  +0.5 %   5 connections to the host
//!                                    ▲        ▲         ▲
//!                     the article says    the limits say    the clock says
//! ```
//!
//! And then why the first column is so far from the others.
//!
//! Not here: where the floor comes from (`floor`).   Next: the loop itself, `src/event_loop.rs`.

use std::{fmt::Write, time::Duration};

use serde::Serialize;
use windlass::time::Instant;
use windlass_examples::figures::{counted, seconds};

use crate::{
    flags::{Limits, Plan, Settings, StepName, Whose},
    floor::{self, Floor},
    outcome::{Outcome, Outcomes},
};

/// A run that took longer than its floor by more than this share has missed it.
const OVER_MAX: f64 = 0.05;

/// The one JSON object of `--json`.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    program: &'static str,
    version: &'static str,
    settings: Settings,
    pub(crate) runs: Vec<Run>,
}

impl Report {
    /// Without a run as yet.
    pub(crate) fn new(settings: Settings) -> Report {
        Report { program: "crawl_steps", version: env!("CARGO_PKG_VERSION"), settings, runs: Vec::new() }
    }
}

/// One step with one set of limits. Times are the article's, but for `here_s`.
#[derive(Debug, Serialize)]
pub(crate) struct Run {
    step: StepName,
    limits_of: Whose,
    limits: Limits,
    attempts_max: u32,
    timeout_s: f64,
    /// None if the article promises nothing for so many URLs with these limits.
    promised_s: Option<f64>,
    floor_s: f64,
    held_by: String,
    elapsed_s: f64,
    /// As the clock had it.
    here_s: f64,
    /// How much longer than the floor it took, as a share of the floor.
    over: f64,
    /// None if the floor is only a bound, for retries need time of their own; or if it is none: the run was interrupted, or
    /// some URLs had no answer, for which nobody can say how long it takes.
    within_5_percent: Option<bool>,
    processed: u64,
    success: u64,
    pub(crate) failed: u64,
    requests_per_s: f64,
    site: Asked,
    pub(crate) interrupted: bool,
    results: Vec<Outcome>,
}

/// What the site saw.
#[derive(Debug, Clone, Copy, Serialize)]
struct Asked {
    requests: u64,
    /// From the first to the last; none of fewer than two.
    per_s: Option<f64>,
}

impl Run {
    /// What became of a run that took `here`.
    pub(crate) fn new(
        settings: &Settings,
        plan: &Plan,
        here: Duration,
        outcomes: &Outcomes,
        arrivals: &[Instant],
    ) -> Run {
        let results = outcomes.ended();
        let (processed, success) = (results.len() as u64, results.iter().filter(|one| one.success).count() as u64);
        let requests = settings.urls + settings.failing * u64::from(plan.attempts - 1);
        let Floor { span_s: floor_s, held_by } = floor::floor(requests, settings.delay_s, plan.limits);
        let elapsed_s = here.as_secs_f64() / settings.scale;
        let over = elapsed_s / floor_s - 1.0;
        let is_exact = requests == settings.urls && results.iter().all(|one| one.error.is_none());
        Run {
            step: plan.step,
            limits_of: plan.whose,
            limits: plan.limits,
            attempts_max: plan.attempts,
            timeout_s: plan.timeout.as_secs_f64(),
            promised_s: plan.promised_s,
            floor_s,
            held_by,
            elapsed_s,
            here_s: here.as_secs_f64(),
            over,
            within_5_percent: is_exact.then_some((0.0..=OVER_MAX).contains(&over)),
            processed,
            success,
            failed: processed - success,
            requests_per_s: processed as f64 / elapsed_s,
            site: Asked::new(arrivals, settings.scale),
            interrupted: false,
            results,
        }
    }

    /// The same, but cut short.
    pub(crate) fn interrupted(self) -> Run {
        Run { interrupted: true, within_5_percent: None, ..self }
    }

    /// Whether it ended before its floor, as only a run can that was interrupted or had no answers.
    fn is_cut_short(&self) -> bool {
        self.over < 0.0
    }

    fn name(&self) -> String {
        let step = self.step.as_str();
        let limits = match (self.limits_of, self.limits.rate) {
            _ if self.step == StepName::Blocking => "none",
            (Whose::Article, _) => "article's",
            (Whose::Sensible, None) => "sensible",
            (Whose::Sensible, Some(_)) => "and a rate",
        };
        format!("{step:<11} {limits}")
    }
}

impl Asked {
    fn new(arrivals: &[Instant], scale: f64) -> Asked {
        let span = match arrivals {
            [first, .., last] => Some(*last - *first),
            _ => None,
        };
        let gaps = arrivals.len().saturating_sub(1) as f64;
        let per_s = span.filter(|span| !span.is_zero()).map(|span| gaps / span.as_secs_f64() * scale);
        Asked { requests: arrivals.len() as u64, per_s }
    }
}

/// What is said before the runs.
pub(crate) fn heading(settings: &Settings) -> String {
    format!(
        "{} on one host, each of which takes the server {} ({} here: --scale {})\n{}",
        counted(settings.urls, "URL"),
        seconds(settings.delay_s),
        seconds(settings.delay_s * settings.scale),
        settings.scale,
        "step        limits      promised     floor   measured     (here)     over   2xx   requests/s  held back by"
    )
}

/// One run, for people.
pub(crate) fn run_in_words(run: &Run) -> String {
    let promised = run.promised_s.map_or_else(|| "-".to_owned(), |promised_s| format!("~{promised_s:.0} s"));
    let (floor, over) = match run.within_5_percent {
        _ if run.is_cut_short() => ("-".to_owned(), "-".to_owned()),
        None => (format!("≥ {}", seconds(run.floor_s)), format!("{:.1} %", run.over * 100.0)),
        Some(_) => (seconds(run.floor_s), format!("{:.1} %", run.over * 100.0)),
    };
    let mut words = format!(
        "{:<23} {promised:>8} {floor:>9} {:>10} {:>10} {over:>8} {:>5} {:>12.1}  {}",
        run.name(),
        seconds(run.elapsed_s),
        seconds(run.here_s),
        run.success,
        run.requests_per_s,
        run.held_by
    );
    if run.within_5_percent == Some(false) {
        // What opening connections takes, and a busy machine, does not shrink with the scale.
        let over_here_s = run.here_s * run.over / (1.0 + run.over);
        write!(
            words,
            "\n  ! more than 5 % over the floor, by {} here: as much would be {:.1} % at --scale 1",
            seconds(over_here_s),
            over_here_s / run.floor_s * 100.0
        )
        .expect("a string takes everything");
    }
    if let (Some(rate), Some(per_s)) = (run.limits.rate, run.site.per_s) {
        write!(words, "\n  the site was asked {per_s:.2} times a second, for a rate of {rate}")
            .expect("a string takes everything");
    }
    if let Some(first) = run.results.iter().find(|one| !one.success) {
        let why = match (&first.error, first.status) {
            (Some(error), _) => error.clone(),
            (None, status) => format!("status {}", status.unwrap_or_default()),
        };
        write!(
            words,
            "\n  ! {} of {} failed; the first: {} after {} attempts: {why}",
            run.failed, run.processed, first.url, first.attempts
        )
        .expect("a string takes everything");
    }
    words
}

/// Why the promises are what they are, for people; empty if there were none.
pub(crate) fn reasons(report: &Report) -> String {
    let Settings { urls, delay_s, .. } = report.settings;
    let mut words = String::new();
    let promised = report.runs.iter().filter_map(|run| Some((run, run.promised_s?)));
    for (run, promised_s) in promised.filter(|(run, _)| !run.interrupted && !run.is_cut_short()) {
        let connections = floor::connections_for(urls, delay_s, promised_s);
        let (floor, measured) = (seconds(run.floor_s), seconds(run.elapsed_s));
        words += &match run.step {
            StepName::Blocking => format!("blocking: ~{promised_s:.0} s promised, {measured} measured: so it is\n"),
            StepName::Basic => format!(
                "basic: ~{promised_s:.0} s promised, {measured} measured: that would be {connections} connections, and a session \
                 of aiohttp has {} if nothing is said\n",
                run.limits.at_once
            ),
            StepName::Optimised => format!(
                "optimised: ~{promised_s:.0} s promised, {measured} measured: that would take {connections} connections to the host, \
                 and this step allows itself {}; so it must take {floor}, and is the slower one of the two\n  (as it is \
                 printed there it ends at once: it reads a limit that its constructor never stores)\n",
                run.limits.per_host.unwrap_or(run.limits.at_once)
            ),
        };
    }
    words += &rate_reason(report);
    words
}

/// What the article's rate would be.
fn rate_reason(report: &Report) -> String {
    let limited = report.runs.iter().find_map(|run| Some((run, run.limits.rate? as f64)));
    let Some((run, rate)) = limited.filter(|(run, _)| !run.interrupted) else {
        return String::new();
    };
    let slots = run.limits.at_once as f64;
    format!(
        "rate: the article pauses 1/{rate} s in each of its slots before it asks, which from {slots} of them is a rate of {:.1}; \
         one bucket for all keeps to {rate}\n",
        slots / (1.0 / rate + report.settings.delay_s)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_site_saw_is_told_in_the_articles_seconds() {
        let first = Instant::now();
        let arrivals: Vec<_> = (0..11).map(|n| first + Duration::from_millis(10 * n)).collect();
        let asked = Asked::new(&arrivals, 0.1);
        assert_eq!((asked.requests, asked.per_s.map(f64::round)), (11, Some(10.0)));
        assert_eq!(Asked::new(&arrivals[..1], 0.1).per_s, None);
    }
}
