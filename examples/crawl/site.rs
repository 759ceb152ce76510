//! A site to crawl, for who names none.
//!
//! ```text
//!     seed, pages, hosts ──► for each number a page: its host, its kind, its links in all their forms
//!                                 ├──► a server on a thread of its own answers so
//!                                 └──► what can be reached, walked without a crawler: the truth to compare with
//! ```
//!
//! Nothing is stored: what a page is like follows from the seed and its number. Links make a tree, so that all could be
//! reached, and others across it; what fails or forbids cuts parts of it off. Beyond the tree are hidden pages, in pairs: the
//! sitemap names the first of each, and that one links to the other.
//! Not here: how it is crawled (`crawl`).   Next: `main`.

use std::{
    cell::RefCell,
    collections::{BTreeSet, HashSet, VecDeque},
    io::{self, Write},
    net::{Ipv4Addr, SocketAddr},
    sync::mpsc,
    thread,
    time::Duration,
};

use crate::plan::Robots;
use flate2::{Compression, write::GzEncoder};
use windlass::{
    Loop,
    http::{Incoming, Reply, Server},
};

/// Links from a page down the tree, and across it.
const DOWN: u64 = 4;
const ACROSS: u64 = 3;
/// Bytes of a huge page.
const HUGE: usize = 3 << 20;
/// What is forbidden; and the same gzipped, as one of the hosts sends it to who can read that.
const ROBOTS: &[u8] = b"User-agent: *\nDisallow: /private/\nDisallow: /trap/\nAllow: /\n";
const ROBOTS_CODED: &[u8] = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03\x0b\x2d\x4e\x2d\xd2\x4d\x4c\x4f\xcd\x2b\xb1\x52\xd0\xe2\x72\xc9\x2c\x4e\xcc\xc9\xc9\x2f\xb7\x52\xd0\x2f\x28\xca\x2c\x4b\x2c\x49\xd5\x47\x16\x2b\x29\x4a\x2c\xd0\xe7\x72\x84\xf2\xb8\x00\x30\x92\x2b\x38\x3c\x00\x00\x00";
/// How long a slow page takes.
const SLOW: Duration = Duration::from_millis(200);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Site {
    pub(crate) seed: u64,
    pub(crate) pages: u64,
    pub(crate) hosts: u64,
    pub(crate) mix: Mix,
}

/// What pages there are on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mix {
    /// Of each kind some.
    Everything,
    /// Plain ones alone.
    Plain,
}

/// What becomes of the sitemap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(not(test), expect(dead_code, reason = "as `reachable`"))]
pub(crate) enum Map {
    Read,
    Left,
}

/// What a page is like. Of a hundred pages so many: one or two of each but the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Plain,
    Missing,
    Broken,
    /// 429, the first time it is asked for.
    Busy,
    Moved,
    /// Points to itself by way of another.
    Circle,
    Slow,
    Huge,
    Picture,
    /// HTML that no checker would let pass.
    Sloppy,
    /// Forbidden by robots.txt.
    Private,
    /// Its links are not to be followed.
    DeadEnd,
}

impl Site {
    pub(crate) fn host(self, page: u64) -> String {
        format!("h{}.test", page % self.hosts)
    }

    pub(crate) fn url(self, page: u64, port: u16) -> String {
        format!("http://{}:{port}{}", self.host(page), self.path(page))
    }

    fn path(self, page: u64) -> String {
        let folder = if self.kind(page) == Kind::Private { "private" } else { "p" };
        format!("/{folder}/{page}.html")
    }

    fn kind(self, page: u64) -> Kind {
        if page == 0 || page >= self.pages || self.mix == Mix::Plain {
            return Kind::Plain;
        }
        match self.random(page, 0) % 100 {
            0 | 1 => Kind::Missing,
            2 => Kind::Broken,
            3 => Kind::Busy,
            4..=6 => Kind::Moved,
            7 => Kind::Circle,
            8 => Kind::Slow,
            9 if page.is_multiple_of(10) => Kind::Huge,
            10 | 11 => Kind::Picture,
            12..=15 => Kind::Sloppy,
            16 | 17 => Kind::Private,
            18 => Kind::DeadEnd,
            _ => Kind::Plain,
        }
    }

    /// How many pages there are that no link in the tree leads to.
    fn hidden(self) -> u64 {
        if self.mix == Mix::Plain { 0 } else { 2 * (3 + self.pages / 200) }
    }

