//! Values from threads into a loop, and between threads.
//! A queue under a lock, with room for so many. Whoever finds it empty or full leaves a waker, a task's or a sleeping
//! thread's, and is woken once.
//!
//! ```text
//!   Sender ──┐  line: 7, 8, 9        ┌───────────────┐
//!   Sender ──┼─ (full: wait here) ─► │ v v v ·  ·  · │ ──► Receiver: a waker, while it waits
//!   Sender ──┘                       └───────────────┘
//!
//!   room = capacity - values         the first `room` in line may go, and have been told; nobody else may
//! ```
//!
//! A burst of values wakes the receiver once: the first takes its waker, the others find none. Who leaves the line unsent
//! lets the next one go. Nothing foreign (wakers, values) is touched under the lock.
//! Not here: channels within a loop, which need no lock ([`sync::mpsc`](crate::sync::mpsc)).   Next: `inbox`.

use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use super::{Mutex, MutexGuard, SendError, TryRecvError, TrySendError, block_on, lock, wake};
use crate::budget;
use crate::waits::{self, ResourceId, ResourceKind, WaitReason};

/// A channel with room for `capacity` values, whose ends may go to any thread. Memory is taken as it is needed.
///
/// # Panics
/// If `capacity` is 0.
///
/// ```
/// # use windlass_executor::windlass;
/// # windlass_executor::doc(async {
/// let (sender, mut receiver) = windlass::remote::channel(2);
/// let thread = std::thread::spawn(move || {
///     for number in 1..=5 {
///         sender.blocking_send(number).unwrap(); // waits for room
///     }
/// });
/// let mut sum = 0;
/// while let Some(number) = receiver.recv().await {
///     sum += number;
/// }
/// assert_eq!(sum, 15);
/// thread.join().unwrap();
/// # });
/// ```
#[track_caller]
pub fn channel<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    assert!(capacity > 0, "a channel has room for at least one value");
    let state =
        State { values: VecDeque::new(), senders: 1, closed: false, waker: None, line: VecDeque::new(), last: 0 };
    let channel = Arc::new(Channel { state: Mutex::new(state), capacity, id: ResourceId::next_of_process() });
    (Sender { channel: channel.clone() }, Receiver { channel })
}

struct Channel<T> {
    state: Mutex<State<T>>,
    capacity: usize,
    id: ResourceId,
}

struct State<T> {
    values: VecDeque<T>,
    senders: usize,
    /// The receiver is gone.
    closed: bool,
    /// The receiver's, while it waits.
    waker: Option<Waker>,
    /// Who waits for room, by ticket. Who was told to go has no waker here, and keeps its place until it has gone.
    line: VecDeque<(u64, Option<Waker>)>,
    last: u64,
}

impl<T> Channel<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        lock(&self.state)
    }

    /// How many values more there is room for, be it promised to who waits or not.
    fn room(&self, state: &State<T>) -> usize {
        self.capacity - state.values.len()
    }

    /// Who may go now that one more may: to be woken after the lock.
    fn next(&self, state: &mut State<T>) -> Option<Waker> {
        state.line.get_mut(self.room(state).checked_sub(1)?)?.1.take()
    }

    /// Takes a value out, and says whom to wake.
    fn take(&self, state: &mut State<T>) -> Option<(T, Option<Waker>)> {
        let value = state.values.pop_front()?;
        Some((value, self.next(state)))
    }

    fn note(&self, kind: ResourceKind) {
        waits::note(WaitReason::Resource { kind, id: self.id });
    }
}

/// Sends into the channel. Each clone is one more sender; when the last is dropped, the receiver comes to an end.
///
/// ```
/// # use windlass_executor::windlass;
/// # windlass_executor::doc(async {
/// let (sender, mut receiver) = windlass::remote::channel(8);
/// let second = sender.clone();
/// std::thread::spawn(move || second.try_send("from a thread").unwrap()).join().unwrap();
/// drop(sender);
/// assert_eq!(receiver.recv().await, Some("from a thread"));
/// assert_eq!(receiver.recv().await, None);
/// # });
/// ```
pub struct Sender<T> {
    channel: Arc<Channel<T>>,
}

