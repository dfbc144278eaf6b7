//! One rule each.

use super::*;

#[test]
fn the_next_answer_is_fetched_while_one_is_read_and_no_more() {
    let (mut plan, _) = fetching(FetchSettings::default(), 1);
    let log = log(5, 2);
    bring(&mut plan, &log, 1);
    bring(&mut plan, &log, 1);
    let none = plan.ask(0, Lane::Main, Duration::ZERO);
    assert_eq!(none.unwrap_err(), None, "two wait already");
    assert_eq!(read(&mut plan).unwrap(), Some((name(0), vec![0, 1], 2)));
    assert_eq!(ask(&mut plan).wants[0].offset, 4);
    assert_eq!(drain(&mut plan), [2, 3]);
}

#[test]
fn what_is_due_while_the_long_poll_waits_goes_by_the_side_lane() {
    let (mut plan, _) = fetching(FetchSettings::default(), 2);
    let wait = plan.ask(0, Lane::Side, Duration::ZERO);
    assert_eq!(wait.unwrap_err(), None, "the main lane is free");
    let main = ask(&mut plan);
    assert_eq!(main.wants.len(), 2);
    plan.seek(&name(1), 7).unwrap();
    let side = plan.ask(0, Lane::Side, Duration::ZERO).unwrap();
    assert_eq!(side.wants.len(), 1);
    assert_eq!(
        (&side.wants[0].partition, side.wants[0].offset),
        (&name(1), 7)
    );
    // What the long poll says of the old position is void.
    let log = log(1, 4);
    let parts = (0..2)
        .map(|partition| log.answer(partition, 0, 1, 0))
        .collect();
    plan.answered(main, topics(parts), Duration::ZERO);
    assert_eq!(read(&mut plan).unwrap().unwrap().0, name(0));
    plan.failed(side, None);
    let main = ask(&mut plan);
    let wants = main.wants.iter().map(|want| &want.partition);
    assert!(wants.eq([&name(1), &name(0)]), "{main:?}");
}

#[test]
fn the_side_lane_is_woken_for_what_is_due_later() {
    let (mut plan, _) = fetching(settings(), 2);
    let both = ask(&mut plan);
    assert!(!both.beside);
    let parts = vec![
        refused(3),
        FetchPartition {
            partition_index: 1,
            ..refused(0)
        },
    ];
    plan.answered(both, topics(parts), Duration::ZERO);
    let one = ask(&mut plan);
    assert_eq!(one.wants.len(), 1);
    assert!(one.beside);
    let due = plan.ask(0, Lane::Side, Duration::ZERO).unwrap_err();
    let side = plan.ask(0, Lane::Side, due.unwrap()).unwrap();
    assert!(!side.beside, "it is the side lane itself");
}

#[test]
fn the_main_lane_is_woken_by_the_end_of_the_side_lanes_request_unless_something_is_being_read() {
    let (mut plan, _) = fetching(settings(), 1);
    assert!(plan.wakes(0, Lane::Side));
    assert!(!plan.wakes(0, Lane::Main), "it looks by itself");
    bring(&mut plan, &log(1, 2), 1);
    assert!(
        !plan.wakes(0, Lane::Side),
        "the end of what is read wakes it"
    );
    assert!(plan.wakes(1, Lane::Side), "that is another broker's");
    plan.pause(&[name(0)].into(), true);
    assert!(plan.wakes(0, Lane::Side), "nothing is being read");
}

#[test]
fn lanes_are_woken_by_the_end_of_what_was_fetched_only_if_there_is_something_to_ask_for() {
    let (mut plan, budget) = fetching(settings(), 1);
    let log = log(4, 2);
    let wakes = |plan: &mut Plan| {
        let mut taken = plan.take().unwrap().unwrap();
        let mut page = taken.chunk.read(plan.settings(), &mut None);
        plan.give_back(taken, &mut page).unwrap().wakes
    };
    bring(&mut plan, &log, 1);
    bring(&mut plan, &log, 1);
    assert!(wakes(&mut plan), "two waited, which is the most");
    let asked = ask(&mut plan);
    assert!(!wakes(&mut plan), "more is on its way already");
    let part = log.answer(0, asked.wants[0].offset, 1, 0);
    plan.answered(asked, topics(vec![part]), Duration::ZERO);
    let asked = ask(&mut plan);
    budget.wake_on_return();
    assert!(wakes(&mut plan), "another broker waits for its turn");
    plan.failed(asked, None);
}

