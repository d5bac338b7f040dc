//! Measured here: what rank 0 takes to write down an epoch. It does so behind the epoch, and the other ranks, which have
//! begun the next one, wait for it at their first meeting: so it is a part of every epoch but the first.

use crate::event::{EpochRecord, Event, RankRecord};
use crate::units::Seconds;
use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::time::Instant;

/// Epochs that are written down.
const EPOCHS: usize = 200;

/// More ranks than these take as many times longer as there are more.
const MOST: usize = 1000;

/// A file into which epochs are written as rank 0 would; it is gone when this is.
pub struct Book {
    file: File,
    path: PathBuf,
}

impl Book {
    /// Of this process and for this purpose. None where nothing can be written into the folder for temporary files.
    pub fn open(purpose: &str) -> Option<Self> {
        let path = std::env::temp_dir().join(format!("goai-plan-{}-{purpose}", std::process::id()));
        Some(Self { file: File::create(&path).ok()?, path })
    }

    /// A line each for events and metrics, one a rank for the ranks.
    fn write(&mut self, record: &EpochRecord, rows: &str) -> Option<()> {
        const ROW: &str = "1000,30000,120000,0.123456,0.987654,0.123456,0.933333,,0.001234,0.000123,812345.6,0.0001,0.0001,0.0001,123456,,,\n";
        let text = serde_json::to_string(&Event::Epoch(record.clone())).ok()?;
        [text.as_str(), ROW, rows].into_iter().try_for_each(|lines| self.file.write_all(lines.as_bytes())).ok()
    }

    /// An epoch that was trained. What cannot be written takes no time.
    pub fn record(&mut self, record: &EpochRecord) {
        let _ = self.write(record, &rows(record.ranks.len()));
    }
}

impl Drop for Book {
    fn drop(&mut self) {
        // A file that is left behind is no failure of the plan.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Lines of so many ranks.
fn rows(ranks: usize) -> String {
    "1000,0,localhost,120,0.000123,0.000123,0.000123,123456,123456,12.3\n".repeat(ranks)
}

/// Seconds of an epoch's records of so many ranks. None where nothing can be written.
pub fn measure(ranks: usize) -> Option<Seconds> {
    let here = ranks.min(MOST);
    let mut book = Book::open("books")?;
    let record = EpochRecord { ranks: vec![RankRecord::default(); here], ..EpochRecord::default() };
    let rows = rows(here);
    let mut times: Vec<f64> = (0..EPOCHS)
        .map_while(|_| {
            let start = Instant::now();
            book.write(&record, &rows)?;
            Some(start.elapsed().as_secs_f64())
        })
        .collect();
    times.sort_by(f64::total_cmp);
    let middle = times.get(times.len() / 2)?;
    Some(Seconds(middle * ranks as f64 / here as f64))
}
