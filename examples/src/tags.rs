//! The start tags of an HTML page, as its bytes come.
//!
//! A page arrives in pieces that end anywhere, and a large one must not be kept until it is all there. A tokenizer that
//! pulls its input needs the whole; so here is one that is pushed: what it has read so far is a state and the tag
//! under way.
//!
//! ```text
//!     <p title="a>b"><a hr | ef='/x?a&amp;b'>      two pieces
//!     ╰────── text, tags, comments, raw text: where does a tag begin and end? ──────╯
//!                                            └─► StartTag { name: "a", href: "/x?a&b" }
//! ```
//!
//! The states are those of the HTML standard (13.2.5) without what only a browser needs: text, end tags and comments
//! are read over, of a start tag the few attributes that are wanted are kept. So memory is bounded, and so is time:
//! each byte is looked at once. What a character reference in an attribute stands for says html5gum, which is also the
//! judge of the tests.
//!
//! No tree is built, so what depends on it is not known: inside `<svg>` and `<math>` tags are read as elsewhere, CDATA
//! is a comment. `<noscript>` is read as by a browser without scripts. Bytes are taken for UTF-8; in another charset
//! that extends ASCII, only letters beyond ASCII go wrong.   Next: [`crate::links`], which knows what the tags mean.

use std::borrow::Cow;
use std::ops::ControlFlow;

/// How long a value may be; a longer one is kept as if it ended there. A URL of 8,000 bytes is what RFC 9110 4.1 asks
/// everybody to take.
pub const VALUE_MAX: usize = 16 * 1024;

/// With more `&` than this an attribute is taken for one that is not there: each may begin a character reference, which takes
/// long to resolve, and a tag is looked at in one go.
const REFERENCES_MAX: usize = 1_024;

/// Longer names are none that anybody wants.
const NAME_MAX: usize = 16;

/// A start tag with those of its attributes that are wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StartTag {
    name: Vec<u8>,
    /// One for each wanted attribute.
    values: Vec<Option<Value>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Value {
    bytes: Vec<u8>,
    quote: &'static str,
}

impl StartTag {
    /// The first 16 bytes of its name, in lower case; a NUL is left in it.
    pub fn name(&self) -> &[u8] {
        &self.name
    }

    /// The value of the wanted attribute of this number, with its character references resolved; empty if it has none.
    /// Of attributes of one name the first counts. None, too, if there are more than 1,024 `&` in it.
    pub fn value(&self, number: usize) -> Option<Cow<'_, str>> {
        let value = self.values[number].as_ref()?;
        let is_plain = memchr::memchr3(b'&', b'\0', b'\r', &value.bytes).is_none();
        if is_plain {
            return Some(String::from_utf8_lossy(&value.bytes));
        }
        let is_bounded = memchr::memchr_iter(b'&', &value.bytes).nth(REFERENCES_MAX).is_none();
        is_bounded.then(|| Cow::Owned(value.resolved()))
    }
}

impl Value {
    fn resolved(&self) -> String {
        let html = [b"<a b=", self.quote.as_bytes(), &self.bytes, self.quote.as_bytes(), b">"].concat();
        // Between what is wrong with the value, which are tokens, too.
        let value = html5gum::Tokenizer::new(&html).find_map(|Ok(token)| match token {
            html5gum::Token::StartTag(mut tag) => tag.attributes.remove(&b"b"[..]),
            _ => None,
        });
        value.map_or_else(String::new, |value| String::from_utf8_lossy(&value).into_owned())
    }
}

/// Reads a page piece by piece.
///
/// ```
/// use std::ops::ControlFlow;
/// use windlass_examples::tags::Tokenizer;
/// let mut tokenizer = Tokenizer::new(&["href"]);
/// let mut links = Vec::new();
/// for piece in ["<!-- <a href=no> --><A HR", "EF='/x?a&amp", ";b'>"] {
///     tokenizer.feed(piece.as_bytes(), |tag| {
///         links.push((tag.name().to_vec(), tag.value(0).map(|value| value.into_owned())));
///         ControlFlow::Continue(())
///     });
/// }
/// assert_eq!(links, [(b"a".to_vec(), Some("/x?a&b".to_owned()))]);
/// ```
#[derive(Debug)]
pub struct Tokenizer {
    wanted: &'static [&'static str],
    state: State,
    tag: StartTag,
    kind: Kind,
    /// The name of the attribute under way, or of what could end raw text.
    name: Vec<u8>,
    /// Which wanted attribute's value is under way.
    kept: Option<usize>,
    /// Whether the tag under way has begun raw text, and which: only an end tag of the same name ends it.
    raw: Raw,
}

