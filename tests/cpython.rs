//! The rules of CPython's own tests for asyncio, as far as nobody else here tells them; and the list of all.
//! CPython has four hundred tests of tasks, groups, time-outs, queues, locks and runners, and many came of somebody's
//! trouble. `cpython.md` names every one, with the test of ours that holds its rule, or with why there is nothing to hold.
//!
//! ```text
//!   cpython.md   | SemaphoreTests.test_acquire_hang | `one_granted_and_then_cancelled_passes_it_on_in_the_same_turn` |
//!                                                               └── must be a test in our sources: else the story fails
//! ```
//!
//! Told on paused clocks.   Next: `cpython.md`; `asyncio`, for where Windlass does otherwise on purpose.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::HashSet;
use std::fs;
use std::future::pending;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use windlass::cancel::{catch, shield};
use windlass::sync::queue::Shutdown;
use windlass::sync::{Barrier, Condition, Event, Mutex, Queue, Semaphore, oneshot};
use windlass::task::{
    AbortHandle, JoinHandle, TaskGroup, When, all_tasks, as_completed, current, gather, gather_all, wait, yield_now,
};
use windlass::time::{Instant, scope, sleep, timeout_at, wait_for};
use windlass::{group, spawn, task_local};
use windlass_tests::run_paused;

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

async fn fails(after_ms: u64, how: &'static str) -> Result<(), Failure> {
    sleep(ms(after_ms)).await;
    Err(how.into())
}

fn failures(error: &windlass::task::ErrorGroup) -> Vec<String> {
    error.errors().iter().map(ToString::to_string).collect()
}

// ---------------------------------------------------------------------------------------------------------------- the list

/// The names of all tests of the workspace: of functions with an attribute that says so, and of those that a macro makes
/// of the names in its body.
fn tests_in(folder: &Path, found: &mut HashSet<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            tests_in(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let mut is_test = false;
            for line in fs::read_to_string(&path).unwrap().lines().map(str::trim) {
                let function = line.trim_start_matches("async ").strip_prefix("fn ");
                if let (true, Some(function)) = (is_test, function) {
                    found.extend(function.split(['(', '<']).next().map(str::to_owned));
                }
                let is_attribute = line.starts_with("#[") || line.starts_with("//");
                is_test = is_attribute && (is_test || line == "#[test]" || line.starts_with("#[windlass::test"));
            }
        }
    }
}

/// What is wrong with the list: their tests that stand in it twice, lines that name none of ours and give no reason, files
/// that have another number of lines than their heading says, and names of ours that are no tests.
fn faults(list: &str, ours: &HashSet<String>) -> Vec<String> {
    let (mut faults, mut theirs, mut left) = (Vec::new(), HashSet::new(), None::<(&str, i64)>);
    for line in list.lines().chain(["## , 0 tests"]) {
        if let Some(heading) = line.strip_prefix("## ") {
            faults
                .extend(left.filter(|(_, left)| *left != 0).map(|(file, left)| format!("{file}: {left} are missing")));
            let (file, count) = heading.split_once(", ").expect("a heading has a file and a number");
            left = Some((file, count.split(' ').next().unwrap().parse().expect("a number of tests")));
            continue;
        }
        let Some((their, our)) = line.strip_prefix("| ").and_then(|row| row.split_once(" | ")) else { continue };
        let Some((file, left)) = left.as_mut().filter(|_| their.contains(".test_")) else { continue };
        *left -= 1;
        if !theirs.insert(format!("{file} {their}")) {
            faults.push(format!("{file}: {their} is there twice"));
        }
        let named: Vec<&str> = our.split('`').skip(1).step_by(2).collect();
        faults
            .extend(named.iter().filter(|name| !ours.contains(**name)).map(|name| format!("{their}: no test {name}")));
        if named.is_empty() && our.trim_end_matches(" |").is_empty() {
            faults.push(format!("{their}: neither a test nor a reason"));
        }
    }
    faults
}

