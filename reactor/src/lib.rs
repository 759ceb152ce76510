//! placeholder
pub mod wheel;
