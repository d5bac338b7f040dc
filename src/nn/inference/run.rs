//! One step of a pass.

use super::{Answers, Inference, Op, Step};
use crate::nn::kernels::grid::Grid;
use crate::nn::kernels::norm::Affine;
use crate::nn::kernels::share::share1;
use crate::nn::kernels::{Isa, join, pool};
use crate::nn::program::{Place, relayout};
use crate::nn::{Context, Inputs, Team};
use std::ops::Range;

/// The values but for those that a step writes.
#[derive(Clone, Copy)]
struct Others<'a> {
    before: &'a [f32],
    after: &'a [f32],
    after_at: usize,
}

impl<'a> Others<'a> {
    fn get(self, Range { start, end }: Range<usize>) -> &'a [f32] {
        if end <= self.before.len() {
            &self.before[start..end]
        } else {
            &self.after[start - self.after_at..end - self.after_at]
        }
    }

    /// The batch at a place.
    fn rows(self, place: Place, batch: usize) -> &'a [f32] {
        self.get(place.offset..place.offset + batch * place.stride)
    }
}

impl Inference {
    pub(super) fn step(&self, step: usize, answers: &mut Answers, team: &dyn Team) {
        let step = &self.plan.steps[step];
        if let Op::Layer { node } = step.op {
            return self.layer(step, node, answers, team);
        }
        let Answers { places, values, scratch, packed, batch, .. } = answers;
        let (batch, place) = (*batch, places[step.output]);
        let (before, rest) = values.as_mut_slice().split_at_mut(place.offset);
        let (y, after) = rest.split_at_mut(batch * place.stride);
        let after_at = place.offset + y.len();
        let others = Others { before, after, after_at };
        let x = |i: usize| others.rows(places[step.inputs[i]], batch);
        let picture = |i: usize, b: usize| {
            let stride = places[step.inputs[i]].stride;
            &x(i)[b * stride..][..stride]
        };
        let weights = self.plan.weights_of(step, self.weights.as_slice());
        let (isa, stride) = (Isa::detect(), place.stride);
        let grid = |i: usize| self.grid(step.inputs[i]);
        let each = |y: &mut [f32], work: &(dyn Fn(usize, &mut [f32]) + Sync)| {
            share1(team, batch, (y, stride), &|b, y| {
                self.clear_margin(step, y);
                work(b, y);
            });
        };
        match &step.op {
            Op::Conv(conv) => {
                y.chunks_exact_mut(stride).for_each(|y| self.clear_margin(step, y));
                let add = if step.inputs.len() > 1 { x(1) } else { &[] };
                conv.forward(team, weights, x(0), add, y, scratch.as_mut_slice());
            }
            Op::Dense { kernel, activation } => {
                kernel.forward(team, *activation, weights, packed.as_mut_slice(), x(0), y, batch);
            }
            Op::Affine(norm) => {
                let (scale, shift) = weights.split_at(norm.z.depth);
                each(y, &|b, y| norm.apply(picture(0, b), Affine { scale, shift }, y, &mut []));
            }
            Op::Pool(pool) => each(y, &|b, y| pool.forward(picture(0, b), y)),
            Op::GlobalMean => each(y, &|b, y| pool::global_mean(isa, grid(0), picture(0, b), y)),
            Op::Sum { relu } => {
                let to = self.grid(step.output);
                each(y, &|b, y| {
                    let last = step.inputs.len() - 1;
                    join::put(isa, to, grid(0), 0, picture(0, b), *relu && last == 0, y);
                    join::clear_gap(to, y);
                    for i in 1..=last {
                        join::add(isa, to, grid(i), picture(i, b), *relu && i == last, y);
                    }
                });
            }
            Op::Concat { relu } => {
                let to = self.grid(step.output);
                each(y, &|b, y| {
                    let mut first = 0;
                    for i in 0..step.inputs.len() {
                        join::put(isa, to, grid(i), first, picture(i, b), *relu, y);
                        first += grid(i).channels;
                    }
                    join::clear_gap(to, y);
                });
            }
            Op::Relayout => {
                y.chunks_exact_mut(stride).for_each(|y| self.clear_margin(step, y));
                let slots = [&self.plan.slots[step.inputs[0]], &self.plan.slots[step.output]];
                relayout(team, slots, x(0), y, batch);
            }
            Op::Layer { .. } => unreachable!("done above"),
        }
    }

    fn grid(&self, slot: usize) -> Grid {
        self.plan.slots[slot].as_grid().expect("a grid")
    }

    /// Memory that others used before has something in the margin.
    fn clear_margin(&self, step: &Step, y: &mut [f32]) {
        if let Some(grid) = self.plan.slots[step.output].as_grid().filter(|grid| grid.halo > 0) {
            grid.clear_margin(y);
        }
    }

    /// A layer as it is written down. It writes aside, as its inputs and its output may lie in any order.
    fn layer(&self, step: &Step, node: usize, answers: &mut Answers, team: &dyn Team) {
        let Answers { places, values, aside, batch, .. } = answers;
        let (batch, place) = (*batch, places[step.output]);
        let weights = self.plan.weights_of(step, self.weights.as_slice());
        let context = Context { team, ..Context::eval(&[], &self.sigma[step.sigma.range()]) };
        let values = values.as_mut_slice();
        let inputs = Inputs { values, places, shapes: &self.plan.shapes, ids: &step.inputs, batch };
        let aside = &mut aside.as_mut_slice()[..batch * place.stride];
        self.network.layer(node).forward(&context, inputs, weights, place.at_start().view_mut(aside, batch));
        values[place.offset..][..aside.len()].copy_from_slice(aside);
    }
}
