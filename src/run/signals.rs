//! Signals: a request to stop becomes a flag that the next step reads.
#![allow(unsafe_code)] // one system call that ties this process's life to its parent's

use crate::strategy::Turn;
use signal_hook::consts::{SIGINT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook::{flag, low_level};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// The signal that asked this process to stop, if any.
#[derive(Debug, Clone, Default)]
pub struct StopRequest(Arc<AtomicUsize>);

impl StopRequest {
    /// From now on SIGUSR1, SIGUSR2, SIGINT and SIGTERM ask for a stop; the second one ends the process at once.
    ///
    /// Installed after MPI has started, because MPI libraries install handlers of their own.
    pub fn listen() -> Self {
        let (request, armed) = (Self::default(), Arc::new(AtomicBool::new(false)));
        for signal in [SIGINT, SIGTERM, SIGUSR1, SIGUSR2] {
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

    /// What the signal asks of a rank: SIGUSR2 to a worker alone that it leaves, any other that all stop.
    pub fn wish(&self, rank: usize) -> Turn {
        match self.signal() {
            None => Turn::GoOn,
            Some(SIGUSR2) if rank > 0 => Turn::Leave,
            Some(_) => Turn::Stop,
        }
    }
}

/// The name of a signal that asks for a stop.
pub fn signal_name(signal: i32) -> &'static str {
    match signal {
        SIGINT => "SIGINT",
        SIGUSR1 => "SIGUSR1",
        SIGUSR2 => "SIGUSR2",
        _ => "SIGTERM",
    }
}

/// Ends this process as the signal does where nobody listens for it.
pub fn die_of(signal: i32) -> ! {
    let _ = low_level::emulate_default_handler(signal);
    std::process::exit(128 + signal)
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
