//! Bad tables: each is reported at its place, with why and cure, in one line.

use super::{parse, parse_features};

const IRIS: &str = include_str!("../../../datasets/iris.csv");

/// Iris with one line (counted from 1) written anew.
fn with_line(number: usize, edit: impl Fn(&str) -> String) -> Vec<u8> {
    let lines =
        IRIS.lines().enumerate().map(|(index, line)| if index + 1 == number { edit(line) } else { line.to_owned() });
    lines.map(|line| line + "\n").collect::<String>().into_bytes()
}

/// Iris with one cell of line 78 written anew.
fn with_cell(cell: usize, text: &str) -> Vec<u8> {
    with_line(78, |line| {
        let mut cells: Vec<&str> = line.split(',').collect();
        cells[cell - 1] = text;
        cells.join(",")
    })
}

fn utf16(text: &str, mark: bool) -> Vec<u8> {
    let mark = mark.then_some(0xfeff);
    mark.into_iter().chain(text.encode_utf16()).flat_map(u16::to_le_bytes).collect()
}

/// What is wrong, the file, `--label`, where it must be reported, and words of why and cure.
type Case<'a> = (&'a str, Vec<u8>, Option<&'a str>, &'a str, &'a [&'a str]);

fn check(cases: Vec<Case>) {
    for (what, bytes, label, place, words) in cases {
        let message = parse("iris.csv", &bytes, label).expect_err(what).to_string();
        assert!(message.starts_with(&format!("iris.csv:{place}: ")), "{what}: {message}");
        assert!(!message.contains(['\n', '\r', '\0']), "{what}: {message}");
        assert!(message.len() < 700, "{what}: {message}");
        for word in words {
            assert!(message.contains(word), "{what}: no {word:?} in: {message}");
        }
    }
}

#[test]
fn bad_cells_are_placed_and_explained() {
    let long = "9x".repeat(1000);
    #[rustfmt::skip]
    let cases: Vec<Case> = vec![
        ("NaN", with_cell(3, "NaN"), None, "78:3", &["not a finite number: \"NaN\"", "\"petal.length\"", "remove the line"]),
        ("inf", with_cell(1, "-inf"), None, "78:1", &["not a finite number: \"-inf\""]),
        ("beyond 64 bits", with_cell(4, "1e400"), None, "78:4", &["not a finite number: \"1e400\"", "3.4e38"]),
        ("beyond 32 bits", with_cell(2, "1e39"), None, "78:2", &["not a finite number: \"1e39\""]),
        ("text", with_cell(2, "wide"), None, "78:2", &["not a number: \"wide\"", "correct the cell"]),
        ("long text", with_cell(2, &long), None, "78:2", &["\"9x9x9x9x9x9x9x9x9x9x9x9x9x9x9x9x…\""]),
        ("decimal comma", with_cell(2, "\"3,1\""), None, "78:2", &["not a number: \"3,1\""]),
        ("line break to be escaped", with_cell(2, "a\u{85}b"), None, "78:2", &["\"a\\u{85}b\""]),
        ("empty cell", with_cell(3, ""), None, "78:3", &["empty cell in column \"petal.length\"", "fill it in"]),
        ("blank cell", with_cell(3, "  "), None, "78:3", &["empty cell"]),
        ("quoted empty cell", with_cell(3, "\"\""), None, "78:3", &["empty cell"]),
        ("empty label", with_cell(5, ""), None, "78:5", &["empty cell in column \"variety\""]),
        ("missing cell", with_line(78, |_| "6.8,2.8,4.8,1.4".into()), None, "78:5", &["ends after 4 of 5 cells"]),
        ("one cell", with_line(78, |_| "6.8".into()), None, "78:2", &["ends after 1 of 5 cells"]),
        ("extra cell", with_line(78, |line| format!("{line},7")), None, "78:6", &["6 cells, the header 5", "remove"]),
        ("unclosed quote", with_cell(2, "\"3.1"), None, "78:2", &["quote", "not closed on the line", "close or remove it"]),
        ("stray quote closed later", with_line(78, |line| format!("\"{line}")), None, "78:1", &["not closed"]),
        ("NUL", with_cell(2, "3\0"), None, "78:2", &["NUL byte", "tr -d '\\000'"]),
        ("Latin 1", [&with_cell(5, "x")[..], b"1,2,3,4,caf\xe9\n"].concat(), None, "152:5", &["byte 0xe9", "iconv -f WINDOWS-1252"]),
        ("a row with ;", with_line(78, |line| line.replace(',', ";")), None, "78:2", &["separated by ';'"]),
    ];
    check(cases);
}

