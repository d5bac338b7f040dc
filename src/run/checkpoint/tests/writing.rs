//! Writing beside the training.

use super::sim::{Failing, SimDisk, dir};
use super::*;
use crate::run::disk::{Disk, DiskFile};
use std::ffi::OsString;
use std::io;
use std::sync::{Condvar, Mutex};

/// A disk whose files are not made before a gate is opened.
#[derive(Debug)]
struct Gated {
    disk: SimDisk,
    open: Mutex<bool>,
    changed: Condvar,
}

impl Gated {
    fn set(&self, open: bool) {
        *self.open.lock().unwrap() = open;
        self.changed.notify_all();
    }
}

impl Disk for Gated {
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        drop(self.changed.wait_while(self.open.lock().unwrap(), |open| !*open).unwrap());
        self.disk.create(path)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename(from, to)
    }
    fn sync_directory(&self, directory: &Path) -> io::Result<()> {
        self.disk.sync_directory(directory)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        self.disk.remove(path)
    }
    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.link(from, to)
    }
    fn point(&self, path: &Path, target: &str) -> io::Result<()> {
        self.disk.point(path, target)
    }
    fn make_directory(&self, path: &Path) -> io::Result<()> {
        self.disk.make_directory(path)
    }
    fn list(&self, directory: &Path) -> io::Result<Vec<OsString>> {
        self.disk.list(directory)
    }
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.disk.read(path)
    }
}

fn gated() -> (Arc<Gated>, Writer) {
    let disk = Arc::new(Gated { disk: SimDisk::new(), open: Mutex::new(false), changed: Condvar::new() });
    let store = Store::open(&dir(), disk.clone()).unwrap();
    (disk, Writer::spawn(store))
}

fn submit(writer: &mut Writer, step: u64) {
    let (network, snapshot) = (tiny(), snapshot(step));
    writer.submit(Checkpoint::of_snapshot(&network, &snapshot, meta(), about()));
}

fn steps(results: Vec<Result<Written, crate::run::RunError>>) -> Vec<u64> {
    results.into_iter().map(|result| result.unwrap().step).collect()
}

#[test]
fn training_goes_on_while_one_is_written_and_a_newer_one_takes_the_waiting_ones_place() {
    let (disk, mut writer) = gated();
    submit(&mut writer, 1);
    while writer.is_waiting() {
        std::thread::yield_now(); // until the thread has taken it
    }
    submit(&mut writer, 2);
    submit(&mut writer, 3);
    assert!(writer.results().is_empty(), "nothing is written before the gate opens, and nobody waited");
    disk.set(true);
    writer.mark_best(3);
    assert_eq!(steps(writer.finish()), [1, 3]);
    let newest = newest_valid(&disk.disk, &dir()).unwrap();
    assert!(is_step(&newest.loaded.unwrap(), 3));
    assert!(is_step(&load(&disk.disk, &dir().join("best")).unwrap(), 3));
}

#[test]
fn the_last_one_is_written_at_once_behind_the_one_under_way() {
    let (disk, mut writer) = gated();
    submit(&mut writer, 1);
    while writer.is_waiting() {
        std::thread::yield_now();
    }
    submit(&mut writer, 2);
    disk.set(true);
    let (network, snapshot) = (tiny(), snapshot(5));
    let written = writer.write_now(&Checkpoint::of_snapshot(&network, &snapshot, meta(), about())).unwrap();
    assert_eq!((written.step, written.bytes), (5, bytes(5).len() as u64));
    assert!(written.seconds >= 0.0 && written.path.ends_with("step-00000005.safetensors"));
    let done = steps(writer.finish());
    assert!(done == [1] || done == [1, 2], "{done:?}");
    assert!(is_step(&newest_valid(&disk.disk, &dir()).unwrap().loaded.unwrap(), 5));
}

#[test]
fn without_room_for_a_copy_it_is_written_before_training_goes_on() {
    let disk = SimDisk::new();
    let mut writer = Writer::spawn(Store::open(&dir(), Arc::new(disk.clone())).unwrap()).with_memory(|| Some(1));
    submit(&mut writer, 1);
    assert_eq!(steps(writer.results()), [1]);
    disk.fail(Failing::From(1, libc::ENOSPC));
    submit(&mut writer, 2);
    disk.fail(Failing::Never);
    let results = writer.finish();
    assert!(results[0].as_ref().unwrap_err().to_string().contains("free some space"), "{results:?}");
    assert!(is_step(&newest_valid(&disk, &dir()).unwrap().loaded.unwrap(), 1));
}

#[test]
fn failures_are_told_and_the_next_one_is_tried_again() {
    let disk = SimDisk::new();
    let mut writer = Writer::spawn(Store::open(&dir(), Arc::new(disk.clone())).unwrap());
    disk.fail(Failing::From(1, libc::EIO));
    submit(&mut writer, 1);
    let failed = loop {
        let results = writer.results();
        if !results.is_empty() {
            break results;
        }
        std::thread::yield_now();
    };
    assert!(failed[0].is_err());
    disk.fail(Failing::Never);
    writer.mark_best(1); // which was never written: no failure of its own
    submit(&mut writer, 2);
    assert_eq!(steps(writer.finish()), [2]);
    assert!(disk.entry("best").is_none());
}
