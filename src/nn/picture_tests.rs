//! The layers for pictures: their table for the gradient check, adjoint identities, values that can be checked by eye.

use super::layers::*;
use super::program::lay_out;
use super::*;
use ndarray::{Array2, ArrayView2};

/// A convolution with a bias.
pub(super) fn conv(
    inputs: usize,
    outputs: usize,
    kernel: [usize; 2],
    stride: [usize; 2],
    padding: [usize; 2],
) -> LayerKind {
    LayerKind::Conv2d(Conv2d { inputs, outputs, kernel, stride, padding, bias: true })
}

/// Windows and pictures that fit badly: channels in and out, picture, kernel, stride, padding.
type Odd = (usize, usize, [usize; 2], [usize; 2], [usize; 2], [usize; 2]);
const ODD: &[Odd] = &[
    (1, 1, [1, 1], [1, 1], [1, 1], [0, 0]),
    (1, 2, [3, 3], [3, 3], [1, 1], [0, 0]),
    (2, 3, [5, 4], [3, 3], [1, 1], [1, 1]),
    (3, 2, [7, 5], [5, 3], [2, 1], [2, 1]),
    (2, 5, [6, 9], [2, 4], [3, 2], [1, 0]),
    (4, 3, [4, 4], [1, 1], [2, 2], [0, 0]),
    (1, 2, [2, 2], [3, 3], [1, 1], [2, 2]),
    (3, 4, [9, 8], [4, 5], [2, 3], [2, 2]),
    (5, 1, [1, 11], [1, 6], [1, 4], [0, 3]),
    (2, 17, [6, 6], [3, 3], [1, 1], [1, 1]),
];

/// Name, dimensions, classes and network of each case for the gradient check.
pub(super) fn cases() -> Vec<(&'static str, usize, usize, Spec)> {
    let tanh = || LayerKind::Tanh(Tanh {});
    let norm = |channels| LayerKind::BatchNorm(BatchNorm { channels, eps: 1e-5 });
    let drop = |rate, stream| LayerKind::Dropout(Dropout { rate, stream });
    let mut cases = vec![];
    let mut add = |name, input: [usize; 3], layers: Vec<LayerKind>| {
        let [c, h, w] = input;
        cases.push((name, c * h * w, 3, classifier(Shape::image(c, h, w), layers)));
    };
    for &(i, o, [h, w], kernel, stride, padding) in ODD {
        let first = conv(i, o, kernel, stride, padding);
        let bare = LayerKind::Conv2d(Conv2d { inputs: i, outputs: o, kernel, stride, padding, bias: false });
        add("conv", [i, h, w], vec![first.clone()]);
        // The second convolution asks the first for the gradient of a picture.
        add("two convs", [i, h, w], vec![bare, tanh(), conv(o, 2, [1, 1], [1, 1], [0, 0])]);
        add("conv dropout", [i, h, w], vec![first.clone(), drop(0.4, 0), tanh(), drop(0.3, 1)]);
        add("conv global", [i, h, w], vec![first.clone(), tanh(), LayerKind::GlobalAvgPool(GlobalAvgPool {})]);
        if [h, w] != [1, 1] {
            add("conv norm", [2, 6, 5], vec![conv(2, o, [3, 3], [1, 1], [1, 1]), norm(o), tanh()]);
        }
    }
    let start = || conv(2, 3, [3, 3], [1, 1], [1, 1]);
    for (kernel, stride, padding) in [([2, 2], [2, 2], [0, 0]), ([3, 2], [2, 1], [1, 1]), ([3, 3], [1, 2], [0, 1])] {
        add("avg pool", [2, 7, 6], vec![start(), LayerKind::AvgPool(AvgPool { kernel, stride, padding }), tanh()]);
        add("max pool", [2, 7, 6], vec![start(), LayerKind::MaxPool(MaxPool { kernel, stride, padding }), tanh()]);
    }
    add("max pool", [2, 4, 5], vec![start(), LayerKind::GlobalMaxPool(GlobalMaxPool {})]);
    // A gradient of three channels for the kernels of pooled convolutions.
    let pool = LayerKind::MaxPool(MaxPool { kernel: [2, 2], stride: [2, 2], padding: [0, 0] });
    let (narrow, relu) = (conv(3, 4, [3, 3], [1, 1], [1, 1]), LayerKind::Relu(Relu {}));
    add("max pool", [2, 7, 6], vec![start(), tanh(), narrow, relu, pool]);
    cases.push(("joined", 2 * 5 * 4, 3, joined()));
    cases
}

