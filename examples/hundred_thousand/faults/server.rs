//! The faults, byte by byte.
//!
//! A server that keeps to HTTP cannot break it, so this one writes its answers itself: the request's number stands in its
//! target, and the script says what it gets.
//!
//! ```text
//!     GET /7 HTTP/1.1 ... ──► number ──► script ──┬── nothing ──► the 128 bytes of 7, and the next request
//!                                                 └── a fault ──► some bytes ──► the next, the end, or a reset
//! ```
//!
//! Not here: how that must look to who asked (`script`).   Next: `counts`.

use std::{cell::RefCell, collections::HashSet, io, mem, net::Shutdown, rc::Rc, str, time::Duration};

use windlass::{
    net::{TcpListener, TcpStream},
    time::sleep,
};

use super::script::{self, BODY_LEN, Fault, Script};

/// Behind a good answer. It is all that this connection answers from then on: a client that takes it for the answer to its
/// next request, or goes on where nobody knows what answers what, shows it by the status.
const UNASKED: &str = "HTTP/1.1 418 I'm a teapot\r\nContent-Length: 0\r\n\r\n";
/// A head that has not ended after so many bytes is beyond every client's limit.
const ENDLESS: usize = 2 << 20;
/// Behind a good answer, before the end.
const TIMED_OUT: &str = "HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
/// So many pieces of a slow answer, and so long a pause before each.
const PIECES: usize = 8;
const PAUSE: Duration = Duration::from_millis(10);
/// More than any client takes that has a limit at all.
const INTERIMS: usize = 100;
/// Heads of requests are shorter.
const REQUEST_MAX: usize = 2048;

/// Serves connections until this is dropped.
///
/// # Errors
/// No more connections can be accepted.
pub(crate) async fn serve(listener: TcpListener, script: Script) -> io::Result<()> {
    let turned_away = Rc::default();
    loop {
        let (stream, _) = listener.accept().await?;
        let turned_away = Rc::clone(&turned_away);
        windlass::spawn(async move {
            // Clients leave when they have seen enough: what they did not take is no failure of ours.
            let _ = talk(stream, script, &turned_away).await;
        });
    }
}

/// `turned_away` are the requests that have met the end of a connection in use.
async fn talk(mut stream: TcpStream, script: Script, turned_away: &RefCell<HashSet<u64>>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let (mut unread, mut is_reused) = (Vec::new(), false);
    while let Some(number) = next_request(&mut stream, &mut unread).await? {
        let was_reused = mem::replace(&mut is_reused, true);
        let fault = script
            .fault(number)
            .filter(|fault| *fault != Fault::EndOnReuse || (was_reused && turned_away.borrow_mut().insert(number)));
        let Some(fault) = fault else {
            stream.write_all(good(number).as_bytes()).await?;
            continue;
        };
        if let After::End = commit(fault, number, &mut stream).await? {
            break;
        }
    }
    Ok(())
}

/// Takes one request in and yields the number in its target; `None` if there is no more.
async fn next_request(stream: &mut TcpStream, unread: &mut Vec<u8>) -> io::Result<Option<u64>> {
    let mut buffer = [0; REQUEST_MAX];
    loop {
        if let Some(end) = memchr::memmem::find(unread, b"\r\n\r\n") {
            let number = number_in(&unread[..end]);
            unread.drain(..end + 4);
            return number.map(Some).ok_or_else(|| io::Error::other("a request without a number"));
        }
        let read = if unread.len() < REQUEST_MAX { stream.read(&mut buffer).await? } else { 0 };
        if read == 0 {
            return Ok(None);
        }
        unread.extend_from_slice(&buffer[..read]);
    }
}

/// A good answer to request `number`.
fn good(number: u64) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {BODY_LEN}\r\n\r\n{}", script::body(number))
}

