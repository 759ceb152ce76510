//! So many a second, and no more.
//! To sleep a hundredth of a second after each of a hundred calls a second looks right, and is not: calls take time
//! themselves, timers are late, and ten tasks that do so make a thousand. So there is one bucket for all:
//!
//! ```text
//!   rate ──►┌─────────┐                          first in line: sleeps until its tokens are there, takes them
//!           │ tokens  │ ──► A ◄─ B ◄─ C          the others: behind it, asleep
//!   full:   │ ≤ burst │
//!   lost ◄──┴─────────┘
//! ```
//!
//! - **Whole numbers.** A token is as many parts as its period has nanoseconds, and a nanosecond brings as many parts as
//!   the period brings tokens. Nothing is rounded, at any rate, however long it runs.
//! - **Being late costs nobody.** While somebody waits, the bucket holds what comes within [`LATENESS`] beyond its burst.
//!   Else a timer that is late by a millisecond would lose one token of two at a thousand a second.
//! - **Nothing is taken before it is there.** Who is dropped while it waits has taken nothing; the next is first.
//!
//! Token bucket: Turner 1986.
//! Not here: how many at one time (`Semaphore`).   Next: `batch`, if asking less often is better than asking slower.

use std::cell::Cell;
use std::error::Error;
use std::fmt;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use windlass_executor::sync::{Notify, Semaphore, SemaphorePermit};
use windlass_reactor::time::{Instant, sleep};

/// What a loop may be late by without loss of tokens. Timers on their own are up to a millisecond late; tasks may keep a
/// loop from its turn for a few.
const LATENESS: Duration = Duration::from_millis(10);

/// So many tokens in so much time.
///
/// ```
/// # use windlass_net::windlass;
/// use std::time::Duration;
/// use windlass::flow::Rate;
/// assert_eq!(Rate::per_second(10), Rate::new(10, Duration::from_secs(1)));
/// assert_eq!(Rate::new(100, Duration::from_secs(60)).to_string(), "100 per 60s");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rate {
    tokens: u64,
    period_ns: u64,
}

impl Rate {
    /// `tokens` in each `period`, evenly spread.
    ///
    /// # Panics
    /// If either is zero: nobody would ever get anything, or everybody all.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// use std::time::Duration;
    /// let rate = windlass::flow::Rate::new(1, Duration::from_millis(400)); // 2.5 per second
    /// assert_eq!(rate.to_string(), "1 per 400ms");
    /// ```
    #[track_caller]
    pub const fn new(tokens: u64, period: Duration) -> Rate {
        assert!(tokens > 0 && !period.is_zero(), "a rate is at least one token in more than no time");
        let nanos = period.as_nanos();
        Rate { tokens, period_ns: if nanos > u64::MAX as u128 { u64::MAX } else { nanos as u64 } }
    }

    /// `tokens` in each second, evenly spread.
    ///
    /// # Panics
    /// If that is zero.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// assert_eq!(windlass::flow::Rate::per_second(5).to_string(), "5 per 1s");
    /// ```
    #[track_caller]
    pub const fn per_second(tokens: u64) -> Rate {
        Rate::new(tokens, Duration::from_secs(1))
    }

    /// The parts that `tokens` are made of.
    fn parts(self, tokens: u64) -> u128 {
        tokens as u128 * self.period_ns as u128
    }

    /// The parts that come in `duration`.
    fn parts_in(self, duration: Duration) -> u128 {
        duration.as_nanos().saturating_mul(self.tokens as u128)
    }

    /// The time in which `parts` come, or a little more.
    fn time_for(self, parts: u128) -> Duration {
        let nanos = parts.div_ceil(self.tokens as u128);
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)) // 584 years
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} per {:?}", self.tokens, Duration::from_nanos(self.period_ns))
    }
}

