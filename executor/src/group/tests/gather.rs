//! `gather`, `try_gather`, `gather_all`: the rules of Python's `gather`, each in a sentence.

use super::*;
use crate::budget::OPERATIONS_MAX;

#[test]
fn outputs_come_in_the_order_of_the_tasks_and_the_slowest_says_when() {
    doc(async {
        let ended = after(4, ());
        let done = gather([after(3, "a"), after(1, "b"), after(2, "c")]).await.unwrap();
        assert_eq!(done, ["a", "b", "c"]);
        assert!(!ended.is_finished(), "they ran side by side");
        assert_eq!(try_gather([after(2, Ok::<_, Slipped>(1)), after(0, Ok(2))]).await.unwrap(), Ok(vec![1, 2]));
    });
}

#[test]
fn of_no_tasks_there_is_nothing_to_wait_for() {
    doc(async {
        let mut none = pin!(gather::<()>([]));
        assert!(
            matches!(none.as_mut().poll(&mut Context::from_waker(Waker::noop())), Poll::Ready(Ok(all)) if all.is_empty())
        );
        assert!(gather_all::<()>([]).await.is_empty());
    });
}

#[test]
fn tasks_that_had_ended_before_are_gathered_too() {
    doc(async {
        let (ended, later) = (after(0, 1), after(3, 2));
        turns(2).await;
        assert!(ended.is_finished() && !later.is_finished());
        assert_eq!(gather([later, ended]).await.unwrap(), [2, 1]);
    });
}

#[test]
fn the_first_failure_in_time_ends_the_wait_at_once_and_the_others_go_on() {
    doc(async {
        let (log, say) = log();
        let slips = |n: usize| async move {
            turns(n).await;
            Err(Slipped(n as u32))
        };
        let goes_on = {
            let say = say.clone();
            async move {
                turns(6).await;
                say("went on");
                Ok(())
            }
        };
        let tasks = [spawn(goes_on), spawn(slips(4)), spawn(slips(1))];
        assert_eq!(try_gather(tasks).await.unwrap(), Err(Slipped(1)));
        say("heard of it");
        turns(9).await;
        assert_eq!(*log.borrow(), ["heard of it", "went on"]);
        assert_eq!(all_tasks().len(), 1);
    });
}

#[test]
fn a_panic_and_a_task_that_was_cancelled_alone_are_failures() {
    doc(async {
        let panics = spawn(async { panic!("it slipped") });
        assert!(gather([after(9, ()), panics]).await.unwrap_err().is_panic());
        let cancelled = spawn(pending::<()>());
        cancelled.cancel_because("not needed");
        let error = gather([after(9, ()), cancelled]).await.unwrap_err();
        assert_eq!(error.reason(), Some("not needed"));
        let cancelled = spawn(pending::<Result<(), Slipped>>());
        cancelled.cancel();
        assert!(try_gather([cancelled]).await.unwrap_err().is_cancelled());
        turns(12).await;
        assert_eq!(all_tasks().len(), 1);
    });
}

#[test]
fn a_panic_after_the_first_failure_is_reported_like_one_that_nobody_awaits() {
    thread_local!(static REPORTED: Cell<u32> = const { Cell::new(0) });
    doc(async {
        set_unobserved_panic_hook(Some(|_| REPORTED.set(REPORTED.get() + 1)));
        let late = |n| {
            spawn(async move {
                turns(n).await;
                panic!("it slipped")
            })
        };
        assert!(gather::<()>([late(1), late(1), late(3)]).await.is_err());
        assert_eq!(REPORTED.get(), 1, "of the turn of the first");
        turns(5).await;
        assert_eq!(REPORTED.get(), 2);
    });
    set_unobserved_panic_hook(None);
}

#[test]
fn all_outcomes_stand_in_their_places_and_none_ends_the_wait() {
    doc(async {
        let cancelled = spawn(pending::<u32>());
        cancelled.cancel();
        let outcomes = gather_all([after(3, 1), spawn(async { panic!("it slipped") }), cancelled, after(1, 4)]).await;
        assert_eq!(outcomes[0].as_ref().unwrap(), &1);
        assert!(outcomes[1].as_ref().unwrap_err().is_panic());
        assert!(outcomes[2].as_ref().unwrap_err().is_cancelled());
        assert_eq!(outcomes[3].as_ref().unwrap(), &4);
    });
}

#[test]
fn a_cancel_from_outside_reaches_all_that_are_left_and_goes_on_when_they_have_ended() {
    doc(async {
        let (log, say) = log();
        let task = spawn(async move {
            let tasks = [(), ()].map(|()| spawn(tidy(3, say.clone()))).into_iter().chain([after(0, ())]);
            let gathered = catch(gather_all(tasks)).await;
            say("outside");
            gathered.unwrap_err().reason().map(str::to_owned)
        });
        turns(3).await;
        task.cancel_because("closing time");
        assert_eq!(task.await.unwrap().as_deref(), Some("closing time"));
        assert_eq!(*log.borrow(), ["asked", "asked", "cleaned up", "cleaned up", "outside"]);
        assert_eq!(all_tasks().len(), 1);
    });
}

