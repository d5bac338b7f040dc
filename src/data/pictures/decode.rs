//! From the bytes of a picture file to pixels of the wanted size, or to the reason why not.
//!
//! Strict on purpose: the usual settings of decoders turn a truncated JPEG into a picture that is partly grey, and a
//! network then learns from it. Everything that costs memory is checked in the file's header first.
//!
//! What becomes of the kinds of pictures:
//! - grey is taken three times; an alpha channel is dropped (what lies behind is not invented); a palette is applied;
//! - CMYK, more than eight bits a channel, lossless and arithmetic JPEG are refused: convert them;
//! - a PNG named .jpg (or the reverse) is refused: some other step of the preparation has gone wrong;
//! - color profiles and the orientation in EXIF are ignored, as in the usual Python loaders;
//! - an animation gives its first frame;
//! - another size is resized, both sides by themselves, so that the whole picture is seen.

mod contain;
mod jpeg;
mod png;
mod resize;
#[cfg(test)]
mod tests;

use super::super::DataError;
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// The most pixels that a picture may have when nothing else is said: 16 · 2²⁰.
pub const PIXEL_LIMIT: u64 = 16 << 20;

/// A side shorter than this is not enlarged: a 1x1 file is a tracking pixel or a mistake, no picture.
const SMALLEST_SIDE: usize = 4;

/// Which pictures are taken, and what size they get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    /// Pixel rows of every picture.
    pub height: usize,
    /// Pixels in a row.
    pub width: usize,
    /// The most pixels that a file's header may announce. Decoding takes at most 24 bytes a pixel, and 5 for most files.
    pub pixel_limit: u64,
}

impl Wanted {
    /// Pictures of this size, from files of at most [`PIXEL_LIMIT`] pixels.
    pub fn size(height: usize, width: usize) -> Self {
        Self { height, width, pixel_limit: PIXEL_LIMIT }
    }

    /// The bytes of a decoded picture, `3·H·W`.
    pub fn bytes(&self) -> usize {
        3 * self.height * self.width
    }

    /// The largest file that is read: four bytes a pixel, and room for what is beside the pixels.
    fn file_limit(&self) -> u64 {
        4 * self.pixel_limit + (1 << 20)
    }
}

/// The formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// JPEG, baseline or progressive.
    Jpeg,
    /// PNG.
    Png,
}

impl std::fmt::Display for Format {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Jpeg => "JPEG",
            Self::Png => "PNG",
        })
    }
}

impl Format {
    /// The format that a file's ending promises, in upper or lower case.
    pub fn of_name(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "jpg" | "jpeg" => Some(Self::Jpeg),
            "png" => Some(Self::Png),
            _ => None,
        }
    }

    fn of_content(bytes: &[u8]) -> Option<Self> {
        match bytes {
            [0xff, 0xd8, 0xff, ..] => Some(Self::Jpeg),
            _ => bytes.starts_with(png::SIGNATURE).then_some(Self::Png),
        }
    }
}

/// What a file's header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Its format.
    pub format: Format,
    /// Pixels in a row.
    pub width: usize,
    /// Pixel rows.
    pub height: usize,
    /// Whether it has no colors.
    pub is_grey: bool,
}

