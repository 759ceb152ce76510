//! A client: what its requests have in common.
//!
//! ```text
//!   Client::builder() ── settings ──► Client ── get, post, request ──► Request ── send ──► Response
//!                                       └── a pool of connections, shared by its clones
//! ```
//!
//! ```text
//!   client/   exchange ──► pool ──► dial ──► transport ──► connection ──► response
//!                          └ stats   └ timeouts: how long each of it may take
//! ```
//!
//! Not here: how a request gets its answer (`exchange`), which connection it goes out on (`pool`), what it can do beyond
//! one exchange (`extras`).   Next: `exchange`, or `server` for the other side.

pub(crate) mod connection;
pub(crate) mod dial;
pub(crate) mod exchange;
pub(crate) mod pool;
pub(crate) mod response;
pub(crate) mod stats;
pub(crate) mod timeouts;
pub(crate) mod transport;

use std::fmt;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use self::dial::Dialing;
use self::exchange::Request;
use self::pool::{Pool, Settings};
use self::stats::Stats;
use crate::dns::{AddressPolicy, Overrides, Resolve};
use crate::http::extras::follow::Extras;
use crate::http::extras::own::Header;
use crate::http::wire::head::Version;
use crate::http::wire::request::{Content, Ours, Start, USER_AGENT, check_head};
use crate::http::{Limits, Timeouts, Url};
use crate::tcp::race::attempt_delay;

/// An HTTP/1.1 client with a pool of connections. Clones share the pool.
///
/// Its connections belong to the loop in which they were opened.
///
/// ```
/// # use windlass_net::windlass;
/// use windlass::http::{Client, Reply, Server, Url};
/// # windlass_reactor::doc_real(async {
/// let server = Server::bind("127.0.0.1:0".parse().unwrap())?;
/// let url = Url::parse(&format!("http://{}/", server.local_addr()?)).unwrap();
/// windlass::spawn(server.run(|_request| Reply::bytes(200, "hello")));
///
/// let client = Client::new();
/// let response = client.get(&url).send().await.unwrap();
/// assert_eq!(response.status(), 200);
/// assert_eq!(response.bytes().await.unwrap(), b"hello");
/// # std::io::Result::Ok(()) }).unwrap();
/// ```
#[derive(Clone)]
pub struct Client {
    inner: Rc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) settings: ClientBuilder,
    pub(crate) pool: Rc<Pool>,
    pub(crate) shared_timeouts: timeouts::Shared,
    /// Nothing is to be refused of what all requests have.
    pub(crate) is_sound: bool,
}

impl Client {
    /// A client with the defaults of [`ClientBuilder`]. Needs no loop until it sends.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// let client = windlass::http::Client::new();
    /// # drop(client);
    /// ```
    pub fn new() -> Client {
        ClientBuilder::default().build()
    }

    /// A client with settings of its own.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// use windlass::http::{Client, Redirects};
    /// let client = Client::builder().limit_per_host(6).redirects(Redirects::up_to(10)).build();
    /// # drop(client);
    /// ```
    pub fn builder() -> ClientBuilder {
        ClientBuilder::default()
    }

    /// A GET request.
    ///
    /// ```
    /// # windlass_net::doc_http(async |client, url| {
    /// println!("{}", client.get(url).send().await?.text().await?);
    /// # Ok(()) });
    /// ```
    pub fn get<'a>(&'a self, url: &'a Url) -> Request<'a> {
        self.request("GET", url)
    }

    /// A HEAD request: the answer has no body, whatever its head says.
    ///
    /// ```
    /// # windlass_net::doc_http(async |client, url| {
    /// let response = client.head(url).send().await?;
    /// assert!(response.content_length() > Some(0));
    /// assert_eq!(response.bytes().await?, b"");
    /// # Ok(()) });
    /// ```
    pub fn head<'a>(&'a self, url: &'a Url) -> Request<'a> {
        self.request("HEAD", url)
    }

    /// A POST request.
    ///
    /// ```
    /// # windlass_net::doc_http(async |client, url| {
    /// assert_eq!(client.post(url).body("text").send().await?.status(), 200);
    /// # Ok(()) });
    /// ```
    pub fn post<'a>(&'a self, url: &'a Url) -> Request<'a> {
        self.request("POST", url)
    }

