//! How handing over fails.
//! The channels and queues share these few errors. What could not be handed over comes back inside the error.
//!
//! ```text
//!   send ──► SendError(value)                      recv ──► RecvError
//!   try_send ──► TrySendError::{Full, Closed}(value)     try_recv ──► TryRecvError::{Empty, Closed}
//! ```
//!
//! Next: `oneshot`, the smallest of them.

use std::error::Error;
use std::fmt;

/// Closed, nobody will receive: the value comes back.
///
/// ```
/// # use windlass_executor::windlass;
/// # windlass_executor::doc(async {
/// use windlass::sync::mpsc;
/// let (sender, receiver) = mpsc::channel(1);
/// drop(receiver);
/// let error = sender.send("late").await.unwrap_err();
/// assert_eq!(error.0, "late");
/// assert_eq!(error.to_string(), "send: closed");
/// # });
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SendError<T>(pub T);

/// The value cannot be sent now, or ever: it comes back.
///
/// ```
/// # use windlass_executor::windlass;
/// use windlass::sync::mpsc::{self, TrySendError};
/// let (sender, receiver) = mpsc::channel(1);
/// sender.try_send(1).unwrap();
/// assert_eq!(sender.try_send(2), Err(TrySendError::Full(2)));
/// drop(receiver);
/// assert_eq!(sender.try_send(3).unwrap_err().into_inner(), 3);
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum TrySendError<T> {
    /// There is no room now.
    Full(T),
    /// Nobody will receive.
    Closed(T),
}

impl<T> TrySendError<T> {
    /// The value.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// assert_eq!(windlass::sync::mpsc::TrySendError::Full(7).into_inner(), 7);
    /// ```
    pub fn into_inner(self) -> T {
        let (TrySendError::Full(value) | TrySendError::Closed(value)) = self;
        value
    }
}

/// Closed, nothing will come.
///
/// ```
/// # use windlass_executor::windlass;
/// # windlass_executor::doc(async {
/// let (sender, receiver) = windlass::sync::oneshot::channel::<u32>();
/// drop(sender);
/// assert_eq!(receiver.await.unwrap_err().to_string(), "receive: closed");
/// # });
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct RecvError;

/// Nothing is here now, or ever will be.
///
/// ```
/// # use windlass_executor::windlass;
/// use windlass::sync::oneshot::{self, TryRecvError};
/// let (sender, mut receiver) = oneshot::channel::<u32>();
/// assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
/// drop(sender);
/// assert_eq!(receiver.try_recv(), Err(TryRecvError::Closed));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TryRecvError {
    /// Nothing is here yet.
    Empty,
    /// Nothing will come.
    Closed,
}

impl<T> fmt::Display for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("send: closed")
    }
}

impl<T> fmt::Debug for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendError").finish_non_exhaustive()
    }
}

impl<T> Error for SendError<T> {}

impl<T> fmt::Display for TrySendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TrySendError::Full(_) => "send: no room",
            TrySendError::Closed(_) => "send: closed",
        })
    }
}

impl<T> fmt::Debug for TrySendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TrySendError::Full(_) => "Full(..)",
            TrySendError::Closed(_) => "Closed(..)",
        })
    }
}

impl<T> Error for TrySendError<T> {}

impl fmt::Display for RecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("receive: closed")
    }
}

impl Error for RecvError {}

impl fmt::Display for TryRecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TryRecvError::Empty => "receive: nothing here yet",
            TryRecvError::Closed => "receive: closed",
        })
    }
}

impl Error for TryRecvError {}
