//! crawl's page of plots, as a browser would read it; its line on a terminal; and its archive.
//!
//! ```text
//!     crawl --json --report FILE.html ──► JSON ─┐
//!                                   └──► page ──┴──► the same figures? anything from elsewhere?
//! ```
//!
//! Not here: how plots are drawn, and that whatever is put in stays text, which is told beside them
//! (`examples/src/plots.rs`).   Next: `examples/crawl/page.rs`.

#![allow(clippy::unwrap_used)] // a story that cannot go on says where it stopped

use std::{
    collections::BTreeSet,
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpListener,
    path::Path,
    process::{Command, Stdio},
    thread,
};

use flate2::read::MultiGzDecoder;
use html5gum::{StartTag, Token, Tokenizer};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;
use windlass_tests::{
    program::{on_a_terminal, program},
    servers::{Folder, Tool, lacks, path_of},
};

/// What a page has: its start tags, and what the tables say, row by row.
#[derive(Default)]
struct Seen {
    tags: Vec<StartTag<()>>,
    rows: Vec<Vec<String>>,
}

impl Seen {
    fn of(html: &str) -> Self {
        let (mut seen, mut open, mut in_cell) = (Self::default(), Vec::new(), false);
        for token in Tokenizer::new(html) {
            match token.unwrap_or_else(|never| match never {}) {
                Token::StartTag(tag) => {
                    match &tag.name[..] {
                        b"tr" => seen.rows.push(Vec::new()),
                        b"td" | b"th" => seen.rows.last_mut().unwrap().push(String::new()),
                        _ => {}
                    }
                    in_cell |= matches!(&tag.name[..], b"td" | b"th");
                    let is_void = matches!(&tag.name[..], b"meta") || tag.self_closing;
                    if !is_void {
                        open.push(tag.name.to_vec());
                    }
                    seen.tags.push(tag);
                }
                Token::EndTag(tag) => {
                    assert_eq!(
                        open.pop().as_deref(),
                        Some(&tag.name[..]),
                        "each ends in the order in which they began"
                    );
                    in_cell &= !matches!(&tag.name[..], b"td" | b"th");
                }
                Token::String(text) if in_cell => {
                    let cell = seen.rows.last_mut().unwrap().last_mut().unwrap();
                    cell.push_str(&String::from_utf8_lossy(&text));
                }
                Token::Error(error) => panic!("{error:?}"),
                _ => {}
            }
        }
        assert!(open.is_empty(), "{open:?}");
        seen
    }

    /// The row that begins so.
    fn row(&self, first: &str) -> &[String] {
        self.nth_row(first, 0)
    }

    /// Of the rows that begin so, in several tables, one.
    fn nth_row(&self, first: &str, nth: usize) -> &[String] {
        let row = self.rows.iter().filter(|row| row.first().is_some_and(|cell| cell == first)).nth(nth);
        &row.unwrap_or_else(|| panic!("there is a row {first}: {:?}", self.rows))[1..]
    }

    fn number(&self, first: &str) -> f64 {
        self.row(first)[0].parse().unwrap()
    }
}

/// Crawls, and reads the page.
fn reported(folder: &Path, line: &[&str]) -> (Value, String) {
    let file = folder.join("report.html");
    let mut command = Command::new(program("crawl"));
    let output = command.args(["--json", "--report"]).arg(&file).args(line).stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    let json = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {said}"));
    (json, fs::read_to_string(file).unwrap())
}

#[test]
fn the_page_says_what_the_json_says() {
    let folder = Folder::new();
    let (json, html) = reported(folder.path(), &["--site-pages", "300", "--delay", "0.001"]);
    let seen = Seen::of(&html);
    for name in ["pages", "ok", "robots", "retries", "bytes_wire", "bytes_decoded", "elapsed_s", "pages_per_s"] {
        let (read, told) = (seen.number(name), json[name].as_f64().unwrap());
        assert!((read - told).abs() <= 0.000_5 + 1e-9, "{name}: {read}, {told}"); // of which three digits behind the point are shown
    }
    for (group, name) in [("failed", "status"), ("status", "2xx"), ("skipped", "nofollow")] {
        assert_eq!(seen.number(&format!("{group}: {name}")), json[group][name].as_f64().unwrap());
    }
    for (row, spans) in [("all of it", &json["latency_us"]), ("first_byte", &json["phases_us"]["first_byte"])] {
        for (cell, percentile) in seen.row(row).iter().zip(["p50", "p90", "p99"]) {
            let off = cell.parse::<f64>().unwrap() * 1e3 - spans[percentile].as_f64().unwrap();
            assert!(off.abs() < 0.5, "{row}, {percentile}: {cell} ms"); // the one in ms, the other in whole µs
        }
    }
    for (limit, share) in json["limits"].as_object().unwrap() {
        let is_a_phase = json["phases_us"][limit].is_object();
        let row = seen.nth_row(limit, usize::from(is_a_phase));
        assert!((row[0].parse::<f64>().unwrap() - share.as_f64().unwrap()).abs() < 1e-4, "{limit}: {row:?}");
        match json["allowed_per_s"][limit].as_f64() {
            Some(per_s) => assert!((row[1].parse::<f64>().unwrap() - per_s).abs() < 0.1, "{limit}: {row:?}"),
            None => assert_eq!(row[1], "-"),
        }
    }
    for host in json["hosts"].as_array().unwrap() {
        let told = ["pages", "errors", "delay_s"].map(|name| host[name].to_string());
        assert_eq!(seen.row(host["host"].as_str().unwrap()), told);
    }
    assert_eq!(seen.row("per-host"), ["8"], "also what nobody has set");
}

