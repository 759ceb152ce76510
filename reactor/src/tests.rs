//! What the reactor promises, one fact a test.
//!
//! ```text
//!   Crank   a reactor and an executor that turn only when a test says so
//!   pair()  a watched end of a socket pair, and the other end
//!   Counter a waker that counts
//! ```
//!
//! Not here: the wheel by itself (`wheel::tests`), the loop that ties it all (the tests package).

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fs::File;
use std::future::poll_fn;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

use futures_core::Stream;
use mio::unix::SourceFd;
use mio::{Interest, Token};
use windlass_executor::waits::WaitReason;
use windlass_executor::{Executor, all_tasks, post, spawn, spawn_blocking, yield_now};

use crate::clock::Clock;
use crate::sources::{Happened, SourceKey, Sources, Wakers};
use crate::time::*;
use crate::*;

// ---------------------------------------------------------------------------------------------- what the tests share

/// How long anything may take before a test is called hung.
const WATCHDOG: Duration = Duration::from_secs(60);

/// Runs `test` on a thread of its own, so that a hang is a failure and not a hang.
fn within_watchdog(test: impl FnOnce() + Send + 'static) {
    let (ended, end) = mpsc::channel();
    let thread = thread::spawn(move || {
        test();
        ended.send(()).unwrap();
    });
    match end.recv_timeout(WATCHDOG) {
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("hung"),
        _ => thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
    }
}

/// A reactor that turns only when the test says so, entered for as long as it lives.
struct Crank {
    executor: Executor,
    reactor: Reactor,
    /// The same epoll, to slip it tokens that the reactor never gave out.
    registry: mio::Registry,
    unparker: Unparker,
    _reactor: Enter,
    _executor: windlass_executor::Enter,
}

impl Crank {
    #[track_caller]
    fn with(clock: Clock) -> Self {
        let (poller, unparker) = Poller::new().unwrap();
        let registry = poller.registry().try_clone().unwrap();
        let unpark = unparker.clone();
        let executor = Executor::new(move || unpark.unpark()).unwrap();
        let reactor = Reactor::with_clock(poller, executor.id(), clock);
        let _executor = executor.enter(Location::caller()).unwrap();
        let _reactor = reactor.enter();
        Crank { executor, reactor, registry, unparker, _reactor, _executor }
    }

    #[track_caller]
    fn paused() -> Self {
        Self::with(Clock::paused())
    }

    #[track_caller]
    fn real() -> Self {
        Self::with(Clock::real())
    }

    /// Tasks, then the world, without waiting.
    fn turn(&self) {
        self.executor.read_inbox();
        self.executor.run(&Cell::new(u32::MAX));
        self.reactor.turn(Wait::No).unwrap();
    }

    /// Turns until nothing is ready, which takes two turns at most for what is there already.
    fn settle(&self) {
        (0..4).for_each(|_| self.turn());
    }
}

/// A watched end of a socket pair, and the other end. Neither blocks.
fn pair() -> (AsyncFd<UnixStream>, UnixStream) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    theirs.set_nonblocking(true).unwrap();
    (AsyncFd::new(ours).unwrap(), theirs)
}

/// A waker that counts its wakes.
#[derive(Default)]
struct Counter(AtomicUsize);

impl Counter {
    fn new() -> (Arc<Counter>, Waker) {
        let counter = Arc::new(Counter::default());
        (counter.clone(), Waker::from(counter))
    }

    fn wakes(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

impl Wake for Counter {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// A waker that runs a closure.
struct Runs<F>(F);

impl<F: Fn() + Send + Sync + 'static> Wake for Runs<F> {
    fn wake(self: Arc<Self>) {
        (self.0)();
    }
}

fn runs(f: impl Fn() + Send + Sync + 'static) -> Waker {
    Waker::from(Arc::new(Runs(f)))
}

fn poll_with<F: Future>(future: Pin<&mut F>, waker: &Waker) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(waker))
}

fn poll_once<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    poll_with(future, Waker::noop())
}

fn read_with<S>(fd: &AsyncFd<S>, buffer: &mut [u8], waker: &Waker) -> Poll<io::Result<usize>>
where
    S: std::os::fd::AsFd + Send + 'static,
    for<'a> &'a S: Read + Write,
{
    fd.poll_read_stream(&mut Context::from_waker(waker), buffer)
}

/// Writes until the socket takes no more, and leaves `waker` there.
fn fill(fd: &AsyncFd<UnixStream>, waker: &Waker) {
    let bytes = [7; 65536];
    while fd.poll_write_stream(&mut Context::from_waker(waker), &bytes).is_ready() {}
}

fn drain(mut stream: &UnixStream) -> usize {
    let mut buffer = [0; 65536];
    let mut sum = 0;
    while let Ok(n @ 1..) = stream.read(&mut buffer) {
        sum += n;
    }
    sum
}

/// The message that `f` panics with.
#[track_caller]
fn panic_of<R>(f: impl FnOnce() -> R) -> String {
    let panic = catch_unwind(AssertUnwindSafe(f)).err().expect("it panics");
    match panic.downcast::<String>() {
        Ok(text) => *text,
        Err(panic) => panic.downcast_ref::<&str>().expect("a panic with a text").to_string(),
    }
}

/// A generator of which the same seed gives the same numbers (xorshift64*, Vigna 2016).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    fn below(&mut self, n: u64) -> u64 {
        (self.next() >> 16) % n
    }
}

const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

// ------------------------------------------------------------------------------------------------------------ tokens

#[test]
fn generations_of_sources_start_over_without_mixing_up_neighbours() {
    let happened = Happened { readable: true, ..Happened::default() };
    let (mut sources, mut wakers) = (Sources::default(), Wakers::new());
    sources.start_generations_over();
    let last = sources.insert();
    sources.remove(last, &mut wakers);
    let first_again = sources.insert();
    assert_eq!((last.to_token(), first_again.to_token()), (Token(u32::MAX as usize), Token(1)), "the same index");
    assert!(!sources.mark(last, happened, &mut wakers));
    assert!(sources.mark(first_again, happened, &mut wakers));
}

/// Whatever token comes in, nobody is woken and nothing breaks.
#[test]
fn random_freed_and_reused_keys_mark_nothing() {
    let seed = 0x5EED;
    println!("seed {seed}");
    let mut random = Random(seed);
    let mut sources = Sources::default();
    let mut wakers = Wakers::new();
    let happened = Happened { readable: true, writable: true, read_closed: true, write_closed: true, urgent: true };
    let mut gone = Vec::new();
    let mut live = Vec::new();
    for _ in 0..2000 {
        if random.below(2) == 0 {
            live.push(sources.insert());
        } else if !live.is_empty() {
            let key = live.swap_remove(random.below(live.len() as u64) as usize);
            sources.remove(key, &mut wakers);
            gone.push(key);
        }
        if let Some(&key) = gone.last() {
            assert!(!sources.mark(key, happened, &mut wakers));
        }
    }
    assert!(gone.iter().all(|&key| !sources.mark(key, happened, &mut wakers)));
    let tokens = (0..100_000).map(|_| Token(random.next() as usize));
    for token in tokens.chain([Token(0), Token(usize::MAX), Token(u32::MAX as usize), Token(1 << 32)]) {
        let key = SourceKey::from_token(token);
        assert_eq!(key.to_token(), token);
        assert_eq!(sources.mark(key, happened, &mut wakers), live.contains(&key));
    }
    assert_eq!(sources.len(), live.len());
    assert!(wakers.is_empty());
}

/// Through the kernel.
#[test]
fn an_event_with_a_token_that_is_nobodys_is_counted_and_ignored() {
    let crank = Crank::paused();
    let (watched, mut peer) = pair();
    crank.settle();
    let before = crank.reactor.counts();
    let (stranger, _other_end) = UnixStream::pair().unwrap();
    let token = Token((77 << 32) | 5);
    crank.registry.register(&mut SourceFd(&stranger.as_raw_fd()), token, Interest::WRITABLE).unwrap();
    crank.turn();
    let after = crank.reactor.counts();
    assert_eq!((after.stale_events - before.stale_events, after.events - before.events), (1, 0));
    // The watched one works on.
    peer.write_all(b"x").unwrap();
    crank.settle();
    assert!(poll_once(pin!(watched.readable())).is_ready());
}

/// An entry that is used again gets no event of the one before it.
#[test]
fn an_event_for_the_source_before_it_at_the_same_index_does_not_reach_a_new_one() {
    let crank = Crank::paused();
    let (old, _old_peer) = pair();
    let token = token_of(&old);
    crank.settle();
    drop(old);
    let (new, _new_peer) = pair();
    let (was, is) = (SourceKey::from_token(token), SourceKey::from_token(token_of(&new)));
    assert_eq!(was.index(), is.index());
    crank.settle();
    let (readers, waker) = Counter::new();
    let mut wait = pin!(new.readable());
    assert!(poll_with(wait.as_mut(), &waker).is_pending());
    let (stranger, mut end) = UnixStream::pair().unwrap();
    crank.registry.register(&mut SourceFd(&stranger.as_raw_fd()), token, Interest::READABLE).unwrap();
    end.write_all(b"x").unwrap();
    let before = crank.reactor.counts().stale_events;
    crank.turn();
    assert_eq!(crank.reactor.counts().stale_events - before, 1);
    assert_eq!(readers.wakes(), 0);
    assert!(poll_with(wait, &waker).is_pending());
}

