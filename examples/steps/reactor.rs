//! What the kernel says.
//!
//! One call, `epoll_wait`, sleeps until *any* of our sockets has news, and says which. mio is that call behind a
//! portable face. A socket's token is its index in `sources`, and there its task leaves a waker.
//!
//! ```text
//!     Socket::ready(op) ──► op: read, write, accept ──► done: Ready
//!            ▲                └─ WouldBlock ──► sources[token] = my waker ──► Pending
//!            └── poll ◄── run queue ◄── wake ◄── turn: the kernel reports the token
//! ```
//!
//! The kernel tells *that* something changed, once for each change (edge-triggered); it does not say how much there is
//! to read, and it may no longer be true when we look. So a report is a hint to try again, and only the trying is true.
//!
//! What it leaves out: a socket that two tasks wait for (there is room for one waker); short writes; an event of this
//! turn may reach the next owner of its token (harmless, it tries in vain: in the real token a generation stands beside
//! the index).

use mio::event::Source;
use mio::{Events, Interest, Poll as Epoll, Token, Waker as Bell};
use slab::Slab;
use std::cell::RefCell;
use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Duration;

/// The bell's token. It is no index of `sources`, and nobody waits for it: that it ends the sleep is enough.
const BELL: Token = Token(usize::MAX);

pub(crate) struct Reactor {
    epoll: RefCell<Epoll>,
    sources: RefCell<Slab<Option<Waker>>>,
}

impl Reactor {
    /// A reactor, and the bell with which any thread ends its sleep: an eventfd that epoll watches like a socket.
    pub(crate) fn new() -> io::Result<(Rc<Reactor>, Bell)> {
        let epoll = Epoll::new()?;
        let bell = Bell::new(epoll.registry(), BELL)?;
        Ok((Rc::new(Reactor { epoll: RefCell::new(epoll), sources: RefCell::default() }), bell))
    }

    /// Sleeps until there is news, or `timeout` has passed, and wakes those whom it is for. Returns the number of
    /// events.
    pub(crate) fn turn(&self, events: &mut Events, timeout: Option<Duration>) -> io::Result<u64> {
        match self.epoll.borrow_mut().poll(events, timeout) {
            Err(e) if e.kind() == ErrorKind::Interrupted => return Ok(0), // a signal: there will be another turn
            done => done?,
        }
        let mut woken = Vec::new();
        for event in &*events {
            woken.extend(self.sources.borrow_mut().get_mut(event.token().0).and_then(Option::take));
        }
        woken.into_iter().for_each(Waker::wake); // no borrow is held any more: a wake is somebody else's code
        Ok(events.iter().count() as u64)
    }
}

/// A listener or a stream, watched by the reactor for as long as it lives.
pub(crate) struct Socket<S: Source> {
    io: S,
    token: Token,
    reactor: Rc<Reactor>,
}

impl<S: Source> Socket<S> {
    pub(crate) fn new(mut io: S, reactor: &Rc<Reactor>) -> io::Result<Socket<S>> {
        let token = Token(reactor.sources.borrow_mut().insert(None));
        reactor.epoll.borrow().registry().register(&mut io, token, Interest::READABLE | Interest::WRITABLE)?;
        Ok(Socket { io, token, reactor: Rc::clone(reactor) })
    }

    /// Completes when `op` says something else than "would block".
    pub(crate) async fn ready<T>(&mut self, mut op: impl FnMut(&mut S) -> io::Result<T>) -> io::Result<T> {
        poll_fn(|cx| match op(&mut self.io) {
            Err(e) if e.kind() == ErrorKind::WouldBlock => {
                let _before = self.reactor.sources.borrow_mut()[self.token.0].replace(cx.waker().clone());
                Poll::Pending
            }
            done => Poll::Ready(done),
        })
        .await
    }
}

impl<S: Source> Drop for Socket<S> {
    fn drop(&mut self) {
        // Before the socket is closed: the moment after, its number may be another socket's.
        let _ = self.reactor.epoll.borrow().registry().deregister(&mut self.io);
        let _waker = self.reactor.sources.borrow_mut().remove(self.token.0);
    }
}