/// The layers on a picture, then flatten and a dense layer to 3 classes.
fn classifier(input: Shape, mut layers: Vec<LayerKind>) -> Spec {
    layers.push(LayerKind::Flatten(Flatten {}));
    let output = layers.iter().fold(input.clone(), |x, layer| layer.as_layer().output("case", &[x]).unwrap());
    layers.push(LayerKind::Dense(Dense { inputs: output.elements(), outputs: 3 }));
    let named = layers.into_iter().enumerate().map(|(i, layer)| (format!("n{i}"), layer)).collect();
    Spec::chain("case", input, named, Loss::CrossEntropy)
}

/// A shortcut, and branches of several widths that read one value, joined again.
fn joined() -> Spec {
    let node = |name: &str, layer, inputs: &[&str]| NodeSpec {
        name: name.into(),
        layer,
        inputs: inputs.iter().map(|input| input.to_string()).collect(),
    };
    let dense = |inputs, outputs| LayerKind::Dense(Dense { inputs, outputs });
    Spec {
        name: "joined".into(),
        input: Shape::image(2, 5, 4),
        nodes: vec![
            node("conv1", conv(2, 3, [3, 3], [1, 1], [1, 1]), &["input"]),
            node("conv2", conv(3, 3, [3, 3], [1, 1], [1, 1]), &["conv1"]),
            node("sum", LayerKind::Add(Add {}), &["conv1", "conv2", "conv1"]),
            node("narrow", conv(3, 1, [1, 1], [1, 1], [0, 0]), &["sum"]),
            node("all", LayerKind::Concat(Concat {}), &["narrow", "sum", "input"]),
            node("act", LayerKind::Tanh(Tanh {}), &["all"]),
            node("fc1", dense(6 * 5 * 4, 3), &["act"]),
            node("vector", LayerKind::Concat(Concat {}), &["fc1", "fc1"]),
            node("fc2", dense(6, 3), &["vector"]),
        ],
        outputs: vec![OutputSpec { node: "fc2".into(), loss: Loss::CrossEntropy }],
    }
}

/// A layer alone, on rows of some input tensors.
struct Bench<'a> {
    layer: &'a dyn Layer,
    shapes: Vec<Shape>,
    theta: Vec<f32>,
    sigma: Vec<f32>,
    batch: usize,
    phase: Phase,
}

const IDS: [u32; 8] = [40, 3, 77, 12, 5, 6, 7, 8];

impl<'a> Bench<'a> {
    fn new(layer: &'a dyn Layer, inputs: Vec<Shape>, batch: usize) -> Self {
        let lengths = |specs: Vec<TensorSpec>| specs.iter().map(|t| t.shape.iter().product::<usize>()).sum();
        let theta = noise(lengths(layer.tensors(&inputs)), 1);
        let sigma: Vec<f32> = noise(lengths(layer.statistics(&inputs)), 2).iter().map(|s| s.abs() + 0.5).collect();
        let output = layer.output("bench", &inputs).unwrap();
        let shapes = inputs.into_iter().chain([output]).collect();
        Self { layer, shapes, theta, sigma, batch, phase: Phase::Train }
    }

