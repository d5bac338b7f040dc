//! Device files: the shipped ones, what is read out of one, and every fault with its line.

use super::*;
use crate::device::{Pass, Work};
use crate::units::Flops;

/// A file with everything in it, one key a line.
const GOOD: &str = r#"devices = ["pi", "nano:5W", "nano:MAXN"]
[profile.pi]
flops_per_s = 1e9
flops_source = "assumed"
memory_mib = 2
memory_source = "data sheet"
[profile.pi.watts]
compute = 6
idle = 2
send = 3
receive = 2.5
source = "assumed"
[profile.nano]
flops_per_s = 10_000
backward_flops_per_s = 20_000
flops_source = "assumed"
memory_mib = 4096
memory_source = "data sheet"
[profile.nano.watts]
mode = "MAXN"
compute = 7
idle = 1
send = 2
receive = 2
source = "assumed"
[profile.nano.mode.5W]
speed = 0.5
compute = 4
idle = 1
send = 1.5
receive = 1.5
source = "assumed"
[profile.nano.measured.vgg5]
batch = 100
forward = [1, 3.0, 2.5]
backward = [2, 1, 4]
source = "measured"
[link]
mbit_per_s = 8
latency_ms = 0
source = "assumed"
[[links]]
from = 0
to = 2
mbit_per_s = "inf"
latency_ms = 2
source = "assumed"
[[links]]
from = 2
to = 0
trace = "wifi.csv"
latency_ms = 2
source = "assumed"
[[switch]]
rank = 1
at_s = 10
mode = "MAXN"
[[switch]]
rank = 2
at_s = 0
mode = "5W"
[[switch]]
rank = 1
at_s = 40.5
mode = "5W"
"#;

fn parse(text: &str) -> Result<Devices, DeviceError> {
    Devices::parse("lab/toy.toml", text, &|trace| match trace {
        "wifi.csv" => Ok("time_s,mbit_per_s\n0,8\n1,16\n".to_owned()),
        "short.csv" => Ok("time_s,mbit_per_s\n0,8\n".to_owned()),
        "empty.csv" => Ok("time_s,mbit_per_s\n".to_owned()),
        "back.csv" => Ok("time_s,mbit_per_s\n1,8\n0,8\n".to_owned()),
        _ => Err(io::ErrorKind::NotFound.into()),
    })
}

#[test]
fn a_file_says_who_is_who() {
    let devices = parse(GOOD).unwrap();
    let names: Vec<&str> = devices.profiles().iter().map(|profile| profile.name.as_str()).collect();
    assert_eq!(names, ["pi", "nano:5W", "nano:MAXN"]);
    let [pi, slow, fast] = devices.profiles() else { panic!("three devices") };
    assert_eq!((pi.memory, pi.power.receive, pi.backward_flops_per_s), (Bytes(2 << 20), Watts(2.5), 1e9));
    assert_eq!((slow.power.compute, fast.power.compute), (Watts(4.0), Watts(7.0)));
    let work = Work { flops: Flops(60_000), blocks: 0..3, rows: 50, pass: Pass::Forward };
    assert_eq!((slow.price("vgg5", &work), fast.price("vgg5", &work)), (Seconds(2.5), Seconds(1.25)));
    let work = Work { pass: Pass::Backward, ..work };
    assert_eq!((slow.price("mlp", &work), fast.price("mlp", &work)), (Seconds(6.0), Seconds(3.0)));
    let source = |name: &str, text: &str| (name.to_owned(), text.to_owned());
    let expected =
        [("flops", "assumed"), ("memory", "data sheet"), ("measured.vgg5", "measured"), ("watts", "assumed")];
    assert_eq!(slow.sources, expected.map(|(name, text)| source(name, text)));
}

