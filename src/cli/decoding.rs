//! The sign of life while pictures are decoded, before the run has a head.

use crate::report::terminal::Progress;
use indicatif::{ProgressBar, ProgressStyle};
use std::io::Write;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// How decoding is shown; told from any thread.
#[derive(Debug, Clone, Copy)]
pub struct Decoding(Progress);

/// One decoding.
pub struct Advance {
    how: Progress,
    total: usize,
    bar: ProgressBar,
    state: Mutex<(usize, Instant)>,
}

/// The shortest time between two lines.
const SHORTEST: Duration = Duration::from_secs(1);

impl Decoding {
    /// Shown like this.
    pub fn shown(how: Progress) -> Self {
        Self(how)
    }

    /// Not shown.
    pub fn silent() -> Self {
        Self(Progress::None)
    }

    /// Begins to decode `total` pictures.
    pub fn begin(self, total: usize) -> Advance {
        let bar = match self.0 {
            Progress::Bar => {
                let style = ProgressStyle::with_template("{bar:30} decoding picture {pos}/{len} {elapsed}");
                ProgressBar::new(total as u64).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
            }
            _ => ProgressBar::hidden(),
        };
        Advance { how: self.0, total, bar, state: Mutex::new((0, Instant::now())) }
    }
}

impl Advance {
    /// So many more are done.
    pub fn advance(&self, more: usize) {
        self.bar.inc(more as u64);
        if self.how != Progress::Lines {
            return;
        }
        let mut state = self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        state.0 += more;
        if state.1.elapsed() >= SHORTEST && state.0 < self.total {
            state.1 = Instant::now();
            // A terminal that is gone is no reason to stop.
            let _ = writeln!(std::io::stdout(), "decoding: {} of {} pictures", state.0, self.total);
        }
    }
}

impl Drop for Advance {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
