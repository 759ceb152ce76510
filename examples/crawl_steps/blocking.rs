//! The first step: one after the other.
//!
//! Everybody's first crawler. The call returns when the page is there, and nothing else is done meanwhile:
//!
//! ```text
//!   connect ─ send ─ ........ 1 s ........ ─ read ─┤connect ─ send ─ ........ 1 s ........ ─ read ─┤ ...
//! ```
//!
//! These are std's sockets, and a new connection for each URL, as with a `requests.get` each. How HTTP is read needs no loop: the
//! functions that the client uses take slices, wherever they come from.
//!
//! The calls are made on another thread, one after the other, for one reason: so that this one can hear Ctrl-C.
//!
//! Next: `basic`.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    rc::Rc,
    time::Duration,
};

use windlass::{
    http::{
        Error, ErrorKind, Limits, Url,
        body::Decoder,
        head::{Asked, ResponseHead},
        request::{Content, write_request},
    },
    task::spawn_blocking,
};

use crate::outcome::{Outcomes, Page};

/// Fetches `urls`, one after the other.
pub(crate) async fn crawl(urls: &[Rc<Url>], timeout: Duration, outcomes: &Outcomes) {
    for (position, url) in urls.iter().enumerate() {
        let asked = Url::clone(url);
        let fetched = spawn_blocking(move || fetch(&asked, timeout)).await;
        outcomes.put(position, url, fetched.expect("fetching does not panic"), 1);
    }
}

/// Fetches one page, and returns when it is there.
///
/// # Errors
/// What the system or the peer's bytes say; a read of more than `timeout` is among the first.
fn fetch(url: &Url, timeout: Duration) -> Result<Page, Error> {
    let mut request = Vec::new();
    write_request(&mut request, "GET", url, &[("Connection", "close")], Content::None)?;
    let received = exchange(url, &request, timeout).map_err(|error| named(error).during(format!("get {url}")))?;
    read(&received)
}

/// std says of a read that took too long that it would block.
fn named(error: io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
            Error::new(ErrorKind::TimeoutRead, "timed out: waiting for an answer")
        }
        _ => Error::io(ErrorKind::Other, "exchange", error),
    }
}

fn exchange(url: &Url, request: &[u8], timeout: Duration) -> io::Result<Vec<u8>> {
    let ip = url.ip().ok_or_else(|| io::Error::other("the site has an address, and no name"))?;
    let mut stream = TcpStream::connect_timeout(&SocketAddr::new(ip, url.port()), timeout)?;
    stream.set_read_timeout(Some(timeout))?;
    stream.write_all(request)?;
    let mut received = Vec::new();
    stream.read_to_end(&mut received)?; // the request asked for the connection to be closed
    Ok(received)
}

/// Reads an answer that is there as a whole.
fn read(received: &[u8]) -> Result<Page, Error> {
    let limits = Limits::default();
    let mut head = ResponseHead::new();
    let truncated = || Error::new(ErrorKind::Truncated, "the answer ended before its head did");
    let mut at = head.parse(received, &limits)?.ok_or_else(truncated)?;
    let mut decoder = Decoder::new(head.framing(Asked::Body)?, &limits)?;
    let mut size = 0;
    loop {
        let step = decoder.decode(&received[at..])?;
        at += step.consumed;
        size += step.data.len() as u64;
        if step.finished {
            break;
        }
        if step.consumed == 0 {
            decoder.finish_at_eof()?;
            break;
        }
    }
    Ok(Page { status: head.status(), size })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_however_its_length_is_told() {
        for (answer, size) in [
            (&b"HTTP/1.1 404 Not Found\r\nContent-Length: 5\r\n\r\nhello"[..], 5),
            (b"HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n", 5),
            (b"HTTP/1.1 404 Not Found\r\n\r\nall up to the end", 17),
        ] {
            assert_eq!(read(answer).unwrap(), Page { status: 404, size });
        }
    }

    #[test]
    fn an_answer_that_ends_too_early_is_an_error() {
        for answer in [&b"HTTP/1.1 200 OK\r\nContent-Le"[..], b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell", b""]
        {
            assert_eq!(read(answer).unwrap_err().kind(), ErrorKind::Truncated);
        }
    }
}
