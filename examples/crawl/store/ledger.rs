//! What is to be fetched, and what was met.
//!
//! ```text
//!     met      128 bits of every URL that was ever found
//!     queue    host, rank, number ──► page       what has not ended; a host's are in order of rank, then of arrival
//!     waiting  level, number ──► host            hosts that have something in the queue, and none of it handed over
//!     meta     whose state it is; how far it is; how long the files are
//!
//!     told ──► one transaction ──┬─► committed, and the files' lengths with it
//!                                └─► killed: as if it had not been told
//! ```
//!
//! Of the queue a window is handed over: a few pages a host, of a few thousand hosts, each page once. What ends makes room for
//! the next of its host, and a host that has no more for the next host. That is what the crawl has in memory, however long the
//! queue is. Where levels are apart nothing of one is handed over before all of those below has ended.
//!
//! `waiting` follows from the queue, and is made anew when a state is opened.
//! Not here: on which thread (`store`).   Next: `files`.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    env,
    fs::{self, File, OpenOptions},
    io::{self, Read},
    panic,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use redb::{
    Builder, Database, DatabaseError, ReadableTable, StorageBackend, StorageError, Table, TableDefinition,
    WriteTransaction, backends::FileBackend,
};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use windlass::http::Url;

use super::{
    Answer, Link, Told, Trouble,
    files::{Files, Sync, Which, named},
};
use crate::{
    crawl::{Kind, Page, host_of},
    frontier::{Bounds, Rank},
    report,
};

const MET: TableDefinition<'_, u128, ()> = TableDefinition::new("met");
const QUEUE: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("queue");
const WAITING: TableDefinition<'_, (u32, u64), &[u8]> = TableDefinition::new("waiting");
/// Where in `waiting` a host is.
const HOSTS: TableDefinition<'_, &[u8], (u32, u64)> = TableDefinition::new("hosts");
const META: TableDefinition<'_, &str, &str> = TableDefinition::new("meta");

/// The form of all that is written here.
const FORMAT: u32 = 1;
/// How much of the tables is kept in memory. A crawl that is new finds what it needs near; what is older is in the kernel's
/// cache, some microseconds away.
const CACHE: usize = 16 << 20;
/// Hosts of which something is handed over, at least: more than can be asked at once, since many rest.
const HOSTS_MIN: usize = 4_096;
/// Pages of one host that are handed over, at least: so many that the next are there before the last is fetched.
const PAGES_MIN: usize = 16;
/// Pages that are handed over where hosts are few: so many that the crawl goes on while the disk is awaited.
const TOTAL: usize = 4_096;

/// Whose state it is: what a crawl must have in common with the one that it goes on with.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Began {
    /// By the flag that says it.
    pub(crate) flags: BTreeMap<String, String>,
    pub(crate) site: Option<SiteAt>,
}

/// The embedded site, and where it was served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SiteAt {
    pub(crate) seed: u64,
    pub(crate) pages: u64,
    pub(crate) hosts: u64,
    pub(crate) is_plain: bool,
    pub(crate) port: u16,
}

/// How far it is.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
struct Progress {
    format: u32,
    /// The number of what came last into the queue.
    number: u64,
    /// Pages whose lines are written.
    pages: u64,
    lens: [u64; 2],
}

/// A place in the queue: `host 0 level preference depth number`, so that bytes are in the queue's order.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key(Arc<[u8]>);

impl Key {
    /// Not in the queue yet.
    pub(crate) fn none() -> Self {
        Self::new("", Rank::default(), 0)
    }

    fn new(host: &str, rank: Rank, number: u64) -> Self {
        let mut bytes = Vec::with_capacity(host.len() + 1 + Self::BEHIND);
        bytes.extend_from_slice(host.as_bytes());
        bytes.push(0); // no host has one
        bytes.extend_from_slice(&rank.level.to_be_bytes());
        bytes.push(rank.preference);
        bytes.extend_from_slice(&rank.depth.to_be_bytes());
        bytes.extend_from_slice(&number.to_be_bytes());
        Self(bytes.into())
    }

    /// What comes behind the host and its 0.
    const BEHIND: usize = 4 + 1 + 4 + 8;

