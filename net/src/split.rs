//! The two halves of a connection, which have nothing to say to each other.
//! Each direction of a source waits for itself, so the halves need no lock: they share the stream and use one side each.
//!
//! ```text
//!   split(&mut) ────► ReadHalf, WriteHalf            borrow the stream: two futures of one task
//!   into_split() ───► OwnedReadHalf, OwnedWriteHalf   hold it in an Arc: two tasks ──► reunite ──► the stream
//! ```
//!
//! Next: `stream`, which does the work.

use std::fmt;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::net::Shutdown;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_io::{AsyncRead, AsyncWrite};

use crate::stream::{self, Connection};
use crate::tcp::TcpStream;

pub(crate) fn split<S: Connection>(stream: &mut S) -> (ReadHalf<'_, S>, WriteHalf<'_, S>) {
    (ReadHalf { stream }, WriteHalf { stream })
}

pub(crate) fn into_split<S: Connection>(stream: S) -> (OwnedReadHalf<S>, OwnedWriteHalf<S>) {
    let stream = Arc::new(stream);
    (OwnedReadHalf { stream: stream.clone() }, OwnedWriteHalf { stream, open: true })
}

/// The reading half of a borrowed stream; see [`TcpStream::split`].
///
/// ```
/// # windlass_net::doc(async |mut ours, mut theirs| {
/// let (mut reading, _writing) = ours.split();
/// theirs.write_all(b"hello").await?;
/// let mut buffer = [0; 5];
/// reading.read_exact(&mut buffer).await?;
/// assert_eq!(&buffer, b"hello");
/// # Ok(()) });
/// ```
#[derive(Debug)]
pub struct ReadHalf<'a, S: Connection = TcpStream> {
    stream: &'a S,
}

/// The writing half of a borrowed stream; see [`TcpStream::split`].
///
/// ```
/// # windlass_net::doc(async |mut ours, mut theirs| {
/// let (_reading, mut writing) = ours.split();
/// writing.write_all(b"hello").await?;
/// writing.shutdown()?; // we have said all, and may still listen
/// # let mut buffer = [0; 5];
/// # theirs.read_exact(&mut buffer).await?;
/// # assert_eq!(theirs.read(&mut buffer).await?, 0);
/// # Ok(()) });
/// ```
#[derive(Debug)]
pub struct WriteHalf<'a, S: Connection = TcpStream> {
    stream: &'a S,
}

/// The reading half of a stream; see [`TcpStream::into_split`].
///
/// ```
/// # use windlass_net::windlass;
/// # windlass_net::doc(async |ours, mut theirs| {
/// let (mut reading, _writing) = ours.into_split();
/// let heard = windlass::spawn(async move {
///     let mut buffer = [0; 5];
///     reading.read_exact(&mut buffer).await.map(|_| buffer)
/// });
/// theirs.write_all(b"hello").await?;
/// assert_eq!(&heard.await.unwrap()?, b"hello");
/// # Ok(()) });
/// ```
#[derive(Debug)]
pub struct OwnedReadHalf<S: Connection = TcpStream> {
    stream: Arc<S>,
}

/// The writing half of a stream; see [`TcpStream::into_split`]. Dropping it ends our side of the connection.
///
/// ```
/// # windlass_net::doc(async |ours, mut theirs| {
/// let (_reading, mut writing) = ours.into_split();
/// writing.write_all(b"hello").await?;
/// drop(writing); // ends our side
/// let mut buffer = [0; 5];
/// theirs.read_exact(&mut buffer).await?;
/// assert_eq!(theirs.read(&mut buffer).await?, 0);
/// # Ok(()) });
/// ```
#[derive(Debug)]
pub struct OwnedWriteHalf<S: Connection = TcpStream> {
    stream: Arc<S>,
    open: bool,
}

/// What either half can say of the whole.
macro_rules! whole {
    ($half:ty) => {
        impl<S: Connection> $half {
            /// Our address.
            pub fn local_addr(&self) -> io::Result<S::Address> {
                self.stream.local_addr()
            }

            /// The peer's address.
            pub fn peer_addr(&self) -> io::Result<S::Address> {
                self.stream.peer_addr()
            }
        }
    };
}

