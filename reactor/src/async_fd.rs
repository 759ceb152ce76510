//! Try; if it would block, wait; try again.
//! Every operation on a source goes this way, and here it is written once.
//!
//! ```text
//!   poll_io ──► ready? ─ no ──► leave the waker, say why, Pending ◄─┐
//!                 │ yes                                             │ would block: not ready
//!                 └──► operation ───────────────────────────────────┘
//!                          └─► done, or failed
//! ```
//!
//! Who polls has one place to wait in for each direction, as `AsyncRead` and `AsyncWrite` have it; the futures of
//! [`AsyncFd::ready`] have a place each, so that any number of tasks may wait.
//!
//! An [`AsyncFd`] owns what it watches. It may be sent to another thread, where operations are errors; wherever it is
//! dropped, the source is deregistered before its descriptor is closed (I7).
//! Next: `sources`, where the waker waits.

use std::fmt;
use std::future::poll_fn;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_io::{AsyncRead, AsyncWrite};
use windlass_executor::waits::{self, WaitReason};
use windlass_executor::{LoopId, budget};

use crate::reactor::{Inner, add, hear, of_thread, with_current};
use crate::sources::{Direction, Side, SourceKey};

/// How many buffers one call takes: Linux's `UIO_MAXIOV`, and std hands on no more. What is behind them was not asked for, so
/// a call that leaves it where it is has not drained the source.
const BUFFERS_MAX: usize = 1024;

/// A file descriptor that tasks can wait on: a socket, a pipe, anything that epoll can watch.
///
/// It must be non-blocking already. Regular files cannot be watched.
///
/// # Errors
/// Every operation gives an error of kind `Other`, "a source was used outside its loop", elsewhere than in the loop
/// that made it.
///
/// # Cancel
/// Waiting may be given up at any time; dropping the whole deregisters the descriptor and then closes it.
///
/// ```
/// # use windlass_reactor::AsyncFd;
/// # use std::io::{Read, Write};
/// # windlass_reactor::doc(async {
/// let (ours, mut theirs) = std::os::unix::net::UnixStream::pair()?;
/// ours.set_nonblocking(true)?;
/// let ours = AsyncFd::new(ours)?;
/// theirs.write_all(b"hello")?;
/// let mut buffer = [0; 16];
/// let n = ours.read_with(|mut io| io.read(&mut buffer)).await?;
/// assert_eq!(&buffer[..n], b"hello");
/// # std::io::Result::Ok(()) }).unwrap();
/// ```
pub struct AsyncFd<T: AsFd + Send + 'static> {
    io: Option<T>,
    key: SourceKey,
    loop_id: LoopId,
}

