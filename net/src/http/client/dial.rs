//! From a URL to a connection.
//!
//! ```text
//!   host ──► overrides, resolver ──► a6 b6 c4 ──► a6 c4 b6 ──► policy ──► one left? ──► connect
//!            (`dns`)                    families take turns    drops some     └ several: race (`tcp::race`)
//! ```
//!
//! A host is resolved once for a connection, and the policy judges what is connected to, so that a name that has one
//! address for the judge and another one for the socket gains nothing.
//! Not here: a proxy on the way (`proxy`), handshakes (`tls`), how long it may take (`timeouts`), what is said over it
//! (`connection`).   Next: `net::dns`; `transport`.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::rc::Rc;
use std::slice;
use std::time::Duration;

use super::timeouts::{At, Phase};
use super::transport::Transport;
use crate::dns::{AddressPolicy, Cache, DeniedAddress, Overrides, Resolve, System};
use crate::http::{Error, ErrorKind, Url};
use crate::net::TcpStream;
use crate::tcp::TcpSocket;
use crate::tcp::race::{ATTEMPT_DELAY, attempt_delay, in_turn, race};

/// Addresses that are tried for one connection. A name may have thousands, whoever owns it; the resolver's cache begins
/// with others the next time.
const TRIED_MAX: usize = 16;

/// How a client finds the way to a host, and what lies on it.
#[derive(Clone, Debug)]
pub(crate) struct Dialing {
    pub(crate) overrides: Overrides,
    pub(crate) resolver: Rc<dyn Resolve>,
    pub(crate) policy: AddressPolicy,
    attempt_delay: Duration,
    /// Made when it is first needed: most of it is a list of authorities.
    #[cfg(feature = "tls")]
    pub(crate) tls: std::cell::OnceCell<crate::http::Tls>,
    #[cfg(feature = "proxy")]
    pub(crate) proxy: Option<crate::http::Proxy>,
}

impl Default for Dialing {
    fn default() -> Self {
        Dialing {
            overrides: Overrides::new(),
            resolver: Rc::new(Cache::new(System)),
            policy: AddressPolicy::AllowAll,
            attempt_delay: ATTEMPT_DELAY,
            #[cfg(feature = "tls")]
            tls: Default::default(),
            #[cfg(feature = "proxy")]
            proxy: None,
        }
    }
}

impl Dialing {
    pub(crate) fn set_attempt_delay(&mut self, delay: Duration) {
        self.attempt_delay = attempt_delay(delay);
    }
}

/// Connects to the host of `url`, through a proxy if there is one for it, and shakes hands. Says in `at` what it is at.
///
/// Boxed and out of line: it is rare, and its states are larger than all others of an exchange.
#[cold]
pub(crate) fn dial<'a>(
    url: &'a Url,
    dialing: &'a Dialing,
    at: &'a At,
) -> Pin<Box<dyn Future<Output = Result<Transport, Error>> + 'a>> {
    Box::pin(async move {
        #[cfg(feature = "proxy")]
        let stream = crate::http::extras::proxy::reach(url, dialing, at).await?;
        #[cfg(not(feature = "proxy"))]
        let stream = reach(url.host(), url.port(), dialing, at).await?;
        #[cfg(feature = "tls")]
        if url.scheme() == "https" {
            at.set(Phase::Tls, 0);
            let tls = dialing.tls.get_or_init(crate::http::Tls::new);
            return Ok(Transport::Tls(crate::http::extras::tls::TlsStream::connect(stream, url, tls).await?));
        }
        Ok(Transport::Plain(stream))
    })
}

/// Connects to `host`, a name or an address without brackets.
pub(crate) async fn reach(host: &str, port: u16, dialing: &Dialing, at: &At) -> Result<TcpStream, Error> {
    let literal = host.parse().ok();
    let given = dialing.overrides.get(host, port).or(literal.as_ref().map(slice::from_ref));
    let found;
    let addresses = match given {
        Some(addresses) => addresses,
        None => {
            at.set(Phase::Resolve, 0);
            found = dialing.resolver.resolve(host).await.map_err(|error| unresolved(host, error))?;
            &found
        }
    };
    at.set(Phase::Connect, 0);
    if let &[only] = addresses {
        dialing.policy.check(only).map_err(denied)?;
        let address = SocketAddr::new(only, port);
        return connect(address).await.map_err(|error| failed(vec![(address, error)]));
    }
    if addresses.is_empty() {
        return Err(unresolved(host, io::Error::new(io::ErrorKind::NotFound, "the name has no address")));
    }
    let addresses = allowed(addresses, dialing.policy).map_err(denied)?;
    let addresses: Vec<_> = addresses.into_iter().map(|address| SocketAddr::new(address, port)).collect();
    // Boxed: it is rarer than one address, and larger.
    Box::pin(race(&addresses, dialing.attempt_delay, connect)).await.map_err(failed)
}

async fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let socket = TcpSocket::new_for(address)?;
    socket.set_nodelay(true)?;
    socket.connect(address).await
}

#[cold]
fn unresolved(host: &str, error: io::Error) -> Error {
    Error::io(ErrorKind::Resolve, format!("resolve {host}"), error)
}

