//! Per-operation costs, by criterion: one group for each row, every runtime beside the others.
//!
//! ```text
//!      cargo bench --bench ops                     all rows
//!      cargo bench --bench ops -- ring             one of them
//!      cargo bench -- --quick                      the short form of both targets
//! ```
//!
//! Criterion iterates, warms up and finds outliers; the workloads are the same functions that `sides` runs in child
//! processes. One iteration is one operation, except in the groups that say otherwise: there the throughput line counts
//! operations.
//!
//! Not here: memory, CPU, system calls, other processes (`sides`).   Next: `runtimes`.

#[allow(dead_code, reason = "the bare loop is for `sides`")]
mod runtimes;
#[allow(dead_code, reason = "so are two processes and single runs")]
mod work;

use std::net::SocketAddr;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput};

use crate::runtimes::{Side, with_runtime};
use crate::work::cores::{self, Core};
use crate::work::echo::{Buffer, Thought};
use crate::work::sync::Exchange;
use crate::work::wakes::Wakes;
use crate::work::{channel, echo, spawn, timers, turns, wakes};

fn main() {
    cores::pin(Core::First);
    let mut criterion = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .configure_from_args();
    rows(&mut criterion);
    criterion.final_summary();
}

fn rows(criterion: &mut Criterion) {
    row(
        criterion,
        "spawn_join, batch of 1,000",
        spawn::BATCH,
        |side, batches| with_runtime!(side, R => spawn::in_batches::<R>(batches).wall),
    );
    row(criterion, "yield, 1 task", 1, |side, turns| with_runtime!(side, R => turns::yields::<R>(1, turns).wall));
    row(
        criterion,
        "yield, 1,000 tasks, a turn of each",
        1_000,
        |side, rounds| with_runtime!(side, R => turns::yields::<R>(1_000, rounds).wall),
    );
    row(
        criterion,
        "ping_pong, there and back",
        2,
        |side, pairs| with_runtime!(side, R => channel::ping_pong::<R>(2 * pairs).wall),
    );
    row(criterion, "ring of 1,000, a lap", 1_000, |side, laps| with_runtime!(side, R => channel::ring::<R>(laps).wall));
    row(
        criterion,
        "timeout(30 s), set and cancelled",
        1,
        |side, times| with_runtime!(side, R => timers::timeouts::<R>(0, times).wall),
    );
    row(
        criterion,
        "timeout(30 s), 100,000 timers pending",
        1,
        |side, times| with_runtime!(side, R => timers::timeouts::<R>(100_000, times).wall),
    );
    row(
        criterion,
        "sleep(1 ms), batch of 10,000",
        timers::SLEEPERS,
        |side, rounds| with_runtime!(side, R => timers::sleep_batches::<R>(rounds).wall),
    );
    sync_row(criterion, "sync: semaphore", Exchange::Semaphore);
    sync_row(criterion, "sync: semaphore, 2 tasks", Exchange::SemaphoreTasks);
    sync_row(criterion, "sync: semaphore, given up", Exchange::SemaphoreCancelled);
    sync_row(criterion, "sync: mutex", Exchange::Mutex);
    sync_row(criterion, "sync: mutex, 2 tasks", Exchange::MutexTasks);
    sync_row(criterion, "sync: bounded mpsc", Exchange::Bounded);
    sync_row(criterion, "sync: bounded mpsc, both wait", Exchange::BoundedWaits);
    sync_row(criterion, "sync: unbounded mpsc", Exchange::Unbounded);
    sync_row(criterion, "sync: unbounded mpsc, to and fro", Exchange::UnboundedWaits);
    sync_row(criterion, "sync: oneshot", Exchange::Oneshot);
    sync_row(criterion, "sync: oneshot, another task answers", Exchange::OneshotWaits);
    sync_row(criterion, "sync: notify, stored", Exchange::Notify);
    sync_row(criterion, "sync: notify, 2 tasks", Exchange::NotifyTasks);
    sync_row(criterion, "sync: notify, 10 at once", Exchange::NotifyAll);
    sync_row(criterion, "JoinSet of 100, a task", Exchange::JoinSet);
    row(
        criterion,
        "wake() by another thread, loop awake",
        1,
        |side, times| with_runtime!(side, R => wakes::awake::<R>(times).calls()),
    );
    row(
        criterion,
        "wake() by another thread, loop parked, until the poll",
        1,
        |side, times| with_runtime!(side, R => until_polled(&wakes::parked::<R>(times))),
    );
    let server = echo_server();
    for connections in [1, 50] {
        row(
            criterion,
            &format!("TCP echo, a trip on each of {connections}"),
            connections,
            |side, trips| with_runtime!(side, R => echo::client::<R>(server, connections, Buffer::Roomy, Thought::None, trips).wall),
        );
    }
}

/// How long it was in all from each wake to the poll.
fn until_polled(wakes: &Wakes) -> Duration {
    Duration::from_nanos(wakes.latency_ns.iter().sum::<f64>() as u64)
}

/// Echoes on the other core, as long as this process lives.
fn echo_server() -> SocketAddr {
    let (tell, told) = mpsc::channel();
    thread::spawn(move || {
        cores::pin(Core::Other);
        echo::serve(|address| tell.send(address).expect("it is waited for"))
    });
    told.recv().expect("a loopback port can be had")
}

/// One group: `workload(side, iterations)` for every runtime, `elements` operations an iteration.
fn row(criterion: &mut Criterion, name: &str, elements: u64, workload: impl Fn(Side, u64) -> Duration) {
    row_of(criterion, name, Side::RUNTIMES, elements, workload);
}

/// As [`row`], one operation an iteration, for the libraries that have what it takes.
fn sync_row(criterion: &mut Criterion, name: &str, exchange: Exchange) {
    row_of(criterion, name, exchange.sides(), 1, |side, times| exchange.run(side, times).wall);
}

fn row_of(
    criterion: &mut Criterion,
    name: &str,
    sides: &[Side],
    elements: u64,
    workload: impl Fn(Side, u64) -> Duration,
) {
    let mut group = criterion.benchmark_group(name);
    group.throughput(Throughput::Elements(elements));
    for &side in sides {
        group.bench_function(BenchmarkId::from_parameter(side.name()), |bencher| {
            bencher.iter_custom(|iterations| workload(side, iterations));
        });
    }
    group.finish();
}
