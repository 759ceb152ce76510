//! crawl, killed and started again.
//!
//! ```text
//!     a server of the story's own ── counts each request, and says when it is time ──► kill -9, start again, …
//!     the output of all runs together ══ the output of one that nobody killed
//! ```
//!
//! Not here: what is in the state, and every step at which it may be cut off (`examples/crawl/store/ledger.rs`).
//! Next: `crawl`.

#![allow(clippy::unwrap_used)] // a story that cannot go on says where it stopped

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    hash::{BuildHasher, RandomState},
    io::{BufRead, BufReader},
    net::{Ipv4Addr, TcpListener},
    path::Path,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, mpsc},
    thread,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;
use windlass::{
    Loop,
    http::{Incoming, Reply, Server},
};
use windlass_tests::{
    program::{Done, program, run},
    servers::Folder,
};

/// Longer than any answer takes, also where the machine has other things to do.
const PATIENCE: Duration = Duration::from_secs(20);

/// Pages that links lead to, and pages that the sitemap names.
const PAGES: u64 = 700;
const NAMED: u64 = 60;

/// A site that outlives who crawls it.
struct Site {
    url: String,
    /// How often each page was asked for.
    asked: Arc<Mutex<BTreeMap<String, u32>>>,
    /// One for each time that one is.
    asks: mpsc::Receiver<()>,
}

impl Site {
    fn serve() -> Site {
        let (told, tell) = mpsc::channel();
        let (ask, asks) = mpsc::channel();
        let asked = Arc::new(Mutex::new(BTreeMap::new()));
        let counted = asked.clone();
        thread::spawn(move || {
            Loop::new().unwrap().block_on(async {
                let server = Server::bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
                told.send(server.local_addr().unwrap()).unwrap();
                let answer = move |request: &Incoming<'_>| {
                    if let Some(page) = request.target().strip_prefix("/p/") {
                        *counted.lock().unwrap().entry(request.target().to_owned()).or_insert(0) += 1;
                        let _ = ask.send(());
                        return page.parse().map_or_else(|_| Reply::text(404, "no page"), Self::page);
                    }
                    match request.target() {
                        "/robots.txt" => {
                            let map = format!("Sitemap: http://{}/map.txt\n", request.host());
                            Reply::text(200, format!("User-agent: *\nDisallow: /p/7$\n{map}"))
                        }
                        "/map.txt" => {
                            let urls =
                                (PAGES..PAGES + NAMED).map(|page| format!("http://{}/p/{page}\n", request.host()));
                            Reply::text(200, urls.collect::<String>())
                        }
                        _ => Reply::text(404, "nothing"),
                    }
                };
                server.run(answer).await.unwrap();
            });
        });
        Site { url: format!("http://{}/p/0", tell.recv().unwrap()), asked, asks }
    }

    fn page(page: u64) -> Reply {
        match page {
            1.. if page.is_multiple_of(11) => Reply::text(404, "gone"),
            1.. if page.is_multiple_of(13) => Reply::text(302, "").header("Location", format!("{}", page * 31 % PAGES)),
            _ => {
                let links = [page * 3 + 1, page * 3 + 2, page * 3 + 3, page * 17 % PAGES];
                let links = links.into_iter().filter(|page| *page < PAGES);
                let text: String = links.map(|page| format!("<a href={page}>{page}</a>")).collect();
                Reply::bytes(200, text.into_bytes()).header("Content-Type", "text/html")
            }
        }
    }

    /// How often a page was asked for that had been before.
    fn again(&self) -> u32 {
        self.asked.lock().unwrap().values().map(|times| times - 1).sum()
    }
}

fn crawl(line: &str) -> Command {
    let mut command = Command::new(program("crawl"));
    command.args(line.split_whitespace()).stdin(Stdio::null());
    command
}

fn done(line: &str) -> Done {
    run(&mut crawl(line))
}

