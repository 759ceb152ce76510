//! What the executor promises, one fact a test.
//!
//! ```text
//!   Crank   a loop that turns only when a test says so: turn(), and look
//!   Hook    a waker whose clone, wake and drop run what the test likes: foreign code at its worst
//!   Spy     counts when it is dropped, and where
//! ```
//!
//! Invariants I1 to I5 of the crate are named where they are tested. Not here: the inbox against every interleaving of
//! threads (`inbox`, with `--cfg loom`), allocations (the tests package).

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::future::{pending, poll_fn};
use std::panic::{AssertUnwindSafe, Location, catch_unwind, panic_any};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, ThreadId};
use std::time::Duration;

use futures_task::LocalSpawn;

use crate::cell::hooked_waker;
use crate::waits::WaitReason;
use crate::*;

// ---------------------------------------------------------------------------------------------- what the tests share

/// How long anything may take before a test is called hung: long enough for the slowest machine.
const WATCHDOG: Duration = Duration::from_secs(60);

/// Runs `test` on a thread of its own, so that a hang is a failure and not a hang.
pub(crate) fn within_watchdog(test: impl FnOnce() + Send + 'static) {
    let (ended, end) = mpsc::channel();
    let thread = thread::spawn(move || {
        test();
        ended.send(()).unwrap();
    });
    match end.recv_timeout(WATCHDOG) {
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("hung"),
        _ => thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
    }
}

/// A loop that turns only when the test says so. It is entered for as long as it lives.
pub(crate) struct Crank {
    pub(crate) executor: Executor,
    unparks: Arc<AtomicUsize>,
    _entered: Enter, // dropped last: the loop is entered while its tasks are dropped
}

impl Crank {
    #[track_caller]
    pub(crate) fn new() -> Self {
        let unparks = Arc::new(AtomicUsize::new(0));
        let counter = unparks.clone();
        let executor = Executor::new(move || {
            counter.fetch_add(1, Ordering::SeqCst);
        })
        .unwrap();
        let _entered = executor.enter(Location::caller()).unwrap();
        Crank { executor, unparks, _entered }
    }

    /// Reads the inbox and polls what is ready until nothing is, or `polls` are used up.
    pub(crate) fn turn_with(&self, polls: u32) -> Stop {
        self.executor.read_inbox();
        let stop = self.executor.run(&Cell::new(polls));
        self.executor.assert_queue_agrees_with_the_bits();
        stop
    }

    pub(crate) fn turn(&self) -> Stop {
        self.turn_with(u32::MAX)
    }

