//! stages.csv, energy.csv, exits.csv, ledger.csv and splits.csv: what pipelines, emulated machines, grids and split
//! learning add to a run directory.
//!
//! Each file is made when its first event comes, so a run without stages or machines has none of them. The rules of
//! metrics.csv hold: columns are appended, never moved; an empty cell was not measured. Measured and modelled figures
//! never share a column. Measured seconds end at the microsecond; modelled figures keep every digit, since they are
//! the same on every machine and may be compared bit for bit.

use super::cut;
use super::error::RunError;
use super::log::Writer;
use super::metrics::{csv_lines, micros, with_header};
use super::splits::{SPLITS_HEADER, split_row};
use crate::event::{Applied, Event, MachineRecord, StageRecord, SweepRow};
use std::path::{Path, PathBuf};

/// The header of stages.csv.
pub const STAGES_HEADER: &str = "epoch,stage,replica,rank,device,layers,batches,samples,train_loss,train_acc,val_loss,val_acc,exit_share,proposals,acceptance_conv,acceptance_dense,busy_s,wait_s,bubble,bytes_down,bytes_up,bytes_control,modelled_epoch_s,modelled_busy_s,modelled_bubble";
/// The header of energy.csv.
pub const ENERGY_HEADER: &str = "epoch,phase,rank,device,modelled_s,modelled_compute_s,modelled_send_s,modelled_receive_s,modelled_compute_j,modelled_idle_j,modelled_send_j,modelled_receive_j,modelled_j,measured_j";
/// The beginning of exits.csv's header; a column `exit_share_<stage>` for each stage follows.
pub const EXITS_HEADER: &str = "part,samples,threshold,accuracy,modelled_latency_s,modelled_energy_j";

/// The header of ledger.csv: one row for each result that became part of a step of a grid.
pub const LEDGER_HEADER: &str = "epoch,step,chunk,rank,staleness";

/// The files, as far as there is something to write.
#[derive(Debug)]
pub struct StageLogs {
    stages: Late,
    energy: Late,
    exits: Late,
    ledger: Late,
    splits: Late,
}

impl StageLogs {
    /// Logs that will be made in this directory.
    pub fn new(dir: &Path) -> Self {
        let late = |name| Late { path: dir.join(name), writer: None, refused: false };
        Self {
            stages: late("stages.csv"),
            energy: late("energy.csv"),
            exits: late("exits.csv"),
            ledger: late("ledger.csv"),
            splits: late("splits.csv"),
        }
    }

    /// Logs that go on in this directory behind `epochs` epochs and so many steps. What exit thresholds did is measured behind the last
    /// epoch, so it is measured again.
    ///
    /// # Errors
    /// [`RunError::Io`] when a log of before cannot be cut back.
    pub fn reopen(dir: &Path, epochs: u64, steps: u64) -> Result<Self, RunError> {
        let mut logs = Self::new(dir);
        // The ledger has a row a step, in its second column, and a checkpoint may be within an epoch.
        for (log, header, column, most) in [
            (&mut logs.stages, STAGES_HEADER, 0, epochs),
            (&mut logs.energy, ENERGY_HEADER, 0, epochs),
            (&mut logs.ledger, LEDGER_HEADER, 1, steps),
            (&mut logs.splits, SPLITS_HEADER, 0, epochs),
        ] {
            if cut::to_rows(&log.path, header, column, most)? {
                log.writer = Some(Writer::reopen(&log.path)?);
            }
        }
        match std::fs::remove_file(&logs.exits.path) {
            Err(why) if why.kind() != std::io::ErrorKind::NotFound => {
                Err(RunError::io(&logs.exits.path, "remove the table of the run before")(why))
            }
            _ => Ok(logs),
        }
    }

