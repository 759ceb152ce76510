//! What is asked for.
//!
//! ```text
//!     command line ──► Flags (clap) ──► Settings, engines in turn, target
//! ```
//!
//! Not here: whether the machine can do it (`preflight`).   Next: `preflight`.

use std::{
    hash::{BuildHasher, RandomState},
    path::PathBuf,
    str::FromStr,
    time::Duration,
};

use clap::Parser;
use windlass::http::Url;
use windlass_examples::figures::parse_seconds;

use crate::{
    contract::{Answer, EngineName, Settings},
    faults::script::Script,
};

/// How long a request may take, and how long where some are never answered: long beside what a good answer takes.
const TIMEOUT: Duration = Duration::from_secs(30);
const TIMEOUT_OF_FAULTS: Duration = Duration::from_secs(2);

const ABOUT: &str = "\
Sends a hundred thousand GETs over a hundred connections, a thousand requests at a time, and tells what it took: \
with this library's loop, with hyper on tokio, with a hand-written GET on tokio's sockets, and, if asked to, with reqwest, \
with aiohttp on asyncio and on uvloop, and with epoll alone.";

const AFTER: &str = "\
Without --url a server is started for the run. Each engine's round runs in a process of its own on one core, the \
server in another on the next core. Engines take turns within a round; the order alternates.

Engines: windlass is this library; tokio is hyper on tokio's LocalRuntime; tokio-raw a hand-written GET on its sockets; \
reqwest what most programs on tokio use; asyncio and uvloop are aiohttp in Python (python3, or the one that WINDLASS_PYTHON \
names: python3 -m venv DIR && DIR/bin/pip install aiohttp uvloop && export WINDLASS_PYTHON=DIR/bin/python), and what is not \
installed is skipped, loudly. epoll is the floor: one send and one receive for each answer and next to nothing besides, which \
no client can beat; it has no timers, no tasks and no parser, so it refuses --rate, --faults, --batch and --chunk, \
and waits for an answer until Ctrl-C.

With --rate a request that finds the window full begins late and is counted so; its latency counts from when it was to \
begin, which a client that waits for answers leaves out (coordinated omission: Tene, wrk2). Lateness is how long after its \
time each request began; exchange, which counts from having a connection, is what such a client would have told.

With --faults of a hundred requests so many meet a reset before or in the answer, an end in the head or in the body, another \
protocol, a head line without end, a chunk without size, silence, a 500, a 503, a redirect to itself, or an answer that nobody \
asked for. Which of them is drawn from the seed; every request must end as the script says, and a good answer bring the \
128 bytes that are this request's alone; one that does not is named.

With --counts each engine runs again under valgrind (callgrind), which makes it fifty times slower, and under perf, or \
strace where perf may not read tracepoints. Which of them are missing is said before the rounds and in the report.

In the report, the window holds the requests under way, those that wait for a connection included; latency counts \
from entering it, exchange from having a connection, and in flight are those that have one.

In the comparison, a ratio is the other's median time by this one's: above 1, this one is faster; ± is the median distance \
of the rounds' times from their median. A row is void, and in no ratio, if a request of any of its rounds failed, or \
with --faults ended otherwise than the script says; an interrupted round is left out.

