//! A value that is made once, by whoever needs it first.
//!
//! ```text
//!   get_or_init ──► there? ──► &T
//!                     └ no ──► nobody makes it? ──► makes it ──► all that wait have it
//!                                └ somebody ──► in line ──► the maker fails, or is dropped: the next one makes it
//! ```
//!
//! Making it is async, and so may fail, take long, or be dropped half-way.   Next: `wait_list`, if you came from there.

use std::fmt;

use super::permits::{Held, Permits};
use crate::waits::ResourceKind;

/// A cell that is filled once.
///
/// ```
/// # use windlass_executor::windlass;
/// use windlass::sync::OnceCell;
/// # windlass_executor::doc(async {
/// let config = OnceCell::new();
/// assert_eq!(config.get_or_init(async || 42).await, &42);
/// assert_eq!(config.get_or_init(async || unreachable!("it is there")).await, &42);
/// # });
/// ```
pub struct OnceCell<T> {
    value: std::cell::OnceCell<T>,
    /// One permit: whoever has it makes the value. Closed once it is there.
    maker: Permits,
}

impl<T> OnceCell<T> {
    /// An empty cell.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// assert!(windlass::sync::OnceCell::<u32>::new().get().is_none());
    /// ```
    pub const fn new() -> Self {
        OnceCell { value: std::cell::OnceCell::new(), maker: Permits::new(ResourceKind::Value, 1) }
    }

    /// The value, if it is there.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// let cell = windlass::sync::OnceCell::from(1);
    /// assert_eq!(cell.get(), Some(&1));
    /// ```
    #[inline]
    pub fn get(&self) -> Option<&T> {
        self.value.get()
    }

    /// The value, if it is there, to be changed: nobody else has the cell.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// let mut cell = windlass::sync::OnceCell::from(1);
    /// *cell.get_mut().unwrap() += 1;
    /// assert_eq!(cell.get(), Some(&2));
    /// ```
    pub fn get_mut(&mut self) -> Option<&mut T> {
        self.value.get_mut()
    }

    /// Whether the value is there.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// assert!(windlass::sync::OnceCell::from(1).is_initialized());
    /// ```
    pub fn is_initialized(&self) -> bool {
        self.value.get().is_some()
    }

    /// The value; if it is not there, `init` makes it, unless somebody is about to. Once it is there, this is a look and
    /// takes no budget.
    ///
    /// An `init` that asks for the same cell waits for itself.
    ///
    /// # Cancel
    /// Dropping it leaves the line. If `init` was running it is dropped, and the next in line makes the value.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// # windlass_executor::doc(async {
    /// let cell = windlass::sync::OnceCell::new();
    /// assert_eq!(*cell.get_or_init(async || 1).await, 1);
    /// # });
    /// ```
    #[inline]
    pub async fn get_or_init(&self, init: impl AsyncFnOnce() -> T) -> &T {
        if let Some(value) = self.value.get() {
            return value;
        }
        if let Some(maker) = self.turn().await {
            let value = init().await;
            self.fill(value, maker);
        }
        self.value.get().expect(IS_FULL)
    }

    /// As [`get_or_init`](OnceCell::get_or_init), with an `init` that may fail.
    ///
    /// # Errors
    /// Those of `init`. The cell stays empty, and the next in line makes the value.
    ///
    /// # Cancel
    /// As [`get_or_init`](OnceCell::get_or_init).
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// # windlass_executor::doc(async {
    /// let cell = windlass::sync::OnceCell::new();
    /// assert_eq!(cell.get_or_try_init(async || "x".parse::<u32>().map_err(drop)).await, Err(()));
    /// assert_eq!(cell.get_or_try_init(async || "7".parse::<u32>().map_err(drop)).await, Ok(&7));
    /// # });
    /// ```
    #[inline]
    pub async fn get_or_try_init<E>(&self, init: impl AsyncFnOnce() -> Result<T, E>) -> Result<&T, E> {
        if let Some(value) = self.value.get() {
            return Ok(value);
        }
        if let Some(maker) = self.turn().await {
            let value = init().await?;
            self.fill(value, maker);
        }
        Ok(self.value.get().expect(IS_FULL))
    }

