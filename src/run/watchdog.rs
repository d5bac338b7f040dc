//! The watchdog: a thread that says who holds training up, and ends what nobody would end.
//!
//! It looks at [`Vitals`] only, so it sees what the rank's own thread cannot say while it waits. Three things end the job:
//! no step for `--stall-abort`; a rank that died where the launcher lets the others live and the mode cannot go on without
//! it; and the word of another rank. What "end" means is up to whoever starts the watchdog.

use crate::comm::{Life, Vitals};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// From look to look.
const LOOK: Duration = Duration::from_millis(50);
/// Missing ranks that a line names.
const NAMES: usize = 5;

/// What a watchdog holds for wrong.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rules {
    /// No step for so long is worth a line; again at twice, four times, ... of it.
    pub warn: Option<Duration>,
    /// No step for so long ends the job.
    pub abort: Option<Duration>,
    /// So long after a rank died the job ends; without, the mode goes on, or the launcher ends it.
    pub deaths: Option<Duration>,
    /// The command that resumes, for the last line.
    pub resume: Option<String>,
    /// What each rank is besides its number, as `stage 1 (fc2)`; empty where they are all alike.
    pub titles: Vec<String>,
}

/// What it has to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Alarm {
    /// A line; training goes on.
    Warn(String),
    /// The job ends with this exit code. Without a message another rank has said why.
    End(u8, Option<String>),
}

/// A running watchdog. Dropping it calls it off.
#[derive(Debug)]
pub struct Watchdog {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    rules: Mutex<Rules>,
    steps_are_made: AtomicBool,
    off: AtomicBool,
}

impl Shared {
    fn rules(&self) -> MutexGuard<'_, Rules> {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watchdog {
    /// Begins to watch; `names` says for every rank where it is, as `rank 2 on node3`.
    ///
    /// # Errors
    /// When there is no thread to be had.
    ///
    /// # Panics
    /// If there is not one name a rank.
    pub fn start(
        vitals: Arc<Vitals>,
        names: Vec<String>,
        rules: Rules,
        mut sound: impl FnMut(Alarm) + Send + 'static,
    ) -> std::io::Result<Self> {
        assert_eq!(vitals.size(), names.len());
        let shared = Arc::new(Shared { rules: Mutex::new(rules), ..Shared::default() });
        let seen = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name("watchdog".into()).spawn(move || {
            let start = Instant::now();
            let mut watch = Watch::new(&vitals, names);
            while !seen.off.load(Relaxed) {
                let rules = seen.rules().clone();
                if let Some(alarm) = watch.look(start.elapsed(), &rules, seen.steps_are_made.load(Relaxed)) {
                    let over = matches!(alarm, Alarm::End(..));
                    sound(alarm);
                    if over {
                        return;
                    }
                }
                std::thread::park_timeout(LOOK);
            }
        })?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// From now on these rules hold.
    pub fn set_rules(&self, rules: Rules) {
        *self.shared.rules() = rules;
    }

    /// Whether steps are made now. While data are loaded, or samples measured, a rank may be busy for long without one:
    /// then only ranks that have died or stand still count as holding things up.
    pub fn steps_are_made(&self, made: bool) {
        self.shared.steps_are_made.store(made, Relaxed);
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.shared.off.store(true, Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // The alarm itself may call it off.
            if thread.thread().id() != std::thread::current().id() {
                let _ = thread.join();
            }
        }
    }
}

/// What the thread remembers between two looks.
struct Watch<'a> {
    vitals: &'a Vitals,
    names: Vec<String>,
    steps: Vec<u64>,
    moved: Duration,
    next_warning: Option<Duration>,
    died: Vec<Option<Duration>>,
}

impl<'a> Watch<'a> {
    fn new(vitals: &'a Vitals, names: Vec<String>) -> Self {
        let (steps, died) = (vec![0; names.len()], vec![None; names.len()]);
        Self { vitals, names, steps, moved: Duration::ZERO, next_warning: None, died }
    }

