//! What is asked for.
//!
//! ```text
//!     command line ──► Flags (clap): curl's names, one letter or long
//! ```
//!
//! Not here: what a request is made of them (`asked`).   Next: `asked`.

use std::{path::PathBuf, time::Duration};

use clap::{ArgMatches, Args, Command, FromArgMatches, Parser, ValueEnum};

const ABOUT: &str = "Sends requests and writes the answers to stdout, as curl does: the same names of flags, the same bytes, the same \
exit codes.";

const AFTER: &str = "\
Several URLs share one pool of connections; flags hold for all of them, but for -o, of which each has its own. The exit \
status is that of the last URL.

Exit status: 0 done; 1 scheme; 2 usage; 3 URL; 5 proxy's name; 6 name; 7 connection; 8 malformed reply; 18 short body; \
22 -f; 23 write; 26 read of @file; 28 time-out; 35 TLS; 43 a request that cannot be sent; 47 redirects; 49 --resolve; \
52 empty reply; 55 send; 56 receive; 60 certificate; 61 coding; 77 --cacert; 100 too large a head; 130 Ctrl-C.";

/// The command line.
#[derive(Debug, Parser)]
#[command(name = "fetch", version, about = ABOUT, after_help = AFTER, args_override_self = true)]
pub(crate) struct Flags {
    /// Where to go; without a scheme, http:// is meant
    #[arg(value_name = "URL", required = true)]
    pub(crate) urls: Vec<String>,

    /// Write the heads, too, byte for byte as they came
    #[arg(short, long)]
    pub(crate) include: bool,

    /// Ask for the head alone (HEAD) and write it
    #[arg(short = 'I', long)]
    pub(crate) head: bool,

    /// The method, also of what redirects lead to
    #[arg(short = 'X', long, value_name = "METHOD")]
    pub(crate) request: Option<String>,

    /// A header `Name: value`, spaces and all; `Name:` leaves one out, `Name;` sends it empty, `@FILE` has one in each line
    #[arg(short = 'H', long, value_name = "LINE", allow_hyphen_values = true)]
    pub(crate) header: Vec<String>,

    #[command(flatten)]
    pub(crate) data: Data,

    /// Puts the data into the URL's query, and asks with GET
    #[arg(short = 'G', long)]
    pub(crate) get: bool,

    /// Follow redirects
    #[arg(short = 'L', long)]
    pub(crate) location: bool,

    /// Follow so many at most; -1 for any number
    #[arg(long, value_name = "N", default_value_t = 50, allow_negative_numbers = true, value_parser = clap::value_parser!(i64).range(-1..))]
    pub(crate) max_redirs: i64,

    /// Write here instead of to stdout; one for each URL, in their order
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Vec<PathBuf>,

    /// Write the heads here; `-` is stdout
    #[arg(short = 'D', long, value_name = "FILE")]
    pub(crate) dump_header: Option<PathBuf>,

    /// Seconds for each URL in all, redirects included; 0 for any time
    #[arg(short, long, value_name = "SECONDS", value_parser = parse_seconds)]
    pub(crate) max_time: Option<Duration>,

    /// Seconds until there is a connection: name, connection and handshake; 0 for any time
    #[arg(long, value_name = "SECONDS", value_parser = parse_seconds, default_value = "300", hide_default_value = true)]
    pub(crate) connect_timeout: Option<Duration>,

    /// A status of 400 or more is a failure (22), and its body is not written
    #[arg(short, long)]
    pub(crate) fail: bool,

    /// Who asks; nothing is said if this is empty [default: windlass/VERSION]
    #[arg(short = 'A', long, value_name = "NAME")]
    pub(crate) user_agent: Option<String>,

    /// Ask with HTTP/1.0
    #[arg(short = '0', long = "http1.0")]
    pub(crate) http10: bool,

    /// Write the body as it comes over the wire: chunks and codings are not undone
    #[arg(long)]
    pub(crate) raw: bool,

    /// Ask for gzip, deflate, br or zstd, and undo it
    #[arg(long)]
    pub(crate) compressed: bool,

    /// No progress, no words about failures
    #[arg(short, long)]
    pub(crate) silent: bool,

    /// Words about failures, in spite of -s
    #[arg(short = 'S', long)]
    pub(crate) show_error: bool,

    /// Tell on stderr what goes out and what comes in
    #[arg(short, long)]
    pub(crate) verbose: bool,

    /// Write this after each URL: `%{http_code}`, `%header{name}`, `\n` and so on; of `@FILE`, what is in it
    #[arg(short, long, value_name = "FORMAT", allow_hyphen_values = true)]
    pub(crate) write_out: Option<String>,

    /// Take any certificate from anybody
    #[arg(short = 'k', long)]
    pub(crate) insecure: bool,

    /// Trust these authorities (PEM) and no others
    #[arg(long, value_name = "FILE")]
    pub(crate) cacert: Option<PathBuf>,

    /// A host and port is at this address: `HOST:PORT:ADDRESS`, with commas between several addresses
    #[arg(long, value_name = "ENTRY", allow_hyphen_values = true)]
    pub(crate) resolve: Vec<String>,

