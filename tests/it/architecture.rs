//! The house stands as it was drawn: who may import whom, where unsafe code may be, how long a file may get.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The storeys, from the bottom: each module with what it may import. Storey 5 also stands on everything below it.
const STOREYS: &[(&str, &[&str])] = &[
    // 0 words
    ("units", &[]),
    ("rng", &[]),
    ("layout", &[]),
    ("event", &[]),
    // 1 mathematics and data
    ("nn", &["units", "rng", "layout"]),
    ("optim", &["rng", "nn"]),
    ("data", &["units", "rng", "layout"]),
    // 2 messages and machines
    ("device", &["units"]),
    ("comm", &["units", "nn::Span", "nn::kernels", "device"]),
    // 3 plans
    ("plan", &["units", "rng", "device"]),
    // 4 strategies
    ("strategy", &["units", "rng", "layout", "event", "nn", "optim", "data", "device", "comm", "plan"]),
    // 5 the outside
    ("config", BELOW),
    ("run", BELOW),
    ("report", &["units", "rng", "event", "nn", "optim", "data", "device", "comm", "plan", "strategy", "run"]),
    (
        "cli",
        &[
            "units", "rng", "event", "nn", "optim", "data", "device", "comm", "plan", "strategy", "config", "run",
            "report",
        ],
    ),
    ("fuzz", &["data", "comm", "config", "run", "cli"]),
];

const BELOW: &[&str] = &["units", "rng", "event", "nn", "optim", "data", "device", "comm", "plan", "strategy"];

/// What only the tests of a module may import besides.
const IN_TESTS: &[(&str, &[&str])] = &[("comm", &["rng"])];

/// Where unsafe code may be: files, and folders with a slash at the end.
const UNSAFE: &[&str] = &[
    "src/comm/mpi.rs",
    "src/comm/mpi/node.rs",
    "src/comm/mpi/probe.rs",
    "src/comm/mpi/ulfm.rs",
    "src/nn/kernels/",
    "src/data/pictures/map.rs",
    "src/run/signals.rs",
    "tests/allocations.rs",
];

/// Words that a storey may not use, because it knows no rank, no file, no clock.
const PURE: &[&str] = &["nn", "optim", "rng", "event", "plan"];

/// The longest file.
const LINES: usize = 500;

struct Source {
    /// Relative to the package, with `/`.
    path: String,
    text: String,
}

impl Source {
    /// The top-level module: `nn` of `src/nn/layers/dense.rs`.
    fn module(&self) -> &str {
        self.path.trim_start_matches("src/").split(['/', '.']).next().unwrap()
    }

    /// Path segments of the file's own module: 1 for `src/nn/mod.rs` and `src/rng.rs`.
    fn depth(&self) -> usize {
        self.path.trim_start_matches("src/").trim_end_matches("/mod.rs").split('/').count()
    }

    /// The program and its tests, both without comments.
    fn halves(&self) -> (String, String) {
        let code: Vec<&str> = self.text.lines().map(|line| line.split("//").next().unwrap()).collect();
        let is_test_file = self.path.ends_with("tests.rs") || self.path.ends_with("gradient_check.rs");
        let tests = code.windows(2).position(|pair| pair[0] == "#[cfg(test)]" && pair[1].starts_with("mod tests {"));
        let (program, tests) = code.split_at(if is_test_file { 0 } else { tests.unwrap_or(code.len()) });
        (program.join("\n"), tests.join("\n"))
    }
}

fn sources(folder: &str) -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut folders = vec![root.join(folder)];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path: PathBuf = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                let path = path.strip_prefix(root).unwrap().to_str().unwrap().replace('\\', "/");
                found.push(Source { path, text });
            }
        }
    }
    assert!(!found.is_empty());
    found
}

/// Every path that begins with `crate::`, groups taken apart: `crate::{a::b, c}` gives `a::b` and `c`.
fn imports(code: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (at, prefix) in code.match_indices("crate::") {
        if code[..at].ends_with(|c: char| c == '_' || c.is_alphanumeric()) {
            continue;
        }
        expand("", &code[at + prefix.len()..], &mut found);
    }
    found
}

/// Reads one path, or a group of them, from the beginning of `text`; gives what is left behind it.
fn expand<'a>(prefix: &str, text: &'a str, found: &mut Vec<String>) -> &'a str {
    let mut text = text.trim_start();
    if let Some(mut group) = text.strip_prefix('{') {
        loop {
            group = group.trim_start().trim_start_matches(',').trim_start();
            match group.strip_prefix('}') {
                Some(rest) => return rest,
                None if group.is_empty() => return group,
                None => group = expand(prefix, group, found),
            }
        }
    }
    let end = text.find(|c: char| c != '_' && c != '*' && !c.is_alphanumeric()).unwrap_or(text.len());
    let path = if prefix.is_empty() { text[..end].to_string() } else { format!("{prefix}::{}", &text[..end]) };
    text = &text[end.max(usize::from(end == 0 && !text.is_empty()))..];
    match text.strip_prefix("::") {
        Some(rest)
            if rest.trim_start().starts_with('{') || rest.starts_with(|c: char| c.is_alphabetic() || c == '_') =>
        {
            expand(&path, rest, found)
        }
        _ => {
            found.push(path);
            text
        }
    }
}

