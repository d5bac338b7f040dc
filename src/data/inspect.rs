//! What a data set holds, as `goai-rs data inspect` shows it: plain numbers, for text and JSON.

use super::pictures::decode::{self, Wanted};
use super::pictures::folder::Folder;
use super::{AnyData, DataError, source};
use rayon::prelude::*;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// How many sizes are told apart; the rarer ones are added up.
const SIZES: usize = 8;

/// How many odd files the text lists; the data hold all of them.
const ODD_LISTED: usize = 20;

/// Pictures or rows of one class.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ClassCount {
    /// The class.
    pub name: String,
    /// Those outside the set's own test set.
    pub train: usize,
    /// Those in the set's own test set.
    pub test: usize,
}

/// Pictures of one size.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SizeCount {
    /// Pixels in a row.
    pub width: usize,
    /// Pixel rows.
    pub height: usize,
    /// How many pictures.
    pub pictures: usize,
}

/// A file that is not taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OddFile {
    /// The file.
    pub file: String,
    /// What is wrong with it.
    pub why: String,
}

/// What a data set holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Inspection {
    /// What the set is called.
    pub name: String,
    /// Channels, height and width of a sample as a network reads it; none for a table.
    pub shape: Option<[usize; 3]>,
    /// Numbers per sample, D.
    pub dims: usize,
    /// Samples outside the set's own test set.
    pub train: usize,
    /// Samples of the set's own test set.
    pub test: usize,
    /// The classes, in the order of their labels.
    pub classes: Vec<ClassCount>,
    /// The sizes of the pictures as they are stored, the most frequent first; the rarest are left out.
    pub sizes: Vec<SizeCount>,
    /// Pictures of the sizes that are left out.
    pub other_sizes: usize,
    /// The files that are not taken, in the order in which they were found.
    pub odd: Vec<OddFile>,
    /// Bytes that the samples take when they are loaded.
    pub memory_bytes: u64,
}

/// A file of a picture, as a look at it shows it.
#[derive(Debug, Clone)]
pub struct SeenFile {
    /// The file.
    pub path: PathBuf,
    /// Its class, an index.
    pub class: usize,
    /// Whether it belongs to the set's own test set.
    pub test: bool,
    /// Width and height, or why it is not taken.
    pub size: Result<[usize; 2], String>,
}

/// Inspects a set of any kind but folders of pictures; the arguments are those of [`source::load_any`].
///
/// # Errors
/// As [`source::load_any`]: these sets are refused as a whole when a part of them is bad.
pub fn inspect(name: &str, data_dir: &Path, label: Option<&str>) -> Result<Inspection, DataError> {
    source::load_any(name, data_dir, label).map(|data| Inspection::of_data(&data))
}

/// Inspects folders of pictures: decodes every file once, so that one cut short is found, and keeps none.
///
/// # Errors
/// A file that cannot be read at all, or has changed since the folder was listed.
pub fn inspect_folder(folder: &Folder, wanted: &Wanted) -> Result<Inspection, DataError> {
    let train = folder.files.len() - folder.own_test;
    let look = |(i, file): (usize, &super::pictures::folder::PictureFile)| {
        let path = folder.root.join(&file.path);
        let size = match decode::read(&path, Some(file.size), wanted)? {
            Ok(_) => stored_size(&path),
            Err(fault) => Err(fault.to_string()),
        };
        Ok(SeenFile { path: file.path.clone(), class: file.label as usize, test: i >= train, size })
    };
    let seen = folder.files.par_iter().enumerate().map(look).collect::<Result<Vec<_>, DataError>>()?;
    let shape = [3, wanted.height, wanted.width];
    let mut inspection = Inspection::of_files(&folder.name, &folder.classes, shape, seen);
    let odd = |(path, why): &(PathBuf, decode::PictureFault)| OddFile {
        file: path.display().to_string(),
        why: why.to_string(),
    };
    inspection.odd.extend(folder.unfit.iter().map(odd));
    Ok(inspection)
}

