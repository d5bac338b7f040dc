//! Every state in which a crash may leave the folder, enumerated.

use super::sim::{SimDisk, dir};
use super::*;

/// Saves these steps, and marks the first as best.
fn saved(disk: SimDisk, steps: &[u64]) -> (SimDisk, Vec<(usize, u64)>) {
    let store = Store::open(&dir(), Arc::new(disk.clone())).unwrap();
    let mut returned = vec![(0, 0)];
    for &step in steps {
        let path = save(&store, step).unwrap().path;
        returned.push((disk.logged(), step));
        if step == steps[0] {
            store.mark_best(&path).unwrap();
        }
    }
    (disk, returned)
}

/// How many states there are, and the first in which something is lost that had been saved.
fn lost(disk: &SimDisk, returned: &[(usize, u64)], steps: &[u64]) -> (usize, Option<String>) {
    let (mut states, mut fault) = (0, None);
    for done in 0..=disk.logged() {
        // While an earlier step is being saved it takes the place of the later ones: either will do.
        let place = returned.partition_point(|(logged, _)| *logged <= done);
        let promised = returned[place - 1..returned.len().min(place + 1)].iter().map(|(_, step)| *step).min().unwrap();
        disk.crashed(done, &mut |left| {
            states += 1;
            if fault.is_some() {
                return;
            }
            let newest = newest_valid(&left, &dir()).unwrap();
            let found = newest.loaded.as_ref().map_or(0, |loaded| loaded.about.cursor.step);
            let whole = newest.loaded.as_ref().is_none_or(|loaded| steps.contains(&found) && is_step(loaded, found));
            if found < promised || !whole {
                fault = Some(format!("after {done} operations: {promised} was saved, {found} is found: {newest:?}"));
            }
            // Whoever comes next goes on: leftovers are gone, and the next one is saved and found.
            let store = Store::open(&dir(), Arc::new(left.clone())).unwrap();
            assert!(!left.names().iter().any(|name| name.ends_with(".tmp")));
            save(&store, 90).unwrap();
            assert!(newest_valid(&left, &dir()).unwrap().loaded.is_some_and(|loaded| is_step(&loaded, 90)));
        });
    }
    (states, fault)
}

#[test]
fn whatever_a_crash_leaves_holds_what_was_saved() {
    // The last course begins from an earlier step, as after a damaged file.
    for steps in [&[10, 20, 30, 40][..], &[10, 20, 30, 15]] {
        let (disk, returned) = saved(SimDisk::new(), steps);
        let (states, fault) = lost(&disk, &returned, steps);
        assert_eq!(fault, None);
        println!("{steps:?}: {states} states");
        assert!(states > 500, "{states} states are not all there are");
    }
}

#[test]
fn a_writer_that_does_not_sync_is_found_out() {
    let steps = [10, 20];
    for (files, names) in [(true, true), (true, false), (false, true)] {
        let (disk, returned) = saved(SimDisk::lying(files, names), &steps);
        let (_, fault) = lost(&disk, &returned, &steps);
        assert!(fault.is_some(), "nothing is lost where files {files} and names {names} are not synced?");
    }
}

#[test]
fn without_links_last_is_a_text_and_best_a_copy() {
    let (disk, returned) = saved(SimDisk::without_links(), &[10, 20]);
    assert_eq!(lost(&disk, &returned, &[10, 20]).1, None);
    use crate::run::disk::Disk;
    assert_eq!(disk.read(&dir().join("last")).unwrap(), b"step-00000020.safetensors\n");
    assert!(is_step(&load(&disk, &dir().join("best")).unwrap(), 10));
}
