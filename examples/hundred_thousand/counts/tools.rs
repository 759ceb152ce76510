//! Who counts, and how to read what they write.
//!
//! ```text
//!      valgrind --tool=callgrind ──► instructions in user space, calls of malloc and its family
//!      perf stat ──────────────────► system calls and EAGAIN, by tracepoints, which hardly slow the engine
//!      strace -c ──────────────────► the same where perf may not be used: it slows the side it counts, so that the
//!                                    other side looks fast, more answers come with each wait, and waits look few
//! ```
//!
//! A tool is there if it does what it will be asked for. One that is missing is said to be: at the start, in the report,
//! and by null in the JSON.
//! Not here: what is run under them (`counts`).   Next: `report`.

use std::{
    collections::{BTreeMap, HashSet},
    path::Path,
    process::{Command, Stdio},
};

/// Counts by name.
pub(super) type Counted = BTreeMap<String, f64>;

pub(super) const INSTRUCTIONS: &str = "instructions";
pub(super) const ALLOCATIONS: &str = "allocations";
/// All system calls together; no call has this name, and none the next.
pub(super) const TOTAL: &str = "total";
/// Those that failed with it.
pub(super) const EAGAIN: &str = "EAGAIN";
/// Those that perf was not asked for by name.
const OTHER: &str = "other";

/// The calls that a client of sockets may be busy with. Not every machine has each: where there is no `epoll_wait`,
/// there is `epoll_pwait`.
const NAMES: [&str; 17] = [
    "epoll_wait",
    "epoll_pwait",
    "epoll_ctl",
    "sendto",
    "recvfrom",
    "sendmsg",
    "recvmsg",
    "read",
    "write",
    "readv",
    "writev",
    "futex",
    "socket",
    "connect",
    "close",
    "mmap",
    "munmap",
];

const PERF_ALL: &str = "raw_syscalls:sys_enter";
const PERF_ENDS: &str = "raw_syscalls:sys_exit";

/// The tools of this machine.
#[derive(Debug)]
pub(crate) struct Tools {
    pub(super) instructions: Option<Tool>,
    pub(super) syscalls: Option<Tool>,
}

/// Something that counts.
#[derive(Debug)]
pub(super) enum Tool {
    Callgrind,
    /// With the names that its kernel has tracepoints for.
    Perf(Vec<&'static str>),
    Strace,
    /// The engine's own loop.
    Loop,
}

impl Tools {
    /// Looks for the tools by trying them.
    pub(crate) fn find() -> Self {
        let traces = |event: &str| works("perf", &["stat", "-e", event, "true"]);
        let syscalls = if traces(PERF_ALL) && traces(PERF_ENDS) {
            Some(Tool::Perf(NAMES.into_iter().filter(|name| traces(&event_of(name))).collect()))
        } else {
            works("strace", &["-f", "-c", "-o", "/dev/null", "true"]).then_some(Tool::Strace)
        };
        let profiles = works("valgrind", &["-q", "--tool=callgrind", "--callgrind-out-file=/dev/null", "true"]);
        Self { instructions: profiles.then_some(Tool::Callgrind), syscalls }
    }

    /// A line for each thing that cannot be counted here.
    pub(crate) fn missing(&self) -> Vec<&'static str> {
        let mut missing = Vec::new();
        if self.instructions.is_none() {
            missing.push("instructions and allocations: MISSING, there is no valgrind here");
        }
        if self.syscalls.is_none() {
            missing.push("system calls: MISSING, perf may not read tracepoints here, and strace does not work");
        }
        missing
    }
}

