//! What is done with streams of any kind.
//! Everything here stands on the traits of futures-io, which the sockets have, and which streams from elsewhere (TLS,
//! compression) have, too.
//!
//! ```text
//!   copy(&mut from, &mut to)            one way, to the end
//!   copy_bidirectional(&mut a, &mut b)  both ways, each to its end: a proxy
//!   duplex(capacity)                    two ends in memory: a stream without a socket
//!   BufReader::new(stream)              read by lines, none of them longer than you allow
//! ```
//!
//! What takes two streams is a function; what belongs to one is a method of its type. Traits that add methods to streams
//! of other crates are not here: those crates have them.
//! Next: `copy`, `duplex`, `buf_reader`.

mod buf_reader;
mod copy;
mod duplex;

pub use buf_reader::{BufReader, Lines};
pub use copy::{copy, copy_bidirectional};
pub use duplex::{DuplexStream, duplex};
