//! Data: labelled tables, how they are split, in which order they are visited, how they are scaled.
//!
//! This storey knows files, and takes `(part, parts)` as plain numbers; it knows no rank, so the same code serves
//! threads, MPI and a single process.

use ndarray::{Array2, Axis};
use xxhash_rust::xxh3::Xxh3;

mod any;
pub mod csv;
mod error;
pub mod inspect;
pub mod order;
pub mod pictures;
mod samples;
pub mod sets;
pub mod shards;
pub mod source;
pub mod split;
pub mod standardize;
pub mod synth;

pub use crate::layout::Layout;
pub use any::AnyData;
pub use error::DataError;
pub use samples::{Samples, Visit};

/// A labelled table in memory.
///
/// # Shapes
/// `features` is `[N, D]`, `labels` has length N and holds indices into `classes`, `columns` has length D.
#[derive(Debug, Clone, PartialEq)]
pub struct Dataset {
    /// What the data set is called: the file's name without its ending.
    pub name: String,
    /// One row a sample, one column a feature, in the file's order.
    pub features: Array2<f32>,
    /// The class of each row, an index into `classes`.
    pub labels: Vec<u32>,
    /// The names of the classes, sorted.
    pub classes: Vec<String>,
    /// The names of the features, in the order of the columns of `features`.
    pub columns: Vec<String>,
    /// The name of the column that held the labels.
    pub label_column: String,
}

impl Dataset {
    /// Number of rows, N.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is no row; a loaded file has at least two.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// Number of features, D.
    pub fn dims(&self) -> usize {
        self.columns.len()
    }

    /// Number of classes, K; also counts classes that a selection no longer holds.
    pub fn num_classes(&self) -> usize {
        self.classes.len()
    }

    /// The given rows, in the given order, with every class and column name kept.
    ///
    /// # Panics
    /// If an index is not below `len()`.
    pub fn select(&self, rows: &[usize]) -> Self {
        Self {
            name: self.name.clone(),
            features: self.features.select(Axis(0), rows),
            labels: rows.iter().map(|&row| self.labels[row]).collect(),
            classes: self.classes.clone(),
            columns: self.columns.clone(),
            label_column: self.label_column.clone(),
        }
    }

    /// The same rows as a trained model sees them: its columns in its order, its numbering of the classes.
    ///
    /// Why: a file's class numbers depend on which classes happen to be in it.
    ///
    /// # Errors
    /// A column that the model needs and the table lacks, or a class that the model does not know.
    pub fn aligned(&self, columns: &[String], classes: &[String]) -> Result<Self, DataError> {
        let column_of = |name: &String| position(&self.columns, name).ok_or_else(|| self.missing_column(name));
        let order = columns.iter().map(column_of).collect::<Result<Vec<_>, _>>()?;
        let number = |&label: &u32| {
            let class = &self.classes[label as usize];
            let number = position(classes, class).ok_or_else(|| DataError::UnknownClass {
                data: self.name.clone(),
                class: class.clone(),
                known: csv::listed(classes),
            })?;
            Ok(number as u32)
        };
        Ok(Self {
            name: self.name.clone(),
            features: self.features.select(Axis(1), &order),
            labels: self.labels.iter().map(number).collect::<Result<_, DataError>>()?,
            classes: classes.to_vec(),
            columns: columns.to_vec(),
            label_column: self.label_column.clone(),
        })
    }

    fn missing_column(&self, name: &str) -> DataError {
        DataError::MissingColumn {
            data: self.name.clone(),
            column: name.to_owned(),
            columns: csv::listed(&self.columns),
        }
    }

    /// A number that is equal on two ranks exactly when (for all practical purposes) their data are equal.
    ///
    /// Covers shape, values bit by bit, labels, and the names of classes and columns; not `name`, because the same data
    /// may lie under another path on another host.
    pub fn fingerprint(&self) -> u64 {
        let mut hash = Xxh3::new();
        for names in [&self.classes, &self.columns] {
            hash.update(&(names.len() as u64).to_le_bytes());
            names.iter().for_each(|name| update_text(&mut hash, name));
        }
        update_text(&mut hash, &self.label_column);
        hash.update(&(self.len() as u64).to_le_bytes());
        self.labels.iter().for_each(|label| hash.update(&label.to_le_bytes()));
        self.features.iter().for_each(|value| hash.update(&value.to_le_bytes()));
        hash.digest()
    }
}

