//! Trying again, within reason.
//! A call that failed may succeed if it is made once more; or it may fail for ever, and cost its caller patience and its
//! peer strength. A policy says how far to go:
//!
//! ```text
//!   attempt 1/n ──► ok ──────────────────────────────────────────► its value
//!        ▲    └───► error, or its time was up
//!        │             ├ not of the kind that passes? ─────┐
//!        │             ├ attempts, time or budget used up? ┴────► RetryError: the last error, attempts, elapsed
//!        └── backoff ◄─┘ or what the peer asked for
//! ```
//!
//! While it backs off it holds nothing: the attempt's future is dropped, and with it whatever the attempt had acquired,
//! and its error too. So a permit belongs into the attempt, not around the call: a few peers that fail then take
//! nobody's place.
//!
//! Not here: how long to back off (`backoff`), and what calls may spend together (`retry_budget`).

use std::cell::RefCell;
use std::error::Error;
use std::fmt;
use std::time::Duration;

use windlass_reactor::time::{Instant, sleep, timeout_at};

use super::backoff::{Backoff, Delays};
use super::random::SplitMix64;
use super::retry_budget::{RetryBudget, SetAside};

/// How often a call is tried, for which errors, and with what delays; one policy serves any number of calls.
///
/// By itself it retries every error, with the default [`Backoff`] and no limits of time.
///
/// ```
/// # use windlass_net::windlass;
/// use std::time::Duration;
/// use windlass::flow::{Backoff, Jitter, Retry};
/// use windlass::time::{Instant, sleep};
/// # windlass_reactor::doc(async {
/// let policy = Retry::new(3)
///     .attempt_timeout(Duration::from_secs(1))
///     .backoff(Backoff::exponential(Duration::from_millis(100), Duration::from_secs(5)).jitter(Jitter::None));
/// let start = Instant::now();
/// let answer = policy.run(async |attempt| {
///     println!("attempt {attempt}"); // 1/3, 2/3, 3/3
///     match attempt.number {
///         1 => return Err("connection refused"),
///         2 => sleep(Duration::from_secs(60)).await, // given up after a second
///         _ => {}
///     }
///     Ok("here I am")
/// });
/// assert_eq!(answer.await.unwrap(), "here I am");
/// assert_eq!(start.elapsed(), Duration::from_millis(100 + 1_000 + 200));
/// # });
/// ```
pub struct Retry<E> {
    attempts: u32,
    attempt_timeout: Option<Duration>,
    total_timeout: Option<Duration>,
    /// Whether attempts end by themselves when the total is over: then none is dropped.
    ends_itself: bool,
    backoff: Backoff,
    budget: Option<RetryBudget>,
    /// Seeds of the calls' delays.
    seeds: RefCell<SplitMix64>,
    retry_if: Option<Ask<E, bool>>,
    retry_after: Option<(Duration, Ask<E, Option<Duration>>)>,
    on_failure: Option<Hook<E>>,
}

type Ask<E, A> = Box<dyn Fn(&E) -> A>;
type Hook<E> = Box<dyn Fn(FailedAttempt<'_, E>)>;

/// Which attempt of how many, counted from 1; displayed as `1/3`.
///
/// ```
/// # use windlass_net::windlass;
/// use windlass::flow::Retry;
/// # windlass_reactor::doc(async {
/// let number = Retry::new(3).run(async |attempt| Ok::<_, ()>(attempt.to_string())).await;
/// assert_eq!(number.unwrap(), "1/3");
/// # });
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Attempt {
    /// Which.
    pub number: u32,
    /// Of how many at most.
    pub of: u32,
}

/// An attempt that failed, as [`Retry::on_failure`] is told.
///
/// ```
/// # use windlass_net::windlass;
/// use windlass::flow::Retry;
/// # windlass_reactor::doc(async {
/// let policy = Retry::new(1).on_failure(|failed| {
///     assert_eq!(failed.attempt.to_string(), "1/1");
///     assert_eq!(failed.error, Some(&"down"));
///     assert_eq!(failed.retry_in, None); // it was the last
/// });
/// policy.run(async |_| Err::<(), _>("down")).await.unwrap_err();
/// # });
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub struct FailedAttempt<'a, E> {
    /// Which one.
    pub attempt: Attempt,
    /// What it failed with; none if its time was up.
    pub error: Option<&'a E>,
    /// The delay until the next; none if this was the last.
    pub retry_in: Option<Duration>,
}

