//! What brokers do rarely.

use std::collections::BTreeSet;

use expect_test::expect;

use super::*;

/// Every code of the protocol guide, and some that it does not have.
fn codes() -> impl Iterator<Item = i16> {
    (-1..=140)
        .chain([999, i16::MAX, i16::MIN])
        .filter(|code| *code != 0)
}

fn start(client: &Client, delivery_timeout: Duration) -> Producer {
    let mut settings = hasty();
    settings.request_timeout = Duration::from_secs(1);
    settings.delivery_timeout = delivery_timeout;
    settings.retry_backoff = Duration::from_millis(1);
    settings.retry_backoff_max = Duration::from_millis(10);
    Producer::start(client, settings).unwrap()
}

fn outcome(error: &cqi_errors::Error) -> String {
    format!("{:?} {:?}", error.kind(), Written::of(error))
}

/// The codes of each outcome.
fn by_outcome(outcomes: impl IntoIterator<Item = (i16, String)>) -> String {
    let mut codes: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (code, outcome) in outcomes {
        codes.entry(outcome).or_default().push(code.to_string());
    }
    let lines = codes.iter();
    let lines = lines.map(|(outcome, codes)| format!("{outcome}: {}\n", codes.join(" ")));
    lines.collect()
}

/// The values that a scripted broker has, in order.
fn held(kafka: &ScriptedKafka, topic: &str) -> Vec<String> {
    let mut values = Vec::new();
    for batch in kafka.batches(topic, 0) {
        for record in FetchedRecords::new(batch, 0, Decompressor::default()) {
            values.push(String::from_utf8(record.unwrap().value().unwrap().to_vec()).unwrap());
        }
    }
    values
}

