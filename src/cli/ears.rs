//! A run that has nothing to save ends at once when it is asked to: with a word, and a state that says why.

use super::failure::Failure;
use super::vigil::{Vigil, end, enter};
use crate::run::RunDir;
use crate::run::signals::{StopRequest, signal_name};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// From look to look.
const LOOK: Duration = Duration::from_millis(20);

/// Rank 0 listens for signals, whatever its own thread waits for. Dropping it ends that.
pub struct Ears {
    off: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Ears {
    /// From now on a signal ends the job: a line that ends with `advice`, the state in the run directory, and the exit
    /// code that a shell gives a process that died of the signal.
    pub fn open(dir: &RunDir, advice: &'static str) -> Self {
        let (stop, off, dir) = (StopRequest::listen(), Arc::<AtomicBool>::default(), dir.clone());
        let closed = Arc::clone(&off);
        let thread = std::thread::Builder::new().name("signals".into()).spawn(move || {
            while !closed.load(Ordering::Relaxed) {
                if let Some(signal) = stop.signal() {
                    obey(signal, &dir, advice);
                }
                std::thread::park_timeout(LOOK);
            }
        });
        // Without a thread the second signal ends the process.
        Self { off, thread: thread.ok() }
    }
}

impl Drop for Ears {
    fn drop(&mut self) {
        self.off.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            let _ = thread.join();
        }
    }
}

fn obey(signal: i32, dir: &RunDir, advice: &str) -> ! {
    let code = u8::try_from(128 + signal).unwrap_or(u8::MAX);
    let failure = Failure::new(code, format!("stopped by {}; {advice}", signal_name(signal)));
    failure.tell();
    let _ = enter(dir, code, failure.message);
    Vigil::end_all(code);
    end(code)
}
