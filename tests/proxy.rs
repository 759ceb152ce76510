//! Stories about the HTTP client and proxies that pass things on, or do not, or make things up.
//!
//! A proxy is a script here, and often the server behind it, too: what it hears is what the client tells it.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::process::Command;
use std::time::Duration;

use windlass::http::{Client, Error, ErrorKind, Proxy, Timeouts, Tls, Url};
use windlass_tests::sealed::{Authority, GOOD, Sealed};
use windlass_tests::{Peer, Script, run, run_alone, run_paused, until};

const HELLO: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
/// `printf 'user:hunter2' | base64`
const CREDENTIALS: &str = "dXNlcjpodW50ZXIy";

/// Answers whatever it is asked.
fn willing() -> Script {
    Script::start(async |mut peer: Peer| while peer.hear().await.is_some() && peer.say(HELLO).await {})
}

/// Answers the first request with `answer`, and listens on.
fn saying(answer: impl Into<Vec<u8>>) -> Script {
    let answer = answer.into();
    Script::start(async move |mut peer: Peer| {
        peer.hear().await;
        peer.say(&answer).await;
        peer.until_gone().await;
    })
}

fn through(script: &Script) -> Proxy {
    Proxy::http(&format!("http://user:hunter2@{}", script.address())).unwrap()
}

fn client(script: &Script) -> Client {
    Client::builder().proxy(through(script)).build()
}

async fn get(client: &Client, url: &str) -> Result<Vec<u8>, Error> {
    client.get(&Url::parse(url).unwrap()).send().await?.bytes().await
}

async fn failure(client: &Client, url: &str) -> Error {
    let error = get(client, url).await.expect_err("no answer");
    assert!(!error.to_string().contains("hunter2") && !format!("{error:?}").contains(CREDENTIALS), "{error}");
    error
}

#[test]
fn a_plain_request_names_the_whole_url_and_tells_the_proxy_who_asks() {
    run_alone(async {
        let proxy = willing();
        let client = client(&proxy);
        assert_eq!(get(&client, "http://a.example/b?c").await.unwrap(), b"hello");
        let url = Url::parse("http://a.example/b").unwrap();
        client.request("POST", &url).header("X", "y").body("body").send().await.unwrap().drain().await.unwrap();
        assert_eq!(get(&client, "http://a.example/b?c").await.unwrap(), b"hello");
        let ours = concat!("User-Agent: windlass/", env!("CARGO_PKG_VERSION"), "\r\nAccept: */*\r\n");
        let authorization = format!("Proxy-Authorization: Basic {CREDENTIALS}\r\n");
        let get = format!("GET http://a.example/b?c HTTP/1.1\r\nHost: a.example\r\n{ours}{authorization}\r\n");
        let post = format!(
            "POST http://a.example/b HTTP/1.1\r\nHost: a.example\r\n{ours}X: y\r\nContent-Length: 4\r\n{authorization}\r\nbody"
        );
        assert_eq!(proxy.heard(), [get.clone(), post, get]);
        assert_eq!(proxy.connections(), 1);
    });
}

#[test]
fn hosts_that_are_excepted_and_clients_without_a_proxy_go_directly() {
    run(async {
        let (proxy, server) = (willing(), willing());
        let url = server.url().to_string();
        for (client, by_proxy) in [
            (Client::new(), 0),
            (Client::builder().proxy(through(&proxy)).build(), 1),
            (Client::builder().proxy(through(&proxy).except("127.0.0.0/8")).build(), 0),
            (Client::builder().proxy(through(&proxy).except("7.0.0.1, 127.0.0.1:1")).build(), 1),
        ] {
            let before = (proxy.heard().len(), server.heard().len());
            get(&client, &url).await.unwrap();
            let after = (proxy.heard().len() - before.0, server.heard().len() - before.1);
            assert_eq!(after, (by_proxy, 1 - by_proxy));
        }
        assert!(server.heard().iter().all(|request| request.starts_with("GET / ") && !request.contains("Proxy-")));
        assert_eq!(proxy.connections(), 2); // each client has its own
    });
}

