//! What a site says it has: sitemaps, by the protocol of sitemaps.org.
//!
//! A sitemap names pages, or it is an index and names other sitemaps. It is XML, or a plain list of URLs, of up to 50
//! MB; whatever it is, it may be broken. So it is read a little at a time, as long as it makes sense, and what was read
//! before it stopped to counts.
//!
//! ```text
//!     <urlset>        <url>      <loc>http://a.com/x?y&amp;z</loc> ...    ──► Entry::Page
//!     <sitemapindex>  <sitemap>  <loc>http://a.com/2.xml</loc> ...        ──► Entry::Sitemap
//!     http://a.com/x                                                      ──► Entry::Page
//! ```
//!
//! A `loc` counts directly below `url` or `sitemap`, whatever the prefix of the three is; those of images and videos
//! lie deeper.
//!
//! Not here: fetching it, unpacking it, whether a site may name URLs of another.   Next: [`crate::robots`], which says
//! where sitemaps are.

use quick_xml::events::{BytesEnd, BytesStart, Event};
use quick_xml::reader::Reader;
use windlass::http::Url;

/// How many URLs one sitemap may name, by the protocol; what follows is ignored.
pub const ENTRIES_MAX: usize = 50_000;

/// How large it may be unpacked, by the protocol: 50 MB; what follows is ignored.
pub const LEN_MAX: usize = 52_428_800;

/// The protocol allows less than 2,048 characters for a URL; a longer one is passed over, with some room for the
/// careless.
const URL_MAX: usize = 8 * 1024;

/// How deep elements may lie in each other; the protocol needs five. What is deeper makes no sense, and the reader
/// keeps the name of all that are open.
const DEPTH_MAX: usize = 64;

/// How many pieces of XML, or lines, are read at a time: some ten microseconds, a few hundred where URLs are as long as can be.
const STEPS_MAX: usize = 16;

/// What a sitemap names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// Something to fetch.
    Page(Url),
    /// Another sitemap.
    Sitemap(Url),
}

/// A sitemap that is being read.
///
/// ```
/// use windlass_examples::sitemap::{Entry, Sitemap};
/// let xml = b"<urlset><url><loc> http://a.com/x?y&amp;z </loc><lastmod>2026-01-01</lastmod></url></urlset>";
/// let mut sitemap = Sitemap::new(xml);
/// let mut pages = Vec::new();
/// while let Some(entries) = sitemap.advance() {
///     pages.extend(entries); // in a task: and then let others run
/// }
/// let [Entry::Page(url)] = &pages[..] else { panic!("it names a page") };
/// assert_eq!(url.as_str(), "http://a.com/x?y&z");
/// ```
#[derive(Debug)]
pub struct Sitemap<'a> {
    form: Form<'a>,
    entries: usize,
    depth: usize,
    is_one: bool,
}

