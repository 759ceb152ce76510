//! Sitemaps, which name pages.
//!
//! ```text
//!     given, or named by robots.txt ──► two at a time ──► the file, unpacked ──► entry by entry ──► links
//!                          ▲                                                          │
//!                          └────────────────── an index: as many as three deep ───────┘
//! ```
//!
//! Not here: what a sitemap looks like (`windlass_examples::sitemap`).   Next: `engine`.

use std::{
    mem,
    time::{Duration, SystemTime},
};

use windlass::http::{
    Error, Limits, Url,
    decode::{Coding, Decoder},
};
use windlass_examples::sitemap::{self, Entry, Sitemap};

use super::{
    Crawl,
    body::unpack,
    fate::{HOPS_MAX, is_redirect, is_to_be_asked_again, location, may_pass, retry_after},
    turn::Turn,
    visit::{Kind, Page},
};
use crate::{
    engine::{Answer, Engine},
    frontier::Rank,
    scope::normal,
    store::{Link, Told},
};

/// Sitemaps that are read at once: each may take 50 MB, and that twice if it comes packed.
pub(super) const SITEMAPS_AT_ONCE: usize = 2;
/// The protocol allows no index in an index; sites have them all the same.
const INDEXES_MAX: u32 = 3;
/// Links that the store is told of at once: enough that to tell it costs little, and few enough to wait in memory.
const TOLD_AT_ONCE: usize = 512;

impl<E: Engine> Crawl<E> {
    /// Reads a sitemap: what it names are links. Neither it nor what went wrong with it is in the output.
    pub(super) async fn fetch_sitemap(&self, mut page: Box<Page>) {
        page.attempts += 1;
        match self.sitemap(&page).await {
            Ok(Read::Done) => {
                self.state.borrow_mut().tally.sitemaps += 1;
                self.tell(Told::Dropped(page));
            }
            Ok(Read::Stopped) => {}
            Ok(Read::Elsewhere(_)) if page.hops >= HOPS_MAX => self.give_up(page),
            Ok(Read::Nothing) => self.give_up(page),
            Ok(Read::Elsewhere(at)) => {
                let mut link = self.sitemap_link(&at, page.depth);
                link.page.hops = page.hops + 1;
                self.tell(Told::Found(vec![link]));
                self.tell(Told::Dropped(page));
            }
            Ok(Read::Later(after)) => self.put_off(page, after, Box::default()),
            Err(error) if may_pass(&error) => self.put_off(page, None, Box::default()),
            Err(_) => self.give_up(page),
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

    /// A sitemap that so many indexes led to. It has its turn among the pages that are as deep, behind those that are less deep,
    /// or preferred: there may be no end of sitemaps. All pages that one names are as deep, so where depths are apart they are
    /// all read first.
    pub(super) fn sitemap_link(&self, url: &Url, indexes: u32) -> Link {
        let url = normal(url);
        let rank = Rank { level: 0, ..self.plan.order.rank(&url, indexes) };
        Link { page: Page::new(Kind::Sitemap, url, indexes, None), rank, refused: None }
    }

    /// There is no such sitemap.
    fn give_up(&self, page: Box<Page>) {
        self.state.borrow_mut().end(page, Box::default(), vec![]);
        self.changed.notify_one();
    }

    async fn sitemap(&self, page: &Page) -> Result<Read, Error> {
        let mut answer = self.send(&page.at).await?;
        match (answer.status(), location(&page.at, &answer)) {
            (200..=299, _) => {}
            (status, Some(at)) if is_redirect(status) => return Ok(Read::Elsewhere(at?)),
            (status, _) if is_to_be_asked_again(status) => {
                let asked_for = answer.headers("retry-after").next();
                return Ok(Read::Later(asked_for.and_then(|value| retry_after(value, SystemTime::now()))));
            }
            _ => return Ok(Read::Nothing),
        }
        let mut file = self.file_of(&mut answer, sitemap::LEN_MAX).await?;
        drop(answer);
        if file.starts_with(b"\x1f\x8b") {
            file = unpacked::<E>(&file).await?;
        }
        let mut sitemap = Sitemap::new(&file);
        let mut links = vec![];
        loop {
            let (turn, mut is_over) = (Turn::begin(), false);
            while !is_over && !turn.is_over() && links.len() < TOLD_AT_ONCE {
                let entries = sitemap.advance();
                is_over = entries.is_none();
                links.extend(entries.into_iter().flatten().filter_map(|entry| match entry {
                    Entry::Page(url) => self.link(&url, 1, Some(&page.at)),
                    Entry::Sitemap(url) => (page.depth < INDEXES_MAX).then(|| self.sitemap_link(&url, page.depth + 1)),
                }));
            }
            if links.len() >= TOLD_AT_ONCE || (is_over && !links.is_empty()) {
                self.tell(Told::Found(mem::take(&mut links)));
                self.answered.notified().await; // the store takes its time: until then the rest stays here as it came
            }
            if is_over {
                return Ok(if sitemap.is_one() { Read::Done } else { Read::Nothing });
            }
            if self.state.borrow().stopping {
                return Ok(Read::Stopped);
            }
            E::yield_now().await;
        }
    }
}

/// What becomes of a sitemap.
enum Read {
    Done,
    /// It is not there, or it is none.
    Nothing,
    /// The crawl ends before it does.
    Stopped,
    Elsewhere(Url),
    Later(Option<Duration>),
}

/// What is in a gzipped sitemap.
async fn unpacked<E: Engine>(packed: &[u8]) -> Result<Vec<u8>, Error> {
    let mut limits = Limits::default();
    limits.body_max = u64::MAX;
    let mut file = Vec::new();
    unpack::<E>(&mut Decoder::new(Coding::Gzip, &limits)?, packed, &mut file, sitemap::LEN_MAX).await?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use std::io::{self, Read as _};

    use flate2::{Compression, read::GzEncoder};
    use windlass::{Loop, http::ErrorKind};

    use super::*;
    use crate::engine::on_windlass::OnWindlass;

    #[test]
    fn a_packed_sitemap_that_grows_a_thousandfold_is_no_sitemap() {
        let mut packed = Vec::new();
        let spaces = io::repeat(b' ').take(8 << 20);
        GzEncoder::new(spaces, Compression::fast()).read_to_end(&mut packed).unwrap();
        let held = Loop::new().unwrap().block_on(unpacked::<OnWindlass>(&packed));
        assert_eq!(held.unwrap_err().kind(), ErrorKind::TooLarge);
    }
}
