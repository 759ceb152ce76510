//! What other threads have to say to a loop.
//! A wake-up from elsewhere cannot touch the loop's queue. It goes through a register of loops to that loop's inbox,
//! and if the loop sleeps, one call wakes it.
//!
//! ```text
//!   thread B: wake(number) ──► LOOPS[12 bits] ──► inbox: [message, message] ── parked? ──► unpark, once
//!   the loop:  between two batches of polls: anything there? take all        └─ awake: nothing to do
//! ```
//!
//! No wake-up is lost: a loop may sleep only after it looked into the inbox *under the lock* and said so there; whoever
//! puts a message in later finds `parked` and unparks it. (`loom_models` at the end tries every interleaving.)
//! A loop that is gone has no inbox, and a wake-up for it does nothing.
//! Next: `executor`, the reader.

use std::collections::HashSet;
use std::sync::RwLock;

#[cfg(loom)]
pub(crate) use loom::sync::Arc;
#[cfg(loom)]
use loom::sync::{
    Mutex,
    atomic::{AtomicBool, Ordering},
};
#[cfg(not(loom))]
pub(crate) use std::sync::Arc;
#[cfg(not(loom))]
use std::sync::{
    Mutex,
    atomic::{AtomicBool, Ordering},
};

use crate::key::{Key, LOOPS_MAX};

/// Something for the loop to do.
pub(crate) enum Message {
    Wake(Key),
    Call(Box<dyn FnOnce() + Send>),
    /// A call on the blocking pool has ended.
    BlockingEnded,
}

/// Where messages for one loop wait.
pub(crate) struct Inbox {
    id: LoopId,
    /// True if there may be a message: a hint that spares an awake loop the lock.
    full: AtomicBool,
    state: Mutex<State>,
    unpark: Box<dyn Fn() + Send + Sync>,
}

struct State {
    messages: Vec<Message>,
    /// With so many messages it is time to look for wake-ups that say the same.
    crowded: usize,
    parked: bool,
    closed: bool,
}

/// So many messages may say the same before anybody looks.
const CROWDED: usize = 1024;

impl State {
    /// One wake-up of a task is as good as many until it is polled: of those that wait the first stays. What waits is
    /// thus bounded by the tasks and the calls, however long the loop is away; looking costs a message its share.
    #[cold]
    fn make_room(&mut self) {
        let mut seen = HashSet::new();
        self.messages.retain(|message| match message {
            Message::Wake(key) => seen.insert(key.to_bits()),
            Message::Call(_) | Message::BlockingEnded => true,
        });
        self.crowded = CROWDED.max(2 * self.messages.len());
    }
}

impl Inbox {
    pub(crate) fn new(id: LoopId, unpark: Box<dyn Fn() + Send + Sync>) -> Self {
        let state = State { messages: Vec::new(), crowded: CROWDED, parked: false, closed: false };
        Inbox { id, full: AtomicBool::new(false), state: Mutex::new(state), unpark }
    }

    pub(crate) fn id(&self) -> LoopId {
        self.id
    }

    fn lock(&self) -> impl std::ops::DerefMut<Target = State> + '_ {
        self.state.lock().expect("nothing panics while it holds the inbox")
    }

    /// Puts a message in, and wakes the loop if it sleeps. A closed inbox gives the message back.
    pub(crate) fn push(&self, message: Message) -> Result<(), Message> {
        let mut state = self.lock();
        if state.closed {
            return Err(message);
        }
        if state.messages.len() >= state.crowded {
            state.make_room();
        }
        state.messages.push(message);
        self.full.store(true, Ordering::Release);
        // Coalesced: the first message after it parked unparks it, the others find it awake.
        let parked = std::mem::replace(&mut state.parked, false);
        drop(state);
        if parked {
            (self.unpark)();
        }
        Ok(())
    }

    /// True if there may be a message.
    #[inline]
    pub(crate) fn is_full(&self) -> bool {
        self.full.load(Ordering::Acquire)
    }

    /// Swaps what has come for an empty vector. False if nothing has.
    pub(crate) fn take(&self, messages: &mut Vec<Message>) -> bool {
        debug_assert!(messages.is_empty());
        if !self.is_full() {
            return false;
        }
        let mut state = self.lock();
        self.full.store(false, Ordering::Relaxed);
        std::mem::swap(&mut state.messages, messages);
        state.crowded = CROWDED;
        true
    }

    /// Says that the loop is about to sleep. False if there is a message, and it must not.
    pub(crate) fn park(&self) -> bool {
        let mut state = self.lock();
        state.parked = state.messages.is_empty();
        state.parked
    }

    /// Says that the loop is awake, so that nobody need wake it.
    pub(crate) fn unparked(&self) {
        self.lock().parked = false;
    }

    /// Takes nothing more, and gives out what is left.
    fn close(&self) -> Vec<Message> {
        let mut state = self.lock();
        state.closed = true;
        std::mem::take(&mut state.messages)
    }
}

