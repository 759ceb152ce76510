//! Tasks that are waited for together.
//! Whoever awaits a thousand tasks one by one hears of the first end when the first handle's turn comes. A set hears of
//! each end as it happens, and does not look at the others to find it:
//!
//! ```text
//!   spawn ──► slot 7 ──► task ( future, and a note: slot 7 ) ── it ends, in whatever way: the note is dropped
//!                                                                       │
//!   join_next ◄── take the output of slot 3 ◄── finished: [3, 0, 7] ◄───┘ and the set's one waiter is woken
//! ```
//!
//! A task that was spawned elsewhere has no note in it; it is watched instead (`join`). Either way an end costs the same
//! whatever the number of the others.
//! Not here: what is done with tasks that somebody has spawned already (`gather`, `wait`), groups that fail together
//! (`task_group`).   Next: `gather`.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::ops::{Deref, DerefMut};
use std::panic::Location;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use pin_project_lite::pin_project;
use slab::Slab;

use super::handles::AbortHandle;
use crate::budget;
use crate::join::{self, JoinError, JoinHandle, Watcher};
use crate::task::{TaskId, spawn_at};
use crate::waits::{self, WaitReason};

/// Tasks whose outputs come in the order in which they end.
///
/// # Cancel
/// Dropping the set aborts what is in it: each future is dropped where it stands. [`shutdown`](JoinSet::shutdown) asks, and
/// waits; [`detach_all`](JoinSet::detach_all) lets go.
///
/// ```
/// # use windlass_executor::{JoinSet, yield_now};
/// # windlass_executor::doc(async {
/// let mut set = JoinSet::new();
/// set.spawn(async { yield_now().await; "slow" });
/// set.spawn(async { "quick" });
/// assert_eq!(set.join_next().await.unwrap().unwrap(), "quick");
/// assert_eq!(set.join_next().await.unwrap().unwrap(), "slow");
/// assert!(set.join_next().await.is_none()); // it is empty
/// # });
/// ```
pub struct JoinSet<T: 'static> {
    members: Members<T>,
}

