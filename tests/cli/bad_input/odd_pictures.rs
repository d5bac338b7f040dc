//! Files that are no good pictures, folders laid out wrongly, and damaged files of the binary sets and arrays.

use super::{Case, case};
use crate::pictures::{npy, with_set};
use crate::run::{Launch, Run};
use goai::data::synth::Kind;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

const TRAIN: &str = "--dataset img --data-dir d --image-size 8 --epochs 1";
const SEA: &str = "d/seg_train/seg_train/sea";

pub(super) fn cases() -> Vec<Case> {
    let mut cases = files();
    cases.extend(folders());
    cases.extend(binary());
    cases.extend(arrays());
    cases
}

/// Trains on a small synthetic set after `spoil` has been at its folder of the class sea.
fn spoiled(name: &str, args: &str, spoil: impl Fn(&Path), parts: &[&str]) -> Case {
    let run = with_set(Run::new(args), Kind::Img, 2, 1).prepare(|work| {
        // There from the start, so that the case leaves nothing new.
        fs::create_dir(work.join("d/.goai-cache")).expect("a folder can be made");
        spoil(&work.join(SEA));
    });
    case(&format!("pictures: {name}"), run, 4, parts)
}

/// A JPEG of the set with a byte run of its frame header written anew; 4 bytes in are the precision, 5 the height.
fn frame(sea: &Path, at: usize, new: &[u8]) -> Vec<u8> {
    let mut bytes = fs::read(sea.join("0000.jpg")).expect("the set has it");
    let start = bytes.windows(2).position(|pair| pair == [0xff, 0xc0]).expect("a baseline JPEG");
    bytes[start + at..start + at + new.len()].copy_from_slice(new);
    bytes
}

fn png(side: u32, depth: png::BitDepth) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, side, side);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(depth);
    let length = 3 * (side * side) as usize * if depth == png::BitDepth::Sixteen { 2 } else { 1 };
    encoder.write_header().expect("a header").write_image_data(&vec![7; length]).expect("pixels");
    bytes
}

#[rustfmt::skip]
fn files() -> Vec<Case> {
    let write = |name: &'static str, bytes: fn(&Path) -> Vec<u8>| move |sea: &Path| {
        let bytes = bytes(sea);
        fs::write(sea.join(name), bytes).expect("it can be written");
    };
    let cut = |sea: &Path| fs::read(sea.join("0000.jpg")).expect("the set has it")[..900].to_vec();
    let huge = |sea: &Path| frame(sea, 5, &[0xff; 4]);
    let make = |program: &'static str| move |sea: &Path| {
        assert!(Command::new(program).arg(sea.join("x.jpg")).status().is_ok_and(|status| status.success()));
    };
    let not_utf8 = |sea: &Path| {
        fs::write(sea.join(std::ffi::OsStr::from_bytes(b"x\xe9.jpg")), "").expect("it can be written");
    };
    let link = |to: &'static str| move |sea: &Path| symlink(to, sea.join("x.jpg")).expect("a link can be made");
    let skip = format!("{TRAIN} --bad-image skip");
    let (threads, mpi) = (Launch::Threads(3), Launch::Mpi(2));
    let cure = "--bad-image skip";
    vec![
        spoiled("truncated", TRAIN, write("x.jpg", cut), &["sea/x.jpg", "truncated", cure]),
        spoiled("truncated", TRAIN, write("x.jpg", cut), &["sea/x.jpg", "truncated"]).on(threads),
        spoiled("truncated", TRAIN, write("x.jpg", cut), &["sea/x.jpg", "truncated"]).on(mpi),
        spoiled("too many of them", &skip, write("x.jpg", cut), &["1 of 19 pictures are bad", "1 %", "data inspect"]),
        spoiled("empty", TRAIN, write("x.jpg", |_| Vec::new()), &["sea/x.jpg", "is empty", cure]),
        spoiled("65535x65535", TRAIN, write("x.jpg", huge), &["65535x65535 pixels", "limit of 16777216"]),
        spoiled("65535x65535", TRAIN, write("x.jpg", huge), &["65535x65535 pixels"]).on(mpi),
        spoiled("12 bits", TRAIN, write("x.jpg", |sea| frame(sea, 4, &[12])), &["12 bits a channel"]),
        spoiled("arithmetic", TRAIN, write("x.jpg", |sea| frame(sea, 1, &[0xc9])), &["arithmetic-coded JPEG"]),
        spoiled("16 bits", TRAIN, write("x.png", |_| png(8, png::BitDepth::Sixteen)), &["16 bits a channel"]),
        spoiled("1x1", TRAIN, write("x.png", |_| png(1, png::BitDepth::Eight)), &["1x1 pixels", "too few"]),
        spoiled("a PNG named .jpg", TRAIN, write("x.jpg", |_| png(8, png::BitDepth::Eight)), &["is a PNG", "name says JPEG"]),
        spoiled("text", TRAIN, write("x.jpg", |_| b"hello".to_vec()), &["neither JPEG nor PNG"]),
        spoiled("escape codes in a name", TRAIN, write("x\u{1b}[31m\n.jpg", |_| Vec::new()), &["is empty"]),
        spoiled("a directory x.jpg", TRAIN, make("mkdir"), &["sea/x.jpg", "is a directory"]),
        spoiled("a pipe x.jpg", TRAIN, make("mkfifo"), &["sea/x.jpg", "pipe or device"]),
        spoiled("a pipe x.jpg", TRAIN, make("mkfifo"), &["sea/x.jpg", "pipe or device"]).on(mpi),
        spoiled("a link outside", TRAIN, link("/etc/passwd"), &["sea/x.jpg", "leaves the data directory"]),
        spoiled("a link nowhere", TRAIN, link("none"), &["sea/x.jpg", "leads nowhere"]),
        spoiled("a name that is not UTF-8", TRAIN, not_utf8, &["not UTF-8", cure]),
    ]
}

