//! A socket that is neither connected nor listening yet: the time to set its options.
//! Connecting takes a while: the kernel is told to begin, the socket becomes writable when it is done, and has an error
//! if it failed.
//!
//! ```text
//!   connect(2) ──► under way (EINPROGRESS) ──► writable ──► error? ──► TcpStream
//!        └─────────── done at once ───────────────────────────────────────▲
//! ```
//!
//! Next: `stream`, `listener`, what becomes of it.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use windlass_reactor::{AsyncFd, Direction, count_syscalls};

use super::{TcpListener, TcpStream};

/// A TCP socket before [`connect`](TcpSocket::connect) or [`listen`](TcpSocket::listen). Non-blocking, and closed on exec.
///
/// # Errors
/// Whatever it is asked for, what the kernel says of it.
///
/// ```
/// # use windlass_net::net::TcpSocket;
/// # windlass_reactor::doc_real(async {
/// let socket = TcpSocket::new_v4()?;
/// socket.set_reuseaddr(true)?;
/// socket.bind("127.0.0.1:0".parse().unwrap())?;
/// let listener = socket.listen(16)?;
/// # std::io::Result::Ok(()) }).unwrap();
/// ```
#[derive(Debug)]
pub struct TcpSocket {
    socket: Socket,
}

impl TcpSocket {
    fn new(domain: Domain) -> io::Result<TcpSocket> {
        count_syscalls(1);
        let socket = Socket::new(domain, Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
        Ok(TcpSocket { socket })
    }

    /// For IPv4.
    pub fn new_v4() -> io::Result<TcpSocket> {
        Self::new(Domain::IPV4)
    }

    /// For IPv6.
    pub fn new_v6() -> io::Result<TcpSocket> {
        Self::new(Domain::IPV6)
    }

    pub(crate) fn new_for(address: SocketAddr) -> io::Result<TcpSocket> {
        Self::new(Domain::for_address(address))
    }

    /// `SO_REUSEADDR`: bind to an address whose last connections linger.
    pub fn set_reuseaddr(&self, on: bool) -> io::Result<()> {
        self.set(|socket| socket.set_reuse_address(on))
    }

    /// `SO_REUSEPORT`: let several sockets listen on one address, and the kernel share connections out.
    pub fn set_reuseport(&self, on: bool) -> io::Result<()> {
        self.set(|socket| socket.set_reuse_port(on))
    }

    /// `TCP_NODELAY`: send small writes at once.
    pub fn set_nodelay(&self, on: bool) -> io::Result<()> {
        self.set(|socket| socket.set_tcp_nodelay(on))
    }

    /// `SO_KEEPALIVE`: have the kernel ask after an idle peer.
    pub fn set_keepalive(&self, on: bool) -> io::Result<()> {
        self.set(|socket| socket.set_keepalive(on))
    }

    /// `SO_LINGER`: how long closing waits for unsent bytes; zero resets the connection.
    pub fn set_linger(&self, linger: Option<Duration>) -> io::Result<()> {
        self.set(|socket| socket.set_linger(linger))
    }

    /// `SO_SNDBUF`, in bytes; the kernel doubles it.
    pub fn set_send_buffer_size(&self, bytes: usize) -> io::Result<()> {
        self.set(|socket| socket.set_send_buffer_size(bytes))
    }

    /// `SO_RCVBUF`, in bytes; the kernel doubles it.
    pub fn set_recv_buffer_size(&self, bytes: usize) -> io::Result<()> {
        self.set(|socket| socket.set_recv_buffer_size(bytes))
    }

    fn set(&self, option: impl FnOnce(&Socket) -> io::Result<()>) -> io::Result<()> {
        count_syscalls(1);
        option(&self.socket)
    }

    /// Gives it a local address.
    pub fn bind(&self, address: SocketAddr) -> io::Result<()> {
        count_syscalls(1);
        self.socket.bind(&address.into())
    }

    /// The local address.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()?.as_socket().ok_or_else(|| io::Error::other("not an IP address"))
    }

    /// Listens, with room for `backlog` connections that wait to be accepted.
    ///
    /// # Panics
    /// Outside a running loop.
    #[track_caller]
    pub fn listen(self, backlog: i32) -> io::Result<TcpListener> {
        count_syscalls(1);
        self.socket.listen(backlog)?;
        TcpListener::from_std(self.socket.into())
    }

    /// Connects.
    ///
    /// # Errors
    /// What `connect(2)` reports, at once or later.
    ///
    /// # Cancel
    /// Dropping it closes the socket.
    ///
    /// # Panics
    /// Outside a running loop.
    pub async fn connect(self, address: SocketAddr) -> io::Result<TcpStream> {
        count_syscalls(1);
        let under_way = match self.socket.connect(&address.into()) {
            Ok(()) => false,
            // EINPROGRESS, which std has no kind for on our Rust version; 115 on Linux.
            Err(error) if error.raw_os_error() == Some(115) => true,
            Err(error) => return Err(error),
        };
        let fd: AsyncFd<std::net::TcpStream> = AsyncFd::new(self.socket.into())?;
        if under_way {
            fd.clear_ready(Direction::Write)?;
            fd.writable().await?;
            count_syscalls(1);
            if let Some(error) = fd.get_ref().take_error()? {
                return Err(error);
            }
        }
        Ok(TcpStream::new(fd))
    }
}
