//! crawl, and sites that were not made for it.
//!
//! httpbin's pages of links, and the documentation of the standard library as rustup ships it, served by nginx: each page is
//! fetched once, and all of them are, as a walk of the folder says, and of a part of it `wget -r`.
//!
//! What a machine lacks is said aloud, as `real_servers` has it.   Next: `crawl`, whose site is its own.

#![allow(clippy::unwrap_used)] // a story that cannot go on says where it stopped

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde_json::Value;
use windlass_tests::{
    program::program,
    servers::{
        Folder, HTTPBIN, NGINX, NGINX_ALONE, NGINX_FOLDERS, Tool, free_ports, lacks, start_httpbin, start_nginx,
    },
};

const WGET: Tool = Tool { name: "wget", probe: &["wget", "--version"], install: "apt-get install wget" };

/// What the crawler fetched: the lines of its output.
fn crawled(folder: &Folder, line: &str) -> Vec<Value> {
    let file = folder.path().join("pages.jsonl");
    let mut crawl = Command::new(program("crawl"));
    let crawl = crawl.args(line.split_whitespace()).arg("--output").arg(&file).stdin(Stdio::null());
    let done = crawl.output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let text = fs::read_to_string(&file).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The paths of the pages in HTML that came, in the order of the alphabet; each came once.
fn pages(lines: &[Value], at: &str) -> Vec<String> {
    let is_page = |line: &&Value| line["status"] == 200 && line["type"].as_str().unwrap_or_default().contains("html");
    let urls = lines.iter().filter(is_page).map(|line| line["url"].as_str().unwrap());
    let mut paths: Vec<_> = urls.map(|url| url.strip_prefix(at).unwrap().to_owned()).collect();
    paths.sort();
    let once: BTreeSet<_> = paths.iter().collect();
    assert_eq!(once.len(), paths.len(), "each once");
    paths
}

/// The files in HTML below a folder, as paths that begin there.
fn html_below(root: &Path, folder: &str) -> Vec<String> {
    let (mut found, mut folders) = (Vec::new(), vec![root.join(folder)]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "html") {
                found.push(format!("/{}", path.strip_prefix(root).unwrap().display()));
            }
        }
    }
    found.sort();
    found
}

#[test]
fn httpbins_pages_are_fetched_once_each_and_all_of_them() {
    if lacks("crawling httpbin", &[&HTTPBIN]).is_some() {
        return;
    }
    let (folder, [port]) = (Folder::new(), free_ports());
    let _httpbin = start_httpbin(&folder, port);
    let at = format!("http://127.0.0.1:{port}");
    for engine in ["windlass", "tokio"] {
        let lines = crawled(&folder, &format!("--engine {engine} --scope prefix {at}/links/30/0"));
        let mut all: Vec<_> = (0..30).map(|page| format!("/links/30/{page}")).collect();
        all.sort();
        assert_eq!(pages(&lines, &at), all, "{engine}");
    }
    let asked = "/status/404 /status/500 /redirect/2 /gzip /deflate /brotli /encoding/utf8 /image/png /delay/0.2 /bytes/100?seed=1";
    let asked: Vec<_> = asked.split(' ').map(|path| format!("{at}{path}")).collect();
    let lines = crawled(&folder, &format!("--max-depth 0 --attempts 1 {}", asked.join(" ")));
    let told = lines.iter().map(|line| (line["url"].as_str().unwrap(), line["status"].as_u64().unwrap()));
    let mut told: Vec<_> = told.map(|(url, status)| (url.strip_prefix(&at).unwrap(), status)).collect();
    told.sort();
    let expected = "/brotli 200 /bytes/100?seed=1 200 /deflate 200 /delay/0.2 200 /encoding/utf8 200 /gzip 200 /image/png 200 \
                    /redirect/2 302 /status/404 404 /status/500 500";
    let told: Vec<_> = told.iter().map(|(path, status)| format!("{path} {status}")).collect();
    assert_eq!(told.join(" "), expected);
}

#[test]
fn of_the_standard_librarys_documentation_all_pages_come_that_there_are_and_that_wget_finds() {
    let sysroot = Command::new("rustc").args(["--print", "sysroot"]).output().unwrap();
    let root = PathBuf::from(String::from_utf8(sysroot.stdout).unwrap().trim()).join("share/doc/rust/html");
    let docs = root.join("std/index.html");
    let documentation = Tool {
        name: "documentation of std",
        probe: &["sh", "-c", "test -f \"$(rustc --print sysroot)/share/doc/rust/html/std/index.html\""],
        install: "rustup component add rust-docs",
    };
    if lacks("crawling the documentation", &[&documentation, &NGINX]).is_some() {
        return;
    }
    assert!(docs.is_file());
    let (folder, [port]) = (Folder::new(), free_ports());
    folder.put(
        "conf",
        format!(
            "{NGINX_ALONE} http {{ {NGINX_FOLDERS} types {{ text/html html; text/css css; }}
             server {{ listen 127.0.0.1:{port}; root {}; }} }}",
            root.display()
        ),
    );
    let _nginx = start_nginx(&folder, port);
    let at = format!("http://127.0.0.1:{port}");
    let lines = crawled(&folder, &format!("--scope prefix {at}/std/index.html"));
    let ours = pages(&lines, &at);
    let files = html_below(&root, "std");
    let is_left = |file: &&String| ours.binary_search(file).is_err();
    let title = |file: &String| fs::read_to_string(format!("{}{file}", root.display())).unwrap();
    // To some that have moved nothing links any more.
    let lost = files.iter().filter(is_left).find(|file| !title(file).contains("<title>Redirection</title>"));
    assert_eq!(lost, None, "of {} files", files.len());
    assert!(ours.len() > 1_000 && ours.iter().all(|page| files.binary_search(page).is_ok()), "{} pages", ours.len());
    if lacks("crawling the documentation beside wget", &[&WGET]).is_some() {
        return;
    }
    // A part of it: for all of it wget takes ten times as long as the crawler, and finds the same.
    let lines = crawled(&folder, &format!("--scope prefix {at}/std/thread/index.html"));
    let theirs = Folder::new();
    let mut wget = Command::new("wget");
    wget.args(["-q", "-r", "-l", "inf", "-np", "-nH", "-e", "robots=off", "-A", "html", "-P"]).arg(theirs.path());
    wget.arg(format!("{at}/std/thread/index.html")).status().unwrap(); // it ends with 8 if a link leads nowhere
    assert_eq!(pages(&lines, &at), html_below(theirs.path(), "std/thread"), "as many as wget finds");
}
