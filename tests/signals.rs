//! Stories about signals: who listens hears of them, and when nobody listens any more they do what they always did.
//!
//! A signal raised by a thread is handled before `raise` returns. Each story has a signal of its own, since they are the
//! process's; what ends a process happens in a child.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::future::poll_fn;
use std::os::unix::process::ExitStatusExt;
use std::pin::Pin;
use std::process::{Command, Output};
use std::task::Poll;
use std::thread;

use futures_core::Stream;
use nix::sys::signal as sys;
use nix::unistd::getpid;
use static_assertions::assert_impl_all;
use windlass::signal::{Kind, Signal, ctrl_c, signal};
use windlass_tests::{beside_others, open_descriptors, poll_at_most, run, run_alone, some_turns, until};

assert_impl_all!(Signal: Send, Sync, Unpin);

fn raise(kind: Kind) {
    sys::raise(kind.as_raw().try_into().unwrap()).unwrap();
}

#[test]
fn every_listener_hears_a_signal_on_whatever_loop_it_is() {
    run(async {
        let (mut one, mut other) = (signal(Kind::USER_1).unwrap(), signal(Kind::USER_1).unwrap());
        let elsewhere = thread::spawn(|| {
            windlass::Loop::new().unwrap().block_on(async {
                let mut third = signal(Kind::USER_1).unwrap();
                sys::kill(getpid(), sys::Signal::SIGUSR1).unwrap();
                third.recv().await.unwrap();
            });
        });
        one.recv().await.unwrap();
        other.recv().await.unwrap();
        elsewhere.join().unwrap();
    });
}

#[test]
fn signals_that_were_not_received_are_one_and_the_next_is_another() {
    let kind = Kind::USER_2;
    run(async {
        let mut heard = signal(kind).unwrap();
        for times in [1, 3, 64, 128, 5_000] {
            (0..times).for_each(|_| raise(kind));
            heard.recv().await.unwrap();
            some_turns().await;
            assert!(poll_at_most(heard.recv(), 1).await.is_none(), "of {times}");
        }
    });
}

#[test]
fn a_receive_that_is_given_up_loses_no_signal() {
    let kind = Kind::WINDOW_CHANGE;
    run(async {
        let mut heard = signal(kind).unwrap();
        assert!(poll_at_most(heard.recv(), 1).await.is_none());
        raise(kind);
        some_turns().await;
        heard.recv().await.unwrap();
        raise(kind);
        let next = poll_fn(|cx| Pin::new(&mut heard).poll_next(cx)).await;
        next.expect("it has no end").unwrap();
    });
}

#[test]
fn ctrl_c_ends_the_wait_for_it() {
    run(async {
        let waiting = windlass::spawn(ctrl_c());
        some_turns().await;
        assert!(!waiting.is_finished());
        raise(Kind::INTERRUPT);
        waiting.await.unwrap().unwrap();
    });
}

#[test]
fn what_cannot_be_heard_is_an_error_in_words() {
    run(async {
        for (number, says) in
            [(9, "SIGKILL cannot"), (11, "SIGSEGV cannot"), (0, "signal 0 cannot"), (40, "signal 40 ")]
        {
            let refused = signal(Kind::from_raw(number)).unwrap_err();
            assert!(refused.to_string().starts_with(says), "{refused}");
        }
    });
}

#[test]
fn listeners_leave_no_descriptor_behind_wherever_they_are_dropped() {
    run_alone(async {
        let before = open_descriptors();
        for _ in 0..10 {
            let (here, there) = (signal(Kind::CHILD).unwrap(), signal(Kind::CHILD).unwrap());
            assert_eq!(open_descriptors(), before + 4);
            drop(here);
            thread::spawn(move || drop(there)).join().unwrap();
            until(|| open_descriptors() == before).await;
        }
    });
}

#[test]
fn a_signal_that_was_ignored_before_is_ignored_again() {
    let broken_pipe = Kind::from_raw(13); // Rust's runtime ignores SIGPIPE
    run(async {
        let mut heard = signal(broken_pipe).unwrap();
        raise(broken_pipe);
        heard.recv().await.unwrap();
        drop(heard);
        raise(broken_pipe); // and we live
    });
}

/// Runs the test `name` in a process of its own, to see how it ends.
fn child(name: &str) -> Output {
    let mut child = Command::new(std::env::current_exe().unwrap());
    let child = child.args(["--exact", name, "--nocapture"]).env("WINDLASS_SIGNALS", "1");
    beside_others(|| child.output().unwrap())
}

const THE_LAST: &str = "this one ends me";

fn raise_the_last(kind: Kind) {
    println!("{THE_LAST}");
    raise(kind);
}

fn ended_by(signal: i32, child: &Output) {
    let said = String::from_utf8_lossy(&child.stdout);
    assert!(said.contains(THE_LAST), "it ended too early: {}, {said}", child.status);
    assert_eq!(child.status.signal(), Some(signal), "{}", child.status);
}

fn is_child() -> bool {
    std::env::var_os("WINDLASS_SIGNALS").is_some()
}

#[test]
fn when_the_last_listener_is_gone_a_signal_ends_the_process_again_and_not_before() {
    if !is_child() {
        let ended = child("when_the_last_listener_is_gone_a_signal_ends_the_process_again_and_not_before");
        ended_by(15, &ended);
        return;
    }
    run(async {
        for _ in 0..2 {
            let (mut first, mut second) = (signal(Kind::TERMINATE).unwrap(), signal(Kind::TERMINATE).unwrap());
            raise(Kind::TERMINATE);
            first.recv().await.unwrap();
            second.recv().await.unwrap();
            drop(first);
            raise(Kind::TERMINATE);
            second.recv().await.unwrap(); // one is left: it lives
        }
        raise_the_last(Kind::TERMINATE);
    });
}

#[test]
fn the_second_ctrl_c_ends_who_waited_for_one() {
    if !is_child() {
        let ended = child("the_second_ctrl_c_ends_who_waited_for_one");
        ended_by(2, &ended);
        return;
    }
    run(async {
        let waiting = windlass::spawn(ctrl_c());
        poll_fn(|_| Poll::Ready(())).await;
        some_turns().await;
        raise(Kind::INTERRUPT);
        waiting.await.unwrap().unwrap();
        raise_the_last(Kind::INTERRUPT);
    });
}