    fn host(&self) -> &[u8] {
        &self.0[..self.0.len() - Self::BEHIND - 1]
    }

    pub(crate) fn rank(&self) -> Rank {
        let (level, rest) = self.behind().split_first_chunk().expect("a level");
        let (preference, rest) = rest.split_first().expect("a preference");
        let depth = rest.first_chunk().expect("a depth");
        Rank { level: u32::from_be_bytes(*level), preference: *preference, depth: u32::from_be_bytes(*depth) }
    }

    fn number(&self) -> u64 {
        u64::from_be_bytes(*self.behind().last_chunk().expect("a number"))
    }

    fn behind(&self) -> &[u8] {
        &self.0[self.0.len() - Self::BEHIND..]
    }
}

/// A page, as the queue has it.
#[derive(Serialize, Deserialize)]
struct Record<'a> {
    url: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<Cow<'a, str>>,
    depth: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent: Option<Cow<'a, str>>,
    hops: u32,
    kind: Kind,
}

impl<'a> Record<'a> {
    fn of(page: &'a Page) -> Vec<u8> {
        let record = Self {
            url: page.url.as_str().into(),
            at: (page.at.as_str() != page.url.as_str()).then(|| page.at.as_str().into()),
            depth: page.depth,
            parent: page.parent.as_ref().map(|parent| parent.as_str().into()),
            hops: page.hops,
            kind: page.kind,
        };
        serde_json::to_vec(&record).expect("a record has only strings and numbers")
    }

    fn read(key: Key, bytes: &[u8]) -> io::Result<Page> {
        let broken = |error: &dyn std::fmt::Display| io::Error::new(io::ErrorKind::InvalidData, error.to_string());
        let parse = |text: &str| Url::parse(text).map_err(|error| broken(&error));
        let record: Record<'_> = serde_json::from_slice(bytes).map_err(|error| broken(&error))?;
        let url = parse(&record.url)?;
        let at = record.at.as_deref().map_or_else(|| Ok(url.clone()), parse)?;
        let parent = record.parent.as_deref().map(parse).transpose()?;
        let Record { depth, hops, kind, .. } = record;
        Ok(Page { key, kind, asked: at.clone(), at, url, depth, parent, hops, attempts: 0 })
    }
}

/// By what a URL is known that was met: that two are taken for one, among a hundred million, has a chance of one in ten to
/// the twenty-second, and nobody can bring it about.
fn fingerprint(page: &Page) -> u128 {
    let kind = match page.kind {
        Kind::Page => "",
        Kind::Sitemap => "sitemap ", // a page may be one, too
    };
    let hash = Sha256::new().chain_update(kind).chain_update(page.at.as_str()).finalize();
    u128::from_be_bytes(*hash.first_chunk().expect("a hash has 32 bytes"))
}

/// How much is handed over.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Window {
    hosts: usize,
    /// Of one host.
    pages: usize,
    /// Of all, if that makes more of one.
    total: usize,
}

impl Window {
    /// So much that what the bounds allow is never waited for.
    pub(crate) fn for_bounds(bounds: &Bounds) -> Self {
        let (hosts, pages) = (HOSTS_MIN.max(2 * bounds.concurrency), PAGES_MIN.max(2 * bounds.per_host));
        Self { hosts, pages, total: TOTAL }
    }
}

/// A host of which something is handed over.
#[derive(Debug, Default)]
struct Active {
    handed: BTreeSet<Key>,
    /// Whether there may be more in the queue.
    more: bool,
    /// The first in the queue that came late, and goes before something that is handed over.
    better: Option<Key>,
}

pub(crate) struct Ledger {
    /// Open while there is something to commit. It is dropped before the database, which would wait for it.
    transaction: Option<WriteTransaction>,
    database: Database,
    sync: Sync,
    uncommitted: usize,
    began: Option<Began>,
    progress: Progress,
    files: Files,
    shelf: Shelf,
}

/// What is known of the queue without looking.
#[derive(Debug)]
struct Shelf {
    window: Window,
    number: u64,
    left: u64,
    /// How many of each level are in the queue.
    levels: BTreeMap<u32, u64>,
    active: HashMap<Box<[u8]>, Active>,
    /// Those of which something has ended or come.
    touched: HashSet<Box<[u8]>>,
}

