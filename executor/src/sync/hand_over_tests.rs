//! What hands values over, by one yardstick.
//!
//! ```text
//!   Line    a side of a channel or a queue where each is given one thing in turn
//!   Crowd   a side where all go at once
//!   Trap    a value that calls back when it is dropped or cloned
//! ```
//!
//! The six ways in which a cancel and a grant can meet are in `tests`, for these lines and all others. Here are crowds
//! and sides with one place; foreign code that calls back; the budget; what each has for itself; at the end random
//! histories against models that cannot be wrong, and a million items through a queue whose users change their minds.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeSet, VecDeque};
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use super::queue::{Kind, Queue, RecvError, SendError, Shutdown, TryRecvError, TrySendError};
use super::tests::{Boxed, Line, Party};
use super::{BackpressureQueue, broadcast, mpsc, oneshot, watch};
use crate::tests::{Counter, Crank, Random, Touch, hook};
use crate::waits::{ResourceKind, WaitReason};
use crate::{all_tasks, spawn};

// ---------------------------------------------------------------------------------------------- what the tests share

/// Whatever came of it.
fn ignore<T>(_: T) {}

/// The output of a future that needs one poll.
fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("it waits"),
    }
}

/// Three places, all taken.
fn full_channel() -> (Rc<mpsc::Sender<u32>>, Rc<RefCell<mpsc::Receiver<u32>>>) {
    let (sender, receiver) = mpsc::channel(3);
    (0..3).for_each(|number| sender.try_send(number).unwrap());
    (Rc::new(sender), Rc::new(RefCell::new(receiver)))
}

fn channel_line(name: &'static str, wait: fn(Rc<mpsc::Sender<u32>>) -> Boxed<()>) -> Line {
    let (sender, receiver) = full_channel();
    let [first, second, third] = [(); 3].map(|()| sender.clone());
    Line {
        name,
        wait: Box::new(move || wait(first.clone())),
        grant: Box::new(move || {
            // A receiver is its owner's alone: a waker that calls back while it receives cannot have it.
            if let Ok(mut receiver) = receiver.try_borrow_mut() {
                ignore(receiver.try_recv());
            }
        }),
        spare: Box::new(move || second.capacity()),
        entries: Box::new(move || third.traces()),
    }
}

fn putters(name: &'static str, queue: Queue<u32>) -> Line {
    while now(put_or_not(&queue)) {}
    let [first, second, third, fourth] = [(); 4].map(|()| queue.clone());
    Line {
        name,
        wait: Box::new(move || {
            let queue = first.clone();
            Box::pin(async move { queue.put(1).await.unwrap() })
        }),
        grant: Box::new(move || ignore(second.get_nowait().unwrap())),
        spare: Box::new(move || third.spare()[0]),
        entries: Box::new(move || fourth.entries()),
    }
}

/// Whether an item could be put without waiting.
async fn put_or_not(queue: &Queue<u32>) -> bool {
    let mut put = pin!(queue.put(0));
    poll_fn(|cx| Poll::Ready(put.as_mut().poll(cx).is_ready())).await
}

fn getters<K: Kind<u32> + 'static>(name: &'static str, queue: Queue<u32, K>) -> Line {
    let [first, second, third, fourth] = [(); 4].map(|()| queue.clone());
    Line {
        name,
        wait: Box::new(move || {
            let queue = first.clone();
            Box::pin(async move { ignore(queue.get().await.unwrap()) })
        }),
        grant: Box::new(move || second.put_nowait(1).unwrap()),
        spare: Box::new(move || third.spare()[1]),
        entries: Box::new(move || fourth.entries()),
    }
}

/// The lines of what hands values over: cancelled by the tests of all lines, in `tests`.
pub(super) fn lines() -> Vec<Line> {
    vec![
        channel_line("mpsc::Sender::send", |sender| Box::pin(async move { sender.send(1).await.unwrap() })),
        channel_line("mpsc::Sender::reserve", |sender| {
            Box::pin(async move { sender.reserve().await.unwrap().send(1) })
        }),
        putters("Queue::put", Queue::new(3)),
        putters("BackpressureQueue::put", (*BackpressureQueue::new(9, 3, 2)).clone()),
        getters("Queue::get", Queue::new(9)),
        getters("LifoQueue::get", Queue::lifo(9)),
        getters("PriorityQueue::get", Queue::priority(9)),
    ]
}

#[test]
fn whoever_comes_does_not_overtake_one_that_was_promised_it() {
    let queue = Queue::new(1);
    let mut getter = Party::new(get(&queue)).waits();
    queue.put_nowait(1).unwrap();
    assert_eq!((queue.qsize(), queue.get_nowait()), (1, Err(TryRecvError::Empty)));
    let mut late = Party::new(get(&queue)).waits();
    assert_eq!(getter.poll(), Some(Ok(1)));
    let mut putter = Party::new(put(&queue, 2));
    assert_eq!((putter.poll(), late.poll()), (Some(Ok(())), Some(Ok(2))));

    let (sender, mut receiver) = mpsc::channel(1);
    sender.try_send(1).unwrap();
    let mut waiting = Party::new(send(&sender, 2)).waits();
    assert_eq!(receiver.try_recv(), Ok(1));
    assert_eq!(sender.try_send(3), Err(TrySendError::Full(3)));
    assert_eq!((waiting.poll(), receiver.try_recv()), (Some(Ok(())), Ok(2)));
}

// ------------------------------------------------------------------------------------------------ all at once, and one

/// A side where all go who wait.
struct Crowd {
    name: &'static str,
    parties: Vec<Party<()>>,
    grant: Box<dyn FnOnce()>,
    traces: Box<dyn Fn() -> usize>,
}

fn crowds() -> Vec<Crowd> {
    let (sender, receiver) = broadcast::channel(4);
    let hears = |mut receiver: broadcast::Receiver<u32>| async move { assert_eq!(receiver.recv().await, Ok(7)) };
    let heard =
        vec![Party::new(hears(receiver)), Party::new(hears(sender.subscribe())), Party::new(hears(sender.subscribe()))];
    let broadcast_sender = sender.clone();

    let (watched, receiver) = watch::channel(0);
    let watched = Rc::new(watched);
    let sees = |mut receiver: watch::Receiver<u32>| async move { receiver.changed().await.unwrap() };
    let seen = [receiver.clone(), receiver.clone(), receiver].map(|receiver| Party::new(sees(receiver)));
    let watching = watched.clone();

    let (channel, mut receiver) = mpsc::channel::<u32>(1);
    let closes = [channel.clone(), channel.clone(), channel.clone()];
    let closed = closes.map(|sender| Party::new(async move { sender.closed().await }));

    let work = Queue::new(1);
    work.put_nowait(1).unwrap();
    let [first, second, third, working, done] = [(); 5].map(|()| work.clone());
    let joins = [first, second, third].map(|queue| Party::new(async move { queue.join().await }));

    let end = Queue::<u32>::new(1);
    let [first, second, third, ending] = [(); 4].map(|()| end.clone());
    let ends =
        [first, second, third].map(|queue| Party::new(async move { assert_eq!(queue.get().await, Err(RecvError)) }));

    vec![
        Crowd {
            name: "broadcast::Receiver::recv",
            parties: heard,
            grant: Box::new(move || ignore(broadcast_sender.send(7).unwrap())),
            traces: Box::new(move || sender.traces()),
        },
        Crowd {
            name: "watch::Receiver::changed",
            parties: seen.into(),
            grant: Box::new(move || watching.send(1).unwrap()),
            traces: Box::new(move || watched.traces()),
        },
        Crowd {
            name: "mpsc::Sender::closed",
            parties: closed.into(),
            grant: Box::new(move || receiver.close()),
            traces: Box::new(move || channel.traces()),
        },
        Crowd {
            name: "Queue::join",
            parties: joins.into(),
            grant: Box::new(move || working.task_done().unwrap()),
            traces: Box::new(move || done.entries()),
        },
        Crowd {
            name: "Queue::get at the end",
            parties: ends.into(),
            grant: Box::new(move || ending.shutdown(Shutdown::Drain)),
            traces: Box::new(move || end.entries()),
        },
    ]
}

