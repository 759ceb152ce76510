//! Who gets which connection.
//! A client keeps connections that can carry another exchange, and it bounds how many there are: in all, and to each
//! host. Who comes when there is none waits in line.
//!
//! ```text
//!             ┌─ idle to this host ──────────────────────────► it
//!   acquire ──┼─ room under both limits ─────────────────────► leave to open one
//!             ├─ room but for the total, and idle elsewhere ──► close that one, leave to open one
//!             └─ otherwise: wait ◄── a connection comes back, or closes ── first come, first served
//! ```
//!
//! First come, first served holds among all hosts: a connection that comes back is closed if its place is due to
//! somebody who waits for another host and came first. Otherwise a busy host could keep all others out. Who waits for
//! room under the total limit therefore never waits beside an idle connection.
//!
//! A connection counts from the leave to open it until it is closed: that is what a [`Slot`] stands for, and whoever
//! drops one, wherever its exchange ended, lets the next in line have it. A waiter that was given something and is
//! dropped before it took it passes it on.
//!
//! An idle connection on which something happens (bytes nobody asked for, the end of the stream) is of no more use
//! (RFC 9112 9.2). The reactor has seen that by the time somebody wants it, so looking costs no system call, unless
//! the loop has not turned for a while: then the reactor looks once, for all connections.
//! Not here: how one comes about (`dial`), what is said over it (`connection`).   Next: `dial`.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::future::poll_fn;
use std::mem;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use slab::Slab;
use windlass_executor::waits::{self, WaitReason};
use windlass_reactor::time::{Instant, sleep_until};

use super::connection::Connection;
use super::stats::{Counters, Stats, Why};
use crate::http::Url;

/// A sweep looks at all connections that idle. For each of them it rests so long before the next one: thus it takes a few
/// hundredths of the time at most, also where thousands idle and peers end one after the other.
const REST: Duration = Duration::from_micros(10);

#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// 0 for none.
    pub(crate) limit: usize,
    /// 0 for none.
    pub(crate) limit_per_host: usize,
    pub(crate) idle_timeout: Duration,
    pub(crate) max_lifetime: Option<Duration>,
    /// 0 for no limit.
    pub(crate) max_requests: u64,
}

impl Default for Settings {
    fn default() -> Self {
        let idle_timeout = Duration::from_secs(15);
        Settings { limit: 100, limit_per_host: 0, idle_timeout, max_lifetime: None, max_requests: 0 }
    }
}

impl Settings {
    /// Whether a connection that has begun so many exchanges carries no other.
    #[inline]
    pub(crate) fn is_last(&self, exchanges: u64) -> bool {
        self.max_requests > 0 && exchanges >= self.max_requests
    }

    /// Why a connection that could carry another exchange must not.
    #[inline]
    fn wears_out(&self, connection: &Connection) -> Option<Why> {
        if self.is_last(connection.exchanges) {
            return Some(Why::Requests);
        }
        self.max_lifetime.filter(|&max| connection.born.elapsed() >= max).map(|_| Why::Lifetime)
    }

    /// Why a connection that may have idled must not be used.
    #[inline]
    fn why_old(&self, connection: &Connection, now: Instant) -> Option<Why> {
        if connection.idle_until <= now { Some(Why::Idle) } else { self.wears_out(connection) }
    }
}

pub(crate) struct Pool {
    settings: Settings,
    state: RefCell<State>,
    pub(super) counters: Rc<Counters>,
    /// While there is a task that sweeps: its waker, once it has begun. It hears when something happens on an idle connection.
    sweeper: RefCell<Option<Option<Waker>>>,
}

#[derive(Default)]
struct State {
    hosts: Slab<Host>,
    by_name: HashMap<Box<str>, usize>,
    /// The host asked for last is often the one asked for next.
    last: usize,
    /// Connections to all hosts, open, being opened or idle; those of them that idle; the most that ever did not.
    open: usize,
    idle: usize,
    in_use_max: usize,
    waiters: Slab<Waiter>,
    arrivals: u64,
}

