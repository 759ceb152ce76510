//! Unix sockets: streams, listeners and datagrams between processes of one machine.
//! Their addresses are paths. A path that begins with a zero byte is no file but a name in Linux' abstract namespace,
//! which is gone with its last socket.
//!
//! ```text
//!   UnixStream::connect(path) ──► UnixStream ◄── accept ── UnixListener::bind(path)
//!   UnixStream::pair() ─────────► two of them, without a path
//!   UnixDatagram: bind(path), unbound(), pair()
//! ```
//!
//! **Files stay.** `bind` makes a file; nobody here removes it, neither before it binds (another server may be listening
//! there: `bind` says that the address is in use) nor when the socket is dropped (the file may be another's by then).
//! Who bound it unlinks it when it sees fit.
//!
//! What std does not offer on stable Rust, and socket2 neither, is not here: peeking, passing descriptors, and who the
//! peer is (`SO_PEERCRED`: ask through `as_fd()` with a crate that makes that call).
//! Next: `stream` for reads and writes, which TCP shares; `datagram`, which UDP shares.

mod datagram;
mod listener;
mod stream;

pub use datagram::UnixDatagram;
pub use listener::UnixListener;
pub use stream::UnixStream;

use std::io;
use std::path::Path;
use std::time::Duration;

use socket2::{Domain, SockAddr, Socket, Type};
use windlass_reactor::count_syscalls;

/// How long to wait for room at the other end, where the kernel does not tell of it: short for a peer, long for a CPU.
const NO_ROOM_PAUSE: Duration = Duration::from_millis(10);

/// A socket of `kind` that does not block, given the address `path` if there is one.
fn open(kind: Type, path: Option<&Path>) -> io::Result<Socket> {
    count_syscalls(1);
    let socket = Socket::new(Domain::UNIX, kind.nonblocking(), None)?;
    if let Some(path) = path {
        count_syscalls(1);
        socket.bind(&SockAddr::unix(path)?)?;
    }
    Ok(socket)
}
