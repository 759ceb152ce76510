//! Some of them, as they end.
//! Tasks run, and somebody would like to hear of the first that is done, or of each, and not decide yet what becomes of
//! the rest. So nothing here ends a task: whoever stops waiting has the others back, as they were.
//!
//! ```text
//!   as_completed   [ a, b, c ] ──► next: b ──► next: c ──► rest: [ a ]
//!
//!   wait           [ a, b, c ] ──► FirstCompleted   when b ends               done: b      pending: a, c
//!                              ──► FirstException   when c panics or fails    done: b, c   pending: a
//!                              ──► AllCompleted                               done: b, c, a
//!                              ──► until(sleep)     whichever comes first
//! ```
//!
//! The rules are those of Python's functions of these names. A task is watched, as it would be by any number of others,
//! until it is yielded or let go of.
//! Not here: sets to which tasks are added while others end (`set`).   Next: `branches`.

use std::fmt;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use super::set::Watched;
use crate::join::{JoinError, JoinHandle};
use crate::task::TaskId;

/// The outcomes of `tasks` in the order in which they end.
///
/// ```
/// # use windlass_executor::{as_completed, spawn, yield_now};
/// # windlass_executor::doc(async {
/// let slow = spawn(async { yield_now().await; "slow" });
/// let quick = spawn(async { "quick" });
/// let mut ended = as_completed([slow, quick]);
/// assert_eq!(ended.next().await.unwrap().unwrap(), "quick");
/// assert_eq!(ended.next().await.unwrap().unwrap(), "slow");
/// assert!(ended.next().await.is_none());
/// # });
/// ```
pub fn as_completed<T: 'static>(tasks: impl IntoIterator<Item = JoinHandle<T>>) -> AsCompleted<T> {
    AsCompleted { tasks: Watched::new(tasks) }
}

/// What [`as_completed`] gives: one outcome for each task.
///
/// **Memory.** The tasks are all there from the start, each with a place in this list and an entry for who watches it,
/// which takes several times what a small task itself does. What a task leaves stays in its cell until it is yielded, so
/// that whoever is slower than the tasks finds all outputs in memory at once. For a hundred thousand, spawn into a
/// [`JoinSet`](crate::JoinSet) as its members end: what it adds to a task is a number and a pointer.
///
/// # Cancel
/// Dropping it detaches what it did not yield: the tasks go on, what they give is dropped, a panic is reported.
/// [`rest`](AsCompleted::rest) keeps them.
///
/// ```
/// # use windlass_executor::{AsCompleted, as_completed, spawn};
/// # windlass_executor::doc(async {
/// let mut squares: AsCompleted<u32> = as_completed((1..=3).map(|n| spawn(async move { n * n })));
/// let mut sum = 0;
/// while let Some(square) = squares.next().await {
///     sum += square.unwrap();
/// }
/// assert_eq!(sum, 14);
/// # });
/// ```
#[must_use = "it says nothing unless it is asked"]
pub struct AsCompleted<T: 'static> {
    tasks: Watched<T>,
}

