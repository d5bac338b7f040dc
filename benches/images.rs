//! Images a second of a training step of the networks for pictures: forward, backward and update on one thread,
//! without loading. `cargo bench --bench images [-- NAME...]`.

use goai::nn::{Alone, Context, Flavor, Init, Network, Phase, Program, zoo};
use std::time::Instant;

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    for (name, shape, classes, batch) in [
        ("img_cnn", [3, 150, 150], 6, 32),
        ("vgg5_plain", [3, 32, 32], 10, 64),
        ("vgg5", [3, 32, 32], 10, 64),
        ("mnist_cnn", [1, 28, 28], 10, 64),
        ("img_mlp", [3, 150, 150], 6, 4),
    ] {
        if wanted.is_empty() || wanted.iter().any(|word| word == name) {
            measure(name, shape, classes, batch);
        }
    }
}

fn measure(name: &str, shape: [usize; 3], classes: usize, batch: usize) {
    let spec = zoo::by_name(name, &goai::nn::Shape(shape.to_vec()), classes).expect("a network of the zoo");
    let network = Network::build(spec).expect("it fits together");
    let program = Program::compile(&network, Flavor::Fused);
    let mut theta = Init::He.draw(&network, 1);
    let sigma = network.initial_sigma();
    let mut ws = program.workspace(batch);
    let mut grad = vec![0.0; theta.len()];
    let ids: Vec<u32> = (0..batch as u32).collect();
    let labels: Vec<u32> = ids.iter().map(|id| id % classes as u32).collect();
    let context = Context { phase: Phase::Train, team: &Alone, ..Context::eval(&ids, &sigma) };
    ws.begin(batch);
    ws.fill(0, &Alone, &|b, layout, row| {
        for i in 0..shape.iter().product() {
            row[layout.at(i)] = ((b * 7919 + i * 104_729) % 1009) as f32 / 504.5 - 1.0;
        }
    });
    let mut best = [f64::INFINITY; 2];
    let mut times = Vec::new();
    for _ in 0..40 {
        let start = Instant::now();
        program.forward(&context, &theta, &mut ws);
        let forward = start.elapsed().as_secs_f64();
        let start = Instant::now();
        program.loss_and_grad(&context, &theta, &mut ws, &labels, &mut grad);
        theta.iter_mut().zip(&grad).for_each(|(t, g)| *t -= 1e-4 * g);
        let all = start.elapsed().as_secs_f64();
        best = [best[0].min(forward), best[1].min(all)];
        times.push(all);
    }
    times.sort_by(f64::total_cmp);
    let rate = |seconds: f64| batch as f64 / seconds;
    let mb = program.workspace_bytes(batch, true) >> 20;
    println!(
        "{name:<12} batch {batch:<3} median {:>7.0} images/s, best {:>7.0}; forward alone {:>7.0}; workspace {mb} MiB",
        rate(times[times.len() / 2]),
        rate(best[1]),
        rate(best[0])
    );
}