    /// Where the links of a page lead, in their order.
    fn links(self, page: u64) -> Vec<u64> {
        if let Some(nth) = page.checked_sub(self.pages) {
            return if nth.is_multiple_of(2) { vec![page + 1] } else { vec![] };
        }
        let down = (1..=DOWN).map(|nth| page * DOWN + nth).filter(|page| *page < self.pages);
        let across = (1..=ACROSS).map(|nth| self.random(page, nth) % self.pages);
        down.chain(across).collect()
    }

    fn moved_to(self, page: u64) -> u64 {
        self.random(page, 9) % self.pages
    }

    /// A number that follows from the seed, the page and what it is for (SplitMix64, Steele and others 2014).
    fn random(self, page: u64, what_for: u64) -> u64 {
        let mut z = self.seed ^ page.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ what_for.wrapping_mul(0xd1b5_4a32_d192_ed03);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// What a crawl has to fetch that begins with page 0, and with the sitemap if it is read, and goes `max_depth` deep,
    /// redirects included: by their URLs.
    #[cfg_attr(not(test), expect(dead_code, reason = "it is what the stories compare with"))]
    pub(crate) fn reachable(self, port: u16, max_depth: Option<u32>, robots: Robots, map: Map) -> BTreeSet<String> {
        let (mut met, mut queue) = (HashSet::from([0]), VecDeque::from([(0, 0)]));
        if map == Map::Read && max_depth != Some(0) {
            queue.extend(self.named().map(|page| (page, 1)));
            met.extend(self.named());
        }
        let mut urls = BTreeSet::new();
        while let Some((page, depth)) = queue.pop_front() {
            let kind = self.kind(page);
            if kind == Kind::Private && robots == Robots::Heeded {
                continue;
            }
            urls.insert(self.url(page, port));
            let next = match kind {
                Kind::Missing | Kind::Broken | Kind::Picture | Kind::DeadEnd => continue,
                Kind::Circle => {
                    if max_depth.is_none_or(|max| depth < max) {
                        urls.insert(format!("{}?again", self.url(page, port)));
                    }
                    continue;
                }
                Kind::Moved => vec![self.moved_to(page)],
                _ => self.links(page),
            };
            if max_depth.is_none_or(|max| depth < max) {
                queue.extend(next.into_iter().filter(|page| met.insert(*page)).map(|page| (page, depth + 1)));
            }
        }
        urls
    }

    /// What the sitemap names.
    fn named(self) -> impl Iterator<Item = u64> {
        (self.pages..self.pages + self.hidden()).step_by(2)
    }

    /// Serves it on a thread of its own, for as long as this process lives; at `port`, if it is not 0. Where it listens.
    ///
    /// # Errors
    /// There are no descriptors or threads for it, or somebody else has the port.
    pub(crate) fn serve(self, port: u16) -> io::Result<SocketAddr> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let (told, tell) = mpsc::channel();
        thread::Builder::new().name("embedded site".to_owned()).spawn(move || {
            let served = Loop::new().and_then(|crank| {
                crank.block_on(async {
                    let server = Server::bind(address)?;
                    let port = server.local_addr()?;
                    let _ = told.send(Ok(port));
                    let asked = RefCell::new(HashSet::new());
                    server.run(move |request| self.answer(request, port.port(), &asked)).await
                })
            });
            if let Err(error) = served {
                let _ = told.send(Err(error));
            }
        })?;
        let named = |error: io::Error| io::Error::new(error.kind(), format!("the embedded site at {address}: {error}"));
        tell.recv().map_err(io::Error::other)?.map_err(named)
    }