/// Hands out tokens at a rate, first come, first served: a token bucket, full at first.
///
/// Tasks of one thread share it by reference or through `Rc`. In any stretch of time no more are handed out than the
/// rate brings in it and a burst, or the largest single call if that is more; by a loop that is kept from its turn, what
/// the rate brings in 10 ms besides.
///
/// ```
/// # use windlass_net::windlass;
/// use std::time::Duration;
/// use windlass::flow::{Rate, RateLimiter};
/// use windlass::time::Instant;
/// # windlass_reactor::doc(async {
/// let limiter = RateLimiter::new(Rate::per_second(10), 1);
/// let start = Instant::now();
/// for _ in 0..21 {
///     limiter.acquire(1).await;
/// }
/// assert_eq!(start.elapsed(), Duration::from_secs(2)); // the first at once, then twenty
/// # });
/// ```
pub struct RateLimiter {
    rate: Cell<Rate>,
    burst: Cell<u64>,
    /// What is in the bucket, as of `counted`.
    parts: Cell<u128>,
    counted: Cell<Instant>,
    /// Whoever has its permit is first in line.
    line: Semaphore,
    /// Tokens that the first in line waits for; 0 if there is nobody.
    first: Cell<u64>,
    /// The rate has changed.
    changed: Notify,
    waiting: Cell<usize>,
    /// Tokens that those in line wait for.
    wanted: Cell<u64>,
    acquired: Cell<u64>,
    tokens: Cell<u64>,
    waited: Cell<u64>,
}

/// What a [`RateLimiter`] has handed out.
///
/// ```
/// # use windlass_net::windlass;
/// use windlass::flow::{Rate, RateLimiter};
/// let limiter = RateLimiter::new(Rate::per_second(10), 5);
/// limiter.try_acquire(3).unwrap();
/// let stats = limiter.stats();
/// assert_eq!((stats.acquired, stats.tokens, stats.waited, stats.waiting), (1, 3, 0, 0));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct RateLimiterStats {
    /// Calls that got what they asked for.
    pub acquired: u64,
    /// Tokens that they got.
    pub tokens: u64,
    /// Those of the calls that had to wait.
    pub waited: u64,
    /// Calls that wait now.
    pub waiting: usize,
}

impl RateLimiter {
    /// A bucket that `rate` fills and `burst` tokens are enough to make full, as they do now.
    ///
    /// # Panics
    /// If `burst` is 0.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// use windlass::flow::{Rate, RateLimiter};
    /// let limiter = RateLimiter::new(Rate::per_second(10), 5);
    /// assert_eq!(limiter.available(), 5);
    /// ```
    #[track_caller]
    pub fn new(rate: Rate, burst: u64) -> RateLimiter {
        assert!(burst > 0, "a burst is at least one token");
        RateLimiter {
            rate: Cell::new(rate),
            burst: Cell::new(burst),
            parts: Cell::new(rate.parts(burst)),
            counted: Cell::new(Instant::now()),
            line: Semaphore::new(1),
            first: Cell::new(0),
            changed: Notify::new(),
            waiting: Cell::new(0),
            wanted: Cell::new(0),
            acquired: Cell::new(0),
            tokens: Cell::new(0),
            waited: Cell::new(0),
        }
    }

    /// Takes `tokens`, in turn, when so many are there. For more than a burst it waits as first in line until the rate has
    /// brought them.
    ///
    /// # Panics
    /// Outside a running loop, if it has to wait.
    ///
    /// # Cancel
    /// Dropping it leaves the line, and has taken nothing: the next goes on in the same turn.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// use std::time::Duration;
    /// use windlass::flow::{Rate, RateLimiter};
    /// use windlass::time::Instant;
    /// # windlass_reactor::doc(async {
    /// let limiter = RateLimiter::new(Rate::per_second(1_000), 100); // bytes, say
    /// let start = Instant::now();
    /// limiter.acquire(100).await; // at once
    /// limiter.acquire(250).await; // more than a burst
    /// assert_eq!(start.elapsed(), Duration::from_millis(250));
    /// # });
    /// ```
    pub async fn acquire(&self, tokens: u64) {
        let idle = self.line.available_permits() > 0;
        let place = Place::new(self, tokens);
        let permit = self.line.acquire().await.expect("nobody closes the line");
        if idle {
            self.count(); // before there is a first in line: until now nobody was kept waiting
        }
        let first = First::new(self, tokens, permit);
        let mut waited = !idle;
        loop {
            self.count();
            let Some(missing) = self.missing(tokens) else { break };
            waited = true;
            self.changed_or_after(missing).await;
        }
        self.take(tokens);
        self.waited.set(self.waited.get() + waited as u64);
        drop((place, first));
    }

