//! `join`, `try_join`, `race`.

use super::*;
use crate::budget::{OPERATIONS_MAX, consume_budget};

/// Takes so many polls, says each, and would not survive one more.
fn steps<T>(n: usize, say: impl Fn(), output: T) -> impl Future<Output = T> {
    let (mut left, mut output) = (n, Some(output));
    poll_fn(move |cx| {
        say();
        left = left.checked_sub(1).expect("polled after it ended");
        if left == 0 {
            return Poll::Ready(output.take().expect("polled after it ended"));
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
}

#[test]
fn outputs_come_in_the_order_of_the_futures_whatever_the_order_of_their_ends() {
    doc(async {
        let before = current().unwrap().polls;
        assert_eq!(join((steps(3, || (), "a"), steps(1, || (), 2), steps(2, || (), 'c'))).await, ("a", 2, 'c'));
        assert_eq!(current().unwrap().polls - before, 2, "side by side: three polls, of which the first is this one");
        let many: Vec<_> = [3, 1, 2].map(|n| steps(n, || (), n)).into();
        assert_eq!(join(many).await, [3, 1, 2]);
        let eight =
            (async { 1 }, async { 2 }, async { 3 }, async { 4 }, async { 5 }, async { 6 }, async { 7 }, async { 8 });
        assert_eq!(join(eight).await, (1, 2, 3, 4, 5, 6, 7, 8));
    });
}

#[test]
fn each_poll_begins_one_further_and_who_has_ended_is_polled_no_more() {
    doc(async {
        for many in [false, true] {
            let (log, say) = log();
            let branch = |n, name: &'static str| {
                let say = say.clone();
                steps(n, move || say(name), ())
            };
            if many {
                join(vec![branch(4, "a"), branch(2, "b"), branch(4, "c")]).await;
            } else {
                join((branch(4, "a"), branch(2, "b"), branch(4, "c"))).await;
            }
            assert_eq!(log.borrow().concat(), "abc bca ca ac".replace(' ', ""));
        }
    });
}

#[test]
fn who_has_ended_is_dropped_at_once() {
    doc(async {
        let (log, say) = log();
        let (dropped, ends) = (say.clone(), say.clone());
        let quick = async move {
            let _bell = Bell(move || dropped("quick is dropped"));
            7
        };
        let slow = async {
            turns(2).await;
            ends("slow ends");
        };
        assert_eq!(join((slow, quick)).await, ((), 7));
        assert_eq!(*log.borrow(), ["quick is dropped", "slow ends"]);
    });
}

#[test]
fn a_branch_that_uses_up_the_budget_in_each_turn_does_not_keep_the_others_from_theirs() {
    doc(async {
        let done = Cell::new(false);
        let greedy = async {
            while !done.get() {
                consume_budget().await;
            }
        };
        let modest = async {
            for _ in 0..3 * OPERATIONS_MAX {
                consume_budget().await;
            }
            done.set(true); // never reached, if the greedy one always came first
        };
        join((greedy, modest)).await;
    });
}

#[test]
fn the_first_error_ends_the_wait_at_once_and_drops_the_others() {
    doc(async {
        let (log, say) = log();
        let bell = || {
            let say = say.clone();
            Bell(move || say("dropped"))
        };
        let (first, second, third) = (bell(), bell(), bell());
        let ends = async move {
            let _bell = first;
            Ok(7)
        };
        let slips = async move {
            let _bell = second;
            turns(1).await;
            Err::<u8, _>(Slipped(1))
        };
        let waits = async move {
            let _bell = third;
            pending::<Result<(), Slipped>>().await
        };
        assert_eq!(try_join((waits, slips, ends)).await, Err(Slipped(1)));
        assert_eq!(log.borrow().len(), 3);
        assert_eq!(try_join((async { Ok::<_, Slipped>(7) }, async { Ok("b") })).await, Ok((7, "b")));

        let slips = |n: u32| async move {
            turns(n as usize).await;
            if n == 0 { Ok(n) } else { Err(Slipped(n)) }
        };
        assert_eq!(try_join(vec![slips(0), slips(2), slips(1)]).await, Err(Slipped(1)), "the first in time");
        assert_eq!(try_join(vec![slips(0), slips(0)]).await, Ok(vec![0, 0]));
    });
}

#[test]
fn the_first_to_end_wins_and_the_others_are_dropped() {
    for many in [false, true] {
        doc(async move {
            let (log, say) = log();
            let runner = |n: usize| {
                let say = say.clone();
                async move {
                    let _bell = Bell(move || say("dropped"));
                    turns(n).await;
                    n
                }
            };
            let first = match many {
                true => race(vec![runner(5), runner(2), runner(9)]).await,
                false => race((runner(5), runner(2), runner(9))).await,
            };
            assert_eq!(first, 2);
            assert_eq!(log.borrow().len(), 3);
        });
    }
}

#[test]
fn a_race_in_a_loop_favours_nobody_and_goes_the_same_way_in_each_run() {
    let winners = || {
        doc(async {
            let mut winners = Vec::new();
            for _ in 0..3_000 {
                winners.push(race((async { 0 }, async { 1 }, async { 2 })).await);
            }
            winners
        })
    };
    let run = || std::thread::spawn(winners).join().unwrap();
    let first = run();
    for n in 0..3 {
        let wins = first.iter().filter(|&&winner| winner == n).count();
        assert!((900..1_100).contains(&wins), "{n} won {wins} of 3,000 races"); // six sigma are 155
    }
    for pair in [[0, 1], [1, 2], [2, 0], [0, 0]] {
        assert!(first.windows(2).any(|two| two == pair), "{pair:?} never came: they take turns");
    }
    assert_eq!(first, run());
}

#[test]
fn a_panic_of_one_is_the_tasks_and_takes_the_others_with_it() {
    for kind in 0..3 {
        doc(async move {
            let (log, say) = log();
            let neighbour = || {
                let say = say.clone();
                async move {
                    let _bell = Bell(move || say("dropped"));
                    pending::<Result<(), ()>>().await
                }
            };
            let panics = async {
                turns(1).await;
                it_slips();
                Ok(())
            };
            let all = (neighbour(), panics, neighbour());
            let task = match kind {
                0 => spawn(async {
                    let _never = join(all).await;
                }),
                1 => spawn(async {
                    let _never = try_join(all).await;
                }),
                _ => spawn(async {
                    let _never = race(all).await;
                }),
            };
            assert_eq!(task.await.unwrap_err().into_panic().downcast_ref(), Some(&"it slipped"));
            assert_eq!(*log.borrow(), ["dropped", "dropped"]);
        });
    }
}

#[test]
fn awaited_again_they_say_so() {
    doc(async {
        async fn twice(future: impl Future) -> JoinError {
            let mut future = pin!(future);
            future.as_mut().await;
            let again = std::panic::AssertUnwindSafe(|| {
                let _never = future.poll(&mut Context::from_waker(Waker::noop()));
            });
            let panic = std::panic::catch_unwind(again).unwrap_err();
            spawn(async { std::panic::resume_unwind(panic) }).await.unwrap_err()
        }
        let says = |error: JoinError| error.to_string().ends_with("a join or a race was awaited again: it yields once");
        assert!(says(twice(join((async {}, async {}))).await));
        assert!(says(twice(try_join((pending::<Result<(), ()>>(), async { Err::<(), _>(()) }))).await));
        assert!(says(twice(race((pending(), async {}))).await));
    });
}

#[test]
fn of_no_futures_all_have_ended_and_none_can_win() {
    doc(async {
        let none: Vec<std::future::Ready<Result<(), ()>>> = Vec::new();
        assert!(join(none.clone()).await.is_empty());
        assert_eq!(try_join(none.clone()).await, Ok(vec![]));
        let panic = std::panic::catch_unwind(|| drop(race(none))).unwrap_err();
        assert_eq!(panic.downcast_ref(), Some(&"a race of no futures would never end"));
    });
}

#[test]
fn each_branch_that_stands_in_a_catch_takes_a_cancel_and_the_others_go_on() {
    doc(async {
        let (log, say) = log();
        let task = spawn(async move {
            let cleans = |line| {
                let say = say.clone();
                async move {
                    let asked = catch(pending::<()>()).await;
                    turns(1).await;
                    say(line);
                    asked.is_err()
                }
            };
            join((cleans("first"), cleans("second"), after(4, ()))).await
        });
        turns(2).await;
        task.cancel();
        let (first, second, third) = task.await.unwrap();
        assert!(first && second && third.is_ok());
        assert_eq!(log.borrow().len(), 2);
    });
}

#[test]
fn a_loser_that_cleans_up_is_dropped_with_the_request_that_it_took() {
    doc(async {
        let (log, say) = log();
        let task = spawn(async move { race((tidy(9, say), turns(4))).await });
        turns(2).await;
        task.cancel();
        turns(1).await;
        let counted = task.cancelling();
        task.await.unwrap();
        assert_eq!((counted, &log.borrow()[..]), (1, &["asked"][..]));
    });
}

#[test]
fn it_takes_hardly_more_room_than_its_futures() {
    async fn large() -> usize {
        let room = [1_u8; 4096];
        turns(1).await;
        room.len()
    }
    let alone = size_of_val(&large());
    for together in [
        size_of_val(&join((large(), large()))),
        size_of_val(&race((large(), large()))),
        size_of_val(&try_join((async { Ok::<_, ()>(large().await) }, async { Ok::<_, ()>(large().await) }))),
    ] {
        assert!((2 * alone..2 * alone + 128).contains(&together), "{together} bytes for two of {alone}");
    }
}
