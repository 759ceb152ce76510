//! One value, handed over once.
//! What a task owes another: an answer, a result, the news that it is over. The writer cannot set it twice, because
//! sending consumes it; either side sees when the other has gone.
//!
//! ```text
//!                  ┌──────────── one allocation ────────────┐
//!   Sender ───────►│ Open ──send──► Sent ──poll──► Done     │◄─────── Receiver, a future
//!     closed() ◄───│   └──a side gone──► Closed             │
//!                  └────────────────────────────────────────┘
//! ```
//!
//! A promise that can fail is a channel of a [`Result`]: its error side is an `Err` that was sent. A sender dropped
//! without sending is an error of its own, [`RecvError`].
//! Not here: values that come one after the other (`mpsc`), or that several read (`watch`).   Next: `waker_slot`, where
//! each side waits; `mpsc`.

use std::cell::Cell;
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use super::waker_slot::{Forgotten, WakerSlot};
use crate::budget;
use crate::cell::Half;
use crate::waits::{LazyId, ResourceKind};

pub use super::error::{RecvError, TryRecvError};

/// A channel for one value. Its halves stay on their thread.
///
/// ```
/// # use windlass_executor::windlass;
/// use windlass::sync::oneshot;
/// # windlass_executor::doc(async {
/// let (sender, receiver) = oneshot::channel::<Result<u32, &str>>();
/// let asker = windlass::spawn(receiver);
/// sender.send(Err("out of paper")).unwrap();
/// assert_eq!(asker.await.unwrap(), Ok(Err("out of paper")));
/// # });
/// ```
#[inline]
pub fn channel<T>() -> (Sender<T>, Receiver<T>) {
    let [sends, receives] = Half::pair(Shared::default);
    (Sender { shared: sends }, Receiver { shared: receives })
}

#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
enum State {
    /// Both sides are there, and nothing was sent.
    #[default]
    Open,
    /// A side went before anything was sent.
    Closed,
    /// The value lies there.
    Sent,
    /// The value was taken.
    Done,
}

struct Shared<T> {
    state: Cell<State>,
    value: Cell<Option<T>>,
    /// Waits for the receiver to go.
    sender: WakerSlot,
    /// Waits for the value.
    receiver: WakerSlot,
    id: LazyId,
}

impl<T> Default for Shared<T> {
    #[inline]
    fn default() -> Self {
        Shared {
            state: Cell::default(),
            value: Cell::default(),
            sender: WakerSlot::default(),
            receiver: WakerSlot::default(),
            id: LazyId::new(),
        }
    }
}

/// Sends the value. Dropping it instead tells the receiver that nothing will come.
///
/// ```
/// # use windlass_executor::windlass;
/// # windlass_executor::doc(async {
/// let (sender, receiver) = windlass::sync::oneshot::channel();
/// drop(windlass::spawn(async move { sender.send(6 * 7) }));
/// assert_eq!(receiver.await, Ok(42));
/// # });
/// ```
pub struct Sender<T> {
    shared: Half<Shared<T>>,
}

impl<T> Sender<T> {
    /// Hands `value` over and wakes the receiver.
    ///
    /// # Errors
    /// Gives `value` back if the receiver is gone or closed. It may still go, with the value unread, after this succeeded.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// let (sender, mut receiver) = windlass::sync::oneshot::channel();
    /// receiver.close();
    /// assert_eq!(sender.send("too late"), Err("too late"));
    /// ```
    #[inline]
    pub fn send(self, value: T) -> Result<(), T> {
        if self.is_closed() {
            return Err(value);
        }
        self.shared.value.set(Some(value));
        self.shared.state.set(State::Sent);
        self.shared.receiver.wake();
        Ok(())
    }

    /// True if the receiver is gone or closed: nobody wants the value any more.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// let (sender, receiver) = windlass::sync::oneshot::channel::<u32>();
    /// assert!(!sender.is_closed());
    /// drop(receiver);
    /// assert!(sender.is_closed());
    /// ```
    #[inline]
    pub fn is_closed(&self) -> bool {
        self.shared.state.get() != State::Open
    }

    /// Completes when the receiver is gone or closed.
    ///
    /// # Cancel
    /// Dropping it forgets the waiter; the channel stays as it is.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// # windlass_executor::doc(async {
    /// let (mut sender, receiver) = windlass::sync::oneshot::channel::<u32>();
    /// let worker = windlass::spawn(async move { sender.closed().await });
    /// drop(receiver); // nobody wants the answer: the worker may stop
    /// worker.await.unwrap();
    /// # });
    /// ```
    pub async fn closed(&mut self) {
        let _forgotten = Forgotten(&self.shared.sender);
        poll_fn(|cx| self.poll_gone(cx)).await;
    }