#[test]
fn every_test_that_the_list_names_is_there_and_none_of_cpythons_is_missing() {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let mut ours = HashSet::new();
    for folder in ["executor/src", "reactor/src", "net/src", "src", "examples/lessons", "tests"] {
        tests_in(&here.join("..").join(folder), &mut ours);
    }
    let list = fs::read_to_string(here.join("cpython.md")).unwrap();
    assert_eq!(list.lines().filter(|line| line.starts_with("## test_")).count(), 7, "files of CPython's");
    assert_eq!(faults(&list, &ours), [""; 0]);
}

#[test]
fn a_list_with_a_fault_is_found_out() {
    let ours = HashSet::from(["a_fact".to_owned()]);
    let list = |rows: &str| faults(&format!("## test_facts.py, 2 tests\n| theirs | ours |\n|---|---|\n{rows}"), &ours);
    assert_eq!(list("| T.test_a | `a_fact` |\n| T.test_b | there is nothing like it |"), [""; 0]);
    assert_eq!(list("| T.test_a | `a_fact` |"), ["test_facts.py: 1 are missing"]);
    assert_eq!(list("| T.test_a | `a_fact` |\n| T.test_a | `a_fact` |"), ["test_facts.py: T.test_a is there twice"]);
    assert_eq!(list("| T.test_a | `a_lie` |\n| T.test_b | `a_fact` |"), ["T.test_a: no test a_lie"]);
    assert_eq!(list("| T.test_a |  |\n| T.test_b | `a_fact` |"), ["T.test_a: neither a test nor a reason"]);
}

// ------------------------------------------------------------------------------------------------------------------- tasks

/// asyncio raises. Here it is not told from any other wait that has no end, but it can be seen, and ended.
#[test]
fn a_task_that_awaits_itself_says_so_and_can_be_ended() {
    run_paused(async {
        let own: Rc<RefCell<Option<JoinHandle<()>>>> = Rc::default();
        let handle = own.clone();
        let task = spawn(async move {
            let mut itself = handle.take().unwrap();
            (&mut itself).await.unwrap();
        });
        let (id, end) = (task.id(), task.abort_handle());
        own.replace(Some(task));
        yield_now().await;
        let seen = all_tasks().into_iter().find(|task| task.id == id).unwrap();
        assert_eq!(seen.waiting_for.to_string(), format!("task {id} to end"));
        assert!(end.cancel());
        assert_eq!(all_tasks().len(), 1);
    });
}

#[test]
fn a_task_and_the_one_that_it_awaits_are_cancelled_in_one_turn_and_both_end() {
    for inner_first in [false, true] {
        run_paused(async move {
            let inner = spawn(pending::<()>());
            let end = inner.abort_handle();
            let outer = spawn(inner);
            yield_now().await;
            let asked = if inner_first { [end.cancel(), outer.cancel()] } else { [outer.cancel(), end.cancel()] };
            assert_eq!(asked, [true; 2]);
            assert!(outer.await.unwrap_err().is_cancelled());
            assert_eq!(all_tasks().len(), 1);
        });
    }
}

#[test]
fn a_task_that_is_in_line_when_it_is_cancelled_does_not_have_its_turn() {
    run_paused(async {
        let turns = Rc::new(Cell::new(0));
        let counted = turns.clone();
        let task = spawn(async move {
            loop {
                counted.set(counted.get() + 1);
                yield_now().await;
            }
        });
        yield_now().await;
        assert!(task.cancel());
        assert!(!task.cancel(), "it has ended");
        yield_now().await;
        assert_eq!(turns.get(), 1);
        assert!(task.await.unwrap_err().is_cancelled());
    });
}

#[test]
fn a_task_that_panics_while_it_cleans_up_has_panicked_and_was_not_cancelled() {
    run_paused(async {
        let task = spawn(async {
            let _asked = catch(pending::<()>()).await;
            panic!("in the clean-up");
        });
        yield_now().await;
        assert!(task.cancel() && !task.is_finished());
        let error = task.await.unwrap_err();
        assert!(error.is_panic() && !error.is_cancelled(), "{error}");
    });
}

