//! Stories about streams of any kind: bytes that are copied, two ends in memory, and lines that have an end.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::net::Shutdown;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use futures_core::Stream;
use futures_io::{AsyncRead, AsyncWrite};
use static_assertions::assert_not_impl_any;
use windlass::io::{BufReader, DuplexStream, copy, copy_bidirectional, duplex};
use windlass::task::yield_now;
use windlass::time::{Instant, timeout};
use windlass_tests::{connected, join, poll_at_most, run, run_paused, some_turns};

assert_not_impl_any!(DuplexStream: Send, Sync);

/// Gives pieces, one a read, each after it said once that it has nothing yet; then the end.
struct Pieces {
    left: Vec<Vec<u8>>,
    waited: bool,
}

impl Pieces {
    fn of(bytes: &[u8], len: usize) -> Pieces {
        Pieces { left: bytes.chunks(len).rev().map(<[u8]>::to_vec).collect(), waited: false }
    }
}

impl AsyncRead for Pieces {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        self.waited = !self.waited;
        if self.waited {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let Some(mut piece) = self.left.pop() else { return Poll::Ready(Ok(0)) };
        let n = piece.len().min(buffer.len());
        buffer[..n].copy_from_slice(&piece[..n]);
        if n < piece.len() {
            self.left.push(piece.split_off(n));
        }
        Poll::Ready(Ok(n))
    }
}

/// Holds back what is written until it is flushed.
#[derive(Default)]
struct Withholding {
    held: Vec<u8>,
    out: Vec<u8>,
    closed: bool,
}

impl AsyncWrite for Withholding {
    fn poll_write(mut self: Pin<&mut Self>, _cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.held.extend(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.out.append(&mut this.held);
        Poll::Ready(Ok(()))
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.closed = true;
        self.poll_flush(cx)
    }
}

/// Has always something to read, takes whatever is written, and counts it; it knows nothing of a budget.
#[derive(Default)]
struct Flood(Rc<Cell<usize>>);

impl AsyncRead for Flood {
    fn poll_read(self: Pin<&mut Self>, _cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(buffer.len()))
    }
}

