//! What the primitives promise, all of them by the same yardstick.
//!
//! ```text
//!   Party   a future that is polled by hand, with a foreign waker that counts
//!   Line    a primitive that gives one thing to one waiter at a time: all must be cancelled alike
//!   Crowd   a primitive that lets all go at once
//! ```
//!
//! The six ways in which a cancellation and a grant can meet are told once, for every line and every crowd; so is what
//! a waker may do that calls back. Then what each primitive has for itself; at the end, random histories against models
//! that cannot be wrong.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::{pending, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use super::*;
use crate::tests::{Counter, Crank, Random, Touch, hook, hook_unlike_its_clones};
use crate::{all_tasks, spawn, yield_now};

// ---------------------------------------------------------------------------------------------- what the tests share

pub(super) type Boxed<T> = Pin<Box<dyn Future<Output = T>>>;

/// A future that is polled by hand.
pub(super) struct Party<T> {
    future: Option<Boxed<T>>,
    counter: Arc<Counter>,
    pub(super) waker: Waker,
}

impl<T> Party<T> {
    pub(super) fn new(future: impl Future<Output = T> + 'static) -> Self {
        let (counter, waker) = Counter::new();
        Party { future: Some(Box::pin(future)), counter, waker }
    }

    pub(super) fn poll(&mut self) -> Option<T> {
        let polled = self.future.as_mut().unwrap().as_mut().poll(&mut Context::from_waker(&self.waker));
        match polled {
            Poll::Ready(output) => {
                self.future = None;
                Some(output)
            }
            Poll::Pending => None,
        }
    }

    pub(super) fn waits(mut self) -> Self {
        assert!(self.poll().is_none(), "it goes at once");
        self
    }

    pub(super) fn cancel(&mut self) {
        self.future = None;
    }

    pub(super) fn wakes(&self) -> usize {
        self.counter.wakes()
    }

    /// Nobody keeps its waker: there are the counter and the waker that are in here.
    pub(super) fn is_forgotten(&self) -> bool {
        Arc::strong_count(&self.counter) == 2
    }
}

/// A primitive that gives one thing at a time to one waiter.
pub(super) struct Line {
    pub(super) name: &'static str,
    /// A future that completes with what it was given, used up.
    pub(super) wait: Box<dyn Fn() -> Boxed<()>>,
    /// Gives one thing. A lock has to be held for that, so the last who got it must have been polled.
    pub(super) grant: Box<dyn Fn()>,
    /// Things that were given and that nobody took.
    pub(super) spare: Box<dyn Fn() -> usize>,
    pub(super) entries: Box<dyn Fn() -> usize>,
}

type Held<T> = Rc<RefCell<Option<T>>>;

fn semaphore_line() -> Line {
    let semaphore = Rc::new(Semaphore::new(0));
    let [first, second, third, fourth] = [(); 4].map(|()| semaphore.clone());
    Line {
        name: "Semaphore::acquire",
        wait: Box::new(move || {
            let semaphore = first.clone();
            Box::pin(async move { semaphore.acquire().await.unwrap().forget() })
        }),
        grant: Box::new(move || second.add_permits(1)),
        spare: Box::new(move || third.available_permits()),
        entries: Box::new(move || fourth.entries()),
    }
}

fn semaphore_of_many_line() -> Line {
    let semaphore = Rc::new(Semaphore::new(0));
    let [first, second, third, fourth] = [(); 4].map(|()| semaphore.clone());
    Line {
        name: "Semaphore::acquire_many_owned",
        wait: Box::new(move || {
            let semaphore = first.clone();
            Box::pin(async move { semaphore.acquire_many_owned(3).await.unwrap().forget() })
        }),
        grant: Box::new(move || {
            second.add_permits(1);
            second.add_permits(2);
        }),
        spare: Box::new(move || third.available_permits() / 3),
        entries: Box::new(move || fourth.entries()),
    }
}

fn mutex_line() -> Line {
    let mutex = Rc::new(Mutex::new(0));
    let held: Held<OwnedMutexGuard<i32>> = Rc::new(RefCell::new(Some(mutex.clone().try_lock_owned().unwrap())));
    let release = held.clone();
    let [first, second, third] = [(); 3].map(|()| mutex.clone());
    Line {
        name: "Mutex::lock_owned",
        wait: Box::new(move || {
            let (mutex, held) = (first.clone(), held.clone());
            Box::pin(async move {
                let guard = mutex.lock_owned().await;
                assert!(held.replace(Some(guard)).is_none(), "two hold the lock");
            })
        }),
        grant: Box::new(move || drop(release.take())),
        spare: Box::new(move || usize::from(second.try_lock().is_ok())),
        entries: Box::new(move || third.entries()),
    }
}

/// As [`mutex_line`], but for guards that borrow: who has the lock keeps it in a future of its own, which tells when it
/// has it, and then waits for ever.
fn borrowed_lock_line<L: 'static>(
    name: &'static str,
    lock: L,
    hold: fn(Rc<L>, Rc<Cell<bool>>) -> Boxed<()>,
    is_free: fn(&L) -> bool,
    entries: fn(&L) -> usize,
) -> Line {
    let lock = Rc::new(lock);
    let holder: Held<Boxed<()>> = Rc::default();
    let [first, second, third] = [(); 3].map(|()| lock.clone());
    let release = holder.clone();
    let wait = move || -> Boxed<()> {
        let (has, holder) = (Rc::new(Cell::new(false)), holder.clone());
        let mut holding = Some(hold(first.clone(), has.clone()));
        Box::pin(poll_fn(move |cx| {
            assert!(holding.as_mut().unwrap().as_mut().poll(cx).is_pending());
            if !has.get() {
                return Poll::Pending;
            }
            assert!(holder.replace(holding.take()).is_none(), "two hold the lock");
            Poll::Ready(())
        }))
    };
    assert!(Party::new(wait()).poll().is_some(), "the first has the lock");
    Line {
        name,
        wait: Box::new(wait),
        grant: Box::new(move || drop(release.take())),
        spare: Box::new(move || usize::from(is_free(&second))),
        entries: Box::new(move || entries(&third)),
    }
}

fn borrowed_mutex_line() -> Line {
    let hold = |mutex: Rc<Mutex<()>>, has: Rc<Cell<bool>>| -> Boxed<()> {
        Box::pin(async move {
            let _guard = mutex.lock().await;
            has.set(true);
            pending().await
        })
    };
    borrowed_lock_line("Mutex::lock", Mutex::new(()), hold, |mutex| mutex.try_lock().is_ok(), Mutex::entries)
}

fn writer_line() -> Line {
    let hold = |lock: Rc<RwLock<()>>, has: Rc<Cell<bool>>| -> Boxed<()> {
        Box::pin(async move {
            let _guard = lock.write().await;
            has.set(true);
            pending().await
        })
    };
    borrowed_lock_line("RwLock::write", RwLock::new(()), hold, |lock| lock.try_write().is_ok(), RwLock::entries)
}

/// Whoever makes the value is dropped, and the next in line makes it.
fn once_cell_line() -> Line {
    let hold = |cell: Rc<OnceCell<()>>, has: Rc<Cell<bool>>| -> Boxed<()> {
        Box::pin(async move {
            let make = async || {
                has.set(true);
                pending().await
            };
            cell.get_or_init(make).await;
        })
    };
    let is_free = |cell: &OnceCell<()>| {
        let fails = std::pin::pin!(cell.get_or_try_init(async || Err(())));
        fails.poll(&mut Context::from_waker(Waker::noop())).is_ready()
    };
    borrowed_lock_line("OnceCell::get_or_init", OnceCell::new(), hold, is_free, OnceCell::entries)
}

fn notify_line(name: &'static str, grant: fn(&Notify)) -> Line {
    let notify = Rc::new(Notify::new());
    let [first, second, third, fourth] = [(); 4].map(|()| notify.clone());
    Line {
        name,
        wait: Box::new(move || {
            let notify = first.clone();
            Box::pin(async move { notify.notified().await })
        }),
        grant: Box::new(move || grant(&second)),
        spare: Box::new(move || usize::from(third.notified().enable())),
        entries: Box::new(move || fourth.entries()),
    }
}

/// A condition whose mutex is free when it is notified: to be notified is all it waits for. A notification that nobody
/// waits for is lost, so none is ever spare.
fn condition_line() -> Line {
    let shared = Rc::new((Mutex::new(()), Condition::new()));
    let [first, second] = [(); 2].map(|()| shared.clone());
    Line {
        name: "Condition::wait",
        wait: Box::new(move || {
            let shared = first.clone();
            Box::pin(async move {
                let guard = shared.0.lock().await;
                drop(shared.1.wait(guard).await);
            })
        }),
        grant: Box::new(move || second.1.notify_one()),
        spare: Box::new(|| 0),
        entries: Box::new(move || shared.0.entries() + shared.1.entries()),
    }
}

fn lines() -> Vec<Line> {
    let locks = vec![
        semaphore_line(),
        semaphore_of_many_line(),
        mutex_line(),
        borrowed_mutex_line(),
        writer_line(),
        once_cell_line(),
        notify_line("Notify::notified", Notify::notify_one),
        condition_line(),
    ];
    locks.into_iter().chain(hand_over_tests::lines()).collect()
}

/// What became of the waiters of a line: each grant must have reached exactly one of them.
fn serve_the_rest(line: &Line, rest: Vec<Party<()>>, granted_already: usize) {
    let name = line.name;
    for (number, mut party) in rest.into_iter().enumerate() {
        if number >= granted_already {
            assert_eq!(party.wakes(), 0, "{name}: {number} of the rest is woken out of turn");
            (line.grant)();
        }
        assert_eq!(party.wakes(), 1, "{name}: {number} of the rest is woken in the same turn, once");
        assert!(party.poll().is_some(), "{name}: {number} of the rest has what it was granted");
        assert!(party.is_forgotten(), "{name}: the waker of {number} of the rest is kept");
    }
    assert_eq!((line.entries)(), 0, "{name}: entries are left");
    assert_eq!((line.spare)(), 0, "{name}: something was given twice");
}

