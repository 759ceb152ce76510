//! One turn: what has happened, and what is due.
//!
//! ```text
//!   turn(wait)
//!     1. how long?   until the wheel's next deadline, or not at all
//!     2. epoll_wait  the only place where a loop sleeps
//!     3. events      token ──► source: mark, take wakers ┐
//!     4. time        one look at the clock; due timers   ├─ borrows end
//!     5. wake        all of them, in this order          ┘  then foreign code runs (I3)
//! ```
//!
//! Timers that were set with a duration get their deadlines at the turn's first look at the clock: before step 2 if it
//! may wait, else after it.
//!
//! Events come before timers: an answer that arrived together with its time-out counts.
//! A paused clock jumps in step 4, if nothing else happened and the loop had nothing else to do.
//! Next: `sources` and `wheel`, the two tables; the facade, which calls `turn`.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use windlass_executor::LoopId;

use crate::clock::{Clock, nanos};
use crate::sources::{Happened, SourceKey, Sources, Wakers};
use crate::wheel::{Fired, Wheel};

/// Events taken from the kernel in one turn; more wait for the next. In 12 KiB, at 12 bytes each: ready sockets by the
/// thousand cost one call.
const EVENTS_MAX: usize = 1024;
/// The longest wait that is asked of the kernel at once: epoll counts milliseconds in 31 bits, which is 24.8 days.
const WAIT_MAX: Duration = Duration::from_secs(20 * 24 * 3600);
/// Polls between two turns that may find their timers pending before one of them makes a turn: as many polls cost some
/// ten microseconds, and the turn's system call a small part of that.
const POLLS_IN_VAIN_MAX: u32 = 1024;
/// The token of the loop's own waker: no source gets index 2^32 - 1.
const UNPARK: Token = Token(usize::MAX);

/// How a turn may pass its time.
///
/// ```
/// # use windlass_reactor::Wait;
/// # windlass_reactor::doc_reactor(|reactor| {
/// reactor.turn(Wait::No)?; // looks, and comes back at once
/// # Ok(()) });
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wait {
    /// Not at all: tasks are ready.
    No,
    /// Until an event, the next deadline or an unpark. A paused clock may jump.
    Yes,
    /// As `Yes`, but a paused clock stands: something outside the loop (a blocking call) is still to come.
    HoldClock,
}

/// Sums over a reactor's life; differences of two give what happened in between.
///
/// ```
/// # use windlass_reactor::Wait;
/// # windlass_reactor::doc_reactor(|reactor| {
/// let before = reactor.counts();
/// reactor.turn(Wait::No)?;
/// assert_eq!(reactor.counts().syscalls - before.syscalls, 1); // epoll_wait
/// # Ok(()) });
/// ```
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Counts {
    /// Events for sources.
    pub events: u64,
    /// Events for sources that were gone.
    pub stale_events: u64,
    /// Timers fired.
    pub timers_fired: u64,
    /// Timers set.
    pub timers_set: u64,
    /// Timers dropped before they fired.
    pub timers_cancelled: u64,
    /// Turns that were allowed to wait.
    pub waits: u64,
    /// Time spent waiting in the kernel, in nanoseconds.
    pub waited_ns: u64,
    /// Time between the waits while the reactor was entered, in nanoseconds.
    pub busy_ns: u64,
    /// System calls made by the reactor and reported by those who make theirs through it.
    pub syscalls: u64,
    /// How many of those found nothing to do (`EAGAIN`).
    pub would_block: u64,
}

#[derive(Default)]
pub(crate) struct Cells {
    events: Cell<u64>,
    stale_events: Cell<u64>,
    timers_fired: Cell<u64>,
    waits: Cell<u64>,
    waited_ns: Cell<u64>,
    busy_ns: Cell<u64>,
    pub(crate) syscalls: Cell<u64>,
    pub(crate) would_block: Cell<u64>,
}

#[inline]
pub(crate) fn add(cell: &Cell<u64>, n: u64) {
    cell.set(cell.get() + n);
}

