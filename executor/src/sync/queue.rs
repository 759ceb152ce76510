//! Work for whoever is free.
//! Some put, some get, each item goes to one of them. The queue also counts what was put and is not yet done with, so
//! that one can wait for the work to be over and not only for the queue to be empty.
//!
//! ```text
//!   put ─── wait for room ──► ┌───────────────┐ ──── wait for an item ─── get ──► … ──► task_done
//!   put                       │ i i i ·  ·  · │                           get              │
//!                             └───────────────┘                              unfinished: 0 ▼ join
//!
//!   a putter in line is promised room      size + promised < maxsize
//!   a getter in line is promised an item   promised < size: it stays in the queue until the getter comes for it
//! ```
//!
//! An item belongs to nobody until a `get` completes. So a getter that is dropped in between loses nothing: its promise
//! goes to the next in line; and a priority queue hands out what is first when the getter comes, not when it was woken.
//! Room is given by water marks: at `high` putting pauses until the size has come down to `low`. In a plain queue these
//! are `maxsize` and one less; `backpressure` sets them apart.
//! Not here: an end for each side (`mpsc`: the receiver knows when the last sender has gone).
//! Next: `wait_list`, where both sides wait; `backpressure`.

use std::cell::{Cell, RefCell};
use std::cmp::Ordering;
use std::collections::{BinaryHeap, VecDeque};
use std::error::Error;
use std::fmt;
use std::future::poll_fn;
use std::rc::Rc;

use super::until::until;
use super::wait_list::{WaitList, Waiting};
use crate::waits::{LazyId, ResourceKind};

pub use super::error::{RecvError, SendError, TryRecvError, TrySendError};

/// A queue of items, first in, first out unless it is of another kind. Clones are handles to the same queue; they stay on
/// their thread. Memory is taken as it is needed.
///
/// ```
/// # use windlass_executor::windlass;
/// use windlass::sync::Queue;
/// # windlass_executor::doc(async {
/// let queue = Queue::new(10);
/// let workers: Vec<_> = (0..3).map(|_| {
///     let queue = queue.clone();
///     windlass::spawn(async move {
///         while let Some(job) = queue.get().await.unwrap() {
///             let _: u32 = job;
///             queue.task_done().unwrap();
///         }
///     })
/// }).collect();
/// for job in 0..10 {
///     queue.put(Some(job)).await.unwrap();
/// }
/// queue.join().await; // all ten are done with
/// for worker in workers {
///     queue.put(None).await.unwrap(); // time to go home
///     drop(worker);
/// }
/// # });
/// ```
pub struct Queue<T, K = Fifo<T>> {
    core: Rc<Core<T, K>>,
}

/// A queue that gives the newest item first; see [`Queue::lifo`].
pub type LifoQueue<T> = Queue<T, Lifo<T>>;

/// A queue that gives the smallest item first; see [`Queue::priority`].
pub type PriorityQueue<T> = Queue<T, Priority<T>>;

struct Core<T, K> {
    items: RefCell<K>,
    marks: Marks,
    /// Putting waits for the size to come down to the low mark.
    paused: Cell<bool>,
    room: Side,
    ready: Side,
    unfinished: Cell<usize>,
    done: WaitList<()>,
    shut: Cell<bool>,
    produced: Cell<u64>,
    consumed: Cell<u64>,
    pauses: Cell<u64>,
    id: LazyId,
    _items: std::marker::PhantomData<T>,
}

/// Sizes at which something changes.
#[derive(Clone, Copy)]
pub(super) struct Marks {
    /// Never more than this.
    pub(super) max: usize,
    /// Putting pauses here,
    pub(super) high: usize,
    /// and goes on here.
    pub(super) low: usize,
}

/// Those who put, or those who get.
struct Side {
    /// In line, with whether something was promised.
    line: WaitList<bool>,
    /// Promises that are not used yet.
    promised: Cell<usize>,
}

impl Side {
    const fn new() -> Self {
        Side { line: WaitList::new(), promised: Cell::new(0) }
    }

    /// Promises, from the front of the line, for as long as `may` is true.
    #[inline]
    fn serve(&self, may: impl Fn() -> bool) {
        if self.line.is_empty() {
            return;
        }
        self.line.grant_while(|promised| {
            *promised = may();
            self.promised.set(self.promised.get() + usize::from(*promised));
            *promised
        });
    }

