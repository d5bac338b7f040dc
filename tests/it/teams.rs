//! The networks for pictures at small sizes: the same bits whoever runs the tasks of a pass, and numbers near those
//! of the layers as they are written down.

use goai::nn::kernels::Isa;
use goai::nn::{Alone, Context, Flavor, Init, Network, Phase, Program, Shape, Team, zoo};
use ndarray::Array2;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

const NETWORKS: [(&str, [usize; 3]); 4] =
    [("img_cnn", [3, 30, 26]), ("vgg5", [3, 16, 18]), ("vgg5_plain", [3, 17, 15]), ("mnist_cnn", [1, 20, 14])];
const BATCHES: [usize; 2] = [5, 17];

/// Which instruction set the child process uses.
const CHILD: &str = "GOAI_TEST_ISA";

/// So many threads that take the next task when they are done with one.
struct Threads(usize);

impl Team for Threads {
    fn size(&self) -> usize {
        self.0
    }

    fn run(&self, tasks: usize, work: &(dyn Fn(usize) + Sync)) {
        let next = AtomicUsize::new(0);
        let worker = || {
            let tasks =
                std::iter::repeat_with(|| next.fetch_add(1, Ordering::Relaxed)).take_while(|task| *task < tasks);
            tasks.for_each(work);
        };
        std::thread::scope(|scope| (0..self.0).for_each(|_| drop(scope.spawn(worker))));
    }
}

/// One thread that says it were three, and begins with the last task.
struct Backwards;

impl Team for Backwards {
    fn size(&self) -> usize {
        3
    }

    fn run(&self, tasks: usize, work: &(dyn Fn(usize) + Sync)) {
        (0..tasks).rev().for_each(work);
    }
}

/// Numbers in [-1, 1).
fn noise(i: usize) -> f32 {
    let mut z = (i as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    (z >> 40) as f32 / (1 << 23) as f32 - 1.0
}

/// Outputs, gradient and moments of a training pass.
fn passes(network: &Network, flavor: Flavor, team: &dyn Team, batch: usize) -> [Vec<f32>; 3] {
    let program = Program::compile(network, flavor);
    let mut workspace = program.workspace(batch);
    let dims = network.shapes()[0].elements();
    workspace.assign(0, Array2::from_shape_fn((batch, dims), |(b, i)| noise(b * dims + i)).view());
    let theta = Init::He.draw(network, 3);
    let sigma = network.initial_sigma();
    let ids: Vec<u32> = (0..batch as u32).collect();
    let labels: Vec<u32> = ids.iter().map(|id| id % 4).collect();
    let context = Context { phase: Phase::Train, team, ..Context::eval(&ids, &sigma) };
    let mut grad = vec![f32::NAN; theta.len()];
    program.loss_and_grad(&context, &theta, &mut workspace, &labels, &mut grad);
    let output = workspace.value(network.outputs()[0].value).iter().copied().collect();
    [output, grad, workspace.moments().to_vec()]
}

fn networks() -> impl Iterator<Item = (&'static str, Network)> {
    NETWORKS.iter().map(|(name, [c, h, w])| {
        (*name, Network::build(zoo::by_name(name, &Shape::image(*c, *h, *w), 4).unwrap()).unwrap())
    })
}

#[test]
fn every_team_computes_the_same_bits() {
    let teams: [(&str, &dyn Team); 4] =
        [("1 thread", &Threads(1)), ("2 threads", &Threads(2)), ("3 threads", &Threads(3)), ("backwards", &Backwards)];
    for ((name, network), batch) in networks().flat_map(|case| BATCHES.map(|batch| (case.clone(), batch))) {
        let bits =
            |team| passes(&network, Flavor::Fused, team, batch).map(|v| v.into_iter().map(f32::to_bits).collect());
        let alone: [Vec<u32>; 3] = bits(&Alone);
        for (who, team) in teams {
            for ((what, a), b) in ["outputs", "gradient", "moments"].iter().zip(&bits(team)).zip(&alone) {
                assert!(a == b, "{name}, batch {batch}, {who}: other bits in the {what}");
            }
        }
    }
}

/// The process is held to one instruction set for good, so each has a process of its own: this test again.
#[test]
fn every_instruction_set_is_near_the_layers() {
    if let Ok(name) = std::env::var(CHILD) {
        Isa::named(&name).expect("the parent has it").hold_to();
        assert_eq!(Isa::detect().name(), name);
        return near_the_layers(&name);
    }
    for isa in Isa::all() {
        let mut child = Command::new(std::env::current_exe().unwrap());
        child
            .args(["--exact", "teams::every_instruction_set_is_near_the_layers", "--nocapture"])
            .env(CHILD, isa.name());
        let output = child.output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        print!("{said}");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && said.contains("1 passed"), "{}:\n{said}\n{errors}", isa.name());
    }
}

fn near_the_layers(isa: &str) {
    for ((name, network), batch) in networks().flat_map(|case| BATCHES.map(|batch| (case.clone(), batch))) {
        let fused = passes(&network, Flavor::Fused, &Threads(2), batch);
        let naive = passes(&network, Flavor::Naive, &Alone, batch);
        for ((what, a), b) in ["outputs", "gradient", "moments"].iter().zip(&fused).zip(&naive) {
            assert_eq!(a.len(), b.len());
            let norm = |values: &mut dyn Iterator<Item = f64>| values.map(|v| v * v).sum::<f64>().sqrt();
            let off = norm(&mut a.iter().zip(b).map(|(a, b)| f64::from(*a) - f64::from(*b)));
            let size = norm(&mut b.iter().map(|b| f64::from(*b)));
            println!("{isa} {name} batch {batch} {what}: {off:.1e} of {size:.1e}");
            assert!(off <= 1e-5 * size, "{isa} {name} batch {batch} {what}: {off:e} of {size:e}");
        }
    }
}
