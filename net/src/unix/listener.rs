//! Where Unix connections come in.
//!
//! ```text
//!   bind(path) ──► UnixListener ── accept ──► UnixStream
//! ```
//!
//! Next: `accept`, for what can go wrong meanwhile; `stream`, for what was accepted.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::os::unix::net::SocketAddr;
use std::path::Path;

use socket2::Type;
use windlass_reactor::{AsyncFd, Direction, count_syscalls};

use super::{UnixStream, open};
use crate::accept::{BACKLOG, accept};
use crate::watched::watched;

/// Waits for connections at a path. Dropping it closes it, and with it the connections that were not accepted; the file
/// stays, and refuses whoever connects to it, until somebody removes it.
///
/// ```
/// # use windlass_net::net::{UnixListener, UnixStream};
/// # windlass_net::doc_dir(async |dir| {
/// let path = dir.join("door");
/// let listener = UnixListener::bind(&path)?;
/// let mut ours = UnixStream::connect(&path).await?;
/// let (mut theirs, _) = listener.accept().await?;
/// ours.write_all(b"hello").await?;
/// theirs.read_exact(&mut [0; 5]).await?;
/// drop(listener);
/// std::fs::remove_file(&path)?; // we do it: the listener does not
/// # Ok(()) });
/// ```
#[derive(Debug)]
pub struct UnixListener {
    fd: AsyncFd<std::os::unix::net::UnixListener>,
}

impl UnixListener {
    /// Listens at `path`, where it makes a file, with the largest backlog. A path that begins with a zero byte is an
    /// abstract name and makes no file.
    ///
    /// # Errors
    /// `AddrInUse` if there is a file already, also one that a server left behind: remove it if you know that.
    ///
    /// # Panics
    /// Outside a running loop.
    ///
    /// ```
    /// # use windlass_net::net::UnixListener;
    /// # windlass_net::doc_dir(async |dir| {
    /// let listener = UnixListener::bind(dir.join("door"))?;
    /// assert_eq!(listener.local_addr()?.as_pathname(), Some(dir.join("door").as_path()));
    /// # Ok(()) });
    /// ```
    #[track_caller]
    pub fn bind(path: impl AsRef<Path>) -> io::Result<UnixListener> {
        let socket = open(Type::STREAM, Some(path.as_ref()))?;
        count_syscalls(1);
        socket.listen(BACKLOG)?;
        Ok(UnixListener { fd: AsyncFd::new(socket.into())? })
    }

    /// Takes in the next connection. Any number of tasks may wait.
    ///
    /// With no descriptor or kernel memory left for it, the connection waits in the backlog and is tried again every
    /// 50 ms; one that the kernel has no room to watch is closed.
    ///
    /// # Errors
    /// Any other failure of `accept(2)`, or of having the loop watch the connection, which is closed then.
    ///
    /// # Cancel
    /// Dropping it loses no connection.
    ///
    /// ```
    /// # use windlass_net::net::{UnixListener, UnixStream};
    /// # windlass_net::doc_dir(async |dir| {
    /// let listener = UnixListener::bind(dir.join("door"))?;
    /// let _ours = UnixStream::connect(dir.join("door")).await?;
    /// let (_theirs, peer) = listener.accept().await?;
    /// assert!(peer.is_unnamed()); // who connects seldom has a name
    /// # Ok(()) });
    /// ```
    pub async fn accept(&self) -> io::Result<(UnixStream, SocketAddr)> {
        accept(&self.fd, std::os::unix::net::UnixListener::accept, UnixStream::from_std).await
    }

    /// Takes in a connection that waits.
    ///
    /// # Errors
    /// `WouldBlock` if none does.
    ///
    /// ```
    /// # use windlass_net::net::UnixListener;
    /// # windlass_net::doc_dir(async |dir| {
    /// let listener = UnixListener::bind(dir.join("door"))?;
    /// assert_eq!(listener.try_accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    /// # Ok(()) });
    /// ```
    pub fn try_accept(&self) -> io::Result<(UnixStream, SocketAddr)> {
        let (stream, peer) = self.fd.try_io(Direction::Read, std::os::unix::net::UnixListener::accept)?;
        Ok((UnixStream::from_std(stream)?, peer))
    }
}

watched!(
    UnixListener,
    watches std::os::unix::net::UnixListener,
    named by SocketAddr,
    examples in "windlass_reactor::doc_real(async { let place = windlass_net::DocDir::new();"
    on "std::os::unix::net::UnixListener::bind(place.path().join(\"door\"))"
);