    /// Completes when `may_go`, or when a promise was made; that is used then. A promise that is given up is `serve`d to
    /// the next.
    #[inline]
    async fn turn(&self, may_go: impl Fn() -> bool, serve: impl Fn(), note: impl Fn()) {
        let use_up = || self.promised.set(self.promised.get() - 1);
        let mut waiting = Waiting::new(&self.line, |left| {
            if left.payload {
                use_up();
                serve();
            }
        });
        if poll_fn(|cx| waiting.poll(cx, &may_go, false, &note)).await == Some(true) {
            use_up();
        }
    }
}

impl<T, K: Kind<T>> Core<T, K> {
    #[inline]
    fn size(&self) -> usize {
        self.items.borrow().len()
    }

    #[inline]
    fn may_put(&self) -> bool {
        !self.paused.get() && self.size() + self.room.promised.get() < self.marks.high
    }

    #[inline]
    fn may_get(&self) -> bool {
        self.ready.promised.get() < self.size()
    }

    fn serve_putters(&self) {
        self.room.serve(|| self.may_put());
    }

    fn serve_getters(&self) {
        self.ready.serve(|| self.may_get());
    }

    #[inline]
    fn push(&self, item: T) {
        self.unfinished.set(self.unfinished.get() + 1);
        self.produced.set(self.produced.get() + 1);
        let size = {
            let mut items = self.items.borrow_mut();
            items.push(item);
            items.len()
        };
        if size >= self.marks.high && !self.paused.replace(true) {
            self.pauses.set(self.pauses.get() + 1);
        }
        self.serve_getters();
    }

    #[inline]
    fn pop(&self) -> T {
        let (item, size) = {
            let mut items = self.items.borrow_mut();
            (items.pop().expect("who may get finds an item"), items.len())
        };
        self.consumed.set(self.consumed.get() + 1);
        if size <= self.marks.low {
            self.paused.set(false);
        }
        self.serve_putters();
        item
    }
}

impl<T> Queue<T> {
    /// A queue for at most `maxsize` items, 0 for no bound: first in, first out.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// let queue = windlass::sync::Queue::new(2);
    /// queue.put_nowait('a').unwrap();
    /// queue.put_nowait('b').unwrap();
    /// assert_eq!(queue.get_nowait(), Ok('a'));
    /// ```
    pub fn new(maxsize: usize) -> Self {
        Queue::with_marks(Marks::plain(maxsize), Fifo(VecDeque::new()))
    }
}

impl<T> LifoQueue<T> {
    /// As [`Queue::new`], but last in, first out.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// let stack = windlass::sync::Queue::lifo(2);
    /// stack.put_nowait('a').unwrap();
    /// stack.put_nowait('b').unwrap();
    /// assert_eq!(stack.get_nowait(), Ok('b'));
    /// ```
    pub fn lifo(maxsize: usize) -> Self {
        Queue::with_marks(Marks::plain(maxsize), Lifo(Vec::new()))
    }
}

impl<T: Ord> PriorityQueue<T> {
    /// As [`Queue::new`], but the smallest item comes first; of equal ones, who came first. The largest first:
    /// [`Reverse`](std::cmp::Reverse).
    ///
    /// Items are compared inside the queue: a comparison that uses the same queue panics.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// let queue = windlass::sync::Queue::priority(0);
    /// for job in [(2, "sweep"), (1, "open"), (3, "close")] {
    ///     queue.put_nowait(job).unwrap();
    /// }
    /// assert_eq!(queue.get_nowait(), Ok((1, "open")));
    /// ```
    pub fn priority(maxsize: usize) -> Self {
        Queue::with_marks(Marks::plain(maxsize), Priority { heap: BinaryHeap::new(), put: 0 })
    }
}

impl<T, K: Kind<T>> Queue<T, K> {
    pub(super) fn with_marks(marks: Marks, items: K) -> Self {
        let core = Core {
            items: RefCell::new(items),
            marks,
            paused: Cell::new(false),
            room: Side::new(),
            ready: Side::new(),
            unfinished: Cell::new(0),
            done: WaitList::new(),
            shut: Cell::new(false),
            produced: Cell::new(0),
            consumed: Cell::new(0),
            pauses: Cell::new(0),
            id: LazyId::new(),
            _items: std::marker::PhantomData,
        };
        Queue { core: Rc::new(core) }
    }

