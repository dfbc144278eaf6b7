use super::plain::spread;
use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn pitfall_7_a_rebalance_waits_for_slow_work_and_its_commit() {
    for assignor in [Assignor::CooperativeSticky, Assignor::Range] {
        let kafka = Kafka::start().await.unwrap();
        let topic = kafka.topic("slow", 2).await.unwrap();
        let group = kafka.unique("group");
        let client = connect(&kafka).await;
        let seen = Seen::default();
        let join = || Seat::join_as(&client, with_assignor(&group, assignor), &topic, &seen);
        spread(&kafka, &topic, 2, 0, 20).await;
        let mut slow = join();
        (slow.commits, slow.holds) = (false, true);
        let mut seats = [slow];
        until(&mut seats, "read", |_| seen_all(&seen, 20)).await;
        let [mut slow] = seats;
        let mut other = join();
        let mut steps = 0;
        while slow.revocation.is_none() || steps < 40 {
            steps += usize::from(slow.revocation.is_some());
            tokio::join!(slow.step(), other.step());
            assert_eq!(other.count(), 0, "the rebalance did not wait");
        }
        let revocation = slow.revocation.take().unwrap();
        let gone = revocation.partitions().clone();
        let done = gone
            .iter()
            .map(|partition| (partition.clone(), offset(10, "drained")));
        slow.consumer.commit(done).await.unwrap();
        revocation.done();
        slow.holds = false;
        let mut seats = [slow, other];
        until(&mut seats, "one each", |seats| share(seats, &[1, 1])).await;
        // What was drained and committed comes to nobody again.
        spread(&kafka, &topic, 2, 20, 2).await;
        until(&mut seats, "read by both", |_| seen_all(&seen, 22)).await;
        assert_eq!(replays(&seen), 0, "{assignor:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_that_is_never_done_ends_in_a_loss() {
    let kafka = Kafka::start().await.unwrap();
    let topic = kafka.topic("never", 2).await.unwrap();
    let group = kafka.unique("group");
    let client = connect(&kafka).await;
    let join = || {
        let mut settings = settings(&group);
        settings.member.max_poll_interval = Duration::from_secs(3);
        Seat::join_as(&client, settings, &topic, &Seen::default())
    };
    let mut seats = vec![join()];
    seats[0].holds = true;
    until(&mut seats, "all", |seats| share(seats, &[2])).await;
    seats.push(join());
    until(&mut seats, "revoked", |seats| seats[0].revocation.is_some()).await;
    let took = until(&mut seats, "lost", |seats| seats[0].log.contains(&"lost")).await;
    assert!(took > Duration::from_secs(1), "lost after {took:?}");
    let partition = seats[0]
        .revocation
        .as_ref()
        .unwrap()
        .partitions()
        .first()
        .cloned();
    let offset = offset(0, "");
    let commit = seats[0].consumer.commit([(partition.unwrap(), offset)]);
    let kind = commit.await.unwrap_err().kind();
    assert!(matches!(kind, Kind::Conflict | Kind::Temporary), "{kind:?}");
    seats[0].holds = false;
    until(&mut seats, "one each", |seats| share(seats, &[1, 1])).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pitfall_6_only_what_is_owned_is_committed() {
    let kafka = Kafka::start().await.unwrap();
    let topic = kafka.topic("owned", 1).await.unwrap();
    let group = kafka.unique("group");
    let mut seats = [Seat::join(&kafka, settings(&group), &topic).await];
    until(&mut seats, "one", |seats| share(seats, &[1])).await;
    let consumer = &seats[0].consumer;
    let foreign = TopicPartition::new(topic.clone(), 7);
    let error = consumer
        .commit([(foreign, offset(0, ""))])
        .await
        .unwrap_err();
    assert_eq!(error.kind(), Kind::Conflict, "{error:#}");
    assert!(
        error.to_string().contains(&format!("{topic}-7")),
        "{error:#}"
    );
    let own = TopicPartition::new(topic.clone(), 0);
    let long = "x".repeat(5000);
    let error = consumer
        .commit([(own.clone(), offset(0, &long))])
        .await
        .unwrap_err();
    assert_eq!(error.kind(), Kind::InvalidInput, "{error:#}");
    consumer.commit([(own, offset(0, "fine"))]).await.unwrap();
    consumer.commit([]).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn many_tasks_commit_at_once_through_handles() {
    let kafka = Kafka::start().await.unwrap();
    let topic = kafka.topic("handles", 4).await.unwrap();
    let group = kafka.unique("group");
    let mut settings = settings(&group);
    settings.max_queued_commits = 2;
    let mut seats = [Seat::join(&kafka, settings.clone(), &topic).await];
    until(&mut seats, "all", |seats| share(seats, &[4])).await;
    let handle = seats[0].consumer.handle();
    let commits = (0..100).map(|n| {
        let (handle, topic) = (handle.clone(), topic.clone());
        tokio::spawn(async move {
            let partition = TopicPartition::new(topic, i32::try_from(n % 4).unwrap());
            handle.commit([(partition, offset(n, ""))]).await
        })
    });
    let commits = join_all(commits.collect::<Vec<_>>());
    let [seat] = &mut seats;
    let (outcomes, _) = tokio::join!(commits, seat.step());
    for outcome in outcomes {
        outcome.unwrap().unwrap();
    }
    let [seat] = seats;
    seat.consumer.close().await.unwrap();
    let error = handle.commit([]).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Cancelled, "{error:#}");
    let of_none = handle.seek(&TopicPartition::new(topic, 0), 0).unwrap_err();
    assert_eq!(of_none.kind(), Kind::Cancelled);
}
