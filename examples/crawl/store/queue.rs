//! The queue on disk, and the window on it.
//!
//! ```text
//!     met        128 bits of every URL that was ever found, but for those in `lately`
//!     lately     nth ──► many of them            as they came, until they are many: memory has them, too
//!     queue      host, rank, number ──► chunk    what has not ended; a host's are in order of rank, then of arrival
//!     waiting    level, number ──► host          hosts that have something in the queue, and none of it handed over
//!     postponed  host, rank, number ──► page     what is queued again when a state is opened
//!
//!     link ──► meet ──► pending ──► hand_over: the window ──► the frontier ──► it has ended: leave ──► room for the next
//!                          │ write_down, before a commit and when it is much: what has not ended meanwhile
//!                          ▼
//!                       chunks: up to so many pages of one host and rank, by the number of the last
//! ```
//!
//! To find a place in a table costs far more than what is put there. So what happens is noted in memory, and written down
//! sorted: a page that ends before that is in no table, and the others are there with their neighbours. A chunk of which
//! something has ended is written once more without that, and goes when nothing is left of it.
//!
//! A window is handed over: a few pages a host, of a few thousand hosts, each page once. What ends makes room for the next of
//! its host, and a host that has no more for the next host. That is what the crawl has in memory, however long the queue is.
//! Where levels are apart nothing of one is handed over before all of those below has ended.
//!
//! `waiting` follows from the queue, and is made anew when a state is opened.
//! Not here: what a transaction has besides (`ledger`).   Next: `files`.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    io, mem,
};

use redb::{ReadableTable, ReadableTableMetadata, Table, TableDefinition, WriteTransaction};

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
/// Pages with their numbers; the key is that of the last, also when that has ended.
type Chunk = Vec<(u64, &'static [u8])>;
const QUEUE: TableDefinition<'_, &[u8], Chunk> = TableDefinition::new("queue");
const LATELY: TableDefinition<'_, u64, Vec<u128>> = TableDefinition::new("lately");
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
/// Pages of a chunk, at most: their records fill a page of the database or two.
const CHUNK: usize = 32;
/// Bytes of the records of pages that have come and are not written down, at most. There are some thousands of them; with the
/// pages that they are of they take a few megabytes.
const FRESH: usize = 1024 * 1024;
/// What is met before it gets its place among all that was, so that many go to one place; a megabyte or two.
const LATELY_MET: usize = 32_768;

/// How much is handed over, and how much is in memory besides.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Window {
    pub(super) hosts: usize,
    /// Of one host.
    pub(super) pages: usize,
    /// Of all, if that makes more of one.
    pub(super) total: usize,
    /// Pages that are written down together.
    pub(super) chunk: usize,
    /// Bytes of records that have come and are not written down, if they are more than one.
    pub(super) fresh: usize,
    /// What is met and has no place among all that was.
    pub(super) met: usize,
}

impl Window {
    /// Whatever the bounds are.
    pub(super) const LEAST: Self =
        Self { hosts: HOSTS_MIN, pages: PAGES_MIN, total: TOTAL, chunk: CHUNK, fresh: FRESH, met: LATELY_MET };

    /// So much that what the bounds allow is never waited for.
    pub(crate) fn for_bounds(bounds: &Bounds) -> Self {
        let (hosts, pages) = (HOSTS_MIN.max(2 * bounds.concurrency), PAGES_MIN.max(2 * bounds.per_host));
        Self { hosts, pages, ..Self::LEAST }
    }
}

/// A host of which something is handed over.
#[derive(Debug, Default)]
struct Active {
    handed: BTreeSet<Key>,
    /// Whatever of it is in the queue and is not handed over is not before this; if none, all is handed over.
    rest: Option<Key>,
    /// Something has come that goes before what is handed over.
    is_overtaken: bool,
    /// Something of it has ended or come.
    is_touched: bool,
}

impl Active {
    fn touch(&mut self, host: &[u8], touched: &mut Vec<Box<[u8]>>) {
        if !mem::replace(&mut self.is_touched, true) {
            touched.push(host.into());
        }
    }
}

