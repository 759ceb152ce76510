//! Numbers as people read them.
//!
//! A report is read by a person under time pressure: `100,000` is a glance, `100000` is a count of zeros.
//!
//! ```text
//!     1234567   ──► 1,234,567        thousands
//!     0.0000113 ──► 11.3 µs          seconds
//!     2.5       ◄── "2.5"            parse_seconds
//! ```
//!
//! Not here: numbers for machines, which go into JSON as they are.   Next: [`crate::process`].

use std::time::Duration;

/// Groups the digits of `number` by thousands: `1,234,567`.
///
/// ```
/// assert_eq!(windlass_examples::figures::thousands(1_234_567), "1,234,567");
/// assert_eq!(windlass_examples::figures::thousands(999), "999");
/// ```
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// Gives a count of things, one of which is a `thing`: `1 page`, `1,200 pages`.
///
/// ```
/// assert_eq!(windlass_examples::figures::counted(1, "page"), "1 page");
/// assert_eq!(windlass_examples::figures::counted(1_200, "page"), "1,200 pages");
/// ```
pub fn counted(count: u64, thing: &str) -> String {
    format!("{} {thing}{}", thousands(count), if count == 1 { "" } else { "s" })
}

/// Gives how often a second something is: `0.33`, `16`, `1,200`.
///
/// ```
/// use windlass_examples::figures::rate;
/// assert_eq!([rate(0.333), rate(9.5), rate(16.4), rate(1_200.0)], ["0.33", "9.50", "16", "1,200"]);
/// ```
pub fn rate(per_s: f64) -> String {
    if per_s < 10.0 { format!("{per_s:.2}") } else { thousands(per_s.round() as u64) }
}

/// Gives a span of time in the unit that leaves one to three digits before the point: `2.31 s`, `11.3 µs`.
///
/// ```
/// use windlass_examples::figures::seconds;
/// assert_eq!(seconds(2.309), "2.31 s");
/// assert_eq!(seconds(0.0457), "45.7 ms");
/// assert_eq!(seconds(0.0000113), "11.3 µs");
/// ```
pub fn seconds(span_s: f64) -> String {
    if span_s >= 1.0 {
        format!("{span_s:.2} s")
    } else if span_s >= 0.001 {
        format!("{:.1} ms", span_s * 1e3)
    } else {
        format!("{:.1} µs", span_s * 1e6)
    }
}

/// Gives a share of one as a percentage: `47 %`.
///
/// ```
/// assert_eq!(windlass_examples::figures::percent(0.469), "47 %");
/// ```
pub fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

/// Gives the middle of `values`, the mean of the middle two where there is an even number; zero where there is none.
///
/// ```
/// assert_eq!(windlass_examples::figures::median(&[3.0, 1.0, 2.0]), 2.0);
/// assert_eq!(windlass_examples::figures::median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
/// ```
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => 0.0,
        odd if odd % 2 == 1 => sorted[middle],
        _ => (sorted[middle - 1] + sorted[middle]) / 2.0,
    }
}

/// Gives the median distance of `values` from their median, as a share of it; zero for a single one.
///
/// ```
/// use windlass_examples::figures::spread;
/// assert_eq!(spread(&[8.0, 10.0, 11.0]), 0.1);
/// assert_eq!(spread(&[5.0]), 0.0);
/// ```
pub fn spread(values: &[f64]) -> f64 {
    let middle = median(values);
    let distances: Vec<_> = values.iter().map(|value| (value - middle).abs()).collect();
    median(&distances) / middle
}

/// A span of time as people write it: seconds above zero, also parts of one.
///
/// # Errors
/// It is something else; the text says what to give.
///
/// ```
/// use windlass_examples::figures::parse_seconds;
/// assert_eq!(parse_seconds("2.5").unwrap().as_millis(), 2_500);
/// assert_eq!(parse_seconds("0").unwrap_err(), "give seconds above zero, such as 2.5");
/// ```
pub fn parse_seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    seconds.filter(|span| !span.is_zero()).ok_or_else(|| "give seconds above zero, such as 2.5".to_owned())
}
