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
//! | `store`, with `store/`: `ledger`, `record`, `queue`, `files`, `disk` | what outlives the process, and has no room in memory |
//! | `crawl`, with `crawl/`: `visit`, `entry`, `turn`, `fetch`, `body`, `fate`, `robots`, `sitemaps` | from a URL to its links |
//! | `engine`, with `engine/`: `on_windlass`, `on_tokio` | who carries the requests |
//! | `cpu`, `timeline`, `limits` | what it costs; when it was like what; what holds it back |
//! | `report`, `hosts`, `page` | what it was like, in words, JSON and plots; of whom |
//! | `show` | how far it is |
//! | `warc` | pages as archives keep them |
//! | `site` | a site to crawl, for who names none |
//! | `unit_tests`, `tests`, `store/ledger/tests` | all of it without this page; whole crawls; a store that is killed |
//!
//! Not here: any of these; this page only puts them in order. Nor what they share with other programs: `links`, `robots`,
//! `sitemap`, `plots` and more are the library `windlass_examples`, in `examples/src`.   Next: `flags`.

mod cpu;
mod crawl;
mod engine;
mod flags;
mod frontier;
mod hosts;
mod limits;
mod page;
mod plan;
mod report;
mod rules;
mod scope;
mod show;
mod site;
mod store;
mod timeline;
mod warc;

use std::{
    fs::File,
    io::{self, Write},
    os::unix::net::UnixStream,
    path::Path,
    process::ExitCode,
    thread,
    time::Duration,
};

use signal_hook::{consts::SIGINT, iterator::Signals};
use tokio::runtime::LocalOptions;
use windlass::Loop;
use windlass_examples::{limits::Descriptors, out, process};

use crate::{
    crawl::crawl,
    engine::{Engine, on_tokio::OnTokio, on_windlass::OnWindlass},
    flags::{EngineName, Flags},
    plan::Plan,
    report::{Report, Tally, Turns},
    show::Show,
    store::{
        Store, Trouble,
        files::named,
        ledger::{Ledger, Window},
    },
};

/// What a shell says of a program that Ctrl-C ended.
const INTERRUPTED: u8 = 130;

/// How many descriptors the process would like to have besides one for each fetch: for connections that idle.
const SPARE_DESCRIPTORS: u64 = 1_000;

/// How many it has besides connections: files, the loop's own, those of a look-up.
const OWN_DESCRIPTORS: u64 = 32;

