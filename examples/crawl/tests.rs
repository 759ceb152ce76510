//! Stories of whole crawls of the embedded site, by either engine.
//!
//! What must be fetched says the site itself, which walks its pages by their numbers and knows no HTML.

#![allow(clippy::unwrap_used)] // a story that cannot go on says where it stopped

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    future::pending,
    rc::Rc,
    time::Duration,
};

use clap::Parser;
use windlass::Loop;

use crate::{
    crawl::{Output, crawl},
    engine::{on_tokio::OnTokio, on_windlass::OnWindlass},
    flags::{EngineName, Flags},
    report::{Line, Tally},
};

/// What was fetched: each page's URL once, and where redirects led from there.
#[derive(Clone, Default)]
struct Fetched(Rc<RefCell<BTreeMap<String, String>>>);

impl Output for Fetched {
    fn line(&mut self, line: &Line<'_>) {
        let before = self.0.borrow_mut().insert(line.url.to_owned(), line.final_url.to_owned());
        assert_eq!(before, None, "a line for each page, and no more");
    }
}

impl Fetched {
    /// What was fetched and should not have been, and the other way round.
    fn differ(&self, reachable: &BTreeSet<String>) -> Vec<String> {
        self.urls().symmetric_difference(reachable).cloned().collect()
    }

    fn urls(&self) -> BTreeSet<String> {
        self.0.borrow().iter().flat_map(|(url, last)| [url.clone(), last.clone()]).collect()
    }
}

/// Crawls as the command line says; what was fetched, what was counted, and what should have been.
fn crawled(line: &str) -> (Fetched, Tally, BTreeSet<String>) {
    let flags = Flags::try_parse_from(format!("crawl --attempts 3 {line}").split_whitespace()).expect("flags");
    let site = flags.site().expect("no URL is given");
    let port = site.serve().expect("a thread and a port").port();
    let plan = flags.plan(Some((site, port)));
    let fetched = Fetched::default();
    let output = Box::new(fetched.clone());
    let tally = match flags.engine {
        EngineName::Windlass => {
            let engine = OnWindlass::new(&plan.manners);
            Loop::new().unwrap().block_on(crawl(engine, plan, output, |_, _| None, pending()))
        }
        EngineName::Tokio => {
            let engine = OnTokio::new(&plan.manners).unwrap();
            let runtime = tokio::runtime::Builder::new_current_thread();
            let runtime = { runtime }.enable_all().build_local(Default::default()).unwrap();
            runtime.block_on(crawl(engine, plan, output, |_, _| None, pending()))
        }
    };
    let reachable = site.reachable(port, flags.max_depth, flags.robots());
    (fetched, tally, reachable)
}

/// A small site with every kind of page in it.
const SITE: &str = "--site-pages 600 --site-seed 7 --concurrency 50";

#[test]
fn all_that_can_be_reached_is_fetched_and_nothing_else() {
    for engine in ["windlass", "tokio"] {
        let (fetched, tally, reachable) = crawled(&format!("{SITE} --engine {engine}"));
        assert_eq!(fetched.differ(&reachable), [""; 0], "{engine}");
        assert_eq!((tally.ok + tally.failures(), tally.pages), (tally.pages, fetched.0.borrow().len() as u64));
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
fn so_many_pages_are_so_many() {
    for pages in [1, 2, 57] {
        let (fetched, tally, _) = crawled(&format!("{SITE} --max-pages {pages}"));
        assert_eq!((fetched.0.borrow().len() as u64, tally.pages), (pages, pages));
    }
}

#[test]
fn a_time_ends_the_crawl_with_what_is_left_counted() {
    let (_, tally, _) = crawled("--site-pages 5000 --rate 200 --max-time 0.5");
    assert!(tally.left > 0 && tally.elapsed() < Duration::from_secs(3), "{:?}", tally.elapsed());
}