/// Width and height in the header of a file that was decoded a moment ago.
fn stored_size(path: &Path) -> Result<[usize; 2], String> {
    // Before the header of a JPEG may lie a preview and a color profile.
    const HEADER: u64 = 4 << 20;
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(HEADER).read_to_end(&mut bytes));
    read.map_err(|error| error.to_string())?;
    let header = decode::header(&bytes).map_err(|fault| fault.to_string())?;
    Ok([header.width, header.height])
}

impl Inspection {
    /// What a set in memory holds.
    pub fn of_data(data: &AnyData) -> Self {
        let train = data.len() - data.own_test();
        let mut seen = Self::empty(data.name(), data.classes(), data.shape(), data.dims());
        data.labels().iter().enumerate().for_each(|(i, &label)| seen.count(label as usize, i >= train));
        if let Some([_, height, width]) = seen.shape {
            seen.sizes.push(SizeCount { width, height, pictures: data.len() });
        }
        seen.with_memory()
    }

    /// What folders of pictures hold, once they are decoded to `shape`.
    ///
    /// # Shapes
    /// `shape` is `[C, H, W]`.
    ///
    /// # Panics
    /// If a class is not below the number of classes.
    pub fn of_files(
        name: &str,
        classes: &[String],
        shape: [usize; 3],
        files: impl IntoIterator<Item = SeenFile>,
    ) -> Self {
        let mut seen = Self::empty(name, classes, Some(shape), shape.iter().product());
        let mut sizes = BTreeMap::new();
        for SeenFile { path, class, test, size } in files {
            match size {
                Ok(size) => {
                    seen.count(class, test);
                    *sizes.entry(size).or_insert(0) += 1;
                }
                Err(why) => seen.odd.push(OddFile { file: path.display().to_string(), why }),
            }
        }
        let count = |([width, height], pictures): ([usize; 2], usize)| SizeCount { width, height, pictures };
        seen.sizes = sizes.into_iter().map(count).collect();
        // Stable: of equally frequent sizes the smaller comes first.
        seen.sizes.sort_by_key(|size| std::cmp::Reverse(size.pictures));
        seen.other_sizes = seen.sizes.iter().skip(SIZES).map(|size| size.pictures).sum();
        seen.sizes.truncate(SIZES);
        seen.with_memory()
    }

    fn empty(name: &str, classes: &[String], shape: Option<[usize; 3]>, dims: usize) -> Self {
        let count = |name: &String| ClassCount { name: name.clone(), train: 0, test: 0 };
        Self {
            name: name.to_owned(),
            shape,
            dims,
            train: 0,
            test: 0,
            classes: classes.iter().map(count).collect(),
            sizes: Vec::new(),
            other_sizes: 0,
            odd: Vec::new(),
            memory_bytes: 0,
        }
    }

    fn count(&mut self, class: usize, test: bool) {
        let class = &mut self.classes[class];
        let (all, of_class) =
            if test { (&mut self.test, &mut class.test) } else { (&mut self.train, &mut class.train) };
        *all += 1;
        *of_class += 1;
    }

    /// A pixel is a byte, a number of a table four, a label four.
    fn with_memory(mut self) -> Self {
        let number = if self.shape.is_some() { 1 } else { size_of::<f32>() };
        let sample = (self.dims * number + size_of::<u32>()) as u64;
        self.memory_bytes = sample * (self.train + self.test) as u64;
        self
    }

