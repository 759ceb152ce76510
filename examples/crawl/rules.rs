//! What is known of robots.txt, of whom, and for how long.
//!
//! ```text
//!     nothing ──► awaited: it is being asked for; pages wait ──► known ──► forgotten, when its host is idle and room is wanted
//! ```
//!
//! Not here: asking for it (`crawl`), reading it (`windlass_examples::robots`).   Next: `frontier`.

use std::{collections::HashMap, mem, time::Duration};

use windlass_examples::robots::{Decision, Robots};

/// What the rules of hosts take that nobody needs may take, in bytes, more or less.
const IDLE_MAX: usize = 8 << 20;
/// What a rule takes: so much, and so much for each byte of it.
const COST: (usize, usize) = (512, 8);

/// The rules of origins; `P` waits for them.
#[derive(Debug)]
pub(crate) struct Rules<P> {
    known: HashMap<Box<str>, Rule<P>>,
    cost: usize,
    /// At this cost it is looked for what can be forgotten.
    sweep_at: usize,
}

#[derive(Debug)]
enum Rule<P> {
    Awaited(Vec<P>),
    Known { robots: Robots, cost: usize },
}

/// What an origin says of a page.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict<P> {
    Allowed(P),
    Forbidden(P),
    /// Nobody knows, and so it may not be fetched (RFC 9309 2.3.1.4).
    Unknown(P),
    /// It waits, and somebody asks.
    Waits,
    /// It waits, and it is for the caller to ask.
    Ask,
}

impl<P> Rules<P> {
    pub(crate) fn new() -> Self {
        Self { known: HashMap::new(), cost: 0, sweep_at: IDLE_MAX }
    }

    /// Whether `origin` allows `target`, which `page` is for.
    pub(crate) fn ask(&mut self, origin: &str, target: &str, page: P) -> Verdict<P> {
        match self.known.get_mut(origin) {
            Some(Rule::Known { robots, .. }) => match robots.decide(target) {
                Decision::Unreachable => Verdict::Unknown(page),
                decision if decision.is_allowed() => Verdict::Allowed(page),
                _ => Verdict::Forbidden(page),
            },
            Some(Rule::Awaited(pages)) => {
                pages.push(page);
                Verdict::Waits
            }
            None => {
                self.known.insert(origin.into(), Rule::Awaited(vec![page]));
                Verdict::Ask
            }
        }
    }

    /// What `origin` says is known, from a file of so many bytes. Who has waited for it. If all that is known takes too much
    /// room, that of idle origins is forgotten.
    pub(crate) fn know(&mut self, origin: &str, robots: Robots, len: usize, is_idle: impl Fn(&str) -> bool) -> Vec<P> {
        let cost = COST.0 + COST.1 * len;
        self.cost += cost;
        let waited = match self.known.insert(origin.into(), Rule::Known { robots, cost }) {
            Some(Rule::Awaited(pages)) => pages,
            Some(Rule::Known { .. }) | None => vec![],
        };
        if self.cost > self.sweep_at {
            self.known.retain(|other, rule| match rule {
                Rule::Known { cost, .. } if &**other != origin && is_idle(other) => {
                    self.cost -= *cost;
                    false
                }
                _ => true,
            });
            self.sweep_at = IDLE_MAX.max(2 * self.cost); // so that looking costs little, whatever is in use
        }
        waited
    }

    /// How long `origin` asks to be left alone between two fetches, if it does.
    pub(crate) fn crawl_delay(&self, origin: &str) -> Option<Duration> {
        match self.known.get(origin) {
            Some(Rule::Known { robots, .. }) => robots.crawl_delay(),
            _ => None,
        }
    }

    /// Nobody waits any longer.
    pub(crate) fn give_up(&mut self) {
        for rule in self.known.values_mut() {
            if let Rule::Awaited(pages) = rule {
                drop(mem::take(pages));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_wait_until_the_rules_are_known_and_one_of_them_asks() {
        let mut rules = Rules::new();
        assert_eq!(rules.ask("http://a", "/1", 1), Verdict::Ask);
        assert_eq!(rules.ask("http://a", "/2", 2), Verdict::Waits);
        let robots = Robots::parse(b"user-agent: *\ndisallow: /2", "us");
        assert_eq!(rules.know("http://a", robots, 27, |_| true), [1, 2]);
        assert_eq!(rules.ask("http://a", "/1", 1), Verdict::Allowed(1));
        assert_eq!(rules.ask("http://a", "/2", 2), Verdict::Forbidden(2));
    }

    #[test]
    fn rules_of_idle_origins_are_forgotten_and_those_in_use_are_not() {
        let mut rules = Rules::new();
        let mut most = 0;
        for nth in 0..100_000 {
            let origin = format!("http://{nth}");
            assert_eq!(rules.ask(&origin, "/", ()), Verdict::Ask);
            rules.know(&origin, Robots::unavailable(), 100, |other| other != "http://7");
            most = most.max(rules.known.len());
        }
        assert!(most <= 2 + IDLE_MAX / (COST.0 + 100 * COST.1), "{most} at once");
        assert_eq!(rules.ask("http://7", "/", ()), Verdict::Allowed(()));
    }
}
