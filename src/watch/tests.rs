//! Watching, with a stopwatch that is moved by hand: one fact a test, and no time passes.

use std::cell::Cell;
use std::future::{pending, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Poll, Wake, Waker};

use windlass_executor::waits::{self, WaitReason};
use windlass_executor::{Builder, Executor, Stop, TaskState, all_tasks, doc_entered, spawn, yield_now};

use super::*;
use crate::Loop;
use crate::debug::{Report, Settings};

const MS: u64 = 1_000_000;

/// A watched executor, its stopwatch, and what debug mode has said.
struct Watched {
    watch: Rc<Watch>,
    now: Rc<Cell<u64>>,
    said: Arc<Mutex<Vec<Report>>>,
}

impl Watched {
    fn of(executor: &Executor) -> Self {
        let (now, said) = (Rc::new(Cell::new(0)), Arc::new(Mutex::new(Vec::new())));
        let hears = said.clone();
        let settings = Settings::new().hook(move |report| hears.lock().unwrap().push(report.clone()));
        let clock = Stopwatch::Hand(now.clone());
        let watch = Rc::new(Watch::new(clock, Some(Histograms::default()), Some(Debugger::new(settings))));
        executor.watch(watch.clone());
        Watched { watch, now, said }
    }

    /// What happens takes as long.
    fn takes(&self, ms: u64) -> impl Fn() + 'static {
        let now = self.now.clone();
        move || now.set(now.get() + ms * MS)
    }

    fn histograms(&self) -> Histograms {
        self.watch.histograms.as_ref().unwrap().borrow().clone()
    }

    fn said(&self) -> Vec<String> {
        self.said.lock().unwrap().drain(..).map(|report| report.to_string()).collect()
    }
}

fn run(executor: &Executor) {
    assert_eq!(executor.run(&Cell::new(1_000)), Stop::Idle);
}

// ----------------------------------------------------------------------------------------------------------- slow polls

#[test]
fn a_poll_of_the_threshold_is_reported_with_its_tasks_name_spawn_site_and_duration() {
    doc_entered(|executor| {
        let watched = Watched::of(executor);
        let takes = watched.takes(100);
        let line = line!() + 1;
        let task = Builder::new().name("crank").spawn(async move { takes() });
        run(executor);
        let spawned_at = format!("spawned at {}:{line}:", file!());
        let said = watched.said();
        let [said] = &said[..] else { panic!("{said:?}") };
        assert!(said.starts_with(&format!("task {} (crank), {spawned_at}", task.id())), "{said}");
        assert!(said.ends_with("held the loop for 100 ms"), "{said}");
    });
}

#[test]
fn a_poll_below_the_threshold_is_not_reported() {
    doc_entered(|executor| {
        let watched = Watched::of(executor);
        let takes = watched.takes(99);
        drop(spawn(async move { takes() }));
        run(executor);
        assert!(watched.said().is_empty());
    });
}

#[test]
fn a_slow_poll_that_panics_is_reported_too() {
    doc_entered(|executor| {
        let watched = Watched::of(executor);
        let takes = watched.takes(200);
        let task = spawn(async move {
            takes();
            panic!("at last")
        });
        run(executor);
        assert!(task.is_finished() && watched.said().len() == 1);
    });
}

#[test]
fn what_is_waited_for_between_two_polls_is_not_held_against_the_task() {
    doc_entered(|executor| {
        let watched = Watched::of(executor);
        drop(spawn(yield_now()));
        assert_eq!(executor.run(&Cell::new(1)), Stop::Budget);
        watched.takes(10_000)();
        run(executor);
        assert!(watched.said().is_empty());
    });
}

