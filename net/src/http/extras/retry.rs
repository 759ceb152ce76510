//! Requests that are tried again.
//!
//! ```text
//!   attempt 1/n: redirects and all ──► an answer that will do ──────────────────────► Response
//!        ▲    └───► 429, 503 …, or an error that may pass
//!        │             │ its connection goes back, or is closed
//!        └── backoff ◄─┤ or what Retry-After says
//!                      └ not a method that may be repeated, no attempts, time or budget left ──► the last one, as it is
//! ```
//!
//! How often, how far apart and out of which budget, [`flow::Retry`](crate::flow::Retry) knows; here is what a failure is in
//! HTTP, and what must be as it was for another attempt. While it backs off a request holds nothing of the pool's: a few
//! hosts that fail take nobody's connection. An answer's body is not covered: when its head is there, it is the answer.
//! Not here: the one repetition on a connection that had gone (`exchange`), which is none of these.   Next: `follow`.

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use windlass_reactor::time::Instant;

use super::follow::Call;
use super::upload::Body;
use crate::flow::random::SplitMix64;
use crate::flow::{Attempt, Backoff, FailedAttempt, Retry, RetryBudget};
use crate::http::client::exchange::is_idempotent;
use crate::http::wire::head::Fields;
use crate::http::{ClientBuilder, Error, ErrorKind, Request, Response, Timeouts};

/// Answers that may be others a little later (RFC 9110 15.5.9, 6585 4, 9110 15.6).
const STATUSES: [u16; 6] = [408, 429, 500, 502, 503, 504];
/// What `Retry-After` may ask for: a caller waits for that, if hardly for more.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(60);
/// How far ahead two digits can say a year: fifty years, as many of them as can be with 13 leap days.
const DIGITS_REACH: Duration = Duration::from_secs((50 * 365 + 13) * 24 * 60 * 60);

/// When a client tries a request again, and how often.
///
/// | | default |
/// |---|---|
/// | attempts | as given, the first among them |
/// | methods | GET, HEAD, OPTIONS, TRACE, PUT, DELETE, which do the same when done twice (RFC 9110 9.2.2); all with [`any_method`](Retries::any_method) |
/// | statuses | 408, 429, 500, 502, 503, 504 |
/// | errors | the name or the connection could not be had; the connection broke before the head was there; a time-out |
/// | not | a bad certificate, a malformed or too large answer, a redirect that cannot be followed: they come again |
/// | a body | that of a stream cannot be sent again, so it is not |
/// | in between | [`Backoff::default`]: 100 ms, doubling up to 10 s, with full jitter; or `Retry-After`, up to 60 s |
/// | in all | [`Timeouts::total`], backoff and all; a delay that would not end before is not begun |
///
/// What the last attempt came to is what [`send`](Request::send) gives, be it an error or an answer of such a status.
///
/// ```
/// # use windlass_net::windlass;
/// use std::cell::Cell;
/// use windlass::http::{Client, Reply, Retries, Server, Url};
/// # windlass_reactor::doc_real(async {
/// # let server = Server::bind("127.0.0.1:0".parse().unwrap())?;
/// # let url = Url::parse(&format!("http://{}/", server.local_addr()?)).unwrap();
/// let asked = Cell::new(0);
/// windlass::spawn(server.run(move |_| {
///     asked.set(asked.get() + 1);
///     Reply::bytes(if asked.get() < 3 { 503 } else { 200 }, "")
/// }));
/// let client = Client::builder().retries(Retries::new(3)).build();
/// assert_eq!(client.get(&url).send().await.unwrap().status(), 200);
/// # std::io::Result::Ok(()) }).unwrap();
/// ```
#[derive(Clone)]
pub struct Retries {
    attempts: u32,
    attempt_timeout: Option<Duration>,
    backoff: Backoff,
    budget: Option<RetryBudget>,
    statuses: Rc<[u16]>,
    methods: Methods,
    retry_after_max: Duration,
    seeds: Rc<RefCell<SplitMix64>>,
    hook: Option<Rc<Hook>>,
}

