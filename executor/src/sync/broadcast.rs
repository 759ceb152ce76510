//! Everybody hears everything.
//! Each receiver gets each value that is sent while it is there. The channel keeps the last so many; sending never
//! waits, and who is too slow is told how many values it has missed.
//!
//! ```text
//!          oldest kept                    newest
//!              │   ┌────┬────┬────┬────┐    │
//!     gone ◄───┴── │ 17 │ 18 │ 19 │ 20 │ ◄──┴── send(21): no room, 17 goes
//!                  └────┴────┴────┴────┘
//!      next: 15, has missed 2   next: 19   next: 21, waits
//! ```
//!
//! A value is dropped when its last reader has taken it, or when it is pushed out. Receivers get clones; the last
//! reader gets the value itself. Cloning and dropping values is foreign code: each lies in an `Rc` of its own, so that
//! it is cloned and dropped while nothing is borrowed (I3).
//! Not here: only the newest value (`watch`); a value for one of many (`queue`).   Next: `watch`.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::error::Error;
use std::fmt;
use std::rc::Rc;

use super::until::until;
use super::wait_list::WaitList;
use crate::waits::{LazyId, ResourceKind};

pub use super::error::SendError;

/// A channel that keeps the last `capacity` values for those who have not read them. Its ends stay on their thread.
/// Memory is taken as it is needed.
///
/// # Panics
/// If `capacity` is 0.
///
/// ```
/// # use windlass_executor::windlass;
/// use windlass::sync::broadcast;
/// # windlass_executor::doc(async {
/// let (sender, mut first) = broadcast::channel(16);
/// let mut second = sender.subscribe();
/// sender.send("tea is ready").unwrap();
/// assert_eq!(first.recv().await, Ok("tea is ready"));
/// assert_eq!(second.recv().await, Ok("tea is ready"));
/// # });
/// ```
#[track_caller]
pub fn channel<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    assert!(capacity > 0, "a channel has room for at least one value");
    let channel = Rc::new(Channel {
        kept: RefCell::new(VecDeque::new()),
        oldest: Cell::new(0),
        capacity,
        senders: Cell::new(1),
        receivers: Cell::new(0),
        line: WaitList::new(),
        id: LazyId::new(),
    });
    let sender = Sender { channel };
    let receiver = sender.subscribe();
    (sender, receiver)
}

struct Kept<T> {
    value: Rc<T>,
    /// Receivers that are still to read it. Who reads it has read those before it, so this never falls along the queue.
    readers: usize,
}

struct Channel<T> {
    kept: RefCell<VecDeque<Kept<T>>>,
    /// The number of the oldest value that is kept: how many were sent before it.
    oldest: Cell<u64>,
    capacity: usize,
    senders: Cell<usize>,
    receivers: Cell<usize>,
    /// Receivers that have read everything.
    line: WaitList<()>,
    id: LazyId,
}

impl<T> Channel<T> {
    /// The number that the next value will have.
    fn next(&self) -> u64 {
        self.oldest.get() + self.kept.borrow().len() as u64
    }

    /// Takes the oldest value out if nobody is to read it any more.
    fn take_read(&self) -> Option<Rc<T>> {
        let mut kept = self.kept.borrow_mut();
        if kept.front()?.readers > 0 {
            return None;
        }
        self.oldest.set(self.oldest.get() + 1);
        kept.pop_front().map(|kept| kept.value)
    }

    /// The value with this number, for one of its readers; the last takes it along.
    fn read(&self, number: u64) -> Rc<T> {
        let mut kept = self.kept.borrow_mut();
        let at = (number - self.oldest.get()) as usize;
        let found = kept.get_mut(at).expect("a number between the oldest and the next is kept");
        found.readers -= 1;
        if found.readers > 0 {
            return found.value.clone();
        }
        debug_assert_eq!(at, 0, "values before it have been read by all as well");
        self.oldest.set(self.oldest.get() + 1);
        kept.pop_front().expect("the oldest is kept").value
    }
}

/// Sends to all receivers. Each clone is one more sender; when the last is dropped, the receivers come to an end.
///
/// ```
/// # use windlass_executor::windlass;
/// let (sender, receiver) = windlass::sync::broadcast::channel(4);
/// assert_eq!(sender.send('a'), Ok(1));
/// drop(receiver);
/// assert!(sender.send('b').is_err());
/// ```
pub struct Sender<T> {
    channel: Rc<Channel<T>>,
}