    /// Takes `tokens` if so many are there and nobody waits.
    ///
    /// # Errors
    /// [`RateExceeded`], which says when to try again.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// use std::time::Duration;
    /// use windlass::flow::{Rate, RateLimiter};
    /// # windlass_reactor::doc(async {
    /// let limiter = RateLimiter::new(Rate::per_second(10), 1);
    /// limiter.try_acquire(1).unwrap();
    /// let error = limiter.try_acquire(1).unwrap_err();
    /// assert_eq!(error.retry_after(), Some(Duration::from_millis(100)));
    /// # });
    /// ```
    pub fn try_acquire(&self, tokens: u64) -> Result<(), RateExceeded> {
        let permit = self.line.try_acquire();
        if permit.is_ok() {
            self.count();
            if self.missing(tokens).is_none() {
                self.take(tokens);
                return Ok(());
            }
        }
        let before_us = self.wanted.get().saturating_add(tokens);
        let retry_after = (tokens <= self.burst.get()).then(|| self.missing_at(Instant::now(), before_us));
        Err(RateExceeded { retry_after: retry_after.map(Option::unwrap_or_default) })
    }

    /// Tokens that [`try_acquire`](RateLimiter::try_acquire) would get now; none while somebody waits.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// use std::time::Duration;
    /// use windlass::flow::{Rate, RateLimiter};
    /// # windlass_reactor::doc(async {
    /// let limiter = RateLimiter::new(Rate::per_second(10), 5);
    /// limiter.acquire(5).await;
    /// windlass::time::advance(Duration::from_millis(250)).await;
    /// assert_eq!(limiter.available(), 2);
    /// # });
    /// ```
    pub fn available(&self) -> u64 {
        if self.line.available_permits() == 0 {
            return 0;
        }
        let tokens = self.parts_at(Instant::now()).min(self.cap()) / self.rate.get().parts(1);
        u64::try_from(tokens).unwrap_or(u64::MAX)
    }

    /// The rate.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// use windlass::flow::{Rate, RateLimiter};
    /// assert_eq!(RateLimiter::new(Rate::per_second(10), 5).rate(), Rate::per_second(10));
    /// ```
    pub fn rate(&self) -> Rate {
        self.rate.get()
    }

    /// From now on tokens come at `rate`, also for who waits already. What is in the bucket stays there.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// use std::time::Duration;
    /// use windlass::flow::{Rate, RateLimiter};
    /// use windlass::time::Instant;
    /// # windlass_reactor::doc(async {
    /// let limiter = RateLimiter::new(Rate::per_second(1), 1);
    /// limiter.acquire(1).await;
    /// limiter.set_rate(Rate::per_second(100));
    /// let start = Instant::now();
    /// limiter.acquire(1).await;
    /// assert_eq!(start.elapsed(), Duration::from_millis(10));
    /// # });
    /// ```
    pub fn set_rate(&self, rate: Rate) {
        self.count();
        let before = self.rate.replace(rate);
        let one = before.parts(1);
        let (whole, rest) = (self.parts.get() / one, self.parts.get() % one);
        self.parts.set(whole.saturating_mul(rate.parts(1)).saturating_add(rest * rate.parts(1) / one));
        self.changed.notify_waiters();
    }

    /// Tokens that the bucket holds when it is full.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// use windlass::flow::{Rate, RateLimiter};
    /// assert_eq!(RateLimiter::new(Rate::per_second(10), 5).burst(), 5);
    /// ```
    pub fn burst(&self) -> u64 {
        self.burst.get()
    }

    /// What it has handed out so far.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// use windlass::flow::{Rate, RateLimiter};
    /// # windlass_reactor::doc(async {
    /// let limiter = RateLimiter::new(Rate::per_second(10), 1);
    /// limiter.acquire(1).await;
    /// limiter.acquire(1).await;
    /// assert_eq!((limiter.stats().acquired, limiter.stats().waited), (2, 1));
    /// # });
    /// ```
    pub fn stats(&self) -> RateLimiterStats {
        RateLimiterStats {
            acquired: self.acquired.get(),
            tokens: self.tokens.get(),
            waited: self.waited.get(),
            waiting: self.waiting.get(),
        }
    }

    /// The parts that the bucket holds.
    fn cap(&self) -> u128 {
        let (rate, first) = (self.rate.get(), self.first.get());
        let full = rate.parts(self.burst.get().max(first));
        let late = full.saturating_add(rate.parts_in(LATENESS));
        match first {
            // What was left by somebody who was late stays for who comes back at once.
            0 => full.max(self.parts.get().min(late)),
            _ => late,
        }
    }