/// What has happened since the tables were written.
#[derive(Debug, Default)]
struct Pending {
    met: Vec<u128>,
    /// What has come, and not ended; and the bytes of its records.
    fresh: BTreeMap<Key, Fresh>,
    fresh_bytes: usize,
    /// What has ended, and is in the queue, by its number.
    gone: BTreeMap<u64, Key>,
}

#[derive(Debug)]
struct Fresh {
    record: Vec<u8>,
    /// Until it is handed over: then it need not be read.
    page: Option<Page>,
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
    /// Those that are touched.
    touched: Vec<Box<[u8]>>,
    /// What was met and is not in the table `met`.
    met: HashSet<u128>,
    pending: Pending,
}

impl Shelf {
    pub(super) fn new(window: Window, number: u64) -> Self {
        let (levels, active, met, pending) = (BTreeMap::new(), HashMap::new(), HashSet::new(), Pending::default());
        Self { window, number, left: 0, levels, active, touched: vec![], met, pending }
    }

    /// How much is noted that has its limit in the window: `fresh` and `met`.
    #[cfg(test)]
    pub(super) fn noted(&self) -> [usize; 2] {
        [self.pending.fresh_bytes, self.met.len()]
    }

    fn came(&mut self, level: u32, count: u64) {
        self.left += count;
        *self.levels.entry(level).or_default() += count;
    }

    fn went(&mut self, level: u32) {
        self.left -= 1;
        let count = self.levels.get_mut(&level).expect("what leaves has come");
        *count -= 1;
        if *count == 0 {
            self.levels.remove(&level);
        }
    }
}

/// The tables, as one transaction sees them.
pub(super) struct Tables<'a> {
    transaction: &'a WriteTransaction,
    met: Table<'a, u128, ()>,
    queue: Table<'a, &'static [u8], Chunk>,
    line: Line<'a>,
}

impl<'a> Tables<'a> {
    pub(super) fn of(transaction: &'a WriteTransaction) -> io::Result<Self> {
        Ok(Self {
            transaction,
            met: transaction.open_table(MET).map_err(failed)?,
            queue: transaction.open_table(QUEUE).map_err(failed)?,
            line: Line {
                waiting: transaction.open_table(WAITING).map_err(failed)?,
                hosts: transaction.open_table(HOSTS).map_err(failed)?,
                latest: None,
            },
        })
    }

    /// Puts a link in the queue, if it is met for the first time. Whether it is in.
    pub(super) fn meet(&mut self, shelf: &mut Shelf, link: Link, answer: &mut Answer) -> io::Result<bool> {
        let print = fingerprint(&link.page);
        if shelf.met.contains(&print) || self.met.get(print).map_err(failed)?.is_some() {
            return Ok(false);
        }
        if shelf.met.len() >= shelf.window.met {
            self.write_down(shelf)?;
        }
        shelf.met.insert(print);
        shelf.pending.met.push(print);
        if let Some(why) = link.refused {
            answer.skipped.push(why);
            return Ok(false);
        }
        let record = Record::of(&link.page);
        if shelf.pending.fresh_bytes + record.len() > shelf.window.fresh {
            self.write_down(shelf)?;
        }
        shelf.number += 1;
        let key = Key::new(host_of(&link.page.at), link.rank, shelf.number);
        let page = Some(Page { key: key.clone(), ..link.page });
        shelf.pending.fresh_bytes += record.len();
        shelf.pending.fresh.insert(key.clone(), Fresh { record, page });
        shelf.came(link.rank.level, 1);
        match shelf.active.get_mut(key.host()) {
            Some(active) => {
                if active.rest.as_ref().is_none_or(|rest| key < *rest) {
                    active.rest = Some(key.clone());
                }
                active.is_overtaken |= active.handed.last().is_some_and(|last| key < *last);
                active.touch(key.host(), &mut shelf.touched);
            }
            None => self.line.stand(&key)?,
        }
        Ok(true)
    }