type Hook = dyn Fn(FailedAttempt<'_, Error>);

#[derive(Clone, Copy, PartialEq)]
enum Methods {
    Idempotent,
    Any,
}

impl Retries {
    /// At most `attempts` attempts, the first among them.
    ///
    /// # Panics
    /// If that is 0.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// use windlass::http::{Client, Retries};
    /// let client = Client::builder().retries(Retries::new(3)).build();
    /// # drop(client);
    /// ```
    #[track_caller]
    pub fn new(attempts: u32) -> Retries {
        assert!(attempts > 0, "a request takes at least one attempt");
        Retries {
            attempts,
            attempt_timeout: None,
            backoff: Backoff::default(),
            budget: None,
            statuses: STATUSES.into(),
            methods: Methods::Idempotent,
            retry_after_max: RETRY_AFTER_MAX,
            seeds: Rc::new(RefCell::new(SplitMix64::from_system())),
            hook: None,
        }
    }

    /// A time-out for each attempt, from its wait for a connection to the head of its answer. Without, one attempt may take
    /// all the time there is.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// # use std::time::Duration;
    /// let retries = windlass::http::Retries::new(3).attempt_timeout(Duration::from_secs(5));
    /// # drop(retries);
    /// ```
    #[must_use]
    pub fn attempt_timeout(mut self, timeout: Duration) -> Retries {
        self.attempt_timeout = Some(timeout);
        self
    }

    /// How long to wait between attempts.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// # use std::time::Duration;
    /// use windlass::{flow::Backoff, http::Retries};
    /// let retries = Retries::new(3).backoff(Backoff::exponential(Duration::from_secs(1), Duration::from_secs(30)));
    /// # drop(retries);
    /// ```
    #[must_use]
    pub fn backoff(mut self, backoff: Backoff) -> Retries {
        self.backoff = backoff;
        self
    }

    /// Every retry is paid from `budget`, which others may share.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// use windlass::{flow::RetryBudget, http::Retries};
    /// let retries = Retries::new(3).budget(&RetryBudget::new(10, 100)); // one for ten requests, and 100 for a start
    /// # drop(retries);
    /// ```
    #[must_use]
    pub fn budget(mut self, budget: &RetryBudget) -> Retries {
        self.budget = Some(budget.clone());
        self
    }

    /// Answers of these statuses are failures, and no others.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// let retries = windlass::http::Retries::new(3).statuses(&[503]);
    /// # drop(retries);
    /// ```
    #[must_use]
    pub fn statuses(mut self, statuses: &[u16]) -> Retries {
        self.statuses = statuses.into();
        self
    }

    /// Requests of any method: for servers that know a request which they have seen. Else an order may be placed twice.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// let retries = windlass::http::Retries::new(3).any_method();
    /// # drop(retries);
    /// ```
    #[must_use]
    pub fn any_method(mut self) -> Retries {
        self.methods = Methods::Any;
        self
    }

    /// What `Retry-After` may ask for; longer is cut to it.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// # use std::time::Duration;
    /// let retries = windlass::http::Retries::new(3).retry_after_max(Duration::from_secs(600));
    /// # drop(retries);
    /// ```
    #[must_use]
    pub fn retry_after_max(mut self, longest: Duration) -> Retries {
        self.retry_after_max = longest;
        self
    }

    /// The delays are those of this seed, request by request; else the system seeds them.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// let retries = windlass::http::Retries::new(3).seed(1);
    /// # drop(retries);
    /// ```
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Retries {
        self.seeds = Rc::new(RefCell::new(SplitMix64::new(seed)));
        self
    }

    /// Calls `hook` after every attempt that failed: to log, or to count. A status that is a failure is told as an error of
    /// kind [`Status`](ErrorKind::Status).
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// use windlass::http::Retries;
    /// let retries = Retries::new(3).on_failure(|failed| {
    ///     let error = failed.error.expect("an attempt ends with an answer or an error");
    ///     eprintln!("attempt {}: {error}; again in {:?}", failed.attempt, failed.retry_in);
    /// });
    /// # drop(retries);
    /// ```
    #[must_use]
    pub fn on_failure(mut self, hook: impl Fn(FailedAttempt<'_, Error>) + 'static) -> Retries {
        self.hook = Some(Rc::new(hook));
        self
    }

    /// For one request: this policy in the words of `flow`.
    fn policy(&self, total: Option<Duration>) -> Retry<Failed> {
        let seed = self.seeds.borrow_mut().next();
        let mut policy = Retry::new(self.attempts)
            .backoff(self.backoff)
            .seed(seed)
            .retry_if(|failed: &Failed| failed.may_pass)
            .retry_after(self.retry_after_max, |failed| failed.retry_after);
        if let Some(total) = total {
            policy = policy.total_timeout_known(total);
        }
        if let Some(budget) = &self.budget {
            policy = policy.budget(budget);
        }
        if let Some(hook) = self.hook.clone() {
            policy = policy.on_failure(move |failed| {
                let FailedAttempt { attempt, error, retry_in } = failed;
                let status;
                let error = match error.map(|failed| &*failed.outcome) {
                    None => None,
                    Some(Err(error)) => Some(error),
                    Some(Ok(response)) => {
                        status = Error::new(ErrorKind::Status, format!("status {}", response.status()));
                        Some(&status)
                    }
                };
                hook(FailedAttempt { attempt, error, retry_in });
            });
        }
        policy
    }

    /// What came of an attempt: an answer that will do, or a failure.
    fn judge(&self, outcome: Result<Response, Error>, may_repeat: bool) -> Result<Response, Failed> {
        let retry_after = match &outcome {
            Ok(response) if !self.statuses.contains(&response.status()) => return outcome.map_err(Failed::for_good),
            Ok(response) => retry_after(response.headers(), SystemTime::now()),
            Err(error) if !may_pass(error.kind()) => return outcome.map_err(Failed::for_good),
            Err(_) => None,
        };
        Err(Failed { outcome: Box::new(outcome), may_pass: may_repeat, retry_after })
    }
}

impl fmt::Debug for Retries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Retries { attempts, attempt_timeout, backoff, statuses, .. } = self;
        let mut shown = f.debug_struct("Retries");
        shown.field("attempts", attempts).field("attempt_timeout", attempt_timeout).field("backoff", backoff);
        shown.field("statuses", statuses).finish_non_exhaustive()
    }
}

