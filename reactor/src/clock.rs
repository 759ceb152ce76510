//! What time it is.
//! A loop has one clock. It is the system's monotonic clock, or it is paused: then time stands still while anything can
//! run, and jumps to the next deadline when nothing can.
//!
//! ```text
//!   real    ────────────────────────────────────►  now = monotonic clock
//!   paused  ──┤ run ├──jump──┤ run ├─────jump─────┤  now = wherever the last jump went
//! ```
//!
//! Times are nanoseconds since an epoch that the whole process shares, in 64 bits: 584 years.
//! Next: `timer`, for the futures; `reactor`, for when a paused clock jumps.

use std::cell::Cell;
use std::fmt;
use std::ops::{Add, AddAssign, Sub, SubAssign};
use std::sync::LazyLock;
use std::time::Duration;

use crate::reactor::{Inner, with_current};

static EPOCH: LazyLock<std::time::Instant> = LazyLock::new(std::time::Instant::now);

/// Nanoseconds in `duration`; what does not fit is as good as for ever.
#[inline]
pub(crate) fn nanos(duration: Duration) -> u64 {
    duration.as_secs().saturating_mul(1_000_000_000).saturating_add(duration.subsec_nanos() as u64)
}

/// The system's clock, counted from `epoch`: its 64 bits last for 584 years.
#[inline]
fn nanos_since(epoch: std::time::Instant) -> u64 {
    epoch.elapsed().as_nanos() as u64
}

pub(crate) struct Clock {
    epoch: std::time::Instant,
    /// The time it stands at, if it is paused.
    stands_at: Cell<Option<u64>>,
    /// How far the system's clock has run on while this one stood.
    behind: Cell<u64>,
    /// How far this one was moved beyond the system's.
    ahead: Cell<u64>,
}

impl Clock {
    pub(crate) fn real() -> Self {
        Clock { epoch: *EPOCH, stands_at: Cell::new(None), behind: Cell::new(0), ahead: Cell::new(0) }
    }

    pub(crate) fn paused() -> Self {
        let clock = Clock::real();
        clock.pause();
        clock
    }

    #[inline]
    pub(crate) fn now(&self) -> u64 {
        match self.stands_at.get() {
            Some(now) => now,
            None => {
                let system = nanos_since(self.epoch);
                system.saturating_sub(self.behind.get()).saturating_add(self.ahead.get())
            }
        }
    }

    /// Whether it is later than `moment`. To compare takes half of what it takes to tell the time.
    #[inline]
    pub(crate) fn has_passed(&self, moment: u64) -> bool {
        match self.stands_at.get() {
            Some(now) => now > moment,
            None => {
                let system = moment.saturating_add(self.behind.get()).saturating_sub(self.ahead.get());
                let system = self.epoch.checked_add(Duration::from_nanos(system));
                system.is_some_and(|system| std::time::Instant::now() > system)
            }
        }
    }

    pub(crate) fn is_paused(&self) -> bool {
        self.stands_at.get().is_some()
    }

    fn pause(&self) {
        self.stands_at.set(Some(self.now()));
    }

    fn resume(&self) {
        if let Some(now) = self.stands_at.take() {
            let system = nanos_since(self.epoch);
            self.behind.set(system.saturating_sub(now));
            self.ahead.set(now.saturating_sub(system));
        }
    }

    /// Moves a paused clock forward; a real one goes by itself.
    pub(crate) fn move_to(&self, now: u64) {
        if let Some(before) = self.stands_at.get() {
            self.stands_at.set(Some(before.max(now)));
        }
    }
}

/// A moment on the loop's clock; outside a loop, on the system's monotonic clock.
///
/// Adding more than fits gives the latest instant there is, which never comes.
///
/// ```
/// # use std::time::Duration;
/// # use windlass_reactor::time::{Instant, sleep};
/// # windlass_reactor::doc(async {
/// let start = Instant::now();
/// sleep(Duration::from_secs(3600)).await; // the clock of this example is paused, and jumps
/// assert_eq!(start.elapsed(), Duration::from_secs(3600));
/// # });
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(pub(crate) u64);

impl Instant {
    /// The latest instant: it never comes.
    ///
    /// ```
    /// # use windlass_reactor::windlass;
    /// use std::time::Duration;
    /// use windlass::time::Instant;
    /// assert_eq!(Instant::now() + Duration::MAX, Instant::FAR_FUTURE);
    /// ```
    pub const FAR_FUTURE: Instant = Instant(u64::MAX);

    /// Now. Reads the clock, so that a deadline counted from here is never too early.
    ///
    /// ```
    /// # use windlass_reactor::windlass;
    /// use windlass::time::Instant;
    /// assert!(Instant::now() <= Instant::now());
    /// ```
    #[inline]
    pub fn now() -> Instant {
        let now = with_current(|reactor| reactor.clock.now());
        Instant(now.unwrap_or_else(|| nanos_since(*EPOCH)))
    }

