//! Measured: messages, sums and a server's rounds between the ranks that are there.

use crate::comm::{Buffer, CommError, Communicator, Kind, Metered, Reduce, Tag, Values};
use crate::device::{Network, Point, RealClock, Wire};
use crate::plan::scale::Upkeep;
use crate::strategy::Shuttle;
use crate::units::{Bytes, Seconds};
use std::time::{Duration, Instant};

/// How long each figure is measured, about.
const BUDGET: Duration = Duration::from_millis(60);

/// Into how many blocks that time is cut.
const BLOCKS: usize = 9;

/// A message of this size tells the bandwidth.
const LONG: usize = 256 << 10;

/// Bytes from which vectors are summed in memory that all ranks reach, where there is such memory; as in training.
const SHARED_FROM: usize = 64 << 10;

/// Measures what lies between the ranks: messages between rank 0 and `peer`, sums and rounds of these payloads. The
/// figures are rank 0's.
///
/// # Collective
/// Every rank must call it with the same payloads; there are at least two.
pub fn measure(comm: &dyn Communicator, peer: usize, payloads: &[Bytes], source: &str) -> Result<Network, CommError> {
    let short = ping_pong(comm, peer, 8)?;
    let long = ping_pong(comm, peer, LONG)?;
    let wire = Wire { alpha: Seconds(short), beta: ((long - short) / LONG as f64).max(0.0), gamma: adding() };
    let ranks = comm.size();
    let (mut sums, mut rounds) = (Vec::new(), Vec::new());
    for bytes in payloads {
        let seconds = Seconds(all_reduce(comm, bytes.0 as usize)?);
        sums.push(Point { ranks, bytes: *bytes, seconds });
        let seconds = Seconds(serve(comm, bytes.0 as usize)?);
        rounds.push(Point { ranks, bytes: *bytes, seconds });
    }
    let (name, source) = ("here".to_owned(), source.to_owned());
    Ok(Network { name, wire, source, all_reduce: sums, serve: rounds })
}

/// Mean seconds of what all ranks do together; as often as rank 0 has time for.
fn repeated(comm: &dyn Communicator, mut once: impl FnMut() -> Result<(), CommError>) -> Result<f64, CommError> {
    (0..2).try_for_each(|_| once())?;
    let start = Instant::now();
    (0..3).try_for_each(|_| once())?;
    let each = start.elapsed().as_secs_f64() / 3.0;
    let mut times = [((BUDGET.as_secs_f64() / each.max(1e-9)) as i64).clamp(3, 5000)];
    comm.broadcast(0, Values::I64(&mut times))?;
    // The middle of several blocks: what an epoch in the middle will meet, too.
    let mut blocks = [0.0; BLOCKS];
    for seconds in &mut blocks {
        let block = (times[0] / BLOCKS as i64).max(1);
        let start = Instant::now();
        (0..block).try_for_each(|_| once())?;
        *seconds = start.elapsed().as_secs_f64() / block as f64;
    }
    blocks.sort_by(f64::total_cmp);
    Ok(blocks[BLOCKS / 2])
}

/// Seconds of a message from rank 0 to this one, or back, as the stages of a pipeline send them; the others keep step.
fn ping_pong(comm: &dyn Communicator, peer: usize, bytes: usize) -> Result<f64, CommError> {
    let clock = RealClock::start();
    let comm = &Metered::new(comm, &clock);
    let buffer = || Some(Buffer::new(Kind::F32, bytes / 4));
    let (mut out, mut back) = (buffer(), buffer());
    let there_and_back = repeated(comm, || {
        let (other, first) = match comm.rank() {
            0 => (peer, true),
            rank if rank == peer => (0, false),
            _ => return Ok(()),
        };
        let (mine, theirs) = if first { (Tag::Push, Tag::Pull) } else { (Tag::Pull, Tag::Push) };
        let receiving = comm.start_recv(other, theirs, back.take().expect("it was given back"))?;
        if !first {
            back = Some(comm.wait(receiving)?);
            let sending = comm.start_send(other, mine, out.take().expect("it was given back"))?;
            out = Some(comm.wait(sending)?);
            return Ok(());
        }
        let sending = comm.start_send(other, mine, out.take().expect("it was given back"))?;
        back = Some(comm.wait(receiving)?);
        out = Some(comm.wait(sending)?);
        Ok(())
    })?;
    Ok(there_and_back / 2.0)
}