#[test]
#[expect(clippy::async_yields_async, reason = "it is what this is about")]
fn a_tasks_output_may_be_a_task_which_goes_on() {
    run_paused(async {
        let outer = spawn(async {
            spawn(async {
                sleep(ms(100)).await;
                "test"
            })
        });
        let inner = outer.await.unwrap();
        assert!(!inner.is_finished(), "nobody has awaited it");
        assert_eq!(inner.await.unwrap(), "test");
    });
}

#[test]
fn two_tasks_in_turn_are_each_the_current_one_in_their_own() {
    run_paused(async {
        let (there, here) = oneshot::channel();
        let (back, again) = oneshot::channel();
        let me = || current().unwrap().id;
        let first = spawn(async move {
            let before = me();
            here.await.unwrap();
            back.send(()).unwrap();
            (before, me())
        });
        let second = spawn(async move {
            let before = me();
            there.send(()).unwrap();
            again.await.unwrap();
            (before, me())
        });
        let ids = [first.id(), second.id()];
        let seen = gather([first, second]).await.unwrap();
        assert_eq!(seen, ids.map(|id| (id, id)));
    });
}

task_local! {
    static REQUEST: u32;
}

#[test]
fn a_call_at_a_tasks_end_is_outside_of_every_scope_and_changes_none() {
    run_paused(REQUEST.scope(7, async {
        let seen = Rc::new(OnceCell::new());
        let tell = seen.clone();
        let task = spawn(async {});
        task.on_done(move || tell.set(REQUEST.try_with(|request| *request).ok()).unwrap());
        task.await.unwrap();
        yield_now().await;
        assert_eq!((seen.get(), REQUEST.get()), (Some(&None), 7));
    }));
}

#[test]
fn a_gather_that_is_shielded_goes_on_when_its_waiter_is_cancelled() {
    run_paused(async {
        let done = Rc::new(Cell::new(0));
        let (add, count) = (done.clone(), |n, add: &Rc<Cell<u32>>| add.set(add.get() + n));
        let waiter = spawn(async move {
            let children = [1, 2].map(|n| {
                let add = add.clone();
                spawn(async move {
                    sleep(ms(100)).await;
                    count(n, &add);
                })
            });
            shield(gather(children)).await.unwrap().unwrap();
            count(100, &add);
        });
        sleep(ms(50)).await;
        assert!(waiter.cancel());
        assert!(waiter.await.unwrap_err().is_cancelled());
        sleep(ms(100)).await;
        assert_eq!(done.get(), 3);
    });
}

#[test]
fn a_cancelled_gather_of_tasks_that_shield_others_leaves_those_alone() {
    run_paused(async {
        let children = [1, 2].map(|n| {
            spawn(async move {
                sleep(ms(100)).await;
                n
            })
            .shared()
        });
        let waiting = children.clone().map(spawn);
        let ends = waiting.each_ref().map(JoinHandle::abort_handle);
        let gatherer = spawn(gather(waiting));
        sleep(ms(50)).await;
        gatherer.cancel();
        assert!(gatherer.await.unwrap_err().is_cancelled());
        assert!(ends.iter().all(|end| !end.cancel()), "who waited has ended");
        let [one, two] = children;
        assert_eq!((one.await.unwrap(), two.await.unwrap()), (1, 2));
    });
}

#[test]
fn what_ends_in_the_millisecond_in_which_a_wait_is_over_is_done() {
    run_paused(async {
        for (limit_ms, expected) in [(99, (0, 2)), (100, (1, 1)), (110, (1, 1)), (150, (2, 0))] {
            let (start, naps) = (Instant::now(), [150, 100].map(|n| spawn(sleep(ms(n)))));
            yield_now().await; // their timers were set before that of the wait, and fire before it
            let waited = wait(naps, When::AllCompleted).until(sleep(ms(limit_ms))).await;
            assert_eq!((waited.done.len(), waited.pending.len()), expected, "{limit_ms} ms");
            assert_eq!(start.elapsed(), ms(limit_ms));
            gather(waited.pending).await.unwrap();
        }
    });
}

