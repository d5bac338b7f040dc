//! Where the elements of a sample lie in memory: the word that data and network have in common.

/// Where the elements of a sample lie in the row it is written to: (c, y, x) at `c·channel + y·row + x·column`.
///
/// Why: the fast kernels keep pictures with the channels innermost and a margin around; a picture is written
/// there at once, not copied there afterwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    /// Pixel rows of the sample; 1 when it is no picture.
    pub height: usize,
    /// Pixels in a row.
    pub width: usize,
    /// Floats from a channel to the next.
    pub channel: usize,
    /// Floats from a pixel row to the next.
    pub row: usize,
    /// Floats from a pixel to its right neighbor.
    pub column: usize,
}

impl Layout {
    /// C, H, W order without gaps.
    pub fn planar(height: usize, width: usize) -> Self {
        Self { height, width, channel: height * width, row: width, column: 1 }
    }

    /// A vector of `dims` features.
    pub fn vector(dims: usize) -> Self {
        Self::planar(1, dims)
    }

    /// Whether the elements lie in C, H, W order without gaps.
    pub fn is_planar(self) -> bool {
        self == Self::planar(self.height, self.width)
    }

    /// Where element `i` in C, H, W order lies.
    pub fn at(self, i: usize) -> usize {
        let (c, pixel) = (i / (self.height * self.width), i % (self.height * self.width));
        c * self.channel + pixel / self.width * self.row + pixel % self.width * self.column
    }

    /// Writes elements in C, H, W order to where they lie.
    pub fn scatter(self, values: &[f32], to: &mut [f32]) {
        if self.is_planar() {
            return to[..values.len()].copy_from_slice(values);
        }
        for (c, plane) in values.chunks_exact(self.height * self.width).enumerate() {
            for (y, line) in plane.chunks_exact(self.width).enumerate() {
                let to = &mut to[c * self.channel + y * self.row..];
                line.iter().enumerate().for_each(|(x, value)| to[x * self.column] = *value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_lie_where_the_layout_says() {
        let planar = Layout::planar(2, 3);
        assert!(planar.is_planar() && (0..12).all(|i| planar.at(i) == i));
        // Two channels innermost, one pixel of margin to the right.
        let interleaved = Layout { height: 2, width: 3, channel: 1, row: 8, column: 2 };
        let places: Vec<usize> = (0..12).map(|i| interleaved.at(i)).collect();
        assert_eq!(places, [0, 2, 4, 8, 10, 12, 1, 3, 5, 9, 11, 13]);
        assert!(!interleaved.is_planar());
        let values: Vec<f32> = (1..=12).map(|i| i as f32).collect();
        for layout in [planar, interleaved] {
            let mut row = vec![0.0; 16];
            layout.scatter(&values, &mut row);
            assert!((0..12).all(|i| row[layout.at(i)] == values[i]), "{layout:?}");
        }
    }
}
