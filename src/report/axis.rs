//! One axis of a chart: round ticks, and where a value stands.

/// One axis: a range of values laid over a range of pixels, with round ticks.
pub struct Axis {
    low: f64,
    high: f64,
    step: f64,
    /// The values that have a tick, from low to high.
    pub ticks: Vec<f64>,
    from: f64,
    to: f64,
}

impl Axis {
    /// The smallest range with round ends that holds all finite values, and is never empty; its
    /// ticks are at least `least_step` apart.
    pub fn over(values: impl Iterator<Item = f64>, least_step: f64, from: f64, to: f64) -> Self {
        let values = values.filter(|value| value.is_finite());
        let (mut low, mut high) =
            values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)));
        if low > high {
            (low, high) = (0.0, 1.0);
        }
        // What is wider than this, or finer than its own rounding, cannot be divided by ticks.
        (low, high) = (low.clamp(-1e300, 1e300), high.clamp(-1e300, 1e300));
        let least = (low.abs().max(high.abs()) * 1e-9).max(1e-300);
        if high - low < least {
            let margin = if high == 0.0 { 1.0 } else { high.abs() * 0.1 };
            (low, high) = (low - margin, high + margin);
        }
        let step = round_step((high - low) / 6.0).max(least_step);
        let (first, last) = ((low / step + 1e-6).floor(), (high / step - 1e-6).ceil());
        let ticks = (0..=(last - first) as usize).map(|tick| (first + tick as f64) * step).collect();
        Self { low: first * step, high: last * step, step, ticks, from, to }
    }

    /// Where a value stands; what is outside of the range stands at its end.
    pub fn pixel(&self, value: f64) -> f64 {
        let value = value.clamp(self.low, self.high);
        self.from + (value - self.low) / (self.high - self.low) * (self.to - self.from)
    }

    /// A tick's text, with as many decimals as its step has.
    pub fn text(&self, tick: f64) -> String {
        let size = self.low.abs().max(self.high.abs());
        if !(1e-4..1e7).contains(&size) {
            return if tick == 0.0 { "0".to_owned() } else { short_exponent(tick) };
        }
        let decimals = (-self.step.log10().floor()).max(0.0) as usize;
        let text = format!("{tick:.decimals$}");
        if text.trim_start_matches(['-', '0', '.']).is_empty() { text.replace('-', "") } else { text }
    }
}

/// `1.25e-9`, without the tail that adding up steps leaves.
fn short_exponent(value: f64) -> String {
    let text = format!("{value:.4e}");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    format!("{}e{exponent}", digits.trim_end_matches('0').trim_end_matches('.'))
}

/// The next of 1, 2, 5 times a power of ten.
fn round_step(step: f64) -> f64 {
    let power = 10f64.powf(step.log10().floor());
    let factor = [1.0, 2.0, 5.0].into_iter().find(|factor| step <= factor * power * (1.0 + 1e-9));
    factor.unwrap_or(10.0) * power
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_round() {
        for (step, round) in [(0.17, 0.2), (1.0, 1.0), (2.1, 5.0), (6.0, 10.0), (3e-9, 5e-9), (0.05, 0.05)] {
            let got = round_step(step);
            assert!((got / round - 1.0).abs() < 1e-9, "{step}: {got}, not {round}");
        }
    }

    #[test]
    fn ticks_are_round_and_hold_the_data() {
        for (values, expected) in [
            (vec![0.0, 1.0], "0.0 0.2 0.4 0.6 0.8 1.0"),
            (vec![1.0, 20.0], "0 5 10 15 20"),
            (vec![0.93, 1.0], "0.92 0.94 0.96 0.98 1.00"),
            (vec![-0.3, 0.3], "-0.3 -0.2 -0.1 0.0 0.1 0.2 0.3"),
            (vec![0.0, 2e9], "0 5e8 1e9 1.5e9 2e9"),
            (vec![5.0], "4.4 4.6 4.8 5.0 5.2 5.4 5.6"),
            (vec![], "0.0 0.2 0.4 0.6 0.8 1.0"),
        ] {
            let axis = Axis::over(values.iter().copied(), 0.0, 0.0, 1.0);
            let texts: Vec<_> = axis.ticks.iter().map(|&tick| axis.text(tick)).collect();
            assert_eq!(texts.join(" "), expected, "{values:?}");
            assert!(values.iter().all(|value| (axis.low..=axis.high).contains(value)));
        }
    }

    #[test]
    fn what_is_counted_has_no_tick_between() {
        let axis = Axis::over([1.0].into_iter(), 1.0, 0.0, 1.0);
        assert_eq!(axis.ticks, [0.0, 1.0, 2.0]);
        assert_eq!(axis.text(1.0), "1");
    }
}
