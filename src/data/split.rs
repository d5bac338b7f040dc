//! Which rows train, validate and test; which rows form the folds of a cross-validation.
//!
//! Both are stratified: every class is divided in the same proportions. Both depend on the seed alone, never on the
//! number of ranks, and list their rows in ascending order; the order of training is [`super::order`]'s.

use super::DataError;
use crate::rng::{Purpose, shuffle, stream};
use serde::{Deserialize, Serialize};
use std::str::FromStr;

/// The shares of the three parts; their sum is 1.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Fractions {
    /// Share of the training part, above 0.
    pub train: f64,
    /// Share of the validation part.
    pub validation: f64,
    /// Share of the test part.
    pub test: f64,
}

/// The rows of the three parts, each ascending; every row is in exactly one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Split {
    /// Rows that train.
    pub train: Vec<usize>,
    /// Rows that choose between models, may be empty.
    pub validation: Vec<usize>,
    /// Rows that are looked at once, at the end, may be empty.
    pub test: Vec<usize>,
}

impl Default for Fractions {
    fn default() -> Self {
        Self { train: 0.8, validation: 0.1, test: 0.1 }
    }
}

impl std::fmt::Display for Fractions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}/{}", self.train, self.validation, self.test)
    }
}

impl Fractions {
    /// Reads `train/validation/test`.
    ///
    /// # Errors
    /// What is wrong with the text, as the end of a sentence about it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let shares: Vec<f64> = text
            .split('/')
            .map(|share| share.trim().parse::<f64>())
            .collect::<Result<_, _>>()
            .map_err(|_| "has a share that is not a number".to_owned())?;
        let [train, validation, test] = shares[..] else {
            return Err(format!("has {} shares, not 3", shares.len()));
        };
        // Also catches NaN, which no comparison admits.
        if !shares.iter().all(|share| (0.0..=1.0).contains(share)) {
            return Err("has a share outside 0 to 1".to_owned());
        }
        if train == 0.0 {
            return Err("leaves nothing to train on".to_owned());
        }
        let sum: f64 = shares.iter().sum();
        if (sum - 1.0).abs() > 1e-6 {
            return Err(format!("adds up to {sum}, not to 1"));
        }
        Ok(Self { train, validation, test })
    }
}

impl FromStr for Fractions {
    type Err = DataError;

    fn from_str(text: &str) -> Result<Self, DataError> {
        Self::parse(text).map_err(|why| DataError::BadSplit { text: text.to_owned(), why })
    }
}

impl TryFrom<String> for Fractions {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text)
    }
}

impl From<Fractions> for String {
    fn from(fractions: Fractions) -> String {
        fractions.to_string()
    }
}

/// Splits every class in the given shares, at random.
///
/// The counts of a class are its exact shares rounded up or down, by largest remainder; what rounding gave a part too
/// much or too little in one class is made up for in the next, so that the parts' totals come out as asked, too. A class
/// whose share of the training part would round to nothing still has one row there: with one row, that one.
///
/// # Panics
/// If a label is not below `classes`.
pub fn stratified(labels: &[u32], classes: usize, fractions: Fractions, seed: u64) -> Split {
    let shares = [fractions.train, fractions.validation, fractions.test];
    let mut parts: [Vec<usize>; 3] = Default::default();
    let mut seen = 0;
    for (class, mut rows) in rows_by_class(labels, classes).into_iter().enumerate() {
        shuffle(&mut rows, &mut stream(seed, Purpose::Split, 0, class as u64));
        seen += rows.len();
        let owed = std::array::from_fn(|part| shares[part] * seen as f64 - parts[part].len() as f64);
        let mut rest = rows.as_slice();
        for (part, count) in apportion(rows.len(), shares, owed).into_iter().enumerate() {
            let (taken, left) = rest.split_at(count);
            parts[part].extend_from_slice(taken);
            rest = left;
        }
    }
    parts.iter_mut().for_each(|rows| rows.sort_unstable());
    let [train, validation, test] = parts;
    Split { train, validation, test }
}

/// How many of a class's rows each part gets; `owed` is what the parts should have got so far, this class included,
/// less what they have.
fn apportion(rows: usize, shares: [f64; 3], owed: [f64; 3]) -> [usize; 3] {
    // 0.29 * 100 is a little below 29 in binary.
    const ROUNDING: f64 = 1e-9;
    let exact = shares.map(|share| share * rows as f64);
    let mut left = rows;
    let mut counts = exact.map(|count| {
        // Shares may add up to a little more than 1: never more than there is.
        let count = ((count + ROUNDING) as usize).min(left);
        left -= count;
        count
    });
    let mut may_have_more: [bool; 3] = std::array::from_fn(|part| exact[part] - counts[part] as f64 > ROUNDING);
    while left > 0 {
        let remainder = |part: &usize| owed[*part] - counts[*part] as f64;
        let largest = (0..3)
            .filter(|&part| may_have_more[part])
            .max_by(|a, b| remainder(a).total_cmp(&remainder(b)).then(b.cmp(a)));
        // Rounding errors may leave no candidate; the training part then takes the row.
        let part = largest.unwrap_or(0);
        counts[part] += 1;
        may_have_more[part] = false;
        left -= 1;
    }
    if counts[0] == 0 && rows > 0 {
        let donor = if counts[1] > counts[2] { 1 } else { 2 };
        counts[donor] -= 1;
        counts[0] = 1;
    }
    counts
}

