//! One question, put to a server by our client and by the system's curl, and both answers.
//!
//! ```text
//!             ┌──► curl -D head -o body ──► exit code, head, trailers, body ──┐
//!   Ask ──────┤                                                               ├──► the same, or we are stricter
//!             └──► Client ────────────────► kind of error, head, ... ─────────┘
//! ```
//!
//! Heads are compared byte for byte, but for what the time of day and a connection's age put into them.
//! Not here: the servers (`servers`).   Next: `real_servers`, the stories.

use std::cell::RefCell;
use std::fmt;
use std::fs;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use windlass::http::{Client, ClientBuilder, CookieJar, Error, ErrorKind, Redirects, Url};

use crate::servers::{Folder, Tool, path_of};

/// What every story here is measured by.
pub const CURL: Tool = Tool { name: "curl", probe: &["curl", "--version"], install: "apt-get install curl" };

/// Longer than any answer takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// Headers whose values are another time's, or depend on what else the connection has carried.
const FLEETING: [&str; 3] = ["date", "connection", "keep-alive"];

/// What `--data-binary` says that a body is.
pub const FORM: &str = "application/x-www-form-urlencoded";

/// A request, as both put it.
#[derive(Clone)]
pub struct Ask {
    method: &'static str,
    target: String,
    headers: Vec<(&'static str, &'static str)>,
    body: Option<Vec<u8>>,
    hops: Option<u32>,
    credentials: Option<(&'static str, &'static str)>,
    codings: Option<&'static str>,
    within: Duration,
}

/// One of any method, without a body. `target` is a path, perhaps with a query.
pub fn ask(method: &'static str, target: impl Into<String>) -> Ask {
    let (headers, body, hops, credentials, codings) = (Vec::new(), None, None, None, None);
    Ask { method, target: target.into(), headers, body, hops, credentials, codings, within: PATIENCE }
}

/// One for what is there.
pub fn get(target: impl Into<String>) -> Ask {
    ask("GET", target)
}

impl Ask {
    /// With a header.
    pub fn header(mut self, name: &'static str, value: &'static str) -> Ask {
        self.headers.push((name, value));
        self
    }

    /// With a body of this type; if that is `""`, of none.
    pub fn body(mut self, kind: &'static str, body: impl Into<Vec<u8>>) -> Ask {
        self.body = Some(body.into());
        if kind.is_empty() { self } else { self.header("Content-Type", kind) }
    }

    /// Follows so many redirects.
    pub fn following(mut self, hops: u32) -> Ask {
        self.hops = Some(hops);
        self
    }

    /// With a name and a password.
    pub fn with_credentials(mut self, user: &'static str, password: &'static str) -> Ask {
        self.credentials = Some((user, password));
        self
    }

    /// Asks for these codings, and undoes them.
    pub fn decoded(mut self, codings: &'static str) -> Ask {
        self.codings = Some(codings);
        self
    }

    /// Gives up after so long.
    pub fn within(mut self, patience: Duration) -> Ask {
        self.within = patience;
        self
    }
}

/// What came back.
#[derive(PartialEq, Eq)]
pub struct Answer {
    /// Redirects that were followed, and where they led.
    pub led: Option<(usize, String)>,
    /// Lines of the last head, and of the interim replies before it.
    pub head: Vec<String>,
    /// Lines behind the body.
    pub trailers: Vec<String>,
    /// What it is about.
    pub body: Vec<u8>,
}

impl fmt::Debug for Ask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Ask { method, target, headers, body, hops, credentials, codings, .. } = self;
        write!(f, "{method} {target}, headers {headers:?}, body {}", shown(body.as_deref().unwrap_or_default()))?;
        write!(f, ", hops {hops:?}, credentials {credentials:?}, codings {codings:?}")
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Answer { led, head, trailers, body } = self;
        write!(f, "led {led:?}, head {head:?}, trailers {trailers:?}, body {}", shown(body))
    }
}

/// Bytes, if they are few, or their beginning.
fn shown(bytes: &[u8]) -> String {
    format!("({}) {:?}", bytes.len(), String::from_utf8_lossy(&bytes[..bytes.len().min(200)]))
}

/// A server, and the two who ask it.
#[derive(Debug)]
pub struct Beside {
    client: Client,
    base: String,
    folder: Folder,
    trusted: Option<String>,
    differences: RefCell<Vec<String>>,
}

