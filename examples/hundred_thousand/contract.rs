//! What is said aloud.
//!
//! Everything here crosses a border: from the program to a script that reads `--json`, or between the program and the
//! child processes it starts. The names are a contract; scripts lean on them.
//!
//! ```text
//!     flags ──► Plan ──(argument, JSON)──► engine's child ──(lines, JSON)──► Word::Progress ... Word::Report(Told)
//!                                                                                                     │
//!                                         stdout: Report { runs, comparison } ◄── Run ◄───────────────┘
//! ```
//!
//! Not here: how a figure comes about (`window`, `binding`), how it is shown to people (`report`).   Next: `window`.

use std::{
    collections::BTreeMap,
    fmt::{self, Display},
    time::Duration,
};

use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use windlass_examples::{latency::Summary, out};

use crate::{binding::Little, counts::Counts, faults::script::Script};

/// Who carries the requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum EngineName {
    /// This library: its loop and its HTTP client.
    Windlass,
    /// hyper on tokio's `LocalRuntime`.
    Tokio,
    /// A hand-written GET over tokio's sockets, on the same runtime.
    TokioRaw,
    /// reqwest, the client that most programs on tokio use, on the same runtime.
    Reqwest,
    /// aiohttp on asyncio's own loop, in Python.
    Asyncio,
    /// aiohttp on uvloop: libuv under asyncio's interface.
    Uvloop,
    /// The floor: epoll by hand, and as little else as possible.
    Epoll,
}

impl EngineName {
    /// As in the flags and in the report.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Windlass => "windlass",
            Self::Tokio => "tokio",
            Self::TokioRaw => "tokio-raw",
            Self::Reqwest => "reqwest",
            Self::Asyncio => "asyncio",
            Self::Uvloop => "uvloop",
            Self::Epoll => "epoll",
        }
    }

    /// Whether it runs in Python, and is no part of this program.
    pub(crate) fn is_python(self) -> bool {
        matches!(self, Self::Asyncio | Self::Uvloop)
    }
}

impl Display for EngineName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.pad(self.as_str())
    }
}

/// What may hold the work back; the names in `limits`. Only what this program has or can measure is reported: it knows
/// no delay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Limit {
    /// Share of the run in which the window was full and every request in it had a connection.
    Concurrency,
    /// Share of the run in which requests waited for one of the connections to the host.
    PerHost,
    /// Share of the run in which requests waited and most connections were still being made.
    Connect,
    /// Share of the run in which nothing but the schedule of `--rate` kept requests from beginning.
    Rate,
    /// CPU time of the embedded server by the run's time; 1.0 is a core of its own, fully used.
    Server,
    /// CPU time of the engine by the run's time.
    Loop,
    /// Share of the run in which a batch had nothing left to start and connections stood idle.
    BatchBarrier,
}

impl Limit {
    /// As in the report.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Concurrency => "concurrency",
            Self::PerHost => "per_host",
            Self::Connect => "connect",
            Self::Rate => "rate",
            Self::Server => "server",
            Self::Loop => "loop",
            Self::BatchBarrier => "batch_barrier",
        }
    }
}

/// Who answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ServedBy {
    /// The program's own server.
    Own,
    /// One that `--url` names.
    Given,
}

/// What one engine is to do in one round, handed to its process.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Plan {
    pub(crate) engine: EngineName,
    pub(crate) round: u32,
    pub(crate) url: String,
    pub(crate) settings: Settings,
    /// One limit for a whole exchange, from entering the window to the last byte.
    pub(crate) timeout: Duration,
    /// Say how far it is each time so many requests have ended.
    pub(crate) progress_every: u64,
    /// The core to stay on.
    pub(crate) core: Option<usize>,
    /// The embedded server's process, to ask for its CPU time.
    pub(crate) server: Option<u32>,
    /// Who started it; none if there is a tool between, which is then its parent.
    pub(crate) parent: Option<u32>,
}

/// What the embedded server's process is told.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ServerPlan {
    pub(crate) core: Option<usize>,
    pub(crate) parent: u32,
    pub(crate) answer: Answer,
    /// Which requests it answers faultily.
    pub(crate) faults: Option<Script>,
}

