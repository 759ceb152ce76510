//! The queue on disk, and the window on it.
//!
//! ```text
//!     met      128 bits of every URL that was ever found
//!     queue    host, rank, number ──► page       what has not ended; a host's are in order of rank, then of arrival
//!     waiting  level, number ──► host            hosts that have something in the queue, and none of it handed over
//!     postponed                  ──► as queue    what is queued again when a state is opened
//!
//!     link ──► meet ──► queue ──► hand_over: the window ──► the frontier ──► it has ended: leave ──► room for the next
//! ```
//!
//! A window is handed over: a few pages a host, of a few thousand hosts, each page once. What ends makes room for the next of
//! its host, and a host that has no more for the next host. That is what the crawl has in memory, however long the queue is.
//! Where levels are apart nothing of one is handed over before all of those below has ended.
//!
//! `waiting` follows from the queue, and is made anew when a state is opened.
//! Not here: what a transaction has besides (`ledger`).   Next: `files`.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    io,
};

use redb::{ReadableTable, Table, TableDefinition, WriteTransaction};

use super::{
    Answer, Link,
    disk::failed,
    record::{Key, Record, fingerprint},
};
use crate::{
    crawl::{Page, host_of},
    frontier::Bounds,
};

const MET: TableDefinition<'_, u128, ()> = TableDefinition::new("met");
const QUEUE: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("queue");
const POSTPONED: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("postponed");
pub(super) const WAITING: TableDefinition<'_, (u32, u64), &[u8]> = TableDefinition::new("waiting");
/// Where in `waiting` a host is.
pub(super) const HOSTS: TableDefinition<'_, &[u8], (u32, u64)> = TableDefinition::new("hosts");

/// Hosts of which something is handed over, at least: more than can be asked at once, since many rest.
const HOSTS_MIN: usize = 4_096;
/// Pages of one host that are handed over, at least: so many that the next are there before the last is fetched.
const PAGES_MIN: usize = 16;
/// Pages that are handed over where hosts are few: so many that the crawl goes on while the disk is awaited.
const TOTAL: usize = 4_096;

/// How much is handed over.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Window {
    pub(super) hosts: usize,
    /// Of one host.
    pub(super) pages: usize,
    /// Of all, if that makes more of one.
    pub(super) total: usize,
}

impl Window {
    /// Whatever the bounds are.
    pub(super) const LEAST: Self = Self { hosts: HOSTS_MIN, pages: PAGES_MIN, total: TOTAL };

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
    /// Whatever of it is in the queue and is not handed over is not before this; if none, all is handed over.
    rest: Option<Key>,
    /// The first in the queue that came late, and goes before something that is handed over.
    better: Option<Key>,
}

/// What is known of the queue without looking.
#[derive(Debug)]
pub(super) struct Shelf {
    pub(super) window: Window,
    pub(super) number: u64,
    pub(super) left: u64,
    /// How many of each level are in the queue.
    levels: BTreeMap<u32, u64>,
    active: HashMap<Box<[u8]>, Active>,
    /// What has come since the window was filled, by its number: taken from here, it need not be read and parsed.
    fresh: HashMap<u64, Page>,
    /// Those of which something has ended or come.
    touched: HashSet<Box<[u8]>>,
}

impl Shelf {
    pub(super) fn new(window: Window, number: u64) -> Self {
        let (levels, active, fresh, touched) = (BTreeMap::new(), HashMap::new(), HashMap::new(), HashSet::new());
        Self { window, number, left: 0, levels, active, fresh, touched }
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
pub(super) struct Tables<'a> {
    met: Table<'a, u128, ()>,
    queue: Table<'a, &'static [u8], &'static [u8]>,
    postponed: Table<'a, &'static [u8], &'static [u8]>,
    line: Line<'a>,
}

impl<'a> Tables<'a> {
    pub(super) fn of(transaction: &'a WriteTransaction) -> io::Result<Self> {
        Ok(Self {
            met: transaction.open_table(MET).map_err(failed)?,
            queue: transaction.open_table(QUEUE).map_err(failed)?,
            postponed: transaction.open_table(POSTPONED).map_err(failed)?,
            line: Line {
                waiting: transaction.open_table(WAITING).map_err(failed)?,
                hosts: transaction.open_table(HOSTS).map_err(failed)?,
            },
        })
    }

