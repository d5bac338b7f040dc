//! `goai-rs predict RUN FILE...`: a label and a probability for each row of CSV files, or for each picture.
//!
//! Every file is read and computed before the first line is printed, so that a bad file among good
//! ones leaves no half of a result. The probabilities are the softmax of the outputs; for a model
//! trained with the L2 loss they are its sigmoid outputs brought to sum 1, which order the classes
//! well and are no calibrated probabilities.

use super::args::PredictArgs;
use super::failure::{DATA, Failure};
use super::model::LoadedModel;
use super::photos;
use super::printed::printed;
use crate::config::PredictFormat;
use crate::data::{DataError, Samples, csv as table, source};
use crate::run::error::{one_line, show};
use crate::strategy::{Answer, Exits, answer};
use ndarray::ArrayView1;
use serde::{Serialize, Serializer};
use std::io::{self, BufWriter, Write};
use std::path::Path;

/// Prints the label of each row of each file; with thresholds, as the head says where the row leaves.
///
/// # Errors
/// Thresholds that do not fit the model, exit code 2. A bad model, a file that is missing, no CSV, or without the model's columns, output that cannot
/// be written; each of these has exit code 4.
pub fn predict(args: &PredictArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let model = LoadedModel::load(&args.run)?;
    let exits = args.exits.exits(model.network.outputs().len(), false)?;
    let asked = Asked { model: &model, exits: exits.as_ref() };
    let files = match &model.meta.pictures {
        Some(pictures) => photos::guess(asked, pictures, &args.files)?,
        None => {
            args.files.iter().try_for_each(|file| refuse_picture(file, &model))?;
            args.files.iter().map(|file| guess(asked, file)).collect::<Result<Vec<_>, _>>()?
        }
    };
    let printed_as = Printed { classes: &model.meta.classes, exits: exits.is_some() };
    let mut out = BufWriter::new(out);
    let written = match args.format {
        PredictFormat::Text => write_text(printed_as, &files, &mut out),
        PredictFormat::Csv => write_csv(printed_as, &files, &mut out),
        PredictFormat::JsonLines => write_json_lines(printed_as, &files, &mut out),
    };
    let result = written.and_then(|()| out.flush());
    // What is left in the buffer was refused already; dropping it would try once more.
    drop(out.into_parts());
    printed(result)
}

/// The guesses for one file.
pub(super) struct Guesses {
    /// The file, as it was named.
    pub file: String,
    /// One a row; a picture has one.
    pub rows: Vec<Guess>,
}

/// What is said of one row, or picture.
pub(super) struct Guess {
    /// The class.
    pub label: usize,
    /// The probability of each class.
    pub shares: Vec<f32>,
    /// The head that says so.
    pub exit: usize,
}

/// A model, and when samples leave it early.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    /// The model.
    pub model: &'a LoadedModel,
    /// The rule; none: all go to the end.
    pub exits: Option<&'a Exits>,
}

impl Asked<'_> {
    /// What the model says of each sample: by the head where it leaves.
    ///
    /// # Errors
    /// The first sample for which an output is not a finite number.
    pub fn guesses(self, samples: &dyn Samples) -> Result<Vec<Guess>, usize> {
        let mut guesses = Vec::with_capacity(samples.len());
        let mut push = |exit, outputs: ArrayView1<f32>| {
            let (label, shares) = self.model.probabilities_at(exit, &outputs.to_vec());
            guesses.push(Guess { label, shares, exit });
        };
        let last = self.model.network.outputs().len() - 1;
        match self.exits {
            None => self.model.forward(samples, None, |_, outputs, _| {
                outputs.rows().into_iter().for_each(|row| push(last, row));
            }),
            Some(exits) => self.model.forward_heads(samples, None, |_, outputs, _| {
                for b in 0..outputs[last].nrows() {
                    // Nobody asks whether it is right.
                    let heads = outputs.iter().zip(self.model.network.outputs());
                    let answers: Vec<Answer> =
                        heads.map(|(head, output)| answer(output.loss, &head.row(b).to_vec(), 0)).collect();
                    let exit = exits.head(&answers);
                    push(exit, outputs[exit].row(b));
                }
            }),
        }?;
        Ok(guesses)
    }
}

/// How guesses are printed.
#[derive(Clone, Copy)]
struct Printed<'a> {
    classes: &'a [String],
    /// With the head of each.
    exits: bool,
}

