//! The pictures that requests are about.

use crate::cli::failure::{DATA, Failure};
use crate::data::DataError;
use crate::data::pictures::decode::{self, Wanted};
use crate::nn::Shape;
use crate::report::text::count as counted;
use crate::rng::{Purpose, stream, unit};
use crate::run::error::show;
use std::path::{Path, PathBuf};

/// Pictures in memory; requests take them in turn.
pub struct Inputs {
    pictures: Vec<Vec<f32>>,
    /// What they are, for the head.
    pub words: String,
}

/// Pictures that are in memory at once.
const MOST: usize = 16;

impl Inputs {
    /// Synthetic ones: even noise between -1 and 1, the same on every rank.
    pub fn synthetic(shape: &Shape, requests: usize, seed: u64) -> Self {
        let picture = |number: usize| {
            let mut rng = stream(seed, Purpose::Request, 0, number as u64);
            (0..shape.elements()).map(|_| (2.0 * unit(&mut rng) - 1.0) as f32).collect()
        };
        let count = requests.min(MOST);
        Self {
            pictures: (0..count).map(picture).collect(),
            words: format!("{}, in turn", counted(count, "synthetic input")),
        }
    }

    /// The first pictures of a folder, by name, brought to the network's size; values between -1 and 1.
    ///
    /// # Errors
    /// A folder without pictures, and a file that is none; exit code 4.
    pub fn of_folder(folder: &Path, shape: &Shape, requests: usize) -> Result<Self, Failure> {
        let Some([3, height, width]) = shape.picture() else {
            let text = format!(
                "{}: the network reads {shape}, and pictures have 3 channels; leave --pictures out",
                show(folder)
            );
            return Err(Failure::new(DATA, text));
        };
        let files = listed(folder)?;
        let read = |file: &PathBuf| read(file, height, width);
        let pictures = files.iter().take(requests.min(MOST)).map(read).collect::<Result<Vec<_>, _>>()?;
        let words = format!("{} of {} pictures of {}, in turn", pictures.len(), files.len(), show(folder));
        Ok(Self { pictures, words })
    }

    /// The input of a request.
    pub fn of(&self, request: usize) -> Vec<f32> {
        self.pictures[request % self.pictures.len()].clone()
    }
}

fn listed(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let trouble = |error: std::io::Error| {
        Failure::new(DATA, format!("{}: cannot list the pictures: {error}; check the path", show(folder)))
    };
    let entries = std::fs::read_dir(folder).map_err(trouble)?.collect::<Result<Vec<_>, _>>().map_err(trouble)?;
    let mut files: Vec<PathBuf> = entries.into_iter().map(|entry| entry.path()).filter(|path| path.is_file()).collect();
    files.sort();
    match files.is_empty() {
        true => {
            Err(Failure::new(DATA, format!("{}: no files in it; name a folder of JPEG or PNG files", show(folder))))
        }
        false => Ok(files),
    }
}

fn read(file: &Path, height: usize, width: usize) -> Result<Vec<f32>, Failure> {
    match decode::read(file, None, &Wanted::size(height, width)) {
        Ok(Ok(pixels)) => Ok(planar(&pixels, height * width)),
        Ok(Err(fault)) => {
            let text = format!("{}: {fault}; a request needs a JPEG or PNG file that is whole", show(file));
            Err(Failure::new(DATA, text))
        }
        Err(error) => Err(DataError::into(error)),
    }
}

/// Pixels of `[H, W, C]` as C, H, W, between -1 and 1.
fn planar(pixels: &[u8], count: usize) -> Vec<f32> {
    let value = |channel: usize, pixel: usize| f32::from(pixels[3 * pixel + channel]) / 127.5 - 1.0;
    (0..3).flat_map(|channel| (0..count).map(move |pixel| value(channel, pixel))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn synthetic_inputs_are_the_same_everywhere_and_differ() {
        let shape = Shape::image(3, 4, 5);
        let inputs = Inputs::synthetic(&shape, 3, 7);
        assert_eq!(inputs.of(1), Inputs::synthetic(&shape, 2, 7).of(1));
        assert_ne!(inputs.of(0), inputs.of(1));
        assert_eq!(inputs.of(0), inputs.of(3));
        assert!(inputs.of(2).iter().all(|value| value.abs() < 1.0));
    }

    #[test]
    fn pixels_are_sorted_by_channel() {
        assert_eq!(planar(&[0, 255, 0, 255, 0, 255], 2), [-1.0, 1.0, 1.0, -1.0, -1.0, 1.0]);
    }

    #[test]
    fn what_is_no_picture_is_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let shape = Shape::image(3, 8, 8);
        let refused = |path: &Path| Inputs::of_folder(path, &shape, 2).err().unwrap().message;
        assert!(refused(dir.path()).contains("no files in it"));
        std::fs::write(dir.path().join("a.jpg"), b"not a picture").unwrap();
        let message = refused(dir.path());
        assert!(message.contains("a.jpg") && message.contains("JPEG or PNG"), "{message}");
        assert!(refused(Path::new("no/such")).contains("cannot list"));
    }
}
