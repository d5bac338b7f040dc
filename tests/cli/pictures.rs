//! Pictures end to end: small synthetic sets in the layouts of the real ones, trained on, measured and labelled.

use crate::run::{Launch, Outcome, Run};
use goai::data::synth::{Kind, PerClass, synth};
use std::fs;
use std::path::Path;

/// A folder `d` in the working directory with a synthetic set of so many pictures a class.
pub fn with_set(run: Run, kind: Kind, train: usize, test: usize) -> Run {
    let fill = |work: &Path| {
        synth(kind, &work.join("d"), 1, Some(PerClass { train, test })).expect("a set can be made");
    };
    run.prepare(fill)
}

/// A small network for any pictures.
const NET: &str = "name = \"small\"\n[[layer]]\nkind = \"conv2d\"\noutputs = 4\nkernel = 3\n[[layer]]\nkind = \"relu\"\n\
                   [[layer]]\nkind = \"global_avg_pool\"\n[[layer]]\nkind = \"flatten\"\n[[layer]]\nkind = \"dense\"\n";

/// The first file below a folder.
fn first(folder: &Path) -> String {
    let mut names: Vec<_> =
        fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()).collect();
    names.sort();
    names[0].to_str().expect("plain names").to_owned()
}

fn said(outcome: &Outcome, parts: &[&str]) {
    for part in parts {
        assert!(outcome.stdout.contains(part), "{part:?} is not in\n{}", outcome.stdout);
    }
}

#[test]
fn photographs_train_are_measured_and_labelled_and_the_second_start_maps_them() {
    let args = "--dataset img --data-dir d --image-size 16 --epochs 2 --seed 3";
    let outcome = with_set(Run::new(args), Kind::Img, 5, 2).launch(Launch::Solo).ok();
    said(
        &outcome,
        &["decoded 42 pictures in ", "16x16 pixels in color, 6 classes", "img test, 12 pictures", "(predicted)"],
    );
    assert_eq!(outcome.json()["final"]["test_size"], 12);
    let hash = outcome.json()["final"]["weights_hash"].clone();
    let config = outcome.text("runs/latest/config.toml");
    assert!(config.contains("imageSize = \"16x16\"") && !config.contains("inputdataDims"), "{config}");
    let again = outcome.again(args).launch(Launch::Solo).ok();
    said(&again, &["mapped ", ".pixels"]);
    assert!(!again.stdout.contains("decoded"));
    assert_eq!(again.json()["final"]["weights_hash"], hash);

    let measured = again.again("eval runs/latest").launch(Launch::Plain).ok();
    said(&measured, &["img test part, 12 pictures", "accuracy", "glacier"]);
    assert!(!measured.stdout.contains("note:"), "{}", measured.stdout);
    let measured = measured.again("eval runs/latest --dataset d/seg_test/seg_test").launch(Launch::Plain).ok();
    said(&measured, &["d/seg_test/seg_test, all 12 pictures"]);

    let photo = first(&measured.path("d/seg_test/seg_test/sea"));
    let labelled =
        measured.again(&format!("predict runs/latest {photo} {photo} --format csv")).launch(Launch::Plain).ok();
    let lines: Vec<&str> = labelled.stdout.lines().collect();
    assert_eq!((lines.len(), lines[1]), (3, lines[2]));
    assert!(lines[0].ends_with("p_buildings,p_forest,p_glacier,p_mountain,p_sea,p_street"), "{}", lines[0]);
    let mut outcome = labelled;
    for (args, part) in [
        ("predict runs/latest d", "d: is a directory, not a regular file; name the pictures in it"),
        ("predict runs/latest d/README.txt", "README.txt: is neither JPEG nor PNG"),
        ("predict runs/latest no.jpg", "no.jpg: no such file"),
        ("eval runs/latest --dataset iris", "iris: it is a table, and this model reads pictures of 3x16x16"),
    ] {
        outcome = outcome.again(args).launch(Launch::Plain);
        assert_eq!((outcome.code, outcome.errors().len()), (4, 1), "{args}: {}", outcome.stderr);
        assert!(outcome.errors()[0].contains(part), "{}", outcome.errors()[0]);
    }
}

#[test]
fn ranks_decode_together_and_learn_the_same() {
    let args = "--dataset img --data-dir d --image-size 8 --epochs 1 --deterministic --global-batch 8";
    let mut hashes = Vec::new();
    for launch in [Launch::Threads(1), Launch::Threads(3), Launch::Mpi(2)] {
        if launch.possible() {
            let outcome = with_set(Run::new(args), Kind::Img, 3, 1).launch(launch).ok();
            said(&outcome, &["decoded 24 pictures"]);
            hashes.push(outcome.json()["final"]["weights_hash"].clone());
        }
    }
    assert!(hashes.windows(2).all(|pair| pair[0] == pair[1]), "{hashes:?}");
}

