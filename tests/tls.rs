//! Stories about the HTTP client and servers that speak TLS, or say so, or stop amid a word.
//!
//! The servers are rustls's other half over the sockets of the same loop (`sealed`), with certificates made for the
//! story.   Next: `real_servers`, where nginx speaks it.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::cell::{Cell, RefCell};
use std::error::Error as _;
use std::rc::Rc;
use std::time::Duration;

use rustls::{HandshakeKind, ServerConfig};
use windlass::http::{CertificateError, Client, Error, ErrorKind, Timeouts, Tls, Url};
use windlass::time::{Instant, sleep};
use windlass_tests::sealed::{Authority, Certificate, GOOD, Sealed, server};
use windlass_tests::{ANY, Peer, Script, run, run_alone, run_paused, some_turns, until};

const HELLO: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
const LAST: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello";

fn client(authority: &Authority) -> Client {
    Client::builder().tls(Tls::roots_from_pem(authority.pem().as_bytes()).unwrap()).build()
}

/// A server that shakes hands and then follows `script`.
fn sealed(config: ServerConfig, script: impl AsyncFn(&mut Sealed) + 'static) -> Script {
    Script::start(async move |peer: Peer| {
        if let Ok(mut sealed) = Sealed::accept(peer, config.clone()).await {
            script(&mut sealed).await;
        }
    })
}

/// A server that answers every request with `reply`.
fn saying(config: ServerConfig, reply: &'static str) -> Script {
    sealed(config, async move |sealed: &mut Sealed| while sealed.hear().await.is_some() && sealed.say(reply).await {})
}

async fn get(client: &Client, url: &Url) -> Result<Vec<u8>, Error> {
    client.get(url).send().await?.bytes().await
}

async fn failure(client: &Client, url: &Url) -> Error {
    get(client, url).await.expect_err("no answer")
}

fn is_certificate(error: &Error) -> bool {
    error.source().is_some_and(|source| source.is::<CertificateError>())
}

// ---------------------------------------------------------------------------------------------------------------------
// Whom it trusts.

#[test]
fn a_server_with_a_good_certificate_is_spoken_to_by_name_and_by_address() {
    run_alone(async {
        let authority = Authority::new("ours");
        let names = Rc::new(RefCell::new(Vec::new()));
        let heard = names.clone();
        let server = sealed(authority.server(&GOOD), async move |sealed: &mut Sealed| {
            heard.borrow_mut().push(sealed.session.server_name().map(str::to_owned));
            assert_eq!(sealed.session.protocol_version(), Some(rustls::ProtocolVersion::TLSv1_3));
            while sealed.hear().await.is_some() && sealed.say(HELLO).await {}
        });
        let client = client(&authority);
        let by_address = Url::parse(&format!("https://{}/", server.address())).unwrap();
        for url in [server.https(), server.https(), by_address] {
            assert_eq!(get(&client, &url).await.unwrap(), b"hello");
        }
        // An address is no name that could be indicated (RFC 6066 3).
        assert_eq!(*names.borrow(), [Some("localhost".to_owned()), None]);
        assert_eq!((client.stats().opened, client.stats().reused), (2, 1));
        drop(client);
        until(|| server.open() == 0).await;
    });
}

/// What a client that trusts `authority` says to a server with this certificate.
async fn verdict(authority: &Authority, pem: (String, String)) -> String {
    let script = saying(server(&pem), HELLO);
    let error = failure(&client(authority), &script.https()).await;
    assert_eq!((error.kind(), is_certificate(&error)), (ErrorKind::Tls, true), "{error}");
    let careless = Client::builder().tls(Tls::accept_invalid_certs()).build();
    assert_eq!(get(&careless, &script.https()).await.unwrap(), b"hello");
    let text = error.to_string();
    let prefix = format!("get {}: tls: the certificate of localhost ", script.https());
    text.strip_prefix(&prefix).unwrap_or_else(|| panic!("{text}")).to_owned()
}

