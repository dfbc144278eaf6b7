//! Three brokers, of which one at a time dies.

use super::*;

/// All records are acknowledged, although each broker is killed once under load.
#[tokio::test]
async fn leaders_killed_in_turn_lose_and_repeat_nothing_of_a_hundred_thousand_records() {
    const PARTITIONS: u64 = 6;
    const BATCHES: u64 = 1000;
    const RECORDS: u64 = 100;
    let kafka = Kafka::builder().brokers(3).start().await.unwrap();
    let topic = kafka.unique("killed");
    kafka
        .create_topic(&topic, PARTITIONS as i32, 3)
        .await
        .unwrap();
    let client = connect(kafka.bootstrap()).await;
    let producer = Producer::start(&client, hasty()).unwrap();
    let sent = Cell::new(0);
    let killing = async {
        for turn in 0..3 {
            let reached = BATCHES / 4 * (turn + 1);
            while sent.get() < reached {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            let leader = kafka.leader(&topic, 0).await.unwrap();
            let from = Instant::now();
            kafka.broker(leader).kill().unwrap();
            let before = sent.get();
            while sent.get() < (before + 60).min(BATCHES) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            println!(
                "broker {leader} killed; all partitions went on after {:?}",
                from.elapsed()
            );
            kafka.broker(leader).restart().await.unwrap();
        }
    };
    let sending = async {
        let mut deliveries = VecDeque::new();
        for n in 0..BATCHES {
            let partition = TopicPartition::new(topic.as_str(), (n % PARTITIONS) as i32);
            let batch = numbers(n * RECORDS..(n + 1) * RECORDS);
            deliveries.push_back(send(&producer, &partition, batch).await);
            if deliveries.len() > 30 {
                deliveries.pop_front().unwrap().await.unwrap();
            }
            sent.set(n);
        }
        for delivery in deliveries {
            delivery.await.unwrap();
        }
        sent.set(BATCHES);
    };
    tokio::join!(sending, killing);
    producer.close(PATIENCE).await;
    let mut count = 0;
    for (partition, values) in read(kafka.bootstrap(), &topic).await {
        let own = (0..BATCHES).filter(|n| n % PARTITIONS == partition as u64);
        let own: Vec<_> = own
            .flat_map(|n| expected(n * RECORDS..(n + 1) * RECORDS))
            .collect();
        assert!(
            values == own,
            "{} of {} in partition {partition}",
            values.len(),
            own.len()
        );
        count += values.len();
    }
    assert_eq!(count as u64, BATCHES * RECORDS);
}
