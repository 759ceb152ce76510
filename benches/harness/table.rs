//! The one table.
//!
//! A line is a figure, a column a side; behind the median its spread, and how many times cheaper than the baseline it is.
//! At the end of a line stands what was promised, and whether this run kept it.
//!
//! ```text
//!      yield_1            windlass           tokio-localrt     smol               promised
//!        ns/yield         9.1 ±2%  4.8x      44.1 ±1%          78.6 ±3%  0.56x    at least 3.5x: met
//! ```
//!
//! Next: `machine`.

use std::fmt::Write;

use serde_json::{Value, json};

use super::rows::{Floor, Line, ROWS};
use super::samples::{Measured, Samples};
use crate::runtimes::Side;

/// The names of all rows, for `--list`.
pub(crate) fn list() -> String {
    ROWS.iter().map(|row| format!("{:<20} {}\n", row.name, row.about)).collect()
}

/// Whether a promise was kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Met,
    /// Worse by less than the rounds differ among themselves.
    Even,
    Missed,
    NotMeasured,
}

impl Verdict {
    fn word(self) -> &'static str {
        match self {
            Verdict::Met => "met",
            Verdict::Even => "even, within the spread",
            Verdict::Missed => "MISSED",
            Verdict::NotMeasured => "not measured",
        }
    }
}

/// Everything as text: the machine, the table, the count of promises.
pub(crate) fn render(head: &[String], measured: &[Measured]) -> String {
    const FIGURE: usize = 24;
    const CELL: usize = 21;
    let columns: Vec<Side> = Side::ALL.iter().copied().filter(|&side| has_any(measured, side)).collect();
    let mut text = String::from("\n");
    for line in head {
        writeln!(text, "{line}").expect("a string takes all");
    }
    writeln!(text, "cells     median ± spread, then how many times cheaper than {}", Side::BASELINE.name())
        .expect("a string takes all");
    let names: String = columns.iter().map(|side| format!("{:<CELL$}", side.name())).collect();
    writeln!(text, "\n{:<FIGURE$}{names}promised", "").expect("a string takes all");
    let mut verdicts = Vec::new();
    for figures in measured {
        writeln!(text, "{}: {}", figures.row.name, figures.row.about).expect("a string takes all");
        for line in figures.row.lines {
            // A promise that was not measured is a line all the same.
            if line.floors.is_empty() && !figures.metrics.contains_key(line.metric) {
                continue;
            }
            let cells: String = columns.iter().map(|&side| format!("{:<CELL$}", cell(figures, line, side))).collect();
            let promises: Vec<String> = line
                .floors
                .iter()
                .map(|&floor| {
                    let verdict = judge(floor, line, figures, measured);
                    verdicts.push(verdict);
                    format!("{}: {}", in_words(floor), verdict.word())
                })
                .collect();
            writeln!(text, "  {:<FIGURE$}{cells}{}", line.unit, promises.join("; "), FIGURE = FIGURE - 2)
                .expect("a string takes all");
        }
    }
    let count = |verdict| verdicts.iter().filter(|&&other| other == verdict).count();
    writeln!(
        text,
        "\npromises: {} met, {} even, {} missed, {} not measured",
        count(Verdict::Met),
        count(Verdict::Even),
        count(Verdict::Missed),
        count(Verdict::NotMeasured),
    )
    .expect("a string takes all");
    text
}

/// Everything as JSON, with every sample.
pub(crate) fn json(head: &[String], measured: &[Measured]) -> String {
    let rows: Vec<Value> = measured
        .iter()
        .map(|figures| {
            let lines: Vec<Value> = figures.row.lines.iter().map(|line| json_line(line, figures, measured)).collect();
            let samples: Value = figures
                .metrics
                .iter()
                .map(|(metric, sides)| {
                    let sides: Value =
                        sides.iter().map(|(side, samples)| ((*side).to_owned(), json!(samples.values()))).collect();
                    (metric.clone(), sides)
                })
                .collect();
            json!({ "row": figures.row.name, "about": figures.row.about, "figures": lines, "samples": samples })
        })
        .collect();
    format!("{:#}\n", json!({ "head": head, "rows": rows }))
}