/// A loop's identity. No two loops of a process have the same, however many come and go.
///
/// ```
/// # use windlass_executor::Executor;
/// let first = Executor::new(|| {}).unwrap().id();
/// let second = Executor::new(|| {}).unwrap().id(); // the first is gone, its id is not used again
/// assert_ne!(first, second);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct LoopId(std::num::NonZeroU64);

impl LoopId {
    /// The part that a waker has room for. It is used again when the loop is gone.
    #[inline]
    pub(crate) fn short(self) -> u16 {
        (self.0.get() % LOOPS_MAX as u64) as u16
    }
}

/// Loops by the short form of their id. Not loom's: it never blocks a wake-up for longer than a look-up.
static LOOPS: RwLock<Register> = RwLock::new(Register { next: 0, loops: Vec::new() });

struct Register {
    next: u64,
    loops: Vec<Option<Arc<Inbox>>>,
}

/// More than 4,095 loops at one time.
///
/// ```
/// let refused = windlass_executor::TooManyLoops;
/// assert_eq!(refused.to_string(), "a process can have 4095 loops at one time, and has");
/// ```
#[derive(Debug)]
pub struct TooManyLoops;

impl std::fmt::Display for TooManyLoops {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "a process can have {} loops at one time, and has", LOOPS_MAX - 1)
    }
}

impl std::error::Error for TooManyLoops {}

/// Opens an inbox under a new id.
pub(crate) fn open(unpark: Box<dyn Fn() + Send + Sync>) -> Result<Arc<Inbox>, TooManyLoops> {
    let mut register = LOOPS.write().expect("nothing panics while it holds the register");
    // Ids count up past the places still taken, so that the one longest unused comes first.
    let start = register.next;
    let id = (start..start + LOOPS_MAX as u64)
        .filter_map(std::num::NonZeroU64::new)
        .map(LoopId)
        .filter(|id| id.short() != 0)
        .find(|id| register.loops.get(id.short() as usize).is_none_or(Option::is_none))
        .ok_or(TooManyLoops)?;
    register.next = id.0.get() + 1;
    let place = id.short() as usize;
    if register.loops.len() <= place {
        register.loops.resize_with(place + 1, || None);
    }
    let inbox = Arc::new(Inbox::new(id, unpark));
    register.loops[place] = Some(inbox.clone());
    Ok(inbox)
}

/// Closes an inbox and forgets its id. What was left in it comes back, to be dropped on the loop's thread.
pub(crate) fn close(inbox: &Inbox) -> Vec<Message> {
    let mut register = LOOPS.write().expect("nothing panics while it holds the register");
    register.loops[inbox.id.short() as usize] = None;
    drop(register);
    inbox.close()
}

fn find(short: u16) -> Option<Arc<Inbox>> {
    let register = LOOPS.read().expect("nothing panics while it holds the register");
    register.loops.get(short as usize).cloned().flatten()
}

/// The loop that has this number now.
pub(crate) fn id_of(short: u16) -> Option<LoopId> {
    find(short).map(|inbox| inbox.id)
}

/// A wake-up from a thread that is not in the loop of `key`.
#[cold]
pub(crate) fn wake(key: Key) {
    if let Some(inbox) = find(key.loop_id()) {
        // A loop that closed in between needs no waking.
        let _ = inbox.push(Message::Wake(key));
    }
}

/// Runs `call` on the thread of loop `id`, soon.
///
/// # Errors
/// Gives the call back if that loop is gone.
///
/// ```
/// # use windlass_executor::{Executor, post};
/// # let executor = Executor::new(|| {}).unwrap();
/// let (say, hear) = std::sync::mpsc::channel();
/// post(executor.id(), Box::new(move || say.send("on the loop's thread").unwrap())).ok();
///
/// let _entered = executor.enter(std::panic::Location::caller()).unwrap();
/// executor.read_inbox();
/// assert_eq!(hear.try_recv(), Ok("on the loop's thread"));
/// ```
pub fn post(id: LoopId, call: Box<dyn FnOnce() + Send>) -> Result<(), Box<dyn FnOnce() + Send>> {
    let Some(inbox) = find(id.short()).filter(|inbox| inbox.id == id) else {
        return Err(call);
    };
    inbox.push(Message::Call(call)).map_err(|message| match message {
        Message::Call(call) => call,
        _ => unreachable!("what was pushed comes back"),
    })
}

/// Every interleaving of a loop and the threads that write to it. Run with
/// `RUSTFLAGS="--cfg loom" LOOM_MAX_PREEMPTIONS=3 cargo test -p windlass-executor --release --lib loom`.
#[cfg(all(test, loom))]
mod loom_models {
    use loom::sync::Notify;
    use loom::sync::atomic::AtomicUsize;
    use loom::thread;

    use super::*;

    /// A loop that sleeps by the protocol, with the sleep itself made of a loom notify.
    struct Sleeper {
        inbox: Arc<Inbox>,
        unparked: Arc<Notify>,
        unparks: Arc<AtomicUsize>,
    }