/// Three who wait, and the line they are in.
fn three(line: &Line) -> [Party<()>; 3] {
    let three = [(); 3].map(|()| Party::new((line.wait)()).waits());
    assert_eq!((line.entries)(), 3, "{}", line.name);
    three
}

// ------------------------------------------------------------------------- the six ways in which a cancel meets a grant

#[test]
fn one_cancelled_before_its_first_poll_was_never_there() {
    for line in lines() {
        let [a, b, c] = three(&line);
        Party::new((line.wait)()).cancel();
        assert_eq!((line.entries)(), 3, "{}", line.name);
        serve_the_rest(&line, vec![a, b, c], 0);
    }
}

#[test]
fn the_head_of_the_line_cancelled_leaves_the_others_in_their_order() {
    for line in lines() {
        let [mut a, b, c] = three(&line);
        a.cancel();
        assert_eq!((line.entries)(), 2, "{}: its entry is free at once", line.name);
        assert!(a.is_forgotten() && a.wakes() == 0, "{}", line.name);
        serve_the_rest(&line, vec![b, c], 0);
    }
}

#[test]
fn one_in_the_middle_cancelled_leaves_the_others_in_their_order() {
    for line in lines() {
        let [a, mut b, c] = three(&line);
        b.cancel();
        assert_eq!((line.entries)(), 2, "{}: its entry is free at once", line.name);
        assert!(b.is_forgotten() && b.wakes() == 0, "{}", line.name);
        serve_the_rest(&line, vec![a, c], 0);
    }
}

#[test]
fn one_granted_and_then_cancelled_passes_it_on_in_the_same_turn() {
    for line in lines() {
        let [mut a, b, c] = three(&line);
        (line.grant)();
        assert_eq!((a.wakes(), b.wakes(), c.wakes()), (1, 0, 0), "{}", line.name);
        a.cancel();
        assert_eq!((b.wakes(), c.wakes()), (1, 0), "{}", line.name);
        assert_eq!((line.entries)(), 2, "{}: its entry is free at once", line.name);
        assert!(a.is_forgotten(), "{}", line.name);
        serve_the_rest(&line, vec![b, c], 1);
    }
}

#[test]
fn one_cancelled_and_then_granted_is_not_granted() {
    for line in lines() {
        let [mut a, b, c] = three(&line);
        a.cancel();
        (line.grant)();
        assert_eq!((a.wakes(), b.wakes(), c.wakes()), (0, 1, 0), "{}", line.name);
        serve_the_rest(&line, vec![b, c], 1);
    }
}

#[test]
fn a_second_grant_after_one_that_was_passed_on_reaches_the_next() {
    for line in lines() {
        let [mut a, mut b, c] = three(&line);
        (line.grant)();
        a.cancel();
        assert_eq!((b.wakes(), c.wakes()), (1, 0), "{}", line.name);
        let locks = ["Mutex::lock_owned", "Mutex::lock", "RwLock::write", "OnceCell::get_or_init"];
        if locks.contains(&line.name) {
            assert!(b.poll().is_some(), "{}: only who has the lock can pass it on", line.name);
            (line.grant)();
            assert_eq!(c.wakes(), 1, "{}", line.name);
            serve_the_rest(&line, vec![c], 1);
        } else {
            (line.grant)();
            assert_eq!((b.wakes(), c.wakes()), (1, 1), "{}", line.name);
            serve_the_rest(&line, vec![b, c], 2);
        }
    }
}

#[test]
fn the_last_one_granted_and_then_cancelled_leaves_it_for_whoever_comes() {
    for line in lines() {
        let mut only = Party::new((line.wait)()).waits();
        (line.grant)();
        only.cancel();
        assert_eq!((line.entries)(), 0, "{}", line.name);
        let nobody_hears = line.name == "Condition::wait";
        assert_eq!((line.spare)(), usize::from(!nobody_hears), "{}", line.name);
    }
}

/// A primitive that lets all go who wait.
struct Crowd {
    name: &'static str,
    wait: Box<dyn Fn() -> Boxed<()>>,
    grant: Box<dyn Fn()>,
    entries: Box<dyn Fn() -> usize>,
}

fn crowds() -> Vec<Crowd> {
    let event = [(); 3].map({
        let event = Rc::new(Event::new());
        move |()| event.clone()
    });
    let notify = [(); 3].map({
        let notify = Rc::new(Notify::new());
        move |()| notify.clone()
    });
    let condition = [(); 3].map({
        let shared = Rc::new((Mutex::new(()), Condition::new()));
        move |()| shared.clone()
    });
    let semaphore = [(); 3].map({
        let semaphore = Rc::new(Semaphore::new(0));
        move |()| semaphore.clone()
    });
    let barrier = [(); 3].map({
        let barrier = Rc::new(Barrier::new(100));
        move |()| barrier.clone()
    });
    let token = [(); 3].map({
        let parent = CancellationToken::new();
        move |()| parent.clone()
    });
    let tracker = [(); 3].map({
        let tracker = TaskTracker::new();
        move |()| tracker.clone()
    });
    let [event_a, event_b, event_c] = event;
    let [notify_a, notify_b, notify_c] = notify;
    let [condition_a, condition_b, condition_c] = condition;
    let [semaphore_a, semaphore_b, semaphore_c] = semaphore;
    let [barrier_a, barrier_b, barrier_c] = barrier;
    let [token_a, token_b, token_c] = token;
    let [tracker_a, tracker_b, tracker_c] = tracker;
    vec![
        Crowd {
            name: "Event::wait",
            wait: Box::new(move || {
                let event = event_a.clone();
                Box::pin(async move { event.wait().await })
            }),
            grant: Box::new(move || {
                event_b.set();
                event_b.clear();
            }),
            entries: Box::new(move || event_c.entries()),
        },
        Crowd {
            name: "Notify::notify_waiters",
            wait: Box::new(move || {
                let notify = notify_a.clone();
                Box::pin(async move { notify.notified().await })
            }),
            grant: Box::new(move || notify_b.notify_waiters()),
            entries: Box::new(move || notify_c.entries()),
        },
        Crowd {
            name: "Condition::notify_all",
            wait: Box::new(move || {
                let shared = condition_a.clone();
                Box::pin(async move {
                    let guard = shared.0.lock().await;
                    drop(shared.1.wait(guard).await);
                })
            }),
            grant: Box::new(move || condition_b.1.notify_all()),
            entries: Box::new(move || condition_c.0.entries() + condition_c.1.entries()),
        },
        Crowd {
            name: "Semaphore::close",
            wait: Box::new(move || {
                let semaphore = semaphore_a.clone();
                Box::pin(async move { assert!(semaphore.acquire().await.is_err()) })
            }),
            grant: Box::new(move || semaphore_b.close()),
            entries: Box::new(move || semaphore_c.entries()),
        },
        Crowd {
            name: "Barrier::reset",
            wait: Box::new(move || {
                let barrier = barrier_a.clone();
                Box::pin(async move { assert!(barrier.wait().await.is_err()) })
            }),
            grant: Box::new(move || barrier_b.reset()),
            entries: Box::new(move || barrier_c.entries()),
        },
        Crowd {
            name: "CancellationToken::cancelled",
            wait: Box::new(move || {
                let token = token_a.clone();
                Box::pin(async move { token.cancelled().await })
            }),
            grant: Box::new(move || token_b.cancel()),
            entries: Box::new(move || token_c.entries()),
        },
        Crowd {
            name: "TaskTracker::wait",
            wait: Box::new(move || {
                let tracker = tracker_a.clone();
                Box::pin(async move { tracker.wait().await })
            }),
            grant: Box::new(move || {
                let last = tracker_b.token();
                tracker_b.close();
                drop(last);
                tracker_b.reopen();
            }),
            entries: Box::new(move || tracker_c.entries()),
        },
    ]
}

#[test]
fn of_a_crowd_all_go_but_those_who_were_cancelled_before_or_after() {
    for crowd in crowds() {
        let name = crowd.name;
        let order = Rc::new(RefCell::new(Vec::new()));
        let mut parties: Vec<_> = (0..6)
            .map(|number| {
                let (wait, order) = ((crowd.wait)(), order.clone());
                Party::new(async move {
                    wait.await;
                    order.borrow_mut().push(number);
                })
            })
            .collect();
        parties[5].cancel(); // before its first poll
        for party in &mut parties[..5] {
            assert!(party.poll().is_none(), "{name}");
        }
        parties[0].cancel(); // the head
        parties[2].cancel(); // in the middle
        assert_eq!((crowd.entries)(), 3, "{name}: entries are free at once");
        (crowd.grant)();
        parties[1].cancel(); // granted already
        (crowd.grant)();
        assert_eq!(parties.iter().map(Party::wakes).collect::<Vec<_>>(), [0, 1, 0, 1, 1, 0], "{name}");
        for number in [3, 4] {
            assert!(parties[number].poll().is_some(), "{name}");
        }
        assert_eq!(*order.borrow(), [3, 4], "{name}");
        assert_eq!((crowd.entries)(), 0, "{name}");
        assert!(parties.iter().all(Party::is_forgotten), "{name}");
    }
}

// ------------------------------------------------------------------------------------------------------ foreign wakers

#[test]
fn only_the_last_waker_is_woken() {
    for line in lines() {
        let mut party = Party::new((line.wait)()).waits();
        let (last, waker) = Counter::new();
        let first = std::mem::replace(&mut party.waker, waker);
        assert!(party.poll().is_none());
        drop(first);
        (line.grant)();
        assert_eq!((party.wakes(), last.wakes()), (0, 1), "{}", line.name);
        assert_eq!(Arc::strong_count(&party.counter), 1, "{}: the first waker is kept", line.name);
    }
}

