//! Who answers.
//!
//! Without `--url` the program asks a server of its own: this library's, which parses every request, keeps connections
//! and says the same 128 bytes each time. It has a process and a core to itself, so that its work is not the engine's.
//!
//! ```text
//!     bind ──► "listening at ..." ──► a task for each connection: request ──► 200, 128 bytes ─┐
//!                                                                     ▲───────────────────────┘
//! ```
//!
//! It serves until it is killed; the process that started it does that.
//! Not here: how requests are parsed and connections kept (`windlass::http`).   Next: `report`.

use std::{io, net::Ipv4Addr};

use windlass::{
    Loop,
    http::{Reply, Server},
};
use windlass_examples::process;

use crate::contract::{ServerPlan, Word};

/// What every reply says.
const BODY: &[u8] = &[b'w'; 128];

/// Becomes the server's process: tells where it listens on stdout, then serves.
///
/// # Errors
/// The process cannot be set up, or no more connections can be accepted.
pub(crate) fn run_as_child(plan: &ServerPlan) -> io::Result<()> {
    process::die_with(plan.parent)?;
    if let Some(core) = plan.core {
        process::pin_to(core)?;
    }
    Loop::new()?.block_on(async {
        let server = Server::bind((Ipv4Addr::LOCALHOST, 0).into())?;
        Word::Listening(server.local_addr()?.to_string()).say();
        server.run(|_request| Reply::bytes(200, BODY)).await
    })
}
