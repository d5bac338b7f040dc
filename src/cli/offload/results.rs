//! What rank 0 writes and says of answered requests.

use super::decide::Decision;
use super::orders::tried_line;
use super::run::Setting;
use crate::cli::failure::Failure;
use crate::cli::host;
use crate::cli::resume::who;
use crate::config::Config;
use crate::device::{Devices, Energy};
use crate::plan::placement::TaskGraph;
use crate::report::chrome_trace::ChromeTrace;
use crate::report::gantt::Gantt;
use crate::report::offload::{Summary, price, rank_lines, run_lines};
use crate::report::text::{count, fitted, quantity};
use crate::run::error::show;
use crate::run::lock::Lock;
use crate::run::state::{OffloadFigures, RunJson, State, timestamp};
use crate::run::tasks::Answered;
use crate::run::{RunDir, run_name};
use crate::strategy::offload::Served;
use crate::units::{Joules, Seconds};
use std::io::Write;
use std::path::Path;
use std::time::{Instant, SystemTime};

/// What the head says of the work.
pub struct About<'a> {
    /// The network.
    pub model: &'a str,
    /// Its parameters.
    pub parameters: usize,
    /// The file that they are from, where they are not drawn.
    pub trained: Option<&'a Path>,
    /// Its tasks, and those that are left where neighbours run as one.
    pub tasks: usize,
    /// The latter.
    pub groups: usize,
    /// What the inputs are.
    pub inputs: &'a str,
    /// The ranks.
    pub ranks: usize,
    /// The machines.
    pub devices: Option<&'a Devices>,
}

/// A run directory with everything but the results.
pub struct Writing {
    dir: RunDir,
    run: RunJson,
    json: bool,
    quiet: bool,
    started: Instant,
    _lock: Lock,
}

/// What came out.
pub struct Results<'a> {
    /// The configuration.
    pub config: &'a Config,
    /// The tasks as they ran.
    pub graph: &'a TaskGraph,
    /// The machines.
    pub devices: Option<&'a Devices>,
    /// The record and the answers.
    pub served: &'a Served,
    /// What was decided before.
    pub decision: &'a Decision,
}

/// Opens the run directory and says what is going to run.
///
/// # Errors
/// When the directory holds a run already, or cannot be written.
pub fn open(setting: &Setting, config: &Config, about: &About, decision: &Decision) -> Result<Writing, Failure> {
    let args = setting.args;
    let now = SystemTime::now();
    let dir = RunDir::create(
        args.run_dir.as_deref(),
        &run_name(now, "offload", &format!("{}.graph", about.model), about.ranks),
    )?;
    let lock = Lock::take(dir.path(), &who())?;
    dir.write("config.toml", config.to_toml().as_bytes())?;
    let run = RunJson {
        state: State::Running,
        argv: std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect(),
        version: env!("CARGO_PKG_VERSION").into(),
        mpi: setting.mpi.clone(),
        mode: "offload".into(),
        dataset: about.inputs.into(),
        model: about.model.into(),
        parameters: about.parameters,
        ranks: about.ranks,
        placement: host::placement(setting.places, setting.threads),
        seed: config.seed,
        started: timestamp(now),
        ..RunJson::default()
    };
    run.write(&dir)?;
    let (json, quiet, started) = (args.json, args.quiet || args.json, setting.started);
    let writing = Writing { dir, run, json, quiet, started, _lock: lock };
    writing.say(&head(setting, config, about, decision));
    Ok(writing)
}

fn head(setting: &Setting, config: &Config, about: &About, decision: &Decision) -> Vec<String> {
    let mut hosts: Vec<&str> = setting.places.iter().map(|place| place.host.as_str()).collect();
    hosts.dedup();
    let library = setting.mpi.as_ref().map_or(String::new(), |mpi| format!(", {mpi}"));
    let fused = match about.groups < about.tasks {
        true => format!(", run as {}", about.groups),
        false => String::new(),
    };
    let weights = match about.trained {
        Some(path) => format!("weights of {}", show(path)),
        None => format!("weights drawn from seed {}: the answers mean nothing", config.seed),
    };
    let machines = about.devices.map_or("ranks as they are, measured".to_owned(), |devices| {
        format!("emulated machines of {}, times and joules modelled", devices.name())
    });
    let mut lines = vec![
        format!(
            "goai-rs {}: offload, {} on {}{library}",
            env!("CARGO_PKG_VERSION"),
            count(about.ranks, "rank"),
            count(hosts.len(), "host")
        ),
        format!(
            "model  {}, {}, {} by {}{fused}; {weights}",
            about.model,
            count(about.parameters, "parameter"),
            count(about.tasks, "task"),
            config.granularity
        ),
        format!(
            "asked  {} from {}, {}; {}",
            count(config.requests.get(), "request"),
            match config.sources.0.as_slice() {
                [one] => format!("rank {one}"),
                many => format!("ranks {}", many.iter().map(usize::to_string).collect::<Vec<_>>().join(", ")),
            },
            config.arrivals,
            about.inputs
        ),
        format!("on     {machines}"),
        format!(
            "plan   {} -> {}, found in {}",
            config.policy,
            decision.taken,
            quantity(decision.took.as_secs_f64(), "s")
        ),
    ];
    if decision.tried.len() > 1 {
        let row = |tried| {
            let (name, time) = tried_line(tried);
            vec![name, time.map_or("-".to_owned(), |time| quantity(time, "s"))]
        };
        let rows = decision.tried.iter().map(row).collect();
        let head = ["candidate", "a request (modelled)"];
        lines.extend(fitted(&head, rows, "").into_iter().map(|line| format!("       {line}")));
    }
    lines
}

