//! What the page for asyncio's users says is not the same, paragraph by paragraph.
//! A page that compares goes stale in silence; these do not.
//!
//! Told on paused clocks. Not here: what the page has in its own examples.   Next: `src/asyncio.md`, the page.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::cell::{Cell, RefCell};
use std::future::pending;
use std::rc::Rc;
use std::time::Duration;

use windlass::cancel::catch;
use windlass::sync::{Condition, Mutex, Queue};
use windlass::task::{
    AbortHandle, all_tasks, call_soon, current, gather, set_unobserved_panic_hook, spawn_blocking, yield_now,
};
use windlass::time::{Instant, sleep, wait_for};
use windlass::{Handle, Loop, current_loop, group, spawn, task_local};
use windlass_tests::{beside_others, run_paused};

#[test]
fn a_task_starts_after_all_that_were_ready_before_it_and_a_future_that_is_awaited_at_once() {
    run_paused(async {
        let log = Rc::new(RefCell::new(Vec::new()));
        let say = |word: &'static str| {
            let log = log.clone();
            async move { log.borrow_mut().push(word) }
        };
        let (one, two) = (spawn(say("first")), spawn(say("second")));
        say("awaited").await;
        gather([one, two]).await.unwrap();
        assert_eq!(*log.borrow(), ["awaited", "first", "second"]);
    });
}

#[test]
fn the_loop_owns_a_task_whose_handle_is_dropped() {
    run_paused(async {
        let done = Rc::new(Cell::new(false));
        let set = done.clone();
        drop(spawn(async move {
            sleep(Duration::from_secs(1)).await;
            set.set(true);
        }));
        sleep(Duration::from_secs(2)).await;
        assert!(done.get());
    });
}

/// How a task ends that waits for ever, if the one that waits for it is cancelled.
async fn ends_with<F>(awaits: impl FnOnce(Rc<Cell<Option<AbortHandle>>>) -> F) -> bool
where
    F: Future<Output = ()> + 'static,
{
    let inner = Rc::new(Cell::new(None));
    let outer = spawn(awaits(inner.clone()));
    yield_now().await;
    yield_now().await;
    assert!(outer.cancel());
    assert!(outer.await.unwrap_err().is_cancelled());
    !inner.take().unwrap().abort()
}

#[test]
fn to_await_a_task_does_not_tie_it_and_a_gather_or_a_group_does() {
    run_paused(async {
        let alone = ends_with(|inner| async move {
            let task = spawn(pending::<()>());
            inner.set(Some(task.abort_handle()));
            task.await.unwrap();
        });
        assert!(!alone.await);
        let gathered = ends_with(|inner| async move {
            let task = spawn(pending::<()>());
            inner.set(Some(task.abort_handle()));
            gather([task]).await.unwrap();
        });
        assert!(gathered.await);
        let grouped = ends_with(|inner| async move {
            let body = async |g: windlass::task::TaskGroup<()>| {
                inner.set(Some(g.spawn(pending::<()>()).unwrap().abort_handle()));
            };
            group(body).await.unwrap();
        });
        assert!(grouped.await);
    });
}

struct Bell(Rc<Cell<bool>>);

impl Drop for Bell {
    fn drop(&mut self) {
        self.0.set(true);
    }
}

#[test]
fn abort_drops_before_it_returns_and_so_does_cancel_where_nothing_catches() {
    run_paused(async {
        for cancels in [false, true] {
            let dropped = Rc::new(Cell::new(false));
            let bell = Bell(dropped.clone());
            let task = spawn(async move {
                let _bell = bell;
                pending::<()>().await;
            });
            yield_now().await;
            assert!(if cancels { task.cancel() } else { task.abort() });
            assert!(dropped.get() && task.is_finished());
        }
    });
}

