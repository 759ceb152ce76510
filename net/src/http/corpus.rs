//! What servers send, good and bad, and what must come of it.
//!
//! One table, in terms of bytes and names alone, so that every test that can feed bytes to a client can use it: the
//! parts in this folder, the client on a scripted socket, a fuzzer as its seeds. Behind each stream the connection ends.
//!
//! Next: `corpus_test`, which feeds it to the parts in every way in which a network may cut it.

use std::borrow::Cow;

/// A stream from a server and its outcome.
#[derive(Debug)]
pub(crate) struct Case {
    /// The rule that it tests, by its RFC section.
    pub(crate) rule: &'static str,
    /// The method of the request that it answers.
    pub(crate) method: &'static str,
    /// What the server sends before it closes.
    pub(crate) stream: Cow<'static, [u8]>,
    pub(crate) outcome: Outcome,
}

/// What a client must make of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// A complete reply. `reused` says whether the connection could carry another request, as far as the peer's bytes
    /// tell; `rest` is how many bytes follow the reply.
    Reply { status: u16, body: Cow<'static, [u8]>, reused: bool, rest: usize },
    /// An error of this name.
    Fails(&'static str),
}

fn case(rule: &'static str, stream: impl Into<Cow<'static, [u8]>>, outcome: Outcome) -> Case {
    Case { rule, method: "GET", stream: stream.into(), outcome }
}

fn to_head(rule: &'static str, stream: &'static [u8], outcome: Outcome) -> Case {
    Case { rule, method: "HEAD", stream: stream.into(), outcome }
}

fn reply(status: u16, body: &'static str, reused: bool, rest: usize) -> Outcome {
    Outcome::Reply { status, body: body.as_bytes().into(), reused, rest }
}

fn kept(body: &'static str) -> Outcome {
    reply(200, body, true, 0)
}

fn closed(body: &'static str) -> Outcome {
    reply(200, body, false, 0)
}

const PROTOCOL: Outcome = Outcome::Fails("protocol");
const TRUNCATED: Outcome = Outcome::Fails("truncated");
const TOO_LARGE: Outcome = Outcome::Fails("too_large");

/// A reply with these header lines and the body `hello` behind them.
fn headed(rule: &'static str, lines: &str, outcome: Outcome) -> Case {
    case(rule, format!("HTTP/1.1 200 OK\r\n{lines}\r\n\r\nhello").into_bytes(), outcome)
}

/// A chunked reply with this body.
fn chunked(rule: &'static str, body: &str, outcome: Outcome) -> Case {
    case(rule, format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{body}").into_bytes(), outcome)
}

/// A reply with a body of five bytes under this status line.
fn status_line(rule: &'static str, line: &str, outcome: Outcome) -> Case {
    case(rule, format!("{line}\r\nContent-Length: 5\r\n\r\nhello").into_bytes(), outcome)
}

/// Every case.
pub(crate) fn cases() -> Vec<Case> {
    let mut cases = good();
    cases.extend(heads());
    cases.extend(framings());
    cases.extend(chunks());
    cases.extend(limits());
    cases
}

/// Replies as well-behaved servers send them.
fn good() -> Vec<Case> {
    vec![
        headed("9112 6.3 length", "Content-Length: 5", kept("hello")),
        headed("9112 6.3 length, as nginx", NGINX, kept("hello")),
        headed("9112 6.3 close", "Content-Type: text/plain", closed("hello")),
        case("9112 6.3 no bytes", &b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"[..], kept("")),
        case("9112 6.3 no headers", &b"HTTP/1.1 200 OK\r\n\r\nhello"[..], closed("hello")),
        chunked("9112 7.1", "5\r\nhello\r\n0\r\n\r\n", kept("hello")),
        chunked("9112 7.1 several", "1\r\nh\r\n3\r\nell\r\n1\r\no\r\n0\r\n\r\n", kept("hello")),
        chunked("9112 7.1 no bytes", "0\r\n\r\n", kept("")),
        chunked("9112 7.1 CRLF in data", "4\r\n\r\n\r\n\r\n0\r\n\r\n", kept("\r\n\r\n")),
        case("9112 9.3", &b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello"[..], closed("hello")),
        case(
            "9112 9.3",
            &b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\nhello"[..],
            kept("hello"),
        ),
        headed("9112 9.6", "Connection: close\r\nContent-Length: 5", closed("hello")),
        headed("9112 9.6", "Connection: keep-alive, CLOSE\r\nContent-Length: 5", closed("hello")),
        headed("9112 9.6", "Connection: x\r\nConnection: Close\r\nContent-Length: 5", closed("hello")),
        case(
            "9110 15.2",
            &b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"[..],
            kept("hello"),
        ),
        case(
            "9110 15.2",
            &b"HTTP/1.1 100 \r\n\r\nHTTP/1.1 102 x\r\nA: b\r\n\r\nHTTP/1.1 103 y\r\nContent-Length: 9\r\n\r\n\
               HTTP/1.1 404 z\r\nContent-Length: 5\r\n\r\nhello"[..],
            reply(404, "hello", true, 0),
        ),
        case("9110 15.3.5", &b"HTTP/1.1 204 No Content\r\n\r\n"[..], reply(204, "", true, 0)),
        case("9110 15.4.5", &b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n"[..], reply(304, "", true, 0)),
        to_head("9110 9.3.2", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", kept("")),
        to_head("9110 9.3.2", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", kept("")),
        to_head("9110 9.3.2", b"HTTP/1.1 200 OK\r\n\r\n", kept("")),
    ]
}

const NGINX: &str = "Server: nginx/1.24.0\r\nDate: Sun, 22 Nov 2026 18:27:48 GMT\r\nContent-Type: text/html\r\n\
    Content-Length: 5\r\nLast-Modified: Mon, 01 Jan 2024 00:00:00 GMT\r\nConnection: keep-alive\r\nAccept-Ranges: bytes";

/// Status lines and header lines.
fn heads() -> Vec<Case> {
    let ok = |line| status_line("9112 4", line, kept("hello"));
    let bad = |line| status_line("9112 4", line, PROTOCOL);
    let line_bad = |rule, lines| headed(rule, lines, PROTOCOL);
    vec![
        ok("HTTP/1.1 200 "),
        ok("HTTP/1.1 200"),
        ok("HTTP/1.1 200 \u{e4} ok"),
        bad("HTTP/1.1 99 x"),
        bad("HTTP/1.1 1000 x"),
        bad("HTTP/1.1 600 x"),
        bad("HTTP/1.1 20 x"),
        bad("HTTP/1.1 2OO x"),
        bad("HTTP/2.0 200 x"),
        bad("HTTP/1.2 200 x"),
        bad("HTTP/1.1  200 x"),
        bad("ICY 200 OK"),
        bad("<html>hello"),
        bad(""),
        bad("HTTP/1.1 101 Switching Protocols"),
        case("9112 4", &b""[..], TRUNCATED),
        case("9112 4", &b"HTTP/1"[..], TRUNCATED),
        case("9112 4", &b"HTTP/1.1 200 OK\r\n"[..], TRUNCATED),
        case("9112 4", &b"\r\nHTTP/1.1 200 OK\r\n\r\n"[..], PROTOCOL),
        line_bad("9112 5.1", "X : 1"),
        line_bad("9112 5.1", " X: 1"),
        line_bad("9112 5.1", "X\t: 1"),
        line_bad("9112 5.1", ": 1"),
        line_bad("9112 5.1", "X"),
        line_bad("9112 5.2", "X: a\r\n b"),
        line_bad("9112 5.2", "Content-Length: 5\r\n 5"),
        line_bad("9112 5.2", "Transfer-Encoding:\r\n chunked"),
        line_bad("9112 5.2", "Content-Length: 5\r\nConnection: x,\r\n close"),
        line_bad("9112 2.2", "A: b\rContent-Length: 5"),
        line_bad("9112 2.2", "A: b\nContent-Length: 5"),
        line_bad("9112 2.2", "A: b\r\r\nContent-Length: 5"),
        line_bad("9110 5.5", "A: b\0c\r\nContent-Length: 5"),
        headed("9110 5.5", "A: \u{e4}\r\nContent-Length: 5", kept("hello")),
        case("9112 2.2", &b"HTTP/1.1 200 OK\nContent-Length: 5\n\nhello"[..], PROTOCOL),
        case("9112 2.2", &b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\nhello"[..], PROTOCOL),
        case("9112 2.2", &b"HTTP/1.1 200 OK\rContent-Length: 5\r\rhello"[..], TRUNCATED),
        case("9110 15.2", &b"HTTP/1.1 100 Continue\r\n\r\n"[..], TRUNCATED),
        case("9110 15.2", &b"HTTP/1.1 100 Continue\r\n\r\nhello"[..], PROTOCOL),
    ]
}

/// Content-Length, Transfer-Encoding, and what follows a reply.
fn framings() -> Vec<Case> {
    let mut cases = Vec::new();
    for value in ["+5", "-0", "0x5", "5 5", "5;", "18446744073709551616", "", "\u{665}", "5, 6", "5,"] {
        cases.push(headed("9112 6.3 rule 5", &format!("Content-Length: {value}"), PROTOCOL));
    }
    for value in ["  5 \t", "5, 5", "5\r\nContent-Length: 5", "005"] {
        cases.push(headed("9110 8.6", &format!("Content-Length:{value}"), kept("hello")));
    }
    for value in
        ["chunked, gzip", "chunked, chunked", "xchunked", "chunked\r\nTransfer-Encoding: chunked", "identity", ""]
    {
        cases.push(headed("9112 6.1", &format!("Transfer-Encoding: {value}"), PROTOCOL));
    }
    cases.extend([
        headed("9110 8.6 differ", "Content-Length: 5\r\nContent-Length: 6", PROTOCOL),
        headed("9112 6.3 rule 3", "Transfer-Encoding: chunked\r\nContent-Length: 5", PROTOCOL),
        headed("9112 6.3 rule 3", "Content-Length: 5\r\nTransfer-Encoding: chunked", PROTOCOL),
        headed("9112 6.1", "Transfer-Encoding: \u{b}chunked", PROTOCOL),
        headed("9112 6.3 rule 4", "Transfer-Encoding: gzip", closed("hello")),
        headed("9112 6.1 case", "Transfer-Encoding: Chunked", PROTOCOL), // "hello" is no chunk
        headed("9112 8", "Content-Length: 6", TRUNCATED),
        headed("9112 8", "Content-Length: 9999999", TRUNCATED),
        headed("9112 9.2", "Content-Length: 4", reply(200, "hell", false, 1)),
        headed("9112 9.2", "Content-Length: 0", reply(200, "", false, 5)),
        case(
            "9112 6.1 in 1.0",
            &b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
                [..],
            closed("hello"),
        ),
        case(
            "9112 9.2 two replies",
            &b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhiHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"[..],
            reply(200, "hi", false, 38),
        ),
        case(
            "9112 9.2 a line end",
            &b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi\r\n"[..],
            reply(200, "hi", true, 2),
        ),
        to_head("9112 9.2", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", reply(200, "", false, 5)),
        case("9112 9.2", &b"HTTP/1.1 204 x\r\nContent-Length: 5\r\n\r\nhello"[..], reply(204, "", false, 5)),
        case("9112 9.2", &b"HTTP/1.1 304 x\r\nTransfer-Encoding: chunked\r\n\r\nhello"[..], reply(304, "", false, 5)),
    ]);
    cases
}

/// The chunked coding.
fn chunks() -> Vec<Case> {
    let rest = "\r\nhello\r\n0\r\n\r\n";
    let mut cases = Vec::new();
    for size in ["10000000000000000", "00000000000000005", "0x5", "-1", "+5", "", " 5", "5 5", "5g", ";a"] {
        cases.push(chunked("9112 7.1 size", &format!("{size}{rest}"), PROTOCOL));
    }
    for size in ["0005", "5;a=b", "5 ;a", "5;a=\"\u{e4};\"", "5  "] {
        cases.push(chunked("9112 7.1.1", &format!("{size}{rest}"), kept("hello")));
    }
    for body in [
        "5\nhello\r\n0\r\n\r\n",
        "5;a\nb\r\nhello\r\n0\r\n\r\n",
        "5;\r\r\nhello\r\n0\r\n\r\n",
        "5;a\0\r\nhello\r\n0\r\n\r\n",
        "5\r\nhello0\r\n\r\n",
        "5\r\nhello\n0\r\n\r\n",
        "5\r\nhello!\r\n0\r\n\r\n",
        "5\r\nhello\r\n0\n\r\n",
        "5\r\nhello\r\n0\r\n\n",
        "5\r\nhello\r\n0\r\nA: b\r\n c\r\n\r\n",
        "5\r\nhello\r\n0\r\nA : b\r\n\r\n",
        "5\r\nhello\r\n0\r\nA: b\nC: d\r\n\r\n",
    ] {
        cases.push(chunked("9112 7.1 lines", body, PROTOCOL));
    }
    cases.extend([
        chunked("9112 7.1.2", "5\r\nhello\r\n0\r\nContent-Length: 9\r\nA: b\r\n\r\n", kept("hello")),
        chunked("9112 8", "5\r\nhello\r\n", TRUNCATED),
        chunked("9112 8", "5\r\nhello\r\n0\r\n", TRUNCATED),
        chunked("9112 8", "5\r\nhello\r\n0\r\nA: b\r\n", TRUNCATED),
        chunked("9112 8", "", TRUNCATED),
        chunked("9112 9.2", "0\r\n\r\nx", reply(200, "", false, 1)),
        chunked("9112 7.1 largest", "FFFFFFFFFFFFFFFF\r\n", TOO_LARGE),
        chunked("9112 7.1 overflow", "5\r\nhello\r\nFFFFFFFFFFFFFFFB\r\n", TOO_LARGE),
        chunked("9112 7.1 zeros", &"0".repeat(100_000), PROTOCOL),
    ]);
    cases
}

/// Too much of something.
fn limits() -> Vec<Case> {
    let x = |len: usize| "x".repeat(len);
    vec![
        headed("9110 5.4 fields", &format!("{}A: b", "A: b\r\n".repeat(100)), TOO_LARGE),
        headed("9110 5.4 fields", &format!("{}Content-Length: 5", "A: b\r\n".repeat(99)), kept("hello")),
        headed("9110 5.4 line", &format!("A: {}", x(16_382)), TOO_LARGE),
        headed("9110 5.4 line", &format!("Content-Length: 5\r\nA: {}", x(16_381)), kept("hello")),
        headed("9110 5.4 head", &format!("A: {}\r\n", x(10_000)).repeat(7), TOO_LARGE),
        headed("9110 5.4 endless line", &format!("A: {}", x(100_000)), TOO_LARGE),
        status_line("9110 4.1", &format!("HTTP/1.1 200 {}", x(8_180)), TOO_LARGE),
        status_line("9110 4.1", &format!("HTTP/1.1 200 {}", x(8_179)), kept("hello")),
        case("9110 15.2 endless", "HTTP/1.1 100\r\n\r\n".repeat(1_000).into_bytes(), TOO_LARGE),
        case("9110 15.2 large", format!("HTTP/1.1 103\r\nA: {}\r\n\r\n", x(16_000)).repeat(5).into_bytes(), TOO_LARGE),
        case(
            "9110 15.2 sixteen",
            ("HTTP/1.1 100\r\n\r\n".repeat(16) + "HTTP/1.1 200\r\nContent-Length: 5\r\n\r\nhello").into_bytes(),
            kept("hello"),
        ),
        headed("9110 8.6 body", "Content-Length: 11534336", TOO_LARGE),
        headed("9110 8.6 body", "Content-Length: 9223372036854775808", TOO_LARGE),
        chunked("9112 7.1 body", "B00000\r\n", TOO_LARGE),
        chunked("9112 7.1.1", &format!("1;{}\r\nx\r\n0\r\n\r\n", x(17_408)), TOO_LARGE),
        chunked("9112 7.1.1 many", &"1;e\r\nx\r\n".repeat(20_000), TOO_LARGE),
        chunked("9112 7.1.2 lines", &format!("0\r\n{}\r\n", "a: b\r\n".repeat(65)), TOO_LARGE),
        chunked("9112 7.1.2 bytes", &format!("0\r\na: {}\r\n\r\n", x(16_384)), TOO_LARGE),
        chunked("9112 7.1.2 endless", &format!("0\r\na: {}", x(100_000)), TOO_LARGE),
    ]
}