#[test]
fn one_deadline_around_each_next_is_a_time_out_for_all() {
    run_paused(async {
        let naps = [150, 100].map(|n| {
            spawn(async move {
                sleep(ms(n)).await;
                n
            })
        });
        let (start, mut ended) = (Instant::now(), as_completed(naps));
        let soon = start + ms(120);
        assert_eq!(timeout_at(soon, ended.next()).await.unwrap().unwrap().unwrap(), 100);
        assert!(timeout_at(soon, ended.next()).await.is_err());
        assert_eq!(start.elapsed(), ms(120));
        assert_eq!(ended.next().await.unwrap().unwrap(), 150, "it went on");
        assert!(timeout_at(start, ended.next()).await.unwrap().is_none(), "all have been yielded");
    });
}

// ------------------------------------------------------------------------------------------------------------------ groups

#[test]
fn the_children_of_a_body_that_fails_before_its_first_await_never_run() {
    run_paused(async {
        let ran = Rc::new(Cell::new(false));
        let tell = ran.clone();
        let outcome = group(async |g| {
            g.spawn(async move { tell.set(true) })?;
            Err::<(), Failure>("at once".into())
        });
        assert_eq!(failures(&outcome.await.unwrap_err()), ["at once"]);
        assert!(!ran.get());
    });
}

#[test]
fn a_child_of_the_outer_group_that_fails_ends_the_group_in_its_body_which_adds_nothing() {
    run_paused(async {
        let start = Instant::now();
        let outcome = group(async |outer| {
            outer.spawn(fails(100, "outer"))?;
            group(async |inner| inner.spawn(fails(10_000, "inner")).map(drop)).await?;
            Ok::<_, Failure>(())
        });
        assert_eq!(failures(&outcome.await.unwrap_err()), ["outer"]);
        assert_eq!(start.elapsed(), ms(100));
    });
}

#[test]
fn the_failures_of_a_group_in_the_body_are_one_failure_of_the_outer_group() {
    run_paused(async {
        let start = Instant::now();
        let outcome = group(async |outer| {
            outer.spawn(fails(10_000, "outer"))?;
            group(async |inner| inner.spawn(fails(100, "inner")).map(drop)).await?;
            Ok::<_, Failure>(())
        });
        let failed = outcome.await.unwrap_err();
        assert_eq!(failed.to_string(), "1 failure\n└─ 1 failure\n   └─ inner");
        assert_eq!(start.elapsed(), ms(100));
    });
}

#[test]
fn two_nested_groups_that_fail_in_one_turn_are_each_heard_of_where_they_are() {
    run_paused(async {
        let task = spawn(async {
            let mut inner_failed = Vec::new();
            let outcome = group(async |outer: TaskGroup<()>| {
                let inner = group(async |inner| {
                    inner.spawn(fails(0, "inner")).unwrap();
                    outer.spawn(fails(0, "outer")).unwrap();
                });
                inner_failed = failures(&inner.await.unwrap_err());
            });
            let outer_failed = failures(&outcome.await.unwrap_err());
            let undisturbed = catch(yield_now()).await.is_ok();
            (inner_failed, outer_failed, undisturbed)
        });
        let asked = task.abort_handle();
        assert_eq!(task.await.unwrap(), (vec!["inner".to_owned()], vec!["outer".to_owned()], true));
        assert!(!asked.cancel());
    });
}

#[test]
fn a_group_that_has_failed_leaves_no_request_with_its_task() {
    run_paused(async {
        let task: JoinHandle<bool> = spawn(async {
            let outcome = group(async |g: TaskGroup<()>| {
                g.spawn(fails(1, "a child")).unwrap();
                pending::<()>().await;
            });
            assert!(outcome.await.is_err());
            catch(sleep(ms(1))).await.is_ok()
        });
        sleep(ms(10)).await;
        assert_eq!(task.cancelling(), 0);
        assert!(task.await.unwrap());
    });
}

