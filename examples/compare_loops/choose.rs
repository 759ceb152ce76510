//! Which engines are to be had here.
//!
//! A program that can run on several loops asks for the best and takes what there is; and says so, for whoever reads its
//! figures must know whose they are.
//!
//! ```text
//!   auto ──► windlass? ── yes ──► windlass               "auto: windlass"
//!               no │
//!                  └──► tokio-local? ── yes ──► ...       "auto: tokio-local, for windlass is not to be had: ..."
//!   uvloop ──► uvloop? ── no ──► asyncio? ── no ──► skipped
//! ```
//!
//! Next: `child`.

use std::fmt::{self, Display};

use serde::Serialize;

use crate::{
    child,
    flags::{EngineName, Wish},
};

/// Who runs, instead of whom, and who does not.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Chosen {
    pub(crate) engines: Vec<EngineName>,
    pub(crate) fallbacks: Vec<Fallback>,
    pub(crate) skipped: Vec<Skipped>,
}

/// What was taken where there was a choice.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Fallback {
    asked: &'static str,
    taken: EngineName,
    /// Those that would have been better, and why they are not to be had.
    missing: Vec<Skipped>,
}

/// Who is not to be had, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Skipped {
    engine: EngineName,
    reason: String,
}

/// Looks which of those that are wanted are to be had.
pub(crate) fn choose(wishes: &[Wish]) -> Chosen {
    choose_by(wishes, child::probe)
}

fn choose_by(wishes: &[Wish], probe: impl Fn(EngineName) -> Result<(), String>) -> Chosen {
    let mut chosen = Chosen::default();
    for wish in wishes {
        let mut missing = Vec::new();
        let taken = wish.candidates.iter().copied().find(|&engine| {
            let found = probe(engine);
            missing.extend(found.as_ref().err().map(|reason| Skipped { engine, reason: reason.clone() }));
            found.is_ok()
        });
        match taken {
            None => chosen.skipped.append(&mut missing),
            Some(taken) => {
                if wish.asked != taken.to_string() {
                    chosen.fallbacks.push(Fallback { asked: wish.asked, taken, missing });
                }
                if !chosen.engines.contains(&taken) {
                    chosen.engines.push(taken);
                }
            }
        }
    }
    chosen
}

impl Display for Fallback {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {}", self.asked, self.taken)?;
        self.missing.iter().try_for_each(|missing| write!(out, ", since there is no {missing}"))
    }
}

impl Display for Skipped {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {}", self.engine, self.reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use EngineName::{Asyncio, TokioLocal, Uvloop, Windlass};

    const AUTO: Wish = Wish { asked: "auto", candidates: &[Windlass, TokioLocal] };
    const UVLOOP: Wish = Wish { asked: "uvloop", candidates: &[Uvloop, Asyncio] };

    fn without(lacking: &'static [EngineName]) -> impl Fn(EngineName) -> Result<(), String> {
        move |engine| if lacking.contains(&engine) { Err("not installed".to_owned()) } else { Ok(()) }
    }

    #[test]
    fn the_best_that_works_is_taken_and_named() {
        let chosen = choose_by(&[AUTO], without(&[]));
        assert_eq!((chosen.engines, chosen.fallbacks[0].to_string().as_str()), (vec![Windlass], "auto: windlass"));
        let chosen = choose_by(&[AUTO], without(&[Windlass]));
        assert_eq!(chosen.engines, [TokioLocal]);
        assert_eq!(chosen.fallbacks[0].to_string(), "auto: tokio-local, since there is no windlass: not installed");
    }

    #[test]
    fn what_has_no_fall_back_is_skipped() {
        let chosen = choose_by(&[UVLOOP], without(&[Uvloop, Asyncio]));
        assert_eq!((chosen.engines.len(), chosen.skipped.len()), (0, 2));
    }

    #[test]
    fn nobody_runs_twice() {
        let asyncio = Wish { asked: "asyncio", candidates: &[Asyncio] };
        let chosen = choose_by(&[asyncio, UVLOOP], without(&[Uvloop]));
        assert_eq!((chosen.engines, chosen.fallbacks.len()), (vec![Asyncio], 1));
    }
}
