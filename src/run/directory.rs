//! The run directory: made and tried out before training, so that nothing trained is lost for
//! want of a place to put it.

use super::disk::beside;
use super::error::RunError;
use super::file::write_atomic;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Bytes of the file that tries a directory out.
const TRIAL: usize = 64 << 10;

/// The directory of one run, writable when it was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunDir {
    path: PathBuf,
}

/// The name of a run: `20261121T051300Z_allreduce_iris_n20`. The time is UTC.
///
/// A data set given as a path counts by its last part; what a shell would need quotes for becomes `-`.
pub fn run_name(now: SystemTime, mode: &str, dataset: &str, ranks: usize) -> String {
    let time = humantime::format_rfc3339_seconds(now).to_string().replace(['-', ':'], "");
    let last = Path::new(dataset).file_stem().map_or(dataset.into(), |stem| stem.to_string_lossy());
    let plain = |c: char| {
        if c.is_ascii_alphanumeric() || "._".contains(c) { c } else { '-' }
    };
    let dataset: String = last.chars().take(40).map(plain).collect();
    format!("{time}_{mode}_{dataset}_n{ranks}")
}

impl RunDir {
    /// Makes the run directory and tries to write into it.
    ///
    /// With `base` (`--run-dir`) exactly that directory is used; it may exist, but not hold a run.
    /// Without, it is `runs/<default_name>`, numbered `-2`, `-3`, ... where the name is taken, and
    /// `runs/latest` points at it afterwards, if the file system has symbolic links.
    ///
    /// # Errors
    /// [`RunError::HoldsRun`] or [`RunError::EmptyPath`] (exit code 3), [`RunError::Io`] (exit code 4).
    pub fn create(base: Option<&Path>, default_name: &str) -> Result<Self, RunError> {
        match base {
            Some(path) => Self::at(path),
            None => Self::numbered(Path::new("runs"), default_name),
        }
    }

    /// Goes on in a directory that may hold a run already, and tries to write into it.
    ///
    /// # Errors
    /// [`RunError::EmptyPath`] (exit code 3), [`RunError::Io`] (exit code 4).
    pub fn go_on(path: &Path) -> Result<Self, RunError> {
        if path.as_os_str().is_empty() {
            return Err(RunError::EmptyPath);
        }
        let made: Vec<PathBuf> = missing(path);
        let dir = Self { path: path.to_owned() };
        let tried = fs::create_dir_all(path).map_err(RunError::io(path, "make the run directory"));
        tried.and_then(|()| dir.try_out()).inspect_err(|_| take_back(&made))?;
        Ok(dir)
    }

    fn at(path: &Path) -> Result<Self, RunError> {
        if path.as_os_str().is_empty() {
            return Err(RunError::EmptyPath);
        }
        let made: Vec<PathBuf> = missing(path);
        let dir = Self { path: path.to_owned() };
        let tried = fs::create_dir_all(path).map_err(RunError::io(path, "make the run directory")).and_then(|()| {
            // symlink_metadata: a run.json that is a dangling link still means that somebody was here.
            match fs::symlink_metadata(dir.file("run.json")) {
                Ok(_) => Err(RunError::HoldsRun { path: path.to_owned() }),
                Err(_) => dir.try_out(),
            }
        });
        tried.inspect_err(|_| take_back(&made))?;
        Ok(dir)
    }

    fn numbered(root: &Path, name: &str) -> Result<Self, RunError> {
        let mut made = missing(root);
        fs::create_dir_all(root).map_err(RunError::io(root, "make the directory of runs"))?;
        let mut number = 1;
        loop {
            let name = if number == 1 { name.to_owned() } else { format!("{name}-{number}") };
            let path = root.join(&name);
            // create_dir decides who owns a name when two jobs start in the same second.
            match fs::create_dir(&path) {
                Ok(()) => {
                    made.insert(0, path.clone());
                    let dir = Self { path };
                    dir.try_out().inspect_err(|_| take_back(&made))?;
                    point_latest_at(root, &name);
                    return Ok(dir);
                }
                Err(why) if why.kind() == io::ErrorKind::AlreadyExists => number += 1,
                Err(why) => {
                    take_back(&made);
                    return Err(RunError::io(&path, "make the run directory")(why));
                }
            }
        }
    }

    /// Where it is, as the user may type it.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The path of the file `name` in it.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Writes the file `name` in it, all or nothing.
    ///
    /// # Errors
    /// [`RunError::Io`] with the file's path.
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<(), RunError> {
        write_atomic(&self.file(name), bytes)
    }

    /// Writes a file to the disk and removes it: a full disk, too, is found before training. The file is as large as
    /// what a run begins with, so that those files find room once this one did.
    fn try_out(&self) -> Result<(), RunError> {
        let trial = beside(&self.file("trial"));
        let written = File::create(&trial).and_then(|mut file| {
            file.write_all(&[0; TRIAL])?;
            file.sync_all()
        });
        let _ = fs::remove_file(&trial);
        written.map_err(RunError::io(&self.path, "write into the run directory"))
    }
}