impl Writing {
    /// The run directory.
    pub fn dir(&self) -> &RunDir {
        &self.dir
    }

    fn say(&self, lines: &[String]) {
        if !self.quiet {
            let mut out = std::io::stdout().lock();
            // A terminal that is gone is no reason to stop.
            lines.iter().for_each(|line| drop(writeln!(out, "{line}")));
            let _ = out.flush();
        }
    }

    /// The requests were not answered.
    pub fn failed(mut self, code: i32, message: String) {
        self.run.finish(code, Some(message));
        // Why it failed is told already, and that is what counts.
        let _ = self.run.write(&self.dir);
    }
}

impl Results<'_> {
    /// Writes all files and says how it went.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn write(&self, mut writing: Writing) -> Result<(), Failure> {
        let Served { record, answers, .. } = self.served;
        let modelled = self.devices.is_some();
        let hosts: Vec<String> = writing.run.placement.iter().map(|place| place.host.clone()).collect();
        let names = self.names(record.acts.len(), &hosts);
        let joules: Option<Vec<Joules>> = self.devices.map(|devices| {
            let of = |(ledger, profile): (_, &crate::device::Profile)| Energy::of(ledger, &profile.power).total();
            record.ledgers.iter().zip(devices.profiles()).map(of).collect()
        });
        let energy = joules.as_ref().map(|joules| joules.iter().copied().sum());
        let paid = self.devices.map(|devices| price(record, devices));
        let deadline = self.config.deadline.map(Seconds);
        let summary = Summary::of(self.graph, record, energy, paid, deadline);
        let answered = Answered {
            graph: self.graph,
            measured: (!modelled).then_some(record),
            modelled: modelled.then_some(record),
            devices: self.devices,
            deadline,
            outputs: answers,
        };
        answered.write(writing.dir.path())?;
        let title =
            format!("{}, {}, policy {}", self.graph.name(), count(answers.len(), "request"), self.config.policy);
        let gantt = Gantt { title, graph: self.graph, script: record, names: &names, modelled };
        writing.dir.write("gantt.svg", gantt.render().as_bytes())?;
        let trace = ChromeTrace { graph: self.graph, script: record, names: &names, modelled };
        writing.dir.write("trace.json", trace.render().as_bytes())?;
        let ranks = rank_lines(record, &names, joules.as_deref());
        let mut lines = run_lines(&summary, modelled, &ranks);
        lines.extend(self.notes());
        lines.push(format!(
            "in     {}: tasks.csv, requests.csv, gantt.svg, trace.json (for ui.perfetto.dev)",
            writing.dir.path().display()
        ));
        writing.run.offload = Some(OffloadFigures {
            modelled,
            answered: answers.iter().flatten().count(),
            lost: self.served.lost.clone(),
            replanned: self.served.replanned,
            elapsed_s: writing.started.elapsed().as_secs_f64(),
            figures: summary,
        });
        writing.run.finish(0, None);
        writing.run.write(&writing.dir)?;
        writing.say(&lines);
        if writing.json {
            let _ = std::io::stdout().write_all(writing.run.to_text().as_bytes());
        }
        Ok(())
    }

    fn names(&self, ranks: usize, hosts: &[String]) -> Vec<String> {
        match self.devices {
            Some(devices) => devices.profiles().iter().map(|it| it.name.clone()).collect(),
            None => (0..ranks).map(|rank| hosts.get(rank).cloned().unwrap_or_default()).collect(),
        }
    }

    /// What else the reader should know.
    fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if let Some((fixed, plans)) = self.decision.replanned {
            notes.push(format!(
                "requests were planned in the conditions of their moment, {} new; with the first plan for all the mean \
                 would be {} (modelled)",
                count(plans, "plan"),
                quantity(fixed, "s")
            ));
        }
        let unanswered = self.served.answers.iter().filter(|answer| answer.is_none()).count();
        if unanswered > 0 {
            notes.push(format!("{} not answered: who asked is lost", count(unanswered, "request")));
        }
        if !self.served.lost.is_empty() {
            let ranks: Vec<String> = self.served.lost.iter().map(usize::to_string).collect();
            let lost = match ranks.as_slice() {
                [rank] => format!("rank {rank} is lost"),
                ranks => format!("ranks {} are lost", ranks.join(", ")),
            };
            notes.push(format!("{lost}; {} planned anew", count(self.served.replanned, "request")));
        }
        let within = self.served.offsets.iter().map(|offset| offset.within.0).fold(0.0, f64::max);
        if within > 0.0 {
            notes.push(format!("the ranks' clocks agree to {}", quantity(within, "s")));
        }
        notes
    }
}
