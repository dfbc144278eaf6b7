//! What brokers do rarely.

use cqi_testkit::scripted::{Api, Reply, ScriptedKafka};

use super::*;

async fn scripted(partitions: i32) -> (ScriptedKafka, Client, BTreeSet<TopicPartition>) {
    let builder = ScriptedKafka::builder().topic("orders", usize::try_from(partitions).unwrap());
    let kafka = builder.start().unwrap();
    let client = Client::connect(ClientSettings::new([kafka.bootstrap()]));
    (kafka, client.await.unwrap(), names("orders", partitions))
}

fn values(count: usize) -> Bytes {
    batch((0..count).map(|index| index.to_string()), Compression::None)
}

#[tokio::test]
async fn a_lost_session_is_begun_anew() {
    let (kafka, client, partitions) = scripted(2).await;
    let fetcher = fetch(&client, earliest(), &partitions);
    for code in [70, 71] {
        kafka.append("orders", 0, &values(3)).unwrap();
        assert_eq!(next(&fetcher).await.len(), 3);
        kafka.next(Api::Fetch, Reply::Error(code));
        kafka.append("orders", 1, &values(2)).unwrap();
        assert_eq!(next(&fetcher).await.len(), 2);
    }
    fetcher.close().await;
}

#[tokio::test]
async fn connections_that_break_at_any_point_lose_nothing() {
    let (kafka, client, partitions) = scripted(1).await;
    let fetcher = fetch(&client, earliest(), &partitions);
    let mut position = 0;
    for reply in [
        Reply::Close,
        Reply::Reset,
        Reply::DoneButClose,
        Reply::CloseAfterBytes(20),
        Reply::Truncated(30),
        Reply::Garbage(7),
        Reply::WrongCorrelationId,
        Reply::Length(-1),
    ] {
        kafka.next(Api::Fetch, reply);
        kafka.append("orders", 0, &values(3)).unwrap();
        let records = loop {
            match timeout(PATIENCE, fetcher.next()).await.unwrap() {
                Ok(records) => break records,
                // Not what a broker says: the caller is told, and it is asked again.
                Err(error) => assert_eq!(error.kind(), Kind::Permanent, "{reply:?}: {error}"),
            }
        };
        let first = records[0].offset();
        assert_eq!((first, records.len()), (position, 3), "{reply:?}");
        position += 3;
    }
    fetcher.close().await;
}

#[tokio::test]
async fn records_that_expired_are_passed_over() {
    let (kafka, client, partitions) = scripted(1).await;
    for _ in 0..4 {
        kafka.append("orders", 0, &values(2)).unwrap();
    }
    kafka.expire_records("orders", 0, 4).unwrap();
    let fetcher = Fetcher::start(client.clone(), earliest());
    fetcher.assign(&partitions);
    let name = partitions.first().unwrap();
    fetcher.position(vec![(name.clone(), at(1))]);
    assert_eq!(next(&fetcher).await[0].offset(), 4);
    fetcher.close().await;
}

#[tokio::test]
async fn a_log_that_lost_records_is_gone_back_to_where_it_was_cut() {
    let (kafka, client, partitions) = scripted(1).await;
    let fetcher = fetch(&client, earliest(), &partitions);
    for _ in 0..4 {
        kafka.append("orders", 0, &values(2)).unwrap();
    }
    let mut position = 0;
    while position < 8 {
        position = next(&fetcher).await.next_offset().1.offset;
    }
    // What comes in their place is read, although the position is behind the log's end.
    kafka.lose_records("orders", 0, 4).unwrap();
    for _ in 0..4 {
        kafka.append("orders", 0, &values(2)).unwrap();
    }
    let records = next(&fetcher).await;
    assert_eq!((records[0].offset(), records[0].leader_epoch()), (4, 1));
    fetcher.close().await;
}

#[tokio::test]
async fn refusals_do_not_make_a_busy_loop() {
    let (kafka, client, partitions) = scripted(3).await;
    let mut settings = earliest();
    settings.max_wait = Duration::from_millis(100);
    let fetcher = fetch(&client, settings, &partitions);
    kafka.requested(Api::Fetch, 1).await.unwrap();
    for code in [-1, 1, 2, 3, 6, 9, 29, 56, 70, 71, 74, 75, 78, 999] {
        kafka.always(Api::Fetch, Reply::Error(code));
        let before = kafka.count(Api::Fetch);
        let until = tokio::time::Instant::now() + Duration::from_millis(600);
        let mut told = 0;
        while let Ok(next) = tokio::time::timeout_at(until, fetcher.next()).await {
            next.unwrap_err();
            told += 1;
        }
        let asked = kafka.count(Api::Fetch) - before;
        assert!(asked < 60, "{code}: {asked} requests in 0.6 s");
        assert!(told < 30, "{code}: {told} errors in 0.6 s");
    }
    kafka.behave();
    kafka.append("orders", 0, &values(3)).unwrap();
    let records = async {
        loop {
            // Those that were held back are told once more.
            if let Ok(records) = fetcher.next().await {
                return records;
            }
        }
    };
    let records = timeout(PATIENCE, records).await.unwrap();
    assert_eq!(records.len(), 3);
    fetcher.close().await;
}

#[tokio::test]
async fn one_connection_waits_for_all_once_nothing_is_behind() {
    const PARTITIONS: i32 = 8;
    let (kafka, client, partitions) = scripted(PARTITIONS).await;
    for partition in 0..PARTITIONS {
        for _ in 0..20 {
            kafka.append("orders", partition, &values(10)).unwrap();
        }
    }
    let settings = FetchSettings {
        partition_max_bytes: 200,
        max_buffered_bytes: 12 * 400,
        ..earliest()
    };
    let fetcher = fetch(&client, settings, &partitions);
    let mut seen = 0;
    while seen < 8 * 20 * 10 {
        seen += next(&fetcher).await.len();
    }
    let before = kafka.count(Api::Fetch);
    let idle = timeout(Duration::from_secs(3), fetcher.next()).await;
    assert!(idle.is_err(), "{idle:?}");
    // Half a second each, and what was under way beside.
    let asked = kafka.count(Api::Fetch) - before;
    assert!(asked < 20, "{asked} requests in 3 s");
    fetcher.close().await;
}