#[test]
fn bad_files_are_placed_and_explained() {
    let header = |header: &'static str| with_line(1, |_| header.to_owned());
    const COLUMNS: &str = "\"sepal.length\", \"sepal.width\", \"petal.length\", \"petal.width\", \"variety\"";
    let uci = IRIS.split_once('\n').unwrap().1.replace("Set", "Iris-set");
    #[rustfmt::skip]
    let cases: Vec<Case> = vec![
        ("no bytes", b"".to_vec(), None, "1:1", &["the file is empty", "header line"]),
        ("blank lines only", b"\xef\xbb\xbf\r\n \n".to_vec(), None, "2:1", &["the file is empty"]),
        ("header only", header("x,label")[..8].to_vec(), None, "1:1", &["no rows below the header", "add data"]),
        ("one class", b"x,label\n1,a\n2,a\n".to_vec(), None, "3:2", &["only one class, \"a\", in all 2 rows", "--label"]),
        ("unknown label", IRIS.into(), Some("varity"), "1:1", &["unknown label column \"varity\"; did you mean \"variety\"?", COLUMNS]),
        ("far label", IRIS.into(), Some("colour"), "1:1", &["unknown label column \"colour\"; the columns are", COLUMNS]),
        ("no label", header("a,b,c,d,e"), None, "1:1", &["no label column among \"a\", \"b\"", "--label NAME"]),
        ("label alone", b"label\na\nb\n".to_vec(), None, "1:1", &["only column", "add at least one"]),
        ("duplicate", header("a,b,a,c,label"), None, "1:3", &["duplicate column \"a\", already in cell 1", "rename"]),
        ("duplicate label", header("a,b,c,label,label"), None, "1:5", &["duplicate column \"label\", already in cell 4"]),
        ("no name", header("a,,c,d,label"), None, "1:2", &["no name", "name it"]),
        ("row numbers", b",x,label\n0,1,a\n1,2,b\n".to_vec(), None, "1:1", &["no name", "a row number?"]),
        ("semicolons", IRIS.replace(',', ";").into(), None, "1:1", &["separated by ';'", "sed 's/,/./g; s/;/,/g' FILE > NEW.csv"]),
        ("decimal commas", b"x;label\n1,5;a\n2,5;b\n".to_vec(), None, "1:1", &["separated by ';'"]),
        ("tabs", IRIS.replace(',', "\t").into(), None, "1:1", &["separated by tabs", "s/\\t/,/g"]),
        ("bars below blank lines", b"\r\n\r\nx|label\r\n".to_vec(), None, "3:1", &["separated by '|'"]),
        ("UTF-16", utf16(IRIS, true), None, "1:1", &["UTF-16", "iconv -f UTF-16 -t UTF-8"]),
        ("UTF-16 without mark", utf16(IRIS, false), None, "1:1", &["UTF-16"]),
        ("UTF-16, big end first", b"\xfe\xff\0x\0,\0y".to_vec(), None, "1:1", &["UTF-16"]),
        ("gzip", b"\x1f\x8b\x08\0\0".to_vec(), None, "1:1", &["a gzip file", "gunzip"]),
        ("spreadsheet", b"PK\x03\x04\x14\0".to_vec(), None, "1:1", &["spreadsheet", "save the sheet as CSV"]),
        ("unclosed quote in the header", header("\"a,b,c,d,label"), None, "1:1", &["not closed on the line"]),
        ("UCI's file", uci.into(), None, "1:1", &["not column names", "for example: sepal.length,sepal.width,petal.length,petal.width,variety"]),
        ("label first, no header", b"a,1,2\nb,3,4\n".to_vec(), Some("kind"), "1:1", &["for example: kind,x2,x3"]),
        ("all numbers", b"1,2,0\n3,4,1\n".to_vec(), None, "1:1", &["for example: x1,x2,label"]),
        ("one line of 10 MB", vec![b'1'; 10_000_000], None, "1:1", &["10000000 bytes, more than 8388608"]),
        ("long line below", [b"x,label\r\n", &vec![b'1'; 9_000_000][..]].concat(), None, "2:1", &["9000000 bytes"]),
    ];
    check(cases);
}

