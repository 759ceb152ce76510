//! What crawling costs: the program `crawl` on either engine, and a server that has the other core.
//!
//! ```text
//!      core 0: crawl --json --engine windlass | tokio        core 1: crawl --serve, nginx, or whoever answers slowly
//! ```
//!
//! The programs are those that users run, and what they report is what is measured. Where a row is about the client alone the
//! peer is hyper on `LocalRuntime`, as `hundred_thousand` has it.
//!
//! Next: `harness::rows`.

use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use windlass::Loop;
use windlass::http::{Incoming, Reply, Server};

use super::cores::{self, Core};
use super::meter::peak_of;
use crate::runtimes::Side;

/// What is crawled.
#[derive(Clone, Copy)]
pub(crate) enum Crawl {
    /// The program's own site: small pages, all of them plain.
    Plain,
    /// The documentation of the standard library, as rustup ships it, served by nginx.
    Documentation,
    /// URLs that take their server a second each, all at once; beside hyper, which only fetches them.
    Sleepers,
    /// The same, in twenty slots.
    TwentySlots,
    /// Pages at a rate that was asked for.
    Rate,
    /// One page of 10 MB that leads to so many others: how long it makes all else wait.
    LargePage,
    /// Sitemaps of so many URLs, of which hardly any is fetched: what the others take while they wait.
    Queue,
}

/// Pages a second that are asked for in the row about it.
const RATE: f64 = 250.0;

