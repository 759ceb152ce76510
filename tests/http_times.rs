//! Stories about how long the HTTP client waits, for what, and how long it keeps a connection.
//!
//! The clock is paused: an exchange takes as long as its time-out to the nanosecond, or the story fails.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::time::Duration;

use windlass::http::{Client, ClientBuilder, ErrorKind, Timeouts, Url};
use windlass::time::{Instant, sleep};
use windlass_tests::{ANY, Peer, Script, deaf, run_alone, run_alone_paused, run_paused, some_turns, until};

const MS: fn(u64) -> Duration = Duration::from_millis;
const SECONDS: fn(u64) -> Duration = Duration::from_secs;
const HELLO: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

fn server() -> Script {
    Script::start(async |mut peer: Peer| while peer.hear().await.is_some() && peer.say(HELLO).await {})
}

/// A client with time-outs of which none but those that `set` sets is there.
fn client(set: impl FnOnce(&mut Timeouts)) -> Client {
    let mut timeouts = Timeouts::none();
    set(&mut timeouts);
    Client::builder().timeouts(timeouts).build()
}

/// What becomes of a GET, and after how long.
async fn get(client: &Client, url: &Url) -> (Result<Vec<u8>, (ErrorKind, String)>, Duration) {
    let began = Instant::now();
    let outcome = async { client.get(url).send().await?.bytes().await }.await;
    (outcome.map_err(|error| (error.kind(), error.to_string())), began.elapsed())
}

async fn times_out(client: &Client, url: &Url, kind: ErrorKind, words: &str, after: Duration) {
    let (outcome, took) = get(client, url).await;
    let (is, text) = outcome.unwrap_err();
    assert_eq!((is, took), (kind, after), "{text}");
    assert!(text.ends_with(words), "{text}");
    assert_eq!((client.stats().in_use, client.stats().waiting), (0, 0));
}

// ---------------------------------------------------------------------------------------------------------------------
// How long it waits.

#[test]
fn a_connection_that_nobody_takes_in_times_out_connecting() {
    run_alone_paused(async {
        let (deaf, _queued) = deaf(ANY).await;
        let url = Url::parse(&format!("http://{}/", deaf.local_addr().unwrap())).unwrap();
        let client = client(|timeouts| timeouts.connect = Some(SECONDS(3)));
        times_out(&client, &url, ErrorKind::TimeoutConnect, "timed out: connecting", SECONDS(3)).await;
    });
}

#[test]
fn a_server_that_hears_and_says_nothing_times_out_waiting_for_an_answer() {
    run_alone_paused(async {
        let server = Script::start(async |mut peer: Peer| peer.until_gone().await);
        let client = client(|timeouts| {
            timeouts.first_byte = Some(SECONDS(7));
            timeouts.read = Some(SECONDS(2)); // is shorter, and not meant
        });
        times_out(&client, &server.url(), ErrorKind::TimeoutRead, "timed out: waiting for an answer", SECONDS(7)).await;
        times_out(&client, &server.url(), ErrorKind::TimeoutRead, "timed out: waiting for an answer", SECONDS(7)).await;
    });
}

#[test]
fn a_limit_of_no_time_for_one_phase_leaves_the_others_theirs() {
    run_alone_paused(async {
        let server = Script::start(async |mut peer: Peer| peer.until_gone().await);
        for least in [Duration::ZERO, Duration::from_nanos(1)] {
            let client = client(|timeouts| {
                timeouts.resolve = Some(least); // an address needs no resolver
                timeouts.first_byte = Some(SECONDS(7));
            });
            let words = "timed out: waiting for an answer";
            times_out(&client, &server.url(), ErrorKind::TimeoutRead, words, SECONDS(7)).await;
        }
    });
}

#[test]
fn the_wait_for_a_connection_is_not_the_wait_for_an_answer() {
    run_alone_paused(async {
        let server = Script::start(async |mut peer: Peer| {
            while peer.hear().await.is_some() {
                sleep(SECONDS(6)).await;
                peer.say(HELLO).await;
            }
        });
        let mut timeouts = Timeouts::none();
        timeouts.first_byte = Some(SECONDS(7));
        let client = Client::builder().limit(1).timeouts(timeouts).build();
        let url = server.url();
        let all: Vec<_> = (0..5).map(|_| get(&client, &url)).collect();
        let took: Vec<_> = windlass::task::join(all.into_iter().collect::<Vec<_>>()).await;
        for (nth, (outcome, took)) in took.into_iter().enumerate() {
            assert_eq!((outcome.unwrap(), took), (b"hello".to_vec(), SECONDS(6) * (nth as u32 + 1)));
        }
    });
}

