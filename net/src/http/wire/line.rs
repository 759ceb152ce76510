//! The lines of a head: httparse reads them, and this is what it leaves to us.
//!
//! httparse starts over with every piece that it is shown, takes LF alone for a line end and knows no limit but a number of
//! headers. A head that comes whole is parsed at once; one that does not is searched for its end before it is parsed again:
//!
//! ```text
//!   first bytes ──► httparse ──► take: CR before each LF ──► judge ──► head
//!                      ▲  no │              no │               ▲ sizes
//!                      │     └─────────────────┴──► find_end ──┘
//!   more bytes ──► find_end ──► no empty line yet: wait    └──► wait
//! ```
//!
//! Sizes are judged first, as they come; the form when the empty line has come. Both are read off the bytes from the first
//! one on, so the verdict cannot depend on how they were cut. A byte is searched once and parsed twice at most.
//!
//! Not here: what the first line says, what headers mean. Next: `head`.

use super::head::{Digest, Fields, protocol, too_large};
use crate::http::{Error, Limits};

/// Header lines in one head; more would make looking a header up slow, for nobody's benefit.
pub(crate) const FIELDS_MAX: usize = 100;

/// What the heads of replies and requests have in common.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    search: Search,
    /// Where the first line ends and where the last header line does, without and with their CRLF.
    pub(crate) first_line_end: usize,
    fields_end: usize,
    pub(crate) digest: Digest,
}

impl Lines {
    /// The header lines of the head at the start of `buf`.
    #[inline]
    pub(crate) fn fields<'b>(&self, buf: &'b [u8]) -> Fields<'b> {
        Fields { lines: buf.get(self.first_line_end + 2..self.fields_end).unwrap_or_default() }
    }

    /// Whether it is worth parsing: at the first attempt, and once the empty line has come.
    ///
    /// # Errors
    /// `TooLarge` if a limit is passed.
    #[inline]
    pub(crate) fn may_be_complete(&mut self, buf: &[u8], head_max: usize, limits: &Limits) -> Result<bool, Error> {
        if self.search.searched == 0 { Ok(true) } else { self.search.find_end(buf, head_max, limits) }
    }

    /// The verdict on a head that was parsed: sizes first, then the form as `read` says. `None` if it is unfinished.
    ///
    /// # Errors
    /// `TooLarge` if a limit is passed, `Protocol` if the empty line has come and the head was not accepted.
    #[inline]
    pub(crate) fn judge(
        &mut self,
        read: Result<usize, &'static str>,
        buf: &[u8],
        head_max: usize,
        limits: &Limits,
    ) -> Result<Option<usize>, Error> {
        // In a head that is no longer than one line may be, no line is too long; and httparse counted the lines.
        let small = head_max.min(limits.status_line_max).min(limits.line_max);
        match read {
            Ok(len) if len <= small => Ok(Some(len)),
            _ if !self.search.find_end(buf, head_max, limits)? => Ok(None),
            _ => read.map(Some).map_err(protocol),
        }
    }

    /// Looks at each of the headers that httparse found in `head`, which ends with its empty line. httparse saw to the LF of
    /// each line, so the one thing left to see is the CR before it.
    #[inline(always)] // there are two callers, one for each side of an exchange
    pub(crate) fn take(&mut self, head: &[u8], headers: &[httparse::Header<'_>]) -> Result<(), &'static str> {
        self.digest = Digest::default();
        self.fields_end = head.len() - 2;
        let mut is_strict = head.ends_with(b"\r\n\r\n");
        // Each line but the first and the empty one begins with a name.
        let line_at = |header: &httparse::Header<'_>| header.name.as_ptr().addr() - head.as_ptr().addr();
        for header in headers {
            is_strict &= head[..line_at(header)].ends_with(b"\r\n");
            self.digest.note(header.name.as_bytes(), header.value);
        }
        if !is_strict {
            return Err("head: a line ends in LF without CR");
        }
        self.first_line_end = headers.first().map_or(self.fields_end, line_at) - 2;
        Ok(())
    }
}

/// The length of a head that httparse could read.
#[inline]
pub(crate) fn complete(parsed: httparse::Result<usize>) -> Result<usize, &'static str> {
    use httparse::Error::{HeaderName, HeaderValue, NewLine, Status, Token, TooManyHeaders, Version};
    match parsed {
        Ok(httparse::Status::Complete(len)) => Ok(len),
        Ok(httparse::Status::Partial) => Err("head: the empty line comes too early"),
        Err(HeaderName) => Err("head: a line is folded, or is no header name with a colon right behind it"),
        Err(HeaderValue) => Err("head: a control character in a header value"),
        Err(NewLine) => Err("head: CR without LF, or something behind the version"),
        Err(Status) => Err("head: the status is not three digits and a reason"),
        Err(Token) => Err("head: the request line is not a method, a target and a version"),
        Err(Version) => Err("head: the version is not HTTP/1.0 or HTTP/1.1"),
        Err(TooManyHeaders) => Err("head: more header lines than the limit"),
    }
}

