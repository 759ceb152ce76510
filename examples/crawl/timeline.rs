//! What a crawl was like when.
//!
//! ```text
//!     | 50 ms | 50 ms | … 240 steps at most | full? two become one: | 100 ms | 100 ms | …
//!        └── pages, how many were under way and in line, who held it back, how busy the loop was
//! ```
//!
//! A crawl of a minute and one of a week take the same few kilobytes, and have between 120 and 240 points to a curve.
//! Not here: how curves are drawn (`page`).   Next: `limits`.

use std::time::Duration;

use crate::{frontier::Moment, limits::Limit};

/// Of a short crawl there should be a curve, too.
const STEP_FIRST: Duration = Duration::from_millis(50);
/// As many points as a curve of some hundred pixels shows. Even, since two become one.
const STEPS_MAX: usize = 240;

#[derive(Debug)]
pub(crate) struct Timeline {
    step: Duration,
    steps: Vec<Step>,
}

/// What was in one step.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Step {
    pub(crate) pages: f64,
    /// Fetches under way and pages in line, times seconds.
    pub(crate) in_flight_s: f64,
    pub(crate) queued_s: f64,
    /// CPU seconds of the loop's thread.
    pub(crate) busy_s: f64,
    /// Seconds, by what held the crawl back; as in `Limit::ALL`.
    pub(crate) held_s: [f64; Limit::ALL.len()],
}

impl Default for Timeline {
    fn default() -> Self {
        Self { step: STEP_FIRST, steps: Vec::new() }
    }
}

impl Timeline {
    /// Seconds from one step to the next.
    pub(crate) fn step(&self) -> Duration {
        self.step
    }

    /// All steps so far, the last one mostly not over; each with its beginning and its length, in seconds.
    pub(crate) fn steps(&self, end: Moment) -> impl Iterator<Item = (f64, f64, &Step)> {
        let (step_s, end_s) = (self.step.as_secs_f64(), end.as_secs_f64());
        let begins = (0..self.steps.len()).map(move |nth| nth as f64 * step_s);
        begins.zip(&self.steps).map(move |(begin_s, step)| (begin_s, step_s.min(end_s - begin_s).max(1e-9), step))
    }

    /// From one moment to the next it was so in sum: spread evenly over the steps between them.
    pub(crate) fn add(&mut self, from: Moment, to: Moment, sum: &Step) {
        let first = self.index(to.max(from)).min(self.index(from)); // the later one first: it may make steps longer
        let last = self.index(to.max(from));
        if first == last {
            return self.steps[last].take(sum, 1.0);
        }
        let whole_s = (to - from).as_secs_f64();
        for nth in first..=last {
            let (begin, end) = (self.step * nth as u32, self.step * (nth as u32 + 1));
            let part_s = (end.min(to) - begin.max(from)).as_secs_f64();
            self.steps[nth].take(sum, part_s / whole_s);
        }
    }

    /// In which step a moment is; makes room for it.
    fn index(&mut self, at: Moment) -> usize {
        while at.as_nanos() / self.step.as_nanos() >= STEPS_MAX as u128 {
            self.step *= 2;
            let pairs = self.steps.chunks(2).map(|pair| {
                let mut both = pair[0].clone();
                pair[1..].iter().for_each(|second| both.take(second, 1.0));
                both
            });
            self.steps = pairs.collect();
        }
        let index = (at.as_nanos() / self.step.as_nanos()) as usize;
        if index >= self.steps.len() {
            self.steps.resize(index + 1, Step::default());
        }
        index
    }
}

impl Step {
    /// Adds a part of what `other` is.
    fn take(&mut self, other: &Step, part: f64) {
        self.pages += other.pages * part;
        self.in_flight_s += other.in_flight_s * part;
        self.queued_s += other.queued_s * part;
        self.busy_s += other.busy_s * part;
        for (own, others) in self.held_s.iter_mut().zip(&other.held_s) {
            *own += others * part;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    fn pages(pages: f64) -> Step {
        Step { pages, ..Step::default() }
    }

    fn of_steps(timeline: &Timeline) -> Vec<f64> {
        timeline.steps.iter().map(|step| (step.pages * 1e6).round() / 1e6).collect()
    }

    #[test]
    fn what_lasted_for_several_steps_is_spread_over_them_by_time() {
        let mut timeline = Timeline::default();
        timeline.add(MS(25), MS(125), &pages(4.0));
        assert_eq!(of_steps(&timeline), [1.0, 2.0, 1.0]);
        timeline.add(MS(110), MS(120), &pages(5.0));
        assert_eq!(of_steps(&timeline), [1.0, 2.0, 6.0]);
    }

    #[test]
    fn a_week_has_as_many_steps_as_a_minute_and_nothing_gets_lost() {
        let mut timeline = Timeline::default();
        let week = MS(7 * 24 * 3600 * 1000);
        for nth in 0..1000 {
            timeline.add(week * nth / 1000, week * (nth + 1) / 1000, &pages(7.0));
        }
        assert!((STEPS_MAX / 2..=STEPS_MAX).contains(&timeline.steps.len()), "{}", timeline.steps.len());
        assert_eq!(of_steps(&timeline).iter().sum::<f64>().round(), 7000.0);
    }

    #[test]
    fn a_moment_in_which_nothing_lasts_is_counted_where_it_is() {
        let mut timeline = Timeline::default();
        timeline.add(MS(100), MS(100), &pages(1.0));
        assert_eq!(of_steps(&timeline), [0.0, 0.0, 1.0]);
    }

    #[test]
    fn the_last_step_is_as_long_as_the_crawl_went_on_in_it() {
        let mut timeline = Timeline::default();
        timeline.add(MS(0), MS(60), &pages(6.0));
        let lengths: Vec<_> = timeline.steps(MS(60)).map(|(_, length_s, _)| (length_s * 1e3).round()).collect();
        assert_eq!(lengths, [50.0, 10.0]);
    }
}
