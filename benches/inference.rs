//! Milliseconds of one picture through a network that is ready, on one thread:
//! `cargo bench --bench inference -- NAME|FILE.toml... [steps] [seconds=S]`.
//!
//! Times are the thread's processor time, because other programs run beside it; alone on a core that is the time that
//! passes. With `steps`, each step's time (the least of all passes) and GFLOP/s beside what this core can do at most. The
//! last line of each network is for scripts: name, median and least milliseconds of a pass.
#![allow(unsafe_code)] // reading the thread's clock

use goai::nn::kernels::Isa;
use goai::nn::kernels::peak::Peak;
use goai::nn::{Alone, Inference, Init, Network, Shape, model_text, zoo};
use ndarray::Array2;
use std::hint::black_box;
use std::time::Instant;

/// Seconds of processor time of this thread.
fn clock() -> f64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: it writes to the place it is given.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    let steps = words.iter().any(|word| word == "steps");
    let seconds = words.iter().find_map(|word| word.strip_prefix("seconds=")?.parse().ok()).unwrap_or(3.0);
    for name in words.iter().filter(|word| *word != "steps" && !word.starts_with("seconds=")) {
        measure(name, steps, seconds);
    }
}

fn network(name: &str) -> Network {
    let input = zoo::default_input(name).unwrap_or(Shape::image(3, 224, 224));
    let spec = match name.ends_with(".toml") {
        true => {
            let text = std::fs::read_to_string(name).expect("a model file");
            model_text::parse(&text, &input, 1000).expect("a model")
        }
        false => zoo::by_name(name, &input, 1000).expect("a network of the zoo"),
    };
    Network::build(spec).expect("it fits together")
}

fn measure(name: &str, steps: bool, seconds: f64) {
    let network = network(name);
    let theta = Init::He.draw(&network, 1);
    let ready = Inference::new(&network, &theta, &network.initial_sigma());
    drop(theta);
    let mut answers = ready.answers(1);
    let elements = network.shapes()[0].elements();
    let x = Array2::from_shape_fn((1, elements), |(_, i)| ((i * 104_729) % 1009) as f32 / 504.5 - 1.0);
    let mut least = vec![f64::INFINITY; ready.steps().len()];
    let mut times = Vec::new();
    let begin = Instant::now();
    while begin.elapsed().as_secs_f64() < seconds || times.len() < 4 {
        let start = clock();
        answers.assign(0, x.view());
        if steps {
            ready.profile(&mut answers, &Alone, &mut |step, work| {
                let start = clock();
                work();
                least[step] = least[step].min(clock() - start);
            });
        } else {
            ready.run(&mut answers, &Alone);
        }
        times.push((clock() - start) * 1e3);
    }
    if steps {
        print_steps(&ready, &least);
    }
    // The first pass finds no page of the memory there.
    times.remove(0);
    times.sort_by(f64::total_cmp);
    println!("{name} {:.3} {:.3}", times[times.len() / 2], times[0]);
}

fn print_steps(ready: &Inference, least: &[f64]) {
    let isa = Isa::detect();
    let peak = Peak::new(100_000);
    let rate = || {
        let start = clock();
        black_box(peak.spin(isa));
        peak.flops(isa) / (clock() - start) / 1e9
    };
    let best = (0..50).map(|_| rate()).fold(0.0, f64::max);
    println!("{best:.0} GFLOP/s at most");
    for (step, seconds) in ready.steps().iter().zip(least) {
        let rate = step.cost.forward.0 as f64 / seconds / 1e9;
        println!("{:>10.1} us {rate:>7.1} GFLOP/s  {}", seconds * 1e6, step.name);
    }
}
