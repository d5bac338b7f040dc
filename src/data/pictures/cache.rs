//! All pictures of a folder, decoded once and kept in a file that the next start maps.
//!
//! Decoding 14,000 pictures takes half a minute of a core, and their pixels a gigabyte; so the ranks of a node decode
//! disjoint parts into one file and then map it, and the system keeps one copy of its pages for all of them. The file
//! is named after everything that its content depends on, so a changed folder or size leads to another file.
//!
//! The caller puts barriers between the phases, because data knows no ranks:
//! 1. all: [`Plan::cached`] and [`Plan::is_intact`] of a part. Where every rank has its pictures, that is all. One rank
//!    of a node that finds a damaged file: [`Plan::forget`].
//! 2. one rank of each node: [`Plan::begin`], with a token that is this job's and this node's own.
//! 3. all: [`Plan::temporary`] with the same token, and [`Plan::decode`] of a part. No temporary file: phase 5.
//! 4. one rank of each node: [`Plan::publish`] when all parts succeeded, else [`Plan::discard`].
//! 5. all: as in 1; where there is still none (no directory can be written, a disk is full)
//!    [`Plan::in_memory`] decodes everything on every rank, and a note should say so.

mod file;
mod places;
#[cfg(test)]
mod tests;

pub use file::Mapped;

use super::decode::{self, PictureFault, Wanted};
use super::folder::Folder;
use super::{Pictures, Pixels};
use crate::data::DataError;
use crate::data::order::balanced;
use file::{Entry, Shape};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use xxhash_rust::xxh3::Xxh3;

/// Pictures that are decoded between two looks at whether one was bad.
const RUN: usize = 256;

/// What to do about pictures that cannot be taken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BadImage {
    /// Name the first one and end.
    #[default]
    Fail,
    /// Leave them out and count them, at most 1 % of all.
    Skip,
}

/// What a rank has decoded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PartReport {
    /// Pictures decoded.
    pub good: usize,
    /// Pictures left out, and why.
    pub bad: Vec<(PathBuf, PictureFault)>,
}

/// A folder of pictures that is to be decoded, and how.
#[derive(Debug, Clone)]
pub struct Plan {
    folder: Folder,
    wanted: Wanted,
    policy: BadImage,
    shape: Shape,
    places: Vec<PathBuf>,
}

impl Plan {
    /// Plans the decoding of a folder; `place` is the directory for the decoded pictures, where one was chosen.
    ///
    /// # Errors
    /// Files that only look like pictures, if they are not to be left out, or are too many.
    pub fn new(folder: Folder, wanted: Wanted, policy: BadImage, place: Option<&Path>) -> Result<Self, DataError> {
        let shape = Shape::new(key(&folder, &wanted), folder.files.len(), &wanted);
        let places = places::places(&folder.root, place);
        let plan = Self { folder, wanted, policy, shape, places };
        plan.check(&[])?;
        Ok(plan)
    }

    /// The folder it decodes.
    pub fn folder(&self) -> &Folder {
        &self.folder
    }

    /// The bytes that the decoded pictures take.
    pub fn bytes(&self) -> usize {
        self.shape.length()
    }

    /// Maps the decoded pictures, if they have been kept in one of the places and are whole.
    ///
    /// Looks at some pixels only: [`Plan::is_intact`] looks at all.
    ///
    /// # Errors
    /// Pictures were left out there, and this time they are not to be.
    pub fn cached(&self) -> Result<Option<Pictures>, DataError> {
        let mut files = self.places.iter().map(|place| self.published(place));
        let Some(mapped) = files.find_map(|path| Mapped::open(&path, self.shape)) else {
            return Ok(None);
        };
        if self.policy == BadImage::Fail && mapped.len() < self.folder.files.len() {
            let is_left_out = |slot: &usize| mapped.slots().binary_search(&(*slot as u32)).is_err();
            if let Some(bad) = (0..self.folder.files.len()).find(is_left_out) {
                let (path, read) = self.read(bad);
                // A picture that can be taken after all: the file is not one of ours.
                return read?.map_or_else(|fault| Err(DataError::BadPicture { path, fault }), |_| Ok(None));
            }
        }
        let slots = mapped.slots().to_vec();
        Ok(Some(self.assemble(&slots, Pixels::Mapped(Arc::new(mapped)))))
    }

    /// Whether the `part`-th of `parts` slices of mapped pictures is as it was decoded; so are all pictures in memory.
    ///
    /// A bit that has changed on the disk would be learned from otherwise. Reads the slice once, which training does
    /// in every epoch, and faster than it can be decoded by far.
    pub fn is_intact(&self, pictures: &Pictures, part: usize, parts: usize) -> bool {
        match &pictures.pixels {
            Pixels::Mapped(mapped) => mapped.verify(part, parts).is_ok(),
            Pixels::Owned(_) => true,
        }
    }