#[test]
fn a_file_says_what_lies_between() {
    let devices = parse(GOOD).unwrap();
    assert_eq!(devices.link(1, 0), &Link::new(1e6, Seconds(0.0)));
    assert_eq!(devices.link(0, 2), &Link::new(f64::INFINITY, Seconds(0.002)));
    let traced = &devices.link(2, 0).bandwidth;
    assert_eq!(traced.transmission_from(Seconds(0.0), Bytes(3_000_000)), Seconds(2.0));
    let alone = GOOD.split("[profile.nano]").next().unwrap().replace(", \"nano:5W\", \"nano:MAXN\"", "");
    assert_eq!(parse(&alone).unwrap().profiles().len(), 1, "one device needs no link");
}

#[test]
fn a_file_says_when_power_modes_switch() {
    let devices = parse(GOOD).unwrap();
    let switches = |rank: usize| -> Vec<(f64, &str, f64)> {
        devices.profile(rank).switches.iter().map(|switch| (switch.at.0, switch.mode.as_str(), switch.speed)).collect()
    };
    assert_eq!(switches(0), []);
    assert_eq!(switches(1), [(10.0, "MAXN", 1.0), (40.5, "5W", 0.5)]);
    assert_eq!(switches(2), [(0.0, "5W", 0.5)]);
    assert_eq!(devices.profile(1).switches[0].power.compute, Watts(7.0));
    let names = [0.0, 10.0, 40.5].map(|time| devices.profile(1).at(Seconds(time)).name);
    assert_eq!(names, ["nano:5W", "nano:MAXN", "nano:5W"]);
    // 60000 FLOP at 10000 FLOP/s take 12 s at half speed; from 4 s on, 6 s of those and 3 s at whole speed.
    let work = Work { flops: Flops(60_000), blocks: 0..3, rows: 50, pass: Pass::Forward };
    let prices = [0.0, 4.0, 20.0].map(|start| devices.profile(1).price_from("mlp", &work, Seconds(start)).0);
    assert_eq!(prices, [11.0, 9.0, 6.0]);
}

#[test]
fn a_file_says_how_many_transmitters_a_device_has() {
    for (line, ports) in [("", Ports::One), ("ports = \"one\"", Ports::One), ("ports = \"each\"", Ports::Each)] {
        let text = GOOD.replacen("flops_source", &format!("{line}\nflops_source"), 1);
        let devices = parse(&text).unwrap();
        assert_eq!((devices.profile(0).ports, devices.profile(1).ports), (ports, Ports::One), "{line}");
    }
}

#[test]
fn a_trace_repeats_where_the_file_says_so() {
    let devices = parse(&GOOD.replace("\"wifi.csv\"", "\"wifi.csv\"\nrepeat = true")).unwrap();
    assert_eq!(devices.link(2, 0).bandwidth.rate_at(Seconds(5.5)), 1e6, "8 Mbit/s again after a second");
    assert_eq!((devices.traces_end(), parse(GOOD).unwrap().traces_end()), (None, Some(Seconds(1.0))));
    let constant = parse(&GOOD.replace("\"wifi.csv\"", "\"wifi.csv\"\nrepeat = false"));
    assert_eq!(constant.unwrap(), parse(GOOD).unwrap());
}

