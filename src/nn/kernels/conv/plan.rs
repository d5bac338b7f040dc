//! Which tiles a row is cut into.

use super::tile::{Rows, Sums};
use super::{Isa, Post};

/// Registers of output channels in a tile of this instruction set, for pixels of `depth` channels.
pub(super) fn registers(isa: Isa, depth: usize) -> usize {
    if isa.lanes() == 16 && depth.div_ceil(16) % 2 == 1 { 1 } else { 2 }
}

/// Channels in a block of weights.
pub(super) fn block(isa: Isa, depth: usize) -> usize {
    registers(isa, depth) * isa.lanes()
}

/// The widths of tiles that there are, in sums. Wider ones of one register measure slower.
fn widths(isa: Isa, registers: usize) -> &'static [usize] {
    match (isa.lanes(), registers) {
        (16, 1) => &[1, 2, 4, 6, 8, 10, 12, 14, 16, 18],
        (16, _) => &[1, 2, 4, 6, 8, 10, 12, 14],
        _ => &[1, 2, 4, 6],
    }
}

/// The widest tile of one register of which two rows fit into the registers: with maxima that is faster than two
/// rows one after the other.
const WIDEST_PAIR: usize = 14;

/// Cuts a row of `sums` into tiles of two neighboring widths: `[(width, tiles)]`, the wider first. The cheapest way:
/// what reaches beyond the row is computed in vain, and a tile has a cost of its own, most of all where it is too
/// narrow to keep the multipliers busy.
fn cut(isa: Isa, registers: usize, sums: usize, even: bool) -> [(usize, usize); 2] {
    let busy = 8usize.div_ceil(registers);
    let widest = if even && registers == 1 { WIDEST_PAIR.min(sums) } else { sums };
    let cost = |(width, tiles): (usize, usize)| tiles * (4 * width.max(busy) + 5);
    let (mut best, mut least) = ([(0, 0); 2], usize::MAX);
    let mut narrow = 0;
    for &wide in widths(isa, registers).iter().filter(|width| **width <= widest && (!even || **width % 2 == 0)) {
        let tiles = sums.div_ceil(wide);
        let narrower = if narrow == 0 { 0 } else { ((tiles * wide - sums) / (wide - narrow)).min(tiles) };
        let these = [(wide, tiles - narrower), (narrow, narrower)];
        if cost(these[0]) + cost(these[1]) < least {
            (best, least) = (these, cost(these[0]) + cost(these[1]));
        }
        narrow = wide;
    }
    best
}

/// The operands of [`Sums`].
pub(super) struct Operands<'a> {
    pub weights: &'a [f32],
    pub bias: &'a [f32],
    pub x: &'a [f32],
    pub y: &'a mut [f32],
    pub argmax: &'a mut [u8],
}

/// Computes `sums`.
pub(super) fn run(isa: Isa, sums: &Sums, to: Operands<'_>) {
    if sums.size.contains(&0) {
        return;
    }
    let registers = registers(isa, sums.depth);
    let window = if sums.post == Post::ReluPool { 2 } else { 1 };
    let step = if registers == 1 && sums.input.pixel == 3 { 3 } else { 0 };
    let [wide, narrow] = cut(isa, registers, sums.size[1] * window, window == 2);
    let tiles = wide.1;
    let Operands { weights, bias, x, y, argmax } = to;
    macro_rules! rows {
        ($($v:literal $step:literal: $($p:literal $q:literal),*;)*) => {
            match (registers, step, wide.0, narrow.0) {
                $($(($v, $step, $p, $q) => {
                    isa.run(Rows::<$v, $p, $q, $step> { sums, tiles, weights, bias, x, y, argmax });
                })*)*
                other => unreachable!("no tiles {other:?}"),
            }
        };
    }
    // Windows are two sums wide, so with them no width is next to 1.
    rows! {
        1 0: 1 0, 2 0, 2 1, 4 2, 6 4, 8 6, 10 8, 12 10, 14 12, 16 14, 18 16;
        1 3: 1 0, 2 0, 2 1, 4 2, 6 4, 8 6, 10 8, 12 10, 14 12, 16 14, 18 16;
        2 0: 1 0, 2 0, 2 1, 4 2, 6 4, 8 6, 10 8, 12 10, 14 12;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_cut_into_all_of_its_sums() {
        for (isa, registers) in Isa::all().flat_map(|isa| [(isa, 1), (isa, 2)]) {
            for (sums, even) in (1..200).flat_map(|sums| [(sums, false), (2 * sums, true)]) {
                let [wide, narrow] = cut(isa, registers, sums, even);
                let covered = wide.0 * wide.1 + narrow.0 * narrow.1;
                assert!(covered >= sums && covered < sums + wide.0.max(narrow.0), "{sums} by {wide:?} {narrow:?}");
                assert!(wide.0.max(narrow.0) <= sums && (!even || (wide.0 * wide.1 + narrow.0) % 2 == 0));
            }
        }
        if let Some(isa) = Isa::named("avx512") {
            assert_eq!(cut(isa, 2, 74, true), [(14, 1), (12, 5)]);
            assert_eq!(cut(isa, 2, 37, false), [(14, 1), (12, 2)]);
        }
    }
}
