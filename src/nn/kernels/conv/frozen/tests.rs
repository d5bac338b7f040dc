//! Convolutions with fixed weights against their definition.

use super::super::naive::{self, from_grid, to_grid};
use super::*;
use crate::nn::Alone;

/// Inputs, outputs, kernel, stride, padding, height and width.
type Case = (usize, usize, [usize; 2], [usize; 2], [usize; 2], [usize; 2]);

const CASES: &[Case] = &[
    (1, 1, [1, 1], [1, 1], [0, 0], [1, 1]),
    (3, 64, [7, 7], [2, 2], [3, 3], [23, 40]),
    (3, 17, [2, 3], [2, 1], [0, 1], [7, 9]),
    (16, 48, [3, 3], [2, 2], [1, 1], [9, 10]),
    (16, 32, [3, 3], [1, 1], [1, 1], [13, 37]),
    (17, 48, [1, 1], [1, 1], [2, 2], [3, 4]),
    (32, 16, [1, 1], [3, 2], [0, 0], [8, 7]),
    (32, 33, [5, 5], [1, 1], [2, 2], [3, 3]),
    (48, 17, [2, 3], [3, 3], [5, 4], [4, 5]),
    (64, 64, [1, 1], [1, 1], [0, 0], [7, 7]),
    (64, 32, [1, 1], [2, 2], [0, 0], [15, 14]),
    (20, 70, [3, 3], [1, 1], [1, 1], [1, 2]),
    (300, 40, [3, 3], [1, 1], [1, 1], [7, 7]),
    (300, 24, [3, 3], [2, 2], [1, 1], [5, 30]),
    (2600, 32, [1, 1], [1, 1], [0, 0], [3, 5]),
];

/// What the margins hold before, to see that nobody wrote there.
const MARK: f32 = 1234.5;

fn random(n: usize, seed: u64) -> Vec<f32> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..n).map(|_| next()).collect()
}

fn check(isa: Isa, case: &Case, [add, relu, pool, dense]: [bool; 4]) {
    let &(inputs, outputs, kernel, stride, padding, size) = case;
    let conv = ConvShape { inputs, outputs, kernel, stride, padding };
    let [zh, zw] = naive::sums(&conv, size);
    let x_size = [inputs, size[0], size[1]];
    let halo = padding[0].max(padding[1]);
    let shape = FrozenShape {
        conv,
        x: if dense { Grid::dense(x_size, halo) } else { Grid::new(x_size, halo + 1) },
        add: add.then(|| Grid::new([outputs, zh, zw], 2)),
        relu,
        pool,
        y: Grid::new(if pool { [outputs, zh / 2, zw / 2] } else { [outputs, zh, zw] }, 1),
    };
    if shape.y.height * shape.y.width == 0 {
        return;
    }
    let what = format!("{} {case:?} add {add} relu {relu} pool {pool} dense {dense}", isa.name());
    let weights = outputs * inputs * kernel[0] * kernel[1];
    let theta = random(weights + outputs, 7);
    let (x, other) = (random(inputs * size[0] * size[1], 3), random(outputs * zh * zw, 4));
    let mut expected = naive::forward(&conv, &theta, &x, size);
    if add {
        expected.iter_mut().zip(&other).for_each(|(z, other)| *z += other);
    }
    if pool {
        // The maximum of shifted sums: the definition takes the ReLU with it.
        expected.iter_mut().for_each(|z| *z += if relu { 0.0 } else { 1e3 });
        expected = naive::relu_pool(&expected, [zh, zw]).0;
        expected.iter_mut().for_each(|z| *z -= if relu { 0.0 } else { 1e3 });
    } else if relu {
        expected.iter_mut().for_each(|z| *z = z.max(0.0));
    }
    let kernel = FrozenConv::new(isa, shape);
    let mut packed = vec![f32::NAN; kernel.packed_len()];
    kernel.pack(&theta[..weights], &theta[weights..], &mut packed);
    let (mut y, mut partial) = (vec![MARK; shape.y.len()], vec![f32::NAN; kernel.partial_len() * kernel.tasks()]);
    let other = shape.add.map_or(vec![], |grid| to_grid(&grid, &other));
    kernel.forward(&Alone, &packed, &to_grid(&shape.x, &x), &other, &mut y, &mut partial);
    let scale = ((inputs * conv.kernel[0] * conv.kernel[1]) as f32).sqrt();
    for (i, (got, expected)) in from_grid(&shape.y, &y).iter().zip(&expected).enumerate() {
        let near = if pool && !relu { 1e-3 } else { 2e-6 * scale * (1.0 + expected.abs()) };
        assert!((got - expected).abs() <= near, "{what}: {got} at {i}, not {expected}");
    }
    for at in (0..shape.y.height).flat_map(|y| (0..shape.y.width).map(move |x| shape.y.at(y, x))) {
        assert!(y[at + shape.y.channels..at + shape.y.depth].iter().all(|x| *x == 0.0), "{what}: gap");
        y[at..at + shape.y.depth].fill(MARK);
    }
    assert!(y.iter().all(|x| *x == MARK), "{what}: margin");
}

#[test]
fn all_that_is_done_at_once_is_what_is_done_apart() {
    for isa in Isa::all() {
        for case in CASES {
            for i in 0..16 {
                let [add, relu, pool, dense] = std::array::from_fn(|bit| i >> bit & 1 == 1);
                // Maxima of sums in several pieces are not taken here.
                let pieces = case.0 * case.2[0] * case.2[1] * 128 > CHUNK_BYTES;
                if !(pool && (add || pieces)) {
                    check(isa, case, [add, relu, pool, dense]);
                }
            }
        }
    }
}

#[test]
fn a_pixel_has_the_same_bits_wherever_its_picture_is_cut() {
    let conv = ConvShape { inputs: 320, outputs: 32, kernel: [3, 3], stride: [1, 1], padding: [1, 1] };
    let (weights, bias) = (random(320 * 32 * 9, 1), random(32, 2));
    let picture = random(320 * 9 * 30, 3);
    for isa in Isa::all() {
        let of = |[height, width]: [usize; 2]| {
            let (x, y) = (Grid::new([320, height, width], 1), Grid::new([32, height, width], 0));
            let kernel = FrozenConv::new(isa, FrozenShape { conv, x, add: None, relu: false, pool: false, y });
            assert!(isa.lanes() < 16 || !kernel.is_in_one_piece());
            let planes = picture.chunks_exact(270).flat_map(|plane| plane[..height * 30].chunks_exact(30));
            let planes: Vec<f32> = planes.flat_map(|row| &row[..width]).copied().collect();
            let (mut packed, mut to) = (vec![0.0; kernel.packed_len()], vec![0.0; y.len()]);
            kernel.pack(&weights, &bias, &mut packed);
            kernel.forward(
                &Alone,
                &packed,
                &to_grid(&x, &planes),
                &[],
                &mut to,
                &mut vec![0.0; kernel.partial_len() * kernel.tasks()],
            );
            from_grid(&y, &to)
        };
        let whole = of([9, 30]);
        for (height, width) in (2..9).flat_map(|height| [3, 4, 7, 11, 14, 29].map(|width| (height, width))) {
            for (c, plane) in of([height, width]).chunks_exact(height * width).enumerate() {
                for row in 0..height - 1 {
                    let (a, b) = (&plane[row * width..][..width - 1], &whole[c * 270 + row * 30..][..width - 1]);
                    assert_eq!(a, b, "{} {height}x{width} row {row}", isa.name());
                }
            }
        }
    }
}
