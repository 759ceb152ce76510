//! How far a step is.
//!
//! ```text
//!     on a terminal     blocking  [#########>          ]  47/100        redrawn in place, ten times a second
//!     elsewhere         blocking  47 of 100 URLs                        a line every ten seconds
//! ```
//!
//! Both go to stderr. Next: `report`.

use std::{
    io::{self, IsTerminal},
    time::Duration,
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use windlass::{task::JoinHandle, time::sleep};
use windlass_examples::out;

use crate::outcome::Outcomes;

const REDRAWN_EVERY: Duration = Duration::from_millis(100);
const LINE_EVERY: Duration = Duration::from_secs(10);

/// Shows how far a step is, until it is dropped.
#[derive(Debug)]
pub(crate) struct Progress {
    task: JoinHandle<()>,
    bar: Option<ProgressBar>,
}

impl Progress {
    /// Of the step of this name, which is to reach so many URLs.
    pub(crate) fn of(step: &'static str, urls: usize, outcomes: Outcomes) -> Self {
        let bar = io::stderr().is_terminal().then(|| drawn(step, urls));
        let redrawn = bar.clone();
        let every = if bar.is_some() { REDRAWN_EVERY } else { LINE_EVERY };
        let task = windlass::spawn(async move {
            loop {
                sleep(every).await;
                match &redrawn {
                    Some(bar) => bar.set_position(outcomes.count() as u64),
                    None => out::to_stderr(&format!("{step}  {} of {urls} URLs", outcomes.count())),
                }
            }
        });
        Self { task, bar }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.task.abort();
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn drawn(step: &'static str, urls: usize) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(urls as u64), ProgressDrawTarget::stderr());
    let style = ProgressStyle::with_template("{prefix}  [{bar:40}]  {human_pos}/{human_len}")
        .expect("the template names only what indicatif knows");
    bar.set_style(style.progress_chars("#> "));
    bar.set_prefix(step);
    bar
}
