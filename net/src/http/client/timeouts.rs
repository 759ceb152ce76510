//! How long an exchange may take, as a whole and at each thing it does.
//!
//! ```text
//!   queue ──► resolve ──► connect, TLS ──► send ──► first byte ──► read, read, read …
//!   │           ≤ resolve   ≤ connect       ≤ read   ≤ first_byte   ≤ read each, ≥ min_rate
//!   └──────────────────────────────── ≤ total ──────────────────────────────────────────┘
//! ```
//!
//! All of it is one timer. It is set when the exchange first has to wait, for the shortest of the limits, and no change
//! of phase moves it: an exchange that ends before pays for no more. If it does fire, what is going on then is judged by
//! its own limit, and the timer is set anew, again for no longer than the shortest. So it never fires too late for any
//! phase, and how often it fires for nothing is bounded by the limits' ratio.
//!
//! A phase begins when it is first seen to wait: that is a look at the clock, and none for the first of them, which
//! counts from the timer. No limit is ever cut short; what the tasks do in between comes on top.
//! Not here: what happens when the time is up (`exchange`: the connection is closed).   Next: `connection`.

use std::cell::Cell;
use std::future::{Pending, pending};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use windlass_reactor::time::{Instant, Timeout, timeout, timeout_at};

use crate::http::extras::timings::Marks;
use crate::http::{Error, ErrorKind};

/// The timer is never set for less: a shorter limit of one phase would have it fire without end in the others. The wheel is
/// no finer either.
const LEAST_WAIT: Duration = Duration::from_millis(1);

/// How long a client waits, and for what. `None` is for ever.
///
/// | limit | default | error | where the value comes from |
/// |---|---|---|---|
/// | [`resolve`](Timeouts::resolve) | 10 s | `timeout_resolve` | the system's resolver tries twice, 5 s each (resolv.conf(5)) |
/// | [`connect`](Timeouts::connect) | 30 s | `timeout_connect` | five SYNs: after 0, 1, 3, 7 and 15 s |
/// | [`first_byte`](Timeouts::first_byte) | 60 s | `timeout_read` | what nginx gives whom it asks (`proxy_read_timeout`) |
/// | [`read`](Timeouts::read) | 60 s | `timeout_read` | as above |
/// | [`min_rate`](Timeouts::min_rate) | none | `timeout_read` | a crawler may want 1,024 bytes a second over 30 s |
/// | [`total`](Timeouts::total) | 5 min | `timeout_total` | aiohttp's |
///
/// The error's text names the phase: "timed out: waiting for an answer".
///
/// ```
/// # use windlass_net::windlass;
/// use std::time::Duration;
/// use windlass::http::{Client, Timeouts};
/// let mut timeouts = Timeouts::default();
/// timeouts.connect = Some(Duration::from_secs(3));
/// timeouts.min_rate = Some((1_024, Duration::from_secs(30)));
/// let client = Client::builder().timeouts(timeouts).build();
/// # drop(client);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Timeouts {
    /// From asking for a name to having its addresses.
    pub resolve: Option<Duration>,
    /// From having an address to having a connection, all addresses and the TLS handshake included.
    pub connect: Option<Duration>,
    /// From having sent the request to the first byte of the answer.
    pub first_byte: Option<Duration>,
    /// Between two pieces of the answer, and between two pieces of the request that the peer takes.
    pub read: Option<Duration>,
    /// At least so many bytes of the answer in each stretch of so long, from its first byte.
    pub min_rate: Option<(u64, Duration)>,
    /// From the wait for a connection to the last byte of the body.
    pub total: Option<Duration>,
}

impl Default for Timeouts {
    fn default() -> Self {
        let seconds = |n| Some(Duration::from_secs(n));
        Timeouts {
            resolve: seconds(10),
            connect: seconds(30),
            first_byte: seconds(60),
            read: seconds(60),
            min_rate: None,
            total: seconds(300),
        }
    }
}

impl Timeouts {
    /// No limit at all.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// use windlass::http::Timeouts;
    /// assert_eq!(Timeouts::none().total, None);
    /// ```
    pub fn none() -> Timeouts {
        Timeouts { resolve: None, connect: None, first_byte: None, read: None, min_rate: None, total: None }
    }

    fn of(&self, phase: Phase) -> Option<Duration> {
        match phase {
            Phase::Queue => None,
            Phase::Resolve => self.resolve,
            Phase::Connect | Phase::Tls => self.connect,
            Phase::FirstByte => self.first_byte,
            Phase::Send | Phase::Head | Phase::Body => self.read,
        }
    }

    pub(crate) fn share(self) -> Shared {
        let rate = self.min_rate.map(|(_, over)| over);
        let all = [self.resolve, self.connect, self.first_byte, self.read, rate, self.total];
        let least = all.into_iter().flatten().min()?;
        Some(Rc::new((self, least.max(LEAST_WAIT))))
    }
}

/// What an exchange is at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Phase {
    Queue,
    Resolve,
    Connect,
    Tls,
    Send,
    FirstByte,
    Head,
    Body,
}

