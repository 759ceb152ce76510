//! Stories about answers that are not the last word: redirects, cookies, codings, and failures that pass.
//!
//! ```text
//!   Town ──┬── one server that answers by path      what it heard is what the story looks at
//!          └── another, on another port             another origin
//! ```
//!
//! As in `http_client`, the servers are scripts on the same loop.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::cell::{Cell, RefCell};
use std::io::Write;
use std::rc::Rc;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use windlass::flow::{Backoff, Jitter, RetryBudget};
use windlass::http::{
    Body, Client, CookieJar, Error, ErrorKind, Follow, Limits, Redirects, Response, Retries, Timeouts, Url,
};
use windlass::time::{Instant, sleep};
use windlass_tests::{Peer, Script, join, run, run_alone, run_alone_paused, run_paused, some_turns};

const MS: fn(u64) -> Duration = Duration::from_millis;

/// A server that answers every request by `answer`, which is told the path and the whole request.
fn town(answer: impl Fn(&str, &str) -> Vec<u8> + 'static) -> Script {
    let answer = Rc::new(answer);
    Script::start(async move |mut peer: Peer| {
        while let Some(request) = peer.hear().await {
            let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
            if !peer.say(answer(&path, &request)).await {
                return;
            }
        }
    })
}

fn answer(status: u16, lines: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let head = format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n{lines}\r\n", body.len());
    [head.as_bytes(), body].concat()
}

fn ok(body: impl AsRef<[u8]>) -> Vec<u8> {
    answer(200, "", body)
}

fn to(status: u16, location: impl std::fmt::Display) -> Vec<u8> {
    answer(status, &format!("Location: {location}\r\n"), "elsewhere")
}

fn following() -> Client {
    Client::builder().redirects(Redirects::up_to(10)).build()
}

async fn get(client: &Client, url: &Url) -> Result<Response, Error> {
    client.get(url).send().await
}

async fn text(response: Result<Response, Error>) -> String {
    String::from_utf8(response.unwrap().bytes().await.unwrap()).unwrap()
}

/// The value of a header in each request heard: all of them, joined.
fn said(script: &Script, name: &str) -> Vec<String> {
    let of = |request: &String| {
        let head = request.split("\r\n\r\n").next().unwrap_or_default();
        let lines = head.lines().skip(1).filter_map(|line| line.split_once(": "));
        let values = lines.filter(|(line, _)| line.eq_ignore_ascii_case(name)).map(|(_, value)| value);
        values.collect::<Vec<_>>().join("|")
    };
    script.heard().iter().map(of).collect()
}

fn request_lines(script: &Script) -> Vec<String> {
    script.heard().iter().map(|request| request.split(" HTTP").next().unwrap().to_owned()).collect()
}

// ---------------------------------------------------------------------------------------------------------------------
// Redirects.

#[test]
fn by_itself_a_client_follows_nothing() {
    run_paused(async {
        let town = town(|_, _| to(302, "/x"));
        let response = get(&Client::new(), &town.url()).await.unwrap();
        assert_eq!((response.status(), response.header("location")), (302, Some(&b"/x"[..])));
        assert_eq!((response.url(), response.history().len()), (&town.url(), 0));
        assert_eq!(town.heard().len(), 1);
    });
}

#[test]
fn so_many_redirects_are_followed_exactly_and_one_more_is_an_error() {
    run_paused(async {
        // From /3 to /2, /1 and /0, which is a page.
        let town = town(|path, _| match path[1..].parse::<u32>().unwrap() {
            0 => ok("here"),
            n => to(301, n - 1),
        });
        for max in [0, 1, 10] {
            let client = Client::builder().redirects(Redirects::up_to(max)).build();
            let before = town.heard().len();
            let response = get(&client, &town.at(&format!("/{max}"))).await.unwrap();
            assert_eq!(
                (response.status(), response.url(), town.heard().len() - before),
                (200, &town.at("/0"), max as usize + 1)
            );
            let asked: Vec<_> =
                response.history().iter().map(|hop| (hop.status, hop.url.target().to_owned())).collect();
            let expected: Vec<_> = (1..=max).rev().map(|n| (301, format!("/{n}"))).collect();
            assert_eq!(asked, expected);
            drop(response);
            let before = town.heard().len();
            let error = get(&client, &town.at(&format!("/{}", max + 1))).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Redirect);
            assert!(error.to_string().contains(&format!("more than {max}")), "{error}");
            assert_eq!(town.heard().len() - before, max as usize + 1);
        }
    });
}

