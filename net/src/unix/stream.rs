//! A Unix stream: bytes both ways between two processes, or within one.
//! Connecting is done at once or not at all: there is no way to travel. But a listener whose backlog is full refuses
//! with `EAGAIN`, and the kernel tells nobody when there is room, so we ask again.
//!
//! ```text
//!   connect(2) ──► UnixStream
//!        └─ the backlog is full: sleep 10 ms, try again
//! ```
//!
//! Next: `stream`, for reads and writes.

use std::future::poll_fn;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::os::unix::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_io::{AsyncRead, AsyncWrite};
use socket2::{Domain, SockAddr, Socket, Type};
use windlass_reactor::{AsyncFd, Direction, count_syscalls, time};

use super::{NO_ROOM_PAUSE, open};
use crate::split::{self, OwnedReadHalf, OwnedWriteHalf, ReadHalf, WriteHalf};
use crate::stream::{self, Connection, byte_stream};
use crate::watched::{on_its_loop, watched};

/// A connection between Unix sockets. Dropping it closes the connection.
///
/// A read ends behind bytes that descriptors were sent with, whatever follows them; so a short one does not mean drained, and
/// the next asks the kernel before it waits. The descriptors are closed. There is no peeking, and no asking who the peer is:
/// std has neither on stable Rust.
///
/// # Errors
/// Off its loop every operation gives one, but for asking after its addresses.
///
/// # Cancel
/// Reads and writes may be dropped: what they did not report they did not do, but for
/// [`write_all`](UnixStream::write_all) and [`read_exact`](UnixStream::read_exact), which may have got half-way.
///
/// ```
/// # use windlass_net::net::UnixStream;
/// # windlass_reactor::doc(async {
/// let (mut ours, mut theirs) = UnixStream::pair()?;
/// ours.write_all(b"hello").await?;
/// let mut word = [0; 5];
/// theirs.read_exact(&mut word).await?;
/// assert_eq!(&word, b"hello");
/// # std::io::Result::Ok(()) }).unwrap();
/// ```
#[derive(Debug)]
pub struct UnixStream {
    fd: AsyncFd<std::os::unix::net::UnixStream>,
}

impl UnixStream {
    /// Connects to the listener at `path`; one that begins with a zero byte is an abstract name. While the listener's
    /// backlog is full, it tries again every 10 ms.
    ///
    /// # Errors
    /// `NotFound` if there is no such file, `ConnectionRefused` if nobody listens there, and whatever else `connect(2)`
    /// reports.
    ///
    /// # Cancel
    /// Dropping it closes the socket.
    ///
    /// # Panics
    /// Outside a running loop.
    ///
    /// ```
    /// # use windlass_net::net::{UnixListener, UnixStream};
    /// # windlass_net::doc_dir(async |dir| {
    /// let path = dir.join("door");
    /// let listener = UnixListener::bind(&path)?;
    /// let mut ours = UnixStream::connect(&path).await?;
    /// let (mut theirs, _) = listener.accept().await?;
    /// theirs.write_all(b"welcome").await?;
    /// ours.read_exact(&mut [0; 7]).await?;
    /// # Ok(()) });
    /// ```
    pub async fn connect(path: impl AsRef<Path>) -> io::Result<UnixStream> {
        let address = SockAddr::unix(path)?;
        let socket = open(Type::STREAM, None)?;
        loop {
            count_syscalls(1);
            match socket.connect(&address) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => time::sleep(NO_ROOM_PAUSE).await,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
                Ok(()) => return Ok(UnixStream { fd: AsyncFd::new(socket.into())? }),
            }
        }
    }

    /// Two streams that are connected with each other.
    ///
    /// # Panics
    /// Outside a running loop.
    ///
    /// ```
    /// # use windlass_net::net::UnixStream;
    /// # windlass_reactor::doc(async {
    /// let (mut ours, theirs) = UnixStream::pair()?;
    /// drop(theirs);
    /// assert_eq!(ours.read(&mut [0; 16]).await?, 0);
    /// # std::io::Result::Ok(()) }).unwrap();
    /// ```
    #[track_caller]
    pub fn pair() -> io::Result<(UnixStream, UnixStream)> {
        count_syscalls(1);
        let (one, other) = Socket::pair(Domain::UNIX, Type::STREAM.nonblocking(), None)?;
        Ok((UnixStream { fd: AsyncFd::new(one.into())? }, UnixStream { fd: AsyncFd::new(other.into())? }))
    }

    /// The peer's address, which has no name if the peer did not bind.
    ///
    /// ```
    /// # windlass_net::doc_unix(async |ours, _theirs| {
    /// assert!(ours.peer_addr()?.is_unnamed());
    /// # Ok(()) });
    /// ```
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.fd.get_ref().peer_addr()
    }

    /// Only `EAGAIN` says drained.
    fn poll_fill(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        self.fd.poll_io(Direction::Read, cx, |mut io| io.read(buffer))
    }

    fn poll_fill_vectored(&self, cx: &mut Context<'_>, buffers: &mut [IoSliceMut<'_>]) -> Poll<io::Result<usize>> {
        self.fd.poll_io(Direction::Read, cx, |mut io| io.read_vectored(buffers))
    }
}

byte_stream!(UnixStream, watches std::os::unix::net::UnixStream, named by SocketAddr, examples on "doc_unix");

watched!(
    UnixStream,
    watches std::os::unix::net::UnixStream,
    named by SocketAddr,
    examples in "windlass_reactor::doc(async { let (other, _peer) = std::os::unix::net::UnixStream::pair()?;"
    on "other.try_clone()"
);