/// The search for the empty line of a head that comes in pieces, and the judge of sizes.
#[derive(Debug, Default)]
struct Search {
    /// Up to here every byte has been looked at.
    searched: usize,
    /// Where the line under way begins.
    line_start: usize,
    /// Lines that are complete.
    lines: usize,
}

impl Search {
    /// Whether the empty line has come; once found, it is found again. LF alone ends a line here, as it does for httparse.
    ///
    /// # Errors
    /// `TooLarge`, at the same byte however the head was cut: CR and LF do not count, so an unfinished line is measured as if
    /// its last byte were CR.
    fn find_end(&mut self, buf: &[u8], head_max: usize, limits: &Limits) -> Result<bool, Error> {
        loop {
            let lf = buf[self.searched..].iter().position(|&b| b == b'\n');
            self.searched = lf.map_or(buf.len(), |at| self.searched + at);
            let line_max = if self.lines == 0 { limits.status_line_max } else { limits.line_max };
            if self.searched >= head_max {
                return Err(too_large("head: longer than the limit"));
            }
            if self.searched - self.line_start > line_max.saturating_add(1) {
                return Err(too_large("head: a line is longer than the limit"));
            }
            if lf.is_none() || matches!(buf[self.line_start..self.searched], [] | [b'\r']) {
                return Ok(lf.is_some());
            }
            if self.lines > limits.fields_max.min(FIELDS_MAX) {
                return Err(too_large("head: more header lines than the limit"));
            }
            self.lines += 1;
            self.searched += 1;
            self.line_start = self.searched;
        }
    }
}

/// tchar (9110 5.6.2).
#[inline]
fn is_token_byte(byte: u8) -> bool {
    let is_mark = matches!(byte, b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'^'..=b'`' | b'|' | b'~');
    byte.is_ascii_alphanumeric() || is_mark
}

/// 1*tchar.
#[inline]
pub(crate) fn is_token(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|&b| is_token_byte(b))
}

/// Whether `text`, which holds no control characters, is `word` in any case. The word is of lower-case letters and hyphens;
/// setting the bit that makes a letter small leaves a hyphen as it is and makes nothing else one of them. Eight bytes are
/// compared at once, and the last eight overlap those before.
#[inline]
pub(crate) fn is_word<const N: usize>(text: &[u8], word: &[u8; N]) -> bool {
    let Ok(text) = <&[u8; N]>::try_from(text) else {
        return false;
    };
    if N < 8 {
        return text.iter().zip(word).all(|(a, b)| (a | 0x20) == *b);
    }
    let eight = |bytes: &[u8; N], at| u64::from_ne_bytes(*bytes[at..].first_chunk().expect("eight bytes follow"));
    let differing = |at| (eight(text, at) | 0x2020_2020_2020_2020) ^ eight(word, at);
    (0..N / 8).fold(differing(N - 8), |all, nth| all | differing(nth * 8)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::wire::head::ResponseHead;

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
        let mut search = Search::default();
        for end in 0..head.len() {
            assert!(!search.find_end(&head[..end], 1_000, &limits).unwrap());
            assert_eq!(search.searched, end);
        }
        for behind in [&b""[..], b"body\n\n"] {
            assert!(search.find_end(&[head, behind].concat(), 1_000, &limits).unwrap());
            assert_eq!(search.searched, head.len() - 1);
        }
    }

    #[test]
    fn an_empty_line_ends_the_search_with_or_without_its_cr() {
        for end in ["\n\n", "\n\r\n", "\r\n\n", "\r\n\r\n"] {
            assert!(Search::default().find_end(format!("x{end}").as_bytes(), 1_000, &Limits::default()).unwrap());
        }
        for no_end in ["\r\r\n", "\n\r", "\n\r\r\n", "\n \r\n", "\r\r"] {
            assert!(!Search::default().find_end(format!("x{no_end}").as_bytes(), 1_000, &Limits::default()).unwrap());
        }
    }

    /// 9112 5 and 9110 5.5, to the letter: `token ":" OWS value OWS CRLF`.
    fn by_the_letter(line: &[u8]) -> Option<(&[u8], &[u8])> {
        let text = line.strip_suffix(b"\r\n")?;
        let (name, value) = text.split_at(text.iter().position(|&b| b == b':')?);
        let valid = is_token(name) && value.iter().all(|&b| b == b'\t' || (b >= b' ' && b != 0x7f));
        valid.then(|| (name, value[1..].trim_ascii()))
    }

    #[test]
    fn one_broken_byte_in_a_header_line_is_judged_by_the_letter() {
        let line = b"Name-1: \t a long value of more than 32 bytes\tc\xe4 \t \r\n";
        for at in 0..line.len() {
            for byte in 0..=255 {
                let mut broken = line.to_vec();
                broken[at] = byte;
                let buf = [&b"HTTP/1.1 200 OK\r\n"[..], &broken, b"\r\n"].concat();
                let mut head = ResponseHead::new();
                let read = head.parse(&buf, &Limits::default()).ok().flatten();
                let ours = read.and_then(|len| head.fields(&buf).iter().next().filter(|_| len == buf.len()));
                assert_eq!(ours, by_the_letter(&broken), "{}", broken.escape_ascii());
            }
        }
    }
}