#[derive(Debug)]
enum Form<'a> {
    Xml(Box<Reader<&'a [u8]>>, Place),
    Text(&'a [u8]),
    Over,
}

/// Where in the XML we are.
#[derive(Debug)]
enum Place {
    Outside,
    /// In a `url` or `sitemap`, so many elements deep.
    Entry(Names, usize),
    Location(Names, String),
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Names {
    Page,
    Sitemap,
}

impl<'a> Sitemap<'a> {
    /// The sitemap `bytes`, unpacked, in UTF-8: XML if it begins with `<`, otherwise a list with a URL in each line.
    pub fn new(bytes: &'a [u8]) -> Sitemap<'a> {
        let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
        let bytes = bytes[..bytes.len().min(LEN_MAX)].trim_ascii_start();
        let form = if bytes.starts_with(b"<") {
            let mut reader = Reader::from_reader(bytes);
            let config = reader.config_mut();
            (config.check_end_names, config.allow_unmatched_ends, config.allow_dangling_amp) = (false, true, true);
            Form::Xml(Box::new(reader), Place::Outside)
        } else {
            Form::Text(bytes)
        };
        Sitemap { form, entries: 0, depth: 0, is_one: false }
    }

    /// The next few entries, often none; `None` at the end. The end is also where the XML makes no sense any more, and
    /// where one of the limits is reached.
    pub fn advance(&mut self) -> Option<Vec<Entry>> {
        let mut found = Vec::new();
        for _ in 0..STEPS_MAX {
            let named = match &mut self.form {
                Form::Xml(reader, place) => match reader.read_event() {
                    Ok(Event::Eof) | Err(_) => None,
                    Ok(Event::Start(_)) if self.depth == DEPTH_MAX => None,
                    Ok(event) => {
                        if let (0, Event::Start(root) | Event::Empty(root)) = (self.depth, &event) {
                            self.is_one |= matches!(root.local_name().as_ref(), "urlset" | "sitemapindex");
                        }
                        match event {
                            Event::Start(_) => self.depth += 1,
                            Event::End(_) => self.depth = self.depth.saturating_sub(1),
                            _ => {}
                        }
                        Some(place.step(&event))
                    }
                },
                Form::Text(rest) => line(rest).map(|line| Some((Names::Page, line))),
                Form::Over => return None,
            };
            let Some(named) = named.filter(|_| self.entries < ENTRIES_MAX) else {
                self.form = Form::Over;
                break;
            };
            if let Some((names, Ok(url))) = named.map(|(names, text)| (names, Url::parse(text.trim()))) {
                (self.entries, self.is_one) = (self.entries + 1, true);
                found.push(if names == Names::Page { Entry::Page(url) } else { Entry::Sitemap(url) });
            }
        }
        Some(found)
    }

    /// Whether it is a sitemap at all, as far as it was read: it begins like one, or it has named something. Many a server
    /// sends a page that says it is sorry.
    ///
    /// ```
    /// use windlass_examples::sitemap::Sitemap;
    /// let is_one = |file: &str| {
    ///     let mut sitemap = Sitemap::new(file.as_bytes());
    ///     while sitemap.advance().is_some() {}
    ///     sitemap.is_one()
    /// };
    /// assert!(is_one("<urlset/>") && is_one("http://a.com/x"));
    /// assert!(!is_one("<html>there is nothing here</html>") && !is_one("not found") && !is_one(""));
    /// ```
    pub fn is_one(&self) -> bool {
        self.is_one
    }
}

impl Place {
    /// A location, when its end has come.
    fn step(&mut self, event: &Event<'_>) -> Option<(Names, String)> {
        match event {
            Event::Start(start) => self.open(start),
            Event::End(end) => return self.close(end),
            Event::Text(text) => self.push(text),
            Event::CData(text) => self.push(text),
            Event::GeneralRef(reference) => {
                let known = match &reference[..] {
                    "amp" => Some('&'),
                    "lt" => Some('<'),
                    "gt" => Some('>'),
                    "quot" => Some('"'),
                    "apos" => Some('\''),
                    _ => reference.resolve_char_ref().ok().flatten(),
                };
                // Of an entity that nobody declared nothing is known: what it stands in is not a URL then.
                self.push(known.unwrap_or(' ').encode_utf8(&mut [0; 4]));
            }
            _ => {}
        }
        None
    }

    fn open(&mut self, start: &BytesStart<'_>) {
        let name = start.local_name();
        match self {
            Place::Outside if name.as_ref() == "url" => *self = Place::Entry(Names::Page, 0),
            Place::Outside if name.as_ref() == "sitemap" => *self = Place::Entry(Names::Sitemap, 0),
            Place::Entry(names, 0) if name.as_ref() == "loc" => *self = Place::Location(*names, String::new()),
            Place::Entry(_, depth) => *depth += 1,
            Place::Location(names, _) => *self = Place::Entry(*names, 2), // an element in it: it is none
            Place::Outside => {}
        }
    }

    fn close(&mut self, end: &BytesEnd<'_>) -> Option<(Names, String)> {
        match self {
            // Whatever is open in it.
            Place::Entry(..) if matches!(end.local_name().as_ref(), "url" | "sitemap") => *self = Place::Outside,
            Place::Entry(_, depth) => *depth = depth.saturating_sub(1),
            Place::Location(names, text) => {
                let (names, text) = (*names, std::mem::take(text));
                *self = Place::Entry(names, 0);
                return Some((names, text));
            }
            Place::Outside => {}
        }
        None
    }

    fn push(&mut self, more: &str) {
        if let Place::Location(_, text) = self {
            // One that has become too long is none, whatever follows.
            let fits = text.len() + more.len() <= URL_MAX;
            text.push_str(if fits { more } else { " \u{0} " });
        }
    }
}

/// The first line of `rest`, which goes on behind it.
fn line(rest: &mut &[u8]) -> Option<String> {
    if rest.is_empty() {
        return None;
    }
    let end = memchr::memchr2(b'\r', b'\n', rest).unwrap_or(rest.len());
    let line = &rest[..end];
    *rest = rest.get(end + 1..).unwrap_or_default();
    Some(if line.len() <= URL_MAX { String::from_utf8_lossy(line).into_owned() } else { String::new() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(bytes: &[u8]) -> Vec<String> {
        let mut sitemap = Sitemap::new(bytes);
        let mut entries = Vec::new();
        while let Some(more) = sitemap.advance() {
            entries.extend(more.into_iter().map(|entry| match entry {
                Entry::Page(url) => url.to_string(),
                Entry::Sitemap(url) => format!("map {url}"),
            }));
        }
        entries
    }

    /// What is found in one `loc` that holds `text`.
    fn location(text: &str) -> Vec<String> {
        entries(format!("<urlset><url><loc>{text}</loc></url></urlset>").as_bytes())
    }

    #[test]
    fn pages_and_other_sitemaps_are_told_apart() {
        let xml = "\u{feff}<?xml version='1.0' encoding='UTF-8'?>\n<!-- <url><loc>http://a.com/no</loc></url> -->
            <sitemapindex xmlns='http://www.sitemaps.org/schemas/sitemap/0.9'>
            <sitemap><loc>http://a.com/1.xml.gz</loc><lastmod>x</lastmod></sitemap><sitemap><loc>http://a.com/2.xml</loc></sitemap>";
        assert_eq!(entries(xml.as_bytes()), ["map http://a.com/1.xml.gz", "map http://a.com/2.xml"]);
        let xml = "<urlset><url><loc>http://a.com/1</loc></url><url><priority>1</priority><loc>http://a.com/2</loc></url></urlset>";
        assert_eq!(entries(xml.as_bytes()), ["http://a.com/1", "http://a.com/2"]);
    }

    #[test]
    fn prefixes_do_not_matter_and_the_locations_of_images_are_no_pages() {
        let xml = "<s:urlset xmlns:s='x' xmlns:i='y'><s:url><i:image><i:loc>http://a.com/i.png</i:loc></i:image><s:loc>http://a.com/1</s:loc>
            <i:image><i:loc>http://a.com/j.png</i:loc></i:image></s:url></s:urlset>";
        assert_eq!(entries(xml.as_bytes()), ["http://a.com/1"]);
        assert_eq!(entries(b"<loc>http://a.com/</loc><x><loc>http://a.com/</loc></x>"), [""; 0]);
    }

    #[test]
    fn a_location_is_text_with_references_and_cdata() {
        for (text, expected) in [
            ("\n  http://a.com/x \n", "http://a.com/x"),
            ("http://a.com/?a&amp;b&#61;&#x26;&lt;", "http://a.com/?a&b=&%3C"),
            ("<![CDATA[http://a.com/?a&b]]>", "http://a.com/?a&b"),
            ("http://a.com/<!-- x -->y", "http://a.com/y"),
            ("http://a.com/?a&b=1", "http://a.com/?a&b=1"), // wrong, and meant
            ("http://a.com/ä", "http://a.com/%C3%A4"),
        ] {
            assert_eq!(location(text), [expected], "{text}");
        }
        for text in [
            "",
            "/x",
            "a.com",
            "ftp://a.com/",
            "http://a.com&#13;&#10;/",
            "http://&nosuch;.com/",
            "<b>http://a.com/</b>",
            "http://a.com/<b/>x",
        ] {
            assert_eq!(location(text).len(), usize::from(text.ends_with("<b/>x")), "{text}");
        }
        assert_eq!(location(&format!("http://a.com/{}", "x".repeat(URL_MAX))), [""; 0]);
        assert_eq!(location(&format!("http://a.com/{}", "x<!---->".repeat(URL_MAX))), [""; 0]);
    }

    #[test]
    fn a_list_has_a_url_in_each_line() {
        let list = "\u{feff}http://a.com/1\r\n\r\n  http://a.com/2?a&b \rnone\nhttp://a.com/3";
        assert_eq!(entries(list.as_bytes()), ["http://a.com/1", "http://a.com/2?a&b", "http://a.com/3"]);
        assert_eq!(entries(b""), [""; 0]);
    }

    #[test]
    fn what_was_read_before_the_xml_broke_counts() {
        let good = "<urlset><url><loc>http://a.com/1</loc></url>";
        for bad in [
            "<url><loc>http://a.com/2",
            "<url <",
            "<!-- ",
            "<![CDATA[",
            "&",
            "</x></y>",
            "<?x",
            "\u{0}",
            "<url><loc></url>",
        ] {
            assert_eq!(entries(format!("{good}{bad}").as_bytes()), ["http://a.com/1"], "{bad}");
        }
        let wrong_ends =
            "<urlset><url><loc>http://a.com/1</x></url><url><a><b><loc></loc></url><url><loc>http://a.com/2</loc>";
        assert_eq!(entries(wrong_ends.as_bytes()), ["http://a.com/1", "http://a.com/2"]);
    }

    #[test]
    fn entities_of_its_own_are_not_expanded() {
        let xml = "<!DOCTYPE x [<!ENTITY a 'http://a.com/'><!ENTITY b '&a;&a;&a;'>]><urlset><url><loc>http://a.com/&b;x</loc></url></urlset>";
        assert_eq!(entries(xml.as_bytes()), ["http://a.com/%20x"]);
    }

    #[test]
    fn what_lies_too_deep_is_the_end() {
        let entry = "<url><loc>http://a.com/</loc></url>";
        let told = |depth: usize| entries(format!("{}{entry}", "<x>".repeat(depth)).as_bytes()).len();
        assert_eq!([told(DEPTH_MAX - 2), told(DEPTH_MAX - 1)], [1, 0]);
    }

    #[test]
    fn both_limits_of_the_protocol_hold() {
        let entry = "<url><loc>http://a.com/</loc></url>";
        assert_eq!(entries(format!("<urlset>{}", entry.repeat(ENTRIES_MAX + 9)).as_bytes()).len(), ENTRIES_MAX);
        assert_eq!(entries("http://a.com/\n".repeat(ENTRIES_MAX + 9).as_bytes()).len(), ENTRIES_MAX);
        let spaces = " ".repeat(LEN_MAX - 2 * entry.len());
        assert_eq!(entries(format!("{entry}{spaces}{entry}{entry}").as_bytes()).len(), 2);
    }

    #[test]
    fn any_bytes_mean_something() {
        let seed = 50_000;
        println!("seed {seed}");
        let mut random = crate::random(seed);
        let words = "< > / </ <url> </url> <loc> </loc> <sitemap> </sitemap> <!-- --> <![CDATA[ ]]> <!DOCTYPE [ ] & ; &amp; &#0; &#xD800; \" ' = x \
            http://a.com/ <?xml ?> \0 \n \u{feff} <a:b <url/> <loc/>";
        let words: Vec<&str> = words.split(' ').collect();
        for _ in 0..5_000 {
            let text: String = (0..random(30)).map(|_| words[random(words.len())]).collect();
            entries(text.as_bytes());
            entries(format!("<urlset><url><loc>{text}").as_bytes());
        }
    }
}