    /// Writes down the events that have a file here, and leaves the others alone.
    ///
    /// # Errors
    /// [`RunError::Io`] or [`RunError::Log`], once a file: warn and go on.
    pub fn hear(&mut self, event: &Event) -> Result<(), RunError> {
        match event {
            Event::Stages { epoch, stages } => {
                self.stages.append(STAGES_HEADER, stages.iter().map(|stage| stage_row(*epoch, stage)))
            }
            Event::Energy { epoch, phase, machines } => {
                self.energy.append(ENERGY_HEADER, machines.iter().map(|machine| energy_row(*epoch, phase, machine)))
            }
            Event::Exits { part, samples, sweep, .. } => {
                let stages = sweep.iter().map(|row| row.exit_shares.len()).max().unwrap_or(0);
                let shares: String = (0..stages).map(|stage| format!(",exit_share_{stage}")).collect();
                let header = format!("{EXITS_HEADER}{shares}");
                self.exits.append(&header, sweep.iter().map(|row| exits_row(part, *samples, row)))
            }
            Event::Applied(Applied { epoch, step, contributions }) => {
                let row = |(chunk, rank, staleness): &(usize, usize, u32)| {
                    vec![
                        epoch.to_string(),
                        step.to_string(),
                        chunk.to_string(),
                        rank.to_string(),
                        staleness.to_string(),
                    ]
                };
                self.ledger.append(LEDGER_HEADER, contributions.iter().map(row))
            }
            Event::Round { round, devices } => {
                self.splits.append(SPLITS_HEADER, devices.iter().map(|device| split_row(*round, device)))
            }
            _ => Ok(()),
        }
    }
}

/// A log that is made when its first rows come.
#[derive(Debug)]
struct Late {
    path: PathBuf,
    writer: Option<Writer>,
    /// It could not be made; that was said.
    refused: bool,
}

impl Late {
    fn append(&mut self, header: &str, rows: impl Iterator<Item = Vec<String>>) -> Result<(), RunError> {
        let rows = csv_lines(rows);
        if rows.is_empty() || self.refused {
            return Ok(());
        }
        match &mut self.writer {
            Some(writer) => writer.append(&rows),
            None => {
                let mut writer = with_header(&self.path, header).inspect_err(|_| self.refused = true)?;
                let written = writer.append(&rows);
                self.writer = Some(writer);
                written
            }
        }
    }
}

fn optional(value: Option<f64>) -> String {
    value.map_or(String::new(), |value| value.to_string())
}

fn stage_row(epoch: u64, stage: &StageRecord) -> Vec<String> {
    vec![
        epoch.to_string(),
        stage.stage.to_string(),
        stage.replica.to_string(),
        stage.rank.to_string(),
        stage.device.clone(),
        stage.layers.clone(),
        stage.batches.to_string(),
        stage.samples.to_string(),
        optional(stage.train_loss),
        optional(stage.train_acc),
        optional(stage.val_loss),
        optional(stage.val_acc),
        optional(stage.exit_share),
        stage.proposals.to_string(),
        optional(stage.acceptance_conv),
        optional(stage.acceptance_dense),
        micros(stage.busy_s),
        micros(stage.wait_s),
        micros(stage.bubble),
        stage.bytes_down.to_string(),
        stage.bytes_up.to_string(),
        stage.bytes_control.to_string(),
        optional(stage.modelled_epoch_s),
        optional(stage.modelled_busy_s),
        optional(stage.modelled_bubble),
    ]
}

fn energy_row(epoch: u64, phase: &str, machine: &MachineRecord) -> Vec<String> {
    let figures = [
        machine.modelled_s,
        machine.modelled_compute_s,
        machine.modelled_send_s,
        machine.modelled_receive_s,
        machine.modelled_compute_j,
        machine.modelled_idle_j,
        machine.modelled_send_j,
        machine.modelled_receive_j,
        machine.modelled_j(),
        machine.measured_j,
    ];
    let names = [epoch.to_string(), phase.to_owned(), machine.rank.to_string(), machine.device.clone()];
    names.into_iter().chain(figures.map(optional)).collect()
}

