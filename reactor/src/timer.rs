//! Waiting for time to pass.
//!
//! ```text
//!   sleep(d) ────── first poll ──► wheel: deadline, waker ────────────┐
//!   timeout(d, f) ─ first poll ──► wheel: d, waker ── turn: deadline ─┴─ turn: due? ──► woken ──► polled: ready
//!      │ dropped before: the timer is cancelled, O(1)
//! ```
//!
//! A [`Sleep`] is a deadline and a key: three words, no reference into the loop, no need to be pinned. A [`Timeout`]
//! leaves it to the loop's next turn to count its time from there, since most are over by then: those cost no look at
//! the clock.
//!
//! A timer that fired was waited for, so its task has given way: it takes nothing of the task's budget, and ends also a
//! future that uses up the budget in every poll. Only a sleep that is over when it begins takes a unit.
//! Next: `wheel`, where the timer waits; `interval`, for ticks.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use pin_project_lite::pin_project;
use windlass_executor::waits::{self, WaitReason};
use windlass_executor::{LoopId, budget};

use crate::clock::{Instant, nanos};
use crate::reactor::{Inner, with_current, with_loop};
use crate::wheel::{TimerKey, Wheel};

/// Completes `duration` from now: never before; idle, at the next whole millisecond that the kernel's wait can end at.
/// `Duration::MAX` is for ever.
///
/// # Cancel
/// Dropping it removes the timer; O(1).
///
/// ```
/// # use windlass_reactor::windlass;
/// # use std::time::Duration;
/// # windlass_reactor::doc(async {
/// windlass::time::sleep(Duration::from_millis(100)).await;
/// # });
/// ```
#[inline]
pub fn sleep(duration: Duration) -> Sleep {
    sleep_until(Instant::now() + duration)
}

/// As [`sleep`], until `deadline`.
///
/// ```
/// # use std::time::Duration;
/// # use windlass_reactor::time::{Instant, sleep_until};
/// # windlass_reactor::doc(async {
/// let deadline = Instant::now() + Duration::from_secs(3);
/// sleep_until(deadline).await;
/// assert_eq!(Instant::now(), deadline);
/// # });
/// ```
#[inline]
pub fn sleep_until(deadline: Instant) -> Sleep {
    Sleep { deadline, timer: None }
}

/// The future of [`sleep`]. It may be moved between polls, and used again after [`reset`](Sleep::reset).
///
/// # Panics
/// When polled outside a running loop, or in another loop than before.
///
/// ```
/// # use std::time::Duration;
/// # use windlass_reactor::time::sleep;
/// # windlass_reactor::doc(async {
/// let mut nap = sleep(Duration::from_secs(1));
/// (&mut nap).await;
/// nap.reset(nap.deadline() + Duration::from_secs(1));
/// nap.await; // once more
/// # });
/// ```
#[derive(Debug)]
#[must_use = "futures do nothing unless awaited"]
pub struct Sleep {
    deadline: Instant,
    timer: Option<Timer>,
}

const _: () = assert!(size_of::<Sleep>() == 24, "a million sleeping tasks hold one each");
const OUTSIDE: &str = "a sleep was polled outside a running loop";

impl Sleep {
    /// When it completes.
    ///
    /// ```
    /// # use windlass_reactor::time::{Instant, sleep_until};
    /// # windlass_reactor::doc(async {
    /// assert_eq!(sleep_until(Instant::FAR_FUTURE).deadline(), Instant::FAR_FUTURE);
    /// # });
    /// ```
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// True if the deadline has passed.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use windlass_reactor::time::{advance, sleep};
    /// # windlass_reactor::doc(async {
    /// let nap = sleep(Duration::from_secs(1));
    /// assert!(!nap.is_elapsed());
    /// advance(Duration::from_secs(1)).await;
    /// assert!(nap.is_elapsed());
    /// # });
    /// ```
    pub fn is_elapsed(&self) -> bool {
        self.deadline <= Instant::now()
    }

    /// Moves the deadline. A task that waits for it is woken at the new one, if this is called on its loop's thread; called
    /// elsewhere, it wakes nobody, and the next poll waits for the new deadline.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use windlass_reactor::time::{Instant, sleep};
    /// # windlass_reactor::doc(async {
    /// let start = Instant::now();
    /// let mut nap = sleep(Duration::from_secs(1));
    /// nap.reset(start + Duration::from_secs(5));
    /// nap.await;
    /// assert_eq!(start.elapsed().as_secs(), 5);
    /// # });
    /// ```
    pub fn reset(&mut self, deadline: Instant) {
        self.deadline = deadline;
        self.timer = self.timer.filter(|timer| timer.reset(deadline));
    }

    #[inline]
    fn begin(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let deadline = self.deadline;
        self.timer = Timer::at(deadline, cx);
        if self.timer.is_none() {
            return Poll::Ready(());
        }
        waits::note(WaitReason::Timer { deadline_ns: deadline.0 });
        Poll::Pending
    }
}

