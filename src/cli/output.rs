//! What rank 0 writes while a run goes on: its directory, logs and terminal.

use super::args::TrainArgs;
use super::failure::Failure;
use crate::comm::launcher::Launcher;
use crate::event::Event;
use crate::report::chain::Chain;
use crate::report::terminal::{Head, Terminal};
use crate::report::{chart, svg};
use crate::run::metrics::{EventsLog, MetricsLog, RanksLog, Row};
use crate::run::stages::StageLogs;
use crate::run::state::{RunJson, State};
use crate::run::{RunDir, RunError};
use crate::strategy::Cursor;
use crate::units::{Bytes, Seconds};
use std::io::Write;
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
    chain: Chain,
    started: Instant,
    looked: Instant,
    calls: u32,
    stride: u32,
}

impl Output {
    /// Creates the run directory with `state: running`, the resolved configuration and the empty logs.
    ///
    /// # Errors
    /// When the directory holds a run already or cannot be written.
    pub fn open(
        args: &TrainArgs,
        launcher: &Launcher,
        name: &str,
        run: RunJson,
        config: &str,
        head: Head,
        started: Instant,
    ) -> Result<Self, Failure> {
        let dir = RunDir::create(args.run_dir.as_deref(), name)?;
        dir.write("config.toml", config.as_bytes())?;
        let hosts = run.placement.iter().map(|place| place.host.clone()).collect();
        let out: Box<dyn Write + Send> = match args.quiet || args.json {
            true => Box::new(std::io::sink()),
            false => Box::new(std::io::stdout()),
        };
        let mut terminal = Terminal::new(args.shown(launcher), out);
        if args.verbose > 0 {
            terminal.show_hashes();
        }
        let metrics = MetricsLog::create(&dir.file("metrics.csv"))?;
        let ranks = RanksLog::create(&dir.file("ranks.csv"), hosts)?;
        let events = EventsLog::create(&dir.file("events.jsonl"))?;
        // Last: nobody would take back a `running` of a run that failed to open.
        run.write(&dir)?;
        Ok(Self {
            metrics,
            ranks,
            events,
            stages: StageLogs::new(dir.path()),
            chain: Chain::default(),
            dir,
            run,
            json: args.json,
            verbose: args.verbose > 0,
            terminal,
            head,
            early_notes: Some(Vec::new()),
            rows: Vec::new(),
            started,
            looked: started,
            calls: 0,
            stride: 1,
        })
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
            // `stages` and `chain` have them.
            Event::Stages { .. } | Event::Energy { .. } | Event::Exits { .. } | Event::Live(_) | Event::Applied(_) => {}
            Event::Repeat { repeat, repeats, accuracies } => self.terminal.repeat(*repeat, *repeats, accuracies),
            Event::Note { text } => match &mut self.early_notes {
                Some(waiting) => waiting.push(text.clone()),
                None => self.terminal.note(text),
            },
        }
        self.warn(troubles);
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