#[test]
fn the_watchdog_speaks_at_the_threshold_and_then_after_twice_the_time() {
    doc_entered(|executor| {
        let watched = Watched::of(executor);
        let (watch, takes) = (watched.watch.clone(), watched.takes(1));
        let now = watched.now.clone();
        let heard = Rc::new(Cell::new(Vec::new()));
        let hears = heard.clone();
        drop(Builder::new().name("crank").spawn(async move {
            for _ in 0..1_000 {
                takes();
                if let Some(report) = watch.debugger.as_ref().unwrap().look(now.get()) {
                    let Report::StillBlocked { task, since } = report else { panic!("{report}") };
                    assert_eq!(task.name, "crank");
                    let mut all = hears.take();
                    all.push(since.as_millis());
                    hears.set(all);
                }
            }
        }));
        run(executor);
        assert_eq!(heard.take(), [100, 200, 400, 800]);
        watched.watch.waits();
        assert_eq!(watched.watch.debugger.as_ref().unwrap().look(u64::MAX), None, "the poll is over");
    });
}

/// Hand-shake: the task lets go of the loop only when the watchdog has spoken.
#[test]
fn a_thread_says_who_holds_the_loop_while_it_is_held() {
    let (say, hear) = mpsc::channel();
    let settings = Settings::new().slow_poll(Duration::from_millis(1)).hook(move |report| {
        let by = std::thread::current().name().map(str::to_owned);
        if let Report::StillBlocked { task, since } = report {
            let _heard_before = say.send((task.name.clone(), *since, by));
        }
    });
    let crank = Loop::builder().paused_clock().debug(settings).build().unwrap();
    let (name, since, by) = crank.block_on(async move {
        let blocked = Builder::new().name("crank").spawn(async move { hear.recv().unwrap() });
        blocked.await.unwrap()
    });
    assert_eq!((name.as_str(), by.as_deref()), ("crank", Some("windlass-watchdog")));
    assert!(since >= Duration::from_millis(1), "{since:?}");
}

// -------------------------------------------------------------------------------------------------- what else is reported

#[test]
fn a_task_asleep_at_the_loops_end_is_named_with_what_it_waits_for() {
    doc_entered(|executor| {
        let watched = Watched::of(executor);
        let forgotten = Builder::new().name("forgotten").spawn(poll_fn(|_| {
            waits::note(WaitReason::Connection);
            Poll::<()>::Pending
        }));
        run(executor);
        drop(spawn(async { unreachable!("it was ready, and not asleep") }));
        executor.drop_tasks();
        let said = watched.said();
        assert_eq!(said.len(), 1, "{said:?}");
        assert!(said[0].contains("(forgotten)"), "{said:?}");
        assert!(
            said[0].ends_with("dropped at its loop's end while it waited for a connection from the pool"),
            "{said:?}"
        );
        drop(forgotten);
    });
}

#[test]
fn ten_reports_are_told_in_a_second_and_the_rest_are_counted() {
    doc_entered(|executor| {
        let watched = Watched::of(executor);
        for _ in 0..25 {
            drop(spawn(pending::<()>()));
        }
        run(executor);
        executor.drop_tasks();
        assert_eq!(watched.said().len(), 10);
        watched.watch.rest();
        assert_eq!(watched.said(), ["15 more reports were left out"]);
        watched.watch.rest();
        assert!(watched.said().is_empty(), "once");
    });
}

#[test]
fn a_new_second_begins_with_how_many_were_left_out() {
    doc_entered(|executor| {
        let watched = Watched::of(executor);
        for ms in [0; 12].into_iter().chain([1_000]) {
            watched.takes(ms)();
            drop(spawn(pending::<()>()));
            run(executor);
            executor.drop_tasks();
        }
        let said = watched.said();
        assert_eq!(said.len(), 12, "ten, the count, and one more: {said:?}");
        assert_eq!(said[10], "2 more reports were left out");
    });
}

#[test]
fn a_hook_that_panics_harms_nobody() {
    let settings = Settings::new().hook(|_| panic!("the hook"));
    let crank = Loop::builder().paused_clock().debug(settings).build().unwrap();
    let five = crank.block_on(async {
        drop(spawn(pending::<()>()));
        yield_now().await;
        5
    });
    assert_eq!(five, 5);
}

