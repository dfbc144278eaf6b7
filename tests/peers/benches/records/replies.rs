//! The replies, and who reads them.

use std::hint::black_box;
use std::io::Cursor;

use bytes::{Bytes, BytesMut};
use cqi_kafka::records::{
    BatchBuilder, BatchOptions, Compression, Decompressor, FetchedRecords, NewHeader, NewRecord,
    Producer, Pushed,
};
use kafka_protocol::records::RecordBatchDecoder;
use rskafka::protocol::record::{ControlBatchOrRecords, RecordBatch};
use rskafka::protocol::traits::ReadType;

const REPLY: usize = 4 << 20;
const BATCH: usize = 100_000;
const TIME: i64 = 1_767_225_600_000;
pub const NAMES: [&str; 3] = ["cqi-kafka", "kafka-protocol", "rskafka"];

/// Reads everything and touches each value.
pub type Read = fn(&Bytes) -> usize;
pub const READERS: [Read; 3] = [
    |reply| {
        let fetched = FetchedRecords::new(reply.clone(), 0, Decompressor::default());
        fetched
            .map(|record| touch(record.expect("a record").value()))
            .sum()
    },
    |reply| {
        let sets = RecordBatchDecoder::decode_all(&mut reply.clone()).expect("batches");
        let records = sets.iter().flat_map(|set| &set.records);
        records.map(|record| touch(record.value.as_deref())).sum()
    },
    |reply| {
        let mut cursor = Cursor::new(&reply[..]);
        let mut sum = 0;
        while cursor.position() < reply.len() as u64 {
            let batch = RecordBatch::read(&mut cursor).expect("a batch");
            if let ControlBatchOrRecords::Records(records) = batch.records {
                sum += records
                    .iter()
                    .map(|record| touch(record.value.as_deref()))
                    .sum::<usize>();
            }
        }
        sum
    },
];

fn touch(value: Option<&[u8]>) -> usize {
    let value = black_box(value.expect("a value"));
    value.len() + usize::from(value[0])
}

/// Makes a reply of whole batches, and says how many records are in it.
fn reply(size: usize, headers: &[NewHeader<'_>], compression: Compression) -> (Bytes, usize) {
    let options = BatchOptions {
        compression,
        max_bytes: BATCH,
        ..BatchOptions::default()
    };
    let mut value: Vec<u8> = (0..size).map(|i| b"price 1.0842 "[i % 13]).collect();
    let (mut out, mut count) = (BytesMut::new(), 0);
    let mut builder = BatchBuilder::new(options.clone());
    let mut plain = 0;
    while plain < REPLY {
        let digits = format!("{count:08}");
        value[..8].copy_from_slice(digits.as_bytes());
        let key = &digits.as_bytes()[4..];
        let record = NewRecord {
            timestamp: TIME + count as i64,
            key: Some(key),
            value: Some(&value),
            headers,
        };
        if builder.push(&record).expect("a record that fits") == Pushed::Full {
            plain += builder.size();
            let full = std::mem::replace(&mut builder, BatchBuilder::new(options.clone()));
            let mut batch = full
                .finish(Producer::NONE)
                .expect("a batch")
                .bytes()
                .to_vec();
            batch[..8].copy_from_slice(&(count as i64).to_be_bytes());
            out.extend_from_slice(&batch);
            continue;
        }
        count += 1;
    }
    (out.freeze(), count - builder.len())
}

/// What is compared: a name, a reply and how many records are in it.
pub fn cases() -> impl Iterator<Item = (String, Bytes, usize)> {
    const TWO: &[NewHeader<'_>] = &[
        NewHeader {
            key: "ce_type",
            value: Some(b"cqc.events.v1.PriceUpdated"),
        },
        NewHeader {
            key: "ce_id",
            value: Some(b"019b9e5c-0000-7000-8000-000000000000"),
        },
    ];
    let codecs = [
        Compression::None,
        Compression::Gzip,
        Compression::Snappy,
        Compression::Lz4,
        Compression::Zstd,
    ];
    let shapes = [
        ("100 B", 100, &[][..]),
        ("1 KiB", 1024, &[]),
        ("100 B, 2 headers", 100, TWO),
    ];
    shapes.into_iter().flat_map(move |(shape, size, headers)| {
        codecs.into_iter().map(move |compression| {
            let (reply, count) = reply(size, headers, compression);
            (format!("{shape}, {compression}"), reply, count)
        })
    })
}