/// Each fault is made by replacing a piece of the good file.
#[test]
fn every_fault_is_told_with_its_line_and_a_cure() {
    let line = |piece: &str| GOOD.lines().position(|line| line.starts_with(piece)).unwrap() + 1;
    let pi = line("[profile.pi]");
    let watts = line("[profile.pi.watts]");
    for (good, bad, at, says) in [
        ("devices = [", "devices = [nano, ", 1, "not TOML"),
        ("[\"pi\"", "[\"po\"", 1, "unknown profile po; did you mean pi?"),
        ("\"pi\",", "\"workstation\",", 1, "unknown profile workstation; known: nano, pi"),
        ("nano:5W\"", "nano:6W\"", 1, "unknown power mode 6W of nano; did you mean 5W?"),
        ("nano:5W\"", "nano:turbo\"", 1, "unknown power mode turbo of nano; known: 5W, MAXN"),
        ("\"pi\",", "\"pi:5W\",", 1, "unknown power mode 5W of pi; there is none"),
        ("[\"pi\", \"nano:5W\", \"nano:MAXN\"]", "[]", 1, "devices is empty"),
        ("[\"pi\", \"nano:5W\", \"nano:MAXN\"]", "\"pi\"", 1, "no list of names"),
        ("[\"pi\",", "[3,", 1, "no list of names"),
        ("devices =", "device =", 1, "unknown key device; did you mean devices?"),
        (
            "flops_per_s = 1e9",
            "flop_per_s = 1e9",
            pi + 1,
            "unknown key profile.pi.flop_per_s; did you mean flops_per_s?",
        ),
        ("[profile.pi]", "[profile.\"p\\ni\"]", pi, "profile.p\\ni.watts is missing"),
        ("flops_per_s = 1e9", "colour = 3", pi + 1, "unknown key profile.pi.colour; known: flops_per_s,"),
        ("flops_per_s = 1e9\n", "", pi, "profile.pi.flops_per_s is missing; give a number above 0"),
        ("flops_per_s = 1e9", "flops_per_s = 0", pi + 1, "profile.pi.flops_per_s = 0 cannot be; give a number above 0"),
        ("flops_per_s = 1e9", "flops_per_s = -1", pi + 1, "= -1 cannot be"),
        ("flops_per_s = 1e9", "flops_per_s = nan", pi + 1, "= NaN cannot be"),
        ("flops_per_s = 1e9", "flops_per_s = \"inf\"", pi + 1, "= inf cannot be"),
        ("flops_per_s = 1e9", "flops_per_s = \"1e9\"", pi + 1, "is no number"),
        ("flops_source = \"assumed\"\n", "", pi, "profile.pi.flops_source is missing; write flops_source = \"…\": who"),
        ("flops_source = \"assumed\"", "flops_source = \"\"", pi + 2, "profile.pi.flops_source is no text"),
        ("memory_mib = 2\n", "memory_mib = 0\n", pi + 3, "memory_mib = 0 cannot be"),
        ("memory_mib = 2\n", "", pi, "memory_mib is missing"),
        ("compute = 6", "compute = 0", watts + 1, "profile.pi.watts.compute = 0 cannot be; give a number above 0"),
        ("idle = 2", "idle = -2", watts + 2, "profile.pi.watts.idle = -2 cannot be; give 0 or more"),
        ("idle = 2\n", "", watts, "profile.pi.watts.idle is missing"),
        ("receive = 2.5", "recieve = 2.5", watts + 4, "did you mean receive?"),
        ("[profile.pi.watts]", "[profile.pi.watt]", watts, "unknown key profile.pi.watt; did you mean watts?"),
        ("speed = 0.5", "speed = 0", line("speed"), "profile.nano.mode.5W.speed = 0 cannot be"),
        ("mode.5W]", "mode.MAXN]", line("[profile.nano.mode.5W]"), "give each mode once"),
        ("batch = 100", "batch = 0", line("batch"), "batch = 0 cannot be; give a whole number from 1"),
        ("batch = 100", "batch = 1.5", line("batch"), "batch = 1.5 cannot be"),
        ("[1, 3.0, 2.5]", "[1, 3.0, 0]", line("forward"), "ends with 0: a device that takes no time"),
        ("[1, 3.0, 2.5]", "[1, -3.0, 2.5]", line("forward"), "forward = -3 cannot be"),
        ("[1, 3.0, 2.5]", "[]", line("forward"), "forward is empty"),
        ("[1, 3.0, 2.5]", "3", line("forward"), "forward is no list"),
        ("[2, 1, 4]", "[2, 4]", line("backward = "), "3 cuts forward and 2 backward; give as many of both"),
        ("source = \"measured\"\n", "", line("[profile.nano.measured"), "measured.vgg5.source is missing"),
        (
            "mbit_per_s = 8",
            "mbit_per_s = 0",
            line("[link]") + 1,
            "link.mbit_per_s = 0 cannot be; give a number above 0",
        ),
        ("mbit_per_s = 8\n", "", line("[link]"), "exactly one of them must be there"),
        ("mbit_per_s = 8", "mbit_per_s = 8\ntrace = \"wifi.csv\"", line("[link]"), "exactly one of them"),
        ("latency_ms = 0", "latency_ms = -1", line("latency_ms"), "link.latency_ms = -1 cannot be; give 0 or more"),
        ("latency_ms = 0\n", "", line("[link]"), "link.latency_ms is missing"),
        ("[link]", "[lnk]", line("[link]"), "unknown key lnk; did you mean link?"),
        ("to = 2", "to = 3", line("to = 2"), "there is no rank 3 among 3 devices"),
        ("to = 2", "to = 0", line("to = 2"), "links from 0 to 0 is one too many"),
        ("from = 2\nto = 0", "from = 0\nto = 2", line("to = 0"), "links from 0 to 2 is one too many"),
        ("to = 2", "to = 2.5", line("to = 2"), "links.to = 2.5 cannot be"),
        ("wifi.csv", "wify.csv", line("trace"), "cannot read wify.csv"),
        (
            "mbit_per_s = 8",
            "mbit_per_s = 0",
            line("[link]") + 1,
            "at 0 a message takes for ever, and an outage is a trace",
        ),
        (
            "mbit_per_s = 8",
            "mbit_per_s = 8\nrepeat = true",
            line("[link]") + 2,
            "nothing to repeat; remove it, or give trace",
        ),
        ("\"wifi.csv\"", "\"wifi.csv\"\nrepeat = 1", line("trace") + 1, "links.repeat is neither true nor false"),
        (
            "memory_mib = 2\n",
            "memory_mib = 2\nports = \"all\"\n",
            pi + 4,
            "profile.pi.ports = all cannot be; write \"one\"",
        ),
        ("[[switch]]", "[[swich]]", line("[[switch]]"), "unknown key swich; did you mean switch?"),
        ("rank = 1", "rank = 3", line("rank"), "there is no rank 3 among 3 devices"),
        ("rank = 1", "rank = -1", line("rank"), "switch.rank = -1 cannot be; give a rank, from 0"),
        ("rank = 1\n", "", line("[[switch]]"), "switch.rank is missing"),
        ("rank = 1", "rank = 0", line("rank") + 2, "unknown power mode MAXN of pi; there is none"),
        (
            "mode = \"MAXN\"\n[[switch]]",
            "mode = \"MAX\"\n[[switch]]",
            line("rank") + 2,
            "unknown power mode MAX of nano; did you",
        ),
        (
            "at_s = 10\nmode = \"MAXN\"",
            "at_s = 10",
            line("[[switch]]"),
            "switch.mode is missing; write the name of a power",
        ),
        ("at_s = 10", "at_s = -10", line("at_s"), "switch.at_s = -10 cannot be; give 0 or more"),
        ("at_s = 10\n", "", line("[[switch]]"), "switch.at_s is missing"),
        (
            "at_s = 10",
            "at_s = 10\nsource = \"x\"",
            line("at_s") + 1,
            "unknown key switch.source; known: rank, at_s, mode",
        ),
        (
            "at_s = 40.5",
            "at_s = 10",
            line("at_s = 40.5"),
            "rank 1 switches at 10 s after 10 s: the switches run backwards; sort each rank's by time",
        ),
    ] {
        assert!(GOOD.contains(good), "{good}");
        let error = parse(&GOOD.replacen(good, bad, 1)).unwrap_err().to_string();
        let place = format!("lab/toy.toml:{at}: ");
        assert!(error.starts_with(&place) && error.contains(says) && !error.contains('\n'), "{bad}: {place}{error}");
    }
    for (trace, says) in [
        ("empty.csv", "lab/empty.csv:1: the trace is empty; add at least one line, as in 0,20"),
        (
            "short.csv\"\nrepeat = true\n#",
            "lab/short.csv:2: a trace of one line has no end at which it repeats; add a line: at its \
            time the trace begins again",
        ),
        ("back.csv", "lab/back.csv:3: 0 s comes after 1 s: the trace runs backwards; sort it by time"),
    ] {
        assert_eq!(parse(&GOOD.replace("wifi.csv", trace)).unwrap_err().to_string(), says);
    }
    assert!(parse("").unwrap_err().to_string().starts_with("lab/toy.toml:1: profile is missing"));
    let without = GOOD.split("[link]").next().unwrap();
    assert!(parse(without).unwrap_err().to_string().contains("link is missing"));
}

