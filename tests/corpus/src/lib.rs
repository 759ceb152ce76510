//! What HTTP peers send, good and bad, and what must come of it.
//!
//! The facts are files, one each, that can be read without knowing Rust; this crate is what reads them. So every test that
//! can feed bytes to something uses the same ones:
//!
//! ```text
//!   replies/*.txt      ──► replies()    ──┐                   ┌── net/tests/corpus/       the parsers, cut everywhere
//!   requests/*.txt     ──► requests()   ──┤                   ├── tests/http_client.rs    the client, through a socket
//!   urls/*.txt         ──► urls()       ──┤                   │
//!   joins/*.txt        ──► joins()      ──┼── name, bytes, ───┼── tests/http_corpus.rs    the client, from answer to answer
//!   sending/*.txt      ──► sendings()   ──┤   outcome         │
//!   redirects/*.txt    ──► redirects()  ──┤                   │
//!   retry_after/*.txt  ──► waits()      ──┘                   └── net/fuzz/               where the search begins
//! ```
//!
//! The form of a file is told in `README.md` beside this crate. A file that is not of that form is a mistake, and reading it
//! panics with its name.
//!
//! Not here: a judgement about any of it, but for [`by_the_letter`], a second reader to compare the first with.
//! Next: any of the files.

pub mod by_the_letter;

use std::fs;
use std::path::Path;

/// What a server sends, and what a client must make of it.
///
/// ```
/// let replies = windlass_corpus::replies();
/// let one = replies.iter().find(|reply| reply.name == "length_twice_and_different").unwrap();
/// assert_eq!(one.method, "GET");
/// assert!(one.stream.starts_with(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n"));
/// assert_eq!(one.outcome, Err("protocol".to_owned()));
/// ```
#[derive(Clone, Debug)]
pub struct Reply {
    /// The name of the file, without `.txt`.
    pub name: String,
    /// The method of the request that it answers.
    pub method: String,
    /// What the server sends before it closes in good order.
    pub stream: Vec<u8>,
    /// A complete reply, or the name of an error.
    pub outcome: Result<Complete, String>,
    /// All headers of the final reply; empty if the file does not say.
    pub headers: Vec<(Vec<u8>, Vec<u8>)>,
    /// All trailers; empty if the file does not say.
    pub trailers: Vec<(Vec<u8>, Vec<u8>)>,
}

/// A reply that is complete.
///
/// ```
/// let complete = windlass_corpus::replies().into_iter().find_map(|reply| reply.outcome.ok()).unwrap();
/// assert!((200..600).contains(&complete.status));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Complete {
    /// Of the final reply.
    pub status: u16,
    /// `none`, `length`, `chunked` or `close`.
    pub framing: String,
    /// Whether the connection may carry another exchange, as far as these bytes tell.
    pub kept: bool,
    /// The body, framing undone.
    pub body: Vec<u8>,
    /// How many bytes follow the reply.
    pub left: usize,
}

/// What a client sends, and what a server must make of it.
///
/// ```
/// assert!(windlass_corpus::requests().iter().any(|request| request.outcome == Err("protocol".to_owned())));
/// ```
#[derive(Clone, Debug)]
pub struct Request {
    /// The name of the file, without `.txt`.
    pub name: String,
    /// What the client sends before it closes in good order.
    pub stream: Vec<u8>,
    /// Method, target, framing, and whether the connection is kept, as in `GET / none kept`; or the name of an error.
    pub outcome: Result<String, String>,
}

/// What somebody calls a URL, and what it names.
///
/// ```
/// assert!(windlass_corpus::urls().iter().any(|url| url.outcome.is_none()));
/// ```
#[derive(Clone, Debug)]
pub struct Url {
    /// The name of the file, without `.txt`.
    pub name: String,
    /// What is to be parsed; UTF-8, not always ASCII.
    pub text: String,
    /// The value of Host and the target, as in `example.com:81 /`; none if it must be refused.
    pub outcome: Option<String>,
}

