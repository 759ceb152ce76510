//! From a URL to a connection.
//!
//! ```text
//!   host ──► overrides, resolver ──► a6 b6 c4 ──► a6 c4 b6 ──► policy ──► one left? ──► connect
//!            (`dns`)                    families take turns    drops some     └ several: race
//!
//!   race    a6 ├───────────────────────────────┄┄ nothing heard
//!           c4 ├── 250 ms ──┼── refused            the next begins when one fails,
//!           b6              └── at once ──► connected   or the delay is over: whoever connects first wins,
//!                                                       and the others are closed
//! ```
//!
//! A host is resolved once for a connection, and the policy judges what is connected to, so that a name that has one
//! address for the judge and another one for the socket gains nothing. The race is RFC 8305's ("happy eyeballs"), without
//! its separate queries for each family: `getaddrinfo` gives all addresses at once.
//! Not here: a proxy on the way (`proxy`), handshakes (`tls`), how long it may take (`timeouts`), what is said over it
//! (`connection`).   Next: `net::dns`; `transport`.

use std::future::poll_fn;
use std::io;
use std::iter;
use std::mem::{swap, take};
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::rc::Rc;
use std::slice;
use std::task::Poll;
use std::time::Duration;

use windlass_reactor::time::{Sleep, sleep};

use super::timeouts::{At, Phase};
use super::transport::Transport;
use crate::dns::{AddressPolicy, Cache, DeniedAddress, Overrides, Resolve, System};
use crate::http::{Error, ErrorKind, Url};
use crate::net::TcpStream;
use crate::tcp::TcpSocket;

