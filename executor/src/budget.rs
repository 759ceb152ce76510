//! How much a task may do in one poll.
//! A future that is always ready (a socket with data, a queue with items) would never give way. Each of our
//! futures that wait for a source, a timer or another task takes one unit of its task's budget before it does anything;
//! with none left it wakes its task and returns `Pending`, so that the others, the sockets and the timers get their
//! turn. Those of [`sync`](crate::sync) take it only when they are about to complete: to wait costs none.
//!
//! ```text
//!   poll begins: 128 ──► read: 127 ──► read: 126 ──► … ──► 0: wake myself, Pending ──► the others ──► 128 again
//! ```
//!
//! The same idea in tokio is called cooperative scheduling.   Next: `executor`, which sets the budget before each poll.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use crate::cell::with_current;
use crate::executor::Core;

/// Operations that a task may complete in one poll: tokio's figure, so that comparisons compare the same thing.
pub(crate) const OPERATIONS_MAX: u32 = 128;

/// Takes one unit of the current task's budget; with none left, wakes the task and is `Pending`.
/// Outside a loop there is no budget and this is always ready.
///
/// ```
/// # use windlass_executor::windlass;
/// # use std::{future::poll_fn, task::Poll};
/// # windlass_executor::doc(async {
/// let mut taken = 0;
/// poll_fn(|cx| {
///     while windlass::task::poll_proceed(cx).is_ready() {
///         taken += 1;
///     }
///     Poll::Ready(())
/// })
/// .await;
/// assert_eq!(taken, 128);
/// # });
/// ```
#[inline]
pub fn poll_proceed(cx: &mut Context<'_>) -> Poll<()> {
    if take() { Poll::Ready(()) } else { used_up(cx) }
}

/// Takes one unit; false if none is left. It runs no foreign code, unlike [`used_up`], which is to be called then.
#[inline]
pub(crate) fn take() -> bool {
    with_current(|core| core.is_none_or(|core| core.take_operation()))
}

/// Wakes the task, which has to give way.
#[cold]
pub(crate) fn used_up<T>(cx: &mut Context<'_>) -> Poll<T> {
    with_current(|core| core.map(Core::count_forced_yield));
    cx.waker().wake_by_ref();
    Poll::Pending
}

/// Takes one unit of the current task's budget, and gives way to the others if there is none left: for a loop that computes
/// and awaits nothing else. Cheaper than [`yield_now`](crate::yield_now), which gives way each time.
///
/// # Cancel
/// Nothing is lost but the unit.
///
/// ```
/// # use windlass_executor::windlass;
/// # windlass_executor::doc(async {
/// let mut sum = 0_u64;
/// for number in 0..1_000 {
///     sum += number;
///     windlass::task::consume_budget().await; // others run eight times meanwhile
/// }
/// assert_eq!(sum, 499_500);
/// # });
/// ```
pub async fn consume_budget() {
    poll_fn(poll_proceed).await
}

/// Polls `future` without a budget: what it awaits may complete as often as it likes in one poll, and the others, the
/// sockets and the timers wait for as long as that takes. For a future that has a budget of its own.
///
/// ```
/// # use windlass_executor::windlass;
/// use windlass::task::{consume_budget, unconstrained};
/// # windlass_executor::doc(async {
/// let polls = || windlass::task::current().unwrap().polls;
/// let before = polls();
/// unconstrained(async {
///     for _ in 0..1_000 {
///         consume_budget().await; // never gives way
///     }
/// })
/// .await;
/// assert_eq!(polls(), before);
/// # });
/// ```
pub fn unconstrained<F: Future>(future: F) -> Unconstrained<F> {
    Unconstrained { future }
}

pin_project! {
    /// The future of [`unconstrained`].
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// # windlass_executor::doc(async {
    /// assert_eq!(windlass::task::unconstrained(async { 7 }).await, 7);
    /// # });
    /// ```
    #[derive(Debug)]
    #[must_use = "futures do nothing unless awaited"]
    pub struct Unconstrained<F> {
        #[pin]
        future: F,
    }
}

impl<F: Future> Future for Unconstrained<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let _lifted = Lifted(with_current(|core| core.map(|core| core.operations_left.replace(u32::MAX))));
        self.project().future.poll(cx)
    }
}

/// While this lives the budget is without end; then it is again what it was, also after a panic.
struct Lifted(Option<u32>);

impl Drop for Lifted {
    fn drop(&mut self) {
        if let Some(before) = self.0 {
            with_current(|core| core.map(|core| core.operations_left.set(before)));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::rc::Rc;

    use super::*;
    use crate::{current, doc, spawn, yield_now};

    #[test]
    fn a_task_that_only_consumes_its_budget_gives_way_every_128_times() {
        doc(async {
            let task = spawn(async {
                for _ in 0..10 * OPERATIONS_MAX {
                    consume_budget().await;
                }
                current().unwrap().polls
            });
            assert_eq!(task.await.unwrap(), 10);
        });
    }

    #[test]
    fn a_spinner_that_consumes_its_budget_keeps_nobody_waiting() {
        doc(async {
            let done = Rc::new(Cell::new(false));
            let spinner = spawn({
                let done = done.clone();
                async move {
                    while !done.get() {
                        consume_budget().await;
                    }
                }
            });
            yield_now().await;
            done.set(true); // never reached, if the spinner did not give way
            spinner.await.unwrap();
        });
    }

    #[test]
    fn after_an_unconstrained_future_the_budget_is_what_it_was() {
        doc(async {
            yield_now().await; // a whole budget
            let polls = current().unwrap().polls;
            for _ in 0..OPERATIONS_MAX {
                consume_budget().await;
            }
            unconstrained(async {
                for _ in 0..10 * OPERATIONS_MAX {
                    consume_budget().await;
                }
            })
            .await;
            assert_eq!(current().unwrap().polls, polls);
            consume_budget().await; // one too many
            assert_eq!(current().unwrap().polls, polls + 1);
        });
    }

    #[test]
    fn outside_a_loop_nothing_is_constrained() {
        let mut future = std::pin::pin!(unconstrained(consume_budget()));
        assert!(future.as_mut().poll(&mut Context::from_waker(std::task::Waker::noop())).is_ready());
    }
}
