//! What it costs another thread to wake a task.
//!
//! A task counts how often it has been asked for and answers; a thread on the other core asks, wakes and waits for the answer.
//! All of it goes through `std::task::Waker`, so that it is the runtime's waker that is measured and no channel.
//!
//! ```text
//!      thread (core 1):   asked += 1 ─► waker.wake_by_ref() ─► spin until answered == asked ─► gap
//!      task (core 0):                          poll: answered = asked
//! ```
//!
//! With ten yielding tasks the loop is awake all the time, and the question is what the caller pays for one `wake()`. With a
//! gap after each answer the loop is parked, and the question is how long until the poll. A wake that is never answered is lost,
//! and lost for good: nothing else would wake that task.
//!
//! Next: `harness`, which runs all this.

use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use super::RUNS;
use super::Random;
use super::cores::{Core, pin};
use super::turns::yield_once;
use crate::runtimes::Runtime;

/// A wake that has no answer for so long is lost. Far above any scheduling delay.
const LOST_AFTER: Duration = Duration::from_secs(5);

/// The two counters, and the waker between them. All counters only grow.
struct Doorbell {
    start: Instant,
    asked: AtomicU64,
    asked_at_ns: AtomicU64,
    answered: AtomicU64,
    latency_ns: AtomicU64,
    done: AtomicBool,
    waker: Mutex<Option<Waker>>,
}

impl Doorbell {
    fn new() -> Arc<Doorbell> {
        Arc::new(Doorbell {
            start: Instant::now(),
            asked: AtomicU64::new(0),
            asked_at_ns: AtomicU64::new(0),
            answered: AtomicU64::new(0),
            latency_ns: AtomicU64::new(0),
            done: AtomicBool::new(false),
            waker: Mutex::new(None),
        })
    }

    fn now_ns(&self) -> u64 {
        self.start.elapsed().as_nanos() as u64
    }

    /// The task's side.
    async fn answer(&self) {
        poll_fn(|context| {
            let asked = self.asked.load(Ordering::Acquire);
            if asked != self.answered.load(Ordering::Relaxed) {
                let latency = self.now_ns().saturating_sub(self.asked_at_ns.load(Ordering::Relaxed));
                self.latency_ns.store(latency, Ordering::Relaxed);
                self.answered.store(asked, Ordering::Release);
            }
            if self.done.load(Ordering::Acquire) {
                return Poll::Ready(());
            }
            let mut waker = self.waker.lock().unwrap_or_else(PoisonError::into_inner);
            if waker.is_none() {
                *waker = Some(context.waker().clone());
            }
            Poll::Pending
        })
        .await;
    }

    /// The thread's side: the waker, once the task has been polled.
    fn wait_for_waker(&self) -> Waker {
        loop {
            let waker = self.waker.lock().unwrap_or_else(PoisonError::into_inner).clone();
            match waker {
                Some(waker) => return waker,
                None => thread::yield_now(),
            }
        }
    }

    /// The thread's side: rings once; what the call to `wake_by_ref` took, as this thread saw it.
    fn ring(&self, waker: &Waker) -> Duration {
        self.asked_at_ns.store(self.now_ns(), Ordering::Relaxed);
        self.asked.fetch_add(1, Ordering::Release);
        let before = Instant::now();
        waker.wake_by_ref();
        before.elapsed()
    }

    /// The thread's side: whether the last ring was answered in time.
    fn is_answered(&self, waiting: Waiting) -> bool {
        let asked = self.asked.load(Ordering::Relaxed);
        let since = Instant::now();
        let mut spins = 0u32;
        while self.answered.load(Ordering::Acquire) != asked {
            match waiting {
                Waiting::Spin => std::hint::spin_loop(),
                Waiting::Yield => thread::yield_now(),
            }
            spins = spins.wrapping_add(1);
            if spins.is_multiple_of(1_024) && since.elapsed() > LOST_AFTER {
                return false;
            }
        }
        true
    }

    fn finish(&self, waker: &Waker) {
        self.done.store(true, Ordering::Release);
        waker.wake_by_ref();
    }
}