struct Host {
    name: Box<str>,
    open: usize,
    /// The one used last is taken first: the others may grow old and go.
    #[expect(clippy::vec_box, reason = "they come boxed and go boxed: a pointer moves, not the connection")]
    idle: Vec<Box<Connection>>,
    waiting: VecDeque<usize>,
}

struct Waiter {
    host: usize,
    arrival: u64,
    waker: Option<Waker>,
    given: Option<Box<Connection>>,
}

/// A connection's place under the limits, open or still to be opened. When it is dropped, a connection that can carry
/// another exchange goes back; any other is closed, and the next in line has its place, and its memory.
pub(crate) struct Slot {
    pool: Rc<Pool>,
    host: usize,
    /// None once it is dropped.
    connection: Option<Box<Connection>>,
}

fn is_under(open: usize, limit: usize) -> bool {
    limit == 0 || open < limit
}

impl State {
    #[inline(always)] // the second of its two calls is rare
    fn host(&mut self, name: &str) -> usize {
        if self.hosts.get(self.last).is_none_or(|host| *host.name != *name) {
            self.last = self.by_name.get(name).copied().unwrap_or_else(|| self.new_host(name));
        }
        self.last
    }

    #[cold]
    fn new_host(&mut self, name: &str) -> usize {
        if self.hosts.len() == self.hosts.capacity() {
            self.forget_hosts();
        }
        let host = Host { name: name.into(), open: 0, idle: Vec::new(), waiting: VecDeque::new() };
        let host = self.hosts.insert(host);
        self.by_name.insert(name.into(), host);
        host
    }

    /// Forgets the hosts to which nobody has a connection or waits for one: before there is room made for more.
    fn forget_hosts(&mut self) {
        self.hosts.retain(|_, host| host.open > 0 || !host.waiting.is_empty());
        self.by_name.retain(|_, host| self.hosts.contains(*host));
    }

    fn open(&mut self, host: usize) {
        self.open += 1;
        self.hosts[host].open += 1;
    }

    fn close(&mut self, host: usize) {
        self.open -= 1;
        self.hosts[host].open -= 1;
    }

    #[inline]
    fn push_idle(&mut self, host: usize, connection: Box<Connection>) {
        self.idle += 1;
        self.hosts[host].idle.push(connection);
    }

    /// A connection to `host`, one that is to be opened, or another host's and why it is to be closed before; if nobody need
    /// wait for it.
    #[inline]
    fn take(
        &mut self,
        host: usize,
        settings: &Settings,
        unopened: impl FnOnce() -> Box<Connection>,
    ) -> Option<(Box<Connection>, Option<Why>)> {
        let of = &mut self.hosts[host];
        if !of.waiting.is_empty() {
            return None; // nobody overtakes those who wait for the same host
        }
        let (connection, why_close) = if let Some(connection) = of.idle.pop() {
            self.idle -= 1;
            (connection, None)
        } else if !is_under(of.open, settings.limit_per_host) {
            return None;
        } else if is_under(self.open, settings.limit) {
            self.open(host);
            (unopened(), None)
        } else {
            // Only the total stands in the way: the one that has idled longest gives its place.
            let oldest = self.hosts.iter().filter_map(|(host, of)| Some((of.idle.first()?.idle_until, host)));
            let (_, oldest) = oldest.min()?;
            self.idle -= 1;
            self.close(oldest);
            self.open(host);
            (self.hosts[oldest].idle.remove(0), Some(Why::Room))
        };
        self.in_use_max = self.in_use_max.max(self.open - self.idle);
        Some((connection, why_close))
    }