#[test]
fn silence_within_an_answer_times_out_where_it_began() {
    run_alone_paused(async {
        for (begin, words) in [
            ("HTTP/1.1 200 OK\r\nA: ", "timed out: reading the head"),
            ("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc", "timed out: reading the body"),
            ("HTTP/1.1 200 OK\r\n\r\nabc", "timed out: reading the body"),
        ] {
            let server = Script::start(async move |mut peer: Peer| {
                peer.hear().await;
                sleep(SECONDS(9)).await; // longer than it may be silent later
                peer.say(begin).await;
                sleep(SECONDS(3)).await;
                peer.say("d").await;
                peer.until_gone().await;
            });
            let client = client(|timeouts| timeouts.read = Some(SECONDS(4)));
            times_out(&client, &server.url(), ErrorKind::TimeoutRead, words, SECONDS(9 + 3 + 4)).await;
        }
    });
}

#[test]
fn a_slow_answer_that_never_stops_is_no_silence() {
    run_paused(async {
        let server = Script::start(async |mut peer: Peer| {
            peer.hear().await;
            for piece in HELLO.split_inclusive(' ') {
                sleep(SECONDS(3)).await;
                peer.say(piece).await;
            }
        });
        let client = client(|timeouts| timeouts.read = Some(SECONDS(4)));
        let (outcome, took) = get(&client, &server.url()).await;
        assert_eq!((outcome.unwrap(), took), (b"hello".to_vec(), SECONDS(12)));
    });
}

#[test]
fn a_request_that_nobody_takes_times_out_sending() {
    run_alone_paused(async {
        let server = Script::start(async |peer: Peer| {
            sleep(SECONDS(600)).await;
            drop(peer);
        });
        let client = client(|timeouts| timeouts.read = Some(SECONDS(5)));
        let url = server.url();
        let error = client.request("PUT", &url).body(vec![0; 16 << 20]).send().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimeoutRead);
        assert!(error.to_string().ends_with("timed out: sending the request"), "{error}");
    });
}

#[test]
fn an_answer_slower_than_the_least_rate_ends_with_the_first_stretch_in_which_it_was() {
    run_alone_paused(async {
        let server = Script::start(async |mut peer: Peer| {
            peer.hear().await;
            peer.say("HTTP/1.1 200 OK\r\n\r\n").await;
            for second in 0.. {
                sleep(SECONDS(1)).await;
                // 100 bytes a second for 25 seconds, then one.
                if !peer.say(vec![b'x'; if second < 25 { 100 } else { 1 }]).await {
                    return;
                }
            }
        });
        let client = client(|timeouts| timeouts.min_rate = Some((900, SECONDS(10))));
        let (outcome, took) = get(&client, &server.url()).await;
        let (kind, text) = outcome.unwrap_err();
        assert_eq!((kind, took), (ErrorKind::TimeoutRead, SECONDS(30)), "{text}");
        assert!(text.ends_with("reading: less than 900 bytes in 10s"), "{text}");
    });
}

#[test]
fn the_total_counts_from_the_beginning_whatever_else_has_fired() {
    run_alone_paused(async {
        let server = Script::start(async |mut peer: Peer| {
            peer.hear().await;
            peer.say("HTTP/1.1 200 OK\r\n\r\n").await;
            while peer.say("x").await {
                sleep(MS(900)).await;
            }
        });
        let client = client(|timeouts| {
            timeouts.total = Some(SECONDS(60));
            timeouts.read = Some(MS(1_100));
            timeouts.connect = Some(MS(70));
        });
        let body = "timed out: reading the body";
        times_out(&client, &server.url(), ErrorKind::TimeoutTotal, body, SECONDS(60)).await;
    });
}