/// What a caller asks a client to send, and what must go out.
///
/// ```
/// assert!(windlass_corpus::sendings().iter().any(|sending| sending.outcome.is_none()));
/// ```
#[derive(Clone, Debug)]
pub struct Sending {
    /// The name of the file, without `.txt`.
    pub name: String,
    /// The method, as bytes would be if they were text.
    pub method: String,
    /// Where to.
    pub url: String,
    /// The caller's headers, in their order.
    pub headers: Vec<(String, Vec<u8>)>,
    /// What body is announced: `none`, `chunked` or a length.
    pub content: String,
    /// The head on the wire; none if it must be refused.
    pub outcome: Option<Vec<u8>>,
}

/// A reference, and what it is on a page.
///
/// ```
/// let joins = windlass_corpus::joins();
/// let dots = joins.iter().find(|join| join.reference == "../g").unwrap();
/// assert_eq!((dots.base.as_str(), dots.outcome.as_deref()), ("http://a/b/c/d;p?q", Some("http://a/b/g")));
/// ```
#[derive(Clone, Debug)]
pub struct Join {
    /// The name of the file, without `.txt`.
    pub name: String,
    /// The URL of the page.
    pub base: String,
    /// What is to be joined; UTF-8, not always ASCII.
    pub reference: String,
    /// The whole URL, with its fragment; none if it must be refused.
    pub outcome: Option<String>,
    /// The same as browsers read it: another one only where the file says so.
    pub of_browsers: Option<String>,
}

/// A request that is answered by redirects, and what must go out then.
///
/// ```
/// let redirects = windlass_corpus::redirects();
/// assert!(redirects.iter().all(|redirect| redirect.answers.len() > 0));
/// ```
#[derive(Clone, Debug)]
pub struct Redirect {
    /// The name of the file, without `.txt`.
    pub name: String,
    /// The method of the first request.
    pub method: String,
    /// Where it goes. Its port, as all of the file, is 8001 or 8002, or 8443 with https: stand-ins for any three.
    pub url: String,
    /// The caller's headers, in their order.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The caller's body.
    pub body: Option<Vec<u8>>,
    /// How many redirects may be followed.
    pub limit: u32,
    /// Names of headers that are credentials, too.
    pub credentials: Vec<String>,
    /// Whether https may become http.
    pub may_downgrade: bool,
    /// What is answered, one after the other, whoever is asked: heads of messages without bodies. Then 200.
    pub answers: Vec<Vec<u8>>,
    /// The status of the answer in the end, or the name of an error.
    pub outcome: Result<u16, String>,
    /// Whose answer that is, with the fragment, if the file says so.
    pub arrives: Option<String>,
    /// All that goes out behind the first request, to whomever.
    pub sent: Vec<u8>,
}

/// A value of Retry-After, and for how long it asks.
///
/// ```
/// assert!(windlass_corpus::waits().iter().any(|wait| wait.value == b"7" && wait.seconds == Some(7)));
/// ```
#[derive(Clone, Debug)]
pub struct Wait {
    /// The name of the file, without `.txt`.
    pub name: String,
    /// When it is read, in seconds since 1970 (UTC).
    pub now: u64,
    /// The value.
    pub value: Vec<u8>,
    /// How many seconds it asks for; none if it says nothing that is to be heeded.
    pub seconds: Option<u64>,
}

/// Every file of `replies/`, by name.
///
/// # Panics
/// If a file is not of the form that the README tells; so do the others.
///
/// ```
/// assert!(windlass_corpus::replies().len() > 100);
/// ```
pub fn replies() -> Vec<Reply> {
    all("replies", |file| Reply {
        outcome: file.outcome(|expect| {
            let [status, framing, connection] = file.words(expect);
            Complete {
                status: status.parse().unwrap_or_else(|_| file.wrong("a status is a number")),
                framing: framing.to_owned(),
                kept: file.is_kept(connection),
                body: file.get("body").map_or_else(Vec::new, |text| file.bytes_of(text)),
                left: file.get("left").map_or(0, |n| n.parse().unwrap_or_else(|_| file.wrong("left is a number"))),
            }
        }),
        headers: file.pairs("header", ": "),
        trailers: file.pairs("trailer", ": "),
        method: file.get("method").unwrap_or("GET").to_owned(),
        stream: file.bytes_of(&file.content),
        name: file.name,
    })
}

