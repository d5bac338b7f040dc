//! The MPI backend: the only file that names the mpi crate.
//!
//! rsmpi ignores return codes and checks no lengths, so every call here goes to the C functions
//! through a wrapper that checks both, on a duplicated communicator whose errors return. A rank that
//! unwound would drop rsmpi's `Universe`, which finalizes and waits for the others for ever:
//! [`abort_on_panic`] ends the job instead, and [`MpiComm`] finalizes only in [`MpiComm::finish`].
//!
//! All calls are made from the thread that called [`MpiComm::start`] (`MPI_THREAD_FUNNELED`):
//! the communicator is neither `Send` nor `Sync`.
#![allow(unsafe_code)]

use super::communicator::Doing;
use super::launcher::{Launcher, Survival};
use super::{Buffer, CommError, Communicator, Kind, Life, Pending, Reduce, SharedVector, Tag, Values};
use mpi::Threading;
use mpi::ffi;
use std::cell::{Cell, RefCell, RefMut};
use std::collections::HashMap;
use std::ffi::{c_char, c_int, c_void};
use std::marker::PhantomData;
use std::mem::{ManuallyDrop, MaybeUninit};
use std::time::Duration;

/// The MPI library this program was compiled against, as its compiler wrapper named it.
pub const BUILT_FOR: &str = env!("BUILT_FOR_MPI");

/// This rank's end of `MPI_COMM_WORLD`, or of what [`Communicator::recover`] left of it.
pub struct MpiComm {
    comm: Cell<ffi::MPI_Comm>,
    rank: Cell<usize>,
    size: Cell<usize>,
    /// What the ranks were in the beginning, and which of those MPI knows to have failed.
    world: RefCell<Vec<usize>>,
    lost: RefCell<Vec<bool>>,
    /// Where the launcher lets ranks live and the library knows of failures.
    ulfm: Option<ulfm::Ulfm>,
    /// The rank whose messages are looked for first, where that is not MPI's choice.
    first: Cell<usize>,
    tickets: Cell<u64>,
    under_way: RefCell<HashMap<u64, Transfer>>,
    scratch: RefCell<Buffer>,
    outgoing: RefCell<Vec<u64>>,
    windows: RefCell<node::Windows>,
    /// Never dropped: dropping finalizes, and an unwinding rank would wait there for the others.
    universe: ManuallyDrop<mpi::environment::Universe>,
    /// Not `Send`: Open MPI's handles are pointers, but MPICH's are integers, which the compiler would let travel.
    stays: PhantomData<*const ()>,
}

/// A non-blocking operation. MPI reads or writes the buffer's memory, which does not move while this lives.
struct Transfer {
    request: ffi::MPI_Request,
    buffer: Buffer,
    /// What a reduction reads where it cannot read and write in one place.
    _mine: Vec<u64>,
    bytes: Option<usize>,
}

/// Runs an MPI function and turns its return code into a result.
macro_rules! checked {
    ($call:ident($($arg:expr),* $(,)?)) => {{
        // SAFETY: every pointer argument comes from a live slice or local of the length given in the same call, or
        // from a buffer that its transfer keeps until MPI is done with it; MPI is initialized from before the first
        // call until `finish` consumes the only `MpiComm`, which cannot leave this thread.
        let code = unsafe { ffi::$call($($arg),*) };
        check(stringify!($call), code)
    }};
}

mod node;
mod probe;
mod ulfm;

use probe::{blank_status, message_len};

fn check(call: &'static str, code: c_int) -> Result<(), CommError> {
    if code == 0 {
        return Ok(());
    }
    let mut text = [0u8; 4096];
    let mut len = 0;
    // SAFETY: the buffer is larger than MPI_MAX_ERROR_STRING of any MPI library (Open MPI 256, MPICH 1024).
    unsafe { ffi::MPI_Error_string(code, text.as_mut_ptr().cast::<c_char>(), &mut len) };
    let text = String::from_utf8_lossy(&text[..len.clamp(0, 4095) as usize]).into_owned();
    Err(CommError::Mpi { call, code, text })
}

/// Names the peer whose message was longer than the receive under way for it.
fn longer(error: CommError, pending: &Pending, expected: &Buffer) -> CommError {
    let CommError::Mpi { code, .. } = &error else { return error };
    let mut class = 0;
    let known = checked!(MPI_Error_class(*code, &mut class)).is_ok();
    if !known || pending.what != Doing::Receive || i64::from(class) != i64::from(ffi::MPI_ERR_TRUNCATE) {
        return error;
    }
    CommError::Longer { from: pending.peer, tag: pending.tag, kind: expected.kind(), len: expected.len() }
}

