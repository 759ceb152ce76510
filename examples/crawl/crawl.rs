//! The crawl itself.
//!
//! ```text
//!            ┌──────────── next ◄── frontier ◄── links, within the scope, once ────────────┐
//!            ▼                                                                             │
//!     a task for each ──► Engine::send ──► head ──► 3xx: to the same page, elsewhere ──────┤
//!                                            ├────► 429, 5xx, broke off: later again ──────┤
//!                                            └────► body, decoded ──► links ───────────────┘
//!                                                                └──► a line of output, once a page
//! ```
//!
//! One task looks at the frontier and lets go whatever may go; each fetch has a task of its own, which holds a slot as long
//! as it talks to the server and not while it waits for another attempt. A host whose robots.txt is not known is asked for
//! that first, and its pages wait outside the frontier meanwhile.
//! Not here: who comes first (`frontier`), which URLs are let in (`scope`), who carries requests (`engine`).
//! Next: `report`.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    future::poll_fn,
    pin::{Pin, pin},
    rc::Rc,
    task::Poll,
    time::{Duration, SystemTime},
};

use windlass::{
    http::{
        Error, ErrorKind, Limits, Url,
        decode::{Coding, Decoder},
    },
    sync::Notify,
};
use windlass_examples::{
    latency::now_ns,
    links::{Extractor, Follow, Found, Kind},
    robots::Robots,
};

use crate::{
    cpu::{Cpu, Part},
    engine::{Answer, Engine, Took},
    frontier::{Frontier, Moment, Next},
    plan::{PAUSE_MAX, Plan, Resources, Robots as Heeds},
    report::{Limit, Line, Tally},
    scope::{Seen, Skipped, normal},
};

/// A page is looked for at so many other places, as browsers do it (RFC 9110 15.4: loops ought to be detected).
const HOPS_MAX: u32 = 10;
/// RFC 9309 2.3.1.2: "at least five consecutive redirects".
const ROBOTS_HOPS_MAX: u32 = 5;
/// RFC 9309 2.5: at least 500 kibibytes are parsed; what is longer is cut there.
const ROBOTS_MAX: usize = 500 * 1024;
/// How long what is under way may go on when the crawl is told to stop.
const GRACE: Duration = Duration::from_secs(5);

/// A page on its way.
#[derive(Debug)]
pub(crate) struct Page {
    /// What was found, what is to be asked for, where redirects have led, and what was asked for last.
    pub(crate) url: Url,
    pub(crate) at: Url,
    pub(crate) asked: Url,
    pub(crate) depth: u32,
    pub(crate) parent: Option<Rc<str>>,
    pub(crate) hops: u32,
    pub(crate) attempts: u32,
}

/// What the frontier holds.
#[derive(Debug)]
enum What {
    Robots(Url),
    Page(Page),
}

/// What is known of a host's robots.txt.
enum Rules {
    /// It is being asked for; these pages wait.
    Awaited(Vec<Page>),
    Known(Robots),
}

/// Where lines go.
pub(crate) trait Output {
    fn line(&mut self, line: &Line<'_>);
}

pub(crate) struct Crawl<E> {
    engine: E,
    plan: Plan,
    began_ns: u64,
    state: RefCell<State>,
    changed: Notify,
    /// Fetches that have no connection yet.
    connecting: Cell<usize>,
    cpu: Cpu,
}

struct State {
    frontier: Frontier<What>,
    seen: Seen,
    rules: HashMap<Box<str>, Rules>,
    tally: Tally,
    admitted: u64,
    stopping: bool,
    output: Box<dyn Output>,
}

/// Crawls until nothing is left, a budget is spent, or `stop` completes. `show` says when it wants to look again.
pub(crate) async fn crawl<E: Engine>(
    engine: E,
    plan: Plan,
    output: Box<dyn Output>,
    show: impl Fn(&Tally, (usize, usize, usize)) -> Option<Moment> + 'static,
    stop: impl Future<Output = ()>,
) -> Tally {
    let frontier = Frontier::new(plan.bounds);
    let state = State {
        frontier,
        seen: Seen::default(),
        rules: HashMap::new(),
        tally: Tally::default(),
        admitted: 0,
        stopping: false,
        output,
    };
    let (state, connecting, cpu) = (RefCell::new(state), Cell::new(0), Cpu::default());
    let crawl = Rc::new(Crawl { engine, plan, began_ns: now_ns(), state, changed: Notify::new(), connecting, cpu });
    for begin in crawl.plan.scope.begins.clone() {
        crawl.found(&begin, 0, None);
    }
    crawl.clone().run(show, stop).await;
    let mut state = crawl.state.borrow_mut();
    let (_, in_flight, _) = state.frontier.sizes();
    state.tally.left += in_flight as u64; // their grace is over
    state.tally.end(crawl.now(), &crawl.cpu);
    std::mem::take(&mut state.tally)
}

impl<E: Engine> Crawl<E> {
    fn now(&self) -> Moment {
        Duration::from_nanos(now_ns() - self.began_ns)
    }

