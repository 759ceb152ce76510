//! When requests begin.
//!
//! A client that sends its next request when the last one is answered slows down with its server, and so asks least just
//! when answers are slow: what it never sent is missing from its latencies (coordinated omission; Tene, "How NOT to
//! Measure Latency", and his wrk2). With `--rate` each request has a time at which it is to begin, whatever the answers
//! do, and latency counts from there.
//!
//! ```text
//!     closed   |-- 1 --|-- 2 --|--------- 3 ---------|-- 4 --|            one slow answer, one long latency
//!     open     |-- 1 --| |-- 2 --| |------- 3 -------|
//!              due:    2         3         4 . . . . |-- 4 --|            4 was due long before it began: it has waited
//! ```
//!
//! A request that finds the window full begins when another leaves it, and is counted as late for that; one whose timer
//! fired late is counted as late because of the loop.
//! Not here: who waits until a request is due (`window`).   Next: `binding`.

use windlass_examples::latency::Latency;

use crate::contract::{Late, Pace};

/// A request that begins within so many milliseconds of its time is not late: the loops' timers count in milliseconds and
/// fire when theirs is over, and a wait for the kernel ends with a millisecond, too.
pub(crate) const TOLERANCE_MS: u64 = 2;
const TOLERANCE_NS: u64 = TOLERANCE_MS * 1_000_000;

/// Request 0 is due at once, each other one `1 / per_second` seconds after the one before.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Schedule {
    per_second: f64,
    started_ns: u64,
}

/// How one request began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Beginning {
    InTime,
    WindowWasFull,
    LoopWasBusy,
}

impl Schedule {
    /// Requests begin `per_second` times a second, the first at `started_ns`.
    pub(crate) fn new(per_second: f64, started_ns: u64) -> Self {
        Self { per_second, started_ns }
    }

    /// When request `number` is to begin, on the clock that `started_ns` was read from.
    pub(crate) fn due_ns(&self, number: u64) -> u64 {
        self.started_ns + (number as f64 * 1e9 / self.per_second) as u64
    }
}

/// How one request began that was due at `due_ns`, had a place in the window from `free_ns` on, and began at `began_ns`.
fn judge(due_ns: u64, free_ns: u64, began_ns: u64) -> Beginning {
    match began_ns.saturating_sub(due_ns) {
        0..=TOLERANCE_NS => Beginning::InTime,
        _ if free_ns > due_ns => Beginning::WindowWasFull,
        _ => Beginning::LoopWasBusy,
    }
}

/// What becomes of a schedule.
#[derive(Debug)]
pub(crate) struct Kept {
    schedule: Schedule,
    begun: u64,
    last_began_ns: u64,
    late: Late,
    lateness: Latency,
}

impl Kept {
    pub(crate) fn new(schedule: Schedule) -> Self {
        let last_began_ns = schedule.started_ns;
        Self { schedule, begun: 0, last_began_ns, late: Late::default(), lateness: Latency::new() }
    }

    /// Notes that a request began; the times as in [`judge`].
    pub(crate) fn note(&mut self, due_ns: u64, free_ns: u64, began_ns: u64) {
        self.begun += 1;
        self.last_began_ns = self.last_began_ns.max(began_ns);
        self.lateness.record(began_ns.saturating_sub(due_ns));
        match judge(due_ns, free_ns, began_ns) {
            Beginning::InTime => {}
            Beginning::WindowWasFull => self.late.window_full += 1,
            Beginning::LoopWasBusy => self.late.busy_loop += 1,
        }
    }

    pub(crate) fn pace(&self) -> Pace {
        let asked_per_s = self.schedule.per_second;
        // The last one, too, has a turn of its own: n requests at r a second take n / r seconds.
        let lasted_s = (self.last_began_ns - self.schedule.started_ns) as f64 / 1e9 + 1.0 / asked_per_s;
        let reached_per_s = (self.begun as f64 / lasted_s * 10.0).round() / 10.0;
        Pace { asked_per_s, reached_per_s, late: self.late, late_us: self.lateness.summary() }
    }
}

#[cfg(test)]
mod tests {
    use windlass_examples::latency::Summary;

    use super::*;

    const SECOND_NS: u64 = 1_000_000_000;

    #[test]
    fn requests_are_due_at_equal_distances_and_do_not_drift() {
        let schedule = Schedule::new(3.0, 500);
        assert_eq!(
            [0, 1, 2, 3].map(|number| schedule.due_ns(number)),
            [500, 333_333_833, 666_667_166, SECOND_NS + 500]
        );
        assert_eq!(schedule.due_ns(3_000_000), 500 + 1_000_000 * SECOND_NS);
        assert_eq!(Schedule::new(0.5, 0).due_ns(1), 2 * SECOND_NS);
    }

    #[test]
    fn a_timers_precision_is_not_lateness_and_what_is_has_its_reason() {
        assert_eq!(judge(1000, 0, 900), Beginning::InTime, "early by the clock's reading");
        assert_eq!(judge(1000, 0, 1000 + TOLERANCE_NS), Beginning::InTime);
        assert_eq!(judge(1000, 0, 1001 + TOLERANCE_NS), Beginning::LoopWasBusy);
        assert_eq!(judge(1000, 1001, 1001 + TOLERANCE_NS), Beginning::WindowWasFull);
    }

    #[test]
    fn who_begins_in_time_reaches_the_rate_and_who_begins_late_does_not() {
        let schedule = Schedule::new(10.0, 7);
        let mut kept = Kept::new(schedule);
        (0..50).for_each(|number| kept.note(schedule.due_ns(number), 0, schedule.due_ns(number)));
        let none = Summary::default();
        assert_eq!(kept.pace(), Pace { asked_per_s: 10.0, reached_per_s: 10.0, late: Late::default(), late_us: none });
        // Fifty more, all of them when the window was free again, five seconds too late.
        (50..100).for_each(|number| kept.note(schedule.due_ns(number), 7 + 15 * SECOND_NS, 7 + 15 * SECOND_NS));
        let late = Late { window_full: 50, busy_loop: 0 };
        let Pace { reached_per_s, late: told, late_us, .. } = kept.pace();
        assert_eq!((reached_per_s, told), (6.6, late));
        // The first of them was due after five seconds, and began ten later; half of all were in time.
        assert_eq!((late_us.p50, late_us.max), (0, 10_000_000));
    }
}
