//! What servers ask to be told again.
//!
//! ```text
//!   Set-Cookie ──► is it theirs to set? ──► jar ──► whose is it? ──► Cookie, on the requests to that place
//! ```
//!
//! A jar belongs to a client, or to several. Cookies are taken from every answer, also from those that redirect, and each hop
//! of a chain is given its own: what one place set, another is not told. A `Cookie` that the caller sets goes out
//! instead of what the jar has, for as long as redirects leave it on.
//!
//! Which cookie is for whom, the `cookie_store` crate judges (RFC 6265 5.1.3 to 5.4). Beyond that:
//!
//! | refused | why |
//! |---|---|
//! | a `Domain` under which names are sold or given away, as `co.uk` | it would go to all who have one (RFC 6265 5.3, 5.); by the list that the `psl` crate holds |
//! | `Secure` set over http, or what replaces such a cookie | who can change http could change it (6265bis 5.7) |
//! | `__Secure-` and `__Host-` without what these names promise | 6265bis 4.1.3 |
//! | more than 4,096 bytes, more than 50 for a domain, more than 3,000 in all | the least that RFC 6265 6.1 asks for; what is there stays, what is new does not come |
//!
//! A cookie's age is judged by the system's clock, also where the loop's is paused.
//! Not here: keeping a jar in a file.   Next: `follow`, which asks for cookies and hands them in.

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;

use cookie_store::{Cookie, CookieStore, RawCookie};

use super::follow::Call;
use crate::http::client::pool::Slot;
use crate::http::{ClientBuilder, Error, ErrorKind, Url};

/// RFC 6265 6.1, each.
const COOKIE_MAX: usize = 4096;
const DOMAIN_MAX: usize = 50;
const JAR_MAX: usize = if cfg!(test) { 300 } else { 3000 }; // a test fills one

/// Cookies, and whom they are for. Clones are the same jar.
///
/// ```
/// # use windlass_net::windlass;
/// use windlass::http::{Client, CookieJar, Reply, Server, Url};
/// # windlass_reactor::doc_real(async {
/// # let server = Server::bind("127.0.0.1:0".parse().unwrap())?;
/// # let url = Url::parse(&format!("http://{}/", server.local_addr()?)).unwrap();
/// windlass::spawn(server.run(|request| match request.headers().get("cookie") {
///     Some(cookie) => Reply::bytes(200, cookie.to_vec()),
///     None => Reply::bytes(200, "").header("Set-Cookie", "visits=1"),
/// }));
///
/// let jar = CookieJar::new();
/// let client = Client::builder().cookies(&jar).build();
/// client.get(&url).send().await.unwrap();
/// assert_eq!(jar.cookies_for(&url).as_deref(), Some("visits=1"));
/// assert_eq!(client.get(&url).send().await.unwrap().bytes().await.unwrap(), b"visits=1");
/// # std::io::Result::Ok(()) }).unwrap();
/// ```
#[derive(Clone, Default)]
pub struct CookieJar {
    store: Rc<RefCell<CookieStore>>,
}

impl CookieJar {
    /// An empty one.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// assert!(windlass::http::CookieJar::new().is_empty());
    /// ```
    pub fn new() -> CookieJar {
        CookieJar::default()
    }

    /// Puts in a cookie as if `url` had sent it: `name=value`, and attributes as in `Set-Cookie`.
    ///
    /// # Errors
    /// Of kind [`Other`](ErrorKind::Other), if it is no cookie, is not that URL's to set, or does not fit.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// use windlass::http::{CookieJar, Url};
    /// let (jar, url) = (CookieJar::new(), Url::parse("http://a.example.co.uk/")?);
    /// jar.set(&url, "session=1; Domain=example.co.uk; Path=/")?;
    /// assert!(jar.set(&url, "session=1; Domain=co.uk").is_err());
    /// # Ok::<(), windlass_net::http::Error>(())
    /// ```
    pub fn set(&self, url: &Url, cookie: &str) -> Result<(), Error> {
        let asked = parsed(url)?;
        set(&mut self.store.borrow_mut(), &asked, cookie).map_err(|why| Error::new(ErrorKind::Other, why))
    }

    /// What a request to `url` says for `Cookie`: those of longer paths first (RFC 6265 5.4). None if there is nothing to
    /// say.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// use windlass::http::{CookieJar, Url};
    /// let (jar, url) = (CookieJar::new(), Url::parse("http://example.com/a/b")?);
    /// jar.set(&url, "x=1; Path=/")?;
    /// jar.set(&url, "y=2; Path=/a")?;
    /// assert_eq!(jar.cookies_for(&url).as_deref(), Some("y=2; x=1"));
    /// assert_eq!(jar.cookies_for(&Url::parse("http://example.org/")?), None);
    /// # Ok::<(), windlass_net::http::Error>(())
    /// ```
    pub fn cookies_for(&self, url: &Url) -> Option<String> {
        let asked = parsed(url).ok()?;
        let store = self.store.borrow();
        let mut cookies = store.matches(&asked);
        cookies.sort_by(|a, b| b.path.len().cmp(&a.path.len()).then_with(|| a.name().cmp(b.name())));
        let said: Vec<_> = cookies.iter().map(|cookie| format!("{}={}", cookie.name(), cookie.value())).collect();
        Some(said.join("; ")).filter(|said| !said.is_empty())
    }

