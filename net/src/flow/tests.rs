//! What the patterns promise, one fact a test, to the millisecond of a paused clock.
//!
//! ```text
//!   paused(story)        tells it on a loop of its own; it fails rather than hang
//!   polled(f, n, then)   polls a future n times and drops it: right then, or when it is woken
//! ```
//!
//! Whoever waits may be dropped at any await. So each pattern has a test that drops one caller at all of them, one after
//! the other, until it is through; and looks whether the others noticed.

use std::cell::{Cell, RefCell};
use std::future::{pending, poll_fn};
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use windlass_executor::sync::Semaphore;
use windlass_executor::{JoinHandle, spawn, yield_now};
use windlass_reactor::time::{Instant, advance, sleep, timeout};

use super::random::SplitMix64;
use super::*;

// ---------------------------------------------------------------------------------------------- what the tests share

/// Tells a story on a loop with a paused clock; one that hangs has a month of that clock.
#[track_caller]
fn paused<F: Future>(story: F) -> F::Output {
    let month = Duration::from_secs(30 * 24 * 3600);
    windlass_reactor::doc(async { timeout(month, story).await.expect("it does not hang") })
}

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

const SECOND: Duration = Duration::from_secs(1);

/// When a future is dropped that has had its polls.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Then {
    /// As soon as it has said that it is pending.
    DropIt,
    /// When it is woken: it may have been given something, and not know it yet.
    DropItWhenWoken,
}

const BOTH: [Then; 2] = [Then::DropIt, Then::DropItWhenWoken];

