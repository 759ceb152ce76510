//! What is measured, and what was promised.
//!
//! One entry for each row of the table: the workload, how many operations, the figures it shows, and the floors that were set
//! for them before there was anything to measure. A floor is printed with its verdict and asserted nowhere: a benchmark is
//! allowed to lose.
//!
//! Next: `child`.

use crate::runtimes::Side;
use crate::work::crawl::Crawl;
use crate::work::echo::{Buffer, Thought};
use crate::work::sync::Exchange;

/// One workload and what is said about it.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) work: Work,
    pub(crate) size: Size,
    pub(crate) counts: Counts,
    pub(crate) lines: &'static [Line],
}

/// Which function of `work`, and with what.
#[derive(Clone, Copy)]
pub(crate) enum Work {
    SpawnInBatches,
    SpawnAllAtOnce,
    Yields { tasks: u64 },
    TurnsAhead,
    PingPong,
    Ring,
    SleepBatches,
    SleepsOverTwoSeconds,
    Timeouts { pending: u64 },
    Sleepers,
    IdleSleeps,
    Exchange(Exchange),
    Echo { connections: u64, buffer: Buffer, thought: Thought },
    Rest { connections: u64 },
    WakesAwake,
    WakesParked,
    WakesLost,
    Crawl(Crawl),
}

/// Operations and rounds, in the full run and in the quick one.
#[derive(Clone, Copy)]
pub(crate) struct Size {
    pub(crate) full: u64,
    pub(crate) quick: u64,
    pub(crate) rounds: u32,
    pub(crate) rounds_quick: u32,
}

/// What is counted besides, and over how many operations.
#[derive(Clone, Copy)]
pub(crate) enum Counts {
    Nothing,
    /// User-space instructions and allocations, by callgrind.
    Instructions(u64),
    /// System calls, by perf or strace.
    Syscalls(u64),
}

/// One line of the table: a figure of the row.
pub(crate) struct Line {
    pub(crate) metric: &'static str,
    pub(crate) unit: &'static str,
    pub(crate) floors: &'static [Floor],
}

/// A promise about our side's figure; lower is better in all of them.
#[derive(Clone, Copy)]
pub(crate) enum Floor {
    /// The baseline's figure is at least so many times ours.
    Faster(f64),
    /// At most this.
    AtMost(f64),
    /// Exactly this.
    Exactly(f64),
    /// Fewer than one in two hundred operations, which is what start and end may add.
    Never,
    /// Not above the baseline's.
    NoWorse,
    /// Not above the bare loop's by more than this.
    BareLoopPlus(f64),
    /// Not above our own figure for the same metric in another row by more than this factor.
    Flat { row: &'static str, factor: f64 },
}

impl Row {
    /// The sides that run this row.
    pub(crate) fn sides(&self) -> &'static [Side] {
        match self.work {
            Work::IdleSleeps => Side::WITH_BARE_LOOP,
            Work::Exchange(exchange) => exchange.sides(),
            Work::Crawl(crawl) => crawl.sides(),
            _ => Side::RUNTIMES,
        }
    }
}

const fn line(metric: &'static str, unit: &'static str, floors: &'static [Floor]) -> Line {
    Line { metric, unit, floors }
}

const fn size(full: u64, quick: u64) -> Size {
    Size { full, quick, rounds: 7, rounds_quick: 3 }
}

/// For rows that take seconds a side.
const fn long(full: u64, quick: u64) -> Size {
    Size { full, quick, rounds: 5, rounds_quick: 1 }
}

/// For rows whose figure does not vary: a count that must be right.
const fn once(full: u64, quick: u64) -> Size {
    Size { full, quick, rounds: 1, rounds_quick: 1 }
}

const ALLOCATIONS: Line = line("allocations", "allocations/op", &[]);

