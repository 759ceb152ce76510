//! Names and their addresses: who is asked, what is kept, what is refused.
//! A look-up takes a thread of the blocking pool, may take seconds, and is asked for again by the next connection. So
//! there are layers between whoever connects and the system's resolver, each of which may be left out or replaced:
//!
//! ```text
//!   (host, port) ──► Overrides ──► Cache ──► Resolve: System, or yours ──► addresses ──► AddressPolicy ──► connect
//!                    a table       kept, shared,      getaddrinfo on a                   checked on the
//!                                  in turn            blocking thread                    address itself
//! ```
//!
//! A [`Client`](crate::http::Client) has all of them; `net::lookup_host` and `TcpStream::connect` ask the system at once.
//! Left out: the time to live that a name server states, since `getaddrinfo` does not tell, and zones of link-local
//! addresses.   Read in this order: `resolve`, the system's resolver; `cache`, `overrides`, `policy`; `dial` in `http`.

mod cache;
mod overrides;
mod policy;
#[cfg(test)]
mod tests;

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;

pub use cache::Cache;
pub use overrides::{OverrideError, Overrides};
pub use policy::{AddressPolicy, DeniedAddress};

use crate::resolve::look_up;

/// A look-up under way, which gives addresses in the order in which they are to be tried. Dropping it gives it up.
pub type LookUp = Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>>>>;

/// Knows the addresses of names.
///
/// It and its futures stay on one thread, so it may share what it has by `Rc`. Also a closure is one that takes the name
/// and returns a future:
///
/// ```
/// # use windlass_net::windlass;
/// # use std::net::{IpAddr, Ipv4Addr};
/// use windlass::net::dns::{Cache, Resolve};
/// # windlass_reactor::doc(async {
/// let everything_is_here = |_host: String| async { Ok(vec![IpAddr::V4(Ipv4Addr::LOCALHOST)]) };
/// let cached = Cache::new(everything_is_here);
/// assert!(cached.resolve("example.com").await?[0].is_loopback());
/// # std::io::Result::Ok(()) }).unwrap();
/// ```
pub trait Resolve {
    /// Looks up `host`, a name in lower case. No address is an error or an empty list, both of which mean the same.
    ///
    /// The look-up may take as long as it likes, since whoever waits has a time-out of their own and drops it.
    fn resolve(&self, host: &str) -> LookUp;
}

impl<F, A> Resolve for F
where
    F: Fn(String) -> A,
    A: Future<Output = io::Result<Vec<IpAddr>>> + 'static,
{
    fn resolve(&self, host: &str) -> LookUp {
        Box::pin(self(host.into()))
    }
}

/// The system's resolver: `getaddrinfo`, with all that it reads (`/etc/hosts`, `nsswitch.conf`, the search list), on the
/// blocking pool of at most four threads. It keeps nothing: see [`Cache`].
///
/// # Cancel
/// Dropping a look-up gives it up; one that the system has begun runs to its end on its thread. So if the name server is
/// silent, four names at most hold up all others, for as long as the system waits (glibc: 10 seconds for each server).
///
/// ```
/// # use windlass_net::windlass;
/// use windlass::net::dns::{Resolve, System};
/// # windlass_reactor::doc_real(async {
/// let addresses = System.resolve("localhost").await?;
/// assert!(addresses.iter().all(|address| address.is_loopback()));
/// # std::io::Result::Ok(()) }).unwrap();
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct System;

impl Resolve for System {
    fn resolve(&self, host: &str) -> LookUp {
        let host = host.to_owned();
        Box::pin(async move { Ok(look_up(host, 0).await?.iter().map(SocketAddr::ip).collect()) })
    }
}

impl fmt::Debug for dyn Resolve {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Resolve")
    }
}

/// The one spelling under which a host is kept: in lower case, without the dot that may end a name.
fn normal(host: &str) -> Box<str> {
    host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase().into()
}