#[test]
fn a_circle_ends() {
    run_paused(async {
        let town = town(|path, _| match path {
            "/self" => to(302, "/self"),
            "/a" => to(307, "/b"),
            _ => to(308, "/a"),
        });
        let client = following();
        for path in ["/self", "/a"] {
            let before = town.heard().len();
            assert_eq!(get(&client, &town.at(path)).await.unwrap_err().kind(), ErrorKind::Redirect);
            assert_eq!(town.heard().len() - before, 11);
        }
        assert_eq!(town.connections(), 1); // what each of them had to say was read
    });
}

#[test]
fn each_status_makes_of_each_method_what_the_rfc_says() {
    run_paused(async {
        let town = town(|path, _| match path.strip_prefix("/to/") {
            Some(status) => to(status.parse().unwrap(), "/there"),
            None => ok(""),
        });
        let client = following();
        let mut seen = Vec::new();
        for status in [301, 302, 303, 307, 308] {
            for method in ["GET", "HEAD", "POST", "PUT"] {
                let url = town.at(&format!("/to/{status}"));
                let mut request = client.request(method, &url).header("X-Mine", "kept");
                if matches!(method, "POST" | "PUT") {
                    request = request
                        .header("Content-Type", "a/b")
                        .header("content-language", "en")
                        .header("TE", "x")
                        .body("hello");
                }
                request.send().await.unwrap().bytes().await.unwrap();
                let last = town.heard().pop().unwrap();
                let (head, body) = last.split_once("\r\n\r\n").unwrap();
                let head = head.to_lowercase();
                assert!(head.contains("x-mine: kept"), "{head}");
                let described =
                    ["content-type", "content-language", "content-length: 5", "te: x"].map(|line| head.contains(line));
                assert!(described == [body == "hello"; 4], "{status} {method}: {last}");
                assert_eq!(head.contains("content-"), body == "hello", "{status} {method}: {last}");
                let now = last.split(' ').next().unwrap().to_owned();
                seen.push(format!("{status} {method} {now}{}", if body.is_empty() { "" } else { "+" }));
            }
        }
        let expected = "301 GET GET|301 HEAD HEAD|301 POST GET|301 PUT PUT+|302 GET GET|302 HEAD HEAD|302 POST GET|302 PUT PUT+|\
                        303 GET GET|303 HEAD HEAD|303 POST GET|303 PUT GET|307 GET GET|307 HEAD HEAD|307 POST POST+|307 PUT PUT+|\
                        308 GET GET|308 HEAD HEAD|308 POST POST+|308 PUT PUT+";
        assert_eq!(seen.join("|"), expected);
    });
}

struct Pieces(Vec<&'static str>);

impl futures_core::Stream for Pieces {
    type Item = std::io::Result<&'static str>;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        std::task::Poll::Ready(self.0.pop().map(Ok))
    }
}

#[test]
fn a_body_that_cannot_be_had_again_is_not_sent_again() {
    run_paused(async {
        let town = Script::start(async |mut peer: Peer| {
            let request = peer.hear().await.unwrap();
            let status = match request.split(" HTTP").next().unwrap() {
                "POST /keep" => 307,
                "POST /drop" => 303,
                _ => 200,
            };
            peer.say(answer(status, "Location: /there\r\nConnection: close\r\n", "")).await;
            peer.until_gone().await; // it does not understand the body
        });
        let client = following();
        let body = || Body::stream(Pieces(vec!["world", "hello "]));
        let url = town.at("/keep");
        let error = client.request("POST", &url).body(body()).send().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Redirect);
        assert!(error.to_string().ends_with("the body cannot be sent again"), "{error}");
        let url = town.at("/drop");
        let response = client.request("POST", &url).body(body()).send().await.unwrap();
        assert_eq!((response.status(), response.url()), (200, &town.at("/there")));
    });
}