macro_rules! reads {
    ($half:ty) => {
        impl<S: Connection> $half {
            /// As [`TcpStream::read`].
            pub async fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                poll_fn(|cx| self.stream.poll_read(cx, buffer)).await
            }

            /// As [`TcpStream::read_exact`].
            pub async fn read_exact(&mut self, buffer: &mut [u8]) -> io::Result<()> {
                stream::read_exact(|cx, buffer| self.stream.poll_read(cx, buffer), buffer).await
            }

            /// As [`TcpStream::readable`].
            pub async fn readable(&self) -> io::Result<()> {
                self.stream.watched().readable().await
            }

            /// As [`TcpStream::try_read`].
            pub fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
                self.stream.try_read(buffer)
            }
        }

        whole!($half);

        impl<S: Connection> AsyncRead for $half {
            fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
                self.stream.poll_read(cx, buffer)
            }
        }
    };
}

macro_rules! writes {
    ($half:ty) => {
        impl<S: Connection> $half {
            /// As [`TcpStream::write`].
            pub async fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                poll_fn(|cx| self.stream.poll_write(cx, bytes)).await
            }

            /// As [`TcpStream::write_vectored`].
            pub async fn write_vectored(&mut self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
                poll_fn(|cx| self.stream.poll_write_vectored(cx, buffers)).await
            }

            /// As [`TcpStream::write_all`].
            pub async fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
                stream::write_all(|cx, bytes| self.stream.poll_write(cx, bytes), bytes).await
            }

            /// As [`TcpStream::writable`].
            pub async fn writable(&self) -> io::Result<()> {
                self.stream.watched().writable().await
            }

            /// As [`TcpStream::try_write`].
            pub fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
                self.stream.try_write(bytes)
            }

            /// Ends our side of the connection.
            pub fn shutdown(&mut self) -> io::Result<()> {
                self.stream.shutdown(Shutdown::Write)
            }
        }

        whole!($half);

        impl<S: Connection> AsyncWrite for $half {
            fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
                self.stream.poll_write(cx, bytes)
            }

            fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                Poll::Ready(Ok(()))
            }

            fn poll_close(mut self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                Poll::Ready(self.shutdown())
            }
        }
    };
}

reads!(ReadHalf<'_, S>);
reads!(OwnedReadHalf<S>);
writes!(WriteHalf<'_, S>);
writes!(OwnedWriteHalf<S>);

/// What Unix streams cannot do in std's face yet.
macro_rules! peeks {
    ($half:ty) => {
        impl $half {
            /// As [`TcpStream::peek`].
            pub async fn peek(&self, buffer: &mut [u8]) -> io::Result<usize> {
                self.stream.peek(buffer).await
            }
        }
    };
}

peeks!(ReadHalf<'_>);
peeks!(OwnedReadHalf);

impl<S: Connection> OwnedReadHalf<S> {
    /// Makes one stream again of two halves that belong together.
    ///
    /// # Errors
    /// Gives both back if they do not.
    ///
    /// ```
    /// # windlass_net::doc(async |ours, theirs| {
    /// let (reading, writing) = ours.into_split();
    /// let ours = reading.reunite(writing).unwrap();
    /// assert_eq!(ours.local_addr()?, theirs.peer_addr()?);
    /// # Ok(()) });
    /// ```
    pub fn reunite(self, mut write: OwnedWriteHalf<S>) -> Result<S, ReuniteError<S>> {
        if !Arc::ptr_eq(&self.stream, &write.stream) {
            return Err(ReuniteError(self, write));
        }
        write.open = false; // not dropped: reunited
        drop(write);
        Ok(Arc::into_inner(self.stream).expect("two halves share one stream, and one is gone"))
    }
}

impl<S: Connection> Drop for OwnedWriteHalf<S> {
    fn drop(&mut self) {
        if self.open {
            // A connection that the peer has ended already cannot be shut down, and need not be.
            let _ = self.stream.end();
        }
    }
}

/// Two halves of different streams.
///
/// ```
/// # windlass_net::doc(async |ours, theirs| {
/// let ((reading, _), (_, writing)) = (ours.into_split(), theirs.into_split());
/// let error = reading.reunite(writing).unwrap_err();
/// assert_eq!(error.to_string(), "the halves are of different streams");
/// # Ok(()) });
/// ```
#[derive(Debug)]
pub struct ReuniteError<S: Connection = TcpStream>(pub OwnedReadHalf<S>, pub OwnedWriteHalf<S>);

impl<S: Connection> fmt::Display for ReuniteError<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the halves are of different streams")
    }
}

impl<S: Connection + fmt::Debug> std::error::Error for ReuniteError<S> {}
