//! Schedules against the oracle, their formulas and their bounds.

use super::*;
use crate::units::Seconds;
use proptest::prelude::*;
use serde_json::Value;

const ORACLE: &str = include_str!("../../../tests/oracles/pipeline.json");

fn number(row: &Value, key: &str) -> f64 {
    row[key].as_f64().unwrap_or_else(|| panic!("{key} in {row}"))
}

fn rows<'a>(of: &'a Value, key: &str) -> &'a Vec<Value> {
    of[key].as_array().filter(|rows| !rows.is_empty()).unwrap_or_else(|| panic!("{key} in the oracle"))
}

fn seconds(times: &[f64]) -> Vec<Seconds> {
    times.iter().copied().map(Seconds).collect()
}

fn makespan(kind: ScheduleKind, p: usize, m: u32, [f, b, w]: [f64; 3]) -> f64 {
    let durations = Durations::uniform(p, Seconds(f), Seconds(b), Seconds(w));
    Schedule::new(kind, p, m).simulate(&durations).unwrap().makespan.0
}

#[test]
fn every_row_of_the_oracle() {
    let oracle: Value = serde_json::from_str(ORACLE).unwrap();
    for row in rows(&oracle, "uniform") {
        let [p, m, f, b, time] = ["p", "m", "tf", "tb", "time"].map(|key| number(row, key));
        for kind in [ScheduleKind::Gpipe, ScheduleKind::OneForwardOneBackward] {
            let durations = Durations::uniform(p as usize, Seconds(f), Seconds(b / 2.0), Seconds(b / 2.0));
            let timeline = Schedule::new(kind, p as usize, m as u32).simulate(&durations).unwrap();
            assert_eq!(timeline.makespan.0, time, "{} {row}", kind.name());
            // The bubble share: (p−1)/(m+p−1) on every stage.
            assert!(timeline.bubble.iter().all(|share| (share - (p - 1.0) / (m + p - 1.0)).abs() < 1e-15), "{row}");
        }
    }
    let stored = &oracle["peak_micro_batches_stored"];
    assert_eq!((stored["gpipe"].as_str(), stored["1f1b"].as_str()), (Some("m"), Some("min(m, p - stage)")));
    for row in rows(&oracle, "forward_only") {
        let times: Vec<f64> = rows(row, "t").iter().map(|t| t.as_f64().unwrap()).collect();
        let durations = Durations {
            forward: seconds(&times),
            ..Durations::uniform(times.len(), Seconds(0.0), Seconds(0.0), Seconds(0.0))
        };
        let schedule = Schedule::forward_only(times.len(), number(row, "m") as u32);
        schedule.check().unwrap();
        assert_eq!(schedule.simulate(&durations).unwrap().makespan.0, number(row, "time"), "{row}");
    }
    for row in rows(&oracle["zb_h1"], "cases") {
        let [p, m, f, b, w, time] = ["p", "m", "F", "B", "W", "time"].map(|key| number(row, key));
        assert_eq!(makespan(ScheduleKind::ZeroBubbleH1, p as usize, m as u32, [f, b, w]), time, "{row}");
    }
}

#[test]
fn what_is_stored() {
    for (p, m) in (1..9).flat_map(|p| (1..20).map(move |m| (p, m))) {
        for stage in 0..p {
            let stored = |kind| Schedule::new(kind, p, m as u32).stored(stage);
            assert_eq!(stored(ScheduleKind::Gpipe), m);
            assert_eq!(stored(ScheduleKind::OneForwardOneBackward), m.min(p - stage), "stage {stage} of {p}, {m}");
            assert_eq!(stored(ScheduleKind::ZeroBubbleH1), m.min(p), "stage {stage} of {p}, {m}");
            assert_eq!(Schedule::forward_only(p, m as u32).stored(stage), 0);
        }
    }
}

/// With m ≥ p the formula holds; with fewer micro-batches ZB-H1 is not slower than 1F1B.
#[test]
fn zb_h1_takes_what_the_paper_says() {
    for (p, m) in (1..9u32).flat_map(|p| (1..25).map(move |m| (p, m))) {
        let time = makespan(ScheduleKind::ZeroBubbleH1, p as usize, m, [1.0; 3]);
        assert!(time <= makespan(ScheduleKind::OneForwardOneBackward, p as usize, m, [1.0; 3]), "p {p}, m {m}: {time}");
        assert!(m < p || time == f64::from(3 * m + p - 1), "p {p}, m {m}: {time}");
    }
    assert_eq!(makespan(ScheduleKind::ZeroBubbleH1, 4, 8, [1.0; 3]), 27.0);
}

