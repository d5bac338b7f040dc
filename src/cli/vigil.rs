//! What watches over a job's ranks, from their start to their end: heartbeat, watchdog, and what an alarm does.

use super::failure::Failure;
use super::host::host;
use crate::comm::launcher::{Launcher, Survival};
use crate::comm::{Caller, CommError, Communicator, Heartbeat, Life, Pulse, Vitals, gather_texts};
use crate::config::Config;
use crate::run::state::read_state;
use crate::run::watchdog::{Alarm, Rules, Watchdog};
use crate::run::{RunDir, RunError};
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

/// Until the configuration is known.
const HEARTBEAT: Duration = Duration::from_secs(2);
/// A launcher that ends the others when a rank dies does so within two seconds, and tells why better than we could.
const LAUNCHER_ENDS: Duration = Duration::from_secs(3);
/// Time for the dying rank's own last word to be heard.
const NOBODY_ENDS: Duration = Duration::from_millis(100);
/// Time for another rank to say why the job ends.
const TELLING: Duration = Duration::from_millis(200);

/// The watch over the ranks of this process.
pub struct Vigil {
    vitals: Arc<Vitals>,
    heart: Option<Heartbeat>,
    dog: Option<Watchdog>,
    /// After a death the job ends so much later.
    grace: Option<Duration>,
    dir: Arc<Mutex<Option<RunDir>>>,
    notes: Vec<String>,
    /// Some rank did not come to the end: nothing waits for all of them.
    incomplete: AtomicBool,
}

/// How this process ends the job: known to panics, too.
static CALLER: OnceLock<Caller> = OnceLock::new();

impl Vigil {
    /// Over ranks that are threads of this process: they die together or not at all.
    pub fn over_threads(ranks: usize) -> Self {
        let names = (0..ranks).map(|rank| if ranks > 1 { format!("rank {rank}") } else { "this process".into() });
        Self::new(Vitals::of_threads(ranks), names.collect(), 0, None, None)
    }

    /// Over processes.
    ///
    /// # Collective
    /// Every rank must call it.
    ///
    /// # Errors
    /// When communication fails.
    #[cfg_attr(not(feature = "mpi"), allow(dead_code))]
    pub fn over_processes(comm: &dyn Communicator, launcher: &Launcher) -> Result<Self, CommError> {
        let hosts = gather_texts(comm, &host())?;
        let heart = Heartbeat::start(comm, &hosts, HEARTBEAT)?;
        // Where the launcher ends the job on a rank's end, a last word over the heartbeat could only confuse.
        if launcher.survival.lets_live() {
            let _ = CALLER.set(heart.caller());
        }
        let grace = match launcher.survival {
            Survival::Ends => LAUNCHER_ENDS,
            _ => NOBODY_ENDS,
        };
        let names = hosts.iter().enumerate().map(|(rank, host)| format!("rank {rank} on {host}")).collect();
        Ok(Self::new(Arc::clone(heart.vitals()), names, comm.rank(), Some(heart), Some(grace)))
    }

    fn new(
        vitals: Arc<Vitals>,
        names: Vec<String>,
        rank: usize,
        heart: Option<Heartbeat>,
        grace: Option<Duration>,
    ) -> Self {
        let dir = Arc::<Mutex<Option<RunDir>>>::default();
        let mut notes = heart.as_ref().map_or(Vec::new(), |heart| heart.notes().to_vec());
        let sound = alarm(rank, Arc::clone(&dir));
        let rules = Rules { deaths: grace, ..Rules::default() };
        let dog = Watchdog::start(Arc::clone(&vitals), names, rules, sound);
        let dog = dog.map_err(|error| notes.push(format!("nobody watches for stalls: no thread ({error})"))).ok();
        Self { vitals, heart, dog, grace, dir, notes, incomplete: AtomicBool::new(false) }
    }

    /// What is known of the ranks.
    pub fn vitals(&self) -> &Arc<Vitals> {
        &self.vitals
    }

