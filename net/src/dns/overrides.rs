//! Addresses that are given for a host and port, so that nobody is asked for them.
//! For a test against a server that has no name yet, or has another one: curl's `--resolve`.
//!
//! ```text
//!   (example.com, 443) ──► example.com:443? ──► *:443? ──► the resolver
//!                              └─ its addresses   └─ its addresses
//! ```
//!
//! Next: `policy`, which judges these addresses like any others.

use std::collections::HashMap;
use std::error::Error;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use super::normal;

/// Which hosts are somewhere else than their names say. A host that is an address may be one of them.
///
/// ```
/// # use windlass_net::windlass;
/// use windlass::net::dns::Overrides;
/// let mut overrides = Overrides::new();
/// overrides.parse("example.com:80:127.0.0.1,[::1]")?;
/// overrides.parse("*:8080:10.0.0.1")?;
/// assert_eq!(overrides.get("Example.com", 80).map(<[_]>::len), Some(2));
/// assert!(overrides.get("example.org", 8080).is_some());
/// assert!(overrides.get("example.org", 80).is_none());
/// # Ok::<(), windlass::net::dns::OverrideError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Overrides {
    hosts: HashMap<Box<str>, Vec<(u16, Vec<IpAddr>)>>,
}

impl Overrides {
    /// None yet.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// assert!(windlass::net::dns::Overrides::new().get("example.com", 80).is_none());
    /// ```
    pub fn new() -> Self {
        Self::default()
    }

    /// `host` with `port` is at `addresses`, whatever was said of it before. The host `*` stands for every other one.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// # use windlass::net::dns::Overrides;
    /// let mut overrides = Overrides::new();
    /// overrides.add("example.com", 80, vec!["127.0.0.1".parse().unwrap()]);
    /// assert!(overrides.get("example.com", 80).unwrap()[0].is_loopback());
    /// ```
    pub fn add(&mut self, host: &str, port: u16, addresses: Vec<IpAddr>) {
        let ports = self.hosts.entry(normal(host)).or_default();
        ports.retain(|(other, _)| *other != port);
        ports.push((port, addresses));
    }

    /// Adds what is written as curl's `--resolve` has it: `HOST:PORT:ADDRESS[,ADDRESS]...`, where the host may be `*`, and
    /// an IPv6 address may stand in brackets and as a host must. A `+` before it, which has curl forget the entry in
    /// time, changes nothing here; `-HOST:PORT` takes away what was added before.
    ///
    /// # Errors
    /// [`OverrideError`] if it is written in another way; nothing is changed then.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// # use windlass::net::dns::Overrides;
    /// let mut overrides = Overrides::new();
    /// overrides.parse("example.com:80:[::1]")?;
    /// let error = overrides.parse("example.com:http:127.0.0.1").unwrap_err();
    /// assert_eq!(error.to_string(), "override: the port is not a number up to 65535");
    /// # Ok::<(), windlass::net::dns::OverrideError>(())
    /// ```
    pub fn parse(&mut self, written: &str) -> Result<(), OverrideError> {
        let (host, rest) = split_host(written.strip_prefix(['+', '-']).unwrap_or(written))?;
        let (port, addresses) = rest.split_once(':').unwrap_or((rest, ""));
        if port.is_empty() || !port.bytes().all(|b| b.is_ascii_digit()) {
            return Err(OverrideError("the port is not a number up to 65535"));
        }
        let port = port.parse().map_err(|_| OverrideError("the port is not a number up to 65535"))?;
        if written.starts_with('-') {
            self.remove(&host, port);
        } else {
            self.add(&host, port, addresses.split(',').map(parse_address).collect::<Result<_, _>>()?);
        }
        Ok(())
    }

    fn remove(&mut self, host: &str, port: u16) {
        if let Some(ports) = self.hosts.get_mut(&normal(host)) {
            ports.retain(|(other, _)| *other != port);
        }
    }

    /// The addresses given for `host` with `port`; none if a resolver is to be asked.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// # use windlass::net::dns::Overrides;
    /// let mut overrides = Overrides::new();
    /// overrides.add("*", 80, vec!["127.0.0.1".parse().unwrap()]);
    /// assert!(overrides.get("127.0.0.2", 80).is_some());
    /// ```
    pub fn get(&self, host: &str, port: u16) -> Option<&[IpAddr]> {
        if self.hosts.is_empty() {
            return None; // as nearly always
        }
        let of = |host: &str| self.hosts.get(host)?.iter().find(|(other, _)| *other == port);
        of(&normal(host)).or_else(|| of("*")).map(|(_, addresses)| &**addresses)
    }
}

/// The host, without brackets and with an address as std writes it, and what follows its colon.
fn split_host(written: &str) -> Result<(String, &str), OverrideError> {
    let Some(inner) = written.strip_prefix('[') else {
        let (host, rest) = written.split_once(':').ok_or(OverrideError("it is not HOST:PORT:ADDRESS"))?;
        return if host.is_empty() { Err(OverrideError("no host")) } else { Ok((host.into(), rest)) };
    };
    let (host, rest) = inner.split_once("]:").ok_or(OverrideError("it is not HOST:PORT:ADDRESS"))?;
    let host: Ipv6Addr = host.parse().map_err(|_| OverrideError("what is in brackets is not an IPv6 address"))?;
    Ok((host.to_string(), rest))
}

