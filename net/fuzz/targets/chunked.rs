//! A chunked body, whole and in pieces, within wide limits and narrow ones; within wide ones, as a second reader has it.

#![no_main]

#[path = "../../tests/corpus/exchange.rs"]
mod exchange;

use exchange::{agrees, exchange, pairs};
use libfuzzer_sys::fuzz_target;
use windlass_net::http::Limits;
use windlass_net::http::body::Decoder;
use windlass_net::http::head::Framing;

fuzz_target!(|input: &[u8]| {
    let [cuts, body @ ..] = input else { return };
    let mut narrow = Limits::default();
    (narrow.chunk_ext_max, narrow.trailer_max, narrow.trailer_lines_max, narrow.body_max) = (8, 32, 2, 64);
    let limits = [Limits::default(), narrow];
    for limits in &limits {
        let whole = decode(limits, &[body]);
        assert_eq!(decode(limits, &pieces::cut(body, *cuts)), whole, "it does not depend on the cut");
        if let Ok((data, _, trailers)) = whole {
            assert!(data.len() as u64 <= limits.body_max && trailers.len() <= limits.trailer_lines_max);
        }
    }
    let stream = [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", body].concat();
    agrees("GET", &stream, &exchange("GET", [&stream[..]].into_iter()));
});

type Outcome = Result<(Vec<u8>, usize, exchange::Pairs), &'static str>;

/// The body, how many bytes it took, and its trailers; or the name of an error.
fn decode(limits: &Limits, pieces: &[&[u8]]) -> Outcome {
    let mut decoder = Decoder::new(Framing::Chunked, limits).expect("no length is announced");
    let (mut body, mut consumed) = (Vec::new(), 0);
    for mut piece in pieces.iter().copied() {
        while !piece.is_empty() && !decoder.is_finished() {
            let step = match decoder.decode(piece) {
                Ok(step) => step,
                Err(error) => {
                    assert!(decoder.decode(b"0\r\n\r\n").is_err() && !decoder.is_finished(), "it has failed for ever");
                    return Err(error.kind().name());
                }
            };
            assert!(step.consumed > 0 && step.consumed <= piece.len() && step.data.len() <= step.consumed);
            body.extend_from_slice(step.data);
            consumed += step.consumed;
            piece = &piece[step.consumed..];
        }
    }
    decoder.finish_at_eof().map_err(|error| error.kind().name())?;
    Ok((body, consumed, pairs(decoder.trailers())))
}
