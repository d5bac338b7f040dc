//! metrics.csv, ranks.csv and events.jsonl: written line by line while the run goes on.
//!
//! Columns may be appended in later versions, never moved or renamed. An empty cell is a figure
//! that was not measured; `NaN` is one that was, and was not a number.

use super::cut;
use super::error::{RunError, one_line};
use super::log::Writer;
use crate::event::{EpochRecord, Event};
use crate::units::Seconds;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// The header of metrics.csv.
pub const METRICS_HEADER: &str = "epoch,step,samples,train_loss,train_acc,val_loss,val_acc,test_acc,lr,epoch_s,samples_per_s,compute_s,comm_s,wait_s,bytes_sent,energy_j,modelled_epoch_s,modelled_energy_j";
/// The header of ranks.csv.
pub const RANKS_HEADER: &str = "epoch,rank,host,samples,compute_s,comm_s,wait_s,bytes_sent,bytes_recv,rss_mb,taken,stale,duplicate,cancelled,repeated,staleness_mean,staleness_max";

/// metrics.csv: one row an epoch.
#[derive(Debug)]
pub struct MetricsLog(Writer);

impl MetricsLog {
    /// Makes the file with its header.
    ///
    /// # Errors
    /// [`RunError::Io`] or [`RunError::Log`].
    pub fn create(path: &Path) -> Result<Self, RunError> {
        with_header(path, METRICS_HEADER).map(Self)
    }

    /// Goes on in the file behind the rows of `epochs` epochs; makes it where it is missing.
    ///
    /// # Errors
    /// [`RunError::Io`] or [`RunError::Log`].
    pub fn reopen(path: &Path, epochs: u64) -> Result<Self, RunError> {
        go_on(path, METRICS_HEADER, epochs).map(Self)
    }

    /// Adds the row of one epoch.
    ///
    /// # Errors
    /// [`RunError::Log`], once: warn and go on.
    pub fn epoch(&mut self, record: &EpochRecord) -> Result<(), RunError> {
        self.0.append(&csv_lines([metrics_row(record)]))
    }

    /// Whether writing has failed; nothing is written since.
    pub fn failed(&self) -> bool {
        self.0.failed()
    }
}

/// ranks.csv: one row an epoch and rank.
#[derive(Debug)]
pub struct RanksLog {
    writer: Writer,
    hosts: Vec<String>,
}

impl RanksLog {
    /// Makes the file with its header; `hosts[rank]` is the host of each rank.
    ///
    /// # Errors
    /// [`RunError::Io`] or [`RunError::Log`].
    pub fn create(path: &Path, hosts: Vec<String>) -> Result<Self, RunError> {
        Ok(Self { writer: with_header(path, RANKS_HEADER)?, hosts })
    }

    /// Goes on in the file behind the rows of `epochs` epochs; makes it where it is missing.
    ///
    /// # Errors
    /// [`RunError::Io`] or [`RunError::Log`].
    pub fn reopen(path: &Path, hosts: Vec<String>, epochs: u64) -> Result<Self, RunError> {
        Ok(Self { writer: go_on(path, RANKS_HEADER, epochs)?, hosts })
    }

    /// Adds the rows of one epoch. A rank without a known host gets an empty cell.
    ///
    /// # Errors
    /// [`RunError::Log`], once: warn and go on.
    pub fn epoch(&mut self, record: &EpochRecord) -> Result<(), RunError> {
        let rows = record.ranks.iter().map(|rank| {
            let grid = rank.grid.as_ref();
            let mut row = vec![
                record.epoch.to_string(),
                rank.rank.to_string(),
                self.hosts.get(rank.rank).cloned().unwrap_or_default(),
                rank.samples.to_string(),
                micros(rank.compute_s),
                micros(rank.comm_s),
                micros(rank.wait_s),
                rank.bytes_sent.to_string(),
                rank.bytes_recv.to_string(),
                tenths(rank.rss_mb),
            ];
            row.extend(match grid {
                None => vec![String::new(); 7],
                Some(grid) => vec![
                    grid.taken.to_string(),
                    grid.stale.to_string(),
                    grid.duplicate.to_string(),
                    grid.cancelled.to_string(),
                    grid.repeated.to_string(),
                    grid.staleness.to_string(),
                    grid.staleness_max.to_string(),
                ],
            });
            row
        });
        self.writer.append(&csv_lines(rows))
    }

