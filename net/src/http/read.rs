//! One buffer to read into, for all connections of a thread.
//! Most of what arrives is small and dealt with at once. So bytes land in a large buffer that all share, and a
//! connection keeps of them only what it has not finished with: ten thousand idle connections hold a few hundred bytes each, and none of these 64 KiB.
//! A large buffer also means that a read is nearly always a short one, after which nobody asks the kernel again.
//! Next: `client` and `server`, which read through it.

use std::cell::Cell;
use std::io;
use std::task::{Context, Poll, ready};

use crate::net::TcpStream;

/// What a connection's receive window holds at first on Linux: half of the middle figure of `net.ipv4.tcp_rmem`, 128
/// KiB.
const BUFFER_BYTES: usize = 64 * 1024;

thread_local! {
    static BUFFER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Reads what is there and appends it to `to`; 0 is the end of the stream.
#[inline]
pub(crate) fn poll_read(stream: &TcpStream, cx: &mut Context<'_>, to: &mut Vec<u8>) -> Poll<io::Result<usize>> {
    // Taken, not borrowed: whoever reads meanwhile finds none and makes another.
    let mut buffer = BUFFER.take();
    if buffer.is_empty() {
        buffer.resize(BUFFER_BYTES, 0);
    }
    let outcome = stream.fd().poll_read_stream(cx, &mut buffer);
    if let Poll::Ready(Ok(n)) = outcome {
        to.extend_from_slice(&buffer[..n]);
    }
    BUFFER.set(buffer);
    Poll::Ready(Ok(ready!(outcome)?))
}
