//! What a site asks of crawlers: robots.txt, as RFC 9309 reads it.
//!
//! A site says in one small file which of its paths a crawler is asked to leave alone. Anybody may have written that
//! file, by hand or to harm, so whatever the bytes are they mean something, nothing panics, and no pattern takes more
//! than linear time.
//!
//! ```text
//!     user-agent: *            the groups that name us, as one; if there is none, those of `*`
//!     disallow: /shop/         ──► the longest pattern that matches decides, allow before disallow
//!     allow: /shop/*.html$         `*` is any text, `$` at the end is the end; both sides are percent-encoded alike
//! ```
//!
//! Where the RFC leaves a choice it is made here: misspelt records and lines without a colon are no rules; a file that
//! ends in the middle of a line because it is too long loses that line; a pattern may also begin with `*`.
//!
//! Not here: fetching the file, following its redirects, keeping it for a day (2.3, 2.4).   Next: [`crate::links`],
//! which finds what is then asked about here; `examples/robots.rs`, which asks from the command line.

use std::cmp::Reverse;
use std::time::Duration;

use memchr::memmem;

/// How much of a file is read: 500 KiB, the least that RFC 9309 2.5 allows. The line that stands there, and what
/// follows, is ignored.
pub const FILE_MAX: usize = 500 * 1024;

/// The longest delay that [`Robots::crawl_delay`] gives. Who asks for more asks not to be crawled, which is what
/// `disallow` is for.
pub const DELAY_MAX: Duration = Duration::from_secs(3_600);

/// How many bytes of targets are compared for one decision. A file of [`FILE_MAX`] holds some 30,000 patterns, each of
/// which may be searched for in a target of 64 KiB: tens of milliseconds, in which nothing else would happen on this
/// thread. So much takes a fraction of one. Who writes such a file does not want to be crawled.
const WORK_MAX: usize = 4 * 1024 * 1024;

/// To begin a search takes as long as to compare so many bytes.
const WORK_OF_SEARCH: usize = 1024;

/// What one crawler may fetch from one site.
///
/// ```
/// use windlass_examples::robots::Robots;
/// let file = b"User-agent: *\nDisallow: /shop/\nAllow: /shop/*.html$\nSitemap: http://a.com/map.xml\n";
/// let robots = Robots::parse(file, "ExampleBot/1.0");
/// assert!(robots.allows("/"));
/// assert!(!robots.allows("/shop/cart?add=7"));
/// assert!(robots.allows("/shop/list.html"));
/// assert_eq!(robots.sitemaps(), ["http://a.com/map.xml"]);
/// ```
#[derive(Debug, Clone)]
pub struct Robots {
    state: State,
    /// The rule that counts more comes first.
    rules: Vec<Rule>,
    crawl_delay: Option<Duration>,
    sitemaps: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum State {
    Read,
    Unavailable,
    Unreachable,
}

/// A line that allows or disallows something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// What it says of what it matches.
    pub verdict: Verdict,
    /// Where it stands in the file, counted from 1.
    pub line: usize,
    /// The line without its comment and the white space around it; bytes that are not UTF-8 are replaced.
    pub text: String,
    pattern: Pattern,
}

/// What a rule says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// Fetch it.
    Allow,
    /// Leave it alone.
    Disallow,
}

/// Why a target may be fetched, or may not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision<'a> {
    /// This rule is the most specific one that matches.
    Rule(&'a Rule),
    /// No rule matches, or none is for this crawler: allowed.
    NoRule,
    /// The target is `/robots.txt` itself: allowed (2.2.2).
    RobotsTxt,
    /// There is no such file (2.3.1.3): allowed.
    Unavailable,
    /// Nobody knows what the file says (2.3.1.4): disallowed.
    Unreachable,
    /// To find out would take too long, for so many patterns, stars in them, or so long a target: disallowed.
    TooMuchWork,
}

impl Decision<'_> {
    /// Whether the target may be fetched.
    ///
    /// ```
    /// use windlass_examples::robots::Decision;
    /// assert!(Decision::NoRule.is_allowed());
    /// assert!(!Decision::Unreachable.is_allowed());
    /// ```
    pub fn is_allowed(self) -> bool {
        match self {
            Decision::Rule(rule) => rule.verdict == Verdict::Allow,
            Decision::NoRule | Decision::RobotsTxt | Decision::Unavailable => true,
            Decision::Unreachable | Decision::TooMuchWork => false,
        }
    }
}