fn report(line: &str) -> Value {
    let done = done(&format!("--json {line}"));
    serde_json::from_str(&done.stdout).unwrap_or_else(|error| panic!("{error}: {}", done.stderr))
}

/// The lines of an output, by their URLs.
fn lines(file: &Path) -> BTreeMap<String, Value> {
    let mut lines = BTreeMap::new();
    for line in fs::read_to_string(file).unwrap().lines() {
        let line: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        let before = lines.insert(line["url"].as_str().unwrap().to_owned(), line);
        assert!(before.is_none(), "it has a line already: {before:?}");
    }
    lines
}

/// What of an output does not depend on who came first: where a crawl has been, and what it met there.
fn met(lines: &BTreeMap<String, Value>) -> (BTreeSet<String>, BTreeMap<String, String>) {
    let text = |line: &Value, name: &str| line[name].as_str().unwrap().to_owned();
    let urls = lines.values().flat_map(|line| ["url", "final_url"].map(|name| text(line, name)));
    let there = lines.values().filter(|line| line["status"] != 302).map(|line| {
        let of_page = ["status", "type", "bytes_wire", "bytes_decoded", "error"].map(|name| line[name].to_string());
        (text(line, "final_url"), of_page.join(" "))
    });
    (urls.collect(), there.collect())
}

/// Waits until a crawl has written more than `bytes` to `file`, and says how many.
fn await_lines(child: &mut Child, file: &Path, bytes: u64) -> u64 {
    let began = Instant::now();
    loop {
        let there = fs::metadata(file).map_or(0, |file| file.len());
        if there > bytes {
            return there;
        }
        if let Some(status) = child.try_wait().unwrap() {
            panic!("it ended with {status}, and {} has {there} bytes", file.display());
        }
        assert!(began.elapsed() < PATIENCE, "after {PATIENCE:?} {} has {there} bytes", file.display());
        thread::yield_now();
    }
}

fn end(mut child: Child, signal: Signal) -> Option<i32> {
    kill(Pid::from_raw(child.id() as i32), signal).unwrap();
    child.wait().unwrap().code()
}

#[test]
fn killed_fifty_times_it_has_what_it_would_have_had_and_fetches_little_twice() {
    let seed = RandomState::new().hash_one(0);
    println!("seed {seed}");
    let mut random = seed;
    let (site, folder) = (Site::serve(), Folder::new());
    let at = |name: &str| folder.path().join(name).display().to_string();
    let (concurrency, batch) = (4, 8);
    let line = format!("{} --concurrency {concurrency} --batch {batch}", site.url);
    let line = |name: &str| format!("{line} --state {} --output {}", at(&format!("{name}.state")), at(name));
    for killed in 0..50 {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let child = crawl(&line("killed")).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        site.asks.try_iter().for_each(drop);
        for _ in 0..1 + random % 28 {
            site.asks.recv_timeout(PATIENCE).unwrap();
        }
        end(child, Signal::SIGKILL);
        assert!(site.again() <= killed * (concurrency + batch), "{} again, killed {killed} times", site.again());
    }
    let report = report(&line("killed"));
    let (again, of_killed) = (site.again(), lines(Path::new(&at("killed"))));
    println!("{again} pages were fetched again, after 50 kills");
    assert!(again <= 50 * (concurrency + batch));
    assert!(report["earlier"].as_u64().unwrap() > 0);
    assert_eq!(report["earlier"].as_u64().unwrap() + report["pages"].as_u64().unwrap(), of_killed.len() as u64);
    assert_eq!(done(&line("whole")).status, Some(0));
    assert_eq!(met(&of_killed), met(&lines(Path::new(&at("whole")))));
    assert!(of_killed.keys().any(|url| url.ends_with(&format!("/p/{PAGES}"))), "the sitemap was read");
}

