//! How far it is.
//!
//! ```text
//!     on a terminal   ⠙ 12,345 pages, 688/s, 97 under way, 3,400 queued, 4 hosts, 49 errors, loop 27 % busy, 0:18
//!                       redrawn in place, ten times a second
//!     elsewhere       the same, a line every ten seconds
//!     lines of --output on the same terminal: nothing, they say it themselves
//! ```
//!
//! The rate and how busy the loop is are those of the last seconds: what is now, not what was on average since the beginning.
//! All of it goes to stderr.
//! Not here: what it was like in the end (`report`).   Next: `warc`.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    io::{self, IsTerminal},
    path::Path,
    time::Duration,
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use windlass_examples::{
    figures::{counted, percent, rate, thousands},
    out,
};

use crate::{cpu, frontier::Moment, report::Tally};

/// What "now" is, for a rate.
const RECENT: Duration = Duration::from_secs(3);
const REDRAWN_EVERY: Duration = Duration::from_millis(100);
const LINE_EVERY: Duration = Duration::from_secs(10);

/// Shows how far it is.
#[derive(Debug)]
pub(crate) struct Show {
    how: How,
    state: RefCell<(Moment, Recent)>,
    has_said_that_it_stops: Cell<bool>,
}

#[derive(Debug)]
enum How {
    Live(ProgressBar),
    Lines,
    Silent,
}

impl Show {
    /// `output` is where lines of pages go.
    pub(crate) fn new(output: Option<&Path>) -> Self {
        let are_beside = output == Some(Path::new("-")) && io::stdout().is_terminal();
        let how = match io::stderr().is_terminal() {
            true if are_beside => How::Silent,
            true => How::Live(live()),
            false => How::Lines,
        };
        let show = Self { how, state: RefCell::default(), has_said_that_it_stops: Cell::new(false) };
        show.state.borrow_mut().0 = show.every();
        show
    }

    fn every(&self) -> Duration {
        if matches!(self.how, How::Live(_)) { REDRAWN_EVERY } else { LINE_EVERY }
    }

    /// Shows it, if it is time; says when it will be time again.
    pub(crate) fn look(&self, tally: &Tally, (queued, in_flight, hosts): (usize, usize, usize)) -> Option<Moment> {
        if tally.interrupted && in_flight > 0 && !self.has_said_that_it_stops.replace(true) {
            self.say("stopping: what is under way has five seconds; Ctrl-C once more ends it at once");
        }
        let elapsed = tally.elapsed();
        let mut state = self.state.borrow_mut();
        let (next, recent) = &mut *state;
        if matches!(self.how, How::Silent) {
            return None;
        }
        if elapsed < *next {
            return Some(*next);
        }
        *next = elapsed + self.every();
        let (per_s, busy) = recent.look(elapsed, tally.pages, cpu::of_this_thread());
        let line = line(elapsed, per_s, busy, [tally.pages, tally.failures()], [in_flight, queued, hosts]);
        match &self.how {
            How::Live(bar) => {
                bar.set_message(line);
                bar.tick();
            }
            How::Lines => out::to_stderr(&line),
            How::Silent => {}
        }
        Some(*next)
    }

    /// A line that stays.
    fn say(&self, line: &str) {
        match &self.how {
            How::Live(bar) => bar.println(line),
            How::Lines | How::Silent => out::to_stderr(line),
        }
    }
}

impl Drop for Show {
    fn drop(&mut self) {
        if let How::Live(bar) = &self.how {
            bar.finish_and_clear();
        }
    }
}

fn live() -> ProgressBar {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    bar.set_style(
        ProgressStyle::with_template("{spinner} {wide_msg}").expect("the template names what indicatif knows"),
    );
    bar
}

fn line(elapsed: Moment, per_s: f64, busy: f64, counts: [u64; 2], sizes: [usize; 3]) -> String {
    let [pages, errors] = [(counts[0], "page"), (counts[1], "error")].map(|(count, of)| counted(count, of));
    let [in_flight, queued, hosts] = sizes.map(|size| size as u64);
    let (in_flight, queued, hosts) = (thousands(in_flight), thousands(queued), counted(hosts, "host"));
    let (minutes, seconds, busy) = (elapsed.as_secs() / 60, elapsed.as_secs() % 60, percent(busy));
    format!(
        "{pages}, {}/s, {in_flight} under way, {queued} queued, {hosts}, {errors}, \
         loop {busy} busy, {minutes}:{seconds:02}",
        rate(per_s),
    )
}

/// What was counted in the last seconds: when, pages, CPU time.
#[derive(Debug)]
struct Recent(VecDeque<(Moment, u64, Duration)>);

impl Default for Recent {
    fn default() -> Self {
        Self(VecDeque::from([(Moment::ZERO, 0, cpu::of_this_thread())]))
    }
}

impl Recent {
    /// Pages a second and the share of its core that the thread used, since the last look that is as long ago as "now" lasts,
    /// or since the one before.
    fn look(&mut self, now: Moment, pages: u64, spent: Duration) -> (f64, f64) {
        while self.0.len() > 1 && self.0[1].0 + RECENT <= now {
            self.0.pop_front();
        }
        let (then, pages_then, spent_then) = self.0[0];
        self.0.push_back((now, pages, spent));
        let span_s = now.saturating_sub(then).as_secs_f64().max(1e-9);
        ((pages - pages_then) as f64 / span_s, spent.saturating_sub(spent_then).as_secs_f64() / span_s)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    #[test]
    fn the_rate_is_that_of_the_last_seconds() {
        let mut recent = Recent(VecDeque::from([(MS(0), 0, MS(0))]));
        assert_eq!(recent.look(MS(1_000), 1_000, MS(500)), (1_000.0, 0.5), "less than that is all there is");
        for nth in 2..=6 {
            recent.look(MS(nth * 1_000), 1_000, MS(500)); // nothing comes any more
        }
        assert_eq!(recent.look(MS(7_000), 1_300, MS(1_250)), (100.0, 0.25));
        assert!(recent.0.len() <= 5, "what is longer ago is forgotten");
    }

    #[test]
    fn who_looks_seldom_hears_of_the_time_since() {
        let mut recent = Recent(VecDeque::from([(MS(0), 0, MS(0))]));
        assert_eq!(recent.look(MS(10_000), 500, MS(1_000)), (50.0, 0.1));
        assert_eq!(recent.look(MS(20_000), 700, MS(6_000)), (20.0, 0.5));
    }

    #[test]
    fn the_line_says_all_there_is_to_say() {
        assert_eq!(
            line(MS(78_500), 688.4, 0.274, [12_345, 49], [97, 3_400, 4]),
            "12,345 pages, 688/s, 97 under way, 3,400 queued, 4 hosts, 49 errors, loop 27 % busy, 1:18"
        );
    }
}
