//! A hundred thousand requests.
//!
//! The question that this library was built to answer: what does it take to send a hundred thousand GETs over a hundred
//! connections from one thread, and how much of that is the event loop?
//!
//! ```text
//!     flags ─► preflight ─► server, in its process
//!                           for each round: for each engine: a process ─► its report
//!                           comparison, counts
//! ```
//!
//! Run it: `cargo run --release --example hundred_thousand`; `--help` tells the rest.
//!
//! | file | chapter |
//! |---|---|
//! | `flags` | what is asked for |
//! | `preflight` | can it work here? |
//! | `conduct` | one process for each side |
//! | `window` | who asks next |
//! | `schedule` | when requests begin |
//! | `binding` | what held the work back |
//! | `engine` | who carries the requests |
//! | `server` | who answers |
//! | `faults` | what if one answer in a hundred is faulty? |
//! | `counts` | what a request costs, counted |
//! | `contract`, `progress`, `report` | what is said aloud, how far it is, what it took |
//! | `page` | what it took, as a page of plots |
//!
//! Not here: any of these; this page only puts them in order.   Next: `flags`.

mod binding;
mod conduct;
mod contract;
mod counts;
mod engine;
mod faults;
mod flags;
mod page;
mod preflight;
mod progress;
mod report;
mod schedule;
mod server;
mod window;

use std::{env, io, process::ExitCode};

use clap::{CommandFactory, Parser, error::ErrorKind};
use serde::de::DeserializeOwned;
use windlass_examples::{
    figures::thousands,
    out::{self, Aside},
    process, python,
    rounds::in_turn,
};

use crate::{
    conduct::{Interrupt, Server},
    contract::{Answer, EngineName, Plan, ServedBy, ServerPlan, Settings, Told},
    counts::Tools,
    faults::script::Script,
    flags::Flags,
    progress::Progress,
};

/// Every request succeeded.
const SUCCESS: u8 = 0;
/// Some requests failed, or the program itself did.
const FAILURE: u8 = 1;
/// What was asked for cannot be carried out here.
const REFUSED: u8 = 2;

fn main() -> ExitCode {
    let mut arguments = env::args().skip(1);
    let done = match arguments.next().as_deref() {
        Some(conduct::ENGINE_ROLE) => as_child(arguments, engine::run_as_child),
        Some(conduct::SERVER_ROLE) => as_child(arguments, server::run_as_child),
        _ => conduct_all(&parse_flags()),
    };
    ExitCode::from(done.unwrap_or_else(|error| {
        out::to_stderr(&format!("hundred_thousand: {error}"));
        FAILURE
    }))
}

fn as_child<P: DeserializeOwned>(
    mut arguments: impl Iterator<Item = String>,
    run: impl FnOnce(&P) -> io::Result<()>,
) -> io::Result<u8> {
    let plan = serde_json::from_str(&arguments.next().unwrap_or_default())?;
    run(&plan)?;
    Ok(SUCCESS)
}

fn parse_flags() -> Flags {
    let checked = Flags::parse().checked();
    checked.unwrap_or_else(|message| Flags::command().error(ErrorKind::ValueValidation, message).exit())
}

/// Those of `engines` that are to be had here. What is not is said aloud: who compares engines must know who is missing.
fn to_be_had(engines: &[EngineName], settings: Settings) -> Vec<EngineName> {
    let is_there = |engine: &EngineName| {
        use EngineName::{Asyncio, Epoll, Reqwest, Tokio, TokioRaw, Uvloop, Windlass};
        let probed = match engine {
            Reqwest | Asyncio | Uvloop if settings.max_requests.is_some_and(|most| most > 1) => {
                Err("it keeps connections or does not: --max-requests 1, or none".to_owned())
            }
            Windlass | Tokio | TokioRaw | Reqwest | Epoll => Ok(()),
            Asyncio => python::probe("aiohttp"),
            Uvloop => python::probe("aiohttp, uvloop"),
        };
        probed.inspect_err(|reason| out::to_stderr(&format!("SKIPPED: {engine}: {reason}"))).is_ok()
    };
    engines.iter().copied().filter(is_there).collect()
}

/// What else must be known before the first request.
fn remarks(settings: Settings, tools: Option<&Tools>, engines: &[EngineName]) -> Vec<String> {
    let faults = settings.faults.map(|Script { per_cent, seed }| {
        format!("{per_cent} % of the answers are faulty, by the script of --seed {seed}")
    });
    let missing = tools.map(Tools::missing).unwrap_or_default().into_iter().map(|missing| format!("! {missing}"));
    let python = tools.filter(|_| engines.iter().any(|engine| engine.is_python()));
    let compiled = python.map(|_| "! counts: of compiled engines alone".to_owned());
    faults.into_iter().chain(missing).chain(compiled).collect()
}

