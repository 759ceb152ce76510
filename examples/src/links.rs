//! Where a page leads.
//!
//! A crawler wants to know of a page which URLs it names and what for, and whether it asks not to be followed. Pages
//! are large, broken and sometimes hostile, and while one is read nothing else happens on this thread. So the bytes are
//! read as they come, and only so much of them at a time as takes less than a millisecond.
//!
//! ```text
//!     bytes ──► tags ──► <a href=" ../b&#10;#top " rel=nofollow>
//!                               trimmed, without tabs and fragment ──► joined to page or <base> ──► Link
//! ```
//!
//! What counts as a link is in [`Kind`]. Other schemes than `http` and `https` are passed over, and so is what is no
//! URL.
//!
//! Not here: which links to follow, what a form would send, what scripts would write.   Next: [`crate::tags`], which
//! reads the HTML; [`crate::robots`], which is asked before a link is followed.

use std::borrow::Cow;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::ops::ControlFlow;

use windlass::http::Url;

use crate::tags::{StartTag, Tokenizer};

/// How many links of one page are kept: as many as one sitemap may name. Who has more to say has a sitemap.
pub const LINKS_MAX: usize = 50_000;

/// How many bytes the URLs of one page may have in all. A page of a few bytes a link can make URLs as long as its own,
/// so the number alone is no limit to memory.
pub const TEXT_MAX: usize = 16 * 1024 * 1024;

/// How many bytes of references and what they are joined to are read for one page; links behind are left out. A page of
/// short links with a long URL of its own would otherwise take seconds, even if all its links were the same.
const JOINED_MAX: usize = 64 * 1024 * 1024;

/// Longer URLs are no links: few servers take them, and a page that makes its own URL longer and longer is a trap.
const URL_MAX: usize = 8 * 1024;

/// How much work [`Extractor::feed`] does until it gives something back, in bytes read.
const WORK_MAX: usize = 16 * 1024;

/// What it costs to look at a tag, in bytes read.
const TAG_WORK: usize = 8;

/// What it costs to make a URL, in bytes read: so much, and so much for each byte of it.
const URL_WORK: (usize, usize) = (512, 4);

/// One image in so many sizes; what follows is passed over. A tag is looked at in one go, and so many URLs may take a
/// millisecond if they are long.
const CANDIDATES_MAX: usize = 16;

/// What a page leads to with a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// `a` and `area`: what people click on.
    Anchor,
    /// `img`, also by `srcset`; the `source` of a `picture`; the `poster` of a `video`; an icon.
    Image,
    /// `script`.
    Script,
    /// `link rel=stylesheet`.
    Style,
    /// `frame` and `iframe`.
    Frame,
    /// `video`, `audio`, `track`, and their `source`.
    Media,
    /// `meta http-equiv=refresh`: where the page goes by itself.
    Refresh,
    /// `link rel=canonical`: what the page calls itself.
    Canonical,
    /// Any other `link` to something to fetch: `next`, `alternate`, `preload`, `manifest`, ...
    Related,
}

/// A URL on a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Absolute, and without a fragment.
    pub url: Url,
    /// What for.
    pub kind: Kind,
    /// Whether all links of this kind to it say `rel=nofollow`. What the page says of all its links is in
    /// [`Found::follow`].
    pub nofollow: bool,
}

/// Whether the page wants its links to be followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Follow {
    /// It says nothing against it.
    Yes,
    /// `nofollow` or `none`, in a `meta` or in `X-Robots-Tag`.
    No,
}

/// Whether the page wants to be found by others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Index {
    /// It says nothing against it.
    Yes,
    /// `noindex` or `none`, in a `meta` or in `X-Robots-Tag`.
    No,
}

/// What a page says.
#[derive(Debug, Clone)]
pub struct Found {
    /// In the order of the page; none twice with the same kind.
    pub links: Vec<Link>,
    /// What the page calls itself, the first time it does.
    pub canonical: Option<Url>,
    /// Whether its links are to be followed.
    pub follow: Follow,
    /// Whether it is to be shown to others.
    pub index: Index,
    /// How many links were left out, for [`LINKS_MAX`] or [`TEXT_MAX`]; some of them may be the same.
    pub left_out: usize,
}