impl Robots {
    /// What `file` says to the crawler that calls itself `user_agent`: its product token, or a whole `User-Agent` that
    /// begins with it. The token is letters, digits, `-` and `_`; the RFC knows no digits, but crawlers do. Letters
    /// match in either case. If there is no token, the groups of `*` apply.
    ///
    /// ```
    /// use windlass_examples::robots::Robots;
    /// let file = b"user-agent: *\ndisallow: /\n\nuser-agent: examplebot\ndisallow: /private\n";
    /// assert!(Robots::parse(file, "ExampleBot/2.1 (+http://example.com/bot)").allows("/public"));
    /// assert!(!Robots::parse(file, "OtherBot").allows("/public"));
    /// ```
    pub fn parse(file: &[u8], user_agent: &str) -> Robots {
        let token = token(user_agent.as_bytes());
        let (mut ours, mut everybodys) = (Group::default(), Group::default());
        let mut sitemaps = Vec::new();
        let mut heading = None::<Heading>;
        for (index, line) in lines(readable(file)).enumerate() {
            let Some((key, value)) = record(line) else { continue };
            if key.eq_ignore_ascii_case(b"user-agent") {
                let heading = match &mut heading {
                    Some(heading) if !heading.has_rules => heading,
                    heading => heading.insert(Heading::default()),
                };
                heading.names_us |= !token.is_empty() && self::token(value).eq_ignore_ascii_case(token);
                heading.names_all |= value.split(u8::is_ascii_whitespace).next() == Some(b"*");
            } else if key.eq_ignore_ascii_case(b"sitemap") {
                sitemaps.push(text(value));
            }
            let Some(heading) = &mut heading else { continue }; // nobody is named yet
            if key.eq_ignore_ascii_case(b"crawl-delay") {
                heading.delay = heading.delay.max(delay(value));
            } else if let Some(verdict) = verdict(key) {
                heading.has_rules = true;
                for (is_named, group) in [(heading.names_us, &mut ours), (heading.names_all, &mut everybodys)] {
                    // An empty pattern matches nothing.
                    if is_named && !value.is_empty() {
                        let text = text(without_comment(line));
                        group.rules.push(Rule { verdict, line: index + 1, text, pattern: Pattern::new(value) });
                    }
                }
            }
            // Also when a name came, since the delay may stand in front of it. Other records do not end a group
            // (2.2.4).
            for (is_named, group) in [(heading.names_us, &mut ours), (heading.names_all, &mut everybodys)] {
                group.is_there |= is_named;
                group.delay = group.delay.max(heading.delay.filter(|_| is_named));
            }
        }
        let Group { mut rules, delay, .. } = if ours.is_there { ours } else { everybodys };
        rules.sort_by(|a, b| a.rank().cmp(&b.rank()));
        rules.dedup_by(|later, first| later.rank() == first.rank());
        Robots { state: State::Read, rules, crawl_delay: delay, sitemaps }
    }

    /// What holds where there is no such file: everything is allowed (2.3.1.3). So it is, too, behind more than five
    /// redirects.
    ///
    /// ```
    /// assert!(windlass_examples::robots::Robots::unavailable().allows("/x"));
    /// ```
    pub fn unavailable() -> Robots {
        Robots { state: State::Unavailable, rules: Vec::new(), crawl_delay: None, sitemaps: Vec::new() }
    }

    /// What holds while nobody knows what the file says, because the server or the network fails: nothing is allowed
    /// (2.3.1.4).
    ///
    /// ```
    /// assert!(!windlass_examples::robots::Robots::unreachable().allows("/x"));
    /// ```
    pub fn unreachable() -> Robots {
        Robots { state: State::Unreachable, ..Robots::unavailable() }
    }

    /// What follows from the status with which the file was answered: 4xx is [`unavailable`](Robots::unavailable), 5xx
    /// [`unreachable`](Robots::unreachable). `None` for the rest: there is a body to parse, or a redirect to follow.
    ///
    /// ```
    /// use windlass_examples::robots::Robots;
    /// assert!(Robots::of_status(404).is_some_and(|robots| robots.allows("/x")));
    /// assert!(Robots::of_status(503).is_some_and(|robots| !robots.allows("/x")));
    /// assert!(Robots::of_status(200).is_none());
    /// ```
    pub fn of_status(status: u16) -> Option<Robots> {
        match status {
            400..=499 => Some(Robots::unavailable()),
            500..=599 => Some(Robots::unreachable()),
            _ => None,
        }
    }

    /// Whether `target`, a path with its query, may be fetched.
    ///
    /// ```
    /// use windlass_examples::robots::Robots;
    /// let robots = Robots::parse(b"user-agent: *\ndisallow: /*?print", "a");
    /// assert!(!robots.allows("/page?print=1"));
    /// ```
    pub fn allows(&self, target: &str) -> bool {
        self.decide(target).is_allowed()
    }