    /// Forward, the gradient of each input and that of θ for a `dy`, from inputs laid out as a workspace does.
    fn run(&self, x: &[Vec<f32>], dy: &[f32]) -> (Vec<f32>, Vec<Vec<f32>>, Vec<f32>) {
        let (places, len) = lay_out(&self.shapes, self.batch);
        let mut arena = vec![0.0; len];
        for (place, x) in places.iter().zip(x) {
            place.view_mut(&mut arena, self.batch).assign(&rows(x, self.batch));
        }
        let ids: Vec<usize> = (0..x.len()).collect();
        let inputs = Inputs { values: &arena, places: &places, shapes: &self.shapes, ids: &ids, batch: self.batch };
        let context = Context { phase: self.phase, seed: 9, epoch: 2, ..Context::eval(&IDS, &self.sigma) };
        let shape = self.shapes.last().unwrap();
        let mut y = Array2::from_elem((self.batch, shape.elements()), f32::NAN);
        self.layer.forward(&context, inputs, &self.theta, y.view_mut());
        let at = At { x: inputs, y: y.view(), shape, theta: &self.theta };
        let dy = rows(dy, self.batch);
        let gradient = |(i, x): (usize, &Vec<f32>)| {
            let mut dx = Array2::from_elem(rows(x, self.batch).raw_dim(), f32::NAN);
            self.layer.grad_input(&context, at, dy, i, dx.view_mut());
            dx.into_raw_vec_and_offset().0
        };
        let dx = x.iter().enumerate().map(gradient).collect();
        let mut dtheta = vec![f32::NAN; self.theta.len()];
        self.layer.grad_params(&context, at, dy, &mut dtheta);
        (y.into_raw_vec_and_offset().0, dx, dtheta)
    }
}

fn rows(values: &[f32], batch: usize) -> ArrayView2<'_, f32> {
    ArrayView2::from_shape((batch, values.len() / batch), values).unwrap()
}

fn noise(len: usize, seed: u64) -> Vec<f32> {
    use rand_chacha::rand_core::RngCore;
    let mut rng = crate::rng::stream(seed, crate::rng::Purpose::Order, 0, 7);
    (0..len).map(|_| rng.next_u32() as f32 / u32::MAX as f32 * 2.0 - 1.0).collect()
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
}

/// Layers that are linear where they are, so that `⟨f(x), y⟩ = Σᵢ ⟨xᵢ, fᵢᵀ(y)⟩`.
fn linear_layers() -> Vec<(LayerKind, Vec<Shape>)> {
    let mut layers = vec![];
    for &(i, o, [h, w], kernel, stride, padding) in ODD {
        let bare = Conv2d { inputs: i, outputs: o, kernel, stride, padding, bias: false };
        layers.push((LayerKind::Conv2d(bare), vec![Shape::image(i, h, w)]));
        if padding[0] <= kernel[0] / 2 && padding[1] <= kernel[1] / 2 {
            layers.push((LayerKind::AvgPool(AvgPool { kernel, stride, padding }), vec![Shape::image(i, h, w)]));
            layers.push((LayerKind::MaxPool(MaxPool { kernel, stride, padding }), vec![Shape::image(i, h, w)]));
        }
    }
    let picture = Shape::image(3, 5, 4);
    for layer in [
        LayerKind::GlobalAvgPool(GlobalAvgPool {}),
        LayerKind::GlobalMaxPool(GlobalMaxPool {}),
        LayerKind::Flatten(Flatten {}),
        LayerKind::Relu(Relu {}),
        LayerKind::Dropout(Dropout { rate: 0.3, stream: 4 }),
    ] {
        layers.push((layer, vec![picture.clone()]));
    }
    layers.push((LayerKind::Add(Add {}), vec![picture.clone(); 3]));
    layers.push((LayerKind::Concat(Concat {}), vec![picture, Shape::image(1, 5, 4), Shape::image(2, 5, 4)]));
    layers
}

#[test]
fn linear_layers_have_their_adjoint() {
    for (kind, inputs) in linear_layers() {
        for batch in [1, 3] {
            let bench = Bench::new(kind.as_layer(), inputs.clone(), batch);
            let x: Vec<Vec<f32>> = (3..).zip(&inputs).map(|(s, x)| noise(batch * x.elements(), s)).collect();
            let dy = noise(batch * bench.shapes.last().unwrap().elements(), 8);
            let (y, dx, dtheta) = bench.run(&x, &dy);
            let forward = dot(&y, &dy);
            let size = forward.abs().max(y.len() as f64 / 10.0);
            let backward: f64 = x.iter().zip(&dx).map(|(x, dx)| dot(x, dx)).sum();
            assert!((forward - backward).abs() < 1e-6 * size, "{kind:?} {inputs:?}: {forward} against {backward}");
            if !dtheta.is_empty() {
                let weights = dot(&bench.theta, &dtheta);
                assert!((forward - weights).abs() < 1e-6 * size, "{kind:?} {inputs:?}: {forward} against {weights}");
            }
        }
    }
}