/// Finds the links of a page while it comes.
///
/// ```
/// use windlass::http::Url;
/// use windlass_examples::links::{Extractor, Follow, Kind};
/// let mut extractor = Extractor::new(&Url::parse("http://a.com/b/c")?);
/// for piece in ["<a href='/x#top'>x</a> <A HR", "EF=y?a&amp;b rel=nofollow> <img src=data:,x>"] {
///     let mut rest = piece.as_bytes();
///     while !rest.is_empty() {
///         rest = extractor.feed(rest); // in a task: and then let others run
///     }
/// }
/// let found = extractor.finish();
/// let links: Vec<_> = found.links.iter().map(|link| (link.url.as_str(), link.kind, link.nofollow)).collect();
/// assert_eq!(links, [("http://a.com/x", Kind::Anchor, false), ("http://a.com/b/y?a&b", Kind::Anchor, true)]);
/// assert_eq!(found.follow, Follow::Yes);
/// # Ok::<(), windlass::http::Error>(())
/// ```
#[derive(Debug)]
pub struct Extractor {
    tokenizer: Tokenizer,
    page: Page,
}

impl Extractor {
    /// For the page that was found at `page`, which is where relative links start from.
    pub fn new(page: &Url) -> Extractor {
        let page = Page {
            url: page.clone(),
            base: None,
            parent: Parent::Other,
            places: Places::default(),
            said: Places::default(),
            hasher: RandomState::new(),
            text_len: 0,
            joined_len: 0,
            work: 0,
            found: Found { links: Vec::new(), canonical: None, follow: Follow::Yes, index: Index::Yes, left_out: 0 },
        };
        Extractor { tokenizer: Tokenizer::new(ATTRIBUTES), page }
    }

    /// Takes the value of an `X-Robots-Tag` of the page's head into account. What it says to one crawler by its name is
    /// passed over.
    ///
    /// ```
    /// use windlass::http::Url;
    /// use windlass_examples::links::{Extractor, Follow, Index};
    /// let mut extractor = Extractor::new(&Url::parse("http://a.com/")?);
    /// extractor.x_robots_tag("noindex, otherbot: nofollow");
    /// let found = extractor.finish();
    /// assert_eq!((found.index, found.follow), (Index::No, Follow::Yes));
    /// # Ok::<(), windlass::http::Error>(())
    /// ```
    pub fn x_robots_tag(&mut self, value: &str) {
        // A directive with a value has a colon, too.
        let is_name = |word: &str| {
            !matches!(word.trim().to_ascii_lowercase().as_str(), "unavailable_after" | "")
                && !word.trim().to_ascii_lowercase().starts_with("max-")
        };
        let ours = value.split(',').take_while(|part| !part.split_once(':').is_some_and(|(word, _)| is_name(word)));
        ours.for_each(|part| self.page.directive(part));
    }

    /// Reads the next bytes of the page, which may end anywhere, and gives back those that it has not come to: what it
    /// does until it gives something back takes less than a millisecond, in however many calls. Call it again with those,
    /// after others have had their turn.
    #[must_use = "what is not read is to be fed again"]
    pub fn feed<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let page = &mut self.page;
        let now = &bytes[..bytes.len().min(WORK_MAX.saturating_sub(page.work))];
        let rest = self.tokenizer.feed(now, |tag| {
            page.look_at(tag);
            if page.work < WORK_MAX { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        let read = now.len() - rest.len();
        page.work += read;
        if read < bytes.len() {
            page.work = 0;
        }
        &bytes[read..]
    }

    /// What was found. A tag that has not ended is none.
    pub fn finish(self) -> Found {
        self.page.found
    }
}

/// The attributes that matter, in the order of `Attribute`.
const ATTRIBUTES: &[&str] = &["href", "src", "srcset", "rel", "content", "name", "http-equiv", "poster"];

#[derive(Clone, Copy)]
enum Attribute {
    Href,
    Src,
    Srcset,
    Rel,
    Content,
    Name,
    HttpEquiv,
    Poster,
}

use Attribute::{Content, Href, HttpEquiv, Name, Poster, Rel, Src, Srcset};

fn value(tag: &StartTag, attribute: Attribute) -> Option<Cow<'_, str>> {
    tag.value(attribute as usize)
}

fn text(tag: &StartTag, attribute: Attribute) -> Cow<'_, str> {
    value(tag, attribute).unwrap_or_default()
}

