//! Who is connected, and for how much longer.
//!
//! Every connection has an entry here, in which it writes what it is at. One task for all of them counts ticks and calls
//! those whose time is up, so that a connection pays for its time-outs with two words written and no timer:
//!
//! ```text
//!   talk:     Idle ──► Head ──► Body ──► Busy ──► Write ──► Idle      each but Busy has a deadline, in ticks
//!   sweep:    sleep a tick ──► whose deadline has passed? ──► called, woken ──► it sees for itself: 408, or gone
//!   stop:     all are called ──► the idle go; others say `Connection: close` ──► grace is over: aborted
//! ```
//!
//! The price is exactness: a time-out comes late by up to two ticks, never early. A tick is an eighth of the shortest
//! time-out, at least a millisecond and at most a second.
//! Not here: what a connection says when it is called (`talk`).   Next: `talk`.

use std::cell::{Cell, OnceCell, RefCell};
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::ops::Deref;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Duration;

use slab::Slab;
use windlass_executor::JoinHandle;
use windlass_executor::sync::Notify;
use windlass_reactor::time::{sleep, timeout};

/// What a connection is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Nothing of a request has come.
    Idle,
    /// A part of a head has.
    Head,
    /// The head has, and not all of the body.
    Body,
    /// The peer does not read.
    Write,
    /// The last reply is out; what still comes is thrown away.
    Linger,
    /// The handler has it. That may take as long as it takes.
    Busy,
}

/// How long each phase but `Busy` may last, in their order.
pub(super) type Times = [Duration; 5];

/// The connections of one server.
pub(super) struct Tracker {
    entries: RefCell<Slab<Rc<Tracked>>>,
    tick: Cell<Duration>,
    /// The times of the phases, in ticks.
    ticks: [Cell<u64>; 5],
    /// How many ticks have passed while there was a connection.
    now: Cell<u64>,
    is_sweeping: Cell<bool>,
    is_stopping: Cell<bool>,
    /// Told when a connection has left.
    left: Notify,
    pub(super) opened: Cell<u64>,
    pub(super) refused: Cell<u64>,
    /// By the connections that have left.
    requests: Cell<u64>,
}

impl Tracker {
    pub(super) fn new() -> Rc<Tracker> {
        Rc::new(Tracker {
            entries: RefCell::default(),
            tick: Cell::default(),
            ticks: Default::default(),
            now: Cell::new(0),
            is_sweeping: Cell::new(false),
            is_stopping: Cell::new(false),
            left: Notify::new(),
            opened: Cell::new(0),
            refused: Cell::new(0),
            requests: Cell::new(0),
        })
    }

    pub(super) fn set_times(&self, times: &Times) {
        let shortest = times.iter().min().expect("there are five");
        let tick = (*shortest / 8).clamp(Duration::from_millis(1), Duration::from_secs(1));
        self.tick.set(tick);
        for (ticks, time) in self.ticks.iter().zip(times) {
            // One more, since a part of this one has passed.
            ticks.set(u64::try_from(time.as_nanos().div_ceil(tick.as_nanos())).unwrap_or(u64::MAX).saturating_add(1));
        }
    }

    /// Enters a connection. It leaves when the guest is dropped.
    pub(super) fn add(self: &Rc<Self>, peer: SocketAddr) -> Guest {
        let mut entries = self.entries.borrow_mut();
        let entry = entries.vacant_entry();
        let tracked = Rc::new(Tracked {
            tracker: Rc::clone(self),
            number: entry.key(),
            peer,
            requests: Cell::new(0),
            phase: Cell::new(Phase::Idle),
            deadline: Cell::new(self.deadline_of(Phase::Idle)),
            is_called: Cell::new(false),
            waker: OnceCell::new(),
            task: OnceCell::new(),
        });
        entry.insert(Rc::clone(&tracked));
        drop(entries);
        self.opened.set(self.opened.get() + 1);
        if !self.is_sweeping.replace(true) {
            drop(windlass_executor::spawn(Rc::clone(self).sweep()));
        }
        Guest(tracked)
    }