/// Every file of `requests/`, by name.
///
/// ```
/// assert!(windlass_corpus::requests().len() > 20);
/// ```
pub fn requests() -> Vec<Request> {
    all("requests", |file| Request {
        outcome: file.outcome(|expect| {
            let [_method, _target, _framing, connection] = file.words(expect);
            file.is_kept(connection);
            file.text_of(expect)
        }),
        stream: file.bytes_of(&file.content),
        name: file.name,
    })
}

/// Every file of `urls/`, by name.
///
/// ```
/// assert!(windlass_corpus::urls().len() > 20);
/// ```
pub fn urls() -> Vec<Url> {
    all("urls", |file| Url {
        outcome: (file.expect() != "refused").then(|| file.words::<2>(file.expect()).join(" ")),
        text: file.text_of(&file.content),
        name: file.name,
    })
}

/// Every file of `sending/`, by name.
///
/// ```
/// assert!(windlass_corpus::sendings().len() > 20);
/// ```
pub fn sendings() -> Vec<Sending> {
    all("sending", |file| Sending {
        method: file.text_of(file.get("method").unwrap_or("GET")),
        url: file.get("url").unwrap_or_else(|| file.wrong("where to?")).to_owned(),
        headers: file.callers_headers(),
        content: file.get("content").unwrap_or("none").to_owned(),
        outcome: match file.expect() {
            "sent" => Some(file.bytes_of(&file.content)),
            "refused" => None,
            _ => file.wrong("expect is sent or refused"),
        },
        name: file.name,
    })
}

/// Every file of `joins/`, by name.
///
/// ```
/// assert!(windlass_corpus::joins().len() > 100);
/// ```
pub fn joins() -> Vec<Join> {
    all("joins", |file| {
        let whole = |expect: &str| (expect != "refused").then(|| file.text_of(expect));
        Join {
            base: file.get("base").unwrap_or_else(|| file.wrong("on which page?")).to_owned(),
            reference: file.text_of(&file.content),
            outcome: whole(file.expect()),
            of_browsers: whole(file.get("browser").unwrap_or(file.expect())),
            name: file.name,
        }
    })
}

/// Every file of `redirects/`, by name.
///
/// ```
/// assert!(windlass_corpus::redirects().len() > 50);
/// ```
pub fn redirects() -> Vec<Redirect> {
    all("redirects", |file| Redirect {
        method: file.get("method").unwrap_or("GET").to_owned(),
        url: file.get("url").unwrap_or_else(|| file.wrong("where to?")).to_owned(),
        headers: file.callers_headers(),
        body: file.get("body").map(|text| file.bytes_of(text)),
        limit: file.get("limit").map_or(10, |n| n.parse().unwrap_or_else(|_| file.wrong("a limit is a number"))),
        credentials: file.get("credential").map(str::to_owned).into_iter().collect(),
        may_downgrade: match file.get("downgrade") {
            None => false,
            Some("allowed") => true,
            Some(_) => file.wrong("a downgrade is allowed, or nothing is said"),
        },
        answers: file.answers(),
        outcome: file.expect().parse().map_err(|_| file.expect().to_owned()),
        arrives: file.get("arrives").map(str::to_owned),
        sent: file.bytes_of(&file.content),
        name: file.name,
    })
}

/// Every file of `retry_after/`, by name.
///
/// ```
/// assert!(windlass_corpus::waits().len() > 20);
/// ```
pub fn waits() -> Vec<Wait> {
    let number = |file: &File, text: &str| text.parse().unwrap_or_else(|_| file.wrong("seconds are a number"));
    all("retry_after", |file| Wait {
        now: number(&file, file.get("now").unwrap_or_else(|| file.wrong("read when?"))),
        value: file.bytes_of(&file.content),
        seconds: (file.expect() != "ignored").then(|| number(&file, file.expect())),
        name: file.name,
    })
}

