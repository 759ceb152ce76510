//! Who waits, and who is next.
//! Every primitive has futures that wait for it: first come, first served, and any of them may be dropped at any time,
//! also in the moment between being given what it waits for and being polled.
//!
//! ```text
//!   push ──► line: A ◄─► B ◄─► C          entries of one vector, linked by index: no allocation once warm, all O(1)
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
use std::mem::{forget, replace};
use std::task::{Context, Poll, Waker};

use super::waker_slot::number;
use crate::budget;
use crate::join::quietly;

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

/// A future's part in a line: if it is dropped while it waits, `leave` is called with what it leaves behind.
pub(crate) struct Waiting<'a, T: Copy, F: Fn(Left<T>)> {
    line: &'a WaitList<T>,
    waiter: Option<Waiter>,
    leave: F,
}

impl<'a, T: Copy, F: Fn(Left<T>)> Waiting<'a, T, F> {
    /// Not in line yet: the first poll that has to wait is.
    #[inline]
    pub(crate) fn new(line: &'a WaitList<T>, leave: F) -> Self {
        Waiting { line, waiter: None, leave }
    }

    /// As [`WaitList::poll_wait`].
    #[inline]
    pub(crate) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        may_go: impl Fn() -> bool,
        payload: T,
        note: impl FnOnce(),
    ) -> Poll<Option<T>> {
        self.line.poll_wait(&mut self.waiter, cx, may_go, payload, note)
    }
}

impl<T: Copy, F: Fn(Left<T>)> Drop for Waiting<'_, T, F> {
    #[inline]
    fn drop(&mut self) {
        if let Some(waiter) = self.waiter.take() {
            (self.leave)(self.line.remove(waiter));
        }
    }
}

/// The futures that wait for one thing, in the order in which they came, each with a small payload of its own.
///
/// Memory: 32 bytes and a payload for each of the largest number that ever waited at once.
pub(crate) struct WaitList<T> {
    in_line: Cell<u32>,
    lists: RefCell<Lists<T>>,
}