/// Where in the page we are, in the words of the standard.
#[derive(Debug, Clone, Copy, PartialEq)]
enum State {
    Data,
    TagOpen,
    EndTagOpen,
    TagName,
    BeforeName,
    Name,
    AfterName,
    BeforeValue,
    /// Up to this quote.
    Quoted(u8),
    Unquoted,
    AfterQuoted,
    SelfClosing,
    MarkupDeclaration,
    MarkupDeclarationDash,
    /// Also a doctype, a processing instruction, and CDATA: up to the next `>`.
    BogusComment,
    CommentStart,
    CommentStartDash,
    Comment,
    CommentEndDash,
    CommentEnd,
    CommentEndBang,
    /// Text in which there are no tags, but for the one that ends it.
    RawText(Escape),
    RawLess(Escape),
    RawEndOpen(Escape),
    RawEndName(Escape),
    ScriptEscapeStart,
    ScriptEscapeStartDash,
    /// Behind one `-`, and behind more.
    ScriptDash(Escape),
    ScriptDashDash(Escape),
    ScriptDoubleEscapeStart,
    ScriptDoubleEscapeEnd,
    PlainText,
}

/// In a script, `<!--` makes `<script>` and `</script>` pairs (13.2.5.20 to 31). Other raw text knows only `No`.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Escape {
    No,
    Once,
    Twice,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Start,
    End,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Raw {
    Script,
    Other,
}

/// What to do with the byte that led to another state.
enum Step {
    Next(State),
    /// The new state is to look at it, too.
    Again(State),
    /// It ended a tag.
    Emit,
}

use Step::{Again, Emit, Next};

