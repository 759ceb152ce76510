//! `group`: the rules of Python's `TaskGroup`, each in a sentence.

use super::*;

type Fails<T = ()> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

#[test]
fn the_block_waits_for_all_children_and_returns_the_bodys_value() {
    doc(async {
        let (log, say) = log();
        let value = group(async |g| {
            for (n, line) in [(3, "slow"), (1, "quick")] {
                let say = say.clone();
                g.spawn(async move {
                    turns(n).await;
                    say(line);
                })?;
            }
            Ok::<_, GroupClosed>(7)
        });
        assert_eq!(value.await.unwrap(), 7);
        assert_eq!(*log.borrow(), ["quick", "slow"]);
        assert_eq!(all_tasks().len(), 1);
    });
}

#[test]
fn a_group_without_children_is_its_body() {
    doc(async {
        assert_eq!(group(async |_| Ok::<_, Slipped>(7)).await.unwrap(), 7);
        let failed = group(async |_| Err::<(), _>(Slipped(1))).await.unwrap_err();
        assert_eq!(slips(&failed), [1]);
    });
}

#[test]
fn the_body_may_borrow_and_results_are_read_from_the_handles_afterwards() {
    doc(async {
        let mut handles = Vec::new();
        group(async |g| {
            for n in 0..3_u32 {
                handles.push(g.spawn(async move { Ok::<_, Slipped>(n * n) }).unwrap());
            }
        })
        .await
        .unwrap();
        let mut squares = Vec::new();
        for handle in handles {
            squares.push(handle.await.unwrap().unwrap());
        }
        assert_eq!(squares, [0, 1, 4]);
    });
}

#[test]
fn a_failing_child_cancels_its_siblings_and_what_the_body_awaits_and_all_are_waited_for() {
    doc(async {
        let (log, say) = log();
        let failed = group(async |g| {
            g.spawn(tidy(3, say.clone())).unwrap();
            g.spawn(async {
                turns(1).await;
                Err::<(), _>(Slipped(1))
            })
            .unwrap();
            tidy(1, |line| say(if line == "asked" { "body asked" } else { "body cleaned up" })).await;
            say("never");
        });
        let failed = failed.await.unwrap_err();
        assert_eq!(slips(&failed), [1]);
        assert_eq!(failed.errors().len(), 1, "that the others were cancelled is no failure");
        assert_eq!(*log.borrow(), ["asked", "body asked", "body cleaned up", "cleaned up"]);
        assert_eq!(all_tasks().len(), 1);
    });
}

#[test]
fn a_failing_body_cancels_the_children() {
    doc(async {
        let (log, say) = log();
        let failed = group(async |g| {
            g.spawn(tidy(2, say.clone())).unwrap();
            turns(1).await;
            Err::<(), _>(Slipped(1))
        });
        assert_eq!(slips(&failed.await.unwrap_err()), [1]);
        assert_eq!(*log.borrow(), ["asked", "cleaned up"]);
    });
}

#[test]
fn failures_during_the_clean_up_are_all_in_the_error_in_their_order() {
    doc(async {
        let failed = group(async |g| {
            for n in [2, 3] {
                g.spawn(async move {
                    let _asked = catch(pending::<()>()).await;
                    turns(5 - n as usize).await;
                    Err::<(), _>(Slipped(n))
                })
                .unwrap();
            }
            turns(1).await;
            Err::<(), _>(Slipped(1))
        });
        assert_eq!(slips(&failed.await.unwrap_err()), [1, 3, 2]);
    });
}

