//! The sweep over the shapes of the four published graphs, with the work and data of the networks behind them.

use super::*;

/// GFLOP and megabits.
type Costs = (f64, f64);

fn chain(costs: &[Costs]) -> Instance {
    shape(costs.iter().enumerate().map(|(task, cost)| (*cost, if task == 0 { vec![] } else { vec![task - 1] })))
}

fn shape(tasks: impl Iterator<Item = (Costs, Vec<usize>)>) -> Instance {
    let (costs, predecessors): (Vec<Costs>, _) = tasks.unzip();
    let (work, data) = costs.into_iter().unzip();
    Instance::new(work, data, predecessors).unwrap()
}

/// VGG16 by resolution, then its dense layers.
const VGG16: [Costs; 8] = [
    (3.87, 4.82),
    (5.55, 25.69),
    (9.25, 12.85),
    (9.25, 6.42),
    (2.77, 3.21),
    (0.206, 0.803),
    (0.0336, 0.131),
    (0.0082, 0.131),
];

/// A stem, three tasks of VGG16 beside three of VGG19, and a join.
fn vgg16_19() -> Instance {
    let branches = [(9.25, 12.85), (9.25, 6.42), (2.98, 3.21), (12.95, 12.85), (12.95, 6.42), (3.9, 3.21)];
    let tasks = [(9.42, 4.82)].into_iter().chain(branches).chain([(0.01, 0.064)]);
    let predecessors = [vec![], vec![0], vec![1], vec![2], vec![0], vec![4], vec![5], vec![3, 6]];
    shape(tasks.zip(predecessors))
}

/// ResNet50: a stem of three, sixteen blocks of convolutions and an addition, pooling, dense and softmax.
fn residual() -> Instance {
    let mut tasks: Vec<(Costs, Vec<usize>)> =
        vec![((0.236, 4.82), vec![]), ((0.001, 25.69), vec![0]), ((0.002, 25.69), vec![1])];
    // By stage: blocks, megabits of a block's input, GFLOP.
    for (blocks, first, wide, work) in
        [(3, 6.42, 25.69, 0.44), (4, 25.69, 12.85, 0.44), (6, 12.85, 6.42, 0.44), (3, 6.42, 3.21, 0.44)]
    {
        for block in 0..blocks {
            let before = tasks.len() - 1;
            let (input, work) = if block == 0 { (first, work * 1.5) } else { (wide, work) };
            tasks.push(((work, input), vec![before]));
            tasks.push(((0.001, 2.0 * wide), vec![before, before + 1]));
        }
    }
    let last = tasks.len() - 1;
    tasks.push(((0.0001, 3.21), vec![last]));
    tasks.push(((0.0041, 0.0655), vec![last + 1]));
    tasks.push(((0.0, 0.032), vec![last + 2]));
    shape(tasks.into_iter())
}

/// OpenFace: two stem tasks, six inception blocks of four branches and a join, and the embedding.
fn inception() -> Instance {
    let mut tasks: Vec<(Costs, Vec<usize>)> = vec![((0.1, 0.885), vec![]), ((0.25, 1.18), vec![0])];
    let blocks = [(0.886, 1.0), (1.18, 1.0), (1.475, 0.4), (0.737, 0.6), (1.18, 0.2), (0.212, 0.15)];
    for (input, share) in blocks {
        let before = tasks.len() - 1;
        let branches = [0.02, 0.16, 0.06, 0.02].map(|work| ((work * share, input), vec![before]));
        tasks.extend(branches);
        tasks.push(((0.0001, input), (before + 1..before + 5).collect()));
    }
    let last = tasks.len() - 1;
    tasks.push(((0.0003, 0.0236), vec![last]));
    shape(tasks.into_iter())
}

fn all() -> Vec<(&'static str, Instance)> {
    let all =
        vec![("vgg16", chain(&VGG16)), ("vgg16_19", vgg16_19()), ("resnet50", residual()), ("openface", inception())];
    assert_eq!(all.iter().map(|(_, it)| it.tasks()).collect::<Vec<_>>(), [8, 8, 38, 33]);
    all
}

#[test]
fn ours_is_never_worse_over_a_sweep_of_budgets() {
    let budgets = [0.6, 0.05, 0.2].map(Budget::OfCloud);
    let effort = Effort { steps: 2_000, walks: 1, branches: 20_000, labels: 50, epsilon: 0.5, seed: 0 };
    let rows = sweep(&all(), &Mec::cooperating(), &budgets, &effort).unwrap();
    assert_eq!(rows.len(), 4 * 3 * 5);
    let mut worst: f64 = 0.0;
    for rows in rows.chunks(5) {
        assert_eq!(rows.iter().map(|row| row.method).collect::<Vec<_>>(), Method::ALL);
        let ours = &rows[4];
        assert!(ours.meets_budget && ours.meets_utility && ours.ours_earlier_percent == Some(0.0));
        for row in rows.iter().filter(|row| row.meets_budget && row.meets_utility) {
            assert!(row.figures.finish.0 >= ours.figures.finish.0, "{row:?}");
            worst = worst.max(row.ours_earlier_percent.unwrap());
        }
    }
    assert!(worst > 10.0, "{worst}");
    for rows in rows.chunks(15) {
        let ours: Vec<f64> = rows.iter().skip(4).step_by(5).map(|row| row.figures.finish.0).collect();
        assert!(ours.is_sorted_by(|a, b| a >= b) && rows[0].budget < rows[14].budget, "{ours:?}");
    }
}

#[test]
fn a_row_says_what_a_method_does_not_meet() {
    // Where the edge is dearer than the cloud, moving a task there for the utility may exceed the budget.
    let mec = Mec { edge_prices: vec![3.0], cloud_price: 0.5, ..Mec::cooperating() };
    let instance = Instance::new(vec![9.0, 9.0], vec![6.0, 6.0], vec![vec![], vec![0]]).unwrap();
    let rows = sweep(&[("two", instance)], &mec, &[Budget::Of(7.0)], &Effort::default()).unwrap();
    let sep = &rows[0];
    assert!(!sep.meets_budget && sep.meets_utility && sep.ours_earlier_percent.is_none(), "{sep:?}");
    assert!(rows[4].meets_budget && rows[4].exact, "{:?}", rows[4]);
    let refused = sweep(&all(), &mec, &[Budget::Of(0.0)], &Effort::default()).unwrap_err();
    assert!(refused.to_string().contains("give a budget of at least that"), "{refused}");
}
