//! The samples that `eval` measures: the data loaded again, as the model was trained to read them.

use super::args::EvalArgs;
use super::decoding::Decoding;
use super::failure::{DATA, Failure};
use super::host::Place;
use super::load::{self, Loaded, Request};
use super::model::LoadedModel;
use super::task::{self, Scale};
use crate::comm::Solo;
use crate::config::{BadImage, Dataset as Name, EvalPart, ImageSize};
use crate::data::pictures::{PictureView, Pictures, PixelScale};
use crate::data::split::{Fractions, Split};
use crate::data::standardize::Standardizer;
use crate::data::{AnyData, DataError, Dataset, Samples, source};
use crate::run::error::{one_line, show};
use crate::run::model_file::{ModelMeta, PicturesMeta};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Exit code of a part that was asked for and has no rows.
const USAGE: u8 = 2;

/// The samples that are measured, as the model sees them, and what they are called.
pub(super) struct Chosen {
    /// The samples, standardised.
    pub samples: Box<dyn Samples>,
    /// The class of each, an index into the model's classes.
    pub labels: Vec<u32>,
    /// The data set.
    pub data: String,
    /// Which part of it.
    pub part: EvalPart,
    /// What a sample is.
    pub unit: &'static str,
    /// What the reader should know.
    pub note: Option<&'static str>,
}

impl Chosen {
    /// Loads the data that the command line names, else those that the model was trained on.
    ///
    /// # Errors
    /// Data that are missing, bad, or not such as the model reads (4); a part without rows (2).
    pub fn load(args: &EvalArgs, model: &LoadedModel) -> Result<Self, Failure> {
        let meta = &model.meta;
        let name = args.dataset.as_ref().unwrap_or(&meta.dataset);
        let whole = fitting(read(args, meta, name)?, meta, name)?;
        let fractions: Option<Fractions> = match meta.data_split.as_str() {
            "" => None,
            text => Some(text.parse().map_err(|why| Failure::new(DATA, format!("{}: {why}", show(&args.run))))?),
        };
        let split = task::split(&whole, fractions, meta.seed);
        let other = *name != meta.dataset;
        let part = args.part.unwrap_or(if other { EvalPart::All } else { last_part(&split) });
        let rows = match part {
            EvalPart::Train => split.train.clone(),
            EvalPart::Validation => split.validation.clone(),
            EvalPart::Test => split.test.clone(),
            EvalPart::All => (0..whole.len()).collect(),
        };
        if rows.is_empty() {
            let how = match meta.data_split.as_str() {
                "" => "by their own test set".to_owned(),
                text => one_line(text),
            };
            let cure = format!("the data are split {how}; use --part {}", last_part(&split));
            return Err(Failure::new(USAGE, format!("--part {part}: this part has no rows, {cure}")));
        }
        let note = (!other && changed(&whole, &split, &model.scale))
            .then_some("these are not the data that the model was trained on: rows it has seen may be among them");
        let labels = rows.iter().map(|&row| whole.labels()[row]).collect();
        let unit = if whole.shape().is_some() { "picture" } else { "row" };
        Ok(Self { samples: samples(whole, &rows, &model.scale), labels, data: name.clone(), part, unit, note })
    }

    /// What was measured on, and its size: `iris test part, 15 rows`.
    pub fn title(&self) -> String {
        let data = one_line(&self.data);
        let rows = match self.labels.len() {
            1 => format!("1 {}", self.unit),
            rows => format!("{rows} {}s", self.unit),
        };
        match self.part {
            EvalPart::All => format!("{data}, all {rows}"),
            EvalPart::Train => format!("{data} training part, {rows}"),
            part => format!("{data} {part} part, {rows}"),
        }
    }
}

/// Reads a data set for a model; pictures of a folder are brought to its size.
fn read(args: &EvalArgs, meta: &ModelMeta, name: &str) -> Result<AnyData, Failure> {
    let data_dir = args.data_dir.clone().unwrap_or(PathBuf::from(&meta.data_dir));
    let label = args.label.clone().or(meta.label.clone());
    let Ok(dataset) = Name::try_from(name.to_owned()) else {
        return Ok(source::load_any(name, &data_dir, label.as_deref())?);
    };
    let resized = matches!(dataset, Name::Img) || matches!(&dataset, Name::Folder(_));
    let pictures = meta.pictures.clone().unwrap_or_default();
    let PicturesMeta { shape: [_, height, width], skip_bad, cache_dir } = pictures;
    let request = Request {
        dataset,
        data_dir,
        label,
        size: (resized && height > 0).then_some(ImageSize { height, width }),
        bad_image: if skip_bad { BadImage::Skip } else { BadImage::Fail },
        cache_dir: cache_dir.map(PathBuf::from),
    };
    let loaded = load::load(&Solo::new(), &request, &[Place::here()], &Decoding::silent());
    let Loaded { data, .. } = loaded.map_err(|ended| {
        let (code, message) = ended.summary();
        Failure { code, message }
    })?;
    Ok(data)
}

