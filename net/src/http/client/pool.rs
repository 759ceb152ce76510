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
//! Not here: what is said over a connection (`connection`).   Next: `client`.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use slab::Slab;
use windlass_executor::waits::{self, WaitReason};
use windlass_reactor::time::{Instant, sleep_until};

use super::connection::Connection;
use super::transport::Transport;
use crate::http::Url;

/// How a client's connections are doing.
///
/// ```
/// # windlass_net::doc_http(async |client, url| {
/// let response = client.get(url).send().await?;
/// let stats = client.stats();
/// assert_eq!((stats.opened, stats.in_use, stats.idle), (1, 1, 0));
/// response.drain().await?; // at the end of the body the connection is free for another
/// let stats = client.stats();
/// assert_eq!((stats.opened, stats.in_use, stats.idle), (1, 0, 1));
/// # Ok(()) });
/// ```
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Stats {
    /// Connections opened so far.
    pub opened: u64,
    /// Exchanges that went over a connection that had carried one before.
    pub reused: u64,
    /// Connections that carry an exchange now, or are being opened for one.
    pub in_use: u64,
    /// The most that ever did.
    pub in_use_max: u64,
    /// Connections that wait for an exchange now.
    pub idle: u64,
    /// Exchanges that wait for a connection now.
    pub waiting: u64,
    /// Exchanges sent again because the connection had gone before they began.
    pub retries: u64,
    /// Bytes received: heads and bodies as they came over the wire.
    pub bytes_in: u64,
    /// Bytes sent.
    pub bytes_out: u64,
    /// Connections closed so far, by the reason why.
    pub closed: Closed,
}

/// Why connections were closed; in sum, all that were opened and are neither in use nor idle.
///
/// ```
/// # use windlass_net::windlass;
/// # windlass_net::doc_http(async |_, url| {
/// let client = windlass::http::Client::builder().max_requests(1).build();
/// client.get(url).send().await?.drain().await?;
/// let closed = client.stats().closed;
/// assert_eq!((closed.requests, closed.total()), (1, 1));
/// # Ok(()) });
/// ```
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Closed {
    /// The exchange did not come to its end: an error, a time-out, or dropped by its caller.
    pub unfinished: u64,
    /// The peer said that it would close, or the body ended with the connection.
    pub asked: u64,
    /// The peer closed it while it idled, or sent what nobody had asked for (RFC 9112 9.2).
    pub by_peer: u64,
    /// It idled for longer than `idle_timeout`, or when its loop ended.
    pub idle: u64,
    /// It was older than `max_lifetime`.
    pub lifetime: u64,
    /// It had carried `max_requests`.
    pub requests: u64,
    /// It idled, and its place was due to somebody who waited for another host.
    pub room: u64,
}

impl Closed {
    /// For whatever reason.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// assert_eq!(windlass::http::Client::new().stats().closed.total(), 0);
    /// ```
    pub fn total(&self) -> u64 {
        let Closed { unfinished, asked, by_peer, idle, lifetime, requests, room } = *self;
        unfinished + asked + by_peer + idle + lifetime + requests + room
    }

    pub(crate) fn count(&mut self, why: Why) {
        *match why {
            Why::Unfinished => &mut self.unfinished,
            Why::Asked => &mut self.asked,
            Why::ByPeer => &mut self.by_peer,
            Why::Idle => &mut self.idle,
            Why::Lifetime => &mut self.lifetime,
            Why::Requests => &mut self.requests,
            Why::Room => &mut self.room,
        } += 1;
    }
}

/// Why a connection is closed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Why {
    Unfinished,
    Asked,
    ByPeer,
    Idle,
    Lifetime,
    Requests,
    Room,
}

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
}

pub(crate) struct Pool {
    pub(crate) settings: Settings,
    state: RefCell<State>,
    stats: Rc<RefCell<Stats>>,
    sweeping: Cell<bool>,
    /// The sweeping task's, once it has begun: it hears when something happens on an idle connection.
    sweeper: RefCell<Option<Waker>>,
}

