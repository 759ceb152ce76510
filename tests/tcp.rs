//! Stories about TCP: bytes arrive as they were sent, everyone who waits is woken, and nothing is left behind.
//!
//! Where the other end must do several things before the loop turns, it is a socket of the standard library, in blocking
//! mode, on the same thread: the loop hears of everything it did in one event.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::net::Shutdown;
use std::pin::{Pin, pin};
use std::process::Command;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

use futures_io::{AsyncRead, AsyncWrite};
use windlass::net::{TcpListener, TcpSocket, TcpStream, lookup_host};
use windlass::time::{sleep, timeout};
use windlass_tests::{
    ANY, alone, beside_others, connected, deaf, join, open_descriptors, run, run_alone, run_alone_paused, some_turns,
    until,
};

/// Ours on the loop, theirs a blocking socket.
async fn connected_to_std() -> (TcpStream, std::net::TcpStream) {
    let listener = std::net::TcpListener::bind(ANY).unwrap();
    let ours = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    (ours, listener.accept().unwrap().0)
}

/// Fills the kernel's buffers until nothing more goes in.
async fn fill(stream: &TcpStream) -> usize {
    let mut sent = 0;
    loop {
        match stream.try_write(&[b'x'; 65536]) {
            Ok(n) => sent += n,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                some_turns().await;
                if stream.try_write(b"x").map(|n| sent += n).is_err() {
                    return sent;
                }
            }
            Err(error) => panic!("{error}"),
        }
    }
}

async fn echo(mut stream: TcpStream) {
    let mut buffer = [0; 1024];
    while let Ok(n @ 1..) = stream.read(&mut buffer).await {
        stream.write_all(&buffer[..n]).await.unwrap();
    }
}

/// The bytes of a long transfer: xorshift64*, Vigna 2016.
fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed;
    let words = (0..len.div_ceil(8)).flat_map(|_| {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        state.wrapping_mul(0x2545_f491_4f6c_dd1d).to_le_bytes()
    });
    words.take(len).collect()
}

#[test]
fn what_is_said_comes_back_from_an_echo() {
    run_alone(async {
        let (mut ours, theirs) = connected().await;
        let echoing = windlass::spawn(echo(theirs));
        let mut back = [0; 5];
        for word in [b"hello", b"world"] {
            ours.write_all(word).await.unwrap();
            ours.read_exact(&mut back).await.unwrap();
            assert_eq!(&back, word);
        }
        drop(ours);
        echoing.await.unwrap();
    });
}

#[test]
fn a_ping_pong_asks_the_kernel_only_when_there_is_something() {
    run(async {
        let (mut ours, theirs) = connected().await;
        drop(windlass::spawn(echo(theirs)));
        let mut back = [0; 1024];
        let before = windlass::metrics();
        for _ in 0..200 {
            ours.write_all(b"ping").await.unwrap();
            assert_eq!(ours.read(&mut back).await.unwrap(), 4);
        }
        let after = windlass::metrics();
        assert_eq!(after.would_block - before.would_block, 0);
        // A read and a write at each end, and a turn of the loop for each message.
        let each = (after.syscalls - before.syscalls) as f64 / 200.0;
        assert!(each <= 6.1, "{each} system calls a round trip");
    });
}

#[test]
fn of_more_buffers_than_one_call_takes_the_rest_is_moved_by_the_next() {
    run(async {
        let (mut ours, mut theirs) = connected().await;
        let buffers = [IoSlice::new(b"x"); 1_500];
        let first = ours.write_vectored(&buffers).await.unwrap();
        assert_eq!(first, 1_024);
        let second = timeout(Duration::from_secs(10), ours.write_vectored(&buffers[first..])).await;
        assert_eq!(second.expect("there is room").unwrap(), 476);

        theirs.readable().await.unwrap();
        let mut bytes = [0; 1_500];
        let mut places: Vec<_> = bytes.chunks_mut(1).map(IoSliceMut::new).collect();
        let first = theirs.read_vectored(&mut places).await.unwrap();
        assert_eq!(first, 1_024);
        let second = timeout(Duration::from_secs(10), theirs.read_exact(&mut [0; 476])).await;
        second.expect("it is all there").unwrap();
    });
}

