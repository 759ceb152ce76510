//! A ledger that is told anything, and killed at any time.
//!
//! ```text
//!     told, in any order ──► ledger ──► handed over, counted, written ──► as a model says that forgets nothing?
//!            killed ──────────┘
//! ```

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    io::Write,
    mem,
    path::Path,
    sync::atomic::{AtomicU32, Ordering},
};

use windlass::http::Url;

use super::*;
use crate::{
    crawl::{Kind, Page},
    frontier::Rank,
    scope::Skipped,
    store::{Link, record::Key},
};

/// A folder that goes with its test.
struct Folder(std::path::PathBuf);

impl Folder {
    fn new() -> Self {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let name = format!("windlass-ledger-{}-{}", std::process::id(), MADE.fetch_add(1, Ordering::Relaxed));
        let folder = env::temp_dir().join(name);
        fs::create_dir(&folder).unwrap();
        Self(folder)
    }

    fn at(&self, name: &str) -> std::path::PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Small enough to be full all the time, and for chunks to be cut and written down at any of them.
const WINDOW: Window = Window { hosts: 3, pages: 4, total: 0, chunk: 3, fresh: 900, met: 30 };

fn opened(folder: &Path) -> Result<Ledger, Trouble> {
    // Killed it is as good as synced; what the power's loss leaves no test here can tell.
    let mut ledger = Ledger::of(database(&folder.join("crawl.redb"), Sync::Never)?, Sync::Never)?;
    ledger.begin(Began::default(), [Some(&folder.join("lines")), Some(&folder.join("extra"))], WINDOW)?;
    Ok(ledger)
}

fn link(url: &str, level: u32) -> Link {
    let page = Page::new(Kind::Page, Url::parse(url).unwrap(), level, None);
    Link { page, rank: Rank { level, preference: 0, depth: level }, refused: None }
}

fn ended(page: impl Into<Box<Page>>, links: Vec<Link>) -> Told {
    let page = page.into();
    let extra = format!("<{}>", page.url).into_bytes();
    Told::Ended { page, outcome: Box::default(), links, extra }
}

fn urls(pages: &[Page]) -> Vec<&str> {
    pages.iter().map(|page| page.url.target()).collect()
}

/// What the files say, as URLs.
fn written(folder: &Path) -> (Vec<String>, Vec<String>) {
    let lines = fs::read_to_string(folder.join("lines")).unwrap();
    let line = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap()["url"].as_str().unwrap().into();
    let extra = fs::read_to_string(folder.join("extra")).unwrap();
    let extra = extra.split_terminator('>').map(|url| url.strip_prefix('<').unwrap().to_owned());
    (lines.lines().map(line).collect(), extra.collect())
}

#[test]
fn a_queue_that_is_damaged_is_told_as_such() {
    let folder = Folder::new();
    for (key, page, told) in [
        (&b"no place"[..], &b""[..], "the queue in it is damaged"),
        (Key::new("a", Rank::default(), 1).bytes(), b"\0", "a page in its queue is damaged"),
    ] {
        let state = database(&folder.at("crawl.redb"), Sync::Never).unwrap();
        let write = state.begin_write().unwrap();
        let queue = TableDefinition::<&[u8], Vec<(u64, &[u8])>>::new("queue");
        write.open_table(queue).unwrap().retain(|_, _| false).unwrap();
        write.open_table(queue).unwrap().insert(key, vec![(1, page)]).unwrap();
        write.commit().unwrap();
        drop(state);
        let said = opened(&folder.0).and_then(|mut ledger| Ok(ledger.take([])?)).map(|_| ()).unwrap_err();
        assert!(format!("{said:?}").contains(told), "{said:?}");
    }
}

#[test]
fn what_is_met_is_handed_over_once_and_after_it_has_ended_never_again() {
    let folder = Folder::new();
    let mut ledger = opened(&folder.0).unwrap();
    let found = || Told::Found(vec![link("http://a/1", 0), link("http://a/2", 0), link("http://a/1", 0)]);
    let first = ledger.take([found()]).unwrap();
    assert_eq!((urls(&first.handed), first.left), (vec!["/1", "/2"], 2));
    let again = ledger.take([found()]).unwrap();
    assert_eq!((urls(&again.handed), again.left), (vec![], 2));
    let last = ledger.take(first.handed.into_iter().map(|page| ended(page, vec![link("http://a/2", 0)]))).unwrap();
    assert_eq!((last.heard, last.ended.len(), last.left, urls(&last.handed)), (2, 2, 0, vec![]));
}

#[test]
fn of_a_long_queue_a_window_is_handed_over_in_order_of_rank() {
    let mut ledger = Ledger::open(None).unwrap();
    ledger.begin(Began::default(), [None, None], WINDOW).unwrap();
    let preferred = Link { rank: Rank { level: 0, preference: 0, depth: 9 }, ..link("http://a/best", 0) };
    let plain = (0..1_000)
        .map(|nth| Link { rank: Rank { level: 0, preference: 1, depth: 0 }, ..link(&format!("http://a/{nth}"), 0) });
    let mut answer = ledger.take([Told::Found(plain.chain([preferred]).collect())]).unwrap();
    assert_eq!(urls(&answer.handed), ["/best", "/0", "/1", "/2"]);
    let mut order = vec![];
    while answer.left > 0 {
        assert!(answer.handed.len() <= 4);
        order.extend(answer.handed.iter().map(|page| page.url.target().to_owned()));
        answer = ledger.take(answer.handed.into_iter().map(|page| ended(page, vec![]))).unwrap();
    }
    assert_eq!(order.len(), 1_001);
    assert!(order[1..].iter().enumerate().all(|(nth, url)| *url == format!("/{nth}")));
}

#[test]
fn what_comes_late_and_is_preferred_overtakes_what_is_handed_over() {
    let mut ledger = Ledger::open(None).unwrap();
    ledger.begin(Began::default(), [None, None], WINDOW).unwrap();
    let links = |range: std::ops::Range<u32>, preference: u8| {
        let rank = Rank { level: 0, preference, depth: 0 };
        Told::Found(range.map(|nth| Link { rank, ..link(&format!("http://a/{nth}"), 0) }).collect())
    };
    assert_eq!(urls(&ledger.take([links(0..9, 1)]).unwrap().handed), ["/0", "/1", "/2", "/3"]);
    assert_eq!(urls(&ledger.take([links(10..12, 0)]).unwrap().handed), ["/10", "/11"]);
    assert_eq!(urls(&ledger.take([links(20..99, 0)]).unwrap().handed), ["/20", "/21"], "and not without end");
}

#[test]
fn whatever_overtakes_what_nothing_is_left_behind() {
    let mut ledger = Ledger::open(None).unwrap();
    ledger.begin(Began::default(), [None, None], WINDOW).unwrap();
    let links = |range: std::ops::Range<u32>, preference: u8| {
        let rank = Rank { level: 0, preference, depth: 0 };
        range.map(|nth| Link { rank, ..link(&format!("http://a/{nth}"), 0) }).collect::<Vec<_>>()
    };
    let mut handed = ledger.take([Told::Found(links(0..4, 1))]).unwrap().handed;
    handed.extend(ledger.take([Told::Found(links(10..30, 0))]).unwrap().handed);
    assert_eq!(urls(&handed), ["/0", "/1", "/2", "/3", "/10", "/11", "/12", "/13"]);
    // One more overtakes all that has a lower preference, while others like it still wait.
    let mut told = ended(handed.pop().unwrap(), links(30..31, 0));
    let mut ends = 1;
    loop {
        let answer = ledger.take([told]).unwrap();
        handed.extend(answer.handed);
        let Some(page) = handed.pop() else {
            assert_eq!((ends, answer.left), (25, 0));
            return;
        };
        ends += 1;
        told = ended(page, vec![]);
    }
}

#[test]
fn hosts_wait_for_each_other_in_the_order_of_their_first_page_also_in_the_next_run() {
    let folder = Folder::new();
    let mut ledger = opened(&folder.0).unwrap();
    let links = ["d", "a", "c", "b", "a", "d"].iter().enumerate();
    let links = links.map(|(nth, host)| link(&format!("http://{host}/{nth}"), 0)).collect();
    assert_eq!(urls(&ledger.take([Told::Found(links)]).unwrap().handed), ["/0", "/5", "/1", "/4", "/2"]);
    ledger.commit().unwrap();
    drop(ledger);
    let mut ledger = opened(&folder.0).unwrap();
    let mut first = ledger.take([]).unwrap();
    assert_eq!(urls(&first.handed), ["/0", "/5", "/1", "/4", "/2"]);
    let of_c = first.handed.pop().unwrap();
    assert_eq!(urls(&ledger.take([ended(of_c, vec![])]).unwrap().handed), ["/3"]);
}

#[test]
fn a_level_is_handed_over_when_all_below_has_ended() {
    let mut ledger = Ledger::open(None).unwrap();
    ledger.begin(Began::default(), [None, None], WINDOW).unwrap();
    let links = [("http://a/deep", 1), ("http://b/1", 0), ("http://c/2", 0)].map(|(url, level)| link(url, level));
    let mut first = ledger.take([Told::Found(links.into())]).unwrap().handed;
    assert_eq!(urls(&first), ["/1", "/2"]);
    let second = first.pop().unwrap();
    assert_eq!(urls(&ledger.take([ended(second, vec![link("http://b/also", 1)])]).unwrap().handed), [""; 0]);
    let last = ledger.take([ended(first.pop().unwrap(), vec![])]).unwrap().handed;
    assert_eq!(urls(&last), ["/also", "/deep"]);
}

#[test]
fn a_page_that_is_elsewhere_goes_on_there_unless_that_was_met() {
    let folder = Folder::new();
    let mut ledger = opened(&folder.0).unwrap();
    let mut pages = ledger.take([Told::Found(vec![link("http://a/1", 0), link("http://a/2", 0)])]).unwrap().handed;
    let (second, first) = (pages.pop().unwrap(), pages.pop().unwrap());
    let moved = |page: Page| {
        let url = page.url.clone();
        let to = Page { url, hops: 1, ..Page::new(Kind::Page, Url::parse("http://b/there").unwrap(), 1, None) };
        let to = Link { page: to, ..link("http://b/", 0) };
        Told::Moved { page: page.into(), outcome: Box::default(), to: to.into(), extra: vec![] }
    };
    let answer = ledger.take([moved(first), moved(second)]).unwrap();
    assert_eq!((answer.moved, answer.ended.len(), answer.left), (1, 1, 1));
    let [page] = &answer.handed[..] else { panic!("{:?}", answer.handed) };
    assert_eq!((page.url.as_str(), page.at.as_str(), page.hops), ("http://a/1", "http://b/there", 1));
    ledger.commit().unwrap();
    assert_eq!(written(&folder.0).0, ["http://a/2"]);
    drop(ledger);
    let again = opened(&folder.0).unwrap().take([]).unwrap().handed;
    assert_eq!((again[0].at.as_str(), again[0].depth, again[0].hops), ("http://b/there", 1, 1));
}

#[test]
fn what_is_handed_over_at_once_is_as_it_will_be_read() {
    let folder = Folder::new();
    let mut ledger = opened(&folder.0).unwrap();
    let parent = Url::parse("http://b/%7e?x#from").unwrap();
    let page = Page { hops: 2, ..Page::new(Kind::Sitemap, Url::parse("http://a/there").unwrap(), 3, Some(parent)) };
    let page = Page { url: Url::parse("http://a/here").unwrap(), ..page };
    let rank = Rank { level: 0, preference: 1, depth: 3 };
    let met = ledger.take([Told::Found(vec![Link { page, rank, refused: None }])]).unwrap().handed;
    ledger.commit().unwrap();
    drop(ledger);
    let read = opened(&folder.0).unwrap().take([]).unwrap().handed;
    let [met, read] = [met, read].map(|pages| format!("{pages:?}"));
    assert_eq!(met, read);
    assert!(met.contains("http://a/here"), "{met}");
}

#[test]
fn what_is_refused_is_counted_once() {
    let mut ledger = Ledger::open(None).unwrap();
    ledger.begin(Began::default(), [None, None], WINDOW).unwrap();
    let link = || Link { refused: Some(Skipped::Scope), ..link("http://a/", 0) };
    let answer = ledger.take([Told::Found(vec![link(), link()])]).unwrap();
    assert_eq!((answer.skipped, answer.left, answer.handed.len()), (vec![Skipped::Scope], 0, 0));
}

#[test]
fn a_state_is_for_one_process_and_one_crawl() {
    let folder = Folder::new();
    let mut first = opened(&folder.0).unwrap();
    first.commit().unwrap();
    let Err(Trouble::Usage(why)) = opened(&folder.0) else { panic!("two have it open") };
    assert!(why.ends_with("another process has it open"), "{why}");
    drop(first);
    let mut ledger = Ledger::open(Some(&folder.0)).unwrap();
    let other = Began { flags: [("--scope".to_owned(), "any".to_owned())].into(), site: None };
    let Err(Trouble::Usage(why)) = ledger.begin(other, [None, None], WINDOW) else { panic!("it is another") };
    assert_eq!(why, "--state: it is of another crawl, begun without --scope; this one is with --scope any");
}

#[test]
fn what_is_no_state_is_left_as_it_is_and_what_was_never_one_is_made_anew() {
    let folder = Folder::new();
    fs::write(folder.at("crawl.redb"), [0; 5_000]).unwrap();
    drop(opened(&folder.0).unwrap());
    fs::write(folder.at("crawl.redb"), "somebody's diary").unwrap();
    assert!(matches!(opened(&folder.0), Err(Trouble::Usage(why)) if why.contains("no state of a crawl")));
    assert_eq!(fs::read_to_string(folder.at("crawl.redb")).unwrap(), "somebody's diary");
    fs::remove_file(folder.at("crawl.redb")).unwrap();
    let mut ledger = opened(&folder.0).unwrap();
    let page = ledger.take([Told::Found(vec![link("http://a/", 0)])]).unwrap().handed.pop().unwrap();
    ledger.take([ended(page, vec![])]).unwrap();
    ledger.commit().unwrap();
    drop(ledger);
    fs::write(folder.at("lines"), "short").unwrap();
    assert!(matches!(opened(&folder.0), Err(Trouble::Usage(why)) if why.contains("it has 5 bytes")));
}

#[test]
fn a_state_of_another_form_is_left_as_it_is() {
    let folder = Folder::new();
    opened(&folder.0).unwrap().commit().unwrap();
    let database = database(&folder.at("crawl.redb"), Sync::Never).unwrap();
    let transaction = database.begin_write().unwrap();
    let before = r#"{"format":1,"number":0,"pages":0,"lens":[0,0]}"#;
    transaction.open_table(META).unwrap().insert("progress", before).unwrap();
    transaction.commit().unwrap();
    drop(database);
    let Err(Trouble::Usage(why)) = opened(&folder.0) else { panic!("it is read") };
    assert_eq!(why, "--state: its format is 1, and this program reads 2");
}

/// Numbers below what is asked for (SplitMix64, Steele and others 2014).
fn random(mut state: u64) -> impl FnMut(usize) -> usize {
    move |below| {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % below as u64) as usize
    }
}