#[derive(Default)]
struct State {
    hosts: Slab<Host>,
    by_name: HashMap<Box<str>, usize>,
    /// The host asked for last is often the one asked for next.
    last: usize,
    /// Connections open, being opened or idle, to all hosts; those of them that idle; the most that ever did not.
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

    fn has_room(&self, host: usize, settings: &Settings) -> bool {
        let under = |open: usize, limit: usize| limit == 0 || open < limit;
        under(self.open, settings.limit) && under(self.hosts[host].open, settings.limit_per_host)
    }

    fn open(&mut self, host: usize) {
        self.open += 1;
        self.hosts[host].open += 1;
        self.in_use_max = self.in_use_max.max(self.open - self.idle);
    }

    fn close(&mut self, host: usize) {
        self.open -= 1;
        self.hosts[host].open -= 1;
    }

    /// A place for a connection to `host`, if there is room. If only the total stands in the way and some connection idles
    /// elsewhere, the place of the one that has idled longest: it is still to be closed.
    fn new_place(
        &mut self,
        host: usize,
        settings: &Settings,
        unopened: impl FnOnce() -> Box<Connection>,
    ) -> Option<Box<Connection>> {
        if self.has_room(host, settings) {
            self.open(host);
            return Some(unopened());
        }
        let per_host = settings.limit_per_host;
        if per_host > 0 && self.hosts[host].open >= per_host {
            return None;
        }
        let oldest = self.hosts.iter().filter_map(|(host, of)| Some((of.idle.first()?.idle_since, host)));
        let (_, oldest) = oldest.min()?;
        self.idle -= 1;
        self.close(oldest);
        self.open(host);
        Some(self.hosts[oldest].idle.remove(0))
    }

    /// The connection to `host` that has idled least.
    fn pop_idle(&mut self, host: usize) -> Option<Box<Connection>> {
        let connection = self.hosts[host].idle.pop()?;
        self.idle -= 1;
        self.in_use_max = self.in_use_max.max(self.open - self.idle);
        Some(connection)
    }

    /// The first that came of those who wait for a place under the total limit only.
    fn next_in_line(&self, settings: &Settings) -> Option<usize> {
        let may_open = |host: &Host| settings.limit_per_host == 0 || host.open < settings.limit_per_host;
        let first = |host: &Host| host.waiting.front().copied();
        let eligible = self.hosts.iter().map(|(_, host)| host).filter(|host| may_open(host)).filter_map(first);
        eligible.min_by_key(|&waiter| self.waiters[waiter].arrival)
    }

    /// Who comes next when a connection to `host` comes back: the first in line for this host, unless somebody who came
    /// before waits for room under the total limit.
    #[inline]
    fn next_after(&self, host: usize, settings: &Settings) -> Option<usize> {
        let here = self.hosts[host].waiting.front().copied();
        let total_binds = settings.limit > 0 && self.open >= settings.limit && !self.waiters.is_empty();
        if !total_binds {
            return here;
        }
        here.into_iter().chain(self.next_in_line(settings)).min_by_key(|&waiter| self.waiters[waiter].arrival)
    }

    /// Gives the waiter what it waits for, and takes it out of the line.
    #[inline]
    fn give(&mut self, waiter: usize, connection: Box<Connection>) -> Option<Waker> {
        let host = self.waiters[waiter].host;
        let first = self.hosts[host].waiting.pop_front();
        debug_assert_eq!(first, Some(waiter), "first come, first served");
        let waiter = &mut self.waiters[waiter];
        waiter.given = Some(connection);
        waiter.waker.take()
    }

    /// What was given to the waiter, who is then one no longer.
    fn take_given(&mut self, waiter: usize) -> Option<(usize, Box<Connection>)> {
        let given = self.waiters[waiter].given.take()?;
        let host = self.waiters.remove(waiter).host; // its waker was taken when it was given something
        Some((host, given))
    }
}

