//! Ending in good order.
//! A service has tasks without an end: they accept, they work off a queue, they write. When it is told to stop each should
//! finish what it holds, within a time that somebody else has set; and what did not manage should be named.
//!
//! ```text
//!   spawn("worker 1", …) ──► registry ◄── leaves it when it ends, in whatever way
//!   shutdown(grace) ──► all are asked, in order ──► all gone?     ──► report
//!                                             └──► grace is over ──► the rest is dropped and named in the report
//! ```
//!
//! Not here: the end of a whole program, which needs no registry (`run`).   Next: `cancel` in the executor.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use windlass_executor::sync::Event;
use windlass_executor::{Builder, JoinHandle, TaskId};
use windlass_reactor::time::timeout;

/// Tasks that are to end together. Clones are the same registry.
///
/// ```
/// # windlass::Loop::builder().paused_clock().build().unwrap().block_on(async {
/// use std::time::Duration;
/// use windlass::{cancel::catch, shutdown::GracefulShutdown, time::sleep};
///
/// let service = GracefulShutdown::new();
/// for number in 1..=3 {
///     service.spawn(format!("worker {number}"), async move {
///         let _asked = catch(std::future::pending::<()>()).await;
///         sleep(Duration::from_millis(100)).await;
///         println!("worker {number} has cleaned up");
///     });
/// }
/// windlass::task::yield_now().await;
/// let report = service.shutdown(Duration::from_secs(5)).await;
/// assert_eq!((report.ended, report.stragglers.len()), (3, 0));
/// # });
/// ```
#[derive(Clone, Default)]
pub struct GracefulShutdown {
    registry: Rc<Registry>,
}

#[derive(Default)]
struct Registry {
    tasks: RefCell<BTreeMap<TaskId, JoinHandle<()>>>,
    closed: Cell<bool>,
    /// Set when the last one has gone.
    empty: Event,
}

/// What a [shutdown](GracefulShutdown::shutdown) came to.
///
/// ```
/// # windlass::Loop::builder().paused_clock().build().unwrap().block_on(async {
/// let service = windlass::shutdown::GracefulShutdown::new();
/// let report = service.shutdown(std::time::Duration::from_secs(5)).await;
/// assert_eq!(report.to_string(), "0 tasks ended");
/// # });
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Report {
    /// How many tasks ended in time.
    pub ended: usize,
    /// The names of those that did not and were dropped, in the order in which they were spawned.
    pub stragglers: Vec<String>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} ended", self.ended, if self.ended == 1 { "task" } else { "tasks" })?;
        if self.stragglers.is_empty() {
            return Ok(());
        }
        write!(f, "; dropped: {}", self.stragglers.join(", "))
    }
}

impl GracefulShutdown {
    /// A registry without tasks.
    ///
    /// ```
    /// assert!(windlass::shutdown::GracefulShutdown::new().is_empty());
    /// ```
    pub fn new() -> Self {
        Self::default()
    }

    /// Spawns a task that a shutdown will end. It leaves the registry when it ends; a panic is reported as one that nobody
    /// awaits. None if the shutdown has begun: then the future is dropped.
    ///
    /// # Panics
    /// Outside a running loop.
    ///
    /// ```
    /// # windlass::Loop::new().unwrap().block_on(async {
    /// let service = windlass::shutdown::GracefulShutdown::new();
    /// assert!(service.spawn("quick", async {}).is_some());
    /// windlass::task::yield_now().await;
    /// assert!(service.is_empty()); // it has gone by itself
    /// # });
    /// ```
    #[track_caller]
    pub fn spawn<F>(&self, name: impl Into<Box<str>>, future: F) -> Option<TaskId>
    where
        F: Future<Output = ()> + 'static,
    {
        if self.registry.closed.get() {
            return None;
        }
        let entry = Rc::new(Leaves { registry: self.registry.clone(), id: Cell::new(None) });
        let guard = entry.clone();
        let task = Builder::new().name(name).spawn(async move {
            let _guard = guard;
            future.await;
        });
        let id = task.id();
        entry.id.set(Some(id));
        if !task.is_finished() {
            self.registry.empty.clear();
            self.registry.tasks.borrow_mut().insert(id, task);
        }
        Some(id)
    }

    /// How many tasks have not ended.
    ///
    /// ```
    /// # windlass::Loop::new().unwrap().block_on(async {
    /// let service = windlass::shutdown::GracefulShutdown::new();
    /// service.spawn("for ever", std::future::pending());
    /// assert_eq!(service.len(), 1);
    /// # });
    /// ```
    pub fn len(&self) -> usize {
        self.registry.tasks.borrow().len()
    }

