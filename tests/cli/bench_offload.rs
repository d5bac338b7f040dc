//! `bench offload` through the binary.

use crate::run::{Launch, Run};
use serde_json::Value;

#[test]
fn policies_are_compared_and_drawn() {
    let line = "bench offload --devices mec --graphs vgg5 --policies local,heft,gcc --requests 5 --arrivals poisson:2 --out charts";
    let outcome = Run::new(line).launch(Launch::Plain).ok();
    for part in ["5 requests (poisson:2) from rank 0 on mec.toml", "\nlocal ", "\nheft ", "\ngcc ", "3 charts"] {
        assert!(outcome.stdout.contains(part), "no {part:?} in {}", outcome.stdout);
    }
    for policy in ["local", "heft", "gcc"] {
        let chart = outcome.text(&format!("charts/vgg5_{policy}.svg"));
        assert!(
            chart.starts_with("<svg ")
                && chart.trim_end().ends_with("</svg>")
                && chart.contains(">modelled, 5 requests<")
        );
    }
    let first = outcome.stdout.clone();
    let outcome = outcome.again("bench offload --graphs vgg5 --policies heft --json").launch(Launch::Plain).ok();
    let json: Value = serde_json::from_str(&outcome.stdout).expect("one JSON object");
    assert_eq!(json["graphs"][0]["policies"][0]["policy"], "heft");
    // Again: planning by counts, and not by time, gives the same figures.
    let again = outcome.again(line).launch(Launch::Plain).ok();
    assert_eq!(again.stdout, first);
}

#[test]
fn wishes_that_cannot_be_are_one_line() {
    for (args, code, part) in [
        ("--requests 0", 2, "--requests: requests = 0 is zero"),
        ("--graphs nothing", 2, "--graphs:"),
        ("--devices nowhere", 4, "nowhere: cannot read"),
        ("--policies best", 2, "--policies: no policy is named 'best'"),
    ] {
        let outcome = Run::new(&format!("bench offload {args}")).launch(Launch::Plain);
        assert_eq!(outcome.code, code, "{args}: {}", outcome.stderr);
        assert!(outcome.stderr.contains(part) && outcome.stderr.trim_end().lines().count() == 1, "{}", outcome.stderr);
    }
}