impl<T> Sender<T> {
    /// Sends `value` to all receivers that are there, and returns how many. It never waits: with no room left, the
    /// oldest value goes.
    ///
    /// # Errors
    /// Gives `value` back if there is no receiver. One may still [`subscribe`](Sender::subscribe) later.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// let (sender, _receiver) = windlass::sync::broadcast::channel(4);
    /// let _second = sender.subscribe();
    /// assert_eq!(sender.send(1), Ok(2));
    /// ```
    pub fn send(&self, value: T) -> Result<usize, SendError<T>> {
        let channel = &*self.channel;
        let readers = channel.receivers.get();
        if readers == 0 {
            return Err(SendError(value));
        }
        let value = Rc::new(value);
        let pushed_out = {
            let mut kept = channel.kept.borrow_mut();
            let full = kept.len() == channel.capacity;
            let pushed_out = if full { kept.pop_front() } else { None };
            channel.oldest.set(channel.oldest.get() + full as u64);
            kept.push_back(Kept { value, readers });
            pushed_out
        };
        if !channel.line.is_empty() {
            channel.line.grant_while(|()| true);
        }
        drop(pushed_out); // foreign code: nothing is borrowed
        Ok(readers)
    }

    /// One more receiver. It gets what is sent from now on.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// # windlass_executor::doc(async {
    /// let (sender, _receiver) = windlass::sync::broadcast::channel(4);
    /// sender.send("before").unwrap();
    /// let mut late = sender.subscribe();
    /// sender.send("after").unwrap();
    /// assert_eq!(late.recv().await, Ok("after"));
    /// # });
    /// ```
    pub fn subscribe(&self) -> Receiver<T> {
        self.channel.receivers.set(self.channel.receivers.get() + 1);
        Receiver { channel: self.channel.clone(), next: self.channel.next() }
    }

    /// Receivers that are there.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// let (sender, _receiver) = windlass::sync::broadcast::channel::<u32>(4);
    /// assert_eq!(sender.receiver_count(), 1);
    /// ```
    pub fn receiver_count(&self) -> usize {
        self.channel.receivers.get()
    }

    /// Values that some receiver is still to read.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// let (sender, mut receiver) = windlass::sync::broadcast::channel(4);
    /// sender.send(1).unwrap();
    /// assert_eq!(sender.len(), 1);
    /// receiver.try_recv().unwrap();
    /// assert!(sender.is_empty());
    /// ```
    pub fn len(&self) -> usize {
        self.channel.kept.borrow().len()
    }

    /// True if all receivers have read everything.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// assert!(windlass::sync::broadcast::channel::<u32>(4).0.is_empty());
    /// ```
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// True if both send to the same receivers.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// let (sender, _receiver) = windlass::sync::broadcast::channel::<u32>(4);
    /// assert!(sender.same_channel(&sender.clone()));
    /// ```
    pub fn same_channel(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.channel, &other.channel)
    }

    /// What is left of futures that wait or waited: 0 when nobody waits.
    #[cfg(test)]
    pub(super) fn traces(&self) -> usize {
        self.channel.line.entries()
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.channel.senders.set(self.channel.senders.get() + 1);
        Sender { channel: self.channel.clone() }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let left = self.channel.senders.get() - 1;
        self.channel.senders.set(left);
        if left == 0 {
            self.channel.line.grant_while(|()| true);
        }
    }
}

/// Receives every value that is sent while it is there.
///
/// ```
/// # use windlass_executor::windlass;
/// use windlass::sync::broadcast::{self, RecvError};
/// # windlass_executor::doc(async {
/// let (sender, mut receiver) = broadcast::channel(2);
/// for number in 1..=5 {
///     sender.send(number).unwrap();
/// }
/// assert_eq!(receiver.recv().await, Err(RecvError::Lagged(3)));
/// assert_eq!(receiver.recv().await, Ok(4)); // the oldest that is still there
/// # });
/// ```
pub struct Receiver<T> {
    channel: Rc<Channel<T>>,
    next: u64,
}

impl<T> Receiver<T> {
    /// Values that this one is still to read, without those that it has missed.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// let (sender, receiver) = windlass::sync::broadcast::channel(2);
    /// (1..=3).for_each(|number| assert_eq!(sender.send(number), Ok(1)));
    /// assert_eq!(receiver.len(), 2);
    /// ```
    pub fn len(&self) -> usize {
        (self.channel.next() - self.next.max(self.channel.oldest.get())) as usize
    }

    /// True if this one has read everything.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// assert!(windlass::sync::broadcast::channel::<u32>(4).1.is_empty());
    /// ```
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// One more receiver of the channel. It gets what is sent from now on.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// let (sender, receiver) = windlass::sync::broadcast::channel::<u32>(4);
    /// let _second = receiver.resubscribe();
    /// assert_eq!(sender.receiver_count(), 2);
    /// ```
    pub fn resubscribe(&self) -> Self {
        self.channel.receivers.set(self.channel.receivers.get() + 1);
        Receiver { channel: self.channel.clone(), next: self.channel.next() }
    }

