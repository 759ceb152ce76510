//! The crawl itself.
//!
//! ```text
//!            ┌───────── next ◄── frontier ◄── handed over ◄── store ◄── links, within the scope ───┐
//!            ▼                                                  ▲                                  │
//!     a task for each ──► Engine::send ──► head ──► 3xx: to the same page, elsewhere ─┤            │
//!                                            ├────► 429, 5xx, broke off: later again  │            │
//!                                            └────► body, decoded ──► its end ────────┴────────────┘
//! ```
//!
//! One task looks at the frontier and lets go whatever may go; each fetch has a task of its own, which holds a slot as long
//! as it talks to the server and not while it waits for another attempt. What it found it tells the store, which knows what
//! is new, and has room for all of it. A host whose robots.txt is not known is asked for that first, and its pages wait
//! outside the frontier meanwhile.
//! Not here: who comes first (`frontier`), which URLs are let in (`scope`), who carries requests (`engine`), what is left to do
//! (`store`).   Next: `engine`.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    future::poll_fn,
    io, mem,
    pin::{Pin, pin},
    rc::Rc,
    task::Poll,
    time::{Duration, SystemTime},
};

use serde::{Deserialize, Serialize};
use windlass::{
    http::{
        Error, ErrorKind, Limits, Url,
        decode::{Coding, Decoder},
        request::{Content, write_request},
    },
    sync::Notify,
};
use windlass_examples::{
    latency::now_ns,
    links::{Extractor, Follow, Found, Kind as LinkKind},
    robots::Robots,
    sitemap::{self, Entry, Sitemap},
};

use crate::{
    cpu::{Cpu, Part},
    engine::{Answer, Engine, Took},
    frontier::{Frontier, Moment, Next, Rank},
    limits::Limit,
    plan::{Archive, PAUSE_MAX, Plan, Resources, Robots as Heeds, Sitemaps},
    report::Tally,
    rules::{Rules, Verdict},
    scope::{Skipped, normal},
    store::{self, Link, Store, Told, ledger::Key},
    warc::{Exchange, Whole},
};

/// A page is looked for at so many other places, as browsers do it (RFC 9110 15.4: loops ought to be detected).
const HOPS_MAX: u32 = 10;
/// RFC 9309 2.3.1.2: "at least five consecutive redirects".
const ROBOTS_HOPS_MAX: u32 = 5;
/// RFC 9309 2.5: at least 500 kibibytes are parsed; what is longer is cut there.
const ROBOTS_MAX: usize = 500 * 1024;
/// How long what is under way may go on when the crawl is told to stop.
const GRACE: Duration = Duration::from_secs(5);
/// Sitemaps that are read at once: each may take 50 MB, and that twice if it comes packed.
const SITEMAPS_AT_ONCE: usize = 2;
/// The protocol allows no index in an index; sites have them all the same.
const INDEXES_MAX: u32 = 3;
/// A robots.txt may name so many sitemaps; there is no number in the protocol.
const SITEMAPS_OF_ROBOTS_MAX: usize = 1_000;
/// Of a sitemap so many links are told at a time.
const LINKS_AT_ONCE: usize = 512;

/// A page on its way.
#[derive(Debug)]
pub(crate) struct Page {
    /// Its place in the store.
    pub(crate) key: Key,
    pub(crate) kind: Kind,
    /// What was found, what is to be asked for, where redirects have led, and what was asked for last.
    pub(crate) url: Url,
    pub(crate) at: Url,
    pub(crate) asked: Url,
    /// Links from what was given; of a sitemap, how many indexes led to it.
    pub(crate) depth: u32,
    pub(crate) parent: Option<Url>,
    pub(crate) hops: u32,
    pub(crate) attempts: u32,
}

impl Page {
    pub(crate) fn new(kind: Kind, url: Url, depth: u32, parent: Option<Url>) -> Self {
        let (at, asked) = (url.clone(), url.clone());
        Self { key: Key::none(), kind, at, asked, url, depth, parent, hops: 0, attempts: 0 }
    }
}

/// What a URL is fetched for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Kind {
    Page,
    /// For what it names.
    Sitemap,
}

/// What the frontier holds.
#[derive(Debug)]
enum What {
    Robots(Url),
    Page(Box<Page>),
}

pub(crate) struct Crawl<E> {
    engine: E,
    plan: Plan,
    began_ns: u64,
    state: RefCell<State>,
    changed: Notify,
    /// The store has answered.
    answered: Notify,
    /// Fetches that have no connection yet.
    connecting: Cell<usize>,
    cpu: Cpu,
}

