//! Mistakes with the commands that look at a run.

use super::{Case, case};
use crate::run::{Launch, Run};

#[rustfmt::skip]
pub(super) fn cases() -> Vec<Case> {
    let typed = |args: &str, code, parts: &[&str]| case(&format!("typed: {args}"), Run::new(args), code, parts).on(Launch::Plain);
    let broken = |name: &str, file: &str, bytes: &[u8], args: &str, parts: &[&str]| {
        case(name, Run::new(args).file(file, bytes), 4, parts).on(Launch::Plain)
    };
    vec![
        typed("state none", 4, &["none/run.json", "check the path"]),
        typed("state none", 4, &["none/run.json", "check the path"]).on(Launch::Mpi(3)),
        typed("eval none", 4, &["none", "check the path"]),
        typed("eval none", 4, &["none", "check the path"]).on(Launch::Mpi(3)),
        typed("eval", 2, &["RUN", "missing"]),
        typed("eval", 2, &["RUN", "missing"]).on(Launch::Mpi(3)),
        typed("predict none", 2, &["FILE", "missing"]),
        typed("predict none a.csv --format jsnol", 2, &["--format", "did you mean jsonl?"]),
        typed("predict none a.csv", 4, &["none", "check the path"]),
        typed("report none", 4, &["no run can be compared"]).tells(2),
        typed("config", 2, &["config show", "config keys"]),
        typed("config shwo", 2, &["shwo", "config show"]),
        typed("--lr 0.1 doctor", 2, &["--lr", "before a command"]),
        typed("bench comm", 2, &["one rank has nobody to talk to", "mpirun -n 2 ./goai-rs bench comm", "--ranks 2"]),
        typed("bench comm --ranks 1", 2, &["one rank has nobody to talk to"]),
        typed("bench comm --ranks 2", 2, &["--ranks", "mpirun", "2 processes", "leave one"]).on(Launch::Mpi(2)),
        typed("bench comm --max 16X", 2, &["--max: 16X", "as in 65536, 64k or 16M"]),
        broken("a torn run.json", "r/run.json", b"{\"state\": \"comp", "state r", &["r/run.json:1:", "not a whole run.json"]),
        broken("a run without a model", "r/run.json", b"{\"state\": \"comp", "eval r", &["r/model.safetensors", "check the path"]),
        broken("a model that is none", "m.safetensors", b"PK\x03\x04 zip", "eval m.safetensors", &["m.safetensors"]),
        broken("a model with a header of 2^63 bytes", "m.safetensors", &[0, 0, 0, 0, 0, 0, 0, 0x80, b'{'], "eval m.safetensors", &["m.safetensors"]),
        broken("an empty model", "m.safetensors", b"", "predict m.safetensors m.safetensors", &["m.safetensors"]),
    ]
}
