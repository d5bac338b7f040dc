//! Convolutions whose weights do not change: packed once, and all that follows done before the sums leave the registers.
//!
//! What the forward pass of training cannot have: a picture is added on the way (a shortcut), weights that are too
//! large for the second-level cache are cut along the input channels, small pictures are worked on in tiles of
//! several rows, and large ones in bands whose rows stay in the cache while all output channels use them.

mod cut;
#[cfg(test)]
mod tests;
mod tile;

use super::forward::taps;
use super::plan::registers;
use super::tile::{Reach, Walk};
use super::{ConvShape, Isa};
use crate::nn::Team;
use crate::nn::kernels::grid::Grid;
use crate::nn::kernels::share::{Whole, share1};
use cut::Region;
use tile::{Chunk, Sums, Tiles};

/// Bytes of packed weights of one block of channels that stay in the second-level cache beside the pictures.
const CHUNK_BYTES: usize = 200 << 10;
/// Bytes of all weights below which a large picture is worked on in bands.
const BANDED_BYTES: usize = 640 << 10;
/// Bytes of the pictures' rows of a band.
const BAND_BYTES: usize = 160 << 10;

/// What a convolution and what follows it are, and where its pictures lie.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FrozenShape {
    /// The sizes.
    pub conv: ConvShape,
    /// The input; its halo is at least the padding.
    pub x: Grid,
    /// The picture that is added to the sums, of the output's size.
    pub add: Option<Grid>,
    /// Whether negative sums become zero.
    pub relu: bool,
    /// Whether the maxima of 2 x 2 windows are written; an odd last row or column is dropped. Not with `add`.
    pub pool: bool,
    /// The output.
    pub y: Grid,
}

/// A convolution compiled for one instruction set and one size of picture.
#[derive(Debug, Clone)]
pub struct FrozenConv {
    isa: Isa,
    shape: FrozenShape,
    /// Registers of output channels in a tile.
    registers: usize,
    /// Input channels that are added up at a time.
    chunk: usize,
    /// Tiles, band by band.
    bands: Vec<Vec<Region>>,
}

impl FrozenShape {
    /// Height and width of the sums that are needed: whole windows where there are any.
    fn sums(&self) -> [usize; 2] {
        let window = if self.pool { 2 } else { 1 };
        [self.y.height * window, self.y.width * window]
    }

    fn weights(&self) -> usize {
        let [kh, kw] = self.conv.kernel;
        self.conv.inputs * kh * kw
    }

    /// Rows of sums in a band.
    fn band(&self) -> usize {
        let [rows, _] = self.sums();
        if 4 * self.weights() * self.y.depth > BANDED_BYTES {
            return rows;
        }
        let above = self.x.row() * self.conv.stride[0];
        let below = self.y.row() / if self.pool { 2 } else { 1 } * if self.add.is_some() { 2 } else { 1 };
        (BAND_BYTES / 4 / (above + below)).next_multiple_of(2).min(rows)
    }
}

impl FrozenConv {
    /// Compiles a convolution.
    ///
    /// # Panics
    /// If the pictures do not fit it.
    pub fn new(isa: Isa, shape: FrozenShape) -> Self {
        let FrozenShape { conv, x, add, y, pool, .. } = shape;
        let places = |i: usize| ([x.height, x.width][i] + 2 * conv.padding[i] - conv.kernel[i]) / conv.stride[i] + 1;
        let sums = [places(0), places(1)];
        let size = if pool { sums.map(|n| n / 2) } else { sums };
        assert_eq!((x.channels, y.channels, [y.height, y.width]), (conv.inputs, conv.outputs, size), "other pictures");
        assert!(x.halo >= conv.padding[0].max(conv.padding[1]), "the margin is narrower than the padding");
        let like = |add: Grid| [add.channels, add.height, add.width] == [y.channels, y.height, y.width];
        assert!(add.is_none_or(|add| !pool && like(add) && add.depth >= y.depth), "another picture to add");
        let registers = registers(isa, y.depth);
        let per_channel = 4 * conv.kernel[0] * conv.kernel[1] * registers * isa.lanes();
        let chunks = if pool { 1 } else { (per_channel * conv.inputs).div_ceil(CHUNK_BYTES) };
        let chunk = conv.inputs.div_ceil(chunks);
        let ([rows, columns], band) = (shape.sums(), shape.band().max(1));
        let bands = (0..rows).step_by(band).map(|row| row..rows.min(row + band));
        let bands = bands.map(|band| cut::regions(isa, registers, band, columns, pool)).collect();
        Self { isa, shape, registers, chunk, bands }
    }

    /// What it was compiled for.
    pub fn shape(&self) -> &FrozenShape {
        &self.shape
    }

    /// Whether maxima of the sums could be written: not where they are added up in several chunks.
    pub fn is_in_one_piece(&self) -> bool {
        self.chunk == self.shape.conv.inputs
    }

    fn block(&self) -> usize {
        self.registers * self.isa.lanes()
    }

    /// Output channels, in whole blocks.
    fn channels(&self) -> usize {
        self.shape.y.depth.next_multiple_of(self.block())
    }

    /// Floats of the packed weights and bias.
    pub fn packed_len(&self) -> usize {
        self.channels() * (self.shape.weights() + 1)
    }

    /// Floats of scratch memory of a task: sums that wait for further input channels.
    pub fn partial_len(&self) -> usize {
        if self.is_in_one_piece() {
            return 0;
        }
        let tiles = |band: &Vec<Region>| band.iter().map(Region::sums).sum::<usize>();
        (self.bands.iter().map(tiles).max().unwrap_or(0) * self.block()).next_multiple_of(16)
    }

