//! Who waits, and who is next.
//! Every primitive has futures that wait for it: first come, first served, and any of them may be dropped at any time,
//! also in the moment between being given what it waits for and being polled.
//!
//! ```text
//!   push ──► line: A ◄─► B ◄─► C          entries of one slab, linked by index: no allocation once warm, all O(1)
//!                  │ grant: the payload is written into A's entry, A leaves the line, A's waker is handed out
//!                  ▼
//!             A, granted ──► polled: takes the payload; or dropped: finds it there, and passes it on
//! ```
//!
//! - **What is granted belongs to one waiter.** It lies in that waiter's entry, so nobody can overtake, and a waiter
//!   that is dropped instead of polled knows that it has something to pass on.
//! - **An entry has one owner.** A [`Waiter`] is a number that cannot be copied and is used up by [`WaitList::remove`];
//!   nobody else removes. So no number outlives its entry, and none needs a generation.
//! - **No foreign code runs inside (I3).** Wakers come in and go out by value. Whatever cloning, waking or dropping one
//!   does to the same primitive, it finds the list whole; and whoever ran it looks again at what it knew before.
//!
//! Many at once are first all granted, then woken one by one: a waker that calls back changes nothing about who is.
//! Not here: what is granted, and when (each primitive).   Next: `permits`, which counts.

use std::cell::{Cell, RefCell};
use std::task::{Context, Poll, Waker, ready};

use slab::Slab;

use crate::budget;

/// No entry: the end of a line.
const NIL: u32 = u32::MAX;

/// A place in a [`WaitList`]: its owner's, to be given back by [`WaitList::remove`].
#[derive(Debug)]
#[must_use = "a waiter that is lost stays in line for ever"]
pub(crate) struct Waiter(u32);

/// Somebody has been granted something and does not know it yet.
#[must_use = "who is not woken waits for ever"]
pub(crate) struct Granted(Option<Waker>);

impl Granted {
    /// Foreign code: no borrow may be live, and whatever the caller knew may be otherwise afterwards.
    #[inline]
    pub(crate) fn wake(self) {
        if let Some(waker) = self.0 {
            waker.wake();
        }
    }
}

/// What a waiter leaves behind. The waker in it is dropped with it: keep it until all else is done.
pub(crate) struct Left<T> {
    pub(crate) payload: T,
    /// Whether the payload has been granted: who does not use it passes it on.
    pub(crate) granted: bool,
    _waker: Option<Waker>,
}

/// The futures that wait for one thing, in the order in which they came, each with a payload of its own.
pub(crate) struct WaitList<T> {
    in_line: Cell<u32>,
    lists: RefCell<Lists<T>>,
}

impl<T> WaitList<T> {
    pub(crate) const fn new() -> Self {
        let lists = Lists { entries: Slab::new(), line: Ends::EMPTY, waking: Ends::EMPTY };
        WaitList { in_line: Cell::new(0), lists: RefCell::new(lists) }
    }

