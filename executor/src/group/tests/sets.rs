//! `JoinSet`, `AbortHandle`, `Shared`, `on_done`.

use super::*;

#[test]
fn a_set_yields_in_the_order_of_the_ends_whatever_the_end() {
    doc(async {
        let mut set = JoinSet::new();
        let first = set.spawn(async {
            turns(3).await;
            "last"
        });
        set.spawn(async { panic!("it slipped") });
        let third = set.spawn(pending::<&str>());
        set.insert(spawn(async {
            turns(1).await;
            "inserted"
        }));
        turns(1).await;
        third.abort();
        assert!(set.join_next().await.unwrap().unwrap_err().is_panic());
        assert_eq!(set.join_next().await.unwrap().unwrap_err().id(), third.id());
        assert_eq!(set.join_next().await.unwrap().unwrap(), "inserted");
        assert_eq!(set.join_next_with_id().await.unwrap().unwrap(), (first.id(), "last"));
        assert!(set.join_next().await.is_none());
    });
}

#[test]
fn a_task_that_had_ended_when_it_was_inserted_is_yielded_too() {
    doc(async {
        let task = spawn(async { 7 });
        turns(1).await;
        let mut set = JoinSet::new();
        set.insert(task);
        assert_eq!(set.try_join_next().unwrap().unwrap(), 7);
    });
}

#[test]
fn slots_are_used_again_and_never_mixed_up() {
    doc(async {
        let mut set = JoinSet::new();
        let mut sum = 0;
        for n in 0..1_000_u64 {
            set.spawn(async move {
                turns(n as usize % 7).await;
                n
            });
            if n % 3 == 0 {
                sum += set.join_next().await.unwrap().unwrap();
            }
        }
        while let Some(n) = set.join_next().await {
            sum += n.unwrap();
        }
        assert_eq!(sum, 999 * 1_000 / 2);
    });
}

#[test]
fn dropped_a_set_aborts_and_detached_its_tasks_go_on() {
    for detach in [false, true] {
        doc(async move {
            let (log, say) = log();
            let mut set = JoinSet::new();
            set.spawn(async move {
                turns(2).await;
                say("went on");
            });
            turns(1).await;
            if detach {
                set.detach_all();
                set.spawn(async {}); // in the slot of the one that was let go
            }
            drop(set);
            turns(3).await;
            assert_eq!(*log.borrow(), if detach { vec!["went on"] } else { vec![] });
            assert_eq!(all_tasks().len(), 1);
        });
    }
}

#[test]
fn shutdown_waits_for_the_clean_up() {
    doc(async {
        let (log, say) = log();
        let mut set = JoinSet::new();
        set.spawn(tidy(3, say.clone()));
        set.spawn(async {});
        turns(1).await;
        set.shutdown().await;
        say("shut down");
        assert_eq!(*log.borrow(), ["asked", "cleaned up", "shut down"]);
        assert!(set.is_empty());
    });
}

