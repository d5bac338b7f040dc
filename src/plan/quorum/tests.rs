//! Schedules by hand, rule by rule.
//!
//! Actions are written so: `0<3@1` worker 0 gets chunk 3 at version 1 (`'2` attempt 2), `+0:3` its result is taken
//! (`~2` staleness 2), `-0:3 Stale` dropped, `close2@1` two contributions close version 1, `park0`, `over`, `nobody`.

use super::*;
use crate::units::Seconds;

pub(super) fn terms(rule: Rule, k: usize, chunks: usize) -> Terms {
    Terms { rule, k, chunks, fixed: false, max_contributors: None, straggler_factor: None }
}

fn word(action: Action) -> String {
    match action {
        Action::Assign { worker, chunk, version, attempt: 0 } => format!("{worker}<{chunk}@{version}"),
        Action::Assign { worker, chunk, version, attempt } => format!("{worker}<{chunk}@{version}'{attempt}"),
        Action::Take { worker, chunk, staleness: 0 } => format!("+{worker}:{chunk}"),
        Action::Take { worker, chunk, staleness } => format!("+{worker}:{chunk}~{staleness}"),
        Action::Drop { worker, chunk, why } => format!("-{worker}:{chunk} {why:?}"),
        Action::Close { version, contributions } => format!("close{contributions}@{version}"),
        Action::PassOver => "over".into(),
        Action::Park { worker } => format!("park{worker}"),
        Action::NobodyLeft => "nobody".into(),
    }
}

fn drain(quorum: &mut Quorum) -> String {
    let words: Vec<String> = std::iter::from_fn(|| quorum.next_action()).map(word).collect();
    words.join(" ")
}

/// A result of attempt 0.
fn result(worker: usize, chunk: usize, version: u64) -> Event {
    Event::Arrived { worker, chunk, version, attempt: 0 }
}

fn play(terms: Terms, workers: usize, begin: &str, script: &[(f64, Event, &str)]) -> Quorum {
    let mut quorum = Quorum::new(terms, workers).unwrap();
    quorum.begin_pass(&[], Seconds(0.0));
    assert_eq!(drain(&mut quorum), begin);
    for (at, &(now, event, expected)) in script.iter().enumerate() {
        quorum.on(event, Seconds(now));
        assert_eq!(drain(&mut quorum), expected, "line {at}: {event:?}");
    }
    quorum
}

#[test]
fn k_sync_takes_k_workers_and_cancels_the_rest() {
    let quorum = play(
        terms(Rule::KSync, 2, 4),
        3,
        "0<0@0 1<1@0 2<2@0",
        &[
            (1.0, result(2, 2, 0), "+2:2 park2"),
            (2.0, result(0, 0, 0), "+0:0 close2@0"),
            // Two chunks are left for three workers: the third copies the first.
            (2.0, Event::Applied, "0<1@1 1<3@1 2<1@1"),
            (3.0, result(1, 1, 0), "-1:1 Stale"),
            // Worker 0 has contributed; worker 2 is called off and copies what is left.
            (4.0, result(0, 1, 1), "+0:1 park0 2<3@1"),
            (5.0, result(2, 1, 1), "-2:1 Duplicate"),
            (6.0, result(2, 3, 1), "+2:3 close2@1"),
            (6.0, Event::Applied, "over"),
            (7.0, result(1, 3, 1), "-1:3 Stale"),
        ],
    );
    assert_eq!((quorum.version(), quorum.applied()), (2, &[true; 4][..]));
    assert_eq!([0, 1, 2, 3].map(|chunk| quorum.applied_in(chunk)), [Some(0), Some(1), Some(0), Some(1)]);
    assert_eq!(quorum.tally(1), Tally { stale: 2, cancelled: 2, ..Tally::default() });
    assert_eq!(quorum.tally(2), Tally { taken: 2, duplicate: 1, cancelled: 1, repeated: 2, ..Tally::default() });
}

#[test]
fn k_sync_closes_with_as_many_as_live() {
    play(
        terms(Rule::KSync, 3, 6),
        3,
        "0<0@0 1<1@0 2<2@0",
        &[
            (1.0, result(1, 1, 0), "+1:1 park1"),
            (2.0, Event::Lost { worker: 0 }, ""),
            (3.0, Event::Silent { worker: 2 }, "close1@0"),
            (3.0, Event::Applied, "1<0@1"),
            // Its step is over; it is live again and gets what is free.
            (4.0, result(2, 2, 0), "-2:2 Stale 2<2@1"),
            (5.0, Event::Left { worker: 1 }, ""),
            (6.0, Event::Lost { worker: 2 }, "nobody"),
            (7.0, result(1, 0, 1), "-1:0 Cancelled"),
            (8.0, Event::Joined { worker: 0 }, "0<0@1"),
            (9.0, result(0, 0, 1), "+0:0 close1@1"),
        ],
    );
}

