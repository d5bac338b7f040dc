//! Learning-rate schedules: a function of progress alone, the same at any rank count.

/// How the rate falls after the warm-up.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Shape {
    /// It stays.
    Constant,
    /// It is multiplied by `factor` after every `epochs` epochs.
    Step {
        /// Epochs between two drops.
        epochs: f64,
        /// What each drop multiplies by.
        factor: f64,
    },
    /// Half a cosine from the full rate to zero at the end of training.
    ///
    /// # References
    /// Loshchilov and Hutter, *SGDR: stochastic gradient descent with warm restarts*, ICLR 2017, without the restarts.
    Cosine,
}

/// The learning rate over training.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Schedule {
    /// The full rate.
    pub rate: f64,
    /// Epochs in which the rate rises linearly to the full one.
    ///
    /// # References
    /// Goyal et al., *Accurate, large minibatch SGD*, arXiv:1706.02677.
    pub warmup: f64,
    /// Epochs of the whole training.
    pub epochs: f64,
    /// What happens after the warm-up.
    pub shape: Shape,
}

impl Schedule {
    /// The rate after `progress` epochs; during the warm-up, of the step that begins there and takes `step` epochs.
    pub fn at(&self, progress: f64, step: f64) -> f64 {
        if progress < self.warmup {
            return self.rate * ((progress + step) / self.warmup).min(1.0);
        }
        match self.shape {
            Shape::Constant => self.rate,
            Shape::Step { epochs, factor } => self.rate * factor.powf((progress / epochs).floor()),
            Shape::Cosine => {
                let share = ((progress - self.warmup) / (self.epochs - self.warmup)).clamp(0.0, 1.0);
                self.rate * 0.5 * (1.0 + (std::f64::consts::PI * share).cos())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_the_textbook_ones() {
        let schedule = |warmup, shape| Schedule { rate: 2.0, warmup, epochs: 10.0, shape };
        let step = Shape::Step { epochs: 4.0, factor: 0.1 };
        for (warmup, shape, progress, expected) in [
            (0.0, Shape::Constant, 9.9, 2.0),
            (2.0, Shape::Constant, 0.0, 0.5),
            (2.0, Shape::Constant, 1.5, 2.0),
            (0.0, step, 3.9, 2.0),
            (0.0, step, 4.0, 0.2),
            (0.0, step, 8.5, 0.02),
            (0.0, Shape::Cosine, 0.0, 2.0),
            (0.0, Shape::Cosine, 5.0, 1.0),
            (2.0, Shape::Cosine, 6.0, 1.0),
            (0.0, Shape::Cosine, 10.0, 0.0),
        ] {
            let got = schedule(warmup, shape).at(progress, 0.5);
            assert!((got - expected).abs() < 1e-12, "{shape:?} at {progress}: {got}");
        }
    }
}
