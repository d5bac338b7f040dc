//! Measured here: what rank 0 takes to write down an epoch. It does so behind the epoch, and the other ranks, which have
//! begun the next one, wait for it at their first meeting: so it is a part of every epoch but the first.

use crate::event::{EpochRecord, Event, RankRecord};
use crate::run::metrics::{EventsLog, MetricsLog, RanksLog};
use crate::run::stages::StageLogs;
use crate::units::Seconds;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Epochs that are written down.
const EPOCHS: usize = 200;

/// More ranks than these take as many times longer as there are more.
const MOST: usize = 1000;

/// The logs of a run, in a folder for temporary files that is gone when this is.
pub struct Book {
    events: EventsLog,
    metrics: MetricsLog,
    ranks: RanksLog,
    stages: StageLogs,
    _folder: Folder,
}

impl Book {
    /// Of so many ranks, for this purpose of this process. None where nothing can be written.
    pub fn open(purpose: &str, ranks: usize) -> Option<Self> {
        let path = std::env::temp_dir().join(format!("goai-plan-{}-{purpose}", std::process::id()));
        std::fs::create_dir(&path).ok()?;
        let folder = Folder(path);
        let dir: &Path = &folder.0;
        Some(Self {
            events: EventsLog::create(&dir.join("events.jsonl")).ok()?,
            metrics: MetricsLog::create(&dir.join("metrics.csv")).ok()?,
            ranks: RanksLog::create(&dir.join("ranks.csv"), vec!["localhost".to_owned(); ranks]).ok()?,
            stages: StageLogs::new(dir),
            _folder: folder,
        })
    }

    /// Writes down what rank 0 would. What cannot be written takes no time.
    pub fn hear(&mut self, event: &Event) {
        if matches!(event, Event::Live(_)) {
            return;
        }
        let _ = self.events.event(Seconds(0.0), event);
        let _ = self.stages.hear(event);
        if let Event::Epoch(record) = event {
            let _ = self.metrics.epoch(record);
            let _ = self.ranks.epoch(record);
        }
    }
}

/// A folder that is removed at the end.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        // One that is left behind is no failure of the plan.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Seconds of an epoch's records of so many ranks. None where nothing can be written.
pub fn measure(ranks: usize) -> Option<Seconds> {
    let here = ranks.min(MOST);
    let mut book = Book::open("books", here)?;
    let of_rank = |rank| RankRecord { rank, ..RankRecord::default() };
    let epoch = Event::Epoch(EpochRecord { ranks: (0..here).map(of_rank).collect(), ..EpochRecord::default() });
    let mut times: Vec<f64> = (0..EPOCHS)
        .map(|_| {
            let start = Instant::now();
            book.hear(&epoch);
            start.elapsed().as_secs_f64()
        })
        .collect();
    times.sort_by(f64::total_cmp);
    Some(Seconds(times[times.len() / 2] * ranks as f64 / here as f64))
}
