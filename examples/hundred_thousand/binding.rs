//! What held the work back.
//!
//! "A thousand at once" means little where a hundred connections are all that the host gets. So each time a request
//! enters the window, somebody looks at who waits for what, and the time until the next look is put down to it.
//!
//! ```text
//!     some wait, most connections still being made ──► connect
//!     some wait for a connection                   ──► per_host
//!     none waits, the window is full               ──► concurrency
//!     none waits, the batch has none left to start ──► batch_barrier, and how many connections idle
//!     none waits, the next is not due yet          ──► rate
//! ```
//!
//! Looking costs a few additions. Requests enter the moment that others leave, thousands of times a second, and the
//! picture changes only then, or when a connection is made.
//!
//! What the settings say about latency is no measurement, but a law (Little 1961): with `n` under way at any moment and
//! `x` that end in a second, each takes `n / x` seconds, however they are served. [`Little`] puts that beside what was
//! measured. To divide the run's time by the number of requests is to leave out `n`.
//! Not here: how busy either side's core was, which the kernel knows (`engine`).   Next: `engine`.

use serde::Serialize;

use crate::contract::{Limit, Settings};

/// How many requests an engine has in which state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Census {
    /// Waiting for one of the host's connections.
    pub(crate) waiting: u64,
    /// Having one of them, or making it.
    pub(crate) in_use: u64,
    /// Making it.
    pub(crate) connecting: u64,
}

/// Adds up the time that each limit held the work back.
#[derive(Debug, Clone)]
pub(crate) struct Binding {
    settings: Settings,
    /// When the run began and when somebody last looked, on the clock of whoever looks.
    began_ns: u64,
    since_ns: u64,
    held_by: Option<Limit>,
    idle: u64,
    concurrency_ns: u64,
    per_host_ns: u64,
    connect_ns: u64,
    rate_ns: u64,
    batch_barrier_ns: u64,
    /// Connections standing idle behind a barrier, in connection-nanoseconds.
    barrier_idle_ns: u64,
}

impl Binding {
    pub(crate) fn new(settings: Settings, began_ns: u64) -> Self {
        Self {
            settings,
            began_ns,
            since_ns: began_ns,
            held_by: None,
            idle: 0,
            concurrency_ns: 0,
            per_host_ns: 0,
            connect_ns: 0,
            rate_ns: 0,
            batch_barrier_ns: 0,
            barrier_idle_ns: 0,
        }
    }

    /// Looks around now: what the engine says, how many are in the window, how many the batch has not sent yet.
    pub(crate) fn note(&mut self, now_ns: u64, census: Census, in_window: u64, unsent: u64) {
        self.end(now_ns);
        self.held_by = self.holder(census, in_window, unsent);
        self.idle = self.settings.connections().saturating_sub(census.in_use);
    }

    /// Puts the time since the last look down to what held the work back then.
    pub(crate) fn end(&mut self, now_ns: u64) {
        // Tasks read the clock before they look: two looks in one turn may come in either order.
        let span_ns = now_ns.saturating_sub(self.since_ns);
        self.since_ns = self.since_ns.max(now_ns);
        match self.held_by {
            Some(Limit::Concurrency) => self.concurrency_ns += span_ns,
            Some(Limit::PerHost) => self.per_host_ns += span_ns,
            Some(Limit::Connect) => self.connect_ns += span_ns,
            Some(Limit::Rate) => self.rate_ns += span_ns,
            Some(Limit::BatchBarrier) => {
                self.batch_barrier_ns += span_ns;
                self.barrier_idle_ns += span_ns * self.idle;
            }
            Some(Limit::Server | Limit::Loop) | None => {}
        }
    }

    /// Each limit's share of the run.
    pub(crate) fn shares(&self) -> Vec<(Limit, f64)> {
        let share = |span_ns: u64| span_ns as f64 / self.lasted_ns();
        let rate = self.settings.rate.map(|_| (Limit::Rate, share(self.rate_ns)));
        let always = [
            (Limit::Concurrency, share(self.concurrency_ns)),
            (Limit::PerHost, share(self.per_host_ns)),
            (Limit::Connect, share(self.connect_ns)),
            (Limit::BatchBarrier, share(self.batch_barrier_ns)),
        ];
        always.into_iter().chain(rate).collect()
    }

    /// Of all the time that the connections had, the share in which they stood idle behind a barrier.
    pub(crate) fn barrier_idle(&self) -> f64 {
        self.barrier_idle_ns as f64 / (self.lasted_ns() * self.settings.connections() as f64)
    }

    fn lasted_ns(&self) -> f64 {
        (self.since_ns - self.began_ns).max(1) as f64
    }

    fn holder(&self, census: Census, in_window: u64, unsent: u64) -> Option<Limit> {
        let Settings { concurrency, batch, rate, .. } = self.settings;
        if census.waiting > 0 {
            let mostly_connecting = census.connecting * 2 > census.in_use;
            return Some(if mostly_connecting { Limit::Connect } else { Limit::PerHost });
        }
        if batch.is_some() && unsent == 0 {
            return Some(Limit::BatchBarrier);
        }
        if in_window >= concurrency {
            return Some(Limit::Concurrency);
        }
        (rate.is_some() && unsent > 0).then_some(Limit::Rate)
    }
}

