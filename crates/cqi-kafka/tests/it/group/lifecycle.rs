use tokio::runtime::Runtime;

use super::plain::spread;
use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn the_readmes_consumer_runs() {
    let kafka = Kafka::start().await.unwrap();
    let topic = kafka.topic("prices", 1).await.unwrap();
    spread(&kafka, &topic, 1, 0, 3).await;
    let client = Client::connect(ClientSettings::new([kafka.bootstrap()]))
        .await
        .unwrap();
    let mut settings = GroupSettings::new(kafka.unique("billing"));
    settings.fetch.start = StartPosition::Earliest;
    let mut consumer = GroupConsumer::join(&client, settings, [topic]).unwrap();
    let mut values = Vec::new();
    while values.len() < 3 {
        match consumer.poll(Duration::from_secs(30)).await.unwrap() {
            Some(Event::Records(records)) => {
                for record in &*records {
                    values.push(record.value().unwrap().to_vec());
                }
                consumer.commit([records.next_offset()]).await.unwrap();
            }
            Some(Event::Lost(partitions)) => panic!("lost {partitions:?}"),
            _ => {}
        }
    }
    assert_eq!(values, [b"0", b"1", b"2"]);
    assert_eq!(consumer.status().lag(), 0);
    consumer.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn pitfall_4_closing_leaves_at_once_and_a_restart_replays_nothing() {
    for version in Kafka::versions() {
        let kafka = Kafka::start_version(&version).await.unwrap();
        let topic = kafka.topic("closing", 4).await.unwrap();
        let group = kafka.unique("group");
        let client = connect(&kafka).await;
        let seen = Seen::default();
        // Nobody would take over by the session timeout in time.
        let join = || {
            let mut settings = settings(&group);
            settings.member.session_timeout = Duration::from_secs(30);
            Seat::join_as(&client, settings, &topic, &seen)
        };
        let mut seats = vec![join(), join()];
        // A commit amid a rebalance would be refused, and its records come again.
        until(&mut seats, "two", |seats| settled(seats, &[2, 2])).await;
        spread(&kafka, &topic, 4, 0, 40).await;
        until(&mut seats, "read", |_| seen_all(&seen, 40)).await;
        let begun = Instant::now();
        seats.remove(0).consumer.close().await.unwrap();
        let closed = begun.elapsed();
        assert!(closed < Duration::from_secs(1), "closed in {closed:?}");
        let took = until(&mut seats, "one", |seats| share(seats, &[4])).await;
        assert!(took < Duration::from_secs(3), "took over after {took:?}");
        seats.remove(0).consumer.close().await.unwrap();
        spread(&kafka, &topic, 4, 40, 8).await;
        let mut seats = [join()];
        until(&mut seats, "read again", |_| seen_all(&seen, 48)).await;
        assert_eq!(replays(&seen), 0);
    }
}

#[test]
fn a_member_that_dies_without_a_word_is_replaced_after_its_session() {
    let runtime = Runtime::new().unwrap();
    let doomed = Runtime::new().unwrap();
    let (kafka, topic, group) = runtime.block_on(async {
        let kafka = Kafka::start().await.unwrap();
        let topic = kafka.topic("dying", 6).await.unwrap();
        let group = kafka.unique("group");
        (kafka, topic, group)
    });
    let seen = Seen::default();
    let first = doomed.block_on(async {
        let client = connect(&kafka).await;
        let mut seats = [Seat::join_as(&client, settings(&group), &topic, &seen)];
        spread(&kafka, &topic, 6, 0, 60).await;
        until(&mut seats, "read", |_| seen_all(&seen, 60)).await;
        seats
    });
    let mut seats = runtime.block_on(async {
        let client = connect(&kafka).await;
        vec![Seat::join_as(&client, settings(&group), &topic, &seen)]
    });
    // Two together, until each has its half.
    let [mut first] = first;
    let deadline = Instant::now() + PATIENCE;
    while seats[0].count() != 3 || first.count() != 3 {
        assert!(Instant::now() < deadline);
        doomed.block_on(first.step());
        runtime.block_on(seats[0].step());
    }
    doomed.shutdown_background();
    runtime.block_on(async {
        spread(&kafka, &topic, 6, 60, 60).await;
        let took = until(&mut seats, "taken over", |seats| share(seats, &[6])).await;
        assert!(took > Duration::from_secs(3), "taken over after {took:?}");
        assert!(took < SESSION * 2, "taken over after {took:?}");
        until(&mut seats, "read by the rest", |_| seen_all(&seen, 120)).await;
        assert_eq!(replays(&seen), 0);
    });
    // A consumer whose runtime is gone says so.
    let error = loop {
        match runtime.block_on(first.consumer.poll(PATIENCE)) {
            Ok(heard) => assert!(heard.is_some(), "nothing more is told"),
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), Kind::Permanent, "{error:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn pitfall_5_a_caller_that_stops_polling_leaves_and_comes_back_with_its_next_poll() {
    let kafka = Kafka::start().await.unwrap();
    let topic = kafka.topic("stuck", 4).await.unwrap();
    let group = kafka.unique("group");
    let client = connect(&kafka).await;
    let seen = Seen::default();
    let join = |interval| {
        let mut settings = settings(&group);
        settings.member.max_poll_interval = interval;
        Seat::join_as(&client, settings, &topic, &seen)
    };
    let mut stuck = join(Duration::from_secs(2));
    let mut others = [join(Duration::from_secs(60))];
    let deadline = Instant::now() + PATIENCE;
    while stuck.count() != 2 || others[0].count() != 2 {
        assert!(Instant::now() < deadline);
        tokio::join!(stuck.step(), others[0].step());
    }
    stuck.log.clear();
    let took = until(&mut others, "all", |seats| share(seats, &[4])).await;
    assert!(took < Duration::from_secs(5), "left after {took:?}");
    let status = stuck.consumer.status();
    assert!(status.owned.is_empty() && status.generation.is_none());
    let late = stuck
        .consumer
        .commit([(TopicPartition::new(topic.clone(), 0), offset(0, ""))]);
    assert_eq!(late.await.unwrap_err().kind(), Kind::Conflict);
    let [other] = others;
    let mut both = [stuck, other];
    let back = until(&mut both, "two again", |seats| share(seats, &[2, 2])).await;
    println!("left within {took:?}, came back within {back:?}");
    assert_eq!(both[0].log, ["lost", "assigned"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn waiting_in_a_poll_counts_as_being_alive() {
    let kafka = Kafka::start().await.unwrap();
    let topic = kafka.topic("waiting", 1).await.unwrap();
    let mut settings = settings(&kafka.unique("group"));
    settings.member.max_poll_interval = Duration::from_secs(1);
    let mut seats = [Seat::join(&kafka, settings, &topic).await];
    until(&mut seats, "one", |seats| share(seats, &[1])).await;
    let [mut seat] = seats;
    let nothing = seat.consumer.poll(Duration::from_secs(5)).await.unwrap();
    assert!(nothing.is_none(), "{nothing:?}");
    assert_eq!(seat.consumer.status().owned.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_subscription_takes_effect() {
    let kafka = Kafka::start().await.unwrap();
    let first = kafka.topic("first", 2).await.unwrap();
    let second = kafka.topic("second", 3).await.unwrap();
    let mut seats = [Seat::join(&kafka, settings(&kafka.unique("group")), &first).await];
    until(&mut seats, "the first", |seats| share(seats, &[2])).await;
    seats[0].consumer.subscribe([&*second]).unwrap();
    let wanted = of(&second, 0..3);
    until(&mut seats, "the second", |seats| seats[0].owned == wanted).await;
    seats[0].consumer.subscribe([""; 0]).unwrap();
    until(&mut seats, "none", |seats| {
        seats[0].count() == 0 && seats[0].consumer.status().generation.is_none()
    })
    .await;
    seats[0].consumer.subscribe([&*first]).unwrap();
    until(&mut seats, "the first again", |seats| share(seats, &[2])).await;
}

type Change = fn(&mut GroupSettings);

#[test]
fn settings_that_cannot_work_are_named() {
    let runtime = Runtime::new().unwrap();
    let client = runtime.block_on(async { connect(&Kafka::start().await.unwrap()).await });
    let refused = |change: Change, topic: &str| {
        let mut settings = settings("group");
        change(&mut settings);
        let _guard = runtime.enter();
        let refused = GroupConsumer::join(&client, settings, [topic]);
        let error = refused.map(drop).unwrap_err();
        assert_eq!(error.kind(), Kind::InvalidInput);
        error.to_string()
    };
    let cases: [(&str, Change); 11] = [
        ("group", |s| s.member.group = "".into()),
        ("instance_id", |s| s.member.instance_id = Some("".into())),
        ("assignors", |s| s.member.assignors.clear()),
        ("assignors", |s| {
            s.member.assignors = vec![Assignor::Range; 2];
        }),
        ("heartbeat_interval", |s| {
            s.member.heartbeat_interval = SESSION / 2;
        }),
        ("session_timeout", |s| {
            s.member.session_timeout = Duration::ZERO;
        }),
        ("max_poll_interval", |s| {
            s.member.max_poll_interval = Duration::MAX;
        }),
        ("backoff", |s| s.member.backoff = SESSION),
        ("max_queued_commits", |s| s.max_queued_commits = 0),
        ("close_timeout", |s| s.close_timeout = Duration::ZERO),
        ("max_poll_records", |s| s.fetch.max_poll_records = 0),
    ];
    for (named, change) in cases {
        let error = refused(change, "t");
        assert!(error.contains(named), "{error}");
        assert!(error.contains("allowed") || error.contains("needed") || error.contains("name"));
    }
    assert!(refused(|_| (), "a b").contains("\"a b\""));
    let outside = GroupConsumer::join(&client, settings("group"), ["t"]);
    assert_eq!(outside.map(drop).unwrap_err().kind(), Kind::Permanent);
}

#[tokio::test(flavor = "multi_thread")]
async fn anybody_sees_what_a_group_has_committed() {
    for version in Kafka::versions() {
        let kafka = Kafka::start_version(&version).await.unwrap();
        let topic = kafka.topic("seen", 2).await.unwrap();
        let group = kafka.unique("group");
        let mut seats = [Seat::join(&kafka, settings(&group), &topic).await];
        until(&mut seats, "both", |seats| share(seats, &[2])).await;
        let [committed, other] = [0, 1].map(|p| TopicPartition::new(topic.clone(), p));
        let noted = Offset {
            leader_epoch: Some(0),
            ..offset(7, "noted")
        };
        let commit = seats[0]
            .consumer
            .commit([(committed.clone(), noted.clone())]);
        commit.await.unwrap();
        let client = connect(&kafka).await;
        let expected = BTreeMap::from([(committed, Some(noted)), (other, None)]);
        let asked = expected.keys().cloned();
        assert_eq!(client.committed(&group, asked).await.unwrap(), expected);
        let nobody = client.committed("nobody", expected.keys().cloned());
        assert!(nobody.await.unwrap().values().all(Option::is_none));
        assert!(client.committed(&group, []).await.unwrap().is_empty());
    }
}