impl<T: 'static> JoinSet<T> {
    /// An empty set.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// assert!(windlass::task::JoinSet::<()>::new().is_empty());
    /// ```
    pub fn new() -> Self {
        JoinSet { members: Members::default() }
    }

    /// Makes a task of `future`, as [`spawn`](crate::spawn()), and a member of it.
    ///
    /// # Panics
    /// Outside a running loop.
    ///
    /// ```
    /// # use windlass_executor::JoinSet;
    /// # windlass_executor::doc(async {
    /// let mut set = JoinSet::new();
    /// set.spawn(async { 42 });
    /// assert_eq!(set.join_next().await.unwrap().unwrap(), 42);
    /// # });
    /// ```
    #[inline]
    #[track_caller]
    pub fn spawn<F: Future<Output = T> + 'static>(&mut self, future: F) -> AbortHandle {
        self.members.spawn(future, None, Location::caller()).abort_handle()
    }

    /// As [`spawn`](JoinSet::spawn), with a name.
    ///
    /// # Panics
    /// Outside a running loop.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// # use windlass_executor::JoinSet;
    /// # windlass_executor::doc(async {
    /// let mut set = JoinSet::new();
    /// set.spawn_named("crank", async { windlass::task::current().unwrap().name });
    /// assert_eq!(set.join_next().await.unwrap().unwrap(), "crank");
    /// # });
    /// ```
    #[track_caller]
    pub fn spawn_named<F>(&mut self, name: impl Into<Box<str>>, future: F) -> AbortHandle
    where
        F: Future<Output = T> + 'static,
    {
        self.members.spawn(future, Some(name.into()), Location::caller()).abort_handle()
    }

    /// Takes a task that was spawned elsewhere into the set.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// # use windlass_executor::JoinSet;
    /// # windlass_executor::doc(async {
    /// let mut set = JoinSet::new();
    /// set.insert(windlass::spawn(async { 42 }));
    /// assert_eq!(set.join_next().await.unwrap().unwrap(), 42);
    /// # });
    /// ```
    pub fn insert(&mut self, task: JoinHandle<T>) {
        self.members.insert(task);
    }

    /// How many tasks are in the set; those that have ended and were not taken count.
    ///
    /// ```
    /// # use windlass_executor::{JoinSet, yield_now};
    /// # windlass_executor::doc(async {
    /// let mut set = JoinSet::new();
    /// set.spawn(async {});
    /// yield_now().await;
    /// assert_eq!(set.len(), 1);
    /// # });
    /// ```
    pub fn len(&self) -> usize {
        self.members.handles.len()
    }

    /// True if no task is in the set.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// assert!(windlass::task::JoinSet::<()>::new().is_empty());
    /// ```
    pub fn is_empty(&self) -> bool {
        self.members.handles.is_empty()
    }

    /// Waits for the next task to end and takes it out; none if the set is empty.
    ///
    /// # Errors
    /// [`JoinError`] if it panicked or was aborted.
    ///
    /// # Cancel
    /// Dropping it loses nothing: a task stays in the set until its output is returned.
    ///
    /// ```
    /// # use windlass_executor::JoinSet;
    /// # windlass_executor::doc(async {
    /// let mut set: JoinSet<u32> = (1..=3).map(|n| async move { n }).collect();
    /// let mut sum = 0;
    /// while let Some(n) = set.join_next().await {
    ///     sum += n.unwrap();
    /// }
    /// assert_eq!(sum, 6);
    /// # });
    /// ```
    pub async fn join_next(&mut self) -> Option<Result<T, JoinError>> {
        poll_fn(|cx| self.poll_join_next(cx)).await
    }

    /// As [`join_next`](JoinSet::join_next), with the number of the task.
    ///
    /// # Errors
    /// [`JoinError`] if it panicked or was aborted; it knows its task.
    ///
    /// # Cancel
    /// Dropping it loses nothing.
    ///
    /// ```
    /// # use windlass_executor::JoinSet;
    /// # windlass_executor::doc(async {
    /// let mut set = JoinSet::new();
    /// let spawned = set.spawn(async { "done" });
    /// let (id, output) = set.join_next_with_id().await.unwrap().unwrap();
    /// assert_eq!((id, output), (spawned.id(), "done"));
    /// # });
    /// ```
    pub async fn join_next_with_id(&mut self) -> Option<Result<(TaskId, T), JoinError>> {
        let (_, id, outcome) = poll_fn(|cx| self.members.poll_next(cx)).await?;
        Some(outcome.map(|output| (id, output)))
    }

    /// Takes out a task that has ended already, if there is one.
    ///
    /// # Errors
    /// [`JoinError`] if it panicked or was aborted.
    ///
    /// ```
    /// # use windlass_executor::{JoinSet, yield_now};
    /// # windlass_executor::doc(async {
    /// let mut set = JoinSet::new();
    /// set.spawn(async { 42 });
    /// assert!(set.try_join_next().is_none()); // it has not run
    /// yield_now().await;
    /// assert_eq!(set.try_join_next().unwrap().unwrap(), 42);
    /// # });
    /// ```
    pub fn try_join_next(&mut self) -> Option<Result<T, JoinError>> {
        self.members.take_finished().map(|(_, _, outcome)| outcome)
    }

    /// What [`join_next`](JoinSet::join_next) polls.
    ///
    /// # Errors
    /// [`JoinError`] if the task panicked or was aborted.
    ///
    /// ```
    /// # use windlass_executor::JoinSet;
    /// # windlass_executor::doc(async {
    /// let mut set = JoinSet::new();
    /// set.spawn(async { 42 });
    /// let next = std::future::poll_fn(|cx| set.poll_join_next(cx)).await;
    /// assert_eq!(next.unwrap().unwrap(), 42);
    /// # });
    /// ```
    #[inline]
    pub fn poll_join_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<T, JoinError>>> {
        self.members.poll_next(cx).map(|next| next.map(|(_, _, outcome)| outcome))
    }

    /// Waits for all tasks; the outputs come in the order in which they end.
    ///
    /// # Panics
    /// Goes on with the first panic of a task, and says so if one was aborted. What is left is aborted.
    ///
    /// # Cancel
    /// Dropping it aborts what is left.
    ///
    /// ```
    /// # use windlass_executor::JoinSet;
    /// # windlass_executor::doc(async {
    /// let set: JoinSet<u32> = (1..=3).map(|n| async move { n }).collect();
    /// assert_eq!(set.join_all().await, [1, 2, 3]);
    /// # });
    /// ```
    pub async fn join_all(mut self) -> Vec<T> {
        let mut outputs = Vec::with_capacity(self.len());
        while let Some(outcome) = self.join_next().await {
            match outcome.map_err(JoinError::try_into_panic) {
                Ok(output) => outputs.push(output),
                Err(Ok(panic)) => std::panic::resume_unwind(panic),
                Err(Err(cancelled)) => panic!("join_all: {cancelled}"),
            }
        }
        outputs
    }

    /// Aborts all tasks now. They stay in the set, which yields a [cancelled](JoinError::is_cancelled) error for each.
    ///
    /// ```
    /// # use windlass_executor::JoinSet;
    /// # windlass_executor::doc(async {
    /// let mut set = JoinSet::new();
    /// set.spawn(std::future::pending::<()>());
    /// set.abort_all();
    /// assert!(set.join_next().await.unwrap().unwrap_err().is_cancelled());
    /// # });
    /// ```
    pub fn abort_all(&mut self) {
        for (_, task) in &self.members.handles {
            task.abort();
        }
    }

    /// Asks all tasks to stop, as [`JoinHandle::cancel`]. They stay in the set until they have ended.
    ///
    /// ```
    /// # use windlass_executor::{JoinSet, cancel::catch, yield_now};
    /// # windlass_executor::doc(async {
    /// let mut set = JoinSet::new();
    /// set.spawn(async { catch(std::future::pending::<()>()).await.is_err() });
    /// yield_now().await;
    /// set.cancel_all();
    /// assert!(set.join_next().await.unwrap().unwrap()); // it caught that
    /// # });
    /// ```
    pub fn cancel_all(&mut self) {
        self.members.cancel_all();
    }

    /// Asks all tasks to stop, waits until they have, and drops what they left. A panic among them is reported like
    /// one that nobody awaits.
    ///
    /// # Cancel
    /// The tasks have been asked; dropping it stops waiting for them. Called again it asks again.
    ///
    /// ```
    /// # use windlass_executor::{JoinSet, cancel::catch, yield_now};
    /// # windlass_executor::doc(async {
    /// let mut set = JoinSet::new();
    /// set.spawn(async {
    ///     let _cancelled = catch(std::future::pending::<()>()).await;
    ///     yield_now().await; // says good-bye
    /// });
    /// yield_now().await;
    /// set.shutdown().await;
    /// assert!(set.is_empty());
    /// # });
    /// ```
    pub async fn shutdown(&mut self) {
        self.cancel_all();
        self.members.ended().await;
    }

    /// Takes all tasks out of the set; they run on, and nobody awaits them.
    ///
    /// ```
    /// # use windlass_executor::{JoinSet, all_tasks};
    /// # windlass_executor::doc(async {
    /// let mut set = JoinSet::new();
    /// set.spawn(std::future::pending::<()>());
    /// set.detach_all();
    /// assert_eq!((set.len(), all_tasks().len()), (0, 2));
    /// # });
    /// ```
    pub fn detach_all(&mut self) {
        self.members = Members::default(); // their notes go to the old list
    }
}