#[test]
fn ctrl_c_leaves_the_rest_to_the_next_run_at_the_same_port_and_a_budget_is_for_all_runs() {
    let folder = Folder::new();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let line = format!("--state {} --output {} --concurrency 8", at("state"), at("pages"));
    let mut child = crawl(&format!("{line} --site-pages 300 --site-seed 5 --rate 400"))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    await_lines(&mut child, Path::new(&at("pages")), 0);
    assert_eq!(end(child, Signal::SIGINT), Some(130));
    let first = lines(Path::new(&at("pages")));
    let more = first.len() as u64 + 20;
    // What the site was is not said again.
    let next = report(&format!("{line} --max-pages {more}"));
    assert_eq!((&next["earlier"], &next["pages"]), (&(first.len() as u64).into(), &20.into()));
    assert!(next["skipped"]["budget"].as_u64().unwrap() > 0);
    let none = report(&format!("{line} --max-pages {more}"));
    assert_eq!((&none["earlier"], &none["pages"]), (&more.into(), &0.into()));
    let port = first.keys().next().unwrap().split(['/', ':']).nth(4).unwrap().parse().unwrap();
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
    let refused = done(&line);
    let words = format!("the embedded site at 127.0.0.1:{port}: ");
    assert!(refused.status == Some(1) && refused.stderr.contains(&words), "{}", refused.stderr);
    drop(taken);
    let last = report(&line);
    assert_eq!((&last["left"], last["skipped"]["budget"].as_u64()), (&0.into(), Some(0)));
    let all = lines(Path::new(&at("pages")));
    assert_eq!(more + last["pages"].as_u64().unwrap(), all.len() as u64);
    assert_eq!(report("--site-pages 300 --site-seed 5")["pages"].as_u64().unwrap().abs_diff(all.len() as u64) / 20, 0);
}

#[test]
fn a_state_of_another_crawl_is_refused_and_one_that_is_in_use() {
    let folder = Folder::new();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let state = format!("--state {}", at("state"));
    assert_eq!(done(&format!("{state} --site-pages 20")).status, Some(0));
    for (line, words) in [
        ("--site-pages 21", "begun with --site-pages 20; this one is with --site-pages 21"),
        ("--scope host --max-depth 3", "begun with --max-depth none; this one is with --max-depth 3"),
        ("--include x", "begun without --include; this one is with --include x"),
        ("--ignore-robots", "begun without --ignore-robots"),
        ("http://127.0.0.1:9/", "another crawl"),
        ("--output -", "--output - cannot be cut"),
    ] {
        let refused = done(&format!("{state} {line}"));
        assert!(refused.status == Some(2) && refused.stderr.contains(words), "{line}: {}", refused.stderr);
    }
    let output = format!("--state {} --output {}", at("other"), at("pages"));
    let mut first = crawl(&format!("{output} --rate 5")).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let written = await_lines(&mut first, Path::new(&at("pages")), 0);
    await_lines(&mut first, Path::new(&at("pages")), written); // so what was written first is in the state
    let refused = done(&output);
    assert!(refused.status == Some(2) && refused.stderr.contains("another process has it open"), "{}", refused.stderr);
    end(first, Signal::SIGKILL);
    fs::write(at("pages"), "").unwrap();
    let refused = done(&output);
    assert!(refused.status == Some(2) && refused.stderr.contains("it has 0 bytes"), "{}", refused.stderr);
    fs::write(folder.path().join("state/crawl.redb"), "a poem").unwrap();
    let refused = done(&format!("{state} --site-pages 20"));
    assert!(refused.status == Some(2) && refused.stderr.contains("it is no state of a crawl"), "{}", refused.stderr);
}

#[test]
fn a_disk_that_is_full_ends_it_with_a_word() {
    let mut child =
        crawl("--site-pages 300 --output /dev/full").stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let mut said = String::new();
    BufReader::new(child.stderr.take().unwrap()).read_line(&mut said).unwrap();
    assert_eq!((child.wait().unwrap().code(), said.starts_with("crawl: /dev/full: ")), (Some(1), true), "{said}");
}