impl Future for Sleep {
    type Output = ();

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Some(timer) = self.timer else { return self.begin(cx) };
        if timer.poll(cx).is_pending() {
            waits::note(WaitReason::Timer { deadline_ns: self.deadline.0 });
            return Poll::Pending;
        }
        self.timer = None;
        Poll::Ready(())
    }
}

impl Drop for Sleep {
    #[inline]
    fn drop(&mut self) {
        if let Some(timer) = self.timer {
            timer.cancel();
        }
    }
}

/// The name of a timer that was set in some loop's wheel. It may have fired since.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timer {
    loop_id: LoopId,
    key: TimerKey,
}

impl Timer {
    /// Sets a timer that fires at `deadline`. None if that has passed by the loop's last look at the clock: then nobody
    /// need wait for the next look, as long as the budget lasts.
    #[inline]
    pub(crate) fn at(deadline: Instant, cx: &mut Context<'_>) -> Option<Timer> {
        let mut waker = Some(cx.waker().clone()); // dropped, if it is not needed, when nothing is borrowed (I3)
        let timer = with_current(|reactor| {
            let waker = if deadline.0 <= reactor.turned_at_ns() { None } else { waker.take() }?;
            Some(Timer::set(reactor, |wheel| wheel.insert(deadline.0, waker)))
        });
        let timer = timer.expect(OUTSIDE);
        if timer.is_none() && budget::poll_proceed(cx).is_pending() {
            let anew = |waker| with_current(|reactor| Timer::set(reactor, |wheel| wheel.insert(deadline.0, waker)));
            return waker.and_then(anew); // fires with the next turn
        }
        timer
    }

    /// Sets a timer that fires `duration` nanoseconds from the next look at the clock.
    #[inline]
    fn after(duration: u64, cx: &mut Context<'_>) -> Timer {
        let waker = cx.waker().clone();
        let timer = with_current(|reactor| Timer::set(reactor, |wheel| wheel.insert_undated(duration, waker)));
        timer.expect(OUTSIDE)
    }

    #[inline]
    fn set(reactor: &Inner, insert: impl FnOnce(&mut Wheel) -> TimerKey) -> Timer {
        Timer { loop_id: reactor.loop_id, key: insert(&mut reactor.wheel.borrow_mut()) }
    }

    /// Ready if it has fired; else sees to it that the waker of this poll is the one that waits.
    #[inline]
    pub(crate) fn poll(self, cx: &mut Context<'_>) -> Poll<()> {
        with_current(|reactor| self.poll_in(reactor, cx.waker())).expect(OUTSIDE)
    }

    #[inline]
    fn poll_in(self, reactor: &Inner, waker: &Waker) -> Poll<()> {
        assert_eq!(reactor.loop_id, self.loop_id, "a sleep was polled outside its loop");
        let waiting = reactor.wheel.borrow().waker(self.key).map(|waiting| waiting.will_wake(waker));
        let Some(is_ours) = waiting else { return Poll::Ready(()) };
        if !is_ours {
            let waker = waker.clone();
            let before = reactor.wheel.borrow_mut().swap_waker(self.key, waker);
            drop(before);
        }
        reactor.polled_in_vain();
        Poll::Pending
    }

    /// Moves the deadline, if the timer has not fired and is within reach.
    pub(crate) fn reset(self, deadline: Instant) -> bool {
        // A deadline that has passed fires with the next turn.
        let moved = self.with_wheel(|wheel| wheel.reset(self.key, deadline.0));
        if moved.is_none() {
            self.cancel_elsewhere();
        }
        moved.unwrap_or(false)
    }

    /// Takes the timer out of the wheel, if it has not fired.
    #[inline]
    pub(crate) fn cancel(self) {
        match self.with_wheel(|wheel| wheel.cancel(self.key)) {
            Some(waker) => drop(waker), // with no borrow live (I3)
            None => self.cancel_elsewhere(),
        }
    }

    #[cold]
    fn cancel_elsewhere(self) {
        let cancel = move || drop(self.with_wheel(|wheel| wheel.cancel(self.key)));
        // With its loop the timer is gone too.
        let _ = windlass_executor::post(self.loop_id, Box::new(cancel));
    }

    /// Calls `f` with the wheel that the timer is in, whichever loop is entered. None if that is another thread's, or gone.
    #[inline]
    fn with_wheel<R>(self, f: impl FnOnce(&mut Wheel) -> R) -> Option<R> {
        with_loop(self.loop_id, |reactor| f(&mut reactor.wheel.borrow_mut()))
    }
}