#[test]
fn what_is_for_one_origin_does_not_go_to_another_and_does_not_come_back() {
    run_paused(async {
        let foreign = Rc::new(RefCell::new(String::new()));
        let pointer = foreign.clone();
        let home = town(move |path, _| match path {
            "/home" => to(302, "/page"),
            "/away" => to(302, format!("{}b", pointer.borrow())),
            "/round" => to(302, format!("{}back", pointer.borrow())),
            _ => ok(""),
        });
        let back = home.at("/end");
        let abroad = town(move |path, _| match path {
            "/b" => to(307, "/b/2"),
            "/back" => to(307, &back),
            _ => ok(""),
        });
        *foreign.borrow_mut() = abroad.url().to_string();
        let redirects = Redirects::up_to(10).credential("X-Api-Key");
        let client = Client::builder().redirects(redirects).build();
        let secrets = ["Authorization", "Cookie", "Proxy-Authorization", "WWW-Authenticate", "X-Api-Key"];
        let ask = async |path: &str| {
            let url = home.at(path);
            let mut request = client.get(&url).header("X-Mine", "kept").header("Host", "home.example");
            for name in secrets {
                request = request.header(name, "hunter2").header(name.to_lowercase(), "hunter2");
            }
            request.send().await.unwrap().bytes().await.unwrap();
        };
        ask("/home").await;
        ask("/away").await;
        ask("/round").await;
        assert_eq!(request_lines(&home), ["GET /home", "GET /page", "GET /away", "GET /round", "GET /end"]);
        assert_eq!(request_lines(&abroad), ["GET /b", "GET /b/2", "GET /back"]);
        for name in secrets {
            let twice = "hunter2|hunter2";
            assert_eq!(said(&home, name), [twice, twice, twice, twice, ""], "{name}");
        }
        assert!(abroad.heard().iter().all(|request| !request.contains("hunter2")), "{:?}", abroad.heard());
        assert_eq!(
            said(&home, "host"),
            ["home.example", "home.example", "home.example", "home.example", &home.address().to_string()]
        );
        assert_eq!(
            said(&abroad, "host"),
            [abroad.address().to_string(), abroad.address().to_string(), abroad.address().to_string()]
        );
        assert_eq!(said(&abroad, "x-mine"), ["kept", "kept", "kept"]);
        assert_eq!(said(&abroad, "referer"), ["", "", ""]); // nobody is told
    });
}

#[test]
fn a_clients_own_headers_are_credentials_like_others() {
    run_paused(async {
        let abroad = town(|_, _| ok(""));
        let there = abroad.url();
        let home = town(move |_, _| to(302, &there));
        let client = Client::builder().header("Authorization", "hunter2").redirects(Redirects::up_to(1)).build();
        get(&client, &home.url()).await.unwrap();
        assert_eq!(
            (said(&home, "authorization"), said(&abroad, "authorization")),
            (vec!["hunter2".into()], vec![String::new()])
        );
    });
}

#[test]
fn the_caller_is_asked_about_each_redirect_and_may_say_no() {
    run_paused(async {
        let town = town(|path, _| match path {
            "/1" => to(301, "/2"),
            "/2" => to(302, "/3"),
            _ => ok("there"),
        });
        let asked = Rc::new(RefCell::new(Vec::new()));
        let policy = |at_the_second: Follow| {
            let asked = asked.clone();
            Redirects::up_to(10).ask(move |redirect| {
                let (from, to) = (redirect.from.target(), redirect.to.target());
                asked.borrow_mut().push(format!("{}: {} {from} {to}", redirect.number, redirect.status));
                if redirect.number == 2 { at_the_second } else { Follow::Yes }
            })
        };
        let client = Client::new();
        let url = town.at("/1");
        let response = client.get(&url).redirects(policy(Follow::Yes)).send().await;
        assert_eq!(text(response).await, "there");
        assert_eq!(*asked.borrow(), ["1: 301 /1 /2", "2: 302 /2 /3"]);
        let response = client.get(&url).redirects(policy(Follow::No)).send().await.unwrap();
        assert_eq!((response.status(), response.url()), (302, &town.at("/2")));
        drop(response);
        let error = client.get(&url).redirects(policy(Follow::Refuse)).send().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Redirect);
        assert!(error.to_string().starts_with(&format!("get {}: redirect: to ", town.at("/2"))), "{error}");
    });
}

#[test]
fn all_redirects_together_have_the_time_of_one_exchange() {
    run_paused(async {
        let town = Script::start(async |mut peer: Peer| {
            while peer.hear().await.is_some() {
                sleep(MS(400)).await;
                peer.say(to(302, "/on")).await;
            }
        });
        let client = Client::builder().timeout(MS(1_000)).redirects(Redirects::up_to(10)).build();
        let start = Instant::now();
        let error = get(&client, &town.url()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimeoutTotal);
        assert!((MS(1_000)..MS(1_010)).contains(&start.elapsed()), "{:?}", start.elapsed());
        assert_eq!(town.heard().len(), 3);
    });
}

#[test]
fn each_redirect_may_be_waited_for_as_long_as_a_first_answer_may() {
    run_paused(async {
        let town = Script::start(async |mut peer: Peer| {
            while let Some(request) = peer.hear().await {
                sleep(MS(40)).await;
                let is_last = request.starts_with("GET /3 ");
                peer.say(if is_last { ok("there").to_vec() } else { to(302, "3").to_vec() }).await;
            }
        });
        let mut timeouts = Timeouts::none();
        timeouts.first_byte = Some(MS(60));
        let client = Client::builder().timeouts(timeouts).redirects(Redirects::up_to(10)).build();
        let response = client.get(&town.url()).timed().send().await.unwrap();
        assert_eq!(response.timings().unwrap().first_byte, MS(80), "twice as long as each answer took");
        assert_eq!(response.bytes().await.unwrap(), b"there");
        assert_eq!(client.stats().opened, 1);
    });
}