/// The token that a source is watched under: by its Debug form, which names the index, and the table.
fn token_of(fd: &AsyncFd<UnixStream>) -> Token {
    fd.token()
}

/// Two sources in one batch; the first to be woken closes the second and opens a third in its place.
#[test]
fn a_source_closed_by_its_neighbour_in_the_same_batch_leaves_nothing_to_the_one_in_its_place() {
    let crank = Crank::paused();
    let (a, mut a_peer) = pair();
    let (b, mut b_peer) = pair();
    crank.settle();
    let b_fd = b.as_raw_fd();
    let woken = Rc::new(Cell::new(false));
    let flag = woken.clone();
    drop(spawn(async move {
        a.readable().await.unwrap();
        let (b_index, b_number) = (SourceKey::from_token(token_of(&b)).index(), b.as_raw_fd());
        drop(b);
        let (c, _c_peer) = pair();
        assert_eq!(SourceKey::from_token(token_of(&c)).index(), b_index, "the same place");
        assert_eq!(c.as_raw_fd(), b_number, "the same descriptor");
        c.readable().await.unwrap();
        flag.set(true);
    }));
    crank.settle();
    a_peer.write_all(b"a").unwrap();
    b_peer.write_all(b"b").unwrap();
    let before = crank.reactor.counts().events;
    crank.reactor.turn(Wait::No).unwrap();
    assert_eq!(crank.reactor.counts().events - before, 2, "one batch");
    crank.settle();
    assert!(!woken.get());
    assert!(b_fd >= 0);
}

/// I7: the watch ends with its owner, not with the last descriptor of the socket.
#[test]
fn a_duplicate_of_a_closed_descriptor_gets_no_events() {
    let crank = Crank::paused();
    let (ours, mut peer) = pair();
    let duplicate = ours.get_ref().try_clone().unwrap();
    crank.settle();
    drop(ours);
    let before = crank.reactor.counts();
    peer.write_all(b"to the duplicate").unwrap();
    drop(peer);
    crank.settle();
    let after = crank.reactor.counts();
    assert_eq!((after.events, after.stale_events), (before.events, before.stale_events));
    assert_eq!(crank.reactor.sources(), 0);
    drop(duplicate);
}

/// epoll refuses regular files.
#[test]
fn a_source_that_cannot_be_watched_leaves_no_entry() {
    let crank = Crank::paused();
    for _ in 0..10 {
        let file = File::open(std::env::current_exe().unwrap()).unwrap();
        assert_eq!(AsyncFd::new(file).unwrap_err().kind(), ErrorKind::PermissionDenied);
        assert_eq!(crank.reactor.sources(), 0);
    }
    drop(pair());
    assert_eq!(crank.reactor.sources(), 0);
}

#[test]
fn a_source_cannot_be_made_outside_a_loop() {
    let (stream, _peer) = UnixStream::pair().unwrap();
    assert_eq!(
        panic_of(|| AsyncFd::new(stream)),
        "a socket or other source was made outside a running loop: make it inside block_on"
    );
}

// --------------------------------------------------------------------------------------------------------- readiness

#[test]
fn a_reset_wakes_the_reader_and_the_writer() {
    let crank = Crank::paused();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let ours = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    ours.set_nonblocking(true).unwrap();
    let (mut peer, _) = listener.accept().unwrap();
    let ours = AsyncFd::new(ours).unwrap();
    crank.settle();
    let (reader, reads) = Counter::new();
    let (writer, writes) = Counter::new();
    assert!(read_with(&ours, &mut [0; 16], &reads).is_pending());
    while ours.poll_write_stream(&mut Context::from_waker(&writes), &[0; 65536]).is_ready() {}
    // Closing with unread data sends a reset.
    peer.read_exact(&mut [0; 1]).unwrap();
    drop(peer);
    crank.reactor.turn(Wait::Yes).unwrap();
    assert_eq!((reader.wakes(), writer.wakes()), (1, 1));
    let error = match read_with(&ours, &mut [0; 16], &reads) {
        Poll::Ready(Err(error)) => error,
        other => panic!("{other:?}"),
    };
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    let write = ours.poll_write_stream(&mut Context::from_waker(&writes), &[0; 1]);
    assert!(matches!(write, Poll::Ready(Err(_))), "{write:?}");
}

/// A hang-up without a byte to read.
#[test]
fn a_hang_up_wakes_the_reader_and_the_writer() {
    let crank = Crank::paused();
    let (ours, peer) = pair();
    crank.settle();
    let (reader, reads) = Counter::new();
    let (writer, writes) = Counter::new();
    assert!(read_with(&ours, &mut [0; 16], &reads).is_pending());
    fill(&ours, &writes);
    drain(&peer);
    drop(peer);
    crank.turn();
    assert_eq!((reader.wakes(), writer.wakes()), (1, 1));
    assert!(matches!(read_with(&ours, &mut [0; 16], &reads), Poll::Ready(Ok(0))));
}

/// An error without a hang-up, which a pipe gives to its writer when nobody is left to read.
#[test]
fn an_error_wakes_both_directions() {
    let crank = Crank::paused();
    let (reader, writer) = io::pipe().unwrap();
    let writer = AsyncFd::new(writer).unwrap();
    crank.settle();
    let (read, read_waker) = Counter::new();
    let (written, write_waker) = Counter::new();
    let (mut reads, mut writes) = (pin!(writer.readable()), pin!(writer.writable()));
    let full = writer.try_io(Direction::Write, |_| -> io::Result<()> { Err(ErrorKind::WouldBlock.into()) });
    assert!(full.is_err());
    assert!(poll_with(reads.as_mut(), &read_waker).is_pending());
    assert!(poll_with(writes.as_mut(), &write_waker).is_pending());
    drop(reader);
    crank.turn();
    assert_eq!((read.wakes(), written.wakes()), (1, 1));
}

#[test]
fn the_empty_end_of_a_pipe_hears_that_the_other_was_closed() {
    let crank = Crank::paused();
    let (reader, writer) = io::pipe().unwrap();
    let reader = AsyncFd::new(reader).unwrap();
    crank.settle();
    let (woken, waker) = Counter::new();
    let mut wait = pin!(reader.readable());
    assert!(poll_with(wait.as_mut(), &waker).is_pending());
    drop(writer);
    crank.turn();
    assert_eq!(woken.wakes(), 1);
    assert!(poll_with(wait, &waker).is_ready());
}

#[test]
fn data_and_the_end_that_came_in_one_edge_are_both_read() {
    let crank = Crank::paused();
    let (ours, mut peer) = pair();
    crank.settle();
    let (_, waker) = Counter::new();
    assert!(read_with(&ours, &mut [0; 16], &waker).is_pending());
    peer.write_all(b"last words").unwrap();
    drop(peer);
    crank.turn();
    let mut buffer = [0; 64];
    // A short read: without the hang-up seen it would count as drained, and the end would never come.
    assert!(matches!(read_with(&ours, &mut buffer, &waker), Poll::Ready(Ok(10))));
    assert!(matches!(read_with(&ours, &mut buffer, &waker), Poll::Ready(Ok(0))));
    assert!(matches!(read_with(&ours, &mut buffer, &waker), Poll::Ready(Ok(0))), "and the end stays");
}

#[test]
fn data_then_the_end_in_an_edge_of_its_own_are_both_read() {
    let crank = Crank::paused();
    let (ours, mut peer) = pair();
    crank.settle();
    let (woken, waker) = Counter::new();
    peer.write_all(b"words").unwrap();
    crank.turn();
    assert!(matches!(read_with(&ours, &mut [0; 64], &waker), Poll::Ready(Ok(5))));
    assert!(read_with(&ours, &mut [0; 64], &waker).is_pending());
    peer.shutdown(Shutdown::Write).unwrap();
    crank.turn();
    assert_eq!(woken.wakes(), 1);
    assert!(matches!(read_with(&ours, &mut [0; 64], &waker), Poll::Ready(Ok(0))));
}

#[test]
fn a_short_read_spares_the_call_that_would_find_nothing() {
    let crank = Crank::paused();
    let (ours, mut peer) = pair();
    crank.settle();
    let (_, waker) = Counter::new();
    peer.write_all(b"words").unwrap();
    crank.turn();
    let before = crank.reactor.counts();
    assert!(read_with(&ours, &mut [0; 64], &waker).is_ready());
    assert!(read_with(&ours, &mut [0; 64], &waker).is_pending());
    let after = crank.reactor.counts();
    assert_eq!((after.syscalls - before.syscalls, after.would_block - before.would_block), (1, 0));
}

#[test]
fn a_read_that_filled_its_buffer_is_tried_again_and_finds_the_rest() {
    let crank = Crank::paused();
    let (ours, mut peer) = pair();
    crank.settle();
    let (woken, waker) = Counter::new();
    peer.write_all(b"12345678").unwrap();
    crank.turn();
    let mut buffer = [0; 4];
    for expected in [b"1234", b"5678"] {
        assert!(matches!(read_with(&ours, &mut buffer, &waker), Poll::Ready(Ok(4))));
        assert_eq!(&buffer, expected);
    }
    assert!(read_with(&ours, &mut buffer, &waker).is_pending());
    assert_eq!(crank.reactor.counts().would_block, 1);
    peer.write_all(b"9").unwrap();
    crank.turn();
    assert_eq!(woken.wakes(), 1, "it was armed again (R54)");
    assert!(matches!(read_with(&ours, &mut buffer, &waker), Poll::Ready(Ok(1))));
}

