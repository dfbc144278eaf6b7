use super::plain::spread;
use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn members_share_the_partitions_and_hand_them_over() {
    for version in Kafka::versions() {
        let kafka = Kafka::start_version(&version).await.unwrap();
        for assignor in [
            Assignor::CooperativeSticky,
            Assignor::Range,
            Assignor::RoundRobin,
        ] {
            let topic = kafka.topic("shared", 6).await.unwrap();
            let group = kafka.unique("group");
            spread(&kafka, &topic, 6, 0, 60).await;
            let client = connect(&kafka).await;
            let seen = Seen::default();
            let join = || Seat::join_as(&client, with_assignor(&group, assignor), &topic, &seen);
            let mut seats = vec![join()];
            until(&mut seats, "alone", |seats| share(seats, &[6])).await;
            until(&mut seats, "read", |_| seen_all(&seen, 60)).await;
            seats.push(join());
            until(&mut seats, "two", |seats| share(seats, &[3, 3])).await;
            seats.push(join());
            until(&mut seats, "three", |seats| share(seats, &[2, 2, 2])).await;
            spread(&kafka, &topic, 6, 60, 60).await;
            until(&mut seats, "read by three", |_| seen_all(&seen, 120)).await;
            let gone = seats.remove(0);
            gone.consumer.close().await.unwrap();
            let took = until(&mut seats, "two again", |seats| share(seats, &[3, 3])).await;
            assert!(took < Duration::from_secs(5), "took {took:?}");
            spread(&kafka, &topic, 6, 120, 60).await;
            until(&mut seats, "read by two", |_| seen_all(&seen, 180)).await;
            assert_eq!(replays(&seen), 0, "{assignor:?} on {version}");
            if assignor == Assignor::CooperativeSticky {
                let lost = seats.iter().any(|seat| seat.log.contains(&"lost"));
                assert!(!lost, "nobody was late");
            }
            for seat in seats {
                seat.consumer.close().await.unwrap();
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn partitions_that_come_later_are_noticed_while_consuming() {
    for version in Kafka::versions() {
        let kafka = Kafka::start_version(&version).await.unwrap();
        let topic = kafka.topic("growing", 6).await.unwrap();
        let group = kafka.unique("group");
        let mut settings = ClientSettings::new([kafka.bootstrap()]);
        settings.metadata_max_age = Duration::from_millis(500);
        let client = Client::connect(settings).await.unwrap();
        let seen = Seen::default();
        let join = || Seat::join_as(&client, super::settings(&group), &topic, &seen);
        let mut seats = vec![join(), join()];
        until(&mut seats, "two", |seats| share(seats, &[3, 3])).await;
        spread(&kafka, &topic, 6, 0, 60).await;
        until(&mut seats, "read", |_| seen_all(&seen, 60)).await;
        kafka.add_partitions(&topic, 9).await.unwrap();
        spread(&kafka, &topic, 9, 60, 90).await;
        until(&mut seats, "nine", |seats| share(seats, &[4, 5])).await;
        until(&mut seats, "read nine", |_| seen_all(&seen, 150)).await;
        assert_eq!(replays(&seen), 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_comes_later_is_noticed() {
    let kafka = Kafka::start().await.unwrap();
    let topic = kafka.unique("later");
    let mut seats = [Seat::join(&kafka, settings(&kafka.unique("group")), &topic).await];
    until(&mut seats, "joined", |seats| seats[0].rebalances > 0).await;
    assert_eq!(seats[0].count(), 0);
    kafka.create_topic(&topic, 2, 1).await.unwrap();
    until(&mut seats, "two", |seats| share(seats, &[2])).await;
}