impl<E> Retry<E> {
    /// At most `attempts` attempts, the first among them.
    ///
    /// # Panics
    /// If that is 0.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// use windlass::flow::Retry;
    /// # windlass_reactor::doc(async {
    /// let error = Retry::new(3).run(async |_| Err::<(), _>("down")).await.unwrap_err();
    /// assert_eq!((error.attempts(), error.into_last()), (3, Some("down")));
    /// # });
    /// ```
    #[track_caller]
    pub fn new(attempts: u32) -> Retry<E> {
        assert!(attempts > 0, "a call takes at least one attempt");
        Retry {
            attempts,
            attempt_timeout: None,
            total_timeout: None,
            ends_itself: false,
            backoff: Backoff::default(),
            budget: None,
            seeds: RefCell::new(SplitMix64::from_system()),
            retry_if: None,
            retry_after: None,
            on_failure: None,
        }
    }

    /// An attempt that takes longer is dropped, and has failed. Such a failure is always retried: what must not be tried
    /// twice must not be cut short.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// # use std::time::Duration;
    /// use windlass::flow::Retry;
    /// # windlass_reactor::doc(async {
    /// let policy = Retry::<()>::new(2).attempt_timeout(Duration::from_secs(3));
    /// let error = policy.run(async |_| std::future::pending::<Result<(), ()>>().await).await.unwrap_err();
    /// assert!(error.is_timeout());
    /// assert!(error.elapsed() >= Duration::from_secs(6));
    /// # });
    /// ```
    #[must_use]
    pub fn attempt_timeout(mut self, timeout: Duration) -> Self {
        self.attempt_timeout = Some(timeout);
        self
    }

    /// The call takes no longer than this, attempts and delays together: an attempt is dropped when it is over, and a
    /// delay that would not end before is not begun.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// # use std::time::Duration;
    /// use windlass::flow::{Backoff, Retry, RetryErrorKind};
    /// # windlass_reactor::doc(async {
    /// let policy = Retry::new(100)
    ///     .backoff(Backoff::constant(Duration::from_secs(2)))
    ///     .total_timeout(Duration::from_secs(5));
    /// let error = policy.run(async |_| Err::<(), _>("down")).await.unwrap_err();
    /// assert_eq!(error.kind(), RetryErrorKind::TotalTimeout);
    /// assert_eq!((error.attempts(), error.elapsed().as_secs()), (3, 4)); // the next would have come at 6 s
    /// # });
    /// ```
    #[must_use]
    pub fn total_timeout(mut self, timeout: Duration) -> Self {
        self.total_timeout = Some(timeout);
        self
    }

    /// As [`total_timeout`](Retry::total_timeout), for attempts that know it too and can say better what they were at when it
    /// was over.
    #[cfg(any(test, feature = "retry"))]
    pub(crate) fn total_timeout_known(mut self, timeout: Duration) -> Self {
        self.ends_itself = true;
        self.total_timeout(timeout)
    }