    /// A request with any method but CONNECT.
    ///
    /// ```
    /// # windlass_net::doc_http(async |client, url| {
    /// let heard = client.request("DELETE", url).send().await?.text().await?;
    /// assert!(heard.starts_with("DELETE / HTTP/1.1\r\n"), "{heard}");
    /// # Ok(()) });
    /// ```
    pub fn request<'a>(&'a self, method: &'a str, url: &'a Url) -> Request<'a> {
        Request::new(&self.inner, method, url)
    }

    /// How the connections are doing.
    ///
    /// ```
    /// # windlass_net::doc_http(async |client, url| {
    /// for _ in 0..3 {
    ///     client.get(url).send().await?.drain().await?;
    /// }
    /// let stats = client.stats();
    /// assert_eq!((stats.opened, stats.reused, stats.idle), (1, 2, 1));
    /// # Ok(()) });
    /// ```
    pub fn stats(&self) -> Stats {
        self.inner.pool.stats()
    }
}

impl Default for Client {
    fn default() -> Self {
        Client::new()
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("stats", &self.stats()).finish_non_exhaustive()
    }
}

/// Settings for a [`Client`].
///
/// | setting | default |
/// |---|---|
/// | `limit` | 100 connections in all |
/// | `limit_per_host` | none |
/// | `timeout`, `timeouts` | 5 minutes for an exchange; [`Timeouts::default`] for its phases |
/// | `idle_timeout` | 15 seconds |
/// | `max_lifetime`, `max_requests` | none |
/// | `limits` | [`Limits::default`] |
/// | `resolver` | the system's, with a [`Cache`](crate::dns::Cache) |
/// | `address_policy` | all addresses are allowed |
/// | `attempt_delay` | 250 ms (RFC 8305 8) |
/// | `tls` (with that feature) | Mozilla's authorities |
/// | `proxy` (with that feature) | none |
/// | `redirects` | [`Redirects::none`](crate::http::Redirects::none) |
/// | `user_agent`, `header` | `windlass/` and the version; no other header than each request's own |
/// | `resolve`, `overrides` | every name is where the resolver says |
/// | `decode` (with that feature, or one of its codings) | off: a body is given as it comes |
/// | `cookies` (with that feature) | none are kept |
/// | `retries` (with the feature `retry`) | none |
///
/// The figures are aiohttp's.
///
/// ```
/// # use windlass_net::windlass;
/// use std::time::Duration;
/// use windlass::http::{Client, Redirects};
/// let client = Client::builder()
///     .limit(20)
///     .limit_per_host(2)
///     .timeout(Duration::from_secs(60))
///     .redirects(Redirects::up_to(10))
///     .user_agent("spider/1.0 (+http://example.com/spider)")
///     .build();
/// # drop(client);
/// ```
#[derive(Clone)]
#[must_use = "a builder does nothing until `build`"]
pub struct ClientBuilder {
    pool: Settings,
    pub(super) timeouts: Timeouts,
    pub(super) limits: Limits,
    pub(super) dialing: Dialing,
    user_agent: Vec<u8>,
    /// What every request has that does not say otherwise.
    pub(super) headers: Vec<Header>,
    /// None if it does nothing beyond one exchange.
    pub(super) extras: Option<Rc<Extras>>,
}

impl fmt::Debug for ClientBuilder {
    /// Of the headers, which may be credentials, the names alone.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.headers.iter().map(|(name, _)| name).collect();
        let mut builder = f.debug_struct("ClientBuilder");
        builder.field("pool", &self.pool).field("timeouts", &self.timeouts).field("limits", &self.limits);
        builder.field("dialing", &self.dialing).field("headers", &names);
        builder.field("extras", &self.extras).finish_non_exhaustive()
    }
}

impl Default for ClientBuilder {
    fn default() -> Self {
        ClientBuilder {
            pool: Settings::default(),
            timeouts: Timeouts::default(),
            limits: Limits::default(),
            dialing: Dialing::default(),
            user_agent: USER_AGENT.into(),
            headers: Vec::new(),
            extras: None,
        }
    }
}

impl ClientBuilder {
    /// Connections in all, open or being opened; 0 for no limit. Who finds none free waits in line, as long as the
    /// exchange's time-out lets it.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// use windlass::{http::Client, task::gather_all};
    /// # windlass_net::doc_http(async |_, url| {
    /// let client = Client::builder().limit(2).build();
    /// let ten = (0..10).map(|_| {
    ///     let (client, url) = (client.clone(), url.clone());
    ///     windlass::spawn(async move { client.get(&url).send().await?.drain().await })
    /// });
    /// for outcome in gather_all(ten.collect::<Vec<_>>()).await {
    ///     outcome.unwrap()?;
    /// }
    /// assert_eq!(client.stats().in_use_max, 2);
    /// # Ok(()) });
    /// ```
    pub fn limit(mut self, connections: usize) -> Self {
        self.pool.limit = connections;
        self
    }

