//! Columns brought to mean 0 and deviation 1.
//!
//! Fitted on the training rows only: the mean of a column over all rows would tell the network about the test set.

use ndarray::{Array2, Axis};
use serde::{Deserialize, Serialize};

/// What is subtracted from each column, and what it is divided by.
///
/// # Math
/// x ← (x − μ) / σ with μ = 1/n Σ xᵢ and σ² = 1/n Σ (xᵢ − μ)², both over the rows it was fitted on, in 64 bits.
/// A constant column has σ = 1: it becomes 0, not 0/0.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Standardizer {
    /// μ, one a column.
    pub means: Vec<f32>,
    /// σ, one a column, never 0.
    pub deviations: Vec<f32>,
}

impl Standardizer {
    /// Fits on the given rows of `features`; with no rows it changes nothing.
    ///
    /// # Panics
    /// If a row is not below the number of rows.
    pub fn fit(features: &Array2<f32>, rows: &[usize]) -> Self {
        let moments = features.axis_iter(Axis(1)).map(|column| moments(|row| f64::from(column[row]), rows));
        let (means, deviations) = moments.unzip();
        Self { means, deviations }
    }

    /// Standardises every row in place.
    ///
    /// # Shapes
    /// `features` is `[N, D]` with the D it was fitted on.
    ///
    /// # Panics
    /// If D differs.
    pub fn apply(&self, features: &mut Array2<f32>) {
        assert_eq!(features.ncols(), self.means.len(), "columns of the features and of the standardizer");
        for (mut column, (&mean, &deviation)) in
            features.axis_iter_mut(Axis(1)).zip(self.means.iter().zip(&self.deviations))
        {
            column.mapv_inplace(|x| scaled(x, mean, deviation));
        }
    }

    /// A value of a column, standardised.
    ///
    /// # Panics
    /// If there is no such column.
    pub fn value(&self, column: usize, x: f32) -> f32 {
        scaled(x, self.means[column], self.deviations[column])
    }
}

/// In 64 bits: x - mean may overflow in 32 although the quotient does not.
fn scaled(x: f32, mean: f32, deviation: f32) -> f32 {
    ((f64::from(x) - f64::from(mean)) / f64::from(deviation)) as f32
}

/// Mean and deviation of `value` over `rows`. Differences to the first value are summed, so that a constant column has
/// deviation 0 exactly and a large offset costs no digits.
fn moments(value: impl Fn(usize) -> f64, rows: &[usize]) -> (f32, f32) {
    let Some(&first) = rows.first() else {
        return (0.0, 1.0);
    };
    let (n, origin) = (rows.len() as f64, value(first));
    let mean = origin + rows.iter().map(|&row| value(row) - origin).sum::<f64>() / n;
    let variance = rows.iter().map(|&row| (value(row) - mean).powi(2)).sum::<f64>() / n;
    let deviation = variance.sqrt() as f32;
    (mean as f32, if deviation > 0.0 { deviation } else { 1.0 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn only_the_given_rows_are_measured() {
        let mut features = array![[1., 10.], [3., 10.], [1000., 10.5]];
        let fitted = Standardizer::fit(&features, &[0, 1]);
        assert_eq!(fitted, Standardizer { means: vec![2., 10.], deviations: vec![1., 1.] });
        fitted.apply(&mut features);
        assert_eq!(features, array![[-1., 0.], [1., 0.], [998., 0.5]]);
    }

    #[test]
    fn extremes_stay_finite() {
        for column in [[0.1f32; 3], [3e38, -3e38, 3e38], [1e-45, 0., 0.], [1e8, 1e8, 1e8 + 8.]] {
            let mut features = Array2::from_shape_fn((3, 1), |(row, _)| column[row]);
            let fitted = Standardizer::fit(&features, &[0, 1, 2]);
            fitted.apply(&mut features);
            assert!(features.iter().all(|x| x.abs() < 3.), "{column:?}: {features:?} {fitted:?}");
        }
        let unchanged = Standardizer::fit(&array![[5.]], &[]);
        assert_eq!((unchanged.means[0], unchanged.deviations[0]), (0., 1.));
    }

    #[test]
    fn it_survives_a_file() {
        let fitted = Standardizer::fit(&array![[0.1], [0.7]], &[0, 1]);
        let text = serde_json::to_string(&fitted).unwrap();
        assert_eq!(serde_json::from_str::<Standardizer>(&text).unwrap(), fitted);
    }
}