#[test]
fn a_hook_may_wake_the_task_that_it_hears_of() {
    doc_entered(|executor| {
        let waker = Arc::new(Mutex::new(None::<std::task::Waker>));
        let wakes = waker.clone();
        let settings = Settings::new().hook(move |_| wakes.lock().unwrap().take().unwrap().wake());
        let now = Rc::new(Cell::new(0));
        let watch = Watch::new(Stopwatch::Hand(now.clone()), None, Some(Debugger::new(settings)));
        executor.watch(Rc::new(watch));
        let mut polls = 0;
        let task = spawn(poll_fn(move |cx| {
            polls += 1;
            if polls == 2 {
                return Poll::Ready(());
            }
            *waker.lock().unwrap() = Some(cx.waker().clone());
            now.set(now.get() + 200 * MS);
            Poll::Pending
        }));
        run(executor);
        assert!(task.is_finished(), "the wake-up was not lost");
    });
}

// ----------------------------------------------------------------------------------------------------------- histograms

#[test]
fn a_poll_is_timed_from_its_beginning_to_its_end() {
    doc_entered(|executor| {
        let watched = Watched::of(executor);
        let takes = watched.takes(3);
        drop(spawn(async move { takes() }));
        run(executor);
        let poll_time = watched.histograms().poll_time;
        assert_eq!((poll_time.count(), poll_time.sum()), (1, Duration::from_millis(3)));
    });
}

#[test]
fn a_spawned_task_waits_from_its_spawn_to_its_first_poll() {
    doc_entered(|executor| {
        let watched = Watched::of(executor);
        drop(spawn(async {}));
        watched.takes(7)();
        run(executor);
        assert_eq!(watched.histograms().scheduling_delay.sum(), Duration::from_millis(7));
    });
}

#[test]
fn a_woken_task_waits_from_its_wake_up_and_not_from_the_second_one() {
    doc_entered(|executor| {
        let watched = Watched::of(executor);
        let waker = Rc::new(Cell::new(None));
        let leaves = waker.clone();
        drop(spawn(poll_fn(move |cx| {
            leaves.set(Some(cx.waker().clone()));
            Poll::<()>::Pending
        })));
        run(executor);
        watched.takes(1_000)(); // asleep: nobody's delay
        let waker = waker.take().unwrap();
        waker.wake_by_ref();
        watched.takes(5)();
        waker.wake();
        watched.takes(6)();
        run(executor);
        assert_eq!(watched.histograms().scheduling_delay.max(), Duration::from_millis(11));
        assert_eq!(executor.counts().redundant_wakes, 1, "the second");
    });
}

#[test]
fn a_task_that_woke_itself_waits_from_the_end_of_its_poll() {
    doc_entered(|executor| {
        let watched = Watched::of(executor);
        let takes = watched.takes(50);
        drop(spawn(async move {
            let yields = yield_now();
            takes();
            yields.await;
        }));
        assert_eq!(executor.run(&Cell::new(1)), Stop::Budget);
        watched.takes(2)();
        run(executor);
        assert_eq!(watched.histograms().scheduling_delay.sum(), Duration::from_millis(2));
    });
}

#[test]
fn the_main_future_is_timed_as_any_task() {
    let crank = Loop::builder().paused_clock().histograms().build().unwrap();
    crank.block_on(async {
        yield_now().await;
        crate::time::sleep(Duration::from_secs(1)).await;
    });
    let histograms = crank.histograms().unwrap();
    assert_eq!((histograms.poll_time.count(), histograms.scheduling_delay.count()), (3, 3));
}

#[test]
fn a_task_asleep_for_long_tells_its_age() {
    doc_entered(|executor| {
        let watched = Watched::of(executor);
        watched.takes(40)();
        drop(spawn(pending::<()>()));
        run(executor);
        watched.takes(5_000)();
        let tasks = all_tasks();
        assert_eq!((tasks[0].state, tasks[0].age), (TaskState::Waiting, Some(Duration::from_secs(5))));
    });
}

