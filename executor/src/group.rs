//! Many tasks as one.
//! One task is spawned, awaited, cancelled; the chapters below do that with many, each with another promise about what the
//! end of one means for the others.
//!
//! ```text
//!   handles      other ways to hold one task        AbortHandle, Shared, on_done
//!   set          ends are yielded as they come      JoinSet
//! ```
//!
//! Next: `set`.

pub(crate) mod handles;
pub(crate) mod set;
