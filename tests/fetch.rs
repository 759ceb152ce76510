//! fetch, as anybody would run it, and curl beside it.
//!
//! ```text
//!     test ──► fetch ARGUMENTS ──┐                        ┌── what it asked, byte for byte
//!         └──► curl ARGUMENTS ───┴──► Site, on threads ───┴── what it wrote, and its exit code: the same of both
//! ```
//!
//! What is compared with curl also says what is expected, so that it is a story without curl, too; where there is none,
//! that is said on stderr. Where fetch differs by intent (`examples/fetch/README.md`), its own answer is told.
//!
//! Not here: the client's own stories (`http_client`, `http_requests`).   Next: `examples/fetch/main.rs`.

#![allow(clippy::unwrap_used)] // a story that cannot go on says where it stopped

use std::{
    collections::HashMap,
    fs,
    io::{self, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Arc, Mutex, OnceLock},
    thread,
    time::Duration,
};

use flate2::{Compression, write::GzEncoder};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use rustls::{ServerConnection, StreamOwned};
use windlass_tests::{
    program::program,
    sealed::{Authority, Certificate, GOOD},
};

// ---------------------------------------------------------------------------------------------------------- the site

/// What becomes of a connection after an answer.
#[derive(Clone, Copy, PartialEq)]
enum Then {
    Stays,
    Closes,
    Resets,
    /// Nothing more comes, and it stays open until the other side goes.
    Hangs,
}
use Then::{Closes, Hangs, Resets, Stays};

/// A server of fixed answers, each at its path; `/echo` answers with what it was asked.
struct Site {
    address: SocketAddr,
    heard: Arc<Mutex<Vec<String>>>,
    connections: Arc<Mutex<usize>>,
}

fn ok(headers: &str, body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\n{headers}Content-Length: {}\r\n\r\n{body}", body.len())
}

fn redirect(status: u16, to: &str) -> String {
    format!("HTTP/1.1 {status} Elsewhere\r\nLocation: {to}\r\nContent-Length: 4\r\n\r\ngone")
}

/// "hello, hello", coded.
fn gzip() -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(b"hello, hello").unwrap();
    encoder.finish().unwrap()
}