/// The directories that are missing on the way to `path`, itself included, the deepest first.
fn missing(path: &Path) -> Vec<PathBuf> {
    let above = path.ancestors().filter(|above| !above.as_os_str().is_empty());
    above.take_while(|above| !above.exists()).map(Path::to_owned).collect()
}

/// Removes directories that were made in vain; one in which somebody put something meanwhile stays.
fn take_back(made: &[PathBuf]) {
    for directory in made {
        let _ = fs::remove_dir(directory);
    }
}

/// Turns `root/latest` to `name` in one step. Best effort: no run fails for want of a shortcut.
fn point_latest_at(root: &Path, name: &str) {
    let latest = root.join("latest");
    let fresh = beside(&latest);
    let turned = std::os::unix::fs::symlink(name, &fresh).and_then(|()| fs::rename(&fresh, &latest));
    if turned.is_err() {
        let _ = fs::remove_file(&fresh);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;
    use std::time::Duration;

    #[test]
    fn names_are_utc_and_need_no_quotes() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_238_580);
        for (dataset, expected) in [
            ("iris", "20261121T052300Z_allreduce_iris_n20"),
            ("/data/my flowers.csv", "20261121T052300Z_allreduce_my-flowers_n20"),
            ("..", "20261121T052300Z_allreduce_.._n20"),
        ] {
            assert_eq!(run_name(now, "allreduce", dataset, 20), expected);
        }
    }

    #[test]
    fn a_taken_name_is_numbered_and_latest_follows() {
        let root = tempfile::tempdir().unwrap();
        let runs = root.path().join("runs");
        for expected in ["a", "a-2", "a-3"] {
            let dir = RunDir::numbered(&runs, "a").unwrap();
            assert_eq!(dir.path(), runs.join(expected));
            assert_eq!(fs::read_link(runs.join("latest")).unwrap(), Path::new(expected));
            assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "the trial is gone");
        }
        assert_eq!(fs::read_dir(&runs).unwrap().count(), 4, "no temporary link is left");
    }

    #[test]
    fn a_latest_that_is_in_the_way_is_left_alone() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("latest/full")).unwrap();
        RunDir::numbered(root.path(), "a").unwrap();
        assert!(root.path().join("latest/full").is_dir());
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 2);
    }

    #[test]
    fn run_dir_may_exist_but_not_hold_a_run() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("deep/er");
        let dir = RunDir::create(Some(&path), "unused").unwrap();
        dir.write("notes.txt", b"mine").unwrap();
        RunDir::create(Some(&path), "unused").unwrap();
        dir.write("run.json", b"{}").unwrap();
        let error = RunDir::create(Some(&path), "unused").unwrap_err();
        assert_eq!(error.exit_code(), 3);
        assert!(error.to_string().contains("deep/er: this directory already holds a run"), "{error}");
        assert_eq!(fs::read(dir.file("run.json")).unwrap(), b"{}", "and it is not touched");
        let link = root.path().join("link");
        fs::create_dir(&link).unwrap();
        std::os::unix::fs::symlink("nowhere", link.join("run.json")).unwrap();
        assert_eq!(RunDir::create(Some(&link), "unused").unwrap_err().exit_code(), 3);
    }

    #[test]
    fn places_that_cannot_be_written_are_named_before_training() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("file");
        fs::write(&file, "x").unwrap();
        let closed = root.path().join("closed");
        fs::create_dir(&closed).unwrap();
        fs::set_permissions(&closed, fs::Permissions::from_mode(0o555)).unwrap();
        let mut places = vec![file.clone(), file.join("below"), PathBuf::from("/proc/no-such-run")];
        // root may write anywhere: there the closed directory proves nothing
        if File::create(closed.join("probe")).is_err() {
            places.extend([closed.clone(), closed.join("below")]);
        }
        for place in places {
            let error = RunDir::create(Some(&place), "unused").unwrap_err();
            assert_eq!(error.exit_code(), 4, "{error}");
            assert!(error.to_string().starts_with(place.to_str().unwrap()), "{error}");
        }
        assert!(matches!(RunDir::create(Some(Path::new("")), "x"), Err(RunError::EmptyPath)));
        let error = RunDir::numbered(&file, "a").unwrap_err();
        assert!(error.to_string().starts_with(file.to_str().unwrap()), "{error}");
        assert_eq!(fs::read(&file).unwrap(), b"x");
    }

    #[test]
    fn what_was_made_in_vain_is_taken_back_and_nothing_else() {
        let root = tempfile::tempdir().unwrap();
        let deep = root.path().join("mine/new/er");
        fs::create_dir(root.path().join("mine")).unwrap();
        let made = missing(&deep);
        assert_eq!(made, [deep.clone(), root.path().join("mine/new")]);
        fs::create_dir_all(&deep).unwrap();
        fs::write(root.path().join("mine/new/other"), "x").unwrap();
        take_back(&made);
        assert!(!deep.exists() && root.path().join("mine/new/other").exists());
        fs::remove_file(root.path().join("mine/new/other")).unwrap();
        take_back(&made);
        assert_eq!(fs::read_dir(root.path().join("mine")).unwrap().count(), 0);
    }
}