/// Figures by name.
type Seen = Vec<(&'static str, f64)>;
type Outcome = Result<Seen, String>;

impl Crawl {
    pub(crate) fn sides(self) -> &'static [Side] {
        match self {
            Crawl::LargePage | Crawl::Queue => &[Side::Windlass],
            _ => &[Side::Windlass, Side::LocalRuntime],
        }
    }

    /// Fetches `pages` pages, or as many as there are.
    pub(crate) fn run(self, side: Side, pages: u64) -> Outcome {
        let programs = programs()?;
        let engine = if side == Side::OURS { "windlass" } else { "tokio" };
        let crawl = || {
            let mut crawl = Command::new(programs.join("crawl"));
            crawl.args(["--json", "--engine", engine]);
            crawl
        };
        match self {
            Crawl::Plain => {
                let site = Site::start(&programs, pages)?;
                let mut crawl = crawl();
                crawl.args(["--scope", "any", "--per-host", "50"]).args(&site.arguments);
                Ok(per_page(&report(&mut crawl)?.0))
            }
            Crawl::Rate => {
                let site = Site::start(&programs, pages)?;
                let mut crawl = crawl();
                crawl.args(["--scope", "any", "--rate", &RATE.to_string()]).args(&site.arguments);
                let rate = number(&report(&mut crawl)?.0, "pages_per_s");
                Ok(vec![("percent_off", (rate / RATE - 1.0).abs() * 100.0)])
            }
            Crawl::Documentation => {
                let nginx = Nginx::start()?;
                let begin = format!("http://{}/std/index.html", nginx.address);
                let mut crawl = crawl();
                crawl.args(["--ignore-robots", "--scope", "prefix", "--per-host", "50", &begin]);
                if pages > 0 {
                    crawl.args(["--max-pages", &pages.to_string()]);
                }
                let report = report(&mut crawl)?.0;
                if number(&report, "ok") != number(&report, "pages") {
                    return Err(format!("not every page is there: {}", report["status"]));
                }
                Ok(per_page(&report))
            }
            Crawl::LargePage => {
                let server = Slow::start()?;
                let mut least = [f64::INFINITY; 2];
                for _ in 0..5 {
                    let mut crawl = crawl();
                    crawl.args(["--ignore-robots", "--no-sitemaps", "--max-pages", "1"]);
                    cores::pin(Core::Any); // what is started now inherits it: its other thread is not to be in its way
                    let report = report(crawl.arg(server.url(&format!("large/{pages}"))));
                    cores::pin(Core::First);
                    let report = report?.0;
                    let (links, bytes) = (number(&report["skipped"], "budget"), number(&report, "bytes_decoded"));
                    if (links, bytes) != (pages as f64, LARGE as f64) {
                        return Err(format!("of {pages} links and {LARGE} bytes it has read {links} and {bytes}"));
                    }
                    let polls = ["poll_max_us", "poll_p99_us"].map(|name| number(&report["loop"], name));
                    least = [least[0].min(polls[0]), least[1].min(polls[1])];
                }
                Ok(vec![("poll_max_us", least[0]), ("poll_p99_us", least[1])])
            }
            Crawl::Queue => {
                let server = Slow::start()?;
                let mut crawl = crawl();
                crawl.args(["--rate", "20", "--max-time", &(10 + pages / 50_000).to_string()]);
                for nth in 0..pages.div_ceil(URLS_MAX) {
                    crawl.args(["--sitemap", &server.url(&format!("maps/{pages}/{nth}"))]);
                }
                let (report, peak_rss) = report(crawl.arg(server.url("")))?;
                let queued = number(&report, "left");
                if !(0.99 * pages as f64..).contains(&queued) {
                    return Err(format!(
                        "of {pages} URLs only {queued} are in line: their number is what the row is about"
                    ));
                }
                Ok(vec![("queued", queued), ("peak_rss_mb", peak_rss as f64 / 1e6)])
            }
            Crawl::Sleepers | Crawl::TwentySlots => {
                let server = Slow::start()?;
                let slots = if matches!(self, Crawl::Sleepers) { pages } else { 20 }.to_string();
                if matches!(self, Crawl::Sleepers) && side != Side::OURS {
                    let mut fetch = Command::new(programs.join("hundred_thousand"));
                    fetch.args(["--json", "--engine", "tokio", "--requests", &pages.to_string()]);
                    fetch.args(["--concurrency", &slots, "--per-host", &slots, "--url", &server.url("")]);
                    let run = report(&mut fetch)?.0["runs"][0].take();
                    return Ok(vec![
                        ("seconds", number(&run, "elapsed_s")),
                        ("peak_rss_mb", number(&run, "peak_rss_kb") / 1e3),
                    ]);
                }
                let urls: String = (0..pages).map(|page| server.url(&page.to_string()) + "\n").collect();
                let mut crawl = crawl();
                crawl.args(["--ignore-robots", "--concurrency", &slots, "--per-host", &slots, "--urls-from", "-"]);
                let (report, peak_rss) = report_of(&mut crawl, &urls)?;
                let pages_ok = number(&report, "ok");
                if pages_ok != pages as f64 {
                    return Err(format!("{pages_ok} of {pages} pages came"));
                }
                Ok(vec![("seconds", number(&report, "elapsed_s")), ("peak_rss_mb", peak_rss as f64 / 1e6)])
            }
        }
    }
}

fn per_page(report: &Value) -> Seen {
    let (pages, elapsed) = (number(report, "pages"), number(report, "elapsed_s"));
    let busy = number(&report["limits"], "loop"); // the share of the time in which the loop's thread ran
    vec![("pages", pages), ("wall_us", elapsed / pages * 1e6), ("cpu_us", elapsed * busy / pages * 1e6)]
}

fn number(of: &Value, name: &str) -> f64 {
    of[name].as_f64().unwrap_or(f64::NAN)
}

/// What the program reports.
fn report(program: &mut Command) -> Result<(Value, u64), String> {
    report_of(program, "")
}

/// What the program reports that reads `input`; and how many bytes it had resident, at the most.
fn report_of(program: &mut Command, input: &str) -> Result<(Value, u64), String> {
    let name = program.get_program().display().to_string();
    let program = program.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = program.spawn().map_err(|error| format!("starting {name}: {error}"))?;
    let written = child.stdin.take().expect("standard input is piped").write_all(input.as_bytes());
    written.map_err(|error| format!("writing to {name}: {error}"))?;
    let mut peak = 0;
    let status = loop {
        peak = peak_of(&child.id().to_string()).unwrap_or(peak);
        match child.try_wait().map_err(|error| format!("waiting for {name}: {error}"))? {
            Some(status) => break status,
            None => std::thread::sleep(Duration::from_millis(5)), // what it prints is less than a pipe holds
        }
    };
    let report = serde_json::from_reader(child.stdout.take().expect("standard output is piped"));
    let report = report.map_err(|error| format!("{name} ended with {status}, and without a report: {error}"))?;
    Ok((report, peak))
}