fn answers() -> HashMap<&'static str, (Vec<u8>, Then)> {
    let mut answers = HashMap::new();
    let mut put = |path, bytes: Vec<u8>, then| {
        answers.insert(path, (bytes, then));
    };
    put("/hi", ok("Content-Type: text/plain\r\nX-A: 1\r\nx-a:2\r\nX-Long:  spaced  \r\n", "hi\n").into(), Stays);
    put("/bytes", [ok("", "").replace(": 0", ": 6").as_bytes(), b"\0\xff\r\n\x80\0"].concat(), Stays);
    put("/empty", ok("", "").into(), Stays);
    put("/204", "HTTP/1.1 204 No Content\r\n\r\n".into(), Stays);
    put("/304", "HTTP/1.1 304 Not Modified\r\nETag: x\r\nContent-Length: 7\r\n\r\n".into(), Stays);
    put("/404", "HTTP/1.1 404 Not Found\r\nContent-Length: 8\r\n\r\nno such\n".into(), Stays);
    put("/500", "HTTP/1.1 500 \r\nContent-Length: 0\r\n\r\n".into(), Stays);
    put("/301", redirect(301, "/echo").into(), Stays);
    put("/302", redirect(302, "hi?x=1#frag").into(), Stays);
    put("/303", redirect(303, "/echo").into(), Stays);
    put("/307", redirect(307, "/echo").into(), Stays);
    put("/308", redirect(308, "/echo").into(), Stays);
    put("/twice", redirect(302, "/302").into(), Stays);
    put("/loop", redirect(302, "/loop").into(), Stays);
    put("/spaces", redirect(302, "/a b").into(), Stays);
    put("/spaced-query", redirect(302, "/a b?c d").into(), Stays);
    let chunked_redirect = redirect(302, "/echo").replace("Content-Length: 4", "Transfer-Encoding: chunked");
    put("/trailing", chunked_redirect.replace("gone", "4\r\ngone\r\n0\r\nX-T:  y\r\n\r\n").into(), Stays);
    put("/cut-redirect", redirect(302, "/echo").replace("gone", "go").into(), Closes);
    put("/bad-redirect", chunked_redirect.replace("gone", "zz\r\n").into(), Closes);
    put("/reset-redirect", redirect(302, "/echo").replace("gone", "go").into(), Resets);
    put("/endless-redirect", redirect(302, "/echo").replace("Content-Length: 4", "A: b").into(), Hangs);
    put(
        "/last-redirect",
        redirect(302, "/echo").replace("\r\n\r\ngone", "\r\nConnection: x, Close\r\n\r\ngo").into(),
        Hangs,
    );
    put("/old-redirect", redirect(302, "/echo").replace("1.1", "1.0").replace("gone", "go").into(), Hangs);
    put("/mail", redirect(302, "mailto:me").into(), Stays);
    put("/foreign", redirect(302, "foo://example.com/").into(), Stays);
    put("/nowhere", "HTTP/1.1 302 Found\r\nContent-Length: 3\r\n\r\nno\n".into(), Stays);
    put("/hi?x=1", ok("", "there\n").into(), Stays);
    let chunks = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    put("/chunked", format!("{chunks}3;ext=1\r\nabc\r\n00A\r\n0123456789\r\n0\r\n\r\n").into(), Stays);
    put("/trailers", format!("{chunks}2\r\nhi\r\n0\r\nX-T:  y\r\n\r\n").into(), Stays);
    put("/badchunk", format!("{chunks}3\r\nabc\r\nzz\r\n").into(), Closes);
    put("/cutchunk", format!("{chunks}3\r\nabc\r\n5\r\nab").into(), Closes);
    put(
        "/interim",
        ["HTTP/1.1 100 Continue\r\nA: b\r\n\r\nHTTP/1.1 103 Hints\r\n\r\n", &ok("", "hi")].concat().into(),
        Stays,
    );
    put("/close", "HTTP/1.1 200 OK\r\n\r\nuntil the end".into(), Closes);
    put("/old", "HTTP/1.0 200 OK\r\nServer: old\r\n\r\nuntil the end".into(), Closes);
    put("/short", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc".into(), Closes);
    put("/reset", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc".into(), Resets);
    put("/none", vec![], Closes);
    put("/noneatall", vec![], Resets);
    put("/silent", vec![], Hangs);
    put("/stalls", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc".into(), Hangs);
    put("/garbage", "SSH-2.0-OpenSSH\r\n".into(), Closes);
    put("/nocolon", "HTTP/1.1 200 OK\r\nA: b\r\nno colon\r\nContent-Length: 0\r\n\r\n".into(), Closes);
    put("/badlength", "HTTP/1.1 200 OK\r\nA: b\r\nContent-Length: x\r\nC: d\r\n\r\n".into(), Closes);
    put("/badte", "HTTP/1.1 200 OK\r\nTransfer-Encoding: foo\r\nC: d\r\n\r\nabc".into(), Closes);
    put("/bare-lf", "HTTP/1.1 200 OK\nContent-Length: 2\n\nhi".into(), Closes);
    put("/cuthead", "HTTP/1.1 200 OK\r\nConte".into(), Closes);
    put("/cutline", "HTTP/1.1 20".into(), Closes);
    put("/cutheadreset", "HTTP/1.1 404 OK\r\nA: b\r\nConte".into(), Resets);
    put("/cutinterim", "HTTP/1.1 103 Hints\r\nA: b\r\n\r\nHTTP/1.1 2".into(), Closes);
    put("/stalledhead", "HTTP/1.1 103 Hints\r\n\r\nHTTP/1.1 200 OK\r\nA: b\r\nConte".into(), Hangs);
    put("/noversion", "HTTP/1.1 20 OK\r\nA: b\r\n\r\n".into(), Closes);
    put("/tecl", "HTTP/1.1 200 OK\r\nA: b\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n".into(), Closes);
    put("/utf8", redirect(302, "/ü?ä").into(), Stays);
    put("/badplace", redirect(302, "http://a b/").into(), Stays);
    let fields = |len| (0..90).map(|n| format!("X-{n}: {}\r\n", "v".repeat(len))).collect::<String>();
    put("/large", ok(&fields(3_000), "hi").into(), Stays);
    put("/larger", ok(&fields(4_000), "hi").into(), Closes);
    let gzip = [
        format!("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n\r\n", gzip().len()).as_bytes(),
        &gzip(),
    ]
    .concat();
    put("/gzip", gzip, Stays);
    put("/identity", ok("Content-Encoding: identity\r\n", "hi").into(), Stays);
    put("/nogzip", ok("Content-Encoding: gzip\r\n", "not at all").into(), Closes);
    put("/unknown", ok("Content-Encoding: foo\r\n", "abc").into(), Closes);
    put("/unknown-none", ok("Content-Encoding: foo\r\n", "").into(), Stays);
    put("/cookies", ok("Set-Cookie: seen=1; Path=/\r\n", "hi").into(), Stays);
    put("/to-cookies", redirect(302, "/cookies").into(), Stays);
    answers
}

impl Site {
    /// One for all stories that need no figures of their own.
    fn start() -> Site {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let site = Site { address: listener.local_addr().unwrap(), heard: Arc::default(), connections: Arc::default() };
        let (heard, connections, answers) = (site.heard.clone(), site.connections.clone(), Arc::new(answers()));
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                *connections.lock().unwrap() += 1;
                let (heard, answers) = (heard.clone(), answers.clone());
                thread::spawn(move || serve(stream, &heard, &answers));
            }
        });
        site
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// What it was asked since this was last called.
    fn heard(&self) -> Vec<String> {
        std::mem::take(&mut *self.heard.lock().unwrap())
    }

    /// The same, whoever asked.
    fn heard_of_anybody(&self) -> Vec<String> {
        self.heard().iter().map(|request| by_anybody(request)).collect()
    }
}

fn serve(mut stream: TcpStream, heard: &Mutex<Vec<String>>, answers: &HashMap<&str, (Vec<u8>, Then)>) {
    while let Some(request) = hear(&mut stream) {
        heard.lock().unwrap().push(request.clone());
        let path = request.split(' ').nth(1).unwrap();
        let path = path.strip_prefix("http://a.example").unwrap_or(path);
        let (bytes, then) = match answers.get(path) {
            Some((bytes, then)) if request.starts_with("HEAD") && *then == Stays => {
                let head = bytes.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
                (bytes[..head].to_vec(), *then)
            }
            Some((bytes, then)) => (bytes.clone(), *then),
            None => (ok("", &by_anybody(&request)).into_bytes(), Stays),
        };
        if stream.write_all(&bytes).is_err() {
            return;
        }
        match then {
            Stays => {}
            Closes => {
                let _ = stream.shutdown(Shutdown::Write);
                while stream.read(&mut [0; 1024]).is_ok_and(|n| n > 0) {}
                return;
            }
            Hangs => {
                while stream.read(&mut [0; 1024]).is_ok_and(|n| n > 0) {}
                return;
            }
            Resets => return socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap(),
        }
    }
}

/// One request, head and body; asks for the body if the client waits for that. Who speaks TLS is told in plain words.
fn hear(stream: &mut (impl Read + Write)) -> Option<String> {
    let mut request = Vec::new();
    let mut byte = [0];
    while !request.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).ok()?;
        if request.is_empty() && byte == [0x16] {
            stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").ok()?;
            return None;
        }
        request.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&request).to_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:")).map(str::trim);
    if head.contains("expect: 100-continue") {
        stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").ok()?;
    }
    let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
    stream.read_exact(&mut body).ok()?;
    request.extend(body);
    Some(String::from_utf8_lossy(&request).into_owned())
}

/// The same request, whoever sends it.
fn by_anybody(request: &str) -> String {
    let of = |version: &str| format!("User-Agent: {version}\r\n");
    request.replace(&of("curl/7.88.1"), "User-Agent: *\r\n").replace(&of("windlass/0.1.0"), "User-Agent: *\r\n")
}

