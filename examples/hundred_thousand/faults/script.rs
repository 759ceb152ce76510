//! Which request meets which fault, how it must end, and what it must bring.
//!
//! ```text
//!     (seed, number) ──► mixed ──► below per_cent? ── no ──► a good answer, "200"
//!                                        └── yes ──► one of sixteen ──► "reset", "truncated", "500" ...
//! ```
//!
//! It is a function and keeps nothing: the server's process and this one come to the same answer without a word, and a run
//! is repeated by its seed.
//! Not here: what the faults look like on the wire (`server`).   Next: `server`.

use std::{collections::BTreeMap, fmt::Write};

use serde::{Deserialize, Serialize};
use windlass::http::{Error, ErrorKind};
use windlass_examples::figures::thousands;

use crate::contract::{Endings, EngineName, Judged, Told};

/// How long a good answer's body is.
pub(crate) const BODY_LEN: usize = 128;

/// So many differences are shown; the others are counted.
const SHOWN_MAX: usize = 10;

/// Which requests are answered faultily.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Script {
    /// Of a hundred requests so many, above 0 and at most 100.
    pub(crate) per_cent: f64,
    pub(crate) seed: u64,
}

/// A way to answer wrongly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    /// The connection is reset before a byte of the answer.
    ResetAtOnce,
    /// The connection is reset in the middle of the body.
    ResetInBody,
    /// The connection ends in the head.
    EndInHead,
    /// The connection ends in the body, which was to be longer.
    EndInBody,
    /// What comes is of another protocol.
    OtherProtocol,
    /// A header line that does not end.
    EndlessHead,
    /// A chunk whose size is no number.
    BadChunk,
    /// Nothing comes.
    Silence,
    /// 500.
    ServerError,
    /// 503, with a Retry-After that nobody asked this client to heed.
    Unavailable,
    /// A redirect to itself.
    RedirectLoop,
    /// Behind the answer comes another one, which nobody asked for: the request is well, the connection is not.
    Unasked,
    /// Behind the answer comes 408, as servers have it who are tired of waiting for the next request, and the end.
    TimedOutIdle,
    /// The answer comes in pieces, each a little later.
    Slow,
    /// Before the answer come a hundred interim ones.
    InterimFlood,
    /// The connection ends in place of an answer if it had carried an exchange before, and this is the first try.
    EndOnReuse,
}

impl Fault {
    pub(crate) const ALL: [Fault; 16] = [
        Fault::ResetAtOnce,
        Fault::ResetInBody,
        Fault::EndInHead,
        Fault::EndInBody,
        Fault::OtherProtocol,
        Fault::EndlessHead,
        Fault::BadChunk,
        Fault::Silence,
        Fault::ServerError,
        Fault::Unavailable,
        Fault::RedirectLoop,
        Fault::Unasked,
        Fault::TimedOutIdle,
        Fault::Slow,
        Fault::InterimFlood,
        Fault::EndOnReuse,
    ];

    /// As in the report.
    fn name(self) -> &'static str {
        match self {
            Fault::ResetAtOnce => "reset_at_once",
            Fault::ResetInBody => "reset_in_body",
            Fault::EndInHead => "end_in_head",
            Fault::EndInBody => "end_in_body",
            Fault::OtherProtocol => "other_protocol",
            Fault::EndlessHead => "endless_head",
            Fault::BadChunk => "bad_chunk",
            Fault::Silence => "silence",
            Fault::ServerError => "server_error",
            Fault::Unavailable => "unavailable",
            Fault::RedirectLoop => "redirect_loop",
            Fault::Unasked => "unasked",
            Fault::TimedOutIdle => "timed_out_idle",
            Fault::Slow => "slow",
            Fault::InterimFlood => "interim_flood",
            Fault::EndOnReuse => "end_on_reuse",
        }
    }

    /// How a request of `engine` must end that meets it: a status, or a kind of failure; several, if the script cannot know
    /// which.
    fn endings(self, engine: EngineName) -> &'static [&'static str] {
        use EngineName::{Asyncio, Epoll, Reqwest, Tokio, TokioRaw, Uvloop, Windlass};
        match (self, engine) {
            (Fault::ResetAtOnce | Fault::ResetInBody, _) => &["reset"],
            (Fault::EndInHead | Fault::EndInBody, _) => &["truncated"],
            (Fault::OtherProtocol | Fault::BadChunk, _) => &["protocol"],
            (Fault::EndlessHead, _) => &["too_large"],
            (Fault::Silence, _) => &["timeout_total"],
            (Fault::ServerError, _) => &["500"],
            (Fault::Unavailable, _) => &["503"],
            (Fault::RedirectLoop, Windlass | Reqwest | Asyncio | Uvloop) => &["redirect"],
            (Fault::RedirectLoop, Tokio | TokioRaw | Epoll) => &["302"], // these follow nothing
            (Fault::Unasked | Fault::TimedOutIdle | Fault::Slow, _) => &["200"],
            (Fault::InterimFlood, Windlass | TokioRaw | Epoll) => &["too_large"],
            (Fault::InterimFlood, Tokio | Reqwest | Asyncio | Uvloop) => &["200"], // they wait for as long as there are more
            (Fault::EndOnReuse, Windlass | TokioRaw | Epoll) => &["200"],
            // These do not ask again, and which connection a request goes over is chance.
            (Fault::EndOnReuse, Tokio | Reqwest | Asyncio | Uvloop) => &["200", "truncated"],
        }
    }
}

