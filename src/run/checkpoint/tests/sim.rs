//! A disk in memory that writes down what is done to it, fails where it is told to, and says what a crash may leave.
//!
//! What a crash leaves is as bad as POSIX allows: of a file that was not synced any part of the new bytes, and of names
//! that were not synced any choice in which two changes of one name keep their order.

use crate::run::disk::{Disk, DiskFile};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

/// The folder that it holds.
pub const DIR: &str = "/sim/ckpt";

/// Blocks that reach the disk whole.
const BLOCK: usize = 512;

/// What a name stands for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Entry {
    File(usize),
    Link(String),
}

#[derive(Debug, Clone)]
enum Change {
    Set(String, Entry),
    Rename(String, String),
    Remove(String),
}

impl Change {
    fn names(&self) -> Vec<&str> {
        match self {
            Change::Set(name, _) | Change::Remove(name) => vec![name],
            Change::Rename(from, to) => vec![from, to],
        }
    }

    fn apply(&self, names: &mut BTreeMap<String, Entry>) {
        match self {
            Change::Set(name, entry) => drop(names.insert(name.clone(), entry.clone())),
            Change::Remove(name) => drop(names.remove(name)),
            Change::Rename(from, to) => {
                if let Some(entry) = names.remove(from) {
                    names.insert(to.clone(), entry);
                }
            }
        }
    }
}

#[derive(Debug, Clone)]
enum Op {
    Names(Change),
    Write(usize, Vec<u8>),
    SyncFile(usize),
    SyncNames,
}

/// When operations fail, counted from 1.
#[derive(Debug, Clone, Copy)]
pub enum Failing {
    Never,
    Once(usize, i32),
    From(usize, i32),
}

#[derive(Debug)]
struct Inner {
    log: Vec<Op>,
    names: BTreeMap<String, Entry>,
    files: Vec<Vec<u8>>,
    failing: Failing,
    count: usize,
    syncs_files: bool,
    syncs_names: bool,
    links: bool,
}

/// The disk.
#[derive(Debug, Clone)]
pub struct SimDisk(Arc<Mutex<Inner>>);

impl SimDisk {
    /// An empty folder.
    pub fn new() -> Self {
        Self::holding(BTreeMap::new(), Vec::new())
    }

    fn holding(names: BTreeMap<String, Entry>, files: Vec<Vec<u8>>) -> Self {
        let (log, failing) = (Vec::new(), Failing::Never);
        let (count, syncs_files, syncs_names, links) = (0, true, true, true);
        Self(Arc::new(Mutex::new(Inner { log, names, files, failing, count, syncs_files, syncs_names, links })))
    }

    /// One that says it synced files, or names, and did not.
    pub fn lying(files: bool, names: bool) -> Self {
        let disk = Self::new();
        let mut inner = disk.0.lock().unwrap();
        (inner.syncs_files, inner.syncs_names) = (!files, !names);
        drop(inner);
        disk
    }

    /// One that has no links.
    pub fn without_links() -> Self {
        let disk = Self::new();
        disk.0.lock().unwrap().links = false;
        disk
    }

    /// From now on operations fail as told.
    pub fn fail(&self, failing: Failing) {
        let mut inner = self.0.lock().unwrap();
        (inner.failing, inner.count) = (failing, 0);
    }

    /// Operations since [`SimDisk::fail`].
    pub fn count(&self) -> usize {
        self.0.lock().unwrap().count
    }

    /// Operations that changed something or synced it, so far.
    pub fn logged(&self) -> usize {
        self.0.lock().unwrap().log.len()
    }

    /// The names in the folder now.
    pub fn names(&self) -> BTreeSet<String> {
        self.0.lock().unwrap().names.keys().cloned().collect()
    }

    /// What `name` stands for.
    pub fn entry(&self, name: &str) -> Option<Entry> {
        self.0.lock().unwrap().names.get(name).cloned()
    }

    /// Every disk that a crash after the first `done` operations may leave, as [`Disk`]s of their own.
    pub fn crashed(&self, done: usize, each: &mut dyn FnMut(SimDisk)) {
        let inner = self.0.lock().unwrap();
        let log = &inner.log[..done];
        let mut names = BTreeMap::new();
        let mut loose: Vec<&Change> = Vec::new();
        let mut written = vec![Vec::new(); inner.files.len()];
        let mut synced = vec![0; inner.files.len()];
        for op in log {
            match op {
                Op::Names(change) => loose.push(change),
                Op::SyncNames => loose.drain(..).for_each(|change| change.apply(&mut names)),
                Op::Write(file, bytes) => written[*file].extend_from_slice(bytes),
                Op::SyncFile(file) => synced[*file] = written[*file].len(),
            }
        }
        assert!(loose.len() <= 12, "{} changes of names at once are too many to enumerate", loose.len());
        for choice in 0..1_u32 << loose.len() {
            let Some(names) = chosen(&names, &loose, choice) else { continue };
            let reachable: BTreeSet<usize> = names
                .values()
                .filter_map(|entry| if let Entry::File(file) = entry { Some(*file) } else { None })
                .collect();
            let torn: Vec<usize> = reachable.into_iter().filter(|file| synced[*file] < written[*file].len()).collect();
            vary(&torn, &mut written.clone(), &written, &synced, &mut |files| {
                each(SimDisk::holding(names.clone(), files.to_vec()));
            });
        }
    }

    fn op<T>(&self, work: impl FnOnce(&mut Inner) -> io::Result<T>) -> io::Result<T> {
        let mut inner = self.0.lock().unwrap();
        inner.strike()?;
        work(&mut inner)
    }
}