// ------------------------------------------------------------------------------------------------------- the programs

#[derive(Debug, PartialEq)]
struct Done {
    code: Option<i32>,
    stdout: Vec<u8>,
    stderr: String,
}

impl Done {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }
}

fn command(program: &Path, arguments: &[String]) -> Command {
    let mut command = Command::new(program);
    for variable in ["http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"] {
        command.env_remove(variable);
    }
    command.env("RES_OPTIONS", "timeout:1 attempts:1").args(arguments).stdin(Stdio::null());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn run_with(program: &Path, arguments: &[String], stdin: &str) -> Done {
    let mut child = command(program, arguments).stdin(Stdio::piped()).spawn().unwrap();
    let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes()); // it need not read
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    Done { code: output.status.code(), stdout: output.stdout, stderr }
}

fn run(program: &Path, arguments: &[String]) -> Done {
    run_with(program, arguments, "")
}

fn owned(arguments: &[&str]) -> Vec<String> {
    arguments.iter().map(|&argument| argument.to_owned()).collect()
}

fn fetch(arguments: &[&str]) -> Done {
    run(&program("fetch"), &owned(arguments))
}

/// The system's curl of the version that fetch is compared with.
fn curl() -> Option<&'static PathBuf> {
    static CURL: OnceLock<Option<PathBuf>> = OnceLock::new();
    let found = CURL.get_or_init(|| {
        let path = PathBuf::from("/usr/bin/curl");
        let version = Command::new(&path).arg("--version").output().ok();
        let text = version.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
        let is_known = text.starts_with("curl 7.88.1 ");
        if !is_known {
            // Not eprintln!, which a test that passes keeps to itself.
            let have = text.lines().next().unwrap_or("none").to_owned();
            let _ = writeln!(io::stderr(), "SKIPPED: fetch beside curl 7.88.1: here is {have}");
        }
        is_known.then_some(path)
    });
    found.as_ref()
}

/// A folder of this story's own, empty.
fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("fetch").join(name);
    let _ = fs::remove_dir_all(&folder); // it may not be there
    fs::create_dir_all(&folder).unwrap();
    folder
}

// ------------------------------------------------------------------------------------------------------- beside curl

/// Every word of `line` with `U` at its start is a path of the site; words in single quotes may have spaces.
fn words(line: &str, site: &Site) -> Vec<String> {
    let mut words = Vec::new();
    for (number, part) in line.split('\'').enumerate() {
        if number % 2 == 1 {
            words.push(part.to_owned());
        } else {
            words.extend(part.split_whitespace().map(str::to_owned));
        }
    }
    let placed = |word: String| word.strip_prefix("U/").map(|path| site.url(&format!("/{path}"))).unwrap_or(word);
    words
        .into_iter()
        .map(|word| {
            placed(word).replace("ADDRESS", &site.address.to_string()).replace("PORT", &site.address.port().to_string())
        })
        .collect()
}

/// Runs both, and compares what they asked for, what they wrote and how they ended.
fn same_as_curl(table: &[(&str, i32)]) {
    let site = Site::start();
    for (line, code) in table {
        let arguments = words(line, &site);
        let ours = run(&program("fetch"), &arguments);
        let asked = site.heard_of_anybody();
        assert_eq!(ours.code, Some(*code), "fetch {line}\n{}", ours.stderr);
        let Some(curl) = curl() else { continue };
        let theirs = run(curl, &arguments);
        let theirs_asked = site.heard_of_anybody();
        assert_eq!(theirs.code, Some(*code), "curl {line}\n{}", theirs.stderr);
        assert_eq!(ours.text(), theirs.text(), "stdout of {line}");
        assert_eq!(asked, theirs_asked, "requests of {line}");
    }
}

#[test]
fn what_is_asked_is_what_curl_asks() {
    same_as_curl(&[
        ("-s U/hi", 0),
        ("-s ADDRESS/hi", 0),
        ("-s U/echo?a=b&c=%20", 0),
        ("-s U/a/../b/./c%2e?q#f", 0),
        ("-s -I U/hi", 0),
        ("-s -X DELETE U/echo", 0),
        ("-s -d a=b -d c=d U/echo", 0),
        ("-s --data-raw @x U/echo", 0),
        ("-s --data-binary 'a b' U/echo", 0),
        ("-s --data-urlencode 'a=b c' --data-urlencode =&! --data-urlencode 'x y' U/echo", 0),
        ("-s -G -d a=b -d c U/echo", 0),
        ("-s -G -d a=b U/echo?x", 0),
        ("-s -X PUT -d 'x' -H 'Content-Type: text/plain' U/echo", 0),
        ("-s -X GET -d x -H 'Content-Type:' U/echo", 0),
        ("-s -d abc -H 'content-length: 3' U/echo", 0),
        ("-s -H 'X-A: 1' -H 'x-a: 2' -H 'Accept:' -H 'X-E;' -H nocolon -H 'X-No: ' U/echo", 0),
        ("-s -H 'User-Agent: me' -H 'Accept: a' -H 'Accept: b' U/echo", 0),
        ("-s -H 'Host: a.example' U/echo", 0),
        ("-s -A me U/echo", 0),
        ("-s -A '' U/echo", 0),
        ("-s -u me:p:w U/echo", 0),
        ("-s -u me:pw -H 'Authorization: mine' U/echo", 0),
        ("-s -u me:pw -e http://b/ -b a=1 --compressed -H 'X: y' U/echo", 0),
        ("-s http://me:p%40w@ADDRESS/echo", 0),
        ("-s -0 U/old", 0),
        ("-s -0 -d x U/echo", 0),
        ("-s -x http://ADDRESS http://a.example/hi", 0),
        ("-s -H X:y -H 'Y:  z  ' -H Z:; -H Accept:q U/echo", 0),
        ("-s -H : -H :y -H '' -H 'X; ' -H 'X;y' U/echo", 0),
        ("-s -H Content-Length:3 -d abc U/echo", 0),
        ("-s -d a --data-urlencode 'b c' --data-raw @d -d '' --data-binary e -d f U/echo", 0),
        ("-s -G -I -d a U/echo", 0),
        ("-s -G -d '' U/echo", 0),
        ("-s -e '' U/echo", 0),
        ("-s -b a=b -b c=d U/echo", 0),
        ("-s U/echo/ü", 0),
        ("-s -L U/utf8", 0),
    ]);
}

