//! Stories about UDP: a datagram arrives whole or cut, never in pieces; and who waits for one hears of it.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::cell::RefCell;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::thread;

use static_assertions::assert_impl_all;
use windlass::net::UdpSocket;
use windlass_tests::{ANY, open_descriptors, poll_at_most, run, run_alone, some_turns, until};

assert_impl_all!(UdpSocket: Send, Sync, Unpin);

/// Ours on the loop; theirs a blocking socket, which sends before the loop turns. Connected with each other.
async fn ours_and_std() -> (UdpSocket, std::net::UdpSocket) {
    let ours = UdpSocket::bind(ANY).unwrap();
    let theirs = std::net::UdpSocket::bind(ANY).unwrap();
    ours.connect(theirs.local_addr().unwrap()).await.unwrap();
    theirs.connect(ours.local_addr().unwrap()).unwrap();
    (ours, theirs)
}

#[test]
fn datagrams_arrive_each_by_itself_with_their_senders_address() {
    run_alone(async {
        let ours = UdpSocket::bind(ANY).unwrap();
        let senders = [UdpSocket::bind(ANY).unwrap(), UdpSocket::bind(ANY).unwrap()];
        for (sender, word) in senders.iter().zip([&b"one"[..], b"three"]) {
            assert_eq!(sender.send_to(word, ours.local_addr().unwrap()).await.unwrap(), word.len());
        }
        let mut buffer = [0; 16];
        for (sender, word) in senders.iter().zip([&b"one"[..], b"three"]) {
            let (n, from) = ours.recv_from(&mut buffer).await.unwrap();
            assert_eq!((&buffer[..n], from), (word, sender.local_addr().unwrap()));
        }
    });
}

#[test]
fn a_datagram_longer_than_the_buffer_is_cut_and_the_next_one_is_whole() {
    run(async {
        let (ours, theirs) = ours_and_std().await;
        theirs.send(b"too long").unwrap();
        theirs.send(b"next").unwrap();
        let mut buffer = [0; 5];
        assert_eq!(ours.peek_from(&mut [0; 1]).await.unwrap().0, 1, "a peek is cut, too, and takes nothing");
        assert_eq!(ours.recv(&mut buffer).await.unwrap(), 5);
        assert_eq!(&buffer, b"too l");
        assert_eq!(ours.recv(&mut buffer).await.unwrap(), 4);
        assert_eq!(&buffer[..4], b"next");
        assert_eq!(ours.try_recv(&mut buffer).unwrap_err().kind(), ErrorKind::WouldBlock, "the rest is gone");
    });
}

#[test]
fn an_empty_datagram_is_received_and_is_no_end() {
    run(async {
        let (ours, theirs) = ours_and_std().await;
        theirs.send(b"").unwrap();
        theirs.send(b"more").unwrap();
        assert_eq!(ours.recv(&mut [0; 16]).await.unwrap(), 0);
        assert_eq!(ours.recv(&mut [0; 16]).await.unwrap(), 4);
    });
}

#[test]
fn the_largest_datagram_goes_and_one_byte_more_is_an_error_that_sends_nothing() {
    run(async {
        let (ours, theirs) = ours_and_std().await;
        let bytes = vec![b'x'; 65_508];
        assert_eq!(ours.send(&bytes).await.unwrap_err().raw_os_error(), Some(90), "EMSGSIZE");
        assert_eq!(ours.send(&bytes[1..]).await.unwrap(), 65_507);
        assert_eq!(theirs.recv(&mut vec![0; 65_508]).unwrap(), 65_507);
    });
}

#[test]
fn a_burst_takes_a_system_call_a_datagram_and_one_that_finds_no_more() {
    run(async {
        let (ours, theirs) = ours_and_std().await;
        for _ in 0..50 {
            theirs.send(b"hello").unwrap();
        }
        ours.readable().await.unwrap();
        let before = windlass::metrics();
        while ours.try_recv(&mut [0; 16]).is_ok() {}
        let received = windlass::metrics();
        assert_eq!((received.syscalls - before.syscalls, received.would_block - before.would_block), (51, 1));
        for _ in 0..50 {
            ours.send(b"hello").await.unwrap();
        }
        let sent = windlass::metrics();
        assert_eq!((sent.syscalls - received.syscalls, sent.would_block - received.would_block), (50, 0));
    });
}

#[test]
fn in_a_ping_pong_every_datagram_is_heard_though_each_drains_the_socket() {
    run(async {
        let (ours, theirs) = (UdpSocket::bind(ANY).unwrap(), UdpSocket::bind(ANY).unwrap());
        ours.connect(theirs.local_addr().unwrap()).await.unwrap();
        drop(windlass::spawn(async move {
            let mut buffer = [0; 16];
            while let Ok((n, from)) = theirs.recv_from(&mut buffer).await {
                theirs.send_to(&buffer[..n], from).await.unwrap();
            }
        }));
        let before = windlass::metrics();
        for round in 0..200_u32 {
            ours.send(&round.to_le_bytes()).await.unwrap();
            let mut back = [0; 4];
            ours.recv(&mut back).await.unwrap();
            assert_eq!(u32::from_le_bytes(back), round);
        }
        let found_none = windlass::metrics().would_block - before.would_block;
        assert!(found_none <= 400, "one for each datagram at most, not {found_none}");
    });
}