impl Phase {
    /// What a time-out of it is, and in words.
    fn timed_out(self) -> (ErrorKind, &'static str) {
        match self {
            Phase::Queue => (ErrorKind::TimeoutTotal, "waiting for a connection"),
            Phase::Resolve => (ErrorKind::TimeoutResolve, "resolving the name"),
            Phase::Connect => (ErrorKind::TimeoutConnect, "connecting"),
            Phase::Tls => (ErrorKind::TimeoutConnect, "in the TLS handshake"),
            Phase::Send => (ErrorKind::TimeoutRead, "sending the request"),
            Phase::FirstByte => (ErrorKind::TimeoutRead, "waiting for an answer"),
            Phase::Head => (ErrorKind::TimeoutRead, "reading the head"),
            Phase::Body => (ErrorKind::TimeoutRead, "reading the body"),
        }
    }

    fn hears(self) -> bool {
        matches!(self, Phase::Head | Phase::Body)
    }
}

/// Where an exchange says what it is at, for whoever looks at the clock: the phase, and the bytes moved in it so far.
pub(crate) type At = Cell<(Phase, usize)>;

/// What several exchanges have in common: their time-outs, and the shortest of all; none if there is no limit.
pub(crate) type Shared = Option<Rc<(Timeouts, Duration)>>;

/// The time that is left for an exchange.
pub(crate) struct Deadlines {
    limits: Shared,
    /// The time-out of no future: it goes along with several.
    timer: Option<Timeout<Pending<()>>>,
    /// What was going on when this was last polled, and since when; not known if since the timer was first set.
    at: (Phase, usize),
    since: Option<Instant>,
    /// What needs to be known once the timer has fired, or if there is a least rate, or if the phases are timed.
    pub(crate) late: Option<Box<Late>>,
}

#[derive(Default)]
pub(crate) struct Late {
    /// When the timer was first set.
    began: Option<Instant>,
    /// Since when the rate is measured, and what had come by then.
    rate_from: Option<(Instant, usize)>,
    /// How long each phase took, if somebody asked.
    pub(crate) marks: Option<Marks>,
}

impl Deadlines {
    #[inline]
    pub(crate) fn new(limits: Shared) -> Self {
        Deadlines { limits, timer: None, at: (Phase::Queue, 0), since: None, late: None }
    }

    /// Another exchange begins within the same time.
    pub(crate) fn next_exchange(&mut self) {
        self.at = (Phase::Queue, 0); // to wait for an answer is to wait anew
        if let Some(late) = &mut self.late {
            late.rate_from = None;
        }
    }

    /// Ready when a limit has passed, with an error that tells which.
    #[inline]
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, at: (Phase, usize)) -> Poll<Error> {
        if self.at != at {
            self.enter(at);
        }
        let Some(limits) = &self.limits else { return Poll::Pending };
        let least = limits.1;
        let timer = self.timer.get_or_insert_with(|| timeout(least, pending()));
        if Pin::new(timer).poll(cx).is_pending() {
            return Poll::Pending;
        }
        self.judge(cx)
    }

    #[inline]
    fn enter(&mut self, at: (Phase, usize)) {
        self.mark(at.0);
        let before = std::mem::replace(&mut self.at, at);
        if self.timer.is_none() || (before.0, at.0) == (Phase::Connect, Phase::Tls) {
            return;
        }
        let now = Instant::now();
        self.since = Some(now);
        let has_rate = self.limits.as_ref().is_some_and(|limits| limits.0.min_rate.is_some());
        if has_rate && at.0.hears() {
            self.late.get_or_insert_default().rate_from.get_or_insert((now, at.1));
        }
    }

    /// The timer has fired.
    #[cold]
    fn judge(&mut self, cx: &mut Context<'_>) -> Poll<Error> {
        let Some(shared) = &self.limits else { return Poll::Pending };
        let (limits, least) = &**shared;
        let late = self.late.get_or_insert_default();
        let (phase, moved) = self.at;
        let (kind, words) = phase.timed_out();
        loop {
            let now = Instant::now();
            // It fires late, if at all: what counts from its beginning is never cut short.
            let began = *late.began.get_or_insert(now - *least);
            let total = limits.total.map(|limit| began + limit);
            if total.is_some_and(|deadline| deadline <= now) {
                return Poll::Ready(timed_out(ErrorKind::TimeoutTotal, words));
            }
            let own = limits.of(phase).map(|limit| self.since.unwrap_or(began) + limit);
            if own.is_some_and(|deadline| deadline <= now) {
                return Poll::Ready(timed_out(kind, words));
            }
            let mut rate = None;
            if let (Some((bytes, over)), true) = (limits.min_rate, phase.hears()) {
                let (from, had) = late.rate_from.get_or_insert((began, 0));
                if *from + over <= now {
                    if ((moved - *had) as u64) < bytes {
                        return Poll::Ready(too_slow(bytes, over));
                    }
                    (*from, *had) = (now, moved);
                }
                rate = Some(*from + over);
            }
            let next = [total, own, rate].into_iter().flatten().fold(now + *least, Instant::min);
            let timer = self.timer.insert(timeout_at(next, pending()));
            if Pin::new(timer).poll(cx).is_pending() {
                return Poll::Pending;
            }
        }
    }
}

fn timed_out(kind: ErrorKind, words: &'static str) -> Error {
    Error::new(kind, "timed out").with_source(words)
}

fn too_slow(bytes: u64, over: Duration) -> Error {
    Error::new(ErrorKind::TimeoutRead, format!("reading: less than {bytes} bytes in {over:?}"))
}