/// How a thread waits for its answer: spinning where it has the core to itself, yielding where it shares it.
#[derive(Clone, Copy)]
enum Waiting {
    Spin,
    Yield,
}

/// What a waking thread saw, sorted, in nanoseconds.
#[derive(Default)]
pub(crate) struct Wakes {
    /// What each call took.
    pub(crate) call_ns: Vec<f64>,
    /// From just before each call until the task was polled.
    pub(crate) latency_ns: Vec<f64>,
    /// Calls that no poll followed.
    pub(crate) lost: u64,
}

impl Wakes {
    /// What all the calls took.
    pub(crate) fn calls(&self) -> Duration {
        Duration::from_nanos(self.call_ns.iter().sum::<f64>() as u64)
    }
}

/// Wakes a loop that ten yielding tasks keep awake.
pub(crate) fn awake<R: Runtime>(wakes: u64) -> Wakes {
    from_one_thread::<R>(wakes, Duration::ZERO, 10)
}

/// Wakes a loop that has been left alone for 20 µs and is parked.
pub(crate) fn parked<R: Runtime>(wakes: u64) -> Wakes {
    from_one_thread::<R>(wakes, Duration::from_micros(20), 0)
}

fn from_one_thread<R: Runtime>(wakes: u64, gap: Duration, yielding: u64) -> Wakes {
    let bell = Doorbell::new();
    let ringer = {
        let bell = bell.clone();
        thread::spawn(move || {
            pin(Core::Other);
            let waker = bell.wait_for_waker();
            let mut seen = Wakes::default();
            for _ in 0..wakes {
                spin_for(gap);
                let call = bell.ring(&waker);
                if !bell.is_answered(Waiting::Spin) {
                    seen.lost += 1;
                    continue;
                }
                seen.call_ns.push(call.as_nanos() as f64);
                seen.latency_ns.push(bell.latency_ns.load(Ordering::Relaxed) as f64);
            }
            bell.finish(&waker);
            seen
        })
    };
    R::run(|runtime| async move {
        for _ in 0..yielding {
            let bell = bell.clone();
            drop(runtime.spawn(async move {
                while !bell.done.load(Ordering::Relaxed) {
                    yield_once().await;
                }
            }));
        }
        runtime.spawn(async move { bell.answer().await }).await.expect(RUNS);
    });
    let mut seen = ringer.join().expect("the waking thread does not panic");
    seen.call_ns.sort_by(f64::total_cmp);
    seen.latency_ns.sort_by(f64::total_cmp);
    seen
}

/// Three threads wake three tasks, `wakes` times in all, with random gaps on both sides of parking: how many are lost.
pub(crate) fn lost<R: Runtime>(wakes: u64) -> u64 {
    const THREADS: u64 = 3;
    let bells: Vec<_> = (0..THREADS).map(|_| Doorbell::new()).collect();
    let ring = |bell: Arc<Doorbell>| {
        thread::spawn(move || {
            pin(Core::Other);
            let waker = bell.wait_for_waker();
            let mut random = Random::new();
            let mut lost = 0;
            for _ in 0..wakes / THREADS {
                spin_for(Duration::from_micros(random.below(20)));
                bell.ring(&waker);
                lost += u64::from(!bell.is_answered(Waiting::Yield));
            }
            bell.finish(&waker);
            lost
        })
    };
    let ringers: Vec<_> = bells.iter().cloned().map(ring).collect();
    R::run(|runtime| async move {
        let spawn = |bell: Arc<Doorbell>| runtime.spawn(async move { bell.answer().await });
        let handles: Vec<_> = bells.into_iter().map(spawn).collect();
        for handle in handles {
            handle.await.expect(RUNS);
        }
    });
    ringers.into_iter().map(|ringer| ringer.join().expect("the waking thread does not panic")).sum()
}

fn spin_for(gap: Duration) {
    let since = Instant::now();
    while since.elapsed() < gap {
        std::hint::spin_loop();
    }
}
