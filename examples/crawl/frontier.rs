//! Who is fetched next.
//!
//! A queue for each host, and in one line those hosts that may be asked now. A host that has all its slots, or is in its
//! delay, stands aside with its whole queue: its pages hold no slot and are in nobody's way.
//!
//! ```text
//!     push ──► later ── due ──┐          ┌── full      as many under way as it may have ── done ──┐
//!       │                     ▼          │                                                         ▼
//!       └──────────────► host's queue ── ├── resting   its delay, its rate, its Retry-After ── due ─► ready ──► next
//!                                        └── idle      nothing to fetch
//! ```
//!
//! Breadth first: of all that may go now the one of the least depth goes, if none is preferred, and of those the one that came
//! first. All of it is data: time is what the caller says, so that every rule can be tried without waiting.
//! Not here: which URLs get in (`scope`), what there is no room for in memory (`store`), what is fetched how (`crawl`).   Next: `store`.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, HashMap, binary_heap::BinaryHeap},
    time::Duration,
};

use slab::Slab;

use crate::report::Limit;

/// A moment, counted from the beginning of the crawl.
pub(crate) type Moment = Duration;

/// How much may be under way, and how often.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// Fetches at once, in all and to one host.
    pub(crate) concurrency: usize,
    pub(crate) per_host: usize,
    /// Between the beginnings of two fetches from one host, at least.
    pub(crate) delay: Duration,
    /// Fetches a second, in all and from one host.
    pub(crate) rate: Option<f64>,
    pub(crate) host_rate: Option<f64>,
}

/// What counts more than who came first: the least of all goes first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Rank {
    /// Of what is not to begin before all below is over. That is the store's to see to: here it only comes first.
    pub(crate) level: u32,
    /// Which of the patterns of what is preferred it matches, counted from 0.
    pub(crate) preference: u8,
    pub(crate) depth: u32,
}

/// Where something stands in line: by rank, then by arrival.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    rank: Rank,
    arrival: u64,
}

/// What waits to be fetched, and from whom.
#[derive(Debug)]
pub(crate) struct Frontier<T> {
    bounds: Bounds,
    bucket: Bucket,
    hosts: Slab<Host<T>>,
    by_name: HashMap<Box<str>, usize>,
    /// Hosts that may be asked now, by the place of their first.
    ready: BTreeSet<(Place, usize)>,
    /// Hosts that have something in line and are to be left alone, by when that ends.
    resting: BTreeSet<(Moment, usize)>,
    /// What is not to be fetched before some moment.
    later: BTreeMap<(Moment, u64), (usize, Entry<T>)>,
    arrivals: u64,
    queued: usize,
    in_flight: usize,
    /// When somebody last looked.
    now: Moment,
}

#[derive(Debug)]
struct Host<T> {
    name: Box<str>,
    queue: BinaryHeap<Reverse<Entry<T>>>,
    in_flight: usize,
    /// What waits for later, by number.
    later: usize,
    bucket: Bucket,
    delay: Duration,
    /// Not to be asked before.
    rests_until: Moment,
    /// Why it rests.
    rests_for: Limit,
    standing: Standing,
}

impl<T> Host<T> {
    fn is_idle(&self) -> bool {
        self.queue.is_empty() && self.in_flight + self.later == 0
    }
}

/// Which of the frontier's lines a host stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    Idle,
    Full,
    Ready(Place),
    Resting(Moment),
}

#[derive(Debug)]
struct Entry<T> {
    place: Place,
    what: T,
}

impl<T> PartialEq for Entry<T> {
    fn eq(&self, other: &Self) -> bool {
        self.place == other.place
    }
}

impl<T> Eq for Entry<T> {}

impl<T> PartialOrd for Entry<T> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Entry<T> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.place.cmp(&other.place)
    }
}

/// What a frontier has to say.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next<T> {
    /// Fetch this, and say when it is `done`.
    Fetch(T),
    /// Nothing may be fetched now: look again at a moment, if one is given, and whenever something changes.
    Wait { held_by: Limit, until: Option<Moment> },
    /// Nothing is left, and nothing is under way.
    Over,
}

/// Hosts that nobody asks are forgotten when there are more than this, to stay small on a crawl of the whole web: a few
/// hundred bytes each.
const IDLE_HOSTS_MAX: usize = 10_000;

