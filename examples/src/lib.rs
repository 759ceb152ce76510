//! What several programs share.
//!
//! The programs stand beside this folder, each an example target that reads from top to bottom. What more than one of
//! them needs, and what says nothing about event loops, is kept here.
//!
//! ```text
//!     latency    how long things took: a histogram and its summary
//!     limits     how much the machine allows: descriptors, ports, backlog
//!     process    what this process is and uses: cores, CPU time, memory, descriptors
//!     python     an interpreter, where there is one
//!     rounds     who comes when
//!     figures    numbers as people read them
//!     out        where words go, and what becomes of them if nobody reads
//!     plots      figures as pictures, in a page that needs nothing else
//!     story      what a lesson says, and when
//!     robots     what a site asks of crawlers
//!     sitemap    what a site says it has
//!     links      where a page leads;  tags: its start tags, as they come
//!     tokio_failures   what hyper and reqwest fail with: not in the library, but in the programs that have them
//! ```
//!
//! Not here: anything that knows a program's flags or its report.   Next: [`latency`].

pub mod figures;
pub mod latency;
pub mod limits;
pub mod links;
pub mod out;
pub mod plots;
pub mod process;
pub mod python;
pub mod robots;
pub mod rounds;
pub mod sitemap;
pub mod story;
pub mod tags;

/// Numbers below a bound, the same for the same seed (xorshift; Marsaglia 2003).
#[cfg(test)]
fn random(seed: u64) -> impl FnMut(usize) -> usize {
    let mut state = seed | 1;
    move |bound| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % bound as u64) as usize
    }
}
