//! Several addresses of one host: whichever is first to answer.
//!
//! ```text
//!   a6 b6 c4 ──► in_turn ──► a6 c4 b6          the families take turns
//!
//!   race    a6 ├───────────────────────────────┄┄ nothing heard
//!           c4 ├── 250 ms ──┼── refused            the next begins when one fails,
//!           b6              └── at once ──► connected   or the delay is over: whoever connects first wins,
//!                                                       and the others are closed
//! ```
//!
//! It is RFC 8305's ("happy eyeballs"), without its separate queries for each family: `getaddrinfo` gives all addresses at
//! once. What an attempt is, is the caller's.
//! Not here: which addresses a host has (`dns`), who wants one of them (the client's `dial`).   Next: `socket`.

use std::future::poll_fn;
use std::io;
use std::iter;
use std::mem::{swap, take};
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use windlass_reactor::time::{Sleep, sleep};

/// RFC 8305 5: "recommended 250 milliseconds".
pub(crate) const ATTEMPT_DELAY: Duration = Duration::from_millis(250);
/// RFC 8305 8: at least "recommended 100 milliseconds".
const ATTEMPT_DELAY_MIN: Duration = Duration::from_millis(100);
/// RFC 8305 8: at most "recommended 2 seconds".
const ATTEMPT_DELAY_MAX: Duration = Duration::from_secs(2);

/// The delay nearest to `asked` that the RFC allows.
pub(crate) fn attempt_delay(asked: Duration) -> Duration {
    asked.clamp(ATTEMPT_DELAY_MIN, ATTEMPT_DELAY_MAX)
}

/// The families in turn (RFC 8305 4), the first address's first.
pub(crate) fn in_turn(addresses: &[IpAddr]) -> impl Iterator<Item = IpAddr> {
    let of = |is_v4| addresses.iter().copied().filter(move |address| address.is_ipv4() == is_v4);
    let is_v4 = addresses.first().is_some_and(IpAddr::is_ipv4);
    let (mut first, mut other) = (of(is_v4), of(!is_v4));
    iter::from_fn(move || {
        let next = first.next().or_else(|| other.next());
        swap(&mut first, &mut other);
        next
    })
}

type Attempt<'a, T> = Pin<Box<dyn Future<Output = io::Result<T>> + 'a>>;

/// Tries the addresses in their order, each `delay` after the one before it, or when any fails; the first that succeeds
/// ends the others. If none does, the errors in the order in which they came.
pub(crate) async fn race<T>(
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

/// Which of several attempts tells most of why there is no connection: of the latest, if several do.
pub(crate) fn most_telling(failed: &[(SocketAddr, io::Error)]) -> usize {
    failed.iter().enumerate().max_by_key(|(_, (_, error))| tells(error)).map_or(0, |(told, _)| told)
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

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};
    use std::future::pending;

    use windlass_reactor::time::{Instant, timeout};

    use super::*;

    const DELAY: Duration = Duration::from_millis(250);

    /// What is to become of an attempt, and after how many milliseconds.
    #[derive(Clone, Copy)]
    enum Fate {
        Connects(u64),
        Fails(u64, io::ErrorKind),
        Hangs,
    }
    use Fate::{Connects, Fails, Hangs};
    use io::ErrorKind::{ConnectionRefused, NetworkUnreachable, TimedOut};

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
            ("::1 ::2", "::1 ::2"),
            ("", ""),
        ] {
            let given: Vec<_> = given.split_ascii_whitespace().map(|address| address.parse().unwrap()).collect();
            let turns: Vec<_> = in_turn(&given).map(|address: IpAddr| address.to_string()).collect();
            assert_eq!(turns.join(" "), order);
        }
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
    fn the_delay_has_bounds() {
        for (asked, given) in [(0, 100), (300, 300), (60_000, 2_000)] {
            assert_eq!(attempt_delay(Duration::from_millis(asked)), Duration::from_millis(given));
        }
    }
}
