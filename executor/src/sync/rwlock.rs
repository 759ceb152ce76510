//! Many who read, or one who writes.
//!
//! ```text
//!   permits:  a reader takes 1, a writer takes all
//!   line:     read read │ write │ read read        who comes after a writer that waits, waits behind it
//! ```
//!
//! So a stream of readers cannot keep a writer out, and writers cannot keep a reader out that came before them. A task
//! that reads and asks to read again while a writer waits in between has locked itself out: it waits for the writer,
//! which waits for it.   Next: `notify`.

use std::cell::{Ref, RefCell, RefMut};
use std::fmt;
use std::ops::{Deref, DerefMut};

use super::mutex::TryLockError;
use super::permits::{Claim, Closed, Held, Permits, Take};
use crate::waits::ResourceKind;

/// What a writer takes, and so the readers that may be inside at one time: more than there is memory for.
const ALL: usize = u32::MAX as usize;

/// Guards a value that many may read at one time, or one may change; first come, first served.
///
/// ```
/// # use windlass_executor::windlass;
/// use windlass::sync::RwLock;
/// # windlass_executor::doc(async {
/// let lock = RwLock::new(5);
/// {
///     let (first, second) = (lock.read().await, lock.read().await);
///     assert_eq!(*first + *second, 10);
/// }
/// *lock.write().await += 1;
/// assert_eq!(*lock.read().await, 6);
/// # });
/// ```
pub struct RwLock<T> {
    permits: Permits,
    value: RefCell<T>,
}

impl<T> RwLock<T> {
    /// A lock that nobody holds.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// let lock = windlass::sync::RwLock::new(1);
    /// assert_eq!(*lock.try_read().unwrap(), 1);
    /// ```
    pub const fn new(value: T) -> Self {
        RwLock { permits: Permits::new(ResourceKind::WriteLock, ALL), value: RefCell::new(value) }
    }

    /// Locks it to read, in turn: behind writers that came before.
    ///
    /// # Cancel
    /// Dropping it leaves the line: who calls again is at its end. If it had been given the lock, the next get it.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// # windlass_executor::doc(async {
    /// let lock = windlass::sync::RwLock::new(1);
    /// assert_eq!(*lock.read().await, 1);
    /// # });
    /// ```
    #[inline]
    pub fn read(&self) -> impl Future<Output = RwLockReadGuard<'_, T>> {
        Take::new(Read(self))
    }

    /// Locks it to write, in turn.
    ///
    /// # Cancel
    /// Dropping it leaves the line, and readers behind it go in if only readers are inside. If it had been given the
    /// lock, the next get it.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// # windlass_executor::doc(async {
    /// let lock = windlass::sync::RwLock::new(1);
    /// *lock.write().await = 2;
    /// assert_eq!(lock.into_inner(), 2);
    /// # });
    /// ```
    #[inline]
    pub fn write(&self) -> impl Future<Output = RwLockWriteGuard<'_, T>> {
        Take::new(Write(self))
    }

    /// Locks it to read, if no writer has it and nobody waits.
    ///
    /// # Errors
    /// [`TryLockError`] if it would have to wait.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// let lock = windlass::sync::RwLock::new(1);
    /// let _reader = lock.try_read().unwrap();
    /// assert!(lock.try_read().is_ok());
    /// assert!(lock.try_write().is_err());
    /// ```
    #[inline]
    pub fn try_read(&self) -> Result<RwLockReadGuard<'_, T>, TryLockError> {
        if self.permits.try_take(1) { Ok(self.read_guard()) } else { Err(TryLockError(())) }
    }

    /// Locks it to write, if it is free and nobody waits.
    ///
    /// # Errors
    /// [`TryLockError`] if it would have to wait.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// let lock = windlass::sync::RwLock::new(1);
    /// *lock.try_write().unwrap() = 2;
    /// assert_eq!(lock.into_inner(), 2);
    /// ```
    #[inline]
    pub fn try_write(&self) -> Result<RwLockWriteGuard<'_, T>, TryLockError> {
        if self.permits.try_take(ALL) { Ok(self.write_guard()) } else { Err(TryLockError(())) }
    }

    /// The value, without locking: nobody else has the lock.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// let mut lock = windlass::sync::RwLock::new(1);
    /// *lock.get_mut() += 1;
    /// assert_eq!(lock.into_inner(), 2);
    /// ```
    pub fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }

    /// The value, at the end of the lock.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// assert_eq!(windlass::sync::RwLock::new(1).into_inner(), 1);
    /// ```
    pub fn into_inner(self) -> T {
        self.value.into_inner()
    }

    /// For whoever has just taken a permit.
    #[inline]
    fn read_guard(&self) -> RwLockReadGuard<'_, T> {
        RwLockReadGuard { value: self.value.borrow(), _held: Held::new(&self.permits, 1) }
    }

    /// For whoever has just taken all permits.
    #[inline]
    fn write_guard(&self) -> RwLockWriteGuard<'_, T> {
        RwLockWriteGuard { value: self.value.borrow_mut(), held: Held::new(&self.permits, ALL), lock: self }
    }

    #[cfg(test)]
    pub(super) fn entries(&self) -> usize {
        self.permits.entries()
    }
}

