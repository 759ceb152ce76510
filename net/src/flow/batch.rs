//! Many small calls made one.
//! A query for a hundred rows costs little more than a query for one; but the rows are asked for one by one, by tasks
//! that know nothing of each other. So items wait for company, a little while, and go together:
//!
//! ```text
//!   submit(a) ─┐                                                        ┌─► a's value
//!   submit(b) ─┼─► channel ──► worker: collects ──► process([a, b, c]) ─┼─► b's value
//!   submit(c) ─┘                 size, gap or deadline                  └─► c's value
//!
//!   gap        a ──── b ──── c ───────────┤      so long after the last item: a pause ends the batch
//!   deadline   a ──── b ──── c ──┤               so long after the first: nobody waits longer
//! ```
//!
//! Each item has a reply of its own, so that equal items do not share one. Who is dropped before its batch is processed
//! is left out of it. One batch is processed at a time; meanwhile items gather for the next. A batch runs in a task of
//! its own: if it panics, those in it hear of it, and the worker goes on.
//!
//! Not here: values kept for who asks again.   Next: `rate_limit`.

use std::cell::{Cell, RefCell};
use std::error::Error;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use windlass_executor::Builder;
use windlass_executor::sync::{Event, mpsc, oneshot};
use windlass_reactor::time::{Instant, timeout_at};

/// When a batch is processed: at a size, and before that after a gap or at a deadline, whichever comes first. A batch
/// that is closed is processed as it is.
///
/// ```
/// # use windlass_net::windlass;
/// use std::time::Duration;
/// use windlass::flow::Flush;
/// let pauses = Flush::at_size(100).or_gap(Duration::from_millis(5));
/// let patient = pauses.or_deadline(Duration::from_millis(50)); // whatever comes, for no longer
/// assert_ne!(pauses, patient);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Flush {
    size: usize,
    gap: Option<Duration>,
    deadline: Option<Duration>,
}

impl Flush {
    /// When there are `size` items; without more, it waits for them as long as it takes.
    ///
    /// # Panics
    /// If `size` is 0.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// use windlass::flow::{Batcher, Flush};
    /// # windlass_reactor::doc(async {
    /// let pairs = Batcher::new(Flush::at_size(2), async |items: Vec<u32>| Ok::<_, ()>(items));
    /// let first = windlass::spawn({ let pairs = pairs.clone(); async move { pairs.submit(1).await } });
    /// assert_eq!(pairs.submit(2).await.unwrap(), 2);
    /// assert_eq!(first.await.unwrap().unwrap(), 1);
    /// # });
    /// ```
    #[track_caller]
    pub const fn at_size(size: usize) -> Flush {
        assert!(size > 0, "a batch has at least one item");
        Flush { size, gap: None, deadline: None }
    }

    /// Also when no item has come for `gap`. As long as they keep coming, the first may wait for `size - 1` gaps.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// # use std::time::Duration;
    /// use windlass::flow::{Batcher, Flush};
    /// # windlass_reactor::doc(async {
    /// let flush = Flush::at_size(100).or_gap(Duration::from_millis(5));
    /// let batcher = Batcher::new(flush, async |items: Vec<u32>| Ok::<_, ()>(items));
    /// assert_eq!(batcher.submit(1).await.unwrap(), 1); // after 5 ms
    /// # });
    /// ```
    #[must_use]
    pub const fn or_gap(self, gap: Duration) -> Flush {
        Flush { gap: Some(gap), ..self }
    }

    /// Also `deadline` after the first item came.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// # use std::time::Duration;
    /// use windlass::flow::{Batcher, Flush};
    /// # windlass_reactor::doc(async {
    /// let flush = Flush::at_size(100).or_deadline(Duration::from_millis(50));
    /// let batcher = Batcher::new(flush, async |items: Vec<u32>| Ok::<_, ()>(items));
    /// assert_eq!(batcher.submit(1).await.unwrap(), 1); // after 50 ms
    /// # });
    /// ```
    #[must_use]
    pub const fn or_deadline(self, deadline: Duration) -> Flush {
        Flush { deadline: Some(deadline), ..self }
    }

    /// When a batch is due that has not its size yet; none if only more items, or a close, can end it.
    fn due<T, R, E>(self, batch: &[Job<T, R, E>]) -> Option<Instant> {
        let (first, last) = (batch.first()?, batch.last()?);
        let gap = self.gap.map(|gap| last.came + gap);
        let deadline = self.deadline.map(|deadline| first.came + deadline);
        gap.into_iter().chain(deadline).min()
    }
}