#[test]
fn small_pictures_give_what_one_sees() {
    let image: Vec<f32> = (1..=9).map(|x| x as f32).collect();
    let pool = |kernel, stride, padding| LayerKind::MaxPool(MaxPool { kernel, stride, padding });
    let mean = |kernel, stride, padding| LayerKind::AvgPool(AvgPool { kernel, stride, padding });
    let conv = conv(1, 1, [2, 2], [1, 1], [0, 0]);
    let (average, largest) = (LayerKind::GlobalAvgPool(GlobalAvgPool {}), LayerKind::GlobalMaxPool(GlobalMaxPool {}));
    // Of 1 2 3 / 4 5 6 / 7 8 9: a layer with its θ, y, and dx for dy = 1.
    type Seen = (LayerKind, &'static [f32], &'static [f32], [f32; 9]);
    let cases: [Seen; 7] = [
        (
            conv,
            &[1.0, 0.0, 0.0, -2.0, 10.0],
            &[1.0, 0.0, -2.0, -3.0],
            [1.0, 1.0, 0.0, 1.0, -1.0, -2.0, 0.0, -2.0, -2.0],
        ),
        (pool([2, 2], [2, 2], [0, 0]), &[], &[5.0], [0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0]),
        (pool([2, 2], [1, 1], [0, 0]), &[], &[5.0, 6.0, 8.0, 9.0], [0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 1.0, 1.0]),
        (pool([3, 3], [2, 2], [1, 1]), &[], &[5.0, 6.0, 8.0, 9.0], [0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 1.0, 1.0]),
        (mean([2, 2], [2, 2], [1, 1]), &[], &[0.25, 1.25, 2.75, 7.0], [0.25; 9]),
        (average, &[], &[5.0], [1.0 / 9.0; 9]),
        (largest, &[], &[9.0], [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0]),
    ];
    for (layer, theta, expected, gradient) in cases {
        let bench = Bench { theta: theta.to_vec(), ..Bench::new(layer.as_layer(), vec![Shape::image(1, 3, 3)], 1) };
        let (y, dx, _) = bench.run(std::slice::from_ref(&image), &vec![1.0; expected.len()]);
        assert_eq!((y.as_slice(), dx[0].as_slice()), (expected, &gradient[..]), "{layer:?}");
    }
}

#[test]
fn the_first_of_equal_maxima_wins_and_nan_is_not_lost() {
    let bench = Bench::new(&GlobalMaxPool {}, vec![Shape::image(1, 2, 2)], 1);
    assert_eq!(bench.run(&[vec![3.0, 4.0, 4.0, 4.0]], &[1.0]).1[0], [0.0, 1.0, 0.0, 0.0]);
    assert_eq!(bench.run(&[vec![-0.0; 4]], &[1.0]).1[0], [1.0, 0.0, 0.0, 0.0]);
    let (y, dx, _) = bench.run(&[vec![3.0, f32::NAN, 9.0, 4.0]], &[1.0]);
    assert!(y[0].is_nan());
    assert_eq!(dx[0], [0.0, 1.0, 0.0, 0.0]);
}