/// A proxy that lets `localhost` answer itself, in TLS, after it has said `yes`.
fn tunnel(authority: &Authority, yes: &'static [&'static str]) -> Script {
    let config = authority.server(&GOOD);
    Script::start(async move |mut peer: Peer| {
        peer.hear().await;
        for piece in yes {
            peer.say(piece).await;
            windlass::task::yield_now().await;
        }
        let Ok(mut sealed) = Sealed::accept(peer, config.clone()).await else { return };
        while let Some(request) = sealed.hear().await {
            assert!(
                request.starts_with("GET / HTTP/1.1\r\nHost: localhost\r\n") && !request.contains("Proxy"),
                "{request}"
            );
            sealed.say(HELLO).await;
        }
    })
}

fn sealed_client(authority: &Authority, proxy: Proxy) -> Client {
    let tls = Tls::roots_from_pem(authority.pem().as_bytes()).unwrap();
    Client::builder().tls(tls).proxy(proxy).build()
}

#[test]
fn a_sealed_request_goes_through_a_tunnel_that_only_the_proxy_is_told_the_credentials_for() {
    let answers: [&'static [&'static str]; 5] = [
        &["HTTP/1.1 200 Connection established\r\n\r\n"],
        &["HTTP/1.0 200\r\n", "X: y\r\n", "\r", "\n"],
        &["HTTP/1.1 204 OK\r\n\r\n"],
        // A length that belongs to nothing (RFC 9110 9.3.6).
        &["HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"],
        &["HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Soon\r\n\r\n", "HTTP/1.1 299 Yes\r\n\r\n"],
    ];
    for yes in answers {
        run(async move {
            let authority = Authority::new("ours");
            let proxy = tunnel(&authority, yes);
            let client = sealed_client(&authority, through(&proxy));
            for _ in 0..2 {
                assert_eq!(get(&client, "https://localhost/").await.unwrap(), b"hello", "{yes:?}");
            }
            let connect = "CONNECT localhost:443 HTTP/1.1\r\nHost: localhost:443\r\n";
            assert_eq!(proxy.heard(), [format!("{connect}Proxy-Authorization: Basic {CREDENTIALS}\r\n\r\n")]);
            assert_eq!((client.stats().opened, client.stats().reused), (1, 1));
        });
    }
}

#[test]
fn the_certificate_at_the_end_of_a_tunnel_is_judged_by_the_name_that_was_asked_for() {
    run(async {
        let authority = Authority::new("ours");
        let proxy = tunnel(&authority, &["HTTP/1.1 200 OK\r\n\r\n"]);
        let client = sealed_client(&authority, through(&proxy));
        let error = failure(&client, "https://other.example:444/").await;
        assert_eq!(
            error.to_string(),
            "get https://other.example:444/: tls: the certificate of other.example is for localhost, 127.0.0.1, and not for it"
        );
        failure(&client, "https://[::1]/").await;
        let authorities =
            ["other.example:444", "[::1]:443"].map(|name| format!("CONNECT {name} HTTP/1.1\r\nHost: {name}\r\n"));
        assert!(
            proxy.heard().iter().zip(&authorities).all(|(heard, begins)| heard.starts_with(begins)),
            "{:?}",
            proxy.heard()
        );
    });
}