#[test]
fn a_name_is_where_resolve_says_in_every_form() {
    same_as_curl(&[
        ("-s --resolve a.example:PORT:127.0.0.1 http://a.example:PORT/echo", 0),
        ("-s --resolve *:PORT:127.0.0.1 http://a.example:PORT/echo", 0),
        ("-s --resolve +A.Example:PORT:127.0.0.1 http://a.example:PORT/echo", 0),
        ("-s --resolve a.example:PORT:127.0.0.1,127.0.0.2 http://a.example:PORT/echo", 0),
        ("-s --resolve a.example:PORT:[::1],127.0.0.1 http://a.example:PORT/echo", 0),
        ("-s --resolve a.example:PORT:::1 http://a.example:PORT/echo", 7),
        ("-s --resolve 127.0.0.9:PORT:127.0.0.1 http://127.0.0.9:PORT/echo", 0),
        ("-s --resolve -a.example:PORT --resolve a.example:PORT:127.0.0.1 http://a.example:PORT/echo", 0),
        ("-s --resolve a.example:PORT:nonsense http://a.example:PORT/echo", 49),
        ("-s --resolve a.example:PORT http://a.example:PORT/echo", 49),
        ("-s --resolve a.example:99999:127.0.0.1 http://a.example:PORT/echo", 49),
    ]);
}

#[test]
fn of_a_head_that_fails_what_came_before_is_written() {
    let said = "-w '%{http_code} %{size_header} %{num_headers}'";
    let mut table = vec![
        ("-s -i -m 0.3 U/stalledhead".to_owned(), 28),
        ("-s -D - -o /dev/null -m 0.3 U/stalledhead".to_owned(), 28),
    ];
    for (path, code) in [("nocolon", 8), ("badlength", 8), ("badte", 61), ("cutheadreset", 56), ("cutinterim", 52)] {
        table.push((format!("-s -i U/{path}"), code));
        table.push((format!("-s -D - {said} U/{path}"), code));
    }
    same_as_curl(&table.iter().map(|(line, code)| (line.as_str(), *code)).collect::<Vec<_>>());
    let site = Site::start();
    for path in ["/cuthead", "/tecl"] {
        let done = fetch(&["-si", &site.url(path)]);
        assert!(done.text().starts_with("HTTP/1.1 200 OK\r\n") && done.text().ends_with("\r\n"), "{done:?}");
    }
}

#[test]
fn what_is_written_is_what_curl_writes() {
    same_as_curl(&[
        ("-s -i U/hi", 0),
        ("-s -i U/bytes", 0),
        ("-s -i U/empty", 0),
        ("-s -i U/204", 0),
        ("-s -i U/304", 0),
        ("-s -i U/404", 0),
        ("-s -i U/chunked", 0),
        ("-s -i U/trailers", 0),
        ("-s --raw U/trailers", 0),
        ("-s -i U/interim", 0),
        ("-s -i U/close", 0),
        ("-s -i U/old", 0),
        ("-s -i U/large", 0),
        ("-s -I U/404", 0),
        ("-s -D - U/hi", 0),
        ("-s -i -D - U/hi", 0),
        ("-s -I -X GET U/hi", 0),
        ("-s -m 0.0009 U/hi", 0),
        ("-s -o - U/hi", 0),
        ("-s -i U/gzip", 0),
        ("-s -i --compressed U/gzip", 0),
        ("-s --compressed U/identity", 0),
        ("-s --compressed --raw U/gzip", 0),
        ("-s -i --compressed U/unknown-none", 0),
        ("-s U/hi U/404 U/hi", 0),
    ]);
}

#[test]
fn redirects_are_followed_as_curl_follows_them() {
    same_as_curl(&[
        ("-s U/302", 0),
        ("-s -L U/302", 0),
        ("-s -L -i U/twice", 0),
        ("-s -L -I U/twice", 0),
        ("-s -L -D - U/302", 0),
        ("-s -L -d x U/301", 0),
        ("-s -L -d x U/303", 0),
        ("-s -L -d x U/307", 0),
        ("-s -L -d x U/308", 0),
        ("-s -L -X PUT -d x U/307", 0),
        ("-s -L -I U/303", 0),
        ("-s -L U/nowhere", 0),
        ("-s -L U/spaces", 0),
        ("-s -L U/spaced-query", 0),
        ("-s -L -i U/trailing", 0),
        ("-s -L -D - --max-redirs 0 U/trailing", 47),
        ("-s -L -w '%{size_download}' U/cut-redirect", 0),
        ("-s -L -w '%{size_download}' --max-redirs 0 U/cut-redirect", 47),
        ("-s -L U/reset-redirect", 56),
        ("-s -L U/bad-redirect", 56),
        ("-s -L U/endless-redirect", 0),
        ("-s -L -w '%{size_download} %{num_connects}' U/last-redirect", 0),
        ("-s -L U/last-redirect --max-redirs 0", 47),
        ("-s -L -0 U/old-redirect", 0),
        ("-s -L U/foreign", 1),
        ("-s -L U/mail", 1),
        ("-s -L -i --max-redirs 2 U/loop", 47),
        ("-s -L --max-redirs 0 U/302", 47),
        ("-s -L --max-redirs -1 U/302", 0),
        ("-s -L -u me:pw -H 'X: y' U/301", 0),
        ("-s -L -b a=1 U/301", 0),
        ("-s -L -b '' U/to-cookies U/echo", 0),
    ]);
}

