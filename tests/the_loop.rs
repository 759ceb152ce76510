//! The loop, from outside.
//! What a program can see of `block_on`: what runs, in which order, how it ends, and what it costs when nothing happens.
//!
//! Counted in ticks and polls, never in seconds. Next: `allocations`, for what a task costs.

#![allow(clippy::unwrap_used)] // tests may, and so may what they share

use std::cell::{Cell, RefCell};
use std::future::{pending, poll_fn};
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, mpsc};
use std::task::{Poll, Waker};
use std::thread;
use std::time::Duration;

use static_assertions::{assert_impl_all, assert_not_impl_any};
use windlass::io::AsyncFd;
use windlass::task::{JoinHandle, consume_budget, spawn_blocking, yield_now};
use windlass::time::{Instant, advance, sleep, timeout};
use windlass::{Handle, Loop, Metrics, Tick, metrics, spawn};
use windlass_tests::within_watchdog;

// ---------------------------------------------------------------------------------------------- what the tests share

fn paused() -> Loop {
    Loop::builder().paused_clock().build().unwrap()
}

/// Calls a closure when it is dropped.
struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// Sleeps for ever, and runs `f` when it is dropped.
fn sleeps_until_dropped(f: impl FnMut() + 'static) -> impl Future<Output = ()> {
    let guard = OnDrop(f);
    async move {
        let _guard = guard;
        pending::<()>().await;
    }
}

fn pair() -> (AsyncFd<UnixStream>, UnixStream) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    (AsyncFd::new(ours).unwrap(), theirs)
}

/// The message that `f` panics with.
#[track_caller]
fn panic_of<R>(f: impl FnOnce() -> R) -> String {
    let panic = catch_unwind(AssertUnwindSafe(f)).err().expect("it panics");
    match panic.downcast::<String>() {
        Ok(text) => *text,
        Err(panic) => panic.downcast_ref::<&str>().expect("a panic with a text").to_string(),
    }
}

/// The ticks of a loop, one after the other, as its hook is told of them.
fn ticks_of(lp: &Loop) -> Rc<RefCell<Vec<Tick>>> {
    let ticks = Rc::new(RefCell::new(Vec::new()));
    let list = ticks.clone();
    lp.on_tick(move |tick| list.borrow_mut().push(*tick));
    ticks
}

// --------------------------------------------------------------------------------------------------------- how it ends

#[test]
fn tasks_that_are_left_are_dropped_before_block_on_returns() {
    let dropped = Rc::new(Cell::new(0));
    let lp = paused();
    lp.block_on(async {
        for _ in 0..10 {
            let count = dropped.clone();
            drop(spawn(sleeps_until_dropped(move || count.set(count.get() + 1))));
        }
        yield_now().await;
    });
    assert_eq!(dropped.get(), 10);
}

/// What a task may do in its drop, when its loop ends.
fn use_the_loop(used: &Rc<Cell<u32>>) {
    let late = spawn(async { unreachable!("a loop that ends starts nothing") });
    assert!(late.is_finished(), "it is refused: its handle says cancelled");
    let mut nap = Box::pin(sleep(Duration::from_secs(1)));
    assert!(nap.as_mut().poll(&mut std::task::Context::from_waker(Waker::noop())).is_pending());
    assert!(metrics().spawned > 0);
    let _ = windlass::task::all_tasks();
    drop(pair());
    used.set(used.get() + 1);
}

#[test]
fn the_loop_can_be_used_by_what_is_dropped_at_its_end() {
    let used = Rc::new(Cell::new(0));
    let count = used.clone();
    paused().block_on(async move {
        drop(spawn(sleeps_until_dropped(move || use_the_loop(&count))));
        yield_now().await;
    });
    assert_eq!(used.get(), 1);
}

#[test]
fn the_loop_can_be_used_by_what_is_dropped_when_main_panics() {
    let used = Rc::new(Cell::new(0));
    let count = used.clone();
    let told = panic_of(|| {
        paused().block_on(async move {
            drop(spawn(sleeps_until_dropped(move || use_the_loop(&count))));
            yield_now().await;
            panic!("main");
        })
    });
    assert_eq!((told.as_str(), used.get()), ("main", 1));
}

#[test]
fn the_loop_can_be_used_by_what_is_dropped_with_it() {
    let used = Rc::new(Cell::new(0));
    let count = used.clone();
    let lp = paused();
    drop(lp.spawn(sleeps_until_dropped(move || use_the_loop(&count))));
    drop(lp);
    assert_eq!(used.get(), 1);
}