    fn may_recv(&self) -> bool {
        self.next != self.channel.next() || self.channel.senders.get() == 0
    }
}

impl<T: Clone> Receiver<T> {
    /// Waits for the next value.
    ///
    /// # Errors
    /// [`RecvError::Lagged`] if values were pushed out before this one read them: the next call goes on with the oldest
    /// that is still there. [`RecvError::Closed`] when everything is read and all senders are gone.
    ///
    /// # Cancel
    /// Dropping it loses nothing: a value counts as read only as this completes.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// # windlass_executor::doc(async {
    /// let (sender, mut receiver) = windlass::sync::broadcast::channel(4);
    /// let listener = windlass::spawn(async move { receiver.recv().await });
    /// sender.send("news").unwrap();
    /// assert_eq!(listener.await.unwrap(), Ok("news"));
    /// # });
    /// ```
    pub async fn recv(&mut self) -> Result<T, RecvError> {
        let note = || self.channel.id.note(ResourceKind::Message);
        until(&self.channel.line, || self.may_recv(), note).await;
        self.try_recv().map_err(|error| match error {
            TryRecvError::Lagged(missed) => RecvError::Lagged(missed),
            TryRecvError::Empty | TryRecvError::Closed => RecvError::Closed, // it was told of a value or of the end
        })
    }

    /// The next value, if one is there.
    ///
    /// # Errors
    /// As [`recv`](Receiver::recv); `Empty` if it would have to wait.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// use windlass::sync::broadcast::{self, TryRecvError};
    /// let (sender, mut receiver) = broadcast::channel(4);
    /// assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
    /// sender.send(1).unwrap();
    /// drop(sender);
    /// assert_eq!(receiver.try_recv(), Ok(1));
    /// assert_eq!(receiver.try_recv(), Err(TryRecvError::Closed));
    /// ```
    pub fn try_recv(&mut self) -> Result<T, TryRecvError> {
        let oldest = self.channel.oldest.get();
        if self.next < oldest {
            let missed = oldest - self.next;
            self.next = oldest;
            return Err(TryRecvError::Lagged(missed));
        }
        if self.next == self.channel.next() {
            let over = self.channel.senders.get() == 0;
            return Err(if over { TryRecvError::Closed } else { TryRecvError::Empty });
        }
        let value = self.channel.read(self.next);
        self.next += 1;
        Ok(Rc::unwrap_or_clone(value)) // foreign code: nothing is borrowed
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let channel = &*self.channel;
        channel.receivers.set(channel.receivers.get() - 1);
        let unread = self.next.saturating_sub(channel.oldest.get()) as usize;
        channel.kept.borrow_mut().iter_mut().skip(unread).for_each(|kept| kept.readers -= 1);
        while let Some(value) = channel.take_read() {
            drop(value); // foreign code: nothing is borrowed
        }
    }
}

/// Why nothing was received.
///
/// ```
/// # use windlass_executor::windlass;
/// use windlass::sync::broadcast::RecvError;
/// assert_eq!(RecvError::Lagged(3).to_string(), "receive: too slow, missed 3 values");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RecvError {
    /// All senders are gone, and everything is read.
    Closed,
    /// So many values were pushed out before they were read.
    Lagged(u64),
}

/// Why nothing was received at once.
///
/// ```
/// # use windlass_executor::windlass;
/// use windlass::sync::broadcast::TryRecvError;
/// assert_eq!(TryRecvError::Empty.to_string(), "receive: nothing here yet");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TryRecvError {
    /// Everything is read; more may come.
    Empty,
    /// All senders are gone, and everything is read.
    Closed,
    /// So many values were pushed out before they were read.
    Lagged(u64),
}

impl fmt::Display for RecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RecvError::Closed => TryRecvError::Closed.fmt(f),
            RecvError::Lagged(missed) => TryRecvError::Lagged(*missed).fmt(f),
        }
    }
}

impl fmt::Display for TryRecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TryRecvError::Empty => write!(f, "receive: nothing here yet"),
            TryRecvError::Closed => write!(f, "receive: closed"),
            TryRecvError::Lagged(missed) => write!(f, "receive: too slow, missed {missed} values"),
        }
    }
}

impl Error for RecvError {}
impl Error for TryRecvError {}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").field("len", &self.len()).field("receivers", &self.receiver_count()).finish()
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").field("len", &self.len()).field("next", &self.next).finish()
    }
}
