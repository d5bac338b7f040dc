//! Labelled tables from CSV text.
//!
//! Columns are found by their names in the header, so their order does not matter; one column holds the labels, every
//! other one numbers. What is wrong is said with file, line and cell, both counted from 1, the header being line 1.
//! A byte order mark, any line end, blank lines, quotes and spaces around cells change nothing in the result.
//!
//! # References
//! Y. Shafranovich, *Common Format and MIME Type for CSV Files*, RFC 4180, 2005 (here: no line breaks inside cells).

mod fault;
mod table;
mod text;

#[cfg(test)]
mod bad_input;
#[cfg(test)]
mod tests;

pub use fault::CsvFault;

use super::{DataError, Dataset, nearest, position};
use ndarray::Array2;
use std::collections::HashMap;
use std::path::Path;
use table::Table;

/// Names that the label column usually has, the first that is there wins, in any letter case.
const LABEL_NAMES: [&str; 5] = ["variety", "label", "class", "species", "target"];

/// How many names a message lists.
const LISTED: usize = 20;

/// Reads a labelled table. `file` is what messages call it; `label` names the label column.
///
/// The label column is by default the first of `variety`, `label`, `class`, `species`, `target`. Classes are sorted by
/// their bytes, or by value when every label is an integer.
///
/// # Shapes
/// The features are `[N, D]`, in the order of rows and columns of the file.
///
/// # Errors
/// The first fault of the text, the header, or a cell.
pub fn parse(file: &str, bytes: &[u8], label: Option<&str>) -> Result<Dataset, DataError> {
    let mut table = Table::open(file, bytes)?;
    let label_index = label_column(&table, label)?;
    table.check_names()?;
    let mut columns = table.names.clone();
    let label_column = columns.remove(label_index);
    if columns.is_empty() {
        return Err(table.header_fault(CsvFault::NoFeatures { label: label_column }));
    }
    let mut values = Vec::new();
    let mut numbering = Numbering::default();
    let mut labels = Vec::new();
    while table.next_row()? {
        for index in 0..table.names.len() {
            if index == label_index {
                labels.push(numbering.number(table.text(index)?));
            } else {
                values.push(table.number(index)?);
            }
        }
    }
    if labels.is_empty() {
        return Err(table.header_fault(CsvFault::NoRows));
    }
    let classes = numbering.sort(&mut labels);
    if let [class] = classes.as_slice() {
        let fault = CsvFault::OneClass { class: class.clone(), rows: labels.len(), column: label_column };
        return Err(table.fault(label_index, fault));
    }
    let name = Path::new(file).file_stem().map_or(file.into(), |stem| stem.to_string_lossy().into_owned());
    let features = matrix(labels.len(), columns.len(), values);
    Ok(Dataset { name, features, labels, classes, columns, label_column })
}

/// Reads the features that a model needs, in the model's order; other columns, such as a label, are not looked at.
///
/// # Shapes
/// `[N, D]` with D the length of `columns`.
///
/// # Errors
/// The first fault of the text, the header, or a cell that is needed.
pub fn parse_features(file: &str, bytes: &[u8], columns: &[String]) -> Result<Array2<f32>, DataError> {
    let mut table = Table::open(file, bytes)?;
    let mut order = Vec::with_capacity(columns.len());
    for name in columns {
        let Some(index) = position(&table.names, name) else {
            let no_header = table.no_header(|_| columns.join(","));
            return Err(no_header.unwrap_or_else(|| missing_column(&table, name)));
        };
        order.push(index);
    }
    table.check_names()?;
    let mut values = Vec::new();
    let mut rows = 0;
    while table.next_row()? {
        for &index in &order {
            values.push(table.number(index)?);
        }
        rows += 1;
    }
    if rows == 0 {
        return Err(table.header_fault(CsvFault::NoRows));
    }
    Ok(matrix(rows, columns.len(), values))
}

