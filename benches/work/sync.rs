//! What it costs tasks of one thread to coordinate.
//!
//! Each primitive twice: when nobody has to wait, which is what most calls find, and when somebody does, which is one task's
//! turn for each operation, and so holds what `turns` and `channel` measure, too.
//!
//! ```text
//!      free:     A: acquire, drop, acquire, drop ...                           one task, never pending
//!      tasks:    A holds, B waits ──► A drops, and asks again ──► B holds, A waits ──► ...
//! ```
//!
//! Two tasks that hand a lock to and fro need one that goes to who waits. Where who has just dropped it may take it again at
//! once (smol's), nobody would be handed anything; such a side has no figure there.
//!
//! At the end what many tasks are joined with: a set that yields them as they end.
//!
//! Next: `echo`.

use std::future::{Future, poll_fn};
use std::hint::black_box;
use std::ops::DerefMut;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use super::RUNS;
use super::channel::Slot;
use super::meter::{Cost, Meter};
use super::turns::yield_once;
use crate::runtimes::sync::{Channels, JoinSets, Library, LocalSync, Mutexes, Notifies, Oneshots, Semaphores};
use crate::runtimes::{LocalRuntime, Runtime, Side, Smol, Windlass};

/// One of the workloads.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Exchange {
    Semaphore,
    SemaphoreTasks,
    SemaphoreCancelled,
    Mutex,
    MutexTasks,
    Bounded,
    BoundedWaits,
    Unbounded,
    UnboundedWaits,
    Oneshot,
    OneshotWaits,
    Notify,
    NotifyTasks,
    NotifyAll,
    JoinSet,
}

impl Exchange {
    /// The sides whose library has what it takes.
    pub(crate) const fn sides(self) -> &'static [Side] {
        match self {
            Exchange::Notify | Exchange::NotifyTasks | Exchange::NotifyAll => &[Side::Windlass, Side::LocalRuntime],
            Exchange::MutexTasks | Exchange::JoinSet => &[Side::Windlass, Side::LocalRuntime],
            Exchange::Mutex => &[Side::Windlass, Side::LocalRuntime, Side::Smol],
            Exchange::SemaphoreTasks => &[Side::Windlass, Side::LocalRuntime, Side::LocalSync],
            _ => &[Side::Windlass, Side::LocalRuntime, Side::Smol, Side::LocalSync],
        }
    }

    /// What `times` operations cost one of its [`sides`](Exchange::sides).
    pub(crate) fn run(self, side: Side, times: u64) -> Cost {
        macro_rules! on {
            ($work:ident, $($side:ident),+) => {
                match side {
                    $(Side::$side => $work::<$side>(times),)+
                    other => unreachable!("{self:?} has no side {}", other.name()),
                }
            };
        }
        match self {
            Exchange::Semaphore => on!(semaphore, Windlass, LocalRuntime, Smol, LocalSync),
            Exchange::SemaphoreTasks => on!(semaphore_tasks, Windlass, LocalRuntime, LocalSync),
            Exchange::SemaphoreCancelled => on!(semaphore_cancelled, Windlass, LocalRuntime, Smol, LocalSync),
            Exchange::Mutex => on!(mutex, Windlass, LocalRuntime, Smol),
            Exchange::MutexTasks => on!(mutex_tasks, Windlass, LocalRuntime),
            Exchange::Bounded => on!(bounded, Windlass, LocalRuntime, Smol, LocalSync),
            Exchange::BoundedWaits => on!(bounded_waits, Windlass, LocalRuntime, Smol, LocalSync),
            Exchange::Unbounded => on!(unbounded, Windlass, LocalRuntime, Smol, LocalSync),
            Exchange::UnboundedWaits => on!(unbounded_waits, Windlass, LocalRuntime, Smol, LocalSync),
            Exchange::Oneshot => on!(oneshot, Windlass, LocalRuntime, Smol, LocalSync),
            Exchange::OneshotWaits => on!(oneshot_waits, Windlass, LocalRuntime, Smol, LocalSync),
            Exchange::Notify => on!(notify, Windlass, LocalRuntime),
            Exchange::NotifyTasks => on!(notify_tasks, Windlass, LocalRuntime),
            Exchange::NotifyAll => on!(notify_all, Windlass, LocalRuntime),
            Exchange::JoinSet => on!(join_set, Windlass, LocalRuntime),
        }
    }
}

