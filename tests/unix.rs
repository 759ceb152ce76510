//! Stories about Unix sockets: streams as over TCP, datagrams that wait for room, and files that stay where they are.
//!
//! Most listen at abstract names, which leave nothing behind.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::cell::Cell;
use std::future::poll_fn;
use std::io::{ErrorKind, IoSlice, Read, Write};
use std::net::Shutdown;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::Poll;
use std::thread;
use std::time::Duration;

use futures_io::{AsyncRead, AsyncWrite};
use static_assertions::assert_impl_all;
use windlass::io::AsyncFd;
use windlass::net::{OwnedReadHalf, OwnedWriteHalf, UnixDatagram, UnixListener, UnixStream};
use windlass::time::{Instant, timeout};
use windlass_tests::{join, open_descriptors, run, run_alone, run_paused, some_turns, until};

assert_impl_all!(UnixStream: Send, Sync, Unpin);
assert_impl_all!(UnixListener: Send, Sync, Unpin);
assert_impl_all!(UnixDatagram: Send, Sync, Unpin);
assert_impl_all!(OwnedReadHalf<UnixStream>: Send, Sync, Unpin);
assert_impl_all!(OwnedWriteHalf<UnixStream>: Send, Sync, Unpin);

/// An abstract name that nobody else has.
fn name() -> String {
    static USED: AtomicU32 = AtomicU32::new(0);
    format!("\0windlass-{}-{}", std::process::id(), USED.fetch_add(1, Ordering::Relaxed))
}

#[test]
fn what_is_said_comes_back_from_an_echo() {
    run_alone(async {
        let name = name();
        let listener = UnixListener::bind(&name).unwrap();
        let mut ours = UnixStream::connect(&name).await.unwrap();
        let (mut theirs, _) = listener.accept().await.unwrap();
        assert_eq!(ours.peer_addr().unwrap().as_pathname(), None);
        let echoing = windlass::spawn(async move {
            let mut buffer = [0; 1024];
            while let Ok(n @ 1..) = theirs.read(&mut buffer).await {
                theirs.write_all(&buffer[..n]).await.unwrap();
            }
        });
        for _ in 0..100 {
            ours.write_all(b"hello").await.unwrap();
            let mut back = [0; 16];
            assert_eq!(ours.read(&mut back).await.unwrap(), 5);
        }
        drop(ours);
        echoing.await.unwrap();
    });
}

/// Sends `bytes`, and our stdin with them: an SCM_RIGHTS message as Linux has it in memory.
fn send_with_a_descriptor(stream: &std::os::unix::net::UnixStream, bytes: &[u8]) {
    let (length, socket_level, rights, fd) = (size_of::<usize>() + 12, 1_i32, 1_i32, 0_i32);
    let mut control = length.to_ne_bytes().to_vec();
    control.extend([socket_level, rights, fd].into_iter().flat_map(i32::to_ne_bytes));
    control.resize(length.next_multiple_of(align_of::<usize>()), 0);
    let buffers = [IoSlice::new(bytes)];
    let message = socket2::MsgHdr::new().with_buffers(&buffers).with_control(&control);
    assert_eq!(socket2::SockRef::from(stream).sendmsg(&message, 0).unwrap(), bytes.len());
}

/// Reads what came with a descriptor, and what was sent after it.
async fn with_and_behind(mut ours: impl AsyncRead + Unpin, theirs: std::os::unix::net::UnixStream) {
    // The kernel ends a read behind the first: a short one, though there is more, and no event is to come.
    send_with_a_descriptor(&theirs, b"with");
    (&theirs).write_all(b"behind").unwrap();
    for expected in ["with", "behind"] {
        let mut heard = [0; 64];
        let read = poll_fn(|cx| Pin::new(&mut ours).poll_read(cx, &mut heard));
        let n = timeout(Duration::from_secs(5), read).await.expect("it is there").unwrap();
        assert_eq!(&heard[..n], expected.as_bytes());
    }
}

#[test]
fn bytes_that_a_descriptor_came_with_do_not_hide_what_follows_them() {
    run(async {
        let (theirs, ours) = std::os::unix::net::UnixStream::pair().unwrap();
        with_and_behind(UnixStream::from_std(ours).unwrap(), theirs).await;
    });
}

#[test]
fn a_descriptor_of_any_kind_is_read_until_it_would_block_whatever_short_reads_it_gives() {
    run(async {
        let (theirs, ours) = std::os::unix::net::UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        with_and_behind(AsyncFd::new(ours).unwrap(), theirs).await;
    });
}

