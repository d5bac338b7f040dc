//! The command line: what was typed, what it starts, how it ends.
//!
//! One file a command. Under a launcher every command but training, `doctor` and `bench comm` acts on rank 0 only.

pub mod args;
mod args_offload;
mod args_tools;
pub mod bench;
mod chosen;
mod crossval;
pub mod data;
mod decoding;
mod doctor;
mod ears;
mod emulate;
pub mod eval;
pub mod failure;
mod heads;
mod host;
mod keeper;
mod leaving;
mod live;
mod load;
mod local;
pub mod model;
mod observer;
mod offload;
mod output;
mod photos;
mod plan;
pub mod predict;
mod prepare;
mod printed;
mod ranks;
pub mod report;
mod resume;
mod save;
pub mod show;
mod split;
mod stages;
pub mod state;
mod sync;
mod task;
mod train;
mod usage;
mod vigil;

#[cfg(test)]
mod args_tests;
#[cfg(test)]
mod model_tests;

use crate::comm::launcher::Launcher;
use crate::nn::kernels::Isa;
use args::{BenchSub, Command};
use failure::Failure;
use std::io::Write;

/// Runs the program and returns its exit code.
pub fn main() -> i32 {
    let launcher = Launcher::detect();
    if let Err(failure) = hold_to_instruction_set() {
        return ranks::tell_alone(&launcher, failure);
    }
    let command = match args::parse(std::env::args_os().collect()) {
        Ok(Command::Train(args)) => return train::train(Ok(*args), &launcher),
        Ok(Command::Doctor(args)) => return doctor::doctor(&args, &launcher),
        Ok(Command::Bench(BenchSub::Comm(args))) => return bench::comm::comm(&args, &launcher),
        Ok(Command::Plan(args)) if plan::is_of_job(&args, &launcher) => return plan::plan_of_job(&args, &launcher),
        Ok(command) => command,
        // On several ranks the mistake is agreed on and told once, by way of MPI.
        Err(error) if launcher.size.unwrap_or(1) > 1 => return train::train(Err(error.into()), &launcher),
        Err(error) => return report(&error.into()),
    };
    if launcher.rank.unwrap_or(0) > 0 {
        return 0;
    }
    match alone(command, &launcher, &mut std::io::stdout().lock()) {
        Ok(()) => 0,
        Err(failure) => report(&failure),
    }
}

/// Tests say with GOAI_TEST_ISA which kernels they want; what this processor lacks is an error, not another test.
fn hold_to_instruction_set() -> Result<(), Failure> {
    let Some(word) = std::env::var_os("GOAI_TEST_ISA").filter(|word| !word.is_empty()) else { return Ok(()) };
    let word = word.to_string_lossy().into_owned();
    let name = if word == "avx2" { "avx2+fma" } else { &word };
    match Isa::named(name) {
        Some(isa) => isa.hold_to(),
        None => {
            let here: Vec<&str> = Isa::all().map(Isa::name).collect();
            let text = format!("GOAI_TEST_ISA={word}: this processor has {}; name one of them", here.join(", "));
            return Err(Failure::new(2, text));
        }
    }
    Ok(())
}

/// The commands that need no other ranks.
fn alone(command: Command, launcher: &Launcher, out: &mut dyn Write) -> Result<(), Failure> {
    let notes = &mut std::io::stderr();
    match command {
        Command::Eval(args) => eval::eval(&args, out),
        Command::Predict(args) => predict::predict(&args, out),
        Command::ConfigShow(args) => show::show(&args, out, notes),
        Command::ConfigKeys => show::keys(out),
        Command::State { run } => state::state(&run, out),
        Command::Report(args) => report::report(&args, out, notes),
        Command::Plan(args) => plan::plan(&args, launcher, out),
        Command::Bench(what) => bench::bench(&what, out),
        Command::Data(what) => data::data(&what, out),
        Command::Print(text) => printed::printed(out.write_all(text.as_bytes()).and_then(|()| out.flush())),
        // These two have ranks of their own: `main` has started them.
        Command::Train(_) | Command::Doctor(_) => Ok(()),
    }
}

/// Prints a failure as one line and returns its exit code.
fn report(failure: &Failure) -> i32 {
    failure.tell();
    i32::from(failure.code)
}
