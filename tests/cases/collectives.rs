//! Collectives, what is built on them (agreement, handshake), and the meter around a communicator.

use super::messages::{filled, neighbours};
use goai::comm::{
    Buffer, Communicator, Group, Identity, Kind, Metered, Reduce, Tag, Traffic, Values, Verdict, agree, compare,
    gather_texts,
};
use goai::device::RealClock;
use goai::units::Bytes;

/// Gathers bytes of all ranks and checks that they are the same everywhere.
pub fn same_everywhere(comm: &dyn Communicator, bytes: &[u8], what: &str) {
    if bytes.is_empty() {
        return;
    }
    let mut all = vec![0; bytes.len() * comm.size()];
    comm.all_gather(bytes, &mut all).unwrap();
    for (rank, theirs) in all.chunks_exact(bytes.len()).enumerate() {
        assert!(theirs == bytes, "{what} differs between rank {rank} and rank {}", comm.rank());
    }
}

pub fn broadcasts(comm: &dyn Communicator) {
    for root in 0..comm.size() {
        for len in [0, 1, 9, 1000] {
            let start = |salt| (0..len).map(|i| i * 7 + salt).collect::<Vec<usize>>();
            let (mine, expected) = (start(100 * comm.rank()), start(100 * root));
            let mut f32s: Vec<f32> = mine.iter().map(|v| *v as f32 / 3.0).collect();
            let mut f64s: Vec<f64> = mine.iter().map(|v| *v as f64 / 3.0).collect();
            let mut i64s: Vec<i64> = mine.iter().map(|v| -(*v as i64)).collect();
            let mut u8s: Vec<u8> = mine.iter().map(|v| *v as u8).collect();
            for values in [Values::F32(&mut f32s), Values::F64(&mut f64s), Values::I64(&mut i64s), Values::U8(&mut u8s)]
            {
                comm.broadcast(root, values).unwrap();
            }
            assert!(f32s.iter().copied().eq(expected.iter().map(|v| *v as f32 / 3.0)), "f32 x {len} from {root}");
            assert!(f64s.iter().copied().eq(expected.iter().map(|v| *v as f64 / 3.0)), "f64 x {len} from {root}");
            assert!(i64s.iter().copied().eq(expected.iter().map(|v| -(*v as i64))), "i64 x {len} from {root}");
            assert!(u8s.iter().copied().eq(expected.iter().map(|v| *v as u8)), "u8 x {len} from {root}");
        }
    }
}

/// What rank `rank` contributes at `i`: signs and magnitudes differ between ranks, sums are no round numbers.
fn term(rank: usize, i: usize) -> f64 {
    let sign = if (rank + i).is_multiple_of(3) { -1.0 } else { 1.0 };
    sign / (1.0 + ((i * 31 + rank * 17) % 101) as f64)
}

fn whole(rank: usize, i: usize) -> i64 {
    (term(rank, i) * 1e15) as i64
}

pub fn reductions(comm: &dyn Communicator) {
    for len in [0, 1, 7, 833, 100_000] {
        for op in [Reduce::Sum, Reduce::Max] {
            let mine = |i: usize| term(comm.rank(), i);
            let mut f32s: Vec<f32> = (0..len).map(|i| mine(i) as f32).collect();
            let mut f64s: Vec<f64> = (0..len).map(mine).collect();
            let mut i64s: Vec<i64> = (0..len).map(|i| whole(comm.rank(), i)).collect();
            for values in [Values::F32(&mut f32s), Values::F64(&mut f64s), Values::I64(&mut i64s)] {
                comm.all_reduce(values, op).unwrap();
            }
            let combine = |i: usize| {
                let terms = (0..comm.size()).map(|rank| term(rank, i));
                match op {
                    Reduce::Sum => terms.sum::<f64>(),
                    Reduce::Max => terms.fold(f64::NEG_INFINITY, f64::max),
                }
            };
            let tolerance = |relative: f64| if op == Reduce::Sum { relative * comm.size() as f64 } else { 0.0 };
            for i in 0..len {
                let expected = combine(i);
                assert!((f64::from(f32s[i]) - expected).abs() <= tolerance(1e-7) + 1e-7 * expected.abs(), "f32 [{i}]");
                assert!((f64s[i] - expected).abs() <= tolerance(1e-15), "f64 [{i}] {} {expected}", f64s[i]);
                let integers = (0..comm.size()).map(|rank| whole(rank, i));
                let expected = if op == Reduce::Sum { integers.sum() } else { integers.max().unwrap() };
                assert_eq!(i64s[i], expected, "i64 [{i}]");
            }
            same_everywhere(comm, bytemuck::cast_slice(&f32s), "an f32 reduction");
            same_everywhere(comm, bytemuck::cast_slice(&f64s), "an f64 reduction");
        }
    }
    let mut wraps = [i64::MAX - 1];
    let others = comm.size() as i64 - 1;
    if comm.rank() > 0 {
        wraps = [1];
    }
    comm.all_reduce(Values::I64(&mut wraps), Reduce::Sum).unwrap();
    assert_eq!(wraps, [(i64::MAX - 1).wrapping_add(others)]);
}