impl Pool {
    pub(crate) fn new(settings: Settings) -> Rc<Self> {
        Rc::new(Pool {
            settings,
            state: RefCell::default(),
            stats: Rc::default(),
            sweeping: Cell::new(false),
            sweeper: RefCell::default(),
        })
    }

    pub(crate) fn count(&self, change: impl FnOnce(&mut Stats)) {
        change(&mut self.stats.borrow_mut());
    }

    pub(crate) fn stats(&self) -> Stats {
        let state = self.state.borrow();
        Stats {
            in_use: (state.open - state.idle) as u64,
            in_use_max: state.in_use_max as u64,
            idle: state.idle as u64,
            waiting: state.waiters.len() as u64,
            ..*self.stats.borrow()
        }
    }

    /// Waits for a connection to the host of `url`, or for leave to open one.
    pub(crate) fn acquire<'a>(self: &'a Rc<Self>, url: &'a Url) -> Acquire<'a> {
        Acquire { pool: self, url, waiter: None }
    }

    /// A connection or leave to open one, if nobody need wait for it.
    fn try_acquire(self: &Rc<Self>, host: usize, url: &Url) -> Option<Slot> {
        let mut place = None; // that of a connection which was closed
        loop {
            let idle = self.state.borrow_mut().pop_idle(host);
            let Some(connection) = idle else { break };
            // Whether it is quiet comes first: it sees to it that the loop has looked at the clock of late.
            let why = is_disturbed(&connection).or_else(|| self.why_old(&connection, Instant::recent()));
            let slot = self.slot(host, connection, why);
            if why.is_none() {
                return Some(slot);
            }
            place = Some(slot);
        }
        if place.is_none() {
            let unopened = || Connection::unopened(url, self.stats.clone());
            let connection = self.state.borrow_mut().new_place(host, &self.settings, unopened)?;
            let why = connection.is_open().then_some(Why::Room);
            place = Some(self.slot(host, connection, why));
        }
        place
    }

    /// A place and its connection, which is closed first if there is a reason.
    #[inline]
    fn slot(self: &Rc<Self>, host: usize, mut connection: Box<Connection>, why_close: Option<Why>) -> Slot {
        match why_close {
            Some(why) => self.shut(&mut connection, why),
            None if connection.is_open() => self.count(|stats| stats.reused += 1),
            None => {}
        }
        Slot { pool: self.clone(), host, connection: Some(connection) }
    }

    fn why_old(&self, connection: &Connection, now: Instant) -> Option<Why> {
        if now - connection.idle_since >= self.settings.idle_timeout {
            return Some(Why::Idle);
        }
        self.settings.wears_out(connection)
    }

    /// Closes a connection and keeps its place. No borrow may be live: who waits for it is woken (I3).
    fn shut(&self, connection: &mut Connection, why: Why) {
        self.count(|stats| stats.closed.count(why));
        connection.shut();
    }

    /// A connection has come to the end of an exchange and can carry another.
    #[inline]
    fn take_back(self: &Rc<Self>, host: usize, mut connection: Box<Connection>) {
        if let Some(why) = self.settings.wears_out(&connection) {
            return self.close(host, connection, why);
        }
        connection.clear();
        let mut state = self.state.borrow_mut();
        match state.next_after(host, &self.settings) {
            // Whether it is quiet the waiter sees.
            Some(waiter) if state.waiters[waiter].host == host => {
                let waker = state.give(waiter, connection);
                drop(state);
                wake(waker);
            }
            Some(_elsewhere) => {
                drop(state);
                self.close(host, connection, Why::Room);
            }
            None => {
                drop(state);
                self.keep(host, connection);
            }
        }
    }

    /// Nobody waits for the connection: it idles, unless its peer has ended it already.
    fn keep(self: &Rc<Self>, host: usize, mut connection: Box<Connection>) {
        let sweeper = self.sweeper.borrow().clone();
        if !connection.stays_quiet(sweeper.as_ref()) {
            return self.close(host, connection, Why::ByPeer);
        }
        connection.idle_since = Instant::recent(); // of this turn: earlier, if at all
        let mut state = self.state.borrow_mut();
        state.idle += 1;
        state.hosts[host].idle.push(connection);
        drop(state);
        self.sweep();
    }