impl Ledger {
    /// Opens the state in the folder `at`, which is made if it is not there; without one it is in a file without a name, where
    /// temporary files are, which is gone when the process is.
    ///
    /// # Errors
    /// `Usage` if another process has it open, or it is none that this program can read.
    pub(crate) fn open(at: Option<&Path>) -> Result<Self, Trouble> {
        let Some(folder) = at else { return Self::of(temporary()?, Sync::Never) };
        fs::create_dir_all(folder).map_err(|error| named(folder, &error))?;
        let file = folder.join("crawl.redb");
        // redb panics where a file is shorter than it says itself, or says what cannot be.
        panic::catch_unwind(|| Self::of(database(&file, Sync::ToDisk)?, Sync::ToDisk))
            .unwrap_or_else(|_| Err(Trouble::Usage(format!("--state: {} is damaged", file.display()))))
    }

    fn of(database: Database, sync: Sync) -> Result<Self, Trouble> {
        // To write, and given up in the end: what only reads finds no table in a database that is new.
        let read = database.begin_write().map_err(failed)?;
        let meta = read.open_table(META).map_err(failed)?;
        let text = |name| -> Result<Option<String>, Trouble> {
            Ok(meta.get(name).map_err(failed)?.map(|text| text.value().to_owned()))
        };
        let unreadable = |error| Trouble::Usage(format!("--state: {error}"));
        let progress = text("progress")?.map(|text| serde_json::from_str(&text).map_err(unreadable)).transpose()?;
        let progress: Progress = progress.unwrap_or_default();
        if ![0, FORMAT].contains(&progress.format) {
            let format = progress.format;
            return Err(Trouble::Usage(format!("--state: its format is {format}, and this program reads {FORMAT}")));
        }
        let began = text("began")?.map(|text| serde_json::from_str(&text).map_err(unreadable)).transpose()?;
        drop(meta);
        read.abort().map_err(failed)?;
        let window = Window { hosts: HOSTS_MIN, pages: PAGES_MIN, total: TOTAL };
        Ok(Self {
            database,
            transaction: None,
            sync,
            uncommitted: 0,
            began,
            shelf: Shelf::new(window, progress.number),
            progress,
            files: Files::open([None, None], [0, 0])?,
        })
    }

    /// The crawl that this is the state of; none if it is new.
    pub(crate) fn began(&self) -> Option<&Began> {
        self.began.as_ref()
    }

    /// Goes on with the crawl, or begins it; with its files, the second for what is extra.
    ///
    /// # Errors
    /// `Usage` if it is another crawl, or its files are others; `System` if they cannot be opened.
    pub(crate) fn begin(&mut self, began: Began, paths: [Option<&Path>; 2], window: Window) -> Result<(), Trouble> {
        if let Some(before) = &self.began
            && let Some(why) = before.differs(&began)
        {
            return Err(Trouble::Usage(format!("--state: it is of another crawl, {why}")));
        }
        self.files = Files::open(paths, self.progress.lens)?;
        self.shelf.window = window;
        self.progress.format = FORMAT;
        let transaction = self.database.begin_write().map_err(failed)?;
        {
            let text = serde_json::to_string(&began).expect("a beginning has only strings and numbers");
            transaction.open_table(META).map_err(failed)?.insert("began", &*text).map_err(failed)?;
            transaction.delete_table(WAITING).map_err(failed)?;
            transaction.delete_table(HOSTS).map_err(failed)?;
            Tables::of(&transaction)?.line_up_all(&mut self.shelf)?;
        }
        self.began = Some(began);
        self.transaction = Some(transaction);
        Ok(())
    }

    /// Pages whose lines are written, in all runs.
    pub(crate) fn pages(&self) -> u64 {
        self.progress.pages
    }

    /// How many pages are to be fetched.
    pub(crate) fn left(&self) -> u64 {
        self.shelf.left
    }

    /// How many pages have ended since the last commit.
    pub(crate) fn uncommitted(&self) -> usize {
        self.uncommitted
    }