#[test]
fn what_is_left_of_main_itself_is_dropped_with_the_loop_entered() {
    let used = Rc::new(Cell::new(0));
    let count = used.clone();
    // A future written by hand: unlike an async block, it holds what it captured after it is ready.
    let guard = OnDrop(move || {
        drop(spawn(async {}));
        count.set(metrics().spawned);
    });
    paused().block_on(poll_fn(move |_| {
        let _held = &guard;
        Poll::Ready(())
    }));
    assert_ne!(used.get(), 0);
}

#[test]
fn a_panic_in_a_left_over_tasks_drop_stays_there() {
    let lp = paused();
    let output = lp.block_on(async {
        drop(spawn(sleeps_until_dropped(|| panic!("at the end"))));
        yield_now().await;
        5
    });
    assert_eq!(output, 5);
    assert_eq!(lp.block_on(async { 6 }), 6);
}

#[test]
fn a_panic_in_main_comes_out_of_block_on_and_the_loop_can_be_used_again() {
    let lp = paused();
    assert_eq!(panic_of(|| lp.block_on(async { panic!("main") })), "main");
    assert_eq!(lp.block_on(async { spawn(async { 5 }).await.unwrap() }), 5);
}

#[test]
fn a_handle_that_left_the_loop_yields_cancelled_in_another() {
    let lp = paused();
    let task = lp.spawn(pending::<()>());
    lp.block_on(yield_now());
    assert!(paused().block_on(task).unwrap_err().is_cancelled());
}

// ----------------------------------------------------------------------------------------------- one, and several, runs

#[test]
fn a_loop_runs_again_with_its_clock_where_it_was() {
    let lp = paused();
    let first = lp.block_on(async {
        sleep(Duration::from_secs(3)).await;
        Instant::now()
    });
    let second = lp.block_on(async { Instant::now() });
    assert_eq!(first, second);
}

#[test]
fn a_task_spawned_before_the_loop_runs_begins_when_it_does() {
    let lp = paused();
    let task = lp.spawn(async { 5 });
    assert!(!task.is_finished());
    assert_eq!(lp.block_on(task).unwrap(), 5);
}

#[test]
fn a_task_spawned_between_two_runs_begins_in_the_second() {
    let lp = paused();
    lp.block_on(async {});
    let task = lp.spawn(async { 5 });
    assert_eq!(lp.block_on(task).unwrap(), 5);
}

#[test]
fn a_source_made_in_one_run_is_closed_between_two() {
    let lp = paused();
    let (ours, mut peer) = lp.block_on(async { pair() });
    drop(ours);
    assert_eq!(peer.read(&mut [0; 1]).unwrap(), 0);
    lp.block_on(async {});
}

#[test]
fn a_source_made_in_one_run_works_in_the_next() {
    let lp = paused();
    let (ours, mut peer) = lp.block_on(async { pair() });
    peer.write_all(b"x").unwrap();
    lp.block_on(async { ours.readable().await }).unwrap();
}

#[test]
fn loops_in_turn_on_one_thread_know_nothing_of_each_other() {
    let (a, b) = (paused(), paused());
    for round in 1..=3 {
        a.block_on(sleep(Duration::from_secs(1)));
        assert_eq!(b.block_on(async { spawn(async move { round }).await.unwrap() }), round);
    }
    assert!(a.metrics().timers == 3 && b.metrics().timers == 0);
}

#[test]
fn loops_on_several_threads_run_at_once() {
    within_watchdog(|| {
        let together = Arc::new(Barrier::new(4));
        let threads = [1, 2, 3, 4].map(|number| {
            let together = together.clone();
            thread::spawn(move || {
                Loop::new().unwrap().block_on(async move {
                    let task = spawn(async move {
                        together.wait();
                        sleep(Duration::from_millis(1)).await;
                        number
                    });
                    task.await.unwrap()
                })
            })
        });
        assert_eq!(threads.map(|thread| thread.join().unwrap()), [1, 2, 3, 4]);
    });
}

#[test]
fn a_loop_inside_a_loop_panics_and_names_both_places() {
    let (outer, inner) = (paused(), paused());
    let line = line!() + 1;
    let told = outer.block_on(async { panic_of(|| inner.block_on(async {})) });
    let here = format!("{}:{line}", file!());
    assert_eq!(told.matches(&here).count(), 2, "{told}");
    assert!(told.contains("called inside a running loop"), "{told}");
    assert_eq!(outer.block_on(async { 1 }), 1, "and both can be used");
    assert_eq!(inner.block_on(async { 2 }), 2);
}

#[test]
fn a_loop_inside_itself_panics_and_goes_on() {
    let lp = Rc::new(paused());
    let same = lp.clone();
    let told = lp.block_on(async move {
        let told = panic_of(|| same.block_on(async {}));
        yield_now().await;
        spawn(async {}).await.unwrap();
        told
    });
    assert!(told.contains("called inside a running loop"), "{told}");
}