/// A length that MPI can count.
fn count(elements: usize, size: usize) -> Result<c_int, CommError> {
    c_int::try_from(elements).map_err(|_| CommError::TooLong { bytes: elements.saturating_mul(size) })
}

fn datatype(kind: Kind) -> ffi::MPI_Datatype {
    // SAFETY: constants of the C library, set before main.
    unsafe {
        match kind {
            Kind::F32 => ffi::RSMPI_FLOAT,
            Kind::F64 => ffi::RSMPI_DOUBLE,
            Kind::I64 => ffi::RSMPI_INT64_T,
            Kind::U8 => ffi::RSMPI_UINT8_T,
        }
    }
}

fn byte() -> ffi::MPI_Datatype {
    datatype(Kind::U8)
}

/// Ends the job when this process panics, in any thread: installed before MPI starts.
///
/// The hook runs before unwinding, so rsmpi's `Universe` is never dropped by a panic.
pub fn abort_on_panic(code: i32) {
    let print = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        print(panic);
        abort(code);
    }));
}

/// Ends all ranks of the job with this exit code.
pub fn abort(code: i32) -> ! {
    if mpi::is_initialized() && !mpi::is_finalized() {
        // SAFETY: MPI is initialized, and MPI_Abort takes a handle and a number, no memory. A panic may call it from
        // another thread than MPI's, which is outside the letter of FUNNELED: the worst that can come of it is a
        // process that ends otherwise than in order, and that ends the job as well.
        unsafe { ffi::MPI_Abort(ffi::RSMPI_COMM_WORLD, code) };
    }
    std::process::exit(code)
}

/// The MPI library that is loaded, in its own words; may be asked before MPI starts.
pub fn library() -> String {
    let mut text = vec![0u8; 16 * 1024];
    let mut len = 0;
    // SAFETY: MPI_Get_library_version may be called before MPI_Init; the buffer is larger than
    // MPI_MAX_LIBRARY_VERSION_STRING of any MPI library (Open MPI 256, MPICH 8192).
    unsafe { ffi::MPI_Get_library_version(text.as_mut_ptr().cast::<c_char>(), &mut len) };
    let text = String::from_utf8_lossy(&text[..len.max(0) as usize]).into_owned();
    text.split([',', '\n']).next().unwrap_or_default().trim_matches('\0').trim().to_string()
}

impl MpiComm {
    /// Starts MPI.
    ///
    /// Where there are more ranks than cores, Open MPI is told to yield while it waits: it reads
    /// that at `MPI_Init` only, and cannot see oversubscription that Slurm granted.
    ///
    /// # Errors
    /// When the library is of another family or older than the one compiled for, or cannot give
    /// `MPI_THREAD_FUNNELED`.
    pub fn start(launcher: &Launcher) -> Result<Self, CommError> {
        super::launcher::compatible(BUILT_FOR, &library()).map_err(CommError::Start)?;
        let default = |name: &str, value: &str| {
            if std::env::var_os(name).is_none() {
                // SAFETY: the process has one thread: MPI starts before any pool is made.
                unsafe { std::env::set_var(name, value) };
            }
        };
        if launcher.oversubscribed() {
            default("OMPI_MCA_mpi_yield_when_idle", "1");
        }
        if launcher.survival == Survival::Ulfm {
            // Who is killed between the two writes that put a message into another rank's queue in shared memory leaves
            // that queue broken, for all senders: docs/adr/0017-heartbeats.md.
            default("OMPI_MCA_btl", "^sm");
        }
        let (universe, granted) = mpi::initialize_with_threading(Threading::Funneled)
            .ok_or_else(|| CommError::Start("MPI was already started in this process".into()))?;
        let universe = ManuallyDrop::new(universe);
        if granted < Threading::Funneled {
            return Err(CommError::Start(format!("the MPI library grants {granted:?} where Funneled is needed")));
        }
        // SAFETY: a constant of the C library.
        let world = unsafe { ffi::RSMPI_COMM_WORLD };
        let mut comm = world;
        let (mut rank, mut size) = (0, 0);
        checked!(MPI_Comm_dup(world, &mut comm))?;
        checked!(MPI_Comm_set_errhandler(comm, ffi::RSMPI_ERRORS_RETURN))?;
        checked!(MPI_Comm_rank(comm, &mut rank))?;
        checked!(MPI_Comm_size(comm, &mut size))?;
        Ok(Self {
            comm: Cell::new(comm),
            rank: Cell::new(rank as usize),
            size: Cell::new(size as usize),
            world: RefCell::new((0..size as usize).collect()),
            lost: RefCell::new(vec![false; size as usize]),
            ulfm: (launcher.survival == Survival::Ulfm).then(ulfm::Ulfm::find).flatten(),
            first: Cell::new(0),
            tickets: Cell::new(0),
            under_way: RefCell::default(),
            scratch: RefCell::new(Buffer::new(Kind::U8, 0)),
            outgoing: RefCell::default(),
            windows: RefCell::default(),
            universe,
            stays: PhantomData,
        })
    }