#[test]
fn a_request_that_was_caught_needs_no_taking_back_and_is_counted_for_ever() {
    run_paused(async {
        let task = spawn(async {
            let _once = catch(pending::<()>()).await;
            wait_for(Duration::from_secs(1), pending::<()>()).await.is_err()
        });
        yield_now().await;
        task.cancel();
        sleep(Duration::from_secs(2)).await;
        assert_eq!(task.cancelling(), 1);
        assert!(task.await.unwrap());
    });
}

thread_local! {
    static REPORTED: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

#[test]
fn an_error_that_nobody_takes_is_dropped_without_a_word_and_a_panic_is_reported() {
    set_unobserved_panic_hook(Some(|panic| REPORTED.with_borrow_mut(|reported| reported.push(panic.name.to_owned()))));
    run_paused(async {
        let named = |name: &str| windlass::task::Builder::new().name(name);
        drop(named("errs").spawn(async { Err::<(), _>("nobody asks") }));
        drop(named("panics").spawn(async { assert!(current().is_none()) }));
        yield_now().await;
        assert_eq!(all_tasks().len(), 1, "the loop goes on");
    });
    REPORTED.with_borrow(|reported| assert_eq!(*reported, ["panics"]));
}

#[test]
fn what_was_granted_is_not_taken_by_a_call_that_does_not_wait() {
    run_paused(async {
        let queue = Queue::new(1);
        let getter = spawn({
            let queue = queue.clone();
            async move { queue.get().await }
        });
        let mutex = Rc::new(Mutex::new(()));
        let guard = mutex.lock().await;
        let locker = spawn(mutex.clone().lock_owned());
        yield_now().await;
        queue.put_nowait("item").unwrap();
        drop(guard);
        assert!(queue.get_nowait().is_err() && mutex.try_lock().is_err());
        assert_eq!(getter.await.unwrap(), Ok("item"));
        drop(locker.await.unwrap());
    });
}

#[test]
fn a_condition_that_is_cancelled_does_not_lock_again() {
    run_paused(async {
        let shared = Rc::new((Mutex::new(()), Condition::new()));
        let waiting = spawn({
            let shared = shared.clone();
            async move { catch(shared.1.wait(shared.0.lock().await)).await.is_err() }
        });
        yield_now().await;
        let _held = shared.0.lock().await; // asyncio would wait for this before it says that it was cancelled
        waiting.cancel();
        assert!(waiting.await.unwrap());
    });
}

#[test]
fn with_no_time_at_all_wait_for_polls_once() {
    run_paused(async {
        assert_eq!(wait_for(Duration::ZERO, async { 7 }).await, Ok(7));
        let start = Instant::now();
        assert!(wait_for(Duration::ZERO, pending::<()>()).await.is_err());
        assert_eq!(start.elapsed(), Duration::ZERO);
    });
}

task_local! {
    static REQUEST: u32;
}

#[test]
fn neither_a_task_nor_a_blocking_call_inherits_a_task_local() {
    run_paused(REQUEST.scope(7, async {
        assert_eq!(REQUEST.get(), 7);
        assert!(spawn(async { REQUEST.try_with(|_| ()).is_err() }).await.unwrap());
        assert!(spawn_blocking(|| REQUEST.try_with(|_| ()).is_err()).await.unwrap());
    }));
}

#[test]
fn outside_a_loop_there_is_no_current_one_and_a_loop_that_is_gone_says_so() {
    beside_others(|| {
        assert!(current_loop().is_none() && Handle::try_current().is_none() && current().is_none());
        let crank = Loop::new().unwrap();
        let handle = crank.handle();
        assert!(handle.spawn(async {}).is_ok());
        drop(crank);
        assert!(handle.spawn(async {}).is_err());
    });
}

#[test]
fn a_call_whose_handle_is_dropped_is_not_taken_back() {
    run_paused(async {
        let called = Rc::new(Cell::new(false));
        let bell = called.clone();
        drop(call_soon(move || bell.set(true)));
        yield_now().await;
        assert!(called.get());
    });
}
