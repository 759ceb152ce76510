//! From a name to addresses.
//! The system's resolver (`getaddrinfo`) only comes as a call that blocks, so it runs on the blocking pool, of at most
//! four threads. One that hangs holds its thread, not the loop, and not the end of the process.
//!
//! ```text
//!   "127.0.0.1:80" ──────────────────────────────────► the address: no look-up, no thread
//!   "localhost:80" ──► blocking pool: getaddrinfo ───► addresses, in the resolver's order
//! ```
//!
//! Not here: which of several addresses answers (`TcpStream::connect`), what is kept of them (`dns`).   Next: `blocking` in
//! windlass-executor.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};

use windlass_executor::spawn_blocking;

/// Where to: an address, or a name and a port.
///
/// ```
/// # use windlass_net::windlass;
/// use windlass::net::Address;
/// let known: Address = "127.0.0.1:80".parse::<std::net::SocketAddr>().unwrap().into();
/// let named: Address = ("localhost", 80).into();
/// let also_named: Address = "localhost:80".into();
/// println!("{known}, {named}, {also_named}");
/// ```
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Address(Kind);

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
enum Kind {
    Known(SocketAddr),
    Named(Box<str>, u16),
    Written(Box<str>),
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        Address(Kind::Known(address))
    }
}

impl From<(IpAddr, u16)> for Address {
    fn from(address: (IpAddr, u16)) -> Self {
        Address(Kind::Known(address.into()))
    }
}

impl From<(&str, u16)> for Address {
    fn from((name, port): (&str, u16)) -> Self {
        match name.parse::<IpAddr>() {
            Ok(address) => (address, port).into(),
            Err(_a_name) => Address(Kind::Named(name.into(), port)),
        }
    }
}

impl From<&str> for Address {
    /// `host:port`; what is wrong with it shows when it is resolved.
    fn from(written: &str) -> Self {
        match written.parse::<SocketAddr>() {
            Ok(address) => address.into(),
            Err(_a_name) => Address(Kind::Written(written.into())),
        }
    }
}

impl From<String> for Address {
    fn from(written: String) -> Self {
        written.as_str().into()
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Known(address) => address.fmt(f),
            Kind::Named(name, port) => write!(f, "{name}:{port}"),
            Kind::Written(written) => f.write_str(written),
        }
    }
}

/// The addresses of `what`, in the resolver's order.
///
/// # Errors
/// If there is none, or it is not `host:port`.
///
/// # Cancel
/// Dropping it gives up the look-up; one that the system has begun runs to its end on its thread.
///
/// ```
/// # use windlass_net::windlass;
/// # windlass_reactor::doc_real(async {
/// let addresses = windlass::net::lookup_host(("127.0.0.1", 80)).await.unwrap();
/// assert_eq!(addresses, ["127.0.0.1:80".parse().unwrap()]);
/// # });
/// ```
pub async fn lookup_host(what: impl Into<Address>) -> io::Result<Vec<SocketAddr>> {
    Ok(resolve(what).await?.collect())
}

/// As [`lookup_host`], without a vector for the one address that most have.
pub(crate) async fn resolve(what: impl Into<Address>) -> io::Result<impl Iterator<Item = SocketAddr>> {
    let (known, found) = match what.into().0 {
        Kind::Known(address) => (Some(address), Vec::new()),
        Kind::Named(name, port) => (None, look_up(name, port).await?),
        Kind::Written(written) => (None, on_pool(move || written.to_socket_addrs()).await?),
    };
    Ok(known.into_iter().chain(found))
}

/// What `getaddrinfo` says of a name.
pub(crate) async fn look_up(name: impl Into<Box<str>>, port: u16) -> io::Result<Vec<SocketAddr>> {
    let name = name.into();
    on_pool(move || (&*name, port).to_socket_addrs()).await
}

async fn on_pool<I>(ask: impl FnOnce() -> io::Result<I> + Send + 'static) -> io::Result<Vec<SocketAddr>>
where
    I: Iterator<Item = SocketAddr>,
{
    spawn_blocking(move || Ok(ask()?.collect())).await.map_err(io::Error::other)?
}
