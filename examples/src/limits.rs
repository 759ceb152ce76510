//! How much the machine allows.
//!
//! Three limits stop a program with many connections: each connection is a descriptor, each connection to one address
//! takes a local port, and a listener keeps only so many handshakes that nobody has accepted yet.
//!
//! ```text
//!     RLIMIT_NOFILE  soft ──► may be raised to ──► hard         descriptors of one process
//!     ip_local_port_range     first ..= last                    connections to one remote address
//!     somaxconn                                                 handshakes in a listener's queue
//! ```
//!
//! Not here: what a program needs of them, which it works out from its own flags.   Next: [`crate::process`].

use std::{fs, io};

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// How many descriptors this process may have open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Descriptors {
    /// What is enforced now.
    pub soft: u64,
    /// How far the process itself may raise it.
    pub hard: u64,
}

impl Descriptors {
    /// Asks the kernel.
    ///
    /// # Errors
    /// Those of `getrlimit`.
    ///
    /// ```
    /// let allowed = windlass_examples::limits::Descriptors::read()?;
    /// assert!(allowed.soft <= allowed.hard);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn read() -> io::Result<Self> {
        let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
        Ok(Self { soft, hard })
    }

    /// Raises the soft limit to `wanted` or as near as the hard limit allows; never lowers it. Children inherit it.
    ///
    /// # Errors
    /// Those of `setrlimit`.
    pub fn raise(self, wanted: u64) -> io::Result<Self> {
        let soft = wanted.min(self.hard);
        if soft <= self.soft {
            return Ok(self);
        }
        setrlimit(Resource::RLIMIT_NOFILE, soft, self.hard)?;
        Ok(Self { soft, hard: self.hard })
    }
}

/// How many local ports the kernel chooses from; `None` where it does not say.
///
/// ```
/// if let Some(ports) = windlass_examples::limits::local_ports() {
///     assert!(ports > 0);
/// }
/// ```
pub fn local_ports() -> Option<u64> {
    let text = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").ok()?;
    let mut ends = text.split_whitespace().map(str::parse::<u64>);
    let (first, last) = (ends.next()?.ok()?, ends.next()?.ok()?);
    Some(last.saturating_sub(first) + 1)
}

/// How many handshakes a listener may keep waiting (`somaxconn`); `None` where the kernel does not say.
pub fn backlog() -> Option<u64> {
    fs::read_to_string("/proc/sys/net/core/somaxconn").ok()?.trim().parse().ok()
}