#[test]
fn partitions_take_turns_by_answers_and_those_served_last_are_asked_for_last() {
    let (mut plan, _) = fetching(FetchSettings::default(), 3);
    let log = log(3, 700);
    bring(&mut plan, &log, 1);
    let mut turns = Vec::new();
    while let Some((name, offsets, _)) = read(&mut plan).unwrap() {
        turns.push((name.partition(), offsets.len()));
    }
    // The last page of each is found to be empty when the next is asked for.
    turns.retain(|(_, records)| *records > 0);
    assert_eq!(
        turns,
        [(0, 500), (0, 200), (1, 500), (1, 200), (2, 500), (2, 200)]
    );
    let ask = ask(&mut plan);
    let order: Vec<_> = ask
        .wants
        .iter()
        .map(|want| want.partition.partition())
        .collect();
    assert_eq!(order, [0, 1, 2]);
    plan.answered(ask, topics(vec![log.answer(0, 700, 1, 0)]), Duration::ZERO);
    drain(&mut plan);
    let ask = self::ask(&mut plan);
    let order: Vec<_> = ask
        .wants
        .iter()
        .map(|want| want.partition.partition())
        .collect();
    assert_eq!(order, [1, 2, 0], "0 was served last");
}

#[test]
fn a_corrupt_batch_stops_its_partition_alone_until_a_seek() {
    let (mut plan, _) = fetching(FetchSettings::default(), 2);
    let log = log(3, 2);
    let ask = ask(&mut plan);
    let mut bad = log.answer(0, 0, 3, 0);
    let mut bytes = bad.records.take().unwrap().to_vec();
    let second = bytes.len() / 3;
    bytes[second + 70] ^= 1;
    bad.records = Some(bytes.into());
    plan.answered(
        ask,
        topics(vec![bad, log.answer(1, 0, 3, 0)]),
        Duration::ZERO,
    );
    assert_eq!(read(&mut plan).unwrap(), Some((name(0), vec![0, 1], 2)));
    assert_eq!(
        read(&mut plan).unwrap().unwrap().1.len(),
        6,
        "the other goes on"
    );
    let error = read(&mut plan).unwrap_err();
    assert_eq!(error.kind(), Kind::Permanent);
    let text = error.to_string();
    assert!(
        text.contains("orders-0") && text.contains("offset 2"),
        "{text}"
    );
    assert!(read(&mut plan).unwrap().is_none());
    let ask = self::ask(&mut plan);
    assert_eq!(
        ask.wants.len(),
        1,
        "told once, and not asked for in a loop: {ask:?}"
    );
    plan.failed(ask, None);
    assert_eq!(plan.positions()[&name(0)].offset, Some(2));
    plan.seek(&name(0), 4).unwrap();
    bring(&mut plan, &log, 3);
    assert_eq!(drain(&mut plan), [4, 5]);
}

#[test]
fn bytes_that_are_no_batch_stop_the_partition_where_they_are() {
    let (mut plan, _) = fetching(FetchSettings::default(), 1);
    let ask = ask(&mut plan);
    let mut bad = log(1, 2).answer(0, 0, 1, 0);
    let mut bytes = bad.records.take().unwrap().to_vec();
    bytes.extend([0; 100]);
    bad.records = Some(bytes.into());
    plan.answered(ask, topics(vec![bad]), Duration::ZERO);
    let none = plan.ask(0, Lane::Main, SECOND);
    assert_eq!(none.unwrap_err(), None, "what follows is not known");
    assert_eq!(read(&mut plan).unwrap().unwrap().1, [0, 1]);
    assert!(read(&mut plan).is_err());
    let none = plan.ask(0, Lane::Main, SECOND);
    assert_eq!(none.unwrap_err(), None);
}

