//! The client itself, on a socket, with a server that sends the input in pieces and then closes.
//!
//! ```text
//!   server: piece ──► wait until it was read ──► piece ──► ... ──► end
//!   client: one task; how often it is polled and how much it allocates is counted
//! ```
//!
//! Whatever comes: what the second reader makes of it, at most a poll for each piece and a few, and no more memory than an exchange
//! of this size may take.

#![no_main]


use std::alloc::System;
use std::cell::Cell;
use std::future::poll_fn;
use std::net::Shutdown;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use windlass::Loop;
use windlass::http::{Client, Error, Url};
use windlass::net::TcpListener;
use windlass::sync::Notify;
use windlass_corpus::by_the_letter::{Verdict, read};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// What client and server may allocate, all in all, for a stream of `len` bytes: what they hold at once is less. Twice what
/// the corpus takes, for a client that is made and dropped along with its connection.
fn allocated_max(len: usize) -> usize {
    8 * 1024 + 8 * len
}

/// Polls besides one for each piece: the first, when it is connected, at the end, and one to spare.
const POLLS_MORE: usize = 4;

/// Each piece takes turns of the loop; what follows these comes as one more.
const PIECES_MAX: usize = 15;

struct Stage {
    crank: Loop,
    listener: TcpListener,
    url: Url,
}

impl Stage {
    fn new() -> Stage {
        let crank = Loop::new().expect("descriptors for a loop");
        let listener = crank.block_on(async { TcpListener::bind("127.0.0.1:0".parse().expect("an address")) });
        let listener = listener.expect("a port");
        let url = format!("http://{}/", listener.local_addr().expect("bound"));
        let stage = Stage { crank, listener, url: Url::parse(&url).expect("an address") };
        // The first exchange of a thread makes what they all read into.
        let (made, _) = stage.crank.block_on(perform(&stage, "GET", &[]));
        made.expect_err("nothing is no reply");
        stage
    }
}

thread_local! {
    static STAGE: Stage = Stage::new();
}

fuzz_target!(|input: &[u8]| {
    let Some((method, mut pieces, stream)) = pieces::of(input) else { return };
    if pieces.len() > PIECES_MAX {
        let rest = pieces[PIECES_MAX..].iter().map(|piece| piece.len()).sum::<usize>();
        pieces.truncate(PIECES_MAX);
        pieces.push(&stream[stream.len() - rest..]);
    }
    STAGE.with(|stage| {
        let region = Region::new(ALLOCATOR);
        let (made, polls) = stage.crank.block_on(perform(stage, method, &pieces));
        let allocated = region.change().bytes_allocated;
        assert!(allocated <= allocated_max(stream.len()), "{allocated} bytes allocated for {}", stream.len());
        assert!(polls <= pieces.len() + POLLS_MORE, "{polls} polls for {} pieces", pieces.len());
        let made = made.map_err(|error| error.kind().name());
        match read(stream, method) {
            _ if made == Err("too_large") => {}
            Verdict::Bad => assert_eq!(made, Err("protocol")),
            Verdict::Short => assert_eq!(made, Err("truncated")),
            Verdict::Reply(reply) => assert_eq!(made, Ok((reply.status, reply.body))),
        }
    });
});

/// Status and body, and how often the client was polled.
async fn perform(stage: &Stage, method: &'static str, pieces: &[&[u8]]) -> (Result<(u16, Vec<u8>), Error>, usize) {
    let client = Client::new();
    let (polls, over, heard) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(false)), Rc::new(Notify::new()));
    let exchange = {
        let (client, url, polls) = (client.clone(), stage.url.clone(), polls.clone());
        let (over, heard) = (over.clone(), heard.clone());
        windlass::spawn(async move {
            let mut exchange = pin!(async {
                let response = client.request(method, &url).send().await?;
                Ok((response.status(), response.bytes().await?))
            });
            let made = poll_fn(|cx| {
                polls.set(polls.get() + 1);
                let polled = exchange.as_mut().poll(cx);
                heard.notify_one();
                polled
            });
            let made = made.await;
            over.set(true);
            heard.notify_one();
            made
        })
    };
    let (mut peer, _) = stage.listener.accept().await.expect("the client connects");
    peer.set_nodelay(true).expect("a socket");
    let mut sent = 0;
    for piece in pieces {
        if over.get() || peer.write_all(piece).await.is_err() {
            break;
        }
        sent += piece.len();
        while client.stats().bytes_in < sent as u64 && !over.get() {
            heard.notified().await;
        }
    }
    if !over.get() {
        let _ = peer.shutdown(Shutdown::Write); // the client may just have gone
    }
    let made = exchange.await.expect("nobody aborts it");
    let _ = peer.set_linger(Some(Duration::ZERO)); // no port lingers
    (made, polls.get())
}