    /// Puts a link in the queue, if it is met for the first time. Whether it is in.
    pub(super) fn meet(&mut self, shelf: &mut Shelf, link: Link, answer: &mut Answer) -> io::Result<bool> {
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
        self.queue.insert(key.bytes(), &*Record::of(&link.page)).map_err(failed)?;
        shelf.came(link.rank.level);
        shelf.fresh.insert(shelf.number, Page { key: key.clone(), ..link.page });
        match shelf.active.get_mut(key.host()) {
            Some(active) => {
                if active.rest.as_ref().is_none_or(|rest| key < *rest) {
                    active.rest = Some(key.clone());
                }
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
    pub(super) fn leave(&mut self, shelf: &mut Shelf, key: &Key) -> io::Result<()> {
        self.queue.remove(key.bytes()).map_err(failed)?.expect("what ends is in the queue");
        shelf.went(key.rank().level);
        let active = shelf.active.get_mut(key.host()).expect("what ends was handed over");
        active.handed.remove(key);
        shelf.touch(key.host());
        Ok(())
    }

    /// Keeps for the next run what is about to leave the queue.
    pub(super) fn postpone(&mut self, page: &Page) -> io::Result<()> {
        self.postponed.insert(page.key.bytes(), &*Record::of(page)).map_err(failed)?;
        Ok(())
    }

    /// Queues what an earlier run has postponed.
    pub(super) fn take_up_postponed(&mut self) -> io::Result<()> {
        while let Some((key, record)) = self.postponed.pop_first().map_err(failed)? {
            self.queue.insert(key.value(), record.value()).map_err(failed)?;
        }
        Ok(())
    }

    /// Has all hosts wait that have something in the queue, and counts.
    pub(super) fn line_up_all(&mut self, shelf: &mut Shelf) -> io::Result<()> {
        let mut last = Vec::new();
        for entry in self.queue.iter().map_err(failed)? {
            let key = Key::from(entry.map_err(failed)?.0.value());
            shelf.came(key.rank().level);
            if shelf.left == 1 || last != key.host() {
                last = key.host().to_vec();
                self.line.stand(&key)?;
            }
        }
        Ok(())
    }

    /// Fills the window. What was met before this, and is not handed over now, will have to be read.
    pub(super) fn hand_over(&mut self, shelf: &mut Shelf, handed: &mut Vec<Page>) -> io::Result<()> {
        self.fill(shelf, handed)?;
        shelf.fresh = HashMap::new(); // what it takes is given back, too
        Ok(())
    }

    fn fill(&mut self, shelf: &mut Shelf, handed: &mut Vec<Page>) -> io::Result<()> {
        for host in std::mem::take(&mut shelf.touched) {
            self.settle(shelf, &host, handed)?;
        }
        while shelf.active.len() < shelf.window.hosts {
            let Some((&least, _)) = shelf.levels.first_key_value() else { return Ok(()) };
            let Some(host) = self.line.next(least)? else { return Ok(()) };
            shelf
                .active
                .insert(host.as_slice().into(), Active { rest: Some(Key::least_of(&host)), ..Active::default() });
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
        let from = if active.handed.len() <= room / 2 { active.rest.clone() } else { better };
        if let Some(from) = from {
            let mut next = None;
            let last = active.handed.last().cloned();
            for entry in self.queue.range(from.bytes()..&*[host, &[1]].concat()).map_err(failed)? {
                let (key, record) = entry.map_err(failed)?;
                let key = Key::from(key.value());
                if active.handed.contains(&key) {
                    continue;
                }
                let room = if Some(&key) < last.as_ref() { 2 * room } else { room };
                if Some(key.rank().level) > least || active.handed.len() >= room {
                    next = Some(key);
                    break;
                }
                active.handed.insert(key.clone());
                handed.push(match shelf.fresh.remove(&key.number()) {
                    Some(page) => page,
                    None => Record::read(key, record.value())?,
                });
            }
            if active.rest.as_ref() == Some(&from) {
                active.rest = next; // what is before that is handed over
            }
        }
        if active.handed.is_empty() {
            let rest = shelf.active.remove(host).and_then(|active| active.rest);
            if let Some(rest) = rest {
                self.line.stand(&rest)?; // all that it has is of a higher level
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