fn json_line(line: &Line, figures: &Measured, measured: &[Measured]) -> Value {
    let promises: Vec<Value> = line
        .floors
        .iter()
        .map(|&floor| json!({ "promised": in_words(floor), "verdict": judge(floor, line, figures, measured).word() }))
        .collect();
    let medians: Value = figures
        .metrics
        .get(line.metric)
        .into_iter()
        .flatten()
        .map(|(side, samples)| ((*side).to_owned(), json!({ "median": samples.median(), "spread": samples.spread() })))
        .collect();
    json!({ "metric": line.metric, "unit": line.unit, "sides": medians, "promises": promises })
}

fn has_any(measured: &[Measured], side: Side) -> bool {
    measured.iter().any(|figures| figures.metrics.values().any(|sides| sides.contains_key(side.name())))
}

fn cell(figures: &Measured, line: &Line, side: Side) -> String {
    let Some(samples) = figures.get(line.metric, side.name()) else {
        return "-".to_owned();
    };
    let median = samples.median();
    let mut cell = short(median);
    if samples.values().len() > 1 && median != 0.0 {
        write!(cell, " ±{:.0}%", 100.0 * samples.spread() / median.abs()).expect("a string takes all");
    }
    let baseline = figures.get(line.metric, Side::BASELINE.name()).map(Samples::median);
    if let Some(baseline) = baseline
        && side != Side::BASELINE
        && baseline > 0.0
        && median > 0.0
    {
        write!(cell, " {}x", short(baseline / median)).expect("a string takes all");
    }
    cell
}

/// Three digits, or all of them before the point.
fn short(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        small if small < 9.995 => format!("{value:.2}"),
        middling if middling < 99.95 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

fn in_words(floor: Floor) -> String {
    match floor {
        Floor::Faster(factor) => format!("at least {factor}x"),
        Floor::AtMost(most) => format!("at most {most}"),
        Floor::Exactly(value) => format!("exactly {value}"),
        Floor::Never => "none".to_owned(),
        Floor::NoWorse => format!("no more than {}", Side::BASELINE.name()),
        Floor::BareLoopPlus(more) => format!("at most {}'s + {more}", Side::Mio.name()),
        Floor::Flat { row, factor } => format!("within {:.0}% of {row}", (factor - 1.0) * 100.0),
    }
}

fn judge(floor: Floor, line: &Line, figures: &Measured, measured: &[Measured]) -> Verdict {
    let Some(ours) = figures.get(line.metric, Side::OURS.name()) else {
        return Verdict::NotMeasured;
    };
    let of = |side: Side| figures.get(line.metric, side.name());
    let in_row = |name: &str| measured.iter().find(|other| other.row.name == name)?.get(line.metric, Side::OURS.name());
    let kept = match floor {
        Floor::Faster(factor) => of(Side::BASELINE).map(|theirs| theirs.median() >= factor * ours.median()),
        Floor::AtMost(most) => Some(ours.median() <= most),
        // Of a count that must be right, every run must be.
        Floor::Exactly(value) => Some(ours.values().iter().all(|&seen| seen == value)),
        Floor::Never => Some(ours.median() < 0.005),
        Floor::NoWorse => return of(Side::BASELINE).map_or(Verdict::NotMeasured, |theirs| no_worse(ours, theirs)),
        Floor::BareLoopPlus(more) => of(Side::Mio).map(|theirs| ours.median() <= theirs.median() + more),
        Floor::Flat { row, factor } => in_row(row).map(|other| ours.median() <= factor * other.median()),
    };
    match kept {
        Some(true) => Verdict::Met,
        Some(false) => Verdict::Missed,
        None => Verdict::NotMeasured,
    }
}

fn no_worse(ours: &Samples, theirs: &Samples) -> Verdict {
    let more = ours.median() - theirs.median();
    // Half a per cent is not to be seen in the table, and a count's start and end may make as much.
    if more <= 0.005 * theirs.median() {
        Verdict::Met
    } else if more <= ours.spread() + theirs.spread() {
        Verdict::Even
    } else {
        Verdict::Missed
    }
}
