//! What rank 0 writes while a run goes on: its directory, logs and terminal.

use super::args::TrainArgs;
use super::failure::Failure;
use super::resume::{self, Begin};
use crate::comm::launcher::Launcher;
use crate::event::Event;
use crate::report::chain::Chain;
use crate::report::splits::change_line;
use crate::report::terminal::{Head, Terminal};
use crate::report::{chart, svg};
use crate::run::lock::Lock;
use crate::run::metrics::{EventsLog, MetricsLog, RanksLog, Row, read_metrics};
use crate::run::stages::StageLogs;
use crate::run::state::{Resumed, RunJson, State, read_state};
use crate::run::{RunDir, RunError};
use crate::strategy::Cursor;
use crate::units::{Bytes, Seconds};
use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// The outputs of a run.
pub struct Output {
    /// The run directory.
    pub dir: RunDir,
    /// What run.json will say.
    pub run: RunJson,
    json: bool,
    verbose: bool,
    terminal: Terminal,
    head: Head,
    /// Notes that wait for the head.
    early_notes: Option<Vec<String>>,
    metrics: MetricsLog,
    ranks: RanksLog,
    events: EventsLog,
    stages: StageLogs,
    rows: Vec<Row>,
    /// The checkpoint in this directory that training goes on from.
    newest: Option<(PathBuf, u64)>,
    /// Nobody else writes here as long as it is held.
    _lock: Lock,
    chain: Chain,
    started: Instant,
    looked: Instant,
    calls: u32,
    stride: u32,
}

/// What a run directory begins with.
pub struct Opening {
    /// Its name, where the user gave none.
    pub name: String,
    /// Its run.json.
    pub run: RunJson,
    /// Its config.toml.
    pub config: String,
    /// What the terminal says first.
    pub head: Head,
    /// When the program began.
    pub started: Instant,
}

impl Output {
    /// Opens the run directory: a new one, with `state: running`, the resolved configuration and empty logs; or that of
    /// the run that is resumed, its logs cut back to the checkpoint.
    ///
    /// # Errors
    /// When the directory holds a run already, another job is at work in it, or it cannot be written.
    pub fn open(args: &TrainArgs, launcher: &Launcher, opening: Opening, begin: Begin) -> Result<Self, Failure> {
        let Opening { name, mut run, config, head, started } = opening;
        let Begin { from, dir, lock, .. } = begin;
        let (goes_on, dir) = match &dir {
            Some(dir) => (from.is_some(), RunDir::go_on(dir)?),
            None => (false, RunDir::create(args.run_dir.as_deref(), &name)?),
        };
        let lock = match lock {
            Some(lock) => lock,
            None => Lock::take(dir.path(), &resume::who())?,
        };
        if let Some(from) = &from {
            run.resumed = read_state(dir.path()).map_or(Vec::new(), |before| before.resumed);
            let (step, time) = (from.about.cursor.step, run.started.clone());
            run.resumed.push(Resumed { from: from.path.to_string_lossy().into_owned(), step, time });
        }
        dir.write("config.toml", config.as_bytes())?;
        let (epochs, steps) = from.as_ref().map_or((0, 0), |from| (from.about.cursor.epoch, from.about.cursor.step));
        let hosts = run.placement.iter().map(|place| place.host.clone()).collect();
        let out: Box<dyn Write + Send> = match args.quiet || args.json {
            true => Box::new(std::io::sink()),
            false => Box::new(std::io::stdout()),
        };
        let mut terminal = Terminal::new(args.shown(launcher), out);
        if args.verbose > 0 {
            terminal.show_hashes();
        }
        let logs = ["metrics.csv", "ranks.csv", "events.jsonl"].map(|name| dir.file(name));
        let (metrics, ranks, events, stages) = match goes_on {
            true => (
                MetricsLog::reopen(&logs[0], epochs)?,
                RanksLog::reopen(&logs[1], hosts, epochs)?,
                EventsLog::reopen(&logs[2])?,
                StageLogs::reopen(dir.path(), epochs, steps)?,
            ),
            false => (
                MetricsLog::create(&logs[0])?,
                RanksLog::create(&logs[1], hosts)?,
                EventsLog::create(&logs[2])?,
                StageLogs::new(dir.path()),
            ),
        };
        let rows = if goes_on { read_metrics(&logs[0])? } else { Vec::new() };
        // Last: nobody would take back a `running` of a run that failed to open.
        run.write(&dir)?;
        let mut output = Self {
            metrics,
            ranks,
            events,
            stages,
            chain: Chain::default(),
            dir,
            run,
            json: args.json,
            verbose: args.verbose > 0,
            terminal,
            head,
            early_notes: Some(Vec::new()),
            rows,
            newest: from.as_ref().filter(|_| goes_on).map(|from| (from.path.clone(), from.about.cursor.step)),
            _lock: lock,
            started,
            looked: started,
            calls: 0,
            stride: 1,
        };
        if let Some(from) = &from {
            let Cursor { epoch, step, .. } = from.about.cursor;
            output.hear(&Event::Resumed { from: from.path.to_string_lossy().into_owned(), epoch, step });
        }
        Ok(output)
    }

    /// Seconds on emulated machines so far, modelled.
    pub fn modelled_s(&self) -> Option<f64> {
        self.chain.modelled_s()
    }