    /// Connections to one host and port; 0 for no limit. Whoever waits for one host keeps nobody from another.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// let polite = windlass::http::Client::builder().limit_per_host(2).build();
    /// # drop(polite);
    /// ```
    pub fn limit_per_host(mut self, connections: usize) -> Self {
        self.pool.limit_per_host = connections;
        self
    }

    /// For one exchange, from the wait for a connection to the last byte of the body; none for no limit. Never less, and
    /// longer by what the tasks still do when it begins, as [`timeout`](windlass_reactor::time::timeout) is.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// use std::time::Duration;
    /// use windlass::http::{Client, ErrorKind, Reply, Server, Url};
    /// # windlass_reactor::doc_real(async {
    /// let server = Server::bind("127.0.0.1:0".parse().unwrap())?;
    /// let url = Url::parse(&format!("http://{}/", server.local_addr()?)).unwrap();
    /// windlass::spawn(server.run(|_request| Reply::text(200, "at last").delay(Duration::from_secs(3600))));
    ///
    /// let client = Client::builder().timeout(Duration::from_millis(10)).build();
    /// assert_eq!(client.get(&url).send().await.unwrap_err().kind(), ErrorKind::TimeoutTotal);
    /// # std::io::Result::Ok(()) }).unwrap();
    /// ```
    pub fn timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.timeouts.total = timeout.into();
        self
    }

    /// How long it waits, and for what. It replaces what [`timeout`](ClientBuilder::timeout) said before it.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// use std::time::Duration;
    /// use windlass::http::{Client, Timeouts};
    /// let mut timeouts = Timeouts::default();
    /// timeouts.first_byte = Some(Duration::from_secs(10));
    /// let client = Client::builder().timeouts(timeouts).build();
    /// # drop(client);
    /// ```
    pub fn timeouts(mut self, timeouts: Timeouts) -> Self {
        self.timeouts = timeouts;
        self
    }

    /// After this long without an exchange a connection is closed.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// # use std::time::Duration;
    /// // For servers that close after 5 seconds: never a request that meets a connection just gone.
    /// let client = windlass::http::Client::builder().idle_timeout(Duration::from_secs(4)).build();
    /// # drop(client);
    /// ```
    pub fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.pool.idle_timeout = timeout;
        self
    }

    /// A connection older than this carries no further exchange; none for no limit. A server that moves to another address
    /// is found there after that.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// # use std::time::Duration;
    /// let client = windlass::http::Client::builder().max_lifetime(Duration::from_secs(600)).build();
    /// # drop(client);
    /// ```
    pub fn max_lifetime(mut self, lifetime: impl Into<Option<Duration>>) -> Self {
        self.pool.max_lifetime = lifetime.into();
        self
    }

    /// Exchanges that a connection carries before it is closed; 0 for no limit. With 1, an answer that a server sends too
    /// early can never be taken for another request's.
    ///
    /// The last one says `Connection: close` (RFC 9112 9.6): so it is the server that closes first, and that keeps what has to
    /// be kept of a connection that has ended (`TIME_WAIT`), not the client, whose ports would run out.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// # windlass_net::doc_http(async |_, url| {
    /// let client = windlass::http::Client::builder().max_requests(2).build();
    /// let heard = client.get(url).send().await?.text().await?; // by a server that answers with what it hears
    /// assert!(!heard.contains("Connection:"), "{heard}");
    /// let heard = client.get(url).send().await?.text().await?;
    /// assert!(heard.ends_with("\r\nConnection: close\r\n\r\n"), "{heard}");
    /// assert_eq!((client.stats().opened, client.stats().closed.requests), (1, 1));
    /// # Ok(()) });
    /// ```
    pub fn max_requests(mut self, exchanges: u64) -> Self {
        self.pool.max_requests = exchanges;
        self
    }

    /// How much of everything an answer may have.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// use windlass::http::{Client, Limits};
    /// let mut limits = Limits::default();
    /// limits.body_max = 1_000_000_000; // 10 MiB, if nothing is said
    /// let client = Client::builder().limits(limits).build();
    /// # drop(client);
    /// ```
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// What the requests say for `User-Agent`; `windlass/` and the version, if nothing else is said here. What HTTP does not
    /// allow in a header is refused when a request is sent.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// use windlass::http::Client;
    /// let client = Client::builder().user_agent("spider/1.0 (+http://example.com/spider)").build();
    /// # drop(client);
    /// ```
    pub fn user_agent(mut self, value: impl Into<Vec<u8>>) -> Self {
        self.user_agent = value.into();
        self
    }

    /// A header for every request that has none of this name; several of one name all go out. They come before the
    /// request's own.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// use windlass::http::Client;
    /// let client = Client::builder().header("Accept-Language", "en").header("From", "spider@example.com").build();
    /// # drop(client);
    /// ```
    pub fn header(mut self, name: impl Into<String>, value: impl Into<Vec<u8>>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    pub(super) fn extras(&mut self) -> &mut Extras {
        Rc::make_mut(self.extras.get_or_insert_default())
    }

    /// Who knows the addresses of names. It is asked for each new connection, so it is the place for a
    /// [`Cache`](crate::dns::Cache), which is not put over it.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// use windlass::http::Client;
    /// use windlass::net::dns::{Cache, System};
    /// let client = Client::builder().resolver(Cache::new(System)).build();
    /// # drop(client);
    /// ```
    pub fn resolver(mut self, resolver: impl Resolve + 'static) -> Self {
        self.dialing.resolver = Rc::new(resolver);
        self
    }

    /// `host` with `port` is at these addresses, as [`Overrides::add`] has it; the host `*` is every other one.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// # use std::net::Ipv4Addr;
    /// # use windlass::http::Client;
    /// let client = Client::builder().resolve("example.com", 80, [Ipv4Addr::LOCALHOST.into()]).build();
    /// # drop(client);
    /// ```
    pub fn resolve(mut self, host: &str, port: u16, addresses: impl Into<Vec<IpAddr>>) -> Self {
        self.dialing.overrides.add(host, port, addresses.into());
        self
    }

    /// All hosts that are somewhere else than their names say, in place of those before.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// use std::net::Ipv4Addr;
    /// use windlass::{http::Client, net::dns::Overrides};
    /// let mut here = Overrides::new();
    /// here.add("*", 80, vec![Ipv4Addr::LOCALHOST.into()]);
    /// let client = Client::builder().overrides(here).build();
    /// # drop(client);
    /// ```
    pub fn overrides(mut self, overrides: Overrides) -> Self {
        self.dialing.overrides = overrides;
        self
    }

    /// Which addresses may be connected to, also of a redirect, a name or an override. A host that has only others is an
    /// error of kind [`Other`](crate::http::ErrorKind::Other), whose source is a [`DeniedAddress`](crate::dns::DeniedAddress).
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// use windlass::http::{Client, Url};
    /// use windlass::net::dns::AddressPolicy;
    /// # windlass_reactor::doc_real(async {
    /// let crawler = Client::builder().address_policy(AddressPolicy::PublicOnly).build();
    /// let url = Url::parse("http://169.254.169.254/latest/meta-data/").unwrap();
    /// let error = crawler.get(&url).send().await.unwrap_err();
    /// assert!(error.to_string().ends_with("address policy: 169.254.169.254 is link-local (169.254.0.0/16)"));
    /// # });
    /// ```
    pub fn address_policy(mut self, policy: AddressPolicy) -> Self {
        self.dialing.policy = policy;
        self
    }

    /// How long one address of a host may take before the next is tried as well: 100 ms to 2 s; what is beyond that
    /// means the nearer of the two (RFC 8305 8).
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// # use std::time::Duration;
    /// let hasty = windlass::http::Client::builder().attempt_delay(Duration::from_millis(100)).build();
    /// # drop(hasty);
    /// ```
    pub fn attempt_delay(mut self, delay: Duration) -> Self {
        self.dialing.attempt_delay = attempt_delay(delay);
        self
    }

    /// Makes the client.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// let client = windlass::http::Client::builder().build(); // as `Client::new()`
    /// # drop(client);
    /// ```
    pub fn build(self) -> Client {
        let (pool, shared_timeouts) = (Pool::new(self.pool.clone()), self.timeouts.share());
        let start = Start { method: "GET", target: "/", version: Version::Http11, host: "" };
        let ours = Ours { user_agent: &self.user_agent, ..Ours::default() };
        let is_sound = check_head(&start, ours, &self.headers, Content::None).is_ok();
        Client { inner: Rc::new(Inner { settings: self, pool, shared_timeouts, is_sound }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_debug_prints_of_a_builder_has_no_value_of_a_header() {
        let printed = format!("{:?}", Client::builder().header("Authorization", "hunter2").user_agent("u"));
        let bytes = format!("{:?}", b"hunter2");
        assert!(printed.contains("Authorization") && !printed.contains("hunter2") && !printed.contains(&bytes));
    }
}
