//! The same values in another form: rows in C, H, W order, or pictures with the channels innermost.

use super::slot::{Form, Slot};
use crate::nn::Team;
use crate::nn::kernels::share::share1;
use crate::nn::team::worthwhile;

/// Channels and pixels of a tile that stays in the first cache while it is turned.
const TILE: usize = 16;

/// Copies the elements of a batch from one slot's form to the other's. Margins are left as they are; what lies
/// between the channels and the depth of a grid becomes zero.
pub(super) fn copy(team: &dyn Team, [from, to]: [&Slot; 2], x: &[f32], y: &mut [f32], batch: usize) {
    let (stride, layout, target) = (from.stride(), from.layout(), to.layout());
    let [height, width] = from.size;
    let channels = from.dims / (height * width);
    share1(worthwhile(team, y.len()), batch, (y, to.stride()), &|b, y| {
        let x = &x[b * stride + from.origin()..];
        if let Form::Grid(grid) = to.form
            && grid.depth > grid.channels
        {
            y.fill(0.0);
        }
        let y = &mut y[to.origin()..];
        for first in (0..channels).step_by(TILE) {
            let last = (first + TILE).min(channels);
            for row in 0..height {
                for c in first..last {
                    let (at, to) = (c * layout.channel + row * layout.row, c * target.channel + row * target.row);
                    for column in 0..width {
                        y[to + column * target.column] = x[at + column * layout.column];
                    }
                }
            }
        }
    });
}