    /// Tasks that a picture is cut into: blocks of output channels in bands of rows.
    pub fn tasks(&self) -> usize {
        self.bands.len() * self.shape.y.depth.div_ceil(self.block())
    }

    /// Lays the parameters out as [`FrozenConv::forward`] reads them.
    ///
    /// # Shapes
    /// `weights`: `[outputs, inputs, kh, kw]`; `bias`: `[outputs]`; `packed`: `[block][chunk][kh][kw][inputs of a
    /// chunk][channels of a block]`, then the bias, channels behind the last as zeros.
    pub fn pack(&self, weights: &[f32], bias: &[f32], packed: &mut [f32]) {
        let ConvShape { inputs, outputs, kernel: [kh, kw], .. } = self.shape.conv;
        let (taps, block) = (kh * kw, self.block());
        assert_eq!((weights.len(), bias.len()), (outputs * inputs * taps, outputs), "another convolution's weights");
        let (to, to_bias) = packed[..self.packed_len()].split_at_mut(self.channels() * inputs * taps);
        let mut to = to.chunks_exact_mut(block);
        for first in (0..self.channels()).step_by(block) {
            for start in (0..inputs).step_by(self.chunk) {
                for tap in 0..taps {
                    for input in start..inputs.min(start + self.chunk) {
                        let to = to.next().expect("a place for each block of weights");
                        for (lane, to) in to.iter_mut().enumerate() {
                            let at = ((first + lane) * inputs + input) * taps + tap;
                            *to = if first + lane < outputs { weights[at] } else { 0.0 };
                        }
                    }
                }
            }
        }
        to_bias[..outputs].copy_from_slice(bias);
        to_bias[outputs..].fill(0.0);
    }

    /// Writes `y = post(W * x + b + add)` of each picture: all pixels and nothing of the margins.
    ///
    /// # Shapes
    /// `x`, `add`, `y`: their grids, one picture behind the other; `add` is not looked at where nothing is added;
    /// `partial`: [`FrozenConv::partial_len`] floats for each task of each picture.
    ///
    /// # Panics
    /// If one of them is too short.
    pub fn forward(&self, team: &dyn Team, packed: &[f32], x: &[f32], add: &[f32], y: &mut [f32], partial: &mut [f32]) {
        let (x_len, y_len) = (self.shape.x.len(), self.shape.y.len());
        let (pictures, tasks, kept) = (y.len() / y_len, self.tasks(), self.partial_len());
        let y = Whole::new(y);
        let task = |task: usize, partial: &mut [f32]| {
            let b = task / tasks;
            let add = self.shape.add.map_or(&[][..], |grid| &add[b * grid.len()..][..grid.len()]);
            let y = y.part(b * y_len..(b + 1) * y_len);
            self.task(task % tasks, packed, &x[b * x_len..][..x_len], add, y, partial);
        };
        if team.size() == 1 {
            // The same scratch memory for all: it stays in the cache.
            (0..pictures * tasks).for_each(|i| task(i, &mut partial[..kept]));
        } else {
            share1(team, pictures * tasks, (partial, kept), &task);
        }
    }

    /// One block of channels in one band of a picture.
    fn task(&self, task: usize, packed: &[f32], x: &[f32], add: &[f32], y: Whole, partial: &mut [f32]) {
        let FrozenShape { conv, y: y_grid, .. } = self.shape;
        let ConvShape { inputs, kernel: [kh, kw], .. } = conv;
        let (block, all) = (self.block(), self.shape.weights());
        let blocks = y_grid.depth.div_ceil(block);
        let (band, first) = (&self.bands[task / blocks], task % blocks * block);
        let (weights, bias) = packed[..self.packed_len()].split_at(self.channels() * all);
        let (weights, bias) = (&weights[first * all..][..block * all], &bias[first..][..block]);
        let (sums, channels) = (self.sums(), block.min(y_grid.depth - first));
        for start in (0..inputs).step_by(self.chunk) {
            let len = self.chunk.min(inputs - start);
            let chunk = Chunk {
                weights: &weights[start * kh * kw * block..][..len * kh * kw * block],
                input: start,
                run: len * kw / sums.taps[1],
                is_first: start == 0,
                is_last: start + len == inputs,
            };
            let mut partial = &mut *partial;
            for (i, region) in band.iter().enumerate() {
                let kept = if self.is_in_one_piece() { 0 } else { region.sums() * block };
                let (mine, rest) = std::mem::take(&mut partial).split_at_mut(kept);
                partial = rest;
                let tiles = Tiles {
                    sums: &sums,
                    region,
                    chunk,
                    bias,
                    first,
                    channels,
                    x,
                    add,
                    y,
                    partial: mine,
                    calls: i == 0,
                };
                tile::run(self.isa, self.registers, tiles);
            }
        }
    }

    fn sums(&self) -> Sums {
        let FrozenShape { conv: ConvShape { kernel: [kh, kw], stride, padding: [down, right], .. }, .. } = self.shape;
        let FrozenShape { x, add, y, relu, pool, .. } = self.shape;
        let walk = |grid: Grid| Walk { origin: grid.at(0, 0), row: grid.row(), pixel: grid.depth };
        let (tap_columns, _, step) = if self.is_in_one_piece() { taps(&x, kw) } else { (kw, 0, x.depth) };
        Sums {
            input: Walk {
                origin: x.at(0, 0) - down * x.row() - right * x.depth,
                row: stride[0] * x.row(),
                pixel: stride[1] * x.depth,
            },
            reach: Reach { first: -(down as isize), step: stride[0], height: x.height },
            taps: [kh, tap_columns],
            steps: [x.row(), step],
            add: add.map(walk),
            output: walk(y),
            relu,
            pool,
        }
    }
}
