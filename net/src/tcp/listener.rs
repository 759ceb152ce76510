//! Taking connections in.
//! A server must not end because one caller hung up while it waited, nor because descriptors ran out for a moment.
//!
//! ```text
//!   accept(2) ──► a connection ──► TcpStream
//!        ├─ would block: wait until the listener is readable
//!        ├─ that connection came to grief: the next one
//!        └─ no descriptor left: sleep 50 ms, try again
//! ```
//!
//! Next: `stream`, for what was accepted.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::time::Duration;

use windlass_reactor::{AsyncFd, Direction, count_syscalls, time};

use super::{TcpSocket, TcpStream};

/// Connections that may wait to be accepted: Linux' own most since 5.4; the kernel lowers it to `net.core.somaxconn`.
const BACKLOG: i32 = 4096;
/// How long to wait for a descriptor to become free before accepting again: short for a caller, long for a CPU.
const NO_DESCRIPTOR_PAUSE: Duration = Duration::from_millis(50);

/// Waits for connections on a local address. Dropping it closes it, and with it the connections that were not accepted.
///
/// ```
/// # use windlass_net::net::{TcpListener, TcpStream};
/// # windlass_reactor::doc_real(async {
/// let listener = TcpListener::bind("127.0.0.1:0".parse().unwrap())?;
/// let mut client = TcpStream::connect(listener.local_addr()?).await?;
/// let (mut server, peer) = listener.accept().await?;
/// assert_eq!(peer, client.local_addr()?);
/// client.write_all(b"hello").await?;
/// let mut buffer = [0; 5];
/// server.read_exact(&mut buffer).await?;
/// # assert_eq!(&buffer, b"hello");
/// # std::io::Result::Ok(()) }).unwrap();
/// ```
#[derive(Debug)]
pub struct TcpListener {
    fd: AsyncFd<std::net::TcpListener>,
}

impl TcpListener {
    /// Listens on `address`, with `SO_REUSEADDR` and the largest backlog. Port 0 lets the kernel choose one.
    ///
    /// # Errors
    /// If the address is taken or not ours.
    ///
    /// # Panics
    /// Outside a running loop.
    ///
    /// ```
    /// # use windlass_net::net::TcpListener;
    /// # windlass_reactor::doc_real(async {
    /// let listener = TcpListener::bind("127.0.0.1:0".parse().unwrap())?;
    /// assert_ne!(listener.local_addr()?.port(), 0);
    /// # std::io::Result::Ok(()) }).unwrap();
    /// ```
    #[track_caller]
    pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
        let socket = TcpSocket::new_for(address)?;
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    }

    /// Takes in the next connection. Any number of tasks may wait.
    ///
    /// With no descriptor or kernel memory left for it, the connection waits in the backlog and is tried again every
    /// 50 ms; one that its peer gave up while it waited is passed over, one that the kernel has no room to watch is closed.
    ///
    /// # Errors
    /// Any other failure of `accept(2)`, or of having the loop watch the connection, which is closed then.
    ///
    /// # Cancel
    /// Dropping it loses no connection.
    ///
    /// ```
    /// # use windlass_net::net::{TcpListener, TcpStream};
    /// # windlass_reactor::doc_real(async {
    /// let listener = TcpListener::bind("127.0.0.1:0".parse().unwrap())?;
    /// let _client = TcpStream::connect(listener.local_addr()?).await?;
    /// let (stream, peer) = listener.accept().await?;
    /// assert_eq!(stream.peer_addr()?, peer);
    /// # std::io::Result::Ok(()) }).unwrap();
    /// ```
    pub async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        self.accept_as(TcpStream::from_std).await
    }

    async fn accept_as(
        &self,
        mut watch: impl FnMut(std::net::TcpStream) -> io::Result<TcpStream>,
    ) -> io::Result<(TcpStream, SocketAddr)> {
        loop {
            let accepted = self.fd.read_with(std::net::TcpListener::accept).await;
            match accepted.and_then(|(stream, peer)| Ok((watch(stream)?, peer))) {
                Ok(taken_in) => return Ok(taken_in),
                Err(error) if is_of_the_connection(&error) => {}
                Err(error) if is_exhausted(&error) => time::sleep(NO_DESCRIPTOR_PAUSE).await,
                Err(error) => return Err(error),
            }
        }
    }

    /// Takes in a connection that waits.
    ///
    /// # Errors
    /// `WouldBlock` if none does.
    ///
    /// ```
    /// # use windlass_net::net::TcpListener;
    /// # windlass_reactor::doc_real(async {
    /// let listener = TcpListener::bind("127.0.0.1:0".parse().unwrap())?;
    /// assert_eq!(listener.try_accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    /// # std::io::Result::Ok(()) }).unwrap();
    /// ```
    pub fn try_accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let (stream, peer) = self.fd.try_io(Direction::Read, std::net::TcpListener::accept)?;
        Ok((TcpStream::from_std(stream)?, peer))
    }

    /// The address it listens on.
    ///
    /// ```
    /// # use windlass_net::net::TcpListener;
    /// # windlass_reactor::doc_real(async {
    /// let listener = TcpListener::bind("127.0.0.1:0".parse().unwrap())?;
    /// println!("listening at {}", listener.local_addr()?);
    /// # std::io::Result::Ok(()) }).unwrap();
    /// ```
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.fd.get_ref().local_addr()
    }

    /// Takes over a listener of the standard library.
    ///
    /// # Errors
    /// If it cannot be made non-blocking or watched.
    ///
    /// # Panics
    /// Outside a running loop.
    ///
    /// ```
    /// # use windlass_net::net::TcpListener;
    /// # windlass_reactor::doc_real(async {
    /// let listener = TcpListener::from_std(std::net::TcpListener::bind("127.0.0.1:0")?)?;
    /// # drop(listener);
    /// # std::io::Result::Ok(()) }).unwrap();
    /// ```
    #[track_caller]
    pub fn from_std(listener: std::net::TcpListener) -> io::Result<TcpListener> {
        count_syscalls(1);
        listener.set_nonblocking(true)?;
        Ok(TcpListener { fd: AsyncFd::new(listener)? })
    }

    /// Gives back the listener, still non-blocking.
    ///
    /// # Errors
    /// On another thread than its loop's; it is closed then.
    ///
    /// ```
    /// # use windlass_net::net::TcpListener;
    /// # windlass_reactor::doc_real(async {
    /// let listener = TcpListener::bind("127.0.0.1:0".parse().unwrap())?.into_std()?;
    /// listener.set_nonblocking(false)?; // for code that blocks
    /// # std::io::Result::Ok(()) }).unwrap();
    /// ```
    pub fn into_std(self) -> io::Result<std::net::TcpListener> {
        self.fd.into_inner()
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

impl AsFd for TcpListener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl AsRawFd for TcpListener {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// R48, P9: `fs.epoll.max_user_watches` is the whole user's, and may be used up by others.
    #[test]
    fn a_connection_that_cannot_be_watched_is_closed_and_the_next_is_taken_in() {
        windlass_reactor::doc_real(async {
            let listener = TcpListener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
            let mut first = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            let second = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            let mut refusals = vec![io::Error::from_raw_os_error(28)]; // ENOSPC
            let watch = |stream| refusals.pop().map_or_else(|| TcpStream::from_std(stream), Err);
            let (_theirs, peer) = listener.accept_as(watch).await.unwrap();
            assert_eq!(peer, second.local_addr().unwrap());
            assert_eq!(first.read(&mut [0]).await.unwrap(), 0, "its peer learns of it");
        });
    }
}