/// A refusal like any before a byte is sent: to try again changes nothing.
#[cold]
fn denied(denied: DeniedAddress) -> Error {
    Error::new(ErrorKind::Other, "address policy").with_source(denied)
}

/// The most telling error, of the latest if there are several, and where else there was none to connect to.
#[cold]
fn failed(mut attempts: Vec<(SocketAddr, io::Error)>) -> Error {
    let told = attempts.iter().enumerate().max_by_key(|(_, (_, error))| tells(error));
    let (address, error) = attempts.remove(told.map_or(0, |(told, _)| told));
    let others: Vec<_> = attempts.iter().map(|(address, _)| address.to_string()).collect();
    let what = match &*others {
        [] => format!("connect to {address}"),
        others => format!("connect to {address} (and to {})", others.join(", ")),
    };
    Error::io(ErrorKind::Connect, what, error)
}

/// How much an error says of the host: that this machine has no way there (or not that family, EAFNOSUPPORT: 97 on Linux)
/// least, then that nobody answered.
fn tells(error: &io::Error) -> u8 {
    use io::ErrorKind::{AddrNotAvailable, HostUnreachable, NetworkUnreachable, TimedOut};
    match error.kind() {
        AddrNotAvailable | HostUnreachable | NetworkUnreachable => 0,
        _ if error.raw_os_error() == Some(97) => 0,
        TimedOut => 1,
        _ => 2,
    }
}

/// The addresses that may be tried, each once: the families in turn (RFC 8305 4), the first one's first.
fn allowed(addresses: &[IpAddr], policy: AddressPolicy) -> Result<Vec<IpAddr>, DeniedAddress> {
    let (mut allowed, mut refusal) = (Vec::new(), None);
    for address in in_turn(addresses) {
        match policy.check(address) {
            Ok(()) if allowed.contains(&address) => {}
            Ok(()) => allowed.push(address),
            Err(denied) => refusal = refusal.or(Some(denied)),
        }
        if allowed.len() == TRIED_MAX {
            break;
        }
    }
    match refusal {
        Some(denied) if allowed.is_empty() => Err(denied),
        _ => Ok(allowed),
    }
}

#[cfg(test)]
mod tests {
    use io::ErrorKind::{ConnectionRefused, ConnectionReset, NetworkUnreachable, TimedOut};

    use super::*;

    fn ips(addresses: &str) -> Vec<IpAddr> {
        addresses.split_ascii_whitespace().map(|address| address.parse().unwrap()).collect()
    }

    fn in_order(addresses: &str, policy: AddressPolicy) -> String {
        match allowed(&ips(addresses), policy) {
            Ok(addresses) => addresses.iter().map(IpAddr::to_string).collect::<Vec<_>>().join(" "),
            Err(denied) => denied.to_string(),
        }
    }

    #[test]
    fn the_families_take_turns_and_no_address_comes_twice() {
        assert_eq!(in_order("10.0.0.1 ::1 10.0.0.1 ::1 ::2", AddressPolicy::AllowAll), "10.0.0.1 ::1 ::2");
    }

    #[test]
    fn what_the_policy_denies_is_left_out_and_if_nothing_is_left_it_says_why() {
        let policy = AddressPolicy::PublicOnly;
        assert_eq!(in_order("127.0.0.1 1.1.1.1 ::1 2a00::1 10.0.0.1", policy), "1.1.1.1 2a00::1");
        assert_eq!(in_order("127.0.0.1 ::1", policy), "127.0.0.1 is loopback (127.0.0.0/8)");
    }

    #[test]
    fn of_thousands_of_addresses_sixteen_are_tried() {
        let given: String = (1..=2_000).map(|n| format!("1.1.{}.{} 2a00::{n} ", n / 256, n % 256)).collect();
        let tried: Vec<_> = given.split_ascii_whitespace().take(16).collect();
        assert_eq!(in_order(&given, AddressPolicy::PublicOnly), tried.join(" "));
    }

    #[test]
    fn the_error_is_the_most_telling_one_and_names_all_that_were_tried() {
        let text = |errors: &[(&str, io::ErrorKind)]| {
            let error =
                failed(errors.iter().map(|(address, kind)| (address.parse().unwrap(), (*kind).into())).collect());
            assert_eq!(error.kind(), ErrorKind::Connect);
            error.to_string()
        };
        assert_eq!(text(&[("10.0.0.1:80", ConnectionRefused)]), "connect to 10.0.0.1:80: connection refused");
        assert_eq!(
            text(&[("10.0.0.1:80", TimedOut), ("10.0.0.2:80", ConnectionRefused), ("[::1]:80", NetworkUnreachable)]),
            "connect to 10.0.0.2:80 (and to 10.0.0.1:80, [::1]:80): connection refused"
        );
        assert_eq!(
            text(&[("10.0.0.1:80", ConnectionRefused), ("10.0.0.2:80", ConnectionReset)]),
            "connect to 10.0.0.2:80 (and to 10.0.0.1:80): connection reset"
        );
        let no_ipv6 = ("[::1]:80".parse().unwrap(), io::Error::from_raw_os_error(97));
        let error = failed(vec![("10.0.0.1:80".parse().unwrap(), TimedOut.into()), no_ipv6]);
        assert_eq!(error.to_string(), "connect to 10.0.0.1:80 (and to [::1]:80): timed out");
    }
}