impl ClientBuilder {
    /// Tries requests again that fail in a way that may pass.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// use windlass::http::{Client, Retries};
    /// let client = Client::builder().retries(Retries::new(3)).build();
    /// # drop(client);
    /// ```
    pub fn retries(mut self, retries: Retries) -> Self {
        self.extras().retries = Some(retries);
        self
    }
}

impl Request<'_> {
    /// When it is tried again, instead of the client's setting; none for never.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// # windlass_net::doc_http(async |client, url| {
    /// use windlass::http::Retries;
    /// client.get(url).retries(Retries::new(2)).send().await?;
    /// client.get(url).retries(None).send().await?;
    /// # Ok(()) });
    /// ```
    pub fn retries(mut self, retries: impl Into<Option<Retries>>) -> Self {
        self.extras().retries = retries.into();
        self
    }
}

/// An attempt that failed.
struct Failed {
    /// Boxed, as it is rare and large.
    outcome: Box<Result<Response, Error>>,
    may_pass: bool,
    retry_after: Option<Duration>,
}

impl Failed {
    fn for_good(error: Error) -> Failed {
        Failed { outcome: Box::new(Err(error)), may_pass: false, retry_after: None }
    }
}

/// Sends a request as often as its policy says.
pub(crate) async fn send(mut call: Call<'_>, timeouts: Timeouts) -> Result<Response, Error> {
    let extras = call.extras.clone();
    let retries = extras.retries.as_ref().expect("who comes here retries");
    let deadline = timeouts.total.map(|total| Instant::now() + total);
    let may_repeat = retries.methods == Methods::Any || is_idempotent(call.request.method);
    let headers = call.request.own().headers.clone();
    let policy = retries.policy(timeouts.total);
    let sent = policy.run(async |_: Attempt| {
        call.request.own().headers.clone_from(&headers);
        let outcome = call.follow(left(timeouts, retries.attempt_timeout, deadline)).await;
        if let Some(body) = call.set_aside.take() {
            call.request.own().body = Some(body);
        }
        retries.judge(outcome, may_repeat && call.request.own().body.as_mut().is_none_or(Body::rewind))
    });
    sent.await.or_else(|failed| *failed.into_last().expect("an attempt ends by itself").outcome)
}

/// The time of one attempt: its own, or what is left of all.
fn left(mut timeouts: Timeouts, attempt: Option<Duration>, deadline: Option<Instant>) -> Timeouts {
    let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
    timeouts.total = attempt.into_iter().chain(left).min();
    timeouts
}

/// Errors that may be none the next time. That of a certificate, and whatever is wrong with an answer, stays.
fn may_pass(kind: ErrorKind) -> bool {
    use ErrorKind::{Connect, Reset, Resolve, TimeoutConnect, TimeoutRead, TimeoutResolve, TimeoutTotal, Truncated};
    matches!(kind, Resolve | Connect | TimeoutResolve | TimeoutConnect | TimeoutRead | TimeoutTotal | Reset | Truncated)
}

/// What `Retry-After` asks for (RFC 9110 10.2.3): seconds, or a date. None if it says nothing that can be read, or a time
/// that is over: then the backoff decides.
fn retry_after(headers: Fields<'_>, now: SystemTime) -> Option<Duration> {
    let text = std::str::from_utf8(headers.get("retry-after")?).ok()?;
    let delay = if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        Duration::from_secs(text.parse().unwrap_or(u64::MAX)) // more digits than fit: for ever, and cut by the policy
    } else {
        let delay = httpdate::parse_http_date(text).ok()?.duration_since(now).ok()?;
        // Two digits of a year that would be further away are those of one that is over (RFC 9110 5.6.7).
        Some(delay).filter(|delay| !text.contains('-') || *delay <= DIGITS_REACH)?
    };
    (!delay.is_zero()).then_some(delay)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Limits;
    use crate::http::head::ResponseHead;

    #[test]
    fn every_retry_after_of_the_corpus_asks_for_what_it_should_or_for_nothing() {
        for wait in windlass_corpus::waits() {
            let buf = [b"HTTP/1.1 503 Busy\r\nRetry-After: ", &wait.value[..], b"\r\n\r\n"].concat();
            let mut head = ResponseHead::new();
            assert!(head.parse(&buf, &Limits::default()).unwrap().is_some(), "{}", wait.name);
            let asked_for = retry_after(head.fields(&buf), SystemTime::UNIX_EPOCH + Duration::from_secs(wait.now));
            assert_eq!(asked_for, wait.seconds.map(Duration::from_secs), "{}", wait.name);
        }
    }

    #[test]
    fn what_would_come_again_is_not_tried_again() {
        let passing: Vec<_> = ErrorKind::ALL.into_iter().filter(|kind| may_pass(*kind)).map(ErrorKind::name).collect();
        let expected = "resolve connect timeout_resolve timeout_connect timeout_read timeout_total reset truncated";
        assert_eq!(passing.join(" "), expected);
    }
}