#[test]
fn a_loop_dropped_inside_another_drops_its_tasks() {
    let dropped = Rc::new(Cell::new(false));
    let flag = dropped.clone();
    let inner = paused();
    inner.block_on(async {});
    drop(inner.spawn(sleeps_until_dropped(move || flag.set(true))));
    paused().block_on(async move {
        drop(inner);
        spawn(async {}).await.unwrap();
        sleep(Duration::from_secs(1)).await;
    });
    assert!(dropped.get());
}

#[test]
fn a_loop_may_be_kept_in_a_thread_local_to_the_end_of_its_thread() {
    thread_local! {
        static KEPT: RefCell<Option<Loop>> = const { RefCell::new(None) };
    }
    let dropped = Arc::new(AtomicUsize::new(0));
    let count = dropped.clone();
    thread::spawn(move || {
        KEPT.with_borrow_mut(|kept| assert!(kept.is_none())); // before all that the crates keep there, so that it goes last
        let lp = Loop::new().unwrap();
        lp.block_on(sleep(Duration::from_millis(1)));
        let guard = OnDrop(move || {
            count.fetch_add(1, Ordering::SeqCst);
        });
        drop(lp.spawn(async move {
            let _guard = guard;
            pending::<()>().await;
        }));
        KEPT.set(Some(lp));
    })
    .join()
    .unwrap();
    assert_eq!(dropped.load(Ordering::SeqCst), 1);
}

#[test]
fn at_the_end_of_a_thread_there_is_no_current_loop_and_asking_for_it_is_no_panic() {
    struct Asks;
    impl Drop for Asks {
        fn drop(&mut self) {
            assert!(Handle::try_current().is_none());
        }
    }
    thread_local! {
        static KEPT: RefCell<Option<Asks>> = const { RefCell::new(None) };
    }
    // A panic there would end the process. Whichever of the two goes first: the thread's own, or what the crate keeps there.
    let first = || KEPT.set(Some(Asks));
    let last = || Loop::new().unwrap().block_on(async {});
    thread::spawn(move || (first(), last())).join().unwrap();
    thread::spawn(move || (last(), first())).join().unwrap();
}

// ---------------------------------------------------------------------------------------------------- other threads

#[test]
fn a_handle_spawns_from_other_threads_while_the_loop_sleeps() {
    within_watchdog(|| {
        let lp = Loop::new().unwrap();
        let (say, hear) = mpsc::channel();
        let threads = [1, 2, 3, 4].map(|number| {
            let (handle, say) = (lp.handle(), say.clone());
            thread::spawn(move || handle.spawn(async move { say.send(number).unwrap() }).unwrap())
        });
        lp.block_on(async {
            let mut heard = Vec::new();
            while heard.len() < 4 {
                heard.extend(hear.try_recv());
                // Sleeping is long; what keeps it short is that each call unparks the loop.
                yield_now().await;
            }
            heard.sort();
            assert_eq!(heard, [1, 2, 3, 4]);
        });
        threads.into_iter().for_each(|thread| drop(thread.join().unwrap()));
    });
}

#[test]
fn a_handle_wakes_a_loop_that_waits_for_nothing_else() {
    within_watchdog(|| {
        let lp = Loop::new().unwrap();
        let handle = lp.handle();
        let mut begun = None;
        lp.block_on(poll_fn(move |cx| {
            if begun.is_some() {
                return Poll::Ready(());
            }
            let (handle, waker) = (handle.clone(), cx.waker().clone());
            begun = Some(thread::spawn(move || handle.spawn(async move { waker.wake() }).unwrap()));
            Poll::Pending
        }));
    });
}

#[test]
fn a_handle_of_a_loop_that_is_gone_says_so() {
    let lp = paused();
    let handle = lp.handle();
    let elsewhere = handle.clone();
    drop(lp);
    assert!(handle.spawn(async {}).is_err());
    assert!(thread::spawn(move || elsewhere.spawn_with(|| async {}).is_err()).join().unwrap());
}

#[test]
fn what_a_handle_spawned_between_two_runs_begins_in_the_second() {
    within_watchdog(|| {
        let lp = paused();
        lp.block_on(async {});
        let (say, hear) = mpsc::channel();
        let handle = lp.handle();
        thread::spawn(move || handle.spawn(async move { say.send(5).unwrap() }).unwrap()).join().unwrap();
        assert!(hear.try_recv().is_err());
        lp.block_on(async {
            while hear.try_recv().is_err() {
                yield_now().await;
            }
        });
    });
}

// ---------------------------------------------------------------------------------------------------------- fairness

