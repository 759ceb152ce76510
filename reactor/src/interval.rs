//! The same wait again and again.
//!
//! ```text
//!   asked for:  |     |     |     |     |     |        a tick every period
//!   Burst:      |     |  late     ||||  |     |        catches up at once, keeps the count
//!   Delay:      |     |  late     |     |     |        counts the period from the late tick
//!   Skip:       |     |  late     |  |     |     |     leaves out what was missed, keeps the beat
//! ```
//!
//! Next: `timer`, of which an interval holds one.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_core::Stream;

use crate::clock::{Instant, nanos};
use crate::timer::{Sleep, sleep_until};

/// What an [`Interval`] does when ticks were missed because nobody asked for them in time.
///
/// ```
/// # use std::time::Duration;
/// # use windlass_reactor::time::{MissedTickBehavior, advance, interval};
/// # windlass_reactor::doc(async {
/// let mut beat = interval(Duration::from_millis(10));
/// let start = beat.tick().await;
/// beat.set_missed_tick_behavior(MissedTickBehavior::Skip);
/// advance(Duration::from_millis(35)).await; // the ticks at 10, 20 and 30 ms are late
/// assert_eq!((beat.tick().await - start).as_millis(), 10);
/// assert_eq!((beat.tick().await - start).as_millis(), 40);
/// # });
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum MissedTickBehavior {
    /// Gives all missed ticks at once, so that their number comes out right.
    #[default]
    Burst,
    /// Counts the period anew from the late tick.
    Delay,
    /// Leaves out the missed ticks and goes on at the next multiple of the period.
    Skip,
}

/// Ticks every `period`, the first time at once.
///
/// # Panics
/// If the period is zero.
///
/// ```
/// # use std::time::Duration;
/// # use windlass_reactor::time::{Instant, interval};
/// # windlass_reactor::doc(async {
/// let start = Instant::now();
/// let mut beat = interval(Duration::from_millis(10));
/// for _ in 0..4 {
///     beat.tick().await;
/// }
/// assert_eq!(start.elapsed().as_millis(), 30);
/// # });
/// ```
#[track_caller]
pub fn interval(period: Duration) -> Interval {
    interval_at(Instant::now(), period)
}

/// As [`interval`], the first time at `start`.
///
/// # Panics
/// If the period is zero.
///
/// ```
/// # use std::time::Duration;
/// # use windlass_reactor::time::{Instant, interval_at};
/// # windlass_reactor::doc(async {
/// let start = Instant::now() + Duration::from_secs(1);
/// let mut beat = interval_at(start, Duration::from_millis(10));
/// assert_eq!(beat.tick().await, start);
/// # });
/// ```
#[track_caller]
pub fn interval_at(start: Instant, period: Duration) -> Interval {
    assert!(!period.is_zero(), "an interval has a period");
    Interval { sleep: sleep_until(start), period, missed: MissedTickBehavior::Burst }
}

/// Gives a tick every period. Also a [`Stream`] of the ticks' times, which does not end.
///
/// ```
/// # use std::time::Duration;
/// # use windlass_reactor::time::{Instant, interval};
/// # windlass_reactor::doc(async {
/// # let start = Instant::now();
/// let mut beat = interval(Duration::from_secs(60));
/// beat.tick().await; // at once
/// assert_eq!(beat.tick().await, start + Duration::from_secs(60));
/// # });
/// ```
#[derive(Debug)]
pub struct Interval {
    sleep: Sleep,
    period: Duration,
    missed: MissedTickBehavior,
}

impl Interval {
    /// Waits for the next tick, and says when it was due.
    ///
    /// # Cancel
    /// Dropping the future loses no tick.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use windlass_reactor::time::{Instant, interval};
    /// # windlass_reactor::doc(async {
    /// # let start = Instant::now();
    /// let mut beat = interval(Duration::from_millis(10));
    /// assert_eq!(beat.tick().await, start);
    /// # });
    /// ```
    pub async fn tick(&mut self) -> Instant {
        poll_fn(|cx| self.poll_tick(cx)).await
    }

    /// As [`tick`](Interval::tick), for futures written by hand.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use windlass_reactor::time::{Instant, interval};
    /// # windlass_reactor::doc(async {
    /// # let start = Instant::now();
    /// let mut beat = interval(Duration::from_millis(10));
    /// assert_eq!(std::future::poll_fn(|cx| beat.poll_tick(cx)).await, start);
    /// # });
    /// ```
    pub fn poll_tick(&mut self, cx: &mut Context<'_>) -> Poll<Instant> {
        ready!(Pin::new(&mut self.sleep).poll(cx));
        let due = self.sleep.deadline();
        self.sleep.reset(self.after(due, Instant::now()));
        Poll::Ready(due)
    }