#[test]
fn names_are_read_back() {
    for kind in ScheduleKind::ALL {
        assert_eq!(ScheduleKind::from_name(kind.name()), Some(*kind));
    }
    assert_eq!(ScheduleKind::ALL.iter().map(|kind| kind.name()).collect::<Vec<_>>(), ["gpipe", "1f1b", "zb-h1"]);
    assert_eq!(ScheduleKind::from_name("pipedream"), None);
}

#[test]
fn instructions_of_small_schedules() {
    let middle = Schedule::new(ScheduleKind::ZeroBubbleH1, 3, 3).stages.swap_remove(1);
    let words: Vec<String> =
        middle.iter().map(|i| format!("{i:?}").chars().filter(|c| !c.is_lowercase()).collect()).collect();
    let expected = "RA(0) F(0) SA(0) RA(1) F(1) SA(1) RG(0) BI(0) SG(0) RA(2) F(2) SA(2) \
                    RG(1) BI(1) SG(1) BP(0) RG(2) BI(2) SG(2) BP(1) BP(2)";
    assert_eq!(words.join(" "), expected);
    let alone = Schedule::new(ScheduleKind::OneForwardOneBackward, 1, 2).stages.swap_remove(0);
    assert_eq!(alone, [Forward(0), Backward(0), Forward(1), Backward(1)]);
}

/// Two stages forward only; stage 0 takes 1 s and its link 3 s and 0.5 s. Three micro-batches are sent at 1, 2, 3, depart
/// at 1, 4, 7, arrive at 4.5, 7.5, 10.5; stage 1 takes 2 s each: 6.5, 9.5, 12.5.
#[test]
fn a_slow_link_by_hand() {
    let link = Link { activations: Seconds(3.0), gradient: Seconds(100.0), latency: Seconds(0.5) };
    let durations = Durations {
        forward: seconds(&[1.0, 2.0]),
        send: Some(vec![link, Link::default()]),
        ..Durations::uniform(2, Seconds(0.0), Seconds(0.0), Seconds(0.0))
    };
    let timeline = Schedule::forward_only(2, 3).simulate(&durations).unwrap();
    assert_eq!((timeline.makespan, timeline.busy), (Seconds(12.5), seconds(&[3.0, 6.0])));
    assert_eq!(timeline.bubble, [1.0 - 3.0 / 12.5, 1.0 - 6.0 / 12.5]);
    let ends: Vec<f64> = timeline.spans[1].iter().map(|span| span.end.0).collect();
    assert_eq!(ends, [4.5, 6.5, 7.5, 9.5, 10.5, 12.5]);
    assert_eq!(timeline.spans[1][2], Span { start: Seconds(6.5), end: Seconds(7.5) });
}

/// Gradients and activations share the sender's link. The middle of three stages, one micro-batch: gradients of the last
/// stage take 2 s, its own 3 s.
#[test]
fn gradients_take_their_own_time() {
    let link = |gradient| Link { activations: Seconds(1.0), gradient: Seconds(gradient), latency: Seconds(0.0) };
    let durations = Durations {
        send: Some(vec![link(9.0), link(3.0), link(2.0)]),
        ..Durations::uniform(3, Seconds(1.0), Seconds(1.0), Seconds(1.0))
    };
    let time = |kind| Schedule::new(kind, 3, 1).simulate(&durations).unwrap().makespan.0;
    // F1 1 F1 1 F1, B2 2 B2 3 B2: 16; in halves the gradients leave a second earlier, twice.
    assert_eq!((time(ScheduleKind::Gpipe), time(ScheduleKind::ZeroBubbleH1)), (16.0, 14.0));
}

/// Durations of whole seconds, so that sums are exact.
fn durations(stages: usize) -> impl Strategy<Value = Durations> {
    let times = move |lowest: u8| prop::collection::vec((lowest..20).prop_map(|t| Seconds(f64::from(t))), stages);
    (times(1), times(1), times(1)).prop_map(|(forward, backward_input, backward_params)| Durations {
        forward,
        backward_input,
        backward_params,
        send: None,
    })
}

