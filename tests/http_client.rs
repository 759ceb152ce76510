//! Stories about the HTTP client and servers that mean it well, or ill, or have gone.
//!
//! The servers are scripts on the same loop ([`Script`]). So a story knows what has arrived and what has not, and needs
//! to wait for nothing but that. Where the loop must be kept from looking, the server is a thread.
//!
//! The replies of the corpus are those of the parsers' own tests (`tests/corpus/`): here they come through a socket.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::cell::{Cell, RefCell};
use std::future::pending;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::rc::Rc;
use std::thread;
use std::time::Duration;

use windlass::http::{Client, Error, ErrorKind, Limits, Url};
use windlass::net::TcpListener;
use windlass::task::{JoinHandle, yield_now};
use windlass::time::{Instant, sleep, timeout};
use windlass_corpus::Reply;
use windlass_tests::{
    ANY, Peer, Script, alone, deaf, join, open_descriptors, poll_at_most, run, run_alone, run_alone_paused, run_paused,
    some_turns, until,
};

const HELLO: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
const MS: fn(u64) -> Duration = Duration::from_millis;

fn reply(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

/// A server that answers every request with its path.
fn parrot() -> Script {
    Script::start(async |mut peer: Peer| {
        while let Some(request) = peer.hear().await {
            let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
            if !peer.say(reply(&path)).await {
                return;
            }
        }
    })
}

/// A server that hears every request and never answers.
fn silent() -> Script {
    Script::start(async |mut peer: Peer| peer.until_gone().await)
}

async fn get(client: &Client, url: &Url) -> Result<(u16, Vec<u8>), Error> {
    request(client, "GET", url).await
}

async fn request(client: &Client, method: &str, url: &Url) -> Result<(u16, Vec<u8>), Error> {
    let response = client.request(method, url).send().await?;
    let status = response.status();
    Ok((status, response.bytes().await?))
}

/// A GET in a task of its own.
fn getting(client: &Client, url: Url) -> JoinHandle<Result<(u16, Vec<u8>), Error>> {
    let client = client.clone();
    windlass::spawn(async move { get(&client, &url).await })
}

async fn body_of(client: &Client, url: &Url) -> String {
    let (status, body) = get(client, url).await.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(status, 200);
    String::from_utf8(body).expect("these bodies are text")
}

async fn kind_of(client: &Client, url: &Url) -> ErrorKind {
    get(client, url).await.expect_err("an answer").kind()
}

#[track_caller]
fn assert_at_rest(client: &Client) {
    let stats = client.stats();
    assert_eq!((stats.in_use, stats.waiting), (0, 0), "{stats:?}");
}

// ---------------------------------------------------------------------------------------------------------------------
// What servers send.

/// How a stream is cut on its way.
#[derive(Clone, Copy, Debug)]
enum Cut {
    Whole,
    At(usize),
    Pieces(usize),
}

impl Cut {
    fn pieces(self, stream: &[u8]) -> Vec<&[u8]> {
        match self {
            Cut::Whole => vec![stream],
            Cut::At(at) => vec![&stream[..at], &stream[at..]],
            Cut::Pieces(len) => stream.chunks(len).collect(),
        }
    }
}

/// What the client makes of a stream: status and body, or the error's name.
type Made = Result<(u16, Vec<u8>), &'static str>;

#[track_caller]
fn check(reply: &Reply, made: &Made, how: &str) {
    let made = made.as_ref().map(|(status, body)| (*status, body)).map_err(|name| *name);
    let expected = reply.outcome.as_ref().map(|complete| (complete.status, &complete.body)).map_err(String::as_str);
    assert_eq!(made, expected, "{}, {how}", reply.name);
}

/// One listener for many streams, each sent over a connection of its own.
struct Stage {
    listener: TcpListener,
    url: Url,
}

impl Stage {
    fn new() -> Stage {
        let listener = TcpListener::bind(ANY).unwrap();
        let url = Url::parse(&format!("http://{}/", listener.local_addr().unwrap())).unwrap();
        Stage { listener, url }
    }

    /// Sends the pieces, each when the one before has been read, and ends the connection if the client waits on.
    /// Also tells whether the client has kept the connection.
    async fn perform(&self, method: &str, stream: &[u8], cut: Cut) -> (Made, bool) {
        let client = Client::new();
        let over = Cell::new(false);
        let exchange = async {
            let made = request(&client, method, &self.url).await.map_err(|error| error.kind().name());
            over.set(true);
            made
        };
        let play = async {
            let (mut peer, _) = self.listener.accept().await.unwrap();
            peer.set_nodelay(true).unwrap();
            let mut sent = 0;
            for piece in cut.pieces(stream) {
                if over.get() || peer.write_all(piece).await.is_err() {
                    break;
                }
                sent += piece.len();
                while client.stats().bytes_in < sent as u64 && !over.get() {
                    yield_now().await;
                }
            }
            yield_now().await; // the client makes of it what it can
            if !over.get() {
                peer.shutdown(Shutdown::Write).unwrap();
            }
            peer
        };
        let (made, peer) = join(exchange, play).await;
        assert_at_rest(&client);
        peer.set_linger(Some(Duration::ZERO)).unwrap(); // no port lingers
        (made, client.stats().idle == 1)
    }
}

#[test]
fn every_reply_of_the_corpus_sent_whole_has_its_outcome_and_its_connection_is_kept_or_not() {
    run(async {
        let stage = Stage::new();
        for reply in windlass_corpus::replies() {
            let (made, kept) = stage.perform(&reply.method, &reply.stream, Cut::Whole).await;
            check(&reply, &made, "whole");
            assert_eq!(kept, reply.outcome.as_ref().is_ok_and(|complete| complete.kept), "{}", reply.name);
        }
    });
}

#[test]
fn every_reply_of_the_corpus_has_its_outcome_cut_in_two_here_and_there() {
    run(async {
        let stage = Stage::new();
        for reply in windlass_corpus::replies() {
            let len = reply.stream.len();
            // Everywhere they are cut where the parsers are tested by themselves; here some sixteen cuts each must do.
            let step = len / 10 + 1;
            for at in (1..len).filter(|at| *at < 4 || len - at < 4 || at % step == 0) {
                let (made, _) = stage.perform(&reply.method, &reply.stream, Cut::At(at)).await;
                check(&reply, &made, &format!("cut at {at}"));
            }
        }
    });
}

#[test]
fn every_reply_of_the_corpus_has_its_outcome_in_twenty_pieces() {
    run(async {
        let stage = Stage::new();
        for reply in windlass_corpus::replies() {
            let cut = Cut::Pieces(reply.stream.len().div_ceil(20).max(1));
            let (made, _) = stage.perform(&reply.method, &reply.stream, cut).await;
            check(&reply, &made, &format!("{cut:?}"));
        }
    });
}

/// The ways in which a server can go.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Exit {
    End,
    Reset,
}

