//! What is asked for.
//!
//! ```text
//!     command line ──► Flags (clap) ──► Plan, engine, where lines go
//! ```
//!
//! Next: `plan`.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsStr,
    fs, io,
    net::{IpAddr, Ipv4Addr},
    path::{Path, PathBuf, absolute},
    time::Duration,
};

use clap::{
    Arg, Command, CommandFactory, FromArgMatches, Parser, ValueEnum, builder::TypedValueParser, error::ErrorKind,
};
use regex::Regex;
use sha2::{Digest, Sha256};
use windlass::http::{Url, decode::Coding};
use windlass_examples::figures;

use crate::{
    frontier::Bounds,
    plan::{Archive, Budget, Headers, Levels, Manners, Order, Plan, Resources, Retries, Robots, Sitemaps},
    scope::{MediaType, Reach, Scope},
    site::{Mix, Site},
    store::ledger::{Began, SiteAt},
};

/// What says where to begin.
const GIVEN: [&str; 2] = ["urls", "urls_from"];

const ABOUT: &str = "\
Fetches pages and what they link to, politely: a queue for each host, its robots.txt heeded, its delay kept, and a report \
that says what held the crawl back.";

const AFTER: &str = "\
Without a URL it crawls a site of its own: --site-pages pages on --site-hosts hosts, made from --site-seed, served by a \
thread of this process; and some more, which only its sitemap leads to.

Sitemaps that a robots.txt names are read, and those that they name: their pages count as links of what was given.

--state keeps what is left to fetch, and what was met, in a folder. A crawl that Ctrl-C or a time ended, or that was killed, \
goes on from there when it is started with the same URLs, the same flags that say what is fetched, and the same files: \
each page has its line once. What was under way is fetched again, at most --concurrency pages, and what was not written \
down yet, at most --batch pages. Without it the same is kept in a file in TMPDIR, or /tmp, that is gone with the process, so \
that memory is bounded, however long the queue.

--output writes a line of JSON for each page when it is done: its url, where redirects led (final_url), status, type, sizes, \
depth, parent, milliseconds by phase, and the kind of error if one ended it: a 404 is an answer, with its status. Redirects \
count as links; a page that leads to one that was met before ends there, with the status of the redirect. Which of two that \
lead to one page has that one's line depends on who was there first.

A host whose robots.txt cannot be had, since it has no such name, or does not answer, or answers 5xx, is not asked for \
anything (RFC 9309): the report says why, and the next run of the state tries again. --ignore-robots asks nevertheless.

Private addresses are refused unless a URL that was given has one, or --allow-private says otherwise.

Ctrl-C stops: nothing more is begun, what is under way has five seconds, then comes the report; a second one, \
half a second later or more, ends at once.

Exit status: 0 pages were fetched, or earlier runs of the state had done all; 1 none could be, or the output could not be \
written; 2 the command line makes no sense, or the state is another crawl's, in use or damaged; \
130 ended by Ctrl-C, with the report so far.";

/// The command line.
#[derive(Debug, Parser)]
#[command(name = "crawl", version, about = ABOUT, after_help = AFTER)]
pub(crate) struct Flags {
    /// Where to begin; without any, a site of its own
    #[arg(value_name = "URL", value_parser = Unsaid(parse_url))]
    pub(crate) urls: Vec<Url>,

    /// Begin with the URLs of this file, too, one on each line; `-` for stdin
    #[arg(long, value_name = "FILE")]
    pub(crate) urls_from: Option<PathBuf>,

    /// Write one JSON object to stdout and nothing else; progress goes to stderr
    #[arg(long)]
    pub(crate) json: bool,

    /// Which loop carries the requests
    #[arg(long, value_name = "ENGINE", value_enum, default_value = "windlass")]
    pub(crate) engine: EngineName,

    /// Write a line of JSON for each page to this file, in place of what is in it, or behind what earlier runs of the state
    /// wrote; `-` for stdout, and then the report goes to stderr
    #[arg(long, value_name = "FILE.jsonl")]
    pub(crate) output: Option<PathBuf>,

    /// Write a page of plots to this file at the end, also after Ctrl-C
    #[arg(long, value_name = "FILE.html")]
    pub(crate) report: Option<PathBuf>,