    fn polls(&self) -> u64 {
        self.executor.counts().polls
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Touch {
    Clone,
    Wake,
    Drop,
}

type HookFn = Rc<dyn Fn(Touch)>;

thread_local! {
    static HOOKS: RefCell<Vec<HookFn>> = const { RefCell::new(Vec::new()) };
    static REPORTS: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// A hooked waker was touched. On a thread that set no hooks this does nothing.
pub(crate) fn touched(number: usize, touch: Touch) {
    let hook = HOOKS.with_borrow(|hooks| hooks.get(number).cloned());
    if let Some(hook) = hook {
        hook(touch);
    }
}

/// A waker that calls `hook` whenever it is touched, on this thread.
pub(crate) fn hook(hook: impl Fn(Touch) + 'static) -> Waker {
    hooked_waker(hang_up(hook), 0)
}

/// As [`hook`], and `will_wake` does not know it by its clones. So it may be with any waker, where the compiler has made two
/// tables of one.
pub(crate) fn hook_unlike_its_clones(hook: impl Fn(Touch) + 'static) -> Waker {
    hooked_waker(hang_up(hook), 1)
}

/// The number of a hook from now on.
fn hang_up(hook: impl Fn(Touch) + 'static) -> usize {
    HOOKS.with_borrow_mut(|hooks| {
        hooks.push(Rc::new(hook));
        hooks.len() - 1
    })
}

/// A waker that counts its wakes.
#[derive(Default)]
pub(crate) struct Counter(AtomicUsize);

impl Counter {
    pub(crate) fn new() -> (Arc<Counter>, Waker) {
        let counter = Arc::new(Counter::default());
        (counter.clone(), Waker::from(counter))
    }

    pub(crate) fn wakes(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

impl Wake for Counter {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// Remembers the threads it was dropped on.
#[derive(Clone, Default)]
struct Drops(Arc<Mutex<Vec<ThreadId>>>);

impl Drops {
    fn spy(&self) -> Spy {
        Spy(self.clone())
    }

    fn count(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    fn all_here(&self) -> bool {
        self.0.lock().unwrap().iter().all(|thread| *thread == thread::current().id())
    }
}

struct Spy(Drops);

impl Drop for Spy {
    fn drop(&mut self) {
        self.0.0.lock().unwrap().push(thread::current().id());
    }
}

/// Calls a closure when it is dropped.
struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// Waits for a poll with `flag` set; leaves its waker in `waker` before it says that it is pending.
async fn until(flag: Rc<Cell<bool>>, waker: Rc<RefCell<Option<Waker>>>) {
    poll_fn(|cx| {
        if flag.get() {
            return Poll::Ready(());
        }
        waker.replace(Some(cx.waker().clone()));
        Poll::Pending
    })
    .await;
}

type Sleeper = (JoinHandle<()>, Rc<RefCell<Option<Waker>>>);

/// A task that sleeps until its waker is used, and counts its polls.
fn sleeper(polls: &Rc<Cell<u32>>) -> Sleeper {
    let (polls, waker) = (polls.clone(), Rc::new(RefCell::new(None)));
    let place = waker.clone();
    let task = spawn(poll_fn(move |cx| {
        polls.set(polls.get() + 1);
        place.replace(Some(cx.waker().clone()));
        Poll::<()>::Pending
    }));
    (task, waker)
}

fn poll_with<F: Future>(future: Pin<&mut F>, waker: &Waker) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(waker))
}

fn poll_once<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    poll_with(future, Waker::noop())
}

fn text(panic: Box<dyn Any + Send>) -> String {
    match panic.downcast::<String>() {
        Ok(text) => *text,
        Err(panic) => panic.downcast_ref::<&str>().expect("a panic with a text").to_string(),
    }
}

/// The message that `f` panics with.
#[track_caller]
fn panic_of<R>(f: impl FnOnce() -> R) -> String {
    text(catch_unwind(AssertUnwindSafe(f)).err().expect("it panics"))
}

/// What was reported as panics that nobody sees, while `f` ran.
fn reports_of(f: impl FnOnce()) -> Vec<String> {
    set_unobserved_panic_hook(Some(|panic| REPORTS.with_borrow_mut(|reports| reports.push(panic.to_string()))));
    f();
    set_unobserved_panic_hook(None);
    REPORTS.take()
}

/// A generator of which the same seed gives the same numbers (xorshift64*, Vigna 2016).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % n
    }
}

/// A value whose drop panics.
struct Grenade(&'static str);

impl Drop for Grenade {
    fn drop(&mut self) {
        panic!("{}", self.0);
    }
}

// ------------------------------------------------------------------------------------------------ the queue: I1, I2

/// I1.
#[test]
fn a_task_woken_many_times_is_queued_once() {
    let crank = Crank::new();
    let polls = Rc::new(Cell::new(0));
    let (_task, waker) = sleeper(&polls);
    crank.turn();
    let waker = waker.take().unwrap();
    for _ in 0..10 {
        waker.wake_by_ref();
        crank.executor.assert_queue_agrees_with_the_bits();
    }
    crank.turn();
    assert_eq!(polls.get(), 2);
}

/// I1, through random histories of spawns, wakes, aborts and turns.
#[test]
fn the_queue_and_the_queued_bits_agree_whatever_happens() {
    for seed in 1..=64 {
        println!("seed {seed}");
        let mut random = Random(seed);
        let crank = Crank::new();
        let polls = Rc::new(Cell::new(0));
        let mut tasks: Vec<Sleeper> = Vec::new();
        for _ in 0..300 {
            match random.below(8) {
                0 | 1 => tasks.push(sleeper(&polls)),
                2 | 3 if !tasks.is_empty() => {
                    let waker = tasks[random.below(tasks.len())].1.borrow().clone();
                    waker.inspect(Waker::wake_by_ref);
                }
                4 if !tasks.is_empty() => _ = tasks[random.below(tasks.len())].0.abort(),
                5 if !tasks.is_empty() => drop(tasks.swap_remove(random.below(tasks.len())).0),
                6 if !tasks.is_empty() => {
                    // A wake-up that outlives its task.
                    let (task, waker) = tasks.swap_remove(random.below(tasks.len()));
                    task.abort();
                    crank.turn();
                    waker.take().inspect(Waker::wake_by_ref);
                }
                _ => _ = crank.turn_with(random.below(4) as u32),
            }
            crank.executor.assert_queue_agrees_with_the_bits();
        }
    }
}

/// I2.
#[test]
fn a_wake_during_the_poll_queues_the_task_again() {
    let crank = Crank::new();
    let polls = Rc::new(Cell::new(0));
    let count = polls.clone();
    let task = spawn(poll_fn(move |cx| {
        count.set(count.get() + 1);
        cx.waker().wake_by_ref();
        if count.get() == 3 { Poll::Ready(()) } else { Poll::Pending }
    }));
    assert_eq!(crank.turn(), Stop::Idle);
    assert!(task.is_finished());
    assert_eq!(polls.get(), 3);
}

/// I2, when the wake-up takes the way through the inbox.
#[test]
fn a_wake_from_another_thread_during_the_poll_queues_the_task_again() {
    let crank = Crank::new();
    let polls = Rc::new(Cell::new(0));
    let count = polls.clone();
    let task = spawn(poll_fn(move |cx| {
        count.set(count.get() + 1);
        if count.get() == 2 {
            return Poll::Ready(());
        }
        let waker = cx.waker().clone();
        thread::spawn(move || waker.wake()).join().unwrap();
        Poll::Pending
    }));
    crank.turn();
    assert!(!task.is_finished(), "the message is in the inbox");
    assert!(!crank.executor.park(), "with a message there the loop may not sleep");
    crank.turn();
    assert!(task.is_finished());
}

#[test]
fn a_task_that_wakes_itself_runs_once_per_round() {
    let crank = Crank::new();
    let order = Rc::new(RefCell::new(Vec::new()));
    for name in ["a", "b", "c"] {
        let order = order.clone();
        drop(spawn(async move {
            for _ in 0..3 {
                order.borrow_mut().push(name);
                yield_now().await;
            }
        }));
    }
    crank.turn();
    assert_eq!(*order.borrow(), ["a", "b", "c", "a", "b", "c", "a", "b", "c"]);
}

#[test]
fn a_thousand_tasks_woken_at_once_run_in_the_order_they_were_woken() {
    let crank = Crank::new();
    let order = Rc::new(RefCell::new(Vec::new()));
    let flag = Rc::new(Cell::new(false));
    let wakers: Vec<_> = (0..1000)
        .map(|number| {
            let (order, waker) = (order.clone(), Rc::new(RefCell::new(None)));
            let wait = until(flag.clone(), waker.clone());
            drop(spawn(async move {
                wait.await;
                order.borrow_mut().push(number);
            }));
            waker
        })
        .collect();
    crank.turn();
    flag.set(true);
    // Not the order of spawning: that could come out right by chance.
    let woken: Vec<_> = (0..1000).map(|n| (n * 7 + 3) % 1000).collect();
    woken.iter().for_each(|n: &usize| wakers[*n].take().unwrap().wake());
    crank.turn();
    assert_eq!(*order.borrow(), woken);
}

#[test]
fn tasks_first_run_in_the_order_they_were_spawned_however_many_polls_are_allowed_at_once() {
    for polls in 1..20 {
        let crank = Crank::new();
        let order = Rc::new(RefCell::new(Vec::new()));
        for number in 0..50 {
            let order = order.clone();
            drop(spawn(async move {
                order.borrow_mut().push(number);
                yield_now().await;
                order.borrow_mut().push(number);
            }));
        }
        while crank.turn_with(polls) == Stop::Budget {}
        assert_eq!(*order.borrow(), (0..50).chain(0..50).collect::<Vec<_>>());
    }
}

#[test]
fn no_more_polls_are_made_than_allowed() {
    let crank = Crank::new();
    for _ in 0..10 {
        drop(spawn(async {}));
    }
    let polls_left = Cell::new(4);
    assert_eq!(crank.executor.run(&polls_left), Stop::Budget);
    assert_eq!((polls_left.get(), crank.polls()), (0, 4));
    assert_eq!(crank.executor.run(&Cell::new(6)), Stop::Idle, "the last poll allowed was the last one wanted");
    assert_eq!(crank.polls(), 10);
}

#[test]
fn a_spawned_future_does_not_run_inside_spawn() {
    let crank = Crank::new();
    let ran = Rc::new(Cell::new(false));
    let flag = ran.clone();
    drop(spawn(async move { flag.set(true) }));
    assert!(!ran.get());
    crank.turn();
    assert!(ran.get());
}

#[test]
fn a_task_that_runs_its_own_loop_is_told_off_and_nobody_loses_a_turn() {
    let executor = Rc::new(Executor::new(|| {}).unwrap());
    let _entered = executor.enter(Location::caller()).unwrap();
    let turns = Rc::new(Cell::new(0));
    let others = || {
        let turns = turns.clone();
        drop(spawn(async move {
            for _ in 0..2 {
                turns.set(turns.get() + 1);
                yield_now().await;
            }
        }));
    };
    others();
    let its_own = executor.clone();
    let task = spawn(async move { its_own.run(&Cell::new(1)) });
    others();
    others();
    while executor.run(&Cell::new(2)) != Stop::Idle {}
    assert_eq!((turns.get(), executor.alive()), (6, 0), "all have had their turns, and ended");
    let Poll::Ready(outcome) = poll_once(pin!(task)) else { panic!("it has ended") };
    assert!(text(outcome.unwrap_err().into_panic()).contains("inside a poll of its own"));
}

#[test]
fn the_root_has_its_place_in_the_line() {
    let order = Rc::new(RefCell::new(Vec::new()));
    doc(async {
        let push = |name: &'static str| order.borrow_mut().push(name);
        let tasks = ["first", "second"].map(|name| {
            let order = order.clone();
            spawn(async move {
                order.borrow_mut().push(name);
                yield_now().await;
                order.borrow_mut().push(name);
            })
        });
        push("main");
        yield_now().await;
        push("main");
        for task in tasks {
            task.await.unwrap();
        }
    });
    assert_eq!(*order.borrow(), ["main", "first", "second", "main", "first", "second"]);
}

#[test]
fn who_has_the_number_of_a_root_that_is_gone_is_not_ended_as_the_root() {
    let executor = Rc::new(Executor::new(|| {}).unwrap());
    let _entered = executor.enter(Location::caller()).unwrap();
    executor.begin_root(Location::caller());
    executor.drop_tasks();
    executor.start_generations_over();
    let same = Rc::downgrade(&executor);
    let task = spawn(async move {
        same.upgrade().unwrap().end_root();
        yield_now().await;
    });
    assert_eq!(executor.run(&Cell::new(10)), Stop::Idle);
    assert!(task.is_finished());
}

#[test]
fn the_root_is_polled_once_for_each_wake_and_once_to_begin() {
    let polls = Cell::new(0);
    doc(async {
        let mut rounds = 0;
        poll_fn(|cx| {
            polls.set(polls.get() + 1);
            rounds += 1;
            if rounds > 100 {
                return Poll::Ready(());
            }
            cx.waker().wake_by_ref();
            cx.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
    });
    assert_eq!(polls.get(), 101);
}

// -------------------------------------------------------------------------------------------------- stale wakers: I4

/// I4.
#[test]
fn a_waker_that_outlived_its_task_does_not_wake_the_next_one_at_its_index() {
    let crank = Crank::new();
    let polls = Rc::new(Cell::new(0));
    let (old, waker) = sleeper(&polls);
    crank.turn();
    old.abort();
    crank.turn();
    let (_new, _) = sleeper(&polls);
    crank.turn();
    assert_eq!(polls.get(), 2);
    let before = crank.executor.counts();
    waker.take().unwrap().wake();
    crank.turn();
    let after = crank.executor.counts();
    assert_eq!(polls.get(), 2, "the new task was not polled");
    assert_eq!(after.stale_wakes - before.stale_wakes, 1, "and the wake-up was counted");
    assert_eq!(after.wakes, before.wakes);
}

/// I4, through the inbox.
#[test]
fn a_stale_wake_from_another_thread_is_counted_and_does_nothing() {
    let crank = Crank::new();
    let polls = Rc::new(Cell::new(0));
    let (old, waker) = sleeper(&polls);
    crank.turn();
    old.abort();
    crank.turn();
    let (_new, _) = sleeper(&polls);
    crank.turn();
    let waker = waker.take().unwrap();
    thread::spawn(move || waker.wake()).join().unwrap();
    crank.turn();
    assert_eq!(polls.get(), 2);
    assert_eq!(crank.executor.counts().stale_wakes, 1);
}

/// I4.
#[test]
fn a_waker_may_be_used_after_its_loop_is_gone() {
    let crank = Crank::new();
    let (_task, waker) = sleeper(&Rc::default());
    crank.turn();
    let waker = waker.take().unwrap();
    drop(crank);
    waker.wake_by_ref();
    let elsewhere = waker.clone();
    thread::spawn(move || elsewhere.wake()).join().unwrap();
    let _other = Crank::new();
    waker.wake();
}

/// I4.
#[test]
fn a_waker_may_be_used_while_its_loop_goes() {
    for _ in 0..500 {
        let crank = Crank::new();
        let (_task, waker) = sleeper(&Rc::default());
        crank.turn();
        let waker = waker.take().unwrap();
        let start = Arc::new(Barrier::new(2));
        let begin = start.clone();
        let thread = thread::spawn(move || {
            begin.wait();
            for _ in 0..20 {
                waker.wake_by_ref();
            }
        });
        start.wait();
        drop(crank);
        thread.join().unwrap();
    }
}

#[test]
fn a_waker_of_one_loop_used_inside_another_wakes_its_own() {
    within_watchdog(|| {
        let (say, hear) = mpsc::channel::<Waker>();
        let sleeper = thread::spawn(move || {
            doc(async {
                let mut woken = false;
                poll_fn(|cx| {
                    if woken {
                        return Poll::Ready(());
                    }
                    woken = true;
                    say.send(cx.waker().clone()).unwrap();
                    Poll::Pending
                })
                .await;
            });
        });
        doc(async { hear.recv().unwrap().wake() });
        sleeper.join().unwrap();
    });
}

#[test]
fn two_wakers_are_the_same_if_they_wake_the_same_task() {
    let crank = Crank::new();
    let polls = Rc::default();
    let (_one, first) = sleeper(&polls);
    let (_two, second) = sleeper(&polls);
    crank.turn();
    let (first, second) = (first.take().unwrap(), second.take().unwrap());
    assert!(first.will_wake(&first.clone()));
    assert!(!first.will_wake(&second));
}

// ---------------------------------------------------------------------------------------------------- other threads

#[test]
fn of_300_000_wakes_from_4_threads_none_is_lost() {
    const ROUNDS: u64 = 75_000;
    within_watchdog(|| {
        doc(async {
            let tasks = [(); 4].map(|()| {
                spawn(async {
                    // Each wake has its number; the next is sent only when this one has arrived, so none can be lost
                    // behind another.
                    let (asked, done) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
                    let (waker_to, wakers) = mpsc::channel::<Waker>();
                    let (asked_there, done_there) = (asked.clone(), done.clone());
                    let thread = thread::spawn(move || {
                        let waker = wakers.recv().unwrap();
                        for number in 1..=ROUNDS {
                            asked_there.store(number, Ordering::Relaxed);
                            waker.wake_by_ref();
                            while done_there.load(Ordering::Acquire) < number {
                                std::hint::spin_loop();
                                thread::yield_now();
                            }
                        }
                    });
                    let mut sent = false;
                    poll_fn(|cx| {
                        if !sent {
                            sent = true;
                            waker_to.send(cx.waker().clone()).unwrap();
                        }
                        // Relaxed: the wake-up itself must carry what was stored before it.
                        let number = asked.load(Ordering::Relaxed);
                        done.store(number, Ordering::Release);
                        if number == ROUNDS { Poll::Ready(()) } else { Poll::Pending }
                    })
                    .await;
                    thread.join().unwrap();
                })
            });
            for task in tasks {
                task.await.unwrap();
            }
        });
    });
}

#[test]
fn wakes_that_come_while_the_loop_is_awake_do_not_unpark_it() {
    let crank = Crank::new();
    let (_task, waker) = sleeper(&Rc::default());
    crank.turn();
    let waker = waker.take().unwrap();
    thread::spawn(move || (0..10).for_each(|_| waker.wake_by_ref())).join().unwrap();
    assert_eq!(crank.unparks.load(Ordering::SeqCst), 0);
}

/// R61: what waits for a loop that is away is bounded by its tasks, not by how often they are woken.
#[test]
fn wakes_that_say_the_same_do_not_pile_up_while_the_loop_is_away() {
    let crank = Crank::new();
    let tasks: Vec<_> = (0..3)
        .map(|_| {
            let polls = Rc::new(Cell::new(0));
            let (task, waker) = sleeper(&polls);
            (task, waker, polls)
        })
        .collect();
    crank.turn();
    let wakers: Vec<Waker> = tasks.iter().map(|(_, waker, _)| waker.take().unwrap()).collect();
    thread::spawn(move || (0..30_000).for_each(|n| wakers[n % 3].wake_by_ref())).join().unwrap();
    crank.turn();
    assert!(tasks.iter().all(|(_, _, polls)| polls.get() == 2), "each was woken, and once");
    let told = crank.executor.counts().remote_wakes;
    assert!(told < 3_000, "{told} messages to wake three tasks");
}

#[test]
fn many_wakes_of_a_parked_loop_unpark_it_once() {
    let crank = Crank::new();
    let (_task, waker) = sleeper(&Rc::default());
    crank.turn();
    let waker = waker.take().unwrap();
    assert!(crank.executor.park());
    thread::spawn(move || (0..10).for_each(|_| waker.wake_by_ref())).join().unwrap();
    assert_eq!(crank.unparks.load(Ordering::SeqCst), 1);
}

#[test]
fn a_call_that_posts_itself_again_leaves_the_tasks_their_turn() {
    fn again(id: LoopId, left: Arc<AtomicBool>) {
        if left.load(Ordering::SeqCst) {
            let _ = post(id, Box::new(move || again(id, left)));
        }
    }
    within_watchdog(|| {
        doc(async {
            let polled = Arc::new(AtomicBool::new(true));
            let id = crate::cell::with_current(|core| core.unwrap().blocking_began().id());
            again(id, polled.clone());
            for _ in 0..10 {
                yield_now().await;
            }
            polled.store(false, Ordering::SeqCst);
        });
    });
}

#[test]
fn a_posted_call_that_panics_is_its_senders_trouble() {
    let crank = Crank::new();
    let after = Arc::new(AtomicBool::new(false));
    let flag = after.clone();
    let id = crank.executor.id();
    assert!(post(id, Box::new(|| panic!("in a call"))).is_ok());
    assert!(post(id, Box::new(|| panic_any(Grenade("in the payload of a call")))).is_ok());
    assert!(post(id, Box::new(move || flag.store(true, Ordering::SeqCst))).is_ok());
    crank.turn();
    assert!(after.load(Ordering::SeqCst), "what came after it was done");
}

#[test]
fn what_a_call_panicked_with_is_dropped() {
    let crank = Crank::new();
    let drops = Drops::default();
    let spy = drops.spy();
    assert!(post(crank.executor.id(), Box::new(move || panic_any(spy))).is_ok());
    crank.turn();
    assert_eq!(drops.count(), 1);
}

#[test]
fn a_call_for_a_loop_that_is_gone_comes_back() {
    let crank = Crank::new();
    let id = crank.executor.id();
    drop(crank);
    let spy = Drops::default();
    let held = spy.spy();
    let back = post(id, Box::new(move || drop(held)));
    assert_eq!(spy.count(), 0);
    let Err(call) = back else { panic!("it comes back") };
    drop(call);
    assert_eq!(spy.count(), 1);
}

#[test]
fn a_call_for_a_loop_that_is_gone_never_reaches_one_that_took_its_place() {
    let gone = Crank::new().executor.id();
    let places_once_around: Vec<_> = (0..4_200).map(|_| Executor::new(|| {}).unwrap().id()).collect();
    assert!(places_once_around.iter().any(|id| id.short() == gone.short()), "the place was used again");
    let crank = Crank::new();
    assert!(post(gone, Box::new(|| unreachable!("for another loop"))).is_err());
    crank.turn();
}

#[test]
fn calls_left_when_the_loop_goes_are_dropped_on_its_thread_and_none_hinders_the_others() {
    let crank = Crank::new();
    let drops = Drops::default();
    for _ in 0..2 {
        let spy = drops.spy();
        let grenade = Grenade("in a call that was never made");
        assert!(post(crank.executor.id(), Box::new(move || drop((spy, grenade)))).is_ok());
    }
    drop(crank);
    assert_eq!(drops.count(), 2);
    assert!(drops.all_here());
}

#[test]
fn a_remote_spawns_from_another_thread_a_future_that_is_not_send() {
    let crank = Crank::new();
    let remote = Remote::new(&crank.executor);
    let (say, hear) = mpsc::channel();
    thread::spawn(move || {
        remote.spawn_with(move || {
            let local = Rc::new(7);
            async move {
                yield_now().await;
                say.send((*local, thread::current().id())).unwrap();
            }
        })
    })
    .join()
    .unwrap()
    .unwrap();
    crank.turn();
    assert_eq!(hear.try_recv().unwrap(), (7, thread::current().id()));
}

#[test]
fn a_remote_names_the_place_of_its_call_as_the_spawn_site() {
    let crank = Crank::new();
    let line = line!() + 1;
    Remote::new(&crank.executor).spawn_with(pending::<()>).unwrap();
    crank.turn();
    let task = all_tasks().pop().unwrap();
    assert_eq!((task.spawned_at.file(), task.spawned_at.line()), (file!(), line));
}

#[test]
fn a_remote_to_a_loop_that_is_gone_says_so() {
    let crank = Crank::new();
    let remote = Remote::new(&crank.executor);
    drop(crank);
    assert_eq!(remote.spawn_with(|| async {}).unwrap_err(), Closed);
    assert_eq!(Closed.to_string(), "the loop is gone");
}

#[test]
fn a_remote_whose_maker_panics_leaves_the_loop_alone() {
    let crank = Crank::new();
    let remote = Remote::new(&crank.executor);
    remote.spawn_with(|| -> std::future::Ready<()> { panic!("no future comes of this") }).unwrap();
    let (task, _) = sleeper(&Rc::default());
    crank.turn();
    assert_eq!(all_tasks().len(), 1);
    drop(task);
}

/// I5.
#[test]
fn a_future_is_dropped_on_its_own_thread_also_when_another_holds_its_last_waker() {
    let crank = Crank::new();
    let drops = Drops::default();
    let (spy, waker) = (drops.spy(), Rc::new(RefCell::new(None)));
    let wait = until(Rc::default(), waker.clone());
    drop(spawn(async move {
        let _spy = spy;
        wait.await;
    }));
    crank.turn();
    let foreign = waker.take().unwrap();
    let (go, gone) = mpsc::channel::<()>();
    let thread = thread::spawn(move || {
        gone.recv().unwrap();
        foreign.wake();
    });
    drop(crank);
    assert_eq!(drops.count(), 1);
    go.send(()).unwrap();
    thread.join().unwrap();
    assert!(drops.all_here());
    assert_eq!(drops.count(), 1);
}

#[test]
fn there_is_room_for_4095_loops_and_the_next_is_refused_until_one_goes() {
    within_watchdog(|| {
        // Other tests have loops too: all that matters is that it ends, and that a place that is given back is found.
        let mut loops: Vec<_> = std::iter::from_fn(|| Executor::new(|| {}).ok()).collect();
        assert!(loops.len() <= 4095);
        let error = Executor::new(|| {}).err().map(|error| error.to_string());
        if let Some(error) = error {
            assert_eq!(error, "a process can have 4095 loops at one time, and has");
        }
        let before = loops.pop().unwrap().id();
        // Another test may take the place at once, but they all end.
        let again = loop {
            match Executor::new(|| {}) {
                Ok(executor) => break executor,
                Err(_) => thread::yield_now(),
            }
        };
        assert_ne!(before, again.id(), "no two loops of a process have the same id");
    });
}

// ------------------------------------------------------------------------------------------------------ join handles

#[test]
fn a_join_handle_yields_the_output() {
    assert_eq!(doc(async { spawn(async { "out" }).await.unwrap() }), "out");
}

#[test]
fn a_join_handle_wakes_the_last_waker_it_was_polled_with() {
    let crank = Crank::new();
    let flag = Rc::new(Cell::new(false));
    let place = Rc::new(RefCell::new(None));
    let mut task = pin!(spawn(until(flag.clone(), place.clone())));
    crank.turn();
    let (first, first_waker) = Counter::new();
    let (second, second_waker) = Counter::new();
    assert!(poll_with(task.as_mut(), &first_waker).is_pending());
    assert!(poll_with(task.as_mut(), &second_waker).is_pending());
    flag.set(true);
    place.take().unwrap().wake();
    crank.turn();
    assert_eq!((first.wakes(), second.wakes()), (0, 1));
    assert!(poll_with(task.as_mut(), &first_waker).is_ready());
}

#[test]
fn a_join_handle_yields_its_output_once() {
    let crank = Crank::new();
    let mut task = pin!(spawn(async {}));
    crank.turn();
    assert!(poll_once(task.as_mut()).is_ready());
    assert_eq!(
        panic_of(|| poll_once(task.as_mut())).lines().next().unwrap(),
        "a join handle was awaited again: it yields its output once"
    );
}

#[test]
fn a_join_handle_given_up_by_one_await_can_be_awaited_again() {
    doc(async {
        let mut task = spawn(async {
            yield_now().await;
            1
        });
        {
            let again = &mut task;
            let mut given_up = pin!(async { again.await.unwrap() });
            assert!(poll_once(given_up.as_mut()).is_pending());
        }
        assert_eq!(task.await.unwrap(), 1);
    });
}

#[test]
fn dropping_a_join_handle_detaches_the_task() {
    let crank = Crank::new();
    let done = Rc::new(Cell::new(false));
    let flag = done.clone();
    drop(spawn(async move {
        yield_now().await;
        flag.set(true);
    }));
    crank.turn();
    assert!(done.get());
    assert_eq!(crank.executor.alive(), 0);
}

#[test]
fn the_output_of_a_detached_task_is_dropped_when_it_ends() {
    let crank = Crank::new();
    let drops = Drops::default();
    let spy = drops.spy();
    drop(spawn(async move { spy }));
    crank.turn();
    assert_eq!(drops.count(), 1);
}

#[test]
fn an_output_that_nobody_took_is_dropped_with_the_handle() {
    let crank = Crank::new();
    let drops = Drops::default();
    let spy = drops.spy();
    let task = spawn(async move { spy });
    crank.turn();
    assert_eq!(drops.count(), 0);
    drop(task);
    assert_eq!(drops.count(), 1);
}

#[test]
fn is_finished_turns_true_when_the_task_ends_and_stays_so() {
    let crank = Crank::new();
    let mut task = pin!(spawn(async {}));
    assert!(!task.is_finished());
    crank.turn();
    assert!(task.is_finished());
    assert!(poll_once(task.as_mut()).is_ready());
    assert!(task.is_finished());
}

#[test]
fn task_ids_count_up_from_1_and_are_never_used_again() {
    let crank = Crank::new();
    let mut seen = BTreeSet::new();
    for number in 1..=100 {
        let task = spawn(async {});
        assert_eq!(task.id().to_string(), number.to_string());
        assert!(seen.insert(task.id()));
        if number % 3 == 0 {
            crank.turn();
        }
    }
}

#[test]
fn a_task_is_called_by_its_name_or_by_its_number() {
    let crank = Crank::new();
    let named = Builder::new().name("crank").spawn(async {});
    let plain = spawn(async {});
    assert_eq!((named.name().as_str(), plain.name().as_str()), ("crank", "Task-2"));
    crank.turn();
    assert_eq!(named.name(), "crank", "also when it has ended");
    drop(named);
    let next = spawn(async {});
    assert_eq!(next.name(), "Task-3", "a name does not pass on to who gets the memory next");
}

#[test]
fn a_handle_outlives_its_loop_and_yields_cancelled() {
    let crank = Crank::new();
    let task = spawn(pending::<()>());
    crank.turn();
    drop(crank);
    assert!(task.is_finished());
    assert!(!task.abort());
    assert!(doc(task).unwrap_err().is_cancelled());
}

#[test]
fn a_handle_of_a_task_that_ended_gives_its_output_in_another_loop_too() {
    let crank = Crank::new();
    let task = spawn(async { 5 });
    crank.turn();
    drop(crank);
    assert_eq!(doc(task).unwrap(), 5);
}

#[test]
fn two_tasks_that_await_each_other_are_both_dropped_with_their_loop() {
    let drops = Drops::default();
    let crank = Crank::new();
    let handles: [Rc<RefCell<Option<JoinHandle<()>>>>; 2] = Default::default();
    let tasks = [0, 1].map(|me| {
        let (other, spy) = (handles[1 - me].clone(), drops.spy());
        spawn(async move {
            let _spy = spy;
            yield_now().await;
            let other = other.take().unwrap();
            let _ = other.await;
        })
    });
    for (place, task) in handles.iter().zip(tasks) {
        place.replace(Some(task));
    }
    crank.turn();
    assert_eq!(drops.count(), 0, "each waits for the other");
    drop(crank);
    assert_eq!(drops.count(), 2);
}

/// A join handle can be awaited through a reference whatever the output is.
#[test]
fn a_join_handle_need_not_be_pinned() {
    fn is_unpin<T: Unpin>() {}
    is_unpin::<JoinHandle<std::marker::PhantomPinned>>();
}

// ------------------------------------------------------------------------------------------------------------ abort

#[test]
fn a_task_aborted_before_its_first_poll_never_runs() {
    let crank = Crank::new();
    let drops = Drops::default();
    let spy = drops.spy();
    let task = spawn(async move {
        let _spy = spy;
        unreachable!("it was aborted before");
    });
    assert!(task.abort());
    assert_eq!(drops.count(), 1, "the future is dropped by the abort itself");
    crank.turn();
    assert_eq!((crank.polls(), crank.executor.alive()), (0, 0));
    assert!(doc_outside(task).unwrap_err().is_cancelled());
}

/// Polls a handle of an ended task, which needs no loop.
fn doc_outside<T>(task: JoinHandle<T>) -> Result<T, JoinError> {
    match poll_once(pin!(task)) {
        Poll::Ready(result) => result,
        Poll::Pending => panic!("the task has not ended"),
    }
}

#[test]
fn a_waiting_task_is_aborted_at_once_and_its_joiner_woken() {
    let crank = Crank::new();
    let drops = Drops::default();
    let spy = drops.spy();
    let mut task = pin!(spawn(async move {
        let _spy = spy;
        pending::<()>().await;
    }));
    crank.turn();
    let (joiner, waker) = Counter::new();
    assert!(poll_with(task.as_mut(), &waker).is_pending());
    assert!(task.abort());
    assert_eq!((drops.count(), joiner.wakes()), (1, 1));
    let Poll::Ready(Err(error)) = poll_once(task) else { panic!("it yields an error") };
    assert!(error.is_cancelled() && !error.is_panic());
    crank.turn();
    assert_eq!(crank.executor.alive(), 0);
}

#[test]
fn a_queued_task_is_aborted_at_once_and_not_polled_again() {
    let crank = Crank::new();
    let polls = Rc::new(Cell::new(0));
    let (task, waker) = sleeper(&polls);
    crank.turn();
    waker.take().unwrap().wake();
    assert!(task.abort());
    crank.turn();
    assert_eq!(polls.get(), 1);
    assert!(doc_outside(task).unwrap_err().is_cancelled());
}

#[test]
fn a_task_that_aborts_itself_ends_at_its_next_suspension() {
    let crank = Crank::new();
    let own: Rc<RefCell<Option<JoinHandle<()>>>> = Rc::default();
    let (handle, steps) = (own.clone(), Rc::new(RefCell::new(Vec::new())));
    let log = steps.clone();
    let task = spawn(async move {
        assert!(handle.borrow().as_ref().unwrap().abort());
        log.borrow_mut().push("still here");
        yield_now().await;
        log.borrow_mut().push("never");
    });
    own.replace(Some(task));
    crank.turn();
    assert_eq!(*steps.borrow(), ["still here"]);
    assert!(doc_outside(own.take().unwrap()).unwrap_err().is_cancelled());
    assert_eq!(crank.executor.alive(), 0);
}

#[test]
fn a_task_that_aborts_itself_and_then_ends_has_its_output() {
    let crank = Crank::new();
    let own: Rc<RefCell<Option<JoinHandle<u8>>>> = Rc::default();
    let handle = own.clone();
    own.replace(Some(spawn(async move {
        handle.borrow().as_ref().unwrap().abort();
        9
    })));
    crank.turn();
    assert_eq!(doc_outside(own.take().unwrap()).unwrap(), 9);
}

#[test]
fn a_detached_task_that_aborted_itself_and_then_ended_has_its_output_dropped_at_once() {
    let drops = Drops::default();
    let crank = Crank::new();
    let own: Rc<RefCell<Option<JoinHandle<Spy>>>> = Rc::default();
    let (handle, spy) = (own.clone(), drops.spy());
    let task = spawn(async move {
        let handle = handle.take().unwrap();
        handle.abort();
        drop(handle);
        spy
    });
    own.replace(Some(task));
    let panics = panics_of(|| _ = crank.turn());
    assert_eq!(panics, 0, "nothing went wrong inside");
    assert_eq!(drops.count(), 1);
}

thread_local! {
    static PANICS: Cell<usize> = const { Cell::new(0) };
    /// The line of this file that the last panic was blamed on, 0 if it was another file's.
    static BLAMED: Cell<u32> = const { Cell::new(0) };
}

/// How many panics there were on this thread while `f` ran, caught ones included.
fn panics_of(f: impl FnOnce()) -> usize {
    static COUNTING: std::sync::Once = std::sync::Once::new();
    COUNTING.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            let _ = PANICS.try_with(|panics| panics.set(panics.get() + 1));
            let here = panic.location().filter(|at| at.file() == file!());
            let _ = BLAMED.try_with(|blamed| blamed.set(here.map_or(0, |at| at.line())));
            before(panic);
        }));
    });
    let before = PANICS.get();
    f();
    PANICS.get() - before
}

