//! The newest value, for all who look.
//! One side changes a value; the others see the newest, and can wait for it to change. Whoever looks seldom misses what
//! was in between, and that is the point: settings, progress, "shut down now".
//!
//! ```text
//!   send ──► value, version 7 ──► borrow()                 the newest, now
//!                         └─────► changed().await          ready if my version is not 7; then it is
//! ```
//!
//! The value lies in the channel and is lent, not cloned. While it is lent it cannot be changed: a [`Ref`] is to be
//! short-lived, and kept over no `await`.
//! Not here: every value (`broadcast`).   Next: `queue`.

use std::cell::{Cell, RefCell, RefMut};
use std::fmt;
use std::mem;
use std::ops::Deref;
use std::rc::Rc;

use super::until::until;
use super::wait_list::WaitList;
use crate::waits::{LazyId, ResourceKind};

pub use super::error::{RecvError, SendError};

/// A value to be watched, with its first receiver, who has seen `value`. Both ends stay on their thread.
///
/// ```
/// # use windlass_executor::windlass;
/// use windlass::sync::watch;
/// # windlass_executor::doc(async {
/// let (sender, mut receiver) = watch::channel("starting");
/// let watcher = windlass::spawn(async move {
///     receiver.changed().await.unwrap();
///     *receiver.borrow()
/// });
/// sender.send("running").unwrap();
/// assert_eq!(watcher.await.unwrap(), "running");
/// # });
/// ```
pub fn channel<T>(value: T) -> (Sender<T>, Receiver<T>) {
    let channel = Rc::new(Channel {
        value: RefCell::new(value),
        version: Cell::new(0),
        sender: Cell::new(true),
        receivers: Cell::new(1),
        line: WaitList::new(),
        closed: WaitList::new(),
        id: LazyId::new(),
    });
    (Sender { channel: channel.clone() }, Receiver { channel, seen: 0 })
}

struct Channel<T> {
    value: RefCell<T>,
    /// Counts the changes.
    version: Cell<u64>,
    /// Whether the sender is there.
    sender: Cell<bool>,
    receivers: Cell<usize>,
    /// Receivers that have seen the newest.
    line: WaitList<()>,
    /// Waits for the last receiver to go.
    closed: WaitList<()>,
    id: LazyId,
}

impl<T> Channel<T> {
    #[track_caller]
    fn borrow(&self) -> Ref<'_, T> {
        let value = self.value.try_borrow().ok();
        Ref(value.expect("the watched value was looked at by what is changing it"))
    }

    #[track_caller]
    fn borrow_mut(&self) -> RefMut<'_, T> {
        let value = self.value.try_borrow_mut().ok();
        value.expect("the watched value was changed while a `Ref` to it is held")
    }

    fn subscribe(self: &Rc<Self>, seen: u64) -> Receiver<T> {
        self.receivers.set(self.receivers.get() + 1);
        Receiver { channel: self.clone(), seen }
    }
}

/// The value, lent. While it lives, changing the value panics.
///
/// ```
/// # use windlass_executor::windlass;
/// let (sender, receiver) = windlass::sync::watch::channel(String::from("on"));
/// assert_eq!(receiver.borrow().len(), 2);
/// sender.send("off".into()).unwrap(); // the `Ref` is gone by now
/// ```
#[must_use = "it is there to be looked at"]
pub struct Ref<'a, T>(std::cell::Ref<'a, T>);

impl<T> Deref for Ref<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.0
    }
}

/// Changes the value. Dropping it tells the receivers that this was the last.
///
/// ```
/// # use windlass_executor::windlass;
/// let (sender, receiver) = windlass::sync::watch::channel(1);
/// sender.send_modify(|value| *value += 1);
/// assert_eq!(*receiver.borrow(), 2);
/// ```
pub struct Sender<T> {
    channel: Rc<Channel<T>>,
}

impl<T> Sender<T> {
    /// Puts `value` in the place of the one before, and wakes who waits for a change.
    ///
    /// # Errors
    /// Gives `value` back if there is no receiver; [`send_replace`](Sender::send_replace) does not care.
    ///
    /// # Panics
    /// While a [`Ref`] is held.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// let (sender, receiver) = windlass::sync::watch::channel(1);
    /// sender.send(2).unwrap();
    /// drop(receiver);
    /// assert_eq!(sender.send(3).unwrap_err().0, 3);
    /// assert_eq!(*sender.borrow(), 2);
    /// ```
    #[track_caller]
    pub fn send(&self, value: T) -> Result<(), SendError<T>> {
        if self.is_closed() {
            return Err(SendError(value));
        }
        drop(self.send_replace(value));
        Ok(())
    }

