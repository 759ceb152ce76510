//! How a fair figure is come by.
//!
//! A machine drifts: its clock, its caches, its other users. So the sides take turns, round by round, in an order that is
//! turned around each time; each run is a fresh process, so that no side inherits another's heap; and what is printed is the
//! median with its spread.
//!
//! ```text
//!      parent ──► row ──► round 1: A B C     ┐
//!                         round 2: C B A     ├─► samples ─► median ± spread ─► table, --json
//!                         round 3: A B C ... ┘
//!                  └────► counts: the same child under callgrind and perf, with few and with many operations
//! ```
//!
//! Counts are differences: what many operations cost beyond few. Start-up, warm-up and tear-down cancel out.
//!
//! Read in this order: `rows` (what, and against which floor), `child`, `parent`, `counts`, `table`, `machine`, `args`.

pub(crate) mod args;
pub(crate) mod child;
pub(crate) mod counts;
pub(crate) mod machine;
pub(crate) mod parent;
pub(crate) mod rows;
pub(crate) mod samples;
pub(crate) mod table;