fn links(stages: usize) -> impl Strategy<Value = Vec<Link>> {
    let time = || (0..9u8).prop_map(|t| Seconds(f64::from(t)));
    let link = (time(), time(), time());
    let link = link.prop_map(|(activations, gradient, latency)| Link { activations, gradient, latency });
    prop::collection::vec(link, stages)
}

fn kinds() -> impl Strategy<Value = ScheduleKind> {
    prop::sample::select(ScheduleKind::ALL)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn every_schedule_is_complete_and_no_faster_than_it_can_be(
        (durations, links) in (1..8usize).prop_flat_map(|p| (durations(p), links(p))),
        m in 1..24u32,
        kind in kinds(),
    ) {
        let p = durations.forward.len();
        let schedule = Schedule::new(kind, p, m);
        schedule.check().unwrap();
        let timeline = schedule.simulate(&durations).unwrap();
        let time = timeline.makespan.0;
        let [f, b, w] = [&durations.forward, &durations.backward_input, &durations.backward_params];
        for s in 0..p {
            let before: f64 = (0..s).map(|i| f[i].0 + b[i].0).sum();
            let work = f64::from(m) * (f[s] + b[s] + w[s]).0;
            prop_assert_eq!(timeline.busy[s].0, work);
            // Its first micro-batch has to come, its last gradient has to go to the first stage; meanwhile it may compute
            // what was put off.
            let late = if kind == ScheduleKind::ZeroBubbleH1 { m.min(s as u32 + 1) } else { 0 };
            prop_assert!(time >= work + before - f64::from(late) * w[s].0);
            prop_assert!(time >= work + f[..s].iter().map(|t| t.0).sum::<f64>());
            prop_assert!((0.0..1.0).contains(&timeline.bubble[s]));
            prop_assert_eq!(timeline.bubble[s], 1.0 - work / time);
        }
        // One micro-batch there and back.
        let path: f64 = f.iter().chain(b).map(|t| t.0).sum::<f64>() + w[0].0;
        prop_assert!(time >= path, "{} below the critical path {}", time, path);
        // Spans follow each other.
        for spans in &timeline.spans {
            prop_assert!(spans.windows(2).all(|pair| pair[0].end == pair[1].start));
        }
        let slower = schedule.simulate(&Durations { send: Some(links), ..durations }).unwrap();
        prop_assert!(slower.makespan.0 >= time);
    }

    #[test]
    fn equal_stages_take_what_the_formulas_say(p in 1..10usize, m in 1..40u32, times in prop::array::uniform3(1..9u8)) {
        let [f, b, w] = times.map(f64::from);
        let (mb, bubbles) = (f64::from(m), p as f64 - 1.0);
        let plain = (mb + bubbles) * (f + b + w);
        prop_assert_eq!(makespan(ScheduleKind::Gpipe, p, m, [f, b, w]), plain);
        prop_assert_eq!(makespan(ScheduleKind::OneForwardOneBackward, p, m, [f, b, w]), plain);
        let zero_bubble = makespan(ScheduleKind::ZeroBubbleH1, p, m, [f, b, w]);
        prop_assert!(zero_bubble <= plain);
        if m as usize >= p {
            prop_assert_eq!(zero_bubble, mb * (f + b + w) + bubbles * (f + b - f.min(b).min(w)));
        }
    }

    #[test]
    fn forward_only_takes_what_the_formula_says(durations in (1..9usize).prop_flat_map(durations), m in 1..40u32) {
        let schedule = Schedule::forward_only(durations.forward.len(), m);
        schedule.check().unwrap();
        let times = durations.forward.iter().map(|t| t.0);
        let expected = times.clone().sum::<f64>() + f64::from(m - 1) * times.fold(0.0, f64::max);
        prop_assert_eq!(schedule.simulate(&durations).unwrap().makespan.0, expected);
    }

    /// Whatever two instructions are exchanged, either the check finds it or it can be simulated to its end.
    #[test]
    fn a_shuffled_schedule_is_refused_or_runs(
        p in 1..5usize,
        m in 1..6u32,
        kind in kinds(),
        at in any::<[prop::sample::Index; 3]>(),
    ) {
        let mut schedule = Schedule::new(kind, p, m);
        let list = &mut schedule.stages[at[0].index(p)];
        let (a, b) = (at[1].index(list.len()), at[2].index(list.len()));
        list.swap(a, b);
        let durations = Durations::uniform(p, Seconds(1.0), Seconds(1.0), Seconds(1.0));
        prop_assert_eq!(schedule.check().err(), schedule.simulate(&durations).err());
    }
}
