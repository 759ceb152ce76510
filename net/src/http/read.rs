//! One buffer to read into, for all connections of a thread.
//! Most of what arrives is small and dealt with at once. So bytes land in a large buffer that all share, and a
//! connection keeps of them only what it has not finished with: ten thousand idle connections hold a few hundred bytes
//! each, and none of these 64 KiB.
//! A large buffer also means that a read is nearly always a short one, after which nobody asks the kernel again.
//! Next: `connection` and `server`, which read through it.

use std::cell::RefCell;
use std::io::{self, Read};
use std::task::{Context, Poll};

use windlass_reactor::Direction;

use crate::net::TcpStream;

/// What a connection's receive window holds at first on Linux: half of the middle figure of `net.ipv4.tcp_rmem`, 128
/// KiB.
const BUFFER_BYTES: usize = 64 * 1024;

thread_local! {
    /// Borrowed for a read and a look at what came, which run no code but the system's and ours (I3).
    static BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; BUFFER_BYTES].into());
}

/// Reads what is there and appends it to `to`; 0 is the end of the stream.
#[inline]
pub(crate) fn poll_read(stream: &TcpStream, cx: &mut Context<'_>, to: &mut Vec<u8>) -> Poll<io::Result<usize>> {
    poll_read_with(stream, cx, |bytes| to.extend_from_slice(bytes))
}

/// Reads what is there and shows it to `take`; 0 is the end of the stream.
#[inline]
pub(crate) fn poll_read_with(
    stream: &TcpStream,
    cx: &mut Context<'_>,
    mut take: impl FnMut(&[u8]),
) -> Poll<io::Result<usize>> {
    stream.fd().poll_stream(Direction::Read, cx, BUFFER_BYTES, |socket| read_shared(socket, &mut take))
}

/// Reads once.
#[inline]
pub(crate) fn read_shared(mut socket: &std::net::TcpStream, take: &mut impl FnMut(&[u8])) -> io::Result<usize> {
    BUFFER.with_borrow_mut(|buffer| {
        let n = socket.read(buffer)?;
        take(&buffer[..n]);
        Ok(n)
    })
}
