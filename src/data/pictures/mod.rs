//! Pictures: eight bits a pixel and channel, in memory or mapped from a file, scaled when they are read.
//!
//! From a folder to numbers: [`folder`] lists the files, [`decode`] makes pixels of one, [`cache`] keeps the pixels of
//! all in a file that is mapped at the next start, and a [`PictureView`] reads a part of them.

pub mod cache;
pub mod decode;
pub mod folder;
mod map;
mod moments;
mod view;

pub use cache::Mapped;
pub use moments::{Moments, PixelScale};
pub use view::{Augment, PictureView};

use super::split::{Fractions, stratified};
use std::sync::Arc;
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

/// A labelled set of pictures of one size.
///
/// # Shapes
/// `shape` is `[C, H, W]`; the pixels of a picture lie in H, W, C order, `C·H·W` bytes a picture.
#[derive(Debug, Clone)]
pub struct Pictures {
    /// What the set is called.
    pub name: String,
    /// Channels, height and width of every picture.
    pub shape: [usize; 3],
    /// The class of each picture, an index into `classes`.
    pub labels: Vec<u32>,
    /// The names of the classes.
    pub classes: Vec<String>,
    /// How many pictures at the end are the set's own test set; 0: it has none.
    pub own_test: usize,
    /// The pixels of all pictures, one after the other.
    pub pixels: Pixels,
}

/// Where pixels are.
#[derive(Debug, Clone)]
pub enum Pixels {
    /// In memory.
    Owned(Arc<Vec<u8>>),
    /// In a file of decoded pictures that is mapped.
    Mapped(Arc<Mapped>),
}

/// The pictures of the three parts, each ascending.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rows {
    /// Pictures that train.
    pub train: Vec<u32>,
    /// Pictures that choose between models, may be empty.
    pub validation: Vec<u32>,
    /// Pictures that are looked at once, at the end, may be empty.
    pub test: Vec<u32>,
}

impl Pictures {
    /// Number of pictures, N.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// Numbers per sample, D = C·H·W.
    pub fn dims(&self) -> usize {
        self.shape.iter().product()
    }

    /// Number of classes, K.
    pub fn num_classes(&self) -> usize {
        self.classes.len()
    }

    /// The bytes of picture `i`, `[H, W, C]`.
    ///
    /// # Panics
    /// If `i` is not below `len()`.
    pub fn pixels(&self, i: usize) -> &[u8] {
        match &self.pixels {
            Pixels::Owned(bytes) => &bytes[i * self.dims()..][..self.dims()],
            Pixels::Mapped(mapped) => mapped.pixels(i),
        }
    }

    /// Splits into training, validation and test part, stratified by class.
    ///
    /// A set's own test set is kept, and the rest is divided in the shares of training and validation alone. Without
    /// `fractions` the rest is split 0.9/0.1, and a set without a test set of its own 0.8/0.1/0.1.
    pub fn split(&self, fractions: Option<Fractions>, seed: u64) -> Rows {
        let rest = self.len() - self.own_test;
        let fractions = match (fractions, self.own_test) {
            (given, 0) => given.unwrap_or_default(),
            (None, _) => Fractions { train: 0.9, validation: 0.1, test: 0.0 },
            (Some(given), _) => {
                let validation = given.validation / (given.train + given.validation);
                Fractions { train: 1.0 - validation, validation, test: 0.0 }
            }
        };
        let split = stratified(&self.labels[..rest], self.num_classes(), fractions, seed);
        let [train, validation, mut test] =
            [split.train, split.validation, split.test].map(|rows| rows.into_iter().map(|row| row as u32).collect());
        Vec::extend(&mut test, rest as u32..self.len() as u32);
        Rows { train, validation, test }
    }

    /// A number that is equal on two ranks exactly when (for all practical purposes) their pictures are equal.
    ///
    /// Covers shape, labels, names of classes and every pixel. A mapped set reads no pixel for it: the hash of each
    /// picture was taken when it was decoded. `name` is not covered, nor whether the pixels are mapped.
    pub fn fingerprint(&self) -> u64 {
        let mut hash = Xxh3::new();
        let mut number = |value: usize| hash.update(&(value as u64).to_le_bytes());
        self.shape.into_iter().chain([self.len(), self.own_test, self.num_classes()]).for_each(&mut number);
        for class in &self.classes {
            hash.update(&(class.len() as u64).to_le_bytes());
            hash.update(class.as_bytes());
        }
        self.labels.iter().for_each(|label| hash.update(&label.to_le_bytes()));
        for i in 0..self.len() {
            let picture = match &self.pixels {
                Pixels::Owned(_) => xxh3_64(self.pixels(i)),
                Pixels::Mapped(mapped) => mapped.hash(i),
            };
            hash.update(&picture.to_le_bytes());
        }
        hash.digest()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(own_test: usize) -> Pictures {
        Pictures {
            name: "set".into(),
            shape: [3, 1, 2],
            labels: (0..40).map(|i| i % 2).collect(),
            classes: vec!["a".into(), "b".into()],
            own_test,
            pixels: Pixels::Owned(Arc::new((0..240).map(|i| i as u8).collect())),
        }
    }

    #[test]
    fn a_test_set_of_its_own_is_kept() {
        let shares = |text: &str| Some(text.parse::<Fractions>().unwrap());
        for (own_test, fractions, expected) in [
            (0, None, [32, 4, 4]),
            (20, None, [18, 2, 20]),
            (20, shares("0.6/0.2/0.2"), [15, 5, 20]),
            (20, shares("1/0/0"), [20, 0, 20]),
            (0, shares("0.5/0.25/0.25"), [20, 10, 10]),
        ] {
            let Rows { train, validation, test } = set(own_test).split(fractions, 1);
            assert_eq!([train.len(), validation.len(), test.len()], expected, "{own_test}");
            assert!(own_test == 0 || test == (20..40).collect::<Vec<u32>>());
            let mut all = [train, validation, test].concat();
            all.sort_unstable();
            assert_eq!(all, (0..40).collect::<Vec<u32>>());
        }
    }

    #[test]
    fn the_fingerprint_sees_every_part_but_the_name() {
        let reference = set(4);
        let mut renamed = reference.clone();
        renamed.name = "elsewhere".into();
        assert_eq!(reference.fingerprint(), renamed.fingerprint());
        let changes: [fn(&mut Pictures); 5] = [
            |set| set.labels[3] = 0,
            |set| set.classes[1] = "c".into(),
            |set| set.own_test = 5,
            |set| set.shape = [3, 2, 1],
            |set| set.pixels = Pixels::Owned(Arc::new((0..240).map(|i| i as u8 ^ u8::from(i == 200)).collect())),
        ];
        for (i, change) in changes.into_iter().enumerate() {
            let mut other = reference.clone();
            change(&mut other);
            assert_ne!(reference.fingerprint(), other.fingerprint(), "{i}");
        }
    }
}
