//! `--resume`: which checkpoint training goes on from, in which directory, and how all ranks get it.
//!
//! Only rank 0 looks at files. A requeued job gives the same command line again and again, so a run that is complete is
//! no failure, and with `auto` a run without a checkpoint begins from the start.

use super::args::TrainArgs;
use super::failure::{DATA, Failure};
use super::host::host;
use super::ranks::{Ended, World, agreed};
use super::{offload, split, stages, sync};
use crate::comm::launcher::{Launcher, Survival};
use crate::comm::{Communicator, Values};
use crate::config::{
    Config, Difference, GlobalBatch, Mode, Origin, Origins, Schedule, Sources, Sync, differences, table,
};
use crate::nn::Network;
use crate::report::text::{count, quoted};
use crate::run::checkpoint::{Loaded, Newest, load, newest_valid};
use crate::run::disk::RealDisk;
use crate::run::error::show;
use crate::run::lock::Lock;
use crate::run::state::{RunJson, State, read_state};
use crate::strategy::{Cursor, Snapshot};
use std::io::Write;
use std::path::{Path, PathBuf};

/// Exit code of a checkpoint that is not of this training.
const CONFIGURATION: u8 = 3;

/// The word that means the newest checkpoint in --run-dir.
pub const AUTO: &str = "auto";

/// From where a training begins. Only rank 0 has one that says anything.
#[derive(Debug, Default)]
pub struct Begin {
    /// The checkpoint, if there is one.
    pub from: Option<Loaded>,
    /// The run directory to go on in, or to begin again in; none: a new one.
    pub dir: Option<PathBuf>,
    /// The right to write there.
    pub lock: Option<Lock>,
    /// What the reader should know.
    pub notes: Vec<String>,
}

/// What there is to do.
pub enum Look {
    /// Train.
    Train(Box<Begin>),
    /// Nothing: the run is complete.
    Done(Box<Done>),
}

/// A run that is complete.
#[derive(Debug, Clone, PartialEq)]
pub struct Done {
    /// Its directory.
    pub dir: PathBuf,
    /// What its run.json says.
    pub run: RunJson,
}

/// Who holds the lock of a run directory.
pub fn who() -> String {
    let job = std::env::var("SLURM_JOB_ID").map_or(String::new(), |job| format!(", Slurm job {job}"));
    format!("host {}, process {}{job}", host(), std::process::id())
}

/// Looks for what `--resume` names.
///
/// # Errors
/// Exit code 3 when another job is at work there, 4 when there is no checkpoint, or none that is whole.
pub fn look(args: &TrainArgs) -> Result<Look, Failure> {
    match (&args.resume, &args.run_dir) {
        (None, _) => Ok(Look::Train(Box::default())),
        (Some(word), Some(dir)) if word == Path::new(AUTO) => newest_of(dir),
        (Some(path), _) => named(path, args.run_dir.as_deref()),
    }
}

/// `--resume auto --run-dir DIR`.
fn newest_of(dir: &Path) -> Result<Look, Failure> {
    if !dir.is_dir() {
        return Ok(Look::Train(Box::default()));
    }
    let lock = Lock::take(dir, &who())?;
    let Newest { loaded, refused } = newest_valid(&RealDisk, &dir.join("ckpt"))?;
    let run = read_state(dir).ok();
    if let (None, Some(run)) = (&loaded, run.as_ref().filter(|run| run.state == State::Complete)) {
        return Ok(Look::Done(Box::new(Done { dir: dir.to_owned(), run: run.clone() })));
    }
    let mut notes: Vec<String> = refused.iter().map(|refused| refused.why.to_string()).collect();
    if loaded.is_none() && run.is_some() {
        notes.push(format!("{}: this run left no checkpoint that is whole; it begins again", show(dir)));
    }
    Ok(Look::Train(Box::new(Begin { from: loaded, dir: Some(dir.to_owned()), lock: Some(lock), notes })))
}