impl<T> Sender<T> {
    /// Sends `value` if there is room that nobody waits for.
    ///
    /// # Errors
    /// Gives `value` back if there is none, or the receiver is gone.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// use windlass::remote::{self, TrySendError};
    /// let (sender, receiver) = remote::channel(1);
    /// sender.try_send(1).unwrap();
    /// assert_eq!(sender.try_send(2), Err(TrySendError::Full(2)));
    /// drop(receiver);
    /// assert_eq!(sender.try_send(3), Err(TrySendError::Closed(3)));
    /// ```
    pub fn try_send(&self, value: T) -> Result<(), TrySendError<T>> {
        let mut state = self.channel.lock();
        if state.closed {
            return Err(TrySendError::Closed(value));
        }
        if state.line.len() >= self.channel.room(&state) {
            return Err(TrySendError::Full(value));
        }
        state.values.push_back(value);
        let receiver = state.waker.take();
        drop(state);
        wake(receiver);
        Ok(())
    }

    /// Waits for room, in turn, and sends `value`: from a task of a loop, or of another runtime.
    ///
    /// # Errors
    /// Gives `value` back if the receiver is gone.
    ///
    /// # Cancel
    /// Dropped before it completed, nothing was sent: `value` is dropped with it, and its place in line goes to the next.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// # windlass_executor::doc(async {
    /// let (sender, receiver) = windlass::remote::channel(1);
    /// sender.send(1).await.unwrap();
    /// let thread = std::thread::spawn(move || { receiver }.blocking_recv());
    /// sender.send(2).await.ok(); // when the thread has taken the first, if it is still there for the second
    /// assert_eq!(thread.join().unwrap(), Some(1));
    /// # });
    /// ```
    pub async fn send(&self, value: T) -> Result<(), SendError<T>> {
        let mut sending = Sending { channel: &self.channel, value: Some(value), ticket: None };
        poll_fn(|cx| {
            ready!(budget::poll_proceed(cx));
            sending.poll(cx)
        })
        .await
    }

    /// As [`send`](Sender::send), from a thread, which it blocks until there is room.
    ///
    /// # Errors
    /// Gives `value` back if the receiver is gone.
    ///
    /// # Panics
    /// Inside a running loop, which it would stop: use [`send`](Sender::send) there.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// let (sender, receiver) = windlass::remote::channel(1);
    /// sender.blocking_send("first").unwrap();
    /// let blocks = std::thread::spawn(move || sender.blocking_send("second"));
    /// drop(receiver); // lets it go
    /// assert_eq!(blocks.join().unwrap().unwrap_err().0, "second");
    /// ```
    #[track_caller]
    pub fn blocking_send(&self, value: T) -> Result<(), SendError<T>> {
        let mut sending = Sending { channel: &self.channel, value: Some(value), ticket: None };
        block_on("blocking_send", poll_fn(|cx| sending.poll(cx)))
    }
}

/// A value that waits for room. Its ticket, if it has one, is in line.
struct Sending<'a, T> {
    channel: &'a Channel<T>,
    value: Option<T>,
    ticket: Option<u64>,
}

impl<T> Sending<'_, T> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SendError<T>>> {
        let waker = cx.waker().clone(); // foreign, so not under the lock
        let mut state = self.channel.lock();
        let mut value = || self.value.take().expect("a value is sent once");
        if state.closed {
            return Poll::Ready(Err(SendError(value())));
        }
        let place = state.place(self.ticket);
        if place.unwrap_or(state.line.len()) >= self.channel.room(&state) {
            let before = match place {
                Some(place) => state.line[place].1.replace(waker),
                None => {
                    self.ticket = Some(state.join_line(waker));
                    None
                }
            };
            drop(state);
            drop(before); // foreign, too
            self.channel.note(ResourceKind::RemoteCapacity);
            return Poll::Pending;
        }
        state.values.push_back(value());
        let left = place.and_then(|place| state.line.remove(place));
        self.ticket = None;
        let receiver = state.waker.take();
        drop(state);
        drop(left);
        wake(receiver);
        Poll::Ready(Ok(()))
    }
}

impl<T> State<T> {
    /// Who may go stands in front, so that they are found soon.
    fn place(&self, ticket: Option<u64>) -> Option<usize> {
        self.line.iter().position(|(number, _)| Some(*number) == ticket)
    }

    fn join_line(&mut self, waker: Waker) -> u64 {
        self.last += 1;
        self.line.push_back((self.last, Some(waker)));
        self.last
    }
}

impl<T> Drop for Sending<'_, T> {
    fn drop(&mut self) {
        if self.ticket.is_none() {
            return;
        }
        let mut state = self.channel.lock();
        let left = state.place(self.ticket).and_then(|place| state.line.remove(place));
        let next = self.channel.next(&mut state);
        drop(state);
        drop(left);
        wake(next);
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.channel.lock().senders += 1;
        Sender { channel: self.channel.clone() }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let mut state = self.channel.lock();
        state.senders -= 1;
        let receiver = if state.senders == 0 { state.waker.take() } else { None };
        drop(state);
        wake(receiver);
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("remote::Sender").field("id", &self.channel.id).finish_non_exhaustive()
    }
}