#[test]
fn a_half_closed_socket_with_a_full_send_buffer_is_quiet() {
    let crank = Crank::paused();
    let (ours, peer) = pair();
    crank.settle();
    let (writer, writes) = Counter::new();
    fill(&ours, &writes);
    peer.shutdown(Shutdown::Write).unwrap();
    crank.settle();
    let (events, woken) = (crank.reactor.counts().events, writer.wakes());
    assert!(woken <= 1, "{woken} wakes");
    if woken == 1 {
        fill(&ours, &writes);
    }
    for _ in 0..100 {
        crank.turn();
    }
    assert_eq!((crank.reactor.counts().events, writer.wakes()), (events, woken), "nothing more until there is room");
    drain(&peer);
    crank.turn();
    assert_eq!(writer.wakes(), woken + 1);
}

#[test]
fn a_quiet_socket_with_a_reader_and_a_writer_waiting_wakes_neither() {
    let crank = Crank::paused();
    let (ours, _peer) = pair();
    let (reader, reads) = Counter::new();
    let (writer, writes) = Counter::new();
    fill(&ours, &writes);
    crank.settle();
    fill(&ours, &writes);
    assert!(read_with(&ours, &mut [0; 16], &reads).is_pending());
    let before = (reader.wakes(), writer.wakes());
    (0..100).for_each(|_| crank.turn());
    assert_eq!((reader.wakes(), writer.wakes()), before);
}

/// What happens in one direction says nothing of the other.
#[test]
fn room_to_write_does_not_wake_who_waits_to_read() {
    let crank = Crank::paused();
    let (ours, peer) = pair();
    crank.settle();
    let (reader, reads) = Counter::new();
    let (writer, writes) = Counter::new();
    assert!(read_with(&ours, &mut [0; 16], &reads).is_pending());
    for _ in 0..20 {
        fill(&ours, &writes);
        assert!(drain(&peer) > 0);
        crank.turn();
    }
    assert_eq!((reader.wakes(), writer.wakes()), (0, 20));
}

#[test]
fn all_who_wait_for_one_direction_are_woken() {
    let crank = Crank::paused();
    let (ours, mut peer) = pair();
    crank.settle();
    let counters: Vec<_> = (0..5).map(|_| Counter::new()).collect();
    let mut waits: Vec<_> = counters.iter().map(|_| Box::pin(ours.readable())).collect();
    for (wait, (_, waker)) in waits.iter_mut().zip(&counters) {
        assert!(poll_with(wait.as_mut(), waker).is_pending());
    }
    let (poller, waker) = Counter::new();
    assert!(read_with(&ours, &mut [0; 16], &waker).is_pending());
    peer.write_all(b"x").unwrap();
    crank.turn();
    assert!(counters.iter().all(|(counter, _)| counter.wakes() == 1));
    assert_eq!(poller.wakes(), 1);
    assert!(waits.iter_mut().all(|wait| poll_once(wait.as_mut()).is_ready()));
}

#[test]
fn who_gave_up_waiting_is_not_woken_and_the_others_are() {
    let crank = Crank::paused();
    let (ours, mut peer) = pair();
    crank.settle();
    let counters: Vec<_> = (0..3).map(|_| Counter::new()).collect();
    let mut waits: Vec<_> = counters.iter().map(|_| Box::pin(ours.ready(Direction::Read))).collect();
    for (wait, (_, waker)) in waits.iter_mut().zip(&counters) {
        assert!(poll_with(wait.as_mut(), waker).is_pending());
    }
    drop(waits.remove(1));
    assert_eq!(Arc::strong_count(&counters[1].0), 2, "its waker is gone from the table");
    peer.write_all(b"x").unwrap();
    crank.turn();
    assert_eq!(counters.iter().map(|(counter, _)| counter.wakes()).collect::<Vec<_>>(), [1, 0, 1]);
}

#[test]
fn readiness_wakes_the_last_waker_it_was_polled_with() {
    let crank = Crank::paused();
    let (ours, mut peer) = pair();
    crank.settle();
    let (first, first_waker) = Counter::new();
    let (second, second_waker) = Counter::new();
    let mut wait = pin!(ours.readable());
    assert!(poll_with(wait.as_mut(), &first_waker).is_pending());
    assert!(poll_with(wait.as_mut(), &second_waker).is_pending());
    peer.write_all(b"x").unwrap();
    crank.turn();
    assert_eq!((first.wakes(), second.wakes()), (0, 1));
}

#[test]
fn a_poll_of_a_read_wakes_the_last_waker_it_was_polled_with() {
    let crank = Crank::paused();
    let (ours, mut peer) = pair();
    crank.settle();
    let (first, first_waker) = Counter::new();
    let (second, second_waker) = Counter::new();
    assert!(read_with(&ours, &mut [0; 16], &first_waker).is_pending());
    assert!(read_with(&ours, &mut [0; 16], &second_waker).is_pending());
    peer.write_all(b"x").unwrap();
    crank.turn();
    assert_eq!((first.wakes(), second.wakes()), (0, 1));
}

#[test]
fn an_operation_that_is_interrupted_is_tried_again() {
    let crank = Crank::paused();
    let (ours, mut peer) = pair();
    peer.write_all(b"x").unwrap();
    crank.settle();
    let mut tries = 0;
    let read = ours.poll_io(Direction::Read, &mut Context::from_waker(Waker::noop()), |_| {
        tries += 1;
        if tries < 3 { Err(ErrorKind::Interrupted.into()) } else { Ok(tries) }
    });
    assert!(matches!(read, Poll::Ready(Ok(3))));
}

#[test]
fn try_io_that_would_block_makes_the_next_wait_wait() {
    let crank = Crank::paused();
    let (ours, mut peer) = pair();
    crank.settle();
    let mut buffer = [0; 16];
    let mut attempts = 0;
    let mut attempt = |fd: &AsyncFd<UnixStream>| {
        fd.try_io(Direction::Read, |mut io| {
            attempts += 1;
            io.read(&mut buffer)
        })
    };
    assert_eq!(attempt(&ours).unwrap_err().kind(), ErrorKind::WouldBlock);
    peer.write_all(b"x").unwrap();
    crank.settle();
    assert_eq!(attempt(&ours).unwrap(), 1);
    assert_eq!(attempt(&ours).unwrap_err().kind(), ErrorKind::WouldBlock);
    assert_eq!(attempt(&ours).unwrap_err().kind(), ErrorKind::WouldBlock);
    assert_eq!(attempts, 2, "the first and the last did not ask the kernel");
    assert!(poll_once(pin!(ours.readable())).is_pending());
}

#[test]
fn a_task_that_waits_for_a_source_says_for_which_and_how() {
    let crank = Crank::paused();
    let (ours, _peer) = pair();
    let source = SourceKey::from_token(token_of(&ours)).index();
    drop(spawn(async move { ours.readable().await }));
    crank.settle();
    assert_eq!(all_tasks()[0].waiting_for, WaitReason::Readable { source });
}

/// I3: a waker that the table lets go may use the table.
#[test]
fn a_waker_may_do_anything_to_the_sources_when_it_is_woken_or_dropped() {
    thread_local!(static SPARE: RefCell<Vec<AsyncFd<UnixStream>>> = const { RefCell::new(Vec::new()) });
    struct Meddles;
    fn meddle() {
        let spare = SPARE.with_borrow_mut(Vec::pop).expect("there is one for each touch");
        assert!(poll_once(pin!(spare.readable())).is_pending());
        drop(spare);
        let (more, _peer) = pair();
        assert!(read_with(&more, &mut [0; 1], Waker::noop()).is_pending());
        let mut nap = pin!(sleep(ms(1)));
        assert!(poll_once(nap.as_mut()).is_pending());
    }
    impl Wake for Meddles {
        fn wake(self: Arc<Self>) {
            meddle();
        }
    }
    impl Drop for Meddles {
        fn drop(&mut self) {
            meddle();
        }
    }
    let crank = Crank::paused();
    let mut peers = Vec::new();
    for _ in 0..40 {
        let (spare, peer) = pair();
        SPARE.with_borrow_mut(|spares| spares.push(spare));
        peers.push(peer);
    }
    crank.settle();
    let meddler = || Waker::from(Arc::new(Meddles));
    let (ours, mut peer) = pair();
    for _ in 0..2 {
        assert!(read_with(&ours, &mut [0; 1], &meddler()).is_pending()); // the second lets the first go
    }
    {
        let mut given_up = pin!(ours.ready(Direction::Read));
        assert!(poll_with(given_up.as_mut(), &meddler()).is_pending());
        assert!(poll_with(given_up.as_mut(), &meddler()).is_pending());
    }
    let mut wait = Box::pin(ours.ready(Direction::Read));
    assert!(poll_with(wait.as_mut(), &meddler()).is_pending());
    let mut nap = Box::pin(sleep(ms(5)));
    assert!(poll_with(nap.as_mut(), &meddler()).is_pending());
    assert!(poll_with(nap.as_mut(), &meddler()).is_pending());
    let mut dropped = Box::pin(sleep(ms(5)));
    assert!(poll_with(dropped.as_mut(), &meddler()).is_pending());
    drop(dropped);
    peer.write_all(b"x").unwrap();
    crank.turn();
    while crank.reactor.timers() > 0 {
        crank.reactor.turn(Wait::Yes).unwrap();
    }
    drop(wait);
    let (closing, _peer) = pair();
    crank.settle();
    assert!(read_with(&closing, &mut [0; 1], &meddler()).is_pending());
    drop(closing);
    let left = SPARE.with_borrow(Vec::len);
    assert!(left <= 40 - 10, "{left} left: it was touched at each place");
    SPARE.take();
}