#[test]
fn the_time_may_be_up_within_the_body_of_a_redirect() {
    run_alone_paused(async {
        let town = Script::start(async |mut peer: Peer| {
            peer.hear().await;
            peer.say("HTTP/1.1 302 X\r\nContent-Length: 5\r\nLocation: /end\r\n\r\n").await;
            peer.until_gone().await;
        });
        let client = Client::builder().timeout(MS(50)).redirects(Redirects::up_to(10)).build();
        let start = Instant::now();
        let error = get(&client, &town.url()).await.unwrap_err();
        assert_eq!((error.kind(), start.elapsed()), (ErrorKind::TimeoutTotal, MS(50)));
        assert_eq!(error.to_string(), format!("get {}: timed out: reading the body", town.url()));
    });
}

#[test]
fn the_rate_is_measured_anew_after_a_redirect() {
    run_paused(async {
        let town = Script::start(async |mut peer: Peer| {
            peer.hear().await;
            peer.say(&to(302, "/on")[..20]).await;
            sleep(MS(100)).await;
            peer.say(&to(302, "/on")[20..]).await;
            peer.hear().await;
            for byte in ok("slow") {
                sleep(MS(10)).await;
                peer.say([byte]).await;
            }
        });
        let mut timeouts = Timeouts::default();
        timeouts.min_rate = Some((10, MS(200)));
        let client = Client::builder().timeouts(timeouts).redirects(Redirects::up_to(10)).build();
        // When 200 ms are over, 20 bytes had come in the first read of all, and 10 since the redirect.
        assert_eq!(text(get(&client, &town.url()).await).await, "slow");
    });
}

#[test]
fn a_redirects_body_is_read_if_it_is_short_and_left_if_it_is_not() {
    run_alone_paused(async {
        let town = Script::start(async |mut peer: Peer| {
            while let Some(request) = peer.hear().await {
                let path = request.split(' ').nth(1).unwrap().to_owned();
                let sent = match &*path {
                    "/late" => {
                        let whole = to(302, "/end");
                        peer.say(&whole[..whole.len() - 5]).await;
                        sleep(MS(50)).await;
                        peer.say(&whole[whole.len() - 5..]).await
                    }
                    "/long" => peer.say(answer(302, "Location: /end\r\n", vec![b'x'; 500_000])).await,
                    "/never" => peer.say("HTTP/1.1 302 X\r\nContent-Length: 5\r\nLocation: /end\r\n\r\n").await,
                    _ => peer.say(ok("end")).await,
                };
                if !sent {
                    return;
                }
            }
        });
        let client = following();
        for (path, connections, within) in [("/late", 1, 60), ("/long", 2, 60), ("/never", 3, 110)] {
            let start = Instant::now();
            assert_eq!(text(get(&client, &town.at(path)).await).await, "end");
            assert!(start.elapsed() < MS(within), "{path}: {:?}", start.elapsed());
            assert_eq!(town.connections(), connections, "{path}");
        }
    });
}

// ---------------------------------------------------------------------------------------------------------------------
// Cookies.

#[test]
fn cookies_are_taken_from_redirects_too_and_sent_to_whom_they_belong() {
    run_paused(async {
        let town = town(|path, _| match path {
            "/login" => answer(
                303,
                "Location: /in/home\r\nSet-Cookie: session=1; Path=/in\r\nSet-Cookie: evil=1; Domain=example.com\r\n",
                "",
            ),
            "/in/out" => answer(302, "Location: /in/home\r\nSet-Cookie: session=; Path=/in; Max-Age=0\r\n", ""),
            _ => ok(""),
        });
        let jar = CookieJar::new();
        let client = Client::builder().redirects(Redirects::up_to(10)).cookies(&jar).build();
        for path in ["/login", "/", "/in/x", "/in/out"] {
            get(&client, &town.at(path)).await.unwrap();
        }
        assert_eq!(
            request_lines(&town)
                .into_iter()
                .zip(said(&town, "cookie"))
                .map(|(line, cookie)| format!("{line} {cookie}"))
                .collect::<Vec<_>>(),
            [
                "GET /login ",
                "GET /in/home session=1",
                "GET / ",
                "GET /in/x session=1",
                "GET /in/out session=1",
                "GET /in/home "
            ]
        );
        assert_eq!(jar.cookies_for(&town.at("/in/")), None);
    });
}