#[test]
fn imports_are_read_as_rust_reads_them() {
    let code = "use crate::nn::{Span, kernels::{Isa, vector}};\nfn f(x: crate::rng::Purpose) -> $crate::units::Bytes;
        use crate::{data, optim::Step}; use other_crate::no; crate::abc::<T>()";
    let expected = [
        "nn::Span",
        "nn::kernels::Isa",
        "nn::kernels::vector",
        "rng::Purpose",
        "units::Bytes",
        "data",
        "optim::Step",
        "abc",
    ];
    assert_eq!(imports(code), expected);
}

#[test]
fn modules_import_downwards_only() {
    let table: BTreeMap<&str, &[&str]> = STOREYS.iter().copied().collect();
    let in_tests: BTreeMap<&str, &[&str]> = IN_TESTS.iter().copied().collect();
    let allowed = |import: &str, list: &[&str]| {
        list.iter()
            .any(|entry| import == *entry || import.strip_prefix(entry).is_some_and(|rest| rest.starts_with("::")))
    };
    let (mut faults, mut seen) = (Vec::new(), 0);
    for source in sources("src") {
        let module = source.module();
        if ["lib", "main"].contains(&module) {
            continue;
        }
        let Some(may) = table.get(module) else {
            faults.push(format!("{}: module {module} has no storey", source.path));
            continue;
        };
        let (program, tests) = source.halves();
        for (code, besides) in [(program, &[][..]), (tests, in_tests.get(module).copied().unwrap_or_default())] {
            let own = [module];
            let imports = imports(&code);
            seen += imports.len();
            let strangers = imports.into_iter().filter(|i| ![*may, &own, besides].iter().any(|l| allowed(i, l)));
            faults.extend(strangers.map(|import| format!("{}: imports crate::{import}", source.path)));
        }
    }
    assert!(faults.is_empty() && seen > 100, "{seen} imports, of them wrong: {faults:#?}");
}

#[test]
fn nobody_leaves_a_module_by_the_roof() {
    for source in sources("src") {
        let program = source.halves().0;
        let climb = (1..9).take_while(|n| program.contains(&"super::".repeat(*n))).count();
        assert!(climb < source.depth() || climb == 0, "{}: super leads to the crate's root", source.path);
    }
}

#[test]
fn the_library_lists_its_modules_from_the_bottom() {
    let library = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs")).unwrap();
    let modules: Vec<&str> =
        library.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';')).collect();
    let storey = |module: &str| STOREYS.iter().position(|(name, _)| *name == module);
    assert!(modules.iter().all(|module| storey(module).is_some()), "{modules:?}");
    for (name, may) in STOREYS {
        // No cycles: a module stands above all that it imports.
        for below in may.iter().map(|import| import.split("::").next().unwrap()) {
            assert!(storey(below) < storey(name), "{name} above {below}");
        }
    }
}

#[test]
fn only_the_backend_names_the_mpi_crate() {
    for source in sources("src") {
        let code = source.halves().0 + "\n" + &source.halves().1;
        let is_ours = code.contains("comm::mpi") || code.contains("super::mpi");
        let names_it = code.match_indices("mpi::").any(|(at, _)| {
            let before = &code[..at];
            !before.ends_with(|c: char| c == ':' || c == '_' || c.is_alphanumeric()) && !is_ours
        });
        let uses_it = names_it || code.contains("use mpi::") || code.contains("extern crate mpi");
        assert_eq!(uses_it, source.path == "src/comm/mpi.rs", "{}", source.path);
    }
}

#[test]
fn unsafe_code_is_where_it_may_be() {
    for source in sources("src").into_iter().chain(sources("tests")) {
        let code: Vec<&str> = source.text.lines().map(|line| line.split("//").next().unwrap()).collect();
        // Taken apart, so that this file does not find itself.
        let words = [concat!("un", "safe "), concat!("un", "safe("), concat!("allow(un", "safe_code)")];
        let found = code.iter().any(|line| words.iter().any(|word| line.contains(word)));
        assert!(!found || UNSAFE.iter().any(|place| source.path.starts_with(place)), "{}", source.path);
    }
}

#[test]
fn mathematics_and_plans_know_no_file_clock_or_thread() {
    for source in sources("src").into_iter().filter(|source| PURE.contains(&source.module())) {
        let program = source.halves().0;
        for word in ["std::fs", "std::time", "Instant", "std::thread", "std::env", "std::net", "println!", "rayon"] {
            assert!(!program.contains(word), "{} uses {word}", source.path);
        }
    }
}

#[test]
fn files_are_short_and_say_what_they_are() {
    for source in sources("src").into_iter().chain(sources("tests")) {
        let lines = source.text.lines().count();
        assert!(lines <= LINES, "{} has {lines} lines, more than {LINES}", source.path);
        assert!(source.text.starts_with("//!"), "{} does not say what it is", source.path);
    }
}

#[test]
fn every_layer_is_in_the_table() {
    let list = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/nn/layers/mod.rs")).unwrap();
    let table = list.split_once("\nlayers! {").expect("the table of layers").1;
    for source in sources("src/nn/layers") {
        let name = source.path.rsplit('/').next().unwrap().trim_end_matches(".rs");
        if name == "mod" {
            continue;
        }
        let structs: Vec<&str> = (source.text.lines())
            .filter_map(|line| line.strip_prefix("impl Layer for ")?.split_whitespace().next())
            .collect();
        assert_eq!(structs.len(), 1, "{}: one layer a file", source.path);
        assert!(list.contains(&format!("\nmod {name};\n")), "{name} is not declared");
        assert!(table.contains(&format!("    {},\n", structs[0])), "{} is missing in the table", structs[0]);
    }
}
