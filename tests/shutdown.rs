//! Stories about services that end: in order, in time, and with the stragglers named.
//!
//! Told on paused clocks, to the millisecond. What ends a process happens in a child.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::cell::RefCell;
use std::future::pending;
use std::process::{Command, Output};
use std::rc::Rc;
use std::time::Duration;

use nix::sys::signal::{Signal, raise};
use windlass::cancel::catch;
use windlass::shutdown::GracefulShutdown;
use windlass::task::{set_unobserved_panic_hook, yield_now};
use windlass::time::{Instant, sleep};
use windlass::{Runner, spawn};
use windlass_tests::{beside_others, run_paused};

const GRACE: Duration = Duration::from_secs(5);

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Works until it is asked to stop, and cleans up for so long.
async fn worker(clean_up: Duration) {
    let _asked = catch(pending::<()>()).await;
    sleep(clean_up).await;
}

#[test]
fn workers_clean_up_in_order_and_the_shutdown_takes_as_long_as_the_slowest() {
    run_paused(async {
        let (service, start, log) = (GracefulShutdown::new(), Instant::now(), Rc::new(RefCell::new(Vec::new())));
        for number in 1..=3u64 {
            let log = log.clone();
            service.spawn(format!("worker {number}"), async move {
                worker(ms(100 * number)).await;
                log.borrow_mut().push((number, start.elapsed()));
            });
        }
        yield_now().await;
        let report = service.shutdown(GRACE).await;
        assert_eq!((report.ended, report.stragglers.len()), (3, 0));
        assert_eq!(*log.borrow(), [(1, ms(100)), (2, ms(200)), (3, ms(300))]);
        assert_eq!(start.elapsed(), ms(300));
    });
}

#[test]
fn who_is_not_done_when_the_grace_is_over_is_dropped_then_and_named() {
    run_paused(async {
        let (service, start) = (GracefulShutdown::new(), Instant::now());
        service.spawn("slow", worker(ms(5_001)));
        service.spawn("just in time", worker(ms(4_999)));
        service.spawn("endless", worker(Duration::MAX));
        yield_now().await;
        let report = service.shutdown(GRACE).await;
        assert_eq!(report.to_string(), "1 task ended; dropped: slow, endless");
        assert_eq!(start.elapsed(), GRACE);
        assert!(service.is_empty());
    });
}

#[test]
fn a_task_leaves_by_itself_however_it_ends() {
    run_paused(async {
        set_unobserved_panic_hook(Some(|panic| assert_eq!(panic.name, "panics")));
        let service = GracefulShutdown::new();
        service.spawn("ends", async {});
        service.spawn("panics", async { panic!("it slipped") });
        assert_eq!(service.len(), 2);
        yield_now().await;
        assert!(service.is_empty());
        set_unobserved_panic_hook(None);
        // Those that went before make the wait for this one no shorter.
        let start = Instant::now();
        service.spawn("stays", worker(ms(70)));
        yield_now().await;
        assert_eq!(service.shutdown(GRACE).await.ended, 1);
        assert_eq!(start.elapsed(), ms(70));
    });
}

#[test]
fn who_does_not_catch_is_dropped_at_once_and_who_has_not_begun_never_does() {
    run_paused(async {
        let (service, start) = (GracefulShutdown::new(), Instant::now());
        service.spawn("simple", pending());
        yield_now().await;
        service.spawn("fresh", async { panic!("it never ran") });
        let report = service.shutdown(GRACE).await;
        assert_eq!((report.ended, report.stragglers.len(), start.elapsed()), (2, 0, ms(0)));
    });
}

#[test]
fn nothing_is_spawned_once_the_shutdown_has_begun() {
    run_paused(async {
        let service = GracefulShutdown::new();
        let own = service.clone();
        service.spawn("asks for help", async move {
            let _asked = catch(pending::<()>()).await;
            assert!(own.spawn("help", pending()).is_none());
        });
        yield_now().await;
        assert_eq!(service.shutdown(GRACE).await.to_string(), "1 task ended");
    });
}

#[test]
fn a_shutdown_that_is_given_up_can_be_taken_up_again() {
    run_paused(async {
        let (service, start) = (GracefulShutdown::new(), Instant::now());
        service.spawn("slow", worker(ms(300)));
        yield_now().await;
        let again = service.clone();
        let given_up = spawn(async move { again.shutdown(GRACE).await });
        sleep(ms(100)).await;
        given_up.abort();
        assert_eq!(service.len(), 1);
        let task = spawn(async move { service.shutdown(ms(150)).await });
        // It is asked again: this time nothing catches that.
        assert_eq!(task.await.unwrap().to_string(), "1 task ended");
        assert_eq!(start.elapsed(), ms(100));
    });
}

/// Runs the test `name` in a process of its own, to see how it ends.
fn child(name: &str) -> Output {
    let mut child = Command::new(std::env::current_exe().unwrap());
    let child = child.args(["--exact", name, "--nocapture"]).env("WINDLASS_CHILD", "1");
    beside_others(|| child.output().unwrap())
}

fn is_child() -> bool {
    std::env::var_os("WINDLASS_CHILD").is_some()
}

fn serve(clean_up: Duration, signals: &'static [Signal]) {
    let runner = Runner::new().leave_ctrl_c();
    let served = runner.run(async move {
        let service = GracefulShutdown::new();
        service.spawn("server", async move {
            for (sent, &signal) in signals.iter().enumerate() {
                let _asked = catch(async {
                    yield_now().await; // whoever waits for it listens by now
                    println!("signal {sent}");
                    raise(signal).unwrap();
                    pending::<()>().await;
                })
                .await;
            }
            sleep(clean_up).await;
        });
        println!("{}", service.shutdown_on_signal(GRACE).await.unwrap());
    });
    served.unwrap();
}

#[test]
fn each_of_the_two_signals_begins_a_shutdown() {
    const NAME: &str = "each_of_the_two_signals_begins_a_shutdown";
    if is_child() {
        serve(ms(1), &[Signal::SIGTERM]);
        return serve(ms(1), &[Signal::SIGINT]);
    }
    let child = child(NAME);
    assert_eq!(String::from_utf8_lossy(&child.stdout).matches("1 task ended\n").count(), 2, "{child:?}");
    assert!(child.status.success());
}

#[test]
fn a_second_signal_ends_the_process() {
    use std::os::unix::process::ExitStatusExt;
    const NAME: &str = "a_second_signal_ends_the_process";
    if is_child() {
        return serve(Duration::MAX, &[Signal::SIGINT, Signal::SIGTERM]);
    }
    let child = child(NAME);
    assert!(String::from_utf8_lossy(&child.stdout).contains("signal 1"), "{child:?}");
    assert_eq!(child.status.signal(), Some(Signal::SIGTERM as i32));
}
