//! Pairs of arrays as they should be, and every way in which they are not.

use super::*;
use std::fs;

/// A file of format 1.0, padded as numpy pads it.
fn npy(dtype: &str, shape: &str, bytes: &[u8]) -> Vec<u8> {
    let mut text = format!("{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}");
    while (10 + text.len() + 1) % 64 != 0 {
        text.push(' ');
    }
    text.push('\n');
    let length = (text.len() as u16).to_le_bytes();
    [b"\x93NUMPY\x01\x00", &length[..], text.as_bytes(), bytes].concat()
}

fn floats(shape: &str, values: &[f32]) -> Vec<u8> {
    npy("<f4", shape, &values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<_>>())
}

fn bytes(shape: &str, values: &[u8]) -> Vec<u8> {
    npy("|u1", shape, values)
}

/// The set of a folder with these files.
fn folder(files: &[(&str, Vec<u8>)]) -> Result<AnyData, DataError> {
    let dir = tempfile::tempdir().unwrap();
    files.iter().for_each(|(name, bytes)| fs::write(dir.path().join(name), bytes).unwrap());
    load(dir.path().to_str().unwrap(), Path::new("nowhere"))
}

fn pair(x: Vec<u8>, y: Vec<u8>) -> Result<AnyData, DataError> {
    folder(&[("x_train.npy", x), ("y_train.npy", y)])
}

fn pictures(data: AnyData) -> Pictures {
    let AnyData::Pictures(pictures) = data else { panic!("a table") };
    pictures
}

fn table(data: AnyData) -> Dataset {
    let AnyData::Table(table) = data else { panic!("pictures") };
    table
}

#[test]
fn bytes_of_three_or_four_dimensions_are_pictures() {
    let y = || bytes("(2,)", &[0, 1]);
    let counting: Vec<u8> = (0..24).collect();
    for (shape, expected, second) in [
        ("(2, 3, 4)", [1, 3, 4], [12, 13, 14]),
        ("(2, 2, 2, 3)", [3, 2, 2], [12, 13, 14]),
        ("(2, 3, 2, 2)", [3, 2, 2], [12, 16, 20]),
        ("(2, 1, 3, 4)", [1, 3, 4], [12, 13, 14]),
        ("(2, 2, 6, 1)", [1, 2, 6], [12, 13, 14]),
    ] {
        let set = pictures(pair(bytes(shape, &counting), y()).unwrap());
        assert_eq!((set.shape, set.len(), set.own_test), (expected, 2, 0), "{shape}");
        assert_eq!(set.pixels(1)[..3], second, "{shape}");
    }
}

#[test]
fn a_test_pair_is_the_sets_own_test_set() {
    let file = |values: &[u8]| bytes(&format!("({}, 1, 2)", values.len() / 2), values);
    let set = folder(&[
        ("X_train.npy", file(&[1, 2, 3, 4])),
        ("y_TRAIN.npy", npy(">i4", "(2, 1)", &[0, 0, 0, 2, 0, 0, 0, 0])),
        ("x_test.npy", file(&[5, 6])),
        ("y_test.npy", npy("<i8", "(1,)", &1i64.to_le_bytes())),
    ]);
    let set = pictures(set.unwrap());
    assert_eq!((set.labels.as_slice(), set.own_test, set.pixels(2)), (&[2, 0, 1][..], 1, &[5, 6][..]));
    assert_eq!(set.classes, ["0", "1", "2"]);
}

#[test]
fn other_numbers_are_a_table_in_channel_order() {
    let hot = || floats("(2, 3)", &[0., 0., 1., 1., 0., 0.]);
    let counting: Vec<f32> = (0..12).map(|value| value as f32).collect();
    for (shape, expected) in [
        ("(2, 6)", [6., 7., 8., 9., 10., 11.]),
        ("(2, 2, 3)", [6., 7., 8., 9., 10., 11.]),
        ("(2, 3, 1, 2)", [6., 7., 8., 9., 10., 11.]),
        ("(2, 2, 1, 3)", [6., 9., 7., 10., 8., 11.]),
    ] {
        let set = table(pair(floats(shape, &counting), hot()).unwrap());
        assert_eq!((set.labels.as_slice(), set.classes.len(), set.dims()), (&[2, 0][..], 3, 6), "{shape}");
        assert_eq!(set.features.row(1).to_vec(), expected, "{shape}");
        assert_eq!((set.columns[5].as_str(), set.label_column.as_str()), ("x6", "label"));
    }
}

