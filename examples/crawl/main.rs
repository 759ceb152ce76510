//! A crawler.
//!
//! ```text
//!     flags ─► plan ─► crawl ◄──► frontier: who is next
//!                        │  ◄──── scope, rules: who is let in
//!                        ├──────► engine: windlass or tokio
//!                        ├◄─────► store: what is left, what was met, a line a page
//!                        └──────► report
//! ```
//!
//! Run it: `cargo run --release --example crawl`, or with a URL behind `--`; `--help` tells the rest.
//!
//! | file | chapter |
//! |---|---|
//! | `flags`, `plan` | what is asked for; what is to be done |
//! | `scope` | which URLs are fetched at all |
//! | `rules` | what robots.txt says, while it is needed |
//! | `frontier` | which of them is next |
//! | `store` | what outlives the process, and has no room in memory |
//! | `crawl` | from a URL to its links |
//! | `engine` | who carries the requests |
//! | `report` | what it was like |
//! | `site` | a site to crawl, for who names none |
//!
//! Not here: any of these; this page only puts them in order. What it cannot do yet: WARC files,
//! pages of plots.   Next: `flags`.

mod crawl;
mod engine;
mod flags;
mod frontier;
mod plan;
mod report;
mod rules;
mod scope;
mod site;
mod store;

