//! Cookies out of a file.
//!
//! ```text
//!     .example.com  TRUE  /  FALSE  1900000000  name  value     ──►  the jar
//!     domain     with all  path  https  until     
//!                below it        only   (seconds since 1970; 0: this session)
//! ```
//!
//! That is the form in which curl and browsers of old keep them; a line with `#HttpOnly_` before it is one of these, too,
//! and any other `#` begins a comment. A file that is not there is an empty one, as for curl.
//! Next: `transfer`, where servers add to them.

use std::{
    fs,
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

use windlass::http::{CookieJar, Url};

/// A jar with what is in the files. Lines that make no sense are left out.
pub(crate) fn read(paths: impl Iterator<Item = impl AsRef<Path>>) -> CookieJar {
    let jar = CookieJar::new();
    for path in paths {
        let text = fs::read(path).unwrap_or_default();
        for (url, cookie) in String::from_utf8_lossy(&text).lines().filter_map(parse) {
            let _ = jar.set(&url, &cookie); // a public suffix, say
        }
    }
    jar
}

/// Who would have sent it, and how.
fn parse(line: &str) -> Option<(Url, String)> {
    let line = line.strip_prefix("#HttpOnly_").unwrap_or(line);
    let fields: Vec<_> = line.split('\t').collect();
    let &[domain, below, path, secure, until, name, value] = &fields[..] else { return None };
    let host = domain.trim_start_matches('.');
    let scheme = if secure == "TRUE" { "https" } else { "http" };
    let url = Url::parse(&format!("{scheme}://{host}{path}")).ok()?;
    let mut cookie = format!("{name}={value}; Path={path}");
    if below == "TRUE" {
        cookie += &format!("; Domain={host}");
    }
    if secure == "TRUE" {
        cookie += "; Secure";
    }
    let until: i64 = until.parse().ok()?;
    if until != 0 {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs() as i64);
        cookie += &format!("; Max-Age={}", until.saturating_sub(now));
    }
    (!line.starts_with('#')).then_some((url, cookie))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_cookie_of_a_domain() {
        let told = |line: &str| parse(&line.replace(' ', "\t")).map(|(url, cookie)| format!("{url} {cookie}"));
        assert_eq!(
            told(".example.com TRUE /a TRUE 0 n v").as_deref(),
            Some("https://example.com/a n=v; Path=/a; Domain=example.com; Secure")
        );
        assert_eq!(told("#HttpOnly_a.example FALSE / FALSE 0 n v").as_deref(), Some("http://a.example/ n=v; Path=/"));
        assert_eq!(told("# a comment"), None);
        assert_eq!(told("# FALSE / FALSE 0 n v"), None);
    }
}
