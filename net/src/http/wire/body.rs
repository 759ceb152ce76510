//! Where the body ends.
//!
//! The decoder is shown the bytes behind a head and says of each whether it is body, framing, or somebody else's. It
//! copies nothing: body bytes come back as a slice of what went in.
//!
//! ```text
//!   input:   5;x␍␊hello␍␊0␍␊␍␊HTTP/1.1 ...
//!                 └data┘
//!            └──── consumed ───┘└ surplus
//!
//!   Size ─► Extension ─► SizeLf ─► Data ─► DataCr ─► DataLf ─┐
//!    ▲                     │ size 0                          │
//!    └─────────────────────┼─────────────────────────────────┘
//!                          ▼
//!                       LastLine ─► (Trailers ─►) Done
//! ```
//!
//! Framing is read byte by byte and bodies slice by slice. One step of the state machine is a function of one byte, so it
//! cannot matter where the input was cut. A body that is cut short is an error for ever: only
//! [`Decoder::finish_at_eof`] may call the end of a connection the end of a body.
//!
//! Not here: how the framing was decided (`head`), content codings such as gzip. Next: `request`.

use super::head::{Fields, Framing, protocol, too_large};
use crate::http::{Error, ErrorKind, Limits};

/// Trailer lines in one body. The few trailers in use are one line each.
pub(crate) const TRAILER_LINES_MAX: usize = 64;
/// Digits of a chunk size: 16 hexadecimal ones fill 64 bits.
const SIZE_DIGITS_MAX: u8 = 16;

/// Reads one body, whose end is known by its [`Framing`].
///
/// After an error the decoder has failed and says so for ever; the connection cannot be used again.
///
/// ```
/// # use windlass_net::windlass;
/// use windlass::http::Limits;
/// use windlass::http::body::Decoder;
/// use windlass::http::head::Framing;
///
/// let mut input = &b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"[..];
/// let mut decoder = Decoder::new(Framing::Chunked, &Limits::default())?;
/// let mut body = Vec::new();
/// while !decoder.is_finished() {
///     let step = decoder.decode(input)?;
///     body.extend_from_slice(step.data);
///     input = &input[step.consumed..];
/// }
/// assert_eq!(body, b"hello world");
/// # Ok::<(), windlass_net::http::Error>(())
/// ```
#[derive(Debug)]
pub struct Decoder {
    state: State,
    /// Body bytes that may still come; counted down when a chunk announces them.
    body_left: u64,
    ext_left: usize,
    trailer_max: usize,
    trailer_lines_max: usize,
    /// There is none until the first trailer line comes, and usually none at all.
    trailers: Option<Box<Trailers>>,
    /// What is wrong with the framing behind data that was handed out: the next step has only that to tell.
    behind_data: Option<Error>,
}

/// What a decoder found in the bytes it was shown.
///
/// ```
/// # use windlass_net::windlass;
/// use windlass::http::Limits;
/// use windlass::http::{body::Decoder, head::Framing};
/// let mut decoder = Decoder::new(Framing::Length(2), &Limits::default())?;
/// let step = decoder.decode(b"hi there")?;
/// assert_eq!((step.data, step.consumed, step.finished), (&b"hi"[..], 2, true));
/// # Ok::<(), windlass_net::http::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step<'a> {
    /// How many bytes of the input belong to this body, data and framing. Show the rest again, unless finished. Never zero
    /// for an input of some length before the body has finished.
    pub consumed: usize,
    /// The body bytes among them; empty if they were all framing.
    pub data: &'a [u8],
    /// Whether the body is complete. Bytes that were not consumed are then surplus: see [`surplus`].
    pub finished: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Done,
    Failed,
    Length(u64),
    Close,
    /// Digits of a chunk size: how many there were and what they say.
    Size(u8, u64),
    /// Spaces between a chunk size and `;` or CR.
    Padding(u64),
    Extension(u64),
    SizeLf(u64),
    Data(u64),
    DataCr,
    DataLf,
    /// The first byte after the last chunk: CR, or a trailer.
    LastLine,
    LastLf,
    Trailers,
}

