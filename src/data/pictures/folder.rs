//! From a directory to a list of picture files, the same on every rank.
//!
//! **Whatever has a picture's ending must be a picture**, a regular file below the directory: a directory named x.jpg,
//! a pipe, a link that leads outside, a name that is not UTF-8 are bad pictures like a truncated one. Everything else
//! (notes, thumbnails' databases, hidden files, folders within a class folder) is passed over and counted.
//! The directory itself may be a symbolic link; links within it may lead to other places within it.

use super::decode::{Format, PictureFault};
use crate::data::DataError;
use std::fs::{self, Metadata};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

/// A picture file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PictureFile {
    /// Its path below the folder's root.
    pub path: PathBuf,
    /// Its class, an index into the folder's classes.
    pub label: u32,
    /// Its size in bytes.
    pub size: u64,
    /// When it was written, in nanoseconds since 1970.
    pub modified: i128,
}

/// A folder of pictures, listed but not read.
///
/// Classes are numbered in the order of their names' bytes, and pictures lie class by class in that order, too: first
/// those that train, then the set's own test set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folder {
    /// What the set is called.
    pub name: String,
    /// The directory, without symbolic links.
    pub root: PathBuf,
    /// The names of the class folders, sorted by bytes.
    pub classes: Vec<String>,
    /// All pictures.
    pub files: Vec<PictureFile>,
    /// How many pictures at the end are the set's own test set.
    pub own_test: usize,
    /// What has a picture's ending and is none.
    pub unfit: Vec<(PathBuf, PictureFault)>,
    /// What was passed over, below the root.
    pub ignored: Vec<PathBuf>,
    /// What the user should know, one line each.
    pub notes: Vec<String>,
}

/// The names of the folders that train and test.
const PAIRS: [[&str; 2]; 2] = [["seg_train", "seg_test"], ["train", "test"]];

/// What a directory entry is, links followed.
enum Kind {
    File(Metadata),
    Folder,
    Other,
    Strays,
}

/// Finds the Intel Image Classification data set below `data_dir`, as its archive unpacks: `seg_train/<class>` or
/// `seg_train/seg_train/<class>` in `data_dir`, `data_dir/intel` or `data_dir/archive`; the first that is there.
///
/// # Errors
/// It is nowhere (with every folder tried), it is not laid out like this, or it cannot be read.
pub fn find(name: &str, data_dir: &Path) -> Result<Folder, DataError> {
    let places = [data_dir.to_owned(), data_dir.join("intel"), data_dir.join("archive")];
    match places.iter().find(|place| place.join(PAIRS[0][0]).is_dir()) {
        Some(place) => list(name, place),
        None => Err(DataError::PicturesNotFound { tried: places.map(|place| place.join(PAIRS[0][0])).into() }),
    }
}

/// Lists any directory of pictures: `seg_train` and `seg_test`, or `train` and `test`, or class folders at once.
///
/// # Errors
/// It is no directory, it is not laid out like this, or it cannot be read.
pub fn open(dir: &Path) -> Result<Folder, DataError> {
    if !dir.is_dir() {
        return Err(DataError::PicturesNotFound { tried: vec![dir.to_owned()] });
    }
    let root = dir.canonicalize().map_err(|error| DataError::Io { path: dir.to_owned(), error })?;
    let name = root.file_name().and_then(|name| name.to_str()).unwrap_or("pictures").to_owned();
    list(&name, dir)
}

fn list(name: &str, dir: &Path) -> Result<Folder, DataError> {
    let root = dir.canonicalize().map_err(|error| DataError::Io { path: dir.to_owned(), error })?;
    let mut folder = Folder {
        name: name.to_owned(),
        root: root.clone(),
        classes: Vec::new(),
        files: Vec::new(),
        own_test: 0,
        unfit: Vec::new(),
        ignored: Vec::new(),
        notes: Vec::new(),
    };
    let Some([train, test]) = PAIRS.into_iter().find(|pair| root.join(pair[0]).is_dir()) else {
        folder.train(&root)?;
        folder.notes.push(format!("{name} has no test set of its own (no folder train beside a folder test)"));
        return Ok(folder);
    };
    let nested = |part: &str| {
        let inner = root.join(part).join(part);
        if inner.is_dir() { inner } else { root.join(part) }
    };
    folder.train(&nested(train))?;
    match root.join(test).is_dir() {
        true => folder.test(&nested(test))?,
        false => folder.notes.push(format!("{name} has no test set of its own ({test} is missing beside {train})")),
    }
    Ok(folder)
}

impl Folder {
    /// Pictures and what only looks like one.
    pub fn total(&self) -> usize {
        self.files.len() + self.unfit.len()
    }

    fn train(&mut self, dir: &Path) -> Result<(), DataError> {
        let classes = self.class_folders(dir)?;
        if classes.len() < 2 {
            let why = format!(
                "holds {} class folders, and at least 2 are needed; put the pictures of each class into a folder of its \
                 own, named like the class",
                classes.len()
            );
            return Err(DataError::PictureFolder { path: dir.to_owned(), why });
        }
        self.classes = classes;
        for label in 0..self.classes.len() {
            let class = dir.join(&self.classes[label]);
            if self.class(&class, label as u32)? == 0 {
                let why = "this class folder holds no picture (.jpg .jpeg .png); fill it or remove it".to_owned();
                return Err(DataError::PictureFolder { path: class, why });
            }
        }
        Ok(())
    }