    /// Keep what is left to do in this folder, and go on with what is in it
    #[arg(long, value_name = "DIR")]
    pub(crate) state: Option<PathBuf>,

    /// Pages that may have to be fetched again after a kill, though they had been; it is written down four times a second
    #[arg(long, value_name = "PAGES", default_value_t = 4_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) batch: u32,

    /// Write each page as it was asked for and as it came to this file, in WARC 1.1, each record zipped; not those whose body
    /// was left for its --type or its --max-size
    #[arg(long, value_name = "FILE.warc.gz")]
    pub(crate) warc: Option<PathBuf>,

    /// Fetch at most so many pages, in all runs of one state
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) max_pages: Option<u64>,

    /// Go at most so many links deep; 0 is what was given
    #[arg(long, value_name = "N")]
    pub(crate) max_depth: Option<u32>,

    /// Begin nothing more when so many bytes of bodies have come over the wire: of pages, redirects, sitemaps and robots.txt,
    /// whole or not
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) max_bytes: Option<u64>,

    /// Begin nothing more after so many seconds
    #[arg(long, value_name = "SECONDS", value_parser = parse_seconds)]
    pub(crate) max_time: Option<Duration>,

    /// Bytes of one page, decoded; a larger one is an error
    #[arg(long, value_name = "BYTES", default_value_t = 10 * 1024 * 1024, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) max_size: u64,

    /// Fetches under way at once, in all
    #[arg(long, value_name = "C", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) concurrency: u32,

    /// Fetches under way at once, from one host
    #[arg(long, value_name = "P", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) per_host: u32,

    /// Seconds between the beginnings of two fetches from one host, at least; a longer Crawl-delay counts
    #[arg(long, value_name = "SECONDS", default_value = "0", value_parser = parse_seconds)]
    pub(crate) delay: Duration,

    /// Fetches a second, in all
    #[arg(long, value_name = "PER_SECOND", value_parser = parse_rate)]
    pub(crate) rate: Option<f64>,

    /// Fetches a second, from one host
    #[arg(long, value_name = "PER_SECOND", value_parser = parse_rate)]
    pub(crate) host_rate: Option<f64>,

    /// How far links may lead; host, if nothing is said, and any on the site of its own, whose hosts are one site
    #[arg(long, value_name = "SCOPE", value_enum)]
    pub(crate) scope: Option<Reach>,

    /// Fetch only URLs that this regular expression matches; several: any of them
    #[arg(long, value_name = "REGEX")]
    pub(crate) include: Vec<Regex>,

    /// Fetch no URL that this regular expression matches
    #[arg(long, value_name = "REGEX")]
    pub(crate) exclude: Vec<Regex>,

    /// Of pages that are there (2xx) take only bodies of this type, as text/html, or text/* for all of them; several: any of
    /// them. A page of another type has its line, and its body is left
    #[arg(long = "type", value_name = "TYPE", value_parser = MediaType::parse)]
    pub(crate) types: Vec<MediaType>,

    /// Of what may go, fetch first what this regular expression matches; several: the first one's first
    #[arg(long, value_name = "REGEX")]
    pub(crate) prefer: Vec<Regex>,

    /// Read this sitemap, too
    #[arg(long, value_name = "URL", value_parser = Unsaid(parse_url), conflicts_with = "no_sitemaps")]
    pub(crate) sitemap: Vec<Url>,

    /// Read no sitemaps
    #[arg(long)]
    pub(crate) no_sitemaps: bool,

    /// Fetch images, scripts and style sheets, too
    #[arg(long)]
    pub(crate) resources: bool,

    /// HOST at PORT is at ADDR
    #[arg(long, value_name = "HOST:PORT:ADDR", value_parser = parse_resolve)]
    pub(crate) resolve: Vec<(String, u16, IpAddr)>,

    /// Ask for no robots.txt
    #[arg(long)]
    pub(crate) ignore_robots: bool,

    /// Refuse private addresses, on every way to them
    #[arg(long, conflicts_with = "allow_private")]
    pub(crate) deny_private: bool,

    /// Refuse no address
    #[arg(long)]
    pub(crate) allow_private: bool,

    /// Who asks; robots.txt is read for the part before the first slash
    #[arg(long, value_name = "NAME", default_value = concat!("windlass-crawl/", env!("CARGO_PKG_VERSION")))]
    pub(crate) user_agent: String,

    /// A header for every request; Authorization, Cookie and Proxy-Authorization only for those to the origins of the URLs
    /// that were given
    #[arg(short = 'H', long, value_name = "NAME: VALUE", value_parser = Unsaid(parse_header))]
    pub(crate) header: Vec<(String, String)>,

    /// Seconds for one fetch
    #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = figures::parse_seconds)]
    pub(crate) timeout: Duration,

    /// How often a page is tried that 429, 5xx or a broken connection stood in the way of
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=20))]
    pub(crate) attempts: u32,

    /// Pages of the site of its own [default: 5000, or as the state says]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=100_000_000), conflicts_with_all = GIVEN)]
    pub(crate) site_pages: Option<u64>,

    /// Hosts of the site of its own [default: 4, or as the state says]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000), conflicts_with_all = GIVEN)]
    pub(crate) site_hosts: Option<u64>,

    /// What the site of its own is made from [default: 1, or as the state says]
    #[arg(long, value_name = "SEED", conflicts_with_all = GIVEN)]
    pub(crate) site_seed: Option<u64>,

    /// All pages of the site of its own are small, quick and whole
    #[arg(long, conflicts_with_all = GIVEN)]
    pub(crate) site_plain: bool,

    /// Serve the site of its own and crawl nothing, until stdin ends: says in one JSON object where to begin and what to
    /// --resolve
    #[arg(long, conflicts_with_all = ["urls", "urls_from", "output", "report", "state", "warc"])]
    pub(crate) serve: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum EngineName {
    Windlass,
    /// reqwest on tokio's LocalRuntime
    Tokio,
}