    /// The host that is waited for by who comes next when a place at `host` is free: the first in line for this host, unless
    /// somebody who came before waits for room under the total limit.
    #[inline]
    fn next_after(&self, host: usize, settings: &Settings) -> Option<usize> {
        if self.waiters.is_empty() || is_under(self.open, settings.limit) {
            return self.hosts[host].waiting.front().map(|_| host);
        }
        let may_open = |&(at, of): &(usize, &Host)| at == host || is_under(of.open, settings.limit_per_host);
        let arrival = |(at, of): (usize, &Host)| Some((self.waiters[*of.waiting.front()?].arrival, at));
        self.hosts.iter().filter(may_open).filter_map(arrival).min().map(|(_, first)| first)
    }
}

impl Pool {
    pub(crate) fn new(settings: Settings) -> Rc<Self> {
        Rc::new(Pool { settings, state: RefCell::default(), counters: Rc::default(), sweeper: RefCell::default() })
    }

    pub(crate) fn stats(&self) -> Stats {
        let (state, counters) = (self.state.borrow(), &self.counters);
        Stats {
            opened: counters.opened.get(),
            reused: counters.reused.get(),
            in_use: (state.open - state.idle) as u64,
            in_use_max: state.in_use_max as u64,
            idle: state.idle as u64,
            waiting: state.waiters.len() as u64,
            retries: counters.retries.get(),
            bytes_in: counters.bytes_in.get(),
            bytes_out: counters.bytes_out.get(),
            closed: counters.closed.get(),
        }
    }

    /// Waits for a connection to the host of `url`, or for leave to open one.
    pub(crate) fn acquire<'a>(self: &'a Rc<Self>, url: &'a Url) -> Acquire<'a> {
        Acquire { pool: self, url, place: None }
    }

    /// A connection or leave to open one, if nobody need wait for it; else a `place` in line.
    #[inline]
    fn take(self: &Rc<Self>, url: &Url, waker: &Waker, place: &mut Option<usize>) -> Option<Slot> {
        let waker = Some(waker.clone());
        let mut state = self.state.borrow_mut();
        let host = state.host(url.origin());
        let unopened = || Connection::unopened(url, self.counters.clone());
        if let Some((mut connection, why_close)) = state.take(host, &self.settings, unopened) {
            drop(state);
            if let Some(why) = why_close {
                connection.shut(why);
            }
            return Some(Slot { pool: self.clone(), host, connection: Some(connection) });
        }
        state.arrivals += 1;
        let waiter = Waiter { host, arrival: state.arrivals, waker, given: None };
        let waiter = state.waiters.insert(waiter);
        state.hosts[host].waiting.push_back(waiter);
        *place = Some(waiter);
        None
    }

    /// What the waiter was given, who is then one no longer; else `waker` is woken when there is something.
    #[inline]
    fn take_given(self: &Rc<Self>, waiter: usize, waker: &Waker) -> Option<Slot> {
        let waker = waker.clone(); // before all else: it may have something given to this very waiter (I3)
        let mut state = self.state.borrow_mut();
        let Some(given) = state.waiters[waiter].given.take() else {
            let before = state.waiters[waiter].waker.replace(waker);
            drop(state);
            drop(before);
            return None;
        };
        let host = state.waiters.remove(waiter).host; // its waker was taken when it was given something
        Some(Slot { pool: self.clone(), host, connection: Some(given) })
    }

    /// Why a connection must not be used, if it is open. No borrow may be live: others may be woken (I3).
    #[inline]
    fn why_not(&self, connection: &Connection) -> Option<Why> {
        if !connection.is_open() {
            None
        } else if !connection.transport().is_quiet() {
            Some(Why::ByPeer)
        } else if connection.idle_until == Instant::FAR_FUTURE {
            None // it has not idled
        } else {
            // By now the loop has looked at the clock of late.
            self.settings.why_old(connection, Instant::recent())
        }
    }

    fn close(self: &Rc<Self>, host: usize, mut connection: Box<Connection>, why: Why) {
        connection.shut(why);
        self.pass_on(host, connection);
    }