    /// How long to wait between attempts.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// # use std::time::Duration;
    /// use windlass::flow::{Backoff, Retry};
    /// # windlass_reactor::doc(async {
    /// let policy = Retry::new(4).backoff(Backoff::constant(Duration::from_secs(1)));
    /// let error = policy.run(async |_| Err::<(), _>("down")).await.unwrap_err();
    /// assert_eq!(error.elapsed().as_secs(), 3);
    /// # });
    /// ```
    #[must_use]
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.backoff = backoff;
        self
    }

    /// The delays are those of this seed, call by call, in every run of the program; else the system seeds them.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// use windlass::flow::Retry;
    /// # windlass_reactor::doc(async {
    /// let elapsed = async |seed| {
    ///     let error = Retry::new(4).seed(seed).run(async |_| Err::<(), _>("down")).await.unwrap_err();
    ///     error.elapsed()
    /// };
    /// assert_eq!(elapsed(1).await, elapsed(1).await);
    /// assert_ne!(elapsed(1).await, elapsed(2).await);
    /// # });
    /// ```
    #[must_use]
    pub fn seed(self, seed: u64) -> Self {
        Retry { seeds: RefCell::new(SplitMix64::new(seed)), ..self }
    }

    /// Only errors for which `retry_if` is true are retried.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// use windlass::flow::{Retry, RetryErrorKind};
    /// # windlass_reactor::doc(async {
    /// let policy = Retry::new(3).retry_if(|&status| status >= 500);
    /// let error = policy.run(async |_| Err::<(), _>(404)).await.unwrap_err();
    /// assert_eq!((error.attempts(), error.kind()), (1, RetryErrorKind::NotRetryable));
    /// # });
    /// ```
    #[must_use]
    pub fn retry_if(mut self, retry_if: impl Fn(&E) -> bool + 'static) -> Self {
        self.retry_if = Some(Box::new(retry_if));
        self
    }

    /// What the peer asked for, if the error says it, takes the place of the backoff; what is longer than `cap` is cut to
    /// it. In HTTP that is the field `Retry-After`.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// # use std::time::Duration;
    /// use windlass::flow::Retry;
    /// # windlass_reactor::doc(async {
    /// struct Busy { seconds: Option<u64> }
    /// let policy = Retry::new(2)
    ///     .retry_after(Duration::from_secs(60), |busy: &Busy| busy.seconds.map(Duration::from_secs));
    /// let error = policy.run(async |_| Err::<(), _>(Busy { seconds: Some(7) })).await.unwrap_err();
    /// assert_eq!(error.elapsed().as_secs(), 7);
    /// let error = policy.run(async |_| Err::<(), _>(Busy { seconds: Some(99_999_999) })).await.unwrap_err();
    /// assert_eq!(error.elapsed().as_secs(), 60);
    /// # });
    /// ```
    #[must_use]
    pub fn retry_after(mut self, cap: Duration, retry_after: impl Fn(&E) -> Option<Duration> + 'static) -> Self {
        self.retry_after = Some((cap, Box::new(retry_after)));
        self
    }

    /// Every retry is paid from `budget`, which the calls of other policies may share.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// use windlass::flow::{Retry, RetryBudget, RetryErrorKind};
    /// # windlass_reactor::doc(async {
    /// let policy = Retry::new(3).budget(&RetryBudget::new(10, 1));
    /// let error = policy.run(async |_| Err::<(), _>("down")).await.unwrap_err();
    /// assert_eq!((error.attempts(), error.kind()), (2, RetryErrorKind::BudgetExhausted));
    /// # });
    /// ```
    #[must_use]
    pub fn budget(mut self, budget: &RetryBudget) -> Self {
        self.budget = Some(budget.clone());
        self
    }

    /// Calls `hook` after every attempt that failed, before the delay: to log, or to count.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// use std::{cell::RefCell, rc::Rc};
    /// use windlass::flow::Retry;
    /// # windlass_reactor::doc(async {
    /// let log = Rc::new(RefCell::new(Vec::new()));
    /// let policy = Retry::new(2).on_failure({
    ///     let log = log.clone();
    ///     move |failed| log.borrow_mut().push(format!("{}: {:?}", failed.attempt, failed.error))
    /// });
    /// policy.run(async |_| Err::<(), _>("down")).await.unwrap_err();
    /// assert_eq!(*log.borrow(), [r#"1/2: Some("down")"#, r#"2/2: Some("down")"#]);
    /// # });
    /// ```
    #[must_use]
    pub fn on_failure(mut self, hook: impl Fn(FailedAttempt<'_, E>) + 'static) -> Self {
        self.on_failure = Some(Box::new(hook));
        self
    }

    /// Calls `operation` until it succeeds or the policy says that it is enough. Time counts from the first poll.
    ///
    /// # Errors
    /// [`RetryError`], which holds the error of the last attempt.
    ///
    /// # Panics
    /// As `operation` and the policy's functions do; and outside a running loop, if there is time to wait for.
    ///
    /// # Cancel
    /// Dropping it drops the attempt that runs. A retry that was set aside in a [`RetryBudget`] and not begun goes back.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// use windlass::flow::Retry;
    /// # windlass_reactor::doc(async {
    /// let mut tries = 0;
    /// let policy = Retry::new(5);
    /// let value = policy.run(async |_| {
    ///     tries += 1;
    ///     if tries < 3 { Err("not yet") } else { Ok(42) }
    /// });
    /// assert_eq!(value.await.unwrap(), 42);
    /// # });
    /// ```
    pub async fn run<T>(&self, mut operation: impl AsyncFnMut(Attempt) -> Result<T, E>) -> Result<T, RetryError<E>> {
        let start = Instant::now();
        let deadline = self.total_timeout.map(|timeout| start + timeout);
        let mut delays = self.backoff.delays(self.seeds.borrow_mut().next());
        if let Some(budget) = &self.budget {
            budget.deposit();
        }
        let mut attempt = Attempt { number: 1, of: self.attempts };
        loop {
            let error = match within(self.attempt_deadline(deadline), operation(attempt)).await {
                Some(Ok(value)) => return Ok(value),
                Some(Err(error)) => Some(error),
                None => None,
            };
            let next = self.next(attempt, error.as_ref(), deadline, &mut delays);
            if let Some(hook) = &self.on_failure {
                let retry_in = next.as_ref().ok().map(|next| next.delay);
                hook(FailedAttempt { attempt, error: error.as_ref(), retry_in });
            }
            let next = match next {
                Ok(next) => next,
                Err(kind) => return Err(RetryError { kind, attempt, elapsed: start.elapsed(), last: error }),
            };
            drop(error); // it may hold a connection
            sleep(next.delay).await;
            if let Some(retry) = next.paid {
                retry.spend();
            }
            attempt.number += 1;
        }
    }

    /// When an attempt that begins now must be over.
    fn attempt_deadline(&self, deadline: Option<Instant>) -> Option<Instant> {
        let own = self.attempt_timeout.map(|timeout| Instant::now() + timeout);
        own.into_iter().chain(deadline.filter(|_| !self.ends_itself)).min()
    }

    /// What comes after a failure: another attempt, or the reason why none does.
    fn next(
        &self,
        failed: Attempt,
        error: Option<&E>,
        deadline: Option<Instant>,
        delays: &mut Delays,
    ) -> Result<Next, RetryErrorKind> {
        let too_late = |delay| deadline.is_some_and(|deadline| Instant::now() + delay >= deadline);
        if let (Some(retry_if), Some(error)) = (&self.retry_if, error)
            && !retry_if(error)
        {
            return Err(RetryErrorKind::NotRetryable);
        }
        if too_late(Duration::ZERO) {
            return Err(RetryErrorKind::TotalTimeout);
        }
        if failed.number == self.attempts {
            return Err(RetryErrorKind::AttemptsExhausted);
        }
        let backoff = delays.next().expect("delays have no end");
        let delay = error.and_then(|error| self.asked_for(error)).unwrap_or(backoff);
        if too_late(delay) {
            return Err(RetryErrorKind::TotalTimeout);
        }
        let paid = match &self.budget {
            Some(budget) => Some(budget.withdraw().ok_or(RetryErrorKind::BudgetExhausted)?),
            None => None,
        };
        Ok(Next { delay, paid })
    }

    /// The delay that the peer asked for.
    fn asked_for(&self, error: &E) -> Option<Duration> {
        let (cap, retry_after) = self.retry_after.as_ref()?;
        retry_after(error).map(|delay| delay.min(*cap))
    }
}