    /// Ends MPI in an orderly way.
    ///
    /// # Collective
    /// Every rank must call it.
    pub fn finish(mut self) {
        self.windows.take().free();
        let _ = checked!(MPI_Comm_free(self.comm.get_mut()));
        // SAFETY: `self` is consumed, so nobody uses the universe after this.
        unsafe { ManuallyDrop::drop(&mut self.universe) };
    }

    /// Leaves without MPI's own ending, which may wait for ranks that have died: the process must end now.
    ///
    /// # Collective
    /// Not collective.
    pub fn leave(self) {
        std::mem::forget(self);
    }

    fn check_peer(&self, peer: usize, tag: Tag) -> Result<c_int, CommError> {
        let (rank, size) = (self.rank.get(), self.size.get());
        if peer < size && peer != rank {
            return Ok(peer as c_int);
        }
        Err(CommError::NoSuchRank { rank, size, peer, tag })
    }

    /// Keeps a transfer until it is waited for, and says under which ticket.
    fn begin(&self, transfer: Transfer) -> u64 {
        let ticket = self.tickets.get() + 1;
        self.tickets.set(ticket);
        self.under_way.borrow_mut().insert(ticket, transfer);
        ticket
    }

    /// Begins to receive a message of at most so many bytes.
    fn begin_recv(&self, from: usize, tag: Tag, mut into: Buffer, room: usize) -> Result<Pending, CommError> {
        let peer = self.check_peer(from, tag)?;
        let bytes = count(room, 1)?;
        let mut request = MaybeUninit::<ffi::MPI_Request>::zeroed();
        let pointer = into.wire_room(room).as_mut_ptr().cast::<c_void>();
        let (at, comm) = (request.as_mut_ptr(), self.comm.get());
        self.with_peer(from, tag, checked!(MPI_Irecv(pointer, bytes, byte(), peer, tag as c_int, comm, at)))?;
        // SAFETY: MPI_Irecv succeeded and set the request; moving the buffer does not move its heap memory.
        let request = unsafe { request.assume_init() };
        let ticket = self.begin(Transfer { request, buffer: into, _mine: Vec::new(), bytes: None });
        Ok(Pending { ticket, peer: from, tag, what: Doing::Receive })
    }
}

/// `MPI_IN_PLACE`, which is a macro and so not among the bindings: copying a large vector first costs as much as half of
/// its reduction. A library whose value is not known here gets the copy.
fn in_place() -> Option<*const c_void> {
    match BUILT_FOR.split(' ').next() {
        Some("Open") => Some(std::ptr::without_provenance(1)),
        Some("MPICH") => Some(std::ptr::without_provenance(usize::MAX)),
        _ => None,
    }
}

/// Where a reduction reads: in place, or from a copy of `bytes` that does not overlap what MPI writes.
fn source(bytes: &[u8], copy: &mut Vec<u64>) -> *const c_void {
    in_place().unwrap_or_else(|| {
        copy.resize(bytes.len().div_ceil(8), 0);
        bytemuck::cast_slice_mut::<u64, u8>(copy)[..bytes.len()].copy_from_slice(bytes);
        copy.as_ptr().cast::<c_void>()
    })
}

fn operation(op: Reduce) -> ffi::MPI_Op {
    // SAFETY: constants of the C library.
    unsafe {
        match op {
            Reduce::Sum => ffi::RSMPI_SUM,
            Reduce::Max => ffi::RSMPI_MAX,
        }
    }
}

impl Communicator for MpiComm {
    fn rank(&self) -> usize {
        self.rank.get()
    }

    fn size(&self) -> usize {
        self.size.get()
    }

    fn world_rank(&self, rank: usize) -> usize {
        self.world.borrow()[rank]
    }

    fn life(&self, rank: usize) -> Life {
        self.life_of(rank)
    }

    fn recovers(&self) -> bool {
        self.ulfm.is_some()
    }

    fn recover(&self) -> Result<Option<Vec<usize>>, CommError> {
        self.shrink()
    }