impl Tool {
    /// What the report calls it.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Tool::Callgrind => "valgrind --tool=callgrind",
            Tool::Perf(_) => "perf stat on tracepoints",
            Tool::Strace => "strace -f -c, which slows what it counts",
            Tool::Loop => "the loop's own counters",
        }
    }

    pub(super) fn short_name(&self) -> &'static str {
        match self {
            Tool::Callgrind => "callgrind",
            Tool::Perf(_) => "perf",
            Tool::Strace => "strace",
            Tool::Loop => "loop",
        }
    }

    /// The words before the command that is counted. Its counts go to `file`.
    pub(super) fn command(&self, file: &Path) -> Vec<String> {
        let file = file.display();
        let words = |text: String| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        match self {
            Tool::Callgrind => {
                let mut command = words("valgrind -q --tool=callgrind".to_owned());
                command.push(format!("--callgrind-out-file={file}"));
                command
            }
            Tool::Perf(names) => {
                let mut command = words("perf stat -x, -o".to_owned());
                command.push(file.to_string());
                let events = std::iter::once(PERF_ALL.to_owned()).chain(names.iter().map(|name| event_of(name)));
                command.extend(events.flat_map(|event| ["-e".to_owned(), event]));
                // EAGAIN is 11 on every 64-bit Linux; a filter is for the event before it.
                command.extend(["-e", PERF_ENDS, "--filter", "ret == -11"].map(str::to_owned));
                command
            }
            Tool::Strace => {
                // -I 1: it ends by Ctrl-C.
                let mut command = words("strace -f -c -I 1 -U calls,errors,name -o".to_owned());
                command.push(file.to_string());
                command
            }
            Tool::Loop => Vec::new(),
        }
    }

    /// Who starts the engine: `this` process, unless the tool stands between the two.
    pub(super) fn is_parent_of(&self, this: Option<u32>) -> Option<u32> {
        match self {
            Tool::Callgrind | Tool::Loop => this,
            Tool::Perf(_) | Tool::Strace => None,
        }
    }

    /// Reads what it has written.
    pub(super) fn read(&self, written: &str) -> Result<Counted, String> {
        match self {
            Tool::Callgrind => read_callgrind(written),
            Tool::Perf(names) => read_perf(written, names),
            Tool::Strace => read_strace(written),
            Tool::Loop => Err("a loop writes nothing".to_owned()),
        }
    }
}