    /// What is remarkable about the classes, one line each.
    pub fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        let missing = |of: fn(&ClassCount) -> usize| {
            let names = self.classes.iter().filter(|class| of(class) == 0).map(|class| format!("{:?}", class.name));
            names.collect::<Vec<_>>().join(", ")
        };
        let train = missing(|class| class.train);
        if !train.is_empty() {
            notes.push(format!("nothing to learn from for class {train}"));
        }
        let test = missing(|class| class.test);
        if self.test > 0 && !test.is_empty() {
            notes.push(format!("nothing in the test set for class {test}"));
        }
        let counts = || self.classes.iter().map(|class| class.train);
        if let (Some(least), Some(most)) = (counts().filter(|&count| count > 0).min(), counts().max())
            && most > 10 * least
        {
            notes.push(format!("the largest class has {most} samples to learn from, the smallest {least}"));
        }
        notes
    }

    fn write_counts(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let longest = self.classes.iter().map(|class| class.name.chars().count()).max();
        let wide = longest.unwrap_or(0).max("in memory".len());
        let own_test = self.test > 0;
        let row = |f: &mut fmt::Formatter<'_>, name: &str, train: &dyn fmt::Display, test: &dyn fmt::Display| {
            write!(f, "{name:wide$}  {train:>8}")?;
            if own_test { writeln!(f, "  {test:>8}") } else { writeln!(f) }
        };
        row(f, "class", if own_test { &"train" } else { &"samples" }, &"test")?;
        for class in &self.classes {
            row(f, &class.name, &class.train, &class.test)?;
        }
        row(f, "total", &self.train, &self.test)
    }
}

