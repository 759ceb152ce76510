//! What one request costs, counted.
//!
//! Time depends on the weather: on what else the machine does, and on how fast the other side answers. Instructions,
//! allocations and system calls do so much less. With `--counts` each engine runs again under tools that count them,
//! once with few requests and once with many; what the long run has beyond the short one, divided by how many more
//! requests it had, is what a request costs once everything is warm.
//!
//! ```text
//!     engine, N requests ────┐
//!     engine, 2 N requests ──┴─► difference ─► a request      callgrind: instructions, allocations
//!     N / 10 and 2 N, likewise                                perf or strace: system calls by name, EAGAIN
//!     N / 10 and 2 N, likewise                                no tool: what our loop counts itself
//! ```
//!
//! How many answers one wait brings is a matter of timing and differs from run to run. The short run is a tenth there,
//! so that its part in the difference is small.
//! Not here: which tools there are and how to read them (`tools`).   Next: `tools`.

mod tools;

use std::{
    collections::BTreeMap,
    fmt::{self, Write},
    io,
    time::Duration,
};

use serde::Serialize;
use windlass_examples::{figures::thousands, out::Aside};

pub(crate) use self::tools::Tools;
use self::tools::{Counted, EAGAIN, TOTAL, Tool};
use crate::{
    conduct::{self, Interrupt},
    contract::{EngineName, Plan, ServedBy, Told},
};

/// Instructions that hyper takes for a GET of 128 bytes from nginx, with pool and requests done well. Other servers' heads
/// are shorter or longer: the embedded one's cost hyper a fifth less.
const HYPER_INSTRUCTIONS: f64 = 19_800.0;
/// An engine `tokio` that is further from it has something wrong with it.
const HYPER_TOLERANCE: f64 = 0.1;

/// Under a tool that makes it slow, a run is given at least so long for an exchange.
const TIMEOUT_MIN: Duration = Duration::from_secs(120);

/// What was counted, a request: the key `counts` of the report.
#[derive(Debug, Serialize)]
pub(crate) struct Counts {
    /// How many requests the runs for instructions had, and those for system calls.
    instructions_of: Lengths,
    syscalls_of: Lengths,
    /// The tools; null where there is none.
    instructions_by: Option<&'static str>,
    syscalls_by: Option<&'static str>,
    engines: Vec<EngineCounts>,
}

#[derive(Debug, Clone, Copy, Serialize)]
struct Lengths {
    few: u64,
    many: u64,
}

/// One engine's.
#[derive(Debug, Serialize)]
struct EngineCounts {
    engine: EngineName,
    instructions: Option<f64>,
    allocations: Option<f64>,
    syscalls: Option<Syscalls>,
    /// What the loop counts itself; null for other engines.
    #[serde(rename = "loop")]
    own: Option<Own>,
    /// Why the row is no measure.
    void: Option<String>,
}

/// As the kernel saw them.
#[derive(Debug, Serialize)]
struct Syscalls {
    total: f64,
    would_block: f64,
    by_name: BTreeMap<String, f64>,
}

/// As our loop's metrics have them.
#[derive(Debug, Serialize)]
struct Own {
    ticks: f64,
    polls: f64,
    syscalls: f64,
    would_block: f64,
}

/// Runs each engine under each tool. `plan` says what an engine is to do, but for how many requests.
///
/// `None` if it was interrupted.
///
/// # Errors
/// A process broke down, or did not succeed with every request, or a tool wrote what cannot be read.
pub(crate) fn count(
    tools: &Tools,
    served_by: ServedBy,
    requests: u64,
    engines: &[EngineName],
    plan: impl Fn(EngineName) -> Plan,
    interrupt: &Interrupt,
    aside: Aside,
) -> io::Result<Option<Counts>> {
    let instructions_of = Lengths { few: requests, many: 2 * requests };
    let syscalls_of = Lengths { few: requests.div_ceil(10), many: 2 * requests };
    let mut rows = Vec::new();
    for &engine in engines {
        let plan = plan(engine);
        let measure = |tool: &Tool, lengths| {
            aside.say(&format!("counting {engine}: {}", tool.name()));
            difference(tool, &plan, lengths, interrupt)
        };
        let mut counted = Vec::new();
        for (tool, lengths) in [(&tools.instructions, instructions_of), (&tools.syscalls, syscalls_of)] {
            let Some(tool) = tool else {
                counted.push(None);
                continue;
            };
            match measure(tool, lengths)? {
                Some(of_a_request) => counted.push(Some(of_a_request)),
                None => return Ok(None),
            }
        }
        let own = match engine {
            EngineName::Windlass => match measure(&Tool::Loop, syscalls_of)? {
                Some(own) => Some(own),
                None => return Ok(None),
            },
            _ => None,
        };
        let syscalls = counted.pop().expect("two were pushed");
        let instructions = counted.pop().expect("two were pushed");
        rows.push(EngineCounts::new(engine, served_by, instructions, syscalls, own));
    }
    Ok(Some(Counts {
        instructions_of,
        syscalls_of,
        instructions_by: tools.instructions.as_ref().map(Tool::name),
        syscalls_by: tools.syscalls.as_ref().map(Tool::name),
        engines: rows,
    }))
}

