//! What -w says behind each URL.
//!
//! ```text
//!     "%{http_code} %{time_total}\n" ──► one of NAMES? ──► its value in the Report
//!                                          └ no: a word on stderr, as curl has it
//! ```
//!
//! `%{json}` is all of them, `%{header_json}` and `%header{name}` are of the last head; `%{stderr}` and `%{stdout}` say where
//! the rest goes, and `%{onerror}` has the rest left out unless the URL failed.
//! Not here: where the values come from (`report`).   Next: `main`.

use std::time::Duration;

use serde_json::{Value as Json, json};
use windlass::http::head::Version;

use crate::{data, failure::Failure, report::Report};

/// The variables, in the order of `%{json}`.
const NAMES: [&str; 40] = [
    "content_type",
    "errormsg",
    "exitcode",
    "filename_effective",
    "http_code",
    "http_version",
    "local_ip",
    "local_port",
    "method",
    "num_connects",
    "num_headers",
    "num_redirects",
    "redirect_url",
    "referer",
    "remote_ip",
    "remote_port",
    "response_code",
    "scheme",
    "size_download",
    "size_header",
    "size_request",
    "size_upload",
    "speed_download",
    "speed_upload",
    "time_appconnect",
    "time_connect",
    "time_namelookup",
    "time_pretransfer",
    "time_redirect",
    "time_starttransfer",
    "time_total",
    "url",
    "url_effective",
    "urlnum",
    // Not in `%{json}`:
    "json",
    "header_json",
    "stdout",
    "stderr",
    "onerror",
    "http_connect",
];
/// How many of them are in `%{json}`.
const IN_JSON: usize = 34;

/// Those that an engine cannot fill in that sees no heads and no connections.
const OF_THE_WIRE: [&str; 12] = [
    "json",
    "local_ip",
    "local_port",
    "num_connects",
    "size_header",
    "size_request",
    "time_appconnect",
    "time_connect",
    "time_namelookup",
    "time_pretransfer",
    "time_starttransfer",
    "http_connect",
];

/// The format itself, if it is in a file.
///
/// # Errors
/// A file that cannot be read.
pub(crate) fn format(given: Option<&str>) -> Result<String, Failure> {
    match given.map(|given| given.strip_prefix('@').ok_or(given)) {
        None => Ok(String::new()),
        Some(Ok(path)) => Ok(String::from_utf8_lossy(&data::read_in_one_line(path)?).into_owned()),
        Some(Err(text)) => Ok(text.to_owned()),
    }
}

/// A variable in `format` that only who sees the wire knows.
pub(crate) fn needs_the_wire(format: &str) -> Option<&'static str> {
    let format = format.to_ascii_lowercase();
    OF_THE_WIRE.into_iter().find(|name| format.contains(&format!("%{{{name}}}")))
}

/// What is to be written.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Words {
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: Vec<u8>,
}

/// Fills in `format`.
pub(crate) fn words(format: &str, report: &Report) -> Words {
    let mut words = Words::default();
    let (mut to_stderr, mut rest) = (false, format);
    while let Some(first) = rest.chars().next() {
        let mut say =
            |text: &[u8]| if to_stderr { &mut words.stderr } else { &mut words.stdout }.extend_from_slice(text);
        let inner = |opening: &str| rest.strip_prefix(opening)?.split_once('}');
        if let Some((name, behind)) = inner("%{") {
            rest = behind;
            match &*name.to_ascii_lowercase() {
                "stdout" => to_stderr = false,
                "stderr" => to_stderr = true,
                "onerror" if report.failure.is_none() => break,
                "onerror" => {}
                name if NAMES.contains(&name) => say(value(name, report).plain(name).as_bytes()),
                _ => words.stderr.extend(format!("fetch: unknown --write-out variable: '{name}'\n").bytes()),
            }
        } else if let Some((name, behind)) = inner("%header{") {
            rest = behind;
            let named = report.headers.iter().find(|(have, _)| have.eq_ignore_ascii_case(name.as_bytes()));
            say(named.map_or(&[], |(_, value)| value));
        } else if let (Some(escaped), true) = (rest[first.len_utf8()..].chars().next(), matches!(first, '%' | '\\')) {
            let read = &rest[..first.len_utf8() + escaped.len_utf8()];
            rest = &rest[read.len()..];
            say(match read {
                "%%" => b"%",
                "\\n" => b"\n",
                "\\r" => b"\r",
                "\\t" => b"\t",
                other => other.as_bytes(),
            });
        } else {
            say(&rest.as_bytes()[..first.len_utf8()]);
            rest = &rest[first.len_utf8()..];
        }
    }
    words
}