impl Script {
    /// What request `number` meets; nothing bad for most.
    pub(crate) fn fault(self, number: u64) -> Option<Fault> {
        let drawn = mixed(self.seed ^ mixed(number));
        let share = (drawn >> 11) as f64 / (1_u64 << 53) as f64;
        let kinds = Fault::ALL.len() as u64;
        (share < self.per_cent / 100.0).then(|| Fault::ALL[(mixed(drawn) % kinds) as usize])
    }

    /// Holds every request of a whole run against the script; yields what came of it, and the first differences in words.
    pub(crate) fn judge(self, told: &Told) -> (Judged, Vec<String>) {
        let (engine, run) = (told.run.engine, &told.run);
        let (mut judged, mut shown) = self.judge_endings(engine, run.requests, &told.endings);
        // Of good ends none is kept: so many they are as are counted, or one has been lost.
        let good = run.requests.saturating_sub(told.endings.len() as u64);
        if run.ok != good {
            judged.differ += run.ok.abs_diff(good);
            shown.push(format!(
                "{engine}: {} ended well, and {} did by what is kept of each",
                thousands(run.ok),
                thousands(good)
            ));
        }
        // A kind alone does not say enough of what the script knows nothing of.
        let unscripted = told.first_failures.get(ErrorKind::Other.name()).filter(|_| judged.differ > 0);
        shown.extend(unscripted.map(|first| format!("{engine}: the first that ended as other: {first}")));
        (judged, shown)
    }

    fn judge_endings(self, engine: EngineName, requests: u64, endings: &Endings) -> (Judged, Vec<String>) {
        let mut scripted: BTreeMap<_, u64> = Fault::ALL.iter().map(|fault| (fault.name().to_owned(), 0)).collect();
        let (mut differ, mut shown) = (0, Vec::new());
        for number in 0..requests {
            let fault = self.fault(number);
            if let Some(fault) = fault {
                *scripted.entry(fault.name().to_owned()).or_default() += 1;
            }
            let must = fault.map_or(&["200"][..], |fault| fault.endings(engine));
            let did = endings.get(&number).map_or("200", String::as_str);
            if must.contains(&did) {
                continue;
            }
            differ += 1;
            if shown.len() < SHOWN_MAX {
                let must = must.join(" or ");
                let met = fault.map_or("a good answer", Fault::name);
                shown.push(format!("{engine}: request {number} met {met} and had to end as {must}: it ended as {did}"));
            }
        }
        if differ > shown.len() as u64 {
            let more = thousands(differ - shown.len() as u64);
            shown.push(format!("{engine}: {more} more ended otherwise than the server's script says"));
        }
        (Judged { scripted, differ }, shown)
    }
}

impl Judged {
    /// One line for people: how many of which kind there were.
    pub(crate) fn in_words(&self) -> String {
        let mut words = String::new();
        for (name, count) in self.scripted.iter().filter(|(_, count)| **count > 0) {
            write!(words, "{}{name} {count}", if words.is_empty() { "" } else { ", " }).expect("a string takes it");
        }
        words
    }
}

/// What a good answer to request `number` brings: [`BODY_LEN`] letters, which no other request's answer brings.
pub(crate) fn body(number: u64) -> String {
    let words = (0..BODY_LEN / 16).map(|word| format!("{:016x}", mixed(mixed(number) ^ word as u64)));
    words.collect()
}