#[test]
fn the_callers_own_cookie_goes_out_instead_and_only_as_far_as_its_origin() {
    run_paused(async {
        let abroad = town(|_, _| ok(""));
        let there = abroad.url();
        let home = town(move |path, _| if path == "/" { to(302, "/2") } else { to(302, &there) });
        let jar = CookieJar::new();
        jar.set(&home.url(), "jar=1").unwrap();
        let client = Client::builder().redirects(Redirects::up_to(10)).cookies(&jar).build();
        client.get(&home.url()).header("Cookie", "mine=1").send().await.unwrap();
        assert_eq!(said(&home, "cookie"), ["mine=1", "mine=1"]);
        assert_eq!(said(&abroad, "cookie"), ["jar=1"]); // ports are no border to the jar (RFC 6265 8.5)
    });
}

// ---------------------------------------------------------------------------------------------------------------------
// Codings.

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap()
}

fn decoding() -> Client {
    Client::builder().decode().build()
}

#[test]
fn a_coded_body_is_undone_and_its_headers_stay_as_they_came() {
    run_paused(async {
        let town = town(|path, _| match path {
            "/gzip" => answer(200, "Content-Encoding: gzip\r\n", gzip(b"hello hello hello hello hello hello")),
            "/part" => answer(206, "Content-Encoding: gzip\r\nContent-Range: bytes 0-1/9\r\n", b"\x1f\x8b"),
            "/other" => answer(200, "Content-Encoding: compress\r\n", b"\x1f\x9d"),
            "/two" => answer(200, "Content-Encoding: gzip, gzip\r\n", b"\x1f\x8b"),
            "/empty" => answer(200, "Content-Encoding: gzip\r\n", b""),
            "/short" => answer(200, "Content-Encoding: gzip\r\n", &gzip(b"hello")[..20]),
            "/wrong" => answer(200, "Content-Encoding: gzip\r\n", b"<html>"),
            "/there" => to(302, "/gzip"),
            _ => ok("plain"),
        });
        let client = decoding();
        let body = async |path: &str| {
            let response = client.get(&town.at(path)).redirects(Redirects::up_to(1)).send().await;
            response?.bytes().await
        };
        let mut response = get(&client, &town.at("/gzip")).await.unwrap();
        let coded = gzip(b"hello hello hello hello hello hello");
        assert_eq!(response.header("content-encoding"), Some(&b"gzip"[..]));
        assert_eq!(response.header("content-length"), Some(coded.len().to_string().as_bytes()));
        assert_eq!(response.chunk().await.unwrap(), Some(&b"hello hello hello hello hello hello"[..]));
        for _ in 0..2 {
            assert_eq!(response.chunk().await.unwrap(), None);
        }
        assert_eq!(response.decoded(), Some((coded.len() as u64, 35)));
        drop(response);
        assert_eq!(body("/there").await.unwrap(), b"hello hello hello hello hello hello");
        assert_eq!(body("/part").await.unwrap(), b"\x1f\x8b");
        assert_eq!(body("/other").await.unwrap(), b"\x1f\x9d");
        assert_eq!(body("/empty").await.unwrap(), b"");
        assert_eq!(body("/plain").await.unwrap(), b"plain");
        assert_eq!(body("/two").await.unwrap_err().kind(), ErrorKind::Protocol);
        assert_eq!(body("/wrong").await.unwrap_err().kind(), ErrorKind::Protocol);
        let error = body("/short").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Truncated);
        assert_eq!(error.to_string(), format!("get {}: body: it ends before its gzip does", town.at("/short")));
        let url = town.at("/two");
        assert_eq!(client.head(&url).send().await.unwrap().status(), 200);
        let raw = client.get(&town.at("/gzip")).as_it_comes().send().await.unwrap();
        assert_eq!((raw.decoded(), raw.bytes().await.unwrap()), (None, coded));
    });
}

#[test]
fn what_is_wanted_as_it_comes_over_the_wire_is_not_undone() {
    run_alone(async {
        let wire = "4\r\nxxxx\r\n0\r\n\r\n";
        let head = "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n";
        let town = town(move |_, _| format!("{head}{wire}").into_bytes());
        let client = Client::builder().decode().build();
        assert_eq!(text(client.get(&town.url()).raw().send().await).await, wire);
    });
}

#[test]
fn a_coded_body_that_comes_in_pieces_with_pauses_between_them_is_undone() {
    run(async {
        let body: Vec<u8> = (0..10_000u32).map(|n| (n * n % 251) as u8).collect();
        let reply = answer(200, "Content-Encoding: gzip\r\n", gzip(&body));
        let script = Script::start(async move |mut peer: Peer| {
            peer.hear().await;
            for piece in reply.chunks(reply.len() / 10) {
                peer.say(piece).await;
                some_turns().await;
            }
        });
        assert!(get(&decoding(), &script.url()).await.unwrap().bytes().await.unwrap() == body);
    });
}

