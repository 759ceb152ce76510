//! How far it is.
//!
//! ```text
//!     [#########>          ]  47.00 MiB/100.00 MiB  12.30 MiB/s  4s        redrawn in place, on stderr
//! ```
//!
//! Only where somebody can see it, and only of what takes a while.
//! Next: `main`.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::sink::Sink;

/// What ends before is not worth a line.
const SHOWN_AFTER: Duration = Duration::from_secs(1);

/// Shows how far a body is.
#[derive(Debug)]
pub(crate) struct Progress {
    bar: Option<ProgressBar>,
    began: Instant,
}

impl Progress {
    /// Of a body of this length, if it is known.
    pub(crate) fn new(sink: &Sink<'_>, length: Option<u64>) -> Self {
        let bar = sink.shows_progress.then(|| {
            let bar = ProgressBar::with_draw_target(length, ProgressDrawTarget::hidden());
            let template = if length.is_some() {
                "[{bar:40}]  {bytes}/{total_bytes}  {bytes_per_sec}  {eta}"
            } else {
                "{bytes}  {bytes_per_sec}"
            };
            let style = ProgressStyle::with_template(template).expect("the template names only what indicatif knows");
            bar.set_style(style.progress_chars("#> "));
            bar
        });
        Self { bar, began: Instant::now() }
    }

    /// So many bytes more.
    pub(crate) fn add(&mut self, bytes: u64) {
        let Some(bar) = &self.bar else { return };
        if bar.is_hidden() && self.began.elapsed() >= SHOWN_AFTER {
            bar.set_draw_target(ProgressDrawTarget::stderr());
        }
        bar.inc(bytes);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
