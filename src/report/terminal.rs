//! What the terminal shows of a run: what runs, how it goes, what came out.
//!
//! Under a launcher that is lines, few of them, without colour or carriage returns: they end up in
//! a job's log. Alone on a terminal it is a bar. A terminal that is gone is no reason to stop
//! training, so failures to write are ignored here, and only here.

pub use super::lines::Head;

use super::lines::{end_lines, figures, head_lines};
use crate::event::EpochRecord;
use crate::run::error::one_line;
use crate::run::state::{RunJson, hex_hash};
use crate::units::Seconds;
use indicatif::{ProgressBar, ProgressStyle};
use std::io::Write;
use std::path::Path;

/// How progress is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// A bar on stderr that redraws itself.
    Bar,
    /// Lines: at most one a second, at least one every 30 s, and the first and last epoch always.
    Lines,
    /// Nothing between head and end.
    None,
}

/// What `--progress` means here. `auto`, or any other word, is a bar alone on a terminal, else lines.
///
/// Launchers are known by their variables, not by asking for a terminal: under Open MPI 4 stdout is
/// a pseudo-terminal whatever mpirun writes to.
pub fn choose(progress: &str, under_launcher: bool, stderr_is_terminal: bool) -> Progress {
    match progress {
        "bar" => Progress::Bar,
        "lines" => Progress::Lines,
        "none" => Progress::None,
        _ if stderr_is_terminal && !under_launcher => Progress::Bar,
        _ => Progress::Lines,
    }
}

/// The shortest time between two progress lines, first and last epoch excepted.
const SHORTEST: Seconds = Seconds(1.0);
/// The longest, as long as steps are made.
const LONGEST: Seconds = Seconds(30.0);

/// Writes a run's lines. Only rank 0 has one; `-q` gives it [`std::io::sink`] and [`Progress::None`].
pub struct Terminal {
    out: Box<dyn Write + Send>,
    progress: Progress,
    bar: ProgressBar,
    epochs: u64,
    hashes: bool,
    last_line: Option<Seconds>,
}

impl Terminal {
    /// A terminal that writes to `out`; the bar alone goes to stderr.
    pub fn new(progress: Progress, out: Box<dyn Write + Send>) -> Self {
        Self { out, progress, bar: ProgressBar::hidden(), epochs: 0, hashes: false, last_line: None }
    }

    /// From now on every epoch's line shows the hash of the weights, which is equal on all ranks.
    pub fn show_hashes(&mut self) {
        self.hashes = true;
    }

    /// Says what is going to run.
    pub fn head(&mut self, head: &Head) {
        self.epochs = head.epochs;
        for line in head_lines(head) {
            self.line(&line);
        }
        if self.progress == Progress::Bar {
            let style = ProgressStyle::with_template("{bar:30} epoch {pos}/{len} {elapsed} {msg}");
            self.bar = ProgressBar::new(head.epochs).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        }
    }

    /// A step was made, `now` after the start of the run: a sign of life within a long epoch.
    ///
    /// Cheap enough to be called after each step.
    pub fn step(&mut self, epoch: u64, step: u64, steps_per_epoch: u64, now: Seconds) {
        let last = *self.last_line.get_or_insert(now);
        if self.progress == Progress::Lines && (now - last) >= LONGEST {
            let (epoch, of) = (padded(epoch, self.epochs), self.epochs);
            self.line(&format!("epoch {epoch}/{of}  step {step} of {steps_per_epoch}"));
            self.last_line = Some(now);
        }
    }

    /// An epoch ended, `now` after the start of the run. Where its line is due, `more` follows it.
    pub fn epoch(&mut self, record: &EpochRecord, more: &[String], now: Seconds) {
        match self.progress {
            Progress::Bar => {
                self.bar.set_message(figures(record));
                self.bar.set_position(record.epoch);
                if !more.is_empty() && self.due(record, now) {
                    self.lines(more);
                    self.last_line = Some(now);
                }
            }
            Progress::Lines if self.due(record, now) => {
                let (epoch, of) = (padded(record.epoch, self.epochs), self.epochs);
                let hash =
                    if self.hashes { format!("  weights {}", hex_hash(record.weights_hash)) } else { String::new() };
                self.line(&format!("epoch {epoch}/{of}  {}{hash}", figures(record)));
                self.lines(more);
                self.last_line = Some(now);
            }
            Progress::Lines | Progress::None => {}
        }
    }

    fn due(&self, record: &EpochRecord, now: Seconds) -> bool {
        let distant = self.last_line.is_none_or(|last| (now - last) >= SHORTEST);
        distant || record.epoch == 1 || record.epoch == self.epochs
    }

    /// A repeat of a cross-validation ended.
    pub fn repeat(&mut self, repeat: usize, repeats: usize, accuracies: &[f64]) {
        if self.progress != Progress::None {
            let mean = accuracies.iter().sum::<f64>() / accuracies.len().max(1) as f64;
            self.line(&format!("repeat {repeat}/{repeats}  accuracy {mean:.3} on {} folds", accuracies.len()));
        }
    }