#[test]
fn large_transfers_both_ways_at_once_arrive_intact() {
    run(async {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let bytes: Vec<u8> = (0..1_000_000_u32).map(|n| (n % 251) as u8).collect();
        let both = |stream: UnixStream| {
            let bytes = &bytes;
            async move {
                let (mut read, mut write) = stream.into_split();
                let mut heard = vec![0; bytes.len()];
                let (read, written) = join(read.read_exact(&mut heard), write.write_all(bytes)).await;
                read.and(written).unwrap();
                heard
            }
        };
        let (one, other) = join(both(ours), both(theirs)).await;
        assert!(one == bytes && other == bytes);
    });
}

#[test]
fn one_side_may_end_and_the_other_go_on() {
    run(async {
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        let (mut their_read, mut their_write) = theirs.into_split();
        ours.write_all(b"last words").await.unwrap();
        ours.shutdown(Shutdown::Write).unwrap();
        let mut heard = [0; 16];
        assert_eq!(their_read.read(&mut heard).await.unwrap(), 10);
        assert_eq!(their_read.read(&mut heard).await.unwrap(), 0);
        their_write.write_all(b"answer").await.unwrap();
        drop(their_write);
        assert_eq!(ours.read(&mut heard).await.unwrap(), 6);
        assert_eq!(ours.read(&mut heard).await.unwrap(), 0, "dropping the writing half ended their side");
    });
}

#[test]
fn the_halves_make_one_stream_again_and_the_traits_do_what_the_methods_do() {
    run(async {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let (read, write) = ours.into_split();
        let mut ours = read.reunite(write).unwrap();
        let buffers = [IoSlice::new(b"he"), IoSlice::new(b"llo")];
        assert_eq!(poll_fn(|cx| Pin::new(&mut ours).poll_write_vectored(cx, &buffers)).await.unwrap(), 5);
        poll_fn(|cx| Pin::new(&mut ours).poll_close(cx)).await.unwrap();
        let mut heard = [0; 16];
        assert_eq!(poll_fn(|cx| Pin::new(&mut theirs).poll_read(cx, &mut heard)).await.unwrap(), 5);
        assert_eq!(poll_fn(|cx| Pin::new(&mut theirs).poll_read(cx, &mut heard)).await.unwrap(), 0);
    });
}

#[test]
fn connecting_to_nobody_says_why() {
    run(async {
        let nowhere = UnixStream::connect("/nowhere/at/all").await.unwrap_err();
        assert_eq!(nowhere.kind(), ErrorKind::NotFound);
        assert_eq!(UnixStream::connect(name()).await.unwrap_err().kind(), ErrorKind::ConnectionRefused);
        assert_eq!(UnixStream::connect("x".repeat(200)).await.unwrap_err().kind(), ErrorKind::InvalidInput);
    });
}

#[test]
fn connecting_waits_while_the_backlog_is_full_and_may_be_given_up() {
    run_alone(async {
        let name = name();
        let socket = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None).unwrap();
        socket.bind(&socket2::SockAddr::unix(&name).unwrap()).unwrap();
        socket.listen(0).unwrap();
        let listener = UnixListener::from_std(socket.into()).unwrap();
        let _queued = UnixStream::connect(&name).await.unwrap();
        let before = open_descriptors();
        assert!(timeout(Duration::from_millis(25), UnixStream::connect(&name)).await.is_err());
        assert_eq!(open_descriptors(), before);
        let late = windlass::spawn(async move { UnixStream::connect(&name).await });
        some_turns().await;
        assert!(!late.is_finished());
        listener.accept().await.unwrap();
        late.await.unwrap().unwrap();
    });
}

#[test]
fn several_tasks_accept_from_one_listener_and_each_connection_once() {
    run(async {
        let name = name();
        let listener = Rc::new(UnixListener::bind(&name).unwrap());
        let accepted = Rc::new(Cell::new(0));
        for _ in 0..3 {
            let (listener, accepted) = (listener.clone(), accepted.clone());
            drop(windlass::spawn(async move {
                while let Ok((_stream, _)) = listener.accept().await {
                    accepted.set(accepted.get() + 1);
                }
            }));
        }
        for _ in 0..20 {
            UnixStream::connect(&name).await.unwrap();
        }
        until(|| accepted.get() == 20).await;
    });
}

