//! How long things took.
//!
//! A mean hides what one request in a hundred lives through, and elapsed time divided by the number of requests is no
//! latency at all: with a hundred in flight it is a hundred times too small. So every span is recorded by itself.
//!
//! ```text
//!     record 912 µs ──► [ ..|...|..#..|....|... ] ──► mean, p50, p90, p99, p99.9, max
//!                        log-linear buckets, 3 digits
//! ```
//!
//! The histogram has a fixed size, so that recording never allocates and costs every side of a comparison the same: a
//! dozen instructions.
//! Not here: what a span begins and ends with, which the program says.   Next: [`crate::figures`].

use nix::{sys::time::TimeSpec, time::ClockId};
use serde::{Deserialize, Serialize};

/// The longest span that is told apart from longer ones: an hour, in microseconds. Longer spans count as an hour.
const LONGEST_US: u64 = 3_600_000_000;

/// Buckets to a doubling: the widest is a thousandth of what is in it.
const STEPS: usize = 1024;

/// The time on the monotonic clock, in nanoseconds since some moment before this process began. To subtract two numbers
/// is cheaper than to subtract two instants, and it is done for every request.
///
/// ```
/// use windlass_examples::latency::now_ns;
/// let before_ns = now_ns();
/// assert!(now_ns() >= before_ns);
/// ```
pub fn now_ns() -> u64 {
    let now: TimeSpec = ClockId::CLOCK_MONOTONIC.now().expect("every kernel has a monotonic clock");
    now.tv_sec() as u64 * 1_000_000_000 + now.tv_nsec() as u64 // both are positive; good for five hundred years
}

/// Spans of time, kept in microseconds at three significant digits.
///
/// ```
/// let mut latency = windlass_examples::latency::Latency::new();
/// for span_ms in 1..=100 {
///     latency.record(span_ms * 1_000_000);
/// }
/// let summary = latency.summary();
/// assert!((49_900..=50_100).contains(&summary.p50));
/// assert!(summary.max >= 100_000);
/// ```
#[derive(Debug)]
pub struct Latency {
    /// How many spans fell into each bucket.
    counts: Box<[u64]>,
    count: u64,
    total_us: u64,
    max_us: u64,
}

impl Latency {
    /// An empty histogram of its full size.
    pub fn new() -> Self {
        Self { counts: vec![0; bucket_of(LONGEST_US) + 1].into(), count: 0, total_us: 0, max_us: 0 }
    }

    /// Adds one span, in nanoseconds.
    #[inline]
    pub fn record(&mut self, span_ns: u64) {
        let span_us = (span_ns / 1000).min(LONGEST_US);
        self.counts[bucket_of(span_us)] += 1;
        self.count += 1;
        self.total_us += span_us;
        self.max_us = self.max_us.max(span_us);
    }

    /// The figures that a report shows; all zero where nothing was recorded.
    pub fn summary(&self) -> Summary {
        Summary {
            mean: (self.total_us as f64 / self.count.max(1) as f64 * 10.0).round() / 10.0,
            p50: self.at(0.5),
            p90: self.at(0.9),
            p99: self.at(0.99),
            p999: self.at(0.999),
            max: self.max_us,
        }
    }

    /// What the share `quantile` of the spans did not exceed, in microseconds.
    fn at(&self, quantile: f64) -> u64 {
        let wanted = ((self.count as f64 * quantile).ceil() as u64).max(1);
        let mut seen = 0;
        let bucket = self.counts.iter().position(|&count| {
            seen += count;
            seen >= wanted
        });
        bucket.map_or(0, longest_in).min(self.max_us)
    }
}

impl Default for Latency {
    fn default() -> Self {
        Self::new()
    }
}

/// Where a span belongs: exact below two thousand, then by its eleven leading bits.
///
/// ```text
///     0 ... 2047 | 2048, 2050 ... 4094 | 4096, 4100 ... 8188 | ...
///       by ones       by twos               by fours
/// ```
#[inline]
fn bucket_of(span_us: u64) -> usize {
    let halvings = (span_us | 1).ilog2().saturating_sub(STEPS.ilog2());
    halvings as usize * STEPS + (span_us >> halvings) as usize
}

/// The longest span in a bucket.
fn longest_in(bucket: usize) -> u64 {
    let halvings = (bucket / STEPS).saturating_sub(1);
    (((bucket - halvings * STEPS + 1) as u64) << halvings) - 1
}

/// A histogram in six figures, all in microseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// The arithmetic mean.
    pub mean: f64,
    /// Half of the spans were at most this long.
    pub p50: u64,
    /// Nine in ten.
    pub p90: u64,
    /// Ninety-nine in a hundred.
    pub p99: u64,
    /// Nine hundred and ninety-nine in a thousand.
    pub p999: u64,
    /// The longest of them all.
    pub max: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_follow_each_other_without_a_gap_and_are_a_thousandth_wide() {
        for bucket in 0..bucket_of(LONGEST_US) {
            let (shortest, longest) = (if bucket == 0 { 0 } else { longest_in(bucket - 1) + 1 }, longest_in(bucket));
            assert_eq!((bucket_of(shortest), bucket_of(longest)), (bucket, bucket));
            assert!((longest - shortest) * 1000 <= longest, "{shortest} to {longest}");
        }
    }

    #[test]
    fn quantiles_are_those_of_the_sorted_spans_to_a_thousandth() {
        let spans_us: Vec<u64> = (0..10_000_u64).map(|n| n * n * 7 % 9_973_001).collect();
        let mut latency = Latency::new();
        spans_us.iter().for_each(|span_us| latency.record(span_us * 1000 + 999));
        let mut sorted = spans_us;
        sorted.sort_unstable();
        let summary = latency.summary();
        for (told, rank) in [(summary.p50, 5000), (summary.p90, 9000), (summary.p99, 9900), (summary.p999, 9990)] {
            let exact = sorted[rank - 1];
            assert!((exact..=exact + exact / 1000).contains(&told), "{told} for {exact}");
        }
        assert_eq!(summary.max, sorted[9999]);
    }

    #[test]
    fn a_span_beyond_the_longest_counts_as_the_longest() {
        let mut latency = Latency::new();
        latency.record(u64::MAX);
        assert_eq!((latency.summary().p50, latency.summary().max), (LONGEST_US, LONGEST_US));
    }

    #[test]
    fn nothing_recorded_is_all_zero() {
        assert_eq!(Latency::new().summary(), Summary::default());
    }
}
