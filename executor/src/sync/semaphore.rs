//! At most so many at one time.
//!
//! ```text
//!   acquire ──► permits left? ──► Permit ──► dropped: the permit goes to the first in line, else back
//!                 └ none ──► in line
//! ```
//!
//! A permit that is given to a waiter is that waiter's: nobody who comes in between can take it, and if the waiter is
//! dropped before it runs, the permit goes on to the next.
//! Not here: the count and the line (`permits`).   Next: `mutex`.

use std::cell::Cell;
use std::fmt;
use std::ops::Deref;
use std::rc::Rc;

use super::permits::{Claim, Closed, Permits, Take};
use crate::waits::ResourceKind;

/// Hands out permits, first come, first served.
///
/// Tasks of one thread share it by reference or through `Rc`.
///
/// ```
/// # use windlass_executor::windlass;
/// use std::rc::Rc;
/// use windlass::sync::Semaphore;
/// # windlass_executor::doc(async {
/// let doors = Rc::new(Semaphore::new(3));
/// let guests: Vec<_> = (0..10).map(|_| {
///     let doors = doors.clone();
///     windlass::spawn(async move {
///         let _inside = doors.acquire().await?; // at most three at one time
///         windlass::task::yield_now().await;
///         Ok::<_, windlass::sync::AcquireError>(())
///     })
/// }).collect();
/// for guest in guests {
///     guest.await.unwrap().unwrap();
/// }
/// assert_eq!(doors.available_permits(), 3);
/// # });
/// ```
pub struct Semaphore {
    permits: Permits,
    /// Permits that there are, free or not.
    total: Cell<usize>,
}

/// A permit, or several, of a [`Semaphore`]; dropping it gives them back.
///
/// ```
/// # use windlass_executor::sync::Semaphore;
/// let semaphore = Semaphore::new(2);
/// let permit = semaphore.try_acquire().unwrap();
/// assert_eq!(semaphore.available_permits(), 1);
/// drop(permit);
/// assert_eq!(semaphore.available_permits(), 2);
/// ```
#[must_use = "a permit that is not kept is given back at once"]
pub struct Permit<S: Deref<Target = Semaphore>> {
    semaphore: S,
    count: usize,
}

/// A permit that borrows its semaphore.
pub type SemaphorePermit<'a> = Permit<&'a Semaphore>;

/// A permit that shares its semaphore.
pub type OwnedSemaphorePermit = Permit<Rc<Semaphore>>;

impl Semaphore {
    /// Permits that there may be, free or not: three bits less than a `usize` has, as with tokio.
    pub const MAX_PERMITS: usize = usize::MAX >> 3;

    /// A semaphore with `permits` free ones.
    ///
    /// # Panics
    /// With more than [`MAX_PERMITS`](Semaphore::MAX_PERMITS).
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// assert_eq!(windlass::sync::Semaphore::new(3).available_permits(), 3);
    /// ```
    #[track_caller]
    pub const fn new(permits: usize) -> Self {
        assert!(permits <= Self::MAX_PERMITS, "a semaphore can have Semaphore::MAX_PERMITS permits, not more");
        Semaphore { permits: Permits::new(ResourceKind::Permit, permits), total: Cell::new(permits) }
    }

    /// The permits that are free. Some may be free and yet not to be had, while somebody waits for more than these.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// let semaphore = windlass::sync::Semaphore::new(1);
    /// let _permit = semaphore.try_acquire().unwrap();
    /// assert_eq!(semaphore.available_permits(), 0);
    /// ```
    #[inline]
    pub fn available_permits(&self) -> usize {
        self.permits.free()
    }