#[test]
fn a_waker_that_is_polled_with_again_is_not_cloned_again() {
    for line in lines() {
        let clones = Rc::new(Cell::new(0));
        let counting = clones.clone();
        let mut party = Party::new((line.wait)());
        party.waker = hook(move |touch| counting.set(counting.get() + u32::from(touch == Touch::Clone)));
        for _ in 0..5 {
            assert!(party.poll().is_none());
        }
        assert_eq!(clones.get(), 1, "{}", line.name);
    }
}

/// `will_wake` may say no of wakers that wake the same, and does where a program has two copies of one table.
#[test]
fn a_waker_that_is_not_known_by_its_clones_waits_and_is_woken_all_the_same() {
    for line in lines() {
        let [clones, wakes] = [(); 2].map(|()| Rc::new(Cell::new(0)));
        let mut party = Party::new((line.wait)());
        party.waker = hook_unlike_its_clones({
            let (clones, wakes) = (clones.clone(), wakes.clone());
            move |touch| {
                clones.set(clones.get() + u32::from(touch == Touch::Clone));
                wakes.set(wakes.get() + u32::from(touch == Touch::Wake));
                assert!(touch != Touch::Clone || clones.get() < 10, "it is cloned for ever");
            }
        });
        for _ in 0..3 {
            assert!(party.poll().is_none(), "{}", line.name);
        }
        (line.grant)();
        assert_eq!(wakes.get(), 1, "{}", line.name);
        assert!(party.poll().is_some(), "{}", line.name);
    }
}

/// Whenever the waker is touched, in whatever way, it grants, waits, polls and drops at the same primitive.
#[test]
fn a_waker_may_do_anything_to_the_primitive_when_it_is_touched() {
    for which in [Touch::Clone, Touch::Wake, Touch::Drop] {
        for line in lines() {
            let line = Rc::new(line);
            let granted = Rc::new(Cell::new(0));
            let taken = Rc::new(Cell::new(0));
            let calls = Rc::new(Cell::new(0));
            let counted = |line: &Line, taken: &Rc<Cell<usize>>| {
                let (wait, taken) = ((line.wait)(), taken.clone());
                Party::new(async move {
                    wait.await;
                    taken.set(taken.get() + 1);
                })
            };
            let waker = hook({
                let (line, granted, taken, calls) = (line.clone(), granted.clone(), taken.clone(), calls.clone());
                move |touch| {
                    if touch != which || calls.replace(calls.get() + 1) >= 2 {
                        return;
                    }
                    let (mut one, mut two) = (counted(&line, &taken), counted(&line, &taken));
                    let _ = one.poll();
                    let _ = two.poll();
                    (line.grant)();
                    granted.set(granted.get() + 1);
                    one.cancel();
                    if two.future.is_some() {
                        let _ = two.poll();
                    }
                    two.cancel();
                }
            });
            let mut parties: Vec<_> = (0..3).map(|_| counted(&line, &taken)).collect();
            for party in &mut parties {
                party.waker = waker.clone();
            }
            for _ in 0..3 {
                for party in &mut parties {
                    if party.future.is_some() {
                        let _ = party.poll();
                    }
                }
                (line.grant)();
                granted.set(granted.get() + 1);
            }
            assert!(calls.get() > 0, "{}: nothing called back at {which:?}", line.name);
            drop(parties);
            drop(waker);
            assert_eq!((line.entries)(), 0, "{} at {which:?}", line.name);
            assert!(taken.get() + (line.spare)() <= granted.get(), "{} at {which:?}", line.name);
            // Whatever was granted and not taken is there for the next.
            let mut next = counted(&line, &taken);
            if next.poll().is_none() {
                (line.grant)();
                assert!(next.poll().is_some(), "{} at {which:?}: stuck", line.name);
            }
        }
    }
}

#[test]
fn a_waker_whose_clone_panics_leaves_nothing_behind() {
    for line in lines() {
        let mut party = Party::new((line.wait)());
        let good = std::mem::replace(&mut party.waker, hook(|touch| assert!(touch != Touch::Clone, "no copies")));
        assert!(catch_unwind(AssertUnwindSafe(|| party.poll())).is_err());
        assert_eq!((line.entries)(), 0, "{}", line.name);
        party.waker = good;
        party.cancel(); // what unwound from a poll is not polled again
        let next = Party::new((line.wait)()).waits();
        serve_the_rest(&line, vec![next], 0);
    }
}

/// Whenever the waker is touched, in whatever way, it waits, lets all go, polls and drops at the same primitive.
#[test]
fn a_waker_may_do_anything_to_the_crowd_it_is_in_when_it_is_touched() {
    for which in [Touch::Clone, Touch::Wake, Touch::Drop] {
        for crowd in crowds() {
            let (crowd, calls) = (Rc::new(crowd), Rc::new(Cell::new(0)));
            let waker = hook({
                let (crowd, calls) = (crowd.clone(), calls.clone());
                move |touch| {
                    if touch != which || calls.replace(calls.get() + 1) >= 2 {
                        return;
                    }
                    let [mut one, mut two] = [(); 2].map(|()| Party::new((crowd.wait)()));
                    let (_, waits) = (one.poll(), two.poll().is_none());
                    (crowd.grant)();
                    one.cancel();
                    assert!(!waits || two.poll().is_some(), "{} at {which:?}: it was let go", crowd.name);
                }
            });
            let mut parties = [(); 3].map(|()| Party::new((crowd.wait)()));
            for party in &mut parties {
                party.waker = waker.clone();
            }
            for _ in 0..2 {
                for party in parties.iter_mut().filter(|party| party.future.is_some()) {
                    let _ = party.poll();
                }
                (crowd.grant)();
            }
            for party in parties.iter_mut().filter(|party| party.future.is_some()) {
                assert!(party.poll().is_some(), "{} at {which:?}: stuck", crowd.name);
            }
            assert!(calls.get() > 0, "{}: nothing called back at {which:?}", crowd.name);
            drop((parties, waker));
            assert_eq!((crowd.entries)(), 0, "{} at {which:?}", crowd.name);
        }
    }
}

#[test]
fn a_waker_of_a_crowd_that_panics_keeps_nobody_from_going() {
    for which in [Touch::Clone, Touch::Wake] {
        for crowd in crowds() {
            let mut parties = [(); 3].map(|()| Party::new((crowd.wait)()));
            parties[1].waker = hook(move |touch| assert!(touch != which, "a bad waker"));
            let polled = parties.iter_mut().map(|party| catch_unwind(AssertUnwindSafe(|| party.poll())));
            let panicked = polled.filter(Result::is_err).count();
            assert_eq!(panicked, usize::from(which == Touch::Clone), "{}", crowd.name);
            let granted = catch_unwind(AssertUnwindSafe(|| (crowd.grant)()));
            assert_eq!(granted.is_err(), which == Touch::Wake, "{}", crowd.name);
            for who in [0, 2] {
                assert_eq!(parties[who].wakes(), 1, "{} at {which:?}", crowd.name);
                assert!(parties[who].poll().is_some(), "{} at {which:?}", crowd.name);
            }
            parties[1].cancel();
            assert_eq!((crowd.entries)(), 0, "{} at {which:?}", crowd.name);
        }
    }
}

#[test]
fn of_several_wakers_of_a_crowd_that_panic_the_first_is_heard_of_and_nobody_is_kept_from_going() {
    for crowd in crowds() {
        let mut parties = [(); 5].map(|()| Party::new((crowd.wait)()));
        for bad in [1, 2, 3] {
            parties[bad].waker = hook(move |touch| assert!(touch != Touch::Wake, "bad waker {bad}"));
        }
        assert!(parties.iter_mut().all(|party| party.poll().is_none()), "{}", crowd.name);
        let panic = catch_unwind(AssertUnwindSafe(|| (crowd.grant)())).unwrap_err();
        assert_eq!(panic.downcast_ref::<String>().unwrap(), "bad waker 1", "{}", crowd.name);
        assert_eq!([parties[0].wakes(), parties[4].wakes()], [1, 1], "{}", crowd.name);
        assert!(parties.iter_mut().all(|party| party.poll().is_some()), "{}", crowd.name);
        assert_eq!((crowd.entries)(), 0, "{}", crowd.name);
    }
}

#[test]
fn a_permit_that_a_clone_gives_back_is_not_slept_through() {
    let semaphore = Rc::new(Semaphore::new(0));
    let giving = semaphore.clone();
    let mut party = Party::new({
        let semaphore = semaphore.clone();
        async move { semaphore.acquire_owned().await.map(drop) }
    });
    let once = Cell::new(true);
    party.waker = hook(move |touch| {
        if touch == Touch::Clone && once.take() {
            giving.add_permits(1);
        }
    });
    assert!(party.poll().is_some());
    assert_eq!(semaphore.available_permits(), 1);
}

#[test]
fn a_leaked_waiter_costs_its_place_and_what_it_is_granted_and_no_more() {
    let semaphore = Rc::new(Semaphore::new(0));
    let mut leaked = std::mem::ManuallyDrop::new(semaphore.acquire());
    assert!(Pin::new(&mut *leaked).poll(&mut Context::from_waker(Waker::noop())).is_pending());
    let mut second = acquire(&semaphore, 1).waits();
    semaphore.add_permits(2);
    assert!(second.poll().is_some());
    assert_eq!((semaphore.available_permits(), semaphore.entries()), (1, 1));
}

// ------------------------------------------------------------------------------------------------- in a loop: the turn

