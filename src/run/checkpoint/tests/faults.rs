//! A disk that fails: the old checkpoints stay, nothing half-written does.

use super::sim::{DIR, Failing, SimDisk, dir};
use super::*;

const CODES: [i32; 3] = [libc::ENOSPC, libc::EIO, libc::EROFS];

#[test]
fn any_operation_may_fail_and_the_old_checkpoints_stay() {
    for code in CODES {
        for forever in [false, true] {
            let mut refused = 0;
            for at in 1.. {
                let disk = SimDisk::new();
                let store = Store::open(&dir(), Arc::new(disk.clone())).unwrap();
                save(&store, 1).unwrap();
                save(&store, 2).unwrap();
                disk.fail(if forever { Failing::From(at, code) } else { Failing::Once(at, code) });
                let result = save(&store, 3);
                let struck = disk.count() >= at;
                disk.fail(Failing::Never);
                let newest = newest_valid(&disk, &dir()).unwrap();
                assert!(newest.refused.is_empty(), "{newest:?}");
                let found = newest.loaded.unwrap().about.cursor.step;
                match result {
                    Ok(_) => assert_eq!(found, 3),
                    Err(error) => {
                        refused += 1;
                        let text = error.to_string();
                        assert!(text.starts_with(DIR) && text.lines().count() == 1 && error.exit_code() == 4, "{text}");
                        assert!(found >= 2 && disk.entry("step-00000002.safetensors").is_some(), "{at}: {text}");
                        assert!(disk.entry("step-00000001.safetensors").is_some(), "{at}: nothing old is removed");
                    }
                }
                let temporaries = disk.names().iter().filter(|name| name.ends_with(".tmp")).count();
                // A disk that fails for ever lets nobody remove anything either.
                assert!(temporaries == 0 || forever, "{at}: {:?}", disk.names());
                save(&store, 4).unwrap();
                assert!(newest_valid(&disk, &dir()).unwrap().loaded.is_some_and(|loaded| is_step(&loaded, 4)));
                if !struck {
                    break;
                }
            }
            assert!(refused >= 5, "create, write, sync, rename, sync of the folder: {refused}");
        }
    }
}

#[test]
fn a_folder_that_cannot_be_opened_or_read_is_named() {
    let disk = SimDisk::new();
    for at in 1..=3 {
        disk.fail(Failing::From(at, libc::EROFS));
        if at == 3 {
            disk.fail(Failing::From(1, libc::EIO));
            let error = newest_valid(&disk, &dir()).unwrap_err().to_string();
            assert!(error.starts_with(DIR) && error.contains("cannot list"), "{error}");
            continue;
        }
        let error = Store::open(&dir(), Arc::new(disk.clone())).unwrap_err();
        assert!(error.to_string().starts_with(DIR) && error.exit_code() == 4, "{error}");
    }
}

#[test]
fn a_file_that_cannot_be_read_is_refused_and_the_one_before_used() {
    let disk = SimDisk::new();
    let store = Store::open(&dir(), Arc::new(disk.clone())).unwrap();
    save(&store, 1).unwrap();
    save(&store, 2).unwrap();
    disk.fail(Failing::Once(2, libc::EIO));
    let newest = newest_valid(&disk, &dir()).unwrap();
    assert!(is_step(&newest.loaded.unwrap(), 1));
    assert!(newest.refused[0].why.to_string().contains("step-00000002.safetensors: cannot read the checkpoint"));
}

#[test]
fn a_best_that_cannot_be_marked_leaves_the_old_one() {
    let disk = SimDisk::new();
    let store = Store::open(&dir(), Arc::new(disk.clone())).unwrap();
    let first = save(&store, 1).unwrap().path;
    store.mark_best(&first).unwrap();
    let second = save(&store, 2).unwrap().path;
    for at in 1.. {
        disk.fail(Failing::Once(at, libc::ENOSPC));
        let result = store.mark_best(&second);
        let struck = disk.count() >= at;
        disk.fail(Failing::Never);
        let best = load(&disk, &dir().join("best")).unwrap().about.cursor.step;
        assert!(best == 2 || (best == 1 && result.is_err()), "{at}: {best}");
        assert!(!disk.names().iter().any(|name| name.ends_with(".tmp")), "{at}: {:?}", disk.names());
        if !struck {
            break;
        }
    }
}