/// The kernel's end of a loop: an epoll instance, before there is a reactor around it.
///
/// ```
/// let (poller, unparker) = windlass_reactor::Poller::new()?;
/// # drop((poller, unparker));
/// # std::io::Result::Ok(())
/// ```
#[derive(Debug)]
pub struct Poller(Poll);

/// Wakes a loop that sleeps in its turn, from any thread.
///
/// ```
/// # use windlass_reactor::{Poller, Reactor, Wait};
/// # let executor = windlass_executor::Executor::new(|| {}).unwrap();
/// let (poller, unparker) = Poller::new()?;
/// let (reactor, remote) = (Reactor::new(poller, executor.id()), unparker.clone());
/// std::thread::spawn(move || remote.unpark());
/// reactor.turn(Wait::Yes)?; // ends, though there is no timer and no source
/// # drop(unparker);
/// # std::io::Result::Ok(())
/// ```
#[derive(Clone, Debug)]
pub struct Unparker(Arc<mio::Waker>);

impl Poller {
    /// An epoll instance, and what ends its waits.
    ///
    /// # Errors
    /// If there are no descriptors left for the two.
    ///
    /// ```
    /// use windlass_executor::Executor;
    /// use windlass_reactor::{Poller, Reactor, Wait};
    /// let (poller, unparker) = Poller::new()?;
    /// let executor = Executor::new(move || unparker.unpark()).unwrap();
    /// let reactor = Reactor::new(poller, executor.id());
    /// reactor.turn(Wait::No)?;
    /// # std::io::Result::Ok(())
    /// ```
    pub fn new() -> io::Result<(Poller, Unparker)> {
        let poll = Poll::new()?;
        let waker = mio::Waker::new(poll.registry(), UNPARK)?;
        Ok((Poller(poll), Unparker(Arc::new(waker))))
    }

    #[cfg(test)]
    pub(crate) fn registry(&self) -> &mio::Registry {
        self.0.registry()
    }
}

impl Unparker {
    /// Ends the wait that is under way, or the next one.
    ///
    /// ```
    /// # use windlass_reactor::{Poller, Reactor, Wait};
    /// # let executor = windlass_executor::Executor::new(|| {}).unwrap();
    /// let (poller, unparker) = Poller::new()?;
    /// let reactor = Reactor::new(poller, executor.id());
    /// unparker.unpark();
    /// reactor.turn(Wait::Yes)?; // the next wait ends at once
    /// # std::io::Result::Ok(())
    /// ```
    pub fn unpark(&self) {
        // It fails only if its descriptor was closed behind our back; the loop then finds its messages a turn later.
        let _ = self.0.wake();
    }
}

/// The sources and timers of one loop.
///
/// Whoever owns it calls [`turn`](Reactor::turn) when the tasks have had theirs.
///
/// ```
/// use windlass_executor::Executor;
/// use windlass_reactor::{Poller, Reactor, Wait};
/// let (poller, unparker) = Poller::new()?;
/// let executor = Executor::new({ let unparker = unparker.clone(); move || unparker.unpark() }).unwrap();
/// let reactor = Reactor::new(poller, executor.id());
/// unparker.unpark();
/// reactor.turn(Wait::Yes)?; // does not wait: it was unparked
/// assert_eq!(reactor.counts().timers_fired, 0);
/// # std::io::Result::Ok(())
/// ```
#[derive(Debug)]
pub struct Reactor(Rc<Inner>);

pub(crate) struct Inner {
    pub(crate) loop_id: LoopId,
    pub(crate) clock: Clock,
    pub(crate) counts: Cells,
    pub(crate) sources: RefCell<Sources>,
    pub(crate) wheel: RefCell<Wheel>,
    poll: RefCell<Poll>,
    events: RefCell<Events>,
    /// What the last turn saw on the clock when its wait was over: what a future may take for now without asking.
    turned_at_ns: Cell<u64>,
    /// From when on the time is to be counted as busy.
    busy_from_ns: Cell<u64>,
    /// When the kernel was last asked what has happened: in the last turn, or since.
    pub(crate) heard_at_ns: Cell<u64>,
    /// How many of [`POLLS_IN_VAIN_MAX`] there may still be.
    polls_left: Cell<u32>,
    /// Room for wakers and timers on their way out, kept so that a warm turn allocates nothing.
    wakers: Cell<Wakers>,
    fired: Cell<Vec<Fired>>,
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reactor").field("loop", &self.loop_id).finish_non_exhaustive()
    }
}

