//! Stories about the small HTTP server, told by clients that speak to it in bytes.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::cell::{Cell, RefCell};
use std::net::{Shutdown, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use windlass::http::{Client, Incoming, Reply, Server, Url};
use windlass::net::TcpStream;
use windlass::task::JoinHandle;
use windlass::time::{Instant, sleep, timeout};
use windlass_tests::{ANY, open_descriptors, run, run_alone, run_alone_paused, run_paused, some_turns, until};

const MS: fn(u64) -> Duration = Duration::from_millis;

/// A server that runs in a task, until the loop ends or it is aborted.
struct Running {
    address: SocketAddr,
    task: JoinHandle<()>,
}

fn serve(handler: impl Fn(&Incoming<'_>) -> Reply + 'static) -> Running {
    let server = Server::bind(ANY).unwrap();
    let address = server.local_addr().unwrap();
    let task = windlass::spawn(async move { server.run(handler).await.unwrap() });
    Running { address, task }
}

/// Answers with method and target.
fn parrot() -> Running {
    serve(|request| Reply::bytes(200, format!("{} {}", request.method(), request.target())))
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
        ("POST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 24\r\n\r\nGET /no HTTP/1.1\r\n\r\nbody", ok("POST /2")),
        ("HEAD /3 HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n".into()),
        (
            "PUT /4 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4;x\r\nbody\r\n1\r\n!\r\n0\r\nT: x\r\n\r\n",
            ok("PUT /4"),
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

#[test]
fn what_is_no_request_is_answered_with_400_and_the_connection_ends() {
    run_alone(async {
        let server = parrot();
        for bad in [
            "hello\r\n\r\n",
            "GET /\r\n\r\n",
            "GET / HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
            "GET / HTTP/2.0\r\nHost: a\r\n\r\n",
            "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
            "G(T / HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET a HTTP/1.1\r\nHost: a\r\n\r\n",
            "CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET / HTTP/1.1\nHost: a\n\n",
            "GET / HTTP/1.1\r\nHost : a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\n b\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nA: b\0c\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +4\r\n\r\nbody",
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nbody",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\nbody",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
            "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5x\r\n",
            "\u{16}\u{3}\u{1} a TLS hello",
        ] {
            let mut caller = Caller::new(&server).await;
            // Those before it are answered; what follows it is not.
            caller
                .say(format!("GET /good HTTP/1.1\r\nHost: a\r\n\r\n{bad}GET /after HTTP/1.1\r\nHost: a\r\n\r\n"))
                .await;
            let refused = "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
            assert_eq!(caller.hears_out().await, ok("GET /good") + refused, "{}", bad.escape_debug());
        }
    });
}

#[test]
fn too_much_of_anything_is_refused_by_its_status() {
    run_alone(async {
        let server = parrot();
        let x = |n: usize| "x".repeat(n);
        for (status, request) in [
            ("431", format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "A: b\r\n".repeat(100))),
            ("431", format!("GET / HTTP/1.1\r\nHost: a\r\nA: {}\r\n\r\n", x(16_400))),
            ("431", format!("GET / HTTP/1.1\r\nHost: a\r\n{}", format!("A: {}\r\n", x(10_000)).repeat(7))),
            ("431", format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", x(8_200))),
            ("413", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 11534336\r\n\r\n".to_owned()),
            ("413", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nB00000\r\n".to_owned()),
        ] {
            let mut caller = Caller::new(&server).await;
            caller.say(&request).await;
            let answer = caller.hears_out().await;
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer} to {:.60}", request.escape_debug());
            assert!(answer.ends_with("\r\nConnection: close\r\n\r\n"));
        }
        // As large as it may be.
        let mut caller = Caller::new(&server).await;
        caller.say(format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "A: b\r\n".repeat(99))).await;
        caller.hears(&ok("GET /")).await;
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
fn a_handler_that_panics_ends_its_connection_and_no_other() {
    run_alone(async {
        windlass::task::set_unobserved_panic_hook(Some(|_| ())); // it is meant to
        let server = serve(|request| match request.target() {
            "/panic" => panic!("as it was asked"),
            _ => Reply::bytes(200, "good"),
        });
        let mut other = Caller::new(&server).await;
        let mut caller = Caller::new(&server).await;
        caller.say("GET /panic HTTP/1.1\r\nHost: a\r\n\r\n").await;
        caller.hears_the_end().await;
        other.say("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        other.hears(&ok("good")).await;
        Caller::new(&server).await.say("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
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
