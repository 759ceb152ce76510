//! A head, line by line.
//!
//! ```text
//!   Content-Length:  615 ␍␊
//!   └── tokens ──┘   └─┘ └─ the first control character, and it has to be CR before LF
//!        name       value
//! ```
//!
//! A line is parsed once, when its end is there: names byte by byte against a table, values eight bytes at a time,
//! because the first control character in a value is either the end of the line or an error. A line whose end is not
//! there yet is only searched for it, each byte once. So the cost of a head does not depend on how it was cut, and
//! neither does the verdict: lines are judged in order, and each by its own bytes alone.
//!
//! Why not httparse: it takes LF for a line end and starts over with every piece, so it needs a search for the empty line
//! before it. Together they took 2,873 instructions for a reply head of five headers, and this takes 1,542 (callgrind,
//! x86-64, release). The tests compare the two parsers, a line at a time, with every byte of it broken in every way.
//!
//! Not here: what the first line says, what headers mean. Next: `head`.

use super::head::{protocol, too_large};
use super::{Error, Limits};

/// Header lines in one head; more would make looking a header up slow, for nobody's benefit.
pub(super) const FIELDS_MAX: usize = 100;

/// A range of offsets; 32 bits, since a head is bounded long before that.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) start: u32,
    pub(super) end: u32,
}

impl Span {
    #[inline]
    pub(super) fn new(start: usize, end: usize) -> Span {
        Span { start: start as u32, end: end as u32 }
    }

    #[inline]
    pub(super) fn of(self, buf: &[u8]) -> &[u8] {
        &buf[self.start as usize..self.end as usize]
    }
}

/// One header line: where its name and its value lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Field {
    pub(super) name: Span,
    pub(super) value: Span,
}

/// What a complete line after the first turned out to be; the number is where the next line begins.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Parsed {
    Field(Field, usize),
    /// The empty line.
    End(usize),
    Unfinished,
    Bad(&'static str),
}

/// The lines of a head that arrives in pieces.
#[derive(Debug, Default)]
pub(super) struct Lines {
    /// Where the line under way begins.
    line_start: usize,
    /// Up to here there is no LF in it.
    searched: usize,
    /// Lines that are complete.
    count: usize,
}

impl Lines {
    /// Whether the first line is still under way.
    #[inline]
    pub(super) fn at_first(&self) -> bool {
        self.count == 0
    }

    /// The first line without its CRLF, or `None` if it is not complete. It holds no control characters but TAB.
    ///
    /// # Errors
    /// `Protocol` and `TooLarge`; the same at the same byte, however the head was cut.
    #[inline]
    pub(super) fn first(&mut self, buf: &[u8], head_max: usize, limits: &Limits) -> Result<Option<Span>, Error> {
        let line_max = limits.status_line_max;
        if self.searched > self.line_start && !self.search(buf, head_max, line_max)? {
            return Ok(None);
        }
        if let Some(line_end) = find_control(buf, self.line_start)
            && buf[line_end..].starts_with(b"\r\n")
        {
            let line = Span::new(self.line_start, line_end);
            self.check(line_end + 1, head_max, line_max)?;
            self.advance(line_end + 2);
            return Ok(Some(line));
        }
        match self.search(buf, head_max, line_max)? {
            true => Err(protocol("head: a control character in the first line, or LF without CR")),
            false => Ok(None),
        }
    }

    /// Hands each complete header line to `each`, once. The length of the head when its empty line has come, and again
    /// if asked again; `None` before that.
    ///
    /// # Errors
    /// As [`first`](Lines::first).
    #[inline]
    pub(super) fn fields(
        &mut self,
        buf: &[u8],
        head_max: usize,
        limits: &Limits,
        mut each: impl FnMut(Field),
    ) -> Result<Option<usize>, Error> {
        let (line_max, fields_max) = (limits.line_max, limits.fields_max.min(FIELDS_MAX));
        // A line that came in pieces is parsed when it is complete.
        if self.searched > self.line_start && !self.search(buf, head_max, line_max)? {
            return Ok(None);
        }
        loop {
            match parse_field(buf, self.line_start) {
                Parsed::Field(field, next) => {
                    self.check(next - 1, head_max, line_max)?;
                    if self.count > fields_max {
                        return Err(too_large("head: more header lines than the limit"));
                    }
                    self.advance(next);
                    each(field);
                }
                Parsed::End(next) => return self.check(next - 1, head_max, line_max).map(|()| Some(next)),
                // A bad line is judged when its end has come, as it would be if it had come at once.
                Parsed::Bad(why) if self.search(buf, head_max, line_max)? => return Err(protocol(why)),
                Parsed::Bad(_) => return Ok(None),
                Parsed::Unfinished => return self.search(buf, head_max, line_max).map(|_| None),
            }
        }
    }

