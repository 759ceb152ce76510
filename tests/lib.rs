//! What the stories share: a loop to tell them on, peers that follow a script, and a count of open descriptors.
//!
//! ```text
//!   run, run_paused    a story on its own loop; it fails rather than hang
//!   run_alone          no other story of this program runs meanwhile: descriptors are as many after as before
//!   within_watchdog    a story with threads of its own, likewise
//!   Script             a server that does what it is told, byte for byte
//! ```
//!
//! `program` runs the examples, `sealed` is a server's side of TLS; `servers` are others' programs, asked `beside_curl`.
//! Next: `tcp`, `http_client`, `http_server`, the stories about the network.

pub mod beside_curl;
pub mod program;
pub mod sealed;
pub mod servers;

use std::cell::{Cell, RefCell};
use std::fs;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::{PoisonError, RwLock, mpsc};
use std::task::Poll;
use std::thread;
use std::time::Duration;

use windlass::http::Url;
use windlass::net::{TcpListener, TcpSocket, TcpStream};
use windlass::task::JoinHandle;
use windlass::time::timeout;
use windlass::{Builder, Loop};

/// An address of this machine with a port of the kernel's choice.
pub const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);
/// Longer than any story takes by the system's clock, and by a paused clock longer than any of its time-outs.
const HANGS: Duration = Duration::from_secs(30);
const HANGS_PAUSED: Duration = Duration::from_secs(30 * 24 * 3600);

/// Longer than any story with threads of its own takes.
const WATCHDOG: Duration = Duration::from_secs(60);

/// Held shared by every story, and alone by those that count the descriptors of the process.
static DESCRIPTORS: RwLock<()> = RwLock::new(());

/// Runs a story on a loop with the system's clock.
///
/// # Panics
/// If it takes longer than half a minute.
pub fn run<F: Future>(main: F) -> F::Output {
    beside_others(|| tell(Loop::builder(), HANGS, main))
}

/// Runs a story on a loop with a paused clock.
///
/// # Panics
/// If it takes longer than a month by that clock, which it does at once when it hangs.
pub fn run_paused<F: Future>(main: F) -> F::Output {
    beside_others(|| tell(Loop::builder().paused_clock(), HANGS_PAUSED, main))
}

/// Runs a story on a thread of its own.
///
/// # Panics
/// If it does, or takes longer than a minute.
pub fn within_watchdog(story: impl FnOnce() + Send + 'static) {
    let (ended, end) = mpsc::channel();
    let thread = thread::spawn(move || {
        story();
        ended.send(()).expect("the watchdog hears");
    });
    match end.recv_timeout(WATCHDOG) {
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("hung"),
        _ => thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
    }
}

/// As [`run`], while no other story runs.
///
/// # Panics
/// As `run`, and if it leaves a descriptor open.
pub fn run_alone<F: Future>(main: F) -> F::Output {
    alone(|| tell(Loop::builder(), HANGS, main))
}

/// As [`run_paused`], while no other story runs.
///
/// # Panics
/// As `run_paused`, and if it leaves a descriptor open.
pub fn run_alone_paused<F: Future>(main: F) -> F::Output {
    alone(|| tell(Loop::builder().paused_clock(), HANGS_PAUSED, main))
}

/// Tells a story that makes its own loops.
pub fn beside_others<R>(story: impl FnOnce() -> R) -> R {
    let _others_may_run = DESCRIPTORS.read().unwrap_or_else(PoisonError::into_inner);
    story()
}

/// Tells a story that makes its own loops, while no other story runs.
///
/// # Panics
/// If it leaves a descriptor open.
pub fn alone<R>(story: impl FnOnce() -> R) -> R {
    let _nobody_else = DESCRIPTORS.write().unwrap_or_else(PoisonError::into_inner);
    let before = open_descriptors();
    let outcome = story();
    // Fewer is no fault of the story's: a thread of the one before it may have closed its last one meanwhile. More may be
    // a name's look-up that nobody waits for any more: it holds the way to wake its loop until it ends.
    let patience = std::time::Instant::now() + Duration::from_secs(5);
    while open_descriptors() > before {
        assert!(
            std::time::Instant::now() < patience,
            "descriptors after as before: {} after, {before} before",
            open_descriptors()
        );
        std::thread::yield_now();
    }
    outcome
}

