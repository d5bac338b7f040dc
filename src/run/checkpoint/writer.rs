//! Writing checkpoints beside the training.
//!
//! The state is copied once, and a thread turns the copy into a file while training goes on. At most one copy waits: a
//! newer one takes its place. Where a copy would take more than half of the memory that is left, the state is written
//! before training goes on, straight from where it stands.

use super::format::Checkpoint;
use super::store::{Saved, Store};
use crate::run::RunError;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

/// A checkpoint that was written.
#[derive(Debug, Clone, PartialEq)]
pub struct Written {
    /// Its step.
    pub step: u64,
    /// Its file.
    pub path: PathBuf,
    /// How long it took.
    pub seconds: f64,
    /// The file's length.
    pub bytes: u64,
}

/// Writes checkpoints into a store, one after the other.
#[derive(Debug)]
pub struct Writer {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    /// Bytes of memory that are left, where that is known.
    left: fn() -> Option<u64>,
}

#[derive(Debug)]
struct Shared {
    store: Store,
    queue: Mutex<Queue>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: Option<Checkpoint<'static>>,
    /// The step whose checkpoint gets the name `best` once it is written.
    best: Option<u64>,
    busy: bool,
    closed: bool,
    results: Vec<Result<Written, RunError>>,
}

impl Writer {
    /// Starts the thread; where the system has none to give, every checkpoint is written before training goes on.
    pub fn spawn(store: Store) -> Self {
        let shared = Arc::new(Shared { store, queue: Mutex::default(), changed: Condvar::new() });
        let theirs = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name("checkpoints".into()).spawn(move || theirs.write_all()).ok();
        Self { shared, thread, left: memory_left }
    }

    /// Has a checkpoint written. It is copied and this returns at once, or, where the copy would not fit, it is written
    /// first. Either way the outcome is one of [`Writer::results`].
    pub fn submit(&mut self, checkpoint: Checkpoint) {
        if self.thread.is_none() || !fits(checkpoint.bytes(), (self.left)()) {
            let result = self.write_now(&checkpoint);
            self.shared.lock().results.push(result);
            return;
        }
        // Taken away first, so that three copies never stand side by side.
        drop(self.shared.lock().waiting.take());
        let copy = checkpoint.into_owned();
        self.shared.lock().waiting = Some(copy);
        self.shared.changed.notify_all();
    }

    /// Gives the checkpoint of this step the name `best`, once it is written; nothing when it never is. A failure is one
    /// of the [`Writer::results`].
    pub fn mark_best(&mut self, step: u64) {
        self.shared.lock().best = Some(step);
        self.shared.changed.notify_all();
        if self.thread.is_none() {
            self.shared.mark();
        }
    }

    /// What became of checkpoints since the last call; does not wait.
    pub fn results(&mut self) -> Vec<Result<Written, RunError>> {
        std::mem::take(&mut self.shared.lock().results)
    }

    /// Writes a checkpoint and waits for it: the last one, before the process ends. One that waits is older and is
    /// dropped; one that is being written is waited for.
    ///
    /// # Errors
    /// Those of [`Store::save`].
    pub fn write_now(&mut self, checkpoint: &Checkpoint) -> Result<Written, RunError> {
        let mut queue = self.shared.lock();
        queue.waiting = None;
        drop(self.shared.idle(queue));
        self.shared.write(checkpoint)
    }

    /// Waits until all is written, and ends the thread.
    pub fn finish(mut self) -> Vec<Result<Written, RunError>> {
        self.close();
        self.results()
    }

    /// Whether a copy waits for the thread.
    #[cfg(test)]
    pub(super) fn is_waiting(&self) -> bool {
        self.shared.lock().waiting.is_some()
    }

    /// The same with another idea of how much memory is left.
    #[cfg(test)]
    pub(super) fn with_memory(self, left: fn() -> Option<u64>) -> Self {
        let mut writer = self;
        writer.left = left;
        writer
    }

    fn close(&mut self) {
        self.shared.lock().closed = true;
        self.shared.changed.notify_all();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join(); // a panic in it was told by the hook of the process
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.close();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'q>(&self, queue: MutexGuard<'q, Queue>) -> MutexGuard<'q, Queue> {
        self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until nothing is being written.
    fn idle<'q>(&self, mut queue: MutexGuard<'q, Queue>) -> MutexGuard<'q, Queue> {
        while queue.busy {
            queue = self.wait(queue);
        }
        queue
    }

    /// The thread: writes what comes until the queue is closed and empty.
    fn write_all(&self) {
        let mut queue = self.lock();
        loop {
            if let Some(checkpoint) = queue.waiting.take() {
                queue.busy = true;
                drop(queue);
                let result = self.write(&checkpoint);
                drop(checkpoint); // before the next copy is made
                queue = self.lock();
                queue.busy = false;
                queue.results.push(result);
                self.changed.notify_all();
            } else if queue.best.is_some() {
                drop(queue);
                self.mark();
                queue = self.lock();
            } else if queue.closed {
                return;
            } else {
                queue = self.wait(queue);
            }
        }
    }

    fn write(&self, checkpoint: &Checkpoint) -> Result<Written, RunError> {
        let start = Instant::now();
        let Saved { path, bytes } = self.store.save(checkpoint)?;
        Ok(Written { step: checkpoint.step(), path, seconds: start.elapsed().as_secs_f64(), bytes })
    }

    fn mark(&self) {
        let Some(step) = self.lock().best.take() else { return };
        match self.store.mark_best(&self.store.path(step)) {
            // A newer one took its place before it was written, or it could not be written, which was told.
            Err(RunError::Io { why, .. }) if why.kind() == std::io::ErrorKind::NotFound => {}
            Err(failure) => self.lock().results.push(Err(failure)),
            Ok(()) => {}
        }
    }
}

/// Whether a copy of so many bytes leaves as much memory as it takes. What is not known is taken for enough.
fn fits(bytes: u64, left: Option<u64>) -> bool {
    left.is_none_or(|left| bytes.saturating_mul(2) <= left)
}

/// Bytes of memory that this process may still take: what the machine has left, or its control group.
fn memory_left() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let machine = line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.saturating_mul(1024);
    Some(machine.min(group_left().unwrap_or(u64::MAX)))
}

/// Bytes that the control group of this process has left, where it has a bound.
fn group_left() -> Option<u64> {
    let groups = std::fs::read_to_string("/proc/self/cgroup").ok()?;
    let path = groups.lines().find_map(|line| line.strip_prefix("0::"))?.trim_matches('/');
    let number = |name: &str| {
        let text = std::fs::read_to_string(PathBuf::from("/sys/fs/cgroup").join(path).join(name)).ok()?;
        text.trim().parse::<u64>().ok()
    };
    Some(number("memory.max")?.saturating_sub(number("memory.current")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_leaves_as_much_memory_as_it_takes() {
        for (bytes, left, fitting) in
            [(10, None, true), (10, Some(20), true), (10, Some(19), false), (u64::MAX, Some(u64::MAX - 1), false)]
        {
            assert_eq!(fits(bytes, left), fitting, "{bytes} {left:?}");
        }
        if cfg!(target_os = "linux") {
            assert!(memory_left().is_some());
        }
    }
}