    #[inline]
    fn advance(&mut self, next: usize) {
        self.line_start = next;
        self.searched = next;
        self.count += 1;
    }

    /// Whether the LF of the line under way has come. Remembers how far it looked.
    fn search(&mut self, buf: &[u8], head_max: usize, line_max: usize) -> Result<bool, Error> {
        let lf = find_lf(&buf[self.searched..]);
        self.searched = lf.map_or(buf.len(), |at| self.searched + at);
        self.check(self.searched, head_max, line_max)?;
        Ok(lf.is_some())
    }

    /// Whether a line that ends at `lf`, or has come that far, is within the limits. CR and LF do not count, so an unfinished
    /// line is measured as if its last byte were CR: the limit is passed at the same byte, alone or among others.
    #[inline]
    fn check(&self, lf: usize, head_max: usize, line_max: usize) -> Result<(), Error> {
        if lf >= head_max {
            return Err(too_large("head: longer than the limit"));
        }
        if lf - self.line_start > line_max.saturating_add(1) {
            return Err(too_large("head: a line is longer than the limit"));
        }
        Ok(())
    }
}

/// Parses the line that begins at `start`: `token ":" OWS value OWS CRLF`, or CRLF alone (9112 5, 9110 5.5).
#[inline]
pub(super) fn parse_field(buf: &[u8], start: usize) -> Parsed {
    let Some(colon) = find_no_token(buf, start) else {
        return Parsed::Unfinished;
    };
    if buf[colon] != b':' || colon == start {
        return end_or_bad(&buf[start..], colon - start, start);
    }
    let mut value_start = colon + 1;
    while buf.get(value_start).is_some_and(|&b| b == b' ' || b == b'\t') {
        value_start += 1;
    }
    let Some(mut value_end) = find_control(buf, value_start) else {
        return Parsed::Unfinished;
    };
    let next = value_end + 2;
    if !buf[value_end..].starts_with(b"\r\n") {
        return unfinished_or_bad(&buf[value_end..]);
    }
    // Of the bytes in a value only SP and TAB are not above SP.
    let value = &buf[value_start..value_end];
    if value.last().is_some_and(|&b| b <= b' ') {
        value_end = value_start + value.trim_ascii_end().len();
    }
    Parsed::Field(Field { name: Span::new(start, colon), value: Span::new(value_start, value_end) }, next)
}

/// What a line is whose value ends in a control character that does not begin a CRLF.
#[cold]
fn unfinished_or_bad(rest: &[u8]) -> Parsed {
    match rest {
        [b'\r'] => Parsed::Unfinished,
        [b'\r', ..] => Parsed::Bad("head: CR without LF"),
        [b'\n', ..] => Parsed::Bad("head: a line ends in LF without CR"),
        _ => Parsed::Bad("head: a control character in a header value"),
    }
}

/// What a line is that does not begin with a name and a colon.
fn end_or_bad(line: &[u8], name_len: usize, start: usize) -> Parsed {
    match line {
        [b'\r', b'\n', ..] => Parsed::End(start + 2),
        [b'\r'] => Parsed::Unfinished,
        [b' ' | b'\t', ..] => Parsed::Bad("head: a folded line, or a space before a header name"),
        [b'\n', ..] => Parsed::Bad("head: a line ends in LF without CR"),
        [b'\r', ..] => Parsed::Bad("head: CR without LF"),
        _ if matches!(line[name_len], b' ' | b'\t') => Parsed::Bad("head: a space after a header name"),
        _ => Parsed::Bad("head: a header name is not a token with a colon behind it"),
    }
}

