//! The program's modules without its `main`.
//!
//! An example target whose own tests are run is no longer built as a program by a bare `cargo test`, and the stories in
//! `tests/` drive that program. So the modules are compiled a second time here, where only their unit tests run.

#![allow(dead_code, reason = "what only `main` calls")]

mod cpu;
mod crawl;
mod engine;
mod flags;
mod frontier;
mod hosts;
mod limits;
mod page;
mod plan;
mod report;
mod rules;
mod scope;
mod show;
mod site;
mod store;
mod tests;
mod timeline;
mod warc;
