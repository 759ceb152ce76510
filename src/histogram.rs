//! How long, how often.
//! A mean hides what hurts: one poll of a second among a million short ones. A histogram does not, and 65 counters are
//! enough for every duration there is, if each bucket is twice as wide as the one before:
//!
//! ```text
//!     0 │ 1 │ 2..4 │ 4..8 │ · · · │ 512..1,024 ns │ 1,024..2,048 ns │ · · · │ 2^63.. ns
//! ```
//!
//! To record is one shift and one addition; a quantile is known to within its bucket.
//! Not here: what is measured (`watch`).   Next: `debug`.

use std::fmt;
use std::ops::Range;
use std::time::Duration;

/// One for no time at all, one for each power of two.
const BUCKETS: usize = 65;

/// Where a loop's time goes, as [`Builder::histograms`](crate::Builder::histograms) asks for.
///
/// ```
/// let crank = windlass::Loop::builder().histograms().build()?;
/// crank.block_on(windlass::task::yield_now());
/// let histograms = crank.histograms().expect("they were asked for");
/// assert_eq!(histograms.poll_time.count(), crank.metrics().polls);
/// # std::io::Result::Ok(())
/// ```
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct Histograms {
    /// How long polls took; one for each poll.
    pub poll_time: Histogram,
    /// How long tasks stood in line: from the spawn or the wake-up to the poll, or from the end of the poll in which a
    /// task woke itself. One for each poll.
    pub scheduling_delay: Histogram,
}

/// How often something took how long, in buckets of powers of two.
///
/// ```
/// # let crank = windlass::Loop::builder().histograms().build().unwrap();
/// # crank.block_on(windlass::task::yield_now());
/// let poll_time = crank.histograms().unwrap().poll_time;
/// let (median, worst) = (poll_time.quantile(0.5).unwrap(), poll_time.max());
/// assert!(median / 2 <= worst); // the median is known to within its bucket
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Histogram {
    counts: [u64; BUCKETS],
    sum_ns: u64,
    max_ns: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Histogram { counts: [0; BUCKETS], sum_ns: 0, max_ns: 0 }
    }
}

impl Histogram {
    pub(crate) fn record(&mut self, ns: u64) {
        self.counts[bucket_of(ns)] += 1;
        self.sum_ns = self.sum_ns.saturating_add(ns);
        self.max_ns = self.max_ns.max(ns);
    }

    /// How many durations were recorded.
    ///
    /// ```
    /// assert_eq!(windlass::Histogram::default().count(), 0);
    /// ```
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// All of them together.
    ///
    /// ```
    /// assert!(windlass::Histogram::default().sum().is_zero());
    /// ```
    pub fn sum(&self) -> Duration {
        Duration::from_nanos(self.sum_ns)
    }

    /// The longest; zero if there is none.
    ///
    /// ```
    /// assert!(windlass::Histogram::default().max().is_zero());
    /// ```
    pub fn max(&self) -> Duration {
        Duration::from_nanos(self.max_ns)
    }

    /// The mean. None if there is nothing to take it of.
    ///
    /// ```
    /// assert_eq!(windlass::Histogram::default().mean(), None);
    /// ```
    pub fn mean(&self) -> Option<Duration> {
        self.sum_ns.checked_div(self.count()).map(Duration::from_nanos)
    }

    /// What at least a share of `q` of the durations is below, or at: the end of the bucket in which they are, or the
    /// longest duration if that is less. None if there are none.
    ///
    /// # Panics
    /// If `q` is not between 0 and 1.
    ///
    /// ```
    /// assert_eq!(windlass::Histogram::default().quantile(0.99), None);
    /// ```
    #[track_caller]
    pub fn quantile(&self, q: f64) -> Option<Duration> {
        assert!((0.0..=1.0).contains(&q), "a quantile is a share between 0 and 1, not {q}");
        let wanted = (q * self.count() as f64).ceil().max(1.0) as u64;
        let mut below = 0;
        let bucket = self.counts.iter().position(|count| {
            below += count;
            below >= wanted
        })?;
        Some(Duration::from_nanos(bounds(bucket).end.min(self.max_ns)))
    }

    /// The buckets that are not empty, from the shortest, each with its bounds and how many fell into it.
    ///
    /// ```
    /// # let crank = windlass::Loop::builder().histograms().build().unwrap();
    /// # crank.block_on(async {});
    /// for (bounds, count) in crank.histograms().unwrap().poll_time.buckets() {
    ///     println!("{:?} to {:?}: {count}", bounds.start, bounds.end);
    /// }
    /// ```
    pub fn buckets(&self) -> impl Iterator<Item = (Range<Duration>, u64)> {
        let filled = self.counts.iter().enumerate().filter(|(_, count)| **count > 0);
        filled.map(|(bucket, count)| {
            let Range { start, end } = bounds(bucket);
            (Duration::from_nanos(start)..Duration::from_nanos(end), *count)
        })
    }
}

impl fmt::Debug for Histogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.buckets()).finish()
    }
}

/// 0 for none, n for 2^(n - 1) and above.
fn bucket_of(ns: u64) -> usize {
    (u64::BITS - ns.leading_zeros()) as usize
}

fn bounds(bucket: usize) -> Range<u64> {
    let below = |bits: usize| 1_u64.checked_shl(bits as u32).unwrap_or(u64::MAX);
    match bucket {
        0 => 0..1,
        bucket => below(bucket - 1)..below(bucket),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_duration_falls_into_the_bucket_with_its_bounds() {
        for bits in 0..64 {
            for ns in [(1_u64 << bits) - 1, 1 << bits, (1 << bits) + 1] {
                let bounds = bounds(bucket_of(ns));
                assert!(bounds.contains(&ns), "{ns} in {bounds:?}");
            }
        }
        assert_eq!(bounds(bucket_of(u64::MAX)), 1 << 63..u64::MAX, "whose end is as far as 64 bits go");
    }

    #[test]
    fn a_quantile_is_the_end_of_its_bucket_and_never_beyond_the_longest() {
        let mut histogram = Histogram::default();
        for ns in [3, 3, 3, 100] {
            histogram.record(ns);
        }
        let quantile = |q| histogram.quantile(q).unwrap().as_nanos();
        assert_eq!((quantile(0.0), quantile(0.75), quantile(0.76), quantile(1.0)), (4, 4, 100, 100));
        assert_eq!((histogram.mean(), histogram.sum()), (Some(Duration::from_nanos(27)), Duration::from_nanos(109)));
    }
}
