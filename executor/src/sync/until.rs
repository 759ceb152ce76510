//! Waiting for a state, in a line where everybody goes at once.
//!
//! ```text
//!   until, until, until ──► in line ──► the state comes about: all are woken, and go on
//! ```
//!
//! Who was woken goes on, also if the state is over before it is polled: it was told.   Next: `wait_list`.

use std::future::poll_fn;

use super::wait_list::{WaitList, Waiting};

/// Completes when `holds`, or when those in `line` were told so; meanwhile it has said why by `note`. Takes a unit of
/// budget as it completes.
///
/// # Cancel
/// Dropping it leaves the line.
#[inline]
pub(super) async fn until(line: &WaitList<()>, holds: impl Fn() -> bool, note: impl Fn()) {
    let mut waiting = Waiting::new(line, drop);
    poll_fn(|cx| waiting.poll(cx, &holds, (), &note).map(drop)).await;
}
