//! Calls that block, off the loop.
//! Some things only come as calls that block: `getaddrinfo` first of all. They run on a few threads of the process,
//! started when first needed, named, and never joined: a call that hangs does not keep the process from ending.
//!
//! ```text
//!   the loop                         windlass-blocking-N, four of them at most
//!   spawn_blocking(f) ──► jobs ─────► f() ──► result ──► wake the task, tell its loop
//! ```
//!
//! Next: `inbox`, by which the answer comes back.

use std::any::Any;
use std::collections::VecDeque;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

use crate::cell::with_current;
use crate::inbox::{self, Inbox, Message};
use crate::join::{JoinError, quietly};
use crate::task::TaskId;
use crate::waits::{self, WaitReason};

/// Threads at most. What runs here waits more than it computes, look-ups of names first of all: a few threads are
/// enough, and one that hangs leaves the others.
const THREADS_MAX: usize = 4;
/// How long an idle thread waits before it ends: tokio's figure.
const KEEP: Duration = Duration::from_secs(10);

type Job = Box<dyn FnOnce() + Send>;

struct Pool {
    jobs: VecDeque<Job>,
    threads: usize,
    idle: usize,
    started: usize,
}

static POOL: Mutex<Pool> = Mutex::new(Pool { jobs: VecDeque::new(), threads: 0, idle: 0, started: 0 });
static READY: Condvar = Condvar::new();

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Foreign calls run outside the locks, so poison would mean nothing.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs `f` on the blocking pool and yields what it returns.
///
/// # Errors
/// [`JoinError`] if `f` panicked, or if no thread could be started to run it.
///
/// # Cancel
/// Dropping the future gives up the call if it has not begun. One that has begun runs to its end, and its result is
/// dropped on its thread.
///
/// # Panics
/// Outside a running loop. The future panics when polled again after it yielded.
///
/// ```
/// # use windlass_executor::windlass;
/// # windlass_executor::doc(async {
/// let sum = windlass::task::spawn_blocking(|| (1..=10).sum::<u32>()).await.unwrap();
/// assert_eq!(sum, 55);
/// # });
/// ```
#[track_caller]
pub fn spawn_blocking<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> Blocking<T> {
    let inbox = with_current(|core| core.map(|core| core.blocking_began()));
    let inbox = inbox.expect("spawn_blocking called outside a running loop");
    let call = Arc::new(Mutex::new(Call { given_up: false, taken: false, result: None, waker: None }));
    let promise = Promise { call: call.clone(), inbox };
    submit(Box::new(move || {
        if !lock(&promise.call).given_up {
            promise.keep(catch_unwind(AssertUnwindSafe(f)));
        }
    }));
    Blocking { call }
}

/// What a job owes to its future and to its loop, whatever becomes of it.
struct Promise<T> {
    call: Arc<Mutex<Call<T>>>,
    inbox: inbox::Arc<Inbox>,
}

impl<T> Promise<T> {
    fn keep(&self, result: thread::Result<T>) {
        let mut call = lock(&self.call);
        if call.given_up {
            drop(call);
            return drop(result);
        }
        call.result = Some(result);
        let waker = call.waker.take();
        drop(call);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl<T> Drop for Promise<T> {
    fn drop(&mut self) {
        let broken = {
            let call = lock(&self.call);
            call.result.is_none() && !call.given_up && !call.taken
        };
        if broken {
            self.keep(Err(Box::new("no thread could be started")));
        }
        // A loop that is gone has stopped counting.
        let _ = self.inbox.push(Message::BlockingEnded);
    }
}

struct Call<T> {
    given_up: bool,
    taken: bool,
    result: Option<thread::Result<T>>,
    waker: Option<Waker>,
}

/// The future of [`spawn_blocking`].
///
/// ```
/// # use windlass_executor::windlass;
/// # windlass_executor::doc(async {
/// let call = windlass::task::spawn_blocking(|| assert!(1 > 2, "out of paper"));
/// let error = call.await.unwrap_err();
/// assert!(error.to_string().ends_with("panicked: out of paper"));
/// # });
/// ```
#[must_use = "dropping it gives up the call"]
pub struct Blocking<T> {
    call: Arc<Mutex<Call<T>>>,
}

impl<T> Future for Blocking<T> {
    type Output = Result<T, JoinError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let waker = cx.waker().clone();
        let mut call = lock(&self.call);
        assert!(!call.taken, "a blocking call yields its result once");
        if let Some(result) = call.result.take() {
            call.taken = true;
            drop(call);
            return Poll::Ready(result.map_err(blocking_panicked));
        }
        let before = call.waker.replace(waker);
        drop(call);
        drop(before); // foreign, so not under the lock
        waits::note(WaitReason::Blocking);
        Poll::Pending
    }
}

fn blocking_panicked(panic: Box<dyn Any + Send>) -> JoinError {
    JoinError::panicked(TaskId(0), "blocking call".into(), panic)
}

impl<T> Drop for Blocking<T> {
    fn drop(&mut self) {
        let mut call = lock(&self.call);
        call.given_up = true;
        let left = (call.result.take(), call.waker.take());
        drop(call);
        drop(left);
    }
}

impl<T> fmt::Debug for Blocking<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Blocking").finish_non_exhaustive()
    }
}

/// How the blocking pool stands, which all loops of the process share: what a loop's gauges have as `blocking`.
///
/// ```
/// # use windlass_executor::windlass;
/// # windlass_executor::doc(async {
/// windlass::task::spawn_blocking(|| {}).await.unwrap();
/// # let pool = windlass_executor::blocking_pool();
/// assert!((1..=4).contains(&pool.threads) && pool.idle <= pool.threads);
/// # });
/// ```
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct BlockingPool {
    /// Its threads: four at most.
    pub threads: usize,
    /// How many of them have nothing to do.
    pub idle: usize,
    /// Calls that wait for a thread.
    pub queued: usize,
}

/// How the blocking pool stands.
///
/// ```
/// println!("{:?}", windlass_executor::blocking_pool());
/// ```
pub fn blocking_pool() -> BlockingPool {
    let pool = lock(&POOL);
    BlockingPool { threads: pool.threads, idle: pool.idle, queued: pool.jobs.len() }
}

fn submit(job: Job) {
    let mut pool = lock(&POOL);
    pool.jobs.push_back(job);
    if pool.idle >= pool.jobs.len() || pool.threads == THREADS_MAX {
        READY.notify_one();
        return;
    }
    pool.started += 1;
    let name = format!("windlass-blocking-{}", pool.started);
    if thread::Builder::new().name(name).spawn(work).is_ok() {
        pool.threads += 1;
    } else if pool.threads == 0 {
        // Nobody will come for it: the job is dropped, and its future learns of it.
        let job = pool.jobs.pop_back();
        drop(pool);
        drop(job);
    }
}

fn work() {
    let mut pool = lock(&POOL);
    loop {
        if let Some(job) = pool.jobs.pop_front() {
            drop(pool);
            quietly(job); // what it drops may panic: the call, if it was given up, or its result
            pool = lock(&POOL);
            continue;
        }
        pool.idle += 1;
        let (woken, timeout) = READY.wait_timeout(pool, KEEP).unwrap_or_else(PoisonError::into_inner);
        pool = woken;
        pool.idle -= 1;
        if timeout.timed_out() && pool.jobs.is_empty() {
            pool.threads -= 1;
            return;
        }
    }
}