/// Whose `source` it is.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Parent {
    Picture,
    Other,
}

#[derive(Debug)]
struct Page {
    url: Url,
    /// The first `base` with a `href`. It holds for what comes after it, which, by the standard, is every link.
    base: Option<Url>,
    parent: Parent,
    /// Where in `links` a URL of a kind is, by the hash of both: a map of URLs would be away for milliseconds when it
    /// grows.
    places: Places,
    /// The same, by the hash of a reference and its kind: pages say the same often, and to make a URL of it takes longer
    /// than all else. That of fifty thousand links one is taken for another has a chance of one in ten to the tenth.
    said: Places,
    hasher: RandomState,
    text_len: usize,
    joined_len: usize,
    /// Done since `feed` has given something back.
    work: usize,
    found: Found,
}

/// Places by hashes: a tree whose nodes have four children each, by the next two bits of the hash. A table would be filled anew
/// when it grows, and one block of all nodes be moved, for a millisecond; so they are in blocks, and stay where they are.
#[derive(Debug, Default)]
struct Places {
    blocks: Vec<Vec<Node>>,
    len: usize,
}

#[derive(Debug)]
struct Node {
    hash: u64,
    place: u32,
    children: [u32; 4],
}

impl Places {
    const BLOCK: usize = 512;
    /// No child.
    const NONE: u32 = u32::MAX;

    fn get(&self, hash: u64) -> Option<usize> {
        let (mut at, mut bits) = (0, hash);
        while let Some(node) = self.blocks.get(at / Self::BLOCK).and_then(|block| block.get(at % Self::BLOCK)) {
            if node.hash == hash {
                return Some(node.place as usize);
            }
            at = node.children[bits as usize % 4] as usize;
            bits >>= 2;
        }
        None
    }

