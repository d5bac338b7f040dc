//! A file as memory. The only unsafe code of the data storey.
#![allow(unsafe_code)]

use memmap2::Mmap;
use std::fs::File;
use std::io;
use std::ops::Deref;

/// A file mapped for reading; its pages are the system's own copy, shared by all ranks of a node.
#[derive(Debug)]
pub struct Map(Mmap);

impl Map {
    /// Maps the whole file. It may be closed afterwards.
    ///
    /// # Errors
    /// What the system says, for example on a file system that cannot map.
    pub fn open(file: &File) -> io::Result<Self> {
        // SAFETY: the bytes must not change while they are borrowed. Files that are mapped here were published by a
        // rename or a link after their last byte had been written; this program never opens a published file for
        // writing, and replaces one only by another file, which leaves the mapped one as it is. Whoever truncates or
        // overwrites it by other means is outside what any program that maps files can hold off: the bytes are plain
        // numbers, of which every pattern is valid, and a page that is gone ends the process by SIGBUS.
        unsafe { Mmap::map(file) }.map(Self)
    }
}

impl Deref for Map {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}
