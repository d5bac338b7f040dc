//! When requests come.

use super::simulate::Request;
use crate::rng::{self, Purpose};
use crate::units::Seconds;

/// How the requests of a source follow each other.
#[derive(Debug, Clone, PartialEq)]
pub enum Law {
    /// All at the beginning.
    AtOnce,
    /// At random and independent of each other, so many a second on average.
    Poisson(f64),
    /// One every so many seconds, the first at once.
    Periodic(f64),
    /// At these times, ascending.
    At(Vec<f64>),
}

/// So many requests of all sources together, which ask in turn, each by the same law; by their arrival. Times that are
/// given may be fewer.
///
/// # Math
/// Poisson: the gaps of a source are −ln(u)/rate, u uniform in (0, 1), from a stream of its own.
pub fn requests(law: &Law, count: usize, sources: &[usize], seed: u64) -> Vec<Request> {
    let of_source = |(place, &source): (usize, &usize)| -> Vec<Request> {
        let share = count / sources.len() + usize::from(place < count % sources.len());
        let request = |time| Request { source, arrival: Seconds(time) };
        times(law, share, seed, source).into_iter().map(request).collect()
    };
    let by_source: Vec<Vec<Request>> = sources.iter().enumerate().map(of_source).collect();
    // In turn first: of those that come at the same time the order stays.
    let turns = by_source.iter().map(Vec::len).max().unwrap_or(0);
    let in_turn = (0..turns).flat_map(|turn| by_source.iter().filter_map(move |own| own.get(turn).copied()));
    let mut all: Vec<Request> = in_turn.collect();
    all.sort_by(|a, b| a.arrival.0.total_cmp(&b.arrival.0));
    all
}

fn times(law: &Law, count: usize, seed: u64, source: usize) -> Vec<f64> {
    match law {
        Law::AtOnce => vec![0.0; count],
        Law::Periodic(gap) => (0..count).map(|i| i as f64 * gap).collect(),
        Law::At(times) => times.iter().copied().take(count).collect(),
        Law::Poisson(rate) => {
            let mut draws = rng::stream(seed, Purpose::Arrival, 0, source as u64);
            let mut now = 0.0;
            let next = |_| {
                now -= rng::unit(&mut draws).ln() / rate;
                now
            };
            (0..count).map(next).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(law: &Law, count: usize, sources: &[usize]) -> Vec<(usize, f64)> {
        requests(law, count, sources, 1).iter().map(|request| (request.source, request.arrival.0)).collect()
    }

    #[test]
    fn sources_ask_in_turn_and_requests_are_sorted_by_arrival() {
        assert_eq!(told(&Law::AtOnce, 3, &[0, 2]), [(0, 0.0), (2, 0.0), (0, 0.0)]);
        assert_eq!(told(&Law::Periodic(0.5), 3, &[1]), [(1, 0.0), (1, 0.5), (1, 1.0)]);
        assert_eq!(told(&Law::At(vec![0.0, 2.0]), 5, &[3, 0]), [(3, 0.0), (0, 0.0), (3, 2.0), (0, 2.0)]);
    }

    #[test]
    fn chance_keeps_its_rate_and_is_the_same_again() {
        let law = Law::Poisson(4.0);
        let all = told(&law, 20_000, &[0, 1]);
        assert!(all.is_sorted_by(|a, b| a.1 <= b.1));
        assert_eq!(all, told(&law, 20_000, &[0, 1]));
        let of_source = |source| all.iter().filter(move |each| each.0 == source);
        for source in [0, 1] {
            let rate = 10_000.0 / of_source(source).last().unwrap().1;
            assert!((rate - 4.0).abs() < 0.15, "{rate}");
        }
        assert!(!of_source(0).map(|each| each.1).eq(of_source(1).map(|each| each.1)), "sources are independent");
        // More requests or sources do not move those that there are.
        assert_eq!(told(&law, 3, &[0])[..], told(&law, 5, &[0])[..3]);
    }
}