impl<T: 'static> Drop for JoinSet<T> {
    fn drop(&mut self) {
        self.abort_all();
    }
}

impl<T: 'static> Default for JoinSet<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: 'static, F: Future<Output = T> + 'static> FromIterator<F> for JoinSet<T> {
    /// Spawns each future.
    #[track_caller]
    fn from_iter<I: IntoIterator<Item = F>>(futures: I) -> Self {
        let mut set = JoinSet::new();
        for future in futures {
            set.spawn(future);
        }
        set
    }
}

impl<T: 'static> fmt::Debug for JoinSet<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinSet").field("len", &self.len()).finish_non_exhaustive()
    }
}

/// Slot, number and outcome of a task that has ended.
pub(crate) type Ended<T> = (usize, TaskId, Result<T, JoinError>);

/// Tasks in slots, and which of them have ended. What becomes of them when this is dropped, its owner says.
pub(crate) struct Members<T: 'static> {
    pub(crate) handles: Slab<JoinHandle<T>>,
    finished: Rc<Finished>,
    /// No member has a lower slot.
    lowest: usize,
}

impl<T: 'static> Default for Members<T> {
    fn default() -> Self {
        Members { handles: Slab::new(), finished: Rc::default(), lowest: 0 }
    }
}

impl<T: 'static> Members<T> {
    #[inline]
    #[track_caller]
    pub(crate) fn spawn<F: Future<Output = T> + 'static>(
        &mut self,
        future: F,
        name: Option<Box<str>>,
        at: &'static Location<'static>,
    ) -> &JoinHandle<T> {
        let slot = self.handles.vacant_key();
        let note = Note { finished: self.finished.clone(), slot };
        let handle = spawn_at(Noted { future, note }, name, at);
        self.handles.insert(handle);
        self.lowest = self.lowest.min(slot);
        &self.handles[slot]
    }

    /// The number of the watcher; none if the task has ended.
    pub(crate) fn insert(&mut self, task: JoinHandle<T>) -> Option<u64> {
        let slot = self.handles.vacant_key();
        let watcher = join::watch(task.task(), Watcher::List(self.finished.clone(), slot)).ok();
        if watcher.is_none() {
            self.finished.push(slot);
        }
        self.handles.insert(task);
        self.lowest = self.lowest.min(slot);
        watcher
    }

    /// A task that has ended, if there is one.
    #[inline]
    pub(crate) fn take_finished(&mut self) -> Option<Ended<T>> {
        let slot = self.finished.slots.borrow_mut().pop_front()?;
        let Some(outcome) = self.handles[slot].take() else {
            // Its note is gone, and its end is still under way.
            self.finished.slots.borrow_mut().push_front(slot);
            return None;
        };
        Some((slot, self.handles.remove(slot).id(), outcome))
    }

    /// Each end takes a unit of the budget: who drains a large set gives way to others meanwhile.
    #[inline]
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Ended<T>>> {
        let any = !self.finished.slots.borrow().is_empty();
        if any && !budget::take() {
            return budget::used_up(cx);
        }
        if let Some(next) = self.take_finished() {
            return Poll::Ready(Some(next));
        }
        if self.handles.is_empty() {
            return Poll::Ready(None);
        }
        self.finished.listen(cx);
        let next = self.take_finished(); // foreign code ran: a waker was cloned
        if next.is_some() {
            return Poll::Ready(next);
        }
        self.note();
        let ending = self.finished.slots.borrow().front().copied();
        if let Some(slot) = ending {
            let polled = Pin::new(&mut self.handles[slot]).poll(cx);
            assert!(polled.is_pending(), "it has not ended yet, and nothing can end it but its own end");
        }
        Poll::Pending
    }

    /// Says for whom it waits: of those that are left, one. None of them has ended.
    fn note(&mut self) {
        while !self.handles.contains(self.lowest) {
            self.lowest += 1; // a set that waits is not empty
        }
        waits::note(WaitReason::Join { task: self.handles[self.lowest].id() });
    }

    pub(crate) fn cancel_all(&self) {
        for (_, task) in &self.handles {
            task.cancel();
        }
    }

    /// Waits until all have ended, and lets go of what they left: a panic is reported.
    pub(crate) async fn ended(&mut self) {
        poll_fn(|cx| {
            loop {
                let slot = self.finished.slots.borrow_mut().pop_front();
                match slot {
                    Some(slot) => drop(self.handles.remove(slot)),
                    None if self.handles.is_empty() => return Poll::Ready(()),
                    None => {
                        self.finished.listen(cx);
                        if self.finished.slots.borrow().is_empty() {
                            break;
                        }
                    }
                }
            }
            self.note();
            Poll::Pending
        })
        .await;
    }
}

