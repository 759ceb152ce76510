//! What can go wrong with a hundred thousand requests.
//!
//! The program itself is run here, as anybody would run it, against servers that misbehave in one way each. Whatever
//! they do, every request is counted under one name, nothing hangs, and nothing is left behind.
//!
//! ```text
//!     test ──► hundred_thousand --json --url ──► engine, in its process ──► Server::saying(...) on a thread
//!       ▲                                                                       refuses, resets, lies, is silent
//!       └── exit status, one JSON object, what was said on stderr ◄──┘
//! ```
//!
//! Not here: how fast it is, which is the program's own business.   Next: `examples/hundred_thousand/main.rs`.

#![allow(clippy::unwrap_used)] // a story that cannot go on says where it stopped

use std::{
    fs::{self, Permissions},
    io::{BufRead, BufReader, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    os::unix::fs::PermissionsExt,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, channel},
    },
    thread,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::{Value, json};
use windlass_tests::{
    program::{self, Done, on_a_terminal, program},
    servers::{self, Folder, Tool},
};

const ENGINES: [&str; 3] = ["windlass", "tokio", "tokio-raw"];

/// What asks whether a Python has what the engines in Python need.
const AIOHTTP: [&str; 3] = ["python", "-c", "import aiohttp; print(aiohttp.__version__)"];
const AIOHTTP_AND_UVLOOP: [&str; 3] = ["python", "-c", "import aiohttp, uvloop; print(aiohttp.__version__)"];

const FAILURES: [&str; 15] = [
    "resolve",
    "connect",
    "tls",
    "timeout_resolve",
    "timeout_connect",
    "timeout_read",
    "timeout_total",
    "reset",
    "truncated",
    "protocol",
    "too_large",
    "redirect",
    "status",
    "cancelled",
    "other",
];

fn start(arguments: &[&str]) -> Child {
    let mut command = Command::new(program("hundred_thousand"));
    command.env("RES_OPTIONS", "timeout:1 attempts:1"); // a resolver that is out of reach is not waited for
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Skips a story, loudly, that wants a Python with these modules.
fn lacks_python(story: &str, modules: &'static [&'static str]) -> bool {
    let tool = Tool { name: "a python with aiohttp", probe: modules, install: "tests/install_servers brings it" };
    servers::lacks(story, &[&tool]).is_some()
}

fn finish(child: Child) -> Done {
    child.wait_with_output().unwrap().into()
}

fn run(arguments: &[&str]) -> Done {
    finish(start(arguments))
}

fn only_run(done: &Done) -> Value {
    let runs = done.json()["runs"].take();
    assert_eq!(runs.as_array().unwrap().len(), 1, "{runs}");
    runs[0].clone()
}

/// Sends forty GETs to `url` by `engine` and checks that each is counted as `name` and as nothing else.
fn all_fail_as(name: &str, engine: &str, url: &str, more: &[&str]) -> Done {
    let flags =
        ["--json", "--url", url, "--engine", engine, "--requests", "40", "--concurrency", "10", "--per-host", "5"];
    let done = run(&[&flags, more].concat());
    let run = only_run(&done);
    assert_eq!(run["failed"][name], 40, "{engine}: {done:?}");
    assert_eq!(run["ok"], 0, "{engine}: {done:?}");
    assert_adds_up(&run);
    assert_eq!(done.status, Some(1), "a run with failures says so: {done:?}");
    assert!(done.stderr.contains(&format!("40 failed as {name}: ")), "{engine}: the first is told in words: {done:?}");
    assert_left_nothing_open(&done);
    done
}

fn assert_adds_up(run: &Value) {
    let failed = run["failed"].as_object().unwrap();
    let failures: u64 = failed.values().map(|count| count.as_u64().unwrap()).sum();
    assert_eq!(run["ok"].as_u64().unwrap() + failures, run["requests"].as_u64().unwrap(), "{run}");
}

fn assert_left_nothing_open(done: &Done) {
    assert!(!done.stderr.contains("descriptors were open"), "{done:?}");
}

/// A server on loopback with a thread for each connection; what it does is the test's.
struct Server {
    address: SocketAddr,
}

impl Server {
    fn doing(serve: impl Fn(TcpStream) + Clone + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        // The thread ends with the test's process: it serves as long as anybody asks.
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let serve = serve.clone();
                thread::spawn(move || serve(stream));
            }
        });
        Self { address }
    }

    /// Answers the first request on a connection with `bytes`, and closes in good order.
    fn saying(bytes: &'static [u8]) -> Self {
        Self::doing(move |mut stream| {
            read_request(&stream);
            let _ = stream.write_all(bytes); // the client may have given up
            close_in_good_order(stream);
        })
    }

    /// Answers every request on a connection with `bytes`.
    fn always_saying(bytes: &'static [u8]) -> Self {
        Self::doing(move |mut stream| while read_request(&stream) && stream.write_all(bytes).is_ok() {})
    }

    fn url(&self) -> String {
        format!("http://{}/", self.address)
    }
}

/// Reads up to the empty line; false if the client has closed.
fn read_request(stream: &TcpStream) -> bool {
    let mut lines = BufReader::with_capacity(1, stream);
    let mut line = String::new();
    loop {
        line.clear();
        match lines.read_line(&mut line) {
            Ok(0) | Err(_) => return false,
            Ok(_) if line == "\r\n" => return true,
            Ok(_) => {}
        }
    }
}

/// Says that nothing more comes and waits until the client has closed too, so that no reset is sent.
fn close_in_good_order(mut stream: TcpStream) {
    let _ = stream.shutdown(Shutdown::Write);
    let _ = stream.read_to_end(&mut Vec::new());
}

