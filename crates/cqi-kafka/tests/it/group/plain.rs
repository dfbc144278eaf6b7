//! Producing as plainly as can be: the members are what is tested.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::{Bytes, BytesMut};
use cqi_kafka::records::{BatchBuilder, BatchOptions, NewRecord, Producer, Pushed};
use cqi_testkit::{Kafka, Listener};
use kafka_protocol::ResponseError;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{
    ApiKey, ProduceRequest, ProduceResponse, RequestHeader, ResponseHeader, TopicName,
};
use kafka_protocol::protocol::{Decodable, Encodable, StrBytes};

const VERSION: i16 = 9;

/// Writes records to a partition, each with its value, and waits for all in-sync replicas.
pub(crate) async fn produce(kafka: &Kafka, topic: &str, partition: i32, values: &[String]) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let mut batch = BatchBuilder::new(BatchOptions::default());
    for value in values {
        let mut record = NewRecord::at(i64::try_from(now.as_millis()).unwrap());
        record.value = Some(value.as_bytes());
        assert!(matches!(batch.push(&record).unwrap(), Pushed::At(_)));
    }
    let records = batch.finish(Producer::NONE).unwrap().bytes().clone();
    let data = PartitionProduceData::default()
        .with_index(partition)
        .with_records(Some(records));
    let data = TopicProduceData::default()
        .with_name(TopicName(StrBytes::from_string(topic.to_owned())))
        .with_partition_data(vec![data]);
    let request = ProduceRequest::default()
        .with_acks(-1)
        .with_timeout_ms(10_000)
        .with_topic_data(vec![data]);
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let leader = match kafka.leader(topic, partition).await {
            Ok(leader) => leader,
            // Of a broker that was just restarted.
            Err(_) if Instant::now() < deadline => continue,
            Err(error) => panic!("{error:#}"),
        };
        let address = match kafka.brokers() {
            // Somebody else runs them.
            [] => kafka.bootstrap().split(',').next().unwrap().to_owned(),
            _ => kafka.broker(leader).address(Listener::Plaintext),
        };
        let request = request.clone();
        let answer = tokio::task::spawn_blocking(move || ask(&address, &request));
        let answer = answer.await.unwrap();
        let code = answer.responses[0].partition_responses[0].error_code;
        match ResponseError::try_from_code(code) {
            None => return,
            // Of a topic that was just made.
            Some(error) if error.is_retriable() && Instant::now() < deadline => {}
            Some(error) => panic!("the broker refused the records: {error:?}"),
        }
    }
}

/// `count` records over the partitions in turn; their values are the numbers from `from` on.
pub(crate) async fn spread(kafka: &Kafka, topic: &str, partitions: i32, from: usize, count: usize) {
    for partition in 0..partitions {
        let at = usize::try_from(partition).unwrap();
        let step = usize::try_from(partitions).unwrap();
        let values = (from + at..from + count).step_by(step);
        let values: Vec<_> = values.map(|n| n.to_string()).collect();
        if !values.is_empty() {
            produce(kafka, topic, partition, &values).await;
        }
    }
}

fn ask(address: &str, request: &ProduceRequest) -> ProduceResponse {
    let mut body = BytesMut::new();
    let header = RequestHeader::default()
        .with_request_api_key(ApiKey::Produce as i16)
        .with_request_api_version(VERSION)
        .with_client_id(Some(StrBytes::from_static_str("plain")));
    let header_version = ApiKey::Produce.request_header_version(VERSION);
    header.encode(&mut body, header_version).unwrap();
    request.encode(&mut body, VERSION).unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(15)))
        .unwrap();
    let len = u32::try_from(body.len()).unwrap().to_be_bytes();
    stream.write_all(&len).unwrap();
    stream.write_all(&body).unwrap();
    let mut len = [0; 4];
    stream.read_exact(&mut len).unwrap();
    let mut answer = vec![0; usize::try_from(u32::from_be_bytes(len)).unwrap()];
    stream.read_exact(&mut answer).unwrap();
    let mut answer = Bytes::from(answer);
    let header_version = ApiKey::Produce.response_header_version(VERSION);
    ResponseHeader::decode(&mut answer, header_version).unwrap();
    ProduceResponse::decode(&mut answer, VERSION).unwrap()
}