impl Reactor {
    /// A reactor with the system's clock.
    ///
    /// ```
    /// # use windlass_reactor::{Poller, Reactor};
    /// # let executor = windlass_executor::Executor::new(|| {}).unwrap();
    /// let (poller, _unparker) = Poller::new()?;
    /// let reactor = Reactor::new(poller, executor.id());
    /// assert_eq!(reactor.next_deadline(), None);
    /// # std::io::Result::Ok(())
    /// ```
    pub fn new(poller: Poller, loop_id: LoopId) -> Self {
        Self::with_clock(poller, loop_id, Clock::real())
    }

    /// A reactor whose clock is paused.
    ///
    /// ```
    /// # use windlass_reactor::{Poller, Reactor, time::Instant};
    /// # let executor = windlass_executor::Executor::new(|| {}).unwrap();
    /// let (poller, _unparker) = Poller::new()?;
    /// let reactor = Reactor::paused(poller, executor.id());
    /// let _entered = reactor.enter();
    /// assert_eq!(Instant::now(), Instant::now());
    /// # std::io::Result::Ok(())
    /// ```
    pub fn paused(poller: Poller, loop_id: LoopId) -> Self {
        Self::with_clock(poller, loop_id, Clock::paused())
    }

    pub(crate) fn with_clock(poller: Poller, loop_id: LoopId, clock: Clock) -> Self {
        let now = clock.now();
        let inner = Rc::new(Inner {
            loop_id,
            clock,
            counts: Cells::default(),
            sources: RefCell::default(),
            wheel: RefCell::new(Wheel::new(now)),
            poll: RefCell::new(poller.0),
            events: RefCell::new(Events::with_capacity(EVENTS_MAX)),
            turned_at_ns: Cell::new(now),
            busy_from_ns: Cell::new(now),
            heard_at_ns: Cell::new(now),
            polls_left: Cell::new(POLLS_IN_VAIN_MAX),
            wakers: Cell::default(),
            fired: Cell::default(),
        });
        OF_THREAD.with_borrow_mut(|reactors| {
            reactors.retain(|(_, reactor)| reactor.strong_count() > 0);
            reactors.push((loop_id, Rc::downgrade(&inner)));
        });
        Reactor(inner)
    }

    /// Makes this the thread's current reactor until the guard drops.
    ///
    /// ```
    /// # windlass_reactor::doc_reactor(|reactor| {
    /// let entered = reactor.enter();
    /// windlass_reactor::count_syscalls(1); // finds it
    /// drop(entered);
    /// assert_eq!(reactor.counts().syscalls, 1);
    /// # Ok(()) });
    /// ```
    pub fn enter(&self) -> Enter {
        // A thread that is ending has no current reactor any more: what a loop drops then finds itself outside.
        let _ = CURRENT.try_with(|current| {
            let before = current.replace(Some(self.0.clone()));
            assert!(before.is_none(), "one loop at a time is entered on a thread");
        });
        self.0.busy_from_ns.set(self.0.clock.now());
        Enter(())
    }

    /// One turn: waits as `wait` allows, then wakes whoever has an event or is due.
    ///
    /// # Errors
    /// If the kernel will not wait, which only a broken epoll descriptor can cause.
    ///
    /// ```
    /// # use windlass_reactor::Wait;
    /// # windlass_reactor::doc_reactor(|reactor| {
    /// reactor.turn(Wait::No)?;
    /// assert_eq!(reactor.counts().timers_fired, 0);
    /// # Ok(()) });
    /// ```
    pub fn turn(&self, wait: Wait) -> io::Result<()> {
        self.0.turn(wait, || ())
    }