    /// Writes down what has happened, and hands over what there is room for.
    ///
    /// # Errors
    /// Those of the disk. Nothing is to be told after that: what was committed holds.
    pub(crate) fn take(&mut self, told: impl IntoIterator<Item = Told>) -> io::Result<Answer> {
        let transaction = match self.transaction.take() {
            Some(transaction) => transaction,
            None => self.database.begin_write().map_err(failed)?,
        };
        let mut answer = Answer::default();
        let mut tables = Tables::of(&transaction)?;
        for told in told {
            answer.heard += 1;
            self.note(&mut tables, told, &mut answer)?;
        }
        tables.hand_over(&mut self.shelf, &mut answer.handed)?;
        (answer.left, answer.uncommitted) = (self.shelf.left, self.uncommitted);
        drop(tables);
        self.transaction = Some(transaction);
        Ok(answer)
    }

    fn note(&mut self, tables: &mut Tables<'_>, told: Told, answer: &mut Answer) -> io::Result<()> {
        let shelf = &mut self.shelf;
        let (page, ended, links) = match told {
            Told::Found(links) => (None, None, links),
            Told::Dropped(page) => (Some(page.key), None, vec![]),
            Told::Ended { page, outcome, links, extra } => {
                (Some(page.key.clone()), Some((page, outcome, extra)), links)
            }
            Told::Moved { page, outcome, to, extra } => {
                let key = page.key.clone();
                if tables.meet(shelf, to, answer)? {
                    answer.moved += 1;
                    self.files.append(Which::Extra, &extra)?;
                    (Some(key), None, vec![])
                } else {
                    (Some(key), Some((page, outcome, extra)), vec![])
                }
            }
        };
        for link in links {
            tables.meet(shelf, link, answer)?;
        }
        if let Some(key) = page {
            tables.leave(shelf, &key)?;
            self.uncommitted += 1;
        }
        if let Some((page, outcome, extra)) = ended {
            if self.files.takes(Which::Lines) {
                let mut line =
                    serde_json::to_vec(&report::Line::of(&page, &outcome)).expect("keys are strings, numbers finite");
                line.push(b'\n');
                self.files.append(Which::Lines, &line)?;
            }
            self.files.append(Which::Extra, &extra)?;
            self.progress.pages += 1;
            answer.ended.push((page, outcome));
        }
        Ok(())
    }

    /// Makes sure that all of it outlives the process, and the machine's power.
    ///
    /// # Errors
    /// Those of the disk; what was committed before holds.
    pub(crate) fn commit(&mut self) -> io::Result<()> {
        let Some(transaction) = self.transaction.take() else { return Ok(()) };
        self.progress.number = self.shelf.number;
        self.progress.lens = self.files.sync(self.sync)?;
        let progress = serde_json::to_string(&self.progress).expect("progress has only numbers");
        transaction.open_table(META).map_err(failed)?.insert("progress", &*progress).map_err(failed)?;
        transaction.commit().map_err(failed)?;
        self.uncommitted = 0;
        Ok(())
    }
}

impl Began {
    /// What is said here and not there, or the other way round.
    fn differs(&self, other: &Self) -> Option<String> {
        let says = |flags: &BTreeMap<String, String>, name: &String| {
            flags.get(name).map_or_else(|| format!("without {name}"), |value| format!("with {name} {value}"))
        };
        let names: BTreeSet<_> = self.flags.keys().chain(other.flags.keys()).collect();
        let name = names.into_iter().find(|name| self.flags.get(*name) != other.flags.get(*name))?;
        Some(format!("begun {}; this one is {}", says(&self.flags, name), says(&other.flags, name)))
    }
}

impl Shelf {
    fn new(window: Window, number: u64) -> Self {
        let (levels, active, touched) = (BTreeMap::new(), HashMap::new(), HashSet::new());
        Self { window, number, left: 0, levels, active, touched }
    }

    fn came(&mut self, level: u32) {
        self.left += 1;
        *self.levels.entry(level).or_default() += 1;
    }

    fn went(&mut self, level: u32) {
        self.left -= 1;
        let count = self.levels.get_mut(&level).expect("what leaves has come");
        *count -= 1;
        if *count == 0 {
            self.levels.remove(&level);
        }
    }