/// Another attempt.
struct Next {
    delay: Duration,
    paid: Option<SetAside>,
}

/// The output of `future`, unless it takes longer than until `deadline`.
async fn within<F: Future>(deadline: Option<Instant>, future: F) -> Option<F::Output> {
    match deadline {
        Some(deadline) => timeout_at(deadline, future).await.ok(),
        None => Some(future.await),
    }
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.number, self.of)
    }
}

impl<E> fmt::Debug for Retry<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Retry")
            .field("attempts", &self.attempts)
            .field("attempt_timeout", &self.attempt_timeout)
            .field("total_timeout", &self.total_timeout)
            .field("backoff", &self.backoff)
            .field("budget", &self.budget)
            .finish_non_exhaustive()
    }
}

/// A call that failed for good: why no further attempt was made, and what the last one failed with.
///
/// ```
/// # use windlass_net::windlass;
/// use windlass::flow::Retry;
/// # windlass_reactor::doc(async {
/// let error = Retry::new(1).run(async |_| Err::<(), _>("connection refused")).await.unwrap_err();
/// assert_eq!(error.to_string(), "attempt 1/1 failed after 0ns: connection refused");
/// # });
/// ```
///
/// It is an [`Error`](std::error::Error) where `E` is one, which `&str` is not, nor `Box<dyn Error>`: there `?` does not take
/// it, and [`into_last`](RetryError::into_last) or its text goes on.
///
/// ```
/// # use windlass_net::windlass;
/// use std::error::Error;
/// use windlass::flow::Retry;
/// # windlass_reactor::doc(async {
///
/// async fn number(text: &str) -> Result<u32, Box<dyn Error>> {
///     let called = Retry::new(3).run(async |_| Ok::<u32, Box<dyn Error>>(text.parse()?)).await;
///     called.map_err(|error| error.into_last().unwrap_or_else(|| "no answer in time".into()))
/// }
/// assert_eq!(number("six").await.unwrap_err().to_string(), "invalid digit found in string");
/// # });
/// ```
#[derive(Debug)]
pub struct RetryError<E> {
    kind: RetryErrorKind,
    attempt: Attempt,
    elapsed: Duration,
    last: Option<E>,
}

