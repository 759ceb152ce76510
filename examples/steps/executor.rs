//! Who runs next.
//!
//! Many tasks, one thread. A wake must say *which* task it is for: so each task has a waker of its own, and to wake it
//! is to put its index into a queue. Whoever is in the queue is polled, first come, first served; nobody else is.
//!
//! ```text
//!     wake, from any thread ──► TaskWaker { index: 7 } ──► ready: [ 3, 9, 7 ] ──► poll_next
//!                                   └─ from elsewhere: ring the bell, too            │ take, poll, put back
//!                                                                                    ▼
//!                                                          tasks: [ 0 │ 1 │ 2 │ 3 │ 4 │ ... ]
//! ```
//!
//! Three rules keep it right. A task is in the queue exactly while its `queued` is true, so it is never there twice.
//! The bit is cleared *before* the poll: a wake during the poll is news that the poll may have missed. And no borrow of
//! `tasks` is held while a task's own code runs, so that it may spawn.
//!
//! What it leaves out: outputs and panics of tasks. The entry of a task that has ended is never used again, and every
//! task costs an `Arc` for its waker: step 6 does something about both.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, ThreadId};

/// The tasks of one thread. They stay there and need not be `Send`; only their wakers travel.
pub(crate) struct Executor {
    tasks: RefCell<Vec<Option<Task>>>,
    alive: Cell<usize>,
    queue: Arc<RunQueue>,
}

struct Task {
    future: Pin<Box<dyn Future<Output = ()>>>,
    waker: Arc<TaskWaker>,
}

impl Executor {
    /// An executor for this thread. `bell` ends the thread's sleep, or the next one if it is awake.
    pub(crate) fn new(bell: impl Fn() + Send + Sync + 'static) -> Executor {
        let (tasks, alive) = Default::default();
        let queue = Arc::new(RunQueue {
            ready: Mutex::default(),
            wakes: AtomicU64::new(0),
            home: thread::current().id(),
            bell: Box::new(bell),
        });
        Executor { tasks, alive, queue }
    }

    /// Adds a task. Its first poll comes when it is its turn: to spawn is to wake.
    pub(crate) fn spawn(&self, future: impl Future<Output = ()> + 'static) {
        let mut tasks = self.tasks.borrow_mut();
        let waker =
            Arc::new(TaskWaker { index: tasks.len(), queued: AtomicBool::new(false), queue: Arc::clone(&self.queue) });
        Waker::from(Arc::clone(&waker)).wake();
        let future = Box::pin(future);
        tasks.push(Some(Task { future, waker }));
        self.alive.set(self.alive.get() + 1);
    }

    /// Polls who is next in the queue; `false` if nobody is.
    pub(crate) fn poll_next(&self) -> bool {
        while let Some(index) = self.queue.pop() {
            // Taken out while it is polled. One that has been woken after its end is not there.
            let Some(mut task) = self.tasks.borrow_mut()[index].take() else {
                continue;
            };
            task.waker.queued.store(false, Ordering::Release); // before the poll: a wake during it must queue it again
            let waker = Waker::from(Arc::clone(&task.waker));
            match task.future.as_mut().poll(&mut Context::from_waker(&waker)) {
                Poll::Ready(()) => self.alive.set(self.alive.get() - 1),
                Poll::Pending => self.tasks.borrow_mut()[index] = Some(task),
            }
            return true;
        }
        false
    }

    /// How many tasks have not ended.
    pub(crate) fn alive(&self) -> usize {
        self.alive.get()
    }

    /// How many wakes there have been; spawning counts as one.
    pub(crate) fn wakes(&self) -> u64 {
        self.queue.wakes.load(Ordering::Relaxed)
    }
}

/// The indices of the tasks to poll. Any thread may add to it.
struct RunQueue {
    ready: Mutex<VecDeque<usize>>,
    wakes: AtomicU64,
    home: ThreadId,
    bell: Box<dyn Fn() + Send + Sync>,
}

impl RunQueue {
    fn pop(&self) -> Option<usize> {
        self.ready.lock().expect("nobody panics with the queue locked").pop_front()
    }
}

/// What a task hands out to be woken by. `Wake` makes a `Waker` of its `Arc`: to clone it is to count one up.
struct TaskWaker {
    index: usize,
    queued: AtomicBool,
    queue: Arc<RunQueue>,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        let queue = &self.queue;
        queue.wakes.fetch_add(1, Ordering::Relaxed);
        if self.queued.swap(true, Ordering::AcqRel) {
            return;
        }
        queue.ready.lock().expect("nobody panics with the queue locked").push_back(self.index);
        if thread::current().id() != queue.home {
            (queue.bell)();
        }
    }
}
