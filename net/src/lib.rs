//! x
/// x
pub mod net {}
/// x
pub mod http {}
