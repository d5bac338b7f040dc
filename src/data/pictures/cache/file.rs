//! The file of decoded pictures.
//!
//! ```text
//! header    16 words of 8 bytes, see [`Header`]
//! index     8 words a picture: state, hash of its pixels, Σ x of 3 channels, Σ x² of 3 channels
//! padding   to a page
//! pixels    3·H·W bytes a picture, in the order of the index; those of a bad picture are not written
//! ```
//! Words are in the machine's own order: on a machine of the other one the first word does not fit, and the file is
//! made anew. The header is written last, and carries a checksum of itself and of the index; the index carries one of
//! each picture. So a file that is torn anywhere is never taken for whole.

use super::super::decode::Wanted;
use super::super::map::Map;
use super::super::moments::Moments;
use rayon::prelude::*;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use xxhash_rust::xxh3::xxh3_64;

/// Says what the file is; its last byte is the version of the format and of the decoder: a change of either counts it up.
const MAGIC: u64 = u64::from_ne_bytes(*b"goaipix\x01");

/// Words of a header and of an index entry.
const HEADER: usize = 16;
const ENTRY: usize = 8;

/// States of a picture; 0 is one that nobody has written.
const GOOD: u64 = 1;
const BAD: u64 = 2;

/// How many pictures are compared with their hashes when a file is opened.
const PROBES: usize = 64;

/// What lies where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// What the file was made from.
    pub key: u64,
    /// Pictures, bad ones included.
    pub slots: usize,
    /// Pixel rows.
    pub height: usize,
    /// Pixels in a row.
    pub width: usize,
}

/// An index entry.
pub type Entry = [u64; ENTRY];

/// A file of decoded pictures, mapped.
#[derive(Debug)]
pub struct Mapped {
    path: PathBuf,
    map: Map,
    shape: Shape,
    /// Where the good pictures are, in the order of the set.
    slots: Vec<u32>,
}

impl Shape {
    pub fn new(key: u64, slots: usize, wanted: &Wanted) -> Self {
        Self { key, slots, height: wanted.height, width: wanted.width }
    }

    pub fn picture(&self) -> usize {
        3 * self.height * self.width
    }

    fn index_end(&self) -> usize {
        8 * (HEADER + ENTRY * self.slots)
    }

    fn pixels_at(&self, slot: usize) -> usize {
        self.index_end().next_multiple_of(4096) + slot * self.picture()
    }

    /// The length of the whole file.
    pub fn length(&self) -> usize {
        self.pixels_at(self.slots)
    }

    /// Writes the pixels of a picture; gives its index entry.
    pub fn write_pixels(&self, file: &File, slot: usize, pixels: &[u8]) -> io::Result<Entry> {
        file.write_all_at(pixels, self.pixels_at(slot) as u64)?;
        let moments = Moments::of_pixels(pixels, 3);
        let mut entry = [0; ENTRY];
        (entry[0], entry[1]) = (GOOD, xxh3_64(pixels));
        entry[2..5].copy_from_slice(&moments.sums);
        entry[5..].copy_from_slice(&moments.squares);
        Ok(entry)
    }

    /// The entry of a picture that was left out.
    pub fn bad() -> Entry {
        let mut entry = [0; ENTRY];
        entry[0] = BAD;
        entry
    }

    /// Writes the index entries of the pictures from `slot` on.
    pub fn write_entries(&self, file: &File, slot: usize, entries: &[Entry]) -> io::Result<()> {
        file.write_all_at(bytemuck::cast_slice(entries), 8 * (HEADER + ENTRY * slot) as u64)
    }

    /// Writes the header of a file whose pictures have all been written, and brings all of it to the disk.
    ///
    /// The inner error: a picture that nobody has written.
    pub fn seal(&self, file: &File) -> io::Result<Result<(), usize>> {
        let mut entries = vec![[0u64; ENTRY]; self.slots];
        file.read_exact_at(bytemuck::cast_slice_mut(&mut entries), 8 * HEADER as u64)?;
        if let Some(slot) = entries.iter().position(|entry| ![GOOD, BAD].contains(&entry[0])) {
            return Ok(Err(slot));
        }
        let header = self.header(bytemuck::cast_slice(&entries));
        file.sync_all()?;
        file.write_all_at(bytemuck::cast_slice(&header), 0)?;
        file.sync_all()?;
        Ok(Ok(()))
    }