/// What Python's loop does: the group hears of an end through a call that stands in line behind whoever was ready.
#[test]
fn children_that_were_ready_when_one_failed_have_their_turn_before_all_are_asked() {
    for body_is_over in [false, true] {
        doc(async move {
            let (log, say) = log();
            let (dropped, ran) = (say.clone(), say);
            let failed = group(async |g| {
                let fails = |n| async move { Err::<(), _>(Slipped(n)) };
                g.spawn(fails(1)).unwrap();
                g.spawn(async { it_slips() }).unwrap();
                let siblings = g.clone();
                g.spawn(async move {
                    // Taken, since nobody was asked yet, and asked before its first poll.
                    let late = siblings.spawn(async move { ran("never runs") });
                    turns(1).await;
                    late.map(drop)
                })
                .unwrap();
                g.spawn(async move {
                    let _bell = Bell(move || dropped("waiting one is dropped"));
                    pending::<()>().await;
                })
                .unwrap();
                g.spawn(fails(3)).unwrap();
                if !body_is_over {
                    pending::<()>().await;
                }
            });
            let failed = failed.await.unwrap_err();
            assert_eq!((slips(&failed), failed.errors().len()), (vec![1, 3], 3), "{failed}");
            assert!(failed.errors()[1].downcast_ref::<JoinError>().unwrap().is_panic());
            assert_eq!(*log.borrow(), ["waiting one is dropped"]);
            assert_eq!(all_tasks().len(), 1);
        });
    }
}

#[test]
fn a_child_that_fails_in_the_turn_of_another_and_before_it_was_asked_counts_too() {
    doc(async {
        let failed = group(async |g| {
            let go = Rc::new(Cell::new(false));
            for n in 1..=2 {
                let go = go.clone();
                let gate = poll_fn(move |cx| {
                    cx.waker().wake_by_ref();
                    if go.get() { Poll::Ready(()) } else { Poll::Pending }
                });
                g.spawn(async move {
                    // Done in the same turn as the request: what nobody catches is dropped, what is caught may fail.
                    let _either = catch(gate).await;
                    Err::<(), _>(Slipped(n))
                })
                .unwrap();
            }
            turns(1).await;
            go.set(true);
        });
        assert_eq!(slips(&failed.await.unwrap_err()), [1, 2]);
    });
}

#[test]
fn a_child_that_is_cancelled_alone_is_no_failure() {
    doc(async {
        let (log, say) = log();
        let outcome = group(async |g| {
            let child = g.spawn(pending::<()>()).unwrap();
            let hasty = g.spawn(async { catch(pending::<()>()).await }).unwrap();
            turns(1).await;
            child.cancel();
            hasty.cancel();
            assert!(child.await.unwrap_err().is_cancelled());
            assert!(hasty.await.unwrap().is_err(), "it returned what it was asked");
            g.spawn(async move { say("the group goes on") }).unwrap();
        });
        outcome.await.unwrap();
        assert_eq!(*log.borrow(), ["the group goes on"]);
    });
}

#[test]
fn a_panic_of_a_child_is_a_failure_with_its_task_and_its_payload() {
    doc(async {
        let mut handle = None;
        let failed = group(async |g| {
            handle = Some(g.spawn_named("crank", async { it_slips() }).unwrap());
            pending::<()>().await;
        });
        let mut errors = failed.await.unwrap_err().into_errors();
        let panic = errors.pop().unwrap().downcast::<JoinError>().unwrap();
        assert!(panic.to_string().ends_with("(crank) panicked: it slipped"), "{panic}");
        assert_eq!(panic.into_panic().downcast_ref(), Some(&"it slipped"));
        assert!(handle.unwrap().await.unwrap().is_err());
    });
}

#[test]
fn a_child_that_panics_when_it_is_dropped_at_its_end_has_failed() {
    struct Slippery;
    impl Drop for Slippery {
        fn drop(&mut self) {
            panic!("slippery");
        }
    }
    /// Gives its value, and holds on to what is slippery until it is dropped.
    struct Holds(Slippery);
    impl Future for Holds {
        type Output = ();
        fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
            let _ = &self.0;
            Poll::Ready(())
        }
    }
    doc(async {
        let failed = group(async |g| {
            g.spawn(Holds(Slippery))?;
            Ok::<_, GroupClosed>(())
        });
        let errors = failed.await.unwrap_err();
        assert!(errors.errors()[0].to_string().ends_with("panicked: slippery"), "{errors}");
    });
}