impl fmt::Display for Inspection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let samples = self.train + self.test;
        match self.shape {
            Some([c, h, w]) => write!(f, "{}: {samples} pictures, read as {w}x{h} with {c} channel(s)", self.name)?,
            None => write!(f, "{}: {samples} rows of {} numbers", self.name, self.dims)?,
        }
        writeln!(f, ", {} classes", self.classes.len())?;
        self.write_counts(f)?;
        let mut sizes: Vec<String> =
            self.sizes.iter().map(|size| format!("{}x{}: {}", size.width, size.height, size.pictures)).collect();
        if self.other_sizes > 0 {
            sizes.push(format!("others: {}", self.other_sizes));
        }
        if !sizes.is_empty() {
            writeln!(f, "sizes      {}", sizes.join(", "))?;
        }
        writeln!(f, "in memory  {:.1} MiB", self.memory_bytes as f64 / f64::from(1 << 20))?;
        self.notes().iter().try_for_each(|note| writeln!(f, "note       {note}"))?;
        if self.odd.is_empty() {
            return writeln!(f, "odd files  none");
        }
        writeln!(f, "odd files  {}", self.odd.len())?;
        self.odd.iter().take(ODD_LISTED).try_for_each(|odd| writeln!(f, "  {}: {}", odd.file, odd.why))?;
        let more = self.odd.len().saturating_sub(ODD_LISTED);
        if more > 0 { writeln!(f, "  and {more} more; --json lists all") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::synth::{Kind, PerClass, synth};

    fn seen(class: usize, test: bool, size: Result<[usize; 2], &str>) -> SeenFile {
        let path = PathBuf::from(format!("{class}/x.jpg"));
        SeenFile { path, class, test, size: size.map_err(str::to_owned) }
    }

    #[test]
    fn a_set_in_memory_is_counted() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("set");
        synth(Kind::Mnist, &out, 1, Some(PerClass { train: 3, test: 2 })).unwrap();
        let seen = inspect("mnist", &out, None).unwrap();
        assert_eq!((seen.train, seen.test, seen.dims, seen.memory_bytes), (30, 20, 784, 50 * 788));
        assert!(seen.classes.iter().all(|class| (class.train, class.test) == (3, 2)));
        assert_eq!(seen.sizes, [SizeCount { width: 28, height: 28, pictures: 50 }]);
        let text = seen.to_string();
        for line in ["mnist: 50 pictures, read as 28x28 with 1 channel(s), 10 classes", "odd files  none"] {
            assert!(text.lines().any(|found| found == line), "{text}");
        }
        let iris = inspect("iris", dir.path(), None).unwrap();
        assert_eq!((iris.shape, iris.test, iris.memory_bytes), (None, 0, 150 * 20));
        assert!(iris.to_string().starts_with("iris: 150 rows of 4 numbers, 3 classes\nclass        samples\nSetosa"));
    }

    #[test]
    fn folders_are_looked_through_file_by_file() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("set");
        synth(Kind::Img, &out, 1, Some(PerClass { train: 2, test: 1 })).unwrap();
        let sea = out.join("seg_train/seg_train/sea");
        let whole = std::fs::read(sea.join("0000.jpg")).unwrap();
        std::fs::write(sea.join("cut.jpg"), &whole[..whole.len() / 2]).unwrap();
        std::fs::create_dir(sea.join("folder.jpg")).unwrap();
        let folder = super::super::pictures::folder::find("img", &out).unwrap();
        let seen = inspect_folder(&folder, &Wanted::size(64, 64)).unwrap();
        assert_eq!((seen.train, seen.test, seen.shape), (12, 6, Some([3, 64, 64])));
        assert_eq!(seen.sizes, [SizeCount { width: 150, height: 150, pictures: 18 }]);
        let odd: Vec<&str> = seen.odd.iter().map(|odd| odd.file.as_str()).collect();
        assert_eq!(odd, ["seg_train/seg_train/sea/cut.jpg", "seg_train/seg_train/sea/folder.jpg"]);
    }

    #[test]
    fn files_are_counted_by_class_size_and_oddness() {
        let classes = ["forest".to_owned(), "sea".to_owned(), "street".to_owned()];
        let mut files = vec![seen(1, true, Ok([10, 20])), seen(0, false, Err("is empty"))];
        files.extend((0..12).map(|_| seen(0, false, Ok([150, 150]))));
        files.extend((0..12).map(|i| seen(1, false, Ok([200 + i % 10, 100]))));
        let seen = Inspection::of_files("img", &classes, [3, 5, 5], files);
        assert_eq!((seen.train, seen.test, seen.memory_bytes), (24, 1, 25 * 79));
        assert_eq!(seen.sizes[0], SizeCount { width: 150, height: 150, pictures: 12 });
        assert_eq!(seen.sizes[1], SizeCount { width: 200, height: 100, pictures: 2 });
        assert_eq!((seen.sizes.len(), seen.sizes[3].width, seen.other_sizes), (SIZES, 10, 4));
        let text = seen.to_string();
        for expected in [
            "forest           12         0\n",
            "others: 4\n",
            "odd files  1\n  0/x.jpg: is empty\n",
            "note       nothing to learn from for class \"street\"\n",
            "note       nothing in the test set for class \"forest\", \"street\"\n",
        ] {
            assert!(text.contains(expected), "{expected}: {text}");
        }
        let json = serde_json::to_value(&seen).unwrap();
        assert_eq!((&json["classes"][1]["train"], &json["odd"][0]["why"]), (&12.into(), &"is empty".into()));
    }

    #[test]
    fn the_text_lists_a_screenful_of_odd_files_and_the_data_all() {
        let classes = ["a".to_owned()];
        let files = (0..ODD_LISTED + 5).map(|_| seen(0, false, Err("is empty")));
        let seen = Inspection::of_files("img", &classes, [3, 5, 5], files);
        assert_eq!(seen.odd.len(), ODD_LISTED + 5);
        assert!(seen.to_string().ends_with("  0/x.jpg: is empty\n  and 5 more; --json lists all\n"));
    }

    #[test]
    fn unbalanced_classes_are_noted() {
        let classes = ["a".to_owned(), "b".to_owned()];
        let files = (0..13).map(|i| seen(usize::from(i == 0), false, Ok([1, 1])));
        let notes = Inspection::of_files("img", &classes, [3, 5, 5], files).notes();
        assert_eq!(notes, ["the largest class has 12 samples to learn from, the smallest 1"]);
    }
}