impl<T: AsFd + Send + 'static> AsyncFd<T> {
    /// Has the current loop watch `io`, which must be non-blocking.
    ///
    /// # Errors
    /// If the kernel cannot watch it.
    ///
    /// # Panics
    /// Outside a running loop.
    ///
    /// ```
    /// # use windlass_reactor::windlass;
    /// # windlass_reactor::doc(async {
    /// let (ours, _theirs) = std::os::unix::net::UnixStream::pair()?;
    /// ours.set_nonblocking(true)?;
    /// let ours = windlass::io::AsyncFd::new(ours)?;
    /// # drop(ours);
    /// # std::io::Result::Ok(()) }).unwrap();
    /// ```
    #[track_caller]
    pub fn new(io: T) -> io::Result<Self> {
        let registered = with_current(|reactor| reactor.register(io.as_fd()).map(|key| (key, reactor.loop_id)));
        let (key, loop_id) =
            registered.expect("a socket or other source was made outside a running loop: make it inside block_on")?;
        Ok(AsyncFd { io: Some(io), key, loop_id })
    }

    /// What is watched.
    ///
    /// ```
    /// # windlass_reactor::doc_pair(async |ours, _theirs| {
    /// assert!(ours.get_ref().take_error()?.is_none());
    /// # Ok(()) });
    /// ```
    #[inline]
    pub fn get_ref(&self) -> &T {
        self.io.as_ref().expect("it is taken only by into_inner and drop")
    }

    /// Ends the watch and gives back what was watched, still non-blocking.
    ///
    /// # Errors
    /// On another thread than its loop's; what was watched is closed then.
    ///
    /// ```
    /// # windlass_reactor::doc_pair(async |ours, mut theirs| {
    /// use std::io::{Read, Write};
    /// let mut plain = ours.into_inner()?;
    /// plain.write_all(b"hello")?;
    /// theirs.read_exact(&mut [0; 5])?;
    /// # Ok(()) });
    /// ```
    pub fn into_inner(mut self) -> io::Result<T> {
        let reactor = of_thread(self.loop_id).ok_or_else(outside)?;
        let io = self.io.take().expect("it is taken only by into_inner and drop");
        reactor.deregister(self.key, io.as_fd());
        Ok(io)
    }

    #[inline]
    fn with_side<R>(&self, direction: Direction, f: impl FnOnce(&Inner, &mut Side) -> R) -> io::Result<R> {
        with_current(|reactor| {
            let mut sources = reactor.sources.borrow_mut();
            let side = sources.side(self.key, direction).filter(|_| reactor.loop_id == self.loop_id)?;
            Some(f(reactor, side))
        })
        .flatten()
        .ok_or_else(outside)
    }

    /// Calls `operation` when the source is ready in `direction`, and again when it would block. One task may wait in
    /// each direction: the last that polled.
    ///
    /// # Errors
    /// What `operation` failed with.
    ///
    /// ```
    /// # use windlass_reactor::windlass;
    /// # windlass_reactor::doc_pair(async |ours, mut theirs| {
    /// use std::io::{Read, Write};
    /// use windlass::io::Direction;
    /// theirs.write_all(b"hello")?;
    /// let mut buffer = [0; 16];
    /// let n = std::future::poll_fn(|cx| ours.poll_io(Direction::Read, cx, |mut io| io.read(&mut buffer))).await?;
    /// assert_eq!(&buffer[..n], b"hello");
    /// # Ok(()) });
    /// ```
    #[inline]
    pub fn poll_io<R>(
        &self,
        direction: Direction,
        cx: &mut Context<'_>,
        operation: impl FnMut(&T) -> io::Result<R>,
    ) -> Poll<io::Result<R>> {
        self.poll_operation(direction, cx, operation, |_| false)
    }

    /// As [`poll_io`](Self::poll_io), on a TCP socket or pipe: `operation` tells how many bytes of the `asked` it moved. If
    /// fewer, the kernel's buffer is drained, or full, and the next operation waits without asking the kernel. Not on what
    /// gives its bytes in portions: a terminal's lines, records of events, or bytes on a Unix socket that descriptors came with.
    ///
    /// # Errors
    /// What `operation` failed with.
    ///
    /// ```
    /// # use windlass_reactor::windlass;
    /// # windlass_reactor::doc_pair(async |ours, mut theirs| {
    /// use std::io::{Read, Write};
    /// use windlass::io::Direction;
    /// theirs.write_all(b"hello")?;
    /// let mut buffer = [0; 16];
    /// let n = std::future::poll_fn(|cx| ours.poll_stream(Direction::Read, cx, 16, |mut io| io.read(&mut buffer))).await?;
    /// assert_eq!(&buffer[..n], b"hello");
    /// assert!(!ours.is_ready(Direction::Read)?); // drained
    /// # Ok(()) });
    /// ```
    #[inline]
    pub fn poll_stream(
        &self,
        direction: Direction,
        cx: &mut Context<'_>,
        asked: usize,
        operation: impl FnMut(&T) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        self.poll_operation(direction, cx, operation, |&done| 0 < done && done < asked)
    }

    #[inline]
    fn poll_operation<R>(
        &self,
        direction: Direction,
        cx: &mut Context<'_>,
        mut operation: impl FnMut(&T) -> io::Result<R>,
        is_partial: impl Fn(&R) -> bool,
    ) -> Poll<io::Result<R>> {
        ready!(budget::poll_proceed(cx));
        loop {
            while self.begin(direction)? {
                // What the operation gives is foreign, and goes when no borrow is live (I3).
                match operation(self.get_ref()) {
                    Ok(value) if is_partial(&value) => {
                        return Poll::Ready(self.with_side(direction, |_, side| side.drained()).map(|()| value));
                    }
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.would_block(direction)?,
                    done => return Poll::Ready(done),
                }
            }
            ready!(self.poll_ready(direction, cx))?;
        }
    }

    /// Waits for the source to be ready in `direction`, without a try. One task may wait in each direction: the last that
    /// polled.
    ///
    /// # Errors
    /// Outside its loop.
    ///
    /// ```
    /// # use windlass_reactor::windlass;
    /// # windlass_reactor::doc_pair(async |ours, mut theirs| {
    /// use std::io::Write;
    /// use windlass::io::Direction;
    /// theirs.write_all(b"hello")?;
    /// std::future::poll_fn(|cx| ours.poll_ready(Direction::Read, cx)).await?;
    /// # Ok(()) });
    /// ```
    pub fn poll_ready(&self, direction: Direction, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let waker = cx.waker().clone();
        let (is_ready, leaving) = self.with_side(direction, |_, side| match side.ready {
            true => (true, Some(waker)),
            false => (false, side.wait_latest(waker)),
        })?;
        drop(leaving); // with no borrow live (I3)
        if is_ready {
            return Poll::Ready(Ok(()));
        }
        self.note(direction);
        Poll::Pending
    }

    /// Whether an operation is worth a try. It is then under way, and counted.
    #[inline]
    fn begin(&self, direction: Direction) -> io::Result<bool> {
        self.with_side(direction, |reactor, side| {
            add(&reactor.counts.syscalls, u64::from(side.ready));
            side.ready
        })
    }

    #[cold]
    fn would_block(&self, direction: Direction) -> io::Result<()> {
        self.with_side(direction, |reactor, side| {
            add(&reactor.counts.would_block, 1);
            side.clear();
        })
    }

    fn note(&self, direction: Direction) {
        let source = self.key.index();
        waits::note(match direction {
            Direction::Read => WaitReason::Readable { source },
            Direction::Write => WaitReason::Writable { source },
        });
    }

    /// Waits for the source to be ready in `direction`: an operation tried then may still find that it would block.
    /// Any number of tasks may wait.
    ///
    /// # Cancel
    /// Dropping it loses nothing.
    ///
    /// ```
    /// # use windlass_reactor::windlass;
    /// # windlass_reactor::doc_pair(async |ours, mut theirs| {
    /// use std::io::Write;
    /// theirs.write_all(b"hello")?;
    /// ours.ready(windlass::io::Direction::Read).await?;
    /// # Ok(()) });
    /// ```
    pub fn ready(&self, direction: Direction) -> Readiness<'_, T> {
        Readiness { fd: self, direction, waiter: None }
    }

    /// Waits until something can be read, the end of the stream included. Any number of tasks may wait.
    ///
    /// ```
    /// # windlass_reactor::doc_pair(async |ours, theirs| {
    /// drop(theirs); // the end can be read, too
    /// ours.readable().await?;
    /// # Ok(()) });
    /// ```
    pub async fn readable(&self) -> io::Result<()> {
        self.ready(Direction::Read).await
    }

    /// Waits until something can be written. Any number of tasks may wait.
    ///
    /// ```
    /// # windlass_reactor::doc_pair(async |ours, _theirs| {
    /// ours.writable().await?;
    /// # Ok(()) });
    /// ```
    pub async fn writable(&self) -> io::Result<()> {
        self.ready(Direction::Write).await
    }

    /// Whether the source is ready in `direction`, as far as the loop has heard. Asks nobody.
    ///
    /// # Errors
    /// Outside its loop.
    ///
    /// ```
    /// # use windlass_reactor::windlass;
    /// # windlass_reactor::doc_pair(async |ours, _theirs| {
    /// use windlass::io::Direction;
    /// assert!(!ours.is_ready(Direction::Read)?); // nothing has come
    /// assert!(ours.is_ready(Direction::Write)?);
    /// # Ok(()) });
    /// ```
    pub fn is_ready(&self, direction: Direction) -> io::Result<bool> {
        self.with_side(direction, |_, side| side.ready)
    }

    /// Whether the loop has heard of an exceptional condition in `direction`: an error, a hang-up, or urgent data, in front of
    /// which a read ends. A socket that becomes writable without one is connected.
    ///
    /// # Errors
    /// Outside its loop.
    ///
    /// ```
    /// # use windlass_reactor::windlass;
    /// # windlass_reactor::doc_pair(async |ours, theirs| {
    /// use windlass::io::Direction;
    /// assert!(!ours.is_exceptional(Direction::Read)?);
    /// drop(theirs);
    /// ours.readable().await?;
    /// assert!(ours.is_exceptional(Direction::Read)?);
    /// # Ok(()) });
    /// ```
    pub fn is_exceptional(&self, direction: Direction) -> io::Result<bool> {
        self.with_side(direction, |_, side| side.is_exceptional())
    }

    /// As [`is_ready`](Self::is_ready), by what the loop has heard in the last `age`. If it has heard nothing, a task has kept it
    /// from its turn, and the kernel is asked: one call for all sources. Whoever waits for them is woken.
    ///
    /// # Errors
    /// Outside its loop.
    ///
    /// ```
    /// # use windlass_reactor::windlass;
    /// # windlass_reactor::doc_pair(async |ours, mut theirs| {
    /// use std::io::Write;
    /// use std::time::Duration;
    /// use windlass::io::Direction;
    /// windlass::time::resume(); // a paused clock does not grow old
    /// theirs.write_all(b"hello")?;
    /// assert!(ours.is_ready_of_late(Direction::Read, Duration::ZERO)?);
    /// # Ok(()) });
    /// ```
    #[inline]
    pub fn is_ready_of_late(&self, direction: Direction, age: Duration) -> io::Result<bool> {
        let known = |reactor: &Inner, side: &mut Side| (!reactor.has_not_heard_for(age)).then_some(side.ready);
        match self.with_side(direction, known)? {
            Some(is_ready) => Ok(is_ready),
            None => {
                hear();
                self.is_ready(direction)
            }
        }
    }

    /// Forgets that the source was ready in `direction`: what comes next waits for an event. For descriptors that begin
    /// with something under way, such as a connect.
    ///
    /// # Errors
    /// Outside its loop.
    ///
    /// ```
    /// # use windlass_reactor::windlass;
    /// # windlass_reactor::doc_pair(async |ours, _theirs| {
    /// use windlass::io::Direction;
    /// ours.clear_ready(Direction::Write)?;
    /// ours.writable().await?; // until the kernel says so
    /// # Ok(()) });
    /// ```
    pub fn clear_ready(&self, direction: Direction) -> io::Result<()> {
        self.with_side(direction, |_, side| side.clear())
    }

    /// Tries `operation` once.
    ///
    /// # Errors
    /// `WouldBlock` if the source is not ready; the next [`ready`](Self::ready) then waits.
    ///
    /// ```
    /// # use windlass_reactor::windlass;
    /// # windlass_reactor::doc_pair(async |ours, _theirs| {
    /// use std::io::Read;
    /// use windlass::io::Direction;
    /// let nothing = ours.try_io(Direction::Read, |mut io| io.read(&mut [0; 16]));
    /// assert_eq!(nothing.unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    /// # Ok(()) });
    /// ```
    pub fn try_io<R>(&self, direction: Direction, operation: impl FnOnce(&T) -> io::Result<R>) -> io::Result<R> {
        if !self.begin(direction)? {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let result = operation(self.get_ref());
        if matches!(&result, Err(error) if error.kind() == io::ErrorKind::WouldBlock) {
            self.would_block(direction)?;
        }
        result
    }

    /// Does `operation` as soon as the source can be read, as often as it would block. Any number of tasks may wait.
    ///
    /// # Cancel
    /// Dropping it loses nothing that `operation` did not take.
    ///
    /// ```
    /// # windlass_reactor::doc_pair(async |ours, mut theirs| {
    /// use std::io::{Read, Write};
    /// theirs.write_all(b"hello")?;
    /// let mut buffer = [0; 5];
    /// ours.read_with(|mut io| io.read_exact(&mut buffer)).await?;
    /// assert_eq!(&buffer, b"hello");
    /// # Ok(()) });
    /// ```
    pub async fn read_with<R>(&self, operation: impl FnMut(&T) -> io::Result<R>) -> io::Result<R> {
        self.io_with(Direction::Read, operation).await
    }

    /// Does `operation` as soon as the source can be written, as often as it would block. Any number of tasks may wait.
    ///
    /// # Cancel
    /// Dropping it loses nothing that `operation` did not do.
    ///
    /// ```
    /// # windlass_reactor::doc_pair(async |ours, mut theirs| {
    /// use std::io::{Read, Write};
    /// assert_eq!(ours.write_with(|mut io| io.write(b"hello")).await?, 5);
    /// # let mut buffer = [0; 5];
    /// # theirs.read_exact(&mut buffer)?;
    /// # Ok(()) });
    /// ```
    pub async fn write_with<R>(&self, operation: impl FnMut(&T) -> io::Result<R>) -> io::Result<R> {
        self.io_with(Direction::Write, operation).await
    }

    async fn io_with<R>(&self, direction: Direction, mut operation: impl FnMut(&T) -> io::Result<R>) -> io::Result<R> {
        loop {
            self.ready(direction).await?;
            match self.try_io(direction, &mut operation) {
                // Interrupted by a signal, it is tried again: the source is ready still.
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
                result => return result,
            }
        }
    }
}

