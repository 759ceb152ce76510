//! What the cache promises, one fact a test, on a paused clock and with a resolver that follows a script.
//!
//! ```text
//!   paused(story)     tells it on a loop of its own; it fails rather than hang
//!   Scripted          answers as its script says; counts who asked, and the look-ups that were dropped
//! ```

use std::cell::RefCell;
use std::collections::HashSet;
use std::future::pending;
use std::io;
use std::net::IpAddr;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Waker};
use std::time::Duration;

use windlass_executor::{JoinHandle, spawn, yield_now};
use windlass_reactor::time::{Instant, sleep, timeout};

use super::{Cache, LookUp, Resolve};

/// Tells a story on a loop with a paused clock; one that hangs has a month of that clock.
#[track_caller]
fn paused<F: Future>(story: F) -> F::Output {
    let month = Duration::from_secs(30 * 24 * 3600);
    windlass_reactor::doc(async { timeout(month, story).await.expect("it does not hang") })
}

const SECOND: Duration = Duration::from_secs(1);

/// A resolver that takes a second for each name, and is never asked for one that it is at.
#[derive(Clone, Default)]
struct Scripted {
    asked: Rc<RefCell<Vec<String>>>,
    under_way: Rc<RefCell<Vec<String>>>,
}

impl Scripted {
    fn asked(&self) -> usize {
        self.asked.borrow().len()
    }

    fn under_way(&self) -> usize {
        self.under_way.borrow().len()
    }
}

impl Resolve for Scripted {
    /// `gone…` has no address, `none…` an empty list of them, `hangs…` never answers, `panics…` does, once; any other name
    /// has three addresses of IPv6 and two of IPv4.
    fn resolve(&self, host: &str) -> LookUp {
        let (resolver, host) = (self.clone(), host.to_owned());
        let is_first = !resolver.asked.borrow().contains(&host);
        resolver.asked.borrow_mut().push(host.clone());
        let under_way = UnderWay::new(&resolver.under_way, &host);
        Box::pin(async move {
            let _under_way = under_way;
            sleep(SECOND).await;
            match host.trim_end_matches(|c: char| c.is_ascii_digit()) {
                "gone" => Err(io::Error::new(io::ErrorKind::NotFound, "no such name")),
                "none" => Ok(vec![]),
                "hangs" => pending().await,
                "panics" if is_first => panic!("the resolver has a bug"),
                _ => Ok(["2001::1", "2001::2", "10.0.0.1", "2001::3", "10.0.0.2"].map(parse).into()),
            }
        })
    }
}

fn parse(address: &str) -> IpAddr {
    address.parse().unwrap()
}

/// A name in a list until it is dropped.
struct UnderWay(Rc<RefCell<Vec<String>>>, String);

impl UnderWay {
    fn new(names: &Rc<RefCell<Vec<String>>>, name: &str) -> UnderWay {
        assert!(!names.borrow().iter().any(|other| other == name), "{name} is being looked up");
        names.borrow_mut().push(name.into());
        UnderWay(names.clone(), name.into())
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.borrow_mut().retain(|name| *name != self.1);
    }
}

fn scripted() -> (Cache, Scripted) {
    let resolver = Scripted::default();
    (Cache::new(resolver.clone()), resolver)
}

fn ask(cache: &Cache, host: &str) -> JoinHandle<io::Result<Vec<IpAddr>>> {
    let look_up = cache.resolve(host);
    spawn(look_up)
}

/// How many names are kept, and how many asked for.
fn names(cache: &Cache) -> (usize, usize) {
    let shown = format!("{cache:?}");
    let mut figures = shown.split(|c: char| !c.is_ascii_digit()).filter(|digits| !digits.is_empty());
    let mut next = || figures.next().unwrap().parse().unwrap();
    (next(), next())
}

#[test]
fn a_name_is_asked_for_once_however_many_wait_and_again_when_its_time_is_over() {
    paused(async {
        let (cache, resolver) = scripted();
        let tasks: Vec<_> = (0..1_000).map(|_| ask(&cache, "a.com")).collect();
        for task in tasks {
            assert_eq!(task.await.unwrap().unwrap().len(), 5);
        }
        let answered = Instant::now();
        assert_eq!(resolver.asked(), 1);
        sleep(59 * SECOND).await;
        cache.resolve("a.com").await.unwrap();
        assert_eq!((resolver.asked(), answered.elapsed()), (1, 59 * SECOND));
        sleep(SECOND).await;
        cache.resolve("a.com").await.unwrap();
        assert_eq!((resolver.asked(), answered.elapsed()), (2, 61 * SECOND));
    });
}