/// The index of the label column: the one asked for, or one with a usual name.
fn label_column(table: &Table, label: Option<&str>) -> Result<usize, DataError> {
    let usual =
        || LABEL_NAMES.iter().find_map(|usual| table.names.iter().position(|name| name.eq_ignore_ascii_case(usual)));
    let found = match label {
        Some(name) => position(&table.names, name),
        None => usual(),
    };
    if let Some(index) = found {
        return Ok(index);
    }
    if let Some(error) = table.no_header(|cells| example_header(cells, label.unwrap_or(LABEL_NAMES[1]))) {
        return Err(error);
    }
    let columns = listed(&table.names);
    Err(table.header_fault(match label {
        None => CsvFault::NoLabelColumn { columns },
        Some(name) => {
            CsvFault::UnknownLabelColumn { name: name.to_owned(), nearest: nearest_column(table, name), columns }
        }
    }))
}

fn missing_column(table: &Table, name: &str) -> DataError {
    let nearest = nearest_column(table, name);
    let columns = listed(&table.names);
    table.header_fault(CsvFault::MissingColumn { name: name.to_owned(), nearest, columns })
}

fn nearest_column(table: &Table, name: &str) -> Option<String> {
    nearest(name, table.names.iter().map(String::as_str)).map(str::to_owned)
}

/// A header for a first line of data: iris' own for UCI's file, else x1, x2, … and the label where the text is.
fn example_header(cells: &[String], label: &str) -> String {
    if cells.len() == 5 && cells[4].starts_with("Iris-") {
        return "sepal.length,sepal.width,petal.length,petal.width,variety".to_owned();
    }
    let text = cells.iter().position(|cell| cell.parse::<f64>().is_err());
    let label_index = text.unwrap_or(cells.len() - 1);
    let name = |index| {
        if index == label_index { label.to_owned() } else { format!("x{}", index + 1) }
    };
    let shown = (0..cells.len()).map(name).take(LISTED).collect::<Vec<_>>().join(",");
    if cells.len() > LISTED { format!("{shown},… ({} names)", cells.len()) } else { shown }
}

/// Names as a message lists them: quoted, and not more than fit on a screen.
pub(super) fn listed(names: &[String]) -> String {
    let shown = names.iter().take(LISTED).map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", ");
    if names.len() > LISTED { format!("{shown}, … ({} in all)", names.len()) } else { shown }
}

fn matrix(rows: usize, columns: usize, values: Vec<f32>) -> Array2<f32> {
    Array2::from_shape_vec((rows, columns), values).expect("one value for each row and feature")
}

fn fault_at(file: &str, line: u64, cell: usize, fault: CsvFault) -> DataError {
    DataError::Csv { file: file.to_owned(), line, cell, fault: Box::new(fault) }
}

/// The classes in the order of their first appearance, which is the only one known while reading.
#[derive(Default)]
struct Numbering {
    numbers: HashMap<String, u32>,
}

impl Numbering {
    /// The number of a label.
    fn number(&mut self, label: &str) -> u32 {
        if let Some(&number) = self.numbers.get(label) {
            return number;
        }
        // A file has fewer than 2^32 rows: see the size limit in `source`.
        let number = self.numbers.len() as u32;
        self.numbers.insert(label.to_owned(), number);
        number
    }

    /// The sorted classes; renumbers the labels accordingly.
    fn sort(self, labels: &mut [u32]) -> Vec<String> {
        let mut classes: Vec<(String, u32)> = self.numbers.into_iter().collect();
        classes.sort();
        let value = |class: &(String, u32)| class.0.parse::<i64>();
        if classes.iter().all(|class| value(class).is_ok()) {
            // Stable: equal values in different writing ("1", "01") stay sorted by their bytes.
            classes.sort_by_key(|class| value(class).unwrap_or_default());
        }
        let mut sorted_number = vec![0; classes.len()];
        for (sorted, (_, first)) in classes.iter().enumerate() {
            sorted_number[*first as usize] = sorted as u32;
        }
        labels.iter_mut().for_each(|label| *label = sorted_number[*label as usize]);
        classes.into_iter().map(|class| class.0).collect()
    }
}