    fn touch(&mut self, host: &[u8]) {
        if !self.touched.contains(host) {
            self.touched.insert(host.into());
        }
    }
}

/// The tables, as one transaction sees them.
struct Tables<'a> {
    met: Table<'a, u128, ()>,
    queue: Table<'a, &'static [u8], &'static [u8]>,
    line: Line<'a>,
}

impl<'a> Tables<'a> {
    fn of(transaction: &'a WriteTransaction) -> io::Result<Self> {
        Ok(Self {
            met: transaction.open_table(MET).map_err(failed)?,
            queue: transaction.open_table(QUEUE).map_err(failed)?,
            line: Line {
                waiting: transaction.open_table(WAITING).map_err(failed)?,
                hosts: transaction.open_table(HOSTS).map_err(failed)?,
            },
        })
    }

    /// Puts a link in the queue, if it is met for the first time. Whether it is in.
    fn meet(&mut self, shelf: &mut Shelf, link: Link, answer: &mut Answer) -> io::Result<bool> {
        let print = fingerprint(&link.page);
        if self.met.get(print).map_err(failed)?.is_some() {
            return Ok(false);
        }
        self.met.insert(print, ()).map_err(failed)?;
        if let Some(why) = link.refused {
            answer.skipped.push(why);
            return Ok(false);
        }
        shelf.number += 1;
        let key = Key::new(host_of(&link.page.at), link.rank, shelf.number);
        self.queue.insert(&*key.0, &*Record::of(&link.page)).map_err(failed)?;
        shelf.came(link.rank.level);
        match shelf.active.get_mut(key.host()) {
            Some(active) => {
                active.more = true;
                let goes_before = |other: Option<&Key>| other.is_some_and(|other| key < *other);
                if goes_before(active.handed.last()) && (active.better.is_none() || goes_before(active.better.as_ref()))
                {
                    active.better = Some(key.clone());
                }
                shelf.touch(key.host());
            }
            None => self.line.stand(&key)?,
        }
        Ok(true)
    }

    /// Takes what has ended out of the queue.
    fn leave(&mut self, shelf: &mut Shelf, key: &Key) -> io::Result<()> {
        self.queue.remove(&*key.0).map_err(failed)?.expect("what ends is in the queue");
        shelf.went(key.rank().level);
        let active = shelf.active.get_mut(key.host()).expect("what ends was handed over");
        active.handed.remove(key);
        shelf.touch(key.host());
        Ok(())
    }

    /// Has all hosts wait that have something in the queue, and counts.
    fn line_up_all(&mut self, shelf: &mut Shelf) -> io::Result<()> {
        let mut last = Vec::new();
        for entry in self.queue.iter().map_err(failed)? {
            let key = Key(entry.map_err(failed)?.0.value().into());
            shelf.came(key.rank().level);
            if shelf.left == 1 || last != key.host() {
                last = key.host().to_vec();
                self.line.stand(&key)?;
            }
        }
        Ok(())
    }

    /// Fills the window.
    fn hand_over(&mut self, shelf: &mut Shelf, handed: &mut Vec<Page>) -> io::Result<()> {
        for host in std::mem::take(&mut shelf.touched) {
            self.settle(shelf, &host, handed)?;
        }
        while shelf.active.len() < shelf.window.hosts {
            let Some((&least, _)) = shelf.levels.first_key_value() else { return Ok(()) };
            let Some(host) = self.line.next(least)? else { return Ok(()) };
            shelf.active.insert(host.as_slice().into(), Active { more: true, ..Active::default() });
            self.settle(shelf, &host, handed)?;
        }
        Ok(())
    }

