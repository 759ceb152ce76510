//! What is to be fetched, and what was met.
//!
//! ```text
//!     queue    who is to be fetched, and who was met
//!     meta     whose state it is; how far it is; how long the files are
//!
//!     told ──► one transaction ──┬─► committed, and the files' lengths with it
//!                                └─► killed: as if it had not been told
//! ```
//!
//! Not here: on which thread (`store`), what is handed over (`queue`).   Next: `record`.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    panic::{self, AssertUnwindSafe},
    path::Path,
};

use redb::{Database, ReadableTable, TableDefinition, WriteTransaction};
use serde::{Deserialize, Serialize};

pub(crate) use super::queue::Window;
use super::{
    Answer, Told, Trouble,
    disk::{database, failed, temporary},
    files::{Files, Sync, Which, named},
    queue::{HOSTS, Shelf, Tables, WAITING},
};
use crate::report;

const META: TableDefinition<'_, &str, &str> = TableDefinition::new("meta");

/// The form of all that is written here.
const FORMAT: u32 = 2;

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
        Ok(Self {
            database,
            transaction: None,
            sync,
            uncommitted: 0,
            began,
            shelf: Shelf::new(Window::LEAST, progress.number),
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
        // The queue is read here for the first time: damage to it panics here, too.
        panic::catch_unwind(AssertUnwindSafe(|| self.go_on(began, paths, window)))
            .unwrap_or_else(|_| Err(Trouble::Usage("--state: the queue in it is damaged".to_owned())))
    }

    fn go_on(&mut self, began: Began, paths: [Option<&Path>; 2], window: Window) -> Result<(), Trouble> {
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
            let mut tables = Tables::of(&transaction)?;
            tables.take_up_postponed(&mut self.shelf)?;
            tables.recall(&mut self.shelf)?;
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
            answer.heard += told.weight();
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
            Told::Postponed(page) => {
                tables.postpone(&page)?;
                (Some(page.key), None, vec![])
            }
            Told::Ended { page, outcome, links, extra } => {
                (Some(page.key.clone()), Some((page, outcome, extra)), links)
            }
            Told::Moved { page, outcome, to, extra } => {
                let key = page.key.clone();
                if tables.meet(shelf, *to, answer)? {
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
            tables.leave(shelf, &key);
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
        Tables::of(&transaction)?.write_down(&mut self.shelf)?;
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

#[cfg(test)]
mod tests;
