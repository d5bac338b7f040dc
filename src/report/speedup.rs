//! Speed-up over rank counts, from the run.json files of several runs.

use super::svg::{Chart, Series};
use super::text::{short, table};
use crate::run::error::show;
use crate::run::state::{RunJson, State, read_state};
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

/// One run in the table.
#[derive(Debug, Clone, PartialEq)]
pub struct SpeedupRow {
    /// What was trained: `mode dataset model`. Only like is compared with like.
    pub what: String,
    /// Ranks.
    pub ranks: usize,
    /// Samples trained a second.
    pub samples_per_s: f64,
    /// Seconds of the whole run, where they are known.
    pub elapsed_s: Option<f64>,
    /// `samples_per_s` / that of the fewest ranks of the same kind (the fastest, of several runs).
    pub speedup: f64,
    /// `speedup` / (`ranks` / the fewest ranks).
    pub efficiency: f64,
}

/// The table of several runs.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Speedup {
    /// One row a run, by kind and ranks.
    pub rows: Vec<SpeedupRow>,
    /// Runs that could not be used, and why.
    pub left_out: Vec<(PathBuf, String)>,
}

impl Speedup {
    /// Reads the runs in these directories. Runs that are not complete are named and left out.
    pub fn of_runs(runs: &[PathBuf]) -> Self {
        let mut speedup = Self::default();
        let mut kinds: BTreeMap<String, Vec<SpeedupRow>> = BTreeMap::new();
        for run in runs {
            match read_state(run).map_err(|why| why.to_string()).and_then(|json| usable(&json)) {
                Ok(row) => kinds.entry(row.what.clone()).or_default().push(row),
                Err(why) => speedup.left_out.push((run.clone(), why)),
            }
        }
        for mut rows in kinds.into_values() {
            compare(&mut rows);
            speedup.rows.extend(rows);
        }
        speedup
    }

    /// speedup.svg: the measured speed-up of each kind over the ranks, and the ideal line.
    pub fn chart(&self) -> Chart {
        let rest = |row: &SpeedupRow| row.what.split_once(' ').map(|(_, rest)| rest.to_owned());
        let alike = self.rows.iter().all(|row| rest(row) == rest(&self.rows[0]));
        let mut series = Vec::new();
        let mut ideals = BTreeMap::new(); // fewest ranks of a kind -> most
        for rows in self.rows.chunk_by(|a, b| a.what == b.what) {
            // A legend is narrow: data and model are left away where all runs share them.
            let name = if alike { rows[0].what.split(' ').next() } else { Some(&*rows[0].what) };
            let points = rows.iter().map(|row| (row.ranks as f64, Some(row.speedup))).collect();
            series.push(Series { name: name.unwrap_or("").to_owned(), points, reference: false });
            let most = ideals.entry(rows[0].ranks).or_insert(0);
            *most = rows.iter().map(|row| row.ranks).fold(*most, usize::max);
        }
        for (fewest, most) in ideals {
            let ideal = [fewest, most].map(|ranks| (ranks as f64, Some(ranks as f64 / fewest as f64)));
            series.push(Series { name: "ideal".into(), points: ideal.to_vec(), reference: true });
        }
        Chart {
            title: "Speed-up".into(),
            x_label: "ranks".into(),
            y_label: "samples/s against the fewest ranks".into(),
            series,
            y_includes: vec![0.0],
        }
    }
}

/// A row without its comparison; or why there is none.
fn usable(run: &RunJson) -> Result<SpeedupRow, String> {
    if run.state != State::Complete {
        return Err(format!("the run is {}, not complete", run.state));
    }
    if run.cv.is_some() {
        return Err("it is a cross-validation".into());
    }
    let figures = run.final_figures.as_ref().ok_or("it has no final figures")?;
    let speed = figures.samples_per_s.filter(|&speed| speed.is_finite() && speed > 0.0);
    if run.ranks == 0 {
        return Err("it has no ranks".into());
    }
    Ok(SpeedupRow {
        what: format!("{} {} {}", run.mode, run.dataset, run.model),
        ranks: run.ranks,
        samples_per_s: speed.ok_or("it has no samples per second")?,
        elapsed_s: figures.elapsed_s,
        speedup: 1.0,
        efficiency: 1.0,
    })
}

/// Sorts the runs of one kind and compares them with the fewest ranks.
fn compare(rows: &mut [SpeedupRow]) {
    rows.sort_by(|a, b| a.ranks.cmp(&b.ranks).then(b.samples_per_s.total_cmp(&a.samples_per_s)));
    let (fewest, base) = (rows[0].ranks, rows[0].samples_per_s);
    for row in rows {
        row.speedup = row.samples_per_s / base;
        row.efficiency = row.speedup * fewest as f64 / row.ranks as f64;
    }
}