    /// True if every task has ended.
    ///
    /// ```
    /// assert!(windlass::shutdown::GracefulShutdown::new().is_empty());
    /// ```
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Asks all tasks to stop, in the order in which they were spawned, waits at most `grace` until they have cleaned up, and
    /// drops the rest. From now on nothing can be spawned here. Not for one of these tasks, which would ask itself.
    ///
    /// # Cancel
    /// Dropping it leaves the tasks asked, and cleaning up; another call waits for them, and asks them again.
    ///
    /// ```
    /// # windlass::Loop::builder().paused_clock().build().unwrap().block_on(async {
    /// use std::{future::pending, time::Duration};
    /// use windlass::{cancel::catch, shutdown::GracefulShutdown};
    /// let service = GracefulShutdown::new();
    /// service.spawn("stubborn", async {
    ///     let _asked = catch(pending::<()>()).await;
    ///     pending::<()>().await;
    /// });
    /// windlass::task::yield_now().await;
    /// let report = service.shutdown(Duration::from_secs(5)).await;
    /// assert_eq!(report.to_string(), "0 tasks ended; dropped: stubborn");
    /// # });
    /// ```
    pub async fn shutdown(&self, grace: Duration) -> Report {
        self.registry.closed.set(true);
        let registered = self.ids();
        for id in &registered {
            self.with_task(*id, |task| task.cancel_because("shutdown"));
        }
        if !self.is_empty() {
            let _in_time = timeout(grace, self.registry.empty.wait()).await;
        }
        let stragglers: Vec<String> = self.ids().into_iter().filter_map(|id| self.drop_task(id)).collect();
        Report { ended: registered.len() - stragglers.len(), stragglers }
    }

    /// Waits for `SIGINT` (Ctrl-C) or `SIGTERM`, from the first poll on, and then does a
    /// [`shutdown`](GracefulShutdown::shutdown). A second signal does what it does where nobody listens: it ends the process.
    /// With the feature `signal`.
    ///
    /// A [`run`](crate::run) and `#[windlass::main]` cancel main at Ctrl-C, too. Main is dropped then, this with it, and no
    /// report is made; and at the end of the run the tasks are asked a second time, in the midst of their clean-up. Where
    /// main waits for this, say [`leave_ctrl_c`](crate::Runner::leave_ctrl_c), as in the example.
    ///
    /// # Errors
    /// If there are no descriptors left for the listeners.
    ///
    /// # Cancel
    /// As with `shutdown`; before that, dropping it gives the signals back what they did.
    ///
    /// ```no_run
    /// use windlass::{Runner, shutdown::GracefulShutdown};
    ///
    /// let report = Runner::new().leave_ctrl_c().run(async {
    ///     let service = GracefulShutdown::new();
    ///     service.spawn("server", std::future::pending());
    ///     service.shutdown_on_signal(std::time::Duration::from_secs(5)).await
    /// })??;
    /// println!("{report}");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[cfg(feature = "signal")]
    pub async fn shutdown_on_signal(&self, grace: Duration) -> std::io::Result<Report> {
        use std::task::Poll;
        use windlass_net::signal::{Kind, signal};

        let mut listeners = [signal(Kind::INTERRUPT)?, signal(Kind::TERMINATE)?];
        let heard = std::future::poll_fn(|cx| {
            let mut polled = listeners.iter_mut().map(|listener| listener.poll_recv(cx));
            polled.find(Poll::is_ready).unwrap_or(Poll::Pending)
        });
        heard.await?;
        drop(listeners);
        Ok(self.shutdown(grace).await)
    }

    fn ids(&self) -> Vec<TaskId> {
        self.registry.tasks.borrow().keys().copied().collect()
    }

    /// Calls `f` with the handle of a task, if it is still registered, with nothing borrowed: destructors may run.
    fn with_task<R>(&self, id: TaskId, f: impl FnOnce(&JoinHandle<()>) -> R) -> Option<R> {
        let task = self.registry.tasks.borrow_mut().remove(&id)?;
        let result = f(&task);
        if !task.is_finished() {
            self.registry.tasks.borrow_mut().insert(id, task);
        }
        Some(result)
    }

    /// Its name comes out.
    fn drop_task(&self, id: TaskId) -> Option<String> {
        self.with_task(id, |task| {
            let name = task.name();
            task.abort();
            name
        })
    }
}

impl fmt::Debug for GracefulShutdown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GracefulShutdown").field("tasks", &self.ids()).finish_non_exhaustive()
    }
}

/// What a task holds: when it goes, the task has left.
struct Leaves {
    registry: Rc<Registry>,
    id: Cell<Option<TaskId>>,
}

impl Drop for Leaves {
    fn drop(&mut self) {
        let task = self.id.get().and_then(|id| self.registry.tasks.borrow_mut().remove(&id));
        drop(task); // with nothing borrowed (I3)
        if self.registry.tasks.borrow().is_empty() {
            self.registry.empty.set();
        }
    }
}