    /// Whether `target`, a path with its query, may be fetched, and what decides it. It takes time in proportion to the
    /// number of rules with a `*` times the target's length, and a decision that would compare more than 4 MiB, or look
    /// for what follows some 4,000 stars, is [`Decision::TooMuchWork`]; rules that cannot match since two characters in them
    /// are nowhere neighbours in the target do not count.
    ///
    /// ```
    /// use windlass_examples::robots::{Decision, Robots};
    /// let robots = Robots::parse(b"user-agent: *\ndisallow: /a # why\n", "a");
    /// let Decision::Rule(rule) = robots.decide("/abc") else { panic!("a rule matches") };
    /// assert_eq!((rule.line, rule.text.as_str()), (2, "disallow: /a"));
    /// ```
    pub fn decide(&self, target: &str) -> Decision<'_> {
        match self.state {
            _ if target == "/robots.txt" => return Decision::RobotsTxt,
            State::Read => {}
            State::Unavailable => return Decision::Unavailable,
            State::Unreachable => return Decision::Unreachable,
        }
        let rooted = if target.starts_with('/') { "" } else { "/" };
        let target = normal(format!("{rooted}{target}").as_bytes(), Side::Target);
        let (mut work, mut pairs) = (0, None);
        for rule in &self.rules {
            if rule.pattern.begins(&target) && rule.pattern.may_be_in(pairs.get_or_insert_with(|| Pairs::of(&target))) {
                work += rule.pattern.stars() * WORK_OF_SEARCH + target.len();
                if work > WORK_MAX {
                    return Decision::TooMuchWork;
                }
                if rule.pattern.matches(&target) {
                    return Decision::Rule(rule);
                }
            }
        }
        Decision::NoRule
    }

    /// How long to wait between two requests, at most [`DELAY_MAX`]; the longest, if several are given to this crawler.
    /// It is no part of the RFC; what sites write is a decimal number of seconds, and anything else is ignored.
    ///
    /// ```
    /// use std::time::Duration;
    /// use windlass_examples::robots::Robots;
    /// let robots = Robots::parse(b"user-agent: *\ncrawl-delay: 0.5", "a");
    /// assert_eq!(robots.crawl_delay(), Some(Duration::from_millis(500)));
    /// ```
    pub fn crawl_delay(&self) -> Option<Duration> {
        self.crawl_delay
    }

    /// Where the sitemaps are, as the file spells it, in its order; they belong to no group.
    ///
    /// ```
    /// use windlass_examples::robots::Robots;
    /// let robots = Robots::parse(b"Sitemap: http://a.com/1.xml\nsitemap:/2.xml", "a");
    /// assert_eq!(robots.sitemaps(), ["http://a.com/1.xml", "/2.xml"]);
    /// ```
    pub fn sitemaps(&self) -> &[String] {
        &self.sitemaps
    }
}

impl Rule {
    /// Smaller counts more: the most octets, then allow (2.2.2). What is behind serves to put equals together.
    fn rank(&self) -> (Reverse<usize>, Verdict, &[u8], bool) {
        let Pattern { text, is_anchored } = &self.pattern;
        (Reverse(text.len() + usize::from(*is_anchored)), self.verdict, text, *is_anchored)
    }
}

/// Which two bytes are neighbours in a target: a bit for each pair that there may be.
struct Pairs([u64; 1 << 10]);

impl Pairs {
    fn of(target: &[u8]) -> Pairs {
        let mut pairs = Pairs([0; 1 << 10]);
        for pair in target.windows(2) {
            let (word, bit) = Pairs::place(pair);
            pairs.0[word] |= bit;
        }
        pairs
    }

    fn has(&self, pair: &[u8]) -> bool {
        let (word, bit) = Pairs::place(pair);
        self.0[word] & bit != 0
    }

    fn place(pair: &[u8]) -> (usize, u64) {
        let number = usize::from(pair[0]) << 8 | usize::from(pair[1]);
        (number >> 6, 1 << (number & 63))
    }
}

/// What all groups of one name say.
#[derive(Default)]
struct Group {
    is_there: bool,
    rules: Vec<Rule>,
    delay: Option<Duration>,
}

/// The group that is being read.
#[derive(Default)]
struct Heading {
    names_us: bool,
    names_all: bool,
    /// Then the next name begins another group.
    has_rules: bool,
    delay: Option<Duration>,
}

/// What a path must look like.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Pattern {
    /// In its normal form, `*` between its pieces; without the `$` at its end.
    text: Vec<u8>,
    is_anchored: bool,
}