impl Decoder {
    /// A decoder for a body of this `framing`.
    ///
    /// # Errors
    /// [`TooLarge`](ErrorKind::TooLarge) if the length that was announced is above [`Limits::body_max`]: such a body is
    /// refused before its first byte.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// use windlass::http::{ErrorKind, Limits};
    /// use windlass::http::{body::Decoder, head::Framing};
    /// assert!(Decoder::new(Framing::None, &Limits::default())?.is_finished());
    /// let error = Decoder::new(Framing::Length(1 << 40), &Limits::default()).unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::TooLarge);
    /// # Ok::<(), windlass_net::http::Error>(())
    /// ```
    #[inline]
    pub fn new(framing: Framing, limits: &Limits) -> Result<Decoder, Error> {
        let state = match framing {
            Framing::None | Framing::Length(0) => State::Done,
            Framing::Length(n) if n > limits.body_max => return Err(body_too_large()),
            Framing::Length(n) => State::Length(n),
            Framing::Chunked => State::Size(0, 0),
            Framing::Close => State::Close,
        };
        Ok(Decoder {
            state,
            body_left: limits.body_max,
            ext_left: limits.chunk_ext_max,
            trailer_max: limits.trailer_max,
            trailer_lines_max: limits.trailer_lines_max.min(TRAILER_LINES_MAX),
            trailers: None,
            behind_data: None,
        })
    }