struct State {
    frontier: Frontier<What>,
    rules: Rules<Page>,
    tally: Tally,
    /// To be told to the store, and how much it was told and has not answered.
    told: Vec<Told>,
    unanswered: usize,
    /// How much it has answered, and it may be lost.
    uncommitted: usize,
    /// What the store says is left.
    left: u64,
    /// Pages that earlier runs have done or this one lets in, and those that there was no budget for, as far as they were
    /// handed over.
    admitted: u64,
    refused: VecDeque<Page>,
    /// Sitemaps that are under way, and those that wait for them.
    sitemaps: usize,
    sitemaps_waiting: VecDeque<Page>,
    stopping: bool,
}

/// Crawls until nothing is left, a budget is spent, or `stop` completes. `show` says when it wants to look again.
///
/// # Errors
/// The store failed.
pub(crate) async fn crawl<E: Engine>(
    engine: E,
    plan: Plan,
    mut store: Store,
    show: impl Fn(&Tally, (usize, usize, usize)) -> Option<Moment> + 'static,
    stop: impl Future<Output = ()>,
) -> io::Result<Tally> {
    let state = State {
        frontier: Frontier::new(plan.bounds),
        rules: Rules::new(),
        tally: Tally::after(store.earlier),
        told: vec![],
        unanswered: 0,
        uncommitted: 0,
        left: 0,
        admitted: store.earlier,
        refused: VecDeque::new(),
        sitemaps: 0,
        sitemaps_waiting: VecDeque::new(),
        stopping: false,
    };
    let (state, connecting, cpu) = (RefCell::new(state), Cell::new(0), Cpu::default());
    let [changed, answered] = [Notify::new(), Notify::new()];
    let crawl = Rc::new(Crawl { engine, plan, began_ns: now_ns(), state, changed, answered, connecting, cpu });
    crawl.begin();
    crawl.clone().run(&mut store, show, stop).await;
    // A fetch whose grace is over says nothing any more.
    store.tell(mem::take(&mut crawl.state.borrow_mut().told));
    let (answers, stores) = store.close().await?;
    for answer in answers {
        crawl.hear(answer);
    }
    let mut state = crawl.state.borrow_mut();
    let left = state.left;
    match state.refused.is_empty() || state.stopping {
        true => state.tally.left = left,
        false => state.tally.skip(Skipped::Budget, left),
    }
    state.tally.end(crawl.now(), &crawl.cpu, stores);
    Ok(mem::take(&mut state.tally))
}

impl<E: Engine> Crawl<E> {
    fn now(&self) -> Moment {
        Duration::from_nanos(now_ns() - self.began_ns)
    }

    /// Tells the store what was given; whatever an earlier run has met is met.
    fn begin(&self) {
        let begins = self.plan.scope.begins.iter().filter_map(|begin| self.link(begin, 0, None));
        let mut links: Vec<Link> = begins.collect();
        if let Sitemaps::Followed(sitemaps) = &self.plan.manners.sitemaps {
            links.extend(sitemaps.iter().map(|url| sitemap_link(url, 0)));
        }
        self.tell(Told::Found(links));
    }

    /// Lets go what may go, until nothing is left.
    async fn run(
        self: Rc<Self>,
        store: &mut Store,
        show: impl Fn(&Tally, (usize, usize, usize)) -> Option<Moment>,
        stop: impl Future<Output = ()>,
    ) {
        let mut stop = pin!(stop);
        let (mut begins_until, mut grace_until) = (self.plan.budget.time, None);
        loop {
            let now = self.now();
            if grace_until.is_some_and(|until| now >= until) {
                return;
            }
            if begins_until.is_some_and(|until| now >= until) {
                self.stop();
                (begins_until, grace_until) = (None, Some(now + GRACE));
            }
            self.cpu.store.time(|| self.exchange(store));
            match self.cpu.frontier.time(|| self.next(now)) {
                Next::Fetch(what) => E::spawn(self.clone().fetch(what)),
                Next::Over => return,
                Next::Wait { held_by, until } => {
                    self.note(now, held_by);
                    let again = show(&self.state.borrow().tally, self.state.borrow().sizes());
                    let until = until.into_iter().chain(again).chain(begins_until).chain(grace_until).min();
                    match self.wait(until, store, stop.as_mut()).await {
                        Wake::Change => {}
                        Wake::Answer(answer) => self.cpu.store.time(|| self.hear(answer)),
                        Wake::Failed => return,
                        Wake::Stop => {
                            self.state.borrow_mut().tally.interrupted = true;
                            self.stop();
                            (begins_until, grace_until) = (None, Some(self.now() + GRACE));
                        }
                    }
                }
            }
        }
    }

    /// What to do now: nothing new while a whole batch has ended and is not committed.
    fn next(&self, now: Moment) -> Next<What> {
        let mut state = self.state.borrow_mut();
        if state.unanswered + state.uncommitted >= self.plan.batch {
            return Next::Wait { held_by: Limit::Store, until: None };
        }
        match state.frontier.next(now) {
            // More may come of what the store is told.
            Next::Over if state.unanswered > 0 => Next::Wait { held_by: Limit::Store, until: None },
            next => next,
        }
    }

