//! Vectors in memory that all ranks of one node reach: their sum moves each value once.
//!
//! Every rank adds one part of all the vectors and writes it back into all of them, between two barriers. For a
//! gradient of 10 MB that is a quarter of the time that the library's messages take (docs/benchmarks.md).
//!
//! # References
//! MPI 3.1, section 11.2.3: windows that allocate shared memory.

use super::{MpiComm, check, ffi};
use crate::comm::{CommError, Communicator, Reduce, SharedVector, Values};
use crate::nn::kernels::{Isa, vector as arithmetic};
use std::cell::Cell;
use std::ffi::c_void;
use std::ops::Range;
use std::rc::Rc;

/// Floats that are added at a time: two pages, so that the sums stay in the first cache.
const BLOCK: usize = 2048;

/// Memory of a window that the library may need besides the vectors.
const BESIDES: usize = 1 << 20;

/// The windows that were made, to be used again, and whether all ranks are on one node, once that was asked.
#[derive(Default)]
pub(super) struct Windows {
    made: Vec<Rc<Window>>,
    one_node: Option<bool>,
}

/// One vector a rank.
struct Window {
    window: ffi::MPI_Win,
    /// Where each rank's vector begins.
    vectors: Vec<*mut f32>,
    len: usize,
    taken: Cell<bool>,
}

/// This rank's vector of a window.
struct NodeVector<'a> {
    comm: &'a MpiComm,
    window: Rc<Window>,
}

impl Windows {
    /// Gives the memory back.
    ///
    /// # Collective
    /// Every rank must call it. A rank that just ends does not: the others' windows live on until they end, too.
    pub fn free(self) {
        for made in self.made {
            let mut window = made.window;
            let _ = checked!(MPI_Win_unlock_all(window));
            let _ = checked!(MPI_Win_free(&mut window));
        }
    }
}

/// A vector of zeros that all ranks reach, or nothing on every rank.
pub(super) fn vector(comm: &MpiComm, len: usize) -> Result<Option<Box<dyn SharedVector + '_>>, CommError> {
    if comm.size.get() == 1 || len == 0 || !on_one_node(comm)? {
        return Ok(None);
    }
    let mut windows = comm.windows.borrow_mut();
    let free = windows.made.iter().find(|window| window.len == len && !window.taken.get()).cloned();
    let window = match free {
        Some(window) => window,
        None => {
            let bytes = (len.next_multiple_of(BLOCK) * size_of::<f32>()) * comm.size.get() + BESIDES;
            let mut refuses = [i64::from(!has_room(bytes))];
            comm.all_reduce(Values::I64(&mut refuses), Reduce::Max)?;
            if refuses[0] > 0 {
                return Ok(None);
            }
            let window = Rc::new(Window::new(comm, len)?);
            windows.made.push(Rc::clone(&window));
            window
        }
    };
    window.taken.set(true);
    let mut vector = NodeVector { comm, window };
    vector.values_mut().fill(0.0);
    Ok(Some(Box::new(vector)))
}

fn on_one_node(comm: &MpiComm) -> Result<bool, CommError> {
    let known = comm.windows.borrow().one_node;
    if let Some(known) = known {
        return Ok(known);
    }
    let (mut node, mut size) = (comm.comm.get(), 0);
    checked!(MPI_Comm_split_type(comm.comm.get(), ffi::RSMPI_COMM_TYPE_SHARED, 0, ffi::RSMPI_INFO_NULL, &mut node))?;
    checked!(MPI_Comm_size(node, &mut size))?;
    checked!(MPI_Comm_free(&mut node))?;
    let one = size as usize == comm.size.get();
    comm.windows.borrow_mut().one_node = Some(one);
    Ok(one)
}

/// Whether so many bytes of shared memory are free: a container may have 64 MiB, and the first touch beyond them kills.
fn has_room(bytes: usize) -> bool {
    // SAFETY: a C structure of integers; zeros are a valid one.
    let mut room: libc::statvfs = unsafe { std::mem::zeroed() };
    // SAFETY: the path ends with a zero and the structure lives during the call.
    let asked = unsafe { libc::statvfs(c"/dev/shm".as_ptr(), &mut room) };
    asked == 0 && (room.f_bavail as u128) * (room.f_frsize as u128) >= bytes as u128
}

