//! How long a rank computes: seconds of a training step by the rows in it.

use crate::units::Seconds;

/// Seconds of one training step on one rank: its samples are loaded, go forward and backward, and the weights move.
///
/// # Math
/// Linear between the points; below the first and above the last along the line through the two nearest, never below 0.
#[derive(Debug, Clone, PartialEq)]
pub struct Compute {
    points: Vec<(usize, Seconds)>,
    jitter: Seconds,
}

impl Compute {
    /// From steps of so many rows that took so long.
    ///
    /// # Panics
    /// If there is none.
    pub fn from_points(points: impl IntoIterator<Item = (usize, Seconds)>) -> Self {
        let mut points: Vec<(usize, Seconds)> = points.into_iter().collect();
        points.sort_by_key(|point| point.0);
        points.dedup_by_key(|point| point.0);
        assert!(!points.is_empty(), "a step was measured");
        Self { points, jitter: Seconds(0.0) }
    }

    /// From the arithmetic of a row and of an update, at a device's rates.
    pub fn from_rates(row: Seconds, update: Seconds) -> Self {
        Self::from_points([(0, update), (1, update + row)])
    }

    /// The same with steps that vary by this standard deviation: who meets others waits for the latest.
    pub fn with_jitter(self, jitter: Seconds) -> Self {
        Self { jitter, ..self }
    }

    /// The same on cores that this many times as many threads share; no faster on idle ones.
    pub fn crowded(self, times: f64) -> Self {
        let times = times.max(1.0);
        let points = self.points.into_iter().map(|(rows, time)| (rows, Seconds(time.0 * times)));
        Self { points: points.collect(), jitter: Seconds(self.jitter.0 * times) }
    }

    /// A step of so many rows.
    pub fn step(&self, rows: usize) -> Seconds {
        let at = self.points.partition_point(|point| point.0 < rows).clamp(1, self.points.len().max(2) - 1);
        let (Some(&(x0, y0)), Some(&(x1, y1))) = (self.points.get(at - 1), self.points.get(at)) else {
            // One point says nothing of what a row costs and what a step: all of it is taken for the rows'.
            let (x, y) = self.points[0];
            return Seconds(y.0 * rows as f64 / x.max(1) as f64);
        };
        let slope = (y1.0 - y0.0) / (x1 - x0) as f64;
        Seconds((y0.0 + slope * (rows as f64 - x0 as f64)).max(0.0))
    }

    /// The standard deviation of steps.
    pub fn jitter(&self) -> Seconds {
        self.jitter
    }

    /// How much longer than a rank's mean step the latest of so many takes.
    ///
    /// # Math
    /// σ·(H_n − 1): steps are shifted exponential with standard deviation σ.
    pub fn latest(&self, ranks: usize) -> Seconds {
        Seconds(self.jitter.0 * (super::harmonic(ranks, ranks) - 1.0).max(0.0))
    }
}