    /// The time of the loop's last turn, or of a look at its sources between two: no look at the clock, and never later than
    /// [`now`](Instant::now). Outside a loop it is now.
    ///
    /// ```
    /// # use windlass_reactor::time::Instant;
    /// # windlass_reactor::doc(async {
    /// assert!(Instant::recent() <= Instant::now());
    /// # });
    /// ```
    #[inline]
    pub fn recent() -> Instant {
        with_current(|reactor| Instant(reactor.heard_at_ns.get())).unwrap_or_else(Instant::now)
    }

    /// How long ago this was; zero if it is still to come.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use windlass_reactor::time::{Instant, advance};
    /// # windlass_reactor::doc(async {
    /// let start = Instant::now();
    /// advance(Duration::from_secs(3)).await;
    /// assert_eq!(start.elapsed(), Duration::from_secs(3));
    /// # });
    /// ```
    pub fn elapsed(self) -> Duration {
        Instant::now() - self
    }

    /// How much later this is than `earlier`; zero if it is not.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use windlass_reactor::time::Instant;
    /// let now = Instant::now();
    /// let later = now + Duration::from_secs(3);
    /// assert_eq!(later.saturating_duration_since(now), Duration::from_secs(3));
    /// assert_eq!(now.saturating_duration_since(later), Duration::ZERO);
    /// ```
    pub fn saturating_duration_since(self, earlier: Instant) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// As [`saturating_duration_since`](Self::saturating_duration_since).
    ///
    /// ```
    /// # use windlass_reactor::time::Instant;
    /// # let now = Instant::now();
    /// assert!(now.duration_since(now).is_zero());
    /// ```
    pub fn duration_since(self, earlier: Instant) -> Duration {
        self.saturating_duration_since(earlier)
    }
}

impl Add<Duration> for Instant {
    type Output = Instant;
    #[inline]
    fn add(self, duration: Duration) -> Instant {
        Instant(self.0.saturating_add(nanos(duration)))
    }
}

impl AddAssign<Duration> for Instant {
    fn add_assign(&mut self, duration: Duration) {
        *self = *self + duration;
    }
}

impl Sub<Duration> for Instant {
    type Output = Instant;
    fn sub(self, duration: Duration) -> Instant {
        Instant(self.0.saturating_sub(nanos(duration)))
    }
}

impl SubAssign<Duration> for Instant {
    fn sub_assign(&mut self, duration: Duration) {
        *self = *self - duration;
    }
}

impl Sub for Instant {
    type Output = Duration;
    fn sub(self, earlier: Instant) -> Duration {
        self.saturating_duration_since(earlier)
    }
}

impl fmt::Debug for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Instant({:?})", Duration::from_nanos(self.0))
    }
}

#[track_caller]
fn with_reactor<R>(what: &str, f: impl FnOnce(&Inner) -> R) -> R {
    match with_current(f) {
        Some(result) => result,
        None => panic!("{what} called outside a running loop"),
    }
}

/// Stops the loop's clock. From here on it moves only by [`advance`], and by itself when nothing can run: no task is
/// ready, no socket has an event and no blocking call is out. It then jumps to the next deadline.
///
/// # Panics
/// Outside a running loop.
///
/// ```
/// # use windlass_reactor::time::{Instant, pause, resume};
/// # windlass_reactor::doc_real(async {
/// pause();
/// let start = Instant::now();
/// std::thread::yield_now();
/// assert_eq!(Instant::now(), start);
/// resume();
/// # });
/// ```
#[track_caller]
pub fn pause() {
    with_reactor("pause", |reactor| reactor.clock.pause());
}

/// Lets the loop's clock run again, from where it stands. Does nothing if it runs.
///
/// # Panics
/// Outside a running loop.
///
/// ```
/// # use std::time::Duration;
/// # use windlass_reactor::time::{self, Instant};
/// # windlass_reactor::doc_real(async {
/// time::pause();
/// let start = Instant::now();
/// time::advance(Duration::from_secs(3600)).await;
/// time::resume();
/// assert!(start.elapsed() >= Duration::from_secs(3600)); // what was skipped stays skipped
/// # });
/// ```
#[track_caller]
pub fn resume() {
    with_reactor("resume", |reactor| reactor.clock.resume());
}

/// Moves the paused clock forward by `duration` and lets what is due then run.
///
/// # Panics
/// Outside a running loop, and if the clock is not paused.
///
/// ```
/// # use std::time::Duration;
/// # use windlass_reactor::time::{Instant, advance};
/// # windlass_reactor::doc(async {
/// let start = Instant::now();
/// advance(Duration::from_millis(250)).await;
/// assert_eq!(start.elapsed(), Duration::from_millis(250));
/// # });
/// ```
pub async fn advance(duration: Duration) {
    with_reactor("advance", |reactor| {
        assert!(reactor.clock.is_paused(), "advance called while the clock runs: pause it first");
        let now = reactor.date_timers();
        // The last nanosecond is never: what is due then would not be.
        reactor.clock.move_to(now.saturating_add(nanos(duration)).min(u64::MAX - 1));
    });
    crate::timer::sleep(Duration::ZERO).await;
    windlass_executor::yield_now().await;
}
