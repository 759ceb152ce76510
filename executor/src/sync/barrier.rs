//! All of us, or nobody.
//!
//! ```text
//!   wait, wait ──► in line, until one less than the parties are ──► wait: the last one leads, and all go
//!                        └ abort ──► all get an error, and so does who comes later, until reset
//! ```
//!
//! As soon as all have come the barrier is free for the next round: who comes then waits for others of that round. Who
//! is dropped while it waits has not come.   Next: `once_cell`.

use std::cell::Cell;
use std::fmt;
use std::future::poll_fn;

use super::wait_list::{WaitList, Waiting};
use crate::waits::{LazyId, ResourceKind};

/// Holds tasks back until a number of them have come.
///
/// ```
/// # use windlass_executor::windlass;
/// use std::rc::Rc;
/// use windlass::sync::Barrier;
/// # windlass_executor::doc(async {
/// let barrier = Rc::new(Barrier::new(3));
/// let tasks: Vec<_> = (0..3).map(|_| {
///     let barrier = barrier.clone();
///     windlass::spawn(async move { barrier.wait().await.unwrap().is_leader() })
/// }).collect();
/// let mut leaders = 0;
/// for task in tasks {
///     leaders += u32::from(task.await.unwrap());
/// }
/// assert_eq!(leaders, 1);
/// # });
/// ```
pub struct Barrier {
    parties: usize,
    broken: Cell<bool>,
    waiters: WaitList<Round>,
    id: LazyId,
}

/// What has become of a waiter's round.
#[derive(Clone, Copy)]
enum Round {
    Open,
    Complete,
    Broken,
}

impl Barrier {
    /// A barrier for `parties` tasks.
    ///
    /// # Panics
    /// If there are none.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// assert_eq!(windlass::sync::Barrier::new(3).parties(), 3);
    /// ```
    #[track_caller]
    pub const fn new(parties: usize) -> Self {
        assert!(parties > 0, "a barrier is for one party at least");
        Barrier { parties, broken: Cell::new(false), waiters: WaitList::new(), id: LazyId::new() }
    }

    /// Waits for the others. One of them leads: the one that came last.
    ///
    /// # Errors
    /// [`BrokenBarrier`] if the barrier is broken, or was while this waited.
    ///
    /// # Cancel
    /// Dropping it before all have come takes it out again: one more has to come. Afterwards it changes nothing.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// # windlass_executor::doc(async {
    /// let barrier = windlass::sync::Barrier::new(1);
    /// assert!(barrier.wait().await?.is_leader());
    /// # Ok::<_, windlass_executor::sync::BrokenBarrier>(())
    /// # }).unwrap();
    /// ```
    pub async fn wait(&self) -> Result<BarrierWaitResult, BrokenBarrier> {
        let may_go = || self.broken.get() || self.waiters.len() + 1 >= self.parties;
        let note = || self.id.note(ResourceKind::Barrier);
        let mut waiting = Waiting::new(&self.waiters, drop);
        match poll_fn(|cx| waiting.poll(cx, may_go, Round::Open, note)).await {
            Some(Round::Broken) => Err(BrokenBarrier(())),
            Some(_) => Ok(BarrierWaitResult { leader: false }),
            None if self.broken.get() => Err(BrokenBarrier(())),
            None => {
                self.end_round(|| Round::Complete);
                Ok(BarrierWaitResult { leader: true })
            }
        }
    }

    /// Breaks it: those who wait, and those who come later, get an error.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// # windlass_executor::doc(async {
    /// let barrier = windlass::sync::Barrier::new(2);
    /// barrier.abort();
    /// assert!(barrier.wait().await.is_err());
    /// # });
    /// ```
    pub fn abort(&self) {
        self.broken.set(true);
        self.end_round(|| Round::Broken);
    }

    /// Makes it as new: those who wait get an error, those who come later wait for each other.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// let barrier = windlass::sync::Barrier::new(2);
    /// barrier.abort();
    /// barrier.reset();
    /// assert!(!barrier.is_broken());
    /// ```
    pub fn reset(&self) {
        self.broken.set(false);
        self.end_round(|| Round::Broken);
    }

    /// How many have to come.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// assert_eq!(windlass::sync::Barrier::new(2).parties(), 2);
    /// ```
    pub fn parties(&self) -> usize {
        self.parties
    }

    /// How many have come and wait.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// assert_eq!(windlass::sync::Barrier::new(2).waiting(), 0);
    /// ```
    pub fn waiting(&self) -> usize {
        self.waiters.len()
    }

    /// Whether it was aborted, and not reset since.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// assert!(!windlass::sync::Barrier::new(2).is_broken());
    /// ```
    pub fn is_broken(&self) -> bool {
        self.broken.get()
    }

    fn end_round(&self, end: impl Fn() -> Round) {
        self.waiters.grant_while(|round| {
            *round = end();
            true
        });
    }

    #[cfg(test)]
    pub(super) fn entries(&self) -> usize {
        self.waiters.entries()
    }
}

impl fmt::Debug for Barrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Barrier")
            .field("parties", &self.parties)
            .field("waiting", &self.waiters.len())
            .field("broken", &self.broken.get())
            .finish()
    }
}

/// All have come.
///
/// ```
/// # use windlass_executor::windlass;
/// # windlass_executor::doc(async {
/// let alone = windlass::sync::Barrier::new(1);
/// assert!(alone.wait().await.unwrap().is_leader());
/// # });
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BarrierWaitResult {
    leader: bool,
}

impl BarrierWaitResult {
    /// True for one of them: the one that came last.
    ///
    /// ```
    /// # windlass_executor::doc(async {
    /// # let alone = windlass_executor::sync::Barrier::new(1);
    /// if alone.wait().await.unwrap().is_leader() {
    ///     println!("once a round");
    /// }
    /// # });
    /// ```
    pub fn is_leader(&self) -> bool {
        self.leader
    }
}

/// The barrier was aborted or reset: the others will not come.
///
/// ```
/// # use windlass_executor::windlass;
/// # windlass_executor::doc(async {
/// let barrier = windlass::sync::Barrier::new(2);
/// barrier.abort();
/// assert_eq!(barrier.wait().await.unwrap_err().to_string(), "the barrier is broken");
/// # });
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BrokenBarrier(());

impl fmt::Display for BrokenBarrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the barrier is broken")
    }
}

impl std::error::Error for BrokenBarrier {}