    fn test(&mut self, dir: &Path) -> Result<(), DataError> {
        let before = self.files.len();
        let names = self.class_folders(dir)?;
        for name in &names {
            let class = dir.join(name);
            let Ok(label) = self.classes.binary_search(name) else {
                let why = format!(
                    "this class of the test set is not among those that train ({}); rename or remove it",
                    self.classes.join(", ")
                );
                return Err(DataError::PictureFolder { path: class, why });
            };
            self.class(&class, label as u32)?;
        }
        self.own_test = self.files.len() - before;
        let tested = &self.files[before..];
        let untested = (0..self.classes.len() as u32).filter(|&label| tested.iter().all(|file| file.label != label));
        let untested: Vec<&str> = untested.map(|label| self.classes[label as usize].as_str()).collect();
        match untested.as_slice() {
            [] => {}
            all if all.len() == self.classes.len() => {
                self.notes.push(format!("{} has no test set of its own (its folder is empty)", self.name));
            }
            some => self.notes.push(format!("the test set of {} has no picture of {}", self.name, some.join(", "))),
        }
        Ok(())
    }

    /// The names of the class folders in a directory, sorted by bytes.
    fn class_folders(&mut self, dir: &Path) -> Result<Vec<String>, DataError> {
        let mut classes = Vec::new();
        for path in entries(dir)? {
            let fault = |why: &str| DataError::PictureFolder { path: path.clone(), why: why.to_owned() };
            let name = path.file_name().unwrap_or_default();
            match self.kind(&path)? {
                _ if is_hidden(&path) => self.ignore(&path),
                Kind::Folder => classes.push(
                    name.to_str().ok_or_else(|| fault("the name of this class folder is not UTF-8; rename it"))?.into(),
                ),
                Kind::Strays if Format::of_name(&path).is_none() => {
                    return Err(fault(
                        "this symbolic link leaves the data directory, or leads nowhere; move the pictures here, or \
                         name the directory where they are",
                    ));
                }
                _ => self.ignore(&path),
            }
        }
        Ok(classes)
    }

    /// Lists the pictures of a class; their number, bad ones included.
    fn class(&mut self, dir: &Path, label: u32) -> Result<usize, DataError> {
        let before = self.total();
        for path in entries(dir)? {
            if is_hidden(&path) || ending(&path).is_none() {
                self.ignore(&path);
                continue;
            }
            let below = path.strip_prefix(&self.root).unwrap_or(&path).to_owned();
            let fault = match self.kind(&path)? {
                _ if path.file_name().is_some_and(|name| name.to_str().is_none()) => PictureFault::BadName,
                Kind::File(metadata) => {
                    let (size, modified) = (metadata.len(), modified(&metadata));
                    self.files.push(PictureFile { path: below, label, size, modified });
                    continue;
                }
                Kind::Folder => PictureFault::NotAFile("a directory"),
                Kind::Other => PictureFault::NotAFile("a pipe or device"),
                Kind::Strays => PictureFault::Strays,
            };
            self.unfit.push((below, fault));
        }
        Ok(self.total() - before)
    }

    fn ignore(&mut self, path: &Path) {
        self.ignored.push(path.strip_prefix(&self.root).unwrap_or(path).to_owned());
    }

    fn kind(&self, path: &Path) -> Result<Kind, DataError> {
        let io = |error| DataError::Io { path: path.to_owned(), error };
        let mut metadata = fs::symlink_metadata(path).map_err(io)?;
        if metadata.is_symlink() {
            match path.canonicalize() {
                Ok(target) if target.starts_with(&self.root) => metadata = fs::metadata(path).map_err(io)?,
                Ok(_) => return Ok(Kind::Strays),
                Err(error) if error.kind() == ErrorKind::PermissionDenied => return Err(io(error)),
                Err(_) => return Ok(Kind::Strays),
            }
        }
        Ok(match &metadata {
            metadata if metadata.is_dir() => Kind::Folder,
            metadata if !metadata.is_file() => Kind::Other,
            _ => Kind::File(metadata),
        })
    }
}

/// What is in a directory, sorted by the names' bytes.
fn entries(dir: &Path) -> Result<Vec<PathBuf>, DataError> {
    let io = |error| DataError::Io { path: dir.to_owned(), error };
    let entries = fs::read_dir(dir).map_err(io)?.map(|entry| entry.map(|entry| entry.path()));
    let mut paths = entries.collect::<Result<Vec<_>, _>>().map_err(io)?;
    paths.sort_unstable_by(|a, b| a.as_os_str().as_encoded_bytes().cmp(b.as_os_str().as_encoded_bytes()));
    Ok(paths)
}

fn is_hidden(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."))
}

/// As [`Format::of_name`], for names that are not UTF-8, too: their ending may well be.
fn ending(path: &Path) -> Option<Format> {
    Format::of_name(&Path::new("x").with_extension(path.extension()?))
}

fn modified(metadata: &Metadata) -> i128 {
    let Ok(time) = metadata.modified() else {
        return 0;
    };
    match time.duration_since(UNIX_EPOCH) {
        Ok(since) => since.as_nanos() as i128,
        Err(before) => -(before.duration().as_nanos() as i128),
    }
}

#[cfg(test)]
mod tests;