impl<T: AsFd + Send + 'static> AsyncFd<T>
where
    for<'a> &'a T: Read + Write,
{
    /// Reads from a stream as [`poll_stream`](Self::poll_stream) has it; a read that fills less than the buffer has drained
    /// it, and the next one waits without asking the kernel. One task may wait: the last that polled.
    ///
    /// ```
    /// # windlass_reactor::doc_pair(async |ours, mut theirs| {
    /// use std::{future::poll_fn, io::Write};
    /// theirs.write_all(b"hello")?;
    /// let mut buffer = [0; 16];
    /// assert_eq!(poll_fn(|cx| ours.poll_read_stream(cx, &mut buffer)).await?, 5);
    /// # Ok(()) });
    /// ```
    #[inline]
    pub fn poll_read_stream(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        self.poll_stream(Direction::Read, cx, buffer.len(), |mut io| io.read(buffer))
    }

    /// As [`poll_read_stream`](Self::poll_read_stream), into several buffers.
    ///
    /// ```
    /// # windlass_reactor::doc_pair(async |ours, mut theirs| {
    /// use std::{future::poll_fn, io::IoSliceMut, io::Write};
    /// theirs.write_all(b"hello")?;
    /// let (mut head, mut tail) = ([0; 2], [0; 16]);
    /// let mut buffers = [IoSliceMut::new(&mut head), IoSliceMut::new(&mut tail)];
    /// assert_eq!(poll_fn(|cx| ours.poll_read_stream_vectored(cx, &mut buffers)).await?, 5);
    /// assert_eq!((&head, &tail[..3]), (b"he", &b"llo"[..]));
    /// # Ok(()) });
    /// ```
    pub fn poll_read_stream_vectored(
        &self,
        cx: &mut Context<'_>,
        buffers: &mut [io::IoSliceMut<'_>],
    ) -> Poll<io::Result<usize>> {
        let len = buffers.len().min(BUFFERS_MAX);
        let buffers = &mut buffers[..len];
        let asked: usize = buffers.iter().map(|buffer| buffer.len()).sum();
        self.poll_stream(Direction::Read, cx, asked, |mut io| io.read_vectored(buffers))
    }

    /// Writes to a stream as [`poll_stream`](Self::poll_stream) has it; a write that takes less than it was given has filled
    /// it, and the next one waits without asking the kernel. One task may wait: the last that polled.
    ///
    /// ```
    /// # windlass_reactor::doc_pair(async |ours, _theirs| {
    /// use std::future::poll_fn;
    /// assert_eq!(poll_fn(|cx| ours.poll_write_stream(cx, b"hello")).await?, 5);
    /// # Ok(()) });
    /// ```
    #[inline]
    pub fn poll_write_stream(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_stream(Direction::Write, cx, bytes.len(), |mut io| io.write(bytes))
    }

    /// As [`poll_write_stream`](Self::poll_write_stream), from several buffers.
    ///
    /// ```
    /// # windlass_reactor::doc_pair(async |ours, _theirs| {
    /// use std::{future::poll_fn, io::IoSlice};
    /// let buffers = [IoSlice::new(b"he"), IoSlice::new(b"llo")];
    /// assert_eq!(poll_fn(|cx| ours.poll_write_stream_vectored(cx, &buffers)).await?, 5);
    /// # Ok(()) });
    /// ```
    pub fn poll_write_stream_vectored(
        &self,
        cx: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let buffers = &buffers[..buffers.len().min(BUFFERS_MAX)];
        let asked: usize = buffers.iter().map(|buffer| buffer.len()).sum();
        self.poll_stream(Direction::Write, cx, asked, |mut io| io.write_vectored(buffers))
    }

    /// As [`poll_read_stream`](Self::poll_read_stream), as soon as there is something; 0 is the end. One task may wait: the
    /// last that polled.
    ///
    /// # Cancel
    /// Dropping it loses nothing.
    ///
    /// ```
    /// # windlass_reactor::doc_pair(async |ours, mut theirs| {
    /// use std::io::Write;
    /// theirs.write_all(b"hello")?;
    /// let mut buffer = [0; 16];
    /// let n = ours.read_stream(&mut buffer).await?;
    /// assert_eq!(&buffer[..n], b"hello");
    /// # Ok(()) });
    /// ```
    pub async fn read_stream(&self, buffer: &mut [u8]) -> io::Result<usize> {
        poll_fn(|cx| self.poll_read_stream(cx, buffer)).await
    }
}

/// The bytes as they come, from descriptors of any kind: a short read does not mean drained, and only `EAGAIN` makes one wait.
impl<T: AsFd + Send + Unpin + 'static> AsyncRead for AsyncFd<T>
where
    for<'a> &'a T: Read + Write,
{
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        self.poll_io(Direction::Read, cx, |mut io| io.read(buffer))
    }
}