/// RFC 8305 5: "recommended 250 milliseconds".
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);
/// RFC 8305 8: at least "recommended 100 milliseconds".
const ATTEMPT_DELAY_MIN: Duration = Duration::from_millis(100);
/// RFC 8305 8: at most "recommended 2 seconds".
const ATTEMPT_DELAY_MAX: Duration = Duration::from_secs(2);
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
        self.attempt_delay = delay.clamp(ATTEMPT_DELAY_MIN, ATTEMPT_DELAY_MAX);
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
            return Ok(Transport::Tls(Box::new(crate::http::extras::tls::TlsStream::connect(stream, url, tls).await?)));
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
    let of = |is_v4| addresses.iter().filter(move |address| address.is_ipv4() == is_v4);
    let is_v4 = addresses[0].is_ipv4();
    let (mut first, mut other) = (of(is_v4), of(!is_v4));
    let in_turn = iter::from_fn(|| {
        let next = first.next().or_else(|| other.next());
        swap(&mut first, &mut other);
        next
    });
    let (mut allowed, mut refusal) = (Vec::new(), None);
    for &address in in_turn {
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

type Attempt<'a, T> = Pin<Box<dyn Future<Output = io::Result<T>> + 'a>>;

/// Tries the addresses in their order, each `delay` after the one before it, or when any fails; the first that succeeds
/// ends the others. If none does, the errors in the order in which they came.
async fn race<T>(
    addresses: &[SocketAddr],
    delay: Duration,
    connect: impl AsyncFn(SocketAddr) -> io::Result<T>,
) -> Result<T, Vec<(SocketAddr, io::Error)>> {
    let mut waiting = addresses.iter();
    let (mut under_way, mut failed) = (Vec::<(_, Attempt<'_, T>)>::new(), Vec::new());
    let mut pause: Option<Sleep> = None;
    poll_fn(|cx| {
        loop {
            let mut next = 0;
            while let Some((address, attempt)) = under_way.get_mut(next) {
                match attempt.as_mut().poll(cx) {
                    Poll::Ready(Ok(stream)) => return Poll::Ready(Ok(stream)),
                    Poll::Pending => next += 1,
                    Poll::Ready(Err(error)) => {
                        failed.push((*address, error));
                        drop(under_way.remove(next));
                        pause = None;
                    }
                }
            }
            if let Some(pause) = &mut pause
                && Pin::new(pause).poll(cx).is_pending()
            {
                return Poll::Pending;
            }
            match waiting.next() {
                Some(&address) => under_way.push((address, Box::pin(connect(address)))),
                None if under_way.is_empty() => return Poll::Ready(Err(take(&mut failed))),
                None => return Poll::Pending,
            }
            pause = (waiting.len() > 0).then(|| sleep(delay));
        }
    })
    .await
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};
    use std::future::pending;

    use windlass_reactor::time::{Instant, timeout};

    use super::*;

    const DELAY: Duration = Duration::from_millis(250);

    fn ips(addresses: &str) -> Vec<IpAddr> {
        addresses.split_ascii_whitespace().map(|address| address.parse().unwrap()).collect()
    }

    fn in_order(addresses: &str, policy: AddressPolicy) -> String {
        match allowed(&ips(addresses), policy) {
            Ok(addresses) => addresses.iter().map(IpAddr::to_string).collect::<Vec<_>>().join(" "),
            Err(denied) => denied.to_string(),
        }
    }

    /// What is to become of an attempt, and after how many milliseconds.
    #[derive(Clone, Copy)]
    enum Fate {
        Connects(u64),
        Fails(u64, io::ErrorKind),
        Hangs,
    }
    use Fate::{Connects, Fails, Hangs};
    use io::ErrorKind::{ConnectionRefused, ConnectionReset, NetworkUnreachable, TimedOut};

    /// What a race came to: which attempt has won, or the errors; after how many milliseconds; when each attempt began.
    #[derive(PartialEq, Debug)]
    struct Race {
        outcome: Result<usize, Vec<(usize, io::ErrorKind)>>,
        after: u64,
        begun: Vec<u64>,
    }

    /// Runs a race on a paused clock; the ports of its addresses are their numbers. Whatever becomes of it, no attempt is
    /// left at the end but the one that won.
    fn run(fates: &[Fate]) -> Race {
        let addresses: Vec<_> = (0..fates.len()).map(|n| SocketAddr::from(([10, 0, 0, 1], n as u16))).collect();
        let (begun, open) = (RefCell::new(Vec::new()), Cell::new(0));
        windlass_reactor::doc(async {
            let start = Instant::now();
            let elapsed = || start.elapsed().as_millis() as u64;
            let connect = async |address: SocketAddr| {
                begun.borrow_mut().push(elapsed());
                let open = Open::new(&open);
                match fates[usize::from(address.port())] {
                    Connects(ms) => sleep(Duration::from_millis(ms)).await,
                    Fails(ms, kind) => {
                        sleep(Duration::from_millis(ms)).await;
                        return Err(kind.into());
                    }
                    Hangs => pending().await,
                }
                Ok((usize::from(address.port()), open))
            };
            let raced = timeout(Duration::from_secs(60), race(&addresses, DELAY, connect)).await;
            let outcome = match raced {
                Ok(Ok((won, _socket))) => {
                    assert_eq!(open.get(), 1, "the others are closed");
                    Ok(won)
                }
                Ok(Err(errors)) => Err(errors.iter().map(|(a, e)| (usize::from(a.port()), e.kind())).collect()),
                Err(_) => Err(vec![]),
            };
            let (after, begun) = (elapsed(), begun.take());
            assert_eq!(open.get(), 0);
            Race { outcome, after, begun }
        })
    }

    /// A socket, as far as these tests go.
    struct Open<'a>(&'a Cell<usize>);

    impl<'a> Open<'a> {
        fn new(count: &'a Cell<usize>) -> Self {
            count.set(count.get() + 1);
            Open(count)
        }
    }

    impl Drop for Open<'_> {
        fn drop(&mut self) {
            self.0.set(self.0.get() - 1);
        }
    }

    #[test]
    fn the_families_take_turns_and_the_first_addresss_is_first() {
        for (given, order) in [
            ("::1 ::2 ::3 10.0.0.1 10.0.0.2", "::1 10.0.0.1 ::2 10.0.0.2 ::3"),
            ("10.0.0.1 10.0.0.2 10.0.0.3 ::1", "10.0.0.1 ::1 10.0.0.2 10.0.0.3"),
            ("10.0.0.1 ::1 10.0.0.1 ::1 ::2", "10.0.0.1 ::1 ::2"),
            ("::1 ::2", "::1 ::2"),
        ] {
            assert_eq!(in_order(given, AddressPolicy::AllowAll), order);
        }
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
    fn the_next_begins_when_the_delay_is_over_and_the_first_to_connect_wins() {
        assert_eq!(run(&[Hangs, Connects(20)]), Race { outcome: Ok(1), after: 270, begun: vec![0, 250] });
        assert_eq!(run(&[Connects(260), Hangs]), Race { outcome: Ok(0), after: 260, begun: vec![0, 250] });
        assert_eq!(run(&[Hangs, Hangs, Connects(1)]), Race { outcome: Ok(2), after: 501, begun: vec![0, 250, 500] });
    }

    #[test]
    fn one_that_connects_in_time_is_the_only_one() {
        assert_eq!(run(&[Connects(249), Connects(0)]), Race { outcome: Ok(0), after: 249, begun: vec![0] });
    }

    #[test]
    fn when_one_fails_the_next_begins_at_once_and_has_the_whole_delay() {
        let refused = Fails(10, ConnectionRefused);
        assert_eq!(run(&[refused, Connects(5)]), Race { outcome: Ok(1), after: 15, begun: vec![0, 10] });
        let race = run(&[refused, Hangs, Hangs, Connects(1)]);
        assert_eq!(race, Race { outcome: Ok(3), after: 511, begun: vec![0, 10, 260, 510] });
        // Also if it is not the latest that fails.
        let race = run(&[Fails(260, ConnectionRefused), Hangs, Connects(5)]);
        assert_eq!(race, Race { outcome: Ok(2), after: 265, begun: vec![0, 250, 260] });
    }

    #[test]
    fn both_that_win_at_once_are_one_connection() {
        assert_eq!(run(&[Connects(300), Connects(50)]), Race { outcome: Ok(0), after: 300, begun: vec![0, 250] });
    }

    #[test]
    fn when_all_fail_it_fails_with_the_last_and_tells_of_all() {
        let fates = [Fails(300, TimedOut), Fails(10, ConnectionRefused), Fails(0, NetworkUnreachable)];
        let errors = vec![(1, ConnectionRefused), (2, NetworkUnreachable), (0, TimedOut)];
        assert_eq!(run(&fates), Race { outcome: Err(errors), after: 300, begun: vec![0, 250, 260] });
        assert_eq!(run(&[Fails(7, TimedOut)]).after, 7);
    }

    #[test]
    fn one_that_hangs_for_ever_is_waited_for() {
        assert_eq!(
            run(&[Fails(0, ConnectionRefused), Hangs]),
            Race { outcome: Err(vec![]), after: 60_000, begun: vec![0, 0] }
        );
    }

    #[test]
    fn given_up_in_the_delay_or_after_it_nothing_is_left() {
        for after in [1, 249, 251, 700] {
            let open = Cell::new(0);
            windlass_reactor::doc(async {
                let connect = async |_| {
                    let _open = Open::new(&open);
                    pending::<io::Result<()>>().await
                };
                let addresses = [SocketAddr::from(([10, 0, 0, 1], 1)); 3];
                let race = timeout(Duration::from_millis(after), race(&addresses, DELAY, connect));
                assert!(race.await.is_err());
            });
            assert_eq!(open.get(), 0);
        }
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

    #[test]
    fn the_delay_has_bounds() {
        let mut dialing = Dialing::default();
        for (asked, given) in [(0, 100), (300, 300), (60_000, 2_000)] {
            dialing.set_attempt_delay(Duration::from_millis(asked));
            assert_eq!(dialing.attempt_delay, Duration::from_millis(given));
        }
    }
}
