//! Views against a computation without any cleverness.

use super::*;
use crate::data::pictures::Pixels;

fn view(shape: [usize; 3], augment: Option<Augment>) -> PictureView {
    let [channels, height, width] = shape;
    let pixels = (0..7 * channels * height * width).map(|i| (i * 131 % 257 % 256) as u8).collect();
    let names = vec!["a".to_owned(), "b".to_owned()];
    let pictures = Arc::new(Pictures {
        name: "set".into(),
        shape,
        labels: vec![0, 1, 0, 1, 0, 1, 0],
        classes: names,
        own_test: 0,
        pixels: Pixels::Owned(Arc::new(pixels)),
    });
    let rows = vec![6, 0, 3, 1];
    let scale = PixelScale::fit(&pictures, &rows);
    PictureView { pictures, rows, scale, augment }
}

/// Element (c, y, x) of sample `i`, seen through the window.
fn naive(view: &PictureView, i: usize, window: Window, [c, y, x]: [usize; 3]) -> f32 {
    let [channels, height, width] = view.pictures.shape;
    let x = if window.is_mirrored { width - 1 - x } else { x };
    let (y, x) = (y as isize + window.top, x as isize + window.left);
    if !(0..height as isize).contains(&y) || !(0..width as isize).contains(&x) {
        return 0.0;
    }
    let value = view.pictures.pixels(view.rows[i] as usize)[(y as usize * width + x as usize) * channels + c];
    (f32::from(value) - view.scale.means[c]) * (1.0 / view.scale.deviations[c])
}

/// Planar, interleaved, and both with margins; each with the floats it reaches over.
fn layouts([channels, height, width]: [usize; 3]) -> [Layout; 4] {
    let wide = (width + 3) * channels;
    [
        Layout::planar(height, width),
        Layout { height, width, channel: 1, row: width * channels, column: channels },
        Layout { height, width, channel: 1, row: wide, column: channels },
        Layout { height, width, channel: 1, row: width * (channels + 2), column: channels + 2 },
    ]
}

#[test]
fn views_equal_a_naive_computation_in_every_layout() {
    let visit = |epoch| Visit { seed: 3, epoch };
    let mut windows = std::collections::BTreeSet::new();
    for shape in [[3, 5, 40], [3, 2, 16], [1, 4, 70], [1, 1, 1], [5, 3, 21], [60, 2, 3], [4, 2, 13]] {
        let [channels, height, width] = shape;
        for augment in [None, Some(Augment { crop: 2, flip: true }), Some(Augment { crop: 50, flip: true })] {
            let view = view(shape, augment);
            for layout in layouts(shape) {
                for (i, epoch) in (0..8).map(|epoch| (epoch as usize % 4, (epoch > 0).then_some(epoch))) {
                    let last = layout.at(channels * height * width - 1);
                    let mut row = vec![f32::NAN; last + 1];
                    view.load(i, visit(epoch), layout, &mut row);
                    let window = view.window(i, visit(epoch));
                    windows.insert((window.top, window.left, window.is_mirrored));
                    for element in 0..channels * height * width {
                        let (c, y, x) = (element / (height * width), element / width % height, element % width);
                        let value = row[layout.at(element)];
                        let expected = naive(&view, i, window, [c, y, x]);
                        assert_eq!(value.to_bits(), expected.to_bits(), "{shape:?} {window:?} {layout:?} {element}");
                    }
                    let gaps = row.iter().filter(|value| value.is_nan()).count();
                    assert_eq!(gaps, last + 1 - channels * height * width, "{layout:?}: what lies between was written");
                }
            }
        }
    }
    assert!(windows.len() > 10, "{windows:?}");
}

#[test]
fn augmentation_depends_on_seed_epoch_and_sample_alone() {
    let view = view([3, 4, 5], Some(Augment { crop: 1, flip: true }));
    let load = |i, seed, epoch| {
        let mut row = [0.0; 60];
        view.load(i, Visit { seed, epoch }, Layout::planar(4, 5), &mut row);
        row
    };
    let forwards: Vec<_> = (0..4).map(|i| load(i, 1, Some(0))).collect();
    let backwards: Vec<_> = (0..4).rev().map(|i| load(i, 1, Some(0))).collect();
    assert!(forwards.iter().eq(backwards.iter().rev()));
    assert!((0..9).any(|epoch| load(0, 1, Some(epoch)) != forwards[0]));
    assert!((0..9).any(|seed| load(0, seed, Some(0)) != forwards[0]));
    // Measured as it was recorded.
    assert_eq!(load(0, 1, None), load(0, 2, None));
}

#[test]
fn windows_are_drawn_evenly() {
    let augment = Augment { crop: 1, flip: true };
    let mut counts = std::collections::BTreeMap::new();
    for i in 0..18_000 {
        let window = Window::draw(augment, Visit { seed: 1, epoch: None }, 0, i);
        *counts.entry((window.top, window.left, window.is_mirrored)).or_insert(0) += 1;
    }
    assert_eq!(counts.len(), 18);
    assert!(counts.values().all(|count| (850..1150).contains(count)), "{counts:?}");
    let still = Window::draw(Augment { crop: 0, flip: false }, Visit::MEASURE, 7, 7);
    assert_eq!(still, Window::WHOLE);
}

/// `cargo test --release --lib a_load_takes -- --ignored --nocapture`
#[test]
#[ignore = "prints microseconds a picture and asserts nothing: for whoever changes the loader"]
fn a_load_takes_so_many_microseconds() {
    let augment = Some(Augment { crop: 8, flip: true });
    for (name, augment) in [("as recorded", None), ("augmented", augment)] {
        let view = view([3, 150, 150], augment);
        for layout in layouts([3, 150, 150]) {
            let mut row = vec![0.0; layout.at(67_499) + 1];
            let start = std::time::Instant::now();
            for epoch in 0..2000 {
                view.load(epoch as usize % 4, Visit { seed: 1, epoch: Some(epoch) }, layout, &mut row);
            }
            println!("{name} {layout:?}: {:?}", start.elapsed() / 2000);
        }
    }
}