    /// As [`turn`](Reactor::turn); calls `awake` when the wait is over and nobody has been woken yet.
    ///
    /// # Errors
    /// As `turn`.
    ///
    /// ```
    /// # use windlass_reactor::Wait;
    /// # windlass_reactor::doc_reactor(|reactor| {
    /// let mut woke = false;
    /// reactor.turn_and_tell(Wait::No, || woke = true)?;
    /// assert!(woke);
    /// # Ok(()) });
    /// ```
    pub fn turn_and_tell(&self, wait: Wait, awake: impl FnOnce()) -> io::Result<()> {
        self.0.turn(wait, awake)
    }

    /// When the loop must next turn for a timer, on its own clock, from now. None if there is no timer.
    ///
    /// ```
    /// # use windlass_reactor::windlass;
    /// # use std::{pin::pin, task::{Context, Waker}, time::Duration};
    /// # windlass_reactor::doc_reactor(|reactor| {
    /// # let _entered = reactor.enter();
    /// let mut nap = pin!(windlass::time::sleep(Duration::from_secs(3)));
    /// assert!(nap.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    /// assert!(reactor.next_deadline().unwrap() <= Duration::from_secs(3));
    /// # Ok(()) });
    /// ```
    pub fn next_deadline(&self) -> Option<Duration> {
        let now = self.0.date_timers();
        let next = self.0.wheel.borrow().next_deadline()?;
        Some(Duration::from_nanos(next.saturating_sub(now)))
    }

    /// When the last turn's wait was over, in nanoseconds since the epoch of [`Instant`](crate::time::Instant).
    ///
    /// ```
    /// # use windlass_reactor::Wait;
    /// # windlass_reactor::doc_reactor(|reactor| {
    /// let made_ns = reactor.turned_at_ns();
    /// reactor.turn(Wait::No)?;
    /// assert!(reactor.turned_at_ns() >= made_ns);
    /// # Ok(()) });
    /// ```
    pub fn turned_at_ns(&self) -> u64 {
        self.0.turned_at_ns.get()
    }

    /// How long ago that was, in nanoseconds. It reads the clock; while that is paused, none at all.
    ///
    /// ```
    /// # windlass_reactor::doc_reactor(|reactor| {
    /// let before_ns = reactor.since_turn_ns();
    /// assert!(reactor.since_turn_ns() >= before_ns);
    /// # Ok(()) });
    /// ```
    #[inline]
    pub fn since_turn_ns(&self) -> u64 {
        self.0.clock.now().saturating_sub(self.turned_at_ns())
    }

    /// Counts the time since the last turn as busy: when there will be no next one for a while.
    ///
    /// ```
    /// # windlass_reactor::doc_reactor(|reactor| {
    /// let _entered = reactor.enter();
    /// let before_ns = reactor.counts().busy_ns;
    /// reactor.count_busy();
    /// assert!(reactor.counts().busy_ns >= before_ns);
    /// # Ok(()) });
    /// ```
    pub fn count_busy(&self) {
        self.0.busy_until(self.0.clock.now());
    }

    /// The sums so far.
    ///
    /// ```
    /// # use windlass_reactor::Wait;
    /// # windlass_reactor::doc_reactor(|reactor| {
    /// reactor.turn(Wait::No)?;
    /// assert_eq!((reactor.counts().syscalls, reactor.counts().events), (1, 0));
    /// # Ok(()) });
    /// ```
    pub fn counts(&self) -> Counts {
        let counts = &self.0.counts;
        let (timers_set, timers_over) = self.0.wheel.borrow().set_and_over();
        Counts {
            events: counts.events.get(),
            stale_events: counts.stale_events.get(),
            timers_fired: counts.timers_fired.get(),
            timers_set,
            timers_cancelled: timers_over - counts.timers_fired.get(),
            waits: counts.waits.get(),
            waited_ns: counts.waited_ns.get(),
            busy_ns: counts.busy_ns.get(),
            syscalls: counts.syscalls.get(),
            would_block: counts.would_block.get(),
        }
    }