#[test]
fn the_tasks_hear_why_and_hear_it_again() {
    doc(async {
        let reasons = Rc::new(RefCell::new(Vec::new()));
        let heard = reasons.clone();
        let task = spawn(gather([spawn(async move {
            for _ in 0..2 {
                let asked = catch(pending::<()>()).await.unwrap_err();
                heard.borrow_mut().push(asked.reason().unwrap().to_owned());
            }
        })]));
        turns(2).await;
        task.cancel_because("closing time");
        turns(2).await;
        assert!(!task.is_finished(), "a task that goes on is waited for");
        task.cancel_because("now!");
        assert_eq!(task.await.unwrap_err().reason(), Some("now!"));
        assert_eq!(*reasons.borrow(), ["closing time", "now!"]);
    });
}

#[test]
fn a_cancel_beats_outputs_and_failures_of_those_it_reached() {
    for fails in [false, true] {
        doc(async move {
            let stubborn = async move {
                let _asked = catch(pending::<()>()).await;
                if fails { Err(Slipped(1)) } else { Ok(()) }
            };
            let task = spawn(try_gather([spawn(stubborn)]));
            turns(2).await;
            task.cancel();
            assert!(task.await.unwrap_err().is_cancelled(), "fails: {fails}");
        });
    }
}

#[test]
fn a_scope_around_it_that_ends_asks_the_tasks_and_what_comes_after_the_scope_goes_on() {
    doc(async {
        let (log, say) = log();
        let (scope, canceller) = scope(gather([spawn(tidy(1, say.clone()))]));
        let task = spawn(async move {
            assert!(scope.await.is_err());
            say("after the scope");
        });
        turns(2).await;
        assert!(canceller.cancel(Cancelled::new()));
        task.await.unwrap();
        assert_eq!(*log.borrow(), ["asked", "cleaned up", "after the scope"]);
    });
}

#[test]
fn dropped_before_or_after_its_first_poll_it_aborts_the_tasks() {
    for polled in [false, true] {
        doc(async move {
            let (log, say) = log();
            let mut all = Box::pin(gather([spawn(tidy(1, say)), after(0, ())]));
            turns(2).await;
            if polled {
                assert!(all.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
            }
            drop(all);
            turns(3).await;
            assert!(log.borrow().is_empty(), "nobody was asked");
            assert_eq!(all_tasks().len(), 1);
        });
    }
}

#[test]
fn who_gathers_many_that_have_ended_gives_way_meanwhile() {
    doc(async {
        let polls = || current().unwrap().polls;
        let tasks: Vec<_> = (0..4 * OPERATIONS_MAX).map(|n| after(0, n)).collect();
        turns(2).await;
        let before = polls();
        assert_eq!(gather(tasks).await.unwrap(), (0..4 * OPERATIONS_MAX).collect::<Vec<_>>());
        assert_eq!(polls() - before, 3, "a whole budget in each of four polls");
    });
}

#[test]
fn each_end_is_looked_at_once_however_many_there_are() {
    doc(async {
        let gatherer = spawn(gather((0..1_000).map(|n| after(n, ()))));
        let task = gatherer.task().clone();
        gatherer.await.unwrap().unwrap();
        assert!(task.polls.get() <= 1_001, "one poll an end, and the first");
    });
}

#[test]
fn twenty_thousand_tasks_that_each_await_the_next_are_dropped_on_any_stack() {
    fn nested(left: usize, living: Living) -> Pin<Box<dyn Future<Output = ()>>> {
        Box::pin(async move {
            let _life = living.one();
            match left.checked_sub(1) {
                Some(left) => drop(gather([spawn(nested(left, living))]).await),
                None => pending().await,
            }
        })
    }
    let living = Living::default();
    let there = living.clone();
    doc(async move {
        let all = async |made| {
            while there.1.get() < made {
                yield_now().await;
            }
        };
        let task = spawn(nested(19_999, there.clone()));
        all(20_000).await;
        task.abort();
        assert_eq!((task.is_finished(), there.0.get()), (true, 0), "all were dropped before it returned");
        drop(spawn(nested(19_999, there.clone())));
        all(40_000).await; // and are dropped with their loop
    });
    assert_eq!((living.0.get(), living.1.get()), (0, 40_000));
}

#[test]
fn tasks_aborted_in_a_drop_are_dropped_in_their_order_however_deep() {
    fn nested(left: usize, say: impl Fn(&'static str) + Clone + 'static) -> Pin<Box<dyn Future<Output = ()>>> {
        Box::pin(async move {
            let Some(left) = left.checked_sub(1) else {
                let bell = |line| {
                    let say = say.clone();
                    spawn(async move {
                        let _bell = Bell(move || say(line));
                        pending::<()>().await
                    })
                };
                return drop(gather([bell("first"), bell("second"), bell("third")]).await);
            };
            drop(gather([spawn(nested(left, say))]).await);
        })
    }
    for depth in [0, 30, 31, 32, 33, 70] {
        doc(async move {
            let (log, say) = log();
            let task = spawn(nested(depth, say));
            turns(2 * depth + 3).await;
            task.abort();
            assert_eq!(*log.borrow(), ["first", "second", "third"], "{depth} deep");
            assert!(task.await.unwrap_err().is_cancelled());
        });
    }
}
