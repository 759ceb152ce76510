//! Stories about what the client says: heads, bodies of every kind, and servers that do not want to hear them out.
//!
//! What is on the wire is compared byte for byte. The servers are scripts on the same loop ([`Script`]), most of them by a
//! paused clock: a second is then a second, and takes none.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::cell::Cell;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_core::Stream;
use windlass::http::body::Decoder;
use windlass::http::head::Version;
use windlass::http::request::RequestHead;
use windlass::http::{Body, Client, Error, ErrorKind, Limits, Request, Timeouts, Url};
use windlass::time::{Instant, sleep};
use windlass_tests::{ANY, Peer, Script, join, run, run_alone, run_alone_paused, run_paused, until};

const HELLO: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
const MS: fn(u64) -> Duration = Duration::from_millis;
/// More than two kernels hold for a connection.
const LARGE: usize = 16 << 20;

/// A server that hears requests up to these ends and says hello to each.
fn hears(wanted: &'static [&'static str]) -> Script {
    Script::start(async move |mut peer: Peer| {
        for end in wanted {
            hear_until(&mut peer, end).await;
            peer.say(HELLO).await;
        }
        peer.until_gone().await;
    })
}

/// What comes until it ends with `end`, or the other side has gone.
async fn hear_until(peer: &mut Peer, end: &str) -> String {
    let (mut heard, mut some) = (Vec::new(), vec![0; 64 * 1024]);
    while !heard.ends_with(end.as_bytes()) {
        match peer.stream.read(&mut some).await {
            Ok(n @ 1..) => heard.extend_from_slice(&some[..n]),
            _ => break,
        }
    }
    String::from_utf8_lossy(&heard).into_owned()
}

/// The body of a request, decoded.
async fn hear_body(peer: &mut Peer) -> Vec<u8> {
    let (mut head, mut heard, mut some, limits) = (RequestHead::new(), Vec::new(), vec![0; 50_000], Limits::default());
    let mut decoder: Option<Decoder> = None;
    let mut body = Vec::new();
    while decoder.as_ref().is_none_or(|decoder| !decoder.is_finished()) {
        let n = peer.stream.read(&mut some).await.unwrap();
        assert!(n > 0, "the request goes on");
        heard.extend_from_slice(&some[..n]);
        if decoder.is_none()
            && let Some(len) = head.parse(&heard, &limits).unwrap()
        {
            decoder = Some(Decoder::new(head.framing().unwrap(), &limits).unwrap());
            heard.drain(..len);
        }
        while let Some(decoder) = &mut decoder
            && !decoder.is_finished()
            && !heard.is_empty()
        {
            let step = decoder.decode(&heard).unwrap();
            body.extend_from_slice(step.data);
            heard.drain(..step.consumed);
        }
    }
    assert!(heard.is_empty(), "nothing follows a request");
    body
}

/// What a server hears of a request, up to `end`; it answers with hello.
async fn on_the_wire(end: &'static str, ask: impl AsyncFnOnce(&Client, &Url)) -> String {
    let heard = Rc::new(Cell::new(String::new()));
    let hears = heard.clone();
    let server = Script::start(async move |mut peer: Peer| {
        hears.set(hear_until(&mut peer, end).await);
        peer.say(HELLO).await;
        peer.until_gone().await;
    });
    ask(&Client::builder().user_agent("test").build(), &server.url()).await;
    heard.take().replace(&server.address().to_string(), "HOST")
}

async fn ok(request: Request<'_>) {
    let response = request.send().await.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!((response.status(), response.bytes().await.unwrap()), (200, b"hello".to_vec()));
}

#[track_caller]
fn assert_at_rest(client: &Client) {
    let stats = client.stats();
    assert_eq!((stats.in_use, stats.waiting), (0, 0), "{stats:?}");
}

type Next = Poll<Option<io::Result<Vec<u8>>>>;

