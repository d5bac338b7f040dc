//! Mistakes in CSV files, and in what is asked of them.

use super::{Case, case};
use crate::run::{Launch, Run};
use std::process::Command;

const IRIS: &str = include_str!("../../../datasets/iris.csv");
const THREADS: Launch = Launch::Threads(3);
const MPI: Launch = Launch::Mpi(3);

/// Iris with one cell of line 78 written anew; cells count from 1.
fn cell(number: usize, text: &str) -> String {
    let edit = |line: &str| {
        let mut cells: Vec<&str> = line.split(',').collect();
        cells[number - 1] = text;
        cells.join(",")
    };
    let lines = IRIS.lines().enumerate();
    lines.map(|(index, line)| if index == 77 { edit(line) } else { line.to_owned() } + "\n").collect()
}

fn header(header: &str) -> String {
    let rows = IRIS.split_once('\n').expect("iris has a header").1;
    format!("{header}\n{rows}")
}

/// Trains on `t.csv` with these bytes.
fn table(name: &str, bytes: impl AsRef<[u8]>, parts: &[&str]) -> Case {
    case(&format!("table: {name}"), Run::new("--dataset t.csv").file("t.csv", bytes), 4, parts)
}

pub(super) fn cases() -> Vec<Case> {
    let mut cases = cells();
    cases.extend(files());
    cases.extend(requests());
    cases
}

#[rustfmt::skip]
fn cells() -> Vec<Case> {
    vec![
        table("NaN", cell(3, "NaN"), &["t.csv:78:3", "not a finite number", "petal.length", "remove the line"]),
        table("NaN", cell(3, "NaN"), &["t.csv:78:3", "not a finite number"]).on(THREADS),
        table("NaN", cell(3, "NaN"), &["t.csv:78:3", "not a finite number"]).on(MPI),
        table("inf", cell(1, "-inf"), &["t.csv:78:1", "not a finite number"]),
        table("1e400", cell(4, "1e400"), &["t.csv:78:4", "not a finite number", "3.4e38"]),
        table("text", cell(2, "wide"), &["t.csv:78:2", "not a number", "correct the cell"]),
        table("empty cell", cell(3, ""), &["t.csv:78:3", "empty cell", "fill it in"]),
        table("empty label", cell(5, ""), &["t.csv:78:5", "empty cell"]),
        table("missing cell", IRIS.replacen(",Setosa", "", 1), &["t.csv:2:5", "4 of 5 cells"]),
        table("extra cell", IRIS.replacen(",Setosa", ",1,Setosa", 1), &["t.csv:2:6", "6 cells", "remove"]),
        table("unclosed quote", cell(2, "\"3.1"), &["t.csv:78:2", "quote", "close or remove it"]),
        table("escape codes", cell(2, "\u{1b}[31mred"), &["t.csv:78:2", "not a number"]),
    ]
}

#[rustfmt::skip]
fn files() -> Vec<Case> {
    let utf16: Vec<u8> = format!("\u{feff}{IRIS}").encode_utf16().flat_map(u16::to_le_bytes).collect();
    let pipe = Run::new("--dataset p.csv").prepare(|work| {
        assert!(Command::new("mkfifo").arg(work.join("p.csv")).status().is_ok_and(|status| status.success()));
    });
    vec![
        table("duplicate column", header("a,b,a,c,label"), &["t.csv:1:3", "duplicate column", "rename"]),
        table("no label column", header("a,b,c,d,e"), &["t.csv:1:1", "no label column", "--label"]),
        table("column without a name", header("a,,c,d,label"), &["t.csv:1:2", "no name"]),
        table("no header", IRIS.split_once('\n').unwrap().1, &["t.csv:1:1", "not column names", "add a header"]),
        table("only one class", "x,label\n1,a\n2,a\n3,a\n", &["t.csv:4:2", "only one class", "at least two"]),
        table("only one class", "x,label\n1,a\n2,a\n3,a\n", &["t.csv:4:2", "only one class"]).on(MPI),
        table("semicolons", IRIS.replace(',', ";"), &["t.csv:1:1", "';'", "sed"]),
        table("UTF-16", utf16, &["t.csv:1:1", "UTF-16", "iconv"]),
        table("Latin 1", [b"x,label\n1,caf\xe9\n", IRIS.as_bytes()].concat(), &["t.csv:2:2", "0xe9", "iconv"]),
        table("zero byte", cell(2, "3\0"), &["t.csv:78:2", "NUL"]),
        table("gzip", b"\x1f\x8b\x08\0\0\0", &["t.csv:1:1", "gzip"]),
        table("header only", "x,label\n", &["t.csv:1:1", "no rows", "add data"]),
        table("header only", "x,label\n", &["t.csv:1:1", "no rows"]).on(THREADS),
        table("empty file", "", &["t.csv:1:1", "empty", "header"]),
        case("table: missing", Run::new("--dataset no.csv"), 4, &["not found", "tried no.csv", "--data-dir"]),
        case("table: missing", Run::new("--dataset no.csv"), 4, &["not found", "tried no.csv"]).on(THREADS),
        case("table: missing", Run::new("--dataset no.csv"), 4, &["not found", "tried no.csv"]).on(MPI),
        case("table: a directory", Run::new("--dataset d.csv").file("d.csv/x", ""), 4, &["d.csv", "is a directory"]),
        case("table: a pipe nobody writes to", pipe, 4, &["p.csv", "pipe", "regular file"]),
        case("table: its own iris.csv is broken", Run::new("--data-dir .").file("iris.csv", cell(1, "x")), 4, &["iris.csv:78:1", "not a number"]),
        case("table: dimensions contradict it", Run::new("--dataset t.csv --set inputdataDims=7").file("t.csv", IRIS), 2, &["--set", "inputdataDims = 7", "has 4"]),
    ]
}

#[rustfmt::skip]
fn requests() -> Vec<Case> {
    let ask = |args: &str, code, parts: &[&str]| {
        case(&format!("asked of iris: {args}"), Run::new(args), code, parts)
    };
    vec![
        ask("--label colour", 4, &["iris.csv:1:1", "unknown label column \"colour\"", "\"variety\"", "--label"]),
        ask("--label varity", 4, &["did you mean \"variety\"?"]),
        ask("--label colour", 4, &["unknown label column \"colour\""]).on(MPI),
        ask("--folds 151", 2, &["--folds: folds = 151", "150 rows", "up to 150"]),
        ask("--folds 151", 2, &["--folds: folds = 151", "150 rows", "up to 150"]).on(THREADS),
    ]
}
