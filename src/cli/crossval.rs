//! Stratified cross-validation in any data-parallel mode: `--folds K --repeats R`.

use super::failure::Failure;
use super::observer::{Observer, stopped, together, told};
use super::output::Output;
use super::prepare::Prepared;
use super::ranks::{Ended, agreed};
use super::task::{self, Parts};
use crate::comm::{Communicator, Solo};
use crate::data::split::{Split, all_but, stratified_folds};
use crate::device::RealClock;
use crate::event::Event;
use crate::run::fault::Fault;
use crate::run::signals::StopRequest;
use crate::run::state::{Cv, Final};
use crate::strategy::{self, Ending, Fit, Job, JobError, State, Strategy, Task, Turn};
use rayon::prelude::*;

/// Trains on all folds but one, measures on that one, for every fold of every repeat.
///
/// One rank alone runs its folds on several threads; on several ranks all of them train each fold together.
///
/// # Collective
/// Every rank must call it.
pub fn cross_validate(
    comm: &dyn Communicator,
    prepared: &Prepared,
    output: &mut Option<Output>,
    stop: StopRequest,
    fault: Option<Fault>,
) -> Result<(), Ended> {
    let (config, data, network) = (&prepared.config, &prepared.data, &prepared.network);
    let rows = data.len() - data.own_test();
    let folds = agreed(comm, held_out_rows(prepared))?;
    if let Some(output) = output {
        let samples = rows - folds.first().map_or(0, Vec::len);
        let hyper = task::hyper(config, samples, prepared.trainers);
        output.hear(&Event::Started {
            parameters: network.theta_len(),
            train_samples: samples,
            global_batch: hyper.global_batch,
            steps_per_epoch: samples.div_ceil(hyper.global_batch) as u64,
            bytes_per_exchange: strategy::bytes_per_exchange(network, &hyper),
        });
    }
    let fit = |comm: &dyn Communicator, held_out: &[usize], job: &mut dyn Job| -> Result<Fit, Ended> {
        let split = Split { train: all_but(rows, held_out), validation: Vec::new(), test: held_out.to_vec() };
        let parts = Parts::cut(data, &split, prepared.augment);
        let hyper = task::hyper(config, parts.train.len(), prepared.trainers);
        let (train, validation, test) = (&*parts.train, &*parts.validation, &*parts.test);
        let task = Task {
            network,
            train,
            validation,
            test,
            hyper: hyper.clone(),
            pipeline: None,
            grid: None,
            split: None,
            resume: None,
        };
        Ok(strategy::fit(prepared.strategy, &task, comm, &RealClock::start(), job)?)
    };
    let mut fits: Vec<Fit> = Vec::new();
    for (repeat, folds) in folds.chunks(config.folds).enumerate() {
        let done: Vec<Fit> = match prepared.strategy {
            Strategy::Single => folds
                .par_iter()
                .map(|rows| fit(&Solo::new(), rows, &mut Quiet { stop: &stop }))
                .collect::<Result<_, _>>()?,
            _ => {
                let mut observer = Observer::new(comm.rank(), None, stop.clone(), fault);
                folds.iter().map(|rows| fit(comm, rows, &mut observer)).collect::<Result<_, _>>()?
            }
        };
        if let Some(fit) = done.iter().find(|fit| fit.ending == Ending::Stopped) {
            let words = told(&stop, false);
            let words = if fit.lost.is_empty() { together(comm, words)? } else { words };
            return Err(stopped(fit, words, None));
        }
        if let Some(output) = output {
            let accuracies = done.iter().filter_map(|fit| fit.test.accuracy()).collect();
            output.hear(&Event::Repeat { repeat: repeat + 1, repeats: config.repeats.get(), accuracies });
        }
        fits.extend(done);
    }
    if let Some(output) = output {
        enter(output, prepared, &fits);
    }
    Ok(())
}

/// The rows that each fold of each repeat holds out; a set's own test set takes no part.
fn held_out_rows(prepared: &Prepared) -> Result<Vec<Vec<usize>>, Failure> {
    let (config, data) = (&prepared.config, &prepared.data);
    let labels = &data.labels()[..data.len() - data.own_test()];
    let mut all = Vec::new();
    for repeat in 0..config.repeats.get() {
        all.extend(stratified_folds(labels, data.num_classes(), config.folds, config.seed, repeat as u64)?);
    }
    Ok(all)
}

/// Mean and standard deviation of the folds' accuracies.
fn enter(output: &mut Output, prepared: &Prepared, fits: &[Fit]) {
    let accuracies: Vec<f64> = fits.iter().filter_map(|fit| fit.test.accuracy()).collect();
    let n = accuracies.len().max(1) as f64;
    let mean = accuracies.iter().sum::<f64>() / n;
    let sd = (accuracies.iter().map(|a| (a - mean).powi(2)).sum::<f64>() / (n - 1.0).max(1.0)).sqrt();
    let (folds, repeats) = (prepared.config.folds, prepared.config.repeats.get());
    output.run.cv = Some(Cv { mean, sd, folds, repeats });
    let loop_s: f64 = fits.iter().map(|fit| fit.loop_s).sum();
    let samples: u64 = fits.iter().map(|fit| fit.cursor.samples).sum();
    output.run.final_figures = Some(Final {
        train_loss: None,
        val_acc: None,
        test_acc: None,
        test_size: fits.iter().map(|fit| fit.test.samples as usize).sum(),
        samples_per_s: (loop_s > 0.0).then(|| samples as f64 / loop_s),
        elapsed_s: Some(output.now().0),
        comm_share: (loop_s > 0.0).then(|| fits.iter().map(|f| f.comm_share * f.loop_s).sum::<f64>() / loop_s),
        energy_j: None,
        modelled_s: None,
        modelled_energy_j: None,
        stages: Vec::new(),
        weights_hash: String::new(),
    });
}

/// A fold on a thread of its own: it can be stopped, and says nothing.
struct Quiet<'a> {
    stop: &'a StopRequest,
}

impl Job for Quiet<'_> {
    fn emit(&mut self, _: Event) {}

    fn turn(&mut self, _: &State) -> Result<Turn, JobError> {
        Ok(if self.stop.signal().is_some() { Turn::Stop } else { Turn::GoOn })
    }
}
