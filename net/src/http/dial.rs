//! From a URL to a connection.
//!
//! ```text
//!   name ──► addresses ──► one after the other ──► the first that answers
//! ```
//!
//! Not here: how long it may take (`timeouts`), what is said over it (`connection`).   Next: `transport`.

use std::io;
use std::net::SocketAddr;

use super::timeouts::{At, Phase};
use super::transport::Transport;
use super::{Error, ErrorKind, Url};
use crate::net::TcpStream;
use crate::resolve::{Address, resolve};
use crate::tcp::TcpSocket;

/// Connects to the host of `url`. Says in `at` what it is at.
pub(crate) async fn dial(url: &Url, at: &At) -> Result<Transport, Error> {
    let to: Address = match url.ip() {
        Some(ip) => (ip, url.port()).into(),
        None => (url.host(), url.port()).into(),
    };
    at.set(Phase::Resolve, 0);
    let addresses = resolve(to).await.map_err(|error| Error::io(ErrorKind::Resolve, "resolve", error))?;
    at.set(Phase::Connect, 0);
    let mut last = None;
    for address in addresses {
        match connect_to(address).await {
            Ok(stream) => return Ok(Transport::Plain(stream)),
            Err(error) => last = Some(Error::io(ErrorKind::Connect, format!("connect to {address}"), error)),
        }
    }
    Err(last.unwrap_or_else(|| Error::new(ErrorKind::Resolve, "resolve: the name has no address")))
}

async fn connect_to(address: SocketAddr) -> io::Result<TcpStream> {
    let socket = TcpSocket::new_for(address)?;
    socket.set_nodelay(true)?;
    socket.connect(address).await
}