#[rustfmt::skip]
fn folders() -> Vec<Case> {
    let emptied = |sea: &Path| {
        fs::remove_dir_all(sea).and_then(|()| fs::create_dir(sea)).expect("a folder can be emptied");
    };
    let alone = |sea: &Path| {
        let parent = sea.parent().expect("a class has a parent");
        for class in ["buildings", "forest", "glacier", "mountain", "street"] {
            fs::remove_dir_all(parent.join(class)).expect("the set has this class");
        }
    };
    let strange = |sea: &Path| {
        let zoo = sea.ancestors().nth(3).expect("the data directory").join("seg_test/seg_test/zoo");
        fs::create_dir(&zoo).and_then(|()| fs::copy(sea.join("0000.jpg"), zoo.join("0.jpg"))).expect("a class is made");
    };
    let net = |name: &str, text: &str, parts: &[&str]| {
        // A place that cannot be, so that these pictures, which are good, are not kept.
        let mut case = spoiled(name, &format!("{TRAIN} --model n.toml --cache-dir n.toml"), |_| (), parts);
        case.run = case.run.file("n.toml", text);
        case
    };
    let dense = "[[layer]]\nkind = \"flatten\"\n[[layer]]\nkind = \"dense\"\n";
    vec![
        spoiled("a class without one", TRAIN, emptied, &["seg_train/sea", "holds no picture", "remove it"]),
        spoiled("a class without one", TRAIN, emptied, &["seg_train/sea", "holds no picture"]).on(Launch::Mpi(2)),
        spoiled("one class", TRAIN, alone, &["holds 1 class folders", "at least 2"]),
        spoiled("a class only in the test set", TRAIN, strange, &["seg_test/zoo", "not among those that train"]),
        net("a network for others", &format!("input = [3, 9, 9]\n{dense}"), &["n.toml:1", "3x9x9", "3x8x8"]),
        net("a network for other classes", &format!("{dense}outputs = 10\n"), &["n.toml:4", "gives 10", "6 classes"]),
    ]
}

/// Trains on a small binary set with one of its files written anew, or removed when `edit` leaves no byte.
fn set(kind: Kind, name: &str, file: &str, edit: fn(Vec<u8>) -> Vec<u8>, parts: &[&str]) -> Case {
    let data = if kind == Kind::Mnist { "mnist" } else { "cifar10" };
    let run = with_set(Run::new(&format!("--dataset {data} --data-dir d --epochs 1")), kind, 2, 1);
    let run = run.prepare(|work| {
        let path = work.join("d").join(file);
        match &edit(fs::read(&path).expect("the set has it"))[..] {
            [] => fs::remove_file(path).expect("it can be removed"),
            bytes => fs::write(path, bytes).expect("it can be written"),
        }
    });
    case(&format!("{data}: {name}"), run, 4, parts)
}