impl<T> Frontier<T> {
    pub(crate) fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            bucket: Bucket::new(bounds.rate),
            hosts: Slab::new(),
            by_name: HashMap::new(),
            ready: BTreeSet::new(),
            resting: BTreeSet::new(),
            later: BTreeMap::new(),
            arrivals: 0,
            queued: 0,
            in_flight: 0,
            now: Moment::ZERO,
        }
    }

    /// Puts `what` in line behind all of its rank, to be fetched from `host`; not before `not_before`.
    pub(crate) fn push(&mut self, host: &str, rank: Rank, what: T, not_before: Moment) {
        self.arrivals += 1;
        let place = Place { rank, arrival: self.arrivals };
        let host = self.host(host);
        self.queued += 1;
        if not_before > Moment::ZERO {
            self.hosts[host].later += 1;
            self.later.insert((not_before, place.arrival), (host, Entry { place, what }));
        } else {
            self.hosts[host].queue.push(Reverse(Entry { place, what }));
            self.stand(host);
        }
    }

    /// Has `host` asked no more often than that, whatever the bounds say.
    pub(crate) fn slow_down(&mut self, host: &str, delay: Duration) {
        let host = self.host(host);
        let slowed = &mut self.hosts[host].delay;
        *slowed = delay.max(*slowed);
    }

    /// Leaves `host` alone until then.
    pub(crate) fn rest(&mut self, host: &str, until: Moment) {
        let host = self.host(host);
        self.put_to_rest(host, until, Limit::Server);
        self.stand(host);
    }

    /// What to do now.
    pub(crate) fn next(&mut self, now: Moment) -> Next<T> {
        self.now = now;
        self.wake(now);
        if self.in_flight >= self.bounds.concurrency {
            return Next::Wait { held_by: Limit::Concurrency, until: None };
        }
        let Some(&(_, host)) = self.ready.first() else { return self.held_back() };
        if let Some(until) = self.bucket.next(now) {
            return Next::Wait { held_by: Limit::Rate, until: Some(until) };
        }
        self.bucket.take(now);
        let known = &mut self.hosts[host];
        let Reverse(Entry { what, .. }) = known.queue.pop().expect("a host that is ready has something in line");
        known.in_flight += 1;
        (self.queued, self.in_flight) = (self.queued - 1, self.in_flight + 1);
        known.bucket.take(now);
        let (delay, rate) = (known.delay, known.bucket.next(now));
        if !delay.is_zero() {
            self.put_to_rest(host, now + delay, Limit::Delay);
        }
        if let Some(until) = rate {
            self.put_to_rest(host, until, Limit::Rate);
        }
        self.stand(host);
        Next::Fetch(what)
    }

    /// A fetch from `host` is over. What it led to is to be pushed before.
    pub(crate) fn done(&mut self, host: &str) {
        let host = self.host(host);
        self.in_flight -= 1;
        self.hosts[host].in_flight -= 1;
        self.stand(host);
    }

    /// Whether nothing is wanted from `host`.
    pub(crate) fn is_idle(&self, host: &str) -> bool {
        self.by_name.get(host).is_none_or(|host| self.hosts[*host].is_idle())
    }

    /// How many are in line, how many are under way, and of how many hosts something is known.
    pub(crate) fn sizes(&self) -> (usize, usize, usize) {
        (self.queued, self.in_flight, self.hosts.len())
    }

    /// Takes out all that is in line, in its order.
    pub(crate) fn drain(&mut self) -> Vec<T> {
        let mut entries: Vec<Entry<T>> =
            std::mem::take(&mut self.later).into_values().map(|(_, entry)| entry).collect();
        for (_, host) in &mut self.hosts {
            entries.extend(host.queue.drain().map(|Reverse(entry)| entry));
            (host.later, host.standing) =
                (0, if host.in_flight < self.bounds.per_host { Standing::Idle } else { Standing::Full });
        }
        self.ready.clear();
        self.resting.clear();
        self.queued = 0;
        entries.sort();
        entries.into_iter().map(|entry| entry.what).collect()
    }

    /// Who is to be woken is: what was put off, and who has rested.
    fn wake(&mut self, now: Moment) {
        while let Some(first) = self.later.first_entry()
            && first.key().0 <= now
        {
            let (host, entry) = first.remove();
            self.hosts[host].later -= 1;
            self.hosts[host].queue.push(Reverse(entry));
            self.stand(host);
        }
        while let Some(&(until, host)) = self.resting.first()
            && until <= now
        {
            self.hosts[host].rests_until = Moment::ZERO;
            self.stand(host);
        }
    }

    /// Nobody is ready. Why?
    fn held_back(&self) -> Next<T> {
        let first = self.first_to_wake();
        let is_full = self.queued > self.later.len() && self.resting.is_empty();
        match first {
            _ if is_full => Next::Wait { held_by: Limit::PerHost, until: first.map(|(until, _)| until) },
            Some((until, held_by)) => Next::Wait { held_by, until: Some(until) },
            None if self.in_flight > 0 => Next::Wait { held_by: Limit::Server, until: None },
            None => Next::Over,
        }
    }

    /// When somebody will have rested, or something put off is due; and what it waits for.
    fn first_to_wake(&self) -> Option<(Moment, Limit)> {
        let rested = self.resting.first().map(|&(until, host)| (until, self.hosts[host].rests_for));
        let put_off = self.later.first_key_value().map(|((until, _), _)| (*until, Limit::Server));
        rested.into_iter().chain(put_off).min_by_key(|(until, _)| *until)
    }

    fn put_to_rest(&mut self, host: usize, until: Moment, why: Limit) {
        let host = &mut self.hosts[host];
        if until > host.rests_until {
            (host.rests_until, host.rests_for) = (until, why);
        }
    }

    /// Puts a host in the line that it belongs to now.
    fn stand(&mut self, host: usize) {
        let known = &mut self.hosts[host];
        match known.standing {
            Standing::Ready(place) => _ = self.ready.remove(&(place, host)),
            Standing::Resting(until) => _ = self.resting.remove(&(until, host)),
            Standing::Idle | Standing::Full => {}
        }
        known.standing = match known.queue.peek() {
            _ if known.in_flight >= self.bounds.per_host => Standing::Full,
            None => Standing::Idle,
            Some(_) if known.rests_until > Moment::ZERO => Standing::Resting(known.rests_until),
            Some(Reverse(first)) => Standing::Ready(first.place),
        };
        match known.standing {
            Standing::Ready(place) => _ = self.ready.insert((place, host)),
            Standing::Resting(until) => _ = self.resting.insert((until, host)),
            Standing::Idle | Standing::Full => {}
        }
    }

    fn host(&mut self, name: &str) -> usize {
        if let Some(&host) = self.by_name.get(name) {
            return host;
        }
        if self.hosts.len() >= IDLE_HOSTS_MAX && self.hosts.len() == self.hosts.capacity() {
            self.forget_idle();
        }
        let host = self.hosts.insert(Host {
            name: name.into(),
            queue: BinaryHeap::new(),
            in_flight: 0,
            later: 0,
            bucket: Bucket::new(self.bounds.host_rate),
            delay: self.bounds.delay,
            rests_until: Moment::ZERO,
            rests_for: Limit::Delay,
            standing: Standing::Idle,
        });
        self.by_name.insert(name.into(), host);
        host
    }

    /// Forgets hosts from which nothing is wanted and that need no rest.
    fn forget_idle(&mut self) {
        let (by_name, now) = (&mut self.by_name, self.now);
        self.hosts.retain(|_, host| {
            let keep = !host.is_idle() || host.rests_until > now;
            if !keep {
                by_name.remove(&host.name);
            }
            keep
        });
    }
}