impl Window {
    fn new(comm: &MpiComm, len: usize) -> Result<Self, CommError> {
        let bytes = (len.next_multiple_of(BLOCK) * size_of::<f32>()) as ffi::MPI_Aint;
        // SAFETY: constants of the C library, copied.
        let (mut window, info) = unsafe { (std::mem::zeroed::<ffi::MPI_Win>(), ffi::RSMPI_INFO_NULL) };
        let mut base: *mut c_void = std::ptr::null_mut();
        let into = (&raw mut base).cast::<c_void>();
        checked!(MPI_Win_allocate_shared(bytes, 1, info, comm.comm.get(), into, &mut window))?;
        checked!(MPI_Win_set_errhandler(window, ffi::RSMPI_ERRORS_RETURN))?;
        let mut vectors = Vec::with_capacity(comm.size.get());
        for rank in 0..comm.size.get() {
            let (mut size, mut unit) = (0, 0);
            let into = (&raw mut base).cast::<c_void>();
            checked!(MPI_Win_shared_query(window, rank as i32, &mut size, &mut unit, into))?;
            assert_eq!(size, bytes, "rank {rank} asked for a vector of another length");
            vectors.push(base.cast::<f32>());
        }
        checked!(MPI_Win_lock_all(ffi::MPI_MODE_NOCHECK as i32, window))?;
        Ok(Self { window, vectors, len, taken: Cell::new(false) })
    }
}

/// The elements that a rank adds: whole blocks, so that no two ranks write to one line of the cache.
fn part(len: usize, rank: usize, size: usize) -> Range<usize> {
    let blocks = len.div_ceil(BLOCK);
    let at = |rank: usize| (blocks * rank / size * BLOCK).min(len);
    at(rank)..at(rank + 1)
}

impl NodeVector<'_> {
    /// A barrier. What this rank wrote is in memory before it is seen to arrive; what it reads later is not older.
    fn meet(&mut self) -> Result<(), CommError> {
        checked!(MPI_Win_sync(self.window.window))?;
        checked!(MPI_Barrier(self.comm.comm.get()))?;
        checked!(MPI_Win_sync(self.window.window))
    }
}

impl SharedVector for NodeVector<'_> {
    fn values(&self) -> &[f32] {
        // SAFETY: the window's memory for this rank holds `len` floats and lives until `finish` consumes the
        // communicator that `self` borrows; only one NodeVector has the window; other ranks read and write it only
        // between the barriers of `all_reduce`, which takes `&mut self`, so not while this slice is borrowed.
        unsafe { std::slice::from_raw_parts(self.window.vectors[self.comm.rank.get()], self.window.len) }
    }

    fn values_mut(&mut self) -> &mut [f32] {
        // SAFETY: as in `values`; `&mut self` makes it the only slice of this memory.
        unsafe { std::slice::from_raw_parts_mut(self.window.vectors[self.comm.rank.get()], self.window.len) }
    }

    fn all_reduce(&mut self, met: &mut dyn FnMut()) -> Result<(), CommError> {
        self.meet()?;
        met();
        let (isa, vectors) = (Isa::detect(), &self.window.vectors);
        let mine = part(self.window.len, self.comm.rank.get(), self.comm.size.get());
        let mut block = [0.0f32; BLOCK];
        for start in mine.clone().step_by(BLOCK) {
            let sum = &mut block[..BLOCK.min(mine.end - start)];
            for (rank, vector) in vectors.iter().enumerate() {
                // SAFETY: `start` and the length are within the vector; between the two barriers only this rank reads
                // or writes these elements of any vector, because the ranks' parts do not overlap.
                let theirs = unsafe { std::slice::from_raw_parts(vector.add(start), sum.len()) };
                match rank {
                    0 => sum.copy_from_slice(theirs),
                    _ => arithmetic::axpy(isa, 1.0, theirs, sum),
                }
            }
            for vector in vectors {
                // SAFETY: as above; `sum` is on this rank's stack and overlaps no vector.
                unsafe { std::ptr::copy_nonoverlapping(sum.as_ptr(), vector.add(start), sum.len()) };
            }
        }
        self.meet()
    }
}

impl Drop for NodeVector<'_> {
    fn drop(&mut self) {
        self.window.taken.set(false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_cover_every_element_once() {
        for len in [1, 2, 4095, 2048, 2049, 10 * BLOCK, 10 * BLOCK + 1, 2_700_000] {
            for size in [1, 2, 3, 7, 20] {
                let parts: Vec<_> = (0..size).map(|rank| part(len, rank, size)).collect();
                assert_eq!((parts[0].start, parts[size - 1].end), (0, len));
                assert!(parts.windows(2).all(|pair| pair[0].end == pair[1].start));
                assert!(parts.iter().all(|part| part.start % BLOCK == 0 || part.is_empty()));
            }
        }
    }

    #[test]
    fn a_window_larger_than_the_memory_is_not_asked_for() {
        assert!(!has_room(usize::MAX));
    }
}
