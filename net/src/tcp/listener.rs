//! Where TCP connections come in.
//!
//! ```text
//!   bind ──► TcpListener ── accept ──► TcpStream
//! ```
//!
//! Next: `accept`, for what can go wrong meanwhile; `stream`, for what was accepted.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

use windlass_reactor::{AsyncFd, Direction, count_syscalls};

use super::{TcpSocket, TcpStream};
use crate::accept::{BACKLOG, accept};
use crate::watched::watched;

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
        accept(&self.fd, std::net::TcpListener::accept, TcpStream::from_std).await
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
}

watched!(
    TcpListener,
    watches std::net::TcpListener,
    named by SocketAddr,
    examples in "windlass_reactor::doc_real(async {" on "std::net::TcpListener::bind(\"127.0.0.1:0\")"
);
