//! Good tables, in every dress.

use super::*;

const IRIS: &str = include_str!("../../../datasets/iris.csv");

fn iris() -> Dataset {
    parse("iris.csv", IRIS.as_bytes(), None).unwrap()
}

#[test]
fn every_dress_gives_the_same_matrix() {
    let expected = iris();
    let each_cell = |edit: fn(&str) -> String| {
        IRIS.lines().map(|line| line.split(',').map(edit).collect::<Vec<_>>().join(",") + "\n").collect::<String>()
    };
    for (dress, text) in [
        ("byte order mark", format!("\u{feff}{IRIS}")),
        ("CRLF", IRIS.replace('\n', "\r\n")),
        ("CR", IRIS.replace('\n', "\r")),
        ("blank lines below", format!("{IRIS}\n\r\n  \n")),
        ("blank lines above and between", format!("\n \n{}", IRIS.replace('\n', "\n\n"))),
        ("no last line end", IRIS.trim_end().to_owned()),
        ("quotes", each_cell(|cell| format!("\"{cell}\""))),
        ("quotes and byte order mark", format!("\u{feff}{}", each_cell(|cell| format!("\"{cell}\"")))),
        ("spaces", each_cell(|cell| format!(" \t{cell}  "))),
        ("spaces and quotes", each_cell(|cell| format!(" \" {cell} \" "))),
        ("another writing of numbers", IRIS.replace("5.1,", "+51e-1,")),
    ] {
        assert_eq!(parse("iris.csv", text.as_bytes(), None).unwrap(), expected, "{dress}");
        let features = parse_features("iris.csv", text.as_bytes(), &expected.columns).unwrap();
        assert_eq!(features, expected.features, "{dress}");
    }
}

#[test]
fn reordered_columns_keep_the_files_order_and_map_by_name() {
    let reordered: String =
        IRIS.lines().map(|line| line.split(',').rev().collect::<Vec<_>>().join(",") + "\n").collect();
    let expected = iris();
    let data = parse("iris.csv", reordered.as_bytes(), None).unwrap();
    assert_eq!(data.columns, ["petal.width", "petal.length", "sepal.width", "sepal.length"]);
    assert_eq!(data.labels, expected.labels);
    assert_eq!(data.features.column(0), expected.features.column(3));
    assert_eq!(parse_features("iris.csv", reordered.as_bytes(), &expected.columns).unwrap(), expected.features);
}

#[test]
fn features_need_neither_label_nor_other_columns() {
    let columns = ["x", "y"].map(str::to_owned);
    let features = parse_features("t.csv", b"y,note,x\n2,,1\n4,\"a, b\",3\n", &columns).unwrap();
    assert_eq!(features, ndarray::array![[1., 2.], [3., 4.]]);
}

#[test]
fn the_label_column_is_chosen_and_classes_are_sorted() {
    for (text, label, column, classes) in [
        ("x,label\n1,b\n2,a\n3,b\n", None, "label", &["a", "b"][..]),
        ("class,variety\n1,b\n2,a\n", None, "variety", &["a", "b"]),
        ("Id,Species\n1,b\n2,a\n", None, "Species", &["a", "b"]),
        ("x,label\n1,b\n2,c\n", Some("label"), "label", &["b", "c"]),
        ("label,kind\n1,b\n2,a\n", Some("kind"), "kind", &["a", "b"]),
        ("x,target\n1,10\n2,9\n3,-1\n", None, "target", &["-1", "9", "10"]),
        ("x,target\n1,10\n2,9\n3,a\n", None, "target", &["10", "9", "a"]),
        ("x,target\n1,1\n2,01\n", None, "target", &["01", "1"]),
        ("0,1,label\n1,2,a\n1,2,b\n", None, "label", &["a", "b"]),
        ("x,label\n1,ä\n2,Z\n3,z\n", None, "label", &["Z", "z", "ä"]),
    ] {
        let data = parse("t.csv", text.as_bytes(), label).unwrap();
        assert_eq!(
            (data.label_column.as_str(), data.classes.as_slice()),
            (column, &classes.iter().map(|c| c.to_string()).collect::<Vec<_>>()[..]),
            "{text}"
        );
    }
    let data = parse("t.csv", b"x,target\n1,10\n2,9\n3,10\n", None).unwrap();
    assert_eq!(data.labels, [1, 0, 1]);
}
