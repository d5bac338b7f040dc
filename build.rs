//! Records which MPI library the program is compiled for, and rebuilds when the compiler wrapper changes.

use std::process::Command;

fn main() {
    println!("cargo:rerun-if-env-changed=MPICC");
    println!("cargo:rerun-if-env-changed=MPI_HOME");
    println!("cargo:rerun-if-changed=build.rs");
    if std::env::var_os("CARGO_FEATURE_MPI").is_none() {
        return;
    }
    let mpicc = std::env::var("MPICC").unwrap_or_else(|_| "mpicc".into());
    let ask = |argument: &str| {
        let output = Command::new(&mpicc).arg(argument).output().ok()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.lines().find(|line| line.contains("MPI")).map(str::to_string)
    };
    // Open MPI: "mpicc: Open MPI 4.1.4 (Language: C)"; MPICH: "mpicc for MPICH version 4.3.2".
    let answer = ask("--showme:version").or_else(|| ask("-v")).unwrap_or_default();
    let words: Vec<&str> = answer.split([' ', ':']).filter(|word| !word.is_empty()).collect();
    let version = words.iter().find(|word| word.starts_with(|c: char| c.is_ascii_digit()));
    let family = ["Open MPI", "MPICH", "Intel", "MVAPICH"].into_iter().find(|family| answer.contains(family));
    let name = format!("{} {}", family.unwrap_or("an MPI library"), version.unwrap_or(&"of unknown version"));
    println!("cargo:rustc-env=BUILT_FOR_MPI={name}");
}
