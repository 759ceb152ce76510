//! From one stream to another, until the end.
//! A buffer is filled from the one and emptied into the other. While the first has nothing to give, the second is flushed,
//! so that nobody waits for bytes that lie in a buffer of ours.
//!
//! ```text
//!   poll_read ──► buffer ──► poll_write ──► … ──► the end ──► poll_flush (copy), poll_close (copy_bidirectional)
//!       └─ nothing yet ──► poll_flush ──► Pending
//! ```
//!
//! Next: `duplex`, a stream to try it on.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_io::{AsyncRead, AsyncWrite};
use windlass_executor::budget;

/// Bytes on their way in one direction: as many as `std::io::copy` takes.
const BUFFER_LEN: usize = 8 * 1024;

/// Writes to `to` all that `from` gives until its end, and flushes it. Gives the number of bytes. It closes neither.
///
/// # Errors
/// The first of either stream; `WriteZero` if `to` takes no more. How far it got is not known then.
///
/// # Cancel
/// Dropping it loses what was read and not yet written: up to 8 KiB.
///
/// ```
/// # use windlass_net::windlass;
/// # windlass_net::doc(async |ours, mut theirs| {
/// use windlass::io::copy;
/// let echoing = windlass::spawn(async move {
///     let (mut read, mut write) = ours.into_split();
///     copy(&mut read, &mut write).await
/// });
/// theirs.write_all(b"hello").await?;
/// theirs.read_exact(&mut [0; 5]).await?;
/// drop(theirs);
/// assert_eq!(echoing.await.unwrap()?, 5);
/// # Ok(()) });
/// ```
pub async fn copy<R, W>(from: &mut R, to: &mut W) -> io::Result<u64>
where
    R: AsyncRead + Unpin + ?Sized,
    W: AsyncWrite + Unpin + ?Sized,
{
    let mut transfer = Transfer::new();
    poll_fn(|cx| {
        ready!(transfer.poll(cx, Pin::new(from), Pin::new(to)))?;
        Pin::new(&mut *to).poll_flush(cx)
    })
    .await?;
    Ok(transfer.copied)
}

/// Writes to each stream what the other gives. When one ends, the other is closed for writing and may go on speaking; it
/// is over when both have ended. Gives the numbers of bytes from `a` to `b` and from `b` to `a`.
///
/// # Errors
/// The first of either stream, which ends both directions; the streams are the caller's to drop. How far it got is not
/// known then.
///
/// # Cancel
/// Dropping it loses what was read and not yet written: up to 8 KiB each way.
///
/// ```
/// # use windlass_net::windlass;
/// # windlass_net::doc(async |mut ours, mut theirs| {
/// use windlass::io::{copy_bidirectional, duplex};
/// let (mut near, mut far) = duplex(64);
/// let proxy = windlass::spawn(async move { copy_bidirectional(&mut far, &mut ours).await });
/// near.write_all(b"question").await?;
/// near.shutdown(); // we have said all
/// theirs.read_exact(&mut [0; 8]).await?;
/// assert_eq!(theirs.read(&mut [0; 8]).await?, 0); // which they hear at the other end
/// theirs.write_all(b"answer").await?;
/// drop(theirs);
/// assert_eq!(proxy.await.unwrap()?, (8, 6));
/// near.read_exact(&mut [0; 6]).await?;
/// # Ok(()) });
/// ```
pub async fn copy_bidirectional<A, B>(a: &mut A, b: &mut B) -> io::Result<(u64, u64)>
where
    A: AsyncRead + AsyncWrite + Unpin + ?Sized,
    B: AsyncRead + AsyncWrite + Unpin + ?Sized,
{
    let (mut a_to_b, mut b_to_a) = (Transfer::new(), Transfer::new());
    let mut ways = [Way::Back, Way::There];
    poll_fn(|cx| {
        ways.reverse(); // the first may use up the task's budget, in every poll
        for way in ways {
            let _ended = match way {
                Way::There => a_to_b.poll_to_close(cx, Pin::new(a), Pin::new(b))?,
                Way::Back => b_to_a.poll_to_close(cx, Pin::new(b), Pin::new(a))?,
            };
        }
        if a_to_b.state == State::Closed && b_to_a.state == State::Closed {
            Poll::Ready(Ok((a_to_b.copied, b_to_a.copied)))
        } else {
            Poll::Pending
        }
    })
    .await
}

#[derive(Clone, Copy)]
enum Way {
    There,
    Back,
}

/// One direction.
struct Transfer {
    buffer: Box<[u8]>,
    /// What of the buffer is read and not written.
    start: usize,
    end: usize,
    /// Bytes read; when all is over, they are written, too.
    copied: u64,
    state: State,
}

#[derive(Clone, Copy, PartialEq, PartialOrd)]
enum State {
    /// All that was written is on its way.
    Flushed,
    /// Some of what was written may lie in the writer.
    Written,
    /// The reader has ended.
    Ended,
    /// And the writer is closed.
    Closed,
}

impl Transfer {
    fn new() -> Transfer {
        Transfer { buffer: vec![0; BUFFER_LEN].into(), start: 0, end: 0, copied: 0, state: State::Flushed }
    }

    /// Ready when the reader has ended and all it gave is written.
    fn poll<R, W>(&mut self, cx: &mut Context<'_>, mut from: Pin<&mut R>, mut to: Pin<&mut W>) -> Poll<io::Result<()>>
    where
        R: AsyncRead + ?Sized,
        W: AsyncWrite + ?Sized,
    {
        while self.state < State::Ended {
            // For streams that are always ready and know nothing of our budget.
            ready!(budget::poll_proceed(cx));
            while self.start < self.end {
                match ready!(to.as_mut().poll_write(cx, &self.buffer[self.start..self.end]))? {
                    0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                    n => self.start += n,
                }
                self.state = State::Written;
            }
            match from.as_mut().poll_read(cx, &mut self.buffer)? {
                Poll::Ready(0) => self.state = State::Ended,
                Poll::Ready(n) => {
                    (self.start, self.end) = (0, n);
                    self.copied += n as u64;
                }
                Poll::Pending => {
                    if self.state == State::Written {
                        ready!(to.poll_flush(cx))?;
                        self.state = State::Flushed;
                    }
                    return Poll::Pending;
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    /// As [`poll`](Self::poll), and when the writer is closed.
    fn poll_to_close<R, W>(
        &mut self,
        cx: &mut Context<'_>,
        from: Pin<&mut R>,
        mut to: Pin<&mut W>,
    ) -> Poll<io::Result<()>>
    where
        R: AsyncRead + ?Sized,
        W: AsyncWrite + ?Sized,
    {
        ready!(self.poll(cx, from, to.as_mut()))?;
        if self.state == State::Ended {
            ready!(to.poll_close(cx))?;
            self.state = State::Closed;
        }
        Poll::Ready(Ok(()))
    }
}