#[test]
fn what_goes_wrong_has_curls_number() {
    same_as_curl(&[
        ("-s gopherus://ADDRESS/", 1),
        ("-s ://ADDRESS/", 3),
        ("-s /hi", 3),
        ("-s -I -d x U/hi", 2),
        ("-s -I --data-raw x U/hi", 2),
        ("-s -m x U/hi", 2),
        ("-s -L --max-redirs -2 U/hi", 2),
        ("-s U/noversion", 1),
        ("-s --nosuch U/hi", 2),
        ("-s", 2),
        ("-s 'http://a b/'", 3),
        ("-s http://ADDRESS:99999999/", 3),
        ("-s http://nosuch.invalid/", 6),
        ("-s http://127.0.0.1:1/", 7),
        ("-s U/badlength", 8),
        ("-s U/nocolon", 8),
        ("-s U/garbage", 1),
        ("-s U/short", 18),
        ("-s U/cutchunk", 18),
        ("-s -f U/404", 22),
        ("-s -f -i U/404", 22),
        ("-s -f -o /dev/null U/500", 22),
        ("-s -f -L U/302", 0),
        ("-s -o /nonexistent/x U/hi", 23),
        ("-s -m 0.3 U/silent", 28),
        ("-s -m 0.3 U/stalls", 28),
        ("-s -k https://ADDRESS/none", 35),
        ("-s --resolve nonsense U/hi", 49),
        ("-s U/none", 52),
        ("-s U/cutline", 52),
        ("-s U/cutinterim", 52),
        ("-s U/noneatall", 56),
        ("-s U/reset", 56),
        ("-s U/badchunk", 56),
        ("-s U/badte", 61),
        ("-s --compressed U/nogzip", 61),
        ("-s --compressed U/unknown", 61),
        ("-s --cacert /nonexistent https://ADDRESS/", 77),
        ("-s http://127.0.0.1:1/ U/hi", 0),
        ("-s U/hi http://127.0.0.1:1/", 7),
        ("-s -f U/404 U/hi", 0),
        ("-s -f U/hi U/404", 22),
        ("-s -o /nonexistent/x -o /dev/null U/hi U/404", 0),
        ("-s --cacert /nonexistent U/hi", 0),
    ]);
}

#[test]
fn what_w_says_is_what_curl_says() {
    let all = "%{http_code} %{response_code} %{size_download} %{size_header} %{size_request} %{size_upload} %{num_connects} \
               %{num_redirects} %{num_headers} %{url} %{url_effective} %{urlnum} %{redirect_url} %{content_type} %{http_version} \
               %{remote_ip} %{remote_port} %{local_ip} %{method} %{scheme} %{exitcode} %{referer} %{filename_effective} \
               %{http_connect} %{time_appconnect} %header{X-A} %{header_json}";
    let said = |rest: &str| format!("-s -A me -w '{all}\\n%%\\t%x\\q%{{nosuch}}%{{' {rest}");
    let lines = [
        said("U/hi"),
        said("U/302"),
        said("-L U/302"),
        said("-L -d x U/301"),
        said("-I U/hi"),
        said("-d abc -e http://b/ U/echo"),
        said("-o /dev/null U/hi U/404"),
        said("U/old"),
        said("U/interim"),
        said("U/trailers"),
        said("--compressed U/gzip"),
        said("-H 'Host: a.example' U/hi"),
    ];
    let mut table: Vec<_> = lines.iter().map(|line| (line.as_str(), 0)).collect();
    let failed = said("-f -o /dev/null U/404");
    table.push((&failed, 22));
    let (refused, no_file) = (said("http://127.0.0.1:1/"), said("-o - U/hi"));
    table.extend([(refused.as_str(), 7), (no_file.as_str(), 0)]);
    let stopped = "-s -w '%{http_code} %{num_redirects} %{redirect_url} %{size_download}' -L --max-redirs 0 U/302";
    table.push((stopped, 47));
    table.push(("-s -w '%{redirect_url}' U/foreign", 0));
    table.push(("-s -w '%{redirect_url}' U/badplace", 0));
    table.push(("-s -w '%{HTTP_CODE} %{Num_Redirects}' U/hi", 0));
    table.push(("-s -f -w '%{onerror}%{exitcode} %{http_code}' -o /dev/null U/404", 22));
    table.push(("-s -w '%{onerror}%{exitcode}' U/hi", 0));
    same_as_curl(&table);
}

// ------------------------------------------------------------------------------------------------- and what is its own

#[test]
fn a_certificate_is_judged_as_curl_judges_it() {
    let (folder, authority) = (folder("tls"), Authority::new("an authority"));
    let pem = folder.join("authority.pem");
    fs::write(&pem, authority.pem()).unwrap();
    let trusting = format!("--cacert {}", pem.display());
    let expired = Certificate { until: 2002, ..GOOD };
    let of_another = Certificate { names: &["a.example"], ..GOOD };
    for (certificate, flags, code) in [
        (GOOD, trusting.as_str(), 0),
        (GOOD, "-k", 0),
        (expired, "-k", 0),
        (GOOD, "", 60),
        (expired, &trusting, 60),
        (of_another, &trusting, 60),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("https://{}/", listener.local_addr().unwrap());
        let config = Arc::new(authority.server(&certificate));
        thread::spawn(move || {
            for socket in listener.incoming().map_while(Result::ok) {
                let mut stream = StreamOwned::new(ServerConnection::new(config.clone()).unwrap(), socket);
                while hear(&mut stream).is_some() && stream.write_all(ok("", "sealed").as_bytes()).is_ok() {}
            }
        });
        let mut arguments = owned(&["-s", "-w", " %{scheme}", &url]);
        arguments.extend(flags.split_whitespace().map(str::to_owned));
        let ours = run(&program("fetch"), &arguments);
        let text = if code == 0 { "sealed HTTPS" } else { " HTTPS" };
        assert_eq!((ours.code, ours.text().as_str()), (Some(code), text), "{certificate:?} {flags}");
        let Some(curl) = curl() else { continue };
        let theirs = run(curl, &arguments);
        assert_eq!((theirs.code, theirs.text()), (ours.code, ours.text()), "{certificate:?} {flags}");
    }
}

