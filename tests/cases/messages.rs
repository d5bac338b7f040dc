//! Messages between two ranks: order, matching, kinds and lengths, refusals, non-blocking forms.

use goai::comm::{Buffer, CommError, Communicator, Kind, Note, Pending, Tag};

const KINDS: [Kind; 4] = [Kind::F32, Kind::F64, Kind::I64, Kind::U8];

/// A message whose bytes are told apart by `salt`.
pub fn filled(kind: Kind, len: usize, salt: usize) -> Buffer {
    let mut buffer = Buffer::new(kind, len);
    for (i, byte) in buffer.payload_mut().iter_mut().enumerate() {
        *byte = ((i * 131) ^ (i >> 8) ^ (salt * 29)) as u8;
    }
    buffer
}

/// Whether two messages are the same but for the time, which an emulated communicator stamps.
fn same(a: &Buffer, b: &Buffer) -> bool {
    let untimed = |buffer: &Buffer| Note { time: 0.0, ..buffer.note };
    (a.kind(), untimed(a), a.payload()) == (b.kind(), untimed(b), b.payload())
}

/// A message that carries only a number.
fn numbered(step: usize) -> Buffer {
    let mut buffer = Buffer::new(Kind::F32, 1);
    buffer.f32s_mut()[0] = step as f32;
    buffer.note.step = step as u32;
    buffer
}

fn receive(comm: &dyn Communicator, from: usize, tag: Tag) -> u32 {
    let mut buffer = Buffer::new(Kind::F32, 1);
    comm.recv(from, tag, &mut buffer).unwrap();
    assert_eq!(buffer.f32s()[0], buffer.note.step as f32);
    buffer.note.step
}

/// The neighbours in a ring: whom one sends to, whom one receives from.
pub fn neighbours(comm: &dyn Communicator) -> (usize, usize) {
    let (rank, size) = (comm.rank(), comm.size());
    ((rank + 1) % size, (rank + size - 1) % size)
}

/// Polls an operation to its end, so that `test` is used and not only `wait`.
fn finish(comm: &dyn Communicator, pending: Pending) -> Result<Buffer, CommError> {
    while !comm.test(&pending)? {
        std::thread::yield_now();
    }
    assert!(comm.test(&pending)?, "what is complete stays complete");
    comm.wait(pending)
}

pub fn order(comm: &dyn Communicator) {
    for root in 0..comm.size() {
        if comm.rank() == root {
            for step in 0..20 {
                for to in (0..comm.size()).filter(|to| *to != root) {
                    comm.send(to, Tag::Push, &mut numbered(step)).unwrap();
                }
            }
        } else {
            let got: Vec<u32> = (0..20).map(|_| receive(comm, root, Tag::Push)).collect();
            assert!(got.iter().copied().eq(0..20), "{got:?} from {root}");
        }
    }
}

pub fn two_channels(comm: &dyn Communicator) {
    if comm.size() == 1 {
        return;
    }
    let (to, from) = neighbours(comm);
    let mut sends = Vec::new();
    for step in 0..5 {
        sends.push(comm.start_send(to, Tag::Push, numbered(step)).unwrap());
        sends.push(comm.start_send(to, Tag::Pull, numbered(100 + step)).unwrap());
    }
    // In another order than they were sent: one channel does not block the other.
    let pulled: Vec<u32> = (0..5).map(|_| receive(comm, from, Tag::Pull)).collect();
    let pushed: Vec<u32> = (0..5).map(|_| receive(comm, from, Tag::Push)).collect();
    assert!(pulled.iter().copied().eq(100..105) && pushed.iter().copied().eq(0..5), "{pulled:?} {pushed:?}");
    for (i, pending) in sends.into_iter().enumerate() {
        let back = comm.wait(pending).unwrap();
        assert_eq!(back.note.step as usize, i / 2 + 100 * (i % 2), "the buffer that was given comes back");
    }
}

pub fn posted_receives(comm: &dyn Communicator) {
    if comm.size() == 1 {
        return;
    }
    let (to, from) = neighbours(comm);
    let post = || comm.start_recv(from, Tag::Push, Buffer::new(Kind::F32, 1)).unwrap();
    let (first, second) = (post(), post());
    let sends: Vec<Pending> = (0..3).map(|step| comm.start_send(to, Tag::Push, numbered(step)).unwrap()).collect();
    // A blocking receive comes third, and waiting in another order changes nothing.
    assert_eq!(receive(comm, from, Tag::Push), 2);
    assert_eq!(comm.wait(second).unwrap().note.step, 1);
    assert_eq!(comm.wait(first).unwrap().note.step, 0);
    sends.into_iter().for_each(|pending| drop(comm.wait(pending).unwrap()));
}