fn tell<F: Future>(builder: Builder, hangs: Duration, main: F) -> F::Output {
    let crank = builder.build().expect("descriptors for a loop");
    crank.block_on(timeout(hangs, main)).expect("a story comes to its end")
}

/// How many descriptors this process has open, the one that counts them not included.
pub fn open_descriptors() -> usize {
    fs::read_dir("/proc/self/fd").expect("Linux").count() - 1
}

/// Gives the loop's other tasks a turn until `is_so`.
pub async fn until(mut is_so: impl FnMut() -> bool) {
    while !is_so() {
        windlass::time::sleep(Duration::from_micros(100)).await;
    }
}

/// Gives the loop's other tasks, and its sockets, a number of turns: more than one row of polls, however long it may be.
pub async fn some_turns() {
    for _ in 0..2_500 {
        windlass::task::yield_now().await;
    }
}

/// Waits for both, side by side in one task.
pub async fn join<A: Future, B: Future>(a: A, b: B) -> (A::Output, B::Output) {
    let (mut a, mut b) = (pin!(a), pin!(b));
    let (mut of_a, mut of_b) = (None, None);
    poll_fn(|cx| {
        if of_a.is_none()
            && let Poll::Ready(output) = a.as_mut().poll(cx)
        {
            of_a = Some(output);
        }
        if of_b.is_none()
            && let Poll::Ready(output) = b.as_mut().poll(cx)
        {
            of_b = Some(output);
        }
        if of_a.is_some() && of_b.is_some() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    (of_a.expect("both are done"), of_b.expect("both are done"))
}

/// Polls `future` at most `polls` times, each when it is woken, and drops it then. None if it was not done by that time.
pub async fn poll_at_most<F: Future>(future: F, polls: usize) -> Option<F::Output> {
    let mut future: Pin<Box<F>> = Box::pin(future);
    let mut left = polls;
    poll_fn(move |cx| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        match future.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if left == 0 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// Two ends of one connection: the one that connected, and the one that was accepted.
pub async fn connected() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind(ANY).expect("a port");
    let ours = TcpStream::connect(listener.local_addr().expect("bound")).await.expect("it listens");
    let (theirs, _) = listener.accept().await.expect("one has connected");
    (ours, theirs)
}

/// A listener whose queue is full, and what is in it: whoever connects to it hears nothing.
pub async fn deaf(address: SocketAddr) -> (TcpListener, Vec<TcpStream>) {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }.expect("a socket");
    socket.bind(address).expect("a port");
    let listener = socket.listen(0).expect("bound");
    let address = listener.local_addr().expect("bound");
    let mut queued = Vec::new();
    // Linux takes in one more than the backlog says, and then lets SYNs fall.
    while let Ok(stream) = timeout(Duration::from_millis(20), TcpStream::connect(address)).await {
        queued.push(stream.expect("it listens"));
        assert!(queued.len() < 10, "the queue is full in the end");
    }
    (listener, queued)
}

/// A server whose connections each follow a script. It listens until it is dropped.
#[derive(Debug)]
pub struct Script {
    address: SocketAddr,
    seen: Rc<Seen>,
    listening: JoinHandle<()>,
}

#[derive(Default, Debug)]
struct Seen {
    connections: Cell<usize>,
    gone: Cell<usize>,
    heard: RefCell<Vec<String>>,
}

/// The server's end of one connection.
#[derive(Debug)]
pub struct Peer {
    /// Connections are counted from 0.
    pub number: usize,
    /// For what a script cannot say otherwise.
    pub stream: TcpStream,
    seen: Rc<Seen>,
    unheard: Vec<u8>,
}

impl Script {
    /// Listens, and has each connection follow `script`; at its end the connection is closed.
    pub fn start(script: impl AsyncFn(Peer) + 'static) -> Script {
        let listener = TcpListener::bind(ANY).expect("a port");
        Script::listen(listener, script)
    }

    /// As [`start`](Script::start), on a listener of the story's choice.
    pub fn listen(listener: TcpListener, script: impl AsyncFn(Peer) + 'static) -> Script {
        let address = listener.local_addr().expect("bound");
        let seen = Rc::new(Seen::default());
        let (script, noted) = (Rc::new(script), seen.clone());
        let listening = windlass::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.expect("descriptors enough");
                stream.set_nodelay(true).expect("a socket");
                let number = noted.connections.get();
                noted.connections.set(number + 1);
                let peer = Peer { number, stream, seen: noted.clone(), unheard: Vec::new() };
                let script = script.clone();
                drop(windlass::spawn(async move { script(peer).await }));
            }
        });
        Script { address, seen, listening }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// A URL there, with the path `/`.
    pub fn url(&self) -> Url {
        self.at("/")
    }

    /// A URL there.
    pub fn at(&self, path: &str) -> Url {
        Url::parse(&format!("http://{}{path}", self.address)).expect("an address and a path")
    }

    /// A URL of `https` there, by the name of this machine.
    pub fn https(&self) -> Url {
        Url::parse(&format!("https://localhost:{}/", self.address.port())).expect("a name and a port")
    }

    /// Connections taken in so far.
    pub fn connections(&self) -> usize {
        self.seen.connections.get()
    }

    /// Connections taken in so far whose script has not ended.
    pub fn open(&self) -> usize {
        self.seen.connections.get() - self.seen.gone.get()
    }

    /// The requests heard so far, over all connections, heads and bodies.
    pub fn heard(&self) -> Vec<String> {
        self.seen.heard.borrow().clone()
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.seen.gone.set(self.seen.gone.get() + 1);
    }
}