/// Runs everything and yields the exit status.
fn conduct_all(flags: &Flags) -> io::Result<u8> {
    let settings = flags.settings();
    if let Some(Err(error)) = flags.report.as_deref().map(page::can_be_written) {
        out::to_stderr(&format!("hundred_thousand: {error}"));
        return Ok(REFUSED);
    }
    let served_by = if flags.url.is_some() { ServedBy::Given } else { ServedBy::Own };
    let preflight = preflight::check(settings, served_by)?;
    if !preflight.shortages.is_empty() {
        for shortage in preflight.shortages {
            out::to_stderr(&format!("hundred_thousand: {shortage}"));
        }
        return Ok(REFUSED);
    }
    let engines = to_be_had(&flags.engine, settings);
    if engines.is_empty() {
        out::to_stderr("hundred_thousand: none of the engines asked for is to be had here");
        return Ok(REFUSED);
    }
    let interrupt = Interrupt::listen()?;
    let cores = Cores::choose(&process::cores()?, served_by);
    let own_server = match flags.url {
        Some(_) => None,
        None => {
            let answer = flags.answer().unwrap_or(Answer::DEFAULT);
            Some(Server::start(&ServerPlan {
                core: cores.server,
                parent: std::process::id(),
                answer,
                faults: settings.faults,
            })?)
        }
    };
    let target = match (&flags.url, &own_server) {
        (Some(url), _) => url.to_string(),
        (None, Some(server)) => server.url.clone(),
        (None, None) => unreachable!("without a URL there is a server"),
    };

    let aside = if flags.json { Aside::Stderr } else { Aside::Stdout };
    let tools = flags.counts.map(|_| Tools::find());
    aside.say(&format!("{} GETs of {target}", thousands(settings.requests)));
    preflight.notes.iter().chain([&cores.in_words]).for_each(|note| aside.say(&format!("  {note}")));
    remarks(settings, tools.as_ref(), &engines).iter().for_each(|remark| aside.say(&format!("  {remark}")));

    let mut runs: Vec<Told> = Vec::new();
    let (mut broken, mut is_well) = (None, true);
    'rounds: for round in 1..=flags.rounds {
        for engine in in_turn(&engines, round) {
            let plan = plan(flags, engine, round, &target, &cores, own_server.as_ref());
            let progress = Progress::new(engine, settings.requests, aside);
            let told = conduct::run_engine(&[], &plan, &interrupt, |word| progress.hear(word));
            drop(progress);
            match told {
                Ok(Some(mut told)) => {
                    let complaints = report::judge(&mut told, settings);
                    if !flags.json {
                        out::to_stdout(&report::run_in_words(&told, settings));
                    }
                    complaints.iter().for_each(|complaint| aside.say(&format!("  ! {complaint}")));
                    is_well &= complaints.is_empty();
                    runs.push(told);
                }
                Ok(None) => {}
                // It was to be there beside the others, not in their way.
                Err(error) if flags.python && engine.is_python() => out::to_stderr(&format!("SKIPPED: {error}")),
                Err(error) => broken = Some(error),
            }
            if interrupt.signal().is_some() || broken.is_some() {
                break 'rounds;
            }
        }
    }
    if !flags.json {
        out::to_stdout(&report::comparison_in_words(&runs, settings));
        if flags.article {
            out::to_stdout(&report::little_in_words(&runs, settings));
        }
    }
    let mut counts = None;
    if let (Some(tools), Some(requests), None, None) = (&tools, flags.counts, &broken, interrupt.signal()) {
        let plan = |engine| plan(flags, engine, 1, &target, &cores, own_server.as_ref());
        let compiled: Vec<_> = engines.iter().copied().filter(|engine| !engine.is_python()).collect();
        match counts::count(tools, served_by, requests, &compiled, plan, &interrupt, aside) {
            Ok(counted) => counts = counted,
            Err(error) => broken = Some(error),
        }
        if let (false, Some(counts)) = (flags.json, &counts) {
            out::to_stdout(&counts::in_words(counts, tools, served_by));
        }
    }
    drop(own_server);

    if flags.json {
        let report = report::contract(&target, flags, &runs, counts.as_ref());
        out::to_stdout(&format!("{}\n", serde_json::to_string(&report)?));
    }
    if let Some(path) = &flags.report {
        page::write(path, &target, settings, &runs)?;
        aside.say(&format!("plots: {}", path.display()));
    }
    if let Some(error) = broken {
        return Err(error);
    }
    Ok(match interrupt.signal() {
        Some(signal) => 128 + u8::try_from(signal).expect("signals are below 65"),
        None if is_well => SUCCESS,
        None => FAILURE,
    })
}

fn plan(flags: &Flags, engine: EngineName, round: u32, url: &str, cores: &Cores, own_server: Option<&Server>) -> Plan {
    Plan {
        engine,
        round,
        url: url.to_owned(),
        settings: flags.settings(),
        timeout: flags.timeout(),
        progress_every: progress::words_every(flags.requests),
        core: cores.engine,
        server: own_server.map(Server::pid),
        parent: Some(std::process::id()),
    }
}

/// Which side stays on which core.
struct Cores {
    engine: Option<usize>,
    server: Option<usize>,
    in_words: String,
}

impl Cores {
    fn choose(allowed: &[usize], served_by: ServedBy) -> Self {
        match *allowed {
            [engine, server, ..] if served_by == ServedBy::Own => Self {
                engine: Some(engine),
                server: Some(server),
                in_words: format!("each engine on core {engine}, the server on core {server}"),
            },
            [engine, _, ..] => {
                Self { engine: Some(engine), server: None, in_words: format!("each engine on core {engine}") }
            }
            _ => Self { engine: None, server: None, in_words: "one core only: nothing is pinned".to_owned() },
        }
    }
}
