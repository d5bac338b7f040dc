//! What the modes of training do between ranks, one operation each, as often as one wants.

use super::rounds::{Cell, measure};
use crate::comm::{Buffer, CommError, Communicator, Kind, Reduce, Tag, Values};

/// One of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation {
    /// A message there and one back, halved.
    SendRecv,
    /// Many messages under way in one direction.
    Window,
    /// Floats, as allreduce and local steps sum them.
    AllReduce,
    /// The same, begun and then waited for.
    Started,
    /// As `--deterministic` sums them.
    Integers,
    /// In memory that all ranks reach, where there is such.
    Shared,
    /// From each rank in turn, so that no rank runs ahead.
    Broadcast,
    AllGather,
    /// Every worker pushes, the server adds and answers each.
    Serve,
}

/// The most bytes under way at once in a window.
const WINDOW_BYTES: usize = 32 << 20;
/// The most messages of a window, as OSU's benchmark has it.
const WINDOW: usize = 64;
/// The most memory of a rank.
const MEMORY: usize = 256 << 20;

impl Operation {
    pub const ALL: [Self; 9] = [
        Self::SendRecv,
        Self::Window,
        Self::AllReduce,
        Self::Started,
        Self::Integers,
        Self::Shared,
        Self::Broadcast,
        Self::AllGather,
        Self::Serve,
    ];

    /// Its name in JSON.
    pub fn word(self) -> &'static str {
        match self {
            Self::SendRecv => "send_recv",
            Self::Window => "window",
            Self::AllReduce => "all_reduce",
            Self::Started => "start_all_reduce",
            Self::Integers => "all_reduce_integers",
            Self::Shared => "shared_vector",
            Self::Broadcast => "broadcast",
            Self::AllGather => "all_gather",
            Self::Serve => "serve",
        }
    }

    /// Its name for people; `peer` is the rank that rank 0 talks to.
    pub fn title(self, peer: usize) -> String {
        match self {
            Self::SendRecv => format!("send and receive, one way: half a round trip between ranks 0 and {peer}"),
            Self::Window => {
                format!(
                    "a message of up to {WINDOW} under way from rank 0 to rank {peer}, {} MiB at most",
                    WINDOW_BYTES >> 20
                )
            }
            Self::AllReduce => "all-reduce of floats (--mode allreduce, localsgd)".to_owned(),
            Self::Started => "all-reduce of floats, begun and waited for (large gradients, during backward)".to_owned(),
            Self::Integers => {
                "all-reduce of 64-bit integers, one for each float of the size (--deterministic)".to_owned()
            }
            Self::Shared => "all-reduce of floats in shared memory (--mode allreduce on one node)".to_owned(),
            Self::Broadcast => "broadcast, from each rank in turn".to_owned(),
            Self::AllGather => "all-gather, of the size from each rank".to_owned(),
            Self::Serve => "push and pull of all workers, rank 0 serves (--mode sendrecv)".to_owned(),
        }
    }

    /// Whether its bytes fit into the memory that this may take.
    pub fn fits(self, ranks: usize, bytes: usize) -> bool {
        let vectors = match self {
            Self::AllGather | Self::Serve => ranks + 1,
            Self::Integers => 2,
            _ => 1,
        };
        bytes.saturating_mul(vectors) <= MEMORY.max(2 * bytes)
    }

    /// Measures it at one size, which is that of one rank's vector in bytes; nothing where there is no such operation.
    ///
    /// # Collective
    /// Every rank must call it with the same arguments.
    pub fn measure(
        self,
        comm: &dyn Communicator,
        peer: usize,
        bytes: usize,
        slot: f64,
    ) -> Result<Option<Cell>, CommError> {
        let floats = || written(bytes / 4, 0.0f32);
        let cell = match self {
            Self::SendRecv => send_recv(comm, peer, bytes, slot)?,
            Self::Window => window(comm, peer, bytes, slot)?,
            Self::Serve => serve(comm, bytes, slot)?,
            Self::AllReduce => {
                let mut vector = floats();
                measure(comm, slot, &mut || comm.all_reduce(Values::F32(&mut vector), Reduce::Sum))?
            }
            Self::Started => {
                let mut buffer = Some(Buffer::new(Kind::F32, bytes / 4));
                measure(comm, slot, &mut || {
                    let pending = comm.start_all_reduce(buffer.take().expect("it came back"), Reduce::Sum)?;
                    buffer = Some(comm.wait(pending)?);
                    Ok(())
                })?
            }
            Self::Integers => {
                let mut vector = written(bytes / 4, 0i64);
                measure(comm, slot, &mut || comm.all_reduce(Values::I64(&mut vector), Reduce::Sum))?
            }
            Self::Shared => {
                let Some(mut vector) = comm.shared_vector(bytes / 4)? else { return Ok(None) };
                measure(comm, slot, &mut || vector.all_reduce(&mut || {}))?
            }
            Self::Broadcast => {
                let (mut vector, mut root) = (floats(), 0);
                measure(comm, slot, &mut || {
                    root = (root + 1) % comm.size();
                    comm.broadcast(root, Values::F32(&mut vector))
                })?
            }
            Self::AllGather => {
                let (mine, mut all) = (written(bytes, 1u8), written(bytes * comm.size(), 0u8));
                measure(comm, slot, &mut || comm.all_gather(&mine, &mut all))?
            }
        };
        Ok(Some(cell))
    }
}

