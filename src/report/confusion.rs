//! The confusion matrix, and the figures of each class that follow from it.

use super::text::table;
use serde_json::{Value, json};
use std::fmt;

/// How often each class was taken for each other one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Confusion {
    classes: Vec<String>,
    /// Row = true class, column = guess.
    counts: Vec<u64>,
}

/// The figures of one class. A share of nothing (0/0) is `None`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ClassFigures {
    /// Share of the guesses of this class that are right.
    pub precision: Option<f64>,
    /// Share of the class's samples that are found.
    pub recall: Option<f64>,
    /// Harmonic mean of the two.
    pub f1: Option<f64>,
    /// Samples of the class.
    pub support: u64,
}

impl Confusion {
    /// An empty matrix over these classes.
    pub fn new(classes: Vec<String>) -> Self {
        let counts = vec![0; classes.len() * classes.len()];
        Self { classes, counts }
    }

    /// Counts one sample of class `truth` that was taken for `guess`.
    ///
    /// # Panics
    /// When one of them is no class.
    pub fn add(&mut self, truth: usize, guess: usize) {
        let classes = self.classes.len();
        assert!(truth < classes && guess < classes, "class {truth} or {guess} of {classes}");
        self.counts[truth * classes + guess] += 1;
    }

    /// Samples of class `truth` that were taken for `guess`.
    pub fn count(&self, truth: usize, guess: usize) -> u64 {
        self.counts[truth * self.classes.len() + guess]
    }

    /// Samples in all.
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Share of all samples guessed right; `None` without samples.
    pub fn accuracy(&self) -> Option<f64> {
        let right = (0..self.classes.len()).map(|class| self.count(class, class)).sum();
        share(right, self.total())
    }

    /// The figures of one class.
    ///
    /// # Math
    /// precision = TP / (TP + FP), recall = TP / (TP + FN), F1 = 2 TP / (2 TP + FP + FN)
    pub fn class(&self, class: usize) -> ClassFigures {
        let all = 0..self.classes.len();
        let hit = self.count(class, class);
        let guessed: u64 = all.clone().map(|truth| self.count(truth, class)).sum();
        let support: u64 = all.map(|guess| self.count(class, guess)).sum();
        ClassFigures {
            precision: share(hit, guessed),
            recall: share(hit, support),
            f1: share(2 * hit, guessed + support),
            support,
        }
    }

    /// Everything as JSON; figures that do not exist are null.
    pub fn to_json(&self) -> Value {
        let all = 0..self.classes.len();
        let row = |truth| all.clone().map(|guess| self.count(truth, guess)).collect::<Vec<_>>();
        let figures = |class: usize| {
            let ClassFigures { precision, recall, f1, support } = self.class(class);
            let name = &self.classes[class];
            json!({"class": name, "precision": precision, "recall": recall, "f1": f1, "support": support})
        };
        json!({
            "classes": self.classes,
            "matrix": all.clone().map(row).collect::<Vec<_>>(),
            "accuracy": self.accuracy(),
            "per_class": all.clone().map(figures).collect::<Vec<_>>(),
        })
    }
}

/// The matrix, then a line of figures for each class.
impl fmt::Display for Confusion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = 0..self.classes.len();
        let mut matrix = vec![vec!["true \\ guess".to_owned()]];
        matrix[0].extend(self.classes.iter().cloned());
        for truth in all.clone() {
            let counts = all.clone().map(|guess| self.count(truth, guess).to_string());
            matrix.push(std::iter::once(self.classes[truth].clone()).chain(counts).collect());
        }
        let mut figures = vec![["class", "precision", "recall", "f1", "samples"].map(str::to_owned).to_vec()];
        for class in all {
            let ClassFigures { precision, recall, f1, support } = self.class(class);
            let mut line = vec![self.classes[class].clone()];
            line.extend([precision, recall, f1].map(figure));
            line.push(support.to_string());
            figures.push(line);
        }
        write!(f, "{}\n{}", table(&matrix), table(&figures))
    }
}

fn share(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

fn figure(value: Option<f64>) -> String {
    value.map_or("-".to_owned(), |value| format!("{value:.3}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    fn example() -> Confusion {
        let mut confusion = Confusion::new(names(&["cat", "long-haired dog", "owl"]));
        for (truth, guess, times) in [(0, 0, 8), (0, 1, 2), (1, 1, 9), (1, 0, 1)] {
            (0..times).for_each(|_| confusion.add(truth, guess));
        }
        confusion
    }

    #[test]
    fn figures_are_exact() {
        let confusion = example();
        assert_eq!((confusion.total(), confusion.accuracy()), (20, Some(0.85)));
        let cat = confusion.class(0);
        assert_eq!((cat.precision, cat.recall, cat.support), (Some(8.0 / 9.0), Some(0.8), 10));
        assert_eq!(cat.f1, Some(16.0 / 19.0));
        let owl = confusion.class(2);
        assert_eq!((owl.precision, owl.recall, owl.f1, owl.support), (None, None, None, 0));
        assert_eq!(Confusion::new(names(&["a"])).accuracy(), None);
    }

    #[test]
    fn the_table_is_aligned_and_marks_what_does_not_exist() {
        let expected = "\
true \\ guess     cat  long-haired dog  owl
cat                8                2    0
long-haired dog    1                9    0
owl                0                0    0

class            precision  recall     f1  samples
cat                  0.889   0.800  0.842       10
long-haired dog      0.818   0.900  0.857       10
owl                      -       -      -        0
";
        assert_eq!(example().to_string(), expected);
    }

    #[test]
    fn json_has_the_matrix_and_null_for_what_does_not_exist() {
        let value = example().to_json();
        assert_eq!(value["matrix"], json!([[8, 2, 0], [1, 9, 0], [0, 0, 0]]));
        assert_eq!(value["accuracy"], 0.85);
        assert_eq!(value["per_class"][1]["class"], "long-haired dog");
        assert!(value["per_class"][2]["f1"].is_null());
    }

    #[test]
    #[should_panic(expected = "class 0 or 3 of 3")]
    fn a_guess_that_is_no_class_is_a_fault() {
        example().add(0, 3);
    }
}