/// Receives from the channel. Dropping it drops what was not received, here, and lets all senders go.
///
/// ```
/// # use windlass_executor::windlass;
/// let (sender, receiver) = windlass::remote::channel(1);
/// sender.try_send(String::from("not received")).unwrap();
/// drop(receiver);
/// assert!(sender.try_send(String::from("late")).is_err());
/// ```
pub struct Receiver<T> {
    channel: Arc<Channel<T>>,
}

impl<T> Receiver<T> {
    /// Waits for the next value. None when all senders are gone and nothing is left.
    ///
    /// # Cancel
    /// Dropping it loses nothing: a value leaves the channel only as this completes. Its waker goes with it.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// # windlass_executor::doc(async {
    /// let (sender, mut receiver) = windlass::remote::channel(1);
    /// std::thread::spawn(move || sender.blocking_send(7).unwrap());
    /// assert_eq!(receiver.recv().await, Some(7));
    /// assert_eq!(receiver.recv().await, None);
    /// # });
    /// ```
    pub async fn recv(&mut self) -> Option<T> {
        let mut receiving = Receiving { receiver: self, waits: false };
        poll_fn(|cx| {
            ready!(budget::poll_proceed(cx));
            receiving.poll(cx)
        })
        .await
    }

    /// As [`recv`](Receiver::recv), on a thread, which it blocks.
    ///
    /// # Panics
    /// Inside a running loop, which it would stop: use [`recv`](Receiver::recv) there.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// let (sender, mut receiver) = windlass::remote::channel(1);
    /// let thread = std::thread::spawn(move || receiver.blocking_recv());
    /// sender.try_send(7).unwrap();
    /// assert_eq!(thread.join().unwrap(), Some(7));
    /// ```
    #[track_caller]
    pub fn blocking_recv(&mut self) -> Option<T> {
        block_on("blocking_recv", poll_fn(|cx| self.poll(cx)))
    }

    /// The next value, if it is here.
    ///
    /// # Errors
    /// [`TryRecvError::Empty`] if none is; [`TryRecvError::Closed`] if none will be.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// use windlass::remote::{self, TryRecvError};
    /// let (sender, mut receiver) = remote::channel(1);
    /// assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
    /// sender.try_send(7).unwrap();
    /// drop(sender);
    /// assert_eq!(receiver.try_recv(), Ok(7));
    /// assert_eq!(receiver.try_recv(), Err(TryRecvError::Closed));
    /// ```
    pub fn try_recv(&mut self) -> Result<T, TryRecvError> {
        let mut state = self.channel.lock();
        let Some((value, next)) = self.channel.take(&mut state) else {
            return Err(if state.senders == 0 { TryRecvError::Closed } else { TryRecvError::Empty });
        };
        drop(state);
        wake(next);
        Ok(value)
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<T>> {
        let waker = cx.waker().clone(); // foreign, so not under the lock
        let mut state = self.channel.lock();
        if let Some((value, next)) = self.channel.take(&mut state) {
            drop(state);
            wake(next);
            return Poll::Ready(Some(value));
        }
        if state.senders == 0 {
            return Poll::Ready(None);
        }
        let before = state.waker.replace(waker);
        drop(state);
        drop(before); // foreign, too
        self.channel.note(ResourceKind::RemoteMessage);
        Poll::Pending
    }
}

/// A receiver that waits for a value. Its waker, if it has left one, is in the channel.
struct Receiving<'a, T> {
    receiver: &'a mut Receiver<T>,
    waits: bool,
}

impl<T> Receiving<'_, T> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<T>> {
        let polled = self.receiver.poll(cx);
        self.waits = polled.is_pending();
        polled
    }
}

impl<T> Drop for Receiving<'_, T> {
    fn drop(&mut self) {
        if self.waits {
            let waker = self.receiver.channel.lock().waker.take();
            drop(waker); // foreign, so not under the lock
        }
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let mut state = self.channel.lock();
        state.closed = true;
        let left = (std::mem::take(&mut state.values), state.waker.take());
        let line = std::mem::take(&mut state.line);
        drop(state);
        line.into_iter().for_each(|(_, waiting)| wake(waiting));
        drop(left);
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("remote::Receiver").field("id", &self.channel.id).finish_non_exhaustive()
    }
}