/// Why no further attempt was made.
///
/// ```
/// # use windlass_net::windlass;
/// use windlass::flow::{Retry, RetryErrorKind};
/// # windlass_reactor::doc(async {
/// let error = Retry::new(3).run(async |_| Err::<(), _>("down")).await.unwrap_err();
/// assert_eq!(error.kind(), RetryErrorKind::AttemptsExhausted);
/// # });
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum RetryErrorKind {
    /// All were made.
    AttemptsExhausted,
    /// The error is none of those that are retried.
    NotRetryable,
    /// The time for the whole call is over, or would have been before the next attempt.
    TotalTimeout,
    /// Nothing was left in the [`RetryBudget`].
    BudgetExhausted,
}

impl<E> RetryError<E> {
    /// Why no further attempt was made.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// use windlass::flow::{Retry, RetryErrorKind};
    /// # windlass_reactor::doc(async {
    /// let policy = Retry::new(3).retry_if(|_| false);
    /// let error = policy.run(async |_| Err::<(), _>("down")).await.unwrap_err();
    /// assert_eq!(error.kind(), RetryErrorKind::NotRetryable);
    /// # });
    /// ```
    pub fn kind(&self) -> RetryErrorKind {
        self.kind
    }

    /// Attempts that were made.
    ///
    /// ```
    /// # use windlass_net::flow::Retry;
    /// # windlass_reactor::doc(async {
    /// let error = Retry::new(3).run(async |_| Err::<(), _>("down")).await.unwrap_err();
    /// assert_eq!(error.attempts(), 3);
    /// # });
    /// ```
    pub fn attempts(&self) -> u32 {
        self.attempt.number
    }

    /// Time from the beginning of the call to its end.
    ///
    /// ```
    /// # use windlass_net::flow::Retry;
    /// # windlass_reactor::doc(async {
    /// let error = Retry::new(1).run(async |_| Err::<(), _>("down")).await.unwrap_err();
    /// assert!(error.elapsed().is_zero());
    /// # });
    /// ```
    pub fn elapsed(&self) -> Duration {
        self.elapsed
    }

    /// True if the last attempt did not fail by itself: its time was up.
    ///
    /// ```
    /// # use windlass_net::flow::Retry;
    /// # windlass_reactor::doc(async {
    /// let error = Retry::new(1).run(async |_| Err::<(), _>("down")).await.unwrap_err();
    /// assert!(!error.is_timeout());
    /// # });
    /// ```
    pub fn is_timeout(&self) -> bool {
        self.last.is_none()
    }

    /// What the last attempt failed with; none if its time was up.
    ///
    /// ```
    /// # use windlass_net::flow::Retry;
    /// # windlass_reactor::doc(async {
    /// let error = Retry::new(1).run(async |_| Err::<(), _>("down")).await.unwrap_err();
    /// assert_eq!(error.last(), Some(&"down"));
    /// # });
    /// ```
    pub fn last(&self) -> Option<&E> {
        self.last.as_ref()
    }

    /// As [`last`](RetryError::last), to be raised again.
    ///
    /// ```
    /// # use windlass_net::flow::Retry;
    /// # windlass_reactor::doc(async {
    /// let error = Retry::new(1).run(async |_| Err::<(), _>("down")).await.unwrap_err();
    /// assert_eq!(error.into_last(), Some("down"));
    /// # });
    /// ```
    pub fn into_last(self) -> Option<E> {
        self.last
    }
}

impl<E: fmt::Display> fmt::Display for RetryError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let why = match self.kind {
            RetryErrorKind::AttemptsExhausted => "",
            RetryErrorKind::NotRetryable => ", not to be retried",
            RetryErrorKind::TotalTimeout => ", no time for another",
            RetryErrorKind::BudgetExhausted => ", no retry left in the budget",
        };
        write!(f, "attempt {} failed after {:?}{why}: ", self.attempt, self.elapsed)?;
        match &self.last {
            Some(error) => error.fmt(f),
            None => f.write_str("the time was up"),
        }
    }
}

impl<E: Error + 'static> Error for RetryError<E> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.last.as_ref().map(|error| error as _)
    }
}