/// Sends the first `len` bytes of `stream` and goes, at once or when they have been read.
async fn cut_short(stage: &Stage, stream: &[u8], len: usize, exit: Exit, at_once: bool) -> Made {
    let client = Client::new();
    let play = async {
        let (mut peer, _) = stage.listener.accept().await.unwrap();
        let mut request = [0; 1024];
        assert!(peer.read(&mut request).await.unwrap() > 0); // unread bytes would make a reset of every end
        peer.write_all(&stream[..len]).await.unwrap();
        while !at_once && client.stats().bytes_in < len as u64 {
            yield_now().await;
        }
        match exit {
            Exit::End => peer.shutdown(Shutdown::Write).unwrap(),
            Exit::Reset => peer.set_linger(Some(Duration::ZERO)).unwrap(),
        }
        (exit == Exit::End).then_some(peer)
    };
    let (made, peer) = join(request(&client, "GET", &stage.url), play).await;
    assert_at_rest(&client);
    if let Some(peer) = peer {
        peer.set_linger(Some(Duration::ZERO)).unwrap();
    }
    made.map_err(|error| error.kind().name())
}

#[test]
fn a_body_that_is_cut_short_is_never_a_body() {
    let length = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 40\r\n\r\n".to_owned()
        + &"0123456789".repeat(4);
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nA\r\n0123456789\r\n14;x=y\r\n01234567890123456789\r\n0\r\nA: b\r\n\r\n";
    let close = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n0123456789";
    run(async move {
        let stage = Stage::new();
        for (stream, ends_with_connection) in [(&*length, false), (chunked, false), (close, true)] {
            let head_len = stream.find("\r\n\r\n").unwrap() + 4;
            for (exit, at_once) in [(Exit::End, true), (Exit::End, false), (Exit::Reset, true), (Exit::Reset, false)] {
                for len in 0..stream.len() {
                    let made = cut_short(&stage, stream.as_bytes(), len, exit, at_once).await;
                    let at = format!("{exit:?} after {len} bytes of {}, at once: {at_once}", stream.escape_debug());
                    match (exit, ends_with_connection && len >= head_len) {
                        (Exit::End, true) => {
                            assert_eq!(made, Ok((200, stream.as_bytes()[head_len..len].to_vec())), "{at}");
                        }
                        (Exit::End, false) => assert_eq!(made, Err("truncated"), "{at}"),
                        (Exit::Reset, _) => assert_eq!(made, Err("reset"), "{at}"),
                    }
                }
                // And not cut short it is one, however the connection ends, unless it ends with the connection.
                let made = cut_short(&stage, stream.as_bytes(), stream.len(), exit, at_once).await;
                assert_eq!(made.is_ok(), exit == Exit::End || !ends_with_connection);
            }
        }
    });
}

/// A server that says `begin` and then `again` for ever.
fn endless(begin: &'static str, again: &'static [u8]) -> Script {
    Script::start(async move |mut peer: Peer| {
        peer.hear().await;
        peer.say(begin).await;
        while peer.say(again).await {}
    })
}

#[test]
fn what_never_ends_is_too_large_before_it_fills_the_memory() {
    let x: &'static [u8] = &[b'x'; 8192];
    let chunks: &'static [u8] = b"5\r\nhello\r\n".repeat(800).leak();
    run_alone(async move {
        for (begin, again, most) in [
            ("HTTP/1.1 200 OK\r\n", &b"A: b\r\n"[..], 66_000),
            ("HTTP/1.1 200 OK\r\nA: ", x, 16_500),
            ("HTTP/1.1 200 ", x, 8_300),
            ("", b"HTTP/1.1 100 Continue\r\n\r\n", 500),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;", x, 17_000),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA: ", x, 17_000),
            ("HTTP/1.1 200 OK\r\n\r\n", x, 10 << 20),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", chunks, (10 << 20) * 2),
        ] {
            let server = endless(begin, again);
            let client = Client::new();
            let began = Instant::now();
            assert_eq!(kind_of(&client, &server.url()).await, ErrorKind::TooLarge, "{begin:?}");
            assert!(began.elapsed() < Duration::from_secs(5), "{begin:?}");
            // A read may bring as much as the shared buffer holds beyond the limit.
            let heard = client.stats().bytes_in;
            assert!(heard <= most + 2 * 65_536, "{begin:?}: {heard} bytes taken in");
            assert_at_rest(&client);
            until(|| server.open() == 0).await;
        }
    });
}

#[test]
fn a_body_above_the_limit_is_refused_before_it_is_read() {
    run(async {
        let server = endless("HTTP/1.1 200 OK\r\nContent-Length: 11534336\r\n\r\n", &[0; 4096]);
        let client = Client::new();
        assert_eq!(kind_of(&client, &server.url()).await, ErrorKind::TooLarge);
        assert!(client.stats().bytes_in <= 65_536);
        let mut limits = Limits::default();
        limits.body_max = u64::MAX;
        let client = Client::builder().limits(limits).build();
        let len = client.get(&server.url()).send().await.unwrap().drain().await.unwrap();
        assert_eq!(len, 11_534_336);
    });
}

// ---------------------------------------------------------------------------------------------------------------------
// Which connection.

#[test]
fn a_thousand_requests_in_a_row_use_one_connection() {
    run_alone(async {
        let server = parrot();
        let client = Client::new();
        for n in 0..1_000 {
            let path = format!("/{n}");
            assert_eq!(body_of(&client, &server.at(&path)).await, path);
        }
        let stats = client.stats();
        assert_eq!((server.connections(), stats.opened, stats.reused, stats.idle), (1, 1, 999, 1));
        assert_eq!(stats.in_use_max, 1);
    });
}

#[test]
fn replies_without_a_body_leave_the_connection_good_for_the_next_request() {
    run(async {
        let server = Script::start(async |mut peer: Peer| {
            while let Some(request) = peer.hear().await {
                let answer = match request.split(' ').nth(1).unwrap() {
                    "/204" => "HTTP/1.1 204 No Content\r\n\r\n",
                    "/304" => "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\nETag: \"x\"\r\n\r\n",
                    _ if request.starts_with("HEAD") => "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
                    _ => HELLO,
                };
                peer.say(answer).await;
            }
        });
        let client = Client::new();
        assert_eq!(request(&client, "HEAD", &server.url()).await.unwrap(), (200, vec![]));
        assert_eq!(get(&client, &server.at("/204")).await.unwrap(), (204, vec![]));
        assert_eq!(get(&client, &server.at("/304")).await.unwrap(), (304, vec![]));
        let url = server.url();
        let head = client.head(&url).send().await.unwrap();
        assert_eq!(head.header("content-length"), Some(&b"5"[..]));
        drop(head);
        assert_eq!(body_of(&client, &server.url()).await, "hello");
        assert_eq!(server.connections(), 1);
    });
}