/// What follows from the settings and from how many requests ended in a second, without looking at a single one.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Little {
    /// The most that can be in the window, and the most of them that can have a connection.
    pub(crate) in_window: u64,
    pub(crate) connections: u64,
    /// With a window that is always full: from entering it to the last byte, in seconds.
    pub(crate) latency_s: f64,
    /// With connections that are always in use: from having one to the last byte, in seconds.
    pub(crate) exchange_s: f64,
    /// The run's time by the number of requests, which is no latency, in seconds.
    pub(crate) elapsed_by_requests_s: f64,
    /// With a server that waits before each answer: no more than so many can end in a second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) requests_per_s_max: Option<f64>,
}

impl Little {
    pub(crate) fn of(settings: Settings, requests_per_s: f64) -> Self {
        let (in_window, connections) = (settings.in_window(), settings.connections());
        let delay_s = settings.answer.and_then(|answer| answer.delay_s);
        Self {
            in_window,
            connections,
            latency_s: in_window as f64 / requests_per_s,
            exchange_s: connections as f64 / requests_per_s,
            elapsed_by_requests_s: 1.0 / requests_per_s,
            requests_per_s_max: delay_s.map(|delay_s| connections as f64 / delay_s),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::Answer;

    const SETTINGS: Settings = Settings { requests: 1000, concurrency: 100, per_host: 10, ..Settings::DEFAULT };
    const SECOND_NS: u64 = 1_000_000_000;

    /// One second under `census`, one second of nothing.
    fn shares(settings: Settings, census: Census, in_window: u64, unsent: u64) -> Vec<(Limit, f64)> {
        let mut binding = Binding::new(settings, 0);
        binding.note(0, census, in_window, unsent);
        binding.note(SECOND_NS, Census::default(), 0, 1);
        binding.end(2 * SECOND_NS);
        binding.shares().into_iter().filter(|(_, share)| *share > 0.0).collect()
    }

    #[test]
    fn waiting_for_a_connection_is_put_down_to_the_host() {
        let census = Census { waiting: 90, in_use: 10, connecting: 0 };
        assert_eq!(shares(SETTINGS, census, 100, 900), [(Limit::PerHost, 0.5)]);
    }

    #[test]
    fn waiting_while_connections_are_made_is_put_down_to_connecting() {
        let census = Census { waiting: 90, in_use: 10, connecting: 9 };
        assert_eq!(shares(SETTINGS, census, 100, 900), [(Limit::Connect, 0.5)]);
    }

    #[test]
    fn a_full_window_in_which_nobody_waits_is_its_own_limit() {
        let settings = Settings { concurrency: 10, per_host: 100, ..SETTINGS };
        let census = Census { waiting: 0, in_use: 10, connecting: 0 };
        assert_eq!(shares(settings, census, 10, 900), [(Limit::Concurrency, 0.5)]);
    }

    #[test]
    fn a_batch_with_nothing_left_to_start_waits_at_its_barrier_with_idle_connections() {
        let mut binding = Binding::new(Settings { batch: Some(100), ..SETTINGS }, 0);
        binding.note(0, Census { waiting: 0, in_use: 4, connecting: 0 }, 4, 0);
        binding.end(SECOND_NS);
        assert_eq!(binding.shares()[3], (Limit::BatchBarrier, 1.0));
        assert!((binding.barrier_idle() - 0.6).abs() < 1e-9, "six of ten connections stood idle");
    }

    #[test]
    fn a_schedule_holds_back_what_is_not_due_and_nothing_else() {
        let settings = Settings { rate: Some(50.0), ..SETTINGS };
        let free = Census { waiting: 0, in_use: 4, connecting: 0 };
        assert_eq!(shares(settings, free, 4, 900)[0], (Limit::Rate, 1.0), "the second of nothing, too");
        let waiting = Census { waiting: 1, ..free };
        assert_eq!(shares(settings, waiting, 5, 900), [(Limit::PerHost, 0.5), (Limit::Rate, 0.5)]);
        assert_eq!(shares(settings, free, 100, 900), [(Limit::Concurrency, 0.5), (Limit::Rate, 0.5)]);
        assert_eq!(
            shares(settings, free, 4, 0),
            [(Limit::Rate, 0.5)],
            "the last have begun: only the answers are awaited"
        );
    }

    #[test]
    fn four_hundred_a_second_over_a_hundred_connections_take_a_quarter_of_a_second_each() {
        // The article's figures: its 2.5 ms are the run's time by the number of requests.
        let little = Little::of(Settings { batch: Some(1000), ..Settings::DEFAULT }, 400.0);
        assert_eq!((little.in_window, little.connections), (1000, 100));
        assert_eq!((little.latency_s, little.exchange_s, little.elapsed_by_requests_s), (2.5, 0.25, 0.0025));
        assert_eq!(little.requests_per_s_max, None);
        let answer = Some(Answer { delay_s: Some(0.25), ..Answer::DEFAULT });
        assert_eq!(Little::of(Settings { answer, ..Settings::DEFAULT }, 390.0).requests_per_s_max, Some(400.0));
    }

    #[test]
    fn the_end_of_a_sliding_window_is_no_barrier() {
        let census = Census { waiting: 0, in_use: 4, connecting: 0 };
        assert!(shares(SETTINGS, census, 4, 0).is_empty());
    }
}