#[test]
fn all_who_wait_go_at_once_except_those_who_were_cancelled_before_or_after() {
    for cancelled_before in 0..3 {
        for cancelled_after in 0..3 {
            for Crowd { name, mut parties, grant, traces } in crowds() {
                assert!(parties.iter_mut().all(|party| party.poll().is_none()), "{name}");
                assert_eq!(traces(), 3, "{name}");
                parties.remove(cancelled_before).cancel();
                assert_eq!(traces(), 2, "{name}: its entry is free at once");
                grant();
                assert!(parties.iter().all(|party| party.wakes() == 1), "{name}");
                if cancelled_after < 2 {
                    let mut after = parties.remove(cancelled_after);
                    after.cancel();
                    assert!(after.is_forgotten(), "{name}");
                }
                for mut party in parties {
                    assert!(party.poll().is_some() && party.is_forgotten(), "{name}");
                }
                assert_eq!(traces(), 0, "{name}");
            }
        }
    }
}

#[test]
fn a_side_with_one_place_forgets_who_was_cancelled_and_loses_nothing() {
    let (sender, receiver) = mpsc::channel(1);
    let receiver = Rc::new(RefCell::new(receiver));
    // The borrow over the await is the test's own: nobody else touches the receiver meanwhile.
    #[expect(clippy::await_holding_refcell_ref)]
    let recv = |receiver: &Rc<RefCell<mpsc::Receiver<u32>>>| {
        let receiver = receiver.clone();
        Party::new(async move { receiver.borrow_mut().recv().await })
    };
    recv(&receiver).cancel(); // before its first poll
    let mut waits = recv(&receiver).waits();
    waits.cancel();
    assert!(waits.is_forgotten());
    sender.try_send(1).unwrap();
    assert_eq!(waits.wakes(), 0);
    assert_eq!(recv(&receiver).poll(), Some(Some(1)));
    let mut granted = recv(&receiver).waits();
    sender.try_send(2).unwrap();
    assert_eq!(granted.wakes(), 1);
    granted.cancel();
    assert!(granted.is_forgotten());
    assert_eq!(recv(&receiver).poll(), Some(Some(2)));

    let (sender, receiver) = oneshot::channel::<u32>();
    let (counter, waker) = Counter::new();
    let mut receiver = receiver;
    assert!(Pin::new(&mut receiver).poll(&mut Context::from_waker(&waker)).is_pending());
    sender.send(3).unwrap();
    assert_eq!((counter.wakes(), receiver.try_recv()), (1, Ok(3)));
    drop(receiver);
    assert_eq!(Arc::strong_count(&counter), 2);

    let (mut sender, receiver) = oneshot::channel::<u32>();
    let mut closed = Box::pin(sender.closed());
    assert!(closed.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    assert_eq!(Arc::strong_count(&counter), 3);
    drop(closed);
    assert_eq!(Arc::strong_count(&counter), 2, "the waiter is forgotten");
    drop(receiver);
    assert_eq!(counter.wakes(), 1, "nobody waits any more");
    now(sender.closed());
}

// ------------------------------------------------------------------------------------------- foreign code calls back

/// Polls `future` with a waker that does `mischief` whenever it is cloned, woken or dropped, until `grant` has let it
/// complete; once it is dropped in between, too.
fn with_mischief<T>(wait: impl Fn() -> Boxed<T>, mischief: impl Fn() + Clone + 'static, grant: impl Fn()) {
    for dropped_early in [true, false] {
        let depth = Rc::new(Cell::new(0));
        let waker = hook({
            let (depth, mischief) = (depth.clone(), mischief.clone());
            move |_: Touch| {
                if depth.replace(depth.get() + 1) < 3 {
                    mischief();
                }
                depth.set(depth.get() - 1);
            }
        });
        let mut cx = Context::from_waker(&waker);
        let mut future = wait();
        let polled = future.as_mut().poll(&mut cx);
        if polled.is_ready() {
            continue; // the mischief itself has let it
        }
        grant();
        if !dropped_early {
            for _ in 0..3 {
                if future.as_mut().poll(&mut cx).is_ready() {
                    future = wait();
                }
            }
        }
        drop(future);
    }
}

#[test]
fn a_waker_may_do_anything_to_what_it_waits_for() {
    let queue = Queue::new(2);
    let mischief = {
        let queue = queue.clone();
        move || {
            let _ = queue.put_nowait(1);
            let _ = queue.get_nowait();
            let _ = queue.get_nowait();
            let _ = queue.task_done();
            ignore((Party::new(put(&queue, 5)).poll(), Party::new(get(&queue)).poll()));
        }
    };
    with_mischief(|| Box::pin(get(&queue)), mischief.clone(), || ignore(queue.put_nowait(2)));
    with_mischief(|| Box::pin(put(&queue, 3)), mischief.clone(), || ignore(queue.get_nowait()));
    let joined = queue.clone();
    with_mischief(|| Box::pin(join(&joined)), mischief, || ignore(joined.task_done()));
    while queue.get_nowait().is_ok() {}
    assert_eq!((queue.entries(), queue.spare()), (0, [2, 0]));

    let (sender, receiver) = mpsc::channel(2);
    let receiver = Rc::new(RefCell::new(receiver));
    let mischief = {
        let (sender, receiver) = (sender.clone(), receiver.clone());
        move || {
            let _ = sender.try_send(1);
            drop((sender.try_reserve(), sender.clone(), sender.downgrade().upgrade(), sender.capacity()));
            ignore(Party::new(send(&sender, 5)).poll());
            if let Ok(mut receiver) = receiver.try_borrow_mut() {
                let _ = receiver.try_recv();
            }
        }
    };
    let take = || ignore(receiver.borrow_mut().try_recv());
    with_mischief(|| Box::pin(send(&sender, 2)), mischief.clone(), take);
    let receive = || -> Boxed<Option<i32>> {
        let receiver = receiver.clone();
        Box::pin(poll_fn(move |cx| receiver.borrow_mut().poll_recv(cx)))
    };
    with_mischief(receive, mischief, || ignore(sender.try_send(3)));
    while receiver.borrow_mut().try_recv().is_ok() {}
    assert_eq!((sender.traces(), sender.capacity()), (0, 2));

    let (sender, _receiver) = broadcast::channel(2);
    let mischief = {
        let sender = sender.clone();
        move || {
            let _ = sender.send(1);
            let _ = sender.subscribe().try_recv();
            drop(sender.clone());
        }
    };
    let hear = || -> Boxed<Result<i32, broadcast::RecvError>> {
        let mut receiver = sender.subscribe();
        Box::pin(async move { receiver.recv().await })
    };
    with_mischief(hear, mischief, || ignore(sender.send(2)));
    assert_eq!((sender.traces(), sender.receiver_count()), (0, 1));

    let (sender, receiver) = watch::channel(0);
    let sender = Rc::new(sender);
    let mischief = {
        let (sender, receiver) = (sender.clone(), receiver.clone());
        move || {
            sender.send_modify(|value| *value += 1);
            drop((*receiver.borrow(), receiver.clone(), sender.subscribe()));
        }
    };
    let see = || -> Boxed<Result<(), watch::RecvError>> {
        let mut receiver = sender.subscribe();
        Box::pin(async move { receiver.changed().await })
    };
    with_mischief(see, mischief, || ignore(sender.send(2)));
    assert_eq!((sender.traces(), sender.receiver_count()), (0, 3), "the receiver and those of the wakers");
}

#[test]
fn a_value_that_is_sent_while_the_waker_is_cloned_is_not_missed() {
    let (sender, mut receiver) = oneshot::channel();
    let sender = Rc::new(Cell::new(Some(sender)));
    let waker = hook(move |touch| {
        if touch == Touch::Clone
            && let Some(sender) = sender.take()
        {
            sender.send(1).unwrap();
        }
    });
    assert_eq!(Pin::new(&mut receiver).poll(&mut Context::from_waker(&waker)), Poll::Ready(Ok(1)));

    let (sender, mut receiver) = mpsc::channel(1);
    let copies = Rc::new(Cell::new(0));
    let waker = hook({
        let copies = copies.clone();
        move |touch| match touch {
            Touch::Clone => {
                copies.set(copies.get() + 1);
                let _ = sender.try_send(1);
            }
            Touch::Drop => copies.set(copies.get() - 1),
            Touch::Wake => {}
        }
    });
    assert_eq!(receiver.poll_recv(&mut Context::from_waker(&waker)), Poll::Ready(Some(1)));
    assert_eq!(copies.get(), 0, "the waker is kept, and nobody waits");
}

/// Calls back when it is dropped or cloned.
struct Trap(Rc<dyn Fn()>);

impl Drop for Trap {
    fn drop(&mut self) {
        (self.0)();
    }
}

impl Clone for Trap {
    fn clone(&self) -> Self {
        (self.0)();
        Trap(self.0.clone())
    }
}

/// A trap that calls `f` with its like when it goes off, but not again while it does; and how often it went off.
fn trap(f: impl Fn(&Rc<dyn Fn()>) + 'static) -> (Trap, Rc<Cell<usize>>) {
    let (off, inside) = (Rc::new(Cell::new(0)), Cell::new(false));
    let itself = Rc::new(RefCell::new(None::<Weak<dyn Fn()>>));
    let goes_off: Rc<dyn Fn()> = Rc::new({
        let (off, itself) = (off.clone(), itself.clone());
        move || {
            off.set(off.get() + 1);
            let again = itself.borrow().as_ref().and_then(Weak::upgrade);
            if !inside.replace(true) {
                f(&again.expect("who goes off is there"));
                inside.set(false);
            }
        }
    });
    *itself.borrow_mut() = Some(Rc::downgrade(&goes_off));
    (Trap(goes_off), off)
}

#[test]
fn a_values_drop_or_clone_may_do_anything_to_where_it_was() {
    let (sender, receiver) = mpsc::unbounded();
    let (first, off) = trap({
        let sender = sender.clone();
        move |again| drop(sender.try_send(Trap(again.clone())))
    });
    let second = Trap(first.0.clone());
    sender.try_send(first).unwrap();
    sender.try_send(second).unwrap();
    drop(receiver);
    assert!(off.get() >= 3, "both, and the one that could not be sent");

    let (sender, mut receiver) = broadcast::channel(1);
    let (first, off) = trap({
        let sender = sender.clone();
        move |again| {
            drop(sender.send(Trap(again.clone())));
            drop(sender.subscribe());
        }
    });
    let mut other = sender.subscribe();
    let (second, third) = (Trap(first.0.clone()), Trap(first.0.clone()));
    sender.send(first).unwrap();
    sender.send(second).unwrap(); // pushes the first out
    drop(other.recv()); // never polled
    let _ = other.try_recv();
    let _ = other.try_recv();
    sender.send(third).unwrap();
    let _ = receiver.try_recv();
    drop((receiver, other));
    assert!(off.get() > 3 && sender.receiver_count() == 0);

    let queue = Queue::new(3);
    let (first, off) = trap({
        let queue = queue.clone();
        move |again| {
            drop(queue.put_nowait(Trap(again.clone())));
            drop(queue.get_nowait());
            ignore(queue.task_done());
        }
    });
    queue.put_nowait(Trap(first.0.clone())).ok().unwrap();
    queue.put_nowait(first).ok().unwrap();
    queue.shutdown(Shutdown::Immediate);
    assert!(off.get() >= 2 && queue.empty());

    let slot: Rc<RefCell<Option<watch::Sender<Trap>>>> = Rc::default();
    let (first, off) = trap({
        let slot = slot.clone();
        move |_| {
            if let Ok(slot) = slot.try_borrow()
                && let Some(sender) = slot.as_ref()
            {
                drop((sender.borrow().0.clone(), sender.subscribe()));
            }
        }
    });
    let next = Trap(first.0.clone());
    let (sender, _receiver) = watch::channel(first);
    *slot.borrow_mut() = Some(sender);
    slot.borrow().as_ref().unwrap().send(next).ok().unwrap();
    assert_eq!(off.get(), 1);
    drop(slot.take());

    let (sender, receiver) = oneshot::channel();
    let (value, off) = trap(|_| ());
    sender.send(value).ok().unwrap();
    drop(receiver);
    assert_eq!(off.get(), 1, "a value that nobody took is dropped with its receiver");
}

#[test]
fn a_waker_that_panics_leaves_the_other_side_its_values() {
    let (sender, mut receiver) = mpsc::unbounded();
    let bad = hook(|touch| assert_ne!(touch, Touch::Wake, "a bad waker"));
    assert!(receiver.poll_recv(&mut Context::from_waker(&bad)).is_pending());
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| sender.try_send(1)));
    assert!(panicked.is_err());
    sender.try_send(2).unwrap();
    assert_eq!((receiver.try_recv(), receiver.try_recv()), (Ok(1), Ok(2)));
}