fn parse_address(written: &str) -> Result<IpAddr, OverrideError> {
    let in_brackets = written.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let parsed = match in_brackets {
        Some(inner) => inner.parse::<Ipv6Addr>().map(IpAddr::V6),
        None => written.parse(),
    };
    parsed.map_err(|_| OverrideError("what it gives is not an IP address"))
}

/// What is wrong with an override as it is written.
///
/// ```
/// # use windlass_net::windlass;
/// let error = windlass::net::dns::Overrides::new().parse("example.com").unwrap_err();
/// assert_eq!(error.to_string(), "override: it is not HOST:PORT:ADDRESS");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OverrideError(&'static str);

impl fmt::Display for OverrideError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "override: {}", self.0)
    }
}

impl Error for OverrideError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn overrides(written: &[&str]) -> Overrides {
        let mut overrides = Overrides::new();
        written
            .iter()
            .for_each(|written| overrides.parse(written).unwrap_or_else(|error| panic!("{written}: {error}")));
        overrides
    }

    fn get(overrides: &Overrides, host: &str, port: u16) -> Option<String> {
        let addresses = overrides.get(host, port)?;
        Some(addresses.iter().map(IpAddr::to_string).collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn a_host_is_overridden_with_its_port_alone() {
        let table = overrides(&["a.com:80:10.0.0.1", "a.com:81:10.0.0.2", "b.com:80:10.0.0.3"]);
        for (host, port, found) in [("a.com", 80, "10.0.0.1"), ("a.com", 81, "10.0.0.2"), ("b.com", 80, "10.0.0.3")] {
            assert_eq!(get(&table, host, port).as_deref(), Some(found));
        }
        assert_eq!((get(&table, "a.com", 82), get(&table, "c.com", 80)), (None, None));
    }

    #[test]
    fn the_star_is_for_every_host_that_has_no_entry_of_its_own_with_that_port() {
        let table = overrides(&["*:80:10.0.0.1", "a.com:80:10.0.0.2", "b.com:81:10.0.0.3"]);
        for (host, found) in [("a.com", "10.0.0.2"), ("b.com", "10.0.0.1"), ("c.com", "10.0.0.1"), ("::1", "10.0.0.1")]
        {
            assert_eq!(get(&table, host, 80).as_deref(), Some(found), "{host}");
        }
        assert_eq!(get(&table, "a.com", 81), None);
    }

    #[test]
    fn neither_case_nor_a_dot_at_the_end_makes_another_host() {
        let table = overrides(&["A.com.:80:10.0.0.1"]);
        for host in ["a.com", "a.COM", "a.com."] {
            assert!(table.get(host, 80).is_some(), "{host}");
        }
    }

    #[test]
    fn several_addresses_of_both_families_keep_their_order() {
        let table = overrides(&["a.com:80:[::1],10.0.0.1,2001:db8::1,[::2]", "[0:0::1]:443:10.0.0.2", "b.com:80:::1"]);
        assert_eq!(get(&table, "a.com", 80).unwrap(), "::1 10.0.0.1 2001:db8::1 ::2");
        assert_eq!(get(&table, "::1", 443).unwrap(), "10.0.0.2");
        assert_eq!(get(&table, "b.com", 80).unwrap(), "::1");
    }

    #[test]
    fn the_last_word_counts_and_a_minus_takes_it_back() {
        let mut table = overrides(&["a.com:80:10.0.0.1", "+a.com:80:10.0.0.2", "a.com:81:10.0.0.3"]);
        assert_eq!(get(&table, "a.com", 80).unwrap(), "10.0.0.2");
        table.parse("-a.com:80").unwrap();
        table.parse("-a.com:80:10.0.0.2").unwrap();
        table.parse("-nobody.com:80").unwrap();
        assert_eq!((get(&table, "a.com", 80), get(&table, "a.com", 81).as_deref()), (None, Some("10.0.0.3")));
    }

    #[test]
    fn what_is_written_in_another_way_is_refused_and_changes_nothing() {
        for (written, why) in [
            ("", "it is not HOST:PORT:ADDRESS"),
            ("a.com", "it is not HOST:PORT:ADDRESS"),
            ("[::1]", "it is not HOST:PORT:ADDRESS"),
            (":80:10.0.0.1", "no host"),
            ("[a.com]:80:10.0.0.1", "what is in brackets is not an IPv6 address"),
            ("[fe80::1%lo]:80:10.0.0.1", "what is in brackets is not an IPv6 address"),
            ("a.com::10.0.0.1", "the port is not a number up to 65535"),
            ("a.com:+80:10.0.0.1", "the port is not a number up to 65535"),
            ("a.com:65536:10.0.0.1", "the port is not a number up to 65535"),
            ("a.com:80", "what it gives is not an IP address"),
            ("a.com:80:", "what it gives is not an IP address"),
            ("a.com:80:10.0.0.1,", "what it gives is not an IP address"),
            ("a.com:80:127.1", "what it gives is not an IP address"),
            ("a.com:80:[10.0.0.1]", "what it gives is not an IP address"),
            ("a.com:80:[::1", "what it gives is not an IP address"),
            ("a.com:80:[fe80::1%lo]", "what it gives is not an IP address"),
            ("a.com:80:b.com", "what it gives is not an IP address"),
        ] {
            let mut table = Overrides::new();
            assert_eq!(table.parse(written).unwrap_err().to_string(), format!("override: {why}"), "{written:?}");
            assert_eq!(table, Overrides::new());
        }
    }
}
