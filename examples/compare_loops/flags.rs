//! What is asked for.
//!
//! ```text
//!     command line ──► Flags (clap) ──► tasks, rounds, and who is wanted
//! ```
//!
//! Not here: who of them is to be had (`choose`).   Next: `engine`.

use std::fmt::{self, Display};

use clap::{CommandFactory, Parser, ValueEnum, error::ErrorKind};
use serde::{Deserialize, Serialize};

const ABOUT: &str = "\
Spawns 10,000 tasks that each sleep a millisecond, waits for all of them, and tells how long that takes: on this library's \
loop, on tokio's LocalRuntime and on tokio's current_thread runtime, and, if asked to, on asyncio and uvloop.";

const AFTER: &str = "\
Each round of each engine has a process of its own, fresh and pinned to one core; the order alternates. The clock runs from \
before the first task is spawned to after the last is joined; starting the process and the loop is not in it. The three in \
Rust run one source over a trait.

What it measures: what a task and a timer cost when 10,000 of them come at once. What it does not: sockets (none is \
opened), fairness, how late a single sleep is, memory, or your program. An event loop that is twice as fast here saves a \
program that waits for servers next to nothing.

auto is the first of windlass, tokio-local and tokio that works here, and says which. uvloop, where it is not to be had, is \
replaced by asyncio, and that is said too. --python adds asyncio and uvloop; what is missing is skipped, loudly. The \
interpreter is python3, or the one that WINDLASS_PYTHON names, such as that of a venv: \
python3 -m venv DIR && DIR/bin/pip install uvloop && export WINDLASS_PYTHON=DIR/bin/python

Exit status: 0 all rounds ran; 1 a process broke down; 2 the command line makes no sense, or no engine is to be had; 130 \
ended by Ctrl-C, with the report so far.";

/// The command line.
#[derive(Debug, Parser)]
#[command(name = "compare_loops", version, about = ABOUT, after_help = AFTER)]
pub(crate) struct Flags {
    /// Write one JSON object to stdout and nothing else; what is said aside goes to stderr
    #[arg(long)]
    pub(crate) json: bool,

    /// How many tasks
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    pub(crate) tasks: u64,

    /// How often each engine has its turn
    #[arg(long, value_name = "R", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) rounds: u32,

    /// Which engines, with commas between them, or `auto`
    #[arg(long, value_name = "LIST", value_enum, value_delimiter = ',', default_value = "windlass,tokio-local,tokio")]
    engine: Vec<Wanted>,

    /// asyncio and uvloop, too
    #[arg(long)]
    python: bool,
}

/// Who does the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum EngineName {
    /// This library.
    Windlass,
    /// tokio's `LocalRuntime`: one thread, and tasks that need not be `Send`, as here.
    TokioLocal,
    /// tokio's `current_thread` runtime: one thread, and `tokio::spawn`.
    Tokio,
    /// Python's own loop.
    Asyncio,
    /// libuv under asyncio's interface.
    Uvloop,
}

/// Who is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Wanted {
    /// The first that works here, of those in Rust
    Auto,
    /// This library
    Windlass,
    /// tokio's LocalRuntime
    TokioLocal,
    /// tokio's current_thread runtime
    Tokio,
    /// Python's asyncio
    Asyncio,
    /// uvloop, or asyncio in its place
    Uvloop,
}

impl Display for EngineName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.pad(match self {
            Self::Windlass => "windlass",
            Self::TokioLocal => "tokio-local",
            Self::Tokio => "tokio",
            Self::Asyncio => "asyncio",
            Self::Uvloop => "uvloop",
        })
    }
}

/// One who is wanted: those that will do, the best first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wish {
    /// As it was put.
    pub(crate) asked: &'static str,
    pub(crate) candidates: &'static [EngineName],
}

impl Wanted {
    fn wish(self) -> Wish {
        use EngineName::{Asyncio, Tokio, TokioLocal, Uvloop, Windlass};
        let (asked, candidates): (_, &[_]) = match self {
            Self::Auto => ("auto", &[Windlass, TokioLocal, Tokio]),
            Self::Windlass => ("windlass", &[Windlass]),
            Self::TokioLocal => ("tokio-local", &[TokioLocal]),
            Self::Tokio => ("tokio", &[Tokio]),
            Self::Asyncio => ("asyncio", &[Asyncio]),
            Self::Uvloop => ("uvloop", &[Uvloop, Asyncio]),
        };
        Wish { asked, candidates }
    }
}

impl Flags {
    /// What clap cannot check: ends the process if it makes no sense.
    pub(crate) fn checked(self) -> Flags {
        let mut named = self.engine.iter().enumerate();
        if named.any(|(position, engine)| self.engine[..position].contains(engine)) {
            let message = "--engine names an engine twice: use --rounds to run it more often";
            Flags::command().error(ErrorKind::ValueValidation, message).exit();
        }
        self
    }

    /// Who is wanted, in the order of the report.
    pub(crate) fn wanted(&self) -> Vec<Wish> {
        let mut wishes: Vec<_> = self.engine.iter().map(|wanted| wanted.wish()).collect();
        if self.python {
            // Side by side, and neither in the place of the other.
            for (asked, candidates) in [("asyncio", &[EngineName::Asyncio]), ("uvloop", &[EngineName::Uvloop])] {
                if !wishes.iter().any(|wish| wish.asked == asked) {
                    wishes.push(Wish { asked, candidates });
                }
            }
        }
        wishes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(line: &[&str]) -> Vec<&'static str> {
        let flags = Flags::try_parse_from(["compare_loops"].iter().chain(line)).unwrap();
        flags.wanted().iter().map(|wish| wish.asked).collect()
    }

    #[test]
    fn python_is_added_to_whoever_is_asked_for() {
        assert_eq!(asked(&[]), ["windlass", "tokio-local", "tokio"]);
        assert_eq!(asked(&["--engine", "auto", "--python"]), ["auto", "asyncio", "uvloop"]);
        assert_eq!(asked(&["--engine", "uvloop", "--python"]), ["uvloop", "asyncio"]);
    }

    #[test]
    fn nothing_to_do_is_refused() {
        for line in [["--tasks", "0"], ["--rounds", "0"], ["--engine", "fastest"]] {
            assert!(Flags::try_parse_from(["compare_loops"].iter().chain(&line)).is_err(), "{line:?}");
        }
    }
}