    /// How many sources are registered.
    ///
    /// ```
    /// # use windlass_reactor::windlass;
    /// # windlass_reactor::doc_reactor(|reactor| {
    /// # let _entered = reactor.enter();
    /// let (socket, _peer) = std::os::unix::net::UnixStream::pair()?;
    /// socket.set_nonblocking(true)?;
    /// let source = windlass::io::AsyncFd::new(socket)?;
    /// assert_eq!(reactor.sources(), 1);
    /// drop(source);
    /// assert_eq!(reactor.sources(), 0);
    /// # Ok(()) });
    /// ```
    pub fn sources(&self) -> usize {
        self.0.sources.borrow().len()
    }

    /// How many timers are pending.
    ///
    /// ```
    /// # use windlass_reactor::windlass;
    /// # windlass_reactor::doc_reactor(|reactor| {
    /// # let _entered = reactor.enter();
    /// let _nap = windlass::time::sleep(std::time::Duration::from_secs(3));
    /// assert_eq!(reactor.timers(), 0); // it is set when it is first polled
    /// # Ok(()) });
    /// ```
    pub fn timers(&self) -> usize {
        self.0.wheel.borrow().len()
    }
}

impl AsRawFd for Reactor {
    /// The epoll descriptor, which is readable when a turn would find an event.
    fn as_raw_fd(&self) -> RawFd {
        self.0.poll.borrow().as_raw_fd()
    }
}

impl Inner {
    fn turn(&self, wait: Wait, awake: impl FnOnce()) -> io::Result<()> {
        self.polls_left.set(POLLS_IN_VAIN_MAX);
        let began = (wait != Wait::No).then(|| self.date_timers());
        let happened = self.poll_events(self.timeout(wait, began))?;
        if wait == Wait::Yes && !happened && self.clock.is_paused() {
            let next = self.wheel.borrow().next_deadline();
            self.clock.move_to(next.unwrap_or(0)); // back to 0 moves nothing
        }
        let now = self.clock.now().max(self.turned_at_ns.get()); // whatever the system's clock does (I6)
        if let Some(began) = began {
            add(&self.counts.waits, 1);
            add(&self.counts.waited_ns, now.saturating_sub(began));
            self.busy_until(began);
        } else {
            self.wheel.borrow_mut().date(now);
            self.busy_until(now);
        }
        self.busy_from_ns.set(now);
        self.turned_at_ns.set(now);
        self.heard_at_ns.set(now);
        awake();
        if happened {
            self.wake_sources();
        }
        self.wake_timers(now);
        Ok(())
    }

    /// What has passed since the last wait, or since the reactor was entered, was work.
    fn busy_until(&self, now: u64) {
        add(&self.counts.busy_ns, now.saturating_sub(self.busy_from_ns.replace(now)));
    }

    /// Looks at the clock, and counts the time of undated timers from there: when it is next read, and before a paused
    /// clock is moved.
    pub(crate) fn date_timers(&self) -> u64 {
        let now = self.clock.now();
        self.wheel.borrow_mut().date(now);
        now
    }

    /// Counts the polls that found their timer pending. A task that polls one over and over without giving way keeps the
    /// loop from its turn: then the turn is made here. No borrow is live but that of the thread's current reactor.
    #[inline]
    pub(crate) fn polled_in_vain(&self) {
        let left = self.polls_left.get() - 1;
        self.polls_left.set(left);
        if left == 0 {
            self.turn_meanwhile();
        }
    }

    #[cold]
    fn turn_meanwhile(&self) {
        let _ = self.turn(Wait::No, || ()); // if the kernel fails, it will tell the loop too
    }

