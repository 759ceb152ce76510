//! What outlives the process.
//!
//! A crawl may be longer than the memory is large, and longer than anybody leaves a machine alone. So what is left to fetch,
//! and what was met, is on disk; the frontier in memory is a window on it.
//!
//! ```text
//!     the loop                                               the thread `store`
//!     a page has ended, with its links ──► Told, in batches ──► ledger: one transaction, and the lines of output
//!     frontier ◄── Answer: to be fetched next; what was new ◄──┘     └── committed four times a second
//! ```
//!
//! The loop never waits for the disk: it sends what happened, and goes on with what it was handed before. A page leaves the
//! ledger in the transaction in which its line is accounted for and its links get in; whatever is in there at a start is to
//! be fetched, and nothing else is. So a crawl that is killed fetches again what was under way, and one batch at most.
//! Not here: what is in a transaction (`ledger`), how a file is cut to what was committed (`files`).   Next: `ledger`.

mod disk;
pub(crate) mod files;
pub(crate) mod ledger;
mod queue;
pub(crate) mod record;

use std::{
    io,
    sync::mpsc::{self, RecvTimeoutError},
    thread::{self, JoinHandle},
    time::{Duration, Instant, SystemTime},
};

use windlass::remote;

use crate::{
    cpu,
    crawl::{Outcome, Page},
    frontier::Rank,
    scope::Skipped,
    store::ledger::Ledger,
    warc::Warc,
};

/// What is written down is committed after so long, if the batch is not full before.
const COMMIT_EVERY: Duration = Duration::from_millis(250);

/// So many links count as one more page that waits for the store: they take some eight kilobytes.
const LINKS_OF_A_PAGE: usize = 16;

/// What the loop has to say.
#[derive(Debug)]
pub(crate) enum Told {
    /// Links that no page's end brings: those that a crawl begins with, and those of a sitemap.
    Found(Vec<Link>),
    /// Nothing more becomes of a page. A line is written, and to the second file `extra`, behind what the outcome has for the
    /// archive.
    Ended { page: Box<Page>, outcome: Box<Outcome>, links: Vec<Link>, extra: Vec<u8> },
    /// A page is somewhere else. If nobody has met that place it is fetched there, in place of this; else it has ended.
    Moved { page: Box<Page>, outcome: Box<Outcome>, to: Box<Link>, extra: Vec<u8> },
    /// Neither a line nor a fetch comes of it.
    Dropped(Box<Page>),
    /// No more in this run; the next one finds it in the queue.
    Postponed(Box<Page>),
}

impl Told {
    /// As how many pages it counts while it waits in memory for the store: itself, and its links, of which there may be
    /// thousands.
    pub(crate) fn weight(&self) -> usize {
        match self {
            Told::Found(links) | Told::Ended { links, .. } => 1 + links.len() / LINKS_OF_A_PAGE,
            Told::Moved { .. } | Told::Dropped(_) | Told::Postponed(_) => 1,
        }
    }
}

/// Something to fetch, if it was not met before.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) page: Page,
    pub(crate) rank: Rank,
    /// Then it is only counted, once.
    pub(crate) refused: Option<Skipped>,
}

/// What the store has to say.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    /// How much of what it was told is done with, by its [weight](Told::weight).
    pub(crate) heard: usize,
    /// To be fetched.
    pub(crate) handed: Vec<Page>,
    /// Pages whose lines are written, and what came of them.
    pub(crate) ended: Vec<(Box<Page>, Box<Outcome>)>,
    /// How many pages go on elsewhere, and so will be handed over once more.
    pub(crate) moved: u64,
    /// Links that were met for the first time and are not for fetching.
    pub(crate) skipped: Vec<Skipped>,
    /// How many pages are still to be fetched, those under way included.
    pub(crate) left: u64,
    /// How many have ended and are not committed.
    pub(crate) uncommitted: usize,
}

/// Why there is no crawl, or no more of it.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// It cannot be done so.
    Usage(String),
    System(io::Error),
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Trouble::System(error)
    }
}

/// The loop's end of the store.
#[derive(Debug)]
pub(crate) struct Store {
    told: mpsc::Sender<Vec<Told>>,
    answers: remote::Receiver<Answer>,
    thread: JoinHandle<io::Result<Duration>>,
    /// Pages that earlier runs have done.
    pub(crate) earlier: u64,
}

