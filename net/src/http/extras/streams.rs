//! Bodies of which not all is at hand: streams and files.
//!
//! ```text
//!   stream ──┐
//!   file   ──┴── Pulled ──► poll_fill ──► a piece, framed as it goes out
//!                  └── rewind: the file from its beginning; a stream has none
//! ```
//!
//! However long such a body is, no more of it is in memory than a piece. A length that was announced is kept to: more or
//! less than that is an error, and the connection is closed (RFC 9112 8), since the peer would take the rest for the next
//! request, or the next request for the rest.
//! Not here: who waits for whom (`connection`), bodies that are bytes (`upload`).   Next: `form`.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use windlass_executor::spawn_blocking;

use super::upload::{Body, PIECE_BYTES};
use crate::http::wire::body::{write_chunk, write_last_chunk};
use crate::http::{Error, ErrorKind};

type Cause = Box<dyn std::error::Error + Send + Sync>;
/// Gives one piece after the other.
type Pieces = Box<dyn FnMut(&mut Context<'_>) -> Poll<Option<Result<Vec<u8>, Cause>>>>;

/// A body that comes in pieces.
pub(crate) struct Pulled {
    pieces: Pieces,
    /// Makes `pieces` anew, from the first one on.
    again: Option<Box<dyn Fn() -> Pieces>>,
    pub(crate) length: Option<u64>,
    /// How many bytes of `length` are to come.
    left: u64,
    state: State,
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    Untouched,
    Begun,
    Ended,
}

impl Body {
    /// The pieces of `stream`, as chunks: how long it will be is not known. It cannot be sent twice, so a request that
    /// has begun to send it is not repeated.
    ///
    /// While the stream gives nothing, time runs: see [`Timeouts::read`](crate::http::Timeouts::read).
    ///
    /// # Errors
    /// An error of the stream's ends the request, with the kind [`Other`](ErrorKind::Other).
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// use windlass::http::Body;
    /// # use std::{io, pin::Pin, task::{Context, Poll}};
    /// # struct Countdown(u32);
    /// # impl futures_core::Stream for Countdown {
    /// #     type Item = io::Result<String>;
    /// #     fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<io::Result<String>>> {
    /// #         if self.0 == 0 {
    /// #             return Poll::Ready(None);
    /// #         }
    /// #         self.0 -= 1;
    /// #         Poll::Ready(Some(Ok(format!("{} ", self.0))))
    /// #     }
    /// # }
    /// # windlass_net::doc_http(async |client, url| {
    /// let body = Body::stream(Countdown(3)); // a Stream of io::Result<String>
    /// let heard = client.post(url).body(body).send().await?.text().await?;
    /// assert!(heard.ends_with("\r\nTransfer-Encoding: chunked\r\n\r\n2 1 0 "), "{heard}");
    /// # Ok(()) });
    /// ```
    pub fn stream<S, B, E>(stream: S) -> Body
    where
        S: Stream<Item = Result<B, E>> + 'static,
        B: Into<Vec<u8>>,
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        Pulled::body(None, pieces_of(stream), None)
    }

    /// As [`stream`](Body::stream), with a length that is announced.
    ///
    /// # Errors
    /// A stream that gives more or less ends the request, with the kind [`Other`](ErrorKind::Other), and its connection.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// use windlass::http::Body;
    /// # struct Silence;
    /// # impl futures_core::Stream for Silence {
    /// #     type Item = std::io::Result<Vec<u8>>;
    /// #     fn poll_next(self: std::pin::Pin<&mut Self>, _: &mut std::task::Context<'_>) -> std::task::Poll<Option<Self::Item>> {
    /// #         std::task::Poll::Ready(None)
    /// #     }
    /// # }
    /// # let stream = Silence;
    /// assert_eq!(Body::sized_stream(1_000, stream).length(), Some(1_000));
    /// ```
    pub fn sized_stream<S, B, E>(length: u64, stream: S) -> Body
    where
        S: Stream<Item = Result<B, E>> + 'static,
        B: Into<Vec<u8>>,
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        Pulled::body(Some(length), pieces_of(stream), None)
    }

    /// All of a file, as long as it is now. It is read on the blocking pool, while the request goes out, and read again
    /// if the request is repeated.
    ///
    /// # Errors
    /// Of the file system; [`InvalidInput`](io::ErrorKind::InvalidInput) for what is no regular file, and so has no length.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// use windlass::http::Body;
    /// # windlass_net::doc_dir(async |dir| {
    /// let path = dir.join("page.html");
    /// std::fs::write(&path, "<p>hello")?;
    /// assert_eq!(Body::file(std::fs::File::open(path)?)?.length(), Some(8));
    /// # Ok(()) });
    /// ```
    pub fn file(file: File) -> io::Result<Body> {
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the body is no regular file"));
        }
        let (file, length) = (Arc::new(file), metadata.len());
        let again = move || pieces_of_file(file.clone(), length);
        Ok(Pulled::body(Some(length), again(), Some(Box::new(again))))
    }
}

