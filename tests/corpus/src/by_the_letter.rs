//! A second reader of replies, and of references, by the letter of the grammar.
//!
//! Two readers that were written apart seldom make the same mistake. This one has the whole stream before it, cuts it at its
//! lines, and copies what it likes; it knows no pieces, no limits and no speed. So it fits a page that can be held beside
//! RFC 9112, and a search with random bytes has something to compare with.
//!
//! ```text
//!   stream ──► lines up to the empty one ──► status line, headers ──► which of the eight rules (6.3) ──► body
//! ```
//!
//! Where the RFC lets a recipient choose, it chooses as the table in `net/src/http/mod.rs` says. [`join`] is the same for a
//! reference: the steps of RFC 3986 5.2, one after the other, which know nothing of http.
//! Next: `net/tests/corpus/` and `net/fuzz/`, where the two are compared.

/// What a stream from a server is, if the connection ends in good order behind it.
///
/// ```
/// use windlass_corpus::by_the_letter::{Verdict, read};
/// assert_eq!(read(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell", "GET"), Verdict::Short);
/// assert_eq!(read(b"HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\nhello", "GET"), Verdict::Bad);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Not HTTP/1.1, or to be read in two ways.
    Bad,
    /// Good so far, and not all there.
    Short,
    /// A complete reply.
    Reply(Reply),
}

/// What is in a complete reply.
///
/// ```
/// use windlass_corpus::by_the_letter::{Verdict, read};
/// let Verdict::Reply(reply) = read(b"HTTP/1.1 200 OK\r\nA: b\r\n\r\nhello", "GET") else { panic!() };
/// assert_eq!((reply.status, reply.framing, reply.kept), (200, "close", false));
/// assert_eq!(reply.headers, [(b"A".to_vec(), b"b".to_vec())]);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// Of the final reply.
    pub status: u16,
    /// Its headers, spaces around the values taken off.
    pub headers: Vec<(Vec<u8>, Vec<u8>)>,
    /// `none`, `length`, `chunked` or `close`.
    pub framing: &'static str,
    /// The body, framing undone.
    pub body: Vec<u8>,
    /// What came behind a chunked body.
    pub trailers: Vec<(Vec<u8>, Vec<u8>)>,
    /// Whether the connection may carry another exchange.
    pub kept: bool,
    /// How many bytes of the stream follow the reply.
    pub left: usize,
}

/// Reads the reply to a request of this method.
///
/// ```
/// use windlass_corpus::by_the_letter::{Verdict, read};
/// let Verdict::Reply(reply) = read(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "HEAD") else { panic!() };
/// assert_eq!((reply.framing, reply.kept), ("none", true));
/// ```
pub fn read(stream: &[u8], method: &str) -> Verdict {
    reply(stream, method).map_or_else(|verdict| verdict, Verdict::Reply)
}

type Lines<'a> = Vec<&'a [u8]>;
type Pairs = Vec<(Vec<u8>, Vec<u8>)>;

fn reply(stream: &[u8], method: &str) -> Result<Reply, Verdict> {
    let (minor, status, headers, behind) = last_head(stream)?;
    let lengths = list(&headers, "content-length");
    let codings: Vec<_> = list(&headers, "transfer-encoding").into_iter().filter(|coding| !coding.is_empty()).collect();
    let (has_length, has_coding) = (has(&headers, "content-length"), has(&headers, "transfer-encoding"));
    let (framing, body, trailers, left);
    if method == "HEAD" || matches!(status, 204 | 304) {
        (framing, body, trailers, left) = ("none", Vec::new(), Vec::new(), behind);
    } else if has_coding {
        if has_length {
            return Err(Verdict::Bad);
        }
        let (last, before) = codings.split_last().ok_or(Verdict::Bad)?;
        let known = ["gzip", "x-gzip", "deflate", "compress", "x-compress"];
        if !before.iter().all(|coding| known.contains(&coding.as_str())) {
            return Err(Verdict::Bad);
        }
        if last == "chunked" {
            framing = "chunked";
            (body, trailers, left) = chunks(behind)?;
        } else if known.contains(&last.as_str()) {
            (framing, body, trailers, left) = ("close", behind.to_vec(), Vec::new(), &b""[..]);
        } else {
            return Err(Verdict::Bad);
        }
    } else if has_length {
        let length = decimal(&lengths[0]).ok_or(Verdict::Bad)?;
        if lengths.iter().any(|other| decimal(other) != Some(length)) {
            return Err(Verdict::Bad);
        }
        let (of_body, behind) =
            usize::try_from(length).ok().and_then(|n| behind.split_at_checked(n)).ok_or(Verdict::Short)?;
        (framing, body, trailers, left) = ("length", of_body.to_vec(), Vec::new(), behind);
    } else {
        (framing, body, trailers, left) = ("close", behind.to_vec(), Vec::new(), &b""[..]);
    }
    let options = list(&headers, "connection");
    let says = |option: &str| options.iter().any(|have| have == option);
    let kept = framing != "close"
        && !says("close")
        && (minor == 1 || says("keep-alive"))
        && (!has_coding || (minor == 1 && !has_length))
        && matches!(left, b"" | b"\r\n");
    Ok(Reply { status, headers, framing, body, trailers, kept, left: left.len() })
}

