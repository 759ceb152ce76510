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
use windlass_examples::robots::{FILE_MAX, Robots};

use super::{
    Crawl, State,
    fate::{self, location},
    turn::in_turns,
    visit::{Page, What, host_of},
};
use crate::{
    engine::{Answer, Engine},
    frontier::Rank,
    plan::Sitemaps,
    store::{Link, Told},
};

/// RFC 9309 2.3.1.2: "at least five consecutive redirects".
const ROBOTS_HOPS_MAX: u32 = 5;
/// So much is read on the loop: a fraction of a millisecond, however short its rules are.
const READ_HERE_MAX: usize = 8 * 1024;
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
            let mut links: Vec<Link> = vec![];
            let named = robots.sitemaps().iter().take(SITEMAPS_OF_ROBOTS_MAX);
            in_turns::<E, _>(&self.cpu.store, named, |text| {
                links.extend(url.join(text).ok().map(|sitemap| self.sitemap_link(&sitemap, 0)));
            })
            .await;
            if !links.is_empty() {
                self.tell(Told::Found(links));
            }
        }
        let waited = self.know(&url, robots, len);
        in_turns::<E, _>(&self.cpu.store, waited, |page| self.enter(page)).await;
    }

    /// What a host says is known, and so is what has waited for that.
    fn know(&self, url: &Url, robots: Robots, len: usize) -> impl Iterator<Item = Box<Page>> + use<E> {
        let mut state = self.state.borrow_mut();
        state.tally.robots += 1;
        if let Some(delay) = robots.crawl_delay() {
            state.tally.asks_for(host_of(url), delay);
            state.frontier.slow_down(host_of(url), delay);
        }
        let State { rules, frontier, .. } = &mut *state;
        let is_idle = |origin: &str| frontier.is_idle(origin.split_once("//").map_or(origin, |(_, host)| host));
        rules.know(url.origin(), robots, len, is_idle).into_iter()
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
        for _ in 0..=ROBOTS_HOPS_MAX {
            let mut answer = self.send(&url).await?;
            match (answer.status(), location(&url, &answer)) {
                (200..=299, _) => {
                    let file = self.file_of(&mut answer, FILE_MAX + 1).await?; // so that it is seen where one is cut
                    let len = file.len();
                    return Ok((read::<E>(file, &self.plan.manners.user_agent).await, len));
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

/// What a file says to `agent`; a long one is read elsewhere, since to sort thousands of rules takes milliseconds.
async fn read<E: Engine>(file: Vec<u8>, agent: &str) -> Robots {
    if file.len() <= READ_HERE_MAX {
        return Robots::parse(&file, agent);
    }
    let agent = agent.to_owned();
    E::elsewhere(move || Robots::parse(&file, &agent)).await
}

/// Errors that another attempt may be spared, and those of the server.
fn may_pass(error: &Error) -> bool {
    error.kind() == ErrorKind::Status || fate::may_pass(error)
}

pub(super) fn robots_of(url: &Url) -> Url {
    Url::parse(&format!("{}://{}/robots.txt", url.scheme(), url.host_header()))
        .expect("the origin of a URL and a path are one")
}

#[cfg(test)]
mod tests {
    use super::{super::turn::tests::turns_of_others, *};
    use crate::engine::on_windlass::OnWindlass;

    #[test]
    fn a_file_of_thousands_of_rules_is_read_beside_the_loop_and_a_short_one_on_it() {
        for (rules, is_beside) in [(10, false), (20_000, true)] {
            let lines: String = (0..rules).map(|rule| format!("disallow: /{rule}/\n")).collect();
            let file = format!("user-agent: *\n{lines}").into_bytes();
            let mut robots = Robots::unreachable();
            let others = turns_of_others(async { robots = read::<OnWindlass>(file, "us/1.0").await });
            assert_eq!((others > 0, robots.allows("/9/"), robots.allows("/x/")), (is_beside, false, true));
        }
    }
}
