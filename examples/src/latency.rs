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
//! The histogram has a fixed size, so that recording never allocates and costs every side of a comparison the same.
//! Not here: what a span begins and ends with, which the program says.   Next: [`crate::figures`].

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// The longest span that is told apart from longer ones: an hour, in microseconds. Longer spans count as an hour.
const LONGEST_US: u64 = 3_600_000_000;

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
    spans_us: Histogram<u64>,
}

impl Latency {
    /// An empty histogram of its full size.
    pub fn new() -> Self {
        let spans_us = Histogram::new_with_bounds(1, LONGEST_US, 3).expect("the bounds and digits are in range");
        Self { spans_us }
    }

    /// Adds one span, in nanoseconds.
    pub fn record(&mut self, span_ns: u64) {
        self.spans_us.saturating_record(span_ns / 1000);
    }

    /// The figures that a report shows; all zero where nothing was recorded.
    pub fn summary(&self) -> Summary {
        let at = |quantile| self.spans_us.value_at_quantile(quantile);
        Summary {
            mean: (self.spans_us.mean() * 10.0).round() / 10.0,
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            max: self.spans_us.max(),
        }
    }
}

impl Default for Latency {
    fn default() -> Self {
        Self::new()
    }
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