impl<T: Copy> WaitList<T> {
    pub(crate) const fn new() -> Self {
        let lists = Lists { entries: Vec::new(), free: NIL, line: Ends::EMPTY, waking: Ends::EMPTY };
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

    /// Goes to the end of the line; without a waker, which comes with the next poll.
    pub(crate) fn push(&self, waker: Option<Waker>, payload: T) -> Waiter {
        let lists = &mut *self.lists.borrow_mut();
        lists.make_room(payload);
        let index = lists.append(waker, payload).expect("room was made");
        self.in_line.set(self.in_line.get() + 1);
        Waiter(index)
    }

    /// For who need not wait in line: it has been granted `payload`, and will find it with the next poll.
    pub(crate) fn push_granted(&self, payload: T) -> Waiter {
        let lists = &mut *self.lists.borrow_mut();
        lists.make_room(payload);
        let links = Links { prev: NIL, next: NIL, place: Place::Out };
        Waiter(lists.insert(None, payload, links).expect("room was made"))
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
        payload: T,
        note: impl FnOnce(),
    ) -> Poll<Option<T>> {
        match place {
            None if !may_go() => self.poll_first_apart(place, cx, may_go, payload, note),
            None if budget::take() => Poll::Ready(None),
            None => budget::used_up(cx),
            Some(_) => self.poll_again_apart(place, cx, note),
        }
    }

    /// As [`poll_first`](Self::poll_first), apart from whatever polls, so that a poll that need not wait is short.
    #[inline(never)]
    fn poll_first_apart(
        &self,
        place: &mut Option<Waiter>,
        cx: &mut Context<'_>,
        may_go: impl Fn() -> bool,
        payload: T,
        note: impl FnOnce(),
    ) -> Poll<Option<T>> {
        self.poll_first(place, cx, may_go, payload, note)
    }

    /// As [`poll_again`](Self::poll_again), apart likewise.
    #[inline(never)]
    fn poll_again_apart(
        &self,
        place: &mut Option<Waiter>,
        cx: &mut Context<'_>,
        note: impl FnOnce(),
    ) -> Poll<Option<T>> {
        self.poll_again(place, cx, note)
    }

    /// As [`poll_wait`](Self::poll_wait), for whoever is not in line and has seen that it has to wait.
    #[inline]
    pub(crate) fn poll_first(
        &self,
        place: &mut Option<Waiter>,
        cx: &mut Context<'_>,
        may_go: impl Fn() -> bool,
        payload: T,
        note: impl FnOnce(),
    ) -> Poll<Option<T>> {
        let mut lists = self.lists.borrow_mut();
        // A loop's own waker is a number: no foreign code runs.
        let index = number(cx.waker()).and_then(|waker| lists.append(Some(waker), payload));
        drop(lists);
        let Some(index) = index else { return self.poll_first_slowly(place, cx, may_go, payload, note) };
        self.in_line.set(self.in_line.get() + 1);
        *place = Some(Waiter(index));
        note();
        Poll::Pending
    }

    /// As [`poll_first`](Self::poll_first), also with a foreign waker, and if there is no room for one more.
    #[cold]
    #[inline(never)]
    fn poll_first_slowly(
        &self,
        place: &mut Option<Waiter>,
        cx: &mut Context<'_>,
        may_go: impl Fn() -> bool,
        payload: T,
        note: impl FnOnce(),
    ) -> Poll<Option<T>> {
        let Some(waker) = number(cx.waker()).or_else(|| clone_of_foreign(cx.waker(), &may_go)) else {
            return budget::poll_proceed(cx).map(|()| None);
        };
        *place = Some(self.push(Some(waker), payload));
        note();
        Poll::Pending
    }

    /// As [`poll_wait`](Self::poll_wait), for whoever is in line, or has been granted something.
    #[inline]
    pub(crate) fn poll_again(
        &self,
        place: &mut Option<Waiter>,
        cx: &mut Context<'_>,
        note: impl FnOnce(),
    ) -> Poll<Option<T>> {
        let Some(waiter) = place else { unreachable!("who polls again has a place") };
        let seen = match self.look(waiter.0, cx.waker()) {
            Seen::Otherwise => self.look_again(waiter.0, cx),
            seen => seen,
        };
        match seen {
            Seen::Granted(payload) => {
                *place = None;
                Poll::Ready(Some(payload))
            }
            Seen::NoBudget => budget::used_up(cx), // what it was granted stays where it is
            Seen::Waits | Seen::Otherwise => {
                note();
                Poll::Pending
            }
        }
    }

    /// How it is with an entry, which is gone if it was granted something.
    #[inline]
    fn look(&self, index: u32, waker: &Waker) -> Seen<T> {
        let Lists { entries, free, .. } = &mut *self.lists.borrow_mut();
        // It is there: if ever it were not, the second look would panic, apart.
        let Some(entry) = entries.get_mut(index as usize) else { return Seen::Otherwise };
        match (entry.links.place, &entry.waker) {
            (Place::Out, _) if !budget::take() => Seen::NoBudget,
            (Place::Out, _) => {
                entry.free(index, free);
                Seen::Granted(entry.payload)
            }
            (Place::Line, Some(known)) if known.will_wake(waker) => Seen::Waits,
            _ => Seen::Otherwise,
        }
    }

    /// For an entry that has another waker, or is still to be woken.
    #[cold]
    fn look_again(&self, index: u32, cx: &mut Context<'_>) -> Seen<T> {
        loop {
            let waker = cx.waker().clone(); // foreign
            let before = {
                let mut lists = self.lists.borrow_mut();
                match lists.entry(index).links.place {
                    Place::Line => lists.entry(index).waker.replace(waker),
                    Place::Waking => lists.leave(index, |_| ()), // it need not be woken any more
                    Place::Out | Place::Free => Some(waker),
                }
            };
            drop(before); // foreign: if it grants, it wakes the waker that is in there now
            match self.look(index, cx.waker()) {
                // The clone is in there, also if nobody knows that it would wake the same.
                Seen::Otherwise if self.lists.borrow_mut().entry(index).links.place == Place::Line => {
                    return Seen::Waits;
                }
                Seen::Otherwise => {}
                seen => return seen,
            }
        }
    }

    /// Whether the waiter has been granted something.
    pub(crate) fn is_granted(&self, waiter: &Waiter) -> bool {
        self.lists.borrow_mut().entry(waiter.0).links.place != Place::Line
    }

    /// Takes a waiter out, wherever it is.
    pub(crate) fn remove(&self, waiter: Waiter) -> Left<T> {
        let lists = &mut *self.lists.borrow_mut();
        let entry = lists.entry(waiter.0);
        let (payload, links, _waker) = (entry.payload, entry.links, entry.waker.take());
        let granted = links.place != Place::Line;
        if !granted {
            self.in_line.set(self.in_line.get() - 1);
        }
        lists.unlink(links);
        lists.entries[waiter.0 as usize].free(waiter.0, &mut lists.free);
        Left { payload, granted, _waker }
    }

    /// Grants the first in line what `write` writes into its payload; it is the caller's to wake.
    #[inline]
    pub(crate) fn grant_first(&self, write: impl FnOnce(&mut T)) -> Option<Granted> {
        let granted = self.lists.borrow_mut().leave_head(Place::Line, write)?;
        self.in_line.set(self.in_line.get() - 1);
        Some(granted)
    }

    /// As [`grant_first`](Self::grant_first), for who came last.
    pub(crate) fn grant_last(&self, write: impl FnOnce(&mut T)) -> Option<Granted> {
        if self.is_empty() {
            return None;
        }
        self.in_line.set(self.in_line.get() - 1);
        let lists = &mut *self.lists.borrow_mut();
        Some(Granted(lists.leave(lists.line.tail, write)))
    }

    /// Grants from the front of the line for as long as `accept` is true, which may write what is granted; then wakes
    /// them in this order. If a waker panics, the others are woken all the same.
    #[inline]
    pub(crate) fn grant_while(&self, mut accept: impl FnMut(&mut T) -> bool) {
        let mut lists = self.lists.borrow_mut();
        let (first, mut last, mut next, mut count) = (lists.line.head, NIL, lists.line.head, 0);
        while next != NIL {
            let entry = lists.entry(next);
            if !accept(&mut entry.payload) {
                break;
            }
            entry.links.place = Place::Waking;
            (last, next) = (next, entry.links.next);
            count += 1;
        }
        if count == 0 {
            return;
        }
        self.in_line.set(self.in_line.get() - count);
        if count == 1 && lists.waking.head == NIL {
            let only = lists.leave_head(Place::Line, |_| ());
            drop(lists);
            return only.map_or((), Granted::wake);
        }
        lists.move_to_waking(first, last, next);
        drop(lists);
        if count > 1 {
            return self.wake_all();
        }
        // A waker has called us, and others are to be woken before ours. Whoever woke that waker wakes ours, too.
        if let Some(before) = self.next_to_wake() {
            before.wake();
        }
    }

    #[inline(never)]
    fn wake_all(&self) {
        let _rest = Rest(self); // if one of these panics, the others are woken while it unwinds
        while let Some(next) = self.next_to_wake() {
            next.wake();
        }
    }

    fn next_to_wake(&self) -> Option<Granted> {
        self.lists.borrow_mut().next_to_wake()
    }

    /// Entries in use, in line or granted.
    #[cfg(test)]
    pub(crate) fn entries(&self) -> usize {
        self.lists.borrow().entries.iter().filter(|entry| entry.links.place != Place::Free).count()
    }
}

/// A clone of a waker that may do anything when it is touched; none if it need not wait any more after that.
#[cold]
#[inline(never)]
fn clone_of_foreign(waker: &Waker, may_go: impl Fn() -> bool) -> Option<Waker> {
    loop {
        let waker = waker.clone(); // foreign: look again
        if !may_go() {
            return Some(waker);
        }
        drop(waker); // foreign, too
        if may_go() {
            return None;
        }
    }
}

/// What a look at an entry found.
enum Seen<T> {
    Granted(T),
    /// It was granted something, and the task must give way before it takes it.
    NoBudget,
    Waits,
    Otherwise,
}

/// Wakes those who have been granted something and are still to be woken.
struct Rest<'a, T: Copy>(&'a WaitList<T>);

