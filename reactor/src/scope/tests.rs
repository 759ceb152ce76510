//! What time scopes promise, one fact a test, to the millisecond of a paused clock.

use std::cell::RefCell;
use std::future::{pending, poll_fn};
use std::task::Waker;

use windlass_executor::cancel::catch;
use windlass_executor::{JoinHandle, spawn, yield_now};

use super::*;
use crate::doc;
use crate::time::{sleep, sleep_until};

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Something that becomes ready when it is told to.
#[derive(Clone, Default)]
struct Gate(Rc<RefCell<(bool, Option<Waker>)>>);

impl Gate {
    fn open(&self) {
        let mut gate = self.0.borrow_mut();
        gate.0 = true;
        let waker = gate.1.take();
        drop(gate);
        waker.into_iter().for_each(Waker::wake);
    }

    async fn wait(self) {
        poll_fn(|cx| {
            let mut gate = self.0.borrow_mut();
            gate.1 = Some(cx.waker().clone());
            if gate.0 { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}

/// Sleeps for a second; asked to stop, cleans up for half a second and hands the request on.
async fn cleans_up() {
    let Err(cancelled) = catch(sleep(ms(1_000))).await else { return };
    sleep(ms(500)).await;
    cancelled.propagate().await;
}

#[test]
fn in_time_it_is_the_output() {
    doc(async {
        assert_eq!(wait_for(ms(100), async { 7 }).await, Ok(7));
        let start = Instant::now();
        assert_eq!(wait_for(ms(100), sleep(ms(99))).await, Ok(()));
        assert_eq!(start.elapsed(), ms(99));
    });
}

#[test]
fn what_runs_out_of_time_and_catches_nothing_is_dropped_at_the_deadline() {
    doc(async {
        let start = Instant::now();
        assert!(wait_for(ms(100), pending::<()>()).await.is_err());
        assert_eq!(start.elapsed(), ms(100));
    });
}

#[test]
fn what_runs_out_of_time_is_waited_for_until_it_has_cleaned_up() {
    doc(async {
        let start = Instant::now();
        assert!(wait_for(ms(100), cleans_up()).await.is_err());
        assert_eq!(start.elapsed(), ms(600));
    });
}

#[test]
fn a_task_that_is_awaited_is_not_ended_by_the_deadline_of_who_awaits_it() {
    doc(async {
        let mut task = spawn(sleep(ms(300)));
        assert!(wait_for(ms(100), &mut task).await.is_err());
        assert!(!task.is_finished());
        task.await.unwrap();
    });
}

#[test]
fn the_time_counts_from_the_first_poll() {
    doc(async {
        let late = wait_for(ms(100), pending::<()>());
        sleep(ms(1_000)).await;
        let start = Instant::now();
        assert!(late.await.is_err());
        assert_eq!(start.elapsed(), ms(100));
    });
}

#[test]
fn with_no_time_what_is_ready_counts_and_the_rest_is_polled_once() {
    doc(async {
        assert_eq!(wait_for(Duration::ZERO, async { 7 }).await, Ok(7));
        let polls = Cell::new(0);
        let counted = poll_fn(|cx| {
            polls.set(polls.get() + 1);
            cx.waker().wake_by_ref();
            Poll::<()>::Pending
        });
        assert!(wait_for(Duration::ZERO, counted).await.is_err());
        assert_eq!(polls.get(), 1);
    });
}

#[test]
fn for_ever_is_no_deadline() {
    doc(async {
        assert_eq!(wait_for(Duration::MAX, sleep(Duration::from_secs(1 << 30))).await, Ok(()));
    });
}

#[test]
fn a_result_that_arrives_in_the_turn_of_the_deadline_counts_whichever_is_first() {
    for ready_first in [false, true] {
        doc(async move {
            let gate = Gate::default();
            let waits = gate.clone().wait();
            let mut both: [Pin<Box<dyn Future<Output = ()>>>; 2] = [
                Box::pin(async move {
                    sleep(ms(100)).await;
                    gate.open();
                }),
                Box::pin(async move { assert_eq!(wait_for(ms(100), waits).await, Ok(())) }),
            ];
            if !ready_first {
                both.reverse();
            }
            for task in both.map(spawn) {
                task.await.unwrap();
            }
        });
    }
}

/// What the task of [`meeting`] came to.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Came {
    Result,
    Elapsed,
    Cancelled,
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum Event {
    Ready,
    Timer,
    Cancel,
}
use Event::{Cancel, Ready, Timer as Fires};

/// Three scopes around one piece of work. All of `events` happen at 100 ms, in that order, in one turn. True if the
/// cancellation found the task alive.
async fn meeting(events: &[Event], cleans_up: bool) -> (Came, bool) {
    let (gate, start) = (Gate::default(), Instant::now());
    let came = Rc::new(Cell::new(None));
    let limit_ms = if events.contains(&Fires) { 100 } else { 10_000 };
    let work = {
        let gate = gate.clone();
        async move {
            if !cleans_up {
                return gate.wait().await;
            }
            let Err(cancelled) = catch(gate.wait()).await else { return };
            sleep(ms(500)).await;
            cancelled.propagate().await;
        }
    };
    let limit = move || start + ms(limit_ms);
    let nested = async move {
        let inner = scope(limit(), async |_| work.await);
        let middle = scope(limit(), async |_| inner.await.map_err(|_| "swallowed by the inner one"));
        scope(limit(), async |_| middle.await).await
    };
    let tell = came.clone();
    let mut nested = Some(async move {
        tell.set(Some(match catch(nested).await {
            Ok(Ok(Ok(Ok(())))) => Came::Result,
            Ok(Err(Elapsed(()))) => Came::Elapsed,
            Ok(lost) => panic!("the outer scope did not see its own end: {lost:?}"),
            Err(_cancelled) => Came::Cancelled,
        }));
    });
    // Timers of one instant fire in the order in which they were set: the scopes set theirs when the task is first polled.
    let task: Rc<RefCell<Option<JoinHandle<()>>>> = Rc::default();
    let alive = Rc::new(Cell::new(false));
    let order = if events.contains(&Fires) { events.to_vec() } else { [&[Fires], events].concat() };
    let mut others = Vec::new();
    for event in order {
        let (gate, target, alive) = (gate.clone(), task.clone(), alive.clone());
        match event {
            Fires => *task.borrow_mut() = nested.take().map(spawn),
            Ready | Cancel => others.push(spawn(async move {
                sleep_until(start + ms(100)).await;
                if event == Ready {
                    gate.open();
                } else {
                    alive.set(target.borrow().as_ref().unwrap().cancel());
                }
            })),
        }
    }
    for other in others {
        other.await.unwrap();
    }
    let ended = task.borrow_mut().take().unwrap();
    ended.await.unwrap();
    (came.get().unwrap(), alive.get())
}

#[test]
fn a_result_the_deadline_and_a_cancel_of_one_turn_end_three_scopes_as_the_rule_says() {
    for cleans_up in [false, true] {
        doc(async move {
            let outcomes = [
                // The task is polled between the first event of its own and the cancel: it is over by then.
                ([Ready, Fires, Cancel], (Came::Result, false)),
                ([Ready, Cancel, Fires], (Came::Cancelled, true)),
                ([Fires, Ready, Cancel], (Came::Cancelled, true)),
                ([Fires, Cancel, Ready], (Came::Cancelled, true)),
                ([Cancel, Ready, Fires], (Came::Cancelled, true)),
                ([Cancel, Fires, Ready], (Came::Cancelled, true)),
            ];
            for (events, expected) in outcomes {
                assert_eq!(meeting(&events, cleans_up).await, expected, "{events:?}, cleans up: {cleans_up}");
            }
            for pair in [[Ready, Fires], [Fires, Ready]] {
                assert_eq!(meeting(&pair, cleans_up).await.0, Came::Result, "{pair:?}");
            }
            for pair in [[Cancel, Fires], [Fires, Cancel], [Cancel, Ready]] {
                assert_eq!(meeting(&pair, cleans_up).await.0, Came::Cancelled, "{pair:?}");
            }
            assert_eq!(meeting(&[Fires], cleans_up).await.0, Came::Elapsed, "the outermost says so");
        });
    }
}

#[test]
fn a_cancel_that_comes_while_the_expired_work_cleans_up_is_what_comes_out() {
    doc(async {
        let task = spawn(async { catch(wait_for(ms(100), cleans_up())).await.is_err() });
        sleep(ms(300)).await;
        task.cancel();
        assert!(task.await.unwrap());
    });
}

#[test]
fn a_deadline_that_cuts_short_the_clean_up_of_a_cancel_does_not_swallow_the_cancel() {
    doc(async {
        let start = Instant::now();
        let task = spawn(async {
            let outcome = wait_for(ms(100), cleans_up()).await;
            panic!("{outcome:?}");
        });
        sleep(ms(50)).await;
        task.cancel_because("closing time");
        let error = task.await.unwrap_err();
        assert_eq!((error.is_cancelled(), error.reason()), (true, Some("closing time")));
        assert_eq!(start.elapsed(), ms(100));
    });
}

#[test]
fn an_error_that_comes_out_of_the_clean_up_counts_and_the_deadline_says_that_it_expired() {
    doc(async {
        let kept = Rc::new(RefCell::new(None));
        let keep = kept.clone();
        let failed = scope(Instant::now() + ms(100), async |limit| {
            keep.replace(Some(limit));
            let _caught = catch(pending::<()>()).await;
            sleep(ms(50)).await;
            Err::<(), _>("the roll-back failed")
        });
        assert_eq!(failed.await, Ok(Err("the roll-back failed")));
        let limit = kept.take().unwrap();
        assert!(limit.expired());
        assert!(!limit.reschedule(Instant::now()), "it is over");
    });
}

#[test]
fn of_nested_scopes_the_one_whose_time_is_up_ends() {
    for (outer_ms, inner_ms) in [(100, 200), (200, 100)] {
        doc(async move {
            let start = Instant::now();
            let outcome = wait_for(ms(outer_ms), async {
                let inner = wait_for(ms(inner_ms), pending::<()>()).await;
                (inner, start.elapsed())
            });
            let expected = if inner_ms < outer_ms { Ok((Err(Elapsed(())), ms(100))) } else { Err(Elapsed(())) };
            assert_eq!(outcome.await, expected);
            assert_eq!(start.elapsed(), ms(100));
        });
    }
}

#[test]
fn three_deep_each_scope_ends_at_its_own_time() {
    doc(async {
        let start = Instant::now();
        let mut log = Vec::new();
        let outer = wait_for(ms(300), async {
            let middle = wait_for(ms(200), async {
                let inner = wait_for(ms(100), cleans_up()).await; // its clean-up would last until 600
                panic!("{inner:?}")
            });
            log.push((middle.await.is_err(), start.elapsed()));
            pending::<()>().await;
        });
        assert!(outer.await.is_err());
        log.push((true, start.elapsed()));
        assert_eq!(log, [(true, ms(200)), (true, ms(300))]);
    });
}

#[test]
fn a_deadline_can_be_read_moved_and_taken_away_also_by_another_task() {
    doc(async {
        let start = Instant::now();
        let outcome = scope(start + ms(100), async |limit| {
            assert_eq!(limit.get(), Some(start + ms(100)));
            let other = limit.clone();
            let _mover = spawn(async move {
                sleep(ms(50)).await;
                assert!(other.reschedule(start + ms(400)));
                sleep(ms(250)).await; // 300: past the first
                assert!(!other.expired());
                assert!(other.disable());
                assert_eq!(other.get(), None);
                sleep(ms(700)).await; // 1,000
                assert!(other.reschedule(start));
            });
            pending::<()>().await;
        });
        assert!(outcome.await.is_err());
        assert_eq!(start.elapsed(), ms(1_000), "one that has passed counts at once");
    });
}

#[test]
fn a_deadline_moved_in_the_turn_in_which_it_fired_has_not_fired() {
    doc(async {
        let start = Instant::now();
        let outcome = scope(start + ms(100), async |limit| {
            sleep(ms(100)).await;
            assert!(limit.reschedule(start + ms(200)));
            pending::<()>().await;
        });
        assert!(outcome.await.is_err());
        assert_eq!(start.elapsed(), ms(200));
    });
}

#[test]
fn a_scope_that_is_over_or_dropped_leaves_no_timer() {
    doc(async {
        let start = Instant::now();
        assert!(wait_for(ms(900), yield_now()).await.is_ok());
        let dropped = spawn(wait_for(ms(900), pending::<()>()));
        yield_now().await;
        dropped.abort();
        sleep(ms(10)).await;
        assert_eq!(start.elapsed(), ms(10));
        let left = crate::reactor::with_current(|reactor| reactor.wheel.borrow().next_deadline());
        assert_eq!(left, Some(None));
    });
}
