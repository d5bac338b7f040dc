//! Signals: a request to stop becomes a flag that the next step reads.
#![allow(unsafe_code)] // one system call that ties this process's life to its parent's

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// The signal that asked this process to stop, if any.
#[derive(Debug, Clone, Default)]
pub struct StopRequest(Arc<AtomicUsize>);

impl StopRequest {
    /// From now on SIGINT and SIGTERM ask for a stop; the second one ends the process at once.
    ///
    /// Installed after MPI has started, because MPI libraries install handlers of their own.
    pub fn listen() -> Self {
        let (request, armed) = (Self::default(), Arc::new(AtomicBool::new(false)));
        for signal in [SIGINT, SIGTERM] {
            // A handler that cannot be installed leaves the signal's default: the process ends, as it would have.
            let _ = flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&armed));
            let _ = flag::register_usize(signal, Arc::clone(&request.0), signal as usize);
            let _ = flag::register(signal, Arc::clone(&armed));
        }
        request
    }

    /// The number of the signal.
    pub fn signal(&self) -> Option<i32> {
        match self.0.load(Ordering::Relaxed) {
            0 => None,
            signal => Some(signal as i32),
        }
    }
}

/// Asks the kernel to end this process when its parent ends: a launcher that was killed leaves no orphans.
pub fn die_with_parent() {
    #[cfg(target_os = "linux")]
    {
        use std::os::unix::process::parent_id;
        let parent = parent_id();
        // SAFETY: PR_SET_PDEATHSIG reads one more argument, an unsigned long that is a signal's number, and touches no
        // memory.
        unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as libc::c_ulong) };
        // A parent that ended just before the call has left an heir. (Process 1 may be the launcher itself: in a
        // container it often is, so its number says nothing.)
        if parent_id() != parent {
            std::process::exit(143);
        }
    }
}
