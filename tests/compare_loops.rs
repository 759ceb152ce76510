//! Ten thousand naps, run small.
//!
//! The program itself is run here, with few tasks. Which loop is faster is its own business; that everybody did all of
//! the work, that what it says adds up, and that whoever is missing is named, is ours. A script takes Python's place where
//! the story is about what is not there.
//!
//! ```text
//!     test ──► compare_loops --json ──► a process for each round of each engine
//!       ▲                                     │
//!       └── exit status, one JSON object ◄────┘
//! ```
//!
//! Not here: the engines one by one, which are in the program's own tests.   Next: `examples/compare_loops/main.rs`.

#![allow(clippy::unwrap_used)] // a story that cannot go on says where it stopped

use std::{
    fs::{self, Permissions},
    io::{BufRead, BufReader, Read},
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::PathBuf,
    process::{Command, Stdio},
};

use nix::{
    sys::signal::{Signal, kill, killpg},
    unistd::Pid,
};
use serde_json::{Value, json};
use windlass_tests::{
    program::{self, Done, assert_same, number, program},
    servers::Folder,
};

fn compare_loops(arguments: &[&str]) -> Command {
    let mut command = Command::new(program("compare_loops"));
    command.args(arguments);
    command
}

fn run(arguments: &[&str]) -> Done {
    program::run(&mut compare_loops(arguments))
}

fn list<'a>(report: &'a Value, name: &str) -> &'a [Value] {
    report[name].as_array().unwrap()
}

fn assert_adds_up(report: &Value) {
    let tasks = number(&report["tasks"]);
    for run in list(report, "runs") {
        assert_eq!(number(&run["tasks"]), tasks, "{run}");
        assert_eq!(number(&run["sum"]), tasks * (tasks - 1.0) / 2.0, "each task ran once: {run}");
        assert!(number(&run["elapsed_s"]) >= 0.001, "nobody wakes early: {run}");
        assert_same(number(&run["tasks_per_s"]), tasks / number(&run["elapsed_s"]));
    }
    let first_s = list(report, "comparison").first().map(|first| number(&first["median_s"]));
    for one in list(report, "comparison") {
        let mut times_s: Vec<_> = list(report, "runs")
            .iter()
            .filter(|run| run["engine"] == one["engine"])
            .map(|run| number(&run["elapsed_s"]))
            .collect();
        times_s.sort_by(f64::total_cmp);
        assert_eq!(one["rounds"], times_s.len(), "{report}");
        let middle = times_s.len() / 2;
        let median_s =
            if times_s.len() % 2 == 1 { times_s[middle] } else { (times_s[middle - 1] + times_s[middle]) / 2.0 };
        assert_same(number(&one["median_s"]), median_s);
        assert_same(number(&one["tasks_per_s"]), tasks / median_s);
        assert_same(number(&one["times_the_first"]), median_s / first_s.unwrap());
    }
}

/// A python that has no uvloop, and for asyncio says whatever `told` says; a shell script.
fn python_without_uvloop(folder: &Folder, told: &str) -> PathBuf {
    let script = format!(
        "#!/bin/sh\ncase \"$2\" in\n'import uvloop') echo 'ModuleNotFoundError: none here' >&2; exit 1;;\n\
         'import asyncio') exit 0;;\nesac\necho '{told}'\n"
    );
    put_program(folder, script)
}

/// A program of this text, to be taken for a python.
fn put_program(folder: &Folder, script: String) -> PathBuf {
    folder.put("python", script);
    let path = folder.path().join("python");
    fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
    path
}

const TOLD: &str = r#"{"tasks": 100, "sum": 4950, "elapsed_s": 0.5, "cpu_s": 0.25}"#;

#[test]
fn every_engine_does_all_of_the_work_in_each_round_and_the_order_alternates() {
    let done = run(&["--json", "--tasks", "100", "--rounds", "3"]);
    assert_eq!(done.status, Some(0), "{done:?}");
    let report = done.json();
    assert_adds_up(&report);
    let order: Vec<_> = list(&report, "runs").iter().map(|run| run["engine"].as_str().unwrap()).collect();
    let (there, back) = (["windlass", "tokio-local", "tokio"], ["tokio", "tokio-local", "windlass"]);
    assert_eq!(order, [there, back, there].concat());
    let compared: Vec<_> = list(&report, "comparison").iter().map(|one| one["engine"].as_str().unwrap()).collect();
    assert_eq!(compared, there);
    assert_eq!((list(&report, "skipped").len(), &report["interrupted"]), (0, &json!(false)));
}

