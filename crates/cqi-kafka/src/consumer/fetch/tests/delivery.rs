use std::collections::BTreeMap;

use tokio::time::{Instant, sleep};

use super::*;

#[tokio::test]
async fn all_records_come_in_order_from_each_partition() {
    let kafka = Kafka::start().await.unwrap();
    let topic = kafka.topic("orders", 3).await.unwrap();
    let client = client(&kafka).await;
    let partitions = names(&topic, 3);
    for name in &partitions {
        for (part, compression) in CODECS.into_iter().enumerate() {
            let values = (0..300).map(|index| format!("{name} {}", part * 300 + index));
            produce(&client, name, batch(values, compression)).await;
        }
    }
    let fetcher = fetch(&client, earliest(), &partitions);
    let mut seen: BTreeMap<TopicPartition, i64> = BTreeMap::new();
    while seen.values().sum::<i64>() < 3 * 1500 {
        let records = next(&fetcher).await;
        assert!(records.len() <= 500);
        let name = records.partition().clone();
        let position = seen.entry(name.clone()).or_default();
        for record in &records {
            assert_eq!(record.offset(), *position);
            let value = format!("{name} {position}");
            assert_eq!(record.value(), Some(value.as_bytes()));
            *position += 1;
        }
        assert_eq!(records.next_offset().1.offset, *position);
        assert_eq!(records.next_offset().1.leader_epoch, Some(0));
    }
    for position in fetcher.positions().values() {
        assert_eq!(position.offset, Some(1500));
        assert_eq!(position.high_watermark, Some(1500));
        assert_eq!(position.lag(), Some(0));
    }
    let idle = timeout(Duration::from_millis(700), fetcher.next()).await;
    assert!(idle.is_err(), "{idle:?}");
    let values = ["later".to_owned()];
    let name = partitions.first().unwrap();
    produce(&client, name, batch(values, Compression::None)).await;
    let records = next(&fetcher).await;
    assert_eq!(records[0].value(), Some(&b"later"[..]));
    timeout(PATIENCE, fetcher.close()).await.unwrap();
    let error = fetcher.next().await.unwrap_err();
    assert_eq!(error.kind(), Kind::Cancelled);
    client.close().await;
}

#[tokio::test]
async fn what_is_new_does_not_wait_for_the_long_poll() {
    let kafka = Kafka::start().await.unwrap();
    let topic = kafka.topic("orders", 4).await.unwrap();
    let client = client(&kafka).await;
    let partitions: Vec<_> = names(&topic, 4).into_iter().collect();
    for name in &partitions[1..] {
        let values = (0..3).map(|index| index.to_string());
        produce(&client, name, batch(values, Compression::None)).await;
    }
    let mut settings = earliest();
    settings.max_wait = Duration::from_secs(20);
    let fetcher = fetch(&client, settings, &[partitions[0].clone()].into());
    // The first poll ends with a record; the next one waits.
    let values = ["first".to_owned()];
    produce(&client, &partitions[0], batch(values, Compression::None)).await;
    assert_eq!(next(&fetcher).await.len(), 1);
    for name in &partitions[1..] {
        let idle = timeout(Duration::from_millis(100), fetcher.next()).await;
        assert!(idle.is_err(), "{idle:?}");
        let began = Instant::now();
        fetcher.assign(&[name.clone()].into());
        fetcher.position(vec![(name.clone(), at(1))]);
        let records = next(&fetcher).await;
        assert_eq!((records.partition(), records[0].offset()), (name, 1));
        fetcher.seek(name, 2).unwrap();
        assert_eq!(next(&fetcher).await[0].offset(), 2);
        fetcher.seek_to(name, StartPosition::Earliest).unwrap();
        assert_eq!(next(&fetcher).await.len(), 3);
        let took = began.elapsed();
        assert!(took < Duration::from_secs(5), "{took:?}");
    }
    fetcher.close().await;
}