#[test]
fn codings_are_asked_for_by_who_undoes_them_and_by_nobody_else() {
    run_paused(async {
        let town = town(|_, _| ok(""));
        let url = town.url();
        for client in [Client::new(), decoding()] {
            client.get(&url).send().await.unwrap();
            client.get(&url).header("accept-encoding", "br").send().await.unwrap();
            client.get(&url).header("Range", "bytes=0-1").send().await.unwrap();
        }
        assert_eq!(said(&town, "accept-encoding"), ["", "br", "", "gzip, deflate, br, zstd", "br", ""]);
    });
}

/// A gzip head and a megabyte of zeros, and one more that may come as often as wanted: its blocks end on bytes, so that it
/// can follow itself.
fn zeros() -> (Vec<u8>, Vec<u8>) {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(&vec![0; 1 << 20]).unwrap();
    encoder.flush().unwrap();
    let first = encoder.get_ref().len();
    encoder.write_all(&vec![0; 1 << 20]).unwrap();
    encoder.flush().unwrap();
    let all = encoder.get_ref().clone();
    (all[..first].to_vec(), all[first..].to_vec())
}

/// Resident memory of this process, in bytes.
fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
}

// Ten gigabytes are on offer. What is taken of them is what the limits allow.
#[test]
fn a_bomb_ends_at_the_limit_and_takes_little_memory() {
    run_alone(async {
        let offered = Rc::new(Cell::new(0_u64));
        let count = offered.clone();
        let (head, megabyte) = zeros();
        let town = Script::start(async move |mut peer: Peer| {
            peer.hear().await;
            peer.say("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nConnection: close\r\n\r\n").await;
            peer.say(&head).await;
            while count.get() < 10 << 30 && peer.say(&megabyte).await {
                count.set(count.get() + (1 << 20));
            }
        });
        let before = resident();
        let error = get(&decoding(), &town.url()).await.unwrap().bytes().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TooLarge);
        assert!(error.to_string().contains("more than 100 times its size"), "{error}");
        let mut limits = Limits::default();
        limits.ratio_max = u64::MAX;
        let lax = Client::builder().decode().limits(limits).build();
        let mut response = get(&lax, &town.url()).await.unwrap();
        let error = loop {
            match response.chunk().await {
                Ok(piece) => assert!(piece.unwrap().len() <= 32 * 1024),
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), ErrorKind::TooLarge);
        assert!(error.to_string().contains("more than 10485760 bytes"), "{error}");
        let grown = resident().saturating_sub(before);
        assert!(grown < 16 << 20, "{grown} bytes more, {} offered", offered.get());
        assert!(offered.get() < 10 << 30, "nobody took all of it");
    });
}

#[test]
fn a_large_body_leaves_the_loop_to_others() {
    run(async {
        let town = town(|_, _| answer(200, "Content-Encoding: gzip\r\n", gzip(&vec![0; 8 << 20])));
        let mut limits = Limits::default();
        limits.ratio_max = u64::MAX;
        let client = Client::builder().decode().limits(limits).build();
        let mut response = get(&client, &town.url()).await.unwrap();
        let (turns, done) = (Cell::new(0), Cell::new(false));
        let read = async {
            let mut len = 0;
            while let Some(piece) = response.chunk().await.unwrap() {
                len += piece.len();
            }
            done.set(true);
            len
        };
        let others = async {
            while !done.get() {
                windlass::task::yield_now().await;
                turns.set(turns.get() + 1);
            }
        };
        let (len, ()) = join(read, others).await;
        assert_eq!(len, 8 << 20);
        assert!(turns.get() >= (8 << 20) / (16 * 32 * 1024), "{} turns", turns.get());
    });
}

// ---------------------------------------------------------------------------------------------------------------------
// Trying again.

/// Answers these one after the other, and the last one for ever.
fn in_turn(answers: Vec<Vec<u8>>) -> Script {
    let at = Cell::new(0);
    town(move |_, _| {
        let now = at.get().min(answers.len() - 1);
        at.set(at.get() + 1);
        answers[now].clone()
    })
}

fn busy(lines: &str) -> Vec<u8> {
    answer(503, lines, "busy")
}

fn steady() -> Backoff {
    Backoff::exponential(MS(100), MS(1_000)).jitter(Jitter::None)
}

fn trying(retries: Retries) -> Client {
    Client::builder().retries(retries.backoff(steady())).build()
}

