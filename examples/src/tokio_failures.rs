//! What failed, on tokio's side.
//!
//! hyper and reqwest have errors of their own, one type for everything, and a chain of causes below it. Programs that put
//! them beside this library's client want one set of names for both.
//!
//! ```text
//!     reqwest::Error ─► its causes ─► hyper::Error ─► io::Error
//!           │                              │              │
//!           └── timed out, redirect ... ───┴── protocol ──┴── reset, truncated ──► ErrorKind
//! ```
//!
//! The library of this folder does not compile this file, for it would have to bring hyper along: the programs that have
//! hyper anyway take it in by its path.
//! Not here: this library's own errors (`windlass::http::Error`).   Next: `links`.

use std::{error::Error as _, io, iter};

use windlass::http::{Error, ErrorKind};

/// Our name for hyper's error.
pub(crate) fn kind_of_hyper(error: &hyper::Error) -> ErrorKind {
    let kind = error.source().and_then(|source| source.downcast_ref::<io::Error>()).map(io::Error::kind);
    match kind {
        Some(io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionAborted) => {
            ErrorKind::Reset
        }
        Some(io::ErrorKind::UnexpectedEof) => ErrorKind::Truncated,
        _ if error.is_incomplete_message() => ErrorKind::Truncated,
        _ if error.is_parse_too_large() => ErrorKind::TooLarge,
        Some(io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput) => ErrorKind::Protocol,
        _ if error.is_parse() => ErrorKind::Protocol,
        _ => ErrorKind::Other,
    }
}

/// Puts reqwest's error under our name for it, with the last of its causes.
pub(crate) fn of_reqwest(error: &reqwest::Error) -> Error {
    let causes: Vec<_> = iter::successors(error.source(), |error| (*error).source()).collect();
    let below = causes.iter().find_map(|cause| cause.downcast_ref::<hyper::Error>());
    let kind = match below {
        _ if error.is_timeout() => ErrorKind::TimeoutTotal,
        // Its type is not public: what it says is all that tells it from a connection that failed.
        _ if error.is_connect() && causes.iter().any(|cause| cause.to_string() == "dns error") => ErrorKind::Resolve,
        _ if error.is_connect() => ErrorKind::Connect,
        _ if error.is_redirect() => ErrorKind::Redirect,
        Some(error) => kind_of_hyper(error),
        None => ErrorKind::Other,
    };
    match causes.last() {
        Some(last) => Error::new(kind, format!("{error}: {last}")),
        None => Error::new(kind, error.to_string()),
    }
}