#[test]
fn hosts_are_told_apart_by_name_and_port_and_not_by_case() {
    run(async {
        let (a, b) = (parrot(), parrot());
        let client = Client::new();
        let port = a.address().port();
        for url in [format!("http://localhost:{port}/"), format!("http://LocalHost:{port}/x"), format!("{}", a.url())] {
            get(&client, &Url::parse(&url).unwrap()).await.unwrap();
        }
        get(&client, &b.url()).await.unwrap();
        assert_eq!((a.connections(), b.connections()), (2, 1)); // localhost is not 127.0.0.1
    });
}

/// What may befall an idle connection.
const BEFALLS: [&str; 7] = ["end", "reset", "second", "408", "byte", "line end", "late line end"];

#[test]
fn an_idle_connection_on_which_something_happens_is_not_used_again() {
    run_alone(async {
        for what in BEFALLS {
            let done = Rc::new(Cell::new(false));
            let (set_done, is_done) = (done.clone(), move || done.get());
            let server = Script::start(async move |mut peer: Peer| {
                peer.hear().await;
                if peer.number > 0 {
                    peer.say(reply("mine")).await;
                    return peer.until_gone().await;
                }
                peer.say(reply("first")).await;
                some_turns().await; // idle by now
                match what {
                    "end" => peer.end(),
                    "reset" => {
                        peer.reset();
                        return set_done.set(true);
                    }
                    "second" => assert!(peer.say(reply("not yours")).await),
                    "408" => assert!(peer.say("HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n").await),
                    "byte" => assert!(peer.say("x").await),
                    _ => assert!(peer.say("\r\n").await),
                }
                set_done.set(true);
                peer.until_gone().await;
            });
            let client = Client::new();
            assert_eq!(body_of(&client, &server.url()).await, "first");
            until(is_done).await;
            some_turns().await;
            assert_eq!(body_of(&client, &server.url()).await, "mine", "{what}");
            let stats = client.stats();
            assert_eq!((stats.retries, stats.opened, server.heard().len()), (0, 2, 2), "{what}");
        }
    });
}

#[test]
fn a_second_reply_in_the_same_segment_is_nobodys() {
    run(async {
        let server = Script::start(async |mut peer: Peer| {
            while peer.hear().await.is_some() {
                peer.say(format!("{}{}", reply("mine"), reply("not yours"))).await;
            }
        });
        let client = Client::new();
        for n in 1..4 {
            assert_eq!(body_of(&client, &server.url()).await, "mine");
            assert_eq!(server.connections(), n);
        }
    });
}

/// Hears one request on a blocking socket.
fn hear_blocking(stream: &mut std::net::TcpStream) {
    let mut heard = Vec::new();
    let mut byte = [0];
    while !heard.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).unwrap();
        heard.push(byte[0]);
    }
}

#[test]
fn what_came_unasked_while_the_loop_was_busy_elsewhere_is_not_the_next_answer() {
    // Between the two requests the task computes, and the loop has no turn in which to hear of anything.
    run_alone(async {
        let listener = std::net::TcpListener::bind(ANY).unwrap();
        let url = Url::parse(&format!("http://{}/", listener.local_addr().unwrap())).unwrap();
        let server = thread::spawn(move || {
            let mut first = listener.accept().unwrap().0;
            hear_blocking(&mut first);
            first.write_all(reply("first").as_bytes()).unwrap();
            thread::sleep(MS(20));
            first.write_all(reply("not yours").as_bytes()).unwrap();
            let mut second = listener.accept().unwrap().0;
            hear_blocking(&mut second);
            second.write_all(reply("mine").as_bytes()).unwrap();
        });
        let client = Client::builder().timeout(Duration::from_secs(10)).build();
        assert_eq!(body_of(&client, &url).await, "first");
        thread::sleep(MS(100)); // a long computation
        assert_eq!(body_of(&client, &url).await, "mine");
        server.join().unwrap();
    });
}

#[test]
fn a_connection_that_its_server_ended_with_the_reply_goes_to_nobody() {
    // No Connection: close: the end comes in one event with the reply, and a request that must not be repeated waits.
    run_alone(async {
        let server = Script::start(async |mut peer: Peer| {
            peer.hear().await;
            peer.say(HELLO).await;
            peer.end();
            peer.until_gone().await;
        });
        let client = Client::builder().limit(1).build();
        let posts: Vec<_> = (0..5)
            .map(|_| {
                let (client, url) = (client.clone(), server.url());
                windlass::spawn(async move { request(&client, "POST", &url).await })
            })
            .collect();
        for post in posts {
            assert_eq!(post.await.unwrap().unwrap(), (200, b"hello".to_vec()));
        }
        assert_eq!((server.connections(), server.heard().len()), (5, 5));
    });
}

/// A server that answers the first request of its first connection and then does `then` on hearing the second.
fn goes_stale(then: &'static str) -> Script {
    Script::start(async move |mut peer: Peer| {
        peer.hear().await;
        peer.say(HELLO).await;
        if peer.number > 0 {
            return peer.until_gone().await;
        }
        peer.hear().await;
        match then {
            "end" => {}
            "reset" => peer.reset(),
            "a byte" => drop(peer.say("H").await),
            "interim" => drop(peer.say("HTTP/1.1 102 Processing\r\n\r\n").await),
            other => unreachable!("{other}"),
        }
    })
}

#[test]
fn a_request_on_a_connection_that_went_stale_is_sent_once_more_if_it_may_be() {
    run_alone(async {
        for then in ["end", "reset"] {
            for method in ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE"] {
                let server = goes_stale(then);
                let client = Client::new();
                body_of(&client, &server.url()).await;
                let url = server.url();
                let second = client.request(method, &url).body("same").send().await.unwrap();
                assert_eq!(second.status(), 200, "{method} {then}");
                let heard = server.heard();
                assert_eq!((heard.len(), &heard[1]), (3, &heard[2]), "{method} {then}");
                assert_eq!((client.stats().retries, server.connections()), (1, 2));
            }
        }
    });
}

#[test]
fn a_post_is_never_sent_twice() {
    run_alone(async {
        for (then, kind) in
            [("end", ErrorKind::Truncated), ("reset", ErrorKind::Reset), ("a byte", ErrorKind::Truncated)]
        {
            for method in ["POST", "PATCH", "MINE"] {
                let server = goes_stale(then);
                let client = Client::new();
                body_of(&client, &server.url()).await;
                let url = server.url();
                let error = client.request(method, &url).body("once").send().await.unwrap_err();
                assert_eq!(error.kind(), kind, "{method} {then}: {error}");
                some_turns().await;
                assert_eq!((server.heard().len(), client.stats().retries), (2, 0), "{method} {then}");
                assert_at_rest(&client);
            }
        }
    });
}

