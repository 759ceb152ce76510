//! Two ends of a stream, in memory.
//! What is written at one end is read at the other; no descriptor is involved, so the loop knows everything there is to
//! know, and a paused clock jumps while both ends wait. Made for tests, and for code that wants a stream where there is
//! no socket.
//!
//! ```text
//!   one end ── write ──► pipe: at most `capacity` bytes ── read ──► other end
//!           ◄── read ── pipe: at most `capacity` bytes ◄── write ──
//! ```
//!
//! Each pipe remembers one reader and one writer that wait, as `AsyncRead` and `AsyncWrite` have it. Their wakers are
//! cloned, woken and dropped when no borrow of the pipe is live (I3).
//! The ends share their pipes by plain counts: neither is `Send`.   Next: `copy`, which moves bytes between streams.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::io::{self, Read};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use futures_io::{AsyncRead, AsyncWrite};
use windlass_executor::budget;
use windlass_executor::waits::{LazyId, ResourceKind};

use crate::stream;

/// Two ends of a stream: each holds at most `capacity` bytes that were written to it and not yet read at the other.
///
/// # Panics
/// If `capacity` is zero: nothing would ever pass.
///
/// ```
/// # use windlass_net::windlass;
/// # windlass_reactor::doc(async {
/// let (mut ours, mut theirs) = windlass::io::duplex(1024);
/// ours.write_all(b"hello").await?;
/// let mut word = [0; 5];
/// theirs.read_exact(&mut word).await?;
/// assert_eq!(&word, b"hello");
/// # std::io::Result::Ok(()) }).unwrap();
/// ```
#[track_caller]
pub fn duplex(capacity: usize) -> (DuplexStream, DuplexStream) {
    assert!(capacity > 0, "a duplex stream with room for no byte would never pass one");
    let pipe = || Rc::new(RefCell::new(Pipe { capacity, ..Pipe::default() }));
    let (there, back) = (pipe(), pipe());
    (DuplexStream { read: back.clone(), write: there.clone() }, DuplexStream { read: there, write: back })
}

/// One end of a stream in memory: see [`duplex`]. Dropping it ends both directions: the other end reads what was written,
/// and then the end; it writes no more.
///
/// # Cancel
/// Reads and writes may be dropped: what they did not report they did not do, but for
/// [`write_all`](DuplexStream::write_all) and [`read_exact`](DuplexStream::read_exact), which may have got half-way.
///
/// ```
/// # use windlass_net::windlass;
/// # windlass_reactor::doc(async {
/// let (mut ours, theirs) = windlass::io::duplex(4);
/// assert_eq!(ours.write(b"hello").await?, 4); // no more fits
/// drop(theirs);
/// let gone = ours.write(b"o").await.unwrap_err();
/// assert_eq!(gone.kind(), std::io::ErrorKind::BrokenPipe);
/// # std::io::Result::Ok(()) }).unwrap();
/// ```
pub struct DuplexStream {
    read: Rc<RefCell<Pipe>>,
    write: Rc<RefCell<Pipe>>,
}

/// One direction.
#[derive(Default)]
struct Pipe {
    bytes: VecDeque<u8>,
    capacity: usize,
    /// Nothing more will be written.
    ended: bool,
    /// Nothing more will be read.
    deaf: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
    id: LazyId,
}

impl Pipe {
    /// None if the reader must wait.
    fn take(&mut self, buffer: &mut [u8]) -> Option<usize> {
        let mut taken = 0;
        while taken < buffer.len() && !self.bytes.is_empty() {
            // A ring's bytes lie in two pieces, and a read takes from the first.
            taken += self.bytes.read(&mut buffer[taken..]).expect("memory gives what it has");
        }
        (taken > 0 || self.ended || buffer.is_empty()).then_some(taken)
    }

