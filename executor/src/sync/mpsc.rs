//! Many send, one receives.
//! Values come out in the order in which they were sent. A channel has room for so many, and who sends more waits for
//! room, first come first served; or it has no bound, and nobody ever waits to send.
//!
//! ```text
//!   Sender ──┐                       ┌───────────────┐
//!   Sender ──┼─ wait for a place ──► │ v v v ·  ·  · │ ──► Receiver
//!   Sender ──┘                       └───────────────┘
//!                                      taken  promised: a permit, or granted to who waits first
//!
//!   places = free + promised + taken        free > 0: nobody waits        a place given up goes to who waits first
//! ```
//!
//! A place is promised before anything is sent into it: [`Sender::reserve`] waits for the promise, and the value stays
//! with the caller until it can no longer be refused. There is one type of sender; without a bound its
//! [`try_send`](Sender::try_send) always finds room.
//! Not here: several receivers, who share the values (`queue`) or get each of them (`broadcast`).
//! Next: `permits`, which promises the places; `queue`.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, ready};

use super::permits::{Claim, Closed, Permits, Take};
use super::until::until;
use super::wait_list::WaitList;
use super::waker_slot::{Forgotten, WakerSlot};
use crate::budget;
use crate::waits::ResourceKind;

pub use super::error::{SendError, TryRecvError, TrySendError};

/// A channel with room for `capacity` values. Its ends stay on their thread. Memory is taken as it is needed.
///
/// # Panics
/// If `capacity` is 0.
///
/// ```
/// # use windlass_executor::windlass;
/// use windlass::sync::mpsc;
/// # windlass_executor::doc(async {
/// let (sender, mut receiver) = mpsc::channel(2);
/// let producer = windlass::spawn(async move {
///     for number in 1..=5 {
///         sender.send(number).await.unwrap(); // waits for room
///     }
/// });
/// let mut sum = 0;
/// while let Some(number) = receiver.recv().await {
///     sum += number;
/// }
/// assert_eq!(sum, 15);
/// producer.await.unwrap();
/// # });
/// ```
#[inline]
#[track_caller]
pub fn channel<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    assert!(capacity > 0, "a channel has room for at least one value");
    let channel = Rc::new(Channel {
        values: Values::default(),
        room: Permits::new(ResourceKind::Capacity, capacity),
        capacity,
        senders: Cell::new(1),
        reading: Cell::new(Reading::Open),
        receiver: WakerSlot::default(),
        closed: WaitList::new(),
    });
    (Sender { channel: channel.clone() }, Receiver { channel })
}

/// A channel without a bound: [`Sender::try_send`] never finds it full. What is not received takes memory.
///
/// ```
/// # use windlass_executor::windlass;
/// use windlass::sync::mpsc;
/// # windlass_executor::doc(async {
/// let (sender, mut receiver) = mpsc::unbounded();
/// for number in 0..1_000 {
///     sender.try_send(number).unwrap();
/// }
/// assert_eq!(receiver.recv().await, Some(0));
/// assert_eq!(receiver.len(), 999);
/// # });
/// ```
#[inline]
pub fn unbounded<T>() -> (Sender<T>, Receiver<T>) {
    channel(usize::MAX)
}

/// What the receiver will still do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Reading {
    /// Take what comes.
    Open,
    /// Take what was sent or promised before it closed.
    Closed,
    /// Nothing: it was dropped.
    Gone,
}

struct Channel<T> {
    values: Values<T>,
    /// The places that hold no value and are promised to nobody, and who waits for one.
    room: Permits,
    capacity: usize,
    senders: Cell<usize>,
    reading: Cell<Reading>,
    receiver: WakerSlot,
    /// Waits for the receiver to close.
    closed: WaitList<()>,
}

impl<T> Channel<T> {
    #[inline]
    fn is_closed(&self) -> bool {
        self.reading.get() != Reading::Open
    }

    /// Puts a value into a place that was promised to it, while the receiver is there.
    #[inline]
    fn put(&self, value: T) {
        self.values.push(value);
        self.receiver.wake();
    }

    /// Takes a value out; its place goes to who waits first.
    #[inline]
    fn take(&self) -> Option<T> {
        let value = self.values.pop()?;
        self.room.give(1);
        Some(value)
    }