#[test]
fn an_answer_to_connect_that_is_no_yes_is_told_with_its_status() {
    let large = format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "x".repeat(100_000));
    let many = "HTTP/1.1 100 Continue\r\n\r\n".repeat(20);
    for (answer, kind, text) in [
        (
            "HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n",
            ErrorKind::Connect,
            "it wants other credentials (it answers CONNECT with 407)",
        ),
        ("HTTP/1.1 502 Bad Gateway\r\n\r\noh", ErrorKind::Connect, "it answers CONNECT with 502"),
        ("HTTP/1.1 302 Found\r\nLocation: http://evil/\r\n\r\n", ErrorKind::Connect, "it answers CONNECT with 302"),
        ("HTTP/1.1 200 OK\r\n\r\n\x16", ErrorKind::Protocol, "more came than its answer to CONNECT"),
        ("SSH-2.0\r\n\r\n", ErrorKind::Protocol, ""),
        ("HTTP/1.1 200 OK\nX: y\n\n", ErrorKind::Protocol, ""),
        (&large, ErrorKind::TooLarge, ""),
        (&many, ErrorKind::TooLarge, "too many interim replies"),
    ] {
        let answer = answer.to_owned();
        run(async move {
            let proxy = saying(answer.clone());
            let error = failure(&client(&proxy), "https://a.example/").await;
            let prefix = format!("get https://a.example/: proxy {}: ", proxy.address());
            assert_eq!(error.kind(), kind, "{error}");
            assert!(error.to_string().starts_with(&prefix) && error.to_string().ends_with(text), "{error}");
            assert_eq!(proxy.connections(), 1, "{error}");
        });
    }
}

#[test]
fn an_answer_to_connect_that_is_cut_off_anywhere_is_no_tunnel() {
    let answer = "HTTP/1.1 200 OK\r\nX: y\r\n\r\n";
    run(async move {
        for len in 0..answer.len() {
            let proxy = Script::start(async move |mut peer: Peer| {
                peer.hear().await;
                peer.say(&answer[..len]).await;
            });
            let error = failure(&client(&proxy), "https://a.example/").await;
            assert_eq!(error.kind(), ErrorKind::Connect);
            assert!(error.to_string().ends_with("it ended the connection before it answered CONNECT"), "{error}");
        }
    });
}

#[test]
fn a_proxy_that_never_answers_is_a_connection_that_takes_too_long() {
    run_paused(async {
        let proxy = saying("HTTP/1.1 200");
        let mut timeouts = Timeouts::default();
        timeouts.connect = Some(Duration::from_secs(20));
        let client = Client::builder().proxy(through(&proxy)).timeouts(timeouts).build();
        assert_eq!(failure(&client, "https://a.example/").await.kind(), ErrorKind::TimeoutConnect);
        until(|| proxy.open() == 0).await;
    });
}

#[test]
fn a_proxy_that_is_not_there_is_named_without_its_credentials() {
    run(async {
        let proxy = willing();
        let gone = client(&proxy);
        let address = proxy.address();
        drop(proxy);
        windlass_tests::some_turns().await;
        for url in ["http://a.example/", "https://a.example/"] {
            let error = failure(&gone, url).await;
            assert_eq!(error.kind(), ErrorKind::Connect);
            let expected = format!("get {url}: proxy {address}: connect to {address}: connection refused");
            assert_eq!(error.to_string(), expected);
        }
    });
}

#[test]
fn what_the_environment_says_counts_only_for_who_asks() {
    const THIS: &str = "what_the_environment_says_counts_only_for_who_asks";
    if std::env::var("http_proxy").as_deref() != Ok("http://127.0.0.1:1") {
        let mut again = Command::new(std::env::current_exe().unwrap());
        again.args(["--exact", THIS]).env_remove("REQUEST_METHOD").env_remove("no_proxy").env_remove("NO_PROXY");
        let done = again.env("http_proxy", "http://127.0.0.1:1").output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stdout));
        return;
    }
    run(async {
        let server = willing();
        let url = server.url().to_string();
        assert_eq!(get(&Client::new(), &url).await.unwrap(), b"hello");
        let asked = Client::builder().proxy(Proxy::from_env().unwrap().unwrap()).build();
        assert_eq!(failure(&asked, &url).await.kind(), ErrorKind::Connect);
    });
}