impl Store {
    /// Lets a thread keep `ledger`, and commit when `batch` pages have ended at the latest. An archive says that it was asked
    /// for by `user_agent`.
    ///
    /// # Errors
    /// There is no thread to be had.
    pub(crate) fn start(ledger: Ledger, batch: usize, user_agent: &str) -> io::Result<Self> {
        let (told, hears) = mpsc::channel();
        let (answers, answered) = remote::channel(1_024); // whoever does not listen for so long may be waited for
        let earlier = ledger.pages();
        let thread = thread::Builder::new().name("store".to_owned());
        let archivist = Archivist { user_agent: user_agent.to_owned(), warc: None };
        let last = answers.clone();
        let clerk = Clerk { ledger, archivist, batch, hears, answers };
        let thread = thread.spawn(move || {
            let done = clerk.run().map(|()| cpu::of_this_thread());
            drop(last); // there are answers to wait for until the files are closed: so to join takes no time
            done
        })?;
        Ok(Self { told, answers: answered, thread, earlier })
    }

    /// Says what has happened. If the store has failed nobody hears it; see [`Store::close`].
    pub(crate) fn tell(&self, told: Vec<Told>) {
        let _ = self.told.send(told);
    }

    /// Waits for an answer; none comes any more if the store has failed.
    pub(crate) async fn answer(&mut self) -> Option<Answer> {
        self.answers.recv().await
    }

    /// An answer, if there is one.
    pub(crate) fn try_answer(&mut self) -> Option<Answer> {
        self.answers.try_recv().ok()
    }

    /// Has everything committed, and gives the last answers, and the CPU time of the store's thread.
    ///
    /// # Errors
    /// The disk failed, now or before; what was committed is safe.
    pub(crate) async fn close(self) -> io::Result<(Vec<Answer>, Duration)> {
        let Self { told, mut answers, thread, .. } = self;
        drop(told);
        let mut last = Vec::new();
        while let Some(answer) = answers.recv().await {
            last.push(answer);
        }
        match thread.join() {
            Ok(done) => done.map(|spent| (last, spent)),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

/// Who keeps the ledger.
struct Clerk {
    ledger: Ledger,
    archivist: Archivist,
    batch: usize,
    hears: mpsc::Receiver<Vec<Told>>,
    answers: remote::Sender<Answer>,
}

impl Clerk {
    fn run(mut self) -> io::Result<()> {
        let mut due = None::<Instant>;
        loop {
            let heard = match due {
                None => self.hears.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(due) => self.hears.recv_timeout(due.saturating_duration_since(Instant::now())),
            };
            let told = match heard {
                Ok(told) => told,
                Err(RecvTimeoutError::Timeout) => vec![],
                Err(RecvTimeoutError::Disconnected) => return self.ledger.commit(), // the crawl is over
            };
            let answer = {
                let told = told.into_iter().chain(self.hears.try_iter().flatten());
                self.ledger.take(told.map(|told| self.archivist.zipped(told)))?
            };
            let mut is_heard = self.answers.blocking_send(answer).is_ok();
            let due_at = *due.get_or_insert_with(|| Instant::now() + COMMIT_EVERY);
            // Half of a batch may come while the other half is committed.
            if self.ledger.uncommitted() > self.batch / 2 || due_at <= Instant::now() {
                self.ledger.commit()?;
                due = None;
                // Somebody may wait for just this.
                let left = self.ledger.left();
                is_heard = self.answers.blocking_send(Answer { left, ..Answer::default() }).is_ok();
            }
            if !is_heard {
                return self.ledger.commit(); // nobody waits for the end
            }
        }
    }
}

/// Makes records of what is to be kept: here, since zipping takes longer than anything that the loop does for a page.
struct Archivist {
    user_agent: String,
    warc: Option<Warc>,
}

impl Archivist {
    /// As it was told, with the bytes for the archive.
    fn zipped(&mut self, mut told: Told) -> Told {
        if let Told::Ended { outcome, extra, .. } | Told::Moved { outcome, extra, .. } = &mut told
            && let Some(exchange) = outcome.exchange.take()
        {
            let warc = self.warc.get_or_insert_with(|| {
                let (warc, first) = Warc::begin(&self.user_agent, SystemTime::now());
                extra.extend(first);
                warc
            });
            extra.extend(warc.exchange(&exchange));
        }
        told
    }
}
