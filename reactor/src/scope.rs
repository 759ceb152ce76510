//! Time for a stretch of work.
//! A time-out that drops cuts a task off in mid-sentence. Here what runs out of time is asked to stop, as a task that is
//! cancelled is: its innermost catch takes the request, what comes after that may await its clean-up, and the scope waits.
//!
//! ```text
//!   scope(deadline, async |limit| …)
//!     └─ first poll ──► wheel: deadline ──► due ──► a turn of grace ──► asked ──► cleaned up ──► Err(Elapsed)
//!                         ▲                            │                   └────► ended by itself ──► Ok(output)
//!     limit.reschedule ───┘                            └─ ready all the same ──► Ok(output)
//! ```
//!
//! Who wins if several things meet in one turn is written down at [`scope`].
//!
//! Not here: time-outs that drop at once and cost nothing (`timer`).   Next: `cancel` in the executor.

use std::cell::Cell;
use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use pin_project_lite::pin_project;
use windlass_executor::cancel::{self, Cancelled, Canceller, Scope};

use crate::clock::Instant;
use crate::timer::{Elapsed, Timer};

/// Gives `future` until `duration` from the first poll; then asks it to stop, and waits until it has.
///
/// With no time at all it is polled once: what is ready then counts.
///
/// # Errors
/// [`Elapsed`] if the time was up and the future has nothing to say: it was dropped, or handed the request on. What it ends
/// with instead, be it an error and be it late, comes out as `Ok`.
///
/// # Cancel
/// Dropping it drops the future; nothing is asked. A cancellation of the task beats the deadline and the result.
///
/// # Panics
/// When polled outside a running loop.
///
/// ```
/// # use std::time::Duration;
/// # use windlass_executor::cancel::catch;
/// # use windlass_reactor::time::{Instant, sleep, wait_for};
/// # windlass_reactor::doc(async {
/// let start = Instant::now();
/// let late = wait_for(Duration::from_secs(1), async {
///     let Err(cancelled) = catch(sleep(Duration::from_secs(60))).await else { return };
///     sleep(Duration::from_millis(500)).await; // says good-bye
///     cancelled.propagate().await;
/// });
/// assert!(late.await.is_err());
/// assert_eq!(start.elapsed(), Duration::from_millis(1_500));
/// # });
/// ```
pub async fn wait_for<F: IntoFuture>(duration: Duration, future: F) -> Result<F::Output, Elapsed> {
    scope(Instant::now() + duration, async |_| future.await).await
}

/// Gives `body` until `deadline`, which it may look at and move through the [`Deadline`] that it gets.
/// [`Instant::FAR_FUTURE`] is no deadline. Scopes nest: each deadline asks what is inside its own scope.
///
/// # Who wins
/// A result, the deadline and a cancellation from further out may meet in one turn. In whatever order:
/// 1. **A cancellation from further out beats both.** It goes through to what is inside, and outwards when that hands it
///    on. If the deadline cuts its clean-up short, it goes outwards, too: it never becomes [`Elapsed`].
/// 2. **A result beats the deadline.** So does an error, and whatever else the body ends with, be it in its clean-up:
///    [`Elapsed`] says that there is nothing else to say, since the body was dropped or handed the request on
///    ([`Cancelled::propagate`]).
/// 3. **Of two deadlines that have passed the outer one counts.**
///
/// # Errors
/// [`Elapsed`] if the time was up and `body` has nothing to say, as with [`wait_for`].
///
/// # Cancel
/// Dropping it drops the body; nothing is asked. A cancellation of the task beats the deadline and the result.
///
/// # Panics
/// When polled outside a running loop.
///
/// ```
/// # use std::time::Duration;
/// # use windlass_reactor::time::{Instant, scope, sleep};
/// # windlass_reactor::doc(async {
/// let start = Instant::now();
/// let silent = Duration::from_secs(1);
/// let read = scope(start + silent, async |limit| {
///     for pause_ms in [300, 900, 5_000] {
///         sleep(Duration::from_millis(pause_ms)).await; // a piece arrives
///         limit.reschedule(Instant::now() + silent);
///     }
/// });
/// assert!(read.await.is_err());
/// assert_eq!(start.elapsed(), Duration::from_millis(300 + 900 + 1_000));
/// # });
/// ```
pub async fn scope<T>(deadline: Instant, body: impl AsyncFnOnce(Deadline) -> T) -> Result<T, Elapsed> {
    let limit =
        Rc::new(Limit { deadline: Cell::new(deadline), timer: Cell::default(), state: Cell::new(State::Fresh) });
    let (scope, canceller) = cancel::scope(body(Deadline { limit: limit.clone() }));
    Limited { scope, canceller, armed: Armed(limit) }.await
}

/// The deadline of a [`scope`], as seen from anywhere on its thread.
///
/// ```
/// # use std::time::Duration;
/// # use windlass_reactor::time::{Instant, scope, sleep};
/// # windlass_reactor::doc(async {
/// let soon = Instant::now() + Duration::from_secs(1);
/// let saved = scope(soon, async |limit| {
///     assert_eq!(limit.get(), Some(soon));
///     limit.disable(); // what comes now must not be cut short
///     sleep(Duration::from_secs(60)).await;
/// });
/// assert!(saved.await.is_ok());
/// # });
/// ```
#[derive(Clone)]
pub struct Deadline {
    limit: Rc<Limit>,
}