#[test]
fn what_is_received_while_a_waker_panics_goes_with_it_and_all_else_is_as_after_the_call() {
    let bad = hook(|touch| assert_ne!(touch, Touch::Wake, "a bad waker"));
    let value = Rc::new(());
    let panics = |receive: &mut dyn FnMut()| {
        assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(receive)).is_err());
        assert_eq!(Rc::strong_count(&value), 2, "what was received is dropped, once");
    };

    let (sender, mut receiver) = mpsc::channel(1);
    sender.try_send(value.clone()).unwrap();
    let mut waits = Party::new(send(&sender, value.clone()));
    waits.waker = bad.clone();
    let mut waits = waits.waits();
    panics(&mut || ignore(receiver.try_recv()));
    assert_eq!(waits.poll(), Some(Ok(())), "it has the room all the same");
    ignore(receiver.try_recv().unwrap());
    assert_eq!((sender.capacity(), receiver.len(), Rc::strong_count(&value)), (1, 0, 1));

    let queue = Queue::new(1);
    queue.put_nowait(value.clone()).unwrap();
    let mut waits = Party::new(put(&queue, value.clone()));
    waits.waker = bad;
    let mut waits = waits.waits();
    panics(&mut || ignore(queue.get_nowait()));
    assert_eq!(waits.poll(), Some(Ok(())));
    ignore(queue.get_nowait().unwrap());
    assert_eq!((queue.entries(), queue.spare(), Rc::strong_count(&value)), (0, [1, 0], 1));
}

// ------------------------------------------------------------------------------------------- tasks, and the loop's end

#[test]
fn a_task_that_waits_says_for_what_and_of_which() {
    let crank = Crank::new();
    let (mut asker, reply) = oneshot::channel::<u32>();
    let (sender, mut messages) = mpsc::channel(1);
    sender.try_send(1).unwrap();
    let (second, closing) = (sender.clone(), sender.clone());
    let (_speaker, mut hears) = broadcast::channel::<u32>(1);
    let (_changer, mut sees) = watch::channel(1);
    let (full, empty) = (Queue::new(1), Queue::<u32>::new(1));
    full.put_nowait(1).unwrap();
    let (joined, none) = (full.clone(), mpsc::channel::<u32>(1));
    let (mut nothing, _open) = (none.1, none.0);
    let tasks = [
        spawn(async move { ignore(reply.await) }),
        spawn(async move { asker.closed().await }),
        spawn(async move { ignore(nothing.recv().await) }),
        spawn(async move { ignore(second.send(2).await) }),
        spawn(async move { closing.closed().await }),
        spawn(async move { ignore(hears.recv().await) }),
        spawn(async move { ignore(sees.changed().await) }),
        spawn(async move { ignore(full.put(2).await) }),
        spawn(async move { ignore(empty.get().await) }),
        spawn(async move { joined.join().await }),
    ];
    crank.turn();
    let waits: Vec<_> = all_tasks()
        .into_iter()
        .map(|task| match task.waiting_for {
            WaitReason::Resource { kind, id } => (kind, id),
            other => panic!("{other}"),
        })
        .collect();
    use ResourceKind::*;
    let kinds: Vec<_> = waits.iter().map(|&(kind, _)| kind).collect();
    assert_eq!(kinds, [Reply, Closed, Message, Capacity, Closed, Message, Change, Room, Item, Done]);
    assert_eq!(waits[0].1, waits[1].1, "both ends wait for one oneshot");
    assert_eq!(waits[3].1, waits[4].1, "both wait for one channel");
    assert_eq!(waits[7].1, waits[9].1, "both wait for one queue");
    assert_eq!(messages.try_recv(), Ok(1));
    drop(tasks);
}

#[test]
fn what_waits_when_its_loop_ends_is_dropped_and_leaves_nothing_behind() {
    let value = Rc::new(());
    let (sender, receiver) = mpsc::channel(1);
    let queue = Queue::new(1);
    sender.try_send(value.clone()).unwrap();
    queue.put_nowait(value.clone()).unwrap();
    {
        let crank = Crank::new();
        for _ in 0..10 {
            drop(spawn(ignored(send(&sender, value.clone()))));
            drop(spawn(ignored(put(&queue, value.clone()))));
        }
        crank.turn();
        assert_eq!((sender.traces(), queue.entries(), Rc::strong_count(&value)), (10, 10, 23));
    }
    assert_eq!((sender.traces(), queue.entries(), Rc::strong_count(&value)), (0, 0, 3));
    drop((receiver, queue));
    assert_eq!(Rc::strong_count(&value), 1);
}