impl Peer {
    /// Hears one request to its end, if there is another one.
    pub async fn hear(&mut self) -> Option<String> {
        loop {
            if let Some(len) = whole_request(&self.unheard) {
                let rest = self.unheard.split_off(len);
                let request = std::mem::replace(&mut self.unheard, rest);
                let request = String::from_utf8_lossy(&request).into_owned();
                self.seen.heard.borrow_mut().push(request.clone());
                return Some(request);
            }
            let mut buffer = [0; 4096];
            let n = self.stream.read(&mut buffer).await.ok().filter(|n| *n > 0)?;
            self.unheard.extend_from_slice(&buffer[..n]);
        }
    }

    /// Sends `bytes`. False if nobody takes them.
    pub async fn say(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.stream.write_all(bytes.as_ref()).await.is_ok()
    }

    /// Ends its side in good order.
    pub fn end(&self) {
        let _ = self.stream.shutdown(std::net::Shutdown::Write); // the other side may be gone
    }

    /// Breaks the connection off.
    pub fn reset(self) {
        self.stream.set_linger(Some(Duration::ZERO)).expect("a socket");
    }

    /// Waits, with its ears open, until the other side has gone.
    pub async fn until_gone(&mut self) {
        while self.hear().await.is_some() {}
    }
}

/// The length of the request that `bytes` begin with, if all of it is there.
fn whole_request(bytes: &[u8]) -> Option<usize> {
    let head = bytes.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let text = String::from_utf8_lossy(&bytes[..head]).to_lowercase();
    let length = text.lines().find_map(|line| line.strip_prefix("content-length:"));
    let whole = head + length.map_or(0, |digits| digits.trim().parse().expect("a length"));
    (bytes.len() >= whole).then_some(whole)
}
