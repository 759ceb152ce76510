//! What a connection's bytes go over.
//!
//! ```text
//!   connection ──► Transport ──┬── Plain: a TCP stream
//!                              └── Tls: the same, sealed (feature `tls`)
//! ```
//!
//! An exchange asks four things of it, and is told in bytes and nothing else: write, read, wait until there is something
//! to read, and whether all has been quiet since the last exchange. A new kind of transport is one more arm here.
//! Not here: how it came about (`dial`).   Next: `connection`, which talks over it.

use std::io;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use windlass_reactor::{Direction, count_syscalls};

#[cfg(feature = "tls")]
use crate::http::extras::tls::TlsStream;
use crate::http::read::poll_read_with;
use crate::net::TcpStream;

/// What the loop has heard of a connection is taken for true so long: four times what it polls tasks in a row for, as a
/// rule. A task that computed for longer kept it from hearing more.
const HEARSAY_MAX: Duration = Duration::from_millis(1);

pub(crate) enum Transport {
    Plain(TcpStream),
    #[cfg(feature = "tls")]
    Tls(Box<TlsStream>),
}

impl Transport {
    /// The stream at the bottom of it.
    pub(crate) fn socket(&self) -> &TcpStream {
        match self {
            Transport::Plain(stream) => stream,
            #[cfg(feature = "tls")]
            Transport::Tls(stream) => &stream.socket,
        }
    }

    /// Nothing has come, and the peer has not gone, as far as the loop has heard a short while ago: it can carry an exchange. No
    /// borrow may be live: others may be woken (I3).
    #[inline]
    pub(crate) fn is_quiet(&self) -> bool {
        let is_ready = self.socket().fd().is_ready_of_late(Direction::Read, HEARSAY_MAX);
        match (self, is_ready) {
            (_, Err(_elsewhere)) => false,
            (Transport::Plain(_), Ok(false)) => true, // what was read was judged with the body
            (Transport::Plain(stream), Ok(true)) => is_drained(stream),
            #[cfg(feature = "tls")]
            (Transport::Tls(stream), Ok(false)) => stream.was_quiet(),
            #[cfg(feature = "tls")]
            (Transport::Tls(stream), Ok(true)) => stream.ask_is_quiet(),
        }
    }

    /// As [`is_quiet`](Self::is_quiet), and has `sweeper` woken when that ends.
    #[inline]
    pub(crate) fn stays_quiet(&mut self, sweeper: &Waker) -> bool {
        let readable = self.poll_readable(&mut Context::from_waker(sweeper));
        readable.is_pending() || self.is_quiet()
    }

    /// Has the loop hear what has become of it by now, between its turns. No borrow may be live: others may be woken (I3).
    pub(crate) fn hear(&self) {
        let _ = self.socket().fd().is_ready_of_late(Direction::Read, Duration::ZERO); // whether it may be read shows when it is
    }

    /// Writes some of `bytes`.
    #[inline]
    pub(crate) fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self {
            Transport::Plain(stream) => stream.fd().poll_write_stream(cx, bytes),
            #[cfg(feature = "tls")]
            Transport::Tls(stream) => stream.poll_write(cx, bytes),
        }
    }

    /// Whether some has gone out of what [`poll_write`](Self::poll_write) is still at.
    #[cold]
    pub(crate) fn has_begun(&self) -> bool {
        match self {
            Transport::Plain(_) => false, // it says how much at once
            #[cfg(feature = "tls")]
            Transport::Tls(stream) => stream.has_begun(),
        }
    }

    /// Reads what is there and shows it to `take`, which tells how much of it is done with; the rest is appended to `to`. What
    /// cannot be shown is appended as a whole; 0 is the end of the stream.
    #[inline]
    pub(crate) fn poll_read_with(
        &mut self,
        cx: &mut Context<'_>,
        to: &mut Vec<u8>,
        mut take: impl FnMut(&[u8]) -> usize,
    ) -> Poll<io::Result<usize>> {
        match self {
            Transport::Plain(stream) => poll_read_with(stream, cx, |bytes| to.extend_from_slice(&bytes[take(bytes)..])),
            #[cfg(feature = "tls")]
            Transport::Tls(stream) => stream.poll_read(cx, to),
        }
    }

    /// Waits until there is something to read, without trying: for when it is too early for it to be there.
    #[inline]
    pub(crate) fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Transport::Plain(stream) => stream.fd().poll_ready(Direction::Read, cx),
            #[cfg(feature = "tls")]
            Transport::Tls(stream) => stream.poll_readable(cx),
        }
    }
}

/// Whether there is nothing to be read after all: the last read may have filled its buffer exactly.
#[cold]
fn is_drained(stream: &TcpStream) -> bool {
    count_syscalls(1);
    let peeked = stream.fd().get_ref().peek(&mut [0]);
    peeked.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
}