impl<T: 'static> AsCompleted<T> {
    /// Waits for the next task to end; none when all have been yielded. A time-out for all of them together is one deadline
    /// around each of these.
    ///
    /// # Errors
    /// [`JoinError`] if the task panicked or was cancelled.
    ///
    /// # Cancel
    /// Dropping it loses nothing: what was not returned comes next time.
    ///
    /// ```
    /// # use windlass_executor::{as_completed, spawn};
    /// # windlass_executor::doc(async {
    /// let mut ended = as_completed([spawn(async { 42 })]);
    /// assert_eq!(ended.next().await.unwrap().unwrap(), 42);
    /// # });
    /// ```
    pub async fn next(&mut self) -> Option<Result<T, JoinError>> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    /// As [`next`](AsCompleted::next), with the number of the task.
    ///
    /// # Errors
    /// [`JoinError`] if the task panicked or was cancelled; it knows its task.
    ///
    /// # Cancel
    /// Dropping it loses nothing.
    ///
    /// ```
    /// # use windlass_executor::{as_completed, spawn};
    /// # windlass_executor::doc(async {
    /// let task = spawn(async { 42 });
    /// let id = task.id();
    /// assert_eq!(as_completed([task]).next_with_id().await.unwrap().unwrap(), (id, 42));
    /// # });
    /// ```
    pub async fn next_with_id(&mut self) -> Option<Result<(TaskId, T), JoinError>> {
        let (_, id, outcome) = poll_fn(|cx| self.tasks.poll_next(cx)).await?;
        Some(outcome.map(|output| (id, output)))
    }

    /// What [`next`](AsCompleted::next) polls.
    ///
    /// # Errors
    /// [`JoinError`] if the task panicked or was cancelled.
    ///
    /// ```
    /// # use windlass_executor::{as_completed, spawn};
    /// # windlass_executor::doc(async {
    /// let mut ended = as_completed([spawn(async { 42 })]);
    /// let next = std::future::poll_fn(|cx| ended.poll_next(cx)).await;
    /// assert_eq!(next.unwrap().unwrap(), 42);
    /// # });
    /// ```
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<T, JoinError>>> {
        self.tasks.poll_next(cx).map(|next| next.map(|(_, _, outcome)| outcome))
    }

    /// How many were not yielded yet.
    ///
    /// ```
    /// # use windlass_executor::{as_completed, spawn};
    /// # windlass_executor::doc(async {
    /// assert_eq!(as_completed([spawn(async {})]).len(), 1);
    /// # });
    /// ```
    pub fn len(&self) -> usize {
        self.tasks.handles.len()
    }

    /// True if all were yielded.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// assert!(windlass::task::as_completed::<()>([]).is_empty());
    /// ```
    pub fn is_empty(&self) -> bool {
        self.tasks.handles.is_empty()
    }

    /// The handles of the tasks that were not yielded, in the order in which they were given.
    ///
    /// ```
    /// # use windlass_executor::{as_completed, spawn, yield_now};
    /// # windlass_executor::doc(async {
    /// let slow = spawn(async { yield_now().await; "slow" });
    /// let quick = spawn(async { "quick" });
    /// let mut ended = as_completed([slow, quick]);
    /// assert_eq!(ended.next().await.unwrap().unwrap(), "quick");
    /// for task in ended.rest() {
    ///     assert_eq!(task.await.unwrap(), "slow");
    /// }
    /// # });
    /// ```
    #[must_use = "what is not kept is detached"]
    pub fn rest(self) -> Vec<JoinHandle<T>> {
        self.tasks.release()
    }
}

impl<T: 'static> fmt::Debug for AsCompleted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsCompleted").field("len", &self.len()).finish_non_exhaustive()
    }
}

/// Waits until so many of `tasks` have ended as `when` says, and gives back both those that have and those that have not.
/// With no tasks at all there is nothing to wait for.
///
/// ```
/// # use windlass_executor::{When, spawn, wait, yield_now};
/// # windlass_executor::doc(async {
/// let slow = spawn(async { yield_now().await; "slow" });
/// let quick = spawn(async { "quick" });
/// let (quick, waited) = (quick.id(), wait([slow, quick], When::FirstCompleted).await);
/// let (id, output) = &waited.done[0];
/// assert_eq!((*id, *output.as_ref().unwrap()), (quick, "quick"));
/// for task in waited.pending {
///     assert_eq!(task.await.unwrap(), "slow");
/// }
/// # });
/// ```
pub fn wait<T: 'static>(tasks: impl IntoIterator<Item = JoinHandle<T>>, when: When<T>) -> Wait<T> {
    Wait { tasks: Watched::new(tasks), when, done: Vec::new() }
}

/// What [`wait`] waits for.
///
/// ```
/// # use windlass_executor::{When, spawn, wait};
/// # windlass_executor::doc(async {
/// let tasks = ["6", "up", "7"].map(|text| spawn(async move { text.parse::<u32>() }));
/// let waited = wait(tasks, When::FirstException(Result::is_err)).await;
/// assert!(waited.done.iter().any(|(_, outcome)| matches!(outcome, Ok(Err(_)))));
/// # });
/// ```
pub enum When<T> {
    /// The first task to end, in whatever way.
    FirstCompleted,
    /// The first task to panic, or whose output this function calls a failure: [`Result::is_err`], or for tasks that cannot
    /// fail `|_| false`. That a task was cancelled is no failure. If none fails, all.
    FirstException(fn(&T) -> bool),
    /// All tasks.
    AllCompleted,
}

impl<T> Clone for When<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for When<T> {}

impl<T> fmt::Debug for When<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            When::FirstCompleted => "FirstCompleted",
            When::FirstException(_) => "FirstException",
            When::AllCompleted => "AllCompleted",
        })
    }
}