impl Tokenizer {
    /// A tokenizer at the beginning of a page that keeps the attributes `wanted`, in lower case; [`StartTag::value`]
    /// takes their numbers.
    pub fn new(wanted: &'static [&'static str]) -> Tokenizer {
        Tokenizer {
            wanted,
            state: State::Data,
            tag: StartTag { name: Vec::new(), values: vec![None; wanted.len()] },
            kind: Kind::Start,
            name: Vec::new(),
            kept: None,
            raw: Raw::Other,
        }
    }

    /// Reads `bytes`, and shows `on_tag` each start tag that ends in them. If it breaks, the bytes behind the tag are
    /// given back unread; otherwise there are none left. At the end of the page there is nothing to do: a tag that has
    /// not ended is none.
    pub fn feed<'a>(&mut self, bytes: &'a [u8], mut on_tag: impl FnMut(&StartTag) -> ControlFlow<()>) -> &'a [u8] {
        let mut rest = bytes;
        loop {
            rest = self.skip(rest);
            let Some((&byte, behind)) = rest.split_first() else { return rest };
            match self.step(byte) {
                Next(state) => (self.state, rest) = (state, behind),
                Again(state) => self.state = state,
                Emit => {
                    rest = behind;
                    self.state = self.behind_tag();
                    if self.kind == Kind::Start && on_tag(&self.tag).is_break() {
                        return rest;
                    }
                }
            }
        }
    }

    /// Reads over what the state has no question about, many bytes at a time.
    fn skip<'a>(&mut self, rest: &'a [u8]) -> &'a [u8] {
        let found = match self.state {
            State::Data | State::RawText(Escape::No) => memchr::memchr(b'<', rest),
            State::RawText(_) => memchr::memchr2(b'<', b'-', rest),
            State::Comment => memchr::memchr(b'-', rest),
            State::BogusComment => memchr::memchr(b'>', rest),
            State::Quoted(quote) => memchr::memchr(quote, rest),
            State::Unquoted => rest.iter().position(|&byte| is_space(byte) || byte == b'>'),
            State::PlainText => None,
            _ => return rest,
        };
        let (skipped, rest) = rest.split_at(found.unwrap_or(rest.len()));
        if let Some(value) = self.kept.and_then(|number| self.tag.values[number].as_mut()) {
            let room = VALUE_MAX - value.bytes.len();
            value.bytes.extend_from_slice(&skipped[..skipped.len().min(room)]);
        }
        rest
    }

    fn step(&mut self, byte: u8) -> Step {
        use State::*;
        match (self.state, byte) {
            (Data, b'<') => Next(TagOpen),
            (TagOpen, b'!') => Next(MarkupDeclaration),
            (TagOpen, b'/') => Next(EndTagOpen),
            (TagOpen, b'?') => Next(BogusComment),
            (TagOpen, b'a'..=b'z' | b'A'..=b'Z') => self.begin_tag(Kind::Start),
            (TagOpen, _) => Again(Data),
            (EndTagOpen, b'a'..=b'z' | b'A'..=b'Z') => self.begin_tag(Kind::End),
            (EndTagOpen, b'>') => Next(Data),
            (EndTagOpen, _) => Again(BogusComment),
            (_, b'>') if self.state.ends_tag() => Emit,
            (TagName | AfterQuoted, byte) if is_space(byte) => Next(BeforeName),
            (TagName | AfterName | AfterQuoted, b'/') => Next(SelfClosing),
            (TagName, byte) => {
                push_lower(&mut self.tag.name, byte);
                Next(TagName)
            }

            (BeforeName | AfterName | BeforeValue, byte) if is_space(byte) => Next(self.state),
            (BeforeName, b'/') => Again(AfterName),
            (AfterName, b'=') => Next(BeforeValue),
            // A `=` that is no name's is the first letter of one.
            (BeforeName | AfterName, byte) => {
                self.name.clear();
                push_lower(&mut self.name, byte);
                Next(Name)
            }
            (Name, b'=') => {
                self.keep();
                Next(BeforeValue)
            }
            (Name, byte) if is_space(byte) || byte == b'/' => {
                self.keep();
                Again(AfterName)
            }
            (Name, byte) => {
                push_lower(&mut self.name, byte);
                Next(Name)
            }
            (BeforeValue, b'"' | b'\'') => {
                self.quoted_by(if byte == b'"' { "\"" } else { "'" });
                Next(Quoted(byte))
            }
            (BeforeValue, _) => Again(Unquoted),
            (Quoted(_), _) => self.end_value(Next(AfterQuoted)), // the quote: all else is skipped
            (Unquoted, _) => self.end_value(Next(BeforeName)),   // a space
            (AfterQuoted | SelfClosing, _) => Again(BeforeName),

            (MarkupDeclaration, b'-') => Next(MarkupDeclarationDash),
            (MarkupDeclarationDash, b'-') => Next(CommentStart),
            (MarkupDeclaration | MarkupDeclarationDash, _) => Again(BogusComment),
            (BogusComment, _) => Next(Data), // a `>`: all else is skipped
            (CommentStart | CommentStartDash | CommentEnd | CommentEndBang, b'>') => Next(Data),
            (CommentStart, b'-') => Next(CommentStartDash),
            (CommentStartDash | CommentEndDash | CommentEnd, b'-') => Next(CommentEnd),
            (Comment | CommentEndBang, b'-') => Next(CommentEndDash),
            (CommentEnd, b'!') => Next(CommentEndBang),
            (CommentStart | CommentStartDash | Comment | CommentEndDash | CommentEnd | CommentEndBang, _) => {
                Again(Comment)
            }
            _ => self.step_raw(byte),
        }
    }

    /// In text that only the end tag of its own name ends.
    fn step_raw(&mut self, byte: u8) -> Step {
        use State::*;
        let is_delimiter = is_space(byte) || byte == b'/' || byte == b'>';
        match (self.state, byte) {
            (RawText(escape) | ScriptDash(escape) | ScriptDashDash(escape), b'<') => Next(RawLess(escape)),
            (RawText(escape), _) => Next(ScriptDash(escape)), // a `-`: all else is skipped
            (ScriptDash(escape) | ScriptDashDash(escape), b'-') => Next(ScriptDashDash(escape)),
            (ScriptDashDash(_), b'>') => Next(RawText(Escape::No)),
            (ScriptDash(escape) | ScriptDashDash(escape), _) => Next(RawText(escape)),

            (RawLess(Escape::Twice), b'/') => {
                self.name.clear();
                Next(ScriptDoubleEscapeEnd)
            }
            (RawLess(escape), b'/') => Next(RawEndOpen(escape)),
            (RawLess(Escape::No), b'!') if self.raw == Raw::Script => Next(ScriptEscapeStart),
            (RawLess(Escape::Once), b'a'..=b'z' | b'A'..=b'Z') => {
                self.name.clear();
                Again(ScriptDoubleEscapeStart)
            }
            (RawLess(escape), _) => Again(RawText(escape)),

            (RawEndOpen(escape), b'a'..=b'z' | b'A'..=b'Z') => {
                self.name.clear();
                Again(RawEndName(escape))
            }
            (RawEndOpen(escape), _) => Again(RawText(escape)),
            (RawEndName(_), _) if is_delimiter && self.name == self.tag.name => {
                self.kind = Kind::End;
                Again(TagName)
            }

            (ScriptEscapeStart, b'-') => Next(ScriptEscapeStartDash),
            (ScriptEscapeStartDash, b'-') => Next(ScriptDashDash(Escape::Once)),
            (ScriptEscapeStart | ScriptEscapeStartDash, _) => Again(RawText(Escape::No)),
            (ScriptDoubleEscapeStart, _) if is_delimiter => {
                Next(RawText(if self.name == b"script" { Escape::Twice } else { Escape::Once }))
            }
            (ScriptDoubleEscapeEnd, _) if is_delimiter => {
                Next(RawText(if self.name == b"script" { Escape::Once } else { Escape::Twice }))
            }
            (RawEndName(_) | ScriptDoubleEscapeStart | ScriptDoubleEscapeEnd, b'a'..=b'z' | b'A'..=b'Z') => {
                push_lower(&mut self.name, byte);
                Next(self.state)
            }
            (RawEndName(escape), _) => Again(RawText(escape)),
            (ScriptDoubleEscapeStart, _) => Again(RawText(Escape::Once)),
            (ScriptDoubleEscapeEnd, _) => Again(RawText(Escape::Twice)),
            (state, _) => Next(state), // plain text, in which everything is skipped
        }
    }

    fn begin_tag(&mut self, kind: Kind) -> Step {
        self.kind = kind;
        self.tag.name.clear();
        self.tag.values.fill(None);
        Again(State::TagName)
    }

    /// A name is there: of a wanted one, the first, what follows is kept.
    fn keep(&mut self) {
        let number = self.wanted.iter().position(|wanted| wanted.as_bytes() == self.name);
        self.kept = number.filter(|&number| self.kind == Kind::Start && self.tag.values[number].is_none());
        if let Some(number) = self.kept {
            self.tag.values[number] = Some(Value { bytes: Vec::new(), quote: "" });
        }
    }

    fn quoted_by(&mut self, quote: &'static str) {
        if let Some(value) = self.kept.and_then(|number| self.tag.values[number].as_mut()) {
            value.quote = quote;
        }
    }

    fn end_value(&mut self, step: Step) -> Step {
        self.kept = None;
        step
    }

    /// What follows a tag, by its name (13.2.6.4.4 and 7).
    fn behind_tag(&mut self) -> State {
        if self.state == State::Name {
            self.keep();
        }
        self.kept = None;
        if self.kind == Kind::End {
            return State::Data;
        }
        self.raw = if self.tag.name == b"script" { Raw::Script } else { Raw::Other };
        match &self.tag.name[..] {
            b"script" | b"title" | b"textarea" | b"style" | b"xmp" | b"iframe" | b"noembed" | b"noframes" => {
                State::RawText(Escape::No)
            }
            b"plaintext" => State::PlainText,
            _ => State::Data,
        }
    }
}

