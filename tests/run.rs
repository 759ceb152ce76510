//! Stories about whole programs: how a run ends, what becomes of what is left, and a loop that is turned from outside.
//!
//! Told on paused clocks. What ends a process happens in a child.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::cell::{Cell, RefCell};
use std::future::{pending, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::{Command, Output};
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use nix::sys::signal::{Signal, raise};
use windlass::cancel::catch;
use windlass::task::{all_tasks, current, set_unobserved_panic_hook, spawn_blocking, yield_now};
use windlass::time::{Instant, sleep};
use windlass::{Handle, Loop, RunErrorKind, Runner, run, spawn};
use windlass_tests::{alone, beside_others};

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn paused() -> Runner {
    Runner::on(Loop::builder().paused_clock()).leave_ctrl_c()
}

type Log = Rc<RefCell<Vec<String>>>;

fn log() -> (Log, impl Fn(&str) + Clone) {
    let log = Log::default();
    let to = log.clone();
    (log, move |line| to.borrow_mut().push(line.to_owned()))
}

struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// Waits until it is asked to stop, and then for `clean_up`.
async fn until_asked(clean_up: Duration) {
    let _asked = catch(pending::<()>()).await;
    sleep(clean_up).await;
}

// ------------------------------------------------------------------------------------------------------------ how it ends

#[test]
fn a_run_returns_what_main_returns_and_another_may_follow() {
    beside_others(|| {
        assert_eq!(run(async { 6 * 7 }), 42);
        assert_eq!(run(async { "once more" }), "once more");
        let error: Result<(), std::io::Error> = run(async { Err(std::io::Error::other("as main says")) });
        assert_eq!(error.unwrap_err().to_string(), "as main says");
    });
}

#[test]
fn main_is_the_first_task_and_is_called_main() {
    let (me, id) = paused().run(async { (current().unwrap(), all_tasks()[0].id) }).unwrap();
    assert_eq!((me.name.as_str(), me.id, me.id.to_string().as_str()), ("main", id, "1"));
    assert_eq!(me.spawned_at.file(), file!());
}

#[test]
fn what_is_left_is_asked_in_order_and_waited_for_until_it_has_cleaned_up() {
    let (log, say) = log();
    let start = paused().run(async move {
        let start = Instant::now();
        for (name, takes) in [("slow", ms(300)), ("quick", ms(100))] {
            let say = say.clone();
            drop(spawn(async move {
                let asked = catch(pending::<()>()).await.unwrap_err();
                say(&format!("{name}: {}", asked.reason().unwrap()));
                sleep(takes).await;
                say(&format!("{name} is done after {:?}", start.elapsed()));
            }));
        }
        yield_now().await;
        start
    });
    start.unwrap();
    let expected =
        ["slow: main has ended", "quick: main has ended", "quick is done after 100ms", "slow is done after 300ms"];
    assert_eq!(*log.borrow(), expected);
}

#[test]
fn what_is_left_and_does_not_catch_is_dropped_with_the_loop_still_there() {
    let (log, say) = log();
    let sees = paused().run(async move {
        drop(spawn(async move {
            let _guard = OnDrop(|| say(&format!("{} tasks", all_tasks().len())));
            pending::<()>().await;
        }));
        yield_now().await;
    });
    sees.unwrap();
    assert_eq!(log.borrow().len(), 1);
}

#[test]
fn a_panic_in_a_clean_up_is_reported_and_the_others_go_on() {
    thread_local!(static TOLD: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) });
    let (log, say) = log();
    set_unobserved_panic_hook(Some(|panic| TOLD.with_borrow_mut(|told| told.push(panic.error.to_string()))));
    let ran = paused().run(async move {
        drop(spawn(async {
            until_asked(ms(10)).await;
            panic!("the roll-back failed");
        }));
        drop(spawn(async move {
            until_asked(ms(20)).await;
            say("the other cleaned up");
        }));
        yield_now().await;
    });
    set_unobserved_panic_hook(None);
    ran.unwrap();
    assert_eq!(TOLD.take(), ["task 2 (Task-2) panicked: the roll-back failed"]);
    assert_eq!(*log.borrow(), ["the other cleaned up"]);
}

#[test]
fn after_its_grace_what_still_cleans_up_is_dropped_at_that_millisecond() {
    let dropped = Rc::new(Cell::new(None));
    let tell = dropped.clone();
    let start = paused().grace(ms(250)).run(async move {
        let start = Instant::now();
        drop(spawn(async move {
            let _guard = OnDrop(|| tell.set(Some(start.elapsed())));
            until_asked(ms(10_000)).await;
        }));
        yield_now().await;
    });
    start.unwrap();
    assert_eq!(dropped.get(), Some(ms(250)));
}

