//! Mutations of valid bytes at every door: refused in one line, or taken whole, and never a panic.
//!
//! The doors' own checks are in `goai::fuzz`; `fuzz/` has the same ones for a fuzzer.

use goai::fuzz::{DOORS, Door};
use goai::run::model_file::{self, ModelMeta};
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, TestRunner};

/// Mutations of each kind of bytes.
const CASES: u32 = 2_500;

/// Numbers that a careless reader trips over.
const NUMBERS: [&str; 12] =
    ["0", "-1", "1e999", "nan", "inf", "-0", "18446744073709551616", "4294967296", "1e-400", "0x10", "1_0", "\u{663}"];

/// One change.
#[derive(Debug, Clone)]
enum Change {
    /// A bit.
    Flip(Index, u8),
    /// A byte becomes another one.
    Set(Index, u8),
    /// The rest is lost.
    Truncate(Index),
    /// A piece is lost.
    Cut(Index, Index),
    /// A piece is copied to somewhere else.
    Splice(Index, Index, Index),
    /// A line is there twice.
    Double(Index),
    /// A line is lost.
    Drop(Index),
    /// Two lines change places.
    Swap(Index, Index),
    /// Bytes from nowhere.
    Insert(Index, Vec<u8>),
    /// A run of digits becomes another number.
    Number(Index, usize),
}

fn change() -> impl Strategy<Value = Change> {
    let at = any::<Index>;
    prop_oneof![
        (at(), 0u8..8).prop_map(|(at, bit)| Change::Flip(at, bit)),
        (at(), any::<u8>()).prop_map(|(at, byte)| Change::Set(at, byte)),
        at().prop_map(Change::Truncate),
        (at(), at()).prop_map(|(from, to)| Change::Cut(from, to)),
        (at(), at(), at()).prop_map(|(from, to, at)| Change::Splice(from, to, at)),
        at().prop_map(Change::Double),
        at().prop_map(Change::Drop),
        (at(), at()).prop_map(|(one, other)| Change::Swap(one, other)),
        (at(), prop::collection::vec(any::<u8>(), 1..9)).prop_map(|(at, bytes)| Change::Insert(at, bytes)),
        (at(), 0..NUMBERS.len()).prop_map(|(at, number)| Change::Number(at, number)),
    ]
}

impl Change {
    fn apply(&self, bytes: &mut Vec<u8>) {
        let len = bytes.len();
        if len == 0 {
            return;
        }
        let range = |a: &Index, b: &Index| {
            let (a, b) = (a.index(len), b.index(len));
            a.min(b)..a.max(b)
        };
        match self {
            Self::Flip(at, bit) => bytes[at.index(len)] ^= 1 << bit,
            Self::Set(at, byte) => bytes[at.index(len)] = *byte,
            Self::Truncate(at) => bytes.truncate(at.index(len)),
            Self::Cut(from, to) => drop(bytes.drain(range(from, to))),
            Self::Splice(from, to, at) => {
                let piece = bytes[range(from, to)].to_vec();
                let at = at.index(len);
                drop(bytes.splice(at..at, piece));
            }
            Self::Insert(at, new) => {
                let at = at.index(len);
                drop(bytes.splice(at..at, new.iter().copied()));
            }
            Self::Number(at, number) => {
                let digits: Vec<usize> = (0..len).filter(|i| bytes[*i].is_ascii_digit()).collect();
                let Some(start) = (!digits.is_empty()).then(|| digits[at.index(digits.len())]) else { return };
                let end = (start..len).find(|i| !bytes[*i].is_ascii_digit()).unwrap_or(len);
                drop(bytes.splice(start..end, NUMBERS[*number].bytes()));
            }
            Self::Double(..) | Self::Drop(..) | Self::Swap(..) => {
                let mut lines: Vec<Vec<u8>> = bytes.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
                let count = lines.len();
                match self {
                    Self::Double(at) => lines.insert(at.index(count), lines[at.index(count)].clone()),
                    Self::Drop(at) => drop(lines.remove(at.index(count))),
                    Self::Swap(one, other) => lines.swap(one.index(count), other.index(count)),
                    _ => unreachable!("the others are no changes of lines"),
                }
                *bytes = lines.join(&b'\n');
            }
        }
    }
}

fn picture(width: u32, height: u32) -> Vec<u8> {
    let pixels: Vec<u8> = (0..3 * width * height).map(|i| (i * 7 % 251) as u8).collect();
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.write_header().unwrap().write_image_data(&pixels).unwrap();
    bytes
}

fn jpeg(width: u16, height: u16) -> Vec<u8> {
    let pixels: Vec<u8> = (0..3 * usize::from(width) * usize::from(height)).map(|i| (i * 5 % 241) as u8).collect();
    let mut bytes = Vec::new();
    let encoder = jpeg_encoder::Encoder::new(&mut bytes, 80);
    encoder.encode(&pixels, width, height, jpeg_encoder::ColorType::Rgb).unwrap();
    bytes
}

