//! Relative references: what a link or a `Location` means, read on a page (RFC 3986 5.2).
//!
//! ```text
//!   base         http://a/b/c/d?q        ../g?y       g:h        //g          ?y
//!   reference ──►            http://a/b/g?y           refused    http://g/    http://a/b/c/d?y
//! ```
//!
//! Here the text of the target is put together, and no more: whether it is a URL to go to, the one parser decides.
//! With the feature `url` none of this is used: that crate joins as browsers do.   Next: `follow`, which goes there.

#[cfg(any(test, not(feature = "url")))]
use super::refuse;
use super::{Error, Url};

impl Url {
    /// Where `reference` leads from here: an absolute URL, or a part of one (RFC 3986 5.2). With the feature `url` it is read
    /// as browsers read it, as [`parse`](Url::parse) does.
    ///
    /// # Errors
    /// As [`parse`](Url::parse), for what comes of it: other schemes than ours are refused.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// use windlass::http::Url;
    /// let page = Url::parse("http://example.com/a/b?q=1")?;
    /// assert_eq!(page.join("../c#top")?.as_str(), "http://example.com/c");
    /// assert_eq!(page.join("//example.org")?.as_str(), "http://example.org/");
    /// assert!(page.join("javascript:alert(1)").is_err());
    /// # Ok::<(), windlass_net::http::Error>(())
    /// ```
    pub fn join(&self, reference: &str) -> Result<Url, Error> {
        #[cfg(feature = "url")]
        return super::whatwg::join(self, reference);
        #[cfg(not(feature = "url"))]
        self.join_strictly(reference)
    }

    #[cfg(any(test, not(feature = "url")))]
    fn join_strictly(&self, reference: &str) -> Result<Url, Error> {
        if reference.len() > super::URL_MAX {
            return Err(refuse("longer than 65536 bytes"));
        }
        let path = self.path();
        if has_scheme(reference) {
            return Url::parse_strictly(&without_dots(reference));
        }
        if reference.starts_with("//") {
            return Url::parse_strictly(&without_dots(&format!("{}:{reference}", self.scheme())));
        }
        let (given, rest) = reference.split_at(reference.find(['?', '#']).unwrap_or(reference.len()));
        let target = match given.as_bytes() {
            [] if rest.starts_with('?') => format!("{path}{rest}"),
            [] => format!("{}{rest}", self.target()),
            [b'/', ..] => format!("{}{rest}", remove_dot_segments(given)),
            _ => {
                let merged = path.rsplit_once('/').expect("a path begins with a slash").0;
                format!("{}{rest}", remove_dot_segments(&format!("{merged}/{given}")))
            }
        };
        Url::parse_strictly(&format!("{}{target}", self.origin()))
    }

    /// This URL with the fragment of `of`, unless it has its own: as a redirect passes it on (RFC 9110 10.2.2).
    #[must_use]
    pub(crate) fn or_fragment_of(self, of: &Url) -> Url {
        match of.fragment() {
            Some(fragment) if self.fragment().is_none() => {
                Url { text: format!("{}#{fragment}", self.as_str()).into(), ..self }
            }
            _ => self,
        }
    }
}

#[cfg(any(test, not(feature = "url")))]
mod parts {
    use super::Url;

    impl Url {
        /// The target without the query.
        pub(super) fn path(&self) -> &str {
            self.target().split('?').next().expect("a split yields something")
        }
    }

    /// RFC 3986 3.1: a letter, then letters, digits, `+`, `-`, `.`, and a colon.
    pub(super) fn has_scheme(reference: &str) -> bool {
        let Some((scheme, _)) = reference.split_once(':') else { return false };
        scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b))
    }

    /// The absolute URL `text` with the dot segments of its path resolved.
    pub(super) fn without_dots(text: &str) -> String {
        let authority = text.find("//").map_or(text.len(), |at| at + 2);
        let end = text[authority..].find(['?', '#']).map_or(text.len(), |at| authority + at);
        let path = text[authority..end].find('/').map_or(end, |at| authority + at);
        format!("{}{}{}", &text[..path], remove_dot_segments(&text[path..end]), &text[end..])
    }

    /// RFC 3986 5.2.4, for a path that begins with a slash or is empty.
    pub(super) fn remove_dot_segments(path: &str) -> String {
        let mut kept = Vec::new();
        let mut segments = path.split('/').skip(1).peekable();
        while let Some(segment) = segments.next() {
            match segment {
                "." => {}
                ".." => drop(kept.pop()),
                _ => {
                    kept.push(segment);
                    continue;
                }
            }
            if segments.peek().is_none() {
                kept.push(""); // what ends in dots is a folder
            }
        }
        kept.iter().flat_map(|segment| ["/", segment]).collect()
    }
}

