//! A thousand servers that trickle, beside some that do not: what each costs, whom they hold up, and when they end.
//! The counting allocator is the whole process's, so this file is a process of its own with one test in it.

#![allow(clippy::unwrap_used)] // tests may

use std::alloc::System;
use std::time::Duration;

use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use windlass::http::{Client, ErrorKind};
use windlass::time::{Instant, sleep};
use windlass_tests::{Peer, Script, open_descriptors, run_alone_paused};

#[global_allocator]
static COUNTING: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const SLOW: usize = 1_000;
const BYTES_MAX: usize = 96 * 1024; // for a connection, both ends of it
const LATE_MAX: Duration = Duration::from_millis(50);
const HELLO: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

#[test]
fn a_thousand_slow_servers_cost_little_hold_up_nobody_and_end_in_time() {
    run_alone_paused(async {
        let total = Duration::from_secs(10);
        let padding = "x".repeat(15_000); // of a head that may be four times as long
        let begins = [
            format!("HTTP/1.1 200 OK\r\nA: {padding}\r\nB: "),
            "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n".to_owned(),
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;".to_owned(),
        ];
        let slow = Script::start(async move |mut peer: Peer| {
            peer.hear().await;
            peer.say(&begins[peer.number % begins.len()]).await;
            while peer.say("x").await {
                sleep(Duration::from_millis(900)).await;
            }
        });
        let fast = Script::start(async |mut peer: Peer| while peer.hear().await.is_some() && peer.say(HELLO).await {});
        let client = Client::builder().limit(0).timeout(total).build();
        let descriptors = open_descriptors();
        let region = Region::new(COUNTING);
        let waiting: Vec<_> = (0..SLOW)
            .map(|_| {
                let (client, url) = (client.clone(), slow.url());
                windlass::spawn(async move {
                    let began = Instant::now();
                    let outcome = async { client.get(&url).send().await?.bytes().await }.await;
                    (outcome.map_err(|error| error.kind()), began.elapsed())
                })
            })
            .collect();
        sleep(Duration::from_secs(5)).await;
        assert_eq!(slow.open(), SLOW);
        let change = region.change();
        let bytes = change.bytes_allocated.saturating_sub(change.bytes_deallocated) / SLOW;
        println!("{bytes} bytes for each slow connection, both ends");
        assert!(bytes <= BYTES_MAX, "{bytes} bytes");
        for _ in 0..100 {
            // By a clock that stands still as long as anybody has anything to do.
            let began = Instant::now();
            assert_eq!(client.get(&fast.url()).send().await.unwrap().bytes().await.unwrap(), b"hello");
            assert_eq!(began.elapsed(), Duration::ZERO);
        }
        for waiting in waiting {
            let (outcome, took) = waiting.await.unwrap();
            assert_eq!(outcome, Err(ErrorKind::TimeoutTotal));
            assert!((total..=total + LATE_MAX).contains(&took), "{took:?}");
        }
        assert_eq!((client.stats().in_use, client.stats().waiting), (0, 0));
        drop((client, fast));
        while slow.open() > 0 {
            sleep(Duration::from_secs(1)).await; // until each has found out that nobody listens
        }
        println!("{} descriptors more than before", open_descriptors() as i64 - descriptors as i64);
    });
}
