//! Laws against their theory, and what is refused.

use super::*;

const DRAWS: usize = 100_000;

/// The u of the i-th draw: a generator of its own (SplitMix64), because machines import no random streams.
fn uniform(i: u64) -> f64 {
    let mut z = i.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (((z ^ (z >> 31)) >> 12) as f64 + 0.5) / (1u64 << 52) as f64
}

fn no_file(_: &str) -> io::Result<String> {
    Err(io::ErrorKind::NotFound.into())
}

fn law(text: &str) -> Law {
    Law::parse(text, &no_file).unwrap()
}

fn draw(task: u64, uniform: f64) -> Draw {
    Draw { task, uniform }
}

fn sample(text: &str) -> Vec<f64> {
    let law = law(text);
    (0..DRAWS as u64).map(|i| law.extra(Seconds(5.0), draw(i, uniform(i))).0).collect()
}

/// Mean and variance within 4 standard errors of theory; the fourth central moments are those of the laws.
#[test]
fn means_and_variances_are_those_of_the_laws() {
    let pareto = |x: f64, a: f64| {
        let raw = |k: f64| a * x.powf(k) / (a - k);
        let (m1, m2, m3, m4) = (raw(1.0), raw(2.0), raw(3.0), raw(4.0));
        (m1, m2 - m1 * m1, m4 - 4.0 * m1 * m3 + 6.0 * m1 * m1 * m2 - 3.0 * m1.powi(4))
    };
    let exp = |m: f64| (m, m * m, 9.0 * m.powi(4));
    for (text, (mean, variance, fourth)) in [
        ("exp:1.0", exp(1.0)),
        ("exp:0.25", exp(0.25)),
        ("shifted-exp:2,0.5", (2.5, exp(0.5).1, exp(0.5).2)),
        ("pareto:0.5,6", pareto(0.5, 6.0)),
    ] {
        let (sample, n) = (sample(text), DRAWS as f64);
        let found = sample.iter().sum::<f64>() / n;
        let spread = sample.iter().map(|x| (x - found).powi(2)).sum::<f64>() / (n - 1.0);
        let errors = [(variance / n).sqrt(), ((fourth - variance * variance) / n).sqrt()];
        assert!((found - mean).abs() < 4.0 * errors[0], "{text}: mean {found}, should be {mean}");
        assert!((spread - variance).abs() < 4.0 * errors[1], "{text}: variance {spread}, should be {variance}");
    }
}

/// Kolmogorov and Smirnov: sup |F_n - F| √n is above 1.95 once in a thousand samples.
#[test]
fn distributions_are_those_of_the_laws() {
    type Cdf = fn(f64) -> f64;
    let laws: [(&str, Cdf); 4] = [
        ("exp:2", |x| 1.0 - (-x / 2.0).exp()),
        ("shifted-exp:1,3", |x| 1.0 - (-(x - 1.0) / 3.0).exp()),
        ("pareto:0.1,1.2", |x| 1.0 - (0.1 / x).powf(1.2)),
        ("pareto:3,0.5", |x| 1.0 - (3.0 / x).sqrt()),
    ];
    for (text, cdf) in laws {
        let mut sample = sample(text);
        sample.sort_by(f64::total_cmp);
        let n = DRAWS as f64;
        let distance = |(i, x): (usize, &f64)| (cdf(*x) - i as f64 / n).max((i as f64 + 1.0) / n - cdf(*x));
        let furthest = sample.iter().enumerate().map(distance).fold(0.0, f64::max);
        assert!(furthest * n.sqrt() < 1.95, "{text}: {furthest}");
    }
}

#[test]
fn the_ends_of_the_interval_give_finite_times() {
    let ends = [0.5 / (1u64 << 52) as f64, 1.0 - 0.5 / (1u64 << 52) as f64];
    for text in ["const:1", "exp:1e9", "shifted-exp:0,1e-9", "pareto:1e9,0.1", "x1e9"] {
        for u in ends {
            let time = law(text).extra(Seconds(1.0), draw(0, u)).0;
            assert!(time.is_finite() && time >= 0.0, "{text} at {u}: {time}");
        }
    }
}

