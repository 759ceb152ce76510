//! One URL, from its first request to the last byte of its answer.
//!
//! ```text
//!     URL ──► Hop ──► Engine::send ──► head ──► 3xx and -L? ──► the next Hop
//!                                       │                            ▲ less what was for the first origin
//!                                       ├── -f and 400 or more: 22   │ a GET, if it was a POST
//!                                       └── body ──► codings undone ──► Sink
//! ```
//!
//! Redirects are followed by curl's rules, not by the library's: a method that was named stays whatever the status says,
//! https may lead to http, and each hop's head is shown.
//! Not here: who sends (`engine`), where bytes go (`sink`).   Next: `sink`, `write_out`.

use std::time::{Duration, Instant};

use windlass::http::{
    CookieJar, Limits, Url,
    decode::{Coding, Decoder},
};

use crate::{
    asked::{Asked, Hop},
    engine::{Answer, Engine, Head},
    failure::{self, Code, Failure},
    flags::Flags,
    progress::Progress,
    report::{self, Report},
    sink::Sink,
};

/// As many codings of one body, one over the other, as curl undoes.
const CODINGS_MAX: usize = 5;

/// What holds for every URL beyond the requests.
#[derive(Debug)]
pub(crate) struct Rules {
    /// How many redirects are followed; none if it is not limited.
    redirects: Redirects,
    max_time: Option<Duration>,
    is_fail: bool,
    /// Whatever is asked, only heads are wanted.
    is_head: bool,
    is_decoded: bool,
    pub(crate) jar: Option<CookieJar>,
}

#[derive(Clone, Copy, Debug)]
enum Redirects {
    Shown,
    Followed { most: Option<u64> },
}

impl Rules {
    pub(crate) fn new(flags: &Flags, jar: Option<CookieJar>) -> Self {
        let most = u64::try_from(flags.max_redirs).ok();
        Self {
            redirects: if flags.location { Redirects::Followed { most } } else { Redirects::Shown },
            max_time: flags.max_time.filter(|limit| !limit.is_zero()),
            is_fail: flags.fail,
            is_head: flags.head,
            is_decoded: flags.compressed && !flags.raw,
            jar,
        }
    }
}

/// Fetches `url`; what it took is in `report`, also if it fails.
///
/// # Errors
/// The first thing that goes wrong.
pub(crate) async fn transfer<E: Engine>(
    engine: &E,
    asked: &Asked,
    rules: &Rules,
    url: &str,
    sink: &mut Sink<'_>,
    report: &mut Report,
) -> Result<(), Failure> {
    let (mut url, mut user) = go_to(url)?;
    let (first, mut becomes_get) = (url.clone(), false);
    loop {
        let left = match rules.max_time {
            None => None,
            Some(limit) => Some(left_of(limit, report.began)?),
        };
        let hop = Hop {
            url: &url,
            is_first_origin: url.origin() == first.origin(),
            is_first_host: url.host() == first.host(),
            user: user.as_deref(),
            becomes_get,
            kept_cookies: rules.jar.as_ref().and_then(|jar| jar.cookies_for(&url)),
        };
        let request = asked.request(&hop);
        report.asks(&request);
        sink.goes_out(&request);
        let opened = engine.opened();
        let sent = engine.send(&request, left).await;
        report.connects += engine.opened() - opened;
        if !sent.as_ref().is_err_and(|failure| matches!(failure.code, Code::Resolve | Code::Connect)) {
            report.reaches(&request);
        }
        let mut answer = match sent {
            Ok(answer) => answer,
            Err(mut failure) => {
                if let Some(head) = failure.head.take() {
                    report.hears(&head);
                    sink.comes_in(&head)?;
                }
                return Err(failure);
            }
        };
        report.hears(answer.head());
        sink.comes_in(answer.head())?;
        keep_cookies(rules, answer.head(), &url);

        let location = location(answer.head());
        let next = location.as_deref().map(|location| led(&url, location));
        match (next, rules.redirects) {
            (Some(next), Redirects::Followed { most }) => {
                let (len, read) = let_go(&mut answer).await;
                let end = answer.end();
                let is_the_last = most == Some(report.redirects);
                if read.is_err() || is_the_last {
                    report.size_download += len;
                    report.ends(&end);
                }
                read?;
                sink.trailers(&end.trailers)?;
                if is_the_last {
                    report.redirect_url = next.ok().map(|(next, _)| report::whole(&next));
                    let text = format!("more than {} redirects", report.redirects);
                    return Err(Failure::new(Code::TooManyRedirects, text));
                }
                let (next, next_user) = next?;
                becomes_get |= is_get_from_now_on(answer.head().status, request.method, request.body.is_some());
                report.leaves(&end);
                user = next_user.or_else(|| user.filter(|_| next.origin() == url.origin()));
                url = next;
                continue;
            }
            (Some(Ok((next, _))), Redirects::Shown) => report.redirect_url = Some(report::whole(&next)),
            (Some(Err(_)), Redirects::Shown) => report.redirect_url = location,
            (None, _) => {}
        }
        if rules.is_fail && answer.head().status >= 400 {
            let status = answer.head().status;
            return Err(Failure::new(Code::HttpReturned, format!("the requested URL returned error: {status}")));
        }
        let is_wanted = !rules.is_head || request.method == "HEAD";
        let read = if is_wanted { read_body(&mut answer, rules, sink, report).await } else { Ok(()) };
        let end = answer.end();
        report.ends(&end);
        read?;
        sink.trailers(&end.trailers)?;
        let is_kept = answer.head().status == 304; // whoever has a copy of it keeps that
        return if is_kept { Ok(()) } else { sink.ends() };
    }
}

