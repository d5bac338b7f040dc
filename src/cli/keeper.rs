//! What keeps the checkpoints of a run, at rank 0: when one is due, what became of those that were written.
//!
//! A checkpoint that cannot be written is no reason to stop a training that goes well: it is told once for each kind of
//! trouble, and the checkpoint before stays. With `requireCheckpoint` it is a reason.

use super::output::Output;
use super::prepare::Prepared;
use crate::config::Every;
use crate::event::Event;
use crate::nn::Network;
use crate::run::RunError;
use crate::run::checkpoint::{Checkpoint, CheckpointMeta, Store, Writer, Written};
use crate::run::disk::RealDisk;
use crate::run::model_file::ModelMeta;
use crate::strategy::{JobError, State};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

/// The checkpoints of a run.
pub struct Keeper<'a> {
    network: &'a Network,
    model: ModelMeta,
    about: CheckpointMeta,
    every: Option<Every>,
    require: bool,
    epochs: u64,
    folder: PathBuf,
    store: Option<Store>,
    writer: Option<Writer>,
    /// When the last one was asked for.
    asked: Instant,
    /// Checkpoints that were given to the writer and have no result yet.
    open: usize,
    submitted: Option<u64>,
    newest: Option<(PathBuf, u64)>,
    /// Validation accuracy of the epoch that has just ended.
    accuracy: Option<f64>,
    /// Steps at the ends of epochs, with their accuracies, that are being written.
    hoped: Vec<(u64, f64)>,
    best: f64,
    told: Vec<String>,
    /// A test waits for every checkpoint, so that none makes room for a newer one.
    waits: bool,
}

impl<'a> Keeper<'a> {
    /// The keeper of a run in this folder. `newest` is the checkpoint that training goes on from, where it is in it; `best` the
    /// accuracy of the best one there.
    pub fn new(
        prepared: &'a Prepared,
        model: ModelMeta,
        about: CheckpointMeta,
        folder: PathBuf,
        newest: Option<(PathBuf, u64)>,
        best: Option<f64>,
    ) -> Self {
        let config = &prepared.config;
        Self {
            network: &prepared.network,
            model,
            about,
            every: config.checkpoint_every,
            require: config.require_checkpoint,
            epochs: config.epochs.get(),
            folder,
            store: None,
            writer: None,
            asked: Instant::now(),
            open: 0,
            submitted: None,
            newest,
            accuracy: None,
            hoped: Vec::new(),
            best: best.unwrap_or(f64::NEG_INFINITY),
            told: Vec::new(),
            waits: std::env::var_os("GOAI_TEST_CHECKPOINTS").is_some_and(|word| word == "wait"),
        }
    }

    /// Whether a checkpoint is due behind the coming step, which is the `step`-th.
    pub fn is_due(&mut self, step: u64) -> bool {
        match self.every {
            None => false,
            Some(Every::Steps(steps)) => step.is_multiple_of(steps),
            Some(Every::Seconds(seconds)) => {
                let due = self.asked.elapsed().as_secs_f64() >= seconds;
                if due {
                    self.asked = Instant::now();
                }
                due
            }
        }
    }

    /// Hears of an epoch.
    pub fn epoch(&mut self, accuracy: Option<f64>) {
        self.accuracy = accuracy;
    }

    /// Has a checkpoint written.
    ///
    /// # Errors
    /// With `requireCheckpoint`, when one could not be.
    pub fn save(&mut self, state: &State, output: &mut Output) -> Result<(), JobError> {
        let known = self.submitted == Some(state.cursor.step);
        // A course that has just diverged is told of at the next step; what was good stays.
        if known || !state.theta.iter().chain(state.sigma).all(|value| value.is_finite()) {
            return Ok(());
        }
        let writer = match &mut self.writer {
            Some(writer) => writer,
            None => match Store::open(&self.folder, Arc::new(RealDisk)) {
                Ok(store) => {
                    self.store = Some(store.clone());
                    self.writer.insert(Writer::spawn(store))
                }
                Err(error) => return self.fail(error, output),
            },
        };
        let about = CheckpointMeta { modelled_s: output.modelled_s(), ..self.about.clone() };
        let checkpoint = Checkpoint::of(self.network, state, self.model.clone(), about);
        let waited = match self.waits {
            true => vec![writer.write_now(&checkpoint)],
            false => {
                writer.submit(checkpoint);
                Vec::new()
            }
        };
        self.submitted = Some(state.cursor.step);
        self.open += 1;
        self.take(waited, output)?;
        self.look(output)
    }