#[test]
fn a_panic_of_the_body_goes_on_when_the_children_have_ended() {
    let (log, say) = log();
    let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        doc(group(async |g| {
            g.spawn(tidy(2, say)).unwrap();
            turns(1).await;
            it_slips();
        }))
    }));
    assert_eq!(panic.unwrap_err().downcast_ref(), Some(&"it slipped"));
    assert_eq!(*log.borrow(), ["asked", "cleaned up"]);
}

#[test]
fn children_may_spawn_more_also_when_the_body_has_ended() {
    doc(async {
        let (log, say) = log();
        group(async |g| {
            let siblings = g.clone();
            g.spawn(async move {
                turns(3).await; // the body is over
                siblings.spawn(async move { say("grandchild") }).map(drop)
            })
            .map(drop)
        })
        .await
        .unwrap();
        assert_eq!(*log.borrow(), ["grandchild"]);
    });
}

#[test]
fn spawning_into_a_group_that_is_ending_or_over_is_refused_and_the_future_dropped() {
    doc(async {
        let (log, say) = log();
        let mut kept = None;
        let failed = group(async |g| {
            kept = Some(g.clone());
            let siblings = g.clone();
            let say = say.clone();
            g.spawn(async move {
                let _asked = catch(pending::<()>()).await;
                let bell = Bell(move || say("dropped"));
                let refused = siblings.spawn(async move {
                    let _bell = bell;
                    pending::<()>().await;
                });
                assert_eq!(refused.unwrap_err().to_string(), "the group is ending: it takes no more tasks");
            })
            .unwrap();
            turns(1).await;
            Err::<(), _>(Slipped(1))
        });
        assert_eq!(slips(&failed.await.unwrap_err()), [1]);
        assert_eq!(*log.borrow(), ["dropped"]);
        assert!(kept.unwrap().spawn(async {}).is_err(), "it is over");
    });
}

#[test]
fn a_child_that_ends_the_group_before_its_first_await_ends_itself_too() {
    doc(async {
        let (log, say) = log();
        group(async |g| {
            let own = g.clone();
            g.spawn(async move {
                assert!(own.cancel());
                say("goes on to its first await");
                pending::<()>().await;
            })
            .unwrap();
            pending::<()>().await;
        })
        .await
        .unwrap();
        assert_eq!(*log.borrow(), ["goes on to its first await"]);
    });
}

#[test]
fn ended_early_the_group_returns_the_value_and_no_error_when_all_have_ended() {
    doc(async {
        let (log, say) = log();
        let value = group(async |g| {
            g.spawn(tidy(2, say.clone()))?;
            let end = g.clone();
            g.spawn(async move {
                turns(1).await;
                assert!(end.exit("first"));
                assert!(!end.exit("second"));
            })?;
            pending::<Result<&str, GroupClosed>>().await
        });
        assert_eq!(value.await.unwrap(), "first");
        assert_eq!(*log.borrow(), ["asked", "cleaned up"]);
    });
}

#[test]
fn a_failure_while_the_group_ends_early_is_an_error_all_the_same() {
    doc(async {
        let failed = group(async |g| {
            g.spawn(async {
                let _asked = catch(pending::<()>()).await;
                Err::<(), _>(Slipped(1))
            })
            .unwrap();
            turns(1).await;
            g.cancel();
        });
        assert_eq!(slips(&failed.await.unwrap_err()), [1]);
    });
}

#[test]
fn a_body_that_awaits_a_child_the_group_has_cancelled_adds_no_error() {
    doc(async {
        let value = group(async |g| {
            let child = g.spawn(pending::<()>())?;
            let end = g.clone();
            g.spawn(async move {
                end.exit(7);
            })?;
            let _swallowed = catch(pending::<()>()).await;
            child.await?.ok();
            Fails::Ok(8)
        });
        assert_eq!(value.await.unwrap(), 7);
    });
}