    /// It is the caller's turn to make the value; none if somebody has made it.
    async fn turn(&self) -> Option<Held<'_>> {
        self.maker.take(1).await.ok().map(|()| Held::new(&self.maker, 1))
    }

    /// Puts a value into an empty cell.
    ///
    /// # Errors
    /// [`SetError`] with the value, if there is one already or somebody is making one.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// let cell = windlass::sync::OnceCell::new();
    /// cell.set(1).unwrap();
    /// assert_eq!(cell.set(2).unwrap_err().into_value(), 2);
    /// ```
    pub fn set(&self, value: T) -> Result<(), SetError<T>> {
        if !self.maker.try_take(1) {
            return Err(SetError { value, full: self.is_initialized() });
        }
        self.fill(value, Held::new(&self.maker, 1));
        Ok(())
    }

    /// The value, at the end of the cell.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// assert_eq!(windlass::sync::OnceCell::from(1).into_inner(), Some(1));
    /// ```
    pub fn into_inner(self) -> Option<T> {
        self.value.into_inner()
    }

    /// Takes the value out and leaves the cell as new: nobody else has it.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// let mut cell = windlass::sync::OnceCell::from(1);
    /// assert_eq!(cell.take(), Some(1));
    /// assert!(cell.set(2).is_ok());
    /// ```
    pub fn take(&mut self) -> Option<T> {
        std::mem::take(self).into_inner()
    }

    fn fill(&self, value: T, maker: Held<'_>) {
        let set = self.value.set(value);
        assert!(set.is_ok(), "whoever has the one permit finds the cell empty");
        self.maker.close();
        drop(maker);
    }

    #[cfg(test)]
    pub(super) fn entries(&self) -> usize {
        self.maker.entries()
    }
}

const IS_FULL: &str = "the line is closed when the value is there, and not before";

impl<T> Default for OnceCell<T> {
    fn default() -> Self {
        OnceCell::new()
    }
}

impl<T> From<T> for OnceCell<T> {
    fn from(value: T) -> Self {
        let cell = OnceCell::new();
        let set = cell.set(value);
        assert!(set.is_ok(), "a new cell is empty");
        cell
    }
}

impl<T: fmt::Debug> fmt::Debug for OnceCell<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OnceCell").field("value", &self.value.get()).field("waiting", &self.maker.waiting()).finish()
    }
}

/// The cell did not take the value.
///
/// ```
/// # use windlass_executor::windlass;
/// let cell = windlass::sync::OnceCell::from(1);
/// let error = cell.set(2).unwrap_err();
/// assert_eq!(error.to_string(), "the cell is full");
/// assert!(!error.is_initializing());
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct SetError<T> {
    value: T,
    full: bool,
}

impl<T> SetError<T> {
    /// True if the cell is empty and somebody is making its value.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// # use std::{pin::pin, task::{Context, Waker}};
    /// let cell = windlass::sync::OnceCell::new();
    /// let mut making = pin!(cell.get_or_init(std::future::pending::<u32>));
    /// assert!(making.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    /// assert!(cell.set(1).unwrap_err().is_initializing());
    /// ```
    pub fn is_initializing(&self) -> bool {
        !self.full
    }

    /// The value, back.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// let cell = windlass::sync::OnceCell::from(1);
    /// assert_eq!(cell.set(2).unwrap_err().into_value(), 2);
    /// ```
    pub fn into_value(self) -> T {
        self.value
    }
}

impl<T> fmt::Debug for SetError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SetError").field("full", &self.full).finish_non_exhaustive()
    }
}

impl<T> fmt::Display for SetError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.full { "the cell is full" } else { "the cell's value is being made" })
    }
}

impl<T> std::error::Error for SetError<T> {}