#[test]
fn k_batch_lets_the_fast_contribute_again() {
    play(
        terms(Rule::KBatch, 3, 6),
        2,
        "0<0@0 1<1@0",
        &[
            (1.0, result(0, 0, 0), "+0:0 0<2@0"),
            (2.0, result(0, 2, 0), "+0:2 0<3@0"),
            (3.0, result(0, 3, 0), "+0:3 close3@0"),
            (3.0, Event::Applied, "0<1@1 1<4@1"),
            (4.0, result(1, 1, 0), "-1:1 Stale"),
            (4.0, Event::Lost { worker: 1 }, ""),
            (5.0, result(0, 1, 1), "+0:1 0<4@1"),
            (6.0, result(0, 4, 1), "+0:4 0<5@1"),
            (7.0, result(0, 5, 1), "+0:5 close3@1"),
            (7.0, Event::Applied, "over"),
        ],
    );
}

#[test]
fn k_async_keeps_the_slow_ones_work() {
    let quorum = play(
        terms(Rule::KAsync, 2, 5),
        3,
        "0<0@0 1<1@0 2<2@0",
        &[
            (1.0, result(0, 0, 0), "+0:0 park0"),
            (2.0, result(1, 1, 0), "+1:1 close2@0"),
            (2.0, Event::Applied, "0<3@1 1<4@1"),
            (3.0, result(2, 2, 0), "+2:2~1 park2"),
            (4.0, result(0, 3, 1), "+0:3 close2@1"),
            // The end of the pass is a barrier: one chunk is left.
            (4.0, Event::Applied, "park0"),
            (5.0, result(1, 4, 1), "+1:4~1 close1@2"),
            (5.0, Event::Applied, "over"),
        ],
    );
    assert_eq!((quorum.tally(2).staleness_sum, quorum.tally(2).staleness_max), (1, 1));
}

#[test]
fn k_batch_async_gives_the_newest_version_at_once() {
    play(
        terms(Rule::KBatchAsync, 1, 4),
        2,
        "0<0@0 1<1@0",
        &[
            (1.0, result(0, 0, 0), "+0:0 close1@0"),
            (1.0, Event::Applied, "0<2@1"),
            (2.0, result(0, 2, 1), "+0:2 close1@1"),
            (2.0, Event::Applied, "0<3@2"),
            (3.0, result(1, 1, 0), "+1:1~2 close1@2"),
            // A result between close and applied belongs to the next step, which it closes.
            (3.0, result(0, 3, 2), "+0:3~1"),
            (3.0, Event::Applied, "close1@3"),
            (3.0, Event::Applied, "over"),
        ],
    );
}

#[test]
fn a_silent_workers_result_is_taken_if_it_is_still_wanted() {
    play(
        terms(Rule::KBatchAsync, 2, 4),
        2,
        "0<0@0 1<1@0",
        &[
            (1.0, Event::Silent { worker: 0 }, ""),
            (2.0, result(1, 1, 0), "+1:1 1<0@0"),
            (3.0, result(0, 0, 0), "+0:0 close2@0"),
            (3.0, Event::Applied, "0<2@1 1<3@1"),
            (4.0, result(1, 0, 0), "-1:0 Duplicate"),
            (5.0, Event::Silent { worker: 0 }, ""),
            (6.0, Event::Back { worker: 0 }, "0<2@1"),
        ],
    );
}

#[test]
fn shards_are_given_out_again_when_they_are_late() {
    let late = Terms { straggler_factor: Some(1.5), ..terms(Rule::Shards, 3, 5) };
    let quorum = play(
        late,
        2,
        "0<0@0 1<1@0",
        &[
            (2.0, result(0, 0, 0), "+0:0 0<2@0"),
            (4.0, result(0, 2, 0), "+0:2 0<1@0"),
            (5.0, result(1, 1, 0), "+1:1 close3@0"),
            (5.0, result(0, 1, 0), "-0:1 Stale"),
            (5.0, Event::Applied, "0<3@1 1<4@1"),
            (7.0, result(0, 3, 1), "+0:3 park0"),
            (7.5, Event::Tick, ""),
            (8.0, Event::Tick, "0<4@1"),
            (9.0, result(0, 4, 1), "+0:4 close2@1"),
            (9.0, result(1, 4, 1), "-1:4 Stale"),
            (9.0, Event::Applied, "over"),
        ],
    );
    assert_eq!(quorum.tally(0).repeated, 2);
}

#[test]
fn the_deadline_is_when_a_tick_is_of_use() {
    let late = Terms { straggler_factor: Some(1.5), ..terms(Rule::Shards, 2, 2) };
    let mut quorum = play(late, 2, "0<0@0 1<1@0", &[]);
    assert_eq!(quorum.deadline(), None);
    quorum.on(result(0, 0, 0), Seconds(2.0));
    assert_eq!((drain(&mut quorum).as_str(), quorum.deadline()), ("+0:0 park0", Some(Seconds(3.0))));
    quorum.on(Event::Tick, Seconds(3.0));
    assert_eq!((drain(&mut quorum).as_str(), quorum.deadline()), ("0<1@0", None));
}

