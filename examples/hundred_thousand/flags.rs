//! What is asked for.
//!
//! ```text
//!     command line ──► Flags (clap) ──► Settings, engines in turn, target
//! ```
//!
//! Not here: whether the machine can do it (`preflight`).   Next: `preflight`.

use std::{str::FromStr, time::Duration};

use clap::Parser;
use windlass::http::Url;
use windlass_examples::figures::parse_seconds;

use crate::contract::{Answer, EngineName, Settings};

const ABOUT: &str = "\
Sends a hundred thousand GETs over a hundred connections, a thousand requests at a time, and tells what it took: \
with this library's loop, with hyper on tokio, with a hand-written GET on tokio's sockets, and, if asked to, with reqwest.";

const AFTER: &str = "\
Without --url a server is started for the run. Each engine's round runs in a process of its own on one core, the \
server in another on the next core.

With --counts each engine runs again under valgrind (callgrind), which makes it fifty times slower, and under perf, or \
strace where perf may not read tracepoints. Which of them are missing is said before the rounds and in the report.

In the report, the window holds the requests under way, those that wait for a connection included; latency counts \
from entering it, exchange from having a connection, and in flight are those that have one.

In the comparison, a ratio is the other's median time by this one's: above 1, this one is faster.

Exit status: 0 every request succeeded; 1 some failed, or a descriptor was left open, or a process broke down; \
2 the command line cannot be carried out here; 130 ended by Ctrl-C, with the report so far.";

/// The command line.
#[derive(Debug, Parser)]
#[command(name = "hundred_thousand", version, about = ABOUT, after_help = AFTER)]
pub(crate) struct Flags {
    /// Write one JSON object to stdout and nothing else; progress goes to stderr
    #[arg(long)]
    pub(crate) json: bool,

    /// Ask this server and start none; http only
    #[arg(long, value_name = "URL", value_parser = parse_url)]
    pub(crate) url: Option<Url>,

    /// How many GETs in all
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) requests: u64,

    /// How many requests are under way at once, those that wait for a connection included
    #[arg(long, value_name = "C", default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub(crate) concurrency: u64,

    /// How many connections to the host at most
    #[arg(long, value_name = "P", default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub(crate) per_host: u64,

    /// How many requests a connection carries before it is closed; with 1 each request has a new one
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) max_requests: Option<u64>,

    /// Bytes in each answer of the program's own server [default: 128]
    #[arg(long, value_name = "BYTES", conflicts_with = "url", value_parser = clap::value_parser!(u64).range(..=1_000_000_000))]
    pub(crate) body: Option<u64>,

    /// Answers in chunks of so many bytes
    #[arg(long, value_name = "BYTES", conflicts_with = "url", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) chunk: Option<u64>,

    /// Seconds that the program's own server waits before it answers
    #[arg(long, value_name = "SECONDS", conflicts_with = "url", value_parser = parse_seconds, allow_negative_numbers = true)]
    pub(crate) delay: Option<Duration>,

    /// Work in batches of so many requests and wait for each to end; `none` keeps the window full
    #[arg(long, value_name = "B|none", default_value = "none")]
    pub(crate) batch: Batch,

    /// Which engines, with commas between them
    #[arg(long, value_name = "LIST", value_enum, value_delimiter = ',', default_value = "windlass,tokio,tokio-raw")]
    pub(crate) engine: Vec<EngineName>,

    /// How often each engine has its turn; the order alternates
    #[arg(long, value_name = "R", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) rounds: u32,

    /// After the rounds, count what a request costs: instructions, allocations and system calls, of 2 N requests less
    /// those of N
    #[arg(long, value_name = "N", num_args = 0..=1, default_missing_value = "20000",
        value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    pub(crate) counts: Option<u64>,

    /// Seconds for one request, from entering the window to the last byte of the body
    #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = parse_seconds, allow_negative_numbers = true)]
    pub(crate) timeout: Duration,
}

impl Flags {
    /// The part that the report repeats.
    pub(crate) fn settings(&self) -> Settings {
        let Self { requests, concurrency, per_host, max_requests, .. } = *self;
        let answer = self.answer().filter(|answer| *answer != Answer::DEFAULT);
        Settings { requests, concurrency, per_host, batch: self.batch.0, max_requests, answer }
    }