impl Deadline {
    /// When it is; none if it is disabled.
    ///
    /// ```
    /// # use windlass_reactor::time::{Instant, scope};
    /// # windlass_reactor::doc(async {
    /// let open_end = scope(Instant::FAR_FUTURE, async |limit| limit.get());
    /// assert_eq!(open_end.await, Ok(None));
    /// # });
    /// ```
    pub fn get(&self) -> Option<Instant> {
        Some(self.limit.deadline.get()).filter(|&deadline| deadline != Instant::FAR_FUTURE)
    }

    /// Moves it, also from another task. One that has passed asks the scope with the loop's next turn. False if it is too
    /// late: the scope was asked already, or is over.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use windlass_reactor::time::{Instant, scope};
    /// # windlass_reactor::doc(async {
    /// let impatient = scope(Instant::FAR_FUTURE, async |limit| {
    ///     limit.reschedule(Instant::now() + Duration::from_millis(1));
    ///     std::future::pending::<()>().await;
    /// });
    /// assert!(impatient.await.is_err());
    /// # });
    /// ```
    pub fn reschedule(&self, deadline: Instant) -> bool {
        if matches!(self.limit.state.get(), State::Asked | State::Over { .. }) {
            return false;
        }
        self.limit.deadline.set(deadline);
        if let Some(timer) = self.limit.timer.get() {
            timer.reset(deadline); // one that has fired is set anew by the poll that it led to
        }
        true
    }

    /// Takes it away. False if it is too late, as with [`reschedule`](Self::reschedule).
    ///
    /// ```
    /// # use windlass_reactor::time::{Instant, scope};
    /// # windlass_reactor::doc(async {
    /// let freed = scope(Instant::now() + std::time::Duration::from_secs(1), async |limit| limit.disable());
    /// assert_eq!(freed.await, Ok(true));
    /// # });
    /// ```
    pub fn disable(&self) -> bool {
        self.reschedule(Instant::FAR_FUTURE)
    }

    /// True once the scope was asked to stop because this had passed. Tells a clean-up why, and whoever has the output
    /// that it was late.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use windlass_executor::cancel::catch;
    /// # use windlass_reactor::time::{Instant, scope};
    /// # windlass_reactor::doc(async {
    /// let late = scope(Instant::now() + Duration::from_secs(1), async |limit| {
    ///     let caught = catch(std::future::pending::<()>()).await;
    ///     (caught.is_err(), limit.expired())
    /// });
    /// assert_eq!(late.await, Ok((true, true)));
    /// # });
    /// ```
    pub fn expired(&self) -> bool {
        matches!(self.limit.state.get(), State::Asked | State::Over { expired: true })
    }
}

impl fmt::Debug for Deadline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deadline").field("at", &self.get()).field("state", &self.limit.state.get()).finish()
    }
}

/// What the scope and its [`Deadline`]s share.
struct Limit {
    deadline: Cell<Instant>,
    timer: Cell<Option<Timer>>,
    state: Cell<State>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Fresh,
    Running,
    /// The time is up; what is ready in this turn still counts.
    Due,
    /// What is inside was asked to stop, and has not yet.
    Asked,
    Over {
        expired: bool,
    },
}

impl Limit {
    /// What a poll that left the work pending makes of the time.
    fn after_poll(&self, cx: &mut Context<'_>) -> State {
        match self.state.get() {
            State::Fresh if self.has_passed() => State::Asked, // there was no time at all
            State::Due if self.has_passed() => State::Asked,
            State::Fresh | State::Running | State::Due if self.poll_timer(cx).is_ready() => State::Due,
            State::Fresh | State::Running | State::Due => State::Running,
            state => state,
        }
    }

    fn has_passed(&self) -> bool {
        self.deadline.get() <= Instant::now()
    }

    fn poll_timer(&self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(timer) = self.timer.get() {
            if timer.poll(cx).is_pending() {
                return Poll::Pending;
            }
            self.timer.set(None);
            if self.has_passed() {
                return Poll::Ready(());
            }
        }
        let deadline = self.deadline.get();
        let Some(timer) = Timer::at(deadline, cx) else { return Poll::Ready(()) };
        self.timer.set(Some(timer));
        if self.deadline.get() != deadline {
            timer.reset(self.deadline.get()); // the waker moved it while it was cloned
        }
        Poll::Pending
    }
}

/// The scope's own hold on its limit: when it goes, so does the timer.
struct Armed(Rc<Limit>);

impl Drop for Armed {
    fn drop(&mut self) {
        let expired = self.0.state.get() == State::Asked;
        self.0.state.set(State::Over { expired });
        if let Some(timer) = self.0.timer.take() {
            timer.cancel();
        }
    }
}

pin_project! {
    struct Limited<F> {
        #[pin]
        scope: Scope<F>,
        canceller: Canceller,
        armed: Armed,
    }
}

impl<F: Future> Future for Limited<F> {
    type Output = Result<F::Output, Elapsed>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if let Poll::Ready(ended) = this.scope.poll(cx) {
            return Poll::Ready(ended.map_err(|_cancelled| Elapsed(()))); // nobody else could end it
        }
        let limit = &this.armed.0;
        let before = limit.state.get();
        let state = limit.after_poll(cx);
        limit.state.set(state);
        match state {
            // Whatever else fell due in this turn comes first: it may be the result.
            State::Due => cx.waker().wake_by_ref(),
            State::Asked if before != State::Asked => {
                this.canceller.cancel(Cancelled::because("the time was up"));
            }
            _ => {}
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests;