    /// True if nothing is there and nothing can come any more.
    #[inline]
    fn is_over(&self) -> bool {
        if self.senders.get() == 0 {
            return self.values.len() == 0;
        }
        self.is_closed() && self.room.free() == self.capacity
    }

    /// True if a value is there, or none ever will be.
    #[inline]
    fn may_recv(&self) -> bool {
        self.values.len() > 0 || self.is_over()
    }

    fn close(&self, reading: Reading) {
        if self.reading.replace(reading) == Reading::Open {
            self.room.close();
            self.closed.grant_while(|()| true);
        }
    }
}

/// What was sent and not yet received. The oldest has a place of its own if it came when nothing was there: to and fro
/// between two who keep up with each other, that is all there is.
struct Values<T> {
    len: Cell<usize>,
    oldest: Cell<Option<T>>,
    /// What came after it.
    others: RefCell<VecDeque<T>>,
}

impl<T> Values<T> {
    #[inline]
    fn len(&self) -> usize {
        self.len.get()
    }

    #[inline]
    fn push(&self, value: T) {
        let before = self.len.replace(self.len.get() + 1);
        if before == 0 {
            self.oldest.set(Some(value)); // nothing was there: no foreign drop
        } else {
            self.push_behind(value);
        }
    }

    #[inline(never)]
    fn push_behind(&self, value: T) {
        self.others.borrow_mut().push_back(value);
    }

    #[inline]
    fn pop(&self) -> Option<T> {
        let left = self.len.get().checked_sub(1)?;
        self.len.set(left);
        self.oldest.take().or_else(|| self.others.borrow_mut().pop_front())
    }

    /// What is dropped next is all of them.
    fn take(&self) -> Values<T> {
        Values { len: self.len.take().into(), oldest: self.oldest.take().into(), others: self.others.take().into() }
    }
}

impl<T> Default for Values<T> {
    #[inline]
    fn default() -> Self {
        Values { len: Cell::new(0), oldest: Cell::new(None), others: RefCell::default() }
    }
}

/// Whatever was promised is used or given up when this is dropped: a receiver that waits for it learns that it is over.
struct Unpromise<'a, T>(&'a Channel<T>);

impl<T> Drop for Unpromise<'_, T> {
    #[inline]
    fn drop(&mut self) {
        if self.0.is_closed() && self.0.is_over() {
            self.0.receiver.wake();
        }
    }
}

/// Sends into the channel. Each clone is one more sender; when the last is dropped, the receiver comes to an end.
///
/// ```
/// # use windlass_executor::windlass;
/// # windlass_executor::doc(async {
/// let (sender, mut receiver) = windlass::sync::mpsc::channel(8);
/// let second = sender.clone();
/// sender.send("first").await.unwrap();
/// second.send("second").await.unwrap();
/// drop((sender, second));
/// assert_eq!(receiver.recv().await, Some("first"));
/// assert_eq!(receiver.recv().await, Some("second"));
/// assert_eq!(receiver.recv().await, None);
/// # });
/// ```
pub struct Sender<T> {
    channel: Rc<Channel<T>>,
}

impl<T> Sender<T> {
    /// Waits for room, in turn, and sends `value`.
    ///
    /// # Errors
    /// Gives `value` back if the receiver is gone or closed.
    ///
    /// # Cancel
    /// Dropped before it completed, nothing was sent: `value` is dropped with it, and its place in line goes to the next.
    /// To keep the value, [`reserve`](Sender::reserve) first.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// # windlass_executor::doc(async {
    /// let (sender, mut receiver) = windlass::sync::mpsc::channel(1);
    /// sender.send(1).await.unwrap();
    /// assert_eq!(receiver.recv().await, Some(1));
    /// # });
    /// ```
    #[inline]
    pub async fn send(&self, value: T) -> Result<(), SendError<T>> {
        match self.reserve().await {
            Ok(permit) => {
                permit.send(value);
                Ok(())
            }
            Err(SendError(())) => Err(SendError(value)),
        }
    }