/// Closing flushes; the descriptor closes when this is dropped.
impl<T: AsFd + Send + Unpin + 'static> AsyncWrite for AsyncFd<T>
where
    for<'a> &'a T: Read + Write,
{
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_io(Direction::Write, cx, |mut io| io.write(bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_io(Direction::Write, cx, |mut io| io.flush())
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush(cx)
    }
}

fn outside() -> io::Error {
    io::Error::other("a source was used outside its loop")
}

/// Ends the watch if this is the loop's thread, and then closes the descriptor (I7). A loop that is gone watches nothing.
fn close<T: AsFd>(loop_id: LoopId, key: SourceKey, io: T) {
    if let Some(reactor) = of_thread(loop_id) {
        reactor.deregister(key, io.as_fd());
        add(&reactor.counts.syscalls, 1);
    }
    drop(io);
}

impl<T: AsFd + Send + 'static> Drop for AsyncFd<T> {
    fn drop(&mut self) {
        let Some(io) = self.io.take() else { return };
        let (loop_id, key) = (self.loop_id, self.key);
        if of_thread(loop_id).is_some() {
            return close(loop_id, key, io);
        }
        // On another thread: the loop's own does it. If the loop is gone, so is the watch, and the call that comes back
        // is dropped with the descriptor in it.
        let _ = windlass_executor::post(loop_id, Box::new(move || close(loop_id, key, io)));
    }
}