    /// True if nobody is in line. Who has been granted something is not.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.in_line.get() == 0
    }

    pub(crate) fn len(&self) -> usize {
        self.in_line.get() as usize
    }

    /// Goes to the end of the line; without a waker, to be [polled](Self::poll_granted) with one later.
    pub(crate) fn push(&self, waker: Option<Waker>, payload: T) -> Waiter {
        let mut lists = self.lists.borrow_mut();
        let index = lists.entries.insert(Entry { waker, payload, prev: NIL, next: NIL, place: Place::Out });
        assert!(index < NIL as usize, "more than 2^32 - 1 futures wait");
        lists.append(Place::Line, index as u32);
        self.in_line.set(self.in_line.get() + 1);
        Waiter(index as u32)
    }

    /// One poll of a future that may wait here. `may_go` says whether it need not, as things are; then, or once it has
    /// been granted something, it is ready, at the price of one unit of budget. Else it is in line, and has said why.
    ///
    /// `Ready(None)`: it may go, and whoever called takes what it came for. `Ready(Some(payload))`: it was granted.
    #[inline]
    pub(crate) fn poll_wait(
        &self,
        place: &mut Option<Waiter>,
        cx: &mut Context<'_>,
        may_go: impl Fn() -> bool,
        payload: impl FnOnce() -> T,
        note: impl FnOnce(),
    ) -> Poll<Option<T>> {
        if place.is_none() && may_go() {
            return budget::poll_proceed(cx).map(|()| None);
        }
        self.poll_in_line(place, cx, may_go, payload, note)
    }

    #[inline(never)]
    fn poll_in_line(
        &self,
        place: &mut Option<Waiter>,
        cx: &mut Context<'_>,
        may_go: impl Fn() -> bool,
        payload: impl FnOnce() -> T,
        note: impl FnOnce(),
    ) -> Poll<Option<T>> {
        let Some(waiter) = place else {
            loop {
                let waker = cx.waker().clone(); // foreign: look again
                if !may_go() {
                    *place = Some(self.push(Some(waker), payload()));
                    note();
                    return Poll::Pending;
                }
                drop(waker); // foreign, too
                if may_go() {
                    return budget::poll_proceed(cx).map(|()| None);
                }
            }
        };
        if !self.poll_granted(waiter, cx) {
            note();
            return Poll::Pending;
        }
        ready!(budget::poll_proceed(cx)); // if it must give way, what it was granted stays where it is
        let waiter = place.take().expect("it is in the list, as was just seen");
        Poll::Ready(Some(self.remove(waiter).payload))
    }

    /// True once the waiter has been granted something. Else `cx`'s waker will be woken when it is.
    pub(crate) fn poll_granted(&self, waiter: &Waiter, cx: &mut Context<'_>) -> bool {
        {
            let mut lists = self.lists.borrow_mut();
            let entry = lists.entry(waiter.0);
            match entry.place {
                Place::Out => return true,
                Place::Waking => {
                    let waker = lists.leave(waiter.0);
                    drop(lists);
                    drop(waker); // it need not be woken any more
                    return true;
                }
                Place::Line if entry.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) => return false,
                Place::Line => {}
            }
        }
        let waker = cx.waker().clone(); // foreign: look again
        let (granted, before) = {
            let mut lists = self.lists.borrow_mut();
            let entry = lists.entry(waiter.0);
            let granted = entry.place != Place::Line;
            (granted, if granted { Some(waker) } else { entry.waker.replace(waker) })
        };
        drop(before); // foreign: if it grants, it wakes the waker that is in there now
        granted
    }

    /// Whether the waiter has been granted something.
    pub(crate) fn is_granted(&self, waiter: &Waiter) -> bool {
        self.lists.borrow_mut().entry(waiter.0).place != Place::Line
    }

    /// Takes a waiter out, wherever it is.
    pub(crate) fn remove(&self, waiter: Waiter) -> Left<T> {
        let mut lists = self.lists.borrow_mut();
        let granted = lists.entry(waiter.0).place != Place::Line;
        if !granted {
            self.in_line.set(self.in_line.get() - 1);
        }
        let _waker = lists.leave(waiter.0);
        let entry = lists.entries.remove(waiter.0 as usize);
        Left { payload: entry.payload, granted, _waker }
    }

    /// Grants the first in line what `write` writes into its payload; it is the caller's to wake.
    #[inline]
    pub(crate) fn grant_first(&self, write: impl FnOnce(&mut T)) -> Option<Granted> {
        if self.is_empty() { None } else { Some(self.grant(|line| line.head, write)) }
    }

    /// As [`grant_first`](Self::grant_first), for who came last.
    pub(crate) fn grant_last(&self, write: impl FnOnce(&mut T)) -> Option<Granted> {
        if self.is_empty() { None } else { Some(self.grant(|line| line.tail, write)) }
    }

    fn grant(&self, which: impl FnOnce(&Ends) -> u32, write: impl FnOnce(&mut T)) -> Granted {
        let mut lists = self.lists.borrow_mut();
        let index = which(&lists.line);
        let waker = lists.leave(index);
        write(&mut lists.entry(index).payload);
        self.in_line.set(self.in_line.get() - 1);
        Granted(waker)
    }

    /// Grants from the front of the line for as long as `accept` is true, which may write what is granted; then wakes
    /// them in this order. If a waker panics, the others are woken all the same.
    pub(crate) fn grant_while(&self, mut accept: impl FnMut(&mut T) -> bool) {
        let mut first = None;
        {
            let mut lists = self.lists.borrow_mut();
            while lists.line.head != NIL {
                let index = lists.line.head;
                if !accept(&mut lists.entry(index).payload) {
                    break;
                }
                self.in_line.set(self.in_line.get() - 1);
                let waker = lists.leave(index);
                if first.is_none() && lists.waking.head == NIL {
                    first = Some(Granted(waker)); // most often it is the only one
                } else {
                    lists.entry(index).waker = waker;
                    lists.append(Place::Waking, index);
                }
            }
        }
        let _rest = Rest(self); // if one of these panics, the others are woken while it unwinds
        if let Some(first) = first {
            first.wake();
        }
        while let Some(next) = self.next_to_wake() {
            next.wake();
        }
    }

    fn next_to_wake(&self) -> Option<Granted> {
        let mut lists = self.lists.borrow_mut();
        let index = lists.waking.head;
        (index != NIL).then(|| Granted(lists.leave(index)))
    }

    /// Entries in the slab, in line or granted.
    #[cfg(test)]
    pub(crate) fn entries(&self) -> usize {
        self.lists.borrow().entries.len()
    }
}