    /// Sends `value` if there is room and nobody waits for it.
    ///
    /// # Errors
    /// Gives `value` back: `Full` if it would have to wait, `Closed` if the receiver is gone or closed.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// use windlass::sync::mpsc::{self, TrySendError};
    /// let (sender, _receiver) = mpsc::channel(1);
    /// assert_eq!(sender.try_send('a'), Ok(()));
    /// assert_eq!(sender.try_send('b'), Err(TrySendError::Full('b')));
    /// ```
    #[inline]
    pub fn try_send(&self, value: T) -> Result<(), TrySendError<T>> {
        if self.channel.room.try_take(1) {
            self.channel.put(value); // it is there: else there were no room
            return Ok(());
        }
        Err(if self.is_closed() { TrySendError::Closed(value) } else { TrySendError::Full(value) })
    }

    /// Waits for room, in turn, and is promised it.
    ///
    /// # Errors
    /// If the receiver is gone or closed.
    ///
    /// # Cancel
    /// Dropping it gives its place in line up, or the room, if it was promised already, to the next.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// # windlass_executor::doc(async {
    /// let (sender, mut receiver) = windlass::sync::mpsc::channel(1);
    /// let permit = sender.reserve().await.unwrap();
    /// let job = String::from("made only when there is room for it");
    /// permit.send(job);
    /// assert!(receiver.recv().await.is_some());
    /// # });
    /// ```
    #[inline]
    pub fn reserve(&self) -> impl Future<Output = Result<Permit<'_, T>, SendError<()>>> {
        Take::new(Place(Unpromise(&self.channel)))
    }

    /// Is promised room if there is some and nobody waits for it.
    ///
    /// # Errors
    /// `Full` if it would have to wait, `Closed` if the receiver is gone or closed.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// let (sender, _receiver) = windlass::sync::mpsc::channel::<u32>(1);
    /// let permit = sender.try_reserve().unwrap();
    /// assert!(sender.try_reserve().is_err());
    /// drop(permit);
    /// assert!(sender.try_reserve().is_ok());
    /// ```
    #[inline]
    pub fn try_reserve(&self) -> Result<Permit<'_, T>, TrySendError<()>> {
        if self.channel.room.try_take(1) {
            return Ok(Permit { promise: Unpromise(&self.channel) });
        }
        Err(if self.is_closed() { TrySendError::Closed(()) } else { TrySendError::Full(()) })
    }

    /// True if the receiver is gone or closed.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// let (sender, receiver) = windlass::sync::mpsc::channel::<u32>(1);
    /// drop(receiver);
    /// assert!(sender.is_closed());
    /// ```
    #[inline]
    pub fn is_closed(&self) -> bool {
        self.channel.is_closed()
    }

    /// Completes when the receiver is gone or closed.
    ///
    /// # Cancel
    /// Dropping it forgets the waiter; the channel stays as it is.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// # windlass_executor::doc(async {
    /// let (sender, receiver) = windlass::sync::mpsc::channel::<u32>(1);
    /// let producer = windlass::spawn(async move { sender.closed().await });
    /// drop(receiver);
    /// producer.await.unwrap();
    /// # });
    /// ```
    pub async fn closed(&self) {
        let note = || self.channel.room.note(ResourceKind::Closed);
        until(&self.channel.closed, || self.is_closed(), note).await;
    }

    /// Places that are free now. Of a channel without a bound: what is left of [`usize::MAX`].
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// let (sender, _receiver) = windlass::sync::mpsc::channel(3);
    /// sender.try_send(1).unwrap();
    /// assert_eq!((sender.capacity(), sender.max_capacity()), (2, 3));
    /// ```
    #[inline]
    pub fn capacity(&self) -> usize {
        self.channel.room.free()
    }

    /// Places in all; [`usize::MAX`] without a bound.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// let (sender, _receiver) = windlass::sync::mpsc::unbounded::<u32>();
    /// assert_eq!(sender.max_capacity(), usize::MAX);
    /// ```
    #[inline]
    pub fn max_capacity(&self) -> usize {
        self.channel.capacity
    }

    /// True if both send into one channel.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// use windlass::sync::mpsc;
    /// let ((one, _receiver), (other, _other)) = (mpsc::channel::<u32>(1), mpsc::channel(1));
    /// assert!(one.same_channel(&one.clone()) && !one.same_channel(&other));
    /// ```
    pub fn same_channel(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.channel, &other.channel)
    }

    /// A sender that does not count: the receiver comes to an end without regard to it.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// let (sender, mut receiver) = windlass::sync::mpsc::channel::<u32>(1);
    /// let weak = sender.downgrade();
    /// drop(sender);
    /// assert!(weak.upgrade().is_none());
    /// assert_eq!(receiver.try_recv(), Err(windlass::sync::mpsc::TryRecvError::Closed));
    /// ```
    pub fn downgrade(&self) -> WeakSender<T> {
        WeakSender { channel: Rc::downgrade(&self.channel) }
    }

    /// What is left of futures that wait or waited: 0 when nobody waits.
    #[cfg(test)]
    pub(super) fn traces(&self) -> usize {
        self.channel.room.entries() + self.channel.closed.entries()
    }
}