#[test]
fn a_task_that_never_sleeps_keeps_no_socket_waiting() {
    let lp = Loop::builder().paused_clock().poll_budget(10).build().unwrap();
    let ticks = ticks_of(&lp);
    lp.block_on(async {
        drop(spawn(async {
            loop {
                yield_now().await;
            }
        }));
        let (ours, mut peer) = pair();
        yield_now().await;
        for _ in 0..20 {
            peer.write_all(b"x").unwrap();
            let before = ticks.borrow().len();
            let mut buffer = [0; 8];
            assert_eq!(ours.read_stream(&mut buffer).await.unwrap(), 1);
            let took = ticks.borrow().len() - before;
            assert!(took <= 2, "{took} ticks");
        }
    });
}

#[test]
fn a_task_that_never_sleeps_keeps_no_timer_waiting() {
    let lp = Loop::builder().paused_clock().poll_budget(10).build().unwrap();
    let ticks = ticks_of(&lp);
    lp.block_on(async {
        drop(spawn(async {
            loop {
                yield_now().await;
            }
        }));
        let nap = spawn(sleep(Duration::from_millis(10)));
        yield_now().await;
        let before = ticks.borrow().len();
        advance(Duration::from_millis(10)).await;
        let took = ticks.borrow().len() - before;
        assert!(nap.is_finished() && took <= 3, "{took} ticks");
    });
}

/// The clock is paused, so that no tick is cut short because the machine is slow.
#[test]
fn ten_budgets_of_ready_tasks_are_done_within_eleven_ticks() {
    const BUDGET: u32 = 61;
    let lp = Loop::builder().paused_clock().poll_budget(BUDGET).build().unwrap();
    let done = Rc::new(Cell::new(0));
    for _ in 0..10 * BUDGET {
        let count = done.clone();
        drop(lp.spawn(async move { count.set(count.get() + 1) }));
    }
    let ticks = ticks_of(&lp);
    let all = done.clone();
    lp.block_on(poll_fn(move |cx| {
        cx.waker().wake_by_ref();
        if all.get() == 10 * BUDGET { Poll::Ready(()) } else { Poll::Pending }
    }));
    let (ticks, done) = (ticks.borrow().len(), done.get());
    assert!(ticks <= 11, "{done} tasks in {ticks} ticks");
}

#[test]
fn no_tick_makes_more_polls_than_the_budget() {
    let lp = Loop::builder().paused_clock().poll_budget(7).build().unwrap();
    let ticks = ticks_of(&lp);
    lp.block_on(async {
        let tasks: Vec<_> = (0..100).map(|_| spawn(yield_now())).collect();
        for task in tasks {
            task.await.unwrap();
        }
    });
    let most = ticks.borrow().iter().map(|tick| tick.polls).max().unwrap();
    assert_eq!(most, 7);
}

/// How long polls take nobody knows before some were made. A paused clock says: no time at all.
#[test]
fn rows_of_polls_begin_with_sixty_four_and_double_up_to_the_budget_until_the_loop_waits() {
    let lp = paused();
    let ticks = ticks_of(&lp);
    lp.block_on(async {
        for _ in 0..2 {
            for _ in 0..5_000 {
                yield_now().await;
            }
            sleep(Duration::from_secs(1)).await;
        }
    });
    let polls: Vec<u64> = ticks.borrow().iter().map(|tick| tick.polls).collect();
    let [first, second] = [0, polls.iter().skip(1).position(|&polls| polls == 64).unwrap() + 1];
    for begin in [first, second] {
        assert_eq!(polls[begin..begin + 6], [64, 128, 256, 512, 1024, 1024], "of {polls:?}");
    }
}

/// A row of 64 would hold up sockets and timers for as long as 64 slow polls take.
#[test]
fn a_row_of_slow_polls_ends_where_the_clock_is_looked_at() {
    let lp = Loop::new().unwrap();
    let ticks = ticks_of(&lp);
    lp.block_on(async {
        for _ in 0..64 {
            let begun = std::time::Instant::now();
            while begun.elapsed() < Duration::from_micros(100) {}
            yield_now().await;
        }
    });
    let polls: Vec<u64> = ticks.borrow().iter().map(|tick| tick.polls).collect();
    assert_eq!(polls[0], 8, "an eighth of 64 takes 800 µs: {polls:?}");
    assert!(polls.iter().all(|&polls| polls <= 16), "500 µs have room for five: {polls:?}");
}

