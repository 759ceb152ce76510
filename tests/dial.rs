//! Stories about the way to a host: names, several addresses, and those that may not be connected to.
//!
//! All of 127.0.0.0/8 is this machine, so a host with several addresses is easily had; one that hears nothing is a
//! listener whose queue is full. How a race goes to the millisecond is told beside it, in `net/src/http/client/dial.rs`.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::cell::Cell;
use std::error::Error as _;
use std::future::pending;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use windlass::http::{Client, ErrorKind, Timeouts, Url};
use windlass::net::dns::{AddressPolicy, Cache, DeniedAddress, Resolve, System};
use windlass::net::{TcpListener, TcpStream};
use windlass::time::{Instant, timeout};
use windlass_tests::{ANY, Peer, Script, deaf, open_descriptors, run, run_alone, run_alone_paused, run_paused};

const V6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);
/// More than any of these stories waits for anything but what it is about.
const LONG: Duration = Duration::from_secs(2);

/// The address 127.0.0.n.
fn local(n: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(127, 0, 0, n))
}

/// Answers each request with the address at which it was heard, and ends the connection.
async fn says_where(mut peer: Peer) {
    peer.hear().await;
    let body = peer.stream.local_addr().unwrap().ip().to_string();
    peer.say(format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}", body.len())).await;
}

/// A server that says where, on 127.0.0.n for each of `hosts`, all with one port.
fn servers<const N: usize>(hosts: [u8; N]) -> ([Script; N], u16) {
    let port = TcpListener::bind(ANY).unwrap().local_addr().unwrap().port();
    let listen = |n| TcpListener::bind((local(n), port).into()).unwrap();
    (hosts.map(|n| Script::listen(listen(n), says_where)), port)
}

fn url(host: &str, port: u16) -> Url {
    Url::parse(&format!("http://{host}:{port}/")).unwrap()
}

async fn body_of(client: &Client, url: &Url) -> String {
    let response = client.get(url).send().await.unwrap_or_else(|error| panic!("{error}"));
    String::from_utf8(response.bytes().await.unwrap()).unwrap()
}

/// A resolver that gives these answers, one after the other, the last for ever; and how often it was asked.
fn answers(answers: Vec<Vec<IpAddr>>) -> (impl Resolve + 'static, Rc<Cell<usize>>) {
    let asked = Rc::new(Cell::new(0));
    let count = asked.clone();
    let resolver = move |_host: String| {
        let answer = answers[count.get().min(answers.len() - 1)].clone();
        count.set(count.get() + 1);
        async move { Ok(answer) }
    };
    (resolver, asked)
}

#[test]
fn a_family_that_is_refused_costs_no_delay() {
    run_alone(async {
        let (_server, port) = servers([1]);
        let client = Client::builder().resolve("a.com", port, [V6, local(1)]).attempt_delay(LONG).build();
        let start = Instant::now();
        assert_eq!(body_of(&client, &url("a.com", port)).await, "127.0.0.1");
        assert!(start.elapsed() < LONG);
    });
}

#[test]
fn past_an_address_that_hears_nothing_the_next_one_is_tried_after_the_delay_and_one_connection_is_left() {
    run_alone(async {
        let (deaf, _queued) = deaf((local(2), 0).into()).await;
        let port = deaf.local_addr().unwrap().port();
        let listener = TcpListener::bind((local(1), port).into()).unwrap();
        let client = Client::builder()
            .resolve("a.com", port, [local(2), local(1)])
            .attempt_delay(Duration::from_millis(100))
            .build();
        let (before, start) = (open_descriptors(), Instant::now());
        let serving = windlass::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.read(&mut [0; 1024]).await.unwrap();
            let open = open_descriptors(); // theirs and ours
            stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
            (open, stream)
        });
        let url = url("a.com", port);
        let response = client.get(&url).send().await.unwrap();
        assert_eq!(response.status(), 204);
        let (open, _stream) = serving.await.unwrap();
        assert_eq!(open, before + 2);
        assert!(start.elapsed() >= Duration::from_millis(100));
    });
}

#[test]
fn given_up_in_the_delay_or_after_it_no_descriptor_is_left() {
    run_alone_paused(async {
        let (deaf, _queued) = deaf(ANY).await;
        let port = deaf.local_addr().unwrap().port();
        let url = url("127.0.0.1", port);
        let client = Client::builder().resolve("127.0.0.1", port, [local(1), V6, local(1)]).build();
        let before = open_descriptors();
        for after in [1, 100, 260, 1_000] {
            assert!(timeout(Duration::from_millis(after), client.get(&url).send()).await.is_err());
            assert_eq!(open_descriptors(), before);
        }
    });
}