    /// Removes the file that pictures are mapped from, which is not intact: the next one takes its name.
    pub fn forget(&self, pictures: &Pictures) {
        if let Pixels::Mapped(mapped) = &pictures.pixels {
            // What cannot be removed is found to be damaged again.
            let _ = fs::remove_file(mapped.path());
        }
    }

    /// Makes the temporary file of this job on this node, in the first place that can be written.
    ///
    /// # Errors
    /// None of them can; with what the system said about the first one.
    pub fn begin(&self, token: &str) -> Result<PathBuf, DataError> {
        let mut first = None;
        for place in &self.places {
            let path = places::temporary(&self.published(place), token);
            match places::create(&path, self.shape.length() as u64) {
                Ok(()) => return Ok(path),
                Err(error) => first = first.or(Some(cache_error(place, "cannot be made", &error))),
            }
        }
        Err(first.unwrap_or_else(|| cache_error(&self.folder.root, "has no place", &"no directory is known")))
    }

    /// The temporary file that [`Plan::begin`] has made with this token, if it has.
    pub fn temporary(&self, token: &str) -> Option<PathBuf> {
        let mut paths = self.places.iter().map(|place| places::temporary(&self.published(place), token));
        paths.find(|path| path.is_file())
    }

    /// Decodes the `part`-th of `parts` slices of the pictures into the temporary file, on the threads of the current
    /// pool; `progress` is told how many more are done.
    ///
    /// # Errors
    /// A bad picture (the first of this part), if they are not to be left out; too many; a file that has changed; or the
    /// temporary file cannot be written ([`DataError::PictureCache`]: decode into memory instead).
    pub fn decode(
        &self,
        temporary: &Path,
        part: usize,
        parts: usize,
        progress: &(dyn Fn(usize) + Sync),
    ) -> Result<PartReport, DataError> {
        let cannot = |error| cache_error(temporary, "cannot be written", &error);
        let file = OpenOptions::new().write(true).open(temporary).map_err(cannot)?;
        let mut report = PartReport::default();
        let slots = balanced(self.folder.files.len(), parts, part);
        for start in slots.clone().step_by(RUN) {
            let run = start..slots.end.min(start + RUN);
            let entries = self.run(run, &mut report, progress, |slot, pixels| {
                self.shape.write_pixels(&file, slot, &pixels).map_err(cannot)
            })?;
            let entries: Vec<Entry> = entries.into_iter().map(|entry| entry.unwrap_or(Shape::bad())).collect();
            self.shape.write_entries(&file, start, &entries).map_err(cannot)?;
        }
        Ok(report)
    }

    /// Seals the temporary file when all parts are in it, brings it to the disk, and gives it its name.
    ///
    /// # Errors
    /// A part is missing, too many pictures are bad in all parts together, or the system refuses.
    pub fn publish(&self, temporary: &Path) -> Result<(), DataError> {
        let cannot = |error| cache_error(temporary, "cannot be finished", &error);
        let file = OpenOptions::new().read(true).write(true).open(temporary).map_err(cannot)?;
        if let Err(slot) = self.shape.seal(&file).map_err(cannot)? {
            return Err(cache_error(temporary, "is not complete", &self.folder.files[slot].path.display()));
        }
        let published = temporary.with_file_name(self.file_name());
        let mapped = Mapped::open(temporary, self.shape);
        let mapped = mapped.ok_or_else(|| cache_error(temporary, "cannot be read back", &"it differs"))?;
        if let Err(error) = self.check_left_out(mapped.slots()) {
            self.discard(temporary);
            return Err(error);
        }
        let is_whole = |path: &Path| Mapped::open(path, self.shape).is_some_and(|other| other.verify(0, 1).is_ok());
        places::publish(temporary, &published, is_whole).map_err(cannot)
    }

    /// Removes a temporary file that will not be published.
    pub fn discard(&self, temporary: &Path) {
        // What stays is removed by a later job.
        let _ = fs::remove_file(temporary);
    }

    /// Decodes all pictures into memory, on the threads of the current pool.
    ///
    /// # Errors
    /// As [`Plan::decode`], without a file.
    pub fn in_memory(&self, progress: &(dyn Fn(usize) + Sync)) -> Result<(Pictures, PartReport), DataError> {
        let (mut report, mut slots) = (PartReport::default(), Vec::new());
        let mut all = Vec::with_capacity(self.folder.files.len() * self.wanted.bytes());
        for start in (0..self.folder.files.len()).step_by(RUN) {
            let run = start..self.folder.files.len().min(start + RUN);
            let pictures = self.run(run, &mut report, progress, |_, pixels| Ok(pixels))?;
            for (slot, pixels) in (start as u32..).zip(pictures) {
                if let Some(pixels) = pixels {
                    slots.push(slot);
                    all.extend_from_slice(&pixels);
                }
            }
        }
        Ok((self.assemble(&slots, Pixels::Owned(Arc::new(all))), report))
    }