#[test]
fn a_future_that_aborts_its_task_again_while_it_is_dropped_ends_it_once() {
    let crank = Crank::new();
    let own: Rc<RefCell<Option<JoinHandle<()>>>> = Rc::default();
    let handle = own.clone();
    let guard = OnDrop(move || {
        // Takes the handle out and drops it, so that nobody is left to take what the task leaves.
        if let Some(task) = handle.take() {
            task.abort();
        }
    });
    let task = spawn(async move {
        let _guard = guard;
        pending::<()>().await;
    });
    crank.turn();
    let id = task.id();
    own.replace(Some(task));
    let panics = panics_of(|| {
        // Aborted through the loop's end: the only way without a handle.
        crank.executor.drop_tasks();
    });
    assert_eq!(panics, 0, "nothing went wrong inside");
    assert!(all_tasks().iter().all(|task| task.id != id));
}

#[test]
fn aborting_twice_says_that_it_had_ended() {
    let crank = Crank::new();
    let task = spawn(pending::<()>());
    crank.turn();
    assert!(task.abort());
    assert!(!task.abort());
    crank.turn();
    assert!(!task.abort());
}

#[test]
fn aborting_a_task_that_has_ended_leaves_its_output() {
    let crank = Crank::new();
    let task = spawn(async { 3 });
    crank.turn();
    assert!(!task.abort());
    assert_eq!(doc_outside(task).unwrap(), 3);
}

