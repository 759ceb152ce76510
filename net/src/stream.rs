//! A byte stream over a socket: what a TCP connection and a Unix one have in common.
//! Both are a descriptor that takes bytes and gives bytes, and ends in one direction at a time. What they do is written
//! here once, and said of each.
//!
//! ```text
//!   read(..).await, poll_read ──► poll_fill: an AsyncFd ──► the kernel; if it would block, the reactor: wake me
//!   byte_stream!(TcpStream), byte_stream!(UnixStream)             the methods and the traits
//!   Connection                                                   what the halves need of either
//! ```
//!
//! Not here: how a stream comes about (`tcp`, `unix`).   Next: `split`, one stream for two futures.

use std::future::poll_fn;
use std::io;
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::task::{Context, Poll};

use windlass_reactor::AsyncFd;

/// A connected stream, as its halves see it.
pub trait Connection {
    /// The socket underneath.
    type Socket: AsFd + Send + 'static;
    /// What its ends are called.
    type Address;
    /// Where it waits.
    fn watched(&self) -> &AsyncFd<Self::Socket>;
    /// Reads, or waits in the one place that polls have.
    fn poll_read(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>>;
    /// Writes, or waits in the one place that polls have.
    fn poll_write(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>>;
    /// Writes from several buffers, or waits in the one place that polls have.
    fn poll_write_vectored(&self, cx: &mut Context<'_>, buffers: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>>;
    /// Reads what is there now.
    fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize>;
    /// Writes what there is room for now.
    fn try_write(&self, bytes: &[u8]) -> io::Result<usize>;
    /// Ends one side, on its loop.
    fn shutdown(&self, how: Shutdown) -> io::Result<()>;
    /// Ends our side, on whatever thread.
    fn end(&self) -> io::Result<()>;
    /// Our address.
    fn local_addr(&self) -> io::Result<Self::Address>;
    /// The peer's address.
    fn peer_addr(&self) -> io::Result<Self::Address>;
}

/// Fills `buffer` with as many reads as it takes.
#[inline]
pub(crate) async fn read_exact(
    mut poll_read: impl FnMut(&mut Context<'_>, &mut [u8]) -> Poll<io::Result<usize>>,
    mut buffer: &mut [u8],
) -> io::Result<()> {
    while !buffer.is_empty() {
        match poll_fn(|cx| poll_read(cx, buffer)).await? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            n => buffer = &mut buffer[n..],
        }
    }
    Ok(())
}

/// Writes all of `bytes` with as many writes as it takes.
#[inline]
pub(crate) async fn write_all(
    mut poll_write: impl FnMut(&mut Context<'_>, &[u8]) -> Poll<io::Result<usize>>,
    mut bytes: &[u8],
) -> io::Result<()> {
    while !bytes.is_empty() {
        match poll_fn(|cx| poll_write(cx, bytes)).await? {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            n => bytes = &bytes[n..],
        }
    }
    Ok(())
}

/// What `$stream`, a struct with an `fd` that watches a `$socket`, does as a byte stream, once it says how it reads
/// (`poll_fill`, `poll_fill_vectored`). `$pair` runs an example on two ends of one.
macro_rules! byte_stream {
    ($stream:ident, watches $socket:ty, named by $address:ty, examples on $pair:literal) => {
        impl $stream {
            /// Reads what is there, at least one byte; 0 is the end of the stream.
            ///
            /// ```
            #[doc = concat!("# windlass_net::", $pair, "(async |mut ours, theirs| {")]
            /// drop(theirs);
            /// assert_eq!(ours.read(&mut [0; 16]).await?, 0); // the end
            /// # Ok(()) });
            /// ```
            #[inline]
            pub async fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                poll_fn(|cx| self.poll_fill(cx, buffer)).await
            }

            /// As [`read`](Self::read), into several buffers.
            ///
            /// ```
            #[doc = concat!("# windlass_net::", $pair, "(async |mut ours, mut theirs| {")]
            /// use std::io::IoSliceMut;
            /// theirs.write_all(b"hello").await?;
            /// let (mut head, mut tail) = ([0; 2], [0; 16]);
            /// let n = ours.read_vectored(&mut [IoSliceMut::new(&mut head), IoSliceMut::new(&mut tail)]).await?;
            /// assert_eq!((n, &head, &tail[..3]), (5, b"he", &b"llo"[..]));
            /// # Ok(()) });
            /// ```
            pub async fn read_vectored(&mut self, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
                poll_fn(|cx| self.poll_fill_vectored(cx, buffers)).await
            }

            /// Fills the buffer.
            ///
            /// # Errors
            /// `UnexpectedEof` if the stream ends first.
            ///
            /// ```
            #[doc = concat!("# windlass_net::", $pair, "(async |mut ours, mut theirs| {")]
            /// theirs.write_all(b"hel").await?;
            /// theirs.write_all(b"lo").await?;
            /// let mut buffer = [0; 5];
            /// ours.read_exact(&mut buffer).await?;
            /// assert_eq!(&buffer, b"hello");
            /// # Ok(()) });
            /// ```
            pub async fn read_exact(&mut self, buffer: &mut [u8]) -> io::Result<()> {
                stream::read_exact(|cx, buffer| self.poll_fill(cx, buffer), buffer).await
            }

            /// Writes what the kernel takes at once, at least one byte.
            ///
            /// ```
            #[doc = concat!("# windlass_net::", $pair, "(async |mut ours, _theirs| {")]
            /// let n = ours.write(b"hello").await?;
            /// assert!((1..=5).contains(&n));
            /// # Ok(()) });
            /// ```
            #[inline]
            pub async fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                poll_fn(|cx| self.fd.poll_write_stream(cx, bytes)).await
            }

            /// As [`write`](Self::write), from several buffers.
            ///
            /// ```
            #[doc = concat!("# windlass_net::", $pair, "(async |mut ours, _theirs| {")]
            /// use std::io::IoSlice;
            /// let n = ours.write_vectored(&[IoSlice::new(b"he"), IoSlice::new(b"llo")]).await?;
            /// assert!((1..=5).contains(&n));
            /// # Ok(()) });
            /// ```
            pub async fn write_vectored(&mut self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
                poll_fn(|cx| self.fd.poll_write_stream_vectored(cx, buffers)).await
            }

            /// Writes all of it.
            ///
            /// ```
            /// # use windlass_net::windlass;
            #[doc = concat!("# windlass_net::", $pair, "(async |mut ours, mut theirs| {")]
            /// let page = vec![b'w'; 1 << 20];
            /// let sending = windlass::spawn(async move { ours.write_all(&page).await });
            /// theirs.read_exact(&mut vec![0; 1 << 20]).await?;
            /// sending.await.unwrap()?;
            /// # Ok(()) });
            /// ```
            #[inline]
            pub async fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
                stream::write_all(|cx, bytes| self.fd.poll_write_stream(cx, bytes), bytes).await
            }

            /// Waits until there is something to read, the end included.
            ///
            /// ```
            #[doc = concat!("# windlass_net::", $pair, "(async |ours, mut theirs| {")]
            /// theirs.write_all(b"hello").await?;
            /// ours.readable().await?;
            /// assert_eq!(ours.try_read(&mut [0; 16])?, 5);
            /// # Ok(()) });
            /// ```
            pub async fn readable(&self) -> io::Result<()> {
                self.fd.readable().await
            }

            /// Waits until there is room to write.
            ///
            /// ```
            #[doc = concat!("# windlass_net::", $pair, "(async |ours, _theirs| {")]
            /// ours.writable().await?;
            /// assert_eq!(ours.try_write(b"hello")?, 5);
            /// # Ok(()) });
            /// ```
            pub async fn writable(&self) -> io::Result<()> {
                self.fd.writable().await
            }

            /// Reads what is there now.
            ///
            /// # Errors
            /// `WouldBlock` if there is nothing.
            ///
            /// ```
            #[doc = concat!("# windlass_net::", $pair, "(async |ours, _theirs| {")]
            /// let nothing = ours.try_read(&mut [0; 16]).unwrap_err();
            /// assert_eq!(nothing.kind(), std::io::ErrorKind::WouldBlock);
            /// # Ok(()) });
            /// ```
            pub fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
                self.fd.try_io(Direction::Read, |mut io| io.read(buffer))
            }

            /// As [`try_read`](Self::try_read), into several buffers.
            ///
            /// ```
            #[doc = concat!("# windlass_net::", $pair, "(async |ours, mut theirs| {")]
            /// use std::io::IoSliceMut;
            /// theirs.write_all(b"hello").await?;
            /// ours.readable().await?;
            /// let (mut head, mut tail) = ([0; 2], [0; 16]);
            /// assert_eq!(ours.try_read_vectored(&mut [IoSliceMut::new(&mut head), IoSliceMut::new(&mut tail)])?, 5);
            /// # Ok(()) });
            /// ```
            pub fn try_read_vectored(&self, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
                self.fd.try_io(Direction::Read, |mut io| io.read_vectored(buffers))
            }

            /// Writes what there is room for now.
            ///
            /// # Errors
            /// `WouldBlock` if there is none.
            ///
            /// ```
            #[doc = concat!("# windlass_net::", $pair, "(async |ours, _theirs| {")]
            /// let full = loop {
            ///     match ours.try_write(&[0; 4096]) {
            ///         Ok(_) => {} // until nobody reads any more
            ///         Err(error) => break error,
            ///     }
            /// };
            /// assert_eq!(full.kind(), std::io::ErrorKind::WouldBlock);
            /// # Ok(()) });
            /// ```
            pub fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
                self.fd.try_io(Direction::Write, |mut io| io.write(bytes))
            }

            /// As [`try_write`](Self::try_write), from several buffers.
            ///
            /// ```
            #[doc = concat!("# windlass_net::", $pair, "(async |ours, _theirs| {")]
            /// use std::io::IoSlice;
            /// assert_eq!(ours.try_write_vectored(&[IoSlice::new(b"he"), IoSlice::new(b"llo")])?, 5);
            /// # Ok(()) });
            /// ```
            pub fn try_write_vectored(&self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
                self.fd.try_io(Direction::Write, |mut io| io.write_vectored(buffers))
            }

            /// Ends one side of the connection, or both; the other side may go on.
            ///
            /// ```
            #[doc = concat!("# windlass_net::", $pair, "(async |mut ours, mut theirs| {")]
            /// ours.shutdown(std::net::Shutdown::Write)?;
            /// assert_eq!(theirs.read(&mut [0; 16]).await?, 0);
            /// theirs.write_all(b"I still speak").await?;
            /// assert_eq!(ours.read(&mut [0; 16]).await?, 13);
            /// # Ok(()) });
            /// ```
            pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
                on_its_loop(&self.fd)?.shutdown(how)
            }