impl<T: Copy> Drop for Rest<'_, T> {
    fn drop(&mut self) {
        while let Some(granted) = self.0.next_to_wake() {
            quietly(|| granted.wake()); // a second panic while one unwinds would end the process
        }
    }
}

struct Lists<T> {
    entries: Vec<Entry<T>>,
    /// The first free entry; its `next` is the next one.
    free: u32,
    /// Those who wait, first come first.
    line: Ends,
    /// Those who have been granted something and are still to be woken.
    waking: Ends,
}

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
    Free,
}

struct Entry<T> {
    waker: Option<Waker>,
    payload: T,
    links: Links,
}

#[derive(Clone, Copy)]
struct Links {
    prev: u32,
    next: u32,
    place: Place,
}

impl<T> Entry<T> {
    /// Puts itself, which is in neither list and has no waker, at `index`, before the other free ones.
    #[inline]
    fn free(&mut self, index: u32, free: &mut u32) {
        self.links.place = Place::Free;
        self.links.next = replace(free, index);
    }
}

impl<T> Lists<T> {
    #[inline]
    fn entry(&mut self, index: u32) -> &mut Entry<T> {
        &mut self.entries[index as usize] // a waiter's entry is there until it is freed, and so are its neighbours
    }

    #[inline]
    fn ends(&mut self, place: Place) -> &mut Ends {
        if place == Place::Line { &mut self.line } else { &mut self.waking }
    }