#[test]
fn a_contributor_that_vanishes_frees_its_place() {
    let capped = Terms { max_contributors: Some(1), ..terms(Rule::Shards, 2, 4) };
    play(
        capped,
        3,
        "0<0@0 park1 park2",
        &[
            (1.0, result(0, 0, 0), "+0:0 0<1@0"),
            (2.0, Event::Silent { worker: 0 }, "1<1@0"),
            (3.0, Event::Back { worker: 0 }, "park0"),
            (4.0, result(1, 1, 0), "+1:1 close2@0"),
            (4.0, Event::Applied, "0<2@1 park1"),
        ],
    );
}

#[test]
fn a_fixed_step_is_the_next_k_chunks_whatever_comes_when() {
    let fixed = Terms { fixed: true, ..terms(Rule::KSync, 2, 5) };
    play(
        fixed,
        3,
        "0<0@0 1<1@0 2<0@0",
        &[
            (1.0, result(2, 0, 0), "+2:0 0<1@0 2<1@0"),
            (2.0, result(0, 0, 0), "-0:0 Duplicate"),
            (3.0, Event::Lost { worker: 0 }, ""),
            (3.0, Event::Lost { worker: 1 }, ""),
            (4.0, result(2, 1, 0), "+2:1 close2@0"),
            (4.0, Event::Applied, "2<2@1"),
            (5.0, result(2, 2, 1), "+2:2 2<3@1"),
            (6.0, result(2, 3, 1), "+2:3 close2@1"),
            (6.0, Event::Applied, "2<4@2"),
            (7.0, result(2, 4, 2), "+2:4 close1@2"),
            (7.0, Event::Applied, "over"),
        ],
    );
}

#[test]
fn copies_are_spread_over_what_is_out() {
    let fixed = Terms { fixed: true, ..terms(Rule::KBatch, 2, 4) };
    play(fixed, 5, "0<0@0 1<1@0 2<0@0 3<1@0 4<0@0", &[]);
}

#[test]
fn a_pass_broken_off_leaves_nothing_to_the_next() {
    let mut quorum = play(terms(Rule::KBatchAsync, 2, 4), 2, "0<0@0 1<1@0", &[(1.0, Event::Silent { worker: 1 }, "")]);
    quorum.begin_pass(&[], Seconds(2.0));
    assert_eq!(drain(&mut quorum), "0<0@0'1");
    quorum.on(result(0, 0, 0), Seconds(3.0));
    assert_eq!(drain(&mut quorum), "-0:0 Cancelled");
    quorum.on(result(1, 1, 0), Seconds(3.0));
    assert_eq!(drain(&mut quorum), "-1:1 Cancelled 1<1@0'1");
}

#[test]
fn again_computes_the_same_chunks_at_the_same_version() {
    let second = |worker, chunk| Event::Arrived { worker, chunk, version: 0, attempt: 1 };
    play(
        terms(Rule::KSync, 2, 8),
        3,
        "0<0@0 1<1@0 2<2@0",
        &[
            (1.0, result(1, 1, 0), "+1:1 park1"),
            (2.0, result(2, 2, 0), "+2:2 close2@0"),
            (2.0, Event::Again, "0<1@0'1 1<2@0'1 2<1@0'1"),
            (3.0, result(0, 0, 0), "-0:0 Cancelled"),
            (4.0, second(2, 1), "+2:1 0<2@0'1 2<2@0'1"),
            (5.0, second(2, 2), "+2:2 close2@0"),
            (5.0, Event::Applied, "0<0@1 1<3@1 2<4@1"),
        ],
    );
}

#[test]
fn what_nobody_asked_for_is_dropped_and_changes_nothing() {
    let quorum = play(
        terms(Rule::KBatch, 2, 4),
        2,
        "0<0@0 1<1@0",
        &[
            (1.0, result(0, 1, 0), "-0:1 Unknown"),
            (1.0, result(0, 0, 1), "-0:0 Unknown"),
            (1.0, result(0, 99, 0), "-0:99 Unknown"),
            (1.0, result(9, 0, 0), "-9:0 Unknown"),
            (1.0, Event::Arrived { worker: 0, chunk: 0, version: 0, attempt: 1 }, "-0:0 Unknown"),
            (1.0, Event::Applied, ""),
            (1.0, Event::Again, ""),
            (1.0, Event::Lost { worker: 9 }, ""),
            (1.0, Event::Joined { worker: 9 }, ""),
            (1.0, Event::Back { worker: 0 }, ""),
        ],
    );
    assert_eq!((quorum.in_flight(), quorum.busy(0).unwrap().chunk, quorum.busy(9)), (2, 0, None));
}

#[test]
fn a_pass_goes_on_where_a_checkpoint_left_it() {
    let mut quorum = Quorum::new(terms(Rule::KSync, 2, 4), 2).unwrap().at_version(7);
    quorum.begin_pass(&[true, false, true, false], Seconds(0.0));
    assert_eq!(drain(&mut quorum), "0<1@7 1<3@7");
    quorum.begin_pass(&[true; 4], Seconds(0.0));
    assert_eq!(drain(&mut quorum), "over");
    quorum.begin_pass(&[], Seconds(0.0));
    assert_eq!(drain(&mut quorum), "0<0@7'1 1<1@7'1");
}