    /// Whether writing has failed; nothing is written since.
    pub fn failed(&self) -> bool {
        self.writer.failed()
    }
}

/// events.jsonl: one object an event, with the seconds since the start as `"t"`.
#[derive(Debug)]
pub struct EventsLog(Writer);

impl EventsLog {
    /// Makes the file, empty.
    ///
    /// # Errors
    /// [`RunError::Io`].
    pub fn create(path: &Path) -> Result<Self, RunError> {
        Writer::create(path).map(Self)
    }

    /// Goes on in the file, behind its last whole line; makes it where it is missing.
    ///
    /// # Errors
    /// [`RunError::Io`].
    pub fn reopen(path: &Path) -> Result<Self, RunError> {
        match cut::to_whole_lines(path)? {
            true => Writer::reopen(path).map(Self),
            false => Self::create(path),
        }
    }

    /// Adds one event that happened `t` after the start.
    ///
    /// # Errors
    /// [`RunError::Log`], once: warn and go on.
    pub fn event(&mut self, t: Seconds, event: &Event) -> Result<(), RunError> {
        #[derive(Serialize)]
        struct Line<'a> {
            t: f64,
            #[serde(flatten)]
            event: &'a Event,
        }
        let line = Line { t: (t.0 * 1e6).round() / 1e6, event };
        let mut bytes = serde_json::to_vec(&line).expect("strings and numbers always serialise");
        bytes.push(b'\n');
        self.0.append(&bytes)
    }

    /// Whether writing has failed; nothing is written since.
    pub fn failed(&self) -> bool {
        self.0.failed()
    }
}

fn go_on(path: &Path, header: &str, epochs: u64) -> Result<Writer, RunError> {
    match cut::to_epochs(path, header, epochs)? {
        true => Writer::reopen(path),
        false => with_header(path, header),
    }
}

pub(super) fn with_header(path: &Path, header: &str) -> Result<Writer, RunError> {
    let mut writer = Writer::create(path)?;
    writer.append(format!("{header}\n").as_bytes())?;
    Ok(writer)
}

/// Losses, accuracies and rates keep every digit (they are compared bit for bit); times end at the microsecond.
fn metrics_row(record: &EpochRecord) -> Vec<String> {
    let optional = |value: Option<f64>| value.map_or(String::new(), |value| value.to_string());
    vec![
        record.epoch.to_string(),
        record.step.to_string(),
        record.samples.to_string(),
        record.train_loss.to_string(),
        record.train_acc.to_string(),
        optional(record.val_loss),
        optional(record.val_acc),
        optional(record.test_acc),
        record.lr.to_string(),
        micros(record.epoch_s),
        tenths(record.samples_per_s),
        micros(record.compute_s),
        micros(record.comm_s),
        micros(record.wait_s),
        record.bytes_sent.to_string(),
        optional(record.energy_j),
        optional(record.modelled_epoch_s),
        optional(record.modelled_energy_j),
    ]
}

pub(super) fn micros(value: f64) -> String {
    format!("{value:.6}")
}

fn tenths(value: f64) -> String {
    format!("{value:.1}")
}

pub(super) fn csv_lines(rows: impl IntoIterator<Item = Vec<String>>) -> Vec<u8> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    for row in rows {
        writer.write_record(&row).expect("a Vec takes every byte");
    }
    writer.into_inner().expect("a Vec takes every byte")
}