#[test]
fn the_file_of_a_listener_stays_and_is_in_the_way_until_it_is_removed() {
    run(async {
        let path = std::env::temp_dir().join(&name()[1..]);
        let listener = UnixListener::bind(&path).unwrap();
        assert_eq!(UnixListener::bind(&path).unwrap_err().kind(), ErrorKind::AddrInUse);
        drop(listener);
        assert!(path.exists(), "nobody here removes it");
        assert_eq!(UnixStream::connect(&path).await.unwrap_err().kind(), ErrorKind::ConnectionRefused);
        assert_eq!(UnixDatagram::bind(&path).unwrap_err().kind(), ErrorKind::AddrInUse);
        std::fs::remove_file(&path).unwrap();
        drop(UnixListener::bind(&path).unwrap());
        std::fs::remove_file(&path).unwrap();
    });
}

#[test]
fn a_stream_goes_to_the_standard_library_and_back_and_may_be_dropped_anywhere() {
    run_alone(async {
        let before = open_descriptors();
        let (ours, theirs) = UnixStream::pair().unwrap();
        let mut theirs = theirs.into_std().unwrap();
        theirs.set_nonblocking(false).unwrap();
        let mut ours = UnixStream::from_std(ours.into_std().unwrap()).unwrap();
        ours.write_all(b"hello").await.unwrap();
        theirs.read_exact(&mut [0; 5]).unwrap();
        let outside = thread::spawn(move || ours.try_write(b"x").unwrap_err().to_string()).join().unwrap();
        assert_eq!(outside, "a source was used outside its loop");
        until(|| open_descriptors() == before + 1).await; // the loop closes what the thread dropped
        assert_eq!(theirs.read(&mut [0; 5]).unwrap(), 0);
    });
}

/// Fills the receiver's queue by a socket of somebody else's; how many went in.
fn fill(name: &str) -> usize {
    let other = std::os::unix::net::UnixDatagram::unbound().unwrap();
    other.set_nonblocking(true).unwrap();
    let address = socket2::SockAddr::unix(name).unwrap();
    (0..).find(|_| socket2::SockRef::from(&other).send_to(b"x", &address).is_err()).unwrap()
}

#[test]
fn a_connected_sender_waits_for_room_that_another_took() {
    run(async {
        let name = name();
        let theirs = UnixDatagram::bind(&name).unwrap();
        let ours = UnixDatagram::unbound().unwrap();
        ours.connect(&name).unwrap();
        let filled = fill(&name);
        let sending = windlass::spawn(async move { ours.send(b"mine").await });
        some_turns().await;
        assert!(!sending.is_finished());
        let mut buffer = [0; 16];
        for _ in 0..filled {
            assert_eq!(theirs.recv(&mut buffer).await.unwrap(), 1);
        }
        assert_eq!(theirs.recv(&mut buffer).await.unwrap(), 4);
        assert_eq!(sending.await.unwrap().unwrap(), 4);
    });
}

#[test]
fn a_sender_that_is_not_connected_asks_again_every_10_ms_while_there_is_no_room() {
    run_paused(async {
        let name = name();
        let theirs = UnixDatagram::bind(&name).unwrap();
        let ours = UnixDatagram::unbound().unwrap();
        let filled = fill(&name);
        assert_eq!(ours.try_send_to(b"mine", &name).unwrap_err().kind(), ErrorKind::WouldBlock);
        let began = Instant::now();
        let sending = windlass::spawn(async move { ours.send_to(b"mine", &name).await });
        windlass::time::sleep(Duration::from_millis(35)).await;
        assert!(!sending.is_finished());
        for _ in 0..filled {
            theirs.recv(&mut [0; 16]).await.unwrap();
        }
        assert_eq!(sending.await.unwrap().unwrap(), 4);
        assert_eq!(began.elapsed(), Duration::from_millis(40));
        assert_eq!(theirs.recv(&mut [0; 16]).await.unwrap(), 4);
    });
}

#[test]
fn of_a_pair_of_datagram_sockets_the_one_hears_that_the_other_is_gone() {
    run(async {
        let (ours, theirs) = UnixDatagram::pair().unwrap();
        theirs.send(b"last words").await.unwrap();
        drop(theirs);
        let mut buffer = [0; 4];
        assert_eq!(ours.recv(&mut buffer).await.unwrap(), 4, "cut to the buffer");
        assert_eq!(ours.send(b"x").await.unwrap_err().kind(), ErrorKind::ConnectionRefused);
        let waits = poll_fn(|cx| Poll::Ready(ours.poll_recv(cx, &mut buffer).is_pending())).await;
        assert!(waits, "no end is told: a datagram socket has none");
    });
}