    /// Sees the state behind an epoch: saves the best so far, and that of the end, from which more epochs may follow.
    ///
    /// # Errors
    /// With `requireCheckpoint`, when one could not be written.
    pub fn epoch_ended(&mut self, state: &State, output: &mut Output) -> Result<(), JobError> {
        let better = self.accuracy.filter(|accuracy| *accuracy > self.best);
        if better.is_none() && state.cursor.epoch < self.epochs {
            return Ok(());
        }
        self.hoped.extend(better.map(|accuracy| (state.cursor.step, accuracy)));
        self.save(state, output)
    }

    /// Takes up what became of checkpoints; does not wait.
    ///
    /// # Errors
    /// With `requireCheckpoint`, when one could not be written.
    pub fn look(&mut self, output: &mut Output) -> Result<(), JobError> {
        let Some(writer) = self.writer.as_mut().filter(|_| self.open > 0) else { return Ok(()) };
        let results = writer.results();
        self.take(results, output)
    }

    /// Waits until all is written.
    ///
    /// # Errors
    /// With `requireCheckpoint`, when one could not be written.
    pub fn finish(&mut self, output: &mut Output) -> Result<(), JobError> {
        let Some(writer) = self.writer.take() else { return Ok(()) };
        let results = writer.finish();
        self.take(results, output)
    }

    /// File and step of the newest checkpoint of this run that is on the disk.
    pub fn newest(&self) -> Option<&(PathBuf, u64)> {
        self.newest.as_ref()
    }

    fn take(&mut self, results: Vec<Result<Written, RunError>>, output: &mut Output) -> Result<(), JobError> {
        for result in results {
            match result {
                Ok(written) => {
                    self.written(&written);
                    output.hear(&Event::Checkpoint {
                        path: written.path.to_string_lossy().into_owned(),
                        step: written.step,
                        bytes: written.bytes,
                        seconds: written.seconds,
                    });
                }
                Err(error) => self.fail(error, output)?,
            }
        }
        Ok(())
    }

    fn written(&mut self, written: &Written) {
        // One that waited may have made room for this one: then it has no result of its own.
        if self.submitted == Some(written.step) {
            self.open = 0;
        }
        let hoped = self.hoped.iter().find(|(step, _)| *step == written.step).map(|(_, accuracy)| *accuracy);
        if let Some(accuracy) = hoped.filter(|accuracy| *accuracy > self.best) {
            self.best = accuracy;
            match (&mut self.writer, &self.store) {
                (Some(writer), _) => writer.mark_best(written.step),
                // The last of all: nothing is written beside it any more. That it has only one name is no loss.
                (None, Some(store)) => drop(store.mark_best(&written.path)),
                (None, None) => {}
            }
        }
        self.hoped.retain(|(step, _)| *step > written.step);
        self.newest = Some((written.path.clone(), written.step));
    }

    fn fail(&mut self, error: RunError, output: &mut Output) -> Result<(), JobError> {
        if self.require {
            return Err(JobError(format!("{error} (requireCheckpoint is set)")));
        }
        let kind = match &error {
            RunError::Io { why, .. } => format!("{:?}", why.kind()),
            other => other.to_string(),
        };
        if !self.told.contains(&kind) {
            let kept = match &self.newest {
                Some((_, step)) => format!("the checkpoint of step {step} stays"),
                None => "there is no older one".to_owned(),
            };
            output.hear(&Event::Note { text: format!("no checkpoint written: {error}; training goes on, {kept}") });
            self.told.push(kind);
        }
        Ok(())
    }
}
