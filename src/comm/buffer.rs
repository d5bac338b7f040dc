//! What travels: a typed payload behind a fixed 32-byte header that the communicator writes and checks.

use super::{CommError, Values};
use bytemuck::{cast_slice, cast_slice_mut};

/// A channel. What varies from message to message is in its [`Note`], not here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Tag {
    /// The portable collectives.
    Collective = 1,
    /// Gradients on their way to the server.
    Push = 2,
    /// The averaged gradient on its way back.
    Pull = 3,
    /// Reductions under way.
    Reduction = 4,
    /// Activations and labels on their way down a chain.
    Activations = 5,
    /// Gradients of activations on their way back.
    Gradient = 6,
    /// What a receiver of activations sends up: that it took a batch.
    Credit = 7,
    /// What the server of a grid wants a worker to do, with the weights if the worker lacks them.
    Task = 8,
    /// What a worker of a grid tells the server: a result, or that it leaves.
    Report = 9,
    /// A tensor on its way from a task to those that read it.
    Tensor = 10,
}

/// The element type of a payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// 32-bit floats.
    F32 = 1,
    /// 64-bit floats.
    F64 = 2,
    /// 64-bit integers.
    I64 = 3,
    /// Bytes.
    U8 = 4,
}

impl Kind {
    /// Bytes of one element.
    pub fn size(self) -> usize {
        match self {
            Kind::F32 => 4,
            Kind::F64 | Kind::I64 => 8,
            Kind::U8 => 1,
        }
    }

    fn from_byte(byte: u8) -> Option<Self> {
        [Kind::F32, Kind::F64, Kind::I64, Kind::U8].into_iter().find(|k| *k as u8 == byte)
    }
}

/// What a message says about itself, beside its payload.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Note {
    /// The step.
    pub step: u32,
    /// The micro-batch or request.
    pub micro: u32,
    /// The edge of the graph.
    pub edge: u32,
    /// Rows of a batch.
    pub rows: u32,
    /// The sender's virtual time, in seconds; 0 on the real clock.
    pub time: f64,
}

const HEADER_WORDS: usize = 4;
/// Bytes of the header.
pub const HEADER: usize = 8 * HEADER_WORDS;
const MAGIC: u16 = 0x6f47; // "Go"

/// An owned, reusable message.
///
/// The words hold the header and then the payload, so that a message is one contiguous piece on the
/// wire; eight-byte words keep every element type aligned.
#[derive(Debug, Clone)]
pub struct Buffer {
    words: Vec<u64>,
    kind: Kind,
    len: usize,
    open: bool,
    /// What the message says about itself.
    pub note: Note,
}

impl Buffer {
    /// A message of `len` zeros.
    pub fn new(kind: Kind, len: usize) -> Self {
        let mut buffer = Self { words: Vec::new(), kind, len: 0, open: false, note: Note::default() };
        buffer.resize(len);
        buffer
    }

    /// A buffer to receive a message of any length into.
    pub fn open(kind: Kind) -> Self {
        Self { open: true, ..Self::new(kind, 0) }
    }

    /// The element type.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The number of elements.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether the payload is empty.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether it takes a message of any length.
    pub(super) fn is_open(&self) -> bool {
        self.open
    }

    /// Changes type and length; keeps the memory.
    pub fn reshape(&mut self, kind: Kind, len: usize) {
        self.kind = kind;
        self.open = false;
        self.resize(len);
    }

    /// Takes a message of any length from now on; keeps the memory.
    pub fn reopen(&mut self, kind: Kind) {
        self.reshape(kind, 0);
        self.open = true;
    }

    fn resize(&mut self, len: usize) {
        self.len = len;
        self.words.resize(HEADER_WORDS + (len * self.kind.size()).div_ceil(8), 0);
    }

    /// The payload's bytes.
    pub fn payload(&self) -> &[u8] {
        &cast_slice(&self.words[HEADER_WORDS..])[..self.len * self.kind.size()]
    }

    /// The payload's bytes, to write.
    pub fn payload_mut(&mut self) -> &mut [u8] {
        let bytes = self.len * self.kind.size();
        &mut cast_slice_mut(&mut self.words[HEADER_WORDS..])[..bytes]
    }

    /// The payload as floats.
    ///
    /// # Panics
    /// If it is of another kind.
    pub fn f32s(&self) -> &[f32] {
        assert_eq!(self.kind, Kind::F32);
        cast_slice(self.payload())
    }

    /// The payload as floats, to write.
    ///
    /// # Panics
    /// If it is of another kind.
    pub fn f32s_mut(&mut self) -> &mut [f32] {
        assert_eq!(self.kind, Kind::F32);
        cast_slice_mut(self.payload_mut())
    }

