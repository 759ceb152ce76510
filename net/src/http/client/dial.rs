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
use std::net::SocketAddr;
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
use crate::tcp::race::{ATTEMPT_DELAY, most_telling, race};

/// How a client finds the way to a host, and what lies on it.
#[derive(Clone, Debug)]
pub(crate) struct Dialing {
    pub(crate) overrides: Overrides,
    pub(crate) resolver: Rc<dyn Resolve>,
    pub(crate) policy: AddressPolicy,
    pub(crate) attempt_delay: Duration,
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
            at.set((Phase::Tls, 0));
            let _ = stream.set_nodelay(true); // a handshake is several small writes: slower without, not wrong
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
            at.set((Phase::Resolve, 0));
            found = dialing.resolver.resolve(host).await.map_err(|error| unresolved(host, error))?;
            &found
        }
    };
    at.set((Phase::Connect, 0));
    if let &[only] = addresses {
        dialing.policy.check(only).map_err(denied)?;
        let address = SocketAddr::new(only, port);
        return connect(address).await.map_err(|error| failed(vec![(address, error)]));
    }
    if addresses.is_empty() {
        return Err(unresolved(host, io::Error::new(io::ErrorKind::NotFound, "the name has no address")));
    }
    let addresses = dialing.policy.allowed(addresses).map_err(denied)?;
    let addresses: Vec<_> = addresses.into_iter().map(|address| SocketAddr::new(address, port)).collect();
    // Boxed: it is rarer than one address, and larger.
    Box::pin(race(&addresses, dialing.attempt_delay, connect)).await.map_err(failed)
}

/// Our first bytes complete the handshake: a packet less to each new connection, on both sides.
async fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let socket = TcpSocket::new_for(address)?;
    let _ = socket.set_quickack(false); // a packet more without, not wrong
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
    let (address, error) = attempts.remove(most_telling(&attempts));
    let others: Vec<_> = attempts.iter().map(|(address, _)| address.to_string()).collect();
    let what = match &*others {
        [] => format!("connect to {address}"),
        others => format!("connect to {address} (and to {})", others.join(", ")),
    };
    Error::io(ErrorKind::Connect, what, error)
}

#[cfg(test)]
mod tests {
    use io::ErrorKind::{ConnectionRefused, ConnectionReset, NetworkUnreachable, TimedOut};

    use super::*;
    use crate::net::TcpListener;

    /// The kernel waits 200 ms for them: if all stands still for that long it is another connection's turn to show it.
    #[test]
    fn a_connection_is_there_for_the_server_with_the_first_bytes_of_the_client() {
        windlass_reactor::doc_real(async {
            let listener = TcpListener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
            for _ in 0..10 {
                let mut stream = connect(listener.local_addr().unwrap()).await.unwrap();
                if listener.try_accept().is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock) {
                    stream.write_all(b"GET").await.unwrap();
                    let (_, peer) = listener.accept().await.unwrap();
                    assert_eq!(peer, stream.local_addr().unwrap());
                    return;
                }
            }
            panic!("ten connections were there before anybody had said a word");
        });
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
