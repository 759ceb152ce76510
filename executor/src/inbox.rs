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
//! puts a message in later finds `parked` and unparks it. (`tests` at the end; `--cfg loom` tries every interleaving.)
//! A loop that is gone has no inbox, and a wake-up for it does nothing.
//! Next: `executor`, the reader.

use std::sync::RwLock;

#[cfg(loom)]
use loom::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, Ordering},
};
#[cfg(not(loom))]
use std::sync::{
    Arc, Mutex,
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

/// One loop's letter box.
pub(crate) struct Inbox {
    id: LoopId,
    /// True if there may be a message: a hint that spares an awake loop the lock.
    full: AtomicBool,
    state: Mutex<State>,
    unpark: Box<dyn Fn() + Send + Sync>,
}

struct State {
    messages: Vec<Message>,
    parked: bool,
    closed: bool,
}

impl Inbox {
    pub(crate) fn new(id: LoopId, unpark: Box<dyn Fn() + Send + Sync>) -> Self {
        let state = State { messages: Vec::new(), parked: false, closed: false };
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
pub fn post(id: LoopId, call: Box<dyn FnOnce() + Send>) -> Result<(), Box<dyn FnOnce() + Send>> {
    let Some(inbox) = find(id.short()).filter(|inbox| inbox.id == id) else {
        return Err(call);
    };
    inbox.push(Message::Call(call)).map_err(|message| match message {
        Message::Call(call) => call,
        _ => unreachable!("what was pushed comes back"),
    })
}