/// I3: also what an operation's error carries.
#[test]
fn an_error_that_says_would_block_may_do_anything_when_it_is_dropped() {
    #[derive(Debug)]
    struct Meddles;
    impl std::fmt::Display for Meddles {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("meddles")
        }
    }
    impl std::error::Error for Meddles {}
    impl Drop for Meddles {
        fn drop(&mut self) {
            drop(pair());
        }
    }
    let crank = Crank::paused();
    let (ours, _peer) = pair();
    crank.settle();
    let error =
        ours.try_io(Direction::Write, |_| -> io::Result<()> { Err(io::Error::new(ErrorKind::WouldBlock, Meddles)) });
    assert_eq!(error.unwrap_err().kind(), ErrorKind::WouldBlock);
}

#[test]
fn a_waker_that_panics_keeps_no_event_from_the_others() {
    let crank = Crank::paused();
    let mut ends: Vec<_> = (0..10).map(|_| pair()).collect();
    crank.settle();
    let (woken, good) = Counter::new();
    let bad = runs(|| panic!("in a wake"));
    for (number, (ours, _)) in ends.iter().enumerate() {
        let waker = if number % 3 == 0 { &bad } else { &good };
        assert!(read_with(ours, &mut [0; 1], waker).is_pending());
    }
    ends.iter_mut().for_each(|(_, peer)| peer.write_all(b"x").unwrap());
    crank.reactor.turn(Wait::No).unwrap();
    assert_eq!(woken.wakes(), 6);
}

#[test]
fn what_a_waker_panicked_with_is_dropped_also_if_that_panics() {
    struct Payload(Arc<AtomicUsize>);
    impl Drop for Payload {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::SeqCst);
            panic!("in the payload");
        }
    }
    let crank = Crank::paused();
    let dropped = Arc::new(AtomicUsize::new(0));
    let count = dropped.clone();
    let bad = runs(move || std::panic::panic_any(Payload(count.clone())));
    let mut nap = Box::pin(sleep(ms(5)));
    assert!(poll_with(nap.as_mut(), &bad).is_pending());
    while crank.reactor.timers() > 0 {
        crank.reactor.turn(Wait::Yes).unwrap();
    }
    assert_eq!(dropped.load(Ordering::SeqCst), 1);
}

#[test]
fn a_waker_that_panics_keeps_no_timer_from_the_others() {
    let crank = Crank::paused();
    let (woken, good) = Counter::new();
    let bad = runs(|| panic!("in a wake"));
    let mut naps: Vec<_> = (0..10).map(|_| Box::pin(sleep(ms(5)))).collect();
    for (number, nap) in naps.iter_mut().enumerate() {
        assert!(poll_with(nap.as_mut(), if number % 3 == 0 { &bad } else { &good }).is_pending());
    }
    while crank.reactor.timers() > 0 {
        crank.reactor.turn(Wait::Yes).unwrap();
    }
    assert_eq!(woken.wakes(), 6);
}

#[test]
fn a_waker_that_panics_when_its_source_is_closed_keeps_nothing_from_the_others() {
    let crank = Crank::paused();
    let (ours, _peer) = pair();
    crank.settle();
    let (woken, good) = Counter::new();
    let bad = runs(|| panic!("in a wake"));
    assert!(read_with(&ours, &mut [0; 1], &bad).is_pending());
    fill(&ours, &good);
    assert!(catch_unwind(AssertUnwindSafe(|| drop(ours))).is_ok(), "closing never panics");
    assert_eq!((woken.wakes(), crank.reactor.sources()), (1, 0));
}

#[test]
fn a_source_that_is_closed_wakes_who_polled_it() {
    let crank = Crank::paused();
    let (ours, _peer) = pair();
    crank.settle();
    let (reader, reads) = Counter::new();
    assert!(read_with(&ours, &mut [0; 1], &reads).is_pending());
    drop(ours);
    assert_eq!(reader.wakes(), 1);
}

#[test]
fn what_was_watched_can_be_taken_out_used_and_watched_again() {
    let crank = Crank::paused();
    let (ours, mut peer) = pair();
    crank.settle();
    let mut stream = ours.into_inner().unwrap();
    assert_eq!(crank.reactor.sources(), 0);
    peer.write_all(b"once").unwrap();
    let mut buffer = [0; 4];
    stream.read_exact(&mut buffer).unwrap();
    let again = AsyncFd::new(stream).unwrap();
    crank.settle();
    assert!(read_with(&again, &mut buffer, Waker::noop()).is_pending());
    peer.write_all(b"more").unwrap();
    crank.turn();
    assert!(matches!(read_with(&again, &mut buffer, Waker::noop()), Poll::Ready(Ok(4))));
    assert_eq!(&buffer, b"more");
}

/// 20,000 sockets one after the other in the same places, each with a byte of its own.
#[test]
fn no_byte_reaches_another_socket_however_often_a_place_is_used_again() {
    let crank = Crank::paused();
    let seed = 0x0DD5;
    println!("seed {seed}");
    let mut random = Random(seed);
    let mut open: Vec<(AsyncFd<UnixStream>, UnixStream, u8)> = Vec::new();
    for round in 0..20_000u32 {
        if open.len() < 20 {
            let (ours, mut peer) = pair();
            peer.write_all(&[round as u8]).unwrap();
            open.push((ours, peer, round as u8));
        }
        if round % 7 == 0 {
            crank.reactor.turn(Wait::No).unwrap();
        }
        if random.below(3) == 0 {
            let (ours, _peer, id) = open.swap_remove(random.below(open.len() as u64) as usize);
            let mut buffer = [0; 2];
            if let Poll::Ready(read) = read_with(&ours, &mut buffer, Waker::noop()) {
                assert_eq!((read.unwrap(), buffer[0]), (1, id));
            }
        }
    }
    assert_eq!(crank.reactor.counts().stale_events, 0);
    assert_eq!(crank.reactor.sources(), open.len());
}

// ---------------------------------------------------------------------------------------------------- other threads

#[test]
fn on_another_thread_every_operation_is_an_error_that_says_so() {
    let crank = Crank::paused();
    let (ours, mut peer) = pair();
    peer.write_all(b"x").unwrap();
    crank.settle();
    let ours = thread::spawn(move || {
        let errors = [
            poll_once(pin!(ours.readable())).map_ok(|()| 0),
            read_with(&ours, &mut [0; 1], Waker::noop()),
            Poll::Ready(ours.try_io(Direction::Read, |mut io| io.read(&mut [0; 1]))),
        ];
        for error in errors {
            let Poll::Ready(Err(error)) = error else { panic!("{error:?}") };
            assert_eq!(
                (error.kind(), error.to_string().as_str()),
                (ErrorKind::Other, "a source was used outside its loop")
            );
        }
        ours
    })
    .join()
    .unwrap();
    assert!(matches!(read_with(&ours, &mut [0; 1], Waker::noop()), Poll::Ready(Ok(1))), "at home it works");
}

#[test]
fn in_another_loop_every_operation_is_an_error_that_says_so() {
    let crank = Crank::paused();
    let (ours, mut peer) = pair();
    peer.write_all(b"x").unwrap();
    crank.settle();
    drop(crank.executor);
    let (reactor, entered, executor_entered) = (crank.reactor, crank._reactor, crank._executor);
    drop((entered, executor_entered));
    doc(async {
        let error = ours.readable().await.unwrap_err();
        assert_eq!(error.to_string(), "a source was used outside its loop");
    });
    drop(ours);
    assert_eq!(reactor.sources(), 0, "dropped on its thread it is deregistered, entered or not");
}

/// I7.
#[test]
fn dropped_on_another_thread_a_source_is_deregistered_and_closed_by_its_loop() {
    let crank = Crank::paused();
    let (ours, mut peer) = pair();
    let duplicate = ours.get_ref().try_clone().unwrap();
    crank.settle();
    thread::spawn(move || drop(ours)).join().unwrap();
    assert_eq!(crank.reactor.sources(), 1, "until the loop has read its letters");
    assert_eq!(peer.read(&mut [0; 1]).unwrap_err().kind(), ErrorKind::WouldBlock);
    crank.turn();
    assert_eq!(crank.reactor.sources(), 0);
    let events = crank.reactor.counts();
    peer.write_all(b"for the duplicate").unwrap();
    crank.settle();
    let after = crank.reactor.counts();
    assert_eq!((after.events, after.stale_events), (events.events, events.stale_events));
    drop(duplicate);
    let mut rest = Vec::new();
    peer.set_nonblocking(false).unwrap();
    assert!(peer.read_to_end(&mut rest).is_ok() || rest.is_empty(), "and the descriptor is closed");
}

