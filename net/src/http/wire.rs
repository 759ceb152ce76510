//! What goes over the wire, as bytes and nothing else.
//!
//! ```text
//!   line ──► head    of a reply, its framing        url ──► where to go
//!     └────► request of ours, or heard by a server  body ── where it ends
//! ```
//!
//! Nothing here owns a socket, awaits anything or reads a clock. Both sides stand on it.
//! Not here: who sends and reads the bytes (`client`, `server`).   Next: `head`.

pub mod body;
pub mod head;
pub(crate) mod line;
pub mod request;
pub(crate) mod url;