    /// How many there are, also of those whose time is over.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// assert_eq!(windlass::http::CookieJar::new().len(), 0);
    /// ```
    pub fn len(&self) -> usize {
        self.store.borrow().iter_any().count()
    }

    /// Whether there is none.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// assert!(windlass::http::CookieJar::new().is_empty());
    /// ```
    pub fn is_empty(&self) -> bool {
        self.store.borrow().iter_any().next().is_none()
    }

    /// Forgets all.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// use windlass::http::{CookieJar, Url};
    /// let jar = CookieJar::new();
    /// jar.set(&Url::parse("http://example.com/")?, "x=1")?;
    /// jar.clear();
    /// assert!(jar.is_empty());
    /// # Ok::<(), windlass_net::http::Error>(())
    /// ```
    pub fn clear(&self) {
        self.store.borrow_mut().clear();
    }
}

impl fmt::Debug for CookieJar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CookieJar").field("len", &self.len()).finish_non_exhaustive()
    }
}

impl ClientBuilder {
    /// Keeps the servers' cookies in `jar`, and sends them with the requests that they are for.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// use windlass::http::{Client, CookieJar};
    /// let client = Client::builder().cookies(&CookieJar::new()).build();
    /// # drop(client);
    /// ```
    pub fn cookies(mut self, jar: &CookieJar) -> Self {
        self.extras().cookies = Some(jar.clone());
        self
    }
}

/// Whether the jar has added a header to a request.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Lent {
    Nothing,
    Cookies,
}

impl Call<'_> {
    /// Adds what the jar has for `url`, if the caller says nothing of cookies.
    pub(crate) fn lend_cookies(&mut self, url: &Url) -> Lent {
        let Some(jar) = self.extras.cookies.as_ref().filter(|_| !self.request.own().says("cookie")) else {
            return Lent::Nothing;
        };
        let Some(cookies) = jar.cookies_for(url) else { return Lent::Nothing };
        self.request.own().headers.push(("Cookie".to_owned(), cookies.into_bytes()));
        Lent::Cookies
    }

    /// Takes them off again, and takes those of the answer in.
    pub(crate) fn take_cookies(&mut self, lent: Lent, url: &Url, answer: Option<&Slot>) {
        if lent == Lent::Cookies {
            self.request.own().headers.pop();
        }
        let (Some(jar), Some(connection)) = (&self.extras.cookies, answer.map(Slot::connection)) else {
            return;
        };
        let Ok(asked) = parsed(url) else { return };
        for line in connection.head.fields(&connection.bytes).get_all("set-cookie").take(DOMAIN_MAX) {
            if let Ok(line) = std::str::from_utf8(line) {
                // Whatever a server may not set is not set, and no reason to do without its answer.
                let _refused = set(&mut jar.store.borrow_mut(), &asked, line);
            }
        }
    }
}

/// The URL in the words of the crate that judges.
fn parsed(url: &Url) -> Result<url::Url, Error> {
    url::Url::parse(url.as_str()).map_err(|error| Error::new(ErrorKind::Other, "cookie: url").with_source(error))
}

fn set(store: &mut CookieStore, asked: &url::Url, line: &str) -> Result<(), &'static str> {
    // A value that cannot be said again would spoil every request to come.
    if line.chars().any(|c| c.is_control() && c != '\t') {
        return Err("cookie: it cannot be sent");
    }
    let mut raw = RawCookie::parse(line).map_err(|_| "cookie: it is none")?;
    if raw.name().len() + raw.value().len() > COOKIE_MAX {
        return Err("cookie: longer than 4096 bytes");
    }
    match goes_to(&raw, asked) {
        GoesTo::ItsDomain => {}
        GoesTo::ItsHost => raw.unset_domain(),
        GoesTo::TooMany => return Err("cookie: its domain is a public suffix"),
        GoesTo::Nobody => return Err("cookie: its domain is no name"),
    }
    let cookie = Cookie::try_from_raw_cookie(&raw, asked).map_err(|_| "cookie: it is none")?.into_owned();
    let is_secure = asked.scheme() == "https";
    if !is_secure && (cookie.secure() == Some(true) || replaces_secure(store, &cookie)) {
        return Err("cookie: over http it may not be secure");
    }
    if !keeps_promise(&cookie) {
        return Err("cookie: it is not what its name promises");
    }
    let domain = String::from(&cookie.domain);
    if !cookie.is_expired() && !store.contains_any(&domain, &cookie.path, cookie.name()) {
        make_room(store, &domain)?;
    }
    store.insert(cookie, asked).map(drop).map_err(|_| "cookie: it is not this server's to set")
}