    /// A connection can carry another exchange, or has been closed, or was not opened after all: whoever comes next has it, or
    /// its place.
    #[inline]
    fn pass_on(self: &Rc<Self>, host: usize, connection: Box<Connection>) {
        let mut state = self.state.borrow_mut();
        match state.next_after(host, &self.settings) {
            None if connection.is_open() => {
                drop(state);
                self.keep(host, connection);
            }
            None => state.close(host),
            Some(next) if connection.is_open() && next != host => {
                drop(state);
                self.close(host, connection, Why::Room);
            }
            Some(next) => {
                if next != host {
                    state.close(host);
                    state.open(next);
                }
                let first = state.hosts[next].waiting.pop_front().expect("who is next waits");
                let waiter = &mut state.waiters[first];
                waiter.given = Some(connection);
                let waker = waiter.waker.take().expect("who was given nothing left a waker");
                drop(state);
                waker.wake();
            }
        }
    }

    /// Nobody waits for the connection: it idles, unless its peer has ended it already.
    fn keep(self: &Rc<Self>, host: usize, mut connection: Box<Connection>) {
        let sweeper = self.sweeper.borrow().clone();
        let is_quiet = match &sweeper {
            Some(Some(sweeper)) => connection.transport_mut().stays_quiet(sweeper),
            _ => connection.transport().is_quiet(),
        };
        if !is_quiet {
            return self.close(host, connection, Why::ByPeer);
        }
        connection.idle_until = Instant::recent() + self.settings.idle_timeout; // of this turn: earlier, if at all
        self.state.borrow_mut().push_idle(host, connection);
        if sweeper.is_none() {
            self.begin_sweeping();
        }
    }

    /// Has a task close idle connections when their time is up, or their peer ends them, for as long as there are any.
    #[cold]
    fn begin_sweeping(self: &Rc<Self>) {
        self.sweeper.replace(Some(None));
        let sweeping = Sweeping { pool: Rc::downgrade(self) };
        let task = windlass_executor::Builder::new().name("http idle connections");
        drop(task.spawn(async move {
            let (mut nap, mut rests_until) = (sleep_until(Instant::FAR_FUTURE), Instant::now());
            poll_fn(|cx| {
                let Some(pool) = sweeping.pool.upgrade() else { return Poll::Ready(()) };
                let now = Instant::now();
                if now < rests_until {
                    nap.reset(rests_until);
                } else {
                    rests_until = now + REST * pool.state.borrow().idle as u32; // a process has no four billion
                    let Some(next) = pool.sweep(cx.waker()) else { return Poll::Ready(()) };
                    nap.reset(next.max(rests_until));
                }
                Pin::new(&mut nap).poll(cx)
            })
            .await;
        }));
    }

    /// Closes what has idled too long, or has been ended by its peer; what stays wakes `sweeper` when something happens on it.
    /// When to look again; none if nothing idles.
    fn sweep(self: &Rc<Self>, sweeper: &Waker) -> Option<Instant> {
        drop(self.sweeper.replace(Some(Some(sweeper.clone()))));
        let (now, mut next) = (Instant::now(), None);
        for (host, mut idle) in self.take_idle() {
            let is_quiet = idle.transport_mut().stays_quiet(sweeper);
            let why = if is_quiet { self.settings.why_old(&idle, now) } else { Some(Why::ByPeer) };
            if let Some(why) = why {
                self.close(host, idle, why);
                continue;
            }
            let worn_out = self.settings.max_lifetime.map(|max| idle.born + max);
            next = next.into_iter().chain(worn_out).chain([idle.idle_until]).min();
            self.state.borrow_mut().push_idle(host, idle);
        }
        next
    }