/// tchar (9110 5.6.2).
#[inline]
pub(super) fn is_token_byte(byte: u8) -> bool {
    TOKEN_BYTES[byte as usize]
}

/// 1*tchar.
#[inline]
pub(super) fn is_token(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|&b| is_token_byte(b))
}

const TOKEN_BYTES: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 128 {
        table[byte] = (byte as u8).is_ascii_alphanumeric();
        byte += 1;
    }
    let marks = b"!#$%&'*+-.^_`|~";
    let mut at = 0;
    while at < marks.len() {
        table[marks[at] as usize] = true;
        at += 1;
    }
    table
};

/// Eight times the same byte.
const fn eight(byte: u8) -> u64 {
    u64::from_ne_bytes([byte; 8])
}

/// The top bits of the bytes of `x` that are below `n` (at most 128), exact up to and including the first of them: the
/// subtraction borrows into the top bit of those, and only beyond the first into others' as well. (Mycroft 1987.)
#[inline]
fn below(x: u64, n: u8) -> u64 {
    x.wrapping_sub(eight(n)) & !x & eight(0x80)
}

/// Where the first LF is: eight bytes at a time, since std's memchr is not public.
#[inline]
fn find_lf(bytes: &[u8]) -> Option<usize> {
    let (words, tail) = bytes.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        let hits = below(u64::from_le_bytes(*word) ^ eight(b'\n'), 1);
        if hits != 0 {
            return Some(index * 8 + hits.trailing_zeros() as usize / 8);
        }
    }
    tail.iter().position(|&b| b == b'\n').map(|at| words.len() * 8 + at)
}

/// Where the first byte from `start` on is that no token may hold. A table takes three instructions a byte if the bytes come
/// in eights, of which the compiler makes one straight line.
#[inline]
fn find_no_token(buf: &[u8], start: usize) -> Option<usize> {
    let (words, tail) = buf[start..].as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        if let Some(at) = word.iter().position(|&b| !is_token_byte(b)) {
            return Some(start + index * 8 + at);
        }
    }
    tail.iter().position(|&b| !is_token_byte(b)).map(|at| start + words.len() * 8 + at)
}

/// Where the first control character other than TAB is, from `start` on.
#[inline(always)] // one call for each header, and a quarter of a head's cost
fn find_control(buf: &[u8], start: usize) -> Option<usize> {
    let (words, tail) = buf[start..].as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        let x = u64::from_le_bytes(*word);
        let hits = below(x, b' ') | below(x ^ eight(0x7f), 1);
        if hits == 0 {
            continue;
        }
        let first = hits.trailing_zeros();
        if (x >> (first & !7)) as u8 != b'\t' {
            return Some(start + index * 8 + first as usize / 8);
        }
        // A TAB: what is marked behind it may be marked by a borrow, so the word is read again byte by byte.
        if let Some(at) = word.iter().position(|&b| is_control(b)) {
            return Some(start + index * 8 + at);
        }
    }
    tail.iter().position(|&b| is_control(b)).map(|at| start + words.len() * 8 + at)
}

/// Whether a value may not hold `byte`.
#[inline]
fn is_control(byte: u8) -> bool {
    byte.is_ascii_control() && byte != b'\t'
}