    /// A hash that is there keeps its place.
    fn insert(&mut self, hash: u64, place: usize) {
        let (mut at, mut bits, len) = (0, hash, self.len as u32); // of JOINED_MAX at most
        while let Some(node) = self.blocks.get_mut(at / Self::BLOCK).and_then(|block| block.get_mut(at % Self::BLOCK)) {
            if node.hash == hash {
                return;
            }
            let child = &mut node.children[bits as usize % 4];
            at = *child as usize;
            *child = len.min(*child);
            bits >>= 2;
        }
        if self.len.is_multiple_of(Self::BLOCK) {
            self.blocks.push(Vec::new());
        }
        let node = Node { hash, place: place as u32, children: [Self::NONE; 4] };
        self.blocks.last_mut().expect("there is one").push(node);
        self.len += 1;
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Rule {
    None,
    Nofollow,
}

impl Page {
    fn look_at(&mut self, tag: &StartTag) {
        self.work += TAG_WORK;
        match tag.name() {
            b"a" | b"area" => {
                let rule = if has_word(&text(tag, Rel), "nofollow") { Rule::Nofollow } else { Rule::None };
                if let Some(href) = value(tag, Href) {
                    self.add(&href, Kind::Anchor, rule);
                }
            }
            b"link" => self.look_at_link(&text(tag, Rel), &text(tag, Href)),
            b"base" => self.look_at_base(tag),
            b"meta" => self.look_at_meta(tag),
            b"img" => self.embed(tag, Kind::Image),
            b"script" => self.embed(tag, Kind::Script),
            b"frame" | b"iframe" => self.embed(tag, Kind::Frame),
            b"track" => self.embed(tag, Kind::Media),
            b"picture" => self.parent = Parent::Picture,
            b"source" if self.parent == Parent::Picture => self.embed(tag, Kind::Image),
            b"source" => self.embed(tag, Kind::Media),
            b"video" | b"audio" => {
                self.parent = Parent::Other;
                self.embed(tag, Kind::Media);
                self.add_if_any(&text(tag, Poster), Kind::Image);
            }
            _ => {}
        }
    }

    fn embed(&mut self, tag: &StartTag, kind: Kind) {
        self.add_if_any(&text(tag, Src), kind);
        if kind == Kind::Image {
            candidates(&text(tag, Srcset)).for_each(|candidate| self.add_if_any(candidate, kind));
        }
    }

    fn look_at_link(&mut self, rel: &str, href: &str) {
        let is = |word| has_word(rel, word);
        let kind = if is("canonical") {
            Kind::Canonical
        } else if is("stylesheet") {
            Kind::Style
        } else if is("icon") || is("apple-touch-icon") {
            Kind::Image
        } else if rel.trim().is_empty() || is("dns-prefetch") || is("preconnect") {
            return; // nothing to fetch
        } else {
            Kind::Related
        };
        let rule = if is("nofollow") { Rule::Nofollow } else { Rule::None };
        if is_empty(href) {
            return;
        }
        let url = self.add(href, kind, rule);
        if kind == Kind::Canonical && self.found.canonical.is_none() {
            self.found.canonical = url;
        }
    }

    fn look_at_base(&mut self, tag: &StartTag) {
        if let (None, Some(href)) = (&self.base, value(tag, Href)) {
            // One that leads nowhere counts, too: then the page itself is the base.
            let base = self.url.join(&cleaned(&href)).ok().filter(|base| base.as_str().len() <= URL_MAX);
            self.base = Some(base.unwrap_or_else(|| self.url.clone()));
            self.said = Places::default(); // now they lead elsewhere
        }
    }

    fn look_at_meta(&mut self, tag: &StartTag) {
        let content = text(tag, Content);
        self.work += URL_WORK.1 * content.len();
        if text(tag, Name).trim().eq_ignore_ascii_case("robots") {
            content.split(',').for_each(|part| self.directive(part));
        }
        let is_refresh = text(tag, HttpEquiv).eq_ignore_ascii_case("refresh");
        if let Some(target) = refresh_target(&content).filter(|_| is_refresh) {
            self.add_if_any(target, Kind::Refresh);
        }
    }

    fn directive(&mut self, word: &str) {
        let word = word.trim().to_ascii_lowercase();
        if word == "nofollow" || word == "none" {
            self.found.follow = Follow::No;
        }
        if word == "noindex" || word == "none" {
            self.found.index = Index::No;
        }
    }

    /// An empty `src` is not fetched.
    fn add_if_any(&mut self, reference: &str, kind: Kind) {
        if !is_empty(reference) {
            self.add(reference, kind, Rule::None);
        }
    }

    /// The URL that `reference` stands for, if it is a link.
    fn add(&mut self, reference: &str, kind: Kind, rule: Rule) -> Option<Url> {
        self.work += URL_WORK.1 * reference.len();
        let reference = cleaned(reference);
        let said = self.hasher.hash_one((&*reference, kind));
        if let Some(place) = self.said.get(said) {
            let link = &mut self.found.links[place];
            link.nofollow &= rule == Rule::Nofollow;
            return Some(link.url.clone());
        }
        let base = self.base.as_ref().unwrap_or(&self.url);
        if reference.len() > URL_MAX || is_elsewhere(&reference) {
            return None;
        }
        let len = base.as_str().len() + reference.len();
        self.work += URL_WORK.0 + URL_WORK.1 * base.as_str().len();
        self.joined_len += len;
        if self.joined_len > JOINED_MAX {
            self.found.left_out += 1;
            return None;
        }
        let url = base.join(&reference).ok()?;
        let len = url.as_str().len();
        if len > URL_MAX {
            return None;
        }
        let is_full = self.found.links.len() == LINKS_MAX || self.text_len + len > TEXT_MAX;
        let hash = self.hasher.hash_one((&url, kind));
        let same = |link: &Link| link.kind == kind && link.url == url;
        match self.places.get(hash).filter(|place| same(&self.found.links[*place])) {
            Some(place) => {
                self.found.links[place].nofollow &= rule == Rule::Nofollow;
                self.said.insert(said, place);
            }
            _ if is_full => self.found.left_out += 1,
            _ => {
                self.places.insert(hash, self.found.links.len());
                self.said.insert(said, self.found.links.len());
                self.text_len += len;
                self.found.links.push(Link { url: url.clone(), kind, nofollow: rule == Rule::Nofollow });
            }
        }
        Some(url)
    }
}

/// What the URL standard takes off a reference before it reads it (4.4), and its fragment.
fn cleaned(reference: &str) -> Cow<'_, str> {
    let reference = reference.trim_matches(|c: char| c <= ' ');
    let reference = &reference[..reference.find('#').unwrap_or(reference.len())];
    if reference.contains(['\t', '\n', '\r']) {
        Cow::Owned(reference.replace(['\t', '\n', '\r'], ""))
    } else {
        Cow::Borrowed(reference)
    }
}

fn is_empty(reference: &str) -> bool {
    reference.chars().all(|c| c <= ' ')
}

/// Whether it has a scheme that is not ours. Joining would say so, too, but not before it has read a `data:` of
/// megabytes.
fn is_elsewhere(reference: &str) -> bool {
    let Some((scheme, _)) = reference.split_once(':') else { return false };
    let is_scheme = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    is_scheme && !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https")
}

/// Whether `word`, in any case, is one of `words`.
fn has_word(words: &str, word: &str) -> bool {
    words.split_ascii_whitespace().any(|one| one.eq_ignore_ascii_case(word))
}

/// The URLs of a `srcset` (HTML 4.8.4.2.1): each reaches to a space or to commas, and a comma outside parentheses ends
/// what is said of it.
fn candidates(srcset: &str) -> impl Iterator<Item = &str> {
    let mut rest = srcset;
    let next = move || {
        rest = rest.trim_start_matches(|c: char| c.is_ascii_whitespace() || c == ',');
        let (url, behind) = rest.split_at(rest.find(|c: char| c.is_ascii_whitespace()).unwrap_or(rest.len()));
        let trimmed = url.trim_end_matches(',');
        rest = behind;
        if trimmed.len() == url.len() {
            let mut depth = 0_usize;
            let end = behind.find(|c| {
                depth = match c {
                    '(' => depth + 1,
                    ')' => depth.saturating_sub(1),
                    _ => depth,
                };
                c == ',' && depth == 0
            });
            rest = &behind[end.unwrap_or(behind.len())..];
        }
        (!trimmed.is_empty()).then_some(trimmed)
    };
    std::iter::from_fn(next).take(CANDIDATES_MAX)
}

/// Where a refresh leads (HTML 4.2.5.3): `5; url='/x'`, of which only the number has to be there.
fn refresh_target(content: &str) -> Option<&str> {
    let space = |c: char| c.is_ascii_whitespace();
    let content = content.trim_start_matches(space);
    let rest = content.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
    if rest.len() == content.len() || !rest.starts_with(|c| space(c) || c == ';' || c == ',') {
        return None;
    }
    let rest = rest.trim_start_matches(space);
    let rest = rest.strip_prefix([';', ',']).unwrap_or(rest).trim_start_matches(space);
    let named = rest.get(..3).filter(|word| word.eq_ignore_ascii_case("url"));
    let behind = named.and_then(|_| rest[3..].trim_start_matches(space).strip_prefix('='));
    let rest = behind.map_or(rest, |rest| rest.trim_start_matches(space));
    let quoted =
        rest.strip_prefix('"').map(|rest| (rest, '"')).or_else(|| rest.strip_prefix('\'').map(|rest| (rest, '\'')));
    Some(quoted.map_or(rest, |(rest, quote)| &rest[..rest.find(quote).unwrap_or(rest.len())]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(html: &str) -> Found {
        let mut extractor = Extractor::new(&Url::parse("http://a.com/b/c?d#e").unwrap());
        let mut rest = html.as_bytes();
        while !rest.is_empty() {
            rest = extractor.feed(rest);
        }
        extractor.finish()
    }

    fn links(html: &str) -> Vec<(String, Kind)> {
        read(html).links.into_iter().map(|link| (link.url.to_string(), link.kind)).collect()
    }

    /// The URLs, without what they all begin with.
    fn urls(html: &str) -> Vec<String> {
        links(html).into_iter().map(|(url, _)| url.trim_start_matches("http://a.com").to_owned()).collect()
    }

    #[test]
    fn every_element_that_leads_somewhere_does_so_in_its_way() {
        for (html, expected) in [
            ("<a href=x>", &[("/b/x", Kind::Anchor)][..]),
            ("<map><AREA HREF=/x>", &[("/x", Kind::Anchor)]),
            ("<img src=1 srcset='2 1x, 3 2x'>", &[("/b/1", Kind::Image), ("/b/2", Kind::Image), ("/b/3", Kind::Image)]),
            ("<picture><source srcset=1><img src=2></picture>", &[("/b/1", Kind::Image), ("/b/2", Kind::Image)]),
            (
                "<picture></picture><video src=1 poster=2><source src=3><track src=4>",
                &[("/b/1", Kind::Media), ("/b/2", Kind::Image), ("/b/3", Kind::Media), ("/b/4", Kind::Media)],
            ),
            ("<audio src=1>", &[("/b/1", Kind::Media)]),
            ("<script src=1></script><script>x</script>", &[("/b/1", Kind::Script)]),
            ("<frame src=1><iframe src=2></iframe>", &[("/b/1", Kind::Frame), ("/b/2", Kind::Frame)]),
            ("<link rel='x StyleSheet' href=1>", &[("/b/1", Kind::Style)]),
            ("<link rel='shortcut icon' href=1>", &[("/b/1", Kind::Image)]),
            ("<link rel=next href=1>", &[("/b/1", Kind::Related)]),
            ("<link href=1><link rel=preconnect href=2><link rel=next href=''>", &[]),
            ("<meta http-equiv=Refresh content='0;url=1'>", &[("/b/1", Kind::Refresh)]),
            ("<form action=1><input src=2><p href=3><a src=4><div src=5>", &[]),
            ("<img src=''><script src=' '></script><a name=x>", &[]),
            ("<a href=''><a href='#x'>", &[("/b/c?d", Kind::Anchor)]),
        ] {
            let expected: Vec<_> = expected.iter().map(|(url, kind)| (format!("http://a.com{url}"), *kind)).collect();
            assert_eq!(links(html), expected, "{html}");
        }
    }

    #[test]
    fn a_reference_is_read_as_browsers_read_it() {
        for (href, expected) in [
            (" \t/x \n", Some("/x")),
            ("/x\n\ty", Some("/xy")),
            ("java\nscript:x", None),
            ("\u{1}/x\u{1f}", Some("/x")),
            ("/a b?\u{e4}#f", Some("/a%20b?%C3%A4")),
            ("../../../x", Some("/x")),
            ("?q", Some("/b/c?q")),
            ("//a.com:80/x", Some("/x")),
            ("\\x", Some("/x")),
            ("x:y", None),
            ("./x:y", Some("/b/x:y")),
            ("/x&#9;y&amp;z", Some("/xy&z")),
            ("mailto:a@b", None),
            ("javascript:x", None),
            ("JavaScript:x", None),
            ("data:text/html,<a>", None),
            ("tel:1", None),
            ("ftp://a.com/", None),
            ("http://", None),
            ("http://u:p@a.com/", None),
            ("/x\0y", Some("/x%EF%BF%BDy")),
            ("/x\u{2}y", None), // a control character is refused wherever else it stands
        ] {
            assert_eq!(urls(&format!("<a href='{href}'>")).first().map(String::as_str), expected, "{href:?}");
        }
    }

    #[test]
    fn the_first_base_is_where_links_start_from_and_itself_starts_from_the_page() {
        assert_eq!(urls("<base target=x><base href='/x/y'><base href=/z/><a href=1><a href=?2>"), ["/x/1", "/x/y?2"]);
        assert_eq!(urls("<base href=../d/><a href=1>"), ["/d/1"]);
        assert_eq!(urls("<base href=data:,x><base href=/z/><a href=1>"), ["/b/1"]);
        assert_eq!(urls("<base href=http://b.com/x><a href=1>"), ["http://b.com/1"]);
    }

    #[test]
    fn what_is_there_twice_is_found_once_and_followed_if_one_of_them_may_be() {
        let found = read("<a rel='x NoFollow' href=1#a><a href=1#b><a rel=nofollow href=2><img src=1>");
        let told: Vec<_> = found.links.iter().map(|link| (link.url.target(), link.kind, link.nofollow)).collect();
        assert_eq!(told, [("/b/1", Kind::Anchor, false), ("/b/2", Kind::Anchor, true), ("/b/1", Kind::Image, false)]);
        assert!(found.links.iter().all(|link| link.url.fragment().is_none()));
    }

    #[test]
    fn the_first_canonical_counts() {
        let canonical = |html| read(html).canonical.map(|url| url.to_string());
        assert_eq!(
            canonical("<link rel=canonical href=x#y><link rel=canonical href=z>").as_deref(),
            Some("http://a.com/b/x")
        );
        assert_eq!(canonical("<link rel=canonical href=''><link rel=next href=z>"), None);
    }

    #[test]
    fn a_page_or_its_head_may_ask_not_to_be_followed_or_shown() {
        let told = |html| (read(html).follow, read(html).index);
        assert_eq!(told("<meta name=Robots content='index, NoFollow'>"), (Follow::No, Index::Yes));
        assert_eq!(told("<meta name=robots content=noindex>"), (Follow::Yes, Index::No));
        assert_eq!(told("<meta content=none name=robots>"), (Follow::No, Index::No));
        assert_eq!(
            told("<meta name=otherbot content=none><!-- <meta name=robots content=none> -->"),
            (Follow::Yes, Index::Yes)
        );
        for (value, expected) in [
            ("nofollow", (Follow::No, Index::Yes)),
            ("max-snippet: 5, unavailable_after: 25 Jun 2010 15:00:00 PST, NOINDEX", (Follow::Yes, Index::No)),
            ("otherbot: none, nofollow", (Follow::Yes, Index::Yes)),
            ("", (Follow::Yes, Index::Yes)),
        ] {
            let mut extractor = Extractor::new(&Url::parse("http://a.com/").unwrap());
            extractor.x_robots_tag(value);
            let found = extractor.finish();
            assert_eq!((found.follow, found.index), expected, "{value}");
        }
    }

    #[test]
    fn a_srcset_is_taken_apart_as_the_standard_says() {
        for (srcset, expected) in [
            ("a 1x, b 2x", &["a", "b"][..]),
            ("a,b 2x", &["a,b"]), // a comma inside is part of it
            ("a, b", &["a", "b"]),
            (",, a,, ,b", &["a", "b"]),
            ("a (1,2) x,b", &["a", "b"]),
            ("a (1,2", &["a"]),
            ("data:,x 1x, b", &["data:,x", "b"]),
            (" ", &[]),
            ("", &[]),
        ] {
            assert_eq!(candidates(srcset).collect::<Vec<_>>(), expected, "{srcset:?}");
        }
        assert_eq!(candidates(&"a, ".repeat(1_000)).count(), CANDIDATES_MAX);
    }

    #[test]
    fn a_refresh_is_taken_apart_as_the_standard_says() {
        for (content, expected) in [
            ("5;url=x", Some("x")),
            (" 0.5 , URL = 'x y' z", Some("x y")),
            ("0;url=\"x", Some("x")),
            ("0; x", Some("x")),
            ("0 x", Some("x")),
            ("0;urlx", Some("urlx")),
            (".;'x'", Some("x")),
            ("5", None),
            ("url=x", None),
            ("5url=x", None),
            ("-5;url=x", None),
            ("0;\u{e4}\u{e4}", Some("\u{e4}\u{e4}")),
            ("", None),
        ] {
            assert_eq!(refresh_target(content), expected, "{content:?}");
        }
    }

    #[test]
    fn of_too_many_links_the_first_are_kept() {
        let html: String = (0..LINKS_MAX + 3).map(|number| format!("<a href={number}>")).collect();
        let found = read(&(html + "<a href=0 rel=nofollow>"));
        assert_eq!((found.links.len(), found.left_out), (LINKS_MAX, 3));
    }

    #[test]
    fn of_too_long_urls_so_many_are_kept_as_fit() {
        let page = Url::parse(&format!("http://a.com/{}/", "x".repeat(URL_MAX - 100))).unwrap();
        let mut extractor = Extractor::new(&page);
        let html: String = (0..2_100).map(|number| format!("<a href={number}>")).collect();
        let mut rest = html.as_bytes();
        while !rest.is_empty() {
            rest = extractor.feed(rest);
        }
        let found = extractor.finish();
        assert!(found.links.iter().map(|link| link.url.as_str().len()).sum::<usize>() <= TEXT_MAX);
        assert_eq!(found.links.len() + found.left_out, 2_100);
        assert!(found.left_out > 0);
        assert_eq!(urls(&format!("<a href={}><a href=x>", "x".repeat(URL_MAX))), ["/b/x"]);
    }

    #[test]
    fn one_call_does_not_read_a_page_that_is_all_links() {
        let read = |html: &str| {
            let mut extractor = Extractor::new(&Url::parse("http://a.com/").unwrap());
            let (mut rest, mut calls) = (html.as_bytes(), 0);
            while !rest.is_empty() {
                rest = extractor.feed(rest);
                calls += 1;
            }
            (calls, extractor.finish().links.len())
        };
        let (calls, links) = read(&(1_000..7_000).map(|number| format!("<a href={number}>")).collect::<String>());
        assert!((80..240).contains(&calls), "{calls}");
        assert_eq!(links, 6_000);
        // What was said before costs little.
        let (calls, links) = read(&"<a href=1000>".repeat(6_000));
        assert!((3..30).contains(&calls), "{calls}");
        assert_eq!(links, 1);
    }

    #[test]
    fn nor_do_many_calls_though_each_has_a_few_bytes_of_it() {
        let html: String = (0..3).flat_map(|_| 0..20_000).map(|number| format!("<a href=/l/{number}>")).collect();
        for len in [1, 17, 64, 4_096] {
            let mut extractor = Extractor::new(&Url::parse("http://a.com/").unwrap());
            let mut read = 0;
            for piece in html.as_bytes().chunks(len) {
                let mut rest = extractor.feed(piece);
                read += piece.len() - rest.len();
                while !rest.is_empty() {
                    let again = extractor.feed(rest);
                    (read, rest) = (rest.len() - again.len(), again);
                }
                assert!(read <= WORK_MAX + len, "{read} bytes in pieces of {len}");
            }
            assert_eq!(extractor.finish().links.len(), 20_000);
        }
    }

    #[test]
    fn a_hash_has_the_place_that_it_got_first_however_much_it_is_like_others() {
        let alike = (0..64).map(|bit| 1_u64 << bit);
        let hashes: Vec<u64> = alike.chain((0..5_000_u64).map(|nth| nth.wrapping_mul(0x9e37_79b9_7f4a_7c15))).collect();
        let mut places = Places::default();
        for (place, hash) in hashes.iter().enumerate() {
            assert_eq!(places.get(*hash), None);
            places.insert(*hash, place);
        }
        hashes.iter().for_each(|hash| places.insert(*hash, 0));
        assert!(hashes.iter().enumerate().all(|(place, hash)| places.get(*hash) == Some(place)));
        assert_eq!((places.len, places.get(3)), (hashes.len(), None));
    }

    #[test]
    fn the_same_words_lead_elsewhere_behind_a_base() {
        let html = "<a href=x><a href=x rel=nofollow><base href=/c/><a href=x rel=nofollow><img src=x><a href=./x>";
        assert_eq!(urls(html), ["/b/x", "/c/x", "/c/x"]);
        let found = read(html);
        let said: Vec<_> = found.links.iter().map(|link| (link.kind, link.nofollow)).collect();
        assert_eq!(said, [(Kind::Anchor, false), (Kind::Anchor, false), (Kind::Image, false)]);
    }
}