#[test]
fn a_cancel_from_outside_ends_all_children_and_goes_on_when_they_have_ended() {
    for body_is_over in [false, true] {
        doc(async move {
            let (log, say) = log();
            let task = spawn(async move {
                let cleaning = say.clone();
                let ended = catch(async {
                    let outcome = group(async |g| {
                        g.spawn(tidy(3, cleaning)).unwrap();
                        if !body_is_over {
                            pending::<()>().await;
                        }
                    });
                    let _none = outcome.await;
                    say("never");
                })
                .await;
                say("outside");
                ended.unwrap_err().reason().map(str::to_owned)
            });
            turns(2).await;
            task.cancel_because("closing time");
            assert_eq!(task.await.unwrap().as_deref(), Some("closing time"));
            assert_eq!(*log.borrow(), ["asked", "cleaned up", "outside"]);
        });
    }
}

#[test]
fn where_nothing_outside_catches_the_cancel_the_task_ends_as_cancelled() {
    doc(async {
        let task = spawn(group(async |g| {
            g.spawn(pending::<()>()).unwrap();
            pending::<()>().await;
        }));
        turns(2).await;
        task.cancel_because("closing time");
        assert_eq!(task.await.unwrap_err().reason(), Some("closing time"));
        assert_eq!(all_tasks().len(), 1);
    });
}

#[test]
fn a_body_that_returns_the_cancellation_it_caught_is_cancelled_with_it() {
    doc(async {
        let task = spawn(group(async |g| {
            g.spawn(pending::<()>()).unwrap();
            catch(pending::<()>()).await
        }));
        turns(2).await;
        task.cancel_because("closing time");
        assert_eq!(task.await.unwrap_err().reason(), Some("closing time"));
    });
}

#[test]
fn a_body_that_returns_the_cancellation_of_its_own_group_adds_nothing_to_it() {
    doc(async {
        let value = group(async |g| {
            let end = g.clone();
            g.spawn(async move {
                turns(1).await;
                end.cancel();
            })
            .unwrap();
            catch(pending::<()>()).await
        });
        value.await.unwrap();
    });
}

#[test]
fn failures_during_an_outer_cancel_are_returned_and_the_cancel_comes_again() {
    doc(async {
        let task = spawn(async {
            let failed = group(async |g| {
                g.spawn(async {
                    let _asked = catch(pending::<()>()).await;
                    Err::<(), _>(Slipped(1))
                })
                .unwrap();
                pending::<()>().await;
            });
            let failed = failed.await.unwrap_err();
            let again = catch(turns(9)).await.unwrap_err();
            (slips(&failed), again.reason().map(str::to_owned))
        });
        turns(2).await;
        task.cancel_because("closing time");
        assert_eq!(task.await.unwrap(), (vec![1], Some("closing time".to_owned())));
    });
}

/// In one turn, in every order: a child fails, the task is cancelled, a scope around the group is over. Three groups deep.
#[test]
fn whatever_else_happens_in_its_turn_a_cancel_from_outside_is_seen_outside() {
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        for body_catches in [false, true] {
            doc(async move {
                let fail = Rc::new(Cell::new(None::<Waker>));
                let failing = fail.clone();
                let (scope, canceller) = scope(async move {
                    group(async |g| {
                        g.spawn(pending::<()>()).unwrap();
                        let failed = group(async |g| {
                            g.spawn(pending::<()>()).unwrap();
                            let failed = group(async |g| {
                                g.spawn(async move {
                                    let mut asleep = true;
                                    poll_fn(|cx| {
                                        failing.set(Some(cx.waker().clone()));
                                        if std::mem::take(&mut asleep) { Poll::Pending } else { Poll::Ready(()) }
                                    })
                                    .await;
                                    Err::<(), _>(Slipped(1))
                                })
                                .unwrap();
                                if body_catches {
                                    let caught = catch(pending::<()>()).await;
                                    turns(1).await;
                                    caught.unwrap_err().propagate().await;
                                }
                                pending::<()>().await;
                            });
                            failed.await
                        });
                        failed.await
                    })
                    .await
                });
                let task = spawn(async move {
                    let ended = catch(async {
                        let _in_scope = scope.await;
                        turns(9).await;
                    });
                    ended.await.is_err()
                });
                turns(3).await;
                for step in order {
                    match step {
                        0 => fail.take().unwrap().wake(),
                        1 => assert!(task.cancel()),
                        _ => assert!(canceller.cancel(Cancelled::because("too late"))),
                    }
                }
                turns(30).await;
                assert!(task.is_finished(), "order {order:?}, body catches: {body_catches}");
                assert!(task.await.unwrap(), "order {order:?}, body catches: {body_catches}");
                assert_eq!(all_tasks().len(), 1);
            });
        }
    }
}

