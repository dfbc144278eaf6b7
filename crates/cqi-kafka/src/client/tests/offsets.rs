use cqi_errors::Kind;
use cqi_testkit::Kafka;
use kafka_protocol::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{
    AddPartitionsToTxnRequest, ApiKey, FindCoordinatorRequest, InitProducerIdRequest,
    ProduceRequest, ProducerId, TopicName, TransactionalId,
};
use kafka_protocol::protocol::StrBytes;
use tokio::time::Instant;

use super::*;
use crate::TopicPartition;
use crate::client::{Isolation, ListedOffset, OffsetSpec};
use crate::records::{BatchBuilder, BatchOptions, NewRecord, Producer};
use crate::wire::{Api, HeartbeatAnswer, Versions};

impl Api for AddPartitionsToTxnRequest {
    const KEY: ApiKey = ApiKey::AddPartitionsToTxn;
    const VERSIONS: Versions = Versions::new(3, 3);
    /// Not what is answered, which nobody here reads.
    type Answer = HeartbeatAnswer;
}

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

/// Writes a record per timestamp, in a producer's transaction or in none.
async fn produce(client: &Client, topic: &str, producer: Option<Producer>, timestamps: &[i64]) {
    let mut batch = BatchBuilder::new(BatchOptions::default());
    for timestamp in timestamps {
        let _ = batch.push(&NewRecord::at(*timestamp)).unwrap();
    }
    let batch = batch.finish(producer.unwrap_or(Producer::NONE)).unwrap();
    let mut bytes = batch.bytes().to_vec();
    if producer.is_some() {
        bytes[22] |= 0x10;
        let crc = crc32c::crc32c(&bytes[21..]).to_be_bytes();
        bytes[17..21].copy_from_slice(&crc);
    }
    let data = PartitionProduceData::default().with_records(Some(bytes.into()));
    let data = TopicProduceData::default()
        .with_name(TopicName(text(topic)))
        .with_partition_data(vec![data]);
    let request = ProduceRequest::default()
        .with_transactional_id(producer.map(|_| TransactionalId(text("open"))))
        .with_acks(-1)
        .with_timeout_ms(10_000)
        .with_topic_data(vec![data]);
    let answer = client.ask_node(1, &request, LONG).await.unwrap();
    let partition = &answer.responses[0].partition_responses[0];
    assert_eq!(partition.error_code, 0, "{partition:?}");
}

/// Opens a transaction on a topic's first partition.
async fn transaction(client: &Client, topic: &str) -> Producer {
    let find = FindCoordinatorRequest::default()
        .with_key(text("open"))
        .with_key_type(1);
    let begin = InitProducerIdRequest::default()
        .with_transactional_id(Some(TransactionalId(text("open"))))
        .with_transaction_timeout_ms(60_000)
        .with_producer_id(ProducerId(-1))
        .with_producer_epoch(-1);
    let producer = eventually(|| async {
        client.ask(&find, LONG).await.unwrap();
        let answer = client.ask(&begin, LONG).await.unwrap();
        match answer.error_code {
            0 => Ok(Producer {
                id: answer.producer_id,
                epoch: answer.producer_epoch,
                base_sequence: 0,
            }),
            code => Err(code),
        }
    })
    .await;
    let added = AddPartitionsToTxnTopic::default()
        .with_name(TopicName(text(topic)))
        .with_partitions(vec![0]);
    let add = AddPartitionsToTxnRequest::default()
        .with_v3_and_below_transactional_id(TransactionalId(text("open")))
        .with_v3_and_below_producer_id(ProducerId(producer.id))
        .with_v3_and_below_producer_epoch(producer.epoch)
        .with_v3_and_below_topics(vec![added]);
    let _ = client.ask(&add, LONG).await;
    producer
}

async fn offset(
    client: &Client,
    topic: &str,
    spec: OffsetSpec,
    isolation: Isolation,
) -> Option<ListedOffset> {
    let partition = TopicPartition::new(topic, 0);
    let offsets = client
        .offsets([partition.clone()], spec, isolation)
        .await
        .unwrap();
    offsets[&partition]
}