/// Collects items of many callers, processes them together, and gives each caller its own value. Clones share one worker.
///
/// ```
/// # use windlass_net::windlass;
/// use std::time::Duration;
/// use windlass::flow::{Batcher, Flush};
/// use windlass::time::{Instant, sleep};
/// # windlass_reactor::doc(async {
/// let flush = Flush::at_size(5).or_gap(Duration::from_millis(500));
/// let batcher = Batcher::new(flush, async |ids: Vec<u32>| {
///     sleep(Duration::from_millis(500)).await; // one query for all of them
///     Ok::<_, std::io::Error>(ids.into_iter().map(|id| format!("row {id}")).collect())
/// });
/// let start = Instant::now();
/// let callers: Vec<_> = (0..20).map(|id| {
///     let batcher = batcher.clone();
///     windlass::spawn(async move { batcher.submit(id).await.unwrap() })
/// }).collect();
/// for (id, caller) in callers.into_iter().enumerate() {
///     assert_eq!(caller.await.unwrap(), format!("row {id}"));
/// }
/// assert_eq!((batcher.stats().batches, start.elapsed()), (4, Duration::from_secs(2)));
/// # });
/// ```
pub struct Batcher<T, R, E> {
    shared: Rc<Shared<T, R, E>>,
}

struct Shared<T, R, E> {
    /// None once it is closed: the worker takes what is left and ends.
    sender: RefCell<Option<mpsc::Sender<Job<T, R, E>>>>,
    ended: Rc<Event>,
    stats: Rc<Cell<BatcherStats>>,
}

/// An item, and who waits for its value.
struct Job<T, R, E> {
    item: T,
    reply: oneshot::Sender<Result<R, BatchError<E>>>,
    came: Instant,
}

/// What a [`Batcher`] has done.
///
/// ```
/// # use windlass_net::flow::{Batcher, Flush};
/// # windlass_reactor::doc(async {
/// let batcher = Batcher::new(Flush::at_size(1), async |items: Vec<u32>| Ok::<_, ()>(items));
/// batcher.submit(7).await.unwrap();
/// let stats = batcher.stats();
/// assert_eq!((stats.batches, stats.items, stats.skipped, stats.failed), (1, 1, 0, 0));
/// # });
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct BatcherStats {
    /// Batches that were processed, or are.
    pub batches: u64,
    /// Items in them.
    pub items: u64,
    /// Items that were left out, since nobody waited for their value any more.
    pub skipped: u64,
    /// Batches that failed.
    pub failed: u64,
}

impl<T: 'static, R: 'static, E: 'static> Batcher<T, R, E> {
    /// Spawns a worker that collects items as `flush` says, and calls `process` with each batch, in the order in which
    /// its items came. The values are to be in the order of the items, one for each.
    ///
    /// The worker ends when it is [closed](Batcher::close) or the last clone is dropped, and has processed what it had.
    /// A `process` that submits to its own batcher and waits for the value waits for ever.
    ///
    /// # Panics
    /// Outside a running loop.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// use windlass::flow::{Batcher, Flush};
    /// # windlass_reactor::doc(async {
    /// let squares = Batcher::new(Flush::at_size(1), async |numbers: Vec<u64>| {
    ///     Ok::<_, ()>(numbers.iter().map(|number| number * number).collect())
    /// });
    /// assert_eq!(squares.submit(12).await.unwrap(), 144);
    /// # });
    /// ```
    #[track_caller]
    pub fn new(flush: Flush, process: impl AsyncFn(Vec<T>) -> Result<Vec<R>, E> + 'static) -> Self {
        let (sender, receiver) = mpsc::unbounded();
        let (ended, stats) = (Rc::new(Event::new()), Rc::default());
        let worker = Worker { flush, receiver, stats: Rc::clone(&stats), ended: Ended(ended.clone()) };
        drop(Builder::new().name("batcher").spawn(worker.run(Rc::new(process))));
        Batcher { shared: Rc::new(Shared { sender: RefCell::new(Some(sender)), ended, stats }) }
    }

    /// Puts `item` into the batch that is being collected, and waits for its value. The first poll puts it there.
    ///
    /// # Errors
    /// [`BatchError`] if the batch failed, or the batcher is closed.
    ///
    /// # Cancel
    /// Dropped before its batch is processed, the item is left out; dropped later, its value is.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// # use std::time::Duration;
    /// use windlass::flow::{Batcher, BatchErrorKind, Flush};
    /// # windlass_reactor::doc(async {
    /// let flush = Flush::at_size(10).or_deadline(Duration::from_millis(10));
    /// let batcher = Batcher::new(flush, async |_: Vec<u32>| Err::<Vec<u32>, _>("no such table"));
    /// let error = batcher.submit(1).await.unwrap_err();
    /// assert_eq!((error.kind(), error.inner()), (BatchErrorKind::Failed, Some(&"no such table")));
    /// # });
    /// ```
    pub async fn submit(&self, item: T) -> Result<R, BatchError<E>> {
        let closed = || BatchError { cause: Cause::Closed };
        // A clone, so that nothing is borrowed when the worker is woken (I3).
        let sender = self.shared.sender.borrow().clone().ok_or_else(closed)?;
        let (reply, value) = oneshot::channel();
        sender.try_send(Job { item, reply, came: Instant::now() }).map_err(|_| closed())?;
        drop(sender); // it would keep the batcher from closing
        value.await.unwrap_or_else(|_| Err(closed()))
    }

    /// Takes no more items, processes those that came, and completes when that is done.
    ///
    /// # Cancel
    /// Dropping it forgets the waiter; the batcher closes all the same.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// use windlass::flow::{Batcher, BatchErrorKind, Flush};
    /// # windlass_reactor::doc(async {
    /// let batcher = Batcher::new(Flush::at_size(10), async |items: Vec<u32>| Ok::<_, ()>(items));
    /// let caller = windlass::spawn({ let batcher = batcher.clone(); async move { batcher.submit(1).await } });
    /// windlass::task::yield_now().await;
    /// batcher.close().await; // nobody waits for the other nine
    /// assert_eq!(caller.await.unwrap().unwrap(), 1);
    /// assert_eq!(batcher.submit(2).await.unwrap_err().kind(), BatchErrorKind::Closed);
    /// # });
    /// ```
    pub async fn close(&self) {
        let sender = self.shared.sender.take();
        drop(sender); // wakes the worker, with nothing borrowed (I3)
        self.shared.ended.wait().await;
    }

    /// What it has done so far.
    ///
    /// ```
    /// # use windlass_net::flow::{Batcher, Flush};
    /// # windlass_reactor::doc(async {
    /// let batcher = Batcher::new(Flush::at_size(1), async |items: Vec<u32>| Ok::<_, ()>(items));
    /// batcher.submit(7).await.unwrap();
    /// assert_eq!(batcher.stats().batches, 1);
    /// # });
    /// ```
    pub fn stats(&self) -> BatcherStats {
        self.shared.stats.get()
    }
}