#[test]
fn the_page_is_one_file_that_asks_for_nothing() {
    let folder = Folder::new();
    let hostile = "\"><script src=//evil.test/x></script><a href=http://evil.test/>";
    let line = ["--site-pages", "100", "--user-agent", hostile, "-H", "X-Secret: hush-hush"];
    let (_, html) = reported(folder.path(), &line);
    let seen = Seen::of(&html);
    let (mut plots, mut titles) = (0, 0);
    for tag in &seen.tags {
        assert!(![&b"script"[..], b"link", b"iframe", b"object", b"base", b"img"].contains(&&tag.name[..]));
        for (name, value) in &tag.attributes {
            let value = String::from_utf8_lossy(value);
            assert!(
                ![&b"src"[..], b"href", b"xlink:href", b"srcset", b"action", b"data"].contains(&&name[..]),
                "{value}"
            );
            assert!(!value.contains("url(") && !value.contains("http") && !name.starts_with(b"on"), "{value}");
        }
        plots += usize::from(&tag.name[..] == b"svg" && tag.attributes.contains_key(&b"aria-labelledby"[..]));
        titles += usize::from(&tag.name[..] == b"title");
    }
    assert!(plots >= 7 && titles == plots + 1, "each plot has its title, and the page has its own: {plots}, {titles}");
    let style = html.split_once("<style>").unwrap().1.split_once("</style>").unwrap().0;
    assert!(!style.contains("url(") && !style.contains("@import"));
    assert_eq!(seen.row("user-agent"), [hostile]);
    assert!(!html.contains("hush-hush"), "what headers say may be a password");
}