/// What many requests have beyond few, for each that they are more. `None` if it was interrupted.
fn difference(tool: &Tool, plan: &Plan, lengths: Lengths, interrupt: &Interrupt) -> io::Result<Option<Counted>> {
    let Some(few) = run(tool, plan, lengths.few, interrupt)? else { return Ok(None) };
    let Some(many) = run(tool, plan, lengths.many, interrupt)? else { return Ok(None) };
    Ok(Some(for_each_more(&few, &many, lengths)))
}

fn for_each_more(few: &Counted, many: &Counted, lengths: Lengths) -> Counted {
    let each = |(name, many): (&String, &f64)| {
        let more = many - few.get(name).copied().unwrap_or(0.0);
        // The start-up of two processes differs by a few: that is not less than nothing.
        let each = (more / (lengths.many - lengths.few) as f64).max(0.0);
        (name.clone(), (each * 10_000.0).round() / 10_000.0)
    };
    many.iter().map(each).collect()
}

fn run(tool: &Tool, plan: &Plan, requests: u64, interrupt: &Interrupt) -> io::Result<Option<Counted>> {
    let mut plan = plan.clone();
    plan.settings.requests = requests;
    plan.progress_every = u64::MAX;
    plan.server = None; // its CPU time is not asked for
    plan.timeout = plan.timeout.max(TIMEOUT_MIN);
    plan.parent = tool.is_parent_of(plan.parent);
    let file = std::env::temp_dir().join(format!("hundred_thousand-{}.{}", std::process::id(), tool.short_name()));
    let told = conduct::run_engine(&tool.command(&file), &plan, interrupt, |_| {});
    let written = std::fs::read_to_string(&file);
    // It lies in the temporary folder: left there it does no harm.
    let _ = std::fs::remove_file(&file);
    let Some(told) = told?.filter(|told| !told.interrupted) else { return Ok(None) };
    let failures = told.run.failures();
    if failures > 0 {
        let engine = plan.engine;
        return Err(io::Error::other(format!("counting {engine}: {failures} of {requests} requests failed")));
    }
    let counted = match tool {
        Tool::Loop => Ok(by_itself(&told)),
        tool => tool.read(&written?),
    };
    counted.map(Some).map_err(|what| io::Error::other(format!("{}: {what}", tool.name())))
}

/// What the engine's loop counted, if it is ours.
fn by_itself(told: &Told) -> Counted {
    let counts = told.run.turns.map(|turns| [("ticks", turns.ticks), ("polls", turns.polls), (TOTAL, turns.syscalls)]);
    let would_block = told.would_block.map(|count| (EAGAIN, count));
    counts.into_iter().flatten().chain(would_block).map(|(name, count)| (name.to_owned(), count as f64)).collect()
}

impl EngineCounts {
    fn new(
        engine: EngineName,
        served_by: ServedBy,
        program: Option<Counted>,
        kernel: Option<Counted>,
        own: Option<Counted>,
    ) -> Self {
        let of = |counted: &Counted, name: &str| counted.get(name).copied().unwrap_or(0.0);
        let instructions = program.as_ref().map(|counted| of(counted, tools::INSTRUCTIONS));
        Self {
            engine,
            instructions,
            allocations: program.as_ref().map(|counted| of(counted, tools::ALLOCATIONS)),
            syscalls: kernel.map(|mut counted| Syscalls {
                total: counted.remove(TOTAL).unwrap_or(0.0),
                would_block: counted.remove(EAGAIN).unwrap_or(0.0),
                by_name: counted.into_iter().filter(|(_, each)| *each > 0.0).collect(),
            }),
            own: own.map(|counted| Own {
                ticks: of(&counted, "ticks"),
                polls: of(&counted, "polls"),
                syscalls: of(&counted, TOTAL),
                would_block: of(&counted, EAGAIN),
            }),
            void: void(engine, served_by, instructions),
        }
    }
}

/// What is wrong with the row, if anything is.
fn void(engine: EngineName, served_by: ServedBy, instructions: Option<f64>) -> Option<String> {
    let off = instructions? / HYPER_INSTRUCTIONS - 1.0;
    // A server by `--url` is judged as nginx; for the embedded one there is no reference.
    let judged = engine == EngineName::Tokio && served_by == ServedBy::Given;
    (judged && off.abs() > HYPER_TOLERANCE).then(|| format!("{:+.0} % off {}", off * 100.0, reference()))
}

fn reference() -> String {
    format!(
        "the {} instructions that hyper, done well, takes for a GET from nginx",
        thousands(HYPER_INSTRUCTIONS as u64)
    )
}

/// The block of the report, for people.
pub(crate) fn in_words(counts: &Counts, tools: &Tools, served_by: ServedBy) -> String {
    let mut out = String::new();
    write_block(&mut out, counts, tools, served_by).expect("a string takes everything");
    out
}

