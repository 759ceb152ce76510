//! Says whether a crawler may fetch a URL, and which line of robots.txt decides it.
//!
//! ```text
//!     printf 'user-agent: *\ndisallow: /shop\n' | cargo run --release --example robots -- - ExampleBot http://a.com/shop/1
//!     disallowed: line 2: disallow: /shop                                                        (exit status 1)
//!
//!     FILE ──► Robots::parse ──► decide ──► a line for people, or --json
//! ```
//!
//! Not here: fetching the file.   Next: `windlass_examples::robots`, which knows the rules.

use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::{fs, path::Path};

use clap::Parser;
use serde_json::json;
use windlass::http::Url;
use windlass_examples::out;
use windlass_examples::robots::{Decision, FILE_MAX, Robots};

/// Says whether a crawler may fetch a URL by a site's robots.txt (RFC 9309), and which line decides it.
#[derive(Parser)]
#[command(
    name = "robots",
    version,
    after_help = "Exit status: 0 allowed; 1 disallowed; 2 wrong usage, or FILE cannot be read."
)]
struct Flags {
    /// Prints one JSON object: allowed, reason (rule, no_rule, robots_txt, too_much_work), line and text (of the rule,
    /// else null), target, crawl_delay_s, sitemaps.
    #[arg(long)]
    json: bool,
    /// The robots.txt; - is stdin.
    file: PathBuf,
    /// The crawler: its product token, or a User-Agent that begins with it.
    user_agent: String,
    /// What it would fetch: an absolute URL, or a path with its query.
    #[arg(value_parser = target)]
    url: String,
}

/// What a request for `text` would ask the server for.
fn target(text: &str) -> Result<String, String> {
    let url = match text.strip_prefix('/') {
        Some(path) => Url::parse(&format!("http://localhost/{path}")),
        None => Url::parse(text),
    };
    url.map(|url| url.target().to_owned()).map_err(|error| error.to_string())
}

const DISALLOWED: u8 = 1;
const UNREADABLE: u8 = 2;

fn main() -> ExitCode {
    let flags = Flags::parse();
    let file = match read(&flags.file) {
        Ok(file) => file,
        Err(error) => {
            out::to_stderr(&format!("robots: {}: {error}", flags.file.display()));
            return UNREADABLE.into();
        }
    };
    let robots = Robots::parse(&file, &flags.user_agent);
    let decision = robots.decide(&flags.url);
    let said = if flags.json { as_json(&flags, &robots, decision) } else { in_words(decision) };
    match writeln!(io::stdout(), "{said}") {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => out::to_stderr(&format!("robots: stdout: {error}")),
        _ => {} // the exit status says it, too
    }
    if decision.is_allowed() { ExitCode::SUCCESS } else { DISALLOWED.into() }
}

/// As much as the parser looks at, and a byte more, which tells it that there is more.
fn read(file: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let len_max = FILE_MAX as u64 + 1;
    match file.to_str() {
        Some("-") => io::stdin().lock().take(len_max).read_to_end(&mut bytes)?,
        _ => fs::File::open(file)?.take(len_max).read_to_end(&mut bytes)?,
    };
    Ok(bytes)
}

fn in_words(decision: Decision<'_>) -> String {
    let verdict = if decision.is_allowed() { "allowed" } else { "disallowed" };
    match decision {
        Decision::Rule(rule) => format!("{verdict}: line {}: {}", rule.line, rule.text),
        Decision::RobotsTxt => format!("{verdict}: robots.txt itself always is"),
        Decision::TooMuchWork => format!("{verdict}: too many patterns to look for in this URL"),
        _ => format!("{verdict}: no rule matches"),
    }
}

fn as_json(flags: &Flags, robots: &Robots, decision: Decision<'_>) -> String {
    let (reason, rule) = match decision {
        Decision::Rule(rule) => ("rule", Some(rule)),
        Decision::RobotsTxt => ("robots_txt", None),
        Decision::TooMuchWork => ("too_much_work", None),
        _ => ("no_rule", None),
    };
    json!({
        "allowed": decision.is_allowed(),
        "reason": reason,
        "line": rule.map(|rule| rule.line),
        "text": rule.map(|rule| &rule.text),
        "target": flags.url,
        "crawl_delay_s": robots.crawl_delay().map(|delay| delay.as_secs_f64()),
        "sitemaps": robots.sitemaps(),
    })
    .to_string()
}
