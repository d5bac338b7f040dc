//! `goai-rs eval RUN`: how good a trained model is, and on which rows that was measured.
//!
//! The data are loaded and split again, by the seed and the shares in the model file: the rows of
//! the test part are the ones that training has never seen.

use super::args::EvalArgs;
use super::chosen::Chosen;
use super::failure::{DATA, Failure};
use super::heads::Heads;
use super::model::LoadedModel;
use super::printed::printed;
use crate::report::confusion::Confusion;
use serde_json::json;
use std::io::{self, Write};

/// Prints loss, accuracy, confusion matrix and the figures of each class; of a network with exit heads also a table of
/// these, and all figures as they are where samples leave at the given thresholds.
///
/// Without `--part`, measured is the test part; where the split has none, the validation part, and
/// where it has neither, the training part. Another `--dataset` is measured on all its rows.
///
/// # Errors
/// A bad model (4), bad or missing data (4), an empty part (2), output that cannot be written (4).
pub fn eval(args: &EvalArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let model = LoadedModel::load(&args.run)?;
    let heads = Heads::new(args, &model)?;
    let chosen = Chosen::load(args, &model)?;
    let measured = measure(&model, heads, &chosen)?;
    printed(match args.json {
        true => write_json(args, &model, &chosen, &measured, out),
        false => write_text(&chosen, &measured, out),
    })
}

/// What came out.
struct Measured {
    heads: Heads,
    /// Of the answers where each sample left: at the last head, if no thresholds are given.
    confusion: Confusion,
}

fn measure(model: &LoadedModel, mut heads: Heads, chosen: &Chosen) -> Result<Measured, Failure> {
    let labels = &chosen.labels;
    let mut confusion = Confusion::new(model.meta.classes.clone());
    let done = model.forward_heads(&*chosen.samples, Some(labels), |start, outputs, tallies| {
        let labels = &labels[start..start + outputs[0].nrows()];
        heads.see(outputs, tallies, labels, |label, guess| confusion.add(label as usize, guess));
    });
    let too_large = |row| {
        let text = format!(
            "{} {} of {}: its values are too large for this model; correct them",
            chosen.unit,
            row + 1,
            chosen.title()
        );
        Failure::new(DATA, text)
    };
    done.map_err(too_large)?;
    Ok(Measured { heads, confusion })
}

fn write_text(chosen: &Chosen, measured: &Measured, out: &mut dyn Write) -> io::Result<()> {
    let Measured { heads, confusion } = measured;
    let tally = heads.tally();
    let figure = |value: Option<f64>| value.unwrap_or(f64::NAN);
    writeln!(out, "{}", chosen.title())?;
    if let Some(note) = chosen.note {
        writeln!(out, "note: {note}")?;
    }
    heads.rule_line().map_or(Ok(()), |line| writeln!(out, "{line}"))?;
    writeln!(out, "loss      {:.4}", figure(tally.mean_loss()))?;
    let share = 100.0 * figure(tally.accuracy());
    writeln!(out, "accuracy  {share:.1} % ({} of {})", tally.correct, tally.samples)?;
    heads.modelled_line().map_or(Ok(()), |line| writeln!(out, "{line}"))?;
    write!(out, "{}\n{confusion}", heads.tables())?;
    out.flush()
}