impl State {
    /// Whether a `>` ends the tag here.
    fn ends_tag(self) -> bool {
        use State::*;
        matches!(self, TagName | BeforeName | Name | AfterName | BeforeValue | Unquoted | AfterQuoted | SelfClosing)
    }
}

/// HTML's white space; a CR is made an LF before anybody looks.
fn is_space(byte: u8) -> bool {
    matches!(byte, b'\t' | b'\n' | b'\x0C' | b'\r' | b' ')
}

fn push_lower(name: &mut Vec<u8>, byte: u8) {
    if name.len() < NAME_MAX {
        name.push(byte.to_ascii_lowercase());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WANTED: &[&str] = &["href", "x", "=a"];

    type Tag = (String, Vec<Option<String>>);

    fn tags<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<Tag> {
        let mut tokenizer = Tokenizer::new(WANTED);
        let mut tags = Vec::new();
        for piece in pieces {
            let left = tokenizer.feed(piece, |tag| {
                let values = (0..WANTED.len()).map(|number| tag.value(number).map(Cow::into_owned));
                tags.push((String::from_utf8_lossy(tag.name()).into_owned(), values.collect()));
                ControlFlow::Continue(())
            });
            assert_eq!(left, b"");
        }
        tags
    }

    /// What html5gum makes of the whole.
    fn judged(html: &[u8]) -> Vec<Tag> {
        let mut emitter = html5gum::DefaultEmitter::<()>::default();
        emitter.naively_switch_states(true);
        let tokens = html5gum::Tokenizer::new_with_emitter(html, emitter).map(|Ok(token)| token);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        tokens
            .filter_map(|token| match token {
                html5gum::Token::StartTag(tag) => {
                    let value = |name: &&str| tag.attributes.get(name.as_bytes()).map(|value| text(value));
                    let name = text(&tag.name).replace('\u{fffd}', "\0"); // what it makes of a NUL
                    Some((name[..name.len().min(NAME_MAX)].to_owned(), WANTED.iter().map(value).collect()))
                }
                _ => None,
            })
            .collect()
    }

    fn names(html: &str) -> Vec<String> {
        tags([html.as_bytes()]).into_iter().map(|(name, _)| name).collect()
    }

    fn href(html: &str) -> Option<String> {
        tags([html.as_bytes()]).swap_remove(0).1.swap_remove(0)
    }

    #[test]
    fn a_value_is_read_in_each_of_its_forms() {
        for html in [
            "<a href='x'>",
            "<a href=\"x\">",
            "<a href=x>",
            "<A\nHREF = x >",
            "<a/href=x>",
            "<a b href=x",
            "<a b=c'href=x>",
        ] {
            let html = format!("{html}>"); // a second one is text
            assert_eq!(href(&html).as_deref(), if html.contains("c'") { None } else { Some("x") }, "{html}");
        }
        assert_eq!(href("<a href>").as_deref(), Some(""));
        assert_eq!(href("<a href=>").as_deref(), Some(""));
        assert_eq!(href("<a b='>'\"c href=x/>").as_deref(), Some("x/"));
        assert_eq!(href("<a href=1 HREF=2>").as_deref(), Some("1"));
        assert_eq!(href("<a b=href>"), None);
    }

    #[test]
    fn character_references_in_a_value_are_resolved_as_in_an_attribute() {
        for (value, expected) in [
            ("a&amp;b", "a&b"),
            ("&#47;&#x2f;", "//"),
            ("?a&copy=1&copy;", "?a&copy=1\u{a9}"), // without `;` and before `=` it is none
            ("&lt&gt;&nosuch;", "<>&nosuch;"),
            ("a\0b", "a\u{fffd}b"),
            ("a\r\nb", "a\nb"),
        ] {
            for quote in ["\"", "'"] {
                assert_eq!(href(&format!("<a href={quote}{value}{quote}>")).as_deref(), Some(expected));
            }
        }
        assert_eq!(href("<a href=&quot;&apos;'\"&amp;>").as_deref(), Some("\"''\"&"));
    }

    #[test]
    fn in_comments_and_raw_text_there_are_no_tags() {
        for (html, expected) in [
            ("<!-- <a> --><b>", &["b"][..]),
            ("<!--><b>", &["b"]),
            ("<!-- -- ><a> --!><b>", &["b"]),
            ("<!doctype html '<a>'><b>", &["b"]),
            ("<?xml <a?><b></ <a>", &["b"]),
            ("<![CDATA[<a>]]><b>", &["b"]),
            ("<script>'<a>' </scrip><a></SCRIPT ><b>", &["script", "b"]),
            ("<script><!--<script><a></script><a>--></script><b>", &["script", "b"]),
            ("<textarea><a></textarea x='>'><b>", &["textarea", "b"]),
            ("<title><a></title/><b>", &["title", "b"]),
            ("<style><!--<a></style><b>", &["style", "b"]),
            ("<noscript><b></noscript>", &["noscript", "b"]),
            ("<plaintext><a></plaintext><a>", &["plaintext"]),
            ("a < b <3 <b>", &["b"]),
            ("<a <b", &[]),
        ] {
            assert_eq!(names(html), expected, "{html}");
        }
    }

    #[test]
    fn a_value_of_very_many_references_is_none_and_the_tag_is_read_to_its_end() {
        for (references, is_there) in [(REFERENCES_MAX, true), (REFERENCES_MAX + 1, false)] {
            let html = format!("<a href='{}' x=y>", "&amp;".repeat(references));
            let [(_, values)] = &tags([html.as_bytes()])[..] else { panic!("one tag") };
            let href = is_there.then(|| "&".repeat(references));
            assert_eq!((&values[0], values[1].as_deref()), (&href, Some("y")));
        }
    }

    #[test]
    fn a_value_is_kept_up_to_its_limit_and_the_tag_is_read_to_its_end() {
        let long = "x".repeat(1_000_000);
        let html = format!("<a {long}=1 b='{long}' href='{long}' x=y><{long}>");
        let tags = tags(html.as_bytes().chunks(10_000));
        let [href, x, _] = &tags[0].1[..] else { panic!("three are wanted") };
        assert_eq!((href.as_ref().map(String::len), x.as_deref()), (Some(VALUE_MAX), Some("y")));
        assert_eq!(tags[1].0.len(), NAME_MAX);
    }

    #[test]
    fn whoever_breaks_is_given_what_is_behind_the_tag() {
        let mut tokenizer = Tokenizer::new(WANTED);
        assert_eq!(tokenizer.feed(b"x<a><b>y", |_| ControlFlow::Break(())), b"<b>y");
        assert_eq!(tokenizer.feed(b"<b>y", |_| ControlFlow::Continue(())), b"");
    }

    #[test]
    fn however_a_page_is_cut_its_tags_are_those_that_html5gum_finds() {
        let seed = 13_205;
        println!("seed {seed}");
        let mut random = crate::random(seed);
        let mut words = vec![" "; 3];
        words.extend(
            "< > / = ! ? - -- & ; ' \" a A x \0 \n \r \t <a <a> </a> href href= href=' href=\" x= &amp; &copy &#65; \
            <!-- --> --!> <! <!doctype <![CDATA[ ]]> <script> </script> </script <script script </scrip <style> </style> </style/ \
            <title> </title> <textarea> </textarea> <xmp> </xmp> <plaintext>"
                .split(' '),
        );
        for _ in 0..20_000 {
            let end = words.len() - usize::from(random(9) > 0); // behind <plaintext> there is nothing to see
            let html: String = (0..random(30)).map(|_| words[random(end)]).collect();
            let expected = judged(html.as_bytes());
            let cut = random(html.len() + 1);
            let (begin, end) = html.as_bytes().split_at(cut);
            assert_eq!(tags([begin, end]), expected, "{html:?} cut at {cut}");
            assert_eq!(tags(html.as_bytes().chunks(1)), expected, "{html:?} byte by byte");
        }
    }
}