    /// Waits for room, in turn, and puts `item` in.
    ///
    /// # Errors
    /// Gives `item` back if the queue is shut down, also while this waits.
    ///
    /// # Cancel
    /// Dropped before it completed, nothing was put in: `item` is dropped with it, and the room that it was promised goes
    /// to the next in line.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// # windlass_executor::doc(async {
    /// let queue = windlass::sync::Queue::new(1);
    /// queue.put("first").await.unwrap();
    /// let second = windlass::spawn({ let queue = queue.clone(); async move { queue.put("second").await } });
    /// assert_eq!(queue.get().await, Ok("first"));
    /// second.await.unwrap().unwrap();
    /// # });
    /// ```
    #[inline]
    pub async fn put(&self, item: T) -> Result<(), SendError<T>> {
        let core = &*self.core;
        let may_go = || core.may_put() || core.shut.get();
        core.room.turn(may_go, || core.serve_putters(), || core.id.note(ResourceKind::Room)).await;
        if core.shut.get() {
            return Err(SendError(item));
        }
        core.push(item);
        Ok(())
    }

    /// Waits for an item, in turn, and takes it out.
    ///
    /// # Errors
    /// If the queue is shut down and no item is left for this one.
    ///
    /// # Cancel
    /// Dropping it loses nothing: an item leaves the queue only as this completes, and one that was promised goes to the
    /// next in line.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// # windlass_executor::doc(async {
    /// let queue = windlass::sync::Queue::new(1);
    /// let worker = windlass::spawn({ let queue = queue.clone(); async move { queue.get().await } });
    /// queue.put("a job").await.unwrap();
    /// assert_eq!(worker.await.unwrap(), Ok("a job"));
    /// # });
    /// ```
    #[inline]
    pub async fn get(&self) -> Result<T, RecvError> {
        let core = &*self.core;
        let may_go = || core.may_get() || core.shut.get();
        core.ready.turn(may_go, || core.serve_getters(), || core.id.note(ResourceKind::Item)).await;
        if core.may_get() { Ok(core.pop()) } else { Err(RecvError) }
    }

    /// Puts `item` in if there is room that was promised to nobody. It does not mind the water marks of a
    /// [`BackpressureQueue`](super::BackpressureQueue): what is between `high` and `maxsize` is for who cannot wait.
    ///
    /// # Errors
    /// Gives `item` back: `Full` if there is no room, `Closed` if the queue is shut down.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// use windlass::sync::queue::{Queue, TrySendError};
    /// let queue = Queue::new(1);
    /// queue.put_nowait(1).unwrap();
    /// assert_eq!(queue.put_nowait(2), Err(TrySendError::Full(2)));
    /// ```
    #[inline]
    pub fn put_nowait(&self, item: T) -> Result<(), TrySendError<T>> {
        let core = &*self.core;
        if core.shut.get() {
            return Err(TrySendError::Closed(item));
        }
        if core.size() + core.room.promised.get() >= core.marks.max {
            return Err(TrySendError::Full(item));
        }
        core.push(item);
        Ok(())
    }

    /// Takes an item out if there is one that was promised to nobody.
    ///
    /// # Errors
    /// `Empty` if there is none, `Closed` if there is none and the queue is shut down.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// use windlass::sync::queue::{Queue, TryRecvError};
    /// assert_eq!(Queue::<u32>::new(1).get_nowait(), Err(TryRecvError::Empty));
    /// ```
    #[inline]
    pub fn get_nowait(&self) -> Result<T, TryRecvError> {
        let core = &*self.core;
        if core.may_get() {
            return Ok(core.pop());
        }
        Err(if core.shut.get() { TryRecvError::Closed } else { TryRecvError::Empty })
    }

    /// Items in the queue.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// let queue = windlass::sync::Queue::new(0);
    /// queue.put_nowait(1).unwrap();
    /// assert_eq!(queue.qsize(), 1);
    /// ```
    pub fn qsize(&self) -> usize {
        self.core.size()
    }

    /// The most items it may hold; [`usize::MAX`] without a bound.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// assert_eq!(windlass::sync::Queue::<u32>::new(7).maxsize(), 7);
    /// ```
    pub fn maxsize(&self) -> usize {
        self.core.marks.max
    }

    /// True if it holds as many items as it may.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// let queue = windlass::sync::Queue::new(1);
    /// queue.put_nowait(1).unwrap();
    /// assert!(queue.full());
    /// ```
    pub fn full(&self) -> bool {
        self.qsize() >= self.maxsize()
    }