pub fn from_any(comm: &dyn Communicator) {
    const EACH: usize = 7;
    if comm.rank() > 0 {
        for step in 0..EACH {
            let mut message = numbered(step);
            message.note.micro = comm.rank() as u32;
            comm.send(0, Tag::Push, &mut message).unwrap();
        }
        return;
    }
    let mut next = vec![0; comm.size()];
    for _ in 0..EACH * (comm.size() - 1) {
        let mut buffer = Buffer::new(Kind::F32, 1);
        let from = comm.recv_any(Tag::Push, &mut buffer).unwrap();
        assert_eq!((buffer.note.micro, buffer.note.step), (from as u32, next[from]));
        next[from] += 1;
    }
    assert!(next[1..].iter().all(|count| *count == EACH as u32), "{next:?}");
}

pub fn probe(comm: &dyn Communicator) {
    match comm.rank() {
        1 => comm.send(0, Tag::Push, &mut numbered(4)).unwrap(),
        0 if comm.size() > 1 => {
            for source in [None, Some(1), None] {
                assert_eq!(comm.await_message(source, Tag::Push), Ok(1));
            }
            assert_eq!(receive(comm, 1, Tag::Push), 4);
        }
        _ => {}
    }
}

pub fn sizes_and_kinds(comm: &dyn Communicator) {
    if comm.size() == 1 {
        return;
    }
    let (to, from) = neighbours(comm);
    let short = KINDS.into_iter().flat_map(|kind| [0, 1, 3, 8, 1000].map(|len| (kind, len)));
    for (kind, len) in short.chain([(Kind::F32, 1_000_000)]) {
        let pending = comm.start_send(to, Tag::Pull, filled(kind, len, comm.rank())).unwrap();
        let mut got = Buffer::new(kind, len);
        got.payload_mut().fill(0xa5);
        comm.recv(from, Tag::Pull, &mut got).unwrap();
        assert!(same(&got, &filled(kind, len, from)), "{kind:?} x {len} changed on its way");
        assert_eq!((got.len(), got.is_empty(), got.wire_len()), (len, len == 0, 32 + len * kind.size()));
        let back = comm.wait(pending).unwrap();
        assert!(same(&back, &filled(kind, len, comm.rank())), "the sender's own copy changed");
    }
}

pub fn open_buffers(comm: &dyn Communicator) {
    if comm.size() == 1 {
        return;
    }
    let (to, from) = neighbours(comm);
    let mut open = Buffer::open(Kind::I64);
    for len in [5, 0, 40_000, 1] {
        let pending = comm.start_send(to, Tag::Push, filled(Kind::I64, len, comm.rank())).unwrap();
        comm.recv(from, Tag::Push, &mut open).unwrap();
        assert_eq!((open.kind(), open.len()), (Kind::I64, len));
        assert!(open.payload() == filled(Kind::I64, len, from).payload());
        comm.wait(pending).unwrap();
    }
    // Open as to length, not as to kind.
    let pending = comm.start_send(to, Tag::Push, filled(Kind::F64, 5, 0)).unwrap();
    let refused = comm.recv(from, Tag::Push, &mut open).unwrap_err();
    assert!(matches!(refused, CommError::Mismatch { got_kind: Kind::F64, got_len: 5, .. }), "{refused}");
    comm.wait(pending).unwrap();
}

pub fn notes(comm: &dyn Communicator) {
    if comm.size() == 1 {
        return;
    }
    let (to, from) = neighbours(comm);
    for note in [
        Note::default(),
        Note { step: 1, micro: 2, edge: 3, rows: 4, time: -0.125 },
        Note { step: u32::MAX, micro: u32::MAX, edge: u32::MAX, rows: u32::MAX, time: f64::MIN_POSITIVE },
        Note { time: f64::INFINITY, ..Note::default() },
    ] {
        let mut message = Buffer::new(Kind::U8, 3);
        message.note = note;
        let pending = comm.start_send(to, Tag::Push, message).unwrap();
        let mut got = Buffer::new(Kind::U8, 3);
        comm.recv(from, Tag::Push, &mut got).unwrap();
        assert_eq!(got.note, note);
        assert_eq!(comm.wait(pending).unwrap().note, note);
    }
}

