//! A data set of either kind, for those who do not care which.

use super::Dataset;
use super::pictures::Pictures;

/// A labelled table, or labelled pictures.
#[derive(Debug, Clone)]
pub enum AnyData {
    /// Rows of numbers.
    Table(Dataset),
    /// Pictures of one size.
    Pictures(Pictures),
}

impl AnyData {
    /// What the set is called.
    pub fn name(&self) -> &str {
        match self {
            Self::Table(data) => &data.name,
            Self::Pictures(data) => &data.name,
        }
    }

    /// Number of samples, N.
    pub fn len(&self) -> usize {
        self.labels().len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.labels().is_empty()
    }

    /// Numbers per sample, D.
    pub fn dims(&self) -> usize {
        match self {
            Self::Table(data) => data.dims(),
            Self::Pictures(data) => data.dims(),
        }
    }

    /// Channels, height and width of a picture; none for a table.
    pub fn shape(&self) -> Option<[usize; 3]> {
        match self {
            Self::Table(_) => None,
            Self::Pictures(data) => Some(data.shape),
        }
    }

    /// Number of classes, K.
    pub fn num_classes(&self) -> usize {
        self.classes().len()
    }

    /// The names of the classes.
    pub fn classes(&self) -> &[String] {
        match self {
            Self::Table(data) => &data.classes,
            Self::Pictures(data) => &data.classes,
        }
    }

    /// The class of each sample, an index into `classes()`.
    pub fn labels(&self) -> &[u32] {
        match self {
            Self::Table(data) => &data.labels,
            Self::Pictures(data) => &data.labels,
        }
    }

    /// How many samples at the end are the set's own test set; 0: it has none.
    pub fn own_test(&self) -> usize {
        match self {
            Self::Table(_) => 0,
            Self::Pictures(data) => data.own_test,
        }
    }

    /// A number that is equal on two ranks exactly when (for all practical purposes) their data are equal.
    ///
    /// Covers everything but the name: the same data may lie under another path on another host.
    pub fn fingerprint(&self) -> u64 {
        match self {
            Self::Table(data) => data.fingerprint(),
            Self::Pictures(data) => data.fingerprint(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::pictures::Pixels;
    use std::sync::Arc;

    fn pictures() -> Pictures {
        Pictures {
            name: "p".into(),
            shape: [1, 1, 2],
            labels: vec![0, 1, 0],
            classes: vec!["a".into(), "b".into()],
            own_test: 1,
            pixels: Pixels::Owned(Arc::new(vec![1, 2, 3, 4, 5, 6])),
        }
    }

    #[test]
    fn either_kind_answers_the_same_questions() {
        let data = AnyData::Pictures(pictures());
        assert_eq!((data.name(), data.len(), data.dims(), data.num_classes()), ("p", 3, 2, 2));
        assert_eq!((data.shape(), data.own_test(), data.labels()), (Some([1, 1, 2]), 1, &[0, 1, 0][..]));
        let data = AnyData::Table(super::super::csv::parse("t.csv", b"x,y,label\n1,2,a\n3,4,b\n", None).unwrap());
        assert_eq!((data.name(), data.len(), data.dims(), data.num_classes()), ("t", 2, 2, 2));
        assert_eq!((data.shape(), data.own_test(), data.is_empty()), (None, 0, false));
    }
}