#[test]
fn people_are_told_what_it_measures() {
    let done = run(&["--tasks", "50", "--rounds", "1", "--engine", "windlass,tokio-local"]);
    assert_eq!((done.status, done.stderr.as_str()), (Some(0), ""), "{done:?}");
    assert!(!done.stdout.contains("0 %"), "one round has no spread: {done:?}");
    for words in ["50 tasks, each of which sleeps 1.0 ms, 1 round interleaved", "windlass ", "tokio-local ", "no I/O"] {
        assert!(done.stdout.contains(words), "{words:?} is not there: {done:?}");
    }
}

#[test]
fn auto_says_who_it_is() {
    let done = run(&["--json", "--tasks", "10", "--rounds", "1", "--engine", "auto"]);
    assert_eq!(done.status, Some(0), "{done:?}");
    assert!(done.stderr.contains("auto: windlass\n"), "{done:?}");
    let report = done.json();
    assert_eq!(report["fallbacks"], json!([{"asked": "auto", "taken": "windlass", "missing": []}]));
    assert_eq!(list(&report, "runs").len(), 1);
}

#[test]
fn where_there_is_no_uvloop_asyncio_takes_its_place_and_is_named() {
    let folder = Folder::new();
    let python = python_without_uvloop(&folder, TOLD);
    let mut command = compare_loops(&["--json", "--tasks", "100", "--rounds", "1", "--engine", "uvloop"]);
    let done = program::run(command.env("WINDLASS_PYTHON", &python));
    assert_eq!(done.status, Some(0), "{done:?}");
    assert!(done.stderr.contains("uvloop: asyncio, since there is no uvloop: "), "{done:?}");
    let report = done.json();
    assert_adds_up(&report);
    assert_eq!(
        (&report["fallbacks"][0]["taken"], &report["runs"][0]["engine"]),
        (&json!("asyncio"), &json!("asyncio"))
    );
}

#[test]
fn beside_the_others_what_is_missing_is_skipped_and_named() {
    let folder = Folder::new();
    let python = python_without_uvloop(&folder, TOLD);
    let line = ["--json", "--tasks", "100", "--rounds", "2", "--engine", "windlass", "--python"];
    let done = program::run(compare_loops(&line).env("WINDLASS_PYTHON", &python));
    assert_eq!(done.status, Some(0), "{done:?}");
    assert!(done.stderr.contains("SKIPPED: uvloop: ") && done.stderr.contains("none here"), "{done:?}");
    let report = done.json();
    assert_adds_up(&report);
    assert_eq!(list(&report, "skipped").len(), 1, "{report}");
    let compared: Vec<_> = list(&report, "comparison").iter().map(|one| one["engine"].as_str().unwrap()).collect();
    assert_eq!(compared, ["windlass", "asyncio"]);
}

#[test]
fn without_any_python_nothing_is_left_to_run() {
    let mut command = compare_loops(&["--json", "--tasks", "10", "--engine", "asyncio"]);
    let done = program::run(command.env("WINDLASS_PYTHON", "/nowhere/python"));
    assert_eq!((done.status, done.stdout.as_str()), (Some(2), ""), "{done:?}");
    assert!(done.stderr.contains("SKIPPED: asyncio: /nowhere/python cannot be started"), "{done:?}");
}

#[test]
fn an_engine_that_leaves_work_undone_or_breaks_down_is_no_result() {
    for (told, words) in [(&TOLD.replace("4950", "4949")[..], "did not do all of the work"), ("", "engine asyncio: ")] {
        let folder = Folder::new();
        let python = python_without_uvloop(&folder, told);
        let line = ["--json", "--tasks", "100", "--rounds", "1", "--engine", "windlass,asyncio"];
        let done = program::run(compare_loops(&line).env("WINDLASS_PYTHON", &python));
        assert_eq!(done.status, Some(1), "{done:?}");
        assert!(done.stderr.contains(words), "{done:?}");
        assert_eq!(list(&done.json(), "runs").len(), 1, "what came before is reported: {done:?}");
    }
}

