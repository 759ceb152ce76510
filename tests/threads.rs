//! A loop and other threads.
//! What a thread gets back of what it spawned on a loop, and values that go from thread to task and back.
//!
//! ```text
//!   a thread ── Handle::spawn ──► a task ── RemoteHandle ──► join, or .await anywhere
//!   threads  ── remote::channel ────────────────────────────► a task
//! ```
//!
//! Threads are real and nobody sleeps: each waits for what another has said. Next: `the_loop`, for what is left of them.

#![allow(clippy::unwrap_used)] // tests may, and so may what they share

use std::cell::Cell;
use std::future::pending;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, JoinHandle, ThreadId};

use static_assertions::{assert_impl_all, assert_not_impl_any};
use windlass::remote::{self, Receiver, RemoteHandle, SendError, Sender, TryRecvError, TrySendError};
use windlass::task::{all_tasks, yield_now};
use windlass::{Handle, Loop, cancel, spawn};
use windlass_tests::within_watchdog;

/// A loop on a thread of its own, which runs until this is dropped and then is dropped there.
struct Crank {
    handle: Handle,
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Crank {
    fn new() -> Self {
        let (say, hear) = mpsc::channel();
        let thread = thread::spawn(move || {
            let lp = Loop::new().unwrap();
            let (stop, mut stopped) = remote::channel(1);
            say.send((lp.handle(), stop)).unwrap();
            lp.block_on(stopped.recv());
        });
        let (handle, stop) = hear.recv().unwrap();
        Crank { handle, stop: Some(stop), thread: Some(thread) }
    }

    /// Returns when the loop has read its inbox and polled what was ready.
    fn turn(&self) {
        self.handle.spawn(yield_now()).unwrap().join().unwrap();
    }
}

impl Drop for Crank {
    fn drop(&mut self) {
        drop(self.stop.take());
        self.thread.take().unwrap().join().unwrap();
    }
}

/// A waker of nobody's runtime.
#[derive(Default)]
struct Counter(AtomicUsize);

impl Wake for Counter {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Counter {
    fn new() -> (Arc<Counter>, Waker) {
        let counter = Arc::new(Counter::default());
        (counter.clone(), Waker::from(counter))
    }

