//! Who gets in.
//!
//! ```text
//!     a link ──► scope ──► the store, where it is met or new ──► handed over ──► robots.txt ──► budget ──► the frontier
//!                  └──► counted, and no more                                       └──► asked for first; the page waits
//! ```
//!
//! Not here: what the scope is (`scope`), what robots.txt says (`rules`), and asking for it (`robots`).   Next: `fetch`.

use windlass::http::{Error, ErrorKind, Url};
use windlass_examples::{
    latency::now_ns,
    links::{self, Follow, Found, Kind as LinkKind},
};

use super::{
    Crawl, State,
    robots::robots_of,
    sitemaps::SITEMAPS_AT_ONCE,
    visit::{Kind, Outcome, Page, What, host_of},
};
use crate::{
    engine::Engine,
    frontier::{Moment, Rank},
    plan::{Resources, Robots as Heeds},
    rules::Verdict,
    scope::{Skipped, normal},
    store::{Link, Told},
};

/// Links that are looked at, and pages that are entered, in one go: others have their turn in between.
pub(super) const AT_ONCE: usize = 512;
/// For so long pages are entered in one go.
const ENTERING_NS: u64 = 200_000;

impl<E: Engine> Crawl<E> {
    /// A link that was found, or a URL that was given; none if it leads too far.
    pub(super) fn link(&self, url: &Url, depth: u32, parent: Option<&Url>) -> Option<Link> {
        if self.plan.scope.is_too_deep(depth) {
            self.state.borrow_mut().tally.skip(Skipped::Depth, 1); // it is not met: there may be a shorter way
            return None;
        }
        let url = normal(url);
        let (rank, refused) = (self.plan.order.rank(&url, depth), self.plan.scope.refuses(&url));
        Some(Link { page: Page::new(Kind::Page, url, depth, parent.cloned()), rank, refused })
    }

    /// What of a page's links is for the store. Where they are many others have their turn in between.
    pub(super) async fn links(&self, page: &Page, found: Found) -> Vec<Link> {
        let mut links = Vec::with_capacity(found.links.len()); // thus those of a large page are never moved
        let mut found_links = found.links.into_iter();
        loop {
            let some = found_links.by_ref().take(AT_ONCE);
            self.cpu.frontier.time(|| links.extend(some.filter_map(|link| self.linked(page, &link, found.follow))));
            if found_links.len() == 0 {
                return links;
            }
            E::yield_now().await;
        }
    }

    /// What a page's link is for the store, if anything.
    fn linked(&self, page: &Page, link: &links::Link, follow: Follow) -> Option<Link> {
        if link.nofollow || follow == Follow::No {
            self.state.borrow_mut().tally.skip(Skipped::Nofollow, 1);
            return None;
        }
        let is_wanted = is_page(link.kind) || self.plan.manners.resources == Resources::Fetched;
        is_wanted.then(|| self.link(&link.url, page.depth + 1, Some(&page.url))).flatten()
    }

    /// Pages are to be fetched, as [`enter`](Self::enter) has it. Where that takes time others have their turn in between: a
    /// robots.txt may have thousands of patterns.
    pub(super) async fn enter_all(&self, pages: impl IntoIterator<Item = Box<Page>>) {
        let mut pages = pages.into_iter().peekable();
        while pages.peek().is_some() {
            self.cpu.store.time(|| {
                let began = now_ns();
                for page in pages.by_ref().take(AT_ONCE) {
                    self.enter(page);
                    if now_ns() - began > ENTERING_NS {
                        return;
                    }
                }
            });
            if pages.peek().is_some() {
                E::yield_now().await;
            }
        }
    }

    /// A page is to be fetched, now here: if robots.txt lets it.
    pub(super) fn enter(&self, page: Box<Page>) {
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
                let (url, attempts) = (robots_of(&at), 0);
                state.frontier.push(host_of(&at), Rank::default(), What::Robots { url, attempts }, Moment::ZERO);
            }
            Verdict::Unknown(page) if page.hops == 0 || page.kind == Kind::Sitemap => {
                state.tally.skip(Skipped::Robots, 1);
                state.tell(Told::Postponed(page));
            }
            Verdict::Forbidden(page) if page.hops == 0 || page.kind == Kind::Sitemap => {
                state.tally.skip(Skipped::Robots, 1);
                state.tell(Told::Dropped(page));
            }
            // Nor is a sitemap read any more: what it names could not be fetched, and sitemaps may have no end.
            Verdict::Forbidden(page) | Verdict::Unknown(page) | Verdict::Allowed(page) if is_spent => {
                state.refused.push_back(page)
            }
            Verdict::Forbidden(page) | Verdict::Unknown(page) => {
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
}

impl State {
    fn push(&mut self, page: Box<Page>) {
        let (at, rank) = (page.at.clone(), page.key.rank());
        self.frontier.push(host_of(&at), rank, What::Page(page), Moment::ZERO);
    }
}

/// Whether a link leads to a page, rather than to what belongs to one.
fn is_page(kind: LinkKind) -> bool {
    matches!(kind, LinkKind::Anchor | LinkKind::Frame | LinkKind::Refresh | LinkKind::Canonical)
}