async fn ignored<T>(future: impl Future<Output = T>) {
    ignore(future.await);
}

#[test]
fn the_ends_of_channels_and_queues_stay_on_their_thread() {
    trait Ambiguous<A> {
        fn is_not_send() {}
    }
    struct Sends;
    impl<T: ?Sized> Ambiguous<()> for T {}
    impl<T: ?Sized + Send> Ambiguous<Sends> for T {}
    <oneshot::Sender<()> as Ambiguous<_>>::is_not_send();
    <oneshot::Receiver<()> as Ambiguous<_>>::is_not_send();
    <mpsc::Sender<()> as Ambiguous<_>>::is_not_send();
    <mpsc::WeakSender<()> as Ambiguous<_>>::is_not_send();
    <mpsc::Permit<'_, ()> as Ambiguous<_>>::is_not_send();
    <mpsc::Receiver<()> as Ambiguous<_>>::is_not_send();
    <broadcast::Sender<()> as Ambiguous<_>>::is_not_send();
    <broadcast::Receiver<()> as Ambiguous<_>>::is_not_send();
    <watch::Sender<()> as Ambiguous<_>>::is_not_send();
    <watch::Receiver<()> as Ambiguous<_>>::is_not_send();
    <watch::Ref<'_, ()> as Ambiguous<_>>::is_not_send();
    <Queue<()> as Ambiguous<_>>::is_not_send();
    <BackpressureQueue<()> as Ambiguous<_>>::is_not_send();
}

// ---------------------------------------------------------------------------------------------------------- the budget

#[test]
fn a_completed_operation_takes_a_unit_of_the_budget_and_a_pending_one_none() {
    let crank = Crank::new();
    let done = spawn(poll_fn(|cx| {
        let (sender, mut receiver) = mpsc::unbounded();
        let queue = Queue::<u32>::new(0);
        for _ in 0..1_000 {
            assert!(receiver.poll_recv(cx).is_pending());
            assert!(pin!(queue.get()).poll(cx).is_pending());
            assert!(pin!(oneshot::channel::<u32>().0.closed()).poll(cx).is_pending());
        }
        (0..1_000).for_each(|number| sender.try_send(number).unwrap());
        let received = (0..1_000).take_while(|_| receiver.poll_recv(cx).is_ready()).count();
        assert_eq!(received, 128);
        assert!(pin!(queue.put(1)).poll(cx).is_pending(), "the budget is used up, room or no room");
        assert_eq!((receiver.len(), queue.qsize()), (1_000 - 128, 0));
        Poll::Ready(())
    }));
    crank.turn();
    assert!(done.is_finished());
}

#[test]
fn a_task_that_always_finds_something_gives_way() {
    let crank = Crank::new();
    let (sender, mut receiver) = mpsc::unbounded();
    (0..1_000).for_each(|number| sender.try_send(number).unwrap());
    let received = Rc::new(Cell::new(0));
    drop(spawn({
        let received = received.clone();
        async move {
            while receiver.recv().await.is_some() {
                received.set(received.get() + 1);
            }
        }
    }));
    let seen = Rc::new(Cell::new(0));
    drop(spawn({
        let (seen, received) = (seen.clone(), received.clone());
        async move { seen.set(received.get()) }
    }));
    drop(sender);
    crank.turn();
    assert_eq!((seen.get(), received.get()), (128, 1_000));
}

// ------------------------------------------------------------------------------------------------------ each for itself

fn put<K: Kind<T> + 'static, T: 'static>(
    queue: &Queue<T, K>,
    item: T,
) -> impl Future<Output = Result<(), SendError<T>>> + use<K, T> {
    let queue = queue.clone();
    async move { queue.put(item).await }
}

fn get<K: Kind<T> + 'static, T: 'static>(
    queue: &Queue<T, K>,
) -> impl Future<Output = Result<T, RecvError>> + use<K, T> {
    let queue = queue.clone();
    async move { queue.get().await }
}

fn join<T: 'static>(queue: &Queue<T>) -> impl Future<Output = ()> + use<T> {
    let queue = queue.clone();
    async move { queue.join().await }
}

fn send<T: 'static>(sender: &mpsc::Sender<T>, value: T) -> impl Future<Output = Result<(), SendError<T>>> + use<T> {
    let sender = sender.clone();
    async move { sender.send(value).await }
}

/// Everything that can happen to a oneshot, in every order.
#[test]
fn every_history_of_a_oneshot_ends_as_it_must() {
    const STEPS: u32 = 7;
    let mut codes = 0;
    for code in 0..STEPS.pow(6) {
        let (sender, receiver) = oneshot::channel();
        let (mut sender, mut receiver) = (Some(sender), Some(receiver));
        let (mut sent, mut taken, mut closed) = (false, false, false);
        let (counter, waker) = Counter::new();
        let mut cx = Context::from_waker(&waker);
        let mut waits = 0;
        for step in (0..6).map(|place| code / STEPS.pow(place) % STEPS) {
            let over = closed || sender.is_none();
            let wakes = counter.wakes();
            match (step, sender.as_mut(), receiver.as_mut()) {
                (0, Some(_), _) => {
                    assert_eq!(sender.take().unwrap().send(7).is_ok(), !closed && receiver.is_some());
                    sent = !closed && receiver.is_some();
                    assert_eq!(counter.wakes() - wakes, if closed { 0 } else { waits % 2 });
                    waits = 0;
                }
                (1, Some(_), _) => {
                    sender = None;
                    assert_eq!(counter.wakes() - wakes, if closed { 0 } else { waits % 2 });
                    waits = 0;
                }
                (2, Some(sender), _) => {
                    let gone = closed || receiver.is_none();
                    assert_eq!((sender.is_closed(), sender.poll_closed(&mut cx).is_ready()), (gone, gone));
                    waits = if gone { waits } else { waits | 2 };
                }
                (3, _, Some(receiver)) if !taken => {
                    let polled = Pin::new(receiver).poll(&mut cx);
                    let expected = match (sent, over) {
                        (true, _) => Poll::Ready(Ok(7)),
                        (false, true) => Poll::Ready(Err(oneshot::RecvError)),
                        (false, false) => Poll::Pending,
                    };
                    assert_eq!(polled, expected);
                    taken |= sent;
                    waits = if polled.is_pending() { waits | 1 } else { waits };
                }
                (4, _, Some(receiver)) => {
                    let expected = match (sent && !taken, sent || over) {
                        (true, _) => Ok(7),
                        (false, true) => Err(oneshot::TryRecvError::Closed),
                        (false, false) => Err(oneshot::TryRecvError::Empty),
                    };
                    assert_eq!(receiver.try_recv(), expected);
                    taken |= sent;
                }
                (5, _, Some(receiver)) => {
                    receiver.close();
                    closed |= sender.is_some();
                    assert_eq!(counter.wakes() - wakes, usize::from(sender.is_some() && waits & 2 > 0));
                    waits &= 1;
                }
                (6, _, Some(_)) => {
                    receiver = None;
                    assert_eq!(counter.wakes() - wakes, usize::from(sender.is_some() && !closed && waits & 2 > 0));
                    waits = 0;
                }
                _ => continue,
            }
        }
        drop((sender, receiver));
        assert_eq!(Arc::strong_count(&counter), 2, "no waker is kept");
        codes += 1;
    }
    assert_eq!(codes, 7_u32.pow(6));
}

#[test]
#[should_panic(expected = "a oneshot yields its value once")]
fn a_oneshot_that_has_yielded_panics_when_it_is_polled_again() {
    let (sender, mut receiver) = oneshot::channel();
    sender.send(1).unwrap();
    assert_eq!(now(&mut receiver), Ok(1));
    let _ = now(&mut receiver);
}

