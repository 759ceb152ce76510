//! Many tasks as one.
//! One task is spawned, awaited, cancelled; the chapters below do that with many, each with another promise about what the
//! end of one means for the others.
//!
//! ```text
//!   handles      other ways to hold one task        AbortHandle, Shared, on_done
//!   set          ends are yielded as they come      JoinSet
//!   gather       all outputs, in their order        gather, try_gather, gather_all
//!   wait         some ends, and nobody is ended     as_completed, wait
//!   branches     futures side by side in one task   join, try_join, race
//!   task_group   one failure is everybody's         group, TaskGroup
//!   error        several failures as one            ErrorGroup
//! ```
//!
//! Next: `set`.

pub(crate) mod branches;
pub(crate) mod error;
pub(crate) mod gather;
pub(crate) mod handles;
pub(crate) mod set;
pub(crate) mod task_group;
pub(crate) mod wait;

#[cfg(test)]
mod tests;