    pub(super) fn len(&self) -> usize {
        self.entries.borrow().len()
    }

    /// Where a phase ends that begins now. Busy has no end, and is not asked for.
    #[inline]
    fn deadline_of(&self, phase: Phase) -> u64 {
        self.now.get().saturating_add(self.ticks[phase as usize].get())
    }

    /// Waits until there are fewer than `bound` connections.
    pub(super) async fn fewer_than(&self, bound: usize) {
        while self.len() >= bound {
            self.left.notified().await;
        }
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.is_stopping.get()
    }

    /// Has every connection end with the exchange it is at, waits for that at most `grace`, and cuts the rest; at once
    /// if this is dropped.
    pub(super) async fn stop(&self, grace: Duration) {
        self.is_stopping.set(true);
        let cut = Cut(self);
        self.call(|_| true);
        let _in_time = timeout(grace, self.fewer_than(1)).await;
        drop(cut);
    }

    async fn sweep(self: Rc<Self>) {
        while self.len() > 0 {
            sleep(self.tick.get()).await;
            self.now.set(self.now.get() + 1);
            self.call(Tracked::is_due);
        }
        self.is_sweeping.set(false);
    }

    /// Calls those who are meant, with nothing borrowed (I3).
    fn call(&self, is_meant: impl Fn(&Tracked) -> bool) {
        for tracked in self.all(is_meant) {
            tracked.is_called.set(true);
            if let Some(waker) = tracked.waker.get() {
                waker.wake_by_ref();
            }
        }
    }

    fn all(&self, is_meant: impl Fn(&Tracked) -> bool) -> Vec<Rc<Tracked>> {
        self.entries.borrow().iter().map(|(_, tracked)| tracked).filter(|tracked| is_meant(tracked)).cloned().collect()
    }
}

struct Cut<'a>(&'a Tracker);

impl Drop for Cut<'_> {
    fn drop(&mut self) {
        for tracked in self.0.all(|_| true) {
            tracked.task.get().map(JoinHandle::abort);
        }
    }
}

/// A connection's entry.
pub(super) struct Tracked {
    pub(super) tracker: Rc<Tracker>,
    number: usize,
    pub(super) peer: SocketAddr,
    /// How many it has been asked.
    pub(super) requests: Cell<u64>,
    pub(super) phase: Cell<Phase>,
    /// The tick at which it may be in this phase no longer.
    deadline: Cell<u64>,
    /// It is to look whether its time is up, or the server stops.
    is_called: Cell<bool>,
    waker: OnceCell<Waker>,
    task: OnceCell<JoinHandle<()>>,
}

impl Tracked {
    /// Says what to abort.
    pub(super) fn set_task(&self, task: JoinHandle<()>) {
        let _ = self.task.set(task); // it is done once
    }

    /// Says whom to wake.
    pub(super) fn set_waker(&self, waker: Waker) {
        let _ = self.waker.set(waker); // a task keeps its waker
    }

    /// Waits in `phase`, unless it may not do so any more. The time of a phase counts from when it was entered.
    ///
    /// # Errors
    /// `TimedOut`, or `Interrupted` if the server stops and nothing is under way.
    #[inline]
    pub(super) fn wait<T>(&self, phase: Phase) -> Poll<io::Result<T>> {
        if self.phase.get() != phase {
            self.phase.set(phase);
            self.deadline.set(self.tracker.deadline_of(phase));
        }
        if self.is_called.get() { self.heed() } else { Poll::Pending }
    }

    #[cold]
    fn heed<T>(&self) -> Poll<io::Result<T>> {
        self.is_called.set(self.tracker.is_stopping()); // it is to go when what is under way has ended, too
        if self.is_due() {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        if self.tracker.is_stopping() && self.phase.get() == Phase::Idle {
            return Poll::Ready(Err(io::ErrorKind::Interrupted.into()));
        }
        Poll::Pending
    }

    /// To call a busy one would do no harm, and no good.
    fn is_due(&self) -> bool {
        self.phase.get() != Phase::Busy && self.deadline.get() <= self.tracker.now.get()
    }
}

/// A connection is entered as long as this lives.
pub(super) struct Guest(Rc<Tracked>);

impl Deref for Guest {
    type Target = Rc<Tracked>;