fn exits_row(part: &str, samples: u64, row: &SweepRow) -> Vec<String> {
    let figures = [Some(row.threshold), Some(row.accuracy), row.latency_s, row.energy_j];
    let shares = row.exit_shares.iter().map(f64::to_string);
    [part.to_owned(), samples.to_string()].into_iter().chain(figures.map(optional)).chain(shares).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn stages(epoch: u64) -> Event {
        let first = StageRecord {
            layers: "conv1..relu1".into(),
            device: "nano, MAXN".into(),
            batches: 3,
            samples: 12,
            train_loss: Some(0.1 + 0.2),
            busy_s: 0.25,
            wait_s: 1.0 / 3.0,
            bubble: 0.5,
            bytes_down: 4096,
            modelled_epoch_s: Some(0.1),
            modelled_busy_s: Some(0.025),
            modelled_bubble: Some(0.75),
            ..StageRecord::default()
        };
        let second = StageRecord {
            stage: 1,
            rank: 1,
            proposals: 7,
            acceptance_conv: Some(0.5),
            val_acc: Some(f64::NAN),
            ..StageRecord::default()
        };
        Event::Stages { epoch, stages: vec![first, second] }
    }

    fn exits(sweep: Vec<SweepRow>) -> Event {
        Event::Exits { part: "test", samples: 8, heads: Vec::new(), sweep }
    }

    fn names(dir: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn stages_have_exactly_these_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let mut logs = StageLogs::new(dir.path());
        logs.hear(&stages(1)).unwrap();
        logs.hear(&stages(2)).unwrap();
        let rows = |epoch: u64| {
            format!(
                "{epoch},0,0,0,\"nano, MAXN\",conv1..relu1,3,12,0.30000000000000004,,,,,0,,,0.250000,0.333333,0.500000,4096,0,0,0.1,0.025,0.75\n\
                 {epoch},1,0,1,,,0,0,,,,NaN,,7,0.5,,0.000000,0.000000,0.000000,0,0,0,,,\n"
            )
        };
        let text = fs::read_to_string(dir.path().join("stages.csv")).unwrap();
        assert_eq!(text, format!("{STAGES_HEADER}\n{}{}", rows(1), rows(2)));
        assert_eq!(names(dir.path()), ["stages.csv"], "the others have nothing to hold");
    }

    #[test]
    fn energy_is_modelled_or_measured_or_empty_but_never_zero_for_want_of_a_figure() {
        let dir = tempfile::tempdir().unwrap();
        let mut logs = StageLogs::new(dir.path());
        let modelled = MachineRecord {
            device: "pi".into(),
            modelled_s: Some(2.0),
            modelled_compute_s: Some(1.5),
            modelled_send_s: Some(0.25),
            modelled_receive_s: Some(0.125),
            modelled_compute_j: Some(6.0),
            modelled_idle_j: Some(0.5),
            modelled_send_j: Some(0.25),
            modelled_receive_j: Some(0.125),
            ..MachineRecord::default()
        };
        let measured = MachineRecord { rank: 1, measured_j: Some(3.5), ..MachineRecord::default() };
        let nothing = MachineRecord { rank: 2, ..MachineRecord::default() };
        logs.hear(&Event::Energy { epoch: 3, phase: "train", machines: vec![modelled, measured, nothing] }).unwrap();
        let rows =
            "3,train,0,pi,2,1.5,0.25,0.125,6,0.5,0.25,0.125,6.875,\n3,train,1,,,,,,,,,,,3.5\n3,train,2,,,,,,,,,,,\n";
        let text = fs::read_to_string(dir.path().join("energy.csv")).unwrap();
        assert_eq!(text, format!("{ENERGY_HEADER}\n{rows}"));
    }

    #[test]
    fn a_sweep_has_a_column_a_stage_and_no_file_without_rows() {
        let dir = tempfile::tempdir().unwrap();
        let mut logs = StageLogs::new(dir.path());
        logs.hear(&exits(Vec::new())).unwrap();
        logs.hear(&Event::Note { text: "a".into() }).unwrap();
        assert!(names(dir.path()).is_empty());
        let row = |threshold, latency_s| SweepRow {
            threshold,
            accuracy: 0.5,
            exit_shares: vec![0.25, 0.75],
            latency_s,
            energy_j: None,
        };
        logs.hear(&exits(vec![row(0.5, Some(4.5)), row(0.95, None)])).unwrap();
        let text = fs::read_to_string(dir.path().join("exits.csv")).unwrap();
        let rows = "test,8,0.5,0.5,4.5,,0.25,0.75\ntest,8,0.95,0.5,,,0.25,0.75\n";
        assert_eq!(text, format!("{EXITS_HEADER},exit_share_0,exit_share_1\n{rows}"));
    }

    #[test]
    fn every_row_has_as_many_cells_as_its_header() {
        let cells = |header: &str| header.split(',').count();
        assert_eq!(stage_row(1, &StageRecord::default()).len(), cells(STAGES_HEADER));
        assert_eq!(energy_row(1, "train", &MachineRecord::default()).len(), cells(ENERGY_HEADER));
        let row = SweepRow { threshold: 0.5, accuracy: 1.0, exit_shares: Vec::new(), latency_s: None, energy_j: None };
        assert_eq!(exits_row("test", 1, &row).len(), cells(EXITS_HEADER));
    }

    #[test]
    fn a_file_that_cannot_be_made_is_told_once() {
        let mut logs = StageLogs::new(Path::new("/no/such/place"));
        let error = logs.hear(&stages(1)).unwrap_err();
        assert!(error.to_string().starts_with("/no/such/place/stages.csv: cannot make the log"), "{error}");
        logs.hear(&stages(2)).unwrap();
    }
}
