//! Once more leaves no more.
//!
//! What a run needs it gives back: after a second run of the same work the process is no larger than after the first, and
//! no descriptor stays open. The program gives each run a process of its own, so this is told on the library.
//!
//! ```text
//!     run ──► resident: a ──► run ──► resident: b        b - a below 1 MiB, descriptors as before
//! ```
//!
//! Not here: what the program counts and prints (`hundred_thousand`).   Next: `net/src/http/client/pool.rs`.

#![allow(clippy::unwrap_used)] // a story that cannot go on says where it stopped

use std::{cell::Cell, fs, rc::Rc};

use windlass::{
    Loop,
    http::{Client, Reply, Server, Url},
};

const REQUESTS: u32 = 10_000;
const TASKS: u32 = 1000;
const CONNECTIONS: usize = 100;

#[test]
fn a_second_run_needs_no_more_memory_and_leaves_no_descriptor_open() {
    let open_before = open_descriptors();
    run_in_a_loop_of_its_own();
    let (resident_kb, open) = (resident_kb(), open_descriptors());
    run_in_a_loop_of_its_own();
    assert_eq!((open, open_descriptors()), (open_before, open_before), "descriptors after each run as before");
    let grown_kb = self::resident_kb().saturating_sub(resident_kb);
    assert!(grown_kb <= 1024, "the second run has left {grown_kb} kB more than the first");
}

/// Server and client are tasks of one loop.
fn run_in_a_loop_of_its_own() {
    Loop::new().unwrap().block_on(async {
        let server = Server::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let url = Url::parse(&format!("http://{}/", server.local_addr().unwrap())).unwrap();
        let serving = windlass::spawn(server.run(|_request| Reply::bytes(200, &[b'w'; 128])));
        let client = Client::builder().limit_per_host(CONNECTIONS).build();
        let left = Rc::new(Cell::new(REQUESTS));
        let tasks: Vec<_> = (0..TASKS)
            .map(|_| windlass::spawn(ask_until_none_is_left(client.clone(), url.clone(), Rc::clone(&left))))
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        let stats = client.stats();
        assert_eq!((stats.opened, stats.reused), (CONNECTIONS as u64, u64::from(REQUESTS) - CONNECTIONS as u64));
        serving.abort();
    });
}

async fn ask_until_none_is_left(client: Client, url: Url, left: Rc<Cell<u32>>) {
    while let Some(rest) = left.get().checked_sub(1) {
        left.set(rest);
        let response = client.get(&url).send().await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.drain().await.unwrap(), 128);
    }
}

fn resident_kb() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

fn open_descriptors() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}
