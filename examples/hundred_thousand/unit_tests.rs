//! The program's modules without its `main`.
//!
//! An example target whose own tests are run is no longer built as a program by a bare `cargo test`, and the stories in
//! `tests/` drive that program. So the modules are compiled a second time here, where only their unit tests run.

#![allow(dead_code, reason = "what only `main` calls")]

mod binding;
mod conduct;
mod contract;
mod counts;
mod engine;
mod faults;
mod flags;
mod page;
mod preflight;
mod progress;
mod report;
mod schedule;
mod server;
mod window;
