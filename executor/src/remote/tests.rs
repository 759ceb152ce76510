//! Foreign wakers at their worst. What threads see of it all is told in the tests package.

use std::cell::{Cell, RefCell};
use std::future::pending;
use std::panic::catch_unwind;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use super::*;
use crate::tests::{Crank, Touch, hook, within_watchdog};

fn poll<F: Future>(future: Pin<&mut F>, waker: &Waker) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(waker))
}

/// Were it touched under the lock, the call inside would wait for ever.
#[test]
fn a_waker_may_use_the_channel_whenever_it_is_touched() {
    within_watchdog(|| {
        let (sender, mut receiver) = channel(1);
        let seen = sender.clone();
        let waker = hook(move |_| drop(seen.clone())); // one sender more, one less: twice under the lock
        let mut waits = Box::pin(receiver.recv());
        assert!(poll(waits.as_mut(), &waker).is_pending());
        assert!(poll(waits.as_mut(), &waker).is_pending()); // its waker is replaced
        sender.try_send(1).unwrap(); // and woken
        assert!(poll(waits.as_mut(), &waker).is_ready());
        drop(waits);
        assert!(poll(pin!(receiver.recv()), &waker).is_pending()); // and dropped
        sender.try_send(1).unwrap();
        for _ in 0..2 {
            let mut waits = Box::pin(sender.send(2)); // full: into line
            assert!(poll(waits.as_mut(), &waker).is_pending());
            assert!(poll(waits.as_mut(), &waker).is_pending()); // its waker is replaced
            receiver.try_recv().unwrap(); // and woken
            sender.try_send(3).unwrap_err(); // the place is promised
            assert!(poll(waits.as_mut(), &waker).is_ready());
        }
        let mut waits = Box::pin(sender.send(2));
        assert!(poll(waits.as_mut(), &waker).is_pending());
        drop(waits); // and dropped in line
        receiver.try_recv().unwrap();
        let mut waits = Box::pin(receiver.recv());
        assert!(poll(waits.as_mut(), &waker).is_pending());
        drop(waits); // and dropped before the receiver
        drop(receiver);
        assert!(sender.try_send(3).is_err());
    });
}

#[test]
fn a_waker_may_use_the_handle_when_it_is_woken() {
    within_watchdog(|| {
        let crank = Crank::new();
        let spawned = Remote::new(&crank.executor).spawn_with(pending::<()>).unwrap();
        let (task, woken) = (Rc::new(RefCell::new(spawned)), Rc::new(Cell::new(false)));
        let (inside, tell) = (task.clone(), woken.clone());
        let waker = hook(move |touch| {
            if touch == Touch::Wake {
                tell.set(inside.borrow().is_finished() && !inside.borrow().abort());
            }
        });
        crank.turn();
        assert!(poll(Pin::new(&mut *task.borrow_mut()), &waker).is_pending());
        assert!(task.borrow().abort(), "on the loop's thread it ends right here");
        assert!(woken.get());
        assert!(poll(Pin::new(&mut *task.borrow_mut()), &waker).is_ready());
    });
}

#[test]
fn a_receive_that_is_given_up_leaves_no_waker_behind() {
    let (sender, mut receiver) = channel(1);
    let dropped = Rc::new(Cell::new(0));
    let tell = dropped.clone();
    let waker = hook(move |touch| {
        assert!(touch != Touch::Wake, "nobody waits");
        tell.set(tell.get() + u32::from(touch == Touch::Drop));
    });
    assert!(poll(pin!(receiver.recv()), &waker).is_pending());
    assert_eq!(dropped.get(), 1, "with the future, not with the next value");
    sender.try_send(1).unwrap();
}

#[test]
fn a_waker_that_panics_costs_nobody_his_value() {
    let (sender, mut receiver) = channel(1);
    let waker = hook(|touch| assert!(touch != Touch::Wake, "woken"));
    let mut waits = Box::pin(receiver.recv());
    assert!(poll(waits.as_mut(), &waker).is_pending());
    sender.try_send(1).unwrap(); // wakes it
    drop(waits);
    let mut waits = Box::pin(sender.send(2));
    assert!(poll(waits.as_mut(), &waker).is_pending());
    assert_eq!(receiver.try_recv(), Ok(1)); // as well
    drop(waits);
    sender.try_send(3).unwrap();
    assert_eq!(receiver.try_recv(), Ok(3));
}

#[test]
fn a_channel_without_room_is_a_mistake() {
    let panic = catch_unwind(|| drop(channel::<()>(0))).unwrap_err();
    assert_eq!(panic.downcast_ref(), Some(&"a channel has room for at least one value"));
}