/// Memory that was written: the system gives out zeros that nobody wrote without memory of their own.
fn written<T: Copy>(len: usize, value: T) -> Vec<T> {
    let mut vector = Vec::with_capacity(len);
    (0..len).for_each(|_| vector.push(std::hint::black_box(value)));
    vector
}

fn send_recv(comm: &dyn Communicator, peer: usize, bytes: usize, slot: f64) -> Result<Cell, CommError> {
    let mut message = Buffer::new(Kind::U8, bytes);
    let rank = comm.rank();
    let cell = measure(comm, slot, &mut || {
        if rank == 0 {
            comm.send(peer, Tag::Push, &mut message)?;
            comm.recv(peer, Tag::Pull, &mut message)?;
        } else if rank == peer {
            comm.recv(0, Tag::Push, &mut message)?;
            comm.send(0, Tag::Pull, &mut message)?;
        }
        Ok(())
    })?;
    Ok(cell.per(2.0))
}

fn window(comm: &dyn Communicator, peer: usize, bytes: usize, slot: f64) -> Result<Cell, CommError> {
    let (rank, count) = (comm.rank(), (WINDOW_BYTES / bytes.max(1)).clamp(2, WINDOW));
    let takes_part = rank == 0 || rank == peer;
    let mut messages = vec![Buffer::new(Kind::U8, bytes); if takes_part { count } else { 0 }];
    let mut taken = Buffer::new(Kind::U8, 0);
    let cell = measure(comm, slot, &mut || {
        let begin = |message| match rank {
            0 => comm.start_send(peer, Tag::Push, message),
            _ => comm.start_recv(0, Tag::Push, message),
        };
        let under_way = messages.drain(..).map(begin).collect::<Result<Vec<_>, CommError>>()?;
        for pending in under_way {
            messages.push(comm.wait(pending)?);
        }
        match rank {
            0 => comm.recv(peer, Tag::Pull, &mut taken),
            _ if takes_part => comm.send(0, Tag::Pull, &mut taken),
            _ => Ok(()),
        }
    })?;
    Ok(cell.per(count as f64))
}

/// As the parameter server of `--mode sendrecv` does it, additions and copies included.
fn serve(comm: &dyn Communicator, bytes: usize, slot: f64) -> Result<Cell, CommError> {
    let (rank, len) = (comm.rank(), bytes / 4);
    let mut values = written(len, 0.0f32);
    let mut buffers = vec![Buffer::new(Kind::F32, len); if rank == 0 { comm.size() - 1 } else { 1 }];
    measure(comm, slot, &mut || {
        if rank > 0 {
            let buffer = &mut buffers[0];
            buffer.f32s_mut().copy_from_slice(&values);
            comm.send(0, Tag::Push, buffer)?;
            comm.recv(0, Tag::Pull, buffer)?;
            values.copy_from_slice(buffer.f32s());
            return Ok(());
        }
        for _ in 0..buffers.len() {
            let worker = comm.await_message(None, Tag::Push)?;
            comm.recv(worker, Tag::Push, &mut buffers[worker - 1])?;
        }
        buffers.iter().for_each(|buffer| Values::F32(&mut values).combine(buffer.payload(), Reduce::Sum));
        let answer = &mut buffers[0];
        answer.f32s_mut().copy_from_slice(&values);
        (1..comm.size()).try_for_each(|worker| comm.send(worker, Tag::Pull, answer))
    })
}
