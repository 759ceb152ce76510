//! What is asked for.
//!
//! ```text
//!     command line ──► Flags (clap) ──► Settings            what all runs share
//!                                  └──► Plan, Plan, ...     a step, and the limits it keeps
//! ```
//!
//! A second is a second of the article's; how long it takes here is a matter of `--scale`. Only time-outs are not scaled:
//! they are there for what goes wrong, and shape nothing.
//!
//! Not here: what the limits mean for the time it takes.   Next: `floor`.

use std::time::Duration;

use clap::{CommandFactory, Parser, ValueEnum, error::ErrorKind};
use serde::Serialize;
use windlass_examples::figures::parse_seconds;

const ABOUT: &str = "\
Fetches a hundred URLs, each of which takes the server a second, in three ways: one after the other, all at once, and \
with limits, time-outs, retries and a rate; with the limits that an article on asyncio sets, and with sensible ones. It \
prints what the article promises, how long the limits say it must take, and how long it took.";

const AFTER: &str = "\
The server is this library's, on a thread of its own. The blocking step has std's sockets, a new connection for each URL \
and nothing but one call after the other; the other two have this library's client on one loop.

The floor is the least time that the limits allow, whatever the loop: 100 URLs over 5 connections are 20 rounds of a \
second. `over` is how much longer it took; a whole run is to be within 5 %. Times are printed as they would be at \
--scale 1, and behind them as they were here. The smaller the scale, the more a \
millisecond weighs: to open a hundred connections takes some, whatever the scale.

A URL succeeds if the answer is a 2xx, and not otherwise. Sizes are bytes. In --json each URL's outcome is there, in the \
order of the URLs.

Exit status: 0 every URL succeeded; 1 some failed, or the program did; 2 the command line makes no sense; 130 ended by \
Ctrl-C, with the report so far.";

/// The command line.
#[derive(Debug, Parser)]
#[command(name = "crawl_steps", version, about = ABOUT, after_help = AFTER)]
pub(crate) struct Flags {
    /// Write one JSON object to stdout and nothing else; progress goes to stderr
    #[arg(long)]
    pub(crate) json: bool,

    /// How many URLs
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    urls: u64,

    /// How long a second takes here, in seconds: 1 is the article's hundred seconds
    #[arg(long, value_name = "SCALE", default_value = "0.1", value_parser = parse_scale, allow_negative_numbers = true)]
    scale: f64,

    /// Which steps, with commas between them
    #[arg(long, value_name = "LIST", value_enum, value_delimiter = ',', default_value = "blocking,basic,optimised")]
    step: Vec<StepName>,

    /// The sensible limits: how many URLs are under way at once, and over how many connections to the host
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=1000))]
    max_concurrent: u64,

    /// The sensible limits' rate, in requests a second, for one run more with that
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    rate: u64,

    /// How often the optimised step tries a URL at most
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=20))]
    attempts: u32,

    /// Real seconds for one exchange, from asking for a connection to the last byte
    #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = parse_seconds, allow_negative_numbers = true)]
    timeout: Duration,

    /// The first so many URLs are answered with 503, each time
    #[arg(long, value_name = "N", default_value_t = 0)]
    failing: u64,
}

/// One of the three.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum StepName {
    /// One after the other.
    Blocking,
    /// One client, all at once.
    Basic,
    /// Limits, a time-out, retries, a rate.
    Optimised,
}

impl StepName {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            StepName::Blocking => "blocking",
            StepName::Basic => "basic",
            StepName::Optimised => "optimised",
        }
    }
}

/// Who has set the limits of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Whose {
    /// The article, in its code or by the defaults of the client that it uses.
    Article,
    /// The command line.
    Sensible,
}

/// How many at once, and how many a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct Limits {
    /// URLs under way, or connections of the client, in all.
    pub(crate) at_once: u64,
    /// Connections to the one host.
    pub(crate) per_host: Option<u64>,
    /// Requests a second.
    pub(crate) rate: Option<u64>,
}

/// One run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) step: StepName,
    pub(crate) whose: Whose,
    pub(crate) limits: Limits,
    /// What the article says it takes, in seconds.
    pub(crate) promised_s: Option<f64>,
    /// Tries of a URL at most; only the optimised step tries again.
    pub(crate) attempts: u32,
    pub(crate) timeout: Duration,
    pub(crate) scale: f64,
}

