//! The folder `ckpt` of a run: the last two checkpoints, whole whatever happens, and pointers to the last and the best.
//!
//! A checkpoint is written to a temporary file, brought to the disk, renamed, and its name brought to the disk; only then
//! is it saved, and only then are older ones removed. Wherever a crash comes between, what was saved before is there.
//!
//! # References
//! What file systems promise, and what they do not: Pillai and others, *All file systems are not created equal*,
//! OSDI 2014.

use super::format::{Checkpoint, Loaded};
use crate::run::RunError;
use crate::run::disk::{Disk, Durable, beside, parent, replace};
use crate::run::model_file::refuse;
use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Checkpoints that are kept.
const KEPT: usize = 2;

/// Digits of a step in a file's name, at least: names sort like steps.
const DIGITS: usize = 8;

/// The names that point at a checkpoint.
const LAST: &str = "last";
const BEST: &str = "best";

/// The checkpoints of one run, written.
#[derive(Debug, Clone)]
pub struct Store {
    dir: PathBuf,
    disk: Arc<dyn Disk>,
}

/// A checkpoint that is on the disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Saved {
    /// Its file.
    pub path: PathBuf,
    /// The file's length.
    pub bytes: u64,
}

/// A file that is named like a checkpoint and is none that may be used.
#[derive(Debug)]
pub struct Refused {
    /// The file.
    pub path: PathBuf,
    /// Why not, with the path: a line to show.
    pub why: RunError,
}

/// What a folder of checkpoints holds.
#[derive(Debug, Default)]
pub struct Newest {
    /// The newest one that is whole.
    pub loaded: Option<Loaded>,
    /// The newer ones that are not, the newest first.
    pub refused: Vec<Refused>,
}

impl Store {
    /// Opens the folder, which is made where it is missing, and removes what crashed writers left behind in it.
    ///
    /// # Errors
    /// [`RunError::Io`] when it cannot be made or listed.
    pub fn open(dir: &Path, disk: Arc<dyn Disk>) -> Result<Self, RunError> {
        disk.make_directory(dir).map_err(RunError::io(dir, "make the folder of checkpoints"))?;
        disk.sync_directory(parent(dir)).map_err(RunError::io(dir, "make the folder of checkpoints"))?;
        // Those above may be as new; they belong to the run, so this is only a favour.
        for above in parent(dir).ancestors().skip(1).take(2) {
            let _ = disk.sync_directory(if above.as_os_str().is_empty() { Path::new(".") } else { above });
        }
        for name in disk.list(dir).map_err(RunError::io(dir, "list the folder of checkpoints"))? {
            if is_leftover(&name) {
                let _ = disk.remove(&dir.join(name));
            }
        }
        Ok(Self { dir: dir.to_owned(), disk })
    }

    /// The file of a step.
    pub fn path(&self, step: u64) -> PathBuf {
        self.dir.join(format!("step-{step:0DIGITS$}.safetensors"))
    }

    /// Writes a checkpoint. When this returns it is on the disk, `last` points at it, and of the others only the one
    /// before it is left: those of later steps belong to a course that training has left.
    ///
    /// # Errors
    /// [`RunError::Model`] for values that are not finite or do not fit the network, [`RunError::Io`] otherwise. All
    /// older checkpoints are there then, and no temporary.
    pub fn save(&self, checkpoint: &Checkpoint) -> Result<Saved, RunError> {
        let path = self.path(checkpoint.step());
        let fault = |why| refuse(&path, why, "no checkpoint of it is written, and the older ones are kept");
        let pieces = checkpoint.pieces().map_err(fault)?;
        replace(&*self.disk, &path, pieces.iter().map(|piece| &**piece), Durable::Yes)
            .map_err(RunError::io(&path, "write the checkpoint"))?;
        self.point_last_at(&path)?;
        self.remove_others(checkpoint.step());
        Ok(Saved { bytes: pieces.iter().map(|piece| piece.len() as u64).sum(), path })
    }