    /// What the reader should know about the watch; empty when all is well.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// From now on holds to what the configuration says. With `survives` a rank may die and training goes on: a death
    /// ends the job only where it is rank 0's, seen by another rank. `titles` say what each rank is, where they differ.
    pub fn configure(&self, config: &Config, rank: usize, survives: bool, resume: Option<String>, titles: Vec<String>) {
        let time = |seconds: f64| Some(Duration::from_secs_f64(seconds)).filter(|time| !time.is_zero());
        if let Some(heart) = &self.heart {
            heart.set_timeout(Duration::from_secs_f64(config.heartbeat));
        }
        let judges = rank == 0;
        let rules = Rules {
            warn: time(config.stall_warn).filter(|_| judges),
            abort: time(config.stall_abort).filter(|_| judges),
            deaths: self.grace.filter(|_| !(judges && survives)),
            resume,
            titles,
        };
        if let Some(dog) = &self.dog {
            dog.set_rules(rules);
        }
    }

    /// Some rank did not come to the end of the training, which went on without it.
    pub fn has_lost_ranks(&self) {
        self.incomplete.store(true, Ordering::Relaxed);
    }

    /// Whether all ranks came to the end, so that they can end MPI together.
    #[cfg_attr(not(feature = "mpi"), allow(dead_code))]
    pub fn is_complete(&self) -> bool {
        !self.incomplete.load(Ordering::Relaxed)
    }

    /// Waits until rank 0 is done, for ranks that cannot end together with it: where the launcher ends the job with the
    /// first process that ends on its own, that has to be rank 0, when it has saved all.
    #[cfg_attr(not(feature = "mpi"), allow(dead_code))]
    pub fn await_rank_0(&self) {
        while self.vitals.watched(0) && self.vitals.life(0) != Life::Lost {
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The run directory whose state is to tell of an alarm that ends the job.
    pub fn tell_in(&self, dir: &RunDir) {
        *self.dir.lock().unwrap_or_else(PoisonError::into_inner) = Some(dir.clone());
    }

    /// What a rank's training tells of itself.
    pub fn watcher(&self, rank: usize) -> Watcher<'_> {
        // One rank speaks for all that share a watchdog.
        Watcher { pulse: self.vitals.pulse(rank), dog: self.dog.as_ref().filter(|_| rank == 0) }
    }

    /// Ends the job on all ranks where nothing else would: after the failure of a rank of its own.
    #[cfg_attr(not(feature = "mpi"), allow(dead_code))]
    pub fn end_all(code: u8) {
        if let Some(caller) = CALLER.get() {
            caller.end(code);
        }
    }
}

/// One rank's hand on the watch.
pub struct Watcher<'a> {
    pulse: Pulse,
    dog: Option<&'a Watchdog>,
}

impl Watcher<'_> {
    /// The rank begins this step.
    pub fn at(&self, step: u64) {
        self.pulse.at(step);
    }

    /// Whether steps are made now; otherwise data are loaded or samples measured.
    pub fn steps_are_made(&self, made: bool) {
        if let Some(dog) = self.dog {
            dog.steps_are_made(made);
        }
    }
}

impl Drop for Watcher<'_> {
    fn drop(&mut self) {
        self.steps_are_made(false);
    }
}

/// What an alarm does at this rank.
fn alarm(rank: usize, dir: Arc<Mutex<Option<RunDir>>>) -> impl FnMut(Alarm) + Send + 'static {
    move |alarm| match alarm {
        Alarm::Warn(text) => {
            let _ = std::io::stderr().write_all(format!("warning: {text}\n").as_bytes());
        }
        Alarm::End(code, message) => {
            // Rank 0 tells; where it is rank 0 that died, the next one does. The others let it speak before they end the job.
            match &message {
                Some(message) if rank <= 1 => Failure::new(code, message).tell(),
                Some(_) => std::thread::sleep(TELLING),
                None => {}
            }
            if let Some(dir) = &*dir.lock().unwrap_or_else(PoisonError::into_inner) {
                let why = message.unwrap_or_else(|| "another rank ended the job; its own message says why".into());
                let _ = enter(dir, code, why);
            }
            Vigil::end_all(code);
            end(code)
        }
    }
}

/// Writes the end into run.json: the thread that owns it waits for a message.
pub(super) fn enter(dir: &RunDir, code: u8, why: String) -> Result<(), RunError> {
    let mut run = read_state(dir.path())?;
    run.finish(code.into(), Some(why));
    run.write(dir)
}

/// Ends this process, and with it the job where the launcher sees to that.
pub(super) fn end(code: u8) -> ! {
    #[cfg(feature = "mpi")]
    crate::comm::mpi::abort(code.into());
    #[cfg(not(feature = "mpi"))]
    std::process::exit(code.into())
}