    /// What the program's own server is to answer; none if there is none.
    pub(crate) fn answer(&self) -> Option<Answer> {
        if self.url.is_some() {
            return None;
        }
        let body = self.body.unwrap_or(Answer::DEFAULT.body);
        Some(Answer { body, chunk: self.chunk, delay_s: self.delay.map(|delay| delay.as_secs_f64()) })
    }

    /// Who runs in `round`, in which order: to and fro, so that no engine always comes first.
    pub(crate) fn turns(&self, round: u32) -> Vec<EngineName> {
        let mut engines = self.engine.clone();
        if round.is_multiple_of(2) {
            engines.reverse();
        }
        engines
    }

    /// The first engine that is named twice.
    pub(crate) fn engine_named_twice(&self) -> Option<EngineName> {
        let mut named = self.engine.iter().enumerate();
        named.find(|(position, engine)| self.engine[..*position].contains(engine)).map(|(_, engine)| *engine)
    }
}

/// A batch size, or none.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Batch(Option<u64>);

impl FromStr for Batch {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.parse() {
            _ if text == "none" => Ok(Self(None)),
            Ok(size) if size > 0 => Ok(Self(Some(size))),
            _ => Err("give a number above zero, or `none`".to_owned()),
        }
    }
}

fn parse_url(text: &str) -> Result<Url, String> {
    match Url::parse(text) {
        Ok(url) if url.scheme() == "http" => Ok(url),
        Ok(_) => Err("http only: not every engine here speaks TLS".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags(line: &[&str]) -> Result<Flags, clap::Error> {
        Flags::try_parse_from(["hundred_thousand"].iter().chain(line))
    }

    #[test]
    fn nothing_said_means_a_hundred_thousand_over_a_hundred_connections() {
        let settings = flags(&[]).unwrap().settings();
        let expected = Settings {
            requests: 100_000,
            concurrency: 1000,
            per_host: 100,
            batch: None,
            max_requests: None,
            answer: None,
        };
        assert_eq!(settings, expected);
    }

    #[test]
    fn another_servers_answers_are_not_ours_to_choose() {
        for line in [["--body", "5"], ["--chunk", "5"], ["--delay", "5"]] {
            let chosen = flags(&line).unwrap();
            assert!(chosen.settings().answer.is_some());
            assert!(flags(&[&["--url", "http://localhost/"][..], &line].concat()).is_err(), "{line:?}");
        }
    }

    #[test]
    fn engines_take_turns_to_and_fro() {
        let flags = flags(&["--engine", "windlass,tokio"]).unwrap();
        assert_eq!(flags.turns(1), [EngineName::Windlass, EngineName::Tokio]);
        assert_eq!(flags.turns(2), [EngineName::Tokio, EngineName::Windlass]);
    }

    #[test]
    fn an_engine_named_twice_is_found() {
        assert_eq!(flags(&["--engine", "tokio,tokio"]).unwrap().engine_named_twice(), Some(EngineName::Tokio));
        assert_eq!(flags(&[]).unwrap().engine_named_twice(), None);
    }

    #[test]
    fn counts_are_of_twenty_thousand_requests_unless_another_number_is_given() {
        for (line, expected) in [
            (&[][..], None),
            (&["--counts"], Some(20_000)),
            (&["--counts", "500"], Some(500)),
            (&["--counts", "--json"], Some(20_000)),
        ] {
            assert_eq!(flags(line).unwrap().counts, expected);
        }
        assert!(flags(&["--counts", "0"]).is_err());
    }

    #[test]
    fn what_is_no_http_url_is_refused_in_words() {
        for text in ["https://example.org/", "/path", "http://", "http://me@example.org/", "example.org:80"] {
            assert!(flags(&["--url", text]).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_and_spans_of_nothing_are_refused() {
        for line in [["--batch", "0"], ["--requests", "0"], ["--timeout", "0"], ["--timeout", "NaN"], ["--rounds", "0"]]
        {
            assert!(flags(&line).is_err(), "{line:?}");
        }
    }
}
