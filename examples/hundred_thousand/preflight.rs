//! Can it work here?
//!
//! A run that dies after eighty thousand requests because the process ran out of descriptors has wasted everybody's
//! time. What the run needs can be worked out before the first request, and most of what is short can be raised.
//!
//! ```text
//!     flags ──► need ──┐
//!                      ├──► enough | raised | short: what, how many, which flag lowers it
//!     machine ─► limit ┘
//! ```
//!
//! Each side has a process of its own, so each is reckoned by itself; the limit is the same for both, since children
//! inherit it.
//! Not here: reading and raising limits, which other programs do too (`windlass_examples::limits`).   Next: `conduct`.

use std::io;

use windlass_examples::{
    figures::thousands,
    limits::{self, Descriptors},
    process,
};

use crate::contract::{ServedBy, Settings};

/// What an engine has open besides its connections and what it inherits: its loop (epoll and eventfd, twice where a
/// runtime has a second driver), the pipe for Ctrl-C, and a name look-up (sockets and files, for up to four at once).
const ENGINE_OWN: u64 = 4 + 2 + 12;

/// The same of the server: its loop, its listener, and one connection that is accepted before another is closed.
const SERVER_OWN: u64 = 4 + 1 + 1;

/// What the machine allows, and what it says when that is too little.
#[derive(Debug)]
pub(crate) struct Preflight {
    /// One line each: what was looked at and found enough, or raised.
    pub(crate) notes: Vec<String>,
    /// One text each: why the run cannot start.
    pub(crate) shortages: Vec<String>,
}

/// What the machine allows, read once.
#[derive(Debug, Clone, Copy)]
struct Machine {
    descriptors: Descriptors,
    /// What this process has open already, which its children may inherit.
    open: u64,
    local_ports: Option<u64>,
    backlog: Option<u64>,
}

/// Reads the limits, raises what is short and may be raised, and tells what cannot be.
///
/// # Errors
/// The limits cannot be read or set.
pub(crate) fn check(settings: Settings, served_by: ServedBy) -> io::Result<Preflight> {
    let mut machine = Machine {
        descriptors: Descriptors::read()?,
        open: process::open_descriptors().unwrap_or(3),
        local_ports: limits::local_ports(),
        backlog: limits::backlog(),
    };
    let found = machine.descriptors;
    machine.descriptors = found.raise(descriptors_needed(settings, machine.open, served_by))?;
    Ok(judge(settings, served_by, found, machine))
}

/// Compares need and limit; `found` is the limit before it was raised.
fn judge(settings: Settings, served_by: ServedBy, found: Descriptors, machine: Machine) -> Preflight {
    let mut notes = Vec::new();
    let mut shortages = Vec::new();
    let connections = settings.connections();

    let needed = descriptors_needed(settings, machine.open, served_by);
    let allowed = machine.descriptors.soft;
    let needed_text = format!(
        "{} descriptors a process ({} connections and {} besides)",
        thousands(needed),
        thousands(connections),
        needed - connections
    );
    if allowed < needed {
        shortages.push(too_few_descriptors(&needed_text, needed - connections, machine.descriptors));
    } else if found.soft < needed {
        notes.push(format!("{needed_text}: raised the limit from {} to {}", found.soft, thousands(allowed)));
    } else {
        notes.push(format!("{needed_text}: the limit is {}", thousands(allowed)));
    }

    match machine.local_ports {
        Some(ports) if ports < connections => shortages.push(format!(
            "too few local ports: {} connections to one address need one each, net.ipv4.ip_local_port_range has {}\n  \
             lower --per-host to at most {}, or widen the range with sysctl",
            thousands(connections),
            thousands(ports),
            thousands(ports)
        )),
        Some(ports) => notes.push(format!("{} local ports: there are {}", thousands(connections), thousands(ports))),
        None => {}
    }

    match machine.backlog {
        Some(backlog) if served_by == ServedBy::Own && backlog < connections => notes.push(format!(
            "a backlog of {}: net.core.somaxconn is {}, so that some connections are made a second later than others; \
             raise it, or lower --per-host to {}",
            thousands(connections),
            thousands(backlog),
            thousands(backlog)
        )),
        Some(backlog) if served_by == ServedBy::Own => {
            notes.push(format!("a backlog of {}: the limit is {}", thousands(connections), thousands(backlog)));
        }
        _ => {}
    }
    Preflight { notes, shortages }
}

fn descriptors_needed(settings: Settings, open: u64, served_by: ServedBy) -> u64 {
    let own = match served_by {
        ServedBy::Own => ENGINE_OWN.max(SERVER_OWN),
        ServedBy::Given => ENGINE_OWN,
    };
    settings.connections() + open + own
}

fn too_few_descriptors(needed_text: &str, besides: u64, limit: Descriptors) -> String {
    let lower = match limit.soft.saturating_sub(besides) {
        0 => "no --per-host is low enough".to_owned(),
        fits => format!("lower --per-host to at most {}", thousands(fits)),
    };
    format!(
        "too few descriptors: this run needs {needed_text}, the limit is {} and may not be raised beyond {}\n  {lower}, \
         or raise the limit with `ulimit -n` before the start",
        thousands(limit.soft),
        thousands(limit.hard),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Settings = Settings::DEFAULT;

    fn machine(descriptors: u64) -> Machine {
        let descriptors = Descriptors { soft: descriptors, hard: descriptors };
        Machine { descriptors, open: 3, local_ports: Some(28_232), backlog: Some(4096) }
    }

    fn judged(settings: Settings, machine: Machine) -> Preflight {
        judge(settings, ServedBy::Own, machine.descriptors, machine)
    }

    #[test]
    fn sixty_four_descriptors_are_too_few_for_a_hundred_connections() {
        let told = judged(PLAIN, machine(64));
        assert_eq!(told.shortages.len(), 1);
        assert!(told.shortages[0].contains("needs 121 descriptors"), "{}", told.shortages[0]);
        assert!(told.shortages[0].contains("--per-host to at most 43"), "{}", told.shortages[0]);
    }

    #[test]
    fn what_the_refusal_proposes_is_accepted() {
        let told = judged(Settings { per_host: 43, ..PLAIN }, machine(64));
        assert!(told.shortages.is_empty(), "{:?}", told.shortages);
    }

    #[test]
    fn a_small_window_needs_no_more_connections_than_it_holds() {
        assert!(judged(Settings { concurrency: 20, ..PLAIN }, machine(64)).shortages.is_empty());
        assert!(judged(Settings { requests: 20, ..PLAIN }, machine(64)).shortages.is_empty());
        assert!(judged(Settings { batch: Some(20), ..PLAIN }, machine(64)).shortages.is_empty());
    }

    #[test]
    fn a_raised_limit_is_told() {
        let found = Descriptors { soft: 64, hard: 20_000 };
        let told = judge(PLAIN, ServedBy::Own, found, machine(121));
        assert!(told.shortages.is_empty());
        assert!(told.notes[0].ends_with("raised the limit from 64 to 121"), "{}", told.notes[0]);
    }

    #[test]
    fn fewer_local_ports_than_connections_are_refused() {
        let told = judged(PLAIN, Machine { local_ports: Some(50), ..machine(20_000) });
        assert!(told.shortages[0].contains("--per-host to at most 50"), "{}", told.shortages[0]);
    }

    #[test]
    fn a_short_backlog_is_told_but_not_refused_since_handshakes_are_repeated() {
        let told = judged(PLAIN, Machine { backlog: Some(10), ..machine(20_000) });
        assert!(told.shortages.is_empty());
        assert!(told.notes.iter().any(|note| note.contains("somaxconn is 10")));
    }
}