#[test]
fn batch_norm_normalizes_and_hands_out_its_moments() {
    let layer = BatchNorm { channels: 2, eps: 1e-5 };
    let mut bench = Bench { theta: vec![2.0, 1.0, 0.5, 0.0], ..Bench::new(&layer, vec![Shape::image(2, 1, 2)], 2) };
    bench.sigma = vec![1.0, 0.0, 4.0, 1.0];
    // Channel 0: 1 3 5 7 has mean 4 and variance 5; channel 1 is constant.
    let x = vec![1.0, 3.0, 6.0, 6.0, 5.0, 7.0, 6.0, 6.0];
    let near = |got: &[f32], expected: &[f32]| {
        let worst = got.iter().zip(expected).map(|(g, e)| (g - e).abs()).fold(0.0, f32::max);
        assert!(got.len() == expected.len() && worst < 1e-3, "{got:?} against {expected:?}");
    };
    let step = 5f32.sqrt().recip();
    let (y, dx, dtheta) = bench.run(std::slice::from_ref(&x), &[1.0; 8]);
    near(&y, &[0.5 - 6.0 * step, 0.5 - 2.0 * step, 0.0, 0.0, 0.5 + 2.0 * step, 0.5 + 6.0 * step, 0.0, 0.0]);
    // A gradient that is the same everywhere only moves the mean.
    near(&dx[0], &[0.0; 8]);
    near(&dtheta, &[0.0, 0.0, 4.0, 4.0]);
    bench.phase = Phase::Eval;
    let (y, dx, dtheta) = bench.run(&[x], &[1.0; 8]);
    near(&y, &[0.5, 2.5, 6.0, 6.0, 4.5, 6.5, 6.0, 6.0]);
    near(&dx[0], &[1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0]);
    near(&dtheta, &[6.0, 24.0, 4.0, 4.0]);
    let moments = |x: &[f32], batch: usize| {
        let shapes = [Shape::vector(2)];
        let (places, len) = lay_out(&shapes, batch);
        let mut arena = vec![0.0; len];
        places[0].view_mut(&mut arena, batch).assign(&rows(x, batch));
        let inputs = Inputs { values: &arena, places: &places, shapes: &shapes, ids: &[0], batch };
        let mut moments = [f32::NAN; 4];
        layer.moments(&Context::eval(&IDS, &[0.0, 0.0, 7.0, 8.0]), inputs, &mut moments);
        moments
    };
    near(&moments(&[1.0, 6.0, 3.0, 6.0, 5.0, 6.0, 7.0, 6.0], 4), &[4.0, 6.0, 20.0 / 3.0, 0.0]);
    near(&moments(&[1.0, 6.0], 1), &[1.0, 6.0, 7.0, 8.0]);
}

#[test]
fn dropout_follows_the_sample_and_nothing_else() {
    let shape = || vec![Shape::vector(4000)];
    let layer = Dropout { rate: 0.25, stream: 0 };
    let ones = vec![1.0; 3 * 4000];
    let (y, dx, _) = Bench::new(&layer, shape(), 3).run(std::slice::from_ref(&ones), &ones);
    assert_eq!(y, dx[0]);
    assert!(y.iter().all(|y| *y == 0.0 || *y == 1.0 / 0.75));
    let dropped = y.iter().filter(|y| **y == 0.0).count() as f64 / y.len() as f64;
    assert!((dropped - 0.25).abs() < 0.02, "{dropped}");
    // The first sample alone draws what it drew in company; other samples and other layers draw otherwise.
    let (alone, ..) = Bench::new(&layer, shape(), 1).run(&[ones[..4000].to_vec()], &ones[..4000]);
    assert_eq!(alone, y[..4000]);
    assert_ne!(y[..4000], y[4000..8000]);
    let other = Dropout { rate: 0.25, stream: 1 };
    let (other, ..) = Bench::new(&other, shape(), 3).run(std::slice::from_ref(&ones), &ones);
    assert_ne!(y, other);
    let mut still = Bench::new(&layer, shape(), 3);
    still.phase = Phase::Eval;
    assert_eq!(still.run(std::slice::from_ref(&ones), &ones).0, ones);
}

