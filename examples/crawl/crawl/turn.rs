//! How long a task goes on before others have their turn.
//!
//! ```text
//!     a thing ──► a thing ──► … ──► a quarter of a millisecond is over ──► others ──► a thing ──► …
//! ```
//!
//! What one thing takes nobody knows beforehand: a link may be eight bytes long or eight thousand, a robots.txt may have one
//! rule or thousands. So the time is what counts, and not the number of things. To look at the clock takes some thirty
//! nanoseconds, a tenth of what the least thing takes.
//! Not here: a tokenizer's work (`windlass_examples::links`), which one call of it may have too much of.   Next: `fetch`.

use std::time::Duration;

use windlass_examples::latency::now_ns;

use crate::{cpu::Part, engine::Engine};

/// A quarter of the millisecond for which nobody is to be held up: the last thing takes its time, too.
const TURN: Duration = Duration::from_micros(250);

/// One turn of a task's.
pub(super) struct Turn {
    over_ns: u64,
}

impl Turn {
    pub(super) fn begin() -> Self {
        Self { over_ns: now_ns() + TURN.as_nanos() as u64 }
    }

    pub(super) fn is_over(&self) -> bool {
        now_ns() >= self.over_ns
    }
}

/// Does something with each of many things, in turns; what that takes is of this part of the work.
pub(super) async fn in_turns<E: Engine, T>(part: &Part, things: impl IntoIterator<Item = T>, mut work: impl FnMut(T)) {
    let mut things = things.into_iter().peekable();
    while things.peek().is_some() {
        part.time(|| {
            let turn = Turn::begin();
            for thing in things.by_ref() {
                work(thing);
                if turn.is_over() {
                    break;
                }
            }
        });
        if things.peek().is_some() {
            E::yield_now().await;
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::{cell::Cell, rc::Rc};

    use windlass::Loop;

    use super::*;
    use crate::engine::on_windlass::OnWindlass;

    /// Does the work on a loop, and counts how often another task had its turn meanwhile.
    pub(in super::super) fn turns_of_others(work: impl Future<Output = ()>) -> usize {
        Loop::new().expect("a loop").block_on(async {
            let turns = Rc::new(Cell::new(0));
            let counted = turns.clone();
            let other = windlass::spawn(async move {
                loop {
                    counted.set(counted.get() + 1);
                    windlass::task::yield_now().await;
                }
            });
            work.await;
            other.abort();
            turns.get()
        })
    }

    #[test]
    fn others_have_their_turn_whenever_one_is_over() {
        let spend = |_| {
            let turn = Turn::begin();
            while !turn.is_over() {}
        };
        let others = turns_of_others(async { in_turns::<OnWindlass, _>(&Part::default(), 0..10, spend).await });
        assert_eq!(others, 9, "each of ten things takes as long as a turn");
        let mut seen = vec![];
        turns_of_others(async { in_turns::<OnWindlass, _>(&Part::default(), 0..10_000, |n| seen.push(n)).await });
        assert!(seen.into_iter().eq(0..10_000), "nothing is left out, and nothing comes twice");
    }
}