    /// Takes what has ended out of the queue.
    pub(super) fn leave(&mut self, shelf: &mut Shelf, key: &Key) {
        match shelf.pending.fresh.remove(key) {
            Some(fresh) => shelf.pending.fresh_bytes -= fresh.record.len(),
            None => _ = shelf.pending.gone.insert(key.number(), key.clone()),
        }
        shelf.went(key.rank().level);
        let active = shelf.active.get_mut(key.host()).expect("what ends was handed over");
        active.handed.remove(key);
        active.touch(key.host(), &mut shelf.touched);
    }

    /// Keeps for the next run what is about to leave the queue.
    pub(super) fn postpone(&mut self, page: &Page) -> io::Result<()> {
        let mut postponed = self.transaction.open_table(POSTPONED).map_err(failed)?;
        postponed.insert(page.key.bytes(), &*Record::of(page)).map_err(failed)?;
        Ok(())
    }

    /// Queues what an earlier run has postponed, behind what is of its rank.
    pub(super) fn take_up_postponed(&mut self, shelf: &mut Shelf) -> io::Result<()> {
        let mut postponed = self.transaction.open_table(POSTPONED).map_err(failed)?;
        while let Some((key, record)) = postponed.pop_first().map_err(failed)? {
            shelf.number += 1;
            let key = Key::from(key.value()).numbered(shelf.number);
            self.queue.insert(key.bytes(), vec![(shelf.number, record.value())]).map_err(failed)?;
        }
        Ok(())
    }

    /// Has in memory what belongs there, and all hosts wait that have something in the queue.
    pub(super) fn recall(&mut self, shelf: &mut Shelf) -> io::Result<()> {
        for met in self.transaction.open_table(LATELY).map_err(failed)?.iter().map_err(failed)? {
            shelf.met.extend(met.map_err(failed)?.1.value());
        }
        let mut last = Vec::new();
        for entry in self.queue.iter().map_err(failed)? {
            let (key, chunk) = entry.map_err(failed)?;
            let (key, chunk) = (Key::from(key.value()), chunk.value());
            shelf.came(key.rank().level, chunk.len() as u64);
            if last != key.host() {
                last = key.host().to_vec();
                self.line.stand(&key.numbered(chunk[0].0))?;
            }
        }
        Ok(())
    }

    /// Has in the tables what is pending.
    pub(super) fn write_down(&mut self, shelf: &mut Shelf) -> io::Result<()> {
        let Pending { met, fresh, mut gone, .. } = mem::take(&mut shelf.pending);
        let mut lately = self.transaction.open_table(LATELY).map_err(failed)?;
        if shelf.met.len() >= shelf.window.met {
            let met: BTreeSet<_> = mem::take(&mut shelf.met).into_iter().collect();
            for print in met {
                self.met.insert(print, ()).map_err(failed)?;
            }
            lately.retain(|_, _| false).map_err(failed)?;
        } else if !met.is_empty() {
            let nth = lately.len().map_err(failed)?;
            lately.insert(nth, met).map_err(failed)?;
        }
        while let Some((&number, key)) = gone.first_key_value() {
            let (last, left) = {
                let mut chunks = self.queue.range(key.bytes()..).map_err(failed)?;
                let (last, pages) = chunks.next().expect("what ends is in the queue").map_err(failed)?;
                let left = pages.value().into_iter().filter(|(number, _)| gone.remove(number).is_none());
                let left: Vec<_> = left.map(|(number, record)| (number, record.to_vec())).collect();
                (Key::from(last.value()), left)
            };
            assert!(!gone.contains_key(&number), "what ends is in the queue");
            if left.is_empty() {
                self.queue.remove(last.bytes()).map_err(failed)?;
            } else {
                self.put(&last, left.iter().map(|(number, record)| (*number, &**record)))?;
            }
        }
        let fresh: Vec<_> = fresh.into_iter().collect();
        let alike = fresh.chunk_by(|(key, _), (other, _)| key.is_like(other));
        for chunk in alike.flat_map(|alike| alike.chunks(shelf.window.chunk)) {
            let (last, _) = chunk.last().expect("no chunk is empty");
            self.put(last, chunk.iter().map(|(key, fresh)| (key.number(), &*fresh.record)))?;
        }
        Ok(())
    }