Exit status: 0 every request succeeded, or ended as the script of faults says; 1 some did not, or a descriptor was left \
open, or a process broke down; 2 the command line cannot be carried out here; 130 ended by Ctrl-C, with the report so far.";

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
    #[arg(long, value_name = "B|none", default_value = "none", default_value_if("article", "true", "1000"))]
    pub(crate) batch: Batch,

    /// Begin so many requests a second, whatever the answers do, and count latency from when each was to begin
    #[arg(long, value_name = "PER_SECOND", conflicts_with = "batch", value_parser = parse_rate, allow_negative_numbers = true)]
    pub(crate) rate: Option<f64>,

    /// As the article has it that this experiment comes from: batches of a thousand, each awaited; and what Little's law
    /// says of it
    #[arg(long, conflicts_with = "rate")]
    pub(crate) article: bool,

    /// Of a hundred requests so many meet a fault of the program's own server, of sixteen kinds; and every request's end is
    /// held against the server's script, a good answer's body included
    #[arg(long, value_name = "PER_CENT", conflicts_with_all = ["url", "body", "chunk", "delay", "counts"], value_parser = parse_per_cent,
        num_args = 0..=1, default_missing_value = "1", allow_negative_numbers = true)]
    pub(crate) faults: Option<f64>,

    /// Which script of faults [default: drawn anew, and told]
    #[arg(long, value_name = "N", requires = "faults")]
    pub(crate) seed: Option<u64>,

    /// Which engines, with commas between them
    #[arg(long, value_name = "LIST", value_enum, value_delimiter = ',', default_value = "windlass,tokio,tokio-raw")]
    pub(crate) engine: Vec<EngineName>,

    /// aiohttp on asyncio and on uvloop, too
    #[arg(long)]
    pub(crate) python: bool,

    /// How often each engine has its turn; the order alternates
    #[arg(long, value_name = "R", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) rounds: u32,

    /// After the rounds, count what a request costs: instructions, allocations and system calls, of 2 N requests less
    /// those of N
    #[arg(long, value_name = "N", num_args = 0..=1, default_missing_value = "20000",
        value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    pub(crate) counts: Option<u64>,

    /// Seconds for one request, from entering the window to the last byte of the body [default: 30, with --faults 2]
    #[arg(long, value_name = "SECONDS", value_parser = parse_seconds, allow_negative_numbers = true)]
    timeout: Option<Duration>,

    /// Write a page with plots to this file, too; it needs nothing but a browser
    #[arg(long, value_name = "FILE.html")]
    pub(crate) report: Option<PathBuf>,
}

impl Flags {
    /// What clap cannot check; and a seed is drawn where one is wanted and none was given.
    pub(crate) fn checked(mut self) -> Result<Flags, String> {
        if self.python {
            let missing =
                [EngineName::Asyncio, EngineName::Uvloop].into_iter().filter(|name| !self.engine.contains(name));
            self.engine.extend(missing.collect::<Vec<_>>());
        }
        if let Some(twice) = self.engine_named_twice() {
            return Err(format!("--engine names {twice} twice: use --rounds to run it more often"));
        }
        if self.engine.contains(&EngineName::Epoll)
            && let Some(cannot) = self.beyond_the_floor()
        {
            return Err(format!(
                "--engine epoll has no {cannot}: it sends, receives and cuts answers by their Content-Length, and no more"
            ));
        }
        if self.faults.is_some() {
            self.seed.get_or_insert_with(drawn_seed);
        }
        Ok(self)
    }