#[test]
fn aborting_a_task_that_has_ended_spares_the_one_that_has_its_number_67_million_spawns_later() {
    let crank = Crank::new();
    let old = spawn(async {});
    crank.turn();
    crank.executor.start_generations_over();
    let young = spawn(async move {
        let aborted = old.abort();
        yield_now().await;
        aborted
    });
    crank.turn();
    assert!(!doc_outside(young).unwrap());
}

#[test]
fn a_task_aborted_by_another_is_gone_from_the_list_at_once() {
    let crank = Crank::new();
    let victim = spawn(pending::<()>());
    let seen = Rc::new(Cell::new(0));
    let count = seen.clone();
    drop(spawn(async move {
        victim.abort();
        count.set(all_tasks().len());
    }));
    crank.turn();
    assert_eq!(seen.get(), 1, "only the one that looks");
}

#[test]
fn an_abort_between_two_turns_of_a_loop_that_is_not_entered_is_met_by_it_later() {
    let executor = Executor::new(|| {}).unwrap();
    let task = executor.spawn(pending::<()>());
    assert!(task.abort());
    assert!(doc_outside(task).unwrap_err().is_cancelled());
    let _entered = executor.enter(Location::caller()).unwrap();
    executor.read_inbox();
    executor.run(&Cell::new(10));
    executor.assert_queue_agrees_with_the_bits();
    assert_eq!((executor.alive(), executor.counts().polls), (0, 0));
}