/// One row of metrics.csv, as read back; what each figure is says [`EpochRecord`]. An empty cell, or a
/// column that is not there, is `None`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct Row {
    /// Epochs finished.
    pub epoch: u64,
    /// Steps finished.
    pub step: u64,
    /// Samples trained.
    pub samples: u64,
    /// Mean loss over the epoch's training samples.
    pub train_loss: Option<f64>,
    /// Accuracy on them.
    pub train_acc: Option<f64>,
    /// Mean loss on the validation part.
    pub val_loss: Option<f64>,
    /// Accuracy on it.
    pub val_acc: Option<f64>,
    /// Accuracy on the test part.
    pub test_acc: Option<f64>,
    /// Learning rate.
    pub lr: Option<f64>,
    /// Seconds of the epoch's training loop.
    pub epoch_s: Option<f64>,
    /// Samples trained a second.
    pub samples_per_s: Option<f64>,
    /// Seconds of computation.
    pub compute_s: Option<f64>,
    /// Seconds of communication other than waiting.
    pub comm_s: Option<f64>,
    /// Seconds of waiting.
    pub wait_s: Option<f64>,
    /// Bytes sent by all ranks together.
    pub bytes_sent: Option<u64>,
    /// Joules, measured.
    pub energy_j: Option<f64>,
    /// Seconds of the epoch on emulated machines, modelled.
    pub modelled_epoch_s: Option<f64>,
    /// Joules of the epoch on emulated machines, modelled.
    pub modelled_energy_j: Option<f64>,
}

impl From<&EpochRecord> for Row {
    fn from(record: &EpochRecord) -> Self {
        Self {
            epoch: record.epoch,
            step: record.step,
            samples: record.samples,
            train_loss: Some(record.train_loss),
            train_acc: Some(record.train_acc),
            val_loss: record.val_loss,
            val_acc: record.val_acc,
            test_acc: record.test_acc,
            lr: Some(record.lr),
            epoch_s: Some(record.epoch_s),
            samples_per_s: Some(record.samples_per_s),
            compute_s: Some(record.compute_s),
            comm_s: Some(record.comm_s),
            wait_s: Some(record.wait_s),
            bytes_sent: Some(record.bytes_sent),
            energy_j: record.energy_j,
            modelled_epoch_s: record.modelled_epoch_s,
            modelled_energy_j: record.modelled_energy_j,
        }
    }
}

/// Reads metrics.csv back, by column name. A last line without its end, as a killed run leaves it,
/// is left out.
///
/// # Errors
/// [`RunError::Io`], or [`RunError::Damaged`] with line and field.
pub fn read_metrics(path: &Path) -> Result<Vec<Row>, RunError> {
    let text = std::fs::read(path).map_err(RunError::io(path, "read the metrics"))?;
    let whole = text.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1);
    let mut reader = csv::Reader::from_reader(&text[..whole]);
    reader.deserialize().map(|row| row.map_err(|why| damaged(path, &why))).collect()
}