#[test]
fn several_urls_share_one_connection() {
    let site = Site::start();
    let (a, b, c) = (site.url("/hi"), site.url("/echo"), site.url("/302"));
    let done =
        fetch(&["-sL", "-o", "/dev/null", "-o", "/dev/null", "-o", "/dev/null", "-w", "%{num_connects} ", &a, &b, &c]);
    assert_eq!((done.code, done.text().as_str()), (Some(0), "1 0 0 "));
    assert_eq!((*site.connections.lock().unwrap(), site.heard().len()), (1, 4));
}

#[test]
fn each_url_has_a_file_of_its_own_and_all_share_that_of_the_heads() {
    let (site, folder) = (Site::start(), folder("files"));
    let path = |name: &str| folder.join(name).display().to_string();
    let (a, b, c) = (site.url("/hi"), site.url("/empty"), site.url("/404"));
    let done = fetch(&["-s", "-o", &path("a"), "-o", &path("b"), "-D", &path("d"), &a, &b, &c]);
    assert_eq!((done.code, done.text().as_str()), (Some(0), "no such\n"));
    assert_eq!(fs::read(path("a")).unwrap(), b"hi\n");
    assert_eq!(fs::read(path("b")).unwrap(), b"");
    let heads = fs::read_to_string(path("d")).unwrap();
    assert_eq!(heads.matches("HTTP/1.1 ").count(), 3);
    assert!(heads.ends_with("HTTP/1.1 404 Not Found\r\nContent-Length: 8\r\n\r\n"), "{heads}");
    assert_eq!(fetch(&["-sf", "-o", &path("e"), &c]).code, Some(22));
    assert!(!folder.join("e").exists(), "what failed before its first byte makes no file");
    assert_eq!(fetch(&["-s", "-o", &path("f"), &site.url("/short")]).code, Some(18));
    assert_eq!(fs::read(path("f")).unwrap(), b"abc");
    assert_eq!(fetch(&["-s", "-o", &path("g"), &site.url("/304")]).code, Some(0));
    assert!(!folder.join("g").exists(), "a copy that is still good stays");
    assert_eq!(fetch(&["-s", "-D", &path("h"), "http://127.0.0.1:1/"]).code, Some(7));
    assert_eq!(fs::read(path("h")).unwrap(), b"");
    assert_eq!(fetch(&["-s", "-D", "/nonexistent/d", &a]).code, Some(23));
}

#[test]
fn what_w_says_may_be_in_a_file_whose_lines_are_one() {
    let (site, folder) = (Site::start(), folder("format"));
    let file = folder.join("w");
    fs::write(&file, "%{http_code}\r\n\\n%{num_redirects}\n").unwrap();
    let arguments = owned(&["-s", "-w", &format!("@{}", file.display()), &site.url("/hi")]);
    let ours = run(&program("fetch"), &arguments);
    assert_eq!((ours.code, ours.text().as_str()), (Some(0), "hi\n200\n0"));
    if let Some(curl) = curl() {
        assert_eq!(run(curl, &arguments).text(), ours.text());
    }
}

#[test]
fn progress_is_for_who_looks_at_a_terminal() {
    let (site, folder) = (Site::start(), folder("progress"));
    let file = folder.join("f").display().to_string();
    for flags in ["-o", "-So", "-so"] {
        let done = fetch(&["-m", "1.3", flags, &file, &site.url("/stalls")]);
        assert_eq!(done.code, Some(28), "{flags}");
        let is_told = flags != "-so";
        assert_eq!(done.stderr.lines().count(), usize::from(is_told), "{flags}: {}", done.stderr);
        assert!(!done.stderr.contains(['\r', '\u{1b}', '[']), "{flags}: {}", done.stderr);
    }
}

#[test]
fn a_body_comes_from_a_file_or_from_stdin() {
    let (site, folder) = (Site::start(), folder("bodies"));
    let file = folder.join("data");
    fs::write(&file, "a\r\nbc\n").unwrap();
    let at = |flag: &str| owned(&["-s", flag, &format!("@{}", file.display()), &site.url("/empty")]);
    for (flag, body) in [("-d", "abc"), ("--data-binary", "a\r\nbc\n"), ("--data-urlencode", "a%0D%0Abc%0A")] {
        assert_eq!(run(&program("fetch"), &at(flag)).code, Some(0));
        let heard = site.heard().pop().unwrap();
        assert_eq!(heard.split_once("\r\n\r\n").unwrap().1, body);
        if let Some(curl) = curl() {
            run(curl, &at(flag));
            assert_eq!(by_anybody(&site.heard().pop().unwrap()), by_anybody(&heard), "{flag}");
        }
    }
    run_with(&program("fetch"), &owned(&["-s", "-d", "@-", &site.url("/empty")]), "from\nstdin");
    assert!(site.heard().pop().unwrap().ends_with("\r\n\r\nfromstdin"));
    let done = fetch(&["-d", "@/nonexistent/file", &site.url("/empty")]);
    assert_eq!((done.code, site.heard().len()), (Some(26), 0));
    assert!(done.stderr.starts_with("fetch: (26) read /nonexistent/file: "), "{}", done.stderr);
}

#[test]
fn a_large_body_waits_for_leave_as_curls_does() {
    let (site, folder) = (Site::start(), folder("large"));
    let file = folder.join("data");
    fs::write(&file, vec![b'x'; 1024 * 1024 + 1]).unwrap();
    let arguments = owned(&["-s", "--data-binary", &format!("@{}", file.display()), &site.url("/empty")]);
    assert_eq!(run(&program("fetch"), &arguments).code, Some(0));
    let heard = site.heard().pop().unwrap();
    assert!(heard.contains("\r\nExpect: 100-continue\r\n\r\nxxx"));
    if let Some(curl) = curl() {
        run(curl, &arguments);
        assert!(by_anybody(&site.heard().pop().unwrap()) == by_anybody(&heard));
    }
}

