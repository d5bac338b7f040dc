//! Good pictures, bad ones, and thousands of damaged ones, all made by code.

use super::*;
use crate::rng::{Purpose, stream};
use jpeg_encoder::{ColorType as JpegColor, Encoder, SamplingFactor};
use rand_chacha::rand_core::RngCore;

/// Smooth colors with an edge, `[H, W, channels]`.
fn painting(width: usize, height: usize, channels: usize) -> Vec<u8> {
    let value = |x: usize, y: usize, c: usize| match c {
        0 => x * 255 / width,
        1 => y * 255 / height,
        2 => 200 * usize::from(x > y),
        _ => 128,
    };
    (0..width * height * channels)
        .map(|i| value(i / channels % width, i / channels / width, i % channels) as u8)
        .collect()
}

type Set = fn(&mut Encoder<&mut Vec<u8>>);

fn jpeg_with(width: u16, height: u16, color: JpegColor, set: Set) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes, 90);
    set(&mut encoder);
    let channels = match color {
        JpegColor::Luma => 1,
        JpegColor::Rgb => 3,
        _ => 4,
    };
    let pixels = painting(width.into(), height.into(), channels);
    encoder.encode(&pixels, width, height, color).unwrap();
    bytes
}

fn jpeg(width: u16, height: u16) -> Vec<u8> {
    jpeg_with(width, height, JpegColor::Rgb, |_| ())
}

fn png(width: u32, height: u32, color: ::png::ColorType, depth: ::png::BitDepth) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = ::png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(color);
    encoder.set_depth(depth);
    if color == ::png::ColorType::Indexed {
        encoder.set_palette((0..=255u8).flat_map(|i| [i, 255 - i, i / 2]).collect::<Vec<_>>());
    }
    let row = encoder_row(color, depth, width);
    let pixels = painting(width as usize, height as usize, row / width as usize);
    encoder.write_header().unwrap().write_image_data(&pixels).unwrap();
    bytes
}

fn encoder_row(color: ::png::ColorType, depth: ::png::BitDepth, width: u32) -> usize {
    color.samples() * width as usize * (depth as usize / 8)
}

fn wanted() -> Wanted {
    Wanted::size(16, 24)
}

fn fault(bytes: &[u8]) -> String {
    decode(bytes, &wanted()).unwrap_err().to_string()
}

/// The mean distance of two pictures.
fn distance(a: &[u8], b: &[u8]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| f64::from(a.abs_diff(*b))).sum::<f64>() / a.len() as f64
}

#[test]
fn pictures_come_out_as_they_were_painted() {
    use ::png::{BitDepth::Eight, ColorType as Png};
    let colors = painting(24, 16, 3);
    let indexed: Vec<u8> = painting(24, 16, 1).iter().flat_map(|&i| [i, 255 - i, i / 2]).collect();
    let grey = grey_to_rgb(&painting(24, 16, 1));
    // Of two channels the second is alpha.
    let first = |pixels: Vec<u8>| grey_to_rgb(&pixels.chunks(2).map(|pixel| pixel[0]).collect::<Vec<_>>());
    let progressive: Set = |e| e.set_progressive(true);
    let fine: Set = |e| e.set_sampling_factor(SamplingFactor::F_1_1);
    let coarse: Set = |e| e.set_sampling_factor(SamplingFactor::F_2_2);
    let restarts: Set = |e| e.set_restart_interval(2);
    for (what, bytes, expected, tolerance) in [
        ("rgb png", png(24, 16, Png::Rgb, Eight), &colors, 0.),
        ("rgba png", png(24, 16, Png::Rgba, Eight), &colors, 0.),
        ("grey png", png(24, 16, Png::Grayscale, Eight), &grey, 0.),
        ("grey png with alpha", png(24, 16, Png::GrayscaleAlpha, Eight), &first(painting(24, 16, 2)), 0.),
        ("palette png", png(24, 16, Png::Indexed, Eight), &indexed, 0.),
        ("jpeg", jpeg_with(24, 16, JpegColor::Rgb, fine), &colors, 4.),
        ("jpeg 4:2:0", jpeg_with(24, 16, JpegColor::Rgb, coarse), &colors, 8.),
        ("progressive jpeg", jpeg_with(24, 16, JpegColor::Rgb, progressive), &colors, 8.),
        ("jpeg with restarts", jpeg_with(24, 16, JpegColor::Rgb, restarts), &colors, 8.),
        ("grey jpeg", jpeg_with(24, 16, JpegColor::Luma, |_| ()), &grey, 2.),
        ("grey progressive jpeg", jpeg_with(24, 16, JpegColor::Luma, progressive), &grey, 2.),
    ] {
        let pixels = decode(&bytes, &wanted()).unwrap_or_else(|fault| panic!("{what}: {fault}"));
        let distance = distance(&pixels, expected);
        assert!(distance <= tolerance, "{what}: {distance}");
    }
}