    /// Takes a permit if one is free and nobody waits.
    ///
    /// # Errors
    /// [`TryAcquireError`] if it would have to wait, or the semaphore is closed.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// let semaphore = windlass::sync::Semaphore::new(1);
    /// let _permit = semaphore.try_acquire().unwrap();
    /// assert!(semaphore.try_acquire().unwrap_err().is_no_permits());
    /// ```
    #[inline]
    pub fn try_acquire(&self) -> Result<SemaphorePermit<'_>, TryAcquireError> {
        self.try_acquire_many(1)
    }

    /// Takes `count` permits if so many are free and nobody waits. None are always to be had.
    ///
    /// # Errors
    /// [`TryAcquireError`] if it would have to wait, or the semaphore is closed.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// let semaphore = windlass::sync::Semaphore::new(3);
    /// assert!(semaphore.try_acquire_many(4).is_err());
    /// assert_eq!(semaphore.try_acquire_many(3).unwrap().count(), 3);
    /// ```
    #[inline]
    pub fn try_acquire_many(&self, count: usize) -> Result<SemaphorePermit<'_>, TryAcquireError> {
        self.try_take(count).map(|()| Permit { semaphore: self, count })
    }

    /// As [`try_acquire`](Semaphore::try_acquire), with a permit that shares the semaphore.
    ///
    /// # Errors
    /// [`TryAcquireError`] if it would have to wait, or the semaphore is closed.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// let semaphore = std::rc::Rc::new(windlass::sync::Semaphore::new(1));
    /// let permit = semaphore.clone().try_acquire_owned().unwrap();
    /// drop(semaphore); // the permit keeps it
    /// drop(permit);
    /// ```
    #[inline]
    pub fn try_acquire_owned(self: Rc<Self>) -> Result<OwnedSemaphorePermit, TryAcquireError> {
        self.try_acquire_many_owned(1)
    }

    /// As [`try_acquire_many`](Semaphore::try_acquire_many), with permits that share the semaphore.
    ///
    /// # Errors
    /// [`TryAcquireError`] if it would have to wait, or the semaphore is closed.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// let semaphore = std::rc::Rc::new(windlass::sync::Semaphore::new(3));
    /// assert_eq!(semaphore.try_acquire_many_owned(2).unwrap().count(), 2);
    /// ```
    #[inline]
    pub fn try_acquire_many_owned(self: Rc<Self>, count: usize) -> Result<OwnedSemaphorePermit, TryAcquireError> {
        self.try_take(count).map(|()| Permit { semaphore: self, count })
    }

    #[inline]
    fn try_take(&self, count: usize) -> Result<(), TryAcquireError> {
        if self.permits.try_take(count) { Ok(()) } else { Err(TryAcquireError { closed: self.is_closed() }) }
    }

    /// Takes a permit, in turn.
    ///
    /// # Errors
    /// [`AcquireError`] if the semaphore is closed, or is while this waits.
    ///
    /// # Cancel
    /// Dropping it leaves the line: who calls again is at its end. If it had been given a permit, the next gets it.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// # windlass_executor::doc(async {
    /// let semaphore = windlass::sync::Semaphore::new(1);
    /// let permit = semaphore.acquire().await?;
    /// # drop(permit);
    /// # Ok::<_, windlass_executor::sync::AcquireError>(())
    /// # }).unwrap();
    /// ```
    #[inline]
    pub fn acquire(&self) -> impl Future<Output = Result<SemaphorePermit<'_>, AcquireError>> {
        self.acquire_many(1)
    }

    /// Takes `count` permits at once, in turn. Those who come later wait behind it, also for fewer.
    ///
    /// # Errors
    /// [`AcquireError`] if the semaphore is closed, or is while this waits.
    ///
    /// # Cancel
    /// Dropping it leaves the line, and those behind it who are content with what is free go on. If it had been given
    /// permits, the next get them.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// # windlass_executor::doc(async {
    /// let semaphore = windlass::sync::Semaphore::new(3);
    /// let permits = semaphore.acquire_many(2).await?;
    /// assert_eq!((permits.count(), semaphore.available_permits()), (2, 1));
    /// # drop(permits);
    /// # Ok::<_, windlass_executor::sync::AcquireError>(())
    /// # }).unwrap();
    /// ```
    #[inline]
    pub fn acquire_many(&self, count: usize) -> impl Future<Output = Result<SemaphorePermit<'_>, AcquireError>> {
        Take::new(Acquire { semaphore: self, count })
    }

    /// As [`acquire`](Semaphore::acquire), with a permit that shares the semaphore and may be moved into a task.
    ///
    /// # Errors
    /// [`AcquireError`] if the semaphore is closed, or is while this waits.
    ///
    /// # Cancel
    /// As [`acquire`](Semaphore::acquire).
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// # windlass_executor::doc(async {
    /// let semaphore = std::rc::Rc::new(windlass::sync::Semaphore::new(1));
    /// let permit = semaphore.clone().acquire_owned().await?;
    /// drop(windlass::spawn(async move { drop(permit) }));
    /// let _permit = semaphore.acquire().await?; // when the task has ended
    /// # Ok::<_, windlass_executor::sync::AcquireError>(())
    /// # }).unwrap();
    /// ```
    #[inline]
    pub fn acquire_owned(self: Rc<Self>) -> impl Future<Output = Result<OwnedSemaphorePermit, AcquireError>> {
        self.acquire_many_owned(1)
    }

    /// As [`acquire_many`](Semaphore::acquire_many), with permits that share the semaphore.
    ///
    /// # Errors
    /// [`AcquireError`] if the semaphore is closed, or is while this waits.
    ///
    /// # Cancel
    /// As [`acquire_many`](Semaphore::acquire_many).
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// # windlass_executor::doc(async {
    /// let semaphore = std::rc::Rc::new(windlass::sync::Semaphore::new(3));
    /// assert_eq!(semaphore.acquire_many_owned(2).await?.count(), 2);
    /// # Ok::<_, windlass_executor::sync::AcquireError>(())
    /// # }).unwrap();
    /// ```
    #[inline]
    pub fn acquire_many_owned(
        self: Rc<Self>,
        count: usize,
    ) -> impl Future<Output = Result<OwnedSemaphorePermit, AcquireError>> {
        Take::new(Acquire { semaphore: self, count })
    }

    /// Adds `count` new permits; those who wait get them first.
    ///
    /// # Panics
    /// If there were more than [`MAX_PERMITS`](Semaphore::MAX_PERMITS) then, free or not.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// let semaphore = windlass::sync::Semaphore::new(0);
    /// semaphore.add_permits(2);
    /// assert_eq!(semaphore.available_permits(), 2);
    /// ```
    #[inline]
    #[track_caller]
    pub fn add_permits(&self, count: usize) {
        let total = self.total.get().checked_add(count).filter(|total| *total <= Self::MAX_PERMITS);
        self.total.set(total.expect("a semaphore can have Semaphore::MAX_PERMITS permits, not more"));
        self.permits.give(count);
    }

    /// Takes up to `count` of the free permits out for good; returns how many.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// let semaphore = windlass::sync::Semaphore::new(2);
    /// assert_eq!(semaphore.forget_permits(5), 2);
    /// assert_eq!(semaphore.available_permits(), 0);
    /// ```
    pub fn forget_permits(&self, count: usize) -> usize {
        let forgotten = self.permits.forget(count);
        self.total.set(self.total.get() - forgotten);
        forgotten
    }

    /// From now on nobody gets a permit: those who wait, and those who come later, get an error. Permits that were
    /// given before are good.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// # windlass_executor::doc(async {
    /// let semaphore = windlass::sync::Semaphore::new(1);
    /// semaphore.close();
    /// assert!(semaphore.acquire().await.is_err());
    /// # });
    /// ```
    pub fn close(&self) {
        self.permits.close();
    }

    /// Whether it was closed.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// let semaphore = windlass::sync::Semaphore::new(1);
    /// assert!(!semaphore.is_closed());
    /// ```
    pub fn is_closed(&self) -> bool {
        self.permits.is_closed()
    }

    #[cfg(test)]
    pub(super) fn entries(&self) -> usize {
        self.permits.entries()
    }
}