    /// Takes from `input` what belongs to the body, up to the end of one run of body bytes and the framing behind it.
    ///
    /// # Errors
    /// [`Protocol`](ErrorKind::Protocol) if the framing is broken, [`TooLarge`](ErrorKind::TooLarge) if a limit is passed.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// use windlass::http::Limits;
    /// use windlass::http::{body::Decoder, head::Framing};
    /// let mut decoder = Decoder::new(Framing::Chunked, &Limits::default())?;
    /// assert_eq!(decoder.decode(b"5\r\nhe")?.data, b"he");
    /// assert_eq!(decoder.decode(b"llo\r\n")?.data, b"llo");
    /// assert!(decoder.decode(b"5\nhello").is_err()); // LF without CR
    /// # Ok::<(), windlass_net::http::Error>(())
    /// ```
    #[inline]
    pub fn decode<'a>(&mut self, input: &'a [u8]) -> Result<Step<'a>, Error> {
        match self.state {
            State::Done => Ok(Step { consumed: 0, data: &[], finished: true }),
            State::Length(left) => Ok(self.decode_length(left, input)),
            State::Close => self.decode_close(input),
            _ => self.decode_chunked(input),
        }
        .inspect_err(|_| self.state = State::Failed)
    }

    /// Whether the body is complete.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// use windlass::http::Limits;
    /// use windlass::http::{body::Decoder, head::Framing};
    /// assert!(Decoder::new(Framing::Length(0), &Limits::default())?.is_finished());
    /// assert!(!Decoder::new(Framing::Close, &Limits::default())?.is_finished());
    /// # Ok::<(), windlass_net::http::Error>(())
    /// ```
    #[inline]
    pub fn is_finished(&self) -> bool {
        self.state == State::Done
    }

    /// Judges the end of the connection: fine after a complete body, and the end of a body that is framed by it.
    ///
    /// Only for an orderly end. A reset is an error for every body that is not finished.
    ///
    /// # Errors
    /// [`Truncated`](ErrorKind::Truncated) in all other cases.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// use windlass::http::{ErrorKind, Limits};
    /// use windlass::http::{body::Decoder, head::Framing};
    /// let mut decoder = Decoder::new(Framing::Length(5), &Limits::default())?;
    /// decoder.decode(b"hell")?;
    /// assert_eq!(decoder.finish_at_eof().unwrap_err().kind(), ErrorKind::Truncated);
    /// # Ok::<(), windlass_net::http::Error>(())
    /// ```
    pub fn finish_at_eof(&mut self) -> Result<(), Error> {
        match self.state {
            State::Done => Ok(()),
            State::Close => {
                self.state = State::Done;
                Ok(())
            }
            State::Length(left) => Err(truncated(format!("body: the connection ended {left} bytes early"))),
            State::Failed => Err(truncated("body: the connection ended after an error")),
            _ => Err(truncated("body: the connection ended before the last chunk")),
        }
    }

    /// The trailers of a finished chunked body; empty if there were none. They are kept apart from the headers and never
    /// mean anything to the framing (9110 6.5.1).
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// use windlass::http::Limits;
    /// use windlass::http::{body::Decoder, head::Framing};
    /// let mut decoder = Decoder::new(Framing::Chunked, &Limits::default())?;
    /// decoder.decode(b"0\r\nDigest: abc\r\n\r\n")?;
    /// assert_eq!(decoder.trailers().get("digest"), Some(&b"abc"[..]));
    /// # Ok::<(), windlass_net::http::Error>(())
    /// ```
    pub fn trailers(&self) -> Fields<'_> {
        let trailers = self.trailers.as_ref().filter(|_| self.is_finished());
        Fields { lines: trailers.map_or(&[], |trailers| &trailers.bytes[..trailers.line_start]) }
    }

    #[inline]
    fn decode_length<'a>(&mut self, left: u64, input: &'a [u8]) -> Step<'a> {
        let data = at_most(input, left);
        let left = left - data.len() as u64;
        self.state = if left == 0 { State::Done } else { State::Length(left) };
        Step { consumed: data.len(), data, finished: left == 0 }
    }

    fn decode_close<'a>(&mut self, input: &'a [u8]) -> Result<Step<'a>, Error> {
        self.body_left = self.body_left.checked_sub(input.len() as u64).ok_or_else(body_too_large)?;
        Ok(Step { consumed: input.len(), data: input, finished: false })
    }

    /// Framing, one run of data, and the framing behind it up to the next run.
    fn decode_chunked<'a>(&mut self, input: &'a [u8]) -> Result<Step<'a>, Error> {
        if let Some(error) = self.behind_data.take() {
            return Err(error);
        }
        let mut consumed = 0;
        let mut data: &[u8] = &[];
        while consumed < input.len() && self.state != State::Done {
            if let State::Data(left) = self.state {
                if !data.is_empty() {
                    break; // one run at a time
                }
                data = at_most(&input[consumed..], left);
                consumed += data.len();
                let left = left - data.len() as u64;
                self.state = if left == 0 { State::DataCr } else { State::Data(left) };
            } else {
                match self.after(input[consumed]) {
                    Ok(state) => self.state = state,
                    // The data before it is good.
                    Err(error) if !data.is_empty() => {
                        self.behind_data = Some(error);
                        break;
                    }
                    Err(error) => return Err(error),
                }
                consumed += 1;
            }
        }
        Ok(Step { consumed, data, finished: self.state == State::Done })
    }

    /// The state after one byte of framing.
    fn after(&mut self, byte: u8) -> Result<State, Error> {
        match (self.state, byte) {
            (State::Size(digits, size), b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => match digits {
                SIZE_DIGITS_MAX => Err(protocol("chunk: a size of more than 16 digits")),
                _ => Ok(State::Size(digits + 1, size << 4 | hex(byte))),
            },
            (State::Size(0, _), _) => Err(protocol("chunk: a size without digits")),
            (State::Size(_, size) | State::Padding(size), b' ' | b'\t') => self.extension(State::Padding(size)),
            (State::Size(_, size) | State::Padding(size), b';') => self.extension(State::Extension(size)),
            (State::Size(_, size) | State::Padding(size) | State::Extension(size), b'\r') => Ok(State::SizeLf(size)),
            (State::Extension(size), b'\t' | 0x20..=0x7e | 0x80..) => self.extension(State::Extension(size)),
            (State::SizeLf(0), b'\n') => Ok(State::LastLine),
            (State::SizeLf(size), b'\n') => {
                self.body_left = self.body_left.checked_sub(size).ok_or_else(body_too_large)?;
                Ok(State::Data(size))
            }
            (State::DataCr, b'\r') => Ok(State::DataLf),
            (State::DataLf, b'\n') => Ok(State::Size(0, 0)),
            (State::LastLine, b'\r') => Ok(State::LastLf),
            (State::LastLf, b'\n') => Ok(State::Done),
            (State::LastLine | State::Trailers, _) => self.trailer(byte),
            (State::DataCr | State::DataLf, _) => Err(protocol("chunk: more data than the size said")),
            (State::LastLf, _) => Err(protocol("trailers: CR without LF")),
            (State::Failed, _) => Err(protocol("body: decoded further after an error")),
            _ => Err(protocol("chunk: the size line is not a size, extensions and CRLF")),
        }
    }

    fn extension(&mut self, next: State) -> Result<State, Error> {
        match self.ext_left.checked_sub(1) {
            Some(left) => self.ext_left = left,
            None => return Err(too_large("chunk: more extension bytes than the limit")),
        }
        Ok(next)
    }

    fn trailer(&mut self, byte: u8) -> Result<State, Error> {
        let trailers = self.trailers.get_or_insert_default();
        if trailers.bytes.len() >= self.trailer_max {
            return Err(too_large("trailers: longer than the limit"));
        }
        trailers.bytes.push(byte);
        if byte != b'\n' {
            return Ok(State::Trailers);
        }
        let line = &trailers.bytes[trailers.line_start..];
        if !line.ends_with(b"\r\n") {
            return Err(protocol("trailers: a line ends in LF without CR"));
        }
        if line.len() == 2 {
            let mut slots = [httparse::EMPTY_HEADER; TRAILER_LINES_MAX];
            let read = httparse::parse_headers(&trailers.bytes, &mut slots);
            let is_read = matches!(read, Ok(httparse::Status::Complete(_)));
            return if is_read { Ok(State::Done) } else { Err(protocol("trailers: a line is not a header")) };
        }
        if trailers.lines >= self.trailer_lines_max {
            return Err(too_large("trailers: more lines than the limit"));
        }
        trailers.lines += 1;
        trailers.line_start = trailers.bytes.len();
        Ok(State::Trailers)
    }
}

