//! What arrays mean here: pictures, rows of a table, class numbers.

use super::NpyFault;
use super::array::{Array, Kind};
use ndarray::Array2;
use std::fmt;

/// More classes than anybody tells apart: such labels are something else.
const MOST_CLASSES: usize = 1 << 16;

/// Samples.
#[derive(Debug)]
pub(super) enum Values {
    /// Features, `[N, D]`.
    Table(Array2<f32>),
    /// Pictures in N, H, W, C order.
    Pictures { shape: [usize; 3], pixels: Vec<u8> },
}

/// What training and test samples must have in common.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Form {
    Rows(usize),
    Pictures([usize; 3]),
}

impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rows(dims) => write!(f, "rows of {dims} numbers"),
            Self::Pictures([c, h, w]) => write!(f, "pictures of {w}x{h} pixels in {c} channel{}", plural(*c)),
        }
    }
}

fn plural(count: usize) -> &'static str {
    if count == 1 { "" } else { "s" }
}

/// How a sample's values follow each other in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    /// H, W, C; also of rows, which are pictures of one line.
    Interleaved,
    /// C, H, W.
    Planar,
}

impl Values {
    pub(super) fn of(array: Array) -> Result<Self, NpyFault> {
        let (shape, order) = sample_shape(&array)?;
        match array.is_bytes() && array.shape.len() > 2 {
            true => Ok(Self::Pictures { shape, pixels: pixels(array, shape, order) }),
            false => table(&array, shape, order).map(Self::Table),
        }
    }

    pub(super) fn count(&self) -> usize {
        match self {
            Self::Table(features) => features.nrows(),
            Self::Pictures { shape, pixels } => pixels.len() / shape.iter().product::<usize>(),
        }
    }

    pub(super) fn form(&self) -> Form {
        match self {
            Self::Table(features) => Form::Rows(features.ncols()),
            Self::Pictures { shape, .. } => Form::Pictures(*shape),
        }
    }
}

/// `[C, H, W]` of a sample; of a row `[1, 1, D]`.
fn sample_shape(array: &Array) -> Result<([usize; 3], Order), NpyFault> {
    let refuse = |why| Err(NpyFault::Shape { shape: array.shown(), why });
    let channels = |dim: usize| dim == 1 || dim == 3;
    match array.shape[1..] {
        [dims] => Ok(([1, 1, dims], Order::Interleaved)),
        [h, w] => Ok(([1, h, w], Order::Interleaved)),
        [c, _, last] if channels(c) && channels(last) => refuse(
            "could be channels first or channels last; reshape it, or pad the pictures so that only one of the two \
             dimensions is 1 or 3",
        ),
        [h, w, c] if channels(c) => Ok(([c, h, w], Order::Interleaved)),
        [c, h, w] if channels(c) => Ok(([c, h, w], Order::Planar)),
        [_, _, _] => refuse("has no dimension of 1 or 3 channels; [N, H, W, C] or [N, C, H, W] is needed"),
        [] => refuse("is a single row; samples are [N, D], [N, H, W], [N, H, W, C] or [N, C, H, W]"),
        _ => refuse("has too many dimensions; samples are [N, D], [N, H, W], [N, H, W, C] or [N, C, H, W]"),
    }
}

/// The bytes in N, H, W, C order.
fn pixels(array: Array, [channels, h, w]: [usize; 3], order: Order) -> Vec<u8> {
    let planes = array.into_bytes();
    if order == Order::Interleaved || channels == 1 {
        return planes;
    }
    let plane = h * w;
    let mut pixels = vec![0; planes.len()];
    for (picture, planes) in pixels.chunks_exact_mut(channels * plane).zip(planes.chunks_exact(channels * plane)) {
        for (at, pixel) in picture.chunks_exact_mut(channels).enumerate() {
            (0..channels).for_each(|c| pixel[c] = planes[c * plane + at]);
        }
    }
    pixels
}

/// The numbers of each sample in C, H, W order.
fn table(array: &Array, [channels, h, w]: [usize; 3], order: Order) -> Result<Array2<f32>, NpyFault> {
    let (plane, dims) = (h * w, channels * h * w);
    let mut values = Vec::with_capacity(array.count() * dims);
    for item in 0..array.count() {
        for target in 0..dims {
            let value = match order {
                Order::Planar => target,
                Order::Interleaved => target % plane * channels + target / plane,
            };
            let number = array.float(item * dims + value);
            if !(number as f32).is_finite() {
                return Err(NpyFault::NotFinite { item, value, what: number.to_string() });
            }
            values.push(number as f32);
        }
    }
    Ok(Array2::from_shape_vec((array.count(), dims), values).expect("one value for each row and column"))
}

/// Class numbers.
#[derive(Debug)]
pub(super) struct Labels {
    /// One a sample, below `classes`.
    pub numbers: Vec<u32>,
    /// How many classes there are, K.
    pub classes: usize,
}

impl Labels {
    /// `known`: the number of classes that there must be, where a training set came before.
    pub(super) fn of(array: &Array, known: Option<usize>) -> Result<Self, NpyFault> {
        match array.shape[1..] {
            [] | [1] => Self::of_numbers(array, known),
            [columns] if columns <= MOST_CLASSES => Self::of_one_hot(array, columns, known),
            _ => {
                let why = "is none of labels; [N] class numbers or [N, K] one-hot rows are needed";
                Err(NpyFault::Shape { shape: array.shown(), why })
            }
        }
    }

    fn of_numbers(array: &Array, known: Option<usize>) -> Result<Self, NpyFault> {
        if let Kind::Float(_) = array.kind {
            return Err(NpyFault::FloatLabels { dtype: array.dtype.clone() });
        }
        let limit = known.unwrap_or(MOST_CLASSES);
        let number = |item| {
            let label = array.integer(item);
            match u32::try_from(label) {
                Ok(number) if (number as usize) < limit => Ok(number),
                _ => Err(NpyFault::Label { item, label, why: range(known) }),
            }
        };
        let numbers = (0..array.count()).map(number).collect::<Result<Vec<u32>, _>>()?;
        let classes = known.unwrap_or_else(|| numbers.iter().max().map_or(0, |&most| most as usize + 1));
        if classes < 2 {
            return Err(NpyFault::OneClass);
        }
        Ok(Self { numbers, classes })
    }

    fn of_one_hot(array: &Array, columns: usize, known: Option<usize>) -> Result<Self, NpyFault> {
        if known.is_some_and(|known| known != columns) {
            let why = "has another number of columns than there are training classes; save both alike";
            return Err(NpyFault::Shape { shape: array.shown(), why });
        }
        let number = |item: usize| {
            let mut hot = None;
            for column in 0..columns {
                match array.float(item * columns + column) {
                    0.0 => {}
                    1.0 if hot.is_none() => hot = Some(column as u32),
                    _ => return Err(NpyFault::NotOneHot { item }),
                }
            }
            hot.ok_or(NpyFault::NotOneHot { item })
        };
        let numbers = (0..array.count()).map(number).collect::<Result<_, _>>()?;
        Ok(Self { numbers, classes: columns })
    }
}

fn range(known: Option<usize>) -> String {
    match known {
        Some(classes) => format!("the training labels go from 0 to {}; correct it", classes - 1),
        None => format!(
            "class numbers from 0 to {} are needed; renumber them with np.unique(labels, return_inverse=True)[1]",
            MOST_CLASSES - 1
        ),
    }
}
