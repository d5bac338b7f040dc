//! PNG: the header by hand, the rest by the decoder.
//!
//! # References
//! W3C, *Portable Network Graphics (PNG) Specification*, third edition.

use super::{Format, Header, PictureFault};
use png::{ColorType, Decoder, DecodingError, Limits, Transformations};
use std::io::Cursor;

/// The first bytes of every PNG.
pub const SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";

/// The last bytes of every PNG: a chunk of no bytes, its name, its checksum.
const END: &[u8] = b"\0\0\0\0IEND\xae\x42\x60\x82";

/// What the decoder may allocate for what is beside the pixels.
const BESIDE: usize = 4 << 20;

/// The size, from the first chunk.
///
/// # Errors
/// What is wrong with it.
pub fn header(bytes: &[u8]) -> Result<Header, PictureFault> {
    let chunk = bytes.get(SIGNATURE.len()..SIGNATURE.len() + 25).ok_or(PictureFault::Truncated)?;
    if !chunk.starts_with(b"\0\0\0\x0dIHDR") {
        return Err(PictureFault::damaged("its first chunk is not a header"));
    }
    let number = |at: usize| u32::from_be_bytes(std::array::from_fn(|i| chunk[at + i]));
    let (width, height, bits, color) = (number(8), number(12), chunk[16], chunk[17]);
    if width == 0 || height == 0 {
        return Err(PictureFault::damaged("a side has no pixel"));
    }
    if bits > 8 {
        return Err(PictureFault::Deep(bits));
    }
    if !bytes.ends_with(END) {
        return Err(PictureFault::NoEnd(Format::Png));
    }
    // Bit 1 of the color type says that there are colors.
    Ok(Header { format: Format::Png, width: width as usize, height: height as usize, is_grey: color & 2 == 0 })
}

/// Decodes a picture of a size that was checked: three channels, or one.
///
/// # Errors
/// What the decoder says.
pub fn decode(bytes: &[u8]) -> Result<Vec<u8>, PictureFault> {
    let mut decoder = Decoder::new_with_limits(Cursor::new(bytes), Limits { bytes: BESIDE });
    decoder.set_ignore_text_chunk(true);
    decoder.set_ignore_iccp_chunk(true);
    // Palettes and fewer than eight bits become eight bits a channel.
    decoder.set_transformations(Transformations::EXPAND);
    let mut reader = decoder.read_info().map_err(fault)?;
    let size = reader.output_buffer_size().ok_or_else(|| PictureFault::damaged("its size overflows"))?;
    let mut pixels = vec![0; size];
    let frame = reader.next_frame(&mut pixels).map_err(fault)?;
    pixels.truncate(frame.buffer_size());
    // The rest has checksums, too.
    reader.finish().map_err(fault)?;
    Ok(match frame.color_type {
        ColorType::Rgb | ColorType::Grayscale => pixels,
        ColorType::Rgba => pixels.chunks_exact(4).flat_map(|pixel| [pixel[0], pixel[1], pixel[2]]).collect(),
        ColorType::GrayscaleAlpha => pixels.chunks_exact(2).map(|pixel| pixel[0]).collect(),
        ColorType::Indexed => return Err(PictureFault::damaged("its palette is missing")),
    })
}

fn fault(error: DecodingError) -> PictureFault {
    match error {
        DecodingError::IoError(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => PictureFault::Truncated,
        // What follows is the decoder's own notation.
        error => PictureFault::damaged(error.to_string().split(" while decoding ChunkType").next().unwrap_or_default()),
    }
}
