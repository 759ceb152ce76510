//! Who carries the requests.
//!
//! ```text
//!     transfer ──► Engine::send ──► Answer: head ──► chunk, chunk, … ──► end
//!                     ├── on_windlass    this library's client on its loop: everything
//!                     └── on_tokio       reqwest on tokio's LocalRuntime: what it has no word for is refused
//! ```
//!
//! An engine sends one request and gives one answer. Redirects, cookies, codings and files are the program's, so that
//! two engines differ in nothing else.
//! Next: `on_windlass`.

pub(crate) mod on_tokio;
pub(crate) mod on_windlass;

use std::{net::SocketAddr, time::Duration};

use windlass::http::head::Version;

use crate::{asked::Request, failure::Failure};

pub(crate) trait Engine {
    type Answer: Answer;

    /// Sends a request, and waits for the head of the answer; all of the exchange is over when no time is `left`.
    async fn send(&self, request: &Request<'_>, left: Option<Duration>) -> Result<Self::Answer, Failure>;

    /// How many connections it has opened so far.
    fn opened(&self) -> u64;
}

pub(crate) trait Answer {
    fn head(&self) -> &Head;

    /// The next piece of the body; none at its end.
    async fn chunk(&mut self) -> Result<Option<&[u8]>, Failure>;

    /// What is known at the end of the body, or where it broke off.
    fn end(&self) -> End;
}

/// What an answer says first.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) status: u16,
    pub(crate) version: Version,
    pub(crate) headers: Vec<(Vec<u8>, Vec<u8>)>,
    /// As it came, interim heads before it; empty if the engine does not tell.
    pub(crate) bytes: Vec<u8>,
    pub(crate) remote: Option<SocketAddr>,
    pub(crate) local: Option<SocketAddr>,
}

/// What an answer leaves.
#[derive(Debug, Default)]
pub(crate) struct End {
    /// The lines behind the last chunk, as they came.
    pub(crate) trailers: Vec<u8>,
    pub(crate) took: Took,
}

/// How long each phase took.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Took {
    /// To an address, the wait for leave to connect included.
    pub(crate) name: Duration,
    pub(crate) connect: Duration,
    pub(crate) handshake: Duration,
    /// From having a connection to the first byte of the answer.
    pub(crate) first_byte: Duration,
}

impl Head {
    /// The first header of this name.
    pub(crate) fn get(&self, name: &str) -> Option<&[u8]> {
        self.get_all(name).next()
    }

    /// Whether its connection carries nothing behind it, by what it says: then its body may go on for ever.
    pub(crate) fn ends_its_connection(&self) -> bool {
        let words =
            || self.get_all("connection").flat_map(|line| line.split(|&byte| byte == b',')).map(<[u8]>::trim_ascii);
        let says = |word: &[u8]| words().any(|said| said.eq_ignore_ascii_case(word));
        let is_framed = self.get("content-length").or(self.get("transfer-encoding")).is_some();
        !is_framed || says(b"close") || (self.version == Version::Http10 && !says(b"keep-alive"))
    }

    /// All headers of this name.
    pub(crate) fn get_all(&self, name: &str) -> impl Iterator<Item = &[u8]> {
        self.headers.iter().filter(move |(have, _)| have.eq_ignore_ascii_case(name.as_bytes())).map(|(_, v)| &v[..])
    }
}