/// Measures `work(times)` as a task, after a short run of it.
fn as_task<L: Library, F: Future<Output = ()> + 'static>(times: u64, work: impl Fn(L::On, u64) -> F) -> Cost {
    L::On::run(|runtime| async move {
        runtime.spawn(work(runtime.clone(), 1_000)).await.expect(RUNS);
        let meter = Meter::start();
        runtime.spawn(work(runtime.clone(), times)).await.expect(RUNS);
        meter.stop()
    })
}

/// Acquires the only permit and gives it back.
fn semaphore<L: Semaphores>(times: u64) -> Cost {
    as_task::<L, _>(times, |_, times| async move {
        let semaphore = L::semaphore(1);
        for _ in 0..times {
            drop(black_box(L::acquire(black_box(&semaphore)).await));
        }
    })
}

/// Two tasks acquire the only permit, `times` in all; each time, the other holds it.
fn semaphore_tasks<L: Semaphores>(times: u64) -> Cost {
    as_task::<L, _>(times, |runtime, times| async move {
        let semaphore = Rc::new(L::semaphore(1));
        let held = L::acquire(&semaphore).await;
        let tasks = [(); 2].map(|()| {
            let semaphore = semaphore.clone();
            runtime.spawn(async move {
                for _ in 0..times / 2 {
                    drop(black_box(L::acquire(&semaphore).await));
                }
            })
        });
        yield_once().await; // both are in line
        drop(held);
        for task in tasks {
            task.await.expect(RUNS);
        }
    })
}

/// Asks for a permit that another has, waits, and gives up: what a time-out does.
fn semaphore_cancelled<L: Semaphores>(times: u64) -> Cost {
    as_task::<L, _>(times, |_, times| async move {
        let semaphore = L::semaphore(1);
        let _held = L::acquire(&semaphore).await;
        for _ in 0..times {
            let waits = poll_fn(|cx| Poll::Ready(pin!(L::acquire(black_box(&semaphore))).poll(cx).is_pending()));
            assert!(waits.await, "there is one permit");
        }
    })
}

/// Locks, changes the value, unlocks.
fn mutex<L: Mutexes>(times: u64) -> Cost {
    as_task::<L, _>(times, |_, times| async move {
        let mutex = L::mutex(0);
        for _ in 0..times {
            *L::lock(black_box(&mutex)).await.deref_mut() += 1;
        }
        assert_eq!(*L::lock(&mutex).await, times, "every lock was held");
    })
}

/// Two tasks lock, `times` in all; each time, the other holds it.
fn mutex_tasks<L: Mutexes>(times: u64) -> Cost {
    as_task::<L, _>(times, |runtime, times| async move {
        let mutex = Rc::new(L::mutex(0));
        let held = L::lock(&mutex).await;
        let tasks = [(); 2].map(|()| {
            let mutex = mutex.clone();
            runtime.spawn(async move {
                for _ in 0..times / 2 {
                    *L::lock(&mutex).await.deref_mut() += 1;
                }
            })
        });
        yield_once().await; // both are in line
        drop(held);
        for task in tasks {
            task.await.expect(RUNS);
        }
        assert_eq!(*L::lock(&mutex).await, times / 2 * 2, "every lock was held");
    })
}

/// Sends a value into a channel that has room, and receives it.
fn bounded<L: Channels>(times: u64) -> Cost {
    as_task::<L, _>(times, |_, times| async move {
        let (sender, mut receiver) = L::bounded(64);
        for number in 0..times {
            L::send(&sender, number).await.expect(OPEN);
            assert_eq!(L::receive(&mut receiver).await, Some(number));
        }
    })
}

/// Sends values into a channel with room for one: the sender waits for the receiver, and the receiver for the sender.
fn bounded_waits<L: Channels>(times: u64) -> Cost {
    as_task::<L, _>(times, |runtime, times| async move {
        let (sender, mut receiver) = L::bounded(1);
        let sends = runtime.spawn(async move {
            for number in 0..times {
                L::send(&sender, number).await.expect(OPEN);
            }
        });
        let mut received = 0;
        while let Some(number) = L::receive(&mut receiver).await {
            assert_eq!(number, received);
            received += 1;
        }
        sends.await.expect(RUNS);
        assert_eq!(received, times, "no value was lost");
    })
}

/// Sends a value into a channel without a bound, and receives it.
fn unbounded<L: Channels>(times: u64) -> Cost {
    as_task::<L, _>(times, |_, times| async move {
        let (sender, mut receiver) = L::unbounded();
        for number in 0..times {
            L::send_now(&sender, number).expect(OPEN);
            assert_eq!(L::receive_unbounded(&mut receiver).await, Some(number));
        }
    })
}

