//! `as_completed` and `wait`: the rules of Python's functions of these names, each in a sentence.

use super::*;
use crate::budget::OPERATIONS_MAX;

#[test]
fn outcomes_come_in_the_order_of_the_ends_each_once_and_then_no_more() {
    doc(async {
        let last = after(3, "c");
        let id = last.id();
        let mut ended = as_completed([last, spawn(async { panic!("it slipped") }), after(1, "b")]);
        assert!(ended.next().await.unwrap().unwrap_err().is_panic());
        assert_eq!(ended.next().await.unwrap().unwrap(), "b");
        assert_eq!(ended.next_with_id().await.unwrap().unwrap(), (id, "c"));
        assert!(ended.is_empty() && ended.next().await.is_none() && ended.next().await.is_none());
    });
}

#[test]
fn tasks_that_had_ended_before_come_first_in_the_order_in_which_they_are_given() {
    doc(async {
        let (second, first, later) = (after(1, 2), after(0, 1), after(4, 3));
        turns(3).await;
        let mut ended = as_completed([later, second, first]);
        let mut order = Vec::new();
        while let Some(n) = ended.next().await {
            order.push(n.unwrap());
        }
        assert_eq!(order, [2, 1, 3]);
    });
}

#[test]
fn who_stops_early_leaves_the_rest_running_and_may_have_their_handles() {
    for keeps in [false, true] {
        doc(async move {
            let (log, say) = log();
            let slow = spawn(async move {
                turns(3).await;
                say("went on");
                "slow"
            });
            let mut ended = as_completed([slow, after(1, "quick"), after(1, "as quick")]);
            assert_eq!(ended.next().await.unwrap().unwrap(), "quick");
            if keeps {
                let rest = gather(ended.rest()).await.unwrap();
                assert_eq!(rest, ["slow", "as quick"], "also who has ended meanwhile");
            } else {
                drop(ended);
            }
            turns(5).await;
            assert_eq!(*log.borrow(), ["went on"]);
            assert_eq!(all_tasks().len(), 1);
        });
    }
}

#[test]
fn a_next_that_is_dropped_loses_no_outcome() {
    doc(async {
        let mut ended = as_completed((0..50).map(|n| after(n, n)));
        let mut sum = 0;
        loop {
            let impatient = poll_fn(|cx| {
                let polled = pin!(ended.next()).poll(cx);
                Poll::Ready(polled)
            });
            match impatient.await {
                Poll::Ready(Some(n)) => sum += n.unwrap(),
                Poll::Ready(None) => break,
                Poll::Pending => yield_now().await,
            }
        }
        assert_eq!(sum, 49 * 50 / 2);
    });
}

#[test]
fn a_wait_for_the_first_gives_all_that_have_ended_and_leaves_the_others_alone() {
    doc(async {
        let tasks = [after(9, 1), after(2, 2), after(2, 3)];
        let ids = tasks.each_ref().map(JoinHandle::id);
        let Waited { done, pending } = wait(tasks, When::FirstCompleted).await;
        let done: Vec<_> = done.into_iter().map(|(id, outcome)| (id, outcome.unwrap())).collect();
        assert_eq!(done, [(ids[1], 2), (ids[2], 3)], "those of one turn");
        assert_eq!((pending[0].cancelling(), watchers(&pending[0])), (0, 0));
        assert_eq!(gather(pending).await.unwrap(), [1]);
    });
}

#[test]
fn a_wait_for_the_first_exception_goes_on_after_outputs_and_cancellations() {
    doc(async {
        let ends = |n| after(n, if n == 3 { Err(Slipped(3)) } else { Ok(n) });
        let cancelled = spawn(pending());
        cancelled.cancel();
        let waited = wait([ends(9), ends(3), cancelled, ends(1)], When::FirstException(Result::is_err)).await;
        let kinds: Vec<_> =
            waited.done.iter().map(|(_, outcome)| outcome.as_ref().map_err(JoinError::is_cancelled)).collect();
        assert_eq!(kinds, [Err(true), Ok(&Ok(1)), Ok(&Err(Slipped(3)))], "in the order of their ends");
        assert_eq!(waited.pending.len(), 1);

        let panics = spawn(async { panic!("it slipped") });
        let waited = wait([after(3, ()), panics], When::FirstException(|()| false)).await;
        assert!(waited.done[0].1.as_ref().unwrap_err().is_panic());
        assert_eq!((waited.done.len(), waited.pending.len()), (1, 1));

        let waited = wait([after(3, ()), after(1, ())], When::FirstException(|()| false)).await;
        assert_eq!((waited.done.len(), waited.pending.len()), (2, 0), "if none fails, all");
    });
}

#[test]
fn a_wait_finds_at_once_what_was_there_before_it() {
    doc(async {
        let polls = || current().unwrap().polls;
        let (slipped, ended, later) = (after(0, Err(Slipped(1))), after(0, Ok(2)), after(9, Ok(3)));
        turns(2).await;
        let before = polls();
        let waited = wait([later, ended, slipped], When::FirstException(Result::is_err)).await;
        assert_eq!((waited.done.len(), waited.pending.len(), polls()), (2, 1, before));
        let waited = wait(waited.pending, When::FirstCompleted).await;
        assert_eq!(waited.done[0].1.as_ref().unwrap(), &Ok(3), "what is pending is waited for again");
    });
}

#[test]
fn a_wait_for_all_has_nobody_left_whatever_becomes_of_them() {
    doc(async {
        let waited =
            wait([after(3, ()), spawn(async { panic!("it slipped") }), after(1, ())], When::AllCompleted).await;
        let fine: Vec<_> = waited.done.iter().map(|(_, outcome)| outcome.is_ok()).collect();
        assert_eq!((fine, waited.pending.len()), (vec![false, true, true], 0));
        let waited = wait::<()>([], When::FirstCompleted).await;
        assert_eq!((waited.done.len(), waited.pending.len()), (0, 0), "of none there is nothing to wait for");
    });
}

