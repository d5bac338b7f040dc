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

/// A quantity with three digits and whatever prefix it needs, down to nano: `1.23 mJ`. What is not zero never reads as zero.
pub fn quantity(value: f64, symbol: &str) -> String {
    const PREFIXES: [(f64, &str); 7] =
        [(1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""), (1e-3, "m"), (1e-6, "µ"), (1e-9, "n")];
    let size = value.abs();
    if size == 0.0 || !size.is_finite() {
        return format!("{value} {symbol}");
    }
    // Seconds have no kilo: nobody counts in them.
    let usable = |unit: f64| unit <= 1.0 || symbol != "s";
    let found = PREFIXES.into_iter().find(|(unit, _)| usable(*unit) && size >= unit * 0.9995);
    let Some((unit, prefix)) = found else { return format!("{value:.1e} {symbol}") };
    let scaled = value / unit;
    let decimals = match scaled.abs() {
        scaled if scaled >= 99.95 => 0,
        scaled if scaled >= 9.995 => 1,
        _ => 2,
    };
    format!("{scaled:.decimals$} {prefix}{symbol}")
}

/// A share in percent, with one decimal; of an absent one nothing.
pub fn percent(share: Option<f64>) -> String {
    let told = share.map_or(String::new(), |share| format!("{:.1} %", share * 100.0));
    // What rounds to nothing has no sign.
    told.strip_prefix('-').filter(|rest| *rest == "0.0 %").map_or(told.clone(), str::to_owned)
}

/// The lines of a table for a terminal: columns without any figure are left out, the first column is cut until the
/// rest fits into 80 columns, and a long table ends with a line that says how much is missing.
pub fn fitted(head: &[&str], rows: Vec<Vec<String>>, more: &str) -> Vec<String> {
    const WIDTH: usize = 80;
    const MOST: usize = 32;
    const LEAST: usize = 12;
    let left = rows.len().saturating_sub(MOST);
    let kept: Vec<usize> = (0..head.len()).filter(|c| *c == 0 || rows.iter().any(|row| !row[*c].is_empty())).collect();
    let pick = |row: &[String]| kept.iter().map(|column| row[*column].clone()).collect::<Vec<String>>();
    let head: Vec<String> = head.iter().map(|name| (*name).to_owned()).collect();
    let mut lines: Vec<Vec<String>> = vec![pick(&head)];
    lines.extend(rows.iter().take(MOST).map(|row| pick(row)));
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
    let others: usize = (1..kept.len()).map(|column| width(column) + 2).sum();
    let room = WIDTH.saturating_sub(others).max(LEAST);
    for line in &mut lines {
        if line[0].chars().count() > room {
            line[0] = line[0].chars().take(room - 1).chain(['…']).collect();
        }
    }
    let mut lines: Vec<String> = table(&lines).lines().map(str::to_owned).collect();
    if left > 0 {
        lines.push(format!("and {left} more: {more}"));
    }
    lines
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
    fn quantities_keep_three_digits_and_never_read_as_zero() {
        for (value, symbol, text) in [
            (0.0, "J", "0 J"),
            (1.0, "J", "1.00 J"),
            (0.001_234, "J", "1.23 mJ"),
            (4.2e-8, "s", "42.0 ns"),
            (3e-12, "J", "3.0e-12 J"),
            (999.7, "J", "1.00 kJ"),
            (12_345.0, "s", "12345 s"),
            (-2.5e6, "J", "-2.50 MJ"),
            (f64::NAN, "J", "NaN J"),
            (f64::INFINITY, "s", "inf s"),
        ] {
            assert_eq!(quantity(value, symbol), text);
        }
        assert_eq!((percent(Some(0.8125)), percent(None)), ("81.2 %".into(), String::new()));
    }

    #[test]
    fn fitted_tables_leave_out_what_is_empty_and_cut_what_is_long() {
        let row = |name: &str| vec![name.to_owned(), String::new(), "1".to_owned()];
        let lines = fitted(&["name", "none", "one"], vec![row("a"), row(&"long ".repeat(30))], "file");
        assert_eq!(lines[0].split_whitespace().collect::<Vec<_>>(), ["name", "one"]);
        assert!(lines.iter().all(|line| line.chars().count() == 80), "{lines:?}");
        assert!(lines[2].contains("…"), "{lines:?}");
        let many = fitted(&["name", "none", "one"], vec![row("a"); 100], "see file");
        assert_eq!((many.len(), many[33].as_str()), (34, "and 68 more: see file"));
        assert_eq!(fitted(&["a"], Vec::new(), ""), ["a"]);
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