/// Hashes the length too, so that ["ab", "c"] differs from ["a", "bc"].
fn update_text(hash: &mut Xxh3, text: &str) {
    hash.update(&(text.len() as u64).to_le_bytes());
    hash.update(text.as_bytes());
}

fn position(names: &[String], wanted: &str) -> Option<usize> {
    names.iter().position(|name| name == wanted)
}

/// The candidate that a mistyped word most likely meant, if any comes near.
fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase();
    let distance = |candidate: &str| strsim::osa_distance(&word, &candidate.to_lowercase());
    let (distance, best) =
        candidates.into_iter().map(|candidate| (distance(candidate), candidate)).min_by_key(|pair| pair.0)?;
    (distance <= (word.chars().count() / 3).max(1)).then_some(best)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(text: &str) -> Dataset {
        csv::parse("t.csv", text.as_bytes(), None).unwrap()
    }

    #[test]
    fn a_selection_keeps_order_and_names() {
        let data = table("x,y,label\n1,2,a\n3,4,b\n5,6,c\n");
        let picked = data.select(&[2, 0, 2]);
        assert_eq!(picked.features, ndarray::array![[5., 6.], [1., 2.], [5., 6.]]);
        assert_eq!((picked.labels.as_slice(), picked.num_classes(), picked.dims()), (&[2, 0, 2][..], 3, 2));
        assert!(data.select(&[]).is_empty());
    }

    #[test]
    fn the_fingerprint_sees_every_part_but_the_name() {
        let data = table("x,y,label\n1,2,a\n3,4,b\n");
        let mut renamed = data.clone();
        renamed.name = "elsewhere".into();
        assert_eq!(data.fingerprint(), renamed.fingerprint());
        for other in [
            "x,y,label\n1,2,a\n3,5,b\n",
            "x,y,label\n1,2,b\n3,4,a\n",
            "x,y,label\n3,4,b\n1,2,a\n",
            "x,z,label\n1,2,a\n3,4,b\n",
            "x,y,class\n1,2,a\n3,4,b\n",
            "x,y,label\n1,2,a\n3,4,c\n",
            "x,y,label\n1,2,a\n3,4,b\n3,4,b\n",
            "x,y,label\n-0,2,a\n3,4,b\n",
        ] {
            assert_ne!(data.fingerprint(), table(other).fingerprint(), "{other}");
        }
    }

    #[test]
    fn aligning_maps_columns_and_classes_by_name() {
        let names = |list: &[&str]| list.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
        let data = table("y,x,extra,label\n2,1,0,c\n4,3,0,b\n");
        let aligned = data.aligned(&names(&["x", "y"]), &names(&["a", "b", "c"])).unwrap();
        assert_eq!(aligned.features, ndarray::array![[1., 2.], [3., 4.]]);
        assert_eq!(aligned.labels, [2, 1]);
        let error = data.aligned(&names(&["x", "z"]), &names(&["b", "c"])).unwrap_err().to_string();
        assert!(error.contains("column \"z\"") && error.contains("\"y\", \"x\""), "{error}");
        let error = data.aligned(&names(&["x"]), &names(&["a", "b"])).unwrap_err().to_string();
        assert!(error.contains("class \"c\"") && error.contains("\"a\", \"b\""), "{error}");
    }

    #[test]
    fn a_suggestion_is_made_only_when_it_is_near() {
        for (word, expected) in
            [("varity", Some("variety")), ("VARIETY", Some("variety")), ("petals", None), ("", None)]
        {
            assert_eq!(nearest(word, ["variety", "width"]), expected, "{word}");
        }
    }
}