impl Pattern {
    fn new(value: &[u8]) -> Pattern {
        let (value, is_anchored) = match value.strip_suffix(b"$") {
            Some(value) => (value, true),
            None => (value, false),
        };
        Pattern { text: normal(value, Side::Pattern), is_anchored }
    }

    /// Whether it matches as far as its first `*`: what tells most patterns apart, in no time.
    fn begins(&self, target: &[u8]) -> bool {
        let end = memchr::memchr(b'*', &self.text).unwrap_or(self.text.len());
        target.starts_with(&self.text[..end])
    }

    /// Whether all that stands side by side in it does so in the target: what tells apart most of those that begin with `*`.
    fn may_be_in(&self, target: &Pairs) -> bool {
        self.text.windows(2).all(|pair| pair.contains(&b'*') || target.has(pair))
    }

    fn stars(&self) -> usize {
        memchr::memchr_iter(b'*', &self.text).count()
    }

    /// Each piece is looked for where the one before it ended. The leftmost place leaves the most for the rest, so
    /// nothing is ever tried twice, and since one search is linear all are.
    fn matches(&self, target: &[u8]) -> bool {
        let mut pieces = self.text.split(|&byte| byte == b'*');
        let first = pieces.next().expect("a split has one piece at least");
        let Some(mut rest) = target.strip_prefix(first) else { return false };
        let last = if self.is_anchored { pieces.next_back() } else { None };
        for piece in pieces {
            let Some(at) = memmem::find(rest, piece) else { return false };
            rest = &rest[at + piece.len()..];
        }
        match last {
            Some(last) => rest.ends_with(last),
            None => !self.is_anchored || rest.is_empty(), // anchored and without a star: the first piece is all
        }
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Side {
    Pattern,
    Target,
}

/// One spelling for what 2.2.2 calls equal. What need not be encoded is decoded, what has to be is encoded with capital
/// digits; `*` is a star only in a pattern, and is `%2A` where it means itself, as `$` is `%24`.
///
/// A reserved character and its code are the same, but for what divides a target: `/` and `?` in the path, `&` and `=`
/// anywhere.
fn normal(text: &[u8], side: Side) -> Vec<u8> {
    let mut normal = Vec::with_capacity(text.len());
    let mut is_query = false;
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        let code = if byte == b'%' { octet(&text[at + 1..]) } else { None };
        at += if code.is_some() { 3 } else { 1 };
        let is_plain = match code {
            Some(code) => is_unreserved(code) || b":@!'(),;+[]".contains(&code) || is_query && b"/?".contains(&code),
            None => is_unreserved(byte) || b":@!'(),;+[]/?&=".contains(&byte) || side == Side::Pattern && byte == b'*',
        };
        is_query |= byte == b'?';
        match code.unwrap_or(byte) {
            byte if is_plain => normal.push(byte),
            byte => normal.extend([b'%', hex(byte >> 4), hex(byte & 15)]),
        }
    }
    normal
}

/// RFC 3986 2.3.
fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
}

/// What two digits behind a `%` stand for.
fn octet(digits: &[u8]) -> Option<u8> {
    let digit = |at: usize| char::from(*digits.get(at)?).to_digit(16);
    Some((digit(0)? << 4 | digit(1)?) as u8) // two digits are a byte
}

fn hex(nibble: u8) -> u8 {
    b"0123456789ABCDEF"[usize::from(nibble)]
}

/// The file as far as it is read, without its byte order mark.
fn readable(file: &[u8]) -> &[u8] {
    let read = match file.get(..FILE_MAX) {
        // A line that is cut could allow or disallow more than it says.
        Some(read) if file.len() > FILE_MAX => {
            &read[..memchr::memrchr2(b'\r', b'\n', read).map_or(0, |line_end| line_end + 1)]
        }
        _ => file,
    };
    read.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(read)
}

/// A line ends with CR, LF or both.
fn lines(file: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = file;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let end = memchr::memchr2(b'\r', b'\n', rest).unwrap_or(rest.len());
        let (line, behind) = rest.split_at(end);
        rest = behind.strip_prefix(b"\r\n").unwrap_or_else(|| behind.get(1..).unwrap_or_default());
        Some(line)
    })
}

/// Name and value of a line, if it is a record at all.
fn record(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let line = without_comment(line);
    let colon = memchr::memchr(b':', line)?;
    Some((line[..colon].trim_ascii(), line[colon + 1..].trim_ascii()))
}

fn without_comment(line: &[u8]) -> &[u8] {
    line[..memchr::memchr(b'#', line).unwrap_or(line.len())].trim_ascii()
}

