//! Unix datagrams: messages that are neither lost nor put in another order, between sockets of one machine.
//! A receiver's queue holds few of them (`net.unix.max_dgram_qlen`, often 10), and then senders wait. A connected sender is
//! told when there is room. One that is not is told only of its own datagrams' leaving, which may be none of those
//! that fill the queue; so `send_to` asks again.
//!
//! ```text
//!   send ────► connected: full ──► wait until writable
//!   send_to ─► any path:  full ──► sleep 10 ms, try again
//! ```
//!
//! Next: `datagram`, for the rest.

use std::future::poll_fn;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::os::unix::net::SocketAddr;
use std::path::Path;
use std::task::{Context, Poll};

use socket2::{Domain, SockAddr, Socket, Type};
use windlass_executor::budget;
use windlass_reactor::{AsyncFd, Direction, count_syscalls, time};

use super::{NO_ROOM_PAUSE, open};
use crate::datagram::datagrams;
use crate::watched::{on_its_loop, watched};

/// A Unix socket for datagrams. Dropping it closes it; a file that it was bound to stays.
///
/// # Errors
/// Off its loop every operation gives one, but for asking after its addresses.
///
/// ```
/// # use windlass_net::net::UnixDatagram;
/// # windlass_net::doc_dir(async |dir| {
/// let theirs = UnixDatagram::bind(dir.join("letters"))?;
/// let ours = UnixDatagram::unbound()?;
/// ours.send_to(b"hello", dir.join("letters")).await?;
/// let mut buffer = [0; 16];
/// let (n, from) = theirs.recv_from(&mut buffer).await?;
/// assert_eq!(&buffer[..n], b"hello");
/// assert!(from.is_unnamed()); // no way to answer: it has no address
/// # Ok(()) });
/// ```
#[derive(Debug)]
pub struct UnixDatagram {
    fd: AsyncFd<std::os::unix::net::UnixDatagram>,
}

impl UnixDatagram {
    /// A socket at `path`, where it makes a file; a path that begins with a zero byte is an abstract name and makes none.
    ///
    /// # Errors
    /// `AddrInUse` if there is a file already.
    ///
    /// # Panics
    /// Outside a running loop.
    ///
    /// ```
    /// # use windlass_net::net::UnixDatagram;
    /// # windlass_net::doc_dir(async |dir| {
    /// let ours = UnixDatagram::bind(dir.join("letters"))?;
    /// # drop(ours);
    /// # Ok(()) });
    /// ```
    #[track_caller]
    pub fn bind(path: impl AsRef<Path>) -> io::Result<UnixDatagram> {
        Ok(UnixDatagram { fd: AsyncFd::new(open(Type::DGRAM, Some(path.as_ref()))?.into())? })
    }

    /// A socket without an address: it sends, and hears only of whom it is connected with.
    ///
    /// # Panics
    /// Outside a running loop.
    ///
    /// ```
    /// # use windlass_net::net::UnixDatagram;
    /// # windlass_reactor::doc(async {
    /// assert!(UnixDatagram::unbound()?.local_addr()?.is_unnamed());
    /// # std::io::Result::Ok(()) }).unwrap();
    /// ```
    #[track_caller]
    pub fn unbound() -> io::Result<UnixDatagram> {
        Ok(UnixDatagram { fd: AsyncFd::new(open(Type::DGRAM, None)?.into())? })
    }

    /// Two sockets that are connected with each other.
    ///
    /// # Panics
    /// Outside a running loop.
    ///
    /// ```
    /// # use windlass_net::net::UnixDatagram;
    /// # windlass_reactor::doc(async {
    /// let (ours, theirs) = UnixDatagram::pair()?;
    /// ours.send(b"hello").await?;
    /// assert_eq!(theirs.recv(&mut [0; 16]).await?, 5);
    /// # std::io::Result::Ok(()) }).unwrap();
    /// ```
    #[track_caller]
    pub fn pair() -> io::Result<(UnixDatagram, UnixDatagram)> {
        count_syscalls(1);
        let (one, other) = Socket::pair(Domain::UNIX, Type::DGRAM.nonblocking(), None)?;
        Ok((UnixDatagram { fd: AsyncFd::new(one.into())? }, UnixDatagram { fd: AsyncFd::new(other.into())? }))
    }