fn damaged(path: &Path, why: &csv::Error) -> RunError {
    let mut column = 1;
    let mut text = why.to_string();
    if let csv::ErrorKind::Deserialize { err, .. } = why.kind() {
        column = err.field().map_or(1, |field| field as usize + 1);
        text = err.kind().to_string();
    }
    RunError::Damaged {
        path: path.to_owned(),
        line: why.position().map_or(1, |position| position.line() as usize),
        column,
        why: one_line(&text),
        cure: "give the metrics.csv of a run, unedited",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{GridRecord, RankRecord};
    use std::fs;

    fn record() -> EpochRecord {
        let worker = GridRecord {
            taken: 7,
            stale: 1,
            duplicate: 2,
            cancelled: 3,
            repeated: 4,
            staleness: 0.5,
            staleness_max: 2,
        };
        EpochRecord {
            epoch: 1,
            step: 30,
            samples: 120,
            train_loss: 0.1 + 0.2,
            train_acc: 0.5,
            val_loss: Some(f64::NAN),
            lr: 1e-7,
            epoch_s: 0.001_234_567,
            samples_per_s: 97_200.26,
            bytes_sent: u64::MAX,
            modelled_epoch_s: Some(0.1),
            modelled_energy_j: Some(2.5),
            ranks: vec![
                RankRecord { rank: 0, samples: 60, compute_s: 0.25, rss_mb: 12.34, ..RankRecord::default() },
                RankRecord { rank: 1, samples: 60, bytes_recv: 9, grid: Some(worker), ..RankRecord::default() },
            ],
            ..EpochRecord::default()
        }
    }

    #[test]
    fn a_row_has_exactly_these_bytes_and_reads_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("metrics.csv");
        let mut log = MetricsLog::create(&path).unwrap();
        log.epoch(&record()).unwrap();
        let row = "1,30,120,0.30000000000000004,0.5,NaN,,,0.0000001,0.001235,97200.3,0.000000,0.000000,0.000000,18446744073709551615,,0.1,2.5\n";
        assert_eq!(fs::read_to_string(&path).unwrap(), format!("{METRICS_HEADER}\n{row}"));
        let rows = read_metrics(&path).unwrap();
        assert_eq!(rows.len(), 1);
        assert_eq!((rows[0].train_loss, rows[0].val_acc), (Some(0.1 + 0.2), None));
        assert!(rows[0].val_loss.unwrap().is_nan());
        assert_eq!(rows[0].bytes_sent, Some(u64::MAX));
        assert_eq!(
            (rows[0].energy_j, rows[0].modelled_epoch_s, rows[0].modelled_energy_j),
            (None, Some(0.1), Some(2.5))
        );
    }

    #[test]
    fn ranks_have_their_host_even_with_a_comma() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ranks.csv");
        let mut log = RanksLog::create(&path, vec!["a,b".into()]).unwrap();
        log.epoch(&record()).unwrap();
        let rows = "1,0,\"a,b\",60,0.250000,0.000000,0.000000,0,0,12.3,,,,,,,\n1,1,,60,0.000000,0.000000,0.000000,0,9,0.0,7,1,2,3,4,0.5,2\n";
        assert_eq!(fs::read_to_string(&path).unwrap(), format!("{RANKS_HEADER}\n{rows}"));
    }

    #[test]
    fn events_are_one_object_a_line_with_their_time() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("events.jsonl");
        let mut log = EventsLog::create(&path).unwrap();
        log.event(Seconds(0.5), &Event::Note { text: "a\nb".into() }).unwrap();
        log.event(Seconds(1.0 / 3.0), &Event::Epoch(record())).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[0], r#"{"t":0.5,"event":"note","text":"a\nb"}"#);
        assert!(lines[1].starts_with(r#"{"t":0.333333,"event":"epoch","epoch":1,"step":30,"#), "{}", lines[1]);
        let value: serde_json::Value = serde_json::from_str(lines[1]).unwrap();
        assert!(value["val_loss"].is_null(), "NaN is no JSON");
        assert_eq!(value["ranks"][1]["bytes_recv"], 9);
        assert_eq!(lines.len(), 2);
    }

    #[test]
    fn a_full_disk_is_said_once_and_an_unwritable_place_at_the_start() {
        let missing = Path::new("/no/such/place/metrics.csv");
        assert!(matches!(MetricsLog::create(missing), Err(RunError::Io { .. })));
        if !Path::new("/dev/full").exists() {
            return;
        }
        let full = Path::new("/dev/full");
        assert!(matches!(RanksLog::create(full, Vec::new()), Err(RunError::Log { .. })));
        let mut log = EventsLog::create(full).unwrap();
        let note = Event::Note { text: String::new() };
        assert!(matches!(log.event(Seconds(0.0), &note), Err(RunError::Log { .. })));
        assert!(log.failed());
        log.event(Seconds(0.0), &note).unwrap();
    }

    #[test]
    fn reading_takes_appended_columns_and_leaves_out_a_torn_last_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("metrics.csv");
        fs::write(&path, "epoch,new,step,samples,train_loss\n1,x,2,3,0.5\n2,x,4,6,0.2\n3,x,").unwrap();
        let rows = read_metrics(&path).unwrap();
        assert_eq!(rows.iter().map(|row| row.train_loss.unwrap()).collect::<Vec<_>>(), [0.5, 0.2]);
        for (text, place) in [
            ("epoch,step,samples\n1,2,3\n1,two,3\n", "metrics.csv:3:2: "),
            ("epoch,step,samples\n1,2,3\n1,2\n", "metrics.csv:3:1: "),
            ("epoch,samples\n1,3\n", "metrics.csv:2:1: "),
        ] {
            fs::write(&path, text).unwrap();
            let error = read_metrics(&path).unwrap_err().to_string();
            assert!(error.contains(place), "{error}");
        }
    }
}