#[test]
fn a_closed_receiver_takes_what_was_promised_and_ends_when_it_has_come_or_was_given_up() {
    let (sender, mut receiver) = mpsc::channel(3);
    sender.try_send(1).unwrap();
    let (kept, given_up) = (sender.try_reserve().unwrap(), sender.try_reserve().unwrap());
    let mut waiting = Party::new(send(&sender, 9)).waits();
    receiver.close();
    assert_eq!(waiting.poll(), Some(Err(SendError(9))));
    assert_eq!((sender.try_send(2), receiver.try_recv()), (Err(TrySendError::Closed(2)), Ok(1)));
    assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
    kept.send(3);
    let (counter, waker) = Counter::new();
    let mut cx = Context::from_waker(&waker);
    assert_eq!(receiver.poll_recv(&mut cx), Poll::Ready(Some(3)));
    assert!(receiver.poll_recv(&mut cx).is_pending());
    drop(given_up);
    assert_eq!(counter.wakes(), 1);
    assert_eq!(receiver.poll_recv(&mut cx), Poll::Ready(None));
}

#[test]
fn a_sender_that_was_promised_room_may_still_send_after_the_receiver_closed_or_give_up() {
    for sends in [true, false] {
        let (sender, mut receiver) = mpsc::channel(1);
        sender.try_send(1).unwrap();
        let mut waiting = Party::new(send(&sender, 2)).waits();
        assert_eq!(receiver.try_recv(), Ok(1)); // the room is promised to who waits
        receiver.close();
        let (counter, waker) = Counter::new();
        let mut cx = Context::from_waker(&waker);
        assert!(receiver.poll_recv(&mut cx).is_pending());
        if sends {
            assert_eq!(waiting.poll(), Some(Ok(())));
            assert_eq!((counter.wakes(), receiver.try_recv()), (1, Ok(2)));
        } else {
            waiting.cancel();
            assert_eq!(counter.wakes(), 1, "it learns that nothing will come");
        }
        assert_eq!(receiver.poll_recv(&mut cx), Poll::Ready(None));
    }
}

#[test]
fn a_value_sent_on_a_permit_after_the_receiver_is_gone_is_dropped_at_once() {
    let (sender, receiver) = mpsc::channel(1);
    let permit = sender.try_reserve().unwrap();
    drop(receiver);
    let value = Rc::new(());
    permit.send(value.clone());
    assert_eq!((Rc::strong_count(&value), sender.capacity()), (1, 1));
}

#[test]
fn many_values_are_received_in_their_order_and_free_room_for_as_many_senders() {
    let (sender, mut receiver) = mpsc::channel(4);
    (0..4).for_each(|number| sender.try_send(number).unwrap());
    let mut waiting = [4, 5, 6].map(|number| Party::new(send(&sender, number)).waits());
    let mut values = vec![99];
    assert_eq!(now(receiver.recv_many(&mut values, 0)), 0);
    assert_eq!(now(receiver.recv_many(&mut values, 2)), 2);
    assert_eq!(waiting.each_ref().map(Party::wakes), [1, 1, 0]);
    assert_eq!((waiting[1].poll(), waiting[0].poll()), (Some(Ok(())), Some(Ok(()))));
    assert_eq!(now(receiver.recv_many(&mut values, 9)), 4);
    assert_eq!(waiting[2].poll(), Some(Ok(())));
    assert_eq!(now(receiver.recv_many(&mut values, 9)), 1);
    assert_eq!(values, [99, 0, 1, 2, 3, 5, 4, 6], "each is sent when its sender is polled");
    drop((waiting, sender));
    assert_eq!(now(receiver.recv_many(&mut values, 9)), 0);
}

#[test]
fn the_last_sender_that_goes_wakes_the_receiver_and_weak_ones_do_not_count() {
    let (sender, mut receiver) = mpsc::channel::<u32>(1);
    let (second, weak) = (sender.clone(), sender.downgrade());
    let (counter, waker) = Counter::new();
    let mut cx = Context::from_waker(&waker);
    assert!(receiver.poll_recv(&mut cx).is_pending());
    drop(sender);
    assert!(receiver.poll_recv(&mut cx).is_pending());
    drop(weak.upgrade().unwrap());
    assert_eq!(counter.wakes(), 0);
    drop(second);
    assert_eq!(counter.wakes(), 1);
    assert!(weak.upgrade().is_none() && receiver.is_closed());
    assert_eq!(receiver.poll_recv(&mut cx), Poll::Ready(None));
}

#[test]
fn the_last_sender_of_a_broadcast_that_goes_is_heard_by_all_who_wait() {
    let (sender, mut first) = broadcast::channel::<u32>(4);
    let (mut second, other) = (sender.subscribe(), sender.clone());
    let mut waiting =
        [Party::new(async move { first.recv().await }).waits(), Party::new(async move { second.recv().await }).waits()];
    drop(sender);
    assert_eq!(waiting.each_ref().map(Party::wakes), [0, 0]);
    drop(other);
    assert_eq!(waiting.each_ref().map(Party::wakes), [1, 1]);
    assert_eq!(waiting.each_mut().map(Party::poll), [Some(Err(broadcast::RecvError::Closed)); 2]);
}

#[test]
fn a_value_of_a_broadcast_goes_to_its_last_reader_without_a_clone() {
    let (sender, mut first) = broadcast::channel(4);
    let mut second = sender.subscribe();
    let value = Rc::new(());
    sender.send(value.clone()).unwrap();
    let (one, two) = (first.try_recv().unwrap(), second.try_recv().unwrap());
    assert_eq!((Rc::strong_count(&value), sender.len()), (3, 0));
    drop((one, two));
    sender.send(value.clone()).unwrap();
    drop(first);
    assert_eq!(sender.len(), 1);
    drop(second);
    assert_eq!((Rc::strong_count(&value), sender.len()), (1, 0), "nobody will read it");
}

#[test]
fn a_watched_value_that_is_lent_cannot_be_changed() {
    let (sender, receiver) = watch::channel(1);
    let lent = receiver.borrow();
    let refused = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| sender.send(2)));
    let message = *refused.unwrap_err().downcast::<String>().map_or(Box::new(String::new()), |text| text);
    assert!(message.is_empty() || message.contains("Ref"), "{message}");
    assert_eq!(*lent, 1);
    drop(lent);
    sender.send(2).unwrap();
    assert_eq!(*receiver.borrow(), 2);
}

#[test]
fn who_waits_for_a_watched_value_is_asked_after_each_change_and_told_of_the_end() {
    let (sender, receiver) = watch::channel(0);
    let mut waits = Party::new({
        let mut receiver = receiver.clone();
        async move { receiver.wait_for(|value| *value >= 3).await.map(|value| *value) }
    })
    .waits();
    for value in 1..3 {
        sender.send(value).unwrap();
        assert!(waits.poll().is_none());
    }
    sender.send(3).unwrap();
    assert_eq!((waits.wakes(), waits.poll()), (3, Some(Ok(3))));
    let mut ends = Party::new({
        let mut receiver = receiver;
        async move { receiver.wait_for(|value| *value > 3).await.map(|value| *value) }
    })
    .waits();
    drop(sender);
    assert_eq!((ends.wakes(), ends.poll()), (1, Some(Err(watch::RecvError))));
}

/// Two producers of five items, three consumers, `join`, then a sentinel for each consumer.
#[test]
fn producers_and_consumers_lose_nothing_and_come_to_an_end() {
    let count = crate::doc(async {
        let queue = Queue::new(2);
        let produce = |name: u32| {
            let queue = queue.clone();
            spawn(async move {
                for number in 0..5 {
                    queue.put(Some(name * 10 + number)).await.unwrap();
                    crate::yield_now().await;
                }
            })
        };
        let consume = || {
            let queue = queue.clone();
            spawn(async move {
                let mut seen = Vec::new();
                while let Some(item) = queue.get().await.unwrap() {
                    seen.push(item);
                    queue.task_done().unwrap();
                }
                seen
            })
        };
        let (producers, consumers) = ([produce(1), produce(2)], [consume(), consume(), consume()]);
        for producer in producers {
            producer.await.unwrap();
        }
        queue.join().await;
        for _ in &consumers {
            queue.put(None).await.unwrap();
        }
        let mut all = Vec::new();
        for consumer in consumers {
            all.extend(consumer.await.unwrap());
        }
        all.sort_unstable();
        assert_eq!(all, [10, 11, 12, 13, 14, 20, 21, 22, 23, 24]);
        all.len()
    });
    assert_eq!(count, 10);
}