#[test]
fn a_certificate_that_is_refused_is_told_why_and_taken_only_by_who_takes_any() {
    run(async {
        let authority = Authority::new("ours");
        let expired = verdict(&authority, authority.sign(&Certificate { until: 2002, ..GOOD })).await;
        let days: u32 = expired.strip_prefix("expired ").unwrap().strip_suffix(" days ago").unwrap().parse().unwrap();
        assert!(days > 8_000, "{expired}");

        let early = verdict(&authority, authority.sign(&Certificate { from: 2998, ..GOOD })).await;
        assert!(early.starts_with("is not valid for another ") && early.ends_with(" days"), "{early}");

        let other = Certificate { names: &["a.example", "*.b.example", "10.0.0.1"], ..GOOD };
        let other = verdict(&authority, authority.sign(&other)).await;
        assert_eq!(other, "is for a.example, *.b.example, 10.0.0.1, and not for it");

        let many = Certificate { names: &["1.a", "2.a", "3.a", "4.a", "5.a", "6.a", "7.a"], ..GOOD };
        let many = verdict(&authority, authority.sign(&many)).await;
        assert_eq!(many, "is for 1.a, 2.a, 3.a, 4.a, 5.a and 2 more, and not for it");

        let unknown = verdict(&authority, Authority::new("another").sign(&GOOD)).await;
        assert_eq!(unknown, "is signed by nobody that is trusted here");

        let false_friend = verdict(&authority, Authority::new("ours").sign(&GOOD)).await;
        assert_eq!(false_friend, "has a signature that is not its issuer's");

        let alone = verdict(&authority, GOOD.self_signed()).await;
        assert_eq!(alone, "is signed by itself alone, and is not trusted here");
    });
}

#[test]
fn a_server_that_is_signed_by_itself_is_spoken_to_by_who_trusts_it_unless_it_may_sign_others() {
    run(async {
        let trusting = |pem: &str| Client::builder().tls(Tls::roots_from_pem(pem.as_bytes()).unwrap()).build();
        let alone = GOOD.self_signed();
        let script = saying(server(&alone), LAST);
        assert_eq!(get(&trusting(&alone.0), &script.https()).await.unwrap(), b"hello");

        let posing = Authority::posing_as(&GOOD);
        let script = saying(server(&posing), LAST);
        let refused = failure(&trusting(&posing.0), &script.https()).await;
        let said = "is that of an authority trusted here (CA:TRUE), and none for a server";
        assert!(is_certificate(&refused) && refused.to_string().ends_with(said), "{refused}");
        let refused = failure(&trusting(&alone.0), &script.https()).await;
        assert!(refused.to_string().ends_with("is signed by itself alone, and is not trusted here"), "{refused}");
    });
}

#[test]
fn neither_mozillas_authorities_nor_the_systems_know_the_one_of_a_story() {
    run(async {
        let script = saying(Authority::new("ours").server(&GOOD), HELLO);
        assert!(is_certificate(&failure(&Client::new(), &script.https()).await));
        match Tls::system_roots() {
            Ok(tls) => assert!(is_certificate(&failure(&Client::builder().tls(tls).build(), &script.https()).await)),
            Err(none) => eprintln!("SKIPPED: the system's authorities: {none}"),
        }
    });
}

