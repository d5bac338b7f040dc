//! What the exchange of a large gradient costs in each of its forms: `mpirun -n 2 target/release/deps/exchange-…`.
//!
//! Each round does the same arithmetic, then (or meanwhile) sums one gradient of 2.7 million floats over all ranks in
//! one of the forms. Rounds are interleaved; the time of the slowest rank counts. Rounds in which a rank was taken off
//! its core are left out: on a shared machine they measure the neighbours.

use goai::comm::launcher::Launcher;
use goai::comm::mpi::{MpiComm, abort_on_panic};
use goai::comm::{Buffer, CommError, Communicator, Kind, Reduce, SharedVector, Values};
use std::hint::black_box;
use std::time::Instant;

/// Parameters of img_cnn, about.
const LEN: usize = 2_700_000;
const BUCKET: usize = (2 << 20) / 4;
const ROUNDS: usize = 400;
/// Repetitions of a bucket's arithmetic, which stand for one layer's backward pass: a few milliseconds.
const WORK: usize = 12;

struct Bench<'a> {
    comm: &'a MpiComm,
    packed: Vec<f32>,
    buffers: Vec<Option<Buffer>>,
    shared: Option<Box<dyn SharedVector + 'a>>,
}

/// Stands for the computation of a part of the gradient, at about the arithmetic intensity of a small convolution.
fn compute(part: &mut [f32]) {
    for round in 0..WORK {
        part.iter_mut().enumerate().for_each(|(i, v)| *v = (*v * 0.5 + i as f32 * 1e-6).sqrt() + round as f32);
    }
    black_box(part);
}

fn nothing(bench: &mut Bench) -> Result<(), CommError> {
    bench.packed.rchunks_mut(BUCKET).for_each(compute);
    Ok(())
}

fn one_vector(bench: &mut Bench) -> Result<(), CommError> {
    nothing(bench)?;
    bench.comm.all_reduce(Values::F32(&mut bench.packed), Reduce::Sum)
}

fn shared(bench: &mut Bench) -> Result<(), CommError> {
    let Some(vector) = &mut bench.shared else { return one_vector(bench) };
    vector.values_mut().rchunks_mut(BUCKET).for_each(compute);
    vector.all_reduce(&mut || {})
}

fn buckets(bench: &mut Bench) -> Result<(), CommError> {
    let mut pending = Vec::new();
    for (part, buffer) in bench.packed.rchunks_mut(BUCKET).zip(&mut bench.buffers) {
        compute(part);
        let mut buffer = buffer.take().expect("it came back");
        buffer.f32s_mut().copy_from_slice(part);
        pending.push(bench.comm.start_all_reduce(buffer, Reduce::Sum)?);
        for pending in &pending {
            bench.comm.test(pending)?;
        }
    }
    for ((pending, part), buffer) in pending.into_iter().zip(bench.packed.rchunks_mut(BUCKET)).zip(&mut bench.buffers) {
        let reduced = bench.comm.wait(pending)?;
        part.copy_from_slice(reduced.f32s());
        *buffer = Some(reduced);
    }
    Ok(())
}

type Form = fn(&mut Bench) -> Result<(), CommError>;

const FORMS: [(&str, Form); 4] = [
    ("arithmetic alone", nothing),
    ("one vector, after it", one_vector),
    ("buckets of 2 MiB, during it", buckets),
    ("shared memory, after it", shared),
];

/// How often this process was taken off its core, by its own account.
fn preempted() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("nonvoluntary_ctxt_switches:"));
    line.and_then(|count| count.trim().parse().ok()).unwrap_or(0)
}

fn main() -> Result<(), CommError> {
    if std::env::args().any(|argument| argument == "--list") {
        return Ok(());
    }
    abort_on_panic(101);
    let comm = MpiComm::start(&Launcher::detect())?;
    let mut bench = Bench {
        comm: &comm,
        packed: vec![1.0; LEN],
        buffers: vec![0.0f32; LEN].rchunks(BUCKET).map(|part| Some(Buffer::new(Kind::F32, part.len()))).collect(),
        shared: comm.shared_vector(LEN)?,
    };
    let mut times = [const { Vec::new() }; FORMS.len()];
    for _ in 0..ROUNDS {
        for (at, (_, form)) in FORMS.iter().enumerate() {
            comm.barrier()?;
            let (start, before) = (Instant::now(), preempted());
            form(&mut bench)?;
            let mut slowest = [start.elapsed().as_secs_f64(), (preempted() - before) as f64];
            comm.all_reduce(Values::F64(&mut slowest), Reduce::Max)?;
            if slowest[1] == 0.0 {
                times[at].push(slowest[0] * 1e3);
            }
        }
    }
    if comm.rank() == 0 {
        let alone = median(&mut times[0]);
        println!("{} ranks, shared memory: {}", comm.size(), bench.shared.is_some());
        for ((name, _), times) in FORMS.iter().zip(&mut times) {
            let (median, kept) = (median(times), times.len());
            let (low, high) = (times.get(kept / 10), times.get(kept * 9 / 10));
            println!(
                "{name:<30} {:>7.2} ms more than arithmetic alone ({:.2} to {:.2} in all, {kept} of {ROUNDS} rounds)",
                median - alone,
                low.unwrap_or(&0.0),
                high.unwrap_or(&0.0)
            );
        }
    }
    drop(bench);
    comm.finish();
    Ok(())
}

fn median(times: &mut [f64]) -> f64 {
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or(f64::NAN)
}