/// Where a text leads that somebody typed: `http://` is understood, and user information is taken out.
fn go_to(text: &str) -> Result<(Url, Option<String>), Failure> {
    if text.starts_with('/') {
        return Err(Failure::new(Code::Url, "url: it begins with a path"));
    }
    let whole = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    if whole.bytes().any(|byte| byte <= b' ' || byte == 0x7f) {
        return Err(Failure::new(Code::Url, "url: a space or a control character; encode it first"));
    }
    let whole = lower_encoded(&whole);
    let (url, credentials) = Url::parse_with_credentials(&whole).map_err(|error| failure::of_url(&error, &whole))?;
    Ok((url, credentials.map(|who| format!("{}:{}", who.user(), who.password()))))
}

/// What is not ASCII behind the host, by its numbers: as a URL would have it, but in curl's small letters.
fn lower_encoded(text: &str) -> String {
    let authority = text.find("//").filter(|&at| at == 0 || text[..at].ends_with(':')).map(|at| at + 2);
    let (start, rest) = text.split_at(authority.unwrap_or(0));
    let (host, rest) = rest.split_at(authority.map_or(0, |_| rest.find(['/', '?', '#']).unwrap_or(rest.len())));
    format!("{start}{host}{}", lower_encoded_bytes(rest.as_bytes()))
}

fn lower_encoded_bytes(bytes: &[u8]) -> String {
    let encoded = |&byte: &u8| if byte < 0x80 { char::from(byte).to_string() } else { format!("%{byte:02x}") };
    bytes.iter().map(encoded).collect()
}

/// Where a redirect points; none if the answer is none, or points nowhere.
fn location(head: &Head) -> Option<String> {
    let location = head.get("location").filter(|location| !location.is_empty())?;
    let text = std::str::from_utf8(location).map_or_else(|_| lower_encoded_bytes(location), str::to_owned);
    (300..400).contains(&head.status).then_some(text)
}

/// Where a redirect leads, and as whom.
fn led(from: &Url, location: &str) -> Result<(Url, Option<String>), Failure> {
    let (page, query) = location.split_at(location.find('?').unwrap_or(location.len()));
    let location = format!("{page}{}", query.replace(' ', "+")); // as a form has it, and curl
    if location.contains("://") && !location.starts_with(['/', '?', '#', '.']) {
        return go_to(&location.replace(' ', "%20"));
    }
    Ok((from.join(&lower_encoded(&location)).map_err(|error| failure::of_url(&error, &location))?, None))
}

/// curl's rule: a POST becomes a GET at 301 and 302, anything but HEAD at 303.
fn is_get_from_now_on(status: u16, method: &str, has_body: bool) -> bool {
    match status {
        301 | 302 => has_body || method == "POST",
        303 => method != "HEAD",
        _ => false,
    }
}

fn left_of(limit: Duration, began: Instant) -> Result<Duration, Failure> {
    let left = limit.checked_sub(began.elapsed()).filter(|left| !left.is_zero());
    left.ok_or_else(|| Failure::new(Code::TimedOut, format!("timed out after {limit:?}")))
}

fn keep_cookies(rules: &Rules, head: &Head, url: &Url) {
    let Some(jar) = &rules.jar else { return };
    for cookie in head.get_all("set-cookie") {
        let _ = jar.set(url, &String::from_utf8_lossy(cookie)); // what is not that server's to set is not kept
    }
}

/// Reads the body of a redirect, which nobody wants, so that its connection can stay; its length. One that is shorter than
/// its head says is the connection's end and no more, but chunks that break off are an error: so says curl.
async fn let_go<A: Answer>(answer: &mut A) -> (u64, Result<(), Failure>) {
    let (mut len, has_length) = (0, answer.head().get("content-length").is_some());
    if answer.head().ends_its_connection() {
        return (len, Ok(()));
    }
    loop {
        match answer.chunk().await {
            Ok(Some(piece)) => len += piece.len() as u64,
            Err(failure) if failure.code == Code::Partial && has_length => return (len, Ok(())),
            end => return (len, end.map(drop)),
        }
    }
}

