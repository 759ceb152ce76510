//! How long to wait before trying again.
//! A peer that is overwhelmed recovers sooner the less it is asked: so each delay is twice the one before, up to a cap.
//! Callers that failed together would return together: so each draws its delay from a range of its own luck.
//!
//! ```text
//!             1st retry   2nd         3rd                  cap
//!   None      ────|       ────────|   ────────────────|  ──────────|   that long
//!   Equal     ──▒▒|       ────▒▒▒▒|   ────────▒▒▒▒▒▒▒▒|  ─────▒▒▒▒▒|   between half of it and all of it
//!   Full      ▒▒▒▒|       ▒▒▒▒▒▒▒▒|   ▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒|  ▒▒▒▒▒▒▒▒▒▒|   between nothing and all of it
//! ```
//!
//! Exponential backoff and jitter: Brooker 2015, whose simulations find the least work in all with `Full`.
//! Not here: whether to try again at all.   Next: `retry_budget`, `retry`.

use std::time::Duration;

use super::random::SplitMix64;

/// The delays between attempts: they double from the first up to a cap, and are spread by [`Jitter`].
///
/// The default doubles from 100 ms up to 10 s, with full jitter.
///
/// ```
/// # use windlass_net::windlass;
/// use std::time::Duration;
/// use windlass::flow::{Backoff, Jitter};
/// let backoff = Backoff::exponential(Duration::from_millis(100), Duration::from_millis(500)).jitter(Jitter::None);
/// let delays: Vec<_> = backoff.delays(0).take(5).map(|delay| delay.as_millis()).collect();
/// assert_eq!(delays, [100, 200, 400, 500, 500]);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Backoff {
    first: Duration,
    cap: Duration,
    jitter: Jitter,
}

/// How the delays of callers that failed together are spread.
///
/// ```
/// # use windlass_net::windlass;
/// use std::time::Duration;
/// use windlass::flow::{Backoff, Jitter};
/// let second = Duration::from_secs(1);
/// let delay = |jitter| Backoff::exponential(second, second).jitter(jitter).delays(7).next().unwrap();
/// assert_eq!(delay(Jitter::None), second);
/// assert!(delay(Jitter::Equal) >= second / 2 && delay(Jitter::Equal) <= second);
/// assert!(delay(Jitter::Full) <= second);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub enum Jitter {
    /// Not at all.
    None,
    /// Between half of the delay and all of it.
    Equal,
    /// Between nothing and all of the delay.
    #[default]
    Full,
}

impl Backoff {
    /// The first delay is `first`, each later one twice as long, none longer than `cap`; with full jitter.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// use std::time::Duration;
    /// let backoff = windlass::flow::Backoff::exponential(Duration::from_secs(1), Duration::from_secs(60));
    /// assert!(backoff.delays(1).take(100).all(|delay| delay <= Duration::from_secs(60)));
    /// ```
    pub const fn exponential(first: Duration, cap: Duration) -> Backoff {
        Backoff { first, cap, jitter: Jitter::Full }
    }

    /// Every delay is `delay`, without jitter.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// use std::time::Duration;
    /// let backoff = windlass::flow::Backoff::constant(Duration::from_secs(1));
    /// assert!(backoff.delays(1).take(100).all(|delay| delay == Duration::from_secs(1)));
    /// ```
    pub const fn constant(delay: Duration) -> Backoff {
        Backoff { first: delay, cap: delay, jitter: Jitter::None }
    }

    /// The same, spread in another way.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// use std::time::Duration;
    /// use windlass::flow::{Backoff, Jitter};
    /// let backoff = Backoff::constant(Duration::from_secs(1)).jitter(Jitter::Equal);
    /// assert!(backoff.delays(1).take(100).all(|delay| delay >= Duration::from_millis(500)));
    /// ```
    #[must_use]
    pub const fn jitter(self, jitter: Jitter) -> Backoff {
        Backoff { jitter, ..self }
    }

    /// The delays of one call, without end. One seed gives the same delays always.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// use windlass::flow::Backoff;
    /// let three = |seed| Backoff::default().delays(seed).take(3).collect::<Vec<_>>();
    /// assert_eq!(three(1), three(1));
    /// assert_ne!(three(1), three(2));
    /// ```
    pub fn delays(self, seed: u64) -> Delays {
        Delays { longest: self.first.min(self.cap), backoff: self, random: SplitMix64::new(seed) }
    }
}

impl Default for Backoff {
    fn default() -> Backoff {
        Backoff::exponential(Duration::from_millis(100), Duration::from_secs(10))
    }
}

/// The delays of [`Backoff::delays`].
///
/// ```
/// # use windlass_net::windlass;
/// use std::time::Duration;
/// let mut delays = windlass::flow::Backoff::constant(Duration::from_secs(1)).delays(0);
/// assert_eq!(delays.next(), Some(Duration::from_secs(1)));
/// ```
#[derive(Clone, Debug)]
pub struct Delays {
    backoff: Backoff,
    /// The next delay, before it is spread.
    longest: Duration,
    random: SplitMix64,
}

impl Iterator for Delays {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let longest = self.longest;
        self.longest = longest.saturating_mul(2).min(self.backoff.cap);
        Some(match self.backoff.jitter {
            Jitter::None => longest,
            Jitter::Equal => longest - self.up_to(longest / 2),
            Jitter::Full => self.up_to(longest),
        })
    }
}

impl Delays {
    fn up_to(&mut self, longest: Duration) -> Duration {
        let nanos = u64::try_from(longest.as_nanos()).unwrap_or(u64::MAX); // 584 years
        Duration::from_nanos(self.random.up_to(nanos))
    }
}
