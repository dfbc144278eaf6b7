//! Connections and brokers that break.

use super::*;

/// Sends batches of ten numbers each, a few at a time, while something else happens; all must be delivered.
async fn produce_while(
    producer: &Producer,
    topic: &str,
    partitions: u64,
    batches: u64,
    event: impl Future<Output = ()>,
) {
    let sending = async {
        let mut deliveries = VecDeque::new();
        for n in 0..batches {
            let partition = TopicPartition::new(topic, (n % partitions) as i32);
            deliveries.push_back(send(producer, &partition, numbers(n * 10..n * 10 + 10)).await);
            if deliveries.len() > 40 {
                deliveries.pop_front().unwrap().await.unwrap();
            }
        }
        for delivery in deliveries {
            delivery.await.unwrap();
        }
    };
    tokio::join!(sending, event);
}

async fn check(bootstrap: String, topic: &str, partitions: u64, batches: u64) {
    for (partition, values) in read(bootstrap, topic).await {
        let own = (0..batches).filter(|n| n % partitions == partition as u64);
        let own: Vec<_> = own.flat_map(|n| expected(n * 10..n * 10 + 10)).collect();
        assert!(
            values == own,
            "{} of {} in partition {partition}",
            values.len(),
            own.len()
        );
    }
}

#[tokio::test]
async fn connections_cut_in_the_middle_of_answers_lose_and_repeat_nothing() {
    for version in Kafka::versions() {
        let kafka = Kafka::builder()
            .version(version)
            .proxied()
            .start()
            .await
            .unwrap();
        let topic = kafka.topic("cut", 3).await.unwrap();
        let client = connect(kafka.bootstrap()).await;
        let producer = Producer::start(&client, hasty()).unwrap();
        let proxy = kafka.broker(1).proxy(Listener::Plaintext);
        let done = Cell::new(false);
        let cut = async {
            let mut cuts = 0;
            while !done.get() {
                // Metadata and handshakes take some hundred bytes before a batch is answered.
                match cuts % 4 {
                    3 => proxy.pass(),
                    n => proxy.cut_after(1500 + fastrand::u64(..2000) * (n + 1)),
                }
                cuts += 1;
                tokio::time::sleep(Duration::from_millis(30)).await;
            }
            proxy.pass();
            println!("{cuts} changes, {} connections", proxy.total_connections());
        };
        tokio::join!(cut, async {
            produce_while(&producer, &topic, 3, 600, async {}).await;
            done.set(true);
        });
        assert!(proxy.total_connections() > 10);
        producer.close(PATIENCE).await;
        check(kafka.bootstrap(), &topic, 3, 600).await;
    }
}

#[tokio::test]
async fn pitfall_2_a_broker_frozen_past_the_request_timeout_has_each_batch_once() {
    for version in Kafka::versions() {
        let kafka = Kafka::builder().version(version).start().await.unwrap();
        let topic = kafka.topic("frozen", 2).await.unwrap();
        let client = connect(kafka.bootstrap()).await;
        let mut settings = hasty();
        settings.request_timeout = Duration::from_secs(1);
        let producer = Producer::start(&client, settings).unwrap();
        let broker = kafka.broker(1);
        produce_while(&producer, &topic, 2, 2000, async {
            for _ in 0..3 {
                tokio::time::sleep(Duration::from_millis(100)).await;
                broker.freeze().unwrap();
                tokio::time::sleep(Duration::from_millis(2500)).await;
                broker.thaw().unwrap();
            }
        })
        .await;
        producer.close(PATIENCE).await;
        check(kafka.bootstrap(), &topic, 2, 2000).await;
    }
}

#[tokio::test]
async fn a_broker_killed_and_stopped_and_restarted_has_each_batch_once() {
    for version in Kafka::versions() {
        let kafka = Kafka::builder().version(version).start().await.unwrap();
        let topic = kafka.topic("restarted", 2).await.unwrap();
        let client = connect(kafka.bootstrap()).await;
        let producer = Producer::start(&client, hasty()).unwrap();
        let broker = kafka.broker(1);
        produce_while(&producer, &topic, 2, 3000, async {
            for kill in [true, false] {
                tokio::time::sleep(Duration::from_millis(100)).await;
                if kill {
                    broker.kill().unwrap();
                } else {
                    broker.stop().unwrap();
                }
                broker.restart().await.unwrap();
            }
        })
        .await;
        producer.close(PATIENCE).await;
        check(kafka.bootstrap(), &topic, 2, 3000).await;
    }
}

