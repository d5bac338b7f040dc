//! Every layout that is found, and everything that may lie in it.

use super::*;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;

/// Makes empty files: listing reads none.
fn tree(files: &[&str]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for file in files {
        let path = dir.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "").unwrap();
    }
    dir
}

fn listed(folder: &Folder) -> Vec<(String, u32)> {
    folder.files.iter().map(|file| (file.path.display().to_string(), file.label)).collect()
}

#[test]
fn the_archive_is_found_wherever_it_was_unpacked() {
    for (place, root) in [("", ""), ("intel/", "intel"), ("archive/", "archive")] {
        for nested in [false, true] {
            let part = |part: &str| if nested { format!("{place}{part}/{part}") } else { format!("{place}{part}") };
            let (train, test) = (part("seg_train"), part("seg_test"));
            let files = [
                format!("{train}/b/2.jpg"),
                format!("{train}/b/10.JPG"),
                format!("{train}/a/x.png"),
                format!("{test}/b/y.jpeg"),
            ];
            let dir = tree(&files.each_ref().map(String::as_str));
            let folder = find("img", dir.path()).unwrap();
            assert_eq!(folder.root, dir.path().join(root).canonicalize().unwrap());
            assert_eq!((folder.name.as_str(), folder.own_test), ("img", 1));
            assert_eq!(folder.classes, ["a", "b"]);
            let names: Vec<&str> = folder.files.iter().map(|f| f.path.file_name().unwrap().to_str().unwrap()).collect();
            assert_eq!(names, ["x.png", "10.JPG", "2.jpg", "y.jpeg"]);
            assert_eq!(folder.notes, ["the test set of img has no picture of a"]);
        }
    }
    let dir = tree(&["train/a/x.jpg"]);
    let message = find("img", dir.path()).unwrap_err().to_string();
    for tried in ["seg_train", "intel/seg_train", "archive/seg_train"] {
        assert!(message.contains(&dir.path().join(tried).display().to_string()), "{message}");
    }
}

#[test]
fn any_directory_of_classes_is_a_data_set() {
    let dir = tree(&["cat/1.jpg", "dog/2.png", "dog/notes.txt", ".goai-cache/3.png", "read.me"]);
    let folder = open(dir.path()).unwrap();
    assert_eq!(listed(&folder), [("cat/1.jpg".to_owned(), 0), ("dog/2.png".to_owned(), 1)]);
    let ignored: Vec<_> = folder.ignored.iter().map(|path| path.to_str().unwrap()).collect();
    assert_eq!(ignored, [".goai-cache", "read.me", "dog/notes.txt"]);
    assert!(folder.own_test == 0 && folder.notes[0].contains("no test set of its own"), "{:?}", folder.notes);
    let dir = tree(&["train/cat/1.jpg", "train/dog/2.png", "test/cat/3.jpg", "test/dog/4.jpg"]);
    let folder = open(dir.path()).unwrap();
    assert_eq!((folder.own_test, folder.files.len(), folder.notes.len()), (2, 4, 0));
    let dir = tree(&["train/cat/1.jpg", "train/dog/2.png"]);
    assert!(open(dir.path()).unwrap().notes[0].contains("test is missing beside train"));
}

#[test]
fn a_folder_laid_out_otherwise_is_explained() {
    for (files, expected) in [
        (&["1.jpg", "2.jpg"][..], "holds 0 class folders, and at least 2 are needed"),
        (&["cat/1.jpg"], "holds 1 class folders"),
        (&["cat/1.jpg", "dog/note.txt"], "dog: this class folder holds no picture"),
        (&["train/cat/1.jpg", "train/dog/1.jpg", "test/cow/1.jpg"], "cow: this class of the test set is not among"),
    ] {
        let message = open(tree(files).path()).unwrap_err().to_string();
        assert!(message.contains(expected) && !message.contains('\n'), "{message}");
    }
    let missing = open(Path::new("/no/such/folder")).unwrap_err().to_string();
    assert!(missing.contains("tried /no/such/folder;"), "{missing}");
}

#[test]
fn what_looks_like_a_picture_and_is_none_is_named() {
    let dir = tree(&["data/cat/1.jpg", "data/dog/2.jpg", "data/dog/folder.jpg/x", "secret.jpg", "data/deep/3.jpg"]);
    let dog = dir.path().join("data/dog");
    assert!(std::process::Command::new("mkfifo").arg(dog.join("pipe.png")).status().unwrap().success());
    symlink("../../secret.jpg", dog.join("strays.jpg")).unwrap();
    symlink("nowhere.jpg", dog.join("dangling.jpg")).unwrap();
    symlink("loop.jpg", dog.join("loop.jpg")).unwrap();
    symlink("../cat/1.jpg", dog.join("stays.jpg")).unwrap();
    fs::write(dog.join(std::ffi::OsStr::from_bytes(b"\xff.jpg")), "").unwrap();
    let folder = open(&dir.path().join("data")).unwrap();
    let dogs: Vec<_> = listed(&folder).into_iter().filter(|(_, label)| *label == 2).map(|(path, _)| path).collect();
    assert_eq!(dogs, ["dog/2.jpg", "dog/stays.jpg"]);
    let unfit: Vec<String> = folder.unfit.iter().map(|(path, fault)| format!("{}: {fault}", path.display())).collect();
    let strays = "is a symbolic link that leaves the data directory, or leads nowhere";
    assert_eq!(
        unfit,
        [
            format!("dog/dangling.jpg: {strays}"),
            "dog/folder.jpg: is a directory, not a regular file".into(),
            format!("dog/loop.jpg: {strays}"),
            "dog/pipe.png: is a pipe or device, not a regular file".into(),
            format!("dog/strays.jpg: {strays}"),
            "dog/\u{fffd}.jpg: has a name that is not UTF-8".into(),
        ]
    );
    symlink("/tmp", dir.path().join("data/outside")).unwrap();
    let message = open(&dir.path().join("data")).unwrap_err().to_string();
    assert!(message.contains("outside: this symbolic link leaves the data directory"), "{message}");
    // The directory itself may be a link.
    fs::remove_file(dir.path().join("data/outside")).unwrap();
    symlink("data", dir.path().join("link")).unwrap();
    assert_eq!(open(&dir.path().join("link")).unwrap().root, folder.root);
    fs::create_dir(dir.path().join("data").join(std::ffi::OsStr::from_bytes(b"\xfe"))).unwrap();
    let message = open(&dir.path().join("data")).unwrap_err().to_string();
    assert!(message.contains("the name of this class folder is not UTF-8"), "{message}");
}