/// `GET /7 HTTP/1.1 ...` is 7.
fn number_in(head: &[u8]) -> Option<u64> {
    let target = head.split(|&byte| byte == b' ').nth(1)?;
    str::from_utf8(target).ok()?.strip_prefix('/')?.parse().ok()
}

/// What becomes of a connection.
enum After {
    Next,
    End,
}

async fn commit(fault: Fault, number: u64, stream: &mut TcpStream) -> io::Result<After> {
    let good = good(number);
    let half = &good[..good.len() - BODY_LEN / 2];
    match fault {
        Fault::ResetAtOnce => return reset(stream),
        Fault::ResetInBody => {
            stream.write_all(half.as_bytes()).await?;
            return reset(stream);
        }
        Fault::EndInHead => stream.write_all(&good.as_bytes()[..25]).await?,
        Fault::EndInBody => stream.write_all(half.as_bytes()).await?,
        Fault::OtherProtocol => stream.write_all(b"220 mail.example.org ESMTP\r\n\r\n").await?,
        Fault::EndlessHead => {
            stream.write_all(b"HTTP/1.1 200 OK\r\nX-Filler: ").await?;
            stream.write_all(&vec![b'x'; ENDLESS]).await?;
        }
        Fault::BadChunk => {
            stream
                .write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfive\r\nhello\r\n0\r\n\r\n")
                .await?;
        }
        Fault::Silence => {}
        Fault::ServerError => return say(stream, "500 Internal Server Error\r\n").await,
        Fault::Unavailable => return say(stream, "503 Service Unavailable\r\nRetry-After: 1\r\n").await,
        Fault::RedirectLoop => return say(stream, &format!("302 Found\r\nLocation: /{number}\r\n")).await,
        Fault::Unasked => {
            stream.write_all([&good, UNASKED].concat().as_bytes()).await?;
            let mut buffer = [0; REQUEST_MAX];
            while stream.read(&mut buffer).await? > 0 {
                stream.write_all(UNASKED.as_bytes()).await?;
            }
            return Ok(After::End);
        }
        Fault::TimedOutIdle => stream.write_all([&good, TIMED_OUT].concat().as_bytes()).await?,
        Fault::Slow => {
            for piece in good.as_bytes().chunks(good.len().div_ceil(PIECES)) {
                sleep(PAUSE).await;
                stream.write_all(piece).await?;
            }
            return Ok(After::Next);
        }
        Fault::InterimFlood => {
            let interims = "HTTP/1.1 103 Early Hints\r\n\r\n".repeat(INTERIMS);
            stream.write_all((interims + &good).as_bytes()).await?;
            return Ok(After::Next);
        }
        Fault::EndOnReuse => {}
    }
    if fault != Fault::Silence {
        stream.shutdown(Shutdown::Write)?;
    }
    // The other side closes when it has seen enough; a close of ours before that might reset what it has not read yet.
    while stream.read(&mut [0; 64]).await? > 0 {}
    Ok(After::End)
}

async fn say(stream: &mut TcpStream, head: &str) -> io::Result<After> {
    stream.write_all(format!("HTTP/1.1 {head}Content-Length: 0\r\n\r\n").as_bytes()).await?;
    Ok(After::Next)
}

/// Has the kernel send a reset when the connection is dropped.
fn reset(stream: &TcpStream) -> io::Result<After> {
    stream.set_linger(Some(Duration::ZERO))?;
    Ok(After::End)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_a_request_is_its_target() {
        assert_eq!(number_in(b"GET /7 HTTP/1.1\r\nHost: x"), Some(7));
        for head in ["GET / HTTP/1.1", "GET /x HTTP/1.1", "GET", ""] {
            assert_eq!(number_in(head.as_bytes()), None, "{head:?}");
        }
    }

    #[test]
    fn a_good_answer_is_as_long_as_it_says() {
        let good = good(7);
        let (head, body) = good.split_once("\r\n\r\n").unwrap();
        assert!(head.ends_with(&format!("Content-Length: {}", body.len())), "{good}");
    }
}
