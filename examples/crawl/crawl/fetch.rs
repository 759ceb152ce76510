//! One fetch, from its slot to its answer.
//!
//! ```text
//!     What ──► a slot ──► send ──► the head ──┬──► 3xx: its body is taken in, so that the connection can stay
//!              held until the task ends       └──► the body, piece by piece: decoded, searched for links
//! ```
//!
//! Not here: reading a body (`body`), what becomes of an answer (`fate`), what is no page (`robots`, `sitemaps`).
//! Next: `body`.

use std::{
    cell::Cell,
    rc::Rc,
    time::{Duration, SystemTime},
};

use windlass::http::{Error, Url};
use windlass_examples::links::Extractor;

use super::{
    Crawl,
    body::Taken,
    fate::{Redirect, is_redirect, is_to_be_asked_again, location, may_pass, retry_after},
    visit::{Kind, Outcome, Page, What, host_of},
};
use crate::{
    engine::{Answer, Engine},
    frontier::Moment,
    scope::{Skipped, essence},
    store::Link,
};

impl<E: Engine> Crawl<E> {
    pub(super) async fn fetch(self: Rc<Self>, what: What) {
        let at = match &what {
            What::Robots { url, .. } => url.clone(),
            What::Page(page) => page.at.clone(),
        };
        let _slot = Slot { crawl: self.clone(), at };
        match what {
            What::Page(page) if page.kind == Kind::Page => self.fetch_page(page).await,
            // Boxed, as they are few: the many have no room for them.
            What::Page(page) => Box::pin(self.fetch_sitemap(page)).await,
            What::Robots { url, attempts } => Box::pin(self.fetch_robots(url, attempts + 1)).await,
        }
    }

    async fn fetch_page(&self, mut page: Box<Page>) {
        page.attempts += 1;
        page.asked = page.at.clone();
        let began = self.now();
        let failed = |error| Box::new(Outcome { total: self.now() - began, ..*Outcome::failed(&error) });
        match self.attempt(&page).await {
            Ok(Attempt::Done { outcome, links }) => self.state.borrow_mut().end(page, outcome, links),
            Ok(Attempt::Elsewhere(to)) => self.follow(page, to),
            Ok(Attempt::Later { after, outcome }) => self.put_off(page, after, outcome),
            Err(error) if may_pass(&error) => self.put_off(page, None, failed(error)),
            Err(error) => {
                let outcome = failed(error);
                self.state.borrow_mut().end(page, outcome, vec![]);
            }
        }
    }

    pub(super) async fn send(&self, url: &Url) -> Result<E::Answer, Error> {
        let waits = Connecting::new(&self.connecting);
        self.engine.send(url, self.plan.manners.headers.credentials(url), &|| waits.over()).await
    }

    /// Fetches once.
    async fn attempt(&self, page: &Page) -> Result<Attempt, Error> {
        let (began, at) = (self.now(), SystemTime::now());
        let answer = self.send(&page.at).await?;
        // Boxed: what takes an answer in is larger than what waits for one, and thousands wait.
        Box::pin(self.take_in(page, answer, began, at)).await
    }

    /// Takes an answer in, to which the request went out at `at`.
    async fn take_in(
        &self,
        page: &Page,
        mut answer: E::Answer,
        began: Moment,
        at: SystemTime,
    ) -> Result<Attempt, Error> {
        let status = answer.status();
        let mut exchange = self.capture(&page.at, at, &answer);
        let content_type = answer.headers("content-type").next();
        let content_type = content_type.map(|value| String::from_utf8_lossy(value).into_owned());
        if is_redirect(status)
            && let Some(at) = location(&page.at, &answer)
        {
            let at = at?;
            self.drain(&mut answer, exchange.as_deref_mut()).await?;
            let (took, total) = (answer.took(), self.now() - began);
            return Ok(Attempt::Elsewhere(Redirect { at, status, took, total, exchange }));
        }
        let is_success = (200..=299).contains(&status);
        if is_success && !self.plan.scope.takes(content_type.as_deref()) {
            self.state.borrow_mut().tally.skip(Skipped::Type, 1);
            let (took, total) = (answer.took(), self.now() - began);
            let outcome = Outcome { status: Some(status), content_type, took, total, ..Outcome::default() };
            return Ok(Attempt::Done { outcome: Box::new(outcome), links: vec![] });
        }
        let is_html = is_success && content_type.as_deref().is_some_and(is_html);
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
        let outcome = Box::new(Outcome {
            status: Some(status),
            content_type,
            wire: taken.wire,
            decoded: taken.decoded,
            took: answer.took(),
            total: self.now() - began,
            error: None,
            exchange,
        });
        if is_to_be_asked_again(status) {
            let asked_for = answer.headers("retry-after").next();
            let after = asked_for.and_then(|value| retry_after(value, SystemTime::now()));
            return Ok(Attempt::Later { after, outcome });
        }
        drop(answer); // its connection is free; the links can wait
        let links = match taken.links {
            Some(links) => {
                let found = self.cpu.parse.time(|| links.finish());
                self.links(page, found).await
            }
            None => vec![],
        };
        Ok(Attempt::Done { outcome, links })
    }
}

/// What becomes of a fetch.
enum Attempt {
    Done { outcome: Box<Outcome>, links: Vec<Link> },
    Elsewhere(Redirect),
    Later { after: Option<Duration>, outcome: Box<Outcome> },
}

/// A fetch under way. When it ends, also by a panic, its slot is free.
struct Slot<E: Engine> {
    crawl: Rc<Crawl<E>>,
    at: Url,
}

impl<E: Engine> Drop for Slot<E> {
    fn drop(&mut self) {
        if let Ok(mut state) = self.crawl.state.try_borrow_mut() {
            self.crawl.cpu.frontier.time(|| state.frontier.done(host_of(&self.at)));
        }
        self.crawl.changed.notify_one();
    }
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

fn extractor(page: &Url, answer: &impl Answer) -> Extractor {
    let mut links = Extractor::new(page);
    for value in answer.headers("x-robots-tag") {
        links.x_robots_tag(&String::from_utf8_lossy(value));
    }
    links
}

fn is_html(content_type: &str) -> bool {
    let essence = essence(content_type);
    essence.eq_ignore_ascii_case("text/html") || essence.eq_ignore_ascii_case("application/xhtml+xml")
}