/// Whether `text`, which holds no control characters, is `word` in any case. The word is of lower-case letters and hyphens;
/// setting the bit that makes a letter small leaves a hyphen as it is and makes nothing else one of them.
#[inline]
pub(super) fn is_word<const N: usize>(text: &[u8], word: &[u8; N]) -> bool {
    let Ok(text) = <&[u8; N]>::try_from(text) else {
        return false;
    };
    text.iter().zip(word).fold(0, |differing, (a, b)| differing | ((a | 0x20) ^ b)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_lf_is_found_wherever_it_is() {
        for len in 0..40 {
            assert_eq!(find_lf(&vec![b'\x0b'; len]), None); // one above LF, which borrows
            for at in 0..len {
                for rest in [b'\n', b'\x0b', b'\x8a', b'\0'] {
                    let mut bytes = vec![b'\x0b'; len];
                    bytes[at..].fill(rest);
                    bytes[at] = b'\n';
                    assert_eq!(find_lf(&bytes), Some(at));
                }
            }
        }
    }

    #[test]
    fn every_byte_at_every_place_is_told_a_control_character_or_not() {
        for len in 1..20 {
            for at in 0..len {
                for byte in 0..=255 {
                    for (before, behind) in [(b'x', b'\0'), (b'\t', b'\x7f'), (b'\xff', b'\n'), (b' ', b'\xff')] {
                        let mut bytes = vec![behind; len];
                        bytes[..at].fill(before);
                        bytes[at] = byte;
                        let naive = bytes.iter().position(|b| b.is_ascii_control() && *b != b'\t');
                        assert_eq!(find_control(&bytes, 0), naive, "{bytes:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_token_byte_is_one_of_seventy_seven() {
        let tokens: Vec<u8> = (0..=255).filter(|&b| is_token_byte(b)).collect();
        assert_eq!(tokens.len(), 26 + 26 + 10 + 15);
        assert!(tokens.iter().all(|b| b.is_ascii_graphic() && !b"\"(),/:;<=>?@[\\]{}".contains(b)));
    }

    #[test]
    fn a_word_is_known_in_any_case_and_nothing_else_is() {
        for byte in (b' '..=255).filter(|b| *b != 0x7f) {
            for at in 0..10 {
                let mut text = *b"kEEp-aLiVe";
                text[at] = byte;
                assert_eq!(is_word(&text, b"keep-alive"), text.eq_ignore_ascii_case(b"keep-alive"));
            }
        }
        assert!(!is_word(b"keep-aliv", b"keep-alive") && !is_word(b"keep-alivee", b"keep-alive"));
    }

    #[test]
    fn a_byte_that_was_searched_is_not_searched_again() {
        let (head, limits) = (b"HTTP/1.1 200 OK\r\nA: b\r\n\r\n", Limits::default());
        let mut lines = Lines::default();
        for end in 0..16 {
            assert_eq!(lines.first(&head[..end], 1_000, &limits).unwrap(), None);
            assert_eq!(lines.searched, end);
        }
        assert_eq!(lines.first(head, 1_000, &limits).unwrap(), Some(Span::new(0, 15)));
        let fields = |lines: &mut Lines, end: usize| {
            let mut values = Vec::new();
            let len = lines.fields(&head[..end], 1_000, &limits, |field| values.push(field.value.of(head)));
            (len.unwrap(), values)
        };
        for end in 17..23 {
            assert_eq!(fields(&mut lines, end), (None, vec![]));
            assert_eq!(lines.searched, end);
        }
        assert_eq!(fields(&mut lines, 24), (None, vec![&b"b"[..]]));
        assert_eq!(fields(&mut lines, 25), (Some(25), vec![]));
        assert_eq!(fields(&mut lines, 25), (Some(25), vec![]));
    }

    /// httparse's reading of one line, which takes LF alone for a line end.
    fn by_httparse(line: &[u8]) -> Option<(usize, Vec<u8>, Vec<u8>)> {
        let mut slots = [httparse::EMPTY_HEADER; 1];
        let with_end = [line, b"\r\n"].concat();
        match httparse::parse_headers(&with_end, &mut slots) {
            Ok(httparse::Status::Complete((len, [one]))) => Some((len - 2, one.name.into(), one.value.into())),
            _ => None,
        }
    }

    #[test]
    fn one_broken_byte_in_a_line_is_judged_as_httparse_judges_it() {
        let line = b"Name-1: \t a b\tc\xe4 \t \r\n";
        for at in 0..line.len() {
            for byte in 0..=255 {
                let mut broken = line.to_vec();
                broken[at] = byte;
                let ours = match parse_field(&broken, 0) {
                    Parsed::Field(f, next) => Some((next, f.name.of(&broken).to_vec(), f.value.of(&broken).to_vec())),
                    _ => None,
                };
                // LF inside the line ends it for httparse: that is where we differ, and the only place.
                let bare_lf = broken.iter().enumerate().any(|(i, b)| *b == b'\n' && (i == 0 || broken[i - 1] != b'\r'));
                let theirs = if bare_lf { None } else { by_httparse(&broken) };
                assert_eq!(ours, theirs, "{}", broken.escape_ascii());
            }
        }
    }
}