#[test]
fn dropped_when_its_loop_is_gone_a_source_is_closed() {
    let crank = Crank::paused();
    let (here, mut here_peer) = pair();
    let (there, mut there_peer) = pair();
    drop(crank);
    thread::spawn(move || drop(there)).join().unwrap();
    assert_eq!(there_peer.read(&mut [0; 1]).unwrap(), 0);
    drop(here);
    assert_eq!(here_peer.read(&mut [0; 1]).unwrap(), 0);
}

#[test]
fn taken_out_on_another_thread_a_source_is_an_error_and_closed_by_its_loop() {
    let crank = Crank::paused();
    let (ours, mut peer) = pair();
    let error = thread::spawn(move || ours.into_inner().unwrap_err()).join().unwrap();
    assert_eq!(error.to_string(), "a source was used outside its loop");
    crank.turn();
    assert_eq!(crank.reactor.sources(), 0);
    assert_eq!(peer.read(&mut [0; 1]).unwrap(), 0);
}

#[test]
fn a_sleep_dropped_on_another_thread_takes_its_timer_with_it() {
    let crank = Crank::paused();
    let mut nap = Box::pin(sleep(ms(5)));
    let (woken, waker) = Counter::new();
    assert!(poll_with(nap.as_mut(), &waker).is_pending());
    thread::spawn(move || drop(nap)).join().unwrap();
    assert_eq!(crank.reactor.timers(), 1);
    crank.turn();
    assert_eq!((crank.reactor.timers(), woken.wakes()), (0, 0));
}

#[test]
fn a_sleep_dropped_when_its_loop_is_gone_is_nobodys_trouble() {
    let crank = Crank::paused();
    let mut naps = [(); 2].map(|()| Box::pin(sleep(ms(5))));
    naps.iter_mut().for_each(|nap| assert!(poll_once(nap.as_mut()).is_pending()));
    drop(crank);
    let [here, there] = naps;
    thread::spawn(move || drop(there)).join().unwrap();
    drop(here);
}

#[test]
fn a_sleep_polled_outside_a_loop_says_so() {
    assert_eq!(panic_of(|| poll_once(pin!(sleep(ms(1))))), "a sleep was polled outside a running loop");
}

// ------------------------------------------------------------------------------------------------------- sleep, real

/// Each of 400 sleeps of up to 3 ms at a random phase.
#[test]
fn no_sleep_ends_early_by_the_systems_clock() {
    let seed = 0xC10C;
    println!("seed {seed}");
    within_watchdog(move || {
        doc_real(async {
            let mut random = Random(seed);
            let mut naps = Vec::new();
            for _ in 0..40 {
                for _ in 0..10 {
                    let length = Duration::from_nanos(random.below(3_000_000));
                    naps.push(spawn(async move {
                        let start = std::time::Instant::now();
                        sleep(length).await;
                        (length, start.elapsed())
                    }));
                }
                sleep(Duration::from_nanos(random.below(100_000))).await;
            }
            for nap in naps {
                let (asked, took) = nap.await.unwrap();
                assert!(took >= asked, "asked for {asked:?}, woken after {took:?}");
            }
        });
    });
}

/// A task that never gives way sees the time pass all the same.
#[test]
fn a_sleep_polled_again_and_again_in_one_poll_completes() {
    within_watchdog(|| {
        doc_real(async {
            let mut nap = sleep(ms(2));
            poll_fn(|cx| {
                while Pin::new(&mut nap).poll(cx).is_pending() {
                    std::hint::spin_loop();
                }
                Poll::Ready(())
            })
            .await;
        });
    });
}

/// A wait that ends too soon is no deadline.
#[test]
fn a_wait_that_ends_before_the_deadline_fires_nothing() {
    let crank = Crank::real();
    let (woken, waker) = Counter::new();
    let mut nap = pin!(sleep(Duration::from_secs(3600)));
    assert!(poll_with(nap.as_mut(), &waker).is_pending());
    for _ in 0..10 {
        crank.unparker.unpark();
        crank.reactor.turn(Wait::Yes).unwrap();
    }
    assert_eq!((woken.wakes(), crank.reactor.timers()), (0, 1));
    assert!(poll_with(nap, &waker).is_pending());
}

/// The deadline has passed before the wait begins.
#[test]
fn a_deadline_that_passes_before_the_wait_ends_it_at_once() {
    within_watchdog(|| {
        let crank = Crank::real();
        let (woken, waker) = Counter::new();
        let mut nap = pin!(sleep(Duration::from_nanos(1)));
        assert!(poll_with(nap.as_mut(), &waker).is_pending());
        while Instant::now() <= nap.deadline() {}
        crank.reactor.turn(Wait::Yes).unwrap();
        assert_eq!(woken.wakes(), 1);
        assert!(poll_with(nap, &waker).is_ready());
    });
}

#[test]
fn far_deadlines_are_far_and_for_ever_is_never() {
    for days in [25, 50, 100_000] {
        let crank = Crank::real();
        let far = Duration::from_secs(days * 24 * 3600);
        let mut nap = Box::pin(sleep(far));
        assert!(poll_once(nap.as_mut()).is_pending());
        let left = crank.reactor.next_deadline().unwrap();
        assert!(left <= far && left > far - WATCHDOG, "{left:?}");
        crank.unparker.unpark();
        crank.reactor.turn(Wait::Yes).unwrap();
        assert!(poll_once(nap.as_mut()).is_pending());
    }
    let crank = Crank::real();
    let mut nap = Box::pin(sleep(Duration::MAX));
    assert!(poll_once(nap.as_mut()).is_pending());
    assert_eq!((crank.reactor.next_deadline(), crank.reactor.timers()), (None, 1));
    drop(nap);
    assert_eq!(crank.reactor.timers(), 0);
}

#[test]
fn sums_with_the_greatest_durations_do_not_overflow() {
    let now = Instant::now();
    assert_eq!(now + Duration::MAX, Instant::FAR_FUTURE);
    assert_eq!(Instant::FAR_FUTURE + Duration::MAX, Instant::FAR_FUTURE);
    assert_eq!(now - (now + ms(1)), Duration::ZERO);
    assert_eq!((now - Duration::MAX).elapsed().as_secs(), now.saturating_duration_since(now - Duration::MAX).as_secs());
}

// ----------------------------------------------------------------------------------------------------- sleep, paused

#[test]
fn sleeps_end_in_the_order_of_their_deadlines_each_at_its_own() {
    doc(async {
        let (start, order) = (Instant::now(), Rc::new(RefCell::new(Vec::new())));
        let naps: Vec<_> = [30u64, 10, 20, 10, 0, 25]
            .into_iter()
            .map(|length| {
                let order = order.clone();
                spawn(async move {
                    sleep(ms(length)).await;
                    order.borrow_mut().push((length, start.elapsed().as_millis() as u64));
                })
            })
            .collect();
        for nap in naps {
            nap.await.unwrap();
        }
        assert_eq!(*order.borrow(), [(0, 0), (10, 10), (10, 10), (20, 20), (25, 25), (30, 30)]);
    });
}

#[test]
fn a_task_that_sleeps_says_until_when() {
    let crank = Crank::paused();
    let deadline = Instant::now() + ms(1500);
    drop(spawn(sleep_until(deadline)));
    crank.turn();
    assert_eq!(all_tasks()[0].waiting_for, WaitReason::Timer { deadline_ns: deadline.0 });
}

#[test]
fn a_sleep_dropped_before_its_time_takes_its_timer_with_it() {
    let crank = Crank::paused();
    let (woken, waker) = Counter::new();
    let mut nap = Box::pin(sleep(ms(5)));
    assert!(poll_with(nap.as_mut(), &waker).is_pending());
    assert_eq!(crank.reactor.timers(), 1);
    drop(nap);
    assert_eq!((crank.reactor.timers(), woken.wakes()), (0, 0));
}

#[test]
fn a_sleep_moved_later_ends_later_and_not_before() {
    let crank = Crank::paused();
    let (woken, waker) = Counter::new();
    let start = Instant::now();
    let mut nap = sleep(ms(5));
    assert!(poll_with(Pin::new(&mut nap), &waker).is_pending());
    nap.reset(start + ms(50));
    while woken.wakes() == 0 {
        crank.reactor.turn(Wait::Yes).unwrap();
    }
    assert_eq!(start.elapsed(), ms(50));
    assert!(poll_with(Pin::new(&mut nap), &waker).is_ready());
    assert_eq!(woken.wakes(), 1);
}

#[test]
fn a_sleep_moved_earlier_ends_earlier() {
    let crank = Crank::paused();
    let (woken, waker) = Counter::new();
    let start = Instant::now();
    let mut nap = sleep(ms(50));
    assert!(poll_with(Pin::new(&mut nap), &waker).is_pending());
    nap.reset(start + ms(5));
    while woken.wakes() == 0 {
        crank.reactor.turn(Wait::Yes).unwrap();
    }
    assert_eq!(start.elapsed(), ms(5));
}