/// Cuts the rows into `folds` parts, at random; each is the test set of one round of a cross-validation.
///
/// The folds' sizes differ by at most one, in each class and in total. Another `repeat` is another cut.
///
/// # Errors
/// Fewer than two folds, or more than rows.
///
/// # Panics
/// If a label is not below `classes`.
pub fn stratified_folds(
    labels: &[u32],
    classes: usize,
    folds: usize,
    seed: u64,
    repeat: u64,
) -> Result<Vec<Vec<usize>>, DataError> {
    if folds < 2 || folds > labels.len() {
        return Err(DataError::BadFolds { folds, rows: labels.len() });
    }
    let mut parts = vec![Vec::new(); folds];
    // Dealt like cards: a class goes on where the one before it ended.
    let mut dealt = 0;
    for (class, mut rows) in rows_by_class(labels, classes).into_iter().enumerate() {
        shuffle(&mut rows, &mut stream(seed, Purpose::Folds, repeat, class as u64));
        for row in rows {
            parts[dealt % folds].push(row);
            dealt += 1;
        }
    }
    parts.iter_mut().for_each(|rows| rows.sort_unstable());
    Ok(parts)
}

/// The rows of `0..rows` that are not held out, ascending.
///
/// # Panics
/// If a row held out is not below `rows`.
pub fn all_but(rows: usize, held_out: &[usize]) -> Vec<usize> {
    let mut keep = vec![true; rows];
    held_out.iter().for_each(|&row| keep[row] = false);
    (0..rows).filter(|&row| keep[row]).collect()
}

