//! What becomes of an answer.
//!
//! ```text
//!     3xx              ──► the same page, elsewhere: a link that the store may have met
//!     429, 5xx, broken ──► the same again, after a pause; the slot is free until then
//!     the rest         ──► its line
//! ```
//!
//! Not here: when a pause is over (`frontier`), how the next attempt goes (`fetch`).   Next: `robots`.

use std::time::{Duration, SystemTime};

use windlass::http::{Error, ErrorKind, Url};

use super::{
    Crawl,
    visit::{Kind, Outcome, Page, What, host_of},
};
use crate::{
    engine::{Answer, Engine, Took},
    plan::PAUSE_MAX,
    scope::{Skipped, normal},
    store::{Link, Told},
    warc::Exchange,
};

/// A page is looked for at so many other places, as browsers do it (RFC 9110 15.4: loops ought to be detected).
pub(super) const HOPS_MAX: u32 = 10;

pub(super) struct Redirect {
    pub(super) at: Url,
    pub(super) status: u16,
    pub(super) took: Took,
    pub(super) total: Duration,
    pub(super) exchange: Option<Box<Exchange>>,
}

impl<E: Engine> Crawl<E> {
    /// The page is somewhere else, which counts as a link.
    pub(super) fn follow(&self, page: Box<Page>, mut to: Redirect) {
        let exchange = to.exchange.take();
        let mut state = self.state.borrow_mut();
        if page.hops >= HOPS_MAX {
            let error = Error::new(ErrorKind::Redirect, format!("redirect: more than {HOPS_MAX}"));
            let failed = Outcome::failed(&error);
            let outcome = Outcome { status: Some(to.status), took: to.took, total: to.total, exchange, ..*failed };
            return state.end(page, Box::new(outcome), vec![]);
        }
        let (at, depth) = (normal(&to.at), page.depth + 1);
        let (status, took, total) = (Some(to.status), to.took, to.total);
        let outcome = Box::new(Outcome { status, took, total, exchange, ..Outcome::default() });
        let is_too_deep = self.plan.scope.is_too_deep(depth).then_some(Skipped::Depth);
        if let Some(why) = is_too_deep.or_else(|| self.plan.scope.refuses(&at)) {
            state.tally.skip(why, 1);
            return state.end(page, outcome, vec![]);
        }
        let rank = self.plan.order.rank(&at, depth);
        let (url, parent, hops) = (page.url.clone(), page.parent.clone(), page.hops + 1);
        let next = Page { url, hops, ..Page::new(Kind::Page, at, depth, parent) };
        let to = Box::new(Link { page: next, rank, refused: None });
        state.tell(Told::Moved { page, outcome, to, extra: vec![] });
    }

    /// Tries again later, unless that was often enough. The slot is free until then.
    pub(super) fn put_off(&self, page: Box<Page>, after: Option<Duration>, outcome: Box<Outcome>) {
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
        let (at, rank) = (page.at.clone(), page.key.rank());
        if after.is_some() {
            state.frontier.rest(host_of(&at), now + pause); // it speaks for the whole host
        }
        state.frontier.push(host_of(&at), rank, What::Page(page), now + pause);
    }
}

/// Errors that another attempt may be spared.
pub(super) fn may_pass(error: &Error) -> bool {
    use ErrorKind::{Connect, Reset, Resolve, TimeoutConnect, TimeoutRead, TimeoutResolve, TimeoutTotal, Truncated};
    matches!(
        error.kind(),
        Connect | Reset | Resolve | TimeoutConnect | TimeoutRead | TimeoutResolve | TimeoutTotal | Truncated
    )
}

/// Statuses that send on to the page, wherever it is.
pub(super) fn is_redirect(status: u16) -> bool {
    matches!(status, 301 | 302 | 303 | 307 | 308)
}

/// Statuses that say nothing of the page.
pub(super) fn is_to_be_asked_again(status: u16) -> bool {
    matches!(status, 429 | 500 | 502 | 503 | 504)
}

/// Where an answer points; none if nowhere.
pub(super) fn location(from: &Url, answer: &impl Answer) -> Option<Result<Url, Error>> {
    let mut locations = answer.headers("location");
    let first = locations.next()?;
    if locations.any(|other| other != first) {
        return Some(Err(Error::new(ErrorKind::Redirect, "redirect: several locations that differ")));
    }
    let text =
        std::str::from_utf8(first).map_err(|_| Error::new(ErrorKind::Redirect, "redirect: the location is not UTF-8"));
    Some(text.and_then(|text| {
        from.join(text)
            .map_err(|error| Error::new(ErrorKind::Redirect, "redirect: the location leads nowhere").with_source(error))
    }))
}

/// What a Retry-After says (RFC 9110 10.2.3): seconds, or a date.
pub(super) fn retry_after(value: &[u8], now: SystemTime) -> Option<Duration> {
    let text = std::str::from_utf8(value).ok()?.trim();
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        return Some(text.parse().map_or(Duration::MAX, Duration::from_secs));
    }
    Some(httpdate::parse_http_date(text).ok()?.duration_since(now).unwrap_or_default())
}
