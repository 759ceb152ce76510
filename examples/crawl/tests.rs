//! Stories of whole crawls of the embedded site, by either engine.
//!
//! What must be fetched says the site itself, which walks its pages by their numbers and knows no HTML.

#![allow(clippy::unwrap_used)] // a story that cannot go on says where it stopped

use std::{
    collections::BTreeSet,
    env, fs,
    future::pending,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use clap::Parser;
use serde_json::Value;
use windlass::Loop;

use crate::{
    crawl::crawl,
    engine::{on_tokio::OnTokio, on_windlass::OnWindlass},
    flags::{EngineName, Flags},
    report::Tally,
    site::Map,
    store::{
        Store,
        ledger::{Ledger, Window},
    },
};

/// What was fetched, in its order: each page's URL, where redirects led from there, and its parent.
struct Fetched(Vec<(String, String, Option<String>)>);

impl Fetched {
    fn read(text: &str) -> Self {
        let lines = text.lines().map(|line| {
            let line: Value = serde_json::from_str(line).expect("JSON");
            let [url, last, parent] = ["url", "final_url", "parent"].map(|name| line[name].as_str().map(str::to_owned));
            (url.expect("a URL"), last.expect("a URL"), parent)
        });
        let lines: Vec<_> = lines.collect();
        let once: BTreeSet<_> = lines.iter().map(|(url, ..)| url).collect();
        assert_eq!(once.len(), lines.len(), "a line for each page, and no more");
        Self(lines)
    }

    /// What was fetched and should not have been, and the other way round.
    fn differ(&self, reachable: &BTreeSet<String>) -> Vec<String> {
        self.urls().symmetric_difference(reachable).cloned().collect()
    }

    fn urls(&self) -> BTreeSet<String> {
        self.0.iter().flat_map(|(url, last, _)| [url.clone(), last.clone()]).collect()
    }
}

/// Crawls as the command line says; what was fetched, what was counted, and what should have been.
fn crawled(line: &str) -> (Fetched, Tally, BTreeSet<String>) {
    static RUNS: AtomicU32 = AtomicU32::new(0);
    let name = format!("windlass-crawl-lines-{}-{}", std::process::id(), RUNS.fetch_add(1, Ordering::Relaxed));
    let output = env::temp_dir().join(name);
    let flags = Flags::try_parse_from(format!("crawl --attempts 3 {line}").split_whitespace()).expect("flags");
    let (site, port) = flags.site(None).expect("no URL is given");
    let port = site.serve(port).expect("a thread and a port").port();
    let plan = flags.plan(Some((site, port)));
    let mut ledger = Ledger::open(None).unwrap();
    ledger.begin(flags.began(&plan, None), [Some(&output), None], Window::for_bounds(&plan.bounds)).unwrap();
    let store = Store::start(ledger, flags.batch as usize, &flags.user_agent).unwrap();
    let tally = match flags.engine {
        EngineName::Windlass => {
            let engine = OnWindlass::new(&plan.manners, 0);
            Loop::new().unwrap().block_on(crawl(engine, plan, store, |_, _| None, pending()))
        }
        EngineName::Tokio => {
            let engine = OnTokio::new(&plan.manners).unwrap();
            let runtime = tokio::runtime::Builder::new_current_thread();
            let runtime = { runtime }.enable_all().build_local(Default::default()).unwrap();
            runtime.block_on(crawl(engine, plan, store, |_, _| None, pending()))
        }
    };
    let fetched = Fetched::read(&fs::read_to_string(&output).unwrap());
    fs::remove_file(&output).unwrap();
    let map = if flags.no_sitemaps || flags.ignore_robots { Map::Left } else { Map::Read };
    let reachable = site.reachable(port, flags.max_depth, flags.robots(), map);
    (fetched, tally.expect("a disk"), reachable)
}

/// A small site with every kind of page in it.
const SITE: &str = "--site-pages 600 --site-seed 7 --concurrency 50";

#[test]
fn all_that_can_be_reached_is_fetched_and_nothing_else() {
    for engine in ["windlass", "tokio"] {
        let (fetched, tally, reachable) = crawled(&format!("{SITE} --engine {engine}"));
        assert_eq!(fetched.differ(&reachable), [""; 0], "{engine}");
        // An index, two that it names, and one that is not there.
        assert_eq!((tally.sitemaps, tally.sitemaps_failed), (3, 1), "{engine}");
        assert_eq!((tally.ok + tally.failures(), tally.pages), (tally.pages, fetched.0.len() as u64));
        assert!(tally.retries > 0 && tally.robots == 4);
    }
}

#[test]
fn robots_that_are_ignored_forbid_nothing() {
    let (fetched, tally, reachable) = crawled(&format!("{SITE} --ignore-robots"));
    assert_eq!(fetched.differ(&reachable), [""; 0]);
    assert!(fetched.urls().iter().any(|url| url.contains("/private/")));
    assert_eq!(tally.robots, 0);
}

#[test]
fn a_depth_cuts_off_what_is_further_and_not_a_page_more() {
    for (engine, depth) in [("windlass", 0), ("windlass", 1), ("windlass", 3), ("tokio", 3), ("windlass", 5)] {
        let (fetched, _, reachable) = crawled(&format!("{SITE} --engine {engine} --max-depth {depth}"));
        assert_eq!(fetched.differ(&reachable), [""; 0], "{engine}, {depth} deep");
    }
}

#[test]
fn sitemaps_that_are_left_alone_lead_nowhere() {
    let (fetched, tally, reachable) = crawled(&format!("{SITE} --no-sitemaps"));
    assert_eq!(fetched.differ(&reachable), [""; 0]);
    assert_eq!((tally.sitemaps, fetched.urls().iter().any(|url| url.ends_with("/600.html"))), (0, false));
}

#[test]
fn what_is_preferred_goes_first_and_of_that_what_the_first_pattern_says() {
    // In batches of one, so that the store has said what is new before the next begins.
    let line =
        "--site-pages 200 --site-hosts 1 --site-plain --concurrency 1 --batch 1 --prefer 77 --prefer 1[0-9]\\.html";
    let (fetched, ..) = crawled(line);
    let preference = |url: &str| match url.rsplit('/').next().expect("a name") {
        name if name.contains("77") => 0,
        name if name.len() > 6 && name[name.len() - 7..].starts_with('1') => 1,
        _ => 2,
    };
    let order: Vec<_> = fetched.0.iter().map(|(url, ..)| preference(url)).collect();
    for (nth, page) in fetched.0.iter().enumerate().filter(|(nth, _)| order[*nth] < 2) {
        let parent = fetched.0.iter().position(|other| page.2.as_ref() == Some(&other.0)).expect("a link led there");
        let before = order[parent + 1..nth].iter().filter(|other| **other > order[nth]).count();
        assert_eq!(before, 0, "{} waited for some that are not preferred", page.0);
    }
    assert!(order.contains(&0) && order.contains(&1));
}

#[test]
fn so_many_pages_are_so_many() {
    for pages in [1, 2, 57] {
        let (fetched, tally, _) = crawled(&format!("{SITE} --max-pages {pages}"));
        assert_eq!((fetched.0.len() as u64, tally.pages), (pages, pages));
    }
}

#[test]
fn a_time_ends_the_crawl_with_what_is_left_counted() {
    let (_, tally, _) = crawled("--site-pages 5000 --rate 200 --max-time 0.5");
    assert!(tally.left > 0 && tally.elapsed() < Duration::from_secs(3), "{:?}", tally.elapsed());
}
