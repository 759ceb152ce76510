//! Whom a crawl has asked, and how often.
//!
//! ```text
//!     a page ──► its host: pages, errors, delay       a row each, as long as there are no more than twenty thousand
//!                    └── too many? the half with fewest pages ──► others: one row for all
//! ```
//!
//! A crawl of the whole web meets more hosts than anybody reads of, and than there is room for. No page gets lost by that: who
//! has no row of its own counts among the others, with all that it had.
//! Not here: what else is counted (`report`).   Next: `page`.

use std::{collections::BTreeMap, time::Duration};

/// Rows that stay when there are too many: more than anybody reads, in about a megabyte.
const KEPT: usize = 10_000;
/// So many there may be before those with fewest pages go: to look for them costs little then, by page.
const ROWS_MAX: usize = 2 * KEPT;

#[derive(Debug, Default)]
pub(crate) struct Hosts {
    known: BTreeMap<Box<str>, Host>,
    others: Others,
}

#[derive(Debug, Default)]
pub(crate) struct Host {
    pub(crate) pages: u64,
    pub(crate) errors: u64,
    /// What its robots.txt asks for between two fetches.
    pub(crate) delay: Duration,
}

/// Those that have no row.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Others {
    /// How many; one that came back and went again counts twice.
    pub(crate) hosts: u64,
    pub(crate) pages: u64,
    pub(crate) errors: u64,
}

impl Hosts {
    /// The row of `name`.
    pub(crate) fn of(&mut self, name: &str) -> &mut Host {
        if !self.known.contains_key(name) {
            if self.known.len() >= ROWS_MAX {
                self.sum_up();
            }
            self.known.insert(name.into(), Host::default());
        }
        self.known.get_mut(name).expect("it is there now")
    }

    /// Those that have a row, by their names.
    pub(crate) fn known(&self) -> impl ExactSizeIterator<Item = (&str, &Host)> {
        self.known.iter().map(|(name, host)| (&**name, host))
    }

    pub(crate) fn others(&self) -> Others {
        self.others
    }

    /// How many there are in all, or a few more: see [`Others::hosts`].
    pub(crate) fn count(&self) -> u64 {
        self.known.len() as u64 + self.others.hosts
    }

    fn sum_up(&mut self) {
        let mut pages: Vec<u64> = self.known.values().map(|host| host.pages).collect();
        let least = *pages.select_nth_unstable_by(KEPT, |one, other| other.cmp(one)).1;
        // Of those who have as few as the first who goes some may stay.
        let mut room = KEPT.saturating_sub(pages[..KEPT].iter().filter(|pages| **pages > least).count());
        let others = &mut self.others;
        self.known.retain(|_, host| {
            let stays = host.pages > least || (host.pages == least && room > 0);
            if !stays {
                (others.hosts, others.pages) = (others.hosts + 1, others.pages + host.pages);
                others.errors += host.errors;
            } else if host.pages == least {
                room -= 1;
            }
            stays
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_with_most_pages_keep_their_rows_and_no_page_gets_lost() {
        let mut hosts = Hosts::default();
        let (mut pages, mut errors) = (0, 0);
        let mut ask = |name: &str| {
            hosts.of(name).pages += 1;
            hosts.of(name).errors += u64::from(name.ends_with('7'));
            (pages, errors) = (pages + 1, errors + u64::from(name.ends_with('7')));
            assert!(hosts.known().len() <= ROWS_MAX);
        };
        for nth in 0..5 * ROWS_MAX {
            ask(&format!("once{nth}.test"));
            if nth % 3 == 0 {
                ask("often.test");
                ask(&format!("now-and-then{}.test", nth % 600));
            }
        }
        let (known, others) = (hosts.known().map(|(_, host)| host.pages).sum::<u64>(), hosts.others());
        assert!(others.hosts > 0 && hosts.count() >= 5 * ROWS_MAX as u64 + 201);
        assert_eq!(known + others.pages, pages);
        assert_eq!(hosts.known().map(|(_, host)| host.errors).sum::<u64>() + others.errors, errors);
        assert_eq!(hosts.of("often.test").pages, (5 * ROWS_MAX).div_ceil(3) as u64);
        assert_eq!(hosts.known().filter(|(name, _)| name.starts_with("now")).count(), 200);
    }

    #[test]
    fn where_all_have_as_many_pages_half_of_them_stay() {
        let mut hosts = Hosts::default();
        (0..=ROWS_MAX).for_each(|nth| hosts.of(&nth.to_string()).pages += 1);
        assert_eq!((hosts.known().len(), hosts.others().pages), (KEPT + 1, KEPT as u64));
    }
}