/// Tasks that were spawned elsewhere, in slots by their order. Dropped, it forgets them, and they go on.
pub(crate) struct Watched<T: 'static> {
    members: Members<T>,
    /// By slot.
    watchers: Vec<Option<u64>>,
}

impl<T: 'static> Watched<T> {
    pub(crate) fn new(tasks: impl IntoIterator<Item = JoinHandle<T>>) -> Self {
        let mut members = Members::default();
        let watchers = tasks.into_iter().map(|task| members.insert(task)).collect();
        Watched { members, watchers }
    }

    /// Gives back those that were not taken out, in their order; nothing of them was touched.
    pub(crate) fn release(mut self) -> Vec<JoinHandle<T>> {
        self.unwatch();
        std::mem::take(&mut self.members.handles).into_iter().map(|(_, task)| task).collect()
    }

    /// A task may live long, and be waited for again and again.
    fn unwatch(&self) {
        for (slot, task) in &self.members.handles {
            if let Some(number) = self.watchers[slot] {
                join::unwatch(task.task(), number);
            }
        }
    }
}

impl<T: 'static> Deref for Watched<T> {
    type Target = Members<T>;

    fn deref(&self) -> &Members<T> {
        &self.members
    }
}

impl<T: 'static> DerefMut for Watched<T> {
    fn deref_mut(&mut self) -> &mut Members<T> {
        &mut self.members
    }
}

impl<T: 'static> Drop for Watched<T> {
    fn drop(&mut self) {
        self.unwatch();
    }
}

/// The slots of tasks that have ended, and who waits for one.
#[derive(Default)]
pub(crate) struct Finished {
    slots: RefCell<VecDeque<usize>>,
    waiter: Cell<Option<Waker>>,
}

impl Finished {
    #[inline]
    pub(crate) fn push(&self, slot: usize) {
        self.slots.borrow_mut().push_back(slot);
        if let Some(waiting) = self.waiter.take() {
            waiting.wake();
        }
    }

    /// Leaves the waker for the next end.
    #[inline]
    fn listen(&self, cx: &mut Context<'_>) {
        let waiting = self.waiter.take().filter(|waiting| waiting.will_wake(cx.waker()));
        let waiting = waiting.unwrap_or_else(|| cx.waker().clone());
        drop(self.waiter.replace(Some(waiting)));
    }
}

pin_project! {
    /// A member's future, and the note that its end drops.
    struct Noted<F> {
        #[pin]
        future: F, // goes before its note
        note: Note,
    }
}

impl<F: Future> Future for Noted<F> {
    type Output = F::Output;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        self.project().future.poll(cx)
    }
}

struct Note {
    finished: Rc<Finished>,
    slot: usize,
}

impl Drop for Note {
    #[inline]
    fn drop(&mut self) {
        self.finished.push(self.slot);
    }
}
