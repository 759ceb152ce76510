//! What cancelling promises, one fact a test.
//!
//! Everything happens in turns that `yield_now` counts: nobody sleeps.

use std::cell::{Cell, RefCell};
use std::future::{Future, pending, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use super::*;
use crate::{all_tasks, doc, spawn, yield_now};

mod histories;

pub(crate) type Log = Rc<RefCell<Vec<&'static str>>>;

pub(crate) fn log() -> (Log, impl Fn(&'static str) + Clone) {
    let log = Log::default();
    let to = log.clone();
    (log, move |line| to.borrow_mut().push(line))
}

pub(crate) async fn turns(n: usize) {
    for _ in 0..n {
        yield_now().await;
    }
}

/// Says when it is dropped.
pub(crate) struct Bell<F: Fn()>(pub(crate) F);

impl<F: Fn()> Drop for Bell<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

#[test]
fn a_task_that_catches_runs_its_clean_up_and_ends_with_its_own_output() {
    doc(async {
        let (log, say) = log();
        let task = spawn(async move {
            let caught = catch(pending::<()>()).await;
            say("caught");
            turns(3).await;
            say("cleaned up");
            caught.unwrap_err().reason().map(str::to_owned)
        });
        turns(1).await;
        assert!(task.cancel_because("closing time"));
        assert!(!task.is_finished(), "it was asked, no more");
        assert_eq!(task.cancelling(), 1);
        assert_eq!(task.await.unwrap().as_deref(), Some("closing time"));
        assert_eq!(*log.borrow(), ["caught", "cleaned up"]);
    });
}

#[test]
fn where_nothing_catches_the_task_is_dropped_before_cancel_returns() {
    doc(async {
        let (log, say) = log();
        let task = spawn(async move {
            let _bell = Bell(move || say("dropped"));
            pending::<()>().await;
        });
        turns(1).await;
        assert!(task.cancel());
        assert_eq!(*log.borrow(), ["dropped"]);
        assert!(task.is_finished());
        assert!(!task.cancel(), "it has ended");
        assert!(task.await.unwrap_err().is_cancelled());
    });
}

#[test]
fn cancelled_before_its_first_poll_the_body_never_runs() {
    doc(async {
        let (log, say) = log();
        let task = spawn(async move {
            say("ran");
            drop(catch(pending::<()>()).await);
        });
        assert!(task.cancel());
        assert!(task.await.unwrap_err().is_cancelled());
        assert!(log.borrow().is_empty());
    });
}

#[test]
fn the_innermost_catch_takes_it_and_the_outer_one_hears_of_it_only_by_propagation() {
    for propagates in [false, true] {
        doc(async move {
            let (log, say) = log();
            let task = spawn(async move {
                let outer = catch(async {
                    let inner = catch(pending::<()>()).await;
                    say("inner");
                    turns(2).await;
                    if propagates {
                        inner.unwrap_err().propagate().await;
                    }
                })
                .await;
                say(if outer.is_err() { "outer" } else { "swallowed" });
            });
            turns(1).await;
            task.cancel();
            task.await.unwrap();
            assert_eq!(*log.borrow(), ["inner", if propagates { "outer" } else { "swallowed" }]);
        });
    }
}

#[test]
fn propagated_past_the_last_catch_it_ends_the_task_as_cancelled_with_its_reason() {
    doc(async {
        let task = spawn(async {
            let Err(cancelled) = catch(pending::<()>()).await else { return };
            turns(1).await;
            cancelled.propagate().await;
        });
        turns(1).await;
        task.cancel_because("closing time");
        let error = task.await.unwrap_err();
        assert!(error.is_cancelled());
        assert_eq!(error.reason(), Some("closing time"));
    });
}

#[test]
fn a_second_cancel_reaches_what_the_clean_up_awaits() {
    doc(async {
        let (log, say) = log();
        let task = spawn(async move {
            drop(catch(pending::<()>()).await);
            say("first");
            drop(catch(pending::<()>()).await);
            say("second");
        });
        turns(1).await;
        task.cancel();
        turns(1).await;
        task.cancel();
        turns(1).await;
        assert_eq!((task.is_finished(), task.cancelling()), (true, 2));
        assert_eq!(*log.borrow(), ["first", "second"]);
    });
}

#[test]
fn two_cancels_before_the_next_turn_are_delivered_as_one() {
    doc(async {
        let task = spawn(async {
            drop(catch(pending::<()>()).await);
            turns(3).await;
            "cleaned up"
        });
        turns(1).await;
        task.cancel();
        task.cancel();
        assert_eq!(task.cancelling(), 2);
        assert_eq!(task.await.unwrap(), "cleaned up");
    });
}

#[test]
fn a_task_that_cancels_itself_goes_on_to_its_next_suspension() {
    doc(async {
        let (log, say) = log();
        let handle: Rc<RefCell<Option<JoinHandle<()>>>> = Rc::default();
        let own = handle.clone();
        let task = spawn(async move {
            own.borrow().as_ref().unwrap().cancel();
            say("still runs");
            let caught = catch(yield_now()).await;
            say(if caught.is_err() { "caught" } else { "missed" });
        });
        *handle.borrow_mut() = Some(task);
        turns(3).await;
        assert_eq!(*log.borrow(), ["still runs", "caught"]);
    });
}

#[test]
fn a_task_that_cancels_itself_and_ends_without_suspending_has_its_output() {
    doc(async {
        let handle: Rc<RefCell<Option<JoinHandle<u32>>>> = Rc::default();
        let own = handle.clone();
        let task = spawn(async move {
            own.borrow().as_ref().unwrap().cancel();
            7
        });
        *handle.borrow_mut() = Some(task);
        turns(1).await;
        let task = handle.borrow_mut().take().unwrap();
        assert_eq!(task.await.unwrap(), 7);
    });
}

#[test]
fn what_was_granted_in_the_turn_of_the_cancel_is_dropped_unseen() {
    doc(async {
        let (log, say) = log();
        let go = Rc::new(Cell::new(false));
        let gate = go.clone();
        let task = spawn(async move {
            let gate = poll_fn(|_| if gate.get() { Poll::Ready(Bell(|| say("given back"))) } else { Poll::Pending });
            catch(gate).await.is_err()
        });
        turns(1).await;
        go.set(true); // ready, had it been polled
        task.cancel();
        assert!(task.await.unwrap(), "the cancel counts");
        assert!(log.borrow().is_empty(), "and the gate was not asked");
    });
}

#[test]
fn a_catch_that_is_not_polled_any_more_does_not_swallow_the_request() {
    doc(async {
        let task = spawn(async {
            let mut kept = pin!(catch(pending::<()>()));
            let once = poll_fn(|cx| {
                assert!(kept.as_mut().poll(cx).is_pending());
                Poll::Ready(())
            });
            once.await;
            pending::<()>().await; // and `kept` is never polled again
        });
        turns(1).await;
        assert!(task.cancel());
        assert!(task.await.unwrap_err().is_cancelled());
    });
}

#[test]
fn a_catch_that_is_dropped_before_it_takes_the_request_leaves_it_to_the_one_around() {
    doc(async {
        let go = Rc::new(Cell::new(false));
        let flag = go.clone();
        let task = spawn(async move {
            let outer = catch(async {
                {
                    let mut inner = pin!(catch(pending::<()>()));
                    poll_fn(|cx| {
                        if flag.get() {
                            return Poll::Ready(()); // the other branch of a select, polled first
                        }
                        assert!(inner.as_mut().poll(cx).is_pending());
                        Poll::Pending
                    })
                    .await;
                }
                pending::<()>().await;
            });
            outer.await.is_err()
        });
        turns(1).await;
        go.set(true);
        task.cancel();
        assert!(task.await.unwrap());
    });
}

#[test]
fn all_innermost_catches_are_asked() {
    doc(async {
        let task = spawn(async {
            let (mut a, mut b) = (pin!(catch(pending::<()>())), pin!(catch(pending::<()>())));
            let (mut a_over, mut b_over) = (false, false);
            poll_fn(|cx| {
                a_over = a_over || a.as_mut().poll(cx).is_ready();
                b_over = b_over || b.as_mut().poll(cx).is_ready();
                if a_over && b_over { Poll::Ready(()) } else { Poll::Pending }
            })
            .await;
        });
        turns(1).await;
        task.cancel();
        task.await.unwrap();
    });
}

#[test]
fn a_scope_is_ended_alone_and_the_task_goes_on() {
    doc(async {
        let (scope, canceller) = scope(pending::<()>());
        let task = spawn(async move {
            let ended = scope.await;
            turns(1).await;
            ended.is_err()
        });
        turns(1).await;
        assert!(canceller.cancel(Cancelled::new()));
        assert_eq!(task.cancelling(), 0, "the task was not asked");
        assert!(task.await.unwrap());
        assert!(!canceller.cancel(Cancelled::new()));
    });
}

#[test]
fn a_catch_in_a_scope_takes_the_scopes_request_and_hands_it_back_by_propagation() {
    doc(async {
        let (log, say) = log();
        let (scope, canceller) = scope(async move {
            let Err(cancelled) = catch(pending::<()>()).await else { return };
            turns(2).await;
            say("cleaned up");
            cancelled.propagate().await;
        });
        let task = spawn(scope);
        turns(1).await;
        canceller.cancel(Cancelled::because("too late"));
        assert_eq!(task.await.unwrap().unwrap_err().reason(), Some("too late"));
        assert_eq!(*log.borrow(), ["cleaned up"]);
    });
}

#[test]
fn a_cancel_of_the_task_passes_through_a_scope() {
    doc(async {
        let (scope, _canceller) = scope(async { catch(pending::<()>()).await.is_err() });
        let task = spawn(async move { scope.await.unwrap() });
        turns(1).await;
        task.cancel();
        assert!(task.await.unwrap());
        let (scope, _canceller) = super::scope(pending::<()>());
        let task = spawn(async move { scope.await.is_err() });
        turns(1).await;
        task.cancel();
        assert!(task.await.unwrap_err().is_cancelled(), "a scope is no catch");
    });
}

#[test]
fn a_scope_that_cuts_a_clean_up_short_hands_on_what_the_clean_up_had_taken() {
    doc(async {
        let (log, say) = log();
        let (scope, canceller) = scope(async {
            drop(catch(pending::<()>()).await);
            pending::<()>().await; // a clean-up without an end
        });
        let task = spawn(async move {
            let outer = catch(async { scope.await.is_err() }).await;
            say(if outer.is_err() { "the task was asked" } else { "swallowed" });
        });
        turns(1).await;
        task.cancel_because("closing time");
        turns(1).await;
        canceller.cancel(Cancelled::because("too late"));
        task.await.unwrap();
        assert_eq!(*log.borrow(), ["the task was asked"]);
    });
}

#[test]
fn an_outer_scopes_request_outlives_an_inner_scopes_end() {
    doc(async {
        let (inner, end_inner) = scope(async {
            drop(catch(pending::<()>()).await);
            pending::<()>().await;
        });
        let (outer, end_outer) = scope(async move {
            let _ended = inner.await;
            pending::<()>().await; // goes on after the inner one, if it may
        });
        let task = spawn(outer);
        turns(1).await;
        end_outer.cancel(Cancelled::because("outer"));
        turns(1).await;
        end_inner.cancel(Cancelled::because("inner"));
        assert_eq!(task.await.unwrap().unwrap_err().reason(), Some("outer"));
    });
}

#[test]
fn of_two_requests_to_one_catch_the_one_from_further_out_counts_in_either_order() {
    for whole_first in [false, true] {
        doc(async move {
            let (scope, canceller) = scope(async {
                let Err(cancelled) = catch(pending::<()>()).await else { return };
                turns(1).await;
                cancelled.propagate().await;
            });
            let task = spawn(async move { scope.await.is_err() });
            turns(1).await;
            if whole_first {
                task.cancel();
            }
            canceller.cancel(Cancelled::new());
            if !whole_first {
                task.cancel();
            }
            assert!(task.await.unwrap_err().is_cancelled());
        });
    }
}

#[test]
fn handed_on_in_the_turn_it_was_taken_a_request_reaches_the_next_catch_and_the_end() {
    doc(async {
        let (log, say) = log();
        let task = spawn(async move {
            let outer = catch(async {
                let Err(inner) = catch(pending::<()>()).await else { return };
                inner.propagate().await;
            });
            let Err(outer) = outer.await else { return };
            say("outer");
            outer.propagate().await;
        });
        turns(1).await;
        task.cancel();
        assert!(task.await.unwrap_err().is_cancelled());
        assert_eq!(*log.borrow(), ["outer"]);
    });
}

#[test]
fn a_scope_that_takes_its_own_request_does_not_hide_one_that_nobody_took() {
    doc(async {
        let (scope, canceller) = scope(pending::<()>());
        let task = spawn(async move {
            let mut deaf = pin!(catch(pending::<()>()));
            let polled_once = poll_fn(|cx| {
                assert!(deaf.as_mut().poll(cx).is_pending());
                Poll::Ready(())
            });
            polled_once.await;
            let _ended = scope.await;
            pending::<()>().await;
        });
        turns(1).await;
        task.cancel();
        canceller.cancel(Cancelled::new());
        turns(2).await;
        assert!(task.is_finished());
    });
}

#[test]
fn two_thousand_scopes_of_one_task_may_be_asked_in_one_turn() {
    doc(async {
        let ends = Rc::new(Cell::new(0));
        let (scopes, cancellers): (Vec<_>, Vec<_>) = (0..2_000).map(|_| scope(catch(pending::<()>()))).unzip();
        let counts = ends.clone();
        let task = spawn(async move {
            for ended in crate::join(scopes).await {
                let asked = ended.expect("a catch in the scope has it");
                counts.set(counts.get() + usize::from(asked.is_err()));
            }
        });
        turns(1).await;
        assert!(cancellers.iter().all(|canceller| canceller.cancel(Cancelled::new())));
        task.await.unwrap();
        assert_eq!(ends.get(), 2_000);
    });
}

#[test]
fn asked_before_its_first_poll_a_scope_runs_nothing() {
    doc(async {
        let (log, say) = log();
        let (scope, canceller) = scope(async move { say("ran") });
        assert!(canceller.cancel(Cancelled::new()));
        assert!(scope.await.is_err());
        assert!(log.borrow().is_empty());
    });
}

#[test]
fn a_catch_may_move_to_another_task_and_is_asked_there() {
    doc(async {
        let caught = Rc::new(RefCell::new(Some(Box::pin(catch(pending::<()>())))));
        let there = caught.clone();
        let first = spawn(async move {
            let mut it = there.borrow_mut().take().unwrap();
            poll_fn(|cx| {
                assert!(it.as_mut().poll(cx).is_pending());
                Poll::Ready(())
            })
            .await;
            *there.borrow_mut() = Some(it);
            pending::<()>().await;
        });
        turns(1).await;
        let second = spawn(async move {
            let it = caught.borrow_mut().take().unwrap();
            it.await.is_err()
        });
        turns(1).await;
        second.cancel();
        assert!(second.await.unwrap());
        assert!(!first.is_finished());
        assert!(first.cancel(), "nothing of it is left there");
        assert!(first.is_finished());
    });
}

#[test]
fn in_a_scope_a_shielded_task_goes_on_when_its_waiter_is_cancelled() {
    doc(async {
        let (log, say) = log();
        let task = spawn(async move {
            shield(async move {
                turns(3).await;
                say("saved");
            })
            .await
        });
        turns(1).await;
        task.cancel();
        assert!(task.is_finished());
        turns(4).await;
        assert_eq!(*log.borrow(), ["saved"]);
        assert_eq!(all_tasks().len(), 1);
    });
}

#[test]
fn a_cancel_of_the_task_is_not_lost_to_one_of_a_scope_in_the_same_turn() {
    for task_first in [false, true] {
        doc(async move {
            let (scope, canceller) = scope(async {
                let Err(cancelled) = catch(pending::<()>()).await else { return };
                turns(1).await;
                cancelled.propagate().await;
            });
            let task = spawn(async move { catch(scope).await.is_err() });
            turns(1).await;
            if task_first {
                task.cancel();
            }
            canceller.cancel(Cancelled::new());
            if !task_first {
                task.cancel();
            }
            assert!(task.await.unwrap(), "the outer catch hears of it");
        });
    }
}

#[test]
fn handed_on_in_the_turn_that_took_it_a_cancel_reaches_the_next_catch() {
    doc(async {
        let task = spawn(async {
            let outer = catch(async {
                let Err(cancelled) = catch(pending::<()>()).await else { return };
                cancelled.propagate().await;
            });
            outer.await.is_err()
        });
        turns(1).await;
        task.cancel();
        turns(4).await;
        assert!(task.is_finished());
        assert!(task.await.unwrap());
    });
}

#[test]
fn a_task_that_cancels_itself_where_it_takes_a_cancel_is_asked_again() {
    doc(async {
        let handle: Rc<RefCell<Option<JoinHandle<bool>>>> = Rc::default();
        let own = handle.clone();
        let task = spawn(async move {
            drop(catch(pending::<()>()).await);
            own.borrow().as_ref().unwrap().cancel();
            catch(turns(5)).await.is_err()
        });
        *handle.borrow_mut() = Some(task);
        turns(1).await;
        handle.borrow().as_ref().unwrap().cancel();
        turns(3).await;
        let task = handle.borrow_mut().take().unwrap();
        assert!(task.await.unwrap());
    });
}

#[test]
fn outside_a_loop_a_catch_is_the_future_alone() {
    let mut caught = pin!(catch(async { 7 }));
    let polled = caught.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    assert!(matches!(polled, Poll::Ready(Ok(7))));
}

/// Polls it once, and leaves it at that.
async fn poll_once<F: Future + Unpin>(future: &mut F) {
    let polled = poll_fn(|cx| Poll::Ready(Pin::new(&mut *future).poll(cx)));
    assert!(polled.await.is_pending());
}

#[test]
fn in_the_main_future_too_what_a_catch_does_not_take_goes_outwards() {
    doc(async {
        let (scope, canceller) = scope(async {
            let mut lies = Box::pin(catch(pending::<()>()));
            poll_once(&mut lies).await;
            pending::<()>().await;
        });
        let mut scope = Box::pin(scope);
        poll_once(&mut scope).await;
        canceller.cancel(Cancelled::because("too late"));
        assert_eq!(scope.await.unwrap_err().reason(), Some("too late"));
    });
}

#[test]
fn a_main_future_that_ends_its_scope_in_its_own_turn_lets_the_catch_in_it_clean_up() {
    doc(async {
        let asks = Rc::new(RefCell::new(None::<Canceller>));
        let own = asks.clone();
        let (scope, canceller) = scope(async move {
            own.take().unwrap().cancel(Cancelled::new());
            catch(yield_now()).await.is_err()
        });
        asks.replace(Some(canceller));
        assert!(scope.await.unwrap(), "the catch took it");
    });
}

#[test]
fn a_request_handed_on_to_a_catch_that_ends_in_that_turn_is_not_lost() {
    doc(async {
        let task = spawn(async {
            let mut handed_on = false;
            let asked = async {
                let Err(cancelled) = catch(pending::<()>()).await else { return };
                cancelled.propagate().await;
            };
            let mut first = Box::pin(catch(asked));
            let mut turn = 0;
            let race = poll_fn(|cx| {
                turn += 1;
                handed_on = turn == 2;
                assert!(first.as_mut().poll(cx).is_pending());
                if handed_on { Poll::Ready(()) } else { Poll::Pending }
            });
            race.await; // the other branch has won in the turn in which the inner catch hands on
            drop(first);
            pending::<()>().await;
        });
        turns(1).await;
        task.cancel();
        turns(3).await;
        assert!(task.is_finished());
    });
}

#[test]
fn a_scope_that_nobody_polls_keeps_what_it_was_asked() {
    doc(async {
        let (scope, canceller) = scope(pending::<()>());
        let go = Rc::new(Cell::new(false));
        let resumed = go.clone();
        let task = spawn(async move {
            let mut scope = Box::pin(scope);
            poll_once(&mut scope).await;
            while !resumed.get() {
                yield_now().await;
            }
            scope.await.is_err()
        });
        turns(1).await;
        assert!(canceller.cancel(Cancelled::new()));
        turns(3).await;
        assert!(canceller.cancel(Cancelled::new()), "it is not over");
        go.set(true);
        assert!(task.await.unwrap());
    });
}

#[test]
fn a_catch_that_was_begun_elsewhere_is_inside_whom_it_is_polled_by() {
    doc(async {
        let (log, say) = log();
        let task = spawn(async move {
            let mut inner = Box::pin(async {
                let caught = catch(pending::<()>()).await;
                say(if caught.is_err() { "inner" } else { "missed" });
                turns(2).await;
            });
            poll_once(&mut inner).await;
            let (scope, canceller) = scope(inner);
            let outer = catch(scope);
            spawn(async move { canceller.cancel(Cancelled::new()) });
            outer.await.unwrap().unwrap();
            say("it has cleaned up");
        });
        task.await.unwrap();
        assert_eq!(*log.borrow(), ["inner", "it has cleaned up"]);
    });
}

#[test]
fn what_a_sibling_of_the_scope_took_did_not_pass_the_scope() {
    doc(async {
        let (scope, canceller) = scope(async {
            let mut lies = Box::pin(catch(pending::<()>()));
            poll_once(&mut lies).await;
            pending::<()>().await;
        });
        let task = spawn(async move {
            let (mut scope, mut sibling) = (pin!(scope), pin!(catch(pending::<()>())));
            let (mut scope_over, mut sibling_over) = (false, false);
            poll_fn(|cx| {
                scope_over = scope_over || scope.as_mut().poll(cx).is_ready();
                sibling_over = sibling_over || sibling.as_mut().poll(cx).is_ready();
                if scope_over && sibling_over { Poll::Ready(()) } else { Poll::Pending }
            })
            .await;
        });
        turns(1).await;
        task.cancel();
        turns(2).await;
        canceller.cancel(Cancelled::new());
        turns(2).await;
        assert!(task.is_finished());
        task.await.expect("the sibling took the cancel, and the scope ended by its own");
    });
}

#[test]
fn a_scopes_request_is_not_lost_to_one_that_only_others_took() {
    doc(async {
        let (scope, canceller) = scope(async {
            let mut lies = Box::pin(catch(pending::<()>()));
            poll_once(&mut lies).await;
            pending::<()>().await;
        });
        let task = spawn(async move {
            let (mut scope, mut sibling) = (pin!(scope), pin!(catch(pending::<()>())));
            let mut scope_over = false;
            let mut sibling_over = false;
            poll_fn(|cx| {
                sibling_over = sibling_over || sibling.as_mut().poll(cx).is_ready();
                scope_over = scope_over || scope.as_mut().poll(cx).is_ready();
                if scope_over { Poll::Ready(()) } else { Poll::Pending }
            })
            .await;
        });
        turns(1).await;
        task.cancel(); // reaches the catch that lies in the scope, and the sibling, who takes it
        canceller.cancel(Cancelled::new());
        turns(4).await;
        assert!(task.is_finished(), "the scope was asked, too");
    });
}

#[test]
fn a_request_of_another_tasks_scope_is_not_taken_for_ones_own() {
    doc(async {
        let (theirs, canceller) = scope(async { catch(pending::<()>()).await.unwrap_err() });
        let first = spawn(async move { theirs.await.unwrap() });
        turns(1).await;
        canceller.cancel(Cancelled::because("theirs"));
        let foreign = first.await.unwrap();
        let second = spawn(async move {
            let (ours, _canceller) = scope(async { foreign.propagate().await });
            drop(ours.await);
        });
        assert!(second.await.unwrap_err().is_cancelled(), "nobody there had asked");
    });
}

#[test]
fn a_waker_that_panics_when_its_catch_is_asked_keeps_nobody_from_hearing_of_it() {
    use crate::tests::{Touch, hook};
    doc(async {
        for asks_itself in [true, false] {
            let task = spawn(async move {
                let bad = hook(|touch| assert!(touch != Touch::Wake, "a bad waker"));
                let mut first = Box::pin(catch(pending::<()>()));
                assert!(first.as_mut().poll(&mut Context::from_waker(&bad)).is_pending());
                if asks_itself {
                    assert!(crate::current().unwrap().abort_handle().cancel());
                }
                assert!(catch(pending::<()>()).await.is_err());
                first.await.is_err()
            });
            turns(1).await;
            assert!(asks_itself || task.cancel());
            turns(2).await;
            assert!(task.is_finished(), "asked by {}", if asks_itself { "itself" } else { "another" });
            assert!(task.await.unwrap());
        }
    });
}

#[test]
fn a_scope_that_the_waker_asks_while_it_is_cloned_ends() {
    use crate::tests::{Touch, hook};
    doc(async {
        let (scope, canceller) = scope(pending::<()>());
        let mut scope = Box::pin(scope);
        let hooked = hook(move |touch| {
            if touch == Touch::Clone {
                canceller.cancel(Cancelled::new());
            }
        });
        assert!(scope.as_mut().poll(&mut Context::from_waker(&hooked)).is_pending());
        turns(1).await;
        assert!(scope.await.is_err());
    });
}