    /// As [`send`](Sender::send), also if nobody watches; returns the value before.
    ///
    /// # Panics
    /// While a [`Ref`] is held.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// let (sender, _) = windlass::sync::watch::channel(1);
    /// assert_eq!(sender.send_replace(2), 1);
    /// ```
    #[track_caller]
    pub fn send_replace(&self, mut value: T) -> T {
        self.send_modify(|old| mem::swap(old, &mut value));
        value
    }

    /// Changes the value in place, and wakes who waits for a change.
    ///
    /// # Panics
    /// While a [`Ref`] is held; and if `modify` looks at the channel. If `modify` panics, nobody is woken.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// let (sender, receiver) = windlass::sync::watch::channel(vec![1]);
    /// sender.send_modify(|list| list.push(2));
    /// assert_eq!(*receiver.borrow(), [1, 2]);
    /// ```
    #[track_caller]
    pub fn send_modify(&self, modify: impl FnOnce(&mut T)) {
        self.send_if_modified(|value| {
            modify(value);
            true
        });
    }

    /// As [`send_modify`](Sender::send_modify), but it is a change only if `modify` says so. Returns what it said.
    ///
    /// # Panics
    /// As [`send_modify`](Sender::send_modify).
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// let (sender, receiver) = windlass::sync::watch::channel(5);
    /// let raise = |to: u32| sender.send_if_modified(|value| *value < to && { *value = to; true });
    /// assert!(!raise(3) && !receiver.has_changed().unwrap());
    /// assert!(raise(8) && receiver.has_changed().unwrap());
    /// ```
    #[track_caller]
    pub fn send_if_modified(&self, modify: impl FnOnce(&mut T) -> bool) -> bool {
        let channel = &*self.channel;
        let modified = modify(&mut channel.borrow_mut());
        if modified {
            channel.version.set(channel.version.get() + 1);
            channel.line.grant_while(|()| true);
        }
        modified
    }

    /// The newest value.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// let (sender, _receiver) = windlass::sync::watch::channel(1);
    /// assert_eq!(*sender.borrow(), 1);
    /// ```
    #[track_caller]
    pub fn borrow(&self) -> Ref<'_, T> {
        self.channel.borrow()
    }

    /// One more receiver, who has seen the newest value.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// let (sender, _) = windlass::sync::watch::channel(1);
    /// sender.send_replace(2);
    /// let receiver = sender.subscribe();
    /// assert!(!receiver.has_changed().unwrap());
    /// ```
    pub fn subscribe(&self) -> Receiver<T> {
        self.channel.subscribe(self.channel.version.get())
    }

    /// Receivers that are there.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// let (sender, _receiver) = windlass::sync::watch::channel(1);
    /// assert_eq!(sender.receiver_count(), 1);
    /// ```
    pub fn receiver_count(&self) -> usize {
        self.channel.receivers.get()
    }

    /// True if there is no receiver. One may still [`subscribe`](Sender::subscribe).
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// let (sender, receiver) = windlass::sync::watch::channel(1);
    /// drop(receiver);
    /// assert!(sender.is_closed());
    /// ```
    pub fn is_closed(&self) -> bool {
        self.receiver_count() == 0
    }

    /// Completes when there is no receiver, or the last went while this waited.
    ///
    /// # Cancel
    /// Dropping it forgets the waiter; the channel stays as it is.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// # windlass_executor::doc(async {
    /// let (sender, receiver) = windlass::sync::watch::channel(1);
    /// let reporter = windlass::spawn(async move { sender.closed().await });
    /// drop(receiver);
    /// reporter.await.unwrap();
    /// # });
    /// ```
    pub async fn closed(&self) {
        let note = || self.channel.id.note(ResourceKind::Closed);
        until(&self.channel.closed, || self.is_closed(), note).await;
    }

    /// What is left of futures that wait or waited: 0 when nobody waits.
    #[cfg(test)]
    pub(super) fn traces(&self) -> usize {
        self.channel.line.entries() + self.channel.closed.entries()
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.channel.sender.set(false);
        self.channel.line.grant_while(|()| true);
    }
}

/// Sees the newest value. A clone has seen what the original has.
///
/// ```
/// # use windlass_executor::windlass;
/// # windlass_executor::doc(async {
/// let (sender, mut receiver) = windlass::sync::watch::channel(0);
/// drop(windlass::spawn(async move {
///     for percent in [25, 50, 100] {
///         sender.send(percent).unwrap();
///         windlass::task::yield_now().await;
///     }
/// }));
/// assert_eq!(*receiver.wait_for(|percent| *percent == 100).await.unwrap(), 100);
/// # });
/// ```
pub struct Receiver<T> {
    channel: Rc<Channel<T>>,
    seen: u64,
}