#[test]
fn a_request_of_which_anything_was_answered_is_not_sent_again() {
    run(async {
        for then in ["a byte", "interim"] {
            let server = goes_stale(then);
            let client = Client::new();
            body_of(&client, &server.url()).await;
            assert_eq!(kind_of(&client, &server.url()).await, ErrorKind::Truncated, "{then}");
            assert_eq!((server.heard().len(), client.stats().retries), (2, 0), "{then}");
        }
    });
}

#[test]
fn a_request_that_fails_again_on_its_new_connection_has_failed() {
    run(async {
        let server = Script::start(async |mut peer: Peer| {
            peer.hear().await;
            if peer.number == 0 {
                peer.say(HELLO).await;
                peer.hear().await;
            }
        });
        let client = Client::new();
        body_of(&client, &server.url()).await;
        assert_eq!(kind_of(&client, &server.url()).await, ErrorKind::Truncated);
        assert_eq!((server.heard().len(), client.stats().retries), (3, 1));
        // And on a connection that was new in the first place there is no second time.
        assert_eq!(kind_of(&client, &server.url()).await, ErrorKind::Truncated);
        assert_eq!((server.heard().len(), client.stats().retries), (4, 1));
    });
}

#[test]
fn interim_heads_before_the_request_is_all_sent_do_not_end_the_sending() {
    // H42: cut anywhere, they say nothing of the request. It is larger than what the two kernels hold.
    const INTERIM: &str = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n";
    for piece in [INTERIM.len(), 20] {
        run_alone(async move {
            let body = vec![b'x'; 16 << 20];
            let server = Script::start(async move |mut peer: Peer| {
                for piece in INTERIM.as_bytes().chunks(piece) {
                    peer.say(piece).await;
                    sleep(MS(5)).await;
                }
                let (mut heard, mut some) = (0, vec![0; 1 << 20]);
                while heard < 16 << 20 {
                    heard += peer.stream.read(&mut some).await.unwrap();
                }
                peer.say(HELLO).await;
                peer.until_gone().await;
            });
            let (client, url) = (Client::new(), server.url());
            let answer = client.request("POST", &url).body(body).timeout(MS(2_000)).send().await.unwrap();
            assert_eq!(answer.status(), 200);
            drop(answer.bytes().await.unwrap());
            assert_eq!(client.stats().idle, 1, "nothing is wrong with the connection");
        });
    }
}

#[test]
fn an_upload_that_breaks_off_after_an_interim_head_is_not_repeated() {
    run_alone(async {
        let server = Script::start(async |mut peer: Peer| {
            peer.hear().await;
            peer.say(HELLO).await;
            peer.stream.readable().await.unwrap();
            peer.say("HTTP/1.1 102 Processing\r\n\r\n").await;
            sleep(MS(20)).await;
        });
        let (client, url) = (Client::new(), server.url());
        body_of(&client, &url).await;
        let error = client.request("PUT", &url).body(vec![b'x'; 16 << 20]).send().await.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Reset | ErrorKind::Truncated), "{error}");
        assert_eq!((server.connections(), client.stats().retries), (1, 0));
    });
}

#[test]
fn an_answer_before_the_request_is_all_sent_is_the_answer() {
    // The server reads a little, refuses, and reads no more. It keeps the connection open, or closes it.
    for closes in [false, true] {
        run_alone(async move {
            let server = Script::start(async move |mut peer: Peer| {
                let mut some = [0; 4096];
                peer.stream.read(&mut some).await.unwrap();
                peer.say("HTTP/1.1 413 Content Too Large\r\nContent-Length: 5\r\n\r\nlarge").await;
                if !closes {
                    pending::<()>().await; // it reads no more
                }
            });
            let client = Client::builder().timeout(Duration::from_secs(5)).build();
            let url = server.url();
            for _ in 0..20 {
                let answer = client.request("POST", &url).body(vec![b'x'; 10 << 20]).send().await.unwrap();
                assert_eq!(answer.status(), 413, "closes: {closes}");
                assert_eq!(answer.bytes().await.unwrap(), b"large");
                assert_eq!(client.stats().idle, 0, "half a request is on its way: nobody else may use that connection");
                assert_at_rest(&client);
            }
        });
    }
}

#[test]
fn a_server_that_ends_before_the_request_is_all_sent_is_an_error_at_once() {
    // An end, no answer, and nobody reads the rest.
    run_alone(async {
        let server = Script::start(async move |mut peer: Peer| {
            peer.stream.read(&mut [0; 4096]).await.unwrap();
            peer.end();
            sleep(MS(300)).await;
        });
        let client = Client::builder().timeout(Duration::from_secs(5)).build();
        let url = server.url();
        let began = Instant::now();
        let error = client.request("POST", &url).body(vec![b'x'; 10 << 20]).send().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Truncated, "{error}");
        assert!(began.elapsed() < MS(200), "{:?}", began.elapsed());
        until(|| server.open() == 0).await;
    });
}

// ---------------------------------------------------------------------------------------------------------------------
// How many connections, and who comes next.

/// A server that answers in 10 ms, and how many requests it had at one time.
fn slow(most: Rc<Cell<usize>>) -> Script {
    let now = Rc::new(Cell::new(0));
    Script::start(async move |mut peer: Peer| {
        while peer.hear().await.is_some() {
            now.set(now.get() + 1);
            most.set(most.get().max(now.get()));
            sleep(MS(10)).await;
            now.set(now.get() - 1);
            peer.say(HELLO).await;
        }
    })
}

#[test]
fn no_more_connections_than_the_limits_and_those_who_wait_come_in_their_order() {
    for (all, per_host, most) in [(3, 0, 3), (0, 2, 2), (3, 2, 2), (2, 3, 2), (1, 0, 1)] {
        run_alone_paused(async move {
            let at_once = Rc::new(Cell::new(0));
            let server = slow(at_once.clone());
            let client = Client::builder().limit(all).limit_per_host(per_host).build();
            let tasks: Vec<_> = (0..20).map(|n| getting(&client, server.at(&format!("/{n}")))).collect();
            for _ in 0..4 {
                yield_now().await;
            }
            let stats = client.stats();
            assert_eq!((stats.in_use, stats.waiting), (most as u64, 20 - most as u64));
            for task in tasks {
                task.await.unwrap().unwrap();
            }
            let stats = client.stats();
            assert_eq!((at_once.get(), server.connections(), stats.in_use_max), (most, most, most as u64));
            assert_eq!((stats.opened, stats.reused), (most as u64, 20 - most as u64));
            let paths =
                server.heard().iter().map(|request| request.split(' ').nth(1).unwrap().to_owned()).collect::<Vec<_>>();
            assert_eq!(paths, (0..20).map(|n| format!("/{n}")).collect::<Vec<_>>());
        });
    }
}