impl<T> Clone for Sender<T> {
    #[inline]
    fn clone(&self) -> Self {
        self.channel.senders.set(self.channel.senders.get() + 1);
        Sender { channel: self.channel.clone() }
    }
}

impl<T> Drop for Sender<T> {
    #[inline]
    fn drop(&mut self) {
        let left = self.channel.senders.get() - 1;
        self.channel.senders.set(left);
        if left == 0 {
            self.channel.receiver.wake();
        }
    }
}

/// A claim to a place.
struct Place<'a, T>(Unpromise<'a, T>);

impl<'a, T> Claim for Place<'a, T> {
    type Output = Result<Permit<'a, T>, SendError<()>>;

    #[inline]
    fn permits(&self) -> &Permits {
        &self.0.0.room
    }

    #[inline]
    fn wanted(&self) -> usize {
        1
    }

    #[inline]
    fn output(self, taken: Result<(), Closed>) -> Self::Output {
        taken.map(|()| Permit { promise: self.0 }).map_err(|Closed| SendError(()))
    }
}

/// A sender that does not keep its channel open.
///
/// ```
/// # use windlass_executor::windlass;
/// # windlass_executor::doc(async {
/// let (sender, mut receiver) = windlass::sync::mpsc::channel(1);
/// let weak = sender.downgrade();
/// weak.upgrade().expect("a sender is there").send(1).await.unwrap();
/// assert_eq!(receiver.recv().await, Some(1));
/// # });
/// ```
pub struct WeakSender<T> {
    channel: Weak<Channel<T>>,
}

impl<T> WeakSender<T> {
    /// A sender, if one is still there.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// let (sender, _receiver) = windlass::sync::mpsc::channel::<u32>(1);
    /// assert!(sender.downgrade().upgrade().unwrap().same_channel(&sender));
    /// ```
    pub fn upgrade(&self) -> Option<Sender<T>> {
        let channel = self.channel.upgrade()?;
        let senders = channel.senders.get();
        (senders > 0).then(|| {
            channel.senders.set(senders + 1);
            Sender { channel }
        })
    }
}

impl<T> Clone for WeakSender<T> {
    fn clone(&self) -> Self {
        WeakSender { channel: self.channel.clone() }
    }
}

/// Room for one value, promised. Dropping it gives the room to the next in line.
///
/// ```
/// # use windlass_executor::windlass;
/// # windlass_executor::doc(async {
/// let (sender, mut receiver) = windlass::sync::mpsc::channel(1);
/// let permit = sender.reserve().await.unwrap();
/// receiver.close(); // what was promised may still come
/// permit.send("the last word");
/// assert_eq!(receiver.recv().await, Some("the last word"));
/// assert_eq!(receiver.recv().await, None);
/// # });
/// ```
#[must_use = "dropping it gives the room up"]
pub struct Permit<'a, T> {
    promise: Unpromise<'a, T>,
}