#[test]
fn the_error_of_a_cancelled_task_tells_its_number_and_its_name_if_it_has_one() {
    let _crank = Crank::new();
    let named = Builder::new().name("crank").spawn(pending::<()>());
    let plain = spawn(pending::<()>());
    named.abort();
    plain.abort();
    assert_eq!(doc_outside(named).unwrap_err().to_string(), "task 1 (crank) was cancelled");
    assert_eq!(doc_outside(plain).unwrap_err().to_string(), "task 2 was cancelled");
}

#[test]
fn a_cancelled_error_has_no_panic_to_give() {
    let _crank = Crank::new();
    let task = spawn(pending::<()>());
    task.abort();
    let error = doc_outside(task).unwrap_err().try_into_panic().unwrap_err();
    assert!(panic_of(|| error.into_panic()).starts_with("the task was cancelled, it did not panic"));
}

// ------------------------------------------------------------------------------------------------------------ panics

#[test]
fn a_panic_in_a_poll_goes_to_the_handle_and_to_no_report() {
    let reports = reports_of(|| {
        let crank = Crank::new();
        let task = Builder::new().name("crank").spawn(async { panic!("the handle came off") });
        crank.turn();
        let error = doc_outside::<()>(task).unwrap_err();
        assert!(error.is_panic() && !error.is_cancelled());
        assert_eq!(error.to_string(), "task 1 (crank) panicked: the handle came off");
        assert_eq!(text(error.into_panic()), "the handle came off");
    });
    assert_eq!(reports, [""; 0]);
}

#[test]
fn after_a_panic_the_tasks_behind_it_go_on_in_order() {
    let crank = Crank::new();
    let order = Rc::new(RefCell::new(Vec::new()));
    for number in 0..1000 {
        let order = order.clone();
        drop(reports_of(|| {
            drop(spawn(async move {
                if number % 10 == 0 {
                    panic!("every tenth");
                }
                order.borrow_mut().push(number);
            }));
        }));
    }
    set_unobserved_panic_hook(Some(|_| {}));
    crank.turn();
    assert_eq!(*order.borrow(), (0..1000).filter(|number| number % 10 != 0).collect::<Vec<_>>());
    assert_eq!((crank.polls(), crank.executor.alive()), (1000, 0));
}

#[test]
fn a_panic_in_a_detached_task_is_reported_with_name_and_place() {
    let line = line!() + 3;
    let reports = reports_of(|| {
        let crank = Crank::new();
        drop(Builder::new().name("crank").spawn(async { panic!("oil") }));
        crank.turn();
    });
    let told = format!("task 1 (crank) panicked: oil, and nobody awaits it; spawned at {}:{line}:", file!());
    assert!(reports.len() == 1 && reports[0].starts_with(&told), "{reports:?}");
}

#[test]
fn a_panic_whose_handle_is_dropped_unread_is_reported_then() {
    let reports = reports_of(|| {
        let crank = Crank::new();
        let task = spawn(async { panic!("late") });
        crank.turn();
        assert!(REPORTS.with_borrow(Vec::is_empty));
        drop::<JoinHandle<()>>(task);
        assert_eq!(REPORTS.with_borrow(Vec::len), 1);
    });
    assert!(reports[0].starts_with("task 1 (Task-1) panicked: late, and nobody awaits it"), "{reports:?}");
}

#[test]
fn a_panic_of_a_task_that_holds_its_own_handle_is_reported() {
    let reports = reports_of(|| {
        let crank = Crank::new();
        let own: Rc<RefCell<Option<JoinHandle<()>>>> = Rc::default();
        let handle = own.clone();
        let task = spawn(async move {
            let _mine = handle.take();
            yield_now().await;
            panic!("alone");
        });
        own.replace(Some(task));
        crank.turn();
    });
    assert_eq!(reports.len(), 1, "{reports:?}");
    // And where the handle goes only when the future itself is dropped after the panic.
    let reports = reports_of(|| {
        let crank = Crank::new();
        let own: Rc<RefCell<Option<JoinHandle<()>>>> = Rc::default();
        let mut mine = Vec::new();
        let handle = own.clone();
        let task = spawn(poll_fn(move |_| -> Poll<()> {
            mine.extend(handle.take());
            assert!(mine.is_empty(), "alone");
            Poll::Pending
        }));
        own.replace(Some(task));
        crank.turn();
    });
    assert_eq!(reports.len(), 1, "{reports:?}");
}

#[test]
fn a_panic_in_the_report_hook_is_contained() {
    set_unobserved_panic_hook(Some(|_| panic!("in the hook")));
    let crank = Crank::new();
    drop(spawn(async { panic!("in the task") }));
    let task = spawn(async {});
    crank.turn();
    assert!(task.is_finished());
}

#[test]
fn a_future_that_panics_when_dropped_at_its_end_ends_its_task_with_that() {
    let crank = Crank::new();
    struct Ends(Grenade);
    impl Future for Ends {
        type Output = ();
        fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
            let _ = self.0.0;
            Poll::Ready(())
        }
    }
    let task = spawn(Ends(Grenade("in the drop")));
    let sibling = spawn(async {});
    crank.turn();
    assert!(sibling.is_finished());
    assert_eq!(doc_outside(task).unwrap_err().to_string(), "task 1 (Task-1) panicked: in the drop");
}

#[test]
fn a_future_that_panics_when_aborted_ends_its_task_with_that() {
    let crank = Crank::new();
    let grenade = Grenade("in the drop");
    let task = spawn(async move {
        let _grenade = grenade;
        pending::<()>().await;
    });
    crank.turn();
    assert!(task.abort());
    assert_eq!(doc_outside(task).unwrap_err().to_string(), "task 1 (Task-1) panicked: in the drop");
}

#[test]
fn a_future_that_panics_again_when_dropped_after_its_panic_ends_with_the_first() {
    let crank = Crank::new();
    let mut grenade = Some(Grenade("the second"));
    let task = spawn(poll_fn(move |_| -> Poll<()> { panic!("the first, {}", grenade.as_mut().is_some()) }));
    crank.turn();
    assert_eq!(doc_outside(task).unwrap_err().to_string(), "task 1 (Task-1) panicked: the first, true");
}

#[test]
fn an_output_that_panics_when_dropped_hurts_nobody_whoever_drops_it() {
    let crank = Crank::new();
    // Detached before it ends.
    drop(spawn(async { Grenade("nobody's") }));
    // Detached after.
    let kept = spawn(async { Grenade("kept") });
    let sibling = spawn(async {});
    crank.turn();
    drop(kept);
    // While unwinding: a second panic that got out would end the process.
    let unwinding = spawn(async { Grenade("while unwinding") });
    crank.turn();
    let told = panic_of(move || {
        let _dropped_by_the_unwind = unwinding;
        panic!("out of here");
    });
    assert_eq!(told, "out of here");
    assert!(sibling.is_finished());
    assert_eq!(crank.executor.alive(), 0);
}

#[test]
fn a_panic_whose_payload_panics_when_dropped_hurts_nobody_whoever_drops_it() {
    let reports = reports_of(|| {
        let crank = Crank::new();
        drop(spawn(async { panic_any(Grenade("in a payload")) }));
        let kept: JoinHandle<()> = spawn(async { panic_any(Grenade("in a payload that was kept")) });
        let sibling = spawn(async {});
        crank.turn();
        let dropped = catch_unwind(AssertUnwindSafe(|| drop(kept)));
        assert!(dropped.is_ok(), "dropping a handle never panics");
        assert!(sibling.is_finished());
    });
    assert_eq!(reports.len(), 2, "{reports:?}");
}

#[test]
fn tasks_that_panic_when_dropped_with_their_loop_leave_the_others_dropped_once() {
    let drops = Drops::default();
    let crank = Crank::new();
    for number in 0..100 {
        let spy = drops.spy();
        drop(spawn(async move {
            let _spy = spy;
            let _grenade = (number % 10 == 0).then(|| Grenade("at the end"));
            pending::<()>().await;
        }));
    }
    crank.turn();
    let reports = reports_of(|| drop(crank));
    assert_eq!(drops.count(), 100);
    assert_eq!(reports.len(), 10, "and each is reported: {reports:?}");
}

#[test]
fn a_loop_that_ends_by_a_panic_survives_tasks_that_panic_when_dropped() {
    let drops = Drops::default();
    let spy = drops.spy();
    let told = panic_of(|| {
        doc(async {
            drop(spawn(async move {
                let _spy = spy;
                let _grenade = Grenade("at the end");
                pending::<()>().await;
            }));
            yield_now().await;
            panic!("main");
        })
    });
    assert_eq!(told, "main");
    assert_eq!(drops.count(), 1);
}

#[test]
fn a_panic_in_the_joiners_wake_is_reported_and_the_output_stays() {
    let reports = reports_of(|| {
        let crank = Crank::new();
        let mut task = pin!(spawn(async { 4 }));
        let waker = hook(|touch| assert_ne!(touch, Touch::Wake, "in a wake"));
        assert!(poll_with(task.as_mut(), &waker).is_pending());
        let sibling = spawn(async {});
        crank.turn();
        assert!(sibling.is_finished());
        assert_eq!(crank.executor.alive(), 0);
        assert!(matches!(poll_once(task), Poll::Ready(Ok(4))));
    });
    assert_eq!(reports.len(), 1, "{reports:?}");
}