#[test]
fn a_child_that_fails_as_soon_as_it_runs_ends_the_sibling_that_has_spawned_it() {
    run_paused(async {
        let asked = Rc::new(Cell::new(false));
        let tell = asked.clone();
        let outcome = group(async |g: TaskGroup<()>| {
            let siblings = g.clone();
            g.spawn(async move {
                siblings.spawn(fails(0, "the third")).unwrap();
                tell.set(catch(pending::<()>()).await.is_err());
            })
            .unwrap();
        });
        assert_eq!(failures(&outcome.await.unwrap_err()), ["the third"]);
        assert!(asked.get());
    });
}

/// It has taken the request, and made an error of it.
#[test]
fn a_body_that_fails_when_the_group_is_cancelled_from_outside_ends_the_children_and_is_heard() {
    run_paused(async {
        let task = spawn(group(async |g| {
            g.spawn(pending::<()>())?;
            let _asked = catch(pending::<()>()).await;
            Err::<(), Failure>("no way to clean up".into())
        }));
        yield_now().await;
        task.cancel();
        assert_eq!(failures(&task.await.unwrap().unwrap_err()), ["no way to clean up"]);
        assert_eq!(all_tasks().len(), 1);
    });
}

#[test]
fn an_output_that_nobody_waits_for_goes_with_its_child_and_not_with_the_group() {
    run_paused(async {
        let living = Rc::new(());
        let outcome = group(async |g| {
            for _ in 0..10 {
                let life = living.clone();
                drop(g.spawn(async move {
                    sleep(ms(25)).await;
                    Ok::<_, Failure>(life)
                })?);
                sleep(ms(10)).await;
                assert!(Rc::strong_count(&living) <= 1 + 3);
            }
            sleep(ms(50)).await;
            assert_eq!(Rc::strong_count(&living), 1);
            Ok::<_, Failure>(())
        });
        outcome.await.unwrap();
    });
}

#[test]
fn a_group_that_grows_without_end_ends_when_one_of_it_fails() {
    run_paused(async {
        async fn hydra(g: TaskGroup<()>, heads: Rc<Cell<u32>>) {
            heads.set(heads.get() + 1);
            sleep(ms(10)).await;
            for _ in 0..2 {
                // Refused once the group ends.
                let grown = Box::pin(hydra(g.clone(), heads.clone())) as std::pin::Pin<Box<dyn Future<Output = ()>>>;
                drop(g.spawn(grown));
            }
        }
        let heads = Rc::new(Cell::new(0));
        let counted = heads.clone();
        let outcome = group(async |g: TaskGroup<()>| {
            g.spawn(hydra(g.clone(), counted.clone())).unwrap();
            g.spawn(async move {
                while counted.get() < 10 {
                    sleep(ms(15)).await;
                }
                Err::<(), Failure>("cut off".into())
            })
            .unwrap();
        });
        assert_eq!(failures(&outcome.await.unwrap_err()), ["cut off"]);
        assert!(heads.get() >= 10);
        assert_eq!(all_tasks().len(), 1);
    });
}

// --------------------------------------------------------------------------------------------------------------- time-outs

#[test]
fn an_output_or_an_error_in_time_is_what_comes_out_and_nothing_has_expired() {
    run_paused(async {
        for output in [Ok(1), Err("as it says")] {
            let mut limit = None;
            let outcome = scope(Instant::now() + ms(100), async |own| {
                limit = Some(own);
                sleep(ms(10)).await;
                output
            });
            assert_eq!(outcome.await, Ok(output));
            assert!(!limit.unwrap().expired());
        }
    });
}

#[test]
fn a_cancel_before_the_deadline_is_no_time_out() {
    run_paused(async {
        let limit = Rc::new(OnceCell::new());
        let kept = limit.clone();
        let task = spawn(scope(Instant::now() + ms(100), async move |own| {
            kept.set(own).unwrap();
            pending::<()>().await;
        }));
        sleep(ms(10)).await;
        task.cancel();
        assert!(task.await.unwrap_err().is_cancelled());
        assert!(!limit.get().unwrap().expired());
    });
}

