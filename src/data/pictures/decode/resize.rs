//! Pictures brought to one size.

use super::PictureFault;
use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};

/// Resizes `[H, W, 3]` from one (width, height) to another.
///
/// # Math
/// A triangle filter: bilinear when enlarging, and as wide as the source pixels of one target pixel when shrinking, so
/// that fine patterns become grey instead of false coarse ones. Fixed-point arithmetic: the same pixels on every machine.
///
/// # Errors
/// What the resizer says; nothing is known that it says for sides of at least one pixel.
pub fn resize(pixels: Vec<u8>, from: (usize, usize), to: (usize, usize)) -> Result<Vec<u8>, PictureFault> {
    let source =
        ImageRef::new(from.0 as u32, from.1 as u32, &pixels, PixelType::U8x3).map_err(PictureFault::damaged)?;
    let mut target = Image::new(to.0 as u32, to.1 as u32, PixelType::U8x3);
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Bilinear));
    Resizer::new().resize(&source, &mut target, &options).map_err(PictureFault::damaged)?;
    Ok(target.into_vec())
}