    fn deref(&self) -> &Rc<Tracked> {
        &self.0
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let tracker = &self.tracker;
        let entry = tracker.entries.borrow_mut().remove(self.number);
        drop(entry); // with nothing borrowed (I3)
        tracker.requests.set(tracker.requests.get() + self.requests.get());
        tracker.left.notify_one();
    }
}

/// How a server is doing, now.
///
/// It belongs to its thread; a clone looks at the same server.
///
/// ```
/// # use windlass_net::windlass;
/// use windlass::http::{Client, Reply, Server, Url};
/// # windlass_reactor::doc_real(async {
/// let server = Server::bind("127.0.0.1:0".parse().unwrap())?;
/// let (url, stats) = (Url::parse(&format!("http://{}/", server.local_addr()?)).unwrap(), server.stats());
/// windlass::spawn(server.run(|_request| Reply::text(200, "hello")));
/// let client = Client::new();
/// for _ in 0..3 {
///     client.get(&url).send().await.unwrap().bytes().await.unwrap();
/// }
/// assert_eq!((stats.opened(), stats.open(), stats.requests(), stats.refused()), (1, 1, 3, 0));
/// # std::io::Result::Ok(()) }).unwrap();
/// ```
#[derive(Clone)]
pub struct ServerStats {
    pub(super) tracker: Rc<Tracker>,
}

impl ServerStats {
    /// Connections taken in since it was bound.
    ///
    /// ```
    /// # windlass_reactor::doc_real(async {
    /// # let server = windlass_net::http::Server::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    /// assert_eq!(server.stats().opened(), 0);
    /// # });
    /// ```
    pub fn opened(&self) -> u64 {
        self.tracker.opened.get()
    }

    /// Connections that are open.
    ///
    /// ```
    /// # windlass_reactor::doc_real(async {
    /// # let server = windlass_net::http::Server::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    /// assert_eq!(server.stats().open(), 0);
    /// # });
    /// ```
    pub fn open(&self) -> usize {
        self.tracker.len()
    }

    /// Connections of these with an exchange under way: a part of a request has come, or not all of a reply has gone. O(n).
    ///
    /// ```
    /// # windlass_reactor::doc_real(async {
    /// # let server = windlass_net::http::Server::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    /// assert_eq!(server.stats().busy(), 0);
    /// # });
    /// ```
    pub fn busy(&self) -> usize {
        let entries = self.tracker.entries.borrow();
        entries.iter().filter(|(_, tracked)| tracked.phase.get() != Phase::Idle).count()
    }

    /// Requests that the handler has answered, or is answering. O(n) in the connections.
    ///
    /// ```
    /// # windlass_reactor::doc_real(async {
    /// # let server = windlass_net::http::Server::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    /// assert_eq!(server.stats().requests(), 0);
    /// # });
    /// ```
    pub fn requests(&self) -> u64 {
        let open: u64 = self.tracker.entries.borrow().iter().map(|(_, tracked)| tracked.requests.get()).sum();
        self.tracker.requests.get() + open
    }

    /// Requests that were refused before a handler saw them: malformed, too large, too slow.
    ///
    /// ```
    /// # windlass_reactor::doc_real(async {
    /// # let server = windlass_net::http::Server::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    /// assert_eq!(server.stats().refused(), 0);
    /// # });
    /// ```
    pub fn refused(&self) -> u64 {
        self.tracker.refused.get()
    }
}

impl fmt::Debug for ServerStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut stats = f.debug_struct("ServerStats");
        stats.field("opened", &self.opened()).field("open", &self.open()).field("busy", &self.busy());
        stats.field("requests", &self.requests()).field("refused", &self.refused()).finish()
    }
}