fn rows_by_class(labels: &[u32], classes: usize) -> Vec<Vec<usize>> {
    let mut rows = vec![Vec::new(); classes];
    for (row, &label) in labels.iter().enumerate() {
        rows[label as usize].push(row);
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn labels_of(sizes: &[usize]) -> Vec<u32> {
        sizes.iter().enumerate().flat_map(|(class, &size)| std::iter::repeat_n(class as u32, size)).collect()
    }

    fn sizes(split: &Split) -> [usize; 3] {
        [&split.train, &split.validation, &split.test].map(Vec::len)
    }

    #[test]
    fn fractions_are_read_or_explained() {
        assert_eq!("0.8/0.1/0.1".parse::<Fractions>().unwrap(), Fractions::default());
        assert_eq!("1/0/0".parse::<Fractions>().unwrap().to_string(), "1/0/0");
        assert_eq!(" 0.7 / 0.1 / 0.2 ".parse::<Fractions>().unwrap().test, 0.2);
        for (text, expected) in [
            ("0.8/0.2", "2 shares, not 3"),
            ("", "has a share that is not a number"),
            ("0.8/x/0.1", "has a share that is not a number"),
            ("0.8/0.1/0.2", "adds up to 1.1"),
            ("1.1/-0.1/0", "has a share outside 0 to 1"),
            ("0/0.5/0.5", "leaves nothing to train on"),
            ("NaN/0/1", "has a share outside 0 to 1"),
        ] {
            let message = text.parse::<Fractions>().unwrap_err().to_string();
            assert!(message.contains(expected) && message.contains("for example 0.8/0.1/0.1"), "{text}: {message}");
        }
    }

    #[test]
    fn counts_come_out_as_asked() {
        let whole = Fractions { train: 1.0, validation: 0.0, test: 0.0 };
        // Within what the parser lets pass: a sum of 1.000001, and hardly anything to train on.
        let above = Fractions { train: 0.5000006, validation: 0.5000003, test: 0.0 };
        let nothing = Fractions { train: 1e-12, validation: 1.0, test: 0.0 };
        let halves = Fractions { train: 0.5, validation: 0.25, test: 0.25 };
        for (classes, fractions, expected) in [
            (&[50, 50, 50][..], Fractions::default(), [120, 15, 15]),
            (&[50, 50, 50], whole, [150, 0, 0]),
            (&[1, 1, 1, 1, 1, 1], Fractions::default(), [6, 0, 0]),
            (&[5, 5, 5, 5], Fractions::default(), [16, 2, 2]),
            (&[3, 3, 3, 3], halves, [6, 3, 3]),
            (&[10, 0], Fractions::default(), [8, 1, 1]),
            (&[], Fractions::default(), [0, 0, 0]),
            (&[3_000_000], above, [1_500_001, 1_499_999, 0]),
            (&[10], nothing, [1, 9, 0]),
        ] {
            let split = stratified(&labels_of(classes), classes.len(), fractions, 1);
            assert_eq!(sizes(&split), expected, "{classes:?} {fractions}");
        }
    }

    #[test]
    fn the_seed_decides_and_nothing_else() {
        let labels = labels_of(&[50, 50, 50]);
        let split = |seed| stratified(&labels, 3, Fractions::default(), seed);
        assert_eq!(split(1), split(1));
        assert_ne!(split(1), split(2));
        let folds = |seed, repeat| stratified_folds(&labels, 3, 10, seed, repeat).unwrap();
        assert_eq!(folds(1, 0), folds(1, 0));
        assert_ne!(folds(1, 0), folds(1, 1));
        assert_ne!(folds(1, 0), folds(2, 0));
    }

    #[test]
    fn impossible_folds_are_refused() {
        for folds in [0, 1, 4] {
            let message = stratified_folds(&[0, 1, 0], 2, folds, 1, 0).unwrap_err().to_string();
            assert!(message.starts_with(&format!("{folds} folds of 3 rows")), "{message}");
        }
        assert_eq!(stratified_folds(&[0, 1, 0], 2, 3, 1, 0).unwrap().len(), 3);
        assert_eq!(all_but(5, &[3, 0]), [1, 2, 4]);
    }

    proptest! {
        #[test]
        fn a_split_covers_and_is_stratified(
            class_sizes in prop::collection::vec(0usize..40, 1..8),
            (train, cut) in (0.01f64..=1.0, 0.0f64..=1.0),
            seed: u64,
        ) {
            let fractions = Fractions { train, validation: (1.0 - train) * cut, test: (1.0 - train) * (1.0 - cut) };
            let labels = labels_of(&class_sizes);
            let split = stratified(&labels, class_sizes.len(), fractions, seed);
            let parts = [(&split.train, train), (&split.validation, fractions.validation), (&split.test, fractions.test)];
            let mut all: Vec<usize> = parts.iter().flat_map(|part| part.0.iter().copied()).collect();
            all.sort_unstable();
            prop_assert_eq!(all, (0..labels.len()).collect::<Vec<_>>());
            for (class, &size) in class_sizes.iter().enumerate() {
                for (rows, share) in parts {
                    let count = rows.iter().filter(|&&row| labels[row] == class as u32).count();
                    // At most one off, plus the row that the training part takes from another.
                    prop_assert!((count as f64 - share * size as f64).abs() < 2.0, "{count} of {size}, share {share}");
                }
                prop_assert!(size == 0 || split.train.iter().any(|&row| labels[row] == class as u32));
            }
            for (rows, _) in parts {
                prop_assert!(rows.is_sorted());
            }
        }

        #[test]
        fn totals_are_as_asked_when_no_class_is_tiny(
            class_sizes in prop::collection::vec(4usize..60, 1..12),
            (train, cut) in (0.3f64..=1.0, 0.0f64..=1.0),
        ) {
            let fractions = Fractions { train, validation: (1.0 - train) * cut, test: (1.0 - train) * (1.0 - cut) };
            let labels = labels_of(&class_sizes);
            let split = stratified(&labels, class_sizes.len(), fractions, 1);
            let asked = [train, fractions.validation, fractions.test].map(|share| share * labels.len() as f64);
            for (size, asked) in sizes(&split).into_iter().zip(asked) {
                prop_assert!((size as f64 - asked).abs() < 2.0, "{size} instead of {asked}");
            }
        }

        #[test]
        fn folds_cover_and_are_balanced(
            class_sizes in prop::collection::vec(0usize..40, 1..8),
            folds in 2usize..30,
            seed: u64,
        ) {
            let labels = labels_of(&class_sizes);
            let parts = stratified_folds(&labels, class_sizes.len(), folds, seed, 0);
            prop_assert_eq!(parts.is_err(), folds > labels.len());
            let Ok(parts) = parts else { return Ok(()) };
            let mut all = parts.concat();
            all.sort_unstable();
            prop_assert_eq!(all, (0..labels.len()).collect::<Vec<_>>());
            let near = |count: usize, of: usize| count == of / folds || count == of.div_ceil(folds);
            for rows in &parts {
                prop_assert!(rows.is_sorted() && near(rows.len(), labels.len()));
                for (class, &size) in class_sizes.iter().enumerate() {
                    prop_assert!(near(rows.iter().filter(|&&row| labels[row] == class as u32).count(), size));
                }
            }
        }
    }
}
