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

/// The widths of tiles that there are, in sums.
fn widths(isa: Isa, registers: usize) -> &'static [usize] {
    match (isa.lanes(), registers) {
        (16, 1) => &[1, 2, 4, 8, 12, 16, 22, 25, 28],
        (16, _) => &[1, 2, 4, 6, 8, 10, 12, 13, 14],
        _ => &[1, 2, 4, 6],
    }
}

/// The width that computes a row of `sums` fastest: what overlaps is computed twice, and a tile has a cost of its
/// own, most of all where it is too narrow to keep the multipliers busy.
fn width(isa: Isa, registers: usize, sums: usize, even: bool) -> usize {
    let fits = |width: &&usize| **width <= sums && (!even || **width % 2 == 0);
    let busy = 8usize.div_ceil(registers);
    let cost = |width: &&usize| sums.div_ceil(**width) * (4 * (**width).max(busy) + 5);
    *widths(isa, registers).iter().filter(fits).min_by_key(cost).expect("a row has a sum, one with maxima two")
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
pub(super) fn run(isa: Isa, sums: &Sums, to: Operands) {
    if sums.size.contains(&0) {
        return;
    }
    let registers = registers(isa, sums.depth);
    let pool = sums.post == Post::ReluPool;
    let in_row = sums.size[1] * if pool { 2 } else { 1 };
    macro_rules! tiles {
        ($($v:literal: $($p:literal)*;)*) => {
            match (registers, width(isa, registers, in_row, pool)) {
                $($(($v, $p) => {
                    let Operands { weights, bias, x, y, argmax } = to;
                    isa.run(Rows::<$v, $p> { sums, cols: 0..sums.size[1], weights, bias, x, y, argmax });
                })*)*
                other => unreachable!("no tile {other:?}"),
            }
        };
    }
    tiles! {
        1: 1 2 4 8 12 16 22 25 28;
        2: 1 2 4 6 8 10 12 13 14;
    }
}