#[test]
fn another_size_is_resized() {
    for (width, height) in [(48, 32), (12, 8), (31, 77)] {
        let pixels = decode(&jpeg_with(width, height, JpegColor::Luma, |_| ()), &wanted()).unwrap();
        let distance = distance(&pixels, &grey_to_rgb(&painting(24, 16, 1)));
        assert!(distance < 12., "{width}x{height}: {distance}");
    }
    // A fine chessboard becomes grey, not a coarse one.
    let board: Vec<u8> = (0..64 * 64).flat_map(|i| [255 * u8::from((i % 64 + i / 64) % 2 == 0); 3]).collect();
    let small = resize::resize(board, (64, 64), (16, 16)).unwrap();
    assert!(small.iter().all(|value| (120..=136).contains(value)), "{small:?}");
    // A picture of the wanted size is never too small.
    assert_eq!(decode(&jpeg(1, 1), &Wanted::size(1, 1)).unwrap().len(), 3);
}

#[test]
fn bad_pictures_are_refused_for_the_right_reason() {
    use ::png::{BitDepth::Sixteen, ColorType as Png};
    let mut wide = jpeg(24, 16);
    let at = wide.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap();
    wide[at + 5..at + 9].fill(0xff);
    let mut flat = jpeg(24, 16);
    flat[at + 5..at + 7].fill(0);
    let mut deep = jpeg(24, 16);
    deep[at + 4] = 12;
    let mut wide_png = png(24, 16, Png::Rgb, ::png::BitDepth::Eight);
    wide_png[16..24].copy_from_slice(&[0, 0, 255, 255, 0, 0, 255, 255]);
    let mut bad_sum = png(24, 16, Png::Rgb, ::png::BitDepth::Eight);
    let middle = bad_sum.len() / 2;
    bad_sum[middle] ^= 1;
    let mut lossless = jpeg(24, 16);
    lossless[at + 1] = 0xc3;
    let with_tail = [jpeg(24, 16), b"tail".to_vec()].concat();
    let with_tail_png = [png(24, 16, Png::Rgb, ::png::BitDepth::Eight), b"tail".to_vec()].concat();
    let scan = [0xff, 0xda, 0, 8, 1, 1, 0, 0, 63, 0];
    let many_scans = [&jpeg(24, 16)[..at + 19], &scan.repeat(10_000)[..], &[0xff, 0xd9]].concat();
    for (what, bytes, expected) in [
        ("nothing", vec![], "is empty"),
        ("text", b"<html>not found</html>".to_vec(), "is neither JPEG nor PNG"),
        ("two bytes", vec![0xff, 0xd8], "is neither"),
        ("65535 squared", wide, "has 65535x65535 pixels, more than the limit of 16777216"),
        ("65535 squared png", wide_png, "has 65535x65535 pixels, more than the limit"),
        ("no height", flat, "a side has no pixel"),
        ("12 bits", deep, "has 12 bits a channel, not 8"),
        ("16 bits", png(24, 16, Png::Rgb, Sixteen), "has 16 bits a channel, not 8"),
        ("cmyk", jpeg_with(24, 16, JpegColor::Cmyk, |_| ()), "four color channels (CMYK)"),
        ("ycck", jpeg_with(24, 16, JpegColor::CmykAsYcck, |_| ()), "four color channels (CMYK)"),
        ("1x1", jpeg(1, 1), "has 1x1 pixels, too few to be enlarged"),
        ("checksum", bad_sum, "is damaged"),
        ("lossless", lossless, "is encoded as lossless JPEG"),
        ("jpeg and more", with_tail, "does not end with the end mark of a JPEG"),
        ("png and more", with_tail_png, "does not end with the end mark of a PNG"),
        ("10,000 scans", many_scans, "has more than 100 scans"),
    ] {
        let message = fault(&bytes);
        assert!(message.contains(expected) && !message.contains('\n'), "{what}: {message}");
    }
}

