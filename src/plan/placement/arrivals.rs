//! When requests come up.

use super::simulate::Request;
use crate::rng::{Purpose, stream, unit};
use crate::units::Seconds;

/// The law by which each source asks.
#[derive(Debug, Clone, PartialEq)]
pub enum Law {
    /// All at the beginning.
    AtOnce,
    /// At random and independently, so many a second on average.
    Poisson(f64),
    /// The first at the beginning, each other so long behind the one before.
    Periodic(Seconds),
    /// At these times, ascending.
    Trace(Vec<Seconds>),
}

impl Law {
    /// So many requests of these sources, which ask in turn.
    ///
    /// # Math
    /// Poisson: the times between two requests of a source are −ln(u)/rate, u uniform in (0, 1).
    ///
    /// # Errors
    /// How many times a trace has, where a source asks more often.
    pub fn requests(&self, sources: &[usize], count: usize, seed: u64) -> Result<Vec<Request>, usize> {
        let each = count.div_ceil(sources.len().max(1));
        let times: Vec<Vec<Seconds>> =
            sources.iter().map(|source| self.times(each, seed, *source)).collect::<Result<_, _>>()?;
        let request = |i: usize| {
            let place = i % sources.len();
            Request { source: sources[place], arrival: times[place][i / sources.len()] }
        };
        Ok((0..count).map(request).collect())
    }

    fn times(&self, count: usize, seed: u64, source: usize) -> Result<Vec<Seconds>, usize> {
        match self {
            Self::AtOnce => Ok(vec![Seconds(0.0); count]),
            Self::Periodic(between) => Ok((0..count).map(|k| Seconds(between.0 * k as f64)).collect()),
            Self::Trace(times) if times.len() < count => Err(times.len()),
            Self::Trace(times) => Ok(times[..count].to_vec()),
            Self::Poisson(rate) => {
                let mut rng = stream(seed, Purpose::Arrival, 0, source as u64);
                let mut time = 0.0;
                let next = |_| {
                    time -= unit(&mut rng).ln() / rate;
                    Seconds(time)
                };
                Ok((0..count).map(next).collect())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_ask_in_turn() {
        let law = Law::Periodic(Seconds(0.5));
        let requests = law.requests(&[0, 2], 5, 1).unwrap();
        let told: Vec<(usize, f64)> = requests.iter().map(|request| (request.source, request.arrival.0)).collect();
        assert_eq!(told, [(0, 0.0), (2, 0.0), (0, 0.5), (2, 0.5), (0, 1.0)]);
        assert_eq!(Law::Trace(vec![Seconds(1.0); 2]).requests(&[0], 3, 1), Err(2));
        assert_eq!(Law::Trace(vec![Seconds(1.0); 2]).requests(&[0, 1], 4, 1).unwrap().len(), 4);
    }

    #[test]
    fn poisson_has_its_rate_and_its_seed() {
        let times = |seed| Law::Poisson(4.0).requests(&[1], 4000, seed).unwrap();
        let last = times(7).last().unwrap().arrival.0;
        assert!((last - 1000.0).abs() < 60.0, "{last}");
        assert_eq!(times(7), times(7));
        assert_ne!(times(7), times(8));
        assert!(times(7).is_sorted_by(|a, b| a.arrival <= b.arrival));
    }
}
