//! A waker that is a number.
//!
//! What leaves the loop's thread is 64 bits: which loop, which cell of its table, and which life of that cell. No
//! pointer, no count, nothing to keep alive; whoever holds it holds no part of the loop.
//!
//! ```text
//!     63        52 51              26 25               0
//!     ┌───────────┬──────────────────┬──────────────────┐        LOOPS[loop] ──► Inbox ──► the loop: cells[index]
//!     │   loop    │    generation    │      index       │           gone?                 another generation there?
//!     └───────────┴──────────────────┴──────────────────┘           nothing happens       stale: ignored, and counted
//! ```
//!
//! A `std::task::Waker` must wrap something, and without unsafe code that is an `Arc`: the `NumberWake` box, at the
//! border only. The real crate leaves the box out. `RawWaker::new(data, vtable)` takes any word as `data`; it writes
//! the number there, and its clone is a copy and its drop does nothing. `Waker::from_raw` makes a waker of it. That
//! call is `unsafe`, as the compiler cannot check that the vtable treats the word as what it is; it stands in the one
//! file of the project that may hold unsafe code.
//!
//! What it leaves out: on the loop's own thread the real wake goes to the table at once, past this lock; the ids of
//! loops that are gone are used again; and in the real number the index stands before the generation.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::task::Wake;
use std::thread::{self, ThreadId};

const LOOP_BITS: u32 = 12; // 4,096 loops in the life of the process
const GENERATION_BITS: u32 = 26; // a waker kept for 67 million lives of its cell may wake a stranger: one poll in vain
const INDEX_BITS: u32 = 26; // 67 million tasks at a time

/// Names a task of some loop of this process, dead or alive.
#[derive(Clone, Copy, PartialEq)]
pub(crate) struct Number(u64);

impl Number {
    /// Names the first task of a cell.
    pub(crate) fn new(loop_id: u64, index: usize) -> Number {
        assert!(loop_id >> LOOP_BITS == 0, "no more than 4,096 loops");
        assert!(index >> INDEX_BITS == 0, "no more than 67 million tasks at a time");
        Number(loop_id << (GENERATION_BITS + INDEX_BITS) | index as u64)
    }

    /// Names the next task of the same cell. After the last generation comes the first.
    pub(crate) fn next_life(self) -> Number {
        let mask = ((1 << GENERATION_BITS) - 1) << INDEX_BITS;
        let generation = (self.0 & mask) + (1 << INDEX_BITS);
        Number(self.0 & !mask | generation & mask)
    }

    pub(crate) fn index(self) -> usize {
        (self.0 & ((1 << INDEX_BITS) - 1)) as usize
    }

    fn loop_id(self) -> usize {
        (self.0 >> (GENERATION_BITS + INDEX_BITS)) as usize
    }

    /// Drops the number into its loop's inbox, if there is such a loop still.
    fn wake(self) {
        let inbox = LOOPS.lock().expect("nobody panics with this locked")[self.loop_id()].upgrade();
        if let Some(inbox) = inbox {
            inbox.put(self);
        }
    }
}

/// The box around a number, for those who want a `Waker`.
pub(crate) struct NumberWake(pub(crate) Number);

impl Wake for NumberWake {
    fn wake(self: Arc<Self>) {
        let number = self.0;
        drop(self); // first: the task may end at once, and then its box is to be used again
        number.wake();
    }
}

/// Every loop of this process, by its id. Ids are not used again.
static LOOPS: Mutex<Vec<Weak<Inbox>>> = Mutex::new(Vec::new());

/// Where the numbers of woken tasks arrive, from any thread.
pub(crate) struct Inbox {
    numbers: Mutex<Vec<Number>>,
    wakes: AtomicU64,
    home: ThreadId,
    bell: Box<dyn Fn() + Send + Sync>,
}

impl Inbox {
    /// The inbox of the loop on this thread, and the loop's id. `bell` ends the loop's sleep.
    pub(crate) fn new(bell: impl Fn() + Send + Sync + 'static) -> (u64, Arc<Inbox>) {
        let home = thread::current().id();
        let inbox = Arc::new(Inbox { numbers: Mutex::default(), wakes: 0.into(), home, bell: Box::new(bell) });
        let mut loops = LOOPS.lock().expect("nobody panics with this locked");
        loops.push(Arc::downgrade(&inbox));
        (loops.len() as u64 - 1, inbox)
    }

    fn put(&self, number: Number) {
        self.wakes.fetch_add(1, Ordering::Relaxed);
        self.numbers.lock().expect("nobody panics with this locked").push(number);
        if thread::current().id() != self.home {
            (self.bell)();
        }
    }

    /// All that has arrived, in order.
    pub(crate) fn take(&self) -> Vec<Number> {
        std::mem::take(&mut *self.numbers.lock().expect("nobody panics with this locked"))
    }

    pub(crate) fn wakes(&self) -> u64 {
        self.wakes.load(Ordering::Relaxed)
    }
}