#[test]
fn a_clean_up_after_a_time_out_may_have_a_time_out_of_its_own() {
    run_paused(async {
        let start = Instant::now();
        let outcome = wait_for(ms(100), async {
            let Err(cancelled) = catch(pending::<()>()).await else { return };
            assert!(wait_for(ms(50), pending::<()>()).await.is_err());
            cancelled.propagate().await;
        });
        assert!(outcome.await.is_err());
        assert_eq!(start.elapsed(), ms(150));
    });
}

#[test]
fn a_deadline_that_has_expired_cannot_be_moved_by_the_clean_up() {
    run_paused(async {
        let start = Instant::now();
        let outcome = scope(start + ms(100), async |limit| {
            let asked = catch(pending::<()>()).await.unwrap_err();
            let moved = (limit.reschedule(start + ms(500)), limit.disable());
            assert_eq!((moved, limit.expired()), ((false, false), true));
            asked.propagate().await;
        });
        assert!(outcome.await.is_err());
        assert_eq!(start.elapsed(), ms(100));
    });
}

#[test]
fn a_group_that_is_out_of_time_ends_its_children_and_what_they_fail_with_comes_out() {
    run_paused(async {
        let start = Instant::now();
        let outcome = wait_for(ms(100), async {
            group(async |g| {
                g.spawn(async {
                    let _asked = catch(pending::<()>()).await;
                    fails(50, "in the clean-up").await
                })?;
                pending::<Result<(), Failure>>().await
            })
            .await
        });
        let failed = outcome.await.unwrap().unwrap_err();
        assert_eq!(failures(&failed), ["in the clean-up"]);
        assert_eq!(start.elapsed(), ms(150));
    });
}

#[test]
fn with_no_time_at_all_what_was_polled_once_and_catches_is_waited_for() {
    run_paused(async {
        let start = Instant::now();
        let outcome = wait_for(Duration::ZERO, async {
            let Err(cancelled) = catch(pending::<()>()).await else { return };
            sleep(ms(50)).await;
            cancelled.propagate().await;
        });
        assert!(outcome.await.is_err());
        assert_eq!(start.elapsed(), ms(50));
    });
}

/// Whoever goes on although it was asked is waited for, and what it gives counts: for the time-out, and for a cancel too.
#[test]
fn work_that_swallows_what_it_is_asked_has_its_output_and_is_waited_for() {
    run_paused(async {
        async fn slow(start: Instant) -> Duration {
            let end = start + ms(200);
            while Instant::now() < end {
                let _asked = catch(windlass::time::sleep_until(end)).await;
            }
            start.elapsed()
        }
        assert_eq!(wait_for(ms(100), slow(Instant::now())).await, Ok(ms(200)));
        let task = spawn(wait_for(ms(400), slow(Instant::now())));
        yield_now().await;
        task.cancel();
        assert_eq!((task.cancelling(), task.await.unwrap()), (1, Ok(ms(200))));
    });
}

// ------------------------------------------------------------------------------------------------------ queues and locks

#[test]
fn a_queue_that_is_shut_down_at_once_still_waits_for_who_has_an_item_in_hand() {
    run_paused(async {
        let queue = Queue::new(0);
        (0..2).for_each(|item| queue.put_nowait(item).unwrap());
        let join = spawn({
            let queue = queue.clone();
            async move { queue.join().await }
        });
        assert_eq!(queue.get().await, Ok(0));
        queue.shutdown(Shutdown::Immediate);
        yield_now().await;
        assert_eq!((queue.qsize(), join.is_finished()), (0, false));
        assert!(queue.put(2).await.is_err() && queue.get().await.is_err());
        queue.task_done().unwrap();
        assert!(queue.task_done().is_err(), "once for each, and no more");
        join.await.unwrap();
    });
}