    fn answer(self, request: &Incoming<'_>, port: u16, asked: &RefCell<HashSet<u64>>) -> Reply {
        let (host, (path, query)) =
            (request.host(), request.target().split_once('?').unwrap_or((request.target(), "")));
        if path == "/robots.txt" {
            let codings = request.headers().get("accept-encoding").unwrap_or_default();
            if codings.starts_with(b"gzip") && host.starts_with("h1.") {
                return Reply::text(200, ROBOTS_CODED).header("Content-Encoding", "gzip");
            }
            let map = format!("Sitemap: http://{host}/map.xml\n");
            let map = if host.starts_with("h0.") && self.hidden() > 0 { map.as_bytes() } else { b"" };
            return Reply::text(200, [ROBOTS, map].concat());
        }
        if let Some(name) = path.strip_prefix("/map") {
            return self.map(name, host, port);
        }
        let number = path.strip_suffix(".html").and_then(|path| path.rsplit('/').next()).and_then(|n| n.parse().ok());
        let Some(page) = number.filter(|page| *page < self.pages + self.hidden() && self.path(*page) == path) else {
            return html(404, "there is nothing here".to_owned());
        };
        if !host.eq_ignore_ascii_case(&format!("{}:{port}", self.host(page))) {
            return html(404, format!("{host} is another host"));
        }
        match self.kind(page) {
            Kind::Missing => html(404, "it was here once".to_owned()),
            Kind::Broken => html(500, "something has gone wrong".to_owned()),
            Kind::Busy if asked.borrow_mut().insert(page) => html(429, "later".to_owned()).header("Retry-After", "0"),
            Kind::Moved => html(302, "elsewhere".to_owned()).header("Location", self.url(self.moved_to(page), port)),
            Kind::Circle => {
                let to = if query.is_empty() { "?again" } else { path };
                html(302, "round and round".to_owned()).header("Location", to)
            }
            Kind::Slow => html(200, self.text(page, port)).delay(SLOW),
            Kind::Huge => html(200, format!("{}{}", self.text(page, port), "<p>and on and on ".repeat(HUGE / 17))),
            Kind::Picture => {
                Reply::bytes(200, &b"\x89PNG\r\n\x1a\n<a href=/p/0.html>"[..]).header("Content-Type", "image/png")
            }
            _ => html(200, self.text(page, port)),
        }
    }

    /// A sitemap: an index, which names itself, too; a packed one; or a list.
    fn map(self, name: &str, host: &str, port: u16) -> Reply {
        let half = self.hidden() / 4;
        let urls = |pages: &mut dyn Iterator<Item = u64>| pages.map(|page| self.url(page, port)).collect::<Vec<_>>();
        match name {
            ".xml" => {
                let names =
                    ["map.xml", "map1.xml.gz", "map2.txt", "map3.xml"].map(|name| format!("http://{host}/{name}"));
                Reply::text(200, format!("<sitemapindex>{}</sitemapindex>", located("sitemap", &names)))
            }
            "1.xml.gz" => {
                let urls = urls(&mut self.named().take(half as usize));
                let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
                let written = packed.write_all(format!("<urlset>{}", located("url", &urls)).as_bytes());
                written.expect("there is room in memory");
                Reply::bytes(200, packed.finish().expect("there is room in memory"))
            }
            "2.txt" => Reply::text(200, urls(&mut self.named().skip(half as usize)).join("\n")),
            _ => html(404, "there is no such map".to_owned()),
        }
    }

    /// A page, with its links in one of the forms that there are.
    fn text(self, page: u64, port: u16) -> String {
        let (kind, mut text) = (self.kind(page), String::new());
        if kind == Kind::DeadEnd {
            text.push_str("<meta name=robots content=\"noindex, NOFOLLOW\">");
        }
        text.push_str(&format!(
            "<!doctype html><title>page {page}</title><!-- <a href=/p/none.html> --><h1>{page}</h1>\n"
        ));
        for (nth, to) in self.links(page).into_iter().enumerate() {
            let (path, url) = (self.path(to), self.url(to, port));
            let is_here = self.host(to) == self.host(page);
            let link = match (nth as u64 + page) % 6 {
                0 => format!("<a href=\"{url}\">page {to}</a>"),
                1 => format!("<A HREF='{}#part'>page {to}</A>", url.replace("http://h", "HTTP://H")),
                2 => format!("<a class=x href={url}>page {to}</a>"),
                3 => format!("<a href=\"  {} \">page {to}</a>", url.strip_prefix("http:").unwrap_or(&url)),
                4 if is_here => format!("<a href=\"../p/./..{}\">page {to}</a>", path),
                5 => format!("<a href=\"{}\" data-x='>'>page {to}</a>", url.replace("/p/", "/p&#47;")),
                _ => format!("<iframe src=\"{url}\"></iframe>"),
            };
            text.push_str(&link);
            text.push('\n');
        }
        text.push_str("<a rel=nofollow href=/trap/1>no</a><script>'<a href=/p/none.html>'</script><a href=mailto:me@h.test>me</a>");
        if kind == Kind::Sloppy {
            text = text.replace("</a>", "").replace("<h1>", "<h1 <p").replace("<!doctype html>", "\0</body></html>");
        }
        text
    }
}

/// The entries of a sitemap.
fn located(name: &str, urls: &[String]) -> String {
    urls.iter().map(|url| format!("<{name}><loc>{url}</loc></{name}>\n")).collect()
}

fn html(status: u16, text: String) -> Reply {
    Reply::bytes(status, text.into_bytes()).header("Content-Type", "text/html; charset=utf-8")
}
