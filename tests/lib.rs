//! What the stories share.

pub mod program;