#[tokio::test]
async fn what_went_by_the_side_lane_is_fetched_on_when_both_polls_have_ended() {
    let kafka = Kafka::start().await.unwrap();
    let topic = kafka.topic("orders", 1).await.unwrap();
    let client = client(&kafka).await;
    let partitions = names(&topic, 1);
    let name = partitions.first().unwrap();
    let mut settings = earliest();
    settings.max_wait = Duration::from_millis(300);
    let fetcher = fetch(&client, settings, &partitions);
    for round in 0..3 {
        let idle = timeout(Duration::from_millis(100), fetcher.next()).await;
        assert!(idle.is_err(), "{idle:?}");
        fetcher.seek(name, round).unwrap();
        // Both lanes' requests end meanwhile, the long poll's first.
        let idle = timeout(Duration::from_secs(1), fetcher.next()).await;
        assert!(idle.is_err(), "{idle:?}");
        produce(&client, name, batch([round.to_string()], Compression::None)).await;
        assert_eq!(next(&fetcher).await[0].offset(), round);
    }
    fetcher.close().await;
}

async fn until(is_so: impl Fn() -> bool) {
    let is_so = async {
        while !is_so() {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, is_so).await.unwrap();
}

#[tokio::test]
async fn a_paused_partition_makes_room_for_one_that_had_none() {
    let kafka = Kafka::start().await.unwrap();
    let topic = kafka.topic("orders", 2).await.unwrap();
    let client = client(&kafka).await;
    let partitions: Vec<_> = names(&topic, 2).into_iter().collect();
    for name in partitions.iter().chain([&partitions[0]]) {
        let values = (0..2).map(|index| format!("{index:045000}"));
        produce(&client, name, batch(values, Compression::None)).await;
    }
    let mut settings = earliest();
    settings.partition_max_bytes = 100_000;
    settings.max_buffered_bytes = 200_000;
    let first = BTreeSet::from([partitions[0].clone()]);
    let fetcher = fetch(&client, settings, &first);
    let watermark = |number: usize| fetcher.positions()[&partitions[number]].high_watermark;
    let is_full = || fetcher.shared.plan().budget().left() < 100_000;
    until(|| watermark(0).is_some() && is_full()).await;
    fetcher.assign(&[partitions[1].clone()].into());
    fetcher.position(vec![(partitions[1].clone(), at(0))]);
    until(|| fetcher.shared.plan().budget().is_wanted()).await;
    assert_eq!(watermark(1), None, "there is no room for it");
    fetcher.pause(&first);
    assert_eq!(next(&fetcher).await.partition(), &partitions[1]);
    fetcher.resume(&first);
    assert_eq!(next(&fetcher).await.partition(), &partitions[0]);
    fetcher.close().await;
}

#[tokio::test]
async fn a_batch_above_every_limit_comes_whole() {
    let kafka = Kafka::start().await.unwrap();
    let topic = kafka.topic("orders", 2).await.unwrap();
    let client = client(&kafka).await;
    let partitions = names(&topic, 2);
    for name in &partitions {
        for part in 0..3 {
            let values = (0..5).map(|index| format!("{:060000}", part * 5 + index));
            produce(&client, name, batch(values, Compression::None)).await;
        }
    }
    let mut settings = earliest();
    settings.partition_max_bytes = 1000;
    settings.max_bytes = 100;
    settings.max_buffered_bytes = 1;
    settings.max_poll_records = 2;
    let fetcher = fetch(&client, settings, &partitions);
    let mut seen: BTreeMap<TopicPartition, i64> = BTreeMap::new();
    while seen.values().sum::<i64>() < 30 {
        let records = next(&fetcher).await;
        assert!(records.len() <= 2);
        let position = seen.entry(records.partition().clone()).or_default();
        for record in records {
            assert_eq!(record.offset(), *position);
            *position += 1;
        }
    }
    fetcher.close().await;
}

#[tokio::test]
async fn paused_partitions_bring_nothing_and_go_on_where_they_were() {
    let kafka = Kafka::start().await.unwrap();
    let topic = kafka.topic("orders", 2).await.unwrap();
    let client = client(&kafka).await;
    let partitions = names(&topic, 2);
    let paused = [TopicPartition::new(&*topic, 0)].into();
    let mut settings = earliest();
    settings.max_poll_records = 10;
    let fetcher = fetch(&client, settings, &partitions);
    for name in &partitions {
        let values = (0..25).map(|index| index.to_string());
        produce(&client, name, batch(values, Compression::Lz4)).await;
    }
    let mut seen: BTreeMap<i32, Vec<i64>> = BTreeMap::new();
    let take = async |seen: &mut BTreeMap<i32, Vec<i64>>| {
        let records = next(&fetcher).await;
        let offsets = records.iter().map(Record::offset);
        seen.entry(records.partition().partition())
            .or_default()
            .extend(offsets);
    };
    while seen.get(&0).map_or(0, Vec::len) < 10 {
        take(&mut seen).await;
    }
    fetcher.pause(&paused);
    let before = seen[&0].len();
    while seen.get(&1).map_or(0, Vec::len) < 25 {
        take(&mut seen).await;
    }
    let idle = timeout(Duration::from_millis(300), fetcher.next()).await;
    assert!(idle.is_err(), "{idle:?}");
    assert_eq!(seen[&0].len(), before);
    fetcher.resume(&paused);
    while seen[&0].len() < 25 {
        take(&mut seen).await;
    }
    for offsets in seen.into_values() {
        assert!(offsets.into_iter().eq(0..25));
    }
    fetcher.close().await;
}

#[tokio::test]
async fn a_dropped_wait_loses_nothing() {
    let kafka = Kafka::start().await.unwrap();
    let topic = kafka.topic("orders", 2).await.unwrap();
    let client = client(&kafka).await;
    let partitions = names(&topic, 2);
    let mut settings = earliest();
    settings.max_poll_records = 7;
    let fetcher = fetch(&client, settings, &partitions);
    let produced = async {
        for part in 0..50 {
            for name in &partitions {
                let values = (0..10).map(|index| (part * 10 + index).to_string());
                produce(&client, name, batch(values, Compression::None)).await;
            }
        }
    };
    let consumed = async {
        let mut seen: BTreeMap<TopicPartition, i64> = BTreeMap::new();
        while seen.values().sum::<i64>() < 1000 {
            let patience = Duration::from_micros(fastrand::u64(0..2000));
            let Ok(records) = timeout(patience, fetcher.next()).await else {
                continue;
            };
            let records = records.unwrap();
            let position = seen.entry(records.partition().clone()).or_default();
            for record in records {
                assert_eq!(record.offset(), *position);
                *position += 1;
            }
        }
    };
    let both = async { tokio::join!(produced, consumed) };
    timeout(PATIENCE, both).await.unwrap();
    fetcher.close().await;
}

#[tokio::test]
async fn partitions_given_up_bring_nothing_any_more_and_begin_anew_when_taken_up_again() {
    let kafka = Kafka::start().await.unwrap();
    let topic = kafka.topic("orders", 2).await.unwrap();
    let client = client(&kafka).await;
    let partitions = names(&topic, 2);
    let fetcher = fetch(&client, earliest(), &partitions);
    for name in &partitions {
        let values = (0..1200).map(|index| index.to_string());
        produce(&client, name, batch(values, Compression::None)).await;
    }
    let first = next(&fetcher).await;
    let gone: BTreeSet<_> = [first.partition().clone()].into();
    fetcher.remove(&gone);
    let mut others = 0;
    while others < 1200 {
        let records = next(&fetcher).await;
        assert!(!gone.contains(records.partition()));
        others += records.len();
    }
    assert_eq!(fetcher.positions().len(), 1);
    fetcher.assign(&gone);
    let idle = timeout(Duration::from_millis(200), fetcher.next()).await;
    assert!(idle.is_err(), "it has no position: {idle:?}");
    let time = StartPosition::Timestamp(now() + 3_600_000);
    fetcher.seek_to(first.partition(), time).unwrap();
    let idle = timeout(Duration::from_millis(200), fetcher.next()).await;
    assert!(idle.is_err(), "all records are older: {idle:?}");
    let time = StartPosition::Timestamp(now() - 3_600_000);
    fetcher.seek_to(first.partition(), time).unwrap();
    assert_eq!(next(&fetcher).await[0].offset(), 0);
    fetcher.close().await;
}
