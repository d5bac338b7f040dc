//! A run that has nothing to save ends at once when it is asked to: with a word, and a state that says why.

use super::failure::Failure;
use super::vigil::{Vigil, end, enter};
use crate::run::RunDir;
use crate::run::signals::{StopRequest, die_of, signal_name};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// From look to look.
const LOOK: Duration = Duration::from_millis(20);
/// A signal may have reached all ranks: a launcher that ends the job with the first that dies lets rank 0 speak so long.
const RANK_0_SPEAKS: Duration = Duration::from_millis(300);

/// A rank listens for signals, whatever its own thread waits for. Dropping it ends that.
pub struct Ears {
    off: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Ears {
    /// From now on a signal to rank 0, which has the run directory, ends the job: with a line that ends with `advice`, the
    /// state in that directory, and the exit code that a shell gives a process that died of the signal. Any other rank
    /// dies of the signal, and is lost to those that live.
    pub fn open(dir: Option<&RunDir>, advice: &'static str) -> Self {
        let (stop, off, dir) = (StopRequest::listen(), Arc::<AtomicBool>::default(), dir.cloned());
        let closed = Arc::clone(&off);
        let thread = std::thread::Builder::new().name("signals".into()).spawn(move || {
            while !closed.load(Ordering::Relaxed) {
                match (stop.signal(), &dir) {
                    (Some(signal), Some(dir)) => end_all(signal, dir, advice),
                    (Some(signal), None) => {
                        std::thread::sleep(RANK_0_SPEAKS);
                        die_of(signal);
                    }
                    (None, _) => {}
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

fn end_all(signal: i32, dir: &RunDir, advice: &str) -> ! {
    let code = u8::try_from(128 + signal).unwrap_or(u8::MAX);
    let failure = Failure::new(code, format!("stopped by {}; {advice}", signal_name(signal)));
    // First what lasts: whoever asked may not wait.
    let _ = enter(dir, code, failure.message.clone());
    failure.tell();
    Vigil::end_all(code);
    end(code)
}