/// Holds what an answer to request `number` brought against the script; of an answer that is none of a 200, only the status
/// counts.
///
/// # Errors
/// `Other`: it brought another body.
pub(crate) fn check(number: u64, status: u16, brought: &[u8]) -> Result<u16, Error> {
    if status != 200 || brought == body(number).as_bytes() {
        return Ok(status);
    }
    let len = brought.len();
    Err(Error::new(
        ErrorKind::Other,
        format!("request {number}: another body than the script's {BODY_LEN} bytes, of {len}"),
    ))
}

/// A number that looks like chance and is not (SplitMix64's mixing; Steele, Lea & Flood 2014).
fn mixed(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9E37_79B9_7F4A_7C15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCRIPT: Script = Script { per_cent: 1.0, seed: 7 };

    fn faults(script: Script, requests: u64) -> BTreeMap<Fault, u64> {
        let mut counts = BTreeMap::new();
        for fault in (0..requests).filter_map(|number| script.fault(number)) {
            *counts.entry(fault).or_default() += 1;
        }
        counts
    }

    #[test]
    fn one_in_a_hundred_is_faulty_and_every_kind_comes_about_as_often() {
        let counts = faults(SCRIPT, 1_000_000);
        let total: u64 = counts.values().sum();
        assert!((9_500..=10_500).contains(&total), "{total} of a million");
        assert_eq!(counts.len(), 16);
        assert!(counts.values().all(|&count| (520..=730).contains(&count)), "{counts:?}");
    }

    #[test]
    fn the_same_seed_is_the_same_script_and_another_is_another() {
        let drawn = |seed| (0..1000).map(|number| Script { per_cent: 50.0, seed }.fault(number)).collect::<Vec<_>>();
        assert_eq!(drawn(7), drawn(7));
        assert_ne!(drawn(7), drawn(8));
    }

    #[test]
    fn a_hundred_per_cent_is_every_request() {
        assert!((0..1000).all(|number| Script { per_cent: 100.0, seed: 3 }.fault(number).is_some()));
    }

    /// How the requests of an engine end that does all of them well.
    fn endings(engine: EngineName, requests: u64) -> Endings {
        let endings =
            (0..requests).filter_map(|number| Some((number, SCRIPT.fault(number)?.endings(engine)[0].to_owned())));
        endings.filter(|(_, ending)| ending != "200").collect()
    }

    #[test]
    fn who_ends_as_the_script_says_differs_nowhere() {
        for engine in [EngineName::Windlass, EngineName::Tokio] {
            let (judged, shown) = SCRIPT.judge_endings(engine, 10_000, &endings(engine, 10_000));
            assert_eq!((judged.differ, shown.len()), (0, 0), "{shown:?}");
        }
    }

    #[test]
    fn one_wrong_ending_is_found_whether_the_answer_was_good_or_not() {
        let faulty = (0..).find(|&number| SCRIPT.fault(number) == Some(Fault::EndInBody)).unwrap();
        let good = (0..).find(|&number| SCRIPT.fault(number).is_none()).unwrap();
        for (number, ending, words) in [
            (faulty, "reset", "met end_in_body and had to end as truncated: it ended as reset"),
            (faulty, "200", "it ended as 200"),
            (good, "418", "met a good answer and had to end as 200: it ended as 418"),
        ] {
            let mut endings = endings(EngineName::Windlass, 10_000);
            endings.insert(number, ending.to_owned());
            let (judged, shown) = SCRIPT.judge_endings(EngineName::Windlass, 10_000, &endings);
            assert_eq!(judged.differ, 1);
            assert!(shown[0].contains(words), "{shown:?}");
        }
    }

    #[test]
    fn a_body_is_the_requests_own_to_the_byte() {
        let good = body(7);
        assert_eq!((good.len(), check(7, 200, good.as_bytes()).unwrap()), (BODY_LEN, 200));
        for wrong in [&body(8), &good[1..], "", &good.replace('a', "b"), &format!("{good}.")] {
            assert!(check(7, 200, wrong.as_bytes()).is_err(), "{wrong}");
        }
        assert_eq!(check(7, 503, b"").unwrap(), 503, "it is judged by its status");
    }

    #[test]
    fn of_many_differences_the_first_are_shown_and_the_others_counted() {
        let (judged, shown) = SCRIPT.judge_endings(EngineName::Windlass, 10_000, &Endings::new());
        assert!(judged.differ > 50);
        assert_eq!(shown.len(), SHOWN_MAX + 1);
        assert!(shown[SHOWN_MAX].contains(&format!("{} more", judged.differ - SHOWN_MAX as u64)), "{shown:?}");
    }
}
