//! Which tiles the sums of a picture are cut into.

use super::Isa;
use std::ops::Range;

/// A rectangle of sums in tiles of one size; the last of a row, and the last row of tiles, overlap those before where
/// they must.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Region {
    pub rows: Range<usize>,
    pub columns: Range<usize>,
    /// Rows and columns of a tile; one row stands for two where maxima of windows are taken.
    pub tile: [usize; 2],
}

impl Region {
    /// Sums that its tiles compute, those computed twice counted twice.
    pub fn sums(&self) -> usize {
        self.rows.len().div_ceil(self.tile[0]) * self.columns.len().div_ceil(self.tile[1]) * self.tile[0] * self.tile[1]
    }

    fn tiles(&self) -> usize {
        self.sums() / (self.tile[0] * self.tile[1])
    }
}

/// The widths of tiles that there are, for one row and for two.
pub(super) fn widths(lanes: usize, registers: usize, height: usize) -> &'static [usize] {
    match (lanes, registers, height) {
        (16, 1, 1) => &[1, 2, 4, 6, 7, 8, 10, 12, 14],
        (16, 1, _) => &[2, 4, 6, 7],
        (16, _, 1) => &[1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14],
        (16, _, _) => &[2, 3, 4, 5, 6, 7],
        (_, _, 1) => &[1, 2, 3, 4, 5, 6],
        _ => &[2, 3],
    }
}

/// The cheapest cut of rows `rows` of pictures that are `columns` wide; in whole windows of 2 x 2 if `pool`.
pub(super) fn regions(isa: Isa, registers: usize, rows: Range<usize>, columns: usize, pool: bool) -> Vec<Region> {
    let line = |height: usize, rows: Range<usize>| {
        let widths = widths(isa.lanes(), registers, height);
        widths
            .iter()
            .enumerate()
            .filter(|(_, width)| **width <= columns && (!pool || **width % 2 == 0))
            .map(|(i, wide)| split(rows.clone(), columns, height, *wide, narrower(&widths[..i], pool)))
            .min_by_key(|cut| cut.iter().map(|region| cost(registers, region)).sum::<usize>())
            .unwrap_or_default()
    };
    let single = line(1, rows.clone());
    if pool || rows.len() < 2 {
        return single;
    }
    let (even, odd) = (rows.start..rows.end - rows.len() % 2, rows.end - rows.len() % 2..rows.end);
    let mut double = line(2, even);
    if double.is_empty() {
        return single;
    }
    if !odd.is_empty() {
        double.extend(line(1, odd));
    }
    let total = |cut: &[Region]| cut.iter().map(|region| cost(registers, region)).sum::<usize>();
    if total(&double) < total(&single) { double } else { single }
}

/// The next narrower width.
fn narrower(widths: &[usize], pool: bool) -> usize {
    widths.iter().rev().find(|width| !pool || **width % 2 == 0).copied().unwrap_or(0)
}

/// Tiles of two neighboring widths, so that little is computed twice.
fn split(rows: Range<usize>, columns: usize, height: usize, wide: usize, narrow: usize) -> Vec<Region> {
    let tiles = columns.div_ceil(wide);
    let narrower = if narrow == 0 { 0 } else { ((tiles * wide - columns) / (wide - narrow)).min(tiles) };
    let end = ((tiles - narrower) * wide).min(columns);
    let region = |columns: Range<usize>, width: usize| Region { rows: rows.clone(), columns, tile: [height, width] };
    let mut regions = vec![region(0..end, wide), region(end..columns, narrow)];
    regions.retain(|region| !region.columns.is_empty());
    regions
}

/// What a region's tiles cost: one that is too small to keep the multipliers busy costs as much as one that does.
fn cost(registers: usize, region: &Region) -> usize {
    let busy = 8usize.div_ceil(registers);
    region.tiles() * (4 * (region.tile[0] * region.tile[1]).max(busy) + 5)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sum_is_in_one_region_and_every_tile_exists() {
        for (isa, registers) in Isa::all().flat_map(|isa| [(isa, 1), (isa, 2)]) {
            for (rows, columns, pool) in (1..40).flat_map(|n| [(3..3 + n, 41 - n, false), (2..2 + 2 * n, 2 * n, true)])
            {
                let regions = regions(isa, registers, rows.clone(), columns, pool);
                let mut seen = vec![0; rows.len() * columns];
                for region in &regions {
                    assert!(widths(isa.lanes(), registers, region.tile[0]).contains(&region.tile[1]), "{region:?}");
                    assert!(!pool || region.tile[1] % 2 == 0);
                    assert!(region.tile[1] <= region.columns.end && region.tile[0] <= rows.len(), "{region:?}");
                    for row in region.rows.clone() {
                        region.columns.clone().for_each(|column| seen[(row - rows.start) * columns + column] += 1);
                    }
                }
                assert!(seen.iter().all(|n| *n == 1), "{rows:?} {columns} {regions:?}");
            }
        }
        if let Some(isa) = Isa::named("avx512") {
            let tiles = |rows, columns| {
                let of = |r: Region| (r.rows.len(), r.columns.len(), r.tile);
                regions(isa, 2, 0..rows, columns, false).into_iter().map(of).collect::<Vec<_>>()
            };
            assert_eq!(tiles(7, 7), [(6, 7, [2, 7]), (1, 7, [1, 7])]);
            assert_eq!(tiles(14, 14), [(14, 14, [1, 14])]);
            assert_eq!(tiles(56, 56), [(56, 56, [1, 14])]);
        }
    }
}