fn main() -> ExitCode {
    let (mut flags, settings) = Flags::from_command_line();
    let done = if flags.serve { serve(&flags).map(|()| None) } else { run(&mut flags, &settings).map(Some) };
    match done {
        Ok(None) => ExitCode::SUCCESS,
        Ok(Some(tally)) if tally.interrupted => INTERRUPTED.into(),
        Ok(Some(tally)) if tally.ok > 0 || (tally.earlier > 0 && tally.failures() == 0) => ExitCode::SUCCESS,
        Ok(Some(_)) => ExitCode::FAILURE,
        Err(Trouble::Usage(why)) => {
            out::to_stderr(&format!("crawl: {why}"));
            2.into()
        }
        Err(Trouble::System(error)) => {
            out::to_stderr(&format!("crawl: {error}"));
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

fn run(flags: &mut Flags, settings: &[(String, String)]) -> Result<Tally, Trouble> {
    flags.read_urls().map_err(Trouble::Usage)?;
    if flags.shares_a_file() {
        return Err(Trouble::Usage("--output, --warc and --report each want a file of its own".to_owned()));
    }
    let connections = connections(flags)?;
    let stop = interrupts()?;
    let page = flags.report.as_deref().map(PageFile::open).transpose()?;
    let (plan, store) = prepared(flags)?;
    let (bounds, show) = (plan.bounds, Show::new(flags.output.as_deref()));
    let before = cpu::of_this_thread();
    let (tally, turns) = match flags.engine {
        EngineName::Windlass => on_windlass(plan, connections, store, show, stop)?,
        EngineName::Tokio => (on_tokio(plan, store, show, stop)?, None),
    };
    let spent = cpu::of_this_thread() - before;
    let report = Report { tally: &tally, engine: flags.engine.as_str(), bounds, spent, turns };
    match flags.output.as_deref() {
        _ if flags.json => writeln!(io::stdout(), "{}", report.json())?,
        Some(output) if output == Path::new("-") => io::stderr().write_all(report.words().as_bytes())?, // stdout has lines
        _ => io::stdout().write_all(report.words().as_bytes())?,
    }
    if let Some(page) = page {
        page.write(&page::page(&report.json(), &tally.timeline, settings))?;
    }
    Ok(tally)
}

/// How many connections there may be, those that idle included: more would find no descriptor, and every host that is met
/// after that would seem to be gone.
fn connections(flags: &Flags) -> Result<usize, Trouble> {
    let ends = if flags.urls.is_empty() { 2 } else { 1 }; // those of the site of its own are in this process, too
    let wanted = ends * u64::from(flags.concurrency) + SPARE_DESCRIPTORS;
    let allowed = Descriptors::read()?.raise(wanted)?.soft.min(wanted);
    match allowed.saturating_sub(OWN_DESCRIPTORS) / ends {
        0 => Err(Trouble::Usage(format!("{allowed} descriptors are too few: see ulimit -n"))),
        connections => Ok(usize::try_from(connections).unwrap_or(usize::MAX)),
    }
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
    if let Some(warc) = &flags.warc {
        let why = match flags.engine {
            _ if warc == Path::new("-") => Some("--warc wants a file"),
            EngineName::Tokio => {
                Some("--engine tokio does not tell what came as it came: --warc wants --engine windlass")
            }
            EngineName::Windlass => None,
        };
        if let Some(why) = why {
            return Err(Trouble::Usage(why.to_owned()));
        }
    }
    let mut ledger = Ledger::open(flags.state.as_deref())?;
    let site = match flags.site(ledger.began().and_then(|began| began.site)) {
        Some((site, port)) => Some((site, site.serve(port)?.port())),
        None => None,
    };
    let plan = flags.plan(site);
    let window = Window::for_bounds(&plan.bounds);
    ledger.begin(flags.began(&plan, site), [flags.output.as_deref(), flags.warc.as_deref()], window)?;
    Ok((plan, Store::start(ledger, flags.batch as usize, &flags.user_agent)?))
}

type Carried = (Tally, Option<Turns>);

fn on_windlass(plan: Plan, connections: usize, store: Store, show: Show, stop: UnixStream) -> Result<Carried, Trouble> {
    let crank = Loop::builder().histograms().build()?;
    let engine = OnWindlass::new(&plan.manners, connections);
    let (tally, histograms) = crank.block_on(async {
        let stop = OnWindlass::readable(stop);
        let tally = crawl(engine, plan, store, move |tally, sizes| show.look(tally, sizes), stop).await;
        (tally, crank.histograms()) // the last poll, in which all is closed, is not among them: it holds nobody up
    });
    let (tally, sum) = (tally?, crank.metrics());
    let poll_time = histograms.expect("they were asked for").poll_time;
    let us = |span: Duration| span.as_secs_f64() * 1e6;
    let turns = Turns {
        ticks: sum.ticks,
        polls: sum.sum.polls,
        wakes: sum.sum.wakes,
        syscalls: sum.sum.syscalls,
        poll_p99_us: us(poll_time.quantile(0.99).unwrap_or_default()),
        poll_max_us: us(poll_time.max()),
    };
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
    let (told, mut teller) = UnixStream::pair()?;
    let mut signals = Signals::new([SIGINT])?;
    thread::Builder::new().name("interrupt".to_owned()).spawn(move || {
        let mut meant = process::meant(&mut signals);
        if meant.next().is_some() {
            let _ = teller.write_all(b"!"); // nobody reads it if the crawl is over
        }
        if meant.next().is_some() {
            signal_hook::low_level::exit(INTERRUPTED.into());
        }
    })?;
    told.set_nonblocking(true)?;
    Ok(told)
}

/// The file of `--report`, opened before the crawl begins: who cannot write it hears of it then. What is in it from before
/// stays until there is something new.
struct PageFile<'a> {
    path: &'a Path,
    file: File,
}

impl<'a> PageFile<'a> {
    fn open(path: &'a Path) -> io::Result<Self> {
        let file = File::options().write(true).create(true).truncate(false).open(path);
        Ok(Self { path, file: file.map_err(|error| named(path, &error))? })
    }

    fn write(mut self, page: &str) -> io::Result<()> {
        let written = self.file.metadata().and_then(|has| match has.is_file() {
            true => self.file.set_len(0),
            false => Ok(()), // a device, which has no length
        });
        let written = written.and_then(|()| self.file.write_all(page.as_bytes()));
        written.map_err(|error| named(self.path, &error))
    }
}