    /// Gives a checkpoint the name `best` too, under which it stays when it is old. It is a second name of the same
    /// file; a copy, where there are none.
    ///
    /// # Errors
    /// [`RunError::Io`].
    pub fn mark_best(&self, path: &Path) -> Result<(), RunError> {
        let best = self.dir.join(BEST);
        let failed = || RunError::io(&best, "mark the best checkpoint");
        let fresh = beside(&best);
        match self.disk.link(path, &fresh) {
            Ok(()) => {
                let named = self.disk.rename(&fresh, &best);
                // Renamed to another name of the same file, it stays: the names are equal already.
                let _ = self.disk.remove(&fresh);
                named.and_then(|()| self.disk.sync_directory(&self.dir)).map_err(failed())
            }
            Err(why) if why.kind() == io::ErrorKind::NotFound => Err(failed()(why)),
            Err(_) => {
                let bytes = self.disk.read(path).map_err(failed())?;
                replace(&*self.disk, &best, [&bytes[..]], Durable::Yes).map_err(failed())
            }
        }
    }

    /// Turns `last` in one step: a symbolic link, or a small text with the name where there are no links.
    fn point_last_at(&self, path: &Path) -> Result<(), RunError> {
        let last = self.dir.join(LAST);
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let fresh = beside(&last);
        let turned = self.disk.point(&fresh, &name).and_then(|()| self.disk.rename(&fresh, &last));
        if turned.is_ok() {
            return Ok(());
        }
        let _ = self.disk.remove(&fresh);
        let text = format!("{name}\n");
        replace(&*self.disk, &last, [text.as_bytes()], Durable::No).map_err(RunError::io(&last, "write it"))
    }

    /// Removes all checkpoints but that of `step` and those just before it. What cannot be removed is tried again the
    /// next time.
    fn remove_others(&self, step: u64) {
        let Ok(names) = self.disk.list(&self.dir) else { return };
        let mut steps: Vec<(u64, PathBuf)> =
            names.iter().filter_map(|name| Some((step_of(name)?, self.dir.join(name)))).collect();
        steps.sort_unstable_by(|one, two| two.cmp(one));
        let (earlier, later): (Vec<_>, Vec<_>) = steps.into_iter().partition(|(of, _)| *of <= step);
        for (_, path) in earlier.into_iter().skip(KEPT).chain(later) {
            let _ = self.disk.remove(&path);
        }
    }
}

/// The newest checkpoint of the folder `dir` that is whole, and why newer ones are not; none where there is no folder.
///
/// # Errors
/// [`RunError::Io`] when the folder cannot be listed. A file that cannot be read is refused like a damaged one.
pub fn newest_valid(disk: &dyn Disk, dir: &Path) -> Result<Newest, RunError> {
    let names = match disk.list(dir) {
        Ok(names) => names,
        Err(why) if why.kind() == io::ErrorKind::NotFound => return Ok(Newest::default()),
        Err(why) => return Err(RunError::io(dir, "list the folder of checkpoints")(why)),
    };
    let mut files: Vec<(u64, PathBuf)> =
        names.iter().filter_map(|name| Some((step_of(name)?, dir.join(name)))).collect();
    files.sort_unstable_by(|one, two| two.cmp(one));
    let mut newest = Newest::default();
    for (step, path) in files {
        match load(disk, &path).and_then(|loaded| check_name(loaded, step)) {
            Ok(loaded) => {
                newest.loaded = Some(loaded);
                break;
            }
            Err(why) => newest.refused.push(Refused { path, why }),
        }
    }
    Ok(newest)
}

/// Reads one checkpoint.
///
/// # Errors
/// [`RunError::Io`], and [`RunError::Model`] for a file that is something else, damaged, or from a newer version.
pub fn load(disk: &dyn Disk, path: &Path) -> Result<Loaded, RunError> {
    let bytes = disk.read(path).map_err(RunError::io(path, "read the checkpoint"))?;
    Loaded::from_bytes(path, &bytes)
}

/// A file that somebody gave another name would be taken for newer than it is.
fn check_name(loaded: Loaded, step: u64) -> Result<Loaded, RunError> {
    let inside = loaded.about.cursor.step;
    if inside == step {
        return Ok(loaded);
    }
    Err(refuse(
        &loaded.path,
        format!("it is named after step {step} and holds step {inside}"),
        "name it after its step",
    ))
}

/// The step in a checkpoint's name.
fn step_of(name: &OsStr) -> Option<u64> {
    let digits = name.to_str()?.strip_prefix("step-")?.strip_suffix(".safetensors")?;
    let plain = digits.len() >= DIGITS && digits.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| digits.parse().ok()).flatten()
}

/// Whether a name is that of a temporary of ours.
fn is_leftover(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    [".step-", ".last.", ".best."].iter().any(|begin| name.starts_with(begin)) && name.ends_with(".tmp")
}