    /// None if the writer must wait.
    fn put(&mut self, bytes: &[u8]) -> Option<io::Result<usize>> {
        if self.ended || self.deaf {
            return Some(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let taken = bytes.len().min(self.capacity - self.bytes.len());
        self.bytes.extend(&bytes[..taken]);
        (taken > 0 || bytes.is_empty()).then_some(Ok(taken))
    }
}

/// Wakes whoever waits in that place, after the borrow (I3).
fn wake(pipe: &RefCell<Pipe>, place: impl FnOnce(&mut Pipe) -> &mut Option<Waker>) {
    let waiting = place(&mut pipe.borrow_mut()).take();
    if let Some(waker) = waiting {
        waker.wake();
    }
}

/// Tries, leaves the waker in its place, and tries again: cloning a foreign waker may have brought what it waits for.
fn poll_pipe<R>(
    pipe: &RefCell<Pipe>,
    cx: &mut Context<'_>,
    mut operation: impl FnMut(&mut Pipe) -> Option<R>,
    place: impl FnOnce(&mut Pipe) -> &mut Option<Waker>,
) -> Poll<R> {
    ready!(budget::poll_proceed(cx));
    let done = operation(&mut pipe.borrow_mut());
    if let Some(done) = done {
        return Poll::Ready(done);
    }
    let waker = cx.waker().clone();
    let before = place(&mut pipe.borrow_mut()).replace(waker);
    drop(before);
    pipe.borrow().id.note(ResourceKind::Pipe);
    let done = operation(&mut pipe.borrow_mut());
    done.map_or(Poll::Pending, Poll::Ready)
}

impl DuplexStream {
    /// Reads what is there, at least one byte; 0 is the end of the stream.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// # windlass_reactor::doc(async {
    /// let (mut ours, mut theirs) = windlass::io::duplex(1024);
    /// theirs.write_all(b"hello").await?;
    /// drop(theirs);
    /// assert_eq!(ours.read(&mut [0; 16]).await?, 5);
    /// assert_eq!(ours.read(&mut [0; 16]).await?, 0);
    /// # std::io::Result::Ok(()) }).unwrap();
    /// ```
    pub async fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        poll_fn(|cx| Pin::new(&mut *self).poll_read(cx, buffer)).await
    }

    /// Fills the buffer.
    ///
    /// # Errors
    /// `UnexpectedEof` if the stream ends first.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// # windlass_reactor::doc(async {
    /// let (mut ours, mut theirs) = windlass::io::duplex(1024);
    /// theirs.write_all(b"hel").await?;
    /// theirs.write_all(b"lo").await?;
    /// ours.read_exact(&mut [0; 5]).await?;
    /// # std::io::Result::Ok(()) }).unwrap();
    /// ```
    pub async fn read_exact(&mut self, buffer: &mut [u8]) -> io::Result<()> {
        stream::read_exact(|cx, buffer| Pin::new(&mut *self).poll_read(cx, buffer), buffer).await
    }

    /// Writes what there is room for, at least one byte.
    ///
    /// # Errors
    /// `BrokenPipe` if the other end is gone, or this one is [shut down](Self::shutdown).
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// # windlass_reactor::doc(async {
    /// let (mut ours, _theirs) = windlass::io::duplex(4);
    /// assert_eq!(ours.write(b"hello").await?, 4);
    /// # std::io::Result::Ok(()) }).unwrap();
    /// ```
    pub async fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        poll_fn(|cx| Pin::new(&mut *self).poll_write(cx, bytes)).await
    }

    /// Writes all of it, as the other end makes room.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// # windlass_reactor::doc(async {
    /// let (mut ours, mut theirs) = windlass::io::duplex(2);
    /// let writing = windlass::spawn(async move { ours.write_all(b"hello").await });
    /// theirs.read_exact(&mut [0; 5]).await?;
    /// writing.await.unwrap()?;
    /// # std::io::Result::Ok(()) }).unwrap();
    /// ```
    pub async fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        stream::write_all(|cx, bytes| Pin::new(&mut *self).poll_write(cx, bytes), bytes).await
    }

    /// Ends our side: the other end reads what was written, and then the end; it may go on writing.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// # windlass_reactor::doc(async {
    /// let (mut ours, mut theirs) = windlass::io::duplex(1024);
    /// ours.shutdown();
    /// assert_eq!(theirs.read(&mut [0; 16]).await?, 0);
    /// theirs.write_all(b"I still speak").await?;
    /// assert_eq!(ours.read(&mut [0; 16]).await?, 13);
    /// # std::io::Result::Ok(()) }).unwrap();
    /// ```
    pub fn shutdown(&mut self) {
        self.write.borrow_mut().ended = true;
        wake(&self.write, |pipe| &mut pipe.reader);
    }
}

impl AsyncRead for DuplexStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let n = ready!(poll_pipe(&self.read, cx, |pipe| pipe.take(buffer), |pipe| &mut pipe.reader));
        wake(&self.read, |pipe| &mut pipe.writer);
        Poll::Ready(Ok(n))
    }
}

/// Closing ends our side.
impl AsyncWrite for DuplexStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = ready!(poll_pipe(&self.write, cx, |pipe| pipe.put(bytes), |pipe| &mut pipe.writer));
        wake(&self.write, |pipe| &mut pipe.reader);
        Poll::Ready(written)
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(())) // what is written can be read
    }

    fn poll_close(mut self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.shutdown();
        Poll::Ready(Ok(()))
    }
}

impl Drop for DuplexStream {
    fn drop(&mut self) {
        self.shutdown();
        {
            let mut pipe = self.read.borrow_mut();
            pipe.deaf = true;
            pipe.bytes = VecDeque::new(); // nobody will read them
        }
        wake(&self.read, |pipe| &mut pipe.writer);
    }
}

impl fmt::Debug for DuplexStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (readable, written) = (self.read.borrow().bytes.len(), self.write.borrow().bytes.len());
        f.debug_struct("DuplexStream").field("readable", &readable).field("written", &written).finish_non_exhaustive()
    }
}
