//! While nothing goes wrong but what the caller asks for.

use super::*;

#[tokio::test]
async fn batches_are_written_in_order() {
    for version in Kafka::versions() {
        let kafka = Kafka::start_version(version).await.unwrap();
        let topic = kafka.topic("plain", 3).await.unwrap();
        let client = connect(kafka.bootstrap()).await;
        let producer = Producer::start(&client, ProducerSettings::default()).unwrap();
        let mut deliveries = Vec::new();
        for n in 0..300_u64 {
            let partition = TopicPartition::new(topic.as_str(), (n % 3) as i32);
            deliveries.push(send(&producer, &partition, numbers(n * 10..n * 10 + 10)).await);
        }
        for (n, delivery) in deliveries.into_iter().enumerate() {
            let delivered = delivery.await.unwrap();
            assert_eq!(delivered.offset, Some(n as i64 / 3 * 10));
            assert_eq!(delivered.timestamp, None);
        }
        producer.close(PATIENCE).await;
        for (partition, values) in read(kafka.bootstrap(), &topic).await {
            let batches = (0..300).filter(|n| n % 3 == partition as u64);
            let all: Vec<_> = batches
                .flat_map(|n| expected(n * 10..n * 10 + 10))
                .collect();
            assert_eq!(values, all);
        }
        client.close().await;
    }
}

#[tokio::test]
async fn pitfall_3_order_over_fifty_thousand_tiny_batches() {
    let kafka = Kafka::start().await.unwrap();
    let topic = kafka.topic("tiny", 1).await.unwrap();
    let client = connect(kafka.bootstrap()).await;
    let producer = Producer::start(&client, ProducerSettings::default()).unwrap();
    let partition = TopicPartition::new(topic.as_str(), 0);
    let mut deliveries = Vec::new();
    for n in 0..50_000_u64 {
        deliveries.push(send(&producer, &partition, numbers(n..n + 1)).await);
    }
    for (n, delivery) in deliveries.into_iter().enumerate() {
        assert_eq!(delivery.await.unwrap().offset, Some(n as i64));
    }
    producer.close(PATIENCE).await;
    assert_eq!(
        read(kafka.bootstrap(), &topic).await[&0],
        expected(0..50_000)
    );
}

#[tokio::test]
async fn a_batch_too_large_for_the_topic_fails_alone() {
    for version in Kafka::versions() {
        let kafka = Kafka::start_version(version).await.unwrap();
        let topic = kafka.unique("large");
        kafka
            .create_topic_with(&topic, 2, 1, &[("max.message.bytes", "5000")])
            .await
            .unwrap();
        let client = connect(kafka.bootstrap()).await;
        let producer = Producer::start(&client, ProducerSettings::default()).unwrap();
        let mut deliveries = Vec::new();
        for n in 0..100_u64 {
            let partition = TopicPartition::new(topic.as_str(), (n % 2) as i32);
            let batch = match n % 7 {
                3 => batch([vec![b'x'; 6000]]),
                _ => numbers(n..n + 1),
            };
            deliveries.push((n, send(&producer, &partition, batch).await));
        }
        for (n, delivery) in deliveries {
            let outcome = delivery.await;
            if n % 7 != 3 {
                assert!(outcome.unwrap().offset.is_some());
                continue;
            }
            let error = outcome.unwrap_err();
            assert_eq!(error.kind(), Kind::InvalidInput);
            assert_eq!(Written::of(&error), Written::No);
            let text = format!("{error:#}");
            assert!(
                text.contains("MESSAGE_TOO_LARGE") && text.contains("not written"),
                "{text}"
            );
        }
        let all = read(kafka.bootstrap(), &topic).await;
        for partition in 0..2 {
            let own = (0..100).filter(|n| n % 2 == partition && n % 7 != 3);
            let own: Vec<_> = own.map(|n: u64| n.to_string()).collect();
            assert_eq!(all[&(partition as i32)], own);
        }
        producer.close(PATIENCE).await;
    }
}

