//! A TCP connection: what TCP has beyond other byte streams, and how one comes about.
//!
//! ```text
//!   connect ──► name ──► addresses ──► the first that answers ──► TcpStream ──► crate::stream
//! ```
//!
//! Not here: reading and writing (`stream`, for streams of all kinds).   Next: `stream`; `socket`, which connects.

use std::error::Error;
use std::fmt;
use std::future::poll_fn;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_io::{AsyncRead, AsyncWrite};
use windlass_reactor::{AsyncFd, Direction, count_syscalls};

use super::TcpSocket;
use crate::resolve::{Address, resolve};
use crate::split::{self, OwnedReadHalf, OwnedWriteHalf, ReadHalf, WriteHalf};
use crate::stream::{self, Connection, byte_stream};
use crate::watched::{on_its_loop, watched};

/// A TCP connection.
///
/// Dropping it closes the connection. After a read that filled less than its buffer the next one waits without asking
/// the kernel first.
///
/// # Errors
/// Off its loop every operation gives one, but for asking after its addresses and `nodelay`.
///
/// # Cancel
/// Reads and writes may be dropped: what they did not report they did not do, but for
/// [`write_all`](TcpStream::write_all) and [`read_exact`](TcpStream::read_exact), which may have got half-way.
///
/// ```
/// # use windlass_net::net::{TcpListener, TcpStream};
/// # windlass_reactor::doc_real(async {
/// # let listener = TcpListener::bind("127.0.0.1:0".parse().unwrap())?;
/// # let address = listener.local_addr()?;
/// # windlass_executor::spawn(async move {
/// #     let (stream, _) = listener.accept().await.unwrap();
/// #     let (mut read, mut write) = stream.into_split();
/// #     let mut word = [0; 5];
/// #     read.read_exact(&mut word).await.unwrap();
/// #     write.write_all(&word).await.unwrap();
/// # });
/// let mut stream = TcpStream::connect(address).await?; // to somebody who sends back what they hear
/// stream.write_all(b"hello").await?;
/// let mut word = [0; 5];
/// stream.read_exact(&mut word).await?;
/// assert_eq!(&word, b"hello");
/// # std::io::Result::Ok(()) }).unwrap();
/// ```
#[derive(Debug)]
pub struct TcpStream {
    fd: AsyncFd<std::net::TcpStream>,
}

impl TcpStream {
    #[inline]
    pub(crate) fn new(fd: AsyncFd<std::net::TcpStream>) -> Self {
        TcpStream { fd }
    }

    /// Connects to an address, or to a name and port; of several addresses, to the first that answers.
    ///
    /// # Errors
    /// If the name has no address, or none of them takes the connection: the last one's error, with the address; the
    /// system's own error is the [`source`](std::error::Error::source) of [`io::Error::get_ref`].
    ///
    /// # Cancel
    /// Dropping it closes what was begun.
    ///
    /// # Panics
    /// Outside a running loop.
    ///
    /// ```
    /// # use windlass_net::net::{TcpListener, TcpStream};
    /// # windlass_reactor::doc_real(async {
    /// let listener = TcpListener::bind("127.0.0.1:0".parse().unwrap())?;
    /// let stream = TcpStream::connect(listener.local_addr()?).await?;
    /// assert_eq!(stream.peer_addr()?, listener.local_addr()?);
    /// # std::io::Result::Ok(()) }).unwrap();
    /// ```
    pub async fn connect(to: impl Into<Address>) -> io::Result<TcpStream> {
        let mut last = None;
        for address in resolve(to).await? {
            // A machine without IPv6 refuses the socket already: the next address may be of the other kind.
            let connected = match TcpSocket::new_for(address) {
                Ok(socket) => socket.connect(address).await,
                Err(error) => Err(error),
            };
            match connected {
                Ok(stream) => return Ok(stream),
                Err(source) => last = Some(io::Error::new(source.kind(), ConnectError { address, source })),
            }
        }
        Err(last.unwrap_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the name has no address")))
    }

    #[inline]
    pub(crate) fn fd(&self) -> &AsyncFd<std::net::TcpStream> {
        &self.fd
    }

    /// A read that fills less than its buffer has drained the kernel's.
    #[inline]
    fn poll_fill(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        self.fd.poll_read_stream(cx, buffer)
    }

    fn poll_fill_vectored(&self, cx: &mut Context<'_>, buffers: &mut [IoSliceMut<'_>]) -> Poll<io::Result<usize>> {
        self.fd.poll_read_stream_vectored(cx, buffers)
    }

    /// Reads without taking: the next read gives the same bytes again.
    ///
    /// ```
    /// # windlass_net::doc(async |mut ours, mut theirs| {
    /// theirs.write_all(b"hello").await?;
    /// let mut buffer = [0; 1];
    /// ours.peek(&mut buffer).await?;
    /// ours.read_exact(&mut buffer).await?;
    /// assert_eq!(&buffer, b"h");
    /// # Ok(()) });
    /// ```
    pub async fn peek(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.fd.read_with(|io| io.peek(buffer)).await
    }

    /// `TCP_NODELAY`: send small writes at once.
    ///
    /// ```
    /// # windlass_net::doc(async |ours, _theirs| {
    /// ours.set_nodelay(true)?;
    /// assert!(ours.nodelay()?);
    /// # Ok(()) });
    /// ```
    pub fn set_nodelay(&self, on: bool) -> io::Result<()> {
        on_its_loop(&self.fd)?.set_nodelay(on)
    }

    /// Whether small writes are sent at once.
    ///
    /// ```
    /// # windlass_net::doc(async |ours, _theirs| {
    /// assert!(!ours.nodelay()?); // as the kernel makes them
    /// # Ok(()) });
    /// ```
    pub fn nodelay(&self) -> io::Result<bool> {
        self.fd.get_ref().nodelay()
    }

    /// `SO_LINGER`: how long closing waits for unsent bytes; zero resets the connection.
    ///
    /// ```
    /// # windlass_net::doc(async |ours, mut theirs| {
    /// ours.set_linger(Some(std::time::Duration::ZERO))?;
    /// drop(ours);
    /// let reset = theirs.read(&mut [0; 16]).await.unwrap_err();
    /// assert_eq!(reset.kind(), std::io::ErrorKind::ConnectionReset);
    /// # Ok(()) });
    /// ```
    pub fn set_linger(&self, linger: Option<Duration>) -> io::Result<()> {
        socket2::SockRef::from(on_its_loop(&self.fd)?).set_linger(linger)
    }

    /// The peer's address.
    ///
    /// ```
    /// # windlass_net::doc(async |ours, theirs| {
    /// assert_eq!(ours.peer_addr()?, theirs.local_addr()?);
    /// # Ok(()) });
    /// ```
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.fd.get_ref().peer_addr()
    }
}

/// A connection that did not come about, and to whom.
#[derive(Debug)]
struct ConnectError {
    address: SocketAddr,
    source: io::Error,
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "connect to {}: {}", self.address, self.source)
    }
}

impl Error for ConnectError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.source)
    }
}

byte_stream!(TcpStream, watches std::net::TcpStream, named by SocketAddr, examples on "doc");

watched!(
    TcpStream,
    watches std::net::TcpStream,
    named by SocketAddr,
    examples in "windlass_reactor::doc_real(async { let other = std::net::TcpListener::bind(\"127.0.0.1:0\")?;"
    on "std::net::TcpStream::connect(other.local_addr()?)"
);