/// Where a page stands: its rank, and when it came.
type Place = (Rank, u64);

/// What a crawl would be like that forgets nothing: as far as it was committed, and as far as it has come.
#[derive(Clone, Default)]
struct Model {
    met: BTreeSet<String>,
    left: BTreeMap<String, Place>,
    /// By their hosts, since that is how they are queued again.
    postponed: BTreeMap<(String, Place), String>,
    lines: Vec<String>,
    came: u64,
}

impl Model {
    fn queue(&mut self, url: String, rank: Rank) {
        self.came += 1;
        self.left.insert(url, (rank, self.came));
    }

    /// As it is when somebody goes on with it.
    fn resumed(&self) -> Self {
        let mut resumed = self.clone();
        for ((_, (rank, _)), url) in mem::take(&mut resumed.postponed) {
            resumed.queue(url, rank);
        }
        resumed
    }

    /// The places of what is left of the host of `url`.
    fn beside(&self, url: &str) -> impl Iterator<Item = (&String, Place)> {
        let host = host(url);
        self.left.iter().filter(move |(other, _)| self::host(other) == host).map(|(url, place)| (url, *place))
    }
}

fn host(url: &str) -> String {
    Url::parse(url).unwrap().host().to_owned()
}

/// A crawl of chance: whatever the loop, the disk and `kill -9` may do, in any order.
fn any_history(seed: u64) {
    println!("seed {seed}");
    let mut random = random(seed);
    let folder = Folder::new();
    let mut ledger = opened(&folder.0).unwrap();
    let (mut now, mut committed) = (Model::default(), Model::default());
    let mut handed: BTreeMap<String, Page> = BTreeMap::new();
    for _ in 0..120 {
        let mut told = vec![];
        for _ in 0..random(4) {
            let depth = random(3) as u32;
            let nth = random(handed.len().max(1));
            let mut page = handed.keys().nth(nth).cloned().and_then(|url| handed.remove(&url));
            if let Some(page) = page.take_if(|_| random(8) == 0) {
                let place = now.left.remove(page.url.as_str()).unwrap();
                now.postponed.insert((host(page.url.as_str()), place), page.url.to_string());
                told.push(Told::Postponed(page.into()));
                continue;
            }
            let mut links = vec![];
            for _ in 0..random(9) {
                let url = format!("http://h{}/{}", random(6), random(60));
                let rank = Rank { level: depth, preference: random(3) as u8, depth };
                if now.met.insert(url.clone()) {
                    now.queue(url.clone(), rank);
                }
                links.push(Link { rank, ..link(&url, depth) });
            }
            told.push(match page {
                Some(page) => {
                    now.left.remove(page.url.as_str());
                    now.lines.push(page.url.to_string());
                    ended(page, links)
                }
                None => Told::Found(links),
            });
        }
        let answer = ledger.take(told).unwrap();
        assert_eq!(answer.left, now.left.len() as u64);
        let least = now.left.values().map(|(rank, _)| rank.level).min();
        let new: Vec<String> = answer.handed.iter().map(|page| page.url.to_string()).collect();
        for page in answer.handed {
            let place = now.left.get(page.url.as_str()).expect("nothing that has ended");
            assert_eq!(Some(place.0.level), least, "nothing of a higher level");
            assert!(handed.insert(page.url.to_string(), page).is_none(), "nothing twice");
        }
        for url in new {
            let mut waits = now.beside(&url).filter(|(other, _)| !handed.contains_key(*other));
            assert!(waits.all(|(_, place)| now.left[&url] < place), "nothing out of its order");
        }
        let [fresh, met] = ledger.shelf.noted();
        assert!(fresh <= WINDOW.fresh && met <= WINDOW.met, "what grows with the crawl is on disk");
        let mut of_hosts: BTreeMap<&str, usize> = BTreeMap::new();
        handed.values().for_each(|page| *of_hosts.entry(page.url.host()).or_default() += 1);
        assert!(of_hosts.len() <= WINDOW.hosts && of_hosts.values().all(|count| *count <= 2 * WINDOW.pages));
        assert_eq!(handed.is_empty(), now.left.is_empty(), "somebody can always go on");
        match random(10) {
            0..4 => {
                ledger.commit().unwrap();
                committed = now.clone();
            }
            4 => {
                // Killed: what the disk has at this moment is all there is, tails of files and all.
                let copy = Folder::new();
                for name in ["crawl.redb", "lines", "extra"] {
                    fs::copy(folder.at(name), copy.at(name)).unwrap();
                }
                drop(ledger);
                for name in ["crawl.redb", "lines", "extra"] {
                    fs::copy(copy.at(name), folder.at(name)).unwrap();
                }
                fs::OpenOptions::new().append(true).open(folder.at("lines")).unwrap().write_all(b"{\"ur").unwrap();
                ledger = opened(&folder.0).unwrap();
                (now, handed) = (committed.resumed(), BTreeMap::new());
                assert_eq!(written(&folder.0), (now.lines.clone(), now.lines.clone()));
                assert_eq!(ledger.pages(), now.lines.len() as u64);
            }
            _ => {}
        }
    }
}

#[test]
fn whatever_happens_nothing_is_lost_or_done_twice() {
    for seed in 0..6 {
        any_history(seed);
    }
}