#[test]
fn every_truncation_is_refused() {
    let progressive = jpeg_with(40, 30, JpegColor::Rgb, |e| e.set_progressive(true));
    for whole in [jpeg(40, 30), progressive, png(40, 30, ::png::ColorType::Rgb, ::png::BitDepth::Eight)] {
        assert!(decode(&whole, &wanted()).is_ok());
        for length in 0..whole.len() {
            assert!(decode(&whole[..length], &wanted()).is_err(), "{length} of {}", whole.len());
        }
    }
}

#[test]
fn flipped_bits_never_panic_and_give_a_picture_or_a_fault() {
    let progressive = jpeg_with(40, 30, JpegColor::Rgb, |e| e.set_progressive(true));
    let mut rng = stream(1, Purpose::Synthetic, 0, 0);
    for whole in [jpeg(40, 30), progressive, png(40, 30, ::png::ColorType::Rgb, ::png::BitDepth::Eight)] {
        for _ in 0..2000 {
            let mut bytes = whole.clone();
            for _ in 0..1 + rng.next_u32() % 3 {
                let at = rng.next_u32() as usize % bytes.len();
                bytes[at] ^= 1 << (rng.next_u32() % 8);
            }
            match decode(&bytes, &wanted()) {
                Ok(pixels) => assert_eq!(pixels.len(), wanted().bytes()),
                Err(fault) => assert!(!fault.to_string().contains('\n'), "{fault}"),
            }
        }
    }
}

#[test]
fn files_are_read_by_name_and_content() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| {
        let path = dir.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    };
    let png = png(24, 16, ::png::ColorType::Rgb, ::png::BitDepth::Eight);
    let good = write("a.JPeG", &jpeg(24, 16));
    assert_eq!(read(&good, None, &wanted()).unwrap().unwrap().len(), wanted().bytes());
    let changed = read(&good, Some(5), &wanted()).unwrap_err().to_string();
    assert!(changed.contains("has changed since its folder was listed"), "{changed}");
    let misnamed = read(&write("b.jpg", &png), None, &wanted()).unwrap().unwrap_err();
    assert_eq!(misnamed.to_string(), "is a PNG, but its name says JPEG");
    // Without an ending the content alone decides.
    assert!(read(&write("c", &png), None, &wanted()).unwrap().is_ok());
    std::fs::create_dir(dir.path().join("d.jpg")).unwrap();
    let folder = read(&dir.path().join("d.jpg"), None, &wanted()).unwrap().unwrap_err();
    assert_eq!(folder.to_string(), "is a directory, not a regular file");
    let big = dir.path().join("e.png");
    File::create(&big).unwrap().set_len(1 << 40).unwrap();
    let big = read(&big, None, &wanted()).unwrap().unwrap_err().to_string();
    assert!(big.starts_with("has 1099511627776 bytes, more than"), "{big}");
    assert!(read(&dir.path().join("f.jpg"), None, &wanted()).is_err());
}