    fn send(&self, to: usize, tag: Tag, message: &mut Buffer) -> Result<(), CommError> {
        let peer = self.check_peer(to, tag)?;
        let bytes = count(message.wire_len(), 1)?;
        let wire = message.wire(tag);
        let (at, comm) = (wire.as_ptr().cast::<c_void>(), self.comm.get());
        self.with_peer(to, tag, checked!(MPI_Send(at, bytes, byte(), peer, tag as c_int, comm)))
    }

    fn await_message(&self, from: Option<usize>, tag: Tag) -> Result<usize, CommError> {
        let source = self.source_of(from, tag)?;
        let mut status = blank_status();
        let waited = checked!(MPI_Probe(source, tag as c_int, self.comm.get(), &mut status));
        match from {
            Some(from) => self.with_peer(from, tag, waited)?,
            None => self.with_all(waited)?,
        }
        Ok(status.MPI_SOURCE as usize)
    }

    fn message_within(&self, from: Option<usize>, tag: Tag, patience: Duration) -> Result<Option<usize>, CommError> {
        self.probe_within(from, tag, patience)
    }

    fn abandon(&self, pending: Pending) {
        if let Some(mut transfer) = self.under_way.borrow_mut().remove(&pending.ticket) {
            if pending.what == Doing::Receive && transfer.bytes.is_none() {
                // So that it takes no message that comes later. Best effort: whoever gives up has no use for an error.
                let _ = checked!(MPI_Cancel(&mut transfer.request));
            }
            // MPI may still read or write the buffer: it stays allocated.
            std::mem::forget(transfer);
        }
    }

    fn recv(&self, from: usize, tag: Tag, into: &mut Buffer) -> Result<(), CommError> {
        let peer = self.check_peer(from, tag)?;
        let (mut status, comm) = (blank_status(), self.comm.get());
        self.with_peer(from, tag, checked!(MPI_Probe(peer, tag as c_int, comm, &mut status)))?;
        let bytes = message_len(&status)?;
        let room = into.wire_room(bytes);
        let (pointer, len) = (room.as_mut_ptr().cast::<c_void>(), count(bytes, 1)?);
        self.with_peer(from, tag, checked!(MPI_Recv(pointer, len, byte(), peer, tag as c_int, comm, &mut status)))?;
        into.accept(from, tag, bytes)
    }

    fn start_send(&self, to: usize, tag: Tag, mut message: Buffer) -> Result<Pending, CommError> {
        let peer = self.check_peer(to, tag)?;
        let bytes = count(message.wire_len(), 1)?;
        let mut request = MaybeUninit::<ffi::MPI_Request>::zeroed();
        let wire = message.wire(tag).as_ptr().cast::<c_void>();
        let (at, comm) = (request.as_mut_ptr(), self.comm.get());
        self.with_peer(to, tag, checked!(MPI_Isend(wire, bytes, byte(), peer, tag as c_int, comm, at)))?;
        // SAFETY: MPI_Isend succeeded and set the request; moving the buffer does not move its heap memory.
        let request = unsafe { request.assume_init() };
        let ticket = self.begin(Transfer { request, buffer: message, _mine: Vec::new(), bytes: None });
        Ok(Pending { ticket, peer: to, tag, what: Doing::Send })
    }

    fn recv_while(
        &self,
        from: usize,
        tag: Tag,
        into: Buffer,
        living: &dyn Fn() -> bool,
    ) -> Result<Option<Buffer>, CommError> {
        self.recv_living(from, tag, into, living)
    }

    fn start_recv(&self, from: usize, tag: Tag, into: Buffer) -> Result<Pending, CommError> {
        assert!(!into.is_open(), "a receive under way needs its length");
        let room = into.wire_len();
        self.begin_recv(from, tag, into, room)
    }

    fn test(&self, pending: &Pending) -> Result<bool, CommError> {
        let mut under_way = self.under_way.borrow_mut();
        let transfer = under_way.get_mut(&pending.ticket).expect("a pending operation of this communicator");
        if transfer.bytes.is_some() {
            return Ok(true);
        }
        let (mut done, mut status) = (0, blank_status());
        let tested = checked!(MPI_Test(&mut transfer.request, &mut done, &mut status));
        let tested = tested.map_err(|error| longer(error, pending, &transfer.buffer));
        self.of_pending(pending, tested)?;
        if done != 0 {
            transfer.bytes = Some(if pending.what == Doing::Receive { message_len(&status)? } else { 0 });
        }
        Ok(done != 0)
    }