/// The output of a future, if it takes no more than `polls` polls.
async fn polled<F: Future>(future: F, polls: u32, then: Then) -> Option<F::Output> {
    let (mut future, mut left) = (Some(Box::pin(future)), polls);
    poll_fn(move |cx| {
        if left == 0 {
            future = None;
            return Poll::Ready(None);
        }
        left -= 1;
        match future.as_mut().expect("it is polled until it is dropped").as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if left == 0 && then == Then::DropIt => {
                future = None;
                Poll::Ready(None)
            }
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// Lets everything run that can, without moving the clock.
async fn settle() {
    for _ in 0..64 {
        yield_now().await;
    }
}

/// A log that tasks share.
#[derive(Debug)]
struct Log<T>(Rc<RefCell<Vec<T>>>);

impl<T> Log<T> {
    fn new() -> Self {
        Log(Rc::default())
    }

    fn push(&self, entry: T) {
        self.0.borrow_mut().push(entry);
    }

    fn take(&self) -> Vec<T> {
        self.0.take()
    }
}

impl<T> Clone for Log<T> {
    fn clone(&self) -> Self {
        Log(self.0.clone())
    }
}

// ------------------------------------------------------------------------------------------------------------ backoff

#[test]
fn delays_double_up_to_the_cap_and_never_overflow() {
    let plain = |first, cap| Backoff::exponential(first, cap).jitter(Jitter::None).delays(0);
    let delays: Vec<_> = plain(ms(100), SECOND).take(6).map(|delay| delay.as_millis()).collect();
    assert_eq!(delays, [100, 200, 400, 800, 1000, 1000]);
    assert_eq!(plain(SECOND, ms(10)).next(), Some(ms(10)));
    assert!(plain(Duration::MAX, Duration::MAX).take(100).all(|delay| delay == Duration::MAX));
    assert!(plain(Duration::from_nanos(1), Duration::MAX).take(200).is_sorted());
    let spread = Backoff::exponential(Duration::MAX, Duration::MAX);
    assert_eq!(spread.delays(1).take(100).count(), 100);
    assert_eq!(spread.jitter(Jitter::Equal).delays(1).take(100).count(), 100);
}

#[test]
fn jitter_stays_within_its_range_and_reaches_all_of_it() {
    for (jitter, least) in [(Jitter::Full, 0), (Jitter::Equal, 500)] {
        let mut quarters = [0; 4];
        for seed in 0..4_000 {
            let delay = Backoff::exponential(SECOND, SECOND).jitter(jitter).delays(seed).next().unwrap();
            let nanos = delay.as_nanos() as u64;
            let (from, to) = (least * 1_000_000, 1_000_000_000);
            assert!((from..=to).contains(&nanos), "seed {seed}: {delay:?}");
            quarters[((nanos - from) * 4 / (to - from + 1)) as usize] += 1;
        }
        assert!(quarters.iter().all(|&times| (850..1_150).contains(&times)), "{jitter:?}: {quarters:?}");
    }
}

// -------------------------------------------------------------------------------------------------------------- retry

/// A policy whose delays are known: 100 ms, 200 ms, 400 ms, and so on.
fn plain<E>(attempts: u32) -> Retry<E> {
    Retry::new(attempts).backoff(Backoff::exponential(ms(100), SECOND).jitter(Jitter::None))
}

#[test]
fn attempts_are_numbered_and_come_after_their_delays() {
    paused(async {
        let (start, log) = (Instant::now(), Log::new());
        let operation = async |attempt: Attempt| {
            log.push((attempt.to_string(), start.elapsed()));
            Err::<(), _>(attempt.number)
        };
        let error = plain(4).run(operation).await.unwrap_err();
        let expected = [("1/4", 0), ("2/4", 100), ("3/4", 300), ("4/4", 700)];
        assert_eq!(log.take(), expected.map(|(number, at)| (number.to_owned(), ms(at))));
        assert_eq!((error.kind(), error.attempts()), (RetryErrorKind::AttemptsExhausted, 4));
        assert_eq!((error.elapsed(), error.into_last()), (ms(700), Some(4)));
    });
}

#[test]
fn the_first_success_ends_it() {
    paused(async {
        let start = Instant::now();
        let operation = async |attempt: Attempt| if attempt.number < 3 { Err(()) } else { Ok(attempt.number) };
        assert_eq!(plain(10).run(operation).await.unwrap(), 3);
        assert_eq!(start.elapsed(), ms(300));
    });
}

#[test]
fn an_attempt_is_dropped_when_its_time_is_up_and_tried_again() {
    paused(async {
        let dropped = Log::new();
        struct Tell(Log<Duration>, Instant);
        impl Drop for Tell {
            fn drop(&mut self) {
                self.0.push(self.1.elapsed());
            }
        }
        let start = Instant::now();
        let operation = async |_| {
            let _tell = Tell(dropped.clone(), start);
            pending::<Result<(), ()>>().await
        };
        let error = plain(3).attempt_timeout(SECOND).run(operation).await.unwrap_err();
        assert_eq!(dropped.take(), [ms(1_000), ms(2_100), ms(3_300)]);
        assert!(error.is_timeout() && error.last().is_none());
        assert_eq!((error.kind(), error.elapsed()), (RetryErrorKind::AttemptsExhausted, ms(3_300)));
    });
}

#[test]
fn what_is_ready_when_its_time_is_up_counts() {
    paused(async {
        let operation = async |_| {
            sleep(SECOND).await;
            Ok::<_, ()>("just in time")
        };
        assert_eq!(plain(1).attempt_timeout(SECOND).run(operation).await.unwrap(), "just in time");
    });
}

#[test]
fn the_total_time_cuts_an_attempt_short_but_not_for_a_delay_that_is_too_long() {
    paused(async {
        let start = Instant::now();
        let policy = plain(10).attempt_timeout(SECOND).total_timeout(ms(1_500));
        let error = policy.run(async |_| pending::<Result<(), ()>>().await).await.unwrap_err();
        assert_eq!((error.kind(), error.attempts()), (RetryErrorKind::TotalTimeout, 2));
        assert_eq!((error.elapsed(), start.elapsed()), (ms(1_500), ms(1_500)));
        assert!(error.is_timeout());

        let start = Instant::now();
        let error = plain(10).total_timeout(ms(600)).run(async |_| Err::<(), _>("down")).await.unwrap_err();
        // Attempts at 0, 100 and 300 ms; the next would have been at 700.
        assert_eq!((error.kind(), error.attempts()), (RetryErrorKind::TotalTimeout, 3));
        assert_eq!((start.elapsed(), error.last()), (ms(300), Some(&"down")));
    });
}

#[test]
fn an_attempt_that_knows_the_total_time_is_not_dropped_when_it_is_over() {
    paused(async {
        let late = async |_: Attempt| {
            sleep(ms(101)).await; // as one whose timer was set a moment later
            Err::<(), _>("timed out: reading the head")
        };
        let error = plain(2).total_timeout_known(ms(100)).run(late).await.unwrap_err();
        assert_eq!((error.kind(), error.attempts()), (RetryErrorKind::TotalTimeout, 1));
        assert_eq!(error.into_last(), Some("timed out: reading the head"));
    });
}

#[test]
fn only_errors_of_the_right_kind_are_retried() {
    paused(async {
        let policy = plain(5).retry_if(|&status: &u32| status >= 500);
        let error =
            policy.run(async |attempt| Err::<(), _>([503, 404][attempt.number as usize - 1])).await.unwrap_err();
        assert_eq!((error.kind(), error.attempts()), (RetryErrorKind::NotRetryable, 2));
        assert_eq!(error.into_last(), Some(404));
    });
}

#[test]
fn what_the_peer_asks_for_takes_the_place_of_the_backoff_within_a_cap() {
    for (asked, waited) in [(None, 100), (Some(ms(0)), 0), (Some(ms(7_000)), 7_000), (Some(Duration::MAX), 60_000)] {
        paused(async {
            let policy = plain(2).retry_after(ms(60_000), |asked: &Option<Duration>| *asked);
            let error = policy.run(async |_| Err::<(), _>(asked)).await.unwrap_err();
            assert_eq!(error.elapsed(), ms(waited), "{asked:?}");
        });
    }
}

#[test]
fn a_hook_hears_of_each_failure_before_the_delay() {
    paused(async {
        let (start, log) = (Instant::now(), Log::new());
        let told = log.clone();
        let policy = plain(3).attempt_timeout(SECOND).on_failure(move |failed| {
            let FailedAttempt { attempt, error, retry_in, .. } = failed;
            told.push((start.elapsed(), attempt.number, error.copied(), retry_in));
        });
        let operation = async |attempt: Attempt| match attempt.number {
            2 => pending().await,
            _ => Err::<(), _>("down"),
        };
        policy.run(operation).await.unwrap_err();
        let expected = [
            (ms(0), 1, Some("down"), Some(ms(100))),
            (ms(1_100), 2, None, Some(ms(200))),
            (ms(1_300), 3, Some("down"), None),
        ];
        assert_eq!(log.take(), expected);
    });
}

#[test]
fn nothing_is_held_while_backing_off() {
    paused(async {
        let (permits, held) = (Rc::new(Semaphore::new(1)), Rc::new(()));
        let caller = spawn({
            let (permits, held) = (permits.clone(), Rc::downgrade(&held));
            async move {
                let operation = async |_| {
                    let _permit = permits.acquire().await.unwrap();
                    Err::<(), _>(held.upgrade().unwrap()) // an error that holds something
                };
                plain(2).run(operation).await.map_err(|error| error.attempts())
            }
        });
        settle().await;
        assert_eq!(permits.available_permits(), 1);
        assert_eq!(Rc::strong_count(&held), 1, "the error is gone, too");
        assert_eq!(caller.await.unwrap(), Err(2));
    });
}

#[test]
fn the_seed_decides_on_the_delays_and_calls_differ() {
    let elapsed = |seed| {
        paused(async {
            let policy = Retry::new(4).seed(seed);
            let call = async || policy.run(async |_| Err::<(), _>(())).await.unwrap_err().elapsed();
            [call().await, call().await]
        })
    };
    assert_eq!(elapsed(7), elapsed(7));
    assert_ne!(elapsed(7), elapsed(8));
    assert_ne!(elapsed(7)[0], elapsed(7)[1]);
}

#[test]
fn retries_are_at_most_a_share_of_the_calls_whatever_fails() {
    for seed in 1..=32 {
        println!("seed {seed}");
        paused(async {
            let mut random = SplitMix64::new(seed);
            let (percent, reserve) = (random.up_to(50) as u32, random.up_to(20) as u32);
            let budget = RetryBudget::new(percent, reserve);
            let policies = [plain(1 + random.up_to(4) as u32), plain(5)].map(|policy| policy.budget(&budget));
            let failing = random.up_to(100);
            for call in 1..=200 {
                let policy = &policies[random.up_to(1) as usize];
                let outcome = policy.run(async |_| if random.up_to(99) < failing { Err(()) } else { Ok(()) }).await;
                let stats = budget.stats();
                assert_eq!(stats.calls, call);
                assert!(stats.retries * 100 <= reserve as u64 * 100 + call * percent as u64, "{stats:?}");
                if outcome.is_err_and(|error| error.kind() == RetryErrorKind::BudgetExhausted) {
                    assert_eq!(budget.available(), 0);
                }
            }
        });
    }
}

#[test]
fn quiet_times_save_no_more_than_the_reserve() {
    paused(async {
        let budget = RetryBudget::new(50, 3);
        let policy = plain(2).budget(&budget);
        for _ in 0..1_000 {
            policy.run(async |_| Ok::<_, ()>(())).await.unwrap();
        }
        assert_eq!(budget.available(), 3);
        for _ in 0..4 {
            policy.run(async |_| Err::<(), _>(())).await.unwrap_err();
        }
        assert_eq!((budget.available(), budget.stats().retries), (0, 4)); // each call brought half of one
    });
}

#[test]
fn a_call_that_is_dropped_anywhere_leaves_the_budget_as_it_was() {
    let mut completed = [false; 2];
    for (then, completed) in BOTH.into_iter().zip(&mut completed) {
        for polls in 0..20 {
            paused(async {
                let budget = RetryBudget::new(0, 10);
                let policy = plain(4).budget(&budget);
                let made = Cell::new(0);
                let operation = async |attempt: Attempt| {
                    made.set(attempt.number as u64);
                    sleep(ms(10)).await;
                    Err::<(), _>(())
                };
                let outcome = polled(policy.run(operation), polls, then).await;
                *completed |= outcome.is_some();
                let stats = budget.stats();
                assert_eq!(stats.retries, made.get().saturating_sub(1), "{polls} polls, then {then:?}");
                assert_eq!(budget.available() as u64 + stats.retries, 10, "{polls} polls, then {then:?}");
            });
        }
    }
    assert_eq!(completed, [true; 2], "the last ones went through");
}

#[test]
fn an_error_says_how_often_how_long_why_and_what() {
    paused(async {
        let down = || std::io::Error::other("down");
        let error = plain(3).run(async |_| Err::<(), _>(down())).await.unwrap_err();
        assert_eq!(error.to_string(), "attempt 3/3 failed after 300ms: down");
        assert_eq!(std::error::Error::source(&error).unwrap().to_string(), "down");
        let error = plain(3).retry_if(|_| false).run(async |_| Err::<(), _>(down())).await.unwrap_err();
        assert_eq!(error.to_string(), "attempt 1/3 failed after 0ns, not to be retried: down");
        let error = plain(3).total_timeout(ms(50)).run(async |_| Err::<(), _>(down())).await.unwrap_err();
        assert_eq!(error.to_string(), "attempt 1/3 failed after 0ns, no time for another: down");
        let budget = RetryBudget::new(10, 0);
        let error = plain(3).budget(&budget).run(async |_| Err::<(), _>(down())).await.unwrap_err();
        assert_eq!(error.to_string(), "attempt 1/3 failed after 0ns, no retry left in the budget: down");
        assert_eq!(budget.to_string(), "0 retries of 1 calls, 1 refused, 0 left");
        let policy = plain(1).attempt_timeout(SECOND);
        let error = policy.run(async |_| pending::<Result<(), std::io::Error>>().await).await.unwrap_err();
        assert_eq!(error.to_string(), "attempt 1/1 failed after 1s: the time was up");
    });
}

// -------------------------------------------------------------------------------------------------------------- batch

type Batches = Log<(Duration, Vec<u32>)>;

/// A batcher of numbers that takes `takes` for a batch and notes when each began; the value of a number is itself and
/// its place in its batch.
fn numbers(flush: Flush, takes: Duration) -> (Batcher<u32, (u32, usize), &'static str>, Batches) {
    let (start, log) = (Instant::now(), Log::new());
    let batches = log.clone();
    let batcher = Batcher::new(flush, async move |numbers: Vec<u32>| {
        batches.push((start.elapsed(), numbers.clone()));
        sleep(takes).await;
        Ok(numbers.into_iter().enumerate().map(|(place, number)| (number, place)).collect())
    });
    (batcher, log)
}

/// Submits `number` after `delay`, in a task of its own.
fn submit<R: 'static, E: 'static>(
    batcher: &Batcher<u32, R, E>,
    delay: Duration,
    number: u32,
) -> JoinHandle<Result<R, BatchError<E>>> {
    let batcher = batcher.clone();
    spawn(async move {
        sleep(delay).await;
        batcher.submit(number).await
    })
}

#[test]
fn twenty_items_by_five_are_four_batches_and_equal_items_do_not_share() {
    paused(async {
        let start = Instant::now();
        let (batcher, batches) = numbers(Flush::at_size(5).or_gap(ms(500)), ms(500));
        let callers: Vec<_> = (0..20).map(|_| submit(&batcher, ms(0), 7)).collect();
        for (index, caller) in callers.into_iter().enumerate() {
            assert_eq!(caller.await.unwrap().unwrap(), (7, index % 5));
        }
        assert_eq!(start.elapsed(), ms(2_000));
        assert_eq!(batches.take(), [0, 500, 1_000, 1_500].map(|at| (ms(at), vec![7; 5])));
    });
}

/// When batches began, of items that came at these times.
fn batches_of<const N: usize>(flush: Flush, takes: Duration, came: [u64; N]) -> Vec<(u64, usize)> {
    paused(async {
        let (batcher, batches) = numbers(flush, takes);
        let callers = came.map(|at| submit(&batcher, ms(at), at as u32));
        for caller in callers {
            caller.await.unwrap().unwrap();
        }
        batches.take().into_iter().map(|(at, items)| (at.as_millis() as u64, items.len())).collect()
    })
}

#[test]
fn a_gap_counts_from_the_last_item_and_a_deadline_from_the_first() {
    let came = [0, 400, 800, 1_200, 2_000];
    let (gap, deadline) = (Flush::at_size(9).or_gap(ms(500)), Flush::at_size(9).or_deadline(ms(500)));
    assert_eq!(batches_of(gap, ms(0), came), [(1_700, 4), (2_500, 1)]);
    assert_eq!(batches_of(deadline, ms(0), came), [(500, 2), (1_300, 2), (2_500, 1)]);
    assert_eq!(batches_of(gap.or_deadline(ms(1_000)), ms(0), came), [(1_000, 3), (1_700, 1), (2_500, 1)]);
    assert_eq!(batches_of(Flush::at_size(2).or_gap(ms(500)), ms(0), came), [(400, 2), (1_200, 2), (2_500, 1)]);
}

#[test]
fn what_came_while_a_batch_was_processed_goes_together_and_waits_no_longer_for_it() {
    let flush = Flush::at_size(4).or_deadline(ms(100));
    // The first takes a second; meanwhile six come: four and two, and the two have waited long enough.
    let came = [0, 200, 300, 400, 500, 600, 700];
    assert_eq!(batches_of(flush, SECOND, came), [(100, 1), (1_100, 4), (2_100, 2)]);
}

#[test]
fn an_error_or_a_panic_goes_to_everybody_in_the_batch_and_the_worker_lives() {
    paused(async {
        let batcher = Batcher::new(Flush::at_size(2), async |numbers: Vec<u32>| match numbers[0] {
            1 => Err("no such table"),
            2 => panic!("it slipped"),
            3 => Ok(vec![]),
            _ => Ok(numbers),
        });
        for (number, kind, text) in [
            (1, BatchErrorKind::Failed, "batch: no such table"),
            (2, BatchErrorKind::Panicked, "(batch) panicked: it slipped"),
            (3, BatchErrorKind::Miscounted, "batch: 0 values for 2 items"),
        ] {
            for caller in [(); 2].map(|()| submit(&batcher, ms(0), number)) {
                let error = caller.await.unwrap().unwrap_err();
                assert_eq!(error.kind(), kind);
                assert!(error.to_string().ends_with(text), "{error}");
                assert_eq!(error.inner().is_some(), kind == BatchErrorKind::Failed);
            }
        }
        for caller in [(); 2].map(|()| submit(&batcher, ms(0), 4)) {
            assert_eq!(caller.await.unwrap().unwrap(), 4);
        }
        let stats = batcher.stats();
        assert_eq!((stats.batches, stats.items, stats.failed), (4, 8, 3));
    });
}

#[test]
fn a_function_that_panics_before_its_first_await_does_not_take_the_worker_along() {
    paused(async {
        let calls = Cell::new(0);
        let batcher = Batcher::new(Flush::at_size(1), async move |numbers: Vec<u32>| {
            calls.set(calls.get() + 1);
            assert!(calls.get() > 1, "the first call fails");
            Ok::<_, ()>(numbers)
        });
        assert_eq!(batcher.submit(1).await.unwrap_err().kind(), BatchErrorKind::Panicked);
        assert_eq!(batcher.submit(2).await.unwrap(), 2);
    });
}

#[test]
fn who_has_gone_is_left_out_and_makes_no_batch_due() {
    paused(async {
        let (batcher, batches) = numbers(Flush::at_size(3).or_deadline(SECOND), ms(0));
        // 1 leaves at once, so that 2, 3 and 4 fill the batch.
        let one = submit(&batcher, ms(0), 1);
        let others = [2, 3, 4].map(|number| submit(&batcher, ms(number as u64 * 100), number));
        settle().await;
        one.abort();
        for other in others {
            other.await.unwrap().unwrap();
        }
        assert_eq!(batches.take(), [(ms(400), vec![2, 3, 4])]);

        // 5 came first and leaves: the deadline is 6's now.
        let (five, six) = (submit(&batcher, ms(0), 5), submit(&batcher, ms(300), 6));
        sleep(ms(500)).await;
        five.abort();
        six.await.unwrap().unwrap();
        assert_eq!(batches.take(), [(ms(1_700), vec![6])]);

        // Nobody is left: nothing is called.
        let seven = submit(&batcher, ms(0), 7);
        settle().await;
        seven.abort();
        sleep(SECOND * 2).await;
        assert_eq!(batches.take(), []);
        let stats = batcher.stats();
        assert_eq!((stats.batches, stats.items, stats.skipped), (2, 4, 3));
    });
}

#[test]
fn a_caller_that_is_dropped_anywhere_costs_the_others_nothing() {
    let mut completed = [false; 2];
    for (then, completed) in BOTH.into_iter().zip(&mut completed) {
        for polls in 0..5 {
            for victim in 0..4 {
                paused(async {
                    let (batcher, batches) = numbers(Flush::at_size(3).or_deadline(ms(100)), ms(50));
                    let callers: Vec<_> = (0..4)
                        .map(|number| {
                            let (batcher, polls) = (batcher.clone(), if number == victim { polls } else { u32::MAX });
                            spawn(async move { polled(batcher.submit(number), polls, then).await })
                        })
                        .collect();
                    for (number, caller) in (0..).zip(callers) {
                        let value = caller.await.unwrap();
                        *completed |= number == victim && value.is_some();
                        assert!(number == victim || value.is_some());
                        assert!(value.is_none_or(|value| value.unwrap().0 == number), "everybody has its own");
                    }
                    batcher.close().await;
                    let (stats, batches) = (batcher.stats(), batches.take());
                    let processed = batches.iter().map(|(_, items)| items.len() as u64).sum::<u64>();
                    assert_eq!((stats.items, stats.batches), (processed, batches.len() as u64));
                    let submitted = if polls == 0 { 3 } else { 4 };
                    assert_eq!(stats.items + stats.skipped, submitted, "{polls} polls, then {then:?}");
                });
            }
        }
    }
    assert_eq!(completed, [true; 2]);
}

#[test]
fn closing_processes_what_came_and_takes_no_more() {
    paused(async {
        let (batcher, batches) = numbers(Flush::at_size(5), ms(500));
        let callers: Vec<_> = (0..7).map(|number| submit(&batcher, ms(0), number)).collect();
        settle().await;
        let start = Instant::now();
        let closers = [(); 2].map(|()| {
            spawn({
                let batcher = batcher.clone();
                async move { batcher.close().await }
            })
        });
        settle().await;
        assert_eq!(batcher.submit(9).await.unwrap_err().kind(), BatchErrorKind::Closed);
        for closer in closers {
            closer.await.unwrap();
        }
        assert_eq!(start.elapsed(), ms(1_000));
        batcher.close().await; // once more does nothing
        assert_eq!(start.elapsed(), ms(1_000));
        for (number, caller) in (0..).zip(callers) {
            assert!(caller.is_finished());
            assert_eq!(caller.await.unwrap().unwrap().0, number);
        }
        assert_eq!(batches.take().iter().map(|(_, items)| items.len()).collect::<Vec<_>>(), [5, 2]);
    });
}

#[test]
fn a_close_that_is_dropped_anywhere_closes_all_the_same_once_it_was_polled() {
    for then in BOTH {
        for polls in 0..4 {
            paused(async {
                let (batcher, _) = numbers(Flush::at_size(5), ms(500));
                let caller = submit(&batcher, ms(0), 1);
                settle().await;
                let closed = polled(batcher.close(), polls, then).await;
                assert_eq!(closed.is_some(), polls > 1);
                if polls == 0 {
                    assert!(!caller.is_finished());
                    batcher.close().await;
                }
                assert_eq!(caller.await.unwrap().unwrap(), (1, 0));
                assert_eq!(batcher.submit(2).await.unwrap_err().kind(), BatchErrorKind::Closed);
            });
        }
    }
}

#[test]
fn a_batcher_that_is_dropped_ends_its_worker() {
    paused(async {
        let (batcher, _) = numbers(Flush::at_size(5), ms(0));
        settle().await;
        let alive = || windlass_executor::all_tasks().iter().any(|task| task.name == "batcher");
        assert!(alive());
        drop(batcher);
        settle().await;
        assert!(!alive());
    });
}

// --------------------------------------------------------------------------------------------------------- rate limit

/// Acquires in a task of its own, and says when it had its tokens.
fn acquire(limiter: &Rc<RateLimiter>, tokens: u64) -> JoinHandle<Instant> {
    let limiter = limiter.clone();
    spawn(async move {
        limiter.acquire(tokens).await;
        Instant::now()
    })
}

#[test]
fn tokens_come_one_by_one_after_a_burst() {
    paused(async {
        let limiter = RateLimiter::new(Rate::per_second(10), 3);
        let start = Instant::now();
        for expected in [0, 0, 0, 100, 200, 300] {
            limiter.acquire(1).await;
            assert_eq!(start.elapsed(), ms(expected));
        }
        sleep(ms(3_600_000)).await; // whatever is more than a burst is lost
        assert_eq!(limiter.available(), 3);
        let start = Instant::now();
        for expected in [0, 0, 0, 100] {
            limiter.acquire(1).await;
            assert_eq!(start.elapsed(), ms(expected));
        }
    });
}

#[test]
fn many_tasks_have_one_rate_between_them_and_go_in_their_order() {
    paused(async {
        let limiter = Rc::new(RateLimiter::new(Rate::per_second(100), 1));
        limiter.acquire(1).await;
        let (start, log) = (Instant::now(), Log::new());
        let tasks: Vec<_> = (0..50)
            .map(|task| {
                let (limiter, log) = (limiter.clone(), log.clone());
                spawn(async move {
                    for _ in 0..10 {
                        limiter.acquire(1).await;
                        log.push(task);
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(start.elapsed(), ms(5_000));
        assert_eq!(log.take(), (0..10).flat_map(|_| 0..50).collect::<Vec<_>>());
        assert_eq!(limiter.to_string(), "100 per 1s, bursts of 1: 0 available, 0 waiting, 501 handed out");
    });
}

#[test]
fn a_rate_that_no_whole_number_of_nanoseconds_gives_does_not_drift() {
    for tokens in [3, 7, 999_999_937, 3_000_000_007] {
        paused(async {
            let limiter = RateLimiter::new(Rate::per_second(tokens), tokens / 3);
            let start = Instant::now();
            for _ in 0..=1_000 {
                limiter.acquire(tokens / 3).await; // the first finds them there
            }
            let parts = 1_000 * (tokens / 3) as u128 * 1_000_000_000;
            assert_eq!(start.elapsed().as_nanos(), parts.div_ceil(tokens as u128));
        });
    }
}

#[test]
fn a_loop_that_is_late_keeps_the_rate() {
    for (seed, tasks) in [(1, 1), (2, 1), (3, 4), (4, 4), (5, 20)] {
        println!("seed {seed}, {tasks} tasks");
        paused(async {
            let mut random = SplitMix64::new(seed);
            let limiter = Rc::new(RateLimiter::new(Rate::per_second(1_000), 1));
            let tasks: Vec<_> = (0..tasks)
                .map(|_| {
                    let limiter = limiter.clone();
                    spawn(async move {
                        loop {
                            limiter.acquire(1).await;
                        }
                    })
                })
                .collect();
            let start = Instant::now();
            while start.elapsed() < SECOND * 10 {
                advance(Duration::from_nanos(random.up_to(8_000_000))).await; // no timer fires in time
                settle().await;
            }
            let (got, asked) = (limiter.stats().tokens as f64, start.elapsed().as_secs_f64() * 1_000.0);
            println!("{got} of {asked}");
            assert!((got / asked - 1.0).abs() < 0.001);
            drop(tasks);
        });
    }
}

#[test]
fn a_loop_that_stood_still_makes_up_for_ten_milliseconds_and_no_more() {
    paused(async {
        let limiter = Rc::new(RateLimiter::new(Rate::per_second(1_000), 1));
        let tasks: Vec<_> = (0..100).map(|_| acquire(&limiter, 1)).collect();
        settle().await;
        assert_eq!(limiter.stats().tokens, 1);
        advance(SECOND).await;
        settle().await;
        assert_eq!(limiter.stats().tokens, 1 + 11);
        drop(tasks);
    });
}

#[test]
fn who_wants_more_than_a_burst_waits_as_first_in_line_until_it_has_come() {
    paused(async {
        let limiter = Rc::new(RateLimiter::new(Rate::per_second(10), 5));
        let start = Instant::now();
        let waiters = [20, 1].map(|tokens| acquire(&limiter, tokens));
        for (waiter, expected) in waiters.into_iter().zip([1_500, 1_600]) {
            assert_eq!(waiter.await.unwrap() - start, ms(expected));
        }
        assert_eq!(limiter.try_acquire(6).unwrap_err().retry_after(), None);
    });
}

#[test]
fn who_tries_never_overtakes_and_hears_when_its_turn_will_be() {
    paused(async {
        let limiter = Rc::new(RateLimiter::new(Rate::per_second(10), 5));
        limiter.try_acquire(3).unwrap();
        assert_eq!(limiter.try_acquire(4).unwrap_err().retry_after(), Some(ms(200)));
        let waiters = [4, 3].map(|tokens| acquire(&limiter, tokens));
        settle().await;
        // Two are there, and nine wanted: the two that are there are not to be had.
        let error = limiter.try_acquire(2).unwrap_err();
        assert_eq!((error.retry_after(), limiter.available()), (Some(ms(700)), 0));
        assert_eq!(limiter.stats().waiting, 2);
        for waiter in waiters {
            waiter.await.unwrap();
        }
        sleep(ms(200)).await;
        limiter.try_acquire(2).unwrap();
        assert_eq!((limiter.stats().waiting, limiter.stats().waited), (0, 2));
    });
}

#[test]
fn a_new_rate_holds_at_once_also_for_who_waits() {
    for (rate, expected) in
        [(Rate::per_second(10), 550), (Rate::new(1, SECOND * 10), 5_500), (Rate::per_second(1), 1_000)]
    {
        paused(async {
            let limiter = Rc::new(RateLimiter::new(Rate::per_second(1), 1));
            limiter.acquire(1).await;
            let start = Instant::now();
            let waiter = acquire(&limiter, 1);
            sleep(ms(500)).await; // half a token has come
            limiter.set_rate(rate);
            assert_eq!(waiter.await.unwrap() - start, ms(expected), "{rate}");
        });
    }
}

#[test]
fn a_new_rate_takes_and_gives_nothing() {
    paused(async {
        let limiter = RateLimiter::new(Rate::per_second(10), 5);
        limiter.acquire(5).await;
        sleep(ms(230)).await;
        for rate in [Rate::new(7, ms(13)), Rate::per_second(1), Rate::new(1_000_000, SECOND * 60), Rate::per_second(10)]
        {
            limiter.set_rate(rate);
            assert_eq!(limiter.available(), 2, "{rate}");
        }
        let start = Instant::now();
        limiter.acquire(3).await;
        assert_eq!(start.elapsed().as_millis(), 70);
        sleep(SECOND * 60).await;
        limiter.set_rate(Rate::per_second(1));
        assert_eq!(limiter.available(), 5, "no more than a burst");
    });
}

#[test]
fn a_big_one_that_leaves_lets_those_behind_it_go_in_the_same_turn() {
    paused(async {
        let limiter = Rc::new(RateLimiter::new(Rate::per_second(1), 5));
        limiter.acquire(3).await;
        let (big, small) = (acquire(&limiter, 5), acquire(&limiter, 2));
        settle().await;
        assert_eq!(limiter.stats().waiting, 2);
        let start = Instant::now();
        big.abort();
        assert_eq!(small.await.unwrap(), start);
    });
}

#[test]
fn what_came_for_a_big_one_that_left_is_not_handed_out_beyond_a_burst() {
    paused(async {
        let limiter = Rc::new(RateLimiter::new(Rate::per_second(10), 5));
        let big = acquire(&limiter, 1_000);
        sleep(SECOND * 90).await;
        limiter.set_rate(Rate::per_second(10)); // counts what is there: 905
        settle().await;
        big.abort();
        settle().await;
        assert_eq!(limiter.available(), 5);
        let start = Instant::now();
        limiter.acquire(6).await;
        assert_eq!(start.elapsed(), ms(90), "of the sixth there is a tenth: what comes in ten milliseconds");
    });
}

#[test]
fn a_waiter_that_is_dropped_anywhere_takes_nothing_along() {
    let mut completed = [false; 2];
    for (then, completed) in BOTH.into_iter().zip(&mut completed) {
        for polls in 0..6 {
            for victim in 0..4 {
                paused(async {
                    let limiter = Rc::new(RateLimiter::new(Rate::per_second(10), 2));
                    let start = Instant::now();
                    let waiters: Vec<_> = (0..4)
                        .map(|number| {
                            let (limiter, polls) = (limiter.clone(), if number == victim { polls } else { u32::MAX });
                            spawn(async move {
                                polled(limiter.acquire(2), polls, then).await?;
                                Some(Instant::now())
                            })
                        })
                        .collect();
                    let mut served = 0;
                    for (number, waiter) in waiters.into_iter().enumerate() {
                        let at = waiter.await.unwrap();
                        *completed |= number == victim && at.is_some();
                        assert!(number == victim || at.is_some());
                        if let Some(at) = at {
                            // Whoever left, tokens come as ever, and go to who is next.
                            assert_eq!(at - start, ms(served * 200), "{polls} polls, then {then:?}");
                            served += 1;
                        }
                    }
                    let stats = limiter.stats();
                    assert_eq!((stats.tokens, stats.acquired, stats.waiting), (served * 2, served, 0));
                });
            }
        }
    }
    assert_eq!(completed, [true; 2]);
}

#[test]
fn in_no_stretch_of_time_is_there_more_than_the_rate_and_a_burst() {
    for seed in 1..=64 {
        println!("seed {seed}");
        paused(async {
            let mut random = SplitMix64::new(seed);
            let (tokens, period, burst) = (1 + random.up_to(20), 1 + random.up_to(2_000), 1 + random.up_to(10));
            let limiter = Rc::new(RateLimiter::new(Rate::new(tokens, ms(period)), burst));
            let got: Log<(Duration, u64, u32)> = Log::new();
            let start = Instant::now();
            let tasks: Vec<_> = (0..60)
                .map(|number| {
                    let (limiter, got) = (limiter.clone(), got.clone());
                    let (wanted, delay, patience) = (random.up_to(burst), random.up_to(5_000), random.up_to(20_000));
                    spawn(async move {
                        sleep(ms(delay)).await;
                        if timeout(ms(patience), limiter.acquire(wanted)).await.is_ok() {
                            got.push((start.elapsed(), wanted, number));
                        }
                    })
                })
                .collect();
            for task in tasks {
                task.await.unwrap();
            }
            let got = got.take();
            assert_eq!(got.iter().map(|(_, wanted, _)| wanted).sum::<u64>(), limiter.stats().tokens);
            for (index, &(from, ..)) in got.iter().enumerate() {
                let mut sum = 0;
                for &(to, wanted, _) in &got[index..] {
                    sum += wanted as u128 * (period * 1_000_000) as u128;
                    // A timer fires at a whole nanosecond: what comes in one may be there besides.
                    let in_it = ((to - from).as_nanos() + 1) * tokens as u128;
                    let allowed = burst as u128 * (period * 1_000_000) as u128 + in_it;
                    assert!(sum <= allowed, "from {from:?} to {to:?}: {sum}, allowed {allowed}");
                }
            }
        });
    }
}

#[test]
fn the_largest_numbers_do_not_run_over() {
    paused(async {
        let (slowest, fastest) = (Rate::new(1, Duration::MAX), Rate::new(u64::MAX, Duration::from_nanos(1)));
        let limiter = RateLimiter::new(fastest, u64::MAX);
        limiter.acquire(u64::MAX).await;
        sleep(SECOND).await;
        assert_eq!(limiter.available(), u64::MAX);
        limiter.set_rate(slowest);
        assert_eq!(limiter.available(), u64::MAX);
        limiter.acquire(u64::MAX).await;
        sleep(SECOND).await;
        assert!(limiter.try_acquire(u64::MAX).unwrap_err().retry_after().unwrap() > SECOND * 1_000_000);
        limiter.set_rate(fastest);
        limiter.set_rate(Rate::new(u64::MAX, Duration::MAX));
        let _any = limiter.to_string();
    });
}