#[test]
fn equal_priorities_come_out_as_they_went_in() {
    #[derive(Debug)]
    struct Job(u32, u32);
    impl Ord for Job {
        fn cmp(&self, other: &Self) -> std::cmp::Ordering {
            self.0.cmp(&other.0)
        }
    }
    impl PartialOrd for Job {
        fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
            Some(self.cmp(other))
        }
    }
    impl Eq for Job {}
    impl PartialEq for Job {
        fn eq(&self, other: &Self) -> bool {
            self.0 == other.0
        }
    }
    let queue = Queue::priority(0);
    (0..100).for_each(|number| queue.put_nowait(Job(number % 3, number)).unwrap());
    let order: Vec<_> = std::iter::from_fn(|| queue.get_nowait().ok()).map(|job| (job.0, job.1)).collect();
    assert!(order.is_sorted() && order.len() == 100);
}

#[test]
fn a_queue_shut_down_refuses_who_waits_to_put_and_drains_or_drops_the_rest() {
    for how in [Shutdown::Drain, Shutdown::Immediate] {
        let queue = Queue::new(1);
        queue.put_nowait(1).unwrap();
        let mut putter = Party::new(put(&queue, 2)).waits();
        let mut joiner = Party::new(join(&queue)).waits();
        queue.shutdown(how);
        assert_eq!((putter.wakes(), putter.poll()), (1, Some(Err(SendError(2)))));
        assert_eq!(queue.put_nowait(3), Err(TrySendError::Closed(3)));
        if how == Shutdown::Drain {
            assert!(joiner.poll().is_none());
            assert_eq!(Party::new(get(&queue)).poll(), Some(Ok(1)));
            queue.task_done().unwrap();
        }
        assert_eq!(joiner.poll(), Some(()), "{how:?}");
        assert_eq!(Party::new(get(&queue)).poll(), Some(Err(RecvError)));
        assert_eq!((queue.get_nowait(), queue.entries()), (Err(TryRecvError::Closed), 0));
    }
}

#[test]
fn an_item_promised_before_the_queue_was_drained_is_still_got() {
    let queue = Queue::new(1);
    let [mut first, mut second] = [Party::new(get(&queue)).waits(), Party::new(get(&queue)).waits()];
    queue.put_nowait(1).unwrap();
    queue.shutdown(Shutdown::Drain);
    assert_eq!((second.poll(), first.poll()), (Some(Err(RecvError)), Some(Ok(1))));

    let queue = Queue::new(1);
    let mut promised = Party::new(get(&queue)).waits();
    queue.put_nowait(1).unwrap();
    queue.shutdown(Shutdown::Immediate);
    assert_eq!(promised.poll(), Some(Err(RecvError)), "it was dropped");
    assert_eq!(queue.entries(), 0);
}

#[test]
fn a_producer_pauses_at_the_high_mark_until_the_consumer_has_come_down_to_the_low_one() {
    let queue = BackpressureQueue::new(10, 8, 2);
    for number in 0..8 {
        assert_eq!(Party::new(put(&queue, number)).poll(), Some(Ok(())));
    }
    let mut producers = [8, 9].map(|number| Party::new(put(&queue, number)).waits());
    for left in (3..8).rev() {
        queue.get_nowait().unwrap();
        assert_eq!((queue.qsize(), queue.stats().paused), (left, true));
        assert_eq!(producers.each_ref().map(Party::wakes), [0, 0], "{left} is above the low mark");
    }
    queue.get_nowait().unwrap();
    assert!(!queue.stats().paused);
    assert_eq!(producers.each_mut().map(Party::poll), [Some(Ok(())), Some(Ok(()))]);
    let stats = queue.stats();
    assert_eq!((stats.produced, stats.consumed, stats.pauses, stats.queue_size), (10, 6, 1, 4));
}

#[test]
fn who_cannot_wait_goes_past_the_high_mark_but_not_past_the_bound() {
    let queue = BackpressureQueue::new(3, 2, 0);
    (0..3).for_each(|number| queue.put_nowait(number).unwrap());
    assert_eq!(queue.put_nowait(3), Err(TrySendError::Full(3)));
    assert!(queue.full() && queue.stats().pauses == 1);
}

#[test]
#[should_panic(expected = "the marks are in order: low 2 < high 2 <= maxsize 3")]
fn marks_out_of_order_are_refused() {
    drop(BackpressureQueue::<u32>::new(3, 2, 2));
}

/// 300 items, the producer five times as fast as the consumer.
#[test]
fn a_fast_producer_and_a_slow_consumer_pause_as_often_as_the_marks_say() {
    let stats = crate::doc(async {
        let queue = BackpressureQueue::new(100, 80, 20);
        let producer = spawn({
            let queue = queue.clone();
            async move {
                for item in 0..300 {
                    queue.put(item).await.unwrap();
                    crate::yield_now().await;
                }
            }
        });
        for item in 0..300 {
            assert_eq!(queue.get().await, Ok(item));
            for _ in 0..5 {
                assert!(queue.qsize() <= 80);
                crate::yield_now().await;
            }
        }
        producer.await.unwrap();
        queue.stats()
    });
    assert_eq!((stats.produced, stats.consumed, stats.queue_size), (300, 300, 0));
    // 100 items until there are 80, the other 20 being consumed; then 75 for each 60.
    assert_eq!(stats.pauses, 3, "{stats}");
}

// ----------------------------------------------------------------------------------------------------- random histories

/// A queue as anyone would write it who need not be fast.
struct Model {
    max: usize,
    high: usize,
    low: usize,
    items: Vec<u32>,
    /// Takes the next item out of `items`.
    next: fn(&mut Vec<u32>) -> u32,
    paused: bool,
    putters: VecDeque<u32>,
    may_put: BTreeSet<u32>,
    getters: VecDeque<u32>,
    may_get: BTreeSet<u32>,
}

impl Model {
    fn settle(&mut self) {
        while !self.paused && self.items.len() + self.may_put.len() < self.high && !self.putters.is_empty() {
            self.may_put.extend(self.putters.pop_front());
        }
        while self.may_get.len() < self.items.len() && !self.getters.is_empty() {
            self.may_get.extend(self.getters.pop_front());
        }
    }

    fn put(&mut self, item: u32) {
        self.items.push(item);
        self.paused |= self.items.len() >= self.high;
        self.settle();
    }

    fn get(&mut self) -> u32 {
        let item = (self.next)(&mut self.items);
        self.paused &= self.items.len() > self.low;
        self.settle();
        item
    }
}

fn oldest(items: &mut Vec<u32>) -> u32 {
    items.remove(0)
}

fn newest(items: &mut Vec<u32>) -> u32 {
    items.pop().unwrap()
}

fn smallest(items: &mut Vec<u32>) -> u32 {
    let at = (0..items.len()).min_by_key(|&at| items[at]).unwrap();
    items.remove(at)
}

fn history_of_a_queue<K: Kind<u32> + 'static>(seed: u64, queue: &Queue<u32, K>, mut model: Model) {
    println!("seed {seed}, {} {} {}", model.max, model.high, model.low);
    let mut random = Random(seed);
    let (mut putting, mut getting) = (Vec::new(), Vec::new());
    for item in 0..2_000_u32 {
        match random.below(10) {
            0 | 1 => {
                let goes = !model.paused && model.items.len() + model.may_put.len() < model.high;
                let mut party = Party::new(put(queue, item));
                assert_eq!(party.poll().is_some(), goes);
                if goes {
                    model.put(item);
                } else {
                    model.putters.push_back(item);
                    putting.push((item, party));
                }
            }
            2 | 3 => {
                let goes = model.may_get.len() < model.items.len();
                let mut party = Party::new(get(queue));
                let got = party.poll();
                assert_eq!(got, goes.then(|| Ok(model.get())));
                if !goes {
                    model.getters.push_back(item);
                    getting.push((item, party));
                }
            }
            4 => {
                let goes = model.items.len() + model.may_put.len() < model.max;
                assert_eq!(queue.put_nowait(item).is_ok(), goes);
                if goes {
                    model.put(item);
                }
            }
            5 => {
                let goes = model.may_get.len() < model.items.len();
                assert_eq!(queue.get_nowait().ok(), goes.then(|| model.get()));
            }
            6 | 7 if !putting.is_empty() => {
                let (who, mut party) = putting.swap_remove(random.below(putting.len()));
                assert_eq!(party.wakes() > 0, model.may_put.contains(&who));
                if random.below(2) == 0 {
                    party.cancel();
                    model.putters.retain(|&other| other != who);
                    model.may_put.remove(&who);
                    model.settle();
                } else if model.may_put.remove(&who) {
                    assert_eq!(party.poll(), Some(Ok(())));
                    model.put(who);
                } else {
                    putting.push((who, party.waits()));
                }
            }
            8 | 9 if !getting.is_empty() => {
                let (who, mut party) = getting.swap_remove(random.below(getting.len()));
                assert_eq!(party.wakes() > 0, model.may_get.contains(&who));
                if random.below(2) == 0 {
                    party.cancel();
                    model.getters.retain(|&other| other != who);
                    model.may_get.remove(&who);
                    model.settle();
                } else if model.may_get.remove(&who) {
                    assert_eq!(party.poll(), Some(Ok(model.get())));
                } else {
                    getting.push((who, party.waits()));
                }
            }
            _ => {}
        }
        assert_eq!((queue.qsize(), queue.entries()), (model.items.len(), putting.len() + getting.len()));
        assert!(queue.qsize() <= model.max);
    }
    drop((putting, getting));
    assert_eq!(queue.entries(), 0);
}