/// Wakes those who have been granted something and are still to be woken.
struct Rest<'a, T>(&'a WaitList<T>);

impl<T> Drop for Rest<'_, T> {
    fn drop(&mut self) {
        while let Some(granted) = self.0.next_to_wake() {
            granted.wake();
        }
    }
}

struct Lists<T> {
    entries: Slab<Entry<T>>,
    /// Those who wait, first come first.
    line: Ends,
    /// Those who have been granted something and are still to be woken.
    waking: Ends,
}

#[derive(Clone, Copy)]
struct Ends {
    head: u32,
    tail: u32,
}

impl Ends {
    const EMPTY: Ends = Ends { head: NIL, tail: NIL };
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Place {
    Line,
    Waking,
    /// Granted, and woken or about to be.
    Out,
}

struct Entry<T> {
    waker: Option<Waker>,
    payload: T,
    prev: u32,
    next: u32,
    place: Place,
}

impl<T> Lists<T> {
    #[inline]
    fn entry(&mut self, index: u32) -> &mut Entry<T> {
        self.entries.get_mut(index as usize).expect("a waiter's entry is there until it is removed")
    }

    fn ends(&mut self, place: Place) -> &mut Ends {
        match place {
            Place::Line => &mut self.line,
            Place::Waking => &mut self.waking,
            Place::Out => unreachable!("who is out is in neither list"),
        }
    }

    /// Puts an entry that is in neither list at the end of one.
    fn append(&mut self, place: Place, index: u32) {
        let tail = std::mem::replace(&mut self.ends(place).tail, index);
        match tail {
            NIL => self.ends(place).head = index,
            tail => self.entry(tail).next = index,
        }
        let entry = self.entry(index);
        (entry.prev, entry.next, entry.place) = (tail, NIL, place);
    }