impl Pulled {
    fn body(length: Option<u64>, pieces: Pieces, again: Option<Box<dyn Fn() -> Pieces>>) -> Body {
        Body::pulled(Pulled { pieces, again, length, left: length.unwrap_or(0), state: State::Untouched })
    }

    /// Goes back to the beginning. False if that cannot be done.
    pub(crate) fn rewind(&mut self) -> bool {
        if self.state != State::Untouched {
            let Some(again) = &self.again else { return false };
            (self.pieces, self.left, self.state) = (again(), self.length.unwrap_or(0), State::Untouched);
        }
        true
    }

    /// Whether it has given all, and said so.
    pub(crate) fn is_taken(&self) -> bool {
        self.state == State::Ended
    }

    /// Whether the peer has been told to expect more than has been given. Not so if it has given all that was announced and
    /// has not said yet that this was all.
    pub(crate) fn is_owed(&self) -> bool {
        if self.length.is_some() { self.left > 0 } else { !self.is_taken() }
    }

    /// Appends the next piece, framed as it is to be sent. At the end it may append nothing.
    ///
    /// # Errors
    /// The source's own, and a length that is not the one announced.
    pub(crate) fn poll_fill(&mut self, cx: &mut Context<'_>, out: &mut Vec<u8>) -> Poll<Result<(), Error>> {
        self.state = State::Begun;
        match ready!((self.pieces)(cx)) {
            Some(Ok(piece)) if self.length.is_none() => write_chunk(out, &piece),
            Some(Ok(piece)) => {
                let left = self.left.checked_sub(piece.len() as u64);
                self.left = left.ok_or_else(|| wrong_length("longer"))?;
                out.extend_from_slice(&piece);
            }
            Some(Err(cause)) => {
                return Poll::Ready(Err(Error::new(ErrorKind::Other, "the request's body").with_source(cause)));
            }
            None if self.left > 0 => return Poll::Ready(Err(wrong_length("shorter"))),
            None => {
                self.state = State::Ended;
                if self.length.is_none() {
                    write_last_chunk(out);
                }
            }
        }
        Poll::Ready(Ok(()))
    }
}

fn pieces_of<S, B, E>(stream: S) -> Pieces
where
    S: Stream<Item = Result<B, E>> + 'static,
    B: Into<Vec<u8>>,
    E: Into<Cause>,
{
    let mut stream = Box::pin(stream);
    Box::new(move |cx| {
        let item = ready!(stream.as_mut().poll_next(cx));
        Poll::Ready(item.map(|item| item.map(B::into).map_err(E::into)))
    })
}

/// The first `length` bytes of a file; fewer if it has become shorter.
fn pieces_of_file(file: Arc<File>, length: u64) -> Pieces {
    let (mut at, mut reading) = (0, None);
    Box::new(move |cx| {
        if at == length {
            return Poll::Ready(None);
        }
        let under_way = reading.get_or_insert_with(|| {
            let (file, len) = (file.clone(), PIECE_BYTES.min((length - at) as usize));
            spawn_blocking(move || {
                let mut piece = vec![0; len];
                let n = file.read_at(&mut piece, at)?;
                piece.truncate(n);
                io::Result::Ok(piece)
            })
        });
        let read = ready!(Pin::new(under_way).poll(cx));
        reading = None;
        Poll::Ready(match read {
            Ok(Ok(piece)) if piece.is_empty() => None,
            Ok(Ok(piece)) => {
                at += piece.len() as u64;
                Some(Ok(piece))
            }
            Ok(Err(error)) => Some(Err(error.into())),
            Err(ended) => Some(Err(ended.into())),
        })
    })
}

fn wrong_length(how: &str) -> Error {
    Error::new(ErrorKind::Other, format!("the request's body is {how} than announced"))
}