impl<T> Permit<'_, T> {
    /// Sends `value`; it cannot be refused. If the receiver has been dropped meanwhile, so is the value.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// let (sender, mut receiver) = windlass::sync::mpsc::channel(1);
    /// sender.try_reserve().unwrap().send(5);
    /// assert_eq!(receiver.try_recv(), Ok(5));
    /// ```
    #[inline]
    pub fn send(self, value: T) {
        let channel = self.promise.0;
        if channel.reading.get() != Reading::Gone {
            std::mem::forget(self); // it borrows, and owns nothing but the promise, which is kept now
            channel.put(value);
        }
    }
}

impl<T> Drop for Permit<'_, T> {
    fn drop(&mut self) {
        self.promise.0.room.give(1); // then the promise is dropped, which looks whether that was the end
    }
}

/// Receives from the channel. Dropping it drops what is left in there and refuses what would come.
///
/// ```
/// # use windlass_executor::windlass;
/// # windlass_executor::doc(async {
/// let (sender, mut receiver) = windlass::sync::mpsc::unbounded();
/// drop(windlass::spawn(async move { (0..3).for_each(|number| sender.try_send(number).unwrap()) }));
/// let mut seen = Vec::new();
/// while let Some(number) = receiver.recv().await {
///     seen.push(number);
/// }
/// assert_eq!(seen, [0, 1, 2]);
/// # });
/// ```
pub struct Receiver<T> {
    channel: Rc<Channel<T>>,
}

/// The future of [`Receiver::recv`].
struct Recv<'a, T> {
    receiver: &'a mut Receiver<T>,
    /// Whether its task's waker may be in there.
    waits: bool,
}

impl<T> Future for Recv<'_, T> {
    type Output = Option<T>;

    #[inline(always)] // what need not wait is a few instructions, and the rest lies apart
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        let polled = self.receiver.poll_recv(cx);
        self.waits = polled.is_pending();
        polled
    }
}

impl<T> Drop for Recv<'_, T> {
    #[inline]
    fn drop(&mut self) {
        if self.waits {
            self.receiver.channel.receiver.clear();
        }
    }
}

impl<T> Receiver<T> {
    /// Waits for the next value. `None` when there is none and all senders are gone, or this side was closed and what
    /// was promised has come or been given up.
    ///
    /// # Cancel
    /// Dropping it loses nothing: a value leaves the channel only as this completes.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// # windlass_executor::doc(async {
    /// let (sender, mut receiver) = windlass::sync::mpsc::channel(1);
    /// drop(windlass::spawn(async move { sender.send("come in").await }));
    /// assert_eq!(receiver.recv().await, Some("come in"));
    /// assert_eq!(receiver.recv().await, None);
    /// # });
    /// ```
    #[inline]
    pub fn recv(&mut self) -> impl Future<Output = Option<T>> {
        Recv { receiver: self, waits: false }
    }

    /// As [`recv`](Receiver::recv), for a future written by hand. One task waits at a time, the last that polled.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// # windlass_executor::doc(async {
    /// let (sender, mut receiver) = windlass::sync::mpsc::channel(1);
    /// sender.try_send(7).unwrap();
    /// assert_eq!(std::future::poll_fn(|cx| receiver.poll_recv(cx)).await, Some(7));
    /// # });
    /// ```
    #[inline(always)] // as `Recv::poll`
    pub fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<T>> {
        if self.channel.values.len() == 0 {
            return self.poll_recv_apart(cx);
        }
        budget::poll_proceed(cx).map(|()| self.channel.take())
    }

    /// For who has seen that no value is there.
    #[inline(never)]
    fn poll_recv_apart(&mut self, cx: &mut Context<'_>) -> Poll<Option<T>> {
        self.poll_ready(cx).map(|()| self.channel.take())
    }

    /// Waits for the next value and moves it into `values`, and as many more as are there, `limit` at most. Returns how
    /// many: 0 only if `limit` is, or at the end, as [`recv`](Receiver::recv) would return `None`.
    ///
    /// # Cancel
    /// Dropping it loses nothing: values leave the channel only as this completes.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// # windlass_executor::doc(async {
    /// let (sender, mut receiver) = windlass::sync::mpsc::unbounded();
    /// (0..5).for_each(|number| sender.try_send(number).unwrap());
    /// let mut values = Vec::new();
    /// assert_eq!(receiver.recv_many(&mut values, 3).await, 3);
    /// assert_eq!(values, [0, 1, 2]);
    /// # });
    /// ```
    pub async fn recv_many(&mut self, values: &mut Vec<T>, limit: usize) -> usize {
        if limit == 0 {
            return 0;
        }
        {
            let _forgotten = Forgotten(&self.channel.receiver);
            poll_fn(|cx| self.poll_ready(cx)).await;
        }
        let before = values.len();
        while values.len() - before < limit
            && let Some(value) = self.channel.take()
        {
            values.push(value);
        }
        values.len() - before
    }