struct Worker<T, R, E> {
    flush: Flush,
    receiver: mpsc::Receiver<Job<T, R, E>>,
    stats: Rc<Cell<BatcherStats>>,
    ended: Ended,
}

/// Says so when the worker ends, however it does.
struct Ended(Rc<Event>);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.set();
    }
}

impl<T: 'static, R: 'static, E: 'static> Worker<T, R, E> {
    async fn run(mut self, process: Rc<impl AsyncFn(Vec<T>) -> Result<Vec<R>, E> + 'static>) {
        loop {
            let batch = self.collect().await;
            if batch.is_empty() {
                break;
            }
            let (items, replies): (Vec<_>, Vec<_>) = batch.into_iter().map(|job| (job.item, job.reply)).unzip();
            self.count(|stats| {
                stats.batches += 1;
                stats.items += items.len() as u64;
            });
            let process = process.clone();
            let batch = Builder::new().name("batch").spawn(async move { process(items).await });
            let outcome = match batch.await {
                Ok(Ok(values)) if values.len() == replies.len() => Ok(values),
                Ok(Ok(values)) => Err(Cause::Miscounted { values: values.len(), items: replies.len() }),
                Ok(Err(error)) => Err(Cause::Failed(Rc::new(error))),
                Err(join_error) => Err(Cause::Panicked(join_error.to_string().into())),
            };
            self.answer(replies, outcome);
        }
        drop(self.ended);
    }

    /// The next batch, with nobody in it who does not wait any more. Empty when there will be none.
    async fn collect(&mut self) -> Vec<Job<T, R, E>> {
        let mut batch = Vec::new();
        loop {
            // What is there already is taken first, also if the batch is due.
            let came = match self.flush.due(&batch) {
                Some(due) => timeout_at(due, self.receiver.recv()).await,
                None => Ok(self.receiver.recv().await),
            };
            let (was_due, over) = (came.is_err(), matches!(came, Ok(None)));
            batch.extend(came.ok().flatten());
            if !was_due && !over && batch.len() < self.flush.size {
                continue;
            }
            self.leave_out_the_gone(&mut batch);
            // Who left may be the one that made it due, or full.
            let is_due = || self.flush.due(&batch).is_some_and(|due| due <= Instant::now());
            if over || batch.len() >= self.flush.size || was_due && is_due() {
                return batch;
            }
        }
    }

    fn leave_out_the_gone(&self, batch: &mut Vec<Job<T, R, E>>) {
        let before = batch.len();
        batch.retain(|job| !job.reply.is_closed());
        self.count(|stats| stats.skipped += (before - batch.len()) as u64);
    }

    /// To each its own value, or to all the same error. Who has gone meanwhile is no loss.
    fn answer(&self, replies: Vec<oneshot::Sender<Result<R, BatchError<E>>>>, outcome: Result<Vec<R>, Cause<E>>) {
        match outcome {
            Ok(values) => replies.into_iter().zip(values).for_each(|(reply, value)| drop(reply.send(Ok(value)))),
            Err(cause) => {
                self.count(|stats| stats.failed += 1);
                replies.into_iter().for_each(|reply| drop(reply.send(Err(BatchError { cause: cause.clone() }))));
            }
        }
    }

    fn count(&self, change: impl FnOnce(&mut BatcherStats)) {
        let mut stats = self.stats.get();
        change(&mut stats);
        self.stats.set(stats);
    }
}

