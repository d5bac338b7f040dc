//! What can be wrong in a CSV file: why, and the cure. The place is said by [`DataError::Csv`](super::super::DataError::Csv).

use super::super::error::did_you_mean;

/// A fault at one place of a CSV file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CsvFault {
    /// Zero bytes, or blank lines only.
    #[error("the file is empty; a header line with column names and at least two rows are needed")]
    EmptyFile,
    /// A compressed or binary format that is often named .csv by mistake.
    #[error("this is {what}, not text; {cure}")]
    Packed {
        /// The format.
        what: &'static str,
        /// How to unpack it.
        cure: &'static str,
    },
    /// Two bytes a character, as spreadsheets save "Unicode text".
    #[error("the text is UTF-16, UTF-8 is needed; convert it: iconv -f UTF-16 -t UTF-8 FILE > NEW.csv")]
    Utf16,
    /// A zero byte.
    #[error("NUL byte: the file is damaged or no text; copy it again, or remove them: tr -d '\\000' < FILE > NEW.csv")]
    Nul,
    /// Another encoding, or a damaged file.
    #[error("byte 0x{byte:02x} is not UTF-8 text; convert the file: iconv -f WINDOWS-1252 -t UTF-8 FILE > NEW.csv")]
    NotUtf8 {
        /// The first byte that does not fit.
        byte: u8,
    },
    /// Most likely no table at all.
    #[error("the line has {bytes} bytes, more than {limit}; check that this is a table with one line a row")]
    LongLine {
        /// Its length.
        bytes: usize,
        /// The longest that is read.
        limit: usize,
    },
    /// A cell that starts with a quote and has no closing one on its line.
    #[error("a quote is opened in this cell and not closed on the line; close or remove it (a cell cannot span lines)")]
    UnclosedQuote,
    /// Another separator than the comma.
    #[error(
        "cells are separated by {name}, commas are needed; convert it: sed 's/,/./g; s/{pattern}/,/g' FILE > NEW.csv"
    )]
    Separator {
        /// What separates the cells, for the reader.
        name: &'static str,
        /// The same, for sed.
        pattern: &'static str,
    },
    /// The first line holds data.
    #[error("the first line holds numbers, not column names; add a header line on top, for example: {example}")]
    NoHeader {
        /// A header that fits.
        example: String,
    },
    /// An empty name in the header.
    #[error(
        "this column has no name; name it in the header, or remove the column (a comma too many, or a row number?)"
    )]
    UnnamedColumn,
    /// Two columns of one name.
    #[error("duplicate column {name:?}, already in cell {first}; rename or remove one of them")]
    DuplicateColumn {
        /// The name.
        name: String,
        /// The cell of its first appearance.
        first: usize,
    },
    /// No column has one of the usual names of a label.
    #[error("no label column among {columns}; say which one it is with --label NAME")]
    NoLabelColumn {
        /// The columns there are.
        columns: String,
    },
    /// The column asked for is not there.
    #[error(
        "unknown label column {name:?}{}; the columns are {columns}; choose one with --label NAME",
        did_you_mean(nearest)
    )]
    UnknownLabelColumn {
        /// The name asked for.
        name: String,
        /// The column that comes nearest.
        nearest: Option<String>,
        /// The columns there are.
        columns: String,
    },
    /// Nothing to learn from.
    #[error("the label {label:?} is the only column; add at least one numeric column")]
    NoFeatures {
        /// The label column.
        label: String,
    },
    /// A column that the model needs is not there.
    #[error(
        "column {name:?}, which the model needs, is missing{}; the columns are {columns}; add or rename it",
        did_you_mean(nearest)
    )]
    MissingColumn {
        /// The column's name.
        name: String,
        /// The column that comes nearest.
        nearest: Option<String>,
        /// The columns there are.
        columns: String,
    },
    /// A header and nothing else.
    #[error("no rows below the header; add data, one line a row")]
    NoRows,
    /// A row that is too short.
    #[error("the row ends after {found} of {expected} cells; add the missing ones, or remove the line")]
    MissingCells {
        /// Cells in the row.
        found: usize,
        /// Cells in the header.
        expected: usize,
    },
    /// A row that is too long.
    #[error(
        "the row has {found} cells, the header {expected}; remove the extra ones (a decimal comma, an unquoted comma?)"
    )]
    ExtraCells {
        /// Cells in the row.
        found: usize,
        /// Cells in the header.
        expected: usize,
    },
    /// Nothing, or only spaces.
    #[error("empty cell in column {column:?}; fill it in, or remove the line")]
    EmptyCell {
        /// The column's name.
        column: String,
    },
    /// Text in a column of numbers.
    #[error(
        "not a number: {text:?} in column {column:?}; every column but the label must be numeric: correct the cell, \
         remove the line or the column, or choose the label with --label NAME"
    )]
    NotANumber {
        /// The cell, shortened.
        text: String,
        /// The column's name.
        column: String,
    },
    /// NaN, an infinity, or beyond the range of a 32-bit float.
    #[error(
        "not a finite number: {text:?} in column {column:?}; write a number of size below 3.4e38, or remove the line"
    )]
    NotFinite {
        /// The cell, shortened.
        text: String,
        /// The column's name.
        column: String,
    },
    /// Nothing to tell apart.
    #[error(
        "only one class, {class:?}, in all {rows} rows of column {column:?}; at least two are needed: add rows, or choose \
         another label with --label NAME"
    )]
    OneClass {
        /// The class.
        class: String,
        /// Number of rows.
        rows: usize,
        /// The label column.
        column: String,
    },
    /// The CSV reader refused for another reason.
    #[error("cannot be read as CSV: {why}; correct the line")]
    Unreadable {
        /// What the reader said.
        why: String,
    },
}
