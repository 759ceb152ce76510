//! A socket that is neither connected nor listening yet: the time to set its options.
//! Connecting takes a while: the kernel is told to begin, the socket becomes writable when it is done, and if it failed, the
//! same event says so. Only then is the kernel asked for the error.
//!
//! ```text
//!   connect(2) ──► under way (EINPROGRESS) ──► writable ──► exceptional? ─ no ──► TcpStream
//!        │                                                       └─ yes: error?      ▲
//!        └─────────── done at once ──────────────────────────────────────────────────┘
//! ```
//!
//! Next: `stream`, `listener`, what becomes of it.

use std::future::poll_fn;
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
/// println!("listening at {}", listener.local_addr()?);
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
    ///
    /// ```
    /// # use windlass_net::net::TcpSocket;
    /// # windlass_reactor::doc_real(async {
    /// let socket = TcpSocket::new_v4()?;
    /// socket.bind("127.0.0.1:0".parse().unwrap())?;
    /// # std::io::Result::Ok(()) }).unwrap();
    /// ```
    pub fn new_v4() -> io::Result<TcpSocket> {
        Self::new(Domain::IPV4)
    }

    /// For IPv6.
    ///
    /// ```
    /// # use windlass_net::net::TcpSocket;
    /// # windlass_reactor::doc_real(async {
    /// match TcpSocket::new_v6() {
    ///     Ok(socket) => socket.set_nodelay(true)?,
    ///     Err(error) => println!("this machine has no IPv6: {error}"),
    /// }
    /// # std::io::Result::Ok(()) }).unwrap();
    /// ```
    pub fn new_v6() -> io::Result<TcpSocket> {
        Self::new(Domain::IPV6)
    }

    pub(crate) fn new_for(address: SocketAddr) -> io::Result<TcpSocket> {
        Self::new(Domain::for_address(address))
    }

    /// `SO_REUSEADDR`: bind to an address whose last connections linger.
    ///
    /// ```
    /// # use windlass_net::net::TcpSocket;
    /// # windlass_reactor::doc_real(async {
    /// TcpSocket::new_v4()?.set_reuseaddr(true)?;
    /// # std::io::Result::Ok(()) }).unwrap();
    /// ```
    pub fn set_reuseaddr(&self, on: bool) -> io::Result<()> {
        self.set(|socket| socket.set_reuse_address(on))
    }

    /// `SO_REUSEPORT`: let several sockets listen on one address, and the kernel share connections out.
    ///
    /// ```
    /// # use windlass_net::net::TcpSocket;
    /// # windlass_reactor::doc_real(async {
    /// let listen = |port: u16| {
    ///     let socket = TcpSocket::new_v4()?;
    ///     socket.set_reuseport(true)?;
    ///     socket.bind((std::net::Ipv4Addr::LOCALHOST, port).into())?;
    ///     socket.listen(16)
    /// };
    /// let first = listen(0)?;
    /// let second = listen(first.local_addr()?.port())?;
    /// # drop(second);
    /// # std::io::Result::Ok(()) }).unwrap();
    /// ```
    pub fn set_reuseport(&self, on: bool) -> io::Result<()> {
        self.set(|socket| socket.set_reuse_port(on))
    }

    /// `TCP_NODELAY`: send small writes at once.
    ///
    /// ```
    /// # use windlass_net::net::TcpSocket;
    /// # windlass_reactor::doc_real(async {
    /// TcpSocket::new_v4()?.set_nodelay(true)?;
    /// # std::io::Result::Ok(()) }).unwrap();
    /// ```
    pub fn set_nodelay(&self, on: bool) -> io::Result<()> {
        self.set(|socket| socket.set_tcp_nodelay(on))
    }

    /// `TCP_QUICKACK` (tcp(7)): if it is off before [`connect`](Self::connect), the peer's SYN is acknowledged by the first
    /// bytes that go out, a packet less, or alone after 200 ms. For protocols in which who connects speaks first.
    pub(crate) fn set_quickack(&self, on: bool) -> io::Result<()> {
        self.set(|socket| socket.set_tcp_quickack(on))
    }

    /// `SO_KEEPALIVE`: have the kernel ask after an idle peer.
    ///
    /// ```
    /// # use windlass_net::net::TcpSocket;
    /// # windlass_reactor::doc_real(async {
    /// TcpSocket::new_v4()?.set_keepalive(true)?;
    /// # std::io::Result::Ok(()) }).unwrap();
    /// ```
    pub fn set_keepalive(&self, on: bool) -> io::Result<()> {
        self.set(|socket| socket.set_keepalive(on))
    }

    /// `SO_LINGER`: how long closing waits for unsent bytes; zero resets the connection.
    ///
    /// ```
    /// # use windlass_net::net::TcpSocket;
    /// # windlass_reactor::doc_real(async {
    /// TcpSocket::new_v4()?.set_linger(Some(std::time::Duration::ZERO))?; // reset, do not wait
    /// # std::io::Result::Ok(()) }).unwrap();
    /// ```
    pub fn set_linger(&self, linger: Option<Duration>) -> io::Result<()> {
        self.set(|socket| socket.set_linger(linger))
    }

    /// `SO_SNDBUF`, in bytes; the kernel doubles it.
    ///
    /// ```
    /// # use windlass_net::net::TcpSocket;
    /// # windlass_reactor::doc_real(async {
    /// TcpSocket::new_v4()?.set_send_buffer_size(64 * 1024)?;
    /// # std::io::Result::Ok(()) }).unwrap();
    /// ```
    pub fn set_send_buffer_size(&self, bytes: usize) -> io::Result<()> {
        self.set(|socket| socket.set_send_buffer_size(bytes))
    }

    /// `SO_RCVBUF`, in bytes; the kernel doubles it.
    ///
    /// ```
    /// # use windlass_net::net::TcpSocket;
    /// # windlass_reactor::doc_real(async {
    /// TcpSocket::new_v4()?.set_recv_buffer_size(64 * 1024)?;
    /// # std::io::Result::Ok(()) }).unwrap();
    /// ```
    pub fn set_recv_buffer_size(&self, bytes: usize) -> io::Result<()> {
        self.set(|socket| socket.set_recv_buffer_size(bytes))
    }

    fn set(&self, option: impl FnOnce(&Socket) -> io::Result<()>) -> io::Result<()> {
        count_syscalls(1);
        option(&self.socket)
    }

    /// Gives it a local address.
    ///
    /// ```
    /// # use windlass_net::net::TcpSocket;
    /// # windlass_reactor::doc_real(async {
    /// let socket = TcpSocket::new_v4()?;
    /// socket.bind("127.0.0.1:0".parse().unwrap())?;
    /// assert!(socket.local_addr()?.ip().is_loopback());
    /// # std::io::Result::Ok(()) }).unwrap();
    /// ```
    pub fn bind(&self, address: SocketAddr) -> io::Result<()> {
        count_syscalls(1);
        self.socket.bind(&address.into())
    }

    /// The local address.
    ///
    /// ```
    /// # use windlass_net::net::TcpSocket;
    /// # windlass_reactor::doc_real(async {
    /// let socket = TcpSocket::new_v4()?;
    /// assert!(socket.local_addr()?.ip().is_unspecified()); // before bind
    /// # std::io::Result::Ok(()) }).unwrap();
    /// ```
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()?.as_socket().ok_or_else(|| io::Error::other("not an IP address"))
    }

    /// Listens, with room for `backlog` connections that wait to be accepted.
    ///
    /// # Panics
    /// Outside a running loop.
    ///
    /// ```
    /// # use windlass_net::net::TcpSocket;
    /// # windlass_reactor::doc_real(async {
    /// let socket = TcpSocket::new_v4()?;
    /// socket.bind("127.0.0.1:0".parse().unwrap())?;
    /// let listener = socket.listen(16)?;
    /// # drop(listener);
    /// # std::io::Result::Ok(()) }).unwrap();
    /// ```
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
    ///
    /// ```
    /// # use windlass_net::net::{TcpListener, TcpSocket};
    /// # windlass_reactor::doc_real(async {
    /// let listener = TcpListener::bind("127.0.0.1:0".parse().unwrap())?;
    /// let socket = TcpSocket::new_v4()?;
    /// socket.set_nodelay(true)?;
    /// let stream = socket.connect(listener.local_addr()?).await?;
    /// assert!(stream.nodelay()?);
    /// # std::io::Result::Ok(()) }).unwrap();
    /// ```
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
            poll_fn(|cx| fd.poll_ready(Direction::Write, cx)).await?;
            if fd.is_exceptional(Direction::Write)? {
                count_syscalls(1);
                fd.get_ref().take_error()?.map_or(Ok(()), Err)?;
            }
        }
        Ok(TcpStream::new(fd))
    }
}
