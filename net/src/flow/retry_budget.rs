//! How many retries there may be in all.
//! Three attempts for each call are kind to a peer that drops one request in a hundred. To one that fails for everybody
//! they are three times the load, just when it can bear least. So calls share a purse:
//!
//! ```text
//!   each call ──► + share ──►┌────────────┐
//!                            │  so many   │ ──► - 1 for each retry; none left: the call gives up
//!                full: lost ◄┤ at most    │
//!                            └────────────┘
//! ```
//!
//! Then retries are at most what was saved and that share of the calls, whatever fails.
//! Not here: a time in which the purse fills by itself. Without calls nothing needs retrying.   Next: `retry`.

use std::cell::Cell;
use std::fmt;
use std::rc::Rc;

/// What a retry costs, in hundredths of one.
const RETRY: u64 = 100;

/// Retries that calls share: every call adds a share of one, every retry takes one. Clones are the same budget.
///
/// ```
/// # use windlass_net::windlass;
/// use windlass::flow::{Retry, RetryBudget};
/// # windlass_reactor::doc(async {
/// let budget = RetryBudget::new(10, 5); // one retry for ten calls, and five for a start
/// let policy = Retry::new(3).budget(&budget);
/// for _ in 0..100 {
///     policy.run(async |_| Err::<(), _>("down")).await.unwrap_err();
/// }
/// assert_eq!(budget.stats().retries, 14); // without the budget it would have been 200
/// # });
/// ```
#[derive(Clone)]
pub struct RetryBudget {
    purse: Rc<Purse>,
}

struct Purse {
    percent: u32,
    reserve: u32,
    /// In hundredths of a retry.
    saved: Cell<u64>,
    calls: Cell<u64>,
    retries: Cell<u64>,
    refused: Cell<u64>,
}

/// What a [`RetryBudget`] has seen.
///
/// ```
/// # use windlass_net::windlass;
/// let stats = windlass::flow::RetryBudget::new(20, 10).stats();
/// assert_eq!((stats.calls, stats.retries, stats.refused), (0, 0, 0));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct RetryBudgetStats {
    /// Calls, each counted once, however often it was tried.
    pub calls: u64,
    /// Attempts beyond the first.
    pub retries: u64,
    /// Calls that gave up because nothing was left.
    pub refused: u64,
}

impl RetryBudget {
    /// Each call adds `percent` hundredths of a retry, up to `reserve` retries; it begins with all of these.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// let budget = windlass::flow::RetryBudget::new(20, 10);
    /// assert_eq!(budget.available(), 10);
    /// ```
    pub fn new(percent: u32, reserve: u32) -> RetryBudget {
        let [calls, retries, refused] = [const { Cell::new(0) }; 3];
        let saved = Cell::new(reserve as u64 * RETRY);
        RetryBudget { purse: Rc::new(Purse { percent, reserve, saved, calls, retries, refused }) }
    }

    /// Retries that could be made now.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// assert_eq!(windlass::flow::RetryBudget::new(20, 0).available(), 0);
    /// ```
    pub fn available(&self) -> u32 {
        (self.purse.saved.get() / RETRY) as u32
    }

    /// What it has seen so far.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// use windlass::flow::{Retry, RetryBudget};
    /// # windlass_reactor::doc(async {
    /// let budget = RetryBudget::new(20, 10);
    /// Retry::new(3).budget(&budget).run(async |_| Ok::<_, ()>("up")).await.unwrap();
    /// assert_eq!(budget.stats().calls, 1);
    /// # });
    /// ```
    pub fn stats(&self) -> RetryBudgetStats {
        let Purse { calls, retries, refused, .. } = &*self.purse;
        RetryBudgetStats { calls: calls.get(), retries: retries.get(), refused: refused.get() }
    }

    /// A call begins.
    pub(super) fn deposit(&self) {
        let Purse { percent, reserve, saved, calls, .. } = &*self.purse;
        calls.set(calls.get() + 1);
        saved.set((saved.get() + *percent as u64).min(*reserve as u64 * RETRY));
    }

    /// Sets a retry aside, if one is left.
    pub(super) fn withdraw(&self) -> Option<SetAside> {
        let Some(left) = self.purse.saved.get().checked_sub(RETRY) else {
            self.purse.refused.set(self.purse.refused.get() + 1);
            return None;
        };
        self.purse.saved.set(left);
        Some(SetAside { budget: Some(self.clone()) })
    }
}

/// A retry that is to be made; dropped before that, it goes back.
#[must_use = "dropped, it goes back"]
pub(super) struct SetAside {
    budget: Option<RetryBudget>,
}

impl SetAside {
    pub(super) fn spend(mut self) {
        if let Some(budget) = self.budget.take() {
            budget.purse.retries.set(budget.purse.retries.get() + 1);
        }
    }
}

impl Drop for SetAside {
    fn drop(&mut self) {
        if let Some(budget) = &self.budget {
            let Purse { reserve, saved, .. } = &*budget.purse;
            saved.set((saved.get() + RETRY).min(*reserve as u64 * RETRY));
        }
    }
}

impl fmt::Display for RetryBudget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let RetryBudgetStats { calls, retries, refused } = self.stats();
        write!(f, "{retries} retries of {calls} calls, {refused} refused, {} left", self.available())
    }
}

impl fmt::Debug for RetryBudget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RetryBudget").field("available", &self.available()).field("stats", &self.stats()).finish()
    }
}