    /// Puts an entry at the end of the line; none if there is no room.
    #[inline]
    fn append(&mut self, waker: Option<Waker>, payload: T) -> Option<u32> {
        let prev = self.line.tail;
        let index = self.insert(waker, payload, Links { prev, next: NIL, place: Place::Line })?;
        self.line.tail = index;
        match self.entries.get_mut(prev as usize) {
            None => self.line.head = index,
            Some(prev) => prev.links.next = index,
        }
        Some(index)
    }

    /// Fills a free entry; none if there is no room.
    #[inline]
    fn insert(&mut self, waker: Option<Waker>, payload: T, links: Links) -> Option<u32> {
        let index = self.free;
        let entry = self.entries.get_mut(index as usize)?; // there is none at `NIL`
        self.free = replace(&mut entry.links, links).next;
        entry.payload = payload;
        forget(replace(&mut entry.waker, waker)); // a free entry has none, so that there is nothing to drop
        Some(index)
    }

    /// Sees to it that an entry is free.
    fn make_room(&mut self, payload: T) {
        if self.free != NIL {
            return;
        }
        let index = self.entries.len();
        assert!(index < NIL as usize, "more than 2^32 - 1 futures wait");
        let links = Links { prev: NIL, next: NIL, place: Place::Free };
        self.entries.push(Entry { waker: None, payload, links });
        self.free = index as u32;
    }

    /// Moves the entries from the head of the line, which is `first`, to `last` to the end of those that are to be
    /// woken; `next` is the new head of the line.
    fn move_to_waking(&mut self, first: u32, last: u32, next: u32) {
        self.line.head = next;
        match next {
            NIL => self.line.tail = NIL,
            next => self.entry(next).links.prev = NIL,
        }
        self.entry(last).links.next = NIL;
        match replace(&mut self.waking.tail, last) {
            NIL => self.waking.head = first,
            tail => {
                self.entry(first).links.prev = tail;
                self.entry(tail).links.next = first;
            }
        }
    }

