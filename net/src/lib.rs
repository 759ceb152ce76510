//! # windlass-net: TCP, names and HTTP/1.1
//!
//! What the [Windlass](https://docs.rs/windlass) event loop does over the network, on top of its executor and reactor.
//!
//! ```text
//!   http    client: pool, exchange; server          heads and bodies are pure functions over bytes
//!   net     TcpStream, TcpListener, TcpSocket       try, wait, try again
//!   resolve names, on the blocking pool
//!   flow    retry, batch, rate limit                time and tasks, no sockets
//! ```

#![doc(test(attr(deny(warnings))))] // an example is code that others copy
#![forbid(unsafe_code)] // it all stands in executor/src/cell.rs

pub mod flow;
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

/// Runs an example on the two ends of a connection.
#[doc(hidden)]
#[track_caller]
pub fn doc(main: impl AsyncFnOnce(net::TcpStream, net::TcpStream) -> std::io::Result<()>) {
    let outcome = windlass_reactor::doc_real(async {
        let listener = net::TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0).into())?;
        let ours = net::TcpStream::connect(listener.local_addr()?).await?;
        let (theirs, _) = listener.accept().await?;
        main(ours, theirs).await
    });
    outcome.expect("an example succeeds");
}