#[test]
fn a_failure_is_kept_too_but_not_as_long() {
    paused(async {
        for host in ["gone", "none"] {
            let (cache, resolver) = scripted();
            let ask = async || match cache.resolve(host).await {
                Ok(addresses) => assert!(host == "none" && addresses.is_empty()),
                Err(error) => {
                    assert_eq!((error.kind(), error.to_string()), (io::ErrorKind::NotFound, "no such name".into()))
                }
            };
            ask().await;
            sleep(SECOND * 4).await;
            ask().await;
            assert_eq!(resolver.asked(), 1, "{host}");
            sleep(SECOND).await;
            ask().await;
            assert_eq!(resolver.asked(), 2, "{host}");
        }
    });
}

#[test]
fn times_to_live_can_be_set_and_zero_shares_only_what_is_under_way() {
    paused(async {
        let resolver = Scripted::default();
        let cache = Cache::new(resolver.clone()).ttl(Duration::ZERO).negative_ttl(10 * SECOND);
        for host in ["a.com", "gone"] {
            let (first, second) = (ask(&cache, host), ask(&cache, host));
            assert_eq!(first.await.unwrap().is_ok(), second.await.unwrap().is_ok());
        }
        assert_eq!(resolver.asked(), 2);
        let _ = (cache.resolve("a.com").await, cache.resolve("gone").await);
        assert_eq!(*resolver.asked.borrow(), ["a.com", "gone", "a.com"]);
    });
}

#[test]
fn each_use_begins_with_the_next_address_of_each_family() {
    paused(async {
        let (cache, _) = scripted();
        for expected in [
            ["2001::1", "2001::2", "2001::3", "10.0.0.1", "10.0.0.2"],
            ["2001::2", "2001::3", "2001::1", "10.0.0.2", "10.0.0.1"],
            ["2001::3", "2001::1", "2001::2", "10.0.0.1", "10.0.0.2"],
            ["2001::1", "2001::2", "2001::3", "10.0.0.2", "10.0.0.1"],
        ] {
            assert_eq!(cache.resolve("a.com").await.unwrap(), expected.map(parse));
        }
    });
}

#[test]
fn of_too_many_addresses_some_of_each_family_are_kept() {
    paused(async {
        let many = |_: String| async {
            Ok((0..2_000_u32).map(|n| IpAddr::V6(u128::from(n).into())).chain([parse("10.0.0.1")]).collect())
        };
        let found = Cache::new(many).resolve("a.com").await.unwrap();
        assert_eq!((found.len(), found[64]), (65, parse("10.0.0.1")));
    });
}

#[test]
fn no_more_names_are_kept_than_fit_and_those_whose_time_ends_first_go() {
    paused(async {
        let resolver = Scripted::default();
        let cache = Cache::new(resolver.clone()).entries_max(3);
        for host in ["a", "b", "gone", "c", "d"] {
            let _ = cache.resolve(host).await;
        }
        assert_eq!((resolver.asked(), names(&cache)), (5, (3, 0)));
        for host in ["b", "c", "d"] {
            cache.resolve(host).await.unwrap();
        }
        assert_eq!(resolver.asked(), 5);
        let nothing = Cache::new(resolver.clone()).entries_max(0);
        let (first, second) = (ask(&nothing, "a"), ask(&nothing, "a"));
        assert!(first.await.unwrap().is_ok() && second.await.unwrap().is_ok());
        assert_eq!((resolver.asked(), names(&nothing)), (6, (0, 0)));
    });
}

#[test]
fn whoever_of_those_that_wait_is_dropped_the_others_have_the_same_answer_from_the_same_look_up() {
    paused(async {
        for dropped in 0..3 {
            for polls in 1..=2 {
                let (cache, resolver) = scripted();
                let waiters: Vec<_> = (0..3).map(|_| ask(&cache, "a.com")).collect();
                for _ in 0..polls * 8 {
                    yield_now().await;
                }
                waiters[dropped].abort();
                for (waiter, task) in waiters.into_iter().enumerate() {
                    assert_eq!(task.await.is_ok(), waiter != dropped);
                }
                assert_eq!((resolver.asked(), resolver.under_way()), (1, 0));
            }
        }
    });
}

#[test]
fn a_name_that_hangs_ends_for_each_at_its_own_time_out_and_is_dropped_with_the_last() {
    paused(async {
        let (cache, resolver) = scripted();
        let start = Instant::now();
        let waiters = [2, 4, 3].map(|seconds| {
            let look_up = cache.resolve("hangs");
            (seconds, spawn(async move { (timeout(seconds * SECOND, look_up).await.is_err(), start.elapsed()) }))
        });
        assert!(cache.resolve("a.com").await.is_ok());
        assert_eq!((resolver.asked(), names(&cache)), (2, (1, 1)));
        for (seconds, waiter) in waiters {
            assert_eq!(waiter.await.unwrap(), (true, seconds * SECOND));
        }
        assert_eq!(names(&cache), (1, 0));
        assert_eq!(resolver.asked(), 2);
        assert!(timeout(SECOND, cache.resolve("hangs")).await.is_err());
        assert_eq!(resolver.asked(), 3);
    });
}

