//! Who carries the requests.
//!
//! Four ways to send a GET, behind one trait, each driven by the same window; and two that are no part of that.
//!
//! ```text
//!                     ┌─ on_windlass   this library's loop and HTTP client
//!     window ─ Engine ┼─ on_hyper      hyper ──────────────┐
//!                     ├─ on_sockets    a hand-written GET ─┼─ pool, tokio's LocalRuntime
//!                     └─ on_reqwest    reqwest ────────────┘
//!                        on_epoll      what the kernel takes, and next to nothing besides
//!                        on_aiohttp.py aiohttp on asyncio and on uvloop; `conduct` starts it
//! ```
//!
//! The third stands between the others: it shares the loop with the second and the thin HTTP with the first, so that
//! the two differences can be told apart. The fifth is what all can be held against.
//! Each run has a process of its own; this module also asks the kernel what that process used.
//! Not here: how many and how fast (`window`).   Next: `on_windlass`.

#[path = "../../src/tokio_failures.rs"]
mod failures;
mod on_epoll;
mod on_hyper;
mod on_reqwest;
mod on_sockets;
mod on_windlass;
mod pool;
mod wire;

use std::{cell::Cell, io, os::unix::net::UnixStream, thread, time::Duration};

use signal_hook::consts::SIGINT;
use windlass::http::{Error, ErrorKind, Url};
use windlass_examples::process;

use crate::{
    binding::Census,
    contract::{BytesOf, Connections, EngineName, InFlight, Limit, Plan, Run, Told, Turns, Word},
    window::Seen,
};

/// How many milliseconds the resolver's threads have to let go: a hundred times what they need.
const SETTLING_MS: u32 = 100;

/// Sends requests on one loop.
pub(crate) trait Engine: Sized + 'static {
    /// Sends one GET and takes the reply in to its last byte; yields the status. With a number, the target is that number.
    ///
    /// Sets `connected_ns`, by [`now_ns`](windlass_examples::latency::now_ns), when the request has its connection.
    ///
    /// # Errors
    /// Every failure under its own kind, the time-out of the whole exchange included.
    fn get(&self, number: Option<u64>, connected_ns: &Cell<Option<u64>>) -> impl Future<Output = Result<u16, Error>>;

    /// Runs `task` beside the others, from now on; the future that comes back completes when it has ended.
    fn spawn(task: impl Future<Output = ()> + 'static) -> impl Future<Output = ()>;

    /// Completes when `span` is over, by the loop's timer.
    fn sleep(span: Duration) -> impl Future<Output = ()>;

    /// How many requests are in which state now.
    fn census(&self) -> Census;
}

/// The URL that a request with this number asks for.
fn numbered(url: &Url, number: u64) -> Url {
    Url::parse(&format!("{}/{number}", url.origin())).expect("a number is a good target")
}

/// What an exchange fails with when its time is over.
fn timed_out(limit: Duration) -> Error {
    Error::new(ErrorKind::TimeoutTotal, format!("no complete reply within {limit:?}"))
}

/// Counts somebody for as long as it lives, so that a dropped future counts itself out.
struct Held<'a>(&'a Cell<u64>);