/// Pictures are a likely wish, and read as CSV they would only get a puzzling message.
fn refuse_picture(file: &Path, model: &LoadedModel) -> Result<(), Failure> {
    let ending = file.extension().map(|ending| ending.to_string_lossy().to_ascii_lowercase());
    if !matches!(ending.as_deref(), Some("jpg" | "jpeg" | "png")) {
        return Ok(());
    }
    let columns = one_line(&model.meta.columns.join(","));
    let text =
        format!("{}: this is a picture, and this model reads CSV rows; give a CSV file with {columns}", show(file));
    Err(Failure::new(DATA, text))
}

fn guess(asked: Asked, file: &Path) -> Result<Guesses, Failure> {
    let model = asked.model;
    let missing = |why| Failure::new(DATA, format!("{}: {why}; check the path", show(file)));
    let name = file.to_str().ok_or_else(|| missing("the name is not UTF-8"))?;
    let (path, bytes) = source::read_file(name, Path::new("")).map_err(|error| match error {
        DataError::NotFound { .. } => missing("no such file"),
        error => error.into(),
    })?;
    let features = table::parse_features(&path, &bytes, &model.meta.columns)?;
    let too_large = |row| {
        let text = format!("{}: row {}: its values are too large for this model; correct them", show(file), row + 1);
        Failure::new(DATA, text)
    };
    let rows = asked.guesses(&model.rows(&features)).map_err(too_large)?;
    Ok(Guesses { file: path, rows })
}

/// Aligned columns. Only the widths need all rows, so no text of theirs is kept.
fn write_text(Printed { classes, exits }: Printed, files: &[Guesses], out: &mut dyn Write) -> io::Result<()> {
    let width = |header: &str, texts: &[String]| {
        let longest = texts.iter().map(|text| text.chars().count()).max().unwrap_or(0);
        longest.max(header.len())
    };
    let classes: Vec<String> = classes.iter().map(|class| one_line(class)).collect();
    let names: Vec<String> = files.iter().map(|guesses| one_line(&guesses.file)).collect();
    let most = files.iter().map(|guesses| guesses.rows.len()).max().unwrap_or(0).to_string();
    let (name_width, row_width, class_width) = (width("file", &names), width("row", &[most]), width("label", &classes));
    write!(out, "{:name_width$}  {:>row_width$}  {:class_width$}  probability", "file", "row", "label")?;
    writeln!(out, "{}", if exits { "  exit" } else { "" })?;
    for (guesses, name) in files.iter().zip(&names) {
        for (number, Guess { label, shares, exit }) in (1..).zip(&guesses.rows) {
            let (class, share) = (&classes[*label], shares[*label]);
            write!(out, "{name:name_width$}  {number:>row_width$}  {class:class_width$}  {share:>11.4}")?;
            writeln!(out, "{}", if exits { format!("  {exit:>4}") } else { String::new() })?;
        }
    }
    Ok(())
}

/// One line a row, with a column `p_CLASS` for each class.
fn write_csv(Printed { classes, exits }: Printed, files: &[Guesses], out: &mut dyn Write) -> io::Result<()> {
    let mut writer = csv::Writer::from_writer(out);
    let columns = classes.iter().map(|class| format!("p_{class}"));
    let mut header = ["file", "row", "label", "probability"].map(str::to_owned).to_vec();
    header.extend(exits.then(|| "exit".to_owned()));
    writer.write_record(header.into_iter().chain(columns))?;
    for guesses in files {
        for (number, Guess { label, shares, exit }) in (1u64..).zip(&guesses.rows) {
            let texts = shares.iter().map(f32::to_string);
            let row = [guesses.file.clone(), number.to_string(), classes[*label].clone(), shares[*label].to_string()];
            writer.write_record(row.into_iter().chain(exits.then(|| exit.to_string())).chain(texts))?;
        }
    }
    writer.flush()
}

/// One object a line.
fn write_json_lines(Printed { classes, exits }: Printed, files: &[Guesses], out: &mut dyn Write) -> io::Result<()> {
    for guesses in files {
        for (row, Guess { label, shares, exit }) in (1..).zip(&guesses.rows) {
            let probabilities = Shares { classes, shares };
            let (file, label, probability, exit) =
                (&*guesses.file, &*classes[*label], shares[*label], exits.then_some(*exit));
            serde_json::to_writer(&mut *out, &Line { file, row, label, probability, exit, probabilities })?;
            out.write_all(b"\n")?;
        }
    }
    Ok(())
}