    /// Ask this http proxy; an empty one is none, and without this http_proxy and its like are heeded
    #[arg(short = 'x', long, value_name = "URL")]
    pub(crate) proxy: Option<String>,

    /// Name and password (Basic)
    #[arg(short, long, value_name = "USER:PASSWORD")]
    pub(crate) user: Option<String>,

    /// Where you come from, in `Referer`
    #[arg(short = 'e', long, value_name = "URL")]
    pub(crate) referer: Option<String>,

    /// Cookies: `NAME=VALUE; ...`, or a file of them (Netscape's form), which also has cookies kept while this runs
    #[arg(short = 'b', long, value_name = "DATA|FILE")]
    pub(crate) cookie: Vec<String>,

    /// Who carries the requests
    #[arg(long, value_name = "NAME", value_enum, default_value = "windlass")]
    pub(crate) engine: EngineName,
}

/// Who carries the requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum EngineName {
    /// This library's client on its loop.
    Windlass,
    /// reqwest on tokio's `LocalRuntime`.
    Tokio,
}

/// What a form is made of, in the order of the command line.
#[derive(Debug)]
pub(crate) struct Data(pub(crate) Vec<(Kind, String)>);

/// How a piece of a form is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Plain,
    Binary,
    Raw,
    Encoded,
}

/// The flags by which they are given: clap keeps the order of each alone.
#[derive(Debug, Args)]
struct EachKind {
    /// Sends this as a form (POST); of `@FILE` without line ends, and `@-` is stdin; several are joined by `&`
    #[arg(short, long, value_name = "DATA", allow_hyphen_values = true, visible_alias = "data-ascii")]
    data: Vec<String>,

    /// As --data, and a file as it is
    #[arg(long, value_name = "DATA", allow_hyphen_values = true)]
    data_binary: Vec<String>,

    /// As --data, but `@` means nothing
    #[arg(long, value_name = "DATA", allow_hyphen_values = true)]
    data_raw: Vec<String>,

    /// As --data, encoded: `VALUE`, `=VALUE`, `NAME=VALUE`, `@FILE` or `NAME@FILE`
    #[arg(long, value_name = "DATA", allow_hyphen_values = true)]
    data_urlencode: Vec<String>,
}

impl Args for Data {
    fn augment_args(command: Command) -> Command {
        EachKind::augment_args(command)
    }

    fn augment_args_for_update(command: Command) -> Command {
        EachKind::augment_args_for_update(command)
    }
}

impl FromArgMatches for Data {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let EachKind { data, data_binary, data_raw, data_urlencode } = EachKind::from_arg_matches(matches)?;
        let mut placed = Vec::new();
        for (id, kind, texts) in [
            ("data", Kind::Plain, data),
            ("data_binary", Kind::Binary, data_binary),
            ("data_raw", Kind::Raw, data_raw),
            ("data_urlencode", Kind::Encoded, data_urlencode),
        ] {
            let places = matches.indices_of(id).into_iter().flatten();
            placed.extend(places.zip(texts).map(|(place, text)| (place, kind, text)));
        }
        placed.sort_by_key(|(place, ..)| *place);
        Ok(Self(placed.into_iter().map(|(_, kind, text)| (kind, text)).collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// Whole milliseconds: for curl, too, what is less is none.
fn parse_seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.trim_start().parse().map_err(|_| "not a number of seconds".to_owned())?;
    let exact = Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())?;
    Ok(exact - Duration::from_nanos(u64::from(exact.subsec_nanos() % 1_000_000)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Flags, clap::Error> {
        Flags::try_parse_from(line.split(' '))
    }

    #[test]
    fn short_flags_may_stand_together_and_come_twice() {
        let flags = parse("fetch -sSLsi -oout -m1.5 -d -1 -d @- a b").unwrap();
        assert!(flags.silent && flags.show_error && flags.location && flags.include);
        assert_eq!((flags.output.len(), flags.urls.len(), flags.data.0.len()), (1, 2, 2));
        assert_eq!(flags.max_time, Some(Duration::from_millis(1500)));
    }

    #[test]
    fn data_stay_in_the_order_of_the_command_line() {
        let flags = parse("fetch --data-urlencode a -d b --data-raw c a --data-binary d -d e").unwrap();
        let kinds = [Kind::Encoded, Kind::Plain, Kind::Raw, Kind::Binary, Kind::Plain];
        let expected: Vec<_> = kinds.into_iter().zip(["a", "b", "c", "d", "e"].map(str::to_owned)).collect();
        assert_eq!(flags.data.0, expected);
    }

    #[test]
    fn a_millisecond_is_the_least_time_there_is() {
        let max_time = |text: &str| parse(&format!("fetch a -m {text}")).unwrap().max_time.unwrap().as_nanos();
        assert_eq!(["0.0009", ".0019", "1e1"].map(max_time), [0, 1_000_000, 10_000_000_000]);
    }

    #[test]
    fn what_means_nothing_is_a_matter_of_usage() {
        for line in ["fetch", "fetch -m x a", "fetch -m -1 a", "fetch --nosuch a", "fetch --engine x a"] {
            assert_eq!(parse(line).unwrap_err().exit_code(), 2, "{line}");
        }
    }
}