#[rustfmt::skip]
fn binary() -> Vec<Case> {
    let cifar = |name, edit, parts: &[&str]| set(Kind::Cifar10, name, "cifar-10-batches-bin/data_batch_1.bin", edit, parts);
    let mnist = |name, file: &str, edit, parts: &[&str]| set(Kind::Mnist, name, &format!("{file}-ubyte.gz"), edit, parts);
    let shorter = |mut bytes: Vec<u8>| { bytes.pop(); bytes };
    let label = |mut bytes: Vec<u8>| { bytes[3073] = 10; bytes };
    let (images, labels) = ("train-images-idx3", "train-labels-idx1");
    vec![
        cifar("a record cut", shorter, &["data_batch_1.bin", "3073-byte records", "copy it again"]),
        cifar("a record cut", shorter, &["data_batch_1.bin", "3073-byte records"]).on(Launch::Mpi(2)),
        cifar("label 10", label, &["data_batch_1.bin", "record 1", "label 10"]),
        cifar("no training file", |_| Vec::new(), &["CIFAR-10 not found", "data_batch_"]),
        mnist("a file cut", images, shorter, &["train-images", "cannot be unpacked", "copy it again"]),
        mnist("a file cut", images, shorter, &["train-images", "cannot be unpacked"]).on(Launch::Mpi(2)),
        mnist("not packed", images, |_| b"\0\0\x08\x03".to_vec(), &["train-images", "cannot be unpacked"]),
        mnist("no labels", labels, |_| Vec::new(), &["train-labels", "is missing", "partner"]),
        case("mnist: a wrong magic number", idx(0x801, 1, 784), 4, &["train-images-idx3-ubyte", "0x00000801", "0x00000803"]),
        case("mnist: a wrong count", idx(0x803, 2, 784), 4, &["784 of the 1568 bytes", "copy it again"]),
        case("mnist: a count of terabytes", idx(0x803, 1 << 31, 784), 4, &["1683627180032 bytes", "more than the 4294967296"]),
        case("mnist: bytes behind it", idx(0x803, 1, 785), 4, &["bytes follow", "copy it again"]),
    ]
}

/// Trains on an idx file with this magic number, count, and number of bytes, in place of MNIST's images.
fn idx(magic: u32, count: u32, bytes: usize) -> Run {
    let header: Vec<u8> = [magic, count, 28, 28].into_iter().flat_map(u32::to_be_bytes).collect();
    let run =
        Run::new("--dataset mnist --data-dir d").file("d/train-images-idx3-ubyte", [header, vec![0; bytes]].concat());
    run.file("d/train-labels-idx1-ubyte", b"\0\0\x08\x01\0\0\0\x01\0")
}

#[rustfmt::skip]
fn arrays() -> Vec<Case> {
    let pair = |name: &str, x: Vec<u8>, y: Vec<u8>, parts: &[&str]| {
        let run = Run::new("--dataset a --epochs 1").file("a/x_train.npy", x).file("a/y_train.npy", y);
        case(&format!("npy: {name}"), run, 4, parts)
    };
    let x = || npy("|u1", "4, 2, 2, 3", &[9; 48]);
    let y = || npy("|u1", "4,", &[0, 1, 0, 1]);
    vec![
        pair("objects", npy("|O", "4, 2", &[0; 64]), y(), &["x_train.npy", "Python objects", "float32"]),
        pair("complex numbers", npy("<c8", "4, 2", &[0; 64]), y(), &["x_train.npy", "<c8", "astype"]),
        pair("one dimension", npy("|u1", "4,", &[0; 4]), y(), &["x_train.npy", "samples are"]),
        pair("two channels", npy("|u1", "4, 2, 2, 2", &[0; 32]), y(), &["x_train.npy", "1 or 3 channels"]),
        pair("cut", npy("|u1", "4, 2, 2, 3", &[9; 47]), y(), &["x_train.npy", "47 bytes of the 48"]),
        pair("cut", npy("|u1", "4, 2, 2, 3", &[9; 47]), y(), &["x_train.npy", "47 bytes of the 48"]).on(Launch::Mpi(2)),
        pair("a shape beyond 64 bits", npy("|u1", "99999999999, 99999999999, 9, 3", &[]), y(), &["x_train.npy", "0 bytes of the"]),
        pair("no sample", npy("|u1", "0, 2, 2, 3", &[]), npy("|u1", "0,", &[]), &["x_train.npy", "no sample"]),
        pair("too few labels", x(), npy("|u1", "3,", &[0, 1, 0]), &["y_train.npy", "3", "4"]),
        pair("a negative label", x(), npy("|i1", "4,", &[0, 1, 0, 255]), &["y_train.npy", "label -1 of sample 3"]),
        pair("labels that are no integers", x(), npy("<f4", "4,", &[0; 16]), &["y_train.npy", "class numbers are integers"]),
        pair("an archive", b"PK\x03\x04 npz".to_vec(), y(), &["x_train.npy", ".npz archive"]),
    ]
}