    /// Waits until something has changed, it is time, the store answers, or `stop` completes.
    async fn wait(
        &self,
        until: Option<Moment>,
        store: &mut Store,
        mut stop: Pin<&mut impl Future<Output = ()>>,
    ) -> Wake {
        let mut changed = pin!(self.changed.notified());
        let mut answer = pin!(store.answer());
        let span = until.map(|until| until.saturating_sub(self.now()));
        let mut sleep = pin!(async {
            match span {
                Some(span) => E::sleep(span).await,
                None => std::future::pending().await,
            }
        });
        let has_stopped = self.state.borrow().tally.interrupted;
        poll_fn(|cx| {
            if let Poll::Ready(answer) = answer.as_mut().poll(cx) {
                return Poll::Ready(answer.map_or(Wake::Failed, Wake::Answer));
            }
            if changed.as_mut().poll(cx).is_ready() || sleep.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Wake::Change);
            }
            if has_stopped {
                return Poll::Pending; // `stop` has completed
            }
            stop.as_mut().poll(cx).map(|()| Wake::Stop)
        })
        .await
    }

    /// Nothing more is begun; to say so again changes nothing. What is left stays in the store.
    fn stop(&self) {
        let mut state = self.state.borrow_mut();
        state.stopping = true;
        let left = state.frontier.drain();
        state.rules.give_up();
        drop(state);
        drop(left);
        self.changed.notify_one();
    }

    fn note(&self, now: Moment, held_by: Limit) {
        let mut state = self.state.borrow_mut();
        let (queued, in_flight, _) = state.sizes();
        let talks = matches!(held_by, Limit::Concurrency | Limit::Server);
        let held_by = match (self.engine.resolving(), self.connecting.get()) {
            (resolving, _) if talks && resolving * 2 > in_flight => Limit::Dns,
            (_, connecting) if talks && connecting * 2 > in_flight => Limit::Connect,
            _ => held_by,
        };
        state.tally.note(now, held_by, in_flight, queued);
    }

    fn tell(&self, told: Told) {
        let mut state = self.state.borrow_mut();
        state.told.push(told);
        state.unanswered += 1;
        drop(state);
        self.changed.notify_one();
    }

    /// Hears what the store has to say, and says what it is to know.
    fn exchange(&self, store: &mut Store) {
        while let Some(answer) = store.try_answer() {
            self.hear(answer);
        }
        let told = mem::take(&mut self.state.borrow_mut().told);
        if !told.is_empty() {
            store.tell(told);
        }
    }

    /// The store has written something down, and hands something over.
    fn hear(&self, answer: store::Answer) {
        let mut state = self.state.borrow_mut();
        state.unanswered -= answer.heard;
        (state.left, state.uncommitted) = (answer.left, answer.uncommitted);
        for (page, outcome) in &answer.ended {
            state.tally.page(host_of(&page.asked), outcome);
        }
        for why in answer.skipped {
            state.tally.skip(why, 1);
        }
        // They come once more, and those that there was no budget for may go before them.
        state.admitted -= answer.moved;
        let again = state.refused.len().min(answer.moved as usize);
        let again: Vec<Page> = state.refused.drain(..again).collect();
        drop(state);
        for page in again.into_iter().chain(answer.handed) {
            self.enter(page);
        }
        self.answered.notify_waiters();
    }

    /// A link that was found, or a URL that was given; none if it leads too far.
    fn link(&self, url: &Url, depth: u32, parent: Option<&Url>) -> Option<Link> {
        if self.plan.scope.is_too_deep(depth) {
            self.state.borrow_mut().tally.skip(Skipped::Depth, 1); // it is not met: there may be a shorter way
            return None;
        }
        let url = normal(url);
        let (rank, refused) = (self.plan.order.rank(&url, depth), self.plan.scope.refuses(&url));
        Some(Link { page: Page::new(Kind::Page, url, depth, parent.cloned()), rank, refused })
    }

    /// A page is to be fetched, now here: if robots.txt lets it.
    fn enter(&self, page: Page) {
        let mut state = self.state.borrow_mut();
        let state = &mut *state;
        if state.stopping {
            return; // it stays in the store
        }
        let at = page.at.clone();
        let asked = match self.plan.manners.robots {
            Heeds::Heeded => state.rules.ask(at.origin(), at.target(), page),
            Heeds::Ignored => Verdict::Allowed(page),
        };
        let is_spent = self.plan.budget.pages.is_some_and(|max| state.admitted >= max);
        if let Some(delay) = state.rules.crawl_delay(at.origin()) {
            state.frontier.slow_down(host_of(&at), delay); // it may have been forgotten with its host
        }
        match asked {
            Verdict::Waits => {}
            Verdict::Ask => {
                let robots = robots_of(&at);
                state.frontier.push(host_of(&robots), Rank::default(), What::Robots(robots.clone()), Moment::ZERO);
            }
            Verdict::Forbidden(page) if page.hops == 0 || page.kind == Kind::Sitemap => {
                state.tally.skip(Skipped::Robots, 1);
                state.tell(Told::Dropped(page));
            }
            // Nor is a sitemap read any more: what it names could not be fetched, and sitemaps may have no end.
            Verdict::Forbidden(page) | Verdict::Allowed(page) if is_spent => state.refused.push_back(page),
            Verdict::Forbidden(page) => {
                state.admitted += 1; // it has a line
                let error = Error::new(ErrorKind::Redirect, "redirect: robots.txt forbids it");
                state.end(page, Outcome::failed(&error), vec![]);
            }
            Verdict::Allowed(page) if page.kind == Kind::Sitemap => {
                if state.sitemaps >= SITEMAPS_AT_ONCE {
                    return state.sitemaps_waiting.push_back(page);
                }
                state.sitemaps += 1;
                state.push(page);
            }
            Verdict::Allowed(page) => {
                state.admitted += 1;
                state.push(page);
            }
        }
    }

    async fn fetch(self: Rc<Self>, what: What) {
        let host = match &what {
            What::Robots(url) => host_of(url).to_owned(),
            What::Page(page) => host_of(&page.at).to_owned(),
        };
        let _slot = Slot { crawl: self.clone(), host };
        match what {
            What::Robots(url) => self.fetch_robots(url).await,
            What::Page(page) if page.kind == Kind::Sitemap => self.fetch_sitemap(*page).await,
            What::Page(page) => self.fetch_page(*page).await,
        }
    }

    /// Asks for a host's rules, and lets in who has waited for them.
    async fn fetch_robots(&self, url: Url) {
        let (robots, len) = self.robots(url.clone()).await;
        if matches!(self.plan.manners.sitemaps, Sitemaps::Followed(_)) && self.plan.scope.is_home_of(&url) {
            let named = robots.sitemaps().iter().take(SITEMAPS_OF_ROBOTS_MAX).filter_map(|text| url.join(text).ok());
            let links: Vec<Link> = named.map(|sitemap| sitemap_link(&sitemap, 0)).collect();
            if !links.is_empty() {
                self.tell(Told::Found(links));
            }
        }
        let mut state = self.state.borrow_mut();
        state.tally.robots += 1;
        if let Some(delay) = robots.crawl_delay() {
            state.tally.asks_for(host_of(&url), delay);
            state.frontier.slow_down(host_of(&url), delay);
        }
        let State { rules, frontier, .. } = &mut *state;
        let waited = rules.know(url.origin(), robots, len, |origin| {
            frontier.is_idle(origin.split_once("//").map_or(origin, |(_, host)| host))
        });
        drop(state);
        for page in waited {
            self.enter(page);
        }
    }

    /// What a host says, and in how many bytes.
    async fn robots(&self, mut url: Url) -> (Robots, usize) {
        let agent = self.plan.manners.user_agent.split('/').next().unwrap_or_default();
        for _ in 0..=ROBOTS_HOPS_MAX {
            let Ok(mut answer) = self.send(&url).await else { return (Robots::unreachable(), 0) };
            match (answer.status(), location(&url, &answer)) {
                (200..=299, _) => {
                    let Ok(file) = self.file_of(&mut answer, ROBOTS_MAX).await else {
                        return (Robots::unreachable(), 0);
                    };
                    return (Robots::parse(&file, agent), file.len());
                }
                (300..=399, Some(Ok(elsewhere))) => url = elsewhere,
                (500..=599, _) => return (Robots::unreachable(), 0),
                _ => return (Robots::unavailable(), 0),
            }
        }
        (Robots::unavailable(), 0) // RFC 9309 2.3.1.2: after five redirects, as if there were none
    }

    async fn fetch_page(&self, mut page: Page) {
        page.attempts += 1;
        page.asked = page.at.clone();
        match self.attempt(&page).await {
            Ok(Attempt::Done { outcome, links }) => self.state.borrow_mut().end(page, outcome, links),
            Ok(Attempt::Elsewhere(to)) => self.follow(page, to),
            Ok(Attempt::Later { after, outcome }) => self.put_off(page, after, outcome),
            Err(error) if may_pass(&error) => self.put_off(page, None, Outcome::failed(&error)),
            Err(error) => self.state.borrow_mut().end(page, Outcome::failed(&error), vec![]),
        }
    }

    /// The page is somewhere else, which counts as a link.
    fn follow(&self, page: Page, mut to: Redirect) {
        let exchange = to.exchange.take();
        let mut state = self.state.borrow_mut();
        if page.hops >= HOPS_MAX {
            let error = Error::new(ErrorKind::Redirect, format!("redirect: more than {HOPS_MAX}"));
            let outcome = Outcome { status: Some(to.status), took: to.took, exchange, ..Outcome::failed(&error) };
            return state.end(page, outcome, vec![]);
        }
        let (at, depth) = (normal(&to.at), page.depth + 1);
        let outcome = Outcome { status: Some(to.status), took: to.took, exchange, ..Outcome::default() };
        let is_too_deep = self.plan.scope.is_too_deep(depth).then_some(Skipped::Depth);
        if let Some(why) = is_too_deep.or_else(|| self.plan.scope.refuses(&at)) {
            state.tally.skip(why, 1);
            return state.end(page, outcome, vec![]);
        }
        let rank = self.plan.order.rank(&at, depth);
        let (url, parent, hops) = (page.url.clone(), page.parent.clone(), page.hops + 1);
        let next = Page { url, hops, ..Page::new(Kind::Page, at, depth, parent) };
        state.tell(Told::Moved { page, outcome, to: Link { page: next, rank, refused: None }, extra: vec![] });
    }

    /// Tries again later, unless that was often enough. The slot is free until then.
    fn put_off(&self, page: Page, after: Option<Duration>, outcome: Outcome) {
        let (retries, now) = (self.plan.retries, self.now());
        let mut state = self.state.borrow_mut();
        let pause = after.unwrap_or_else(|| retries.pause_before(page.attempts + 1));
        if page.attempts >= retries.attempts || pause > PAUSE_MAX {
            return state.end(page, outcome, vec![]);
        }
        if state.stopping {
            return; // it stays in the store
        }
        state.tally.retries += 1;
        state.sitemaps += usize::from(page.kind == Kind::Sitemap); // it is still one of those under way
        let (host, rank) = (host_of(&page.at).to_owned(), page.key.rank());
        if after.is_some() {
            state.frontier.rest(&host, now + pause); // it speaks for the whole host
        }
        state.frontier.push(&host, rank, What::Page(Box::new(page)), now + pause);
    }

    async fn send(&self, url: &Url) -> Result<E::Answer, Error> {
        let waits = Connecting::new(&self.connecting);
        self.engine.send(url, self.plan.manners.headers.of(url), &|| waits.over()).await
    }

    /// Fetches once.
    async fn attempt(&self, page: &Page) -> Result<Attempt, Error> {
        let (began, at) = (self.now(), SystemTime::now());
        let mut answer = self.send(&page.at).await?;
        let status = answer.status();
        let mut exchange = self.capture(&page.at, at, &answer);
        let first = |name: &str| answer.headers(name).into_iter().next();
        let content_type = first("content-type").map(|value| String::from_utf8_lossy(&value).into_owned());
        if let (301 | 302 | 303 | 307 | 308, Some(at)) = (status, location(&page.at, &answer)) {
            let at = at?;
            self.drain(&mut answer, exchange.as_deref_mut()).await?;
            return Ok(Attempt::Elsewhere(Redirect { at, status, took: answer.took(), exchange }));
        }
        let asked_for = first("retry-after");
        let is_html = content_type.as_deref().is_some_and(is_html) && (200..=299).contains(&status);
        let links = is_html.then(|| extractor(&page.at, &answer));
        let mut taken = Taken::new(&answer, links, self.plan.manners.max_size)?;
        while let Some(piece) = answer.chunk().await? {
            taken.wire += piece.len() as u64;
            self.spend(piece.len());
            if let Some(exchange) = &mut exchange {
                exchange.body.extend_from_slice(piece);
            }
            taken.take::<E>(piece, &self.cpu.parse).await?;
        }
        taken.finish()?;
        let outcome = Outcome {
            status: Some(status),
            content_type,
            wire: taken.wire,
            decoded: taken.decoded,
            took: answer.took(),
            total: self.now() - began,
            error: None,
            exchange,
        };
        drop(answer); // its connection is free; the links can wait
        if is_to_be_asked_again(status) {
            let after = asked_for.and_then(|value| retry_after(&value, SystemTime::now()));
            return Ok(Attempt::Later { after, outcome });
        }
        let links = match taken.links {
            Some(links) => {
                let found = self.cpu.parse.time(|| links.finish());
                self.cpu.frontier.time(|| self.links(page, found))
            }
            None => vec![],
        };
        Ok(Attempt::Done { outcome, links })
    }

    /// What of a page's links is for the store.
    fn links(&self, page: &Page, found: Found) -> Vec<Link> {
        let mut links = vec![];
        for link in found.links {
            if link.nofollow || found.follow == Follow::No {
                self.state.borrow_mut().tally.skip(Skipped::Nofollow, 1);
            } else if is_page(link.kind) || self.plan.manners.resources == Resources::Fetched {
                links.extend(self.link(&link.url, page.depth + 1, Some(&page.url)));
            }
        }
        links
    }

    /// Takes a redirect's body in, so that its connection can stay.
    async fn drain(&self, answer: &mut E::Answer, mut exchange: Option<&mut Exchange>) -> Result<(), Error> {
        let mut left = 64 * 1024_usize;
        while let Some(piece) = answer.chunk().await? {
            self.spend(piece.len());
            let rest = left.checked_sub(piece.len());
            if let Some(exchange) = &mut exchange {
                match rest {
                    Some(_) => exchange.body.extend_from_slice(piece),
                    None => exchange.is_whole = Whole::No,
                }
            }
            let Some(rest) = rest else { break };
            left = rest;
        }
        Ok(())
    }

    /// The beginning of what an archive has of a page, if one is wanted: all but the body.
    fn capture(&self, url: &Url, at: SystemTime, answer: &E::Answer) -> Option<Box<Exchange>> {
        let (head, address) = match self.plan.manners.archive {
            Archive::Kept => answer.received()?,
            Archive::Left => return None,
        };
        let mut request = Vec::new();
        write_request(&mut request, "GET", url, self.plan.manners.headers.public(), Content::None)
            .expect("it was sent");
        let (url, body, is_whole) = (url.as_str().to_owned(), Vec::new(), Whole::Yes);
        Some(Box::new(Exchange { url, at, address, request, head, body, is_whole }))
    }

    /// The beginning of a file, as far as it counts.
    async fn file_of(&self, answer: &mut E::Answer, max: usize) -> Result<Vec<u8>, Error> {
        let mut decoder = decoder_of(answer, u64::MAX)?;
        let mut file = Vec::new();
        while file.len() < max
            && let Some(piece) = answer.chunk().await?
        {
            self.spend(piece.len());
            match &mut decoder {
                Some(decoder) => decoder.decode_all(piece, |data| file.extend_from_slice(data))?,
                None => file.extend_from_slice(piece),
            }
        }
        file.truncate(max);
        Ok(file)
    }

    /// Bytes have come, whatever becomes of what they are of.
    fn spend(&self, wire: usize) {
        let mut state = self.state.borrow_mut();
        state.tally.bytes_wire += wire as u64;
        let is_spent = self.plan.budget.bytes.is_some_and(|max| state.tally.bytes_wire >= max) && !state.stopping;
        drop(state);
        if is_spent {
            self.stop();
        }
    }

    /// Reads a sitemap: what it names are links. Neither it nor what went wrong with it is in the output.
    async fn fetch_sitemap(&self, mut page: Page) {
        page.attempts += 1;
        match self.sitemap(&page).await {
            Ok(Read::Done) => {
                self.state.borrow_mut().tally.sitemaps += 1;
                self.tell(Told::Dropped(page));
            }
            Ok(Read::Stopped) => {}
            Ok(Read::Elsewhere(_)) if page.hops >= HOPS_MAX => self.tell(Told::Dropped(page)),
            Ok(Read::Elsewhere(at)) => {
                let mut link = sitemap_link(&at, page.depth);
                link.page.hops = page.hops + 1;
                self.tell(Told::Found(vec![link]));
                self.tell(Told::Dropped(page));
            }
            Ok(Read::Later(after)) => self.put_off(page, after, Outcome::default()),
            Err(error) if may_pass(&error) => self.put_off(page, None, Outcome::default()),
            Err(_) => self.tell(Told::Dropped(page)),
        }
        let mut state = self.state.borrow_mut();
        state.sitemaps -= 1;
        while state.sitemaps < SITEMAPS_AT_ONCE
            && let Some(next) = state.sitemaps_waiting.pop_front()
        {
            drop(state);
            self.enter(next);
            state = self.state.borrow_mut();
        }
    }

    async fn sitemap(&self, page: &Page) -> Result<Read, Error> {
        let mut answer = self.send(&page.at).await?;
        match (answer.status(), location(&page.at, &answer)) {
            (200..=299, _) => {}
            (301 | 302 | 303 | 307 | 308, Some(at)) => return Ok(Read::Elsewhere(at?)),
            (status, _) if is_to_be_asked_again(status) => {
                let asked_for = answer.headers("retry-after").into_iter().next();
                return Ok(Read::Later(asked_for.and_then(|value| retry_after(&value, SystemTime::now()))));
            }
            _ => return Ok(Read::Done), // there is none
        }
        let mut file = self.file_of(&mut answer, sitemap::LEN_MAX).await?;
        drop(answer);
        if file.starts_with(b"\x1f\x8b") {
            file = unpacked::<E>(&file).await?;
        }
        let mut sitemap = Sitemap::new(&file);
        let mut links = vec![];
        loop {
            let entries = sitemap.advance();
            let is_over = entries.is_none();
            links.extend(entries.into_iter().flatten().filter_map(|entry| match entry {
                Entry::Page(url) => self.link(&url, 1, Some(&page.at)),
                Entry::Sitemap(url) => (page.depth < INDEXES_MAX).then(|| sitemap_link(&url, page.depth + 1)),
            }));
            if links.len() >= LINKS_AT_ONCE || (is_over && !links.is_empty()) {
                self.tell(Told::Found(mem::take(&mut links)));
                self.answered.notified().await; // the store takes its time: until then the rest stays here as it came
            }
            if is_over {
                return Ok(Read::Done);
            }
            if self.state.borrow().stopping {
                return Ok(Read::Stopped);
            }
            E::yield_now().await;
        }
    }
}