#[test]
fn every_type_of_number_is_read_in_either_byte_order() {
    let y = || bytes("(2,)", &[1, 0]);
    for (dtype, values) in [
        ("|b1", [vec![0], vec![1]]),
        ("|i1", [vec![0xfe], vec![3]]),
        ("<u2", [vec![0xfe, 0xff], vec![3, 0]]),
        (">i2", [vec![0xff, 0xfe], vec![0, 3]]),
        ("<i4", [vec![0xfe, 0xff, 0xff, 0xff], vec![3, 0, 0, 0]]),
        (">u4", [vec![0, 0, 1, 0], vec![0, 0, 0, 3]]),
        ("<i8", [(-2i64).to_le_bytes().to_vec(), 3i64.to_le_bytes().to_vec()]),
        (">f4", [(-0.5f32).to_be_bytes().to_vec(), 3f32.to_be_bytes().to_vec()]),
        ("=f8", [(-0.5f64).to_le_bytes().to_vec(), 3f64.to_le_bytes().to_vec()]),
        (">f8", [(-0.5f64).to_be_bytes().to_vec(), 3f64.to_be_bytes().to_vec()]),
    ] {
        let set = table(pair(npy(dtype, "(2, 1)", &values.concat()), y()).unwrap());
        let first = match dtype {
            "|b1" => 0.0,
            "<u2" => 65534.0,
            ">u4" => 256.0,
            ">f4" | "=f8" | ">f8" => -0.5,
            _ => -2.0,
        };
        let second = if dtype == "|b1" { 1.0 } else { 3.0 };
        assert_eq!(set.features, ndarray::array![[first], [second]], "{dtype}");
    }
}

#[test]
fn faults_are_named() {
    let x = || floats("(2, 1)", &[1., 2.]);
    let y = || bytes("(2,)", &[0, 1]);
    let fortran = |shape: &str, size: usize| {
        let text = format!("{{'descr': '|u1', 'fortran_order': True, 'shape': {shape}}}");
        let length = (text.len() as u16).to_le_bytes();
        [b"\x93NUMPY\x01\x00", &length[..], text.as_bytes(), &vec![0; size]].concat()
    };
    for (x_file, y_file, expected) in [
        (npy("|O", "(2,)", b"\x80\x04"), y(), "x_train.npy: an array of Python objects (dtype \"|O\")"),
        (x(), npy("|O", "(2,)", b"\x80\x04"), "y_train.npy: an array of Python objects"),
        (npy("<U5", "(2,)", &[0; 40]), y(), "dtype \"<U5\" is no number of 8 to 64 bits"),
        (npy("<f2", "(2, 1)", &[0; 4]), y(), "dtype \"<f2\" is no number"),
        (npy("<c8", "(2, 1)", &[0; 16]), y(), "dtype \"<c8\" is no number"),
        (fortran("(2, 2, 2)", 8), y(), "stored in Fortran order; save it with np.save(FILE, np.ascontiguousarray"),
        (bytes("(2, 5)", &[0; 9]), y(), "9 bytes of the 10 that shape (2, 5) asks for"),
        (bytes("(2, 5)", &[0; 12]), y(), "2 bytes follow the 10 that shape (2, 5) asks for"),
        (bytes("(18446744073709551615, 18446744073709551615)", &[0]), y(), "1 bytes of the 340282366920938463"),
        (bytes("(2, 18446744073709551615, 18446744073709551615, 3)", &[0]), y(), "1 bytes of the"),
        (bytes("(0, 5)", &[]), y(), "shape (0, 5) holds no sample"),
        (bytes("()", &[1]), y(), "shape () holds no sample"),
        (bytes("(2,)", &[1, 2]), y(), "shape (2,) is a single row"),
        (bytes("(2, 4, 4, 2)", &[0; 64]), y(), "shape (2, 4, 4, 2) has no dimension of 1 or 3 channels"),
        (bytes("(2, 3, 4, 3)", &[0; 72]), y(), "could be channels first or channels last"),
        (bytes("(2, 1, 1, 1, 1)", &[0; 2]), y(), "has too many dimensions"),
        (floats("(2, 2)", &[0., 1., 2., f32::NAN]), y(), "value 1 (counted from 0) of sample 1 is NaN"),
        (npy("<f8", "(2, 1)", &[1e300f64.to_le_bytes(); 2].concat()), y(), "value 0 (counted from 0) of sample 0"),
        (x(), bytes("(3,)", &[0, 1, 1]), "y_train.npy: 3 labels for the 2 samples of"),
        (x(), floats("(2,)", &[0., 1.]), "labels of dtype \"<f4\"; class numbers are integers"),
        (x(), npy("|i1", "(2,)", &[0, 0xff]), "label -1 of sample 1 (counted from 0): class numbers from 0 to 65535"),
        (x(), npy("<u8", "(2,)", &[255; 16]), "label 18446744073709551615 of sample 0"),
        (x(), bytes("(2,)", &[0, 0]), "all labels are 0"),
        (x(), floats("(2, 2)", &[0., 1., 1., 1.]), "row 1 (counted from 0) is not one-hot"),
        (x(), floats("(2, 2)", &[0., 1., 0., 0.]), "row 1 (counted from 0) is not one-hot"),
        (x(), floats("(2, 2)", &[0., 1., 0.5, 0.]), "row 1 (counted from 0) is not one-hot"),
        (x(), bytes("(2, 2, 1)", &[0, 1, 0, 1]), "shape (2, 2, 1) is none of labels"),
        (b"PK\x03\x04".to_vec(), y(), "this is a .npz archive of several arrays"),
        (Vec::new(), y(), "x_train.npy: this is an empty file"),
        (x()[..30].to_vec(), y(), "damaged header: it ends too early"),
    ] {
        let message = pair(x_file, y_file).unwrap_err().to_string();
        assert!(message.contains(expected) && !message.contains('\n'), "{expected}: {message}");
    }
    // Where there is but one row of values, their order is the same.
    assert!(pair(x(), fortran("(2,)", 2)).unwrap_err().to_string().contains("all labels are 0"));
}