    /// All that idle, each with its host, out of the pool: so that nothing is borrowed while wakers go (I3).
    fn take_idle(&self) -> Vec<(usize, Box<Connection>)> {
        let mut state = self.state.borrow_mut();
        state.idle = 0;
        let of = |(host, of): (usize, &mut Host)| mem::take(&mut of.idle).into_iter().map(move |idle| (host, idle));
        state.hosts.iter_mut().flat_map(of).collect()
    }
}

/// There is a task that sweeps, as long as this lives: it may be dropped with its loop, whose connections then serve nobody.
struct Sweeping {
    pool: Weak<Pool>,
}

impl Drop for Sweeping {
    fn drop(&mut self) {
        let Some(pool) = self.pool.upgrade() else { return };
        drop(pool.sweeper.take());
        for (host, idle) in pool.take_idle() {
            pool.close(host, idle, Why::Idle); // nobody looks after them any more
        }
    }
}

impl Slot {
    #[inline]
    pub(crate) fn connection(&self) -> &Connection {
        self.connection.as_ref().expect("a slot has its connection until it is dropped")
    }

    #[inline]
    pub(crate) fn connection_mut(&mut self) -> &mut Connection {
        self.connection.as_mut().expect("a slot has its connection until it is dropped")
    }
}

impl Drop for Slot {
    #[inline]
    fn drop(&mut self) {
        let Some(mut connection) = self.connection.take() else { return };
        let pool = &self.pool;
        if connection.is_open() {
            let ended = connection.ends();
            let why = match ended {
                None | Some(Why::Asked) => pool.settings.wears_out(&connection).or(ended), // we asked, perhaps
                Some(_) => ended,
            };
            match why {
                Some(why) => connection.shut(why),
                None => connection.clear(),
            }
        }
        pool.pass_on(self.host, connection);
    }
}

/// Waits for a [`Slot`]. Dropping it gives up the place in line, or passes on what it was given.
pub(crate) struct Acquire<'a> {
    pool: &'a Rc<Pool>,
    url: &'a Url,
    /// In line.
    place: Option<usize>,
}

impl Future for Acquire<'_> {
    type Output = Slot;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Slot> {
        let Acquire { pool, url, place } = &mut *self;
        loop {
            let taken = match *place {
                None => pool.take(url, cx.waker(), place),
                Some(waiter) => pool.take_given(waiter, cx.waker()),
            };
            let Some(mut slot) = taken else {
                waits::note(WaitReason::Connection);
                return Poll::Pending;
            };
            *place = None;
            let Some(why) = pool.why_not(slot.connection()) else { return Poll::Ready(slot) };
            slot.connection_mut().shut(why);
            if pool.state.borrow().hosts[slot.host].idle.is_empty() {
                return Poll::Ready(slot); // a place for a new one
            }
        }
    }
}

impl Drop for Acquire<'_> {
    #[inline]
    fn drop(&mut self) {
        if let Some(waiter) = self.place {
            self.pool.leave(waiter);
        }
    }
}

impl Pool {
    #[cold]
    fn leave(self: &Rc<Self>, waiter: usize) {
        let mut state = self.state.borrow_mut();
        let left = state.waiters.remove(waiter);
        if left.given.is_none() {
            state.hosts[left.host].waiting.retain(|&other| other != waiter);
        }
        drop(state);
        drop(left.waker);
        drop(Slot { pool: self.clone(), host: left.host, connection: left.given });
    }
}

#[cfg(test)]
mod tests {
    use super::State;

    #[test]
    fn a_host_without_connections_is_forgotten_when_others_come_and_one_with_them_is_not() {
        let mut state = State::default();
        let kept = state.host("kept");
        state.open(kept);
        for nth in 0..10_000 {
            let host = state.host(&format!("host{nth}"));
            state.open(host);
            state.close(host);
        }
        assert!(state.hosts.len() < 10 && state.by_name.len() == state.hosts.len());
        assert_eq!((state.host("kept"), state.hosts[kept].open), (kept, 1));
    }
}