#[test]
fn headers_may_be_in_a_file() {
    let (site, folder) = (Site::start(), folder("headers"));
    let file = folder.join("headers");
    fs::write(&file, "X-A: 1\nAccept:\nX-B;\n").unwrap();
    fetch(&["-s", "-H", &format!("@{}", file.display()), &site.url("/empty")]);
    assert!(site.heard().pop().unwrap().ends_with("User-Agent: windlass/0.1.0\r\nX-A: 1\r\nX-B:\r\n\r\n"));
}

#[test]
fn cookies_come_from_a_file_and_stay_with_their_host() {
    let (site, folder) = (Site::start(), folder("cookies"));
    let file = folder.join("jar");
    fs::write(
        &file,
        "# Netscape HTTP Cookie File\n127.0.0.1\tFALSE\t/\tFALSE\t0\tmine\t1\nb.example\tFALSE\t/\tFALSE\t0\tno\t1\n",
    )
    .unwrap();
    let arguments = owned(&["-s", "-b", &file.display().to_string(), &site.url("/echo"), &site.url("/cookies")]);
    run(&program("fetch"), &arguments);
    let heard = site.heard_of_anybody();
    assert!(heard[0].ends_with("\r\nAccept: */*\r\nCookie: mine=1\r\n\r\n"), "{}", heard[0]);
    if let Some(curl) = curl() {
        run(curl, &arguments);
        assert_eq!(site.heard_of_anybody(), heard);
    }
}

#[test]
fn a_redirect_to_another_host_has_no_credentials() {
    let other = Site::start();
    let there = other.address;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let from = listener.local_addr().unwrap();
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            while hear(&mut stream).is_some() {
                let _ = stream.write_all(redirect(302, &format!("http://{there}/echo")).as_bytes());
            }
        }
    });
    let url = format!("http://{from}/");
    let arguments =
        owned(&["-sL", "-u", "me:pw", "-H", "Cookie: a=1", "-H", "Authorization: mine", "-H", "X: y", &url]);
    assert_eq!(run(&program("fetch"), &arguments).code, Some(0));
    let heard = other.heard_of_anybody();
    assert_eq!(heard, [format!("GET /echo HTTP/1.1\r\nHost: {there}\r\nUser-Agent: *\r\nAccept: */*\r\nX: y\r\n\r\n")]);
    if let Some(curl) = curl() {
        run(curl, &arguments);
        assert_eq!(other.heard_of_anybody(), heard);
    }
}

#[test]
fn v_tells_what_goes_out_and_what_comes_in() {
    let site = Site::start();
    let done = fetch(&["-sv", "-d", "x", "-H", "X: y", &site.url("/interim")]);
    let marked = |mark: &str| -> String {
        done.stderr.lines().filter_map(|line| line.strip_prefix(mark)).map(|line| format!("{line}\n")).collect()
    };
    let heard = site.heard().pop().unwrap().replace("\r\n", "\n");
    assert_eq!(format!("{}x", marked("> ")), heard);
    assert_eq!(
        marked("< "),
        "HTTP/1.1 100 Continue\nA: b\n\nHTTP/1.1 103 Hints\n\nHTTP/1.1 200 OK\nContent-Length: 2\n\n"
    );
    assert_eq!(done.text(), "hi");
}

#[test]
fn words_about_failures_go_to_stderr_unless_they_are_not_wanted() {
    let said = |flags: &str| fetch(&[flags, "http://127.0.0.1:1/"]).stderr;
    assert!(
        said("-i").starts_with("fetch: (7) get http://127.0.0.1:1/: connect to 127.0.0.1:1: connection refused\n"),
        "{}",
        said("-i")
    );
    assert_eq!(said("-s"), "");
    assert_eq!(said("-sS"), said("-i"));
    assert_eq!(
        fetch(&["-s", "-w", "%{errormsg}", "http://127.0.0.1:1/"]).text(),
        said("-i").trim_start_matches("fetch: (7) ").trim_end()
    );
}

#[test]
fn whether_anybody_reads_along_makes_no_difference() {
    let site = Site::start();
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    let output = command(&program("fetch"), &owned(&["-v", &site.url("/hi")])).stderr(full).output().unwrap();
    assert_eq!((output.status.code(), &output.stdout[..]), (Some(0), &b"hi\n"[..]));
}

#[test]
fn nobody_who_reads_is_a_failure_to_write() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    thread::spawn(move || {
        let mut stream = listener.accept().unwrap().0;
        hear(&mut stream);
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
        while stream.write_all(&[b'x'; 65536]).is_ok() {}
    });
    let mut child = command(&program("fetch"), &owned(&["-sS", &url])).spawn().unwrap();
    child.stdout.take().unwrap().read_exact(&mut [0; 10]).unwrap(); // and no more
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(23), "{stderr}");
    assert_eq!(stderr, "fetch: (23) write: Broken pipe (os error 32)\n");
}

#[test]
fn ctrl_c_ends_it_and_leaves_what_came() {
    let (site, folder) = (Site::start(), folder("interrupted"));
    let file = folder.join("part");
    for engine in ["windlass", "tokio"] {
        let arguments = ["-s", "--engine", engine, "-o", &file.display().to_string(), &site.url("/stalls")];
        let child = command(&program("fetch"), &owned(&arguments)).spawn().unwrap();
        while !fs::read(&file).is_ok_and(|part| part == b"abc") {
            thread::yield_now();
        }
        kill(Pid::from_raw(child.id() as i32), Signal::SIGINT).unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(130), "{engine}");
        assert_eq!(fs::read(&file).unwrap(), b"abc");
        fs::remove_file(&file).unwrap();
    }
}