/// The ranks of the testbed of ARES.
const TESTBED: [&str; 6] = ["edge_server", "raspberry_pi", "jetson_nano", "jetson_nano", "jetson_nano", "jetson_nano"];

/// The ranks of mobile edge computing.
const MEC: [&str; 6] = ["raspberry_pi", "edge_small", "edge_medium", "edge_large", "edge_gpu", "cloud_gpu"];

/// Servers of every tier have a price, faster ones a higher; where conditions change the ranks are the same.
#[test]
fn the_ranks_of_mobile_edge_computing_have_tiers_and_prices() {
    let still = Devices::load("mec").unwrap();
    let tiers: Vec<Option<Tier>> = still.profiles().iter().map(|profile| profile.tier).collect();
    let expected = [Tier::Device, Tier::Edge, Tier::Edge, Tier::Edge, Tier::Edge, Tier::Cloud];
    assert_eq!(tiers, expected.map(Some));
    let figures = still.profiles().iter().map(|profile| (profile.flops_per_s, profile.price_per_s));
    assert!(figures.is_sorted_by(|slow, fast| slow.0 < fast.0 && slow.1 < fast.1));
    assert!(still.link(0, 4).bandwidth.rate_at(Seconds(0.0)) < still.link(4, 0).bandwidth.rate_at(Seconds(0.0)));
    assert!(still.link(0, 5).latency > still.link(0, 1).latency && still.link(1, 5).latency > still.link(1, 2).latency);
    let changing = Devices::load("mec_changing").unwrap();
    let boards = changing.profiles().iter().map(|profile| Profile { switches: Vec::new(), ..profile.clone() });
    assert!(boards.eq(still.profiles().iter().cloned()), "other ranks");
    assert_eq!((changing.traces_end(), changing.news_until()), (None, Some(Seconds(120.0))));
    assert_eq!(changing.profile(3).at(Seconds(30.0)).name, "edge_large:saving");
    // Past one access point after the other.
    let nearest = |at: f64| {
        let rate = |server: &usize| changing.link(0, *server).bandwidth.rate_at(Seconds(at));
        (1..5).max_by(|a, b| rate(a).total_cmp(&rate(b))).unwrap()
    };
    assert_eq!([15.0, 45.0, 75.0, 105.0, 135.0].map(nearest), [1, 2, 3, 4, 1]);
}

