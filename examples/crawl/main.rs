//! A crawler.
//!
//! ```text
//!     flags ─► plan ─► crawl ◄──► frontier: who is next
//!                        │  ◄──── scope: who is let in
//!                        ├──────► engine: windlass or tokio
//!                        ├──────► output: a line a page
//!                        └──────► report
//! ```
//!
//! Run it: `cargo run --release --example crawl`, or with a URL behind `--`; `--help` tells the rest.
//!
//! | file | chapter |
//! |---|---|
//! | `flags`, `plan` | what is asked for; what is to be done |
//! | `scope` | which URLs are fetched at all |
//! | `frontier` | which of them is next |
//! | `crawl` | from a URL to its links |
//! | `engine` | who carries the requests |
//! | `cpu`, `timeline`, `limits` | what it costs; when it was like what; what holds it back |
//! | `report`, `page` | what it was like, in words, JSON and plots |
//! | `show` | how far it is |
//! | `site` | a site to crawl, for who names none |
//!
//! Not here: any of these; this page only puts them in order. What it cannot do yet: go on after it was killed, WARC files,
//! sitemaps.   Next: `flags`.

mod cpu;
mod crawl;
mod engine;
mod flags;
mod frontier;
mod limits;
mod page;
mod plan;
mod report;
mod scope;
mod show;
mod site;
mod timeline;

use std::{
    cell::RefCell,
    fs::File,
    io::{self, BufWriter, Write},
    os::unix::net::UnixStream,
    path::Path,
    process::ExitCode,
    rc::Rc,
    sync::{Arc, atomic::AtomicBool},
};

use signal_hook::consts::SIGINT;
use tokio::runtime::LocalOptions;
use windlass::Loop;
use windlass_examples::limits::Descriptors;

use crate::{
    crawl::{Output, crawl},
    engine::{Engine, on_tokio::OnTokio, on_windlass::OnWindlass},
    flags::{EngineName, Flags},
    plan::Plan,
    report::{Line, Report, Tally},
    show::Show,
};

/// What a shell says of a program that Ctrl-C ended.
const INTERRUPTED: u8 = 130;

/// What the process has open besides a connection for each fetch: files, the loop's own, connections that idle.
const SPARE_DESCRIPTORS: u64 = 1_000;

fn main() -> ExitCode {
    let (mut flags, settings) = Flags::from_command_line();
    let done = if flags.serve { serve(&flags).map(|()| None) } else { run(&mut flags, &settings).map(Some) };
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

enum Trouble {
    /// It cannot be done so.
    Usage(String),
    System(io::Error),
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Trouble::System(error)
    }
}

/// Serves the embedded site until stdin ends.
fn serve(flags: &Flags) -> Result<(), Trouble> {
    let site = flags.site().expect("no URL goes with --serve");
    let port = site.serve()?.port();
    let resolve: Vec<_> = (0..site.hosts).map(|host| format!("{}:{port}:127.0.0.1", site.host(host))).collect();
    writeln!(io::stdout(), "{}", serde_json::json!({ "url": site.url(0, port), "resolve": resolve }))?;
    io::copy(&mut io::stdin().lock(), &mut io::sink())?;
    Ok(())
}

fn run(flags: &mut Flags, settings: &[(String, String)]) -> Result<Tally, Trouble> {
    flags.read_urls().map_err(Trouble::Usage)?;
    Descriptors::read()?.raise(u64::from(flags.concurrency) + SPARE_DESCRIPTORS)?;
    let stop = interrupts()?;
    let page = flags.report.as_deref().map(PageFile::open).transpose()?;
    let lines = Lines::to(flags.output.as_deref(), flags.json)?;
    let failed = lines.failed.clone();
    let site = match flags.site() {
        Some(site) => Some((site, site.serve()?.port())),
        None => None,
    };
    let plan = flags.plan(site);
    let (bounds, show) = (plan.bounds, Show::new(flags.output.as_deref()));
    let before = cpu::of_this_thread();
    let (tally, turns) = match flags.engine {
        EngineName::Windlass => on_windlass(plan, lines, show, stop)?,
        EngineName::Tokio => (on_tokio(plan, lines, show, stop)?, None),
    };
    let spent = cpu::of_this_thread() - before;
    if let Some(error) = failed.take() {
        return Err(Trouble::System(error));
    }
    let report = Report { tally: &tally, engine: flags.engine.as_str(), bounds, spent, turns };
    let text = if flags.json { format!("{}\n", report.json()) } else { report.words() };
    io::stdout().write_all(text.as_bytes())?;
    if let Some(page) = page {
        page.write(&page::page(&report.json(), &tally.timeline, settings))?;
    }
    Ok(tally)
}

