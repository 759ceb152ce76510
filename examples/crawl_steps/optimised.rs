//! The third step: with limits, a time-out, retries and a rate.
//!
//! ```text
//!            ┌────────────── an attempt ──────────────┐
//!   url ──►  slot ──► token ──► connection ──► answer  ──► done
//!     ▲    at most so many     │   within the time-out │
//!     │    under way           └───────────────────────┘──► 429, 5xx, or no answer
//!     └────────────── back-off: no slot, no connection ◄──────┘
//! ```
//!
//! Three things are easily got wrong here. The slot belongs to the attempt and not to the URL: held through the back-off, a
//! few failing pages would keep the others waiting for nothing. The rate is one bucket for all: a pause of `1 / rate` in
//! each of twenty slots is a rate twenty times as high. And an answer that says failure is one, and may be worth another attempt.
//!
//! How long to back off is the article's: 1, 2, 4 seconds after time-outs, one second after anything else.
//!
//! Next: `report`.

use std::{cell::Cell, rc::Rc, time::Duration};

use windlass::{
    flow::{Backoff, Jitter, Rate, RateLimiter, Retry},
    http::{Client, Error, ErrorKind, Url},
    spawn,
    sync::Semaphore,
    task::gather_all,
};

use crate::{
    basic,
    flags::Plan,
    outcome::{Outcomes, Page},
};

/// The longest that is backed off for, in seconds.
const BACKOFF_CAP_S: f64 = 60.0;

/// Fetches `urls`, politely and with patience.
pub(crate) async fn crawl(urls: &[Rc<Url>], plan: &Plan, outcomes: &Outcomes) {
    let crawler = Rc::new(Crawler::new(plan));
    let tasks = urls.iter().enumerate().map(|(position, url)| {
        let (crawler, url, outcomes) = (Rc::clone(&crawler), Rc::clone(url), outcomes.clone());
        spawn(async move {
            let (fetched, attempts) = crawler.fetch(&url).await;
            outcomes.put(position, &url, fetched, attempts);
        })
    });
    for ended in gather_all(tasks.collect::<Vec<_>>()).await {
        ended.expect("fetching does not panic");
    }
}

struct Crawler {
    client: Client,
    slots: Semaphore,
    rate: Option<RateLimiter>,
    retry: Retry<Failed>,
}

/// An attempt that may be worth another.
enum Failed {
    /// The answer says failure.
    Answered(Page),
    /// There was none.
    Unanswered(Error),
}

impl Crawler {
    fn new(plan: &Plan) -> Crawler {
        let seconds = |article_s: f64| Duration::from_secs_f64(article_s * plan.scale);
        let (first, cap) = (seconds(1.0), seconds(BACKOFF_CAP_S));
        Crawler {
            client: basic::client(plan),
            slots: Semaphore::new(plan.limits.at_once as usize),
            rate: plan.limits.rate.map(|rate| RateLimiter::new(Rate::new(rate, first), 1)),
            retry: Retry::new(plan.attempts)
                .backoff(Backoff::exponential(first, cap).jitter(Jitter::None))
                .retry_after(cap, move |failed: &Failed| if failed.is_timeout() { None } else { Some(first) }),
        }
    }

    /// Fetches one page, in as many attempts as it takes and may take; yields how many there were.
    async fn fetch(&self, url: &Url) -> (Result<Page, Error>, u32) {
        let attempts = Cell::new(0);
        let tried = self.retry.run(async |attempt| {
            attempts.set(attempt.number);
            let _slot = self.slots.acquire().await; // until the attempt ends, and no longer
            if let Some(rate) = &self.rate {
                rate.acquire(1).await;
            }
            match basic::fetch(&self.client, url).await {
                Ok(page) if page.status == 429 || page.status >= 500 => Err(Failed::Answered(page)),
                Ok(page) => Ok(page),
                Err(error) => Err(Failed::Unanswered(error)),
            }
        });
        let fetched = match tried.await {
            Ok(page) => Ok(page),
            Err(gave_up) => match gave_up.into_last().expect("the client's time-out is an error like others") {
                Failed::Answered(page) => Ok(page),
                Failed::Unanswered(error) => Err(error),
            },
        };
        (fetched, attempts.get())
    }
}

impl Failed {
    fn is_timeout(&self) -> bool {
        use ErrorKind::{TimeoutConnect, TimeoutRead, TimeoutResolve, TimeoutTotal};
        let timeouts = [TimeoutResolve, TimeoutConnect, TimeoutRead, TimeoutTotal];
        matches!(self, Failed::Unanswered(error) if timeouts.contains(&error.kind()))
    }
}