#[test]
fn nobody_listening_is_a_failed_connect() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    drop(listener);
    for engine in ENGINES {
        let done = all_fail_as("connect", engine, &url, &[]);
        assert!(done.stderr.to_lowercase().contains("connection refused"), "{done:?}");
        assert_eq!(only_run(&done)["in_flight"], json!({"max": 0, "mean": 0.0}), "nobody had a connection: {done:?}");
    }
    let done = all_fail_as("connect", "reqwest", &url, &[]);
    assert!(done.stderr.to_lowercase().contains("connection refused"), "it says why: {done:?}");
    if !lacks_python("nobody_listening_is_a_failed_connect", &AIOHTTP) {
        let done = all_fail_as("connect", "asyncio", &url, &[]);
        assert_eq!(only_run(&done)["connections"], json!({"opened": 0, "reused": 0}), "{done:?}");
    }
}

#[test]
fn a_connection_that_breaks_off_is_a_reset() {
    // What closes with a request unread is answered with a reset by the kernel.
    let server = Server::doing(|stream| drop(stream.peek(&mut [0])));
    for engine in ENGINES {
        all_fail_as("reset", engine, &server.url(), &[]);
    }
}

#[test]
fn a_body_shorter_than_promised_is_truncated() {
    let server = Server::saying(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nten bytes.");
    for engine in ENGINES {
        all_fail_as("truncated", engine, &server.url(), &[]);
    }
}

#[test]
fn a_chunked_body_that_ends_in_the_middle_is_truncated() {
    let server = Server::saying(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n64\r\nten bytes.");
    for engine in ENGINES {
        all_fail_as("truncated", engine, &server.url(), &[]);
    }
}

#[test]
fn a_server_that_closes_without_an_answer_has_truncated_it_at_its_first_byte() {
    let server = Server::saying(b"");
    for engine in ENGINES {
        all_fail_as("truncated", engine, &server.url(), &[]);
    }
}

#[test]
fn what_cannot_be_counted_for_want_of_a_tool_is_said_and_is_null() {
    let server = Server::always_saying(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    let url = server.url();
    let arguments = ["--json", "--url", &url, "--engine", "windlass", "--requests", "20", "--counts", "100"];
    let mut command = Command::new(program("hundred_thousand"));
    let done: Done = command.args(arguments).env("PATH", "/nowhere").output().unwrap().into();
    assert_eq!(done.status, Some(0), "{done:?}");
    assert_eq!(done.stderr.matches("MISSING").count(), 2, "{done:?}");
    let counts = &done.json()["counts"];
    assert_eq!((&counts["instructions_by"], &counts["syscalls_by"]), (&Value::Null, &Value::Null));
    let row = &counts["engines"][0];
    assert_eq!(
        (&row["instructions"], &row["allocations"], &row["syscalls"]),
        (&Value::Null, &Value::Null, &Value::Null)
    );
    assert!(row["loop"]["syscalls"].as_f64().unwrap() >= 2.0, "a loop counts without tools: {row}");
}

#[test]
fn what_is_not_http_is_a_fault_of_the_protocol() {
    let server = Server::saying(b"220 mail.example.org ESMTP\r\n\r\n");
    for engine in ENGINES {
        all_fail_as("protocol", engine, &server.url(), &[]);
    }
}

#[test]
fn a_head_without_end_is_too_large() {
    let server = Server::doing(|mut stream| {
        read_request(&stream);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n");
        while stream.write_all(&b"X-Filler: and so on, and so on, and so on\r\n".repeat(100)).is_ok() {}
    });
    for engine in ENGINES {
        all_fail_as("too_large", engine, &server.url(), &[]);
    }
}

#[test]
fn a_server_that_never_answers_runs_into_the_time_out() {
    let server = Server::doing(|mut stream| drop(stream.read_to_end(&mut Vec::new())));
    for engine in ENGINES {
        let done = all_fail_as("timeout_total", engine, &server.url(), &["--timeout", "0.05"]);
        let run = only_run(&done);
        assert_eq!(run["in_flight"]["max"], 5, "they had a connection each: {run}");
    }
}

#[test]
fn a_host_without_an_address_cannot_be_resolved() {
    for engine in ENGINES.into_iter().chain(["reqwest", "epoll"]) {
        all_fail_as("resolve", engine, "http://no-such-host.invalid/", &[]);
    }
}

#[test]
fn an_answer_that_is_no_success_is_counted_by_its_status() {
    let server = Server::always_saying(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n");
    for engine in ENGINES {
        let done = all_fail_as("status", engine, &server.url(), &[]);
        assert!(done.stderr.contains("503"), "{done:?}");
        assert_eq!(only_run(&done)["connections"]["opened"], 5, "the connections were good: {done:?}");
    }
}

#[test]
fn bodies_are_read_to_their_end_however_that_is_told() {
    let framed: [&[u8]; 4] = [
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;a=b\r\nhe\r\n3\r\nllo\r\n0\r\nEnd: yes\r\n\r\n",
        b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.1 204 No Content\r\n\r\n",
    ];
    for bytes in framed {
        let server = Server::always_saying(bytes);
        for engine in ENGINES {
            let flags = ["--json", "--engine", engine, "--requests", "40", "--concurrency", "10", "--per-host", "5"];
            let done = run(&[&flags[..], &["--url", &server.url()]].concat());
            let run = only_run(&done);
            assert_eq!((&run["ok"], done.status), (&json!(40), Some(0)), "{engine}: {done:?}");
            assert_eq!(run["connections"], json!({"opened": 5, "reused": 35}), "{engine}: {done:?}");
            assert_eq!(run["bytes_in"], 40 * bytes.len(), "{engine}: {done:?}");
        }
    }
}

#[test]
fn a_body_that_ends_with_its_connection_needs_a_connection_each() {
    let server = Server::saying(b"HTTP/1.1 200 OK\r\n\r\nhello");
    for engine in ENGINES {
        let done = run(&["--json", "--engine", engine, "--requests", "40", "--per-host", "5", "--url", &server.url()]);
        let run = only_run(&done);
        assert_eq!((&run["ok"], done.status), (&json!(40), Some(0)), "{engine}: {done:?}");
        assert_eq!(run["connections"], json!({"opened": 40, "reused": 0}), "{engine}: {done:?}");
        assert_left_nothing_open(&done);
    }
}

#[test]
fn with_no_url_a_server_is_started_and_the_json_is_the_contract() {
    let engines = ENGINES.join(",");
    let done = run(&["--json", "--requests", "200", "--engine", &engines, "--rounds", "2"]);
    assert_eq!(done.status, Some(0), "{done:?}");
    let report = done.json();
    assert_eq!(keys(&report), ["comparison", "program", "runs", "settings", "target", "version"]);
    assert_eq!(report["program"], "hundred_thousand");
    assert_eq!(report["settings"], json!({"requests": 200, "concurrency": 1000, "per_host": 100, "batch": null}));
    assert!(report["target"].as_str().unwrap().starts_with("http://127.0.0.1:"), "{report}");

    let runs = report["runs"].as_array().unwrap();
    let mut order: Vec<_> = ENGINES.to_vec();
    order.extend(ENGINES.iter().rev());
    assert_eq!(runs.iter().map(|run| run["engine"].as_str().unwrap()).collect::<Vec<_>>(), order);
    for run in runs {
        assert_run_keeps_the_contract(run);
        assert_eq!((&run["ok"], &run["requests"]), (&json!(200), &json!(200)));
    }
    for side in report["comparison"].as_array().unwrap() {
        assert_eq!(keys(side), ["engine", "median_s", "ratio_to", "spread"]);
        let times_s: Vec<f64> = runs
            .iter()
            .filter(|run| run["engine"] == side["engine"])
            .map(|run| run["elapsed_s"].as_f64().unwrap())
            .collect();
        let (middle, apart) = ((times_s[0] + times_s[1]) / 2.0, (times_s[0] - times_s[1]).abs());
        assert!((side["spread"].as_f64().unwrap() - apart / 2.0 / middle).abs() < 0.001, "{side}: {times_s:?}");
        assert_eq!(side["ratio_to"].as_object().unwrap().len(), ENGINES.len() - 1);
        assert!(side["median_s"].as_f64().unwrap() > 0.0);
    }
}

fn assert_run_keeps_the_contract(run: &Value) {
    let names = [
        "bytes_in",
        "connections",
        "elapsed_s",
        "engine",
        "exchange_us",
        "failed",
        "in_flight",
        "latency_us",
        "limits",
        "loop",
        "ok",
        "peak_rss_kb",
        "requests",
        "requests_per_s",
        "retries",
        "round",
        "sys_s",
        "user_s",
    ];
    assert_eq!(keys(run), names);
    let mut failures = FAILURES;
    failures.sort_unstable();
    assert_eq!(keys(&run["failed"]), failures);
    for spans in ["latency_us", "exchange_us"] {
        assert_eq!(keys(&run[spans]), ["max", "mean", "p50", "p90", "p99", "p999"]);
    }
    assert_eq!(keys(&run["in_flight"]), ["max", "mean"]);
    assert_eq!(keys(&run["connections"]), ["opened", "reused"]);
    let limits = ["concurrency", "per_host", "rate", "delay", "dns", "connect", "server", "loop", "batch_barrier"];
    assert!(keys(&run["limits"]).iter().all(|limit| limits.contains(limit)), "{run}");
    match run["engine"].as_str().unwrap() {
        "windlass" => assert_eq!(keys(&run["loop"]), ["polls", "syscalls", "ticks", "wakes"]),
        _ => assert_eq!(run["loop"], Value::Null),
    }
    assert_adds_up(run);
}

/// The names in an object, sorted.
fn keys(object: &Value) -> Vec<&str> {
    let mut keys: Vec<_> = object.as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_unstable();
    keys
}

#[test]
fn a_terminal_shows_a_line_that_stays_where_it_is_and_is_gone_in_the_end() {
    let mut command = Command::new(program("hundred_thousand"));
    command.args(["--engine", "windlass", "--requests", "20000"]);
    let (status, shown) = on_a_terminal(&mut command, Some(Stdio::null()));
    assert_eq!(status, Some(0), "{shown:?}");
    assert!(shown.matches("[##").count() >= 3, "it is redrawn: {shown:?}");
    for stays in ["windlass   10,000/20,000  (", "windlass   20,000/20,000  ("] {
        assert_eq!(shown.matches(stays).count(), 1, "{stays}: {shown:?}");
    }
    let last = shown.rsplit("[#").next().unwrap();
    assert!(last.contains("\x1b[2K"), "it is wiped away: {last:?}");
}

#[test]
fn with_one_request_a_connection_as_many_are_opened_as_there_are_requests() {
    for engine in ENGINES.into_iter().chain(["epoll"]) {
        // The ninth connection of seven requests each carries the last four of the sixty.
        for (most, opened) in [("1", 60), ("7", 9)] {
            let flags = ["--requests", "60", "--concurrency", "10", "--per-host", "1", "--max-requests", most];
            let done = run(&[&["--json", "--engine", engine], &flags[..]].concat());
            assert_eq!(only_run(&done)["connections"]["opened"], opened, "{engine}: {done:?}");
            assert_eq!(done.json()["settings"]["max_requests"].to_string(), most);
            assert_left_nothing_open(&done);
        }
    }
}

#[test]
fn the_answers_of_the_programs_own_server_are_as_long_in_as_many_chunks_and_as_late_as_asked() {
    for engine in ENGINES.into_iter().chain(["reqwest"]) {
        let flags = ["--requests", "20", "--per-host", "5", "--body", "5000", "--chunk", "600", "--delay", "0.05"];
        let done = run(&[&["--json", "--engine", engine], &flags[..]].concat());
        let run = only_run(&done);
        assert_eq!((&run["ok"], &run["requests"]), (&json!(20), &json!(20)), "{done:?}");
        assert!(run["bytes_in"].as_u64().unwrap() >= 20 * 5_000, "{run}");
        assert!(run["exchange_us"]["p50"].as_f64().unwrap() >= 50_000.0, "{run}");
        let answer = json!({"body": 5_000, "chunk": 600, "delay_s": 0.05});
        assert_eq!(done.json()["settings"]["answer"], answer);
        assert_left_nothing_open(&done);
    }
}

#[test]
fn reqwest_sends_the_same_requests_and_does_not_tell_of_its_connections() {
    let flags = ["--json", "--engine", "reqwest", "--requests", "50", "--per-host", "5"];
    for more in [&[][..], &["--max-requests", "1"]] {
        let done = run(&[&flags, more].concat());
        let run = only_run(&done);
        assert_eq!((&run["ok"], &run["connections"], &run["loop"]), (&json!(50), &Value::Null, &Value::Null));
        assert_eq!((&run["bytes_in"], &run["bytes_in_of"]), (&json!(50 * 128), &json!("bodies")), "{run}");
        assert_left_nothing_open(&done);
    }
    assert!(run(&flags[1..]).stdout.contains("6,400 bytes in, of bodies alone"));
    let alone = run(&[&flags[..], &["--max-requests", "2"]].concat());
    assert!(alone.stderr.contains("SKIPPED: reqwest: it keeps connections or does not"), "{alone:?}");
    assert_eq!(alone.status, Some(2), "nothing is left to run: {alone:?}");
}

#[test]
fn at_a_rate_requests_begin_by_the_schedule_and_latency_counts_from_there() {
    for engine in ENGINES.into_iter().chain(["reqwest"]) {
        // Two at once that take 50 ms each are 40 a second: of 400 a second nine in ten have to wait for a place.
        let flags = ["--requests", "40", "--concurrency", "2", "--rate", "400", "--delay", "0.05"];
        let done = run(&[&["--json", "--engine", engine], &flags[..]].concat());
        let run = only_run(&done);
        assert_eq!(run["ok"], 40, "{done:?}");
        let (pace, late) = (&run["pace"], &run["pace"]["late"]);
        assert_eq!(pace["asked_per_s"], 400.0, "{run}");
        assert!(pace["reached_per_s"].as_f64().unwrap() < 45.0, "{run}");
        assert!(late["window_full"].as_u64().unwrap() >= 36, "{run}");
        let late_us = &pace["late_us"];
        assert_eq!(keys(late_us), ["max", "mean", "p50", "p90", "p99", "p999"]);
        assert!(late_us["max"].as_u64().unwrap() > 700_000, "the last began so late: {run}");
        assert!(late_us["max"].as_u64() <= run["latency_us"]["max"].as_u64(), "who began late took longer: {run}");
        assert!(run["exchange_us"]["p50"].as_u64().unwrap() < 400_000, "no answer took long: {run}");
        // The last was due after a tenth of a second and began after nine tenths of the whole.
        assert!(run["latency_us"]["max"].as_u64().unwrap() > 750_000, "what waited is in the latencies: {run}");
        assert!(run["limits"]["concurrency"].as_f64().unwrap() > 0.8, "{run}");
        assert_eq!(done.json()["settings"]["rate"], 400.0);
    }
}

#[test]
fn at_a_rate_people_are_told_from_when_latency_counts_and_how_late_requests_began() {
    let flags = ["--requests", "40", "--concurrency", "2", "--rate", "400", "--delay", "0.05"];
    let done = run(&[&["--engine", "windlass,tokio"], &flags[..]].concat());
    for words in [
        ", from when each was to begin\n",
        ", from having a connection\n",
        "400 requests/s asked, ",
        " of 40 began late (by more than 2 ms): ",
        "  lateness     mean ",
        "the schedule sets the time",
    ] {
        assert!(done.stdout.contains(words), "{words:?} is missing in\n{}", done.stdout);
    }
}

#[test]
fn a_rate_that_can_be_kept_is_kept_and_holds_the_work_back_itself() {
    for engine in ENGINES {
        let done = run(&["--json", "--engine", engine, "--requests", "100", "--rate", "200"]);
        let run = only_run(&done);
        let elapsed_s = run["elapsed_s"].as_f64().unwrap();
        assert!(elapsed_s >= 99.0 / 200.0, "a hundred requests at two hundred a second take half a second: {run}");
        assert_eq!(run["pace"]["late"]["window_full"], 0, "{run}");
        assert!(run["limits"]["rate"].as_f64().unwrap() > 0.5, "{run}");
    }
}

#[test]
fn every_request_that_meets_a_fault_ends_as_the_servers_script_says() {
    let engines = "windlass,tokio,tokio-raw,reqwest";
    let flags = ["--requests", "1500", "--concurrency", "50", "--faults", "12", "--seed", "7", "--timeout", "1.5"];
    let done = run(&[&["--json", "--engine", engines], &flags[..]].concat());
    assert_eq!(done.status, Some(0), "{done:?}");
    assert!(done.stderr.contains("12 % of the answers are faulty, by the script of --seed 7"), "{done:?}");
    for run in done.json()["runs"].as_array().unwrap() {
        assert_adds_up(run);
        assert_eq!(run["faults"]["differ"], 0, "{run}");
        let scripted = run["faults"]["scripted"].as_object().unwrap();
        assert_eq!(scripted.len(), 16);
        assert!(scripted.values().all(|count| count.as_u64().unwrap() > 0), "every kind there was: {run}");
        let count = |name: &str| scripted[name].as_u64().unwrap();
        assert_eq!(run["failed"]["reset"], count("reset_at_once") + count("reset_in_body"), "{run}");
        let truncated = run["failed"]["truncated"].as_u64().unwrap() - count("end_in_head") - count("end_in_body");
        match run["engine"].as_str().unwrap() {
            "windlass" | "tokio-raw" => assert_eq!(truncated, 0, "they ask once more: {run}"),
            _ => assert!(truncated <= count("end_on_reuse"), "{run}"),
        }
        assert_eq!(run["failed"]["timeout_total"], count("silence"), "{run}");
    }
    assert_left_nothing_open(&done);
}

#[test]
fn a_request_that_ends_otherwise_than_the_script_says_fails_the_run_and_is_named() {
    // Whoever is given no time at all ends all of them with a time-out.
    let flags = ["--json", "--engine", "windlass", "--requests", "100", "--faults", "50", "--timeout", "0.000001"];
    let done = run(&flags);
    assert_eq!(done.status, Some(1), "{done:?}");
    assert!(done.stderr.contains("met a good answer and had to end as 200: it ended as timeout_total"), "{done:?}");
    let run = only_run(&done);
    let silent = run["faults"]["scripted"]["silence"].as_u64().unwrap();
    assert_eq!(run["faults"]["differ"], 100 - silent, "{run}");
    assert_adds_up(&run);
}

#[test]
fn as_the_article_has_it_a_thousand_at_once_are_a_hundred_and_its_latency_is_none() {
    let done = run(&["--json", "--article", "--requests", "2000", "--engine", "windlass", "--delay", "0.02"]);
    assert_eq!(done.status, Some(0), "{done:?}");
    let report = done.json();
    assert_eq!(report["settings"]["batch"], 1000);
    let (row, run) = (&report["held_back"][0], &report["runs"][0]);
    let figure = |value: &Value| value.as_f64().unwrap();
    assert_eq!((&row["little"]["in_window"], &row["little"]["connections"]), (&json!(1000), &json!(100)));
    assert_eq!(row["little"]["requests_per_s_max"], 5_000.0, "a hundred connections, a fiftieth of a second each");
    assert!(figure(&run["requests_per_s"]) <= 5_000.0, "{run}");
    assert!(figure(&row["in_flight_mean"]) <= 100.0, "{row}");
    assert!(figure(&row["limits"]["per_host"]) > 0.5, "{row}");
    // What the law says of the hundred that have a connection is what was measured, but for the ends of batches.
    let (by_law, measured) = (figure(&row["little"]["exchange_s"]), figure(&row["exchange_s"]));
    assert!(measured <= by_law && measured >= 0.02, "{row}");
    assert!(figure(&row["little"]["elapsed_by_requests_s"]) < measured / 50.0, "{row}");

    let done = self::run(&["--article", "--requests", "2000", "--engine", "windlass"]);
    for words in ["what held the work back", "per_host", "By Little's law", "that time itself is no latency"] {
        assert!(done.stdout.contains(words), "{words:?} is missing in\n{}", done.stdout);
    }
}

#[test]
fn the_floor_takes_answers_of_any_length_in_and_counts_what_fails() {
    for body in ["0", "128", "200000"] {
        let done = run(&["--json", "--engine", "epoll", "--requests", "300", "--per-host", "7", "--body", body]);
        let run = only_run(&done);
        assert_eq!((&run["ok"], done.status), (&json!(300), Some(0)), "{done:?}");
        assert_eq!(run["connections"], json!({"opened": 7, "reused": 293}), "{done:?}");
        assert!(run["bytes_in"].as_u64().unwrap() > 300 * body.parse::<u64>().unwrap(), "{run}");
        assert_run_keeps_the_contract(&run);
        assert_left_nothing_open(&done);
    }
    let many =
        run(&["--json", "--engine", "epoll", "--requests", "5000", "--concurrency", "1500", "--per-host", "1500"]);
    assert_eq!(only_run(&many)["connections"], json!({"opened": 1500, "reused": 3500}), "{many:?}");
    let server = Server::saying(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nten bytes.");
    all_fail_as("truncated", "epoll", &server.url(), &[]);
    let server = Server::always_saying(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n");
    all_fail_as("status", "epoll", &server.url(), &[]);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    drop(listener);
    all_fail_as("connect", "epoll", &url, &[]);
    let uneven = ["--concurrency", "110", "--per-host", "100", "--requests", "130"];
    let done = run(&[&["--json", "--engine", "epoll", "--url", &url][..], &uneven].concat());
    assert_eq!(only_run(&done)["failed"]["connect"], 130, "no more fail than were asked for: {done:?}");
}

#[test]
fn the_floor_says_that_it_cannot_cut_what_has_no_length() {
    let server = Server::always_saying(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
    let done = run(&["--json", "--engine", "epoll", "--requests", "10", "--url", &server.url()]);
    assert_eq!(done.status, Some(1), "{done:?}");
    assert!(done.stderr.contains("cuts answers by their Content-Length, and this one has none"), "{done:?}");
}

#[test]
fn aiohttp_stands_in_the_same_table_where_there_is_one() {
    if lacks_python("aiohttp_stands_in_the_same_table_where_there_is_one", &AIOHTTP_AND_UVLOOP) {
        return;
    }
    let flags = ["--requests", "300", "--concurrency", "50", "--per-host", "5", "--batch", "100"];
    let done = run(&[&["--json", "--engine", "windlass", "--python"], &flags[..]].concat());
    assert_eq!(done.status, Some(0), "{done:?}");
    let report = done.json();
    let engines: Vec<_> = report["comparison"].as_array().unwrap().iter().map(|side| &side["engine"]).collect();
    assert_eq!(engines, ["windlass", "asyncio", "uvloop"]);
    for run in &report["runs"].as_array().unwrap()[1..] {
        let mut run = run.clone();
        assert_eq!(
            run.as_object_mut().unwrap().remove("bytes_in_of"),
            Some(json!("bodies")),
            "heads it keeps to itself"
        );
        assert_run_keeps_the_contract(&run);
        assert_eq!((&run["ok"], &run["in_flight"]["max"]), (&json!(300), &json!(5)), "{run}");
        assert_eq!(run["connections"], json!({"opened": 5, "reused": 295}), "{run}");
        assert!(run["limits"]["per_host"].as_f64().unwrap() > 0.5, "{run}");
        assert!(run["latency_us"]["p50"].as_u64() >= run["exchange_us"]["p50"].as_u64(), "{run}");
    }
    assert_left_nothing_open(&done);
}

#[test]
fn aiohttp_keeps_to_schedules_ends_as_the_script_of_faults_says_and_hears_control_c() {
    if lacks_python("aiohttp_keeps_to_schedules_ends_as_the_script_of_faults_says_and_hears_control_c", &AIOHTTP) {
        return;
    }
    let flags = ["--requests", "40", "--concurrency", "2", "--rate", "400", "--delay", "0.05"];
    let run = only_run(&self::run(&[&["--json", "--engine", "asyncio"], &flags[..]].concat()));
    assert!(run["pace"]["late"]["window_full"].as_u64().unwrap() >= 36, "{run}");
    assert!(run["pace"]["late_us"]["max"].as_u64().unwrap() > 700_000, "{run}");
    assert!(run["latency_us"]["max"].as_u64().unwrap() > 750_000, "{run}");

    let flags = ["--requests", "1500", "--concurrency", "50", "--faults", "12", "--seed", "7"];
    let done = self::run(&[&["--json", "--engine", "asyncio"], &flags[..]].concat());
    assert_eq!((done.status, &only_run(&done)["faults"]["differ"]), (Some(0), &json!(0)), "{done:?}");
    assert_adds_up(&only_run(&done));

    let (server, opened, closed) = silent_server();
    let child = start(&["--json", "--url", &server.url(), "--engine", "asyncio", "--per-host", "1"]);
    opened.recv_timeout(Duration::from_secs(20)).unwrap();
    kill(Pid::from_raw(child.id() as i32), Signal::SIGINT).unwrap();
    let done = finish(child);
    assert_eq!((done.status, &only_run(&done)["failed"]["cancelled"]), (Some(130), &json!(1000)), "{done:?}");
    assert_eq!(only_run(&done)["in_flight"], json!({"max": 1, "mean": null}), "{done:?}");
    assert_left_nothing_open(&done);
    closed.recv_timeout(Duration::from_secs(20)).expect("the engine's process has ended");
}

#[test]
fn without_python_the_others_run_and_who_is_missing_is_named() {
    let mut command = Command::new(program("hundred_thousand"));
    command.args(["--json", "--requests", "50", "--engine", "windlass", "--python"]);
    let done = program::run(command.env("WINDLASS_PYTHON", "/nowhere/python"));
    assert_eq!(done.status, Some(0), "{done:?}");
    for engine in ["asyncio", "uvloop"] {
        assert!(done.stderr.contains(&format!("SKIPPED: {engine}: /nowhere/python cannot be started")), "{done:?}");
    }
    assert_eq!(only_run(&done)["engine"], "windlass");
    command = Command::new(program("hundred_thousand"));
    let alone = program::run(command.args(["--engine", "asyncio"]).env("WINDLASS_PYTHON", "/nowhere/python"));
    assert_eq!((alone.status, alone.stdout.as_str()), (Some(2), ""), "nothing is left to run: {alone:?}");
}

#[test]
fn a_python_that_breaks_down_is_in_nobodys_way() {
    let folder = Folder::new();
    let python = folder.path().join("python");
    folder.put("python", "#!/bin/sh\ncase \"$2\" in 'import '*) exit 0;; esac\nexit 3\n");
    fs::set_permissions(&python, Permissions::from_mode(0o755)).unwrap();
    for (flags, status, runs) in [(&["--engine", "windlass", "--python"][..], 0, 2), (&["--engine", "asyncio"], 1, 0)] {
        let mut command = Command::new(program("hundred_thousand"));
        command.args(["--json", "--requests", "50", "--rounds", "2"]).args(flags);
        let done = program::run(command.env("WINDLASS_PYTHON", &python));
        assert_eq!((done.status, done.json()["runs"].as_array().unwrap().len()), (Some(status), runs), "{done:?}");
        assert!(done.stderr.contains("engine asyncio ended without a report: exit status: 3"), "{done:?}");
    }
}

#[test]
fn a_page_of_plots_needs_nothing_but_a_browser() {
    let folder = Folder::new();
    let file = folder.path().join("page.html");
    let flags = ["--requests", "200", "--engine", "windlass,tokio,epoll", "--rounds", "2", "--report"];
    let done = run(&[&flags[..], &[file.to_str().unwrap()]].concat());
    assert_eq!(done.status, Some(0), "{done:?}");
    let page = fs::read_to_string(file).unwrap();
    for words in
        ["Requests a second", "p99.9", "Round by round", "What held the work back", "per_host", "epoll", "<svg"]
    {
        assert!(page.contains(words), "{words:?} is missing");
    }
    for outside in ["<script", "src=", "<link", "@import", "url("] {
        assert!(!page.contains(outside), "{outside:?} is in it");
    }
}

#[test]
fn a_page_that_cannot_be_written_is_refused_before_the_first_request_and_what_is_there_stays() {
    let folder = Folder::new();
    let (asking, asked) = channel();
    let server = Server::doing(move |_| asking.send(()).unwrap());
    let is_a_folder = folder.path().display().to_string();
    for place in ["/nowhere/page.html", &is_a_folder] {
        let done = run(&["--requests", "5", "--engine", "windlass", "--url", &server.url(), "--report", place]);
        assert_eq!((done.status, done.stdout.as_str()), (Some(2), ""), "{done:?}");
        assert!(done.stderr.contains(&format!("--report {place}: ")), "{done:?}");
    }
    assert!(asked.try_recv().is_err(), "nobody was asked anything");

    folder.put("old.html", "what the last run left");
    let (old, new) = (folder.path().join("old.html"), folder.path().join("new.html"));
    for page in [&old, &new] {
        let few = ["--engine", "windlass", "--concurrency", "1", "--report", page.to_str().unwrap()];
        let done = with_descriptors(8, &few);
        assert_eq!(done.status, Some(2), "it cannot be carried out: {done:?}");
    }
    assert_eq!(fs::read_to_string(old).unwrap(), "what the last run left");
    assert!(!new.exists(), "nothing was made that nothing stands in");
}

#[test]
fn an_engine_that_failed_is_compared_with_nobody_and_its_row_says_why() {
    // tokio-raw, which comes second, is served by nobody any more: each connection carries one of forty requests.
    let served = Arc::new(AtomicU64::new(0));
    let server = Server::doing(move |mut stream| {
        read_request(&stream);
        let is_first = served.fetch_add(1, Ordering::Relaxed) < 80;
        let answer: &[u8] = if is_first { b"HTTP/1.1 200 OK\r\n\r\nhello" } else { b"HTTP/1.1 500 Oh\r\n\r\n" };
        let _ = stream.write_all(answer); // the client may have given up
        close_in_good_order(stream);
    });
    let flags = ["--requests", "40", "--concurrency", "4", "--engine", "windlass,tokio,tokio-raw", "--url"];
    let done = run(&[&["--json"], &flags[..], &[&server.url()]].concat());
    assert_eq!(done.status, Some(1), "{done:?}");
    let compared = done.json()["comparison"].take();
    let of = |engine: &str| compared.as_array().unwrap().iter().find(|side| side["engine"] == engine).unwrap();
    let raw = of("tokio-raw");
    assert_eq!(raw["void"], "round 1: 40 of 40 requests failed", "{raw}");
    assert_eq!((&raw["median_s"], &raw["spread"], &raw["ratio_to"]), (&Value::Null, &Value::Null, &json!({})));
    assert_eq!((keys(&of("windlass")["ratio_to"]), keys(&of("tokio")["ratio_to"])), (vec!["tokio"], vec!["windlass"]));
    assert_eq!(keys(of("windlass")), ["engine", "median_s", "ratio_to", "spread"]);

    let dead = Server::always_saying(b"HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n");
    let done = run(&[&flags[..], &[&dead.url()]].concat());
    assert_eq!(done.stdout.matches("void: round 1: 40 of 40 requests failed").count(), 3, "{done:?}");
    assert!(!done.stdout.contains("ratio"), "there is nothing to compare: {done:?}");
}

#[test]
fn an_interrupted_round_is_in_no_ratio() {
    let (server, opened, _closed) = silent_server();
    let child = start(&["--json", "--url", &server.url(), "--engine", "windlass,tokio", "--per-host", "1"]);
    opened.recv_timeout(Duration::from_secs(20)).unwrap();
    kill(Pid::from_raw(child.id() as i32), Signal::SIGINT).unwrap();
    let compared = finish(child).json()["comparison"].take();
    assert_eq!(compared.as_array().unwrap().len(), 1, "{compared}");
    assert_eq!(compared[0]["void"], "interrupted before a round had ended", "{compared}");
    assert_eq!(compared[0]["ratio_to"], json!({}), "{compared}");
}

#[test]
fn batches_wait_at_barriers_and_all_requests_are_sent() {
    for engine in ENGINES {
        let flags = ["--requests", "250", "--batch", "100", "--concurrency", "50", "--per-host", "10"];
        let done = run(&[&["--json", "--engine", engine], &flags[..]].concat());
        let run = only_run(&done);
        assert_eq!(run["ok"], 250, "{done:?}");
        assert!(run["limits"]["batch_barrier"].as_f64().unwrap() > 0.0, "{run}");
        assert!(run["in_flight"]["max"].as_u64().unwrap() <= 10, "{run}");
        assert_eq!(done.json()["settings"]["batch"], 100);
    }
}

#[test]
fn the_report_for_people_has_progress_runs_and_the_comparison() {
    let done = run(&["--requests", "10000", "--engine", "tokio,tokio-raw"]);
    assert_eq!(done.status, Some(0), "{done:?}");
    for words in
        ["tokio-raw  10,000/10,000", "10,000 of 10,000 ok", "p99.9", "in flight", "comparison with tokio", "saved"]
    {
        assert!(done.stdout.contains(words), "{words:?} is missing in\n{}", done.stdout);
    }
}

#[test]
fn whether_anybody_takes_what_is_said_beside_the_json_makes_no_difference() {
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let mut command = Command::new(program("hundred_thousand"));
    command.args(["--json", "--requests", "50", "--engine", "windlass"]).stdin(Stdio::null()).stderr(full);
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["runs"][0]["ok"], 50);
}

#[test]
fn too_few_descriptors_are_told_before_the_first_request() {
    let (asking, asked) = channel();
    let server = Server::doing(move |_| asking.send(()).unwrap());
    let done = with_descriptors(64, &["--json", "--url", &server.url()]);
    assert_eq!(done.status, Some(2), "{done:?}");
    assert_eq!(done.stdout, "");
    assert!(done.stderr.contains("needs 12"), "it says how many: {done:?}");
    assert!(done.stderr.contains("--per-host to at most 4"), "it says which flag: {done:?}");
    assert!(asked.try_recv().is_err(), "nobody was asked anything");
}

#[test]
fn with_few_connections_sixty_four_descriptors_are_enough() {
    let engines = ENGINES.join(",");
    let done = with_descriptors(64, &["--json", "--requests", "200", "--per-host", "20", "--engine", &engines]);
    assert_eq!(done.status, Some(0), "{done:?}");
    for run in done.json()["runs"].as_array().unwrap() {
        assert_eq!((&run["ok"], &run["connections"]["opened"]), (&json!(200), &json!(20)), "{run}");
    }
}

#[test]
fn a_soft_limit_is_raised_as_far_as_the_run_needs() {
    let done = shell("ulimit -Sn 64; exec \"$0\" --requests 200 --engine tokio-raw", &[]);
    assert_eq!(done.status, Some(0), "{done:?}");
    assert!(done.stdout.contains("raised the limit from 64 to"), "{done:?}");
    assert!(done.stdout.contains("100 opened"), "{done:?}");
}

fn with_descriptors(limit: u64, arguments: &[&str]) -> Done {
    shell(&format!("ulimit -n {limit}; exec \"$0\" \"$@\""), arguments)
}

/// Runs the program, which is `$0`, by way of a shell that sets limits.
fn shell(script: &str, arguments: &[&str]) -> Done {
    program::run(Command::new("sh").arg("-c").arg(script).arg(program("hundred_thousand")).args(arguments))
}

/// A server that never answers, and word of each connection that opens and of each that closes.
fn silent_server() -> (Server, Receiver<()>, Receiver<()>) {
    let (opening, opened) = channel();
    let (closing, closed) = channel();
    let server = Server::doing(move |mut stream| {
        read_request(&stream);
        opening.send(()).unwrap();
        let _ = stream.read_to_end(&mut Vec::new());
        closing.send(()).unwrap();
    });
    (server, opened, closed)
}

#[test]
fn control_c_ends_a_run_with_the_report_so_far_and_leaves_nobody_behind() {
    for engine in ENGINES.into_iter().chain(["epoll"]) {
        let (server, opened, closed) = silent_server();
        let child = start(&["--json", "--url", &server.url(), "--engine", engine, "--per-host", "3", "--rounds", "5"]);
        for _ in 0..3 {
            opened.recv_timeout(Duration::from_secs(20)).unwrap();
        }
        kill(Pid::from_raw(child.id() as i32), Signal::SIGINT).unwrap();
        let done = finish(child);
        assert_eq!(done.status, Some(130), "{engine}: {done:?}");
        let run = only_run(&done);
        assert_eq!((&run["failed"]["cancelled"], &run["requests"]), (&json!(1000), &json!(1000)), "{engine}: {run}");
        assert_eq!(
            run["in_flight"],
            json!({"max": 3, "mean": null}),
            "nobody knows how long they would have had: {run}"
        );
        assert_adds_up(&run);
        assert_left_nothing_open(&done);
        for _ in 0..3 {
            closed.recv_timeout(Duration::from_secs(20)).expect("the engine's process has ended");
        }
    }
}

#[test]
fn an_interrupt_that_comes_twice_at_once_is_one() {
    // As `timeout -s INT` sends it: to the program, and to its group.
    let (server, opened, _closed) = silent_server();
    let child = start(&["--json", "--url", &server.url(), "--engine", "windlass", "--per-host", "1"]);
    opened.recv_timeout(Duration::from_secs(20)).unwrap();
    for _ in 0..2 {
        kill(Pid::from_raw(child.id() as i32), Signal::SIGINT).unwrap();
        thread::yield_now();
    }
    let done = finish(child);
    assert_eq!((done.status, &only_run(&done)["failed"]["cancelled"]), (Some(130), &json!(1000)), "{done:?}");
}

#[test]
fn an_interrupt_and_another_end_a_program_whose_report_nobody_reads() {
    let folder = Folder::new();
    let pipe = folder.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let mut child = start(&["--requests", "100", "--engine", "windlass", "--report", pipe.to_str().unwrap()]);
    let mut said = BufReader::new(child.stdout.take().unwrap());
    said.read_line(&mut String::new()).unwrap(); // it listens for interrupts
    let began = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        kill(Pid::from_raw(child.id() as i32), Signal::SIGINT).unwrap();
        assert!(began.elapsed() < Duration::from_secs(20), "it waits for a reader");
        thread::yield_now();
    };
    assert_eq!(status.code(), Some(130));
}

#[test]
fn killing_the_program_ends_its_children_too() {
    let (server, opened, closed) = silent_server();
    let mut child = start(&["--url", &server.url(), "--engine", "tokio-raw", "--per-host", "1"]);
    opened.recv_timeout(Duration::from_secs(20)).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    closed.recv_timeout(Duration::from_secs(20)).expect("the engine's process has ended");
}

#[test]
fn what_makes_no_sense_is_refused_in_words() {
    let nonsense: [&[&str]; 15] = [
        &["--requests", "0"],
        &["--concurrency", "none"],
        &["--batch", "0"],
        &["--engine", "carrier-pigeon"],
        &["--engine", "tokio,tokio"],
        &["--url", "https://example.org/"],
        &["--url", "/path"],
        &["--timeout", "-1"],
        &["--rate", "0"],
        &["--rate", "10", "--batch", "5"],
        &["--faults", "101"],
        &["--faults", "1", "--url", "http://127.0.0.1/"],
        &["--seed", "1"],
        &["--engine", "epoll", "--rate", "10"],
        &["--engine", "epoll", "--faults", "1"],
    ];
    for flags in nonsense {
        let done = run(flags);
        assert_eq!(done.status, Some(2), "{flags:?}: {done:?}");
        assert!(done.stdout.is_empty() && done.stderr.contains(flags[0]), "{flags:?}: {done:?}");
    }
}

#[test]
fn help_and_version_are_there() {
    let help = run(&["--help"]);
    assert_eq!(help.status, Some(0));
    let flags = ["--json", "--url", "--requests", "--concurrency", "--per-host", "--batch", "--engine", "--rounds"];
    for flag in
        flags.into_iter().chain(["--rate", "--article", "--faults", "--seed", "--python", "--report", "asyncio"])
    {
        assert!(help.stdout.contains(flag), "{flag}: {help:?}");
    }
    let version = run(&["--version"]);
    assert_eq!(version.stdout, format!("hundred_thousand {}\n", env!("CARGO_PKG_VERSION")));
}
