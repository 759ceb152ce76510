//! Waiting for a state, in a line where everybody goes at once.
//!
//! ```text
//!   until, until, until ──► in line ──► the state comes about: all are woken, and go on
//! ```
//!
//! Who was woken goes on, also if the state is over before it is polled: it was told.   Next: `wait_list`.

use std::future::poll_fn;

use super::wait_list::{WaitList, Waiter};

/// Completes when `holds`, or when those in `line` were told so; meanwhile it has said why by `note`. Takes a unit of
/// budget as it completes.
///
/// # Cancel
/// Dropping it leaves the line.
#[inline]
pub(super) async fn until(line: &WaitList<()>, holds: impl Fn() -> bool, note: impl Fn()) {
    let mut place = Place { line, waiter: None };
    poll_fn(|cx| line.poll_wait(&mut place.waiter, cx, &holds, (), &note).map(drop)).await;
}

struct Place<'a> {
    line: &'a WaitList<()>,
    waiter: Option<Waiter>,
}

impl Drop for Place<'_> {
    #[inline]
    fn drop(&mut self) {
        if let Some(waiter) = self.waiter.take() {
            drop(self.line.remove(waiter));
        }
    }
}