    /// Something the reader should know that is no error.
    pub fn note(&mut self, text: &str) {
        self.line(&format!("note: {text}"));
    }

    /// Says what came out, `tables` before all, then where it is, and what to do next. The error itself is not repeated.
    pub fn end(&mut self, run: &RunJson, dir: &Path, unit: &str, tables: &[String]) {
        self.bar.finish_and_clear();
        self.lines(tables);
        self.lines(&end_lines(run, dir, unit));
    }

    fn lines(&mut self, lines: &[String]) {
        lines.iter().for_each(|line| self.line(line));
    }

    fn line(&mut self, text: &str) {
        let text = one_line(text);
        let out = &mut self.out;
        self.bar.suspend(|| {
            let _ = writeln!(out, "{text}").and_then(|()| out.flush());
        });
    }
}

fn padded(epoch: u64, of: u64) -> String {
    format!("{epoch:>width$}", width = of.to_string().len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::lines::tests::head;
    use std::io;
    use std::sync::{Arc, Mutex};

    /// What was written, readable while the terminal still holds it.
    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>);

    impl Page {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    impl Write for Page {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn epoch(epoch: u64) -> EpochRecord {
        EpochRecord { epoch, train_loss: 0.5, samples_per_s: 15_700.0, ..EpochRecord::default() }
    }

    fn terminal(progress: Progress) -> (Terminal, Page) {
        let page = Page::default();
        (Terminal::new(progress, Box::new(page.clone())), page)
    }

    #[test]
    fn progress_is_chosen_by_flag_launcher_and_terminal() {
        for (flag, launcher, tty, expected) in [
            ("auto", false, true, Progress::Bar),
            ("auto", false, false, Progress::Lines),
            ("auto", true, true, Progress::Lines),
            ("auto", true, false, Progress::Lines),
            ("bar", true, false, Progress::Bar),
            ("lines", false, true, Progress::Lines),
            ("none", false, true, Progress::None),
        ] {
            assert_eq!(choose(flag, launcher, tty), expected, "{flag} {launcher} {tty}");
        }
    }

    #[test]
    fn lines_keep_their_distance_but_first_and_last_epoch_come() {
        let (mut terminal, page) = terminal(Progress::Lines);
        terminal.epochs = 100;
        for done in 1..=100 {
            terminal.epoch(&epoch(done), &[], Seconds(done as f64 * 0.25));
        }
        let shown: Vec<u64> = page.text().lines().map(|line| line[6..9].trim().parse().unwrap()).collect();
        let expected: Vec<u64> = (0..25).map(|line| 1 + 4 * line).chain([100]).collect();
        assert_eq!(shown, expected);
        assert!(page.text().starts_with("epoch   1/100  loss 0.5000  15.7 k samples/s\n"), "{}", page.text());
    }

    #[test]
    fn what_more_there_is_follows_a_line_that_is_due() {
        let more = ["table".to_owned()];
        for (progress, expected) in [(Progress::Lines, 2), (Progress::Bar, 2), (Progress::None, 0)] {
            let (mut terminal, page) = terminal(progress);
            terminal.epochs = 9;
            for (number, now) in [(1, 10.0), (2, 10.5), (3, 11.0)] {
                terminal.epoch(&epoch(number), &more, Seconds(now));
            }
            assert_eq!(page.text().lines().filter(|line| *line == "table").count(), expected, "{progress:?}");
        }
        let (mut terminal, page) = terminal(Progress::None);
        terminal.end(&RunJson::default(), Path::new("r"), "rows", &more);
        assert!(page.text().starts_with("table\n"), "the end has its tables in any case: {}", page.text());
    }

    #[test]
    fn a_long_epoch_gives_a_sign_of_life_every_30_seconds() {
        let (mut terminal, page) = terminal(Progress::Lines);
        terminal.epochs = 9;
        for step in 1..=70 {
            terminal.step(1, step, 500, Seconds(100.0 + step as f64));
        }
        assert_eq!(page.text(), "epoch 1/9  step 31 of 500\nepoch 1/9  step 61 of 500\n");
    }

    #[test]
    fn a_terminal_that_is_gone_is_ignored_and_no_line_has_control_characters() {
        struct Gone;
        impl Write for Gone {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
        }
        for progress in [Progress::Bar, Progress::Lines, Progress::None] {
            let mut terminal = Terminal::new(progress, Box::new(Gone));
            terminal.head(&head(1));
            terminal.epoch(&epoch(1), &["more".into()], Seconds(0.0));
            terminal.end(&RunJson::default(), Path::new("r"), "rows", &["table".into()]);
        }
        let (mut terminal, page) = terminal(Progress::Lines);
        terminal.note("a\r\u{1b}[31mb\nc");
        assert_eq!(page.text(), "note: a\\r\\u{1b}[31mb\\nc\n");
    }
}