/// `--resume DIR`: a run directory, its folder of checkpoints, or one of these.
fn named(path: &Path, run_dir: Option<&Path>) -> Result<Look, Failure> {
    if path.as_os_str().is_empty() {
        let text = "--resume is empty (an unset variable?); name a run directory, a checkpoint, or write auto";
        return Err(Failure::new(CONFIGURATION, text));
    }
    if !path.exists() {
        let text = format!("{}: there is nothing here to resume; check the path given with --resume", show(path));
        return Err(Failure::new(DATA, text));
    }
    let folder = match path {
        file if file.is_file() => above(file),
        run if run.join("run.json").exists() || run.join("ckpt").is_dir() => run.join("ckpt"),
        folder => folder.to_owned(),
    };
    let owner = above(&folder);
    let owner = (folder.ends_with("ckpt") && owner.join("run.json").exists()).then_some(owner);
    let dir = match (run_dir, owner) {
        (None, owner) => owner,
        (Some(dir), owner) => owner.filter(|owner| same_place(owner, dir)).map(|_| dir.to_owned()),
    };
    let lock = dir.as_ref().map(|dir| Lock::take(dir, &who())).transpose()?;
    let (loaded, refused) = match path.is_file() {
        true => (Some(load(&RealDisk, path)?), Vec::new()),
        false => {
            let Newest { loaded, refused } = newest_valid(&RealDisk, &folder)?;
            (loaded, refused)
        }
    };
    if let (None, Some(dir)) = (&loaded, &dir)
        && let Some(run) = read_state(dir).ok().filter(|run| run.state == State::Complete)
    {
        return Ok(Look::Done(Box::new(Done { dir: dir.clone(), run })));
    }
    let Some(loaded) = loaded else {
        let text = match refused.first() {
            Some(refused) => refused.why.to_string(),
            None => format!(
                "{}: there is no checkpoint here; train with --checkpoint-every, or write --resume auto to begin again",
                show(path)
            ),
        };
        return Err(Failure::new(DATA, text));
    };
    let notes = refused.iter().map(|refused| refused.why.to_string()).collect();
    Ok(Look::Train(Box::new(Begin { from: Some(loaded), dir, lock, notes })))
}

fn above(path: &Path) -> PathBuf {
    match path.parent() {
        Some(above) if !above.as_os_str().is_empty() => above.to_owned(),
        _ => std::path::absolute(path).ok().and_then(|path| path.parent().map(Path::to_owned)).unwrap_or(".".into()),
    }
}

fn same_place(one: &Path, other: &Path) -> bool {
    matches!((one.canonicalize(), other.canonicalize()), (Ok(one), Ok(other)) if one == other)
}

impl Done {
    /// Says so, as far as the command line wants to hear it.
    pub fn tell(&self, args: &TrainArgs) {
        let text = match args.json {
            true => self.run.to_text(),
            false => {
                format!("{}: the run is complete, nothing is left to train; --epochs N trains on\n", show(&self.dir))
            }
        };
        if args.json || !args.quiet {
            // Without a reader nobody is told.
            let _ = std::io::stdout().write_all(text.as_bytes());
        }
    }
}

/// The command that goes on with a run, started as this one was.
pub fn resume_command(world: World, launcher: &Launcher, ranks: usize, dir: &Path) -> String {
    let program = std::env::args().next().map_or("./goai-rs".to_owned(), |word| quoted(&word));
    let dir = quoted(&dir.to_string_lossy());
    match (world, launcher.name.and_then(|name| name.split(' ').next())) {
        (World::Solo, _) => format!("{program} --single --resume {dir}"),
        (World::Threads(ranks), _) => format!("{program} --ranks {ranks} --resume {dir}"),
        (World::Mpi, Some("srun")) => format!("srun --mpi=pmix -n {ranks} {program} --resume {dir}"),
        (World::Mpi, Some(name)) => {
            let flag = match launcher.survival {
                Survival::Ends => "",
                Survival::Recovery => " --mca orte_enable_recovery 1",
                Survival::Ulfm => " --with-ft ulfm",
            };
            format!("{name}{flag} -n {ranks} {program} --resume {dir}")
        }
        (World::Mpi, None) => format!("{program} --resume {dir}"),
    }
}