#[test]
fn a_request_may_have_time_outs_of_its_own() {
    run_alone_paused(async {
        let server = Script::start(async |mut peer: Peer| peer.until_gone().await);
        let client = client(|timeouts| timeouts.total = Some(SECONDS(60)));
        let mut own = Timeouts::none();
        own.first_byte = Some(SECONDS(1));
        let (began, url) = (Instant::now(), server.url());
        let error = client.get(&url).timeouts(own).send().await.unwrap_err();
        assert_eq!((error.kind(), began.elapsed()), (ErrorKind::TimeoutRead, SECONDS(1)));
    });
}

#[test]
fn no_phase_ends_before_its_time_whatever_the_others_are() {
    let seed = 20_261_123;
    let mut random = fastrand_like(seed);
    run_alone_paused(async {
        println!("seed {seed}");
        for _ in 0..200 {
            let [first, between, total, think, pause, pieces] = [1, 1, 1, 1, 1, 1].map(|least| least + random() % 40);
            let server = Script::start(async move |mut peer: Peer| {
                peer.hear().await;
                sleep(MS(think)).await;
                peer.say(format!("HTTP/1.1 200 OK\r\nContent-Length: {pieces}\r\n\r\n")).await;
                for _ in 0..pieces {
                    sleep(MS(pause)).await;
                    if !peer.say("x").await {
                        return;
                    }
                }
                peer.until_gone().await;
            });
            let client = client(|timeouts| {
                timeouts.first_byte = Some(MS(first));
                timeouts.read = Some(MS(between));
                timeouts.total = Some(MS(total * 10));
            });
            let (outcome, took) = get(&client, &server.url()).await;
            let whole = think + pause * pieces;
            // What is due at the same moment as a time-out may come first or not.
            let mut ends = vec![(total * 10, "timeout_total"), (whole, "ok")];
            ends.extend((think >= first).then_some((first, "timeout_read")));
            ends.extend((think <= first && pause >= between).then_some((think + between, "timeout_read")));
            let earliest = ends.iter().map(|(at, _)| *at).min().unwrap();
            let is = outcome.as_ref().map_or_else(|(kind, _)| kind.name(), |_| "ok");
            let words = format!("{first} {between} {total} {think} {pause} {pieces}: {outcome:?} {took:?}");
            assert!(took >= MS(earliest), "{words}");
            if !(think == first || pause == between || whole == total * 10) {
                assert!(ends.contains(&(took.as_millis() as u64, is)) && took == MS(earliest), "{words} {ends:?}");
            }
        }
    });
}

