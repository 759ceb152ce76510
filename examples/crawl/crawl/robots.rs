//! A host's rules are asked for.
//!
//! ```text
//!     robots.txt ──► elsewhere? at most five times ──► its beginning ──► rules ──► pages that have waited
//!         ▲              └──► broken, 5xx: again, after a pause            └──► sitemaps that it names
//!         └─────────────────────────────────┘
//! ```
//!
//! Not here: what the file says (`windlass_examples::robots`), how long that is known (`rules`).   Next: `sitemaps`.

use windlass::http::{Error, ErrorKind, Url};
use windlass_examples::robots::Robots;

use super::{
    Crawl, State,
    fate::{self, location},
    visit::{What, host_of},
};
use crate::{
    engine::{Answer, Engine},
    frontier::Rank,
    plan::Sitemaps,
    store::{Link, Told},
};

/// RFC 9309 2.3.1.2: "at least five consecutive redirects".
const ROBOTS_HOPS_MAX: u32 = 5;
/// RFC 9309 2.5: at least 500 kibibytes are parsed; what is longer is cut there.
const ROBOTS_MAX: usize = 500 * 1024;
/// A robots.txt may name so many sitemaps; there is no number in the protocol.
const SITEMAPS_OF_ROBOTS_MAX: usize = 1_000;

impl<E: Engine> Crawl<E> {
    /// Asks for a host's rules, and lets in who has waited for them; if that fails, later, as often as a page is asked for.
    pub(super) async fn fetch_robots(&self, url: Url, attempts: u32) {
        let (robots, len) = match self.robots(url.clone()).await {
            Ok(told) => told,
            Err(error) if attempts < self.plan.retries.attempts && may_pass(&error) => {
                return self.ask_again(url, attempts);
            }
            Err(error) => {
                self.state.borrow_mut().tally.robots_failed(error.to_string());
                (Robots::unreachable(), 0)
            }
        };
        if matches!(self.plan.manners.sitemaps, Sitemaps::Followed(_)) && self.plan.scope.is_home_of(&url) {
            let named = robots.sitemaps().iter().take(SITEMAPS_OF_ROBOTS_MAX).filter_map(|text| url.join(text).ok());
            let links: Vec<Link> = named.map(|sitemap| self.sitemap_link(&sitemap, 0)).collect();
            if !links.is_empty() {
                self.tell(Told::Found(links));
            }
        }
        let waited = {
            let mut state = self.state.borrow_mut();
            state.tally.robots += 1;
            if let Some(delay) = robots.crawl_delay() {
                state.tally.asks_for(host_of(&url), delay);
                state.frontier.slow_down(host_of(&url), delay);
            }
            let State { rules, frontier, .. } = &mut *state;
            rules.know(url.origin(), robots, len, |origin| {
                frontier.is_idle(origin.split_once("//").map_or(origin, |(_, host)| host))
            })
        };
        self.enter_all(waited).await;
    }

    fn ask_again(&self, url: Url, attempts: u32) {
        let due = self.now() + self.plan.retries.pause_before(attempts + 1);
        let mut state = self.state.borrow_mut();
        if state.stopping {
            return; // who waits stays in the store
        }
        state.tally.retries += 1;
        let host = host_of(&url).to_owned();
        state.frontier.push(&host, Rank::default(), What::Robots { url, attempts }, due);
    }

    /// What a host says, and in how many bytes.
    ///
    /// # Errors
    /// The server or the network fails, so nobody knows.
    async fn robots(&self, mut url: Url) -> Result<(Robots, usize), Error> {
        let agent = self.plan.manners.user_agent.split('/').next().unwrap_or_default();
        for _ in 0..=ROBOTS_HOPS_MAX {
            let mut answer = self.send(&url).await?;
            match (answer.status(), location(&url, &answer)) {
                (200..=299, _) => {
                    let file = self.file_of(&mut answer, ROBOTS_MAX).await?;
                    return Ok((Robots::parse(&file, agent), file.len()));
                }
                (300..=399, Some(Ok(elsewhere))) => url = elsewhere,
                (status @ 500..=599, _) => {
                    return Err(Error::new(ErrorKind::Status, format!("get {url}: status {status}")));
                }
                _ => return Ok((Robots::unavailable(), 0)),
            }
        }
        Ok((Robots::unavailable(), 0)) // RFC 9309 2.3.1.2: after five redirects, as if there were none
    }
}

/// Errors that another attempt may be spared, and those of the server.
fn may_pass(error: &Error) -> bool {
    error.kind() == ErrorKind::Status || fate::may_pass(error)
}

pub(super) fn robots_of(url: &Url) -> Url {
    Url::parse(&format!("{}://{}/robots.txt", url.scheme(), url.host_header()))
        .expect("the origin of a URL and a path are one")
}
