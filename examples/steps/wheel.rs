//! Who sleeps until when.
//!
//! A thousand timers, and on each turn two questions: when is the next one due, and who is due now? A wheel answers
//! both without sorting: a timer goes to the slot of its millisecond, modulo the number of slots, like an appointment
//! to the dial of a clock.
//!
//! ```text
//!     slot  0    1    2    3    4  ...  63       one slot a millisecond, one revolution in 64
//!           │    │    ▲    │    └─ [ 68, 132 ]   68 is due in this revolution, 132 in the next: it stays
//!                     └─ now: 66 ms              occupied: 0b..10000, one bit for each slot that holds anything
//! ```
//!
//! Deadlines are rounded up to a whole millisecond and the clock down, so no timer fires early. To insert is O(1); to
//! find the next occupied slot is one rotation of `occupied`. It may hold only timers of later revolutions: then the
//! loop looks too early and looks again, once a revolution.
//!
//! Hashed wheel: Varghese & Lauck 1987, scheme 6. What it leaves out: removing a timer (a sleep that is dropped, or
//! polled twice, leaves an entry that wakes for nothing), and far deadlines, for which the real wheel has more levels.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

/// Completes when `wait` has passed, never before, with how late that was noticed.
pub(crate) fn sleep(wheel: &RefCell<Wheel>, wait: Duration) -> impl Future<Output = Duration> {
    let deadline = Instant::now() + wait;
    poll_fn(move |cx| match Instant::now().checked_duration_since(deadline) {
        Some(late) => Poll::Ready(late),
        None => {
            wheel.borrow_mut().insert(deadline, cx.waker().clone());
            Poll::Pending
        }
    })
}

/// As many as a `u64` has bits.
const SLOTS: u64 = 64;

struct Timer {
    deadline_ms: u64,
    waker: Waker,
}

pub(crate) struct Wheel {
    start: Instant,
    now_ms: u64,
    occupied: u64,
    slots: [Vec<Timer>; SLOTS as usize],
}

impl Wheel {
    pub(crate) fn new() -> Wheel {
        Wheel { start: Instant::now(), now_ms: 0, occupied: 0, slots: [const { Vec::new() }; SLOTS as usize] }
    }

    /// Keeps `waker` until `deadline`; one that has passed is kept for a millisecond.
    pub(crate) fn insert(&mut self, deadline: Instant, waker: Waker) {
        let deadline_ms = (deadline - self.start).as_nanos().div_ceil(1_000_000) as u64;
        let deadline_ms = deadline_ms.max(self.now_ms + 1);
        let slot = deadline_ms % SLOTS;
        self.slots[slot as usize].push(Timer { deadline_ms, waker });
        self.occupied |= 1 << slot;
    }

    /// When to look again: no timer is due before this moment.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.next_ms().map(|ms| self.start + Duration::from_millis(ms))
    }

    /// Turns the wheel to `now`, slot by occupied slot, and returns those who are due, earliest first.
    pub(crate) fn advance(&mut self, now: Instant) -> Vec<Waker> {
        let until_ms = (now - self.start).as_millis() as u64;
        let mut due = Vec::new();
        while let Some(ms) = self.next_ms().filter(|&ms| ms <= until_ms) {
            let slot = &mut self.slots[(ms % SLOTS) as usize];
            let of_now = slot.extract_if(.., |timer| timer.deadline_ms <= ms);
            due.extend(of_now.map(|timer| timer.waker));
            if slot.is_empty() {
                self.occupied &= !(1 << (ms % SLOTS));
            }
            self.now_ms = ms;
        }
        self.now_ms = self.now_ms.max(until_ms); // nothing was due in between; the wheel never turns back
        due
    }

    /// The millisecond of the first occupied slot after now.
    fn next_ms(&self) -> Option<u64> {
        let first_ms = self.now_ms + 1;
        let ahead = self.occupied.rotate_right((first_ms % SLOTS) as u32).trailing_zeros();
        (self.occupied != 0).then(|| first_ms + u64::from(ahead))
    }
}
