//! A crawler in three steps.
//!
//! A hundred URLs, each of which takes its server a second. Articles on asyncio fetch them one after the other, then all
//! at once, then with limits, time-outs and retries, and promise a hundred seconds, then ten, then three. How long it takes
//! is no matter of the loop at all: the limits say it beforehand, and whoever promises three seconds has not run it.
//!
//! ```text
//!   blocking    ├─1─┤├─2─┤├─3─┤ ...                 100 x 1 s               = 100 s
//!   basic       ├─1─┤ all of them at once           100 / 100 connections   =   1 s
//!   optimised   ├1..5┤├6..10┤├11..15┤ ...           100 / 5 to the host     =  20 s
//! ```
//!
//! Run it: `cargo run --release --example crawl_steps`; `--help` tells the rest.
//!
//! | file | chapter |
//! |---|---|
//! | `flags` | what is asked for |
//! | `floor` | how long it must take, and what holds it back |
//! | `site` | who answers, and takes its time |
//! | `outcome` | what became of each URL |
//! | `blocking`, `basic`, `optimised` | the three steps |
//! | `progress` | how far a step is |
//! | `report` | what was promised, what must be, and what was |
//!
//! Not here: any of these; this page only puts them in order.   Next: `flags`.

mod basic;
mod blocking;
mod flags;
mod floor;
mod optimised;
mod outcome;
mod progress;
mod report;
mod site;

use std::{io, process::ExitCode, rc::Rc};

use clap::Parser;
use windlass::{Runner, cancel::catch, http::Url, time::Instant};
use windlass_examples::out::{self, Aside};

use crate::{
    flags::{Flags, Plan, StepName},
    outcome::Outcomes,
    progress::Progress,
    report::{Report, Run},
    site::Site,
};

/// Every URL was answered with a 2xx.
const SUCCESS: u8 = 0;
/// Some were not, or the program itself failed.
const FAILURE: u8 = 1;
/// Ctrl-C, as shells have it: 128 and the number of the signal.
const INTERRUPTED: u8 = 130;

fn main() -> ExitCode {
    let flags = Flags::checked(Flags::parse());
    // Ctrl-C cancels main, which catches that and still reports; a second one ends the process.
    let code = match Runner::new().run(take_all_steps(flags)) {
        Ok(Ok(code)) => code,
        Ok(Err(error)) => complain(&error),
        Err(error) => complain(&error),
    };
    ExitCode::from(code)
}

fn complain(error: &dyn std::error::Error) -> u8 {
    out::to_stderr(&format!("crawl_steps: {error}"));
    FAILURE
}

/// Takes one step after the other, and yields the exit status.
///
/// # Errors
/// The site cannot be had, or the report cannot be written.
async fn take_all_steps(flags: Flags) -> io::Result<u8> {
    let settings = flags.settings();
    let site = Site::start(settings.delay_here(), settings.failing)?;
    let urls = site.urls(settings.urls);
    let aside = if flags.json { Aside::Stderr } else { Aside::Stdout };
    aside.say(&report::heading(&settings));

    let mut report = Report::new(settings);
    for plan in flags.plans() {
        let outcomes = Outcomes::of(&urls);
        let progress = Progress::of(plan.step.as_str(), urls.len(), outcomes.clone());
        let began = Instant::now();
        let ended = catch(take_step(&plan, &urls, &outcomes)).await;
        drop(progress);
        let run = Run::new(&settings, &plan, began.elapsed(), &outcomes, &site.take_arrivals());
        let run = if ended.is_ok() { run } else { run.interrupted() };
        report::run_in_words(&run).lines().for_each(|line| aside.say(line));
        report.runs.push(run);
        if ended.is_err() {
            aside.say("interrupted: what came so far is counted");
            break;
        }
    }
    if flags.json {
        out::to_stdout(&format!("{}\n", serde_json::to_string(&report)?));
    } else {
        out::to_stdout(&report::reasons(&report));
    }
    Ok(exit_status(&report))
}

async fn take_step(plan: &Plan, urls: &[Rc<Url>], outcomes: &Outcomes) {
    match plan.step {
        StepName::Blocking => blocking::crawl(urls, plan.timeout, outcomes).await,
        StepName::Basic => basic::crawl(urls, plan, outcomes).await,
        StepName::Optimised => optimised::crawl(urls, plan, outcomes).await,
    }
}

fn exit_status(report: &Report) -> u8 {
    if report.runs.iter().any(|run| run.interrupted) {
        INTERRUPTED
    } else if report.runs.iter().all(|run| run.failed == 0) {
        SUCCESS
    } else {
        FAILURE
    }
}