/// A fetch under way. When it ends, also by a panic, its slot is free.
struct Slot<E: Engine> {
    crawl: Rc<Crawl<E>>,
    host: String,
}

impl<E: Engine> Drop for Slot<E> {
    fn drop(&mut self) {
        if let Ok(mut state) = self.crawl.state.try_borrow_mut() {
            self.crawl.cpu.frontier.time(|| state.frontier.done(&self.host));
        }
        self.crawl.changed.notify_one();
    }
}

enum Wake {
    Change,
    Answer(store::Answer),
    /// The store has ended, which it does not do by itself.
    Failed,
    Stop,
}

impl State {
    /// How many are in line, in memory or not, how many are under way, and of how many hosts something is known.
    fn sizes(&self) -> (usize, usize, usize) {
        let (_, in_flight, hosts) = self.frontier.sizes();
        ((self.left as usize).saturating_sub(in_flight), in_flight, hosts)
    }

    /// Nothing more becomes of a page: it has its line, and its links are found.
    fn end(&mut self, page: Page, outcome: Outcome, links: Vec<Link>) {
        self.tell(match page.kind {
            Kind::Page => Told::Ended { page, outcome, links, extra: vec![] },
            Kind::Sitemap => Told::Dropped(page),
        });
    }

    /// The caller sees to it that somebody looks: a fetch that ends does.
    fn tell(&mut self, told: Told) {
        self.told.push(told);
        self.unanswered += 1;
    }

