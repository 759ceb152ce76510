//! Who runs next, with cells that are used again.
//!
//! The executor of steps 3 to 5 keeps an entry for every task that ever was, and makes a waker for each. Here a task
//! moves into a cell, and when it ends, the next task moves into the same cell, waker and all.
//!
//! ```text
//!     wake ──► inbox: [ number, number ] ──► same generation? ── no ──► stale: ignored, and counted
//!                                                  │ yes, and not queued yet
//!                                                  ▼
//!     free: [ 4, 1 ]      cells: [ 0 │ 1 │ 2 │ 3 │ 4 ]      ready: [ 3, 0 ] ──► poll_next
//! ```
//!
//! A cell that is used again has a past: somebody may still hold a waker of the task before. That is why each life of a
//! cell has a number of its own. The three rules of `executor.rs` hold as they did; `queued` is a plain `bool` now,
//! since only this thread reads the inbox.
//!
//! What it leaves out: the box of the future itself still comes from the allocator for every task. The real cell holds
//! the future, and later its output, in one piece of memory that the loop uses again, too.

use crate::number::{Inbox, Number, NumberWake};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

/// The tasks of one thread. They stay there; only their numbers travel.
pub(crate) struct Executor {
    id: u64,
    inbox: Arc<Inbox>,
    cells: RefCell<Vec<TaskCell>>,
    free: RefCell<Vec<usize>>,
    ready: RefCell<VecDeque<usize>>,
    /// How many wakes were for a task that had ended.
    pub(crate) stale: Cell<u64>,
    /// How many boxes for a number have been made.
    pub(crate) boxes: Cell<u64>,
}

/// A place for one task after another.
struct TaskCell {
    future: Option<Pin<Box<dyn Future<Output = ()>>>>,
    queued: bool,
    wake: Arc<NumberWake>,
}

impl Executor {
    /// An executor for this thread. `bell` ends the thread's sleep, or the next one if it is awake.
    pub(crate) fn new(bell: impl Fn() + Send + Sync + 'static) -> Executor {
        let (id, inbox) = Inbox::new(bell);
        let (cells, free, ready, stale, boxes) = Default::default();
        Executor { id, inbox, cells, free, ready, stale, boxes }
    }

    /// Adds a task, in a cell that has become free if there is one. Its first poll comes when it is its turn.
    pub(crate) fn spawn(&self, future: impl Future<Output = ()> + 'static) {
        let index = self.free.borrow_mut().pop().unwrap_or_else(|| self.add_cell());
        let cell = &mut self.cells.borrow_mut()[index];
        cell.future = Some(Box::pin(future));
        cell.queued = true;
        self.ready.borrow_mut().push_back(index);
    }

    /// Polls who is next in the queue; `false` if nobody is.
    pub(crate) fn poll_next(&self) -> bool {
        self.read_inbox();
        let Some(index) = self.ready.borrow_mut().pop_front() else {
            return false;
        };
        let (mut future, waker) = self.take(index);
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Pending => self.cells.borrow_mut()[index].future = Some(future),
            Poll::Ready(()) => {
                drop((future, waker)); // no borrow is held: this is the task's own code, too
                self.vacate(index);
            }
        }
        true
    }

    /// How many tasks have not ended.
    pub(crate) fn alive(&self) -> usize {
        self.cells.borrow().len() - self.free.borrow().len()
    }

    /// How many wakes there have been; spawning is none.
    pub(crate) fn wakes(&self) -> u64 {
        self.inbox.wakes()
    }

    /// How many cells there are, with and without a task.
    pub(crate) fn cells(&self) -> u64 {
        self.cells.borrow().len() as u64
    }

    /// Queues those whom the numbers in the inbox name, if it is still they who live there.
    fn read_inbox(&self) {
        let mut cells = self.cells.borrow_mut();
        for number in self.inbox.take() {
            let cell = &mut cells[number.index()];
            if cell.wake.0 != number {
                self.stale.set(self.stale.get() + 1);
            } else if !cell.queued {
                cell.queued = true;
                self.ready.borrow_mut().push_back(number.index());
            }
        }
    }

    /// Takes the task out for a poll, with a waker that is one more count on the cell's box.
    fn take(&self, index: usize) -> (Pin<Box<dyn Future<Output = ()>>>, Waker) {
        let cell = &mut self.cells.borrow_mut()[index];
        cell.queued = false; // before the poll: a wake during it must queue it again
        let future = cell.future.take().expect("a queued cell has a tenant");
        (future, Waker::from(Arc::clone(&cell.wake)))
    }

    /// The task has ended: its number becomes stale, and the cell is free for the next.
    fn vacate(&self, index: usize) {
        let cell = &mut self.cells.borrow_mut()[index];
        let next = cell.wake.0.next_life();
        match Arc::get_mut(&mut cell.wake) {
            Some(wake) => wake.0 = next, // nobody holds the old number: its box is good for the new one
            None => cell.wake = self.new_box(next), // somebody does, and keeps the old box
        }
        self.free.borrow_mut().push(index);
    }

    fn add_cell(&self) -> usize {
        let mut cells = self.cells.borrow_mut();
        let index = cells.len();
        let wake = self.new_box(Number::new(self.id, index));
        let (future, queued) = (None, false);
        cells.push(TaskCell { future, queued, wake });
        index
    }

    fn new_box(&self, number: Number) -> Arc<NumberWake> {
        self.boxes.set(self.boxes.get() + 1);
        Arc::new(NumberWake(number))
    }
}