impl Beside {
    /// `base` is what comes before the path of a URL. Both keep cookies.
    pub fn new(base: impl Into<String>) -> Beside {
        Beside::with(base, Client::builder(), None)
    }

    /// As `new`, with a client of the story's own and, for curl, an authority to trust, in PEM.
    pub fn with(base: impl Into<String>, client: ClientBuilder, trusted: Option<String>) -> Beside {
        let client = client.user_agent("story").decode().cookies(&CookieJar::new()).build();
        Beside { client, base: base.into(), folder: Folder::new(), trusted, differences: RefCell::default() }
    }

    /// Our client, for what it tells of itself.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Asks both. Their answers are to be the same, or their failures; all that are not are told at the end.
    pub async fn same(&self, ask: Ask) {
        let (ours, curls) = self.both(&ask).await;
        let agrees = match (&ours, &curls) {
            (Ok(ours), Ok(curls)) => ours == curls,
            (Err(ours), Err(exit)) => kinds_of(*exit).contains(&ours.kind()),
            _ => false,
        };
        if !agrees {
            self.differences.borrow_mut().push(format!("{ask:?}\n  {ours:?}\n  curl: {curls:?}"));
        }
    }

    /// Asks both, as [`same`](Beside::same), in a row.
    pub async fn all_same(&self, asks: impl IntoIterator<Item = Ask>) {
        for ask in asks {
            self.same(ask).await;
        }
    }

    /// Asks both. curl is to take the answer, and we are not, and say why in words that have `words` among them.
    pub async fn stricter(&self, ask: Ask, kind: ErrorKind, words: &str) {
        let (ours, curls) = self.both(&ask).await;
        let refused = ours.as_ref().is_err_and(|error| error.kind() == kind && error.to_string().contains(words));
        if !refused || curls.is_err() {
            self.differences.borrow_mut().push(format!("{ask:?}, which only we refuse\n  {ours:?}\n  curl: {curls:?}"));
        }
    }

    /// What both make of it: our error, and curl's exit code.
    pub async fn both(&self, ask: &Ask) -> (Result<Answer, Error>, Result<Answer, i32>) {
        let url = format!("{}{}", self.base, ask.target);
        // One after the other: a server may have state that the two would share.
        let curls = self.ask_curl(ask, &url);
        (self.ask(ask, &url).await, curls)
    }

    async fn ask(&self, ask: &Ask, url: &str) -> Result<Answer, Error> {
        let url = Url::parse(url)?;
        let mut request = self.client.request(ask.method, &url).timeout(ask.within);
        request = match ask.codings {
            Some(codings) => request.header("Accept-Encoding", codings),
            None => request.as_it_comes(),
        };
        for (name, value) in &ask.headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = &ask.body {
            request = request.body(body.clone());
        }
        if let Some(hops) = ask.hops {
            request = request.redirects(Redirects::up_to(hops));
        }
        if let Some((user, password)) = ask.credentials {
            request = request.basic_auth(user, password);
        }
        let mut response = request.send().await?;
        let mut body = Vec::new();
        while let Some(piece) = response.chunk().await? {
            body.extend_from_slice(piece);
        }
        let hops = response.history().len();
        let head = [response.interim_bytes(), response.head_bytes()].concat();
        let text = String::from_utf8_lossy;
        let trailer = |(name, value)| format!("{}: {}", text(name), text(value));
        Ok(Answer {
            led: (hops > 0).then(|| (hops, response.url().to_string())),
            head: lines(&head),
            trailers: response.trailers().iter().map(trailer).collect(),
            body,
        })
    }

