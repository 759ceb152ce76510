//! Which addresses may be connected to.
//! A crawler follows links of strangers, and a stranger's name may have the address of a machine behind our own fire wall:
//! the router, a database, the service that hands out a cloud's credentials. The name tells nothing. So what is judged is
//! the address, after the last step that could change it:
//!
//! ```text
//!   name ──► resolver, overrides ──► addresses ──► check ──┬─► connect(2) to that very address
//!                                                          └─► denied: "127.0.0.1 is loopback (127.0.0.0/8)"
//! ```
//!
//! The tables are IANA's registries of special-purpose addresses, and what there is not reachable from everywhere is
//! denied. Of IPv6 only 2000::/3 is in public use at all, so everything else is denied whether it has a name or not, but
//! for the two forms that stand for an IPv4 address, which are judged by that. Forms of tunnels that are history (6to4,
//! Teredo, IPv4-compatible) are denied whatever they hold, and so is the NAT64 prefix of a local network, which has the
//! IPv4 address in one of several places.
//!
//! Left out: what looks like any other public address, such as a NAT64 prefix of a network's own, or the services that
//! some clouds have at public addresses (168.63.129.16 is one).   Next: `dial` in `http`, which asks.

use std::error::Error;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::tcp::race::in_turn;

/// Addresses that are tried for one connection. A name may have thousands, whoever owns it; the resolver's cache begins
/// with others the next time.
const TRIED_MAX: usize = 16;

/// Which addresses may be connected to.
///
/// It is asked about the very addresses that are connected to, each time, wherever they come from: written in the URL,
/// from a resolver, or from an override.
///
/// ```
/// # use windlass_net::windlass;
/// use windlass::net::dns::AddressPolicy;
/// let crawler = AddressPolicy::PublicOnly;
/// assert!(crawler.check("1.1.1.1".parse().unwrap()).is_ok());
/// let denied = crawler.check("::ffff:127.0.0.1".parse().unwrap()).unwrap_err();
/// assert_eq!(denied.to_string(), "::ffff:127.0.0.1 is loopback (127.0.0.0/8)");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[non_exhaustive]
pub enum AddressPolicy {
    /// All of them.
    #[default]
    AllowAll,
    /// Only those that are reachable from everywhere: not this machine, not its networks, nothing reserved.
    PublicOnly,
}

impl AddressPolicy {
    /// Judges an address.
    ///
    /// # Errors
    /// [`DeniedAddress`] if it may not be connected to.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// use windlass::net::dns::AddressPolicy;
    /// let metadata = "169.254.169.254".parse().unwrap();
    /// assert!(AddressPolicy::AllowAll.check(metadata).is_ok());
    /// assert!(AddressPolicy::PublicOnly.check(metadata).is_err());
    /// ```
    pub fn check(self, address: IpAddr) -> Result<(), DeniedAddress> {
        let special = match (self, address) {
            (AddressPolicy::AllowAll, _) => None,
            (AddressPolicy::PublicOnly, IpAddr::V4(address)) => special_v4(address),
            (AddressPolicy::PublicOnly, IpAddr::V6(address)) => special_v6(address),
        };
        special.map_or(Ok(()), |range| Err(DeniedAddress { address, range }))
    }

    /// Those that may be tried for one connection, each once: the families in turn (RFC 8305 4), the first one's first.
    pub(crate) fn allowed(self, addresses: &[IpAddr]) -> Result<Vec<IpAddr>, DeniedAddress> {
        let (mut allowed, mut refusal) = (Vec::new(), None);
        for address in in_turn(addresses) {
            match self.check(address) {
                Ok(()) if allowed.contains(&address) => {}
                Ok(()) => allowed.push(address),
                Err(denied) => refusal = refusal.or(Some(denied)),
            }
            if allowed.len() == TRIED_MAX {
                break;
            }
        }
        match refusal {
            Some(denied) if allowed.is_empty() => Err(denied),
            _ => Ok(allowed),
        }
    }
}

/// An address that the [`AddressPolicy`] denies, and in [`Display`](fmt::Display) the range that it is in.
///
/// ```
/// # use windlass_net::windlass;
/// use windlass::net::dns::AddressPolicy;
/// let denied = AddressPolicy::PublicOnly.check("10.1.2.3".parse().unwrap()).unwrap_err();
/// assert_eq!((denied.address().to_string(), denied.range()), ("10.1.2.3".into(), "private (10.0.0.0/8)"));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DeniedAddress {
    address: IpAddr,
    range: &'static str,
}