/// What all runs share.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Settings {
    pub(crate) urls: u64,
    pub(crate) delay_s: f64,
    pub(crate) scale: f64,
    pub(crate) failing: u64,
}

impl Settings {
    /// How long the server takes for an answer, here.
    pub(crate) fn delay_here(&self) -> Duration {
        Duration::from_secs_f64(self.delay_s * self.scale)
    }
}

impl Flags {
    /// What clap cannot check: ends the process if it makes no sense.
    pub(crate) fn checked(self) -> Flags {
        if let Err(message) = self.check() {
            Flags::command().error(ErrorKind::ValueValidation, message).exit();
        }
        self
    }

    fn check(&self) -> Result<(), String> {
        let mut named = self.step.iter().enumerate();
        if named.any(|(position, step)| self.step[..position].contains(step)) {
            return Err("--step names a step twice".to_owned());
        }
        if self.failing > self.urls {
            return Err(format!("--failing {} of --urls {}: so many are not there", self.failing, self.urls));
        }
        Ok(())
    }

    /// The part that is the same for each run.
    pub(crate) fn settings(&self) -> Settings {
        Settings { urls: self.urls, delay_s: 1.0, scale: self.scale, failing: self.failing }
    }

    /// The runs, in their order.
    pub(crate) fn plans(&self) -> Vec<Plan> {
        use StepName::{Basic, Blocking, Optimised};
        use Whose::{Article, Sensible};
        let limits = |at_once, per_host, rate| Limits { at_once, per_host, rate };
        let sensible = |rate| limits(self.max_concurrent, Some(self.max_concurrent), rate);
        [
            (Blocking, Article, limits(1, None, None), Some(100.0)),
            (Basic, Article, limits(100, None, None), Some(10.0)), // the default of aiohttp's sessions
            (Basic, Sensible, sensible(None), None),
            (Optimised, Article, limits(20, Some(5), None), Some(3.0)),
            (Optimised, Sensible, sensible(None), None),
            (Optimised, Sensible, sensible(Some(self.rate)), None),
        ]
        .into_iter()
        .filter(|(step, ..)| self.step.contains(step))
        .map(|(step, whose, limits, promised_s)| Plan {
            step,
            whose,
            limits,
            promised_s: promised_s.filter(|_| self.urls == 100), // the article promises it for a hundred
            attempts: if step == Optimised { self.attempts } else { 1 },
            timeout: self.timeout,
            scale: self.scale,
        })
        .collect()
    }
}

fn parse_scale(text: &str) -> Result<f64, String> {
    let problem = || "give a number from 0.001 to 10, such as 0.1".to_owned();
    let scale: f64 = text.parse().map_err(|_| problem())?;
    if (0.001..=10.0).contains(&scale) { Ok(scale) } else { Err(problem()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags(line: &[&str]) -> Flags {
        Flags::try_parse_from(["crawl_steps"].iter().chain(line)).unwrap()
    }

    #[test]
    fn nothing_said_means_all_steps_with_the_articles_limits_and_with_sensible_ones() {
        let plans = flags(&[]).plans();
        let promised: Vec<_> = plans.iter().filter(|plan| plan.whose == Whose::Article).map(|p| p.promised_s).collect();
        assert_eq!(promised, [Some(100.0), Some(10.0), Some(3.0)]);
        assert_eq!(plans.len(), 6);
    }

    #[test]
    fn what_is_promised_is_promised_for_a_hundred_urls() {
        assert!(flags(&["--urls", "99"]).plans().iter().all(|plan| plan.promised_s.is_none()));
    }

    #[test]
    fn only_the_optimised_step_tries_again() {
        let attempts: Vec<_> = flags(&["--attempts", "7"]).plans().iter().map(|plan| plan.attempts).collect();
        assert_eq!(attempts, [1, 1, 1, 7, 7, 7]);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for line in [["--scale", "0"], ["--scale", "-1"], ["--scale", "NaN"], ["--timeout", "0"], ["--urls", "0"]] {
            assert!(Flags::try_parse_from(["crawl_steps"].iter().chain(&line)).is_err(), "{line:?}");
        }
        assert!(flags(&["--step", "basic,basic"]).check().is_err());
        assert!(flags(&["--urls", "5", "--failing", "6"]).check().is_err());
        assert!(flags(&["--urls", "5", "--failing", "5"]).check().is_ok());
    }
}
