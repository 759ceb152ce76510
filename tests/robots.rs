//! What `robots` prints, and with what status it ends.
//!
//! Scripts ask it, so the exit statuses and the keys of `--json` are a contract.
//! Not here: the rules of RFC 9309 (`examples/src/robots.rs`).   Next: `examples/robots.rs`.

#![allow(clippy::unwrap_used)] // a story that cannot go on says where it stopped

use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use windlass_tests::program::{Done, program};

const FILE: &str = "\
User-agent: *          # everybody
Disallow: /shop
Allow: /shop/*.html$   # pages

User-agent: SlowBot
Crawl-delay: 2.5
Sitemap: http://a.com/map.xml
Disallow:
";

fn robots(arguments: &[&str], stdin: &str) -> Done {
    let mut command = Command::new(program("robots"));
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes()); // wrong usage ends it before it reads
    child.wait_with_output().unwrap().into()
}

#[test]
fn one_line_names_the_rule_and_the_status_is_the_answer() {
    for (agent, url, status, said) in [
        ("ExampleBot", "http://a.com/shop/cart?add=1", 1, "disallowed: line 2: Disallow: /shop\n"),
        ("ExampleBot/1.0 (x)", "https://a.com/shop/list.html#top", 0, "allowed: line 3: Allow: /shop/*.html$\n"),
        ("ExampleBot", "http://a.com", 0, "allowed: no rule matches\n"),
        ("ExampleBot", "/a/../shop", 1, "disallowed: line 2: Disallow: /shop\n"),
        ("ExampleBot", "//a.com/shop", 0, "allowed: no rule matches\n"),
        ("slowbot", "http://a.com/shop/cart", 0, "allowed: no rule matches\n"),
        ("ExampleBot", "http://a.com/robots.txt", 0, "allowed: robots.txt itself always is\n"),
    ] {
        let done = robots(&["-", agent, url], FILE);
        assert_eq!(
            (done.status, done.stdout.as_str(), done.stderr.as_str()),
            (Some(status), said, ""),
            "{agent} {url}"
        );
    }
}

#[test]
fn json_has_all_that_the_contract_names() {
    let told = |agent, url| -> (Option<i32>, Value) {
        let done = robots(&["--json", "-", agent, url], FILE);
        (done.status, serde_json::from_str(&done.stdout).unwrap())
    };
    let disallowed = json!({
        "allowed": false, "reason": "rule", "line": 2, "text": "Disallow: /shop", "target": "/shop",
        "crawl_delay_s": null, "sitemaps": ["http://a.com/map.xml"],
    });
    assert_eq!(told("ExampleBot", "http://a.com/shop"), (Some(1), disallowed));
    let allowed = json!({
        "allowed": true, "reason": "no_rule", "line": null, "text": null, "target": "/",
        "crawl_delay_s": 2.5, "sitemaps": ["http://a.com/map.xml"],
    });
    assert_eq!(told("SlowBot", "http://a.com"), (Some(0), allowed));
}

#[test]
fn a_file_is_read_as_stdin_is() {
    let path = std::env::temp_dir().join(format!("windlass-robots-{}", std::process::id()));
    std::fs::write(&path, FILE).unwrap();
    let done = robots(&[path.to_str().unwrap(), "ExampleBot", "/shop"], "");
    std::fs::remove_file(&path).unwrap();
    assert_eq!((done.status, done.stdout.as_str()), (Some(1), "disallowed: line 2: Disallow: /shop\n"));
}

#[test]
fn wrong_usage_and_a_file_that_cannot_be_read_end_with_2() {
    for arguments in [
        &[][..],
        &["-"],
        &["-", "a"],
        &["-", "a", "/", "more"],
        &["-", "a", "a.com"],
        &["-", "a", "ftp://a.com/"],
        &["-", "a", "http://u:hunter2@a.com/"],
        &["--flag", "-", "a", "/"],
        &["/no/such/file", "a", "/"],
        &["/", "a", "/"],
    ] {
        let done = robots(arguments, FILE);
        assert_eq!((done.status, done.stdout.as_str()), (Some(2), ""), "{arguments:?}");
        assert!(!done.stderr.is_empty() && !done.stderr.contains("panicked"), "{done:?}");
    }
    assert!(robots(&["--help"], "").stdout.contains("Exit status"));
}
