//! Transactions and what compaction leaves, in the logs of a real broker: the Java client reads the
//! same from them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::time::{Duration, Instant};

use cqi_kafka::{
    Client, ClientSettings, Event, GroupConsumer, GroupSettings, Isolation, StartPosition,
};
use cqi_testkit::Kafka;
use tokio::process::Command;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(120);

/// Program and jars that the broker runs with.
fn java(kafka: &Kafka) -> (String, String) {
    let process = kafka.brokers()[0].process_id().unwrap();
    let line = std::fs::read_to_string(format!("/proc/{process}/cmdline")).unwrap();
    let mut words = line.split('\0');
    let program = words.next().unwrap().to_owned();
    let jars = words.skip_while(|word| *word != "-cp").nth(1).unwrap();
    (program, jars.to_owned())
}

/// What the Java client reads of two topics that it fills.
async fn golden(kafka: &Kafka, topics: &[String; 2]) -> String {
    let (program, jars) = java(kafka);
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/records/Logs.java");
    let mut command = Command::new(program);
    command.args(["-Xmx128m", "-XX:TieredStopAtLevel=1", "-cp", &jars, source]);
    command.arg(kafka.bootstrap()).args(topics);
    let output = timeout(PATIENCE, command.kill_on_drop(true).output());
    let output = output.await.unwrap().unwrap();
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{complaints}");
    String::from_utf8(output.stdout).unwrap()
}

/// What this client reads until it is where the Java client was, in the same words.
async fn read(
    client: &Client,
    topics: &[String; 2],
    isolation: Isolation,
    ends: &[&str],
) -> String {
    let word = match isolation {
        Isolation::ReadCommitted => "read_committed",
        _ => "read_uncommitted",
    };
    let mut settings = GroupSettings::new(format!("{}-{word}", topics[0]));
    settings.fetch.start = StartPosition::Earliest;
    settings.fetch.isolation = isolation;
    // Pages end within batches.
    settings.fetch.max_poll_records = 2;
    let mut consumer = GroupConsumer::join(client, settings, topics.clone()).unwrap();
    let mut lines = String::new();
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(Event::Records(records)) =
            consumer.poll(Duration::from_millis(50)).await.unwrap()
        {
            let place = records.partition();
            for record in &records {
                let text = |bytes: Option<&[u8]>| match bytes {
                    Some(bytes) => String::from_utf8(bytes.to_vec()).unwrap(),
                    None => "null".to_owned(),
                };
                let (topic, partition) = (place.topic(), place.partition());
                let (offset, time) = (record.offset(), record.timestamp());
                let (key, value) = (text(record.key()), text(record.value()));
                writeln!(
                    lines,
                    "{word} record {topic}-{partition} {offset} {time} {key} = {value}"
                )
                .unwrap();
            }
        }
        let positions: BTreeMap<_, _> = consumer.positions().into_iter().collect();
        let reached: BTreeSet<String> = positions
            .iter()
            .filter_map(|(name, position)| {
                let (topic, partition, offset) = (name.topic(), name.partition(), position.offset?);
                Some(format!("{word} end {topic}-{partition} {offset}"))
            })
            .collect();
        if ends.iter().all(|end| reached.contains(*end)) {
            assert!(positions.values().all(|position| position.lag() == Some(0)));
            consumer.close().await.unwrap();
            return lines;
        }
        assert!(
            Instant::now() < deadline,
            "{reached:?} instead of {ends:?}\n{lines}"
        );
    }
}

/// Partitions come in any order; within one, the order is the log's.
fn by_partition(lines: &str) -> BTreeMap<&str, Vec<&str>> {
    let mut partitions = BTreeMap::<_, Vec<_>>::new();
    for line in lines.lines() {
        partitions
            .entry(line.split(' ').nth(2).unwrap())
            .or_default()
            .push(line);
    }
    partitions
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn transactions_and_compacted_logs_read_as_the_java_client_reads_them() {
    for version in Kafka::versions() {
        compare(&Kafka::start_version(version).await.unwrap()).await;
    }
}

async fn compare(kafka: &Kafka) {
    let topics = ["transactions", "compacted"].map(|topic| kafka.unique(topic));
    let golden = golden(kafka, &topics).await;
    let client = Client::connect(ClientSettings::new([kafka.bootstrap()]))
        .await
        .unwrap();
    for (isolation, word) in [
        (Isolation::ReadCommitted, "read_committed"),
        (Isolation::ReadUncommitted, "read_uncommitted"),
    ] {
        let ours = |line: &&str| line.starts_with(word);
        let is_end = |line: &&str| line.split(' ').nth(1) == Some("end");
        let (ends, records): (Vec<_>, Vec<_>) = golden.lines().filter(ours).partition(is_end);
        assert_eq!(ends.len(), 3, "{golden}");
        let read = read(&client, &topics, isolation, &ends).await;
        assert_eq!(by_partition(&read), by_partition(&records.join("\n")));
        assert_eq!(
            read.contains("aborted"),
            word == "read_uncommitted",
            "{read}"
        );
        assert_eq!(read.contains("open"), word == "read_uncommitted", "{read}");
        assert!(
            read.contains("key-9 = null") && read.contains("b goes on"),
            "{read}"
        );
    }
    client.close().await;
}