    /// The last epoch's row, of whatever job of this run.
    pub fn last_row(&self) -> Option<&Row> {
        self.rows.last()
    }

    /// File and step of the checkpoint in this directory that training goes on from, and the accuracy of the best one.
    pub fn kept(&self) -> (Option<(PathBuf, u64)>, Option<f64>) {
        let best = self.newest.as_ref().filter(|_| self.dir.file("ckpt/best").exists());
        let accuracies = self.rows.iter().filter_map(|row| row.val_acc);
        (self.newest.clone(), best.and_then(|_| accuracies.reduce(f64::max)))
    }

    /// Seconds since the program began.
    pub fn now(&self) -> Seconds {
        Seconds::since(self.started)
    }

    /// Writes an event down. Live figures are of one rank and of the moment: they have a file a rank, see `Live`.
    pub fn hear(&mut self, event: &Event) {
        if matches!(event, Event::Live(_)) {
            return;
        }
        if matches!(event, Event::Applied(_)) {
            // One a step: it has a file of its own.
            let trouble = self.stages.hear(event);
            return self.warn(vec![trouble]);
        }
        let now = self.now();
        let mut troubles = vec![self.events.event(now, event), self.stages.hear(event)];
        self.chain.hear(event);
        match event {
            Event::Started { parameters, bytes_per_exchange, .. } => {
                self.run.parameters = *parameters;
                self.head.parameters = *parameters;
                self.head.bytes_per_exchange = Bytes(if self.head.hosts.len() > 1 { *bytes_per_exchange } else { 0 });
                self.terminal.head(&self.head);
                self.early_notes.take().iter().flatten().for_each(|text| self.terminal.note(text));
            }
            Event::Epoch(record) => {
                troubles.push(self.metrics.epoch(record));
                troubles.push(self.ranks.epoch(record));
                self.rows.push(Row::from(record));
                // Those of the last epoch come at the end.
                let asked = self.verbose && record.epoch < self.head.epochs;
                let tables = if asked { self.chain.epoch_lines() } else { Vec::new() };
                self.terminal.epoch(record, &tables, now);
            }
            Event::Resumed { from, epoch, step } => {
                let text = format!("goes on from {from}: {epoch} epochs and {step} steps are done");
                self.note(&text);
            }
            // Those who look for it find it in events.jsonl.
            Event::Checkpoint { .. } => {}
            // `stages` and `chain` have them.
            Event::Stages { .. } | Event::Energy { .. } | Event::Exits { .. } | Event::Live(_) | Event::Applied(_) => {}
            Event::Round { round, devices } => {
                change_line(*round, devices).iter().for_each(|text| self.terminal.note(text));
            }
            Event::Repeat { repeat, repeats, accuracies } => self.terminal.repeat(*repeat, *repeats, accuracies),
            Event::Note { text } => self.note(text),
        }
        self.warn(troubles);
    }

    /// Notes come behind the head.
    fn note(&mut self, text: &str) {
        match &mut self.early_notes {
            Some(waiting) => waiting.push(text.to_owned()),
            None => self.terminal.note(text),
        }
    }

    /// A sign of life within a long epoch. Called at every step, it asks the clock about a hundred times a second.
    pub fn step(&mut self, cursor: &Cursor, steps_per_epoch: u64) {
        self.calls += 1;
        if self.calls < self.stride {
            return;
        }
        self.calls = 0;
        let elapsed = self.looked.elapsed();
        self.looked += elapsed;
        self.stride = match elapsed < Duration::from_millis(10) {
            true => (self.stride * 2).min(4096),
            false => (self.stride / 2).max(1),
        };
        self.terminal.step(cursor.epoch + 1, cursor.step_in_epoch, steps_per_epoch, self.now());
    }

    /// A log that cannot be written is told once; training goes on.
    fn warn(&mut self, troubles: Vec<Result<(), RunError>>) {
        for trouble in troubles.into_iter().filter_map(Result::err) {
            self.terminal.note(&trouble.to_string());
        }
    }

    /// Draws loss.svg and accuracy.svg, and stages.svg where stages have heads.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn draw(&self) -> Result<(), RunError> {
        let mut charts: Vec<(&str, svg::Chart)> =
            vec![("loss.svg", chart::loss(&self.rows)), ("accuracy.svg", chart::accuracy(&self.rows))];
        charts.extend(self.chain.chart().map(|chart| ("stages.svg", chart)));
        charts.iter().try_for_each(|(name, chart)| self.dir.write(name, chart.render().as_bytes()))
    }

    /// Writes the final state, last of all, and says how it ended. What the stages and emulated machines told is entered
    /// into the final figures, if there are any.
    ///
    /// # Errors
    /// When run.json cannot be written: the run has not succeeded then.
    pub fn close(mut self, exit_code: i32, error: Option<String>) -> Result<(), RunError> {
        self.run.finish(exit_code, error);
        if let Some(figures) = &mut self.run.final_figures {
            self.chain.enter(figures);
        }
        self.run.write(&self.dir)?;
        let tables = match self.run.state {
            State::Complete => self.chain.end_lines(),
            _ => Vec::new(),
        };
        self.terminal.end(&self.run, self.dir.path(), &self.head.unit, &tables);
        if self.json {
            let _ = std::io::stdout().write_all(self.run.to_text().as_bytes());
        }
        Ok(())
    }
}