impl<T, R, E> Clone for Batcher<T, R, E> {
    fn clone(&self) -> Self {
        Batcher { shared: self.shared.clone() }
    }
}

impl<T, R, E> fmt::Debug for Batcher<T, R, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batcher").field("stats", &self.shared.stats.get()).finish_non_exhaustive()
    }
}

/// Why there is no value. All that were in a batch share its error.
///
/// ```
/// # use windlass_net::flow::{Batcher, Flush};
/// # windlass_reactor::doc(async {
/// let batcher = Batcher::new(Flush::at_size(1), async |_: Vec<u32>| Err::<Vec<u32>, _>("no such table"));
/// assert_eq!(batcher.submit(1).await.unwrap_err().to_string(), "batch: no such table");
/// # });
/// ```
#[derive(Debug)]
pub struct BatchError<E> {
    cause: Cause<E>,
}

#[derive(Debug)]
enum Cause<E> {
    Failed(Rc<E>),
    Panicked(Rc<str>),
    Miscounted { values: usize, items: usize },
    Closed,
}

/// What became of the batch.
///
/// ```
/// # use windlass_net::windlass;
/// use windlass::flow::{Batcher, BatchErrorKind, Flush};
/// # windlass_reactor::doc(async {
/// let batcher = Batcher::new(Flush::at_size(1), async |_: Vec<u32>| Ok::<_, ()>(vec!['a', 'b']));
/// assert_eq!(batcher.submit(1).await.unwrap_err().kind(), BatchErrorKind::Miscounted);
/// # });
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum BatchErrorKind {
    /// The function returned an error.
    Failed,
    /// The function panicked.
    Panicked,
    /// The function returned more values than there were items, or fewer.
    Miscounted,
    /// There was none: the batcher was closed before.
    Closed,
}

impl<E> BatchError<E> {
    /// What became of the batch.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// use windlass::flow::{Batcher, BatchErrorKind, Flush};
    /// # windlass_reactor::doc(async {
    /// let batcher = Batcher::new(Flush::at_size(1), async |_: Vec<u32>| Err::<Vec<u32>, _>("no such table"));
    /// assert_eq!(batcher.submit(1).await.unwrap_err().kind(), BatchErrorKind::Failed);
    /// # });
    /// ```
    pub fn kind(&self) -> BatchErrorKind {
        match self.cause {
            Cause::Failed(_) => BatchErrorKind::Failed,
            Cause::Panicked(_) => BatchErrorKind::Panicked,
            Cause::Miscounted { .. } => BatchErrorKind::Miscounted,
            Cause::Closed => BatchErrorKind::Closed,
        }
    }

    /// What the function returned, if it failed.
    ///
    /// ```
    /// # use windlass_net::flow::{Batcher, Flush};
    /// # windlass_reactor::doc(async {
    /// let batcher = Batcher::new(Flush::at_size(1), async |_: Vec<u32>| Err::<Vec<u32>, _>(404));
    /// assert_eq!(batcher.submit(1).await.unwrap_err().inner(), Some(&404));
    /// # });
    /// ```
    pub fn inner(&self) -> Option<&E> {
        match &self.cause {
            Cause::Failed(error) => Some(error),
            _ => None,
        }
    }
}

impl<E> Clone for Cause<E> {
    fn clone(&self) -> Self {
        match self {
            Cause::Failed(error) => Cause::Failed(error.clone()),
            Cause::Panicked(message) => Cause::Panicked(message.clone()),
            &Cause::Miscounted { values, items } => Cause::Miscounted { values, items },
            Cause::Closed => Cause::Closed,
        }
    }
}

impl<E> Clone for BatchError<E> {
    fn clone(&self) -> Self {
        BatchError { cause: self.cause.clone() }
    }
}

impl<E: fmt::Display> fmt::Display for BatchError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.cause {
            Cause::Failed(error) => write!(f, "batch: {error}"),
            Cause::Panicked(message) => write!(f, "batch: {message}"),
            Cause::Miscounted { values, items } => write!(f, "batch: {values} values for {items} items"),
            Cause::Closed => f.write_str("batch: the batcher is closed"),
        }
    }
}

impl<E: Error + 'static> Error for BatchError<E> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.inner().map(|error| error as _)
    }
}
