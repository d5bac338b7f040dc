//! What Open MPI 5 knows of ranks that have failed, with `mpirun --with-ft ulfm`.
//!
//! Its functions are looked up when the program starts, so that one program runs with a library that has them and with
//! one that has not. Under ULFM a call that needs a failed rank returns an error instead of waiting for ever; a
//! communicator can be revoked, so that no rank waits for a rank that has given up on it, and shrunk to the ranks that live.
//!
//! # References
//! Bland et al., *Post-failure recovery of MPI communication capability: design and rationale*, IJHPCA 27 (2013).

use super::{MpiComm, check, ffi};
use crate::comm::communicator::Doing;
use crate::comm::{CommError, Life, Pending, Tag};
use std::ffi::{CStr, c_int, c_void};

/// Error classes that Open MPI 5 added, not among the bindings of an older one.
const PROC_FAILED: c_int = 75;
const PROC_FAILED_PENDING: c_int = 76;
const REVOKED: c_int = 77;

type OfComm = unsafe extern "C" fn(ffi::MPI_Comm) -> c_int;
type OfGroup = unsafe extern "C" fn(ffi::MPI_Comm, *mut ffi::MPI_Group) -> c_int;
type OfFewer = unsafe extern "C" fn(ffi::MPI_Comm, *mut ffi::MPI_Comm) -> c_int;
type OfFlag = unsafe extern "C" fn(ffi::MPI_Comm, *mut c_int) -> c_int;

/// The library's functions.
pub(super) struct Ulfm {
    failure_ack: OfComm,
    failure_get_acked: OfGroup,
    revoke: OfComm,
    shrink: OfFewer,
    agree: OfFlag,
}

/// A function of the libraries that this process has loaded, by its name.
fn find(name: &CStr) -> Option<*mut c_void> {
    // SAFETY: the name ends with a zero; the call only looks it up.
    let found = unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) };
    (!found.is_null()).then_some(found)
}

impl Ulfm {
    /// The functions, where the loaded library has all of them.
    pub fn find() -> Option<Self> {
        let [ack, acked, revoke, shrink, agree] = [
            find(c"MPIX_Comm_failure_ack")?,
            find(c"MPIX_Comm_failure_get_acked")?,
            find(c"MPIX_Comm_revoke")?,
            find(c"MPIX_Comm_shrink")?,
            find(c"MPIX_Comm_agree")?,
        ];
        // SAFETY: functions of these names have these signatures in Open MPI 5's mpi-ext.h; handles are pointers there,
        // and the bindings' handle types are transparent around them. MPICH, whose handles are integers and whose
        // bindings say so, declares the same signatures in terms of its own types.
        unsafe {
            Some(Self {
                failure_ack: std::mem::transmute::<*mut c_void, OfComm>(ack),
                failure_get_acked: std::mem::transmute::<*mut c_void, OfGroup>(acked),
                revoke: std::mem::transmute::<*mut c_void, OfComm>(revoke),
                shrink: std::mem::transmute::<*mut c_void, OfFewer>(shrink),
                agree: std::mem::transmute::<*mut c_void, OfFlag>(agree),
            })
        }
    }
}

/// The class of an error, if it says that ranks have failed.
fn failure(error: &CommError) -> Option<(&'static str, c_int)> {
    let CommError::Mpi { call, code, .. } = error else { return None };
    let mut class = 0;
    checked!(MPI_Error_class(*code, &mut class)).ok()?;
    [PROC_FAILED, PROC_FAILED_PENDING, REVOKED].contains(&class).then_some((*call, class))
}

impl MpiComm {
    /// The result of an operation with one peer: where MPI says that the peer has failed, it is lost.
    pub(super) fn with_peer<T>(&self, peer: usize, tag: Tag, result: Result<T, CommError>) -> Result<T, CommError> {
        result.map_err(|error| match self.ulfm.as_ref().and_then(|_| failure(&error)) {
            Some((_, PROC_FAILED | PROC_FAILED_PENDING)) => {
                let rank = self.world.borrow()[peer];
                self.lost.borrow_mut()[rank] = true;
                CommError::PeerLost { rank, tag }
            }
            Some((call, _)) => CommError::RanksLost { call },
            None => error,
        })
    }

    /// The result of an operation with all ranks, or with any of them.
    pub(super) fn with_all<T>(&self, result: Result<T, CommError>) -> Result<T, CommError> {
        result.map_err(|error| match self.ulfm.as_ref().and_then(|_| failure(&error)) {
            Some((call, _)) => CommError::RanksLost { call },
            None => error,
        })
    }

