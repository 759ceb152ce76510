//! Calling a function at a time.
//! For who comes from loops of callbacks: a call that is set for later is a task that sleeps first. So its handle is a join
//! handle, which cancels it, awaits what it returns, or is dropped.
//!
//! ```text
//!   call_later(d, f) ─┐
//!   call_at(t, f) ────┴─► task: sleep until t ──► f()
//! ```
//!
//! Calls of one instant come in the order in which they were set.   Next: `timer`; `call_soon` in the executor.

use std::time::Duration;

use windlass_executor::JoinHandle;

use crate::clock::Instant;
use crate::timer::sleep_until;

/// Calls `f` in a task of its own, `duration` from now.
///
/// # Panics
/// Outside a running loop. If `f` does, its task has panicked.
///
/// # Cancel
/// Dropping the handle does not take the call back: [`cancel`](JoinHandle::cancel) does.
///
/// ```
/// # use std::time::Duration;
/// # use windlass_reactor::time::{Instant, call_later};
/// # windlass_reactor::doc(async {
/// let start = Instant::now();
/// let reminder = call_later(Duration::from_secs(1), move || start.elapsed());
/// let never = call_later(Duration::from_secs(2), || unreachable!());
/// assert_eq!(reminder.await.unwrap(), Duration::from_secs(1));
/// assert!(never.cancel());
/// # });
/// ```
#[track_caller]
pub fn call_later<R: 'static>(duration: Duration, f: impl FnOnce() -> R + 'static) -> JoinHandle<R> {
    call_at(Instant::now() + duration, f)
}

/// As [`call_later`], at `deadline`; one that has passed is now, when the turn comes.
///
/// ```
/// # use std::time::Duration;
/// # use windlass_reactor::time::{Instant, call_at};
/// # windlass_reactor::doc(async {
/// let noon = Instant::now() + Duration::from_secs(3600);
/// assert_eq!(call_at(noon, Instant::now).await.unwrap(), noon);
/// # });
/// ```
#[track_caller]
pub fn call_at<R: 'static>(deadline: Instant, f: impl FnOnce() -> R + 'static) -> JoinHandle<R> {
    windlass_executor::spawn(async move {
        sleep_until(deadline).await;
        f()
    })
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use windlass_executor::{call_soon, yield_now};

    use super::*;
    use crate::doc;
    use crate::time::sleep;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn calls_come_by_their_time_and_those_of_one_instant_in_the_order_they_were_set() {
        doc(async {
            let (log, start) = (Rc::new(RefCell::new(Vec::new())), Instant::now());
            let say = |word: &'static str| {
                let log = log.clone();
                move || log.borrow_mut().push((word, start.elapsed()))
            };
            let handles = [
                call_later(ms(20), say("third")),
                call_at(start + ms(10), say("first")),
                call_later(ms(10), say("second")),
                call_later(Duration::ZERO, say("now")),
                call_soon(say("soon")),
            ];
            for handle in handles {
                handle.await.unwrap();
            }
            let expected = [("now", ms(0)), ("soon", ms(0)), ("first", ms(10)), ("second", ms(10)), ("third", ms(20))];
            assert_eq!(*log.borrow(), expected);
        });
    }

    #[test]
    fn a_call_that_was_cancelled_never_comes_and_drops_what_it_held() {
        doc(async {
            let held = Rc::new(());
            let (soon, later) = (held.clone(), held.clone());
            let calls = [call_soon(move || drop(soon)), call_later(ms(10), move || panic!("{later:?}"))];
            assert!(calls[1].cancel() && calls[0].cancel());
            assert_eq!(Rc::strong_count(&held), 1);
            sleep(ms(20)).await;
        });
    }

    #[test]
    fn a_call_whose_handle_is_dropped_comes_all_the_same() {
        doc(async {
            let came = Rc::new(RefCell::new(0));
            let (soon, later) = (came.clone(), came.clone());
            drop(call_soon(move || *soon.borrow_mut() += 1));
            drop(call_later(ms(10), move || *later.borrow_mut() += 10));
            assert_eq!(*came.borrow(), 0, "never inside the call");
            yield_now().await;
            assert_eq!(*came.borrow(), 1);
            sleep(ms(10)).await;
            yield_now().await;
            assert_eq!(*came.borrow(), 11);
        });
    }
}