#[test]
fn every_rank_has_its_law() {
    let read = |path: &str| match path {
        "a=b.csv" => Ok("rank,delay_s\n0,0.5\n\n1,2\n0,0\n".to_owned()),
        _ => no_file(path),
    };
    let delay = Delay::parse_with("1,4-6=x10; 2 = const:1.5;3=trace:a=b.csv;*=exp:0.5", &read).unwrap();
    let at = |rank, task, u| delay.extra(rank, Seconds(2.0), draw(task, u)).0;
    for (rank, time) in [(1, 18.0), (4, 18.0), (5, 18.0), (6, 18.0), (2, 1.5), (3, 0.5)] {
        assert_eq!(at(rank, 0, 0.3), time, "rank {rank}");
    }
    assert_eq!([1, 2, 3, 4].map(|task| at(3, task, 0.9)), [2.0, 0.0, 0.5, 2.0], "a trace begins again");
    assert!((at(0, 0, 0.5) - 0.5 * 2f64.ln()).abs() < 1e-15 && at(0, 9, 0.5) == at(7, 0, 0.5));
    delay.check_ranks(7).unwrap();
    let message = delay.check_ranks(6).unwrap_err().to_string();
    assert!(message.contains("there is no rank 6 among 6; name ranks from 0 to 5, or start 7 ranks"), "{message}");
    // Without a default the others are as they are, and without ranks the law is everybody's.
    let (one, all) = (Delay::parse("2=const:1").unwrap(), Delay::parse("const:1").unwrap());
    let all_ranks = |delay: &Delay| [0, 2].map(|rank| delay.extra(rank, Seconds(2.0), draw(0, 0.5)).0);
    assert_eq!((all_ranks(&one), all_ranks(&all)), ([0.0, 1.0], [1.0, 1.0]));
}

#[test]
fn wrong_laws_are_refused_with_a_cure() {
    let read = |path: &str| match path {
        "empty.csv" => Ok("delay_s\n".to_owned()),
        "headless.csv" => Ok("1\n2\n".to_owned()),
        "bad.csv" => Ok("a,delay_s\n1,2\n1\n".to_owned()),
        "nan.csv" => Ok("delay_s\n1\nnan\n".to_owned()),
        _ => no_file(path),
    };
    for (text, why) in [
        ("", "there is no law"),
        ("exp:1;", "there is no law"),
        ("ex:1", "there is no law ex; did you mean exp?"),
        ("paretto:1,2", "did you mean pareto?"),
        ("gamma:1", "known: const, exp"),
        ("const", "write const:S"),
        ("exp:", "write exp:MEAN"),
        ("exp:1,2", "write exp:MEAN"),
        ("shifted-exp:1", "write shifted-exp:SHIFT,MEAN"),
        ("const:-1", "-1 s cannot be; give 0 s or more in const:S"),
        ("const:inf", "cannot be"),
        ("exp:0", "0 s cannot be; give seconds above 0 in exp:MEAN"),
        ("exp:-0.5", "cannot be"),
        ("exp:nan", "NaN s cannot be"),
        ("shifted-exp:-1,1", "cannot be"),
        ("shifted-exp:1,0", "cannot be"),
        ("pareto:0,2", "0 s cannot be"),
        ("pareto:1,0", "the shape 0 cannot be; give a shape from 0.1"),
        ("pareto:1,-2", "the shape -2 cannot be"),
        ("pareto:1,nan", "the shape NaN cannot be"),
        ("x0.5", "0.5 times as long cannot be; give a factor from 1"),
        ("xnan", "cannot be"),
        ("trace:", "cannot read"),
        ("trace:none.csv", "cannot read none.csv: entity not found; name a CSV file with a column delay_s"),
        ("trace:empty.csv", "empty.csv:1: the trace is empty"),
        ("trace:headless.csv", "headless.csv:1: there is no column delay_s"),
        ("trace:bad.csv", "bad.csv:3: delay_s =  cannot be"),
        ("trace:nan.csv", "nan.csv:3: delay_s = nan cannot be; write 0 or more seconds"),
        ("two=exp:1", "two are no ranks; write ranks as in 2, 1,4-6 or *"),
        ("=exp:1", "are no ranks"),
        ("3-1=exp:1", "are no ranks"),
        ("0-99999999=exp:1", "are no ranks"),
        ("2=exp:1;1-3=exp:2", "rank 2 has a law already; give every rank one law"),
        ("exp:1;*=exp:2", "all other ranks have a law already"),
        ("2=4=exp:1", "there is no law 4=exp"),
    ] {
        let message = Delay::parse_with(text, &read).unwrap_err().to_string();
        assert!(message.contains(why) && message.lines().count() == 1, "{text:?}: {message}");
    }
}