    /// As [`closed`](Sender::closed), for a future written by hand: ready if the receiver is gone or closed, else the task
    /// of `cx` is woken when it is. One task waits at a time, the last that polled.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// # windlass_executor::doc(async {
    /// let (mut sender, receiver) = windlass::sync::oneshot::channel::<u32>();
    /// drop(receiver);
    /// std::future::poll_fn(|cx| sender.poll_closed(cx)).await;
    /// # });
    /// ```
    pub fn poll_closed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.poll_gone(cx)
    }

    fn poll_gone(&self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.is_closed() {
            self.shared.sender.register(cx.waker());
            if !self.is_closed() {
                self.shared.id.note(ResourceKind::Closed);
                return Poll::Pending;
            }
        }
        budget::poll_proceed(cx)
    }

    #[inline(never)]
    fn give_up(&self) {
        self.shared.state.set(State::Closed);
        self.shared.sender.clear();
        self.shared.receiver.wake();
    }
}

impl<T> Drop for Sender<T> {
    #[inline]
    fn drop(&mut self) {
        // After `send` there is nothing to do: what is left goes with the receiver.
        if self.shared.state.get() == State::Open {
            self.give_up();
        }
    }
}

/// Yields the value: it is a future.
///
/// # Errors
/// [`RecvError`] if the sender was dropped without sending, or this side was closed before anything was sent.
///
/// # Cancel
/// Dropping it drops the value, if one was sent, and tells the sender. To wait only for a while, await `&mut receiver`:
/// given up, it loses nothing.
///
/// # Panics
/// When polled again after it yielded the value.
///
/// ```
/// # use windlass_executor::windlass;
/// # windlass_executor::doc(async {
/// let (sender, receiver) = windlass::sync::oneshot::channel();
/// sender.send("done").unwrap();
/// assert_eq!(receiver.await, Ok("done"));
/// # });
/// ```
#[must_use = "futures do nothing unless awaited"]
pub struct Receiver<T> {
    shared: Half<Shared<T>>,
}

impl<T> Receiver<T> {
    /// The value, if it was sent and not yet taken.
    ///
    /// # Errors
    /// [`TryRecvError::Empty`] if it may still come, [`TryRecvError::Closed`] if it never will, also after it was taken.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// let (sender, mut receiver) = windlass::sync::oneshot::channel();
    /// assert!(receiver.try_recv().is_err());
    /// sender.send(1).unwrap();
    /// assert_eq!(receiver.try_recv(), Ok(1));
    /// ```
    #[inline]
    pub fn try_recv(&mut self) -> Result<T, TryRecvError> {
        match self.shared.state.get() {
            State::Open => Err(TryRecvError::Empty),
            State::Sent => Ok(self.take()),
            State::Done | State::Closed => Err(TryRecvError::Closed),
        }
    }

    /// Refuses what was not sent yet, and tells the sender. A value sent before can still be received.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// let (sender, mut receiver) = windlass::sync::oneshot::channel();
    /// sender.send(1).unwrap();
    /// receiver.close();
    /// assert_eq!(receiver.try_recv(), Ok(1));
    /// ```
    #[inline]
    pub fn close(&mut self) {
        if self.shared.state.get() == State::Open {
            self.shared.state.set(State::Closed);
            self.shared.sender.wake();
        }
    }

    /// For who has seen that no value lies there; ready if one does now, or none ever will.
    #[inline(never)]
    fn poll_wait(&self, cx: &mut Context<'_>) -> Poll<Result<(), RecvError>> {
        if self.shared.state.get() == State::Open {
            self.shared.receiver.register(cx.waker());
        }
        match self.shared.state.get() {
            State::Open => {
                self.shared.id.note(ResourceKind::Reply);
                Poll::Pending
            }
            State::Sent => Poll::Ready(Ok(())),
            State::Closed => budget::poll_proceed(cx).map(|()| Err(RecvError)),
            State::Done => panic!("a oneshot yields its value once: it was polled after that"),
        }
    }

    #[inline(never)]
    fn give_up(&mut self) {
        self.shared.receiver.clear();
        self.close();
    }

    #[inline]
    fn take(&mut self) -> T {
        self.shared.state.set(State::Done);
        self.shared.value.take().expect("a value that was sent lies there until it is taken")
    }
}

impl<T> Future for Receiver<T> {
    type Output = Result<T, RecvError>;

    #[inline(always)] // what need not wait is a few instructions, and the rest lies apart
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if self.shared.state.get() != State::Sent {
            ready!(self.poll_wait(cx))?;
        }
        ready!(budget::poll_proceed(cx));
        Poll::Ready(Ok(self.take()))
    }
}

impl<T> Drop for Receiver<T> {
    #[inline]
    fn drop(&mut self) {
        // Once sent, the sender is gone, and what is left goes with this side.
        if let State::Open | State::Closed = self.shared.state.get() {
            self.give_up();
        }
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").field("state", &self.shared.state.get()).finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").field("state", &self.shared.state.get()).finish_non_exhaustive()
    }
}
