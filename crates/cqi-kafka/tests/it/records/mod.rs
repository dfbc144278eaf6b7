//! Record batches: against the Java client's and kafka-protocol's, any that can be written, and
//! any bytes at all.

mod broker;
mod committed;
mod foreign;
mod golden;
mod hostile;
mod round_trip;

use bytes::Bytes;
use cqi_kafka::records::{
    BatchBuilder, BatchOptions, Compression, EncodedBatch, FetchedRecords, NewHeader, NewRecord,
    Producer, Pushed, Record,
};
use proptest::prelude::*;

const CODECS: [Compression; 5] = [
    Compression::None,
    Compression::Gzip,
    Compression::Snappy,
    Compression::Lz4,
    Compression::Zstd,
];

/// A header with a value of its own.
type OwnHeader = (String, Option<Vec<u8>>);

/// A record with values of its own.
#[derive(Clone, Debug, PartialEq)]
struct Own {
    timestamp: i64,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<OwnHeader>,
}

impl Own {
    fn of(record: &Record) -> Self {
        let headers = record.headers();
        Self {
            timestamp: record.timestamp(),
            key: record.key().map(<[u8]>::to_vec),
            value: record.value().map(<[u8]>::to_vec),
            headers: headers
                .map(|header| (header.name().into_owned(), header.value.map(<[u8]>::to_vec)))
                .collect(),
        }
    }
}

/// The bytes of a file of the Java client's.
fn golden(name: &str) -> Bytes {
    golden_text(name, "bin").into()
}

fn golden_text(name: &str, extension: &str) -> Vec<u8> {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/records");
    std::fs::read(format!("{directory}/{name}.{extension}")).unwrap()
}

/// All that a fetch gives, and the offset after it.
fn drain(mut fetched: FetchedRecords) -> (Vec<Record>, i64) {
    let records: Vec<_> = fetched.by_ref().map(Result::unwrap).collect();
    (records, fetched.next_offset())
}

fn codec() -> impl Strategy<Value = Compression> {
    prop::sample::select(&CODECS)
}

fn records() -> impl Strategy<Value = Vec<Own>> {
    let bytes = || prop::option::of(prop::collection::vec(any::<u8>(), 0..300));
    let headers = prop::collection::vec(("[a-cé]{0,2}", bytes()), 0..5);
    let record = (0..=i64::MAX, bytes(), bytes(), headers);
    prop::collection::vec(
        record.prop_map(|(timestamp, key, value, headers)| Own {
            timestamp,
            key,
            value,
            headers,
        }),
        1..40,
    )
}

fn encode(records: &[Own], compression: Compression, producer: Producer) -> EncodedBatch {
    let mut builder = BatchBuilder::new(BatchOptions {
        compression,
        ..BatchOptions::default()
    });
    for (index, record) in records.iter().enumerate() {
        let headers: Vec<_> = record
            .headers
            .iter()
            .map(|(key, value)| NewHeader {
                key,
                value: value.as_deref(),
            })
            .collect();
        let pushed = builder.push(&NewRecord {
            timestamp: record.timestamp,
            key: record.key.as_deref(),
            value: record.value.as_deref(),
            headers: &headers,
        });
        assert_eq!(pushed.unwrap(), Pushed::At(i32::try_from(index).unwrap()));
    }
    builder.finish(producer).unwrap()
}

/// Rewrites a batch's checksum after a change.
fn reseal(batch: &mut [u8]) {
    let crc = crc32c::crc32c(&batch[21..]);
    batch[17..21].copy_from_slice(&crc.to_be_bytes());
}