#[test]
fn a_wait_that_runs_out_of_time_is_no_error_and_ends_nobody() {
    doc(async {
        let waited = wait([after(9, 1), after(1, 2)], When::AllCompleted).until(turns(4)).await;
        assert_eq!((waited.done.len(), waited.pending.len()), (1, 1));
        assert_eq!(gather(waited.pending).await.unwrap(), [1]);

        let waited = wait([after(1, 2)], When::AllCompleted).until(turns(9)).await;
        assert_eq!(waited.done.len(), 1);

        let ended = after(0, 1);
        turns(2).await;
        let waited = wait([ended, after(9, 2)], When::FirstCompleted).until(async {}).await;
        assert_eq!((waited.done.len(), waited.pending.len()), (1, 1), "with no time at all, what has ended counts");
    });
}

#[test]
fn a_wait_that_is_cut_off_goes_on_later_or_gives_back_what_it_has() {
    for goes_on in [false, true] {
        doc(async move {
            let task = spawn(async move {
                let mut waiting = wait([after(9, 1), after(1, 2)], When::AllCompleted);
                let _asked = catch(&mut waiting).await.unwrap_err();
                if goes_on {
                    return waiting.await;
                }
                waiting.stop()
            });
            turns(4).await;
            task.cancel();
            let waited = task.await.unwrap();
            assert_eq!((waited.done.len(), waited.pending.len()), if goes_on { (2, 0) } else { (1, 1) });
            for task in waited.pending {
                assert_eq!((task.cancelling(), task.await.unwrap()), (0, 1));
            }
        });
    }
}

#[test]
fn dropped_a_wait_lets_its_tasks_go_on() {
    for awaited in [false, true] {
        doc(async move {
            let (log, say) = log();
            let worker = spawn(async move {
                turns(5).await;
                say("went on");
            });
            let waiting = wait([worker], When::AllCompleted);
            if awaited {
                let task = spawn(waiting);
                turns(2).await;
                task.cancel();
                assert!(task.await.unwrap_err().is_cancelled());
            } else {
                drop(waiting);
            }
            turns(9).await;
            assert_eq!(*log.borrow(), ["went on"]);
        });
    }
}

#[test]
fn a_task_that_is_waited_for_again_and_again_keeps_nothing_of_that() {
    doc(async {
        let mut task = spawn(pending::<()>());
        for _ in 0..100 {
            let mut ended = as_completed([task]);
            assert!(pin!(ended.next()).poll(&mut Context::from_waker(Waker::noop())).is_pending());
            let waited = wait(ended.rest(), When::FirstCompleted).until(async {}).await;
            task = waited.pending.into_iter().next().unwrap();
        }
        assert_eq!(watchers(&task), 0);
        task.abort();
    });
}

#[test]
fn several_may_watch_one_task_and_who_lets_go_takes_nobody_with_it() {
    doc(async {
        let (log, say) = log();
        let task = after(4, 7);
        task.on_done(move || say("called"));
        let mut ended = as_completed([task]);
        let task = wait(ended.rest(), When::AllCompleted).until(turns(1)).await.pending.pop().unwrap();
        ended = as_completed([task]);
        assert_eq!(ended.next().await.unwrap().unwrap(), 7);
        turns(1).await;
        assert_eq!(*log.borrow(), ["called"]);
    });
}

#[test]
fn who_drains_many_ends_gives_way_meanwhile() {
    doc(async {
        let mut ended = as_completed((0..4 * OPERATIONS_MAX).map(|n| after(0, n)));
        turns(2).await;
        let before = current().unwrap().polls;
        while ended.next().await.is_some() {}
        assert_eq!(current().unwrap().polls - before, 3, "a whole budget in each of four polls");
    });
}

#[test]
fn the_task_that_asked_last_is_the_one_that_is_woken() {
    doc(async {
        let mut waiting = wait([after(2, ())], When::AllCompleted);
        assert!(Pin::new(&mut waiting).poll(&mut Context::from_waker(Waker::noop())).is_pending());
        assert_eq!(waiting.await.done.len(), 1); // it hangs if the first waker was kept
    });
}

#[test]
fn while_it_waits_it_says_for_whom() {
    doc(async {
        let (slow, quick) = (after(9, ()), after(0, ()));
        let (first, id) = (slow.id(), quick.id());
        let waiter = spawn(wait([slow, quick], When::AllCompleted));
        turns(3).await;
        let seen = all_tasks().into_iter().find(|task| task.id == waiter.id()).unwrap().waiting_for;
        assert_eq!(seen, waits::WaitReason::Join { task: first }, "not for {id}, which has ended");
        assert_eq!(waiter.await.unwrap().done.len(), 2);
    });
}

#[test]
fn an_outcome_of_which_the_callers_function_makes_a_panic_is_not_lost() {
    doc(async {
        let tasks = [after(0, Rc::new("a")), after(9, Rc::new("b"))];
        let mut waiting = wait(tasks, When::FirstException(|_| panic!("it slipped")));
        turns(1).await;
        let polled = std::panic::AssertUnwindSafe(|| poll_once(&mut waiting));
        assert!(std::panic::catch_unwind(polled).is_err());
        let waited = waiting.stop();
        assert_eq!((**waited.done[0].1.as_ref().unwrap(), waited.pending.len()), ("a", 1));
    });
}

fn poll_once<T>(waiting: &mut Wait<T>) -> bool {
    Pin::new(waiting).poll(&mut Context::from_waker(Waker::noop())).is_ready()
}