#[test]
fn out_of_range_resets_by_the_start_position_after_what_is_here() {
    let (mut plan, _) = fetching(settings(), 1);
    bring(&mut plan, &log(1, 2), 1);
    let ask = ask(&mut plan);
    plan.answered(ask, topics(vec![refused(1)]), Duration::ZERO);
    assert!(
        plan.lookups(Duration::ZERO).0.is_empty(),
        "offsets 0 and 1 come first"
    );
    assert_eq!(drain(&mut plan), [0, 1]);
    let ask = self::ask(&mut plan);
    let changes = plan.answered(ask, topics(vec![refused(1)]), Duration::ZERO);
    assert!(changes.lookups);
    assert_eq!(plan.positions()[&name(0)].offset, None);
    let lookup = plan.lookups(Duration::ZERO).0.remove(0);
    assert_eq!(lookup.wanted, [(name(0), StartPosition::Earliest)].into());
    assert!(plan.lookups(Duration::ZERO).0.is_empty(), "one at a time");
    let listed = ListedOffset {
        offset: 9,
        leader_epoch: Some(1),
        timestamp: None,
    };
    plan.looked_up(
        &lookup,
        [(name(0), Ok(Some(listed)))].into(),
        Duration::ZERO,
    );
    let ask = self::ask(&mut plan);
    assert_eq!(ask.wants[0].offset, 9);
    plan.answered(ask, topics(vec![refused(1)]), Duration::ZERO);
    let (none, due) = plan.lookups(Duration::ZERO);
    assert!(
        none.is_empty(),
        "what the log just offered it does not have"
    );
    assert_eq!(plan.lookups(due.unwrap()).0.len(), 1);
}

#[test]
fn a_lookup_that_fails_is_tried_again_after_a_pause_and_finds_the_end_where_there_is_no_record() {
    let (mut plan, _) = plan(settings());
    plan.assign(&[name(0)].into());
    plan.seek_to(&name(0), StartPosition::Timestamp(5)).unwrap();
    plan.follow(|_| Some(Leader { node: 0, epoch: 1 }));
    let lookup = plan.lookups(Duration::ZERO).0.remove(0);
    let failed = Err(Error::temporary("no leader"));
    plan.looked_up(&lookup, [(name(0), failed)].into(), Duration::ZERO);
    let (none, due) = plan.lookups(Duration::ZERO);
    assert!(none.is_empty() && due.unwrap() <= SECOND / 10, "{due:?}");
    let lookup = plan.lookups(SECOND).0.remove(0);
    plan.looked_up(&lookup, [(name(0), Ok(None))].into(), SECOND);
    let lookup = plan.lookups(SECOND).0.remove(0);
    assert_eq!(lookup.wanted, [(name(0), StartPosition::Latest)].into());
    // Seeks win over answers.
    plan.seek(&name(0), 3).unwrap();
    plan.looked_up(&lookup, [(name(0), Ok(None))].into(), SECOND);
    assert_eq!(plan.positions()[&name(0)].offset, Some(3));
    // What the caller should know is told.
    plan.seek_to(&name(0), StartPosition::Earliest).unwrap();
    let lookup = plan.lookups(SECOND).0.remove(0);
    let forbidden = Err(Error::forbidden("no ACL"));
    plan.looked_up(&lookup, [(name(0), forbidden)].into(), SECOND);
    assert_eq!(read(&mut plan).unwrap_err().kind(), Kind::Forbidden);
    assert!(plan.lookups(SECOND).0.is_empty());
    assert_eq!(plan.lookups(SECOND * 2).0.len(), 1);
}

#[test]
fn failing_instead_of_a_reset_tells_the_caller_once() {
    let mut settings = settings();
    settings.start = StartPosition::Fail;
    let (mut plan, _) = fetching(settings, 2);
    let ask = ask(&mut plan);
    plan.answered(ask, topics(vec![refused(1)]), Duration::ZERO);
    let error = read(&mut plan).unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound);
    assert!(error.to_string().contains("orders-0"), "{error}");
    assert!(read(&mut plan).unwrap().is_none());
    assert_eq!(self::ask(&mut plan).wants.len(), 1);
    plan.assign(&[name(5)].into());
    plan.position(&name(5), None);
    let error = read(&mut plan).unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound);
    assert!(error.to_string().contains("orders-5"), "{error}");
}

#[test]
fn refusals_hold_a_partition_back_with_growing_pauses_and_a_new_leader_ends_them() {
    for code in [3, 5, 6, 9, 56, 74, 75, 78, -1] {
        let (mut plan, _) = fetching(settings(), 1);
        let ask = ask(&mut plan);
        let changes = plan.answered(ask, topics(vec![refused(code)]), Duration::ZERO);
        assert!(changes.moved && !changes.ready, "{code}");
        let first = plan
            .ask(0, Lane::Main, Duration::ZERO)
            .unwrap_err()
            .unwrap();
        assert!(first <= SECOND / 10);
        let ask = plan.ask(0, Lane::Main, first).unwrap();
        plan.answered(ask, topics(vec![refused(code)]), first);
        let second = plan.ask(0, Lane::Main, first).unwrap_err().unwrap() - first;
        assert!(second > first, "{first:?} {second:?}");
        plan.follow(|_| Some(Leader { node: 1, epoch: 2 }));
        let ask = plan.ask(1, Lane::Main, first).unwrap();
        assert_eq!(ask.wants[0].leader_epoch, 2);
    }
}