#[test]
fn when_no_address_takes_the_connection_the_error_names_them_all() {
    run(async {
        let ([first, second], port) = servers([1, 2]);
        drop((first, second));
        windlass::task::yield_now().await; // they listen no more
        let client = Client::builder().resolve("a.com", port, [local(1), local(2)]).build();
        let error = client.get(&url("a.com", port)).send().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Connect);
        assert_eq!(
            error.to_string(),
            format!(
                "get http://a.com:{port}/: connect to 127.0.0.2:{port} (and to 127.0.0.1:{port}): connection refused"
            )
        );
        let error = client.get(&url("127.0.0.1", port)).send().await.unwrap_err();
        assert!(error.to_string().ends_with(&format!("connect to 127.0.0.1:{port}: connection refused")));
    });
}

#[test]
fn a_name_without_an_address_says_so() {
    run(async {
        let gone = |_: String| async { Err(io::Error::new(io::ErrorKind::NotFound, "no such name")) };
        let (nothing, _) = answers(vec![vec![]]);
        for (client, text) in [
            (Client::builder().resolver(gone).build(), "get http://a.com/: resolve a.com: no such name"),
            (Client::builder().resolver(nothing).build(), "get http://a.com/: resolve a.com: the name has no address"),
        ] {
            let error = client.get(&Url::parse("http://a.com/").unwrap()).send().await.unwrap_err();
            assert_eq!((error.kind(), error.to_string()), (ErrorKind::Resolve, text.into()));
        }
    });
}

#[test]
fn an_override_is_for_a_host_and_a_port_and_the_host_keeps_its_name() {
    run(async {
        let heard = Script::start(says_where);
        let port = heard.address().port();
        let (resolver, asked) = answers(vec![vec![]]);
        let client = Client::builder().resolver(resolver).resolve("Example.com", port, [local(1)]).build();
        assert_eq!(body_of(&client, &url("example.com", port)).await, "127.0.0.1");
        assert!(heard.heard()[0].contains(&format!("Host: example.com:{port}\r\n")));
        assert_eq!(asked.get(), 0);
        let other = client.get(&url("example.org", port)).send().await.unwrap_err();
        assert_eq!((other.kind(), asked.get()), (ErrorKind::Resolve, 1));
        let everywhere = Client::builder().resolve("*", port, [local(1)]).build();
        for host in ["example.org", "10.255.255.1", "[2001:db8::1]"] {
            assert_eq!(body_of(&everywhere, &url(host, port)).await, "127.0.0.1");
        }
    });
}

#[test]
fn connections_to_one_name_are_shared_out_among_its_addresses_and_the_name_is_asked_for_once() {
    run(async {
        let (_servers, port) = servers([1, 2, 3]);
        let (resolver, asked) = answers(vec![vec![local(1), local(2), local(3)]]);
        let client = Client::builder().resolver(Cache::new(resolver)).build();
        let mut heard = Vec::new();
        for _ in 0..6 {
            heard.push(body_of(&client, &url("a.com", port)).await);
        }
        assert_eq!(heard, ["127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.1", "127.0.0.2", "127.0.0.3"]);
        assert_eq!(asked.get(), 1);
    });
}

#[test]
fn a_resolver_that_hangs_is_asked_once_by_a_thousand_and_each_ends_at_its_own_time_out() {
    run_paused(async {
        let asked = Rc::new(Cell::new(0));
        let count = asked.clone();
        let hangs = Cache::new(move |_: String| {
            count.set(count.get() + 1);
            pending()
        });
        let client = Client::builder().limit(0).resolver(hangs).build();
        let start = Instant::now();
        let requests: Vec<_> = (0..1_000_u64)
            .map(|n| {
                let client = client.clone();
                windlass::spawn(async move {
                    let mut timeouts = Timeouts::none();
                    timeouts.resolve = Some(Duration::from_millis(1_000 + n));
                    let url = url("hangs.com", 80);
                    let error = client.get(&url).timeouts(timeouts).send().await.unwrap_err();
                    (error.kind(), start.elapsed().as_millis() as u64)
                })
            })
            .collect();
        for (n, request) in (0..).zip(requests) {
            assert_eq!(request.await.unwrap(), (ErrorKind::TimeoutResolve, 1_000 + n));
        }
        assert_eq!(asked.get(), 1);
    });
}

