//! What waits for the caller, and what is on its way, has its bounds.

use super::*;

#[test]
fn a_full_budget_asks_for_no_more_until_the_caller_lets_go() {
    let settings = FetchSettings {
        partition_max_bytes: 100,
        max_buffered_bytes: 250,
        ..FetchSettings::default()
    };
    let (mut plan, budget) = fetching(settings, 3);
    let log = log(2, 3);
    let first = ask(&mut plan);
    assert_eq!(
        first.max_bytes, 100,
        "a twelfth is less than one partition's"
    );
    let part = log.answer(0, 0, 1, 0);
    let bytes = part.records.as_ref().unwrap().len();
    plan.answered(first, topics(vec![part]), Duration::ZERO);
    assert_eq!(budget.left(), 250 - bytes);
    let second = ask(&mut plan);
    plan.answered(second, topics(vec![log.answer(1, 0, 1, 0)]), Duration::ZERO);
    assert!(budget.left() < 100);
    let full = plan.ask(0, Lane::Main, Duration::ZERO);
    assert_eq!(full.unwrap_err(), None);
    // A paused partition gives up what waits for it.
    plan.pause(&[name(0)].into(), true);
    let third = ask(&mut plan);
    assert!(third.wants.iter().all(|want| want.partition != name(0)));
    plan.failed(third, None);
    plan.pause(&[name(0)].into(), false);
    assert_eq!(drain(&mut plan), [0, 1, 2], "of partition 1");
    let mut again = ask(&mut plan);
    again.wants.retain(|want| want.partition == name(0));
    assert_eq!(again.wants[0].offset, 0);
}

#[test]
fn a_caller_that_keeps_everything_gets_one_answer_at_a_time() {
    let settings = FetchSettings {
        max_buffered_bytes: 10,
        ..FetchSettings::default()
    };
    let (mut plan, budget) = fetching(settings, 2);
    let log = log(3, 3);
    let mut kept = Vec::new();
    for _ in 0..3 {
        let ask = ask(&mut plan);
        if !kept.is_empty() {
            let beside = plan.ask(0, Lane::Side, Duration::ZERO);
            assert_eq!(beside.unwrap_err(), None);
        }
        let want = ask.wants.iter().find(|want| want.partition == name(0));
        let part = log.answer(0, want.unwrap().offset, 1, 0);
        plan.answered(ask, topics(vec![part]), Duration::ZERO);
        assert_eq!(plan.ask(0, Lane::Main, Duration::ZERO).unwrap_err(), None);
        let mut taken = plan.take().unwrap().unwrap();
        kept.push(Arc::clone(&taken.chunk.lease));
        let mut page = taken.chunk.read(plan.settings(), &mut None);
        assert_eq!(page.records.len(), 3);
        plan.give_back(taken, &mut page).unwrap();
    }
    assert_eq!(budget.left(), 0);
    drop(kept);
    assert_eq!(budget.left(), 10);
}

#[test]
fn a_page_takes_one_allocation_and_its_records_none() {
    let (mut plan, _) = fetching(FetchSettings::default(), 1);
    let log = log(2, 1000);
    bring(&mut plan, &log, 2);
    // The ring of what is ready grows once.
    read(&mut plan).unwrap();
    for _ in 0..3 {
        let allocated = allocation_counter::measure(|| {
            let mut taken = plan.take().unwrap().unwrap();
            let mut page = taken.chunk.read(plan.settings(), &mut None);
            assert_eq!(page.records.len(), 500);
            plan.give_back(taken, &mut page).unwrap();
        });
        assert_eq!(allocated.count_total, 1, "{allocated:?}");
    }
}

/// A plan with partition 0 on broker 0 and partition 1 on broker 1, which begin at 0.
fn on_two_brokers(max_buffered_bytes: usize) -> (Plan, Arc<Budget>) {
    let settings = FetchSettings {
        max_buffered_bytes,
        ..FetchSettings::default()
    };
    let (mut plan, budget) = fetching(settings, 2);
    plan.follow(|name| {
        let node = name.partition();
        Some(Leader { node, epoch: 1 })
    });
    (plan, budget)
}

