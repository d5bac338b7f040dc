//! From bytes to text that the CSV reader can be trusted with.
//!
//! Why before reading: the reader takes everything after an unclosed quote as one cell, and cells of binary files as
//! text; both would be reported at the wrong place, or not at all.

use super::super::DataError;
use super::{CsvFault, fault_at};

/// The longest line in bytes: a hundred times a wide table's, and far below what a file without line breaks has.
pub(super) const LINE_LIMIT: usize = 8 << 20;

/// Formats that are often named .csv: first bytes, what it is, cure.
const PACKED: [(&[u8], &str, &str); 4] = [
    (b"\x1f\x8b", "a gzip file", "unpack it: gunzip < FILE > NEW.csv"),
    (b"PK\x03\x04", "a zip file or a spreadsheet", "unpack it, or save the sheet as CSV (comma, UTF-8)"),
    (b"\x28\xb5\x2f\xfd", "a zstd file", "unpack it: zstd -d FILE"),
    (b"PAR1", "a Parquet file", "convert it to CSV"),
];

/// The file as UTF-8 text without byte order mark, every quote closed on its line.
pub(super) fn decode<'a>(file: &str, bytes: &'a [u8]) -> Result<&'a str, DataError> {
    if let Some(&(_, what, cure)) = PACKED.iter().find(|packed| bytes.starts_with(packed.0)) {
        return Err(fault_at(file, 1, 1, CsvFault::Packed { what, cure }));
    }
    if is_utf16(bytes) {
        return Err(fault_at(file, 1, 1, CsvFault::Utf16));
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    if let Some(offset) = bytes.iter().position(|&byte| byte == 0) {
        let (line, cell) = place(bytes, offset);
        return Err(fault_at(file, line, cell, CsvFault::Nul));
    }
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let offset = error.valid_up_to();
        let (line, cell) = place(bytes, offset);
        fault_at(file, line, cell, CsvFault::NotUtf8 { byte: bytes[offset] })
    })?;
    for (index, line) in lines(text).enumerate() {
        let number = index as u64 + 1;
        if line.len() > LINE_LIMIT {
            let fault = CsvFault::LongLine { bytes: line.len(), limit: LINE_LIMIT };
            return Err(fault_at(file, number, 1, fault));
        }
        if let Some(cell) = unclosed_quote(line) {
            return Err(fault_at(file, number, cell, CsvFault::UnclosedQuote));
        }
    }
    Ok(text)
}

/// A byte order mark says so; without one, ASCII in UTF-16 has a zero in every second byte.
fn is_utf16(bytes: &[u8]) -> bool {
    let head = &bytes[..bytes.len().min(4096)];
    let zeros = head.iter().filter(|&&byte| byte == 0).count();
    bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") || (head.len() >= 8 && 4 * zeros >= head.len())
}

/// The lines, whether they end with LF, CRLF or CR; an empty piece after the last end is a line too.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        let Some(end) = text.find(['\n', '\r']) else {
            rest = None;
            return Some(text);
        };
        let after = if text[end..].starts_with("\r\n") { end + 2 } else { end + 1 };
        rest = Some(&text[after..]);
        Some(&text[..end])
    })
}

/// How many lines end in these bytes. `next` is the byte after them, to count a CRLF once.
pub(super) fn line_ends(bytes: &[u8], next: Option<u8>) -> u64 {
    let following = |index: usize| bytes.get(index + 1).copied().or(next);
    let ends = |index: &usize| bytes[*index] == b'\n' || (bytes[*index] == b'\r' && following(*index) != Some(b'\n'));
    (0..bytes.len()).filter(ends).count() as u64
}

/// Line and cell of an offset, quotes not considered.
fn place(bytes: &[u8], offset: usize) -> (u64, usize) {
    let before = &bytes[..offset];
    let start = before.iter().rposition(|byte| matches!(byte, b'\n' | b'\r')).map_or(0, |end| end + 1);
    let commas = before[start..].iter().filter(|&&byte| byte == b',').count();
    (1 + line_ends(before, bytes.get(offset).copied()), 1 + commas)
}

/// The cell whose quote is still open at the end of the line, by the CSV reader's own rules: a quote opens at the start
/// of a cell only, and a doubled one stands for itself.
fn unclosed_quote(line: &str) -> Option<usize> {
    if !line.contains('"') {
        return None;
    }
    let (mut cell, mut at_start, mut quoted) = (1, true, false);
    let mut bytes = line.bytes().peekable();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' if quoted => {
                // A doubled quote stays inside; a single one closes.
                quoted = bytes.next_if_eq(&b'"').is_some();
            }
            b'"' if at_start => quoted = true,
            b',' if !quoted => {
                cell += 1;
                at_start = true;
                continue;
            }
            _ => {}
        }
        at_start = false;
    }
    quoted.then_some(cell)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_in_three_ways() {
        assert_eq!(lines("a\nb\r\nc\rd").collect::<Vec<_>>(), ["a", "b", "c", "d"]);
        assert_eq!(lines("a\n\r\n").collect::<Vec<_>>(), ["a", "", ""]);
        for (bytes, next, expected) in
            [(&b"a\nb\r\nc\rd"[..], None, 3), (b"a\r", Some(b'\n'), 0), (b"a\r", Some(b'x'), 1)]
        {
            assert_eq!(line_ends(bytes, next), expected);
        }
    }

    #[test]
    fn a_quote_that_stays_open_is_found() {
        for (line, expected) in [
            ("1,2", None),
            ("\"1\",2", None),
            ("\"a \"\"b\"\"\",2", None),
            ("5\"11,2", None),
            ("\"a,b\",c", None),
            ("1,\"2,3", Some(2)),
            ("\"a\"\"", Some(1)),
            ("\"a,b\",\"", Some(2)),
        ] {
            assert_eq!(unclosed_quote(line), expected, "{line}");
        }
    }
}