#[test]
fn what_is_waited_for_is_told() {
    let crank = Crank::new();
    let waiting = |future: Boxed<()>| {
        let task = spawn(future);
        crank.turn();
        let told = all_tasks().into_iter().find(|other| other.id == task.id()).unwrap().waiting_for.to_string();
        task.abort();
        told.trim_matches(|letter: char| letter.is_ascii_digit() || letter == ' ').to_owned()
    };
    for (line, told) in lines().into_iter().zip([
        "permit of semaphore",
        "permit of semaphore",
        "lock of mutex",
        "lock of mutex",
        "write lock of rwlock",
        "value of cell",
        "notification of notify",
        "notification of condition",
    ]) {
        assert_eq!(waiting((line.wait)()), told);
    }
    let lock = Rc::new(RwLock::new(()));
    let told = waiting(Box::pin(async move {
        let _writer = lock.write().await;
        drop(lock.read().await);
    }));
    assert_eq!(told, "read lock of rwlock");
    let barrier = Barrier::new(2);
    assert_eq!(waiting(Box::pin(async move { drop(barrier.wait().await) })), "the others at barrier");
    let event = Event::new();
    let told = waiting(Box::pin(async move { event.wait().await }));
    assert!(told.starts_with("event ") && told.ends_with(" to be set"), "{told}");
    let token = CancellationToken::new();
    let told = waiting(Box::pin(async move { token.child_token().cancelled().await }));
    assert_eq!(told, "cancellation of token");
    let tracker = TaskTracker::new();
    assert_eq!(waiting(Box::pin(async move { tracker.wait().await })), "tasks of tracker");
}

/// 128 completions a poll, whatever completes.
#[test]
fn a_task_that_never_waits_gives_way_all_the_same() {
    let crank = Crank::new();
    let done = Rc::new(Cell::new(0));
    let count = done.clone();
    let task = spawn(async move {
        let (semaphore, mutex, lock) = (Semaphore::new(1), Mutex::new(()), RwLock::new(()));
        let (notify, event, barrier) = (Notify::new(), Event::new(), Barrier::new(1));
        event.set();
        loop {
            drop(semaphore.acquire().await);
            drop(mutex.lock().await);
            drop(lock.read().await);
            drop(lock.write().await);
            notify.notify_one();
            notify.notified().await;
            event.wait().await;
            drop(barrier.wait().await);
            count.set(count.get() + 1);
        }
    });
    for turns in 1..=14 {
        crank.turn_with(1);
        assert_eq!(done.get(), turns * 128 / 7, "seven completions a round");
    }
    task.abort();
}

#[test]
fn to_wait_costs_no_budget() {
    let crank = Crank::new();
    let semaphore = Rc::new(Semaphore::new(0));
    let completed = Rc::new(Cell::new(0));
    let count = completed.clone();
    let task = spawn(async move {
        poll_fn(|cx| {
            for _ in 0..1_000 {
                assert!(std::pin::pin!(semaphore.acquire()).poll(cx).is_pending());
            }
            Poll::Ready(())
        })
        .await;
        semaphore.add_permits(1);
        loop {
            drop(semaphore.acquire().await);
            count.set(count.get() + 1);
        }
    });
    crank.turn_with(1);
    assert_eq!(completed.get(), 128);
    task.abort();
}

#[test]
fn who_is_granted_something_without_budget_left_gets_it_in_its_next_turn() {
    let crank = Crank::new();
    let notify = Rc::new(Notify::new());
    let free = Rc::new(Semaphore::new(1));
    let task = spawn({
        let (notify, free) = (notify.clone(), free.clone());
        async move {
            let mut notified = std::pin::pin!(notify.notified());
            notified.as_mut().enable();
            notify.notify_one();
            for _ in 0..128 {
                drop(free.acquire().await);
            }
            notified.await;
        }
    });
    crank.turn_with(1);
    assert!(!task.is_finished());
    crank.turn_with(1);
    assert!(task.is_finished());
    assert_eq!(notify.entries(), 0);
}

/// Ten that take one step each, with three permits: four steps in all, in the order in which they came.
#[test]
fn ten_with_three_permits_take_four_rounds_in_their_order() {
    let crank = Crank::new();
    let (semaphore, round) = (Rc::new(Semaphore::new(3)), Rc::new(Cell::new(0)));
    let started = Rc::new(RefCell::new(Vec::new()));
    let step = Rc::new(Notify::new());
    for number in 0..10 {
        let (semaphore, round, started, step) = (semaphore.clone(), round.clone(), started.clone(), step.clone());
        drop(spawn(async move {
            let _permit = semaphore.acquire().await.unwrap();
            started.borrow_mut().push((round.get(), number));
            step.notified().await;
        }));
    }
    while started.borrow().len() < 10 || semaphore.available_permits() < 3 {
        crank.turn();
        step.notify_waiters();
        round.set(round.get() + 1);
        assert!(round.get() < 10);
    }
    let expected: Vec<_> = (0..10).map(|number| (number / 3, number)).collect();
    assert_eq!(*started.borrow(), expected);
    assert_eq!(round.get(), 5, "four rounds of work, and one to see that all have left");
}