    /// The result of an operation that was under way.
    pub(super) fn of_pending<T>(&self, pending: &Pending, result: Result<T, CommError>) -> Result<T, CommError> {
        match pending.what {
            Doing::Reduce => self.with_all(result),
            _ => self.with_peer(pending.peer, pending.tag, result),
        }
    }

    /// Whether MPI has said that a rank has failed.
    pub(super) fn is_lost(&self, rank: usize) -> bool {
        self.lost.borrow()[self.world.borrow()[rank]]
    }

    /// What MPI knows of a rank.
    pub(super) fn life_of(&self, rank: usize) -> Life {
        if self.is_lost(rank) { Life::Lost } else { Life::Alive }
    }

    /// Takes note of all ranks that have failed. From here on messages of any rank may be waited for again.
    pub(super) fn acknowledge(&self) -> Result<(), CommError> {
        let Some(ulfm) = &self.ulfm else { return Ok(()) };
        let comm = self.comm.get();
        // SAFETY: a handle of a communicator that is never freed while this lives.
        check("MPIX_Comm_failure_ack", unsafe { (ulfm.failure_ack)(comm) })?;
        let mut failed = unset_group();
        // SAFETY: as above; the group is set by the call, and freed below.
        check("MPIX_Comm_failure_get_acked", unsafe { (ulfm.failure_get_acked)(comm, &mut failed) })?;
        let ranks = members(failed, comm)?;
        checked!(MPI_Group_free(&mut failed))?;
        let (world, mut lost) = (self.world.borrow(), self.lost.borrow_mut());
        ranks.into_iter().for_each(|rank| lost[world[rank]] = true);
        Ok(())
    }

    /// Goes on with the ranks that are left; those that have ended since, as the world knows them.
    pub(super) fn shrink(&self) -> Result<Option<Vec<usize>>, CommError> {
        let Some(ulfm) = &self.ulfm else { return Ok(None) };
        let comm = self.comm.get();
        let mut fewer = comm;
        loop {
            // SAFETY: handles of communicators that are never freed while this lives, and locals.
            let (shrunk, agreed) = unsafe {
                // Whoever waits in a call on it gets there, too. That it was revoked before is no trouble.
                (ulfm.revoke)(comm);
                let shrunk = (ulfm.shrink)(comm, &mut fewer);
                // Others may have failed meanwhile: all decide alike whether this was it. The code only says that
                // some have failed, which is known.
                let mut all = c_int::from(shrunk == 0);
                (ulfm.agree)(comm, &mut all);
                (shrunk, all != 0)
            };
            if agreed {
                check("MPIX_Comm_shrink", shrunk)?;
                break;
            }
        }
        checked!(MPI_Comm_set_errhandler(fewer, ffi::RSMPI_ERRORS_RETURN))?;
        let (mut rank, mut group) = (0, unset_group());
        checked!(MPI_Comm_rank(fewer, &mut rank))?;
        checked!(MPI_Comm_group(fewer, &mut group))?;
        let left = members(group, comm)?;
        checked!(MPI_Group_free(&mut group))?;
        let before = self.world.replace_with(|world| left.iter().map(|rank| world[*rank]).collect());
        self.rank.set(rank as usize);
        self.size.set(left.len());
        // The old one is not freed: that is collective. What is under way on it ends with the process.
        self.comm.set(fewer);
        let world = self.world.borrow();
        let gone: Vec<usize> = before.into_iter().filter(|rank| !world.contains(rank)).collect();
        gone.iter().for_each(|rank| self.lost.borrow_mut()[*rank] = true);
        Ok(Some(gone))
    }
}

fn unset_group() -> ffi::MPI_Group {
    // SAFETY: a handle is an integer or a pointer; zero is one that nothing reads before it is set.
    unsafe { std::mem::zeroed() }
}

/// The ranks that the members of a group have in a communicator.
fn members(group: ffi::MPI_Group, comm: ffi::MPI_Comm) -> Result<Vec<usize>, CommError> {
    let (mut size, mut all) = (0, unset_group());
    checked!(MPI_Group_size(group, &mut size))?;
    let inside: Vec<c_int> = (0..size).collect();
    let mut outside = inside.clone();
    checked!(MPI_Comm_group(comm, &mut all))?;
    checked!(MPI_Group_translate_ranks(group, size, inside.as_ptr(), all, outside.as_mut_ptr()))?;
    checked!(MPI_Group_free(&mut all))?;
    Ok(outside.into_iter().filter_map(|rank| usize::try_from(rank).ok()).collect())
}