impl Inner {
    fn strike(&mut self) -> io::Result<()> {
        self.count += 1;
        match self.failing {
            Failing::Once(at, code) if self.count == at => Err(io::Error::from_raw_os_error(code)),
            Failing::From(at, code) if self.count >= at => Err(io::Error::from_raw_os_error(code)),
            _ => Ok(()),
        }
    }

    fn change(&mut self, change: Change) -> io::Result<()> {
        change.apply(&mut self.names);
        self.log.push(Op::Names(change));
        Ok(())
    }

    fn find(&self, name: &str) -> io::Result<usize> {
        match self.names.get(name) {
            Some(Entry::File(file)) => Ok(*file),
            Some(Entry::Link(target)) => self.find(target),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }
}

/// The names with the chosen changes; none when a change is left out and a later one of the same name is not.
fn chosen(names: &BTreeMap<String, Entry>, loose: &[&Change], choice: u32) -> Option<BTreeMap<String, Entry>> {
    let mut names = names.clone();
    let mut left_out = BTreeSet::new();
    for (i, change) in loose.iter().enumerate() {
        let touched = change.names();
        if choice & 1 << i == 0 {
            left_out.extend(touched);
        } else if touched.iter().any(|name| left_out.contains(name)) {
            return None;
        } else {
            change.apply(&mut names);
        }
    }
    Some(names)
}

/// Every content that the torn files may have: some blocks from the front or the back, the others zero or missing. All
/// torn files but the newest are tried whole, empty and zero only.
fn vary(
    torn: &[usize],
    files: &mut Vec<Vec<u8>>,
    written: &[Vec<u8>],
    synced: &[usize],
    each: &mut dyn FnMut(&[Vec<u8>]),
) {
    let Some((&file, others)) = torn.split_first() else { return each(files) };
    let (start, whole) = (synced[file], &written[file]);
    let blocks = (whole.len() - start).div_ceil(BLOCK);
    let cuts: Vec<usize> = if others.is_empty() { (0..=blocks).collect() } else { vec![0, blocks] };
    let mut contents = BTreeSet::new();
    for cut in cuts {
        let at = (start + cut * BLOCK).min(whole.len());
        contents.insert(whole[..at].to_vec());
        let mut front = whole.clone();
        front[at..].fill(0);
        contents.insert(front);
        let mut back = whole.clone();
        back[start..at].fill(0);
        contents.insert(back);
    }
    for content in contents {
        files[file] = content;
        vary(others, files, written, synced, each);
    }
    files[file] = written[file].clone();
}

fn name(path: &Path) -> String {
    assert_eq!(path.parent(), Some(Path::new(DIR)), "{path:?}");
    path.file_name().unwrap().to_str().unwrap().to_owned()
}

struct SimFile {
    disk: SimDisk,
    file: usize,
}

impl DiskFile for SimFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut inner = self.disk.0.lock().unwrap();
        let struck = inner.strike();
        // A disk that runs full has taken a part.
        let taken = if struck.is_ok() { bytes } else { &bytes[..bytes.len() / 2] };
        inner.files[self.file].extend_from_slice(taken);
        inner.log.push(Op::Write(self.file, taken.to_vec()));
        struck
    }

    fn sync(&mut self) -> io::Result<()> {
        self.disk.op(|inner| {
            if inner.syncs_files {
                inner.log.push(Op::SyncFile(self.file));
            }
            Ok(())
        })
    }
}

impl Disk for SimDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let file = self.op(|inner| {
            inner.files.push(Vec::new());
            let file = inner.files.len() - 1;
            inner.change(Change::Set(name(path), Entry::File(file))).map(|()| file)
        })?;
        Ok(Box::new(SimFile { disk: self.clone(), file }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.op(|inner| {
            let (from, to) = (name(from), name(to));
            let entry = inner.names.get(&from).ok_or(io::ErrorKind::NotFound)?;
            match inner.names.get(&to) == Some(entry) {
                true => Ok(()), // two names of one file: POSIX leaves both
                false => inner.change(Change::Rename(from, to)),
            }
        })
    }

    fn sync_directory(&self, directory: &Path) -> io::Result<()> {
        self.op(|inner| {
            if inner.syncs_names && directory == Path::new(DIR) {
                inner.log.push(Op::SyncNames);
            }
            Ok(())
        })
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.op(|inner| match inner.names.contains_key(&name(path)) {
            true => inner.change(Change::Remove(name(path))),
            false => Err(io::ErrorKind::NotFound.into()),
        })
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.op(|inner| match inner.links {
            true => inner.find(&name(from)).and_then(|file| inner.change(Change::Set(name(to), Entry::File(file)))),
            false => Err(io::ErrorKind::Unsupported.into()),
        })
    }

    fn point(&self, path: &Path, target: &str) -> io::Result<()> {
        self.op(|inner| match inner.links {
            true => inner.change(Change::Set(name(path), Entry::Link(target.to_owned()))),
            false => Err(io::ErrorKind::Unsupported.into()),
        })
    }

    fn make_directory(&self, _: &Path) -> io::Result<()> {
        self.op(|_| Ok(()))
    }

    fn list(&self, _: &Path) -> io::Result<Vec<OsString>> {
        self.op(|inner| Ok(inner.names.keys().map(OsString::from).collect()))
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.op(|inner| inner.find(&name(path)).map(|file| inner.files[file].clone()))
    }
}

/// The folder's path.
pub fn dir() -> PathBuf {
    PathBuf::from(DIR)
}