    #[inline]
    fn timeout(&self, wait: Wait, now: Option<u64>) -> Option<Duration> {
        let Some(now) = now else { return Some(Duration::ZERO) };
        let next = self.wheel.borrow().next_deadline();
        match (wait, next) {
            // Nothing can run: if there is no event either, a paused clock jumps instead of waiting.
            (Wait::Yes, Some(_)) if self.clock.is_paused() => Some(Duration::ZERO),
            (Wait::HoldClock, Some(next)) if self.clock.is_paused() => (next <= now).then_some(Duration::ZERO),
            (_, None) => None,
            (_, Some(next)) => Some(Duration::from_nanos(next.saturating_sub(now)).min(WAIT_MAX)),
        }
    }

    /// Asks the kernel. True if anything happened, the loop's own unpark included.
    fn poll_events(&self, timeout: Option<Duration>) -> io::Result<bool> {
        add(&self.counts.syscalls, 1);
        let mut events = self.events.borrow_mut();
        match self.poll.borrow_mut().poll(&mut events, timeout) {
            Ok(()) => Ok(!events.is_empty()),
            // A signal: as if the wait had been too short. The clock decides what is due.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                events.clear();
                Ok(true)
            }
            Err(error) => Err(error),
        }
    }

    /// Whether what it knows of its sources may be older than `age`.
    #[inline]
    pub(crate) fn has_not_heard_for(&self, age: Duration) -> bool {
        self.clock.has_passed(self.heard_at_ns.get().saturating_add(nanos(age)))
    }

    /// Asks the kernel between two turns.
    fn hear(&self) {
        let now = self.clock.now();
        if let Ok(happened) = self.poll_events(Some(Duration::ZERO)) {
            self.heard_at_ns.set(now);
            if happened {
                self.wake_sources();
            }
        }
    }

    fn wake_sources(&self) {
        let mut wakers = self.wakers.take();
        {
            let events = self.events.borrow();
            let mut sources = self.sources.borrow_mut();
            for event in events.iter().filter(|event| event.token() != UNPARK) {
                let failed = event.is_error() || (event.is_read_closed() && event.is_write_closed());
                let happened = Happened {
                    readable: event.is_readable(),
                    writable: event.is_writable(),
                    read_closed: event.is_read_closed() || failed,
                    write_closed: event.is_write_closed() || failed,
                    urgent: event.is_priority(),
                };
                let known = sources.mark(SourceKey::from_token(event.token()), happened, &mut wakers);
                add(if known { &self.counts.events } else { &self.counts.stale_events }, 1);
            }
        }
        wake_all(wakers.drain(..));
        self.wakers.set(wakers);
    }

    fn wake_timers(&self, now: u64) {
        let due = self.wheel.borrow().next_deadline().is_some_and(|next| next <= now);
        if !due {
            return;
        }
        let mut fired = self.fired.take();
        self.wheel.borrow_mut().advance(now, &mut fired);
        add(&self.counts.timers_fired, fired.len() as u64);
        wake_all(fired.drain(..).map(|timer| timer.waker));
        self.fired.set(fired);
    }

    /// What a future may take for now.
    #[inline]
    pub(crate) fn turned_at_ns(&self) -> u64 {
        self.turned_at_ns.get()
    }

    /// Has the kernel watch `fd` in both directions, telling changes only.
    pub(crate) fn register(&self, fd: BorrowedFd<'_>) -> io::Result<SourceKey> {
        let key = self.sources.borrow_mut().insert();
        add(&self.counts.syscalls, 1);
        let interest = Interest::READABLE | Interest::WRITABLE;
        #[cfg(target_os = "linux")]
        let interest = interest | Interest::PRIORITY; // urgent data: reads end in front of it
        let watched = self.poll.borrow().registry().register(&mut SourceFd(&fd.as_raw_fd()), key.to_token(), interest);
        if let Err(error) = watched {
            self.sources.borrow_mut().remove(key, &mut Wakers::new()); // nobody waits yet
            return Err(error);
        }
        Ok(key)
    }

    /// Ends the watch. To be called while `fd` is open (I7). Who waits is woken, to find the source gone.
    pub(crate) fn deregister(&self, key: SourceKey, fd: BorrowedFd<'_>) {
        add(&self.counts.syscalls, 1);
        // It can fail only if the descriptor is not watched any more, which is what we want.
        let _ = self.poll.borrow().registry().deregister(&mut SourceFd(&fd.as_raw_fd()));
        let mut wakers = Wakers::new();
        self.sources.borrow_mut().remove(key, &mut wakers);
        wake_all(wakers);
    }
}