#[test]
fn limits_per_host_are_each_hosts_own() {
    run_alone_paused(async {
        let (a, b) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
        let servers = [slow(a.clone()), slow(b.clone())];
        let client = Client::builder().limit_per_host(2).build();
        let began = Instant::now();
        let tasks: Vec<_> = (0..20).map(|n| getting(&client, servers[n % 2].url())).collect();
        for task in tasks {
            task.await.unwrap().unwrap();
        }
        assert_eq!((a.get(), b.get(), client.stats().in_use_max), (2, 2, 4));
        assert_eq!(began.elapsed(), MS(50)); // five rounds of four
    });
}

#[test]
fn an_idle_connection_to_one_host_makes_room_for_another_under_the_total_limit() {
    run_alone_paused(async {
        let (a, b) = (parrot(), parrot());
        let client = Client::builder().limit(1).build();
        let began = Instant::now();
        for n in 1..5 {
            body_of(&client, &a.url()).await;
            body_of(&client, &b.url()).await;
            assert_eq!((a.connections(), b.connections()), (n, n));
            some_turns().await;
            assert_eq!((a.open(), b.open()), (0, 1));
        }
        assert_eq!(began.elapsed(), Duration::ZERO, "nobody had to wait for anything");
    });
}

#[test]
fn who_waits_for_room_under_the_total_limit_gets_it_when_another_hosts_connection_falls_idle() {
    run_alone_paused(async {
        let at_once = Rc::new(Cell::new(0));
        let (a, b) = (slow(at_once), parrot());
        let client = Client::builder().limit(1).build();
        let began = Instant::now();
        let first = getting(&client, a.url());
        yield_now().await;
        let second = getting(&client, b.url());
        let third = getting(&client, b.url());
        first.await.unwrap().unwrap();
        second.await.unwrap().unwrap();
        third.await.unwrap().unwrap();
        assert_eq!(began.elapsed(), MS(10), "the second waits for the first and for nothing else");
        assert_eq!((b.connections(), client.stats().opened), (1, 2));
    });
}

#[test]
fn hosts_share_a_total_limit_in_the_order_of_arrival() {
    run_alone_paused(async {
        let order = Rc::new(RefCell::new(Vec::new()));
        let servers: Vec<_> = (0..3)
            .map(|host| {
                let order = order.clone();
                Script::start(async move |mut peer: Peer| {
                    while peer.hear().await.is_some() {
                        order.borrow_mut().push(host);
                        sleep(MS(10)).await;
                        peer.say(HELLO).await;
                    }
                })
            })
            .collect();
        let client = Client::builder().limit(1).build();
        let wanted = [0, 1, 2, 2, 1, 0, 1, 2, 0];
        let tasks: Vec<_> = wanted.iter().map(|host| getting(&client, servers[*host].url())).collect();
        for task in tasks {
            task.await.unwrap().unwrap();
        }
        assert_eq!(*order.borrow(), wanted);
        assert_at_rest(&client);
    });
}

#[test]
fn a_waiter_that_gives_up_leaves_the_line_and_one_that_was_served_passes_it_on() {
    run_alone_paused(async {
        let server = parrot();
        let client = Client::builder().limit(1).build();
        let url = server.url();
        for aborted_before in [true, false] {
            let held = client.get(&url).send().await.unwrap();
            let waiting: Vec<_> = (0..4).map(|_| getting(&client, server.url())).collect();
            yield_now().await;
            yield_now().await;
            assert_eq!(client.stats().waiting, 4);
            // The first two go in the same turn in which the first is served: before that, or after.
            if aborted_before {
                waiting[0].abort();
            }
            drop(held); // all of it has come: the connection is served on at once
            waiting[if aborted_before { 1 } else { 0 }].abort();
            let mut done = Vec::new();
            for task in waiting {
                done.push(task.await.is_ok());
            }
            assert_eq!(done.iter().filter(|done| **done).count(), if aborted_before { 2 } else { 3 });
            assert!(done[2] && done[3]);
            assert_at_rest(&client);
        }
        assert_eq!(server.connections(), 1);
    });
}

#[test]
fn leave_to_open_a_connection_is_passed_on_too() {
    run_alone_paused(async {
        let server = silent();
        let client = Client::builder().limit(1).timeout(None).build();
        let (first, second) = (getting(&client, server.url()), getting(&client, server.url()));
        let (third, _fourth) = (getting(&client, server.url()), getting(&client, server.url()));
        until(|| server.connections() == 1).await;
        first.abort(); // its connection is closed, and the second has leave to open one
        second.abort();
        until(|| server.connections() == 2).await;
        assert_eq!((client.stats().in_use, client.stats().waiting), (1, 1));
        third.abort();
        until(|| server.connections() == 3).await;
    });
}

#[test]
fn idle_connections_are_closed_when_their_time_is_up() {
    run_alone_paused(async {
        let before = open_descriptors();
        let server = parrot();
        let client = Client::builder().limit(0).idle_timeout(Duration::from_secs(15)).build();
        let tasks: Vec<_> = (0..10).map(|_| getting(&client, server.url())).collect();
        for task in tasks {
            task.await.unwrap().unwrap();
        }
        assert_eq!((client.stats().idle, server.open()), (10, 10));
        sleep(Duration::from_secs(14)).await;
        body_of(&client, &server.url()).await; // one of them is young again
        sleep(Duration::from_secs(2)).await;
        assert_eq!((client.stats().idle, server.open()), (1, 1));
        sleep(Duration::from_secs(14)).await;
        some_turns().await;
        assert_eq!((client.stats().idle, server.open()), (0, 0));
        drop(server);
        some_turns().await;
        assert_eq!(open_descriptors(), before);
    });
}

#[test]
fn an_idle_time_out_of_nothing_keeps_nothing() {
    run_alone(async {
        let server = parrot();
        let client = Client::builder().idle_timeout(Duration::ZERO).build();
        for n in 1..4 {
            body_of(&client, &server.url()).await;
            some_turns().await;
            assert_eq!((client.stats().idle, server.connections()), (0, n));
        }
    });
}

#[test]
fn a_client_outlives_its_loop_and_opens_anew_in_the_next() {
    alone(|| {
        let client = Client::new();
        for _ in 0..2 {
            let crank = windlass::Loop::new().unwrap();
            crank.block_on(async {
                let server = parrot();
                body_of(&client, &server.url()).await;
                body_of(&client, &server.url()).await;
            });
        }
        assert_eq!((client.stats().opened, client.stats().reused), (2, 2));
    });
}