    /// Hands over the next of a host if most of what it had is over, and what came late and goes before that. If nothing may
    /// be, another host gets its place.
    fn settle(&mut self, shelf: &mut Shelf, host: &[u8], handed: &mut Vec<Page>) -> io::Result<()> {
        let Window { pages, total, .. } = shelf.window;
        let (room, least) = (pages.max(total / shelf.active.len().max(1)), shelf.levels.keys().next().copied());
        let Some(active) = shelf.active.get_mut(host) else { return Ok(()) };
        let better = active.better.take();
        let from = match better {
            _ if !active.more => None,
            _ if active.handed.len() <= room / 2 => Some([host, &[0]].concat()),
            better => better.map(|key| key.0.to_vec()),
        };
        let mut next = None;
        if let Some(from) = from {
            let last = active.handed.last().cloned();
            for entry in self.queue.range(&*from..&*[host, &[1]].concat()).map_err(failed)? {
                let (key, record) = entry.map_err(failed)?;
                let key = Key(key.value().into());
                if active.handed.contains(&key) {
                    continue;
                }
                let room = if Some(&key) < last.as_ref() { 2 * room } else { room };
                if Some(key.rank().level) > least || active.handed.len() >= room {
                    next = Some(key);
                    break;
                }
                active.handed.insert(key.clone());
                handed.push(Record::read(key, record.value())?);
            }
            active.more = next.is_some();
        }
        if active.handed.is_empty() {
            shelf.active.remove(host);
            if let Some(next) = next {
                self.line.stand(&next)?; // all that it has is of a higher level
            }
        }
        Ok(())
    }
}

/// The hosts that wait for their turn.
struct Line<'a> {
    waiting: Table<'a, (u32, u64), &'static [u8]>,
    hosts: Table<'a, &'static [u8], (u32, u64)>,
}

impl Line<'_> {
    /// Has the host of an entry stand there; in the place that it has, unless the entry's level is lower.
    fn stand(&mut self, entry: &Key) -> io::Result<()> {
        let place = (entry.rank().level, entry.number());
        let before = self.hosts.get(entry.host()).map_err(failed)?.map(|before| before.value());
        match before {
            Some((level, _)) if level <= place.0 => return Ok(()),
            Some(before) => _ = self.waiting.remove(before).map_err(failed)?,
            None => {}
        }
        self.hosts.insert(entry.host(), place).map_err(failed)?;
        self.waiting.insert(place, entry.host()).map_err(failed)?;
        Ok(())
    }

    /// The first in line, if it has something of this level.
    fn next(&mut self, level: u32) -> io::Result<Option<Vec<u8>>> {
        let first = self.waiting.first().map_err(failed)?.map(|(place, host)| (place.value(), host.value().to_vec()));
        let Some((place, host)) = first.filter(|(place, _)| place.0 <= level) else { return Ok(None) };
        self.waiting.remove(place).map_err(failed)?;
        self.hosts.remove(&*host).map_err(failed)?;
        Ok(Some(host))
    }
}

/// Opens a database, or makes it.
fn database(path: &Path, sync: Sync) -> Result<Database, Trouble> {
    let open = || OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
    let file = open().map_err(|error| named(path, &error))?;
    match made_in(file.try_clone()?, sync) {
        Err(DatabaseError::DatabaseAlreadyOpen) => {
            Err(Trouble::Usage(format!("{}: another process has it open", path.display())))
        }
        Err(DatabaseError::Storage(StorageError::Io(error))) if error.kind() == io::ErrorKind::InvalidData => {
            // Its first bytes are written last: a process that was killed while it made the file has left none.
            let mut first = Vec::new();
            (&file).take(9).read_to_end(&mut first)?;
            if first.iter().any(|byte| *byte != 0) {
                return Err(Trouble::Usage(format!("{}: it is no state of a crawl", path.display())));
            }
            file.set_len(0)?;
            made_in(file, sync).map_err(|error| Trouble::System(failed(error)))
        }
        made => made.map_err(|error| Trouble::System(named(path, &failed(error)))),
    }
}

/// A database that nobody else can see, and nobody needs to clear away.
fn temporary() -> Result<Database, Trouble> {
    static MADE: AtomicU32 = AtomicU32::new(0);
    let nth = MADE.fetch_add(1, Ordering::Relaxed);
    let path = env::temp_dir().join(format!("windlass-crawl-{}-{nth}", std::process::id()));
    let open = || OpenOptions::new().read(true).write(true).create_new(true).open(&path);
    let file = open().map_err(|error| named(&path, &error))?;
    fs::remove_file(&path).map_err(|error| named(&path, &error))?;
    made_in(file, Sync::Never).map_err(|error| Trouble::System(failed(error)))
}