    /// Lets go what may go, until nothing is left.
    async fn run(
        self: Rc<Self>,
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
            let next = self.cpu.frontier.time(|| self.state.borrow_mut().frontier.next(now));
            match next {
                Next::Fetch(what) => E::spawn(self.clone().fetch(what)),
                Next::Over => return,
                Next::Wait { held_by, until } => {
                    self.note(now, held_by);
                    let again = {
                        let state = self.state.borrow();
                        show(&state.tally, state.frontier.sizes())
                    };
                    let until = until.into_iter().chain(again).chain(begins_until).chain(grace_until).min();
                    if self.wait(until, stop.as_mut()).await == Wake::Stop {
                        self.state.borrow_mut().tally.interrupted = true;
                        self.stop();
                        (begins_until, grace_until) = (None, Some(self.now() + GRACE));
                    }
                }
            }
        }
    }

    /// Waits until something has changed, it is time, or `stop` completes.
    async fn wait(&self, until: Option<Moment>, mut stop: Pin<&mut impl Future<Output = ()>>) -> Wake {
        let mut changed = pin!(self.changed.notified());
        let span = until.map(|until| until.saturating_sub(self.now()));
        let mut sleep = pin!(async {
            match span {
                Some(span) => E::sleep(span).await,
                None => std::future::pending().await,
            }
        });
        let has_stopped = self.state.borrow().tally.interrupted;
        poll_fn(|cx| {
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

    /// Nothing more is begun; to say so again changes nothing.
    fn stop(&self) {
        let mut state = self.state.borrow_mut();
        state.stopping = true;
        let left = state.frontier.drain();
        let mut waiting = 0;
        for rules in state.rules.values_mut() {
            if let Rules::Awaited(pages) = rules {
                waiting += std::mem::take(pages).len();
            }
        }
        state.tally.left += (left.len() + waiting) as u64;
        drop(state);
        drop(left);
        self.changed.notify_one();
    }

    fn note(&self, now: Moment, held_by: Limit) {
        let mut state = self.state.borrow_mut();
        let (queued, in_flight, _) = state.frontier.sizes();
        let talks = matches!(held_by, Limit::Concurrency | Limit::Server);
        let held_by = match (self.engine.resolving(), self.connecting.get()) {
            (resolving, _) if talks && resolving * 2 > in_flight => Limit::Dns,
            (_, connecting) if talks && connecting * 2 > in_flight => Limit::Connect,
            _ => held_by,
        };
        state.tally.note(now, held_by, in_flight, queued);
    }

    /// A link was found, or a URL given.
    fn found(&self, url: &Url, depth: u32, parent: Option<&Rc<str>>) {
        let url = normal(url);
        let mut state = self.state.borrow_mut();
        if self.plan.scope.is_too_deep(depth) {
            return state.tally.skip(Skipped::Depth); // it is not met: a redirect may lead there on a shorter way
        }
        if !state.seen.is_new(&url) {
            return;
        }
        if let Some(why) = self.plan.scope.refuses(&url) {
            return state.tally.skip(why);
        }
        let page =
            Page { at: url.clone(), asked: url.clone(), url, depth, parent: parent.cloned(), hops: 0, attempts: 0 };
        drop(state);
        self.enter(page);
    }

    /// A page is to be fetched, now here: if robots.txt lets it.
    fn enter(&self, page: Page) {
        let mut state = self.state.borrow_mut();
        let state = &mut *state;
        if state.stopping {
            state.tally.left += 1;
            return;
        }
        if self.plan.manners.robots == Heeds::Heeded {
            let origin = page.at.origin();
            match state.rules.get_mut(origin) {
                Some(Rules::Awaited(pages)) => return pages.push(page),
                Some(Rules::Known(robots)) if robots.allows(page.at.target()) => {}
                Some(Rules::Known(_)) if page.hops == 0 => return state.tally.skip(Skipped::Robots),
                Some(Rules::Known(_)) => {
                    return state.end(
                        &page,
                        &Outcome::failed(&Error::new(ErrorKind::Redirect, "redirect: robots.txt forbids it")),
                    );
                }
                None => {
                    let robots = robots_of(&page.at);
                    state.rules.insert(origin.into(), Rules::Awaited(vec![page]));
                    return state.frontier.push(host_of(&robots), 0, What::Robots(robots.clone()), Moment::ZERO);
                }
            }
        }
        if page.hops == 0 {
            if self.plan.budget.pages.is_some_and(|max| state.admitted >= max) {
                return state.tally.skip(Skipped::Budget);
            }
            state.admitted += 1;
        }
        let (host, depth) = (host_of(&page.at).to_owned(), page.depth);
        state.frontier.push(&host, depth, What::Page(page), Moment::ZERO);
    }

    async fn fetch(self: Rc<Self>, what: What) {
        let (host, depth) = match &what {
            What::Robots(url) => (host_of(url).to_owned(), 0),
            What::Page(page) => (host_of(&page.at).to_owned(), page.depth),
        };
        let _slot = Slot { crawl: self.clone(), host, depth };
        match what {
            What::Robots(url) => self.fetch_robots(url).await,
            What::Page(page) => self.fetch_page(page).await,
        }
    }

    /// Asks for a host's rules, and lets in who has waited for them.
    async fn fetch_robots(&self, url: Url) {
        let robots = self.robots(url.clone()).await;
        let mut state = self.state.borrow_mut();
        state.tally.robots += 1;
        if let Some(delay) = robots.crawl_delay() {
            state.tally.asks_for(host_of(&url), delay);
            state.frontier.slow_down(host_of(&url), delay);
        }
        let awaited = state.rules.insert(url.origin().into(), Rules::Known(robots));
        drop(state);
        if let Some(Rules::Awaited(pages)) = awaited {
            for page in pages {
                self.enter(page);
            }
        }
    }

    async fn robots(&self, mut url: Url) -> Robots {
        let agent = self.plan.manners.user_agent.split('/').next().unwrap_or_default();
        for _ in 0..=ROBOTS_HOPS_MAX {
            let Ok(mut answer) = self.send(&url).await else { return Robots::unreachable() };
            match (answer.status(), location(&url, &answer)) {
                (200..=299, _) => {
                    let Ok(file) = file_of(&mut answer).await else { return Robots::unreachable() };
                    return Robots::parse(&file, agent);
                }
                (300..=399, Some(Ok(elsewhere))) => url = elsewhere,
                (500..=599, _) => return Robots::unreachable(),
                _ => return Robots::unavailable(),
            }
        }
        Robots::unavailable() // RFC 9309 2.3.1.2: after five redirects, as if there were none
    }

    async fn fetch_page(&self, mut page: Page) {
        page.attempts += 1;
        page.asked = page.at.clone();
        let outcome = self.attempt(&page).await;
        match outcome {
            Ok(Attempt::Done(outcome)) => self.cpu.store.time(|| self.state.borrow_mut().end(&page, &outcome)),
            Ok(Attempt::Elsewhere(to)) => self.follow(page, to),
            Ok(Attempt::Later { after, outcome }) => self.put_off(page, after, &outcome),
            Err(error) if may_pass(&error) => self.put_off(page, None, &Outcome::failed(&error)),
            Err(error) => self.state.borrow_mut().end(&page, &Outcome::failed(&error)),
        }
    }

    /// The page is somewhere else, which counts as a link.
    fn follow(&self, mut page: Page, to: Redirect) {
        let mut state = self.state.borrow_mut();
        if page.hops >= HOPS_MAX {
            let error = Error::new(ErrorKind::Redirect, format!("redirect: more than {HOPS_MAX}"));
            return state.end(&page, &Outcome { status: Some(to.status), took: to.took, ..Outcome::failed(&error) });
        }
        page.at = normal(&to.at);
        let outcome = Outcome { status: Some(to.status), took: to.took, ..Outcome::default() };
        let is_too_deep = self.plan.scope.is_too_deep(page.depth + 1).then_some(Skipped::Depth);
        if let Some(why) = is_too_deep.or_else(|| self.plan.scope.refuses(&page.at)) {
            state.tally.skip(why);
            return state.end(&page, &outcome);
        }
        if !state.seen.is_new(&page.at) {
            return state.end(&page, &outcome); // it is a page of its own
        }
        drop(state);
        (page.depth, page.hops, page.attempts) = (page.depth + 1, page.hops + 1, 0);
        self.enter(page);
    }

    /// Tries again later, unless that was often enough. The slot is free until then.
    fn put_off(&self, page: Page, after: Option<Duration>, outcome: &Outcome) {
        let (retries, now) = (self.plan.retries, self.now());
        let mut state = self.state.borrow_mut();
        let pause = after.unwrap_or_else(|| retries.pause_before(page.attempts + 1));
        if page.attempts >= retries.attempts || pause > PAUSE_MAX {
            return state.end(&page, outcome);
        }
        if state.stopping {
            state.tally.left += 1;
            return;
        }
        state.tally.retries += 1;
        let (host, depth) = (host_of(&page.at).to_owned(), page.depth);
        if after.is_some() {
            state.frontier.rest(&host, now + pause); // it speaks for the whole host
        }
        state.frontier.push(&host, depth, What::Page(page), now + pause);
    }

    async fn send(&self, url: &Url) -> Result<E::Answer, Error> {
        let waits = Connecting::new(&self.connecting);
        self.engine.send(url, &self.plan.manners.headers, &|| waits.over()).await
    }

    /// Fetches once.
    async fn attempt(&self, page: &Page) -> Result<Attempt, Error> {
        let began = self.now();
        let mut answer = self.send(&page.at).await?;
        let status = answer.status();
        let first = |name: &str| answer.headers(name).into_iter().next();
        let content_type = first("content-type").map(|value| String::from_utf8_lossy(&value).into_owned());
        if let (301 | 302 | 303 | 307 | 308, Some(at)) = (status, location(&page.at, &answer)) {
            let at = at?;
            self.drain(&mut answer).await?;
            return Ok(Attempt::Elsewhere(Redirect { at, status, took: answer.took() }));
        }
        let asked_for = first("retry-after");
        let is_html = content_type.as_deref().is_some_and(is_html) && (200..=299).contains(&status);
        let links = is_html.then(|| extractor(&page.at, &answer));
        let mut taken = Taken::new(&answer, links, self.plan.manners.max_size)?;
        while let Some(piece) = answer.chunk().await? {
            taken.wire += piece.len() as u64;
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
        };
        drop(answer); // its connection is free; the links can wait
        self.spend(outcome.wire);
        if matches!(status, 429 | 500 | 502 | 503 | 504) {
            let after = asked_for.and_then(|value| retry_after(&value, SystemTime::now()));
            return Ok(Attempt::Later { after, outcome });
        }
        if let Some(links) = taken.links {
            let found = self.cpu.parse.time(|| links.finish());
            self.cpu.frontier.time(|| self.follow_links(page, found));
        }
        Ok(Attempt::Done(outcome))
    }

    fn follow_links(&self, page: &Page, found: Found) {
        let parent: Rc<str> = page.url.as_str().into();
        for link in found.links {
            if link.nofollow || found.follow == Follow::No {
                self.state.borrow_mut().tally.skip(Skipped::Nofollow);
            } else if is_page(link.kind) || self.plan.manners.resources == Resources::Fetched {
                self.found(&link.url, page.depth + 1, Some(&parent));
            }
        }
    }

    /// Takes a redirect's body in, so that its connection can stay.
    async fn drain(&self, answer: &mut E::Answer) -> Result<(), Error> {
        let mut left = 64 * 1024_usize;
        while let Some(piece) = answer.chunk().await? {
            let Some(rest) = left.checked_sub(piece.len()) else { break };
            left = rest;
        }
        Ok(())
    }

    fn spend(&self, wire: u64) {
        let mut state = self.state.borrow_mut();
        state.tally.bytes_wire += wire;
        let is_spent = self.plan.budget.bytes.is_some_and(|max| state.tally.bytes_wire >= max) && !state.stopping;
        drop(state);
        if is_spent {
            self.stop();
        }
    }
}

/// A fetch under way. When it ends, also by a panic, its slot is free.
struct Slot<E: Engine> {
    crawl: Rc<Crawl<E>>,
    host: String,
    depth: u32,
}

impl<E: Engine> Drop for Slot<E> {
    fn drop(&mut self) {
        if let Ok(mut state) = self.crawl.state.try_borrow_mut() {
            self.crawl.cpu.frontier.time(|| state.frontier.done(&self.host, self.depth));
        }
        self.crawl.changed.notify_one();
    }
}

#[derive(PartialEq, Eq)]
enum Wake {
    Change,
    Stop,
}

impl State {
    /// Nothing more becomes of a page: its line is written.
    fn end(&mut self, page: &Page, outcome: &Outcome) {
        self.tally.page(host_of(&page.asked), outcome);
        self.output.line(&Line::of(page, outcome));
    }
}

/// What becomes of a fetch.
enum Attempt {
    Done(Outcome),
    Elsewhere(Redirect),
    Later { after: Option<Duration>, outcome: Outcome },
}

struct Redirect {
    at: Url,
    status: u16,
    took: Took,
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

/// The beginning of a robots.txt, as far as it counts.
async fn file_of(answer: &mut impl Answer) -> Result<Vec<u8>, Error> {
    let mut decoder = decoder_of(answer, u64::MAX)?;
    let mut file = Vec::new();
    while file.len() < ROBOTS_MAX
        && let Some(piece) = answer.chunk().await?
    {
        match &mut decoder {
            Some(decoder) => decoder.decode_all(piece, |data| file.extend_from_slice(data))?,
            None => file.extend_from_slice(piece),
        }
    }
    file.truncate(ROBOTS_MAX);
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

/// Whom limits and delays are counted for: the host and its port.
fn host_of(url: &Url) -> &str {
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
fn is_page(kind: Kind) -> bool {
    matches!(kind, Kind::Anchor | Kind::Frame | Kind::Refresh | Kind::Canonical)
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