/// A line of `--format jsonl`.
#[derive(Serialize)]
struct Line<'a> {
    file: &'a str,
    row: u64,
    label: &'a str,
    probability: f32,
    #[serde(skip_serializing_if = "Option::is_none")]
    exit: Option<usize>,
    probabilities: Shares<'a>,
}

/// The probabilities as an object, in the order of the classes.
struct Shares<'a> {
    classes: &'a [String],
    shares: &'a [f32],
}

impl Serialize for Shares<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.classes.iter().zip(self.shares))
    }
}

#[cfg(test)]
mod tests {
    use super::super::args::ExitArgs;
    use super::super::model_tests::Handmade;
    use super::super::printed::Refusing;
    use super::*;
    use crate::nn::Loss;
    use serde_json::{Value, json};
    use std::io::ErrorKind;

    /// Columns in another order, one more, and a byte order mark.
    const TABLE: &str = "\u{feff}petal.width,note,petal.length,sepal.width,sepal.length\n\
                         0.2,a,1.4,3.5,5.1\n\n1.3,b,4.0,2.8,5.7\n2.4,c,5.6,3.1,6.7\n";

    struct Place {
        root: tempfile::TempDir,
    }

    impl Place {
        fn new(model: &Handmade) -> Self {
            let root = tempfile::tempdir().unwrap();
            model.save(root.path());
            Self { root }
        }

        fn predict(&self, files: &[(&str, &str)], format: PredictFormat) -> Result<String, Failure> {
            let path = |name: &str| self.root.path().join(name);
            files.iter().for_each(|(name, text)| std::fs::write(path(name), text).unwrap());
            let files = files.iter().map(|(name, _)| path(name)).collect();
            let args = PredictArgs { run: self.root.path().to_owned(), files, exits: ExitArgs::default(), format };
            let mut out = Vec::new();
            let result = predict(&args, &mut out);
            assert!(result.is_ok() || out.is_empty(), "a failure prints nothing on the output");
            let text = String::from_utf8(out).unwrap();
            // The names without the temporary folder, which is another one in each test.
            result.map(|()| text.replace(&format!("{}/", self.root.path().display()), ""))
        }
    }

    #[test]
    fn text_is_aligned_with_a_header() {
        let place = Place::new(&Handmade::by_petal_width());
        let text = place.predict(&[("a.csv", TABLE)], PredictFormat::Text).unwrap();
        let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(lines[0], ["file", "row", "label", "probability"]);
        let labels: Vec<_> = lines[1..].iter().map(|line| (line[0], line[1], line[2])).collect();
        assert_eq!(labels, [("a.csv", "1", "Setosa"), ("a.csv", "2", "Versicolor"), ("a.csv", "3", "Virginica")]);
        for (line, label) in text.lines().zip(["label", "Setosa", "Versicolor", "Virginica"]) {
            assert_eq!(line.len() - line.find(label).unwrap(), "Versicolor  probability".len(), "{text}");
        }
    }

    #[test]
    fn csv_has_a_column_a_class_that_adds_up() {
        let mut model = Handmade::by_petal_width();
        model.meta.classes[2] = "Virginica, \"blue\"".into();
        let text = Place::new(&model).predict(&[("a,b.csv", TABLE), ("c.csv", TABLE)], PredictFormat::Csv).unwrap();
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        let header: Vec<_> = reader.headers().unwrap().iter().map(str::to_owned).collect();
        let expected = ["file", "row", "label", "probability", "p_Setosa", "p_Versicolor", "p_Virginica, \"blue\""];
        assert_eq!(header, expected);
        let rows: Vec<_> = reader.records().map(Result::unwrap).collect();
        assert_eq!(rows.len(), 6);
        assert_eq!((&rows[2][0], &rows[2][1], &rows[2][2]), ("a,b.csv", "3", "Virginica, \"blue\""));
        assert_eq!((&rows[3][0], &rows[3][1]), ("c.csv", "1"));
        for row in &rows {
            let shares: Vec<f32> = row.iter().skip(4).map(|share| share.parse().unwrap()).collect();
            assert!((shares.iter().sum::<f32>() - 1.0).abs() < 1e-5, "{row:?}");
            assert_eq!(shares.iter().copied().fold(0.0, f32::max), row[3].parse::<f32>().unwrap());
        }
    }