enum GoesTo {
    ItsDomain,
    ItsHost,
    TooMany,
    Nobody,
}

/// A domain under which names are sold or given away stands for none but a host of that very name (RFC 6265 5.3, 5.).
fn goes_to(cookie: &RawCookie<'_>, asked: &url::Url) -> GoesTo {
    // Trimmed as `cookie_store` will trim it: what is judged here must be what is compared there.
    let Some(domain) = cookie.domain().map(str::trim).filter(|domain| !domain.is_empty()) else {
        return GoesTo::ItsDomain; // it has none
    };
    match url::Host::parse(domain) {
        Ok(url::Host::Domain(domain)) if !is_public_suffix(&domain) => GoesTo::ItsDomain,
        Ok(url::Host::Domain(domain)) if asked.host_str() == Some(&*domain) => GoesTo::ItsHost,
        Ok(url::Host::Domain(_)) => GoesTo::TooMany,
        Ok(_address) => GoesTo::ItsDomain,
        Err(_) => GoesTo::Nobody,
    }
}

/// By the list, which knows no dot at the end of a name.
fn is_public_suffix(domain: &str) -> bool {
    let name = domain.strip_suffix('.').unwrap_or(domain);
    psl::suffix_str(name) == Some(name)
}

/// Whether a cookie of this name that came over https would no longer be sent.
fn replaces_secure(store: &CookieStore, cookie: &Cookie<'_>) -> bool {
    let replaces = |kept: &Cookie<'_>| kept.name() == cookie.name() && kept.domain.as_cow() == cookie.domain.as_cow();
    store.iter_any().any(|kept| kept.secure() == Some(true) && replaces(kept) && !kept.is_expired())
}

/// What the prefixes of names promise (6265bis 4.1.3).
fn keeps_promise(cookie: &Cookie<'_>) -> bool {
    let begins = |prefix: &str| cookie.name().get(..prefix.len()).is_some_and(|name| name.eq_ignore_ascii_case(prefix));
    let is_secure = cookie.secure() == Some(true);
    if begins("__Host-") {
        return is_secure && cookie.domain().is_none() && cookie.path() == Some("/");
    }
    is_secure || !begins("__Secure-")
}