/// Every second rank is a world of its own, at the same time as the others.
pub fn groups(comm: &dyn Communicator) {
    let group = Group::new(comm, (comm.rank() % 2..comm.size()).step_by(2).collect());
    assert_eq!(group.world_rank(group.rank()), comm.world_rank(comm.rank()));
    for case in [super::messages::order, super::messages::ring, reductions, reductions_under_way, gathers, texts] {
        case(&group);
    }
    comm.barrier().unwrap();
}

pub fn repeated_reductions(comm: &dyn Communicator) {
    let reduce = || {
        let mut values: Vec<f32> = (0..833).map(|i| term(comm.rank(), i) as f32).collect();
        comm.all_reduce(Values::F32(&mut values), Reduce::Sum).unwrap();
        values
    };
    let first = reduce();
    assert!((0..5).all(|_| reduce() == first), "the same sum has other bits the next time");
}

/// A vector of each kind that rank `rank` contributes to reduction `number`.
fn contribution(kind: Kind, len: usize, rank: usize, number: usize) -> Buffer {
    let mut buffer = Buffer::new(kind, len);
    match buffer.values() {
        Values::F32(v) => v.iter_mut().enumerate().for_each(|(i, v)| *v = term(rank, i + number) as f32),
        Values::F64(v) => v.iter_mut().enumerate().for_each(|(i, v)| *v = term(rank, i + number)),
        Values::I64(v) => v.iter_mut().enumerate().for_each(|(i, v)| *v = whole(rank, i + number)),
        Values::U8(_) => unreachable!("bytes are not reduced"),
    }
    buffer
}

/// Reductions that began together, waited for in several orders, with other messages and collectives between.
pub fn reductions_under_way(comm: &dyn Communicator) {
    let what = [(Kind::F32, 1), (Kind::F32, 0), (Kind::I64, 833), (Kind::F32, 100_000), (Kind::F64, 7)];
    for (order, op) in [([0, 1, 2, 3, 4], Reduce::Sum), ([4, 2, 0, 3, 1], Reduce::Sum), ([3, 4, 1, 0, 2], Reduce::Max)]
    {
        let start = |(number, (kind, len)): (usize, &(Kind, usize))| {
            Some(comm.start_all_reduce(contribution(*kind, *len, comm.rank(), number), op).unwrap())
        };
        let mut pending: Vec<_> = what.iter().enumerate().map(start).collect();
        let mut largest = [comm.rank() as i64];
        comm.all_reduce(Values::I64(&mut largest), Reduce::Max).unwrap();
        assert_eq!(largest, [comm.size() as i64 - 1], "a collective while reductions are under way");
        for at in order {
            let started = pending[at].take().unwrap();
            if at % 2 == 0 {
                while !comm.test(&started).unwrap() {
                    std::thread::yield_now();
                }
            }
            let reduced = comm.wait(started).unwrap();
            let (kind, len) = what[at];
            assert_eq!((reduced.kind(), reduced.len()), (kind, len));
            let mut blocking = contribution(kind, len, comm.rank(), at);
            let terms: Vec<_> = (0..comm.size()).map(|rank| contribution(kind, len, rank, at)).collect();
            let mut expected = terms[0].clone();
            terms[1..].iter().for_each(|term| expected.values().combine(term.payload(), op));
            close(&reduced, &expected, comm.size());
            if len > 0 {
                comm.all_reduce(blocking.values(), op).unwrap();
                close(&reduced, &blocking, comm.size());
            }
            same_everywhere(comm, reduced.payload(), "a reduction under way");
        }
    }
}