/// Wakes one after the other, with no borrow live (I3). One that panics has had its say in the panic hook, and keeps
/// nothing from the others.
fn wake_all(wakers: impl IntoIterator<Item = Waker>) {
    let mut wakers = wakers.into_iter();
    while let Err(panic) = catch_unwind(AssertUnwindSafe(|| wakers.by_ref().for_each(Waker::wake))) {
        // Dropping what it panicked with may panic too, and dropping that payload again: the third is forgotten.
        let again = catch_unwind(AssertUnwindSafe(|| drop(panic)));
        catch_unwind(AssertUnwindSafe(|| drop(again))).unwrap_or_else(std::mem::forget);
    }
}

thread_local! {
    static CURRENT: RefCell<Option<Rc<Inner>>> = const { RefCell::new(None) };
    /// The reactors made on this thread, entered or not: what is dropped between two runs finds its own here.
    static OF_THREAD: RefCell<Vec<(LoopId, Weak<Inner>)>> = const { RefCell::new(Vec::new()) };
}

/// Calls `f` with the thread's current reactor. None if there is none, or the thread is ending.
#[inline]
pub(crate) fn with_current<R>(f: impl FnOnce(&Inner) -> R) -> Option<R> {
    CURRENT.try_with(|current| current.borrow().as_deref().map(f)).ok().flatten()
}

/// Calls `f` with the reactor of loop `id`, be it the current one or not. None if it is another thread's, or gone.
#[inline]
pub(crate) fn with_loop<R>(id: LoopId, f: impl FnOnce(&Inner) -> R) -> Option<R> {
    let here = CURRENT.try_with(|current| {
        let current = current.borrow();
        let not_entered;
        let reactor = match current.as_deref() {
            Some(current) if current.loop_id == id => current,
            _ => {
                not_entered = of_thread(id)?;
                &*not_entered
            }
        };
        Some(f(reactor))
    });
    here.ok().flatten()
}

/// The reactor of loop `id`, if it is this thread's and alive.
#[cold]
pub(crate) fn of_thread(id: LoopId) -> Option<Rc<Inner>> {
    OF_THREAD
        .try_with(|reactors| {
            reactors.borrow().iter().find(|(of, _)| *of == id).and_then(|(_, reactor)| reactor.upgrade())
        })
        .ok()
        .flatten()
}

/// Adds to the count of system calls of the current loop: for those that are not made through an
/// [`AsyncFd`](crate::AsyncFd), such as `socket` and `connect`.
///
/// ```
/// # windlass_reactor::doc_reactor(|reactor| {
/// let _entered = reactor.enter();
/// windlass_reactor::count_syscalls(2); // a `socket` and a `connect`
/// assert_eq!(reactor.counts().syscalls, 2);
/// # Ok(()) });
/// ```
pub fn count_syscalls(n: u64) {
    with_current(|reactor| add(&reactor.counts.syscalls, n));
}

/// Has the current loop ask the kernel between two turns. No borrow of it is held: wakers run (I3).
#[cold]
pub(crate) fn hear() {
    let current = CURRENT.try_with(|current| current.borrow().clone()).ok().flatten();
    if let Some(reactor) = current {
        reactor.hear();
    }
}

/// While this lives, its reactor is the thread's current one.
///
/// ```
/// # windlass_reactor::doc_reactor(|reactor| {
/// let entered = reactor.enter();
/// drop(entered);
/// let _entered_again = reactor.enter();
/// # Ok(()) });
/// ```
#[derive(Debug)]
#[must_use = "the reactor is left when this drops"]
pub struct Enter(());

impl Drop for Enter {
    fn drop(&mut self) {
        let left = CURRENT.try_with(|current| current.borrow_mut().take());
        drop(left);
    }
}