/// Every row, in the order of the table.
pub(crate) const ROWS: &[Row] = &[
    Row {
        name: "spawn_join_1000",
        about: "spawn and join, batches of 1,000",
        work: Work::SpawnInBatches,
        size: size(1_000_000, 200_000),
        counts: Counts::Instructions(20_000),
        lines: &[
            line("wall_ns", "ns/task", &[Floor::Faster(8.0)]),
            line("instructions", "instructions/task", &[Floor::AtMost(260.0)]),
            ALLOCATIONS,
        ],
    },
    Row {
        name: "spawn_join_1m",
        about: "spawn 1,000,000, then join them",
        work: Work::SpawnAllAtOnce,
        size: long(1_000_000, 1_000_000),
        counts: Counts::Nothing,
        lines: &[line("wall_ns", "ns/task", &[]), line("peak_rss_mb", "MB peak RSS", &[])],
    },
    Row {
        name: "yield_1",
        about: "1 task yields; a socket and a far timer are registered",
        work: Work::Yields { tasks: 1 },
        size: size(2_000_000, 500_000),
        counts: Counts::Instructions(20_000),
        lines: &[
            line("wall_ns", "ns/yield", &[Floor::Faster(3.5)]),
            line("instructions", "instructions/yield", &[Floor::AtMost(100.0)]),
        ],
    },
    Row {
        name: "yield_1000",
        about: "1,000 tasks yield in turn; a socket and a far timer are registered",
        work: Work::Yields { tasks: 1_000 },
        size: size(2_000_000, 500_000),
        counts: Counts::Instructions(20_000),
        lines: &[
            line("wall_ns", "ns/yield", &[Floor::Faster(3.5)]),
            line("instructions", "instructions/yield", &[Floor::AtMost(100.0)]),
        ],
    },
    Row {
        name: "yield_order",
        about: "1,000 tasks yield: how many turns one gets ahead of another (1: fair)",
        work: Work::TurnsAhead,
        size: once(1, 1),
        counts: Counts::Nothing,
        lines: &[line("turns_ahead", "turns ahead", &[Floor::AtMost(1.0)])],
    },
    Row {
        name: "ping_pong",
        about: "2 tasks pass a message to and fro",
        work: Work::PingPong,
        size: size(2_000_000, 500_000),
        counts: Counts::Instructions(20_000),
        lines: &[
            line("wall_ns", "ns/message", &[Floor::Faster(3.0)]),
            line("instructions", "instructions/message", &[Floor::AtMost(130.0)]),
        ],
    },
    Row {
        name: "ring_1000",
        about: "1,000 tasks pass a message around",
        work: Work::Ring,
        size: size(2_000_000, 500_000),
        counts: Counts::Instructions(20_000),
        lines: &[
            line("wall_ns", "ns/hop", &[Floor::Faster(3.0)]),
            line("instructions", "instructions/hop", &[Floor::AtMost(130.0)]),
        ],
    },
    Row {
        name: "sleep_10k",
        about: "10,000 tasks sleep(1 ms) at once, joined",
        work: Work::SleepBatches,
        size: size(400_000, 100_000),
        counts: Counts::Instructions(20_000),
        lines: &[
            line("cpu_ns", "CPU ns/timer", &[Floor::Faster(3.0)]),
            line("round_ms", "ms/round", &[]),
            line("instructions", "instructions/timer", &[Floor::AtMost(900.0)]),
            ALLOCATIONS,
        ],
    },
    Row {
        name: "sleeps_1m_2s",
        about: "1,000,000 tasks sleep for random times below 2 s",
        work: Work::SleepsOverTwoSeconds,
        size: long(1_000_000, 1_000_000),
        counts: Counts::Nothing,
        lines: &[
            line("cpu_ns", "CPU ns/timer", &[]),
            line("late_mean_us", "µs late, mean", &[]),
            line("late_p99_us", "µs late, p99", &[]),
            line("early", "fired early", &[Floor::Exactly(0.0)]),
        ],
    },
    Row {
        name: "timeout",
        about: "timeout(30 s) set and cancelled",
        work: Work::Timeouts { pending: 0 },
        size: size(1_000_000, 200_000),
        counts: Counts::Instructions(20_000),
        lines: &[
            line("wall_ns", "ns/timeout", &[Floor::Faster(2.5)]),
            line("instructions", "instructions/timeout", &[Floor::AtMost(350.0)]),
            ALLOCATIONS,
        ],
    },
    Row {
        name: "timeout_100k",
        about: "the same while 100,000 other timers are pending",
        work: Work::Timeouts { pending: 100_000 },
        size: size(1_000_000, 200_000),
        counts: Counts::Instructions(20_000),
        lines: &[
            line("wall_ns", "ns/timeout", &[Floor::Faster(2.5)]),
            // Flat: by instructions, since two rows are not measured at the same moment and timings drift by more than this.
            line(
                "instructions",
                "instructions/timeout",
                &[Floor::AtMost(350.0), Floor::Flat { row: "timeout", factor: 1.02 }],
            ),
        ],
    },
    exchange("sync_semaphore", "acquire the only permit and give it back", Exchange::Semaphore),
    exchange("sync_semaphore_tasks", "2 tasks acquire it, and the other always has it", Exchange::SemaphoreTasks),
    Row {
        lines: UNPROMISED,
        ..exchange(
            "sync_semaphore_cancelled",
            "ask for the permit that another has, and give up",
            Exchange::SemaphoreCancelled,
        )
    },
    exchange("sync_mutex", "lock, change, unlock", Exchange::Mutex),
    exchange("sync_mutex_tasks", "2 tasks lock it, and the other always has it", Exchange::MutexTasks),
    exchange("sync_bounded", "mpsc with room for 64: send, receive", Exchange::Bounded),
    exchange("sync_bounded_waits", "mpsc with room for 1: a task sends, another receives", Exchange::BoundedWaits),
    exchange("sync_unbounded", "mpsc without a bound: send, receive", Exchange::Unbounded),
    exchange("sync_unbounded_waits", "mpsc without a bound: 2 tasks pass a value to and fro", Exchange::UnboundedWaits),
    exchange("sync_oneshot", "oneshot: make it, send, receive", Exchange::Oneshot),
    exchange("sync_oneshot_waits", "oneshot: make it, and wait until another task has sent", Exchange::OneshotWaits),
    exchange("sync_notify", "notify: tell nobody yet, and be told", Exchange::Notify),
    exchange("sync_notify_tasks", "notify: 2 tasks tell each other", Exchange::NotifyTasks),
    Row {
        lines: UNPROMISED,
        ..exchange("sync_notify_all", "notify: tell 10 tasks at once, who wait again", Exchange::NotifyAll)
    },
    exchange("join_set_100", "JoinSet: spawn 100 tasks, join each as it ends", Exchange::JoinSet),
    Row {
        name: "memory_1m",
        about: "1,000,000 tasks asleep, and dropped with their runtime",
        work: Work::Sleepers,
        size: long(1_000_000, 1_000_000),
        counts: Counts::Nothing,
        lines: &[
            line("rss_bytes", "bytes RSS/task", &[Floor::AtMost(200.0)]),
            line("spawn_ns", "ns/task to sleep", &[]),
            line("drop_ns", "ns/task to drop", &[Floor::Faster(2.8)]),
            line("dropped", "destructors run", &[Floor::Exactly(1_000_000.0)]),
        ],
    },
    Row {
        name: "lateness",
        about: "1 task sleeps for 1 to 3 ms, to the µs, in an idle loop",
        work: Work::IdleSleeps,
        size: Size { full: 800, quick: 200, rounds: 5, rounds_quick: 1 },
        counts: Counts::Nothing,
        lines: &[
            line("late_p50_us", "µs late, p50", &[Floor::BareLoopPlus(100.0)]),
            line("late_p99_us", "µs late, p99", &[Floor::NoWorse]),
            line("cpu_us", "CPU µs/sleep", &[]),
            line("early", "fired early", &[Floor::Exactly(0.0)]),
        ],
    },
    echo("echo_1", "TCP echo, 1 connection, 64 bytes into 1,024", (1, Buffer::Roomy, Thought::None), ROOMY_1),
    echo("echo_50", "TCP echo, 50 connections, 64 bytes into 1,024", (50, Buffer::Roomy, Thought::None), ROOMY_50),
    echo(
        "echo_50_thinks",
        "the same, and every task computes for some 5 µs a trip: the client is what limits",
        (50, Buffer::Roomy, Thought::Some),
        ROOMY_50,
    ),
    echo("echo_1000", "TCP echo, 1,000 connections, 64 bytes into 1,024", (1_000, Buffer::Roomy, Thought::None), TRIP),
    echo("echo_exact_1", "TCP echo, 1 connection, 64 bytes into 64", (1, Buffer::Exact, Thought::None), EXACT),
    echo("echo_exact_50", "TCP echo, 50 connections, 64 bytes into 64", (50, Buffer::Exact, Thought::None), EXACT),
    echo(
        "echo_exact_50_thinks",
        "the same, and every task computes for some 5 µs a trip: the client is what limits",
        (50, Buffer::Exact, Thought::Some),
        EXACT,
    ),
    Row {
        name: "idle_1000",
        about: "1,000 open connections and a far timer, nothing happens for 10 s (quick: 2 s)",
        work: Work::Rest { connections: 1_000 },
        size: once(10, 2),
        counts: Counts::Nothing,
        lines: &[line("cpu_ms", "ms CPU in all", &[Floor::AtMost(2.0)])],
    },
    Row {
        name: "wake_awake",
        about: "another thread wakes a task; ten yielding tasks keep the loop awake",
        work: Work::WakesAwake,
        size: size(100_000, 30_000),
        counts: Counts::Syscalls(20_000),
        lines: &[
            line("call_p50_ns", "ns/wake(), p50", &[Floor::AtMost(1_000.0)]),
            line("call_mean_ns", "ns/wake(), mean", &[]),
            line("writes", "writes/wake", &[Floor::Never]),
            line("latency_p50_ns", "ns to the poll, p50", &[]),
        ],
    },
    Row {
        name: "wake_parked",
        about: "another thread wakes a task; the loop is parked (20 µs gaps)",
        work: Work::WakesParked,
        size: size(20_000, 5_000),
        counts: Counts::Nothing,
        lines: &[
            line("latency_p50_ns", "ns to the poll, p50", &[Floor::NoWorse]),
            line("latency_p99_ns", "ns to the poll, p99", &[Floor::NoWorse]),
        ],
    },
    Row {
        name: "wake_300k",
        about: "300,000 wakes from 3 threads, random gaps (quick: 30,000)",
        work: Work::WakesLost,
        size: once(300_000, 30_000),
        counts: Counts::Nothing,
        lines: &[line("lost", "wakes lost", &[Floor::Exactly(0.0)])],
    },
    Row {
        name: "crawl_plain",
        about: "the program `crawl`, 20,000 small pages on 4 hosts; its engines `windlass` and `tokio`",
        work: Work::Crawl(Crawl::Plain),
        size: long(20_000, 5_000),
        counts: Counts::Nothing,
        lines: &[
            line("wall_us", "µs/page", &[Floor::Faster(1.1)]),
            line("cpu_us", "CPU µs/page (loop)", &[]),
            line("pages", "pages", &[]),
        ],
    },
    Row {
        name: "crawl_docs",
        about: "the same with the documentation of std, as rustup ships it, served by nginx (quick: 500 pages of it)",
        work: Work::Crawl(Crawl::Documentation),
        size: long(0, 500),
        counts: Counts::Nothing,
        lines: &[
            line("wall_us", "µs/page", &[Floor::NoWorse]),
            line("cpu_us", "CPU µs/page (loop)", &[]),
            line("pages", "pages", &[]),
        ],
    },
    Row {
        name: "crawl_10k_sleepers",
        about: "the same with 10,000 URLs of 1 s each, all at once; beside hyper, which fetches and does not crawl (quick: 2,000)",
        work: Work::Crawl(Crawl::Sleepers),
        size: long(10_000, 2_000),
        counts: Counts::Nothing,
        lines: &[line("seconds", "s", &[Floor::NoWorse]), line("peak_rss_mb", "MB peak RSS", &[Floor::AtMost(60.0)])],
    },
    Row {
        name: "crawl_20_slots",
        about: "the same with 100 URLs of 1 s each in 20 slots: 5 s, if no slot is ever empty",
        work: Work::Crawl(Crawl::TwentySlots),
        size: long(100, 100),
        counts: Counts::Nothing,
        lines: &[line("seconds", "s", &[Floor::AtMost(5.1)])],
    },
    Row {
        name: "crawl_rate",
        about: "the same, 1,000 pages at 250 a second: how far off it is",
        work: Work::Crawl(Crawl::Rate),
        size: long(1_000, 1_000),
        counts: Counts::Nothing,
        lines: &[line("percent_off", "% off", &[Floor::AtMost(5.0)])],
    },
    Row {
        name: "crawl_large_page",
        about: "the same, one page of 10 MB and 50,000 links, their names escaped: how long one poll of a task holds all \
                others up; on any core, and the least of five runs, since the clock goes on while the kernel runs something \
                else",
        work: Work::Crawl(Crawl::LargePage),
        size: long(50_000, 50_000),
        counts: Counts::Nothing,
        lines: &[
            line("poll_max_us", "µs, longest poll", &[Floor::AtMost(1_000.0)]),
            line("poll_p99_us", "µs, 99 % of polls", &[]),
        ],
    },
    Row {
        name: "crawl_queue_100k",
        about: "the same, 100,000 URLs of sitemaps in line",
        work: Work::Crawl(Crawl::Queue),
        size: once(100_000, 100_000),
        counts: Counts::Nothing,
        lines: QUEUE,
    },
    Row {
        name: "crawl_queue_1m",
        about: "the same, 1,000,000 URLs of sitemaps in line (quick: 200,000)",
        work: Work::Crawl(Crawl::Queue),
        size: once(1_000_000, 200_000),
        counts: Counts::Nothing,
        lines: QUEUE,
    },
];