impl DeniedAddress {
    /// The address.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// # use windlass::net::dns::AddressPolicy;
    /// let denied = AddressPolicy::PublicOnly.check("::1".parse().unwrap()).unwrap_err();
    /// assert!(denied.address().is_loopback());
    /// ```
    pub fn address(&self) -> IpAddr {
        self.address
    }

    /// The range that it is in: what it is for, and its prefix.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// # use windlass::net::dns::AddressPolicy;
    /// let denied = AddressPolicy::PublicOnly.check("fe80::1".parse().unwrap()).unwrap_err();
    /// assert_eq!(denied.range(), "link-local (fe80::/10)");
    /// ```
    pub fn range(&self) -> &'static str {
        self.range
    }
}

impl fmt::Display for DeniedAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is {}", self.address, self.range)
    }
}

impl Error for DeniedAddress {}

/// First address, length of the prefix, name.
type Range<Bits> = (Bits, u32, &'static str);

const fn v4(a: u8, b: u8, c: u8, prefix: u32, name: &'static str) -> Range<u32> {
    (Ipv4Addr::new(a, b, c, 0).to_bits(), prefix, name)
}

const fn v6(first: [u16; 4], prefix: u32, name: &'static str) -> Range<u128> {
    let [a, b, c, d] = first;
    (Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).to_bits(), prefix, name)
}

/// IANA IPv4 Special-Purpose Address Registry: what there is not "globally reachable", with multicast (RFC 5771).
const SPECIAL_V4: &[Range<u32>] = &[
    v4(0, 0, 0, 8, "this network (0.0.0.0/8)"),
    v4(10, 0, 0, 8, "private (10.0.0.0/8)"),
    v4(100, 64, 0, 10, "shared by a provider's customers (100.64.0.0/10)"),
    v4(127, 0, 0, 8, "loopback (127.0.0.0/8)"),
    v4(169, 254, 0, 16, "link-local (169.254.0.0/16)"),
    v4(172, 16, 0, 12, "private (172.16.0.0/12)"),
    v4(192, 0, 0, 24, "for protocols (192.0.0.0/24)"),
    v4(192, 0, 2, 24, "for documentation (192.0.2.0/24)"),
    v4(192, 88, 99, 24, "a relay of 6to4 (192.88.99.0/24)"),
    v4(192, 168, 0, 16, "private (192.168.0.0/16)"),
    v4(198, 18, 0, 15, "for benchmarks (198.18.0.0/15)"),
    v4(198, 51, 100, 24, "for documentation (198.51.100.0/24)"),
    v4(203, 0, 113, 24, "for documentation (203.0.113.0/24)"),
    v4(224, 0, 0, 4, "multicast (224.0.0.0/4)"),
    (u32::MAX, 32, "broadcast (255.255.255.255)"),
    v4(240, 0, 0, 4, "reserved (240.0.0.0/4)"),
];

/// ::ffff:0:0/96: an IPv4 address in a socket for IPv6 (RFC 4291 2.5.5.2).
const MAPPED: Range<u128> = (0xffff << 32, 96, "");
/// 64:ff9b::/96: an IPv4 address behind a NAT64, also one that the network's resolver made up (RFC 6052 2.1).
const NAT64: Range<u128> = v6([0x64, 0xff9b, 0, 0], 96, "");

/// IANA IPv6 Special-Purpose Address Registry, as above; the narrower range first, and everything else last.
const SPECIAL_V6: &[Range<u128>] = &[
    (0, 128, "unspecified (::)"),
    (1, 128, "loopback (::1)"),
    (0, 96, "an IPv4-compatible address (::/96)"),
    v6([0x64, 0xff9b, 1, 0], 48, "a NAT64 of a local network (64:ff9b:1::/48)"),
    v6([0x100, 0, 0, 0], 64, "for discarding (100::/64)"),
    v6([0x2001, 0, 0, 0], 32, "Teredo (2001::/32)"),
    v6([0x2001, 2, 0, 0], 48, "for benchmarks (2001:2::/48)"),
    v6([0x2001, 0, 0, 0], 23, "for protocols (2001::/23)"),
    v6([0x2001, 0xdb8, 0, 0], 32, "for documentation (2001:db8::/32)"),
    v6([0x2002, 0, 0, 0], 16, "6to4 (2002::/16)"),
    v6([0x3fff, 0, 0, 0], 20, "for documentation (3fff::/20)"),
    v6([0xfc00, 0, 0, 0], 7, "private (fc00::/7)"),
    v6([0xfe80, 0, 0, 0], 10, "link-local (fe80::/10)"),
    v6([0xfec0, 0, 0, 0], 10, "site-local (fec0::/10)"),
    v6([0xff00, 0, 0, 0], 8, "multicast (ff00::/8)"),
    (0, 3, UNASSIGNED),
    v6([0x4000, 0, 0, 0], 2, UNASSIGNED),
    v6([0x8000, 0, 0, 0], 1, UNASSIGNED),
];

