//! The program. Everything is in the library; `goai::cli` is where it begins.

fn main() {
    std::process::exit(goai::cli::main())
}