    /// What would be in the bucket at `now` if it were large enough.
    fn parts_at(&self, now: Instant) -> u128 {
        self.parts.get().saturating_add(self.rate.get().parts_in(now - self.counted.get()))
    }

    /// Puts what has come since into the bucket, and spills what it does not hold.
    fn count(&self) {
        let now = Instant::now();
        self.parts.set(self.parts_at(now).min(self.cap()));
        self.counted.set(now);
    }

    /// How long until `tokens` are there, if they were counted just now.
    fn missing(&self, tokens: u64) -> Option<Duration> {
        self.missing_at(self.counted.get(), tokens)
    }

    fn missing_at(&self, now: Instant, tokens: u64) -> Option<Duration> {
        let missing = self.rate.get().parts(tokens).saturating_sub(self.parts_at(now));
        (missing > 0).then(|| self.rate.get().time_for(missing))
    }

    fn take(&self, tokens: u64) {
        self.parts.set(self.parts.get() - self.rate.get().parts(tokens));
        self.tokens.set(self.tokens.get().saturating_add(tokens));
        self.acquired.set(self.acquired.get() + 1);
    }

    async fn changed_or_after(&self, delay: Duration) {
        let (mut changed, mut nap) = (pin!(self.changed.notified()), sleep(delay));
        poll_fn(|cx| match changed.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(()),
            Poll::Pending => Pin::new(&mut nap).poll(cx),
        })
        .await;
    }
}

/// Who is in line, for the counts.
struct Place<'a> {
    limiter: &'a RateLimiter,
    tokens: u64,
}

impl<'a> Place<'a> {
    fn new(limiter: &'a RateLimiter, tokens: u64) -> Self {
        let tokens = tokens.min(u64::MAX - limiter.wanted.get()); // so that the sum fits
        limiter.wanted.set(limiter.wanted.get() + tokens);
        limiter.waiting.set(limiter.waiting.get() + 1);
        Place { limiter, tokens }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.limiter.wanted.set(self.limiter.wanted.get() - self.tokens);
        self.limiter.waiting.set(self.limiter.waiting.get() - 1);
    }
}

/// Who is first in line, and what for.
struct First<'a> {
    limiter: &'a RateLimiter,
    _permit: SemaphorePermit<'a>,
}

impl<'a> First<'a> {
    fn new(limiter: &'a RateLimiter, tokens: u64, permit: SemaphorePermit<'a>) -> Self {
        limiter.first.set(tokens);
        First { limiter, _permit: permit }
    }
}

impl Drop for First<'_> {
    fn drop(&mut self) {
        self.limiter.first.set(0); // before the permit goes to the next
    }
}

impl fmt::Display for RateLimiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let RateLimiterStats { tokens, waiting, .. } = self.stats();
        let (rate, burst, available) = (self.rate(), self.burst(), self.available());
        write!(f, "{rate}, bursts of {burst}: {available} available, {waiting} waiting, {tokens} handed out")
    }
}

impl fmt::Debug for RateLimiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimiter")
            .field("rate", &self.rate())
            .field("burst", &self.burst())
            .field("available", &self.available())
            .field("stats", &self.stats())
            .finish()
    }
}

/// There are not so many tokens, or others wait for them.
///
/// ```
/// # use windlass_net::windlass;
/// use windlass::flow::{Rate, RateLimiter};
/// # windlass_reactor::doc(async {
/// let limiter = RateLimiter::new(Rate::per_second(10), 1);
/// limiter.acquire(1).await;
/// let error = limiter.try_acquire(1).unwrap_err();
/// assert_eq!(error.to_string(), "the rate is exceeded: try again in 100ms");
/// # });
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RateExceeded {
    retry_after: Option<Duration>,
}

impl RateExceeded {
    /// When the tokens will be there, if nobody else comes; none if they are more than a burst, and never are.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// use windlass::flow::{Rate, RateLimiter};
    /// let limiter = RateLimiter::new(Rate::per_second(10), 5);
    /// assert_eq!(limiter.try_acquire(6).unwrap_err().retry_after(), None);
    /// ```
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }
}

impl fmt::Display for RateExceeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.retry_after {
            Some(delay) => write!(f, "the rate is exceeded: try again in {delay:?}"),
            None => f.write_str("the rate is exceeded: so many tokens are more than a burst"),
        }
    }
}

impl Error for RateExceeded {}