#[test]
fn vectored_writes_and_reads_take_and_fill_several_buffers() {
    run(async {
        let (mut ours, mut theirs) = connected().await;
        let sent = ours.write_vectored(&[IoSlice::new(b"one"), IoSlice::new(b""), IoSlice::new(b"two")]).await.unwrap();
        assert_eq!(sent, 6);
        let (mut a, mut b) = ([0; 2], [0; 10]);
        let n = theirs.read_vectored(&mut [IoSliceMut::new(&mut a), IoSliceMut::new(&mut b)]).await.unwrap();
        assert_eq!((n, &a, &b[..4]), (6, b"on", &b"etwo"[..]));
        // And filled exactly: the next read waits for what comes then.
        ours.write_all(b"abcd").await.unwrap();
        let (mut a, mut b) = ([0; 2], [0; 2]);
        theirs.read_vectored(&mut [IoSliceMut::new(&mut a), IoSliceMut::new(&mut b)]).await.unwrap();
        let late = windlass::spawn(async move {
            some_turns().await;
            ours.write_all(b"e").await.unwrap();
            ours
        });
        assert_eq!(theirs.read(&mut a).await.unwrap(), 1);
        late.await.unwrap();
    });
}

#[test]
fn a_buffer_that_is_filled_exactly_is_not_the_end_of_what_comes() {
    run(async {
        let (mut ours, mut theirs) = connected().await;
        ours.write_all(&[b'a'; 1024]).await.unwrap();
        let mut buffer = [0; 1024];
        assert_eq!(theirs.read(&mut buffer).await.unwrap(), 1024);
        let more = windlass::spawn(async move {
            some_turns().await; // the reader waits by now
            ours.write_all(b"more").await.unwrap();
            ours
        });
        assert_eq!(theirs.read(&mut buffer).await.unwrap(), 4);
        more.await.unwrap();
    });
}

#[test]
fn reading_to_the_last_byte_in_any_way_hears_of_the_next() {
    // By peeking, byte by byte, with a buffer that just fits; each time until there is nothing, then one more byte.
    run(async {
        let (mut ours, mut theirs) = connected().await;
        for way in 0..4 {
            ours.write_all(b"four").await.unwrap();
            let mut buffer = [0; 64];
            assert_eq!(theirs.peek(&mut buffer).await.unwrap(), 4);
            match way {
                0 => assert_eq!(theirs.read(&mut buffer).await.unwrap(), 4),
                1 => {
                    for _ in 0..4 {
                        assert_eq!(theirs.read(&mut buffer[..1]).await.unwrap(), 1);
                    }
                }
                2 => assert_eq!(theirs.read(&mut buffer[..4]).await.unwrap(), 4),
                _ => {
                    while theirs.try_read(&mut buffer[..3]).is_ok() {}
                    assert_eq!(theirs.try_read(&mut buffer).unwrap_err().kind(), io::ErrorKind::WouldBlock);
                }
            }
            let (n, ()) = join(theirs.peek(&mut buffer), async {
                some_turns().await;
                assert_eq!(ours.try_write(b"!").unwrap(), 1);
            })
            .await;
            assert_eq!(n.unwrap(), 1);
            theirs.read_exact(&mut buffer[..1]).await.unwrap();
            assert_eq!(buffer[0], b'!');
        }
    });
}

#[test]
fn data_and_the_end_that_come_in_one_event_are_both_read() {
    run(async {
        let (mut ours, mut theirs) = connected_to_std().await;
        theirs.write_all(b"last words").unwrap();
        theirs.shutdown(Shutdown::Write).unwrap();
        let mut buffer = [0; 1024];
        assert_eq!(ours.read(&mut buffer).await.unwrap(), 10); // a short read, and yet there is more: the end
        assert_eq!(ours.read(&mut buffer).await.unwrap(), 0);
        assert_eq!(ours.read(&mut buffer).await.unwrap(), 0);
        ours.write_all(b"still heard").await.unwrap();
        theirs.read_exact(&mut buffer[..11]).unwrap();
    });
}