#[test]
fn a_missing_acl_is_told_and_asked_again_after_a_pause() {
    let (mut plan, _) = fetching(settings(), 1);
    let ask = ask(&mut plan);
    plan.answered(ask, topics(vec![refused(29)]), Duration::ZERO);
    let none = plan.ask(0, Lane::Main, SECOND);
    assert_eq!(none.unwrap_err(), None, "not before it was told");
    let error = read(&mut plan).unwrap_err();
    assert_eq!(error.kind(), Kind::Forbidden);
    assert!(
        plan.ask(0, Lane::Main, Duration::ZERO)
            .unwrap_err()
            .is_some()
    );
    assert!(plan.ask(0, Lane::Main, SECOND).is_ok());
}

#[test]
fn a_log_that_was_cut_is_gone_back_to_and_one_that_was_not_is_gone_on_with() {
    let diverging = |epoch, end_offset| FetchPartition {
        diverging_epoch: Some(EpochEndOffset { epoch, end_offset }),
        ..FetchPartition::default()
    };
    let (mut plan, _) = fetching(FetchSettings::default(), 1);
    let mut log = log(2, 3);
    log.epoch = 1;
    bring(&mut plan, &log, 1);
    assert_eq!(drain(&mut plan), [0, 1, 2]);
    bring(&mut plan, &log, 1);
    let first = ask(&mut plan);
    assert_eq!((first.wants[0].offset, first.wants[0].last_epoch), (6, 0));
    // Cut between the position and what waits: that is dropped and fetched again.
    plan.answered(first, topics(vec![diverging(0, 4)]), Duration::ZERO);
    assert!(drain(&mut plan).is_empty());
    let second = ask(&mut plan);
    assert_eq!(second.wants[0].offset, 3);
    // Cut behind the position.
    plan.answered(second, topics(vec![diverging(0, 2)]), Duration::ZERO);
    assert_eq!(plan.positions()[&name(0)].offset, Some(2));
    let settings = FetchSettings {
        start: StartPosition::Fail,
        ..FetchSettings::default()
    };
    let (mut plan, _) = fetching(settings, 1);
    plan.seek(&name(0), 3).unwrap();
    let ask = ask(&mut plan);
    plan.answered(ask, topics(vec![diverging(0, 2)]), Duration::ZERO);
    assert_eq!(read(&mut plan).unwrap_err().kind(), Kind::Conflict);
    assert_eq!(plan.positions()[&name(0)].offset, Some(3));
}

#[test]
fn a_paused_partition_keeps_what_waits_and_its_place() {
    let (mut plan, _) = fetching(settings(), 1);
    let log = log(1, 8);
    bring(&mut plan, &log, 1);
    assert_eq!(read(&mut plan).unwrap().unwrap().1, [0, 1, 2]);
    plan.pause(&[name(0)].into(), true);
    assert!(read(&mut plan).unwrap().is_none());
    assert!(plan.positions()[&name(0)].paused);
    plan.pause(&[name(0)].into(), false);
    assert_eq!(drain(&mut plan), [3, 4, 5, 6, 7]);
}

#[test]
fn a_position_is_not_overwritten_and_commands_name_what_is_wrong() {
    let (mut plan, _) = plan(settings());
    plan.assign(&[name(0)].into());
    plan.seek(&name(0), 5).unwrap();
    let committed = Offset {
        offset: 2,
        leader_epoch: None,
        metadata: "".into(),
    };
    plan.position(&name(0), Some(committed.clone()));
    plan.position(&name(9), Some(committed));
    assert_eq!(plan.positions().len(), 1);
    assert_eq!(plan.positions()[&name(0)].offset, Some(5));
    for error in [
        plan.seek(&name(1), 5).unwrap_err(),
        plan.seek(&name(0), -1).unwrap_err(),
        plan.seek_to(&name(0), StartPosition::Fail).unwrap_err(),
    ] {
        assert_eq!(error.kind(), Kind::InvalidInput, "{error}");
    }
}

