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

use std::task::{Context, Poll};

use crate::cell::with_current;

/// Operations that a task may complete in one poll: tokio's figure, so that comparisons compare the same thing.
pub(crate) const OPERATIONS_MAX: u32 = 128;

/// Takes one unit of the current task's budget; with none left, wakes the task and is `Pending`.
/// Outside a loop there is no budget and this is always ready.
///
/// ```
/// # use std::{future::poll_fn, task::Poll};
/// # windlass_executor::doc(async {
/// let mut taken = 0;
/// poll_fn(|cx| {
///     while windlass_executor::budget::poll_proceed(cx).is_ready() {
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
    cx.waker().wake_by_ref();
    Poll::Pending
}