fn verdict(key: &[u8]) -> Option<Verdict> {
    let known = [(&b"allow"[..], Verdict::Allow), (b"disallow", Verdict::Disallow)];
    known.into_iter().find(|(name, _)| key.eq_ignore_ascii_case(name)).map(|(_, verdict)| verdict)
}

/// The product token that `text` begins with.
fn token(text: &[u8]) -> &[u8] {
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_".contains(byte);
    &text[..text.iter().position(|byte| !is_part(byte)).unwrap_or(text.len())]
}

/// A decimal number of seconds.
fn delay(value: &[u8]) -> Option<Duration> {
    let is_decimal = value.iter().all(|byte| byte.is_ascii_digit() || *byte == b'.');
    let seconds: f64 = std::str::from_utf8(value).ok().filter(|_| is_decimal)?.parse().ok()?;
    Some(Duration::from_secs_f64(seconds.min(DELAY_MAX.as_secs_f64())))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(file: &str, target: &str) -> bool {
        Robots::parse(file.as_bytes(), "FooBot").allows(target)
    }

    /// Whether a crawler may fetch `target` if these are the rules.
    fn rules_allow(rules: &str, target: &str) -> bool {
        allows(&format!("user-agent: FooBot\n{rules}\n"), target)
    }

    #[test]
    fn without_a_group_for_us_everything_is_allowed() {
        for file in
            ["", "\n\n", "user-agent: BarBot\ndisallow: /", "disallow: /", "foo: FooBot\nbar: /", "user-agent: FooBot"]
        {
            assert!(allows(file, "/x/y"), "{file}");
        }
        assert!(!allows("user-agent: FooBot\ndisallow: /", "/x/y"));
        assert!(!allows("user-agent: *\ndisallow: /", "/x/y"));
    }

    #[test]
    fn rules_before_the_first_name_are_nobodys() {
        assert!(allows("disallow: /a\nuser-agent: FooBot\ndisallow: /b", "/a"));
        assert!(!allows("disallow: /a\nuser-agent: FooBot\ndisallow: /b", "/b"));
    }

    #[test]
    fn several_names_above_the_rules_share_them_and_the_next_name_begins_another_group() {
        let file = "user-agent: A\nuser-agent: B\n\ndisallow: /ab\nuser-agent: C\ndisallow: /c";
        for (name, disallowed, allowed) in [("A", "/ab", "/c"), ("B", "/ab", "/c"), ("C", "/c", "/ab")] {
            let robots = Robots::parse(file.as_bytes(), name);
            assert!(!robots.allows(disallowed) && robots.allows(allowed), "{name}");
        }
    }

    #[test]
    fn groups_of_one_name_are_one_group_wherever_they_stand() {
        let file = "user-agent: FooBot\ndisallow: /a\nuser-agent: x\ndisallow: /x\nuser-agent: foobot\ndisallow: /b\nallow: /a/b";
        let allowed = ["/a", "/b", "/x", "/a/b"].map(|target| allows(file, target));
        assert_eq!(allowed, [false, false, true, true]);
    }

    #[test]
    fn who_is_named_is_not_everybody() {
        for file in [
            "user-agent: *\ndisallow: /\nuser-agent: FooBot\nallow: /",
            "user-agent: FooBot\nallow: /\nuser-agent: *\ndisallow: /",
            "user-agent: *\ndisallow: /\nuser-agent: FooBot",
            "user-agent: *\ndisallow: /\nuser-agent: FooBot\ndisallow:",
        ] {
            assert!(allows(file, "/x"), "{file}");
            assert!(!Robots::parse(file.as_bytes(), "QuxBot").allows("/x"), "{file}");
        }
    }

    #[test]
    fn a_name_is_a_product_token_in_any_case_and_what_follows_it_does_not_count() {
        for named in ["FooBot", "FOOBOT", "foobot/2.1", "fooBot (like Mozilla)", "  foobot  # us", "foobot *"] {
            assert!(!allows(&format!("User-Agent:{named}\ndisallow: /"), "/"), "{named}");
        }
        for other in ["Foo", "FooBot-News", "FooBot2", "Mozilla FooBot", "*FooBot", "\u{30c4}", ""] {
            assert!(allows(&format!("user-agent: {other}\ndisallow: /"), "/"), "{other}");
        }
        for agent in ["foobot", "FooBot/1.0 (+http://a.com)", "FOOBOT*"] {
            assert!(!Robots::parse(b"user-agent: FooBot\ndisallow: /", agent).allows("/"), "{agent}");
        }
        for agent in ["", "*", "\u{30c4}", " FooBot"] {
            assert!(
                !Robots::parse(b"user-agent: FooBot\nallow: /\nuser-agent: *\ndisallow: /", agent).allows("/"),
                "{agent}"
            );
        }
    }

    #[test]
    fn only_a_star_of_its_own_is_everybody() {
        assert!(!allows("user-agent: * and all others\ndisallow: /", "/"));
        assert!(allows("user-agent: *bot\ndisallow: /", "/"));
        assert!(allows("user-agent: **\ndisallow: /", "/"));
    }

    #[test]
    fn names_of_records_are_in_any_case_and_white_space_around_them_does_not_count() {
        for file in [
            "USER-AGENT: FooBot\nDISALLOW: /",
            " \tuser-agent \t:\t FooBot \n disallow\t:/\t",
            "user-agent:FooBot\ndisallow:/#x",
        ] {
            assert!(!allows(file, "/x"), "{file}");
        }
    }

    #[test]
    fn paths_are_compared_with_their_case() {
        assert!(rules_allow("disallow: /X/", "/x/y"));
        assert!(!rules_allow("disallow: /X/", "/X/y"));
    }

    #[test]
    fn lines_that_are_no_rules_are_ignored_and_do_not_end_a_group() {
        for between in [
            "",
            "unknown: x",
            "sitemap: http://a.com/",
            "crawl-delay: 1",
            "# comment",
            "\u{0}\u{1}",
            "no colon",
            "disalow: /x",
            ":",
        ] {
            let file = format!("user-agent: FooBot\n{between}\nuser-agent: *\n{between}\ndisallow: /x");
            assert!(!allows(&file, "/x") && !Robots::parse(file.as_bytes(), "Bar").allows("/x"), "{between:?}");
        }
        assert!(allows("user-agent FooBot\ndisallow /", "/"), "there is no record without a colon");
    }

    #[test]
    fn the_longest_pattern_decides_and_allow_decides_a_tie() {
        for (rules, target, expected) in [
            ("disallow: /x/page.html\nallow: /x/", "/x/page.html", false),
            ("allow: /x/page.html\ndisallow: /x/", "/x/page.html", true),
            ("allow: /x/page.html\ndisallow: /x/", "/x/", false),
            ("disallow: \nallow: ", "/x", true),
            ("disallow: /\nallow: /", "/x", true),
            ("allow: /\ndisallow: /", "/x", true),
            ("disallow: /x\nallow: /x/", "/x", false),
            ("disallow: /x\nallow: /x/", "/x/", true),
            ("disallow: /page\nallow: /*.html", "/page.html", true),
            ("allow: /page\ndisallow: /*.html", "/page.html", false),
            ("allow: /page\ndisallow: /*.htm", "/page.htm", false),
            ("allow: /page\ndisallow: /*.ph", "/page.php5", true),
            ("allow: /$\ndisallow: /", "/", true),
            ("allow: /$\ndisallow: /", "/page.htm", false),
            ("disallow: /a$\nallow: /a", "/a", false),
            ("disallow: /*a*b\nallow: /xayb", "/xayb", true),
        ] {
            assert_eq!(rules_allow(rules, target), expected, "{rules} for {target}");
        }
    }

    #[test]
    fn a_pattern_is_the_beginning_of_a_path_and_stars_and_the_dollar_are_special() {
        for (pattern, matched, others) in [
            ("/", &["/", "/x", "/?x"][..], &[][..]),
            (
                "/fish",
                &["/fish", "/fish.html", "/fish/salmon", "/fishheads", "/fish?id=1"],
                &["/Fish", "/catfish", "/"],
            ),
            ("/fish*", &["/fish", "/fish.html", "/fish/salmon"], &["/Fish.asp", "/catfish", "/desert/fish"]),
            ("/fish/", &["/fish/", "/fish/?id=1", "/fish/salmon.htm"], &["/fish", "/fish.html", "/animals/fish/"]),
            ("/*.php", &["/index.php", "/a/index.php?x", "/filename.php/", "/a.php.b"], &["/", "/windows.PHP"]),
            ("/*.php$", &["/a.php", "/a/b.php", "/a.php.php"], &["/a.php?x", "/a.php/", "/a.php5", "/windows.PHP"]),
            ("/fish*.php", &["/fish.php", "/fishheads/catfish.php?x"], &["/Fish.PHP"]),
            ("*.gif$", &["/a.gif", "/a/b.gif"], &["/a.gif?x", "/gif"]),
            ("/a$b", &["/a$b", "/a$bc", "/a%24b"], &["/a", "/ab"]),
            ("/a%24$", &["/a$", "/a%24"], &["/a", "/a$b"]),
            ("/a%2Ab", &["/a*b", "/a%2ab"], &["/axb", "/ab"]),
            ("/a*$", &["/a", "/ab"], &["/b"]),
            ("/a*b*a$", &["/aba", "/axbbxa", "/ababa"], &["/ab", "/aa", "/abab"]),
            ("/ab*ba$", &["/abba", "/abxba"], &["/aba", "/ab"]), // no byte is matched twice
            ("/**x***y", &["/xy", "/axbyc"], &["/yx"]),
            ("/$", &["/", ""], &["/a", "/?"]),
            ("$", &[], &["/", "/x"]),
            ("*", &["/", "/x"], &[]),
            ("x", &[], &["/x", "/"]), // a path begins with a slash
        ] {
            let rule = format!("disallow: {pattern}");
            assert!(matched.iter().all(|target| !rules_allow(&rule, target)), "{pattern}: {matched:?}");
            assert!(others.iter().all(|target| rules_allow(&rule, target)), "{pattern}: {others:?}");
        }
    }

    #[test]
    fn what_is_encoded_and_what_is_not_are_compared_as_2_2_2_says() {
        for (pattern, target, is_match) in [
            ("/foo/bar?baz=quz", "/foo/bar?baz=quz", true),
            ("/foo/bar?baz=https://foo.bar", "/foo/bar?baz=https%3A%2F%2Ffoo.bar", true),
            ("/foo/bar?baz=https%3a%2f%2Ffoo.bar", "/foo/bar?baz=https://foo.bar", true),
            ("/foo/bar?qux=taz&baz=http://foo.bar?tar&par", "/foo/bar?qux=taz&baz=http://foo.bar?tar&par", true),
            ("/foo/bar/\u{30c4}", "/foo/bar/%E3%83%84", true),
            ("/foo/bar/\u{30c4}", "/foo/bar/\u{30c4}", true),
            ("/foo/bar/%e3%83%84", "/foo/bar/%E3%83%84", true),
            ("/foo/bar/%62%61%7A", "/foo/bar/baz", true),
            ("/foo/bar/baz", "/foo/bar/%62%61%7a", true),
            ("/a%2Fb", "/a/b", false),
            ("/a/b", "/a%2fb", false),
            ("/a%3Fb", "/a?b", false),
            ("/a?b%26c", "/a?b&c", false),
            ("*a/b", "/?x=a/b", true),
            ("/a b", "/a%20b", true),
            ("/100%", "/100%25", true),
            ("/100%zz", "/100%zz", true),
            ("/a%2525", "/a%25", false),
            ("/a%00", "/a", false),
        ] {
            assert_eq!(!rules_allow(&format!("disallow: {pattern}"), target), is_match, "{pattern} for {target}");
        }
    }

    #[test]
    fn bytes_that_are_not_utf_8_are_bytes_like_others() {
        let robots = Robots::parse(b"user-agent: a\ndisallow: /\xFF", "a");
        assert!(!robots.allows("/%ff") && robots.allows("/\u{fffd}"));
    }

    #[test]
    fn its_own_file_is_always_allowed() {
        assert!(rules_allow("disallow: /", "/robots.txt"));
        assert!(Robots::unreachable().allows("/robots.txt"));
        assert!(!rules_allow("disallow: /", "/robots.txt2"));
    }

    #[test]
    fn a_byte_order_mark_is_skipped_and_half_of_one_is_not() {
        let told = |mark: &[u8]| Robots::parse(&[mark, b"user-agent: a\ndisallow: /"].concat(), "a").allows("/");
        assert_eq!([told(b""), told(b"\xEF\xBB\xBF"), told(b"\xEF\x11\xBF")], [false, false, true]);
    }

    #[test]
    fn lines_are_counted_alike_however_they_end() {
        for line_end in ["\n", "\r\n", "\r"] {
            for last in ["", line_end] {
                let file = ["user-agent: FooBot", "", "# x", "disallow: /a", "allow: /a/b"].join(line_end) + last;
                let robots = Robots::parse(file.as_bytes(), "FooBot");
                let lines = ["/a", "/a/b"].map(|target| match robots.decide(target) {
                    Decision::Rule(rule) => rule.line,
                    _ => 0,
                });
                assert_eq!(lines, [4, 5], "{line_end:?}");
            }
        }
    }

    #[test]
    fn behind_500_kib_nothing_is_read_and_a_line_that_is_cut_there_is_none() {
        let head = "user-agent: FooBot\n";
        let filler = |len: usize| format!("#{}\n", "x".repeat(len - 2));
        let fits = format!("{head}{}disallow: /a\n", filler(FILE_MAX - head.len() - 13));
        assert_eq!(fits.len(), FILE_MAX);
        assert!(!allows(&fits, "/a") && !allows(&(fits.clone() + "disallow: /b"), "/a"));
        assert!(allows(&(fits + "disallow: /b"), "/b"));
        let cut = format!("{head}{}disallow: /abc", filler(FILE_MAX - head.len() - 12));
        assert!(allows(&cut, "/abc") && allows(&cut, "/a"));
        assert!(allows(&"x".repeat(FILE_MAX + 1), "/"));
    }

    #[test]
    fn a_delay_is_that_of_the_group_and_the_longest_counts() {
        let delay =
            |file: &str| Robots::parse(file.as_bytes(), "FooBot").crawl_delay().map(|delay| delay.as_secs_f64());
        assert_eq!(delay("user-agent: *\ncrawl-delay: 1"), Some(1.0));
        assert_eq!(delay("user-agent: *\ncrawl-delay: 1\ndisallow: /x\nuser-agent: foobot\ndisallow:"), None);
        assert_eq!(delay("crawl-delay: 1\ndisallow: /x\nuser-agent: foobot"), None);
        assert_eq!(delay("user-agent: foobot\nCrawl-Delay: 2.25 # s\ncrawl-delay: 1"), Some(2.25));
        assert_eq!(delay("user-agent: foobot\ndisallow: /x\ncrawl-delay: 3\nuser-agent: x\ncrawl-delay: 9"), Some(3.0));
        assert_eq!(delay("user-agent: x\ncrawl-delay: 3\nuser-agent: foobot\ndisallow: /"), Some(3.0));
        assert_eq!(delay("crawl-delay: 1\nuser-agent: foobot"), None);
        assert_eq!(delay("user-agent: *\ncrawl-delay: 99999999999999999999999"), Some(3_600.0));
        for wrong in ["", "-1", "1e9", "nan", "inf", "1,5", "1.2.3", ".", "ten", "1 s"] {
            assert_eq!(delay(&format!("user-agent: *\ncrawl-delay: {wrong}")), None, "{wrong}");
        }
    }

    #[test]
    fn a_status_says_what_holds_without_a_file() {
        let allowed = [400, 404, 429, 499, 500, 503, 599, 200, 304, 302, 0]
            .map(|status| Robots::of_status(status).map(|robots| robots.allows("/x")));
        let (yes, no) = (Some(true), Some(false));
        assert_eq!(allowed, [yes, yes, yes, yes, no, no, no, None, None, None, None]);
    }

    #[test]
    fn any_bytes_mean_something() {
        let seed = 9_309;
        println!("seed {seed}");
        let mut random = crate::random(seed);
        let words = [
            "user-agent:",
            "*",
            "a",
            "disallow:",
            "allow",
            ":",
            "/",
            "$",
            "%",
            "%2f",
            "#",
            "\n",
            "\r",
            " ",
            "\u{feff}",
            "\0",
            "?",
        ];
        for _ in 0..2_000 {
            let text = |random: &mut dyn FnMut(usize) -> usize| -> String {
                (0..random(40)).map(|_| words[random(words.len())]).collect()
            };
            let file = text(&mut random);
            Robots::parse(file.as_bytes(), "a").allows(&text(&mut random));
        }
    }

    // What backtracking would take longer for than anybody lives.
    #[test]
    fn stars_do_not_multiply() {
        let target = format!("/ab{}", "a".repeat(60_000)); // every pair of the patterns is in it
        assert!(rules_allow(&format!("disallow: /{}b", "*a".repeat(4_000)), &target));
        assert!(rules_allow(&format!("disallow: /*{}b", "a".repeat(30_000)), &target));
        assert!(!rules_allow(&format!("disallow: /{}b", "*a".repeat(100_000)), &target), "too much work");
    }

    #[test]
    fn too_many_patterns_for_a_long_target_mean_no() {
        let rules: String = (1_000..10_000).map(|number| format!("disallow: /*{number}\n")).collect();
        let robots = Robots::parse(format!("user-agent: *\n{rules}").as_bytes(), "a");
        let pairs: String = (0..100).map(|number| format!("{number:02}-")).collect();
        assert_eq!(robots.decide(&format!("/{pairs}")), Decision::TooMuchWork); // no four digits, but all that they consist of
        assert!(!robots.allows(&format!("/{pairs}1234")));
        assert_eq!(robots.decide(&format!("/{}", "a".repeat(60_000))), Decision::NoRule);
        assert_eq!(robots.decide("/x"), Decision::NoRule);
    }
}