#[test]
fn shipped_files_are_read_by_their_name() {
    for (name, ranks, memory) in [
        ("greenai.toml", ["j4", "p8", "p4", "p2", "j2"].as_slice(), 2048),
        ("greenai", &["j4", "p8", "p4", "p2", "j2"], 2048),
        ("ares_pair", &["raspberry_pi", "edge_server"], 32768),
        ("ares", &TESTBED, 4096),
        ("ares_wifi", &TESTBED, 4096),
        ("ares_modes", &TESTBED, 4096),
        ("ares_outage.toml", &TESTBED, 4096),
        ("mec", &MEC, 65_536),
        ("mec_changing", &MEC, 65_536),
        ("edge_cloud", &["raspberry_pi", "edge_server", "cloud_server"], 262_144),
    ] {
        let devices = Devices::load(name).unwrap();
        let names: Vec<&str> = devices.profiles().iter().map(|profile| profile.name.as_str()).collect();
        assert_eq!(names, ranks);
        assert_eq!(devices.profiles().last().unwrap().memory, Bytes(memory << 20));
        // Nothing draws less while it sends or receives than while it waits: then serial phases cost what they draw.
        let all = devices.profiles().iter().map(|profile| profile.power);
        assert!(
            all.into_iter().all(|power| power.idle.0 > 0.0 && power.idle <= power.send && power.idle <= power.receive)
        );
    }
    let error = Devices::load("greenia").unwrap_err().to_string();
    assert!(error.starts_with("greenia: cannot read") && error.contains("ares.toml, ares_modes.toml, "));
    assert!(!error.contains('\n'));
}