    #[inline]
    fn next_to_wake(&mut self) -> Option<Granted> {
        self.leave_head(Place::Waking, |_| ())
    }

    /// As [`leave`](Self::leave), of the head of the list `place`, if it has one.
    #[inline]
    fn leave_head(&mut self, place: Place, write: impl FnOnce(&mut T)) -> Option<Granted> {
        let head = self.ends(place).head;
        let entry = self.entries.get_mut(head as usize)?; // there is none at `NIL`
        write(&mut entry.payload);
        entry.links.place = Place::Out;
        let next = entry.links.next;
        let waker = entry.waker.take();
        self.ends(place).head = next;
        match self.entries.get_mut(next as usize) {
            None => self.ends(place).tail = NIL,
            Some(next) => next.links.prev = NIL,
        }
        Some(Granted(waker))
    }

    /// Takes an entry out of the list it is in, after `write` has seen its payload, and its waker out of the entry.
    fn leave(&mut self, index: u32, write: impl FnOnce(&mut T)) -> Option<Waker> {
        let entry = self.entry(index);
        write(&mut entry.payload);
        let links = entry.links;
        entry.links.place = Place::Out;
        let waker = entry.waker.take();
        self.unlink(links);
        waker
    }

    /// Closes the gap that an entry with these links leaves in its list, if it was in one.
    #[inline]
    fn unlink(&mut self, Links { prev, next, place }: Links) {
        if place == Place::Out {
            return;
        }
        match prev {
            NIL => self.ends(place).head = next,
            prev => self.entry(prev).links.next = next,
        }
        match next {
            NIL => self.ends(place).tail = prev,
            next => self.entry(next).links.prev = prev,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::{Counter, Random, hook};
    use std::collections::VecDeque;
    use std::rc::Rc;

    /// Both lists, each as the payloads in their order, held against all that the links and counts claim.
    fn check<T: Copy>(list: &WaitList<T>) -> (Vec<T>, Vec<T>) {
        let mut lists = list.lists.borrow_mut();
        let mut both = [Place::Line, Place::Waking].map(|place| {
            let (mut seen, mut prev, &mut Ends { head: mut next, tail }) = (Vec::new(), NIL, lists.ends(place));
            while next != NIL {
                let entry = lists.entry(next);
                assert_eq!((entry.links.prev, entry.links.place), (prev, place));
                seen.push(entry.payload);
                (prev, next) = (next, entry.links.next);
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
                    let told = list.poll_wait(&mut second.borrow_mut(), &mut cx, || false, (), || ());
                    assert!(told.is_ready());
                }
            }
        });
        let waiter = list.push(Some(first), ());
        *second.borrow_mut() = Some(list.push(Some(counting), ()));
        list.grant_while(|()| true);
        assert_eq!(counter.wakes(), 0);
        drop(list.remove(waiter));
        assert_eq!(list.entries(), 0);
    }

    #[test]
    fn one_that_is_granted_while_others_are_still_to_be_woken_may_leave_from_behind_them() {
        let list = Rc::new(WaitList::new());
        let (counter, counting) = Counter::new();
        let first = hook({
            let (list, counting) = (list.clone(), counting.clone());
            move |touch| {
                if touch == crate::tests::Touch::Wake {
                    let late = list.push(Some(counting.clone()), 9);
                    list.grant_while(|_| true); // wakes the second of three, and leaves the late one behind the third
                    assert_eq!(check(&list), (vec![], vec![3, 9]));
                    drop(list.remove(late));
                    assert_eq!(check(&list), (vec![], vec![3]));
                }
            }
        });
        let waiters = [(first, 1), (counting.clone(), 2), (counting, 3)].map(|(waker, n)| list.push(Some(waker), n));
        list.grant_while(|_| true);
        assert_eq!(counter.wakes(), 2);
        assert!(waiters.into_iter().all(|waiter| list.remove(waiter).granted));
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
