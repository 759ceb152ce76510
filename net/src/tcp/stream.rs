//! A connection: bytes both ways.
//! Who reads or writes here gets futures; who brings a trait (`AsyncRead`, `AsyncWrite`) polls. Both end in the same
//! place.
//!
//! ```text
//!   read(..).await, poll_read ──► AsyncFd::poll_read_stream ──► the kernel; if it would block, the reactor: wake me
//! ```
//!
//! Not here: how it came about (`socket`, `listener`).   Next: `split`, one stream for two futures.

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
use super::split::{self, OwnedReadHalf, OwnedWriteHalf, ReadHalf, WriteHalf};
use crate::resolve::{Address, resolve};

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
    /// If the name has no address, or none of them takes the connection: the last one's error.
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
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the name has no address")))
    }

    /// Reads what is there, at least one byte; 0 is the end of the stream.
    ///
    /// ```
    /// # windlass_net::doc(async |mut ours, theirs| {
    /// drop(theirs);
    /// assert_eq!(ours.read(&mut [0; 16]).await?, 0); // the end
    /// # Ok(()) });
    /// ```
    #[inline]
    pub async fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        poll_fn(|cx| self.fd.poll_read_stream(cx, buffer)).await
    }

    /// As [`read`](Self::read), into several buffers.
    ///
    /// ```
    /// # windlass_net::doc(async |mut ours, mut theirs| {
    /// use std::io::IoSliceMut;
    /// theirs.write_all(b"hello").await?;
    /// let (mut head, mut tail) = ([0; 2], [0; 16]);
    /// let n = ours.read_vectored(&mut [IoSliceMut::new(&mut head), IoSliceMut::new(&mut tail)]).await?;
    /// assert_eq!((n, &head, &tail[..3]), (5, b"he", &b"llo"[..]));
    /// # Ok(()) });
    /// ```
    pub async fn read_vectored(&mut self, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        poll_fn(|cx| self.fd.poll_read_stream_vectored(cx, buffers)).await
    }

    /// Fills the buffer.
    ///
    /// # Errors
    /// `UnexpectedEof` if the stream ends first.
    ///
    /// ```
    /// # windlass_net::doc(async |mut ours, mut theirs| {
    /// theirs.write_all(b"hel").await?;
    /// theirs.write_all(b"lo").await?;
    /// let mut buffer = [0; 5];
    /// ours.read_exact(&mut buffer).await?;
    /// assert_eq!(&buffer, b"hello");
    /// # Ok(()) });
    /// ```
    pub async fn read_exact(&mut self, buffer: &mut [u8]) -> io::Result<()> {
        split::read_exact(self, buffer).await
    }

    /// Writes what the kernel takes at once, at least one byte.
    ///
    /// ```
    /// # windlass_net::doc(async |mut ours, _theirs| {
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
    /// # windlass_net::doc(async |mut ours, _theirs| {
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
    /// # windlass_net::doc(async |mut ours, mut theirs| {
    /// let page = vec![b'w'; 1 << 20];
    /// let sending = windlass_executor::spawn(async move { ours.write_all(&page).await });
    /// theirs.read_exact(&mut vec![0; 1 << 20]).await?;
    /// sending.await.unwrap()?;
    /// # Ok(()) });
    /// ```
    #[inline]
    pub async fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        split::write_all(self, bytes).await
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

    /// Waits until there is something to read, the end included.
    ///
    /// ```
    /// # windlass_net::doc(async |ours, mut theirs| {
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
    /// # windlass_net::doc(async |ours, _theirs| {
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
    /// # windlass_net::doc(async |ours, _theirs| {
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
    /// # windlass_net::doc(async |ours, mut theirs| {
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
    /// # windlass_net::doc(async |ours, _theirs| {
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
    /// # windlass_net::doc(async |ours, _theirs| {
    /// use std::io::IoSlice;
    /// assert_eq!(ours.try_write_vectored(&[IoSlice::new(b"he"), IoSlice::new(b"llo")])?, 5);
    /// # Ok(()) });
    /// ```
    pub fn try_write_vectored(&self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        self.fd.try_io(Direction::Write, |mut io| io.write_vectored(buffers))
    }

    #[inline]
    pub(crate) fn fd(&self) -> &AsyncFd<std::net::TcpStream> {
        &self.fd
    }

    /// Ends one side of the connection, or both; the other side may go on.
    ///
    /// ```
    /// # windlass_net::doc(async |mut ours, mut theirs| {
    /// ours.shutdown(std::net::Shutdown::Write)?;
    /// assert_eq!(theirs.read(&mut [0; 16]).await?, 0);
    /// theirs.write_all(b"I still speak").await?;
    /// assert_eq!(ours.read(&mut [0; 16]).await?, 13);
    /// # Ok(()) });
    /// ```
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.on_its_loop()?.shutdown(how)
    }

    /// The socket, to be called once; an error off its loop.
    fn on_its_loop(&self) -> io::Result<&std::net::TcpStream> {
        self.fd.is_ready(Direction::Write)?;
        count_syscalls(1);
        Ok(self.fd.get_ref())
    }

    /// A reading and a writing half, for two futures of one task.
    ///
    /// ```
    /// # windlass_net::doc(async |mut ours, mut theirs| {
    /// let (mut reading, mut writing) = ours.split();
    /// writing.write_all(b"hello").await?;
    /// theirs.read_exact(&mut [0; 5]).await?;
    /// theirs.write_all(b"there").await?;
    /// reading.read_exact(&mut [0; 5]).await?;
    /// # Ok(()) });
    /// ```
    pub fn split(&mut self) -> (ReadHalf<'_>, WriteHalf<'_>) {
        split::split(self)
    }

    /// A reading and a writing half that may go separate ways. Dropping the writing half ends our side.
    ///
    /// ```
    /// # use windlass_net::net::{TcpListener, TcpStream};
    /// # windlass_reactor::doc_real(async {
    /// # let listener = TcpListener::bind("127.0.0.1:0".parse().unwrap())?;
    /// # let stream = TcpStream::connect(listener.local_addr()?).await?;
    /// # let (mut peer, _) = listener.accept().await?;
    /// let (mut read, mut write) = stream.into_split();
    /// let writing = windlass_executor::spawn(async move { write.write_all(b"to").await });
    /// # peer.write_all(b"fro").await?;
    /// let mut heard = [0; 3];
    /// read.read_exact(&mut heard).await?;
    /// assert_eq!(&heard, b"fro");
    /// writing.await.unwrap()?;
    /// # std::io::Result::Ok(()) }).unwrap();
    /// ```
    pub fn into_split(self) -> (OwnedReadHalf, OwnedWriteHalf) {
        split::into_split(self)
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
        self.on_its_loop()?.set_nodelay(on)
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
        socket2::SockRef::from(self.on_its_loop()?).set_linger(linger)
    }

    /// Our address.
    ///
    /// ```
    /// # windlass_net::doc(async |ours, theirs| {
    /// assert_eq!(ours.local_addr()?, theirs.peer_addr()?);
    /// # Ok(()) });
    /// ```
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.fd.get_ref().local_addr()
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

    /// Takes over a stream of the standard library.
    ///
    /// # Errors
    /// If it cannot be made non-blocking or watched.
    ///
    /// # Panics
    /// Outside a running loop.
    ///
    /// ```
    /// # windlass_reactor::doc_real(async {
    /// let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    /// let plain = std::net::TcpStream::connect(listener.local_addr()?)?;
    /// let stream = windlass_net::net::TcpStream::from_std(plain)?;
    /// assert_eq!(stream.peer_addr()?, listener.local_addr()?);
    /// # std::io::Result::Ok(()) }).unwrap();
    /// ```
    #[track_caller]
    pub fn from_std(stream: std::net::TcpStream) -> io::Result<TcpStream> {
        count_syscalls(1);
        stream.set_nonblocking(true)?;
        Ok(TcpStream { fd: AsyncFd::new(stream)? })
    }

    /// Gives back the stream, still non-blocking.
    ///
    /// # Errors
    /// On another thread than its loop's; it is closed then.
    ///
    /// ```
    /// # windlass_net::doc(async |ours, _theirs| {
    /// let plain = ours.into_std()?;
    /// plain.set_nonblocking(false)?; // for code that blocks
    /// # Ok(()) });
    /// ```
    pub fn into_std(self) -> io::Result<std::net::TcpStream> {
        self.fd.into_inner()
    }
}

impl AsyncRead for TcpStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        self.fd.poll_read_stream(cx, buffer)
    }

    fn poll_read_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
    ) -> Poll<io::Result<usize>> {
        self.fd.poll_read_stream_vectored(cx, buffers)
    }
}

/// Closing ends our side of the connection.
impl AsyncWrite for TcpStream {
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

impl AsFd for TcpStream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl AsRawFd for TcpStream {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}