#[test]
fn what_idles_when_its_loop_ends_is_closed_also_what_begins_to_only_then() {
    alone(|| {
        let before = open_descriptors();
        let client = Client::new();
        for idle_before in [true, false] {
            let crank = windlass::Loop::new().unwrap();
            crank.block_on(async {
                let server = parrot();
                let (asking, url) = (client.clone(), server.url());
                drop(windlass::spawn(async move {
                    let mut response = asking.get(&url).send().await.unwrap();
                    while response.chunk().await.unwrap().is_some() {}
                    if idle_before {
                        drop(response);
                        return;
                    }
                    pending::<()>().await;
                    drop(response);
                }));
                until(|| client.stats().opened > 0 && client.stats().idle == u64::from(idle_before)).await;
                some_turns().await;
            });
            drop(crank);
            assert_at_rest(&client);
            assert_eq!((client.stats().idle, open_descriptors()), (0, before), "idle before: {idle_before}");
        }
    });
}

#[test]
fn a_response_may_be_dropped_after_its_loop_has_stopped() {
    alone(|| {
        let client = Client::new();
        let crank = windlass::Loop::new().unwrap();
        let response = crank.block_on(async {
            let server = parrot();
            let response = client.get(&server.url()).send().await.unwrap();
            some_turns().await;
            response
        });
        drop(response);
        assert_at_rest(&client);
        assert_eq!(client.stats().idle, 0);
    });
}

// ---------------------------------------------------------------------------------------------------------------------
// Time.

/// Checks that a request to `url` ends at its time-out of 10 s, by the loop's paused clock, with nothing left behind.
async fn times_out(client: &Client, url: &Url, during: &str) {
    let began = Instant::now();
    let error = get(client, url).await.expect_err("no answer ever comes");
    assert_eq!(error.kind(), ErrorKind::TimeoutTotal, "{error}");
    assert!(error.to_string().ends_with(during), "{error}");
    let took = began.elapsed();
    assert!(took >= Duration::from_secs(10) && took < Duration::from_millis(10_001), "{took:?}");
    assert_at_rest(client);
}

fn in_ten_seconds() -> Client {
    Client::builder().limit(1).timeout(Duration::from_secs(10)).build()
}

#[test]
fn nothing_of_a_broken_exchange_reaches_the_next_in_line() {
    run_alone(async {
        let broken = Script::start(async |mut peer: Peer| {
            peer.hear().await;
            peer.say("HTTP/1.1 200 OK\r\nX-First: 1\r\nContent-Length: 99\r\n\r\npart of it").await;
        });
        let whole = Script::start(async |mut peer: Peer| while peer.hear().await.is_some() && peer.say(HELLO).await {});
        let client = Client::builder().limit(1).build();
        let (first, second) = (broken.url(), whole.url());
        for _ in 0..3 {
            let behind_it = async {
                let response = client.get(&second).send().await.unwrap();
                assert_eq!((response.header("x-first"), response.url()), (None, &second));
                response.bytes().await.unwrap()
            };
            let (broke_off, came) = join(get(&client, &first), behind_it).await;
            assert_eq!((broke_off.unwrap_err().kind(), &came[..]), (ErrorKind::Truncated, &b"hello"[..]));
        }
        assert_eq!(client.stats().closed.unfinished, 3);
    });
}

#[test]
fn the_time_out_covers_connecting() {
    run_alone_paused(async {
        let (deaf, _queued) = deaf(ANY).await;
        let url = Url::parse(&format!("http://{}/", deaf.local_addr().unwrap())).unwrap();
        times_out(&in_ten_seconds(), &url, "connecting").await;
    });
}

#[test]
fn the_time_out_covers_the_wait_for_an_answer_and_frees_the_connections_place() {
    run_alone_paused(async {
        let server = silent();
        let client = in_ten_seconds();
        for _ in 0..3 {
            times_out(&client, &server.url(), "waiting for an answer").await;
        }
        some_turns().await;
        assert_eq!((server.connections(), server.open()), (3, 0));
    });
}

#[test]
fn the_time_out_covers_the_wait_for_a_connection() {
    run_alone_paused(async {
        let (server, client) = (parrot(), in_ten_seconds());
        let url = server.url();
        let held = client.get(&url).timeout(None).send().await.unwrap();
        let began = Instant::now();
        let error = get(&client, &url).await.unwrap_err();
        assert_eq!((error.kind(), began.elapsed()), (ErrorKind::TimeoutTotal, Duration::from_secs(10)));
        assert!(error.to_string().ends_with("waiting for a connection"), "{error}");
        assert_eq!((client.stats().in_use, client.stats().waiting), (1, 0));
        drop(held);
        body_of(&client, &server.url()).await;
    });
}

#[test]
fn the_time_out_covers_the_sending_of_a_request_that_nobody_reads() {
    run_alone_paused(async {
        let server = Script::start(async |peer: Peer| {
            sleep(Duration::from_secs(60)).await;
            drop(peer);
        });
        let (client, url) = (in_ten_seconds(), server.url());
        let error = client.request("PUT", &url).body(vec![0; 16 << 20]).send().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimeoutTotal);
        assert!(error.to_string().ends_with("sending the request"), "{error}");
        assert_at_rest(&client);
    });
}

#[test]
fn a_byte_every_900_ms_does_not_put_the_time_out_off() {
    for begin in [
        "HTTP/1.1 200 OK\r\nA: ",
        "HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;",
        "HTTP/1.1 200 OK\r\n\r\n",
    ] {
        run_alone_paused(async move {
            let server = Script::start(async move |mut peer: Peer| {
                peer.hear().await;
                peer.say(begin).await;
                while peer.say("x").await {
                    sleep(MS(900)).await;
                }
            });
            let during = if begin.ends_with("A: ") { "reading the head" } else { "reading the body" };
            times_out(&in_ten_seconds(), &server.url(), during).await;
        });
    }
}

#[test]
fn a_server_that_never_stops_sending_does_not_keep_the_time_out_from_its_turn() {
    run_alone(async {
        let server = endless("HTTP/1.1 200 OK\r\n\r\n", &[b'x'; 65_536]);
        let mut limits = Limits::default();
        limits.body_max = u64::MAX;
        let client = Client::builder().limits(limits).timeout(MS(100)).build();
        let began = Instant::now();
        let error = client.get(&server.url()).send().await.unwrap().drain().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimeoutTotal);
        assert!(began.elapsed() < MS(1_000), "{:?}", began.elapsed());
    });
}

#[test]
fn no_timer_of_an_exchange_outlives_it() {
    // The first one's time-out would fire in the middle of the second.
    run_alone_paused(async {
        let server = Script::start(async |mut peer: Peer| {
            while peer.hear().await.is_some() {
                sleep(MS(30)).await;
                peer.say(HELLO).await;
            }
        });
        let client = Client::builder().timeout(MS(50)).build();
        let fired = windlass::metrics().timers;
        for _ in 0..10 {
            body_of(&client, &server.url()).await;
        }
        assert_eq!(server.connections(), 1);
        assert!(windlass::metrics().timers - fired <= 11, "the server's own and the sweep's");
    });
}

