//! reqwest on tokio's `LocalRuntime`.
//!
//! ```text
//!     reqwest::Client ──► hyper ──► Response ──► Answer
//! ```
//!
//! It has no policy of addresses, so a crawl that denies private ones is refused; and it tells only when the head was there,
//! not how long each phase before took. Its pool bounds what idles for each host, and not in all: where hosts are more than
//! descriptors, it fails where the other engine goes on.
//! Next: `cpu`.

use std::{
    cell::Cell,
    net::{IpAddr, SocketAddr},
    os::unix::net::UnixStream,
    time::{Duration, Instant},
};

use reqwest::{Client, redirect::Policy};
use windlass::http::{Error, ErrorKind, Url};

use super::{Answer, Engine, Took, failures::of_reqwest, ms};
use crate::plan::{Header, Manners};

#[derive(Debug)]
pub(crate) struct OnTokio {
    client: Client,
    headers: Vec<Header>,
    max_size: u64,
}

impl OnTokio {
    /// # Errors
    /// What it cannot do.
    pub(crate) fn new(manners: &Manners) -> Result<Self, String> {
        if manners.denies_private {
            return Err(
                "--engine tokio has no policy of addresses: --allow-private says that none is wanted".to_owned()
            );
        }
        let mut client = Client::builder().redirect(Policy::none()).no_proxy().timeout(manners.timeout);
        client = client.tcp_nodelay(true).user_agent(manners.user_agent.clone());
        for (host, port, address) in &manners.resolve {
            client = client.resolve(host, SocketAddr::new(*address, *port));
        }
        let client = client.build().map_err(|error| error.to_string())?;
        Ok(Self { client, headers: manners.headers.public().to_vec(), max_size: manners.max_size })
    }
}

impl Engine for OnTokio {
    type Answer = Heard;

    async fn send(&self, url: &Url, credentials: &[Header], connected: &dyn Fn()) -> Result<Heard, Error> {
        connected(); // it does not tell when
        let began = Instant::now();
        let mut request = self.client.get(url.as_str());
        for (name, value) in self.headers.iter().chain(credentials) {
            request = request.header(name, value);
        }
        let response = request.send().await.map_err(|error| of_reqwest(&error))?;
        let left = Cell::new(self.max_size);
        Ok(Heard { response, piece: None, left, began, head_at: Instant::now() })
    }

    fn resolving(&self) -> usize {
        0 // it does not tell
    }

    fn spawn(task: impl Future<Output = ()> + 'static) {
        drop(tokio::task::spawn_local(task));
    }

    async fn sleep(span: Duration) {
        tokio::time::sleep(span).await;
    }

    async fn readable(stream: UnixStream) {
        let watched = tokio::net::UnixStream::from_std(stream).expect("a connected pair of sockets can be watched");
        watched.readable().await.expect("the loop is running");
    }

    async fn yield_now() {
        tokio::task::yield_now().await;
    }

    async fn elsewhere<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
        tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| panic!("{error}"))
    }
}

#[derive(Debug)]
pub(crate) struct Heard {
    response: reqwest::Response,
    piece: Option<bytes::Bytes>,
    /// How much more may come.
    left: Cell<u64>,
    began: Instant,
    head_at: Instant,
}

impl Answer for Heard {
    fn status(&self) -> u16 {
        self.response.status().as_u16()
    }

    fn headers<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.response.headers().get_all(name).iter().map(|value| value.as_bytes())
    }

    async fn chunk(&mut self) -> Result<Option<&[u8]>, Error> {
        self.piece = self.response.chunk().await.map_err(|error| of_reqwest(&error))?;
        let len = self.piece.as_ref().map_or(0, |piece| piece.len() as u64);
        let left = self.left.get().checked_sub(len);
        self.left.set(left.ok_or_else(|| Error::new(ErrorKind::TooLarge, "body: larger than the limit"))?);
        Ok(self.piece.as_deref())
    }

    fn received(&self) -> Option<(Vec<u8>, Option<IpAddr>)> {
        None
    }

    fn took(&self) -> Took {
        let (first_byte, body) = (self.head_at.duration_since(self.began), self.head_at.elapsed());
        Took { first_byte: Some(ms(first_byte)), body: Some(ms(body)), ..Took::default() }
    }
}