/// A file taken apart, its escapes still in it.
struct File {
    name: String,
    keys: Vec<(String, String)>,
    content: String,
}

fn all<T>(folder: &str, one: impl Fn(File) -> T) -> Vec<T> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let entries = fs::read_dir(&folder).expect("the corpus lies beside this crate");
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("a folder can be read").path()).collect();
    paths.sort();
    paths.iter().map(|path| one(File::read(path))).collect()
}

impl File {
    fn read(path: &Path) -> File {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert!(text.is_ascii(), "{name}: a byte beyond ASCII is written as \\xHH");
        let (head, content) = text.split_once("\n\n").unwrap_or_else(|| panic!("{name}: no empty line"));
        let mut lines = head.lines();
        assert!(lines.next().is_some_and(|title| title.contains(' ')), "{name}: the first line says what it shows");
        let key = |line: &str| {
            let (key, value) = line.split_once(':').unwrap_or_else(|| panic!("{name}: no colon in {line:?}"));
            (key.to_owned(), value.trim_start().to_owned())
        };
        let keys: Vec<_> = lines.map(key).collect();
        assert!(keys.iter().any(|(key, _)| key == "rule"), "{name}: where is it written?");
        File { name, keys, content: content.replace('\n', "") }
    }

    fn wrong(&self, why: &str) -> ! {
        panic!("{}: {why}", self.name)
    }

    fn get(&self, key: &str) -> Option<&str> {
        self.keys.iter().find(|(have, _)| have == key).map(|(_, value)| value.as_str())
    }

    fn expect(&self) -> &str {
        self.get("expect").unwrap_or_else(|| self.wrong("what is expected?"))
    }

    /// The name of an error is one word; a message is several.
    fn outcome<T>(&self, message: impl FnOnce(&str) -> T) -> Result<T, String> {
        match self.expect() {
            error @ ("protocol" | "truncated" | "too_large") => Err(error.to_owned()),
            expect => Ok(message(expect)),
        }
    }

    fn words<'a, const N: usize>(&self, text: &'a str) -> [&'a str; N] {
        let words: Vec<_> = text.split_whitespace().collect();
        words.try_into().unwrap_or_else(|_| self.wrong("expect has not so many words"))
    }

    fn is_kept(&self, connection: &str) -> bool {
        match connection {
            "kept" => true,
            "closed" => false,
            _ => self.wrong("a connection is kept or closed"),
        }
    }

    fn pairs(&self, key: &str, between: &str) -> Vec<(Vec<u8>, Vec<u8>)> {
        let values = self.keys.iter().filter(|(have, _)| have == key).map(|(_, value)| value);
        let pair = |value: &String| match value.split_once(between) {
            Some((name, value)) => (self.bytes_of(name), self.bytes_of(value)),
            None => (self.bytes_of(value.trim_end_matches(between.trim_end())), Vec::new()),
        };
        values.map(pair).collect()
    }

    fn callers_headers(&self) -> Vec<(String, Vec<u8>)> {
        let named = |(name, value)| (String::from_utf8(name).unwrap_or_else(|_| self.wrong("names are text")), value);
        self.pairs("header", " => ").into_iter().map(named).collect()
    }

    /// Each ends with its empty line; interim ones belong to what follows them.
    fn answers(&self) -> Vec<Vec<u8>> {
        let mut answers = Vec::new();
        for (_, text) in self.keys.iter().filter(|(key, _)| key == "answer") {
            let (mut answer, mut begin) = (Vec::new(), 0);
            for line in self.bytes_of(text).split_inclusive(|byte| *byte == b'\n') {
                answer.extend_from_slice(line);
                if line != b"\r\n" {
                    continue;
                }
                if answer[begin..].starts_with(b"HTTP/1.1 1") {
                    begin = answer.len();
                } else {
                    answers.push(std::mem::take(&mut answer));
                    begin = 0;
                }
            }
            if !answer.is_empty() {
                self.wrong("an answer is a whole head");
            }
        }
        answers
    }

    fn text_of(&self, text: &str) -> String {
        String::from_utf8(self.bytes_of(text)).unwrap_or_else(|_| self.wrong("this is not UTF-8"))
    }

    fn bytes_of(&self, text: &str) -> Vec<u8> {
        let mut rest = text.as_bytes();
        let bytes = unescape(&mut rest);
        match (bytes, rest) {
            (Some(bytes), b"") => bytes,
            _ => self.wrong("an escape that is none"),
        }
    }
}