#[test]
fn a_look_up_that_nobody_waits_for_is_dropped() {
    paused(async {
        let (cache, resolver) = scripted();
        let (first, second) = (ask(&cache, "a.com"), ask(&cache, "a.com"));
        yield_now().await;
        first.abort();
        let _ = first.await;
        assert_eq!(resolver.under_way(), 1);
        second.abort();
        let _ = second.await;
        assert_eq!((resolver.under_way(), names(&cache)), (0, (0, 0)));
    });
}

#[test]
fn when_a_look_up_panics_who_polled_it_panics_and_the_next_in_line_asks_anew() {
    paused(async {
        let (cache, resolver) = scripted();
        let (first, second) = (ask(&cache, "panics"), ask(&cache, "panics"));
        assert!(first.await.unwrap_err().is_panic());
        assert_eq!(second.await.unwrap().unwrap().len(), 5);
        assert_eq!(resolver.asked(), 2);
    });
}

#[test]
fn a_resolver_may_use_the_cache_whenever_it_runs() {
    /// Asks the cache for another name when it is asked, when it is polled and when it is dropped.
    #[derive(Clone, Default)]
    struct Nosy(Rc<RefCell<Option<Cache>>>);

    struct AsksWhenDropped(Nosy);

    impl Nosy {
        fn look(&self, host: &str) {
            let cache = self.0.borrow().clone();
            if let Some(cache) = cache {
                let mut other = pin!(cache.resolve(host));
                let _ = other.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            }
        }
    }

    impl Drop for AsksWhenDropped {
        fn drop(&mut self) {
            self.0.look("dropped");
        }
    }

    impl Resolve for Nosy {
        fn resolve(&self, host: &str) -> LookUp {
            let (nosy, is_outer) = (self.clone(), host == "outer");
            if !is_outer {
                return Box::pin(pending());
            }
            self.look("asked");
            let asks = AsksWhenDropped(self.clone());
            Box::pin(async move {
                nosy.look("polled");
                drop(asks);
                Ok(vec![parse("10.0.0.1")])
            })
        }
    }

    paused(async {
        let nosy = Nosy::default();
        let cache = Cache::new(nosy.clone());
        *nosy.0.borrow_mut() = Some(cache.clone());
        assert_eq!(cache.resolve("outer").await.unwrap(), [parse("10.0.0.1")]);
        let asked = cache.clone();
        // And one that is dropped half-way, as the last that waits.
        let hanging = AsksWhenDropped(nosy.clone());
        let half_way = Cache::new(move |_: String| {
            let hanging = AsksWhenDropped(hanging.0.clone());
            async move {
                let _hanging = hanging;
                pending().await
            }
        });
        assert!(timeout(SECOND, half_way.resolve("hangs")).await.is_err());
        assert_eq!(names(&asked), (1, 0));
        nosy.0.take(); // they share each other
    });
}

#[test]
fn random_histories_ask_for_each_name_once_at_a_time_and_keep_what_was_answered() {
    for seed in 1..=64_u64 {
        println!("seed {seed}");
        let mut state = seed;
        // xorshift64*, Vigna 2016
        let mut below = move |limit: u64| {
            state ^= state >> 12;
            state ^= state << 25;
            state ^= state >> 27;
            (state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % limit
        };
        paused(async {
            let resolver = Scripted::default();
            let cache = Cache::new(resolver.clone()).ttl(3 * SECOND).entries_max(4);
            let mut waiting: Vec<(String, JoinHandle<io::Result<Vec<IpAddr>>>)> = Vec::new();
            for _ in 0..300 {
                let host = ["a", "b", "gone", "none", "hangs"][below(5) as usize].to_owned() + &below(3).to_string();
                match below(5) {
                    0 | 1 => waiting.push((host.clone(), ask(&cache, &host))),
                    2 if !waiting.is_empty() => {
                        let (_, task) = waiting.swap_remove(below(waiting.len() as u64) as usize);
                        task.abort();
                    }
                    _ => sleep(SECOND * below(3) as u32 / 2).await,
                }
                yield_now().await; // who was spawned asks, who was answered ends
                let (answered, unanswered): (Vec<_>, _) = waiting.into_iter().partition(|(_, task)| task.is_finished());
                for (host, task) in answered {
                    let found = task.await.unwrap().map(|addresses| addresses.len());
                    let expected = [("gone", None), ("none", Some(0)), ("", Some(5))];
                    let (_, expected) = expected.iter().find(|(name, _)| host.starts_with(name)).unwrap();
                    assert_eq!(found.ok(), *expected, "{host}");
                }
                waiting = unanswered;
                let hosts: HashSet<_> = waiting.iter().map(|(host, _)| host).collect();
                let (kept, asking) = names(&cache);
                assert!(kept <= 4 && asking == hosts.len(), "{kept} kept, {asking} asked for by {hosts:?}");
            }
            for (_, task) in waiting {
                task.abort();
            }
            assert_eq!((names(&cache).1, resolver.under_way()), (0, 0));
        });
    }
}