impl AsyncWrite for Flood {
    fn poll_write(self: Pin<&mut Self>, _cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.0.set(self.0.get() + bytes.len());
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

fn numbered(len: usize) -> Vec<u8> {
    (0..len).map(|n| (n % 251) as u8).collect()
}

#[test]
fn a_copy_moves_everything_counts_it_and_flushes_but_does_not_close() {
    run_paused(async {
        let bytes = numbered(100_000);
        let mut to = Withholding::default();
        assert_eq!(copy(&mut Pieces::of(&bytes, 9_999), &mut to).await.unwrap(), 100_000);
        assert!(to.out == bytes && !to.closed);
    });
}

#[test]
fn what_was_copied_is_flushed_while_the_reader_has_nothing() {
    run_paused(async {
        let (mut ours, mut theirs) = duplex(64);
        let mut to = Withholding::default();
        theirs.write_all(b"hello").await.unwrap();
        assert!(poll_at_most(copy(&mut ours, &mut to), 1).await.is_none());
        assert_eq!(to.out, b"hello");
    });
}

#[test]
fn a_copy_says_what_went_wrong_on_either_side() {
    run_paused(async {
        let (mut ours, theirs) = duplex(64);
        drop(theirs);
        let gone = copy(&mut Pieces::of(b"hello", 5), &mut ours).await.unwrap_err();
        assert_eq!(gone.kind(), ErrorKind::BrokenPipe);
        let mut no_room = io::Cursor::new([0_u8; 3]);
        let full = copy(&mut Pieces::of(b"hello", 5), &mut Pin::new(&mut Short(&mut no_room))).await.unwrap_err();
        assert_eq!(full.kind(), ErrorKind::WriteZero);
    });
}

/// Takes what fits, and then nothing.
struct Short<'a>(&'a mut io::Cursor<[u8; 3]>);

impl AsyncWrite for Short<'_> {
    fn poll_write(mut self: Pin<&mut Self>, _cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(io::Write::write(&mut self.0, bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[test]
fn a_copy_that_never_waits_lets_others_have_their_turn() {
    run_paused(async {
        let copying = windlass::spawn(async { copy(&mut Flood::default(), &mut Flood::default()).await });
        for _ in 0..10 {
            yield_now().await;
        }
        assert!(!copying.is_finished());
        copying.abort();
    });
}

#[test]
fn a_proxy_passes_on_that_one_side_has_ended_and_the_answer_after_it() {
    run(async {
        let (mut client, mut front) = connected().await;
        let (mut back, mut server) = connected().await;
        let proxy = windlass::spawn(async move { copy_bidirectional(&mut front, &mut back).await });
        client.write_all(b"question").await.unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        let mut heard = [0; 16];
        server.read_exact(&mut heard[..8]).await.unwrap();
        assert_eq!(server.read(&mut heard).await.unwrap(), 0, "the end has come through");
        assert!(!proxy.is_finished());
        server.write_all(b"answer").await.unwrap();
        server.shutdown(Shutdown::Write).unwrap();
        client.read_exact(&mut heard[..6]).await.unwrap();
        assert_eq!(client.read(&mut heard).await.unwrap(), 0);
        assert_eq!(proxy.await.unwrap().unwrap(), (8, 6));
    });
}

#[test]
fn a_proxy_moves_much_both_ways_at_once_through_little_room() {
    run_paused(async {
        let (near, mut a) = duplex(7);
        let (mut b, far) = duplex(1000);
        let proxy = windlass::spawn(async move { copy_bidirectional(&mut a, &mut b).await });
        let bytes = Rc::new(numbered(50_000));
        let talk = |mut end: DuplexStream| {
            let bytes = bytes.clone();
            async move {
                let mut heard: Vec<u8> = Vec::new();
                let mut said = 0;
                // Reads and writes in one task, whichever is possible.
                poll_fn(|cx| {
                    while said < bytes.len()
                        && let Poll::Ready(n) = Pin::new(&mut end).poll_write(cx, &bytes[said..])
                    {
                        said += n.unwrap();
                        if said == bytes.len() {
                            end.shutdown();
                        }
                    }
                    let mut buffer = [0; 512];
                    while let Poll::Ready(n) = Pin::new(&mut end).poll_read(cx, &mut buffer) {
                        match n.unwrap() {
                            0 => return Poll::Ready(()),
                            n => heard.extend(&buffer[..n]),
                        }
                    }
                    Poll::Pending
                })
                .await;
                heard
            }
        };
        let (one, other) = join(talk(near), talk(far)).await;
        assert!(one == *bytes && other == *bytes);
        assert_eq!(proxy.await.unwrap().unwrap(), (50_000, 50_000));
    });
}

#[test]
fn a_proxy_whose_sides_both_never_pause_moves_as_much_each_way() {
    run_paused(async {
        let (there, back) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
        let (mut a, mut b) = (Flood(back.clone()), Flood(there.clone()));
        let proxy = windlass::spawn(async move { copy_bidirectional(&mut a, &mut b).await });
        while there.get() + back.get() < 100_000_000 {
            yield_now().await;
        }
        proxy.abort();
        assert!(there.get().abs_diff(back.get()) < 2_000_000, "{} there, {} back", there.get(), back.get());
    });
}

#[test]
fn a_proxy_ends_when_either_side_breaks() {
    run_paused(async {
        let (mut client, mut front) = duplex(64);
        let (mut back, server) = duplex(64);
        let proxy = windlass::spawn(async move { copy_bidirectional(&mut front, &mut back).await });
        drop(server);
        client.write_all(b"anybody?").await.unwrap();
        assert_eq!(proxy.await.unwrap().unwrap_err().kind(), ErrorKind::BrokenPipe);
        assert_eq!(client.read(&mut [0; 16]).await.unwrap(), 0);
    });
}

#[test]
fn a_duplex_stream_holds_no_more_than_its_capacity_and_its_writer_waits() {
    run_paused(async {
        let (mut ours, mut theirs) = duplex(4);
        let written = Rc::new(Cell::new(0));
        let noted = written.clone();
        let writing = windlass::spawn(async move {
            for byte in numbered(100) {
                ours.write_all(&[byte]).await.unwrap();
                noted.set(noted.get() + 1);
            }
        });
        for read in 0..100 {
            some_turns().await;
            assert_eq!(written.get(), (read + 4).min(100));
            let mut byte = [0];
            theirs.read_exact(&mut byte).await.unwrap();
            assert_eq!(usize::from(byte[0]), read);
        }
        assert_eq!(theirs.read(&mut [0]).await.unwrap(), 0);
        writing.await.unwrap();
    });
}

#[test]
fn one_direction_of_a_duplex_stream_may_end_and_the_other_go_on() {
    run_paused(async {
        let (mut ours, mut theirs) = duplex(64);
        ours.write_all(b"last words").await.unwrap();
        ours.shutdown();
        assert_eq!(ours.write(b"x").await.unwrap_err().kind(), ErrorKind::BrokenPipe);
        let mut heard = [0; 16];
        assert_eq!(theirs.read(&mut heard).await.unwrap(), 10);
        assert_eq!(theirs.read(&mut heard).await.unwrap(), 0);
        theirs.write_all(b"answer").await.unwrap();
        assert_eq!(ours.read(&mut heard).await.unwrap(), 6);
    });
}

#[test]
fn who_waits_hears_that_the_other_end_of_a_duplex_stream_is_gone() {
    run_paused(async {
        let (mut reads, theirs) = duplex(4);
        let reading = windlass::spawn(async move { reads.read(&mut [0; 8]).await });
        let (mut writes, others) = duplex(4);
        let writing = windlass::spawn(async move { writes.write_all(b"hello").await });
        some_turns().await;
        drop((theirs, others));
        assert_eq!(reading.await.unwrap().unwrap(), 0);
        assert_eq!(writing.await.unwrap().unwrap_err().kind(), ErrorKind::BrokenPipe);
    });
}

#[test]
fn a_paused_clock_jumps_while_both_ends_of_a_duplex_stream_wait() {
    run_paused(async {
        let (mut ours, mut theirs) = duplex(4);
        let began = Instant::now();
        let hour = Duration::from_secs(3600);
        let (mut one, mut other) = ([0; 8], [0; 8]);
        let both = join(timeout(hour, ours.read(&mut one)), timeout(hour, theirs.read(&mut other))).await;
        assert!(both.0.is_err() && both.1.is_err());
        assert_eq!(began.elapsed(), hour);
    });
}

#[test]
fn operations_on_a_duplex_stream_that_are_given_up_lose_and_repeat_no_byte() {
    run_paused(async {
        let (mut ours, mut theirs) = duplex(3);
        let bytes = numbered(1000);
        let mut said = 0;
        let mut heard: Vec<u8> = Vec::new();
        while heard.len() < bytes.len() {
            yield_now().await; // with a new budget
            if let Some(n) = poll_at_most(ours.write(&bytes[said..(said + 5).min(bytes.len())]), 1).await {
                said += n.unwrap();
            }
            let mut buffer = [0; 2];
            if let Some(n) = poll_at_most(theirs.read(&mut buffer), 1).await {
                heard.extend(&buffer[..n.unwrap()]);
            }
            // And given up while they wait.
            if heard.len() == said {
                assert!(poll_at_most(theirs.read(&mut buffer), 1).await.is_none());
            }
        }
        assert!(heard == bytes);
    });
}

thread_local! {
    static TOUCHED: RefCell<Option<DuplexStream>> = const { RefCell::new(None) };
    static TOUCHES: Cell<u32> = const { Cell::new(0) };
}

/// Reads, writes and drops an end of the stream that it waits at, when it is woken and when it is dropped.
struct Touches;

impl Touches {
    fn touch() {
        TOUCHES.set(TOUCHES.get() + 1);
        let Some(mut end) = TOUCHED.with_borrow_mut(Option::take) else { return };
        let mut cx = Context::from_waker(Waker::noop());
        let _ = Pin::new(&mut end).poll_read(&mut cx, &mut [0]);
        let _ = Pin::new(&mut end).poll_write(&mut cx, b"x");
        end.shutdown();
    }
}

impl Wake for Touches {
    fn wake(self: Arc<Self>) {
        Touches::touch();
    }
}

impl Drop for Touches {
    fn drop(&mut self) {
        Touches::touch();
    }
}

#[test]
fn a_waker_may_do_anything_to_a_duplex_stream_when_it_is_woken_or_dropped() {
    run_paused(async {
        for case in ["woken by a write", "woken by a read", "woken by a drop", "replaced"] {
            let (mut ours, mut theirs) = duplex(1);
            let waker = Waker::from(Arc::new(Touches));
            let mut cx = Context::from_waker(&waker);
            assert!(Pin::new(&mut ours).poll_read(&mut cx, &mut [0]).is_pending());
            ours.write_all(b"f").await.unwrap();
            assert!(Pin::new(&mut ours).poll_write(&mut cx, b"ull").is_pending());
            drop(waker);
            let before = TOUCHES.get();
            if case == "replaced" {
                TOUCHED.set(Some(theirs));
                let mut cx = Context::from_waker(Waker::noop());
                let _ = Pin::new(&mut ours).poll_write(&mut cx, b"x");
                let _ = Pin::new(&mut ours).poll_read(&mut cx, &mut [0]);
            } else {
                TOUCHED.set(Some(ours));
                match case {
                    "woken by a write" => theirs.write_all(b"x").await.unwrap(),
                    "woken by a read" => assert_eq!(theirs.read(&mut [0]).await.unwrap(), 1),
                    _ => drop(theirs),
                }
            }
            assert!(TOUCHES.get() > before, "{case}");
            assert!(TOUCHED.take().is_none(), "{case}");
        }
    });
}

/// Every line of `bytes`, read in pieces of `len`.
async fn lines_of(bytes: &[u8], len: usize) -> Vec<String> {
    let mut lines = BufReader::new(Pieces::of(bytes, len)).lines();
    let mut all = Vec::new();
    while let Some(line) = lines.next_line().await.unwrap() {
        all.push(line);
    }
    all
}

#[test]
fn lines_are_the_same_in_whatever_pieces_they_come() {
    run_paused(async {
        let text = "one\r\n\n two \r three\n\u{e4}\u{20ac}\nlast";
        let expected: Vec<String> = text.lines().map(str::to_owned).collect();
        for len in 1..=text.len() {
            assert_eq!(lines_of(text.as_bytes(), len).await, expected, "in pieces of {len}");
        }
        assert_eq!(lines_of(b"", 1).await, [""; 0]);
        assert_eq!(lines_of(b"\n", 1).await, [""]);
    });
}

#[test]
fn long_lines_pass_through_a_buffer_that_grows_and_short_ones_behind_them() {
    run_paused(async {
        let long = "x".repeat(64 * 1024);
        let text = format!("{long}\nshort\n{long}\n");
        for len in [7, 8 * 1024, 100_000] {
            assert_eq!(lines_of(text.as_bytes(), len).await, [&*long, "short", &*long]);
        }
    });
}

#[test]
fn a_line_of_the_greatest_length_passes_and_one_byte_more_is_an_error_that_stays() {
    run_paused(async {
        let mut reader = BufReader::new(Pieces::of(b"12345\n123456\nrest", 4)).max_line(5);
        let mut line = String::new();
        assert_eq!(reader.read_line(&mut line).await.unwrap(), 6);
        for _ in 0..2 {
            let error = reader.read_line(&mut line).await.unwrap_err();
            assert_eq!(
                (error.kind(), error.to_string()),
                (ErrorKind::InvalidData, "a line is longer than 5 bytes".into())
            );
        }
        assert_eq!(line, "12345\n", "of the long line nothing was given out");
        let mut bytes = [0; 11];
        reader.read_exact(&mut bytes).await.unwrap();
        assert_eq!(&bytes, b"123456\nrest", "and nothing is lost");
    });
}

#[test]
fn who_sends_a_line_without_end_does_not_fill_our_memory() {
    run_paused(async {
        let mut reader = BufReader::new(Flood::default()).max_line(100_000);
        let error = reader.read_until(b'\n', &mut Vec::new()).await.unwrap_err();
        assert_eq!(error.to_string(), "a line is longer than 100000 bytes");
        assert_eq!(reader.buffer().len(), 100_001);
    });
}

#[test]
fn lines_end_after_an_error_also_as_a_stream() {
    run_paused(async {
        let mut lines = pin!(BufReader::new(Pieces::of(b"good\n\xff\xff\nnever seen\n", 100)).lines());
        let mut next = async || poll_fn(|cx| lines.as_mut().poll_next(cx)).await;
        assert_eq!(next().await.unwrap().unwrap(), "good");
        assert_eq!(next().await.unwrap().unwrap_err().to_string(), "a line is not UTF-8");
        assert!(next().await.is_none());
    });
}

#[test]
fn a_wait_for_a_line_that_is_given_up_loses_nothing() {
    run_paused(async {
        let (ours, mut theirs) = duplex(64);
        let mut reader = BufReader::new(ours);
        for byte in b"slow" {
            theirs.write_all(&[*byte]).await.unwrap();
            assert!(poll_at_most(reader.read_line(&mut String::new()), 1).await.is_none());
        }
        // Another delimiter looks from the beginning.
        let mut piece = Vec::new();
        reader.read_until(b'l', &mut piece).await.unwrap();
        assert_eq!(piece, b"sl");
        theirs.write_all(b"er\n").await.unwrap();
        let mut line = String::new();
        reader.read_line(&mut line).await.unwrap();
        assert_eq!(line, "ower\n");
    });
}

#[test]
fn what_is_written_to_a_reader_goes_to_the_stream_underneath() {
    run_paused(async {
        let (ours, mut theirs) = duplex(64);
        let mut reader = BufReader::new(ours);
        assert_eq!(poll_fn(|cx| Pin::new(&mut reader).poll_write(cx, b"hello")).await.unwrap(), 5);
        poll_fn(|cx| Pin::new(&mut reader).poll_close(cx)).await.unwrap();
        let mut heard = [0; 16];
        assert_eq!(theirs.read(&mut heard).await.unwrap(), 5);
        assert_eq!(theirs.read(&mut heard).await.unwrap(), 0);
    });
}
