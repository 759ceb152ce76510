//! How far it is.
//!
//! ```text
//!     on a terminal     windlass  [#########>          ]  47,000/100,000  131,204/s       redrawn in place, on stderr
//!     every 10,000      windlass  10,000/100,000  (130,871 requests/s)                    a line that stays
//! ```
//!
//! Lines go to stdout; with `--json`, or above the live line of a terminal, to stderr.
//! Not here: how often an engine says how far it is, which its plan fixes.   Next: `report`.

use std::io::{self, IsTerminal};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use windlass_examples::{figures::thousands, out::Aside};

use crate::contract::{EngineName, Word};

/// A line that stays is printed after so many requests.
const LINE_EVERY: u64 = 10_000;

/// A live line is redrawn after so many requests, or after a hundredth of all, whichever is fewer.
const REDRAW_EVERY: u64 = 1000;

/// Shows how far one engine is.
#[derive(Debug)]
pub(crate) struct Progress {
    engine: EngineName,
    requests: u64,
    aside: Aside,
    live: Option<ProgressBar>,
}

/// After how many requests an engine is to say how far it is.
pub(crate) fn words_every(requests: u64) -> u64 {
    if io::stderr().is_terminal() { (requests / 100).clamp(1, REDRAW_EVERY) } else { LINE_EVERY }
}

impl Progress {
    pub(crate) fn new(engine: EngineName, requests: u64, aside: Aside) -> Self {
        let live = io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::with_draw_target(Some(requests), ProgressDrawTarget::stderr());
            let style = ProgressStyle::with_template("{prefix}  [{bar:40}]  {human_pos}/{human_len}  {msg}")
                .expect("the template names only what indicatif knows");
            bar.set_style(style.progress_chars("#> "));
            bar.set_prefix(engine.as_str());
            bar
        });
        Self { engine, requests, aside, live }
    }

    /// Shows what the engine says.
    pub(crate) fn hear(&self, word: &Word) {
        let Word::Progress { done, elapsed_s } = *word else {
            return;
        };
        let per_second = thousands((done as f64 / elapsed_s.max(1e-9)) as u64);
        if let Some(live) = &self.live {
            live.set_position(done);
            live.set_message(format!("{per_second}/s"));
        }
        if !done.is_multiple_of(LINE_EVERY) && done != self.requests {
            return;
        }
        let (done, of) = (thousands(done), thousands(self.requests));
        let line = format!("{:<9}  {done}/{of}  ({per_second} requests/s)", self.engine);
        match &self.live {
            Some(live) => live.println(line),
            None => self.aside.say(&line),
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(live) = &self.live {
            live.finish_and_clear();
        }
    }
}
