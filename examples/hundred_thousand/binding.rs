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
//! ```
//!
//! Looking costs a few additions. Requests enter the moment that others leave, thousands of times a second, and the
//! picture changes only then, or when a connection is made.
//! Not here: how busy either side's core was, which the kernel knows (`engine`).   Next: `engine`.

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
            Some(Limit::BatchBarrier) => {
                self.batch_barrier_ns += span_ns;
                self.barrier_idle_ns += span_ns * self.idle;
            }
            Some(Limit::Server | Limit::Loop) | None => {}
        }
    }

    /// Each limit's share of the run.
    pub(crate) fn shares(&self) -> [(Limit, f64); 4] {
        let share = |span_ns: u64| span_ns as f64 / self.lasted_ns();
        [
            (Limit::Concurrency, share(self.concurrency_ns)),
            (Limit::PerHost, share(self.per_host_ns)),
            (Limit::Connect, share(self.connect_ns)),
            (Limit::BatchBarrier, share(self.batch_barrier_ns)),
        ]
    }

    /// Of all the time that the connections had, the share in which they stood idle behind a barrier.
    pub(crate) fn barrier_idle(&self) -> f64 {
        self.barrier_idle_ns as f64 / (self.lasted_ns() * self.settings.connections() as f64)
    }

    fn lasted_ns(&self) -> f64 {
        (self.since_ns - self.began_ns).max(1) as f64
    }

    fn holder(&self, census: Census, in_window: u64, unsent: u64) -> Option<Limit> {
        let Settings { concurrency, batch, .. } = self.settings;
        if census.waiting > 0 {
            let mostly_connecting = census.connecting * 2 > census.in_use;
            return Some(if mostly_connecting { Limit::Connect } else { Limit::PerHost });
        }
        if batch.is_some() && unsent == 0 {
            return Some(Limit::BatchBarrier);
        }
        (in_window >= concurrency).then_some(Limit::Concurrency)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTINGS: Settings =
        Settings { requests: 1000, concurrency: 100, per_host: 10, batch: None, max_requests: None, answer: None };
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
    fn the_end_of_a_sliding_window_is_no_barrier() {
        let census = Census { waiting: 0, in_use: 4, connecting: 0 };
        assert!(shares(SETTINGS, census, 4, 0).is_empty());
    }
}
