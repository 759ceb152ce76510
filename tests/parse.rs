//! What `parse` prints, and with what status it ends.
//!
//! Other people's scripts lean on it: the keys of a line and the exit statuses are a contract.
//! Not here: what HTTP is (`tests/corpus/`).   Next: `examples/parse.rs`.

#![allow(clippy::unwrap_used)] // a story that cannot go on says where it stopped

use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use windlass_tests::program::{Done, program};

const HELLO_SHA256: &str = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
const NOTHING_SHA256: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn parse(arguments: &[&str], stream: &[u8]) -> Done {
    let mut command = Command::new(program("parse"));
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let _ = child.stdin.take().unwrap().write_all(stream); // wrong usage ends it before it reads
    child.wait_with_output().unwrap().into()
}

/// The exit status and the lines.
fn lines(arguments: &[&str], stream: &[u8]) -> (Option<i32>, Vec<Value>) {
    let done = parse(arguments, stream);
    let lines = done.stdout.lines().map(|line| serde_json::from_str(line).expect("a line is JSON")).collect();
    (done.status, lines)
}

fn error(arguments: &[&str], stream: &[u8]) -> (String, u64) {
    let (status, lines) = lines(arguments, stream);
    let last = lines.last().unwrap();
    assert_eq!((status, last.as_object().unwrap().len()), (Some(1), 2), "{lines:?}");
    (last["error"].as_str().unwrap().split(':').next().unwrap().to_owned(), last["offset"].as_u64().unwrap())
}

#[test]
fn a_message_is_a_line_with_all_that_the_contract_names() {
    let stream = b"HTTP/1.1 200 All \xe4\r\nA: b\r\na: \xff\r\nTransfer-Encoding: chunked\r\n\r\n5;x\r\nhello\r\n0\r\nT: u\r\n\r\n";
    let expected = json!({
        "status": 200, "minor": 1, "reason": "All \u{e4}",
        "headers": [["A", "b"], ["a", "\u{ff}"], ["Transfer-Encoding", "chunked"]],
        "framing": "chunked", "body_len": 5, "body_sha256": HELLO_SHA256, "trailers": [["T", "u"]],
        "keep_alive": true, "consumed": stream.len(),
    });
    for arguments in [&["--method", "GET"][..], &["--eof"], &["--split", "all"], &["--split", "3"], &["--split=1"]] {
        assert_eq!(lines(arguments, stream), (Some(0), vec![expected.clone()]), "{arguments:?}");
    }
}

#[test]
fn messages_follow_each_other_and_interim_ones_are_messages() {
    let stream =
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\nhello\
                   HTTP/1.1 204 x\r\n\r\n\r\n";
    let (status, lines) = lines(&["--split", "all"], stream);
    assert_eq!((status, lines.len()), (Some(0), 3));
    let told = |line: &Value| (line["status"].as_u64(), line["framing"].clone(), line["consumed"].as_u64());
    assert_eq!(told(&lines[0]), (Some(100), json!("none"), Some(25)));
    assert_eq!(lines[0]["body_sha256"], NOTHING_SHA256);
    assert_eq!(told(&lines[1]), (Some(200), json!("length"), Some(67)));
    assert_eq!((&lines[1]["minor"], &lines[1]["keep_alive"]), (&json!(0), &json!(true)));
    assert_eq!(told(&lines[2]), (Some(204), json!("none"), Some(18)));
}

#[test]
fn replies_to_head_have_no_bodies() {
    let stream = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n".repeat(2);
    let (status, lines) = lines(&["--method", "HEAD", "--split", "all"], stream.as_bytes());
    assert_eq!((status, lines.len(), &lines[1]["framing"]), (Some(0), 2, &json!("none")));
}

#[test]
fn what_is_not_all_there_is_unfinished_or_truncated_at_the_end_of_the_stream() {
    for stream in [
        &b""[..],
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"HTTP/1.1 100 x\r\n\r\n",
        b"HTTP/1.1 204 x\r\n\r\nHTTP/1.1 2",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n",
    ] {
        let at_the_end = |kind: &str| (kind.to_owned(), stream.len() as u64);
        assert_eq!(error(&["--split", "all"], stream), at_the_end("unfinished"), "{}", stream.escape_ascii());
        assert_eq!(error(&["--split", "all", "--eof"], stream), at_the_end("truncated"), "{}", stream.escape_ascii());
    }
}

#[test]
fn a_body_without_length_ends_with_the_stream_and_not_before() {
    let stream = b"HTTP/1.1 200 OK\r\n\r\nhello";
    assert_eq!(error(&[], stream).0, "unfinished");
    let (status, lines) = lines(&["--eof", "--split", "all"], stream);
    assert_eq!(
        (status, &lines[0]["framing"], &lines[0]["body_sha256"]),
        (Some(0), &json!("close"), &json!(HELLO_SHA256))
    );
    assert_eq!(lines[0]["keep_alive"], false);
}