/// An echo, in rounds: one of the two always waits for the other's word, and the spinner for nobody.
#[test]
fn a_spinner_that_consumes_its_budget_starves_neither_an_echo_nor_a_timer() {
    within_watchdog(|| {
        let lp = paused();
        let ticks = ticks_of(&lp);
        lp.block_on(async {
            let spinner = spawn(async {
                loop {
                    consume_budget().await;
                }
            });
            let (mut ours, mut theirs) = windlass::net::UnixStream::pair().unwrap();
            drop(spawn(async move {
                let mut word = [0; 4];
                while theirs.read_exact(&mut word).await.is_ok() {
                    theirs.write_all(&word).await.unwrap();
                }
            }));
            yield_now().await;
            for round in 0..20_u32 {
                let before = ticks.borrow().len();
                ours.write_all(&round.to_ne_bytes()).await.unwrap();
                let mut word = [0; 4];
                ours.read_exact(&mut word).await.unwrap();
                assert_eq!(u32::from_ne_bytes(word), round);
                let took = ticks.borrow().len() - before;
                assert!(took <= 4, "{took} ticks for round {round}");
            }
            let nap = spawn(sleep(Duration::from_millis(10)));
            yield_now().await;
            let before = ticks.borrow().len();
            advance(Duration::from_millis(10)).await;
            let took = ticks.borrow().len() - before;
            assert!(nap.is_finished() && took <= 3, "{took} ticks");
            spinner.abort();
        });
    });
}

#[test]
fn a_dump_has_a_line_for_each_task_with_what_it_waits_for() {
    let lp = paused();
    let table = lp.block_on(async {
        windlass::task::set_name("the main one");
        let nap = windlass::task::Builder::new().name("nap").spawn(sleep(Duration::from_secs(3)));
        drop(spawn(nap));
        yield_now().await;
        drop(spawn(async {}));
        windlass::task::dump().to_string()
    });
    let rows: Vec<Vec<&str>> =
        table.lines().map(|line| line.split("  ").filter(|cell| !cell.is_empty()).collect()).collect();
    let cells = |row: usize| rows[row].iter().map(|cell| cell.trim()).collect::<Vec<_>>();
    assert_eq!(cells(0), ["id", "name", "state", "waits for", "polls", "age", "spawned at"]);
    assert_eq!(cells(1)[..4], ["1", "the main one", "running", "2"]);
    assert_eq!(cells(2)[..3], ["2", "nap", "waiting"]);
    assert!(cells(2)[3].starts_with("timer at"), "{table}");
    assert_eq!(cells(3)[..4], ["3", "Task-3", "waiting", "task 2 to end"]);
    assert_eq!(cells(4)[..4], ["4", "Task-4", "ready", "0"]);
    assert!(cells(4).last().unwrap().starts_with(file!()), "{table}");
}

#[test]
fn a_task_that_reads_without_end_gives_way_to_the_others() {
    within_watchdog(|| {
        paused().block_on(async {
            let (ours, _peer) = pair();
            let ran = Rc::new(Cell::new(false));
            let flag = ran.clone();
            drop(spawn(async move { flag.set(true) }));
            // Room to write is always there: only the budget ends this loop.
            while !ran.get() {
                ours.writable().await.unwrap();
            }
        });
    });
}

// -------------------------------------------------------------------------------------------------- what idleness costs

#[test]
fn a_loop_that_waits_for_one_far_timer_does_nothing_meanwhile() {
    let lp = paused();
    let ticks = ticks_of(&lp);
    lp.block_on(async {
        yield_now().await;
        let before = ticks.borrow().len();
        sleep(Duration::from_secs(1_000_000)).await;
        let took = ticks.borrow().len() - before;
        assert!(took <= 2, "{took} ticks");
    });
}

/// Open sockets that nobody writes to.
#[test]
fn a_loop_with_a_hundred_quiet_sockets_polls_nobody() {
    let lp = paused();
    let ticks = ticks_of(&lp);
    lp.block_on(async {
        let mut peers = Vec::new();
        for _ in 0..100 {
            let (ours, peer) = pair();
            drop(spawn(async move { ours.readable().await }));
            peers.push(peer);
        }
        sleep(Duration::from_millis(1)).await; // past the first events: there is room to write
        sleep(Duration::from_millis(1)).await;
        let (before, polls) = (ticks.borrow().len(), metrics().polls);
        sleep(Duration::from_secs(1_000_000)).await;
        assert!(ticks.borrow().len() - before <= 2);
        assert!(metrics().polls - polls <= 1, "only main");
    });
}

#[test]
fn a_paused_clock_can_be_moved_while_a_blocking_call_is_out() {
    within_watchdog(|| {
        paused().block_on(async {
            let (release, released) = mpsc::channel();
            let call = spawn_blocking(move || released.recv().unwrap());
            advance(Duration::from_millis(5)).await; // hung, if what is due waits for the call to come back
            release.send(7).unwrap();
            assert_eq!(call.await.unwrap(), 7);
        });
    });
}

#[test]
fn a_blocking_call_that_never_ends_keeps_neither_its_loop_nor_the_process() {
    if std::env::var_os("WINDLASS_NEVER_ENDS").is_some() {
        return Loop::new().unwrap().block_on(async {
            let call = windlass::task::spawn_blocking(|| {
                loop {
                    thread::park()
                }
            });
            assert!(timeout(Duration::from_millis(1), call).await.is_err());
        });
    }
    within_watchdog(|| {
        let name = "a_blocking_call_that_never_ends_keeps_neither_its_loop_nor_the_process";
        let mut child = std::process::Command::new(std::env::current_exe().unwrap());
        let child = child.args(["--exact", name]).env("WINDLASS_NEVER_ENDS", "1").output().unwrap();
        assert!(child.status.success() && String::from_utf8_lossy(&child.stdout).contains("1 passed"), "{child:?}");
    });
}

