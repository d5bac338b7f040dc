//! Measured here: an epoch of a way to train, by its own ranks, loop and messages, where as many ranks as it takes are here.
//!
//! What the model leaves out, a core that is slower while the other one computes, waits that sleep and wake up late, ranks that
//! come to a meeting at different times, is in the step itself: where it can be taken, it is. Nothing is learned by it, the
//! rate is 0.

use super::books::Book;
use super::rates::Beside;
use super::steps::Few;
use super::subject::Subject;
use crate::cli::prepare::Settled;
use crate::cli::{stages, sync};
use crate::comm::{CommError, Communicator, ThreadOptions, Values, Vitals, Watched, run_threads};
use crate::data::Samples;
use crate::device::RealClock;
use crate::event::Event;
use crate::nn::Network;
use crate::optim::{Schedule, Shape};
use crate::plan::scale::{Carrier, Fabric, Prediction};
use crate::strategy::{self, Hyper, Job, JobError, Local, Pipeline, State, Strategy, Task, Turn};
use crate::units::Seconds;

/// How long the epochs of a way take together, about.
const BUDGET: f64 = 0.2;

/// Epochs that are looked at in a try, and how many at the most; one before them warms up.
const EPOCHS: (f64, f64) = (4.0, 400.0);

/// Tries, where they are short: how well two ranks meet differs from one beginning to the next.
const TRIES: usize = 5;

/// Steps that are this long are left to the model: a plan takes seconds.
const LONG: f64 = 0.25;

/// What an epoch on so many ranks takes, or nothing where they are not here; `modelled` tells how many steps there is time
/// for.
///
/// # Collective
/// In a job every rank must call it.
pub fn epoch(
    subject: &Subject,
    settled: &Settled,
    hyper: &Hyper,
    ranks: usize,
    (beside, fabric): (Beside, &Fabric),
    modelled: &Prediction,
) -> Option<Seconds> {
    let wanted = match settled.strategy {
        Strategy::Single | Strategy::Split => false,
        // Of a server that takes the first results the waits are modelled by their law.
        Strategy::SendRecv => sync::grid(&settled.config, ranks - 1).is_ok_and(|grid| grid.is_none()),
        Strategy::AllReduce | Strategy::Pipeline => true,
    };
    if !wanted || ranks < 2 || subject.devices.is_some() {
        return None;
    }
    let trial = Trial::new(subject, settled, hyper)?;
    let once = || match beside {
        Beside::Launched { comm, .. } if comm.size() == ranks => trial.agreed(comm, modelled).ok()?,
        Beside::Started if fabric.carrier == Carrier::Threads && subject.beside(ranks) == ranks => {
            let vitals = Vitals::of_threads(ranks);
            let all = run_threads(ranks, ThreadOptions::default(), |comm| {
                trial.agreed(&Watched::new(comm, &vitals), modelled)
            });
            all.into_iter().next()?.ok()?
        }
        _ => None,
    };
    let (mut epochs, mut spent) = (Vec::new(), 0.0);
    while epochs.len() < TRIES && spent < BUDGET {
        let seen = once()?;
        epochs.push(seen.epoch);
        spent += seen.spent;
    }
    epochs.sort_by(f64::total_cmp);
    epochs.get(epochs.len() / 2).copied().map(Seconds)
}

/// What a try took: the same on all ranks.
struct Tried {
    /// Seconds of an epoch of all steps.
    epoch: f64,
    /// Seconds of all epochs that were taken.
    spent: f64,
}

/// A way to train, ready to be tried.
struct Trial<'a> {
    subject: &'a Subject<'a>,
    hyper: &'a Hyper,
    strategy: Strategy,
    chain: Option<(Network, Pipeline)>,
}

impl<'a> Trial<'a> {
    fn new(subject: &'a Subject, settled: &Settled, hyper: &'a Hyper) -> Option<Self> {
        let chain = match settled.strategy {
            Strategy::Pipeline => {
                let network = Network::build(subject.network.spec().clone()).ok()?;
                let (config, origins) = (&settled.config, subject.origins);
                Some(stages::lay_out(config, origins, network, settled.chains, None, subject.samples()).ok()?)
            }
            _ => None,
        };
        Some(Self { subject, hyper, strategy: settled.strategy, chain })
    }

