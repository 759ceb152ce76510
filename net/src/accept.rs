//! Taking connections in.
//! A server must not end because one caller hung up while it waited, nor because descriptors ran out for a moment.
//!
//! ```text
//!   accept(2) ──► a connection ──► a stream
//!        ├─ would block: wait until the listener is readable
//!        ├─ that connection came to grief: the next one
//!        └─ no descriptor left: sleep 50 ms, try again
//! ```
//!
//! Next: `stream`, for what was accepted.

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use windlass_reactor::{AsyncFd, time};

/// Connections that may wait to be accepted: Linux' own most since 5.4; the kernel lowers it to `net.core.somaxconn`.
pub(crate) const BACKLOG: i32 = 4096;
/// How long to wait for a descriptor to become free before accepting again: short for a caller, long for a CPU.
const NO_DESCRIPTOR_PAUSE: Duration = Duration::from_millis(50);

/// Takes in the next connection that `take` gets hold of and `watch` makes a stream of.
pub(crate) async fn accept<L: AsFd + Send + 'static, Plain, Peer, Stream>(
    listener: &AsyncFd<L>,
    mut take: impl FnMut(&L) -> io::Result<(Plain, Peer)>,
    mut watch: impl FnMut(Plain) -> io::Result<Stream>,
) -> io::Result<(Stream, Peer)> {
    loop {
        let accepted = listener.read_with(&mut take).await;
        match accepted.and_then(|(plain, peer)| Ok((watch(plain)?, peer))) {
            Ok(taken_in) => return Ok(taken_in),
            Err(error) if is_of_the_connection(&error) => {}
            Err(error) if is_exhausted(&error) => time::sleep(NO_DESCRIPTOR_PAUSE).await,
            Err(error) => return Err(error),
        }
    }
}

/// What accept(2) reports of a connection that has come to grief while it waited, not of the listener: ECONNABORTED 103,
/// ENETDOWN 100, EPROTO 71, ENOPROTOOPT 92, EHOSTDOWN 112, ENONET 64, EHOSTUNREACH 113, EOPNOTSUPP 95, ENETUNREACH 101.
fn is_of_the_connection(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(103 | 100 | 71 | 92 | 112 | 64 | 113 | 95 | 101))
}

/// No descriptor (EMFILE 24, ENFILE 23), buffer (ENOBUFS 105), memory (ENOMEM 12) or room to watch one more (ENOSPC 28)
/// left: Linux' numbers, accept(2) and epoll_ctl(2).
fn is_exhausted(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(24 | 23 | 105 | 12 | 28))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::{TcpListener, TcpStream};

    /// `fs.epoll.max_user_watches` is the whole user's, and may be used up by others.
    #[test]
    fn a_connection_that_cannot_be_watched_is_closed_and_the_next_is_taken_in() {
        windlass_reactor::doc_real(async {
            let listener = TcpListener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
            let mut first = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            let second = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            let mut refusals = vec![io::Error::from_raw_os_error(28)]; // ENOSPC
            let watch = |stream| refusals.pop().map_or_else(|| TcpStream::from_std(stream), Err);
            let listener = AsyncFd::new(listener.into_std().unwrap()).unwrap();
            let (_theirs, peer) = accept(&listener, std::net::TcpListener::accept, watch).await.unwrap();
            assert_eq!(peer, second.local_addr().unwrap());
            assert_eq!(first.read(&mut [0]).await.unwrap(), 0, "its peer learns of it");
        });
    }

    #[test]
    fn without_a_descriptor_left_it_tries_again_every_50_ms() {
        windlass_reactor::doc(async {
            let (one, other) = std::os::unix::net::UnixStream::pair().unwrap();
            one.set_nonblocking(true).unwrap();
            let listener = AsyncFd::new(one).unwrap();
            other.shutdown(std::net::Shutdown::Write).unwrap(); // it is readable from now on
            let mut refusals = vec![io::Error::from_raw_os_error(23), io::Error::from_raw_os_error(24)];
            let take = |_: &_| refusals.pop().map_or(Ok(("a stream", "its peer")), Err);
            let began = time::Instant::now();
            let accepted = accept(&listener, take, Ok).await.unwrap();
            assert_eq!(accepted, ("a stream", "its peer"));
            assert_eq!(began.elapsed(), 2 * NO_DESCRIPTOR_PAUSE);
        });
    }
}