    fn push(&mut self, page: Page) {
        let host = host_of(&page.at).to_owned();
        self.frontier.push(&host, page.key.rank(), What::Page(Box::new(page)), Moment::ZERO);
    }
}

/// What becomes of a fetch.
enum Attempt {
    Done { outcome: Outcome, links: Vec<Link> },
    Elsewhere(Redirect),
    Later { after: Option<Duration>, outcome: Outcome },
}

/// What becomes of a sitemap.
enum Read {
    Done,
    /// The crawl ends before it does.
    Stopped,
    Elsewhere(Url),
    Later(Option<Duration>),
}

struct Redirect {
    at: Url,
    status: u16,
    took: Took,
    exchange: Option<Box<Exchange>>,
}

/// What came of a page.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) status: Option<u16>,
    pub(crate) content_type: Option<String>,
    pub(crate) wire: u64,
    pub(crate) decoded: u64,
    pub(crate) took: Took,
    pub(crate) total: Duration,
    pub(crate) error: Option<(ErrorKind, String)>,
    /// For the archive, on the way to the store.
    pub(crate) exchange: Option<Box<Exchange>>,
}

impl Outcome {
    fn failed(error: &Error) -> Self {
        Self { error: Some((error.kind(), error.to_string())), ..Self::default() }
    }
}

