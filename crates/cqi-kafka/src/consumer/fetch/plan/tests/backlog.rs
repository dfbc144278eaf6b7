//! What is behind comes over both connections; what is at its end goes along.

use super::*;

fn wanted(ask: &Ask) -> Vec<i32> {
    let mut wanted: Vec<_> = ask
        .wants
        .iter()
        .map(|want| want.partition.partition())
        .collect();
    wanted.sort_unstable();
    wanted
}

/// Answers with so many batches of some partitions, and nothing of the others.
fn answer(plan: &mut Plan, ask: Ask, log: &Log, served: &[i32]) -> Changes {
    let parts = ask.wants.iter().map(|want| {
        let partition = want.partition.partition();
        let batches = usize::from(served.contains(&partition));
        log.answer(partition, want.offset, batches, 0)
    });
    let parts = parts.collect();
    plan.answered(ask, topics(parts), Duration::ZERO)
}

fn side(plan: &mut Plan) -> Ask {
    plan.ask(0, Lane::Side, Duration::ZERO).unwrap()
}

#[test]
fn each_connection_takes_its_part_of_what_is_behind() {
    // One partition fills an answer.
    let settings = FetchSettings {
        min_bytes: 100,
        ..settings()
    };
    let (mut plan, _) = fetching(settings, 8);
    let log = log(4, 8);
    let first = ask(&mut plan);
    assert_eq!(wanted(&first).len(), 8, "nobody knows yet who is behind");
    assert_eq!((first.beside, first.min_bytes), (false, 100));
    answer(&mut plan, first, &log, &[0]);

    let main = ask(&mut plan);
    assert!(main.beside, "the other lane is woken for the rest");
    assert_eq!(main.min_bytes, 1, "there is nothing to wait for");
    assert_eq!(
        wanted(&main),
        [1, 2, 3, 4],
        "what waited longest comes first"
    );
    let beside = side(&mut plan);
    assert_eq!(wanted(&beside), [5, 6]);
    assert!(!beside.beside, "the main lane looks by itself");
    assert_eq!(beside.min_bytes, 1);

    // Whoever ends first goes on with what was left.
    answer(&mut plan, main, &log, &[1]);
    let main = ask(&mut plan);
    assert_eq!(wanted(&main), [2, 3, 4]);
    answer(&mut plan, beside, &log, &[5]);
    assert_eq!(wanted(&side(&mut plan)), [0, 6, 7]);
}

#[test]
fn as_many_as_an_answer_holds_are_not_parted() {
    let settings = FetchSettings {
        max_buffered_bytes: 12 * 200 * 3,
        ..settings()
    };
    let (mut plan, _) = fetching(settings, 3);
    let log = log(4, 8);
    let first = ask(&mut plan);
    answer(&mut plan, first, &log, &[]);
    let all = ask(&mut plan);
    assert_eq!((wanted(&all), all.beside), (vec![0, 1, 2], false));
}

#[test]
fn what_is_at_its_end_goes_along() {
    let (mut plan, _) = fetching(settings(), 8);
    let (long, short) = (log(4, 8), log(0, 0));
    let first = ask(&mut plan);
    let parts = (0..8).map(|partition| {
        let log = if partition < 2 { &long } else { &short };
        log.answer(partition, 0, 0, 0)
    });
    let parts = parts.collect();
    plan.answered(first, topics(parts), Duration::ZERO);
    assert_eq!(wanted(&ask(&mut plan)), [0, 2, 3, 4, 5, 6, 7]);
    assert_eq!(wanted(&side(&mut plan)), [1]);
}

#[test]
fn what_an_open_transaction_holds_back_is_not_behind() {
    let (mut plan, _) = fetching(settings(), 4);
    let log = log(4, 8);
    let first = ask(&mut plan);
    let held = |partition| FetchPartition {
        last_stable_offset: 0,
        ..log.answer(partition, 0, 0, 0)
    };
    plan.answered(first, topics((0..4).map(held).collect()), Duration::ZERO);
    assert_eq!(wanted(&ask(&mut plan)), [0, 1, 2, 3]);
}