#[test]
fn a_failure_that_passes_is_tried_again_with_longer_and_longer_delays() {
    run_paused(async {
        let town = in_turn(vec![busy(""), busy(""), busy(""), ok("at last")]);
        let log = Rc::new(RefCell::new(Vec::new()));
        let noted = log.clone();
        let retries = Retries::new(4).on_failure(move |failed| {
            let error = failed.error.unwrap();
            noted.borrow_mut().push(format!("{} {error} {:?} {:?}", failed.attempt, error.kind(), failed.retry_in));
        });
        let client = trying(retries);
        let start = Instant::now();
        assert_eq!(text(get(&client, &town.url()).await).await, "at last");
        assert!((MS(700)..MS(720)).contains(&start.elapsed()), "{:?}", start.elapsed());
        let expected = [
            "1/4 status 503 Status Some(100ms)",
            "2/4 status 503 Status Some(200ms)",
            "3/4 status 503 Status Some(400ms)",
        ];
        assert_eq!(*log.borrow(), expected);
        assert_eq!(town.connections(), 1); // a short answer leaves its connection to the next attempt
    });
}

#[test]
fn what_the_last_attempt_came_to_is_what_the_caller_gets() {
    run_paused(async {
        let town = in_turn(vec![busy("")]);
        let client = trying(Retries::new(3));
        let response = get(&client, &town.url()).await.unwrap();
        assert_eq!((response.status(), town.heard().len()), (503, 3));
        assert_eq!(response.bytes().await.unwrap(), b"busy");
        let broken = Script::start(async |mut peer: Peer| {
            peer.hear().await;
            peer.reset();
        });
        let error = get(&client, &broken.url()).await.unwrap_err();
        assert_eq!((error.kind(), broken.heard().len()), (ErrorKind::Reset, 3));
        assert!(error.to_string().starts_with(&format!("get {}: ", broken.url())), "{error}");
    });
}

#[test]
fn a_table_of_statuses_and_methods_says_what_is_tried_again() {
    run_paused(async {
        let asked = async |status: u16, method: &str, retries: Retries| {
            let town = in_turn(vec![answer(status, "", "")]);
            trying(retries).request(method, &town.url()).send().await.unwrap();
            town.heard().len()
        };
        for status in [200, 204, 304, 400, 401, 403, 404, 408, 425, 429, 500, 501, 502, 503, 504, 505] {
            let again = matches!(status, 408 | 429 | 500 | 502 | 503 | 504);
            assert_eq!(asked(status, "GET", Retries::new(2)).await, 1 + usize::from(again), "{status}");
        }
        for (method, times) in
            [("HEAD", 2), ("PUT", 2), ("DELETE", 2), ("OPTIONS", 2), ("POST", 1), ("PATCH", 1), ("X", 1)]
        {
            assert_eq!(asked(503, method, Retries::new(2)).await, times, "{method}");
            assert_eq!(asked(503, method, Retries::new(2).any_method()).await, 2, "{method}");
        }
        assert_eq!(asked(404, "GET", Retries::new(2).statuses(&[404])).await, 2);
        assert_eq!(asked(503, "GET", Retries::new(2).statuses(&[404])).await, 1);
    });
}

#[test]
fn malformed_answers_and_bad_redirects_are_not_tried_again() {
    run_paused(async {
        for sent in
            [b"HTTP/1.1 banana\r\n\r\n".to_vec(), to(302, "javascript:alert(1)"), busy("Content-Length: 99\r\n")]
        {
            let town = in_turn(vec![sent]);
            let client = Client::builder().redirects(Redirects::up_to(3)).retries(Retries::new(3)).build();
            get(&client, &town.url()).await.unwrap_err();
            assert_eq!(town.heard().len(), 1);
        }
    });
}

