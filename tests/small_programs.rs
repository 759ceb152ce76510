//! The small programs do what they say.
//!
//! A reader's first steps are `hello`, `echo_server`, `sleep_sort` and `watch_the_loop`. Each is run here, and what it
//! prints is looked at.
//!
//! Not here: the large program (`hundred_thousand`).   Next: `examples/hello.rs`.

#![allow(clippy::unwrap_used)] // a story that cannot go on says where it stopped

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    process::{Command, Stdio},
};

use windlass_tests::program::{program, run};

#[test]
fn hello_counts_while_the_greeter_sleeps() {
    let done = run(&mut Command::new(program("hello")));
    assert_eq!((done.status, done.stdout.as_str()), (Some(0), "1\n2\n3\nhello, world\n"), "{done:?}");
}

#[test]
fn sleep_sort_sorts_on_both_clocks_and_takes_no_hours() {
    let done = run(Command::new(program("sleep_sort")).args(["7", "3", "5", "1"]));
    assert_eq!(done.status, Some(0), "{done:?}");
    let lines: Vec<_> = done.stdout.lines().collect();
    assert!(lines[0].starts_with("real clock, a millisecond each: [1, 3, 5, 7]"), "{done:?}");
    assert!(lines[1].starts_with("paused clock, an hour each: [1, 3, 5, 7]"), "{done:?}");
}

#[test]
fn watch_the_loop_prints_turns_with_events_and_timers() {
    let done = run(&mut Command::new(program("watch_the_loop")));
    assert_eq!(done.status, Some(0), "{done:?}");
    for words in ["ask 3", "answer 3"] {
        assert!(done.stdout.contains(words), "{done:?}");
    }
    let turns: Vec<Vec<u64>> = done.stdout.lines().filter_map(turn_of).collect();
    assert!(turns.iter().map(|turn| turn[3]).sum::<u64>() >= 6, "each word is an event on either side: {done:?}");
    assert!(turns.iter().map(|turn| turn[4]).sum::<u64>() >= 2, "the interval ticked twice after its start: {done:?}");
}

/// The numbers in a line about a turn: number, polls, wakes, events, timers, system calls.
fn turn_of(line: &str) -> Option<Vec<u64>> {
    let numbers: Vec<_> = line.split_whitespace().map_while(|word| word.parse().ok()).collect();
    (numbers.len() == 6).then_some(numbers)
}

#[test]
fn echo_server_sends_back_what_it_is_sent_and_ends_after_its_connections() {
    let mut command = Command::new(program("echo_server"));
    let mut server = command.args(["--connections", "2"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(server.stdout.take().unwrap());
    let mut line = String::new();
    said.read_line(&mut line).unwrap();
    let address = line.trim().strip_prefix("listening at ").unwrap();
    for words in ["one", "two, which is longer"] {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(words.as_bytes()).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut echoed = String::new();
        stream.read_to_string(&mut echoed).unwrap();
        assert_eq!(echoed, words);
    }
    assert_eq!(server.wait().unwrap().code(), Some(0));
    line.clear();
    said.read_to_string(&mut line).unwrap();
    assert!(line.contains(": 3 bytes") && line.contains(": 20 bytes"), "{line}");
}

#[test]
fn echo_server_names_the_address_that_is_taken() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let done = run(Command::new(program("echo_server")).arg(&address));
    let said = format!("echo_server: {address}: Address already in use (os error 98)\n");
    assert_eq!((done.status, done.stderr), (Some(1), said));
}

#[test]
fn a_wrong_word_on_a_command_line_is_told_with_the_usage() {
    for (name, wrong) in [("echo_server", "localhost"), ("sleep_sort", "seven")] {
        let done = run(Command::new(program(name)).arg(wrong));
        assert_eq!(done.status, Some(2), "{done:?}");
        assert!(
            done.stderr.contains(&format!("invalid value '{wrong}'")) && done.stderr.contains("--help"),
            "{done:?}"
        );
    }
}