impl<T> Receiver<T> {
    /// The newest value. It does not count as seen.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// let (sender, receiver) = windlass::sync::watch::channel(1);
    /// sender.send(2).unwrap();
    /// assert_eq!(*receiver.borrow(), 2);
    /// assert!(receiver.has_changed().unwrap());
    /// ```
    #[track_caller]
    pub fn borrow(&self) -> Ref<'_, T> {
        self.channel.borrow()
    }

    /// The newest value, which counts as seen.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// let (sender, mut receiver) = windlass::sync::watch::channel(1);
    /// sender.send(2).unwrap();
    /// assert_eq!(*receiver.borrow_and_update(), 2);
    /// assert!(!receiver.has_changed().unwrap());
    /// ```
    #[track_caller]
    pub fn borrow_and_update(&mut self) -> Ref<'_, T> {
        self.seen = self.channel.version.get();
        self.channel.borrow()
    }

    /// Whether the value was changed since it was last seen.
    ///
    /// # Errors
    /// If it was not, and the sender is gone: it never will be.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// let (sender, receiver) = windlass::sync::watch::channel(1);
    /// assert_eq!(receiver.has_changed(), Ok(false));
    /// drop(sender);
    /// assert!(receiver.has_changed().is_err());
    /// ```
    pub fn has_changed(&self) -> Result<bool, RecvError> {
        let changed = self.seen != self.channel.version.get();
        if changed || self.channel.sender.get() { Ok(changed) } else { Err(RecvError) }
    }

    /// Completes when the value was changed since it was last seen. The newest counts as seen then.
    ///
    /// # Errors
    /// If it was not, and the sender is gone: it never will be.
    ///
    /// # Cancel
    /// Dropping it loses nothing: a change counts as seen only as this completes.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// # windlass_executor::doc(async {
    /// let (sender, mut receiver) = windlass::sync::watch::channel(1);
    /// sender.send(2).unwrap();
    /// drop(sender);
    /// assert!(receiver.changed().await.is_ok());
    /// assert!(receiver.changed().await.is_err());
    /// # });
    /// ```
    pub async fn changed(&mut self) -> Result<(), RecvError> {
        let note = || self.channel.id.note(ResourceKind::Change);
        until(&self.channel.line, || self.has_changed() != Ok(false), note).await;
        self.has_changed()?;
        self.seen = self.channel.version.get();
        Ok(())
    }

    /// Completes when `wanted` is true of the newest value, and lends it. It is asked about the value as it is now, and
    /// then after each change; the one it accepts counts as seen.
    ///
    /// # Errors
    /// If the sender is gone and `wanted` is not true of the last value.
    ///
    /// # Cancel
    /// Dropping it loses nothing but what was seen: values that `wanted` refused.
    ///
    /// # Panics
    /// If `wanted` changes the value.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// # windlass_executor::doc(async {
    /// let (sender, mut receiver) = windlass::sync::watch::channel(7);
    /// assert_eq!(*receiver.wait_for(|value| *value > 5).await.unwrap(), 7);
    /// drop(sender);
    /// assert!(receiver.wait_for(|value| *value > 10).await.is_err());
    /// # });
    /// ```
    pub async fn wait_for(&mut self, mut wanted: impl FnMut(&T) -> bool) -> Result<Ref<'_, T>, RecvError> {
        loop {
            self.seen = self.channel.version.get();
            if wanted(&self.channel.borrow()) {
                return Ok(self.channel.borrow());
            }
            self.changed().await?;
        }
    }

    /// True if both see one value.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// let (_sender, receiver) = windlass::sync::watch::channel(1);
    /// assert!(receiver.same_channel(&receiver.clone()));
    /// ```
    pub fn same_channel(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.channel, &other.channel)
    }
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Self {
        self.channel.subscribe(self.seen)
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let left = self.channel.receivers.get() - 1;
        self.channel.receivers.set(left);
        if left == 0 {
            self.channel.closed.grant_while(|()| true);
        }
    }
}

impl<T: fmt::Debug> fmt::Debug for Ref<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let receivers = self.receiver_count();
        f.debug_struct("Sender").field("version", &self.channel.version.get()).field("receivers", &receivers).finish()
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").field("version", &self.channel.version.get()).field("seen", &self.seen).finish()
    }
}