#[test]
fn one_side_may_end_and_the_other_go_on() {
    run(async {
        let (mut ours, mut theirs) = connected().await;
        ours.write_all(b"question").await.unwrap();
        ours.shutdown(Shutdown::Write).unwrap();
        let mut heard = [0; 8];
        theirs.read_exact(&mut heard).await.unwrap();
        assert_eq!(theirs.read(&mut heard).await.unwrap(), 0);
        theirs.write_all(b"answer").await.unwrap();
        ours.read_exact(&mut heard[..6]).await.unwrap();
        assert_eq!(&heard[..6], b"answer");
        assert!(ours.write(b"more").await.is_err());
    });
}

#[test]
fn read_exact_says_so_if_the_stream_ends_first() {
    run(async {
        let (mut ours, mut theirs) = connected().await;
        theirs.write_all(b"abc").await.unwrap();
        drop(theirs);
        let error = ours.read_exact(&mut [0; 4]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    });
}

#[test]
fn the_halves_of_a_borrowed_stream_read_and_write_side_by_side() {
    run(async {
        let (mut ours, theirs) = connected().await;
        drop(windlass::spawn(echo(theirs)));
        let sent = noise(1, 300_000);
        let mut back = vec![0; sent.len()];
        let (mut read, mut write) = ours.split();
        let (a, b) = join(write.write_all(&sent), read.read_exact(&mut back)).await;
        a.and(b).unwrap();
        assert!(back == sent);
        ours.write_all(b"whole again").await.unwrap();
    });
}

#[test]
fn owned_halves_go_separate_ways_and_dropping_the_writer_ends_our_side() {
    run_alone(async {
        let (ours, mut theirs) = connected().await;
        let (mut read, mut write) = ours.into_split();
        let reading = windlass::spawn(async move {
            let mut heard = [0; 3];
            read.read_exact(&mut heard).await.unwrap();
            (heard, read.read(&mut [0; 3]).await.unwrap())
        });
        write.write_all(b"bye").await.unwrap();
        drop(write);
        let mut heard = [0; 3];
        theirs.read_exact(&mut heard).await.unwrap();
        assert_eq!(theirs.read(&mut heard).await.unwrap(), 0);
        theirs.write_all(b"bye").await.unwrap();
        drop(theirs);
        assert_eq!(reading.await.unwrap(), (*b"bye", 0));
    });
}

#[test]
fn halves_that_belong_together_make_one_stream_again_and_others_come_back() {
    run_alone(async {
        let (a, mut b) = connected().await;
        let (c, _d) = connected().await;
        let ((read_a, write_a), (read_c, write_c)) = (a.into_split(), c.into_split());
        let error = read_a.reunite(write_c).unwrap_err();
        assert_eq!(error.to_string(), "the halves are of different streams");
        let mut a = error.0.reunite(write_a).unwrap();
        read_c.reunite(error.1).unwrap();
        a.write_all(b"!").await.unwrap();
        b.read_exact(&mut [0]).await.unwrap();
    });
}

#[test]
fn everyone_who_waits_for_a_direction_is_woken() {
    run(async {
        let (ours, mut theirs) = connected().await;
        let ours = Rc::new(ours);
        let waiting: Vec<_> = (0..5)
            .map(|_| {
                let ours = ours.clone();
                windlass::spawn(async move {
                    ours.readable().await.unwrap();
                    ours.peek(&mut [0; 8]).await.unwrap()
                })
            })
            .collect();
        some_turns().await;
        assert!(waiting.iter().all(|task| !task.is_finished()));
        theirs.write_all(b"all").await.unwrap();
        for task in waiting {
            assert_eq!(task.await.unwrap(), 3);
        }
        // The same for writing: full, and then not.
        let sent = fill(&ours).await;
        let waiting: Vec<_> = (0..5)
            .map(|_| {
                let ours = ours.clone();
                windlass::spawn(async move { ours.writable().await.unwrap() })
            })
            .collect();
        some_turns().await;
        assert!(waiting.iter().all(|task| !task.is_finished()));
        let mut taken = vec![0; sent];
        theirs.read_exact(&mut taken).await.unwrap();
        for task in waiting {
            task.await.unwrap();
        }
    });
}

#[test]
fn of_several_that_wait_one_may_give_up_and_the_others_are_woken_still() {
    run(async {
        let (ours, mut theirs) = connected().await;
        let ours = Rc::new(ours);
        let wait = |ours: Rc<TcpStream>| async move { ours.readable().await.unwrap() };
        let tasks: Vec<_> = (0..3).map(|_| windlass::spawn(wait(ours.clone()))).collect();
        some_turns().await;
        tasks[1].abort();
        theirs.write_all(b"!").await.unwrap();
        for (index, task) in tasks.into_iter().enumerate() {
            assert_eq!(task.await.is_ok(), index != 1);
        }
    });
}

#[test]
fn trying_finds_nothing_or_what_is_there() {
    run(async {
        let (ours, theirs) = connected().await;
        let mut buffer = [0; 8];
        assert_eq!(ours.try_read(&mut buffer).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        assert_eq!(theirs.try_write_vectored(&[IoSlice::new(b"a"), IoSlice::new(b"b")]).unwrap(), 2);
        ours.readable().await.unwrap();
        let (mut a, mut b) = ([0], [0; 4]);
        let n = ours.try_read_vectored(&mut [IoSliceMut::new(&mut a), IoSliceMut::new(&mut b)]).unwrap();
        assert_eq!((n, a[0], b[0]), (2, b'a', b'b'));
        assert_eq!(ours.try_read(&mut buffer).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    });
}

#[test]
fn an_operation_that_a_signal_interrupts_is_done_again() {
    run(async {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        (&theirs).write_all(b"here").unwrap();
        let ours = windlass::io::AsyncFd::new(ours).unwrap();
        let interruptions = Cell::new(2);
        let n = ours
            .read_with(|mut io| {
                if interruptions.get() > 0 {
                    interruptions.set(interruptions.get() - 1);
                    return Err(io::ErrorKind::Interrupted.into());
                }
                io.read(&mut [0; 8])
            })
            .await;
        assert_eq!((n.unwrap(), interruptions.get()), (4, 0));
    });
}

#[test]
fn a_stream_goes_to_the_standard_library_and_back() {
    run_alone(async {
        let (ours, mut theirs) = connected().await;
        let std = ours.into_std().unwrap();
        std.set_nonblocking(false).unwrap();
        (&std).write_all(b"blocking").unwrap();
        let mut heard = [0; 8];
        theirs.read_exact(&mut heard).await.unwrap();
        let mut ours = TcpStream::from_std(std).unwrap(); // non-blocking from here on
        theirs.write_all(b"not").await.unwrap();
        ours.read_exact(&mut heard[..3]).await.unwrap();
        let listener = TcpListener::from_std(std::net::TcpListener::bind(ANY).unwrap()).unwrap();
        let _ours = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let back = TcpListener::from_std(listener.into_std().unwrap()).unwrap();
        back.accept().await.unwrap();
    });
}

/// Reads and writes through the traits alone.
async fn by_traits(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> [u8; 4] {
    let n = poll_fn(|cx| Pin::new(&mut *stream).poll_write(cx, b"ping")).await.unwrap();
    assert_eq!(n, 4);
    poll_fn(|cx| Pin::new(&mut *stream).poll_flush(cx)).await.unwrap();
    let mut back = [0; 4];
    assert_eq!(poll_fn(|cx| Pin::new(&mut *stream).poll_read(cx, &mut back)).await.unwrap(), 4);
    poll_fn(|cx| Pin::new(&mut *stream).poll_close(cx)).await.unwrap();
    assert_eq!(poll_fn(|cx| Pin::new(&mut *stream).poll_read(cx, &mut [0; 4])).await.unwrap(), 0);
    back
}

#[test]
fn the_traits_do_what_the_methods_do_and_closing_ends_our_side() {
    run_alone(async {
        let (mut ours, theirs) = connected().await;
        drop(windlass::spawn(echo(theirs)));
        assert_eq!(by_traits(&mut ours).await, *b"ping");
    });
}

#[test]
fn a_connection_that_is_refused_says_so() {
    run_alone(async {
        let nobody = TcpListener::bind(ANY).unwrap().local_addr().unwrap();
        let error = TcpStream::connect(nobody).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        let systems = io::Error::from_raw_os_error(111); // ECONNREFUSED
        assert_eq!(error.to_string(), format!("connect to {nobody}: {systems}"));
    });
}

#[test]
fn a_connect_that_succeeds_is_not_asked_whether_it_failed() {
    run_alone(async {
        let listener = std::net::TcpListener::bind(ANY).unwrap();
        let before = windlass::metrics().syscalls;
        let connected = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        assert_eq!(windlass::metrics().syscalls - before, 4, "socket, connect, epoll_ctl, epoll_wait");
        drop(connected);
    });
}

#[test]
fn a_name_is_looked_up_and_connected_to() {
    run(async {
        let listener = TcpListener::bind(ANY).unwrap();
        let port = listener.local_addr().unwrap().port();
        let stream = TcpStream::connect(("localhost", port)).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), listener.local_addr().unwrap());
        TcpStream::connect(format!("localhost:{port}")).await.unwrap();
        assert!(lookup_host(("127.0.0.1", 80)).await.unwrap().len() == 1);
    });
}

#[test]
fn what_is_no_name_is_an_error_in_words() {
    run(async {
        for wrong in ["no port", "localhost:99999", "name.invalid:80", ""] {
            let error = TcpStream::connect(wrong).await.unwrap_err();
            assert!(!error.to_string().is_empty(), "{wrong:?}");
        }
    });
}

#[test]
fn a_socket_keeps_the_address_it_was_given() {
    run_alone(async {
        let listener = TcpListener::bind(ANY).unwrap();
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_nodelay(true).unwrap();
        socket.bind(ANY).unwrap();
        let chosen = socket.local_addr().unwrap();
        let stream = socket.connect(listener.local_addr().unwrap()).await.unwrap();
        let (_theirs, peer) = listener.accept().await.unwrap();
        assert_eq!((stream.local_addr().unwrap(), peer), (chosen, chosen));
        assert!(stream.nodelay().unwrap());
        let taken = TcpListener::bind(listener.local_addr().unwrap()).unwrap_err();
        assert_eq!(taken.kind(), io::ErrorKind::AddrInUse);
    });
}

#[test]
fn several_tasks_accept_from_one_listener_and_each_connection_once() {
    run_alone(async {
        let listener = Rc::new(TcpListener::bind(ANY).unwrap());
        let address = listener.local_addr().unwrap();
        let peers = Rc::new(RefCell::new(Vec::new()));
        let accepting: Vec<_> = (0..3)
            .map(|_| {
                let (listener, peers) = (listener.clone(), peers.clone());
                windlass::spawn(async move {
                    loop {
                        let (_stream, peer) = listener.accept().await.unwrap();
                        peers.borrow_mut().push(peer);
                    }
                })
            })
            .collect();
        let mut ours = Vec::new();
        for _ in 0..50 {
            ours.push(TcpStream::connect(address).await.unwrap());
        }
        until(|| peers.borrow().len() == 50).await;
        let mut expected: Vec<_> = ours.iter().map(|stream| stream.local_addr().unwrap()).collect();
        expected.sort();
        peers.borrow_mut().sort();
        assert_eq!(*peers.borrow(), expected);
        for task in accepting {
            task.abort();
        }
    });
}

#[test]
fn trying_to_accept_finds_nobody_or_somebody() {
    run(async {
        let listener = TcpListener::bind(ANY).unwrap();
        assert_eq!(listener.try_accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);
        let _ours = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        some_turns().await;
        listener.try_accept().unwrap();
        assert_eq!(listener.try_accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);
    });
}

#[test]
fn a_reset_wakes_the_reader_and_the_writer() {
    run_alone(async {
        let (ours, theirs) = connected().await;
        fill(&ours).await;
        let (mut read, mut write) = ours.into_split();
        let reading = windlass::spawn(async move { read.read(&mut [0; 8]).await });
        let writing = windlass::spawn(async move { write.write_all(&[0; 1024]).await });
        some_turns().await;
        assert!(!reading.is_finished() && !writing.is_finished());
        theirs.set_linger(Some(Duration::ZERO)).unwrap();
        drop(theirs);
        let (read, wrote) = (reading.await.unwrap(), writing.await.unwrap());
        // The system tells a reset once, to whoever asks first; the other learns that the connection is over.
        assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");
        assert!(wrote.is_err());
        let kind = wrote.unwrap_err().kind();
        let told = [read.err().map(|error| error.kind()), Some(kind)];
        assert!(told.contains(&Some(io::ErrorKind::ConnectionReset)), "{told:?}");
    });
}

#[test]
fn a_peer_that_has_ended_its_side_does_not_keep_the_loop_awake() {
    // Half closed, our buffers full, a task that waits for room.
    run(async {
        let (mut ours, theirs) = connected().await;
        fill(&ours).await;
        theirs.shutdown(Shutdown::Write).unwrap();
        assert_eq!(ours.read(&mut [0; 8]).await.unwrap(), 0);
        let waiting = windlass::spawn(async move { ours.writable().await });
        some_turns().await;
        let before = windlass::metrics();
        sleep(Duration::from_millis(300)).await;
        let turns = windlass::metrics().ticks - before.ticks;
        assert!(turns <= 5, "{turns} turns in 300 ms with nothing to do");
        assert!(!waiting.is_finished());
        drop(theirs);
        waiting.await.unwrap().unwrap();
    });
}

#[test]
fn large_transfers_both_ways_at_once_arrive_intact() {
    run_alone(async {
        const LEN: usize = 4 << 20;
        let (mut ours, mut theirs) = connected().await;
        let (a, b) = (noise(2, LEN), noise(3, LEN));
        let (mut at_ours, mut at_theirs) = (vec![0; LEN], vec![0; LEN]);
        let (mut read, mut write) = ours.split();
        let (mut their_read, mut their_write) = theirs.split();
        let ours = join(write.write_all(&a), read.read_exact(&mut at_ours));
        let theirs = join(their_write.write_all(&b), their_read.read_exact(&mut at_theirs));
        let ((w, r), (tw, tr)) = join(ours, theirs).await;
        w.and(r).and(tw).and(tr).unwrap();
        assert!(at_ours == b && at_theirs == a);
    });
}

#[test]
fn many_small_writes_arrive_in_their_order_at_a_reader_with_a_small_buffer() {
    run(async {
        let (mut ours, mut theirs) = connected().await;
        let sent = noise(4, 20_000);
        let copy = sent.clone();
        let writing = windlass::spawn(async move {
            for piece in copy.chunks(37) {
                ours.write_all(piece).await.unwrap();
            }
        });
        let mut heard = Vec::new();
        let mut buffer = [0; 41];
        while let Ok(n @ 1..) = theirs.read(&mut buffer).await {
            heard.extend_from_slice(&buffer[..n]);
        }
        assert!(heard == sent);
        writing.await.unwrap();
    });
}

#[test]
fn a_stream_dropped_on_another_thread_is_closed_and_forgotten() {
    run_alone(async {
        let before = open_descriptors();
        for _ in 0..20 {
            let (ours, mut theirs) = connected().await;
            thread::spawn(move || drop(ours)).join().unwrap();
            assert_eq!(theirs.read(&mut [0; 8]).await.unwrap(), 0);
        }
        assert_eq!(open_descriptors(), before);
    });
}

#[test]
fn halves_dropped_on_another_thread_close_when_both_are_gone() {
    run_alone(async {
        let (ours, mut theirs) = connected().await;
        let (read, write) = ours.into_split();
        thread::spawn(move || drop(write)).join().unwrap();
        assert_eq!(theirs.read(&mut [0; 8]).await.unwrap(), 0);
        thread::spawn(move || drop(read)).join().unwrap();
        some_turns().await;
        assert!(theirs.write_all(b"x").await.is_ok()); // answered by a reset
        assert!(theirs.read(&mut [0; 8]).await.is_err() || theirs.write_all(b"x").await.is_err());
    });
}

#[test]
fn a_stream_that_outlives_its_loop_is_closed_all_the_same() {
    alone(|| {
        let crank = windlass::Loop::new().unwrap();
        let (ours, theirs) = crank.block_on(async {
            let (ours, mut theirs) = connected().await;
            theirs.write_all(b"!").await.unwrap();
            (ours, theirs)
        });
        assert!(ours.try_read(&mut [0]).unwrap_err().to_string().contains("outside its loop"));
        drop(crank);
        thread::spawn(move || drop(ours)).join().unwrap();
        drop(theirs);
    });
}

fn poll_once<F: Future>(future: F) -> Poll<F::Output> {
    pin!(future).poll(&mut Context::from_waker(Waker::noop()))
}

fn is_outside<T: std::fmt::Debug>(outcome: Poll<io::Result<T>>) {
    match outcome {
        Poll::Ready(Err(error)) => assert_eq!(error.to_string(), "a source was used outside its loop"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn operations_off_their_loop_are_errors() {
    run_alone(async {
        let (mut ours, mut theirs) = connected().await;
        theirs.write_all(b"!").await.unwrap();
        ours.readable().await.unwrap();
        let elsewhere = thread::spawn(move || {
            let mut buffer = [0; 8];
            for _in_a_loop in [false, true] {
                is_outside(poll_once(ours.read(&mut buffer)));
                is_outside(poll_once(ours.write(b"x")));
                is_outside(poll_once(ours.peek(&mut buffer)));
                is_outside(poll_once(ours.readable()));
                is_outside(poll_once(ours.writable()));
                is_outside(Poll::Ready(ours.try_read(&mut buffer)));
                is_outside(Poll::Ready(ours.try_write(b"x")));
            }
            let other = windlass::Loop::new().unwrap();
            other.block_on(async {
                is_outside(Poll::Ready(ours.read(&mut buffer).await));
                is_outside(Poll::Ready(ours.write(b"x").await));
                is_outside(Poll::Ready(ours.readable().await));
            });
            is_outside(Poll::Ready(ours.into_std()));
        });
        elsewhere.join().unwrap();
        assert_eq!(theirs.read(&mut [0; 8]).await.unwrap_or(0), 0, "into_std elsewhere closes");
    });
}

#[test]
fn a_stream_comes_back_from_another_thread_and_works() {
    run(async {
        let (ours, mut theirs) = connected().await;
        let mut ours = thread::spawn(move || ours).join().unwrap();
        theirs.write_all(b"!").await.unwrap();
        assert_eq!(ours.read(&mut [0; 8]).await.unwrap(), 1);
    });
}

#[test]
fn connects_that_are_given_up_leave_nothing_behind_and_disturb_no_other() {
    // The next socket gets the number of the descriptor that was given up.
    run_alone_paused(async {
        let (deaf, _queued) = deaf(ANY).await;
        let listener = TcpListener::bind(ANY).unwrap();
        let (nowhere, somewhere) = (deaf.local_addr().unwrap(), listener.local_addr().unwrap());
        let accepting = windlass::spawn(async move {
            loop {
                drop(windlass::spawn(echo(listener.accept().await.unwrap().0)));
            }
        });
        some_turns().await;
        let before = open_descriptors();
        for round in 0..1_000_u32 {
            let given_up = timeout(Duration::from_millis(1), TcpStream::connect(nowhere)).await;
            assert!(given_up.is_err(), "round {round}: {given_up:?}");
            if round % 4 == 0 {
                let mut stream = TcpStream::connect(somewhere).await.unwrap();
                stream.write_all(&round.to_le_bytes()).await.unwrap();
                let mut back = [0; 4];
                stream.read_exact(&mut back).await.unwrap();
                assert_eq!(u32::from_le_bytes(back), round);
            }
        }
        some_turns().await;
        assert_eq!(open_descriptors(), before);
        assert_eq!(windlass::metrics().stale_wakes, 0);
        accepting.abort();
    });
}

#[test]
fn reads_that_are_given_up_lose_no_byte() {
    run(async {
        let (mut ours, theirs) = connected().await;
        let sent = noise(5, 3_000);
        let copy = sent.clone();
        let writing = windlass::spawn(async move {
            let mut theirs = theirs;
            for piece in copy.chunks(7) {
                theirs.write_all(piece).await.unwrap();
                windlass::task::yield_now().await;
            }
        });
        let mut heard = Vec::new();
        let mut buffer = [0; 16];
        loop {
            let mut reading = Box::pin(ours.read(&mut buffer));
            let outcome = poll_fn(|cx| Poll::Ready(reading.as_mut().poll(cx))).await;
            drop(reading);
            match outcome {
                Poll::Ready(Ok(0)) => break,
                Poll::Ready(n) => heard.extend_from_slice(&buffer[..n.unwrap()]),
                Poll::Pending => windlass::task::yield_now().await,
            }
        }
        assert!(heard == sent);
        writing.await.unwrap();
    });
}

#[test]
fn urgent_data_does_not_hide_what_follows_it() {
    // The kernel ends a read at the urgent byte: a short read, though there is more.
    run(async {
        let (mut ours, theirs) = connected_to_std().await;
        let theirs = socket2::Socket::from(theirs);
        theirs.send(b"before").unwrap();
        theirs.send_out_of_band(b"!").unwrap();
        theirs.send(b"after").unwrap();
        let mut heard = [0; 11];
        let all = timeout(Duration::from_secs(5), ours.read_exact(&mut heard)).await;
        assert!(all.is_ok(), "heard {:?}", heard.escape_ascii().to_string());
        assert_eq!(&heard, b"beforeafter");
    });
}

/// The descriptors that the child below may have.
const FEW: usize = 40;

#[test]
fn without_a_descriptor_left_accept_waits_for_one_and_the_loop_stays_calm() {
    if std::env::var_os("WINDLASS_FEW_DESCRIPTORS").is_some() {
        return with_few_descriptors();
    }
    let name = "without_a_descriptor_left_accept_waits_for_one_and_the_loop_stays_calm";
    let this = std::env::current_exe().unwrap();
    // The shell lowers the limit for the child that it becomes.
    let mut child = Command::new("sh");
    child.args(["-c", &format!("ulimit -n {FEW} && exec \"$0\" --exact {name} --nocapture")]).arg(this);
    let child = beside_others(|| child.env("WINDLASS_FEW_DESCRIPTORS", "1").output().unwrap());
    let said = String::from_utf8_lossy(&child.stdout);
    assert!(child.status.success() && said.contains("1 passed"), "{said}\n{}", String::from_utf8_lossy(&child.stderr));
}

fn with_few_descriptors() {
    run(async {
        let (mut ours, theirs) = connected().await;
        drop(windlass::spawn(echo(theirs)));
        let listener = Rc::new(TcpListener::bind(ANY).unwrap());
        let address = listener.local_addr().unwrap();
        let _waiting: Vec<_> = (0..3).map(|_| std::net::TcpStream::connect(address).unwrap()).collect();
        let mut taken = Vec::new();
        while let Ok(file) = std::fs::File::open("/dev/null") {
            taken.push(file);
        }
        let accepted = Rc::new(Cell::new(0));
        for _ in 0..2 {
            let (listener, accepted) = (listener.clone(), accepted.clone());
            drop(windlass::spawn(async move {
                let mut streams = Vec::new();
                loop {
                    streams.push(listener.accept().await.unwrap());
                    accepted.set(accepted.get() + 1);
                }
            }));
        }
        let refused = TcpStream::connect(address).await.unwrap_err().to_string();
        let systems = io::Error::from_raw_os_error(24);
        assert_eq!(refused, format!("connect to {address}: {systems}"), "EMFILE, and no waiting");
        let before = windlass::metrics();
        sleep(Duration::from_millis(400)).await;
        let turns = windlass::metrics().ticks - before.ticks;
        assert!(turns <= 40, "{turns} turns in 400 ms: two tasks try again every 50 ms");
        assert_eq!(accepted.get(), 0);
        ours.write_all(b"alive").await.unwrap(); // who is connected does not notice
        ours.read_exact(&mut [0; 5]).await.unwrap();
        drop(taken.pop());
        let resumed = timeout(Duration::from_millis(1_000), until(|| accepted.get() == 1)).await;
        assert!(resumed.is_ok(), "accepts again when a descriptor frees");
        taken.clear();
        until(|| accepted.get() == 3).await;
    });
}