#[test]
fn when_the_body_has_ended_a_failure_still_cancels_the_siblings_in_the_same_turn() {
    doc(async {
        let (log, say) = log();
        let failed = group(async |g| {
            let dropped = say.clone();
            g.spawn(async move {
                let _bell = Bell(move || dropped("sibling dropped"));
                pending::<()>().await;
            })
            .unwrap();
            g.spawn(async move {
                turns(3).await;
                let _bell = Bell(move || say("the failing one is over"));
                Err::<(), _>(Slipped(1))
            })
            .unwrap();
        });
        assert_eq!(slips(&failed.await.unwrap_err()), [1]);
        assert_eq!(*log.borrow(), ["the failing one is over", "sibling dropped"]);
    });
}

#[test]
fn a_group_in_a_child_fails_as_one_error_of_the_outer_group() {
    doc(async {
        let failed = group(async |g| {
            g.spawn(group(async |g| {
                g.spawn(async { Err::<(), _>(Slipped(1)) }).unwrap();
                pending::<()>().await;
            }))
            .unwrap();
            pending::<()>().await;
        });
        let failed = failed.await.unwrap_err();
        assert_eq!(failed.to_string(), "1 failure\n└─ 1 failure\n   └─ slipped at 1");
    });
}

#[test]
fn an_error_group_is_split_by_type_through_all_its_levels() {
    doc(async {
        let failed = group(async |g| {
            g.spawn(group(async |g| {
                g.spawn(async {
                    let _asked = catch(pending::<()>()).await;
                    Err::<(), _>(Slipped(2))
                })
                .unwrap();
                g.spawn(async { Err::<(), _>("no more\noil") }).unwrap();
                pending::<()>().await;
            }))
            .unwrap();
            let _asked = catch(pending::<()>()).await;
            Err::<(), _>(Slipped(3))
        });
        let failed = failed.await.unwrap_err();
        let tree = "2 failures\n├─ 2 failures\n│  ├─ no more\n│  │  oil\n│  └─ slipped at 2\n└─ slipped at 3";
        assert_eq!(failed.to_string(), tree);
        let (slipped, others) = failed.split::<Slipped>();
        assert_eq!(slipped.unwrap().to_string(), "2 failures\n├─ 1 failure\n│  └─ slipped at 2\n└─ slipped at 3");
        assert_eq!(others.unwrap().errors().len(), 1);
    });
}

#[test]
fn dropped_a_group_aborts_its_children() {
    doc(async {
        let (log, say) = log();
        let task = spawn(async move {
            group(async |g| {
                g.spawn(async move {
                    let _bell = Bell(move || say("dropped"));
                    let _never = catch(pending::<()>()).await;
                    pending::<()>().await;
                })
                .unwrap();
                pending::<()>().await;
            })
            .await
        });
        turns(2).await;
        task.abort();
        assert_eq!(*log.borrow(), ["dropped"]);
        assert_eq!(all_tasks().len(), 1);
    });
}

#[test]
fn a_child_may_abort_the_task_that_holds_its_group() {
    doc(async {
        let holder: Rc<RefCell<Option<JoinHandle<_>>>> = Rc::default();
        let there = holder.clone();
        let task = spawn(group(async |g| {
            g.spawn(async move { assert!(there.borrow().as_ref().unwrap().abort()) }).unwrap();
            g.spawn(pending::<()>()).unwrap();
            pending::<()>().await;
        }));
        *holder.borrow_mut() = Some(task);
        turns(3).await;
        assert!(holder.borrow().as_ref().unwrap().is_finished());
        assert_eq!(all_tasks().len(), 1);
    });
}

