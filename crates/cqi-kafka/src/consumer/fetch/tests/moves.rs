use std::collections::BTreeMap;

use super::*;

/// Reads on until each partition has brought so many records, in order.
async fn read_to(fetcher: &Fetcher, seen: &mut BTreeMap<TopicPartition, i64>, end: i64) {
    while seen.values().any(|position| *position < end) {
        let records = next(fetcher).await;
        let position = seen.get_mut(records.partition()).unwrap();
        for record in records {
            assert_eq!(record.offset(), *position);
            *position += 1;
        }
    }
}

async fn produce_to_all(client: &Client, partitions: &BTreeSet<TopicPartition>) {
    for name in partitions {
        let values = (0..10).map(|index| index.to_string());
        produce(client, name, batch(values, Compression::None)).await;
    }
}

#[tokio::test]
async fn fetching_goes_on_when_the_broker_was_killed_and_restarted_and_is_quiet_meanwhile() {
    if !is_alone() {
        return;
    }
    let kafka = Kafka::builder().private().start().await.unwrap();
    kafka.create_topic("orders", 3, 1).await.unwrap();
    let client = client(&kafka).await;
    let partitions = names("orders", 3);
    let fetcher = fetch(&client, earliest(), &partitions);
    let mut seen = partitions.iter().map(|name| (name.clone(), 0)).collect();
    produce_to_all(&client, &partitions).await;
    read_to(&fetcher, &mut seen, 10).await;
    let broker = &kafka.brokers()[0];
    broker.kill().unwrap();
    let before = cpu();
    let idle = timeout(Duration::from_secs(2), fetcher.next()).await;
    assert!(idle.is_err(), "{idle:?}");
    let used = cpu() - before;
    assert!(
        used < Duration::from_millis(400),
        "{used:?} in 2 s while it is down"
    );
    broker.restart().await.unwrap();
    produce_to_all(&client, &partitions).await;
    read_to(&fetcher, &mut seen, 20).await;
    fetcher.close().await;
}

#[tokio::test]
async fn leaders_are_followed_when_one_is_killed() {
    let kafka = Kafka::builder().brokers(3).start().await.unwrap();
    kafka.create_topic("orders", 3, 3).await.unwrap();
    let client = client(&kafka).await;
    let partitions = names("orders", 3);
    let fetcher = fetch(&client, earliest(), &partitions);
    let mut seen = partitions.iter().map(|name| (name.clone(), 0)).collect();
    produce_to_all(&client, &partitions).await;
    read_to(&fetcher, &mut seen, 10).await;
    let leader = kafka.leader("orders", 0).await.unwrap();
    kafka.broker(leader).kill().unwrap();
    produce_to_all(&client, &partitions).await;
    read_to(&fetcher, &mut seen, 20).await;
    let moved = &fetcher.positions()[partitions.first().unwrap()];
    assert!(moved.leader_epoch > Some(0), "{moved:?}");
    kafka.broker(leader).restart().await.unwrap();
    produce_to_all(&client, &partitions).await;
    read_to(&fetcher, &mut seen, 30).await;
    fetcher.close().await;
}