    /// True if it holds no item.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// assert!(windlass::sync::Queue::<u32>::new(1).empty());
    /// ```
    pub fn empty(&self) -> bool {
        self.qsize() == 0
    }

    /// Says that an item that was put in is done with. Who gets items calls this once for each.
    ///
    /// # Errors
    /// If nothing is unfinished: it was called more often than items were put in.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// let queue = windlass::sync::Queue::new(1);
    /// queue.put_nowait(1).unwrap();
    /// queue.get_nowait().unwrap();
    /// assert!(queue.task_done().is_ok());
    /// assert_eq!(queue.task_done().unwrap_err().to_string(), "task_done: nothing is unfinished");
    /// ```
    pub fn task_done(&self) -> Result<(), TaskDoneError> {
        let left = self.core.unfinished.get().checked_sub(1).ok_or(TaskDoneError)?;
        self.core.unfinished.set(left);
        if left == 0 {
            self.core.done.grant_while(|()| true);
        }
        Ok(())
    }

    /// Completes when everything that was put in is done with, or was while this waited.
    ///
    /// # Cancel
    /// Dropping it forgets the waiter; the queue stays as it is.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// # windlass_executor::doc(async {
    /// let queue = windlass::sync::Queue::new(1);
    /// queue.put("a job").await.unwrap();
    /// let worker = queue.clone();
    /// drop(windlass::spawn(async move {
    ///     worker.get().await.unwrap();
    ///     worker.task_done().unwrap();
    /// }));
    /// queue.join().await;
    /// # });
    /// ```
    pub async fn join(&self) {
        let core = &*self.core;
        until(&core.done, || core.unfinished.get() == 0, || core.id.note(ResourceKind::Done)).await;
    }

    /// Ends the queue: whoever puts, or waits to put, is refused, and whoever gets is refused once nothing is left. What
    /// becomes of the items says `how`.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// use windlass::sync::queue::{Queue, Shutdown};
    /// # windlass_executor::doc(async {
    /// let queue = Queue::new(5);
    /// queue.put("the last").await.unwrap();
    /// queue.shutdown(Shutdown::Drain);
    /// assert!(queue.put("too late").await.is_err());
    /// assert_eq!(queue.get().await, Ok("the last"));
    /// assert!(queue.get().await.is_err());
    /// # });
    /// ```
    pub fn shutdown(&self, how: Shutdown) {
        let core = &*self.core;
        core.shut.set(true);
        let left = match how {
            Shutdown::Drain => None,
            Shutdown::Immediate => Some(core.items.borrow_mut().take_all()),
        };
        // They are told before anything foreign runs, and find out by themselves what is left for them.
        let dropped = left.as_ref().map_or(0, K::len);
        core.unfinished.set(core.unfinished.get().saturating_sub(dropped));
        core.room.line.grant_while(|_| true);
        core.ready.line.grant_while(|_| true);
        if core.unfinished.get() == 0 {
            core.done.grant_while(|()| true);
        }
        drop(left); // foreign code: nothing is borrowed
    }

    /// True once [`shutdown`](Queue::shutdown) was called.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// use windlass::sync::queue::{Queue, Shutdown};
    /// let queue = Queue::<u32>::new(5);
    /// queue.shutdown(Shutdown::Drain);
    /// assert!(queue.is_shutdown());
    /// ```
    pub fn is_shutdown(&self) -> bool {
        self.core.shut.get()
    }

    pub(super) fn is_paused(&self) -> bool {
        self.core.paused.get()
    }

    /// How many were put in, how many got out, and how often putting paused.
    pub(super) fn counts(&self) -> [u64; 3] {
        [self.core.produced.get(), self.core.consumed.get(), self.core.pauses.get()]
    }

    /// Entries of all lines: 0 when nobody waits.
    #[cfg(test)]
    pub(super) fn entries(&self) -> usize {
        let core = &*self.core;
        core.room.line.entries() + core.ready.line.entries() + core.done.entries()
    }

    /// Room and items that are promised to nobody.
    #[cfg(test)]
    pub(super) fn spare(&self) -> [usize; 2] {
        let core = &*self.core;
        let room = if core.paused.get() { 0 } else { core.marks.high - core.size() - core.room.promised.get() };
        [room, core.size() - core.ready.promised.get()]
    }
}