    fn put<'r>(&mut self, last: &Key, pages: impl Iterator<Item = (u64, &'r [u8])>) -> io::Result<()> {
        self.queue.insert(last.bytes(), pages.collect::<Vec<_>>()).map_err(failed)?;
        Ok(())
    }

    /// Fills the window.
    pub(super) fn hand_over(&mut self, shelf: &mut Shelf, handed: &mut Vec<Page>) -> io::Result<()> {
        for host in mem::take(&mut shelf.touched) {
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
        active.is_touched = false;
        let is_due = mem::take(&mut active.is_overtaken) || active.handed.len() <= room / 2;
        let from = active.rest.clone().filter(|from| is_due && Some(from.rank().level) <= least);
        if let Some(from) = from {
            let last = active.handed.last().cloned();
            let room = |key: &Key| if Some(key) < last.as_ref() { 2 * room } else { room };
            active.rest = None;
            // One more than there is room for says where the rest begins.
            let is_enough = |count, key: &Key| count > room(key).saturating_sub(active.handed.len());
            for (key, record) in self.ahead(&shelf.pending, &from, &active.handed, is_enough)? {
                if Some(key.rank().level) > least || active.handed.len() >= room(&key) {
                    active.rest = Some(key);
                    break;
                }
                active.handed.insert(key.clone());
                handed.push(match (record, shelf.pending.fresh.get_mut(&key)) {
                    (Some(record), _) => Record::read(key, &record)?,
                    (None, fresh) => fresh.and_then(|fresh| fresh.page.take()).expect("what waits has its page"),
                });
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

    /// What is in line from there on of the same host, in order, without what is handed over: as much as is enough, going by
    /// how many there are up to a key. With records, where they are in the table.
    fn ahead(
        &self,
        pending: &Pending,
        from: &Key,
        handed: &BTreeSet<Key>,
        is_enough: impl Fn(usize, &Key) -> bool,
    ) -> io::Result<Vec<(Key, Option<Vec<u8>>)>> {
        let end = Key::from(&*[from.host(), &[1]].concat());
        let mut ahead = vec![];
        for (key, _) in pending.fresh.range(from..&end).filter(|(_, fresh)| fresh.page.is_some()) {
            ahead.push((key.clone(), None));
            if is_enough(ahead.len(), key) {
                break;
            }
        }
        let fresh = ahead.len();
        for chunk in self.queue.range(from.bytes()..end.bytes()).map_err(failed)? {
            if ahead[fresh..].last().is_some_and(|(key, _)| is_enough(ahead.len() - fresh, key)) {
                break;
            }
            let (last, pages) = chunk.map_err(failed)?;
            let last = Key::from(last.value());
            let pages = pages.value().into_iter().filter(|(number, _)| !pending.gone.contains_key(number));
            let pages = pages.map(|(number, record)| (last.numbered(number), record));
            let pages = pages.filter(|(key, _)| !handed.contains(key));
            ahead.extend(pages.map(|(key, record)| (key, Some(record.to_vec()))));
        }
        ahead.sort_by(|(key, _), (other, _)| key.cmp(other));
        Ok(ahead)
    }
}

/// The hosts that wait for their turn.
struct Line<'a> {
    waiting: Table<'a, (u32, u64), &'static [u8]>,
    hosts: Table<'a, &'static [u8], (u32, u64)>,
    /// Whose host was the latest to be told to stand there: links to one host come together.
    latest: Option<Key>,
}

impl Line<'_> {
    /// Has the host of an entry stand there; in the place that it has, unless the entry's level is lower.
    fn stand(&mut self, entry: &Key) -> io::Result<()> {
        let place = (entry.rank().level, entry.number());
        if let Some(latest) = &self.latest
            && latest.host() == entry.host()
            && latest.rank().level <= place.0
        {
            return Ok(());
        }
        self.latest = Some(entry.clone());
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
        self.latest = None;
        self.waiting.remove(place).map_err(failed)?;
        self.hosts.remove(&*host).map_err(failed)?;
        Ok(Some(host))
    }
}