    /// What the engine `epoll` cannot do of what is asked for.
    fn beyond_the_floor(&self) -> Option<&'static str> {
        [
            (self.rate.is_some(), "timers, so no --rate"),
            (self.faults.is_some(), "parser, so no --faults"),
            (self.chunk.is_some(), "parser, so no --chunk"),
            (self.batch.0.is_some(), "barrier, so no --batch"),
        ]
        .into_iter()
        .find_map(|(asked, cannot)| asked.then_some(cannot))
    }

    /// How long one request may take.
    pub(crate) fn timeout(&self) -> Duration {
        let default = if self.faults.is_some() { TIMEOUT_OF_FAULTS } else { TIMEOUT };
        self.timeout.unwrap_or(default)
    }

    /// The part that the report repeats.
    pub(crate) fn settings(&self) -> Settings {
        let Self { requests, concurrency, per_host, max_requests, rate, .. } = *self;
        let answer = self.answer().filter(|answer| *answer != Answer::DEFAULT);
        let faults = self.faults.zip(self.seed).map(|(per_cent, seed)| Script { per_cent, seed });
        Settings { requests, concurrency, per_host, batch: self.batch.0, max_requests, answer, rate, faults }
    }

    /// What the program's own server is to answer; none if there is none.
    pub(crate) fn answer(&self) -> Option<Answer> {
        if self.url.is_some() {
            return None;
        }
        let body = self.body.unwrap_or(Answer::DEFAULT.body);
        Some(Answer { body, chunk: self.chunk, delay_s: self.delay.map(|delay| delay.as_secs_f64()) })
    }

    /// The first engine that is named twice.
    fn engine_named_twice(&self) -> Option<EngineName> {
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

fn parse_rate(text: &str) -> Result<f64, String> {
    let rate = text.parse().ok().filter(|rate| (0.001..=10_000_000.0).contains(rate));
    rate.ok_or_else(|| "give requests a second, from 0.001 to 10,000,000".to_owned())
}

fn parse_per_cent(text: &str) -> Result<f64, String> {
    let share = text.parse().ok().filter(|&share: &f64| share > 0.0 && share <= 100.0);
    share.ok_or_else(|| "give a share of a hundred, above 0 and at most 100".to_owned())
}

/// Another one each time; no larger than a person can copy.
fn drawn_seed() -> u64 {
    RandomState::new().hash_one(0) % 1_000_000
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags(line: &[&str]) -> Result<Flags, clap::Error> {
        Flags::try_parse_from(["hundred_thousand"].iter().chain(line))
    }

    #[test]
    fn nothing_said_means_a_hundred_thousand_over_a_hundred_connections() {
        assert_eq!(flags(&[]).unwrap().settings(), Settings::DEFAULT);
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
    fn an_engine_named_twice_is_found() {
        assert_eq!(flags(&["--engine", "tokio,tokio"]).unwrap().engine_named_twice(), Some(EngineName::Tokio));
        assert_eq!(flags(&[]).unwrap().engine_named_twice(), None);
    }

    #[test]
    fn python_is_added_to_whoever_is_asked_for_and_nobody_is_added_twice() {
        let engines = |line: &[&str]| flags(line).unwrap().checked().unwrap().engine;
        assert_eq!(engines(&["--python"])[3..], [EngineName::Asyncio, EngineName::Uvloop]);
        assert_eq!(engines(&["--engine", "uvloop", "--python"]), [EngineName::Uvloop, EngineName::Asyncio]);
    }

    #[test]
    fn the_article_works_in_batches_of_a_thousand_unless_another_size_is_given() {
        let batch = |line: &[&str]| flags(line).unwrap().settings().batch;
        assert_eq!(batch(&["--article"]), Some(1000));
        assert_eq!(batch(&["--article", "--batch", "50"]), Some(50));
        assert!(flags(&["--article", "--rate", "5"]).is_err(), "batches and a schedule contradict each other");
        assert!(flags(&["--batch", "5", "--rate", "5"]).is_err(), "batches and a schedule contradict each other");
        assert_eq!(flags(&["--rate", "5"]).unwrap().settings().rate, Some(5.0));
    }

    #[test]
    fn faults_have_a_seed_and_a_shorter_time_out_unless_told_otherwise() {
        let checked = |line: &[&str]| flags(line).unwrap().checked().unwrap();
        let drawn = checked(&["--faults"]);
        assert_eq!(
            (drawn.settings().faults.map(|script| script.per_cent), drawn.timeout()),
            (Some(1.0), TIMEOUT_OF_FAULTS)
        );
        let given = checked(&["--faults", "2.5", "--seed", "7", "--timeout", "9"]);
        assert_eq!(given.settings().faults, Some(Script { per_cent: 2.5, seed: 7 }));
        assert_eq!((given.timeout(), flags(&[]).unwrap().timeout()), (Duration::from_secs(9), TIMEOUT));
        for line in [&["--seed", "7"][..], &["--faults", "0"], &["--faults", "101"], &["--faults", "--body", "5"]] {
            assert!(flags(line).is_err(), "{line:?}");
        }
    }

    #[test]
    fn the_floor_refuses_what_it_cannot_do_in_words() {
        for (line, word) in [
            (&["--rate", "5"][..], "--rate"),
            (&["--faults"], "--faults"),
            (&["--chunk", "5"], "--chunk"),
            (&["--article"], "--batch"),
        ] {
            let refused = flags(&[&["--engine", "windlass,epoll"], line].concat()).unwrap().checked().unwrap_err();
            assert!(refused.contains("epoll has no") && refused.contains(word), "{refused}");
        }
        assert!(flags(&["--engine", "epoll", "--body", "5", "--max-requests", "1"]).unwrap().checked().is_ok());
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
        for line in [
            ["--batch", "0"],
            ["--requests", "0"],
            ["--timeout", "0"],
            ["--timeout", "NaN"],
            ["--rounds", "0"],
            ["--rate", "0"],
            ["--rate", "NaN"],
        ] {
            assert!(flags(&line).is_err(), "{line:?}");
        }
    }
}
