//! One exchange, in memory.
//!
//! A client in thirty lines joins the parts as the real one does, but reads from a list of slices:
//!
//! ```text
//!   reads ──► head, and again behind interim ones ──► framing ──► decoder ──► body ──► what is left
//! ```
//!
//! The tests beside it use it, and so do the fuzz targets.   Next: `windlass_corpus::by_the_letter`, its rival.

use windlass_corpus::Complete;
use windlass_corpus::by_the_letter::{self, Verdict};
use windlass_net::http::body::{Decoder, Surplus, surplus};
use windlass_net::http::head::{Asked, Fields, Framing, ResponseHead};
use windlass_net::http::{Error, Limits};

pub(crate) type Pairs = Vec<(Vec<u8>, Vec<u8>)>;

/// A complete reply, its headers and its trailers; or the name of an error.
pub(crate) type Made = Result<(Complete, Pairs, Pairs), String>;

/// Reads one reply from `reads`, as a client with a buffer would.
pub(crate) fn exchange<'a>(method: &str, reads: impl Iterator<Item = &'a [u8]>) -> Made {
    try_exchange(method, reads).unwrap_or_else(|error| Err(error.kind().name().to_owned()))
}

fn try_exchange<'a>(method: &str, mut reads: impl Iterator<Item = &'a [u8]>) -> Result<Made, Error> {
    let limits = Limits::default();
    let (mut head, mut buf) = (ResponseHead::new(), Vec::new());
    loop {
        let Some(len) = head.parse(&buf, &limits)? else {
            let Some(read) = reads.next() else {
                return Ok(Err("truncated".to_owned()));
            };
            buf.extend_from_slice(read);
            continue;
        };
        assert!(len <= buf.len() && len <= limits.head_max && len == head.head_len());
        if !head.is_interim() {
            break;
        }
        head.begin_next(&limits)?;
        buf.drain(..len);
    }
    let framing = head.framing(Asked::by(method))?;
    let mut decoder = Decoder::new(framing, &limits)?;
    let mut rest = buf.split_off(head.head_len());
    let mut body = Vec::new();
    while !decoder.is_finished() {
        while !rest.is_empty() && !decoder.is_finished() {
            let step = decoder.decode(&rest)?;
            assert!(step.consumed > 0 && step.consumed <= rest.len(), "it moves on, and not too far");
            assert!(step.data.len() <= step.consumed);
            body.extend_from_slice(step.data);
            rest.drain(..step.consumed);
        }
        if decoder.is_finished() {
            break; // what was not read yet is surplus too
        }
        match reads.next() {
            Some(read) => rest.extend_from_slice(read),
            None => decoder.finish_at_eof()?,
        }
    }
    // The end of the reply is not the end of our interest: what else came belongs to nobody.
    reads.for_each(|read| rest.extend_from_slice(read));
    let kept = head.keep_alive(framing) && surplus(&rest) != Surplus::Unasked;
    let complete = Complete { status: head.status(), framing: name(framing), kept, body, left: rest.len() };
    Ok(Ok((complete, pairs(head.fields(&buf)), pairs(decoder.trailers()))))
}

pub(crate) fn pairs(fields: Fields<'_>) -> Pairs {
    fields.iter().map(|(name, value)| (name.to_vec(), value.to_vec())).collect()
}

pub(crate) fn name(framing: Framing) -> String {
    let name = match framing {
        Framing::None => "none",
        Framing::Length(_) => "length",
        Framing::Chunked => "chunked",
        Framing::Close => "close",
    };
    name.to_owned()
}

/// Compares with the reader that goes by the letter, which knows no limits.
pub(crate) fn agrees(method: &str, stream: &[u8], made: &Made) {
    let said = match by_the_letter::read(stream, method) {
        Verdict::Bad => Err("protocol".to_owned()),
        Verdict::Short => Err("truncated".to_owned()),
        Verdict::Reply(by_the_letter::Reply { status, headers, framing, body, trailers, kept, left }) => {
            Ok((Complete { status, framing: framing.to_owned(), kept, body, left }, headers, trailers))
        }
    };
    let is_too_large = made.as_ref().is_err_and(|name| name == "too_large");
    assert!(is_too_large || *made == said, "{method} {}: {made:?}, by the letter {said:?}", stream.escape_ascii());
}
