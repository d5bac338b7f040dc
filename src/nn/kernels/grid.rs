//! Pictures as the fast kernels keep them: channels innermost, a margin of zeros around.

/// The registers' width that the depth of a picture is a multiple of.
pub const DEPTH: usize = 16;

/// The place of one picture: `[height + 2·halo, width + 2·halo, depth]` floats.
///
/// The margin (halo) stands in for a convolution's padding; it holds zeros and nobody writes there. Pictures that a
/// kernel writes have a depth that is a multiple of [`DEPTH`]; the floats between `channels` and `depth` are zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grid {
    /// C.
    pub channels: usize,
    /// H.
    pub height: usize,
    /// W.
    pub width: usize,
    /// Floats from a pixel to the next.
    pub depth: usize,
    /// Pixels of margin on each side.
    pub halo: usize,
}

impl Grid {
    /// A picture that a kernel writes.
    pub fn new([channels, height, width]: [usize; 3], halo: usize) -> Self {
        Self { channels, height, width, depth: channels.next_multiple_of(DEPTH), halo }
    }

    /// A picture that is only read, as a network's input: no gap between the pixels.
    pub fn dense([channels, height, width]: [usize; 3], halo: usize) -> Self {
        Self { channels, height, width, depth: channels, halo }
    }

    /// Floats from a pixel row to the next.
    pub fn row(&self) -> usize {
        (self.width + 2 * self.halo) * self.depth
    }

    #[allow(clippy::len_without_is_empty)] // a picture has pixels
    /// Floats of a picture, a whole number of cache lines, with room for a register behind the last pixel.
    pub fn len(&self) -> usize {
        ((self.height + 2 * self.halo) * self.row() + DEPTH).next_multiple_of(16)
    }

    /// Writes zeros into the margin of a picture, and behind it.
    pub fn clear_margin(&self, picture: &mut [f32]) {
        let (halo, row) = (self.halo, self.row());
        let side = halo * self.depth;
        let picture = &mut picture[..self.len()];
        picture[..halo * row].fill(0.0);
        for line in picture[halo * row..].chunks_exact_mut(row).take(self.height) {
            line[..side].fill(0.0);
            line[row - side..].fill(0.0);
        }
        picture[(halo + self.height) * row..].fill(0.0);
    }

    /// Where pixel (y, x) begins; (-halo, -halo) is at 0.
    pub fn at(&self, y: usize, x: usize) -> usize {
        (y + self.halo) * self.row() + (x + self.halo) * self.depth
    }
}