    /// Decodes a run of pictures; nothing in the place of bad ones.
    fn run<T: Send>(
        &self,
        slots: std::ops::Range<usize>,
        report: &mut PartReport,
        progress: &(dyn Fn(usize) + Sync),
        keep: impl Fn(usize, Vec<u8>) -> Result<T, DataError> + Sync,
    ) -> Result<Vec<Option<T>>, DataError> {
        let one = |slot: usize| {
            let (path, read) = self.read(slot);
            let kept = match read? {
                Ok(pixels) => Ok(keep(slot, pixels)?),
                Err(fault) => Err((path, fault)),
            };
            progress(1);
            Ok(kept)
        };
        let results: Vec<Result<_, DataError>> = slots.into_par_iter().map(one).collect();
        let mut kept = Vec::with_capacity(results.len());
        for result in results {
            match result? {
                Ok(value) => kept.push(Some(value)),
                Err(bad) => {
                    kept.push(None);
                    report.bad.push(bad);
                    self.check(&report.bad)?;
                }
            }
        }
        report.good += kept.iter().flatten().count();
        Ok(kept)
    }

    fn read(&self, slot: usize) -> (PathBuf, Result<Result<Vec<u8>, PictureFault>, DataError>) {
        let file = &self.folder.files[slot];
        let path = self.folder.root.join(&file.path);
        let read = decode::read(&path, Some(file.size), &self.wanted);
        (path, read)
    }

    /// Whether these bad pictures, and those that were found when the folder was listed, may be left out.
    fn check(&self, bad: &[(PathBuf, PictureFault)]) -> Result<(), DataError> {
        let mut all = self.folder.unfit.iter().chain(bad);
        let Some((path, fault)) = all.next() else {
            return Ok(());
        };
        self.judge(1 + all.count(), self.folder.root.join(path), fault.clone())
    }

    fn judge(&self, bad: usize, path: PathBuf, fault: PictureFault) -> Result<(), DataError> {
        let total = self.folder.total();
        match self.policy {
            BadImage::Fail => Err(DataError::BadPicture { path, fault }),
            BadImage::Skip if 100 * bad > total => Err(DataError::TooManyBadPictures { bad, total, path, fault }),
            BadImage::Skip => Ok(()),
        }
    }

    /// As [`Plan::check`] for all parts together, when only the good pictures are known.
    fn check_left_out(&self, good: &[u32]) -> Result<(), DataError> {
        let bad = (0..self.folder.files.len()).find(|slot| good.binary_search(&(*slot as u32)).is_err());
        let Some((path, Err(fault))) =
            bad.map(|slot| self.read(slot)).map(|(path, read)| (path, read.unwrap_or(Ok(vec![]))))
        else {
            return Ok(());
        };
        self.judge(self.folder.total() - good.len(), path, fault)
    }

    fn assemble(&self, slots: &[u32], pixels: Pixels) -> Pictures {
        let first_test = self.folder.files.len() - self.folder.own_test;
        Pictures {
            name: self.folder.name.clone(),
            shape: [3, self.wanted.height, self.wanted.width],
            labels: slots.iter().map(|&slot| self.folder.files[slot as usize].label).collect(),
            classes: self.folder.classes.clone(),
            own_test: slots.iter().filter(|&&slot| slot as usize >= first_test).count(),
            pixels,
        }
    }

    fn file_name(&self) -> String {
        let Wanted { height, width, .. } = self.wanted;
        format!("{}-{width}x{height}-{:016x}.pixels", self.folder.name, self.shape.key)
    }

    fn published(&self, place: &Path) -> PathBuf {
        place.join(self.file_name())
    }
}

fn cache_error(path: &Path, what: &str, why: &dyn std::fmt::Display) -> DataError {
    DataError::PictureCache { path: path.to_owned(), why: format!("{what}: {why}") }
}

/// Everything that the pixels depend on: names, classes, sizes and times of the files, and what is wanted of them.
fn key(folder: &Folder, wanted: &Wanted) -> u64 {
    let mut hash = Xxh3::new();
    for number in [wanted.height as u64, wanted.width as u64, wanted.pixel_limit, folder.files.len() as u64] {
        hash.update(&number.to_le_bytes());
    }
    for file in &folder.files {
        let name = file.path.as_os_str().as_encoded_bytes();
        hash.update(&(name.len() as u64).to_le_bytes());
        hash.update(name);
        hash.update(&file.size.to_le_bytes());
        hash.update(&file.modified.to_le_bytes());
    }
    hash.digest()
}
