//! Where words go.
//!
//! A report is for people or for a script. What is said beside it must not get into the script's way, and a reader who has
//! gone, as `head` does, is no reason to panic.
//!
//! ```text
//!     report, JSON ──► stdout ──► gone? then nobody waits for the rest: end
//!     with --json, what is not the JSON ──► stderr ──► gone? then nobody wants to know
//! ```
//!
//! Not here: what the words are, which each program knows.   Next: [`crate::story`].

use std::io::{self, Write};

/// Which stream takes what is said beside the report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Aside {
    /// The report is for people: all of it goes to stdout.
    Stdout,
    /// Stdout is for the JSON alone.
    Stderr,
}

impl Aside {
    /// Prints one line.
    ///
    /// ```
    /// windlass_examples::out::Aside::Stderr.say("a hundred are done");
    /// ```
    pub fn say(self, line: &str) {
        match self {
            Self::Stdout => to_stdout(&format!("{line}\n")),
            Self::Stderr => to_stderr(line),
        }
    }
}

/// Writes to stdout at once. If whoever read it has gone, as with `| head`, this process ends with code 1, and with it the
/// children that asked to die with it ([`crate::process::die_with`]).
///
/// ```
/// windlass_examples::out::to_stdout("a line\n");
/// ```
pub fn to_stdout(text: &str) {
    let mut out = io::stdout().lock();
    if out.write_all(text.as_bytes()).and_then(|()| out.flush()).is_err() {
        std::process::exit(1);
    }
}

/// Writes a line to stderr, if anybody takes it: what is said there is beside the point of every program.
///
/// ```
/// windlass_examples::out::to_stderr("robots: no such file");
/// ```
pub fn to_stderr(line: &str) {
    let _ = writeln!(io::stderr(), "{line}"); // `eprintln!` would panic
}