struct Read<'a, T>(&'a RwLock<T>);

impl<'a, T> Claim for Read<'a, T> {
    type Output = RwLockReadGuard<'a, T>;

    #[inline]
    fn permits(&self) -> &Permits {
        &self.0.permits
    }

    #[inline]
    fn wanted(&self) -> usize {
        1
    }

    #[inline]
    fn kind(&self) -> ResourceKind {
        ResourceKind::ReadLock
    }

    #[inline]
    fn output(self, taken: Result<(), Closed>) -> RwLockReadGuard<'a, T> {
        taken.expect("a lock is never closed");
        self.0.read_guard()
    }
}

struct Write<'a, T>(&'a RwLock<T>);

impl<'a, T> Claim for Write<'a, T> {
    type Output = RwLockWriteGuard<'a, T>;

    #[inline]
    fn permits(&self) -> &Permits {
        &self.0.permits
    }

    #[inline]
    fn wanted(&self) -> usize {
        ALL
    }

    #[inline]
    fn output(self, taken: Result<(), Closed>) -> RwLockWriteGuard<'a, T> {
        taken.expect("a lock is never closed");
        self.0.write_guard()
    }
}

impl<T: Default> Default for RwLock<T> {
    fn default() -> Self {
        RwLock::new(T::default())
    }
}

impl<T> From<T> for RwLock<T> {
    fn from(value: T) -> Self {
        RwLock::new(value)
    }
}

impl<T: fmt::Debug> fmt::Debug for RwLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut all = f.debug_struct("RwLock");
        match self.value.try_borrow() {
            Ok(value) => all.field("value", &*value),
            Err(_) => all.field("value", &format_args!("<locked>")),
        };
        all.field("waiting", &self.permits.waiting()).finish()
    }
}

/// An [`RwLock`] locked to read; dropping it unlocks.
///
/// ```
/// # let lock = windlass_executor::sync::RwLock::new("read");
/// let guard = lock.try_read().unwrap();
/// assert_eq!(guard.len(), 4);
/// ```
#[must_use = "a guard that is not kept unlocks at once"]
pub struct RwLockReadGuard<'a, T> {
    value: Ref<'a, T>, // dropped before `_held`: whoever comes next may borrow it
    _held: Held<'a>,
}

impl<T> Deref for RwLockReadGuard<'_, T> {
    type Target = T;
    #[inline]
    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: fmt::Debug> fmt::Debug for RwLockReadGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

/// An [`RwLock`] locked to write; dropping it unlocks.
///
/// ```
/// # let lock = windlass_executor::sync::RwLock::new(1);
/// let mut guard = lock.try_write().unwrap();
/// *guard += 1;
/// assert_eq!(*guard, 2);
/// ```
#[must_use = "a guard that is not kept unlocks at once"]
pub struct RwLockWriteGuard<'a, T> {
    value: RefMut<'a, T>, // dropped before `held`: whoever comes next may borrow it
    held: Held<'a>,
    lock: &'a RwLock<T>,
}

impl<'a, T> RwLockWriteGuard<'a, T> {
    /// Goes on reading: no other writer comes in between, and the readers at the head of the line come in.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// use windlass::sync::{RwLock, RwLockWriteGuard};
    /// let lock = RwLock::new(1);
    /// let mut writer = lock.try_write().unwrap();
    /// *writer = 2;
    /// let reader = RwLockWriteGuard::downgrade(writer);
    /// assert_eq!(*reader, *lock.try_read().unwrap());
    /// ```
    pub fn downgrade(guard: Self) -> RwLockReadGuard<'a, T> {
        let RwLockWriteGuard { value, mut held, lock } = guard;
        drop(value);
        let value = lock.value.borrow(); // before others are let in
        held.keep(1);
        RwLockReadGuard { value, _held: held }
    }
}

impl<T> Deref for RwLockWriteGuard<'_, T> {
    type Target = T;
    #[inline]
    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> DerefMut for RwLockWriteGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        &mut self.value
    }
}

impl<T: fmt::Debug> fmt::Debug for RwLockWriteGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