#[test]
fn lines_are_counted_with_any_line_end_and_blank_lines() {
    let text = String::from_utf8(with_cell(3, "NaN")).unwrap();
    for (what, text, place) in [
        ("CRLF", text.replace('\n', "\r\n"), "78:3"),
        ("CR", text.replace('\n', "\r"), "78:3"),
        ("two lines above", format!("\u{feff}\r\n \r\n{text}"), "80:3"),
        ("blank lines between", text.replace('\n', "\r\n\r\n"), "155:3"),
        ("quotes", text.replace(",3.0,", ",\"3.0\","), "78:3"),
    ] {
        let message = parse("iris.csv", text.as_bytes(), None).expect_err(what).to_string();
        assert!(message.starts_with(&format!("iris.csv:{place}: not a finite")), "{what}: {message}");
    }
}

#[test]
fn many_columns_make_no_long_message() {
    let names = (0..1000).map(|index| format!("column{index}")).collect::<Vec<_>>();
    let message = parse("wide.csv", (names.join(",") + "\n").as_bytes(), None).unwrap_err().to_string();
    assert!(message.contains("… (1000 in all)") && message.len() < 500, "{message}");
    let row = vec!["1.5"; 1000].join(",");
    let message = parse("wide.csv", row.as_bytes(), None).unwrap_err().to_string();
    assert!(message.contains("… (1000 names)") && message.len() < 500, "{message}");
}

#[test]
fn features_that_a_model_lacks_are_named() {
    let columns = ["x", "petal.width"].map(str::to_owned);
    for (text, expected) in [
        (
            "x,label\n1,a\n",
            "t.csv:1:1: column \"petal.width\", which the model needs, is missing; the columns are \"x\", \"label\"",
        ),
        ("x,petal.widht\n1,a\n", "is missing; did you mean \"petal.widht\"?"),
        (
            "1,2\n3,4\n",
            "t.csv:1:1: the first line holds numbers, not column names; add a header line on top, for example: x,petal.width",
        ),
        ("x,petal.width,x\n1,2,3\n", "t.csv:1:3: duplicate column \"x\""),
        ("x,petal.width\n", "t.csv:1:1: no rows below the header"),
        ("petal.width,label,x\n1,a,2\n1,a,nan\n", "t.csv:3:3: not a finite number: \"nan\" in column \"x\""),
        ("x;petal.width\n1;2\n", "t.csv:1:1: cells are separated by ';'"),
    ] {
        let message = parse_features("t.csv", text.as_bytes(), &columns).expect_err(text).to_string();
        assert!(message.contains(expected), "{message}");
    }
}

proptest::proptest! {
    /// No input may panic, and every error is one line.
    #[test]
    fn no_bytes_cause_a_panic(bytes in proptest::collection::vec(proptest::sample::select(&b"1.e,;\"\n\r a\0\xff\xc3"[..]), 0..80)) {
        for bytes in [bytes.clone(), [b"x,label\n", &bytes[..]].concat()] {
            if let Err(error) = parse("t.csv", &bytes, None) {
                proptest::prop_assert!(!error.to_string().contains('\n'), "{error}");
            }
        }
    }
}