/// Numbers that look random, from a seed (xorshift64, Marsaglia 2003).
fn fastrand_like(mut state: u64) -> impl FnMut() -> u64 {
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// How long it keeps a connection, and why it gives one up.

async fn ask(client: &Client, url: &Url) {
    let (outcome, _) = get(client, url).await;
    assert_eq!(outcome.unwrap(), b"hello");
}

fn kept(set: impl FnOnce(ClientBuilder) -> ClientBuilder) -> Client {
    set(Client::builder()).build()
}

#[test]
fn a_connection_carries_as_many_exchanges_as_it_may() {
    run_alone(async {
        let (server, client) = (server(), kept(|client| client.max_requests(3)));
        for _ in 0..7 {
            ask(&client, &server.url()).await;
        }
        let stats = client.stats();
        assert_eq!((stats.opened, stats.reused, stats.closed.requests, stats.closed.total()), (3, 4, 2, 2));
    });
}

#[test]
fn a_connection_that_has_lived_long_enough_carries_nothing_more() {
    run_alone_paused(async {
        let (server, client) = (server(), kept(|client| client.max_lifetime(SECONDS(10)).idle_timeout(SECONDS(60))));
        for _ in 0..4 {
            ask(&client, &server.url()).await;
            sleep(SECONDS(3)).await;
        }
        assert_eq!((client.stats().opened, client.stats().closed.lifetime), (1, 1), "closed while it idled");
        ask(&client, &server.url()).await;
        assert_eq!(client.stats().opened, 2);
    });
}

#[test]
fn a_connection_that_its_peer_closes_is_closed_here_at_once_though_nobody_asks_for_it() {
    run_alone(async {
        let server = Script::start(async |mut peer: Peer| {
            peer.hear().await;
            peer.say(HELLO).await;
            peer.hear().await;
            peer.say(HELLO).await;
        });
        let client = kept(|client| client);
        ask(&client, &server.url()).await;
        some_turns().await;
        ask(&client, &server.url()).await;
        until(|| client.stats().idle == 0).await;
        assert_eq!((client.stats().opened, client.stats().closed.by_peer), (1, 1));
    });
}

#[test]
fn a_connection_on_which_unasked_bytes_come_is_closed_at_once() {
    run_alone(async {
        let server = Script::start(async |mut peer: Peer| {
            peer.hear().await;
            peer.say(HELLO).await;
            some_turns().await;
            peer.say("HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n").await;
            peer.until_gone().await;
        });
        let client = kept(|client| client);
        ask(&client, &server.url()).await;
        until(|| client.stats().idle == 0 && server.open() == 0).await;
        assert_eq!(client.stats().closed.by_peer, 1);
    });
}

#[test]
fn where_many_idle_those_that_peers_end_one_after_the_other_are_closed_together() {
    run_alone_paused(async {
        let server = Script::start(async |mut peer: Peer| {
            let path = peer.hear().await.unwrap_or_default();
            peer.say(HELLO).await;
            match path.split(' ').nth(1).and_then(|path| path[1..].parse().ok()) {
                Some(ms) => sleep(Duration::from_millis(ms)).await,
                None => peer.until_gone().await,
            }
        });
        let client = kept(|client| client.limit(0));
        let ended = [100, 101, 102].map(|ms| server.at(&format!("/{ms}")));
        let urls = (0..400).map(|nth| ended.get(nth).cloned().unwrap_or_else(|| server.url())).collect::<Vec<_>>();
        windlass::task::join(urls.iter().map(|url| ask(&client, url)).collect::<Vec<_>>()).await;
        let mut idle = Vec::new();
        for _ in 0..130 {
            sleep(Duration::from_millis(1)).await;
            some_turns().await;
            idle.push(client.stats().idle);
        }
        idle.dedup();
        assert_eq!(idle, [400, 399, 397]);
    });
}

#[test]
fn what_idles_is_watched_without_a_poll() {
    run_alone_paused(async {
        let (server, client) = (server(), kept(|client| client.idle_timeout(SECONDS(100_000))));
        let url = server.url();
        windlass::task::join((0..100).map(|_| ask(&client, &url)).collect::<Vec<_>>()).await;
        sleep(SECONDS(1)).await;
        let before = windlass::metrics().polls;
        sleep(SECONDS(10_000)).await;
        let polls = windlass::metrics().polls - before;
        assert!(client.stats().idle > 0 && polls <= 2, "{polls} polls");
    });
}

#[test]
fn why_connections_were_closed_adds_up() {
    run_alone_paused(async {
        let ending = Script::start(async |mut peer: Peer| {
            let path = peer.hear().await.unwrap_or_default();
            let answer = match path.split(' ').nth(1).unwrap_or_default() {
                "/close" => "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello",
                "/until-end" => "HTTP/1.1 200 OK\r\n\r\nhello",
                "/short" | "/stuck" => "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello",
                "/garbage" => "SSH-2.0-OpenSSH_9.2\r\n\r\n",
                "/two" => "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhelloHTTP/1.1",
                _ => HELLO,
            };
            peer.say(answer).await;
            if path.starts_with("GET / ") || path.starts_with("GET /stuck ") {
                peer.until_gone().await;
            }
        });
        let client = kept(|client| client.idle_timeout(SECONDS(5)));
        for path in ["/close", "/until-end", "/two", "/", "/", "/short", "/garbage"] {
            let _ = get(&client, &ending.at(path)).await;
            sleep(SECONDS(6)).await;
        }
        let stuck = ending.at("/stuck");
        drop(client.get(&stuck).send().await.unwrap());
        some_turns().await;
        let stats = client.stats();
        let closed = stats.closed;
        assert_eq!((closed.asked, closed.by_peer, closed.idle), (2, 1, 2), "{closed:?}");
        assert_eq!(closed.unfinished, 3, "short, garbage, dropped before its body: {closed:?}");
        assert_eq!((closed.total(), stats.idle, stats.in_use), (stats.opened, 0, 0));
    });
}