#[test]
fn increments_over_an_await_are_not_lost() {
    crate::doc(async {
        let count = Rc::new(Mutex::new(0));
        let tasks: Vec<_> = (0..5)
            .map(|_| {
                let count = count.clone();
                spawn(async move {
                    let mut guard = count.lock().await;
                    let seen = *guard;
                    yield_now().await;
                    *guard = seen + 1;
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(*count.lock().await, 5);
    });
}

#[test]
fn a_task_that_is_aborted_gives_back_what_it_holds_and_where_it_waits() {
    let crank = Crank::new();
    let mutex = Rc::new(Mutex::new(()));
    let forever = |mutex: Rc<Mutex<()>>| async move {
        let _guard = mutex.lock().await;
        pending::<()>().await;
    };
    let tasks = [(); 3].map(|()| spawn(forever(mutex.clone())));
    crank.turn();
    tasks[1].abort(); // it waits
    tasks[0].abort(); // it holds
    crank.turn();
    assert!(mutex.try_lock().is_err(), "the third has it");
    assert_eq!(mutex.entries(), 0);
    tasks[2].abort();
    assert!(mutex.try_lock().is_ok());
}

#[test]
fn none_of_them_leaves_its_thread() {
    trait Ambiguous<A> {
        fn is_not_send() {}
    }
    impl<T: ?Sized> Ambiguous<()> for T {}
    impl<T: ?Sized + Send> Ambiguous<u8> for T {}
    // If one of these were `Send`, two functions would fit, and this would not compile.
    <Semaphore as Ambiguous<_>>::is_not_send();
    <OwnedSemaphorePermit as Ambiguous<_>>::is_not_send();
    <SemaphorePermit<'_> as Ambiguous<_>>::is_not_send();
    <Mutex<()> as Ambiguous<_>>::is_not_send();
    <MutexGuard<'_, ()> as Ambiguous<_>>::is_not_send();
    <MappedMutexGuard<'_, ()> as Ambiguous<_>>::is_not_send();
    <OwnedMutexGuard<()> as Ambiguous<_>>::is_not_send();
    <RwLock<()> as Ambiguous<_>>::is_not_send();
    <RwLockReadGuard<'_, ()> as Ambiguous<_>>::is_not_send();
    <RwLockWriteGuard<'_, ()> as Ambiguous<_>>::is_not_send();
    <Notify as Ambiguous<_>>::is_not_send();
    <Notified<'_> as Ambiguous<_>>::is_not_send();
    <Event as Ambiguous<_>>::is_not_send();
    <Condition as Ambiguous<_>>::is_not_send();
    <Barrier as Ambiguous<_>>::is_not_send();
    <OnceCell<()> as Ambiguous<_>>::is_not_send();
    <CancellationToken as Ambiguous<_>>::is_not_send();
    <DropGuard as Ambiguous<_>>::is_not_send();
    <TaskTracker as Ambiguous<_>>::is_not_send();
    <TaskTrackerToken as Ambiguous<_>>::is_not_send();
}

// --------------------------------------------------------------------------------------------------------- semaphore

fn acquire(semaphore: &Rc<Semaphore>, count: usize) -> Party<Result<OwnedSemaphorePermit, AcquireError>> {
    Party::new(semaphore.clone().acquire_many_owned(count))
}

#[test]
fn nobody_overtakes_a_waiter_with_what_is_free() {
    let semaphore = Rc::new(Semaphore::new(2));
    let mut big = acquire(&semaphore, 3).waits();
    assert!(semaphore.try_acquire().unwrap_err().is_no_permits());
    let mut small = acquire(&semaphore, 1).waits();
    assert_eq!(semaphore.available_permits(), 2);
    semaphore.add_permits(1);
    let three = big.poll().unwrap().unwrap();
    assert_eq!(small.wakes(), 0);
    drop(three);
    assert!(small.poll().is_some());
}

#[test]
fn a_permit_on_its_way_to_a_waiter_cannot_be_taken() {
    let semaphore = Rc::new(Semaphore::new(0));
    let mut waiter = acquire(&semaphore, 1).waits();
    semaphore.add_permits(1);
    assert!(semaphore.try_acquire().is_err());
    assert!(acquire(&semaphore, 1).poll().is_none());
    assert!(waiter.poll().is_some());
}

#[test]
fn a_big_wish_that_is_dropped_lets_smaller_ones_behind_it_go_in_the_same_turn() {
    let semaphore = Rc::new(Semaphore::new(3));
    let mut big = acquire(&semaphore, 5).waits();
    let mut two = acquire(&semaphore, 2).waits();
    let mut another_two = acquire(&semaphore, 2).waits();
    big.cancel();
    assert_eq!((two.wakes(), another_two.wakes()), (1, 0));
    assert!(two.poll().is_some(), "and gives its permits back");
    assert!(another_two.poll().is_some());
    assert_eq!((semaphore.available_permits(), semaphore.entries()), (3, 0));
}

/// Two futures of one task stand in line one behind the other: to await the second alone is to wait for oneself.
#[test]
fn who_is_granted_a_permit_and_does_not_take_it_holds_up_those_behind() {
    let semaphore = Rc::new(Semaphore::new(0));
    let mut first = acquire(&semaphore, 1).waits();
    let mut second = acquire(&semaphore, 1).waits();
    semaphore.add_permits(1);
    assert!(second.poll().is_none());
    drop(first.poll());
    assert!(second.poll().is_some());
}

#[test]
fn no_permits_are_always_to_be_had() {
    let semaphore = Rc::new(Semaphore::new(0));
    let _waiting = acquire(&semaphore, 1).waits();
    assert_eq!(acquire(&semaphore, 0).poll().unwrap().unwrap().count(), 0);
    assert_eq!(semaphore.try_acquire_many(0).unwrap().count(), 0);
}

#[test]
fn a_closed_semaphore_turns_all_away_but_whom_it_had_granted_a_permit() {
    let semaphore = Rc::new(Semaphore::new(0));
    let (mut granted, mut waiting) = (acquire(&semaphore, 1).waits(), acquire(&semaphore, 1).waits());
    semaphore.add_permits(1);
    semaphore.close();
    assert_eq!(waiting.wakes(), 1);
    assert!(waiting.poll().unwrap().is_err());
    let permit = granted.poll().unwrap().unwrap();
    assert!(acquire(&semaphore, 1).poll().unwrap().is_err());
    assert!(semaphore.try_acquire().unwrap_err().is_closed());
    drop(permit);
    assert_eq!(semaphore.available_permits(), 1);
    assert!(semaphore.is_closed() && semaphore.try_acquire().is_err());
}

#[test]
fn permits_are_forgotten_merged_and_split_without_one_being_lost() {
    let semaphore = Rc::new(Semaphore::new(5));
    let mut three = semaphore.clone().try_acquire_many_owned(3).unwrap();
    let two = three.split(2).unwrap();
    assert!(three.split(2).is_none());
    assert_eq!((three.count(), two.count()), (1, 2));
    three.merge(two);
    assert_eq!((three.count(), semaphore.available_permits()), (3, 2));
    let one = three.split(1).unwrap();
    one.forget();
    drop(three);
    assert_eq!(semaphore.available_permits(), 4);
    assert_eq!(semaphore.forget_permits(1), 1);
    assert_eq!(semaphore.forget_permits(10), 3);
    assert_eq!(semaphore.available_permits(), 0);
}

#[test]
fn permits_of_two_semaphores_are_not_merged() {
    let (one, two) = (Semaphore::new(1), Semaphore::new(1));
    let mut permit = one.try_acquire().unwrap();
    let other = two.try_acquire().unwrap();
    assert!(catch_unwind(AssertUnwindSafe(|| permit.merge(other))).is_err());
    assert_eq!((permit.count(), two.available_permits()), (1, 1));
}

#[test]
fn more_permits_than_can_be_counted_are_refused() {
    let semaphore = Semaphore::new(Semaphore::MAX_PERMITS);
    for count in [1, usize::MAX] {
        assert!(catch_unwind(AssertUnwindSafe(|| semaphore.add_permits(count))).is_err());
    }
    assert!(catch_unwind(|| Semaphore::new(Semaphore::MAX_PERMITS + 1)).is_err());
    assert_eq!(semaphore.available_permits(), Semaphore::MAX_PERMITS);
    // Those that are out count, those that are forgotten do not.
    let permits = semaphore.try_acquire_many(Semaphore::MAX_PERMITS).unwrap();
    assert!(catch_unwind(AssertUnwindSafe(|| semaphore.add_permits(1))).is_err());
    permits.forget();
    semaphore.add_permits(2);
    assert_eq!(semaphore.forget_permits(1), 1);
    semaphore.add_permits(Semaphore::MAX_PERMITS - 1);
    assert_eq!(semaphore.available_permits(), Semaphore::MAX_PERMITS);
}

#[test]
fn many_given_at_once_go_to_as_many_as_are_content_in_their_order() {
    let semaphore = Rc::new(Semaphore::new(0));
    let mut parties: Vec<_> = [1, 2, 1, 3, 1].map(|count| acquire(&semaphore, count).waits()).into_iter().collect();
    semaphore.add_permits(5);
    assert_eq!(parties.iter().map(Party::wakes).collect::<Vec<_>>(), [1, 1, 1, 0, 0]);
    assert_eq!(semaphore.available_permits(), 1);
    assert!(parties.iter_mut().take(3).all(|party| party.poll().is_some_and(|permit| permit.is_ok())));
}

// --------------------------------------------------------------------------------------------------- mutex and rwlock

/// Locks, waits, and unlocks.
type Release = fn(Rc<Mutex<i32>>, &dyn Fn());

/// The waker polls at once, while the guard is being dropped.
#[test]
fn the_value_can_be_borrowed_by_whoever_is_woken_by_an_unlock() {
    let mutex = Rc::new(Mutex::new(0));
    let lock = Rc::new(RwLock::new(0));
    let release: [Release; 3] = [
        |mutex, wait| {
            let _guard = mutex.try_lock().unwrap();
            wait();
        },
        |mutex, wait| {
            let _guard = MutexGuard::map(mutex.try_lock().unwrap(), |value| value);
            wait();
        },
        |mutex, wait| {
            let _guard = mutex.clone().try_lock_owned().unwrap();
            drop(mutex);
            wait();
        },
    ];
    for release in release {
        let polled = polled_when_woken({
            let mutex = mutex.clone();
            async move { *mutex.lock().await += 1 }
        });
        release(mutex.clone(), &|| assert!(polled.borrow_mut().poll().is_none()));
        assert!(polled.borrow().future.is_none());
    }
    assert_eq!(*mutex.try_lock().unwrap(), 3);
    let guard = lock.try_write().unwrap();
    let polled = polled_when_woken({
        let lock = lock.clone();
        async move { *lock.write().await += 1 }
    });
    assert!(polled.borrow_mut().poll().is_none());
    drop(guard);
    assert_eq!(*lock.try_read().unwrap(), 1);
    drop(polled);
}

/// A party whose waker polls it.
fn polled_when_woken(future: impl Future<Output = ()> + 'static) -> Rc<RefCell<Party<()>>> {
    let party = Rc::new(RefCell::new(Party::new(future)));
    let polling = Rc::downgrade(&party);
    party.borrow_mut().waker = hook(move |touch| {
        if touch == Touch::Wake {
            assert!(polling.upgrade().unwrap().borrow_mut().poll().is_some());
        }
    });
    party
}

#[test]
fn who_panics_unlocks() {
    let mutex = Rc::new(Mutex::new(1));
    let locked = AssertUnwindSafe(&mutex);
    let panicked = catch_unwind(move || {
        let _guard = locked.try_lock().unwrap();
        panic!("while it holds the lock");
    });
    assert!(panicked.is_err());
    assert_eq!(*mutex.try_lock().unwrap(), 1);
}

#[test]
fn a_mapped_guard_unlocks_the_whole() {
    let mutex = Mutex::new((1, vec![2, 3]));
    let last = MutexGuard::map(mutex.try_lock().unwrap(), |pair| &mut pair.1[..]);
    let mut last = MappedMutexGuard::map(last, |list| &mut list[1]);
    *last = 4;
    assert!(mutex.try_lock().is_err());
    drop(last);
    assert_eq!(*mutex.try_lock().unwrap(), (1, vec![2, 4]));
}

fn read(lock: &Rc<RwLock<i32>>) -> Party<i32> {
    let lock = lock.clone();
    Party::new(async move { *lock.read().await })
}

fn write(lock: &Rc<RwLock<i32>>) -> Party<i32> {
    let lock = lock.clone();
    Party::new(async move {
        let mut value = lock.write().await;
        *value += 1;
        *value
    })
}

#[test]
fn readers_who_come_after_a_waiting_writer_wait_behind_it() {
    let lock = Rc::new(RwLock::new(0));
    let reader = lock.try_read().unwrap();
    assert_eq!(read(&lock).poll(), Some(0), "readers share");
    let mut writer = write(&lock).waits();
    let mut late = read(&lock).waits();
    assert!(lock.try_read().is_err());
    drop(reader);
    assert_eq!((writer.wakes(), late.wakes()), (1, 0));
    assert_eq!(writer.poll(), Some(1));
    assert_eq!(late.poll(), Some(1));
}

#[test]
fn readers_in_a_row_are_let_in_together() {
    let lock = Rc::new(RwLock::new(0));
    let writer = lock.try_write().unwrap();
    let readers = [(); 3].map(|()| read(&lock).waits());
    let last = write(&lock).waits();
    drop(writer);
    assert_eq!(readers.each_ref().map(Party::wakes), [1, 1, 1]);
    assert_eq!(last.wakes(), 0);
    drop(readers);
    assert_eq!(last.wakes(), 1, "what they were granted and did not take goes on");
}

#[test]
fn a_writer_that_is_dropped_lets_the_readers_behind_it_in() {
    let lock = Rc::new(RwLock::new(0));
    let reader = lock.try_read().unwrap();
    let mut writer = write(&lock).waits();
    let mut late = read(&lock).waits();
    writer.cancel();
    assert_eq!((late.wakes(), late.poll()), (1, Some(0)));
    drop(reader);
}

#[test]
fn a_writer_that_goes_on_reading_lets_readers_in_and_no_writer() {
    let lock = Rc::new(RwLock::new(0));
    let mut guard = lock.try_write().unwrap();
    let (mut reader, mut writer) = (read(&lock).waits(), write(&lock).waits());
    *guard = 7;
    let guard = RwLockWriteGuard::downgrade(guard);
    assert_eq!((reader.wakes(), writer.wakes()), (1, 0));
    assert_eq!((*guard, reader.poll()), (7, Some(7)));
    assert_eq!(writer.wakes(), 0, "one still reads");
    drop(guard);
    assert_eq!(writer.poll(), Some(8));
}

// ---------------------------------------------------------------------------------------------------- notify and event

#[test]
fn a_notification_that_nobody_waits_for_is_kept_once() {
    let notify = Rc::new(Notify::new());
    notify.notify_one();
    notify.notify_last();
    let wait = || {
        let notify = notify.clone();
        Party::new(async move { notify.notified().await })
    };
    assert!(wait().poll().is_some());
    assert!(wait().poll().is_none());
}

#[test]
fn notify_last_tells_who_came_last_and_passes_on_to_who_came_before() {
    let notify = Rc::new(Notify::new());
    let [first, second, mut third] = [(); 3].map(|()| {
        let notify = notify.clone();
        Party::new(async move { notify.notified().await }).waits()
    });
    notify.notify_last();
    assert_eq!((first.wakes(), second.wakes(), third.wakes()), (0, 0, 1));
    third.cancel();
    assert_eq!((first.wakes(), second.wakes()), (0, 1));
}

#[test]
fn all_who_asked_are_told_also_those_who_were_not_polled_and_nothing_is_kept() {
    let notify = Notify::new();
    let mut asked = notify.notified();
    notify.notify_waiters();
    let mut late = notify.notified();
    assert!(asked.enable());
    assert!(!late.enable());
}

#[test]
fn being_told_along_with_all_leaves_a_kept_notification_alone() {
    let notify = Notify::new();
    let mut asked = notify.notified();
    notify.notify_waiters();
    notify.notify_one();
    assert!(asked.enable());
    drop(asked);
    assert!(notify.notified().enable());
}

#[test]
fn what_enable_has_heard_is_passed_on_if_nobody_awaits_it() {
    let notify = Notify::new();
    notify.notify_one();
    assert!(notify.notified().enable());
    assert!(notify.notified().enable());
}

#[test]
fn enable_and_then_polled_completes_once_for_each_notification() {
    let notify = Rc::new(Notify::new());
    let mut party = Party::new({
        let notify = notify.clone();
        async move {
            let mut notified = notify.notified();
            assert!(!notified.enable());
            assert!(!notified.enable());
            notified.await;
        }
    })
    .waits();
    assert_eq!(notify.entries(), 1);
    notify.notify_one();
    assert_eq!(party.wakes(), 1);
    assert!(party.poll().is_some());
    assert!(!notify.notified().enable());
}

#[test]
fn an_event_set_and_cleared_in_one_turn_wakes_those_who_waited() {
    let event = Rc::new(Event::new());
    let wait = || {
        let event = event.clone();
        Party::new(async move { event.wait().await })
    };
    let mut waited = wait().waits();
    event.set();
    event.clear();
    let late = wait().waits();
    assert!(waited.poll().is_some());
    event.set();
    assert_eq!(late.wakes(), 1);
    assert!(wait().poll().is_some(), "it stays set");
}

#[test]
fn who_waits_again_when_it_is_woken_waits_for_the_next_set() {
    let event = Rc::new(Event::new());
    let again = Rc::new(RefCell::new(None));
    let mut party = Party::new({
        let event = event.clone();
        async move { event.wait().await }
    });
    party.waker = hook({
        let (event, again) = (event.clone(), again.clone());
        move |touch| {
            if touch == Touch::Wake {
                event.clear();
                let event = event.clone();
                *again.borrow_mut() = Some(Party::new(async move { event.wait().await }).waits());
            }
        }
    });
    assert!(party.poll().is_none());
    event.set();
    assert_eq!(again.borrow().as_ref().unwrap().wakes(), 0);
    assert_eq!(event.entries(), 2);
}

// --------------------------------------------------------------------------------------------- condition and barrier

type Shared = Rc<(Mutex<i32>, Condition)>;

fn wait_at(shared: &Shared) -> Party<i32> {
    let shared = shared.clone();
    Party::new(async move {
        let guard = shared.0.lock().await;
        *shared.1.wait(guard).await
    })
}

#[test]
fn a_condition_unlocks_while_it_waits_and_locks_before_it_returns() {
    let shared: Shared = Rc::default();
    let mut party = wait_at(&shared).waits();
    let mut guard = shared.0.try_lock().expect("it has unlocked");
    shared.1.notify_one();
    assert_eq!(party.wakes(), 1);
    assert!(party.poll().is_none(), "it waits for the lock now");
    *guard = 7;
    drop(guard);
    assert_eq!(party.poll(), Some(7));
}

#[test]
fn nobody_can_notify_between_unlock_and_wait() {
    let shared: Shared = Rc::default();
    let mut party = wait_at(&shared);
    let guard = shared.0.try_lock().unwrap();
    assert!(party.poll().is_none());
    // Whoever is woken by the unlock notifies at once.
    let mut next = Party::new({
        let shared = shared.clone();
        async move { drop(shared.0.lock().await) }
    });
    let notifying = shared.clone();
    next.waker = hook(move |touch| {
        if touch == Touch::Wake {
            notifying.1.notify_one();
        }
    });
    assert!(next.poll().is_none());
    drop(guard); // to `party`, which unlocks when it waits, which wakes `next`, which notifies
    assert!(party.poll().is_none());
    assert_eq!(party.wakes(), 2, "it was notified");
    assert!(next.poll().is_some());
    assert!(party.poll().is_some());
}

#[test]
fn a_notified_waiter_that_is_dropped_while_it_waits_for_the_lock_passes_both_on() {
    let shared: Shared = Rc::default();
    let (mut first, mut second) = (wait_at(&shared).waits(), wait_at(&shared).waits());
    let guard = shared.0.try_lock().unwrap();
    shared.1.notify_one();
    assert!(first.poll().is_none());
    drop(guard); // the lock is the first's
    first.cancel();
    assert_eq!(second.wakes(), 1);
    assert_eq!(second.poll(), Some(0));
    assert_eq!((shared.0.entries(), shared.1.entries()), (0, 0));
    assert!(shared.0.try_lock().is_ok());
}

#[test]
fn a_waiter_that_was_notified_along_with_all_passes_nothing_on() {
    let shared: Shared = Rc::default();
    let (mut first, second) = (wait_at(&shared).waits(), wait_at(&shared).waits());
    shared.1.notify_all();
    assert_eq!((first.wakes(), second.wakes()), (1, 1));
    let late = wait_at(&shared).waits();
    first.cancel();
    assert_eq!(late.wakes(), 0);
}

#[test]
fn notify_tells_as_many_as_it_is_asked_to_and_who_waits_longest_first() {
    let shared: Shared = Rc::default();
    let parties = [(); 4].map(|()| wait_at(&shared).waits());
    shared.1.notify(0);
    shared.1.notify(3);
    assert_eq!(parties.each_ref().map(Party::wakes), [1, 1, 1, 0]);
    shared.1.notify(3);
    assert_eq!(parties[3].wakes(), 1);
}

#[test]
fn wait_while_looks_again_each_time_it_is_notified() {
    let shared: Shared = Rc::default();
    let mut party = Party::new({
        let shared = shared.clone();
        async move {
            let guard = shared.0.lock().await;
            *shared.1.wait_while(guard, |value| *value < 2).await
        }
    })
    .waits();
    for value in [1, 2] {
        *shared.0.try_lock().unwrap() = value;
        shared.1.notify_all();
        assert_eq!(party.poll(), (value == 2).then_some(2));
    }
}

fn come(barrier: &Rc<Barrier>) -> Party<Result<bool, BrokenBarrier>> {
    let barrier = barrier.clone();
    Party::new(async move { Ok(barrier.wait().await?.is_leader()) })
}

#[test]
fn the_last_to_come_leads_and_all_go_in_every_round() {
    let barrier = Rc::new(Barrier::new(3));
    for _ in 0..3 {
        let mut others = [(); 2].map(|()| come(&barrier).waits());
        assert_eq!(barrier.waiting(), 2);
        assert_eq!(come(&barrier).poll(), Some(Ok(true)));
        let next_round = come(&barrier).waits();
        assert_eq!(others.each_mut().map(Party::poll), [Some(Ok(false)), Some(Ok(false))]);
        drop(next_round);
        assert_eq!(barrier.entries(), 0);
    }
}

#[test]
fn who_is_dropped_before_all_have_come_has_not_come() {
    let barrier = Rc::new(Barrier::new(3));
    come(&barrier).waits().cancel();
    let mut first = come(&barrier).waits();
    let second = come(&barrier).waits();
    assert_eq!(come(&barrier).poll(), Some(Ok(true)));
    drop(second); // after all have come it changes nothing
    assert_eq!(first.poll(), Some(Ok(false)));
    assert_eq!(barrier.waiting(), 0);
}

#[test]
fn a_broken_barrier_holds_nobody_until_it_is_reset() {
    let barrier = Rc::new(Barrier::new(2));
    let mut waiting = come(&barrier).waits();
    barrier.abort();
    assert!(waiting.poll().unwrap().is_err());
    assert!(come(&barrier).poll().unwrap().is_err());
    barrier.reset();
    let mut waiting = come(&barrier).waits();
    barrier.reset();
    assert!(waiting.poll().unwrap().is_err(), "a reset ends the round that is under way");
    let mut waiting = come(&barrier).waits();
    assert_eq!((come(&barrier).poll(), waiting.poll()), (Some(Ok(true)), Some(Ok(false))));
}

#[test]
#[should_panic(expected = "a barrier is for one party at least")]
fn a_barrier_for_nobody_is_a_mistake() {
    drop(Barrier::new(0));
}

#[test]
fn a_round_that_is_complete_stays_so_when_the_barrier_is_broken() {
    let barrier = Rc::new(Barrier::new(2));
    let mut first = come(&barrier).waits();
    assert_eq!(come(&barrier).poll(), Some(Ok(true)));
    barrier.abort();
    assert_eq!(first.poll(), Some(Ok(false)));
}

// ---------------------------------------------------------------------------------------------------------- once cell

#[test]
fn one_makes_the_value_and_all_have_it() {
    let (cell, gate, made) = (Rc::new(OnceCell::new()), Rc::new(Notify::new()), Rc::new(Cell::new(0)));
    let get = || {
        let (cell, gate, made) = (cell.clone(), gate.clone(), made.clone());
        Party::new(async move {
            *cell
                .get_or_init(async || {
                    gate.notified().await;
                    made.set(made.get() + 1);
                    made.get()
                })
                .await
        })
    };
    let mut parties = [(); 3].map(|()| get().waits());
    assert!(cell.set(9).unwrap_err().is_initializing());
    gate.notify_one();
    assert_eq!(parties[0].poll(), Some(1));
    assert_eq!(parties.each_ref().map(Party::wakes), [1, 1, 1]);
    assert_eq!((parties[1].poll(), parties[2].poll()), (Some(1), Some(1)));
    assert_eq!((get().poll(), made.get(), cell.entries()), (Some(1), 1, 0));
    assert!(!cell.set(9).unwrap_err().is_initializing());
}

#[test]
fn a_cell_whose_maker_fails_is_filled_by_the_next() {
    let (cell, gate) = (Rc::new(OnceCell::new()), Rc::new(Notify::new()));
    let mut maker = Party::new({
        let (cell, gate) = (cell.clone(), gate.clone());
        async move {
            let fail = async || {
                gate.notified().await;
                Err("out of oil")
            };
            cell.get_or_try_init(fail).await.copied()
        }
    })
    .waits();
    let mut next = Party::new({
        let cell = cell.clone();
        async move { *cell.get_or_init(async || 2).await }
    })
    .waits();
    gate.notify_one();
    assert_eq!(maker.poll(), Some(Err("out of oil")));
    assert_eq!((next.wakes(), next.poll()), (1, Some(2)));
}

// ------------------------------------------------------------------------------------------------- tokens and trackers

#[test]
fn all_below_a_token_are_cancelled_before_the_first_who_waits_is_woken() {
    let token = CancellationToken::new();
    let below = token.child_token().child_token(); // the one between is gone
    let called = Rc::new(Cell::new(false));
    let waits = |token: &CancellationToken| {
        let token = token.clone();
        Party::new(async move { token.cancelled().await })
    };
    let mut above = waits(&token);
    above.waker = hook({
        let (below, called) = (below.clone(), called.clone());
        move |touch| {
            if touch == Touch::Wake {
                assert!(below.is_cancelled());
                called.set(true);
                below.cancel(); // as if nothing were under way
            }
        }
    });
    let (_above, mut beneath) = (above.waits(), waits(&below).waits());
    token.cancel();
    assert!(called.get() && beneath.wakes() == 1 && beneath.poll().is_some());
}

#[test]
fn wakers_that_panic_do_not_keep_those_below_from_being_woken() {
    let token = CancellationToken::new();
    let tokens: Vec<_> =
        std::iter::successors(Some(token.clone()), |above| Some(above.child_token())).take(6).collect();
    let mut parties: Vec<_> =
        tokens.into_iter().map(|token| Party::new(async move { token.cancelled().await })).collect();
    for bad in [1, 3, 4] {
        parties[bad].waker = hook(|touch| assert!(touch != Touch::Wake, "it will not wake"));
    }
    assert!(parties.iter_mut().all(|party| party.poll().is_none()));
    assert!(catch_unwind(AssertUnwindSafe(|| token.cancel())).is_err());
    assert_eq!(parties.iter().map(Party::wakes).collect::<Vec<_>>(), [1, 0, 1, 0, 0, 1]);
    assert!(parties.iter_mut().all(|party| party.poll().is_some()));
}

#[test]
fn tokens_that_are_dropped_leave_nothing_with_a_parent_that_lives_long() {
    let parent = CancellationToken::new();
    let mut below = parent.child_token();
    for _ in 0..1_000 {
        let children = [(); 3].map(|()| parent.child_token());
        below = below.child_token(); // the one above it is dropped, and it is the parent's child now
        drop(children);
        assert_eq!(parent.places(), 2);
    }
    let (one, other) = (below.child_token(), below.child_token());
    drop(below);
    assert_eq!(parent.places(), 4, "both, the parent, and what holds the two together");
    drop(one);
    assert_eq!(parent.places(), 2);
    parent.cancel();
    assert!(other.is_cancelled() && parent.child_token().is_cancelled());
    assert_eq!(parent.places(), 0);
}

#[test]
fn a_chain_of_a_hundred_thousand_tokens_takes_no_stack() {
    let on_a_small_stack = || {
        for order in 0..3 {
            let top = CancellationToken::new();
            let mut chain: Vec<_> =
                std::iter::successors(Some(top.clone()), |token| Some(token.child_token())).take(100_000).collect();
            match order {
                0 => drop(chain), // from the top
                1 => while chain.pop().is_some() {},
                _ => {
                    let last = chain.pop().unwrap();
                    let mut waits = Party::new(async move { last.cancelled().await }).waits();
                    top.cancel();
                    assert!(chain.iter().all(CancellationToken::is_cancelled));
                    assert!(waits.poll().is_some());
                }
            }
            assert_eq!(top.places(), usize::from(order < 2));
        }
    };
    let thread = std::thread::Builder::new().stack_size(128 << 10).spawn(on_a_small_stack);
    thread.unwrap().join().unwrap();
}

#[test]
fn what_runs_until_it_is_cancelled_wins_if_both_come_in_one_turn() {
    let token = CancellationToken::new();
    let (sender, receiver) = oneshot::channel();
    let run = |token: CancellationToken, receiver: oneshot::Receiver<u32>| {
        Party::new(async move { token.run_until_cancelled(receiver).await })
    };
    let mut both = run(token.clone(), receiver).waits();
    let (other, receiver) = oneshot::channel::<u32>();
    let mut cancelled = run(token.clone(), receiver).waits();
    sender.send(7).unwrap();
    token.cancel();
    assert_eq!(both.poll(), Some(Some(Ok(7))));
    assert_eq!(cancelled.poll(), Some(None));
    assert!(other.is_closed(), "the future is dropped by then");
    assert_eq!((both.is_forgotten(), cancelled.is_forgotten(), token.entries()), (true, true, 0));

    let untouched = token.run_until_cancelled(async { panic!("it was cancelled before") });
    assert!(std::pin::pin!(untouched).poll(&mut Context::from_waker(Waker::noop())) == Poll::Ready(None::<()>));
}

#[test]
fn what_runs_until_it_is_cancelled_says_itself_what_it_waits_for_and_gives_way() {
    let crank = Crank::new();
    let (token, event) = (CancellationToken::new(), Event::new());
    let rounds = Rc::new(Cell::new(0));
    let task = spawn({
        let (token, rounds) = (token.clone(), rounds.clone());
        async move {
            assert!(token.run_until_cancelled(event.wait()).await.is_none());
            loop {
                assert!(token.run_until_cancelled(event.wait()).await.is_none());
                rounds.set(rounds.get() + 1);
            }
        }
    });
    crank.turn();
    let told = all_tasks().into_iter().find(|other| other.id == task.id()).unwrap().waiting_for.to_string();
    assert!(told.starts_with("event "), "{told}");
    token.cancel();
    crank.turn_with(1);
    assert_eq!(rounds.get(), 128, "one unit of budget each, and none for the first, which waited");
    task.abort();
}

#[test]
fn what_uses_up_the_budget_in_every_poll_runs_until_it_is_cancelled_and_no_longer() {
    let crank = Crank::new();
    let token = CancellationToken::new();
    let task = spawn({
        let token = token.clone();
        async move {
            let busy = async {
                loop {
                    crate::budget::consume_budget().await;
                }
            };
            token.run_until_cancelled(busy).await.is_none()
        }
    });
    crank.turn_with(1);
    assert!(!task.is_finished());
    token.cancel();
    crank.turn_with(1);
    assert!(task.is_finished(), "it goes on for ever");
}

#[test]
fn a_tracker_waits_until_it_is_closed_and_all_have_ended_in_whatever_way() {
    let crank = Crank::new();
    let tracker = TaskTracker::new();
    /// What a future holds: it is tracked until this is gone.
    struct Held(TaskTracker);
    impl Drop for Held {
        fn drop(&mut self) {
            assert!(!self.0.is_empty());
        }
    }
    let forever = |held: Held| async move {
        let _held = held;
        pending::<()>().await
    };
    let aborted = tracker.spawn(forever(Held(tracker.clone())));
    let ends = tracker.spawn(async {});
    let panics = tracker.spawn(async { panic!("tracked all the same") });
    let never_polled = tracker.track_future(forever(Held(tracker.clone())));
    let mut waits = Party::new({
        let tracker = tracker.clone();
        async move { tracker.wait().await }
    })
    .waits();
    crank.turn();
    assert!(ends.is_finished() && panics.is_finished());
    assert_eq!(tracker.len(), 2);
    drop(panics);
    assert!(tracker.close() && !tracker.close());
    let late = tracker.token(); // closed takes more
    drop(never_polled);
    aborted.abort();
    crank.turn();
    assert_eq!((tracker.len(), waits.wakes()), (1, 0));
    drop(late.clone());
    drop(late);
    assert_eq!(waits.wakes(), 1);
    assert!(tracker.reopen());
    let _next = tracker.token();
    assert!(waits.poll().is_some(), "it was told");
    assert!(Party::new(async move { tracker.wait().await }).poll().is_none(), "open, and one is tracked");
}

// ----------------------------------------------------------------------------------------------------- random histories

/// A semaphore as anyone would write it who need not be fast.
#[derive(Default)]
struct Model {
    free: usize,
    line: VecDeque<(usize, usize)>,
    granted: Vec<usize>,
    closed: bool,
}

impl Model {
    fn serve(&mut self) {
        while let Some(&(who, count)) = self.line.front() {
            if self.free < count || self.closed {
                return;
            }
            self.free -= count;
            self.granted.push(who);
            self.line.pop_front();
        }
    }
}

#[test]
fn random_histories_of_a_semaphore_are_those_of_its_model() {
    for seed in 1..=128 {
        println!("seed {seed}");
        let mut random = Random(seed);
        let mut model = Model { free: random.below(4), ..Model::default() };
        let semaphore = Rc::new(Semaphore::new(model.free));
        let mut parties: Vec<(usize, usize, Party<_>)> = Vec::new();
        let mut held: Vec<OwnedSemaphorePermit> = Vec::new();
        for who in 0..1_000 {
            match random.below(12) {
                0..=3 => {
                    let count = random.below(4);
                    let mut party = acquire(&semaphore, count);
                    let free = model.line.is_empty() || count == 0;
                    match party.poll() {
                        Some(Ok(permit)) => {
                            assert!(!model.closed && free && model.free >= count);
                            model.free -= count;
                            held.push(permit);
                        }
                        Some(Err(_)) => assert!(model.closed),
                        None => {
                            assert!(!(model.closed || free && model.free >= count));
                            model.line.push_back((who, count));
                            parties.push((who, count, party));
                        }
                    }
                }
                4 => {
                    let count = random.below(3);
                    let can = !model.closed && model.free >= count && (model.line.is_empty() || count == 0);
                    match semaphore.clone().try_acquire_many_owned(count) {
                        Ok(permit) => {
                            assert!(can);
                            model.free -= count;
                            held.push(permit);
                        }
                        Err(error) => assert!(!can && error.is_closed() == model.closed),
                    }
                }
                5 | 6 if !held.is_empty() => {
                    let permit = held.swap_remove(random.below(held.len()));
                    model.free += permit.count();
                    drop(permit);
                    model.serve();
                }
                7 => {
                    let count = random.below(3);
                    semaphore.add_permits(count);
                    model.free += count;
                    model.serve();
                }
                8 => {
                    let count = random.below(3);
                    assert_eq!(semaphore.forget_permits(count), count.min(model.free));
                    model.free -= count.min(model.free);
                }
                9 | 10 if !parties.is_empty() => {
                    let (who, count, mut party) = parties.swap_remove(random.below(parties.len()));
                    let granted = model.granted.contains(&who);
                    assert_eq!(party.wakes(), usize::from(granted || model.closed));
                    if random.below(2) == 0 {
                        party.cancel();
                        if granted {
                            model.free += count;
                        }
                        model.line.retain(|&(other, _)| other != who);
                        model.serve();
                    } else {
                        match party.poll() {
                            Some(Ok(permit)) => {
                                assert!(granted);
                                held.push(permit);
                            }
                            Some(Err(_)) => assert!(model.closed && !granted),
                            None => {
                                assert!(!granted && !model.closed);
                                parties.push((who, count, party));
                            }
                        }
                    }
                }
                11 if random.below(200) == 0 => {
                    semaphore.close();
                    model.closed = true;
                    model.line.clear();
                }
                _ => {}
            }
            assert_eq!(semaphore.available_permits(), model.free);
            assert_eq!(semaphore.entries(), parties.len());
        }
        drop((parties, held));
        assert_eq!(semaphore.entries(), 0);
    }
}

/// Readers and writers come, wait, are dropped and leave; whoever is inside is alone if it writes, and nobody is in
/// line who could be inside.
#[test]
fn random_histories_of_a_lock_never_have_a_writer_with_company_nor_an_idle_lock_with_a_line() {
    for seed in 1..=64 {
        println!("seed {seed}");
        let mut random = Random(seed);
        let lock = Rc::new(RwLock::new(()));
        let (readers, writers) = (Rc::new(Cell::new(0_usize)), Rc::new(Cell::new(0_usize)));
        let mut parties: Vec<Party<()>> = Vec::new();
        for _ in 0..2_000 {
            match random.below(4) {
                0 | 1 => {
                    let (lock, readers, writers) = (lock.clone(), readers.clone(), writers.clone());
                    let inside = |count: Rc<Cell<usize>>| {
                        count.set(count.get() + 1);
                        Leaves(count)
                    };
                    let mut party = if random.below(3) == 0 {
                        Party::new(async move {
                            let _guard = lock.write().await;
                            let _inside = inside(writers);
                            pending().await
                        })
                    } else {
                        Party::new(async move {
                            let _guard = lock.read().await;
                            let _inside = inside(readers);
                            pending().await
                        })
                    };
                    assert!(party.poll().is_none());
                    parties.push(party);
                }
                _ if parties.is_empty() => {}
                2 => {
                    let which = random.below(parties.len());
                    assert!(parties[which].poll().is_none());
                }
                _ => drop(parties.swap_remove(random.below(parties.len()))),
            }
            let (reading, writing) = (readers.get(), writers.get());
            assert!(writing == 0 || (writing == 1 && reading == 0), "{reading} readers, {writing} writers");
            for party in &mut parties {
                assert!(party.wakes() <= 1, "nobody is woken for nothing");
            }
            if reading + writing == 0 && !parties.is_empty() {
                assert!(parties.iter().any(|party| party.wakes() == 1), "all wait, and for nobody");
            }
        }
        drop(parties);
        assert_eq!((readers.get(), writers.get(), lock.entries()), (0, 0, 0));
        assert!(lock.try_write().is_ok());
    }
}

/// Counts itself out when it is dropped.
struct Leaves(Rc<Cell<usize>>);

impl Drop for Leaves {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// Whatever is cancelled when, each notification is heard once, or kept while nobody waits.
#[test]
fn random_histories_of_notify_are_those_of_its_model() {
    for seed in 1..=128 {
        println!("seed {seed}");
        let mut random = Random(seed);
        let notify = Rc::new(Notify::new());
        let (mut stored, mut line) = (false, VecDeque::new());
        let mut parties: Vec<(usize, Party<()>)> = Vec::new();
        // Who has been told: by `notify_one`, `notify_last` or all.
        let mut told: Vec<(usize, Option<End>)> = Vec::new();
        let tell = |end: End, line: &mut VecDeque<usize>, told: &mut Vec<_>, stored: &mut bool| {
            let next = if end == End::First { line.pop_front() } else { line.pop_back() };
            match next {
                Some(who) => told.push((who, Some(end))),
                None => *stored = true,
            }
        };
        for who in 0..1_000 {
            match random.below(7) {
                0..=2 => {
                    let mut party = Party::new({
                        let notify = notify.clone();
                        async move { notify.notified().await }
                    });
                    if party.poll().is_some() {
                        assert!(std::mem::take(&mut stored));
                    } else {
                        assert!(!stored);
                        line.push_back(who);
                        parties.push((who, party));
                    }
                }
                3 => {
                    notify.notify_one();
                    tell(End::First, &mut line, &mut told, &mut stored);
                }
                4 => {
                    notify.notify_last();
                    tell(End::Last, &mut line, &mut told, &mut stored);
                }
                5 if random.below(8) == 0 => {
                    notify.notify_waiters();
                    told.extend(line.drain(..).map(|who| (who, None)));
                }
                6 if !parties.is_empty() => {
                    let (who, mut party) = parties.swap_remove(random.below(parties.len()));
                    let heard = told.iter().find(|&&(other, _)| other == who).copied();
                    assert_eq!(party.wakes(), usize::from(heard.is_some()));
                    if random.below(2) == 0 {
                        party.cancel();
                        line.retain(|&other| other != who);
                        if let Some((_, Some(end))) = heard {
                            tell(end, &mut line, &mut told, &mut stored);
                        }
                    } else if party.poll().is_some() {
                        assert!(heard.is_some());
                    } else {
                        assert!(heard.is_none());
                        parties.push((who, party));
                    }
                }
                _ => {}
            }
            assert_eq!(notify.entries(), parties.len());
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    First,
    Last,
}

#[test]
fn random_histories_of_tokens_are_those_of_a_tree_that_forgets_nobody() {
    struct Known {
        token: Option<CancellationToken>,
        parent: Option<usize>,
        cancelled: bool,
        waits: Option<Party<()>>,
    }
    for seed in 1..=64 {
        println!("seed {seed}");
        let mut random = Random(seed);
        let root = CancellationToken::new();
        let mut known = vec![Known { token: Some(root.clone()), parent: None, cancelled: false, waits: None }];
        for _ in 0..1_000 {
            let which = random.below(known.len());
            match (random.below(12), known[which].token.clone()) {
                (0..=3, Some(token)) => {
                    let cancelled = known[which].cancelled;
                    let token = Some(token.child_token());
                    known.push(Known { token, parent: Some(which), cancelled, waits: None });
                }
                (4..=5, Some(token)) if known[which].waits.is_none() => {
                    let mut party = Party::new(async move { token.cancelled().await });
                    match party.poll() {
                        Some(()) => assert!(known[which].cancelled),
                        None => known[which].waits = Some(party),
                    }
                }
                (6..=10, Some(_)) if which > 0 => known[which].token = None,
                (11, Some(token)) if which > 0 => {
                    token.cancel();
                    // A parent is known before its children.
                    for number in which..known.len() {
                        let above = known[number].parent.is_some_and(|parent| known[parent].cancelled);
                        known[number].cancelled |= above || number == which;
                    }
                }
                _ => {}
            }
            for one in &mut known {
                assert!(one.token.as_ref().is_none_or(|token| token.is_cancelled() == one.cancelled));
                if let Some(mut party) = one.waits.take() {
                    assert_eq!(party.wakes(), usize::from(one.cancelled));
                    let went = party.wakes() > 0 && party.poll().is_some();
                    one.waits = (!went).then_some(party);
                }
            }
            let alive = known.iter().filter(|one| !one.cancelled && (one.token.is_some() || one.waits.is_some()));
            assert!(root.places() < 2 * alive.count());
        }
    }
}