    fn header(&self, index: &[u8]) -> [u64; HEADER] {
        let mut header = [0; HEADER];
        let shape = [self.key, self.slots as u64, self.height as u64, self.width as u64, self.length() as u64];
        header[0] = MAGIC;
        header[1..6].copy_from_slice(&shape);
        header[6] = xxh3_64(index);
        header[HEADER - 1] = xxh3_64(bytemuck::cast_slice(&header[..HEADER - 1]));
        header
    }
}

impl Mapped {
    /// Maps a file, if it is whole and of this shape.
    ///
    /// Looks at the length, the checksums of header and index, and the hashes of some pictures spread over the file;
    /// [`Mapped::verify`] looks at all of them.
    pub fn open(path: &Path, shape: Shape) -> Option<Self> {
        // Asked before opening: opening a pipe that nobody writes to blocks for ever.
        if !std::fs::symlink_metadata(path).ok()?.is_file() {
            return None;
        }
        let file = File::open(path).ok()?;
        if file.metadata().ok()?.len() != shape.length() as u64 {
            return None;
        }
        let map = Map::open(&file).ok()?;
        if map.len() != shape.length() {
            return None;
        }
        let header: &[u8] = &map[..8 * HEADER];
        if header != bytemuck::cast_slice::<u64, u8>(&shape.header(&map[8 * HEADER..shape.index_end()])) {
            return None;
        }
        let mut mapped = Self { path: path.to_owned(), map, shape, slots: Vec::new() };
        mapped.slots = (0..shape.slots as u32).filter(|&slot| mapped.entry(slot)[0] == GOOD).collect();
        let step = mapped.len().div_ceil(PROBES).max(1);
        let probes = (0..mapped.len()).step_by(step).chain(mapped.len().checked_sub(1));
        let is_whole = probes.into_iter().all(|i| mapped.is_intact(i));
        is_whole.then_some(mapped)
    }

    /// The file that is mapped.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Pictures, bad ones left out.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Which of the listed pictures are in it, ascending.
    pub fn slots(&self) -> &[u32] {
        &self.slots
    }

    /// The pixels of picture `i`, `[H, W, 3]`.
    pub fn pixels(&self, i: usize) -> &[u8] {
        &self.map[self.shape.pixels_at(self.slots[i] as usize)..][..self.shape.picture()]
    }

    /// The hash of the pixels of picture `i`, as it was when they were decoded.
    pub fn hash(&self, i: usize) -> u64 {
        self.entry(self.slots[i])[1]
    }

    /// The sums over the pixels of picture `i`.
    pub fn moments(&self, i: usize) -> Moments {
        let entry = self.entry(self.slots[i]);
        let count = (self.shape.picture() / 3) as u64;
        Moments { count, sums: entry[2..5].to_vec(), squares: entry[5..].to_vec() }
    }

    /// Compares the `part`-th of `parts` slices of the pictures with their hashes, on the threads of the current pool;
    /// one that differs. Reads every pixel of the slice.
    pub fn verify(&self, part: usize, parts: usize) -> Result<(), usize> {
        let slice = crate::data::order::balanced(self.len(), parts, part);
        slice.into_par_iter().find_any(|&i| !self.is_intact(i)).map_or(Ok(()), Err)
    }

    fn is_intact(&self, i: usize) -> bool {
        xxh3_64(self.pixels(i)) == self.hash(i)
    }

    fn entry(&self, slot: u32) -> Entry {
        let at = 8 * (HEADER + ENTRY * slot as usize);
        bytemuck::pod_read_unaligned(&self.map[at..at + 8 * ENTRY])
    }
}
