use bytes::{Bytes, BytesMut};
use cqi_kafka::records::{Compression, Decompressor, FetchedRecords, Producer};
use kafka_protocol::protocol::StrBytes;
use kafka_protocol::records as theirs;
use proptest::prelude::*;

use super::{Own, drain, encode, golden, records};

/// Where headers do not repeat, which kafka-protocol does not keep.
fn distinct(mut records: Vec<Own>) -> Vec<Own> {
    for record in &mut records {
        record.headers.sort();
        record.headers.dedup_by(|a, b| a.0 == b.0);
        // Its encoder subtracts timestamps without care.
        record.timestamp &= (1 << 50) - 1;
    }
    records
}

fn own(record: &theirs::Record) -> Own {
    let headers = record.headers.iter();
    Own {
        timestamp: record.timestamp,
        key: record.key.as_ref().map(|key| key.to_vec()),
        value: record.value.as_ref().map(|value| value.to_vec()),
        headers: headers
            .map(|(key, value)| (key.to_string(), value.as_ref().map(|value| value.to_vec())))
            .collect(),
    }
}

#[test]
fn the_java_clients_batches_read_as_by_kafka_protocol() {
    for name in ["transactions", "log-append-time"] {
        let mut bytes = golden(name);
        let sets = theirs::RecordBatchDecoder::decode_all(&mut bytes).unwrap();
        let data = sets
            .iter()
            .flat_map(|set| &set.records)
            .filter(|record| !record.control);
        let their: Vec<_> = data
            .map(|record| {
                (
                    record.offset,
                    record.partition_leader_epoch,
                    own(record).value,
                )
            })
            .collect();
        let (ours, _) = drain(FetchedRecords::new(
            golden(name),
            0,
            Decompressor::default(),
        ));
        let ours: Vec<_> = ours
            .iter()
            .map(|record| {
                (
                    record.offset(),
                    record.leader_epoch(),
                    Own::of(record).value,
                )
            })
            .collect();
        assert_eq!(ours, their, "{name}");
    }
}

proptest! {
    #[test]
    fn kafka_protocol_reads_what_we_write(records in records().prop_map(distinct)) {
        let batch = encode(&records, Compression::None, Producer { id: 5, epoch: 1, base_sequence: 9 });
        let set = theirs::RecordBatchDecoder::decode(&mut batch.bytes().clone()).unwrap();
        prop_assert_eq!(set.records.iter().map(own).collect::<Vec<_>>(), records);
        for (index, record) in (0..).zip(&set.records) {
            prop_assert_eq!((record.offset, record.producer_id, record.producer_epoch), (i64::from(index), 5, 1));
            prop_assert_eq!(record.sequence, 9 + index);
        }
    }

    #[test]
    fn we_read_what_kafka_protocol_writes(records in records().prop_map(distinct)) {
        let made: Vec<_> = (0_i32..).zip(&records).map(|(index, record)| theirs::Record {
            transactional: false,
            control: false,
            delete_horizon: false,
            partition_leader_epoch: 4,
            producer_id: 5,
            producer_epoch: 1,
            timestamp_type: theirs::TimestampType::Creation,
            offset: i64::from(index),
            sequence: index,
            timestamp: record.timestamp,
            key: record.key.clone().map(Bytes::from),
            value: record.value.clone().map(Bytes::from),
            headers: record.headers.iter()
                .map(|(key, value)| (StrBytes::from_string(key.clone()), value.clone().map(Bytes::from)))
                .collect(),
        }).collect();
        let options = theirs::RecordEncodeOptions { version: 2, compression: theirs::Compression::None };
        let mut bytes = BytesMut::new();
        theirs::RecordBatchEncoder::encode(&mut bytes, &made, &options).unwrap();
        let (ours, next) = drain(FetchedRecords::new(bytes.freeze(), 0, Decompressor::default()));
        prop_assert_eq!(ours.iter().map(Own::of).collect::<Vec<_>>(), records);
        prop_assert_eq!(next, made.len() as i64);
    }
}