impl EngineName {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            EngineName::Windlass => "windlass",
            EngineName::Tokio => "tokio",
        }
    }
}

impl Flags {
    /// The command line, and what each setting is in the end: those that nothing was said of, too. What headers say is left
    /// out: it may be a password.
    pub(crate) fn from_command_line() -> (Self, Vec<(String, String)>) {
        let command = Self::command();
        let matches = command.clone().get_matches();
        let flags = Self::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
        let value = |arg: &Arg| match arg.get_id().as_str() {
            "header" => flags.header.iter().map(|(name, _)| format!("{name}: …")).collect(),
            "scope" => vec![flags.reach().as_str().to_owned()],
            "urls" => flags.urls.iter().map(ToString::to_string).collect(),
            id => matches.get_raw(id).into_iter().flatten().map(|value| value.to_string_lossy().into_owned()).collect(),
        };
        let told = command.get_arguments().filter_map(|arg| {
            let values: Vec<String> = value(arg);
            let name = arg.get_long().unwrap_or("URL").to_owned();
            (!values.is_empty()).then(|| (name, values.join(", ")))
        });
        let told = told.collect();
        (flags, told)
    }

    /// The site to serve, and at which port if that is not all the same; none if URLs were given. What is not said is as
    /// before.
    pub(crate) fn site(&self, before: Option<SiteAt>) -> Option<(Site, u16)> {
        let before = before.unwrap_or(SiteAt { seed: 1, pages: 5_000, hosts: 4, is_plain: self.site_plain, port: 0 });
        let site = Site {
            seed: self.site_seed.unwrap_or(before.seed),
            pages: self.site_pages.unwrap_or(before.pages),
            hosts: self.site_hosts.unwrap_or(before.hosts),
            mix: if self.site_plain || before.is_plain { Mix::Plain } else { Mix::Everything },
        };
        self.urls.is_empty().then_some((site, before.port))
    }

    /// Whether two of the files that are written are one, however their names are spelt.
    pub(crate) fn shares_a_file(&self) -> bool {
        let files = [&self.output, &self.warc, &self.report].into_iter().flatten();
        let mut places = files.filter(|file| *file != Path::new("-")).map(|file| {
            let folder = file.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."));
            let inside = |folder: PathBuf| folder.join(file.file_name().unwrap_or_default());
            file.canonicalize().or_else(|_| folder.canonicalize().map(inside)).unwrap_or_else(|_| file.clone())
        });
        let mut seen = BTreeSet::new();
        !places.all(|place| seen.insert(place))
    }