    fn close(&self, host: usize, mut connection: Box<Connection>, why: Why) {
        self.shut(&mut connection, why);
        self.pass_on(host, connection);
    }

    /// A connection is closed, or was not opened after all: gives its place to the first in line that may have it.
    fn pass_on(&self, host: usize, connection: Box<Connection>) {
        let mut state = self.state.borrow_mut();
        state.close(host);
        let next = state.next_in_line(&self.settings).map(|waiter| (waiter, state.waiters[waiter].host));
        let Some((waiter, host)) = next.filter(|&(_, host)| state.has_room(host, &self.settings)) else { return };
        state.open(host);
        let waker = state.give(waiter, connection);
        drop(state);
        wake(waker);
    }

    /// Sees to it that idle connections are closed when their time is up, or their peer ends them: a task does it, while
    /// there are any.
    fn sweep(self: &Rc<Self>) {
        if self.sweeping.replace(true) {
            return;
        }
        let sweeping = Sweeping { pool: Rc::downgrade(self) };
        let task = windlass_executor::Builder::new().name("http idle connections");
        drop(task.spawn(async move {
            let mut nap = sleep_until(Instant::FAR_FUTURE);
            poll_fn(|cx| {
                let Some(pool) = sweeping.pool.upgrade() else { return Poll::Ready(()) };
                pool.listen(cx.waker());
                let Some(next) = pool.close_old() else { return Poll::Ready(()) };
                nap.reset(next);
                Pin::new(&mut nap).poll(cx)
            })
            .await;
        }));
    }

    /// Has `sweeper` woken when something happens on an idle connection, from now on.
    fn listen(&self, sweeper: &Waker) {
        if self.sweeper.borrow().is_some() {
            return;
        }
        *self.sweeper.borrow_mut() = Some(sweeper.clone());
        // Those that came before it. A waker may be dropped for it, so that nothing may be borrowed (I3).
        let mut idle = Vec::new();
        for (_, host) in self.state.borrow_mut().hosts.iter_mut() {
            idle.push(std::mem::take(&mut host.idle));
        }
        for connection in idle.iter_mut().flatten() {
            // If it is not quiet, `close_old` sees that next.
            let _ = connection.stays_quiet(Some(sweeper));
        }
        for ((_, host), idle) in self.state.borrow_mut().hosts.iter_mut().zip(idle) {
            host.idle.splice(..0, idle);
        }
    }

    /// Closes what has idled too long, or has been closed by its peer. When to look again; none if nothing idles.
    fn close_old(&self) -> Option<Instant> {
        let now = Instant::now();
        self.close_idle(|idle| if idle.transport().is_quiet() { self.why_old(idle, now) } else { Some(Why::ByPeer) });
        let until = |idle: &Connection| {
            let worn_out = self.settings.max_lifetime.map(|max| idle.born + max);
            worn_out.into_iter().fold(idle.idle_since + self.settings.idle_timeout, Instant::min)
        };
        self.state.borrow().hosts.iter().flat_map(|(_, host)| &host.idle).map(|idle| until(idle)).min()
    }

    /// Closes those that idle and have a reason.
    fn close_idle(&self, why: impl Fn(&Connection) -> Option<Why>) {
        let mut state = self.state.borrow_mut();
        let mut closed = Vec::new();
        let State { hosts, open, idle, .. } = &mut *state;
        for (_, host) in hosts.iter_mut() {
            let before = closed.len();
            closed.extend(host.idle.extract_if(.., |idle| why(idle).is_some()));
            let gone = closed.len() - before;
            (host.open, *open, *idle) = (host.open - gone, *open - gone, *idle - gone);
        }
        drop(state);
        for mut connection in closed {
            let why = why(&connection).unwrap_or(Why::Idle);
            self.shut(&mut connection, why);
        }
    }
}

