//! Many runs, one figure: the median, and how far the others are from it.
//!
//! The spread is the median distance from the median, as a share of it: one round disturbed by a neighbour moves neither.
//!
//! ```text
//!      30 31 31 32 80   ──►   31 ±3 %
//! ```
//!
//! Next: `table`.

use std::collections::BTreeMap;

use super::rows::Row;

/// Every run's figure for one metric on one side.
#[derive(Clone, Debug, Default)]
pub(crate) struct Samples(Vec<f64>);

impl Samples {
    pub(crate) fn push(&mut self, value: f64) {
        self.0.push(value);
    }

    pub(crate) fn values(&self) -> &[f64] {
        &self.0
    }

    pub(crate) fn median(&self) -> f64 {
        median(self.0.clone())
    }

    /// The median distance from the median.
    pub(crate) fn spread(&self) -> f64 {
        let median = self.median();
        self::median(self.0.iter().map(|value| (value - median).abs()).collect())
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        odd if odd % 2 == 1 => values[odd / 2],
        even => f64::midpoint(values[even / 2 - 1], values[even / 2]),
    }
}

/// What a row's runs gave.
pub(crate) struct Measured {
    pub(crate) row: &'static Row,
    /// By metric, then by the name of the side.
    pub(crate) metrics: BTreeMap<String, BTreeMap<&'static str, Samples>>,
}

impl Measured {
    pub(crate) fn new(row: &'static Row) -> Measured {
        Measured { row, metrics: BTreeMap::new() }
    }

    pub(crate) fn add(&mut self, metric: &str, side: &'static str, value: f64) {
        self.metrics.entry(metric.to_owned()).or_default().entry(side).or_default().push(value);
    }

    pub(crate) fn get(&self, metric: &str, side: &str) -> Option<&Samples> {
        self.metrics.get(metric)?.get(side)
    }
}
