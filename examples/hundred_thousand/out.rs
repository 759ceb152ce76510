//! Where words go.
//!
//! ```text
//!     report, JSON ──► stdout ──► gone? then nobody waits for the rest: end
//!     with --json, what is not the JSON ──► stderr
//! ```
//!
//! Not here: what the words are (`report`, `progress`).   Next: the loop itself, `src/event_loop.rs`.

use std::io::{self, Write};

/// Which stream takes what is said beside the report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Aside {
    /// The report is for people: all of it goes to stdout.
    Stdout,
    /// Stdout is for the JSON alone.
    Stderr,
}

impl Aside {
    /// Prints one line.
    pub(crate) fn say(self, line: &str) {
        match self {
            Self::Stdout => to_stdout(&format!("{line}\n")),
            Self::Stderr => eprintln!("{line}"),
        }
    }
}

/// Writes to stdout at once. If whoever read it has gone, as with `| head`, this process ends, and its children with it
/// (`die_with`).
pub(crate) fn to_stdout(text: &str) {
    let mut out = io::stdout().lock();
    if out.write_all(text.as_bytes()).and_then(|()| out.flush()).is_err() {
        std::process::exit(1);
    }
}