#[test]
fn nobody_counts_ages_unless_asked_to() {
    doc_entered(|_| {
        drop(spawn(pending::<()>()));
        assert_eq!(all_tasks()[0].age, None);
    });
}

// --------------------------------------------------------------------------------------------- results that nobody sees

/// What is spawned here has one spawn site.
fn spawn_one(output: Result<u32, std::fmt::Error>) -> windlass_executor::JoinHandle<Result<u32, std::fmt::Error>> {
    Builder::new().name("crank").spawn(async move { output })
}

#[test]
fn a_result_that_nobody_looked_at_is_reported_once_for_its_spawn_site_and_counted_each_time() {
    doc_entered(|executor| {
        let watched = Watched::of(executor);
        for output in [Ok(1), Err(std::fmt::Error), Ok(2)] {
            drop(spawn_one(output));
        }
        run(executor);
        let late = spawn_one(Ok(3));
        run(executor);
        drop(late); // it had ended
        let said = watched.said();
        let [said] = &said[..] else { panic!("{said:?}") };
        assert!(said.ends_with(", gave a Result<u32, core::fmt::Error> that nobody looked at"), "{said}");
        assert_eq!(watched.watch.unseen_results(), 4);
    });
}

#[test]
fn neither_a_result_that_is_awaited_nor_what_is_no_result_is_reported() {
    doc_entered(|executor| {
        let watched = Watched::of(executor);
        drop(spawn(async { drop(spawn_one(Err(std::fmt::Error)).await) }));
        drop(spawn(async { Some(7) }));
        assert!(spawn_one(Ok(1)).abort());
        run(executor);
        assert!(watched.said().is_empty());
        assert_eq!(watched.watch.unseen_results(), 0);
    });
}

#[test]
fn a_groups_children_are_looked_at_by_their_group() {
    doc_entered(|executor| {
        let watched = Watched::of(executor);
        drop(spawn(async {
            let failed = windlass_executor::group(async |g| g.spawn(async { Err::<(), _>("no more oil") }).map(drop));
            assert!(failed.await.is_err());
        }));
        run(executor);
        assert!(watched.said().is_empty());
    });
}

#[test]
fn a_leftover_that_ends_its_clean_up_with_an_error_is_named() {
    let said = Arc::new(Mutex::new(Vec::new()));
    let hears = said.clone();
    let settings = Settings::new().hook(move |report| hears.lock().unwrap().push(report.to_string()));
    crate::Runner::on(Loop::builder().paused_clock().debug(settings))
        .run(async {
            drop(Builder::new().name("left").spawn(async {
                let _asked = crate::cancel::catch(pending::<()>()).await;
                Err::<(), _>("the disk is full")
            }));
            yield_now().await;
            crate::metrics().unseen_results
        })
        .unwrap();
    let said = said.lock().unwrap();
    let [said] = &said[..] else { panic!("{said:?}") };
    assert!(said.contains("(left)") && said.ends_with("gave a Result<(), &str> that nobody looked at"), "{said}");
}

// ------------------------------------------------------------------------------------------ what blocks outside of polls

/// Says what the watchdog would say 150 ms after it is dropped or called.
struct Blocks(Rc<Watch>, Rc<Cell<u64>>, Rc<Cell<Vec<String>>>);

impl Blocks {
    fn of(watched: &Watched) -> Self {
        Blocks(watched.watch.clone(), watched.now.clone(), Rc::default())
    }

    fn block(&self) {
        self.1.set(self.1.get() + 150 * MS);
        let mut said = self.2.take();
        said.extend(self.0.debugger.as_ref().unwrap().look(self.1.get()).map(|report| report.to_string()));
        self.2.set(said);
    }
}

impl Drop for Blocks {
    fn drop(&mut self) {
        self.block();
    }
}