#[test]
fn a_paused_clock_stands_while_a_blocking_call_is_out() {
    within_watchdog(|| {
        paused().block_on(async {
            let start = Instant::now();
            let call = spawn_blocking(|| (0..1000).for_each(|_| thread::yield_now()));
            assert!(timeout(Duration::from_secs(1), call).await.is_ok());
            assert_eq!(start.elapsed(), Duration::ZERO);
        });
    });
}

// --------------------------------------------------------------------------------------------------------- descriptors

/// How many descriptors this process has open.
fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// Runs in a process of its own, so that no other test opens a descriptor meanwhile.
/// Whether another loop that watches this one's descriptor would now run it.
fn asks_to_be_run(lp: &Loop) -> bool {
    let mut watch = mio::Poll::new().unwrap();
    let descriptor = lp.as_raw_fd();
    watch.registry().register(&mut mio::unix::SourceFd(&descriptor), mio::Token(0), mio::Interest::READABLE).unwrap();
    let mut events = mio::Events::with_capacity(1);
    watch.poll(&mut events, Some(Duration::ZERO)).unwrap();
    !events.is_empty()
}

#[test]
fn a_loop_that_does_not_run_asks_for_it_by_its_descriptor_when_another_thread_has_called() {
    let lp = Loop::new().unwrap();
    for _ in 0..3 {
        assert!(!asks_to_be_run(&lp), "nothing has happened yet");
        let (handle, done) = (lp.handle(), Arc::new(AtomicUsize::new(0)));
        let doing = done.clone();
        let call = move || handle.spawn(async move { doing.store(1, Ordering::Relaxed) }).unwrap();
        thread::spawn(call).join().unwrap();
        assert!(asks_to_be_run(&lp), "another thread has called");
        lp.block_on(async {
            while done.load(Ordering::Relaxed) == 0 {
                yield_now().await
            }
        });
        lp.block_on(sleep(Duration::from_millis(1))); // its own turn takes in what its descriptor had to say
    }
    // What came too late for one run is there for the next.
    let handle = lp.handle();
    lp.block_on(async { drop(thread::spawn(move || handle.spawn(async {}).unwrap()).join().unwrap()) });
    assert!(asks_to_be_run(&lp), "a call was left over");
}

#[test]
fn a_loop_leaves_no_descriptor_behind() {
    const CHILD: &str = "WINDLASS_TEST_DESCRIPTORS";
    if std::env::var_os(CHILD).is_none() {
        let status = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "a_loop_leaves_no_descriptor_behind", "--test-threads=1"])
            .env(CHILD, "1")
            .status()
            .unwrap();
        return assert!(status.success());
    }
    let before = descriptors();
    for _ in 0..20 {
        let lp = Loop::new().unwrap();
        let kept = lp.block_on(async {
            let kept = pair();
            let (ours, peer) = pair();
            drop(spawn(async move {
                let _peer = peer;
                ours.readable().await
            }));
            let (aborted, _peer) = pair();
            let task = spawn(async move { aborted.readable().await });
            yield_now().await;
            task.abort();
            kept
        });
        let (there, _peer) = kept;
        thread::spawn(move || drop(there)).join().unwrap();
    }
    assert_eq!(descriptors(), before);
}

// ---------------------------------------------------------------------------------------------------------- debug mode

/// Runs in processes of its own, one for each thing that the environment may say.
#[test]
fn the_environment_can_put_all_loops_into_debug_mode() {
    const CHILD: &str = "WINDLASS_TEST_DEBUG";
    if std::env::var_os(CHILD).is_some() {
        return paused().block_on(async {
            drop(windlass::task::Builder::new().name("forgotten").spawn(pending::<()>()));
            yield_now().await;
        });
    }
    let says = |debug: &str| {
        let child = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "the_environment_can_put_all_loops_into_debug_mode", "--test-threads=1", "--nocapture"])
            .env(CHILD, "1")
            .env("WINDLASS_DEBUG", debug)
            .output()
            .unwrap();
        assert!(child.status.success());
        String::from_utf8(child.stderr).unwrap()
    };
    let said = says("1");
    assert!(said.contains("windlass: task 2 (forgotten), spawned at tests/the_loop.rs"), "{said}");
    assert!(said.contains("was dropped at its loop's end while it waited for"), "{said}");
    assert!(!says("0").contains("windlass:"));
}