    /// Sets the peer: where [`send`](Self::send) sends to, and whom alone it receives from.
    ///
    /// # Errors
    /// `NotFound` or `ConnectionRefused` if there is nobody.
    ///
    /// ```
    /// # use windlass_net::net::UnixDatagram;
    /// # windlass_net::doc_dir(async |dir| {
    /// let theirs = UnixDatagram::bind(dir.join("letters"))?;
    /// let ours = UnixDatagram::unbound()?;
    /// ours.connect(dir.join("letters"))?;
    /// ours.send(b"hello").await?;
    /// # theirs.recv(&mut [0; 16]).await?;
    /// # Ok(()) });
    /// ```
    pub fn connect(&self, path: impl AsRef<Path>) -> io::Result<()> {
        socket2::SockRef::from(on_its_loop(&self.fd)?).connect(&SockAddr::unix(path)?)
    }

    /// Sends a datagram to the socket at `path`: all of it, or nothing. While its queue is full, it tries again every
    /// 10 ms. Any number of tasks may wait.
    ///
    /// # Errors
    /// `NotFound` or `ConnectionRefused` if there is nobody; too long a datagram.
    ///
    /// # Cancel
    /// Dropping it sends nothing that was not sent.
    ///
    /// ```
    /// # use windlass_net::net::UnixDatagram;
    /// # windlass_net::doc_dir(async |dir| {
    /// let theirs = UnixDatagram::bind(dir.join("letters"))?;
    /// let ours = UnixDatagram::bind(dir.join("answers"))?;
    /// ours.send_to(b"hello", dir.join("letters")).await?;
    /// let (_, from) = theirs.recv_from(&mut [0; 16]).await?;
    /// assert_eq!(from.as_pathname(), Some(dir.join("answers").as_path()));
    /// # Ok(()) });
    /// ```
    pub async fn send_to(&self, datagram: &[u8], path: impl AsRef<Path>) -> io::Result<usize> {
        let address = SockAddr::unix(path)?;
        poll_fn(budget::poll_proceed).await;
        loop {
            // Whether our own buffer has room says nothing about the receiver's queue, so readiness is not asked after.
            match socket2::SockRef::from(on_its_loop(&self.fd)?).send_to(datagram, &address) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => time::sleep(NO_ROOM_PAUSE).await,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }

    /// Sends a datagram to the socket at `path`, if there is room now.
    ///
    /// # Errors
    /// As [`send_to`](Self::send_to), and `WouldBlock` if there is no room; [`writable`](Self::writable) does not tell
    /// when there is.
    ///
    /// ```
    /// # use windlass_net::net::UnixDatagram;
    /// # windlass_net::doc_dir(async |dir| {
    /// let _theirs = UnixDatagram::bind(dir.join("letters"))?;
    /// assert_eq!(UnixDatagram::unbound()?.try_send_to(b"hello", dir.join("letters"))?, 5);
    /// # Ok(()) });
    /// ```
    pub fn try_send_to(&self, datagram: &[u8], path: impl AsRef<Path>) -> io::Result<usize> {
        let address = SockAddr::unix(path)?;
        socket2::SockRef::from(on_its_loop(&self.fd)?).send_to(datagram, &address)
    }
}

datagrams!(
    UnixDatagram,
    watches std::os::unix::net::UnixDatagram,
    named by SocketAddr,
    examples on "doc_unix_datagrams"
);

watched!(
    UnixDatagram,
    watches std::os::unix::net::UnixDatagram,
    named by SocketAddr,
    examples in "windlass_reactor::doc(async {" on "std::os::unix::net::UnixDatagram::unbound()"
);