fn write_block(out: &mut String, counts: &Counts, tools: &Tools, served_by: ServedBy) -> fmt::Result {
    writeln!(out, "counts, a request, once everything is warm")?;
    for (what, by, lengths) in [
        ("instructions and allocations", counts.instructions_by, counts.instructions_of),
        ("system calls", counts.syscalls_by, counts.syscalls_of),
    ] {
        if let Some(tool) = by {
            let (few, many) = (thousands(lengths.few), thousands(lengths.many));
            writeln!(out, "  {what}: {tool}, of {many} requests less those of {few}")?;
        }
    }
    tools.missing().iter().try_for_each(|missing| writeln!(out, "  {missing}"))?;
    writeln!(out, "  engine     instructions  allocations  system calls  EAGAIN")?;
    for row in &counts.engines {
        let whole = |count: Option<f64>| count.map_or_else(|| "MISSING".to_owned(), |each| thousands(each as u64));
        let fine = |count: Option<f64>| count.map_or_else(|| "MISSING".to_owned(), |each| format!("{each:.2}"));
        let syscalls = row.syscalls.as_ref();
        write!(
            out,
            "  {:<9} {:>13} {:>12} {:>13} {:>7}",
            row.engine,
            whole(row.instructions),
            fine(row.allocations),
            fine(syscalls.map(|calls| calls.total)),
            fine(syscalls.map(|calls| calls.would_block))
        )?;
        writeln!(out, "{}", row.void.as_ref().map_or_else(String::new, |why| format!("  void: {why}")))?;
        if let Some(Syscalls { by_name, .. }) = syscalls {
            let mut names: Vec<_> = by_name.iter().filter(|(_, each)| **each >= 0.005).collect();
            names.sort_by(|(_, a), (_, b)| b.total_cmp(a));
            let names: Vec<_> = names.into_iter().map(|(name, each)| format!("{name} {each:.2}")).collect();
            writeln!(out, "            {}", names.join(", "))?;
        }
        if let Some(Own { ticks, polls, syscalls, would_block }) = row.own {
            writeln!(
                out,
                "            by its own count: {ticks:.2} ticks, {polls:.2} polls, {syscalls:.2} system calls, \
                 {would_block:.4} that would have blocked"
            )?;
        }
        if row.engine == EngineName::Tokio && row.instructions.is_some() && row.void.is_none() {
            let judgement = match served_by {
                ServedBy::Given => "within 10 % of",
                ServedBy::Own => "the embedded server's heads are short, so this is not held against",
            };
            writeln!(out, "            {judgement} {}", reference())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(counts: &[(&str, f64)]) -> Counted {
        counts.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
    }

    #[test]
    fn what_the_start_costs_is_in_both_runs_and_in_neither_figure() {
        let few = counted(&[("sendto", 1000.0), ("openat", 40.0), ("mmap", 31.0)]);
        let many = counted(&[("sendto", 2000.0), ("openat", 40.0), ("mmap", 30.0), ("futex", 10.0)]);
        let each = for_each_more(&few, &many, Lengths { few: 1000, many: 2000 });
        assert_eq!(each, counted(&[("sendto", 1.0), ("openat", 0.0), ("mmap", 0.0), ("futex", 0.01)]));
    }

    #[test]
    fn hyper_is_void_beyond_a_tenth_of_its_reference_and_no_other_engine_is() {
        let is_void = |engine, served_by, instructions| void(engine, served_by, instructions).is_some();
        for (instructions, expected) in [
            (Some(17_800.0), true),
            (Some(17_900.0), false),
            (Some(21_700.0), false),
            (Some(21_800.0), true),
            (None, false),
        ] {
            assert_eq!(is_void(EngineName::Tokio, ServedBy::Given, instructions), expected, "{instructions:?}");
        }
        assert!(!is_void(EngineName::Tokio, ServedBy::Own, Some(15_000.0)));
        assert!(!is_void(EngineName::Windlass, ServedBy::Given, Some(6_000.0)));
        assert!(!is_void(EngineName::TokioRaw, ServedBy::Given, Some(5_000.0)));
    }

    #[test]
    fn what_is_missing_or_void_is_said_in_the_block() {
        let instructions = counted(&[(tools::INSTRUCTIONS, 30_000.0)]);
        let row = EngineCounts::new(EngineName::Tokio, ServedBy::Given, Some(instructions), None, None);
        let lengths = Lengths { few: 20_000, many: 40_000 };
        let counts = Counts {
            instructions_of: lengths,
            syscalls_of: lengths,
            instructions_by: Some("a tool"),
            syscalls_by: None,
            engines: vec![row],
        };
        let tools = Tools { instructions: Some(Tool::Callgrind), syscalls: None };
        let block = in_words(&counts, &tools, ServedBy::Given);
        assert!(block.contains("of 40,000 requests less those of 20,000"), "{block}");
        assert!(block.contains("system calls: MISSING"), "{block}");
        assert!(block.contains("void: +52 %"), "{block}");
    }
}
