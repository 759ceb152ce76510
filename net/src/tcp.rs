//! TCP: streams, listeners, and sockets before they are either.
//!
//! ```text
//!   TcpSocket ── connect ──► TcpStream ──┬─ split ──► ReadHalf, WriteHalf         (borrowed)
//!       │                                └─ into_split ──► OwnedReadHalf, OwnedWriteHalf
//!       └────── listen ───► TcpListener ── accept ──► TcpStream
//! ```
//!
//! A stream or a listener is a descriptor in an [`AsyncFd`](windlass_reactor::AsyncFd): it may be sent to another
//! thread, where operations are errors, and dropped anywhere.
//! Which of several addresses it is to be: `race`.
//! Next: `stream`, for reads and writes; `AsyncFd`, which does them.

mod listener;
pub(crate) mod race;
mod socket;
mod stream;

pub use listener::TcpListener;
pub use socket::TcpSocket;
pub use stream::TcpStream;
