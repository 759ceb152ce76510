//! Ten thousand naps.
//!
//! The usual way to compare event loops: spawn 10,000 tasks that each sleep a millisecond, wait for all of them, and see
//! how long it takes. A perfect loop needs a millisecond. What it needs beyond is what a task and a timer cost.
//!
//! ```text
//!   for each round: for each engine: a process, pinned ──► spawn x 10,000 ──► sleep(1 ms) ──► join ──► one line
//!                                                                                                       │
//!      windlass   tokio-local   tokio      one source over a trait  ┐                                   ▼
//!      asyncio    uvloop                   one script, the same     ┴──────────────────► medians, spread, ratios
//! ```
//!
//! Run it: `cargo run --release --example compare_loops`; `--help` tells the rest, and what the figures do not say.
//!
//! | file | chapter |
//! |---|---|
//! | `flags` | what is asked for |
//! | `engine` | the work, over a trait; and who does it |
//! | `choose` | which engines are to be had here, and what takes the place of those that are not |
//! | `child` | a process for each round of each |
//! | `compare_loops.py` | the same work for asyncio and uvloop |
//! | `report` | medians, spread, ratios |
//!
//! Not here: any of these; this page only puts them in order.   Next: `flags`.

mod child;
mod choose;
mod engine;
mod flags;
mod report;

use std::{
    env, io,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use clap::Parser;
use signal_hook::{consts::SIGINT, flag, iterator::Signals};
use windlass_examples::{
    out::{self, Aside},
    process,
    rounds::in_turn,
};

use crate::{child::Plan, choose::Chosen, flags::Flags, report::Report};

/// Every round ran, and what was asked for was there.
const SUCCESS: u8 = 0;
/// A process broke down.
const FAILURE: u8 = 1;
/// None of the engines that were asked for is to be had here.
const REFUSED: u8 = 2;
/// Ctrl-C, as shells have it: 128 and the number of the signal.
const INTERRUPTED: i32 = 130;

fn main() -> ExitCode {
    let mut arguments = env::args().skip(1);
    let done = match arguments.next().as_deref() {
        Some(child::ROLE) => child::run_as_child(&arguments.next().unwrap_or_default()).map(|()| SUCCESS),
        _ => compare(&Flags::checked(Flags::parse())),
    };
    ExitCode::from(done.unwrap_or_else(|error| {
        out::to_stderr(&format!("compare_loops: {error}"));
        FAILURE
    }))
}

/// Notes the first Ctrl-C at once, lest another round begin; a thread of its own judges whether there is a second, which ends
/// the process.
fn listen(interrupted: Arc<AtomicBool>) -> io::Result<()> {
    flag::register(SIGINT, interrupted)?;
    let mut signals = Signals::new([SIGINT])?;
    thread::Builder::new().name("interrupt".to_owned()).spawn(move || {
        if process::meant(&mut signals).nth(1).is_some() {
            std::process::exit(INTERRUPTED);
        }
    })?;
    Ok(())
}

/// Runs all rounds, and yields the exit status.
///
/// # Errors
/// A child cannot be started, or breaks down.
fn compare(flags: &Flags) -> io::Result<u8> {
    // The first Ctrl-C ends the run after the child that is running, the second at once.
    let interrupted = Arc::new(AtomicBool::new(false));
    listen(Arc::clone(&interrupted))?;
    let is_interrupted = || interrupted.load(Ordering::Relaxed);

    let aside = if flags.json { Aside::Stderr } else { Aside::Stdout };
    let Chosen { engines, fallbacks, skipped } = choose::choose(&flags.wanted());
    fallbacks.iter().for_each(|fallback| aside.say(&fallback.to_string()));
    skipped.iter().for_each(|one| out::to_stderr(&format!("SKIPPED: {one}")));
    if engines.is_empty() {
        out::to_stderr("compare_loops: none of the engines asked for is to be had here");
        return Ok(REFUSED);
    }
    let core = match process::cores()?.as_slice() {
        [first, _, ..] => Some(*first),
        _ => None,
    };
    let mut report = Report::new(flags, core, fallbacks, skipped);
    aside.say(&report::heading(&report));
    let mut broken = None;
    'rounds: for round in 1..=flags.rounds {
        for engine in in_turn(&engines, round) {
            let plan = Plan { engine, tasks: flags.tasks, core, parent: std::process::id() };
            match child::run(&plan) {
                _ if is_interrupted() => break 'rounds,
                Ok(told) => report.add(engine, round, told),
                Err(error) => {
                    broken = Some(error);
                    break 'rounds;
                }
            }
        }
    }
    report.interrupted = is_interrupted();
    report.compare();
    if flags.json {
        out::to_stdout(&format!("{}\n", serde_json::to_string(&report)?));
    } else {
        out::to_stdout(&report::comparison_in_words(&report));
    }
    match broken {
        Some(error) => Err(error),
        None if report.interrupted => Ok(INTERRUPTED as u8),
        None => Ok(SUCCESS),
    }
}