fn works(program: &str, arguments: &[&str]) -> bool {
    let mut command = Command::new(program);
    let status = command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

/// The tracepoint of a call.
fn event_of(name: &str) -> String {
    format!("syscalls:sys_enter_{name}")
}

fn read_callgrind(profile: &str) -> Result<Counted, String> {
    let summary = profile.lines().find_map(|line| line.strip_prefix("summary: ")?.trim().parse().ok());
    let instructions: f64 = summary.ok_or("the profile has no summary")?;
    let allocations = calls_of(profile, &["malloc", "calloc", "realloc", "posix_memalign", "aligned_alloc"]);
    Ok([(INSTRUCTIONS, instructions), (ALLOCATIONS, allocations)].map(|(name, count)| (name.to_owned(), count)).into())
}

/// How often the functions of these names were called.
///
/// A call is two lines, `cfn=(12) malloc` and `calls=345 ...`. The name is written the first time only, be it that of a
/// callee or of a function of its own.
fn calls_of(profile: &str, names: &[&str]) -> f64 {
    let mut wanted = HashSet::new();
    let mut callee = "";
    let mut calls = 0.0;
    for line in profile.lines() {
        let called = line.strip_prefix("cfn=");
        if let Some(function) = called.or_else(|| line.strip_prefix("fn=")) {
            let (number, name) = function.split_once(' ').unwrap_or((function, ""));
            if names.contains(&name) {
                wanted.insert(number);
            }
            if called.is_some() {
                callee = number;
            }
        } else if let Some(count) = line.strip_prefix("calls=")
            && wanted.contains(callee)
        {
            calls += count.split(' ').next().and_then(|count| count.parse::<f64>().ok()).unwrap_or_default();
        }
    }
    calls
}

/// `count,unit,event,...`, a line for each event.
fn read_perf(report: &str, names: &[&'static str]) -> Result<Counted, String> {
    let count = |event: &str| {
        let line = report.lines().find(|line| line.split(',').nth(2) == Some(event));
        let count = line.and_then(|line| line.split(',').next()?.parse::<f64>().ok());
        count.ok_or_else(|| format!("{event} was not counted"))
    };
    let mut counted = Counted::new();
    let mut other = count(PERF_ALL)?;
    counted.insert(TOTAL.to_owned(), other);
    counted.insert(EAGAIN.to_owned(), count(PERF_ENDS)?);
    for name in names {
        let calls = count(&event_of(name))?;
        other -= calls;
        counted.insert((*name).to_owned(), calls);
    }
    counted.insert(OTHER.to_owned(), other);
    Ok(counted)
}

/// `calls errors name`, a line for each call, without the errors where there were none. In a warm loop they are EAGAIN.
fn read_strace(report: &str) -> Result<Counted, String> {
    let mut counted = Counted::from([(EAGAIN.to_owned(), 0.0)]);
    for line in report.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (calls, errors, name) = match words[..] {
            [calls, name] => (calls, "0", name),
            [calls, errors, name] => (calls, errors, name),
            _ => continue,
        };
        if let (Ok(calls), Ok(errors)) = (calls.parse::<f64>(), errors.parse::<f64>()) {
            if name == TOTAL {
                counted.insert(EAGAIN.to_owned(), errors);
            }
            counted.insert(name.to_owned(), calls);
        }
    }
    if counted.contains_key(TOTAL) { Ok(counted) } else { Err("the table has no total".to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted<const N: usize>(counts: [(&str, f64); N]) -> Counted {
        counts.map(|(name, count)| (name.to_owned(), count)).into()
    }

    #[test]
    fn callgrind_tells_instructions_and_every_call_of_the_allocator() {
        let profile = "\
positions: line
events: Ir
summary: 62819277

fl=(1) main.rs
fn=(7) main
12 30
cob=(2) libc.so.6
cfi=(3) malloc.c
cfn=(12) malloc
calls=345 3281
+1 6900
cfn=(13) free
calls=344 3350
* 4000
fn=(14) realloc
80 7
cfn=(12)
calls=5 3281
* 100

fn=(15) vec::grow
99 3
cfn=(14)
calls=6 3400
+2 60
cfn=(16) malloc_usable_size
calls=1000 1
* 1
totals: 62819277
";
        assert_eq!(read_callgrind(profile), Ok(counted([(INSTRUCTIONS, 62_819_277.0), (ALLOCATIONS, 356.0)])));
        assert!(read_callgrind("events: Ir\n").is_err());
    }

    #[test]
    fn perf_tells_calls_by_name_and_what_else_there_was() {
        let report = "\
# started on Sun Nov 22 20:20:29 2026

100,,raw_syscalls:sys_enter,786326,100.00,,
40,,syscalls:sys_enter_sendto,786326,100.00,,
45,,syscalls:sys_enter_recvfrom,786326,100.00,,
5,,raw_syscalls:sys_exit,786326,100.00,,
";
        let expected = counted([(TOTAL, 100.0), (EAGAIN, 5.0), ("sendto", 40.0), ("recvfrom", 45.0), (OTHER, 15.0)]);
        assert_eq!(read_perf(report, &["sendto", "recvfrom"]), Ok(expected));
    }

    #[test]
    fn an_event_that_perf_did_not_count_is_an_error_and_not_zero() {
        let report = "9,,raw_syscalls:sys_enter,1,100.00,,\n<not counted>,,raw_syscalls:sys_exit,0,100.00,,\n";
        assert_eq!(read_perf(report, &[]), Err("raw_syscalls:sys_exit was not counted".to_owned()));
        assert!(read_perf("", &[]).is_err());
    }

    #[test]
    fn strace_tells_calls_by_name_and_errors_in_all() {
        let report = "\
    calls    errors syscall
--------- --------- ----------------
     1000           sendto
     1200       200 recvfrom
       31         1 openat
--------- --------- ----------------
     2231       201 total
";
        let expected =
            counted([(TOTAL, 2231.0), (EAGAIN, 201.0), ("sendto", 1000.0), ("recvfrom", 1200.0), ("openat", 31.0)]);
        assert_eq!(read_strace(report), Ok(expected));
        assert!(read_strace("strace: exec: Permission denied\n").is_err());
    }
}
