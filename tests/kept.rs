//! What the small server keeps of a body that nobody will see: nothing.
//! The counting allocator is the whole process's, so this file is a process of its own with one test in it.

#![allow(clippy::unwrap_used)] // tests may

use std::alloc::System;

use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use windlass::http::{Reply, Server};
use windlass::net::TcpStream;
use windlass::spawn;
use windlass_tests::{ANY, run};

#[global_allocator]
static COUNTING: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const CHUNKS: usize = 200_000;

#[test]
fn a_body_that_comes_in_pieces_is_read_once_and_kept_nowhere() {
    run(async {
        let server = Server::bind(ANY).unwrap();
        let mut caller = TcpStream::connect(server.local_addr().unwrap()).await.unwrap();
        drop(spawn(server.run(|_| Reply::bytes(200, "thanks"))));
        let (body, mut answer) = (b"1\r\nx\r\n".repeat(CHUNKS), [0; 256]);
        for round in 0..3 {
            let region = Region::new(COUNTING);
            caller.write_all(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n").await.unwrap();
            caller.write_all(&body).await.unwrap();
            caller.write_all(b"0\r\n\r\nGET /behind HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
            let mut heard = String::new();
            while heard.matches("thanks").count() < 2 {
                let n = caller.read(&mut answer).await.unwrap();
                assert_ne!(n, 0, "round {round}: {heard}");
                heard += std::str::from_utf8(&answer[..n]).unwrap();
            }
            let allocated = region.change().bytes_allocated;
            assert!(allocated < body.len() / 2, "round {round}: {allocated} bytes for {} nobody sees", body.len());
        }
    });
}
