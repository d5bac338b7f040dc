//! Where to cut a chain of blocks into stages.
//!
//! # References
//! Narayanan et al. 2019, "PipeDream: Generalized Pipeline Parallelism for DNN Training", section 3.1: the dynamic
//! programme over (stage, block) whose value is the slowest stage or link. Here without replicas, and with devices that
//! differ.

/// The cuts that make the slowest of all stages and links as fast as possible: how many blocks stand before each cut,
/// ascending. Every stage gets a block at least.
///
/// Among cuts that are equally good it takes those with the smallest sum of squared stage times, so that the stages
/// that are not the slowest are balanced, too; then those that come first. It gives nothing where no cuts are allowed
/// that leave every stage a block, or where all of them cost infinitely much (infinite costs say what may not be: a
/// block that does not fit a device).
///
/// # Shapes
/// `costs`: stages × blocks n. `transfer`: stages × (n−1), what sending costs a stage that ends behind block b; the
/// last stage's row is not read and may be absent. `allowed`: n−1, whether it may be cut behind block b.
///
/// # Math
/// T(s, b), the slowest of stages s.. when these have blocks b..n, is min over e of
/// max(Σ costs(s, b..e), transfer(s, e−1), T(s+1, e)); O(stages · n²).
///
/// # Panics
/// If a row has another length, or a cost is not a number or negative.
pub fn balance(costs: &[Vec<f64>], transfer: &[Vec<f64>], allowed: &[bool]) -> Option<Vec<usize>> {
    let (stages, blocks) = (costs.len(), costs.first()?.len());
    assert!(transfer.len() + 1 >= stages, "each stage but the last sends");
    assert!(costs.iter().all(|row| row.len() == blocks), "each stage needs the cost of every block");
    assert!(transfer.iter().map(Vec::len).chain([allowed.len()]).all(|len| len + 1 == blocks.max(1)), "n - 1 cuts");
    let figures = costs.iter().chain(transfer).flatten();
    assert!(figures.into_iter().all(|cost| *cost >= 0.0), "costs are numbers, and not negative");
    if stages > blocks {
        return None;
    }
    let chain = Chain { costs, transfer, allowed, blocks };
    let slowest = chain.solve(f64::INFINITY, |time, link, rest| time.max(link).max(rest));
    let limit = slowest.value(0, 0);
    if limit.is_infinite() {
        return None;
    }
    let squares = chain.solve(limit, |time, _, rest| time * time + rest);
    Some(squares.cuts())
}

struct Chain<'a> {
    costs: &'a [Vec<f64>],
    transfer: &'a [Vec<f64>],
    allowed: &'a [bool],
    blocks: usize,
}

/// The best value of stages s.. on blocks b.., and where stage s then ends.
struct Table {
    best: Vec<Vec<(f64, usize)>>,
    blocks: usize,
}

impl Chain<'_> {
    /// Minimises what `combine` makes of a stage's time, its link's time and the value of the stages behind it, where
    /// neither time is above the limit. Of equal values the first is taken.
    fn solve(&self, limit: f64, combine: impl Fn(f64, f64, f64) -> f64) -> Table {
        let (stages, blocks) = (self.costs.len(), self.blocks);
        let mut best = vec![vec![(f64::INFINITY, blocks); blocks + 1]; stages + 1];
        best[stages][blocks].0 = 0.0;
        for stage in (0..stages).rev() {
            let last = stage + 1 == stages;
            for begin in 0..blocks {
                let mut time = 0.0;
                for end in begin + 1..=blocks {
                    time += self.costs[stage][end - 1];
                    let cut_here = end < blocks;
                    if time > limit || last == cut_here || (cut_here && !self.allowed[end - 1]) {
                        continue;
                    }
                    let link = if cut_here { self.transfer[stage][end - 1] } else { 0.0 };
                    let value = combine(time, link, best[stage + 1][end].0);
                    if link <= limit && value < best[stage][begin].0 {
                        best[stage][begin] = (value, end);
                    }
                }
            }
        }
        Table { best, blocks }
    }
}

impl Table {
    fn value(&self, stage: usize, begin: usize) -> f64 {
        self.best[stage][begin].0
    }

