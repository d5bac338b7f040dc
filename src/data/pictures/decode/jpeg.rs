//! JPEG: a walk over the file's segments first, then the decoder.
//!
//! The walk finds the size, refuses what the decoder would take or choke on, and knows whether the picture is whole:
//! entropy-coded data may end anywhere for a decoder, but the end mark behind them must be there.
//!
//! # References
//! ITU-T T.81 (1992), annex B.

use super::{Format, Header, PictureFault};
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

/// Scans of a progressive JPEG; usual are 10, and each costs a pass over all pixels.
const SCANS: usize = 100;

/// What the walk finds.
struct Walk<'a> {
    bytes: &'a [u8],
    at: usize,
    header: Option<Header>,
    scans: usize,
}

/// The size, once the whole file has been walked over.
///
/// # Errors
/// What is wrong with it.
pub fn header(bytes: &[u8]) -> Result<Header, PictureFault> {
    let mut walk = Walk { bytes, at: 2, header: None, scans: 0 };
    while walk.segment()? {}
    match walk.header {
        Some(header) if walk.scans > 0 && bytes.ends_with(&[0xff, 0xd9]) => Ok(header),
        Some(_) if walk.scans > 0 => Err(PictureFault::NoEnd(Format::Jpeg)),
        _ => Err(PictureFault::damaged("there is no picture in it")),
    }
}

/// Decodes what [`header`] let pass: three channels, or one.
///
/// # Errors
/// What the decoder says.
pub fn decode(bytes: &[u8]) -> Result<Vec<u8>, PictureFault> {
    let is_grey = header(bytes)?.is_grey;
    let side = usize::from(u16::MAX);
    let options = DecoderOptions::default()
        .set_strict_mode(true)
        .set_max_width(side)
        .set_max_height(side)
        .jpeg_set_max_scans(SCANS)
        .jpeg_set_out_colorspace(if is_grey { ColorSpace::Luma } else { ColorSpace::RGB });
    JpegDecoder::new_with_options(ZCursor::new(bytes), options).decode().map_err(PictureFault::damaged)
}

impl Walk<'_> {
    fn byte(&mut self) -> Result<u8, PictureFault> {
        let byte = *self.bytes.get(self.at).ok_or(PictureFault::Truncated)?;
        self.at += 1;
        Ok(byte)
    }

    /// Steps over one segment; whether another one follows.
    fn segment(&mut self) -> Result<bool, PictureFault> {
        if self.byte()? != 0xff {
            return Err(PictureFault::damaged("a marker is missing between two segments"));
        }
        let mut marker = self.byte()?;
        while marker == 0xff {
            marker = self.byte()?;
        }
        match marker {
            0xd9 => return Ok(false),
            0x00 | 0x01 | 0xd0..=0xd8 => return Err(PictureFault::damaged("a marker is out of place")),
            0xdc => return Err(PictureFault::Uncommon("DNL")),
            0xc9..=0xcc => return Err(PictureFault::Uncommon("arithmetic-coded")),
            0xc3 => return Err(PictureFault::Uncommon("lossless")),
            0xc5..=0xc8 | 0xcd..=0xcf => return Err(PictureFault::Uncommon("hierarchical")),
            _ => {}
        }
        let length = usize::from(u16::from_be_bytes([self.byte()?, self.byte()?]));
        let end = self.at + length.checked_sub(2).ok_or_else(|| PictureFault::damaged("a segment without length"))?;
        let body = self.bytes.get(self.at..end).ok_or(PictureFault::Truncated)?;
        self.at = end;
        match marker {
            0xc0..=0xc2 => self.frame(body)?,
            0xda => self.scan()?,
            _ => {}
        }
        Ok(true)
    }

    fn frame(&mut self, body: &[u8]) -> Result<(), PictureFault> {
        let &[bits, h1, h0, w1, w0, components, ref rest @ ..] = body else {
            return Err(PictureFault::damaged("the frame header is too short"));
        };
        if self.header.is_some() {
            return Err(PictureFault::damaged("it has two frame headers"));
        }
        if bits != 8 {
            return Err(PictureFault::Deep(bits));
        }
        let (height, width) = (u16::from_be_bytes([h1, h0]).into(), u16::from_be_bytes([w1, w0]).into());
        if height == 0 || width == 0 {
            return Err(PictureFault::damaged("a side has no pixel"));
        }
        match components {
            1 | 3 => {}
            4 => return Err(PictureFault::Cmyk),
            _ => return Err(PictureFault::damaged(format!("it has {components} color channels"))),
        }
        // The decoder's buffers grow with the sampling factors, so they are held to what the standard allows.
        let factors = rest.chunks(3).filter_map(|component| component.get(1)).map(|both| (both >> 4, both & 15));
        let blocks: u32 = factors.clone().map(|(h, v)| u32::from(h) * u32::from(v)).sum();
        let is_valid = factors.clone().all(|(h, v)| (1..=4).contains(&h) && (1..=4).contains(&v));
        if rest.len() != 3 * usize::from(components) || !is_valid || (components > 1 && blocks > 10) {
            return Err(PictureFault::damaged("the frame header is invalid"));
        }
        self.header = Some(Header { format: Format::Jpeg, width, height, is_grey: components == 1 });
        Ok(())
    }

    /// Steps over entropy-coded data, to the next marker that ends them.
    fn scan(&mut self) -> Result<(), PictureFault> {
        self.scans += 1;
        if self.scans > SCANS {
            return Err(PictureFault::TooManyScans(SCANS));
        }
        loop {
            let rest = &self.bytes[self.at..];
            self.at += rest.iter().position(|&byte| byte == 0xff).ok_or(PictureFault::Truncated)?;
            match self.bytes.get(self.at + 1).ok_or(PictureFault::Truncated)? {
                0x00 | 0xd0..=0xd7 => self.at += 2,
                0xff => self.at += 1,
                _ => return Ok(()),
            }
        }
    }
}