    fn ask_curl(&self, ask: &Ask, url: &str) -> Result<Answer, i32> {
        let mut curl = Command::new(path_of("curl").expect("it was looked for"));
        curl.current_dir(self.folder.path()).stdin(Stdio::null());
        curl.args(["-q", "-s", "--http1.1", "--noproxy", "*", "-A", "story", "-D", "head", "-o", "body"]);
        curl.args(["-w", "%{num_redirects} %{url_effective}", "-b", "jar", "-c", "jar"]);
        curl.args(["--max-time", &ask.within.as_secs_f64().to_string()]);
        if ask.body.is_some() && ask.headers.iter().all(|(name, _)| *name != "Expect") {
            curl.args(["-H", "Expect:"]); // by itself it expects where a body is long
        }
        // The type that it has for a body by itself goes out with the body alone, any other with every hop.
        for (name, value) in ask.headers.iter().filter(|(_, value)| *value != FORM) {
            curl.args(["-H", &format!("{name}: {value}")]);
        }
        self.folder.put("sent", ask.body.as_deref().unwrap_or_default());
        // A method that is put into its mouth by -X stays on all hops; those that it knows by itself change as they should,
        // but a PUT has no type by itself.
        match (ask.method, &ask.body) {
            ("GET", None) => &mut curl,
            ("HEAD", None) => curl.arg("--head"),
            ("POST", Some(_)) => curl.args(["--data-binary", "@sent"]),
            ("PUT", Some(_)) if ask.hops.is_some() => curl.args(["-T", "sent"]),
            (method, None) => curl.args(["-X", method]),
            (method, Some(_)) => curl.args(["-X", method, "--data-binary", "@sent"]),
        };
        if let Some(codings) = ask.codings {
            curl.args(["--compressed", "-H", &format!("Accept-Encoding: {codings}")]);
        }
        if let Some(hops) = ask.hops {
            curl.args(["-L", "--max-redirs", &hops.to_string()]);
        }
        if let Some((user, password)) = ask.credentials {
            curl.args(["-u", &format!("{user}:{password}")]);
        }
        if let Some(pem) = &self.trusted {
            self.folder.put("trusted", pem);
            curl.args(["--cacert", "trusted"]);
        }
        for left in ["head", "body"] {
            self.folder.put(left, ""); // so that nothing is left of the one before
        }
        let done = curl.arg(url).output().expect("it was looked for");
        if !done.status.success() {
            return Err(done.status.code().expect("nobody kills it"));
        }
        let said = String::from_utf8(done.stdout).expect("two numbers and a URL");
        let (hops, url) = said.split_once(' ').expect("what was asked for");
        let hops = hops.parse().expect("a number");
        let read = |name| fs::read(self.folder.path().join(name)).expect("it was put there");
        let (head, trailers) = last_answer(&read("head"));
        let body = if ask.method == "HEAD" { Vec::new() } else { read("body") }; // it writes the head there
        Ok(Answer { led: (hops > 0).then(|| (hops, url.to_owned())), head, trailers, body })
    }
}

/// The end of the story.
///
/// # Panics
/// If there were differences.
impl Drop for Beside {
    fn drop(&mut self) {
        let differences = self.differences.take();
        if !differences.is_empty() && !thread::panicking() {
            panic!(
                "{} differences, the first of them:\n{}",
                differences.len(),
                differences[..differences.len().min(10)].join("\n")
            );
        }
    }
}

/// Of all the heads that curl has seen the last one, with the interim replies before it, and the trailers behind it.
fn last_answer(heads: &[u8]) -> (Vec<String>, Vec<String>) {
    let (mut head, mut trailers) = (Vec::new(), Vec::new());
    let mut is_interim = false;
    for line in String::from_utf8_lossy(heads).split_terminator("\r\n").map(str::to_owned) {
        if line.starts_with("HTTP/") {
            if !is_interim {
                head.clear();
            }
            is_interim = line.split(' ').nth(1).is_some_and(|status| status.starts_with('1'));
            trailers.clear();
            head.push(line);
        } else if head.last().is_some_and(|last| last.is_empty()) {
            if !line.is_empty() {
                trailers.push(line);
            }
        } else {
            head.push(line);
        }
    }
    (head.into_iter().filter(|line| !is_fleeting(line)).collect(), trailers)
}

fn lines(head: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(head);
    text.split_terminator("\r\n").filter(|line| !is_fleeting(line)).map(str::to_owned).collect()
}

fn is_fleeting(line: &str) -> bool {
    let name = line.split(':').next().unwrap_or_default();
    FLEETING.iter().any(|fleeting| name.eq_ignore_ascii_case(fleeting))
}

/// What our client may call that at which curl ends with this code.
fn kinds_of(exit: i32) -> &'static [ErrorKind] {
    match exit {
        1 | 47 => &[ErrorKind::Redirect], // a scheme it does not follow to; too many
        18 => &[ErrorKind::Truncated],
        28 => &[ErrorKind::TimeoutTotal],
        52 => &[ErrorKind::Truncated, ErrorKind::Reset],
        56 => &[ErrorKind::Protocol, ErrorKind::Reset],
        60 => &[ErrorKind::Tls],
        8 | 61 => &[ErrorKind::Protocol],
        _ => &[],
    }
}
