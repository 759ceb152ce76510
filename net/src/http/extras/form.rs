//! Names and values, as a query or as a form.
//!
//! ```text
//!   [("q", "a b"), ("lang", "de")] ──► q=a+b&lang=de ──┬── behind the ? of a URL
//!                                                      └── as a body, application/x-www-form-urlencoded
//! ```
//!
//! Letters, digits and `*-._` stay, a space becomes `+`, all else is percent-encoded, byte for byte of its UTF-8: as
//! browsers do it (URL Standard 5.2). Files in forms (multipart) are not here.
//! Next: `exchange`, whose requests carry them.

use crate::http::{Body, Error, Request, Url};

impl Url {
    /// This URL with these names and values behind what its query has already.
    ///
    /// # Errors
    /// If it becomes too long for a URL.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// use windlass::http::Url;
    /// let url = Url::parse("http://example.com/search?lang=de")?.with_query([("q", "a b&c"), ("n", "\u{fc}")])?;
    /// assert_eq!(url.as_str(), "http://example.com/search?lang=de&q=a+b%26c&n=%C3%BC");
    /// # Ok::<(), windlass_net::http::Error>(())
    /// ```
    pub fn with_query<N: AsRef<str>, V: AsRef<str>>(
        &self,
        pairs: impl IntoIterator<Item = (N, V)>,
    ) -> Result<Url, Error> {
        let joint = match self.target().split_once('?') {
            None => "?",
            Some((_, "")) => "",
            Some(_) => "&",
        };
        Url::parse(&format!("{self}{joint}{}", encode(pairs)))
    }
}

impl Body {
    /// A form that was filled in, of the type `application/x-www-form-urlencoded`.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// use windlass::http::Body;
    /// assert_eq!(Body::form([("name", "value")]).length(), Some(10));
    /// ```
    pub fn form<N: AsRef<str>, V: AsRef<str>>(pairs: impl IntoIterator<Item = (N, V)>) -> Body {
        Body::from(encode(pairs)).of_type("application/x-www-form-urlencoded")
    }
}

impl Request<'_> {
    /// Gives it a form that was filled in for its body: see [`Body::form`].
    ///
    /// ```
    /// # windlass_net::doc_http(async |client, url| {
    /// let heard = client.post(url).form([("user", "me"), ("text", "1 + 1 = 2")]).send().await?.text().await?;
    /// let expected = "Content-Length: 26\r\nContent-Type: application/x-www-form-urlencoded\r\n\r\n\
    ///                 user=me&text=1+%2B+1+%3D+2";
    /// assert!(heard.ends_with(expected), "{heard}");
    /// # Ok(()) });
    /// ```
    pub fn form<N: AsRef<str>, V: AsRef<str>>(self, pairs: impl IntoIterator<Item = (N, V)>) -> Self {
        self.body(Body::form(pairs))
    }
}

fn encode<N: AsRef<str>, V: AsRef<str>>(pairs: impl IntoIterator<Item = (N, V)>) -> String {
    let mut text = String::new();
    for (name, value) in pairs {
        if !text.is_empty() {
            text.push('&');
        }
        push_encoded(&mut text, name.as_ref());
        text.push('=');
        push_encoded(&mut text, value.as_ref());
    }
    text
}

fn push_encoded(text: &mut String, part: &str) {
    for byte in part.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'*' | b'-' | b'.' | b'_' => text.push(byte.into()),
            b' ' => text.push('+'),
            _ => text.push_str(&format!("%{byte:02X}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_means_something_in_a_query_or_is_not_ascii_is_encoded() {
        assert_eq!(encode([("a=b", "c&d"), ("", ""), ("\r\n", "#?/+%~")]), "a%3Db=c%26d&=&%0D%0A=%23%3F%2F%2B%25%7E");
        assert_eq!(encode([("*-._", "\u{20ac} z")]), "*-._=%E2%82%AC+z");
    }

    #[test]
    fn a_query_goes_behind_what_there_is() {
        for (before, after) in [
            ("http://a/", "http://a/?x=y"),
            ("http://a", "http://a/?x=y"),
            ("http://a/?", "http://a/?x=y"),
            ("http://a/b?c", "http://a/b?c&x=y"),
            ("http://a/b#c", "http://a/b?x=y"),
        ] {
            assert_eq!(Url::parse(before).unwrap().with_query([("x", "y")]).unwrap().as_str(), after);
        }
    }
}