    /// What another run must have in common with this one to go on with it.
    pub(crate) fn began(&self, plan: &Plan, site: Option<(Site, u16)>) -> Began {
        let mut flags = BTreeMap::new();
        let mut says = |name: &str, value: String| flags.insert(name.to_owned(), value);
        let list = |texts: &mut dyn Iterator<Item = &str>| texts.collect::<Vec<_>>().join(" ");
        match site {
            Some((Site { seed, pages, hosts, mix }, _)) => {
                says("--site-seed", seed.to_string());
                says("--site-pages", pages.to_string());
                says("--site-hosts", hosts.to_string());
                says("--site-plain", (mix == Mix::Plain).to_string());
            }
            None if self.urls.len() <= 10 => _ = says("URL", list(&mut self.urls.iter().map(Url::as_str))),
            None => {
                let mut all = Sha256::new();
                self.urls.iter().for_each(|url| all.update(format!("{}\n", url.as_str())));
                says("URLs, by number and hash,", format!("{} {:x}", self.urls.len(), all.finalize()));
            }
        }
        says("--scope", plan.scope.reach.as_str().to_owned());
        for (name, patterns) in [("--include", &self.include), ("--exclude", &self.exclude)] {
            says(name, list(&mut patterns.iter().map(Regex::as_str)));
        }
        says("--type", list(&mut self.types.iter().map(MediaType::as_str)));
        says("--max-depth", self.max_depth.map_or("none".to_owned(), |depth| depth.to_string()));
        says("--sitemap", list(&mut self.sitemap.iter().map(Url::as_str)));
        says("--no-sitemaps", self.no_sitemaps.to_string());
        says("--resources", self.resources.to_string());
        says("--ignore-robots", self.ignore_robots.to_string());
        let file = |path: &PathBuf| absolute(path).unwrap_or_else(|_| path.clone()).display().to_string();
        says("--output", self.output.as_ref().map_or("none".to_owned(), file));
        says("--warc", self.warc.as_ref().map_or(String::new(), file));
        flags.retain(|_, value| !["", "false"].contains(&value.as_str()));
        let site = site.map(|(Site { seed, pages, hosts, mix }, port)| {
            let is_plain = mix == Mix::Plain;
            SiteAt { seed, pages, hosts, is_plain, port }
        });
        Began { flags, site }
    }

    /// Reads the URLs that are in a file.
    ///
    /// # Errors
    /// It cannot be read, or a line of it is no URL: which.
    pub(crate) fn read_urls(&mut self) -> Result<(), String> {
        let Some(path) = &self.urls_from else { return Ok(()) };
        let text = if path == Path::new("-") { io::read_to_string(io::stdin()) } else { fs::read_to_string(path) };
        let text = text.map_err(|error| format!("{}: {error}", path.display()))?;
        for (nth, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let url = parse_url(line.trim()).map_err(|why| format!("{}:{}: {why}", path.display(), nth + 1))?;
            self.urls.push(url);
        }
        if self.urls.is_empty() { Err(format!("{}: there is no URL in it", path.display())) } else { Ok(()) }
    }