#[test]
fn pem_that_holds_no_authority_is_refused() {
    let key = Authority::new("ours").sign(&GOOD).1;
    for pem in ["", "hello", &key] {
        let refused = Tls::roots_from_pem(pem.as_bytes()).unwrap_err();
        assert_eq!(refused.to_string(), "tls: there is no certificate in the PEM text");
    }
    for pem in [
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        "-----BEGIN CERTIFICATE-----\n?\n-----END CERTIFICATE-----\n",
        "-----BEGIN CERTIFICATE-----\nAAAA\n",
    ] {
        let refused = Tls::roots_from_pem(pem.as_bytes()).unwrap_err();
        assert!(refused.to_string().starts_with("tls: a certificate in the PEM text: "), "{refused}");
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// How sessions begin.

#[test]
fn the_second_connection_to_a_server_resumes_the_session_of_the_first() {
    for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
        run(async move {
            let authority = Authority::new("ours");
            let (certificate, key) = authority.sign(&GOOD);
            use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
            let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
            let config = ServerConfig::builder_with_provider(provider).with_protocol_versions(&[version]).unwrap();
            let certificate = CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap();
            let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
            let config = config.with_no_client_auth().with_single_cert(vec![certificate], key).unwrap();
            let kinds = Rc::new(RefCell::new(Vec::new()));
            let seen = kinds.clone();
            let server = sealed(config, async move |sealed: &mut Sealed| {
                seen.borrow_mut().push(sealed.session.handshake_kind().unwrap());
                sealed.hear().await;
                sealed.say(LAST).await;
                sealed.end().await;
            });
            let client = client(&authority);
            for _ in 0..3 {
                assert_eq!(get(&client, &server.https()).await.unwrap(), b"hello");
            }
            use HandshakeKind::{Full, Resumed};
            assert_eq!(*kinds.borrow(), [Full, Resumed, Resumed], "{version:?}");
        });
    }
}

#[test]
fn only_http_1_1_is_offered_and_a_server_that_has_another_protocol_is_refused() {
    run(async {
        let authority = Authority::new("ours");
        let mut config = authority.server(&GOOD);
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let both = sealed(config.clone(), async |sealed: &mut Sealed| {
            assert_eq!(sealed.session.alpn_protocol(), Some(&b"http/1.1"[..]));
            sealed.hear().await;
            sealed.say(HELLO).await;
        });
        assert_eq!(get(&client(&authority), &both.https()).await.unwrap(), b"hello");

        config.alpn_protocols = vec![b"h2".to_vec()];
        let other = saying(config, HELLO);
        let error = failure(&client(&authority), &other.https()).await;
        assert_eq!((error.kind(), is_certificate(&error)), (ErrorKind::Tls, false), "{error}");
        assert!(error.to_string().ends_with("NoApplicationProtocol"), "{error}");

        // A server that chooses what was not offered: TLS 1.2, so that its choice can be read.
        let forced = Script::start(async |mut peer: Peer| {
            peer.stream.read(&mut [0; 4096]).await.unwrap();
            let extensions =
                [&[0x00, 0x10, 0, 5, 0, 3, 2][..], b"h2", &[0x00, 0x17, 0, 0, 0xff, 0x01, 0, 1, 0]].concat();
            let body = [&[3, 3][..], &[7; 32], &[0, 0xc0, 0x2b, 0, 0, extensions.len() as u8], &extensions].concat();
            let head = [22, 3, 3, 0, body.len() as u8 + 4, 2, 0, 0, body.len() as u8];
            peer.say([&head[..], &body].concat()).await;
            peer.until_gone().await;
        });
        let error = failure(&client(&authority), &forced.https()).await;
        assert!(error.to_string().ends_with("SelectedUnofferedApplicationProtocol"), "{error}");
    });
}

#[test]
fn a_handshake_that_takes_too_long_ends_with_a_time_out_that_names_it() {
    run_paused(async {
        let slow = Script::start(async |mut peer: Peer| {
            peer.stream.read(&mut [0; 4096]).await.unwrap();
            // A record of 16,000 bytes, one a second.
            peer.say([22, 3, 3, 0x3e, 0x80, 2, 0, 0x3e, 0x7c]).await;
            while peer.say([0]).await {
                sleep(Duration::from_secs(1)).await;
            }
        });
        let mut timeouts = Timeouts::default();
        timeouts.connect = Some(Duration::from_secs(20));
        let client = Client::builder().timeouts(timeouts).build();
        let began = Instant::now();
        let error = failure(&client, &slow.https()).await;
        assert_eq!(error.kind(), ErrorKind::TimeoutConnect);
        assert!(error.to_string().ends_with("timed out: in the TLS handshake"), "{error}");
        assert!((20..25).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
    });
}

// ---------------------------------------------------------------------------------------------------------------------
// How they break.

#[test]
fn what_is_not_tls_is_told_from_a_bad_certificate() {
    for (garbage, ends) in [
        (
            &b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"[..],
            "perhaps it speaks plain http (InvalidContentType)",
        ),
        (b"SSH-2.0-OpenSSH_9.6\r\n", "perhaps it speaks plain http (InvalidContentType)"),
        (&[0; 100], "perhaps it speaks plain http (InvalidContentType)"),
        (&[22, 3, 3, 0xff, 0xff, 0], "perhaps it speaks plain http (MessageTooLarge)"),
        (&[21, 3, 3, 0, 2, 2, 40], "HandshakeFailure"),
    ] {
        run(async move {
            let script = Script::start(async move |mut peer: Peer| {
                peer.stream.read(&mut [0; 4096]).await.unwrap();
                peer.say(garbage).await;
                peer.until_gone().await;
            });
            let error = failure(&Client::new(), &script.https()).await;
            assert_eq!((error.kind(), is_certificate(&error)), (ErrorKind::Tls, false), "{error}");
            assert!(error.to_string().contains(ends), "{error}");
        });
    }
}

#[test]
fn plain_http_to_a_port_of_tls_is_no_answer() {
    run(async {
        let server = saying(Authority::new("ours").server(&GOOD), HELLO);
        let error = failure(&Client::new(), &server.url()).await;
        assert_eq!(error.kind(), ErrorKind::Protocol, "{error}");
    });
}

#[derive(Clone, Copy, Debug)]
enum Exit {
    End,
    Reset,
}

/// What a client makes of a server that sends no more than `allowance` bytes, and whether these were all it had to say.
fn cut_off(
    authority: &Authority,
    config: &ServerConfig,
    allowance: usize,
    exit: Exit,
) -> (Result<Vec<u8>, Error>, bool) {
    let said_all = Rc::new(Cell::new(false));
    let (told, config) = (said_all.clone(), config.clone());
    let outcome = run(async move {
        let script = Script::start(async move |peer: Peer| {
            let mut sealed = Sealed::new(peer, config.clone());
            sealed.allowance = allowance;
            let went_well = sealed.shake_hands().await.is_ok() && sealed.hear().await.is_some();
            told.set(went_well && sealed.say(HELLO).await);
            match exit {
                Exit::Reset if !told.get() => sealed.peer.reset(),
                _ => sealed.peer.end(),
            }
        });
        let url = Url::parse(&format!("https://{}/", script.address())).unwrap();
        get(&client(authority), &url).await
    });
    (outcome, said_all.get())
}

#[test]
fn an_exchange_that_is_cut_off_at_any_byte_is_no_answer() {
    let authority = Authority::new("ours");
    let config = authority.server(&GOOD);
    for (exit, expected) in [(Exit::End, ErrorKind::Truncated), (Exit::Reset, ErrorKind::Reset)] {
        let (mut kinds, mut len) = (Vec::new(), 0);
        loop {
            match cut_off(&authority, &config, len, exit) {
                (Ok(body), true) if body == b"hello" => break,
                (Err(error), false) => kinds.push(error.kind()),
                (outcome, said_all) => panic!("{exit:?} after {len} bytes, all: {said_all}: {outcome:?}"),
            }
            len += 1;
        }
        kinds.dedup();
        assert_eq!(kinds, [ErrorKind::Tls, expected], "{exit:?}");
        assert!(len > 700, "{len} bytes");
    }
}

#[test]
fn a_body_that_lasts_until_the_end_needs_the_end_to_be_said_and_others_do_not() {
    let reply = "HTTP/1.1 200 OK\r\n\r\nhello";
    run(async move {
        let authority = Authority::new("ours");
        let config = authority.server(&GOOD);
        let client = client(&authority);
        let said = sealed(config.clone(), async move |sealed: &mut Sealed| {
            sealed.hear().await;
            sealed.say(reply).await;
            sealed.end().await;
        });
        assert_eq!(get(&client, &said.https()).await.unwrap(), b"hello");
        let unsaid = sealed(config.clone(), async move |sealed: &mut Sealed| {
            sealed.hear().await;
            sealed.say(reply).await;
        });
        let error = failure(&client, &unsaid.https()).await;
        assert_eq!(error.kind(), ErrorKind::Truncated);
        assert!(error.to_string().ends_with("the connection ended without a TLS close_notify"), "{error}");
        for reply in [HELLO, LAST, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"] {
            let known = sealed(config.clone(), async move |sealed: &mut Sealed| {
                sealed.hear().await;
                sealed.say(reply).await;
            });
            assert_eq!(get(&client, &known.https()).await.unwrap(), b"hello");
        }
    });
}

#[test]
fn a_record_that_was_changed_on_its_way_ends_the_exchange() {
    run(async {
        let authority = Authority::new("ours");
        let server = sealed(authority.server(&GOOD), async |sealed: &mut Sealed| {
            sealed.hear().await;
            sealed.say("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello").await;
            let mut record = vec![23, 3, 3, 0, 24];
            record.resize(5 + 24, 0xff);
            sealed.peer.say(record).await;
            sealed.peer.until_gone().await;
        });
        let error = failure(&client(&authority), &server.https()).await;
        assert_eq!((error.kind(), is_certificate(&error)), (ErrorKind::Tls, false), "{error}");
    });
}

// ---------------------------------------------------------------------------------------------------------------------
// What goes over them.

#[test]
fn an_answer_comes_through_whole_however_records_and_reads_cut_it() {
    let body: Vec<u8> = (0..100_000u32).map(|n| (n % 251) as u8).collect();
    for (fragment, piece) in [(None, usize::MAX), (Some(64), 1_000), (Some(32), 1), (None, 1)] {
        let body = if piece == 1 { body[..3_000].to_vec() } else { body.clone() };
        run(async move {
            let authority = Authority::new("ours");
            let mut config = authority.server(&GOOD);
            config.max_fragment_size = fragment;
            let reply =
                [format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len()).into_bytes(), body.clone()];
            let script = Script::start(async move |peer: Peer| {
                let mut sealed = Sealed::new(peer, config.clone());
                sealed.piece = piece;
                sealed.shake_hands().await.unwrap();
                while sealed.hear().await.is_some() && sealed.say(reply.concat()).await {}
            });
            let client = client(&authority);
            for _ in 0..2 {
                assert!(get(&client, &script.https()).await.unwrap() == body, "{fragment:?} {piece}");
            }
            assert_eq!(client.stats().opened, 1);
        });
    }
}

#[test]
fn a_request_that_is_larger_than_what_sockets_hold_goes_out_whole() {
    let body: Vec<u8> = (0..8_000_000u32).map(|n| (n % 251) as u8).collect();
    run(async move {
        let authority = Authority::new("ours");
        let expected = body.clone();
        let server = sealed(authority.server(&GOOD), async move |sealed: &mut Sealed| {
            use std::io::Read;
            some_turns().await; // so that the sender fills what there is
            let mut heard = Vec::new();
            while heard.len() < expected.len() || !heard.ends_with(&expected[expected.len() - 1_000..]) {
                sealed.fill().await.unwrap();
                let _ = sealed.session.reader().read_to_end(&mut heard); // there is no more yet
            }
            assert!(heard.ends_with(&expected));
            sealed.say(HELLO).await;
        });
        let client = client(&authority);
        let response = client.request("POST", &server.https()).body(body).send().await.unwrap();
        assert_eq!(response.bytes().await.unwrap(), b"hello");
    });
}

#[test]
fn a_post_of_which_a_part_has_gone_out_is_never_sent_twice() {
    run(async {
        let authority = Authority::new("ours");
        let config = authority.server(&GOOD);
        // Whose client has room for some 40 KB that are not read yet.
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        socket.set_tcp_mss(1_000).unwrap();
        socket.set_recv_buffer_size(4_096).unwrap();
        socket.bind(&ANY.into()).unwrap();
        socket.listen(8).unwrap();
        let listener = windlass::net::TcpListener::from_std(socket.into()).unwrap();
        let server = Script::listen(listener, async move |peer: Peer| {
            let mut sealed = Sealed::accept(peer, config.clone()).await.unwrap();
            sealed.hear().await;
            sealed.say(HELLO).await;
            some_turns().await;
            sealed.peer.reset();
        });
        let client = client(&authority);
        get(&client, &server.https()).await.unwrap();
        let body = vec![b'x'; 60_000]; // several records, and all of them sealed at once
        let error = client.post(&server.https()).body(body).send().await.expect_err("nobody hears all of it");
        assert_eq!((error.kind(), server.connections()), (ErrorKind::Reset, 1), "{error}");
    });
}

#[test]
fn a_connection_is_closed_with_a_word() {
    run(async {
        let authority = Authority::new("ours");
        let heard = Rc::new(Cell::new(None));
        let noted = heard.clone();
        let server = sealed(authority.server(&GOOD), async move |sealed: &mut Sealed| {
            sealed.hear().await;
            sealed.say(HELLO).await;
            noted.set(Some(sealed.until_gone().await));
        });
        let client = client(&authority);
        get(&client, &server.https()).await.unwrap();
        drop(client);
        until(|| heard.get().is_some()).await;
        assert_eq!(heard.get(), Some(true));
    });
}

// ---------------------------------------------------------------------------------------------------------------------
// What comes while nobody asks.

#[test]
fn tickets_that_come_late_are_no_answer_and_are_used() {
    run(async {
        let authority = Authority::new("ours");
        let mut config = authority.server(&GOOD);
        config.send_half_rtt_data = true; // it may speak before it has heard all of the greeting, and its tickets come after
        let kinds = Rc::new(RefCell::new(Vec::new()));
        let seen = kinds.clone();
        let script = Script::start(async move |peer: Peer| {
            use std::io::Write;
            let mut sealed = Sealed::new(peer, config.clone());
            sealed.fill().await.unwrap();
            sealed.session.writer().write_all(HELLO.as_bytes()).unwrap();
            sealed.flush().await.unwrap();
            while sealed.session.is_handshaking() {
                sealed.fill().await.unwrap();
            }
            seen.borrow_mut().push(sealed.session.handshake_kind().unwrap());
            sealed.hear().await;
            some_turns().await; // by now its answer has been read, and the connection idles
            sealed.flush().await.unwrap();
            sealed.hear().await;
            sealed.say(LAST).await;
        });
        let client = client(&authority);
        assert_eq!(get(&client, &script.https()).await.unwrap(), b"hello");
        assert_eq!(client.stats().idle, 1);
        some_turns().await;
        some_turns().await;
        assert_eq!(get(&client, &script.https()).await.unwrap(), b"hello");
        assert_eq!((client.stats().opened, client.stats().reused), (1, 1));
        assert_eq!(get(&client, &script.https()).await.unwrap(), b"hello");
        until(|| kinds.borrow().len() == 2).await;
        assert_eq!(*kinds.borrow(), [HandshakeKind::Full, HandshakeKind::Resumed]);
    });
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Unasked {
    KeyUpdate,
    Data,
    CloseNotify,
    End,
    Garbage,
}

#[test]
fn what_comes_on_an_idle_connection_ends_it_unless_it_is_tls_own_affair() {
    use Unasked::{CloseNotify, Data, End, Garbage, KeyUpdate};
    for (unasked, opened) in [(KeyUpdate, 1), (Data, 2), (CloseNotify, 2), (End, 2), (Garbage, 2)] {
        for at_once in [true, false] {
            run(async move {
                let authority = Authority::new("ours");
                let server = sealed(authority.server(&GOOD), async move |sealed: &mut Sealed| {
                    while sealed.hear().await.is_some() {
                        if !at_once {
                            sealed.say(HELLO).await;
                            some_turns().await;
                        } else {
                            use std::io::Write;
                            sealed.session.writer().write_all(HELLO.as_bytes()).unwrap();
                        }
                        match unasked {
                            KeyUpdate => sealed.session.refresh_traffic_keys().unwrap(),
                            Data => drop(sealed.say("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil").await),
                            CloseNotify => sealed.session.send_close_notify(),
                            End | Garbage => {}
                        }
                        sealed.flush().await.unwrap();
                        match unasked {
                            End => sealed.peer.end(),
                            Garbage => drop(sealed.peer.say([23, 3, 3, 0, 1, 0]).await),
                            _ => {}
                        }
                    }
                });
                let client = client(&authority);
                for _ in 0..2 {
                    assert_eq!(get(&client, &server.https()).await.unwrap(), b"hello", "{unasked:?} {at_once}");
                    some_turns().await;
                    some_turns().await;
                }
                let stats = client.stats();
                assert_eq!((stats.opened, stats.retries), (opened, 0), "{unasked:?} {at_once}"); // nothing was sent in vain
            });
        }
    }
}
