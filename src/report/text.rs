//! Words and numbers for people: aligned tables, short figures, commands to paste.

use crate::run::error::one_line;

/// Lines of cells as aligned columns: the first to the left, the others to the right.
pub fn table(lines: &[Vec<String>]) -> String {
    let escaped = |line: &Vec<String>| line.iter().map(|cell| one_line(cell)).collect();
    let cells: Vec<Vec<String>> = lines.iter().map(escaped).collect();
    let mut widths = vec![0; cells.iter().map(Vec::len).max().unwrap_or(0)];
    for line in &cells {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = cell.chars().count().max(*width);
        }
    }
    let mut text = String::new();
    for line in &cells {
        let padded = line.iter().zip(&widths).enumerate().map(|(column, (cell, &width))| match column {
            0 => format!("{cell:<width$}"),
            _ => format!("{cell:>width$}"),
        });
        text.push_str(padded.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text
}

/// A number with few digits and a decimal prefix: `833`, `15.7 k`, `3.3 M`.
pub fn short(value: f64) -> String {
    with_unit(value, "").trim_end().to_owned()
}

/// The same with a unit's symbol: `3.3 kB`, `12 J`.
pub fn with_unit(value: f64, symbol: &str) -> String {
    let (scaled, prefix) = match value.abs() {
        size if size >= 999.95e6 => (value / 1e9, "G"),
        size if size >= 999.95e3 => (value / 1e6, "M"),
        size if size >= 999.95 => (value / 1e3, "k"),
        _ => (value, ""),
    };
    let digits = if prefix.is_empty() && value.fract() == 0.0 { 0 } else { 1 };
    format!("{scaled:.digits$} {prefix}{symbol}")
}

/// A count with its noun: `1 rank`, `20 ranks`.
pub fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

/// A word for a shell to read as it is.
pub fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-/+:,=@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        for (value, text) in [
            (0.0, "0"),
            (833.0, "833"),
            (12.34, "12.3"),
            (999.96, "1.0 k"),
            (15_700.0, "15.7 k"),
            (3_332.0, "3.3 k"),
            (999_960.0, "1.0 M"),
            (2.5e9, "2.5 G"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "inf G"),
        ] {
            assert_eq!(short(value), text);
        }
        assert_eq!((with_unit(3332.0, "B"), with_unit(12.0, "J")), ("3.3 kB".into(), "12 J".into()));
        assert_eq!((count(1, "rank"), count(20, "rank")), ("1 rank".into(), "20 ranks".into()));
    }

    #[test]
    fn commands_can_be_pasted() {
        for (word, text) in [
            ("runs/2026_n4", "runs/2026_n4"),
            ("my runs/a", "'my runs/a'"),
            ("it's", "'it'\\''s'"),
            ("$HOME", "'$HOME'"),
            ("", "''"),
        ] {
            assert_eq!(quoted(word), text);
        }
    }

    #[test]
    fn tables_hold_ragged_lines_and_strange_cells() {
        let lines = [vec!["a".to_owned()], vec!["bcd".into(), "é\n".into()], vec![]];
        assert_eq!(table(&lines), "a\nbcd  é\\n\n\n");
    }
}