#[tokio::test]
async fn what_cannot_be_sent_is_refused_at_once() {
    let kafka = Kafka::start().await.unwrap();
    let topic = kafka.topic("refused", 2).await.unwrap();
    let client = connect(kafka.bootstrap()).await;
    let mut settings = ProducerSettings::default();
    settings.max_block = Duration::from_secs(3);
    settings.max_request_bytes = 1000;
    let producer = Producer::start(&client, settings).unwrap();

    let refusals = [
        (
            TopicPartition::new(kafka.unique("none"), 0),
            numbers(0..1),
            Kind::NotFound,
            "topic",
        ),
        (
            TopicPartition::new("no such/name", 0),
            numbers(0..1),
            Kind::InvalidInput,
            "INVALID_TOPIC",
        ),
        (
            TopicPartition::new(topic.as_str(), 2),
            numbers(0..1),
            Kind::InvalidInput,
            "has 2 partitions",
        ),
        (
            TopicPartition::new(topic.as_str(), -1),
            numbers(0..1),
            Kind::InvalidInput,
            "has 2 partitions",
        ),
        (
            TopicPartition::new(topic.as_str(), 0),
            numbers(0..0),
            Kind::InvalidInput,
            "no records",
        ),
        (
            TopicPartition::new(topic.as_str(), 0),
            numbers(0..900),
            Kind::InvalidInput,
            "of 1000 allowed",
        ),
    ];
    for (partition, batch, kind, text) in refusals {
        let error = producer.send(&partition, batch).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error:#}");
        assert!(error.to_string().contains(text), "{error:#}");
        assert_eq!(Written::of(&error), Written::No);
    }
    // A topic that comes to be while it is waited for is found.
    let late = kafka.unique("late");
    let partition = TopicPartition::new(late.as_str(), 0);
    let (delivery, ()) = tokio::join!(producer.send(&partition, numbers(0..1)), async {
        kafka.create_topic(&late, 1, 1).await.unwrap();
    });
    delivery.unwrap().await.unwrap();
    producer.close(PATIENCE).await;
    let error = producer.send(&partition, numbers(0..1)).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Cancelled);
    assert_eq!(Written::of(&error), Written::No);
}

#[tokio::test]
async fn a_dropped_delivery_is_written_all_the_same() {
    let kafka = Kafka::start().await.unwrap();
    let topic = kafka.topic("dropped", 1).await.unwrap();
    let client = connect(kafka.bootstrap()).await;
    let producer = Producer::start(&client, ProducerSettings::default()).unwrap();
    let partition = TopicPartition::new(topic.as_str(), 0);
    for n in 0..20 {
        drop(send(&producer, &partition, numbers(n..n + 1)).await);
    }
    producer.flush().await;
    assert_eq!(read(kafka.bootstrap(), &topic).await[&0], expected(0..20));
    // Another handle does not keep a closed producer open.
    let clone = producer.clone();
    producer.close(PATIENCE).await;
    producer.close(PATIENCE).await;
    clone.send(&partition, numbers(0..1)).await.unwrap_err();
    clone.flush().await;
}

#[tokio::test]
async fn every_compression_is_taken() {
    for version in Kafka::versions() {
        let kafka = Kafka::start_version(version).await.unwrap();
        let topic = kafka.topic("compressed", 1).await.unwrap();
        let client = connect(kafka.bootstrap()).await;
        let producer = Producer::start(&client, ProducerSettings::default()).unwrap();
        let partition = TopicPartition::new(topic.as_str(), 0);
        let codecs = [
            Compression::Gzip,
            Compression::Snappy,
            Compression::Lz4,
            Compression::Zstd,
            Compression::None,
        ];
        for (n, compression) in (0..).zip(codecs) {
            let options = BatchOptions {
                compression,
                ..BatchOptions::default()
            };
            let values = (n * 100..n * 100 + 100).map(|n: u64| n.to_string());
            let delivery = send(&producer, &partition, batch_with(options, values)).await;
            assert_eq!(delivery.await.unwrap().offset, Some(n as i64 * 100));
        }
        producer.close(PATIENCE).await;
        assert_eq!(read(kafka.bootstrap(), &topic).await[&0], expected(0..500));
    }
}

#[tokio::test]
async fn the_time_of_appending_is_told() {
    let kafka = Kafka::start().await.unwrap();
    let topic = kafka.unique("appended");
    let setting = ("message.timestamp.type", "LogAppendTime");
    kafka
        .create_topic_with(&topic, 1, 1, &[setting])
        .await
        .unwrap();
    let client = connect(kafka.bootstrap()).await;
    let producer = Producer::start(&client, ProducerSettings::default()).unwrap();
    let before = now();
    let partition = TopicPartition::new(topic.as_str(), 0);
    let delivery = send(&producer, &partition, numbers(0..1)).await;
    let at = delivery.await.unwrap().timestamp.unwrap();
    assert!((before - 1000..=now() + 1000).contains(&at));
    producer.close(PATIENCE).await;
}