#[test]
fn a_sleep_that_has_ended_can_be_set_again() {
    doc(async {
        let start = Instant::now();
        let mut nap = sleep(ms(5));
        for round in 1..=3 {
            (&mut nap).await;
            assert_eq!(start.elapsed(), ms(5 * round));
            nap.reset(Instant::now() + ms(5));
        }
    });
}

/// Reset after it fired and before that was seen.
#[test]
fn a_sleep_reset_after_it_fired_unseen_waits_for_its_new_deadline() {
    let crank = Crank::paused();
    let (woken, waker) = Counter::new();
    let start = Instant::now();
    let mut nap = sleep(ms(5));
    assert!(poll_with(Pin::new(&mut nap), &waker).is_pending());
    while woken.wakes() == 0 {
        crank.reactor.turn(Wait::Yes).unwrap();
    }
    nap.reset(start + ms(9));
    assert!(poll_with(Pin::new(&mut nap), &waker).is_pending());
    while woken.wakes() == 1 {
        crank.reactor.turn(Wait::Yes).unwrap();
    }
    assert_eq!(start.elapsed(), ms(9));
    assert!(poll_with(Pin::new(&mut nap), &waker).is_ready());
}

#[test]
fn a_sleep_wakes_the_last_waker_it_was_polled_with() {
    let crank = Crank::paused();
    let (first, first_waker) = Counter::new();
    let (second, second_waker) = Counter::new();
    let mut nap = pin!(sleep(ms(5)));
    assert!(poll_with(nap.as_mut(), &first_waker).is_pending());
    assert!(poll_with(nap.as_mut(), &second_waker).is_pending());
    while crank.reactor.timers() > 0 {
        crank.reactor.turn(Wait::Yes).unwrap(); // more than once if a signal comes
    }
    assert_eq!((first.wakes(), second.wakes()), (0, 1));
}

#[test]
fn a_timer_made_and_dropped_in_each_poll_causes_no_polls() {
    let crank = Crank::paused();
    let polls = Rc::new(Cell::new(0));
    let count = polls.clone();
    drop(spawn(poll_fn(move |cx| {
        count.set(count.get() + 1);
        Pin::new(&mut sleep(ms(1))).poll(cx)
    })));
    crank.turn();
    for _ in 0..10 {
        crank.unparker.unpark();
        crank.executor.run(&Cell::new(100));
        crank.reactor.turn(Wait::Yes).unwrap();
    }
    assert_eq!(polls.get(), 1);
}

#[test]
fn a_task_that_gave_up_a_timer_without_end_is_woken_by_the_next() {
    doc(async {
        let start = Instant::now();
        for round in 1..=1000 {
            let never = timeout(Duration::MAX, sleep(ms(1)));
            never.await.unwrap();
            sleep(ms(5)).await;
            assert_eq!(start.elapsed(), ms(6 * round));
        }
    });
}

/// What a waker does to other timers while they fire.
#[test]
fn a_timer_whose_waker_drops_and_resets_others_harms_none() {
    type Naps = RefCell<Vec<Option<Sleep>>>;
    thread_local!(static NAPS: Naps = const { RefCell::new(Vec::new()) });
    let crank = Crank::paused();
    let start = Instant::now();
    // 0 fires first: drops itself, the next of its slot and one far away, and moves the fourth.
    let meddle = runs(move || {
        let dropped = NAPS.with_borrow_mut(|naps| [naps[0].take(), naps[1].take(), naps[2].take()]);
        drop(dropped);
        let mut moved = NAPS.with_borrow_mut(|naps| naps[3].take()).unwrap();
        moved.reset(start + ms(70));
        NAPS.with_borrow_mut(|naps| naps[3] = Some(moved));
    });
    let (last, waker) = Counter::new();
    for (length, waker) in [(5, &meddle), (5, Waker::noop()), (5_000_000, Waker::noop()), (6, &waker)] {
        let mut nap = sleep(ms(length));
        assert!(poll_with(Pin::new(&mut nap), waker).is_pending());
        NAPS.with_borrow_mut(|naps| naps.push(Some(nap)));
    }
    while last.wakes() == 0 {
        crank.reactor.turn(Wait::Yes).unwrap();
    }
    assert_eq!((start.elapsed(), crank.reactor.timers()), (ms(70), 0));
    NAPS.take();
}

// ----------------------------------------------------------------------------------------------------------- timeout

#[test]
fn a_result_that_is_there_when_the_time_is_up_counts() {
    doc(async {
        let result = timeout(ms(10), async {
            sleep(ms(10)).await;
            1
        });
        assert_eq!(result.await, Ok(1));
    });
}

#[test]
fn what_comes_a_nanosecond_late_does_not_count() {
    doc(async {
        let start = Instant::now();
        let result = timeout(ms(10), sleep(ms(10) + Duration::from_nanos(1))).await;
        assert_eq!(result.unwrap_err().to_string(), "the time was up");
        assert_eq!(start.elapsed(), ms(10));
    });
}

#[test]
fn a_timeout_of_zero_lets_a_ready_future_pass() {
    doc(async {
        assert_eq!(timeout(Duration::ZERO, async { 1 }).await, Ok(1));
        assert!(timeout(Duration::ZERO, std::future::pending::<()>()).await.is_err());
    });
}

/// A time-out's time runs from its first poll, not from its making.
#[test]
fn a_timeout_made_long_before_it_is_polled_gives_its_full_time() {
    doc(async {
        let late = timeout(ms(10), std::future::pending::<()>());
        advance(ms(25)).await;
        let start = Instant::now();
        assert!(late.await.is_err());
        assert_eq!(start.elapsed(), ms(10));
        let passed = timeout_at(start + ms(5), std::future::pending::<()>());
        assert!(passed.await.is_err());
        assert_eq!(start.elapsed(), ms(10));
    });
}

#[test]
fn a_timeout_begun_before_the_clock_is_moved_counts_from_before() {
    doc(async {
        let start = Instant::now();
        let mut waiting = pin!(timeout(ms(10), std::future::pending::<()>()));
        assert!(poll_once(waiting.as_mut()).is_pending());
        advance(ms(7)).await; // in the same turn as the poll
        assert!(waiting.await.is_err());
        assert_eq!(start.elapsed(), ms(10));
    });
}

#[test]
fn a_timeout_that_is_over_within_its_turn_never_asks_for_a_wake_up() {
    let crank = Crank::paused();
    let mut waiting = Box::pin(timeout(ms(10), std::future::pending::<()>()));
    assert!(poll_once(waiting.as_mut()).is_pending());
    assert_eq!(crank.reactor.timers(), 1);
    drop(waiting);
    assert_eq!((crank.reactor.timers(), crank.reactor.next_deadline()), (0, None));
}

#[test]
fn a_timeout_begun_in_this_turn_counts_for_the_next_deadline() {
    let crank = Crank::paused();
    let mut waiting = pin!(timeout(ms(10), std::future::pending::<()>()));
    assert!(poll_once(waiting.as_mut()).is_pending());
    assert_eq!(crank.reactor.next_deadline(), Some(ms(10)));
    crank.reactor.turn(Wait::Yes).unwrap();
    assert!(poll_once(waiting.as_mut()).is_ready());
}

/// Each of 400 time-outs of up to 3 ms, begun anywhere in a turn that other tasks make long.
#[test]
fn no_timeout_ends_early_by_the_systems_clock() {
    let seed = 0x71ED;
    println!("seed {seed}");
    within_watchdog(move || {
        doc_real(async {
            let mut random = Random(seed);
            let mut waits = Vec::new();
            for _ in 0..40 {
                for _ in 0..10 {
                    let (length, busy) = (Duration::from_nanos(random.below(3_000_000)), random.below(1_000));
                    waits.push(spawn(async move {
                        (0..busy).for_each(|_| std::hint::spin_loop());
                        let start = std::time::Instant::now();
                        timeout(length, std::future::pending::<()>()).await.unwrap_err();
                        (length, start.elapsed())
                    }));
                }
                sleep(Duration::from_nanos(random.below(100_000))).await;
            }
            for wait in waits {
                let (asked, took) = wait.await.unwrap();
                assert!(took >= asked, "asked for {asked:?}, ended after {took:?}");
            }
        });
    });
}