/// Pieces that are sent one behind the other, to tell the ends of a message from its way.
const MANY: usize = 5;

/// Measures what it costs rank 0 and `peer` to be neighbours in a chain, for pieces of so many rows of `dims` elements,
/// with a window also what a credited one costs; what the loop around it takes is not in it. The figures are rank 0's.
///
/// # Collective
/// Every rank must call it.
pub fn upkeep(
    comm: &dyn Communicator,
    peer: usize,
    rows: usize,
    dims: usize,
    window: Option<usize>,
) -> Result<Upkeep, CommError> {
    let clock = RealClock::start();
    let comm = &Metered::new(comm, &clock);
    let time = |window, pieces: usize| {
        let mut shuttle = Shuttle::new(comm, peer, rows, dims, window);
        Ok(Seconds(repeated(comm, || shuttle.round(pieces))?))
    };
    let found = Upkeep::between(time(None, 1)?, (MANY, time(None, MANY)?));
    let Some(window) = window else { return Ok(found) };
    // Beyond the window the slower end sets the pace.
    let (short, long) = (time(Some(window), window + MANY)?, time(Some(window), window + 4 * MANY)?);
    Ok(Upkeep { credited: Seconds(((long - short).0 / (3 * MANY) as f64).max(0.0)), ..found })
}

/// Seconds of a sum over all ranks.
fn all_reduce(comm: &dyn Communicator, bytes: usize) -> Result<f64, CommError> {
    if bytes >= SHARED_FROM
        && let Some(mut vector) = comm.shared_vector(bytes / 4)?
    {
        return repeated(comm, || vector.all_reduce(&mut || {}));
    }
    let mut values = vec![0.0f32; bytes / 4];
    repeated(comm, || comm.all_reduce(Values::F32(&mut values), Reduce::Sum))
}

/// Seconds of a round in which all others push to rank 0, which adds and sends the sum back.
fn serve(comm: &dyn Communicator, bytes: usize) -> Result<f64, CommError> {
    let mut sum = vec![0.0f32; bytes / 4];
    let mut buffers = vec![Buffer::new(Kind::F32, bytes / 4); if comm.rank() == 0 { comm.size() - 1 } else { 1 }];
    repeated(comm, || match comm.rank() {
        0 => {
            for _ in 1..comm.size() {
                let worker = comm.await_message(None, Tag::Push)?;
                comm.recv(worker, Tag::Push, &mut buffers[worker - 1])?;
            }
            sum.fill(0.0);
            buffers.iter().for_each(|buffer| Values::F32(&mut sum).combine(buffer.payload(), Reduce::Sum));
            let answer = &mut buffers[0];
            answer.payload_mut().copy_from_slice(Values::F32(&mut sum).bytes());
            (1..comm.size()).try_for_each(|worker| comm.send(worker, Tag::Pull, answer))
        }
        _ => {
            let buffer = &mut buffers[0];
            buffer.payload_mut().copy_from_slice(Values::F32(&mut sum).bytes());
            comm.send(0, Tag::Push, buffer)?;
            comm.recv(0, Tag::Pull, buffer)?;
            Values::F32(&mut sum).bytes_mut().copy_from_slice(buffer.payload());
            Ok(())
        }
    })
}

/// Seconds a byte that is added to another.
fn adding() -> f64 {
    let (mut sum, more) = (vec![0.0f32; LONG / 4], Buffer::new(Kind::F32, LONG / 4));
    let mut least = f64::MAX;
    for _ in 0..20 {
        let start = Instant::now();
        Values::F32(&mut sum).combine(more.payload(), Reduce::Sum);
        least = least.min(start.elapsed().as_secs_f64());
    }
    least / LONG as f64
}
