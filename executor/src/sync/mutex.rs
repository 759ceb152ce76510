//! One at a time, also across an await.
//!
//! ```text
//!   lock ──► free? ──► MutexGuard ──► dropped: the first in line has the lock, before anybody can ask
//!              └ no ──► in line
//! ```
//!
//! On one thread, a `RefCell` is all it takes to change something between two awaits. A mutex is for what must not be
//! touched by others while its holder waits.
//!
//! A guard borrows the mutex, and the value lies in it. A guard that shares the mutex through `Rc` has taken the value
//! out and carries it: safe code can lend it in no other way.
//! Not here: poisoning. Whoever panics unlocks.   Next: `rwlock`.

use std::cell::{RefCell, RefMut};
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::rc::Rc;

use super::permits::{Claim, Closed, Held, Permits, Take};
use crate::waits::ResourceKind;

/// Guards a value; who locks it has it alone, first come, first served.
///
/// ```
/// # use windlass_executor::windlass;
/// use std::rc::Rc;
/// use windlass::sync::Mutex;
/// # windlass_executor::doc(async {
/// let count = Rc::new(Mutex::new(0));
/// let tasks: Vec<_> = (0..5).map(|_| {
///     let count = count.clone();
///     windlass::spawn(async move {
///         let mut count = count.lock().await;
///         let seen = *count;
///         windlass::task::yield_now().await; // nobody else can come in
///         *count = seen + 1;
///     })
/// }).collect();
/// for task in tasks {
///     task.await.unwrap();
/// }
/// assert_eq!(*count.lock().await, 5);
/// # });
/// ```
pub struct Mutex<T> {
    permits: Permits,
    /// None while a guard that shares the mutex carries it.
    value: RefCell<Option<T>>,
}

impl<T> Mutex<T> {
    /// A mutex that nobody holds.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// let mutex = windlass::sync::Mutex::new(1);
    /// assert_eq!(*mutex.try_lock().unwrap(), 1);
    /// ```
    pub const fn new(value: T) -> Self {
        Mutex { permits: Permits::new(ResourceKind::Lock, 1), value: RefCell::new(Some(value)) }
    }

    /// Locks it, in turn.
    ///
    /// # Cancel
    /// Dropping it leaves the line: who calls again is at its end. If it had been given the lock, the next gets it.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// # windlass_executor::doc(async {
    /// let mutex = windlass::sync::Mutex::new(1);
    /// *mutex.lock().await += 1;
    /// assert_eq!(mutex.into_inner(), 2);
    /// # });
    /// ```
    #[inline]
    pub fn lock(&self) -> impl Future<Output = MutexGuard<'_, T>> {
        Take::new(self)
    }

    /// Locks it if it is free and nobody waits.
    ///
    /// # Errors
    /// [`TryLockError`] if it would have to wait.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// let mutex = windlass::sync::Mutex::new(1);
    /// let _guard = mutex.try_lock().unwrap();
    /// assert!(mutex.try_lock().is_err());
    /// ```
    #[inline]
    pub fn try_lock(&self) -> Result<MutexGuard<'_, T>, TryLockError> {
        if self.permits.try_take(1) { Ok(self.guard()) } else { Err(TryLockError(())) }
    }

    /// As [`lock`](Mutex::lock), with a guard that shares the mutex and may be moved into a task.
    ///
    /// The guard carries the value: what is large is better boxed.
    ///
    /// # Cancel
    /// As [`lock`](Mutex::lock).
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// # windlass_executor::doc(async {
    /// let mutex = std::rc::Rc::new(windlass::sync::Mutex::new(1));
    /// let mut guard = mutex.clone().lock_owned().await;
    /// drop(windlass::spawn(async move { *guard += 1 }));
    /// assert_eq!(*mutex.lock().await, 2);
    /// # });
    /// ```
    #[inline]
    pub fn lock_owned(self: Rc<Self>) -> impl Future<Output = OwnedMutexGuard<T>> {
        Take::new(self)
    }

    /// As [`try_lock`](Mutex::try_lock), with a guard that shares the mutex.
    ///
    /// # Errors
    /// [`TryLockError`] if it would have to wait.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// let mutex = std::rc::Rc::new(windlass::sync::Mutex::new(1));
    /// let guard = mutex.clone().try_lock_owned().unwrap();
    /// assert!(mutex.try_lock().is_err());
    /// # drop(guard);
    /// ```
    #[inline]
    pub fn try_lock_owned(self: Rc<Self>) -> Result<OwnedMutexGuard<T>, TryLockError> {
        if self.permits.try_take(1) { Ok(OwnedMutexGuard::new(self)) } else { Err(TryLockError(())) }
    }

    /// The value, without locking: nobody else has the mutex.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// let mut mutex = windlass::sync::Mutex::new(1);
    /// *mutex.get_mut() += 1;
    /// assert_eq!(mutex.into_inner(), 2);
    /// ```
    pub fn get_mut(&mut self) -> &mut T {
        self.value.get_mut().as_mut().expect(VALUE_IS_THERE)
    }

    /// The value, at the end of the mutex.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// assert_eq!(windlass::sync::Mutex::new(1).into_inner(), 1);
    /// ```
    pub fn into_inner(self) -> T {
        self.value.into_inner().expect(VALUE_IS_THERE)
    }

    /// For whoever has just taken the permit.
    #[inline]
    fn guard(&self) -> MutexGuard<'_, T> {
        let value = RefMut::map(self.value.borrow_mut(), |value| value.as_mut().expect(VALUE_IS_THERE));
        MutexGuard { value, locked: Locked(self) }
    }

    #[cfg(test)]
    pub(super) fn entries(&self) -> usize {
        self.permits.entries()
    }
}