#[test]
fn random_histories_of_queues_are_those_of_their_model() {
    let model = |max, high, low, next: fn(&mut Vec<u32>) -> u32| Model {
        max,
        high,
        low,
        items: Vec::new(),
        next,
        paused: false,
        putters: VecDeque::new(),
        may_put: BTreeSet::new(),
        getters: VecDeque::new(),
        may_get: BTreeSet::new(),
    };
    for seed in 1..=64 {
        let max = 1 + seed as usize % 5;
        history_of_a_queue(seed, &Queue::new(max), model(max, max, max - 1, oldest));
        history_of_a_queue(seed, &Queue::lifo(max), model(max, max, max - 1, newest));
        history_of_a_queue(seed, &Queue::priority(max), model(max, max, max - 1, smallest));
        let marks = BackpressureQueue::new(max + 4, max + 2, max - 1);
        history_of_a_queue(seed, &marks, model(max + 4, max + 2, max - 1, oldest));
    }
}

#[test]
fn random_histories_of_a_channel_are_those_of_its_model() {
    for seed in 1..=64 {
        println!("seed {seed}");
        let mut random = Random(seed);
        let capacity = 1 + seed as usize % 4;
        let (sender, mut receiver) = mpsc::channel(capacity);
        let sender: &'static mpsc::Sender<u32> = Box::leak(Box::new(sender)); // permits borrow it
        let (mut values, mut line, mut promised) = (VecDeque::new(), VecDeque::new(), BTreeSet::new());
        let (mut waiting, mut permits) = (Vec::new(), Vec::new());
        let mut closed = false;
        let (counter, waker) = Counter::new();
        let mut cx = Context::from_waker(&waker);
        for number in 0..2_000_u32 {
            let free = capacity - values.len() - promised.len() - permits.len();
            match random.below(10) {
                0 | 1 => {
                    let mut party = Party::new(sender.send(number));
                    match party.poll() {
                        Some(Ok(())) => {
                            assert!(free > 0 && !closed);
                            values.push_back(number);
                        }
                        Some(Err(error)) => assert!(closed && error.0 == number),
                        None => {
                            assert!(free == 0 && !closed);
                            line.push_back(number);
                            waiting.push((number, party));
                        }
                    }
                }
                2 => {
                    let sent = sender.try_send(number);
                    assert_eq!(sent.is_ok(), free > 0 && !closed);
                    if sent.is_ok() {
                        values.push_back(number);
                    }
                }
                3 => match sender.try_reserve() {
                    Ok(permit) => {
                        assert!(free > 0 && !closed);
                        permits.push(permit);
                    }
                    Err(error) => assert_eq!(error == TrySendError::Closed(()), closed),
                },
                4 if !permits.is_empty() => {
                    permits.swap_remove(random.below(permits.len())).send(number);
                    values.push_back(number);
                }
                5 if !permits.is_empty() => drop(permits.swap_remove(random.below(permits.len()))),
                6 | 7 => {
                    let polled = receiver.poll_recv(&mut cx);
                    let over = closed && free == capacity;
                    let expected = match values.pop_front() {
                        Some(value) => Poll::Ready(Some(value)),
                        None if over => Poll::Ready(None),
                        None => Poll::Pending,
                    };
                    assert_eq!(polled, expected);
                    if polled.is_pending() {
                        let wakes = counter.wakes();
                        if let Some(permit) = permits.pop() {
                            permit.send(number);
                            values.push_back(number);
                            assert_eq!(counter.wakes(), wakes + 1);
                        }
                    }
                }
                8 | 9 if !waiting.is_empty() => {
                    let (who, mut party) = waiting.swap_remove(random.below(waiting.len()));
                    let granted = promised.remove(&who);
                    assert_eq!(party.wakes() > 0, granted || closed);
                    if random.below(2) == 0 {
                        party.cancel();
                        line.retain(|&other| other != who);
                    } else if granted {
                        assert_eq!(party.poll(), Some(Ok(())));
                        values.push_back(who);
                    } else if closed {
                        assert_eq!(party.poll(), Some(Err(SendError(who))));
                    } else {
                        waiting.push((who, party.waits()));
                    }
                }
                _ if random.below(200) == 0 => {
                    receiver.close();
                    closed = true;
                    line.clear();
                }
                _ => {}
            }
            while !closed && values.len() + promised.len() + permits.len() < capacity && !line.is_empty() {
                promised.extend(line.pop_front());
            }
            let free = capacity - values.len() - promised.len() - permits.len();
            assert_eq!((receiver.len(), sender.capacity()), (values.len(), free));
            assert_eq!(sender.traces(), waiting.len());
        }
    }
}

#[test]
fn random_histories_of_a_broadcast_are_those_of_its_model() {
    for seed in 1..=64 {
        println!("seed {seed}");
        let mut random = Random(seed);
        let capacity = 1 + seed as usize % 6;
        let (sender, first) = broadcast::channel(capacity);
        let mut sent = 0_usize;
        let mut receivers = vec![(first, 0)];
        for _ in 0..2_000 {
            match random.below(8) {
                0..=2 => {
                    assert_eq!(sender.send(sent).ok(), (!receivers.is_empty()).then_some(receivers.len()));
                    sent += usize::from(!receivers.is_empty());
                }
                3 if receivers.len() < 6 => receivers.push((sender.subscribe(), sent)),
                4 if !receivers.is_empty() && random.below(4) == 0 => {
                    drop(receivers.swap_remove(random.below(receivers.len())));
                }
                _ if receivers.is_empty() => {}
                _ => {
                    let which = random.below(receivers.len());
                    let (receiver, next) = &mut receivers[which];
                    let oldest = sent.saturating_sub(capacity);
                    let expected = if *next < oldest {
                        let missed = oldest - std::mem::replace(next, oldest);
                        Err(broadcast::TryRecvError::Lagged(missed as u64))
                    } else if *next == sent {
                        Err(broadcast::TryRecvError::Empty)
                    } else {
                        *next += 1;
                        Ok(*next - 1)
                    };
                    assert_eq!(receiver.try_recv(), expected);
                }
            }
            let oldest = receivers.iter().map(|(_, next)| *next).min().unwrap_or(sent);
            assert_eq!(sender.len(), (sent - oldest).min(capacity), "what nobody will read is not kept");
        }
    }
}

/// A receiver of a watched value, and what a naive one would know.
struct Watcher {
    receiver: Rc<RefCell<watch::Receiver<usize>>>,
    /// The number of the value that it has seen.
    seen: usize,
    waits: Option<Party<Result<(), watch::RecvError>>>,
}

impl Watcher {
    fn new(receiver: watch::Receiver<usize>, seen: usize) -> Self {
        Watcher { receiver: Rc::new(RefCell::new(receiver)), seen, waits: None }
    }

    // The borrow over the await is the test's own: it leaves alone what waits.
    #[expect(clippy::await_holding_refcell_ref)]
    fn changed(&self) -> Party<Result<(), watch::RecvError>> {
        let receiver = self.receiver.clone();
        Party::new(async move { receiver.borrow_mut().changed().await })
    }
}

