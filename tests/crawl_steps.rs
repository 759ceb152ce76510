//! A crawler in three steps, run small.
//!
//! The program itself is run here, with a second cut to ten milliseconds. How fast it is is its own business; that what
//! it says adds up, that the floors are what the limits make them, and that nothing ends before its floor, is ours.
//!
//! ```text
//!     test ──► crawl_steps --json --scale 0.01 ──► steps, site, all in one process
//!       ▲                                                  │
//!       └── exit status, one JSON object, stderr ◄─────────┘
//! ```
//!
//! Not here: each step to the nanosecond, on a paused clock, which is in the program's own tests.   Next:
//! `examples/crawl_steps/main.rs`.

#![allow(clippy::unwrap_used)] // a story that cannot go on says where it stopped

use std::{
    io::{BufRead, BufReader, Read},
    process::{Command, Stdio},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::{Value, json};
use windlass_tests::program::{self, Done, assert_same, number, on_a_terminal, program};

fn run(arguments: &[&str]) -> Done {
    program::run(Command::new(program("crawl_steps")).args(arguments))
}

fn runs(report: &Value) -> &[Value] {
    report["runs"].as_array().unwrap()
}

fn assert_adds_up(report: &Value) {
    let scale = number(&report["settings"]["scale"]);
    for run in runs(report) {
        let results = run["results"].as_array().unwrap();
        let succeeded = results.iter().filter(|result| result["success"] == true).count();
        assert_eq!(run["processed"], results.len(), "{run}");
        assert_eq!(run["success"], succeeded, "{run}");
        assert_eq!(run["failed"], results.len() - succeeded, "{run}");
        assert_same(number(&run["here_s"]), number(&run["elapsed_s"]) * scale);
        assert_same(number(&run["requests_per_s"]), results.len() as f64 / number(&run["elapsed_s"]));
        assert_same(number(&run["over"]), number(&run["elapsed_s"]) / number(&run["floor_s"]) - 1.0);
    }
}

/// Of runs that went to their end.
fn assert_whole(report: &Value) {
    let urls = report["settings"]["urls"].as_u64().unwrap() as usize;
    for run in runs(report) {
        let results = run["results"].as_array().unwrap();
        assert_eq!((results.len(), &run["interrupted"]), (urls, &json!(false)), "{run}");
        for (position, result) in results.iter().enumerate() {
            let url = result["url"].as_str().unwrap();
            assert!(url.ends_with(&format!("/page/{position}")), "results are in the order of the URLs: {run}");
        }
        let attempts: u64 = results.iter().map(|result| result["attempts"].as_u64().unwrap()).sum();
        assert_eq!(run["site"]["requests"], attempts, "the site was asked as often as it was tried: {run}");
        assert!(number(&run["over"]) >= 0.0, "nothing ends before its floor: {run}");
    }
}

#[test]
fn every_step_fetches_every_url_in_order_and_none_is_faster_than_its_limits_allow() {
    let done = run(&["--json", "--scale", "0.01", "--urls", "10", "--max-concurrent", "4", "--rate", "50"]);
    assert_eq!(done.status, Some(0), "{done:?}");
    let report = done.json();
    assert_adds_up(&report);
    assert_whole(&report);
    let expected = [
        ("blocking", "article", 10.0, "one after the other"),
        ("basic", "article", 1.0, "the server alone"),
        ("basic", "sensible", 3.0, "4 connections to the host"),
        ("optimised", "article", 2.0, "5 connections to the host"),
        ("optimised", "sensible", 3.0, "4 connections to the host"),
        ("optimised", "sensible", 3.02, "4 connections to the host"), // the third round's second request is the last
    ];
    assert_eq!(runs(&report).len(), expected.len(), "{report}");
    for (run, (step, limits_of, floor_s, held_by)) in runs(&report).iter().zip(expected) {
        assert_eq!(
            (&run["step"], &run["limits_of"], &run["held_by"]),
            (&json!(step), &json!(limits_of), &json!(held_by))
        );
        assert_same(number(&run["floor_s"]), floor_s);
        for result in run["results"].as_array().unwrap() {
            assert_eq!(result["status"], 200, "{run}");
            assert_eq!(result["size"], 128, "sizes are bytes, of which each letter here has two: {run}");
        }
        let over = number(&run["over"]);
        assert_eq!(run["within_5_percent"], over <= 0.05, "{run}");
        assert!(run["promised_s"].is_null(), "nobody promised anything for ten URLs: {run}");
    }
}

#[test]
fn the_articles_promises_stand_beside_floors_of_a_hundred_one_and_twenty_seconds() {
    let done = run(&["--json", "--scale", "0.001"]);
    assert_eq!(done.status, Some(0), "{done:?}");
    let report = done.json();
    let of_article: Vec<_> = runs(&report).iter().filter(|run| run["limits_of"] == "article").collect();
    let figures: Vec<_> = of_article.iter().map(|run| (number(&run["promised_s"]), number(&run["floor_s"]))).collect();
    assert_eq!(figures, [(100.0, 100.0), (10.0, 1.0), (3.0, 20.0)]);
    let rated = runs(&report).last().unwrap();
    assert_same(number(&rated["floor_s"]), 10.9);
    assert!(number(&rated["site"]["per_s"]) <= 10.0 * 1.05, "the rate is one for all slots: {rated}");
}

#[test]
fn an_answer_that_says_failure_is_none_and_only_the_last_step_tries_again() {
    let line = ["--json", "--scale", "0.01", "--urls", "6", "--failing", "2", "--attempts", "4"];
    let done = run(&[&line[..], &["--step", "basic,optimised"]].concat());
    assert_eq!(done.status, Some(1), "a run with failures says so: {done:?}");
    let report = done.json();
    assert_adds_up(&report);
    assert_whole(&report);
    for run in runs(&report) {
        let attempts = if run["step"] == "optimised" { 4 } else { 1 };
        for (position, result) in run["results"].as_array().unwrap().iter().enumerate() {
            let expected = if position < 2 { (503, false, attempts) } else { (200, true, 1) };
            let told = (&result["status"], &result["success"], &result["attempts"]);
            assert_eq!(told, (&json!(expected.0), &json!(expected.1), &json!(expected.2)), "{run}");
        }
        let bound_only = run["step"] == "optimised";
        assert_eq!(run["within_5_percent"].is_null(), bound_only, "back-off is no part of the floor: {run}");
    }
    assert!(done.stderr.contains("2 of 6 failed; the first: http://"), "{done:?}");
}

#[test]
fn who_takes_too_long_is_an_error_in_its_place() {
    let line = ["--json", "--urls", "3", "--timeout", "0.02", "--attempts", "2", "--step", "blocking,basic"];
    let done = run(&line);
    assert_eq!(done.status, Some(1), "{done:?}");
    let report = done.json();
    assert_adds_up(&report);
    for run in runs(&report) {
        for result in run["results"].as_array().unwrap() {
            assert_eq!(result["success"], false, "{run}");
            assert!(result["error"].as_str().unwrap().contains("timed out"), "{run}");
            assert!(result.get("status").is_none(), "{run}");
        }
        assert_eq!(run["within_5_percent"], Value::Null, "a floor is one of answers: {run}");
    }
    assert!(!done.stderr.contains("over the floor") && !done.stderr.contains('≥'), "{done:?}");

    let done = run(&["--scale", "0.1", "--timeout", "0.001", "--step", "basic"]);
    assert!(!done.stdout.contains("measured: "), "it explains no time that nobody was answered in: {done:?}");
}

#[test]
fn people_are_told_both_times_and_why_the_promises_fail() {
    let done = run(&["--scale", "0.001", "--step", "basic,optimised"]);
    assert_eq!((done.status, done.stderr.as_str()), (Some(0), ""), "{done:?}");
    for words in [
        "each of which takes the server 1.00 s (1.0 ms here: --scale 0.001)",
        "held back by",
        "basic: ~10 s promised",
        "that would take 34 connections to the host, and this step allows itself 5; so it must take 20.00 s",
        "which from 20 of them is a rate of 18.2",
    ] {
        assert!(done.stdout.contains(words), "{words:?} is not there: {done:?}");
    }
}

#[test]
fn control_c_ends_it_with_the_report_so_far() {
    // The third run takes twenty attempts, with back-off between them: twelve seconds.
    let line = ["--json", "--scale", "0.3", "--urls", "1", "--failing", "1", "--attempts", "20", "--step"];
    let mut command = Command::new(program("crawl_steps"));
    command.args(line).arg("basic,optimised").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut said = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.starts_with("basic       sensible") {
        line.clear();
        assert_ne!(said.read_line(&mut line).unwrap(), 0, "it goes on to the second run");
    }
    kill(Pid::from_raw(child.id() as i32), Signal::SIGINT).unwrap();
    said.read_to_string(&mut line).unwrap();
    let done = Done::from(child.wait_with_output().unwrap());
    assert_eq!(done.status, Some(130), "{done:?}");
    let report = done.json();
    assert_adds_up(&report);
    let interrupted: Vec<_> = runs(&report).iter().map(|run| run["interrupted"] == true).collect();
    assert_eq!(interrupted, [false, false, true], "{report}");
    assert_eq!(runs(&report)[2]["processed"], 0, "{report}");
    assert!(line.contains("interrupted"), "{line}");
}

#[test]
fn a_terminal_shows_how_far_a_step_is_and_no_more_of_that_in_the_end() {
    let mut command = Command::new(program("crawl_steps"));
    command.args(["--scale", "0.05", "--urls", "10", "--step", "blocking"]);
    let (status, shown) = on_a_terminal(&mut command, Some(Stdio::null()));
    assert_eq!(status, Some(0), "{shown:?}");
    assert!(shown.contains("blocking  [####") && shown.contains("]  5/10"), "{shown:?}");
    assert!(shown.rsplit("/10").next().unwrap().contains("\x1b[2K"), "it is wiped away: {shown:?}");
}

#[test]
fn what_makes_no_sense_is_refused_in_words() {
    let nonsense: [&[&str]; 8] = [
        &["--urls", "0"],
        &["--scale", "0"],
        &["--scale", "a tenth"],
        &["--step", "fastest"],
        &["--step", "basic,basic"],
        &["--urls", "3", "--failing", "4"],
        &["--timeout", "-1"],
        &["--max-concurrent", "0"],
    ];
    for line in nonsense {
        let done = run(line);
        assert_eq!((done.status, done.stdout.as_str()), (Some(2), ""), "{line:?}: {done:?}");
        assert!(done.stderr.contains("error: "), "{line:?}: {done:?}");
    }
}

#[test]
fn help_tells_what_the_floor_is() {
    let done = run(&["--help"]);
    assert_eq!(done.status, Some(0));
    for words in ["--scale", "--max-concurrent", "The floor is the least time", "Exit status: 0"] {
        assert!(done.stdout.contains(words), "{words}");
    }
}