#[test]
fn a_host_with_none_but_denied_addresses_is_not_connected_to_in_whatever_way_it_is_written() {
    run(async {
        let server = Script::start(says_where);
        let port = server.address().port();
        let (mixed, _) = answers(vec![vec![V6, local(1), "::ffff:127.0.0.1".parse().unwrap()]]);
        let crawler = || Client::builder().address_policy(AddressPolicy::PublicOnly);
        for (client, host, range) in [
            (crawler(), "127.0.0.1", "127.0.0.1 is loopback (127.0.0.0/8)"),
            (crawler(), "[::ffff:127.0.0.1]", "::ffff:127.0.0.1 is loopback (127.0.0.0/8)"),
            (crawler(), "[64:ff9b::7f00:1]", "64:ff9b::7f00:1 is loopback (127.0.0.0/8)"),
            (crawler(), "localhost", "127.0.0.1 is loopback (127.0.0.0/8)"),
            (crawler().resolve("a.com", port, [local(1)]), "a.com", "127.0.0.1 is loopback (127.0.0.0/8)"),
            (crawler().resolver(mixed), "a.com", "::1 is loopback (::1)"),
        ] {
            let error = client.build().get(&url(host, port)).send().await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Other, "{host}: {error}");
            let denied = error.source().unwrap().downcast_ref::<DeniedAddress>().unwrap();
            // Where localhost has both, which is named first is the system's affair.
            assert!(denied.to_string() == range || host == "localhost" && denied.address() == V6, "{host}: {denied}");
            assert!(error.to_string().ends_with(&format!("address policy: {denied}")));
        }
        assert_eq!(server.connections(), 0);
    });
}

#[test]
fn a_name_that_becomes_an_address_of_this_machine_is_not_connected_to() {
    run(async {
        let server = Script::start(says_where);
        // First an address that is public and nobody's, then ours.
        let nobody = "2000::1".parse().unwrap();
        let (rebinding, asked) = answers(vec![vec![nobody], vec![local(1)], vec![nobody, local(1)]]);
        let client = Client::builder()
            .resolver(rebinding)
            .address_policy(AddressPolicy::PublicOnly)
            .timeout(Duration::from_millis(50))
            .build();
        for _ in 0..3 {
            client.get(&url("a.com", server.address().port())).send().await.unwrap_err();
        }
        assert_eq!((asked.get(), server.connections()), (3, 0));
    });
}

#[test]
fn a_new_connection_costs_the_same_calls_and_timers_however_its_address_was_come_by() {
    run(async {
        let (server, port) = servers([1]);
        let [literal, overridden, cached] = [0, 1, 2].map(|_| Client::builder());
        let (resolver, _) = answers(vec![vec![local(1)]]);
        let mut figures = Vec::new();
        for (client, host) in [
            (literal.build(), "127.0.0.1"),
            (overridden.resolve("a.com", port, [local(1)]).build(), "a.com"),
            (cached.resolver(Cache::new(resolver)).build(), "a.com"),
        ] {
            let url = url(host, port);
            body_of(&client, &url).await;
            let before = windlass::metrics();
            for _ in 0..100 {
                body_of(&client, &url).await;
            }
            let after = windlass::metrics();
            figures.push(((after.syscalls - before.syscalls) / 100, (after.timers_set - before.timers_set) / 100));
        }
        assert!(figures.iter().all(|of_this| *of_this == figures[0]), "{figures:?}");
        assert_eq!(server[0].connections(), 303);
    });
}

#[test]
fn the_systems_resolver_takes_addresses_names_and_nothing_that_is_neither() {
    run(async {
        assert_eq!(System.resolve("127.0.0.9").await.unwrap(), [local(9)]);
        assert!(System.resolve("localhost").await.unwrap().contains(&local(1)));
        for wrong in ["", "no\0name", "name.invalid"] {
            assert!(System.resolve(wrong).await.is_err(), "{wrong:?}");
        }
    });
}

#[test]
fn look_ups_by_the_thousand_take_four_threads() {
    run(async {
        let cache = Cache::new(System);
        let look_ups: Vec<_> = (0..10_000_u32)
            .map(|n| {
                let look_up = cache.resolve(&format!("127.{}.{}.1", n / 256, n % 256));
                windlass::spawn(look_up)
            })
            .collect();
        for look_up in look_ups {
            look_up.await.unwrap().unwrap();
        }
        let threads = std::fs::read_dir("/proc/self/task").unwrap().filter(|task| {
            let name = std::fs::read_to_string(task.as_ref().unwrap().path().join("comm")).unwrap_or_default();
            name.starts_with("windlass-blocki") // what the kernel keeps of it
        });
        assert!(threads.count() <= 4);
    });
}

#[test]
fn a_socket_that_connects_by_itself_says_to_whom_it_failed() {
    run(async {
        let nobody: SocketAddr = TcpListener::bind(ANY).unwrap().local_addr().unwrap();
        let error = TcpStream::connect(nobody).await.unwrap_err();
        assert!(error.to_string().starts_with(&format!("connect to {nobody}: ")));
        let systems = error.get_ref().unwrap().source().unwrap().downcast_ref::<io::Error>().unwrap();
        assert_eq!((systems.kind(), systems.raw_os_error()), (io::ErrorKind::ConnectionRefused, Some(111)));
    });
}