#[test]
fn what_was_given_up_while_a_page_is_read_comes_once() {
    let settings = FetchSettings {
        partition_max_bytes: 100,
        max_buffered_bytes: 250,
        ..FetchSettings::default()
    };
    let (mut plan, _) = fetching(settings, 2);
    let log = log(2, 3);
    for offset in [0, 3] {
        let ask = ask(&mut plan);
        let part = log.answer(0, offset, 1, 0);
        plan.answered(ask, topics(vec![part]), Duration::ZERO);
    }
    let mut taken = plan.take().unwrap().unwrap();
    plan.pause(&[name(0)].into(), true);
    let other = ask(&mut plan);
    plan.failed(other, None);
    plan.pause(&[name(0)].into(), false);
    let again = ask(&mut plan);
    let part = log.answer(0, 0, 1, 0);
    plan.answered(again, topics(vec![part]), Duration::ZERO);
    let mut page = taken.chunk.read(plan.settings(), &mut None);
    assert_eq!(page.next, 3);
    plan.give_back(taken, &mut page).unwrap();
    assert!(drain(&mut plan).is_empty(), "0 to 2 were delivered");
    let ask = ask(&mut plan);
    let want = ask.wants.iter().find(|want| want.partition == name(0));
    assert_eq!(want.unwrap().offset, 3);
}

#[test]
fn a_page_of_before_a_seek_is_void_even_while_one_of_after_it_is_read() {
    let (mut plan, _) = fetching(FetchSettings::default(), 1);
    let log = log(2, 3);
    bring(&mut plan, &log, 1);
    let mut before = plan.take().unwrap().unwrap();
    plan.seek(&name(0), 3).unwrap();
    bring(&mut plan, &log, 1);
    let mut after = plan.take().unwrap().unwrap();
    let mut page = before.chunk.read(plan.settings(), &mut None);
    assert!(plan.give_back(before, &mut page).is_none());
    let mut page = after.chunk.read(plan.settings(), &mut None);
    assert_eq!(page.records[0].offset(), 3);
    let given_back = plan.give_back(after, &mut page).unwrap();
    assert_eq!(given_back.position.offset, Some(6));
}

#[test]
fn an_answer_without_a_whole_batch_is_told_and_asked_for_again() {
    let (mut plan, _) = fetching(settings(), 1);
    let ask = ask(&mut plan);
    let mut cut = log(1, 8).answer(0, 0, 1, 0);
    cut.records = cut
        .records
        .map(|records| records.slice(..records.len() - 1));
    let changes = plan.answered(ask, topics(vec![cut]), Duration::ZERO);
    assert!(changes.ready);
    let error = read(&mut plan).unwrap_err();
    assert_eq!(error.kind(), Kind::Permanent, "{error}");
    assert!(error.to_string().contains("orders"), "{error}");
    let held = plan.ask(0, Lane::Main, Duration::ZERO).unwrap_err();
    assert!(plan.ask(0, Lane::Main, held.unwrap()).is_ok());
}

#[test]
fn bytes_that_a_broker_finds_corrupt_are_told() {
    let (mut plan, _) = fetching(settings(), 1);
    let ask = ask(&mut plan);
    plan.answered(ask, topics(vec![refused(2)]), Duration::ZERO);
    let error = read(&mut plan).unwrap_err();
    assert!(error.to_string().contains("CORRUPT_MESSAGE (2)"), "{error}");
    assert!(plan.ask(0, Lane::Main, SECOND).is_ok());
}

#[test]
fn a_log_that_names_no_offset_is_asked_again_for_the_same() {
    for start in [StartPosition::Earliest, StartPosition::Latest] {
        let (mut plan, _) = plan(settings());
        plan.assign(&[name(0)].into());
        plan.seek_to(&name(0), start).unwrap();
        plan.follow(|_| Some(Leader { node: 0, epoch: 1 }));
        let lookup = plan.lookups(Duration::ZERO).0.remove(0);
        plan.looked_up(&lookup, [(name(0), Ok(None))].into(), Duration::ZERO);
        let (none, due) = plan.lookups(Duration::ZERO);
        assert!(none.is_empty(), "after a pause");
        let lookup = plan.lookups(due.unwrap()).0.remove(0);
        assert_eq!(lookup.wanted, [(name(0), start)].into());
    }
}