fn write_json(
    args: &EvalArgs,
    model: &LoadedModel,
    chosen: &Chosen,
    measured: &Measured,
    out: &mut dyn Write,
) -> io::Result<()> {
    let mut all = json!({
        "model": args.run.to_string_lossy(),
        "weights_hash": model.meta.weights_hash,
        "dataset": chosen.data,
        "part": chosen.part,
        "rows": chosen.labels.len(),
        "loss": measured.heads.tally().mean_loss(),
        "note": chosen.note,
    });
    if let (Some(all), serde_json::Value::Object(figures)) = (all.as_object_mut(), measured.confusion.to_json()) {
        all.extend(figures);
        all.extend(measured.heads.to_json());
    }
    writeln!(out, "{all:#}")?;
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::super::args::ExitArgs;
    use super::super::model_tests::Handmade;
    use super::super::printed::Refusing;
    use super::*;
    use crate::config::EvalPart;
    use crate::data::source;
    use crate::data::split::stratified;
    use crate::data::standardize::Standardizer;
    use crate::nn::Loss;
    use serde_json::Value;
    use std::io::ErrorKind;
    use std::path::{Path, PathBuf};

    fn args(run: &Path) -> EvalArgs {
        EvalArgs {
            run: run.to_owned(),
            part: None,
            dataset: None,
            label: None,
            data_dir: None,
            exits: ExitArgs::default(),
            exit_sweep: false,
            devices: None,
            json: false,
        }
    }

    fn text(args: &EvalArgs) -> Result<String, Failure> {
        let mut out = Vec::new();
        let result = eval(args, &mut out);
        assert!(result.is_ok() || out.is_empty(), "a failure prints nothing on the output");
        result.map(|()| String::from_utf8(out).unwrap())
    }

    fn json(args: &EvalArgs) -> Value {
        serde_json::from_str(&text(&EvalArgs { json: true, ..args.clone() }).unwrap()).unwrap()
    }

    /// A saved model whose standardisation is fitted on its own training part, as training does it.
    fn saved(root: &Path, split: &str) -> PathBuf {
        let mut model = Handmade::by_petal_width();
        model.meta.data_split = split.into();
        let iris = source::load("iris", Path::new("none"), None).unwrap();
        let rows = stratified(&iris.labels, 3, split.parse().unwrap(), model.meta.seed);
        let fitted = Standardizer::fit(&iris.features, &rows.train);
        (model.meta.means, model.meta.deviations) = (fitted.means, fitted.deviations);
        model.save(root);
        root.to_owned()
    }

    #[test]
    fn text_says_what_was_measured_on_how_many_rows() {
        let root = tempfile::tempdir().unwrap();
        let text = text(&args(&saved(root.path(), "0.8/0.1/0.1"))).unwrap();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[0], "iris test part, 15 rows");
        assert!(lines[1].starts_with("loss      0."), "{text}");
        assert!(lines[2].starts_with("accuracy  ") && lines[2].ends_with(" of 15)"), "{text}");
        assert!(lines[4].starts_with("true \\ guess") && text.contains("precision  recall     f1  samples"), "{text}");
        assert_eq!(lines.len(), 13);
    }

    #[test]
    fn json_has_the_figures_of_the_same_rows() {
        let root = tempfile::tempdir().unwrap();
        let all = json(&EvalArgs { part: Some(EvalPart::All), ..args(&saved(root.path(), "0.8/0.1/0.1")) });
        assert_eq!((&all["dataset"], &all["part"], &all["rows"]), (&json!("iris"), &json!("all"), &json!(150)));
        assert!(all["note"].is_null() && all["loss"].as_f64().unwrap() < 1.0, "{all}");
        // Petal width alone tells the flowers apart; setosas are never taken for another kind.
        let accuracy = all["accuracy"].as_f64().unwrap();
        assert!((0.9..0.99).contains(&accuracy), "{all}");
        assert_eq!(all["matrix"][0], json!([50, 0, 0]));
        assert_eq!(all["per_class"][0]["recall"], 1.0);
        let hits: u64 = (0..3).map(|class| all["matrix"][class][class].as_u64().unwrap()).sum();
        assert_eq!(accuracy, hits as f64 / 150.0);
    }

    #[test]
    fn the_part_is_the_one_asked_for_or_the_least_used() {
        for (split, part, title) in [
            ("0.8/0.1/0.1", None, "iris test part, 15 rows"),
            ("0.8/0.2/0", None, "iris validation part, 30 rows"),
            ("1/0/0", None, "iris training part, 150 rows"),
            ("0.8/0.1/0.1", Some(EvalPart::Train), "iris training part, 120 rows"),
            ("0.8/0.1/0.1", Some(EvalPart::Validation), "iris validation part, 15 rows"),
            ("0.8/0.1/0.1", Some(EvalPart::All), "iris, all 150 rows"),
        ] {
            let root = tempfile::tempdir().unwrap();
            let text = text(&EvalArgs { part, ..args(&saved(root.path(), split)) }).unwrap();
            assert_eq!(text.lines().next(), Some(title));
            assert!(!text.contains("note:"), "{text}");
        }
    }

    #[test]
    fn other_data_are_measured_whole_and_changed_data_are_noted() {
        let root = tempfile::tempdir().unwrap();
        let run = saved(root.path(), "0.8/0.1/0.1");
        let table = "kind,petal.width,variety,petal.length,sepal.width,sepal.length\n\
                     1,0.2,Setosa,1.4,3.5,5.1\n2,2.5,Virginica,6.0,3.3,6.3\n";
        std::fs::write(root.path().join("new.csv"), table).unwrap();
        let data_dir = Some(root.path().to_owned());
        let other = EvalArgs { dataset: Some("new.csv".into()), data_dir: data_dir.clone(), ..args(&run) };
        assert!(text(&other).unwrap().starts_with("new.csv, all 2 rows\nloss "));
        assert_eq!(json(&other)["accuracy"], 1.0);
        std::fs::write(root.path().join("new.csv"), table.replace("variety", "answer")).unwrap();
        assert_eq!(text(&other).unwrap_err().code, 4);
        assert_eq!(json(&EvalArgs { label: Some("answer".into()), ..other })["accuracy"], 1.0);
        std::fs::write(root.path().join("new.csv"), table).unwrap();
        std::fs::rename(root.path().join("new.csv"), root.path().join("iris.csv")).unwrap();
        let changed = EvalArgs { data_dir, part: Some(EvalPart::All), ..args(&run) };
        let text = text(&changed).unwrap();
        assert!(text.starts_with("iris, all 2 rows\nnote: these are not the data"), "{text}");
    }

    /// A change to model and arguments that makes `eval` fail.
    type Spoil = fn(&mut Handmade, &mut EvalArgs);

    #[test]
    fn failures_are_one_line_with_their_code() {
        let table: [(Spoil, u8, &str); 9] = [
            (|_, args| args.run = "none".into(), 4, "none: cannot read the model"),
            (|model, _| model.meta.data_split = "0.5/0.5".into(), 4, "2 shares, not 3"),
            (|model, _| model.meta.dataset = "gone.csv".into(), 4, "--data-dir"),
            (|model, _| model.meta.dataset = "mnist".into(), 4, "MNIST not found"),
            (|model, _| model.meta.columns[0] = "height".into(), 4, "column \"height\""),
            (|model, _| model.meta.classes[0] = "Rose".into(), 4, "class \"Setosa\" is unknown to the model"),
            (|model, _| model.meta.label = Some("sort".into()), 4, "\"sort\""),
            (|model, _| model.theta.fill(f32::MAX), 4, " of iris test part, 15 rows: its values are too large"),
            (
                |model, args| {
                    model.meta.data_split = "0.9/0.1/0".into();
                    args.part = Some(EvalPart::Test);
                },
                2,
                "--part test: this part has no rows, the data are split 0.9/0.1/0; use --part validation",
            ),
        ];
        for (spoil, code, part) in table {
            let root = tempfile::tempdir().unwrap();
            let mut model = Handmade::new(Loss::CrossEntropy);
            let mut args = args(root.path());
            spoil(&mut model, &mut args);
            model.save(root.path());
            let failure = text(&args).unwrap_err();
            assert_eq!(failure.code, code, "{failure}");
            assert!(failure.message.contains(part) && !failure.message.contains('\n'), "{failure}");
        }
    }

    #[test]
    fn a_reader_that_left_is_no_failure_and_a_full_disk_is() {
        let root = tempfile::tempdir().unwrap();
        let args = args(&saved(root.path(), "0.8/0.1/0.1"));
        assert_eq!(eval(&args, &mut Refusing(ErrorKind::BrokenPipe)), Ok(()));
        assert_eq!(eval(&args, &mut Refusing(ErrorKind::StorageFull)).unwrap_err().code, 4);
    }
}
