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
//! (`store`).   Next: `visit`.

mod body;
mod entry;
mod fate;
mod fetch;
mod robots;
mod sitemaps;
mod turn;
mod visit;

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    future::poll_fn,
    io, mem,
    pin::{Pin, pin},
    rc::Rc,
    task::Poll,
    time::Duration,
};

use windlass::sync::Notify;
use windlass_examples::latency::now_ns;

pub(crate) use self::visit::{Kind, Outcome, Page, host_of};
use self::{
    turn::{Turn, in_turns},
    visit::What,
};
use crate::{
    cpu::Cpu,
    engine::Engine,
    frontier::{Frontier, Moment, Next},
    limits::Limit,
    plan::{Plan, Sitemaps},
    report::Tally,
    rules::Rules,
    scope::Skipped,
    store::{self, Link, Store, Told},
};

/// How long what is under way may go on when the crawl is told to stop.
const GRACE: Duration = Duration::from_secs(5);

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
    rules: Rules<Box<Page>>,
    tally: Tally,
    /// To be told to the store, and how much it was told and has not answered, by its [weight](Told::weight).
    told: Vec<Told>,
    unanswered: usize,
    /// How much it has answered, and it may be lost.
    uncommitted: usize,
    /// What the store says is left.
    left: u64,
    /// Pages that earlier runs have done or this one lets in, and those that there was no budget for, as far as they were
    /// handed over.
    admitted: u64,
    refused: VecDeque<Box<Page>>,
    /// Sitemaps that are under way, and those that wait for them.
    sitemaps: usize,
    sitemaps_waiting: VecDeque<Box<Page>>,
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
        crawl.hear(answer).await;
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
            links.extend(sitemaps.iter().map(|url| self.sitemap_link(url, 0)));
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
        let mut turn = Turn::begin();
        loop {
            let now = self.now();
            if grace_until.is_some_and(|until| now >= until) {
                return;
            }
            if begins_until.is_some_and(|until| now >= until) {
                self.stop();
                (begins_until, grace_until) = (None, Some(now + GRACE));
            }
            self.exchange(store).await;
            let now = self.now(); // others may have had their turn: a delay begins when its fetch does
            match self.cpu.frontier.time(|| self.next(now)) {
                Next::Fetch(what) => {
                    E::spawn(self.clone().fetch(what));
                    if turn.is_over() {
                        E::yield_now().await;
                        turn = Turn::begin();
                    }
                }
                Next::Over => return,
                Next::Wait { held_by, until } => {
                    self.note(now, held_by);
                    let again = show(&self.state.borrow().tally, self.state.borrow().sizes());
                    let until = until.into_iter().chain(again).chain(begins_until).chain(grace_until).min();
                    match self.wait(until, store, stop.as_mut()).await {
                        Wake::Change => {}
                        Wake::Answer(answer) => self.hear(answer).await,
                        Wake::Failed => return,
                        Wake::Stop => {
                            self.state.borrow_mut().tally.interrupted = true;
                            self.stop();
                            (begins_until, grace_until) = (None, Some(self.now() + GRACE));
                        }
                    }
                    turn = Turn::begin();
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
        self.state.borrow_mut().tell(told);
        self.changed.notify_one();
    }

    /// Hears what the store has to say, and says what it is to know.
    async fn exchange(&self, store: &mut Store) {
        while let Some(answer) = store.try_answer() {
            self.hear(answer).await;
        }
        let told = mem::take(&mut self.state.borrow_mut().told);
        if !told.is_empty() {
            self.cpu.store.time(|| store.tell(told));
        }
    }

    /// The store has written something down, and hands something over.
    async fn hear(&self, mut answer: store::Answer) {
        let ended = mem::take(&mut answer.ended);
        in_turns::<E, _>(&self.cpu.store, ended, |(page, outcome)| {
            self.state.borrow_mut().tally.page(host_of(&page.asked), &outcome);
        })
        .await;
        let entering = self.cpu.store.time(|| self.count(answer));
        in_turns::<E, _>(&self.cpu.store, entering, |page| self.enter(page)).await;
        self.answered.notify_waiters();
    }

    /// What an answer says, but for the pages that have ended, and those that it is about to let in.
    fn count(&self, answer: store::Answer) -> impl Iterator<Item = Box<Page>> + use<E> {
        let mut state = self.state.borrow_mut();
        state.unanswered -= answer.heard;
        (state.left, state.uncommitted) = (answer.left, answer.uncommitted);
        for why in Skipped::ALL {
            let count = answer.skipped.iter().filter(|skipped| **skipped == why).count();
            if count > 0 {
                state.tally.skip(why, count as u64); // at once: a page may have fifty thousand
            }
        }
        // They come once more, and those that there was no budget for may go before them.
        state.admitted -= answer.moved;
        let again = state.refused.len().min(answer.moved as usize);
        let again: VecDeque<_> = state.refused.drain(..again).collect();
        again.into_iter().chain(answer.handed.into_iter().map(Box::new))
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

    /// Nothing more becomes of a page: it has its line, and its links are found. Of a sitemap nothing becomes at all.
    fn end(&mut self, page: Box<Page>, outcome: Box<Outcome>, links: Vec<Link>) {
        let told = match page.kind {
            Kind::Page => Told::Ended { page, outcome, links, extra: vec![] },
            Kind::Sitemap => {
                self.tally.sitemaps_failed += 1;
                Told::Dropped(page)
            }
        };
        self.tell(told);
    }

    /// The caller sees to it that somebody looks: a fetch that ends does.
    fn tell(&mut self, told: Told) {
        self.unanswered += told.weight();
        self.told.push(told);
    }
}
