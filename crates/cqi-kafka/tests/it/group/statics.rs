use super::plain::spread;
use super::*;

fn fixed(group: &str, instance: &str) -> GroupSettings {
    let mut settings = settings(group);
    settings.member.instance_id = Some(instance.into());
    settings.member.session_timeout = Duration::from_secs(20);
    settings
}

#[tokio::test(flavor = "multi_thread")]
async fn a_static_member_restarts_without_a_rebalance() {
    for version in Kafka::versions() {
        let kafka = Kafka::start_version(&version).await.unwrap();
        let topic = kafka.topic("static", 4).await.unwrap();
        let group = kafka.unique("group");
        let client = connect(&kafka).await;
        let seen = Seen::default();
        let join = |id| Seat::join_as(&client, fixed(&group, id), &topic, &seen);
        let mut seats = vec![join("a"), join("b")];
        until(&mut seats, "two", |seats| share(seats, &[2, 2])).await;
        let (had, events) = (seats[0].owned.clone(), seats[1].log.len());
        let generation = seats[1].consumer.status().generation;
        seats.remove(0).consumer.close().await.unwrap();
        spread(&kafka, &topic, 4, 0, 40).await;
        seats.insert(0, join("a"));
        until(&mut seats, "back", |seats| seats[0].owned == had).await;
        until(&mut seats, "read", |_| seen_all(&seen, 40)).await;
        assert_eq!(seats[1].log.len(), events, "the other one was disturbed");
        assert_eq!(seats[1].consumer.status().generation, generation);
        assert_eq!(replays(&seen), 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pitfall_8_a_second_process_with_the_same_instance_id_fences_the_first() {
    let kafka = Kafka::start().await.unwrap();
    let topic = kafka.topic("fenced", 2).await.unwrap();
    let group = kafka.unique("group");
    let client = connect(&kafka).await;
    let join = || Seat::join_as(&client, fixed(&group, "one"), &topic, &Seen::default());
    let mut first = [join()];
    until(&mut first, "the first", |seats| share(seats, &[2])).await;
    let mut second = [join()];
    until(&mut second, "the second", |seats| share(seats, &[2])).await;
    let [mut first] = first;
    let deadline = Instant::now() + PATIENCE;
    let error = loop {
        assert!(Instant::now() < deadline, "never fenced");
        match first.consumer.poll(Duration::from_secs(1)).await {
            Ok(Some(Event::Lost(partitions))) => assert_eq!(partitions, of(&topic, 0..2)),
            Ok(other) => assert!(other.is_none(), "{other:?}"),
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), Kind::Conflict, "{error:#}");
    assert!(
        error.to_string().contains("FENCED_INSTANCE_ID"),
        "{error:#}"
    );
    let again = first.consumer.poll(PATIENCE).await.unwrap_err();
    assert_eq!(again.to_string(), error.to_string());
    first.consumer.close().await.unwrap();
    until(&mut second, "undisturbed", |seats| share(seats, &[2])).await;
}