#[test]
fn with_no_grace_at_all_every_clean_up_begins_and_none_may_wait() {
    let (log, say) = log();
    let ran = paused().grace(Duration::ZERO).run(async move {
        drop(spawn(async move {
            let _asked = catch(pending::<()>()).await;
            say("asked");
            sleep(ms(1)).await;
            say("too late");
        }));
        yield_now().await;
    });
    ran.unwrap();
    assert_eq!(*log.borrow(), ["asked"]);
}

#[test]
fn what_a_clean_up_spawns_runs_while_it_is_awaited_and_is_dropped_if_it_is_not() {
    let (log, say) = log();
    let ran = paused().run(async move {
        drop(spawn(async move {
            let _asked = catch(pending::<()>()).await;
            let forgotten = say.clone();
            drop(spawn(async move {
                let _guard = OnDrop(|| forgotten("the forgotten one is dropped"));
                pending::<()>().await;
            }));
            let helper = say.clone();
            spawn(async move {
                sleep(ms(100)).await;
                helper("the helper is done");
            })
            .await
            .unwrap();
        }));
        yield_now().await;
    });
    ran.unwrap();
    assert_eq!(*log.borrow(), ["the helper is done", "the forgotten one is dropped"]);
}

#[test]
fn what_is_left_has_its_done_calls_made_before_the_run_returns() {
    let (log, say) = log();
    let ran = paused().run(async move {
        for number in 0..200 {
            let say = say.clone();
            spawn(until_asked(ms(0))).on_done(move || say(&format!("{number}")));
        }
        yield_now().await;
    });
    ran.unwrap();
    assert_eq!(*log.borrow(), (0..200).map(|number: u32| number.to_string()).collect::<Vec<_>>());
}

#[test]
fn main_panics_out_of_the_run_after_the_others_have_cleaned_up() {
    let (log, say) = log();
    let panics = catch_unwind(AssertUnwindSafe(|| {
        paused().run(async move {
            drop(spawn(async move {
                until_asked(ms(100)).await;
                say("cleaned up");
            }));
            yield_now().await;
            panic!("main slipped");
        })
    }));
    assert_eq!(panics.unwrap_err().downcast_ref(), Some(&"main slipped"));
    assert_eq!(*log.borrow(), ["cleaned up"]);
}

#[test]
fn main_that_hands_on_a_cancellation_has_no_output() {
    let error = paused().run(async { windlass::cancel::Cancelled::new().propagate().await }).unwrap_err();
    assert_eq!((error.kind(), error.to_string().as_str()), (RunErrorKind::Cancelled, "main was cancelled"));
}

#[test]
fn a_run_in_a_run_is_refused_and_told_where_the_other_began() {
    let outer_line = line!() + 1;
    let ran = paused().run(async {
        let inner_line = line!() + 1;
        let error = Runner::new().run(async {}).unwrap_err();
        assert_eq!(error.kind(), RunErrorKind::Nested);
        let panics = catch_unwind(|| run(async {})).unwrap_err();
        assert!(panics.downcast_ref::<String>().unwrap().starts_with("run at "));
        (inner_line, error.to_string())
    });
    let (inner_line, told) = ran.unwrap();
    for line in [inner_line, outer_line] {
        assert!(told.contains(&format!("{}:{line}:", file!())), "{told}");
    }
}

#[test]
fn a_run_leaves_no_descriptor_behind() {
    alone(|| {
        run(async {
            drop(spawn(until_asked(ms(1))));
            yield_now().await;
        });
    });
}

// ------------------------------------------------------------------------------------------------------------------ Ctrl-C

/// Runs the test `name` in a process of its own, to see how it ends.
fn child(name: &str) -> Output {
    let mut child = Command::new(std::env::current_exe().unwrap());
    let child = child.args(["--exact", name, "--nocapture"]).env("WINDLASS_CHILD", "1");
    beside_others(|| child.output().unwrap())
}

fn is_child() -> bool {
    std::env::var_os("WINDLASS_CHILD").is_some()
}

fn said(child: &Output) -> String {
    String::from_utf8_lossy(&child.stdout).into_owned()
}

#[test]
fn ctrl_c_asks_main_to_stop_and_what_it_returns_then_counts() {
    if !is_child() {
        let child = child("ctrl_c_asks_main_to_stop_and_what_it_returns_then_counts");
        assert!(said(&child).contains("main: Ctrl-C, and a good night"), "{}", said(&child));
        assert_eq!(child.status.code(), Some(0));
        return;
    }
    let night = run(async {
        raise(Signal::SIGINT).unwrap();
        let asked = catch(pending::<()>()).await.unwrap_err();
        sleep(ms(1)).await;
        format!("{}, and a good night", asked.reason().unwrap())
    });
    println!("main: {night}");
}