#[cfg(test)]
mod tests {
    use windlass::{Loop, Runner, http::Server, time::Instant};

    use super::*;
    use crate::{
        flags::{Limits, StepName, Whose},
        outcome::Outcome,
        site::{self, Arrivals},
    };

    /// What the step does on a paused clock, site and all: outcomes, seconds, and when the site was asked.
    fn crawled(pages: u64, failing: u64, delay_s: u64, plan: Plan) -> (Vec<Outcome>, f64, Vec<f64>) {
        let paused = Runner::on(Loop::builder().paused_clock()).leave_ctrl_c();
        let crawled = paused.run(async move {
            let server = Server::bind(([127, 0, 0, 1], 0).into()).unwrap();
            let urls = site::urls(server.local_addr().unwrap(), pages);
            let arrivals = Arrivals::default();
            let delay = Duration::from_secs(delay_s);
            let site = spawn(site::serve(server, delay, failing, Arrivals::clone(&arrivals)));
            let outcomes = Outcomes::of(&urls);
            let began = Instant::now();
            crawl(&urls, &plan, &outcomes).await;
            let took_s = began.elapsed().as_secs_f64();
            site.abort();
            let asked: Vec<_> = arrivals.lock().unwrap().iter().map(|at| (*at - began).as_secs_f64()).collect();
            (outcomes.ended(), took_s, asked)
        });
        crawled.unwrap()
    }

    fn plan(at_once: u64, per_host: u64, rate: Option<u64>) -> Plan {
        Plan {
            step: StepName::Optimised,
            whose: Whose::Sensible,
            limits: Limits { at_once, per_host: Some(per_host), rate },
            promised_s: None,
            attempts: 3,
            timeout: Duration::from_secs(30),
            scale: 1.0,
        }
    }

    /// Of a paused clock, to the nanosecond; of floating point, less.
    fn assert_s(took_s: f64, expected_s: f64) {
        assert!((took_s - expected_s).abs() < 1e-6, "{took_s} s, not {expected_s} s");
    }

    #[test]
    fn a_hundred_pages_take_exactly_what_the_limits_say() {
        for (at_once, per_host, rate) in
            [(20, 5, None), (20, 20, None), (100, 100, None), (20, 20, Some(10)), (20, 20, Some(50))]
        {
            let plan = plan(at_once, per_host, rate);
            let (outcomes, took_s, asked) = crawled(100, 0, 1, plan);
            assert!(outcomes.iter().all(|outcome| outcome.success && outcome.size == Some(128)));
            assert_s(took_s, crate::floor::floor(100, 1.0, plan.limits).span_s);
            assert_eq!(asked.len(), 100);
        }
    }

    #[test]
    fn who_backs_off_holds_no_slot() {
        // One slot: page 0 fails at 1 s, 2 + 1 s later at 3 s, and the last time; pages 1 and 2 go in between.
        let (outcomes, took_s, asked) = crawled(3, 1, 1, plan(1, 1, None));
        let statuses: Vec<_> = outcomes.iter().map(|outcome| (outcome.status.unwrap(), outcome.attempts)).collect();
        assert_eq!(statuses, [(503, 3), (200, 1), (200, 1)]);
        // 0: page 0; 1: page 1; 2: page 2, for which page 0 waits, then 3: page 0; back-off; 5: page 0.
        asked.iter().zip([0.0, 1.0, 2.0, 3.0, 5.0]).for_each(|(at_s, expected_s)| assert_s(*at_s, expected_s));
        assert_s(took_s, 6.0); // with the slot held it were 7
    }

    #[test]
    fn the_rate_is_one_for_all_slots() {
        let (_, _, asked) = crawled(50, 0, 1, plan(20, 20, Some(10)));
        asked.windows(2).for_each(|two| assert_s(two[1] - two[0], 0.1));
    }

    #[test]
    fn after_time_outs_the_back_off_doubles_and_after_answers_it_does_not() {
        let slow = Plan { timeout: Duration::from_secs(5), attempts: 4, ..plan(1, 1, None) };
        let (outcomes, took_s, _) = crawled(1, 0, 60, slow);
        assert!(outcomes[0].error.as_deref().unwrap().contains("timed out"), "{outcomes:?}");
        assert_s(took_s, 4.0 * 5.0 + 1.0 + 2.0 + 4.0);
        let (outcomes, took_s, _) = crawled(1, 1, 1, Plan { attempts: 4, ..plan(1, 1, None) });
        assert_eq!((outcomes[0].status, outcomes[0].success), (Some(503), false));
        assert_s(took_s, 4.0 * 1.0 + 3.0);
    }
}