/// Equal up to the order of the sums; integers exactly.
fn close(a: &Buffer, b: &Buffer, ranks: usize) {
    let near = |a: f64, b: f64, relative: f64| (a - b).abs() <= relative * ranks as f64;
    match (a.clone().values(), b.clone().values()) {
        (Values::F32(a), Values::F32(b)) => {
            assert!(a.iter().zip(b).all(|(a, b)| near(f64::from(*a), f64::from(*b), 2e-7)))
        }
        (Values::F64(a), Values::F64(b)) => assert!(a.iter().zip(b).all(|(a, b)| near(*a, *b, 1e-15))),
        (Values::I64(a), Values::I64(b)) => assert_eq!(a, b),
        _ => panic!("other kinds"),
    }
}

pub fn repeated_reductions_under_way(comm: &dyn Communicator) {
    let reduce = || {
        let pieces = [50_000, 3, 833];
        let start = |len| comm.start_all_reduce(contribution(Kind::F32, len, comm.rank(), len), Reduce::Sum).unwrap();
        let pending = pieces.map(start);
        pending.map(|pending| comm.wait(pending).unwrap().f32s().to_vec())
    };
    let first = reduce();
    assert!((0..5).all(|_| reduce() == first), "the same sums have other bits the next time");
}

/// Vectors in shared memory, where there are any: their sums are those in rank order, to the bit.
pub fn shared_vectors(comm: &dyn Communicator) {
    for len in [1, 2047, 2048, 100_003] {
        let (first, second) = (comm.shared_vector(len).unwrap(), comm.shared_vector(len).unwrap());
        let (Some(mut first), Some(second)) = (first, second) else {
            same_everywhere(comm, &[0], "whether there is shared memory");
            continue;
        };
        same_everywhere(comm, &[1], "whether there is shared memory");
        for round in 0..3 {
            assert!(second.values().iter().all(|v| *v == 0.0), "vectors do not overlap");
            first.values_mut().iter_mut().enumerate().for_each(|(i, v)| *v = term(comm.rank(), i + round) as f32);
            let mut met = 0;
            first.all_reduce(&mut || met += 1).unwrap();
            assert_eq!(met, 1);
            let sum =
                |i: usize| (0..comm.size()).map(|rank| term(rank, i + round) as f32).reduce(|a, b| a + b).unwrap();
            assert!((0..len).all(|i| first.values()[i] == sum(i)), "{len}, round {round}");
        }
        first.values_mut().fill(1.0);
        drop(first);
        let again = comm.shared_vector(len).unwrap().expect("as before");
        assert!(again.values().iter().all(|v| *v == 0.0), "a vector that is used again begins with zeros");
    }
}

pub fn gathers(comm: &dyn Communicator) {
    for len in [0, 1, 13, 5000] {
        let part = |rank: usize| filled(Kind::U8, len, rank).payload().to_vec();
        let mut all = vec![0xee; len * comm.size()];
        comm.all_gather(&part(comm.rank()), &mut all).unwrap();
        let expected: Vec<u8> = (0..comm.size()).flat_map(part).collect();
        assert!(all == expected, "parts of {len} bytes");
    }
}