#[test]
fn ctrl_c_on_a_main_that_is_never_asleep_asks_it_all_the_same() {
    if !is_child() {
        let child = child("ctrl_c_on_a_main_that_is_never_asleep_asks_it_all_the_same");
        assert!(said(&child).contains("main: asked by Ctrl-C"), "{}", said(&child));
        assert_eq!(child.status.code(), Some(0));
        return;
    }
    let asked = run(async {
        raise(Signal::SIGINT).unwrap();
        let spins = async {
            loop {
                yield_now().await;
            }
        };
        catch(spins).await.map(|never: ()| never).unwrap_err()
    });
    println!("main: asked by {}", asked.reason().unwrap());
}

#[test]
fn ctrl_c_on_a_main_that_does_not_catch_ends_the_process_with_130_after_the_clean_up() {
    if !is_child() {
        let child = child("ctrl_c_on_a_main_that_does_not_catch_ends_the_process_with_130_after_the_clean_up");
        assert!(said(&child).contains("the other cleaned up"), "{}", said(&child));
        assert_eq!(child.status.code(), Some(130));
        return;
    }
    run(async {
        drop(spawn(async {
            until_asked(ms(1)).await;
            println!("the other cleaned up");
        }));
        yield_now().await;
        raise(Signal::SIGINT).unwrap();
        pending::<()>().await;
    });
    unreachable!();
}

#[test]
fn a_second_ctrl_c_ends_the_process_even_while_main_cleans_up_for_ever() {
    use std::os::unix::process::ExitStatusExt;
    if !is_child() {
        let child = child("a_second_ctrl_c_ends_the_process_even_while_main_cleans_up_for_ever");
        assert!(said(&child).contains("asked once"), "{}", said(&child));
        assert_eq!(child.status.signal(), Some(Signal::SIGINT as i32), "which a shell calls 130");
        return;
    }
    run(async {
        raise(Signal::SIGINT).unwrap();
        let _asked = catch(pending::<()>()).await;
        println!("asked once");
        raise(Signal::SIGINT).unwrap();
        println!("still here");
        pending::<()>().await;
    });
}

// -------------------------------------------------------------------------------------------------- turned from outside

#[test]
fn a_loop_that_is_turned_from_outside_keeps_its_tasks_between_turns() {
    let crank = Loop::builder().paused_clock().build().unwrap();
    let polls = Rc::new(Cell::new(0));
    let count = polls.clone();
    let task = crank.spawn(poll_fn(move |cx| {
        count.set(count.get() + 1);
        cx.waker().wake_by_ref();
        if count.get() == 3 { Poll::Ready(()) } else { Poll::Pending }
    }));
    assert!(!crank.try_tick(), "a turn polls what is ready, also again");
    assert_eq!((polls.get(), task.is_finished()), (3, true));
}

#[test]
fn run_until_stalled_leaves_a_paused_clock_where_it_is_and_tick_moves_it() {
    let crank = Loop::builder().paused_clock().build().unwrap();
    let task = crank.spawn(async { sleep(ms(100)).await });
    crank.run_until_stalled();
    assert!(!task.is_finished());
    assert_eq!(crank.next_deadline(), Some(ms(100)));
    crank.tick(); // sleeps: the clock jumps
    assert!(task.is_finished());
}

#[test]
fn run_until_stalled_does_what_other_threads_asked_for_meanwhile() {
    let crank = Loop::new().unwrap();
    let handle = crank.handle();
    crank.run_until_stalled();
    let (say, hear) = std::sync::mpsc::channel();
    std::thread::spawn(move || handle.spawn(async move { say.send("hello").unwrap() })).join().unwrap().unwrap();
    crank.run_until_stalled();
    assert_eq!(hear.try_recv(), Ok("hello"));
}

#[test]
fn a_tick_in_a_running_loop_is_refused_and_names_both_places() {
    let other = Loop::new().unwrap();
    Loop::new().unwrap().block_on(async {
        let panics = catch_unwind(AssertUnwindSafe(|| other.tick())).unwrap_err();
        let told = panics.downcast_ref::<String>().unwrap();
        assert!(told.starts_with("tick at ") && told.matches(file!()).count() == 2, "{told}");
    });
}

#[test]
fn the_current_handle_leads_back_from_another_thread_and_is_there_only_in_a_loop() {
    assert!(Handle::try_current().is_none());
    assert!(catch_unwind(Handle::current).is_err());
    Loop::new().unwrap().block_on(async {
        let (here, (say, hear)) = (Handle::current(), std::sync::mpsc::channel());
        let there = spawn_blocking(move || here.spawn(async move { say.send(current().is_some()).unwrap() }));
        there.await.unwrap().unwrap();
        while hear.try_recv() != Ok(true) {
            yield_now().await;
        }
    });
}