/// Why a connection on which something has happened must not be used. No borrow may be live: others may be woken (I3).
#[inline]
fn is_disturbed(connection: &Connection) -> Option<Why> {
    if connection.transport().is_quiet_of_late() { None } else { Some(Why::ByPeer) }
}

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

/// There is a task that sweeps, as long as this lives: it may be dropped with its loop, whose connections then serve nobody.
struct Sweeping {
    pool: Weak<Pool>,
}

impl Drop for Sweeping {
    fn drop(&mut self) {
        if let Some(pool) = self.pool.upgrade() {
            pool.sweeping.set(false);
            let sweeper = pool.sweeper.take();
            drop(sweeper);
            pool.close_idle(|_| Some(Why::Idle)); // nobody looks after them any more
        }
    }
}

impl Slot {
    /// Fills the place with a connection that was opened for it.
    pub(crate) fn fill(&mut self, transport: Transport) {
        self.pool.count(|stats| stats.opened += 1);
        self.connection_mut().open(transport);
    }

    #[inline]
    pub(crate) fn connection(&self) -> &Connection {
        self.connection.as_ref().expect("a slot has its connection until it is dropped")
    }

    #[inline]
    pub(crate) fn connection_mut(&mut self) -> &mut Connection {
        self.connection.as_mut().expect("a slot has its connection until it is dropped")
    }

    /// Closes the connection, which its peer had closed before; the place stays.
    pub(crate) fn empty_again(&mut self) {
        self.pool.count(|stats| stats.retries += 1);
        let pool = self.pool.clone();
        pool.shut(self.connection_mut(), Why::ByPeer);
    }
}

impl Drop for Slot {
    #[inline]
    fn drop(&mut self) {
        let Some(mut connection) = self.connection.take() else { return };
        if !connection.is_open() {
            return self.pool.pass_on(self.host, connection);
        }
        match connection.ends() {
            None => self.pool.take_back(self.host, connection),
            Some(Why::Asked) => {
                let why = self.pool.settings.wears_out(&connection).unwrap_or(Why::Asked); // we asked, perhaps
                self.pool.close(self.host, connection, why);
            }
            Some(why) => self.pool.close(self.host, connection, why),
        }
    }
}

/// Waits for a [`Slot`]. Dropping it gives up the place in line, or passes on what it was given.
pub(crate) struct Acquire<'a> {
    pool: &'a Rc<Pool>,
    url: &'a Url,
    waiter: Option<usize>,
}

impl Future for Acquire<'_> {
    type Output = Slot;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Slot> {
        let Acquire { pool, url, waiter: place } = &mut *self;
        let Some(waiter) = *place else {
            let waker = Some(cx.waker().clone());
            let mut state = pool.state.borrow_mut();
            let host = state.host(url.origin());
            // Nobody overtakes those who wait for the same host.
            if state.hosts[host].waiting.is_empty() {
                drop(state);
                if let Some(slot) = pool.try_acquire(host, url) {
                    return Poll::Ready(slot);
                }
                state = pool.state.borrow_mut();
            }
            state.arrivals += 1;
            let waiter = Waiter { host, arrival: state.arrivals, waker, given: None };
            let waiter = state.waiters.insert(waiter);
            state.hosts[host].waiting.push_back(waiter);
            *place = Some(waiter);
            waits::note(WaitReason::Connection);
            return Poll::Pending;
        };
        let given = pool.state.borrow_mut().take_given(waiter);
        if let Some((host, connection)) = given {
            *place = None;
            let why = if connection.is_open() { is_disturbed(&connection) } else { None };
            return Poll::Ready(pool.slot(host, connection, why));
        }
        let waker = Some(cx.waker().clone());
        let before = std::mem::replace(&mut pool.state.borrow_mut().waiters[waiter].waker, waker);
        drop(before);
        waits::note(WaitReason::Connection);
        Poll::Pending
    }
}

impl Drop for Acquire<'_> {
    #[inline]
    fn drop(&mut self) {
        if let Some(waiter) = self.waiter {
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