/// What a child process says, one JSON value a line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Word {
    /// The server accepts connections here.
    Listening(String),
    /// So many requests have ended after so many seconds.
    Progress { done: u64, elapsed_s: f64 },
    /// The run is over.
    Report(Box<Told>),
}

impl Word {
    /// Says it to the process that started this one.
    pub(crate) fn say(&self) {
        let line = serde_json::to_string(self).expect("words have only string keys and finite numbers");
        out::to_stdout(&format!("{line}\n"));
    }
}

/// What an engine's process tells of its run: the contract's part and what only people are shown.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Told {
    pub(crate) run: Run,
    pub(crate) interrupted: bool,
    /// The first failure of each kind, in words.
    pub(crate) first_failures: BTreeMap<String, String>,
    pub(crate) descriptors_before: Option<u64>,
    pub(crate) descriptors_after: Option<u64>,
    /// How many operations of our loop would have blocked.
    pub(crate) would_block: Option<u64>,
    /// Of all the time that connections had, the share in which they stood idle behind a batch's barrier.
    pub(crate) barrier_idle: f64,
    /// With `--faults`: how each request ended that did not end with a 200, by its number.
    #[serde(default)]
    pub(crate) endings: Endings,
}

/// How requests ended, by their numbers: with which status, or as which kind of failure. One that is not in it ended with
/// a 200.
pub(crate) type Endings = BTreeMap<u64, String>;

/// The size and shape of the work.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Settings {
    pub(crate) requests: u64,
    pub(crate) concurrency: u64,
    pub(crate) per_host: u64,
    pub(crate) batch: Option<u64>,
    /// Requests that a connection carries before it is closed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) max_requests: Option<u64>,
    /// What the program's own server answers; none if it is another's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) answer: Option<Answer>,
    /// Requests that begin in a second, whatever the answers do; none if each begins when another ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) rate: Option<f64>,
    /// Which requests the program's own server answers faultily.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) faults: Option<Script>,
}

/// What the program's own server answers to every request.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Answer {
    /// Bytes of body.
    pub(crate) body: u64,
    /// Sent in chunks of so many bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) chunk: Option<u64>,
    /// Seconds before it is sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) delay_s: Option<f64>,
}

impl Answer {
    /// 128 bytes, at once.
    pub(crate) const DEFAULT: Answer = Answer { body: 128, chunk: None, delay_s: None };
}

impl Settings {
    /// What the program does if nothing is said; the tests begin with it.
    #[cfg(test)]
    pub(crate) const DEFAULT: Settings = Settings {
        requests: 100_000,
        concurrency: 1000,
        per_host: 100,
        batch: None,
        max_requests: None,
        answer: None,
        rate: None,
        faults: None,
    };

    /// The most connections that can be in use at once.
    pub(crate) fn connections(self) -> u64 {
        self.per_host.min(self.in_window())
    }

    /// The most requests that can be in the window at once.
    pub(crate) fn in_window(self) -> u64 {
        self.concurrency.min(self.requests).min(self.batch.unwrap_or(u64::MAX))
    }
}

/// One engine's round.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Run {
    pub(crate) engine: EngineName,
    pub(crate) round: u32,
    /// How many entered the window: all, unless the run was interrupted.
    pub(crate) requests: u64,
    pub(crate) ok: u64,
    /// By the names that the library's client has for them, all present.
    pub(crate) failed: BTreeMap<String, u64>,
    pub(crate) elapsed_s: f64,
    pub(crate) requests_per_s: f64,
    /// Of the successful requests, from entering the window to the last body byte.
    pub(crate) latency_us: Summary,
    /// Of the successful requests, from having a connection to the last body byte.
    pub(crate) exchange_us: Summary,
    pub(crate) in_flight: InFlight,
    /// None if the engine does not tell.
    pub(crate) connections: Option<Connections>,
    pub(crate) bytes_in: u64,
    /// What they are of; left out where they are all.
    #[serde(default, skip_serializing_if = "BytesOf::is_wire")]
    pub(crate) bytes_in_of: BytesOf,
    pub(crate) retries: u64,
    pub(crate) limits: BTreeMap<Limit, f64>,
    #[serde(rename = "loop")]
    pub(crate) turns: Option<Turns>,
    pub(crate) user_s: f64,
    pub(crate) sys_s: f64,
    pub(crate) peak_rss_kb: u64,
    /// How it kept to the schedule of `--rate`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) pace: Option<Pace>,
    /// With `--faults`: whether every request ended as the server's script says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) faults: Option<Judged>,
}