/// Brings the programs up to date.
pub(crate) fn build() -> Result<(), String> {
    let mut build = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    build.args(["build", "--quiet", "--release", "--package", "windlass-examples"]);
    build.args(["--example", "crawl", "--example", "hundred_thousand"]);
    let built = build.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("..")).status();
    if built.is_ok_and(|status| status.success()) { Ok(()) } else { Err("the programs do not build".to_owned()) }
}

/// The folder of the programs.
fn programs() -> Result<PathBuf, String> {
    let this = std::env::current_exe().map_err(|error| format!("finding this program: {error}"))?;
    let profile = this.parent().and_then(Path::parent).ok_or("benches are in target/release/deps")?;
    Ok(profile.join("examples"))
}

/// Answers every request after a second, on the other core, until it is killed; after telling its address. `/maps/N/K` is, at
/// once, the Kth of the sitemaps that name N URLs in all, and `/large/N` the large page with so many links.
pub(crate) fn serve_slowly() -> io::Result<()> {
    Loop::new()?.block_on(async {
        let server = Server::bind((Ipv4Addr::LOCALHOST, 0).into())?;
        let address = server.local_addr()?;
        println!("{address}");
        let answer = move |request: &Incoming<'_>| {
            if let Some(which) = request.target().strip_prefix("/maps/") {
                Reply::text(200, sitemap(which, &format!("http://{address}")))
            } else if let Some(links) = request.target().strip_prefix("/large/") {
                Reply::bytes(200, large(links.parse().unwrap_or(0))).header("Content-Type", "text/html")
            } else {
                Reply::text(200, "at last").delay(Duration::from_secs(1))
            }
        };
        server.run(answer).await
    })
}

/// Bytes of the large page.
const LARGE: usize = 10_000_000;

/// So many links, evenly, among words.
fn large(links: usize) -> String {
    let mut page = String::with_capacity(LARGE);
    for link in 0..links {
        page += &format!("<p><a class=\"next\" href=\"/{}/{link}.html\">on</a> ", "%d0%bb".repeat(18));
        let end = (link + 1) * (LARGE / links);
        while page.len() + "word ".len() <= end {
            page += "word ";
        }
    }
    page.extend(std::iter::repeat_n(' ', LARGE - page.len()));
    page
}

/// URLs that one sitemap may name.
const URLS_MAX: u64 = 50_000;

fn sitemap(which: &str, at: &str) -> String {
    let (all, nth) = which.split_once('/').unwrap_or_default();
    let number = |text: &str| text.parse::<u64>().unwrap_or(0);
    let first = number(nth) * URLS_MAX;
    let urls = first..number(all).min(first + URLS_MAX);
    let locations = urls.map(|url| format!("<url><loc>{at}/page/{url}</loc></url>"));
    let locations = locations.collect::<String>();
    format!("<urlset xmlns=\"http://www.sitemaps.org/schemas/sitemap/0.9\">{locations}</urlset>")
}

/// A process on the other core, killed when this is dropped.
struct Partner(Child);

impl Partner {
    /// Starts it, and reads the first line that it prints.
    fn start(program: &mut Command) -> Result<(Partner, String), String> {
        let name = program.get_program().display().to_string();
        cores::pin(Core::Other); // what is started now inherits it
        let started = program.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        cores::pin(Core::First);
        let mut process = started.map_err(|error| format!("starting {name}: {error}"))?;
        let stdout = process.stdout.take().expect("standard output is piped");
        let partner = Partner(process);
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line).map_err(|error| format!("reading from {name}: {error}"))?;
        Ok((partner, line))
    }
}