// ------------------------------------------------------------------------------------------------------------- metrics

fn add(sum: Tick, tick: &Tick) -> [u64; 17] {
    let parts = |tick: &Tick| {
        [
            tick.polls,
            tick.wakes,
            tick.remote_wakes,
            tick.stale_wakes,
            tick.redundant_wakes,
            tick.forced_yields,
            tick.spawned,
            tick.events,
            tick.stale_events,
            tick.timers,
            tick.timers_set,
            tick.timers_cancelled,
            tick.parks,
            tick.busy.as_nanos() as u64,
            tick.waited.as_nanos() as u64,
            tick.syscalls,
            tick.would_block,
        ]
    };
    let (sum, tick) = (parts(&sum), parts(tick));
    std::array::from_fn(|n| sum[n] + tick[n])
}

#[test]
fn the_metrics_are_the_sums_of_the_ticks() {
    let lp = Loop::new().unwrap();
    let sums = Rc::new(RefCell::new(([0; 17], 0)));
    let list = sums.clone();
    lp.on_tick(move |tick| {
        let (sum, ticks) = &mut *list.borrow_mut();
        let tick = add(Tick::default(), tick);
        *sum = std::array::from_fn(|n| sum[n] + tick[n]);
        *ticks += 1;
    });
    let before = lp.spawn(async {}); // counts too
    lp.block_on(async {
        let (ours, mut peer) = pair();
        let reader = spawn(async move { ours.read_stream(&mut [0; 8]).await.unwrap() });
        let naps: Vec<_> = (0..5).map(|n| spawn(sleep(Duration::from_micros(n * 100)))).collect();
        peer.write_all(b"x").unwrap();
        let mut woken = false;
        poll_fn(|cx| {
            if std::mem::replace(&mut woken, true) {
                return Poll::Ready(());
            }
            let waker = cx.waker().clone();
            thread::spawn(|| waker.wake()).join().unwrap();
            Poll::Pending
        })
        .await;
        sleep(Duration::from_micros(1)).await;
        assert_eq!(reader.await.unwrap(), 1);
        for nap in naps {
            nap.await.unwrap();
        }
        before.await.unwrap();
        yield_now().await;
    });
    let metrics = lp.metrics();
    let (sum, ticks) = *sums.borrow();
    assert_eq!(ticks, metrics.ticks);
    assert_eq!(sum, add(Tick::default(), &metrics.sum));
    assert!(metrics.events >= 1 && metrics.timers >= 1 && metrics.remote_wakes == 1, "{metrics:?}");
}

#[test]
fn timers_are_counted_when_they_are_set_and_when_they_are_dropped_before_they_fire() {
    let lp = paused();
    lp.block_on(async {
        timeout(Duration::from_secs(1), yield_now()).await.unwrap(); // over within its turn
        timeout(Duration::from_secs(1), sleep(Duration::from_millis(1))).await.unwrap(); // cancelled, and fired
        drop(sleep(Duration::from_secs(1))); // never polled, never set
        drop(spawn(sleep(Duration::from_secs(1)))); // cancelled when the loop ends
        yield_now().await;
        let metrics = metrics();
        assert_eq!((metrics.timers_set, metrics.timers, metrics.timers_cancelled), (4, 1, 2));
        assert_eq!(lp.gauges().timers, 1);
    });
    assert_eq!(lp.metrics().timers_cancelled, 3);
}

#[test]
fn a_task_that_uses_up_its_budget_is_counted() {
    let lp = paused();
    lp.block_on(async {
        for _ in 0..300 {
            poll_fn(windlass::task::poll_proceed).await;
        }
    });
    assert_eq!(lp.metrics().forced_yields, 2);
}

#[test]
fn a_wake_up_of_a_task_in_line_is_redundant() {
    let lp = paused();
    let metrics = lp.block_on(async {
        let waker = Rc::new(RefCell::new(Waker::noop().clone()));
        let leaves = waker.clone();
        drop(spawn(poll_fn(move |cx| {
            leaves.replace(cx.waker().clone());
            Poll::<()>::Pending
        })));
        yield_now().await;
        let before = metrics();
        let waker = waker.borrow().clone();
        (0..3).for_each(|_| waker.wake_by_ref());
        assert_eq!(metrics().wakes - before.wakes, 3);
        metrics()
    });
    assert_eq!(metrics.redundant_wakes, 2);
}

/// On the loop's clock: what a poll moves it by is work, what it jumps by is waiting.
#[test]
fn a_loop_tells_how_long_it_was_busy_and_how_long_it_waited() {
    let lp = paused();
    lp.block_on(async {
        sleep(Duration::from_secs(3)).await;
        advance(Duration::from_secs(1)).await; // moves the clock in its poll
    });
    let metrics = lp.metrics();
    assert_eq!((metrics.waited, metrics.busy), (Duration::from_secs(3), Duration::from_secs(1)));
    assert_eq!((metrics.busy_ratio(), metrics.parks), (0.25, 2)); // the second found its timer due
    lp.block_on(async { advance(Duration::from_secs(1)).await });
    assert_eq!(lp.metrics().busy, Duration::from_secs(2));
}