use std::{
    cell::Cell,
    io::{self, IsTerminal, Write},
    os::unix::net::UnixStream,
    path::Path,
    process::ExitCode,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use clap::Parser;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use nix::time::ClockId;
use signal_hook::consts::SIGINT;
use tokio::runtime::LocalOptions;
use windlass::Loop;
use windlass_examples::{figures::thousands, limits::Descriptors};

use crate::{
    crawl::crawl,
    engine::{Engine, on_tokio::OnTokio, on_windlass::OnWindlass},
    flags::{EngineName, Flags},
    plan::Plan,
    report::Tally,
    store::{
        Store, Trouble,
        ledger::{Ledger, Window},
    },
};

/// What a shell says of a program that Ctrl-C ended.
const INTERRUPTED: u8 = 130;

/// What the process has open besides a connection for each fetch: files, the loop's own, connections that idle.
const SPARE_DESCRIPTORS: u64 = 1_000;

fn main() -> ExitCode {
    let mut flags = Flags::parse();
    let done = if flags.serve { serve(&flags).map(|()| None) } else { run(&mut flags).map(Some) };
    match done {
        Ok(None) => ExitCode::SUCCESS,
        Ok(Some(tally)) if tally.interrupted => INTERRUPTED.into(),
        Ok(Some(tally)) if tally.ok > 0 => ExitCode::SUCCESS,
        Ok(Some(_)) => ExitCode::FAILURE,
        Err(Trouble::Usage(why)) => {
            eprintln!("crawl: {why}");
            2.into()
        }
        Err(Trouble::System(error)) => {
            eprintln!("crawl: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Serves the embedded site until stdin ends.
fn serve(flags: &Flags) -> Result<(), Trouble> {
    let (site, port) = flags.site(None).expect("no URL goes with --serve");
    let port = site.serve(port)?.port();
    let resolve: Vec<_> = (0..site.hosts).map(|host| format!("{}:{port}:127.0.0.1", site.host(host))).collect();
    writeln!(io::stdout(), "{}", serde_json::json!({ "url": site.url(0, port), "resolve": resolve }))?;
    io::copy(&mut io::stdin().lock(), &mut io::sink())?;
    Ok(())
}

fn run(flags: &mut Flags) -> Result<Tally, Trouble> {
    flags.read_urls().map_err(Trouble::Usage)?;
    Descriptors::read()?.raise(u64::from(flags.concurrency) + SPARE_DESCRIPTORS)?;
    let stop = interrupts()?;
    let (plan, store) = prepared(flags)?;
    let (bounds, show) = (plan.bounds, Show::new());
    let before = spent();
    let (tally, turns) = match flags.engine {
        EngineName::Windlass => on_windlass(plan, store, show, stop)?,
        EngineName::Tokio => (on_tokio(plan, store, show, stop)?, None),
    };
    let busy = (spent() - before).as_secs_f64() / tally.elapsed().as_secs_f64().max(1e-9);
    let engine = flags.engine.as_str();
    let text = match flags.json {
        true => format!("{}\n", tally.json(engine, busy, bounds, turns)),
        false => tally.words(engine, busy, bounds),
    };
    io::stdout().write_all(text.as_bytes())?;
    Ok(tally)
}

/// What is to be done, and where it is written down; the embedded site is served, if it is wanted.
fn prepared(flags: &Flags) -> Result<(Plan, Store), Trouble> {
    if flags.output.as_deref() == Some(Path::new("-")) {
        if flags.json {
            return Err(Trouble::Usage("--output - and --json both want stdout".to_owned()));
        }
        if flags.state.is_some() {
            return Err(Trouble::Usage("--output - cannot be cut where --state says: give it a file".to_owned()));
        }
    }
    let mut ledger = Ledger::open(flags.state.as_deref())?;
    let site = match flags.site(ledger.began().and_then(|began| began.site)) {
        Some((site, port)) => Some((site, site.serve(port)?.port())),
        None => None,
    };
    let plan = flags.plan(site);
    let window = Window::for_bounds(&plan.bounds);
    ledger.begin(flags.began(&plan, site), [flags.output.as_deref(), None], window)?;
    Ok((plan, Store::start(ledger, flags.batch as usize)?))
}

/// CPU time of this thread, which is the loop's; the embedded site has its own.
fn spent() -> Duration {
    ClockId::CLOCK_THREAD_CPUTIME_ID.now().expect("every kernel has this clock").into()
}

type Carried = (Tally, Option<serde_json::Value>);

fn on_windlass(plan: Plan, store: Store, show: Show, stop: UnixStream) -> Result<Carried, Trouble> {
    let crank = Loop::new()?;
    let engine = OnWindlass::new(&plan.manners);
    let tally = crank.block_on(async {
        let stop = OnWindlass::readable(stop);
        crawl(engine, plan, store, move |tally, sizes| show.look(tally, sizes), stop).await
    })?;
    let sum = crank.metrics();
    let turns = serde_json::json!({
        "ticks": sum.ticks, "polls": sum.sum.polls, "wakes": sum.sum.wakes, "syscalls": sum.sum.syscalls,
    });
    Ok((tally, Some(turns)))
}

fn on_tokio(plan: Plan, store: Store, show: Show, stop: UnixStream) -> Result<Tally, Trouble> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build_local(LocalOptions::default())?;
    let engine = OnTokio::new(&plan.manners).map_err(Trouble::Usage)?;
    let tally = runtime.block_on(async {
        let stop = OnTokio::readable(stop);
        crawl(engine, plan, store, move |tally, sizes| show.look(tally, sizes), stop).await
    })?;
    Ok(tally)
}

/// Can be read from at the first Ctrl-C; the second one ends the process.
fn interrupts() -> io::Result<UnixStream> {
    let (told, teller) = UnixStream::pair()?;
    let again = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register_conditional_shutdown(SIGINT, INTERRUPTED.into(), again.clone())?;
    signal_hook::flag::register(SIGINT, again)?;
    signal_hook::low_level::pipe::register(SIGINT, teller)?;
    told.set_nonblocking(true)?;
    Ok(told)
}

/// Shows how far it is: on a terminal in one line that stays where it is, else in a line every ten seconds.
struct Show {
    bar: Option<ProgressBar>,
    next: Cell<Duration>,
}

impl Show {
    fn new() -> Self {
        let bar = io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            let style =
                ProgressStyle::with_template("{spinner} {msg}").expect("the template names what indicatif knows");
            bar.set_style(style);
            bar
        });
        let next = if bar.is_some() { Duration::ZERO } else { Self::LINE_EVERY };
        Self { bar, next: Cell::new(next) }
    }

    const LINE_EVERY: Duration = Duration::from_secs(10);
    const REDRAWN_EVERY: Duration = Duration::from_millis(100);

    fn look(&self, tally: &Tally, (queued, in_flight, hosts): (usize, usize, usize)) {
        let elapsed = tally.elapsed();
        if elapsed < self.next.get() {
            return;
        }
        self.next.set(elapsed + if self.bar.is_some() { Self::REDRAWN_EVERY } else { Self::LINE_EVERY });
        let per_s = tally.pages as f64 / elapsed.as_secs_f64().max(1e-9);
        let [pages, queued, hosts, errors] =
            [tally.pages, queued as u64, hosts as u64, tally.failures()].map(thousands);
        let line = format!(
            "{pages} pages ({per_s:.0}/s), {in_flight} under way, {queued} queued, {hosts} hosts, {errors} errors"
        );
        match &self.bar {
            Some(bar) => {
                bar.set_message(line);
                bar.tick();
            }
            None => eprintln!("{line}"),
        }
    }
}

impl Drop for Show {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