#[test]
fn a_drop_that_blocks_is_told_of_the_task_that_is_dropped() {
    doc_entered(|executor| {
        let watched = Watched::of(executor);
        let blocks = Blocks::of(&watched);
        let said = blocks.2.clone();
        let victim = Builder::new().name("heavy").spawn(async move {
            let _blocks = blocks;
            pending::<()>().await
        });
        drop(Builder::new().name("aborts").spawn(async move { victim.abort() }));
        run(executor);
        let said = said.take();
        let [said] = &said[..] else { panic!("{said:?}") };
        assert!(
            said.contains("(heavy)") && said.ends_with("holds the loop while it is dropped, for 150 ms so far"),
            "{said}"
        );
    });
}

#[test]
fn what_blocks_between_polls_is_told_and_a_wait_is_not() {
    doc_entered(|executor| {
        let watched = Watched::of(executor);
        let blocks = Blocks::of(&watched);
        drop(spawn(yield_now()));
        run(executor);
        blocks.block();
        watched.watch.waits();
        blocks.block();
        watched.watch.is_awake();
        blocks.block();
        let said = "between two polls, a waker or a call holds the loop, for 150 ms so far";
        assert_eq!(blocks.2.take(), [said, said]);
    });
}

/// Holds the loop until the watchdog has said this of it.
struct Holds(Rc<mpsc::Receiver<String>>, &'static str);

impl Drop for Holds {
    fn drop(&mut self) {
        while self.0.recv().unwrap() != self.1 {}
    }
}

/// Hand-shakes: each of the three lets go of the loop only when the watchdog has spoken of it.
#[test]
fn a_thread_says_that_main_or_a_drop_or_a_call_holds_the_loop() {
    let (say, hear) = mpsc::channel();
    let settings = Settings::new().slow_poll(Duration::from_millis(1)).hook(move |report| {
        let what = match report {
            Report::StillBlocked { task, .. } => format!("poll of {}", task.name),
            Report::StillDropping { task, .. } => format!("drop of {}", task.name),
            Report::StillBetweenPolls { .. } => "between polls".into(),
            _ => return,
        };
        let _heard_before = say.send(what);
    });
    let hear = Rc::new(hear);
    let crank = Loop::builder().paused_clock().debug(settings).build().unwrap();
    let mut once = Some(Holds(hear.clone(), "between polls"));
    crank.on_tick(move |_| drop(once.take()));
    crank.block_on(async {
        drop(Holds(hear.clone(), "poll of main"));
        let held = Holds(hear.clone(), "drop of heavy");
        let task = Builder::new().name("heavy").spawn(async move {
            let _held = held;
            pending::<()>().await
        });
        yield_now().await;
        assert!(task.abort());
    });
}

/// Woken, it holds the loop until the watchdog has said that somebody does.
struct HoldsWhenWoken(Mutex<mpsc::Receiver<Report>>, AtomicBool);

impl Wake for HoldsWhenWoken {
    fn wake(self: Arc<Self>) {
        let hear = self.0.lock().unwrap();
        while let Ok(report) = hear.recv_timeout(Duration::from_secs(60)) {
            if matches!(report, Report::StillBetweenPolls { .. }) {
                return self.1.store(true, Relaxed);
            }
        }
    }
}

#[test]
fn a_thread_says_that_a_waker_holds_the_loop_right_after_a_wait() {
    let (say, hear) = mpsc::channel();
    let settings = Settings::new().slow_poll(Duration::from_millis(1)).hook(move |report| {
        let _heard_before = say.send(report.clone());
    });
    let crank = Loop::builder().paused_clock().debug(settings).build().unwrap();
    let holds = Arc::new(HoldsWhenWoken(Mutex::new(hear), AtomicBool::new(false)));
    let waker = Waker::from(holds.clone());
    crank.block_on(async {
        let mut nap = pin!(crate::time::sleep(Duration::from_secs(1)));
        assert!(nap.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        crate::time::sleep(Duration::from_secs(2)).await;
    });
    assert!(holds.1.load(Relaxed), "the watchdog said nothing");
}
