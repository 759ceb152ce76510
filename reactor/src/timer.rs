//! Waiting for time to pass.
//!
//! ```text
//!   sleep(d) ── first poll ──► wheel: deadline, waker ── turn: due? ──► woken ──► polled: ready
//!      │ dropped before: the timer is cancelled, O(1)
//! ```
//!
//! A [`Sleep`] is a deadline and a key: three words, no reference into the loop, no need to be pinned.
//! Next: `wheel`, where the timer waits; `interval`, for ticks.

use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use pin_project_lite::pin_project;
use windlass_executor::waits::{self, WaitReason};
use windlass_executor::{LoopId, budget};

use crate::clock::Instant;
use crate::reactor::{Inner, of_thread, with_current};
use crate::wheel::TimerKey;

/// Completes `duration` from now: never before; idle, at the next whole millisecond that the kernel's wait can end at.
/// `Duration::MAX` is for ever.
///
/// # Cancel
/// Dropping it removes the timer; O(1).
///
/// ```
/// # use std::time::Duration;
/// # windlass_reactor::doc(async {
/// windlass_reactor::time::sleep(Duration::from_millis(100)).await;
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

#[derive(Clone, Copy, Debug)]
struct Timer {
    loop_id: LoopId,
    key: TimerKey,
}

const _: () = assert!(size_of::<Sleep>() == 24, "a million sleeping tasks hold one each");

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
        let before = self.timer;
        if let (Some(Timer { loop_id, .. }), Some(waker)) = (before, self.cancel()) {
            // In the loop that it waits in, whichever is entered; a deadline that has passed fires with the next turn.
            let anew = |reactor: Rc<Inner>| reactor.wheel.borrow_mut().insert(deadline.0, waker);
            self.timer = of_thread(loop_id).map(anew).map(|key| Timer { loop_id, key });
        }
    }

    #[inline]
    fn arm(&mut self, waker: Waker) {
        let deadline = self.deadline.0;
        let mut waker = Some(waker); // dropped, if it is not needed, when nothing is borrowed (I3)
        let timer = with_current(|reactor| {
            // What is due by the loop's last look at the clock need not wait for the next.
            let waker = if deadline <= reactor.turned_at_ns() { None } else { waker.take() };
            let set = |waker| reactor.wheel.borrow_mut().insert(deadline, waker);
            waker.map(|waker| Timer { loop_id: reactor.loop_id, key: set(waker) })
        });
        self.timer = timer.expect("a sleep was polled outside a running loop");
    }

    /// Takes the timer out of the wheel, wherever that is; its waker comes back if it was pending and is within reach.
    #[inline]
    fn cancel(&mut self) -> Option<Waker> {
        let timer = self.timer.take()?;
        let here = with_current(|reactor| {
            let ours = reactor.loop_id == timer.loop_id;
            ours.then(|| reactor.wheel.borrow_mut().cancel(timer.key))
        });
        here.flatten().unwrap_or_else(|| cancel_elsewhere(timer))
    }

    /// A task that polls a sleep over and over without giving way, so that the loop never turns, has it ask the clock
    /// itself. One that comes with a new sleep each time (an interval that lags behind) has to give way.
    #[cold]
    fn poll_without_budget(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.timer.is_none() {
            let (deadline, waker) = (self.deadline.0, cx.waker().clone());
            // Even if it is due: then it fires with the next turn.
            self.timer = with_current(|reactor| Timer {
                loop_id: reactor.loop_id,
                key: reactor.wheel.borrow_mut().insert(deadline, waker),
            });
            return Poll::Pending;
        }
        if !self.is_elapsed() {
            return Poll::Pending;
        }
        drop(self.cancel());
        Poll::Ready(())
    }

    /// Ready if the timer has fired; else sees to it that the waker of this poll is the one that waits.
    fn poll_timer(timer: Timer, reactor: &Inner, waker: &Waker) -> Poll<()> {
        assert_eq!(reactor.loop_id, timer.loop_id, "a sleep was polled outside its loop");
        match reactor.wheel.borrow().waker(timer.key) {
            None => return Poll::Ready(()),
            Some(waiting) if waiting.will_wake(waker) => return Poll::Pending,
            Some(_) => {}
        }
        let waker = waker.clone();
        let before = reactor.wheel.borrow_mut().swap_waker(timer.key, waker);
        drop(before);
        Poll::Pending
    }
}

#[cold]
fn cancel_elsewhere(timer: Timer) -> Option<Waker> {
    if let Some(reactor) = of_thread(timer.loop_id) {
        return reactor.wheel.borrow_mut().cancel(timer.key);
    }
    let cancel = move || {
        let waker = of_thread(timer.loop_id).and_then(|reactor| reactor.wheel.borrow_mut().cancel(timer.key));
        drop(waker);
    };
    // With its loop the timer is gone too.
    let _ = windlass_executor::post(timer.loop_id, Box::new(cancel));
    None
}

impl Future for Sleep {
    type Output = ();

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if budget::poll_proceed(cx).is_pending() {
            return self.poll_without_budget(cx);
        }
        let Some(timer) = self.timer else {
            let waker = cx.waker().clone();
            self.arm(waker);
            if self.timer.is_none() {
                return Poll::Ready(());
            }
            waits::note(WaitReason::Timer { deadline_ns: self.deadline.0 });
            return Poll::Pending;
        };
        let outcome = with_current(|reactor| Self::poll_timer(timer, reactor, cx.waker()));
        if outcome.expect("a sleep was polled outside a running loop").is_pending() {
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
        drop(self.cancel());
    }
}

/// Gives `future` until `duration` from now.
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
    timeout_at(Instant::now() + duration, future)
}

/// As [`timeout`], until `deadline`.
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
    Timeout { future: future.into_future(), sleep: sleep_until(deadline) }
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
        sleep: Sleep,
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
        Pin::new(this.sleep).poll(cx).map(|()| Err(Elapsed(())))
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
pub struct Elapsed(());

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