    /// What every request says: that bodies may come coded, too, if the caller says nothing of that.
    fn headers(&self) -> Vec<(String, String)> {
        let mut headers = self.header.clone();
        let says_who = headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("user-agent"));
        if self.warc.is_some() && !says_who {
            headers.insert(0, ("User-Agent".to_owned(), self.user_agent.clone())); // so that the archive has it where it was
        }
        if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("accept-encoding")) {
            let names: Vec<_> = Coding::ALL.iter().map(|coding| coding.name()).collect();
            headers.push(("Accept-Encoding".to_owned(), names.join(", ")));
        }
        headers
    }

    /// Whether robots.txt is heeded.
    pub(crate) fn robots(&self) -> Robots {
        if self.ignore_robots { Robots::Ignored } else { Robots::Heeded }
    }

    fn reach(&self) -> Reach {
        let is_own_site = self.urls.is_empty() && self.urls_from.is_none();
        self.scope.unwrap_or(if is_own_site { Reach::Any } else { Reach::Host })
    }

    /// What is to be done; `site` is served at this port.
    pub(crate) fn plan(&self, site: Option<(Site, u16)>) -> Plan {
        let mut resolve = self.resolve.clone();
        let mut begins = self.urls.clone();
        if let Some((site, port)) = site {
            begins = vec![Url::parse(&site.url(0, port)).expect("a name and a port")];
            resolve.extend((0..site.hosts).map(|host| (site.host(host), port, Ipv4Addr::LOCALHOST.into())));
        }
        let headers = Headers::new(self.headers(), &begins);
        let is_at_home = begins.iter().any(|url| is_private(url, &resolve));
        let scope = Scope::new(self.reach(), begins, self.max_depth).only(self.include.clone(), self.exclude.clone());
        Plan {
            scope: scope.of_types(self.types.clone()),
            order: Order {
                levels: if self.max_depth.is_some() { Levels::Apart } else { Levels::Mixed },
                prefer: self.prefer.clone(),
            },
            bounds: Bounds {
                concurrency: self.concurrency as usize,
                per_host: self.per_host as usize,
                delay: self.delay,
                rate: self.rate,
                host_rate: self.host_rate,
            },
            budget: Budget { pages: self.max_pages, bytes: self.max_bytes, time: self.max_time },
            manners: Manners {
                user_agent: self.user_agent.clone(),
                headers,
                timeout: self.timeout,
                max_size: self.max_size,
                resolve,
                denies_private: self.deny_private || !(self.allow_private || is_at_home),
                robots: self.robots(),
                sitemaps: match self.no_sitemaps {
                    true => Sitemaps::Ignored,
                    false => Sitemaps::Followed(self.sitemap.clone()),
                },
                resources: if self.resources { Resources::Fetched } else { Resources::Left },
                archive: if self.warc.is_some() { Archive::Kept } else { Archive::Left },
            },
            batch: self.batch as usize,
            retries: Retries { attempts: self.attempts, pause: Duration::from_millis(500) },
        }
    }
}

/// Whether a URL names a private address, or a host that is said to be at one.
fn is_private(url: &Url, resolve: &[(String, u16, IpAddr)]) -> bool {
    let of_name = resolve.iter().filter(|(host, ..)| host.eq_ignore_ascii_case(url.host())).map(|(.., at)| *at);
    let private = |address: IpAddr| windlass::net::dns::AddressPolicy::PublicOnly.check(address).is_err();
    url.ip().into_iter().chain(of_name).any(private) || url.host() == "localhost"
}

/// Has a value parsed, and repeats nothing of one that makes no sense: it may hold a password.
#[derive(Clone)]
struct Unsaid<T>(fn(&str) -> Result<T, String>);

impl<T: Clone + Send + Sync + 'static> TypedValueParser for Unsaid<T> {
    type Value = T;

    fn parse_ref(&self, command: &Command, arg: Option<&Arg>, value: &OsStr) -> Result<T, clap::Error> {
        let parsed = value.to_str().ok_or_else(|| "it is not UTF-8".to_owned()).and_then(self.0);
        parsed.map_err(|why| {
            let name = arg.map_or_else(String::new, ToString::to_string);
            clap::Error::raw(ErrorKind::ValueValidation, format!("invalid value for '{name}': {why}\n"))
                .with_cmd(command)
        })
    }
}

fn parse_url(text: &str) -> Result<Url, String> {
    Url::parse(text).map_err(|error| error.to_string())
}

fn parse_seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "it is no number of seconds".to_owned())?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

fn parse_rate(text: &str) -> Result<f64, String> {
    let rate: f64 = text.parse().map_err(|_| "it is no number".to_owned())?;
    if (1e-6..=1e6).contains(&rate) { Ok(rate) } else { Err("it is not between a millionth and a million".to_owned()) }
}

fn parse_header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once(':').ok_or("it has no colon")?;
    Ok((name.to_owned(), value.trim().to_owned()))
}

/// `HOST:PORT:ADDR`; an address of IPv6 stands in brackets or not.
fn parse_resolve(text: &str) -> Result<(String, u16, IpAddr), String> {
    let mut parts = text.splitn(3, ':');
    let (Some(host), Some(port), Some(address)) = (parts.next(), parts.next(), parts.next()) else {
        return Err("it is not HOST:PORT:ADDR".to_owned());
    };
    let port = port.parse().map_err(|_| format!("{port} is no port"))?;
    let address = address.trim_matches(['[', ']']).parse().map_err(|_| format!("{address} is no address"))?;
    Ok((host.to_owned(), port, address))
}