#[test]
fn a_quiet_broker_takes_no_bytes_from_another_however_few_there_are() {
    for limit in [1 << 20, 3 << 20, 64 << 20] {
        let (mut plan, budget) = on_two_brokers(limit);
        let quiet = plan.ask(0, Lane::Main, Duration::ZERO).unwrap();
        let busy = plan.ask(1, Lane::Main, Duration::ZERO);
        let busy = busy.unwrap_or_else(|_| panic!("the second broker starves with {limit} bytes"));
        // What becomes due beside a long poll has its part as well.
        plan.assign(&[name(2)].into());
        plan.seek(&name(2), 0).unwrap();
        plan.follow(|name| {
            let node = name.partition() % 2;
            Some(Leader { node, epoch: 1 })
        });
        let beside = plan.ask(0, Lane::Side, Duration::ZERO);
        let beside = beside.unwrap_or_else(|_| panic!("no room beside with {limit} bytes"));
        let asked = [&quiet, &busy, &beside].map(|ask| usize::try_from(ask.max_bytes).unwrap());
        assert_eq!(budget.left(), limit - asked.iter().sum::<usize>());
    }
}

#[test]
fn a_caller_that_keeps_everything_is_served_by_each_broker() {
    let (mut plan, _) = on_two_brokers(10);
    let mut kept = Vec::new();
    let busy = plan.ask(1, Lane::Main, Duration::ZERO).unwrap();
    let part = log(1, 3).answer(1, 0, 1, 0);
    plan.answered(busy, topics(vec![part]), Duration::ZERO);
    assert!(
        plan.ask(0, Lane::Main, Duration::ZERO).is_err(),
        "what waits comes first"
    );
    assert!(
        plan.wakes(1, Lane::Main),
        "who was refused looks again after each answer"
    );
    let mut taken = plan.take().unwrap().unwrap();
    kept.push(Arc::clone(&taken.chunk.lease));
    let mut page = taken.chunk.read(plan.settings(), &mut None);
    assert!(plan.give_back(taken, &mut page).unwrap().wakes);
    let quiet = plan.ask(0, Lane::Main, Duration::ZERO).unwrap();
    let busy = plan.ask(1, Lane::Main, Duration::ZERO).unwrap();
    plan.failed(quiet, None);
    plan.failed(busy, None);
}

#[test]
fn one_batch_at_a_time_is_open_although_more_comes_while_it_is_read() {
    let (mut plan, _) = fetching(settings(), 2);
    let log = log(2, 8);
    let first = ask(&mut plan);
    let parts = (0..2).map(|partition| log.answer(partition, 0, 1, 0));
    let parts = parts.collect();
    plan.answered(first, topics(parts), Duration::ZERO);
    let second = ask(&mut plan);
    let mut taken = plan.take().unwrap().unwrap();
    let mut page = taken.chunk.read(plan.settings(), &mut None);
    plan.answered(second, topics(vec![log.answer(0, 8, 1, 0)]), Duration::ZERO);
    plan.give_back(taken, &mut page).unwrap();
    let next = plan.take().unwrap().unwrap();
    assert_eq!(next.partition, name(0), "it is read to its end first");
}

#[test]
fn room_for_a_page_is_bounded_by_what_came_rather_than_by_what_is_claimed() {
    let settings = FetchSettings {
        max_poll_records: usize::MAX,
        check_crcs: false,
        ..settings()
    };
    let (mut plan, _) = fetching(settings, 1);
    let ask = ask(&mut plan);
    let mut lying = log(1, 8).answer(0, 0, 1, 0);
    let mut bytes = lying.records.take().unwrap().to_vec();
    let came = bytes.len();
    bytes[57..61].copy_from_slice(&i32::MAX.to_be_bytes());
    lying.records = Some(bytes.into());
    plan.answered(ask, topics(vec![lying]), Duration::ZERO);
    let mut taken = plan.take().unwrap().unwrap();
    let allocated = allocation_counter::measure(|| {
        let page = taken.chunk.read(plan.settings(), &mut None);
        assert!(page.records.len() == 8 && page.error.is_some());
    });
    let most = u64::try_from(came * size_of::<Record>()).unwrap();
    assert!(allocated.bytes_max < most + 4096, "{allocated:?}");
}