const QUEUE: &[Line] =
    &[line("queued", "URLs in line at end", &[]), line("peak_rss_mb", "MB peak RSS", &[Floor::AtMost(60.0)])];

const fn exchange(name: &'static str, about: &'static str, exchange: Exchange) -> Row {
    let (size, counts) = (size(1_000_000, 100_000), Counts::Instructions(10_000));
    Row { name, about, work: Work::Exchange(exchange), size, counts, lines: EXCHANGE }
}

const EXCHANGE: &[Line] = &[
    line("wall_ns", "ns/op", &[Floor::Faster(2.0)]),
    line("instructions", "instructions/op", &[Floor::Faster(2.0)]),
    ALLOCATIONS,
];

/// For exchanges that were thought of after the floors had been set.
const UNPROMISED: &[Line] = &[line("wall_ns", "ns/op", &[]), line("instructions", "instructions/op", &[]), ALLOCATIONS];

const fn echo(
    name: &'static str,
    about: &'static str,
    (connections, buffer, thought): (u64, Buffer, Thought),
    lines: &'static [Line],
) -> Row {
    let work = Work::Echo { connections, buffer, thought };
    Row { name, about, work, size: size(50_000, 10_000), counts: Counts::Syscalls(10_000), lines }
}

const TRIP: &[Line] = &[
    line("wall_us", "µs/trip", &[]),
    line("cpu_us", "CPU µs/trip", &[]),
    line("syscalls", "syscalls/trip", &[]),
    line("would_block", "EAGAIN/trip", &[]),
];

const ROOMY_1: &[Line] = &[
    line("wall_us", "µs/trip", &[]),
    line("cpu_us", "CPU µs/trip", &[Floor::NoWorse]),
    line("syscalls", "syscalls/trip", &[Floor::AtMost(3.05)]),
    line("would_block", "EAGAIN/trip", &[Floor::Never]),
];

const ROOMY_50: &[Line] = &[
    line("wall_us", "µs/trip", &[]),
    line("cpu_us", "CPU µs/trip", &[Floor::NoWorse]),
    line("syscalls", "syscalls/trip", &[Floor::AtMost(2.1)]),
    line("would_block", "EAGAIN/trip", &[Floor::Never]),
];

const EXACT: &[Line] = &[
    line("wall_us", "µs/trip", &[]),
    line("cpu_us", "CPU µs/trip", &[Floor::NoWorse]),
    line("syscalls", "syscalls/trip", &[Floor::NoWorse]),
    line("would_block", "EAGAIN/trip", &[]),
];