/// What is sent where `F32 x 4` is expected.
const WRONG: [(Kind, usize); 5] = [(Kind::F32, 3), (Kind::F32, 5), (Kind::I64, 4), (Kind::U8, 16), (Kind::F32, 0)];

fn refuses(result: Result<Buffer, CommError>, from: usize, tag: Tag, wrong: (Kind, usize)) {
    let (got_kind, got_len) = wrong;
    let expected = CommError::Mismatch { from, tag, kind: Kind::F32, len: 4, got_kind, got_len };
    assert_eq!(result.map(drop), Err(expected));
}

pub fn mismatches(comm: &dyn Communicator) {
    if comm.size() == 1 {
        return;
    }
    let (to, from) = neighbours(comm);
    for (step, wrong) in WRONG.into_iter().enumerate() {
        let sends = [
            comm.start_send(to, Tag::Push, filled(wrong.0, wrong.1, 1)).unwrap(),
            comm.start_send(to, Tag::Push, numbered(step)).unwrap(),
            comm.start_send(to, Tag::Pull, numbered(step + 50)).unwrap(),
        ];
        let mut buffer = Buffer::new(Kind::F32, 4);
        let result = comm.recv(from, Tag::Push, &mut buffer).map(|()| buffer);
        refuses(result, comm.world_rank(from), Tag::Push, wrong);
        // Both channels go on: the wrong message was taken away, no other was.
        assert_eq!(receive(comm, from, Tag::Pull), step as u32 + 50);
        assert_eq!(receive(comm, from, Tag::Push), step as u32);
        sends.into_iter().for_each(|pending| drop(comm.wait(pending).unwrap()));
    }
}

/// A receive under way has room for what it expects and no more. A longer message is an error that names the
/// peer; what it held is lost with it, so its kind and length may be unknown.
pub fn mismatches_under_way(comm: &dyn Communicator) {
    if comm.size() == 1 {
        return;
    }
    let (to, from) = neighbours(comm);
    for (step, wrong) in WRONG.into_iter().enumerate() {
        let receiving = comm.start_recv(from, Tag::Push, Buffer::new(Kind::F32, 4)).unwrap();
        let sends = [
            comm.start_send(to, Tag::Push, filled(wrong.0, wrong.1, 1)).unwrap(),
            comm.start_send(to, Tag::Push, numbered(step)).unwrap(),
        ];
        let result = comm.wait(receiving);
        match result {
            Err(CommError::Longer { from: named, tag: Tag::Push, kind: Kind::F32, len: 4 }) => {
                assert!(named == comm.world_rank(from) && wrong.0.size() * wrong.1 > 16);
            }
            result => refuses(result, comm.world_rank(from), Tag::Push, wrong),
        }
        assert_eq!(receive(comm, from, Tag::Push), step as u32);
        sends.into_iter().for_each(|pending| drop(comm.wait(pending).unwrap()));
    }
}

pub fn no_such_rank(comm: &dyn Communicator) {
    let (rank, size) = (comm.rank(), comm.size());
    for peer in [rank, size, size + 7, usize::MAX] {
        let tag = Tag::Push;
        let expected = CommError::NoSuchRank { rank, size, peer, tag };
        let buffer = || Buffer::new(Kind::F32, 1);
        assert_eq!(comm.send(peer, tag, &mut buffer()), Err(expected.clone()));
        assert_eq!(comm.recv(peer, tag, &mut buffer()), Err(expected.clone()));
        assert_eq!(comm.await_message(Some(peer), tag), Err(expected.clone()));
        assert_eq!(comm.start_send(peer, tag, buffer()).map(drop), Err(expected.clone()));
        assert_eq!(comm.start_recv(peer, tag, buffer()).map(drop), Err(expected));
    }
}

pub fn ring(comm: &dyn Communicator) {
    if comm.size() == 1 {
        return;
    }
    let (to, from) = neighbours(comm);
    for len in [1, 833, 300_000] {
        let mut mine = filled(Kind::F32, len, comm.rank());
        let mut room = Buffer::new(Kind::F32, len);
        // Once around: everybody's message comes back to its sender.
        for _ in 0..comm.size() {
            let receiving = comm.start_recv(from, Tag::Pull, room).unwrap();
            let sending = comm.start_send(to, Tag::Pull, mine).unwrap();
            mine = finish(comm, receiving).unwrap();
            room = finish(comm, sending).unwrap();
        }
        assert!(same(&mine, &filled(Kind::F32, len, comm.rank())), "{len} floats changed on their way around");
    }
}