/// Trailer lines as they came.
#[derive(Debug, Default)]
struct Trailers {
    bytes: Vec<u8>,
    /// Where the line under way begins, in the end the empty one, and how many there were before it.
    line_start: usize,
    lines: usize,
}

/// What lies behind a finished reply in the same read.
///
/// ```
/// # use windlass_net::windlass;
/// use windlass::http::body::{Surplus, surplus};
/// assert_eq!(surplus(b""), Surplus::Nothing);
/// assert_eq!(surplus(b"\r\n"), Surplus::LineEnd);
/// assert_eq!(surplus(b"HTTP/1.1 200 OK\r\n"), Surplus::Unasked);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Surplus {
    /// Nothing: the connection can be used again.
    Nothing,
    /// One CRLF, which old servers append to a body; it can be thrown away.
    LineEnd,
    /// Bytes that nobody asked for. The reply before them stands, the connection must be closed (9112 9.2).
    Unasked,
}

/// Judges the bytes that were not consumed when a reply had finished.
///
/// ```
/// # use windlass_net::windlass;
/// use windlass::http::body::{Surplus, surplus};
/// assert_eq!(surplus(b"x"), Surplus::Unasked);
/// ```
#[inline]
pub fn surplus(rest: &[u8]) -> Surplus {
    match rest {
        b"" => Surplus::Nothing,
        b"\r\n" => Surplus::LineEnd,
        _ => Surplus::Unasked,
    }
}

/// Appends `data` as one chunk; nothing if it is empty, since an empty chunk would end the body.
///
/// ```
/// # use windlass_net::windlass;
/// use windlass::http::body::{write_chunk, write_last_chunk};
/// let mut out = Vec::new();
/// write_chunk(&mut out, b"hello world");
/// write_chunk(&mut out, b"");
/// write_last_chunk(&mut out);
/// assert_eq!(out, b"b\r\nhello world\r\n0\r\n\r\n");
/// ```
pub fn write_chunk(out: &mut Vec<u8>, data: &[u8]) {
    if data.is_empty() {
        return;
    }
    out.extend_from_slice(format!("{:x}\r\n", data.len()).as_bytes());
    out.extend_from_slice(data);
    out.extend_from_slice(b"\r\n");
}

/// Appends the chunk that ends a body, without trailers.
///
/// ```
/// # use windlass_net::windlass;
/// let mut out = Vec::new();
/// windlass::http::body::write_last_chunk(&mut out);
/// assert_eq!(out, b"0\r\n\r\n");
/// ```
pub fn write_last_chunk(out: &mut Vec<u8>) {
    out.extend_from_slice(b"0\r\n\r\n");
}

fn at_most(input: &[u8], left: u64) -> &[u8] {
    // A number of the peer's is compared with what is there, never the other way round.
    if left < input.len() as u64 { &input[..left as usize] } else { input }
}

fn hex(digit: u8) -> u64 {
    u64::from(if digit.is_ascii_digit() { digit - b'0' } else { (digit | 0x20) - b'a' + 10 })
}

