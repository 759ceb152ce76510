//! A producer that waits until the consumer has caught up.
//! At a bound, a fast producer and a slow consumer take turns item by item, and every item costs both of them a wake.
//! With two marks set apart, the producer stops at the high one and sleeps until the consumer has brought the size down
//! to the low one; then it works a whole stretch.
//!
//! ```text
//!   size
//!   maxsize ┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈   put_nowait is refused
//!   high    ┈┈┈┈┈╱╲┈┈┈┈┈┈┈┈┈╱╲┈┈┈┈┈┈┈┈   put waits: a pause begins
//!               ╱  ╲       ╱  ╲
//!   low     ┈┈┈╱┈┈┈┈╲┈┈┈┈┈╱┈┈┈┈╲┈┈┈┈┈┈   put goes on: the get that brings the size down here says so
//! ```
//!
//! Next: `queue`, which does it: a plain queue is one whose marks are next to each other.

use std::collections::VecDeque;
use std::fmt;
use std::ops::Deref;

use super::queue::{Fifo, Marks, Queue};

/// A [`Queue`] in which producers pause at a high mark until it has been emptied down to a low one. It counts what
/// passes through. Clones are handles to the same queue.
///
/// Everything a queue does it does, too. [`put`](Queue::put) waits during a pause; [`put_nowait`](Queue::put_nowait) goes
/// on up to `maxsize`.
///
/// ```
/// # use windlass_executor::windlass;
/// use windlass::sync::BackpressureQueue;
/// # windlass_executor::doc(async {
/// let queue = BackpressureQueue::new(100, 80, 20);
/// let producer = queue.clone();
/// let producer = windlass::spawn(async move {
///     for item in 0..300 {
///         producer.put(item).await.unwrap();
///     }
/// });
/// for _ in 0..300 {
///     queue.get().await.unwrap();
///     assert!(queue.qsize() <= 80);
/// }
/// producer.await.unwrap();
/// assert_eq!(queue.stats().pauses, 3); // full to 80, and emptied, as often as 300 items allow
/// # });
/// ```
pub struct BackpressureQueue<T> {
    queue: Queue<T>,
}

impl<T> BackpressureQueue<T> {
    /// A queue for at most `maxsize` items whose producers pause at `high` items until there are `low`.
    ///
    /// # Panics
    /// Unless `low < high <= maxsize`.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// let queue = windlass::sync::BackpressureQueue::<u32>::new(100, 80, 20);
    /// assert_eq!(queue.maxsize(), 100);
    /// ```
    #[track_caller]
    pub fn new(maxsize: usize, high: usize, low: usize) -> Self {
        assert!(low < high && high <= maxsize, "the marks are in order: low {low} < high {high} <= maxsize {maxsize}");
        BackpressureQueue { queue: Queue::with_marks(Marks { max: maxsize, high, low }, Fifo(VecDeque::new())) }
    }

    /// What has passed through so far, and how it stands.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// let queue = windlass::sync::BackpressureQueue::new(4, 2, 0);
    /// queue.put_nowait('a').unwrap();
    /// queue.put_nowait('b').unwrap();
    /// queue.get_nowait().unwrap();
    /// let stats = queue.stats();
    /// assert_eq!((stats.produced, stats.consumed, stats.pauses, stats.queue_size, stats.paused), (2, 1, 1, 1, true));
    /// ```
    pub fn stats(&self) -> BackpressureStats {
        let [produced, consumed, pauses] = self.queue.counts();
        BackpressureStats { produced, consumed, pauses, queue_size: self.queue.qsize(), paused: self.queue.is_paused() }
    }
}

impl<T> Deref for BackpressureQueue<T> {
    type Target = Queue<T>;
    fn deref(&self) -> &Queue<T> {
        &self.queue
    }
}

impl<T> Clone for BackpressureQueue<T> {
    fn clone(&self) -> Self {
        BackpressureQueue { queue: self.queue.clone() }
    }
}

impl<T> fmt::Debug for BackpressureQueue<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BackpressureQueue").field("stats", &self.stats()).finish_non_exhaustive()
    }
}

/// What has passed through a [`BackpressureQueue`].
///
/// ```
/// # use windlass_executor::windlass;
/// let stats = windlass::sync::BackpressureQueue::<u32>::new(4, 2, 0).stats();
/// assert_eq!(stats.to_string(), "0 produced, 0 consumed, 0 pauses, 0 in the queue, not paused");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct BackpressureStats {
    /// Items that were put in.
    pub produced: u64,
    /// Items that were got out.
    pub consumed: u64,
    /// How often the size has reached the high mark, and putting has paused.
    pub pauses: u64,
    /// Items in the queue now.
    pub queue_size: usize,
    /// Whether putting pauses now.
    pub paused: bool,
}

impl fmt::Display for BackpressureStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let BackpressureStats { produced, consumed, pauses, queue_size, paused } = self;
        write!(f, "{produced} produced, {consumed} consumed, {pauses} pauses, {queue_size} in the queue, ")?;
        f.write_str(if *paused { "paused" } else { "not paused" })
    }
}