/// The bytes up to the end, or to a brace that closes; none if an escape is unknown.
fn unescape(rest: &mut &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    while let [byte, behind @ ..] = *rest {
        if *byte == b'}' {
            break;
        }
        *rest = behind;
        if *byte != b'\\' {
            bytes.push(*byte);
            continue;
        }
        let [escape, behind @ ..] = *rest else { return None };
        *rest = behind;
        match escape {
            b'r' => bytes.push(b'\r'),
            b'n' => bytes.push(b'\n'),
            b't' => bytes.push(b'\t'),
            b'0' => bytes.push(0),
            b'\\' | b'}' => bytes.push(*escape),
            b'x' => bytes.push(u8::from_str_radix(&take(rest, 2)?, 16).ok()?),
            b'*' => {
                let digits = rest.iter().position(|byte| *byte == b'{')?;
                let times: usize = take(rest, digits)?.parse().ok()?;
                take(rest, 1)?;
                let what = unescape(rest)?;
                take(rest, 1)?;
                bytes.extend(what.repeat(times));
            }
            _ => return None,
        }
    }
    Some(bytes)
}

fn take(rest: &mut &[u8], len: usize) -> Option<String> {
    let (taken, behind) = rest.split_at_checked(len)?;
    *rest = behind;
    Some(String::from_utf8_lossy(taken).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_bytes_and_braces_repeat() {
        for (text, bytes) in [
            (r"a\r\n\t\0\\\x80b", Some(&b"a\r\n\t\0\\\x80b"[..])),
            (r"\*3{ab}c", Some(b"abababc")),
            (r"\*2{a\*2{b}}{", Some(b"abbabb{")),
            (r"\*2{\}}", Some(b"}}")),
            (r"\*0{x}", Some(b"")),
            (r"\q", None),
            (r"\x8", None),
            (r"\*2{a", None),
            ("\\", None),
        ] {
            assert_eq!(unescape(&mut text.as_bytes()).as_deref(), bytes, "{text}");
        }
    }

    // A corpus that cannot be found would be a test of nothing.
    #[test]
    fn there_are_hundreds_of_files_of_every_kind_and_no_two_say_the_same() {
        let (replies, requests, urls, joins) = (replies(), requests(), urls(), joins());
        let (sendings, redirects, waits) = (sendings(), redirects(), waits());
        println!("{} replies, {} requests, {} urls, {} joins", replies.len(), requests.len(), urls.len(), joins.len());
        println!("{} sendings, {} redirects, {} values of Retry-After", sendings.len(), redirects.len(), waits.len());
        assert!(replies.len() + requests.len() + urls.len() + sendings.len() >= 250);
        assert!(joins.len() >= 150 && redirects.len() >= 60 && waits.len() >= 25);
        assert!(replies.iter().filter(|reply| reply.outcome.is_ok()).count() > 50);
        let mut streams: Vec<_> = replies.iter().map(|reply| (&reply.method, &reply.stream)).collect();
        streams.sort();
        let twice = streams.windows(2).find(|two| two[0] == two[1]);
        assert!(twice.is_none(), "{:?}", twice.map(|two| two[0].1.escape_ascii().to_string()));
        let mut pages: Vec<_> = joins.iter().map(|join| (&join.base, &join.reference)).collect();
        pages.sort();
        assert_eq!(pages.windows(2).find(|two| two[0] == two[1]), None);
    }
}