impl fmt::Debug for Semaphore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Semaphore")
            .field("available_permits", &self.permits.free())
            .field("waiting", &self.permits.waiting())
            .field("closed", &self.permits.is_closed())
            .finish()
    }
}

/// A claim to `count` permits.
struct Acquire<S> {
    semaphore: S,
    count: usize,
}

impl<S: Deref<Target = Semaphore>> Claim for Acquire<S> {
    type Output = Result<Permit<S>, AcquireError>;

    #[inline]
    fn permits(&self) -> &Permits {
        &self.semaphore.permits
    }

    #[inline]
    fn wanted(&self) -> usize {
        self.count
    }

    #[inline]
    fn output(self, taken: Result<(), Closed>) -> Self::Output {
        match taken {
            Ok(()) => Ok(Permit { semaphore: self.semaphore, count: self.count }),
            Err(Closed) => Err(AcquireError(())),
        }
    }
}

impl<S: Deref<Target = Semaphore>> Permit<S> {
    /// How many permits it stands for.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// let semaphore = windlass::sync::Semaphore::new(2);
    /// assert_eq!(semaphore.try_acquire_many(2).unwrap().count(), 2);
    /// ```
    #[inline]
    pub fn count(&self) -> usize {
        self.count
    }

    /// Drops it without giving anything back: the semaphore has so many fewer for good.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// let semaphore = windlass::sync::Semaphore::new(2);
    /// semaphore.try_acquire().unwrap().forget();
    /// assert_eq!(semaphore.available_permits(), 1);
    /// ```
    pub fn forget(mut self) {
        let forgotten = std::mem::take(&mut self.count);
        self.semaphore.total.set(self.semaphore.total.get() - forgotten);
    }