impl<'a> Held<'a> {
    fn new(count: &'a Cell<u64>) -> Self {
        count.set(count.get() + 1);
        Self(count)
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// What an engine brings back from a run besides what the window saw.
#[derive(Debug)]
pub(crate) struct Carried {
    pub(crate) seen: Seen,
    /// None if the engine does not tell.
    pub(crate) connections: Option<Connections>,
    pub(crate) in_flight_max: u64,
    pub(crate) retries: u64,
    pub(crate) bytes_in: u64,
    pub(crate) turns: Option<Turns>,
    pub(crate) would_block: Option<u64>,
}

/// Becomes the process of one engine's round: runs the plan and tells about it on stdout.
///
/// # Errors
/// The process cannot be set up: not pinned, no loop, no way to hear of Ctrl-C.
pub(crate) fn run_as_child(plan: &Plan) -> io::Result<()> {
    process::die_with(plan.parent.unwrap_or_else(process::parent))?;
    if let Some(core) = plan.core {
        process::pin_to(core)?;
    }
    let (told, teller) = UnixStream::pair()?;
    signal_hook::low_level::pipe::register(SIGINT, teller)?;
    Word::Report(Box::new(run(plan, told)?)).say();
    Ok(())
}

fn run(plan: &Plan, stop: UnixStream) -> io::Result<Told> {
    let descriptors_before = process::open_descriptors();
    let stop_loop = stop.try_clone()?;
    let carried = match plan.engine {
        EngineName::Windlass => on_windlass::run(plan, stop_loop)?,
        EngineName::Tokio => on_hyper::run(plan, stop_loop)?,
        EngineName::TokioRaw => on_sockets::run(plan, stop_loop)?,
        EngineName::Reqwest => on_reqwest::run(plan, stop_loop)?,
        EngineName::Epoll => on_epoll::run(plan, stop_loop)?,
        EngineName::Asyncio | EngineName::Uvloop => return Err(io::Error::other("it is a script of Python's")),
    };
    Ok(tell(plan, carried, descriptors_before, descriptors_settled_at(descriptors_before)))
}

/// What is open now that the loop is gone; if that is not yet `expected`, a little later.
///
/// A thread that looked a name up may hold the way to wake the loop for a moment longer than the loop lives.
fn descriptors_settled_at(expected: Option<u64>) -> Option<u64> {
    for _ in 0..SETTLING_MS {
        if process::open_descriptors() == expected {
            break;
        }
        thread::sleep(Duration::from_millis(1));
    }
    process::open_descriptors()
}

fn tell(plan: &Plan, carried: Carried, descriptors_before: Option<u64>, descriptors_after: Option<u64>) -> Told {
    let Carried { seen, .. } = carried;
    let elapsed_s = seen.elapsed.as_secs_f64();
    let cpu = seen.spent.engine;
    let busy = |cpu_s: f64| rounded(cpu_s / elapsed_s);
    let mut limits: Vec<_> = seen.binding.shares();
    limits.iter_mut().for_each(|(_, share)| *share = rounded(*share));
    limits.push((Limit::Loop, busy(cpu.total_s())));
    limits.extend(seen.spent.server.map(|spent| (Limit::Server, busy(spent.as_secs_f64()))));
    let run = Run {
        engine: plan.engine,
        round: plan.round,
        requests: seen.entered,
        ok: seen.ok,
        failed: seen.failed.counts(),
        elapsed_s,
        requests_per_s: ((seen.entered - seen.unfinished) as f64 / elapsed_s).round(),
        latency_us: seen.latency.summary(),
        exchange_us: seen.exchange.summary(),
        in_flight: InFlight {
            // Who waits for its connection to be made holds one of the places, and has none.
            max: carried.connections.map_or(carried.in_flight_max, |made| carried.in_flight_max.min(made.opened)),
            // By Little's law: at any moment, as many have a connection as the time they have it for adds up to.
            mean: (seen.unfinished == 0).then(|| rounded(seen.connected_total_ns as f64 / 1e9 / elapsed_s)),
        },
        connections: carried.connections,
        bytes_in: carried.bytes_in,
        bytes_in_of: match plan.engine {
            EngineName::Reqwest => BytesOf::Bodies,
            _ => BytesOf::Wire,
        },
        retries: carried.retries,
        limits: limits.into_iter().collect(),
        turns: carried.turns,
        user_s: cpu.user_s,
        sys_s: cpu.system_s,
        peak_rss_kb: process::peak_rss_kb().unwrap_or(0),
        pace: seen.pace,
        faults: None,
    };
    Told {
        run,
        interrupted: seen.interrupted,
        first_failures: seen.failed.firsts(),
        descriptors_before,
        descriptors_after,
        would_block: carried.would_block,
        barrier_idle: seen.binding.barrier_idle(),
        endings: seen.endings,
    }
}

fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read, Write},
        net::{TcpListener, TcpStream},
    };

    use windlass_examples::python;

    use super::*;
    use crate::{
        conduct::{self, Interrupt},
        contract::Settings,
        faults::script::{self, Script},
    };

    /// Answers every request with what `body` has for its number, until the test's process ends.
    fn serve(body: fn(u64) -> String) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                thread::spawn(move || answer(stream, body));
            }
        });
        url
    }

    fn answer(mut stream: TcpStream, body: fn(u64) -> String) -> io::Result<()> {
        let (mut request, mut byte) = (Vec::new(), [0]);
        while stream.read(&mut byte)? > 0 {
            request.push(byte[0]);
            if request.ends_with(b"\r\n\r\n") {
                let text = String::from_utf8_lossy(&request);
                let number = text.split([' ', '/']).nth(2).and_then(|number| number.parse().ok()).unwrap_or(0);
                let body = body(number);
                let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
                stream.write_all(answer.as_bytes())?;
                request.clear();
            }
        }
        Ok(())
    }

    /// How twenty requests to such a server end, none of which is to meet a fault.
    fn told(engine: EngineName, body: fn(u64) -> String) -> Told {
        let faults = Some(Script { per_cent: f64::MIN_POSITIVE, seed: 1 });
        let plan = Plan {
            engine,
            round: 1,
            url: serve(body),
            settings: Settings { requests: 20, concurrency: 4, per_host: 2, faults, ..Settings::DEFAULT },
            timeout: Duration::from_secs(20),
            progress_every: u64::MAX,
            core: None,
            server: None,
            parent: None,
        };
        if engine.is_python() {
            return conduct::run_engine(&[], &plan, &Interrupt::listen().unwrap(), |_| {}).unwrap().unwrap();
        }
        let (hear, _tell) = UnixStream::pair().unwrap();
        run(&plan, hear).unwrap()
    }

    fn an_answers_body_is_held_against_the_script(engine: EngineName) {
        let good = told(engine, script::body);
        assert_eq!((good.run.ok, good.endings.len()), (20, 0), "{engine}: {:?}", good.first_failures);
        let lies: [fn(u64) -> String; 3] =
            [|number| script::body(number + 1), |number| script::body(number)[1..].to_owned(), |_| String::new()];
        for lie in lies {
            let bad = told(engine, lie);
            assert_eq!((bad.run.ok, bad.run.failed["other"], bad.endings.len()), (0, 20, 20), "{engine}");
            let how = &bad.first_failures["other"];
            assert!(how.contains("another body than the script's"), "{engine}: {how}");
        }
    }

    #[test]
    fn an_answers_body_is_held_against_the_script_by_every_engine() {
        for engine in [EngineName::Windlass, EngineName::Tokio, EngineName::TokioRaw, EngineName::Reqwest] {
            an_answers_body_is_held_against_the_script(engine);
        }
    }

    #[test]
    fn an_answers_body_is_held_against_the_script_by_python_where_there_is_one() {
        match python::probe("aiohttp") {
            Ok(()) => an_answers_body_is_held_against_the_script(EngineName::Asyncio),
            Err(reason) => eprintln!("SKIPPED: asyncio: {reason}"),
        }
    }
}