#[test]
fn the_offset_is_that_of_the_byte_at_which_the_error_is_certain() {
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"; // 47 bytes
    let length = "HTTP/1.1 204 x\r\n\r\n"; // 18 bytes
    for (stream, kind, offset) in [
        (format!("{chunked}5\r\nhello!"), "protocol", 47 + 8),
        (format!("{length}SSH"), "protocol", 18),
        (format!("{length}HTTP/1.1 999 x\r\n\r\nmore"), "protocol", 18 + 17),
        (format!("{length}\r\n\r\n"), "protocol", 18 + 2),
        (format!("{chunked}A00001\r\n"), "too_large", 47 + 7),
        (format!("HTTP/1.1 200 {}", "x".repeat(9_000)), "too_large", 8_193),
    ] {
        assert_eq!(error(&["--split", "7", "--eof"], stream.as_bytes()), (kind.to_owned(), offset), "{stream}");
    }
}

#[test]
fn what_is_no_http_is_an_error_at_its_first_byte_and_twenty_messages_are_twenty_lines() {
    let binary: Vec<u8> = (0..=255).rev().collect();
    for arguments in [&["--split", "all"][..], &["--eof"], &["--method", "HEAD", "--split", "1"]] {
        assert_eq!(error(arguments, &binary), ("protocol".to_owned(), 0), "{arguments:?}");
    }
    let one = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    let (status, told) = lines(&["--split", "all", "--eof"], one.repeat(20).as_bytes());
    assert_eq!((status, told.len()), (Some(0), 20));
    assert!(told.iter().all(|line| line["body_sha256"] == HELLO_SHA256 && line["consumed"] == one.len()));
}

#[test]
fn a_body_that_a_reply_to_head_must_not_have_is_no_message() {
    let stream = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"; // 38 bytes and 5
    assert_eq!(error(&["--method", "HEAD", "--split", "all", "--eof"], stream), ("protocol".to_owned(), 38));
}

#[test]
fn a_body_beyond_the_limit_is_an_error_at_the_byte_that_passes_it() {
    let head = "HTTP/1.1 200 OK\r\n\r\n"; // 19 bytes
    let stream = [head.as_bytes(), &vec![b'x'; 10 * 1024 * 1024 + 9]].concat();
    assert_eq!(error(&["--eof", "--split", "65536"], &stream), ("too_large".to_owned(), 19 + 10 * 1024 * 1024));
}

#[test]
fn behind_the_end_of_a_connection_nothing_is_read() {
    let done = parse(&["--split", "all"], b"HTTP/1.1 204 x\r\nConnection: close\r\n\r\nHTTP/1.1 200 OK\r\n\r\n");
    assert_eq!((done.status, done.stdout.lines().count()), (Some(0), 1), "{done:?}");
    assert!(done.stderr.contains("19 bytes behind the message that ends the connection"), "{done:?}");
}

#[test]
fn wrong_usage_is_explained_and_ends_with_2() {
    for arguments in
        [&["--split", "0"][..], &["--split", "some"], &["--method", "G T"], &["--method", "CONNECT"], &["x"]]
    {
        let done = parse(arguments, b"");
        assert_eq!((done.status, done.stdout.as_str()), (Some(2), ""), "{arguments:?}");
        assert!(!done.stderr.is_empty());
    }
    assert!(parse(&["--help"], b"").stdout.contains("Exit status"));
}

#[test]
fn every_reply_of_the_corpus_is_taken_apart_as_it_should_be_however_it_is_cut() {
    for reply in windlass_corpus::replies() {
        if reply.stream.len() > 500 {
            continue; // every cut of it takes too long for a story
        }
        let (status, lines) = lines(&["--method", &reply.method, "--eof", "--split", "all"], &reply.stream);
        let last = lines.iter().find(|line| line["status"].as_u64().is_none_or(|status| status >= 200));
        let last = last.unwrap_or_else(|| panic!("{}: exit {status:?}, {lines:?}", reply.name));
        match &reply.outcome {
            Ok(complete) => {
                let told = (&last["status"], &last["framing"], &last["body_len"]);
                assert_eq!(
                    told,
                    (&json!(complete.status), &json!(complete.framing), &json!(complete.body.len())),
                    "{}",
                    reply.name
                );
                let consumed: u64 = lines
                    .iter()
                    .take_while(|line| *line != last)
                    .chain([last])
                    .filter_map(|line| line["consumed"].as_u64())
                    .sum();
                assert_eq!(consumed as usize + complete.left, reply.stream.len(), "{}", reply.name);
            }
            Err(kind) => {
                assert_eq!(status, Some(1), "{}", reply.name);
                assert!(last["error"].as_str().unwrap().starts_with(&format!("{kind}: ")), "{}: {last}", reply.name);
                assert!(last["offset"].as_u64().unwrap() as usize <= reply.stream.len());
            }
        }
    }
}
