//! Header and rows of a CSV file, each cell with its place.

use super::super::DataError;
use super::text::{decode, line_ends};
use super::{CsvFault, fault_at};
use ::csv::{Reader, ReaderBuilder, StringRecord};

/// Separators that are common and not the comma: the character, its name, sed's name for it.
const OTHER_SEPARATORS: [(char, &str, &str); 3] = [(';', "';'", ";"), ('\t', "tabs", "\\t"), ('|', "'|'", "|")];

/// A CSV file at one of its rows; the header has been read.
pub(super) struct Table<'a> {
    file: &'a str,
    /// The column names, in the file's order.
    pub(super) names: Vec<String>,
    /// The line the header is on: blank lines may stand above it.
    header_line: u64,
    records: Records<'a>,
    /// The row that was read last, and its line.
    record: StringRecord,
    line: u64,
}

impl<'a> Table<'a> {
    /// Checks the text and reads the header.
    pub(super) fn open(file: &'a str, bytes: &'a [u8]) -> Result<Self, DataError> {
        let text = decode(file, bytes)?.as_bytes();
        // Rows of the wrong length are reported here, with their place and cure, not by the reader.
        let reader = ReaderBuilder::new().has_headers(false).flexible(true).from_reader(text);
        let records = Records { text, reader, counted: 0, line: 1 };
        let (names, header_line) = (Vec::new(), 1);
        let mut table = Self { file, names, header_line, records, record: StringRecord::new(), line: 1 };
        if !table.advance()? {
            return Err(table.fault(0, CsvFault::EmptyFile));
        }
        table.header_line = table.line;
        if let Some(fault) = other_separator(&table.record) {
            return Err(table.fault(0, fault));
        }
        table.names = table.record.iter().map(|cell| trimmed(cell).to_owned()).collect();
        Ok(table)
    }

    /// Refuses names that are empty or appear twice. Apart from `open`: a first line without names has a clearer fault.
    pub(super) fn check_names(&self) -> Result<(), DataError> {
        let mut seen = std::collections::HashMap::new();
        for (index, name) in self.names.iter().enumerate() {
            if name.is_empty() {
                return Err(self.fault(index, CsvFault::UnnamedColumn));
            }
            if let Some(first) = seen.insert(name, index) {
                let fault = CsvFault::DuplicateColumn { name: name.clone(), first: first + 1 };
                return Err(self.fault(index, fault));
            }
        }
        Ok(())
    }

    /// The fault that the first line holds data, if it does: every cell, or every cell but one, is a number.
    pub(super) fn no_header(&self, example: impl FnOnce(&[String]) -> String) -> Option<DataError> {
        let numbers = self.names.iter().filter(|name| name.parse::<f64>().is_ok()).count();
        let is_data = numbers > 0 && numbers + 1 >= self.names.len();
        is_data.then(|| self.header_fault(CsvFault::NoHeader { example: example(&self.names) }))
    }

    /// Reads the next row and checks the number of its cells; false at the end of the file.
    pub(super) fn next_row(&mut self) -> Result<bool, DataError> {
        if !self.advance()? {
            return Ok(false);
        }
        let (found, expected) = (self.record.len(), self.names.len());
        if found == expected {
            return Ok(true);
        }
        let fault = match other_separator(&self.record) {
            Some(fault) => fault,
            None if found < expected => CsvFault::MissingCells { found, expected },
            None => CsvFault::ExtraCells { found, expected },
        };
        Err(self.fault(found.min(expected), fault))
    }

    /// The text of a cell of this row, without the spaces around it.
    pub(super) fn text(&self, index: usize) -> Result<&str, DataError> {
        let text = trimmed(&self.record[index]);
        if text.is_empty() {
            let column = self.names[index].clone();
            return Err(self.fault(index, CsvFault::EmptyCell { column }));
        }
        Ok(text)
    }

    /// The number in a cell of this row.
    ///
    /// Rust's parser accepts "NaN" and reads "1e400" as infinity, and 1e39 becomes infinite only as a 32-bit float:
    /// whether the number is finite is asked after both conversions.
    pub(super) fn number(&self, index: usize) -> Result<f32, DataError> {
        let text = self.text(index)?;
        match text.parse::<f64>() {
            Ok(number) if (number as f32).is_finite() => Ok(number as f32),
            outcome => {
                let (text, column) = (shortened(text), self.names[index].clone());
                let fault = match outcome {
                    Ok(_) => CsvFault::NotFinite { text, column },
                    Err(_) => CsvFault::NotANumber { text, column },
                };
                Err(self.fault(index, fault))
            }
        }
    }

    /// A fault in a cell of this row.
    pub(super) fn fault(&self, index: usize, fault: CsvFault) -> DataError {
        fault_at(self.file, self.line, index + 1, fault)
    }

    /// A fault of the header as a whole.
    pub(super) fn header_fault(&self, fault: CsvFault) -> DataError {
        fault_at(self.file, self.header_line, 1, fault)
    }

    /// Reads the next record that is no blank line.
    fn advance(&mut self) -> Result<bool, DataError> {
        loop {
            match self.records.next(&mut self.record) {
                Ok(None) => return Ok(false),
                Ok(Some(line)) => self.line = line,
                Err(error) => {
                    return Err(self.fault(0, CsvFault::Unreadable { why: error.to_string() }));
                }
            }
            let blank = self.record.len() == 1 && trimmed(&self.record[0]).is_empty();
            if !blank {
                return Ok(true);
            }
        }
    }
}

/// The records of a text and the lines they begin on.
///
/// Why not the reader's own line numbers: they count LF only, and stand before the blank lines that it skips.
struct Records<'a> {
    text: &'a [u8],
    reader: Reader<&'a [u8]>,
    /// How far lines have been counted, and the line there.
    counted: usize,
    line: u64,
}

impl Records<'_> {
    /// Reads one record and says its line.
    fn next(&mut self, record: &mut StringRecord) -> Result<Option<u64>, ::csv::Error> {
        if !self.reader.read_record(record)? {
            return Ok(None);
        }
        let from = record.position().map_or(0, |position| position.byte() as usize);
        let skipped = self.text[from..].iter().take_while(|byte| matches!(byte, b'\n' | b'\r')).count();
        let start = from + skipped;
        self.line += line_ends(&self.text[self.counted..start], self.text.get(start).copied());
        self.counted = start;
        Ok(Some(self.line))
    }
}

/// A cell without the spaces around it, and without quotes that spaces kept the reader from seeing.
fn trimmed(cell: &str) -> &str {
    let cell = cell.trim();
    let inside = cell.strip_prefix('"').and_then(|cell| cell.strip_suffix('"'));
    inside.map_or(cell, str::trim)
}

/// A cell as it is quoted in a message.
fn shortened(text: &str) -> String {
    const LENGTH: usize = 32;
    if text.chars().count() <= LENGTH {
        return text.to_owned();
    }
    text.chars().take(LENGTH).chain(['…']).collect()
}

/// The separator that makes one cell of what should be several.
fn other_separator(record: &StringRecord) -> Option<CsvFault> {
    // With decimal commas a row of a ';' table has several cells, so the header is what tells; it has no such commas.
    let all = record.len() == 1 || record.iter().all(|cell| cell.contains(';'));
    let (_, name, pattern) = OTHER_SEPARATORS.into_iter().find(|separator| record[0].contains(separator.0))?;
    all.then_some(CsvFault::Separator { name, pattern })
}
