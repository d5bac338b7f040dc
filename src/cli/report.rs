//! `goai-rs report RUN...`: the speed-up of several runs, as a table and as a chart.

use super::args::ReportArgs;
use super::failure::{DATA, Failure};
use super::printed::printed;
use crate::report::speedup::Speedup;
use crate::run::error::show;
use crate::run::write_atomic;
use std::io::Write;

/// Prints the table of the runs that are complete, draws it into `--out`, and names the others on
/// `notes`, the error stream.
///
/// # Errors
/// Exit code 4 when no run can be compared, or the chart or the table cannot be written.
pub fn report(args: &ReportArgs, out: &mut dyn Write, notes: &mut dyn Write) -> Result<(), Failure> {
    let mut speedup = Speedup::of_runs(&args.runs);
    for (run, why) in std::mem::take(&mut speedup.left_out) {
        // Without a reader the notes are lost, and the table is not.
        let _ = writeln!(notes, "left out: {}: {why}", show(&run));
    }
    if speedup.rows.is_empty() {
        let text =
            "no run can be compared (see above); give directories of trainings whose `goai-rs state` is complete";
        return Err(Failure::new(DATA, text));
    }
    printed(write!(out, "{speedup}").and_then(|()| out.flush()))?;
    if let Some(file) = &args.out {
        write_atomic(file, speedup.chart().render().as_bytes())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::RunDir;
    use crate::run::state::{Final, RunJson};
    use std::path::{Path, PathBuf};

    fn run(root: &Path, ranks: usize, code: i32) -> PathBuf {
        let dir = RunDir::create(Some(&root.join(format!("n{ranks}_{code}"))), "").unwrap();
        let final_figures = Some(Final { samples_per_s: Some(1e3 * ranks as f64), ..Final::default() });
        let mut json = RunJson { mode: "allreduce".into(), ranks, final_figures, ..RunJson::default() };
        json.finish(code, None);
        json.write(&dir).unwrap();
        dir.path().to_owned()
    }

    #[test]
    fn the_table_goes_out_the_chart_to_its_file_and_the_rest_is_named() {
        let root = tempfile::tempdir().unwrap();
        let chart = root.path().join("speedup.svg");
        let runs = vec![run(root.path(), 1, 0), run(root.path(), 2, 6), run(root.path(), 4, 0)];
        let (mut out, mut notes) = (Vec::new(), Vec::new());
        report(&ReportArgs { runs, out: Some(chart.clone()) }, &mut out, &mut notes).unwrap();
        let (out, notes) = (String::from_utf8(out).unwrap(), String::from_utf8(notes).unwrap());
        assert_eq!(out.lines().count(), 3, "{out}");
        assert!(out.lines().nth(2).unwrap().contains("4.00"), "{out}");
        assert_eq!(notes.lines().count(), 1);
        assert!(
            notes.starts_with("left out: ") && notes.ends_with("n2_6: the run is diverged, not complete\n"),
            "{notes}"
        );
        assert!(std::fs::read_to_string(chart).unwrap().trim_end().ends_with("</svg>"));
    }

    #[test]
    fn without_a_run_there_is_neither_table_nor_chart() {
        let root = tempfile::tempdir().unwrap();
        let chart = root.path().join("speedup.svg");
        let args = ReportArgs { runs: vec![run(root.path(), 1, 1), "none".into()], out: Some(chart.clone()) };
        let (mut out, mut notes) = (Vec::new(), Vec::new());
        let failure = report(&args, &mut out, &mut notes).unwrap_err();
        assert_eq!((failure.code, out.len(), chart.exists()), (4, 0, false));
        assert_eq!(String::from_utf8(notes).unwrap().lines().count(), 2);
    }

    #[test]
    fn a_chart_that_cannot_be_written_is_a_failure() {
        let root = tempfile::tempdir().unwrap();
        let args = ReportArgs { runs: vec![run(root.path(), 1, 0)], out: Some(root.path().join("none/s.svg")) };
        let failure = report(&args, &mut Vec::new(), &mut Vec::new()).unwrap_err();
        assert_eq!(failure.code, 4);
        assert!(failure.message.contains("none/s.svg"), "{failure}");
    }
}