impl Run {
    /// Requests that did not succeed.
    pub(crate) fn failures(&self) -> u64 {
        self.failed.values().sum()
    }

    /// CPU time of the engine for one request, in seconds.
    pub(crate) fn cpu_per_request_s(&self) -> f64 {
        (self.user_s + self.sys_s) / self.requests.max(1) as f64
    }
}

/// Requests that have a connection.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct InFlight {
    pub(crate) max: u64,
    /// None if it is not known: the run was interrupted, and how long those under way had had theirs was never told.
    pub(crate) mean: Option<f64>,
}

/// Which of the bytes that came an engine can count.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum BytesOf {
    /// All that came over the wire, heads and bodies.
    #[default]
    Wire,
    /// Bodies, once they are decoded; heads the engine keeps to itself.
    Bodies,
}

impl BytesOf {
    fn is_wire(&self) -> bool {
        *self == Self::Wire
    }
}

/// How often a connection was made, and how often one served again.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Connections {
    pub(crate) opened: u64,
    pub(crate) reused: u64,
}

/// How an engine kept to a schedule.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Pace {
    /// Requests a second that were to begin, and that did.
    pub(crate) asked_per_s: f64,
    pub(crate) reached_per_s: f64,
    /// How many began late, and why.
    pub(crate) late: Late,
    /// How long after its time each request began; zero for one in time.
    pub(crate) late_us: Summary,
}

/// Requests that began later than they were to, beyond what a timer's precision explains.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Late {
    /// All of the window was taken when they were due.
    pub(crate) window_full: u64,
    /// The loop was busy with others and came to them late.
    #[serde(rename = "loop")]
    pub(crate) busy_loop: u64,
}

/// What came of a server's script.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Judged {
    /// How many faults of each kind there were, all present.
    pub(crate) scripted: BTreeMap<String, u64>,
    /// How many requests did not end as the script says; zero, or something is wrong.
    pub(crate) differ: u64,
}

/// What the loop counted itself.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Turns {
    pub(crate) ticks: u64,
    pub(crate) polls: u64,
    pub(crate) wakes: u64,
    pub(crate) syscalls: u64,
}

/// The one JSON object of `--json`.
#[derive(Debug, Serialize)]
pub(crate) struct Report<'a> {
    pub(crate) program: &'static str,
    pub(crate) version: &'static str,
    pub(crate) target: &'a str,
    pub(crate) settings: Settings,
    pub(crate) runs: Vec<&'a Run>,
    pub(crate) comparison: Vec<Comparison>,
    /// Only with `--article`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) held_back: Option<Vec<HeldBack>>,
    /// Only with `--counts`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) counts: Option<&'a Counts>,
}

/// One engine beside the others.
#[derive(Debug, Serialize)]
pub(crate) struct Comparison {
    pub(crate) engine: EngineName,
    /// None of a row that is void.
    pub(crate) median_s: Option<f64>,
    /// The median distance of the rounds' times from `median_s`, as a share of it.
    pub(crate) spread: Option<f64>,
    /// The other's median time by this one's: above one, this one is faster. Of and to rows that are void there is none.
    pub(crate) ratio_to: BTreeMap<&'static str, f64>,
    /// Why the row is no measure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) void: Option<String>,
}

/// What held one engine back, beside what follows from the settings; medians of its rounds.
#[derive(Debug, Serialize)]
pub(crate) struct HeldBack {
    pub(crate) engine: EngineName,
    pub(crate) limits: BTreeMap<Limit, f64>,
    /// What Little's law says.
    pub(crate) little: Little,
    /// What was measured: requests that had a connection, and the means of latency and exchange in seconds.
    pub(crate) in_flight_mean: f64,
    pub(crate) latency_s: f64,
    pub(crate) exchange_s: f64,
}