#[test]
fn what_does_not_fit_is_refused_with_a_cure() {
    let image = |c, h, w| Shape::image(c, h, w);
    let window = |kernel, stride, padding| conv(3, 4, kernel, stride, padding);
    let max = |kernel, padding| LayerKind::MaxPool(MaxPool { kernel, stride: [2, 2], padding });
    let cases: Vec<(LayerKind, Vec<Shape>, &str)> = vec![
        (window([3, 3], [1, 1], [0, 0]), vec![Shape::vector(75)], "channels x height x width, and got a tensor of 75"),
        (window([3, 3], [1, 1], [0, 0]), vec![image(1, 5, 5)], "3 input channels cannot read a tensor of 1x5x5"),
        (window([7, 3], [1, 1], [0, 0]), vec![image(3, 5, 5)], "kernel of 7x3, larger than its input of 5x5"),
        (window([3, 3], [0, 1], [0, 0]), vec![image(3, 5, 5)], "stride of 0x1"),
        (window([0, 3], [1, 1], [0, 0]), vec![image(3, 5, 5)], "kernel of 0x3"),
        (window([3, 3], [1, 1], [usize::MAX; 2]), vec![image(3, 5, 5)], "larger than its input"),
        (window([3, 3], [1, 1], [0, 0]), vec![image(3, 5, 5); 2], "takes 1 input(s), got 2"),
        (max([2, 2], [0, 0]), vec![image(3, 1, 4)], "fewer pools"),
        (max([2, 2], [2, 0]), vec![image(3, 4, 4)], "at most half the kernel"),
        (LayerKind::GlobalAvgPool(GlobalAvgPool {}), vec![Shape::vector(3)], "got a tensor of 3"),
        (LayerKind::BatchNorm(BatchNorm { channels: 4, eps: 1e-5 }), vec![image(3, 4, 4)], "4 channels cannot read"),
        (LayerKind::BatchNorm(BatchNorm { channels: 3, eps: 0.0 }), vec![image(3, 4, 4)], "eps = 0"),
        (LayerKind::Dropout(Dropout { rate: 1.0, stream: 0 }), vec![image(3, 4, 4)], "rate of 1"),
        (LayerKind::Dropout(Dropout { rate: f32::NAN, stream: 0 }), vec![image(3, 4, 4)], "rate of NaN"),
        (LayerKind::Add(Add {}), vec![image(3, 4, 4)], "two tensors or more, and got 1"),
        (LayerKind::Add(Add {}), vec![image(3, 4, 4), image(3, 4, 5)], "3x4x4 and 3x4x5"),
        (LayerKind::Concat(Concat {}), vec![image(3, 4, 4), image(1, 4, 5)], "differ in their channels only"),
        (LayerKind::Concat(Concat {}), vec![Shape::vector(usize::MAX); 2], "memory"),
    ];
    for (layer, inputs, expected) in cases {
        let message = layer.as_layer().output("here", &inputs).unwrap_err().to_string();
        assert!(message.contains(expected) && message.contains("'here'"), "{layer:?}: {message}");
    }
    let drop = || LayerKind::Dropout(Dropout { rate: 0.5, stream: 3 });
    let twice = Spec::chain("twice", Shape::vector(2), vec![("a".into(), drop()), ("b".into(), drop())], Loss::L2);
    assert!(Network::build(twice).unwrap_err().to_string().contains("'a' and 'b' both have stream 3"));
}

#[test]
fn numbers_have_defaults_and_one_means_both_directions() {
    let read = |text: &str| serde_json::from_str::<LayerKind>(text).map_err(|error| error.to_string());
    let short = read(r#"{"kind": "conv2d", "inputs": 3, "outputs": 4, "kernel": 5}"#).unwrap();
    assert_eq!(short, conv(3, 4, [5, 5], [1, 1], [0, 0]));
    assert_eq!(read(&serde_json::to_string(&short).unwrap()).unwrap(), short);
    let pool = |stride| LayerKind::MaxPool(MaxPool { kernel: [2, 3], stride, padding: [0, 0] });
    assert_eq!(read(r#"{"kind": "max_pool", "kernel": [2, 3]}"#).unwrap(), pool([2, 3]));
    assert_eq!(read(r#"{"kind": "max_pool", "kernel": [2, 3], "stride": 1}"#).unwrap(), pool([1, 1]));
    for (text, expected) in [
        (r#"{"kind": "max_pool", "kernel": "big"}"#, "a whole number or [height, width]"),
        (r#"{"kind": "max_pool", "kernel": 2, "strode": 1}"#, "unknown field `strode`"),
        (r#"{"kind": "conv2d", "inputs": 3, "outputs": 4, "kernel": -5}"#, "a whole number or [height, width]"),
    ] {
        let message = read(text).unwrap_err();
        assert!(message.contains(expected), "{message}");
    }
}
