use super::plain::spread;
use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn pitfall_8_a_broker_that_was_killed_and_comes_back_finds_its_members() {
    for version in Kafka::versions() {
        let kafka = Kafka::builder()
            .version(&version)
            .private()
            .start()
            .await
            .unwrap();
        let topic = kafka.topic("killed", 4).await.unwrap();
        let group = kafka.unique("group");
        let client = connect(&kafka).await;
        let seen = Seen::default();
        let join = || Seat::join_as(&client, settings(&group), &topic, &seen);
        let mut seats = [join(), join()];
        spread(&kafka, &topic, 4, 0, 40).await;
        until(&mut seats, "two", |seats| settled(seats, &[2, 2])).await;
        until(&mut seats, "read", |_| seen_all(&seen, 40)).await;
        let ids = seats
            .each_ref()
            .map(|seat| seat.consumer.status().member_id);
        kafka.brokers()[0].kill().unwrap();
        let handle = seats[0].consumer.handle();
        let first = (seats[0].owned.first().cloned()).unwrap();
        let commit = tokio::spawn(async move { handle.commit([(first, offset(10, ""))]).await });
        for _ in 0..20 {
            join_all(seats.iter_mut().map(Seat::step)).await;
        }
        assert!(share(&seats, &[2, 2]), "what is owned is kept meanwhile");
        assert!(!commit.is_finished());
        kafka.brokers()[0].restart().await.unwrap();
        until(&mut seats, "committed", |_| commit.is_finished()).await;
        commit.await.unwrap().unwrap();
        spread(&kafka, &topic, 4, 40, 40).await;
        let took = until(&mut seats, "read after the restart", |_| {
            seen_all(&seen, 80)
        })
        .await;
        until(&mut seats, "two again", |seats| settled(seats, &[2, 2])).await;
        println!("{version}: {} replays, {took:?}", replays(&seen));
        assert_eq!(
            ids,
            seats
                .each_ref()
                .map(|seat| seat.consumer.status().member_id)
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_freezes_and_thaws_finds_its_members() {
    let kafka = Kafka::builder().private().start().await.unwrap();
    let topic = kafka.topic("frozen", 4).await.unwrap();
    let group = kafka.unique("group");
    let client = connect(&kafka).await;
    let seen = Seen::default();
    let join = || {
        let mut settings = settings(&group);
        settings.member.request_timeout = Duration::from_secs(2);
        Seat::join_as(&client, settings, &topic, &seen)
    };
    let mut seats = [join(), join()];
    spread(&kafka, &topic, 4, 0, 40).await;
    until(&mut seats, "two", |seats| share(seats, &[2, 2])).await;
    until(&mut seats, "read", |_| seen_all(&seen, 40)).await;
    kafka.brokers()[0].freeze().unwrap();
    let frozen = Instant::now();
    while frozen.elapsed() < Duration::from_secs(5) {
        join_all(seats.iter_mut().map(Seat::step)).await;
    }
    kafka.brokers()[0].thaw().unwrap();
    spread(&kafka, &topic, 4, 40, 40).await;
    until(&mut seats, "read after the thaw", |_| seen_all(&seen, 80)).await;
    until(&mut seats, "two again", |seats| share(seats, &[2, 2])).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pitfall_1_closing_ends_in_time_while_the_broker_is_frozen() {
    let kafka = Kafka::builder().private().start().await.unwrap();
    let topic = kafka.topic("frozen", 1).await.unwrap();
    let mut settings = settings(&kafka.unique("group"));
    settings.close_timeout = Duration::from_secs(1);
    settings.commit_timeout = Duration::from_secs(1);
    let mut seats = [Seat::join(&kafka, settings, &topic).await];
    until(&mut seats, "one", |seats| share(seats, &[1])).await;
    kafka.brokers()[0].freeze().unwrap();
    let [seat] = seats;
    let begun = Instant::now();
    let commit = seat
        .consumer
        .commit([(TopicPartition::new(topic, 0), offset(0, ""))]);
    let error = commit.await.unwrap_err();
    assert_eq!(error.kind(), Kind::Timeout, "{error:#}");
    let error = seat.consumer.close().await.unwrap_err();
    assert_eq!(error.kind(), Kind::Timeout, "{error:#}");
    assert!(begun.elapsed() < Duration::from_secs(4));
}

#[tokio::test(flavor = "multi_thread")]
async fn members_follow_their_coordinator_to_another_broker() {
    let kafka = Kafka::builder().brokers(3).private().start().await.unwrap();
    let topic = kafka.unique("moving");
    kafka.create_topic(&topic, 6, 3).await.unwrap();
    let group = kafka.unique("group");
    let client = connect(&kafka).await;
    let seen = Seen::default();
    let join = || Seat::join_as(&client, settings(&group), &topic, &seen);
    let mut seats = [join(), join()];
    spread(&kafka, &topic, 6, 0, 60).await;
    until(&mut seats, "two", |seats| settled(seats, &[3, 3])).await;
    until(&mut seats, "read", |_| seen_all(&seen, 60)).await;
    let status = seats[0].consumer.status();
    let coordinator = status.coordinator.unwrap();
    kafka.broker(coordinator).kill().unwrap();
    let handle = seats[0].consumer.handle();
    let first = (seats[0].owned.first().cloned()).unwrap();
    let commit = tokio::spawn(async move { handle.commit([(first, offset(10, ""))]).await });
    let took = until(&mut seats, "moved", |seats| {
        let elsewhere = |seat: &Seat| {
            let status = seat.consumer.status();
            status.stable && status.coordinator.is_some_and(|node| node != coordinator)
        };
        seats.iter().all(elsewhere)
    })
    .await;
    println!("the coordinator moved within {took:?}");
    until(&mut seats, "committed", |_| commit.is_finished()).await;
    commit.await.unwrap().unwrap();
    until(&mut seats, "two again", |seats| share(seats, &[3, 3])).await;
    assert_eq!(seats[0].consumer.status().member_id, status.member_id);
    spread(&kafka, &topic, 6, 60, 60).await;
    until(&mut seats, "read after the move", |_| seen_all(&seen, 120)).await;
}