    /// Adds what `other` stands for to this one.
    ///
    /// # Panics
    /// If `other` is of another semaphore; it is given back there.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// let semaphore = windlass::sync::Semaphore::new(2);
    /// let mut permit = semaphore.try_acquire().unwrap();
    /// permit.merge(semaphore.try_acquire().unwrap());
    /// assert_eq!(permit.count(), 2);
    /// ```
    #[track_caller]
    pub fn merge(&mut self, mut other: Self) {
        assert!(std::ptr::eq(&*self.semaphore, &*other.semaphore), "permits of two semaphores cannot be merged");
        self.count += std::mem::take(&mut other.count);
    }

    /// Takes `count` out as a permit of its own; none if it does not stand for so many.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// let semaphore = windlass::sync::Semaphore::new(3);
    /// let mut permits = semaphore.try_acquire_many(3).unwrap();
    /// let one = permits.split(1).unwrap();
    /// assert_eq!((permits.count(), one.count()), (2, 1));
    /// assert!(permits.split(3).is_none());
    /// ```
    pub fn split(&mut self, count: usize) -> Option<Self>
    where
        S: Clone,
    {
        self.count = self.count.checked_sub(count)?;
        Some(Permit { semaphore: self.semaphore.clone(), count })
    }
}

impl<S: Deref<Target = Semaphore>> Drop for Permit<S> {
    #[inline]
    fn drop(&mut self) {
        self.semaphore.permits.give(self.count);
    }
}

impl<S: Deref<Target = Semaphore>> fmt::Debug for Permit<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit").field("count", &self.count).finish_non_exhaustive()
    }
}

/// The semaphore is closed.
///
/// ```
/// # use windlass_executor::windlass;
/// # windlass_executor::doc(async {
/// let semaphore = windlass::sync::Semaphore::new(1);
/// semaphore.close();
/// assert_eq!(semaphore.acquire().await.unwrap_err().to_string(), "the semaphore is closed");
/// # });
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AcquireError(());

impl fmt::Display for AcquireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the semaphore is closed")
    }
}

impl std::error::Error for AcquireError {}

/// There is no permit to be had now.
///
/// ```
/// # use windlass_executor::windlass;
/// let semaphore = windlass::sync::Semaphore::new(0);
/// assert_eq!(semaphore.try_acquire().unwrap_err().to_string(), "no permits left");
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TryAcquireError {
    closed: bool,
}

impl TryAcquireError {
    /// True if the semaphore is closed.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// let semaphore = windlass::sync::Semaphore::new(1);
    /// semaphore.close();
    /// assert!(semaphore.try_acquire().unwrap_err().is_closed());
    /// ```
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// True if too few are free, or somebody waits.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// let semaphore = windlass::sync::Semaphore::new(0);
    /// assert!(semaphore.try_acquire().unwrap_err().is_no_permits());
    /// ```
    pub fn is_no_permits(&self) -> bool {
        !self.closed
    }
}

impl fmt::Display for TryAcquireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.closed { "the semaphore is closed" } else { "no permits left" })
    }
}

impl std::error::Error for TryAcquireError {}