fn model() -> Vec<u8> {
    let meta: ModelMeta = serde_json::from_value(serde_json::json!({
        "format": 1, "network": {"layers": [2, 3]}, "dataset": "iris", "columns": ["a", "b"],
        "label_column": "variety", "classes": ["x", "y", "z"], "means": [0.5, 1.5], "deviations": [1.0, 2.0],
        "weights_hash": "00", "data_dir": "datasets", "data_split": "80:10:10", "seed": 7, "label": null
    }))
    .unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let (weight, bias) = ([0.5f32; 6], [0.25f32; 3]);
    let tensors = [("fc1.weight".into(), vec![3, 2], &weight[..]), ("fc1.bias".into(), vec![3], &bias[..])];
    model_file::save(&path, &tensors, &meta).unwrap();
    std::fs::read(path).unwrap()
}

/// A message as [`goai::fuzz::wire_frame`] takes it: 20 floats, or as many as come.
fn frame(any_length: bool) -> Vec<u8> {
    let len = 20u8;
    // What is expected; then magic, channel, element type and length, and 24 bytes of a note.
    let mut bytes = vec![if any_length { 4 } else { len << 3 }, 0x47, 0x6f, 2, 1, len, 0, 0, 0];
    bytes.extend([0u8; 24]);
    bytes.extend((0..len).flat_map(|i| f32::from(i).to_le_bytes()));
    bytes
}

/// The header of iris and some rows of its first two classes.
fn rows_of_two_classes() -> Vec<u8> {
    let text = std::fs::read_to_string("datasets/iris.csv").unwrap();
    let lines: Vec<&str> = text.lines().collect();
    [&lines[..1], &lines[45..57]].concat().join("\n").into_bytes()
}

/// Bytes that the doors take, by the doors' names.
fn valid(door: &str) -> Vec<Vec<u8>> {
    let text = |text: &str| text.as_bytes().to_vec();
    match door {
        "env_file" => vec![
            text("# the original's\ninputdataDims=4\nhiddenLayerNeurons=30\nlearningRate = 0.05\nbatchSize=\"4\"\n"),
            text("export numEpochs=30\r\nseed='7'\noptimizer=adam # a word\n"),
        ],
        "iris_csv" => vec![
            text("a,b,variety\n1,2,x\n3.5,-4e-2,y\n5,6,x\n"),
            rows_of_two_classes(),
            text("\u{feff}\"label\",\"p q\"\r\n1, 0.5\r\n2, 0.25\r\n"),
        ],
        "picture_gate" => vec![picture(8, 8), picture(9, 13), jpeg(8, 8), jpeg(17, 10)],
        "checkpoint" => vec![std::fs::read("tests/golden/checkpoint_v1.safetensors").unwrap()],
        "model_file" => vec![model()],
        "cli_args" => vec![
            text("--mode\nallreduce\n--epochs\n3\n--lr=0.05\n--batch\n4"),
            text("--single\niris\n--set\nseed=7\n--optimizer\nadam\n-v"),
            text("report\nruns/a\nruns/b"),
            text("config\nshow\n--stages\n2\n--mode\npipeline"),
        ],
        "wire_frame" => vec![frame(true), frame(false)],
        _ => panic!("{door} has no valid bytes"),
    }
}

/// Whatever is changed in valid bytes, the door stands; some changes are taken and some refused, so that neither way
/// goes untried.
fn stands(name: &str) {
    let door: Door = DOORS.iter().find(|(known, _)| *known == name).unwrap().1;
    let valid = valid(name);
    for (i, bytes) in valid.iter().enumerate() {
        door(bytes).unwrap_or_else(|why| panic!("{name}: the valid bytes {i} are refused: {why}"));
    }
    let (taken, refused) = (std::cell::Cell::new(0u32), std::cell::Cell::new(0u32));
    let mut runner = TestRunner::new(Config { failure_persistence: None, ..Config::with_cases(CASES) });
    let inputs = (prop::sample::select(valid), prop::collection::vec(change(), 1..5));
    let result = runner.run(&inputs, |(mut bytes, changes)| {
        changes.iter().for_each(|change| change.apply(&mut bytes));
        let counted = if door(&bytes).is_ok() { &taken } else { &refused };
        counted.set(counted.get() + 1);
        Ok(())
    });
    result.unwrap_or_else(|error| panic!("{name}: {error}"));
    println!("{name}: {} taken, {} refused", taken.get(), refused.get());
    // A seal is right only where the changes undo each other, or change nothing.
    let least = if name == "checkpoint" { 0 } else { 20 };
    assert!(taken.get() > least && refused.get() > 20, "{name}: {} taken, {} refused", taken.get(), refused.get());
}

macro_rules! doors {
    ($($name:ident),*) => {
        $(#[test]
        fn $name() {
            stands(stringify!($name));
        })*

        #[test]
        fn every_door_is_tried() {
            assert!(DOORS.iter().map(|(name, _)| *name).eq([$(stringify!($name)),*]));
        }
    };
}

doors!(env_file, iris_csv, picture_gate, checkpoint, model_file, wire_frame, cli_args);
