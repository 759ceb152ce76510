//! How long it must take.
//!
//! Before a request is sent, its limits say when the last one can end. With five connections the sixth URL begins when
//! the first has ended; with ten requests a second it begins half a second after the start. No loop changes that.
//!
//! ```text
//!   begin(i) = the later of   begin(i - connections) + delay      somebody has ended
//!                             begin(i - 1) + 1 / rate             it is time
//!   floor    = begin(last) + delay
//! ```
//!
//! Not here: how long it did take.   Next: `site`.

use crate::flags::Limits;

/// The least time that limits allow.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Floor {
    /// In seconds, of those of which a request takes `delay_s`.
    pub(crate) span_s: f64,
    /// What holds it back.
    pub(crate) held_by: String,
}

/// The floor for `requests` that each take `delay_s`.
pub(crate) fn floor(requests: u64, delay_s: f64, limits: Limits) -> Floor {
    Floor { span_s: span(requests, delay_s, limits), held_by: held_by(requests, delay_s, limits) }
}

/// So many connections have to be used for `requests` to end within `span_s`.
pub(crate) fn connections_for(requests: u64, delay_s: f64, span_s: f64) -> u64 {
    let rounds = ((span_s / delay_s) as u64).max(1);
    requests.div_ceil(rounds)
}

fn connections(limits: Limits) -> u64 {
    limits.at_once.min(limits.per_host.unwrap_or(u64::MAX))
}

fn span(requests: u64, delay_s: f64, limits: Limits) -> f64 {
    let gap_s = limits.rate.map_or(0.0, |rate| 1.0 / rate as f64);
    let connections = connections(limits) as usize;
    let mut begins: Vec<f64> = Vec::with_capacity(requests as usize);
    for request in 0..requests as usize {
        let somebody_ended = request.checked_sub(connections).map_or(0.0, |before| begins[before] + delay_s);
        let it_is_time = request.checked_sub(1).map_or(0.0, |before| begins[before] + gap_s);
        begins.push(somebody_ended.max(it_is_time));
    }
    begins.last().map_or(0.0, |last| last + delay_s)
}

/// The limit that would take longest if it were the only one.
fn held_by(requests: u64, delay_s: f64, limits: Limits) -> String {
    let by_connections = Limits { rate: None, ..limits };
    let by_rate = Limits { at_once: u64::MAX, per_host: None, ..limits };
    if let Some(rate) = limits.rate
        && span(requests, delay_s, by_rate) > span(requests, delay_s, by_connections)
    {
        return format!("{rate} requests a second");
    }
    match limits {
        _ if connections(limits) >= requests => "the server alone".to_owned(),
        Limits { at_once: 1, .. } => "one after the other".to_owned(),
        Limits { per_host: Some(per_host), at_once, .. } if per_host <= at_once => {
            format!("{per_host} connections to the host")
        }
        _ => format!("{} at once", limits.at_once),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hundred(at_once: u64, per_host: Option<u64>, rate: Option<u64>) -> (f64, String) {
        let Floor { span_s, held_by } = floor(100, 1.0, Limits { at_once, per_host, rate });
        ((span_s * 1e6).round() / 1e6, held_by)
    }

    #[test]
    fn connections_divide_the_work_into_rounds() {
        assert_eq!(hundred(1, None, None), (100.0, "one after the other".into()));
        assert_eq!(hundred(100, None, None), (1.0, "the server alone".into()));
        assert_eq!(hundred(20, Some(5), None), (20.0, "5 connections to the host".into()));
        assert_eq!(hundred(20, Some(20), None), (5.0, "20 connections to the host".into()));
        assert_eq!(hundred(30, Some(50), None), (4.0, "30 at once".into()));
    }

    #[test]
    fn a_rate_spaces_the_beginnings_and_the_last_takes_its_time() {
        assert_eq!(hundred(20, Some(20), Some(10)), (10.9, "10 requests a second".into()));
    }

    #[test]
    fn a_rate_that_hardly_holds_staggers_the_rounds() {
        assert_eq!(hundred(20, Some(20), Some(50)), (5.38, "20 connections to the host".into()));
    }

    #[test]
    fn three_seconds_take_thirty_four_connections() {
        assert_eq!(connections_for(100, 1.0, 3.0), 34);
        assert_eq!(hundred(34, None, None).0, 3.0);
        assert_eq!(hundred(33, None, None).0, 4.0);
    }

    #[test]
    fn whatever_the_limits_it_is_no_less_than_each_alone_and_the_rounds_are_exact() {
        for requests in [1, 7, 100, 101] {
            for at_once in [1, 3, 20, 200] {
                let span_s = span(requests, 0.5, Limits { at_once, per_host: None, rate: None });
                assert_eq!(span_s, requests.div_ceil(at_once) as f64 * 0.5);
                for rate in [1, 9, 1000] {
                    let both = span(requests, 0.5, Limits { at_once, per_host: None, rate: Some(rate) });
                    assert!(
                        both >= span_s && both >= (requests - 1) as f64 / rate as f64,
                        "{requests} {at_once} {rate}"
                    );
                }
            }
        }
    }
}