fn made_in(file: File, sync: Sync) -> Result<Database, DatabaseError> {
    let mut builder = Builder::new();
    builder.set_cache_size(CACHE).create_with_file_format_v3(true);
    let file = FileBackend::new(file)?;
    match sync {
        Sync::ToDisk => builder.create_with_backend(file),
        Sync::Never => builder.create_with_backend(Unsynced(file)),
    }
}

/// A file that is not waited for.
#[derive(Debug)]
struct Unsynced(FileBackend);

impl StorageBackend for Unsynced {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn read(&self, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        self.0.read(offset, len)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync_data(&self, _eventual: bool) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write(offset, data)
    }
}

/// What a database says, in one type.
fn failed(error: impl Into<redb::Error>) -> io::Error {
    match error.into() {
        redb::Error::Io(error) => error,
        other => io::Error::other(other),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::{crawl::Outcome, scope::Skipped};

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

    /// Small enough to be full all the time.
    const WINDOW: Window = Window { hosts: 3, pages: 4, total: 0 };

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

    fn ended(page: Page, links: Vec<Link>) -> Told {
        let extra = format!("<{}>", page.url).into_bytes();
        Told::Ended { page, outcome: Outcome::default(), links, extra }
    }

    fn urls(pages: &[Page]) -> Vec<&str> {
        pages.iter().map(|page| page.url.target()).collect()
    }

    /// What the files say, as URLs.
    fn written(folder: &Path) -> (Vec<String>, Vec<String>) {
        let lines = fs::read_to_string(folder.join("lines")).unwrap();
        let line =
            |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap()["url"].as_str().unwrap().into();
        let extra = fs::read_to_string(folder.join("extra")).unwrap();
        let extra = extra.split_terminator('>').map(|url| url.strip_prefix('<').unwrap().to_owned());
        (lines.lines().map(line).collect(), extra.collect())
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
        let plain = (0..1_000).map(|nth| Link {
            rank: Rank { level: 0, preference: 1, depth: 0 },
            ..link(&format!("http://a/{nth}"), 0)
        });
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
    fn hosts_wait_for_each_other_in_the_order_of_their_first_page() {
        let mut ledger = Ledger::open(None).unwrap();
        ledger.begin(Began::default(), [None, None], WINDOW).unwrap();
        let links = ["d", "a", "c", "b", "a", "d"].iter().enumerate();
        let links = links.map(|(nth, host)| link(&format!("http://{host}/{nth}"), 0)).collect();
        let mut first = ledger.take([Told::Found(links)]).unwrap();
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
            Told::Moved { page, outcome: Outcome::default(), to, extra: vec![] }
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

    /// Numbers below what is asked for (SplitMix64, Steele and others 2014).
    fn random(mut state: u64) -> impl FnMut(usize) -> usize {
        move |below| {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            ((z ^ (z >> 31)) % below as u64) as usize
        }
    }

    /// What a crawl would be like that forgets nothing: as far as it was committed, and as far as it has come.
    #[derive(Clone, Default)]
    struct Model {
        met: BTreeSet<String>,
        left: BTreeMap<String, u32>,
        lines: Vec<String>,
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
                let mut links = vec![];
                for _ in 0..random(6) {
                    let url = format!("http://h{}/{}", random(6), random(60));
                    if now.met.insert(url.clone()) {
                        now.left.insert(url.clone(), depth);
                    }
                    links.push(link(&url, depth));
                }
                let nth = random(handed.len().max(1));
                let page = handed.keys().nth(nth).cloned().and_then(|url| handed.remove(&url));
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
            let least = now.left.values().min();
            for page in answer.handed {
                assert_eq!(now.left.get(page.url.as_str()), least, "nothing that has ended, and of the least level");
                assert!(handed.insert(page.url.to_string(), page).is_none(), "nothing twice");
            }
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
                    (now, handed) = (committed.clone(), BTreeMap::new());
                    assert_eq!(written(&folder.0), (now.lines.clone(), now.lines.clone()));
                    assert_eq!(ledger.pages(), now.lines.len() as u64);
                }
                _ => {}
            }
        }
    }

    #[test]
    fn whatever_happens_nothing_is_lost_or_done_twice() {
        for seed in 0..4 {
            any_history(seed);
        }
    }
}
