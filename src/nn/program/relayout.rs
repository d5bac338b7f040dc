//! The same values in another form: rows in C, H, W order, or pictures with the channels innermost.

use super::slot::{Form, Slot};
use crate::nn::Team;
use crate::nn::kernels::Isa;
use crate::nn::kernels::share::share1;
use crate::nn::kernels::transpose::Transpose;
use crate::nn::team::worthwhile;

/// Copies the elements of a batch from one slot's form to the other's. Margins are left as they are; what lies
/// between the channels and the depth of a grid becomes zero.
///
/// # Panics
/// If both slots have the same form.
pub(in crate::nn) fn copy(team: &dyn Team, slots: [&Slot; 2], x: &[f32], y: &mut [f32], batch: usize) {
    let [from, to] = slots;
    let (turn, isa) = (transpose(slots), Isa::detect());
    share1(worthwhile(team, y.len()), batch, (y, to.stride()), &|b, y| {
        turn.run(isa, &x[b * from.stride() + from.origin()..], &mut y[to.origin()..]);
    });
}

/// Each line of a picture is a matrix; without margins all of it is one.
fn transpose([from, to]: [&Slot; 2]) -> Transpose {
    let (grid, to_grid) = match (from.form, to.form) {
        (Form::Rows, Form::Grid(grid)) => (grid, true),
        (Form::Grid(grid), Form::Rows) => (grid, false),
        _ => panic!("a copy to the same form"),
    };
    let [height, width] = from.size;
    let [count, pixels] = if grid.halo == 0 { [1, height * width] } else { [height, width] };
    let (planar, picture) = ([width, height * width], [grid.row(), grid.depth]);
    match to_grid {
        true => Transpose { count, rows: grid.channels, columns: pixels, depth: grid.depth, from: planar, to: picture },
        false => Transpose { count, rows: pixels, columns: grid.channels, depth: pixels, from: picture, to: planar },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::Alone;
    use crate::nn::kernels::grid::Grid;
    use proptest::prelude::*;

    /// What `y` holds before, to see that nobody wrote there.
    const MARK: f32 = -7.0;

    /// The same, element by element.
    fn plain([from, to]: [&Slot; 2], x: &[f32], y: &mut [f32], batch: usize) {
        let (layout, target, [height, width]) = (from.layout(), to.layout(), from.size);
        for b in 0..batch {
            let (x, y) = (&x[b * from.stride() + from.origin()..], &mut y[b * to.stride() + to.origin()..]);
            let depth = to.as_grid().map_or(from.dims / (height * width), |grid| grid.depth);
            for c in 0..depth {
                for row in 0..height {
                    for column in 0..width {
                        let at = c * layout.channel + row * layout.row + column * layout.column;
                        let value = if c < from.dims / (height * width) { x[at] } else { 0.0 };
                        y[c * target.channel + row * target.row + column * target.column] = value;
                    }
                }
            }
        }
    }

    fn check([from, to]: [&Slot; 2], batch: usize) {
        let x: Vec<f32> = (0..from.len(batch)).map(|i| i as f32).collect();
        let (mut y, mut expected) = (vec![MARK; to.len(batch)], vec![MARK; to.len(batch)]);
        copy(&Alone, [from, to], &x, &mut y, batch);
        plain([from, to], &x, &mut expected, batch);
        assert_eq!(y, expected, "{from:?} to {to:?}");
    }

    proptest! {
        #[test]
        fn a_picture_of_any_size_is_copied_both_ways(
            shape in (1usize..70, 1usize..20, 1usize..40), halo in 0usize..3, dense: bool, batch in 1usize..3
        ) {
            let shape = [shape.0, shape.1, shape.2];
            let grid = if dense { Grid::dense(shape, halo) } else { Grid::new(shape, halo) };
            let grid = Slot::grid(grid);
            let rows = Slot { form: Form::Rows, ..grid };
            check([&rows, &grid], batch);
            check([&grid, &rows], batch);
        }
    }
}