/// Minor version, status and headers of the reply behind those that are interim, and what is behind its head.
fn last_head(mut stream: &[u8]) -> Result<(u8, u16, Pairs, &[u8]), Verdict> {
    loop {
        let (lines, behind) = head(stream)?;
        let (minor, status) = status_line(lines[0]).ok_or(Verdict::Bad)?;
        let headers = fields(&lines[1..])?;
        match status {
            101 => return Err(Verdict::Bad), // nobody asked for it
            100..200 => stream = behind,
            _ => return Ok((minor, status, headers, behind)),
        }
    }
}

/// The lines up to the empty one, without their ends, and what is behind it.
fn head(stream: &[u8]) -> Result<(Lines<'_>, &[u8]), Verdict> {
    if !stream.starts_with(b"HTTP/1.") && !b"HTTP/1.".starts_with(stream) {
        return Err(Verdict::Bad);
    }
    let (mut lines, mut rest) = (Vec::new(), stream);
    loop {
        let end = rest.iter().position(|byte| *byte == b'\n').ok_or(Verdict::Short)?;
        let (line, behind) = (&rest[..end], &rest[end + 1..]);
        rest = behind;
        if matches!(line, b"" | b"\r") {
            let lines: Option<Lines> =
                lines.into_iter().chain([line]).map(|line: &[u8]| line.strip_suffix(b"\r")).collect();
            let mut lines = lines.ok_or(Verdict::Bad)?; // a line of LF alone
            lines.pop();
            return if lines.is_empty() { Err(Verdict::Bad) } else { Ok((lines, rest)) };
        }
        lines.push(line);
    }
}

/// `HTTP/1.1 200 OK`: the minor version and the code.
fn status_line(line: &[u8]) -> Option<(u8, u16)> {
    let minor = [b'0', b'1'].iter().position(|minor| line.get(7) == Some(minor))? as u8;
    let [b' ', code @ ..] = line.get(8..)? else { return None };
    let (code, reason) = code.split_at_checked(3)?;
    let is_reason = matches!(reason, [] | [b' ', ..]) && reason.iter().all(|byte| is_text(*byte));
    let code = decimal(&String::from_utf8_lossy(code)).filter(|code| (100..600).contains(code))?;
    is_reason.then_some((minor, code as u16))
}

/// HTAB, SP, VCHAR, obs-text.
fn is_text(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7f)
}

/// `token ":" OWS value OWS`, each.
fn fields(lines: &[&[u8]]) -> Result<Pairs, Verdict> {
    let field = |line: &&[u8]| {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let (name, value) = (&line[..colon], &line[colon + 1..]);
        let is_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
        let is_field = !name.is_empty() && name.iter().all(is_token) && value.iter().all(|byte| is_text(*byte));
        is_field.then(|| (name.to_vec(), trim(value).to_vec()))
    };
    lines.iter().map(field).collect::<Option<_>>().ok_or(Verdict::Bad)
}

fn trim(value: &[u8]) -> &[u8] {
    let is_more = |byte: &u8| !matches!(byte, b' ' | b'\t');
    let (Some(start), Some(end)) = (value.iter().position(is_more), value.iter().rposition(is_more)) else {
        return b"";
    };
    &value[start..=end]
}

fn has(headers: &Pairs, name: &str) -> bool {
    headers.iter().any(|(have, _)| have.eq_ignore_ascii_case(name.as_bytes()))
}

/// The elements of all headers of this name, in lower case.
fn list(headers: &Pairs, name: &str) -> Vec<String> {
    let lines = headers.iter().filter(|(have, _)| have.eq_ignore_ascii_case(name.as_bytes()));
    let elements = lines.flat_map(|(_, value)| value.split(|byte| *byte == b',').map(trim));
    elements.map(|element| element.iter().map(|byte| char::from(byte.to_ascii_lowercase())).collect()).collect()
}

/// 1*DIGIT that fits 64 bits.
fn decimal(text: &str) -> Option<u64> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
}

/// The body of chunks at the start of `stream`, its trailers, and what is behind it.
fn chunks(stream: &[u8]) -> Result<(Vec<u8>, Pairs, &[u8]), Verdict> {
    let (mut body, mut rest) = (Vec::new(), stream);
    loop {
        let digits = rest.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
        match (digits, rest.get(digits)) {
            (17.., _) | (0, Some(_)) => return Err(Verdict::Bad),
            (_, None) => return Err(Verdict::Short),
            _ => {}
        }
        let size = u64::from_str_radix(&String::from_utf8_lossy(&rest[..digits]), 16).map_err(|_| Verdict::Bad)?;
        rest = &rest[digits..];
        let spaces = rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
        rest = &rest[spaces..];
        if rest.first() == Some(&b';') {
            rest = &rest[rest.iter().take_while(|byte| is_text(**byte)).count()..];
        }
        rest = line_end(rest)?;
        if size == 0 {
            break;
        }
        let (data, behind) = usize::try_from(size).ok().and_then(|n| rest.split_at_checked(n)).ok_or(Verdict::Short)?;
        body.extend_from_slice(data);
        rest = line_end(behind)?;
    }
    let mut lines = Vec::new();
    loop {
        // An empty line is known by its first byte.
        if rest.first() == Some(&b'\r') && lines.is_empty() {
            return Ok((body, Vec::new(), line_end(rest)?));
        }
        let end = rest.iter().position(|byte| *byte == b'\n').ok_or(Verdict::Short)?;
        let line = rest[..end].strip_suffix(b"\r").ok_or(Verdict::Bad)?;
        rest = &rest[end + 1..];
        if line.is_empty() {
            return Ok((body, fields(&lines)?, rest));
        }
        lines.push(line);
    }
}

