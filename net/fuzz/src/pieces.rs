//! How an input says what is sent, and how it is cut.
//!
//! ```text
//!   input:  │ method │ cuts │ stream ...
//!              even: GET  └─ seeds the lengths of the pieces
//! ```

/// The method, the pieces, and the stream that they make together.
pub type Sent<'a> = (&'static str, Vec<&'a [u8]>, &'a [u8]);

/// What `input` says is sent.
pub fn of(input: &[u8]) -> Option<Sent<'_>> {
    let [method, cuts, stream @ ..] = input else { return None };
    let method = if method % 2 == 0 { "GET" } else { "HEAD" };
    Some((method, cut(stream, *cuts), stream))
}

/// Cut into pieces of random lengths; all of one byte if the seed is 0.
pub fn cut(mut stream: &[u8], seed: u8) -> Vec<&[u8]> {
    let (mut pieces, mut random) = (Vec::new(), u64::from(seed) << 32 | 1);
    while !stream.is_empty() {
        // xorshift64, Marsaglia 2003.
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let len = if seed == 0 { 1 } else { 1 + (random as usize >> 5) % 40 };
        let (piece, rest) = stream.split_at(len.min(stream.len()));
        pieces.push(piece);
        stream = rest;
    }
    pieces
}