#[test]
fn a_panic_in_the_joiners_wake_at_an_abort_is_contained() {
    let crank = Crank::new();
    let mut task = pin!(spawn(pending::<()>()));
    let waker = hook(|touch| assert_ne!(touch, Touch::Wake, "in a wake"));
    crank.turn();
    assert!(poll_with(task.as_mut(), &waker).is_pending());
    assert!(task.abort());
    assert!(matches!(poll_once(task), Poll::Ready(Err(_))));
}

#[test]
fn a_panic_in_the_joiners_drop_does_not_get_out_of_the_handles_drop() {
    let _crank = Crank::new();
    let armed = Rc::new(Cell::new(false));
    let dangerous = armed.clone();
    let waker = hook(move |touch| assert!(!(touch == Touch::Drop && dangerous.get()), "in a drop"));
    let mut task = Box::pin(spawn(pending::<()>()));
    assert!(poll_with(task.as_mut(), &waker).is_pending());
    armed.set(true);
    drop(task);
    armed.set(false);
}

#[test]
fn a_waker_that_panics_at_a_clone_costs_no_later_wake() {
    for panics_at in 1..=6 {
        let crank = Crank::new();
        let flag = Rc::new(Cell::new(false));
        let place = Rc::new(RefCell::new(None));
        let mut task = pin!(spawn(until(flag.clone(), place.clone())));
        crank.turn();
        let clones = Rc::new(Cell::new(0));
        let wakes = Rc::new(Cell::new(0));
        let mut polled = 0;
        while polled < 6 {
            // A new waker each time, so that each poll clones.
            let (clones, wakes) = (clones.clone(), wakes.clone());
            let waker = hook(move |touch| match touch {
                Touch::Clone => {
                    clones.set(clones.get() + 1);
                    assert_ne!(clones.get(), panics_at, "in a clone");
                }
                Touch::Wake => wakes.set(wakes.get() + 1),
                Touch::Drop => {}
            });
            let _ = catch_unwind(AssertUnwindSafe(|| assert!(poll_with(task.as_mut(), &waker).is_pending())));
            polled += 1;
        }
        flag.set(true);
        place.take().unwrap().wake();
        crank.turn();
        assert_eq!(wakes.get(), 1, "clone {panics_at} panicked");
    }
}

/// The waker that was there stays if the next one cannot be cloned.
#[test]
fn a_waker_that_panics_when_cloned_leaves_the_one_before_it_waiting() {
    let crank = Crank::new();
    let flag = Rc::new(Cell::new(false));
    let place = Rc::new(RefCell::new(None));
    let mut task = pin!(spawn(until(flag.clone(), place.clone())));
    crank.turn();
    let (first, waker) = Counter::new();
    assert!(poll_with(task.as_mut(), &waker).is_pending());
    let bad = hook(|touch| assert_ne!(touch, Touch::Clone, "in a clone"));
    assert!(catch_unwind(AssertUnwindSafe(|| poll_with(task.as_mut(), &bad))).is_err());
    flag.set(true);
    place.take().unwrap().wake();
    crank.turn();
    assert_eq!(first.wakes(), 1);
}

// ---------------------------------------------------------------------------------- foreign code under no borrow: I3

/// I3: at each touch the hook does all that a program can do to its loop.
#[test]
fn a_joiners_waker_may_do_anything_to_the_loop_when_it_is_touched() {
    fn anything(touched: &Rc<Cell<u32>>, victims: &Rc<RefCell<Vec<JoinHandle<()>>>>, wakers: &Rc<RefCell<Vec<Waker>>>) {
        touched.set(touched.get() + 1);
        drop(spawn(async {}));
        let victim = victims.borrow_mut().pop();
        victim.inspect(|victim| _ = victim.abort());
        let waker = wakers.borrow().first().cloned();
        waker.inspect(Waker::wake_by_ref);
        assert!(!all_tasks().is_empty());
        let _ = current();
        Spawner.status_local().unwrap();
    }
    let crank = Crank::new();
    let touched = Rc::new(Cell::new(0));
    let victims = Rc::new(RefCell::new((0..100).map(|_| spawn(pending())).collect::<Vec<_>>()));
    let wakers = Rc::new(RefCell::new(Vec::new()));
    let (sleeping, place) = sleeper(&Rc::default());
    crank.turn();
    wakers.borrow_mut().push(place.take().unwrap());
    let make = || {
        let (touched, victims, wakers) = (touched.clone(), victims.clone(), wakers.clone());
        hook(move |_| anything(&touched, &victims, &wakers))
    };
    // Cloned and dropped by a poll, replaced by the next; woken by an end, by an abort, by a panic; dropped with a handle.
    let flag = Rc::new(Cell::new(false));
    let place = Rc::new(RefCell::new(None));
    let mut ends = pin!(spawn(until(flag.clone(), place.clone())));
    let mut aborted = pin!(spawn(pending::<()>()));
    let mut dropped = Box::pin(spawn(pending::<()>()));
    let mut panics = pin!(spawn({
        let flag = flag.clone();
        let mut polled = false;
        poll_fn(move |cx| -> Poll<()> {
            assert!(!std::mem::replace(&mut polled, true) || !flag.get(), "as it should");
            cx.waker().wake_by_ref();
            Poll::Pending
        })
    }));
    crank.turn_with(200);
    for _ in 0..2 {
        assert!(poll_with(ends.as_mut(), &make()).is_pending());
        assert!(poll_with(aborted.as_mut(), &make()).is_pending());
        assert!(poll_with(dropped.as_mut(), &make()).is_pending());
        assert!(poll_with(panics.as_mut(), &make()).is_pending());
    }
    flag.set(true);
    place.take().unwrap().wake();
    aborted.abort();
    drop(dropped);
    crank.turn();
    assert!(ends.is_finished() && panics.is_finished());
    assert!(touched.get() >= 4 * 6, "touched {} times", touched.get());
    drop(sleeping);
    crank.executor.assert_queue_agrees_with_the_bits();
}

/// I3: the same from the drop of a future, of an output and of a panic's payload.
#[test]
fn what_is_dropped_with_a_task_may_do_anything_to_the_loop() {
    let crank = Crank::new();
    let victims = Rc::new(RefCell::new((0..100).map(|_| spawn(pending::<()>())).collect::<Vec<_>>()));
    let ran = Rc::new(Cell::new(0));
    let make = || {
        let (victims, ran) = (victims.clone(), ran.clone());
        OnDrop(move || {
            let count = ran.clone();
            drop(spawn(async move { count.set(count.get() + 1) }));
            let victim = victims.borrow_mut().pop();
            assert!(victim.unwrap().abort());
            assert!(!all_tasks().is_empty());
        })
    };
    // Dropped with the future when it ends, with the output of a detached task, with an aborted future, with an output
    // whose handle goes.
    let guard = make();
    drop(spawn(async move { drop(guard) }));
    let guard = make();
    drop(spawn(async move { guard }));
    let guard = make();
    let aborted = spawn(async move {
        let _guard = guard;
        pending::<()>().await;
    });
    let guard = make();
    let kept = spawn(async move { guard });
    crank.turn();
    aborted.abort();
    drop(kept);
    crank.turn();
    assert_eq!(ran.get(), 4);
}

/// The waker that is cloned ends the task that it is to wait for: it must learn of it all the same.
#[test]
fn a_task_that_ends_while_its_joiners_waker_is_cloned_is_not_missed() {
    let executor = Rc::new(RefCell::new(Some(Executor::new(|| {}).unwrap())));
    let mut task = pin!(executor.borrow().as_ref().unwrap().spawn(pending::<()>()));
    let wakes = Rc::new(Cell::new(0));
    let (count, ends) = (wakes.clone(), executor.clone());
    let waker = hook(move |touch| match touch {
        Touch::Clone => drop(ends.take()),
        Touch::Wake => count.set(count.get() + 1),
        Touch::Drop => {}
    });
    let polled = poll_with(task.as_mut(), &waker);
    assert!(polled.is_ready() || wakes.get() > 0, "it waits for ever");
}

// --------------------------------------------------------------------------------------------------- the end of a loop

#[test]
fn a_future_that_spawns_when_it_is_dropped_with_its_loop_is_refused_three_levels_deep() {
    fn nested(level: u32, drops: Drops, refused: Rc<Cell<u32>>) {
        let guard = OnDrop(move || {
            if level < 3 {
                nested(level + 1, drops.clone(), refused.clone());
            }
            drop(drops.spy());
        });
        let task = spawn(async move {
            let _guard = guard;
            pending::<()>().await;
        });
        if task.is_finished() {
            assert!(doc_outside(task).unwrap_err().is_cancelled());
        }
    }
    let drops = Drops::default();
    let refused = Rc::new(Cell::new(0));
    let crank = Crank::new();
    for _ in 0..10 {
        nested(0, drops.clone(), refused.clone());
    }
    crank.turn();
    drop(crank);
    assert_eq!(drops.count(), 40);
}

#[test]
fn while_a_loop_ends_it_says_that_it_spawns_no_more() {
    let crank = Crank::new();
    let said = Rc::new(Cell::new(None));
    let place = said.clone();
    let guard = OnDrop(move || place.set(Some(Spawner.status_local().is_err())));
    drop(spawn(async move {
        let _guard = guard;
        pending::<()>().await;
    }));
    crank.turn();
    crank.executor.drop_tasks();
    assert_eq!(said.get(), Some(true));
    assert!(Spawner.status_local().is_ok(), "and then again it does");
}

#[test]
fn tasks_that_wake_each_other_while_their_loop_ends_leave_nothing_behind() {
    let drops = Drops::default();
    let crank = Crank::new();
    let wakers: Rc<RefCell<Vec<Waker>>> = Rc::default();
    for _ in 0..20 {
        let (wakers, all, spy) = (wakers.clone(), wakers.clone(), drops.spy());
        let guard = OnDrop(move || all.borrow().iter().for_each(Waker::wake_by_ref));
        drop(spawn(poll_fn(move |cx| -> Poll<()> {
            let _ = (&guard, &spy);
            wakers.borrow_mut().push(cx.waker().clone());
            Poll::Pending
        })));
    }
    crank.turn();
    crank.executor.drop_tasks();
    assert_eq!((drops.count(), crank.executor.alive()), (20, 0));
    assert!(crank.executor.is_idle());
    crank.executor.assert_queue_agrees_with_the_bits();
    let (next, _) = sleeper(&Rc::default());
    crank.turn();
    assert!(!next.is_finished(), "the loop can be used again");
}