fn line_end(rest: &[u8]) -> Result<&[u8], Verdict> {
    match rest {
        [b'\r', b'\n', behind @ ..] => Ok(behind),
        [] | [b'\r'] => Err(Verdict::Short),
        _ => Err(Verdict::Bad),
    }
}

/// What `reference` is, read at `base`: the text of a URI of any scheme, as RFC 3986 5.2.2 puts it together. None if what
/// comes of it is no URI: without an authority a path may not begin with two slashes (3.3).
///
/// ```
/// use windlass_corpus::by_the_letter::join;
/// assert_eq!(join("http://a/b/c/d;p?q", "../g#s").as_deref(), Some("http://a/b/g#s"));
/// assert_eq!(join("http://a/b/c/d;p?q", "g:h").as_deref(), Some("g:h"));
/// assert_eq!(join("http://a/b/c/d;p?q", "g:/.//h"), None); // which is not `g://h`
/// ```
pub fn join(base: &str, reference: &str) -> Option<String> {
    let (base, given) = (Parts::of(base), Parts::of(reference));
    let (authority, path, query);
    if given.scheme.is_some() || given.authority.is_some() {
        (authority, path, query) = (given.authority, remove_dot_segments(given.path), given.query);
    } else if given.path.is_empty() {
        (authority, path, query) = (base.authority, base.path.to_owned(), given.query.or(base.query));
    } else if given.path.starts_with('/') {
        (authority, path, query) = (base.authority, remove_dot_segments(given.path), given.query);
    } else {
        let folder = match base.path.rfind('/') {
            Some(last) => &base.path[..=last],
            None if base.authority.is_some() => "/",
            None => "",
        };
        let merged = format!("{folder}{}", given.path);
        (authority, path, query) = (base.authority, remove_dot_segments(&merged), given.query);
    }
    if authority.is_none() && path.starts_with("//") {
        return None;
    }
    let part = |begin: &str, part: Option<&str>, end: &str| part.map(|part| format!("{begin}{part}{end}"));
    let scheme = part("", given.scheme.or(base.scheme), ":");
    let parts = [scheme, part("//", authority, ""), Some(path), part("?", query, ""), part("#", given.fragment, "")];
    Some(parts.into_iter().flatten().collect())
}

/// The five parts of a reference (RFC 3986 3).
struct Parts<'a> {
    scheme: Option<&'a str>,
    authority: Option<&'a str>,
    path: &'a str,
    query: Option<&'a str>,
    fragment: Option<&'a str>,
}

impl<'a> Parts<'a> {
    /// From the end to the beginning, as in the expression of RFC 3986 B; a scheme must be one (3.1).
    fn of(text: &'a str) -> Parts<'a> {
        let (text, fragment) = text.split_once('#').map_or((text, None), |(text, part)| (text, Some(part)));
        let (text, query) = text.split_once('?').map_or((text, None), |(text, part)| (text, Some(part)));
        let is_scheme = |text: &str| {
            text.starts_with(|first: char| first.is_ascii_alphabetic())
                && text.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
        };
        let scheme = text.split_once(':').filter(|(scheme, _)| is_scheme(scheme));
        let (scheme, text) = scheme.map_or((None, text), |(part, text)| (Some(part), text));
        let (authority, path) = match text.strip_prefix("//") {
            Some(rest) => {
                let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
                (Some(authority), path)
            }
            None => (None, text),
        };
        Parts { scheme, authority, path, query, fragment }
    }
}

/// RFC 3986 5.2.4, steps A to E of its second point.
fn remove_dot_segments(path: &str) -> String {
    let (mut input, mut output) = (path, String::new());
    while !input.is_empty() {
        if let Some(rest) = input.strip_prefix("../").or_else(|| input.strip_prefix("./")) {
            input = rest;
        } else if input.starts_with("/./") || input == "/." {
            input = if input == "/." { "/" } else { &input[2..] };
        } else if input.starts_with("/../") || input == "/.." {
            input = if input == "/.." { "/" } else { &input[3..] };
            output.truncate(output.rfind('/').unwrap_or(0));
        } else if matches!(input, "." | "..") {
            input = "";
        } else {
            let slash = input.char_indices().skip(1).find(|(_, c)| *c == '/');
            let (segment, rest) = input.split_at(slash.map_or(input.len(), |(at, _)| at));
            output.push_str(segment);
            input = rest;
        }
    }
    output
}