/// Gives `future` until `duration` from its first poll.
///
/// The time is counted from when the loop next looks at its clock: with the turn that follows the first poll. So it is
/// never too short, and longer by what the tasks do until then; [`timeout_at`] is exact. A time-out that is over before
/// that turn costs no look at the clock at all.
///
/// While the task waits, it is said to wait for what `future` waits for.
///
/// # Errors
/// [`Elapsed`] if the time passes first; the future is dropped with the [`Timeout`]. A result that is there when the
/// time is up counts.
///
/// # Cancel
/// Dropping it drops the future and removes the timer.
///
/// ```
/// # use std::time::Duration;
/// # use windlass_reactor::time::timeout;
/// # windlass_reactor::doc(async {
/// assert_eq!(timeout(Duration::from_secs(1), async { 7 }).await, Ok(7));
/// assert!(timeout(Duration::from_secs(1), std::future::pending::<()>()).await.is_err());
/// # });
/// ```
#[inline]
pub fn timeout<F: IntoFuture>(duration: Duration, future: F) -> Timeout<F::IntoFuture> {
    Timeout { future: future.into_future(), limit: Limit::After(nanos(duration)) }
}

/// As [`timeout`], until `deadline`, whenever it is first polled.
///
/// ```
/// # use std::time::Duration;
/// # use windlass_reactor::time::{Instant, timeout_at};
/// # windlass_reactor::doc(async {
/// let deadline = Instant::now() + Duration::from_secs(1);
/// assert!(timeout_at(deadline, std::future::pending::<()>()).await.is_err());
/// assert_eq!(Instant::now(), deadline);
/// # });
/// ```
#[inline]
pub fn timeout_at<F: IntoFuture>(deadline: Instant, future: F) -> Timeout<F::IntoFuture> {
    Timeout { future: future.into_future(), limit: Limit::At(deadline) }
}

pin_project! {
    /// The future of [`timeout`].
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use windlass_reactor::time::timeout;
    /// # windlass_reactor::doc(async {
    /// let mut waiting = std::pin::pin!(timeout(Duration::from_secs(1), std::future::pending::<()>()));
    /// assert_eq!(waiting.as_mut().await.unwrap_err().to_string(), "the time was up");
    /// # });
    /// ```
    #[derive(Debug)]
    #[must_use = "futures do nothing unless awaited"]
    pub struct Timeout<F> {
        #[pin]
        future: F,
        limit: Limit,
    }
}

/// How long a future has. It needs to know only until the timer is set.
#[derive(Debug)]
enum Limit {
    After(u64),
    At(Instant),
    Set(Timer),
}

const _: () = assert!(size_of::<Limit>() == 24, "what a time-out adds to a future");

impl Limit {
    #[inline]
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let timer = match *self {
            Limit::After(duration) => Some(Timer::after(duration, cx)),
            Limit::At(deadline) => Timer::at(deadline, cx),
            Limit::Set(timer) => return timer.poll(cx),
        };
        let Some(timer) = timer else { return Poll::Ready(()) };
        *self = Limit::Set(timer);
        Poll::Pending
    }
}

impl Drop for Limit {
    #[inline]
    fn drop(&mut self) {
        if let Limit::Set(timer) = *self {
            timer.cancel();
        }
    }
}

impl<F> Timeout<F> {
    /// The future that is given time.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use windlass_reactor::time::{sleep, timeout};
    /// # windlass_reactor::doc(async {
    /// let nap = timeout(Duration::from_secs(1), sleep(Duration::from_secs(5)));
    /// assert!(!nap.get_ref().is_elapsed());
    /// # });
    /// ```
    pub fn get_ref(&self) -> &F {
        &self.future
    }

    /// The future that is given time.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use windlass_reactor::time::{Instant, sleep, timeout};
    /// # windlass_reactor::doc(async {
    /// let mut nap = timeout(Duration::from_secs(1), sleep(Duration::from_secs(5)));
    /// nap.get_mut().reset(Instant::now());
    /// assert!(nap.await.is_ok());
    /// # });
    /// ```
    pub fn get_mut(&mut self) -> &mut F {
        &mut self.future
    }

    /// The future, without its time-out.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use windlass_reactor::time::{sleep, timeout};
    /// # windlass_reactor::doc(async {
    /// let nap = timeout(Duration::from_secs(1), sleep(Duration::from_secs(5)));
    /// nap.into_inner().await; // all five
    /// # });
    /// ```
    pub fn into_inner(self) -> F {
        self.future
    }
}

impl<F: Future> Future for Timeout<F> {
    type Output = Result<F::Output, Elapsed>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if let Poll::Ready(output) = this.future.poll(cx) {
            return Poll::Ready(Ok(output));
        }
        this.limit.poll(cx).map(|()| Err(Elapsed(())))
    }
}

/// The time was up.
///
/// ```
/// # use std::time::Duration;
/// # use windlass_reactor::time::timeout;
/// # windlass_reactor::doc(async {
/// let elapsed = timeout(Duration::ZERO, std::future::pending::<()>()).await.unwrap_err();
/// assert_eq!(std::io::Error::from(elapsed).kind(), std::io::ErrorKind::TimedOut);
/// # });
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Elapsed(pub(crate) ());

impl fmt::Display for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the time was up")
    }
}

impl std::error::Error for Elapsed {}

impl From<Elapsed> for std::io::Error {
    fn from(elapsed: Elapsed) -> Self {
        std::io::Error::new(std::io::ErrorKind::TimedOut, elapsed)
    }
}