    fn look(&mut self, now: Duration, rules: &Rules, steps_are_made: bool) -> Option<Alarm> {
        if let Some(code) = self.vitals.ending() {
            return Some(Alarm::End(code, None));
        }
        let ranks = 0..self.names.len();
        let lost = |rank: &usize| self.vitals.life(*rank) == Life::Lost;
        ranks.clone().filter(lost).for_each(|rank| _ = self.died[rank].get_or_insert(now));
        let fatal = |grace: Duration| self.died.iter().position(|died| died.is_some_and(|died| now - died >= grace));
        if let Some(rank) = rules.deaths.and_then(fatal) {
            let title = rules.titles.get(rank).map_or(String::new(), |title| format!("{title}, "));
            let name = &self.names[rank];
            let text = format!("{title}{name} is lost (its process ended), and with it the job{}", again(rules));
            return Some(Alarm::End(7, Some(text)));
        }
        let steps: Vec<u64> = ranks.clone().map(|rank| self.vitals.step(rank)).collect();
        let frozen = ranks.clone().any(|rank| self.vitals.life(rank) == Life::Silent);
        if steps != self.steps || !(steps_are_made || frozen) {
            (self.steps, self.moved, self.next_warning) = (steps, now, None);
            return None;
        }
        let still = now - self.moved;
        if let Some(most) = rules.abort
            && still >= most
        {
            let text = format!("{}; ended by --stall-abort{}", self.stalled(still), again(rules));
            return Some(Alarm::End(7, Some(text)));
        }
        let warn = rules.warn?;
        let due = *self.next_warning.get_or_insert(warn);
        (still >= due).then(|| {
            self.next_warning = Some(2 * due);
            Alarm::Warn(self.stalled(still))
        })
    }

    fn stalled(&self, still: Duration) -> String {
        let furthest = self.steps.iter().max().copied().unwrap_or(0);
        let missing = missing(self.vitals);
        let names: Vec<String> = missing
            .iter()
            .take(NAMES)
            .map(|(rank, why)| match why {
                Why::Behind(step) => format!("{} (at step {step})", self.names[*rank]),
                Why::Died => format!("{} (its process ended)", self.names[*rank]),
                Why::Silent => format!("{} (stopped or cut off: it is not heard of)", self.names[*rank]),
                Why::Busy => format!("{} (still at work)", self.names[*rank]),
            })
            .collect();
        let more = missing.len().saturating_sub(NAMES);
        let more = if more > 0 { format!(" and {more} more ranks") } else { String::new() };
        let whom = match names.is_empty() {
            true => "all ranks wait for each other".to_owned(),
            false => format!("waiting for {}{more}", names.join(", ")),
        };
        format!("no step for {:.0} s, at step {furthest}: {whom}", still.as_secs_f64())
    }
}

/// What to do after the end.
fn again(rules: &Rules) -> String {
    rules.resume.as_ref().map_or(String::new(), |command| format!("; go on with `{command}`"))
}

/// Why a rank is missed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Why {
    Died,
    Silent,
    Busy,
    Behind(u64),
}

/// The ranks that the others wait for: those that are gone or stand still; else, where some wait for a message, those
/// that do not; else those that are behind the furthest.
fn missing(vitals: &Vitals) -> Vec<(usize, Why)> {
    let watched: Vec<usize> = (0..vitals.size()).filter(|rank| vitals.watched(*rank)).collect();
    let gone = |rank: &usize| match vitals.life(*rank) {
        Life::Lost => Some((*rank, Why::Died)),
        Life::Silent => Some((*rank, Why::Silent)),
        Life::Alive => None,
    };
    let found: Vec<_> = watched.iter().filter_map(gone).collect();
    if !found.is_empty() {
        return found;
    }
    let found: Vec<_> = watched.iter().filter(|rank| !vitals.waiting(**rank)).map(|rank| (*rank, Why::Busy)).collect();
    if found.len() < watched.len() && !found.is_empty() || watched.len() == 1 {
        return found;
    }
    let furthest = watched.iter().map(|rank| vitals.step(*rank)).max().unwrap_or(0);
    let behind = |rank: &usize| {
        let step = vitals.step(*rank);
        (step < furthest).then_some((*rank, Why::Behind(step)))
    };
    watched.iter().filter_map(behind).collect()
}

#[cfg(test)]
mod tests;