#[test]
fn whoever_waits_at_an_empty_queue_is_told_of_its_shut_down() {
    for how in [Shutdown::Drain, Shutdown::Immediate] {
        run_paused(async move {
            let queue = Queue::lifo(0);
            let getters = [(); 3].map(|()| {
                let queue = queue.clone();
                spawn(async move { queue.get().await.map(|item: u32| item) })
            });
            yield_now().await;
            queue.shutdown(how);
            assert!(gather(getters).await.unwrap().iter().all(Result::is_err));
            queue.join().await;
        });
    }
}

#[test]
fn two_workers_end_a_join_when_the_last_item_is_done_with() {
    run_paused(async {
        let (queue, sum) = (Queue::priority(0), Rc::new(Cell::new(0)));
        (0..100).for_each(|item| queue.put_nowait(item).unwrap());
        let workers = [(); 2].map(|()| {
            let (queue, sum) = (queue.clone(), sum.clone());
            spawn(async move {
                loop {
                    sum.set(sum.get() + queue.get().await.unwrap());
                    yield_now().await;
                    queue.task_done().unwrap();
                }
            })
        });
        queue.join().await;
        assert_eq!(sum.get(), 4_950);
        queue.join().await; // and again, with nothing unfinished
        assert!(workers.iter().all(JoinHandle::cancel));
        assert!(gather_all::<()>(workers).await.iter().all(Result::is_err));
    });
}

#[test]
fn an_item_put_while_its_getter_is_cancelled_goes_to_who_asks_next() {
    run_paused(async {
        let queue = Queue::new(0);
        let get = |queue: &Queue<u32>| {
            let queue = queue.clone();
            spawn(async move { queue.get().await.unwrap() })
        };
        let readers = [(); 3].map(|()| get(&queue));
        yield_now().await;
        (1..=2).for_each(|item| queue.put_nowait(item).unwrap());
        let [first, second, third] = readers;
        first.cancel();
        assert!(first.await.unwrap_err().is_cancelled());
        assert_eq!((second.await.unwrap(), third.await.unwrap()), (1, 2));
    });
}

#[test]
fn waiters_of_an_event_go_in_the_order_in_which_they_came_and_one_that_comes_after_does_not_wait() {
    run_paused(async {
        let (event, order) = (Rc::new(Event::new()), Rc::new(RefCell::new(Vec::new())));
        let go = |n| {
            let (event, order) = (event.clone(), order.clone());
            spawn(async move {
                event.wait().await;
                order.borrow_mut().push(n);
            })
        };
        let early = [go(1), go(2)];
        yield_now().await;
        assert!(order.borrow().is_empty());
        let late = go(3);
        event.set();
        gather(early.into_iter().chain([late])).await.unwrap();
        assert_eq!(*order.borrow(), [3, 1, 2], "the third was in line before the others were woken");
    });
}

/// A consumer is told that there is something, and cancelled before it has it: the other must be told.
#[test]
fn a_notification_of_a_condition_is_not_lost_with_the_task_that_it_woke() {
    for turns_before in [0, 1] {
        run_paused(async move {
            let shared = Rc::new((Mutex::new(0_i32), Condition::new()));
            let consume = |shared: &Rc<(Mutex<i32>, Condition)>| {
                let shared = shared.clone();
                spawn(async move {
                    loop {
                        let guard = shared.0.lock().await;
                        let mut state = shared.1.wait_while(guard, |state| *state == 0).await;
                        if *state < 0 {
                            return;
                        }
                        *state -= 1;
                        shared.1.notify_all(); // to who waits for it to be consumed
                    }
                })
            };
            let [first, second] = [consume(&shared), consume(&shared)];
            yield_now().await;
            let mut state = shared.0.lock().await;
            *state += 1;
            shared.1.notify_one();
            for _ in 0..turns_before {
                yield_now().await; // now it waits for the lock
            }
            assert!(first.cancel());
            let consumed = wait_for(ms(10), shared.1.wait_while(state, |state| *state != 0)).await;
            *consumed.expect("somebody has consumed it") = -1;
            shared.1.notify_all();
            second.await.unwrap();
        });
    }
}