#[test]
fn a_connection_that_does_not_come_about_has_its_time() {
    let deaf = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    deaf.bind(&"127.0.0.1:0".parse::<SocketAddr>().unwrap().into()).unwrap();
    deaf.listen(0).unwrap();
    let address = deaf.local_addr().unwrap();
    let _queued: Vec<_> = (0..4)
        .map(|_| {
            let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
            socket.set_nonblocking(true).unwrap();
            let _ = socket.connect(&address); // under way, for ever
            socket
        })
        .collect();
    let url = format!("http://{}/", address.as_socket().unwrap());
    for engine in ["windlass", "tokio"] {
        let done = fetch(&["-sS", "--engine", engine, "--connect-timeout", "0.3", &url]);
        assert_eq!(done.code, Some(28), "{engine}: {}", done.stderr);
    }
    // Connected as soon as the system has queued it, and silent in the handshake, which counts as well.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let arguments = owned(&["-s", "--connect-timeout", "0.3", &format!("https://{}/", silent.local_addr().unwrap())]);
    for program in [Some(&program("fetch")), curl()].into_iter().flatten() {
        assert_eq!(run(program, &arguments).code, Some(28), "{program:?}");
    }
    let site = Site::start();
    let done = fetch(&["-s", "--connect-timeout", "0.3", "-m", "0.6", "-w", "%{time_total}", &site.url("/silent")]);
    assert!((done.code, done.text().as_str()) > (Some(28), "0.6"), "connected, it has all the time: {done:?}");
}

#[test]
fn times_add_up() {
    let site = Site::start();
    let names = ["namelookup", "connect", "pretransfer", "starttransfer", "total"];
    let format: String = names.iter().map(|name| format!("%{{time_{name}}} ")).collect();
    let done = fetch(&["-s", "-o", "/dev/null", "-w", &format, &site.url("/hi")]);
    let times: Vec<f64> = done.text().split_whitespace().map(|time| time.parse().unwrap()).collect();
    assert!(times.len() == 5 && times.is_sorted() && times[3] > 0.0, "{times:?}");
}

#[test]
fn json_is_one_object_of_all_variables() {
    let site = Site::start();
    let json = |done: Done| -> serde_json::Value { serde_json::from_slice(&done.stdout).unwrap() };
    let arguments = owned(&["-s", "-o", "/dev/null", "-w", "%{json}", &site.url("/hi")]);
    let ours = json(run(&program("fetch"), &arguments));
    assert_eq!((&ours["http_code"], &ours["content_type"]), (&200.into(), &"text/plain".into()));
    let Some(curl) = curl() else { return };
    let theirs = json(run(curl, &arguments));
    let names = |object: &serde_json::Value| object.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    let known: Vec<_> = names(&theirs).into_iter().filter(|name| !NOT_OURS.contains(&name.as_str())).collect();
    assert_eq!(names(&ours), known);
    let differs = |name: &str| name.starts_with("time_") || name.starts_with("speed_");
    for name in known
        .iter()
        .filter(|name| !differs(name) && !["curl_version", "local_port", "size_request"].contains(&name.as_str()))
    {
        assert_eq!(ours[name], theirs[name], "{name}");
    }
}

/// Of protocols that are not ours, and of certificates, which are judged or not.
const NOT_OURS: [&str; 6] =
    ["certs", "ftp_entry_path", "http_connect", "num_certs", "proxy_ssl_verify_result", "ssl_verify_result"];

// Where fetch is stricter than curl, or newer: see its README.
#[test]
fn what_differs_from_curl_is_refused_under_its_number() {
    let site = Site::start();
    for (line, code, says) in [
        ("-sS U/bare-lf", 8, "a line ends in LF without CR"),
        ("-sS U/cuthead", 56, "the connection ended within the head"),
        ("-sS U/tecl", 8, "both content-length and transfer-encoding"),
        ("-sS U/larger", 100, "head: longer than the limit"),
        ("-sS -H 'Transfer-Encoding: chunked' -d x U/hi", 43, "transfer-encoding is not the caller's to set"),
        ("-sS -d @/nonexistent/file U/hi", 26, "read /nonexistent/file"),
    ] {
        let done = run(&program("fetch"), &words(line, &site));
        assert_eq!(done.code, Some(code), "{line}: {}", done.stderr);
        assert!(done.stderr.contains(says), "{line}: {}", done.stderr);
    }
    assert_eq!(run(&program("fetch"), &owned(&["-s", "-H", "A: b\r\nC: d", &site.url("/hi")])).code, Some(43));
}

#[test]
fn the_other_engine_does_what_it_can_and_refuses_the_rest() {
    let site = Site::start();
    for (line, code, stdout) in [
        ("-s U/hi", 0, "hi\n"),
        ("-sL -w %{num_redirects}:%{http_code} U/302", 0, "there\n1:200"),
        ("-s -d a=b -u me:pw U/empty", 0, ""),
        ("-s --compressed U/gzip", 0, "hello, hello"),
        ("-s U/chunked", 0, "abc0123456789"),
        ("-s -f U/404", 22, ""),
        ("-s U/short", 18, "abc"),
        ("-s U/none", 52, ""),
        ("-s U/reset", 56, "abc"),
        ("-s U/garbage", 8, ""),
        ("-s -m 0.3 U/silent", 28, ""),
        ("-s -m 0.3 U/stalls", 28, "abc"),
        ("-s http://nosuch.invalid/", 6, ""),
        ("-s http://127.0.0.1:1/", 7, ""),
        ("-s U/hi U/hi", 0, "hi\nhi\n"),
    ] {
        let done = run(&program("fetch"), &words(&format!("--engine tokio {line}"), &site));
        assert_eq!((done.code, done.text().as_str()), (Some(code), stdout), "{line}: {}", done.stderr);
    }
    for flags in [
        "-i",
        "-I",
        "-D -",
        "-v",
        "--raw",
        "-0",
        "-k",
        "--cacert x",
        "--resolve a:1:127.0.0.1",
        "-x a",
        "-w %{num_connects}",
    ] {
        let done = run(&program("fetch"), &words(&format!("--engine tokio {flags} U/hi"), &site));
        assert_eq!(done.code, Some(2), "{flags}");
        assert!(done.stderr.starts_with("fetch: (2) --engine tokio cannot do this: "), "{flags}: {}", done.stderr);
    }
    let heard = site.heard();
    assert!(
        heard.iter().any(|request| request.starts_with("POST /empty HTTP/1.1\r\n") && request.ends_with("\r\n\r\na=b"))
    );
}
