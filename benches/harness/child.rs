//! One row, one side, one process.
//!
//! The child pins itself to the first core, runs the workload and prints what it saw, a metric a line. It knows nothing of rounds
//! or floors, so the same child runs under callgrind and perf.
//!
//! ```text
//!      sides --child yield_1 --side smol --n 500000
//!      wall_ns 91.4
//!      cpu_ns 90.8
//! ```
//!
//! Next: `parent`.

use std::net::SocketAddr;
use std::time::Duration;

use super::rows::{ROWS, Row, Work};
use crate::runtimes::{Runtime, Side, with_runtime};
use crate::work::cores::{self, Core};
use crate::work::meter::{Cost, resident_peak};
use crate::work::timers::Lateness;
use crate::work::wakes::Wakes;
use crate::work::{channel, crawl, echo, memory, quantile, spawn, timers, turns, wakes};

/// What the parent asks of a child.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Order {
    pub(crate) row: String,
    pub(crate) side: Side,
    pub(crate) operations: u64,
    pub(crate) server: Option<SocketAddr>,
}

/// Figures by name.
type Seen = Vec<(&'static str, f64)>;

/// Runs the order and prints its figures.
pub(crate) fn run(order: &Order) -> Result<(), String> {
    let row = ROWS.iter().find(|row| row.name == order.row).ok_or_else(|| format!("no row named {}", order.row))?;
    cores::pin(Core::First);
    let seen = match order.side {
        Side::Mio => vec_of_idle(timers::idle_bare(order.operations), order.operations),
        side => match row.work {
            Work::Exchange(exchange) => costs(exchange.run(side, order.operations), order.operations),
            Work::Crawl(crawl) => crawl.run(side, order.operations)?,
            _ => with_runtime!(side, R => measure::<R>(row, order)),
        },
    };
    for (metric, value) in seen {
        println!("{metric} {value}");
    }
    Ok(())
}

/// The other end of the echo rows, on the other core, until it is killed.
pub(crate) fn echo_server() -> Result<(), String> {
    cores::pin(Core::Other);
    raise_descriptor_limit();
    echo::serve(|address| println!("{address}")).map_err(|error| format!("echo server: {error}"))
}

/// The other end of the rows about slow servers, until it is killed.
pub(crate) fn slow_server() -> Result<(), String> {
    raise_descriptor_limit();
    crawl::serve_slowly().map_err(|error| format!("slow server: {error}"))
}

fn measure<R: Runtime>(row: &Row, order: &Order) -> Seen {
    let n = order.operations;
    match row.work {
        Work::SpawnInBatches => costs(spawn::in_batches::<R>(n / spawn::BATCH), n),
        Work::SpawnAllAtOnce => {
            let mut seen = costs(spawn::all_at_once::<R>(n), n);
            seen.push(("peak_rss_mb", resident_peak() as f64 / 1e6));
            seen
        }
        Work::Yields { tasks } => costs(turns::yields::<R>(tasks, n / tasks), n),
        Work::TurnsAhead => vec![("turns_ahead", turns::turns_ahead::<R>() as f64)],
        Work::PingPong => costs(channel::ping_pong::<R>(n), n),
        Work::Ring => costs(channel::ring::<R>(n / 1_000), n),
        Work::SleepBatches => {
            let rounds = n / timers::SLEEPERS;
            let cost = timers::sleep_batches::<R>(rounds);
            let mut seen = costs(cost, n);
            seen.push(("round_ms", cost.wall_ns(rounds) / 1e6));
            seen
        }
        Work::SleepsOverTwoSeconds => {
            let (cost, lateness) = timers::over_two_seconds::<R>(n);
            let mut seen = costs(cost, n);
            seen.extend(lates(&lateness));
            seen
        }
        Work::Timeouts { pending } => costs(timers::timeouts::<R>(pending, n), n),
        Work::Sleepers => {
            let memory = memory::sleepers::<R>(n);
            vec![
                ("rss_bytes", memory.bytes as f64 / n as f64),
                ("spawn_ns", memory.spawn.wall_ns(n)),
                ("drop_ns", memory.drop.as_nanos() as f64 / n as f64),
                ("dropped", memory.dropped as f64),
            ]
        }
        Work::IdleSleeps => vec_of_idle(timers::idle::<R>(n), n),
        Work::Echo { connections, buffer, thought } => {
            raise_descriptor_limit();
            let server = order.server.expect("the parent names the server of an echo row");
            costs(echo::client::<R>(server, connections, buffer, thought, n / connections), n)
        }
        Work::Rest { connections } => {
            raise_descriptor_limit();
            let server = order.server.expect("the parent names the server of an echo row");
            let cost = echo::idle::<R>(server, connections, Duration::from_secs(n));
            vec![("cpu_ms", cost.cpu.as_secs_f64() * 1e3)]
        }
        Work::Exchange(_) | Work::Crawl(_) => {
            unreachable!("its sides are libraries or programs, not runtimes: `run` has seen to it")
        }
        Work::WakesAwake => vec_of_wakes(&wakes::awake::<R>(n)),
        Work::WakesParked => vec_of_wakes(&wakes::parked::<R>(n)),
        Work::WakesLost => vec![("lost", wakes::lost::<R>(n) as f64)],
    }
}

fn costs(cost: Cost, operations: u64) -> Seen {
    let (wall, cpu) = (cost.wall_ns(operations), cost.cpu_ns(operations));
    vec![("wall_ns", wall), ("cpu_ns", cpu), ("wall_us", wall / 1e3), ("cpu_us", cpu / 1e3)]
}

fn lates(lateness: &Lateness) -> Seen {
    vec![
        ("late_mean_us", lateness.mean()),
        ("late_p50_us", lateness.quantile(0.50)),
        ("late_p99_us", lateness.quantile(0.99)),
        ("early", lateness.early as f64),
    ]
}

fn vec_of_idle((cost, lateness): (Cost, Lateness), sleeps: u64) -> Seen {
    let mut seen = costs(cost, sleeps);
    seen.extend(lates(&lateness));
    seen
}

fn vec_of_wakes(wakes: &Wakes) -> Seen {
    let mean = wakes.calls().as_nanos() as f64 / wakes.call_ns.len().max(1) as f64;
    vec![
        ("call_p50_ns", quantile(&wakes.call_ns, 0.50)),
        ("call_mean_ns", mean),
        ("latency_p50_ns", quantile(&wakes.latency_ns, 0.50)),
        ("latency_p99_ns", quantile(&wakes.latency_ns, 0.99)),
        ("lost", wakes.lost as f64),
    ]
}

/// A thousand connections need more descriptors than many shells give; the hard limit is the most we may take.
fn raise_descriptor_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    // If it is refused, connecting will say so in the kernel's words.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}