    /// The payload as a collective takes it.
    pub fn values(&mut self) -> Values<'_> {
        match self.kind {
            Kind::F32 => Values::F32(cast_slice_mut(self.payload_mut())),
            Kind::F64 => Values::F64(cast_slice_mut(self.payload_mut())),
            Kind::I64 => Values::I64(cast_slice_mut(self.payload_mut())),
            Kind::U8 => Values::U8(self.payload_mut()),
        }
    }

    /// Bytes on the wire: header and payload.
    pub fn wire_len(&self) -> usize {
        HEADER + self.len * self.kind.size()
    }

    /// The message as it goes over the wire.
    pub(crate) fn wire(&mut self, tag: Tag) -> &[u8] {
        let len = u32::try_from(self.len).expect("lengths are checked before a message is sent");
        let note = self.note;
        let mut header = [0u8; HEADER];
        header[0..2].copy_from_slice(&MAGIC.to_le_bytes());
        header[2] = tag as u8;
        header[3] = self.kind as u8;
        for (at, field) in [(4, len), (8, note.step), (12, note.micro), (16, note.edge), (20, note.rows)] {
            header[at..at + 4].copy_from_slice(&field.to_le_bytes());
        }
        header[24..32].copy_from_slice(&note.time.to_le_bytes());
        let bytes = self.wire_len();
        let wire: &mut [u8] = cast_slice_mut(&mut self.words);
        wire[..HEADER].copy_from_slice(&header);
        &wire[..bytes]
    }

    /// Room for an incoming message of `bytes` bytes.
    pub(super) fn wire_room(&mut self, bytes: usize) -> &mut [u8] {
        self.words.resize(bytes.div_ceil(8).max(HEADER_WORDS), 0);
        &mut cast_slice_mut(&mut self.words)[..bytes]
    }

    /// Takes a whole message of a rank, if it is what this buffer expects.
    pub(crate) fn take(&mut self, from: usize, tag: Tag, wire: &[u8]) -> Result<(), CommError> {
        self.wire_room(wire.len()).copy_from_slice(wire);
        self.accept(from, tag, wire.len())
    }

    /// Checks what arrived in the room against what this buffer expects.
    pub(super) fn accept(&mut self, from: usize, tag: Tag, bytes: usize) -> Result<(), CommError> {
        let accepted = self.read_header(from, tag, bytes);
        // Also after a refusal: the memory fits the length again.
        self.resize(self.len);
        accepted
    }

    fn read_header(&mut self, from: usize, tag: Tag, bytes: usize) -> Result<(), CommError> {
        let garbage = |why| CommError::Garbage { from, tag, why };
        if bytes < HEADER {
            return Err(garbage("shorter than a header"));
        }
        let wire: &[u8] = cast_slice(&self.words);
        let field = |at: usize| u32::from_le_bytes(wire[at..at + 4].try_into().expect("four bytes"));
        if u16::from_le_bytes([wire[0], wire[1]]) != MAGIC || wire[2] != tag as u8 {
            return Err(garbage("wrong magic or channel"));
        }
        let kind = Kind::from_byte(wire[3]).ok_or_else(|| garbage("unknown element type"))?;
        let len = field(4) as usize;
        if len * kind.size() != bytes - HEADER {
            return Err(garbage("its length is not the message's"));
        }
        let time = f64::from_le_bytes(wire[24..32].try_into().expect("eight bytes"));
        let note = Note { step: field(8), micro: field(12), edge: field(16), rows: field(20), time };
        if kind != self.kind || (!self.open && len != self.len) {
            let (expected, expected_len) = (self.kind, self.len);
            return Err(CommError::Mismatch {
                from,
                tag,
                kind: expected,
                len: expected_len,
                got_kind: kind,
                got_len: len,
            });
        }
        self.note = note;
        self.len = len;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deliver(from: &mut Buffer, to: &mut Buffer, mangle: impl Fn(&mut Vec<u8>)) -> Result<(), CommError> {
        let mut bytes = from.wire(Tag::Push).to_vec();
        mangle(&mut bytes);
        to.wire_room(bytes.len()).copy_from_slice(&bytes);
        to.accept(3, Tag::Push, bytes.len())
    }

    #[test]
    fn a_message_arrives_as_it_was_sent() {
        let mut sent = Buffer::new(Kind::F32, 3);
        sent.f32s_mut().copy_from_slice(&[1.0, -2.0, f32::MIN_POSITIVE]);
        sent.note = Note { step: 7, micro: 1, edge: 2, rows: 9, time: 0.125 };
        assert_eq!(sent.wire_len(), 32 + 12);
        for mut got in [Buffer::new(Kind::F32, 3), Buffer::open(Kind::F32)] {
            deliver(&mut sent, &mut got, |_| ()).unwrap();
            assert_eq!((got.f32s(), got.note), (sent.f32s(), sent.note));
        }
    }

    #[test]
    fn every_wrong_message_is_named_and_none_panics() {
        let mut sent = Buffer::new(Kind::F32, 3);
        let mut error = |kind, len, mangle: &dyn Fn(&mut Vec<u8>)| {
            deliver(&mut sent, &mut Buffer::new(kind, len), mangle).unwrap_err().to_string()
        };
        assert!(error(Kind::F32, 4, &|_| ()).contains("F32 x 3 arrived where F32 x 4"));
        assert!(error(Kind::I64, 3, &|_| ()).contains("where I64 x 3"));
        assert!(error(Kind::F32, 3, &|b| b.truncate(5)).contains("shorter than a header"));
        assert!(error(Kind::F32, 3, &|b| b.truncate(40)).contains("length"));
        assert!(error(Kind::F32, 3, &|b| b[0] ^= 1).contains("magic"));
        assert!(error(Kind::F32, 3, &|b| b[2] = 3).contains("channel"));
        assert!(error(Kind::F32, 3, &|b| b[3] = 99).contains("unknown element type"));
        assert!(error(Kind::F32, 3, &|b| b[7] = 0xff).contains("length"));
    }
}
