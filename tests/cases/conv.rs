//! The data, the networks and the numbers of small trainings on pictures.

use goai::data::pictures::{Augment, PictureView, Pictures, PixelScale, Pixels};
use goai::nn::layers::{BatchNorm, Conv2d, Dense, Dropout, Flatten, LayerKind, MaxPool, Relu};
use goai::nn::{Loss, Network, Shape, Spec, zoo};
use goai::strategy::{Hyper, Task};
use std::sync::Arc;

/// Pictures of the training part; the other parts have twelve each.
pub const TRAIN: usize = 60;

/// Noise around a brightness and a color of each of three classes, and a small convolutional network.
pub struct Conv {
    pub network: Network,
    pub train: PictureView,
    pub validation: PictureView,
    pub test: PictureView,
}

impl Conv {
    /// Crops and mirrored pictures while training; batch normalization and dropout where asked for.
    pub fn new(norm: bool, dropout: bool) -> Self {
        Self::of(spec(norm, dropout))
    }

    /// A network of the zoo and pictures that it can pool often enough.
    #[allow(dead_code)] // not every test that has this file needs it
    pub fn named(name: &str) -> Self {
        Self::sized(name, [3, 26, 22])
    }

    /// A network of the zoo at a size of its own.
    #[allow(dead_code)] // not every test that has this file needs it
    pub fn sized(name: &str, [c, h, w]: [usize; 3]) -> Self {
        Self::of(zoo::by_name(name, &Shape::image(c, h, w), 3).unwrap())
    }

    fn of(spec: Spec) -> Self {
        let [c, h, w] = spec.input.0[..] else { panic!("no picture: {:?}", spec.input) };
        let pictures = Arc::new(pictures([c, h, w], TRAIN + 24));
        let rows: Vec<u32> = (0..pictures.labels.len() as u32).collect();
        let scale = PixelScale::fit(&pictures, &rows[..TRAIN]);
        let part = |rows: &[u32], augment| {
            let (pictures, scale) = (pictures.clone(), scale.clone());
            PictureView { pictures, rows: rows.to_vec(), scale, augment }
        };
        Self {
            network: Network::build(spec).unwrap(),
            train: part(&rows[..TRAIN], Some(Augment { crop: 2, flip: true })),
            validation: part(&rows[TRAIN..TRAIN + 12], None),
            test: part(&rows[TRAIN + 12..], None),
        }
    }

    pub fn task(&self, hyper: Hyper) -> Task<'_> {
        let Self { network, train, validation, test } = self;
        Task { network, train, validation, test, hyper, pipeline: None, grid: None, split: None, resume: None }
    }
}

fn pictures(shape: [usize; 3], count: usize) -> Pictures {
    let dims: usize = shape.iter().product();
    let mut state = 1u32;
    let mut noise = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 25) as u8
    };
    let pixels = (0..count * dims).map(|i| noise() + if i % 3 == i / dims % 3 { 90 } else { 30 });
    Pictures {
        name: "noise".into(),
        shape,
        labels: (0..count as u32).map(|i| i % 3).collect(),
        classes: ["a", "b", "c"].map(String::from).to_vec(),
        own_test: 0,
        pixels: Pixels::Owned(Arc::new(pixels.collect())),
    }
}

fn spec(norm: bool, dropout: bool) -> Spec {
    let conv = |inputs, outputs| {
        LayerKind::Conv2d(Conv2d { inputs, outputs, kernel: [3, 3], stride: [1, 1], padding: [1, 1], bias: true })
    };
    let relu = || LayerKind::Relu(Relu {});
    let pool = || LayerKind::MaxPool(MaxPool { kernel: [2, 2], stride: [2, 2], padding: [0, 0] });
    let mut layers = vec![conv(3, 8), relu(), pool(), conv(8, 12)];
    layers.extend(norm.then_some(LayerKind::BatchNorm(BatchNorm { channels: 12, eps: 1e-5 })));
    layers.extend([relu(), pool(), LayerKind::Flatten(Flatten {})]);
    layers.extend(dropout.then_some(LayerKind::Dropout(Dropout { rate: 0.25, stream: 0 })));
    layers.push(LayerKind::Dense(Dense { inputs: 12 * 3 * 2, outputs: 3 }));
    let named = layers.into_iter().enumerate().map(|(i, layer)| (format!("layer{i}"), layer)).collect();
    Spec::chain("conv", Shape::image(3, 13, 11), named, Loss::CrossEntropy)
}
