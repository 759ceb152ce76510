//! Who asks: credentials in a request's header.
//!
//! ```text
//!   user, password ──► "user:password" in base64 ──► Authorization: Basic dTpw
//!   token ─────────────────────────────────────────► Authorization: Bearer token
//! ```
//!
//! Nothing here is secret from the network: over plain `http` anybody on the way reads either. Neither appears in an
//! error's text, nor in what `Debug` prints.
//! Not here: what becomes of credentials when a request is sent on elsewhere.   Next: `exchange`.

use crate::http::{Error, ErrorKind, Request};

impl Request<'_> {
    /// Says who asks, by the Basic scheme (RFC 7617), in UTF-8.
    ///
    /// A user with a colon or a control character in either of the two is refused by [`send`](Request::send): they cannot be
    /// told apart, or are not allowed.
    ///
    /// ```
    /// # windlass_net::doc_http(async |client, url| {
    /// let heard = client.get(url).basic_auth("Aladdin", "open sesame").send().await?.text().await?;
    /// assert!(heard.contains("\r\nAuthorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n"), "{heard}");
    /// # Ok(()) });
    /// ```
    pub fn basic_auth(self, user: &str, password: &str) -> Self {
        if user.contains(':') || user.chars().chain(password.chars()).any(char::is_control) {
            return self
                .refused(Error::new(ErrorKind::Other, "write head: a user or password that Basic cannot carry"));
        }
        self.header("Authorization", format!("Basic {}", base64(format!("{user}:{password}").as_bytes())))
    }

    /// Says who asks, by a token (RFC 6750).
    ///
    /// ```
    /// # windlass_net::doc_http(async |client, url| {
    /// let heard = client.get(url).bearer_auth("mF_9.B5f-4.1JqM").send().await?.text().await?;
    /// assert!(heard.contains("\r\nAuthorization: Bearer mF_9.B5f-4.1JqM\r\n"), "{heard}");
    /// # Ok(()) });
    /// ```
    pub fn bearer_auth(self, token: &str) -> Self {
        self.header("Authorization", format!("Bearer {token}"))
    }
}

/// RFC 4648 4: each three bytes are four letters of six bits; a last group of fewer is filled up with `=`.
fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let bits = (0..3).fold(0, |bits, at| bits << 8 | usize::from(*group.get(at).unwrap_or(&0)));
        for at in 0..4 {
            let letter = LETTERS[bits >> (18 - 6 * at) & 63];
            text.push(if at <= group.len() { letter.into() } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::base64;

    #[test]
    fn base64_of_the_rfcs_examples_is_as_the_rfc_has_it() {
        for (bytes, text) in
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("foobar", "Zm9vYmFy")]
        {
            assert_eq!(base64(bytes.as_bytes()), text); // RFC 4648 10
        }
        assert_eq!(base64(&[0xfb, 0xff, 0xfe]), "+//+");
    }
}