/// The last to enter is before the first to leave, by the node's clock.
pub fn barriers(comm: &dyn Communicator) {
    let now = || std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64();
    for late in 0..comm.size() {
        if comm.rank() == late {
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        let (mut entered, mut left) = ([now()], [0.0]);
        comm.barrier().unwrap();
        left[0] = -now();
        comm.all_reduce(Values::F64(&mut entered), Reduce::Max).unwrap();
        comm.all_reduce(Values::F64(&mut left), Reduce::Max).unwrap();
        assert!(entered[0] <= -left[0] + 1e-3, "a rank left {} s before rank {late} came", entered[0] + left[0]);
    }
}

pub fn texts(comm: &dyn Communicator) {
    let text = |rank: usize| match rank {
        1 => String::new(),
        _ => format!("rank {rank} sagt: θ → {}", "ü".repeat(rank * 50)),
    };
    let expected: Vec<String> = (0..comm.size()).map(text).collect();
    assert_eq!(gather_texts(comm, &text(comm.rank())).unwrap(), expected);
    assert_eq!(gather_texts(comm, "").unwrap(), vec![String::new(); comm.size()]);
}

pub fn agreement(comm: &dyn Communicator) {
    let size = comm.size();
    for failing in [vec![], vec![size - 1], (0..size).collect::<Vec<_>>()] {
        let failure = |rank: usize| (3 + rank as u8, format!("no data on {rank}: a colon, and spaces"));
        let mine = match failing.contains(&comm.rank()) {
            true => Err(failure(comm.rank())),
            false => Ok(()),
        };
        let expected = match failing.is_empty() {
            true => Verdict::Go,
            false => Verdict::Stop(failing.iter().map(|rank| (*rank, failure(*rank).0, failure(*rank).1)).collect()),
        };
        assert_eq!(agree(comm, mine).unwrap(), expected);
    }
}

pub fn handshake(comm: &dyn Communicator) {
    let last = comm.size() - 1;
    let common = || Identity::default().with("data", 17).with("--lr", "0.1");
    assert_eq!(compare(comm, &common()).unwrap(), Vec::<String>::new());
    let mine = match comm.rank() == last {
        true => common().with("--lr", "0.2").with("GOAI_SEED", 4),
        false => common(),
    };
    let expected = match last {
        0 => vec![],
        _ => vec![
            format!("--lr is '0.2' on rank {last}, '0.1' on rank 0"),
            format!("GOAI_SEED is '4' on rank {last}, unset on rank 0"),
        ],
    };
    assert_eq!(compare(comm, &mine).unwrap(), expected);
}

pub fn metered(comm: &dyn Communicator) {
    let clock = RealClock::start();
    let meter = Metered::new(comm, &clock);
    let size = comm.size() as u64;
    let counted = |sent: u64, received: u64, what: &str| {
        let Traffic { sent: got_sent, received: got_received, talked, waited } = meter.traffic();
        assert_eq!((got_sent, got_received), (Bytes(sent), Bytes(received)), "after {what}");
        assert!(talked.0 >= 0.0 && waited.0 >= 0.0);
    };
    let (mut sent, mut received) = (0, 0);
    counted(0, 0, "nothing");
    if comm.size() > 1 {
        let (to, from) = neighbours(comm);
        let receiving = meter.start_recv(from, Tag::Push, Buffer::new(Kind::F32, 10)).unwrap();
        let sending = meter.start_send(to, Tag::Push, Buffer::new(Kind::F32, 10)).unwrap();
        meter.wait(receiving).unwrap();
        meter.wait(sending).unwrap();
        (sent, received) = (32 + 40, 32 + 40);
        counted(sent, received, "a non-blocking exchange");
        match comm.rank() {
            0 => (1..comm.size()).for_each(|_| {
                let mut open = Buffer::open(Kind::U8);
                meter.recv_any(Tag::Pull, &mut open).unwrap();
                received += 32 + open.len() as u64;
            }),
            rank => {
                meter.send(0, Tag::Pull, &mut Buffer::new(Kind::U8, rank)).unwrap();
                sent += 32 + rank as u64;
            }
        }
        counted(sent, received, "messages to rank 0");
    }
    meter.all_reduce(Values::I64(&mut [1, 2, 3]), Reduce::Sum).unwrap();
    (sent, received) = (sent + 24, received + 24);
    counted(sent, received, "a reduction: the vector once each way");
    let pending = meter.start_all_reduce(Buffer::new(Kind::F32, 6), Reduce::Sum).unwrap();
    sent += 24;
    counted(sent, received, "the start of a reduction: out");
    let (before, start) = (meter.traffic(), std::time::Instant::now());
    let work = std::time::Duration::from_millis(20);
    std::thread::sleep(work);
    meter.wait(pending).unwrap();
    received += 24;
    counted(sent, received, "its end: in");
    let (cost, all) = (meter.traffic() - before, start.elapsed() - work);
    assert!(cost.talked.0 + cost.waited.0 <= all.as_secs_f64(), "what passes behind other work is no waiting");
    if let Some(mut vector) = meter.shared_vector(8).unwrap() {
        vector.all_reduce(&mut || ()).unwrap();
        (sent, received) = (sent + 32, received + 32);
    }
    counted(sent, received, "a sum in shared memory: the vector once each way");
    meter.broadcast(0, Values::F64(&mut [0.0; 5])).unwrap();
    if comm.rank() == 0 {
        sent += 40
    } else {
        received += 40
    }
    counted(sent, received, "a broadcast: out at the root, in at the others");
    meter.all_gather(&[1; 6], &mut vec![0; 6 * comm.size()]).unwrap();
    (sent, received) = (sent + 6, received + 6 * size);
    counted(sent, received, "a gathering");
    meter.barrier().unwrap();
    counted(sent, received, "a barrier: nothing");
    let before = meter.traffic();
    assert_eq!((meter.traffic() - before).sent, Bytes(0));
}