/// Two tasks pass a value to and fro through two channels, `times` in all: each waits before every value.
fn unbounded_waits<L: Channels>(times: u64) -> Cost {
    as_task::<L, _>(times, |runtime, times| async move {
        let (there, mut from_here) = L::unbounded();
        let (back, mut from_there) = L::unbounded();
        let echoes = runtime.spawn(async move {
            while let Some(number) = L::receive_unbounded(&mut from_here).await {
                L::send_now(&back, number).expect(OPEN);
            }
        });
        for number in 0..times / 2 {
            L::send_now(&there, number).expect(OPEN);
            assert_eq!(L::receive_unbounded(&mut from_there).await, Some(number));
        }
        drop(there);
        echoes.await.expect(RUNS);
    })
}

/// Makes a oneshot channel, sends, and receives.
fn oneshot<L: Oneshots>(times: u64) -> Cost {
    as_task::<L, _>(times, |_, times| async move {
        for number in 0..times {
            let (sender, receiver) = L::oneshot();
            L::answer(sender, black_box(number));
            assert_eq!(L::hear(receiver).await.expect(OPEN), number);
        }
    })
}

/// Asks another task through a oneshot channel, and waits for the answer.
fn oneshot_waits<L: Oneshots>(times: u64) -> Cost {
    as_task::<L, _>(times, |runtime, times| async move {
        let asked = Rc::new(Slot::default());
        let questions = asked.clone();
        let answers = runtime.spawn(async move {
            for number in 0..times {
                L::answer(questions.take().await, number);
            }
        });
        for number in 0..times {
            let (sender, receiver) = L::oneshot();
            asked.put(sender);
            assert_eq!(L::hear(receiver).await.expect(OPEN), number);
        }
        answers.await.expect(RUNS);
    })
}

/// Tells nobody, which is stored, and is told.
fn notify<L: Notifies>(times: u64) -> Cost {
    as_task::<L, _>(times, |_, times| async move {
        let notify = L::notify();
        for _ in 0..times {
            L::tell(black_box(&notify));
            L::told(black_box(&notify)).await;
        }
    })
}

/// Two tasks tell each other in turn, `times` in all, and wait each time.
fn notify_tasks<L: Notifies>(times: u64) -> Cost {
    as_task::<L, _>(times, |runtime, times| async move {
        let (there, back) = (Rc::new(L::notify()), Rc::new(L::notify()));
        let (hears, tells) = (there.clone(), back.clone());
        let echoes = runtime.spawn(async move {
            for _ in 0..times / 2 {
                L::told(&hears).await;
                L::tell(&tells);
            }
        });
        for _ in 0..times / 2 {
            L::tell(&there);
            L::told(&back).await;
        }
        echoes.await.expect(RUNS);
    })
}

/// Tells 10 tasks at once, which then wait again; `times` in all.
fn notify_all<L: Notifies>(times: u64) -> Cost {
    const TASKS: u64 = 10;
    as_task::<L, _>(times, |runtime, times| async move {
        let notify = Rc::new(L::notify());
        let tasks = [(); TASKS as usize].map(|()| {
            let notify = notify.clone();
            runtime.spawn(async move {
                for _ in 0..times / TASKS {
                    L::told(&notify).await;
                }
            })
        });
        for _ in 0..times / TASKS {
            yield_once().await; // all of them wait
            L::tell_all(&notify);
        }
        for task in tasks {
            task.await.expect(RUNS);
        }
    })
}

/// Tasks in a set.
const TOGETHER: u64 = 100;

/// Spawns tasks into a set, and joins each as it ends; `times` in all.
fn join_set<L: JoinSets>(times: u64) -> Cost {
    as_task::<L, _>(times, |_, times| async move {
        let mut left = times;
        while left > 0 {
            let tasks = left.min(TOGETHER);
            let (mut set, mut sum) = (L::set(), 0);
            for number in 0..tasks {
                L::spawn(&mut set, async move { black_box(number) });
            }
            while let Some(number) = L::join_next(&mut set).await {
                sum += number.expect(RUNS);
            }
            assert_eq!(sum, tasks * (tasks - 1) / 2, "every task ran once and gave its own answer");
            left -= tasks;
        }
    })
}

const OPEN: &str = "both ends live until the last value has been received";