    fn wakes(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

fn poll_once<F: Future>(future: F, waker: &Waker) -> Poll<F::Output> {
    pin!(future).poll(&mut Context::from_waker(waker))
}

/// Where it was dropped.
struct Spy(Arc<Mutex<Vec<ThreadId>>>);

impl Drop for Spy {
    fn drop(&mut self) {
        self.0.lock().unwrap().push(thread::current().id());
    }
}

fn message(panic: Box<dyn std::any::Any + Send>) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| text.to_string());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap()
}

// ------------------------------------------------------------------------------------------- what becomes of a task

#[test]
fn a_thread_joins_what_it_has_spawned_on_a_loop() {
    within_watchdog(|| {
        let crank = Crank::new();
        let not_send = || async { *Rc::new(42) };
        assert_eq!(crank.handle.spawn_with(not_send).unwrap().join().unwrap(), 42);
        let there = crank.handle.spawn(async { thread::current().id() }).unwrap().join().unwrap();
        assert_eq!(there, crank.thread.as_ref().unwrap().thread().id());
    });
}

#[test]
fn a_task_of_another_loop_awaits_it() {
    within_watchdog(|| {
        let crank = Crank::new();
        let task = crank.handle.spawn(async { String::from("from the other loop") }).unwrap();
        assert_eq!(Loop::new().unwrap().block_on(task).unwrap(), "from the other loop");
    });
}

#[test]
fn a_task_of_its_own_loop_awaits_it() {
    let lp = Loop::builder().paused_clock().build().unwrap();
    let sum = lp.block_on(async {
        let task = Handle::current().spawn(async { 1 }).unwrap();
        task.await.unwrap() + 1
    });
    assert_eq!(sum, 2);
}

#[test]
fn a_waker_of_any_runtime_is_woken_once_by_the_end_and_only_the_last_one_left() {
    within_watchdog(|| {
        let lp = Loop::builder().paused_clock().build().unwrap();
        let mut task = lp.handle().spawn(async { 7 }).unwrap();
        let (first, second) = (Counter::new(), Counter::new());
        assert!(poll_once(&mut task, &first.1).is_pending());
        assert!(poll_once(&mut task, &second.1).is_pending());
        assert_eq!(Arc::strong_count(&first.0), 2, "the first was let go: one is ours, one the waker's");
        lp.block_on(yield_now());
        assert_eq!((first.0.wakes(), second.0.wakes()), (0, 1));
        assert!(matches!(poll_once(&mut task, &first.1), Poll::Ready(Ok(7))));
    });
}

#[test]
fn awaited_again_it_says_so() {
    let lp = Loop::builder().paused_clock().build().unwrap();
    let mut task = lp.handle().spawn(async {}).unwrap();
    lp.block_on(&mut task).unwrap();
    let panic = catch_unwind(AssertUnwindSafe(|| lp.block_on(task))).unwrap_err();
    assert_eq!(message(panic), "a remote handle was awaited again: it yields its outcome once");
}

#[test]
fn a_panic_arrives_with_its_payload_at_who_joins() {
    within_watchdog(|| {
        let crank = Crank::new();
        let task = crank.handle.spawn(async { std::panic::panic_any(13) }).unwrap();
        assert_eq!(task.join().unwrap_err().into_panic().downcast_ref(), Some(&13));
        crank.turn(); // the loop is as well as before
    });
}

#[test]
fn a_maker_that_panics_is_told_to_who_joins() {
    within_watchdog(|| {
        let crank = Crank::new();
        let make = || -> std::future::Ready<()> { panic!("no future comes of this") };
        let error = crank.handle.spawn_with(make).unwrap().join().unwrap_err();
        assert_eq!(error.to_string(), "task 0 (never begun) panicked: no future comes of this");
    });
}

#[test]
fn a_panic_that_nobody_will_join_is_reported_on_the_loops_thread() {
    within_watchdog(|| {
        thread_local! {
            static REPORTS: Cell<usize> = const { Cell::new(0) };
        }
        let lp = Loop::builder().paused_clock().build().unwrap();
        windlass::task::set_unobserved_panic_hook(Some(|panic| {
            assert!(panic.spawned_at.file().ends_with("threads.rs"));
            REPORTS.set(REPORTS.get() + 1);
        }));
        drop(lp.handle().spawn(async { panic!("and the handle is gone") }).unwrap());
        let kept = lp.handle().spawn(async { panic!("and the handle is there") }).unwrap();
        lp.block_on(yield_now());
        assert_eq!(REPORTS.get(), 1);
        drop(kept); // and now nobody will
        assert_eq!(REPORTS.get(), 2);
    });
}

#[test]
fn a_handle_that_is_dropped_detaches_the_task() {
    within_watchdog(|| {
        let crank = Crank::new();
        let (say, hear) = mpsc::channel();
        drop(crank.handle.spawn(async move { say.send("ran").unwrap() }).unwrap());
        assert_eq!(hear.recv(), Ok("ran"));
    });
}

#[test]
fn abort_from_another_thread_drops_the_future_on_the_loops() {
    within_watchdog(|| {
        let crank = Crank::new();
        let drops = Arc::new(Mutex::new(Vec::new()));
        let spy = Spy(drops.clone());
        let task = crank.handle.spawn(async move {
            let _spy = spy;
            pending::<()>().await
        });
        let task = task.unwrap();
        crank.turn();
        assert!(task.abort());
        assert!(task.join().unwrap_err().is_cancelled());
        assert_eq!(*drops.lock().unwrap(), [crank.thread.as_ref().unwrap().thread().id()]);
    });
}

#[test]
fn cancel_from_another_thread_lets_the_task_clean_up() {
    within_watchdog(|| {
        let crank = Crank::new();
        let task = crank.handle.spawn_with(|| async {
            let asked = cancel::catch(pending::<()>()).await.unwrap_err();
            yield_now().await; // it cleans up
            asked.reason().map(String::from)
        });
        let task = task.unwrap();
        crank.turn();
        assert!(task.cancel_because("closing time"));
        assert_eq!(task.join().unwrap().as_deref(), Some("closing time"));
    });
}

#[test]
fn a_task_that_was_asked_to_stop_before_it_began_never_does() {
    within_watchdog(|| {
        let lp = Loop::builder().paused_clock().build().unwrap();
        let task = lp.handle().spawn_with(|| -> std::future::Pending<()> { unreachable!("nobody wants it") }).unwrap();
        assert!(task.cancel_because("no longer wanted"));
        assert!(!task.is_finished()); // the loop has not read of it
        lp.block_on(yield_now());
        let error = task.join().unwrap_err(); // has ended, so that even this thread may
        assert!(error.is_cancelled());
        assert_eq!(error.reason(), Some("no longer wanted"));
    });
}

#[test]
fn a_task_that_was_asked_to_stop_stops_also_if_the_handle_went_at_once() {
    within_watchdog(|| {
        let lp = Loop::builder().paused_clock().build().unwrap();
        let (say, hear) = mpsc::channel();
        let task = lp.handle().spawn(async move { say.send("it ran").unwrap() }).unwrap();
        assert!(task.abort());
        drop(task);
        lp.block_on(yield_now());
        assert_eq!(hear.recv(), Err(mpsc::RecvError));
    });
}

#[test]
fn asked_to_stop_while_its_future_is_made_it_is_never_polled() {
    within_watchdog(|| {
        let crank = Crank::new();
        let meet = Arc::new(Barrier::new(2));
        let there = meet.clone();
        let make = move || {
            there.wait(); // the maker is running
            there.wait(); // and it was asked
            async { unreachable!("it was asked before its first poll") }
        };
        let task: RemoteHandle<()> = crank.handle.spawn_with(make).unwrap();
        meet.wait();
        assert!(task.cancel_because("too late to begin"));
        meet.wait();
        assert_eq!(task.join().unwrap_err().reason(), Some("too late to begin"));
    });
}

#[test]
fn a_task_that_has_ended_is_not_asked_to_stop() {
    within_watchdog(|| {
        let lp = Loop::builder().paused_clock().build().unwrap();
        let task = lp.handle().spawn(async { 5 }).unwrap();
        lp.block_on(yield_now());
        assert!(!task.abort() && !task.cancel() && !task.cancel_because("late"));
        assert_eq!(task.join().unwrap(), 5);
    });
}

#[test]
fn a_thread_that_joins_is_let_go_when_the_loop_ends_first() {
    within_watchdog(|| {
        let crank = Crank::new();
        let waits = crank.handle.spawn(pending::<()>()).unwrap();
        let waits = thread::spawn(move || waits.join());
        crank.turn();
        drop(crank);
        assert!(waits.join().unwrap().unwrap_err().is_cancelled());
    });
}

#[test]
fn a_thread_that_joins_is_let_go_when_the_loop_is_dropped_without_having_run() {
    within_watchdog(|| {
        let lp = Loop::new().unwrap();
        let drops = Arc::new(Mutex::new(Vec::new()));
        let spy = Spy(drops.clone());
        let task = lp.handle().spawn(async move { drop(spy) }).unwrap();
        let waits = thread::spawn(move || task.join());
        drop(lp);
        let error = waits.join().unwrap().unwrap_err();
        assert_eq!(error.to_string(), "task 0 (never begun) was cancelled: its loop ended first");
        assert_eq!(*drops.lock().unwrap(), [thread::current().id()], "the future was dropped where its loop was");
    });
}

#[test]
fn join_refuses_to_wait_on_the_thread_of_the_loop() {
    let lp = Loop::builder().paused_clock().build().unwrap();
    let task = lp.handle().spawn(async {}).unwrap();
    let panic = catch_unwind(AssertUnwindSafe(|| task.join())).unwrap_err();
    let refused = "join called on the thread of the loop that is to run the task, which would wait for itself";
    assert_eq!(message(panic), refused);
    let inside = lp.block_on(async { catch_unwind(|| Handle::current().spawn(async {}).unwrap().join()) });
    assert_eq!(message(inside.unwrap_err()), refused);
}

#[test]
fn what_blocks_refuses_to_stop_a_running_loop() {
    within_watchdog(|| {
        let crank = Crank::new();
        let task = crank.handle.spawn(pending::<()>()).unwrap();
        let (sender, mut receiver) = remote::channel(1);
        let panics = Loop::new().unwrap().block_on(async move {
            [
                catch_unwind(AssertUnwindSafe(|| drop(task.join()))),
                catch_unwind(AssertUnwindSafe(|| sender.blocking_send(1).unwrap())), // also where there is room
                catch_unwind(AssertUnwindSafe(|| assert_eq!(receiver.blocking_recv(), None))),
            ]
        });
        let refused = panics.map(|panic| message(panic.unwrap_err()));
        for (refused, name) in refused.iter().zip(["join", "blocking_send", "blocking_recv"]) {
            let text = "called inside a running loop, which would stop for it: await instead";
            assert_eq!(*refused, format!("{name} {text}"));
        }
    });
}

#[test]
fn of_a_thousand_tasks_from_four_threads_each_answers_its_own() {
    within_watchdog(|| {
        let crank = Crank::new();
        let threads = [1, 2, 3, 4].map(|thread| {
            let handle = crank.handle.clone();
            thread::spawn(move || {
                let tasks: Vec<_> = (0..250).map(|n| (n, handle.spawn(async move { thread * n }).unwrap())).collect();
                tasks.into_iter().for_each(|(n, task)| assert_eq!(task.join().unwrap(), thread * n));
            })
        });
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
}

// ------------------------------------------------------------------------------------------------------- the channel

#[test]
fn of_forty_thousand_values_from_four_threads_none_is_lost_or_doubled_and_each_threads_are_in_order() {
    within_watchdog(|| {
        let (sender, mut receiver) = remote::channel(16);
        let threads = [0_usize, 1, 2, 3].map(|thread| {
            let sender = sender.clone();
            thread::spawn(move || (0..10_000).for_each(|n| sender.blocking_send((thread, n)).unwrap()))
        });
        drop(sender);
        let next = Loop::new().unwrap().block_on(async {
            let mut next = [0; 4];
            while let Some((thread, n)) = receiver.recv().await {
                assert_eq!(n, next[thread]);
                next[thread] += 1;
            }
            next
        });
        assert_eq!(next, [10_000; 4]);
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
}

#[test]
fn values_go_from_loop_to_loop_and_from_a_loop_to_a_thread() {
    within_watchdog(|| {
        let (sender, mut between) = remote::channel(1);
        let (onwards, mut last) = remote::channel(1);
        let (first, second) = (Crank::new(), Crank::new());
        let sends = first.handle.spawn(async move {
            for n in 0..100 {
                sender.send(n).await.unwrap();
            }
        });
        let passes_on = second.handle.spawn(async move {
            while let Some(n) = between.recv().await {
                onwards.send(n * n).await.unwrap();
            }
        });
        let heard: Vec<u32> = std::iter::from_fn(|| last.blocking_recv()).collect();
        assert_eq!(heard, (0..100).map(|n| n * n).collect::<Vec<_>>());
        sends.unwrap().join().unwrap();
        passes_on.unwrap().join().unwrap();
    });
}

#[test]
fn a_burst_wakes_a_receiver_that_waits_once_and_one_that_does_not_never() {
    let (sender, mut receiver) = remote::channel(8);
    let (counter, waker) = Counter::new();
    (0..3).for_each(|n| sender.try_send(n).unwrap());
    assert_eq!(poll_once(receiver.recv(), &waker), Poll::Ready(Some(0)));
    assert_eq!(receiver.try_recv(), Ok(1));
    assert_eq!(receiver.try_recv(), Ok(2));
    assert_eq!(counter.wakes(), 0);
    let mut waits = Box::pin(receiver.recv());
    assert!(poll_once(waits.as_mut(), &waker).is_pending());
    (0..5).for_each(|n| sender.try_send(n).unwrap());
    assert_eq!(counter.wakes(), 1);
}

#[test]
fn the_receiver_comes_to_an_end_when_all_senders_are_gone_and_nothing_is_left() {
    let (sender, mut receiver) = remote::channel(2);
    let (counter, waker) = Counter::new();
    let second = sender.clone();
    let mut waits = Box::pin(receiver.recv());
    assert!(poll_once(waits.as_mut(), &waker).is_pending());
    drop(sender);
    assert_eq!(counter.wakes(), 0, "there is one more");
    second.try_send(1).unwrap();
    assert_eq!(counter.wakes(), 1);
    drop(second);
    assert_eq!(poll_once(waits.as_mut(), &waker), Poll::Ready(Some(1)));
    drop(waits);
    assert_eq!(poll_once(receiver.recv(), &waker), Poll::Ready(None));
    assert_eq!(receiver.try_recv(), Err(TryRecvError::Closed));
}

#[test]
fn a_receiver_that_waits_is_woken_by_the_last_sender_that_goes() {
    within_watchdog(|| {
        let (sender, mut receiver) = remote::channel::<()>(1);
        let lp = Loop::new().unwrap();
        lp.block_on(async {
            let waits = spawn(async move { receiver.recv().await });
            yield_now().await;
            thread::spawn(move || drop(sender)).join().unwrap();
            assert_eq!(waits.await.unwrap(), None);
        });
    });
}

#[test]
fn who_sends_to_nobody_has_the_value_back() {
    within_watchdog(|| {
        let (sender, receiver) = remote::channel(1);
        drop(receiver);
        assert_eq!(sender.try_send(1), Err(TrySendError::Closed(1)));
        assert_eq!(sender.blocking_send(2), Err(SendError(2)));
        assert_eq!(Loop::new().unwrap().block_on(sender.send(3)), Err(SendError(3)));
    });
}

#[test]
fn a_thread_that_waits_for_room_is_let_go_with_its_value_when_the_loop_ends() {
    within_watchdog(|| {
        let crank = Crank::new();
        let (sender, receiver) = remote::channel(1);
        sender.try_send(1).unwrap();
        drop(crank.handle.spawn(async move {
            let _receiver = receiver; // and it never receives
            pending::<()>().await
        }));
        crank.turn();
        let blocked = sender.clone();
        let blocked = thread::spawn(move || blocked.blocking_send(2));
        drop(crank);
        assert_eq!(blocked.join().unwrap(), Err(SendError(2)));
    });
}

#[test]
fn what_was_not_received_is_dropped_with_the_receiver_where_that_is_dropped() {
    within_watchdog(|| {
        let drops = Arc::new(Mutex::new(Vec::new()));
        let (sender, receiver) = remote::channel(2);
        (0..2).for_each(|_| sender.try_send(Spy(drops.clone())).map_err(drop).unwrap());
        let thread = thread::spawn(move || drop(receiver));
        let there = thread.thread().id();
        thread.join().unwrap();
        assert_eq!(*drops.lock().unwrap(), [there, there]);
    });
}

#[test]
fn what_was_sent_before_the_senders_went_is_dropped_with_the_receiver_too() {
    let drops = Arc::new(Mutex::new(Vec::new()));
    let (sender, receiver) = remote::channel(1);
    sender.try_send(Spy(drops.clone())).map_err(drop).unwrap();
    drop(sender);
    assert!(drops.lock().unwrap().is_empty());
    drop(receiver);
    assert_eq!(drops.lock().unwrap().len(), 1);
}

#[test]
fn who_waits_for_room_goes_first_come_first_served_and_nobody_overtakes() {
    let (sender, mut receiver) = remote::channel(1);
    let (counters, wakers): (Vec<_>, Vec<_>) = (0..2).map(|_| Counter::new()).unzip();
    sender.try_send(0).unwrap();
    let (mut first, mut second) = (pin!(sender.send(1)), pin!(sender.send(2)));
    assert!(poll_once(first.as_mut(), &wakers[0]).is_pending());
    assert!(poll_once(second.as_mut(), &wakers[1]).is_pending());
    assert_eq!(receiver.try_recv(), Ok(0));
    assert_eq!((counters[0].wakes(), counters[1].wakes()), (1, 0));
    assert_eq!(sender.try_send(3), Err(TrySendError::Full(3)), "the place is promised");
    assert!(poll_once(second.as_mut(), &wakers[1]).is_pending());
    assert_eq!(poll_once(first.as_mut(), &wakers[0]), Poll::Ready(Ok(())));
    assert_eq!(receiver.try_recv(), Ok(1));
    assert_eq!(counters[1].wakes(), 1);
    assert_eq!(poll_once(second.as_mut(), &wakers[1]), Poll::Ready(Ok(())));
    assert_eq!(receiver.try_recv(), Ok(2));
    sender.try_send(3).unwrap();
}

#[test]
fn who_gives_up_its_place_in_line_lets_the_next_one_go() {
    let (sender, mut receiver) = remote::channel(1);
    let (counter, waker) = Counter::new();
    sender.try_send(0).unwrap();
    let mut first = Box::pin(sender.send(1));
    let mut second = pin!(sender.send(2));
    assert!(poll_once(first.as_mut(), &Counter::new().1).is_pending());
    assert!(poll_once(second.as_mut(), &waker).is_pending());
    assert_eq!(receiver.try_recv(), Ok(0)); // the first is told
    assert_eq!(counter.wakes(), 0);
    drop(first); // and goes without a word
    assert_eq!(counter.wakes(), 1);
    assert_eq!(poll_once(second.as_mut(), &waker), Poll::Ready(Ok(())));
    assert_eq!(receiver.try_recv(), Ok(2));
}

/// Against a model: a queue, a line, and of those in line so many may go as there is room for.
#[test]
fn every_random_history_sends_what_a_plain_queue_would_in_the_same_order() {
    for seed in 0..500_u64 {
        history(seed);
    }
}

fn history(seed: u64) {
    let mut random = {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        move |below: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) as usize % below
        }
    };
    let capacity = 1 + random(3);
    let (sender, mut receiver) = remote::channel(capacity);
    let mut line = Vec::new(); // futures that wait, and how often they were woken when they were last polled
    let mut queue = std::collections::VecDeque::new();
    let mut next = 0;
    for step in 0..60 {
        let at = format!("seed {seed}, step {step}");
        match random(5) {
            0 => {
                let sent = sender.try_send(next).is_ok();
                assert_eq!(sent, queue.len() + line.len() < capacity, "{at}");
                if sent {
                    queue.push_back(next);
                }
                next += 1;
            }
            1 => {
                let (counter, waker) = Counter::new();
                let mut future = Box::pin(sender.send(next));
                let sent = poll_once(future.as_mut(), &waker).is_ready();
                assert_eq!(sent, queue.len() + line.len() < capacity, "{at}");
                if sent {
                    queue.push_back(next);
                } else {
                    line.push((next, future, counter, waker));
                }
                next += 1;
            }
            2 => assert_eq!(receiver.try_recv().ok(), queue.pop_front(), "{at}"),
            3 if !line.is_empty() => {
                let place = random(line.len());
                let (value, mut future, counter, waker) = line.remove(place);
                let sent = poll_once(future.as_mut(), &waker).is_ready();
                assert_eq!(sent, place < capacity - queue.len(), "{at}");
                if sent {
                    queue.push_back(value);
                } else {
                    line.insert(place, (value, future, counter, waker));
                }
            }
            4 if !line.is_empty() => drop(line.remove(random(line.len()))),
            _ => {}
        }
        for (_, _, counter, _) in &line[..line.len().min(capacity - queue.len())] {
            assert!(counter.wakes() > 0, "who may go was told: {at}");
        }
    }
}

#[test]
fn a_task_says_what_it_waits_for_at_a_channel_and_at_a_handle() {
    within_watchdog(|| {
        let crank = Crank::new();
        let lp = Loop::builder().paused_clock().build().unwrap();
        let (sender, mut receiver) = remote::channel::<u32>(1);
        let (full, _kept) = remote::channel(1);
        full.try_send(0).unwrap();
        let remote = crank.handle.spawn(pending::<()>()).unwrap();
        let told = lp.block_on(async {
            let receives = spawn(async move { receiver.recv().await });
            let sends = spawn(async move { full.send(1).await });
            let joins = spawn(remote);
            yield_now().await;
            let told = all_tasks().into_iter().skip(1).map(|task| task.waiting_for.to_string());
            let told: Vec<_> = told.collect();
            drop((receives, sends, joins, sender));
            told
        });
        let kinds = ["message of remote channel ", "capacity of remote channel ", "remote task "];
        assert_eq!(told.len(), kinds.len());
        kinds.iter().zip(&told).for_each(|(kind, told)| assert!(told.starts_with(kind), "{told}"));
    });
}

#[test]
fn a_channel_that_is_always_full_or_never_empty_keeps_nobody_waiting() {
    let lp = Loop::builder().paused_clock().build().unwrap();
    let (sender, mut receiver) = remote::channel(1_000_000);
    (0..1_000).for_each(|n| sender.try_send(n).unwrap());
    lp.block_on(async move {
        let receives = spawn(async move { while receiver.recv().await != Some(999) {} });
        yield_now().await;
        yield_now().await;
        assert!(!receives.is_finished(), "it had to give way after 128");
        receives.await.unwrap();
    });
}

// ---------------------------------------------------------------------------------------------- what may cross threads

struct Anything;
type SendOnly = Cell<u8>;
type Neither = Rc<u8>;

assert_impl_all!(RemoteHandle<SendOnly>: Send, Sync, Unpin);
assert_impl_all!(RemoteHandle<Anything>: Send, Sync);
assert_impl_all!(Sender<SendOnly>: Send, Sync, Unpin, Clone);
assert_impl_all!(Receiver<SendOnly>: Send, Sync, Unpin);
assert_not_impl_any!(RemoteHandle<Neither>: Send, Sync);
assert_not_impl_any!(Sender<Neither>: Send, Sync);
assert_not_impl_any!(Receiver<Neither>: Send, Sync);

#[test]
fn what_waits_at_a_channel_may_be_a_task_of_a_runtime_with_many_threads() {
    fn may_be_moved<T: Send>(_: &T) {}
    let (sender, mut receiver) = remote::channel::<SendOnly>(1);
    may_be_moved(&sender.send(Cell::new(1)));
    may_be_moved(&receiver.recv());
}
