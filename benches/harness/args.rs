//! The command line, read leniently: cargo passes `--bench` to every bench target, and whatever the user gave the other.
//!
//! What is meant for criterion alone is ignored with a word on standard error; a bare word picks rows by name, as it does
//! there.
//!
//! Next: the end; `rows` is where a figure is changed.

use std::path::PathBuf;

use super::child::Order;
use crate::runtimes::Side;

/// What the command line came to.
pub(crate) enum Parsed {
    Run(Mode),
    Help(String),
    Wrong(String),
}

/// Which of its three parts this process plays.
pub(crate) enum Mode {
    Parent(Plan),
    Child(Order),
    EchoServer,
    SlowServer,
}

/// What the parent is to run.
#[derive(Default)]
pub(crate) struct Plan {
    pub(crate) length: Length,
    /// Rows whose name this is, or has this in it; empty means all.
    pub(crate) only: Vec<String>,
    pub(crate) json: Option<PathBuf>,
    /// Instead of each row's own number of rounds.
    pub(crate) rounds: Option<u32>,
    pub(crate) counting: Counting,
}

/// How long a run may take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Length {
    #[default]
    Full,
    Quick,
}

/// What is done about instructions, allocations and system calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Counting {
    /// All of it in a full run; in a quick one no callgrind, which takes a minute by itself.
    #[default]
    AsLengthHasIt,
    /// All of it, and nothing is timed: for a machine that is busy with something else.
    Only,
    /// None.
    Off,
}

const HELP: &str = "\
The sides beside each other, in child processes; one table at the end.

    cargo bench --bench sides -- [OPTIONS] [ROW]...

    ROW             only this row, or those whose name has this in it
    --only ROW      the same
    --quick         fewer operations and rounds, no instruction counts; crawl_* only where named
    --rounds N      so many rounds instead of each row's own
    --counts        only what can be counted: instructions, allocations, system calls; times nothing
    --no-counts     only what can be timed
    --json FILE     every sample, too
    --list          the rows
    --help          this

Counts need valgrind (instructions, allocations) and perf or strace (system calls); what is missing is said.";

/// Criterion's options that are followed by a value, so that the value is not taken for a row.
const CRITERION_TAKES: [&str; 13] = [
    "--baseline",
    "--baseline-lenient",
    "--color",
    "--confidence-level",
    "--load-baseline",
    "--measurement-time",
    "--noise-threshold",
    "--nresamples",
    "--profile-time",
    "--sample-size",
    "--save-baseline",
    "--significance-level",
    "--warm-up-time",
];

/// Reads the arguments after the program's name.
pub(crate) fn parse(mut arguments: impl Iterator<Item = String>) -> Parsed {
    let mut plan = Plan::default();
    while let Some(argument) = arguments.next() {
        let taken = match argument.as_str() {
            "--child" => {
                return value(&argument, &mut arguments)
                    .and_then(|row| order(row, arguments))
                    .unwrap_or_else(Parsed::Wrong);
            }
            "--echo-server" => return Parsed::Run(Mode::EchoServer),
            "--slow-server" => return Parsed::Run(Mode::SlowServer),
            "--help" | "-h" => return Parsed::Help(HELP.to_owned()),
            "--list" => return Parsed::Help(super::table::list()),
            _ => take(&argument, &mut arguments, &mut plan),
        };
        if let Err(why) = taken {
            return Parsed::Wrong(why);
        }
    }
    Parsed::Run(Mode::Parent(plan))
}

fn take(argument: &str, rest: &mut impl Iterator<Item = String>, plan: &mut Plan) -> Result<(), String> {
    match argument {
        "--bench" => {}
        "--quick" => plan.length = Length::Quick,
        "--counts" => plan.counting = Counting::Only,
        "--no-counts" => plan.counting = Counting::Off,
        "--only" => plan.only.push(value(argument, rest)?),
        "--json" => plan.json = Some(value(argument, rest)?.into()),
        "--rounds" => plan.rounds = Some(number(&value(argument, rest)?)?),
        other if CRITERION_TAKES.contains(&other) => {
            let value = value(other, rest)?;
            eprintln!("sides: {other} {value} is not for this target; ignored");
        }
        other if other.starts_with('-') => eprintln!("sides: {other} is not for this target; ignored"),
        row => plan.only.push(row.to_owned()),
    }
    Ok(())
}

/// What follows `--child ROW`; written by the parent, so nothing here is lenient.
fn order(row: String, mut arguments: impl Iterator<Item = String>) -> Result<Parsed, String> {
    let mut order = Order { row, side: Side::BASELINE, operations: 1, server: None };
    while let Some(argument) = arguments.next() {
        let value = value(&argument, &mut arguments)?;
        match argument.as_str() {
            "--side" => order.side = Side::from_name(&value).ok_or_else(|| format!("no side named {value}"))?,
            "--n" => order.operations = number(&value)?,
            "--server" => {
                order.server = Some(value.parse().map_err(|_| format!("{value} is not an address"))?);
            }
            other => return Err(format!("a child knows no {other}")),
        }
    }
    Ok(Parsed::Run(Mode::Child(order)))
}

fn value(option: &str, rest: &mut impl Iterator<Item = String>) -> Result<String, String> {
    rest.next().ok_or_else(|| format!("{option} wants a value"))
}

fn number<T: std::str::FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("{text} is not a number"))
}