/// A body on its way through its coding and into its links.
struct Taken {
    decoder: Option<Decoder>,
    links: Option<Extractor>,
    wire: u64,
    decoded: u64,
    max_size: u64,
}

impl Taken {
    fn new(answer: &impl Answer, links: Option<Extractor>, max_size: u64) -> Result<Self, Error> {
        let decoder = decoder_of(answer, max_size)?;
        Ok(Self { decoder, links, wire: 0, decoded: 0, max_size })
    }

    async fn take<E: Engine>(&mut self, mut piece: &[u8], parse: &Part) -> Result<(), Error> {
        if self.decoder.is_none() {
            return self.look::<E>(piece, parse).await;
        }
        while !piece.is_empty() {
            let Some(decoder) = &mut self.decoder else { return Ok(()) };
            let step = parse.time(|| decoder.decode(piece))?;
            piece = &piece[step.consumed..];
            let data = step.data.to_vec();
            self.look::<E>(&data, parse).await?;
        }
        Ok(())
    }

    async fn look<E: Engine>(&mut self, bytes: &[u8], parse: &Part) -> Result<(), Error> {
        self.decoded += bytes.len() as u64;
        if self.decoded > self.max_size {
            return Err(Error::new(ErrorKind::TooLarge, "body: larger than the limit"));
        }
        let Some(links) = &mut self.links else { return Ok(()) };
        let mut rest = bytes;
        while !rest.is_empty() {
            rest = parse.time(|| links.feed(rest));
            if !rest.is_empty() {
                E::yield_now().await; // a large page holds nobody else up
            }
        }
        Ok(())
    }

