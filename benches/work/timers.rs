//! What waiting costs, and how exact it is.
//!
//! Four questions: many short sleeps at once, a million spread over two seconds, a time-out that is set and then not needed
//! (nearly all of them), and one sleep alone in an idle loop: how late does it wake?
//!
//! ```text
//!      asked for        ├──────────────────────┤
//!      woken                                       │       late = woken - asked; below zero it fired early: a bug
//! ```
//!
//! The kernel itself is late, so the last question is also put to a bare mio loop. mio hands `epoll_wait` whole milliseconds,
//! rounded up; with exact deadlines it polls again with what is left if it was woken before.
//!
//! Next: `memory`.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use mio::{Events, Poll};

use super::RUNS;
use super::Random;
use super::meter::{Cost, Meter};
use super::turns::yield_once;
use crate::runtimes::Runtime;

/// Tasks that sleep at once in [`sleep_batches`].
pub(crate) const SLEEPERS: u64 = 10_000;

/// Spawns [`SLEEPERS`] tasks of `sleep(1 ms)` and joins them, `rounds` times.
pub(crate) fn sleep_batches<R: Runtime>(rounds: u64) -> Cost {
    R::run(|runtime| async move {
        sleep_batch(&runtime).await;
        let meter = Meter::start();
        for _ in 0..rounds {
            sleep_batch(&runtime).await;
        }
        meter.stop()
    })
}

async fn sleep_batch<R: Runtime>(runtime: &R) {
    let spawn = |_| {
        runtime.spawn(async {
            R::sleep(Duration::from_millis(1)).await;
        })
    };
    let handles: Vec<_> = (0..SLEEPERS).map(spawn).collect();
    for handle in handles {
        handle.await.expect(RUNS);
    }
}

/// How late each of many sleeps was, in microseconds, sorted; and how many were early.
pub(crate) struct Lateness {
    pub(crate) late_us: Vec<f64>,
    pub(crate) early: u64,
}

impl Lateness {
    fn with_capacity(sleeps: u64) -> Lateness {
        Lateness { late_us: Vec::with_capacity(sleeps as usize), early: 0 }
    }

    fn add(&mut self, asked: Duration, slept: Duration) {
        match slept.checked_sub(asked) {
            Some(late) => self.late_us.push(late.as_nanos() as f64 / 1e3),
            None => self.early += 1,
        }
    }

    fn sorted(mut self) -> Lateness {
        self.late_us.sort_by(f64::total_cmp);
        self
    }

    pub(crate) fn mean(&self) -> f64 {
        self.late_us.iter().sum::<f64>() / self.late_us.len().max(1) as f64
    }

    /// The lateness that `share` of the sleeps stayed below.
    pub(crate) fn quantile(&self, share: f64) -> f64 {
        super::quantile(&self.late_us, share)
    }
}

/// `sleeps` tasks, each with one sleep of a random length below two seconds.
pub(crate) fn over_two_seconds<R: Runtime>(sleeps: u64) -> (Cost, Lateness) {
    let lateness = Rc::new(RefCell::new(Lateness::with_capacity(sleeps)));
    let seen = lateness.clone();
    let cost = R::run(|runtime| async move {
        let mut random = Random::new();
        let mut handles = Vec::with_capacity(sleeps as usize);
        let meter = Meter::start();
        for _ in 0..sleeps {
            let asked = Duration::from_micros(random.below(2_000_000));
            let seen = seen.clone();
            handles.push(runtime.spawn(async move {
                let start = Instant::now();
                R::sleep(asked).await;
                seen.borrow_mut().add(asked, start.elapsed());
            }));
        }
        for handle in handles {
            handle.await.expect(RUNS);
        }
        meter.stop()
    });
    (cost, lateness.take().sorted())
}

impl Default for Lateness {
    fn default() -> Lateness {
        Lateness::with_capacity(0)
    }
}

/// Sets a time-out of 30 s around a yield and drops it, `times` times, while `pending` other tasks sleep for hours.
///
/// The yield is there because a future that is ready at once never sets the timer at all.
pub(crate) fn timeouts<R: Runtime>(pending: u64, times: u64) -> Cost {
    R::run(|runtime| async move {
        let mut random = Random::new();
        for _ in 0..pending {
            let hours = Duration::from_millis(3_600_000 + random.below(3_600_000));
            drop(runtime.spawn(async move {
                R::sleep(hours).await;
            }));
        }
        set_and_cancel(&runtime, 1_000).await;
        let meter = Meter::start();
        set_and_cancel(&runtime, times).await;
        meter.stop()
    })
}

async fn set_and_cancel<R: Runtime>(runtime: &R, times: u64) {
    let task = runtime.spawn(async move {
        for _ in 0..times {
            let done = R::timeout(Duration::from_secs(30), yield_once()).await;
            assert!(done.is_ok(), "thirty seconds do not pass within a yield");
        }
    });
    task.await.expect(RUNS);
}

/// One task sleeps `sleeps` times for 1 to 3 ms, to the microsecond, in a loop that has nothing else to do.
pub(crate) fn idle<R: Runtime>(sleeps: u64) -> (Cost, Lateness) {
    R::run(|runtime| async move {
        let task = runtime.spawn(async move {
            let mut lateness = Lateness::with_capacity(sleeps);
            let mut random = Random::new();
            let meter = Meter::start();
            for _ in 0..sleeps {
                let asked = phase(&mut random);
                let start = Instant::now();
                R::sleep(asked).await;
                lateness.add(asked, start.elapsed());
            }
            (meter.stop(), lateness.sorted())
        });
        task.await.expect(RUNS)
    })
}

/// The same sleeps in a bare mio loop.
pub(crate) fn idle_bare(sleeps: u64) -> (Cost, Lateness) {
    let mut poll = Poll::new().expect("the kernel grants an epoll");
    let mut events = Events::with_capacity(16);
    let mut lateness = Lateness::with_capacity(sleeps);
    let mut random = Random::new();
    let meter = Meter::start();
    for _ in 0..sleeps {
        let asked = phase(&mut random);
        let start = Instant::now();
        loop {
            let slept = start.elapsed();
            let Some(left) = asked.checked_sub(slept).filter(|left| !left.is_zero()) else {
                lateness.add(asked, slept);
                break;
            };
            poll.poll(&mut events, Some(left)).expect("nothing interrupts the wait");
        }
    }
    (meter.stop(), lateness.sorted())
}

fn phase(random: &mut Random) -> Duration {
    Duration::from_micros(1_000 + random.below(2_000))
}