/// Outside 2000::/3, the only block from which public addresses are given (RFC 4291 2.4, IANA IPv6 Address Space).
const UNASSIGNED: &str = "not in public use (only 2000::/3 is)";

fn special_v4(address: Ipv4Addr) -> Option<&'static str> {
    let is_in = |&&(first, prefix, _): &&Range<u32>| (address.to_bits() ^ first) >> (32 - prefix) == 0;
    SPECIAL_V4.iter().find(is_in).map(|range| range.2)
}

fn special_v6(address: Ipv6Addr) -> Option<&'static str> {
    let bits = address.to_bits();
    let is_in = |&&(first, prefix, _): &&Range<u128>| (bits ^ first) >> (128 - prefix) == 0;
    if is_in(&&MAPPED) || is_in(&&NAT64) {
        return special_v4(Ipv4Addr::from_bits(bits as u32)); // the low 32 bits
    }
    SPECIAL_V6.iter().find(is_in).map(|range| range.2)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The range that an address is denied for; empty if it is not.
    fn range_of(address: &str) -> &'static str {
        let address = address.parse().unwrap_or_else(|_| panic!("{address} is an address"));
        AddressPolicy::PublicOnly.check(address).map_or_else(|denied| denied.range(), |()| "")
    }

    /// The first and the last address of each range, and the neighbours that are in none: written from the registries.
    #[test]
    fn every_range_ends_where_the_registry_says() {
        for (inside, outside, range) in [
            ("0.0.0.0 0.255.255.255", "1.0.0.0", "this network (0.0.0.0/8)"),
            ("10.0.0.0 10.255.255.255", "9.255.255.255 11.0.0.0", "private (10.0.0.0/8)"),
            (
                "100.64.0.0 100.127.255.255",
                "100.63.255.255 100.128.0.0",
                "shared by a provider's customers (100.64.0.0/10)",
            ),
            ("127.0.0.0 127.0.0.1 127.255.255.255", "126.255.255.255 128.0.0.0", "loopback (127.0.0.0/8)"),
            (
                "169.254.0.0 169.254.169.254 169.254.255.255",
                "169.253.255.255 169.255.0.0",
                "link-local (169.254.0.0/16)",
            ),
            ("172.16.0.0 172.31.255.255", "172.15.255.255 172.32.0.0", "private (172.16.0.0/12)"),
            ("192.0.0.0 192.0.0.192 192.0.0.255", "191.255.255.255 192.0.1.0", "for protocols (192.0.0.0/24)"),
            ("192.0.2.0 192.0.2.255", "192.0.1.255 192.0.3.0", "for documentation (192.0.2.0/24)"),
            ("192.88.99.0 192.88.99.255", "192.88.98.255 192.88.100.0", "a relay of 6to4 (192.88.99.0/24)"),
            ("192.168.0.0 192.168.255.255", "192.167.255.255 192.169.0.0", "private (192.168.0.0/16)"),
            ("198.18.0.0 198.19.255.255", "198.17.255.255 198.20.0.0", "for benchmarks (198.18.0.0/15)"),
            ("198.51.100.0 198.51.100.255", "198.51.99.255 198.51.101.0", "for documentation (198.51.100.0/24)"),
            ("203.0.113.0 203.0.113.255", "203.0.112.255 203.0.114.0", "for documentation (203.0.113.0/24)"),
            ("224.0.0.0 239.255.255.255", "223.255.255.255", "multicast (224.0.0.0/4)"),
            ("240.0.0.0 255.255.255.254", "", "reserved (240.0.0.0/4)"),
            ("255.255.255.255", "", "broadcast (255.255.255.255)"),
            ("::", "", "unspecified (::)"),
            ("::1", "", "loopback (::1)"),
            ("::2 ::8.8.8.8 ::ffff:ffff", "", "an IPv4-compatible address (::/96)"),
            (
                "64:ff9b:1:: 64:ff9b:1::8.8.8.8 64:ff9b:1:ffff:ffff:ffff:ffff:ffff",
                "",
                "a NAT64 of a local network (64:ff9b:1::/48)",
            ),
            ("100:: 100::ffff:ffff:ffff:ffff", "", "for discarding (100::/64)"),
            ("2001:: 2001:0:ffff:ffff:ffff:ffff:f7f7:f7f7", "", "Teredo (2001::/32)"),
            ("2001:2:: 2001:2:0:ffff:ffff:ffff:ffff:ffff", "", "for benchmarks (2001:2::/48)"),
            ("2001:1::1 2001:20:: 2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff", "2001:200::", "for protocols (2001::/23)"),
            (
                "2001:db8:: 2001:db8:ffff:ffff:ffff:ffff:ffff:ffff",
                "2001:db7:ffff:ffff:ffff:ffff:ffff:ffff 2001:db9::",
                "for documentation (2001:db8::/32)",
            ),
            (
                "2002:: 2002:7f00:1:: 2002:808:808::1 2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
                "2001:ffff:ffff:ffff:ffff:ffff:ffff:ffff 2003::",
                "6to4 (2002::/16)",
            ),
            (
                "3fff:: 3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff",
                "3ffe:ffff:ffff:ffff:ffff:ffff:ffff:ffff 3fff:1000::",
                "for documentation (3fff::/20)",
            ),
            ("fc00:: fd12:3456:789a::1 fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "", "private (fc00::/7)"),
            ("fe80:: febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "", "link-local (fe80::/10)"),
            ("fec0:: feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "", "site-local (fec0::/10)"),
            ("ff00:: ff02::1 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "", "multicast (ff00::/8)"),
            (
                "::ffff:0:808:808 64:ff9a:: 64:ff9b::1:0:0:0 64:ff9b:2:: 100:0:0:1:: 1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff \
                 4000:: 5f00:: 8000:: fbff:: fe00::",
                "2000:: 3ffe:: 2606:4700:4700::1111 2620:4f:8000::",
                "not in public use (only 2000::/3 is)",
            ),
        ] {
            for address in inside.split_ascii_whitespace() {
                assert_eq!(range_of(address), range, "{address}");
            }
            for address in outside.split_ascii_whitespace() {
                assert_eq!(range_of(address), "", "{address}");
            }
        }
    }

    #[test]
    fn an_address_that_stands_for_another_is_judged_by_that() {
        for (v4, range) in [
            ("127.0.0.1", "loopback (127.0.0.0/8)"),
            ("10.0.0.1", "private (10.0.0.0/8)"),
            ("169.254.169.254", "link-local (169.254.0.0/16)"),
            ("0.0.0.0", "this network (0.0.0.0/8)"),
            ("8.8.8.8", ""),
        ] {
            assert_eq!(range_of(&format!("::ffff:{v4}")), range);
            assert_eq!(range_of(&format!("64:ff9b::{v4}")), range);
        }
        assert_eq!(range_of("64:ff9b::7f00:1"), "loopback (127.0.0.0/8)");
    }

    #[test]
    fn a_public_address_passes_and_without_a_policy_every_one_does() {
        for address in ["1.1.1.1", "8.8.8.8", "93.184.215.14", "192.31.196.1", "2a00:1450:4001:81b::200e"] {
            assert_eq!(range_of(address), "", "{address}");
        }
        for address in ["127.0.0.1", "::1", "fe80::1", "255.255.255.255"] {
            assert!(AddressPolicy::AllowAll.check(address.parse().unwrap()).is_ok());
        }
    }

    fn ips(addresses: &str) -> Vec<IpAddr> {
        addresses.split_ascii_whitespace().map(|address| address.parse().unwrap()).collect()
    }

    fn in_order(addresses: &str, policy: AddressPolicy) -> String {
        match policy.allowed(&ips(addresses)) {
            Ok(addresses) => addresses.iter().map(IpAddr::to_string).collect::<Vec<_>>().join(" "),
            Err(denied) => denied.to_string(),
        }
    }

    #[test]
    fn the_families_take_turns_and_no_address_comes_twice() {
        assert_eq!(in_order("10.0.0.1 ::1 10.0.0.1 ::1 ::2", AddressPolicy::AllowAll), "10.0.0.1 ::1 ::2");
    }

    #[test]
    fn what_the_policy_denies_is_left_out_and_if_nothing_is_left_it_says_why() {
        let policy = AddressPolicy::PublicOnly;
        assert_eq!(in_order("127.0.0.1 1.1.1.1 ::1 2a00::1 10.0.0.1", policy), "1.1.1.1 2a00::1");
        assert_eq!(in_order("127.0.0.1 ::1", policy), "127.0.0.1 is loopback (127.0.0.0/8)");
    }

    #[test]
    fn of_thousands_of_addresses_sixteen_are_tried() {
        let given: String = (1..=2_000).map(|n| format!("1.1.{}.{} 2a00::{n} ", n / 256, n % 256)).collect();
        let tried: Vec<_> = given.split_ascii_whitespace().take(16).collect();
        assert_eq!(in_order(&given, AddressPolicy::PublicOnly), tried.join(" "));
    }
}