/// The data with the model's columns and its numbering of the classes.
fn fitting(data: AnyData, meta: &ModelMeta, name: &str) -> Result<AnyData, Failure> {
    let refuse = |has: String, reads: String| {
        let text = format!(
            "{}: {has}, and this model reads {reads}; name data like those it was trained on",
            show(Path::new(name))
        );
        Err(Failure::new(DATA, text))
    };
    let shown = |[channels, height, width]: [usize; 3]| format!("pictures of {channels}x{height}x{width}");
    match (data, &meta.pictures) {
        (AnyData::Table(data), None) => Ok(AnyData::Table(data.aligned(&meta.columns, &meta.classes)?)),
        (AnyData::Pictures(data), Some(wanted)) if data.shape == wanted.shape => {
            Ok(AnyData::Pictures(renumbered(data, &meta.classes)?))
        }
        (AnyData::Pictures(data), Some(wanted)) => refuse(format!("it has {}", shown(data.shape)), shown(wanted.shape)),
        (AnyData::Table(_), Some(wanted)) => refuse("it is a table".to_owned(), shown(wanted.shape)),
        (AnyData::Pictures(data), None) => {
            refuse(format!("it has {}", shown(data.shape)), format!("rows of {} columns", meta.columns.len()))
        }
    }
}

/// The same pictures with the model's numbers for the classes.
fn renumbered(mut data: Pictures, classes: &[String]) -> Result<Pictures, DataError> {
    let number = |&label: &u32| {
        let class = &data.classes[label as usize];
        let number = classes.iter().position(|known| known == class).ok_or_else(|| DataError::UnknownClass {
            data: data.name.clone(),
            class: class.clone(),
            known: classes.join(", "),
        })?;
        Ok(number as u32)
    };
    data.labels = data.labels.iter().map(number).collect::<Result<_, DataError>>()?;
    data.classes = classes.to_vec();
    Ok(data)
}

/// The part that training has used least and that has rows.
fn last_part(split: &Split) -> EvalPart {
    match (split.test.is_empty(), split.validation.is_empty()) {
        (false, _) => EvalPart::Test,
        (true, false) => EvalPart::Validation,
        (true, true) => EvalPart::Train,
    }
}

fn samples(whole: AnyData, rows: &[usize], scale: &Scale) -> Box<dyn Samples> {
    match (whole, scale) {
        (AnyData::Table(data), Scale::Columns(scale)) => {
            let mut rows: Dataset = data.select(rows);
            scale.apply(&mut rows.features);
            Box::new(rows)
        }
        (AnyData::Pictures(data), Scale::Pixels(scale)) => {
            let rows = rows.iter().map(|&row| row as u32).collect();
            Box::new(PictureView { pictures: Arc::new(data), rows, scale: scale.clone(), augment: None })
        }
        _ => unreachable!("the data were found to fit the model"),
    }
}

/// Whether the training part has other means and deviations than the one the model was trained on:
/// then its split is another one, too. Rounding differs between machines, so equal means close.
fn changed(whole: &AnyData, split: &Split, fitted: &Scale) -> bool {
    let (again, fitted) = match (whole, fitted) {
        (AnyData::Table(data), Scale::Columns(fitted)) => {
            let again = Standardizer::fit(&data.features, &split.train);
            ([again.means, again.deviations], [&fitted.means, &fitted.deviations])
        }
        (AnyData::Pictures(data), Scale::Pixels(fitted)) => {
            let rows: Vec<u32> = split.train.iter().map(|&row| row as u32).collect();
            let again = PixelScale::fit(data, &rows);
            ([again.means, again.deviations], [&fitted.means, &fitted.deviations])
        }
        _ => return true,
    };
    let far = |a: f32, b: f32, scale: f32| (f64::from(a) - f64::from(b)).abs() > 1e-4 * f64::from(scale);
    let ([means, deviations], [old_means, old_deviations]) = (again, fitted);
    (0..means.len()).any(|column| {
        let scale = old_deviations[column];
        let mean_scale = scale.max(old_means[column].abs());
        far(means[column], old_means[column], mean_scale) || far(deviations[column], scale, scale)
    })
}