// ---------------------------------------------------------------------------------------------------------------------
// Giving up.

#[test]
fn a_request_dropped_at_any_of_its_waits_leaves_nothing_behind() {
    run_alone(async {
        // Head and body come in pieces, so that there are many waits.
        let server = Script::start(async |mut peer: Peer| {
            while peer.hear().await.is_some() {
                for piece in ["HTTP/1.1 200", " OK\r\n", "Content-Length: 6\r\n\r\n", "he", "ll", "o!"] {
                    peer.say(piece).await;
                    some_turns().await;
                }
            }
        });
        let client = Client::builder().limit(1).build();
        let url = server.url();
        let quiet = open_descriptors();
        let mut polls = 0;
        let body = loop {
            let outcome = poll_at_most(get(&client, &url), polls).await;
            assert_at_rest(&client);
            if let Some(answer) = outcome {
                break answer.unwrap().1;
            }
            assert_eq!(client.stats().idle, 0);
            until(|| server.open() == 0).await;
            assert_eq!(open_descriptors(), quiet, "dropped after {polls} polls");
            polls += 1;
        };
        assert_eq!(body, b"hello!");
        assert!(polls >= 8, "{polls} polls to the end");
        // The same with another request in line, which must get its turn.
        for polls in 0..polls {
            let first = Box::pin(poll_at_most(get(&client, &url), polls));
            let (_, second) = join(first, get(&client, &url)).await;
            assert_eq!(second.unwrap().1, b"hello!", "the first one dropped after {polls} polls");
            assert_at_rest(&client);
        }
    });
}

#[test]
fn a_response_dropped_unread_gives_its_connection_back_if_all_has_come() {
    run_alone(async {
        let server = Script::start(async |mut peer: Peer| {
            while let Some(request) = peer.hear().await {
                let answered = match request.split(' ').nth(1).unwrap() {
                    "/whole" => peer.say(HELLO).await,
                    "/chunked" => {
                        peer.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n").await
                    }
                    "/part" => peer.say("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello").await,
                    "/endless" => {
                        peer.say("HTTP/1.1 200 OK\r\n\r\n").await;
                        while peer.say(&[b'x'; 4096]).await {}
                        false
                    }
                    path => peer.say(reply(path)).await,
                };
                if !answered {
                    return;
                }
            }
        });
        let client = Client::new();
        for (path, kept) in [("/whole", true), ("/chunked", true), ("/part", false), ("/endless", false)] {
            let before = client.stats().opened;
            let url = server.at(path);
            let dropped = client.get(&url).send().await.unwrap();
            drop(dropped);
            assert_at_rest(&client);
            assert_eq!(client.stats().idle, u64::from(kept), "{path}");
            until(|| server.open() == usize::from(kept)).await;
            // The next request gets its own answer.
            assert_eq!(body_of(&client, &server.at("/mine")).await, "/mine");
            assert!(client.stats().opened <= before + 2);
        }
    });
}

#[test]
fn a_chunk_that_is_given_up_is_not_lost() {
    run(async {
        let server = Script::start(async |mut peer: Peer| {
            peer.hear().await;
            peer.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await;
            for n in 0..10 {
                some_turns().await;
                peer.say(format!("1\r\n{n}\r\n")).await;
            }
            peer.say("0\r\nT: x\r\n\r\n").await;
            peer.until_gone().await;
        });
        let client = Client::new();
        let url = server.url();
        let mut response = client.get(&url).send().await.unwrap();
        let mut body = Vec::new();
        loop {
            match poll_at_most(response.chunk(), 1).await {
                None => yield_now().await,
                Some(piece) => match piece.unwrap() {
                    Some(piece) => body.extend_from_slice(piece),
                    None => break,
                },
            }
        }
        assert_eq!(body, b"0123456789");
        assert_eq!(response.trailers().get("t"), Some(&b"x"[..]));
        drop(response);
        assert_eq!(client.stats().idle, 1);
    });
}

#[test]
fn requests_aborted_at_random_leave_the_pool_as_it_was() {
    // With a fixed seed: xorshift64*, Vigna 2016.
    run_alone(async {
        let server = parrot();
        let client = Client::builder().limit(4).build();
        let mut state = 0x0077_696e_646c_6173_u64;
        let mut random = move |n: u64| {
            state ^= state >> 12;
            state ^= state << 25;
            state ^= state >> 27;
            state.wrapping_mul(0x2545_f491_4f6c_dd1d) % n
        };
        for _ in 0..60 {
            let tasks: Vec<_> = (0..12).map(|_| getting(&client, server.url())).collect();
            for task in &tasks {
                for _ in 0..random(40) {
                    yield_now().await;
                }
                if random(2) == 0 {
                    task.abort();
                }
            }
            for task in tasks {
                if let Ok(answered) = task.await {
                    assert_eq!(answered.unwrap().1, b"/");
                }
            }
            assert_at_rest(&client);
            until(|| server.open() == client.stats().idle as usize).await;
        }
        assert!(client.stats().in_use_max <= 4);
    });
}

// ---------------------------------------------------------------------------------------------------------------------
// What we say, and what we say went wrong.

#[test]
fn a_request_is_written_as_it_should_be() {
    run(async {
        let server = parrot();
        let client = Client::new();
        let url = server.at("/a%20b?c=%0d%0a#fragment");
        client.get(&url).header("X-Mine", "y").send().await.unwrap();
        let url = server.url();
        client.request("POST", &url).body("text").send().await.unwrap();
        let heard = server.heard();
        let host = server.address();
        assert!(heard[0].starts_with(&format!("GET /a%20b?c=%0d%0a HTTP/1.1\r\nHost: {host}\r\n")), "{}", heard[0]);
        assert!(heard[0].ends_with("X-Mine: y\r\n\r\n"), "{}", heard[0]);
        assert!(heard[1].starts_with("POST / HTTP/1.1\r\n"), "{}", heard[1]);
        assert!(heard[1].ends_with("Content-Length: 4\r\n\r\ntext"), "{}", heard[1]);
    });
}