/// I4 across the end: indexes start over, numbers do not.
#[test]
fn a_waker_from_before_the_tasks_were_dropped_wakes_nobody_after() {
    let crank = Crank::new();
    let polls = Rc::new(Cell::new(0));
    let (_old, waker) = sleeper(&polls);
    crank.turn();
    crank.executor.drop_tasks();
    let (_new, _) = sleeper(&polls);
    crank.turn();
    waker.take().unwrap().wake();
    crank.turn();
    assert_eq!(polls.get(), 2);
}

/// I5.
#[test]
fn every_future_and_output_is_dropped_once_whatever_becomes_of_its_task() {
    for seed in 1..=64 {
        println!("seed {seed}");
        let mut random = Random(seed);
        let drops = Drops::default();
        let crank = Crank::new();
        let mut handles = Vec::new();
        let mut made = 0;
        set_unobserved_panic_hook(Some(|_| {}));
        for _ in 0..200 {
            match random.below(6) {
                0 | 1 => {
                    made += 2;
                    let (in_future, output, yields) = (drops.spy(), drops.spy(), random.below(4));
                    handles.push(spawn(async move {
                        let _in_future = in_future;
                        for _ in 0..yields {
                            yield_now().await;
                        }
                        if yields == 2 {
                            pending::<()>().await;
                        }
                        assert_ne!(yields, 3, "some panic");
                        output
                    }));
                }
                2 if !handles.is_empty() => _ = handles[random.below(handles.len())].abort(),
                3 if !handles.is_empty() => drop(handles.swap_remove(random.below(handles.len()))),
                4 if !handles.is_empty() => {
                    let at = random.below(handles.len());
                    if handles[at].is_finished() {
                        drop(doc_outside(handles.swap_remove(at)));
                    }
                }
                _ => _ = crank.turn_with(random.below(5) as u32),
            }
        }
        drop(crank);
        drop(handles);
        assert_eq!(drops.count(), made);
        assert!(drops.all_here());
    }
}

/// A task in its turn lies in the table and is counted for there alone: nobody may empty the table meanwhile.
#[test]
fn a_task_that_ends_its_loop_in_its_own_poll_is_told_off_and_the_loop_goes_on() {
    let executor = Rc::new(Executor::new(|| {}).unwrap());
    let _entered = executor.enter(Location::caller()).unwrap();
    executor.begin_root(Location::caller());
    assert_eq!(executor.run(&Cell::new(1)), Stop::Root);
    let its_own = executor.clone();
    let task = spawn(async move {
        let told = [
            panic_of(|| its_own.end_root()),
            panic_of(|| its_own.drop_tasks()),
            panic_of(|| _ = its_own.poll_root(pin!(async {}))),
        ];
        yield_now().await;
        told
    });
    assert_eq!(executor.run(&Cell::new(10)), Stop::Idle);
    let told = doc_outside(task).unwrap();
    assert_eq!(told[0], "main was ended inside a task's poll");
    assert_eq!(told[1], "nobody leaves the table in a turn (C5)");
    assert_eq!(told[2], "main was polled inside a poll of its loop");
    assert!(!spawn(pending::<()>()).is_finished(), "it takes tasks as before");
    assert!(executor.poll_root(pin!(async {})).is_ready());
    executor.end_root();
    executor.assert_queue_agrees_with_the_bits();
}

/// The output is read from where it lies in the cell, which depends on how future and output are aligned.
#[test]
fn an_output_comes_back_whole_however_it_and_its_future_are_aligned() {
    #[repr(align(16))]
    struct Paragraph(u64);
    #[repr(align(64))]
    struct Line(u64);
    #[repr(align(256))]
    struct Wide(u64);
    doc(async {
        macro_rules! is_held_and_given {
            ($held:ident, $given:ident) => {
                let task = spawn(async {
                    let held = $held(7);
                    yield_now().await;
                    assert!((&raw const held).is_aligned());
                    $given(held.0 + 1)
                });
                assert_eq!(task.await.unwrap().0, 8);
            };
        }
        struct Plain(u64);
        is_held_and_given!(Plain, Plain);
        is_held_and_given!(Plain, Paragraph);
        is_held_and_given!(Paragraph, Plain);
        is_held_and_given!(Line, Plain);
        is_held_and_given!(Plain, Line);
        is_held_and_given!(Wide, Plain);
        is_held_and_given!(Plain, Wide);
        is_held_and_given!(Wide, Line);
    });
}

/// What a thread keeps in its thread-locals goes in an order that nobody chose.
#[test]
fn loops_handles_and_wakers_may_be_kept_in_thread_locals_to_the_end_of_the_thread() {
    thread_local! {
        static KEPT: RefCell<Vec<Box<dyn Any>>> = const { RefCell::new(Vec::new()) };
    }
    let said = thread::Builder::new()
        .spawn(|| {
            // First, so that it goes last: after all that the crate keeps in thread-locals itself.
            KEPT.with_borrow_mut(|kept| kept.push(Box::new(())));
            let executor = Executor::new(|| {}).unwrap();
            let entered = executor.enter(Location::caller()).unwrap();
            let named = Builder::new().name("named").spawn(async { panic!("and nobody sees it") });
            let waiting = Builder::new().name("waiting").spawn(pending::<()>());
            executor.run(&Cell::new(10));
            let detached = Builder::new().name("detached").spawn(async {
                let _spawns_at_the_end = OnDrop(|| drop(catch_unwind(|| spawn(async {}))));
                pending::<()>().await;
            });
            executor.run(&Cell::new(10));
            drop(detached);
            drop(entered);
            KEPT.with_borrow_mut(|kept| {
                kept.push(Box::new(named) as Box<dyn Any>);
                kept.push(Box::new(executor));
                kept.push(Box::new(waiting));
            });
            "done"
        })
        .unwrap()
        .join();
    assert_eq!(said.unwrap(), "done");
}

#[test]
fn a_loop_inside_a_loop_is_refused_and_both_places_are_known() {
    let line = line!() + 1;
    doc(async {
        let other = Executor::new(|| {}).unwrap();
        let nested = other.enter(Location::caller()).unwrap_err();
        assert_eq!((nested.outer.file(), nested.outer.line()), (file!(), line));
    });
}

#[test]
fn after_a_loop_was_left_the_thread_can_enter_another() {
    for _ in 0..3 {
        doc(async {});
    }
    assert!(current().is_none());
    assert!(panic_of(|| spawn(async {})).ends_with("outside a running loop: call it inside run or block_on"));
}

// ------------------------------------------------------------------------------------------------- looking at tasks

#[test]
fn all_tasks_tells_who_is_here_and_what_each_is_doing() {
    let crank = Crank::new();
    let line = line!() + 1;
    let waiting = Builder::new().name("waiting").spawn(pending::<()>());
    crank.turn();
    let _ready = Builder::new().name("ready").spawn(async {});
    let seen = Rc::new(RefCell::new(Vec::new()));
    let place = seen.clone();
    drop(Builder::new().name("looking").spawn(async move { *place.borrow_mut() = all_tasks() }));
    drop(Builder::new().name("behind").spawn(async {}));
    crank.turn();
    let seen: Vec<_> = seen.take().into_iter().map(|task| (task.name, task.state, task.polls)).collect();
    // The one called ready had its turn before the one that looked.
    assert_eq!(
        seen,
        [
            ("waiting".into(), TaskState::Waiting, 1),
            ("looking".into(), TaskState::Running, 1),
            ("behind".into(), TaskState::Ready, 0)
        ]
    );
    let info = all_tasks().pop().unwrap();
    assert_eq!((info.id, info.spawned_at.line()), (waiting.id(), line));
    let told = format!("1 waiting: waits for something that did not say; 1 polls, spawned at {}:{line}:", file!());
    assert!(info.to_string().starts_with(&told), "{info}");
}

#[test]
fn current_is_the_task_that_is_polled_and_none_outside_a_poll() {
    let crank = Crank::new();
    assert!(current().is_none());
    let seen = Rc::new(RefCell::new(None));
    let place = seen.clone();
    let task = spawn(async move { *place.borrow_mut() = current() });
    crank.turn();
    let info = seen.take().unwrap();
    assert_eq!((info.id, info.state), (task.id(), TaskState::Running));
    assert!(current().is_none());
}

#[test]
fn a_task_that_waits_says_for_what() {
    let crank = Crank::new();
    let reason_of = |name: &str| all_tasks().into_iter().find(|task| task.name == name).unwrap().waiting_for;
    let never = spawn(pending::<()>());
    let id = never.id();
    drop(Builder::new().name("joins").spawn(async move { drop(never.await) }));
    let (release, released) = mpsc::channel::<()>();
    drop(Builder::new().name("blocks").spawn(async move {
        drop(spawn_blocking(move || _ = released.recv()).await);
    }));
    drop(Builder::new().name("yields").spawn(async {
        loop {
            yield_now().await;
        }
    }));
    drop(Builder::new().name("says nothing").spawn(pending::<()>()));
    crank.turn_with(6);
    assert_eq!(reason_of("joins"), WaitReason::Join { task: id });
    assert_eq!(reason_of("blocks"), WaitReason::Blocking);
    assert_eq!(reason_of("yields"), WaitReason::Yield);
    assert_eq!(reason_of("says nothing"), WaitReason::Unknown);
    drop(release);
}

#[test]
fn a_reason_is_of_the_last_poll_only() {
    let crank = Crank::new();
    let waker = Rc::new(Cell::new(None));
    let task = spawn({
        let waker = waker.clone();
        let mut polls = 0;
        poll_fn(move |cx| -> Poll<()> {
            polls += 1;
            if polls == 1 {
                waits::note(WaitReason::Connection);
            }
            waker.set(Some(cx.waker().clone()));
            Poll::Pending
        })
    });
    crank.turn();
    assert_eq!(all_tasks()[0].waiting_for, WaitReason::Connection);
    waker.take().unwrap().wake();
    assert_eq!(all_tasks()[0].waiting_for, WaitReason::Yield);
    crank.turn();
    assert_eq!(all_tasks()[0].waiting_for, WaitReason::Unknown);
    drop(task);
}