/// Why a picture is not taken, as the middle of a sentence that begins with its name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PictureFault {
    /// No byte.
    #[error("is empty")]
    Empty,
    /// Another kind of file.
    #[error("is neither JPEG nor PNG")]
    NotAPicture,
    /// The name says another format than the content.
    #[error("is a {content}, but its name says {name}")]
    Misnamed {
        /// The format it has.
        content: Format,
        /// The format that its name promises.
        name: Format,
    },
    /// More pixels than are decoded.
    #[error("has {width}x{height} pixels, more than the limit of {limit}")]
    TooManyPixels {
        /// Pixels in a row.
        width: usize,
        /// Pixel rows.
        height: usize,
        /// The most pixels.
        limit: u64,
    },
    /// More bytes than are read.
    #[error("has {size} bytes, more than the limit of {limit}")]
    TooManyBytes {
        /// The file's size.
        size: u64,
        /// The most bytes.
        limit: u64,
    },
    /// Too small to be enlarged.
    #[error("has {width}x{height} pixels, too few to be enlarged")]
    TooSmall {
        /// Pixels in a row.
        width: usize,
        /// Pixel rows.
        height: usize,
    },
    /// The file ends too early.
    #[error("is truncated: the file ends before the picture does")]
    Truncated,
    /// The file's last bytes are not those of its format.
    #[error("does not end with the end mark of a {0}: it is truncated, or something was appended")]
    NoEnd(Format),
    /// CMYK.
    #[error("has four color channels (CMYK), not RGB or grey")]
    Cmyk,
    /// More than eight bits.
    #[error("has {0} bits a channel, not 8")]
    Deep(u8),
    /// A progressive JPEG that takes hours.
    #[error("has more than {0} scans")]
    TooManyScans(usize),
    /// A kind of JPEG that nobody uses.
    #[error("is encoded as {0} JPEG, and only baseline and progressive ones are read")]
    Uncommon(&'static str),
    /// Anything else that the decoder found.
    #[error("is damaged: {0}")]
    Damaged(String),
    /// It has a picture's ending, but is no regular file.
    #[error("is {0}, not a regular file")]
    NotAFile(&'static str),
    /// A link to somewhere else.
    #[error("is a symbolic link that leaves the data directory, or leads nowhere")]
    Strays,
    /// Its name cannot be written down.
    #[error("has a name that is not UTF-8")]
    BadName,
}

impl PictureFault {
    /// A decoder's words, brought to one line.
    fn damaged(words: impl std::fmt::Display) -> Self {
        let words = words.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
        Self::Damaged(words.chars().take(160).collect())
    }
}

/// Reads the header alone; decodes nothing.
///
/// # Errors
/// What is wrong with it.
pub fn header(bytes: &[u8]) -> Result<Header, PictureFault> {
    if bytes.is_empty() {
        return Err(PictureFault::Empty);
    }
    match Format::of_content(bytes).ok_or(PictureFault::NotAPicture)? {
        Format::Jpeg => jpeg::header(bytes),
        Format::Png => png::header(bytes),
    }
}

/// Decodes a picture and brings it to the wanted size.
///
/// # Shapes
/// The result is `[H, W, 3]`.
///
/// # Errors
/// Why it is not taken; nothing that a file contains makes it panic, and nothing larger than the limit is allocated.
pub fn decode(bytes: &[u8], wanted: &Wanted) -> Result<Vec<u8>, PictureFault> {
    let Header { format, width, height, .. } = header(bytes)?;
    if width as u64 * height as u64 > wanted.pixel_limit {
        return Err(PictureFault::TooManyPixels { width, height, limit: wanted.pixel_limit });
    }
    if width < SMALLEST_SIDE.min(wanted.width) || height < SMALLEST_SIDE.min(wanted.height) {
        return Err(PictureFault::TooSmall { width, height });
    }
    let pixels = contain::panics(|| match format {
        Format::Jpeg => jpeg::decode(bytes),
        Format::Png => png::decode(bytes),
    })
    .unwrap_or_else(|message| Err(PictureFault::damaged(message)))?;
    let pixels = if pixels.len() == width * height { grey_to_rgb(&pixels) } else { pixels };
    if pixels.len() != 3 * width * height {
        return Err(PictureFault::damaged("it has another number of pixels than its header says"));
    }
    if (width, height) == (wanted.width, wanted.height) {
        return Ok(pixels);
    }
    resize::resize(pixels, (width, height), (wanted.width, wanted.height))
}

/// Reads and decodes a picture file; `size` is what it must have, where that is known.
///
/// # Shapes
/// The result is `[H, W, 3]`.
///
/// # Errors
/// The outer one: the file cannot be read, or has another size than before. The inner one: why it is not taken.
pub fn read(path: &Path, size: Option<u64>, wanted: &Wanted) -> Result<Result<Vec<u8>, PictureFault>, DataError> {
    let io = |error| DataError::Io { path: path.to_owned(), error };
    // Asked before opening: opening a pipe that nobody writes to blocks for ever.
    let metadata = std::fs::metadata(path).map_err(io)?;
    if !metadata.is_file() {
        let kind = if metadata.is_dir() { "a directory" } else { "a pipe or device" };
        return Ok(Err(PictureFault::NotAFile(kind)));
    }
    let limit = wanted.file_limit();
    if metadata.len() > limit {
        return Ok(Err(PictureFault::TooManyBytes { size: metadata.len(), limit }));
    }
    let mut bytes = Vec::with_capacity(metadata.len() as usize + 1);
    // The limit again: the file may grow while it is read.
    File::open(path).map_err(io)?.take(limit + 1).read_to_end(&mut bytes).map_err(io)?;
    if size.unwrap_or(metadata.len()) != bytes.len() as u64 {
        return Err(DataError::PictureChanged { path: path.to_owned() });
    }
    match (Format::of_name(path), Format::of_content(&bytes)) {
        (Some(name), Some(content)) if name != content => Ok(Err(PictureFault::Misnamed { content, name })),
        _ => Ok(decode(&bytes, wanted)),
    }
}

fn grey_to_rgb(grey: &[u8]) -> Vec<u8> {
    grey.iter().flat_map(|&value| [value; 3]).collect()
}
