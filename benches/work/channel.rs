//! What a hand-over costs: one task's word wakes another.
//!
//! The channel is this file's own, so that the rows compare wakers and run queues and not channels: one slot, one
//! stored waker, one thread, no lock.
//!
//! ```text
//!      ping-pong:  A ──► B ──► A           ring:  0 ──► 1 ──► 2 ──► ... ──► 999 ──► 0
//! ```
//!
//! Exactly one message is under way in either, so a slot is always empty when it is written: there is no waiting to send.
//!
//! Next: `timers`.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::rc::Rc;
use std::task::{Poll, Waker};

use super::RUNS;
use super::meter::{Cost, Meter};
use crate::runtimes::Runtime;

/// Two tasks pass one message back and forth, `messages` times in all (rounded up to an even number).
pub(crate) fn ping_pong<R: Runtime>(messages: u64) -> Cost {
    pass_around::<R>(2, messages.div_ceil(2))
}

/// A thousand tasks in a ring pass one message on, `laps` times around.
pub(crate) fn ring<R: Runtime>(laps: u64) -> Cost {
    pass_around::<R>(1_000, laps)
}

fn pass_around<R: Runtime>(tasks: usize, laps: u64) -> Cost {
    R::run(|runtime| async move {
        lap(&runtime, tasks, 2).await;
        let meter = Meter::start();
        lap(&runtime, tasks, laps).await;
        meter.stop()
    })
}

async fn lap<R: Runtime>(runtime: &R, tasks: usize, laps: u64) {
    let slots: Vec<Rc<Slot<u64>>> = (0..tasks).map(|_| Rc::default()).collect();
    let spawn = |place: usize| {
        let (from, to) = (slots[place].clone(), slots[(place + 1) % tasks].clone());
        runtime.spawn(async move {
            let mut last = 0;
            for _ in 0..laps {
                last = from.take().await;
                to.put(last + 1);
            }
            last
        })
    };
    let handles: Vec<_> = (0..tasks).map(spawn).collect();
    slots[0].put(0);
    let mut last = 0;
    for handle in handles {
        last = handle.await.expect(RUNS);
    }
    assert_eq!(last, laps * tasks as u64 - 1, "the message took every hop");
}

/// A channel for one message, with one receiver.
pub(super) struct Slot<T> {
    message: Cell<Option<T>>,
    receiver: Cell<Option<Waker>>,
}

impl<T> Default for Slot<T> {
    fn default() -> Slot<T> {
        Slot { message: Cell::new(None), receiver: Cell::new(None) }
    }
}

impl<T> Slot<T> {
    pub(super) fn put(&self, message: T) {
        self.message.set(Some(message));
        if let Some(receiver) = self.receiver.take() {
            receiver.wake();
        }
    }

    pub(super) fn take(&self) -> impl Future<Output = T> {
        poll_fn(|context| match self.message.take() {
            Some(message) => Poll::Ready(message),
            None => {
                self.receiver.set(Some(context.waker().clone()));
                Poll::Pending
            }
        })
    }
}
