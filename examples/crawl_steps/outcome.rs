//! What became of each URL.
//!
//! There is a place for each URL, in the order of the URLs, and whoever has fetched one writes into its place. So the
//! order is that of the input, whoever ends first, and a run that is cut short has what came so far.
//!
//! ```text
//!   url 0 ──► [ 200, 128 bytes ]
//!   url 1 ──► [ 503            ]     answered, and no success
//!   url 2 ──► [ timed out      ]     an error, in its place
//!   url 3 ──► [                ]     not yet
//! ```
//!
//! Next: `blocking`.

use std::{cell::RefCell, rc::Rc};

use serde::Serialize;
use windlass::http::{self, Url};

/// An answer: its status and what came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Page {
    pub(crate) status: u16,
    /// Bytes of body.
    pub(crate) size: u64,
}

/// What became of one URL.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Outcome {
    pub(crate) url: String,
    /// The answer was a 2xx.
    pub(crate) success: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) size: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<String>,
    /// How often it was asked for.
    pub(crate) attempts: u32,
}

impl Outcome {
    fn new(url: &Url, fetched: Result<Page, http::Error>, attempts: u32) -> Outcome {
        let url = url.as_str().to_owned();
        match fetched {
            Ok(Page { status, size }) => {
                let success = (200..300).contains(&status);
                Outcome { url, success, status: Some(status), size: Some(size), error: None, attempts }
            }
            Err(error) => {
                Outcome { url, success: false, status: None, size: None, error: Some(error.to_string()), attempts }
            }
        }
    }
}

/// A place for each URL.
#[derive(Debug, Clone)]
pub(crate) struct Outcomes {
    places: Rc<RefCell<Vec<Option<Outcome>>>>,
}

impl Outcomes {
    /// All of them empty.
    pub(crate) fn of(urls: &[Rc<Url>]) -> Outcomes {
        Outcomes { places: Rc::new(RefCell::new(vec![None; urls.len()])) }
    }

    /// Writes what became of the URL at `position`, after so many attempts.
    pub(crate) fn put(&self, position: usize, url: &Url, fetched: Result<Page, http::Error>, attempts: u32) {
        self.places.borrow_mut()[position] = Some(Outcome::new(url, fetched, attempts));
    }

    /// How many have ended.
    pub(crate) fn count(&self) -> usize {
        self.places.borrow().iter().flatten().count()
    }

    /// Those that have ended, in the order of the URLs.
    pub(crate) fn ended(&self) -> Vec<Outcome> {
        self.places.borrow().iter().flatten().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_2xx_is_a_success_and_an_error_has_no_status() {
        let url = Url::parse("http://127.0.0.1/").unwrap();
        let outcome = |status| Outcome::new(&url, Ok(Page { status, size: 7 }), 1);
        for (status, success) in [(199, false), (200, true), (299, true), (301, false), (404, false), (503, false)] {
            assert_eq!((outcome(status).success, outcome(status).status), (success, Some(status)));
        }
        let failed = Outcome::new(&url, Err(http::Error::new(http::ErrorKind::Reset, "broken off")), 3);
        assert_eq!((failed.success, failed.status, failed.error.as_deref()), (false, None, Some("broken off")));
    }

    #[test]
    fn outcomes_are_in_the_order_of_the_urls_whoever_ends_first() {
        let urls = crate::site::urls(([127, 0, 0, 1], 80).into(), 3);
        let outcomes = Outcomes::of(&urls);
        for position in [2, 0] {
            outcomes.put(position, &urls[position], Ok(Page { status: 200, size: 0 }), 1);
        }
        let ended: Vec<_> = outcomes.ended().into_iter().map(|outcome| outcome.url).collect();
        assert_eq!(ended, ["http://127.0.0.1/page/0", "http://127.0.0.1/page/2"]);
    }
}
