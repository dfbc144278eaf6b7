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