impl Begin {
    /// Adds the checkpoint's configuration to the sources of this one.
    pub fn with_configuration(&self, sources: Sources) -> Sources {
        let checkpoint = self.from.as_ref().map(|from| (show(&from.path), from.about.config.clone()));
        Sources { checkpoint, ..sources }
    }

    /// Compares the configuration with the checkpoint's, and makes it that of the rest of the training: with the global
    /// batch of before whatever the ranks. Nothing is left to train where the run of its directory is complete.
    ///
    /// # Errors
    /// Exit code 3 and a table of differences.
    pub fn reconcile(&mut self, config: &mut Config, origins: &Origins, ranks: usize) -> Result<Option<Done>, Failure> {
        let Some(from) = &self.from else { return Ok(None) };
        let about = &from.about;
        if config.folds > 0 {
            let text = "--resume with folds: a cross-validation keeps no checkpoints; leave one of the two out";
            return Err(Failure::new(CONFIGURATION, text));
        }
        let then = Sources { checkpoint: Some((show(&from.path), about.config.clone())), ..Sources::default() };
        let (then, _) = then.load()?;
        refuse(&from.path, &differences(&then, config, origins, about.global_batch))?;
        let name = show(&from.path);
        let said = |key: &str| matches!(origins.of(key), Origin::File { path, .. } if *path == name);
        let chosen = config.mode == Some(Mode::Auto);
        if chosen {
            config.mode = then.mode; // what a plan chose holds for the whole training
        }
        let fits = match config.mode {
            Some(Mode::Single) => ranks == 1,
            Some(Mode::SendRecv | Mode::Split) => ranks > 1,
            _ => true,
        };
        if (said("mode") || chosen) && !fits {
            config.mode = None;
        }
        // Lock-step goes on with a grid whose steps are fixed: they are its own. Any other grid's it would not find.
        if config.mode != Some(Mode::SendRecv) && config.deterministic {
            sync::keys().filter(|key| said(key)).for_each(|key| config.reset(key));
        }
        // With shards a step is K of them, whatever the ranks.
        let by_shards = config.mode == Some(Mode::SendRecv) && config.sync == Sync::Shards;
        if config.global_batch == GlobalBatch::PerRank && !by_shards {
            config.global_batch = GlobalBatch::Fixed(about.global_batch as usize);
        }
        if config.mode != Some(Mode::Pipeline) {
            stages::KEYS.iter().filter(|key| said(key)).for_each(|key| config.reset(key));
        }
        if config.mode != Some(Mode::Offload) {
            offload::KEYS.iter().filter(|key| said(key)).for_each(|key| config.reset(key));
        }
        if config.mode != Some(Mode::Split) {
            split::KEYS.iter().filter(|key| said(key)).for_each(|key| config.reset(key));
        }
        if config.learning_rate != then.learning_rate {
            self.notes.push(format!(
                "learningRate is {} from here on, it was {}: other weights than those of the uninterrupted run",
                config.learning_rate, then.learning_rate
            ));
        }
        if config.epochs != then.epochs && config.schedule != Schedule::Constant {
            self.notes.push(format!(
                "{} epochs instead of {}: schedule {} has other rates than it would have had",
                config.epochs, then.epochs, config.schedule
            ));
        }
        let run = self.dir.as_ref().and_then(|dir| read_state(dir).ok());
        match (&self.dir, run) {
            (Some(dir), Some(run)) if run.state == State::Complete && config.epochs <= then.epochs => {
                Ok(Some(Done { dir: dir.clone(), run }))
            }
            _ => Ok(None),
        }
    }