    fn finish(&self) -> Result<(), Error> {
        self.decoder.as_ref().map_or(Ok(()), Decoder::finish)
    }
}

/// What undoes the coding of a body, if it has one.
fn decoder_of(answer: &impl Answer, max_size: u64) -> Result<Option<Decoder>, Error> {
    let mut codings = answer.headers("content-encoding").into_iter();
    let coding = match (codings.next(), codings.next()) {
        (None, _) => None,
        (Some(name), None) if name.eq_ignore_ascii_case(b"identity") => None,
        (Some(name), None) => {
            Some(Coding::named(&name).ok_or_else(|| Error::new(ErrorKind::Protocol, "content coding: unknown"))?)
        }
        (Some(_), Some(_)) => return Err(Error::new(ErrorKind::Protocol, "content coding: more than one")),
    };
    let mut limits = Limits::default();
    limits.body_max = max_size;
    coding.map(|coding| Decoder::new(coding, &limits)).transpose()
}

/// What is in a gzipped sitemap, as far as it counts; a piece at a time.
async fn unpacked<E: Engine>(mut packed: &[u8]) -> Result<Vec<u8>, Error> {
    let mut limits = Limits::default();
    limits.body_max = u64::MAX;
    let mut decoder = Decoder::new(Coding::Gzip, &limits)?;
    let mut file = Vec::new();
    while !packed.is_empty() && file.len() < sitemap::LEN_MAX {
        let step = decoder.decode(packed)?;
        packed = &packed[step.consumed..];
        file.extend_from_slice(step.data);
        E::yield_now().await;
    }
    Ok(file)
}