#[test]
fn binary_sets_train_with_their_own_test_sets() {
    for (kind, name, shape, colors) in
        [(Kind::Cifar10, "cifar10", "32x32", "color"), (Kind::Mnist, "mnist", "28x28", "grey")]
    {
        let args = format!("--dataset {name} --data-dir d --model img_mlp --epochs 1");
        let outcome = with_set(Run::new(&args), kind, 10, 2).launch(Launch::Solo).ok();
        let line = format!("{shape} pixels in {colors}, 10 classes, trained as they are");
        said(&outcome, &["90 pictures for training, 10 for validation, 20 for testing", &line]);
        let part = outcome.again("eval runs/latest --part validation").launch(Launch::Plain).ok();
        said(&part, &[&format!("{name} validation part, 10 pictures")]);
    }
}

#[test]
fn a_folder_of_ones_own_trains_a_network_from_a_file() {
    let args = "--dataset own --model net.toml --epochs 1 --batch 2 --image-size 10x12";
    let run = with_set(Run::new(args), Kind::Img, 3, 1).file("net.toml", NET);
    let move_it = |work: &Path| fs::rename(work.join("d/seg_train/seg_train"), work.join("own")).expect("it moves");
    let outcome = run.prepare(move_it).launch(Launch::Solo).ok();
    said(
        &outcome,
        &[
            "own has no test set of its own",
            "10x12 pixels in color",
            "crops shifted by up to 1 pixels and mirrored",
            "net.toml, ",
        ],
    );
    let folds = outcome.again(&format!("{args} --folds 3 --augment none")).launch(Launch::Threads(2)).ok();
    assert_eq!(folds.json()["cv"]["folds"], 3);
    let common = folds.again("--dataset own/ --model img_mlp --epochs 1").launch(Launch::Solo).ok();
    said(&common, &["150x150 pixels in color"]);
}

/// A `.npy` file of bytes.
pub fn npy(kind: &str, shape: &str, bytes: &[u8]) -> Vec<u8> {
    let mut header = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': ({shape}), }}");
    while (10 + header.len() + 1) % 64 != 0 {
        header.push(' ');
    }
    header.push('\n');
    let mut file = b"\x93NUMPY\x01\x00".to_vec();
    file.extend((header.len() as u16).to_le_bytes());
    [file, header.into_bytes(), bytes.to_vec()].concat()
}

#[test]
fn arrays_of_numpy_train_as_pictures() {
    let pixels: Vec<u8> = (0..20 * 48).map(|i| if i / 48 % 2 == 0 { 200 } else { (i % 60) as u8 }).collect();
    let labels: Vec<u8> = (0..20).map(|i| i % 2).collect();
    let run = |args: &str| {
        let run = Run::new(args).file("a/x_train.npy", npy("|u1", "20, 4, 4, 3", &pixels));
        run.file("a/y_train.npy", npy("|u1", "20,", &labels))
    };
    let outcome = run("--dataset a/x_train.npy --epochs 20").launch(Launch::Solo).ok();
    said(&outcome, &["4x4 pixels in color, 2 classes", "16 pictures for training, 2 for validation, 2 for testing"]);
    assert_eq!(outcome.json()["final"]["test_acc"], 1.0);
    said(&run("--dataset a --model iris_mlp --epochs 1").launch(Launch::Solo).ok(), &["4x4 pixels in color"]);
}

#[test]
fn a_few_bad_pictures_are_left_out_where_asked() {
    let args = "--dataset img --data-dir d --image-size 8 --epochs 1";
    let spoil = |work: &Path| {
        let file = work.join("d/seg_train/seg_train/sea/bad.jpg");
        fs::write(file, b"\xff\xd8\xff\xe0 cut").expect("it can be written");
    };
    let outcome = with_set(Run::new(args), Kind::Img, 17, 1).prepare(spoil).launch(Launch::Solo);
    assert_eq!(outcome.code, 4, "{}", outcome.stderr);
    assert!(outcome.errors()[0].contains("sea/bad.jpg") && outcome.errors()[0].contains("--bad-image skip"));
    let skipped = outcome.again(&format!("{args} --bad-image skip")).launch(Launch::Threads(2)).ok();
    said(&skipped, &["decoded 108 pictures", "1 of 109 pictures cannot be read and are left out"]);
    let again = skipped.again(args).launch(Launch::Solo);
    assert_eq!(again.code, 4, "kept pictures do not hide a bad one: {}", again.stdout);
    // A model that was trained on whole pictures measures whole pictures; the cure is an option of training, not of eval.
    let good = with_set(Run::new(&format!("{args} --run-dir r")), Kind::Img, 2, 1).launch(Launch::Solo).ok();
    spoil(&good.path(""));
    let refused = good.again("eval r").launch(Launch::Plain);
    assert_eq!((refused.code, refused.errors().len()), (4, 1), "{}", refused.stderr);
    assert!(refused.errors()[0].contains("mend or remove it, or train with --bad-image skip"), "{}", refused.stderr);
}
