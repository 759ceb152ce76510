//! What the examples talk to: a server that answers with what it heard.
//!
//! ```text
//!   request ──► its head as it came, its body decoded ──┬── a reply with a length
//!                                                       ├── ?chunks=  the same, in chunks
//!                                                       └── ?body=    [1,2] instead
//! ```
//!
//! It is not [`Server`](crate::http::Server), so that the client is shown by something that knows nothing of it.
//! Next: `exchange`, whose examples it answers.

use crate::http::Limits;
use crate::http::wire::body::{Decoder, write_chunk, write_last_chunk};
use crate::http::wire::request::RequestHead;
use crate::net::TcpStream;

/// Answers every request of a connection; none when it ends, or makes no sense.
pub(crate) async fn echo(mut stream: TcpStream) -> Option<()> {
    let (limits, mut heard) = (Limits::default(), Vec::new());
    loop {
        let mut head = RequestHead::new();
        let len = loop {
            match head.parse(&heard, &limits).ok()? {
                Some(len) => break len,
                None => hear(&mut stream, &mut heard).await?,
            }
        };
        if head.fields(&heard).get("expect").is_some() {
            stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await.ok()?;
        }
        let mut decoder = Decoder::new(head.framing().ok()?, &limits).ok()?;
        let mut rest = heard.split_off(len);
        let mut body = heard.clone();
        while !decoder.is_finished() {
            let step = decoder.decode(&rest).ok()?;
            body.extend_from_slice(step.data);
            rest.drain(..step.consumed);
            if rest.is_empty() && !decoder.is_finished() {
                hear(&mut stream, &mut rest).await?;
            }
        }
        let mut framing = format!("Content-Length: {}", body.len());
        if head.target(&heard).starts_with(b"/?body=") {
            (framing, body) = ("Content-Length: 5".to_owned(), b"[1,2]".to_vec());
        } else if head.target(&heard).starts_with(b"/?chunks=") {
            framing = "Transfer-Encoding: chunked".to_owned();
            let data = std::mem::take(&mut body);
            write_chunk(&mut body, &data);
            write_last_chunk(&mut body);
        }
        if head.method(&heard) == b"HEAD" {
            body.clear();
        }
        stream.write_all(format!("HTTP/1.1 200 OK\r\n{framing}\r\n\r\n").as_bytes()).await.ok()?;
        stream.write_all(&body).await.ok()?;
        heard = rest;
    }
}

async fn hear(stream: &mut TcpStream, heard: &mut Vec<u8>) -> Option<()> {
    let mut piece = vec![0; 16 * 1024];
    let n = stream.read(&mut piece).await.ok().filter(|n| *n > 0)?;
    heard.extend_from_slice(&piece[..n]);
    Some(())
}