    /// As many steps as rank 0 has time for; what rank 0 saw.
    fn agreed(&self, comm: &dyn Communicator, modelled: &Prediction) -> Result<Option<Tried>, CommError> {
        let all = modelled.steps.max(1);
        let (steps, epochs) = size(modelled.epoch.0 / all as f64, all, self.period(all));
        let mut size = [steps as i64, epochs as i64];
        comm.broadcast(0, Values::I64(&mut size))?;
        if size[0] == 0 {
            return Ok(None);
        }
        let seconds = self.run(comm, size[0] as usize, size[1] as u64);
        let mut seconds = [seconds.unwrap_or(f64::NAN).to_bits() as i64];
        comm.broadcast(0, Values::I64(&mut seconds))?;
        let epoch = f64::from_bits(seconds[0] as u64);
        let spent = epoch * size[0] as f64 / all as f64 * size[1] as f64;
        Ok(epoch.is_finite().then_some(Tried { epoch, spent }))
    }

    /// Steps between two meetings.
    fn period(&self, all: u64) -> u64 {
        match self.hyper.local {
            Some(Local::Steps(period)) => period.get().min(all),
            Some(Local::Epochs(_)) => all,
            None => 1,
        }
    }

    /// Seconds of an epoch of all steps, by the middle one of so many short ones.
    fn run(&self, comm: &dyn Communicator, steps: usize, epochs: u64) -> Option<f64> {
        let (subject, hyper) = (self.subject, self.hyper);
        let (all, batch) = (subject.samples(), hyper.global_batch.clamp(1, subject.samples().max(1)));
        let few = |samples: &'a dyn Samples| Few { samples, len: (batch * steps).min(samples.len()) };
        let (train, validation) = (few(&*subject.parts.train), few(&*subject.parts.validation));
        let none = Few { samples: &*subject.parts.test, len: 0 };
        let schedule = Schedule { rate: 0.0, shape: Shape::Constant, ..hyper.schedule };
        let task = Task {
            network: self.chain.as_ref().map_or(subject.network, |chain| &chain.0),
            train: &train,
            validation: &validation,
            test: &none,
            hyper: Hyper { epochs, schedule, ..hyper.clone() },
            pipeline: self.chain.as_ref().map(|chain| &chain.1),
            grid: None,
            split: None,
            resume: None,
        };
        let book = if comm.rank() == 0 { Book::open("trial", comm.size()) } else { None };
        let mut seen = Seen { epochs: Vec::new(), book };
        strategy::fit(self.strategy, &task, comm, &RealClock::start(), &mut seen).ok()?;
        let warm = seen.epochs.get_mut(1..).filter(|warm| !warm.is_empty())?;
        warm.sort_by(f64::total_cmp);
        Some(warm[warm.len() / 2] * all as f64 / train.len.max(1) as f64)
    }
}

/// Steps of an epoch, whole periods, and epochs, for steps that take about so long; none where they take too long.
fn size(step: f64, all: u64, period: u64) -> (u64, u64) {
    // What is not finite cannot be tried, either.
    if step.is_nan() || step > LONG {
        return (0, 0);
    }
    let fit = (BUDGET / EPOCHS.0 / step.max(1e-9)) as u64 / period * period;
    let steps = fit.clamp(period, all);
    let epochs = (BUDGET / (step * steps as f64).max(1e-9)).clamp(EPOCHS.0, EPOCHS.1) as u64;
    if step * (steps * epochs) as f64 > 4.0 * LONG { (0, 0) } else { (steps, epochs + 1) }
}

/// Hears of epochs, and writes them down where a training would.
struct Seen {
    epochs: Vec<f64>,
    book: Option<Book>,
}

impl Job for Seen {
    fn emit(&mut self, event: Event) {
        if let Some(book) = &mut self.book {
            book.hear(&event);
        }
        if let Event::Epoch(record) = event {
            self.epochs.push(record.epoch_s);
        }
    }

    fn turn(&mut self, _: &State) -> Result<Turn, JobError> {
        Ok(Turn::GoOn)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_try_has_whole_periods_and_takes_its_time() {
        for (step, all, period, steps) in [
            (1e-6, 30, 1, 30),   // a whole epoch
            (5e-3, 162, 1, 10),  // a part of one
            (5e-3, 81, 8, 8),    // whole periods
            (2e-2, 81, 8, 8),    // at least one
            (0.1, 7, 1, 1),      // at least a step
            (0.1, 81, 8, 0),     // a period is too long
            (1.0, 81, 1, 0),     // a step is too long
            (f64::NAN, 1, 1, 0), // nothing is known of it
        ] {
            let (found, epochs) = size(step, all, period);
            assert_eq!(found, steps, "{step} {all} {period}");
            assert!(found == 0 || (5..=401).contains(&epochs), "{step} {epochs}");
        }
    }
}