#[test]
fn the_lock_of_a_condition_goes_to_nobody_with_a_waiter_that_runs_out_of_time() {
    run_paused(async {
        let (mutex, condition) = (Mutex::new(()), Condition::new());
        assert!(wait_for(ms(500), condition.wait(mutex.lock().await)).await.is_err());
        assert!(mutex.try_lock().is_ok());
    });
}

#[test]
fn of_two_who_want_the_one_permit_the_second_is_cancelled_by_the_first_and_it_is_free_again() {
    run_paused(async {
        let semaphore = Rc::new(Semaphore::new(1));
        let second: Rc<OnceCell<AbortHandle>> = Rc::default();
        let (own, end) = (semaphore.clone(), second.clone());
        let first = spawn(async move {
            let permit = own.acquire().await.unwrap();
            yield_now().await;
            drop(permit); // promised to the second right here
            assert!(end.get().unwrap().cancel());
        });
        let own = semaphore.clone();
        let late = spawn(async move { drop(own.acquire().await.map(|_permit| unreachable!())) });
        second.set(late.abort_handle()).unwrap();
        first.await.unwrap();
        assert!(late.await.unwrap_err().is_cancelled());
        assert_eq!(semaphore.available_permits(), 1);
    });
}

#[test]
fn who_gives_a_permit_back_and_wants_one_stands_behind_those_who_wait() {
    run_paused(async {
        let (semaphore, order) = (Rc::new(Semaphore::new(1)), Rc::new(RefCell::new(Vec::new())));
        let tasks = ["a", "b", "c"].map(|name| {
            let (semaphore, order) = (semaphore.clone(), order.clone());
            spawn(async move {
                for round in 1..=2 {
                    let _permit = semaphore.acquire().await.unwrap();
                    order.borrow_mut().push(format!("{name}{round}"));
                    sleep(ms(10)).await;
                }
            })
        });
        gather(tasks).await.unwrap();
        assert_eq!(*order.borrow(), ["a1", "b1", "c1", "a2", "b2", "c2"]);
    });
}

#[test]
fn a_barrier_may_be_passed_again_at_once_and_by_one_alone_as_often_as_it_likes() {
    run_paused(async {
        let alone = Barrier::new(1);
        for _ in 0..2 {
            assert!(alone.wait().await.unwrap().is_leader());
        }
        let barrier = Rc::new(Barrier::new(5));
        let parties = [(); 5].map(|()| {
            let barrier = barrier.clone();
            spawn(async move {
                let first = barrier.wait().await.unwrap().is_leader();
                (first, barrier.wait().await.unwrap().is_leader())
            })
        });
        let led = gather(parties).await.unwrap();
        assert_eq!(led.iter().filter(|led| led.0).count(), 1);
        assert_eq!(led.iter().filter(|led| led.1).count(), 1);
        assert_eq!((barrier.waiting(), barrier.is_broken()), (0, false));
    });
}

#[test]
fn who_passed_the_barrier_and_breaks_it_breaks_only_the_next_round() {
    run_paused(async {
        let barrier = Rc::new(Barrier::new(5));
        let parties = [(); 5].map(|()| {
            let barrier = barrier.clone();
            spawn(async move {
                if barrier.wait().await.unwrap().is_leader() {
                    yield_now().await; // the others wait for the next round
                    barrier.abort();
                    return false;
                }
                barrier.wait().await.is_err()
            })
        });
        let broken = gather(parties).await.unwrap();
        assert_eq!(broken.iter().filter(|broken| **broken).count(), 4);
        assert_eq!((barrier.waiting(), barrier.is_broken()), (0, true));
        barrier.reset();
        let again = [(); 5].map(|()| {
            let barrier = barrier.clone();
            spawn(async move { barrier.wait().await.is_ok() })
        });
        assert_eq!(gather(again).await.unwrap(), [true; 5]);
    });
}