/// The table, then a line for each run left out.
impl fmt::Display for Speedup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = ["ranks", "samples/s", "seconds", "speed-up", "efficiency", "mode, data, model"];
        // The last column is words, and the table sets columns to the right: equal widths bring it to the left.
        let width = self.rows.iter().map(|row| row.what.chars().count()).fold(head[5].len(), usize::max);
        let mut lines =
            vec![head.map(|word| if word == head[5] { format!("{word:<width$}") } else { word.into() }).to_vec()];
        lines.extend(self.rows.iter().map(|row| {
            vec![
                row.ranks.to_string(),
                short(row.samples_per_s),
                row.elapsed_s.map_or("-".into(), |seconds| format!("{seconds:.2}")),
                format!("{:.2}", row.speedup),
                format!("{:.0} %", row.efficiency * 100.0),
                format!("{:<width$}", row.what),
            ]
        }));
        f.write_str(&table(&lines))?;
        for (run, why) in &self.left_out {
            writeln!(f, "left out: {}: {why}", show(run))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::RunDir;
    use crate::run::state::Final;

    fn run(root: &tempfile::TempDir, name: &str, mode: &str, ranks: usize, speed: f64, code: i32) -> PathBuf {
        let dir = RunDir::create(Some(&root.path().join(name)), "").unwrap();
        let final_figures = Some(Final { samples_per_s: Some(speed), elapsed_s: Some(2.0), ..Final::default() });
        let (mode, dataset, model) = (mode.to_owned(), "iris".to_owned(), "iris_mlp".to_owned());
        let mut json = RunJson { mode, dataset, model, ranks, final_figures, ..RunJson::default() };
        json.finish(code, None);
        json.write(&dir).unwrap();
        dir.path().to_owned()
    }

    #[test]
    fn figures_are_against_the_fewest_ranks_of_the_same_kind() {
        let root = tempfile::tempdir().unwrap();
        let runs = [
            run(&root, "d", "sendrecv", 4, 300.0, 0),
            run(&root, "b", "allreduce", 4, 30_000.0, 0),
            run(&root, "a", "allreduce", 1, 10_000.0, 0),
            run(&root, "e", "allreduce", 1, 8_000.0, 0),
            run(&root, "c", "sendrecv", 2, 200.0, 0),
            run(&root, "f", "allreduce", 8, 9.0, 6),
            run(&root, "g", "allreduce", 8, f64::NAN, 0),
            root.path().join("none"),
        ];
        let speedup = Speedup::of_runs(&runs);
        let figures: Vec<_> = speedup.rows.iter().map(|row| (row.ranks, row.speedup, row.efficiency)).collect();
        assert_eq!(figures, [(1, 1.0, 1.0), (1, 0.8, 0.8), (4, 3.0, 0.75), (2, 1.0, 1.0), (4, 1.5, 0.75)]);
        let text = speedup.to_string();
        let expected = "\
ranks  samples/s  seconds  speed-up  efficiency  mode, data, model
1         10.0 k     2.00      1.00       100 %  allreduce iris iris_mlp
1          8.0 k     2.00      0.80        80 %  allreduce iris iris_mlp
4         30.0 k     2.00      3.00        75 %  allreduce iris iris_mlp
2            200     2.00      1.00       100 %  sendrecv iris iris_mlp
4            300     2.00      1.50        75 %  sendrecv iris iris_mlp
";
        assert!(text.starts_with(expected), "{text}");
        let left: Vec<_> = text.lines().skip(6).collect();
        assert!(left[0].ends_with("f: the run is diverged, not complete"), "{text}");
        assert!(left[1].ends_with("g: it has no samples per second"), "{text}");
        assert!(left[2].contains("none/run.json: cannot read"), "{text}");
        assert_eq!(left.len(), 3);
    }

    #[test]
    fn the_chart_has_a_line_a_kind_and_its_ideal() {
        let root = tempfile::tempdir().unwrap();
        let runs = [run(&root, "a", "allreduce", 2, 10.0, 0), run(&root, "b", "allreduce", 4, 15.0, 0)];
        let chart = Speedup::of_runs(&runs).chart();
        assert_eq!(chart.series[0].name, "allreduce");
        assert_eq!(chart.series[0].points, [(2.0, Some(1.0)), (4.0, Some(1.5))]);
        assert_eq!(
            (chart.series[1].points.clone(), chart.series[1].reference),
            (vec![(2.0, Some(1.0)), (4.0, Some(2.0))], true)
        );
        assert!(Speedup::of_runs(&[]).chart().render().contains("no data"));
    }
}