#[tokio::test]
async fn offsets_are_those_of_the_oldest_the_next_and_the_first_record_since() {
    let kafka = Kafka::builder().start().await.unwrap();
    let topic = &kafka.topic("offsets", 1).await.unwrap();
    let client = connect(kafka.bootstrap()).await;
    let now = 1_700_000_000_000;
    produce(&client, topic, None, &[now, now + 10, now + 20]).await;
    let all = Isolation::ReadUncommitted;
    let plain = |spec| offset(&client, topic, spec, all);
    assert_eq!(plain(OffsetSpec::Earliest).await.unwrap().offset, 0);
    let latest = plain(OffsetSpec::Latest).await.unwrap();
    assert_eq!(
        (latest.offset, latest.leader_epoch, latest.timestamp),
        (3, Some(0), None)
    );
    for (at, expected) in [
        (now - 1, Some((0, now))),
        (now + 10, Some((1, now + 10))),
        (now + 11, Some((2, now + 20))),
        (now + 21, None),
        (-1, Some((0, now))),
        (-2, Some((0, now))),
        (i64::MIN, Some((0, now))),
        (i64::MAX, None),
    ] {
        let found = plain(OffsetSpec::At(at)).await;
        let found = found.map(|found| (found.offset, found.timestamp.unwrap()));
        assert_eq!(found, expected, "{at}");
    }

    let producer = transaction(&client, topic).await;
    produce(&client, topic, Some(producer), &[now + 30]).await;
    let committed = Isolation::ReadCommitted;
    let latest = async |isolation| offset(&client, topic, OffsetSpec::Latest, isolation).await;
    assert_eq!(latest(all).await.unwrap().offset, 4);
    assert_eq!(
        latest(committed).await.unwrap().offset,
        3,
        "a transaction is open"
    );
}

#[tokio::test]
async fn a_partition_without_an_offset_has_its_own_error() {
    let kafka = Kafka::start().await.unwrap();
    let topic = kafka.topic("errors", 2).await.unwrap();
    let client = connect(kafka.bootstrap()).await;
    let nowhere = kafka.unique("nowhere");
    let wanted = [
        TopicPartition::new(&*topic, 0),
        TopicPartition::new(&*topic, 2),
        TopicPartition::new(&*topic, -1),
        TopicPartition::new(&*nowhere, 0),
        TopicPartition::new("no such name", 0),
    ];
    let begun = Instant::now();
    let specs = wanted
        .iter()
        .map(|partition| (partition.clone(), OffsetSpec::Latest));
    let listed = client
        .list_offsets(&specs.collect(), Isolation::default(), LONG)
        .await;
    assert!(begun.elapsed() < LONG / 3, "{:?}", begun.elapsed());
    assert_eq!(listed[&wanted[0]].as_ref().unwrap().unwrap().offset, 0);
    let kinds = [
        Kind::NotFound,
        Kind::NotFound,
        Kind::NotFound,
        Kind::InvalidInput,
    ];
    for (partition, kind) in wanted[1..].iter().zip(kinds) {
        let error = listed[partition].as_ref().unwrap_err();
        assert_eq!(error.kind(), kind, "{error:?}");
        assert!(
            error.to_string().contains(&**partition.topic()),
            "{error:?}"
        );
    }
    let error = client.offsets(wanted, OffsetSpec::Latest, Isolation::default());
    assert!(!error.await.unwrap_err().kind().is_retryable());
    let none = client.offsets([], OffsetSpec::Latest, Isolation::default());
    assert!(none.await.unwrap().is_empty());
}

#[tokio::test]
async fn a_leader_that_does_not_answer_is_named_when_time_is_up() {
    let kafka = Kafka::builder().start().await.unwrap();
    let topic = kafka.topic("frozen", 1).await.unwrap();
    let mut settings = ClientSettings::new([kafka.bootstrap()]);
    settings.request_timeout = Duration::from_secs(1);
    let client = Client::connect(settings).await.unwrap();
    let _interest = client.follow(topics(&[&topic]));
    until(&client, |cluster| cluster.topics.contains_key(&*topic)).await;
    kafka.broker(1).freeze().unwrap();
    let begun = Instant::now();
    let partition = TopicPartition::new(&*topic, 0);
    let offsets = client.offsets([partition], OffsetSpec::Latest, Isolation::default());
    let error = offsets.await.unwrap_err();
    assert!(
        (1000..6000).contains(&begun.elapsed().as_millis()),
        "{:?}",
        begun.elapsed()
    );
    assert_eq!(error.kind(), Kind::Timeout, "{error:?}");
    for word in [&*topic, &kafka.bootstrap()] {
        assert!(error.to_string().contains(word), "{error:?}");
    }
    kafka.broker(1).thaw().unwrap();
}