    fn cuts(&self) -> Vec<usize> {
        let stages = self.best.len() - 1;
        let ends = (0..stages).scan(0, |begin, stage| {
            *begin = self.best[stage][*begin].1;
            Some(*begin)
        });
        ends.take_while(|end| *end < self.blocks).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all_cuts(blocks: usize, cuts: usize, from: usize) -> Vec<Vec<usize>> {
        if cuts == 0 {
            return vec![vec![]];
        }
        let first = from + 1..blocks;
        first
            .flat_map(|cut| {
                let mut rest = all_cuts(blocks, cuts - 1, cut);
                rest.iter_mut().for_each(|cuts| cuts.insert(0, cut));
                rest
            })
            .collect()
    }

    /// The slowest stage or link, and the sum of squares.
    fn value(costs: &[Vec<f64>], transfer: &[Vec<f64>], cuts: &[usize]) -> (f64, f64) {
        let ends: Vec<usize> = cuts.iter().copied().chain([costs[0].len()]).collect();
        let begins = [0].into_iter().chain(cuts.iter().copied());
        let times: Vec<f64> =
            begins.zip(&ends).enumerate().map(|(s, (begin, end))| costs[s][begin..*end].iter().sum()).collect();
        let links = cuts.iter().enumerate().map(|(s, cut)| transfer[s][cut - 1]);
        (times.iter().copied().chain(links).fold(0.0, f64::max), times.iter().map(|t| t * t).sum())
    }

    fn brute_force(costs: &[Vec<f64>], transfer: &[Vec<f64>], allowed: &[bool]) -> Option<Vec<usize>> {
        let candidates = all_cuts(costs[0].len(), costs.len() - 1, 0);
        let fine = candidates.into_iter().filter(|cuts| cuts.iter().all(|cut| allowed[cut - 1]));
        let valued = fine.map(|cuts| (value(costs, transfer, &cuts), cuts)).filter(|(value, _)| value.0.is_finite());
        valued.min_by(|a, b| a.partial_cmp(b).unwrap()).map(|(_, cuts)| cuts)
    }

    /// Small whole costs, so that there are many ties and no rounding; sometimes infinite.
    fn chains() -> impl Strategy<Value = (Vec<Vec<f64>>, Vec<Vec<f64>>, Vec<bool>)> {
        let cost = || prop_oneof![20 => (0..9u8).prop_map(f64::from), 1 => Just(f64::INFINITY)];
        (1..6usize, 1..9usize).prop_flat_map(move |(stages, blocks)| {
            let costs = prop::collection::vec(prop::collection::vec(cost(), blocks), stages);
            let transfer = prop::collection::vec(prop::collection::vec(cost(), blocks - 1), stages);
            (costs, transfer, prop::collection::vec(prop::bool::weighted(0.8), blocks - 1))
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(5000))]
        #[test]
        fn no_cuts_are_better((costs, transfer, allowed) in chains()) {
            let found = balance(&costs, &transfer, &allowed);
            prop_assert_eq!(&found, &brute_force(&costs, &transfer, &allowed));
            // The last stage's row is not read.
            prop_assert_eq!(found, balance(&costs, &transfer[..costs.len() - 1], &allowed));
        }

        #[test]
        fn nor_with_any_costs(
            costs in prop::collection::vec(prop::collection::vec(0.0..1.0f64, 7), 3),
            transfer in prop::collection::vec(prop::collection::vec(0.0..1.0f64, 6), 3),
        ) {
            let cuts = balance(&costs, &transfer, &[true; 6]).unwrap();
            let best = brute_force(&costs, &transfer, &[true; 6]).unwrap();
            prop_assert_eq!(value(&costs, &transfer, &cuts).0, value(&costs, &transfer, &best).0);
        }
    }

    #[test]
    fn known_chains() {
        let equal = |stages, costs: &[f64]| vec![costs.to_vec(); stages];
        let free = |stages, blocks: usize| vec![vec![0.0; blocks - 1]; stages];
        let cuts =
            |costs: &[Vec<f64>], transfer: &[Vec<f64>]| balance(costs, transfer, &[true; 4][..costs[0].len() - 1]);
        assert_eq!(cuts(&equal(2, &[97.0, 84.0]), &free(2, 2)), Some(vec![1]));
        assert_eq!(cuts(&equal(1, &[1.0, 2.0]), &[]), Some(vec![]));
        assert_eq!(cuts(&equal(3, &[1.0, 2.0]), &free(3, 2)), None, "more stages than blocks");
        // The second device is twice as fast, and takes twice as much.
        let unequal = [vec![2.0; 3], vec![1.0; 3]];
        assert_eq!(cuts(&unequal, &free(2, 3)), Some(vec![1]));
        // The middle would be best, but its link is slow.
        assert_eq!(cuts(&equal(2, &[1.0; 4]), &[vec![0.0, 9.0, 0.0]]), Some(vec![1]));
        // One block is slowest wherever it is cut: the others are balanced.
        assert_eq!(cuts(&equal(3, &[9.0, 1.0, 1.0, 1.0, 1.0]), &free(3, 5)), Some(vec![1, 3]));
        assert_eq!(balance(&[], &[], &[]), None);
        assert_eq!(balance(&[vec![]], &[], &[]), None);
    }
}
