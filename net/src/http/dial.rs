//! From a URL to a connection.
//!
//! ```text
//!   name ──► addresses ──► one after the other ──► the first that answers ──► [CONNECT] ──► [TLS] ──► Transport
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

/// How a client finds the way to a host, and what lies on it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Dialing {
    /// Made when it is first needed: most of it is a list of authorities.
    #[cfg(feature = "tls")]
    pub(crate) tls: std::cell::OnceCell<super::Tls>,
    #[cfg(feature = "proxy")]
    pub(crate) proxy: Option<super::Proxy>,
}

/// Connects to the host of `url`, through a proxy if there is one for it, and shakes hands. Says in `at` what it is at.
pub(crate) async fn dial(url: &Url, dialing: &Dialing, at: &At) -> Result<Transport, Error> {
    #[cfg(feature = "proxy")]
    let stream = super::proxy::reach(url, dialing, at).await?;
    #[cfg(not(feature = "proxy"))]
    let stream = reach(url.host(), url.port(), dialing, at).await?;
    #[cfg(feature = "tls")]
    if url.scheme() == "https" {
        at.set(Phase::Tls, 0);
        let tls = dialing.tls.get_or_init(super::Tls::new);
        return Ok(Transport::Tls(Box::new(super::tls::TlsStream::connect(stream, url, tls).await?)));
    }
    Ok(Transport::Plain(stream))
}

/// Connects to `host`, a name or an address without brackets.
pub(crate) async fn reach(host: &str, port: u16, _dialing: &Dialing, at: &At) -> Result<TcpStream, Error> {
    let to: Address = (host, port).into();
    at.set(Phase::Resolve, 0);
    let addresses = resolve(to).await.map_err(|error| Error::io(ErrorKind::Resolve, "resolve", error))?;
    at.set(Phase::Connect, 0);
    let mut last = None;
    for address in addresses {
        match connect_to(address).await {
            Ok(stream) => return Ok(stream),
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