    /// Takes an entry out of the list it is in, if it is in one, and its waker out of the entry.
    fn leave(&mut self, index: u32) -> Option<Waker> {
        let entry = self.entry(index);
        let (prev, next, place) = (entry.prev, entry.next, entry.place);
        entry.place = Place::Out;
        let waker = entry.waker.take();
        if place != Place::Out {
            match prev {
                NIL => self.ends(place).head = next,
                prev => self.entry(prev).next = next,
            }
            match next {
                NIL => self.ends(place).tail = prev,
                next => self.entry(next).prev = prev,
            }
        }
        waker
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::{Counter, Random, hook};
    use std::collections::VecDeque;
    use std::rc::Rc;

    /// Both lists, each as the payloads in their order, held against all that the links and counts claim.
    fn check<T: Clone>(list: &WaitList<T>) -> (Vec<T>, Vec<T>) {
        let mut lists = list.lists.borrow_mut();
        let mut both = [Place::Line, Place::Waking].map(|place| {
            let (mut seen, mut prev, Ends { head: mut next, tail }) = (Vec::new(), NIL, *lists.ends(place));
            while next != NIL {
                let entry = lists.entry(next);
                assert_eq!((entry.prev, entry.place), (prev, place));
                seen.push(entry.payload.clone());
                (prev, next) = (next, entry.next);
            }
            assert_eq!(tail, prev);
            seen
        });
        assert_eq!(both[0].len(), list.len());
        (std::mem::take(&mut both[0]), std::mem::take(&mut both[1]))
    }

    #[test]
    fn whoever_came_first_is_first_and_any_of_them_may_leave() {
        let list = WaitList::new();
        let mut waiters: Vec<_> = (0..5).map(|number| Some(list.push(None, number))).collect();
        assert_eq!(check(&list).0, [0, 1, 2, 3, 4]);
        for (number, left) in [(2, vec![0, 1, 3, 4]), (0, vec![1, 3, 4]), (4, vec![1, 3])] {
            assert!(!list.remove(waiters[number].take().unwrap()).granted);
            assert_eq!(check(&list).0, left);
        }
        list.grant_first(|number| *number += 10).unwrap().wake();
        list.grant_last(|number| *number += 20).unwrap().wake();
        assert!(list.grant_first(|_| ()).is_none());
        let [first, last] = [1, 3].map(|number| list.remove(waiters[number].take().unwrap()));
        assert!(first.granted && last.granted);
        assert_eq!((first.payload, last.payload), (11, 23));
        assert_eq!(list.entries(), 0);
    }

    #[test]
    fn all_are_granted_before_the_first_of_them_is_woken() {
        let list = Rc::new(WaitList::new());
        let woken = Rc::new(RefCell::new(Vec::new()));
        let waiters: Vec<_> = (0..4)
            .map(|number| {
                let (waiters, woken) = (list.clone(), woken.clone());
                let waker = hook(move |touch| {
                    if touch == crate::tests::Touch::Wake {
                        assert!(waiters.is_empty());
                        woken.borrow_mut().push(number);
                    }
                });
                list.push(Some(waker), number)
            })
            .collect();
        list.grant_while(|_| true);
        assert_eq!(*woken.borrow(), [0, 1, 2, 3]);
        assert!(waiters.into_iter().all(|waiter| list.remove(waiter).granted));
    }

    #[test]
    fn a_waker_that_panics_does_not_keep_the_others_from_being_woken() {
        let list = WaitList::new();
        let (counter, counting) = Counter::new();
        let bad = hook(|touch| assert!(touch != crate::tests::Touch::Wake, "it will not wake"));
        let waiters = [counting.clone(), bad, counting.clone(), counting].map(|waker| list.push(Some(waker), ()));
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| list.grant_while(|()| true)));
        assert!(panicked.is_err());
        assert_eq!(counter.wakes(), 3);
        assert!(waiters.into_iter().all(|waiter| list.remove(waiter).granted));
    }

    #[test]
    fn who_has_been_granted_something_is_not_woken_once_it_knows() {
        let list = Rc::new(WaitList::new());
        let (counter, counting) = Counter::new();
        let second = Rc::new(RefCell::new(None));
        let first = hook({
            let (list, second) = (list.clone(), second.clone());
            move |touch| {
                if touch == crate::tests::Touch::Wake {
                    let mut cx = Context::from_waker(Waker::noop());
                    assert!(list.poll_granted(second.borrow().as_ref().unwrap(), &mut cx));
                }
            }
        });
        let waiter = list.push(Some(first), ());
        *second.borrow_mut() = Some(list.push(Some(counting), ()));
        list.grant_while(|()| true);
        assert_eq!(counter.wakes(), 0);
        drop((list.remove(waiter), list.remove(second.take().unwrap())));
        assert_eq!(list.entries(), 0);
    }

    #[test]
    fn random_histories_keep_the_order_of_a_queue() {
        for seed in 1..=64 {
            println!("seed {seed}");
            let mut random = Random(seed);
            let (list, mut model) = (WaitList::new(), VecDeque::new());
            let mut waiters: Vec<(u32, Waiter)> = Vec::new();
            for number in 0..2_000 {
                match random.below(5) {
                    0 | 1 => {
                        waiters.push((number, list.push(None, number)));
                        model.push_back(number);
                    }
                    2 => {
                        let granted = list.grant_first(|_| ()).map(Granted::wake);
                        assert_eq!(granted.is_some(), model.pop_front().is_some());
                    }
                    3 => {
                        let mut left = random.below(3);
                        model.drain(..left.min(model.len()));
                        list.grant_while(|_| {
                            let accepted = left > 0;
                            left = left.saturating_sub(1);
                            accepted
                        });
                    }
                    _ if waiters.is_empty() => {}
                    _ => {
                        let (number, waiter) = waiters.swap_remove(random.below(waiters.len()));
                        assert_eq!(list.is_granted(&waiter), !model.contains(&number));
                        let left = list.remove(waiter);
                        assert_eq!((left.payload, left.granted), (number, !model.contains(&number)));
                        model.retain(|&other| other != number);
                    }
                }
                assert_eq!(check(&list), (Vec::from(model.clone()), vec![]));
                assert_eq!(list.entries(), waiters.len());
            }
        }
    }
}
