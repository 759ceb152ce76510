//! URLs as browsers read them, by the `url` crate; and what it makes of them must pass the strict parser.
//!
//! ```text
//!   text ──► no control characters ──► url::Url: WHATWG, IDNA ──► its text ──► parse_strictly ──► Url
//! ```
//!
//! That standard takes more than RFC 3986 and never says no to what people write: `\` for `/`, spaces, other scripts,
//! `0x7f.1`. There is one reader all the same: host and target of the [`Url`] are those of this crate's text, never of
//! the text that was given. Two things it would do are not done: it drops tabs and line ends wherever they stand, which
//! makes one URL of what another program reads as another; and it takes user information.
//!
//! IDNA is that of the `idna` crate from 1.0.3 on: before, a name in Punycode could decode to ASCII and so pass for another
//! (RUSTSEC-2024-0421).   Next: `join`, what is done without it.

use super::{Error, NAME_MAX, URL_MAX, Url, refuse};

pub(super) fn parse(text: &str) -> Result<Url, Error> {
    check(text)?;
    without_information(&read(text, None)?)
}

pub(super) fn join(base: &Url, reference: &str) -> Result<Url, Error> {
    let target = reference.strip_prefix(base.origin()).unwrap_or(reference);
    if stays_as_it_is(target) {
        return Url::parse_strictly(&[base.origin(), target].concat()); // nearly always: to read both takes five times as long
    }
    if reference.starts_with("http://") || reference.starts_with("https://") {
        return parse(reference); // wherever it stands
    }
    check(reference)?;
    let base = url::Url::parse(base.as_str()).map_err(said)?;
    without_information(&read(reference, Some(&base))?)
}

/// The URL without its user information, and that, still encoded.
pub(super) fn parse_apart(text: &str) -> Result<(Url, Option<(String, String)>), Error> {
    check(text)?;
    let mut read = read(text, None)?;
    let information = (read.username().to_owned(), read.password().unwrap_or_default().to_owned());
    let has_any = information != Default::default();
    if has_any {
        let taken = read.set_password(None).and_then(|()| read.set_username(""));
        taken.map_err(|()| refuse("no host"))?;
    }
    Ok((Url::parse_strictly(read.as_str())?, has_any.then_some(information)))
}

/// Whether it is a path from the root, with or without a query, of which the standard changes nothing.
fn stays_as_it_is(target: &str) -> bool {
    let is_left = |byte: u8| {
        byte.is_ascii_alphanumeric()
            || matches!(byte, b'!' | b'$' | b'&' | b'('..=b'/' | b':' | b';' | b'=' | b'?' | b'@' | b'_' | b'~')
    };
    target.starts_with('/') && !target.starts_with("//") && target.bytes().all(is_left) && !target.contains("/.")
}

/// Before anything is made of it.
fn check(text: &str) -> Result<(), Error> {
    if text.len() > URL_MAX {
        return Err(refuse("longer than 65536 bytes"));
    }
    if text.chars().any(char::is_control) {
        return Err(refuse("a control character; encode it first"));
    }
    if authority(text).is_some_and(is_too_long) {
        return Err(refuse("the host name is longer than 253 bytes"));
    }
    Ok(())
}

/// What will be read as an authority, if anything: behind a scheme, or two slashes, which may lean the other way.
fn authority(text: &str) -> Option<&str> {
    let text = text.trim_start_matches(' ');
    let schemes = ["http:", "https:"].into_iter();
    let begins = |scheme: &&str| text.get(..scheme.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(scheme));
    let slashes = ['/', '\\'];
    let rest = match schemes.filter(begins).map(str::len).next() {
        Some(scheme) => &text[scheme..],
        None => text.strip_prefix(slashes)?.strip_prefix(slashes)?,
    };
    rest.trim_start_matches(slashes).split(['/', '\\', '?', '#']).next()
}

/// Whether an authority's host is longer than any name of ASCII can come of: IDNA takes a square of its length in time, and
/// only then is the name measured.
fn is_too_long(authority: &str) -> bool {
    let host = authority.rsplit('@').next().unwrap_or_default();
    let encoded = host.matches('%').count();
    let bytes_of_one = if encoded > 0 { 4 } else { 1 }; // three characters a byte, and four bytes a character
    host.chars().count().saturating_sub(2 * encoded) > bytes_of_one * (NAME_MAX + ".:65535".len())
}

fn read(text: &str, base: Option<&url::Url>) -> Result<url::Url, Error> {
    url::Url::options().base_url(base).parse(text).map_err(said)
}

/// Its errors are fixed words that repeat nothing of the text.
fn said(error: url::ParseError) -> Error {
    match error {
        url::ParseError::RelativeUrlWithoutBase => refuse("not absolute: it must begin with http:// or https://"),
        error => refuse(&error.to_string()),
    }
}

