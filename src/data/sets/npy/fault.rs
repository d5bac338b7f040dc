//! What can be wrong with a .npy file: why, and the cure. The file is said by
//! [`DataError::Npy`](crate::data::DataError::Npy).

use std::path::PathBuf;

/// A fault of one .npy file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NpyFault {
    /// It does not begin as such a file does.
    #[error("this is {what}, not a .npy file; save one array with np.save(FILE, array)")]
    NotNpy {
        /// What it seems to be.
        what: &'static str,
    },
    /// A format of the future.
    #[error("format version {major}.{minor}, 1.0 to 3.0 are known; save it again with another numpy")]
    Version {
        /// The first byte.
        major: u8,
        /// The second byte.
        minor: u8,
    },
    /// The dictionary at the beginning is not what numpy writes.
    #[error("damaged header: {why}; save the array again with np.save")]
    Header {
        /// What is wrong with it.
        why: String,
    },
    /// A pickle, which can run any program.
    #[error(
        "an array of Python objects (dtype {dtype:?}), which is never unpickled; save numbers: np.save(FILE, \
         np.array(list, dtype=\"float32\"), allow_pickle=False), every row of one length"
    )]
    Object {
        /// Its dtype.
        dtype: String,
    },
    /// Fields, text, dates, complex or half-precision numbers.
    #[error("dtype {dtype:?} is no number of 8 to 64 bits; convert it, for example with array.astype(\"float32\")")]
    Dtype {
        /// Its dtype.
        dtype: String,
    },
    /// Column after column.
    #[error("the array is stored in Fortran order; save it with np.save(FILE, np.ascontiguousarray(array))")]
    Fortran,
    /// Cut short.
    #[error("{found} bytes of the {wanted} that shape {shape} asks for; copy it again")]
    Truncated {
        /// Bytes behind the header.
        found: usize,
        /// Bytes that there should be.
        wanted: u128,
        /// The shape.
        shape: String,
    },
    /// Longer than the header says.
    #[error("{extra} bytes follow the {wanted} that shape {shape} asks for; copy it again")]
    Trailing {
        /// Bytes too many.
        extra: usize,
        /// Bytes that there should be.
        wanted: usize,
        /// The shape.
        shape: String,
    },
    /// A shape of neither samples nor labels.
    #[error("shape {shape} {why}")]
    Shape {
        /// The shape.
        shape: String,
        /// What is wrong with it, and what is needed.
        why: &'static str,
    },
    /// Floats as class numbers.
    #[error("labels of dtype {dtype:?}; class numbers are integers: save labels.astype(\"int64\")")]
    FloatLabels {
        /// Their dtype.
        dtype: String,
    },
    /// No class number.
    #[error("label {label} of sample {item} (counted from 0): {why}")]
    Label {
        /// The sample, counted from 0.
        item: usize,
        /// Its label.
        label: i128,
        /// The range, and what to do.
        why: String,
    },
    /// A row that is not one 1 among zeros.
    #[error("row {item} (counted from 0) is not one-hot; save class numbers: np.save(FILE, labels.argmax(axis=1))")]
    NotOneHot {
        /// The row, counted from 0.
        item: usize,
    },
    /// Nothing to tell apart.
    #[error("all labels are 0; at least two classes are needed")]
    OneClass,
    /// Samples and labels do not belong together.
    #[error("{labels} labels for the {samples} samples of {}; save both from one set", file.display())]
    Counts {
        /// The number of labels.
        labels: usize,
        /// The number of samples.
        samples: usize,
        /// The file of the samples.
        file: PathBuf,
    },
    /// NaN, an infinity, or more than 32 bits hold.
    #[error("value {value} (counted from 0) of sample {item} is {what}; replace it, or leave the sample out")]
    NotFinite {
        /// The sample, counted from 0.
        item: usize,
        /// The value in the sample, counted from 0, as it is stored.
        value: usize,
        /// What is there.
        what: String,
    },
    /// The test set is not what the training set is.
    #[error("holds {test}, but the training set holds {train}; save both alike")]
    OtherForm {
        /// What the test set holds.
        test: String,
        /// What the training set holds.
        train: String,
    },
    /// Tables are split by the program.
    #[error(
        "a table takes no test set of its own; join both with np.concatenate, --split then takes a test part, or \
         remove it"
    )]
    TestTable,
    /// No labels beside the samples.
    #[error("its labels are missing; save them beside it as {tried}")]
    NoLabels {
        /// The names that were tried.
        tried: String,
    },
    /// A name that says nothing about where the labels are.
    #[error("its labels cannot be found by its name; call the files x_NAME.npy and y_NAME.npy")]
    NoX,
}
