//! Who answers.
//!
//! Without `--url` the program asks a server of its own: this library's, which parses every request, keeps connections
//! and says the same each time: 128 bytes, or what the command line asks for; with `--faults`, one that misbehaves. It has a
//! process and a core to itself, so that its work is not the engine's.
//!
//! ```text
//!     bind ──► "listening at ..." ──► a task for each connection: request ──► 200, the body ─┐
//!                                                                     ▲──────────────────────┘
//! ```
//!
//! It serves until it is killed; the process that started it does that.
//! Not here: how requests are parsed and connections kept (`windlass::http`).   Next: `faults`.

use std::{io, net::Ipv4Addr, time::Duration};

use windlass::{
    Loop,
    http::{Reply, Server},
    net::TcpListener,
};
use windlass_examples::process;

use crate::{
    contract::{Answer, ServerPlan, Word},
    faults,
};

/// Becomes the server's process: tells where it listens on stdout, then serves.
///
/// # Errors
/// The process cannot be set up, or no more connections can be accepted.
pub(crate) fn run_as_child(plan: &ServerPlan) -> io::Result<()> {
    process::die_with(plan.parent)?;
    if let Some(core) = plan.core {
        process::pin_to(core)?;
    }
    let answer = plan.answer;
    // Its bytes live as long as the process, so that no answer copies them.
    let body: &'static [u8] = vec![b'w'; usize::try_from(answer.body).unwrap_or(usize::MAX)].leak();
    Loop::new()?.block_on(async {
        if let Some(script) = plan.faults {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0).into())?;
            Word::Listening(listener.local_addr()?.to_string()).say();
            return faults::server::serve(listener, script).await;
        }
        let server = Server::bind((Ipv4Addr::LOCALHOST, 0).into())?;
        Word::Listening(server.local_addr()?.to_string()).say();
        server.run(move |_request| reply(answer, body)).await
    })
}

fn reply(answer: Answer, body: &'static [u8]) -> Reply {
    let reply = match answer.chunk {
        None => Reply::bytes(200, body),
        Some(chunk) => {
            let chunk = usize::try_from(chunk).unwrap_or(usize::MAX);
            Reply::chunked(200, body.chunks(chunk).map(Into::into).collect())
        }
    };
    match answer.delay_s {
        None => reply,
        Some(delay) => reply.delay(Duration::from_secs_f64(delay)),
    }
}