/// Counts a fetch until it has a connection.
struct Connecting<'a> {
    count: &'a Cell<usize>,
    waits: Cell<bool>,
}

impl<'a> Connecting<'a> {
    fn new(count: &'a Cell<usize>) -> Self {
        count.set(count.get() + 1);
        Self { count, waits: Cell::new(true) }
    }

    fn over(&self) {
        if self.waits.replace(false) {
            self.count.set(self.count.get() - 1);
        }
    }
}

impl Drop for Connecting<'_> {
    fn drop(&mut self) {
        self.over();
    }
}

/// Errors that another attempt may be spared.
fn may_pass(error: &Error) -> bool {
    use ErrorKind::{Connect, Reset, Resolve, TimeoutConnect, TimeoutRead, TimeoutResolve, TimeoutTotal, Truncated};
    matches!(
        error.kind(),
        Connect | Reset | Resolve | TimeoutConnect | TimeoutRead | TimeoutResolve | TimeoutTotal | Truncated
    )
}

/// Statuses that say nothing of the page.
fn is_to_be_asked_again(status: u16) -> bool {
    matches!(status, 429 | 500 | 502 | 503 | 504)
}

/// A sitemap that so many indexes led to. Whatever the order is, they come first: they know of the most.
fn sitemap_link(url: &Url, indexes: u32) -> Link {
    Link { page: Page::new(Kind::Sitemap, normal(url), indexes, None), rank: Rank::default(), refused: None }
}

/// Whom limits and delays are counted for: the host and its port.
pub(crate) fn host_of(url: &Url) -> &str {
    url.host_header()
}

fn robots_of(url: &Url) -> Url {
    Url::parse(&format!("{}://{}/robots.txt", url.scheme(), url.host_header()))
        .expect("the origin of a URL and a path are one")
}

fn extractor(page: &Url, answer: &impl Answer) -> Extractor {
    let mut links = Extractor::new(page);
    for value in answer.headers("x-robots-tag") {
        links.x_robots_tag(&String::from_utf8_lossy(&value));
    }
    links
}

/// Where an answer points; none if nowhere.
fn location(from: &Url, answer: &impl Answer) -> Option<Result<Url, Error>> {
    let mut locations = answer.headers("location").into_iter();
    let first = locations.next()?;
    if locations.any(|other| other != first) {
        return Some(Err(Error::new(ErrorKind::Redirect, "redirect: several locations that differ")));
    }
    let text =
        String::from_utf8(first).map_err(|_| Error::new(ErrorKind::Redirect, "redirect: the location is not UTF-8"));
    Some(text.and_then(|text| {
        from.join(&text)
            .map_err(|error| Error::new(ErrorKind::Redirect, "redirect: the location leads nowhere").with_source(error))
    }))
}

/// Whether a link leads to a page, rather than to what belongs to one.
fn is_page(kind: LinkKind) -> bool {
    matches!(kind, LinkKind::Anchor | LinkKind::Frame | LinkKind::Refresh | LinkKind::Canonical)
}

fn is_html(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("text/html") || essence.eq_ignore_ascii_case("application/xhtml+xml")
}

/// What a Retry-After says (RFC 9110 10.2.3): seconds, or a date.
fn retry_after(value: &[u8], now: SystemTime) -> Option<Duration> {
    let text = std::str::from_utf8(value).ok()?.trim();
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        return Some(text.parse().map_or(Duration::MAX, Duration::from_secs));
    }
    Some(httpdate::parse_http_date(text).ok()?.duration_since(now).unwrap_or_default())
}
