//! All of them, in their order.
//! Three pages are fetched by three tasks, and what follows needs all three: in the order in which they were asked for,
//! whatever the order in which they come. And if one fails there may be nothing to wait for any more.
//!
//! ```text
//!                           ┌─ slot 0 ─ Ok("b")           gather      Ok(["b", "a", "c"])
//!   [ task, task, task ] ──►├─ slot 1 ─ Ok("a")  ──►      try_gather  the same, where the outputs are `Result`s
//!                           └─ slot 2 ─ Ok("c")           gather_all  [Ok("b"), Ok("a"), Ok("c")], whatever they are
//!
//!   one fails ──────────► gather ends with that at once; the others go on
//!   asked to stop ──────► so are all; when the last has ended the request goes on outwards
//!   dropped ────────────► all are aborted
//! ```
//!
//! These are the rules of Python's `asyncio.gather`, but for two things: what is asked to stop is waited for, failure or
//! no failure; and it takes tasks, not futures: `spawn` makes one of the other, and `join` waits for futures as they are.
//! Not here: tasks in the order of their ends (`wait`); tasks of which one failure ends all (`task_group`).   Next: `wait`.

use std::convert::Infallible;
use std::future::poll_fn;

use super::set::Watched;
use crate::cancel::{self, Cancelled, catch};
use crate::join::{JoinError, JoinHandle};

/// Waits for all `tasks` and yields their outputs in the order of `tasks`. Of none it yields nothing, at once.
///
/// It has their handles, so that their outputs are its own. Tasks that return a `Result` are for [`try_gather`]; tasks of
/// different types, up to eight, for [`try_join`](crate::try_join()).
///
/// # Errors
/// [`JoinError`] of the first task that panicked or was cancelled, as soon as it has. The others go on, and nobody awaits
/// them: their outputs are dropped, their panics reported. Who needs them has [`gather_all`] or [`wait`](crate::wait()).
///
/// # Cancel
/// If the task around it is cancelled, all that are left are, for the same reason, and waited for; then the cancellation
/// goes on outwards, and beats whatever they gave. Dropping the future, as a time-out that drops does, aborts all that are
/// left.
///
/// ```
/// # use windlass_executor::{gather, spawn, yield_now};
/// # windlass_executor::doc(async {
/// let slow = spawn(async { yield_now().await; "slow" });
/// let quick = spawn(async { "quick" });
/// assert_eq!(gather([slow, quick]).await.unwrap(), ["slow", "quick"]);
/// # });
/// ```
pub fn gather<T: 'static>(
    tasks: impl IntoIterator<Item = JoinHandle<T>>,
) -> impl Future<Output = Result<Vec<T>, JoinError>> {
    gathered(Children::new(tasks), |outcome| outcome)
}

/// As [`gather`], of tasks that return a `Result`: an `Err` ends it as a panic does. It yields what the handle of one such
/// task would.
///
/// # Errors
/// [`JoinError`] if the first to fail panicked or was cancelled; inside, the first `Err`. The others go on.
///
/// # Cancel
/// As [`gather`].
///
/// ```
/// # use windlass_executor::{spawn, try_gather};
/// # windlass_executor::doc(async {
/// let parse = |text: &'static str| spawn(async move { text.parse::<u32>() });
/// assert_eq!(try_gather(["6", "7"].map(parse)).await.unwrap(), Ok(vec![6, 7]));
/// let failed = try_gather(["6", "up"].map(parse)).await.unwrap();
/// assert_eq!(failed.unwrap_err().to_string(), "invalid digit found in string");
/// # });
/// ```
pub fn try_gather<T: 'static, E: 'static>(
    tasks: impl IntoIterator<Item = JoinHandle<Result<T, E>>>,
) -> impl Future<Output = Result<Result<Vec<T>, E>, JoinError>> {
    let all = gathered(Children::new(tasks), |outcome| match outcome {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(Ok(error)),
        Err(error) => Err(Err(error)),
    });
    async {
        match all.await {
            Ok(values) => Ok(Ok(values)),
            Err(Ok(error)) => Ok(Err(error)),
            Err(Err(error)) => Err(error),
        }
    }
}

/// As [`gather`], of whatever becomes of the tasks: each outcome stands in its task's place, and none ends the others'
/// wait. Python's `gather(…, return_exceptions=True)`.
///
/// # Cancel
/// As [`gather`].
///
/// ```
/// # use windlass_executor::{gather_all, spawn};
/// # windlass_executor::doc(async {
/// let tasks = [4_u32, 0].map(|n| spawn(async move { 12 / n }));
/// let outcomes = gather_all(tasks).await;
/// assert_eq!(outcomes[0].as_ref().unwrap(), &3);
/// assert!(outcomes[1].as_ref().unwrap_err().is_panic());
/// # });
/// ```
pub fn gather_all<T: 'static>(
    tasks: impl IntoIterator<Item = JoinHandle<T>>,
) -> impl Future<Output = Vec<Result<T, JoinError>>> {
    let all = gathered(Children::new(tasks), Ok::<_, Infallible>);
    async {
        let Ok(outcomes) = all.await;
        outcomes
    }
}

/// Takes the children before its first poll, so that they end with it also if that never comes.
async fn gathered<T, V, E>(
    mut children: Children<T>,
    value: impl Fn(Result<T, JoinError>) -> Result<V, E>,
) -> Result<Vec<V>, E> {
    let all = async {
        let tasks = &mut children.0;
        let mut values: Vec<Option<V>> = tasks.handles.iter().map(|_| None).collect();
        while let Some((slot, _, outcome)) = poll_fn(|cx| tasks.poll_next(cx)).await {
            values[slot] = Some(value(outcome)?);
        }
        Ok(values.into_iter().map(|value| value.expect("each slot has ended")).collect())
    };
    match catch(all).await {
        Ok(outcome) => {
            children.detach();
            outcome
        }
        Err(cancelled) => match children.stop(cancelled).await.propagate().await {},
    }
}

/// Tasks that are somebody's to end: dropped, it aborts those that are left.
struct Children<T: 'static>(Watched<T>);

impl<T: 'static> Children<T> {
    fn new(tasks: impl IntoIterator<Item = JoinHandle<T>>) -> Self {
        Children(Watched::new(tasks))
    }

    fn detach(&mut self) {
        self.0 = Watched::new([]);
    }

    /// Asks all to stop, and waits until they have. Each further request is passed to them, too. The one from furthest out
    /// is what goes on.
    async fn stop(&mut self, mut asked: Cancelled) -> Cancelled {
        loop {
            for (_, task) in &self.0.handles {
                let _ended = match asked.reason() {
                    Some(reason) => task.cancel_because(reason),
                    None => task.cancel(),
                };
            }
            match catch(self.0.ended()).await {
                Ok(()) => return asked,
                Err(again) => asked = cancel::wider(asked, again),
            }
        }
    }
}

impl<T: 'static> Drop for Children<T> {
    fn drop(&mut self) {
        for (_, task) in &self.0.handles {
            task.abort();
        }
    }
}