#[test]
fn what_passes_between_two_runs_is_neither_work_nor_waiting() {
    let lp = Loop::new().unwrap();
    let start = std::time::Instant::now();
    lp.block_on(yield_now());
    let ran = start.elapsed();
    // Nothing sleeps here: that the clock has moved on between the two runs is enough.
    while start.elapsed() < 2 * ran {}
    let between = std::time::Instant::now();
    lp.block_on(yield_now());
    let metrics = lp.metrics();
    assert!(metrics.busy + metrics.waited <= ran + between.elapsed(), "{metrics:?}");
}

#[test]
fn gauges_tell_who_is_there_and_who_is_in_line() {
    let lp = paused();
    lp.block_on(async {
        drop(spawn(pending::<()>()));
        yield_now().await;
        drop((spawn(async {}), spawn(async {})));
        let (_ours, _theirs) = pair();
        let gauges = lp.gauges();
        assert_eq!((gauges.alive, gauges.ready, gauges.sources, gauges.blocking_calls), (4, 2, 1, 0));
    });
    assert_eq!(lp.gauges().alive, 0);
}

#[test]
fn outside_a_loop_there_are_no_metrics() {
    assert!(panic_of(metrics).starts_with("metrics called outside a running loop"));
}

#[test]
fn inside_and_outside_the_metrics_are_the_same() {
    let lp = paused();
    let inside = lp.block_on(async {
        yield_now().await;
        metrics()
    });
    let outside = lp.metrics();
    assert_eq!((inside.ticks + 1, inside.spawned), (outside.ticks, outside.spawned));
}

// ------------------------------------------------------------------------------------------------ what may cross threads

struct Anything;
type SendOnly = Cell<u8>;
type Neither = Rc<u8>;

// The table of the crate's front page, row by row.
assert_impl_all!(Waker: Send, Sync);
assert_impl_all!(Handle: Send, Sync);
assert_impl_all!(windlass::task::TaskId: Send, Sync);
assert_impl_all!(windlass::task::TaskInfo: Send, Sync);
assert_impl_all!(windlass::task::JoinError: Send, Sync);
assert_impl_all!(Instant: Send, Sync);
assert_impl_all!(windlass::time::Sleep: Send, Sync, Unpin);
assert_impl_all!(windlass::time::Interval: Send, Sync, Unpin);
assert_impl_all!(AsyncFd<UnixStream>: Send, Sync, Unpin);
assert_impl_all!(windlass::task::Blocking<Anything>: Send, Sync, Unpin);
assert_impl_all!(windlass::task::Blocking<SendOnly>: Send, Sync);
assert_not_impl_any!(Loop: Send, Sync);
assert_not_impl_any!(JoinHandle<Anything>: Send, Sync);
assert_not_impl_any!(windlass::flow::Retry<Anything>: Send, Sync);
assert_not_impl_any!(windlass::flow::RetryBudget: Send, Sync);
assert_not_impl_any!(windlass::flow::RateLimiter: Send, Sync);

// And what the table need not say.
assert_impl_all!(Metrics: Send, Sync);
assert_impl_all!(Tick: Send, Sync);
assert_impl_all!(windlass::Gauges: Send, Sync);
assert_impl_all!(windlass::Histograms: Send, Sync);
assert_impl_all!(windlass::debug::Report: Send, Sync);
assert_impl_all!(windlass::task::Dump: Send, Sync);
assert_impl_all!(windlass::Builder: Send, Sync);
assert_impl_all!(windlass::task::Builder: Send, Sync);
assert_impl_all!(windlass::task::Closed: Send, Sync);
assert_impl_all!(windlass::task::Spawner: Send, Sync);
assert_impl_all!(windlass::task::TaskState: Send, Sync);
assert_impl_all!(windlass::task::WaitReason: Send, Sync);
assert_impl_all!(windlass::task::YieldNow: Send, Sync);
assert_impl_all!(windlass::time::Elapsed: Send, Sync);
assert_impl_all!(windlass::time::MissedTickBehavior: Send, Sync);
assert_impl_all!(windlass::time::Timeout<Anything>: Send, Sync);
assert_not_impl_any!(windlass::time::Timeout<Neither>: Send, Sync);
assert_impl_all!(windlass::io::Direction: Send, Sync);
assert_impl_all!(windlass::io::Readiness<'static, UnixStream>: Send, Sync);
assert_not_impl_any!(windlass::task::Blocking<Neither>: Send, Sync);