impl<T: AsFd + Send + 'static> AsFd for AsyncFd<T> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.get_ref().as_fd()
    }
}

impl<T: AsFd + Send + 'static> AsRawFd for AsyncFd<T> {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}

impl<T: AsFd + Send + fmt::Debug + 'static> fmt::Debug for AsyncFd<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsyncFd").field("io", self.get_ref()).field("source", &self.key.index()).finish()
    }
}

/// The future of [`AsyncFd::ready`]. Dropping it gives up the wait.
///
/// ```
/// # use windlass_reactor::windlass;
/// # windlass_reactor::doc_pair(async |ours, mut theirs| {
/// use std::io::Write;
/// use windlass::io::Direction;
/// let (one, other) = (ours.ready(Direction::Read), ours.ready(Direction::Read)); // any number
/// theirs.write_all(b"hello")?;
/// one.await?;
/// other.await?;
/// # Ok(()) });
/// ```
#[must_use = "futures do nothing unless awaited"]
pub struct Readiness<'a, T: AsFd + Send + 'static> {
    fd: &'a AsyncFd<T>,
    direction: Direction,
    waiter: Option<u32>,
}

impl<T: AsFd + Send + 'static> Future for Readiness<'_, T> {
    type Output = io::Result<()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(budget::poll_proceed(cx));
        if self.fd.with_side(self.direction, |_, side| side.ready)? {
            return Poll::Ready(Ok(()));
        }
        let waker = cx.waker().clone();
        let waiter = match self.waiter {
            Some(waiter) => waiter,
            None => {
                let number = with_current(|reactor| reactor.sources.borrow_mut().waiter(self.fd.key));
                *self.waiter.insert(number.flatten().ok_or_else(outside)?)
            }
        };
        let before = self.fd.with_side(self.direction, |_, side| side.wait(waiter, waker))?;
        drop(before);
        self.fd.note(self.direction);
        Poll::Pending
    }
}

impl<T: AsFd + Send + 'static> Drop for Readiness<'_, T> {
    fn drop(&mut self) {
        let Some(waiter) = self.waiter else { return };
        // Outside its loop the waker stays until the next event, which then wakes for nothing: legal.
        let waiting = self.fd.with_side(self.direction, |_, side| side.forget(waiter));
        drop(waiting);
    }
}

impl<T: AsFd + Send + 'static> fmt::Debug for Readiness<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Readiness").field("direction", &self.direction).finish_non_exhaustive()
    }
}

#[cfg(test)]
impl<T: AsFd + Send + 'static> AsyncFd<T> {
    /// What the kernel knows it by.
    pub(crate) fn token(&self) -> mio::Token {
        self.key.to_token()
    }
}