    /// When the tick after the one due at `due` and given at `now` is due.
    fn after(&self, due: Instant, now: Instant) -> Instant {
        let next = due + self.period;
        if next > now {
            return next;
        }
        match self.missed {
            MissedTickBehavior::Burst => next,
            MissedTickBehavior::Delay => now + self.period,
            MissedTickBehavior::Skip => {
                let period = nanos(self.period);
                let into = (now.0 - due.0) % period;
                now + Duration::from_nanos(period - into)
            }
        }
    }

    /// The next tick is one period from now.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use windlass_reactor::time::{Instant, interval};
    /// # windlass_reactor::doc(async {
    /// # let start = Instant::now();
    /// let mut beat = interval(Duration::from_millis(10));
    /// beat.reset(); // no tick at once
    /// assert_eq!(beat.tick().await, start + Duration::from_millis(10));
    /// # });
    /// ```
    pub fn reset(&mut self) {
        self.sleep.reset(Instant::now() + self.period);
    }

    /// The next tick is now.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use windlass_reactor::time::{Instant, interval};
    /// # windlass_reactor::doc(async {
    /// # let start = Instant::now();
    /// let mut beat = interval(Duration::from_millis(10));
    /// beat.tick().await;
    /// beat.reset_immediately();
    /// assert_eq!(beat.tick().await, start);
    /// # });
    /// ```
    pub fn reset_immediately(&mut self) {
        self.sleep.reset(Instant::now());
    }

    /// The next tick is at `deadline`.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use windlass_reactor::time::{Instant, interval};
    /// # windlass_reactor::doc(async {
    /// # let start = Instant::now();
    /// let mut beat = interval(Duration::from_millis(10));
    /// beat.reset_at(start + Duration::from_millis(3));
    /// assert_eq!(beat.tick().await, start + Duration::from_millis(3));
    /// assert_eq!(beat.tick().await, start + Duration::from_millis(13));
    /// # });
    /// ```
    pub fn reset_at(&mut self, deadline: Instant) {
        self.sleep.reset(deadline);
    }

    /// The next tick is `after` from now.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use windlass_reactor::time::{Instant, interval};
    /// # windlass_reactor::doc(async {
    /// # let start = Instant::now();
    /// let mut beat = interval(Duration::from_millis(10));
    /// beat.reset_after(Duration::from_millis(3));
    /// assert_eq!(beat.tick().await, start + Duration::from_millis(3));
    /// # });
    /// ```
    pub fn reset_after(&mut self, after: Duration) {
        self.sleep.reset(Instant::now() + after);
    }

    /// The time between ticks.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use windlass_reactor::time::{Instant, interval};
    /// # windlass_reactor::doc(async {
    /// # let start = Instant::now();
    /// assert_eq!(interval(Duration::from_millis(10)).period(), Duration::from_millis(10));
    /// # let _ = start;
    /// # });
    /// ```
    pub fn period(&self) -> Duration {
        self.period
    }

    /// What happens to missed ticks.
    ///
    /// ```
    /// # use windlass_reactor::windlass;
    /// # use std::time::Duration;
    /// use windlass::time::{MissedTickBehavior, interval};
    /// # windlass_reactor::doc(async {
    /// assert_eq!(interval(Duration::from_secs(1)).missed_tick_behavior(), MissedTickBehavior::Burst);
    /// # });
    /// ```
    pub fn missed_tick_behavior(&self) -> MissedTickBehavior {
        self.missed
    }

    /// Says what shall happen to missed ticks.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use windlass_reactor::time::{MissedTickBehavior, advance, interval};
    /// # windlass_reactor::doc(async {
    /// let mut beat = interval(Duration::from_millis(10));
    /// let start = beat.tick().await;
    /// beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    /// advance(Duration::from_millis(25)).await;
    /// beat.tick().await; // the one that was due at 10 ms
    /// assert_eq!((beat.tick().await - start).as_millis(), 35);
    /// # });
    /// ```
    pub fn set_missed_tick_behavior(&mut self, behavior: MissedTickBehavior) {
        self.missed = behavior;
    }
}

impl Stream for Interval {
    type Item = Instant;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Instant>> {
        self.poll_tick(cx).map(Some)
    }
}