const VALUE_IS_THERE: &str = "the value is out only while a guard that shares the mutex lives";

impl<'a, T> Claim for &'a Mutex<T> {
    type Output = MutexGuard<'a, T>;

    #[inline]
    fn permits(&self) -> &Permits {
        &self.permits
    }

    #[inline]
    fn wanted(&self) -> usize {
        1
    }

    #[inline]
    fn output(self, taken: Result<(), Closed>) -> MutexGuard<'a, T> {
        taken.expect("a mutex is never closed");
        self.guard()
    }
}

impl<T> Claim for Rc<Mutex<T>> {
    type Output = OwnedMutexGuard<T>;

    #[inline]
    fn permits(&self) -> &Permits {
        &self.permits
    }

    #[inline]
    fn wanted(&self) -> usize {
        1
    }

    #[inline]
    fn output(self, taken: Result<(), Closed>) -> OwnedMutexGuard<T> {
        taken.expect("a mutex is never closed");
        OwnedMutexGuard::new(self)
    }
}

impl<T: Default> Default for Mutex<T> {
    fn default() -> Self {
        Mutex::new(T::default())
    }
}

impl<T> From<T> for Mutex<T> {
    fn from(value: T) -> Self {
        Mutex::new(value)
    }
}

impl<T: fmt::Debug> fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut all = f.debug_struct("Mutex");
        match self.value.try_borrow().as_deref() {
            Ok(Some(value)) => all.field("value", value),
            _ => all.field("value", &format_args!("<locked>")),
        };
        all.field("waiting", &self.permits.waiting()).finish()
    }
}

/// A locked [`Mutex`]; dropping it unlocks.
///
/// ```
/// # let mutex = windlass_executor::sync::Mutex::new(vec![1]);
/// let mut guard = mutex.try_lock().unwrap();
/// guard.push(2);
/// assert_eq!(*guard, [1, 2]);
/// ```
#[must_use = "a guard that is not kept unlocks at once"]
pub struct MutexGuard<'a, T> {
    value: RefMut<'a, T>, // dropped before `locked`: whoever comes next may borrow it
    locked: Locked<'a, T>,
}

/// Unlocks when it is dropped.
struct Locked<'a, T>(&'a Mutex<T>);

impl<T> Drop for Locked<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.0.permits.give(1);
    }
}

impl<'a, T> MutexGuard<'a, T> {
    /// A guard of a part of the value.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// use windlass::sync::{Mutex, MutexGuard};
    /// let mutex = Mutex::new((1, "one"));
    /// *MutexGuard::map(mutex.try_lock().unwrap(), |pair| &mut pair.0) = 2;
    /// assert_eq!(mutex.into_inner(), (2, "one"));
    /// ```
    #[inline]
    pub fn map<U: ?Sized>(guard: Self, part: impl FnOnce(&mut T) -> &mut U) -> MappedMutexGuard<'a, U> {
        let MutexGuard { value, locked } = guard;
        let value = RefMut::map(value, part); // if `part` panics, this unlocks
        let held = Held::new(&locked.0.permits, 1);
        std::mem::forget(locked);
        MappedMutexGuard { value, held }
    }

    /// The mutex that it locks.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// use windlass::sync::{Mutex, MutexGuard};
    /// let mutex = Mutex::new(1);
    /// let guard = mutex.try_lock().unwrap();
    /// assert!(std::ptr::eq(MutexGuard::mutex(&guard), &mutex));
    /// ```
    #[inline]
    pub fn mutex(guard: &Self) -> &'a Mutex<T> {
        guard.locked.0
    }
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;
    #[inline]
    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        &mut self.value
    }
}