/// So many a second, as the times at which the next may come (a token bucket; GCRA, ITU-T I.371).
#[derive(Debug, Clone, Copy)]
struct Bucket {
    interval: Duration,
    due: Moment,
}

/// Who comes late makes good for it, up to so much: timers end a little late, and a rate should be met all the same.
const SLACK: Duration = Duration::from_millis(50);

impl Bucket {
    fn new(rate: Option<f64>) -> Self {
        Self { interval: rate.map_or(Duration::ZERO, |rate| Duration::from_secs_f64(1.0 / rate)), due: Moment::ZERO }
    }

    /// When the next may come; none if at once.
    fn next(&self, now: Moment) -> Option<Moment> {
        Some(self.due).filter(|due| *due > now)
    }

    fn take(&mut self, now: Moment) {
        self.due = self.due.max(now.saturating_sub(SLACK)) + self.interval;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;
    const BOUNDS: Bounds =
        Bounds { concurrency: 100, per_host: 100, delay: Duration::ZERO, rate: None, host_rate: None };

    fn rank(depth: u32) -> Rank {
        Rank { depth, ..Rank::default() }
    }

    /// All that may go at `now`.
    fn burst(frontier: &mut Frontier<&'static str>, now: Moment) -> (Vec<&'static str>, Next<&'static str>) {
        let mut gone = Vec::new();
        loop {
            match frontier.next(now) {
                Next::Fetch(what) => gone.push(what),
                other => return (gone, other),
            }
        }
    }

    fn waits<T>(held_by: Limit, until: Option<Moment>) -> Next<T> {
        Next::Wait { held_by, until }
    }

    #[test]
    fn the_least_depth_goes_first_and_of_those_who_came_first_whatever_their_hosts() {
        let mut frontier = Frontier::new(BOUNDS);
        for (host, depth, what) in [("a", 2, "a2"), ("a", 1, "a1"), ("b", 1, "b1"), ("c", 0, "c0"), ("a", 1, "later")] {
            frontier.push(host, rank(depth), what, Moment::ZERO);
        }
        let (gone, then) = burst(&mut frontier, MS(0));
        assert_eq!(gone, ["c0", "a1", "b1", "later", "a2"]);
        assert_eq!(then, waits(Limit::Server, None));
        for host in ["a", "a", "a", "b", "c"] {
            frontier.done(host);
        }
        assert_eq!(frontier.next(MS(0)), Next::Over);
    }

    #[test]
    fn what_is_preferred_goes_before_what_is_nearer_and_a_level_before_both() {
        let mut frontier = Frontier::new(BOUNDS);
        for (level, preference, depth) in [(1, 0, 1), (0, 1, 0), (0, 0, 7), (0, 0, 2), (0, 1, 3)] {
            frontier.push("a", Rank { level, preference, depth }, (level, preference, depth), Moment::ZERO);
        }
        let mut order = vec![];
        while let Next::Fetch(what) = frontier.next(MS(0)) {
            order.push(what);
        }
        assert_eq!(order, [(0, 0, 2), (0, 0, 7), (0, 1, 0), (0, 1, 3), (1, 0, 1)]);
    }

    #[test]
    fn a_host_with_all_its_slots_taken_is_in_nobodys_way() {
        let mut frontier = Frontier::new(Bounds { per_host: 1, ..BOUNDS });
        for what in ["a", "b", "c"] {
            frontier.push("slow", rank(0), what, Moment::ZERO);
        }
        frontier.push("other", rank(5), "d", Moment::ZERO);
        assert_eq!(burst(&mut frontier, MS(0)), (vec!["a", "d"], waits(Limit::PerHost, None)));
        frontier.done("slow");
        assert_eq!(burst(&mut frontier, MS(1)), (vec!["b"], waits(Limit::PerHost, None)));
    }

    #[test]
    fn between_two_beginnings_at_one_host_is_its_delay_and_others_go_on() {
        let mut frontier = Frontier::new(Bounds { delay: MS(100), ..BOUNDS });
        for (host, what) in [("a", "a1"), ("a", "a2"), ("b", "b1"), ("b", "b2")] {
            frontier.push(host, rank(0), what, Moment::ZERO);
        }
        assert_eq!(burst(&mut frontier, MS(5)), (vec!["a1", "b1"], waits(Limit::Delay, Some(MS(105)))));
        frontier.done("a");
        assert_eq!(burst(&mut frontier, MS(104)), (vec![], waits(Limit::Delay, Some(MS(105)))));
        assert_eq!(burst(&mut frontier, MS(105)).0, ["a2", "b2"]);
    }

    #[test]
    fn a_robots_delay_counts_where_it_is_longer() {
        let mut frontier = Frontier::new(Bounds { delay: MS(100), ..BOUNDS });
        frontier.slow_down("a", MS(300));
        frontier.slow_down("b", MS(3));
        for (host, what) in [("a", "a1"), ("a", "a2"), ("b", "b1"), ("b", "b2")] {
            frontier.push(host, rank(0), what, Moment::ZERO);
        }
        assert_eq!(burst(&mut frontier, MS(0)).0, ["a1", "b1"]);
        assert_eq!(burst(&mut frontier, MS(100)).0, ["b2"]);
        assert_eq!(burst(&mut frontier, MS(300)).0, ["a2"]);
    }

    #[test]
    fn no_more_go_at_once_than_there_are_slots() {
        let mut frontier = Frontier::new(Bounds { concurrency: 2, ..BOUNDS });
        for (host, what) in [("a", "1"), ("b", "2"), ("c", "3")] {
            frontier.push(host, rank(0), what, Moment::ZERO);
        }
        assert_eq!(burst(&mut frontier, MS(0)), (vec!["1", "2"], waits(Limit::Concurrency, None)));
        frontier.done("b");
        assert_eq!(burst(&mut frontier, MS(0)).0, ["3"]);
    }

    #[test]
    fn a_rate_is_kept_also_by_who_looks_late() {
        for (late, bounds) in
            [(MS(0), Bounds { rate: Some(100.0), ..BOUNDS }), (MS(7), Bounds { host_rate: Some(100.0), ..BOUNDS })]
        {
            let mut frontier = Frontier::new(bounds);
            for _ in 0..1_000 {
                frontier.push("a", rank(0), "a", Moment::ZERO);
            }
            let (mut now, mut gone) = (MS(0), 0);
            while now < MS(5_000) {
                let (burst, then) = burst(&mut frontier, now);
                gone += burst.len();
                burst.iter().for_each(|_| frontier.done("a"));
                let Next::Wait { held_by: Limit::Rate, until: Some(until) } = then else { panic!("{then:?}") };
                now = until + late;
            }
            assert!((495..=506).contains(&gone), "{gone} in five seconds, {late:?} late");
        }
    }

    #[test]
    fn what_is_put_off_holds_no_slot_and_comes_when_it_is_due() {
        let mut frontier = Frontier::new(Bounds { concurrency: 1, ..BOUNDS });
        frontier.push("a", rank(0), "again", MS(50));
        frontier.push("a", rank(1), "now", Moment::ZERO);
        assert_eq!(burst(&mut frontier, MS(0)), (vec!["now"], waits(Limit::Concurrency, None)));
        frontier.done("a");
        assert_eq!(frontier.next(MS(1)), waits(Limit::Server, Some(MS(50))));
        assert_eq!(frontier.next(MS(50)), Next::Fetch("again"));
    }

    #[test]
    fn a_host_that_asks_for_a_rest_gets_it_with_its_whole_queue() {
        let mut frontier = Frontier::new(BOUNDS);
        frontier.push("a", rank(0), "a", Moment::ZERO);
        frontier.push("b", rank(0), "b", Moment::ZERO);
        frontier.rest("a", MS(1_000));
        assert_eq!(burst(&mut frontier, MS(0)), (vec!["b"], waits(Limit::Server, Some(MS(1_000)))));
        assert_eq!(burst(&mut frontier, MS(1_000)).0, ["a"]);
    }

    #[test]
    fn what_is_drained_comes_in_its_order_and_nothing_is_left() {
        let mut frontier = Frontier::new(BOUNDS);
        frontier.push("a", rank(1), "third", Moment::ZERO);
        frontier.push("b", rank(0), "first", MS(10));
        frontier.push("a", rank(0), "second", Moment::ZERO);
        assert_eq!(frontier.drain(), ["first", "second", "third"]);
        assert_eq!((frontier.sizes().0, frontier.next(MS(20))), (0, Next::Over));
    }

    #[test]
    fn hosts_of_which_nothing_is_wanted_are_forgotten_in_time() {
        let mut frontier = Frontier::new(Bounds { delay: MS(100), ..BOUNDS });
        for nth in 0..5 * IDLE_HOSTS_MAX as u64 {
            let host = format!("host{nth}");
            frontier.push(&host, rank(0), "page", Moment::ZERO);
            assert_eq!(frontier.next(MS(nth)), Next::Fetch("page"));
            frontier.done(&host);
        }
        assert!(frontier.sizes().2 <= 2 * IDLE_HOSTS_MAX, "{:?}", frontier.sizes());
    }
}