/// A place for one more of this domain; if need be, that of those whose time is over.
fn make_room(store: &mut CookieStore, domain: &str) -> Result<(), &'static str> {
    let is_full = |store: &CookieStore| {
        let (mut all, mut of_domain) = (0, 0);
        for cookie in store.iter_any() {
            (all, of_domain) = (all + 1, of_domain + usize::from(cookie.domain.as_cow().as_deref() == Some(domain)));
        }
        of_domain >= DOMAIN_MAX || all >= JAR_MAX
    };
    if is_full(store) {
        let expired = store.iter_any().filter(|cookie| cookie.is_expired());
        let expired: Vec<_> = expired
            .map(|cookie| (String::from(&cookie.domain), String::from(&cookie.path), cookie.name().to_owned()))
            .collect();
        for (domain, path, name) in expired {
            store.remove(&domain, &path, &name);
        }
    }
    if is_full(store) { Err("cookie: the jar is full") } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    /// What `to` is told, after `from` has set `cookie`; or why it may not.
    fn told(from: &str, cookie: &str, to: &str) -> String {
        let jar = CookieJar::new();
        match jar.set(&url(from), cookie) {
            Ok(()) => jar.cookies_for(&url(to)).unwrap_or_default(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn a_cookie_goes_back_to_where_it_came_from_and_to_nobody_else() {
        let told = |cookie, to| told("http://a.example.com/x/y", cookie, to);
        for (cookie, to, expected) in [
            ("k=v", "http://a.example.com/x/", "k=v"),
            ("k=v", "http://a.example.com/", ""),
            ("k=v", "http://a.example.com/xy", ""),
            ("k=v", "http://A.example.com:81/x/z", "k=v"), // by the RFC, ports are no border
            ("k=v", "http://example.com/x/", ""),
            ("k=v", "http://b.a.example.com/x/", ""),
            ("k=v; Path=/", "http://a.example.com/", "k=v"),
            ("k=v; Path=/z", "http://a.example.com/x/", ""),
            ("k=v; Domain=example.com; Path=/", "http://b.example.com/", "k=v"),
            ("k=v; Domain=.example.com; Path=/", "http://example.com/", "k=v"),
            ("k=v; Domain=example.com; Path=/", "http://badexample.com/", ""),
            ("k=v; Domain=example.com; Path=/", "http://example.com.evil.org/", ""),
            ("k=v; Max-Age=0", "http://a.example.com/x/", ""),
            ("k=v; Expires=Thu, 01 Jan 1970 00:00:00 GMT", "http://a.example.com/x/", ""),
            ("k=v; HttpOnly; SameSite=Strict", "http://a.example.com/x/", "k=v"),
        ] {
            let told = told(cookie, to);
            assert!(
                told == expected || (expected.is_empty() && told.starts_with("cookie: ")),
                "{cookie} to {to}: {told}"
            );
        }
    }

    #[test]
    fn what_is_not_theirs_to_set_is_refused() {
        for (from, cookie) in [
            ("http://a.example.com/", "k=v; Domain=b.example.com"),
            ("http://a.example.com/", "k=v; Domain=com"),
            ("http://a.example.co.uk/", "k=v; Domain=co.uk"),
            ("http://a.example.co.uk/", "k=v; Domain=.CO.UK"),
            ("http://a.xn--55qx5d.cn/", "k=v; Domain=\u{516c}\u{53f8}.cn"),
            ("http://a.xn--55qx5d.cn/", "k=v; Domain=xn--55qx5d.cn"),
            ("http://a.github.io/", "k=v; Domain=github.io"),
            ("http://a.example.co.uk/", "k=v; Domain=. co.uk"),
            ("http://a.example.co.uk/", "k=v; Domain=.\tco.uk"),
            ("http://a.example.co.uk/", "k=v; Domain=.\u{a0}co.uk"),
            ("http://a.example.co.uk/", "k=v; Domain=..co.uk"),
            ("http://a.example.com./", "k=v; Domain=com."),
            ("http://a.example.com./", "k=v; Domain=com"),
            ("http://a.localhost/", "k=v; Domain=localhost"),
            ("http://10.0.0.1/", "k=v; Domain=0.0.1"),
            ("http://example.com/", "k=v; Secure"),
            ("http://example.com/", "__Host-k=v; Secure; Path=/"),
            ("http://example.com/", "__secure-k=v"),
            ("http://example.com/", "k=a\u{1}b"),
            ("http://example.com/", "=v"),
            ("http://example.com/", ""),
        ] {
            assert!(told(from, cookie, from).starts_with("cookie: "), "{from}: {cookie}");
        }
        assert_eq!(told("http://co.uk/", "k=v; Domain=co.uk", "http://co.uk/"), "k=v"); // its own
        assert_eq!(told("http://co.uk/", "k=v; Domain=co.uk", "http://a.co.uk/"), "");
        assert_eq!(told("http://10.0.0.1/", "k=v; Domain=10.0.0.1", "http://10.0.0.1/"), "k=v");
    }

    #[test]
    #[cfg(feature = "tls")]
    fn what_is_secure_is_not_said_over_http_and_not_replaced_from_there() {
        let (safe, open) = (url("https://example.com/"), url("http://example.com/"));
        let jar = CookieJar::new();
        jar.set(&safe, "k=v; Secure").unwrap();
        jar.set(&safe, "__Host-k=v; Secure; Path=/").unwrap();
        assert_eq!(jar.cookies_for(&open), None);
        assert_eq!(jar.cookies_for(&safe).as_deref(), Some("__Host-k=v; k=v"));
        jar.set(&open, "k=evil; Path=/x").unwrap_err();
        for cookie in ["__Host-k=v; Path=/", "__Host-k=v; Secure", "__Host-k=v; Secure; Path=/; Domain=example.com"] {
            jar.set(&safe, cookie).unwrap_err();
        }
    }

    #[test]
    fn a_jar_has_room_for_so_many_and_those_whose_time_is_over_make_room() {
        let (jar, here) = (CookieJar::new(), url("http://example.com/"));
        for n in 0..DOMAIN_MAX {
            jar.set(&here, &format!("k{n}=v")).unwrap();
        }
        jar.set(&here, "one_more=v").unwrap_err();
        jar.set(&here, "k7=w").unwrap(); // in place of the one that is there
        jar.set(&here, "k8=; Max-Age=0").unwrap();
        jar.set(&here, "one_more=v").unwrap();
        assert_eq!(jar.len(), DOMAIN_MAX);
        jar.set(&url("http://example.org/"), &format!("k={}", "v".repeat(COOKIE_MAX - 1))).unwrap();
        jar.set(&url("http://example.org/"), &format!("l={}", "v".repeat(COOKIE_MAX))).unwrap_err();
        for n in jar.len()..JAR_MAX {
            jar.set(&url(&format!("http://{n}.example.net/")), "k=v").unwrap();
        }
        jar.set(&url("http://example.edu/"), "k=v").unwrap_err();
        assert_eq!(jar.len(), JAR_MAX);
    }
}
