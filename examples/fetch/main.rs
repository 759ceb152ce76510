//! curl, on this library.
//!
//! ```text
//!     flags ─► asked ─► for each URL: transfer ─► engine ─► head, body ─► sink
//!                                        └ redirects, cookies, codings      └ stdout, -o, -D, -i
//!                                     report ─► write_out (-w), failure ─► exit code
//! ```
//!
//! Run it: `cargo run --release --example fetch -- -i http://example.com/`; `--help` tells the rest.
//! Flags, output and exit codes are curl's, so that scripts need not know the difference; where they differ, the README
//! beside this file says so, and why.
//!
//! | file | chapter |
//! |---|---|
//! | `flags` | what is asked for |
//! | `asked`, `data` | what goes out, in which order; what is in its body |
//! | `transfer` | one URL, from its first request to the last byte of its answer |
//! | `engine` | who carries the requests |
//! | `sink`, `progress` | where bytes go, and how many went |
//! | `report`, `write_out` | what it took, and how it is said |
//! | `failure` | what went wrong, as curl counts it |
//! | `cookies` | cookies out of a file |
//!
//! Not here: any of these; this page only puts them in order.   Next: `flags`.

mod asked;
mod cookies;
mod data;
mod engine;
mod failure;
mod flags;
mod progress;
mod report;
mod sink;
mod transfer;
mod write_out;

use std::{
    io::{self, Write},
    process::ExitCode,
    sync::{Arc, atomic::AtomicBool},
};

use clap::Parser;
use signal_hook::{consts::SIGINT, flag};

use crate::{
    asked::Asked,
    engine::{Engine, on_tokio::OnTokio, on_windlass::OnWindlass},
    failure::{Code, Failure},
    flags::{EngineName, Flags},
    report::Report,
    sink::{Sink, Target},
    transfer::{Rules, transfer},
};

/// What a shell says of a program that Ctrl-C ended.
const INTERRUPTED: i32 = 130;

fn main() -> ExitCode {
    let flags = Flags::parse();
    let code = fetch_all(&flags).unwrap_or_else(|failure| {
        complain(&flags, &failure);
        failure.code as u8
    });
    ExitCode::from(code)
}

/// Fetches all URLs. The exit code is the last one's.
///
/// # Errors
/// What cannot even be begun.
fn fetch_all(flags: &Flags) -> Result<u8, Failure> {
    // Nothing that was written waits in a buffer, so the program may end anywhere.
    flag::register_conditional_shutdown(SIGINT, INTERRUPTED, Arc::new(AtomicBool::new(true)))
        .map_err(|error| Failure::new(Code::Usage, error.to_string()))?;
    let format = write_out::format(flags.write_out.as_deref())?;
    let asked = Asked::new(flags)?;
    let broken = |error: io::Error| Failure::new(Code::Usage, error.to_string());
    match flags.engine {
        EngineName::Windlass => {
            let engine = OnWindlass::new(flags)?;
            let event_loop = windlass::Loop::new().map_err(broken)?;
            Ok(event_loop.block_on(fetch_each(&engine, flags, &asked, &format)))
        }
        EngineName::Tokio => {
            let engine = OnTokio::new(flags, &format)?;
            let mut builder = tokio::runtime::Builder::new_current_thread();
            let runtime = builder.enable_all().build_local(Default::default()).map_err(broken)?;
            Ok(runtime.block_on(fetch_each(&engine, flags, &asked, &format)))
        }
    }
}

async fn fetch_each(engine: &impl Engine, flags: &Flags, asked: &Asked, format: &str) -> u8 {
    // A word with `=` is a cookie; anything else, also nothing, names a file, and has cookies kept.
    let mut files = flags.cookie.iter().filter(|cookie| !cookie.contains('=')).peekable();
    let jar = files.peek().is_some().then(|| cookies::read(files));
    let rules = Rules::new(flags, jar);
    let query = if flags.get { data::gather(flags) } else { Ok(None) };
    let query = match query {
        Ok(query) => query.map(|query| String::from_utf8_lossy(&query).into_owned()),
        Err(failure) => {
            complain(flags, &failure);
            return failure.code as u8;
        }
    };
    let mut dump = flags.dump_header.as_ref().map(|path| Target::new(Some(path)));
    if let Some(Err(failure)) = dump.as_mut().map(Target::make) {
        complain(flags, &failure);
        return failure.code as u8;
    }
    let mut code = 0;
    for (number, url) in flags.urls.iter().enumerate() {
        let path = flags.output.get(number);
        let file = path.map(|path| path.display().to_string()).filter(|name| name != "-");
        let mut report = Report::new(number, url, file);
        let mut sink = Sink::new(flags, path, &mut dump);
        let url = with_query(url, query.as_deref());
        let done = transfer(engine, asked, &rules, &url, &mut sink, &mut report).await;
        code = done.as_ref().map_or_else(|failure| failure.code as u8, |()| 0);
        if let Err(failure) = &done {
            complain(flags, failure);
        }
        report.over(done.err());
        let words = write_out::words(format, &report);
        let said = Target::new(None).write(&words.stdout);
        let said = said.and_then(|()| io::stderr().write_all(&words.stderr).map_err(|error| Failure::write(&error)));
        if let (Err(failure), 0) = (said, code) {
            code = failure.code as u8;
        }
    }
    code
}

/// -G: the data become the URL's query, or go on with it.
fn with_query(url: &str, query: Option<&str>) -> String {
    let Some(query) = query.filter(|query| !query.is_empty()) else { return url.to_owned() };
    let (url, fragment) = url.split_at(url.find('#').unwrap_or(url.len()));
    let mark = if url.contains('?') { '&' } else { '?' };
    format!("{url}{mark}{query}{fragment}")
}

fn complain(flags: &Flags, failure: &Failure) {
    if !flags.silent || flags.show_error {
        let _ = writeln!(io::stderr(), "fetch: {failure}"); // stderr may be closed: the exit code says it, too
    }
}