#[cold]
fn body_too_large() -> Error {
    too_large("body: longer than the limit")
}

#[cold]
fn truncated(what: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::new(ErrorKind::Truncated, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoder(framing: Framing) -> Decoder {
        Decoder::new(framing, &Limits::default()).unwrap()
    }

    type Outcome = Result<(Vec<u8>, usize, Vec<(Vec<u8>, Vec<u8>)>), ErrorKind>;

    /// Decodes `pieces` one after the other, then the end of the connection: body, bytes consumed, trailers.
    fn decode_pieces<'a>(mut decoder: Decoder, pieces: impl Iterator<Item = &'a [u8]>) -> Outcome {
        let (mut body, mut consumed) = (Vec::new(), 0);
        for mut piece in pieces {
            while !piece.is_empty() && !decoder.is_finished() {
                let step = decoder.decode(piece).map_err(|e| e.kind())?;
                assert!(step.consumed > 0 && step.consumed <= piece.len() && step.data.len() <= step.consumed);
                assert_eq!(step.finished, decoder.is_finished());
                body.extend_from_slice(step.data);
                consumed += step.consumed;
                piece = &piece[step.consumed..];
            }
        }
        decoder.finish_at_eof().map_err(|e| e.kind())?;
        let trailers = decoder.trailers().iter().map(|(name, value)| (name.to_vec(), value.to_vec())).collect();
        Ok((body, consumed, trailers))
    }

    /// Decodes `input` whole, byte by byte and cut in two (a short one at every place); all must agree.
    fn decode_all_ways(framing: Framing, input: &[u8]) -> Outcome {
        let whole = decode_pieces(decoder(framing), std::iter::once(input));
        assert_eq!(decode_pieces(decoder(framing), input.chunks(1)), whole, "byte by byte");
        let cuts = if input.len() < 300 { input.len() } else { 10 };
        for cut in 0..cuts {
            let (a, b) = input.split_at(cut);
            assert_eq!(decode_pieces(decoder(framing), [a, b].into_iter()), whole, "cut at {cut}");
        }
        whole
    }

    fn chunked(input: impl AsRef<[u8]>) -> Result<Vec<u8>, ErrorKind> {
        decode_all_ways(Framing::Chunked, input.as_ref()).map(|(body, ..)| body)
    }

    #[test]
    fn data_is_handed_out_before_the_error_behind_it() {
        for broken in ["3\r\nabcX", "3\r\nabc\r\nzz", "3\r\nabc\r\n0\r\nA: b\n\n"] {
            let mut decoder = Decoder::new(Framing::Chunked, &Limits::default()).unwrap();
            let step = decoder.decode(broken.as_bytes()).unwrap();
            let (consumed, data, finished) = (step.consumed, step.data, step.finished);
            assert_eq!((data, finished), (&b"abc"[..], false), "{broken:?}");
            let error = decoder.decode(&broken.as_bytes()[consumed..]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Protocol, "{broken:?}");
            assert!(decoder.decode(b"0\r\n\r\n").is_err(), "{broken:?}");
        }
    }

    #[test]
    fn a_body_of_known_length_ends_there() {
        assert_eq!(decode_all_ways(Framing::Length(5), b"helloHTTP"), Ok((b"hello".to_vec(), 5, vec![])));
        assert_eq!(decode_all_ways(Framing::None, b"x"), Ok((vec![], 0, vec![])));
    }

    #[test]
    fn a_body_that_is_cut_short_anywhere_is_truncated() {
        let chunks = b"5;ext\r\nhello\r\n1\r\n!\r\n0\r\nA: b\r\n\r\n";
        for end in 0..chunks.len() {
            assert_eq!(chunked(&chunks[..end]), Err(ErrorKind::Truncated));
        }
        assert_eq!(chunked(chunks).unwrap(), b"hello!");
        for end in 0..5 {
            assert_eq!(decode_all_ways(Framing::Length(5), &b"hello"[..end]), Err(ErrorKind::Truncated));
        }
    }

    #[test]
    fn a_body_framed_by_the_connection_ends_with_it() {
        assert_eq!(decode_all_ways(Framing::Close, b"hello"), Ok((b"hello".to_vec(), 5, vec![])));
    }

    #[test]
    fn a_length_that_the_peer_invented_reserves_nothing() {
        let limits = Limits { body_max: u64::MAX, ..Limits::default() };
        let mut decoder = Decoder::new(Framing::Length(1 << 63), &limits).unwrap();
        assert_eq!(decoder.decode(b"x").unwrap().data, b"x");
        let error = decoder.finish_at_eof().unwrap_err();
        assert_eq!(error.to_string(), "body: the connection ended 9223372036854775807 bytes early");
    }

    #[test]
    fn a_chunk_size_is_one_to_sixteen_hexadecimal_digits() {
        for (size, body) in [("5", "hello"), ("0005", "hello"), ("0000000000000005", "hello")] {
            assert_eq!(chunked(format!("{size}\r\n{body}\r\n0\r\n\r\n")).unwrap(), body.as_bytes());
        }
        assert_eq!(chunked(format!("aB\r\n{}\r\n000\r\n\r\n", "x".repeat(0xab))).unwrap().len(), 0xab);
        for line in
            ["10000000000000000", "00000000000000005", "0x5", "-1", "+5", "", " 5", "\t5", ";x", "5x", "g", "5 5"]
        {
            assert_eq!(chunked(format!("{line}\r\nhello\r\n0\r\n\r\n")), Err(ErrorKind::Protocol), "{line:?}");
        }
        assert_eq!(chunked("0".repeat(1 << 20)), Err(ErrorKind::Protocol));
    }

    #[test]
    fn the_largest_chunk_size_is_too_large_and_overflows_nothing() {
        assert_eq!(chunked("FFFFFFFFFFFFFFFF\r\n"), Err(ErrorKind::TooLarge));
        let limits = Limits { body_max: u64::MAX, ..Limits::default() };
        let unlimited = || Decoder::new(Framing::Chunked, &limits).unwrap();
        let one = |input: &'static [u8]| decode_pieces(unlimited(), std::iter::once(input));
        assert_eq!(one(b"FFFFFFFFFFFFFFFF\r\nx"), Err(ErrorKind::Truncated));
        assert_eq!(one(b"1\r\nx\r\nFFFFFFFFFFFFFFFF\r\nx"), Err(ErrorKind::TooLarge));
    }

    #[test]
    fn every_line_of_chunked_ends_in_crlf() {
        for input in [
            &b"5\nhello\r\n0\r\n\r\n"[..],
            b"5;a\nb\r\nhello\r\n0\r\n\r\n",
            b"5;\r\r\nhello\r\n0\r\n\r\n",
            b"5;a\rb\r\nhello\r\n0\r\n\r\n",
            b"5;a\0\r\nhello\r\n0\r\n\r\n",
            b"5\r\rhello\r\n0\r\n\r\n",
            b"5 \nhello\r\n0\r\n\r\n",
            b"5\r\nhello0\r\n\r\n",
            b"5\r\nhello\n0\r\n\r\n",
            b"5\r\nhello\r0\r\n\r\n",
            b"5\r\nhello!\r\n0\r\n\r\n",
            b"5\r\nhello\r\n0\n\r\n",
            b"5\r\nhello\r\n0\r\n\n",
            b"5\r\nhello\r\n0\r\n\rx",
        ] {
            assert_eq!(chunked(input), Err(ErrorKind::Protocol), "{}", input.escape_ascii());
        }
    }

    #[test]
    fn extensions_are_read_over() {
        for line in ["5;", "5;a", "5;a=b", "5 ; a = \"b;c\"", "5\t;a", "5;\u{e4}", "5  ", "5;a\tb", "5;;;"] {
            assert_eq!(chunked(format!("{line}\r\nhello\r\n0;x\r\n\r\n")).unwrap(), b"hello", "{line:?}");
        }
    }

    #[test]
    fn extension_bytes_are_bounded_over_the_whole_body() {
        assert!(chunked(format!("1;{}\r\nx\r\n0\r\n\r\n", "e".repeat(16_383))).is_ok());
        assert_eq!(chunked(format!("1;{}\r\nx\r\n0\r\n\r\n", "e".repeat(16_384))), Err(ErrorKind::TooLarge));
        assert_eq!(chunked(format!("1;{}", "e".repeat(17_408))), Err(ErrorKind::TooLarge));
        assert_eq!(chunked(format!("1{}", " ".repeat(17_408))), Err(ErrorKind::TooLarge));
        assert_eq!(chunked("1;e\r\nx\r\n".repeat(20_000)), Err(ErrorKind::TooLarge));
        assert!(chunked("1;e\r\nx\r\n".repeat(8_192) + "0\r\n\r\n").is_ok());
    }

    #[test]
    fn trailers_are_kept_apart_and_change_nothing() {
        let reply = b"5\r\nhello\r\n0\r\nContent-Length: 9\r\nTransfer-Encoding: x\r\nA:\r\n\r\n";
        let with_surplus = [reply, &b"surplus"[..]].concat();
        let (body, consumed, trailers) = decode_all_ways(Framing::Chunked, &with_surplus).unwrap();
        assert_eq!((body, consumed), (b"hello".to_vec(), reply.len()));
        assert_eq!(trailers[0], (b"Content-Length".to_vec(), b"9".to_vec()));
        assert_eq!(trailers[2], (b"A".to_vec(), b"".to_vec()));
    }

    #[test]
    fn trailers_are_as_strict_as_headers() {
        for lines in ["A: b\r\n c", " A: b", "A : b", "A", ": b", "A: b\nC: d", "A: b\rC: d", "A: \0"] {
            assert_eq!(chunked(format!("0\r\n{lines}\r\n\r\n")), Err(ErrorKind::Protocol), "{lines:?}");
        }
    }

    #[test]
    fn trailers_are_bounded_in_lines_and_bytes() {
        assert!(chunked(format!("0\r\n{}\r\n", "a: b\r\n".repeat(64))).is_ok());
        assert_eq!(chunked(format!("0\r\n{}\r\n", "a: b\r\n".repeat(65))), Err(ErrorKind::TooLarge));
        let of_size = |size: usize| format!("0\r\na:{}\r\n\r\n", "x".repeat(size - 6));
        assert!(chunked(of_size(16_384)).is_ok());
        assert_eq!(chunked(of_size(16_385)), Err(ErrorKind::TooLarge));
        assert_eq!(chunked(format!("0\r\na:{}", "x".repeat(1 << 20))), Err(ErrorKind::TooLarge));
    }

    #[test]
    fn a_body_without_trailers_allocates_nothing() {
        let mut decoder = decoder(Framing::Chunked);
        assert!(decoder.decode(b"0\r\n\r\n").unwrap().finished);
        assert!(decoder.trailers.is_none());
    }

    #[test]
    fn a_body_above_the_limit_is_refused_before_it_is_read() {
        let limits = Limits { body_max: 10, ..Limits::default() };
        let kind = |framing| Decoder::new(framing, &limits).map_err(|e| e.kind());
        assert!(kind(Framing::Length(10)).is_ok());
        assert_eq!(kind(Framing::Length(11)).unwrap_err(), ErrorKind::TooLarge);
        let feed = |framing, input: &'static [u8]| decode_pieces(kind(framing).unwrap(), input.chunks(3));
        assert!(feed(Framing::Chunked, b"a\r\n0123456789\r\n0\r\n\r\n").is_ok());
        assert_eq!(feed(Framing::Chunked, b"b\r\n"), Err(ErrorKind::TooLarge));
        assert_eq!(feed(Framing::Chunked, b"6\r\n012345\r\n5\r\n"), Err(ErrorKind::TooLarge));
        assert!(feed(Framing::Close, b"0123456789").is_ok());
        assert_eq!(feed(Framing::Close, b"0123456789a"), Err(ErrorKind::TooLarge));
    }

    #[test]
    fn a_decoder_that_failed_never_calls_a_body_complete() {
        let limits = Limits { body_max: 1, ..Limits::default() };
        let mut decoder = Decoder::new(Framing::Close, &limits).unwrap();
        assert!(decoder.decode(b"ab").is_err());
        assert!(decoder.decode(b"a").is_err());
        assert_eq!(decoder.finish_at_eof().unwrap_err().kind(), ErrorKind::Truncated);
        assert!(!decoder.is_finished());
    }

    #[test]
    fn what_is_written_in_chunks_is_read_back() {
        let mut out = Vec::new();
        for len in [1, 0, 15, 16, 17, 4096] {
            write_chunk(&mut out, &vec![b'x'; len]);
        }
        write_last_chunk(&mut out);
        assert_eq!(chunked(&out).unwrap().len(), 1 + 15 + 16 + 17 + 4096);
    }
}