/// The testbeds whose conditions change are the boards of ares.toml, under other conditions; all of them can go on for ever.
#[test]
fn testbeds_that_change_have_the_same_boards() {
    let still = Devices::load("ares").unwrap();
    assert_eq!((still.profile(0).ports, still.profile(1).ports), (Ports::Each, Ports::One));
    assert_eq!(still.link(1, 0), &Link::new(20e6 / 8.0, Seconds(0.002)));
    for name in ["ares_wifi", "ares_modes", "ares_outage"] {
        let devices = Devices::load(name).unwrap();
        let boards = devices.profiles().iter().map(|profile| Profile { switches: Vec::new(), ..profile.clone() });
        assert!(boards.eq(still.profiles().iter().cloned()), "{name}: other boards");
        let pairs = (1..6).flat_map(|rank| [(rank, 0), (0, rank)]);
        let traced = pairs.filter(|(from, to)| devices.link(*from, *to) != still.link(*from, *to)).count();
        let switches: usize = devices.profiles().iter().map(|profile| profile.switches.len()).sum();
        assert_eq!(
            (traced, switches),
            if name == "ares_wifi" {
                (10, 0)
            } else if name == "ares_modes" {
                (0, 12)
            } else {
                (2, 0)
            }
        );
        assert_eq!(devices.traces_end(), None, "{name}: a trace does not repeat");
    }
}

/// The whole of vgg5 for a batch of 100 is the table's last entry; the cut tables are not monotone.
#[test]
fn shipped_boards_take_the_times_that_were_measured() {
    let pair = SHIPPED.iter().find(|(name, _)| *name == "ares_pair.toml").unwrap().1;
    let nano = pair.replace("\"raspberry_pi\"", "\"jetson_nano:MAXN\"");
    let nano = Devices::parse("ares_pair.toml", &nano, &|_| unreachable!()).unwrap();
    let pi = Devices::load("ares_pair").unwrap();
    let work = |blocks, pass| Work { flops: Flops(1), blocks, rows: 100, pass };
    for (devices, forward, backward) in
        [(&pi, 1.8515172004699707, 2.091542959213257), (&nano, 0.12375044822693, 0.0812466430664062)]
    {
        let profile = devices.profile(0);
        assert_eq!(profile.measured["vgg5"].blocks(), 7);
        assert_eq!(profile.price("vgg5", &work(0..7, Pass::Forward)), Seconds(forward));
        assert_eq!(profile.price("vgg5", &work(0..7, Pass::Backward)), Seconds(backward));
    }
    assert_eq!(pi.profile(0).price("vgg5", &work(3..4, Pass::Backward)), Seconds(0.0), "falls at the fourth cut");
    assert_eq!(nano.profile(0).power.compute, Watts(7.253));
}

#[test]
fn traces_lie_beside_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lab.toml");
    std::fs::write(&path, GOOD).unwrap();
    let name = path.to_str().unwrap();
    assert!(Devices::load(name).unwrap_err().to_string().contains("cannot read wifi.csv"));
    std::fs::write(folder.path().join("wifi.csv"), "time_s,mbit_per_s\n0,8\n").unwrap();
    assert_eq!(Devices::load(name).unwrap().name(), name);
}