#[test]
fn several_tasks_receive_from_one_socket_and_each_datagram_goes_to_one() {
    run(async {
        let (ours, theirs) = ours_and_std().await;
        let (ours, heard) = (Rc::new(ours), Rc::new(RefCell::new(Vec::new())));
        for _ in 0..3 {
            let (ours, heard) = (ours.clone(), heard.clone());
            drop(windlass::spawn(async move {
                let mut buffer = [0];
                while ours.recv(&mut buffer).await.is_ok() {
                    heard.borrow_mut().push(buffer[0]);
                }
            }));
        }
        some_turns().await; // all wait
        for byte in 0..30 {
            theirs.send(&[byte]).unwrap();
        }
        until(|| heard.borrow().len() == 30).await;
        heard.borrow_mut().sort();
        assert_eq!(*heard.borrow(), (0..30).collect::<Vec<u8>>());
    });
}

#[test]
fn receives_that_are_given_up_lose_no_datagram() {
    run(async {
        let (ours, theirs) = ours_and_std().await;
        let mut heard = Vec::new();
        for byte in 0..100 {
            let mut buffer = [0];
            // Given up while it waits, or after its event and before its next poll.
            assert_eq!(poll_at_most(ours.recv(&mut buffer), 1).await.map(Result::unwrap), None);
            theirs.send(&[byte]).unwrap();
            if byte % 2 == 0 {
                some_turns().await;
            }
            ours.recv(&mut buffer).await.unwrap();
            heard.push(buffer[0]);
        }
        assert_eq!(heard, (0..100).collect::<Vec<u8>>());
    });
}

#[test]
fn a_connected_socket_hears_that_nobody_is_there_and_works_on() {
    run(async {
        let (ours, theirs) = ours_and_std().await;
        let (our_address, address) = (ours.local_addr().unwrap(), theirs.local_addr().unwrap());
        drop(theirs);
        ours.send(b"hello?").await.unwrap();
        assert_eq!(ours.recv(&mut [0; 16]).await.unwrap_err().kind(), ErrorKind::ConnectionRefused);
        let theirs = std::net::UdpSocket::bind(address).unwrap();
        ours.send(b"hello").await.unwrap();
        assert_eq!(theirs.recv_from(&mut [0; 16]).unwrap(), (5, our_address));
        theirs.send_to(b"there", our_address).unwrap();
        assert_eq!(ours.recv(&mut [0; 16]).await.unwrap(), 5);
    });
}

#[test]
fn a_name_is_looked_up_when_connecting() {
    run(async {
        let theirs = UdpSocket::bind(ANY).unwrap();
        let ours = UdpSocket::bind(ANY).unwrap();
        ours.connect(("localhost", theirs.local_addr().unwrap().port())).await.unwrap();
        assert_eq!(ours.peer_addr().unwrap(), theirs.local_addr().unwrap());
        assert!(ours.connect("no port").await.is_err());
        assert_eq!(ours.peer_addr().unwrap(), theirs.local_addr().unwrap(), "the peer is who it was");
    });
}

#[test]
fn a_group_hears_what_is_sent_to_it_while_it_is_joined() {
    run(async {
        let group = Ipv4Addr::new(239, 255, 70, 71);
        let ours = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0).into()).unwrap();
        ours.join_multicast_v4(group, Ipv4Addr::LOCALHOST).unwrap();
        let to = SocketAddr::from((group, ours.local_addr().unwrap().port()));
        let theirs = std::net::UdpSocket::bind(ANY).unwrap();
        socket2::SockRef::from(&theirs).set_multicast_if_v4(&Ipv4Addr::LOCALHOST).unwrap();
        theirs.send_to(b"all", to).unwrap();
        let (n, from) = ours.recv_from(&mut [0; 16]).await.unwrap();
        assert_eq!((n, from), (3, theirs.local_addr().unwrap()));
        ours.leave_multicast_v4(group, Ipv4Addr::LOCALHOST).unwrap();
        theirs.send_to(b"nobody", to).unwrap();
        theirs.send_to(b"you", (Ipv4Addr::LOCALHOST, to.port())).unwrap();
        let mut buffer = [0; 16];
        assert_eq!(ours.recv(&mut buffer).await.unwrap(), 3);
        assert_eq!(&buffer[..3], b"you");
    });
}

#[test]
fn broadcasting_is_refused_until_it_is_allowed() {
    run(async {
        let ours = UdpSocket::bind(ANY).unwrap();
        let all = SocketAddr::from((Ipv4Addr::new(127, 255, 255, 255), 9));
        assert_eq!(ours.send_to(b"x", all).await.unwrap_err().kind(), ErrorKind::PermissionDenied);
        ours.set_broadcast(true).unwrap();
        assert_eq!(ours.send_to(b"x", all).await.unwrap(), 1);
    });
}

#[test]
fn a_socket_goes_to_the_standard_library_and_back() {
    run_alone(async {
        let (ours, theirs) = ours_and_std().await;
        let ours = UdpSocket::from_std(ours.into_std().unwrap()).unwrap();
        theirs.send(b"hello").unwrap();
        assert_eq!(ours.recv(&mut [0; 16]).await.unwrap(), 5);
    });
}

#[test]
fn off_their_loop_operations_are_errors_and_dropping_closes() {
    run_alone(async {
        let before = open_descriptors();
        let (ours, theirs) = ours_and_std().await;
        theirs.send(b"hello").unwrap();
        ours.readable().await.unwrap();
        let elsewhere = thread::spawn(move || {
            let outside = |error: std::io::Error| assert_eq!(error.to_string(), "a source was used outside its loop");
            outside(ours.try_recv(&mut [0; 16]).unwrap_err());
            outside(ours.try_send(b"x").unwrap_err());
            outside(ours.set_ttl(3).unwrap_err());
            match pin!(ours.recv(&mut [0; 16])).poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(Err(error)) => outside(error),
                other => panic!("{other:?}"),
            }
        });
        elsewhere.join().unwrap();
        drop(theirs);
        until(|| open_descriptors() == before).await; // the loop closes ours
    });
}
