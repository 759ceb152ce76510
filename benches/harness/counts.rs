//! What can be counted and does not depend on the weather: instructions, allocations, system calls.
//!
//! The child of the timed rounds runs again under a tool, once with few operations and once with many; the difference,
//! divided by how many more they were, is what one operation costs once the loop is warm.
//!
//! ```text
//!      callgrind   ──► instructions (user space), calls of malloc and its family
//!      perf stat   ──► system calls, writes, EAGAIN        by tracepoints, which hardly slow the child;
//!      strace -c   ──► the same where perf may not be used: a traced child is slow, so its peer looks fast
//! ```
//!
//! The allocator is not wrapped to count: the timed runs would pay for it, and those that allocate most the most.
//!
//! Next: `samples`.

use std::path::Path;
use std::process::{Command, Stdio};

use super::args::{Counting, Length, Plan};
use super::child::Order;
use super::parent::{child, output_of};

/// Which tools this machine has.
pub(crate) struct Counters {
    callgrind: Presence,
    syscalls: Option<Tracer>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Presence {
    There,
    Missing,
}

/// Who counts system calls.
#[derive(Clone, Copy)]
enum Tracer {
    Perf,
    Strace,
}

/// Counts by name.
type Counted = Vec<(&'static str, f64)>;

impl Counters {
    /// Looks for the tools by trying them.
    pub(crate) fn find() -> Counters {
        let callgrind = if works("valgrind", &["--version"]) { Presence::There } else { Presence::Missing };
        let syscalls = if works("perf", &["stat", "-e", "raw_syscalls:sys_enter", "true"]) {
            Some(Tracer::Perf)
        } else if works("strace", &["-f", "-c", "true"]) {
            Some(Tracer::Strace)
        } else {
            None
        };
        Counters { callgrind, syscalls }
    }

    /// The lines above the table that say how it was counted, and what could not be.
    pub(crate) fn describe(&self, plan: &Plan) -> Vec<String> {
        let instructions = match (plan.counting, plan.length, self.callgrind) {
            (Counting::Off, ..) => "not asked for",
            (Counting::AsLengthHasIt, Length::Quick, _) => "left out of a quick run; --counts has them",
            (_, _, Presence::Missing) => "MISSING: there is no valgrind here",
            (_, _, Presence::There) => "valgrind --tool=callgrind, user space, of 2n operations less those of n",
        };
        let syscalls = match (plan.counting, self.syscalls) {
            (Counting::Off, _) => "not asked for",
            (_, None) => "MISSING: perf may not read tracepoints here, and there is no strace",
            (_, Some(Tracer::Perf)) => "perf stat on tracepoints, of n operations less those of n/10",
            (_, Some(Tracer::Strace)) => {
                "strace -f -c (which slows the side it counts), of n operations less those of n/10"
            }
        };
        vec![format!("instr.    {instructions}"), format!("syscalls  {syscalls}")]
    }

    /// Instructions and allocations an operation.
    pub(crate) fn instructions(&self, n: u64, order: impl Fn(u64) -> Order) -> Result<Counted, String> {
        if self.callgrind == Presence::Missing {
            return Ok(Vec::new());
        }
        difference((n, 2 * n), order, callgrind)
    }

    /// System calls, writes and would-blocks an operation.
    pub(crate) fn syscalls(&self, n: u64, order: impl Fn(u64) -> Order) -> Result<Counted, String> {
        // How many connections share a wait is a matter of timing and differs from run to run: a tenth as the short run
        // keeps its part in the difference small.
        let lengths = (n / 10, n);
        match self.syscalls {
            None => Ok(Vec::new()),
            Some(Tracer::Perf) => difference(lengths, order, perf),
            Some(Tracer::Strace) => difference(lengths, order, strace),
        }
    }
}

fn works(program: &str, arguments: &[&str]) -> bool {
    let status = Command::new(program).args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

/// What `count` sees of many operations beyond few, for each that they are more.
fn difference(
    (few, many): (u64, u64),
    order: impl Fn(u64) -> Order,
    count: fn(&Order) -> Result<Counted, String>,
) -> Result<Counted, String> {
    let (short, long) = (count(&order(few))?, count(&order(many))?);
    let per_operation = |((metric, short), (_, long)): ((&'static str, f64), (_, f64))| {
        // The start-up of two processes differs by a few: that is not less than nothing.
        (metric, ((long - short) / (many - few) as f64).max(0.0))
    };
    Ok(short.into_iter().zip(long).map(per_operation).collect())
}

fn callgrind(order: &Order) -> Result<Counted, String> {
    let file = temporary("callgrind");
    let tool = ["valgrind", "-q", "--tool=callgrind", &format!("--callgrind-out-file={file}")].map(str::to_owned);
    let profile = output_of(child(&tool, order)?).and_then(|_| take(&file))?;
    let total = profile.lines().find_map(|line| line.strip_prefix("summary: ")?.trim().parse().ok());
    let total: f64 = total.ok_or("callgrind wrote no summary")?;
    Ok(vec![("instructions", total), ("allocations", allocations(&profile))])
}

/// Calls into the allocator's front doors, from a callgrind profile.
///
/// A call is two lines, `cfn=(12) malloc` and `calls=345 ...`; the name is written the first time only.
fn allocations(profile: &str) -> f64 {
    const FRONT_DOORS: [&str; 5] = ["malloc", "calloc", "realloc", "posix_memalign", "aligned_alloc"];
    let mut doors = std::collections::HashSet::new();
    let mut called = "";
    let mut calls = 0.0;
    for line in profile.lines() {
        if let Some(function) = line.strip_prefix("cfn=").or_else(|| line.strip_prefix("fn=")) {
            let (number, name) = function.split_once(' ').unwrap_or((function, ""));
            if FRONT_DOORS.contains(&name) {
                doors.insert(number);
            }
            called = number;
        } else if let Some(count) = line.strip_prefix("calls=")
            && doors.contains(called)
        {
            calls += count.split(' ').next().and_then(|count| count.parse::<f64>().ok()).unwrap_or_default();
        }
    }
    calls
}

fn perf(order: &Order) -> Result<Counted, String> {
    const ALL: &str = "raw_syscalls:sys_enter";
    const WRITE: &str = "syscalls:sys_enter_write";
    const EXIT: &str = "raw_syscalls:sys_exit";
    let file = temporary("perf");
    // EAGAIN is 11 on every 64-bit Linux; the filter is for the event before it.
    let tool = ["perf", "stat", "-x,", "-o", &file, "-e", ALL, "-e", WRITE, "-e", EXIT, "--filter", "ret == -11"];
    let report = output_of(child(&tool.map(str::to_owned), order)?).and_then(|_| take(&file))?;
    let count = |event: &str| {
        let line = report.lines().find(|line| line.split(',').nth(2) == Some(event))?;
        line.split(',').next()?.parse().ok()
    };
    let count = |event| count(event).ok_or_else(|| format!("perf did not count {event}"));
    Ok(vec![("syscalls", count(ALL)?), ("writes", count(WRITE)?), ("would_block", count(EXIT)?)])
}

fn strace(order: &Order) -> Result<Counted, String> {
    let file = temporary("strace");
    let tool = ["strace", "-f", "-c", "-U", "calls,errors,name", "-o", &file].map(str::to_owned);
    let report = output_of(child(&tool, order)?).and_then(|_| take(&file))?;
    let mut counted = [("syscalls", 0.0), ("writes", 0.0), ("would_block", 0.0)];
    for line in report.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (Some(Ok(calls)), Some(&name)) = (words.first().map(|word| word.parse::<f64>()), words.last()) else {
            continue;
        };
        if name == "total" {
            continue;
        }
        counted[0].1 += calls;
        if name == "write" {
            counted[1].1 += calls;
        }
        // Between the calls and the name: the errors, if there were any. In a warm loop they are EAGAIN.
        if let [_, errors, _] = words[..] {
            counted[2].1 += errors.parse::<f64>().unwrap_or_default();
        }
    }
    Ok(counted.to_vec())
}

fn temporary(tool: &str) -> String {
    let name = format!("windlass-benches-{}.{tool}", std::process::id());
    std::env::temp_dir().join(name).display().to_string()
}

/// Reads a file that a tool has left, and removes it.
fn take(file: &str) -> Result<String, String> {
    let text = std::fs::read_to_string(Path::new(file)).map_err(|error| format!("reading {file}: {error}"));
    // It lies in the temporary folder: left there it does no harm.
    let _ = std::fs::remove_file(file);
    text
}
