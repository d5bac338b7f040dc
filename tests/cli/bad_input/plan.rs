//! Mistakes with what is to be planned.

use super::{Case, case};
use crate::run::{Launch, Run};

#[rustfmt::skip]
pub(super) fn cases() -> Vec<Case> {
    let typed = |args: &str, code, parts: &[&str]| case(&format!("typed: {args}"), Run::new(args), code, parts).on(Launch::Plain);
    let network = |name: &str, text: &str, parts: &[&str]| {
        case(name, Run::new("plan --ranks 4 --network net.json").file("net.json", text), 4, parts).on(Launch::Plain)
    };
    vec![
        typed("plan --ranks 0", 2, &["--ranks: 0 is zero", "from 1 to 1024"]),
        typed("plan --ranks 1000001", 2, &["--ranks", "too large"]),
        typed("plan --ranks 4 --per-node 0", 2, &["--per-node: 0 is zero"]),
        typed("plan --network 10gb", 2, &["10gb", "did you mean 10gbe?"]),
        typed("plan --network 10gb", 2, &["10gb", "did you mean 10gbe?"]).on(Launch::Mpi(3)),
        typed("plan --network infinite", 2, &["infinite", "hdr100"]),
        network("a network file that is none", "{\"network\": 3}", &["net.json:1:", "bench comm --json"]),
        network("an empty network file", "", &["net.json:1:"]),
        typed("plan --ranks 4 --cuts 9 --learn backprop", 2, &["a cut behind block 9", "iris_mlp has 3 trunk blocks", "from 1 to 2"]),
        typed("plan --ranks 4 --stages 9", 2, &["9 stages", "iris_mlp has 3 trunk blocks"]),
        typed("plan --ranks 3 --devices greenai", 2, &["5 devices for 3 ranks"]),
        typed("plan --networks shm", 2, &["did you mean --network?"]),
        typed("plan --mode autom", 2, &["--mode", "did you mean auto?"]),
        typed("--ranks 2000", 2, &["--ranks", "too large", "from 1 to 1024"]),
        case("typed: --mode auto --stages 9", Run::new("--mode auto --stages 9"), 2, &["9 stages", "only 2 ranks"]).on(Launch::Threads(2)),
    ]
}
