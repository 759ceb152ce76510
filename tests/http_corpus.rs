//! The corpus's stories of more than one request: where redirects lead, and when to come again.
//!
//! ```text
//!                          ┌── :8001 ──┐
//!   client ── requests ──► ├── :8002 ──┤ one list of answers, each cut in the same way
//!      ▲                   └── :8443 ──┘ and one note of all that was heard, to be compared byte for byte
//!      └── every name and address leads here ◄┘
//! ```
//!
//! In the files three ports stand in for those that the kernel gives; here they are exchanged, in what is sent and in what is
//! heard. Single rules are looked at closer in `http_follow`.   Next: `tests/corpus/README.md`.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr};
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use windlass::flow::Backoff;
use windlass::http::{Client, Redirects, Retries, Tls, Url};
use windlass::net::TcpListener;
use windlass::time::Instant;
use windlass_corpus::Redirect;
use windlass_tests::sealed::{Authority, Certificate, GOOD, Sealed};
use windlass_tests::{ANY, Peer, Script, run_paused, until};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// What the files call the three ports.
const STAND_INS: [u16; 3] = [8001, 8002, 8443];

/// How each answer is cut on its way.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Cut {
    Whole,
    At(usize),
    EachByte,
}

/// What all servers of a story share.
struct Scene {
    client: Client,
    answers: RefCell<VecDeque<Vec<u8>>>,
    cut: Cell<Cut>,
    /// The client waits for nothing more.
    is_over: Cell<bool>,
    /// What came, and where.
    heard: RefCell<Vec<(usize, String)>>,
}

impl Scene {
    /// Says the next answer, each piece when the one before has been read.
    async fn answer(&self, place: usize, request: String, mut say: impl AsyncFnMut(&[u8]) -> bool) -> bool {
        self.heard.borrow_mut().push((place, request));
        let answer = self.answers.borrow_mut().pop_front().unwrap_or_else(|| OK.to_vec());
        let pieces: Vec<_> = match self.cut.get() {
            Cut::At(at) if at < answer.len() => vec![&answer[..at], &answer[at..]],
            Cut::EachByte => answer.chunks(1).collect(),
            _ => vec![&answer],
        };
        let mut read = self.client.stats().bytes_in;
        for piece in pieces {
            if !say(piece).await {
                return false;
            }
            read += piece.len() as u64;
            until(|| self.client.stats().bytes_in >= read || self.is_over.get()).await;
        }
        true
    }
}

/// Three servers and a client that takes them for all the world.
struct World {
    scene: Rc<Scene>,
    servers: [Script; 3],
}

impl World {
    fn new() -> World {
        let authority = Authority::new("ours");
        let config = authority.server(&Certificate { names: &["a.test", "b.test"], ..GOOD });
        let listeners = [(); 3].map(|()| TcpListener::bind(ANY).unwrap());
        let mut client = Client::builder().tls(Tls::roots_from_pem(authority.pem().as_bytes()).unwrap());
        for listener in &listeners {
            client = client.resolve("*", listener.local_addr().unwrap().port(), [HERE]);
        }
        let scene = Rc::new(Scene {
            client: client.build(),
            answers: RefCell::default(),
            cut: Cell::new(Cut::Whole),
            is_over: Cell::new(false),
            heard: RefCell::default(),
        });
        let [first, second, third] = listeners;
        let plain = |place, listener| {
            let scene = scene.clone();
            Script::listen(listener, async move |mut peer: Peer| {
                while let Some(request) = peer.hear().await
                    && scene.answer(place, request, async |piece| peer.say(piece).await).await
                {}
            })
        };
        let servers = [plain(0, first), plain(1, second), {
            let scene = scene.clone();
            Script::listen(third, async move |peer: Peer| {
                let mut sealed = Sealed::accept(peer, config.clone()).await.unwrap();
                while let Some(request) = sealed.hear().await
                    && scene.answer(2, request, async |piece| sealed.say(piece).await).await
                {}
            })
        }];
        World { scene, servers }
    }

    fn port(&self, place: usize) -> String {
        format!(":{}", self.servers[place].address().port())
    }

    /// With the kernel's ports instead of the files'.
    fn given(&self, text: &[u8]) -> Vec<u8> {
        let replace = |text: Vec<u8>, place: usize| {
            replaced(&text, format!(":{}", STAND_INS[place]).as_bytes(), self.port(place).as_bytes())
        };
        (0..3).fold(text.to_vec(), replace)
    }

    /// With the files' ports instead of the kernel's.
    fn noted(&self, text: &str) -> String {
        (0..3).fold(text.to_owned(), |text, place| text.replace(&self.port(place), &format!(":{}", STAND_INS[place])))
    }