#[test]
fn pairs_that_do_not_fit_are_refused() {
    let x = || bytes("(2, 1, 2)", &[1, 2, 3, 4]);
    let y = || bytes("(2,)", &[0, 1]);
    let rows = || floats("(2, 1)", &[1., 2.]);
    let train = |x: Vec<u8>| vec![("x_train.npy", x), ("y_train.npy", y())];
    let with = |x_train: Vec<u8>, x: Vec<u8>, y: Vec<u8>| {
        let test = [("x_test.npy", x), ("y_test.npy", y)];
        train(x_train).into_iter().chain(test).collect::<Vec<_>>()
    };
    for (files, expected) in [
        (vec![], "numpy arrays not found: no x_train.npy in"),
        (vec![("x_train.npy", x())], "its labels are missing; save them beside it as y_train.npy"),
        ([train(x()), vec![("x_test.npy", x())]].concat(), "save them beside it as y_test.npy"),
        (
            with(x(), bytes("(2, 2, 1)", &[1, 2, 3, 4]), y()),
            "x_test.npy: holds pictures of 1x2 pixels in 1 channel, but the training set holds pictures of 2x1",
        ),
        (with(x(), rows(), y()), "holds rows of 1 numbers, but the training set holds pictures"),
        (with(rows(), rows(), y()), "a table takes no test set of its own"),
        (with(x(), x(), bytes("(2,)", &[0, 2])), "label 2 of sample 1 (counted from 0): the training labels go from 0"),
        (with(x(), x(), bytes("(2, 3)", &[1, 0, 0, 1, 0, 0])), "another number of columns than there are training"),
        (with(x(), x(), bytes("(1,)", &[0])), "1 labels for the 2 samples"),
    ] {
        let message = folder(&files).unwrap_err().to_string();
        assert!(message.contains(expected) && !message.contains('\n'), "{expected}: {message}");
    }
}

#[test]
fn a_file_has_its_labels_beside_it() {
    for (x, y) in [
        ("x.npy", "y.npy"),
        ("x_blobs.npy", "y_blobs.npy"),
        ("X2.npy", "y2.npy"),
        ("my_x.npy", "my_y.npy"),
        ("a_X.npy", "a_Y.npy"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(x), floats("(2, 1)", &[1., 2.])).unwrap();
        let message = load(x, dir.path()).unwrap_err().to_string();
        assert!(
            message.contains("its labels are missing; save them beside it as y") || message.contains("_y"),
            "{message}"
        );
        fs::write(dir.path().join(y), bytes("(2,)", &[0, 1])).unwrap();
        assert_eq!(load(x, dir.path()).unwrap().name(), x.strip_suffix(".npy").unwrap());
        assert_eq!(load(dir.path().join(x).to_str().unwrap(), Path::new("nowhere")).unwrap().len(), 2);
    }
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("data.npy"), floats("(2, 1)", &[1., 2.])).unwrap();
    let message = load("data.npy", dir.path()).unwrap_err().to_string();
    assert!(message.contains("call the files x_NAME.npy and y_NAME.npy"), "{message}");
    assert!(load("no.npy", dir.path()).unwrap_err().to_string().contains("data file not found; tried no.npy"));
    assert!(!holds_pairs(dir.path()).unwrap());
    fs::write(dir.path().join("X_Train.npy"), "").unwrap();
    assert!(holds_pairs(dir.path()).unwrap());
}