#[test]
fn who_cannot_write_the_page_hears_of_it_before_anything_is_fetched() {
    let mut command = Command::new(program("crawl"));
    let output = command.args(["--output", "-", "--report", "/nonexistent/report.html"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(1) && said.contains("/nonexistent/report.html: "), "{said}");
    assert!(output.stdout.is_empty());
}

#[test]
fn ctrl_c_leaves_a_page_of_what_there_is() {
    let folder = Folder::new();
    let file = folder.path().join("report.html");
    fs::write(&file, "an older page, longer than nothing").unwrap();
    let mut command = Command::new(program("crawl"));
    command.args(["--rate", "20", "--output", "-", "--report"]).arg(&file);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut said = BufReader::new(child.stdout.take().unwrap());
    said.read_line(&mut String::new()).unwrap(); // it has begun, and would take minutes
    assert!(fs::read_to_string(&file).unwrap().starts_with("an older page"), "it stays until there is a new one");
    kill(Pid::from_raw(child.id() as i32), Signal::SIGINT).unwrap();
    said.read_to_string(&mut String::new()).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let html = fs::read_to_string(&file).unwrap();
    assert!(html.contains("ended by Ctrl-C") && html.ends_with("</html>"));
    assert!(Seen::of(&html).number("pages") >= 1.0);
}

/// What a terminal shows of a crawl, and its exit code; stdout is the terminal, too, or a pipe.
fn crawl_on_a_terminal(line: &str, stdout: Option<Stdio>) -> (Option<i32>, String) {
    on_a_terminal(Command::new(program("crawl")).args(line.split_whitespace()), stdout)
}

#[test]
fn a_terminal_shows_a_line_that_stays_where_it_is_and_is_gone_in_the_end() {
    let (code, shown) = crawl_on_a_terminal("--rate 100 --max-pages 60", Some(Stdio::null()));
    assert_eq!(code, Some(0));
    for words in [" pages, ", "/s, ", " under way, ", " queued, ", " hosts, ", " errors, loop ", " busy, 0:00"] {
        assert!(shown.contains(words), "{words:?}: {shown:?}");
    }
    let redrawn = shown.matches("under way").count();
    assert!(redrawn >= 3 && !shown.contains("under way\n"), "{redrawn}: {shown:?}");
    let last = shown.rsplit("under way").next().unwrap();
    assert!(last.contains("\x1b[2K"), "it is wiped away: {last:?}");
}

#[test]
fn lines_of_pages_on_a_terminal_have_it_for_themselves() {
    let (code, shown) = crawl_on_a_terminal("--rate 100 --max-pages 60 --output -", None);
    assert_eq!(code, Some(0));
    assert_eq!(shown.lines().filter(|line| line.starts_with('{') && line.ends_with('}')).count(), 60);
    assert!(!shown.contains("under way,") && !shown.contains('\x1b'), "{shown:?}");
}

const WARCIO: Tool = Tool {
    name: "warcio",
    probe: &["python", "-m", "warcio.cli", "--version"],
    install: "tests/install_servers, and WINDLASS_PYTHON says where",
};

/// What `warcio` says, and whether it is content.
fn warcio(command: &str, more: &[&str], file: &Path) -> (bool, String) {
    let mut warcio = Command::new(path_of("python").unwrap());
    let output = warcio.args(["-m", "warcio.cli", command]).args(more).arg(file).output().unwrap();
    (output.status.success(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
}

/// A crawl with an archive; the URLs of its output.
fn archived(warc: &Path, folder: &Path, line: &str) -> BTreeSet<String> {
    let pages = folder.join("pages.jsonl");
    let mut command = Command::new(program("crawl"));
    command.args(line.split_whitespace()).arg("--warc").arg(warc).arg("--output").arg(&pages);
    assert!(command.stdin(Stdio::null()).stdout(Stdio::null()).status().unwrap().success());
    let lines = fs::read_to_string(&pages).unwrap();
    let lines = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.map(|line| line["final_url"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn warcio_accepts_the_archive_and_finds_every_page() {
    if lacks("an archive is what warcio takes for one", &[&WARCIO]).is_some() {
        return;
    }
    let folder = Folder::new();
    let warc = folder.path().join("pages.warc.gz");
    let pages = archived(&warc, folder.path(), "--site-pages 300");
    let (is_content, said) = warcio("check", &["-v"], &warc);
    assert!(is_content && said.contains("digest pass") && !said.contains("fail"), "{said}");
    let (is_content, said) = warcio("index", &["-f", "warc-type,warc-target-uri,http:status"], &warc);
    assert!(is_content, "{said}");
    let records: Vec<Value> = said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(records[0]["warc-type"], "warcinfo");
    for kind in ["request", "response"] {
        let of_kind = records.iter().filter(|record| record["warc-type"] == kind);
        let urls: BTreeSet<String> = of_kind.map(|record| record["warc-target-uri"].as_str().unwrap().into()).collect();
        let missing: Vec<_> = pages.difference(&urls).collect();
        assert!(missing.is_empty(), "{kind}: {missing:?}");
    }
    for status in ["200", "404", "302"] {
        assert!(records.iter().any(|record| record["http:status"] == status), "{status}");
    }
}

#[test]
fn the_archive_has_what_was_sent_and_what_came_byte_by_byte() {
    const CAME: &str = "HTTP/1.1 200 OK\r\nx-odd:   Case \r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello";
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    let served = thread::spawn(move || {
        let (mut client, _) = listener.accept().unwrap();
        let mut sent = Vec::new();
        while !sent.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            client.read_exact(&mut byte).unwrap();
            sent.push(byte[0]);
        }
        client.write_all(CAME.as_bytes()).unwrap();
        String::from_utf8(sent).unwrap()
    });
    let folder = Folder::new();
    let warc = folder.path().join("page.warc.gz");
    archived(&warc, folder.path(), &format!("--ignore-robots --user-agent me/1 -H X-Mine:1 http://{at}/a?b"));
    let sent = served.join().unwrap();
    let mut text = String::new();
    MultiGzDecoder::new(fs::File::open(&warc).unwrap()).read_to_string(&mut text).unwrap();
    assert!(
        sent.starts_with("GET /a?b HTTP/1.1\r\n") && text.contains(&format!("\r\n\r\n{sent}\r\n\r\n")),
        "{sent}{text}"
    );
    assert!(text.ends_with(&format!("\r\n\r\n{CAME}\r\n\r\n")), "{text}");
    assert!(text.contains("\r\nWARC-IP-Address: 127.0.0.1\r\n"));
}

#[test]
fn an_archive_that_cannot_be_is_refused_before_anything_is_fetched() {
    let folder = Folder::new();
    let file = folder.path().join("a.warc.gz").display().to_string();
    for (more, code, words) in [
        (vec!["--engine", "tokio", "--warc", &file], 2, "--warc wants --engine windlass"),
        (vec!["--warc", "-"], 2, "--warc wants a file"),
        (vec!["--warc", &file, "--output", &file], 2, "a file of its own"),
        (vec!["--warc", "/nonexistent/a.warc.gz"], 1, "/nonexistent/a.warc.gz: "),
    ] {
        let output = Command::new(program("crawl")).args(&more).stdin(Stdio::null()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(code) && said.contains(words), "{more:?}: {said}");
        assert!(output.stdout.is_empty());
    }
}