/// The future of [`wait`].
///
/// # Cancel
/// No task is ever ended by it. Dropped, it detaches them: they go on, what they give is dropped, a panic is reported.
/// Dropping a future that awaits a `&mut Wait` loses nothing: await it again, or [`stop`](Wait::stop) it.
///
/// ```
/// # use windlass_executor::{Wait, When, spawn, wait};
/// # windlass_executor::doc(async {
/// let waiting: Wait<u32> = wait([spawn(async { 42 })], When::AllCompleted);
/// assert_eq!(waiting.await.done.len(), 1);
/// # });
/// ```
#[must_use = "futures do nothing unless awaited"]
pub struct Wait<T: 'static> {
    tasks: Watched<T>,
    when: When<T>,
    done: Vec<(TaskId, Result<T, JoinError>)>,
}

impl<T: 'static> Wait<T> {
    /// Waits until `end` is ready at the latest: with `sleep(…)` it is a time-out, and no error. What has ended when `end`
    /// is ready counts as done.
    ///
    /// # Cancel
    /// As [`Wait`].
    ///
    /// ```
    /// # use windlass_executor::{When, spawn, wait, yield_now};
    /// # windlass_executor::doc(async {
    /// let tasks = [spawn(async {}), spawn(std::future::pending())];
    /// let waited = wait(tasks, When::AllCompleted).until(async {
    ///     yield_now().await; // a sleep, in a loop that has a clock
    /// });
    /// let waited = waited.await;
    /// assert_eq!((waited.done.len(), waited.pending.len()), (1, 1));
    /// # });
    /// ```
    pub async fn until(mut self, end: impl Future) -> Waited<T> {
        let mut end = pin!(end);
        let waited = poll_fn(|cx| match Pin::new(&mut self).poll(cx) {
            Poll::Ready(waited) => Poll::Ready(Some(waited)),
            Poll::Pending => end.as_mut().poll(cx).map(|_| None),
        });
        let waited = waited.await;
        waited.unwrap_or_else(|| self.stop())
    }

    /// Ends the wait now, with what has ended so far. After it has yielded, with nothing.
    ///
    /// ```
    /// # use windlass_executor::{When, cancel::catch, spawn, wait, yield_now};
    /// # windlass_executor::doc(async {
    /// let task = spawn(async {
    ///     let mut waiting = wait([spawn(std::future::pending::<()>())], When::AllCompleted);
    ///     let _asked = catch(&mut waiting).await.unwrap_err();
    ///     waiting.stop().pending.len() // it was not cancelled with this task
    /// });
    /// yield_now().await;
    /// task.cancel();
    /// assert_eq!(task.await.unwrap(), 1);
    /// # });
    /// ```
    pub fn stop(mut self) -> Waited<T> {
        while let Some((_, id, outcome)) = self.tasks.take_finished() {
            self.done.push((id, outcome));
        }
        Waited { done: self.done, pending: self.tasks.release() }
    }

    /// Whether the last end is what was waited for.
    fn is_enough(&self) -> bool {
        match (self.when, self.done.last()) {
            (When::FirstCompleted, last) => last.is_some(),
            (When::FirstException(is_failure), Some((_, Ok(output)))) => is_failure(output),
            (When::FirstException(_), Some((_, Err(error)))) => error.is_panic(),
            (When::FirstException(_), None) | (When::AllCompleted, _) => false,
        }
    }
}

impl<T: 'static> Future for Wait<T> {
    type Output = Waited<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Waited<T>> {
        while let Some((_, id, outcome)) = ready!(self.tasks.poll_next(cx)) {
            self.done.push((id, outcome)); // first: what the caller's function makes of it may be a panic
            if self.is_enough() {
                break;
            }
        }
        let here = std::mem::replace(&mut *self, wait([], When::AllCompleted));
        Poll::Ready(here.stop())
    }
}

/// What it has of the tasks lies behind pointers.
impl<T: 'static> Unpin for Wait<T> {}

impl<T: 'static> fmt::Debug for Wait<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (done, pending) = (self.done.len(), self.tasks.handles.len());
        f.debug_struct("Wait").field("done", &done).field("pending", &pending).finish_non_exhaustive()
    }
}

/// What [`wait`] found.
///
/// ```
/// # use windlass_executor::{Waited, When, wait};
/// # windlass_executor::doc(async {
/// let waited: Waited<u32> = wait([], When::FirstCompleted).await;
/// assert!(waited.done.is_empty() && waited.pending.is_empty());
/// # });
/// ```
#[derive(Debug)]
#[must_use = "the outputs are in it, and the handles of the tasks that go on"]
pub struct Waited<T: 'static> {
    /// What the tasks that have ended gave, in the order of their ends.
    pub done: Vec<(TaskId, Result<T, JoinError>)>,
    /// Those that have not ended, in the order in which they were given.
    pub pending: Vec<JoinHandle<T>>,
}
