//! # windlass-net: TCP, names and HTTP/1.1
//!
//! What the [Windlass](https://docs.rs/windlass) event loop does over the network, on top of its executor and reactor.
//!
//! ```text
//!   http    client: pool, exchange; server          heads and bodies are pure functions over bytes
//!   net     TcpStream, TcpListener, TcpSocket       try, wait, try again
//!   resolve names, on the blocking pool
//! ```

pub mod http;
mod resolve;
mod tcp;

/// TCP sockets, and names.
pub mod net {
    pub use crate::resolve::{Address, lookup_host};
    pub use crate::tcp::{
        OwnedReadHalf, OwnedWriteHalf, ReadHalf, ReuniteError, TcpListener, TcpSocket, TcpStream, WriteHalf,
    };
}