#[tokio::test]
async fn every_code_of_a_produce_answer_passes_or_ends_in_its_outcome() {
    let kafka = ScriptedKafka::builder().topic("t", 1).start().unwrap();
    let client = connect(kafka.bootstrap()).await;
    let producer = start(&client, PATIENCE);
    let partition = TopicPartition::new("t", 0);
    let (mut written, mut refused) = (Vec::new(), Vec::new());
    for (n, code) in codes().enumerate() {
        let (n, done) = (n as u64 * 10, n % 2 == 0);
        send(&producer, &partition, numbers(n..n + 1))
            .await
            .await
            .unwrap();
        written.push(n.to_string());
        let reply = if done {
            Reply::DoneButError(code)
        } else {
            Reply::Error(code)
        };
        kafka.next(Api::Produce, reply);
        let deliveries = [
            send(&producer, &partition, numbers(n + 1..n + 2)).await,
            send(&producer, &partition, numbers(n + 2..n + 3)).await,
        ];
        let [first, second] = deliveries;
        match first.await {
            Ok(_) => written.push((n + 1).to_string()),
            Err(error) => {
                refused.push((code, outcome(&error)));
                // What the scripted broker did, and what its code says, need not agree.
                if done {
                    written.push((n + 1).to_string());
                }
            }
        }
        second.await.unwrap();
        written.push((n + 2).to_string());
    }
    producer.close(PATIENCE).await;
    assert_eq!(held(&kafka, "t"), written);
    expect![[r#"
        Conflict No: 47 90
        Conflict Unknown: 22 25 27 82
        Forbidden No: 29 31 53
        Forbidden Unknown: 30 65
        InvalidInput No: 10 17 18 32 44 87
        InvalidInput Unknown: 12 24 26 28
        NotFound Unknown: 1 109
        Permanent No: 21 33 34 35 42 43 49 76
        Permanent Unknown: 4 11 23 36 37 38 39 40 48 50 52 54 55 57 60 61 62 63 64 66 67 68 69 73 77 79 81 85 86 91 92 93 94 95 96 97 98 99 101 102 104 105 107 108 110 111 112 113 114 115 116 117 118 119 120 121 124 125 126 127 128 129 130 131 132
        Temporary Unknown: 8 70 71 80 83 84 88 106 122 123 133
        Unauthorized Unknown: 58
        Unknown Unknown: -1 134 135 136 137 138 139 140 999 32767 -32768
    "#]].assert_eq(&by_outcome(refused));
}

#[tokio::test]
async fn every_code_for_good_ends_in_its_outcome_in_time() {
    let kafka = ScriptedKafka::builder().topic("t", 1).start().unwrap();
    let client = connect(kafka.bootstrap()).await;
    let partition = TopicPartition::new("t", 0);
    let all = codes().map(|code| {
        let (client, partition) = (client.clone(), partition.clone());
        async move {
            let kafka = ScriptedKafka::builder().topic("t", 1).start().unwrap();
            let client = match code {
                0 => client,
                _ => connect(kafka.bootstrap()).await,
            };
            let producer = start(&client, Duration::from_secs(2));
            kafka.always(Api::Produce, Reply::Error(code));
            let from = Instant::now();
            let delivery = send(&producer, &partition, numbers(0..1)).await;
            let outcome = tokio::time::timeout(PATIENCE, delivery).await.unwrap();
            let took = from.elapsed();
            // Pauses are 1 to 10 ms: no faster.
            let asked = kafka.count(Api::Produce);
            assert!(asked < 400, "{code}: {asked} requests in {took:?}");
            kafka.behave();
            send(&producer, &partition, numbers(1..2))
                .await
                .await
                .unwrap();
            producer.close(PATIENCE).await;
            client.close().await;
            match outcome {
                Ok(_) => (code, "delivered".to_owned()),
                // An attempt may be under way when the time is over, or none: see the next test.
                Err(error) if error.kind() == Kind::Timeout => (code, "Timeout".to_owned()),
                Err(error) => (code, self::outcome(&error)),
            }
        }
    });
    let outcomes: Vec<_> = futures_util::stream::iter(all).buffered(16).collect().await;
    expect![[r#"
        Conflict No: 47 90
        Conflict Unknown: 22 25 27 82
        Forbidden No: 29 31 53
        Forbidden Unknown: 30 65
        InvalidInput No: 10 17 18 32 44 87
        InvalidInput Unknown: 12 24 26 28
        NotFound Unknown: 1 109
        Permanent No: 21 33 34 35 42 43 49 76
        Permanent Unknown: 4 11 23 36 37 38 39 40 48 50 52 54 55 57 60 61 62 63 64 66 67 68 69 73 77 79 81 85 86 91 92 93 94 95 96 97 98 99 101 102 104 105 107 108 110 111 112 113 114 115 116 117 118 119 120 121 124 125 126 127 128 129 130 131 132
        Temporary No: 2
        Temporary Unknown: 8 70 71 80 83 84 88 106 122 123 133
        Timeout: 3 5 6 7 9 13 14 15 16 19 20 41 45 51 56 59 72 74 75 78 89 100 103
        Unauthorized Unknown: 58
        Unknown Unknown: -1 134 135 136 137 138 139 140 999 32767 -32768
        delivered: 46
    "#]].assert_eq(&by_outcome(outcomes));
}

/// The pause after the first attempt outlasts the batch, so that none is under way at the end.
#[tokio::test]
async fn a_batch_out_of_time_may_be_written_unless_its_last_code_says_no() {
    let partition = TopicPartition::new("t", 0);
    let all = codes().map(|code| {
        let partition = partition.clone();
        async move {
            let kafka = ScriptedKafka::builder().topic("t", 1).start().unwrap();
            let client = connect(kafka.bootstrap()).await;
            let mut settings = hasty();
            settings.request_timeout = Duration::from_secs(5);
            settings.delivery_timeout = Duration::from_secs(5);
            settings.retry_backoff = Duration::from_secs(600);
            settings.retry_backoff_max = Duration::from_secs(600);
            let producer = Producer::start(&client, settings).unwrap();
            kafka.always(Api::Produce, Reply::Error(code));
            let outcome = send(&producer, &partition, numbers(0..1)).await.await;
            assert_eq!(kafka.count(Api::Produce), 1, "{code}");
            let error = outcome.err().filter(|e| e.kind() == Kind::Timeout);
            client.close().await;
            error.map(|error| (code, outcome_of_last(code, &error)))
        }
    });
    let outcomes: Vec<_> = futures_util::stream::iter(all).buffered(24).collect().await;
    expect![[r#"
        Timeout No: 2 19 45 59
        Timeout Unknown: 3 5 6 7 9 13 14 15 16 20 41 51 56 72 74 75 78 89 100 103
    "#]]
    .assert_eq(&by_outcome(outcomes.into_iter().flatten()));
}

/// The text names what the broker said.
fn outcome_of_last(code: i16, error: &cqi_errors::Error) -> String {
    let text = error.to_string();
    assert!(text.contains(&format!("({code})")), "{text}");
    outcome(error)
}

#[tokio::test]
async fn a_dropped_producer_tells_of_each_batch_what_is_known() {
    let kafka = ScriptedKafka::builder().topic("t", 1).start().unwrap();
    let client = connect(kafka.bootstrap()).await;
    let partition = TopicPartition::new("t", 0);
    for closed in [false, true] {
        kafka.behave();
        let producer = start(&client, PATIENCE);
        kafka.always(Api::Produce, Reply::Silence);
        let before = kafka.count(Api::Produce);
        let sent = send(&producer, &partition, numbers(0..1)).await;
        let behind = send(&producer, &partition, numbers(1..2)).await;
        until(|| kafka.count(Api::Produce) > before).await;
        let clone = producer.clone();
        if closed {
            // Twice given up halfway: at the timeout, and while the task ends.
            let mut close = Box::pin(clone.close(Duration::ZERO));
            for _ in 0..2 {
                let _ = futures_util::FutureExt::now_or_never(&mut close);
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        } else {
            drop((producer, clone));
        }
        for (delivery, written) in [(sent, Written::Unknown), (behind, Written::No)] {
            let outcome = tokio::time::timeout(PATIENCE, delivery).await.unwrap();
            let error = outcome.unwrap_err();
            assert_eq!(
                (error.kind(), Written::of(&error)),
                (Kind::Cancelled, written)
            );
            let context = error.context("cannot publish");
            assert_eq!(Written::of(&context), written);
        }
    }
}

#[tokio::test]
async fn a_topic_without_batches_is_not_followed_for_ever() {
    let kafka = ScriptedKafka::builder()
        .topic("t", 1)
        .topic("u", 1)
        .start()
        .unwrap();
    let client = connect(kafka.bootstrap()).await;
    let mut settings = hasty();
    settings.metadata_max_idle = Duration::from_secs(1);
    let producer = Producer::start(&client, settings).unwrap();
    let [left, other] = ["t", "u"].map(|topic| TopicPartition::new(topic, 0));
    let deliver = async |partition| {
        let delivery = send(&producer, partition, numbers(0..1)).await;
        delivery.await.unwrap();
    };
    deliver(&left).await;
    kafka.remove_topic("t");
    // The topic is asked for again and again as long as it is followed.
    deliver(&other).await;
    let mut quiet = false;
    let from = Instant::now();
    while !quiet && from.elapsed() < PATIENCE {
        let before = kafka.count(Api::Metadata);
        let long = Duration::from_millis(2500);
        let _ = tokio::time::timeout(long, std::future::pending::<()>()).await;
        quiet = kafka.count(Api::Metadata) == before;
    }
    assert!(quiet);
    deliver(&other).await;
    producer.close(PATIENCE).await;
}

#[tokio::test]
async fn a_topic_with_batches_is_followed_although_a_later_call_gave_up() {
    let kafka = ScriptedKafka::builder().topic("t", 1).start().unwrap();
    let client = connect(kafka.bootstrap()).await;
    let mut settings = hasty();
    settings.max_block = Duration::from_millis(300);
    let producer = Producer::start(&client, settings).unwrap();
    let partition = TopicPartition::new("t", 0);
    kafka.always(Api::Produce, Reply::Error(6));
    let mut deliveries = vec![send(&producer, &partition, numbers(0..1)).await];
    kafka.always(Api::Metadata, Reply::Error(3));
    let error = loop {
        match producer.send(&partition, numbers(1..2)).await {
            Ok(delivery) => deliveries.push(delivery),
            Err(error) => break error,
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert_eq!(error.kind(), Kind::NotFound, "{error:#}");
    kafka.behave();
    for delivery in deliveries {
        delivery.await.unwrap();
    }
    producer.close(PATIENCE).await;
}

#[tokio::test]
async fn every_code_for_a_producer_id_passes_or_is_told() {
    let kafka = ScriptedKafka::builder().topic("t", 1).start().unwrap();
    let client = connect(kafka.bootstrap()).await;
    let partition = TopicPartition::new("t", 0);
    let mut told = Vec::new();
    for code in codes() {
        let producer = start(&client, PATIENCE);
        kafka.next(Api::InitProducerId, Reply::Error(code));
        let delivery = send(&producer, &partition, numbers(0..1)).await;
        if let Err(error) = delivery.await {
            assert_eq!(Written::of(&error), Written::No);
            told.push((code, outcome(&error)));
            // It is not the end: the next batch asks again.
            send(&producer, &partition, numbers(0..1))
                .await
                .await
                .unwrap();
        }
        producer.close(PATIENCE).await;
    }
    expect![[r#"
        Conflict No: 22 25 27 47 82 90
        Forbidden No: 29 30 31 53 65
        InvalidInput No: 10 12 17 18 24 26 28 32 44 87
        NotFound No: 1 109
        Permanent No: 4 11 21 23 33 34 35 36 37 38 39 40 42 43 45 46 48 49 50 51 52 54 55 57 59 60 61 62 63 64 66 67 68 69 73 76 77 79 81 85 86 91 92 93 94 95 96 97 98 99 101 102 104 105 107 108 110 111 112 113 114 115 116 117 118 119 120 121 124 125 126 127 128 129 130 131 132
        Unauthorized No: 58
        Unknown No: -1 134 135 136 137 138 139 140 999 32767 -32768
    "#]].assert_eq(&by_outcome(told));
}

#[tokio::test]
async fn answers_that_do_not_come_or_make_no_sense_are_asked_for_again() {
    let kafka = ScriptedKafka::builder().topic("t", 1).start().unwrap();
    let client = connect(kafka.bootstrap()).await;
    let partition = TopicPartition::new("t", 0);
    let replies = [
        Reply::Silence,
        Reply::Close,
        Reply::Reset,
        Reply::DoneButClose,
        Reply::CloseAfterBytes(7),
        Reply::StallAfterBytes(9),
        Reply::Truncated(6),
        Reply::WrongCorrelationId,
        Reply::Length(i32::MAX),
        Reply::Length(-1),
        Reply::Garbage(1),
        Reply::Delay(Duration::from_millis(500)),
        Reply::Late(Duration::from_millis(500)),
        Reply::Throttle(Duration::from_millis(100)),
        Reply::Padded(10),
    ];
    let producer = start(&client, PATIENCE);
    for (n, reply) in (0..).zip(replies) {
        for api in [Api::Produce, Api::InitProducerId] {
            kafka.next(api, reply);
        }
        let n = n * 3;
        let mut deliveries = Vec::new();
        for n in n..n + 3 {
            deliveries.push(send(&producer, &partition, numbers(n..n + 1)).await);
        }
        for delivery in deliveries {
            delivery
                .await
                .unwrap_or_else(|error| panic!("{reply:?}: {error:#}"));
        }
    }
    producer.close(PATIENCE).await;
    assert_eq!(held(&kafka, "t"), expected(0..45));
}

#[tokio::test]
async fn a_leader_that_moved_is_followed() {
    let kafka = ScriptedKafka::builder()
        .brokers(2)
        .topic("t", 1)
        .start()
        .unwrap();
    let client = connect(kafka.bootstrap()).await;
    let producer = start(&client, PATIENCE);
    let partition = TopicPartition::new("t", 0);
    for n in 0..20 {
        kafka.move_leader("t", 0, (n % 2) as i32 + 1).unwrap();
        let deliveries = [
            send(&producer, &partition, numbers(n * 2..n * 2 + 1)).await,
            send(&producer, &partition, numbers(n * 2 + 1..n * 2 + 2)).await,
        ];
        for delivery in deliveries {
            delivery.await.unwrap();
        }
    }
    assert_eq!(held(&kafka, "t"), expected(0..40));
    producer.close(PATIENCE).await;
}

#[tokio::test]
async fn acknowledged_records_that_brokers_lost_do_not_stop_a_partition() {
    let kafka = ScriptedKafka::builder().topic("t", 1).start().unwrap();
    let client = connect(kafka.bootstrap()).await;
    let producer = start(&client, PATIENCE);
    let partition = TopicPartition::new("t", 0);
    for n in 0..5 {
        send(&producer, &partition, numbers(n..n + 1))
            .await
            .await
            .unwrap();
    }
    kafka.lose_records("t", 0, 2).unwrap();
    for n in 5..8 {
        send(&producer, &partition, numbers(n..n + 1))
            .await
            .await
            .unwrap();
    }
    assert_eq!(held(&kafka, "t"), ["0", "1", "5", "6", "7"]);
    producer.close(PATIENCE).await;
}

#[tokio::test]
async fn each_partition_keeps_to_one_of_the_connections_to_its_leader() {
    for connections in [1, 3] {
        let kafka = ScriptedKafka::builder().topic("t", 5).start().unwrap();
        let client = connect(kafka.bootstrap()).await;
        let mut settings = hasty();
        settings.connections_per_broker = connections;
        let producer = Producer::start(&client, settings).unwrap();
        for n in 0..20 {
            let partition = TopicPartition::new("t", n % 5);
            let delivery = send(&producer, &partition, numbers(0..1)).await;
            delivery.await.unwrap();
        }
        let used = kafka.requests(Api::Produce).into_iter();
        let used: Vec<_> = used.map(|request| request.connection).collect();
        assert_eq!(BTreeSet::from_iter(&used).len(), connections);
        for round in used.chunks(5) {
            assert_eq!(round, &used[..5]);
        }
        producer.close(PATIENCE).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_producer_without_work_asks_nothing() {
    let kafka = ScriptedKafka::builder().topic("t", 1).start().unwrap();
    let client = connect(kafka.bootstrap()).await;
    let producer = start(&client, PATIENCE);
    let partition = TopicPartition::new("t", 0);
    send(&producer, &partition, numbers(0..1))
        .await
        .await
        .unwrap();
    let before = [Api::Produce, Api::InitProducerId].map(|api| kafka.count(api));
    let quiet = tokio::time::timeout(Duration::from_millis(500), std::future::pending::<()>());
    quiet.await.unwrap_err();
    let after = [Api::Produce, Api::InitProducerId].map(|api| kafka.count(api));
    assert_eq!(before, after);
    // The last handle ends the task and its connections.
    drop(producer);
}

#[tokio::test]
async fn a_closed_client_ends_a_search_at_once() {
    let kafka = ScriptedKafka::builder().topic("orders", 1).start().unwrap();
    let client = connect(kafka.bootstrap()).await;
    let producer = Producer::start(&client, ProducerSettings::default()).unwrap();
    let partition = TopicPartition::new("nowhere", 0);
    let search = producer.send(&partition, numbers(0..1));
    let close = async {
        kafka.requested(Api::Metadata, 2).await.unwrap();
        client.close().await;
    };
    let both = async { tokio::join!(search, close).0 };
    let error = tokio::time::timeout(Duration::from_secs(10), both)
        .await
        .unwrap()
        .unwrap_err();
    assert_eq!(error.kind(), Kind::Cancelled, "{error:#}");
    assert_eq!(Written::of(&error), Written::No);
}
