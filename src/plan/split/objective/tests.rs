//! Objectives by hand, and what is said when nothing is within the limits.

use super::*;

fn point(time: f64, energy: f64) -> Point {
    Point { time: Seconds(time), energy: Joules(energy) }
}

fn objective(alpha: f64, deadline: Option<f64>, budget: Option<f64>) -> Objective {
    Objective { alpha, deadline: deadline.map(Seconds), budget: budget.map(Joules) }
}

#[test]
fn choices_by_hand() {
    // ‖T‖ = √(1 + 9 + 16) = 5.10, ‖E‖ = √(100 + 9 + 1) = 10.49
    let all = [Some(point(1.0, 10.0)), None, Some(point(3.0, 3.0)), Some(point(4.0, 1.0)), Some(Point::ENDLESS)];
    for (alpha, deadline, budget, expected) in [
        (1.0, None, None, 0),
        (0.0, None, None, 3),
        (0.5, None, None, 3),      // 1.150, 0.874, 0.880: see below
        (0.5, Some(3.5), None, 2), // the least energy
        (0.0, None, Some(5.0), 2), // the least time
        (1.0, None, Some(5.0), 2),
        (0.0, Some(3.5), Some(20.0), 2), // the least J: by energy
        (1.0, Some(3.5), Some(20.0), 0),
        (1.0, Some(3.0), Some(3.0), 2), // limits may be reached
    ] {
        let norms = Norms::over(all.iter().copied().flatten());
        assert!((norms.time - 26f64.sqrt()).abs() < 1e-12 && (norms.energy - 110f64.sqrt()).abs() < 1e-12);
        let values: Vec<_> = all.iter().flatten().map(|p| objective(alpha, None, None).value(*p, &norms)).collect();
        let chosen = objective(alpha, deadline, budget).choose(&all).unwrap();
        if (alpha, deadline, budget) == (0.5, None, None) {
            let least = values.iter().flatten().copied().fold(f64::INFINITY, f64::min);
            assert_eq!(objective(alpha, None, None).value(all[chosen].unwrap(), &norms), Some(least));
        } else {
            assert_eq!(chosen, expected, "{alpha} {deadline:?} {budget:?}");
        }
    }
}

#[test]
fn of_equals_the_frugal_one_then_the_first() {
    let choose = |alpha, points: &[Point]| {
        let points: Vec<_> = points.iter().copied().map(Some).collect();
        objective(alpha, None, None).choose(&points)
    };
    assert_eq!(choose(1.0, &[point(2.0, 5.0), point(2.0, 4.0), point(2.0, 4.0)]), Ok(1));
    assert_eq!(choose(0.0, &[point(2.0, 5.0), point(1.0, 5.0)]), Ok(0), "time has no weight");
    assert_eq!(choose(0.5, &[point(0.0, 0.0), point(0.0, 0.0)]), Ok(0), "norms of 0 divide nothing");
    let deadline = objective(0.5, Some(9.0), None);
    assert_eq!(deadline.choose(&[Some(point(2.0, 5.0)), Some(point(1.0, 5.0))]), Ok(1));
}

#[test]
fn what_is_missing_and_by_how_much() {
    let all = [Some(point(1.0, 10.0)), Some(point(4.0, 1.0)), Some(Point::ENDLESS)];
    for (limits, points, expected) in [
        (
            (Some(0.5), None),
            &all[..],
            "no cut meets the deadline of 0.5000 s: the fastest takes 1.000 s, 0.5000 s too long",
        ),
        ((None, Some(0.25)), &all[..], "the budget of 0.2500 J: the most frugal takes 1.000 J, 0.7500 J too many"),
        ((Some(0.5), Some(0.25)), &all[..], "no cut meets the deadline"),
        (
            (Some(2.0), Some(2.0)),
            &all[..],
            "within 2.000 s the most frugal takes 10.00 J, 8.000 J above the budget of 2.000 J",
        ),
        ((Some(2.0), Some(2.0)), &all[..], "or at least 4.000 s"),
        ((None, None), &all[2..], "takes for ever: a link carries 0 Mbit/s"),
        ((None, None), &[None], "there is no cut to choose from"),
        ((None, None), &[], "there is no cut to choose from"),
    ] {
        let message = objective(0.5, limits.0, limits.1).choose(points).unwrap_err().to_string();
        let expected = expected.replace("the budget of 0.2500", "the energy budget of 0.2500");
        assert!(message.contains(&expected) && !message.contains('\n'), "{message}");
    }
    let memory = Infeasible::Memory { name: "nano".into(), needs: Bytes(3 << 20), has: Bytes(1 << 19) };
    assert_eq!(
        memory.to_string(),
        "no cut fits the memory of nano: the smallest needs 3.00 MiB, 2.50 MiB more than its 512.00 KiB; use a smaller \
         batch or model, or leave this device out"
    );
}
