//! Stories about the small HTTP server, told by clients that speak to it in bytes.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::cell::{Cell, RefCell};
use std::net::{Shutdown, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use windlass::http::{Client, ErrorKind, Incoming, Limits, Reply, Server, ServerStats, Url};
use windlass::net::TcpStream;
use windlass::shutdown::GracefulShutdown;
use windlass::sync::CancellationToken;
use windlass::task::JoinHandle;
use windlass::time::{Instant, sleep, timeout};
use windlass_tests::{ANY, open_descriptors, run, run_alone, run_alone_paused, run_paused, some_turns, until};

const MS: fn(u64) -> Duration = Duration::from_millis;

const SECOND: Duration = Duration::from_secs(1);

/// A server that runs in a task, until the loop ends or it is aborted.
struct Running {
    address: SocketAddr,
    stats: ServerStats,
    task: JoinHandle<()>,
}

fn serve(handler: impl Fn(&Incoming<'_>) -> Reply + 'static) -> Running {
    serve_with(|server| server, handler)
}

fn serve_with(set: impl FnOnce(Server) -> Server, handler: impl Fn(&Incoming<'_>) -> Reply + 'static) -> Running {
    running(set, async |server| server.run(handler).await.unwrap())
}

fn serve_async(handler: impl AsyncFn(&Incoming<'_>) -> Reply + 'static) -> Running {
    running(|server| server, async |server| server.run_async(handler).await.unwrap())
}

fn running(set: impl FnOnce(Server) -> Server, run: impl AsyncFnOnce(Server) + 'static) -> Running {
    let server = set(Server::bind(ANY).unwrap());
    let (address, stats) = (server.local_addr().unwrap(), server.stats());
    let task = windlass::spawn(async move { run(server).await });
    Running { address, stats, task }
}

/// Answers with method, target and body.
fn say_it_again(request: &Incoming<'_>) -> Reply {
    let body = String::from_utf8_lossy(request.body());
    Reply::bytes(200, format!("{} {} {body}", request.method(), request.target()).trim_end().to_owned())
}

fn parrot() -> Running {
    serve(say_it_again)
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")
}

/// A client that speaks bytes.
struct Caller {
    stream: TcpStream,
}

impl Caller {
    async fn new(server: &Running) -> Caller {
        let stream = TcpStream::connect(server.address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Caller { stream }
    }

    async fn say(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).await.unwrap();
    }

    /// Hears exactly this.
    async fn hears(&mut self, expected: &str) {
        let mut heard = vec![0; expected.len()];
        let mut len = 0;
        while len < heard.len() {
            match self.stream.read(&mut heard[len..]).await.unwrap() {
                0 => break,
                n => len += n,
            }
        }
        assert_eq!(String::from_utf8_lossy(&heard[..len]), expected);
    }

    /// Hears everything up to the end of the connection.
    async fn hears_out(&mut self) -> String {
        let (mut heard, mut buffer) = (Vec::new(), [0; 4096]);
        while let Ok(n @ 1..) = self.stream.read(&mut buffer).await {
            heard.extend_from_slice(&buffer[..n]);
        }
        String::from_utf8(heard).unwrap()
    }

    async fn hears_the_end(&mut self) {
        assert_eq!(self.hears_out().await, "");
    }
}

fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

/// Several requests of all kinds, and the answers to them, one after the other.
fn pipeline() -> (String, String) {
    let requests = [
        ("GET /1 HTTP/1.1\r\nHost: a\r\n\r\n", ok("GET /1")),
        (
            "POST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 24\r\n\r\nGET /no HTTP/1.1\r\n\r\nbody",
            ok("POST /2 GET /no HTTP/1.1\r\n\r\nbody"),
        ),
        ("HEAD /3 HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n".into()),
        ("POST /6 HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", ok("POST /6")),
        (
            "PUT /4 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4;x\r\nbody\r\n1\r\n!\r\n0\r\nT: x\r\n\r\n",
            ok("PUT /4 body!"),
        ),
        ("\r\nOPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", ok("OPTIONS *")),
        ("DELETE http://a/5?q HTTP/1.1\r\nHost: a\r\n\r\n", ok("DELETE http://a/5?q")),
    ];
    requests
        .into_iter()
        .map(|(request, answer)| (request.to_owned(), answer))
        .reduce(|a, b| (a.0 + &b.0, a.1 + &b.1))
        .unwrap()
}

#[test]
fn pipelined_requests_are_answered_in_their_order() {
    run_alone(async {
        let server = parrot();
        let mut caller = Caller::new(&server).await;
        let (requests, answers) = pipeline();
        for _ in 0..3 {
            caller.say(&requests).await;
            caller.hears(&answers).await;
        }
    });
}

#[test]
fn a_large_reply_is_sent_behind_those_before_it_and_before_those_behind_it() {
    run_alone(async {
        let text: String = (0..300_000).map(|n| char::from(b'a' + (n % 23) as u8)).collect();
        let large = text.clone();
        let reply = move |request: &Incoming<'_>| match request.path() {
            "/large" => Reply::bytes(200, large.clone().into_bytes()),
            _ => say_it_again(request),
        };
        let also = reply.clone();
        for server in [serve(reply), serve_async(async move |request| also(request))] {
            let mut caller = Caller::new(&server).await;
            let head = "HEAD /large HTTP/1.1\r\nHost: a\r\n\r\n";
            let last = get("/large").replace("Host: a", "Host: a\r\nConnection: close");
            caller.say(get("/1") + &get("/large") + &get("/large") + head + &get("/2") + &last).await;
            caller.hears(&(ok("GET /1") + &ok(&text) + &ok(&text))).await;
            caller.hears(ok(&text).split_inclusive("\r\n\r\n").next().unwrap()).await;
            caller.hears(&ok("GET /2")).await;
            caller.hears(&ok(&text).replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n")).await;
            caller.hears_the_end().await;
        }
    });
}

#[test]
fn requests_are_understood_wherever_they_are_cut() {
    run_alone(async {
        let server = parrot();
        let (requests, answers) = pipeline();
        for at in 1..requests.len() {
            let mut caller = Caller::new(&server).await;
            caller.say(&requests[..at]).await;
            some_turns().await;
            caller.say(&requests[at..]).await;
            caller.hears(&answers).await;
            caller.stream.set_linger(Some(Duration::ZERO)).unwrap();
        }
        let mut caller = Caller::new(&server).await;
        for byte in requests.as_bytes() {
            caller.say([*byte]).await;
            windlass::task::yield_now().await;
            sleep(Duration::ZERO).await;
        }
        caller.hears(&answers).await;
    });
}

#[test]
fn a_caller_that_has_ended_its_side_is_answered_still() {
    run_alone(async {
        let server = parrot();
        let mut caller = Caller::new(&server).await;
        let (requests, answers) = pipeline();
        caller.say(requests).await;
        caller.stream.shutdown(Shutdown::Write).unwrap();
        assert_eq!(caller.hears_out().await, answers);
    });
}

#[test]
fn a_reply_in_chunks_is_what_was_given_and_to_head_its_head_alone() {
    run(async {
        let server = serve(|_| Reply::chunked(200, vec!["one".into(), "".into(), "three".into()]).header("X-Y", "z"));
        let mut caller = Caller::new(&server).await;
        let head = "HTTP/1.1 200 OK\r\nX-Y: z\r\nTransfer-Encoding: chunked\r\n\r\n";
        for _ in 0..2 {
            caller.say("GET / HTTP/1.1\r\nHost: a\r\n\r\nHEAD / HTTP/1.1\r\nHost: a\r\n\r\n").await;
            caller.hears(&format!("{head}3\r\none\r\n5\r\nthree\r\n0\r\n\r\n{head}")).await;
        }
    });
}

#[test]
fn statuses_that_have_no_body_have_none() {
    run(async {
        let server = serve(|request| match request.target() {
            "/204" => Reply::bytes(204, "body"),
            "/304" => Reply::bytes(304, "body"),
            "/204-chunked" => Reply::chunked(204, vec!["body".into()]),
            "/304-chunked" => Reply::chunked(304, vec!["body".into()]),
            _ => Reply::bytes(200, "end"),
        });
        let mut caller = Caller::new(&server).await;
        for (path, line) in [
            ("/204", "HTTP/1.1 204 No Content"),
            ("/304", "HTTP/1.1 304 Not Modified"),
            ("/204-chunked", "HTTP/1.1 204 No Content"),
            ("/304-chunked", "HTTP/1.1 304 Not Modified"),
        ] {
            caller.say(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n")).await;
            caller.hears(&format!("{line}\r\n\r\n{}", ok("end"))).await;
        }
    });
}

/// A refusal with this status line.
fn refusal(line: &str) -> String {
    format!("HTTP/1.1 {line}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
}

#[test]
fn what_is_no_request_is_refused_by_its_status_and_the_connection_ends() {
    run_alone(async {
        let server = parrot();
        let mut count = 0;
        let hostile: &[(&str, &[&str])] = &[
            (
                "400 Bad Request",
                &[
                    "hello\r\n\r\n",
                    "GET /\r\n\r\n",
                    "\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
                    "GET / HTTP/1.1\r\n\r\n",
                    "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
                    "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
                    "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n",
                    "GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
                    "G(T / HTTP/1.1\r\nHost: a\r\n\r\n",
                    "GET a HTTP/1.1\r\nHost: a\r\n\r\n",
                    "GET / HTTP/1\r\nHost: a\r\n\r\n",
                    "GET / http/1.1\r\nHost: a\r\n\r\n",
                    "CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n",
                    // Line ends (RFC 9112 2.2), spaces before the colon (5.1), folded lines (5.2).
                    "GET / HTTP/1.1\nHost: a\n\n",
                    "GET / HTTP/1.1\r\nHost: a\nA: b\r\n\r\n",
                    "GET / HTTP/1.1\r\nHost: a\rA: b\r\n\r\n",
                    "GET / HTTP/1.1\r\nHost : a\r\n\r\n",
                    "GET / HTTP/1.1\r\n Host: a\r\n\r\n",
                    "GET / HTTP/1.1\r\nHost: a\r\n b\r\n\r\n",
                    "GET / HTTP/1.1\r\nHost: a\r\nA: b\0c\r\n\r\n",
                    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length : 4\r\n\r\nbody",
                    // Two ways to read where the body ends (9112 6.1, 6.3, 7.1).
                    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n",
                    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +4\r\n\r\nbody",
                    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x4\r\n\r\nbody",
                    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nbody",
                    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4, 5\r\n\r\nbody",
                    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\nbody",
                    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\nbody",
                    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, gzip\r\n\r\nbody",
                    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
                    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n0\r\n\r\n",
                    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \u{b}chunked\r\n\r\n0\r\n\r\n",
                    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
                    "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5x\r\n",
                    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n",
                    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n",
                    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\nhello\r\n",
                    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello!\r\n",
                    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n10000000000000005\r\nhello\r\n",
                    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nGET / HTTP/1.1\r\n\r\n",
                    "\u{16}\u{3}\u{1} a TLS hello",
                ],
            ),
            (
                "417 Expectation Failed",
                &["POST / HTTP/1.1\r\nHost: a\r\nExpect: a-miracle\r\nContent-Length: 4\r\n\r\n"],
            ),
            (
                "501 Not Implemented",
                &[
                    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
                    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: new\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                ],
            ),
            (
                "505 HTTP Version Not Supported",
                &[
                    "GET / HTTP/2.0\r\nHost: a\r\n\r\n",
                    "GET / HTTP/1.2\r\nHost: a\r\n\r\n",
                    "\r\nGET / HTTP/0.9\r\nHost: a\r\n\r\n",
                    "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
                ],
            ),
        ];
        for (line, requests) in hostile {
            for bad in *requests {
                let mut caller = Caller::new(&server).await;
                // Those before it are answered; what follows it is not.
                caller.say(format!("{}{bad}{}", get("/good"), get("/after"))).await;
                assert_eq!(caller.hears_out().await, ok("GET /good") + &refusal(line), "{}", bad.escape_debug());
                count += 1;
            }
        }
        until(|| server.stats.open() == 0).await;
        assert_eq!((server.stats.refused(), server.stats.requests()), (count, count));
        let mut caller = Caller::new(&server).await;
        caller.say(get("/")).await;
        caller.hears(&ok("GET /")).await;
    });
}

#[test]
fn too_much_of_anything_is_refused_by_its_status() {
    run_alone(async {
        let server = parrot();
        let x = |n: usize| "x".repeat(n);
        let chunked = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
        for (status, request) in [
            ("431", format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "A: b\r\n".repeat(100))),
            ("431", format!("GET / HTTP/1.1\r\nHost: a\r\nA: {}\r\n\r\n", x(16_400))),
            ("431", format!("GET / HTTP/1.1\r\nHost: a\r\n{}", format!("A: {}\r\n", x(10_000)).repeat(7))),
            ("414", format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", x(8_200))),
            ("414", format!("\r\nGET /{}", x(9_000))),
            ("413", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 11534336\r\n\r\n".to_owned()),
            (
                "413",
                "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 11534336\r\n\r\n".to_owned(),
            ),
            ("413", format!("{chunked}B00000\r\n")),
            ("413", format!("{chunked}5;{}", x(17_000))),
            ("413", format!("{chunked}{}", format!("1;{}\r\nx\r\n", x(100)).repeat(170))),
            ("413", format!("{chunked}0\r\n{}", format!("T: {}\r\n", x(1_000)).repeat(17))),
        ] {
            let mut caller = Caller::new(&server).await;
            caller.say(&request).await;
            let answer = caller.hears_out().await;
            assert!(
                answer.starts_with(&format!("HTTP/1.1 {status} ")),
                "{answer:.60} to {:.60}",
                request.escape_debug()
            );
            assert!(answer.ends_with("\r\nConnection: close\r\n\r\n"));
        }
        // As large as it may be.
        let mut caller = Caller::new(&server).await;
        caller.say(format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "A: b\r\n".repeat(99))).await;
        caller.hears(&ok("GET /")).await;
    });
}

#[test]
fn the_limits_are_the_callers_to_set() {
    run_alone(async {
        let mut limits = Limits::default();
        (limits.body_max, limits.fields_max) = (4, 2);
        let server = serve_with(|server| server.limits(limits), say_it_again);
        for (request, answer) in [
            ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody", ok("POST / body")),
            ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n", refusal("413 Content Too Large")),
            ("GET / HTTP/1.1\r\nHost: a\r\nB: c\r\nD: e\r\n\r\n", refusal("431 Request Header Fields Too Large")),
        ] {
            let mut caller = Caller::new(&server).await;
            caller.say(request).await;
            caller.hears(&answer).await;
        }
    });
}

#[test]
fn a_refusal_reaches_a_caller_that_is_still_talking() {
    run_alone(async {
        let server = parrot();
        for _ in 0..20 {
            let mut caller = Caller::new(&server).await;
            caller.say("what is this\r\n\r\n").await;
            caller.say(vec![b'x'; 50_000]).await; // nobody reads it
            some_turns().await;
            let answer = caller.hears_out().await;
            assert!(answer.starts_with("HTTP/1.1 400 "), "{answer:?}");
        }
    });
}

#[test]
fn an_endless_head_is_refused_and_kept_nowhere() {
    run_alone(async {
        let server = parrot();
        let mut caller = Caller::new(&server).await;
        caller.say("GET / HTTP/1.1\r\n").await;
        let mut sent = 0;
        while caller.stream.write_all(&b"A: b\r\n".repeat(100)).await.is_ok() {
            sent += 600;
            windlass::task::yield_now().await;
            assert!(sent < 20 << 20, "somebody reads on and on");
        }
    });
}

#[test]
fn a_delay_is_as_long_as_was_said_and_holds_up_nobody_else() {
    run_alone_paused(async {
        let server = serve(|request| match request.target() {
            "/slow" => Reply::bytes(200, "slow").delay(Duration::from_secs(5)),
            _ => Reply::bytes(200, "fast"),
        });
        let began = Instant::now();
        let mut slow = Caller::new(&server).await;
        slow.say("GET /fast HTTP/1.1\r\nHost: a\r\n\r\nGET /slow HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        let mut fast = Caller::new(&server).await;
        fast.say("GET /fast HTTP/1.1\r\nHost: a\r\n\r\n").await;
        fast.hears(&ok("fast")).await;
        slow.hears(&ok("fast")).await; // the one before it is not held back either
        assert_eq!(began.elapsed(), Duration::ZERO);
        slow.hears(&(ok("slow") + &ok("fast"))).await;
        assert_eq!(began.elapsed(), Duration::from_secs(5));
    });
}

#[test]
fn a_caller_that_reads_nothing_does_not_have_the_server_pile_up_replies() {
    run_alone(async {
        let calls = Rc::new(Cell::new(0));
        let counted = calls.clone();
        let server = serve(move |_| {
            counted.set(counted.get() + 1);
            Reply::bytes(200, &[b'x'; 100_000])
        });
        let mut caller = Caller::new(&server).await;
        caller.say("GET / HTTP/1.1\r\nHost: a\r\n\r\n".repeat(1_000)).await;
        sleep(MS(50)).await;
        assert!(calls.get() < 200, "{} replies of 100 kB made for nobody", calls.get());
    });
}

#[test]
fn a_reply_that_cannot_be_written_is_a_500() {
    run_alone(async {
        let server = serve(|request| match request.target() {
            "/header" => Reply::bytes(200, "x").header("A", "b\r\nC: d"),
            "/status" => Reply::bytes(99, "x"),
            "/framing" => Reply::bytes(200, "x").header("Content-Length", "7"),
            _ => Reply::bytes(200, "good"),
        });
        for path in ["/header", "/status", "/framing"] {
            let mut caller = Caller::new(&server).await;
            caller.say(format!("GET / HTTP/1.1\r\nHost: a\r\n\r\nGET {path} HTTP/1.1\r\nHost: a\r\n\r\n")).await;
            let error = "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
            assert_eq!(caller.hears_out().await, ok("good") + error);
        }
    });
}

#[test]
fn a_handler_that_panics_is_a_500_and_ends_its_connection_and_no_other() {
    fn moody(request: &Incoming<'_>) -> Reply {
        assert_ne!(request.path(), "/panic", "as it was asked");
        Reply::bytes(200, "good")
    }
    run_alone(async {
        let at_once = serve(moody);
        let later = serve_async(async |request| {
            windlass::task::yield_now().await;
            moody(request)
        });
        for server in [at_once, later] {
            let mut other = Caller::new(&server).await;
            let mut caller = Caller::new(&server).await;
            caller.say(get("/") + &get("/panic") + &get("/")).await;
            assert_eq!(caller.hears_out().await, ok("good") + &refusal("500 Internal Server Error"));
            for caller in [&mut other, &mut Caller::new(&server).await] {
                caller.say(get("/")).await;
                caller.hears(&ok("good")).await;
            }
            assert_eq!(server.stats.refused(), 0, "there was nothing wrong with the request");
        }
    });
}

#[test]
fn connections_end_when_either_side_says_so() {
    run_alone(async {
        let server = serve(|request| match request.target() {
            "/close" => Reply::bytes(200, "x").close(),
            _ => Reply::bytes(200, "x"),
        });
        let closed = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: close\r\n\r\nx";
        for request in [
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: x, CLOSE\r\n\r\n",
            "GET /close HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET / HTTP/1.0\r\n\r\n",
        ] {
            let mut caller = Caller::new(&server).await;
            caller.say(request).await;
            assert_eq!(caller.hears_out().await, closed, "{}", request.escape_debug());
        }
    });
}

#[test]
fn an_old_client_is_told_that_its_connection_stays_and_is_sent_no_chunks() {
    run_alone(async {
        let server = serve(|request| match request.target() {
            "/chunked" => Reply::chunked(200, vec!["one".into(), "two".into()]),
            _ => Reply::bytes(200, "x"),
        });
        let mut caller = Caller::new(&server).await;
        for _ in 0..2 {
            caller.say("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").await;
            caller.hears("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: keep-alive\r\n\r\nx").await;
        }
        // RFC 9112 6.1: a server must not send Transfer-Encoding to HTTP/1.0.
        caller.say("GET /chunked HTTP/1.0\r\n\r\n").await;
        let whole = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\nonetwo";
        assert_eq!(caller.hears_out().await, whole);
    });
}

#[test]
fn callers_that_go_at_any_moment_leave_nothing_behind() {
    run_alone(async {
        let server = serve(|_| Reply::chunked(200, vec!["x".repeat(1_000).into(); 20]));
        let request = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody";
        let quiet = open_descriptors();
        for len in 0..=request.len() {
            for reset in [true, false] {
                let mut caller = Caller::new(&server).await;
                caller.say(&request[..len]).await;
                if len % 3 == 0 {
                    some_turns().await;
                }
                if reset {
                    caller.stream.set_linger(Some(Duration::ZERO)).unwrap();
                }
            }
        }
        until(|| open_descriptors() == quiet).await;
        let mut caller = Caller::new(&server).await;
        caller.say(request).await;
        caller.hears("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3e8\r\n").await;
    });
}

#[test]
fn a_server_that_is_dropped_takes_nobody_in_and_serves_those_it_has() {
    run_alone(async {
        let server = parrot();
        let mut caller = Caller::new(&server).await;
        caller.say("GET /1 HTTP/1.1\r\nHost: a\r\n\r\n").await;
        caller.hears(&ok("GET /1")).await;
        server.task.abort();
        some_turns().await;
        assert!(TcpStream::connect(server.address).await.is_err());
        caller.say("GET /2 HTTP/1.1\r\nHost: a\r\n\r\n").await;
        caller.hears(&ok("GET /2")).await;
    });
}

#[test]
fn handlers_see_the_headers() {
    run(async {
        let seen = Rc::new(RefCell::new(Vec::new()));
        let noted = seen.clone();
        let server = serve(move |request| {
            noted.borrow_mut().push(request.headers().get("x-mine").map(<[u8]>::to_vec));
            Reply::bytes(200, "")
        });
        let client = Client::new();
        let url = Url::parse(&format!("http://{}/", server.address)).unwrap();
        client.get(&url).header("X-Mine", "yes").send().await.unwrap();
        client.get(&url).send().await.unwrap();
        assert_eq!(*seen.borrow(), [Some(b"yes".to_vec()), None]);
    });
}

#[test]
fn client_and_server_understand_each_other_however_large_the_bodies() {
    run_paused(async {
        let server = serve(|request| {
            let len: usize = request.target().trim_start_matches('/').parse().unwrap();
            let body = (0..len).map(|n| (n % 251) as u8).collect::<Vec<_>>();
            match request.method() {
                "GET" => Reply::bytes(200, body),
                _ => Reply::chunked(200, body.chunks(1_000).map(|chunk| chunk.to_vec().into()).collect()),
            }
        });
        let client = Client::new();
        for len in [0, 1, 999, 65_535, 65_536, 65_537, 131_072, 1_000_000] {
            let url = Url::parse(&format!("http://{}/{len}", server.address)).unwrap();
            for method in ["GET", "POST"] {
                let sent = vec![b'y'; len];
                let answer = client.request(method, &url).body(sent).send().await.unwrap().bytes().await.unwrap();
                assert!(answer.len() == len && answer.iter().enumerate().all(|(n, byte)| *byte == (n % 251) as u8));
            }
        }
        assert_eq!(client.stats().opened, 1, "bodies that fill a read exactly do not cost their connection");
        assert!(timeout(Duration::from_secs(1), server.task).await.is_err(), "it serves on");
    });
}

#[test]
fn a_handler_may_wait_and_holds_up_its_own_connection_alone() {
    run_alone_paused(async {
        let server = serve_async(async |request| {
            if request.path() == "/slow" {
                sleep(5 * SECOND).await;
            }
            say_it_again(request)
        });
        let began = Instant::now();
        let mut slow = Caller::new(&server).await;
        slow.say(get("/1") + "POST /slow HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody" + &get("/2")).await;
        slow.hears(&ok("GET /1")).await; // it is not held back by the one behind it
        let mut fast = Caller::new(&server).await;
        fast.say(get("/")).await;
        fast.hears(&ok("GET /")).await;
        assert_eq!((began.elapsed(), server.stats.busy()), (Duration::ZERO, 1));
        slow.hears(&(ok("POST /slow body") + &ok("GET /2"))).await;
        assert_eq!(began.elapsed(), 5 * SECOND);
    });
}

#[test]
fn bodies_reach_the_handler_whole_however_they_were_sent() {
    run_alone_paused(async {
        let server = serve(|request| Reply::bytes(200, request.body().to_vec()));
        let body: String = (0..100_000).map(|n| char::from(b'a' + (n % 23) as u8)).collect();
        let mut caller = Caller::new(&server).await;
        for chunk_len in [1, 7, 4_096, 65_536, 100_000] {
            let chunks: Vec<_> = body.as_bytes().chunks(chunk_len).map(String::from_utf8_lossy).collect();
            let chunks: String = chunks.iter().map(|chunk| format!("{:X}\r\n{chunk}\r\n", chunk.len())).collect();
            let head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
            caller.say(format!("{head}{chunks}0;last\r\nTrailer: x\r\n\r\n{}", get("/"))).await;
            caller.hears(&(ok(&body) + &ok(""))).await;
        }
        caller
            .say(format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{body}{}", body.len(), get("/")))
            .await;
        caller.hears(&(ok(&body) + &ok(""))).await;
    });
}

#[test]
fn a_caller_that_waits_to_be_told_so_is_told_to_go_on() {
    run_alone(async {
        let server = parrot();
        let mut caller = Caller::new(&server).await;
        let head = "POST /1 HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\nContent-Length: 4\r\n\r\n";
        for _ in 0..2 {
            caller.say(get("/0") + head).await;
            caller.hears(&(ok("GET /0") + "HTTP/1.1 100 Continue\r\n\r\n")).await;
            caller.say("body").await;
            caller.hears(&ok("POST /1 body")).await;
        }
        // It has begun already; there is nothing to wait for; it would not understand.
        caller.say(format!("{head}b")).await;
        some_turns().await;
        caller.say("ody").await;
        caller.hears(&ok("POST /1 body")).await;
        caller.say("GET /2 HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n").await;
        caller.hears(&ok("GET /2")).await;
        caller.say("POST /3 HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n").await;
        some_turns().await;
        caller.say("body").await;
        caller.hears("HTTP/1.1 200 OK\r\nContent-Length: 12\r\nConnection: close\r\n\r\nPOST /3 body").await;
    });
}

/// Gives these pieces, and then the end; a piece of "!" is an error, and one of "?" a panic.
fn pieces(pieces: &'static [&'static str]) -> Reply {
    let mut left = pieces.iter();
    Reply::stream(200, async move || {
        windlass::task::yield_now().await;
        match left.next() {
            Some(&"!") => Err(std::io::ErrorKind::NotFound.into()),
            Some(&"?") => panic!("as it was asked"),
            piece => Ok(piece.map(|piece| (*piece).into())),
        }
    })
}

#[test]
fn a_streamed_reply_goes_out_as_it_comes() {
    run_alone(async {
        let server = serve(|request| match request.path() {
            "/chunks" => pieces(&["one", "", "three"]),
            "/length" => pieces(&["one", "", "three"]).length(8),
            "/304" => Reply::stream(304, async || panic!("nobody wants it")),
            "/cut" => pieces(&["one", "!"]),
            "/panic" => pieces(&["one", "?"]),
            "/short" => pieces(&["one"]).length(4),
            "/long" => pieces(&["one", "two"]).length(4),
            _ => Reply::bytes(200, "end"),
        });
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        let mut caller = Caller::new(&server).await;
        for (request, answer) in [
            (get("/chunks"), format!("{chunked}3\r\none\r\n5\r\nthree\r\n0\r\n\r\n")),
            ("HEAD /chunks HTTP/1.1\r\nHost: a\r\n\r\n".into(), chunked.into()),
            (get("/length"), ok("onethree")),
            (get("/304"), "HTTP/1.1 304 Not Modified\r\n\r\n".into()),
        ] {
            caller.say(request + &get("/")).await;
            caller.hears(&(answer + &ok("end"))).await;
        }
        // What is not whole must not look as if it were.
        for (path, heard) in [
            ("/cut", format!("{chunked}3\r\none\r\n")),
            ("/panic", format!("{chunked}3\r\none\r\n")),
            ("/short", "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\none".into()),
            ("/long", "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\none".into()),
        ] {
            let mut caller = Caller::new(&server).await;
            caller.say(get(path)).await;
            assert_eq!(caller.hears_out().await, heard);
            let url = Url::parse(&format!("http://{}{path}", server.address)).unwrap();
            let kind = match Client::new().get(&url).send().await {
                Ok(response) => response.bytes().await.unwrap_err().kind(),
                Err(error) => error.kind(),
            };
            assert!(matches!(kind, ErrorKind::Truncated | ErrorKind::Reset), "{path} {kind:?}");
        }
    });
}

#[test]
fn a_source_that_gives_nothing_over_and_over_leaves_the_loop_to_others() {
    run_alone(async {
        let (asked, turns) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
        let (begun, others) = (asked.clone(), turns.clone());
        let other = windlass::spawn(async move {
            loop {
                others.set(others.get() + usize::from(begun.get() > 0));
                windlass::task::yield_now().await;
            }
        });
        let running = serve(move |_| {
            let asked = asked.clone();
            Reply::stream(200, async move || {
                asked.set(asked.get() + 1);
                Ok((asked.get() < 100_000).then(|| "".into()))
            })
        });
        let client = Client::new();
        let url = Url::parse(&format!("http://{}/", running.address)).unwrap();
        assert_eq!(client.get(&url).send().await.unwrap().bytes().await.unwrap(), b"");
        assert!(turns.get() > 100, "{} turns for others", turns.get());
        other.abort();
    });
}

#[test]
fn a_source_is_used_up_once_however_often_its_reply_was_cloned() {
    run_alone(async {
        let reply = pieces(&["one"]);
        let server = serve(move |_| reply.clone());
        let mut caller = Caller::new(&server).await;
        caller.say("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n".to_owned() + &get("/") + &get("/")).await;
        let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        caller.hears(&format!("{head}{head}3\r\none\r\n0\r\n\r\n")).await;
        assert!(!caller.hears_out().await.contains("\r\n0\r\n"), "the second is not whole");
    });
}

#[test]
fn a_stream_to_an_old_client_ends_with_the_connection() {
    run_alone(async {
        let server = serve(|request| match request.path() {
            "/cut" => pieces(&["one", "!"]),
            _ => pieces(&["one", "two"]),
        });
        let mut caller = Caller::new(&server).await;
        caller.say("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").await;
        assert_eq!(caller.hears_out().await, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nonetwo");
        let mut caller = Caller::new(&server).await;
        caller.say("GET /cut HTTP/1.0\r\n\r\n").await;
        let mut buffer = [0; 1_000];
        let reset = loop {
            match caller.stream.read(&mut buffer).await {
                Ok(0) => panic!("it seems to be whole"),
                Ok(_) => {}
                Err(error) => break error,
            }
        };
        assert_eq!(reset.kind(), std::io::ErrorKind::ConnectionReset);
    });
}

#[test]
fn a_source_is_asked_only_as_fast_as_its_reader_reads() {
    run_alone(async {
        let asked = Rc::new(Cell::new(0));
        let count = asked.clone();
        let server = serve(move |_| {
            let count = count.clone();
            Reply::stream(200, async move || {
                count.set(count.get() + 1);
                Ok((count.get() <= 1_000).then(|| vec![b'x'; 100_000].into()))
            })
        });
        let url = Url::parse(&format!("http://{}/", server.address)).unwrap();
        let mut limits = Limits::default();
        limits.body_max = u64::MAX;
        let client = Client::builder().limits(limits).build();
        let response = client.get(&url).send().await.unwrap();
        some_turns().await;
        assert!(asked.get() < 200, "{} pieces of 100 kB made for nobody", asked.get());
        assert_eq!(response.drain().await.unwrap(), 100_000_000);
    });
}

/// Time-outs of a server in a story: late by up to two ticks of an eighth of the shortest, which is at most a second.
const LATE: Duration = Duration::from_secs(2);

fn patient(server: Server) -> Server {
    server.head_timeout(30 * SECOND).body_timeout(60 * SECOND).idle_timeout(90 * SECOND).write_timeout(20 * SECOND)
}

#[test]
fn whoever_is_too_slow_to_ask_is_let_go_however_the_bytes_trickle() {
    run_alone_paused(async {
        let server = serve_with(patient, say_it_again);
        let timed_out = refusal("408 Request Timeout");
        let begun = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99\r\n\r\n".to_owned();
        for (said, trickle, heard, seconds) in [
            (String::new(), "", String::new(), 90),
            ("\r\n".into(), "", timed_out.clone(), 30),
            ("G".into(), "", timed_out.clone(), 30),
            ("GET / HTTP/1.1\r\nHost: a\r\nA: ".into(), "x", timed_out.clone(), 30),
            (get("/"), "", ok("GET /"), 90),
            (get("/") + "GET", "", ok("GET /") + &timed_out, 30),
            (begun.clone(), "", timed_out.clone(), 60),
            (begun.clone(), "x", timed_out.clone(), 60),
            (get("/") + &begun, "x", ok("GET /") + &timed_out, 60),
        ] {
            let began = Instant::now();
            let mut caller = Caller::new(&server).await;
            caller.say(&said).await;
            let (mut reader, mut writer) = caller.stream.into_split();
            let trickling = windlass::spawn(async move {
                while !trickle.is_empty() && writer.write_all(trickle.as_bytes()).await.is_ok() {
                    sleep(SECOND).await;
                }
                std::future::pending::<()>().await; // nor does it end its side
            });
            let (mut answer, mut buffer) = (Vec::new(), [0; 4096]);
            while let Ok(n @ 1..) = reader.read(&mut buffer).await {
                answer.extend_from_slice(&buffer[..n]);
            }
            let (took, due) = (began.elapsed(), Duration::from_secs(seconds));
            assert_eq!(String::from_utf8(answer).unwrap(), heard, "{said:?}");
            assert!(took >= due && took <= due + LATE, "{said:?} took {took:?}");
            trickling.abort();
        }
    });
}

#[test]
fn no_time_is_up_early_for_whoever_comes_within_a_tick() {
    run_alone_paused(async {
        let server = serve_with(patient, say_it_again);
        let _first = Caller::new(&server).await; // from now on time is counted
        for delay in [1, 150, 300, 450, 600] {
            sleep(MS(delay)).await;
            let began = Instant::now();
            let mut caller = Caller::new(&server).await;
            caller.say("GET").await;
            assert_eq!(caller.hears_out().await, refusal("408 Request Timeout"));
            let took = began.elapsed();
            assert!(took >= 30 * SECOND && took <= 30 * SECOND + LATE, "{took:?}");
        }
    });
}

#[test]
fn every_request_begins_the_time_anew_and_so_does_every_byte_that_is_read() {
    run_alone_paused(async {
        let server = serve_with(patient, |request| match request.path() {
            "/huge" => Reply::bytes(200, vec![b'x'; 50_000_000]),
            _ => say_it_again(request),
        });
        let mut caller = Caller::new(&server).await;
        for _ in 0..3 {
            sleep(80 * SECOND).await;
            caller.say(get("/")).await;
            caller.hears(&ok("GET /")).await;
        }
        caller.say(get("/huge")).await;
        let (mut read, mut buffer) = (0, vec![0; 1_000_000]);
        for round in 1..5 {
            sleep(15 * SECOND).await;
            // More than the two buffers between them hold by Linux's default, 4 and 6 MB: the server has written, too. The
            // kernel takes its time, in which the clock must not run: whoever yields is not idle.
            while read < round * 11_000_000 {
                match caller.stream.try_read(&mut buffer) {
                    Ok(0) => panic!("cut after {read} bytes"),
                    Ok(n) => read += n,
                    Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock),
                }
                windlass::task::yield_now().await;
            }
        }
    });
}

#[test]
fn whoever_reads_nothing_is_cut_and_whoever_waits_for_a_handler_is_not() {
    run_alone_paused(async {
        let server = serve_with(patient, |request| match request.path() {
            "/huge" => Reply::bytes(200, vec![b'x'; 50_000_000]),
            _ => Reply::bytes(200, "slow").delay(3_600 * SECOND),
        });
        let mut greedy = Caller::new(&server).await;
        greedy.say(get("/huge")).await;
        sleep(20 * SECOND).await;
        assert_eq!(server.stats.open(), 1);
        sleep(LATE).await;
        assert_eq!(server.stats.open(), 0);
        let mut slow = Caller::new(&server).await;
        slow.say(get("/slow")).await;
        slow.hears(&ok("slow")).await;
    });
}

#[test]
fn whoever_talks_on_after_a_refusal_is_listened_to_for_a_while_and_no_longer() {
    run_alone_paused(async {
        let server = serve_with(patient, say_it_again);
        let mut caller = Caller::new(&server).await;
        caller.say("nonsense\r\n\r\n").await;
        let began = Instant::now();
        while caller.stream.write_all(b"and so on").await.is_ok() {
            sleep(SECOND).await;
        }
        let took = began.elapsed();
        assert!(took >= 5 * SECOND && took <= 8 * SECOND, "{took:?}");
        assert_eq!(server.stats.open(), 0);
    });
}

#[test]
fn connections_are_bounded_and_the_next_waits_until_one_has_left() {
    run_alone(async {
        let server = serve_with(|server| server.connections_max(2), say_it_again);
        let mut callers = [Caller::new(&server).await, Caller::new(&server).await];
        for caller in &mut callers {
            caller.say(get("/")).await;
            caller.hears(&ok("GET /")).await;
        }
        let mut third = Caller::new(&server).await; // the kernel has it
        third.say(get("/3")).await;
        some_turns().await;
        assert_eq!((server.stats.open(), server.stats.opened()), (2, 2));
        let [first, _second] = callers;
        drop(first);
        third.hears(&ok("GET /3")).await;
        assert_eq!((server.stats.open(), server.stats.opened()), (2, 3));
    });
}

#[test]
fn a_connection_has_as_many_requests_as_it_may_and_the_last_says_so() {
    run_alone(async {
        let server = serve_with(|server| server.requests_max(2), say_it_again);
        let mut caller = Caller::new(&server).await;
        caller.say(get("/1") + &get("/2") + &get("/3")).await;
        let last = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\nGET /2";
        assert_eq!(caller.hears_out().await, ok("GET /1") + last);
        assert_eq!(server.stats.requests(), 2);
    });
}

/// Three callers of a server that is asked to stop: an idle one, one whose handler thinks for 2 seconds, and one whose
/// request is not whole. Whoever has an exchange may end it, and is told that it was the last.
async fn closing_time(server: &Running, stop: impl FnOnce()) {
    let mut idle = Caller::new(server).await;
    idle.say(get("/")).await;
    idle.hears(&ok("GET /")).await;
    let (mut waiting, mut talking) = (Caller::new(server).await, Caller::new(server).await);
    waiting.say(get("/slow") + &get("/never")).await;
    talking.say("GET /late HTTP/1.1\r\n").await;
    until(|| server.stats.busy() == 2).await;
    let began = Instant::now();
    stop();
    idle.hears_the_end().await;
    assert!(TcpStream::connect(server.address).await.is_err(), "nobody listens");
    talking.say("Host: a\r\n\r\n").await;
    let last = |body: &str| ok(body).replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n");
    assert_eq!(talking.hears_out().await, last("GET /late"));
    assert_eq!(began.elapsed(), Duration::ZERO);
    assert_eq!(waiting.hears_out().await, last("GET /slow"));
    assert!(began.elapsed() <= 2 * SECOND);
}

fn thoughtful(request: &Incoming<'_>) -> Reply {
    let delay = if request.path() == "/slow" { 2 * SECOND } else { Duration::ZERO };
    say_it_again(request).delay(delay)
}

#[test]
fn a_server_whose_token_is_cancelled_ends_what_it_has_begun() {
    run_alone_paused(async {
        let token = CancellationToken::new();
        let server = serve_with(|server| server.stop_when(token.clone()), thoughtful);
        closing_time(&server, || token.cancel()).await;
        server.task.await.unwrap();
    });
}

#[test]
fn a_server_whose_service_shuts_down_ends_what_it_has_begun() {
    run_alone_paused(async {
        let service = Rc::new(GracefulShutdown::new());
        let server = Server::bind(ANY).unwrap();
        let (address, stats) = (server.local_addr().unwrap(), server.stats());
        service.spawn("server", async move { server.run(thoughtful).await.unwrap() });
        let shutting_down = service.clone();
        let task = windlass::spawn(std::future::pending());
        let (tell, told) = windlass::sync::oneshot::channel();
        let stop = move || {
            drop(windlass::spawn(async move {
                tell.send(shutting_down.shutdown(5 * SECOND).await.to_string()).unwrap();
            }));
        };
        closing_time(&Running { address, stats, task }, stop).await;
        assert_eq!(told.await.unwrap(), "1 task ended");
    });
}

#[test]
fn a_reply_that_is_being_read_when_the_server_stops_is_the_last_of_its_connection() {
    run_alone_paused(async {
        let token = CancellationToken::new();
        let set = |server: Server| server.stop_when(token.clone()).grace(60 * SECOND);
        let server = serve_with(set, |_| Reply::bytes(200, vec![b'x'; 20_000_000]));
        let mut slow = Caller::new(&server).await;
        slow.say(get("/")).await;
        slow.hears("HTTP/1.1 200 OK\r\n").await;
        let began = Instant::now();
        token.cancel();
        some_turns().await;
        assert_eq!(server.stats.open(), 1, "it may end what it has begun");
        assert!(slow.hears_out().await.len() > 20_000_000);
        server.task.await.unwrap();
        assert_eq!(began.elapsed(), Duration::ZERO);
    });
}

#[test]
fn what_has_not_ended_within_the_grace_period_is_cut() {
    run_alone_paused(async {
        let token = CancellationToken::new();
        let set = |server: Server| server.stop_when(token.clone()).grace(3 * SECOND);
        let server = serve_with(set, |_| Reply::bytes(200, "slow").delay(60 * SECOND));
        let mut caller = Caller::new(&server).await;
        caller.say(get("/")).await;
        until(|| server.stats.busy() == 1).await;
        let began = Instant::now();
        token.cancel();
        server.task.await.unwrap();
        assert_eq!(began.elapsed(), 3 * SECOND);
        assert_eq!(server.stats.open(), 0);
        caller.hears_the_end().await;
    });
}

#[test]
fn a_stop_that_is_dropped_cuts_at_once() {
    run_alone_paused(async {
        let server = serve(|_| Reply::bytes(200, "slow").delay(60 * SECOND));
        let mut caller = Caller::new(&server).await;
        caller.say(get("/")).await;
        until(|| server.stats.busy() == 1).await;
        server.task.cancel();
        some_turns().await;
        assert_eq!(server.stats.open(), 1, "it has its time");
        server.task.abort();
        assert_eq!(server.stats.open(), 0);
        caller.hears_the_end().await;
    });
}

#[test]
fn a_target_is_taken_apart_and_its_host_goes_before_the_header() {
    run(async {
        let server = serve(|request| {
            let (host, path, query) = (request.host(), request.path(), request.query());
            assert!(request.peer_addr().ip().is_loopback());
            Reply::bytes(200, format!("{host} {path} {query:?}"))
        });
        let mut caller = Caller::new(&server).await;
        for (target, parts) in [
            ("/", "h:80 / None"),
            ("/a%20b?c?d", "h:80 /a%20b Some(\"c?d\")"),
            ("/?", "h:80 / Some(\"\")"),
            ("http://other:81/x/?y", "other:81 /x/ Some(\"y\")"),
            ("HTTP://other", "other / None"),
            ("http://other?q", "other / Some(\"q\")"),
            ("/http://other/", "h:80 /http://other/ None"),
        ] {
            caller.say(format!("GET {target} HTTP/1.1\r\nHost: h:80\r\n\r\n")).await;
            caller.hears(&ok(parts)).await;
        }
        caller.say("OPTIONS * HTTP/1.0\r\n\r\n").await;
        assert!(caller.hears_out().await.ends_with("\r\n\r\n * None"));
    });
}

#[test]
fn the_usual_replies_say_what_they_are() {
    run(async {
        let server = serve(|request| match request.path() {
            "/text" => Reply::text(201, "made"),
            "/html" => Reply::html(200, "<p>"),
            "/json" => Reply::json(200, "{}"),
            "/redirect" => Reply::redirect(308, "/html"),
            "/busy" => Reply::status(503).header("Retry-After", "9"),
            _ => Reply::not_found(),
        });
        let mut caller = Caller::new(&server).await;
        let plain = "Content-Type: text/plain; charset=utf-8\r\n";
        for (path, head, body) in [
            ("/text", format!("201 Created\r\n{plain}"), "made"),
            ("/html", "200 OK\r\nContent-Type: text/html; charset=utf-8\r\n".into(), "<p>"),
            ("/json", "200 OK\r\nContent-Type: application/json\r\n".into(), "{}"),
            ("/redirect", "308 Permanent Redirect\r\nLocation: /html\r\n".into(), ""),
            ("/busy", "503 Service Unavailable\r\nRetry-After: 9\r\n".into(), ""),
            ("/nowhere", format!("404 Not Found\r\n{plain}"), "not found\n"),
        ] {
            caller.say(get(path)).await;
            caller.hears(&format!("HTTP/1.1 {head}Content-Length: {}\r\n\r\n{body}", body.len())).await;
        }
    });
}