#[test]
fn random_histories_of_a_watched_value_are_those_of_its_model() {
    for seed in 1..=64 {
        println!("seed {seed}");
        let mut random = Random(seed);
        let (sender, receiver) = watch::channel(0);
        let mut sender = Some(Rc::new(sender));
        let mut watchers = vec![Watcher::new(receiver, 0)];
        let mut newest = 0; // the value is its own number
        let (mut closing, mut gone): (Option<Party<()>>, _) = (None, false);
        for _ in 0..2_000 {
            let count = watchers.len();
            let which = random.below(count.max(1));
            match (random.below(14), &sender, watchers.get_mut(which)) {
                (0, Some(sender), _) => match sender.send(newest + 1) {
                    Ok(()) => newest += 1,
                    Err(error) => assert!(watchers.is_empty() && error.0 == newest + 1),
                },
                (1, Some(sender), _) => {
                    assert_eq!(sender.send_replace(newest + 1), newest);
                    newest += 1;
                }
                (2, Some(sender), _) => {
                    let modified = random.below(2) == 0;
                    sender.send_if_modified(|value| {
                        *value += usize::from(modified);
                        modified
                    });
                    newest += usize::from(modified);
                }
                (3, Some(sender), _) if count < 6 => watchers.push(Watcher::new(sender.subscribe(), newest)),
                (4, _, Some(Watcher { receiver, seen, waits: None })) if random.below(4) == 0 => {
                    let clone = Watcher::new(receiver.borrow().clone(), *seen);
                    watchers.push(clone);
                }
                (5, _, Some(_)) if random.below(2) == 0 => {
                    drop(watchers.swap_remove(which)); // also while it waits
                    gone |= watchers.is_empty();
                }
                (6, Some(sender), _) if closing.is_none() => {
                    let sender = sender.clone();
                    let mut party = Party::new(async move { sender.closed().await });
                    gone = watchers.is_empty();
                    assert_eq!(party.poll().is_some(), gone);
                    closing = (!gone).then_some(party);
                }
                (7, ..) => {
                    if let Some(mut party) = closing.take() {
                        assert_eq!(party.poll().is_some(), gone, "the last has gone since it waits");
                        closing = (!gone && random.below(2) == 0).then_some(party);
                    }
                }
                (8, _, Some(Watcher { receiver, seen, waits: None })) => {
                    let receiver = receiver.borrow();
                    assert_eq!(*receiver.borrow(), newest);
                    let expected = if *seen != newest || sender.is_some() { Ok(*seen != newest) } else { Err(()) };
                    assert_eq!(receiver.has_changed().map_err(drop), expected);
                }
                (9, _, Some(Watcher { receiver, seen, waits: None })) => {
                    assert_eq!(*receiver.borrow_mut().borrow_and_update(), newest);
                    *seen = newest;
                }
                (10, _, Some(Watcher { receiver, seen, waits: None })) => {
                    let mut receiver = receiver.borrow_mut();
                    let polled = {
                        let wanted = pin!(receiver.wait_for(|value| value % 3 == 0));
                        wanted.poll(&mut Context::from_waker(Waker::noop())).map(|value| value.map(|value| *value))
                    };
                    let expected = match sender {
                        _ if newest % 3 == 0 => Poll::Ready(Ok(newest)),
                        None => Poll::Ready(Err(())),
                        Some(_) => Poll::Pending,
                    };
                    assert_eq!(polled.map_err(drop), expected);
                    *seen = newest; // it has looked, in any case
                }
                (11.., _, Some(watcher)) => {
                    let waited = watcher.waits.take();
                    if waited.is_some() && random.below(4) == 0 {
                        continue; // given up: nothing counts as seen
                    }
                    let mut party = waited.unwrap_or_else(|| watcher.changed());
                    match party.poll().map(|outcome| outcome.is_ok()) {
                        Some(changed) => {
                            assert!(changed == (watcher.seen != newest) && (changed || sender.is_none()));
                            watcher.seen = newest;
                        }
                        None => {
                            assert!(watcher.seen == newest && sender.is_some());
                            watcher.waits = Some(party);
                        }
                    }
                }
                _ => {}
            }
            if closing.is_none() && random.below(500) == 0 {
                sender = None;
            }
            let waiting: Vec<_> = watchers.iter().filter(|watcher| watcher.waits.is_some()).collect();
            for watcher in &waiting {
                let told = watcher.seen != newest || sender.is_none();
                assert_eq!(watcher.waits.as_ref().unwrap().wakes(), usize::from(told));
            }
            if let Some(sender) = &sender {
                assert_eq!((sender.receiver_count(), sender.is_closed()), (watchers.len(), watchers.is_empty()));
                assert_eq!(sender.traces(), waiting.len() + usize::from(closing.is_some()));
                assert_eq!(*sender.borrow(), newest);
            }
            assert!(closing.as_ref().is_none_or(|party| party.wakes() == usize::from(gone)));
        }
    }
}

/// Whatever is cancelled when: every item is seen once, those of one producer in their order.
#[test]
fn a_million_items_through_a_queue_are_each_seen_once_though_its_users_change_their_minds() {
    const ITEMS: u32 = 1_000_000;
    let seed = 0x5eed;
    println!("seed {seed}");
    let mut random = Random(seed);
    let queue = Queue::new(16);
    let mut to_put: VecDeque<u32> = (0..ITEMS).collect();
    let mut seen = vec![false; ITEMS as usize];
    let mut seen_count = 0;
    let (mut putting, mut getting): (Vec<(u32, Party<_>)>, Vec<Party<_>>) = (Vec::new(), Vec::new());
    let mut see = |item: u32| {
        assert!(!std::mem::replace(&mut seen[item as usize], true), "{item} is seen twice");
        seen_count += 1;
        seen_count
    };
    let (mut done, mut cancels) = (0, 0);
    while done < ITEMS {
        match random.below(8) {
            0..=2 if putting.len() < 8 && !to_put.is_empty() => {
                let item = to_put.pop_front().unwrap();
                let mut party = Party::new(put(&queue, item));
                if party.poll().is_none() {
                    putting.push((item, party));
                }
            }
            3..=5 if getting.len() < 8 => {
                let mut party = Party::new(get(&queue));
                match party.poll() {
                    Some(item) => done = see(item.unwrap()),
                    None => getting.push(party),
                }
            }
            6 if !putting.is_empty() => {
                let (item, mut party) = putting.swap_remove(random.below(putting.len()));
                if random.below(2) == 0 {
                    party.cancel(); // it was not put, or it will be seen twice
                    to_put.push_back(item);
                    cancels += 1;
                } else if party.poll().is_none() {
                    putting.push((item, party));
                }
            }
            7 if !getting.is_empty() => {
                let mut party = getting.swap_remove(random.below(getting.len()));
                if random.below(2) == 0 {
                    party.cancel();
                    cancels += 1;
                } else {
                    match party.poll() {
                        Some(item) => done = see(item.unwrap()),
                        None => getting.push(party),
                    }
                }
            }
            _ => {}
        }
    }
    drop((putting, getting));
    assert!(cancels > 10_000, "{cancels} were cancelled");
    assert_eq!((queue.qsize(), queue.entries(), queue.spare()), (0, 0, [16, 0]));
}

/// The same with tasks, which are aborted at random moments.
#[test]
fn items_through_a_queue_and_a_channel_survive_the_abort_of_the_tasks_that_wait() {
    for seed in 1..=16 {
        println!("seed {seed}");
        let mut random = Random(seed);
        let crank = Crank::new();
        let items = Queue::new(3);
        let (sender, mut receiver) = mpsc::channel(3);
        let produced = Rc::new(Cell::new(0_u32));
        let mut tasks = Vec::new();
        for _ in 0..2_000 {
            let (queue, sender, produced) = (items.clone(), sender.clone(), produced.clone());
            tasks.push(match random.below(2) {
                0 => spawn(async move {
                    let permit = sender.reserve().await.unwrap();
                    produced.set(produced.get() + 1);
                    permit.send(produced.get());
                }),
                _ => spawn(async move {
                    let item = queue.get().await.unwrap();
                    sender.send(item).await.unwrap();
                }),
            });
            if random.below(3) == 0 {
                let _ = items.put_nowait(0_u32);
            }
            if random.below(2) == 0 {
                crank.turn_with(1 + random.below(4) as u32);
            }
            if random.below(4) == 0 {
                tasks.swap_remove(random.below(tasks.len())).abort();
            }
            if random.below(3) == 0 {
                let _ = receiver.try_recv();
            }
        }
        for task in tasks {
            task.abort();
        }
        crank.turn();
        let mut last = 0;
        while let Ok(item) = receiver.try_recv() {
            assert!(item == 0 || item > last, "{item} after {last}");
            last = last.max(item);
        }
        assert_eq!((sender.capacity(), sender.traces(), items.entries()), (3, 0, 0));
        assert_eq!(items.spare()[1], items.qsize(), "nothing is promised any more");
    }
}
