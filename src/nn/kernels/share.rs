//! One vector shared out to the tasks of a team.

use crate::nn::Team;
use std::marker::PhantomData;
use std::ops::Range;

/// A slice cut into parts of equal length (the last may be shorter), each for one task.
pub struct Shared<'a, T> {
    start: *mut T,
    len: usize,
    part: usize,
    slice: PhantomData<&'a mut [T]>,
}

// SAFETY: it gives out disjoint parts of a slice that it holds exclusively; see `part`.
unsafe impl<T: Send> Sync for Shared<'_, T> {}

impl<'a, T> Shared<'a, T> {
    /// Cuts `slice` into parts of `part` elements.
    pub fn new(slice: &'a mut [T], part: usize) -> Self {
        Self { start: slice.as_mut_ptr(), len: slice.len(), part, slice: PhantomData }
    }

    /// Part `i`; empty behind the end.
    ///
    /// # Safety
    /// As long as a part is in use nobody else may ask for the same one.
    #[allow(clippy::mut_from_ref)]
    pub unsafe fn part(&self, i: usize) -> &mut [T] {
        let from = i.saturating_mul(self.part).min(self.len);
        let len = self.part.min(self.len - from);
        // SAFETY: within the slice; disjoint from the other parts; the caller asks once for each.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(from), len) }
    }
}

/// A slice that tasks write to in places that interleave, as the channels of a picture. It can be passed around freely;
/// writing through [`Whole::start`] is unsafe, and whoever does so says why no two tasks write to one place.
#[derive(Debug, Clone, Copy)]
pub struct Whole<'a> {
    start: *mut f32,
    len: usize,
    slice: PhantomData<&'a mut [f32]>,
}

// SAFETY: a pointer and a length; using the pointer is unsafe anyway.
unsafe impl Send for Whole<'_> {}
// SAFETY: as above.
unsafe impl Sync for Whole<'_> {}

impl<'a> Whole<'a> {
    /// All of `slice`.
    pub fn new(slice: &'a mut [f32]) -> Self {
        Self { start: slice.as_mut_ptr(), len: slice.len(), slice: PhantomData }
    }

    /// A part of it.
    ///
    /// # Panics
    /// If it ends behind the end.
    pub fn part(self, Range { start, end }: Range<usize>) -> Self {
        assert!(start <= end && end <= self.len, "a part that ends behind the end");
        Self { start: self.start.wrapping_add(start), len: end - start, ..self }
    }

    /// Its first element.
    pub fn start(self) -> *mut f32 {
        self.start
    }

    #[allow(clippy::len_without_is_empty)] // asked to check bounds
    /// Its length.
    pub fn len(self) -> usize {
        self.len
    }
}

/// Runs `work(i, part i of a)` for each of `0..tasks`.
pub fn share1<A: Send>(team: &dyn Team, tasks: usize, a: (&mut [A], usize), work: &(dyn Fn(usize, &mut [A]) + Sync)) {
    let a = Shared::new(a.0, a.1);
    // SAFETY: a team calls the work once for each index.
    team.run(tasks, &|i| work(i, unsafe { a.part(i) }));
}

/// Runs `work(i, part i of a, part i of b)` for each of `0..tasks`.
#[allow(clippy::type_complexity)] // an alias would hide what the closure gets
pub fn share2<A: Send, B: Send>(
    team: &dyn Team,
    tasks: usize,
    a: (&mut [A], usize),
    b: (&mut [B], usize),
    work: &(dyn Fn(usize, &mut [A], &mut [B]) + Sync),
) {
    let (a, b) = (Shared::new(a.0, a.1), Shared::new(b.0, b.1));
    // SAFETY: a team calls the work once for each index.
    team.run(tasks, &|i| work(i, unsafe { a.part(i) }, unsafe { b.part(i) }));
}

/// Two parts of a slice to write.
///
/// # Panics
/// If they overlap.
pub fn two<T>(slice: &mut [T], a: Range<usize>, b: Range<usize>) -> (&mut [T], &mut [T]) {
    if b.is_empty() {
        (&mut slice[a], &mut [])
    } else if a.start <= b.start {
        let (front, back) = slice.split_at_mut(b.start);
        (&mut front[a], &mut back[..b.len()])
    } else {
        let (front, back) = slice.split_at_mut(a.start);
        (&mut back[..a.len()], &mut front[b])
    }
}

/// Runs `work(i, part i of a, part i of b, part i of c)` for each of `0..tasks`.
#[allow(clippy::type_complexity)] // an alias would hide what the closure gets
pub fn share3<A: Send, B: Send, C: Send>(
    team: &dyn Team,
    tasks: usize,
    a: (&mut [A], usize),
    b: (&mut [B], usize),
    c: (&mut [C], usize),
    work: &(dyn Fn(usize, &mut [A], &mut [B], &mut [C]) + Sync),
) {
    let (a, b, c) = (Shared::new(a.0, a.1), Shared::new(b.0, b.1), Shared::new(c.0, c.1));
    // SAFETY: a team calls the work once for each index.
    team.run(tasks, &|i| work(i, unsafe { a.part(i) }, unsafe { b.part(i) }, unsafe { c.part(i) }));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::Alone;

    #[test]
    fn each_task_has_its_own_part() {
        let (mut a, mut b) = ([0; 10], [0; 4]);
        share2(&Alone, 4, (&mut a, 3), (&mut b, 1), &|i, a, b| {
            a.fill(i);
            b[0] = a.len();
        });
        assert_eq!((a, b), ([0, 0, 0, 1, 1, 1, 2, 2, 2, 3], [3, 3, 3, 1]));
        share1(&Alone, 6, (&mut a, 2), &|i, a| assert_eq!(a.len(), if i < 5 { 2 } else { 0 }));
    }
}