impl<T: fmt::Debug> fmt::Debug for MutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

/// A locked [`Mutex`], seen through [`MutexGuard::map`]; dropping it unlocks.
///
/// ```
/// # use windlass_executor::windlass;
/// use windlass::sync::{Mutex, MutexGuard};
/// let mutex = Mutex::new(vec![1, 2]);
/// let mut second = MutexGuard::map(mutex.try_lock().unwrap(), |list| &mut list[1]);
/// *second += 1;
/// assert_eq!(*second, 3);
/// ```
#[must_use = "a guard that is not kept unlocks at once"]
pub struct MappedMutexGuard<'a, T: ?Sized> {
    value: RefMut<'a, T>, // dropped before `held`, as with `MutexGuard`
    held: Held<'a>,
}

impl<'a, T: ?Sized> MappedMutexGuard<'a, T> {
    /// A guard of a part of that.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// use windlass::sync::{MappedMutexGuard, Mutex, MutexGuard};
    /// let mutex = Mutex::new((1, ("two", 3)));
    /// let inner = MutexGuard::map(mutex.try_lock().unwrap(), |outer| &mut outer.1);
    /// assert_eq!(*MappedMutexGuard::map(inner, |inner| &mut inner.1), 3);
    /// ```
    #[inline]
    pub fn map<U: ?Sized>(guard: Self, part: impl FnOnce(&mut T) -> &mut U) -> MappedMutexGuard<'a, U> {
        MappedMutexGuard { value: RefMut::map(guard.value, part), held: guard.held }
    }
}

impl<T: ?Sized> Deref for MappedMutexGuard<'_, T> {
    type Target = T;
    #[inline]
    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: ?Sized> DerefMut for MappedMutexGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        &mut self.value
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for MappedMutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

/// A locked [`Mutex`] that it shares; dropping it unlocks. It carries the value, and puts it back.
///
/// ```
/// # use windlass_executor::windlass;
/// # windlass_executor::doc(async {
/// let mutex = std::rc::Rc::new(windlass::sync::Mutex::new(String::new()));
/// let mut guard = mutex.lock_owned().await;
/// guard.push('a');
/// assert_eq!(*guard, "a");
/// # });
/// ```
#[must_use = "a guard that is not kept unlocks at once"]
pub struct OwnedMutexGuard<T> {
    value: Option<T>,
    mutex: Rc<Mutex<T>>,
}

impl<T> OwnedMutexGuard<T> {
    /// For whoever has just taken the permit.
    #[inline]
    fn new(mutex: Rc<Mutex<T>>) -> Self {
        let value = mutex.value.take();
        OwnedMutexGuard { value, mutex }
    }

    /// The mutex that it locks.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// use windlass::sync::{Mutex, OwnedMutexGuard};
    /// let mutex = std::rc::Rc::new(Mutex::new(1));
    /// let guard = mutex.clone().try_lock_owned().unwrap();
    /// assert!(std::rc::Rc::ptr_eq(OwnedMutexGuard::mutex(&guard), &mutex));
    /// ```
    pub fn mutex(guard: &Self) -> &Rc<Mutex<T>> {
        &guard.mutex
    }
}

const GUARD_HAS_IT: &str = "the guard has the value until it is dropped";

impl<T> Deref for OwnedMutexGuard<T> {
    type Target = T;
    #[inline]
    fn deref(&self) -> &T {
        self.value.as_ref().expect(GUARD_HAS_IT)
    }
}

impl<T> DerefMut for OwnedMutexGuard<T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        self.value.as_mut().expect(GUARD_HAS_IT)
    }
}

impl<T> Drop for OwnedMutexGuard<T> {
    #[inline]
    fn drop(&mut self) {
        *self.mutex.value.borrow_mut() = self.value.take(); // nothing was there: no foreign drop
        self.mutex.permits.give(1);
    }
}

impl<T: fmt::Debug> fmt::Debug for OwnedMutexGuard<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

/// The lock is not to be had now.
///
/// ```
/// # use windlass_executor::windlass;
/// let mutex = windlass::sync::Mutex::new(());
/// let _guard = mutex.try_lock().unwrap();
/// assert_eq!(mutex.try_lock().unwrap_err().to_string(), "the lock is held");
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TryLockError(pub(super) ());

impl fmt::Display for TryLockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the lock is held")
    }
}

impl std::error::Error for TryLockError {}