#[test]
fn who_never_has_what_its_leader_claims_passes_its_turn() {
    // The second takes less in an answer than a partition may bring.
    for max_bytes in [i32::MAX, 100] {
        passes_its_turn(FetchSettings {
            max_bytes,
            ..settings()
        });
    }
}

fn passes_its_turn(settings: FetchSettings) {
    let (mut plan, _) = fetching(settings, 5);
    let log = log(4, 8);
    let first = ask(&mut plan);
    answer(&mut plan, first, &log, &[4]);
    assert_eq!(
        drain(&mut plan),
        (0..8).collect::<Vec<_>>(),
        "of the only true one"
    );
    for _ in 0..4 {
        let main = ask(&mut plan);
        let beside = side(&mut plan);
        let is_asked = wanted(&main).contains(&4) || wanted(&beside).contains(&4);
        answer(&mut plan, main, &log, &[]);
        answer(&mut plan, beside, &log, &[]);
        if is_asked {
            return;
        }
    }
    panic!("those that bring nothing keep the turn");
}

#[test]
fn who_is_passed_over_for_want_of_room_keeps_its_turn() {
    let (mut plan, _) = fetching(settings(), 4);
    let log = log(4, 8);
    let first = ask(&mut plan);
    answer(&mut plan, first, &log, &[0]);
    let main = ask(&mut plan);
    assert_eq!(wanted(&main), [1, 2]);
    answer(&mut plan, main, &log, &[1]);
    assert_eq!(wanted(&ask(&mut plan)), [2, 3]);
}

#[test]
fn the_main_lane_takes_along_what_the_side_lane_waits_for() {
    let (mut plan, _) = fetching(settings(), 2);
    let (mut log, name) = (log(1, 8), name(1));
    let first = ask(&mut plan);
    answer(&mut plan, first, &log, &[0, 1]);
    drain(&mut plan);
    let main = ask(&mut plan);
    plan.seek(&name, 0).unwrap();
    let beside = side(&mut plan);
    answer(&mut plan, main, &log, &[]);
    let main = ask(&mut plan);
    assert_eq!(wanted(&main), [0], "what is on its way is left to it");
    answer(&mut plan, beside, &log, &[1]);
    drain(&mut plan);
    let beside = side(&mut plan);
    assert_eq!(wanted(&beside), [1]);
    answer(&mut plan, main, &log, &[]);
    let main = ask(&mut plan);
    assert_eq!(wanted(&main), [0, 1], "it is at its end");
    // Whoever is first, it comes once.
    log.append(1, 0);
    assert!(answer(&mut plan, beside, &log, &[1]).void);
    assert!(drain(&mut plan).is_empty());
    assert!(plan.ask(0, Lane::Side, Duration::ZERO).is_err());
    assert!(!answer(&mut plan, main, &log, &[1]).void);
    assert_eq!(drain(&mut plan), [8]);
}

#[test]
fn who_is_left_out_of_an_answer_with_room_comes_next() {
    // All are asked for at once, or a part of them.
    for fits in [3, 2] {
        comes_next(fits);
    }
}

fn comes_next(fits: usize) {
    let settings = FetchSettings {
        max_buffered_bytes: 12 * fits * 200,
        ..settings()
    };
    let (mut plan, _) = fetching(settings, 3);
    let log = log(8, 8);
    let mut served = Vec::new();
    for _ in 0..6 {
        let ask = ask(&mut plan);
        let first = ask.wants[0].partition.partition();
        served.push(first);
        answer(&mut plan, ask, &log, &[first]);
        drain(&mut plan);
    }
    assert_eq!(served, [0, 1, 2, 0, 1, 2]);
}

#[test]
fn what_was_sought_or_given_up_meanwhile_is_void() {
    let log = log(1, 8);
    let (mut plan, _) = fetching(settings(), 2);
    let first = ask(&mut plan);
    plan.seek(&name(0), 0).unwrap();
    assert!(answer(&mut plan, first, &log, &[]).void);
    let second = ask(&mut plan);
    plan.remove(&[name(1)].into());
    assert!(answer(&mut plan, second, &log, &[]).void);
    let third = ask(&mut plan);
    assert!(!answer(&mut plan, third, &log, &[]).void);
}