    fn wait(&self, pending: Pending) -> Result<Buffer, CommError> {
        let transfer = self.under_way.borrow_mut().remove(&pending.ticket);
        let mut transfer = transfer.expect("a pending operation of this communicator");
        let bytes = match transfer.bytes {
            Some(bytes) => bytes,
            None => {
                let mut status = blank_status();
                let waited = checked!(MPI_Wait(&mut transfer.request, &mut status));
                let waited = waited.map_err(|error| longer(error, &pending, &transfer.buffer));
                if let Err(error) = self.of_pending(&pending, waited) {
                    // MPI may still write to the buffer of a failed operation: it must outlive the process.
                    std::mem::forget(transfer);
                    return Err(error);
                }
                if pending.what == Doing::Receive { message_len(&status)? } else { 0 }
            }
        };
        if pending.what == Doing::Receive {
            transfer.buffer.accept(pending.peer, pending.tag, bytes)?;
        }
        Ok(transfer.buffer)
    }

    fn scratch(&self) -> RefMut<'_, Buffer> {
        self.scratch.borrow_mut()
    }

    fn barrier(&self) -> Result<(), CommError> {
        self.with_all(checked!(MPI_Barrier(self.comm.get())))
    }

    fn broadcast(&self, root: usize, mut values: Values) -> Result<(), CommError> {
        if values.is_empty() {
            return Ok(()); // the address of an empty byte slice is 1, which is Open MPI's MPI_IN_PLACE
        }
        let (kind, len) = (values.kind(), count(values.len(), values.kind().size())?);
        let pointer = values.bytes_mut().as_mut_ptr().cast::<c_void>();
        self.with_all(checked!(MPI_Bcast(pointer, len, datatype(kind), root as c_int, self.comm.get())))
    }

    fn all_reduce(&self, mut values: Values, op: Reduce) -> Result<(), CommError> {
        let (kind, len) = (values.kind(), count(values.len(), values.kind().size())?);
        assert!(kind != Kind::U8, "bytes are not reduced");
        let from = source(values.bytes(), &mut self.outgoing.borrow_mut());
        let to = values.bytes_mut().as_mut_ptr().cast::<c_void>();
        let comm = self.comm.get();
        self.with_all(checked!(MPI_Allreduce(from, to, len, datatype(kind), operation(op), comm)))
    }

    fn start_all_reduce(&self, mut buffer: Buffer, op: Reduce) -> Result<Pending, CommError> {
        let kind = buffer.kind();
        assert!(kind != Kind::U8, "bytes are not reduced");
        let len = count(buffer.len(), kind.size())?;
        let mut mine = Vec::new();
        let mut request = MaybeUninit::<ffi::MPI_Request>::zeroed();
        let from = source(buffer.payload(), &mut mine);
        let to = buffer.payload_mut().as_mut_ptr().cast::<c_void>();
        let (at, comm) = (request.as_mut_ptr(), self.comm.get());
        self.with_all(checked!(MPI_Iallreduce(from, to, len, datatype(kind), operation(op), comm, at)))?;
        // SAFETY: MPI_Iallreduce succeeded and set the request; moving the vectors does not move their heap memory.
        let request = unsafe { request.assume_init() };
        Ok(Pending::reduction(self.begin(Transfer { request, buffer, _mine: mine, bytes: None })))
    }

    fn shared_vector(&self, len: usize) -> Result<Option<Box<dyn SharedVector + '_>>, CommError> {
        // A window outlives no rank that has a part of it.
        if self.recovers() { Ok(None) } else { node::vector(self, len) }
    }

    fn all_gather(&self, mine: &[u8], all: &mut [u8]) -> Result<(), CommError> {
        assert_eq!(all.len(), mine.len() * self.size.get());
        if mine.is_empty() {
            return Ok(()); // as in broadcast
        }
        let len = count(mine.len(), 1)?;
        let (from, to) = (mine.as_ptr().cast::<c_void>(), all.as_mut_ptr().cast::<c_void>());
        self.with_all(checked!(MPI_Allgather(from, len, byte(), to, len, byte(), self.comm.get())))
    }
}

impl Drop for MpiComm {
    /// Only [`MpiComm::finish`] ends MPI. A rank that just drops this ends without finalizing, and the
    /// launcher ends the others. The buffers of unfinished operations stay allocated: MPI may still use them.
    fn drop(&mut self) {
        for (_, transfer) in self.under_way.borrow_mut().drain() {
            if transfer.bytes.is_none() {
                std::mem::forget(transfer);
            }
        }
    }
}