fn without_information(read: &url::Url) -> Result<Url, Error> {
    if !read.username().is_empty() || read.password().is_some() {
        return Err(refuse("user information is refused"));
    }
    Url::parse_strictly(read.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_write_is_made_a_url() {
        for (text, expected) in [
            ("http://faß.de/", "http://xn--fa-hia.de/"),
            ("http://a\u{3002}com/", "http://a.com/"), // an ideographic full stop is a dot, before anybody judges the name
            ("http://EXAMPLE.com:80/a b?ä#c", "http://example.com/a%20b?%C3%A4"),
            ("http://127.1/", "http://127.0.0.1/"),
            ("http://0x7f.1/", "http://127.0.0.1/"),
            ("http://2130706433/", "http://127.0.0.1/"),
            ("http://0177.0.0.1/", "http://127.0.0.1/"),
            ("http://%31%32%37.0.0.1/", "http://127.0.0.1/"),
            ("http://[::ffff:127.0.0.1]/", "http://[::ffff:127.0.0.1]/"),
            ("http://a.com\\@b.com/", "http://a.com/@b.com/"),
            ("http://a.com#@b.com/", "http://a.com/"),
            ("http://a.com/x/../y", "http://a.com/y"),
            ("http:a.com", "http://a.com/"),
            (" http://a.com/ ", "http://a.com/"),
        ] {
            assert_eq!(
                parse(text).map(|url| url.to_string()).map_err(|error| error.to_string()),
                Ok(expected.to_owned())
            );
        }
    }

    #[test]
    fn what_comes_of_it_is_refused_where_the_strict_parser_refuses_it() {
        let label_64 = format!("http://{}.org/", "a".repeat(64));
        let name_254 = format!("http://{}a/", "a.".repeat(127));
        for text in [
            "http://a.com%2f10.0.0.1/",
            "http://a.com:80:81/",
            "http://a.com:65536/",
            "http://xn--example-.org/",
            "http://a!b/",
            "http://a..b/",
            "http://-a.org/",
            "http://256.1.1.1/",
            "http://1.2.3.4.5/",
            "http://[fe80::1%25lo]/",
            "http://[::1%25.example.com]/",
            "http://a.com/\r\nHost: evil",
            "http://a.\tcom/",
            "http://a.com/\u{85}",
            "file:///etc/passwd",
            "data:,x",
            "//a.com/",
            "x",
            "",
            &label_64,
            &name_254,
            &format!("http://a.com/{}", "ä".repeat(20_000)), // encoded it is too long
        ] {
            let error = parse(text).expect_err(text).to_string();
            assert!(error.starts_with("url: "), "{error}");
        }
    }

    #[test]
    fn a_host_that_no_name_comes_of_is_refused_before_it_is_made_one() {
        let base = parse("http://a.com/").unwrap();
        let long = "\u{6F22}".repeat(254 + 7);
        let encoded = "%E6%BC%A2".repeat(4 * (254 + 7));
        for host in [&long, &encoded] {
            let begins = ["http://", "HTTPS:\\\\", "http:/", "https:", "//", "\\/", " http://me@", "http://me:you@"];
            for text in begins.map(|begin| format!("{begin}{host}:80/")) {
                let authority = authority(&text).unwrap();
                assert!(authority.contains(host) && is_too_long(authority), "{text}");
                assert!(base.join(&text).unwrap_err().to_string().contains("longer than 253 bytes"), "{text}");
            }
            for path in ["", "/", "./", "?", "#", "http:///a/", "//a/", "x/"] {
                assert!(!authority(&format!("{path}{host}")).is_some_and(is_too_long), "{path}: it is no host");
            }
        }
        let encoded_253 = format!("http://{}/", "%61".repeat(63) + &format!(".{}", "%62".repeat(63)).repeat(2));
        assert_eq!(parse(&encoded_253).unwrap().host().len(), 3 * 63 + 2);
    }

    #[test]
    fn what_is_joined_unread_is_what_comes_of_reading_it() {
        let page = "http://a.com:81/b/c?d";
        let (base, read_base) = (parse(page).unwrap(), url::Url::parse(page).unwrap());
        let mut unread = 0;
        let parts =
            ["", "/", ".", "..", "a", "0Z", "?", "#", "%2e", "%41", "\\", " ", "é", "|", "'", "!$&()*+,-;=@_~:"];
        for [first, second, third] in
            parts.iter().flat_map(|x| parts.iter().flat_map(move |y| parts.map(|z| [*x, *y, z])))
        {
            for begin in ["/", "http://a.com:81", "http://a.com:81/", "http://a.com/", "http://a.com:81/x/", ""] {
                let reference = format!("{begin}{first}{second}{third}");
                unread += usize::from(stays_as_it_is(reference.strip_prefix(base.origin()).unwrap_or(&reference)));
                let expected = read(&reference, Some(&read_base)).and_then(|read| without_information(&read));
                let [joined, expected] = [join(&base, &reference), expected].map(|url| url.map(|url| url.text).ok());
                assert_eq!(joined, expected, "{reference}");
            }
        }
        assert!(unread > 500, "{unread}");
    }

    // As they are made of each other, so the two parsers agree on what they both take.
    #[test]
    fn what_it_gives_it_gives_again() {
        for text in ["http://a.com/?q#f", "http://[::1]:81/x", "http://1.2.3.4", "http://a.com.", "http://a_b.com/%zz"]
        {
            let url = parse(text).unwrap();
            assert_eq!(parse(url.as_str()).unwrap(), url);
            assert_eq!(Url::parse_strictly(text).unwrap(), url, "{text}");
        }
    }
}
