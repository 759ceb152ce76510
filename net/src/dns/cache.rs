//! Each name is looked up once, however many ask for it.
//!
//! ```text
//!   resolve("a.com") ─┐                       ┌─► a1 a2 a3
//!   resolve("a.com") ─┼─► entry: the look-up ─┼─► a2 a3 a1      each use begins with the next address
//!   resolve("a.com") ─┘     └─► its answer    └─► a3 a1 a2
//!                                 └─ until it has lived its time, or the table is full and it is the next to go
//! ```
//!
//! No task stands behind a look-up: one of those who wait polls it, and if that one is dropped the next in line goes on
//! with the same look-up. When nobody waits for it any more it is dropped, so that one that hangs is not there for ever.
//! Not here: which of the addresses answers first (`dial`).   Next: `OnceCell` in windlass-executor, which has the line.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use windlass_executor::sync::OnceCell;
use windlass_reactor::time::Instant;

use super::{LookUp, Resolve};

/// The figure of curl and of Chromium, for answers whose time to live they do not know either.
const TTL: Duration = Duration::from_secs(60);
/// Long enough for a burst of requests to a name that is gone. Not longer, because `getaddrinfo` does not tell a name that
/// does not exist from a name server that does not answer just now.
const NEGATIVE_TTL: Duration = Duration::from_secs(5);
/// About 1 MiB of names with a few addresses each.
const ENTRIES_MAX: usize = 4096;
/// Addresses kept of each family; what a name server adds beyond that is not tried.
const ADDRESSES_MAX: usize = 64;

/// Keeps what another resolver found. Clones share it.
///
/// | setting | default | why |
/// |---|---|---|
/// | [`ttl`](Cache::ttl) | 60 seconds | curl's and Chromium's; `getaddrinfo` does not tell the name server's |
/// | [`negative_ttl`](Cache::negative_ttl) | 5 seconds | a failure may be the name server's, and soon over |
/// | [`entries_max`](Cache::entries_max) | 4,096 names | about 1 MiB |
///
/// The clock is the loop's. Of a name's addresses each use gets another one first, within their families: the order of
/// families is the resolver's. At most 64 of each family are kept.
///
/// # Cancel
/// Dropping a look-up forgets one who waits. The others go on waiting for the same answer; with the last of them the
/// look-up of the resolver is dropped.
///
/// ```
/// # use windlass_net::windlass;
/// # use std::{cell::Cell, net::{IpAddr, Ipv4Addr}, rc::Rc, time::Duration};
/// use windlass::net::dns::{Cache, Resolve};
/// use windlass::time::sleep;
/// # windlass_reactor::doc(async {
/// let asked = Rc::new(Cell::new(0));
/// let count = asked.clone();
/// let cache = Cache::new(move |_host: String| {
///     count.set(count.get() + 1);
///     async { Ok(vec![IpAddr::V4(Ipv4Addr::LOCALHOST)]) }
/// });
/// let (first, second) = (cache.resolve("example.com"), cache.resolve("example.com"));
/// assert_eq!((first.await?, asked.get()), (second.await?, 1));
/// sleep(Duration::from_secs(61)).await;
/// cache.resolve("example.com").await?;
/// assert_eq!(asked.get(), 2);
/// # std::io::Result::Ok(()) }).unwrap();
/// ```
#[derive(Clone)]
pub struct Cache {
    resolver: Rc<dyn Resolve>,
    names: Rc<RefCell<Names>>,
    ttl: Duration,
    negative_ttl: Duration,
    entries_max: usize,
}

impl Cache {
    /// A cache over `resolver`, empty.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// use windlass::net::dns::{Cache, System};
    /// let cache = Cache::new(System);
    /// # drop(cache);
    /// ```
    pub fn new(resolver: impl Resolve + 'static) -> Cache {
        Cache {
            resolver: Rc::new(resolver),
            names: Rc::default(),
            ttl: TTL,
            negative_ttl: NEGATIVE_TTL,
            entries_max: ENTRIES_MAX,
        }
    }

    /// How long addresses are kept; zero only lets those who ask meanwhile have the same answer.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// # use windlass::net::dns::{Cache, System};
    /// let cache = Cache::new(System).ttl(std::time::Duration::from_secs(300));
    /// # drop(cache);
    /// ```
    #[must_use]
    pub fn ttl(mut self, ttl: Duration) -> Cache {
        self.ttl = ttl;
        self
    }

    /// How long it is kept that there are none, or why.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// # use windlass::net::dns::{Cache, System};
    /// let cache = Cache::new(System).negative_ttl(std::time::Duration::ZERO); // ask again each time
    /// # drop(cache);
    /// ```
    #[must_use]
    pub fn negative_ttl(mut self, ttl: Duration) -> Cache {
        self.negative_ttl = ttl;
        self
    }

    /// How many names are kept. When there are more, the one whose time ends first goes. Names that are being looked up do
    /// not count: each has somebody who waits for it.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// # use windlass::net::dns::{Cache, System};
    /// let cache = Cache::new(System).entries_max(100_000);
    /// # drop(cache);
    /// ```
    #[must_use]
    pub fn entries_max(mut self, names: usize) -> Cache {
        self.entries_max = names;
        self
    }