#[test]
fn a_request_that_must_not_be_sent_is_refused_before_a_connection_is_touched() {
    run_alone(async {
        let server = parrot();
        let client = Client::new();
        let url = server.url();
        let refused = async |method: &str, name: &str, value: &[u8], body: Option<&str>| {
            let mut request = client.request(method, &url).header(name, value);
            if let Some(body) = body {
                request = request.body(body);
            }
            let error = request.send().await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Other, "{error}");
            assert!(error.to_string().contains("write head: "), "{error}");
        };
        for round in 0..2 {
            for value in [&b"a\r\nX: y"[..], b"a\nb", b"a\0b", b"a\r"] {
                for name in ["X", "Host", "Cookie", "Upgrade", "Content-Type", "Authorization"] {
                    refused("GET", name, value, None).await;
                }
            }
            for name in ["X: y", "", "X ", "X\r\nY", "\u{e4}"] {
                refused("GET", name, b"v", None).await;
            }
            for method in ["GET / HTTP/1.1\r\nX: y\r\n\r\nGET", "G ET", "", "CONNECT"] {
                refused(method, "A", b"b", None).await;
            }
            refused("POST", "Content-Length", b"5", Some("four")).await;
            refused("POST", "Content-Length", b"+4", Some("four")).await;
            refused("POST", "Transfer-Encoding", b"chunked", Some("four")).await;
            assert_at_rest(&client);
            assert_eq!(
                (server.connections(), server.heard().len()),
                (round, round),
                "nothing was sent, nothing closed"
            );
            body_of(&client, &url).await; // now there is an idle connection, and it stays
        }
        assert_eq!(server.connections(), 1);
    });
}

#[test]
fn every_failure_says_what_was_asked_for_and_what_went_wrong() {
    run_alone(async {
        let client = Client::builder().timeout(MS(300)).build();
        let refused = {
            let nobody = TcpListener::bind(ANY).unwrap();
            Url::parse(&format!("http://{}/refused", nobody.local_addr().unwrap())).unwrap()
        };
        let server = Script::start(async |mut peer: Peer| {
            let Some(request) = peer.hear().await else { return };
            match request.split(' ').nth(1).unwrap() {
                "/reset" => peer.reset(),
                "/closed" => {}
                "/mid-body" | "/short" => drop(peer.say("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello").await),
                "/garbage" => drop(peer.say("SSH-2.0-OpenSSH_9.2\r\n").await),
                "/endless" => while peer.say("HTTP/1.1 200 OK\r\n".to_owned() + &"A: b\r\n".repeat(500)).await {},
                _ => peer.until_gone().await,
            }
        });
        let unresolvable = Url::parse("http://name.invalid/").unwrap();
        for (url, kind, why) in [
            (refused, ErrorKind::Connect, "connection refused"),
            (server.at("/reset"), ErrorKind::Reset, "before an answer: connection reset"),
            (server.at("/closed"), ErrorKind::Truncated, "before an answer"),
            (server.at("/mid-body"), ErrorKind::Truncated, "4 bytes early"),
            (server.at("/garbage"), ErrorKind::Protocol, "does not begin with HTTP/1."),
            (server.at("/endless"), ErrorKind::TooLarge, "limit"),
            (server.at("/never"), ErrorKind::TimeoutTotal, "waiting for an answer"),
            (unresolvable, ErrorKind::Resolve, "resolve"),
        ] {
            let client = if kind == ErrorKind::Resolve { &Client::new() } else { &client };
            let error = get(client, &url).await.unwrap_err();
            let text = error.to_string();
            assert_eq!(error.kind(), kind, "{text}");
            assert!(text.starts_with(&format!("get {url}: ")) && text.contains(why), "{text}");
            assert!(!text.contains('\n'), "{text}");
            assert_at_rest(client);
        }
    });
}

#[test]
fn three_hundred_requests_to_servers_of_every_kind_have_the_outcomes_that_were_scripted() {
    // Replies that are good, and faulty in ten ways, all mixed under one limit.
    const FAULTS: [(&str, Result<u16, &str>); 13] = [
        ("/good", Ok(200)),
        ("/reset", Err("reset")),
        ("/stall", Err("timeout_total")),
        ("/truncated", Err("truncated")),
        ("/junk", Err("protocol")),
        ("/interim-flood", Err("too_large")),
        ("/extra", Ok(200)),
        ("/slow", Ok(200)),
        ("/close-on-reuse", Ok(200)),
        ("/close-when-idle", Ok(200)),
        ("/bad-chunk", Err("protocol")),
        ("/wrong-length", Err("protocol")),
        ("/204", Ok(204)),
    ];
    run_alone(async {
        let server = Script::start(async |mut peer: Peer| {
            while let Some(request) = peer.hear().await {
                match request.split(' ').nth(1).unwrap() {
                    "/good" => drop(peer.say(HELLO).await),
                    "/reset" => return peer.reset(),
                    "/stall" => return peer.until_gone().await,
                    "/truncated" => {
                        peer.say("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello").await;
                        return;
                    }
                    "/junk" => drop(peer.say("\0\x01\x02 what is this").await),
                    "/interim-flood" => while peer.say("HTTP/1.1 103 Early Hints\r\n\r\n").await {},
                    "/extra" => drop(peer.say(HELLO.to_owned() + HELLO).await),
                    "/slow" => {
                        for byte in HELLO.as_bytes().chunks(7) {
                            peer.say(byte).await;
                            sleep(MS(1)).await;
                        }
                    }
                    "/close-on-reuse" => {
                        peer.say(HELLO).await;
                        return drop(peer.stream.peek(&mut [0]).await); // hears the next one come, and goes
                    }
                    "/close-when-idle" => {
                        peer.say(HELLO).await;
                        if timeout(MS(2), peer.stream.peek(&mut [0])).await.is_err() {
                            return;
                        }
                    }
                    "/bad-chunk" => drop(peer.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5x\r\n").await),
                    "/wrong-length" => drop(peer.say("HTTP/1.1 200 OK\r\nContent-Length: 5, 6\r\n\r\nhello").await),
                    _ => drop(peer.say("HTTP/1.1 204 No Content\r\n\r\n").await),
                }
            }
        });
        // 23 of the requests stall: there is room for them and for the others.
        let client = Client::builder().limit(40).timeout(MS(1_500)).build();
        let tasks: Vec<_> = (0..300)
            .map(|n| {
                let (path, outcome) = FAULTS[n * 7 % FAULTS.len()];
                (path, outcome, getting(&client, server.at(path)))
            })
            .collect();
        for (path, outcome, task) in tasks {
            let made = task.await.unwrap().map(|(status, _)| status).map_err(|error| error.kind().name());
            assert_eq!(made, outcome, "{path}");
        }
        assert_at_rest(&client);
    });
}

#[test]
fn clients_with_different_limits_do_not_disturb_each_other() {
    run_paused(async {
        let server = parrot();
        let clients: Vec<_> = (1..4).map(|limit| Client::builder().limit(limit).build()).collect();
        let tasks: Vec<_> = (0..30).map(|n| getting(&clients[n % 3], server.url())).collect();
        for task in tasks {
            task.await.unwrap().unwrap();
        }
        let opened: Vec<_> = clients.iter().map(|client| client.stats().opened).collect();
        assert_eq!(opened, [1, 2, 3]);
    });
}