    async fn perform(&self, case: &Redirect, cut: Cut) {
        let how = format!("{}, {cut:?}", case.name);
        let scene = &self.scene;
        *scene.answers.borrow_mut() = case.answers.iter().map(|answer| self.given(answer)).collect();
        scene.heard.borrow_mut().clear();
        scene.cut.set(cut);
        scene.is_over.set(false);
        let mut redirects = Redirects::up_to(case.limit);
        for name in &case.credentials {
            redirects = redirects.credential(name);
        }
        if case.may_downgrade {
            redirects = redirects.allow_downgrade();
        }
        let url = Url::parse(&String::from_utf8(self.given(case.url.as_bytes())).unwrap()).unwrap();
        let mut request = scene.client.request(&case.method, &url).redirects(redirects);
        for (name, value) in &case.headers {
            request = request.header(name, value.clone());
        }
        if let Some(body) = &case.body {
            request = request.body(body.clone());
        }
        let made = request.send().await;
        scene.is_over.set(true);
        match &made {
            Ok(response) => {
                assert_eq!(Ok(response.status()), case.outcome, "{how}");
                let fragment = response.url().fragment().map_or(String::new(), |fragment| format!("#{fragment}"));
                let arrived = self.noted(&format!("{}{fragment}", response.url()));
                assert_eq!(&arrived, case.arrives.as_ref().unwrap_or(&arrived), "{how}");
            }
            Err(error) => {
                assert_eq!(Err(error.kind().name().to_owned()), case.outcome, "{how}: {error}");
                assert!(!error.to_string().contains("hunter2"), "{how}: {error}");
            }
        }
        let heard = scene.heard.borrow();
        let sent: String = heard.iter().skip(1).map(|(_, request)| self.noted(request)).collect();
        let expected = String::from_utf8(case.sent.clone()).unwrap();
        assert!(sent == expected, "{how}: sent\n{sent}\nexpected\n{expected}");
        let names_a_host = case.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host"));
        for (place, request) in heard.iter().filter(|_| !names_a_host) {
            assert!(request.contains(&format!("{}\r\n", self.port(*place))), "{how}: went astray: {request}");
        }
        if made.is_ok() {
            assert_eq!(scene.answers.borrow().len(), 0, "{how}: all was asked for");
        }
    }
}

fn replaced(text: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let (mut out, mut rest) = (Vec::new(), text);
    while let Some(at) = rest.windows(from.len()).position(|window| window == from) {
        out.extend_from_slice(&rest[..at]);
        out.extend_from_slice(to);
        rest = &rest[at + from.len()..];
    }
    out.extend_from_slice(rest);
    out
}

#[test]
fn every_redirect_leads_where_it_should_and_takes_along_what_it_should() {
    for case in windlass_corpus::redirects() {
        run_paused(async {
            let world = World::new();
            world.perform(&case, Cut::Whole).await;
            world.perform(&case, Cut::EachByte).await;
        });
    }
}

#[test]
fn every_redirect_leads_there_cut_in_two_at_every_byte() {
    // Of a long way each answer is as the one before.
    for case in windlass_corpus::redirects().iter().filter(|case| case.answers.len() <= 3) {
        run_paused(async {
            let world = World::new();
            let longest = case.answers.iter().map(Vec::len).max().unwrap();
            for at in 1..longest {
                world.perform(case, Cut::At(at)).await;
            }
        });
    }
}

/// What a client waits by default, whatever it is asked for.
const LONGEST: Duration = Duration::from_secs(60);

#[test]
fn every_retry_after_is_heeded_as_far_as_it_goes() {
    run_paused(async {
        let mut heeded = 0;
        for wait in windlass_corpus::waits() {
            let text = String::from_utf8_lossy(&wait.value).into_owned();
            let is_number = text.trim().bytes().all(|byte| byte.is_ascii_digit());
            if text.contains('-') && text.ends_with("GMT") {
                continue; // two digits of a year are another one by another clock
            }
            // A client reads dates by the system's clock, by which most have passed.
            let asked_for = wait.seconds.and_then(|seconds| match is_number {
                true => Some(seconds),
                false => (wait.now + seconds).checked_sub(now()).filter(|left| *left > 0),
            });
            let waited = asked_for.map_or(Duration::from_millis(100), Duration::from_secs).min(LONGEST);
            let busy =
                [b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\nRetry-After: ", &wait.value[..], b"\r\n\r\n"].concat();
            let left = RefCell::new(vec![OK.to_vec(), busy]); // idle for so long, a connection may be another one
            let town = Script::start(async move |mut peer: Peer| {
                while peer.hear().await.is_some() {
                    let answer = left.borrow_mut().pop().unwrap();
                    peer.say(answer).await;
                }
            });
            let retries = Retries::new(2).backoff(Backoff::constant(Duration::from_millis(100)));
            let client = Client::builder().retries(retries).build();
            let start = Instant::now();
            assert_eq!(client.get(&town.url()).send().await.unwrap().status(), 200, "{}", wait.name);
            let elapsed = start.elapsed();
            assert!(waited <= elapsed && elapsed < waited + Duration::from_millis(20), "{}: {elapsed:?}", wait.name);
            heeded += u32::from(asked_for.is_some());
        }
        assert!(heeded > 10, "{heeded}");
    });
}

/// Seconds since 1970.
fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs()
}