    impl Sleeper {
        fn new() -> Self {
            let (unparked, unparks) = (Arc::new(Notify::new()), Arc::new(AtomicUsize::new(0)));
            let (notify, count) = (unparked.clone(), unparks.clone());
            let unpark = move || {
                count.fetch_add(1, Ordering::Relaxed);
                notify.notify();
            };
            let id = LoopId(std::num::NonZeroU64::MIN);
            Sleeper { inbox: Arc::new(Inbox::new(id, Box::new(unpark))), unparked, unparks }
        }

        /// The indexes of the next wakes to come. A wake that is lost leaves this asleep, which loom reports.
        fn next(&self) -> Vec<usize> {
            loop {
                let mut messages = Vec::new();
                if self.inbox.take(&mut messages) && !messages.is_empty() {
                    return messages.iter().map(index).collect();
                }
                if self.inbox.park() {
                    self.unparked.wait();
                    self.inbox.unparked();
                }
            }
        }

        /// As many wakes as are asked for, in any order of threads.
        fn collect(&self, wakes: usize) -> Vec<usize> {
            let mut seen = Vec::new();
            while seen.len() < wakes {
                seen.extend(self.next());
            }
            seen
        }
    }

    fn wake(index: usize) -> Message {
        Message::Wake(Key::new(1, index, 1).expect("a small index has room"))
    }

    fn index(message: &Message) -> usize {
        match message {
            Message::Wake(key) => key.index(),
            Message::Call(_) | Message::BlockingEnded => unreachable!("only wakes are sent here"),
        }
    }

    #[test]
    fn loom_a_wake_while_the_loop_goes_to_sleep_is_not_lost() {
        loom::model(|| {
            let sleeper = Sleeper::new();
            let inbox = sleeper.inbox.clone();
            let waker = thread::spawn(move || assert!(inbox.push(wake(7)).is_ok()));
            assert_eq!(sleeper.next(), [7]);
            waker.join().unwrap();
        });
    }

    #[test]
    fn loom_of_two_wakes_from_two_threads_both_arrive() {
        loom::model(|| {
            let sleeper = Sleeper::new();
            let wakers = [1, 2].map(|number| {
                let inbox = sleeper.inbox.clone();
                thread::spawn(move || assert!(inbox.push(wake(number)).is_ok()))
            });
            let mut seen = sleeper.collect(2);
            seen.sort();
            assert_eq!(seen, [1, 2]);
            wakers.into_iter().for_each(|waker| waker.join().unwrap());
            assert!(sleeper.inbox.park(), "nothing is left, and nothing came twice");
        });
    }

    /// No more unparks than sleeps, and none lost.
    #[test]
    fn loom_two_wakes_of_one_sleep_unpark_once() {
        loom::model(|| {
            let sleeper = Sleeper::new();
            assert!(sleeper.inbox.park());
            let wakers = [1, 2].map(|number| {
                let inbox = sleeper.inbox.clone();
                thread::spawn(move || assert!(inbox.push(wake(number)).is_ok()))
            });
            sleeper.unparked.wait();
            wakers.into_iter().for_each(|waker| waker.join().unwrap());
            assert_eq!(sleeper.unparks.load(Ordering::Relaxed), 1);
            sleeper.inbox.unparked();
            assert_eq!(sleeper.collect(2).len(), 2);
        });
    }

    /// Also the second of two wakes carries what its thread stored before it.
    #[test]
    fn loom_the_loop_sees_what_was_stored_before_a_wake() {
        loom::model(|| {
            let sleeper = Sleeper::new();
            let stored = Arc::new([AtomicUsize::new(0), AtomicUsize::new(0)]);
            let wakers = [0, 1].map(|number| {
                let (inbox, stored) = (sleeper.inbox.clone(), stored.clone());
                thread::spawn(move || {
                    stored[number].store(1, Ordering::Relaxed);
                    assert!(inbox.push(wake(number)).is_ok());
                })
            });
            let mut left = 2;
            while left > 0 {
                for number in sleeper.next() {
                    assert_eq!(stored[number].load(Ordering::Relaxed), 1);
                    left -= 1;
                }
            }
            wakers.into_iter().for_each(|waker| waker.join().unwrap());
        });
    }

    /// A message to a loop that ends is left in the inbox or comes back; none is lost, none kept.
    #[test]
    fn loom_a_wake_while_the_loop_ends_comes_out_on_one_side() {
        loom::model(|| {
            let sleeper = Sleeper::new();
            let inbox = sleeper.inbox.clone();
            let waker = thread::spawn(move || inbox.push(wake(3)).is_err());
            let left = sleeper.inbox.close().len();
            let came_back = waker.join().unwrap();
            assert_eq!(left + came_back as usize, 1);
            assert!(sleeper.inbox.push(wake(4)).is_err());
        });
    }
}