impl Drop for Partner {
    fn drop(&mut self) {
        // It may have ended by itself, which is as good.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The program's own site.
struct Site {
    _process: Partner,
    /// Where to begin, and where its hosts are.
    arguments: Vec<String>,
}

impl Site {
    fn start(programs: &Path, pages: u64) -> Result<Site, String> {
        let mut serve = Command::new(programs.join("crawl"));
        serve.args(["--serve", "--site-plain", "--site-pages", &pages.to_string()]);
        let (process, line) = Partner::start(&mut serve)?;
        let told: Value = serde_json::from_str(&line).map_err(|error| format!("crawl --serve: {error}"))?;
        let resolve = told["resolve"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let mut arguments: Vec<_> = resolve.flat_map(|at| ["--resolve".to_owned(), at.to_owned()]).collect();
        arguments.push(told["url"].as_str().unwrap_or_default().to_owned());
        Ok(Site { _process: process, arguments })
    }
}

/// [`serve_slowly`], as another process.
struct Slow {
    _process: Partner,
    address: SocketAddr,
}

impl Slow {
    fn start() -> Result<Slow, String> {
        let program = std::env::current_exe().map_err(|error| format!("finding this program: {error}"))?;
        let (process, line) = Partner::start(Command::new(program).arg("--slow-server"))?;
        let address = line.trim().parse().map_err(|_| "the slow server did not tell its address".to_owned())?;
        Ok(Slow { _process: process, address })
    }

    fn url(&self, page: &str) -> String {
        format!("http://{}/{page}", self.address)
    }
}

/// nginx with the documentation of the standard library.
struct Nginx {
    process: Child,
    folder: PathBuf,
    address: SocketAddr,
}

impl Nginx {
    fn start() -> Result<Nginx, String> {
        let sysroot = Command::new("rustc").args(["--print", "sysroot"]).output();
        let sysroot = sysroot.ok().and_then(|output| String::from_utf8(output.stdout).ok()).unwrap_or_default();
        let documentation = Path::new(sysroot.trim()).join("share/doc/rust/html");
        if !documentation.join("std/index.html").is_file() {
            return Err(format!("no {}: `rustup component add rust-docs` brings it", documentation.display()));
        }
        let free = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr());
        let address = free.map_err(|error| format!("a port for nginx: {error}"))?;
        let folder = std::env::temp_dir().join(format!("windlass-bench-{}", std::process::id()));
        let named = |error: io::Error| format!("{}: {error}", folder.display());
        fs::create_dir_all(&folder).map_err(named)?;
        let configuration = format!(
            "daemon off; master_process off; pid {folder}/pid; error_log {folder}/errors;
             events {{ worker_connections 4096; }}
             http {{ access_log off; sendfile on; keepalive_requests 1000000; client_body_temp_path {folder};
                     proxy_temp_path {folder}; fastcgi_temp_path {folder}; uwsgi_temp_path {folder}; scgi_temp_path {folder};
                     types {{ text/html html; text/css css; text/javascript js; image/svg+xml svg; }}
                     server {{ listen {address} backlog=4096; root {root}; }} }}",
            folder = folder.display(),
            root = documentation.display(),
        );
        fs::write(folder.join("conf"), configuration).map_err(named)?;
        let mut command = Command::new("nginx");
        command.arg("-c").arg(folder.join("conf")).arg("-e").arg(folder.join("errors"));
        cores::pin(Core::Other); // what is started now inherits it
        let started = command.stdin(Stdio::null()).spawn();
        cores::pin(Core::First);
        let process = started.map_err(|error| format!("nginx: {error}"))?;
        let nginx = Nginx { process, folder, address };
        for _ in 0..200 {
            if std::net::TcpStream::connect(address).is_ok() {
                return Ok(nginx);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Err("nginx does not answer".to_owned())
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // It may have ended by itself, which is as good.
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}
