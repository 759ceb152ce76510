//! A body as text.
//!
//! ```text
//!   a byte order mark ──► else the charset of Content-Type ──► else UTF-8
//! ```
//!
//! In that order, as browsers have it (Encoding Standard 6): the mark is part of the text, and whoever wrote it knew. What
//! is no text in that charset becomes U+FFFD. With the feature `charset` every charset of the web is known; without it
//! UTF-8 alone, and a text in another one is refused: to guess would spoil it in silence.
//! Not here: what a page says of itself (`<meta charset>`).   Next: `response`.

use crate::http::{Error, ErrorKind, Response};

impl Response {
    /// The whole body as text, by its byte order mark or the charset that the headers name, or as UTF-8.
    ///
    /// # Errors
    /// As [`chunk`](Response::chunk); of kind [`Other`](ErrorKind::Other) for a charset that is not known. The feature
    /// `charset` knows all that browsers do.
    ///
    /// ```
    /// # windlass_net::doc_http(async |client, url| {
    /// assert!(client.get(url).send().await?.text().await?.starts_with("GET /"));
    /// # Ok(()) });
    /// ```
    pub async fn text(self) -> Result<String, Error> {
        let label = self.header("content-type").and_then(charset).unwrap_or(b"utf-8").to_vec();
        let url = self.url().clone();
        decode(self.bytes().await?, &label).ok_or_else(|| {
            let what = format!("text of {url}: the charset {} is not known", label.escape_ascii());
            Error::new(ErrorKind::Other, what)
        })
    }
}

#[cfg(feature = "charset")]
fn decode(bytes: Vec<u8>, label: &[u8]) -> Option<String> {
    let encoding = encoding_rs::Encoding::for_bom(&bytes).map(|(encoding, _)| encoding);
    let (text, ..) = encoding.or_else(|| encoding_rs::Encoding::for_label(label))?.decode(&bytes);
    Some(text.into_owned())
}

#[cfg(not(feature = "charset"))]
fn decode(mut bytes: Vec<u8>, label: &[u8]) -> Option<String> {
    if bytes.starts_with(b"\xef\xbb\xbf") {
        bytes.drain(..3);
    } else if ![&b"utf-8"[..], b"utf8", b"us-ascii", b"ascii"].iter().any(|known| label.eq_ignore_ascii_case(known)) {
        return None;
    }
    Some(String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()))
}

/// The charset of a media type: `text/html; charset="utf-8"`.
fn charset(media_type: &[u8]) -> Option<&[u8]> {
    media_type.split(|&byte| byte == b';').skip(1).find_map(|parameter| {
        let equals = parameter.iter().position(|&byte| byte == b'=')?;
        let (name, value) = (parameter[..equals].trim_ascii(), parameter[equals + 1..].trim_ascii());
        let unquoted = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\""));
        name.eq_ignore_ascii_case(b"charset").then_some(unquoted.unwrap_or(value))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_charset_is_a_parameter_of_the_media_type() {
        for (media_type, expected) in [
            ("text/html; charset=utf-8", Some("utf-8")),
            ("text/html;CHARSET=\"ISO-8859-1\"; x=y", Some("ISO-8859-1")),
            ("text/html; x=charset; charset = koi8-r ", Some("koi8-r")),
            ("text/html", None),
            ("text/html; charset", None),
            ("charset=utf-8", None),
        ] {
            assert_eq!(charset(media_type.as_bytes()), expected.map(str::as_bytes), "{media_type}");
        }
    }

    #[test]
    fn text_is_utf_8_unless_it_says_something_else() {
        let text = |bytes: &[u8], label: &str| decode(bytes.to_vec(), label.as_bytes());
        assert_eq!(text("\u{feff}\u{e4}".as_bytes(), "UTF-8").unwrap(), "\u{e4}");
        assert_eq!(text("\u{feff}\u{e4}".as_bytes(), "koi8-r").unwrap(), "\u{e4}", "the mark knows better");
        assert_eq!(text(b"a\xffb", "utf8").unwrap(), "a\u{fffd}b");
        assert_eq!(text(b"a", "klingon"), None);
        let latin = text(b"\xe4", "iso-8859-1");
        assert_eq!(latin, if cfg!(feature = "charset") { Some("\u{e4}".to_owned()) } else { None });
        let wide = text(b"\xff\xfea\0", "utf-8");
        assert_eq!(wide.unwrap(), if cfg!(feature = "charset") { "a" } else { "\u{fffd}\u{fffd}a\0" });
    }
}