/// Random time-outs and sleeps, begun, given up and moved at random, against a sorted map: under a paused clock each
/// wakes at its time, to the nanosecond, and no other ever does.
#[test]
fn random_timers_wake_exactly_when_a_sorted_map_says() {
    enum Timer {
        Timeout { _waiting: Pin<Box<Timeout<std::future::Pending<()>>>> },
        Sleep(Pin<Box<Sleep>>),
    }
    thread_local!(static WOKEN: RefCell<Vec<usize>> = const { RefCell::new(Vec::new()) });
    for seed in 1..=32 {
        println!("seed {seed}");
        let mut random = Random(seed);
        let crank = Crank::paused();
        let mut timers: Vec<Option<Timer>> = Vec::new();
        let mut due: BTreeMap<usize, Instant> = BTreeMap::new();
        for _ in 0..500 {
            let now = Instant::now();
            let bits = 8 + random.below(30);
            let length = Duration::from_nanos(random.below(1 << bits));
            match random.below(16) {
                0..5 => {
                    let number = timers.len();
                    let waker = runs(move || WOKEN.with_borrow_mut(|woken| woken.push(number)));
                    let mut waiting = Box::pin(timeout(length, std::future::pending()));
                    assert!(poll_with(waiting.as_mut(), &waker).is_pending());
                    timers.push(Some(Timer::Timeout { _waiting: waiting }));
                    due.insert(number, now + length);
                }
                5..8 => {
                    let number = timers.len();
                    let waker = runs(move || WOKEN.with_borrow_mut(|woken| woken.push(number)));
                    let mut nap = Box::pin(sleep(length + Duration::from_nanos(1)));
                    assert!(poll_with(nap.as_mut(), &waker).is_pending());
                    due.insert(number, nap.deadline());
                    timers.push(Some(Timer::Sleep(nap)));
                }
                8..11 if !timers.is_empty() => {
                    let number = random.below(timers.len() as u64) as usize;
                    timers[number] = None;
                    due.remove(&number);
                }
                11 if !timers.is_empty() => {
                    let number = random.below(timers.len() as u64) as usize;
                    if let Some(Timer::Sleep(nap)) = &mut timers[number] {
                        nap.as_mut().reset(now + length);
                        // One that has ended has no waker to wake.
                        due.entry(number).and_modify(|due| *due = now + length);
                    }
                }
                12 => drop(poll_once(pin!(advance(length)))), // in the middle of a turn
                _ if crank.reactor.timers() > 0 && random.below(2) == 0 => crank.reactor.turn(Wait::Yes).unwrap(),
                _ => crank.reactor.turn(Wait::No).unwrap(),
            }
            let now = crank.reactor.turned_at_ns();
            for number in WOKEN.take() {
                let deadline = due.remove(&number).expect("a timer that is pending");
                assert!(deadline.0 <= now, "{number} is early");
            }
        }
        while let Some(next) = crank.reactor.next_deadline() {
            // A cancelled timer's time may be asked for, nobody's may be passed.
            let (now, earliest) = (Instant::now(), due.values().min().copied());
            assert!(earliest.is_none_or(|earliest| now + next <= earliest.max(now)));
            crank.reactor.turn(Wait::Yes).unwrap();
            for number in WOKEN.take() {
                let deadline = due.remove(&number).expect("a timer that is pending");
                assert_eq!(deadline.max(now), Instant::now());
            }
        }
        assert!(due.is_empty());
    }
}

/// Also if it leaves nothing of the budget, ever.
#[test]
fn a_timeout_ends_a_future_that_uses_up_the_budget_in_every_poll() {
    within_watchdog(|| {
        doc_real(async {
            let greedy = || {
                poll_fn(|cx| {
                    while windlass_executor::budget::poll_proceed(cx).is_ready() {}
                    Poll::<()>::Pending
                })
            };
            assert!(timeout(ms(1), greedy()).await.is_err());
            assert!(timeout_at(Instant::now() - ms(1), greedy()).await.is_err());
        });
    });
}

#[test]
fn a_timeout_polled_again_and_again_in_one_poll_ends() {
    within_watchdog(|| {
        doc_real(async {
            let mut waiting = pin!(timeout(ms(2), std::future::pending::<()>()));
            poll_fn(|cx| {
                while waiting.as_mut().poll(cx).is_pending() {
                    std::hint::spin_loop();
                }
                Poll::Ready(())
            })
            .await;
        });
    });
}

/// More timers than there is budget.
#[test]
fn a_task_with_a_thousand_timers_sleeps_until_the_first() {
    let crank = Crank::paused();
    let polls = Rc::new(Cell::new(0));
    let count = polls.clone();
    let mut naps: Vec<_> = (0..1_000).map(|_| Box::pin(timeout(ms(5), sleep(ms(9))))).collect();
    drop(spawn(poll_fn(move |cx| {
        count.set(count.get() + 1);
        naps.retain_mut(|nap| nap.as_mut().poll(cx).is_pending());
        if naps.is_empty() { Poll::Ready(()) } else { Poll::Pending }
    })));
    crank.settle();
    assert_eq!(polls.get(), 1);
    while crank.reactor.timers() > 0 {
        crank.reactor.turn(Wait::Yes).unwrap();
        crank.executor.run(&Cell::new(100));
    }
    assert_eq!(polls.get(), 2);
}

#[test]
fn a_task_with_a_timeout_is_said_to_wait_for_what_is_inside() {
    let crank = Crank::paused();
    let (ours, _theirs) = pair();
    drop(spawn(async move { timeout(ms(5), ours.readable()).await }));
    crank.turn();
    assert!(matches!(all_tasks()[0].waiting_for, WaitReason::Readable { .. }), "{:?}", all_tasks()[0].waiting_for);
}

#[test]
fn the_time_that_was_up_is_an_io_error_of_that_kind() {
    doc(async {
        let elapsed = timeout(ms(1), std::future::pending::<()>()).await.unwrap_err();
        assert_eq!(io::Error::from(elapsed).kind(), ErrorKind::TimedOut);
    });
}

#[test]
fn an_answer_that_came_together_with_its_time_out_counts() {
    let crank = Crank::paused();
    let (ours, mut peer) = pair();
    crank.settle();
    let mut wait = pin!(timeout(ms(5), ours.readable()));
    let (woken, waker) = Counter::new();
    assert!(poll_with(wait.as_mut(), &waker).is_pending());
    peer.write_all(b"x").unwrap();
    let mut moving = pin!(advance(ms(5)));
    assert!(poll_once(moving.as_mut()).is_pending());
    crank.reactor.turn(Wait::Yes).unwrap();
    assert_eq!(woken.wakes(), 2, "by both");
    assert!(matches!(poll_with(wait, &waker), Poll::Ready(Ok(Ok(())))));
}

// ---------------------------------------------------------------------------------------------------------- interval

/// The times, in ms, of ticks that are asked for at once, but for one break of `busy_ms` after the second.
fn ticks(missed: MissedTickBehavior, busy_ms: u64) -> Vec<(u64, u64)> {
    doc(async move {
        let start = Instant::now();
        let mut beat = interval(ms(10));
        beat.set_missed_tick_behavior(missed);
        assert_eq!((beat.period(), beat.missed_tick_behavior()), (ms(10), missed));
        let mut seen = Vec::new();
        for tick in 0..7 {
            let due = beat.tick().await;
            seen.push(((due - start).as_millis() as u64, start.elapsed().as_millis() as u64));
            if tick == 1 {
                advance(ms(busy_ms)).await;
            }
        }
        seen
    })
}

#[test]
fn an_interval_ticks_at_once_and_then_every_period() {
    let beat = [(0, 0), (10, 10), (20, 20), (30, 30), (40, 40), (50, 50), (60, 60)];
    assert_eq!(ticks(MissedTickBehavior::Burst, 0), beat);
    assert_eq!(ticks(MissedTickBehavior::Delay, 9), beat);
    assert_eq!(ticks(MissedTickBehavior::Skip, 10), beat);
}

#[test]
fn a_burst_catches_up_at_once_and_keeps_the_count() {
    let beat = [(0, 0), (10, 10), (20, 45), (30, 45), (40, 45), (50, 50), (60, 60)];
    assert_eq!(ticks(MissedTickBehavior::Burst, 35), beat);
}

#[test]
fn a_delay_counts_the_period_from_the_late_tick() {
    let beat = [(0, 0), (10, 10), (20, 45), (55, 55), (65, 65), (75, 75), (85, 85)];
    assert_eq!(ticks(MissedTickBehavior::Delay, 35), beat);
}

#[test]
fn a_skip_leaves_out_what_was_missed_and_keeps_the_beat() {
    let beat = [(0, 0), (10, 10), (20, 45), (50, 50), (60, 60), (70, 70), (80, 80)];
    assert_eq!(ticks(MissedTickBehavior::Skip, 35), beat);
    let on_the_beat = [(0, 0), (10, 10), (20, 50), (60, 60), (70, 70), (80, 80), (90, 90)];
    assert_eq!(ticks(MissedTickBehavior::Skip, 40), on_the_beat);
}

/// R30: a ticker that cannot keep up is late itself, and makes nobody else late.
#[test]
fn an_interval_with_a_thousand_ticks_to_catch_up_gives_way_in_between() {
    doc(async {
        let mut beat = interval(ms(1));
        beat.tick().await;
        advance(ms(1_000)).await;
        let given = Rc::new(Cell::new(0));
        let counted = given.clone();
        let catching_up = windlass_executor::spawn(async move {
            for _ in 0..1_000 {
                beat.tick().await;
                counted.set(counted.get() + 1);
            }
        });
        windlass_executor::yield_now().await;
        assert!(given.get() <= 128, "{} ticks in one poll", given.get());
        catching_up.await.unwrap();
        assert_eq!(given.get(), 1_000);
    });
}

#[test]
fn a_task_that_waits_for_a_tick_says_until_when() {
    let crank = Crank::paused();
    let start = Instant::now();
    drop(spawn(async move {
        let mut beat = interval(ms(10));
        beat.tick().await;
        beat.tick().await;
    }));
    crank.turn();
    assert_eq!(all_tasks()[0].waiting_for, WaitReason::Timer { deadline_ns: (start + ms(10)).0 });
}

