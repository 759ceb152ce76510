//! # windlass-net: sockets, names, streams and HTTP/1.1
//!
//! What the [Windlass](https://docs.rs/windlass) event loop does over the network, on top of its executor and reactor.
//!
//! ```text
//!   http    client: pool, exchange; server          heads and bodies are pure functions over bytes
//!   io      copy, duplex, BufReader                 streams of any kind
//!   net     TCP, UDP and Unix sockets               try, wait, try again
//!   signal  Ctrl-C and the like (a feature)         a byte from the handler, a source of the loop
//!   resolve names, on the blocking pool
//!   dns     names that are kept, overridden, judged  for the HTTP client
//!   flow    retry, batch, rate limit                time and tasks, no sockets
//! ```

#![doc(test(attr(deny(warnings))))] // an example is code that others copy
#![forbid(unsafe_code)] // it all stands in executor/src/cell.rs

mod accept;
mod datagram;
pub mod dns;
pub mod flow;
pub mod http;
pub mod io;
mod resolve;
#[cfg(feature = "signal")]
pub mod signal;
mod split;
mod stream;
mod tcp;
mod udp;
mod unix;
mod watched;

/// Sockets: TCP, UDP and Unix; and names, with [`dns`] for what is known of them.
pub mod net {
    pub use crate::dns;
    pub use crate::resolve::{Address, lookup_host};
    pub use crate::split::{OwnedReadHalf, OwnedWriteHalf, ReadHalf, ReuniteError, WriteHalf};
    pub use crate::tcp::{TcpListener, TcpSocket, TcpStream};
    pub use crate::udp::UdpSocket;
    pub use crate::unix::{UnixDatagram, UnixListener, UnixStream};
}

/// What the examples call `windlass`: the names that a program has for what is here and below.
#[doc(hidden)]
pub mod windlass {
    #[cfg(feature = "signal")]
    pub use crate::signal;
    pub use crate::{flow, http, io, net};
    pub use windlass_executor::windlass::*;
    pub use windlass_reactor::time;
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

/// Runs an example against a server that answers a request with what it heard, its body decoded; or in chunks, if the query
/// is `chunks=1`; or with `[1,2]`, if it begins with `body=`.
#[doc(hidden)]
#[track_caller]
pub fn doc_http(main: impl AsyncFnOnce(&http::Client, &http::Url) -> Result<(), http::Error>) {
    windlass_reactor::doc_real(async {
        let listener = net::TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0).into()).expect("a port");
        let url = format!("http://{}/", listener.local_addr().expect("bound"));
        drop(windlass_executor::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                drop(windlass_executor::spawn(http::echo(stream)));
            }
        }));
        main(&http::Client::new(), &http::Url::parse(&url).expect("an address")).await.expect("an example succeeds");
    });
}

/// As [`doc`], on two Unix streams.
#[doc(hidden)]
#[track_caller]
pub fn doc_unix(main: impl AsyncFnOnce(net::UnixStream, net::UnixStream) -> std::io::Result<()>) {
    let outcome = windlass_reactor::doc_real(async {
        let (ours, theirs) = net::UnixStream::pair()?;
        main(ours, theirs).await
    });
    outcome.expect("an example succeeds");
}

/// As [`doc`], on two Unix datagram sockets.
#[doc(hidden)]
#[track_caller]
pub fn doc_unix_datagrams(main: impl AsyncFnOnce(net::UnixDatagram, net::UnixDatagram) -> std::io::Result<()>) {
    let outcome = windlass_reactor::doc_real(async {
        let (ours, theirs) = net::UnixDatagram::pair()?;
        main(ours, theirs).await
    });
    outcome.expect("an example succeeds");
}

/// As [`doc`], on two UDP sockets that are connected with each other.
#[doc(hidden)]
#[track_caller]
pub fn doc_udp(main: impl AsyncFnOnce(net::UdpSocket, net::UdpSocket) -> std::io::Result<()>) {
    let outcome = windlass_reactor::doc_real(async {
        let any = (std::net::Ipv4Addr::LOCALHOST, 0).into();
        let (ours, theirs) = (net::UdpSocket::bind(any)?, net::UdpSocket::bind(any)?);
        ours.connect(theirs.local_addr()?).await?;
        theirs.connect(ours.local_addr()?).await?;
        main(ours, theirs).await
    });
    outcome.expect("an example succeeds");
}

/// Runs an example in a directory of its own.
#[doc(hidden)]
#[track_caller]
pub fn doc_dir(main: impl AsyncFnOnce(&std::path::Path) -> std::io::Result<()>) {
    let dir = DocDir::new();
    windlass_reactor::doc_real(async { main(dir.path()).await }).expect("an example succeeds");
}

/// A directory for an example or a test, removed with what is in it when this is dropped.
#[doc(hidden)]
#[derive(Debug)]
pub struct DocDir(std::path::PathBuf);

#[doc(hidden)]
impl DocDir {
    #[expect(clippy::new_without_default, reason = "it makes something")]
    pub fn new() -> DocDir {
        static MADE: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let number = MADE.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("windlass-{}-{number}", std::process::id()));
        std::fs::create_dir(&dir).expect("a directory for temporary files");
        DocDir(dir)
    }

    pub fn path(&self) -> &std::path::Path {
        &self.0
    }
}

impl Drop for DocDir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0); // it lies where the system clears up, too
    }
}