/// What a variable is worth.
enum Value {
    Text(Option<String>),
    Number(u64),
    Seconds(Duration),
    /// As it stands, in JSON as elsewhere.
    Raw(String),
}

impl Value {
    fn plain(self, name: &str) -> String {
        match self {
            Value::Number(n) if matches!(name, "http_code" | "response_code" | "http_connect") => format!("{n:03}"),
            Value::Number(n) => n.to_string(),
            Value::Seconds(time) => seconds(time),
            Value::Text(text) => text.unwrap_or_default(),
            Value::Raw(text) => text,
        }
    }

    fn json(self) -> String {
        match self {
            Value::Number(n) => n.to_string(),
            Value::Seconds(time) => seconds(time),
            Value::Text(text) => Json::from(text).to_string(),
            Value::Raw(text) => text,
        }
    }
}

fn seconds(time: Duration) -> String {
    format!("{:.6}", time.as_secs_f64())
}

fn value(name: &str, report: &Report) -> Value {
    let took = &report.took;
    let connected = took.name + took.connect;
    let ready = connected + took.handshake;
    let text = |text: &str| Value::Text(Some(text.to_owned()));
    match name {
        "content_type" => Value::Text(report.header("content-type")),
        "errormsg" => Value::Text(report.failure.as_ref().map(|failure| failure.text.clone())),
        "exitcode" => Value::Number(report.failure.as_ref().map_or(0, |failure| failure.code as u64)),
        "filename_effective" => Value::Text(report.file.clone()),
        "http_code" | "response_code" => Value::Number(report.status.into()),
        "http_connect" => Value::Number(0), // of a proxy, which the client keeps to itself
        "http_version" => text(match report.version {
            None => "0",
            Some(Version::Http10) => "1",
            Some(Version::Http11) => "1.1",
        }),
        "local_ip" => Value::Text(report.local.map(|at| at.ip().to_string())),
        "local_port" => Value::Number(report.local.map_or(0, |at| at.port().into())),
        "method" => text(&report.method),
        "num_connects" => Value::Number(report.connects),
        "num_headers" => Value::Number(report.headers.len() as u64),
        "num_redirects" => Value::Number(report.redirects),
        "redirect_url" => Value::Text(report.redirect_url.clone()),
        "referer" => Value::Text(report.referer.clone()),
        "remote_ip" => Value::Text(report.remote.map(|at| at.ip().to_string())),
        "remote_port" => Value::Number(report.remote.map_or(0, |at| at.port().into())),
        "scheme" => text(report.scheme),
        "size_download" => Value::Number(report.size_download),
        "size_header" => Value::Number(report.size_header),
        "size_request" => Value::Number(report.size_request),
        "size_upload" => Value::Number(report.size_upload),
        "speed_download" => Value::Number(per_second(report.size_download, report.total)),
        "speed_upload" => Value::Number(per_second(report.size_upload, report.total)),
        "time_appconnect" => Value::Seconds(if took.handshake.is_zero() { Duration::ZERO } else { ready }),
        "time_connect" => Value::Seconds(connected),
        "time_namelookup" => Value::Seconds(took.name),
        "time_pretransfer" => Value::Seconds(ready),
        "time_redirect" => Value::Seconds(report.redirected),
        "time_starttransfer" => Value::Seconds(ready + took.first_byte),
        "time_total" => Value::Seconds(report.total),
        "url" => text(&report.url),
        "url_effective" => text(&report.url_effective),
        "urlnum" => Value::Number(report.number as u64),
        "json" => Value::Raw(all(report)),
        "header_json" => Value::Raw(headers(report)),
        other => unreachable!("{other} is no variable with a value"),
    }
}