#[test]
fn pythons_own_loop_does_the_same_work_where_there_is_one() {
    let done = run(&["--json", "--tasks", "100", "--rounds", "1", "--engine", "windlass", "--python"]);
    assert_eq!(done.status, Some(0), "{done:?}");
    let report = done.json();
    assert_adds_up(&report);
    let (compared, skipped) = (list(&report, "comparison").len(), list(&report, "skipped").len());
    assert_eq!(compared + skipped, 3, "who is not in the one is in the other: {report}");
    assert_eq!(done.stderr.matches("SKIPPED: ").count(), skipped, "and is named: {done:?}");
}

#[test]
fn control_c_ends_it_with_the_report_so_far() {
    let mut command = compare_loops(&["--json", "--tasks", "1000", "--rounds", "1000"]);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    said.read_line(&mut line).unwrap();
    assert!(line.contains("1,000 rounds"), "{line}");
    kill(Pid::from_raw(child.id() as i32), Signal::SIGINT).unwrap();
    // Once more at once, as `timeout` does, which sends it to the program and to its group.
    kill(Pid::from_raw(child.id() as i32), Signal::SIGINT).unwrap();
    said.read_to_string(&mut line).unwrap();
    let done = Done::from(child.wait_with_output().unwrap());
    assert_eq!(done.status, Some(130), "{done:?}");
    let report = done.json();
    assert_adds_up(&report);
    assert_eq!(report["interrupted"], true);
    assert!(list(&report, "runs").len() < 3000, "{line}");
}

#[test]
fn control_c_in_a_terminal_reaches_the_program_alone() {
    // A terminal sends it to the whole group. This python complains of it, as python does, and ends when `go` is there.
    let folder = Folder::new();
    let go = folder.path().join("go");
    let told = TOLD.replace('"', "\\\"");
    let script = format!(
        "#!/bin/sh\ncase \"$2\" in 'import asyncio') exit 0;; esac\ntrap 'echo Traceback >&2; exit 1' INT\n\
         echo began >&2\nuntil [ -e {} ]; do :; done\necho \"{told}\"\n",
        go.display()
    );
    let python = put_program(&folder, script);
    let mut command = compare_loops(&["--json", "--tasks", "100", "--engine", "asyncio"]);
    command.env("WINDLASS_PYTHON", &python).process_group(0);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while line != "began\n" {
        line.clear();
        assert_ne!(said.read_line(&mut line).unwrap(), 0, "the python begins");
    }
    killpg(Pid::from_raw(child.id() as i32), Signal::SIGINT).unwrap();
    fs::write(&go, "").unwrap();
    said.read_to_string(&mut line).unwrap();
    let done = Done::from(child.wait_with_output().unwrap());
    assert_eq!((done.status, line.as_str()), (Some(130), "began\n"), "{done:?}");
    assert_eq!(done.json()["interrupted"], true);
}

#[test]
fn a_python_that_is_named_by_nothing_is_python3() {
    let done = program::run(
        compare_loops(&["--json", "--tasks", "10", "--rounds", "1", "--engine", "windlass,asyncio"])
            .env("WINDLASS_PYTHON", ""),
    );
    assert_eq!(done.status, Some(0), "{done:?}");
    assert!(!done.stderr.contains("asyncio:  cannot be started"), "{done:?}");
}

#[test]
fn what_makes_no_sense_is_refused_in_words() {
    let nonsense: [&[&str]; 5] = [
        &["--tasks", "0"],
        &["--rounds", "many"],
        &["--engine", "fastest"],
        &["--engine", "tokio,tokio"],
        &["--engine"],
    ];
    for line in nonsense {
        let done = run(line);
        assert_eq!((done.status, done.stdout.as_str()), (Some(2), ""), "{line:?}: {done:?}");
        assert!(done.stderr.contains("error: "), "{line:?}: {done:?}");
    }
}

#[test]
fn help_tells_what_it_does_not_measure() {
    let done = run(&["--help"]);
    assert_eq!(done.status, Some(0));
    for words in ["--engine", "--python", "What it does not", "WINDLASS_PYTHON", "Exit status: 0"] {
        assert!(done.stdout.contains(words), "{words}");
    }
}
