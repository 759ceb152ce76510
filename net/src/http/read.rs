//! One buffer to read into, for all connections of a thread.
//! Most of what arrives is small and dealt with at once. So bytes land in a large buffer that all share, and a
//! connection keeps of them only what it has not finished with: ten thousand idle connections hold a few hundred bytes each, and none of these 64 KiB.
//! A large buffer also means that a read is nearly always a short one, after which nobody asks the kernel again.
//! Next: `client` and `server`, which read through it.

use std::cell::Cell;
use std::io;
use std::task::{Context, Poll};

use crate::net::TcpStream;

/// What a connection's receive window holds at first on Linux: half of the middle figure of `net.ipv4.tcp_rmem`, 128
/// KiB.
const BUFFER_BYTES: usize = 64 * 1024;

thread_local! {
    static BUFFER: Cell<Option<Box<[u8; BUFFER_BYTES]>>> = const { Cell::new(None) };
}

/// Reads what is there and appends it to `to`; 0 is the end of the stream.
#[inline]
pub(crate) fn poll_read(stream: &TcpStream, cx: &mut Context<'_>, to: &mut Vec<u8>) -> Poll<io::Result<usize>> {
    // Taken, not borrowed: whoever reads meanwhile finds none and makes another.
    let mut buffer = BUFFER.take().unwrap_or_else(new_buffer);
    let outcome = stream.fd().poll_read_stream(cx, &mut buffer[..]);
    if let Poll::Ready(Ok(n)) = outcome {
        to.extend_from_slice(&buffer[..n]);
    }
    BUFFER.set(Some(buffer));
    outcome
}

#[cold]
fn new_buffer() -> Box<[u8; BUFFER_BYTES]> {
    vec![0; BUFFER_BYTES].try_into().expect("it is as long as it was made")
}