    /// The entry of `host`: that which is kept or asked for, or a new one.
    fn entry(&self, host: &str) -> Rc<Entry> {
        let now = Instant::now();
        let mut names = self.names.borrow_mut();
        match names.entries.get(host) {
            Some(entry) if entry.until.get() > now => return entry.clone(),
            Some(entry) => {
                let place = (entry.until.get(), entry.number);
                names.by_end.remove(&place);
            }
            None => {}
        }
        names.made += 1;
        let entry = Rc::new(Entry {
            host: host.into(),
            number: names.made,
            answer: OnceCell::new(),
            asking: Cell::new(None),
            until: Cell::new(Instant::FAR_FUTURE),
            uses: Cell::new(0),
        });
        // The one before it, if there was one, has its answer: what is dropped here is data.
        names.entries.insert(entry.host.clone(), entry.clone());
        entry
    }

    /// Begins the life of an answer.
    fn keep(&self, entry: &Entry, answer: &Answer) {
        let is_found = answer.as_ref().is_ok_and(|found| !found.first.is_empty());
        let until = Instant::now() + if is_found { self.ttl } else { self.negative_ttl };
        entry.until.set(until);
        let mut names = self.names.borrow_mut();
        names.by_end.insert((until, entry.number), entry.host.clone());
        while names.by_end.len() > self.entries_max
            && let Some((_, host)) = names.by_end.pop_first()
        {
            names.entries.remove(&host); // it has its answer: data
        }
    }
}

impl Resolve for Cache {
    fn resolve(&self, host: &str) -> LookUp {
        let (cache, host) = (self.clone(), Box::<str>::from(host));
        Box::pin(async move {
            let waiter = Waiter { entry: cache.entry(&host), cache: &cache };
            let entry = &waiter.entry;
            let answer = entry.answer.get_or_init(async || {
                let answer = Found::new(entry.ask(&*cache.resolver).await);
                cache.keep(entry, &answer);
                answer
            });
            match answer.await {
                Ok(found) => Ok(found.in_turn(entry.uses.replace(entry.uses.get().wrapping_add(1)))),
                Err(failure) => Err(io::Error::new(failure.kind, failure.text.clone())),
            }
        })
    }
}

impl fmt::Debug for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.names.borrow();
        let (kept, asking) = (names.by_end.len(), names.entries.len() - names.by_end.len());
        f.debug_struct("Cache").field("kept", &kept).field("asking", &asking).finish_non_exhaustive()
    }
}

#[derive(Default)]
struct Names {
    /// What is kept, and what is being asked.
    entries: HashMap<Rc<str>, Rc<Entry>>,
    /// What is kept, by the end of its time; then by age.
    by_end: BTreeMap<(Instant, u64), Rc<str>>,
    /// Entries ever made.
    made: u64,
}

struct Entry {
    host: Rc<str>,
    number: u64,
    answer: OnceCell<Answer>,
    /// The resolver's look-up, but while it is polled. None before the first poll, and after the last.
    asking: Cell<Option<LookUp>>,
    /// The end of its time: none while there is no answer.
    until: Cell<Instant>,
    uses: Cell<usize>,
}

impl Entry {
    /// Goes on with the look-up, which somebody else may have begun.
    async fn ask(&self, resolver: &dyn Resolve) -> io::Result<Vec<IpAddr>> {
        poll_fn(|cx| {
            let mut asking = self.asking.take().unwrap_or_else(|| resolver.resolve(&self.host));
            let polled = asking.as_mut().poll(cx);
            // One that panicked is not put back: whoever is next in line asks anew.
            if polled.is_pending() {
                self.asking.set(Some(asking));
            }
            polled
        })
        .await
    }
}

/// Somebody who waits for an entry, or has its answer.
struct Waiter<'a> {
    entry: Rc<Entry>,
    cache: &'a Cache,
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        let is_last = Rc::strong_count(&self.entry) == 2; // the other one is in the table
        if is_last && !self.entry.answer.is_initialized() {
            // The look-up, which is foreign, is dropped after this, with the entry (I3).
            self.cache.names.borrow_mut().entries.remove(&self.entry.host);
        }
    }
}

type Answer = Result<Found, Failure>;

/// The addresses of a name, by family: that of the resolver's first address, and the other one.
struct Found {
    first: Box<[IpAddr]>,
    other: Box<[IpAddr]>,
}

struct Failure {
    kind: io::ErrorKind,
    text: String,
}

impl Found {
    fn new(answer: io::Result<Vec<IpAddr>>) -> Answer {
        let addresses = answer.map_err(|error| Failure { kind: error.kind(), text: error.to_string() })?;
        let preferred = addresses.first().map(IpAddr::is_ipv4);
        let of = |is_first: bool| {
            let family = addresses.iter().filter(|address| (Some(address.is_ipv4()) == preferred) == is_first);
            family.take(ADDRESSES_MAX).copied().collect()
        };
        Ok(Found { first: of(true), other: of(false) })
    }

    /// All of them, each family from another one on in each turn.
    fn in_turn(&self, turn: usize) -> Vec<IpAddr> {
        let from = |family: &[IpAddr]| turn.checked_rem(family.len()).unwrap_or(0);
        let (first, other) = (self.first.split_at(from(&self.first)), self.other.split_at(from(&self.other)));
        [first.1, first.0, other.1, other.0].concat()
    }
}
