//! A name and a password that somebody wrote into a URL.
//!
//! ```text
//!   http://user:pa%73s@example.com/  ──►  http://example.com/  and  user, pass
//! ```
//!
//! In a URL they end up wherever URLs do: in logs, in `Referer`, in errors, on screens. So a [`Url`] has none (RFC 9110
//! 4.2.4 tells senders so). A program that must take them, since its users write such URLs, takes them apart here, once,
//! and hands them over as a header. No error of ours repeats them, and no `Debug`.
//!
//! Not here: how they are written (`Basic`, in the request).   Next: `join`.

use std::fmt;

#[cfg(not(feature = "url"))]
use super::split_scheme;
use super::{Error, Url, refuse};

/// Who asks, as a URL said it: for `Authorization: Basic` (RFC 7617).
///
/// ```
/// # use windlass_net::windlass;
/// use windlass::http::{Client, Url};
/// let (url, credentials) = Url::parse_with_credentials("http://user:se%63ret@example.com/")?;
/// let credentials = credentials.unwrap();
/// assert_eq!((credentials.user(), credentials.password()), ("user", "secret"));
/// assert_eq!(format!("{credentials:?}"), "Credentials(..)");
/// let client = Client::new();
/// let request = client.get(&url).basic_auth(credentials.user(), credentials.password());
/// # drop(request);
/// # Ok::<(), windlass_net::http::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    user: String,
    password: String,
}

impl Credentials {
    /// The user's name, decoded; it has no colon.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// let (_url, credentials) = windlass::http::Url::parse_with_credentials("http://a%40b:c@example.com/")?;
    /// assert_eq!(credentials.unwrap().user(), "a@b");
    /// # Ok::<(), windlass_net::http::Error>(())
    /// ```
    pub fn user(&self) -> &str {
        &self.user
    }

    /// The password, decoded; empty if there was none.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// let (_url, credentials) = windlass::http::Url::parse_with_credentials("http://user@example.com/")?;
    /// assert_eq!(credentials.unwrap().password(), "");
    /// # Ok::<(), windlass_net::http::Error>(())
    /// ```
    pub fn password(&self) -> &str {
        &self.password
    }

    /// Decodes what stood in a URL. A colon in the name, or a control character, cannot be said in `Basic`.
    fn decode(user: &str, password: &str) -> Result<Credentials, Error> {
        let decoded = |text: &str| percent_decode(text).filter(|text| !text.chars().any(char::is_control));
        match (decoded(user).filter(|user| !user.contains(':')), decoded(password)) {
            (Some(user), Some(password)) => Ok(Credentials { user, password }),
            _ => Err(refuse("the user information is not text that can be sent")),
        }
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(..)")
    }
}

impl Url {
    /// As [`parse`](Url::parse), but user information is taken out instead of refused: for programs whose users write
    /// `http://user:password@host/`. It is nowhere in the URL.
    ///
    /// # Errors
    /// As `parse`; and if the user information, decoded, is not UTF-8, or has control characters or a colon in the name.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// use windlass::http::Url;
    /// let (url, credentials) = Url::parse_with_credentials("http://me:secret@example.com/")?;
    /// assert_eq!(url.to_string(), "http://example.com/");
    /// assert_eq!(credentials.unwrap().user(), "me");
    /// assert_eq!(Url::parse_with_credentials("http://example.com/")?.1, None);
    /// # Ok::<(), windlass_net::http::Error>(())
    /// ```
    pub fn parse_with_credentials(text: &str) -> Result<(Url, Option<Credentials>), Error> {
        #[cfg(feature = "url")]
        let (url, information) = super::whatwg::parse_apart(text)?;
        #[cfg(not(feature = "url"))]
        let (url, information) = take_apart(text)?;
        let credentials = information.map(|(user, password)| Credentials::decode(&user, &password)).transpose()?;
        Ok((url, credentials))
    }
}

/// The URL without its user information, and that, still encoded. An authority with more than one `@` is refused by the
/// parser, which sees the second.
#[cfg(not(feature = "url"))]
fn take_apart(text: &str) -> Result<(Url, Option<(String, String)>), Error> {
    let (_, rest) = split_scheme(text)?;
    let authority = &rest[..rest.find(['/', '?', '#']).unwrap_or(rest.len())];
    let Some((information, _)) = authority.split_once('@') else {
        return Ok((Url::parse_strictly(text)?, None));
    };
    let scheme = &text[..text.len() - rest.len()];
    let url = Url::parse_strictly(&format!("{scheme}{}", &rest[information.len() + 1..]))?;
    let (user, password) = information.split_once(':').unwrap_or((information, ""));
    Ok((url, Some((user.to_owned(), password.to_owned()))))
}

/// None if a `%` is not followed by two hexadecimal digits, or what comes out is not UTF-8.
fn percent_decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, behind @ ..] = rest {
        let (byte, len) = match (first, behind) {
            (b'%', [high, low, ..]) => ((hex(*high)? << 4) | hex(*low)?, 3),
            (b'%', _) => return None,
            _ => (*first, 1),
        };
        bytes.push(byte);
        rest = &rest[len..];
    }
    String::from_utf8(bytes).ok()
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|value| value as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_information_is_taken_out_and_decoded() {
        for (text, url, user, password) in [
            ("http://u:p@h/", "http://h/", "u", "p"),
            ("http://u:p@[::1]:80/x", "http://[::1]/x", "u", "p"),
            ("http://u@h?q#f", "http://h/?q", "u", ""),
            ("http://:p@h/", "http://h/", "", "p"),
            ("http://u:p:q@h/", "http://h/", "u", "p:q"),
            ("http://u%40x:%3a%20@h/", "http://h/", "u@x", ": "),
            ("http://u:%c3%a4@h/", "http://h/", "u", "ä"),
        ] {
            let (parsed, credentials) = Url::parse_with_credentials(text).unwrap();
            let credentials = credentials.expect(text);
            assert_eq!((parsed.as_str(), credentials.user(), credentials.password()), (url, user, password), "{text}");
            assert_eq!(format!("{parsed:?}"), format!("Url({url})"));
        }
        assert_eq!(Url::parse_with_credentials("http://h/@x").unwrap().1, None);
    }

    #[test]
    fn what_cannot_be_said_in_basic_is_refused_and_not_repeated() {
        for text in [
            "http://hunter2%3a:x@h/",
            "http://u:hunter2%0d%0a@h/",
            "http://hunter2:%00@h/",
            "http://hunter2:%ff@h/",
            "http://u:hunter2%@h/",
            "http://u:hunter2%4@h/",
            "http://u:hunter2%zz@h/",
            "http://u:hunter2@",
            "http://u:hunter2@h:x/",
            "http://u:hunter2@a..b/",
            "ftp://u:hunter2@h/",
            "http://u:hunter2\n@h/",
        ] {
            let error = Url::parse_with_credentials(text).expect_err(text).to_string();
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn elsewhere_user_information_is_refused() {
        for text in ["http://u:hunter2@h/", "http://hunter2@h/", "http://u:hunter2@[::1]:80/"] {
            let refused = Url::parse(text).map(|url| url.to_string());
            let error = refused.expect_err(text).to_string();
            assert_eq!(error, "url: user information is refused", "{text}");
        }
    }
}