            /// A reading and a writing half, for two futures of one task.
            ///
            /// ```
            #[doc = concat!("# windlass_net::", $pair, "(async |mut ours, mut theirs| {")]
            /// let (mut reading, mut writing) = ours.split();
            /// writing.write_all(b"hello").await?;
            /// theirs.read_exact(&mut [0; 5]).await?;
            /// theirs.write_all(b"there").await?;
            /// reading.read_exact(&mut [0; 5]).await?;
            /// # Ok(()) });
            /// ```
            pub fn split(&mut self) -> (ReadHalf<'_, Self>, WriteHalf<'_, Self>) {
                split::split(self)
            }

            /// A reading and a writing half that may go separate ways. Dropping the writing half ends our side.
            ///
            /// ```
            /// # use windlass_net::windlass;
            #[doc = concat!("# windlass_net::", $pair, "(async |ours, mut theirs| {")]
            /// let (mut read, mut write) = ours.into_split();
            /// let writing = windlass::spawn(async move { write.write_all(b"to").await });
            /// theirs.write_all(b"fro").await?;
            /// let mut heard = [0; 3];
            /// read.read_exact(&mut heard).await?;
            /// assert_eq!(&heard, b"fro");
            /// writing.await.unwrap()?;
            /// # Ok(()) });
            /// ```
            pub fn into_split(self) -> (OwnedReadHalf<Self>, OwnedWriteHalf<Self>) {
                split::into_split(self)
            }
        }

        impl Connection for $stream {
            type Socket = $socket;
            type Address = $address;

            fn watched(&self) -> &AsyncFd<$socket> {
                &self.fd
            }

            fn poll_read(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
                self.poll_fill(cx, buffer)
            }

            fn poll_write(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
                self.fd.poll_write_stream(cx, bytes)
            }

            fn poll_write_vectored(&self, cx: &mut Context<'_>, buffers: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
                self.fd.poll_write_stream_vectored(cx, buffers)
            }

            fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
                self.fd.try_io(Direction::Read, |mut io| io.read(buffer))
            }

            fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
                self.fd.try_io(Direction::Write, |mut io| io.write(bytes))
            }

            fn shutdown(&self, how: Shutdown) -> io::Result<()> {
                on_its_loop(&self.fd)?.shutdown(how)
            }

            fn end(&self) -> io::Result<()> {
                self.fd.get_ref().shutdown(Shutdown::Write)
            }

            fn local_addr(&self) -> io::Result<$address> {
                self.fd.get_ref().local_addr()
            }

            fn peer_addr(&self) -> io::Result<$address> {
                self.fd.get_ref().peer_addr()
            }
        }

        impl AsyncRead for $stream {
            fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
                self.poll_fill(cx, buffer)
            }

            fn poll_read_vectored(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buffers: &mut [IoSliceMut<'_>],
            ) -> Poll<io::Result<usize>> {
                self.poll_fill_vectored(cx, buffers)
            }
        }

        /// Closing ends our side of the connection.
        impl AsyncWrite for $stream {
            fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
                self.fd.poll_write_stream(cx, bytes)
            }

            fn poll_write_vectored(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buffers: &[IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                self.fd.poll_write_stream_vectored(cx, buffers)
            }

            fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                Poll::Ready(Ok(())) // nothing is held back on our side of the kernel
            }

            fn poll_close(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                Poll::Ready(self.shutdown(Shutdown::Write))
            }
        }
    };
}
pub(crate) use byte_stream;