#[tokio::test]
async fn pitfall_1_a_frozen_broker_bounds_every_call() {
    let kafka = Kafka::builder().start().await.unwrap();
    let topic = kafka.topic("bounded", 1).await.unwrap();
    let client = connect(kafka.bootstrap()).await;
    let mut settings = hasty();
    settings.request_timeout = Duration::from_millis(500);
    settings.delivery_timeout = Duration::from_secs(2);
    settings.max_block = Duration::from_secs(1);
    settings.max_buffered_bytes = 10_000;
    let producer = Producer::start(&client, settings).unwrap();
    let partition = TopicPartition::new(topic.as_str(), 0);
    send(&producer, &partition, numbers(0..1))
        .await
        .await
        .unwrap();

    kafka.broker(1).freeze().unwrap();
    let from = Instant::now();
    let first = send(&producer, &partition, numbers(1..2)).await;
    let mut behind = Vec::new();
    for n in 2..12 {
        behind.push(send(&producer, &partition, numbers(n..n + 1)).await);
    }
    // The buffer is full.
    let wide = |n: u64| batch([format!("{n}-{}", "x".repeat(5000))]);
    let _first_wide = send(&producer, &partition, wide(0)).await;
    let error = producer.send(&partition, wide(1)).await.unwrap_err();
    assert_eq!(
        (error.kind(), Written::of(&error)),
        (Kind::Timeout, Written::No)
    );
    assert!(error.to_string().contains("no room"), "{error:#}");

    let error = first.await.unwrap_err();
    assert_eq!(
        (error.kind(), Written::of(&error)),
        (Kind::Timeout, Written::Unknown)
    );
    assert!(
        error.to_string().contains("1 records")
            && error.to_string().contains("had no outcome within 2s"),
        "{error:#}"
    );
    let mut never_sent = 0;
    for delivery in behind {
        let error = delivery.await.unwrap_err();
        assert_eq!(error.kind(), Kind::Timeout);
        never_sent += usize::from(Written::of(&error) == Written::No);
    }
    assert_eq!(never_sent, 10 - 4);
    assert!(
        from.elapsed() < Duration::from_secs(4),
        "{:?}",
        from.elapsed()
    );

    let late = send(&producer, &partition, numbers(12..13)).await;
    let from = Instant::now();
    producer.close(Duration::from_millis(300)).await;
    assert!(
        from.elapsed() < Duration::from_secs(1),
        "{:?}",
        from.elapsed()
    );
    let error = late.await.unwrap_err();
    assert_eq!(
        (error.kind(), Written::of(&error)),
        (Kind::Cancelled, Written::No)
    );
    kafka.broker(1).thaw().unwrap();
    // What may have been written is there once at most; what was not sent is not there.
    let mut values = read(kafka.bootstrap(), &topic).await.remove(&0).unwrap();
    let sent = expected(0..6);
    assert!(
        values.iter().all(|value| sent.contains(value)),
        "{values:?}"
    );
    let all = values.len();
    values.dedup();
    assert_eq!(values.len(), all);
}

#[tokio::test]
async fn after_a_batch_was_given_up_the_next_ones_are_written() {
    let kafka = Kafka::builder().start().await.unwrap();
    let topic = kafka.topic("given-up", 1).await.unwrap();
    let client = connect(kafka.bootstrap()).await;
    let mut settings = hasty();
    settings.request_timeout = Duration::from_millis(500);
    settings.delivery_timeout = Duration::from_secs(1);
    let producer = Producer::start(&client, settings).unwrap();
    let partition = TopicPartition::new(topic.as_str(), 0);
    send(&producer, &partition, numbers(0..1))
        .await
        .await
        .unwrap();
    for n in 1..4 {
        kafka.broker(1).freeze().unwrap();
        let lost = send(&producer, &partition, numbers(n * 10..n * 10 + 1)).await;
        assert_eq!(Written::of(&lost.await.unwrap_err()), Written::Unknown);
        kafka.broker(1).thaw().unwrap();
        let mut delivered = false;
        while !delivered {
            delivered = send(&producer, &partition, numbers(n..n + 1))
                .await
                .await
                .is_ok();
        }
    }
    producer.close(PATIENCE).await;
    let values = read(kafka.bootstrap(), &topic).await.remove(&0).unwrap();
    let certain: Vec<_> = values.iter().filter(|value| value.len() == 1).collect();
    let mut once = certain.clone();
    once.dedup();
    assert_eq!(once, ["0", "1", "2", "3"]);
    println!("{values:?}");
}

#[tokio::test]
async fn pitfall_1_refused_and_silent_ports_bound_every_call() {
    let kafka = Kafka::builder().proxied().start().await.unwrap();
    let topic = kafka.topic("refused", 1).await.unwrap();
    let client = connect(kafka.bootstrap()).await;
    let mut settings = hasty();
    settings.request_timeout = Duration::from_millis(500);
    settings.delivery_timeout = Duration::from_secs(1);
    settings.max_block = Duration::from_secs(1);
    let proxy = kafka.broker(1).proxy(Listener::Plaintext);
    let partition = TopicPartition::new(topic.as_str(), 0);
    for silent in [true, false] {
        let producer = Producer::start(&client, settings.clone()).unwrap();
        send(&producer, &partition, numbers(0..1))
            .await
            .await
            .unwrap();
        if silent {
            proxy.freeze();
        } else {
            proxy.refuse();
        }
        proxy.cut();
        let from = Instant::now();
        let delivery = send(&producer, &partition, numbers(1..2)).await;
        let error = delivery.await.unwrap_err();
        assert_eq!(error.kind(), Kind::Timeout, "{error:#}");
        println!("{error:#}");
        // A topic that is not known yet.
        let other = TopicPartition::new(kafka.unique("other"), 0);
        let error = producer.send(&other, numbers(0..1)).await.unwrap_err();
        assert_eq!(
            (error.kind(), Written::of(&error)),
            (Kind::Timeout, Written::No)
        );
        producer.close(Duration::from_secs(1)).await;
        assert!(
            from.elapsed() < Duration::from_secs(5),
            "{:?}",
            from.elapsed()
        );
        proxy.pass();
    }
}
