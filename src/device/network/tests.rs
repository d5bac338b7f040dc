//! Profiles by name, files that a measurement wrote, and what is wrong with others.

use super::*;

fn measured() -> Network {
    let point = |ranks, bytes, us: f64| Point { ranks, bytes: Bytes(bytes), seconds: Seconds(us * 1e-6) };
    Network {
        name: "here".to_owned(),
        wire: Wire { alpha: Seconds(2e-6), beta: 1e-9, gamma: 0.5e-9 },
        source: "measured".to_owned(),
        all_reduce: vec![point(2, 1000, 10.0), point(2, 3000, 30.0), point(4, 1000, 99.0)],
        serve: vec![point(2, 1000, 8.0)],
    }
}

fn text(network: &Network) -> String {
    serde_json::to_string_pretty(&serde_json::json!({ "ranks": 2, "tables": [], "network": network })).unwrap()
}

#[test]
fn a_measured_network_is_read_as_it_was_written() {
    let network = measured();
    assert_eq!(Network::parse("net.json", &text(&network)), Ok(network));
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("net.json");
    std::fs::write(&file, text(&measured())).unwrap();
    assert_eq!(Network::load(file.to_str().unwrap()), Ok(measured()));
}

#[test]
fn named_networks_are_complete_and_ordered_by_speed() {
    let sends: Vec<f64> = ["1gbe", "10GbE", "25gbe", "hdr100", "hdr200"]
        .map(|name| Network::load(name).unwrap().wire.send(Bytes(1 << 20)).0)
        .into();
    assert!(sends.is_sorted_by(|slower, faster| slower > faster), "{sends:?}");
    for name in Network::names() {
        let network = Network::named(name).unwrap();
        assert!(!network.source.is_empty() && network.impossible().is_none() && !network.is_measured(2), "{network:?}");
    }
    let gigabit = Network::named("1gbe").unwrap().wire.send(Bytes(117_600_000));
    assert!((gigabit.0 - 1.00005).abs() < 1e-9, "{gigabit}");
}

#[test]
fn measurements_come_before_formulas_where_they_are() {
    let network = measured();
    let us = |ranks, bytes| network.all_reduce(ranks, Bytes(bytes)).0 * 1e6;
    let near = |a: f64, b: f64| assert!((a - b).abs() < 1e-9, "{a} is not {b}");
    near(us(2, 1000), 10.0);
    near(us(2, 1500), 15.0);
    near(us(4, 1000), 99.0);
    // Two ranks, recursive doubling, 500 B: 2 + 0.5 + 0.25 µs against 2 + 1 + 0.5 of 1000 B; Rabenseifner is 4 and more.
    near(us(2, 500), 10.0 * 2.75 / 3.5);
    near(us(3, 500), network.wire.fastest_all_reduce(3, Bytes(500)).1.0 * 1e6);
    near(network.serve(1, Bytes(1000)).0 * 1e6, 8.0);
    near(network.serve(2, Bytes(1000)).0 * 1e6, 2.0 * (4.0 + 2.0 + 0.5));
    assert!(network.is_measured(4) && !network.is_measured(3));
}

#[test]
fn what_is_no_network_is_told_in_one_line() {
    let text = text(&measured());
    for (from, to, expected) in [
        (r#""network""#, r#""net""#, ["net.json:", "missing field `network`"]),
        (r#""alpha_s": 2e-6"#, r#""alpha_s": -1"#, ["net.json:", "alpha_s = -1 cannot be; give 0 or more"]),
        (r#""alpha_s": 2e-6"#, r#""alpha_s": "fast""#, ["net.json:", "invalid type"]),
        ("{", "x{", ["net.json:1: ", "write it anew with `goai-rs bench comm --json`"]),
    ] {
        let broken = text.replace("0.000002", "2e-6").replacen(from, to, 1);
        assert_ne!(broken, text.replace("0.000002", "2e-6"), "{from}: {text}");
        let told = Network::parse("net.json", &broken).unwrap_err().to_string();
        assert!(expected.iter().all(|part| told.contains(part)) && !told.contains('\n'), "{told}");
    }
    for (name, cure) in
        [("10gb", "did you mean 10gbe?"), ("token-ring", "known: shm, 1gbe"), ("gone.json", "known: shm")]
    {
        let told = Network::load(name).unwrap_err().to_string();
        assert!(told.contains(cure) && told.contains("goai-rs bench comm --json") && !told.contains('\n'), "{told}");
    }
}
