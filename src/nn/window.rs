//! A window that slides over a picture: what convolution and pooling share.

use super::{NetError, Shape};
use serde::{Deserialize, Deserializer};

/// Kernel, step and padding of a sliding window, each vertical then horizontal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Window {
    /// Height and width.
    pub kernel: [usize; 2],
    /// Rows and columns from one place to the next.
    pub stride: [usize; 2],
    /// Rows added above and below, columns added left and right.
    pub padding: [usize; 2],
}

impl Window {
    /// How many places there are in a picture of `size`, or none when the window does not fit.
    ///
    /// # Math
    /// `⌊(size + 2 padding - kernel) / stride⌋ + 1`
    pub fn places(&self, size: [usize; 2]) -> Option<[usize; 2]> {
        let along = |axis: usize| {
            let padded = self.padding[axis].checked_mul(2)?.checked_add(size[axis])?;
            let room = padded.checked_sub(self.kernel[axis])?;
            room.checked_div(self.stride[axis])?.checked_add(1)
        };
        Some([along(0)?, along(1)?])
    }

    /// As [`Window::places`], or what is wrong.
    pub fn check(&self, node: &str, layer: &'static str, size: [usize; 2]) -> Result<[usize; 2], NetError> {
        let [[kh, kw], [sh, sw], [ph, pw]] = [self.kernel, self.stride, self.padding];
        let unfit = |why: String, cure: &'static str| NetError::Unfit { node: node.into(), layer, why, cure };
        if kh.min(kw) == 0 {
            return Err(unfit(format!("has a kernel of {kh}x{kw}"), "give a kernel of at least 1"));
        }
        if sh.min(sw) == 0 {
            return Err(unfit(format!("has a stride of {sh}x{sw}"), "give a stride of at least 1"));
        }
        self.places(size).ok_or_else(|| {
            let [h, w] = size;
            unfit(
                format!("has a kernel of {kh}x{kw}, larger than its input of {h}x{w} with a padding of {ph}x{pw}"),
                "give a smaller kernel, more padding, fewer pools before it, or larger pictures",
            )
        })
    }

    /// As [`Window::check`], for a pool: each window must hold a part of the picture.
    pub fn check_pool(&self, node: &str, layer: &'static str, size: [usize; 2]) -> Result<[usize; 2], NetError> {
        let places = self.check(node, layer, size)?;
        let [[kh, kw], [ph, pw]] = [self.kernel, self.padding];
        if ph > kh / 2 || pw > kw / 2 {
            return Err(NetError::Unfit {
                node: node.into(),
                layer,
                why: format!("has a padding of {ph}x{pw} around a kernel of {kh}x{kw}"),
                cure: "give a padding of at most half the kernel",
            });
        }
        Ok(places)
    }

    /// The places along an axis whose windows have their element `k` inside a picture of `size`.
    pub fn inside(&self, axis: usize, k: usize, size: usize, places: usize) -> std::ops::Range<usize> {
        let (stride, padding) = (self.stride[axis], self.padding[axis]);
        let first = padding.saturating_sub(k).div_ceil(stride);
        let end = (size + padding).saturating_sub(k).div_ceil(stride);
        first..end.min(places).max(first)
    }

    /// The part of a picture of `size` that the window covers at a place along an axis.
    pub fn covered(&self, axis: usize, place: usize, size: usize) -> std::ops::Range<usize> {
        let start = place * self.stride[axis];
        let padding = self.padding[axis];
        start.saturating_sub(padding)..(start + self.kernel[axis]).saturating_sub(padding).min(size)
    }
}

/// The channels, height and width of a picture, or what is wrong with the input.
pub(super) fn picture(node: &str, layer: &'static str, x: &Shape) -> Result<[usize; 3], NetError> {
    x.picture().ok_or_else(|| NetError::Unfit {
        node: node.into(),
        layer,
        why: format!("reads pictures of channels x height x width, and got a tensor of {x}"),
        cure: "put it before the first flatten or dense layer, and give the input as [channels, height, width]",
    })
}

/// The channels, height and width of a picture that has been checked.
pub(super) fn sizes(x: &Shape) -> [usize; 3] {
    x.picture().expect("the input was checked to be a picture")
}

/// A number for both directions, or one for each.
#[derive(Deserialize)]
#[serde(untagged, expecting = "expected a whole number or [height, width]")]
enum Pair {
    Both(usize),
    Each([usize; 2]),
}

impl From<Pair> for [usize; 2] {
    fn from(pair: Pair) -> Self {
        match pair {
            Pair::Both(n) => [n, n],
            Pair::Each(pair) => pair,
        }
    }
}

/// Reads `3` as `[3, 3]`.
pub(super) fn pair<'de, D: Deserializer<'de>>(from: D) -> Result<[usize; 2], D::Error> {
    Pair::deserialize(from).map(Into::into)
}

/// The stride of a convolution that names none.
pub(super) fn ones() -> [usize; 2] {
    [1, 1]
}

/// A pool as it is written down: the stride is the kernel unless it is named.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WrittenPool {
    #[serde(deserialize_with = "pair")]
    kernel: [usize; 2],
    stride: Option<Pair>,
    #[serde(default, deserialize_with = "pair")]
    padding: [usize; 2],
}

impl From<WrittenPool> for Window {
    fn from(written: WrittenPool) -> Self {
        let WrittenPool { kernel, stride, padding } = written;
        Self { kernel, stride: stride.map_or(kernel, Into::into), padding }
    }
}