#[test]
fn the_counts_count() {
    let crank = Crank::new();
    let polls = Rc::new(Cell::new(0));
    let (task, waker) = sleeper(&polls);
    crank.turn();
    let waker = waker.take().unwrap();
    waker.wake_by_ref();
    waker.wake_by_ref();
    let elsewhere = waker.clone();
    thread::spawn(move || elsewhere.wake()).join().unwrap();
    crank.turn();
    task.abort();
    crank.turn();
    waker.wake();
    let counts = crank.executor.counts();
    assert_eq!((counts.spawned, counts.polls), (1, 2));
    assert_eq!((counts.remote_wakes, counts.stale_wakes), (1, 1));
}

// ------------------------------------------------------------------------------------------------------------- budget

#[test]
fn a_task_may_do_128_operations_in_one_poll_and_then_gives_way() {
    let crank = Crank::new();
    let done = Rc::new(Cell::new(0));
    let count = done.clone();
    drop(spawn(async move {
        for _ in 0..300 {
            poll_fn(budget::poll_proceed).await;
            count.set(count.get() + 1);
        }
    }));
    for expected in [128, 256, 300] {
        crank.turn_with(1);
        assert_eq!(done.get(), expected);
    }
}

#[test]
fn the_root_has_a_budget_too_and_outside_a_loop_there_is_none() {
    let mut outside = pin!(poll_fn(budget::poll_proceed));
    for _ in 0..1000 {
        assert!(poll_once(outside.as_mut()).is_ready());
    }
    let polls = Cell::new(0);
    doc(async {
        let mut wait = pin!(async {
            for _ in 0..300 {
                poll_fn(budget::poll_proceed).await;
            }
        });
        poll_fn(|cx| {
            polls.set(polls.get() + 1);
            wait.as_mut().poll(cx)
        })
        .await;
    });
    assert_eq!(polls.get(), 3);
}

// -------------------------------------------------------------------------------------------------------- LocalSpawn

#[test]
fn a_future_spawned_through_the_trait_runs() {
    let crank = Crank::new();
    let ran = Rc::new(Cell::new(false));
    let flag = ran.clone();
    Spawner.spawn_local_obj(Box::new(async move { flag.set(true) }).into()).unwrap();
    crank.turn();
    assert!(ran.get());
}

#[test]
fn outside_a_loop_the_trait_refuses_to_spawn() {
    let error = Spawner.spawn_local_obj(Box::new(async {}).into()).unwrap_err();
    assert!(error.is_shutdown());
}

// ------------------------------------------------------------------------------------------------------ blocking calls

/// The pool is the process's, so who counts its threads must be alone with it.
static BLOCKING: Mutex<()> = Mutex::new(());

fn alone_with_the_pool() -> std::sync::MutexGuard<'static, ()> {
    BLOCKING.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[test]
fn a_blocking_call_runs_on_a_named_thread_and_gives_its_result() {
    let _alone = alone_with_the_pool();
    within_watchdog(|| {
        let name = doc(async { spawn_blocking(|| thread::current().name().map(str::to_owned)).await.unwrap() });
        assert!(name.as_ref().is_some_and(|name| name.starts_with("windlass-blocking-")), "{name:?}");
    });
}

#[test]
fn a_blocking_call_that_panics_gives_an_error_with_what_it_said() {
    let _alone = alone_with_the_pool();
    within_watchdog(|| {
        let result: Result<(), _> = doc(async { spawn_blocking(|| panic!("no such host")).await });
        let error = result.unwrap_err();
        assert!(error.is_panic());
        assert_eq!(error.to_string(), "task 0 (blocking call) panicked: no such host");
    });
}

#[test]
fn at_most_4_threads_run_blocking_calls() {
    let _alone = alone_with_the_pool();
    within_watchdog(|| {
        let at_once = Arc::new(AtomicUsize::new(0));
        let most = Arc::new(AtomicUsize::new(0));
        let all = Arc::new(Barrier::new(4));
        doc(async {
            let calls: Vec<_> = (0..32)
                .map(|_| {
                    let (at_once, most, all) = (at_once.clone(), most.clone(), all.clone());
                    spawn_blocking(move || {
                        most.fetch_max(at_once.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                        all.wait(); // as many as four come together, or this would hang
                        at_once.fetch_sub(1, Ordering::SeqCst);
                    })
                })
                .collect();
            for call in calls {
                call.await.unwrap();
            }
        });
        assert_eq!(most.load(Ordering::SeqCst), 4);
    });
}

/// Holds all threads of the pool until it is dropped.
fn occupy_the_pool() -> (Vec<Blocking<()>>, Vec<mpsc::Sender<()>>) {
    let (here, arrived) = mpsc::channel();
    let held = (0..4)
        .map(|_| {
            let (release, released) = mpsc::channel::<()>();
            let here = here.clone();
            let call = spawn_blocking(move || {
                here.send(()).unwrap();
                let _ = released.recv();
            });
            (call, release)
        })
        .unzip();
    (0..4).for_each(|_| arrived.recv_timeout(WATCHDOG).unwrap());
    held
}

#[test]
fn a_blocking_call_dropped_before_it_begins_is_never_made() {
    let _alone = alone_with_the_pool();
    within_watchdog(|| {
        doc(async {
            let (held, release) = occupy_the_pool();
            let made = Arc::new(AtomicBool::new(false));
            let flag = made.clone();
            drop(spawn_blocking(move || flag.store(true, Ordering::SeqCst)));
            drop(release);
            for call in held {
                call.await.unwrap();
            }
            // Behind the one that was given up.
            spawn_blocking(|| {}).await.unwrap();
            assert!(!made.load(Ordering::SeqCst));
        });
    });
}

#[test]
fn the_loop_counts_blocking_calls_until_they_have_come_back_also_those_given_up() {
    let _alone = alone_with_the_pool();
    within_watchdog(|| {
        let crank = Crank::new();
        let (held, release) = occupy_the_pool();
        drop(spawn_blocking(|| {}));
        assert_eq!(crank.executor.blocking_out(), 5);
        drop(held);
        drop(release);
        while crank.executor.blocking_out() > 0 {
            crank.turn();
            thread::yield_now();
        }
    });
}

#[test]
fn calls_and_results_that_panic_when_they_are_dropped_cost_the_pool_no_thread() {
    let _alone = alone_with_the_pool();
    within_watchdog(|| {
        doc(async {
            for _ in 0..6 {
                // Begun and then given up: the result goes on the pool's thread.
                let (begun, beginning) = mpsc::channel();
                let (release, released) = mpsc::channel::<()>();
                let given_up = spawn_blocking(move || {
                    begun.send(()).unwrap();
                    let _ = released.recv();
                    Grenade("a result that nobody wants")
                });
                beginning.recv().unwrap();
                drop(given_up);
                drop(release);
            }
            let (held, release) = occupy_the_pool();
            for _ in 0..6 {
                // Given up before they began: the call itself goes there.
                let grenade = Grenade("a call that nobody made");
                drop(spawn_blocking(move || drop(grenade)));
            }
            drop(release);
            for call in held {
                call.await.unwrap();
            }
            assert_eq!(spawn_blocking(|| 1).await.unwrap(), 1, "the pool works");
            drop(occupy_the_pool()); // with all four
        });
    });
}

#[test]
fn a_blocking_call_wakes_the_last_waker_it_was_polled_with() {
    let _alone = alone_with_the_pool();
    within_watchdog(|| {
        let _crank = Crank::new();
        let (release, released) = mpsc::channel::<()>();
        let mut call = pin!(spawn_blocking(move || _ = released.recv()));
        let (first, first_waker) = Counter::new();
        let (second, second_waker) = Counter::new();
        assert!(poll_with(call.as_mut(), &first_waker).is_pending());
        assert!(poll_with(call.as_mut(), &second_waker).is_pending());
        drop(release);
        while second.wakes() == 0 {
            thread::yield_now();
        }
        assert_eq!((first.wakes(), second.wakes()), (0, 1));
        assert!(poll_with(call.as_mut(), &first_waker).is_ready());
    });
}

#[test]
fn a_blocking_call_yields_its_result_once() {
    let _alone = alone_with_the_pool();
    within_watchdog(|| {
        doc(async {
            let mut call = spawn_blocking(|| {});
            (&mut call).await.unwrap();
            assert!(panic_of(|| poll_once(pin!(call))).contains("yields its result once"));
        });
    });
}

#[test]
fn a_blocking_call_that_outlives_its_loop_ends_quietly() {
    let _alone = alone_with_the_pool();
    within_watchdog(|| {
        let (release, released) = mpsc::channel::<()>();
        let drops = Drops::default();
        let mut held = Some((released, drops.spy()));
        let call = doc(poll_fn(move |_| {
            let (released, spy) = held.take().unwrap();
            Poll::Ready(spawn_blocking(move || {
                let _ = released.recv();
                spy
            }))
        }));
        drop(release);
        let mut call = pin!(call);
        let result = loop {
            if let Poll::Ready(result) = poll_once(call.as_mut()) {
                break result;
            }
            thread::yield_now();
        };
        drop(result);
        assert_eq!(drops.count(), 1);
    });
}

#[test]
fn outside_a_loop_there_are_no_blocking_calls() {
    assert!(panic_of(|| spawn_blocking(|| {})).starts_with("spawn_blocking called outside a running loop"));
}

#[test]
fn a_call_outside_a_loop_is_blamed_on_the_caller() {
    fn blamed(f: impl FnOnce()) -> u32 {
        panics_of(|| drop(catch_unwind(AssertUnwindSafe(f))));
        BLAMED.get()
    }
    assert_eq!(blamed(|| drop(spawn(async {}))), line!());
    assert_eq!(blamed(|| drop(Builder::new().spawn(async {}))), line!());
    assert_eq!(blamed(|| drop(all_tasks())), line!());
    assert_eq!(blamed(|| drop(spawn_blocking(|| {}))), line!());
}