#[test]
fn an_interval_is_a_stream_of_its_ticks() {
    doc(async {
        let start = Instant::now();
        let mut beat = interval_at(start + ms(5), ms(10));
        for expected in [5, 15, 25] {
            let tick = poll_fn(|cx| Pin::new(&mut beat).poll_next(cx)).await.unwrap();
            assert_eq!(tick - start, ms(expected));
        }
    });
}

#[test]
fn an_interval_can_be_set_anew() {
    doc(async {
        let start = Instant::now();
        let mut beat = interval(ms(10));
        beat.tick().await;
        advance(ms(4)).await;
        beat.reset();
        assert_eq!(beat.tick().await - start, ms(14));
        beat.reset_at(start + ms(15));
        assert_eq!(beat.tick().await - start, ms(15));
        beat.reset_after(ms(2));
        assert_eq!(beat.tick().await - start, ms(17));
        beat.reset_immediately();
        assert_eq!(beat.tick().await - start, ms(17));
    });
}

#[test]
fn an_interval_of_for_ever_ticks_once() {
    doc(async {
        let mut beat = interval(Duration::MAX);
        beat.tick().await;
        assert!(timeout(Duration::from_secs(1_000_000_000), beat.tick()).await.is_err());
    });
}

#[test]
fn an_interval_without_a_period_is_refused() {
    assert_eq!(panic_of(|| interval(Duration::ZERO)), "an interval has a period");
}

#[test]
fn a_tick_given_up_is_not_lost() {
    doc(async {
        let start = Instant::now();
        let mut beat = interval(ms(10));
        beat.tick().await;
        assert!(timeout(ms(4), beat.tick()).await.is_err());
        assert_eq!(beat.tick().await - start, ms(10));
    });
}

// --------------------------------------------------------------------------------------------------------- the clock

#[test]
fn a_paused_clock_stands_while_tasks_run() {
    doc(async {
        let start = Instant::now();
        let nap = spawn(sleep(ms(1)));
        for _ in 0..1000 {
            yield_now().await;
        }
        assert!(!nap.is_finished());
        assert_eq!(start.elapsed(), Duration::ZERO);
        nap.await.unwrap();
        assert_eq!(start.elapsed(), ms(1));
    });
}

#[test]
fn a_paused_clock_does_not_jump_over_an_event() {
    let crank = Crank::paused();
    let (ours, mut peer) = pair();
    crank.settle();
    let start = Instant::now();
    let mut nap = pin!(sleep(ms(1)));
    assert!(poll_once(nap.as_mut()).is_pending());
    peer.write_all(b"x").unwrap();
    crank.reactor.turn(Wait::Yes).unwrap();
    assert_eq!(start.elapsed(), Duration::ZERO);
    crank.reactor.turn(Wait::Yes).unwrap();
    assert_eq!(start.elapsed(), ms(1));
    drop(ours);
}

#[test]
fn a_paused_clock_does_not_jump_when_another_thread_calls() {
    let crank = Crank::paused();
    let start = Instant::now();
    let mut nap = pin!(sleep(ms(1)));
    assert!(poll_once(nap.as_mut()).is_pending());
    crank.unparker.unpark();
    crank.reactor.turn(Wait::Yes).unwrap();
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[test]
fn a_paused_clock_stands_while_a_blocking_call_is_out() {
    within_watchdog(|| {
        doc(async {
            let start = Instant::now();
            let nap = spawn(sleep(ms(1)));
            spawn_blocking(|| (0..1000).for_each(|_| thread::yield_now())).await.unwrap();
            assert_eq!((start.elapsed(), nap.is_finished()), (Duration::ZERO, false));
            nap.await.unwrap();
        });
    });
}

#[test]
fn a_paused_clock_can_be_moved_while_a_blocking_call_is_out() {
    within_watchdog(|| {
        doc(async {
            let (release, released) = mpsc::channel();
            let call = spawn_blocking(move || released.recv().unwrap());
            yield_now().await;
            advance(ms(5)).await; // hung, if what is due waits for the call to come back
            release.send(7).unwrap();
            assert_eq!(call.await.unwrap(), 7);
        });
    });
}

#[test]
fn advancing_lets_what_is_due_run_and_nothing_else() {
    doc(async {
        let start = Instant::now();
        let (early, late) = (spawn(sleep(ms(5))), spawn(sleep(ms(6))));
        yield_now().await;
        advance(ms(5)).await;
        assert_eq!((early.is_finished(), late.is_finished()), (true, false));
        assert_eq!(start.elapsed(), ms(5));
    });
}

#[test]
fn a_running_clock_cannot_be_advanced() {
    let told = panic_of(|| doc_real(async { advance(ms(1)).await }));
    assert_eq!(told, "advance called while the clock runs: pause it first");
}

/// I6.
#[test]
fn a_clock_that_was_moved_on_and_runs_again_does_not_go_back() {
    doc(async {
        let start = Instant::now();
        advance(Duration::from_secs(3600)).await;
        let before = Instant::now();
        resume();
        let after = Instant::now();
        assert!(after >= before, "from {:?} back to {:?}", before - start, after - start);
        sleep(Duration::from_nanos(1)).await;
        assert!(Instant::now() > before, "and it runs");
        pause();
        assert!(Instant::now() > before);
    });
}

#[test]
fn a_clock_moved_to_the_end_of_time_does_not_start_over() {
    doc(async {
        let last = Instant::FAR_FUTURE - ms(1);
        advance(last - Instant::now()).await;
        resume();
        assert!(Instant::now() >= last);
        pause();
        assert!(Instant::now() >= last);
    });
}

#[test]
fn a_clock_that_was_paused_for_a_while_goes_on_from_where_it_stood() {
    doc_real(async {
        pause();
        let stood = Instant::now();
        let real = std::time::Instant::now();
        while real.elapsed() < ms(2) {}
        assert_eq!(stood.elapsed(), Duration::ZERO);
        let before = std::time::Instant::now();
        resume();
        assert!(stood.elapsed() <= before.elapsed(), "what passed meanwhile does not count");
    });
}

// ------------------------------------------------------------------------------------------------------ the reactor

#[test]
fn a_turn_reports_what_it_did() {
    let crank = Crank::paused();
    let (ours, mut peer) = pair();
    crank.settle();
    let before = crank.reactor.counts();
    let mut nap = pin!(sleep(ms(1)));
    assert!(poll_once(nap.as_mut()).is_pending());
    peer.write_all(b"x").unwrap();
    crank.reactor.turn(Wait::Yes).unwrap();
    crank.reactor.turn(Wait::Yes).unwrap();
    let after = crank.reactor.counts();
    assert_eq!((after.events - before.events, after.timers_fired - before.timers_fired), (1, 1));
    assert_eq!(after.syscalls - before.syscalls, 2);
    drop(ours);
}

#[test]
fn an_unpark_ends_the_next_wait_and_is_no_event() {
    within_watchdog(|| {
        let crank = Crank::real();
        for _ in 0..1000 {
            crank.unparker.unpark();
        }
        crank.reactor.turn(Wait::Yes).unwrap();
        assert_eq!(crank.reactor.counts().events, 0);
        // All of them together were one.
        let thread = thread::spawn({
            let unparker = crank.unparker.clone();
            move || unparker.unpark()
        });
        crank.reactor.turn(Wait::Yes).unwrap();
        thread.join().unwrap();
    });
}

/// What a thread keeps in its thread-locals goes in an order that nobody chose.
#[test]
fn sources_and_timers_may_be_kept_in_thread_locals_to_the_end_of_the_thread() {
    thread_local! {
        static KEPT: RefCell<Vec<Box<dyn std::any::Any>>> = const { RefCell::new(Vec::new()) };
    }
    let thread = thread::spawn(|| {
        // First, so that it goes last: after all that the crate keeps in thread-locals itself.
        KEPT.with_borrow_mut(|kept| kept.push(Box::new(())));
        let crank = Crank::paused();
        let (ours, peer) = pair();
        let mut nap = Box::pin(sleep(ms(5)));
        assert!(poll_once(nap.as_mut()).is_pending());
        crank.turn();
        KEPT.with_borrow_mut(|kept| {
            kept.push(Box::new(ours));
            kept.push(Box::new(nap));
        });
        peer.set_nonblocking(false).unwrap();
        drop(crank);
        peer
    });
    let mut peer = thread.join().unwrap();
    assert_eq!(peer.read(&mut [0; 1]).unwrap(), 0, "closed with the thread");
}

/// A call for a loop is heard by it even between two of its turns.
#[test]
fn a_call_posted_before_the_wait_is_made_before_it() {
    within_watchdog(|| {
        let crank = Crank::real();
        let made = Arc::new(AtomicUsize::new(0));
        let count = made.clone();
        let call = move || {
            count.fetch_add(1, Ordering::SeqCst);
        };
        assert!(post(crank.executor.id(), Box::new(call)).is_ok());
        assert!(!crank.executor.park(), "it may not sleep");
        crank.turn();
        assert_eq!(made.load(Ordering::SeqCst), 1);
    });
}

#[test]
fn a_paused_clock_can_be_moved_as_far_as_there_is() {
    crate::doc(async {
        crate::time::advance(Duration::MAX).await;
        crate::time::advance(Duration::from_secs(1)).await;
    });
}