    /// The next value, if one is there.
    ///
    /// # Errors
    /// `Empty` if one may still come, `Closed` if none will.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// use windlass::sync::mpsc::{self, TryRecvError};
    /// let (sender, mut receiver) = mpsc::channel(1);
    /// assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
    /// sender.try_send(1).unwrap();
    /// assert_eq!(receiver.try_recv(), Ok(1));
    /// ```
    #[inline]
    pub fn try_recv(&mut self) -> Result<T, TryRecvError> {
        let empty = || if self.channel.is_over() { TryRecvError::Closed } else { TryRecvError::Empty };
        self.channel.take().ok_or_else(empty)
    }

    /// Refuses what was not sent or promised yet. What was can still be received.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// # windlass_executor::doc(async {
    /// let (sender, mut receiver) = windlass::sync::mpsc::channel(2);
    /// sender.send(1).await.unwrap();
    /// receiver.close();
    /// assert!(sender.send(2).await.is_err());
    /// assert_eq!(receiver.recv().await, Some(1));
    /// assert_eq!(receiver.recv().await, None);
    /// # });
    /// ```
    pub fn close(&mut self) {
        self.channel.close(Reading::Closed);
    }

    /// True if this side was closed, or all senders are gone. Values may still be there.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// let (sender, receiver) = windlass::sync::mpsc::channel::<u32>(1);
    /// drop(sender);
    /// assert!(receiver.is_closed());
    /// ```
    pub fn is_closed(&self) -> bool {
        self.channel.is_closed() || self.channel.senders.get() == 0
    }

    /// Values that are there.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// let (sender, receiver) = windlass::sync::mpsc::channel(2);
    /// sender.try_send(1).unwrap();
    /// assert_eq!(receiver.len(), 1);
    /// ```
    pub fn len(&self) -> usize {
        self.channel.values.len()
    }

    /// True if no value is there.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// assert!(windlass::sync::mpsc::channel::<u32>(2).1.is_empty());
    /// ```
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Places that are free now, as [`Sender::capacity`].
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// assert_eq!(windlass::sync::mpsc::channel::<u32>(2).1.capacity(), 2);
    /// ```
    pub fn capacity(&self) -> usize {
        self.channel.room.free()
    }

    /// Ready if a value is there, or none ever will be; it has cost a unit of budget then.
    #[inline]
    fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.channel.values.len() == 0 {
            ready!(self.poll_wait(cx));
        }
        budget::poll_proceed(cx)
    }

    /// For who has seen that no value is there.
    #[inline]
    fn poll_wait(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.channel.is_over() {
            return Poll::Ready(());
        }
        self.channel.receiver.register(cx.waker());
        if self.channel.may_recv() {
            self.channel.receiver.clear();
            return Poll::Ready(());
        }
        self.channel.room.note(ResourceKind::Message);
        Poll::Pending
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let channel = &*self.channel;
        channel.close(Reading::Gone);
        channel.receiver.clear();
        let left = channel.values.take();
        if left.len() > 0 {
            channel.room.give(left.len());
        }
        drop(left); // foreign code: nothing is borrowed
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        debug("Sender", &self.channel, f)
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        debug("Receiver", &self.channel, f)
    }
}

fn debug<T>(name: &str, channel: &Channel<T>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let (len, senders) = (channel.values.len(), channel.senders.get());
    let reading = channel.reading.get();
    f.debug_struct(name)
        .field("len", &len)
        .field("senders", &senders)
        .field("reading", &reading)
        .finish_non_exhaustive()
}

impl<T> fmt::Debug for WeakSender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WeakSender").finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for Permit<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit").finish_non_exhaustive()
    }
}
