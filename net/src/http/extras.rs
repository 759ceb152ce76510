//! What a client can do beyond one exchange, each in a file of its own; what brings a library along is a feature, too.
//!
//! ```text
//!                       ┌─ retry ── cookies ── follow ◄──┐       tls, proxy
//!   Request ── send ──► │            one exchange        │ ──► on the way to the host
//!       own, auth           └───────────┬────────────────┘
//!       upload: form, json, streams     └ decode, text, json of its answer; timings
//! ```
//!
//! The client knows of them only where they are plugged in: none costs an exchange that does without it more than a look at
//! an `Option`.
//! Not here: the exchange (`client`).   Next: `follow`.

mod auth;
#[cfg(feature = "cookies")]
pub(crate) mod cookies;
#[cfg(feature = "_decode")]
pub mod decode;
pub(crate) mod follow;
mod form;
#[cfg(feature = "json")]
mod json;
pub(crate) mod own;
#[cfg(feature = "proxy")]
pub(crate) mod proxy;
#[cfg(feature = "retry")]
pub(crate) mod retry;
pub(crate) mod streams;
mod text;
pub(crate) mod timings;
#[cfg(feature = "tls")]
pub(crate) mod tls;
pub(crate) mod upload;