    /// Compares the data with those of the checkpoint and takes its state.
    ///
    /// # Errors
    /// Exit code 3 for other data or another network's shape in the table, 4 for a file that is of another network.
    pub fn snapshot(
        &self,
        network: &Network,
        fingerprint: &str,
        samples: usize,
        global_batch: usize,
    ) -> Result<Option<Snapshot>, Failure> {
        let Some(from) = &self.from else { return Ok(None) };
        let about = &from.about;
        let rows = [
            ("the data", about.data_fingerprint.clone(), fingerprint.to_owned()),
            ("training samples", about.train_samples.to_string(), samples.to_string()),
            ("samples a step", about.global_batch.to_string(), global_batch.to_string()),
        ];
        let different = rows.into_iter().filter(|(_, then, now)| then != now);
        let different: Vec<Difference> = different
            .map(|(key, then, now)| Difference { key: key.into(), then, now, origin: "the data set".into() })
            .collect();
        refuse(&from.path, &different)?;
        Ok(Some(from.snapshot(network)?))
    }

    /// What bits to expect, where they are not those of the uninterrupted run.
    pub fn note_on_bits(&self, config: &Config, mode: &str, ranks: usize) -> Option<String> {
        let about = &self.from.as_ref()?.about;
        let alike = about.ranks == ranks && about.mode == mode;
        let replay = (config.replay > 0 && mode == Mode::Pipeline.word())
            .then(|| "the batches that replay kept are not in a checkpoint: the stages collect new ones".to_owned());
        if !alike && config.mode == Some(Mode::Split) && about.mode == mode {
            return Some(format!(
                "the checkpoint is of {}, this is {}: other devices take other samples, and what optimizers remember is averaged",
                count(about.ranks, "rank"),
                count(ranks, "rank")
            ));
        }
        let other = (!alike && !config.deterministic).then(|| {
            format!(
                "the checkpoint is of {} in mode {}, this is {} in mode {mode}: equal up to rounding; --deterministic from the start makes it bit for bit",
                count(about.ranks, "rank"),
                about.mode,
                count(ranks, "rank")
            )
        });
        other.or(replay)
    }
}

fn refuse(path: &Path, different: &[Difference]) -> Result<(), Failure> {
    if different.is_empty() {
        return Ok(());
    }
    let what = format!(
        "{}: this checkpoint is of another training ({}); leave them as they were, or train without --resume",
        show(path),
        count(different.len(), "difference")
    );
    let escaped = |line: &String| Failure::new(CONFIGURATION, line).message;
    let lines: Vec<String> = std::iter::once(what).chain(table(different).iter().map(escaped)).collect();
    Err(Failure { code: CONFIGURATION, message: lines.join("\n") })
}

/// Gives rank 0's snapshot to everybody.
///
/// # Collective
/// Every rank must call it; only rank 0 may have one.
///
/// # Errors
/// The failure of rank 0, on all ranks.
pub fn shared(comm: &dyn Communicator, mine: Result<Option<Snapshot>, Failure>) -> Result<Option<Snapshot>, Ended> {
    let mine = agreed(comm, mine)?;
    let describe = |snapshot: &Snapshot| {
        let Cursor { epoch, step_in_epoch, step, samples } = snapshot.cursor;
        let slices: Vec<(String, usize)> =
            snapshot.slices.iter().map(|(name, values)| (name.clone(), values.len())).collect();
        ([epoch, step_in_epoch, step, samples], slices)
    };
    let mut text = serde_json::to_vec(&mine.as_ref().map(describe)).expect("names and numbers are JSON");
    let mut len = [text.len() as i64];
    comm.broadcast(0, Values::I64(&mut len))?;
    text.resize(len[0] as usize, 0);
    comm.broadcast(0, Values::U8(&mut text))?;
    type Described = Option<([u64; 4], Vec<(String, usize)>)>;
    let described: Described = serde_json::from_slice(&text).expect("rank 0 sent a description");
    let Some(([epoch, step_in_epoch, step, samples], slices)) = described else { return Ok(None) };
    let mut snapshot = mine.unwrap_or_else(|| Snapshot {
        cursor: Cursor { epoch, step_in_epoch, step, samples },
        slices: slices.into_iter().map(|(name, len)| (name, vec![0.0; len])).collect(),
    });
    for (_, values) in &mut snapshot.slices {
        // As integers: a scale that is not known is no number, and has to arrive as it is.
        comm.broadcast(0, Values::U8(bytemuck::cast_slice_mut(values)))?;
    }
    Ok(Some(snapshot))
}