#[test]
fn the_last_one_that_asked_a_set_is_woken() {
    doc(async {
        let mut set = JoinSet::new();
        set.spawn(turns(2));
        let mut next = pin!(set.join_next());
        assert!(next.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        next.await.unwrap().unwrap(); // it hangs if the first waker was kept
    });
}

#[test]
fn an_abort_handle_may_go_anywhere_and_hits_nobody_else() {
    fn may_go_anywhere<T: Send + Sync + Copy>(value: T) -> T {
        value
    }
    doc(async {
        let ended = spawn(async {});
        let late = ended.abort_handle();
        ended.await.unwrap();
        let next = spawn(pending::<()>()); // in the same place of the table
        assert!(!may_go_anywhere(late).abort());
        assert!(!next.is_finished());
        let end = next.abort_handle();
        std::thread::spawn(move || assert!(end.cancel_because("from elsewhere"))).join().unwrap();
        assert_eq!(next.await.unwrap_err().reason(), Some("from elsewhere"));
    });
    let gone = doc(async { spawn(pending::<()>()).abort_handle() });
    assert!(!gone.abort(), "its loop is gone");
    doc(async move {
        let _others: Vec<_> = (0..100).map(|_| spawn(pending::<()>())).collect();
        assert!(!gone.abort());
        assert_eq!(all_tasks().len(), 101);
    });
}

#[test]
fn whoever_is_among_all_tasks_can_be_ended_but_main_that_is_polled_from_outside() {
    doc(async {
        let polite = spawn(async { catch(pending::<()>()).await.is_err() });
        let stubborn = spawn(async { drop((catch(pending::<()>()).await, pending::<()>().await)) });
        let (hasty, itself) = (spawn(pending::<()>()), spawn(async { current().unwrap().abort_handle().cancel() }));
        turns(1).await;
        assert!(itself.await.unwrap(), "it may ask itself, and end before it is asked");
        let seen = all_tasks();
        let ids: Vec<_> = seen.iter().map(|task| task.abort_handle().id()).collect();
        assert_eq!(ids[1..], [polite.id(), stubborn.id(), hasty.id()]);
        let (main, others) = seen.split_first().unwrap();
        assert!(!main.abort_handle().cancel() && !main.abort_handle().abort(), "block_on waits for its output");
        assert!(others.iter().all(|task| task.abort_handle().cancel_because("one for all")));
        turns(1).await;
        assert!(polite.await.unwrap());
        assert_eq!(hasty.await.unwrap_err().reason(), Some("one for all"));
        assert!(others[1].abort_handle().abort());
        assert!(stubborn.await.unwrap_err().is_cancelled());
        assert!(others.iter().all(|task| !task.abort_handle().cancel()), "what was seen is over");
    });
}

#[test]
fn an_abort_handle_of_a_task_that_ended_with_its_loop_never_reaches_the_loop_with_its_number() {
    let mut kept = None;
    doc(async { kept = Some(spawn(pending::<()>())) });
    let task = kept.unwrap();
    let late = task.abort_handle();
    assert!(task.is_finished());
    assert!(!late.abort() && !late.cancel());
}

#[test]
fn a_shared_output_is_yielded_to_all_as_often_as_they_ask() {
    doc(async {
        let mut first = spawn(async {
            turns(2).await;
            "output".to_owned()
        })
        .shared();
        let second = first.clone();
        let other = spawn(async move { second.await.unwrap() });
        assert!(first.result().is_none());
        assert_eq!((&mut first).await.unwrap(), "output");
        assert_eq!((&mut first).await.unwrap(), "output");
        assert_eq!(other.await.unwrap(), "output");
        let panicked = spawn(async { panic!("it slipped") }).shared();
        assert!(panicked.clone().await.unwrap_err().is_panic() && panicked.await.unwrap_err().is_panic());
    });
}

#[test]
fn a_shared_handle_that_stops_waiting_leaves_the_others_waiting() {
    doc(async {
        let shared = spawn(turns(3)).shared();
        let waiting: Vec<_> = (0..3).map(|_| spawn(shared.clone())).collect();
        turns(1).await;
        waiting[1].abort();
        for (n, task) in waiting.into_iter().enumerate() {
            assert_eq!(task.await.is_ok(), n != 1);
        }
    });
}

#[test]
fn done_calls_run_in_a_later_turn_in_their_order_also_after_a_cancel_and_on_a_done_task() {
    for cancelled in [false, true] {
        doc(async move {
            let (log, say) = log();
            let task = spawn(turns(if cancelled { 100 } else { 2 }));
            for line in ["first", "second"] {
                let say = say.clone();
                task.on_done(move || say(line));
            }
            let slips = task.id();
            task.on_done(move || panic!("a call of task {slips} slips, and hurts nobody"));
            turns(1).await;
            if cancelled {
                task.cancel();
                assert!(log.borrow().is_empty(), "not inside the cancel");
            }
            while !task.is_finished() {
                turns(1).await;
            }
            let late = say.clone();
            task.on_done(move || late("third"));
            turns(3).await;
            let last = say.clone();
            task.on_done(move || last("last"));
            assert_eq!(*log.borrow(), ["first", "second", "third"]);
            turns(1).await;
            assert_eq!(*log.borrow(), ["first", "second", "third", "last"]);
            assert_eq!(all_tasks().len(), 1);
        });
    }
}

#[test]
fn done_calls_of_a_detached_task_run_and_those_of_a_loop_that_ends_are_dropped() {
    let (log, say) = log();
    doc(async {
        let ends = say.clone();
        spawn(async {}).on_done(move || ends("called"));
        let bell = say;
        spawn(pending::<()>()).on_done(move || bell("never"));
        turns(3).await;
    });
    assert_eq!(*log.borrow(), ["called"]);
    assert_eq!(Rc::strong_count(&log), 1, "nothing is kept");
}

/// What ends every task it finds is no reason for a call to be lost, neither of one left before nor of one left after.
#[test]
fn done_calls_run_though_somebody_ends_all_tasks_before_their_turn() {
    let (log, say) = log();
    doc(async {
        let task = spawn(async { drop(catch(pending::<()>()).await) });
        for line in ["first", "second"] {
            let say = say.clone();
            task.on_done(move || say(line));
        }
        turns(1).await;
        let end_all =
            || all_tasks().iter().for_each(|task| assert_eq!(task.abort_handle().cancel(), task.name != "main"));
        end_all();
        while !task.is_finished() {
            turns(1).await;
        }
        task.on_done(move || say("third"));
        end_all();
        turns(1).await;
    });
    assert_eq!(*log.borrow(), ["first", "second", "third"]);
}

#[test]
fn a_done_call_that_holds_its_own_tasks_handle_keeps_nothing_when_the_loop_ends() {
    let (log, say) = log();
    doc(async {
        let task = Rc::new(spawn(pending::<()>()));
        let itself = task.clone();
        task.on_done(move || say(if itself.is_finished() { "never" } else { "never, and too early" }));
        turns(1).await;
    });
    assert_eq!((log.borrow().len(), Rc::strong_count(&log)), (0, 1));
}

#[test]
fn the_done_call_of_a_task_that_is_ended_outside_its_loop_runs_at_once() {
    let (log, say) = log();
    let crank = crate::Executor::new(|| {}).unwrap();
    let task = crank.spawn(pending::<()>());
    task.on_done(move || say("called"));
    assert!(task.abort());
    assert_eq!(*log.borrow(), ["called"]);
}

/// The six interleavings of a cancel with what it races: here a task's end, with three that wait for it.
#[test]
fn a_waiter_is_cancelled_around_the_end_it_waits_for_and_the_others_hear_of_it() {
    for case in 1..=6 {
        doc(async move {
            let gate = Rc::new(Cell::new(None::<Waker>));
            let opened = gate.clone();
            let task = spawn(async move {
                let mut asleep = true;
                poll_fn(|cx| {
                    opened.set(Some(cx.waker().clone()));
                    if std::mem::take(&mut asleep) { Poll::Pending } else { Poll::Ready(7) }
                })
                .await
            })
            .shared();
            let waiting: Vec<_> = (0..3).map(|_| spawn(task.clone())).collect();
            let hit = if case == 3 { 1 } else { 0 };
            if case == 1 {
                waiting[hit].cancel();
            }
            turns(1).await;
            let end = || gate.take().unwrap().wake();
            match case {
                1 => {}
                2 | 3 => drop(waiting[hit].cancel()),
                4 => {
                    end();
                    waiting[hit].cancel();
                }
                5 => {
                    waiting[hit].cancel();
                    end();
                }
                _ => {
                    end();
                    waiting[hit].cancel();
                    gate.take().into_iter().for_each(Waker::wake);
                }
            }
            gate.take().into_iter().for_each(Waker::wake);
            for (n, waiter) in waiting.into_iter().enumerate() {
                assert_eq!(waiter.await.map(|seven| seven.unwrap()).ok(), (n != hit).then_some(7), "case {case}");
            }
            assert_eq!(all_tasks().len(), 1);
        });
    }
}