impl Marks {
    fn plain(maxsize: usize) -> Self {
        let max = if maxsize == 0 { usize::MAX } else { maxsize };
        Marks { max, high: max, low: max - 1 }
    }
}

/// What becomes of the items at [`Queue::shutdown`].
///
/// ```
/// # use windlass_executor::windlass;
/// use windlass::sync::queue::{Queue, Shutdown};
/// # windlass_executor::doc(async {
/// let queue = Queue::new(5);
/// queue.put_nowait("never mind").unwrap();
/// queue.shutdown(Shutdown::Immediate);
/// assert!(queue.get().await.is_err());
/// queue.join().await; // what was dropped counts as done with
/// # });
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Shutdown {
    /// Those that are there can still be got.
    Drain,
    /// They are dropped, and count as done with.
    Immediate,
}

/// There was nothing that could be done with.
///
/// ```
/// # use windlass_executor::windlass;
/// assert!(windlass::sync::Queue::<u32>::new(1).task_done().is_err());
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct TaskDoneError;

impl fmt::Display for TaskDoneError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("task_done: nothing is unfinished")
    }
}

impl Error for TaskDoneError {}

impl<T, K> Clone for Queue<T, K> {
    fn clone(&self) -> Self {
        Queue { core: self.core.clone() }
    }
}

impl<T, K: Kind<T>> fmt::Debug for Queue<T, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Queue");
        shown.field("qsize", &self.qsize()).field("maxsize", &self.maxsize());
        shown.field("unfinished", &self.core.unfinished.get()).field("shutdown", &self.is_shutdown()).finish()
    }
}

/// The order in which a queue gives its items: [`Fifo`], [`Lifo`] or [`Priority`], and no other.
pub trait Kind<T>: store::Store<T> {}
impl<T, K: store::Store<T>> Kind<T> for K {}

/// First in, first out: the kind of [`Queue::new`].
pub struct Fifo<T>(pub(super) VecDeque<T>);

/// Last in, first out: the kind of [`Queue::lifo`].
pub struct Lifo<T>(Vec<T>);

/// The smallest first: the kind of [`Queue::priority`].
pub struct Priority<T> {
    heap: BinaryHeap<Ranked<T>>,
    /// Items put in so far.
    put: u64,
}

/// An item of a heap whose greatest comes first: the smallest item, of equal ones the first.
struct Ranked<T> {
    item: T,
    number: u64,
}

impl<T: Ord> Ord for Ranked<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        other.item.cmp(&self.item).then(other.number.cmp(&self.number))
    }
}

impl<T: Ord> PartialOrd for Ranked<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T: Ord> Eq for Ranked<T> {}

impl<T: Ord> PartialEq for Ranked<T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

/// What a kind does. Nobody outside can name it.
mod store {
    use std::mem;

    use super::{Fifo, Lifo, Priority, Ranked};

    pub trait Store<T> {
        fn push(&mut self, item: T);
        fn pop(&mut self) -> Option<T>;
        fn len(&self) -> usize;
        fn take_all(&mut self) -> Self;
    }

    impl<T> Store<T> for Fifo<T> {
        #[inline]
        fn push(&mut self, item: T) {
            self.0.push_back(item);
        }

        #[inline]
        fn pop(&mut self) -> Option<T> {
            self.0.pop_front()
        }

        #[inline]
        fn len(&self) -> usize {
            self.0.len()
        }

        fn take_all(&mut self) -> Self {
            Fifo(mem::take(&mut self.0))
        }
    }

    impl<T> Store<T> for Lifo<T> {
        #[inline]
        fn push(&mut self, item: T) {
            self.0.push(item);
        }

        #[inline]
        fn pop(&mut self) -> Option<T> {
            self.0.pop()
        }

        #[inline]
        fn len(&self) -> usize {
            self.0.len()
        }

        fn take_all(&mut self) -> Self {
            Lifo(mem::take(&mut self.0))
        }
    }

    impl<T: Ord> Store<T> for Priority<T> {
        fn push(&mut self, item: T) {
            self.put += 1;
            self.heap.push(Ranked { item, number: self.put });
        }

        fn pop(&mut self) -> Option<T> {
            self.heap.pop().map(|ranked| ranked.item)
        }

        #[inline]
        fn len(&self) -> usize {
            self.heap.len()
        }

        fn take_all(&mut self) -> Self {
            Priority { heap: mem::take(&mut self.heap), put: self.put }
        }
    }
}