    #[test]
    fn json_lines_are_objects() {
        let place = Place::new(&Handmade::by_petal_width());
        let text = place.predict(&[("a.csv", TABLE)], PredictFormat::JsonLines).unwrap();
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 3);
        assert_eq!((&lines[1]["row"], &lines[1]["label"]), (&json!(2), &json!("Versicolor")));
        assert_eq!(lines[1]["probability"], lines[1]["probabilities"]["Versicolor"]);
        assert!(text.starts_with("{\"file\":\"a.csv\",\"row\":1,\"label\":\"Setosa\",\"probability\":"), "{text}");
    }

    #[test]
    fn all_formats_agree_and_l2_models_add_up_too() {
        let place = Place::new(&Handmade::new(Loss::L2));
        let text = place.predict(&[("a.csv", TABLE)], PredictFormat::JsonLines).unwrap();
        for line in text.lines() {
            let line: Value = serde_json::from_str(line).unwrap();
            let shares: Vec<f64> =
                line["probabilities"].as_object().unwrap().values().map(|share| share.as_f64().unwrap()).collect();
            assert!((shares.iter().sum::<f64>() - 1.0).abs() < 1e-5, "{line}");
            assert!(shares.iter().all(|share| *share > 0.0), "{line}");
        }
    }

    #[test]
    fn a_bad_file_among_good_ones_prints_nothing() {
        let header = TABLE.lines().next().unwrap();
        let place = Place::new(&Handmade::by_petal_width());
        for (name, content, part) in [
            ("bad.csv", format!("{header}\n0.2,a,1.4,x,5.1\n"), "bad.csv:2:4: "),
            ("bad.csv", format!("{header}\n0.2,a,1.4,1e400,5.1\n"), "bad.csv:2:4: "),
            ("bad.csv", format!("{header}\n0.2,a,1.4,,5.1\n"), "bad.csv:2:4: "),
            ("bad.csv", "a,b\n1,2\n".to_owned(), "sepal.length"),
            ("bad.csv", format!("{header}\n"), "bad.csv:1:"),
            ("bad.csv", String::new(), "empty"),
            ("bad.csv", format!("{header}\n3.4e38,a,1.4,3.5,5.1\n"), "row 1: its values are too large"),
            ("cat.JPG", TABLE.to_owned(), "cat.JPG: this is a picture, and this model reads CSV rows"),
            ("cat.png", TABLE.to_owned(), "give a CSV file with sepal.length,sepal.width"),
        ] {
            let failure = place.predict(&[("good.csv", TABLE), (name, &content)], PredictFormat::Csv).unwrap_err();
            assert_eq!(failure.code, 4);
            assert!(failure.message.contains(part) && !failure.message.contains('\n'), "{failure}");
        }
        let missing = PredictArgs {
            run: place.root.path().to_owned(),
            files: vec!["no/such.csv".into()],
            exits: ExitArgs::default(),
            format: PredictFormat::Text,
        };
        let failure = predict(&missing, &mut Vec::new()).unwrap_err();
        assert_eq!((failure.code, &*failure.message), (4, "no/such.csv: no such file; check the path"));
        let failure = predict(&PredictArgs { files: vec!["/".into()], ..missing }, &mut Vec::new()).unwrap_err();
        assert!(failure.message.contains("is a directory"), "{failure}");
    }

    #[test]
    fn a_reader_that_left_is_no_failure_and_a_full_disk_is() {
        let place = Place::new(&Handmade::by_petal_width());
        let file = place.root.path().join("a.csv");
        std::fs::write(&file, TABLE).unwrap();
        for format in [PredictFormat::Text, PredictFormat::Csv, PredictFormat::JsonLines] {
            let (run, exits) = (place.root.path().to_owned(), ExitArgs::default());
            let args = PredictArgs { run, files: vec![file.clone()], exits, format };
            assert_eq!(predict(&args, &mut Refusing(ErrorKind::BrokenPipe)), Ok(()), "{format}");
            assert_eq!(predict(&args, &mut Refusing(ErrorKind::StorageFull)).unwrap_err().code, 4, "{format}");
        }
    }
}