type Carried = (Tally, Option<serde_json::Value>);

fn on_windlass(plan: Plan, lines: Lines, show: Show, stop: UnixStream) -> Result<Carried, Trouble> {
    let crank = Loop::new()?;
    let engine = OnWindlass::new(&plan.manners);
    let tally = crank.block_on(async {
        let stop = OnWindlass::readable(stop);
        crawl(engine, plan, Box::new(lines), move |tally, sizes| show.look(tally, sizes), stop).await
    });
    let sum = crank.metrics();
    let turns = serde_json::json!({
        "ticks": sum.ticks, "polls": sum.sum.polls, "wakes": sum.sum.wakes, "syscalls": sum.sum.syscalls,
    });
    Ok((tally, Some(turns)))
}

fn on_tokio(plan: Plan, lines: Lines, show: Show, stop: UnixStream) -> Result<Tally, Trouble> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build_local(LocalOptions::default())?;
    let engine = OnTokio::new(&plan.manners).map_err(Trouble::Usage)?;
    Ok(runtime.block_on(async {
        let stop = OnTokio::readable(stop);
        crawl(engine, plan, Box::new(lines), move |tally, sizes| show.look(tally, sizes), stop).await
    }))
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

/// The file of `--report`, opened before the crawl begins: who cannot write it hears of it then. What is in it from before
/// stays until there is something new.
struct PageFile<'a> {
    path: &'a Path,
    file: File,
}

impl<'a> PageFile<'a> {
    fn open(path: &'a Path) -> io::Result<Self> {
        let file = File::options().write(true).create(true).truncate(false).open(path);
        Ok(Self { path, file: file.map_err(|error| named(path, error))? })
    }

    fn write(mut self, page: &str) -> io::Result<()> {
        let written = self.file.set_len(0).and_then(|()| self.file.write_all(page.as_bytes()));
        written.map_err(|error| named(self.path, error))
    }
}

/// Says which file an error is about.
fn named(path: &Path, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

/// Writes lines, as JSON.
struct Lines {
    to: Option<Box<dyn Write>>,
    /// What went wrong, when it did: nothing is written after that.
    failed: Rc<RefCell<Option<io::Error>>>,
}

impl Lines {
    /// # Errors
    /// There can be no such file, or stdout is for something else.
    fn to(path: Option<&Path>, json: bool) -> Result<Self, Trouble> {
        let to: Option<Box<dyn Write>> = match path {
            None => None,
            Some(path) if path == Path::new("-") => {
                if json {
                    return Err(Trouble::Usage("--output - and --json both want stdout".to_owned()));
                }
                Some(Box::new(io::stdout())) // a line at a time
            }
            Some(path) => Some(Box::new(BufWriter::new(File::create(path).map_err(|error| named(path, error))?))),
        };
        Ok(Self { to, failed: Rc::default() })
    }
}

impl Output for Lines {
    fn line(&mut self, line: &Line<'_>) {
        let Some(to) = &mut self.to else { return };
        let text = serde_json::to_string(line).expect("lines have only string keys and finite numbers");
        if let Err(error) = writeln!(to, "{text}") {
            *self.failed.borrow_mut() = Some(error);
            self.to = None;
        }
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        if let Some(Err(error)) = self.to.as_mut().map(Write::flush) {
            *self.failed.borrow_mut() = Some(error);
        }
    }
}
