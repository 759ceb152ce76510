//! What if one answer in a hundred is faulty?
//!
//! A client that is only ever measured on good answers is measured on half of its work. With `--faults` the embedded server
//! misbehaves in sixteen ways, by a script that follows from a number; and of every request it is known beforehand how it
//! must end.
//!
//! ```text
//!     seed ──► script ──┬──► server: GET /7 ──► a body cut short
//!                       └──► request 7 must end as `truncated` ──┐
//!              engine ─────► request 7 ended as ... ─────────────┴──► the same? else the run has failed
//! ```
//!
//! A good answer brings each request a body of its own, and every byte of it is held against the script, too.
//!
//! | file | chapter |
//! |---|---|
//! | `script` | which request meets which fault, how it must end, and what it must bring |
//! | `server` | the faults, byte by byte |
//!
//! Next: `script`.

pub(crate) mod script;
pub(crate) mod server;
