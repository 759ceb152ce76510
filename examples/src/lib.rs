//! What several programs share.
//!
//! The programs stand beside this folder, each an example target that reads from top to bottom. What more than one of
//! them needs, and what says nothing about event loops, is kept here.
//!
//! ```text
//!     latency    how long things took: a histogram and its summary
//!     limits     how much the machine allows: descriptors, ports, backlog
//!     process    what this process is and uses: cores, CPU time, memory, descriptors
//!     figures    numbers as people read them
//!     out        where words go, and what becomes of them if nobody reads
//!     story      what a lesson says, and when
//! ```
//!
//! Not here: anything that knows a program's flags or its report.   Next: [`latency`].

pub mod figures;
pub mod latency;
pub mod limits;
pub mod out;
pub mod process;
pub mod story;