/// A stream of what a closure gives.
struct Source(Box<dyn FnMut(&mut Context<'_>) -> Next>);

impl Source {
    fn new(next: impl FnMut(&mut Context<'_>) -> Next + 'static) -> Source {
        Source(Box::new(next))
    }
}

impl Stream for Source {
    type Item = io::Result<Vec<u8>>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Next {
        (self.0)(cx)
    }
}

/// A stream of these pieces, and then of what `end` gives.
fn pieces(pieces: &'static [&'static str], end: impl Fn() -> Next + 'static) -> Source {
    let mut pieces = pieces.iter();
    Source::new(move |_| pieces.next().map_or_else(&end, |piece| Poll::Ready(Some(Ok(piece.as_bytes().into())))))
}

fn over() -> Next {
    Poll::Ready(None)
}

fn never() -> Next {
    Poll::Pending
}

// ---------------------------------------------------------------------------------------------------------------------
// Heads.

#[test]
fn headers_come_in_curls_order() {
    run_paused(async {
        let heard = on_the_wire("a=b", async |client, url| {
            ok(client.post(url).header("X", "1").form([("a", "b")]).header("E", "")).await;
        });
        assert_eq!(
            heard.await,
            "POST / HTTP/1.1\r\nHost: HOST\r\nUser-Agent: test\r\nAccept: */*\r\nX: 1\r\nE:\r\nContent-Length: 3\r\n\
             Content-Type: application/x-www-form-urlencoded\r\n\r\na=b"
        );
        let heard = on_the_wire("a=b", async |client, url| {
            let request = client.post(url).header("X", "1").header("User-Agent", "y").header("Content-Type", "t");
            ok(request.header("Host", "q").form([("a", "b")]).without("Accept")).await;
        });
        assert_eq!(
            heard.await,
            "POST / HTTP/1.1\r\nHost: q\r\nX: 1\r\nUser-Agent: y\r\nContent-Type: t\r\nContent-Length: 3\r\n\r\na=b"
        );
    });
}

#[test]
fn what_is_left_out_is_not_there_and_what_frames_the_body_is() {
    run_paused(async {
        let heard = on_the_wire("\r\n\r\nx=", async |client, url| {
            let request = client.post(url).form([("x", "")]).without("accept").without("USER-AGENT");
            ok(request.without("content-type").without("Host").without("Content-Length")).await;
        });
        assert_eq!(heard.await, "POST / HTTP/1.1\r\nHost: HOST\r\nContent-Length: 2\r\n\r\nx=");
    });
}

#[test]
fn a_clients_headers_are_in_every_request_that_has_none_of_the_name() {
    run_paused(async {
        let server =
            Script::start(async |mut peer: Peer| while peer.hear().await.is_some() && peer.say(HELLO).await {});
        let client = Client::builder().user_agent("spider").header("A", "1").header("B", "2").header("a", "3").build();
        let url = server.url();
        ok(client.get(&url)).await;
        ok(client.get(&url).header("b", "mine").header("C", "4")).await;
        ok(client.get(&url).without("A").header("Accept", "x")).await;
        ok(client.get(&url)).await;
        let begin = format!("GET / HTTP/1.1\r\nHost: {}\r\nUser-Agent: spider\r\n", server.address());
        let expected = [
            "Accept: */*\r\nA: 1\r\nB: 2\r\na: 3\r\n",
            "Accept: */*\r\nA: 1\r\na: 3\r\nb: mine\r\nC: 4\r\n",
            "B: 2\r\nAccept: x\r\n",
            "Accept: */*\r\nA: 1\r\nB: 2\r\na: 3\r\n",
        ];
        assert_eq!(server.heard(), expected.map(|lines| format!("{begin}{lines}\r\n")));
    });
}

#[test]
fn a_request_of_http_1_0_says_so_and_its_connection_ends_with_it() {
    run_paused(async {
        let server =
            Script::start(async |mut peer: Peer| while peer.hear().await.is_some() && peer.say(HELLO).await {});
        let (client, url) = (Client::new(), server.url());
        ok(client.get(&url).version(Version::Http10).body("x")).await;
        assert!(server.heard()[0].starts_with("GET / HTTP/1.0\r\nHost: "), "{:?}", server.heard());
        assert!(server.heard()[0].ends_with("Content-Length: 1\r\n\r\nx"), "{:?}", server.heard());
        assert_eq!(client.stats().idle, 0);
        ok(client.get(&url)).await;
        assert!(server.heard()[1].starts_with("GET / HTTP/1.1\r\n"), "it was the request's version, not the client's");
        let request = client.post(&url).version(Version::Http10).body(Body::stream(pieces(&["x"], over)));
        let error = request.send().await.unwrap_err();
        assert!(error.to_string().contains("HTTP/1.0 knows no chunks"), "{error}");
        assert_eq!((server.heard().len(), client.stats().idle), (2, 1));
    });
}

#[test]
fn a_connection_that_the_request_ends_is_not_kept() {
    run_paused(async {
        let server =
            Script::start(async |mut peer: Peer| while peer.hear().await.is_some() && peer.say(HELLO).await {});
        let (client, url) = (Client::new(), server.url());
        for (value, idle) in [("close", 0), ("x, CLOSE", 0), ("keep-alive", 1)] {
            ok(client.get(&url).header("Connection", value)).await;
            assert_eq!(client.stats().idle, idle, "{value}");
        }
    });
}

#[test]
fn every_setter_is_checked_and_nothing_of_a_refused_request_goes_out() {
    run_alone(async {
        let server = hears(&["b=a%0D%0AX%3A+y"]);
        let (client, url) = (Client::new(), server.url());
        let bad = "a\r\nX: y";
        let get = || client.get(&url);
        let with_agent = Client::builder().user_agent(bad).build();
        let with_header = Client::builder().header("A", bad).build();
        let with_name = Client::builder().header(bad, "a").build();
        for (what, request) in [
            ("value", get().header("A", bad)),
            ("name", get().header(bad, "a")),
            ("method", client.request(bad, &url)),
            ("bearer", get().bearer_auth(bad)),
            ("user", get().basic_auth(bad, "")),
            ("password", get().basic_auth("", bad)),
            ("a user with a colon", get().basic_auth("a:b", "c")),
            ("type", client.post(&url).header("Content-Type", bad).form([("a", "b")])),
            ("host", get().header("Host", bad)),
            ("cookie", get().header("Cookie", bad)),
            ("upgrade", get().header("Upgrade", bad)),
            ("expect", client.post(&url).body("x").header("Expect", bad)),
            ("expect of something else", client.post(&url).body("x").header("Expect", "200-ok")),
            ("expect without a body", get().expect_continue()),
            ("expect of 1.0", client.post(&url).body("x").version(Version::Http10).expect_continue()),
            ("two lengths", client.post(&url).body("x").header("Content-Length", "1").header("content-length", "1")),
            ("another length", client.post(&url).body("x").header("Content-Length", "2")),
            (
                "chunks and a length",
                client.post(&url).body(Body::stream(pieces(&[], over))).header("Content-Length", "0"),
            ),
            ("a coding", client.post(&url).body("x").header("Transfer-Encoding", "chunked")),
            ("two hosts", get().header("Host", "a").header("host", "a")),
            ("agent", with_agent.get(&url)),
            ("default value", with_header.get(&url)),
            ("default name", with_name.get(&url)),
        ] {
            let error = request.send().await.expect_err(what);
            assert_eq!(error.kind(), ErrorKind::Other, "{what}: {error}");
            assert!(error.to_string().contains("write head: "), "{what}: {error}");
        }
        for client in [&client, &with_agent, &with_header, &with_name] {
            assert_eq!((client.stats().bytes_out, client.stats().in_use), (0, 0));
        }
        // Percent-encoded line ends are data. The text of the form and of the query is encoded, whatever it is.
        let url = url.with_query([("a\r\n", "\r\nX: y")]).unwrap();
        ok(client.post(&url).form([("b", bad)])).await;
    });
}

#[test]
fn credentials_are_in_the_header_and_nowhere_else() {
    run_paused(async {
        let heard = on_the_wire("\r\n\r\n", async |client, url| {
            let request = client.get(url).basic_auth("Aladdin", "open sesame");
            assert!(!format!("{request:?}").contains("sesame"));
            ok(request).await;
        });
        assert!(heard.await.contains("\r\nAuthorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n"));
        let (client, nobody) = (Client::new(), Url::parse("http://127.0.0.1:1/").unwrap());
        let error = client.get(&nobody).basic_auth("u", "hunter2").bearer_auth("hunter2").send().await.unwrap_err();
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
    });
}

// ---------------------------------------------------------------------------------------------------------------------
// Bodies.

#[test]
fn a_stream_is_sent_in_chunks_and_an_empty_piece_does_not_end_it() {
    run_paused(async {
        let heard = on_the_wire("0\r\n\r\n", async |client, url| {
            ok(client.post(url).body(Body::stream(pieces(&["hello ", "", "a longer world"], over)))).await;
            assert_eq!(client.stats().idle, 1);
        });
        let heard = heard.await;
        let (head, body) = heard.split_once("\r\n\r\n").unwrap();
        assert!(head.ends_with("Transfer-Encoding: chunked") && !head.contains("Content-Length"), "{head}");
        assert_eq!(body, "6\r\nhello \r\ne\r\na longer world\r\n0\r\n\r\n");
    });
}

#[test]
fn a_stream_of_a_known_length_is_announced_by_it() {
    run_paused(async {
        let heard = on_the_wire("0123456789", async |client, url| {
            ok(client.post(url).body(Body::sized_stream(10, pieces(&["01234", "56789"], over)))).await;
            assert_eq!(client.stats().idle, 1);
        });
        assert!(heard.await.ends_with("Content-Length: 10\r\n\r\n0123456789"));
    });
}

#[test]
fn a_body_of_another_length_than_announced_is_an_error_and_ends_the_connection() {
    for (given, how) in
        [(&["01234", "5678"][..], "shorter"), (&["01234", "567890"], "longer"), (&["0123456789", "0"], "longer")]
    {
        run_alone_paused(async move {
            let server = Script::start(async |mut peer: Peer| {
                peer.hear().await; // a body of five bytes: the first exchange
                peer.say(HELLO).await;
                hear_until(&mut peer, "never").await;
            });
            let (client, url) = (Client::new(), server.url());
            ok(client.post(&url).body("12345")).await;
            let body = Body::sized_stream(10, pieces(given, over));
            let error = client.request("PUT", &url).body(body).send().await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Other);
            assert!(error.to_string().contains(&format!("body is {how} than announced")), "{error}");
            until(|| server.open() == 0).await;
            assert_eq!((server.connections(), client.stats().idle, client.stats().retries), (1, 0, 0));
            assert_at_rest(&client);
        });
    }
}

#[test]
fn an_error_of_the_stream_is_the_requests_and_is_not_repeated() {
    run_alone_paused(async {
        let server = Script::start(async |mut peer: Peer| {
            peer.hear().await;
            peer.say(HELLO).await;
            hear_until(&mut peer, "never").await;
        });
        let (client, url) = (Client::new(), server.url());
        ok(client.get(&url)).await;
        let fails = || Poll::Ready(Some(Err(io::Error::other("out of paper"))));
        let error = client.request("PUT", &url).body(Body::stream(pieces(&["x"], fails))).send().await.unwrap_err();
        assert_eq!(error.to_string(), format!("put {url}: the request's body: out of paper"));
        until(|| server.open() == 0).await;
        assert_eq!((server.connections(), client.stats().retries), (1, 0));
    });
}

#[test]
fn bytes_of_any_number_arrive_as_they_are() {
    run_alone(async {
        for len in [0, 1, 65_535, 65_536, 65_537, 200_000, LARGE] {
            let body: Vec<u8> = (0..len).map(|at| (at % 251) as u8).collect();
            let (expected, arrived) = (body.clone(), Rc::new(Cell::new(0)));
            let counts = arrived.clone();
            let server = Script::start(async move |mut peer: Peer| {
                let (mut heard, mut some) = (Vec::new(), vec![0; 1 << 20]);
                let head = loop {
                    let n = peer.stream.read(&mut some).await.unwrap();
                    heard.extend_from_slice(&some[..n]);
                    if let Some(end) = heard.windows(4).position(|four| four == b"\r\n\r\n") {
                        break end + 4;
                    }
                };
                while heard.len() - head < len {
                    let n = peer.stream.read(&mut some).await.unwrap();
                    heard.extend_from_slice(&some[..n]);
                }
                assert!(heard[head..] == expected, "{len}");
                counts.set(heard.len() as u64);
                peer.say(HELLO).await;
                peer.until_gone().await;
            });
            let (client, url) = (Client::new(), server.url());
            ok(client.post(&url).body(body)).await;
            assert_eq!((arrived.get(), client.stats().idle), (client.stats().bytes_out, 1), "{len}");
        }
    });
}

/// A directory of a test's own, removed with it.
struct Dir(std::path::PathBuf);

impl Dir {
    fn new(name: &str) -> Dir {
        let dir = std::env::temp_dir().join(format!("windlass-{}-{name}", std::process::id()));
        fs::create_dir(&dir).unwrap();
        Dir(dir)
    }

    fn file(&self, len: usize) -> Body {
        let path = self.0.join("body");
        fs::write(&path, "0123456789abcdef".repeat(len / 16)).unwrap();
        Body::file(File::open(path).unwrap()).unwrap()
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_file_is_sent_piece_by_piece_and_again_if_the_request_is_repeated() {
    run_alone(async {
        const LEN: usize = 320_000; // five pieces
        let dir = Dir::new("again");
        let server = Script::start(async |mut peer: Peer| {
            peer.hear().await;
            peer.say(HELLO).await;
            let upload = peer.hear().await;
            if peer.number == 0 {
                return peer.reset(); // all of it was heard
            }
            assert!(upload.is_none(), "one request each");
        });
        let (client, url) = (Client::new(), server.url());
        ok(client.get(&url)).await;
        ok(client.request("PUT", &url).body(dir.file(LEN))).await;
        let heard = server.heard();
        assert_eq!((heard.len(), client.stats().retries), (3, 1));
        assert_eq!(heard[1], heard[2]);
        let (head, body) = heard[1].split_once("\r\n\r\n").unwrap();
        assert!(head.ends_with(&format!("Content-Length: {LEN}")) && body == "0123456789abcdef".repeat(LEN / 16));
        assert!(Body::file(File::open("/dev/null").unwrap()).is_err(), "what is no file has no length");
    });
}

#[test]
fn a_file_that_shrinks_meanwhile_is_an_error_and_one_that_grows_is_as_long_as_it_was() {
    run_alone(async {
        let dir = Dir::new("changes");
        let shrinks = dir.file(160);
        fs::write(dir.0.join("body"), "short").unwrap();
        let server = hears(&["\r\n\r\n", "never"]);
        let (client, url) = (Client::new(), server.url());
        ok(client.get(&url)).await;
        let error = client.request("PUT", &url).body(shrinks).send().await.unwrap_err();
        assert!(error.to_string().contains("shorter than announced"), "{error}");
        assert_eq!((client.stats().retries, client.stats().idle), (0, 0), "to send it again would not help");

        let grows = dir.file(160);
        File::options().append(true).open(dir.0.join("body")).unwrap().write_all(b"more").unwrap();
        let server = hears(&["cdef"]);
        let url = server.url();
        ok(client.post(&url).body(grows)).await;
        assert_eq!(client.stats().idle, 1, "all that was announced, and no more, went out");
    });
}

#[test]
fn a_body_in_random_pieces_at_random_times_arrives_whole() {
    for seed in 1..=30u64 {
        println!("seed {seed}");
        run_alone_paused(async move {
            let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let mut draw = move |below: u64| {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                random % below
            };
            let text: Vec<u8> = (0..draw(300_000)).map(|at| (at % 26) as u8 + b'a').collect();
            let (len, is_sized) = (text.len(), draw(2) == 0);
            let mut left = text.clone();
            let mut nap: Option<Pin<Box<windlass::time::Sleep>>> = None;
            let source = Source::new(move |cx| {
                if let Some(waits) = &mut nap {
                    ready!(waits.as_mut().poll(cx));
                    nap = None;
                } else if draw(3) == 0 {
                    let mut waits = Box::pin(sleep(MS(draw(20))));
                    assert!(waits.as_mut().poll(cx).is_pending() || waits.is_elapsed());
                    nap = Some(waits);
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                if left.is_empty() {
                    return Poll::Ready(None);
                }
                let rest = left.split_off((draw(90_000) as usize).min(left.len()));
                Poll::Ready(Some(Ok(std::mem::replace(&mut left, rest))))
            });
            let body = if is_sized { Body::sized_stream(len as u64, source) } else { Body::stream(source) };
            let server = Script::start(async move |mut peer: Peer| {
                let heard = hear_body(&mut peer).await;
                assert_eq!((heard.len(), heard == text), (len, true), "seed {seed}");
                peer.say(HELLO).await;
                peer.hear().await;
                peer.say(HELLO).await;
            });
            let (client, url) = (Client::new(), server.url());
            ok(client.post(&url).body(body)).await;
            ok(client.get(&url)).await;
            assert_eq!(client.stats().opened, 1, "seed {seed}: it ended where it was announced to");
        });
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// Who does not hear us out.

#[test]
fn an_answer_while_the_source_of_the_body_pauses_is_the_answer() {
    run_alone_paused(async {
        let server = Script::start(async |mut peer: Peer| {
            hear_until(&mut peer, "x\r\n").await;
            peer.say("HTTP/1.1 413 Content Too Large\r\nContent-Length: 5\r\n\r\nlarge").await;
            peer.until_gone().await;
        });
        let (client, url) = (Client::new(), server.url());
        for body in [Body::stream(pieces(&["x"], never)), Body::sized_stream(9, pieces(&["x\r\n"], never))] {
            let response = client.post(&url).body(body).send().await.unwrap();
            assert_eq!((response.status(), response.bytes().await.unwrap()), (413, b"large".to_vec()));
            until(|| server.open() == 0).await;
            assert_eq!(client.stats().idle, 0, "half a request is on its way there");
        }
    });
}

#[test]
fn an_answer_stops_an_upload_that_could_go_on_for_ever() {
    // The server reads on, so that nothing ever keeps the client from sending.
    run_alone(async {
        let server = Script::start(async |mut peer: Peer| {
            peer.stream.read(&mut [0; 4096]).await.unwrap();
            peer.say("HTTP/1.1 413 Content Too Large\r\nContent-Length: 5\r\n\r\nlarge").await;
            hear_until(&mut peer, "never").await;
        });
        let (client, url) = (Client::new(), server.url());
        for _ in 0..100 {
            let endless = Source::new(|_| Poll::Ready(Some(Ok(vec![b'x'; 1024]))));
            let response = client.post(&url).body(Body::stream(endless)).send().await.unwrap();
            assert_eq!((response.status(), response.bytes().await.unwrap()), (413, b"large".to_vec()));
            assert_at_rest(&client);
        }
        until(|| server.open() == 0).await;
        assert_eq!(client.stats().idle, 0);
    });
}

#[test]
fn an_answer_before_a_reset_is_the_answer_also_if_the_loop_has_not_heard_of_it_yet() {
    run(async {
        let listener = std::net::TcpListener::bind(ANY).unwrap();
        let url = Url::parse(&format!("http://{}/", listener.local_addr().unwrap())).unwrap();
        let mut pieces = 0;
        let source = Source::new(move |_| {
            pieces += 1;
            if pieces == 2 {
                let (mut peer, _) = listener.accept().unwrap();
                peer.write_all(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 5\r\n\r\nlarge").unwrap();
                drop(peer); // with the request unread, which resets the connection
            }
            Poll::Ready(Some(Ok(b"x".to_vec())))
        });
        let response = Client::new().post(&url).body(Body::stream(source)).send().await.unwrap();
        assert_eq!((response.status(), response.bytes().await.unwrap()), (413, b"large".to_vec()));
    });
}

#[test]
fn an_end_while_the_source_of_the_body_pauses_is_an_error_at_once() {
    run_alone_paused(async {
        let server = Script::start(async |mut peer: Peer| {
            hear_until(&mut peer, "x\r\n").await;
            peer.end();
            peer.until_gone().await;
        });
        let (client, url) = (Client::new(), server.url());
        let began = Instant::now();
        let error = client.post(&url).body(Body::stream(pieces(&["x"], never))).send().await.unwrap_err();
        assert_eq!((error.kind(), began.elapsed()), (ErrorKind::Truncated, Duration::ZERO), "{error}");
        until(|| server.open() == 0).await;
    });
}

#[test]
fn a_source_that_gives_nothing_runs_out_of_time() {
    run_alone_paused(async {
        let server = Script::start(async |mut peer: Peer| peer.until_gone().await);
        let (client, url) = (Client::new(), server.url());
        let began = Instant::now();
        let error = client.post(&url).body(Body::stream(pieces(&[], never))).send().await.unwrap_err();
        assert_eq!((error.kind(), began.elapsed().as_secs()), (ErrorKind::TimeoutRead, 60), "{error}");
        assert!(error.to_string().contains("sending the request"), "{error}");
    });
}

#[test]
fn a_source_that_gives_something_in_time_again_and_again_does_not_run_out_of_it() {
    run_alone_paused(async {
        let server = hears(&["\r\n0\r\n\r\n"]);
        let (client, url) = (Client::new(), server.url());
        let (mut left, mut nap) = (4, Box::pin(sleep(Duration::ZERO)));
        let slow = Source::new(move |cx| {
            ready!(nap.as_mut().poll(cx));
            nap = Box::pin(sleep(Duration::from_secs(40)));
            left -= 1;
            Poll::Ready(if left > 0 { Some(Ok(b"x".into())) } else { None })
        });
        let began = Instant::now();
        ok(client.post(&url).body(Body::stream(slow))).await;
        assert_eq!(began.elapsed().as_secs(), 120);
    });
}

/// What comes of a request that waits with its body for leave, and how long that took; the server hears the head, does
/// `then`, and tells what else it heard.
async fn expecting(then: impl AsyncFn(&mut Peer) + 'static) -> (Result<u16, Error>, Duration, String, bool) {
    let rest = Rc::new(Cell::new(String::new()));
    let hears = rest.clone();
    let server = Script::start(async move |mut peer: Peer| {
        let head = hear_until(&mut peer, "\r\n\r\n").await;
        assert!(head.contains("\r\nExpect: 100-continue\r\n"), "{head}");
        then(&mut peer).await;
        hears.set(hear_until(&mut peer, "body").await);
        peer.say(HELLO).await;
        peer.until_gone().await;
    });
    let (client, url, began) = (Client::new(), server.url(), Instant::now());
    let outcome = client.post(&url).body("the body").expect_continue().send().await;
    let took = began.elapsed();
    let outcome = match outcome {
        Ok(response) => {
            let status = response.status();
            response.bytes().await.map(|_| status)
        }
        Err(error) => Err(error),
    };
    let stays = client.stats().idle == 1;
    drop(client);
    until(|| server.open() == 0).await;
    (outcome, took, rest.take(), stays)
}

#[test]
fn a_body_waits_for_leave_and_a_second_at_most() {
    run_alone_paused(async {
        let (outcome, took, rest, stays) = expecting(async |_| {}).await;
        assert_eq!(
            (outcome.unwrap(), took.as_millis(), rest.as_str(), stays),
            (200, 1_000, "the body", true),
            "silence"
        );

        let leave = async |peer: &mut Peer| {
            sleep(MS(100)).await;
            peer.say("HTTP/1.1 100 Continue\r\n\r\n").await;
        };
        let (outcome, took, rest, stays) = expecting(leave).await;
        assert_eq!((outcome.unwrap(), took.as_millis(), rest.as_str(), stays), (200, 100, "the body", true), "leave");

        let hints = async |peer: &mut Peer| {
            peer.say("HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n").await;
        };
        let (outcome, took, rest, stays) = expecting(hints).await;
        assert_eq!((outcome.unwrap(), took.as_millis(), rest.as_str(), stays), (200, 1_000, "the body", true), "hints");
    });
}

#[test]
fn a_final_answer_keeps_the_body_back_and_ends_the_connection() {
    run_alone_paused(async {
        for status in [417, 200, 413, 303] {
            let answer = async move |peer: &mut Peer| {
                peer.say(format!("HTTP/1.1 {status} No\r\nContent-Length: 2\r\n\r\nno")).await;
            };
            let (outcome, took, rest, stays) = expecting(answer).await;
            assert_eq!((outcome.unwrap(), took, rest.as_str(), stays), (status, Duration::ZERO, "", false));
        }
        let (outcome, _, rest, _) = expecting(async |peer: &mut Peer| peer.end()).await;
        assert_eq!((outcome.unwrap_err().kind(), rest.as_str()), (ErrorKind::Truncated, ""));
    });
}

// ---------------------------------------------------------------------------------------------------------------------
// What is sent once more, and what is not.

/// A server that answers the first request of its first connection and breaks off when it has heard `end` of the second.
fn goes_stale(end: &'static str) -> Script {
    Script::start(async move |mut peer: Peer| {
        if peer.number == 0 {
            peer.hear().await;
            peer.say(HELLO).await;
            hear_until(&mut peer, end).await;
            return peer.reset();
        }
        hear_until(&mut peer, "0\r\n\r\n").await;
        peer.say(HELLO).await;
        peer.until_gone().await;
    })
}

#[test]
fn a_stream_that_has_begun_is_not_sent_again_whatever_the_method() {
    run_alone(async {
        for method in ["PUT", "POST"] {
            let server = goes_stale("0\r\n\r\n");
            let (client, url) = (Client::new(), server.url());
            ok(client.get(&url)).await;
            let body = Body::stream(pieces(&["x"], over));
            let error = client.request(method, &url).body(body).send().await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Reset, "{error}");
            assert_eq!((server.connections(), client.stats().retries), (1, 0), "{method}");
        }
    });
}

#[test]
fn a_stream_that_has_not_begun_is_sent_again_with_a_method_that_may_be() {
    // The server goes after the head; the body was still waiting for leave.
    run_alone_paused(async {
        for (method, connections) in [("PUT", 2), ("POST", 1)] {
            let server = goes_stale("\r\n\r\n");
            let (client, url) = (Client::new(), server.url());
            ok(client.get(&url)).await;
            let request = client.request(method, &url).body(Body::stream(pieces(&["x"], over))).expect_continue();
            assert_eq!(request.send().await.is_ok(), connections == 2, "{method}");
            assert_eq!(
                (server.connections(), client.stats().retries as usize),
                (connections, connections - 1),
                "{method}"
            );
        }
    });
}

#[test]
fn a_post_of_which_no_byte_went_out_is_sent_again() {
    // The connection is reset, and the loop has had no turn to hear of it.
    run_alone_paused(async {
        let first = Rc::new(Cell::new(None));
        let keeps = first.clone();
        let server = Script::start(async move |mut peer: Peer| {
            peer.hear().await;
            peer.say(HELLO).await;
            if peer.number == 0 {
                keeps.set(Some(peer));
            } else {
                peer.until_gone().await;
            }
        });
        let (client, url) = (Client::new(), server.url());
        ok(client.get(&url)).await;
        first.take().expect("the first connection").reset();
        ok(client.post(&url).body("once")).await;
        assert_eq!((client.stats().retries, client.stats().opened), (1, 2));
        assert_eq!(server.heard().iter().filter(|request| request.starts_with("POST")).count(), 1);
    });
}

// ---------------------------------------------------------------------------------------------------------------------
// What comes back.

#[test]
fn a_head_is_there_as_it_came_and_so_are_the_interim_ones() {
    const INTERIM: &str = "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 102 \r\n\r\n";
    const HEAD: &str =
        "HTTP/1.1 404 Not  here\r\nsEt-cookie:a\r\nX-a:  b \r\nSet-Cookie: c\r\nContent-Length: 2\r\n\r\n";
    run_paused(async {
        let server = Script::start(async |mut peer: Peer| {
            while peer.hear().await.is_some() {
                peer.say(format!("{INTERIM}{HEAD}no")).await;
                peer.hear().await;
                peer.say(HELLO).await;
            }
        });
        let (client, url) = (Client::new(), server.url());
        let response = client.get(&url).send().await.unwrap();
        assert_eq!((response.head_bytes(), response.interim_bytes()), (HEAD.as_bytes(), INTERIM.as_bytes()));
        assert_eq!((response.reason(), response.content_length()), (&b"Not  here"[..], Some(2)));
        assert_eq!((response.url(), response.remote_addr()), (&url, Some(server.address())));
        let error = response.error_for_status().unwrap_err();
        assert_eq!(
            (error.kind(), error.to_string()),
            (ErrorKind::Status, format!("get {url}: the status is 404 Not  here"))
        );
        let response = client.get(&url).send().await.unwrap();
        assert_eq!((response.interim_bytes(), client.stats().opened), (&b""[..], 1), "they were the other answer's");
    });
}

#[test]
fn a_raw_body_is_as_it_came_to_its_last_byte_and_the_connection_stays() {
    const CHUNKS: &str = "3;x=y\r\nabc\r\n0\r\nDigest: d\r\n\r\n";
    run_paused(async {
        let server = Script::start(async |mut peer: Peer| {
            while peer.hear().await.is_some() {
                for piece in
                    format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{CHUNKS}").as_bytes().chunks(7)
                {
                    peer.say(piece).await;
                    sleep(MS(1)).await;
                }
            }
        });
        let (client, url) = (Client::new(), server.url());
        for _ in 0..2 {
            assert_eq!(client.get(&url).raw().send().await.unwrap().text().await.unwrap(), CHUNKS);
            let mut decoded = client.get(&url).send().await.unwrap();
            let mut body = Vec::new();
            while let Some(piece) = decoded.chunk().await.unwrap() {
                body.extend_from_slice(piece);
            }
            assert_eq!((&body[..], decoded.trailers().get("digest")), (&b"abc"[..], Some(&b"d"[..])));
        }
        assert_eq!(client.stats().opened, 1);
    });
}

#[test]
fn a_raw_body_that_is_cut_short_is_an_error_too() {
    run_paused(async {
        let server = Script::start(async |mut peer: Peer| {
            peer.hear().await;
            peer.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n").await;
        });
        let (client, url) = (Client::new(), server.url());
        let error = client.get(&url).raw().send().await.unwrap().bytes().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Truncated);
    });
}

#[test]
fn a_request_has_limits_and_time_outs_of_its_own() {
    run_paused(async {
        let server = Script::start(async |mut peer: Peer| {
            while let Some(request) = peer.hear().await {
                if request.starts_with("GET /slow") {
                    sleep(Duration::from_secs(400)).await;
                }
                peer.say(HELLO).await;
            }
        });
        let (client, url, slow) = (Client::new(), server.url(), server.at("/slow"));
        let mut limits = Limits::default();
        limits.body_max = 4;
        let error = client.get(&url).limits(limits).send().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TooLarge);
        ok(client.get(&url)).await;

        let began = Instant::now();
        let error = client.get(&slow).timeout(MS(1_500)).send().await.unwrap_err();
        assert_eq!((error.kind(), began.elapsed().as_millis()), (ErrorKind::TimeoutTotal, 1_500));
        ok(client.get(&slow).timeouts(Timeouts::none())).await;
        ok(client.get(&slow).timeouts(Timeouts::none()).timeout(Duration::from_secs(500))).await;
    });
}

#[test]
fn the_time_of_each_phase_is_told_to_who_asks() {
    run_paused(async {
        let server = Script::start(async |mut peer: Peer| {
            while peer.hear().await.is_some() {
                sleep(MS(30)).await;
                peer.say(&HELLO[..10]).await;
                sleep(MS(4)).await;
                peer.say(&HELLO[10..HELLO.len() - 1]).await;
                sleep(MS(50)).await;
                peer.say(&HELLO[HELLO.len() - 1..]).await;
            }
        });
        let client = Client::builder().limit(1).build();
        let (url, named) =
            (server.url(), Url::parse(&format!("http://localhost:{}/", server.address().port())).unwrap());
        let timed = async |url: &Url| {
            let mut response = client.get(url).timed().send().await.unwrap();
            while response.chunk().await.unwrap().is_some() {}
            response.timings().unwrap()
        };
        let millis = |time: Duration| time.as_millis();
        let (first, second) = join(timed(&url), timed(&url)).await;
        for (timings, queue) in [(first, 0), (second, 84)] {
            assert_eq!((millis(timings.queue), millis(timings.first_byte), millis(timings.body)), (queue, 30, 54));
            assert_eq!((timings.connect, timings.dns, timings.tls), (Duration::ZERO, Duration::ZERO, Duration::ZERO));
        }
        // The resolver is not on the clock; what it takes is not here, but what comes after is.
        assert_eq!(millis(timed(&named).await.body), 54);
        assert_eq!(client.get(&url).send().await.unwrap().timings(), None);

        let at_once =
            Script::start(async |mut peer: Peer| while peer.hear().await.is_some() && peer.say(HELLO).await {});
        let url = at_once.url();
        let response = client.get(&url).timed().send().await.unwrap();
        sleep(MS(70)).await; // the caller's own
        let timings = response.timings().unwrap();
        assert_eq!((millis(timings.first_byte), millis(timings.body)), (0, 70));
    });
}

#[test]
fn text_is_read_by_its_charset_or_refused() {
    run(async {
        let server = Script::start(async |mut peer: Peer| {
            while let Some(request) = peer.hear().await {
                let charset = request.split(' ').nth(1).unwrap()[1..].to_owned();
                peer.say(format!(
                    "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset={charset}\r\nContent-Length: 2\r\n\r\n"
                ))
                .await;
                peer.say("\u{e4}").await;
            }
        });
        let client = Client::new();
        let text =
            async |charset: &str| client.get(&server.at(&format!("/{charset}"))).send().await.unwrap().text().await;
        assert_eq!(text("UTF-8").await.unwrap(), "\u{e4}");
        let error = text("klingon").await.unwrap_err();
        assert!(error.to_string().contains("the charset klingon is not known"), "{error}");
        assert_eq!(client.stats().opened, 1);
    });
}

#[test]
fn a_stream_that_gives_nothing_over_and_over_leaves_the_loop_to_others() {
    run(async {
        let server = hears(&["0\r\n\r\n"]);
        let (polls, turns) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
        let (polled, others) = (polls.clone(), turns.clone());
        let other = windlass::spawn(async move {
            loop {
                others.set(others.get() + usize::from(polled.get() > 0));
                windlass::task::yield_now().await;
            }
        });
        let counted = polls.clone();
        let nothing = Source::new(move |_| {
            counted.set(counted.get() + 1);
            Poll::Ready((counted.get() < 100_000).then(|| Ok(Vec::new())))
        });
        let client = Client::new();
        let seen = turns.clone();
        let response = client.post(&server.url()).body(Body::stream(nothing)).send().await.unwrap();
        assert_eq!((response.status(), polls.get()), (200, 100_000));
        assert!(seen.get() > 100, "{} turns for others", seen.get());
        other.abort();
    });
}