#[cfg(any(test, not(feature = "url")))]
use parts::{has_scheme, remove_dot_segments, without_dots};

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 3986 5.4.1 and 5.4.2; `None` where the scheme is none of ours.
    const EXAMPLES: [(&str, Option<&str>); 42] = [
        ("g:h", None),
        ("g", Some("http://a/b/c/g")),
        ("./g", Some("http://a/b/c/g")),
        ("g/", Some("http://a/b/c/g/")),
        ("/g", Some("http://a/g")),
        ("//g", Some("http://g/")),
        ("?y", Some("http://a/b/c/d;p?y")),
        ("g?y", Some("http://a/b/c/g?y")),
        ("#s", Some("http://a/b/c/d;p?q#s")),
        ("g#s", Some("http://a/b/c/g#s")),
        ("g?y#s", Some("http://a/b/c/g?y#s")),
        (";x", Some("http://a/b/c/;x")),
        ("g;x", Some("http://a/b/c/g;x")),
        ("g;x?y#s", Some("http://a/b/c/g;x?y#s")),
        ("", Some("http://a/b/c/d;p?q")),
        (".", Some("http://a/b/c/")),
        ("./", Some("http://a/b/c/")),
        ("..", Some("http://a/b/")),
        ("../", Some("http://a/b/")),
        ("../g", Some("http://a/b/g")),
        ("../..", Some("http://a/")),
        ("../../", Some("http://a/")),
        ("../../g", Some("http://a/g")),
        ("../../../g", Some("http://a/g")),
        ("../../../../g", Some("http://a/g")),
        ("/./g", Some("http://a/g")),
        ("/../g", Some("http://a/g")),
        ("g.", Some("http://a/b/c/g.")),
        (".g", Some("http://a/b/c/.g")),
        ("g..", Some("http://a/b/c/g..")),
        ("..g", Some("http://a/b/c/..g")),
        ("./../g", Some("http://a/b/g")),
        ("./g/.", Some("http://a/b/c/g/")),
        ("g/./h", Some("http://a/b/c/g/h")),
        ("g/../h", Some("http://a/b/c/h")),
        ("g;x=1/./y", Some("http://a/b/c/g;x=1/y")),
        ("g;x=1/../y", Some("http://a/b/c/y")),
        ("g?y/./x", Some("http://a/b/c/g?y/./x")),
        ("g?y/../x", Some("http://a/b/c/g?y/../x")),
        ("g#s/./x", Some("http://a/b/c/g#s/./x")),
        ("g#s/../x", Some("http://a/b/c/g#s/../x")),
        ("http:g", None),
    ];

    fn whole(url: &Url) -> String {
        let fragment = url.fragment().map_or(String::new(), |fragment| format!("#{fragment}"));
        format!("{url}{fragment}")
    }

    #[test]
    fn the_examples_of_rfc_3986_come_out_as_it_says() {
        let base = Url::parse_strictly("http://a/b/c/d;p?q").unwrap();
        for (reference, expected) in EXAMPLES {
            let joined = base.join_strictly(reference).ok();
            assert_eq!(joined.as_ref().map(whole).as_deref(), expected, "{reference}");
        }
    }

    #[test]
    #[cfg(feature = "url")]
    fn a_browser_makes_the_same_of_the_examples() {
        let base = Url::parse("http://a/b/c/d;p?q").unwrap();
        for (reference, expected) in EXAMPLES {
            let expected = if reference == "http:g" { Some("http://a/b/c/g") } else { expected }; // 5.4.2's other reading
            let joined = base.join(reference).ok();
            assert_eq!(joined.as_ref().map(whole).as_deref(), expected, "{reference}");
        }
    }

    #[test]
    fn an_absolute_reference_has_its_dots_resolved_and_its_query_left_alone() {
        let base = Url::parse_strictly("http://a/b").unwrap();
        for (reference, expected) in [
            ("http://c/d/../e/./f?x/../y", "http://c/e/f?x/../y"),
            ("//c/../d", "http://c/d"),
            ("http://c?x/../y", "http://c/?x/../y"),
            ("HTTP://C:80", "http://c/"),
            ("/.//c.com/x", "http://a//c.com/x"), // a path, whatever it looks like
            ("x:80/y/..", "refused"),
            ("./x:80", "http://a/x:80"),
        ] {
            let joined = base.join_strictly(reference).map_or("refused".to_owned(), |url| whole(&url));
            assert_eq!(joined, expected, "{reference}");
        }
    }

    // Written by a server, so it is judged like everything that servers write.
    #[test]
    fn what_a_reference_leads_to_must_be_a_url_to_go_to() {
        let base = Url::parse("http://a.com/b").unwrap();
        for reference in [
            "file:///etc/passwd",
            "ftp://a.com/",
            "javascript:alert(1)",
            "data:,x",
            "//u:hunter2@b.com/",
            "http://u:hunter2@b.com/",
            "http://hunter2@b.com/",
            "//[fe80::1%25lo]/",
            "//xn--hunter2-.org/",
            "//a.com:80:81/",
            "//",
            "/a\r\nHost: evil",
            "/a\nb",
            "/\0",
            "/\x7f",
            "//a..b/",
            "//256.1.1.1/",
        ] {
            for joined in [base.join(reference), base.join_strictly(reference)] {
                let error = joined.expect_err(reference).to_string();
                assert!(error.starts_with("url: ") && !error.contains("hunter2"), "{reference:?}: {error}");
            }
        }
        base.join(&"x".repeat(70_000)).unwrap_err();
        base.join_strictly(&"x".repeat(70_000)).unwrap_err();
    }

    #[test]
    fn a_fragment_is_passed_on_to_who_has_none_and_is_part_of_nothing_else() {
        let url = |text| Url::parse(text).unwrap();
        let from = url("http://a.com/#old");
        let to = url("http://b.com/x?y").or_fragment_of(&from);
        assert_eq!((to.fragment(), to.as_str(), to.target()), (Some("old"), "http://b.com/x?y", "/x?y"));
        assert_eq!(url("http://b.com/#new").or_fragment_of(&from).fragment(), Some("new"));
        assert_eq!(url("http://b.com/#").or_fragment_of(&from).fragment(), Some(""));
        assert_eq!(to, url("http://b.com/x?y"));
        assert_eq!(to.or_fragment_of(&url("http://c.com/")).fragment(), Some("old"));
    }
}