fn per_second(bytes: u64, time: Duration) -> u64 {
    (bytes as f64 / time.as_secs_f64().max(1e-6)) as u64
}

/// In one line, as curl has it, by name.
fn all(report: &Report) -> String {
    let pair = |name: &&str| format!("\"{name}\":{}", value(name, report).json());
    let pairs: Vec<_> = NAMES[..IN_JSON].iter().map(pair).collect();
    format!("{{{},\"curl_version\":\"windlass/{}\"}}", pairs.join(","), env!("CARGO_PKG_VERSION"))
}

/// Names in lower case, each with all its values.
fn headers(report: &Report) -> String {
    let mut named: Vec<(String, Vec<String>)> = Vec::new();
    for (name, value) in &report.headers {
        let (name, value) = (String::from_utf8_lossy(name).to_lowercase(), String::from_utf8_lossy(value).into_owned());
        match named.iter_mut().find(|(have, _)| *have == name) {
            Some((_, values)) => values.push(value),
            None => named.push((name, vec![value])),
        }
    }
    let lines: Vec<_> = named.iter().map(|(name, values)| format!("{}:{}", json!(name), json!(values))).collect();
    format!("{{{}\n}}", lines.join(",\n"))
}

impl Report {
    fn header(&self, name: &str) -> Option<String> {
        let named = self.headers.iter().find(|(have, _)| have.eq_ignore_ascii_case(name.as_bytes()));
        named.map(|(_, value)| String::from_utf8_lossy(value).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Code;

    fn report() -> Report {
        let mut report = Report::new(1, "a.example", None);
        (report.status, report.version) = (200, Some(Version::Http11));
        report.headers = [("A", "1"), ("b", "\"2\""), ("a", "3")].map(|(n, v)| (n.into(), v.into())).to_vec();
        report.took.connect = Duration::from_micros(1500);
        report
    }

    fn said(format: &str) -> String {
        let words = words(format, &report());
        assert!(words.stderr.is_empty(), "{words:?}");
        String::from_utf8(words.stdout).unwrap()
    }

    #[test]
    fn variables_are_filled_in_and_the_rest_stays() {
        assert_eq!(said("%{HTTP_Code}|%{http_connect}|%{time_connect}|%{urlnum}"), "200|000|0.001500|1");
        assert_eq!(said(r"%x %% \n\t\q ü%{ \"), "%x % \n\t\\q ü%{ \\");
        assert_eq!(said("%header{B}%header{none}"), "\"2\"");
        assert_eq!(said("%{header_json}"), "{\"a\":[\"1\",\"3\"],\n\"b\":[\"\\\"2\\\"\"]\n}");
    }

    #[test]
    fn every_variable_has_a_value_and_all_of_them_are_one_object() {
        for name in NAMES.iter().filter(|name| !matches!(**name, "stdout" | "stderr" | "onerror")) {
            value(name, &report()).plain(name);
        }
        let object: Json = serde_json::from_str(&said("%{json}")).unwrap();
        assert_eq!(object.as_object().unwrap().len(), IN_JSON + 1);
        assert_eq!((&object["http_code"], &object["errormsg"]), (&json!(200), &Json::Null));
        assert!(NAMES[..IN_JSON].is_sorted());
    }

    #[test]
    fn what_is_not_known_is_said_aside() {
        let words = words("a%{nosuch}b%{stderr}c%{stdout}d", &report());
        assert_eq!(words.stdout, b"abd");
        assert_eq!(words.stderr, b"fetch: unknown --write-out variable: 'nosuch'\nc");
    }

    #[test]
    fn what_is_for_failures_is_said_of_failures_only() {
        assert_eq!(said("a%{onerror}b"), "a");
        let mut failed = report();
        failed.over(Some(Failure::new(Code::Connect, "no")));
        assert_eq!(words("a%{onerror}%{exitcode} %{errormsg}", &failed).stdout, b"a7 no");
    }
}
