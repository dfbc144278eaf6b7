use std::collections::BTreeMap;

use super::*;

#[tokio::test]
async fn all_records_come_in_order_from_each_partition() {
    let kafka = Kafka::start().await.unwrap();
    let topic = kafka.topic("orders", 3).await.unwrap();
    let client = client(&kafka).await;
    let partitions = names(&topic, 3);
    for name in &partitions {
        for part in 0..3 {
            let values = (0..400).map(|index| format!("{name} {}", part * 400 + index));
            produce(&client, name, batch(values, Compression::None)).await;
        }
    }
    let fetcher = fetch(&client, earliest(), &partitions);
    let mut seen: BTreeMap<TopicPartition, i64> = BTreeMap::new();
    while seen.values().sum::<i64>() < 3 * 1200 {
        let records = next(&fetcher).await;
        assert!(records.len() <= 500);
        let name = records.partition().clone();
        let position = seen.entry(name.clone()).or_default();
        for record in &records {
            assert_eq!(record.offset(), *position);
            assert_eq!(
                record.value(),
                Some(format!("{name} {position}").as_bytes())
            );
            *position += 1;
        }
        assert_eq!(records.next().1.offset, *position);
        assert_eq!(records.next().1.leader_epoch, Some(0));
    }
    for position in fetcher.positions().values() {
        assert_eq!(position.offset, Some(1200));
        assert_eq!(position.high_watermark, Some(1200));
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
    client.close().await;
}