#[test]
fn retry_after_is_heeded_as_far_as_the_policy_lets_it() {
    run_paused(async {
        for (value, waited) in [
            ("7", MS(7_000)),
            ("99999999999", MS(60_000)),
            ("99999999999999999999999", MS(60_000)),
            ("Fri, 31 Dec 9999 23:59:59 GMT", MS(60_000)),
            ("0", MS(100)),
            ("-1", MS(100)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", MS(100)),
            ("garbage", MS(100)),
        ] {
            let town = in_turn(vec![busy(&format!("Retry-After: {value}\r\n")), ok("")]);
            let start = Instant::now();
            get(&trying(Retries::new(2)), &town.url()).await.unwrap();
            let elapsed = start.elapsed();
            assert!(waited <= elapsed && elapsed < waited + MS(20), "{value}: {elapsed:?}");
        }
        let town = in_turn(vec![busy("Retry-After: 7\r\n"), ok("")]);
        let start = Instant::now();
        get(&trying(Retries::new(2).retry_after_max(MS(500))), &town.url()).await.unwrap();
        assert!(start.elapsed() < MS(520));
    });
}

// With one connection in all, a host that fails would keep out everybody else.
#[test]
fn who_backs_off_holds_no_connection() {
    run_alone_paused(async {
        let (failing, breaking, fine) = (
            in_turn(vec![busy("Retry-After: 30\r\n"), ok("at last")]),
            Script::start(async |mut peer: Peer| {
                peer.hear().await;
                if peer.number == 0 {
                    return peer.reset();
                }
                peer.say(ok("at last")).await;
            }),
            town(|_, _| ok("at once")),
        );
        let retries = Retries::new(2).backoff(Backoff::constant(MS(30_000)));
        let client = Client::builder().limit(1).retries(retries).build();
        for url in [failing.url(), breaking.url()] {
            let start = Instant::now();
            let slow = async {
                assert_eq!(text(get(&client, &url).await).await, "at last");
                start.elapsed()
            };
            let quick = async {
                sleep(MS(1_000)).await; // the other backs off by now
                let stats = client.stats();
                assert_eq!((stats.in_use, stats.waiting), (0, 0));
                assert_eq!(text(get(&client, &fine.url()).await).await, "at once");
                start.elapsed()
            };
            let (slow, quick) = join(slow, quick).await;
            assert!(quick < MS(1_100) && slow >= MS(30_000), "{quick:?} {slow:?}");
        }
    });
}

#[test]
fn attempts_have_a_time_of_their_own_and_all_of_them_together() {
    run_paused(async {
        let silent = Script::start(async |mut peer: Peer| peer.until_gone().await);
        let retries = Retries::new(10).attempt_timeout(MS(1_000));
        let client = Client::builder().timeout(MS(5_000)).retries(retries.backoff(Backoff::constant(MS(500)))).build();
        let start = Instant::now();
        let error = get(&client, &silent.url()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimeoutTotal);
        // 0 to 1, 1.5 to 2.5, 3 to 4, 4.5 to 5.
        assert!((MS(5_000)..MS(5_020)).contains(&start.elapsed()), "{:?}", start.elapsed());
        assert_eq!(silent.heard().len(), 4);
        let town = in_turn(vec![busy("Retry-After: 6\r\n")]);
        let start = Instant::now();
        assert_eq!(get(&client, &town.url()).await.unwrap().status(), 503);
        assert!(start.elapsed() < MS(20)); // the next would have come too late
    });
}

#[test]
fn retries_are_paid_from_a_budget() {
    run_paused(async {
        let town = in_turn(vec![busy("")]);
        let budget = RetryBudget::new(10, 2);
        let client = trying(Retries::new(3).budget(&budget));
        for _ in 0..10 {
            assert_eq!(get(&client, &town.url()).await.unwrap().status(), 503);
        }
        assert_eq!((town.heard().len(), budget.stats().retries), (12, 2));
    });
}

// The chain of redirects takes things off the request, and the next attempt begins where the first one did.
#[test]
fn every_attempt_is_the_whole_request_again() {
    run_paused(async {
        let abroad = in_turn(vec![busy(""), ok("done")]);
        let there = abroad.url();
        let home = town(move |_, _| to(303, &there));
        let retries = Retries::new(2).backoff(steady());
        let client = Client::builder().redirects(Redirects::up_to(3)).retries(retries).build();
        let url = home.url();
        let request =
            client.request("PUT", &url).header("Authorization", "hunter2").header("Content-Type", "a/b").body("hello");
        let response = request.send().await.unwrap();
        assert_eq!((response.status(), response.history().len()), (200, 1));
        assert_eq!(request_lines(&home), ["PUT /", "PUT /"]);
        assert_eq!(
            (said(&home, "authorization"), said(&home, "content-type")),
            (vec!["hunter2".into(); 2], vec!["a/b".into(); 2])
        );
        assert!(home.heard().iter().all(|request| request.ends_with("\r\n\r\nhello")));
        assert_eq!(request_lines(&abroad), ["GET /", "GET /"]);
        assert!(abroad.heard().iter().all(|request| !request.contains("hunter2") && !request.contains("hello")));
    });
}

#[test]
fn a_body_that_cannot_be_had_again_is_no_reason_to_try_again() {
    run_paused(async {
        let town = Script::start(async |mut peer: Peer| {
            peer.hear().await;
            peer.say(busy("Connection: close\r\n")).await;
            peer.until_gone().await;
        });
        let body = Body::stream(Pieces(vec!["hello"]));
        let url = town.url();
        let response = trying(Retries::new(3)).request("PUT", &url).body(body).send().await.unwrap();
        assert_eq!((response.status(), town.connections()), (503, 1));
    });
}