async fn read_body<A: Answer>(
    answer: &mut A,
    rules: &Rules,
    sink: &mut Sink<'_>,
    report: &mut Report,
) -> Result<(), Failure> {
    let length = answer.head().get("content-length").and_then(|value| std::str::from_utf8(value).ok()?.parse().ok());
    let has_none = matches!(answer.head().status, 204 | 304) || report.method == "HEAD" || length == Some(0);
    let mut undo = if rules.is_decoded && !has_none { decoders(answer.head())? } else { Vec::new() };
    let mut progress = Progress::new(sink, length);
    while let Some(piece) = answer.chunk().await? {
        report.size_download += piece.len() as u64;
        progress.add(piece.len() as u64);
        decode(&mut undo, piece, &mut |bytes| sink.body(bytes))?;
    }
    undo.iter().try_for_each(Decoder::finish).map_err(|error| Failure::new(Code::Coding, error.to_string()))
}

/// What undoes the codings of a body, the last of them first.
fn decoders(head: &Head) -> Result<Vec<Decoder>, Failure> {
    let mut limits = Limits::default();
    (limits.body_max, limits.ratio_max) = (u64::MAX, u64::MAX);
    let named = head.get_all("content-encoding").flat_map(|line| line.split(|&byte| byte == b','));
    let named =
        named.map(<[u8]>::trim_ascii).filter(|name| !name.is_empty() && !name.eq_ignore_ascii_case(b"identity"));
    let decoder = |name: &[u8]| {
        let unknown = || Failure::new(Code::Coding, format!("no content coding of ours: {}", name.escape_ascii()));
        let coding = Coding::named(name).ok_or_else(unknown)?;
        Decoder::new(coding, &limits).map_err(|error| Failure::new(Code::Coding, error.to_string()))
    };
    let mut decoders = named.map(decoder).collect::<Result<Vec<_>, _>>()?;
    if decoders.len() > CODINGS_MAX {
        return Err(Failure::new(Code::Coding, format!("more than {CODINGS_MAX} content codings")));
    }
    decoders.reverse();
    Ok(decoders)
}

/// Has `bytes` pass through the decoders that are left.
fn decode(
    undo: &mut [Decoder],
    mut bytes: &[u8],
    take: &mut impl FnMut(&[u8]) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let Some((first, rest)) = undo.split_first_mut() else { return take(bytes) };
    loop {
        let step = first.decode(bytes).map_err(|error| Failure::new(Code::Coding, error.to_string()))?;
        bytes = &bytes[step.consumed..];
        if step.data.is_empty() && bytes.is_empty() {
            return Ok(());
        }
        decode(rest, step.data, &mut *take)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_typed_needs_no_scheme_and_may_say_who_asks() {
        let gone = |text| go_to(text).map(|(url, user)| (url.to_string(), user)).map_err(|failure| failure.code as u8);
        assert_eq!(gone("a.example/x"), Ok(("http://a.example/x".to_owned(), None)));
        assert_eq!(gone("me:p%40w@a.example"), Ok(("http://a.example/".to_owned(), Some("me:p@w".to_owned()))));
        assert_eq!(gone("a.example/ü?ü"), Ok(("http://a.example/%c3%bc?%c3%bc".to_owned(), None)));
        assert_eq!(gone("http://a b/"), Err(3));
        assert_eq!(gone("http://"), Err(3));
        assert_eq!(gone("://a"), Err(3));
        assert_eq!(gone("/etc/hostname"), Err(3));
        assert_eq!(gone("gopher://a/"), Err(1));
    }

    #[test]
    fn a_location_may_be_anything_that_browsers_take() {
        let from = Url::parse("http://a.example/b/c").unwrap();
        let led = |to| led(&from, to).map(|(url, user)| (url.to_string(), user)).map_err(|failure| failure.code as u8);
        assert_eq!(led("d e"), Ok(("http://a.example/b/d%20e".to_owned(), None)));
        assert_eq!(led("/?u=http://b/"), Ok(("http://a.example/?u=http://b/".to_owned(), None)));
        assert_eq!(led("http://u:p@b/x y"), Ok(("http://b/x%20y".to_owned(), Some("u:p".to_owned()))));
        assert_eq!(led("/a b?c d"), Ok(("http://a.example/a%20b?c+d".to_owned(), None)));
        assert_eq!(led("http://b/a b?c d"), Ok(("http://b/a%20b?c+d".to_owned(), None)));
        assert_eq!(led("mailto:me"), Err(1));
        assert_eq!(led("/ü"), Ok(("http://a.example/%c3%bc".to_owned(), None)));
        assert_eq!(led("//xn--tda.example?ü"), Ok(("http://xn--tda.example/?%c3%bc".to_owned(), None)));
        assert_eq!(led("foo://b/"), Err(1));
    }

    #[test]
    fn codings_are_undone_from_the_last_to_the_first() {
        let head = |value: &str| Head {
            status: 200,
            version: Default::default(),
            headers: vec![(b"Content-Encoding".to_vec(), value.as_bytes().to_vec())],
            bytes: vec![],
            remote: None,
            local: None,
        };
        assert_eq!(decoders(&head("identity")).unwrap().len(), 0);
        assert_eq!(decoders(&head("gzip, br")).unwrap().len(), 2);
        assert!(decoders(&head("gzip, nosuch")).is_err());
        assert!(decoders(&head("br,br,br,br,br,br")).is_err());
    }
}
