//! What a model says to pictures: decoded as strictly as for training, and brought to the size it was trained on.

use super::failure::{DATA, Failure};
use super::model::LoadedModel;
use super::predict::{Asked, Guesses};
use super::task::Scale;
use crate::data::DataError;
use crate::data::pictures::decode::{self, PictureFault, Wanted};
use crate::data::pictures::{PictureView, Pictures, Pixels};
use crate::run::error::show;
use crate::run::model_file::PicturesMeta;
use rayon::prelude::*;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Pictures that are in memory at once.
const AT_ONCE: usize = 64;

/// Label and probabilities of each picture.
///
/// # Errors
/// The first file that is none, in the order in which they were named; exit code 4.
pub(super) fn guess(asked: Asked, pictures: &PicturesMeta, files: &[PathBuf]) -> Result<Vec<Guesses>, Failure> {
    let mut guesses = Vec::with_capacity(files.len());
    for files in files.chunks(AT_ONCE) {
        let pixels: Vec<Result<Vec<u8>, Failure>> = files.par_iter().map(|file| read(file, pictures.shape)).collect();
        let pixels = pixels.into_iter().collect::<Result<Vec<_>, _>>()?.concat();
        let view = view(asked.model, pictures.shape, pixels, files.len());
        let rows = asked.guesses(&view).map_err(|at| {
            let text = format!("{}: this model's outputs are no numbers for it; train it again", show(&files[at]));
            Failure::new(DATA, text)
        })?;
        let names = files.iter().map(|file| file.to_string_lossy().into_owned());
        guesses.extend(names.zip(rows).map(|(file, row)| Guesses { file, rows: vec![row] }));
    }
    Ok(guesses)
}

/// Pixels as the model reads them.
fn view(model: &LoadedModel, shape: [usize; 3], pixels: Vec<u8>, count: usize) -> PictureView {
    let Scale::Pixels(scale) = &model.scale else { unreachable!("a model that reads pictures scales their channels") };
    let pictures = Pictures {
        name: String::new(),
        shape,
        labels: vec![0; count],
        classes: model.meta.classes.clone(),
        own_test: 0,
        pixels: Pixels::Owned(Arc::new(pixels)),
    };
    let rows = (0..count as u32).collect();
    PictureView { pictures: Arc::new(pictures), rows, scale: scale.clone(), augment: None }
}

/// The pixels of a file, `[H, W, C]`.
fn read(file: &Path, [channels, height, width]: [usize; 3]) -> Result<Vec<u8>, Failure> {
    let refuse =
        |why: &dyn std::fmt::Display, cure: &str| Err(Failure::new(DATA, format!("{}: {why}; {cure}", show(file))));
    match decode::read(file, None, &Wanted::size(height, width)) {
        Ok(Ok(pixels)) if channels == 1 => Ok(grey(&pixels)),
        Ok(Ok(pixels)) => Ok(pixels),
        Ok(Err(fault @ PictureFault::NotAFile("a directory"))) => refuse(&fault, "name the pictures in it"),
        Ok(Err(fault)) => refuse(&fault, "this model reads JPEG and PNG files that are whole"),
        Err(DataError::Io { error, .. }) if error.kind() == ErrorKind::NotFound => {
            refuse(&"no such file", "check the path")
        }
        Err(error) => Err(error.into()),
    }
}

/// The luma of each pixel (ITU-R BT.601 in 256ths): grey stays what it was.
fn grey(pixels: &[u8]) -> Vec<u8> {
    let luma = |&[r, g, b]: &[u8; 3]| (77 * u32::from(r) + 150 * u32::from(g) + 29 * u32::from(b) + 128) >> 8;
    pixels.as_chunks::<3>().0.iter().map(|pixel| luma(pixel) as u8).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grey_pixels_stay_what_they_were() {
        let pixels: Vec<u8> = (0..=255).flat_map(|value| [value; 3]).collect();
        assert_eq!(grey(&pixels), (0..=255).collect::<Vec<u8>>());
        assert_eq!(grey(&[255, 0, 0, 0, 255, 0, 0, 0, 255]), [77, 149, 29]);
    }
}