#[test]
fn a_second_cancel_while_the_children_clean_up_changes_nothing_for_them() {
    doc(async {
        let (log, say) = log();
        let task = spawn(group(async |g| {
            g.spawn(tidy(4, say)).unwrap();
            pending::<()>().await;
        }));
        turns(2).await;
        task.cancel();
        turns(2).await;
        task.cancel_because("again");
        assert_eq!(task.await.unwrap_err().reason(), Some("again"));
        assert_eq!(*log.borrow(), ["asked", "cleaned up"]);
    });
}

#[test]
fn while_it_waits_for_its_children_it_says_for_whom() {
    doc(async {
        let mut child = None;
        let task = spawn(async move {
            group(async |g| {
                child = Some(g.spawn(turns(5)).unwrap().id());
            })
            .await
            .unwrap();
            child
        });
        let id = task.id();
        turns(3).await;
        let waiting = all_tasks().into_iter().find(|task| task.id == id).unwrap().waiting_for;
        let child = task.await.unwrap().unwrap();
        assert_eq!(waiting, waits::WaitReason::Join { task: child });
    });
}

/// The six interleavings of a cancel with what it races: here the end of the last child, three groups waiting.
#[test]
fn a_cancel_and_the_last_childs_end_meet_in_every_way_and_nothing_is_lost() {
    for case in 1..=6 {
        doc(async move {
            let gates: Vec<_> = (0..3).map(|_| Rc::new(Cell::new(None::<Waker>))).collect();
            let ended = Rc::new(Cell::new(0));
            let groups: Vec<_> = gates
                .iter()
                .map(|gate| {
                    let (gate, ended) = (gate.clone(), ended.clone());
                    spawn(group(async |g| {
                        let _bell = Bell({
                            let ended = ended.clone();
                            move || ended.set(ended.get() + 1)
                        });
                        g.spawn(async move {
                            let _bell = Bell(move || ended.set(ended.get() + 1));
                            let mut asleep = true;
                            poll_fn(|cx| {
                                gate.set(Some(cx.waker().clone()));
                                if std::mem::take(&mut asleep) { Poll::Pending } else { Poll::Ready(()) }
                            })
                            .await;
                        })
                        .map(drop)
                    }))
                })
                .collect();
            if case == 1 {
                groups[0].cancel(); // before its first poll: neither body nor child ever is
            }
            turns(3).await;
            let open = |n: usize| gates[n].take().unwrap().wake();
            match case {
                1 => {}
                2 => drop(groups[0].cancel()),
                3 => drop(groups[1].cancel()),
                4 => {
                    open(0);
                    groups[0].cancel();
                }
                5 => {
                    groups[0].cancel();
                    open(0);
                }
                _ => {
                    open(0);
                    groups[0].cancel();
                    open(1);
                }
            }
            turns(3).await;
            let hit = if case == 3 { 1 } else { 0 };
            assert!(groups[hit].is_finished(), "case {case}");
            for n in 0..3 {
                if n != hit
                    && let Some(gate) = gates[n].take()
                {
                    assert!(case == 6 && n == 1 || !groups[n].is_finished(), "case {case}: the others wait on");
                    gate.wake();
                }
            }
            for (n, task) in groups.into_iter().enumerate() {
                assert_eq!(task.await.is_err(), n == hit, "case {case}: group {n}");
            }
            assert_eq!(ended.get(), if case == 1 { 4 } else { 6 }, "case {case}: bodies and children");
            assert_eq!(all_tasks().len(), 1);
        });
    }
}

#[test]
fn a_group_ends_though_somebody_ends_all_tasks_in_the_turn_in_which_it_fails() {
    doc(async {
        let failed = group(async |g| {
            g.spawn(async { Err::<(), _>(Slipped(1)) }).unwrap();
            drop(spawn(async {
                for task in all_tasks() {
                    task.abort_handle().abort();
                }
            }));
            pending::<Result<(), Slipped>>().await
        });
        let (mut failed, mut polls) = (pin!(failed), 0);
        let ended = poll_fn(|cx| {
            polls += 1;
            assert!(polls < 10, "nobody ends what the body awaits");
            cx.waker().wake_by_ref();
            failed.as_mut().poll(cx)
        });
        assert_eq!(slips(&ended.await.unwrap_err()), [1]);
    });
}
