//! Patterns on time and tasks: try again, in bulk, not too fast.
//! What nearly every program that speaks to others writes for itself, and gets wrong at the edges: when a call is
//! cancelled, when the clock is coarse, when all fail at once.
//!
//! ```text
//!   Retry         call ──► fails ──► backoff ──► call        nothing is held meanwhile; a budget bounds them all
//!   Batcher       item, item, item ──► one call ──► a value for each
//!   RateLimiter   who comes ──► in line ──► a token          so many a second, first come, first served
//! ```
//!
//! All run on the clock of the loop, which may be [paused](windlass_reactor::time::pause): then they are exact to the
//! nanosecond, and a test of an hour takes no time.
//!
//! Not here: how many at one time, which is a [semaphore](windlass_executor::sync::Semaphore)'s.
//! Read in this order: `backoff` (how long to wait), `retry_budget` (how often in all), `retry`; `batch`; `rate_limit`.

mod backoff;
mod batch;
pub(crate) mod random;
mod rate_limit;
mod retry;
mod retry_budget;

pub use backoff::{Backoff, Delays, Jitter};
pub use batch::{BatchError, BatchErrorKind, Batcher, BatcherStats, Flush};
pub use rate_limit::{Rate, RateExceeded, RateLimiter, RateLimiterStats};
pub use retry::{Attempt, FailedAttempt, Retry, RetryError, RetryErrorKind};
pub use retry_budget::{RetryBudget, RetryBudgetStats};

#[cfg(test)]
mod tests;
